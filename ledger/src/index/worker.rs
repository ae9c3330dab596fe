//! Beside applying, on a thread or not: it hashes what was recorded, as it comes, into the trees of the patients concerned.
//!
//! Applying hands it records through a bounded queue and waits for it only at an index commit. The result depends on
//! the records and their order alone, never on when the thread ran.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sillage_proof::hash::Hash;
use sillage_rules::index::{self, bucket_of, ikey};

use super::bucket::{self, Bucket};
use super::{Index, row};
use crate::error::ReadError;
use crate::options::Options;
use crate::store::Store;

/// Commands whose records may wait: an index commit waits for them.
const JOBS_MAX: usize = 16;

/// The memory for buckets that a patient takes: row, frontier with three peaks, and its share of the bucket.
const ROW_BYTES: usize = 224;

/// A record entry with a patient.
pub(crate) struct RecordedEntry {
    pub tag: [u8; 32],
    /// Hash of the entry in the log tree.
    pub leaf: Hash,
    pub record: Hash,
}

/// The changes of an index commit.
#[derive(Default)]
pub(crate) struct Changes {
    /// New keys and values, sorted.
    pub rows: Vec<(Hash, Vec<u8>)>,
    /// Buckets with other hashes, sorted.
    pub buckets: Vec<(u64, Hash)>,
    /// Patients that had no row before.
    pub added: u64,
}

pub(crate) enum Job {
    Records(Vec<RecordedEntry>),
    Commit(SyncSender<Result<Changes, ReadError>>),
}

/// Runs until dropped.
pub(crate) enum Worker {
    /// Beside applying.
    Thread(IndexThread),
    /// Within each call: the results are the same.
    Inline(Box<Mutex<Pending>>),
}

/// The thread, and the queue to it.
pub(crate) struct IndexThread {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// For the index of `store`; keeps about as many bytes of buckets in memory as the options say.
    pub(crate) fn start(store: Arc<Store>, index: Arc<Index>, options: &Options) -> std::io::Result<Self> {
        let cache_bytes = options.index_cache_bytes;
        let pending = Pending {
            store,
            index,
            tags: HashMap::new(),
            dirty: Vec::new(),
            held: HeldBuckets { rows_max: cache_bytes / ROW_BYTES, ..HeldBuckets::default() },
            failed: None,
        };
        if !options.index_thread {
            return Ok(Self::Inline(Box::new(Mutex::new(pending))));
        }
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let thread = std::thread::Builder::new().name("ledger-index".into()).spawn(move || run(pending, &queue))?;
        Ok(Self::Thread(IndexThread { jobs: Some(jobs), thread: Some(thread) }))
    }

    /// Hands over what was recorded, in order.
    pub(crate) fn hand(&self, records: Vec<RecordedEntry>) {
        match self {
            _ if records.is_empty() => {}
            Self::Thread(beside) => beside.send(Job::Records(records)),
            Self::Inline(pending) => pending.lock().take(&records),
        }
    }

    /// Everything handed over since the last commit, as it is to be written.
    pub(crate) fn commit(&self) -> Result<Changes, ReadError> {
        let beside = match self {
            Self::Thread(beside) => beside,
            Self::Inline(pending) => return pending.lock().commit(),
        };
        let (answer, done) = sync_channel(1);
        beside.send(Job::Commit(answer));
        done.recv().expect("the index thread answers every commit")
    }
}

impl IndexThread {
    fn send(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("only dropping takes it away");
        jobs.send(job).expect("the index thread runs as long as its ledger");
    }
}

impl Drop for IndexThread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the index thread panicked");
        }
    }
}

fn run(mut pending: Pending, queue: &Receiver<Job>) {
    for job in queue {
        match job {
            Job::Records(records) => pending.take(&records),
            Job::Commit(answer) => {
                // Nobody waits only when the ledger is being dropped.
                let _ = answer.send(pending.commit());
            }
        }
    }
}

/// Entries since the last index commit.
pub(crate) struct Pending {
    store: Arc<Store>,
    index: Arc<Index>,
    /// The patients concerned: slot of the bucket, and ikey.
    tags: HashMap<[u8; 32], (usize, Hash)>,
    /// Slots of the buckets concerned, each once.
    dirty: Vec<usize>,
    held: HeldBuckets,
    /// Why a bucket couldn't be read: the next commit says it.
    failed: Option<ReadError>,
}

impl Pending {
    fn take(&mut self, records: &[RecordedEntry]) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.load(records) {
            self.failed = Some(error);
            return;
        }
        let pairs: Vec<(Hash, Hash)> = records.iter().map(|record| (record.leaf, record.record)).collect();
        let mut leaves = Vec::with_capacity(pairs.len());
        index::patient_leaves(&pairs, &mut leaves);
        for (record, leaf) in records.iter().zip(&leaves) {
            let (slot, ikey) = self.tags[&record.tag];
            self.held.slots[slot].bucket.frontier_of(&ikey).push_all(std::slice::from_ref(leaf));
        }
        self.index.set_changed(self.tags.len());
    }

    /// Makes sure that the buckets of all patients concerned are held.
    fn load(&mut self, records: &[RecordedEntry]) -> Result<(), ReadError> {
        let depth = self.index.depth();
        let mut fresh = Vec::new();
        for record in records {
            if let Entry::Vacant(vacant) = self.tags.entry(record.tag) {
                let ikey = ikey(&record.tag);
                // The slot follows below.
                vacant.insert((usize::MAX, ikey));
                fresh.push((record.tag, bucket_of(&ikey, depth), ikey));
            }
        }
        let numbers = fresh.iter().map(|(_, number, _)| *number);
        let mut missing: Vec<u64> = numbers.filter(|number| !self.held.places.contains_key(number)).collect();
        missing.sort_unstable();
        missing.dedup();
        let buckets = bucket::read_all(&self.store, &missing, depth)?;
        for (number, bucket) in missing.into_iter().zip(buckets) {
            self.held.put(number, bucket);
        }
        for (tag, number, ikey) in fresh {
            let place = self.held.places[&number];
            self.tags.insert(tag, (place, ikey));
            let slot = &mut self.held.slots[place];
            if slot.changed.is_empty() {
                self.dirty.push(place);
            }
            slot.changed.push(ikey);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Changes, ReadError> {
        if let Some(error) = self.failed.clone() {
            return Err(error);
        }
        let slots = &mut self.held.slots;
        // The order of the changes is that of the keys, whatever the order in which they came.
        self.dirty.sort_unstable_by_key(|place| slots[*place].number);
        let mut items = Vec::with_capacity(self.tags.len());
        for place in &self.dirty {
            let slot = &mut slots[*place];
            slot.changed.sort_unstable();
            for ikey in &slot.changed {
                let frontier = slot.bucket.frontier_of(ikey);
                items.push((*ikey, frontier.count(), frontier.root()));
            }
        }
        let mut hashes = Vec::with_capacity(items.len());
        index::rows(&items, &mut hashes);
        let mut changes = Changes { rows: Vec::with_capacity(items.len()), ..Changes::default() };
        let mut hashes = hashes.iter();
        for place in &self.dirty {
            let Slot { bucket, changed, .. } = &mut slots[*place];
            for (ikey, hash) in changed.iter().zip(hashes.by_ref()) {
                let at = bucket.place_of(ikey);
                let row = &mut bucket.rows[at].1;
                changes.added += u64::from(*row == Hash::default());
                *row = *hash;
                changes.rows.push((*ikey, row::value(hash, &bucket.frontiers[at])));
            }
        }
        let rows: Vec<&[(Hash, Hash)]> = self.dirty.iter().map(|place| &slots[*place].bucket.rows[..]).collect();
        let mut hashes = Vec::with_capacity(rows.len());
        index::buckets(&rows, &mut hashes);
        changes.buckets = self.dirty.iter().map(|place| slots[*place].number).zip(hashes).collect();
        self.held.committed(&self.dirty, changes.added);
        self.dirty.clear();
        self.tags.clear();
        self.index.set_changed(0);
        Ok(changes)
    }
}

/// Buckets in memory: those with changes, and those that had some lately.
#[derive(Default)]
struct HeldBuckets {
    slots: Vec<Slot>,
    /// Where each bucket is in `slots`.
    places: HashMap<u64, usize>,
    /// Rows of all of them.
    rows: usize,
    rows_max: usize,
    round: u64,
}

struct Slot {
    number: u64,
    /// Its frontiers are new where patients' trees grew, its rows still those of the last commit.
    bucket: Bucket,
    /// Keys of the patients whose trees grew.
    changed: Vec<Hash>,
    /// The round in which it last changed.
    used: u64,
}

impl HeldBuckets {
    fn put(&mut self, number: u64, bucket: Bucket) {
        self.places.insert(number, self.slots.len());
        self.rows += bucket.rows.len();
        self.slots.push(Slot { number, bucket, changed: Vec::new(), used: self.round });
    }

    /// Nothing is changed any more. When too much is held, what didn't change in this round goes, and a round begins.
    fn committed(&mut self, dirty: &[usize], added: u64) {
        for place in dirty {
            let slot = &mut self.slots[*place];
            slot.used = self.round;
            // Few buckets change often: what they needed once isn't kept.
            slot.changed = Vec::new();
        }
        self.rows += usize::try_from(added).expect("rows in memory");
        if self.rows <= self.rows_max {
            return;
        }
        let round = self.round;
        self.slots.retain(|slot| slot.used == round);
        self.rows = self.slots.iter().map(|slot| slot.bucket.rows.len()).sum();
        if self.rows > self.rows_max / 2 {
            self.slots.clear();
            self.rows = 0;
        }
        self.slots.shrink_to_fit();
        self.places = self.slots.iter().enumerate().map(|(place, slot)| (slot.number, place)).collect();
        self.round += 1;
    }
}
