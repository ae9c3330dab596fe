//! The thread that flushes beside applying.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::shared::Shared;

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
        {
            let deadline = Instant::now() + shared.options.flush_interval;
            let mut signal = shared.signal.lock();
            while !signal.due && !signal.stop {
                if shared.wake.wait_until(&mut signal, deadline).timed_out() {
                    break;
                }
            }
            if signal.stop {
                return;
            }
            signal.due = false;
        }
        if let Err(error) = shared.flush() {
            tracing::error!(%error, "flushing the ledger failed");
            if let crate::Fatal::Store(error) = error {
                shared.fail(error);
            }
            return;
        }
    }
}
