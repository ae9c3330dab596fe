//! A batch that is on record, for an author who may sign nothing any more: its key was revoked, its roles were taken away.
//!
//! Such an author still has to learn whether what it sent last is on record; whoever keeps asking would else send it again under
//! another number, or believe it lost. It gets the receipt of a batch that is on record byte for byte, signature included, over the
//! certificate of its party. Whoever has all of that knows what the batch says; everybody else gets the refusal.

use std::sync::Arc;

use sillage_ledger::{CommandOutcome, Party, Refusal};
use sillage_proof::batch::{BatchLeaf, batch_root};
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::AuthorId;
use sillage_proto::v1::{Batch, SubmitResponse};
use sillage_rules::codes::Code;
use sillage_rules::entry::BatchHeader;

use super::admission::{Admission, Plain, check_bounds, record_hashes};
use crate::core::Core;
use crate::refusals::{from_read, over_quota, refuse};

/// Batches a second that such an author may ask for on one node, whatever its quota was: it has few that it never got an answer to.
const ENDED_BATCHES_PER_S: f64 = 5.0;

impl Admission {
    /// The header on record here that a batch names by its stream and number, and that has its key, root and signature. It costs one
    /// signature and two look-ups, and comes before everything that costs more.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, and when the ledger can't be read.
    fn named(&self, batch: &Batch, author: AuthorId) -> Result<Option<BatchHeader>, Refusal> {
        let Ok(header) = check_bounds(batch) else { return Ok(None) };
        self.ended.take(author, ENDED_BATCHES_PER_S, 1).map_err(|exceeded| {
            let what = format!("who may sign nothing any more asks for {ENDED_BATCHES_PER_S} batches a second at most");
            over_quota(Code::QuotaExceeded, &what, exceeded)
        })?;
        let Ok((key, party)) = self.signer(&header.key_id) else { return Ok(None) };
        let stream_id = header.label.stream_id(&party.author_id);
        if party.author_id != author || self.check_signature(batch, &header, &key, stream_id).is_err() {
            return Ok(None);
        }
        let found = self.reader.batch_on_record(&stream_id, header.seq).map_err(|error| from_read(&error))?;
        let is_same = |found: &BatchHeader| {
            found.key_id == header.key_id && found.root == header.root && found.signature[..] == batch.signature[..]
        };
        Ok(found.filter(is_same))
    }
}

/// The outcome of a batch when it was recorded, if its records are those of the header on record.
fn recorded(batch: &Batch, found: &BatchHeader) -> Option<CommandOutcome> {
    // The signature covers the root; the records have to be those of the root.
    let records = batch.records.iter().map(Plain::parse).collect::<Result<Vec<_>, _>>().ok()?;
    let hashes = record_hashes(&records);
    let leaves: Vec<BatchLeaf> =
        records.iter().zip(&hashes).map(|(record, hash)| record.parsed.batch_leaf(*hash)).collect();
    if batch_root(&leaves) != found.root {
        return None;
    }
    Some(CommandOutcome::Done {
        stream_id: found.stream_id,
        seq: found.seq,
        count: found.count,
        root: found.root,
        first_index: LeafIndex(found.index.get() + 1),
        time_ms: found.time,
        repeated: true,
    })
}

impl Core {
    /// The receipt of a batch that is on record, for its author `caller`, who was refused; the refusal where it isn't.
    ///
    /// # Errors
    /// `refused`, unless just this batch is on record; what else keeps it from being looked up.
    pub async fn receipt_again(
        &self,
        caller: &Party,
        batch: Batch,
        refused: Refusal,
    ) -> Result<SubmitResponse, Refusal> {
        self.check_open()?;
        let (admission, author) = (Arc::clone(&self.submitting.admission), caller.author_id);
        let batch = Arc::new(batch);
        let asked = Arc::clone(&batch);
        // This node's own ledger is enough: it holds what ended the author, and all that the author recorded until then stands
        // before that. So whoever was shut out takes neither room nor a round of the group for what isn't on record.
        let found = self.submitting.writing.run(move || admission.named(&asked, author)).await?;
        let Some(found) = found else { return Err(refused) };
        let bytes = batch.records.iter().map(|record| record.salt.len() + record.record.len()).sum();
        let room = self.submitting.inflight.take(bytes);
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        self.up_to_date().await?;
        match self.submitting.writing.run(move || Ok(recorded(&batch, &found))).await? {
            Some(outcome) => self.receipt(outcome),
            None => Err(refused),
        }
    }
}
