//! The overview: one row an event.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use sillage_proto::v1;
use sillage_rules::consent::name::{AUTHOR_SYSTEM, PATIENT_SYSTEM};
use sillage_rules::entry::Flags;

use sillage_words::sentence::{authorisation, clean, items, short_who};
use sillage_words::{Decision, Event, Lang, time, words};

/// Ids of documents that a row shows.
const IDS_MAX: usize = 6;
/// Width of the table where the terminal doesn't say.
const WIDTH: u16 = 120;
/// Greatest width that is asked for in `COLUMNS`.
const WIDTH_MAX: u16 = 400;
/// The column of the place in the log.
const LAST: usize = 7;

/// The events as a table, each with the first and the last of its places in the log; times in Paris, as its head says.
pub fn table(events: &[(&Event, (u64, u64))], lang: Lang) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        table.set_width(said.filter(|columns| (WIDTH..=WIDTH_MAX).contains(columns)).unwrap_or(WIDTH));
    }
    table.set_header(match lang {
        Lang::Fr => ["Date (heure de Paris)", "Qui", "Quoi", "Éléments", "Pourquoi", "Remarques", "Inscrit par", "N°"],
        Lang::En => ["Date (Paris time)", "Who", "What", "Items", "Why", "Remarks", "Signed by", "No."],
    });
    for (event, places) in events {
        let mut row = row(event, lang);
        if places.0 != places.1 {
            row[LAST] = format!("{}–{}", places.0, places.1);
        }
        table.add_row(row);
    }
    // A time that is broken over lines can't be compared at a glance.
    for at in [0, LAST] {
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// Somebody with the identifier that a reader can act on.
fn with_id(actor: &v1::Actor, lang: Lang) -> String {
    let (who, id) = (short_who(actor, lang), clean(&actor.id));
    let is_own = matches!(actor.system.as_str(), PATIENT_SYSTEM | AUTHOR_SYSTEM);
    if id.is_empty() || is_own || who.contains(&id) { who } else { format!("{who} ({id})") }
}

/// Documents by name and id.
fn with_ids(record: &v1::Record, lang: Lang) -> String {
    let named = items(record, lang);
    let ids: Vec<String> = record.items.iter().take(IDS_MAX).map(|item| clean(&item.id)).collect();
    let ids: Vec<String> = ids.into_iter().filter(|id| !id.is_empty() && !named.contains(id.as_str())).collect();
    if ids.is_empty() { named } else { format!("{named} [{}]", ids.join(", ")) }
}

fn row(event: &Event, lang: Lang) -> [String; 8] {
    let mut remarks: Vec<String> = words::flags(event.flags(), lang).into_iter().map(str::to_owned).collect();
    if event.secret {
        remarks.push(words::pick(lang, "caché aux représentants", "kept from representatives").to_owned());
    }
    let noun = words::noun(event.kind, lang);
    if let Some(decision) = &event.decision {
        return decided(event, decision, noun, remarks, lang);
    }
    let Some(record) = &event.record else {
        remarks.insert(0, erased(event, lang));
        let when = time::short(event.recorded_at_ms, lang);
        let (remarks, index) = (remarks.join(", "), event.index.to_string());
        return [when, String::new(), noun, String::new(), String::new(), remarks, signed_by(event, lang), index];
    };
    let (noun, outcome) = match authorisation(record) {
        // Asked for, and not done yet.
        Some(permitted) => {
            let asked = words::pick(lang, "demande d'accès", "access asked for").to_owned();
            let (fr, en) = if permitted { ("accordée", "granted") } else { ("refusée", "refused") };
            (asked, words::pick(lang, fr, en))
        }
        None => (noun, words::outcome(record.outcome(), lang)),
    };
    if !outcome.is_empty() {
        remarks.insert(0, outcome.to_owned());
    }
    let actor = record.actor.as_ref();
    let who = actor.map(|actor| with_id(actor, lang));
    let who = who.or_else(|| record.automated.as_ref().map(|a| clean(&a.software))).unwrap_or_default();
    let basis = words::by_right(record, event.flags, lang);
    let why = [words::purpose(&record.purpose, lang), basis];
    let why: Vec<String> = why.into_iter().filter(|t| !t.is_empty()).collect();
    [
        time::short(record.occurred_at_ms, lang),
        who,
        noun,
        with_ids(record, lang),
        why.join(", "),
        remarks.join(", "),
        signed_by(event, lang),
        event.index.to_string(),
    ]
}

/// The service that signed it: who answers for what the line says of everybody else.
fn signed_by(event: &Event, lang: Lang) -> String {
    match event.flags.contains(Flags::LEDGER) {
        true => words::pick(lang, "le registre", "the ledger").to_owned(),
        false => clean(&event.author),
    }
}

fn decided(event: &Event, decision: &Decision, noun: String, mut remarks: Vec<String>, lang: Lang) -> [String; 8] {
    let actor = decision.actor.as_ref();
    let who = actor.map(|actor| with_id(actor, lang));
    let refused = decision.outcomes.iter().filter(|(_, permit, _)| !permit).count();
    let given = decision.outcomes.len() - refused;
    remarks.insert(
        0,
        match lang {
            Lang::Fr => format!("{given} accordé(s), {refused} refusé(s)"),
            Lang::En => format!("{given} granted, {refused} refused"),
        },
    );
    let asked = decision.outcomes.iter().map(|(item, ..)| item.clone()).collect();
    let asked = v1::Record { items: asked, ..v1::Record::default() };
    [
        time::short(decision.at_ms, lang),
        who.unwrap_or_default(),
        noun,
        with_ids(&asked, lang),
        words::purpose(&clean(&decision.purpose), lang),
        remarks.join(", "),
        signed_by(event, lang),
        event.index.to_string(),
    ]
}

fn erased(event: &Event, lang: Lang) -> String {
    let Some(by) = &event.erased else {
        return words::pick(lang, "contenu non communiqué", "content not shown").to_owned();
    };
    let when = time::short(by.time_ms, lang);
    match lang {
        Lang::Fr => format!("contenu effacé le {when} (n° {})", by.index),
        Lang::En => format!("content erased {when} (no. {})", by.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::entry::Flags;
    use sillage_rules::kind::Kind;

    #[test]
    fn a_row_shows_flags_in_plain_words() {
        let event = Event {
            index: 12,
            flags: Flags::UNJUSTIFIED,
            kind: Kind::ACCESS_DOWNLOAD,
            recorded_at_ms: 0,
            record: Some(sillage_proto::v1::Record::default()),
            decision: None,
            erased: None,
            voided: None,
            author: String::new(),
            secret: false,
        };
        let text = table(&[(&event, (12, 14))], Lang::Fr).to_string();
        for part in ["téléchargement", "justification", "heure de Paris", "12–14"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_told_apart_on_one_line() {
        let event = |ms: u64| Event {
            index: 12,
            flags: Flags::UNJUSTIFIED | Flags::LATE,
            kind: Kind::ACCESS_READ,
            recorded_at_ms: ms,
            record: Some(v1::Record { occurred_at_ms: ms, ..v1::Record::default() }),
            decision: None,
            erased: None,
            voided: None,
            author: "a service with a long name".to_owned(),
            secret: false,
        };
        let text = table(&[(&event(1_761_438_600_000), (12, 12)), (&event(1_761_442_200_000), (12, 12))], Lang::Fr)
            .to_string();
        for wanted in ["26/10/2025 02:30:00 (+02:00)", "26/10/2025 02:30:00 (+01:00)"] {
            assert!(text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn what_was_asked_for_or_failed_is_not_a_reading() {
        let record = v1::Record { details: r#"{"authorisation":"deny"}"#.into(), ..v1::Record::default() };
        let event = |record: v1::Record| Event {
            index: 12,
            flags: Flags::NONE,
            kind: Kind::ACCESS_READ,
            recorded_at_ms: 0,
            record: Some(record),
            decision: None,
            erased: None,
            voided: None,
            author: String::new(),
            secret: false,
        };
        let text = table(&[(&event(record), (12, 12))], Lang::Fr).to_string();
        assert!(text.contains("demande d'accès") && text.contains("refusée"), "{text}");
        assert!(!text.contains("consultation"), "{text}");
        let failed = v1::Record { outcome: v1::Outcome::SeriousFailure.into(), ..v1::Record::default() };
        assert!(table(&[(&event(failed), (12, 12))], Lang::En).to_string().contains("failed or refused"));
    }
}
