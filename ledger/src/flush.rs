//! The thread that flushes beside applying. Where a flush fails, nothing is applied until a later one succeeds: what is in
//! memory stays there, and the log of commands holds it too.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::shared::Shared;

/// After a flush that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until dropped.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let inner = shared.clone();
        let thread = std::thread::Builder::new().name("ledger-flush".into()).spawn(move || run(&inner))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.signal.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flushing thread panicked");
        }
    }
}

fn run(shared: &Shared) {
    loop {
        let failed = shared.failure().is_some();
        {
            let pause = if failed { RETRY } else { shared.options.flush_interval };
            let deadline = Instant::now() + pause;
            let mut signal = shared.signal.lock();
            // What is due has to wait for the retry.
            while (failed || !signal.due) && !signal.stop {
                if shared.wake.wait_until(&mut signal, deadline).timed_out() {
                    break;
                }
            }
            if signal.stop {
                return;
            }
            signal.due = false;
        }
        match shared.flush_again() {
            Err(error) if !failed => tracing::error!(%error, "flushing the ledger failed: nothing more is applied"),
            Ok(_) if failed => tracing::info!("the ledger is flushed again"),
            _ => {}
        }
    }
}
