//! Checkpoints and proofs, up to date on any node.

use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::{LedgerReader, Refusal};
use sillage_proof::hash::leaf_hash;
use sillage_proof::{Hash, LeafIndex, TreeSize};
use sillage_proto::v1::{GetCheckpointRequest, ProveConsistencyResponse, ProveInclusionResponse};
use sillage_rules::codes::Code;
use tokio::time::{Instant, sleep, timeout_at};

use super::Core;
use super::checkpoints::Signed;
use super::refusals::{from_read, from_status, refuse};

/// For finding a leader that signs.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF: Duration = Duration::from_millis(50);

impl Core {
    /// The newest checkpoint, made by this node if it leads and the last one is not of just now.
    ///
    /// # Errors
    /// `NOT_LEADER` when another one has to be asked; `UNAVAILABLE` without the log's key.
    pub async fn newest_checkpoint_here(&self) -> Result<Arc<Signed>, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        // A leader that was deposed without knowing would give an old one.
        self.up_to_date().await?;
        let head = self.reader.head();
        let newest = self.checkpoints.newest(head.size.get(), head.root)?;
        self.show_checkpoint(&newest);
        Ok(newest)
    }

    /// The newest checkpoint, from whoever leads. Afterwards this node has applied everything under it.
    ///
    /// # Errors
    /// `NO_LEADER` when none is found in time; `CORRUPT` when the leader's tree isn't this node's.
    pub async fn newest_checkpoint(&self) -> Result<Arc<Signed>, Refusal> {
        let deadline = Instant::now() + CHECKPOINT_TIMEOUT;
        loop {
            let asked = match self.leader() {
                Some(leader) if leader == self.config.id => self.newest_checkpoint_here().await,
                Some(leader) => self.checkpoint_of(leader, deadline).await,
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

    async fn checkpoint_of(&self, leader: u64, deadline: Instant) -> Result<Arc<Signed>, Refusal> {
        let no_leader = || refuse(Code::NoLeader);
        let link = self.links.get(leader).ok_or_else(no_leader)?;
        let mut client = link.calls.clone();
        let until = deadline.min(Instant::now() + CALL_TIMEOUT);
        let call = timeout_at(until, client.checkpoint(GetCheckpointRequest::default())).await;
        let answer = call.map_err(|_| no_leader())?;
        let note = answer.map_err(|status| {
            tracing::debug!(leader, %status, "the leader gave no checkpoint");
            from_status(&status).unwrap_or_else(no_leader)
        })?;
        let signed = self.checkpoints.learn(note.into_inner().note)?;
        self.up_to_date().await?;
        let (reader, size) = (self.reader.clone(), TreeSize(signed.size));
        let own = self.read(move || reader.root_at(size).map_err(|error| from_read(&error)));
        if own.await? != signed.root {
            tracing::error!(
                size = signed.size,
                leader,
                "the leader signed a root that isn't this node's: one of the two is corrupt"
            );
            return Err(refuse(Code::Corrupt));
        }
        self.show_checkpoint(&signed);
        Ok(signed)
    }

    fn show_checkpoint(&self, newest: &Signed) {
        let size = i64::try_from(newest.size).unwrap_or(i64::MAX);
        self.metrics.checkpoint_size.set(size);
    }

    /// That the entry at `index` is in the tree of `size` entries (0: of the newest checkpoint), with a signed note of
    /// that size where one can be had.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED`; `UNKNOWN_INDEX` when the entry isn't under that size.
    pub async fn prove_inclusion(&self, index: u64, size: u64) -> Result<ProveInclusionResponse, Refusal> {
        let size = match size {
            0 => self.newest_checkpoint().await?.size,
            size => {
                self.up_to_date().await?;
                size
            }
        };
        let reader = self.reader.clone();
        let mut proof = self.read(move || inclusion(&reader, index, size)).await?;
        let root = Hash::from_slice(&proof.root).expect("a root was just written there");
        let note = self.checkpoints.of_size(size, root);
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
    let entry = reader.entry(index).map_err(|error| from_read(&error))?;
    let entry = entry.ok_or_else(|| refuse(Code::UnknownIndex))?;
    Ok(ProveInclusionResponse {
        size: size.get(),
        leaf_hash: leaf_hash(&entry).as_bytes().to_vec(),
        path: path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        root: root.as_bytes().to_vec(),
        checkpoint: String::new(),
    })
}
