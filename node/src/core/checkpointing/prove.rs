//! Checkpoints and proofs, up to date on any node.

use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::{LedgerReader, Refusal};
use sillage_proof::{LeafIndex, TreeSize};
use sillage_proto::v1::{GetCheckpointRequest, ProveConsistencyResponse, ProveInclusionResponse};
use sillage_rules::codes::Code;
use tokio::time::{Instant, sleep, timeout_at};

use super::checkpoints::Signed;
use crate::core::Core;
use crate::refusals::{from_read, from_status, refuse, unavailable};

/// For finding a leader.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(8);
/// For a checkpoint that is being made.
const FINISH_WAIT: Duration = Duration::from_millis(2_500);
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// Most cosigners asked for at once.
const COSIGNERS_MAX: usize = 64;
const BACKOFF: Duration = Duration::from_millis(50);

impl Core {
    /// The checkpoints that can be given, by size.
    pub fn checkpoints_kept(&self) -> Vec<Arc<Signed>> {
        self.checkpointing.kept.kept()
    }

    /// The newest checkpoint of a leader. Waits a moment for one of at least `size_min` entries, if there are as many.
    ///
    /// # Errors
    /// `NOT_LEADER` when another one has to be asked; `SIZE_NOT_REACHED`; `UNAVAILABLE` while there is none.
    pub async fn checkpoint_here(&self, size_min: u64) -> Result<Arc<Signed>, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        // A leader that was deposed without knowing would give an old one.
        self.up_to_date().await?;
        if size_min > self.reader.tree_size().get() {
            return Err(refuse(Code::SizeNotReached));
        }
        let mut newest = self.checkpointing.kept.watch();
        let covers = |newest: &Option<Arc<Signed>>| newest.as_ref().is_some_and(|newest| newest.size >= size_min);
        let found = timeout_at(Instant::now() + FINISH_WAIT, newest.wait_for(covers)).await;
        if let Ok(Ok(found)) = found {
            return Ok(Arc::clone(found.as_ref().expect("just compared")));
        }
        self.check_sound()?;
        match self.checkpointing.kept.newest() {
            Some(_) => Err(refuse(Code::SizeNotReached)),
            None => {
                Err(unavailable("no checkpoint is finished: a majority of nodes must cosign it, start the missing"))
            }
        }
    }

    /// The newest checkpoint, from whoever leads. Afterwards this node has applied everything under it.
    ///
    /// # Errors
    /// `NO_LEADER` when none is found in time; `CORRUPT` when a majority's tree isn't this node's.
    pub async fn newest_checkpoint(&self) -> Result<Arc<Signed>, Refusal> {
        self.checkpoint_of_at_least(0).await
    }

    /// The same, of at least `size_min` entries: waits a moment for it, if there are as many.
    ///
    /// # Errors
    /// As [`Core::newest_checkpoint`], and `SIZE_NOT_REACHED`.
    pub async fn checkpoint_of_at_least(&self, size_min: u64) -> Result<Arc<Signed>, Refusal> {
        let deadline = Instant::now() + CHECKPOINT_TIMEOUT;
        loop {
            let asked = match self.leader() {
                Some(leader) if leader == self.config.id => self.checkpoint_here(size_min).await,
                Some(leader) => self.checkpoint_of(leader, size_min, deadline).await,
                None => Err(refuse(Code::NoLeader)),
            };
            let refusal = match asked {
                Ok(newest) => return Ok(newest),
                Err(refusal) => refusal,
            };
            let again = matches!(refusal.code, Code::NotLeader | Code::NoLeader);
            if !again || Instant::now() + BACKOFF >= deadline {
                return Err(refusal);
            }
            sleep(BACKOFF).await;
        }
    }

    /// The newest checkpoint of at least `size_min` entries that all of these keys have cosigned, by their names.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED` when none is kept; else as [`Core::checkpoint_of_at_least`].
    pub async fn checkpoint(&self, size_min: u64, cosigners: &[String]) -> Result<Arc<Signed>, Refusal> {
        if cosigners.len() > COSIGNERS_MAX {
            return Err(Refusal::new(Code::MalformedRequest, format!("at most {COSIGNERS_MAX} cosigners")));
        }
        let newest = self.checkpoint_of_at_least(size_min).await?;
        if cosigners.iter().all(|name| newest.is_cosigned_by(name)) {
            return Ok(newest);
        }
        let found = self.checkpointing.kept.cosigned_by(cosigners, size_min);
        found.ok_or_else(|| {
            let message = "no checkpoint that is kept covers as much and is cosigned by all of these: ask again later";
            Refusal::new(Code::SizeNotReached, message)
        })
    }

    async fn checkpoint_of(&self, leader: u64, size_min: u64, deadline: Instant) -> Result<Arc<Signed>, Refusal> {
        self.check_sound()?;
        let no_leader = || refuse(Code::NoLeader);
        let link = self.links.get(leader).ok_or_else(no_leader)?;
        let mut client = link.calls.clone();
        let until = deadline.min(Instant::now() + CALL_TIMEOUT);
        let request = GetCheckpointRequest { size_min, cosigners: Vec::new() };
        let call = timeout_at(until, client.checkpoint(request)).await;
        let answer = call.map_err(|_| no_leader())?;
        let note = answer.map_err(|status| {
            tracing::debug!(leader, %status, "the leader gave no checkpoint");
            // A leader that says of itself that it is corrupt won't lead for long.
            let refusal = from_status(&status).filter(|refusal| refusal.code != Code::Corrupt);
            refusal.unwrap_or_else(no_leader)
        })?;
        self.learn(&note.into_inner().note).await
    }

    /// That the entry at `index` is in the tree of `size` entries (0: of the newest checkpoint), with a signed note of
    /// that size where one can be had.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED`; `UNKNOWN_INDEX` when the entry isn't under that size.
    pub async fn prove_inclusion(&self, index: u64, size: u64) -> Result<ProveInclusionResponse, Refusal> {
        let size = match size {
            // The newest, but one that covers the entry where there is one to be had.
            0 => match self.checkpoint_of_at_least(index.saturating_add(1)).await {
                Ok(newest) => newest.size,
                Err(refusal) if refusal.code == Code::SizeNotReached => self.newest_checkpoint().await?.size,
                Err(refusal) => return Err(refusal),
            },
            size => {
                self.up_to_date().await?;
                size
            }
        };
        let reader = self.reader.clone();
        let mut proof = self.read(move || inclusion(&reader, index, size)).await?;
        let note = self.checkpointing.kept.of_size(size);
        proof.checkpoint = note.map(|signed| signed.note.clone()).unwrap_or_default();
        Ok(proof)
    }

    /// That the tree of `new` entries begins with the one of `old` entries.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED`, or sizes in the wrong order.
    pub async fn prove_consistency(&self, old: u64, new: u64) -> Result<ProveConsistencyResponse, Refusal> {
        self.up_to_date().await?;
        let reader = self.reader.clone();
        let prove = move || {
            let (old, new) = (TreeSize(old), TreeSize(new));
            let path = reader.consistency_proof(old, new)?;
            Ok(ProveConsistencyResponse {
                path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
                old_root: reader.root_at(old)?.as_bytes().to_vec(),
                new_root: reader.root_at(new)?.as_bytes().to_vec(),
            })
        };
        self.read(move || prove().map_err(|error| from_read(&error))).await
    }
}

fn inclusion(reader: &LedgerReader, index: u64, size: u64) -> Result<ProveInclusionResponse, Refusal> {
    let (index, size) = (LeafIndex(index), TreeSize(size));
    // First the size: an index beyond it is the lesser mistake.
    let root = reader.root_at(size).map_err(|error| from_read(&error))?;
    if index.get() >= size.get() {
        return Err(refuse(Code::UnknownIndex));
    }
    let path = reader.inclusion_proof(index, size);
    let path = path.map_err(|error| from_read(&error))?;
    let leaf = reader.leaf_hash(index).map_err(|error| from_read(&error))?;
    let leaf = leaf.ok_or_else(|| refuse(Code::UnknownIndex))?;
    Ok(ProveInclusionResponse {
        size: size.get(),
        leaf_hash: leaf.as_bytes().to_vec(),
        path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        root: root.as_bytes().to_vec(),
        checkpoint: String::new(),
    })
}
