//! The lines of a trace that a verified bundle shows: as events for people, and as the JSON that `trace --json` prints.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::bundle::{Bundle, EntryReport, Payload, Report, State};
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::entry::{Entry, RecordEntry};
use sillage_rules::line::{ErasedLine, OpenedContent, PatientLine, TraceLineJson};
use sillage_rules::parts::{self, Part};
use sillage_rules::record::ParsedRecord;
use sillage_rules::time::TimeMs;

use sillage_words::{Decision, Event};

/// One line, opened.
#[derive(Debug, Clone)]
pub struct BundleLine {
    /// For a sentence and the table.
    pub event: Event,
    /// For programs.
    pub json: Value,
    /// The access that it is, or a part of, where one record couldn't hold it; and the first and the last of its places.
    pub part: Option<(Part, (u64, u64))>,
}

/// The lines of a bundle, in log order. Only of one that was verified: `report` is what came of that.
pub fn lines(bundle: &Bundle, report: &Report) -> Vec<BundleLine> {
    bundle
        .entries
        .iter()
        .zip(&report.entries)
        .filter_map(|(shown, found)| {
            let Ok(Entry::Record(entry)) = Entry::decode(&shown.entry) else { return None };
            Some(line(&entry, shown.payload.as_ref(), found, report))
        })
        .collect()
}

/// The same with the parts of a large access as one line, which names the places of all (`parts` in its JSON).
pub fn accesses(lines: Vec<BundleLine>) -> Vec<BundleLine> {
    let said: Vec<parts::Line<'_>> = lines
        .iter()
        .map(|line| parts::Line {
            index: line.event.index,
            time_ms: line.event.recorded_at_ms,
            record: line.event.record.as_ref(),
            flags: line.event.flags,
            author: &line.event.author,
            voided: line.json["voided"]["index"].as_u64(),
            secret: line.event.secret,
        })
        .collect();
    let groups = parts::together(&said);
    groups.into_iter().map(|group| access(&lines, &group)).collect()
}

fn access(lines: &[BundleLine], group: &[usize]) -> BundleLine {
    let mut out = lines[group[0]].clone();
    if let Some((_, (_, last))) = &mut out.part {
        *last = lines[group[group.len() - 1]].event.index;
    }
    if group.len() > 1 {
        out.event.record = parts::whole(group.iter().filter_map(|at| lines[*at].event.record.as_ref()));
        let items: Vec<Value> =
            group.iter().flat_map(|at| lines[*at].json["items"].as_array().cloned().unwrap_or_default()).collect();
        out.json["items"] = json!(items);
        out.json["parts"] = json!(group.iter().map(|at| lines[*at].event.index).collect::<Vec<_>>());
    }
    out
}

fn line(entry: &RecordEntry, payload: Option<&Payload>, found: &EntryReport, report: &Report) -> BundleLine {
    let (record, decision) = match payload {
        None => (None, None),
        Some(Payload::Record { record, .. }) => (ParsedRecord::parse(record).ok(), None),
        Some(Payload::Decision { salts, actor, private }) => {
            (None, DecisionRecord::from_parts(*salts, actor, private).ok())
        }
    };
    let author = found.author.clone().unwrap_or_default();
    let erased = match &found.state {
        State::Erased(by) => {
            Some(v1::Erasure { index: by.index.get(), time_ms: by.time_ms.get(), ground: by.ground.clone() })
        }
        State::Shown | State::Withheld => None,
    };
    let opened = match (&record, &decision) {
        (Some(record), _) => OpenedContent::Record(record),
        (None, Some(decision)) => OpenedContent::Decision(decision),
        (None, None) => OpenedContent::Nothing,
    };
    let erased_json =
        erased.as_ref().map(|by| ErasedLine { index: by.index, time: TimeMs(by.time_ms), ground: by.ground.clone() });
    let patient = PatientLine { ins: report.ins.clone(), oid: report.oid.clone() };
    let whole = Entry::Record(entry.clone());
    let json = TraceLineJson::new(&whole, &author, opened, erased_json, Some(patient), report.secret);
    let mut json = serde_json::to_value(&json).expect("a trace line has string keys only");
    if let Some(by) = found.voided_by {
        // A bundle names the act that voided an entry, and no more of it.
        json["voided"] = serde_json::json!({"index": by});
    }
    let event = Event {
        index: entry.index.get(),
        flags: entry.flags,
        kind: entry.kind,
        recorded_at_ms: entry.time.get(),
        record: record.map(|record| record.message().clone()),
        decision: decision.as_ref().map(Decision::from),
        erased,
        // It is said in a line of its own, as the bundle doesn't say when and why.
        voided: None,
        author,
        secret: report.secret,
    };
    let part = event.record.as_ref().and_then(|record| Part::of(&record.details));
    let part = part.map(|part| (part, (event.index, event.index)));
    BundleLine { event, json, part }
}
