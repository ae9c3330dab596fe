//! Work that takes a core: at most one piece a core at once, beside the async tasks.

use std::sync::Arc;

use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use tokio::sync::Semaphore;

use super::alarms::{Alarm, Alarms};
use super::refusals::refuse;

/// Pieces of work waiting for a core; more are refused.
const WAITING_MAX: usize = 8_192;

/// A pool for one sort of work, so that long readings never stand before short writings.
#[derive(Clone, Debug)]
pub struct Cpu {
    cores: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Who learns that the disk can't be read.
    alarms: Option<Alarms>,
}

impl Cpu {
    /// As many pieces at once as the machine has cores.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (cores, waiting) = (Arc::new(Semaphore::new(cores)), Arc::new(Semaphore::new(WAITING_MAX)));
        Self { cores, waiting, alarms: None }
    }

    /// The same; work that can't read what is stored raises an alarm.
    pub fn telling(alarms: Alarms) -> Self {
        Self { alarms: Some(alarms), ..Self::new() }
    }

    /// Runs `work` on a thread of its own. A panic in it is answered as `INTERNAL` and stops nothing else.
    ///
    /// # Errors
    /// What the work says; `BUSY` when too much waits.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(refuse(Code::Busy));
        };
        let core = Arc::clone(&self.cores).acquire_owned().await;
        let core = core.map_err(|_| refuse(Code::Busy))?;
        let done = tokio::task::spawn_blocking(move || {
            // The permit goes with the work: a caller that went away doesn't free a busy core.
            let _core = core;
            work()
        });
        let done = done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a piece of work panicked");
            Err(refuse(Code::Internal))
        });
        if let (Err(refusal), Some(alarms)) = (&done, &self.alarms)
            && matches!(refusal.code, Code::Storage | Code::Corrupt)
        {
            let found = refusal.local.as_deref();
            alarms.raise(Alarm::Rotten, found.unwrap_or("what is stored couldn't be read; this node's log says what"));
        }
        done
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn what_cannot_be_read_is_an_alarm_and_a_refusal_is_none() {
        let alarms = Alarms::new(Metrics::new(1));
        let cpu = Cpu::telling(alarms.clone());
        let refused: Result<(), _> = cpu.run(|| Err(refuse(Code::UnknownKey))).await;
        assert!(refused.is_err() && !alarms.is_raised(Alarm::Rotten));
        let failed: Result<(), _> = cpu.run(|| Err(refuse(Code::Storage))).await;
        assert!(failed.is_err() && alarms.is_raised(Alarm::Rotten));
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let cpu = Cpu::new();
        let panicked: Result<(), _> = cpu.run(|| panic!("poison")).await;
        assert_eq!(panicked.map_err(|refusal| refusal.code), Err(Code::Internal));
        assert_eq!(cpu.run(|| Ok(7)).await, Ok(7));
    }
}
