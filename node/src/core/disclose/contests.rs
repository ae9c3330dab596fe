//! The contests that go to a party: what patients ask of it, about which line, and until when an answer is due.
//!
//! They are addressed to the reader, who answers for the structure of the line or signed it. So a page is on no further record: the
//! question stands in the trace, and so does each answer.

use sillage_ledger::{Contest, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{ContestRow, ListContestsRequest, ListContestsResponse};
use sillage_rules::codes::Code;
use sillage_rules::doors::DoorRecord;
use sillage_rules::entry::Entry;
use sillage_rules::record::ParsedRecord;

use super::on_record::Subject;
use super::{Access, Question, Withheld};
use crate::refusals::{from_read, refuse};

/// Rows of a page where the caller doesn't say.
const ROWS_DEFAULT: u32 = 50;
/// Most rows of a page: each has a question of 4 KiB at most.
const ROWS_MAX: u32 = 200;

impl Question for ListContestsRequest {
    type Answer = ListContestsResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        // Each opens two records: the question, and the line that it is about.
        Ok(u64::from(rows(self.limit)?) * 2)
    }

    fn leaves_a_line(&self, _caller: &Party) -> bool {
        false
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "the contests of a party were read");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<ListContestsResponse>, Refusal> {
        let limit = usize::try_from(rows(self.limit)?).expect("at most 200");
        let entries = access.entries();
        let found = entries.contests(&caller.author_id, self.waiting_only, (LeafIndex(self.after_index), limit));
        let found = found.map_err(|error| from_read(&error))?;
        let rows = found.rows.iter().map(|contest| row(access, contest)).collect::<Result<Vec<_>, _>>()?;
        // Those that are left out were read, too.
        let cost = (rows.len() + found.looked_at) as u64;
        let (more, next_after_index) = (found.next_after.is_some(), found.next_after.map_or(0, LeafIndex::get));
        Ok(Withheld::new(ListContestsResponse { rows, more, next_after_index }, caller, cost, Subject::Public))
    }
}

/// How many rows a question may have opened.
fn rows(limit: u32) -> Result<u32, Refusal> {
    match limit {
        0 => Ok(ROWS_DEFAULT),
        1..=ROWS_MAX => Ok(limit),
        _ => Err(Refusal::new(Code::MalformedRequest, "a page has 1 to 200 rows")),
    }
}

/// An erased record has no words left: the row and its times stay.
fn row(access: &Access, contest: &Contest) -> Result<ContestRow, Refusal> {
    let corrupt = || {
        tracing::error!(index = contest.index.get(), "a contest names an entry that isn't one");
        refuse(Code::Corrupt)
    };
    let now = access.entries().head().time_ms;
    let mut out = ContestRow {
        index: contest.index.get(),
        tag: contest.tag.to_vec(),
        opened_ms: contest.opened_ms.get(),
        due_ms: contest.due_ms.get(),
        late: contest.is_late(now),
        answers: contest.answers,
        about_index: contest.about.get(),
        ..ContestRow::default()
    };
    if let Some((index, at)) = contest.answered {
        (out.answered_index, out.answered_ms) = (index.get(), at.get());
    }
    if let Some((index, at)) = contest.closed {
        (out.closed_index, out.closed_ms) = (index.get(), at.get());
    }
    let opened = access.opener.open_index(contest.index)?;
    out.erased_index = opened.erased.map_or(0, |erased| erased.index);
    if let Some(message) = opened.record {
        let record = ParsedRecord::from_message(message).map_err(|_| corrupt())?;
        let Ok(Some(DoorRecord::ContestOpened(said))) = DoorRecord::of(&record) else { return Err(corrupt()) };
        (out.id, out.question) = (said.id, said.question);
    }
    let about = access.opener.open_index(contest.about)?;
    if let Ok(Entry::Record(entry)) = Entry::decode(&about.entry) {
        out.about_kind = entry.kind.token().to_owned();
    }
    if let Some(message) = about.record {
        out.about_ms = message.occurred_at_ms;
        let actor = message.actor.unwrap_or_default();
        let system = if actor.system.is_empty() { String::new() } else { format!("{}|{}", actor.system, actor.id) };
        (out.about_actor, out.about_label, out.about_organisation) = (system, actor.label, actor.organisation);
    }
    Ok(out)
}
