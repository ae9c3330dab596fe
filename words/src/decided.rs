//! A decision of the patient, as the second half of a sentence: what follows "Le 2 mars 2026, Claire Dubois …". One
//! function for each group of kinds that decide: space, consent, limits, people, emergency; and one for contests.

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::kind::{Group, Kind};

use super::names::items;
use super::phrase::{actions, actor, grantee, list, moment, objects, of_doing, period, purposes, quoted, text, texts};
use super::phrase::{of_whom, short_id, to_whom};
use super::{Lang, words};

/// The decision that the record tells of, in words; none for the kinds whose verb says it all, or whose details are
/// missing.
pub fn predicate(kind: Kind, record: &v1::Record, lang: Lang) -> Option<String> {
    let details: Value = serde_json::from_str(&record.details).unwrap_or(Value::Null);
    match kind.group() {
        Group::Consent => consent(kind, &details, lang),
        Group::Limits => limits(kind, record, &details, lang),
        Group::People => people(kind, record, &details, lang),
        Group::Emergency => emergency(kind, &details, lang),
        Group::FollowUp => contest(kind, &details, lang),
        _ => None,
    }
}

/// A contest, in the words of who asks and of who answers. Below feature level 5 its details are free, and the verb says it all.
fn contest(kind: Kind, details: &Value, lang: Lang) -> Option<String> {
    let said = |field: &str| Some(text(details, field)).filter(|text| !text.is_empty());
    if kind == Kind::CONTEST_OPENED {
        let (about, question) = (details.get("about")?.as_u64()?, quoted(&said("question")?, lang));
        return Some(match lang {
            Lang::Fr => format!("a demandé pourquoi, à propos de l'événement n° {about} : {question}"),
            Lang::En => format!("asked why, about event no. {about}: {question}"),
        });
    }
    let id = quoted(&said("contest")?, lang);
    match kind {
        Kind::CONTEST_ANSWERED => {
            let answer = quoted(&said("answer")?, lang);
            Some(match lang {
                Lang::Fr => format!("a répondu à la contestation {id} : {answer}"),
                Lang::En => format!("answered the contest {id}: {answer}"),
            })
        }
        Kind::CONTEST_CLOSED => Some(match lang {
            Lang::Fr => format!("a clos la contestation {id}"),
            Lang::En => format!("closed the contest {id}"),
        }),
        _ => None,
    }
}

fn consent(kind: Kind, details: &Value, lang: Lang) -> Option<String> {
    if kind == Kind::CONSENT_REVOKED {
        let id = text(details, "consent");
        let named = quoted(&id, lang);
        return (!id.is_empty()).then(|| match lang {
            Lang::Fr => format!("a retiré la directive de consentement {named}"),
            Lang::En => format!("withdrew the consent directive {named}"),
        });
    }
    let mut out = provision(details, lang)?;
    let id = text(details, "id");
    if !id.is_empty() {
        let named = quoted(&id, lang);
        out += &match lang {
            Lang::Fr => format!(" (directive {named})"),
            Lang::En => format!(" (directive {named})"),
        };
    }
    let old = text(details, "supersedes");
    if !old.is_empty() {
        let named = quoted(&old, lang);
        out += &match lang {
            Lang::Fr => format!(", en remplacement de la directive {named}"),
            Lang::En => format!(", in place of the directive {named}"),
        };
    }
    if let Some(collected) = details.get("collected").filter(|c| c.is_object()) {
        let (by, capacity) = (actor(&text(collected, "collector"), lang), text(collected, "capacity"));
        out += &match lang {
            Lang::Fr => format!(", recueilli par {by} ({capacity}, {})", text(collected, "method")),
            Lang::En => format!(", collected by {by} ({capacity}, {})", text(collected, "method")),
        };
    }
    Some(out)
}

/// A directive or an exception of one: `a autorisé … à …` or `a interdit à … de …`.
fn provision(details: &Value, lang: Lang) -> Option<String> {
    let mut out = granted(details, lang, true)?;
    let exceptions: Vec<String> = match details.get("except") {
        Some(Value::Array(exceptions)) => exceptions.iter().filter_map(|e| granted(e, lang, false)).collect(),
        _ => Vec::new(),
    };
    if !exceptions.is_empty() {
        let joined = exceptions.join(" ; ");
        out += &match lang {
            Lang::Fr => format!(", sauf exception : {joined}"),
            Lang::En => format!(", except: {joined}"),
        };
    }
    Some(out)
}

fn granted(details: &Value, lang: Lang, finite: bool) -> Option<String> {
    let permit = match details.get("effect")?.as_str()? {
        "permit" => true,
        "deny" => false,
        _ => return None,
    };
    let inherited = !finite && details.get("grantee").is_none();
    let whom = grantee(details.get("grantee"), lang);
    let (doing, what) = (actions(details, lang), objects(details, lang));
    let rest = format!("{}{}", purposes(details, lang), period(details, lang));
    let verb = match (finite, permit, lang) {
        (true, true, Lang::Fr) => "a autorisé",
        (true, false, Lang::Fr) => "a interdit",
        (false, true, Lang::Fr) => "autoriser",
        (false, false, Lang::Fr) => "interdire",
        (true, true, Lang::En) => "permitted",
        (true, false, Lang::En) => "forbade",
        (false, true, Lang::En) => "permit",
        (false, false, Lang::En) => "forbid",
    };
    let doing = match (doing.is_empty(), lang) {
        (false, _) => doing,
        (true, Lang::Fr) => "accéder à".to_owned(),
        (true, Lang::En) => "access".to_owned(),
    };
    let act = join_object(&doing, &what, lang);
    Some(match (permit, inherited, lang) {
        (true, false, Lang::Fr) => format!("{verb} {whom} à {act}{rest}"),
        (true, true, Lang::Fr) => format!("{verb} à {act}{rest}"),
        (false, false, Lang::Fr) => format!("{verb} {} {}{rest}", to_whom(&whom, lang), of_doing(&act)),
        (false, true, Lang::Fr) => format!("{verb} {}{rest}", of_doing(&act)),
        (_, false, Lang::En) => format!("{verb} {whom} to {act}{rest}"),
        (_, true, Lang::En) => format!("{verb} to {act}{rest}"),
    })
}

/// `accéder à` melts with the article that follows: `accéder aux documents`.
fn join_object(doing: &str, what: &str, lang: Lang) -> String {
    match (lang, doing.strip_suffix(" à")) {
        (Lang::Fr, Some(verb)) => format!("{verb} {}", to_whom(what, lang)),
        _ => format!("{doing} {what}"),
    }
}

fn limits(kind: Kind, record: &v1::Record, details: &Value, lang: Lang) -> Option<String> {
    let docs = || documents(record, details, lang);
    let whom = || actor(&text(details, "professional"), lang);
    Some(match (kind, lang) {
        (Kind::EMERGENCY_OPPOSITION, Lang::Fr) => {
            format!("a fait opposition à l'accès d'urgence {}", cases(details, lang))
        }
        (Kind::EMERGENCY_OPPOSITION, Lang::En) => format!("opposed emergency access {}", cases(details, lang)),
        (Kind::EMERGENCY_OPPOSITION_LIFTED, Lang::Fr) => {
            format!("a levé son opposition à l'accès d'urgence {}", cases(details, lang))
        }
        (Kind::EMERGENCY_OPPOSITION_LIFTED, Lang::En) => {
            format!("lifted the opposition to emergency access {}", cases(details, lang))
        }
        (Kind::PROFESSIONAL_BLOCKED, Lang::Fr) => format!("a bloqué {}", whom()),
        (Kind::PROFESSIONAL_BLOCKED, Lang::En) => format!("blocked {}", whom()),
        (Kind::PROFESSIONAL_UNBLOCKED, Lang::Fr) => format!("a débloqué {}", whom()),
        (Kind::PROFESSIONAL_UNBLOCKED, Lang::En) => format!("unblocked {}", whom()),
        (Kind::ITEM_MASKED, Lang::Fr) => format!("a masqué {}", docs()),
        (Kind::ITEM_MASKED, Lang::En) => format!("masked {}", docs()),
        (Kind::ITEM_UNMASKED, Lang::Fr) => format!("a rendu visible {}", docs()),
        (Kind::ITEM_UNMASKED, Lang::En) => format!("made visible again {}", docs()),
        (Kind::ITEM_EMBARGOED, Lang::Fr) => {
            let until = moment(details, "until", lang);
            let until = until.map(|t| format!(", au plus tard jusqu'au {t}")).unwrap_or_default();
            format!("a retenu jusqu'à la consultation d'annonce {}{until}", docs())
        }
        (Kind::ITEM_EMBARGOED, Lang::En) => {
            let until = moment(details, "until", lang);
            let until = until.map(|t| format!(", at the latest until {t}")).unwrap_or_default();
            format!("held until a person has told the patient: {}{until}", docs())
        }
        (Kind::ITEM_RELEASED, Lang::Fr) => format!("a rendu visible au patient {}", docs()),
        (Kind::ITEM_RELEASED, Lang::En) => format!("released to the patient {}", docs()),
        (Kind::FEED_OPPOSED, Lang::Fr) => format!("a fait opposition à ce que {}", feed(details, "ajoute", lang)),
        (Kind::FEED_OPPOSED, Lang::En) => format!("opposed that {}", feed(details, "add", lang)),
        (Kind::FEED_OPPOSITION_LIFTED, Lang::Fr) => {
            format!("a levé son opposition à ce que {}", feed(details, "ajoute", lang))
        }
        (Kind::FEED_OPPOSITION_LIFTED, Lang::En) => format!("no longer opposes that {}", feed(details, "add", lang)),
        _ => return None,
    })
}

/// The documents of a record: those of its items, or those that its details name.
fn documents(record: &v1::Record, details: &Value, lang: Lang) -> String {
    match record.items.is_empty() {
        true => objects(details, lang),
        false => {
            let named = items(record, lang);
            match (record.items.len(), lang) {
                (1, Lang::Fr) => format!("le document {named}"),
                (_, Lang::Fr) => format!("les documents {named}"),
                (1, Lang::En) => format!("the document {named}"),
                (_, Lang::En) => format!("the documents {named}"),
            }
        }
    }
}

/// A case of emergency, as CSP L1111-17 and R1111-48 name them.
pub fn case(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "INCAPACITY" => ("en cas d'impossibilité d'exprimer sa volonté", "where the patient can't express a will"),
        "SAMU" => ("lors d'un appel au Samu", "in a call to the Samu"),
        "FIRE" => ("lors d'une intervention des sapeurs-pompiers", "in an intervention of the fire brigade"),
        other => return quoted(other, lang),
    };
    words::pick(lang, fr, en).to_owned()
}

fn cases(details: &Value, lang: Lang) -> String {
    let named: Vec<String> = texts(details.get("cases")).iter().map(|token| case(token, lang)).collect();
    match named.is_empty() {
        true => words::pick(lang, "dans tous les cas", "in every case").to_owned(),
        false => list(&named, lang),
    }
}

/// `… ajoute(nt) des documents de la catégorie …`.
fn feed(details: &Value, verb: &str, lang: Lang) -> String {
    let source = text(details, "source");
    let (who, many) = match (source.as_str(), source.contains('|'), lang) {
        ("professionals", _, Lang::Fr) => ("les professionnels".to_owned(), true),
        ("professionals", _, Lang::En) => ("professionals".to_owned(), true),
        (_, true, _) => (actor(&source, lang), false),
        (_, false, Lang::Fr) => (format!("la source {}", quoted(&source, lang)), false),
        (_, false, Lang::En) => (format!("the source {}", quoted(&source, lang)), false),
    };
    let category = text(details, "category");
    let of = match (category.is_empty(), lang) {
        (true, _) => String::new(),
        (false, Lang::Fr) => format!(" de la catégorie {}", quoted(&words::category(&category, lang), lang)),
        (false, Lang::En) => format!(" of the category {}", quoted(&words::category(&category, lang), lang)),
    };
    match (many, lang) {
        (true, Lang::Fr) => format!("{who} {verb}nt des documents{of}"),
        (false, Lang::Fr) => format!("{who} {verb} des documents{of}"),
        (true, Lang::En) => format!("{who} {verb} documents{of}"),
        (false, Lang::En) => format!("{who} {verb}s documents{of}"),
    }
}

/// How someone is related to the patient.
pub fn relation(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "PARENT" => ("titulaire de l'autorité parentale", "parent"),
        "GUARDIAN" => ("tuteur ou tutrice", "guardian"),
        "CAREGIVER" => ("aidant", "caregiver"),
        "TRUSTED_PERSON" => ("personne de confiance", "trusted person"),
        other => return quoted(other, lang),
    };
    words::pick(lang, fr, en).to_owned()
}

/// A power of a representative.
pub fn power(token: &str, lang: Lang) -> String {
    match (token, lang) {
        ("read", Lang::Fr) => "consulter, rechercher, télécharger et imprimer".to_owned(),
        ("read", Lang::En) => "read, search, download and print".to_owned(),
        ("consent", Lang::Fr) => "décider des autorisations".to_owned(),
        ("consent", Lang::En) => "decide on consent".to_owned(),
        (other, _) => super::phrase::action(other, lang),
    }
}

fn people(kind: Kind, record: &v1::Record, details: &Value, lang: Lang) -> Option<String> {
    let professional = text(details, "professional");
    let oneself = record.actor.as_ref().is_some_and(|actor| is_named(actor, &professional));
    let whom = actor(&professional, lang);
    let until = moment(details, "until", lang);
    let until = match (until, lang) {
        (None, _) => String::new(),
        (Some(until), Lang::Fr) => format!(", jusqu'au {until}"),
        (Some(until), Lang::En) => format!(", until {until}"),
    };
    Some(match (kind, oneself, lang) {
        (Kind::REPRESENTATION_REGISTERED, ..) => represented(details, lang),
        (Kind::REPRESENTATION_ENDED, _, Lang::Fr) => {
            format!("a mis fin à la représentation par {}", actor(&text(details, "representative"), lang))
        }
        (Kind::REPRESENTATION_ENDED, _, Lang::En) => {
            format!("ended the representation by {}", actor(&text(details, "representative"), lang))
        }
        (Kind::MINOR_SECRECY_SET, _, Lang::Fr) => {
            format!("a demandé le secret à l'égard des représentants pour {}", documents(record, details, lang))
        }
        (Kind::MINOR_SECRECY_SET, _, Lang::En) => {
            format!("asked for secrecy towards representatives on {}", documents(record, details, lang))
        }
        (Kind::MINOR_SECRECY_LIFTED, _, Lang::Fr) => {
            format!("a levé le secret à l'égard des représentants pour {}", documents(record, details, lang))
        }
        (Kind::MINOR_SECRECY_LIFTED, _, Lang::En) => {
            format!("lifted the secrecy towards representatives on {}", documents(record, details, lang))
        }
        (Kind::CARETEAM_JOINED, true, Lang::Fr) => format!("a rejoint l'équipe de soins{until}"),
        (Kind::CARETEAM_JOINED, true, Lang::En) => format!("joined the care team{until}"),
        (Kind::CARETEAM_JOINED, false, Lang::Fr) => format!("a ajouté {whom} à l'équipe de soins{until}"),
        (Kind::CARETEAM_JOINED, false, Lang::En) => format!("added {whom} to the care team{until}"),
        (Kind::CARETEAM_LEFT, true, Lang::Fr) => "a quitté l'équipe de soins".to_owned(),
        (Kind::CARETEAM_LEFT, true, Lang::En) => "left the care team".to_owned(),
        (Kind::CARETEAM_LEFT, false, Lang::Fr) => format!("a retiré {whom} de l'équipe de soins"),
        (Kind::CARETEAM_LEFT, false, Lang::En) => format!("removed {whom} from the care team"),
        (Kind::ATTENDING_DECLARED, _, Lang::Fr) => format!("a déclaré {whom} comme médecin traitant"),
        (Kind::ATTENDING_DECLARED, _, Lang::En) => format!("declared {whom} as attending doctor"),
        (Kind::ATTENDING_ENDED, _, Lang::Fr) => {
            format!("a mis fin à la déclaration {} comme médecin traitant", of_whom(&whom, lang))
        }
        (Kind::ATTENDING_ENDED, _, Lang::En) => {
            format!("ended the declaration {} as attending doctor", of_whom(&whom, lang))
        }
        _ => return None,
    })
}

fn is_named(actor: &v1::Actor, name: &str) -> bool {
    name.split_once('|').is_some_and(|(system, id)| actor.system == system && actor.id == id)
}

fn represented(details: &Value, lang: Lang) -> String {
    let whom = actor(&text(details, "representative"), lang);
    let related = relation(&text(details, "relation"), lang);
    let powers: Vec<String> = texts(details.get("powers")).iter().map(|token| power(token, lang)).collect();
    let powers = match (powers.is_empty(), lang) {
        (true, _) => String::new(),
        (false, Lang::Fr) => format!(", avec le pouvoir de : {}", powers.join(" ; ")),
        (false, Lang::En) => format!(", with the power to: {}", powers.join("; ")),
    };
    let period = period(details, lang);
    match lang {
        Lang::Fr => format!("a enregistré {whom} comme représentant ({related}){powers}{period}"),
        Lang::En => format!("registered {whom} as representative ({related}){powers}{period}"),
    }
}

fn emergency(kind: Kind, details: &Value, lang: Lang) -> Option<String> {
    if kind == Kind::BREAKGLASS_OPENED {
        return Some(opened(details, lang));
    }
    let id = text(details, "breakglass");
    let named = match id.is_empty() {
        true => String::new(),
        false => format!(" {}", quoted(short_id(&id), lang)),
    };
    let said = text(details, "text");
    let said = match (said.is_empty(), lang) {
        (true, _) => String::new(),
        (false, Lang::Fr) => format!(" : {}", quoted(&said, lang)),
        (false, Lang::En) => format!(": {}", quoted(&said, lang)),
    };
    Some(match (kind, lang) {
        (Kind::BREAKGLASS_JUSTIFIED, Lang::Fr) => format!("a justifié l'accès d'urgence{named}{said}"),
        (Kind::BREAKGLASS_JUSTIFIED, Lang::En) => format!("justified the emergency access{named}{said}"),
        (Kind::BREAKGLASS_CLOSED, Lang::Fr) => format!("a clos l'accès d'urgence{named}"),
        (Kind::BREAKGLASS_CLOSED, Lang::En) => format!("closed the emergency access{named}"),
        (Kind::BREAKGLASS_REVIEWED, _) => {
            let found = verdict(&text(details, "verdict"), lang);
            match lang {
                Lang::Fr => format!("a contrôlé l'accès d'urgence{named} et l'a jugé {found}{said}"),
                Lang::En => format!("reviewed the emergency access{named} and found it {found}{said}"),
            }
        }
        _ => return None,
    })
}

/// The finding of a review.
pub fn verdict(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "JUSTIFIED" => ("justifié", "justified"),
        "NOT_JUSTIFIED" => ("non justifié", "not justified"),
        other => return quoted(other, lang),
    };
    words::pick(lang, fr, en).to_owned()
}

fn opened(details: &Value, lang: Lang) -> String {
    let named = quoted(&text(details, "id"), lang);
    let mut out = match lang {
        Lang::Fr => format!("a ouvert un accès d'urgence (bris de glace {named})"),
        Lang::En => format!("opened an emergency access (break-glass {named})"),
    };
    let mut add = |part: String| {
        out.push_str(", ");
        out.push_str(&part);
    };
    let token = text(details, "case");
    if !token.is_empty() {
        add(case(&token, lang));
    }
    let reason = [text(details, "reason"), text(details, "text")];
    let reason: Vec<&str> = reason.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
    if !reason.is_empty() {
        let reason = reason.join(" – ");
        add(match lang {
            Lang::Fr => format!("motif : {reason}"),
            Lang::En => format!("reason: {reason}"),
        });
    }
    let search = search(&text(details, "search"), lang);
    if !search.is_empty() {
        add(search);
    }
    add(place(details, lang));
    let before = text(details, "continues");
    if !before.is_empty() {
        let before = quoted(&before, lang);
        add(match lang {
            Lang::Fr => format!("à la suite de l'accès d'urgence {before}"),
            Lang::En => format!("in continuation of the emergency access {before}"),
        });
    }
    if let Some(expires) = moment(details, "expires", lang) {
        add(match lang {
            // The policy may end it earlier.
            Lang::Fr => format!("valable au plus jusqu'au {expires}"),
            Lang::En => format!("valid until {expires} at the latest"),
        });
    }
    out
}

/// How the patient was found.
fn search(token: &str, lang: Lang) -> String {
    let (fr, en) = match token {
        "" => return String::new(),
        "INS" => ("patient trouvé par son INS", "patient found by the INS"),
        "TRAITS" => ("patient trouvé par ses traits d'identité", "patient found by identity traits"),
        "NONE" => ("sans recherche du patient", "without a search for the patient"),
        other => {
            return match lang {
                Lang::Fr => format!("patient trouvé par : {other}"),
                Lang::En => format!("patient found by: {other}"),
            };
        }
    };
    words::pick(lang, fr, en).to_owned()
}

/// Where it was, or why that isn't known.
fn place(details: &Value, lang: Lang) -> String {
    let number = |position: &Value, field: &str| position.get(field).and_then(Value::as_f64);
    if let Some(position) = details.get("position") {
        let at = number(position, "lat").zip(number(position, "lon"));
        let (lat, lon) = at.unwrap_or_default();
        let within = number(position, "accuracy_m").map(|m| format!(" (± {m} m)")).unwrap_or_default();
        return match lang {
            Lang::Fr => format!("position {lat}, {lon}{within}"),
            Lang::En => format!("position {lat}, {lon}{within}"),
        };
    }
    match (text(details, "no_position").as_str(), lang) {
        ("REFUSED", Lang::Fr) => "position non relevée (refus)".to_owned(),
        ("REFUSED", Lang::En) => "position not taken (refused)".to_owned(),
        ("UNAVAILABLE", Lang::Fr) => "position non relevée (indisponible)".to_owned(),
        ("UNAVAILABLE", Lang::En) => "position not taken (unavailable)".to_owned(),
        ("INDOORS", Lang::Fr) => "position non relevée (intérieur)".to_owned(),
        ("INDOORS", Lang::En) => "position not taken (indoors)".to_owned(),
        ("", Lang::Fr) => "position non relevée".to_owned(),
        ("", Lang::En) => "position not taken".to_owned(),
        (other, Lang::Fr) => format!("position non relevée ({other})"),
        (other, Lang::En) => format!("position not taken ({other})"),
    }
}

#[cfg(test)]
#[path = "decided_tests.rs"]
mod tests;
