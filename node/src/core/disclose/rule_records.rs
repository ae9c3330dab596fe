//! The records that decide on a patient's data, as of some moment: folding them with `rules` gives the state that the
//! ledger decides on, and can explain every decision without asking a node to be believed.

use sillage_ledger::{LedgerReader, Party, Refusal};
use sillage_proof::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1::{BreakGlassEnd, RuleRecordsRequest, RuleRecordsResponse, TraceLine};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;

use super::devices::is_patient_itself;
use super::on_record::{Subject, TracePart};
use super::{Access, Question, Withheld, tag_of};
use crate::core::now_ms;
use crate::refusals::{from_read, refuse};

/// Records of a page, at most and where the caller doesn't say.
const RULE_RECORDS_MAX: u32 = 500;
/// Opened for each page, whatever is on it: policy, matrix, catalogue.
const DOCUMENTS: u64 = 3;
/// A page ends early when its records take this many bytes: gRPC clients take messages of 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 2 << 20;

impl Question for RuleRecordsRequest {
    type Answer = RuleRecordsResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(if self.limit == 0 { RULE_RECORDS_MAX } else { self.limit.min(RULE_RECORDS_MAX) }.into())
    }

    fn leaves_a_line(&self, caller: &Party) -> bool {
        !is_patient_itself(caller, &self.tag)
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "what decides for a patient was read");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<RuleRecordsResponse>, Refusal> {
        let tag = tag_of(&self.tag)?;
        let (page, rows) = page(access, &tag, &self)?;
        Ok(Withheld::new(page, caller, rows, Subject::Patient(tag, TracePart::Rules)))
    }
}

/// Reads one page; and how many entries were opened for it.
///
/// # Errors
/// `AS_OF_AHEAD` when the log isn't that far; a store that can't be read.
fn page(access: &Access, tag: &[u8; 32], request: &RuleRecordsRequest) -> Result<(RuleRecordsResponse, u64), Refusal> {
    let (reader, opener) = (access.entries(), &access.opener);
    let limit = match request.limit {
        0 => RULE_RECORDS_MAX,
        limit if limit <= RULE_RECORDS_MAX => limit,
        _ => return Err(Refusal::new(Code::MalformedRequest, "a page has 1 to 500 records")),
    };
    let limit = usize::try_from(limit).expect("at most 500");
    let (size, time) = as_of(reader, request)?;
    let rows = reader.rule_rows(tag, LeafIndex(request.after_index), size, limit + 1);
    let rows = rows.map_err(|error| from_read(&error))?;
    let mut answer = RuleRecordsResponse { as_of_size: size, as_of_ms: time.get(), ..RuleRecordsResponse::default() };
    let (mut bytes, mut opened_count) = (0, 0);
    for row in rows {
        if answer.records.len() == limit || bytes > PAGE_BYTES_MAX {
            answer.more = true;
            break;
        }
        opened_count += 1;
        let opened = opener.open_index_at(row.index, size)?;
        if opened.tag != Some(*tag) {
            tracing::error!(index = row.index.get(), "what decides for a patient names another's entry");
            return Err(refuse(Code::Corrupt));
        }
        bytes += opened.bytes.len() + opened.entry.len();
        answer.records.push(opened.into_line(row.index));
        if row.kind == Kind::BREAKGLASS_OPENED
            && let Some(ends) = reader.break_glass_end(row.index).map_err(|error| from_read(&error))?
        {
            answer.breakglass_ends.push(BreakGlassEnd { index: row.index.get(), ends_ms: ends.get() });
        }
    }
    let erased = reader.patient_erasure_at(tag, size).map_err(|error| from_read(&error))?;
    answer.erased_index = erased.map_or(0, |erased| erased.index.get());
    let documents = reader.documents_at(size).map_err(|error| from_read(&error))?;
    let document = |index: Option<LeafIndex>| -> Result<Option<TraceLine>, Refusal> {
        index.map(|index| Ok(opener.open_index(index)?.into_line(index))).transpose()
    };
    answer.policy = document(documents.policy)?;
    answer.matrix = document(documents.matrix)?;
    answer.catalogue = document(documents.catalogue)?;
    let revoked = reader.revoked_actors(size).map_err(|error| from_read(&error))?;
    answer.revoked_actors = revoked.iter().map(|actor| actor.as_bytes().to_vec()).collect();
    Ok((answer, opened_count + DOCUMENTS))
}

/// How many entries the log had, and the ledger time then.
fn as_of(reader: &LedgerReader, request: &RuleRecordsRequest) -> Result<(u64, LedgerTimeMs), Refusal> {
    let head = reader.head();
    let now = (head.size.get(), head.time_ms);
    let ahead = || refuse(Code::AsOfAhead);
    match (request.as_of_index, request.as_of_ms) {
        (0, 0) => Ok(now),
        (0, time_ms) if time_ms > head.time_ms.get().max(now_ms()) => Err(ahead()),
        (0, time_ms) if time_ms >= head.time_ms.get() => Ok(now),
        (0, time_ms) => {
            let (size, time) = reader.size_at(LedgerTimeMs(time_ms)).map_err(|error| from_read(&error))?;
            // Before the first entry there is no log to be asked.
            if size == 0 { Err(ahead()) } else { Ok((size, time)) }
        }
        (size, 0) if size > now.0 => Err(ahead()),
        (size, 0) if size == now.0 => Ok(now),
        (size, 0) => {
            let last = reader.entry_time(LeafIndex(size - 1)).map_err(|error| from_read(&error))?;
            Ok((size, last.ok_or_else(ahead)?))
        }
        _ => Err(Refusal::new(Code::MalformedRequest, "a state is named by its size or by its time, not by both")),
    }
}
