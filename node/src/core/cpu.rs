//! Work that takes a core: at most one piece a core at once, beside the async tasks.
//!
//! Writing and reading have threads of their own. Those of reading give way: they run at a lower priority of the
//! system's scheduler, so that whatever is read, a batch is checked, applied and replicated as if nobody read.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use tokio::sync::{Semaphore, oneshot};

use super::condition::alarms::{Alarm, Alarms};
use crate::refusals::refuse;

/// Pieces of work waiting for a core; more are refused.
const WAITING_MAX: usize = 8_192;
/// Niceness of the threads that read (0: like all others; 19: last of all).
const READING_NICE: i32 = 10;

/// A pool for one sort of work, so that long readings never stand before short writings.
#[derive(Clone)]
pub struct Cpu {
    threads: Threads,
    waiting: Arc<Semaphore>,
    /// The alarms, which learn that the disk can't be read.
    alarms: Option<Alarms>,
}

#[derive(Clone)]
enum Threads {
    /// Of the runtime, so many at once.
    Shared(Arc<Semaphore>),
    /// Which give way to all others.
    Yielding(Arc<Yielding>),
}

impl Cpu {
    /// As many pieces at once as the machine has cores.
    pub fn new() -> Self {
        Self::on(Threads::Shared(Arc::new(Semaphore::new(cores()))))
    }

    /// The same; work that can't read what is stored raises an alarm.
    pub fn telling(alarms: Alarms) -> Self {
        Self { alarms: Some(alarms), ..Self::new() }
    }

    /// The same, on threads of its own that give way to all others.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn yielding(alarms: Alarms) -> std::io::Result<Self> {
        let threads = Threads::Yielding(Arc::new(Yielding::start(cores())?));
        Ok(Self { alarms: Some(alarms), ..Self::on(threads) })
    }

    fn on(threads: Threads) -> Self {
        Self { threads, waiting: Arc::new(Semaphore::new(WAITING_MAX)), alarms: None }
    }

    /// Runs `work` on a thread of its own. A panic in it is answered as `INTERNAL` and stops nothing else.
    ///
    /// # Errors
    /// The errors of the work; `BUSY` when too much waits.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(refuse(Code::Busy));
        };
        let done = match &self.threads {
            Threads::Shared(cores) => {
                let core = Arc::clone(cores).acquire_owned().await;
                let core = core.map_err(|_| refuse(Code::Busy))?;
                let done = tokio::task::spawn_blocking(move || {
                    // The permit goes with the work: a caller that went away doesn't free a busy core.
                    let _core = core;
                    work()
                });
                done.await.map_err(drop)
            }
            Threads::Yielding(threads) => {
                let (sender, done) = oneshot::channel();
                threads.push(Box::new(move || {
                    // Nobody waits any more where the caller went away.
                    let _answer = sender.send(work());
                }));
                // A panic drops the sender.
                done.await.map_err(drop)
            }
        };
        let done = done.unwrap_or_else(|()| {
            tracing::error!("a piece of work panicked");
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

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads of a lower priority. They end when this is dropped, with what they are at.
struct Yielding {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<Jobs>,
    arrived: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Yielding {
    fn start(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let pool = Self { queue };
        for _ in 0..threads {
            let queue = Arc::clone(&pool.queue);
            std::thread::Builder::new().name("read".to_owned()).spawn(move || queue.work())?;
        }
        Ok(pool)
    }

    fn push(&self, job: Job) {
        self.queue.state.lock().waiting.push_back(job);
        self.queue.arrived.notify_one();
    }
}

impl Drop for Yielding {
    fn drop(&mut self) {
        self.queue.state.lock().closed = true;
        self.queue.arrived.notify_all();
    }
}

impl Queue {
    fn work(&self) {
        // On Linux both are of the calling thread alone.
        let own = rustix::process::getpriority_process(None).unwrap_or(0);
        if let Err(error) = rustix::process::setpriority_process(None, own.max(READING_NICE)) {
            tracing::warn!(%error, "the threads that read have the priority of all others");
        }
        while let Some(job) = self.next() {
            // Whoever waits for it is told by the end of its channel.
            let _panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                // Whoever waits is told.
                state.waiting.clear();
                return None;
            }
            match state.waiting.pop_front() {
                Some(job) => return Some(job),
                None => self.arrived.wait(&mut state),
            }
        }
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
        for cpu in [Cpu::new(), Cpu::yielding(Alarms::new(Metrics::new(1))).expect("threads")] {
            for _ in 0..2 * cores() {
                let panicked: Result<(), _> = cpu.run(|| panic!("poison")).await;
                assert_eq!(panicked.map_err(|refusal| refusal.code), Err(Code::Internal));
            }
            assert_eq!(cpu.run(|| Ok(7)).await, Ok(7));
        }
    }

    #[tokio::test]
    async fn what_is_read_gives_way_and_nothing_else_does() {
        let nice = || Ok(rustix::process::getpriority_process(None).expect("a priority"));
        let own = nice().expect("a priority");
        let reading = Cpu::yielding(Alarms::new(Metrics::new(1))).expect("threads");
        assert_eq!(reading.run(nice).await, Ok(READING_NICE.max(own)));
        assert_eq!(Cpu::new().run(nice).await, Ok(own));
    }
}
