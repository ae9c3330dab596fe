//! The records that an act would void: whose they are, how many, and of which patients. No payload is opened, but which entries a party
//! signed, and under which tags, is told: so it is on record as the reading of these entries.

use sillage_ledger::{Party, Refusal};
use sillage_proto::v1::{PreviewVoidingRequest, PreviewVoidingResponse};
use sillage_rules::codes::Code;
use sillage_rules::voiding::Voiding;

use super::on_record::Subject;
use super::{Access, Question, Withheld};
use crate::refusals::{from_read, refuse};

/// Looked at for one part, in entries opened.
const PART_ROWS: u64 = 100;

impl Question for PreviewVoidingRequest {
    type Answer = PreviewVoidingResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(PART_ROWS)
    }

    fn leaves_a_line(&self, _caller: &Party) -> bool {
        true
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "asked what an act would void");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<PreviewVoidingResponse>, Refusal> {
        let act = self.act.as_ref().ok_or_else(|| refuse(Code::MalformedRequest))?;
        let act = Voiding::parse(act).map_err(|error| Refusal::new(error.code, error.to_string()))?;
        let Voiding::Void { whose, from, until, .. } = act else {
            return Err(Refusal::new(Code::MalformedRequest, "only an act that voids has something to preview"));
        };
        let entries = access.entries();
        let size = entries.tree_size().get();
        let part = entries.preview_voiding(&whose, (from, until), self.next).map_err(|error| from_read(&error))?;
        let first = self.next.max(from.get()).min(size);
        let end = if part.next == 0 { size } else { part.next }.max(first);
        let answer = PreviewVoidingResponse {
            records: part.records,
            deciding: part.deciding,
            tags: part.tags.iter().map(|tag| tag.to_vec()).collect(),
            decisions: part.decisions,
            next: part.next,
        };
        Ok(Withheld::new(answer, caller, PART_ROWS, Subject::Entries(first..end)))
    }
}
