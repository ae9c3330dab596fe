//! A large access is on record in several parts, which say so (`details.part`): read as the one that it is.
//!
//! An author's statement about parts hides nothing: records are put together only where they say the same but for their items, came in
//! at the same time and stand next to each other in the log. Whoever shows them shows all items, and the range of places.

use serde::Deserialize;
use serde_json::Value;
use sillage_proto::v1;

use crate::flags::Flags;

/// The statement of a record about the access that it is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Part {
    /// Which access: the beginning of the hash of its document.
    pub of: String,
    /// Which part, from 1.
    pub n: u64,
    /// How many parts there are.
    pub parts: u64,
    /// How many items all parts have.
    pub items: u64,
}

impl Part {
    /// The statement in a record's details, where the record is one of several.
    pub fn of(details: &str) -> Option<Self> {
        // Most records are none: they cost no parsing.
        if !details.contains("\"part\"") {
            return None;
        }
        let details: Value = serde_json::from_str(details).ok()?;
        serde_json::from_value(details.get("part")?.clone()).ok()
    }
}

/// A line of a trace, as far as it matters for what belongs together.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Place in the log.
    pub index: u64,
    /// Ledger time, ms.
    pub time_ms: u64,
    /// None where it was erased, isn't shown, or is none.
    pub record: Option<&'a v1::Record>,
    /// The ledger's flags.
    pub flags: Flags,
    /// Name of the service that signed it.
    pub author: &'a str,
    /// The act that voided it.
    pub voided: Option<u64>,
    /// Kept from representatives.
    pub secret: bool,
}

/// All that parts of one access have in common.
#[derive(PartialEq)]
struct Common<'a> {
    bare: v1::Record,
    part: (String, u64, u64),
    line: (u64, Flags, &'a str, Option<u64>, bool),
}

impl<'a> Common<'a> {
    fn of(line: &Line<'a>, part: &Part) -> Option<Self> {
        let record = line.record?;
        let mut details: Value = serde_json::from_str(&record.details).ok()?;
        details["part"] = Value::Null;
        let bare = v1::Record { items: Vec::new(), original: None, details: details.to_string(), ..record.clone() };
        let line = (line.time_ms, line.flags, line.author, line.voided, line.secret);
        Some(Self { bare, part: (part.of.clone(), part.parts, part.items), line })
    }
}

/// Puts the lines of one patient's trace together, which stand oldest first: positions, in the order of their parts. A line that is
/// no part is alone. Groups stand in the order of their first lines.
pub fn together(lines: &[Line<'_>]) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = Vec::new();
    // The access that waits for its next part: what it says, the last part, and where that stands.
    let mut open: Option<(Common<'_>, u64, u64)> = None;
    for (at, line) in lines.iter().enumerate() {
        let part = line.record.and_then(|record| Part::of(&record.details));
        let part = part.and_then(|part| Some((Common::of(line, &part)?, part)));
        let follows = part.as_ref().zip(open.as_ref()).is_some_and(|((common, part), (known, n, index))| {
            part.n == n + 1 && part.n <= part.parts && line.index == index + 1 && common == known
        });
        match out.last_mut().filter(|_| follows) {
            Some(group) => group.push(at),
            None => out.push(vec![at]),
        }
        open = part.map(|(common, part)| (common, part.n, line.index));
    }
    out
}

/// The record of a whole access: the first one, with the items of all.
pub fn whole<'a>(records: impl IntoIterator<Item = &'a v1::Record>) -> Option<v1::Record> {
    let mut records = records.into_iter();
    let mut out = records.next()?.clone();
    records.for_each(|record| out.items.extend(record.items.iter().cloned()));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::record::new_message;

    fn record(n: u64) -> v1::Record {
        v1::Record {
            actor: Some(v1::Actor { id: "1".into(), ..v1::Actor::default() }),
            items: vec![v1::Item { id: format!("d{n}"), ..v1::Item::default() }],
            details: format!(r#"{{"part": {{"of": "ab", "n": {n}, "parts": 3, "items": 3}}}}"#),
            ..new_message(Kind::ACCESS_READ, Some(&[7; 32]), 1_000)
        }
    }

    fn line(index: u64, record: &v1::Record) -> Line<'_> {
        let (record, time_ms) = (Some(record), 2_000);
        Line { index, time_ms, record, flags: Flags::UNJUSTIFIED, author: "dmp", voided: None, secret: false }
    }

    fn grouped(records: &[v1::Record]) -> Vec<Vec<usize>> {
        together(&(10..).zip(records).map(|(index, record)| line(index, record)).collect::<Vec<_>>())
    }

    #[test]
    fn parts_of_one_access_are_one_where_they_stand_next_to_each_other() {
        let other = v1::Record { details: String::new(), ..record(1) };
        assert_eq!(grouped(&[other.clone(), record(1), record(2), record(3)]), [vec![0], vec![1, 2, 3]]);
        assert_eq!(grouped(&[record(1), other, record(2), record(3)]), [vec![0], vec![1], vec![2, 3]]);
        assert_eq!(grouped(&[record(2), record(3)]), [vec![0, 1]], "the first is on another page");
        assert_eq!(grouped(&[record(1), record(2), record(1), record(2)]), [vec![0, 1], vec![2, 3]], "twice");
        let all = whole([&record(1), &record(2), &record(3)]).expect("records");
        assert_eq!(all.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["d1", "d2", "d3"]);
        assert_eq!(whole(std::iter::empty()), None);
    }

    #[test]
    fn what_was_recorded_elsewhere_or_at_another_time_is_a_line_of_its_own() {
        let (one, two) = (record(1), record(2));
        for (index, time_ms, expected) in
            [(11, 2_000, vec![vec![0, 1]]), (12, 2_000, vec![vec![0], vec![1]]), (11, 2_001, vec![vec![0], vec![1]])]
        {
            let next = Line { index, time_ms, ..line(11, &two) };
            assert_eq!(together(&[line(10, &one), next]), expected, "{index} {time_ms}");
        }
    }

    #[test]
    fn what_only_claims_to_be_a_part_is_a_line_of_its_own() {
        let edited = |edit: fn(&mut v1::Record)| {
            let mut record = record(2);
            edit(&mut record);
            record
        };
        for other in [
            record(1),
            record(3),
            record(4),
            edited(|r| r.occurred_at_ms += 1),
            edited(|r| r.purpose = "TREAT".into()),
            edited(|r| r.actor.as_mut().expect("who").id = "2".into()),
            edited(|r| r.details = r.details.replace("ab", "cd")),
            edited(|r| r.details = r.details.replace("\"items\": 3", "\"items\": 4")),
            edited(|r| r.details = r.details.replacen('{', "{\"x\": 1, ", 1)),
            edited(|r| r.details = "{\"part\"".into()),
        ] {
            assert_eq!(grouped(&[record(1), other]), [vec![0], vec![1]]);
        }
        let (one, two) = (record(1), record(2));
        for (flags, author, voided, secret) in [
            (Flags::NONE, "dmp", None, false),
            (Flags::UNJUSTIFIED, "other", None, false),
            (Flags::UNJUSTIFIED, "dmp", Some(9), false),
            (Flags::UNJUSTIFIED, "dmp", None, true),
        ] {
            let other = Line { flags, author, voided, secret, ..line(11, &two) };
            assert_eq!(together(&[line(10, &one), other]), [vec![0], vec![1]]);
        }
        let gone = Line { record: None, ..line(11, &one) };
        assert_eq!(together(&[line(10, &one), gone]), [vec![0], vec![1]], "erased");
    }
}
