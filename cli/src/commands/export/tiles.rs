//! `export tiles`: the log as static files, exactly as c2sp.org/tlog-tiles lays them out.
//!
//! The second level of tiles says what the root of each tile of the first one must be: so a file of an earlier run is
//! known to be right or wrong before it is kept, and the root over all of them must be the checkpoint's at the end.
//! The checkpoint is written last: a folder that was cut short shows the one that it had before.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sillage_audit::fetch;
use sillage_client::checks::{self, failed};
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::merkle;
use sillage_proof::note::SignedNote;
use sillage_proof::tile::{
    TILE_LEVELS, TILE_WIDTH, TileCoord, TilePath, TreeBuilder, decode_entry_bundle, decode_hash_tile,
    encode_entry_bundle, encode_hash_tile,
};
use sillage_proto::v1::{GetTileRequest, LogEntry};
use tokio::task::JoinSet;

use crate::commands::export::ExportCommand;
use crate::{Context, Ended, output};

/// Tiles asked for at once.
const AT_ONCE: u64 = 16;
/// How long entries may not come before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const CHECKPOINT_FILE: &str = "checkpoint";

pub async fn run(context: &Context, command: ExportCommand) -> Result<Ended, ClientError> {
    let ExportCommand::Tiles { dir, entries } = command;
    let session = context.session().await?;
    let newest = checks::checkpoint(&session).await?;
    check_folder(&dir, &newest.checkpoint)?;
    let mut export = Export { dir, written: 0, kept: 0 };
    let tree = export.tiles(&session, newest.checkpoint.size.get()).await?;
    if tree.root() != newest.checkpoint.root {
        let why = "the tiles aren't those of the checkpoint: ask another node, and keep both as evidence";
        return Err(failed(why));
    }
    export.partials(&tree)?;
    if entries {
        export.entries(&session, &tree).await?;
    }
    let checkpoint = newest.note.to_string();
    export.put(&export.dir.join(CHECKPOINT_FILE), checkpoint.as_bytes(), Kept::ByAll)?;
    let Export { dir, written, kept } = export;
    let size = tree.size().get();
    output::line(&format!("{}: {size} entries; {written} files written, {kept} kept", dir.display()))?;
    Ok(Ended::Done)
}

/// A folder that holds another log, or more of this one, is left alone.
fn check_folder(dir: &Path, newest: &Checkpoint) -> Result<(), ClientError> {
    let path = dir.join(CHECKPOINT_FILE);
    let before = match fs::read(&path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ClientError::reading(&path, error)),
    };
    let note = SignedNote::parse(&before).map_err(|error| ClientError::reading(&path, error))?;
    let before = Checkpoint::parse(note.text()).map_err(|error| ClientError::reading(&path, error))?;
    if before.origin != newest.origin {
        let (before, path) = (before.origin, path.display());
        return Err(ClientError::Usage(format!("{path} is of another log ({before}): choose another folder")));
    }
    match before.size <= newest.size {
        true => Ok(()),
        false => Err(failed("the folder's checkpoint covers more than the newest one: ask another node")),
    }
}

/// The readers of a file.
#[derive(Clone, Copy)]
enum Kept {
    ByAll,
    /// Entries are health data.
    ByOwner,
}

struct Export {
    dir: PathBuf,
    written: u64,
    kept: u64,
}

impl Export {
    /// Writes the full tiles of a log of `size` entries, and returns its tree.
    async fn tiles(&mut self, session: &Session, size: u64) -> Result<TreeBuilder, ClientError> {
        let mut tree = TreeBuilder::new();
        let width = TILE_WIDTH as u64;
        let full = size / width;
        for group in 0..full.div_ceil(width) {
            let first = group * width;
            let count = (full - first).min(width);
            let roots = TileCoord { level: 1, index: group, width: narrow(count) };
            let roots = fetch_tile(session, roots).await?;
            for at in (0..count).step_by(usize::try_from(AT_ONCE).expect("16")) {
                let end = (at + AT_ONCE).min(count);
                let some = roots.get(index(at)..index(end)).unwrap_or_default();
                for tile in self.some_tiles(session, first + at, some).await? {
                    for (coord, hashes) in tree.append(&tile) {
                        self.put_tile(coord, &hashes[..])?;
                    }
                }
            }
        }
        let rest = narrow(size % width);
        if rest > 0 {
            tree.append(&fetch_tile(session, TileCoord { level: 0, index: full, width: rest }).await?);
        }
        Ok(tree)
    }

    /// Full tiles of the first level from `first` on, one for each of `roots`: from the folder where they are right, else
    /// from the ledger.
    async fn some_tiles(
        &mut self,
        session: &Session,
        first: u64,
        roots: &[Hash],
    ) -> Result<Vec<Vec<Hash>>, ClientError> {
        let mut tiles: Vec<Option<Vec<Hash>>> = Vec::with_capacity(roots.len());
        let mut asked = JoinSet::new();
        for ((root, index), place) in roots.iter().zip(first..).zip(0_usize..) {
            let coord = TileCoord::full(0, index);
            let there = fs::read(self.dir.join(coord.path())).ok().and_then(|bytes| decode_hash_tile(&bytes).ok());
            let there = there.filter(|tile| tile.len() == TILE_WIDTH && merkle::root_of(tile) == *root);
            if there.is_none() {
                let client = session.client.clone();
                asked.spawn(async move { (place, ask_tile(&client, coord).await) });
            }
            tiles.push(there);
        }
        while let Some(answer) = asked.join_next().await {
            let (place, tile) = answer.map_err(|error| ClientError::Unavailable(error.to_string()))?;
            let tile = tile?;
            if roots.get(place) != Some(&merkle::root_of(&tile)) {
                return Err(failed("a tile doesn't hash to what the tile above it says: ask another node"));
            }
            if let Some(missing) = tiles.get_mut(place) {
                *missing = Some(tile);
            }
        }
        Ok(tiles.into_iter().flatten().collect())
    }

    /// Writes a full tile unless it is there; the partial ones that led to it go.
    fn put_tile(&mut self, coord: TileCoord, hashes: &[Hash]) -> Result<(), ClientError> {
        let path = self.dir.join(coord.path());
        let bytes = encode_hash_tile(hashes).expect("a tile of the tree has 1 to 256 hashes");
        self.put(&path, &bytes, Kept::ByAll)?;
        remove_partials(&path)
    }

    /// Writes the partial tiles at the right edge.
    fn partials(&mut self, tree: &TreeBuilder) -> Result<(), ClientError> {
        for level in 0..TILE_LEVELS {
            let hashes = tree.partial(level);
            if hashes.is_empty() {
                continue;
            }
            let width = u16::try_from(hashes.len()).expect("fewer than 256");
            let coord = TileCoord { level, index: tree.full_tiles(level), width };
            let bytes = encode_hash_tile(hashes).expect("1 to 255 hashes");
            self.put(&self.dir.join(coord.path()), &bytes, Kept::ByAll)?;
        }
        Ok(())
    }

    /// Writes the entry bundles that aren't there or are wrong, in runs: the ledger puts each call on record.
    async fn entries(&mut self, session: &Session, tree: &TreeBuilder) -> Result<(), ClientError> {
        let (size, width) = (tree.size().get(), TILE_WIDTH as u64);
        let bundles = size.div_ceil(width);
        let mut bundle = 0;
        while bundle < bundles {
            if self.has_bundle(tree, bundle)? {
                self.kept += 1;
                bundle += 1;
                continue;
            }
            let mut end = bundle + 1;
            while end < bundles && !self.has_bundle(tree, end)? {
                end += 1;
            }
            self.fetch_bundles(session, tree, bundle, end).await?;
            bundle = end;
        }
        Ok(())
    }

    async fn fetch_bundles(
        &mut self,
        session: &Session,
        tree: &TreeBuilder,
        first: u64,
        end: u64,
    ) -> Result<(), ClientError> {
        let (size, width) = (tree.size().get(), TILE_WIDTH as u64);
        let range = (first * width, (end * width).min(size));
        let (mut waiting, mut bundle, mut outcome) = (Vec::new(), first, Ok(()));
        fetch::entries(session, range, PATIENCE, async |entries: Vec<LogEntry>| {
            waiting.extend(entries.into_iter().map(|entry| entry.entry));
            while outcome.is_ok() && bundle < end {
                let count = index((size - bundle * width).min(width));
                if waiting.len() < count {
                    break;
                }
                let rest = waiting.split_off(count);
                outcome = self.put_bundle(tree, bundle, &std::mem::replace(&mut waiting, rest));
                bundle += 1;
            }
            outcome.is_ok()
        })
        .await?;
        outcome?;
        match bundle == end {
            true => Ok(()),
            false => Err(failed("the ledger gave fewer entries than its checkpoint covers: ask another node")),
        }
    }

    fn put_bundle(&mut self, tree: &TreeBuilder, bundle: u64, entries: &[Vec<u8>]) -> Result<(), ClientError> {
        if !self.is_right(tree, bundle, entries)? {
            let first = bundle * TILE_WIDTH as u64;
            return Err(failed(&format!("entries from {first} on aren't those of the tile: ask another node")));
        }
        let bytes = encode_entry_bundle(entries).map_err(|error| failed(&error.to_string()))?;
        let path = self.bundle_path(bundle, entries.len());
        self.put(&path, &bytes, Kept::ByOwner)?;
        if entries.len() == TILE_WIDTH { remove_partials(&path) } else { Ok(()) }
    }

    fn has_bundle(&self, tree: &TreeBuilder, bundle: u64) -> Result<bool, ClientError> {
        let width = index((tree.size().get() - bundle * TILE_WIDTH as u64).min(TILE_WIDTH as u64));
        let Ok(bytes) = fs::read(self.bundle_path(bundle, width)) else {
            return Ok(false);
        };
        match decode_entry_bundle(&bytes) {
            Ok(entries) => self.is_right(tree, bundle, &entries),
            Err(_) => Ok(false),
        }
    }

    fn is_right<E: AsRef<[u8]>>(&self, tree: &TreeBuilder, bundle: u64, entries: &[E]) -> Result<bool, ClientError> {
        let hashes = entries.iter().map(|entry| leaf_hash(entry.as_ref()));
        if bundle == tree.full_tiles(0) {
            return Ok(hashes.eq(tree.partial(0).iter().copied()));
        }
        let path = self.dir.join(TileCoord::full(0, bundle).path());
        let tile = fs::read(&path).map_err(|error| ClientError::reading(&path, error))?;
        let tile = decode_hash_tile(&tile).map_err(|error| ClientError::reading(&path, error))?;
        Ok(hashes.eq(tile))
    }

    fn bundle_path(&self, bundle: u64, width: usize) -> PathBuf {
        self.dir.join(TilePath::Entries { index: bundle, width: narrow(width as u64) }.to_string())
    }

    /// Writes a file, whole or not at all, unless it says the same already.
    fn put(&mut self, path: &Path, bytes: &[u8], kept: Kept) -> Result<(), ClientError> {
        if fs::read(path).is_ok_and(|there| there == bytes) {
            self.kept += 1;
            return Ok(());
        }
        let wrong = |error: std::io::Error| ClientError::writing(path, error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(wrong)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mode = match kept {
            Kept::ByAll => 0o644,
            Kept::ByOwner => 0o600,
        };
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new).map_err(wrong)?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(wrong)?;
        fs::rename(&new, path).map_err(wrong)?;
        self.written += 1;
        Ok(())
    }
}

/// Removes the folder `<N>.p` beside the full tile `<N>`.
fn remove_partials(full: &Path) -> Result<(), ClientError> {
    let mut name = full.as_os_str().to_owned();
    name.push(".p");
    let folder = PathBuf::from(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ClientError::writing(&folder, error)),
        _ => Ok(()),
    }
}

async fn fetch_tile(session: &Session, coord: TileCoord) -> Result<Vec<Hash>, ClientError> {
    ask_tile(&session.client, coord).await
}

async fn ask_tile(client: &sillage_client::channel::Client, coord: TileCoord) -> Result<Vec<Hash>, ClientError> {
    let request = GetTileRequest { level: coord.level.into(), index: coord.index, width: coord.width.into() };
    let answer = client.call(|mut rpc| async move { rpc.get_tile(request).await }).await?;
    let tile = decode_hash_tile(&answer.hashes).map_err(|error| failed(&error.to_string()))?;
    match tile.len() == usize::from(coord.width) {
        true => Ok(tile),
        false => Err(failed("the ledger gave a tile of another width: ask another node")),
    }
}

/// A number that is at most the width of a tile.
fn narrow(width: u64) -> u16 {
    u16::try_from(width).expect("at most 256")
}

/// A place in a tile.
fn index(place: u64) -> usize {
    usize::try_from(place).expect("at most 256")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::TreeSize;
    use sillage_proof::batch::Origin;

    fn checkpoint(origin: &str, size: u64) -> Checkpoint {
        let origin = Origin::new(origin).expect("an origin");
        Checkpoint { origin, size: TreeSize(size), root: Hash::from([7; 32]) }
    }

    #[test]
    fn files_are_written_once_and_partial_tiles_go_when_the_tile_is_full() {
        let temp = tempfile::tempdir().expect("a folder");
        let mut export = Export { dir: temp.path().to_owned(), written: 0, kept: 0 };
        let leaves: Vec<Hash> = (0..300_u16).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut tree = TreeBuilder::new();
        tree.append(&leaves[..200]);
        export.partials(&tree).expect("written");
        assert!(temp.path().join("tile/0/000.p/200").exists());
        for (coord, hashes) in tree.append(&leaves[200..]) {
            export.put_tile(coord, &hashes[..]).expect("written");
        }
        export.partials(&tree).expect("written");
        assert!(!temp.path().join("tile/0/000.p").exists());
        let files = ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"];
        assert!(files.iter().all(|file| temp.path().join(file).exists()));
        let written = export.written;
        export.partials(&tree).expect("there");
        assert_eq!((export.written, export.kept), (written, 2));
        let entries: Vec<Vec<u8>> = (256..300_u16).map(|i| i.to_be_bytes().to_vec()).collect();
        assert!(!export.has_bundle(&tree, 1).expect("read"));
        export.put_bundle(&tree, 1, &entries).expect("right");
        assert!(export.has_bundle(&tree, 1).expect("read"));
        assert!(matches!(export.put_bundle(&tree, 0, &entries), Err(ClientError::Check(_))));
    }

    #[test]
    fn the_folder_of_another_log_or_of_more_is_left_alone() {
        let temp = tempfile::tempdir().expect("a folder");
        assert!(check_folder(temp.path(), &checkpoint("a.example", 5)).is_ok());
        let key = sillage_proof::keys::SigningKey::from_seed(&[1; 32]);
        let kind = sillage_proof::note::KeyKind::Ed25519;
        let key = sillage_proof::note::SignerKey::new("a.example", kind, key).expect("a name");
        let note = checkpoint("a.example", 5).sign(&[&key], 0).expect("signed").to_string();
        fs::write(temp.path().join(CHECKPOINT_FILE), note).expect("written");
        assert!(check_folder(temp.path(), &checkpoint("a.example", 5)).is_ok());
        assert!(matches!(check_folder(temp.path(), &checkpoint("a.example", 4)), Err(ClientError::Check(_))));
        assert!(matches!(check_folder(temp.path(), &checkpoint("b.example", 9)), Err(ClientError::Usage(_))));
    }
}
