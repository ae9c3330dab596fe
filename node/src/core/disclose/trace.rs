//! One page of a patient's trace: which entries answer a question, and their records, opened.
//!
//! Checks that the index row allows are made before a payload is opened. A call looks at a bounded number of entries:
//! when few of them match, it returns a short page and a cursor.

use sillage_ledger::{Party, Refusal, TraceRow};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{Actor, BasisKind, Record, TraceRequest, TraceResponse};
use sillage_rules::codes::Code;
use sillage_rules::entry::Flags;
use sillage_rules::ident::{Rpps, spelling};
use sillage_rules::kind::{Group, Kind};

use super::account::PASSED_OVER;
use super::devices::is_patient_itself;
use super::on_record::{Subject, TracePart};
use super::open::OpenedEntry;
use super::{Access, Question, Withheld, tag_of};
use crate::refusals::{from_read, refuse};

/// Lines of a page where the caller doesn't say.
const LINES_DEFAULT: u32 = 50;
/// Most lines of a page.
const LINES_MAX: u32 = 500;
/// Entries looked at in one call.
const LOOKED_AT_MAX: usize = 5_000;
/// A page ends early when its records take this many bytes: gRPC clients take messages of 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 3 << 20;
/// The purpose of use of break-glass (v3-PurposeOfUse).
pub(in crate::core) const PURPOSE_BREAK_GLASS: &str = "BTG";

impl Question for TraceRequest {
    type Answer = TraceResponse;

    /// How many entries a page has at most: what a caller has to have left of its quota. Other rows that were looked at
    /// to find them count afterwards.
    fn rows(&self) -> Result<u64, Refusal> {
        Ok(if self.limit == 0 { LINES_DEFAULT } else { self.limit.min(LINES_MAX) }.into())
    }

    fn leaves_a_line(&self, caller: &Party) -> bool {
        !is_patient_itself(caller, &self.tag)
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "a trace was read");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<TraceResponse>, Refusal> {
        let tag = tag_of(&self.tag)?;
        let (page, rows) = page(access, &self)?;
        Ok(Withheld::new(page, caller, rows, Subject::Patient(tag, TracePart::Trace)))
    }
}

/// The wish of a request, checked.
struct Filter<'a> {
    request: &'a TraceRequest,
    tag: [u8; 32],
    lines_max: usize,
}

/// Reads one page; and how much was looked at for it, in entries opened.
///
/// # Errors
/// A question that can't be understood, a cursor that isn't one, or a store that can't be read.
fn page(access: &Access, request: &TraceRequest) -> Result<(TraceResponse, u64), Refusal> {
    let (entries, cursors) = (access.entries(), &access.cursors);
    let filter = Filter::parse(request)?;
    let before = cursors.open(request).map_err(|_| refuse(Code::InvalidCursor))?;
    let as_of_size = entries.tree_size().get();
    let mut lines = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    let mut next_cursor = Vec::new();
    let (mut rows, mut opened_count) = (0, 0);
    for (row, looked_at) in entries.trace_scan(&filter.tag, before.map(LeafIndex)).zip(0..) {
        if let Some(last) = last
            && looked_at == LOOKED_AT_MAX
        {
            next_cursor = cursors.make(request, last);
            break;
        }
        let row = row.map_err(|error| from_read(&error))?;
        rows += 1;
        // A full page looks on for one more line: only that is worth a cursor.
        let full = lines.len() == filter.lines_max || bytes > PAGE_BYTES_MAX;
        if !full {
            last = Some(row.index.get());
        }
        if !filter.may_match(&row) {
            continue;
        }
        opened_count += 1;
        let opened = access.opener.open_index(row.index)?;
        if opened.tag != Some(filter.tag) {
            tracing::error!(index = row.index.get(), "the index of patients names another's entry");
            return Err(refuse(Code::Corrupt));
        }
        if filter.matches(RecordFacts::of(&opened)) {
            if let Some(last) = last
                && full
            {
                next_cursor = cursors.make(request, last);
                break;
            }
            bytes += opened.bytes.len() + opened.entry.len();
            lines.push(opened.into_line(row.index));
        }
    }
    Ok((TraceResponse { lines, next_cursor, as_of_size }, opened_count + rows / PASSED_OVER))
}

impl<'a> Filter<'a> {
    fn parse(request: &'a TraceRequest) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new(Code::MalformedRequest, what.to_owned());
        let tag = tag_of(&request.tag)?;
        let lines = match request.limit {
            0 => LINES_DEFAULT,
            1..=LINES_MAX => request.limit,
            _ => return Err(malformed("a page has 1 to 500 lines")),
        };
        let group = request.kind & 0xff == 0 && request.kind <= 0xff00;
        let group = group && u8::try_from(request.kind >> 8).is_ok_and(|code| Group::from_code(code).is_some());
        if request.kind != 0 && !group {
            Kind::from_code(request.kind).map_err(|error| Refusal::new(Code::UnknownKind, error.to_string()))?;
        }
        if request.from_ms != 0 && request.to_ms != 0 && request.from_ms >= request.to_ms {
            return Err(malformed("the period ends before it begins"));
        }
        Ok(Self { request, tag, lines_max: usize::try_from(lines).expect("at most 500") })
    }

    /// From the index row alone.
    fn may_match(&self, row: &TraceRow) -> bool {
        let code = u32::from(row.kind.code());
        let kind = match self.request.kind {
            0 => true,
            group if group & 0xff == 0 => code & 0xff00 == group,
            kind => code == kind,
        };
        kind && (!self.request.only_unjustified || row.flags.contains(Flags::UNJUSTIFIED))
    }

    /// From what the record says; an erased one matches only where nothing of it is asked for.
    fn matches(&self, said: Option<RecordFacts<'_>>) -> bool {
        let asked = self.request;
        let Some(RecordFacts { actor, at_ms, is_break_glass }) = said else {
            return !asks_for_content(self.request);
        };
        at_ms >= asked.from_ms
            && (asked.to_ms == 0 || at_ms < asked.to_ms)
            && (asked.actor.is_empty() || actor.is_some_and(|actor| is_actor(&asked.actor, actor)))
            && (asked.organisation.is_empty() || actor.is_some_and(|actor| is_of(&asked.organisation, actor)))
            && (!asked.only_break_glass || is_break_glass)
    }
}

/// Tells whether this id is the actor's, in whatever spelling either was written.
fn is_actor(wanted: &str, actor: &Actor) -> bool {
    let (_, id) = spelling::actor_on_record(&actor.system, &actor.id);
    let number = || Rpps::parse(wanted).is_ok_and(|number| number.as_str() == id);
    wanted == actor.id || wanted == id || number()
}

/// Tells whether the actor acted for this structure, in whatever spelling either was written.
fn is_of(wanted: &str, actor: &Actor) -> bool {
    let spelled = spelling::organisation_on_record;
    wanted == actor.organisation || spelled(wanted) == spelled(&actor.organisation)
}

/// The content of an entry, as far as one may ask by it.
struct RecordFacts<'a> {
    actor: Option<&'a Actor>,
    at_ms: u64,
    is_break_glass: bool,
}

impl<'a> RecordFacts<'a> {
    fn of(opened: &'a OpenedEntry) -> Option<Self> {
        match (&opened.record, &opened.decision) {
            (Some(record), _) => Some(Self::of_record(record)),
            (None, Some(decision)) => {
                let part = decision.actor_part();
                let (actor, at_ms) = (part.actor.as_ref(), part.decided_at_ms);
                Some(Self { actor, at_ms, is_break_glass: part.purpose == PURPOSE_BREAK_GLASS })
            }
            (None, None) => None,
        }
    }

    fn of_record(record: &'a Record) -> Self {
        let (actor, at_ms) = (record.actor.as_ref(), record.occurred_at_ms);
        Self { actor, at_ms, is_break_glass: is_break_glass(record) }
    }
}

/// Tells whether it can be told only from the records which entries match.
fn asks_for_content(asked: &TraceRequest) -> bool {
    asked.from_ms != 0
        || asked.to_ms != 0
        || !asked.actor.is_empty()
        || !asked.organisation.is_empty()
        || asked.only_break_glass
}

fn is_break_glass(record: &Record) -> bool {
    let basis = record.basis.as_ref().map(|basis| basis.kind);
    record.kind >> 8 == u32::from(Group::Emergency.code())
        || record.purpose == PURPOSE_BREAK_GLASS
        || basis == Some(BasisKind::Breakglass as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proto::v1::Basis;

    fn asked(change: impl FnOnce(&mut TraceRequest)) -> TraceRequest {
        let mut request = TraceRequest { tag: vec![1; 32], ..TraceRequest::default() };
        change(&mut request);
        request
    }

    fn record() -> Record {
        Record {
            kind: Kind::ACCESS_READ.code().into(),
            occurred_at_ms: 1_000,
            purpose: "TREAT".to_owned(),
            actor: Some(Actor {
                id: "10100534436".to_owned(),
                organisation: "750712184".to_owned(),
                ..Actor::default()
            }),
            ..Record::default()
        }
    }

    fn matches(record: &Record, change: impl FnOnce(&mut TraceRequest)) -> bool {
        let request = asked(change);
        let filter = Filter::parse(&request).expect("a question");
        filter.matches(Some(RecordFacts::of_record(record)))
    }

    #[test]
    fn periods_are_half_open_and_by_when_it_happened() {
        assert!(matches(&record(), |asked| asked.from_ms = 1_000));
        assert!(!matches(&record(), |asked| asked.from_ms = 1_001));
        assert!(!matches(&record(), |asked| asked.to_ms = 1_000));
        assert!(matches(&record(), |asked| asked.to_ms = 1_001));
    }

    #[test]
    fn actors_and_organisations_match_whole() {
        assert!(matches(&record(), |asked| asked.actor = "10100534436".to_owned()));
        assert!(!matches(&record(), |asked| asked.actor = "1010053443".to_owned()));
        assert!(!matches(&record(), |asked| asked.organisation = "1".to_owned()));
    }

    #[test]
    fn break_glass_is_seen_by_kind_purpose_or_basis() {
        let only = |asked: &mut TraceRequest| asked.only_break_glass = true;
        assert!(!matches(&record(), only));
        let mut opened = record();
        opened.kind = Kind::BREAKGLASS_OPENED.code().into();
        assert!(matches(&opened, only));
        let mut purpose = record();
        purpose.purpose = "BTG".to_owned();
        assert!(matches(&purpose, only));
        let mut basis = record();
        basis.basis = Some(Basis { kind: BasisKind::Breakglass as i32, ..Basis::default() });
        assert!(matches(&basis, only));
    }

    #[test]
    fn kinds_and_groups_are_told_from_the_row_and_unknown_ones_refused() {
        let row = TraceRow { index: LeafIndex(3), kind: Kind::ACCESS_READ, flags: Flags::NONE };
        let may = |change: fn(&mut TraceRequest)| {
            let request = asked(change);
            Filter::parse(&request).map(|filter| filter.may_match(&row))
        };
        assert_eq!(may(|_| ()), Ok(true));
        assert_eq!(may(|asked| asked.kind = 0x0601), Ok(true));
        assert_eq!(may(|asked| asked.kind = 0x0600), Ok(true));
        assert_eq!(may(|asked| asked.kind = 0x0500), Ok(false));
        assert_eq!(may(|asked| asked.only_unjustified = true), Ok(false));
        for kind in [0x0699, 0x6600, 0x10601, 7] {
            let request = asked(|asked| asked.kind = kind);
            let refused = Filter::parse(&request).err().map(|refusal| refusal.code);
            assert_eq!(refused, Some(Code::UnknownKind), "{kind:#x}");
        }
    }
}
