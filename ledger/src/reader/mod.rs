//! Everything that can be asked of the ledger, from any thread, while commands are applied and snapshots installed.
//!
//! [`LedgerReader`] is one type, and each file holds what it answers about one thing: `authority` (the authorities' rule and
//! limits), `batches` (batches as they stand in the log, and the check of their signatures), `break_glass`, `consent` (records
//! that decide), `devices`, `doors` (sources, sessions, contests), `erasing`, `nodes`, `patients` (proofs of a patient's trace), `trace` (a patient's entries),
//! `voids`. What concerns the log as a whole stands here.

mod authority;
mod batches;
mod break_glass;
mod consent;
mod devices;
mod doors;
mod erasing;
mod nodes;
mod patients;
mod trace;
mod voids;

pub use self::authority::NearLimit;
pub use self::batches::{BatchFault, BatchPath, BatchVerifier, Headers};
pub use self::break_glass::GlassFilter;
pub use self::consent::{DocumentsAt, RuleRow};
pub use self::doors::{Contest, ContestsPage, SourceStatus, SourcesPage};
pub use self::patients::PatientProof;
pub use self::trace::{TraceRow, TraceScan};
pub use self::voids::VoidingPart;

use std::sync::Arc;

use parking_lot::Mutex;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey, StreamId};
use sillage_proof::merkle::{self, GenerateError};
use sillage_proof::tile::{TileCoord, TreeView, ViewError};
use sillage_proto::internal::v1::{LedgerRecord, SealedBatch, SealedDecision};
use sillage_rules::codes::Code;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::entry::{BatchHeader, Entry, Flags, RecordEntry};
use sillage_rules::record::ParsedRecord;
use sillage_rules::vouching::{Claim, Vouching};

use crate::apply::{self, vouching};
use crate::consent::caches::Caches;
use crate::error::{Fatal, ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::nodes::{ClockVoters, Rotation, first_key, signing};
use crate::overlay::Overlay;
use crate::rows::{KeyInfo, Party, PartyRow, StreamInfo};
use crate::schema::{self, DATA_KEY_ID_LEN, Family, TAG_LEN};
use crate::shared::{KeptLeaves, Shared, View};
use crate::stats::ApplyStats;
use crate::store::Store;
use crate::tree;
use crate::verified::Verified;

/// The state after the last command applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Index of the command.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// Ledger time: never goes back.
    pub time_ms: LedgerTimeMs,
    /// Entries in the log.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
}

/// A data key's id, and the key as it is wrapped.
pub type WrappedDataKey = ([u8; DATA_KEY_ID_LEN], Vec<u8>);

/// Reads the ledger. Cheap to clone; follows the ledger to an installed snapshot.
///
/// Each call sees the newest state; entries and proofs never change once they exist. Entries and payloads that concern
/// someone are read with an [`crate::EntryReader`] alone.
#[derive(Clone)]
pub struct LedgerReader {
    shared: Arc<Shared>,
}

impl LedgerReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn kept_leaves(&self) -> &Mutex<KeptLeaves> {
        &self.shared.kept_leaves
    }

    fn store(&self) -> Arc<Store> {
        self.view().store.clone()
    }

    /// The content of the genesis entry.
    pub fn genesis(&self) -> &Arc<GenesisInfo> {
        &self.shared.genesis
    }

    /// Size, root, time and applied index that belong together.
    pub fn head(&self) -> Head {
        let head = self.view().head;
        Head {
            applied_index: head.applied_index,
            applied_term: head.applied_term,
            time_ms: head.time,
            size: TreeSize(head.size),
            root: head.root,
        }
    }

    /// Entries in the log.
    pub fn tree_size(&self) -> TreeSize {
        self.head().size
    }

    /// Root over all entries.
    pub fn root(&self) -> Hash {
        self.head().root
    }

    /// (index, term) of the last command applied; (0, 0): none.
    pub fn applied(&self) -> (u64, u64) {
        let head = self.head();
        (head.applied_index, head.applied_term)
    }

    /// The highest applied index that would survive a power failure now.
    pub fn flushed(&self) -> u64 {
        self.shared.flushed()
    }

    /// Makes all that is applied durable.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn flush(&self) -> Result<u64, Fatal> {
        self.shared().flush()
    }

    /// Why the database can't be written since a flush failed; `None` while it can.
    pub fn write_failure(&self) -> Option<String> {
        self.shared.failure().map(|error| error.to_string())
    }

    /// Counters of applying.
    pub fn stats(&self) -> &ApplyStats {
        &self.shared.stats
    }

    /// The bytes of an entry; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn entry(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, ReadError> {
        let view = self.view();
        if index.get() >= view.head.size {
            return Ok(None);
        }
        let bytes = view.store.get(Family::Entries, &schema::index_key(index.get()))?;
        match bytes {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(ReadError::Damaged(format!("entry {index} is missing"))),
        }
    }

    /// An entry, decoded; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn decoded_entry(&self, index: LeafIndex) -> Result<Option<Entry>, ReadError> {
        let Some(bytes) = self.entry(index)? else {
            return Ok(None);
        };
        let entry = Entry::decode(&bytes);
        entry.map(Some).map_err(|error| ReadError::Damaged(format!("entry {index}: {error}")))
    }

    /// A record entry and the header of its batch; `None` beyond the end or where another kind of entry stands, or one
    /// that has no header because the ledger made it itself.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn header_of(&self, index: LeafIndex) -> Result<Option<(RecordEntry, BatchHeader)>, ReadError> {
        let found = self.record_of(index)?;
        Ok(found.and_then(|(record, header)| Some((record, header?))))
    }

    /// A record entry, and the header of its batch unless the ledger made it itself; `None` beyond the end or where
    /// another kind of entry stands.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn record_of(&self, index: LeafIndex) -> Result<Option<(RecordEntry, Option<BatchHeader>)>, ReadError> {
        let Some(Entry::Record(record)) = self.decoded_entry(index)? else {
            return Ok(None);
        };
        if record.flags.contains(Flags::LEDGER) {
            return Ok(Some((record, None)));
        }
        let damaged = || ReadError::Damaged(format!("entry {index} has no place for its header"));
        let header = record.header_index().ok_or_else(damaged)?;
        match self.decoded_entry(header)? {
            Some(Entry::BatchHeader(header)) => Ok(Some((record, Some(header)))),
            _ => Err(ReadError::Damaged(format!("entry {header} isn't the header of entry {index}"))),
        }
    }

    /// The sealed payload of a record entry (`docs/formats.md` §8), or salt and record of an act of the authority or of
    /// what the ledger recorded itself.
    /// `None` where there is none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn payload(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.store().get(Family::Payload, &schema::index_key(index.get()))?)
    }

    /// The party with this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn party(&self, author: &AuthorId) -> Result<Option<Party>, ReadError> {
        let row = self.store().party(author)?;
        row.map(|row| row.info(*author)).transpose()
    }

    /// Names that a party vouches for: of each kind, in order, at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn vouching(&self, author: &AuthorId, limit: usize) -> Result<Vouching, ReadError> {
        vouching::names_of(&self.store(), author, limit)
    }

    /// Tells whether a party vouches for all that is claimed; if not, why it is refused.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn vouches_for(&self, author: &AuthorId, claims: &[Claim<'_>]) -> Result<Result<(), Refusal>, ReadError> {
        let store = self.store();
        let overlay = Overlay::new(&store);
        vouching::check_claims(claims, |what, name| vouching::vouches(&overlay, author, what, name))
    }

    /// The key with this id, whatever its state.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn key(&self, id: &KeyId) -> Result<Option<KeyInfo>, ReadError> {
        self.store().key(id)
    }

    /// The party that has or had this key.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn party_by_key(&self, id: &KeyId) -> Result<Option<Party>, ReadError> {
        match self.key(id)? {
            Some(key) => self.party(&key.author_id),
            None => Ok(None),
        }
    }

    /// The party that calls with a certificate of this public key (SHA-256 of the SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn party_by_tls_spki(&self, spki: &[u8; 32]) -> Result<Option<Party>, ReadError> {
        match self.store().tls(spki)? {
            Some(author) => self.party(&author),
            None => Ok(None),
        }
    }

    /// Parties in the order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn parties(&self, after: Option<&AuthorId>, limit: usize) -> Result<Vec<Party>, ReadError> {
        let after = after.map(|author| author.as_bytes().as_slice());
        let rows = self.store().scan(Family::Party, &[], after, limit)?;
        rows.iter()
            .map(|(key, row)| {
                let author = AuthorId::from_slice(key);
                let author = author.map_err(|_| ReadError::Damaged("a party's key".into()))?;
                PartyRow::parse(row)?.info(author)
            })
            .collect()
    }

    /// Where a stream stands; `None` when nothing was recorded in it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stream(&self, id: &StreamId) -> Result<Option<StreamInfo>, ReadError> {
        self.store().stream(id)
    }

    /// An author's streams in the order of their labels, after the label `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn streams_of(
        &self,
        author: &AuthorId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamInfo>, ReadError> {
        let store = self.store();
        let prefix = schema::label_key(author, "");
        let after = after.map(|label| schema::label_key(author, label));
        let rows = store.scan(Family::Stream, &prefix, after.as_deref(), limit)?;
        let missing = || ReadError::Damaged("a listed stream is missing".into());
        rows.iter()
            .map(|(_, id)| {
                let id = StreamId::from_slice(id).map_err(|_| missing())?;
                store.stream(&id)?.ok_or_else(missing)
            })
            .collect()
    }

    /// The wrapped data keys of a patient, in the order of their ids.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn data_keys(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<WrappedDataKey>, ReadError> {
        let rows = self.store().scan(Family::DataKey, tag, None, usize::MAX)?;
        rows.into_iter()
            .map(|(key, wrapped)| {
                let id = key.get(TAG_LEN..).and_then(|id| id.try_into().ok());
                let id = id.ok_or_else(|| ReadError::Damaged("a data key's id".into()))?;
                Ok((id, wrapped.into_vec()))
            })
            .collect()
    }

    /// One wrapped data key.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn data_key(&self, tag: &[u8; TAG_LEN], id: &[u8; DATA_KEY_ID_LEN]) -> Result<Option<Vec<u8>>, ReadError> {
        let key = schema::data_key_key(tag, id);
        Ok(self.store().get(Family::DataKey, &key)?)
    }

    /// Tells whether a data key is on record.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn has_data_key(&self, tag: &[u8; TAG_LEN], id: &[u8; DATA_KEY_ID_LEN]) -> Result<bool, ReadError> {
        let key = schema::data_key_key(tag, id);
        Ok(self.store().contains(Family::DataKey, &key)?)
    }

    /// The entries that concern a patient, newest first; only those below `before`, where given.
    pub(crate) fn trace_scan(&self, tag: &[u8; TAG_LEN], before: Option<LeafIndex>) -> TraceScan {
        let size = self.view().head.size;
        let before = before.map_or(size, |before| before.get().min(size));
        TraceScan::new(self.clone(), *tag, before)
    }

    /// Audit path of an entry in the tree of `size` entries (RFC 6962 §2.1.1).
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the tree isn't that large or the index isn't in it.
    pub fn inclusion_proof(&self, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, ReadError> {
        let view = self.reach(size)?;
        let tree = TreeView::new(&view.tree, &*view.store);
        merkle::inclusion_proof(&tree, index, size).map_err(proof_error)
    }

    /// Proof that the tree of `new` entries extends the one of `old` entries (RFC 6962 §2.1.2).
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the tree isn't that large; [`ReadError::Reversed`] when `old` is over `new`.
    pub fn consistency_proof(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, ReadError> {
        let view = self.reach(new)?;
        let tree = TreeView::new(&view.tree, &*view.store);
        merkle::consistency_proof(&tree, old, new).map_err(proof_error)
    }

    /// Root over the first `size` entries.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the tree isn't that large.
    pub fn root_at(&self, size: TreeSize) -> Result<Hash, ReadError> {
        let view = self.reach(size)?;
        if size.get() == view.head.size {
            return Ok(view.head.root);
        }
        let tree = TreeView::new(&view.tree, &*view.store);
        merkle::root(&tree, size).map_err(tree::read_error)
    }

    /// Hashes of a full or partial tile (c2sp.org/tlog-tiles).
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the tree doesn't reach that far.
    pub fn tile(&self, coord: TileCoord) -> Result<Vec<Hash>, ReadError> {
        let view = self.view();
        let tree = TreeView::new(&view.tree, &*view.store);
        tree.hash_tile(coord).map_err(tree::read_error)
    }

    /// The refusal that applying would give to this batch at `now_ms`, its place in the stream and the data keys of what isn't opened
    /// aside. The state may lag behind what is committed: a refusal for an unknown or revoked key, a missing role, a
    /// missing data key, or one that the records before it may change, may be outdated.
    ///
    /// # Errors
    /// The refusal that applying would give.
    pub fn check(&self, batch: &SealedBatch, now_ms: u64) -> Result<(), Refusal> {
        self.checking(now_ms, |shared, caches, view, time| {
            apply::check_only(shared, caches, &view.store, (view.head.size, time), batch)
        })
    }

    /// Tells whether the proof of its will that a record carries may hold when it is applied, which is at the ledger time of now or
    /// later, and not after `latest_ms`; one without is left to [`LedgerReader::check`]. A node's own clock may be wrong: it
    /// ends no login.
    ///
    /// # Errors
    /// The fault.
    pub fn check_will(&self, record: &ParsedRecord, latest_ms: u64) -> Result<(), Refusal> {
        if record.message().will.is_none() {
            return Ok(());
        }
        let view = self.view();
        let (earliest, overlay) = (view.head.time, Overlay::new(&view.store));
        let at = |time| {
            apply::will::established(&overlay, (&self.shared.genesis, &self.shared.verified), record, time).map(drop)
        };
        match at(earliest).map_err(Self::refusal) {
            Err(early) if early.code == Code::LoginNotYet => {
                at(earliest.max(LedgerTimeMs(latest_ms))).map_err(Self::refusal)
            }
            done => done,
        }
    }

    /// Tells whether what a request carries as the proof of who asks proves it. `key_id` is of the key that signs it. Whether a login
    /// counts already, or still, is for the ledger to say, when it decides: it may have decided on this very request before.
    ///
    /// # Errors
    /// The fault.
    pub fn check_asker(&self, request: &ParsedRequest, key_id: &KeyId) -> Result<(), Refusal> {
        let view = self.view();
        let overlay = Overlay::new(&view.store);
        let log = (&*self.shared.genesis, &*self.shared.verified);
        let proven = apply::will::of_request(&overlay, log, (request, key_id), view.head.time);
        match proven.map(drop).map_err(Self::refusal) {
            Err(early) if matches!(early.code, Code::LoginNotYet | Code::LoginExpired) => Ok(()),
            done => done,
        }
    }

    /// The decisions and refusals that applying would give to these requests at `now_ms`, without deciding anything: for all of them, or
    /// for each. As with [`LedgerReader::check`], the state may lag behind.
    ///
    /// # Errors
    /// The refusal that applying would give to all of them.
    pub fn check_decision(&self, decision: &SealedDecision, now_ms: u64) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        self.checking(now_ms, |shared, caches, view, time| {
            apply::decide::check_only(shared, caches, &view.store, (view.head.size, time), decision)
        })
    }

    fn checking<T>(
        &self,
        now_ms: u64,
        check: impl FnOnce(&Shared, &mut Caches, &View, LedgerTimeMs) -> Result<T, Stop>,
    ) -> Result<T, Refusal> {
        let mut caches = self.shared.checking.lock();
        // Before the view: what is found in it is kept as of this version, or an older one.
        caches.renew(self.keys_version());
        let view = self.view();
        let time = view.head.time.max(LedgerTimeMs(now_ms));
        check(&self.shared, &mut caches, &view, time).map_err(Self::refusal)
    }

    fn refusal(stop: Stop) -> Refusal {
        match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Failed(error) => Refusal::new(Code::Storage, error.to_string()),
            Stop::Kek(error) => Refusal::new(Code::Storage, error.to_string()),
        }
    }

    /// The refusal that applying would give to this record of the ledger itself at `now_ms`.
    ///
    /// # Errors
    /// The refusal that applying would give.
    pub fn check_ledger_record(&self, record: &LedgerRecord, now_ms: u64) -> Result<(), Refusal> {
        let time = self.view().head.time.max(LedgerTimeMs(now_ms));
        apply::own::check_here(&self.shared.genesis, record, time).map(drop)
    }

    /// The key of node `id` that signs the checkpoint whose last entry is the index commit at `commit`, or, for an index
    /// to come, that would if it were the next (`docs/formats.md` §12). `None`: the log had no such node until then. Whether
    /// its signature counts says [`LedgerReader::node_set_at`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn node_key_at(&self, id: u64, commit: LeafIndex) -> Result<Option<PublicKey>, ReadError> {
        let store = self.store();
        let Some(first) = first_key(&store, &self.shared.genesis, id, commit)? else {
            return Ok(None);
        };
        Ok(Some(signing::key_at(&store, id, commit)?.unwrap_or(first)))
    }

    /// The nodes whose clocks count for ledger time now, and the keys that attest them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn clock_voters(&self) -> Result<ClockVoters, ReadError> {
        let view = self.view();
        ClockVoters::read(&view.store, &self.shared.genesis, LeafIndex(view.head.size))
    }

    /// Reads again what the database's file `name` (such as `000042.sst`) holds. One that the database has replaced
    /// meanwhile is no fault any more.
    ///
    /// # Errors
    /// When something of it can't be read.
    pub fn read_file_again(&self, name: &str) -> Result<(), ReadError> {
        self.store().read_file_again(name)
    }

    /// The feature level of the group, as applied here. A new rule of apply or admission counts from its level on.
    pub fn feature_level(&self) -> u32 {
        self.view().level
    }

    /// The same for the log's key.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn log_key_at(&self, commit: LeafIndex) -> Result<PublicKey, ReadError> {
        let replaced = signing::key_at(&self.store(), signing::LOG, commit)?;
        Ok(replaced.unwrap_or(self.shared.genesis.log_public_key))
    }

    /// Every replacement of a key that signs checkpoints, in the order of the log. Changes of the set of nodes:
    /// `LedgerReader::node_sets`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn rotations(&self) -> Result<Vec<Rotation>, ReadError> {
        signing::rotations(&self.store())
    }

    /// Tells whether the requester signed these requests, by the keys as applied here. What is sealed needn't be opened for it.
    ///
    /// # Errors
    /// `BAD_SIGNATURE`; or that the key is unknown, which may be outdated.
    pub fn verify_decision(&self, decision: &SealedDecision) -> Result<(), Refusal> {
        apply::decide::verify_only(&self.shared, &self.view().store, decision).map_err(Self::refusal)
    }

    /// Tells whether the author signed this batch, by the keys as applied here.
    ///
    /// # Errors
    /// `BAD_SIGNATURE`; or that the batch has no shape, or an unknown or revoked key, which may be outdated.
    pub fn verify(&self, batch: &SealedBatch) -> Result<(), Refusal> {
        apply::check::verify_only(&self.shared, &self.view().store, batch).map_err(Self::refusal)
    }

    /// Signatures that this process has verified, and what it has verified elsewhere goes in.
    pub fn verified(&self) -> &Verified {
        &self.shared.verified
    }

    fn reach(&self, size: TreeSize) -> Result<Arc<View>, ReadError> {
        let view = self.view();
        match size.get() <= view.head.size {
            true => Ok(view),
            false => Err(ReadError::Beyond { size: view.head.size }),
        }
    }
}

fn proof_error(error: GenerateError<ViewError<ReadError>>) -> ReadError {
    match error {
        GenerateError::IndexBeyondSize { size, .. } => ReadError::Beyond { size },
        GenerateError::SizesReversed { old, new } => ReadError::Reversed { old, new },
        GenerateError::Read(error) => tree::read_error(error),
    }
}
