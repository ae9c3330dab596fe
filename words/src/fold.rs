//! Readings of a trace, folded: who looks every day would fill the page with lines that say the same.

use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;
use sillage_rules::parts::Part;

use super::clean::clean;
use super::names::short_who;
use super::{Event, Lang, time};

/// One event, or several readings of the trace by one party.
#[derive(Debug, Clone, PartialEq)]
pub enum Folded<'a> {
    /// One event.
    One(&'a Event),
    /// Readings by the same party, newest first; at least two.
    Readings(Vec<&'a Event>),
}

/// The events of a page, each as it is but for readings of the trace: those of one party that say the same stand together, where the
/// newest is. They are readings that the ledger put on record by itself: of what a party says, each is a line.
pub fn fold(events: &[Event]) -> Vec<Folded<'_>> {
    let reader = |event: &Event| {
        let actor = event.record.as_ref()?.actor.as_ref()?;
        let is_reading = event.kind == Kind::LOG_CONSULTED && event.flags.contains(Flags::LEDGER);
        let is_whole = event.erased.is_none() && event.voided.is_none();
        let of = || (actor.system.clone(), actor.id.clone(), event.secret, event.author.clone(), event.flags);
        (is_reading && is_whole).then(of)
    };
    let mut out: Vec<Folded<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for event in events {
        let Some(reader) = reader(event) else {
            out.push(Folded::One(event));
            continue;
        };
        match places.get(&reader).copied() {
            None => {
                places.insert(reader, out.len());
                out.push(Folded::One(event));
            }
            Some(at) => {
                let known: &mut Folded<'_> = &mut out[at];
                match known {
                    Folded::One(first) => *known = Folded::Readings(vec![first, event]),
                    Folded::Readings(all) => all.push(event),
                }
            }
        }
    }
    out
}

/// `Du … au …, DMP a consulté cette trace 12 fois.`
pub fn said(readings: &[&Event], lang: Lang) -> String {
    let actor = readings.iter().find_map(|event| event.record.as_ref()?.actor.as_ref());
    let who = actor.map(|actor| short_who(actor, lang)).unwrap_or_default();
    let at = |event: &&Event| event.record.as_ref().map_or(event.recorded_at_ms, |record| record.occurred_at_ms);
    let first = readings.iter().map(at).min().unwrap_or_default();
    let last = readings.iter().map(at).max().unwrap_or_default();
    let (from, to, n) = (time::spoken(first, lang), time::spoken(last, lang), readings.len());
    let secret = match (readings.iter().any(|event| event.secret), lang) {
        (false, _) => "",
        (true, Lang::Fr) => ", partie cachée aux représentants",
        (true, Lang::En) => ", the part kept from representatives",
    };
    match lang {
        Lang::Fr => format!("Du {from} au {to}, {who} a consulté cette trace {n} fois{secret}."),
        Lang::En => format!("From {from} to {to}, {who} read this trace {n} times{secret}."),
    }
}

/// The remark on the sentence about an access that is on record in parts, of which those in this range of places, from the first to
/// the last one, stand together here.
pub fn parts_note(part: &Part, (first, last): (u64, u64), lang: Lang) -> String {
    let Part { parts, items, .. } = part;
    let (shown, places) = (last - first + 1, range((first, last), lang));
    match (lang, shown == *parts) {
        (Lang::Fr, true) => {
            format!(" (Un seul accès, inscrit en {parts} enregistrements, n° {places} : {items} documents.)")
        }
        (Lang::En, true) => format!(" (One access, on record in {parts} records, no. {places}: {items} documents.)"),
        (Lang::Fr, false) => {
            let here = if shown == 1 { "le" } else { "les" };
            format!(
                " (Partie d'un accès à {items} documents, inscrit en {parts} enregistrements, dont ici {here} n° {places}.)"
            )
        }
        (Lang::En, false) => {
            format!(" (Part of an access to {items} documents, on record in {parts} records, here no. {places}.)")
        }
    }
}

/// A range of places in the log, from the first to the last one.
fn range((first, last): (u64, u64), lang: Lang) -> String {
    match lang {
        _ if first == last => first.to_string(),
        Lang::Fr => format!("{first} à {last}"),
        Lang::En => format!("{first} to {last}"),
    }
}

/// The identifiers of an event, for who wants to act on it: actor, structure, documents, service, the first and the last place in
/// the log.
pub fn details(event: &Event, places: (u64, u64), lang: Lang) -> String {
    let mut parts = Vec::new();
    let record = event.record.as_ref();
    let actor = record.and_then(|record| record.actor.as_ref());
    let actor = actor.or(event.decision.as_ref().and_then(|decision| decision.actor.as_ref()));
    let mut add = |fr: &str, en: &str, text: String| {
        if !text.is_empty() {
            let name = if lang == Lang::Fr { fr } else { en };
            parts.push(format!("{name} {text}"));
        }
    };
    if let Some(actor) = actor {
        add("acteur", "actor", clean(&format!("{}|{}", actor.system, actor.id)));
        add("structure", "organisation", clean(&actor.organisation));
    }
    let items: Vec<String> = match (record, &event.decision) {
        (Some(record), _) => record.items.iter().map(|item| with_category(&item.id, &item.category)).collect(),
        (None, Some(decision)) => decision.outcomes.iter().map(|(item, ..)| clean(&item.id)).collect(),
        (None, None) => Vec::new(),
    };
    add("documents", "documents", items.join(", "));
    if let Some(basis) = record.and_then(|record| record.basis.as_ref()) {
        add("référence", "reference", clean(&basis.r#ref));
    }
    add("inscrit par", "recorded by", clean(&event.author));
    add("n°", "no.", range(places, lang));
    parts.join(" ; ")
}

fn with_category(id: &str, category: &str) -> String {
    match category.is_empty() {
        true => clean(id),
        false => format!("{} ({})", clean(id), clean(category)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proto::v1;

    fn event(index: u64, kind: Kind, who: &str, secret: bool) -> Event {
        let actor = v1::Actor {
            system: "urn:sillage:author".into(),
            id: who.into(),
            label: who.into(),
            ..v1::Actor::default()
        };
        let items = vec![v1::Item { id: "d1".into(), category: "LAB".into(), ..v1::Item::default() }];
        let record = v1::Record {
            actor: Some(actor),
            items: if kind == Kind::LOG_CONSULTED { Vec::new() } else { items },
            occurred_at_ms: 1_772_442_000_000 + index * 60_000,
            ..v1::Record::default()
        };
        Event {
            index,
            flags: if kind == Kind::LOG_CONSULTED { Flags::LEDGER } else { Flags::NONE },
            kind,
            recorded_at_ms: record.occurred_at_ms,
            record: Some(record),
            decision: None,
            erased: None,
            voided: None,
            author: "DMP".into(),
            secret,
        }
    }

    #[test]
    fn readings_of_one_party_become_one_line_with_a_count() {
        let events = [
            event(9, Kind::LOG_CONSULTED, "DMP", false),
            event(8, Kind::LOG_CONSULTED, "DMP", true),
            event(7, Kind::ACCESS_READ, "Dr A", false),
            event(6, Kind::LOG_CONSULTED, "DMP", false),
            event(5, Kind::LOG_CONSULTED, "CNIL", false),
            event(4, Kind::LOG_CONSULTED, "DMP", false),
        ];
        let folded = fold(&events);
        assert_eq!(folded.len(), 4);
        let Folded::Readings(readings) = &folded[0] else { panic!("{folded:?}") };
        assert_eq!(readings.iter().map(|event| event.index).collect::<Vec<_>>(), [9, 6, 4]);
        let fr = "Du 2 mars 2026 à 10:04:00 (heure de Paris, CET) au 2 mars 2026 à 10:09:00 (heure de Paris, CET), DMP a consulté cette trace 3 fois.";
        assert_eq!(said(readings, Lang::Fr), fr);
        assert!(said(readings, Lang::En).ends_with("DMP read this trace 3 times."));
        assert!(
            matches!(folded[1], Folded::One(one) if one.secret),
            "the other part of the trace is a line of its own"
        );
        assert!(matches!(folded[2], Folded::One(one) if one.kind == Kind::ACCESS_READ));
    }

    #[test]
    fn what_a_party_says_of_its_readings_is_not_folded() {
        let reading = |index| event(index, Kind::LOG_CONSULTED, "DMP", false);
        let said = |index, flags| Event { flags, ..reading(index) };
        let by = |index, author: &str| Event { author: author.into(), ..reading(index) };
        for (others, count) in [
            ([said(8, Flags::NONE), said(7, Flags::NONE)], 3),
            ([said(8, Flags::LEDGER | Flags::LATE), reading(7)], 2),
            ([by(8, "another party"), reading(7)], 2),
            ([reading(8), reading(7)], 1),
        ] {
            let events = [&[reading(9)][..], &others].concat();
            assert_eq!(fold(&events).len(), count, "{others:?}");
        }
    }

    #[test]
    fn details_name_what_can_be_acted_on() {
        let text = details(&event(7, Kind::ACCESS_READ, "10100534436", false), (7, 7), Lang::En);
        assert_eq!(text, "actor urn:sillage:author|10100534436 ; documents d1 (LAB) ; recorded by DMP ; no. 7");
        assert!(details(&event(7, Kind::ACCESS_READ, "x", false), (7, 9), Lang::Fr).ends_with("n° 7 à 9"));
    }

    #[test]
    fn a_large_access_names_the_range_of_its_places() {
        let part = Part { of: "ab".into(), n: 1, parts: 3, items: 700 };
        for (places, lang, said) in [
            ((11, 13), Lang::Fr, " (Un seul accès, inscrit en 3 enregistrements, n° 11 à 13 : 700 documents.)"),
            ((11, 13), Lang::En, " (One access, on record in 3 records, no. 11 to 13: 700 documents.)"),
            (
                (12, 12),
                Lang::Fr,
                " (Partie d'un accès à 700 documents, inscrit en 3 enregistrements, dont ici le n° 12.)",
            ),
            ((12, 13), Lang::En, " (Part of an access to 700 documents, on record in 3 records, here no. 12 to 13.)"),
        ] {
            assert_eq!(parts_note(&part, places, lang), said);
        }
    }
}
