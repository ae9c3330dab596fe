//! The thread that owns the spool: of all arrivals that wait, those that are new become durable by one write and one `fsync`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sillage_client::clock::now_ms;
use tokio::sync::{mpsc, oneshot};

use crate::arrival::SpoolNumber;
use crate::index::{IndexError, NewRow, Tally};
use crate::mapping;
use crate::recorder::{Lane, Outcome, Work};
use crate::spool::{Spool, SpoolError, segment};

/// Bytes of one group.
const GROUP_BYTES: usize = 8 << 20;
/// Old segments, old keys and those who don't wait any more are looked for so often.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// Rows that are added to the index at once when it is behind.
const CATCH_UP: usize = 1_000;

/// What the writer is asked for.
pub(super) enum Request {
    /// Keep this.
    Keep(Box<Keep>),
    /// Delete what is of no use any more.
    Tidy,
}

/// An arrival to keep.
pub(super) struct Keep {
    /// Its row; the number comes with its place.
    pub row: NewRow,
    /// As it waits in the spool.
    pub bytes: Vec<u8>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Kept>,
}

/// What became of it.
pub(super) enum Kept {
    /// It is durable.
    New { number: SpoolNumber, outcome: oneshot::Receiver<Outcome> },
    /// It is here already.
    Repeated { number: SpoolNumber },
    /// There is no room.
    Full,
}

/// Why the index can't be brought up to the spool.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An arrival was acknowledged, isn't in the index yet, and can't be read.
    #[error(
        "arrival {number} of the spool, in {}, can't be read ({why}): the connector doesn't start, because this arrival was \
         acknowledged and would be lost; make the file readable, restore it from a copy, or start the program of the version that \
         wrote it; where it can't be saved, move the file out of the folder and ask the senders for its events again", file.display()
    )]
    Unreadable {
        /// Its place in the spool.
        number: SpoolNumber,
        /// The segment that holds it.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

/// Adds to the index what the spool has and the index doesn't: a crash came between the two.
pub(super) fn catch_up(work: &Work, spool: &Spool) -> Result<(), CatchUpError> {
    let waiting = work.spool.waiting();
    let Some(first) = waiting.first() else { return Ok(()) };
    // Not by the highest number alone: a gap below it would never be closed.
    let has_row: HashSet<u64> = work.index.states(*first)?.into_keys().collect();
    let behind: Vec<SpoolNumber> = waiting.into_iter().filter(|number| !has_row.contains(&number.0)).collect();
    if !behind.is_empty() {
        tracing::info!(arrivals = behind.len(), next = %spool.next(), "the index is brought up to the spool");
    }
    for numbers in behind.chunks(CATCH_UP) {
        let mut rows = Vec::with_capacity(numbers.len());
        for number in numbers {
            let unreadable = |why: String| {
                let file = work.spool.file_of(*number).unwrap_or_default();
                CatchUpError::Unreadable { number: *number, file, why }
            };
            let bytes = work.spool.read(*number).map_err(|error| unreadable(error.to_string()))?;
            let bytes = bytes.ok_or_else(|| unreadable("it isn't there any more".to_owned()))?;
            let arrival = mapping::from_spool(&bytes);
            let arrival = arrival.ok_or_else(|| unreadable("another version wrote it, or none".to_owned()))?;
            match mapping::map(&arrival, &work.terms) {
                Ok(mapped) => rows.push(mapping::row(work.index.names(), &arrival, &mapped, *number)),
                // It was taken under other terms: the recorder refuses it, and quarantines it.
                Err(_) => rows.push(NewRow {
                    number: *number,
                    source: arrival.source.clone(),
                    door: arrival.door,
                    received_ms: arrival.received_ms,
                    kind: "AuditEvent",
                    logical: None,
                    date_ms: None,
                    keys: mapping::keys(work.index.names(), &arrival),
                    terms: Vec::new(),
                }),
            }
        }
        work.index.add(&rows)?;
    }
    Ok(())
}

/// Starts the thread. It ends when nobody can ask any more.
pub(super) fn start(work: Arc<Work>, spool: Spool, asked: mpsc::Receiver<Request>) {
    let writer = Writer { work, spool, unindexed: Vec::new(), warned: false };
    let named = std::thread::Builder::new().name("spool".to_owned());
    named.spawn(move || writer.run(asked)).expect("the system gives a thread");
}

/// Asks for tidying, until the writer ends.
pub(super) async fn tidy_now_and_then(requests: mpsc::WeakSender<Request>) {
    let mut ticks = tokio::time::interval(TIDY_EVERY);
    loop {
        ticks.tick().await;
        let Some(requests) = requests.upgrade() else { return };
        if requests.send(Request::Tidy).await.is_err() {
            return;
        }
    }
}

struct Writer {
    work: Arc<Work>,
    spool: Spool,
    /// Durable in the spool, and not in the index yet, as its disk refused.
    unindexed: Vec<NewRow>,
    /// Whether it was said that the spool fills.
    warned: bool,
}

impl Writer {
    fn run(mut self, mut asked: mpsc::Receiver<Request>) {
        while let Some(first) = asked.blocking_recv() {
            let mut group = Vec::new();
            let (mut bytes, mut tidy) = (0, false);
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Tidy => tidy = true,
                    Request::Keep(keep) => {
                        bytes += keep.bytes.len();
                        group.push(*keep);
                    }
                }
                next = match group.len() < segment::GROUP_MAX && bytes < GROUP_BYTES {
                    true => asked.try_recv().ok(),
                    false => None,
                };
            }
            if !group.is_empty() {
                self.keep(group);
            }
            if tidy {
                self.tidy();
            }
        }
    }

    /// Sorts out what is here already, makes the rest durable, and answers.
    fn keep(&mut self, group: Vec<Keep>) {
        if !self.index_rest() {
            return group.into_iter().for_each(|keep| answer(keep.answer, Kept::Full));
        }
        let now_ms = now_ms();
        let mut met: HashMap<[u8; 16], SpoolNumber> = HashMap::new();
        let (mut fresh, mut repeated) = (Vec::new(), Vec::new());
        let mut number = self.spool.next();
        for mut keep in group {
            let keys = [keep.row.keys.version, keep.row.keys.body];
            let here = keys.iter().flatten().find_map(|key| met.get(key).copied());
            let known = match here {
                Some(number) => Ok(Some(number)),
                None => self.work.index.known(&keep.row.keys, now_ms),
            };
            match known {
                Ok(Some(first)) => repeated.push((keep, first)),
                Ok(None) => {
                    keep.row.number = number;
                    self.report_other_content(&keep.row, &met, now_ms);
                    met.extend(keep.row.keys.named.map(|named| (named, number)));
                    met.extend(keys.into_iter().flatten().map(|key| (key, number)));
                    number.0 += 1;
                    fresh.push(keep);
                }
                Err(error) => {
                    tracing::error!(%error, "an arrival can't be compared with those before: it isn't taken");
                    answer(keep.answer, Kept::Full);
                }
            }
        }
        let is_kept = fresh.is_empty() || self.append(&mut fresh);
        let mut taken_up = Vec::with_capacity(fresh.len());
        for keep in fresh {
            match is_kept {
                false => answer(keep.answer, Kept::Full),
                true => {
                    let number = keep.row.number;
                    let lane = Lane::of(keep.row.kind);
                    taken_up.push((number, lane, keep.answer));
                    self.unindexed.push(keep.row);
                }
            }
        }
        // Where the index's disk refuses, the recorder waits for it, as it finds no row to note a place in.
        self.index_rest();
        let mut numbers = Vec::with_capacity(taken_up.len());
        for (number, lane, to) in taken_up {
            let outcome = self.work.outcomes.wait(number);
            answer(to, Kept::New { number, outcome });
            numbers.push((number, lane));
        }
        self.work.queue.push(&numbers);
        for (keep, number) in repeated {
            // The first one of them may be of this group, and not be kept.
            if !is_kept && number >= self.spool.next() {
                answer(keep.answer, Kept::Full);
                continue;
            }
            if let Err(error) = self.work.index.count(&keep.row.source, now_ms, Tally::Repeated) {
                tracing::warn!(%error, "a repetition isn't counted");
            }
            answer(keep.answer, Kept::Repeated { number });
        }
        self.warn();
    }

    /// Says that an id and version came once more with another content: it is recorded beside the first.
    fn report_other_content(&self, row: &NewRow, met: &HashMap<[u8; 16], SpoolNumber>, now_ms: u64) {
        let Some(named) = &row.keys.named else { return };
        let first = met.get(named).map_or_else(|| self.work.index.named(named), |number| Ok(Some(*number)));
        match first {
            Ok(None) => {}
            Ok(Some(first)) => {
                let (number, source) = (row.number, row.source.as_str());
                tracing::warn!(%number, %first, source, "the id and version of another arrival, with another content: both are recorded");
                if let Err(error) = self.work.index.count(source, now_ms, Tally::OtherContent) {
                    tracing::warn!(%error, "another content of one version isn't counted");
                }
            }
            Err(error) => tracing::warn!(%error, "an id and version can't be looked for"),
        }
    }

    /// Makes arrivals durable, all or none.
    fn append(&mut self, fresh: &mut [Keep]) -> bool {
        let bytes: Vec<Vec<u8>> = fresh.iter_mut().map(|keep| std::mem::take(&mut keep.bytes)).collect();
        match self.spool.append(&bytes) {
            Ok(()) => true,
            Err(SpoolError::Full) => {
                self.tidy();
                // What was released may have made room.
                self.spool.append(&bytes).is_ok()
            }
            Err(error) => {
                tracing::error!(%error, "the spool takes nothing");
                false
            }
        }
    }

    /// Adds to the index what is missing there.
    fn index_rest(&mut self) -> bool {
        if self.unindexed.is_empty() {
            return true;
        }
        match self.work.index.add(&self.unindexed) {
            Ok(()) => {
                self.unindexed.clear();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the index takes nothing: nothing is taken until it does");
                false
            }
        }
    }

    fn tidy(&mut self) {
        self.work.outcomes.tidy();
        if let Err(error) = self.work.index.forget_old_keys(now_ms()) {
            tracing::warn!(%error, "old keys stay");
        }
        if !self.index_rest() || !self.spool.has_released() {
            return;
        }
        let synced = self.work.index.sync().map_err(|error| error.to_string());
        let deleted = synced.and_then(|()| self.spool.delete_released().map_err(|error| error.to_string()));
        if let Err(error) = deleted {
            tracing::warn!(error, "old segments of the spool stay");
        }
    }

    /// Says once that the spool fills, and once that it doesn't any more.
    fn warn(&mut self) {
        let is_filling = self.work.spool.bytes() > self.spool.bounds().bytes_max / 10 * 8;
        if is_filling && !self.warned {
            tracing::warn!("the spool is over 80 % full: bring the nodes back, or give spool.bytes_max more room");
        }
        self.warned = is_filling;
    }
}

/// Answers; who asked may be gone.
fn answer(to: oneshot::Sender<Kept>, kept: Kept) {
    let _gone_meanwhile = to.send(kept);
}
