//! One event as one sentence.

use sillage_proto::v1;
use sillage_rules::authority::is_confirmed;
use sillage_rules::device::{DeviceRegistered, mark_of_reading};
use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;
use sillage_rules::voiding::Notice;

pub use super::clean::{clean, turns};
use super::names::{ITEMS_NAMED_MAX, by_login};
pub use super::names::{item_name, items, short_who, who};
use super::{Event, Lang, decided, time, words};

/// The event as a patient reads it, such as:
///
/// *Le 2 mars 2026 à 10:00:00 (heure de Paris, CET), Dr Claire Dubois (médecin, structure 750712184) a consulté : compte rendu,
/// pour des soins, en tant que membre de l'équipe de soins.*
pub fn sentence(event: &Event, lang: Lang) -> String {
    let said = what_happened(event, lang);
    let Some(by) = &event.voided else { return said };
    let (since, reason, index) = (time::spoken(by.time_ms, lang), clean(&by.reason), by.index);
    match lang {
        Lang::Fr => format!(
            "{said} ANNULÉ le {since} (événement n° {index}), motif : {reason}. Cet enregistrement ne compte plus."
        ),
        Lang::En => {
            format!("{said} VOIDED on {since} (event no. {index}), reason: {reason}. This record counts for nothing.")
        }
    }
}

fn what_happened(event: &Event, lang: Lang) -> String {
    if let Some(decision) = &event.decision {
        let secret = words::pick(lang, ", caché aux représentants", ", kept from representatives");
        let secret = if event.secret { secret } else { "" };
        return format!("{}{secret}.", super::decision::sentence(decision, lang));
    }
    let Some(record) = &event.record else {
        return erased(event, lang);
    };
    if let Some(act) = erasing(record) {
        return erasure(record, act, lang);
    }
    if let Some(notice) = notice(event, record) {
        return told(record, &notice, event.secret, lang);
    }
    if let Some(device) = device(event, record) {
        return device_told(record, &device, event.secret, lang);
    }
    let by_ledger = event.flags.contains(Flags::LEDGER);
    if event.kind == Kind::LOG_CONSULTED && by_ledger && mark_of_reading(&record.details).is_some() {
        return device_read(record, event.secret, lang);
    }
    let permitted = authorisation(record);
    let (asked, refused) = (permitted.is_some(), permitted == Some(false));
    let failed = !words::outcome(record.outcome(), lang).is_empty();
    let verb: &str = match permitted {
        Some(permitted) => &asked_for(event.kind, record, permitted, lang),
        None if failed && words::has_object(event.kind) => words::attempt(event.kind, lang),
        None => &decided::predicate(event.kind, record, lang).unwrap_or_else(|| words::verb(event.kind, lang).into()),
    };
    let mut out = match lang {
        Lang::Fr => format!("Le {}, {} {verb}", time::spoken(record.occurred_at_ms, lang), who(record, lang)),
        Lang::En => format!("On {}, {} {verb}", time::spoken(record.occurred_at_ms, lang), who(record, lang)),
    };
    if words::has_object(event.kind) && !asked {
        out.push_str(&object(record, lang));
    }
    let outcome = if refused { "" } else { words::outcome(record.outcome(), lang) };
    let mut parts =
        vec![words::purpose(&record.purpose, lang), words::by_right(record, event.flags, lang), outcome.to_owned()];
    parts.extend(proven(record, lang));
    parts.extend(confirmed(event.kind, record, lang));
    parts.extend(words::flags(event.flags(), lang).into_iter().map(str::to_owned));
    if let Some(deferred) = &record.deferred {
        parts.push(format!("« {} »", clean(&deferred.reason)));
    }
    if event.secret {
        parts.push(words::pick(lang, "caché aux représentants", "kept from representatives").to_owned());
    }
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.push_str(", ");
        out.push_str(part);
    }
    out.push('.');
    out
}

/// By what the will is proven. `auth` says the same as the token: the ledger took the record on no other terms.
fn proven(record: &v1::Record, lang: Lang) -> Option<String> {
    record.will.as_ref()?;
    let auth = record.auth.clone().unwrap_or_default();
    let issuer = match auth.issuer.is_empty() {
        false => clean(&auth.issuer),
        true => clean(&sillage_rules::will::issuer_named(record).ok().flatten().unwrap_or_default()),
    };
    Some(by_login(&issuer, &auth.eidas_level, lang))
}

/// Of what is said of an identity: whether another party confirmed it. Only one of before feature level 4 stands alone.
fn confirmed(kind: Kind, record: &v1::Record, lang: Lang) -> Option<String> {
    if !is_confirmed(kind) {
        return None;
    }
    let keys: Vec<String> = record
        .signatures
        .iter()
        .map(|one| one.key_id.iter().take(4).map(|byte| format!("{byte:02x}")).collect())
        .collect();
    Some(match (keys.is_empty(), lang) {
        (true, Lang::Fr) => "sans confirmation par un autre service".to_owned(),
        (true, Lang::En) => "confirmed by no other service".to_owned(),
        (false, Lang::Fr) => format!("confirmé par un autre service (clé {})", keys.join(", ")),
        (false, Lang::En) => format!("confirmed by another service (key {})", keys.join(", ")),
    })
}

fn erased(event: &Event, lang: Lang) -> String {
    let when = time::spoken(event.recorded_at_ms, lang);
    let what = words::noun(event.kind, lang);
    let Some(by) = &event.erased else {
        return match lang {
            Lang::Fr => format!("Enregistré le {when} : {what}, dont le contenu ne vous est pas communiqué."),
            Lang::En => format!("Recorded on {when}: {what}, whose content is not shown to you."),
        };
    };
    let (since, ground) = (time::spoken(by.time_ms, lang), clean(&by.ground));
    match lang {
        Lang::Fr => format!(
            "Enregistré le {when} : {what}, dont le contenu a été effacé le {since} (événement n° {}), motif : {ground}.",
            by.index
        ),
        Lang::En => format!(
            "Recorded on {when}: {what}, whose content was erased on {since} (event no. {}), ground: {ground}.",
            by.index
        ),
    }
}

fn erasing(record: &v1::Record) -> Option<&v1::Erased> {
    match record.act.as_ref()?.act.as_ref()? {
        v1::ledger_act::Act::Erased(act) => Some(act),
        _ => None,
    }
}

fn notice(event: &Event, record: &v1::Record) -> Option<Notice> {
    let is_notice = event.kind == Kind::RECORDS_VOIDED && record.act.is_none();
    is_notice.then(|| serde_json::from_str(&record.details).ok()).flatten()
}

/// The sentence that tells a patient of voided records.
fn told(record: &v1::Record, notice: &Notice, secret: bool, lang: Lang) -> String {
    let when = time::spoken(record.occurred_at_ms, lang);
    let named: Vec<String> = notice.records.iter().take(ITEMS_NAMED_MAX).map(u64::to_string).collect();
    let (named, count, act) = (named.join(", "), notice.records.len(), notice.act);
    let more = count.saturating_sub(ITEMS_NAMED_MAX);
    let more = match (more, lang) {
        (0, _) => String::new(),
        (more, Lang::Fr) => format!(" et {more} de plus"),
        (more, Lang::En) => format!(" and {more} more"),
    };
    let hidden = words::pick(lang, ", caché aux représentants", ", kept from representatives");
    let hidden = if secret { hidden } else { "" };
    match (notice.reinstates.is_some(), lang) {
        (false, Lang::Fr) => format!(
            "Le {when}, le registre a noté que l'autorité a annulé {count} enregistrement(s) vous concernant (n° {named}{more}), par l'acte n° {act} : ils ne comptent plus{hidden}."
        ),
        (false, Lang::En) => format!(
            "On {when}, the ledger noted that the authority voided {count} record(s) about you (no. {named}{more}), by act no. {act}: they count for nothing{hidden}."
        ),
        (true, Lang::Fr) => format!(
            "Le {when}, le registre a noté que l'autorité a rétabli {count} enregistrement(s) vous concernant (n° {named}{more}), par l'acte n° {act}{hidden}."
        ),
        (true, Lang::En) => format!(
            "On {when}, the ledger noted that the authority reinstated {count} record(s) about you (no. {named}{more}), by act no. {act}{hidden}."
        ),
    }
}

fn device(event: &Event, record: &v1::Record) -> Option<DeviceRegistered> {
    let told = event.kind == Kind::DEVICE_REGISTERED;
    told.then(|| serde_json::from_str(&record.details).ok()).flatten()
}

fn hidden(secret: bool, lang: Lang) -> &'static str {
    let text = words::pick(lang, ", caché aux représentants", ", kept from representatives");
    if secret { text } else { "" }
}

/// The sentences that tell a patient of a device that acts for them.
fn device_told(record: &v1::Record, device: &DeviceRegistered, secret: bool, lang: Lang) -> String {
    let (when, hidden) = (time::spoken(record.occurred_at_ms, lang), hidden(secret, lang));
    let (name, authority) = (clean(&device.name), clean(&device.authority));
    let party: String = device.party.to_string().chars().take(8).collect();
    let proof = proven(record, lang).map(|proof| format!(", {proof}")).unwrap_or_else(|| {
        words::pick(lang, ", sans preuve de votre connexion", ", without proof of your login").to_owned()
    });
    match lang {
        Lang::Fr => format!(
            "Le {when}, l'autorité « {authority} » a enregistré un appareil pour agir en votre nom : « {name} » (n° {party}), qui peut lire votre trace et décider pour vous{proof}{hidden}."
        ),
        Lang::En => format!(
            "On {when}, the authority “{authority}” registered a device to act for you: “{name}” (no. {party}), which may read your trace and decide for you{proof}{hidden}."
        ),
    }
}

/// The first reading of such a device.
fn device_read(record: &v1::Record, secret: bool, lang: Lang) -> String {
    let (when, hidden) = (time::spoken(record.occurred_at_ms, lang), hidden(secret, lang));
    match lang {
        Lang::Fr => format!(
            "Le {when}, un appareil enregistré pour agir en votre nom a lu cette trace pour la première fois{hidden}."
        ),
        Lang::En => {
            format!("On {when}, a device registered to act for you read this trace for the first time{hidden}.")
        }
    }
}

/// The act that erases.
fn erasure(record: &v1::Record, act: &v1::Erased, lang: Lang) -> String {
    let (when, ground) = (time::spoken(record.occurred_at_ms, lang), clean(&act.ground));
    let named: Vec<String> = act.indices.iter().take(ITEMS_NAMED_MAX).map(u64::to_string).collect();
    let rest = act.indices.len().saturating_sub(ITEMS_NAMED_MAX);
    let named = named.join(", ");
    let what = match (act.patient, rest, lang) {
        (true, _, Lang::Fr) => "de tous les événements précédents".to_owned(),
        (true, _, Lang::En) => "of all events before".to_owned(),
        (false, 0, Lang::Fr) => format!("de l'événement n° {named}"),
        (false, 0, Lang::En) => format!("of event no. {named}"),
        (false, _, Lang::Fr) => format!("des événements n° {named} et {rest} de plus"),
        (false, _, Lang::En) => format!("of events no. {named} and {rest} more"),
    };
    let signed = match (record.signatures.len(), lang) {
        (0, _) => String::new(),
        (more, Lang::Fr) => format!(", signé par {} autorités", more + 1),
        (more, Lang::En) => format!(", signed by {} authorities", more + 1),
    };
    match lang {
        Lang::Fr => format!("Le {when}, l'autorité du registre a effacé le contenu {what}, motif : {ground}{signed}."),
        Lang::En => format!("On {when}, the authority of the log erased the content {what}, ground: {ground}{signed}."),
    }
}

fn object(record: &v1::Record, lang: Lang) -> String {
    let items = items(record, lang);
    match (items.is_empty(), lang) {
        (true, Lang::Fr) => " dans le dossier".to_owned(),
        (true, Lang::En) => " in the record".to_owned(),
        (false, Lang::Fr) => format!(" : {items}"),
        (false, Lang::En) => format!(": {items}"),
    }
}

/// An authorisation that was asked for: permitted or denied (see `fhir::audit_event`).
pub fn authorisation(record: &v1::Record) -> Option<bool> {
    let details: serde_json::Value = serde_json::from_str(&record.details).ok()?;
    match details.get("authorisation")?.as_str()? {
        "permit" => Some(true),
        "deny" => Some(false),
        _ => None,
    }
}

/// The decisions that an establishment made by its own rules, each document with the reason (see
/// `emergency_mode::hand_in`).
fn decided_locally(record: &v1::Record, lang: Lang) -> Vec<String> {
    let details: serde_json::Value = serde_json::from_str(&record.details).unwrap_or_default();
    let decided = details.get("emergency_mode").and_then(|decided| decided.as_array());
    let text = |item: &serde_json::Value, field: &str| item.get(field)?.as_str().map(clean);
    let one = |item: &serde_json::Value| {
        Some(format!("{} ({})", text(item, "id")?, super::decision::reason(&text(item, "reason")?, lang)))
    };
    decided.into_iter().flatten().filter_map(one).collect()
}

/// The request and its outcome: nothing was done yet.
fn asked_for(kind: Kind, record: &v1::Record, permitted: bool, lang: Lang) -> String {
    let locally = decided_locally(record, lang);
    if !locally.is_empty() {
        let what = super::phrase::short_list(&locally, lang);
        return match (permitted, lang) {
            (false, Lang::Fr) => format!("a demandé l'accès à {what}, qui lui a été refusé"),
            (false, Lang::En) => format!("asked for access to {what}, and was refused"),
            (true, Lang::Fr) => format!("a demandé et obtenu l'accès à {what}"),
            (true, Lang::En) => format!("asked for access to {what} and was granted it"),
        };
    }
    let doing = super::phrase::action(kind.token().strip_prefix("access.").unwrap_or("read"), lang);
    let what = object(record, lang);
    match (permitted, lang) {
        (false, Lang::Fr) => format!("a demandé à {doing}{what}, et s'est vu refuser l'accès"),
        (false, Lang::En) => format!("asked to {doing}{what}, and was refused"),
        (true, Lang::Fr) => format!("a demandé à {doing}{what}, et a obtenu l'accès"),
        (true, Lang::En) => format!("asked to {doing}{what}, and was granted access"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::consent::name::PATIENT_SYSTEM;

    fn event() -> Event {
        let record = v1::Record {
            actor: Some(v1::Actor {
                id: "10100534436".into(),
                role: "physician".into(),
                organisation: "750712184".into(),
                label: "Dr Claire Dubois".into(),
                ..v1::Actor::default()
            }),
            items: vec![v1::Item { id: "urn:uuid:1".into(), category: "REPORT".into(), ..v1::Item::default() }],
            occurred_at_ms: 1_772_442_000_000,
            purpose: "TREAT".into(),
            basis: Some(v1::Basis { kind: v1::BasisKind::CareTeam.into(), r#ref: String::new() }),
            outcome: v1::Outcome::Success.into(),
            ..v1::Record::default()
        };
        Event {
            index: 7,
            flags: Flags::NONE,
            kind: Kind::ACCESS_READ,
            recorded_at_ms: 1_772_442_001_000,
            record: Some(record),
            decision: None,
            erased: None,
            voided: None,
            author: "dmp".into(),
            secret: false,
        }
    }

    #[test]
    fn an_access_is_a_sentence_a_patient_understands() {
        assert_eq!(
            sentence(&event(), Lang::Fr),
            "Le 2 mars 2026 à 10:00:00 (heure de Paris, CET), Dr Claire Dubois (médecin, structure 750712184) a consulté : \
             compte rendu, pour des soins, en tant que membre de l'équipe de soins."
        );
        assert_eq!(
            sentence(&event(), Lang::En),
            "On 2 March 2026 at 10:00:00 (Paris time, CET), Dr Claire Dubois (physician, organisation 750712184) read: \
             report, for care, as a member of the care team."
        );
    }

    #[test]
    fn what_is_not_in_order_is_said() {
        let mut event = event();
        event.flags = Flags::UNJUSTIFIED;
        event.secret = true;
        let record = event.record.as_mut().expect("there");
        record.basis = None;
        record.outcome = v1::Outcome::SeriousFailure.into();
        let text = sentence(&event, Lang::Fr);
        for part in ["échec ou refus", "sans justification enregistrée", "caché aux représentants"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("a tenté de consulter : compte rendu") && !text.contains("a consulté"), "{text}");
        assert!(sentence(&event, Lang::En).contains("tried to read: report"), "what failed didn't happen");
        event.record.as_mut().expect("there").details = r#"{"authorisation":"deny"}"#.into();
        let text = sentence(&event, Lang::Fr);
        assert!(text.contains("a demandé à consulter : compte rendu, et s'est vu refuser l'accès"), "{text}");
        assert!(!text.contains("échec"), "it was refused, and did not fail");
        event.record.as_mut().expect("there").details = r#"{"authorisation":"permit"}"#.into();
        assert!(sentence(&event, Lang::En).contains("asked to read: report, and was granted access"));
        event.record = None;
        assert!(sentence(&event, Lang::En).contains("not shown"));
    }

    #[test]
    fn what_was_erased_says_when_and_why_and_so_does_the_act() {
        let by = v1::Erasure { index: 12, time_ms: 1_772_442_001_000, ground: "décision 17".into() };
        let event = Event { record: None, erased: Some(by), ..event() };
        assert_eq!(
            sentence(&event, Lang::Fr),
            "Enregistré le 2 mars 2026 à 10:00:01 (heure de Paris, CET) : consultation, dont le contenu a été effacé le \
             2 mars 2026 à 10:00:01 (heure de Paris, CET) (événement n° 12), motif : décision 17."
        );
        let erased = v1::Erased { indices: vec![7, 8, 9, 10], patient: false, ground: "décision 17".into() };
        let act = v1::LedgerAct { act: Some(v1::ledger_act::Act::Erased(erased)) };
        let record = v1::Record { act: Some(act), occurred_at_ms: 1_772_442_001_000, ..v1::Record::default() };
        let act = Event { record: Some(record), erased: None, kind: Kind::PAYLOAD_ERASED, ..event };
        assert!(sentence(&act, Lang::En).contains("erased the content of events no. 7, 8, 9 and 1 more"));
        let mut signed = act.clone();
        signed.record.as_mut().expect("there").signatures = vec![v1::ActSignature::default()];
        assert!(sentence(&signed, Lang::En).ends_with(", signed by 2 authorities."));
    }

    #[test]
    fn a_record_cannot_play_with_the_terminal() {
        let mut event = event();
        event.record.as_mut().and_then(|r| r.actor.as_mut()).expect("there").label = "\u{1b}[2J\u{202e}evil".into();
        let text = sentence(&event, Lang::Fr);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn what_an_establishment_decided_on_its_own_says_what_and_why() {
        let mut event = event();
        let record = event.record.as_mut().expect("there");
        record.purpose = "BTG".into();
        record.basis = Some(v1::Basis { kind: v1::BasisKind::Legal.into(), r#ref: "emergency-mode".into() });
        record.details = r#"{"authorisation":"deny","emergency_mode":[{"id":"d9","reason":"MASKED"}]}"#.into();
        let text = sentence(&event, Lang::Fr);
        let wanted = "a demandé l'accès à d9 (document masqué), qui lui a été refusé, en urgence (bris de glace), selon les règles \
                      d'urgence de l'établissement.";
        assert!(text.ends_with(wanted), "{text}");
    }

    #[test]
    fn a_device_is_told_of_with_its_name_the_authority_and_the_proof() {
        let details = r#"{"party":"3f2a000000000000000000000000000000000000000000000000000000000000","name":"Téléphone",
            "authority":"CNAM","salt":"00000000000000000000000000000000","other":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
        let auth = v1::Authentication {
            issuer: "FranceConnect+".into(),
            method: "eidas2".into(),
            eidas_level: "substantial".into(),
        };
        let record = v1::Record {
            actor: Some(v1::Actor { system: PATIENT_SYSTEM.into(), id: "self".into(), ..v1::Actor::default() }),
            occurred_at_ms: 1_772_442_000_000,
            details: details.into(),
            auth: Some(auth),
            will: Some(v1::Will::default()),
            ..v1::Record::default()
        };
        let event = Event { kind: Kind::DEVICE_REGISTERED, record: Some(record), ..event() };
        assert_eq!(
            sentence(&event, Lang::Fr),
            "Le 2 mars 2026 à 10:00:00 (heure de Paris, CET), l'autorité « CNAM » a enregistré un appareil pour agir en votre nom : \
             « Téléphone » (n° 3f2a0000), qui peut lire votre trace et décider pour vous, prouvé par une connexion avec FranceConnect+, \
             niveau substantiel."
        );
        let mut claimed = Event { secret: true, ..event };
        claimed.record.as_mut().expect("there").will = None;
        let text = sentence(&claimed, Lang::En);
        assert!(text.ends_with("decide for you, without proof of your login, kept from representatives."), "{text}");
    }

    #[test]
    fn the_first_reading_of_a_device_is_said_where_the_ledger_says_it() {
        let details = format!(r#"{{"read":"trace","device":"{}"}}"#, "00".repeat(32));
        let record = v1::Record { occurred_at_ms: 1_772_442_000_000, details, ..v1::Record::default() };
        let read = Event { kind: Kind::LOG_CONSULTED, flags: Flags::LEDGER, record: Some(record), ..event() };
        let fr = "un appareil enregistré pour agir en votre nom a lu cette trace pour la première fois.";
        assert!(sentence(&read, Lang::Fr).ends_with(fr));
        let said = Event { flags: Flags::NONE, ..read };
        assert!(!sentence(&said, Lang::En).contains("first time"), "a service's word");
    }

    #[test]
    fn many_items_are_counted() {
        let items_of = (0..5).map(|i| v1::Item { id: format!("d{i}"), ..v1::Item::default() });
        let record = v1::Record { items: items_of.collect(), ..v1::Record::default() };
        assert_eq!(items(&record, Lang::Fr), "d0, d1, d2, et 2 de plus");
    }
}
