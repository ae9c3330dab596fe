//! The log writer: gathers what is waiting, writes and syncs it at once, says so, then sends what promises it.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::handle::{NoteDone, Shared};
use super::raft_thread::Event;
use super::{Queues, fatal};
use crate::core::{Compaction, Install, WriteTask};
use crate::log::{Batch, LogError, LogStore, WriteGroup};
use crate::machine::Transport;

/// The log writer's side of an installation.
pub(crate) struct InstallTurn {
    /// To the apply thread: the beginning is noted, go on.
    pub go: Sender<()>,
    /// From the apply thread: the state is the snapshot.
    pub installed: Receiver<()>,
}

pub(crate) enum LogTask {
    Write { task: Box<WriteTask>, turn: Option<InstallTurn> },
    Compact(Box<Compaction>),
    Note { key: Vec<u8>, value: Vec<u8>, done: NoteDone },
    Stop,
}

pub(crate) struct LogWriter<L> {
    log: L,
    max_write_bytes: usize,
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    tasks: Receiver<LogTask>,
    events: Sender<Event>,
    group: WriteGroup,
    /// Callers to tell once the group is durable.
    notes: Vec<(Vec<u8>, Vec<u8>, NoteDone)>,
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
            group: WriteGroup::default(),
            notes: Vec::new(),
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
                if self.group.len() < self.max_write_bytes {
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
                self.group.add(*task);
            }
            LogTask::Compact(compaction) => self.group.compact(&compaction),
            LogTask::Note { key, value, done } => {
                self.group.note(&key, &value);
                self.notes.push((key, value, done));
            }
            LogTask::Stop => return false,
        }
        true
    }

    /// Writes the batch, then does what waited for it.
    fn write_out(&mut self) {
        let gathered = self.group.take();
        let batch = gathered.batch;
        if !batch.is_empty() {
            let began = Instant::now();
            or_die(self.log.append(&batch));
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.fsync.record(took_us, batch.len() as u64);
        }
        if let Some(number) = gathered.number {
            // Before the messages: their answers must not overtake it. If nobody listens, the node is stopping.
            let _ = self.events.send(Event::Persisted(number));
        }
        for outgoing in gathered.messages {
            self.transport.send(outgoing.to, outgoing.message);
        }
        for (key, value, done) in self.notes.drain(..) {
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
            self.group.installed(install);
        }
        installed
    }
}

fn or_die(result: Result<(), LogError>) {
    if let Err(error) = result {
        fatal(&error.to_string());
    }
}
