//! Gathers write tasks into one batch, and keeps what waits for it.

use raft::eraftpb::HardState;

use super::Batch;
use crate::core::{Compaction, Install, Outgoing, WriteTask};

/// Write tasks on their way to the disk together.
#[derive(Debug, Default)]
pub struct WriteGroup {
    /// The newest hard state that did not need a write of its own (only commit changed): it goes with the next one
    /// that does, so that there is never an unsynced write on the disk.
    lazy: Option<HardState>,
    batch: Batch,
    number: Option<u64>,
    messages: Vec<Outgoing>,
}

/// The sum of a group.
#[derive(Debug, Default)]
pub struct Gathered {
    /// To append; may be empty.
    pub batch: Batch,
    /// When it is durable: to [`crate::core::Core::on_persisted`], before the messages are sent.
    pub number: Option<u64>,
    /// Then to send.
    pub messages: Vec<Outgoing>,
}

impl WriteGroup {
    /// Adds a task. An installation it holds must have been carried out, see [`WriteGroup::installed`].
    pub fn add(&mut self, task: WriteTask) {
        if let Some(state) = task.hard_state {
            self.lazy = Some(state);
        }
        if task.must_sync {
            self.batch.entries(&task.entries);
            if let Some(at) = &task.members {
                self.batch.members(at);
            }
            if let Some(state) = self.lazy.take() {
                self.batch.hard_state(&state);
            }
        }
        self.number = Some(task.number);
        self.messages.extend(task.messages);
    }

    /// The state machine holds the snapshot now.
    pub fn installed(&mut self, install: &Install) {
        self.batch.install_done(install);
    }

    /// Drops log entries, and keeps the members as they have become by them.
    pub fn compact(&mut self, compaction: &Compaction) {
        self.batch.members(&compaction.members);
        self.batch.compact(compaction.index, compaction.term);
    }

    /// Keeps a small value; see [`Batch::note`].
    pub fn note(&mut self, key: &[u8], value: &[u8]) {
        self.batch.note(key, value);
    }

    /// Bytes to write so far.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Tells whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Takes all of it.
    pub fn take(&mut self) -> Gathered {
        Gathered {
            batch: std::mem::take(&mut self.batch),
            number: self.number.take(),
            messages: std::mem::take(&mut self.messages),
        }
    }
}
