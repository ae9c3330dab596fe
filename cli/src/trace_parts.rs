//! A large access is on record in several parts (`details.part`, docs/fhir.md): shown as the one that it is.
//!
//! What an author says of parts hides nothing: lines are put together only where they say the same but for their items, and all
//! items and all places in the log are shown.

use serde_json::{Value, json};
use sillage_proto::v1;

use super::args::Lang;
use sillage_client::trace::TracedLine;

/// What is said of a part.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Part {
    of: String,
    n: u64,
    parts: u64,
    items: u64,
}

/// Lines of one access, in the order of their parts; a line that is no part is alone.
pub(super) struct Access<'a> {
    pub lines: Vec<&'a TracedLine>,
    pub part: Option<Part>,
}

impl Access<'_> {
    /// The line that stands for all.
    pub fn first(&self) -> &TracedLine {
        self.lines.first().expect("an access has a line")
    }

    /// The items of all lines.
    pub fn items(&self) -> Vec<v1::Item> {
        let records = self.lines.iter().filter_map(|line| line.line.record.as_ref());
        records.flat_map(|record| record.message().items.clone()).collect()
    }

    /// What goes on the sentence about it.
    pub fn note(&self, lang: Lang) -> String {
        let Some(Part { parts, items, .. }) = &self.part else { return String::new() };
        let shown = self.lines.len() as u64;
        match (lang, shown == *parts) {
            (Lang::Fr, true) => format!(" (Un seul accès, inscrit en {parts} enregistrements : {items} documents.)"),
            (Lang::En, true) => format!(" (One access, on record in {parts} records: {items} documents.)"),
            (Lang::Fr, false) => {
                format!(
                    " (Partie d'un accès à {items} documents, inscrit en {parts} enregistrements, dont {shown} ici.)"
                )
            }
            (Lang::En, false) => {
                format!(
                    " (Part of an access to {items} documents, on record in {parts} records, {shown} of them here.)"
                )
            }
        }
    }

    /// Puts all lines into the JSON of the first.
    pub fn put_into(&self, line: String) -> String {
        if self.lines.len() < 2 {
            return line;
        }
        let Ok(mut out) = serde_json::from_str::<Value>(&line) else { return line };
        let items = self.items().into_iter().map(sillage_rules::line::ItemLine::from);
        out["items"] = json!(items.collect::<Vec<_>>());
        out["parts"] = json!(self.lines.iter().map(|line| line.line.entry.index).collect::<Vec<_>>());
        out.to_string()
    }
}

/// Puts the lines of a page together, in their order: each access where its newest line stands.
pub(super) fn accesses(lines: &[TracedLine]) -> Vec<Access<'_>> {
    let mut out: Vec<Access<'_>> = Vec::new();
    for line in lines {
        let part = part_of(line);
        match out.last_mut() {
            Some(last) if goes_with(last, line, part.as_ref()) => last.lines.insert(0, line),
            _ => out.push(Access { lines: vec![line], part }),
        }
    }
    out
}

/// Newest first: an older line with a lower number, which says the same.
fn goes_with(access: &Access<'_>, line: &TracedLine, part: Option<&Part>) -> bool {
    let first = access.first();
    let (Some(part), Some(of)) = (part, part_of(first)) else { return false };
    let same = |one: &TracedLine| {
        let record = one.line.record.as_ref()?.message();
        let mut details: Value = serde_json::from_str(&record.details).ok()?;
        details["part"] = Value::Null;
        let bare = v1::Record { items: Vec::new(), original: None, details: details.to_string(), ..record.clone() };
        let (entry, voided) = (&one.line.entry, one.line.voided.as_ref().map(|by| by.index));
        Some((bare, entry.flags, entry.tag, one.line.author.clone(), voided, one.secret))
    };
    part.of == of.of
        && part.parts == of.parts
        && part.n + 1 == of.n
        && same(first).is_some()
        && same(first) == same(line)
}

fn part_of(line: &TracedLine) -> Option<Part> {
    let details: Value = serde_json::from_str(&line.line.record.as_ref()?.message().details).ok()?;
    serde_json::from_value(details.get("part")?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_client::checks::CheckedLine;
    use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
    use sillage_rules::entry::{Flags, RecordEntry};
    use sillage_rules::kind::Kind;
    use sillage_rules::record::{ParsedRecord, new_message};

    fn line(index: u64, n: u64, edit: impl FnOnce(&mut v1::Record)) -> TracedLine {
        let tag = [7; 32];
        let mut record = v1::Record {
            actor: Some(v1::Actor { id: "1".into(), ..v1::Actor::default() }),
            items: vec![v1::Item { id: format!("d{n}"), ..v1::Item::default() }],
            details: format!(r#"{{"part": {{"of": "ab", "n": {n}, "parts": 3, "items": 3}}}}"#),
            ..new_message(Kind::ACCESS_READ, Some(&tag), 1_000)
        };
        edit(&mut record);
        let record = ParsedRecord::from_message(record).expect("a record");
        let entry = RecordEntry {
            index: LeafIndex(index),
            time: LedgerTimeMs(2_000),
            flags: Flags::UNJUSTIFIED,
            tag,
            record_hash: Hash::default(),
            kind: Kind::ACCESS_READ,
            position: 0,
        };
        let (erased, voided, decision, bytes) = (None, None, None, Vec::new());
        let author = "dmp".to_owned();
        let line =
            CheckedLine { entry, bytes, record: Some(record), decision, author, author_id: None, erased, voided };
        TracedLine { line, secret: false }
    }

    fn shown(lines: &[TracedLine]) -> Vec<usize> {
        accesses(lines).iter().map(|access| access.lines.len()).collect()
    }

    #[test]
    fn parts_of_one_access_are_shown_as_one_with_all_their_items() {
        let lines = [line(13, 3, |_| {}), line(12, 2, |_| {}), line(11, 1, |_| {}), line(10, 1, |r| r.details.clear())];
        assert_eq!(shown(&lines), [3, 1]);
        let all = accesses(&lines);
        let ids: Vec<String> = all[0].items().into_iter().map(|item| item.id).collect();
        assert_eq!(
            (ids, all[0].first().line.entry.index),
            (vec!["d1".into(), "d2".into(), "d3".into()], LeafIndex(11))
        );
        assert!(all[0].note(Lang::En).contains("3 records: 3 documents") && all[1].note(Lang::En).is_empty());
        let json: Value = serde_json::from_str(&all[0].put_into(r#"{"items": []}"#.into())).expect("JSON");
        assert_eq!((json["items"].as_array().map(Vec::len), &json["parts"]), (Some(3), &json!([11, 12, 13])));
        // What of it is on another page is missing here, and said to be.
        assert!(accesses(&lines[..2])[0].note(Lang::Fr).contains("dont 2 ici"));
    }

    #[test]
    fn what_only_claims_to_be_a_part_is_a_line_of_its_own() {
        let first = || line(13, 3, |_| {});
        for other in [
            line(12, 3, |_| {}),
            line(12, 1, |_| {}),
            line(12, 2, |r| r.occurred_at_ms += 1),
            line(12, 2, |r| r.purpose = "TREAT".into()),
            line(12, 2, |r| r.actor.as_mut().expect("who").id = "2".into()),
            line(12, 2, |r| r.details = r.details.replace("ab", "cd")),
            line(12, 2, |r| {
                r.details = r.details.replace('{', "{\"x\": 1, ").replacen("\"x\": 1, \"of\"", "\"of\"", 1)
            }),
        ] {
            assert_eq!(shown(&[first(), other]), [1, 1]);
        }
        let of_another =
            TracedLine { line: CheckedLine { author: "other".into(), ..line(12, 2, |_| {}).line }, secret: false };
        assert_eq!(shown(&[first(), of_another]), [1, 1]);
    }
}
