//! Room on the disk: a node stops taking what is new before the disk is full, not when it is.
//!
//! ```text
//! free ≥ reserve                     all is well
//! low:   free < reserve              a leader takes nothing new and lets another node lead; what others record is followed
//! out:   free < reserve / 2, or less than the next segment of the Raft log takes
//!                                    nothing more is followed either: what is acknowledged must find room
//! ```
//!
//! A Raft log that meets a full disk ends the process, and a process that meets a full disk may not start again. When there is
//! room again, with an eighth to spare, the node goes on by itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::NodeConfig;

/// Beyond a segment: headers, notes, and what RocksDB writes beside.
const BESIDE_BYTES: u64 = 8 << 20;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    Enough = 0,
    /// Nothing new is taken.
    Low = 1,
    /// Nothing is taken at all.
    Out = 2,
}

/// Watches the disk under one folder.
#[derive(Debug)]
pub struct DiskRoom {
    dir: PathBuf,
    low_bytes: u64,
    out_bytes: u64,
    level: AtomicU8,
}

impl DiskRoom {
    /// Of the data of a node.
    pub fn new(config: &NodeConfig) -> Self {
        let segment = config.raft.segment_bytes + BESIDE_BYTES;
        let low_bytes = config.limits.disk_reserve_bytes.max(segment + BESIDE_BYTES);
        let out_bytes = (low_bytes / 2).max(segment);
        Self { dir: config.data_dir.clone(), low_bytes, out_bytes, level: AtomicU8::new(Level::Enough as u8) }
    }

    /// Tells whether nothing new may be taken.
    pub fn is_low(&self) -> bool {
        self.level.load(Ordering::Acquire) >= Level::Low as u8
    }

    /// Tells whether nothing may be taken at all.
    pub fn is_out(&self) -> bool {
        self.level.load(Ordering::Acquire) == Level::Out as u8
    }

    /// Looks at the disk; says what there is where it is low. A disk that can't be asked is as it was.
    pub fn look(&self) -> Option<String> {
        match free_bytes(&self.dir) {
            Ok(free) => self.found(free),
            Err(error) => {
                tracing::warn!(%error, "can't ask how much room is on the disk");
                self.is_low().then(|| error.to_string())
            }
        }
    }

    fn found(&self, free: u64) -> Option<String> {
        // What has run out comes back a little later, so that a node doesn't waver.
        let back = |bytes: u64| bytes + bytes / 8;
        let is_below = |bytes, was_below| free < if was_below { back(bytes) } else { bytes };
        let level = match (is_below(self.out_bytes, self.is_out()), is_below(self.low_bytes, self.is_low())) {
            (true, _) => Level::Out,
            (false, true) => Level::Low,
            (false, false) => Level::Enough,
        };
        self.level.store(level as u8, Ordering::Release);
        (level > Level::Enough).then(|| {
            let mib = |bytes: u64| bytes >> 20;
            let (free, low, dir) = (mib(free), mib(self.low_bytes), self.dir.display());
            format!("{free} MiB are free under {dir}, and {low} MiB must be (limits.disk_reserve_bytes)")
        })
    }
}

/// The bytes that this user may still write.
fn free_bytes(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> DiskRoom {
        let (low_bytes, out_bytes) = (128 << 20, 72 << 20);
        DiskRoom { dir: "/".into(), low_bytes, out_bytes, level: AtomicU8::new(0) }
    }

    #[test]
    fn a_node_takes_nothing_new_below_the_reserve_and_goes_on_above_it() {
        let room = room();
        assert_eq!((room.found(128 << 20), room.is_low()), (None, false));
        let found = room.found(127 << 20).expect("low");
        assert!(found.contains("127 MiB are free under /") && room.is_low() && !room.is_out(), "{found}");
        room.found(71 << 20);
        assert!(room.is_low() && room.is_out(), "the next segment of the Raft log wouldn't fit");
        room.found(73 << 20);
        assert!(room.is_out(), "it doesn't waver");
        room.found(90 << 20);
        assert!(room.is_low() && !room.is_out());
        assert!(room.found(130 << 20).is_some());
        assert_eq!((room.found(145 << 20), room.is_low()), (None, false));
    }

    #[test]
    fn the_disk_of_a_folder_is_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(free_bytes(dir.path()).expect("a disk") > 0);
        assert!(free_bytes(&dir.path().join("nothing")).is_err());
    }
}
