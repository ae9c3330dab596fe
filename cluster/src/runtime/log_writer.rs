//! The log writer: gathers what is waiting, writes and syncs it at once, says so, then sends what promises it.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use raft::eraftpb::HardState;

use super::handle::{NoteDone, Shared};
use super::raft_thread::Event;
use super::{Queues, fatal};
use crate::core::{Install, Outgoing, WriteTask};
use crate::log::{Batch, LogError, LogStore};
use crate::machine::Transport;

/// The log writer's side of an installation.
pub(crate) struct InstallTurn {
    /// To the apply thread: the beginning is noted, go on.
    pub go: Sender<()>,
    /// From the apply thread: the state is the snapshot.
    pub installed: Receiver<()>,
}

pub(crate) enum LogTask {
    Write { task: WriteTask, turn: Option<InstallTurn> },
    Compact { index: u64, term: u64 },
    Note { key: Vec<u8>, value: Vec<u8>, done: NoteDone },
    Stop,
}

/// What is to be done once the batch is durable.
#[derive(Default)]
struct After {
    number: Option<u64>,
    messages: Vec<Outgoing>,
    notes: Vec<(Vec<u8>, Vec<u8>, NoteDone)>,
}

pub(crate) struct LogWriter<L> {
    log: L,
    max_write_bytes: usize,
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    tasks: Receiver<LogTask>,
    events: Sender<Event>,
    /// The newest hard state that did not need a write of its own (only commit changed).
    lazy: Option<HardState>,
    batch: Batch,
    after: After,
}

impl<L: LogStore> LogWriter<L> {
    pub(crate) fn new<R>(
        log: L,
        max_write_bytes: usize,
        shared: Arc<Shared>,
        transport: Arc<dyn Transport>,
        queues: &Queues<R>,
    ) -> Self {
        LogWriter {
            log,
            max_write_bytes,
            shared,
            transport,
            tasks: queues.log.1.clone(),
            events: queues.events.0.clone(),
            lazy: None,
            batch: Batch::default(),
            after: After::default(),
        }
    }

    pub(crate) fn run(mut self) {
        while let Ok(first) = self.tasks.recv() {
            let mut next = Some(first);
            while let Some(task) = next.take() {
                if !self.gather(task) {
                    self.write_out();
                    return;
                }
                if self.batch.len() < self.max_write_bytes {
                    next = self.tasks.try_recv().ok();
                }
            }
            self.write_out();
            if self.tasks.is_empty() {
                or_die(self.log.seal());
            }
        }
    }

    /// Adds a task to the batch; `false` at the end.
    fn gather(&mut self, task: LogTask) -> bool {
        match task {
            LogTask::Write { task, turn } => {
                if let (Some(install), Some(turn)) = (&task.install, turn)
                    && !self.install(install, &turn)
                {
                    return false;
                }
                self.gather_write(task);
            }
            LogTask::Compact { index, term } => self.batch.compact(index, term),
            LogTask::Note { key, value, done } => {
                self.batch.note(&key, &value);
                self.after.notes.push((key, value, done));
            }
            LogTask::Stop => return false,
        }
        true
    }

    fn gather_write(&mut self, task: WriteTask) {
        if let Some(state) = task.hard_state {
            self.lazy = Some(state);
        }
        if task.must_sync {
            self.batch.entries(&task.entries);
            if let Some(state) = &task.conf_state {
                self.batch.conf_state(state);
            }
            if let Some(state) = self.lazy.take() {
                self.batch.hard_state(&state);
            }
        }
        self.after.number = Some(task.number);
        self.after.messages.extend(task.messages);
    }

    /// Writes the batch, then does what waited for it.
    fn write_out(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            let began = Instant::now();
            or_die(self.log.append(&batch));
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.fsync.record(took_us, batch.len() as u64);
        }
        let after = std::mem::take(&mut self.after);
        if let Some(number) = after.number {
            // Before the messages: their answers must not overtake it. If nobody listens, the node is stopping.
            let _ = self.events.send(Event::Persisted(number));
        }
        for outgoing in after.messages {
            self.transport.send(outgoing.to, outgoing.message);
        }
        for (key, value, done) in after.notes {
            self.shared.notes.lock().insert(key, value);
            done();
        }
    }

    /// Returns `false` when the node stops before the state was replaced.
    fn install(&mut self, install: &Install, turn: &InstallTurn) -> bool {
        self.write_out();
        let mut begun = Batch::default();
        begun.install_begun(install);
        or_die(self.log.append(&begun));
        let installed = turn.go.send(()).is_ok() && turn.installed.recv().is_ok();
        if installed {
            self.batch.install_done(install);
        }
        installed
    }
}

fn or_die(result: Result<(), LogError>) {
    if let Err(error) = result {
        fatal(&error.to_string());
    }
}
