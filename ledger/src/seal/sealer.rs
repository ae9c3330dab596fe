//! Seals payloads before they are proposed, opens them for whoever may read them.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash as StdHash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use prost::bytes::Bytes;
use sillage_proof::batch::Origin;
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::WrappedKey;
use sillage_rules::entry::{BatchHeader, RecordEntry};
use zeroize::Zeroizing;

use crate::envelope::cipher::DataCipher;
use crate::envelope::{KekProvider, Place, layout, split_plain};
use crate::error::{KekError, ReadError};
use crate::reader::LedgerReader;
use crate::schema::{DataKeyName, NO_PATIENT, TagPrefix};

/// Unwrapped data keys kept in memory, by default.
pub const DATA_KEYS_CACHED: usize = 65_536;
/// No key seals more than 2^32 payloads under random nonces; half of that is left for other nodes.
const SEALED_MAX: u64 = 1 << 31;

/// A record to seal.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// The patient's tag; zero where none is concerned.
    pub tag: [u8; 32],
    /// The author's salt.
    pub salt: &'a [u8; 16],
    /// The record.
    pub record: &'a [u8],
}

/// The records of one batch, sealed.
#[derive(Debug, Clone)]
pub struct SealedPayloads {
    /// One payload for each record, in order.
    pub payloads: Vec<Bytes>,
    /// Data keys used that aren't on record here yet: they go with the batch.
    pub new_keys: Vec<WrappedKey>,
}

/// An opened payload, with the entries that it belongs to.
#[derive(Debug, Clone)]
pub struct OpenedEntry {
    /// The record entry.
    pub entry: RecordEntry,
    /// The header of its batch; none for a record that the ledger made itself.
    pub header: Option<BatchHeader>,
    /// The author's salt, 16 bytes; of a decision, the salts of its two parts.
    pub salt: Vec<u8>,
    /// The record, as the author signed it; of a decision, `u32 length ‖ actor part ‖ private part`.
    pub record: Vec<u8>,
}

/// A payload can't be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key-encryption key can't be used.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// No such record.
    #[error("entry {0} isn't a record: ask for the index of a record entry")]
    NoRecord(LeafIndex),
    /// The data key isn't on record.
    #[error("the data key of entry {0} is gone: its patient was erased, or the ledger is damaged")]
    NoDataKey(LeafIndex),
    /// The payload isn't the one that was sealed for this place.
    #[error(
        "the payload was altered or belongs elsewhere: replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)"
    )]
    Altered,
    /// The operating system gives no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
}

/// A patient's data key, ready to use.
pub(super) struct DataKey {
    pub(super) id: [u8; 16],
    pub(super) cipher: DataCipher,
    pub(super) wrapped: Vec<u8>,
    /// Seen on record: it needn't travel any more.
    recorded: AtomicBool,
    /// Payloads sealed by this process.
    sealed: AtomicU64,
}

/// A bounded map that forgets what wasn't used for long: two generations, the older one dropped whole.
struct Cache<K> {
    young: HashMap<K, Arc<DataKey>>,
    old: HashMap<K, Arc<DataKey>>,
    half: usize,
    /// [`LedgerReader::keys_version`] as of which all of it holds.
    version: u64,
}

impl<K: Eq + StdHash + Copy> Cache<K> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: max.div_ceil(2).max(1), version: 0 }
    }

    /// Forgets everything when `version` is newer: data keys were given up, or wrapped anew.
    fn renew(&mut self, version: u64) {
        if version > self.version {
            (self.young, self.old) = Default::default();
            self.version = version;
        }
    }

    /// Keeps what was found as of `version`, unless that is outdated.
    fn keep(&mut self, version: u64, name: K, key: Arc<DataKey>) {
        self.renew(version);
        if version == self.version {
            self.insert(name, key);
        }
    }

    fn get(&mut self, name: &K) -> Option<Arc<DataKey>> {
        if let Some(key) = self.young.get(name) {
            return Some(key.clone());
        }
        let key = self.old.remove(name)?;
        self.insert(*name, key.clone());
        Some(key)
    }

    fn insert(&mut self, name: K, key: Arc<DataKey>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, key);
    }
}

/// Where data keys and nonces come from. They are secret and never the same only as long as this is really random.
pub trait Randomness: Send + Sync {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// Why there is no randomness.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::fill(bytes).map_err(|error| error.to_string())
    }
}

/// Seals and opens. Shared by all threads of a node.
pub struct Sealer {
    pub(super) reader: LedgerReader,
    pub(super) keks: Arc<dyn KekProvider>,
    /// The key under which a patient's next payload is sealed.
    sealing: Mutex<Cache<[u8; 32]>>,
    /// Keys by tag and id, for opening.
    opening: Mutex<Cache<([u8; 32], [u8; 16])>>,
    randomness: Box<dyn Randomness>,
}

impl Sealer {
    /// A sealer that keeps at most `keys_max` unwrapped keys for sealing and as many for opening.
    pub fn new(reader: LedgerReader, keks: Arc<dyn KekProvider>, keys_max: usize) -> Self {
        Self::with_randomness(reader, keks, keys_max, Box::new(SystemRandomness))
    }

    /// The same with another source of keys and nonces, for a simulation that has to be repeated.
    pub fn with_randomness(
        reader: LedgerReader,
        keks: Arc<dyn KekProvider>,
        keys_max: usize,
        randomness: Box<dyn Randomness>,
    ) -> Self {
        let (sealing, opening) = (Mutex::new(Cache::new(keys_max)), Mutex::new(Cache::new(keys_max)));
        Self { reader, keks, sealing, opening, randomness }
    }

    pub(super) fn random<const N: usize>(&self) -> Result<[u8; N], SealError> {
        let mut out = [0; N];
        self.randomness.fill(&mut out).map_err(SealError::Randomness)?;
        Ok(out)
    }

    /// Forgets keys that were given up; they are forgotten anyway when the next one is asked for.
    pub fn forget_outdated(&self) {
        let version = self.reader.keys_version();
        self.sealing.lock().renew(version);
        self.opening.lock().renew(version);
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.reader.genesis().origin
    }

    /// Seals the records of one batch. A data key travels with every batch that uses it until it is on record here:
    /// the first batch that carried it may have been lost.
    ///
    /// # Errors
    /// When a key can't be had.
    pub fn seal_batch(
        &self,
        stream_id: StreamId,
        seq: u64,
        records: &[Plain<'_>],
    ) -> Result<SealedPayloads, SealError> {
        let mut payloads = Vec::with_capacity(records.len());
        let mut new_keys = BTreeMap::new();
        for (position, plain) in (0_u32..).zip(records) {
            let key = self.key_for(&plain.tag, &mut new_keys)?;
            let place = Place { tag: plain.tag, stream_id, seq, position };
            payloads.push(self.seal_under(&key, &place, &[plain.salt, plain.record])?.into());
        }
        let new_keys = new_keys.into_iter().map(|((tag, id), wrapped)| WrappedKey {
            tag: tag.to_vec(),
            data_key_id: id.to_vec(),
            wrapped,
        });
        Ok(SealedPayloads { payloads, new_keys: new_keys.collect() })
    }

    /// The key for a patient's next payload; noted in `new` where it has to travel along.
    pub(super) fn key_for(
        &self,
        tag: &[u8; 32],
        new: &mut BTreeMap<DataKeyName, Vec<u8>>,
    ) -> Result<Arc<DataKey>, SealError> {
        let key = self.sealing_key(tag)?;
        if !self.is_recorded(tag, &key)? {
            new.insert((*tag, key.id), key.wrapped.clone());
        }
        Ok(key)
    }

    /// Opens the payload of a record entry; `None` beyond the end of the log or where the payload was erased. What
    /// comes back hashes to the entry's record hash.
    ///
    /// # Errors
    /// When the entry isn't a record, or its payload can't be opened.
    pub(crate) fn open(&self, index: LeafIndex) -> Result<Option<OpenedEntry>, SealError> {
        let mut attempts = 0;
        loop {
            let version = self.reader.keys_version();
            match self.open_once(index) {
                // Sealed or wrapped anew between two readings: what is stored now goes together.
                Err(SealError::NoDataKey(_) | SealError::Kek(_))
                    if attempts < 8 && self.reader.keys_version() != version =>
                {
                    attempts += 1;
                }
                done => return done,
            }
        }
    }

    fn open_once(&self, index: LeafIndex) -> Result<Option<OpenedEntry>, SealError> {
        if index.get() >= self.reader.tree_size().get() {
            return Ok(None);
        }
        let found = self.reader.record_of(index)?;
        let (entry, header) = found.ok_or(SealError::NoRecord(index))?;
        let Some(payload) = self.reader.payload(index)? else {
            return Ok(None);
        };
        let plain = match Place::of(&entry, header.as_ref()) {
            None => Zeroizing::new(payload),
            Some(place) => self.open_payload(&place, &payload, index)?,
        };
        let (salt, record) = split_plain(&entry, &plain).ok_or(SealError::Altered)?;
        Ok(Some(OpenedEntry { salt: salt.to_vec(), record: record.to_vec(), entry, header }))
    }

    pub(super) fn open_payload(
        &self,
        place: &Place,
        payload: &[u8],
        index: LeafIndex,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = layout::data_key_id(payload).ok_or(SealError::Altered)?;
        let key = self.opening_key(&place.tag, &id)?;
        let key = key.ok_or(SealError::NoDataKey(index))?;
        key.cipher.open(self.origin(), place, payload).ok_or(SealError::Altered)
    }

    pub(super) fn seal_under(&self, key: &DataKey, place: &Place, parts: &[&[u8]]) -> Result<Vec<u8>, SealError> {
        let sealed = key.cipher.seal(self.origin(), place, &self.random::<12>()?, parts);
        key.sealed.fetch_add(1, Ordering::Relaxed);
        Ok(sealed)
    }

    pub(super) fn is_recorded(&self, tag: &[u8; 32], key: &DataKey) -> Result<bool, SealError> {
        if key.recorded.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let recorded = self.reader.has_data_key(tag, &key.id)?;
        key.recorded.store(recorded, Ordering::Relaxed);
        Ok(recorded)
    }

    /// Finds or makes the key for a patient's next payload.
    pub(super) fn sealing_key(&self, tag: &[u8; 32]) -> Result<Arc<DataKey>, SealError> {
        let version = self.reader.keys_version();
        let cached = {
            let mut cache = self.sealing.lock();
            cache.renew(version);
            cache.get(tag)
        };
        if let Some(key) = cached.filter(|key| key.sealed.load(Ordering::Relaxed) < SEALED_MAX) {
            return Ok(key);
        }
        // Nobody counts how much other processes sealed for no patient at all: such a key is used by one process only.
        let found = match *tag == NO_PATIENT {
            true => None,
            false => {
                let due = self.reader.due_keys(tag)?;
                self.reader.data_keys(tag)?.into_iter().find(|(id, _)| !due.contains(id))
            }
        };
        let key = match found {
            Some((id, wrapped)) => Arc::new(self.unwrapped(tag, id, wrapped)?),
            None => Arc::new(self.new_key(tag)?),
        };
        let mut cache = self.sealing.lock();
        // Another thread may have been first: then all go on with its key.
        if let Some(other) = cache.get(tag)
            && other.sealed.load(Ordering::Relaxed) < SEALED_MAX
        {
            return Ok(other);
        }
        cache.keep(version, *tag, key.clone());
        Ok(key)
    }

    fn opening_key(&self, tag: &[u8; 32], id: &[u8; 16]) -> Result<Option<Arc<DataKey>>, SealError> {
        let name = (*tag, *id);
        let version = self.reader.keys_version();
        {
            let mut cache = self.opening.lock();
            cache.renew(version);
            if let Some(key) = cache.get(&name) {
                return Ok(Some(key));
            }
        }
        let Some(wrapped) = self.reader.data_key(tag, id)? else {
            return Ok(None);
        };
        let key = Arc::new(self.unwrapped(tag, *id, wrapped)?);
        self.opening.lock().keep(version, name, key.clone());
        Ok(Some(key))
    }

    fn unwrapped(&self, tag: &[u8; 32], id: [u8; 16], wrapped: Vec<u8>) -> Result<DataKey, SealError> {
        let cipher = DataCipher::unwrap(&*self.keks, self.origin(), &(*tag, id), &wrapped)?;
        Ok(DataKey::new(cipher, wrapped, true))
    }

    fn new_key(&self, tag: &[u8; 32]) -> Result<DataKey, SealError> {
        let (id, nonce) = (self.random::<16>()?, self.random::<12>()?);
        let key = Zeroizing::new(self.random::<32>()?);
        let prefix = TagPrefix::of(tag);
        // Not the newest one there is: another node may not have that yet.
        let epoch = self.reader.kek_epochs(prefix)?.current;
        let aad = layout::wrapped_aad(self.origin(), tag, &id, epoch);
        let sealed = self.keks.wrap((prefix, epoch), &nonce, &aad, &key)?;
        let wrapped = layout::wrapped(epoch, &nonce, &sealed).to_vec();
        Ok(DataKey::new(DataCipher::new(id, &key), wrapped, false))
    }
}

impl DataKey {
    fn new(cipher: DataCipher, wrapped: Vec<u8>, recorded: bool) -> Self {
        let id = cipher.id();
        Self { id, cipher, wrapped, recorded: AtomicBool::new(recorded), sealed: AtomicU64::new(0) }
    }
}
