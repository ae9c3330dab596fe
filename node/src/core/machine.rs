//! The ledger as the cluster's state machine.
//!
//! A ledger that can't be written, or read where applying needs it, applies nothing more: the node takes no part then,
//! and stays up to say so. Entries that came meanwhile are in the Raft log, and are applied when a flush succeeds, or
//! after a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sillage_cluster::{Committed, Fatal, StateMachine};
use sillage_ledger::{CommandOutcome, Decided, Ledger, Refusal};

use tokio::sync::watch;

use super::condition::alarms::{Alarm, Alarms};
use crate::metrics::Metrics;

/// From this feature level on, every node takes a snapshot whose hashes come with its files.
const HASHES_WITH_FILES: u32 = 3;

/// Gives the cluster's calls to the ledger, and counts.
pub struct Machine {
    ledger: Ledger,
    metrics: Metrics,
    alarms: Alarms,
    halted: Arc<AtomicBool>,
    /// Entries in the log after the last command applied.
    size: watch::Sender<u64>,
}

impl Machine {
    /// Around an open ledger.
    pub fn new(ledger: Ledger, metrics: Metrics, alarms: Alarms) -> Self {
        let size = watch::Sender::new(ledger.reader().tree_size().get());
        Self { ledger, metrics, alarms, halted: Arc::default(), size }
    }

    /// Tells whether it applies nothing more until the node is restarted.
    pub fn halted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.halted)
    }

    /// The ledger's answer; where its disk failed, says so and never returns: the thread waits for the process to end.
    fn or_halt<T>(&self, done: Result<T, sillage_ledger::Fatal>) -> Result<T, Fatal> {
        use sillage_ledger::Fatal::{Damaged, Io, Store};
        match done {
            Ok(done) => Ok(done),
            Err(error @ (Store(_) | Damaged(_) | Io { .. })) => self.halt(&error),
            Err(error) => Err(Fatal::new(error)),
        }
    }

    fn halt(&self, error: &sillage_ledger::Fatal) -> ! {
        let rotten = match error {
            sillage_ledger::Fatal::Damaged(_) => true,
            sillage_ledger::Fatal::Store(error) => error.to_string().starts_with("Corruption"),
            _ => false,
        };
        let alarm = if rotten { Alarm::Rotten } else { Alarm::FlushFailed };
        self.alarms.raise(alarm, format!("{error}. Nothing more is applied until this node is restarted"));
        self.halted.store(true, Ordering::Release);
        loop {
            std::thread::park();
        }
    }

    /// Shows how many entries the log has here.
    pub fn size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    fn show_size(&self) {
        let size = self.ledger.reader().tree_size().get();
        self.size.send_if_modified(|shown| std::mem::replace(shown, size) != size);
    }

    fn count(&self, outcomes: &[CommandOutcome]) {
        for outcome in outcomes {
            match outcome {
                CommandOutcome::Done { repeated: true, .. } => {
                    self.metrics.batches_repeated.inc();
                }
                CommandOutcome::Done { count, .. } => {
                    self.metrics.batches_appended.inc();
                    self.metrics.events_appended.inc_by(u64::from(*count));
                }
                CommandOutcome::Decided(requests) => requests.iter().for_each(|one| self.metrics.decided(class(one))),
                _ => {}
            }
        }
    }
}

/// The outcome of a request, without saying anything of anyone.
fn class(decided: &Result<Decided, Refusal>) -> &'static str {
    match decided {
        Err(_) => "refused",
        Ok(decided) if decided.repeated => "repeated",
        Ok(decided) if decided.decisions.iter().all(|decision| decision.permitted.is_empty()) => "denied",
        Ok(_) => "permitted",
    }
}

impl StateMachine for Machine {
    /// One outcome for each part of the command, in order; none for what the algorithm itself adds.
    type Reply = Vec<CommandOutcome>;

    fn applied(&self) -> (u64, u64) {
        self.ledger.applied()
    }

    fn apply(&mut self, entry: Committed<'_>) -> Result<Self::Reply, Fatal> {
        let started = std::time::Instant::now();
        let (index, term) = (entry.index, entry.term);
        self.ledger.wait_writable();
        let outcomes = self.ledger.apply(index, term, entry.time_ms, entry.data);
        let outcomes = self.or_halt(outcomes)?;
        self.metrics.apply_seconds.observe(started.elapsed().as_secs_f64());
        self.count(&outcomes);
        self.show_size();
        Ok(outcomes)
    }

    /// The root of the log: what is recorded, and in which order.
    fn digest(&self) -> [u8; 32] {
        *self.ledger.reader().head().root.as_bytes()
    }

    fn flushed(&self) -> Result<u64, Fatal> {
        Ok(self.ledger.reader().flushed())
    }

    fn flush(&mut self) -> Result<u64, Fatal> {
        match self.ledger.flush() {
            // It is known, shown, and tried again: the log of commands isn't cut meanwhile.
            Err(sillage_ledger::Fatal::Store(_)) => self.flushed(),
            done => done.map_err(Fatal::new),
        }
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<(u64, u64), Fatal> {
        self.ledger.wait_writable();
        let made = self.ledger.checkpoint(dir);
        self.or_halt(made)
    }

    fn peers_hash_while_they_fetch(&self) -> bool {
        self.ledger.reader().feature_level() >= HASHES_WITH_FILES
    }

    fn install(&mut self, dir: &Path) -> Result<(), Fatal> {
        let installed = self.ledger.install(dir);
        self.or_halt(installed)?;
        // What was found belongs to the database that is gone.
        self.alarms.clear(Alarm::Rotten);
        self.show_size();
        Ok(())
    }
}
