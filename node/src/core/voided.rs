//! Voided records, as callers ask about them: which acts there are, and which decisions were made while the records counted. Numbers
//! alone: nothing of a record is opened. What an act would void names patients: `disclose::voiding`.

use sillage_ledger::{LedgerReader, Refusal, ReviewGround, VoidedRange};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{Record, ReviewVoidedRequest, ReviewVoidedResponse, VoidedDecisionRow, Voiding, VoidingRow};
use sillage_rules::codes::Code;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::voiding::Whose;

use crate::refusals::{from_read, refuse};

/// Rows of a page where the caller doesn't say.
const ROWS_DEFAULT: u32 = 100;
/// Most rows of a page.
const ROWS_MAX: u32 = 500;

/// The reason of an act is known, because it stands in clear.
fn reason(reader: &LedgerReader, act: LeafIndex) -> Result<String, Refusal> {
    let found = reader.public_entry(act).map_err(|error| from_read(&error))?;
    let payload = found.and_then(|found| found.payload);
    let record = payload.as_deref().and_then(|payload| payload.get(SALT_BYTES..));
    let record = record.and_then(|record| <Record as prost::Message>::decode(record).ok());
    match record.and_then(|record| record.act).and_then(|act| act.act) {
        Some(sillage_proto::v1::ledger_act::Act::Voided(act)) => Ok(act.reason),
        _ => {
            tracing::error!(%act, "an act that voids records can't be read");
            Err(refuse(Code::Corrupt))
        }
    }
}

/// Which act voids an entry in a log of `size` entries.
///
/// # Errors
/// A store that can't be read.
pub fn voiding_of(reader: &LedgerReader, index: LeafIndex, size: u64) -> Result<Option<Voiding>, Refusal> {
    let Some(range) = reader.voided_at(index, size).map_err(|error| from_read(&error))? else { return Ok(None) };
    let reason = reason(reader, range.act)?;
    Ok(Some(Voiding { index: range.act.get(), time_ms: range.time_ms.get(), reason }))
}

/// The acts, or the decisions to review of one.
///
/// # Errors
/// A page that is too long; a store that can't be read.
pub fn review(reader: &LedgerReader, request: &ReviewVoidedRequest) -> Result<ReviewVoidedResponse, Refusal> {
    let limit = match request.limit {
        0 => ROWS_DEFAULT,
        1..=ROWS_MAX => request.limit,
        _ => return Err(Refusal::new(Code::MalformedRequest, "a page has 1 to 500 rows")),
    };
    let limit = usize::try_from(limit).expect("at most 500");
    let after = LeafIndex(request.after_index);
    let read = |error: &sillage_ledger::ReadError| from_read(error);
    let acts = reader.voidings().map_err(|error| read(&error))?;
    if request.act_index == 0 {
        let mut acts: Vec<VoidedRange> = acts.into_iter().filter(|range| range.act > after).collect();
        let more = acts.len() > limit;
        acts.truncate(limit);
        let acts = acts.iter().map(|range| row(reader, range)).collect::<Result<_, _>>()?;
        return Ok(ReviewVoidedResponse { acts, more, ..ReviewVoidedResponse::default() });
    }
    let act = LeafIndex(request.act_index);
    let range = acts.iter().find(|range| range.act == act).ok_or_else(|| refuse(Code::UnknownIndex))?;
    let (found, more) = reader.decisions_to_review(act, after, limit).map_err(|error| read(&error))?;
    let mut decisions = Vec::with_capacity(found.len());
    for decision in found {
        let time = reader.entry_time(decision.index).map_err(|error| read(&error))?;
        let time_ms = time.ok_or_else(|| refuse(Code::Corrupt))?.get();
        let consulted = decision.ground == ReviewGround::Consulted;
        decisions.push(VoidedDecisionRow { index: decision.index.get(), time_ms, consulted });
    }
    Ok(ReviewVoidedResponse { acts: vec![row(reader, range)?], decisions, more })
}

fn row(reader: &LedgerReader, range: &VoidedRange) -> Result<VoidingRow, Refusal> {
    let (key_id, author_id) = match &range.whose {
        Whose::Key(key) => (key.as_bytes().to_vec(), Vec::new()),
        Whose::Party(author) => (Vec::new(), author.as_bytes().to_vec()),
    };
    let (patients, all_told) = reader.patients_concerned(range.act).map_err(|error| from_read(&error))?;
    Ok(VoidingRow {
        act_index: range.act.get(),
        time_ms: range.time_ms.get(),
        key_id,
        author_id,
        from_index: range.from.get(),
        until_index: range.until.get(),
        reason: reason(reader, range.act)?,
        reinstated_index: range.reinstated.map_or(0, LeafIndex::get),
        patients,
        all_told,
    })
}
