//! Keeps the cores busy: one task fetches, threads decode, hash and verify signatures, and one more replays in order.
//!
//! ```text
//! source ──chunks──▶ preparers (cores − 1, at least 1) ──▶ replay, in the order of the chunks
//! ```
//!
//! Every queue is bounded, so that memory doesn't grow with the log; whoever stops closes its queues, and all end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sillage_proto::v1::LogEntry;
use tokio::sync::{mpsc, oneshot};

use super::divergence::Divergence;
use super::prepare::{KeyBook, Prepared, prepare};
use super::replay::Replay;

/// Chunks that wait between two stages.
const QUEUE: usize = 4;
/// Entries handed on together.
pub const CHUNK: usize = 2_048;

/// Where entries go in.
pub type Feed = mpsc::Sender<Vec<LogEntry>>;

type Chunk = (u64, Vec<LogEntry>);
type Done = (u64, Vec<Prepared>);

/// A running replay.
pub struct Pipeline {
    /// Takes entries in order, at most [`CHUNK`] at a time; close it to finish. A send fails when the replay stopped.
    pub feed: Feed,
    /// Entries replayed so far.
    pub progress: Arc<AtomicU64>,
    ended: oneshot::Receiver<(Replay, Result<(), Divergence>)>,
}

impl Pipeline {
    /// Starts the threads. `on_commit` is called on the replay's thread after each index commit.
    pub fn start(replay: Replay, on_commit: impl FnMut(&mut Replay) + Send + 'static) -> Self {
        let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let (feed, raw) = mpsc::channel(QUEUE);
        let (done, prepared) = crossbeam_channel::bounded(QUEUE);
        let raw = Arc::new(Mutex::new((0_u64, raw)));
        let book = Arc::new(replay.keys());
        let origin = replay.log().origin.clone();
        for _ in 0..cores.saturating_sub(1).max(1) {
            let (raw, done, book, origin) = (Arc::clone(&raw), done.clone(), Arc::clone(&book), origin.clone());
            thread::spawn(move || prepare_all(&raw, &done, |entries| prepare(entries, &origin, &book)));
        }
        let progress = Arc::new(AtomicU64::new(replay.size()));
        let (tell, ended) = oneshot::channel();
        let counter = Arc::clone(&progress);
        thread::spawn(move || {
            let mut replay = replay;
            let result = replay_all(&mut replay, &prepared, &counter, on_commit);
            // Whoever waited may be gone; then no one asks.
            let _ = tell.send((replay, result));
        });
        Self { feed, progress, ended }
    }

    /// Closes the feed and waits for the end. The result is of all that was fed; whether the log may end there is asked of
    /// [`Replay::finish`].
    ///
    /// # Panics
    /// When a thread of the pipeline did.
    pub async fn finish(self) -> (Replay, Result<(), Divergence>) {
        drop(self.feed);
        self.ended.await.expect("the replay's thread says how it ended")
    }
}

/// Takes chunks in turn, numbered; ends with the feed, or with the replay.
fn prepare_all(
    raw: &Mutex<(u64, mpsc::Receiver<Vec<LogEntry>>)>,
    done: &crossbeam_channel::Sender<Done>,
    prepare: impl Fn(&[LogEntry]) -> Vec<Prepared>,
) {
    loop {
        let next: Option<Chunk> = {
            let mut raw = raw.lock().unwrap_or_else(PoisonError::into_inner);
            let (number, feed) = &mut *raw;
            let entries = feed.blocking_recv();
            *number += 1;
            entries.map(|entries| (*number, entries))
        };
        let Some((number, entries)) = next else {
            return;
        };
        if done.send((number, prepare(&entries))).is_err() {
            return;
        }
    }
}

/// Replays chunks in the order of their numbers.
fn replay_all(
    replay: &mut Replay,
    prepared: &crossbeam_channel::Receiver<Done>,
    progress: &AtomicU64,
    mut on_commit: impl FnMut(&mut Replay),
) -> Result<(), Divergence> {
    let mut early: BTreeMap<u64, Vec<Prepared>> = BTreeMap::new();
    let mut next = 1;
    for (number, entries) in prepared {
        early.insert(number, entries);
        while let Some(entries) = early.remove(&next) {
            replay.feed(entries, &mut on_commit)?;
            progress.store(replay.size(), Ordering::Relaxed);
            next += 1;
        }
    }
    assert!(early.is_empty(), "every chunk was prepared");
    Ok(())
}

/// Replays entries that are all there, on this thread alone.
///
/// # Errors
/// The first divergence.
pub fn replay_here(replay: &mut Replay, entries: &[LogEntry]) -> Result<(), Divergence> {
    let book: KeyBook = replay.keys();
    let origin = replay.log().origin.clone();
    for chunk in entries.chunks(CHUNK) {
        replay.feed(prepare(chunk, &origin, &book), |_| {})?;
    }
    replay.finish()
}
