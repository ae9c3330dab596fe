//! A large access is on record in several parts (`details.part`, docs/fhir.md): shown as the one that it is.
//!
//! An author's statement of parts hides nothing: lines are put together only where they say the same but for their items and follow
//! each other in the log, and all items and all places are shown.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::parts::{Line, Part, together};
use sillage_rules::record::ParsedRecord;
use sillage_words::fold::parts_note;
use sillage_words::{Decision, Event, Lang};

use crate::trace::TracedLine;

/// Lines of one access, in the order of their parts; a line that is no part is alone.
pub struct Access<'a> {
    /// The lines.
    pub lines: Vec<&'a TracedLine>,
    /// Which part the first line is.
    pub part: Option<Part>,
    /// Where its newest line stands.
    newest: usize,
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

    /// As one event, ready to be told in a sentence.
    pub fn event(&self) -> Event {
        let TracedLine { line, secret } = self.first();
        let whole = |record: &ParsedRecord| v1::Record { items: self.items(), ..record.message().clone() };
        Event {
            index: line.entry.index.get(),
            flags: line.entry.flags,
            kind: line.entry.kind,
            recorded_at_ms: line.entry.time.get(),
            record: line.record.as_ref().map(whole),
            decision: line.decision.as_ref().map(Decision::from),
            author: line.author.clone(),
            erased: line.erased.clone(),
            voided: line.voided.clone(),
            secret: *secret,
        }
    }

    /// The end of the sentence about it.
    pub fn note(&self, lang: Lang) -> String {
        self.part.as_ref().map(|part| parts_note(part, self.places(), lang)).unwrap_or_default()
    }

    /// The first and the last place in the log.
    pub fn places(&self) -> (u64, u64) {
        let place = |line: Option<&&TracedLine>| line.map_or(0, |line| line.line.entry.index.get());
        (place(self.lines.first()), place(self.lines.last()))
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

/// Puts the lines of a page together, newest first: each access where its newest line stands.
pub fn accesses(lines: &[TracedLine]) -> Vec<Access<'_>> {
    let mut out = together_of(&lines.iter().rev().collect::<Vec<_>>());
    out.sort_by_key(|access| std::cmp::Reverse(access.newest));
    out
}

/// The same of lines that stand oldest first: each access where its first line stands.
pub fn oldest_first(lines: &[TracedLine]) -> Vec<Access<'_>> {
    together_of(&lines.iter().collect::<Vec<_>>())
}

fn together_of<'a>(lines: &[&'a TracedLine]) -> Vec<Access<'a>> {
    let said: Vec<Line<'_>> = lines.iter().map(|line| said(line)).collect();
    let one = |group: Vec<usize>| {
        let newest = group.last().copied().unwrap_or_default();
        let lines: Vec<&TracedLine> = group.iter().map(|at| lines[*at]).collect();
        Access { part: part_of(lines[0]), lines, newest }
    };
    together(&said).into_iter().map(one).collect()
}

fn said(line: &TracedLine) -> Line<'_> {
    let TracedLine { line, secret } = line;
    Line {
        index: line.entry.index.get(),
        time_ms: line.entry.time.get(),
        record: line.record.as_ref().map(sillage_rules::record::ParsedRecord::message),
        flags: line.entry.flags,
        author: &line.author,
        voided: line.voided.as_ref().map(|by| by.index),
        secret: *secret,
    }
}

fn part_of(line: &TracedLine) -> Option<Part> {
    Part::of(&line.line.record.as_ref()?.message().details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CheckedLine;
    use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
    use sillage_rules::entry::{Flags, RecordEntry};
    use sillage_rules::kind::Kind;
    use sillage_rules::record::new_message;

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
        assert!(all[0].note(Lang::En).contains("3 records, no. 11 to 13: 3 documents"), "{}", all[0].note(Lang::En));
        assert!(all[1].note(Lang::En).is_empty());
        let json: Value = serde_json::from_str(&all[0].put_into(r#"{"items": []}"#.into())).expect("JSON");
        assert_eq!((json["items"].as_array().map(Vec::len), &json["parts"]), (Some(3), &json!([11, 12, 13])));
        // What of it is on another page is missing here, and said to be.
        assert!(accesses(&lines[..2])[0].note(Lang::Fr).contains("dont ici les n° 12 à 13"));
    }
}
