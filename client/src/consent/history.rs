//! The rules in force, and everything that ever was decided, with ends and reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1;
use sillage_rules::consent::state::{FOR_EVER, RepresentationEntry, Space};
use sillage_rules::consent::{Event as RuleEvent, PatientState, Power};
use sillage_rules::kind::{Group, Kind};
use sillage_rules::line::RecordLine;

use super::effective::{labels, who};
use super::known::{Decided, Known, Side};
use super::rights::Who;
use sillage_words::decided::{power, relation};
use sillage_words::time::{rfc3339, spoken, spoken_end};
use sillage_words::{Event, Lang, sentence::sentence, words};

/// Why something doesn't hold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A later record ended it.
    By(LeafIndex),
    /// Its time has passed.
    Expired(LedgerTimeMs),
}

/// How a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has an effect now.
    InForce,
    /// It will have one.
    ToCome(LedgerTimeMs),
    /// It had one.
    Over(Ended),
    /// It never was something that holds: a deposit, an end, a justification.
    Act,
    /// Its content was erased.
    Erased,
    /// The authority voided it: it counts for nothing.
    Voided,
}

/// The entries of the records that hold at this moment, or will.
fn holding(state: &PatientState, at: LedgerTimeMs) -> BTreeSet<LeafIndex> {
    let mut out = BTreeSet::new();
    if let (Space::Opposed | Space::Closed, Some(stamp)) = state.space() {
        out.insert(stamp.index);
    }
    out.extend(state.directives().iter().filter(|e| e.period.is_alive(at)).map(|e| e.stamp.index));
    out.extend(state.opposed_cases().map(|(_, stamp)| stamp.index));
    out.extend(state.blocked().map(|(_, stamp)| stamp.index));
    out.extend(state.masked().map(|(_, stamp)| stamp.index));
    out.extend(state.embargoed().filter(|(_, e)| at < e.until).map(|(_, e)| e.stamp.index));
    out.extend(state.feeds().map(|e| e.stamp.index));
    out.extend(state.representations().filter(|e| e.period.is_alive(at)).map(|e| e.stamp.index));
    out.extend(state.secret_items().map(|(_, stamp)| stamp.index));
    out.extend(state.team().filter(|e| at < e.until).map(|e| e.stamp.index));
    out.extend(state.attending().map(|(_, stamp)| stamp.index));
    out.extend(state.breakglasses().filter(|(_, e)| e.period.is_alive(at)).map(|(_, e)| e.stamp.index));
    out
}

/// When what a record says begins and ends, where it states it.
fn period(event: &RuleEvent) -> (Option<u64>, Option<u64>) {
    let ms = |time: Option<sillage_rules::time::TimeMs>| time.map(|time| time.0);
    match event {
        RuleEvent::Directive(d) => (ms(d.provision.from), ms(d.provision.until)),
        RuleEvent::Represented(r) => (ms(r.from), ms(r.until)),
        RuleEvent::Joined(m) => (None, ms(m.until)),
        RuleEvent::Embargoed { until, .. } => (None, ms(*until)),
        RuleEvent::BreakGlassOpened(b) => (None, ms(b.expires)),
        _ => (None, None),
    }
}

/// Tells whether a record of this kind says something that holds until it ends.
fn holds(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SPACE_OPPOSED
            | Kind::SPACE_CLOSED
            | Kind::CONSENT_DIRECTIVE
            | Kind::EMERGENCY_OPPOSITION
            | Kind::PROFESSIONAL_BLOCKED
            | Kind::ITEM_MASKED
            | Kind::ITEM_EMBARGOED
            | Kind::FEED_OPPOSED
            | Kind::REPRESENTATION_REGISTERED
            | Kind::MINOR_SECRECY_SET
            | Kind::CARETEAM_JOINED
            | Kind::ATTENDING_DECLARED
            | Kind::BREAKGLASS_OPENED
    )
}

/// How each record of a side stands at this moment, in log order.
pub fn standings(side: &Side, at: LedgerTimeMs) -> Vec<Standing> {
    let mut state = side.first_state();
    let mut ended: BTreeMap<LeafIndex, LeafIndex> = BTreeMap::new();
    let mut before = BTreeSet::new();
    for record in &side.records {
        let Some((event, meta)) = record.event.as_ref().filter(|_| record.line.voided.is_none()) else { continue };
        state.apply(event, meta);
        let now = holding(&state, meta.time);
        for gone in before.difference(&now) {
            // What had run out before this record isn't ended by it.
            let ran_out = side.records.iter().find(|r| r.line.entry.index == *gone).and_then(|r| r.event.as_ref());
            let until = ran_out.and_then(|(event, _)| period(event).1);
            if until.is_none_or(|until| meta.time.get() < until) {
                ended.entry(*gone).or_insert(meta.index);
            }
        }
        before = now;
    }
    let now = holding(&side.state, at);
    let standing = |record: &Decided| {
        let index = record.line.entry.index;
        if record.line.voided.is_some() {
            return Standing::Voided;
        }
        let Some((event, meta)) = &record.event else {
            return if record.line.record.is_none() { Standing::Erased } else { Standing::Act };
        };
        if !holds(record.line.entry.kind) {
            return Standing::Act;
        }
        let (from, until) = period(event);
        match (now.contains(&index), ended.get(&index), until) {
            (true, ..) if from.is_some_and(|from| at.get() < from) => {
                Standing::ToCome(LedgerTimeMs(from.unwrap_or_default()))
            }
            (true, ..) => Standing::InForce,
            (false, Some(by), _) => Standing::Over(Ended::By(*by)),
            (false, None, Some(until)) => Standing::Over(Ended::Expired(LedgerTimeMs(until))),
            // A record that changed nothing: it held already.
            (false, None, None) => Standing::Over(Ended::By(meta.index)),
        }
    };
    side.records.iter().map(standing).collect()
}

/// A record under either tag, and how it stands.
struct Row<'a> {
    record: &'a Decided,
    side: &'a Side,
    secret: bool,
    standing: Standing,
}

fn rows(known: &Known) -> Vec<Row<'_>> {
    let of = |(side, secret): (&'_ Side, bool)| -> Vec<(usize, Standing, bool)> {
        standings(side, known.at()).into_iter().enumerate().map(|(at, s)| (at, s, secret)).collect()
    };
    let mut out = Vec::new();
    for (side, secret) in known.sides() {
        for (at, standing, secret) in of((side, secret)) {
            out.push(Row { record: &side.records[at], side, secret, standing });
        }
    }
    out.sort_by_key(|row| row.record.line.entry.index);
    out
}

/// The record as it still holds: documents and cases that were lifted since are left out.
fn as_it_holds(row: &Row<'_>) -> Option<v1::Record> {
    let mut message = row.record.line.record.as_ref()?.message().clone();
    let (index, state) = (row.record.line.entry.index, &row.side.state);
    let still: Vec<&str> = match row.record.line.entry.kind {
        Kind::ITEM_MASKED => state.masked().filter(|(_, s)| s.index == index).map(|(id, _)| id).collect(),
        Kind::ITEM_EMBARGOED => state.embargoed().filter(|(_, e)| e.stamp.index == index).map(|(id, _)| id).collect(),
        Kind::MINOR_SECRECY_SET => state.secret_items().filter(|(_, s)| s.index == index).map(|(id, _)| id).collect(),
        Kind::EMERGENCY_OPPOSITION => {
            let cases: Vec<_> = state.opposed_cases().filter(|(_, s)| s.index == index).map(|(case, _)| case).collect();
            message.details = json!({"cases": cases}).to_string();
            return Some(message);
        }
        Kind::BREAKGLASS_OPENED => {
            // It may end before the moment that was asked for.
            let until = row.record.event.as_ref().and_then(|(event, _)| period(event).1);
            let mut details: Value = serde_json::from_str(&message.details).unwrap_or_default();
            if let (Some(until), Some(expires)) = (until, details.get_mut("expires")) {
                *expires = rfc3339(until).into();
                message.details = details.to_string();
            }
            return Some(message);
        }
        _ => return Some(message),
    };
    message.items.retain(|item| still.contains(&item.id.as_str()));
    Some(message)
}

fn told(row: &Row<'_>, record: Option<v1::Record>, lang: Lang) -> String {
    let line = &row.record.line;
    let event = Event {
        index: line.entry.index.get(),
        flags: line.entry.flags,
        kind: line.entry.kind,
        recorded_at_ms: line.entry.time.get(),
        record,
        decision: None,
        erased: line.erased.clone(),
        voided: line.voided.clone(),
        author: line.author.clone(),
        secret: row.secret,
    };
    sentence(&event, lang)
}

fn head(known: &Known, lang: Lang) -> String {
    let when = spoken(known.as_of_ms, lang);
    match lang {
        Lang::Fr => format!("Au {when} (registre à {} entrées) :", known.as_of_size),
        Lang::En => format!("As of {when} (log of {} entries):", known.as_of_size),
    }
}

/// That the patient was erased, where they were.
fn erased(known: &Known, lang: Lang) -> Option<String> {
    let by = known.sides().filter_map(|(side, _)| side.erased).max()?;
    Some(match lang {
        Lang::Fr => format!(
            "• n° {by} : le patient a été effacé ; l'espace de santé est clos, rien de ce qui avait été décidé ne vaut plus."
        ),
        Lang::En => format!(
            "• no. {by}: the patient was erased; the health space is closed, and nothing that was decided before holds."
        ),
    })
}

/// The rules in force, or to come, as lines of text.
pub fn list(known: &Known, lang: Lang) -> Vec<String> {
    let mut out = vec![head(known, lang)];
    out.extend(erased(known, lang));
    for row in rows(known).iter().filter(|row| matches!(row.standing, Standing::InForce | Standing::ToCome(_))) {
        let index = row.record.line.entry.index;
        let text = told(row, as_it_holds(row), lang);
        out.push(match (row.standing, lang) {
            (Standing::ToCome(from), Lang::Fr) => {
                format!("• n° {index}, à partir du {} : {text}", spoken(from.get(), lang))
            }
            (Standing::ToCome(from), Lang::En) => {
                format!("• no. {index}, from {} on: {text}", spoken(from.get(), lang))
            }
            (_, Lang::Fr) => format!("• n° {index} : {text}"),
            (_, Lang::En) => format!("• no. {index}: {text}"),
        });
    }
    if out.len() == 1 {
        let none = "Rien n'a été décidé qui soit en vigueur : seules valent les règles générales.";
        out.push(
            words::pick(lang, none, "Nothing that was decided is in force: the general rules alone hold.").to_owned(),
        );
    }
    out
}

/// The rules in force, or to come, one JSON object each.
pub fn list_json(known: &Known) -> Vec<Value> {
    let rows = rows(known);
    let holding = rows.iter().filter(|row| matches!(row.standing, Standing::InForce | Standing::ToCome(_)));
    holding.map(|row| row_json(known, row)).collect()
}

/// Everything that was decided, as lines of text.
pub fn history(known: &Known, lang: Lang) -> Vec<String> {
    let rows = rows(known);
    let mut out = vec![head(known, lang)];
    for row in rows.iter().filter(|row| row.record.line.entry.kind.group() != Group::Access) {
        let (index, record) = (row.record.line.entry.index, row.record.line.record.as_ref());
        let text = told(row, record.map(|record| record.message().clone()), lang);
        let mark = standing_text(&rows, row, lang);
        out.push(match lang {
            Lang::Fr => format!("• n° {index} : {text}{mark}"),
            Lang::En => format!("• no. {index}: {text}{mark}"),
        });
    }
    if out.len() == 1 {
        out.push(words::pick(lang, "Rien n'a jamais été décidé.", "Nothing was ever decided.").to_owned());
    }
    out
}

fn standing_text(rows: &[Row<'_>], row: &Row<'_>, lang: Lang) -> String {
    match (row.standing, lang) {
        (Standing::Act | Standing::Erased | Standing::Voided, _) => String::new(),
        (Standing::InForce, Lang::Fr) => " [en vigueur]".to_owned(),
        (Standing::InForce, Lang::En) => " [in force]".to_owned(),
        (Standing::ToCome(from), Lang::Fr) => format!(" [à venir, le {}]", spoken(from.get(), lang)),
        (Standing::ToCome(from), Lang::En) => format!(" [to come, on {}]", spoken(from.get(), lang)),
        (Standing::Over(Ended::Expired(at)), Lang::Fr) => format!(" [échu le {}]", spoken(at.get(), lang)),
        (Standing::Over(Ended::Expired(at)), Lang::En) => format!(" [ran out on {}]", spoken(at.get(), lang)),
        (Standing::Over(Ended::By(by)), _) if by == row.record.line.entry.index => {
            words::pick(lang, " [sans effet : c'était déjà le cas]", " [no effect: it was so already]").to_owned()
        }
        (Standing::Over(Ended::By(by)), _) => {
            let ender = rows.iter().find(|other| other.record.line.entry.index == by);
            let kind = ender.map(|ender| words::noun(ender.record.line.entry.kind, lang)).unwrap_or_default();
            let when = ender.map(|ender| spoken(ender.record.line.entry.time.get(), lang)).unwrap_or_default();
            match lang {
                Lang::Fr => format!(" [terminé le {when} par le n° {by} : {kind}]"),
                Lang::En => format!(" [ended on {when} by no. {by}: {kind}]"),
            }
        }
    }
}

/// Everything that was decided, one JSON object each.
pub fn history_json(known: &Known) -> Vec<Value> {
    rows(known).iter().map(|row| row_json(known, row)).collect()
}

fn row_json(known: &Known, row: &Row<'_>) -> Value {
    let line = &row.record.line;
    let record = line.record.as_ref().map(|record| RecordLine::from_record(record, None, row.secret));
    let until = row.record.event.as_ref().and_then(|(event, _)| period(event).1).map(rfc3339);
    let (standing, by, at) = match row.standing {
        Standing::InForce => ("IN_FORCE", None, None),
        Standing::ToCome(from) => ("TO_COME", None, Some(from)),
        Standing::Over(Ended::By(by)) => ("ENDED", Some(by), None),
        Standing::Over(Ended::Expired(at)) => ("EXPIRED", None, Some(at)),
        Standing::Act => ("ACT", None, None),
        Standing::Erased => ("ERASED", None, None),
        Standing::Voided => ("VOIDED", None, None),
    };
    json!({
        "index": line.entry.index, "recorded_at": rfc3339(line.entry.time.get()), "kind": line.entry.kind,
        "standing": standing, "ended_by": by, "at": at.filter(|at| *at != FOR_EVER).map(|at| rfc3339(at.get())),
        "until": until, "secret": row.secret, "record": record, "as_of": known.as_of_size,
    })
}

/// The representatives, as lines of text.
pub fn representatives(known: &Known, lang: Lang) -> Vec<String> {
    let labels = labels(known);
    let mut out = vec![head(known, lang)];
    for entry in known.open.state.representations() {
        let representation = &entry.representation;
        let name = who(&Who::Named(representation.representative.clone()), &labels, lang);
        let related = relation(representation.relation.as_str(), lang);
        let given = given(known, entry);
        let powers: Vec<String> = given.iter().map(|p| power(p.as_str(), lang)).collect();
        let powers = match powers.is_empty() {
            true => words::pick(lang, "aucun pouvoir pour l'instant", "no powers for now").to_owned(),
            false => powers.join(" ; "),
        };
        let (at, period) = (known.at(), entry.period);
        let until = (period.until != FOR_EVER).then(|| spoken_end(period.until.get(), lang));
        let state = match (period.contains(at), at < period.from, until, lang) {
            (true, _, None, Lang::Fr) => "en vigueur".to_owned(),
            (true, _, Some(until), Lang::Fr) => format!("en vigueur jusqu'au {until}"),
            (_, true, _, Lang::Fr) => format!("à partir du {}", spoken(period.from.get(), lang)),
            (_, _, _, Lang::Fr) => "terminé".to_owned(),
            (true, _, None, Lang::En) => "in force".to_owned(),
            (true, _, Some(until), Lang::En) => format!("in force until {until}"),
            (_, true, _, Lang::En) => format!("from {} on", spoken(period.from.get(), lang)),
            (_, _, _, Lang::En) => "over".to_owned(),
        };
        let colon = words::pick(lang, " :", ":");
        out.push(format!("• {name} ({related}){colon} {powers} ; {state} (n° {}).", entry.stamp.index));
    }
    if out.len() == 1 {
        out.push(words::pick(lang, "Aucun représentant.", "No representative.").to_owned());
    }
    out
}

/// The powers that a representation gives, will give or gave: one that a representative passed on gives what they have
/// themselves.
fn given(known: &Known, entry: &RepresentationEntry) -> Vec<Power> {
    if entry.period.until <= known.at() {
        return entry.representation.powers().to_vec();
    }
    let at = known.at().max(entry.period.from);
    known.open.state.powers_of(entry, at).collect()
}

/// The representatives, one JSON object each.
pub fn representatives_json(known: &Known) -> Vec<Value> {
    let of = |entry: &RepresentationEntry| {
        json!({
            "index": entry.stamp.index, "representative": entry.representation.representative,
            "relation": entry.representation.relation, "powers": given(known, entry),
            "from": rfc3339(entry.period.from.get()),
            "until": (entry.period.until != FOR_EVER).then(|| rfc3339(entry.period.until.get())),
            "in_force": entry.period.contains(known.at()),
        })
    };
    known.open.state.representations().map(of).collect()
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
