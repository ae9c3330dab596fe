//! The trust of this node in its own disk and state, as its replica says; and the marker of its disk, kept up to date.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_cluster::core::{CoreStatus, Divergence, Verdict};
use sillage_cluster::identity::{Mark, Marker as _};
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use tokio::time::sleep;

use super::alarms::Alarm;
use crate::core::Core;
use crate::refusals::{refuse, unavailable};

/// How often the marker is told what is applied here. A later state can be put back unseen by this node itself.
const MARK_EVERY: Duration = Duration::from_secs(1);

impl Core {
    /// Stops serving for good: nothing that this node says can be trusted. Gives what callers are told.
    pub(in crate::core) fn corrupt(&self, reason: String) -> Refusal {
        let replica = self.replica.clone();
        let reason = format!("node {}: {reason}", self.config.id);
        self.condition.corruption.raise(reason, self.checkpointing.notes(), move || replica.shutdown());
        self.check_sound().err().unwrap_or_else(|| refuse(Code::Corrupt))
    }

    /// Shows what the replica has found of this node and its peers, and stops for good where this node can't be trusted.
    pub(in crate::core) fn look_at_trust(&self) {
        let status = self.replica.status();
        let core = &status.core;
        if self.condition.corruption.check().is_ok()
            && let Some((alarm, reason)) = distrust(core)
        {
            self.alarms.raise(alarm, "");
            self.corrupt(format!("{reason}{}", self.what_is_known()));
        }
        let strangers = core.strangers.iter().map(|(peer, fault)| format!("node {peer}: {fault}"));
        let strangers = strangers.collect::<Vec<_>>().join("; ");
        self.alarms.set(Alarm::PeerDisk, (!strangers.is_empty()).then_some(strangers));
        let Divergence { verdict, peers, index } = &core.divergence;
        let differs = || format!("nodes {peers:?} differ since Raft index {index}");
        self.alarms.set(Alarm::PeerDiverged, (*verdict == Verdict::Theirs).then(differs));
        if *verdict == Verdict::Unknown {
            self.alarms.raise(Alarm::Diverged, format!("{}, and nobody knows yet who is right", differs()));
        } else if self.condition.corruption.check().is_ok() {
            self.alarms.clear(Alarm::Diverged);
        }
    }

    /// Tells whether nothing that is applied here may be acknowledged or cosigned.
    pub(in crate::core) fn is_in_doubt(&self) -> bool {
        matches!(self.replica.status().core.divergence.verdict, Verdict::Own | Verdict::Unknown)
    }

    /// Tells whether peers may take this node's state for the group's.
    ///
    /// # Errors
    /// `CORRUPT`, and `UNAVAILABLE` while nobody knows who is right.
    pub fn may_give_state(&self) -> Result<(), Refusal> {
        self.condition.corruption.check()?;
        match self.replica.is_in_doubt() {
            true => Err(unavailable("this node's state differs from another's: it gives no snapshot")),
            false => Ok(()),
        }
    }

    /// Where a file of a snapshot is that a peer asks for.
    pub fn snapshot_file(&self, snapshot: &str, file: &str) -> Option<PathBuf> {
        self.replica.snapshot_file(snapshot, file)
    }

    /// The way to name lost entries: receipts and checkpoints are held against it.
    fn what_is_known(&self) -> String {
        let size = self.reader.tree_size().get();
        let newest = self.checkpointing.newest().map(|newest| newest.size);
        match newest {
            Some(newest) => format!(
                " (this node has {size} entries, and knows a checkpoint of size {newest} that a majority cosigned: what is \
                 between them on any node, and what receipts name, is what may be lost)"
            ),
            None => format!(" (this node has {size} entries: hold receipts and checkpoints against them)"),
        }
    }

    /// Tells the marker what is applied here.
    pub(in crate::core) fn store_mark(&self) {
        let applied = self.replica.status().core.applied;
        let stored = match self.condition.marker.load() {
            Ok(Some(mark)) if mark.applied >= applied => return,
            Ok(Some(mark)) => self.condition.marker.store(&Mark { applied, ..mark }),
            Ok(None) => Err("the marker of this node's disk is gone".to_owned()),
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(error, "the marker of this node's disk can't be kept up to date");
        }
    }
}

/// Why a node can't be trusted, as far as its replica knows.
fn distrust(core: &CoreStatus) -> Option<(Alarm, String)> {
    if core.forgot {
        let reason = "it lacks entries that it acknowledged: its disk was put back to an older state";
        return Some((Alarm::PutBack, reason.to_owned()));
    }
    if let Some(disowned) = core.disowned {
        let (by, known) = (disowned.by, disowned.known);
        let reason = format!(
            "node {by} has seen disk {known} of it: this disk was emptied, put back to an older state, or is another one's"
        );
        return Some((Alarm::PutBack, reason));
    }
    if let Some(split) = core.split {
        let (peer, from, to) = (split.peer, split.from, split.to);
        let reason = format!(
            "acknowledged entries are lost: Raft entries {from} to {to} were committed, and this node and node {peer} don't hold \
             the same of them. Disks that voted had been put back or emptied. Stop all nodes, and keep every disk"
        );
        return Some((Alarm::Diverged, reason));
    }
    let divergence = &core.divergence;
    (divergence.verdict == Verdict::Own).then(|| {
        let (index, peers) = (divergence.index, &divergence.peers);
        let reason =
            format!("its state at Raft index {index} differs from that of a majority (nodes {peers:?}): it applied with other keys");
        (Alarm::Diverged, reason)
    })
}

/// Keeps the marker up to date.
pub(in crate::core) async fn keep_marker(core: Weak<Core>) {
    loop {
        sleep(MARK_EVERY).await;
        let Some(core) = core.upgrade() else {
            return;
        };
        let work = Arc::clone(&core);
        let _done = tokio::task::spawn_blocking(move || work.store_mark()).await;
    }
}
