//! A trace as CSV (RFC 4180): a head, then one row an event, oldest first; a large access is one. UTF-8, every field quoted, lines end in CRLF.
//!
//! Spreadsheets run what begins like a formula, and split at the semicolon or the tab in many countries, whatever
//! stands between quotes. An author's text may be anything, so every text that could begin a cell like a formula gets
//! an apostrophe in front, at the beginning of a field and after each separator in it (OWASP, CSV injection): it shows
//! as text, and a reader who knows takes it off.

use sillage_proto::v1;
use sillage_rules::time::TimeMs;

use crate::export::{Access, Trace, accesses};

/// The columns, in order.
pub const HEAD: [&str; 25] = [
    "index",
    "recorded_at",
    "occurred_at",
    "kind",
    "flags",
    "service",
    "actor_system",
    "actor_id",
    "actor_role",
    "actor_organisation",
    "actor_label",
    "purpose",
    "basis",
    "basis_ref",
    "outcome",
    "outcome_text",
    "items",
    "categories",
    "labels",
    "site",
    "device",
    "network_address",
    "kept_from_representatives",
    "erased",
    "details",
];

/// The whole file.
pub fn csv(trace: &Trace) -> String {
    let mut out = row(HEAD.map(str::to_owned));
    for access in accesses(&trace.lines) {
        out += &row(fields(&access));
    }
    out
}

fn row(fields: [String; HEAD.len()]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    quoted.join(",") + "\r\n"
}

/// With what a formula begins.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters that begin another cell, for some reader.
const SEPARATORS: [char; 6] = [';', '\t', '\r', '\n', '；', '|'];

/// A field between quotes; what a spreadsheet would run has an apostrophe in front.
fn quote(field: &str) -> String {
    let runs = |rest: &str| rest.trim_start_matches(|c: char| c.is_whitespace() || c == '"').starts_with(FORMULA);
    let mut out = String::from("\"");
    if runs(field) || field.starts_with(['\t', '\r', '\n']) {
        out.push('\'');
    }
    for (at, c) in field.char_indices() {
        out.push(c);
        if c == '"' {
            out.push('"');
        }
        if SEPARATORS.contains(&c) && runs(&field[at + c.len_utf8()..]) {
            out.push('\'');
        }
    }
    out.push('"');
    out
}

fn fields(access: &Access<'_>) -> [String; HEAD.len()] {
    let line = access.line;
    let record = access.record.clone();
    let record = record.or_else(|| line.decision.as_ref().map(|decision| asked(decision.actor_part())));
    let has_time = line.record.is_some();
    let record = record.unwrap_or_default();
    let actor = record.actor.clone().unwrap_or_default();
    let basis = record.basis.clone().unwrap_or_default();
    let place = record.place.clone().unwrap_or_default();
    let erased = line.erased.as_ref();
    let each = |text: fn(&v1::Item) -> String| record.items.iter().map(text).collect::<Vec<_>>().join("; ");
    [
        places(access),
        TimeMs(line.recorded_at_ms).to_string(),
        if has_time { TimeMs(record.occurred_at_ms).to_string() } else { String::new() },
        line.kind.token().to_owned(),
        line.flags.names().chain(line.voided_by.map(|_| "VOIDED")).collect::<Vec<_>>().join(" "),
        line.author.clone(),
        actor.system,
        actor.id,
        actor.role,
        actor.organisation,
        actor.label,
        record.purpose.clone(),
        basis_name(basis.kind()).to_owned(),
        basis.r#ref,
        outcome_name(record.outcome()).to_owned(),
        record.outcome_text.clone(),
        each(|item| if item.id.is_empty() { item.label.clone() } else { item.id.clone() }),
        each(|item| item.category.clone()),
        each(|item| item.labels.join(" ")),
        place.site,
        place.device,
        place.network_address,
        if line.secret { "yes" } else { "" }.to_owned(),
        erased.map(|by| format!("{} (entry {}) {}", TimeMs(by.time_ms), by.index, by.ground)).unwrap_or_default(),
        match &line.decision {
            Some(decision) => outcomes(decision.private_part()),
            None => details(access, &record.details),
        },
    ]
}

/// Where an event stands; of a large access, the first and the last of its places.
fn places(access: &Access<'_>) -> String {
    match access.parts.as_slice() {
        // No dash: spreadsheets would take it for a date.
        [first, .., last] => format!("{first}..{last}"),
        _ => access.line.index.to_string(),
    }
}

/// The details of a record; of a large access, with the indices of all of its records (`part.indices`).
fn details(access: &Access<'_>, said: &str) -> String {
    let mut all: serde_json::Value = serde_json::from_str(said).unwrap_or_default();
    match all.get_mut("part").and_then(serde_json::Value::as_object_mut) {
        Some(part) if !access.parts.is_empty() => {
            part.remove("n");
            part.insert("indices".to_owned(), access.parts.clone().into());
            all.to_string()
        }
        _ => said.to_owned(),
    }
}

/// A decision in the columns of a record: who asked, why, and what was permitted.
fn asked(part: &v1::DecisionActorPart) -> v1::Record {
    let items = part.permitted.iter().map(|id| v1::Item { id: id.clone(), ..v1::Item::default() });
    v1::Record {
        actor: part.actor.clone(),
        purpose: part.purpose.clone(),
        items: items.collect(),
        outcome_text: format!("{}, {} permitted", part.action, part.permitted.len()),
        ..v1::Record::default()
    }
}

/// The decision on each item, as JSON.
fn outcomes(part: &v1::DecisionPrivatePart) -> String {
    let one = |outcome: &v1::ItemOutcome| {
        let effect = if outcome.permit { "permit" } else { "deny" };
        (outcome.id.clone(), format!("{effect} {}", outcome.reason).into())
    };
    serde_json::Value::Object(part.outcomes.iter().map(one).collect()).to_string()
}

fn basis_name(kind: v1::BasisKind) -> &'static str {
    match kind {
        v1::BasisKind::None => "",
        v1::BasisKind::Decision => "decision",
        v1::BasisKind::Breakglass => "breakglass",
        v1::BasisKind::CareTeam => "care_team",
        v1::BasisKind::Consent => "consent",
        v1::BasisKind::Self_ => "self",
        v1::BasisKind::Legal => "legal",
    }
}

fn outcome_name(outcome: v1::Outcome) -> &'static str {
    match outcome {
        v1::Outcome::Unspecified => "",
        v1::Outcome::Success => "success",
        v1::Outcome::MinorFailure => "minor_failure",
        v1::Outcome::SeriousFailure => "serious_failure",
        v1::Outcome::MajorFailure => "major_failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sillage_rules::kind::Kind;
    use sillage_rules::record::{ParsedRecord, new_message};

    use crate::export::{Line, Subject};

    /// Reads a row as RFC 4180 says.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
        let mut chars = text.chars().peekable();
        let mut inside = false;
        while let Some(c) = chars.next() {
            match (inside, c) {
                (true, '"') if chars.peek() == Some(&'"') => field.extend(chars.next()),
                (_, '"') => inside = !inside,
                (false, ',') => row.push(std::mem::take(&mut field)),
                (false, '\r') => {}
                (false, '\n') => {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                (_, c) => field.push(c),
            }
        }
        rows
    }

    fn trace(label: &str) -> Trace {
        let actor = v1::Actor { id: "1".into(), label: label.into(), ..v1::Actor::default() };
        let item = v1::Item { id: "d,1".into(), labels: vec!["a\"b".into()], ..v1::Item::default() };
        let message = v1::Record {
            actor: Some(actor),
            items: vec![item],
            ..new_message(Kind::ACCESS_READ, Some(&[7; 32]), 1_000)
        };
        let record = ParsedRecord::from_message(message).expect("a record");
        let line = Line {
            index: 4,
            recorded_at_ms: 2_000,
            flags: sillage_rules::entry::Flags::default(),
            kind: Kind::ACCESS_READ,
            record: Some(record),
            decision: None,
            erased: None,
            voided_by: None,
            author: "dmp".into(),
            secret: false,
        };
        let subject = Subject { ins: "1".into(), oid: "2".into() };
        Trace { subject, origin: "x".into(), read_at_ms: 3_000, lines: vec![line] }
    }

    #[test]
    fn a_row_an_event_under_a_head() {
        let rows = parse(&csv(&trace("Dr Dubois")));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], HEAD);
        let field = |name: &str| rows[1][HEAD.iter().position(|head| *head == name).expect("a column")].as_str();
        assert_eq!((field("index"), field("kind"), field("actor_label")), ("4", "access.read", "Dr Dubois"));
        assert_eq!((field("items"), field("labels")), ("d,1", "a\"b"));
        assert_eq!(field("occurred_at"), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"] {
            let rows = parse(&csv(&trace(formula)));
            let label = &rows[1][HEAD.iter().position(|head| *head == "actor_label").expect("a column")];
            assert_eq!(label, &format!("'{formula}"));
        }
    }

    /// The cells of a line as a spreadsheet splits it: a quote counts at the beginning of a cell only.
    fn cells(line: &str, separator: char) -> Vec<String> {
        let (mut out, mut rest) = (Vec::new(), line);
        loop {
            let mut cell = String::new();
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = quoted;
                while let Some((before, after)) = rest.split_once('"') {
                    cell += before;
                    rest = after;
                    let Some(doubled) = rest.strip_prefix('"') else { break };
                    cell.push('"');
                    rest = doubled;
                }
            }
            let end = rest.find(separator);
            cell += &rest[..end.unwrap_or(rest.len())];
            out.push(cell);
            match end {
                Some(end) => rest = &rest[end + separator.len_utf8()..],
                None => return out,
            }
        }
    }

    fn is_formula(cell: &str) -> bool {
        cell.trim_start().starts_with(FORMULA) && cell.trim() != "-"
    }

    #[test]
    fn no_separator_makes_a_formula() {
        let labels =
            ["Dr A;=1+1;é", "a;\"=1+1\"", "a; +1;  -2", "a;@x", "=1;=2", "x\";=1", "a|=1", "a;＝1", "\";\"=1", ";;=1"];
        for label in labels {
            let text = csv(&trace(label));
            for line in text.split("\r\n") {
                for separator in [',', ';', '\t', '|'] {
                    let bad: Vec<String> = cells(line, separator).into_iter().filter(|cell| is_formula(cell)).collect();
                    assert!(bad.is_empty(), "{label:?} split at {separator:?}: {bad:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_formula(text in "[-a=+@;|\" ]{1,12}") {
            let text = csv(&trace(&text));
            for separator in [',', ';', '\t', '|'] {
                for line in text.split("\r\n") {
                    prop_assert!(!cells(line, separator).iter().any(|cell| is_formula(cell)), "{}", line);
                }
            }
        }

        #[test]
        fn any_text_stays_in_its_field(text in "[^\\p{Cc}]{1,20}") {
            let rows = parse(&csv(&trace(&text)));
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(rows[1].len(), HEAD.len());
            prop_assert_eq!(rows[1][10].replace('\'', ""), text.replace('\'', ""));
        }
    }
}
