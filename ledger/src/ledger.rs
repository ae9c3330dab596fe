//! Opening, applying, and the switch to a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;
use rocksdb::WriteBatch;
use rocksdb::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize, leaf_hash};
use sillage_proof::merkle;
use sillage_proof::tile::{TileCoord, TileHashes, TreeBuilder, TreeView};
use sillage_rules::entry::{Entry, LedgerEvent};
use sillage_rules::kind::Kind;

use crate::apply::clock::Place;
use crate::apply::{self, CommandOutcome, Effects, acts};
use crate::consent::caches::Caches;
use crate::entries::EntryReader;
use crate::envelope::KekProvider;
use crate::error::{Fatal, GenesisError, OpenError, Stop};
use crate::feature::{DOORS, FEATURE_LEVEL};
use crate::flush::Flusher;
use crate::genesis::GenesisInfo;
use crate::index::{Index, State, Worker, rebuild};
use crate::options::Options;
use crate::overlay::Overlay;
use crate::reader::LedgerReader;
use crate::schema::{self, Family, HeadRow, LAYOUT};
use crate::shared::{Shared, View};
use crate::stats::Stage;
use crate::store::{self, Store};
use crate::tree;
use crate::verified::Verified;

/// The state machine. One thread applies; [`Ledger::reader`] gives every other thread what it may ask.
pub struct Ledger {
    dir: PathBuf,
    shared: Arc<Shared>,
    /// Caches of applying: states and documents that decide.
    caches: Caches,
    /// Of the present generation.
    worker: Worker,
    // Dropped before the database closes.
    _flusher: Option<Flusher>,
}

/// A database that was checked when it was opened.
struct CheckedDatabase {
    store: Store,
    head: HeadRow,
    level: u32,
    tree: TreeBuilder,
    index: Index,
}

impl Ledger {
    /// Opens the ledger in `dir`; where there is none, makes one whose entry 0 is `genesis` (the bytes of a
    /// `sillage.v1.Genesis`). `keks` opens what decides when it is applied.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do; nothing was changed then.
    pub fn open(dir: &Path, genesis: &[u8], keks: Arc<dyn KekProvider>, options: Options) -> Result<Self, OpenError> {
        let genesis = Arc::new(GenesisInfo::parse(genesis)?);
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(io)?;
        let (number, opened) = open_current(dir, &genesis, &options)?;
        for (other, name) in store::folders(dir).map_err(io)? {
            if other != number {
                // Left over from a switch that was cut short, before or after the pointer changed.
                fs::remove_dir_all(dir.join(name)).map_err(io)?;
            }
        }
        let background = options.background_flush;
        let view = opened.into_view(number);
        let worker = start_worker(&view, &options).map_err(io)?;
        rebuild::hand_pending(&view.store, &view.head, &worker)
            .map_err(|error| OpenError::Corrupt { dir: dir.to_owned(), what: error.to_string() })?;
        let verified = Arc::new(Verified::default());
        let caches = || Caches::new(keks.clone(), genesis.origin.clone(), &options, Arc::clone(&verified));
        let (mut applying, checking) = (caches(), caches());
        applying.vault.ask_group();
        let shared = Arc::new(Shared::new(genesis, options, (checking, Arc::clone(&verified)), view));
        let flusher = background.then(|| Flusher::start(shared.clone()));
        let flusher = flusher.transpose().map_err(io)?;
        Ok(Self { dir: dir.to_owned(), shared, caches: applying, worker, _flusher: flusher })
    }

    /// Reads the state, from any thread.
    pub fn reader(&self) -> LedgerReader {
        LedgerReader::new(self.shared.clone())
    }

    /// Reads entries and payloads too, from any thread. Only who holds the ledger can give this right on.
    pub fn entry_reader(&self) -> EntryReader {
        EntryReader::new(self.reader())
    }

    /// (index, term) of the last command applied; (0, 0): none.
    pub fn applied(&self) -> (u64, u64) {
        let head = self.shared.view().head;
        (head.applied_index, head.applied_term)
    }

    /// The highest applied index that would survive a power failure now. The log of commands may be dropped up to it.
    ///
    /// # Errors
    /// When flushing failed; [`LedgerReader::flushed`] still says how far the last one came.
    pub fn flushed(&self) -> Result<u64, Fatal> {
        self.shared.check_writable()?;
        Ok(self.shared.flushed())
    }

    /// Waits while the database can't be written since a flush failed. It is tried again every second where it is flushed in
    /// the background; else this waits for ever.
    pub fn wait_writable(&self) {
        self.shared.wait_writable();
    }

    /// Makes all that is applied durable; returns the new [`Ledger::flushed`].
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn flush(&mut self) -> Result<u64, Fatal> {
        self.shared.flush()
    }

    /// Applies one command: an encoded `sillage.internal.v1.Command`, or nothing, which only notes (index, term).
    ///
    /// Returns one outcome for each part of the command in the order that [`CommandOutcome`] gives; a single refusal when
    /// `data` isn't a command. All that the command changes, the applied index included, is written at once. `time_ms` is
    /// the leader's stamp: until the feature level makes clocks count, ledger time is that, or the time before where that is
    /// later.
    ///
    /// # Errors
    /// Only when the process must stop; never by the fault of `data`.
    pub fn apply(&mut self, index: u64, term: u64, time_ms: u64, data: &[u8]) -> Result<Vec<CommandOutcome>, Fatal> {
        let shared = &self.shared;
        shared.check_writable()?;
        let view = shared.view();
        let old = view.head;
        if old.applied_index.checked_add(1) != Some(index) {
            return Err(Fatal::Order { applied: old.applied_index, got: index });
        }
        assert!(term >= old.applied_term, "terms never go back");
        let at = Place { head: &old, level: view.level, term, stamp_ms: time_ms };
        let mut effects = apply::command(shared, &mut self.caches, &view.store, at, data)?;
        let (time, level) = (effects.time, effects.level);
        assert!(time >= old.time, "ledger time never goes back");
        let committed = shared.stats.time(Stage::Index, || self.to_index(&view, time, &mut effects))?;
        let Effects { outcomes, mut writes, leaves, keys_changed, .. } = effects;
        let mut tree = view.tree.clone();
        let (root, full) = shared.stats.time(Stage::Hash, || grow(&mut tree, &leaves, &old));
        let commit = committed.as_ref().map_or(view.commit.as_ref(), |state| state.last()).cloned();
        let head = HeadRow {
            applied_index: index,
            applied_term: term,
            time,
            size: tree.size().get(),
            root,
            commit: commit.as_ref().map(|commit| commit.index),
        };
        put_tiles(&view.store, &full, &mut writes);
        writes.put_cf(view.store.family(Family::Meta), schema::META_HEAD, head.encode());
        if let Some(level) = level {
            let meta = view.store.family(Family::Meta);
            writes.put_cf(meta, schema::META_LEVEL, level.to_be_bytes());
            if view.level < DOORS && level >= DOORS {
                // The new level counts from the next command on.
                writes.put_cf(meta, schema::META_DOORS, head.size.to_be_bytes());
            }
        }
        let level = level.unwrap_or(view.level);
        let bytes = writes.size_in_bytes() as u64;
        shared.stats.time(Stage::Write, || view.store.write(writes))?;
        shared.stats.command(bytes);
        let (store, index) = (view.store.clone(), view.index.clone());
        shared.publish(View { generation: view.generation, store, head, level, tree, index, commit }, bytes);
        // Only now do the tree over the buckets and the rows of the database agree again.
        drop(committed);
        if keys_changed {
            self.caches.clear();
            shared.keys_version.fetch_add(1, Ordering::Release);
        }
        Ok(outcomes)
    }

    /// Hands what was recorded to the patients' index, and adds the index commit that a command asks for: the last of
    /// its entries. Readers of the index wait while what comes back is held.
    fn to_index<'v>(
        &self,
        view: &'v View,
        time: LedgerTimeMs,
        effects: &mut Effects,
    ) -> Result<Option<RwLockWriteGuard<'v, State>>, Fatal> {
        self.worker.hand(std::mem::take(&mut effects.recorded));
        let Some(uncovered) = effects.index_commit.take() else {
            return Ok(None);
        };
        let index = LeafIndex(view.head.size + effects.leaves.len() as u64);
        if view.head.commit.is_some_and(|last| last.get() + 1 == index.get()) {
            effects.outcomes.push(CommandOutcome::NothingNew);
            return Ok(None);
        }
        let changes = self.worker.commit()?;
        let mut state = view.index.write();
        let commit = state.commit(&changes, view.index.depth(), index, time);
        let entry = Entry::IndexCommit(commit).encode();
        let (entries, rows) = (view.store.family(Family::Entries), view.store.family(Family::Index));
        effects.writes.put_cf(entries, schema::index_key(index.get()), &entry);
        for (ikey, row) in &changes.rows {
            effects.writes.put_cf(rows, ikey.as_bytes(), row);
        }
        uncovered.cover(&view.store, index, &mut effects.writes);
        effects.leaves.push(leaf_hash(&entry));
        effects.outcomes.push(CommandOutcome::IndexCommitted { index, time_ms: time });
        self.shared.stats.index_committed();
        Ok(Some(state))
    }

    /// Writes the database as of [`Ledger::applied`] into `dir`, which does not exist yet; hard links where possible.
    /// Returns its (index, term).
    ///
    /// # Errors
    /// When it can't be written.
    pub fn checkpoint(&mut self, dir: &Path) -> Result<(u64, u64), Fatal> {
        self.shared.flush()?;
        let view = self.shared.view();
        Checkpoint::new(view.store.db())?.create_checkpoint(dir)?;
        Ok((view.head.applied_index, view.head.applied_term))
    }

    /// Replaces the database by the one in `dir`, which is moved away. It is checked before the switch: the same
    /// genesis, a tree whose root is the stored one, and every entry that this ledger has. After a crash at any moment the
    /// old or the new one is in use. Readers go on with the new one.
    ///
    /// # Errors
    /// [`Fatal::Snapshot`] when it isn't a ledger of this log, is older than this one, or has other entries.
    pub fn install(&mut self, dir: &Path) -> Result<(), Fatal> {
        let io = |source| Fatal::io(format!("installing the snapshot in {}", dir.display()), source);
        let old = self.shared.view();
        let folders = store::folders(&self.dir).map_err(io)?;
        let number = folders.last().map_or(0, |(number, _)| *number).max(old.generation) + 1;
        let name = store::folder_name(number);
        let target = self.dir.join(&name);
        store::move_dir(dir, &target).map_err(io)?;
        store::sync_tree(&target).map_err(io)?;
        store::sync_dir(&self.dir).map_err(io)?;
        let opened = open_checked(&target, &self.shared.genesis, &self.shared.options, old.head.applied_index);
        let opened = match opened.and_then(|opened| opened.check_extends(&old.head).map(|()| opened)) {
            Ok(opened) => opened,
            Err(error) => {
                fs::remove_dir_all(&target).map_err(io)?;
                return Err(Fatal::Snapshot(error));
            }
        };
        let view = opened.into_view(number);
        let worker = start_worker(&view, &self.shared.options).map_err(io)?;
        rebuild::hand_pending(&view.store, &view.head, &worker)?;
        store::set_current(&self.dir, &name).map_err(io)?;
        self.shared.switch(view);
        self.caches.clear();
        self.worker = worker;
        Ok(())
    }
}

impl CheckedDatabase {
    /// Checks that this database has every entry of another one. If it hasn't, the log has forked: whoever replaced the one by
    /// the other would lose acknowledged entries in silence.
    fn check_extends(&self, old: &HeadRow) -> Result<(), String> {
        let tree = TreeView::new(&self.tree, &self.store);
        let is_same = match old.size <= self.head.size {
            true => merkle::root(&tree, TreeSize(old.size)).map_err(|error| error.to_string())? == old.root,
            false => false,
        };
        if is_same {
            return Ok(());
        }
        Err(format!(
            "the log has forked: this node holds {} entries with the root {}, and the first ones of the snapshot, which holds {}, are others. Entries that were acknowledged are missing on one side. Keep the data folders of all nodes, and find the place with `sillage audit compare`",
            old.size, old.root, self.head.size
        ))
    }

    fn into_view(self, generation: u64) -> View {
        let commit = self.index.read().last().cloned();
        let (store, index) = (Arc::new(self.store), Arc::new(self.index));
        View { generation, store, head: self.head, level: self.level, tree: self.tree, index, commit }
    }
}

fn start_worker(view: &View, options: &Options) -> std::io::Result<Worker> {
    Worker::start(view.store.clone(), view.index.clone(), options)
}

/// Adds leaves; returns the new root and the tiles that became full.
fn grow(tree: &mut TreeBuilder, leaves: &[Hash], old: &HeadRow) -> (Hash, Vec<(TileCoord, Box<TileHashes>)>) {
    assert_eq!(tree.size().get(), old.size, "the tree is the one of the last command");
    if leaves.is_empty() {
        return (old.root, Vec::new());
    }
    let full = tree.append(leaves);
    (tree.root(), full)
}

fn put_tiles(store: &Store, full: &[(TileCoord, Box<TileHashes>)], writes: &mut WriteBatch) {
    let family = store.family(Family::Tiles);
    for (coord, hashes) in full {
        let key = schema::tile_key(coord.level, coord.index);
        writes.put_cf(family, key, tree::tile_bytes(hashes));
    }
}

fn open_checked(
    path: &Path,
    genesis: &GenesisInfo,
    options: &Options,
    applied: u64,
) -> Result<CheckedDatabase, String> {
    if !path.join("CURRENT").exists() {
        return Err("it holds no database".into());
    }
    let store = Store::open(path, options).map_err(|error| error.to_string())?;
    let opened = check_existing(store, path, genesis).map_err(|error| error.to_string())?;
    if opened.head.applied_index < applied {
        let index = opened.head.applied_index;
        return Err(format!("it is as of command {index}, older than {applied}, the last one applied here"));
    }
    Ok(opened)
}

fn open_current(dir: &Path, genesis: &GenesisInfo, options: &Options) -> Result<(u64, CheckedDatabase), OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let corrupt = |what: String| OpenError::Corrupt { dir: dir.to_owned(), what };
    let folders = store::folders(dir).map_err(io)?;
    let Some(name) = store::current(dir).map_err(io)? else {
        // Making a ledger ends with the pointer. Without one there is nothing, or one folder that may be half-made.
        let (number, name) = match folders.as_slice() {
            [] => (1, store::folder_name(1)),
            [one] => one.clone(),
            _ => return Err(corrupt("CURRENT-DB is missing beside several databases".into())),
        };
        let path = dir.join(&name);
        let opened = open_store(&path, options)?;
        let made = opened.head().map_err(|error| corrupt(error.to_string()))?;
        if made.is_none() {
            create(&opened, &path, genesis)?;
        }
        let opened = check_existing(opened, &path, genesis)?;
        store::sync_dir(dir).map_err(io)?;
        store::set_current(dir, &name).map_err(io)?;
        return Ok((number, opened));
    };
    let found = folders.iter().find(|(_, folder)| *folder == name);
    let (number, _) = found.ok_or_else(|| corrupt(format!("CURRENT-DB names {name}, which is missing")))?;
    let path = dir.join(&name);
    if !path.join("CURRENT").exists() {
        // RocksDB would make an empty database here.
        return Err(corrupt(format!("{name} holds no database")));
    }
    let opened = check_existing(open_store(&path, options)?, &path, genesis)?;
    Ok((*number, opened))
}

fn open_store(path: &Path, options: &Options) -> Result<Store, OpenError> {
    Store::open(path, options).map_err(|source| match source.kind() {
        rocksdb::ErrorKind::Corruption => OpenError::Corrupt { dir: path.to_owned(), what: source.to_string() },
        _ => OpenError::Store { dir: path.to_owned(), source },
    })
}

/// Writes entry 0 and whom the genesis registers, durably.
fn create(store: &Store, path: &Path, genesis: &GenesisInfo) -> Result<(), OpenError> {
    let failed = |source| OpenError::Store { dir: path.to_owned(), source };
    let mut overlay = Overlay::new(store);
    for party in &genesis.parties {
        let registered = acts::register(&mut overlay, genesis, party, LeafIndex(0));
        let registered = registered.and_then(|()| Ok(acts::pair_tags(&mut overlay, party)?));
        registered.map_err(|stop| match stop {
            Stop::Refused(refusal) => OpenError::Genesis(GenesisError(format!("party {:?}: {refusal}", party.name))),
            Stop::Failed(error) => OpenError::Corrupt { dir: path.to_owned(), what: error.to_string() },
            // Nothing is opened here.
            Stop::Kek(error) => OpenError::Corrupt { dir: path.to_owned(), what: error.to_string() },
        })?;
    }
    if let Some(rule) = &genesis.rule {
        overlay.begin_with_rule(rule);
    }
    for issuer in &genesis.issuers {
        let kept = crate::apply::will::put(&mut overlay, genesis, issuer);
        kept.map_err(|stop| {
            OpenError::Genesis(GenesisError(format!("issuer {:?}: {}", issuer.url, refused_as(stop))))
        })?;
    }
    let entry = Entry::LedgerEvent(LedgerEvent {
        index: LeafIndex(0),
        time: LedgerTimeMs(genesis.created_ms),
        kind: Kind::GENESIS,
        body: genesis.bytes.clone(),
    })
    .encode();
    let mut tree = TreeBuilder::new();
    tree.append(&[leaf_hash(&entry)]);
    let head = HeadRow {
        applied_index: 0,
        applied_term: 0,
        time: LedgerTimeMs(genesis.created_ms),
        size: 1,
        root: tree.root(),
        commit: None,
    };
    let mut writes = WriteBatch::default();
    overlay.write_into(&mut writes);
    writes.put_cf(store.family(Family::Entries), schema::index_key(0), &entry);
    let meta = store.family(Family::Meta);
    writes.put_cf(meta, schema::META_LAYOUT, LAYOUT.to_be_bytes());
    if genesis.feature_level > 1 {
        writes.put_cf(meta, schema::META_LEVEL, genesis.feature_level.to_be_bytes());
    }
    writes.put_cf(meta, schema::META_GENESIS, &genesis.bytes);
    writes.put_cf(meta, schema::META_HEAD, head.encode());
    store.write(writes).map_err(failed)?;
    store.flush().map_err(failed)
}

fn refused_as(stop: Stop) -> String {
    match stop {
        Stop::Refused(refusal) => refusal.to_string(),
        Stop::Failed(error) => error.to_string(),
        Stop::Kek(error) => error.to_string(),
    }
}

/// Checks a database against the genesis and against itself.
fn check_existing(store: Store, path: &Path, genesis: &GenesisInfo) -> Result<CheckedDatabase, OpenError> {
    let corrupt = |what: String| OpenError::Corrupt { dir: path.to_owned(), what };
    let meta = |key| {
        let value = store.get(Family::Meta, key);
        value.map_err(|error| corrupt(error.to_string()))
    };
    let layout = meta(schema::META_LAYOUT)?.and_then(|bytes| bytes.try_into().ok());
    let layout = layout.map(u32::from_be_bytes);
    let found = layout.ok_or_else(|| corrupt("the layout number is missing".into()))?;
    if found != LAYOUT {
        return Err(OpenError::Layout { dir: path.to_owned(), found, known: LAYOUT });
    }
    match meta(schema::META_GENESIS)? {
        Some(bytes) if bytes == genesis.bytes => {}
        Some(_) => return Err(OpenError::OtherLog(path.to_owned())),
        None => return Err(corrupt("the genesis is missing".into())),
    }
    let head = store.head().map_err(|error| corrupt(error.to_string()))?;
    let head = head.ok_or_else(|| corrupt("the applied index is missing".into()))?;
    let level = store.feature_level().map_err(|error| corrupt(error.to_string()))?;
    if level > FEATURE_LEVEL {
        return Err(OpenError::FeatureLevel { dir: path.to_owned(), found: level, known: FEATURE_LEVEL });
    }
    let tree = tree::resume(&store, &head).map_err(|error| corrupt(error.to_string()))?;
    let index = rebuild::open(&store, &head, &tree, genesis.index_depth);
    let index = index.map_err(|error| corrupt(error.to_string()))?;
    Ok(CheckedDatabase { store, head, level, tree, index })
}
