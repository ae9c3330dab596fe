//! One entry: for auditors, for the authority, and for a service that recorded it.

use sillage_ledger::{Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{GetEntryRequest, GetEntryResponse};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

use super::on_record::Subject;
use super::{Access, Question, Withheld};
use crate::refusals::not_entitled;

/// Whoever may ask for an entry.
pub const READERS_OF_ENTRIES: &str = "auditors, the authority, and services for their own entries";

impl Question for GetEntryRequest {
    type Answer = GetEntryResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(1)
    }

    fn leaves_a_line(&self, _caller: &Party) -> bool {
        true
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, index = self.index, "an entry was read");
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<GetEntryResponse>, Refusal> {
        let opened = access.opener.open_index(LeafIndex(self.index))?;
        let own = opened.author_id == Some(caller.author_id);
        // The authority sees whose entry it is that it is asked to erase.
        if !own && !caller.roles.intersects(Roles::AUDITOR | Roles::AUTHORITY) {
            return Err(not_entitled(READERS_OF_ENTRIES));
        }
        // An auditor replays entries, which needs no payload; acts are public, and readers may open what a trace opens.
        let public = opened.record.as_ref().is_some_and(|record| Kind::from_code(record.kind).is_ok_and(Kind::is_act));
        // What the ledger made itself under a patient's tag, and an act that names a patient, tell of that patient.
        let of_a_patient = opened.tag.is_some_and(|tag| tag != [0; 32]);
        let concerns_someone = of_a_patient || !public && (opened.author_id.is_some() || opened.decision.is_some());
        // As for many entries at once: on record before it is given.
        let subject = match !own && concerns_someone {
            true => Subject::Entries(self.index..self.index.saturating_add(1)),
            false => Subject::Public,
        };
        let may_open = own || public || caller.roles.contains(Roles::READER);
        let (salt, record) = if may_open { (opened.salt, opened.bytes) } else { Default::default() };
        let (author, erased) = (opened.author, opened.erased);
        Ok(Withheld::new(GetEntryResponse { entry: opened.entry, salt, record, author, erased }, caller, 1, subject))
    }
}
