//! The thread beside applying: it hashes what was recorded, as it comes, into the trees of the patients concerned.
//!
//! Applying hands it records through a bounded queue and waits for it only at an index commit. The result depends on
//! the records and their order alone, never on when the thread ran.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sillage_proof::hash::Hash;
use sillage_rules::index::{self, bucket_of, ikey};

use super::bucket::{self, Bucket};
use super::{Index, row};
use crate::error::ReadError;
use crate::store::Store;

/// Commands whose records may wait.
const JOBS_MAX: usize = 64;

/// A record entry with a patient.
pub(crate) struct Recorded {
    pub tag: [u8; 32],
    /// Hash of the entry in the log tree.
    pub leaf: Hash,
    pub record: Hash,
}

/// What an index commit changes.
#[derive(Default)]
pub(crate) struct Changes {
    /// New keys and values, sorted.
    pub rows: Vec<(Hash, Vec<u8>)>,
    /// Buckets with other hashes, sorted.
    pub buckets: Vec<(u64, Hash)>,
    /// Patients that had no row before.
    pub added: u64,
}

enum Job {
    Records(Vec<Recorded>),
    Commit(SyncSender<Result<Changes, ReadError>>),
}

/// Runs until dropped.
pub(crate) struct Worker {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// For the index of `store`; keeps about `cache_bytes` of buckets in memory.
    pub(crate) fn start(store: Arc<Store>, index: Arc<Index>, cache_bytes: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let pending = Pending {
            store,
            index,
            tags: HashMap::new(),
            dirty: BTreeMap::new(),
            cache: Cache { half_bytes: cache_bytes / 2, ..Cache::default() },
            failed: None,
        };
        let thread = std::thread::Builder::new().name("ledger-index".into()).spawn(move || run(pending, &queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands over what was recorded, in order.
    pub(crate) fn hand(&self, records: Vec<Recorded>) {
        if !records.is_empty() {
            self.send(Job::Records(records));
        }
    }

    /// Everything handed over since the last commit, as it is to be written.
    pub(crate) fn commit(&self) -> Result<Changes, ReadError> {
        let (answer, done) = sync_channel(1);
        self.send(Job::Commit(answer));
        done.recv().expect("the index thread answers every commit")
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("only dropping takes it away");
        jobs.send(job).expect("the index thread runs as long as its ledger");
    }
}

impl Drop for Worker {
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
            Job::Records(records) => pending.take(records),
            Job::Commit(answer) => {
                // Nobody waits only when the ledger is being dropped.
                let _ = answer.send(pending.commit());
            }
        }
    }
}

/// What came since the last index commit.
struct Pending {
    store: Arc<Store>,
    index: Arc<Index>,
    /// Where the patients concerned are: bucket and ikey.
    tags: HashMap<[u8; 32], (u64, Hash)>,
    dirty: BTreeMap<u64, Dirty>,
    cache: Cache,
    /// Why a bucket couldn't be read: the next commit says it.
    failed: Option<ReadError>,
}

/// A bucket with patients whose trees grew: their frontiers are new, their rows still the old ones.
struct Dirty {
    bucket: Bucket,
    changed: BTreeSet<Hash>,
}

impl Pending {
    fn take(&mut self, mut records: Vec<Recorded>) {
        if self.failed.is_some() {
            return;
        }
        // Stable: a patient's records stay in the order of the log.
        records.sort_by_key(|record| record.tag);
        if let Err(error) = self.load(&records) {
            self.failed = Some(error);
            return;
        }
        let pairs: Vec<(Hash, Hash)> = records.iter().map(|record| (record.leaf, record.record)).collect();
        let mut leaves = Vec::with_capacity(pairs.len());
        index::patient_leaves(&pairs, &mut leaves);
        let mut begin = 0;
        for group in records.chunk_by(|a, b| a.tag == b.tag) {
            let end = begin + group.len();
            let (number, ikey) = self.tags[&group[0].tag];
            let dirty = self.dirty.get_mut(&number).expect("loaded above");
            let place = dirty.bucket.place_of(&ikey);
            dirty.bucket.frontiers[place].push_all(&leaves[begin..end]);
            dirty.changed.insert(ikey);
            begin = end;
        }
        self.index.set_changed(self.tags.len());
    }

    /// Brings the buckets of all patients concerned into `dirty`.
    fn load(&mut self, records: &[Recorded]) -> Result<(), ReadError> {
        let depth = self.index.depth();
        let mut missing = BTreeSet::new();
        for group in records.chunk_by(|a, b| a.tag == b.tag) {
            let tag = &group[0].tag;
            if self.tags.contains_key(tag) {
                continue;
            }
            let ikey = ikey(tag);
            let number = bucket_of(&ikey, depth);
            self.tags.insert(*tag, (number, ikey));
            if self.dirty.contains_key(&number) {
                continue;
            }
            match self.cache.take(number) {
                Some(bucket) => drop(self.dirty.insert(number, Dirty { bucket, changed: BTreeSet::new() })),
                None => drop(missing.insert(number)),
            }
        }
        let missing: Vec<u64> = missing.into_iter().collect();
        let buckets = bucket::read_all(&self.store, &missing, depth)?;
        for (number, bucket) in missing.into_iter().zip(buckets) {
            self.dirty.insert(number, Dirty { bucket, changed: BTreeSet::new() });
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Changes, ReadError> {
        if let Some(error) = self.failed.clone() {
            return Err(error);
        }
        self.tags.clear();
        self.index.set_changed(0);
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut changes = Changes::default();
        let mut places = Vec::new();
        let mut items = Vec::new();
        for dirty in dirty.values_mut() {
            for ikey in &dirty.changed {
                let place = dirty.bucket.place_of(ikey);
                let frontier = &dirty.bucket.frontiers[place];
                items.push((*ikey, frontier.count(), frontier.root()));
                places.push(place);
            }
        }
        let mut hashes = Vec::with_capacity(items.len());
        index::rows(&items, &mut hashes);
        let mut done = places.iter().zip(&hashes);
        for dirty in dirty.values_mut() {
            for (ikey, (place, hash)) in dirty.changed.iter().zip(done.by_ref()) {
                let row = &mut dirty.bucket.rows[*place].1;
                changes.added += u64::from(*row == Hash::default());
                *row = *hash;
                changes.rows.push((*ikey, row::value(hash, &dirty.bucket.frontiers[*place])));
            }
        }
        let slices: Vec<&[(Hash, Hash)]> = dirty.values().map(|dirty| &dirty.bucket.rows[..]).collect();
        let mut hashes = Vec::with_capacity(slices.len());
        index::buckets(&slices, &mut hashes);
        changes.buckets = dirty.keys().copied().zip(hashes).collect();
        for (number, dirty) in dirty {
            self.cache.put(number, dirty.bucket);
        }
        Ok(changes)
    }
}

/// Buckets as of the last commit: those used lately, in two generations, the older one dropped whole.
#[derive(Default)]
struct Cache {
    young: HashMap<u64, Bucket>,
    young_bytes: usize,
    old: HashMap<u64, Bucket>,
    half_bytes: usize,
}

impl Cache {
    fn take(&mut self, number: u64) -> Option<Bucket> {
        if let Some(bucket) = self.young.remove(&number) {
            self.young_bytes = self.young_bytes.saturating_sub(bucket.bytes());
            return Some(bucket);
        }
        self.old.remove(&number)
    }

    fn put(&mut self, number: u64, bucket: Bucket) {
        self.young_bytes += bucket.bytes();
        self.young.insert(number, bucket);
        if self.young_bytes >= self.half_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}
