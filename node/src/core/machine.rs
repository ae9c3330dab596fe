//! The ledger as the cluster's state machine.

use std::path::Path;

use sillage_cluster::{Committed, Fatal, StateMachine};
use sillage_ledger::{BatchOutcome, Decided, Ledger, Refusal};

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Gives the cluster's calls to the ledger, and counts.
pub struct Machine {
    ledger: Ledger,
    metrics: Metrics,
    /// Entries in the log after the last command applied.
    size: watch::Sender<u64>,
}

impl Machine {
    /// Around an open ledger.
    pub fn new(ledger: Ledger, metrics: Metrics) -> Self {
        let size = watch::Sender::new(ledger.reader().tree_size().get());
        Self { ledger, metrics, size }
    }

    /// Shows how many entries the log has here.
    pub fn size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    fn show_size(&self) {
        let size = self.ledger.reader().tree_size().get();
        self.size.send_if_modified(|shown| std::mem::replace(shown, size) != size);
    }

    fn count(&self, outcomes: &[BatchOutcome]) {
        for outcome in outcomes {
            match outcome {
                BatchOutcome::Done { repeated: true, .. } => {
                    self.metrics.batches_repeated.inc();
                }
                BatchOutcome::Done { count, .. } => {
                    self.metrics.batches_appended.inc();
                    self.metrics.events_appended.inc_by(u64::from(*count));
                }
                BatchOutcome::Decided(requests) => requests.iter().for_each(|one| self.metrics.decided(class(one))),
                _ => {}
            }
        }
    }
}

/// What came of a request, without saying anything of anyone.
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
    type Reply = Vec<BatchOutcome>;

    fn applied(&self) -> (u64, u64) {
        self.ledger.applied()
    }

    fn apply(&mut self, entry: Committed<'_>) -> Result<Self::Reply, Fatal> {
        let started = std::time::Instant::now();
        let (index, term) = (entry.index, entry.term);
        let outcomes = self.ledger.apply(index, term, entry.time_ms, entry.data);
        let outcomes = outcomes.map_err(Fatal::new)?;
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
        self.ledger.flushed().map_err(Fatal::new)
    }

    fn flush(&mut self) -> Result<u64, Fatal> {
        self.ledger.flush().map_err(Fatal::new)
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<(u64, u64), Fatal> {
        self.ledger.checkpoint(dir).map_err(Fatal::new)
    }

    fn install(&mut self, dir: &Path) -> Result<(), Fatal> {
        self.ledger.install(dir).map_err(Fatal::new)?;
        self.show_size();
        Ok(())
    }
}
