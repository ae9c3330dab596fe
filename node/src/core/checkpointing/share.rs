//! Finished checkpoints on their way between nodes and to callers, and what a node learns of itself from them.
//!
//! A note that carries this node's own cosignature over more than it remembers having cosigned proves that its disk was
//! put back to an older state: such a node must neither vote nor cosign again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_ledger::{Party, Refusal};
use sillage_proof::TreeSize;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::SignedNote;
use sillage_proto::internal::v1::LearnCheckpointRequest;
use sillage_rules::codes::Code;
use sillage_rules::cosigner::{auditor_name, node_name};
use tokio::time::{Instant, sleep, timeout};

use super::checkpoints::Signed;
use super::cosign::CHECKPOINT_NOTE;
use super::cosigners::{Verified, verified};
use crate::core::Core;
use crate::refusals::{from_read, refuse};

/// For one call to a peer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node that lags may take to apply what a checkpoint covers.
pub(super) const LEARN_WAIT: Duration = Duration::from_secs(2);
/// Between two questions to a peer that doesn't answer.
const GREET_RETRY: Duration = Duration::from_millis(100);
/// Between two notes on disk.
const REMEMBER_EVERY: Duration = Duration::from_secs(10);
/// Checkpoints of peers taken in at once; what is more comes again.
pub(in crate::core) const LEARNING_MAX: usize = 16;
/// Largest note that is taken from a caller, in bytes.
const NOTE_BYTES_MAX: usize = 64 << 10;

impl Core {
    /// Takes a finished checkpoint from a peer: keeps it with its cosignatures. `CORRUPT` when its root isn't the one
    /// computed here, or it proves that this node forgot what it cosigned.
    ///
    /// # Errors
    /// When it isn't a finished checkpoint of this log; `SIZE_NOT_REACHED` when this node lags too far.
    pub async fn learn(&self, note: &str) -> Result<Arc<Signed>, Refusal> {
        self.check_sound()?;
        let size = self.own_in(note)?;
        if let Some(known) = self.checkpointing.kept.of_size(size)
            && known.note == note
        {
            return Ok(known);
        }
        self.applied_to(size, Instant::now() + LEARN_WAIT).await?;
        let (reader, cosigners, note) = (self.reader.clone(), self.checkpointing.cosigners.clone(), note.to_owned());
        let verify = move || {
            let verified = cosigners.verify(&note);
            let root = reader.root_at(TreeSize(size)).map_err(|error| from_read(&error))?;
            Ok((verified, root))
        };
        let (verified, root) = self.read(verify).await?;
        let verified = verified.map_err(|error| {
            self.metrics.cosignatures_rejected.inc();
            tracing::error!(%error, "a checkpoint was not taken");
            Refusal::new(Code::MalformedRequest, format!("not a finished checkpoint of this log: {error}"))
        })?;
        if verified.checkpoint.root != root {
            return Err(self.corrupt(format!("a majority of nodes has another root at size {size}")));
        }
        self.keep(verified)
    }

    /// The size that a note is about, after looking at what it says of this node.
    fn own_in(&self, note: &str) -> Result<u64, Refusal> {
        let malformed = |error: String| Refusal::new(Code::MalformedRequest, error);
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| malformed(error.to_string()))?;
        if checkpoint.origin != self.genesis.origin {
            return Err(malformed("it is a checkpoint of another log".to_owned()));
        }
        let keys = self.keys.own();
        let signed = |key| note.signatures().iter().any(|line| verified(note.text(), line, key).is_some());
        if keys.iter().any(signed) {
            let size = checkpoint.size.get();
            let last = *self.checkpointing.cosigned_last.lock();
            if size > last.size {
                let reason = format!(
                    "it has cosigned size {size} and remembers only {}: its disk was put back to an older state",
                    last.size
                );
                return Err(self.corrupt(reason));
            }
            if size == last.size && checkpoint.root != last.root {
                return Err(self.corrupt(format!("it has cosigned two roots of size {size}")));
            }
        }
        Ok(checkpoint.size.get())
    }

    /// Keeps what was verified and has this node's own root.
    pub(in crate::core) fn keep(&self, verified: Verified) -> Result<Arc<Signed>, Refusal> {
        let signed = self.checkpointing.kept.keep(verified).map_err(|split| self.corrupt(split.to_string()))?;
        if let Some(newest) = self.checkpointing.kept.newest() {
            let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            self.metrics.checkpoint_size.set(gauge(newest.size));
            self.metrics.checkpoint_time_seconds.set(gauge(newest.time_s()));
            self.metrics.checkpoint_cosignatures.set(gauge(newest.verified().cosignatures.len() as u64));
        }
        self.keep_proof(&signed);
        self.remember(&signed);
        Ok(signed)
    }

    /// Writes a checkpoint to disk now and then.
    fn remember(&self, signed: &Arc<Signed>) {
        {
            let mut last = self.checkpointing.remembered_at.lock();
            if last.is_some_and(|last| last.elapsed() < REMEMBER_EVERY) {
                return;
            }
            *last = Some(Instant::now());
        }
        let (notes, note) = (Arc::clone(&self.checkpointing.notes), signed.note.clone().into_bytes());
        tokio::task::spawn_blocking(move || notes.put(CHECKPOINT_NOTE, note, Box::new(|| ())));
    }

    /// Takes a checkpoint that a peer shows, when it comes by: looked at for what it says of this node, then learnt beside.
    ///
    /// # Errors
    /// `CORRUPT` when this node serves nothing.
    pub fn shown(self: &Arc<Self>, note: String) -> Result<(), Refusal> {
        self.check_sound()?;
        if note.is_empty() {
            return Ok(());
        }
        if let Err(refusal) = self.own_in(&note) {
            tracing::warn!(code = refusal.code.as_str(), message = refusal.message, "a peer's checkpoint");
            return self.check_sound();
        }
        if let Ok(place) = Arc::clone(&self.checkpointing.learning).try_acquire_owned() {
            let core = Arc::downgrade(self);
            tokio::spawn(async move {
                let _place = place;
                if let Some(core) = core.upgrade()
                    && let Err(refusal) = core.learn(&note).await
                {
                    tracing::debug!(code = refusal.code.as_str(), "a checkpoint was not taken");
                }
            });
        }
        Ok(())
    }

    /// The checkpoint that a peer is shown: the newest checkpoint that it cosigned, which tells it what it must remember; else the
    /// newest known here.
    pub fn newest_for(&self, peer: u64) -> String {
        let name = [node_name(&self.genesis.origin, peer)];
        self.checkpointing.kept.cosigned_by(&name, 0).map_or_else(|| self.newest_known(), |signed| signed.note.clone())
    }

    /// The newest checkpoint that this node can show to a peer: kept, or on disk from an earlier run; else empty.
    pub fn newest_known(&self) -> String {
        if let Some(newest) = self.checkpointing.kept.newest() {
            return newest.note.clone();
        }
        let stored = self.checkpointing.notes.get(CHECKPOINT_NOTE);
        stored.and_then(|note| String::from_utf8(note).ok()).unwrap_or_default()
    }

    /// Shows a checkpoint to every peer; one that doesn't take it gets the next.
    pub(in crate::core) fn share(&self, signed: &Signed) {
        for link in self.links.iter() {
            let mut client = link.calls.clone();
            let request = LearnCheckpointRequest { note: signed.note.clone(), ..Default::default() };
            tokio::spawn(async move {
                // It learns the next one.
                let _ = timeout(CALL_TIMEOUT + LEARN_WAIT, client.learn_checkpoint(request)).await;
            });
        }
    }

    /// Takes an auditor's cosignature over a checkpoint of this log, and shares it.
    ///
    /// # Errors
    /// `NOT_ENTITLED` or `BAD_SIGNATURE` when it isn't the caller's own under its active key; `SIZE_NOT_REACHED` when
    /// no such checkpoint is kept.
    pub async fn add_cosignature(&self, caller: &Party, note: &str) -> Result<Arc<Signed>, Refusal> {
        self.check_sound()?;
        let malformed = |error: String| Refusal::new(Code::MalformedRequest, error);
        if note.len() > NOTE_BYTES_MAX {
            return Err(malformed(format!("a note of more than {NOTE_BYTES_MAX} bytes")));
        }
        let parsed = SignedNote::parse(note.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let checkpoint = Checkpoint::parse(parsed.text()).map_err(|error| malformed(error.to_string()))?;
        let size = checkpoint.size.get();
        let name = auditor_name(&self.genesis.origin, &caller.author_id);
        let mut own = parsed.signatures().iter().filter(|line| line.name == name);
        let (Some(line), None) = (own.next(), own.next()) else {
            return Err(malformed(format!("the note needs one cosignature by {name}")));
        };
        if self.checkpointing.kept.of_size(size).is_none() {
            // It may have been finished a moment ago, or before this node was restarted.
            let newest = self.newest_checkpoint().await?;
            if newest.size != size {
                self.learn(note).await?;
            }
        }
        let kept = self.checkpointing.kept.of_size(size).filter(|kept| kept.verified().checkpoint == checkpoint);
        let kept = kept.ok_or_else(|| Refusal::new(Code::SizeNotReached, "this is no checkpoint that is kept"))?;
        let keys = self.checkpointing.cosigners.auditor(&name, true).map_err(|_| refuse(Code::Storage))?;
        let is_own = |author, key| author == caller.author_id && verified(parsed.text(), line, key).is_some();
        if !keys.iter().any(|(author, key)| is_own(*author, key)) {
            return Err(Refusal::new(
                Code::BadSignature,
                format!("the cosignature by {name} doesn't verify under the caller's active key"),
            ));
        }
        self.add_lines(size, std::slice::from_ref(line));
        Ok(self.checkpointing.kept.of_size(size).unwrap_or(kept))
    }

    /// Tells whether enough peers were asked what this node has cosigned (with itself, a majority), and hold the same keys.
    pub(in crate::core) fn knows_itself(&self) -> bool {
        self.keyrings.takes_part() && self.has_heard_enough()
    }

    fn has_heard_enough(&self) -> bool {
        if self.checkpointing.known.load(Ordering::Acquire) {
            return true;
        }
        let heard = self.checkpointing.heard_from.lock();
        let told = |id| id == self.config.id || heard.contains(&id);
        let known = self.newest_node_set().is_ok_and(|set| set.voters().is_majority(told));
        self.checkpointing.known.fetch_or(known, Ordering::AcqRel);
        known
    }
}

/// At the start: shows each peer the newest checkpoint known here and takes theirs, until each has answered once.
pub(in crate::core) async fn greet(core: Weak<Core>, peer: u64) {
    loop {
        let Some(core) = core.upgrade() else {
            return;
        };
        let Some(mut client) = core.links.get(peer).map(|link| link.calls.clone()) else {
            return;
        };
        let request = LearnCheckpointRequest { note: core.newest_known(), ..Default::default() };
        if let Ok(Ok(answer)) = timeout(CALL_TIMEOUT + LEARN_WAIT, client.learn_checkpoint(request)).await {
            let note = answer.into_inner().note;
            // What it says of this node counts before this node has caught up.
            let _about = core.own_in(&note);
            if core.check_sound().is_ok() {
                core.checkpointing.heard_from.lock().insert(peer);
            }
            // A node that lags learns a later one.
            let _kept = core.learn(&note).await;
            return;
        }
        drop(core);
        sleep(GREET_RETRY).await;
    }
}

/// At the start: keeps again what an earlier run has left on disk, once as much is applied.
pub(in crate::core) async fn take_up(core: Weak<Core>) {
    for _ in 0..30 {
        let Some(core) = core.upgrade() else {
            return;
        };
        let note = core.newest_known();
        if note.is_empty() || core.checkpointing.kept.newest().is_some() {
            return;
        }
        match core.learn(&note).await {
            // This node is still applying what it has.
            Err(refusal) if refusal.code == Code::SizeNotReached => {}
            _ => return,
        }
    }
}
