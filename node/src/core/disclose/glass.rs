//! The register of broken glass: who opened it, in which case, until when, and what is still owed for it
//! (CSP L1111-17, R1111-48). The register holds times; who and why stands in the sealed record, which is opened.

use sillage_ledger::{BreakGlass, GlassFilter, LedgerReader, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{BreakGlassRow, ListBreakGlassRequest, ListBreakGlassResponse};
use sillage_rules::codes::Code;
use sillage_rules::consent::people::Verdict;
use sillage_rules::consent::{Actor, Event};
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::Roles;

use super::account::PASSED_OVER;
use super::on_record::Subject;
use super::open::OpenedEntry;
use super::{Access, Question, Withheld};
use crate::refusals::{from_read, refuse};

/// Rows of a page where the caller doesn't say.
const ROWS_DEFAULT: u32 = 100;
/// Most rows of a page.
const ROWS_MAX: u32 = 500;

impl Question for ListBreakGlassRequest {
    type Answer = ListBreakGlassResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(rows(self.limit)?.into())
    }

    fn leaves_a_line(&self, _caller: &Party) -> bool {
        true
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "the register of broken glass was read");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<ListBreakGlassResponse>, Refusal> {
        // Why the glass was broken stands in traces, which auditors don't read.
        let with_reason = caller.roles.contains(Roles::READER);
        let (page, rows) = page(access, &self, with_reason)?;
        let patients = page.rows.iter().filter_map(|row| row.tag[..].try_into().ok()).collect();
        Ok(Withheld::new(page, caller, rows, Subject::Register(patients)))
    }
}

/// Reads one page; and how much was looked at for it, in entries opened. `with_reason`: the caller may open the traces that they
/// stand in.
///
/// # Errors
/// A store that can't be read.
fn page(
    access: &Access,
    request: &ListBreakGlassRequest,
    with_reason: bool,
) -> Result<(ListBreakGlassResponse, u64), Refusal> {
    let (reader, opener) = (access.entries(), &access.opener);
    let limit = rows(request.limit)?;
    let filter = GlassFilter { open_only: request.open_only, overdue_only: request.overdue_only };
    let now = reader.head().time_ms;
    let limit = usize::try_from(limit).expect("at most 500");
    let found = reader.break_glasses_counted(filter, LeafIndex(request.after_index), limit);
    let (found, more, looked_at) = found.map_err(|error| from_read(&error))?;
    let mut rows = Vec::with_capacity(found.len());
    for glass in found {
        let opened = opener.open_index(glass.index)?;
        let mut row = row(&glass, opened)?;
        if !with_reason {
            (row.reason, row.text) = Default::default();
        }
        row.overdue = glass.is_overdue(now);
        row.justified_ms = time_of(reader, row.justified_index)?;
        row.closed_ms = time_of(reader, row.closed_index)?;
        row.reviewed_ms = time_of(reader, row.reviewed_index)?;
        rows.push(row);
    }
    let cost = rows.len() as u64 + looked_at / PASSED_OVER;
    Ok((ListBreakGlassResponse { rows, more }, cost))
}

/// When an entry came on record; 0 for none.
fn time_of(reader: &LedgerReader, index: u64) -> Result<u64, Refusal> {
    if index == 0 {
        return Ok(0);
    }
    let time = reader.entry_time(LeafIndex(index)).map_err(|error| from_read(&error))?;
    Ok(time.map_or(0, |time| time.get()))
}

/// How many rows a question may have opened.
///
/// # Errors
/// When it is more than a page.
fn rows(limit: u32) -> Result<u32, Refusal> {
    match limit {
        0 => Ok(ROWS_DEFAULT),
        1..=ROWS_MAX => Ok(limit),
        _ => Err(Refusal::new(Code::MalformedRequest, "a page has 1 to 500 rows")),
    }
}

const fn token(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Justified => "JUSTIFIED",
        Verdict::NotJustified => "NOT_JUSTIFIED",
    }
}

/// An erased record has no words left: the row and its times stay.
fn row(glass: &BreakGlass, opened: OpenedEntry) -> Result<BreakGlassRow, Refusal> {
    let corrupt = || {
        tracing::error!(index = glass.index.get(), "the register of broken glass names an entry that isn't one");
        refuse(Code::Corrupt)
    };
    let index = |index: Option<LeafIndex>| index.map_or(0, LeafIndex::get);
    let mut row = BreakGlassRow {
        index: glass.index.get(),
        opened_ms: glass.opened_ms.get(),
        recorded_ms: glass.recorded_ms.get(),
        erased_index: index(glass.erased_by),
        voided_index: index(glass.voided_by),
        tag: glass.tag.map(|tag| tag.to_vec()).unwrap_or_default(),
        expires_ms: glass.expires_ms.get(),
        justification_due_ms: glass.justification_due_ms.get(),
        justified_index: index(glass.justified),
        closed_index: index(glass.closed),
        reviewed_index: index(glass.reviewed.map(|(index, _)| index)),
        verdict: glass.reviewed.map(|(_, verdict)| token(verdict).to_owned()).unwrap_or_default(),
        patient_identified: glass.tag.is_some(),
        continued_index: index(glass.continued_by),
        ..BreakGlassRow::default()
    };
    let Some(message) = opened.record else {
        return Ok(row);
    };
    let record = ParsedRecord::from_message(message).map_err(|_| corrupt())?;
    let Ok(Some(Event::BreakGlassOpened(opened))) = Event::of(&record) else {
        return Err(corrupt());
    };
    let signer = Actor::of(record.message()).map_err(|_| corrupt())?;
    row.actor = opened.actor.as_ref().unwrap_or(&signer.name).to_string();
    row.organisation = opened.organisation.or(signer.organisation).unwrap_or_default();
    row.reason = opened.reason.clone().unwrap_or_default();
    row.text = opened.text.clone().unwrap_or_default();
    row.case = opened.case.map(|case| case.as_str().to_owned()).unwrap_or_default();
    row.id = opened.id;
    Ok(row)
}
