//! Effective access: who can open which documents right now, and why, in plain words for the patient.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::state::Space;
use sillage_rules::consent::{Action, ActorName, Case};
use sillage_rules::decide::Reason;

use super::known::Known;
use super::rights::{Found, Professions, Questions, Right, Sample, What, Who, World, ends, told};
use sillage_words::decided::case;
use sillage_words::decision::reason;
use sillage_words::phrase::{action as action_word, actor, list, quoted};
use sillage_words::sentence::clean;
use sillage_words::time::{rfc3339, spoken, spoken_end};
use sillage_words::{Lang, words};

/// Names that one sentence spells out; the others are counted.
const NAMED_MAX: usize = 6;

/// On what the answer rests, in French and in English.
const UNPROVEN: (&str, &str) = (
    "Cette réponse repose sur la parole d'un seul nœud : s'il ment, il peut avoir omis une règle (une révocation, un masquage, un blocage), en avoir inventé une, ou montrer un état ancien. Ce que « prove patient » écrit se vérifie sans le croire.",
    "This answer rests on one node's word: if it lies, it can have left out a rule (a revocation, a masking, a block), made one up, or shown an old state. What `prove patient` writes can be verified without believing it.",
);

/// Everybody's rights, as of one moment.
#[derive(Debug, Clone)]
pub struct Rights {
    as_of_size: u64,
    as_of_ms: u64,
    space: Space,
    samples: Vec<Sample>,
    rights: Vec<Right>,
    /// Depositors that nothing else names.
    depositors: BTreeSet<ActorName>,
    /// True if professionals see what they deposited themselves.
    depositors_see: bool,
    /// True if there are more structures and professions than were tried.
    is_cut: bool,
    /// True if there are more categories with labels than were tried.
    is_labelled_cut: bool,
    /// When what a record permits ends, ms.
    ends: BTreeMap<LeafIndex, u64>,
    /// Of whom a record says who they are.
    labels: BTreeMap<ActorName, String>,
}

/// Works out everybody's rights.
pub fn rights(known: &Known) -> Rights {
    let (questions, rights, depositors_see) = known.with_env(|env| {
        let secret = known.secret.as_ref().map(|side| &side.state);
        let world = World { env, open: &known.open.state, secret, at: known.at() };
        let questions = Questions::of(&[&world], &professions(known));
        let rights = told(&world.ask(&questions));
        let depositors_see = world.depositors_see();
        (questions, rights, depositors_see)
    });
    Rights {
        as_of_size: known.as_of_size,
        as_of_ms: known.as_of_ms,
        space: known.open.state.space().0,
        samples: questions.samples,
        rights,
        depositors: questions.depositors,
        depositors_see,
        is_cut: questions.is_cut,
        is_labelled_cut: questions.is_labelled_cut,
        ends: ends(known.sides().map(|(side, _)| &side.state)),
        labels: labels(known),
    }
}

/// Rights of one purpose on which the same was found, wherever both were asked, become one.
fn joined(rights: &[&&Right]) -> Vec<Right> {
    let mut out: Vec<Right> = Vec::new();
    for right in rights {
        let alike = |known: &&mut Right| {
            let same = |(a, b): (&Option<Found>, &Option<Found>)| a.is_none() || b.is_none() || a == b;
            known.purpose == right.purpose && known.found.iter().zip(&right.found).all(same)
        };
        match out.iter_mut().find(alike) {
            Some(known) => {
                known.actions.extend(&right.actions);
                known.found.iter_mut().zip(&right.found).for_each(|(a, b)| *a = a.or(*b));
            }
            None => out.push((**right).clone()),
        }
    }
    out
}

/// Profession and structure of whoever signed a record of the patient, as of the newest.
pub fn professions(known: &Known) -> Professions {
    let metas = known.sides().flat_map(|(side, _)| side.records.iter().filter_map(|record| record.event.as_ref()));
    let signers = metas.map(|(_, meta)| &meta.signer);
    signers.map(|signer| (signer.name.clone(), (signer.profession.clone(), signer.organisation.clone()))).collect()
}

/// Names of people as the newest record that they signed has them.
pub fn labels(known: &Known) -> BTreeMap<ActorName, String> {
    let mut out = BTreeMap::new();
    for record in known.sides().flat_map(|(side, _)| &side.records) {
        let (Some((_, meta)), Some(line)) = (&record.event, &record.line.record) else { continue };
        let label = line.message().actor.as_ref().map(|actor| clean(&actor.label)).unwrap_or_default();
        if !label.is_empty() {
            out.insert(meta.signer.name.clone(), label);
        }
    }
    out
}

impl Rights {
    /// The answer as lines of text.
    pub fn lines(&self, lang: Lang) -> Vec<String> {
        let when = spoken(self.as_of_ms, lang);
        let mut out = vec![match lang {
            Lang::Fr => format!("Au {when} (registre à {} entrées) :", self.as_of_size),
            Lang::En => format!("As of {when} (log of {} entries):", self.as_of_size),
        }];
        match (self.space, lang) {
            (Space::Open, _) => {}
            (Space::Opposed, Lang::Fr) => out.push("L'espace de santé est fermé : le patient s'y oppose.".to_owned()),
            (Space::Opposed, Lang::En) => out.push("The health space is closed: the patient opposes it.".to_owned()),
            (Space::Closed, Lang::Fr) => out.push("L'espace de santé est clos.".to_owned()),
            (Space::Closed, Lang::En) => out.push("The health space is closed.".to_owned()),
        }
        let mut at = 0;
        while let Some(first) = self.rights.get(at) {
            let own: Vec<&Right> = self.rights[at..].iter().take_while(|right| right.who == first.who).collect();
            at += own.len();
            self.subject(&own, lang, &mut out);
        }
        if self.depositors_see {
            let own = "• Chaque professionnel ou structure peut aussi consulter ce qu'il a lui-même déposé, sauf ce qui est dit ci-dessus.";
            let own_en = "• Every professional or structure can also read what they deposited themselves, but for what is said above.";
            out.push(words::pick(lang, own, own_en).to_owned());
        }
        if self.is_cut {
            let cut = "Plus de structures et de professions sont en jeu que cette réponse n'en a essayé : pour les autres, demandez avec « authorize ».";
            let cut_en =
                "More structures and professions matter than this answer tried: for the others, ask with `authorize`.";
            out.push(words::pick(lang, cut, cut_en).to_owned());
        }
        if self.is_labelled_cut {
            let cut = "Plus de catégories avec étiquettes sont en jeu que cette réponse n'en a essayé : pour les autres, demandez avec « authorize ».";
            let cut_en =
                "More categories with labels matter than this answer tried: for the others, ask with `authorize`.";
            out.push(words::pick(lang, cut, cut_en).to_owned());
        }
        out.push(words::pick(lang, UNPROVEN.0, UNPROVEN.1).to_owned());
        out
    }

    /// Tells whether what follows says that somebody may open something for a structure, or as a profession.
    fn has_more(&self, who: &Who) -> bool {
        let is_more = |right: &Right| right.of.contains(who) && right.permits();
        self.rights.iter().any(is_more)
    }

    fn subject(&self, rights: &[&Right], lang: Lang, out: &mut Vec<String>) {
        // What they deposited is said of all depositors together, and of their structures.
        let is_quiet = match &rights[0].who {
            Who::Named(name) | Who::Acting { name, .. } => self.depositors.contains(name),
            _ => false,
        };
        if is_quiet {
            return;
        }
        let name = who(&rights[0].who, &self.labels, lang);
        let permits: Vec<&&Right> = rights.iter().filter(|right| right.permits()).collect();
        if permits.is_empty() {
            let found: Vec<&Found> = rights.iter().flat_map(|right| right.found.iter().flatten()).collect();
            let why = reasons(&found, &self.ends).text(lang);
            if !rights[0].of.is_empty() {
                // Of a variant, only what differs is told.
                return rights.iter().for_each(|right| out.push(self.denied(&name, right, lang)));
            }
            if self.has_more(&rights[0].who) {
                out.push(match lang {
                    Lang::Fr => format!("• {name} ne peut rien ouvrir, sauf ce qui est dit à la suite : {why}."),
                    Lang::En => format!("• {name} can't open anything but what is said next: {why}."),
                });
                return;
            }
            out.push(match lang {
                Lang::Fr => format!("• {name} ne peut rien ouvrir : {why}."),
                Lang::En => format!("• {name} can't open anything: {why}."),
            });
            return;
        }
        for right in joined(&permits) {
            // That professionals may deposit is said once, of all of them.
            let deposits = right.found.iter().flatten().all(|found| found.reason == Reason::DepositDefault);
            if deposits && right.who != Who::AnyProfessional {
                continue;
            }
            let (what, why, except) = self.extent(&right, lang);
            let (what, why) = (doing(&right.actions, what, lang), because(&right.who, &right.purpose, &why, lang));
            out.push(match lang {
                Lang::Fr => format!("• {name} peut {what}{why}{except}."),
                Lang::En => format!("• {name} can {what}{why}{except}."),
            });
        }
    }

    /// The rights that a variant of somebody lacks, and that are permitted to them otherwise.
    fn denied(&self, name: &str, right: &Right, lang: Lang) -> String {
        let pairs = self.samples.iter().zip(&right.found).filter_map(|(sample, found)| Some((sample, found.as_ref()?)));
        let (whats, found): (Vec<&What>, Vec<&Found>) = pairs.map(|(sample, found)| (&sample.what, found)).unzip();
        let whats: Vec<&What> = whats.iter().copied().filter(|what| !is_part_of(what, &whats)).collect();
        let what = doing(&right.actions, Some(named(&whats, lang)), lang);
        let why = reasons(&found, &self.ends).text(lang);
        match lang {
            Lang::Fr => format!("• {name} ne peut pas {what} : {why}."),
            Lang::En => format!("• {name} can't {what}: {why}."),
        }
    }

    /// The things that are permitted (none: all), why, and those of them that aren't.
    fn extent(&self, right: &Right, lang: Lang) -> (Option<String>, Why, String) {
        let pairs = self.samples.iter().zip(&right.found).filter_map(|(sample, found)| Some((sample, found.as_ref()?)));
        let pairs: Vec<(&Sample, &Found)> = pairs.collect();
        let permitted: Vec<(&Sample, &Found)> = pairs.iter().copied().filter(|(_, f)| f.reason.permits()).collect();
        let denied: Vec<(&Sample, &Found)> = pairs.iter().copied().filter(|(_, f)| !f.reason.permits()).collect();
        // Of a variant, what isn't told is as it is for whomever it is a variant of.
        let whole = right.of.is_empty() && permitted.iter().any(|(sample, _)| sample.what == What::Other);
        // What is true of the category or of the label as a whole needs no saying of both together.
        let open: Vec<&What> = permitted.iter().map(|(sample, _)| &sample.what).collect();
        let closed: Vec<&What> = denied.iter().map(|(sample, _)| &sample.what).collect();
        let stays: Vec<&What> = open.iter().copied().filter(|what| is_part_of(what, &closed)).collect();
        let denied: Vec<(&Sample, &Found)> =
            denied.into_iter().filter(|(sample, _)| !is_part_of(&sample.what, &closed)).collect();
        let why = reasons(&permitted.iter().map(|(_, found)| *found).collect::<Vec<_>>(), &self.ends);
        let categories: Vec<&str> = permitted
            .iter()
            .filter_map(|(sample, _)| match &sample.what {
                What::Category(category) => Some(category.as_str()),
                _ => None,
            })
            .collect();
        if whole {
            return (None, why, self.except(&denied, lang) + &but(&stays, lang));
        }
        let in_category = |sample: &Sample| categories.contains(&sample.category());
        let own = permitted.iter().filter(|(sample, _)| {
            let is_said = matches!(sample.what, What::Document(_)) && in_category(sample);
            !is_said && !is_part_of(&sample.what, &open)
        });
        let what = named(&own.map(|(sample, _)| &sample.what).collect::<Vec<_>>(), lang);
        // Of what isn't permitted anyway, nothing need be said; of what a record takes out of it, it must.
        let of_those: Vec<(&Sample, &Found)> = denied
            .into_iter()
            .filter(|(_, found)| found.by.is_some())
            .filter(|(sample, _)| match sample.what {
                What::Document(_) => in_category(sample),
                What::Label(_) => true,
                // Of what wasn't said to be open, nothing is taken out.
                What::Labelled(..) => is_part_of(&sample.what, &open),
                What::Category(_) | What::Other => false,
            })
            .collect();
        let mut except = self.except(&of_those, lang);
        // What shuts out all the rest.
        let rest = pairs.iter().find(|(sample, found)| sample.what == What::Other && found.by.is_some());
        if let (Some((_, found)), true) = (rest, of_those.is_empty()) {
            let why = reason(found.reason.as_str(), lang);
            except = match lang {
                Lang::Fr => format!(", et rien d'autre ({why})"),
                Lang::En => format!(", and nothing else ({why})"),
            };
        }
        (Some(what), why, except)
    }

    /// `, sauf le document d1 (document masqué)`; empty where nothing is taken out.
    fn except(&self, denied: &[(&Sample, &Found)], lang: Lang) -> String {
        let mut groups: Vec<(&Found, Vec<&What>)> = Vec::new();
        for (sample, found) in denied {
            match groups.iter_mut().find(|(known, _)| known.reason == found.reason) {
                Some((_, whats)) => whats.push(&sample.what),
                None => groups.push((found, vec![&sample.what])),
            }
        }
        let group = |(found, whats): (&Found, Vec<&What>)| {
            format!("{} ({})", named(&whats, lang), reason(found.reason.as_str(), lang))
        };
        let groups = list(&groups.into_iter().map(group).collect::<Vec<_>>(), lang);
        match (groups.is_empty(), lang) {
            (true, _) => String::new(),
            (false, Lang::Fr) => format!(", sauf {groups}"),
            (false, Lang::En) => format!(", except {groups}"),
        }
    }

    /// The answer as JSON, one object for each right.
    pub fn to_json(&self) -> Vec<Value> {
        let of = |right: &Right| {
            let until = |found: &Found| found.by.and_then(|by| self.ends.get(&by)).map(|ms| rfc3339(*ms));
            let items = |permit: bool| -> Vec<Value> {
                let pairs = self.samples.iter().zip(&right.found);
                let pairs = pairs.filter_map(|(sample, found)| Some((sample, found.as_ref()?)));
                let pairs = pairs.filter(|(_, found)| found.reason.permits() == permit);
                pairs
                    .map(|(sample, found)| {
                        let (reason, by, until) = (found.reason, found.by, until(found));
                        json!({"of": what_json(&sample.what), "reason": reason, "by": by, "until": until})
                    })
                    .collect()
            };
            json!({
                "who": who_json(&right.who), "purpose": right.purpose, "actions": right.actions,
                "permitted": items(true), "denied": items(false),
                "as_of": self.as_of_size, "as_of_time": rfc3339(self.as_of_ms), "rests_on": "one node's word",
            })
        };
        self.rights.iter().map(of).collect()
    }
}

/// Tells whether this is a category with a label, and the category or the label as a whole is among these.
fn is_part_of(what: &What, among: &[&What]) -> bool {
    let What::Labelled(category, label) = what else { return false };
    among.iter().any(|other| match other {
        What::Category(whole) => whole == category,
        What::Label(whole) => whole == label,
        _ => false,
    })
}

/// The part that stays permitted of what is taken out; empty where nothing is.
fn but(stays: &[&What], lang: Lang) -> String {
    match (stays.is_empty(), lang) {
        (true, _) => String::new(),
        (false, Lang::Fr) => format!(" ; {} reste permis", named(stays, lang)),
        (false, Lang::En) => format!("; {} stays permitted", named(stays, lang)),
    }
}

/// Somebody, with an article in French.
pub fn who(who: &Who, labels: &BTreeMap<ActorName, String>, lang: Lang) -> String {
    match who {
        Who::Patient => words::pick(lang, "Le patient", "The patient").to_owned(),
        Who::Named(name) => {
            let known = actor(&clean(&name.to_string()), lang);
            match labels.get(name) {
                Some(label) => format!("{label} ({})", clean(name.id())),
                None => capital(&known),
            }
        }
        Who::Acting { name, profession, organisation } => {
            let name = self::who(&Who::Named(name.clone()), labels, lang);
            let profession = profession.as_deref().map(|token| quoted(&words::role(&clean(token), lang), lang));
            match (profession, organisation.as_deref().map(clean), lang) {
                (None, None, _) => name,
                (None, Some(o), Lang::Fr) => format!("{name}, agissant pour la structure {o},"),
                (Some(p), None, Lang::Fr) => format!("{name}, exerçant comme {p},"),
                (Some(p), Some(o), Lang::Fr) => format!("{name}, exerçant comme {p} pour la structure {o},"),
                (None, Some(o), Lang::En) => format!("{name}, acting for organisation {o},"),
                (Some(p), None, Lang::En) => format!("{name}, working as {p},"),
                (Some(p), Some(o), Lang::En) => format!("{name}, working as {p} for organisation {o},"),
            }
        }
        Who::Class { profession, organisation } => {
            let profession = profession.as_deref().map(|token| quoted(&words::role(&clean(token), lang), lang));
            let organisation = organisation.as_deref().map(clean);
            match (profession, organisation, lang) {
                (Some(p), None, Lang::Fr) => format!("Tout professionnel exerçant comme {p}"),
                (Some(p), Some(o), Lang::Fr) => format!("Tout professionnel de la structure {o} exerçant comme {p}"),
                (None, o, Lang::Fr) => format!("Tout professionnel de la structure {}", o.unwrap_or_default()),
                (Some(p), None, Lang::En) => format!("Any professional working as {p}"),
                (Some(p), Some(o), Lang::En) => format!("Any professional of organisation {o} working as {p}"),
                (None, o, Lang::En) => format!("Any professional of organisation {}", o.unwrap_or_default()),
            }
        }
        Who::Emergency(which) => emergency(*which, lang),
        Who::AnyProfessional => words::pick(lang, "Tout autre professionnel", "Any other professional").to_owned(),
    }
}

fn emergency(which: Case, lang: Lang) -> String {
    let when = case(which.as_str(), lang);
    match (which, lang) {
        (Case::Incapacity, Lang::Fr) => format!("Tout professionnel de santé, par un accès d'urgence {when},"),
        (Case::Samu, Lang::Fr) => format!("La régulation du Samu, par un accès d'urgence {when},"),
        (Case::Fire, Lang::Fr) => format!("Un médecin des sapeurs-pompiers, par un accès d'urgence {when},"),
        (Case::Incapacity, Lang::En) => format!("Any health professional, by an emergency access {when},"),
        (Case::Samu, Lang::En) => format!("The Samu's dispatch, by an emergency access {when},"),
        (Case::Fire, Lang::En) => format!("A fire brigade physician, by an emergency access {when},"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The actions and their objects: `consulter et imprimer tout le dossier`. A deposited item is new.
pub fn doing(actions: &[Action], what: Option<String>, lang: Lang) -> String {
    let said = |action: &Action| action_word(action.as_str(), lang);
    let (new, others): (Vec<&Action>, Vec<&Action>) = actions.iter().partition(|action| **action == Action::Write);
    let mut out = Vec::new();
    if !others.is_empty() {
        let others: Vec<String> = others.into_iter().map(said).collect();
        let whole = || words::pick(lang, "tout le dossier", "the whole record").to_owned();
        out.push(format!("{} {}", list(&others, lang), what.clone().unwrap_or_else(whole)));
    }
    if !new.is_empty() {
        let documents = words::pick(lang, "déposer des documents", "deposit documents").to_owned();
        out.push(match (what, lang) {
            (None, _) => documents,
            (Some(what), Lang::Fr) => format!("{documents} ({what})"),
            (Some(what), Lang::En) => format!("{documents} ({what})"),
        });
    }
    list(&out, lang)
}

/// Why something is permitted or denied: each reason, and when it ends, ms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why(pub Vec<(Reason, Option<u64>)>);

impl Why {
    /// The reasons with their ends, each once: `médecin traitant, jusqu'au …`.
    pub fn text(&self, lang: Lang) -> String {
        let mut out: Vec<String> = Vec::new();
        for (why, ends_ms) in &self.0 {
            let text = format!("{}{}", reason(why.as_str(), lang), until(*ends_ms, lang));
            if !out.contains(&text) {
                out.push(text);
            }
        }
        list(&out, lang)
    }

    /// Tells whether nothing but this is the reason, without an end.
    fn is_only(&self, one: Reason) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(why, ends_ms)| *why == one && ends_ms.is_none())
    }
}

/// `, pour des soins (membre de l'équipe de soins)`. Of the patient it goes without saying, of an emergency its name says it.
pub fn because(who: &Who, purpose: &str, why: &Why, lang: Lang) -> String {
    let text = why.text(lang);
    match (who, why.is_only(Reason::BreakGlass)) {
        (Who::Patient, _) | (Who::Emergency(_), true) => String::new(),
        (Who::Emergency(_), false) => format!(" ({text})"),
        (_, true) => format!(", {}", words::purpose(purpose, lang)),
        // The law's word for it is the purpose.
        _ if why.0.first().is_some_and(|(first, _)| *first == Reason::Representative) => format!(" ({text})"),
        _ => format!(", {} ({text})", words::purpose(purpose, lang)),
    }
}

/// `, jusqu'au …`; empty where nothing ends.
fn until(ends_ms: Option<u64>, lang: Lang) -> String {
    match (ends_ms.map(|ms| spoken_end(ms, lang)), lang) {
        (None, _) => String::new(),
        (Some(end), Lang::Fr) => format!(", jusqu'au {end}"),
        (Some(end), Lang::En) => format!(", until {end}"),
    }
}

/// Why, each reason with its end.
fn reasons(found: &[&Found], ends: &BTreeMap<LeafIndex, u64>) -> Why {
    // That one sees one's own deposits is said at the end.
    let others = found.iter().any(|found| found.reason.permits() && found.reason != Reason::Depositor);
    let said = found.iter().filter(|found| !others || found.reason != Reason::Depositor);
    Why(said.map(|found| (found.reason, found.by.and_then(|by| ends.get(&by).copied()))).collect())
}

/// `la catégorie « biologie », l'étiquette PSY et les documents d1 et d2`.
pub fn named(whats: &[&What], lang: Lang) -> String {
    let (mut out, mut documents) = (Vec::new(), Vec::new());
    for what in whats {
        match (what, lang) {
            (What::Other, Lang::Fr) => out.push("tout autre document".to_owned()),
            (What::Other, Lang::En) => out.push("any other document".to_owned()),
            (What::Category(token), Lang::Fr) => {
                out.push(format!("la catégorie {}", quoted(&words::category(&clean(token), lang), lang)));
            }
            (What::Category(token), Lang::En) => {
                out.push(format!("the category {}", quoted(&words::category(&clean(token), lang), lang)));
            }
            (What::Label(label), Lang::Fr) => out.push(format!("ce qui porte l'étiquette {}", clean(label))),
            (What::Label(label), Lang::En) => out.push(format!("what is labelled {}", clean(label))),
            (What::Labelled(category, label), _) => {
                let category = quoted(&words::category(&clean(category), lang), lang);
                out.push(match lang {
                    Lang::Fr => format!("ce qui, dans la catégorie {category}, porte l'étiquette {}", clean(label)),
                    Lang::En => format!("what is labelled {} in the category {category}", clean(label)),
                });
            }
            (What::Document(id), _) => documents.push(clean(id)),
        }
    }
    let rest = documents.len().saturating_sub(NAMED_MAX);
    documents.truncate(NAMED_MAX);
    if rest > 0 {
        documents.push(match lang {
            Lang::Fr => format!("{rest} de plus"),
            Lang::En => format!("{rest} more"),
        });
    }
    match (documents.len(), lang) {
        (0, _) => {}
        (1, Lang::Fr) => out.push(format!("le document {}", documents[0])),
        (1, Lang::En) => out.push(format!("the document {}", documents[0])),
        (_, Lang::Fr) => out.push(format!("les documents {}", list(&documents, lang))),
        (_, Lang::En) => out.push(format!("the documents {}", list(&documents, lang))),
    }
    list(&out, lang)
}

/// Somebody, for programs.
pub fn who_json(who: &Who) -> Value {
    match who {
        Who::Patient => json!({"kind": "patient"}),
        Who::Named(name) => json!({"kind": "named", "actor": name}),
        Who::Acting { name, profession, organisation } => {
            json!({"kind": "named", "actor": name, "profession": profession, "organisation": organisation})
        }
        Who::Class { profession, organisation } => {
            json!({"kind": "class", "profession": profession, "organisation": organisation})
        }
        Who::Emergency(case) => json!({"kind": "emergency", "case": case}),
        Who::AnyProfessional => json!({"kind": "any_professional"}),
    }
}

/// The object of a right, for programs.
pub fn what_json(what: &What) -> Value {
    match what {
        What::Category(category) => json!({"category": category}),
        What::Label(label) => json!({"label": label}),
        What::Labelled(category, label) => json!({"category": category, "label": label}),
        What::Document(id) => json!({"item": id}),
        What::Other => json!("other"),
    }
}
