//! This node's own cosignatures, and what it must have seen before it cosigns.
//!
//! Three rules, each kept across crashes: never a smaller size, never a second root for a size, and no size before every
//! batch signature below it was verified here. (size, root) is durable in the Raft store before a signature leaves.

use sillage_ledger::{BatchFault, LedgerReader, ReadError};
use sillage_proof::{Hash, LeafIndex};

/// Where the Raft store keeps what was cosigned.
const COSIGNED_NOTE: &[u8] = b"cosigned";
/// Where it keeps why this node serves nothing more.
pub const CORRUPT_NOTE: &[u8] = b"corrupt";
/// Where it keeps a late checkpoint, so that all nodes restarted at once still remember one.
pub const CHECKPOINT_NOTE: &[u8] = b"checkpoint";
/// By so much, in seconds, the time of a cosignature may be ahead of the clock that makes it: a clock that was set back
/// a little waits for its old time. A time further ahead was wrong, and time comes back at once.
pub const COMES_BACK_S: u64 = 60;
const VERSION: u8 = 1;
const ENCODED_LEN: usize = 1 + 8 + 32 + 8 + 8;
/// Batches verified in one piece of work.
pub const STEP_BATCHES: usize = 128;

/// Small values that survive a crash; the replica keeps them.
pub trait Notes: Send + Sync + 'static {
    /// The durable value.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Replaces it; `done` is called when that is durable. May wait for the disk.
    fn put(&self, key: &[u8], value: Vec<u8>, done: Box<dyn FnOnce() + Send>);
}

/// The highest checkpoint that this node cosigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cosigned {
    /// Its size; 0: none yet.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Every batch signature among the first so many entries was verified by this node.
    pub verified_to: u64,
    /// The time of the last cosignature, in seconds since 1970.
    pub time_s: u64,
}

/// Why a cosignature can't be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Never {
    /// A larger size was cosigned.
    Smaller {
        /// That size.
        cosigned: u64,
    },
    /// This size was cosigned with another root.
    OtherRoot,
}

/// The bytes on disk aren't those that this program writes there.
#[derive(Debug, thiserror::Error)]
#[error(
    "what this node has noted of its cosignatures and checkpoints can't be read: replace this node (`sillage cluster member replace ID`)"
)]
pub struct Unreadable;

impl Cosigned {
    /// The content on disk.
    ///
    /// # Errors
    /// When it can't be understood.
    pub fn load(notes: &dyn Notes) -> Result<Self, Unreadable> {
        match notes.get(COSIGNED_NOTE) {
            None => Ok(Self::default()),
            Some(bytes) => Self::decode(&bytes).ok_or(Unreadable),
        }
    }

    /// Writes it to disk; `done` is called when it is there.
    pub fn store(&self, notes: &dyn Notes, done: Box<dyn FnOnce() + Send>) {
        notes.put(COSIGNED_NOTE, self.encode(), done);
    }

    /// The content after `size` with `root` was cosigned at `now_s`. Time doesn't go back, but from a clock that ran ahead
    /// by more than [`COMES_BACK_S`].
    ///
    /// # Errors
    /// When that must never be signed.
    pub fn next(&self, size: u64, root: Hash, now_s: u64) -> Result<Self, Never> {
        if size < self.size {
            return Err(Never::Smaller { cosigned: self.size });
        }
        if size == self.size && root != self.root {
            return Err(Never::OtherRoot);
        }
        let ran_ahead = self.time_s > now_s.saturating_add(COMES_BACK_S);
        let time_s = if ran_ahead { now_s } else { self.time_s.max(now_s) };
        Ok(Self { size, root, verified_to: self.verified_to, time_s })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENCODED_LEN);
        out.push(VERSION);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.extend_from_slice(&self.verified_to.to_be_bytes());
        out.extend_from_slice(&self.time_s.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (size, rest) = rest.split_first_chunk()?;
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (verified_to, rest) = rest.split_first_chunk()?;
        let time_s = rest.try_into().ok()?;
        Some(Self {
            size: u64::from_be_bytes(*size),
            root: Hash::from(*root),
            verified_to: u64::from_be_bytes(*verified_to),
            time_s: u64::from_be_bytes(time_s),
        })
    }
}

/// Why verifying doesn't go on.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// A batch isn't its author's.
    #[error(transparent)]
    Batch(BatchFault),
    /// The log isn't laid out as this program lays it out.
    #[error("entry {0} can't stand where it stands")]
    Layout(LeafIndex),
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<BatchFault> for Unverified {
    fn from(fault: BatchFault) -> Self {
        match fault {
            BatchFault::Read(error) => Self::Read(error),
            BatchFault::NoHeader(index) => Self::Layout(index),
            fault => Self::Batch(fault),
        }
    }
}

/// Verifies at most [`STEP_BATCHES`] batches from entry `from` on, which isn't in the middle of a batch, up to `size`.
/// Gives where to go on: `size` when all are verified.
///
/// # Errors
/// At the first batch that its author didn't sign.
pub fn verify_step(reader: &LedgerReader, from: u64, size: u64) -> Result<u64, Unverified> {
    let mut verifier = reader.batch_verifier();
    let mut at = from;
    for _ in 0..STEP_BATCHES {
        if at >= size {
            break;
        }
        at = verifier.verify_next(LeafIndex(at))?.get();
    }
    match at > size {
        // A checkpoint never ends within a batch.
        true => Err(Unverified::Layout(LeafIndex(size))),
        false => Ok(at),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;

    /// Durable at once.
    #[derive(Debug, Default)]
    pub(crate) struct Disk(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

    impl Notes for Disk {
        fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
            self.0.lock().get(key).cloned()
        }

        fn put(&self, key: &[u8], value: Vec<u8>, done: Box<dyn FnOnce() + Send>) {
            self.0.lock().insert(key.to_vec(), value);
            done();
        }
    }

    fn root(byte: u8) -> Hash {
        Hash::from([byte; 32])
    }

    #[test]
    fn a_smaller_size_and_a_second_root_are_never_signed() {
        let first = Cosigned::default().next(10, root(1), 100).expect("the first");
        assert_eq!(first.next(9, root(1), 101), Err(Never::Smaller { cosigned: 10 }));
        assert_eq!(first.next(10, root(2), 101), Err(Never::OtherRoot));
        let again = first.next(10, root(1), 160).expect("the same again");
        assert_eq!(again.time_s, 160);
        let clock_back = again.next(11, root(2), 150).expect("a larger one");
        assert_eq!((clock_back.size, clock_back.time_s), (11, 160), "a clock that is set right a little waits");
    }

    #[test]
    fn a_clock_that_ran_ahead_for_a_moment_does_not_stay_in_later_cosignatures() {
        let year_s = 31_536_000;
        let right = Cosigned::default().next(10, root(1), 1_000).expect("the first");
        let ahead = right.next(11, root(2), 1_000 + year_s).expect("a larger one");
        let back = ahead.next(11, root(2), 1_060).expect("the same again");
        assert_eq!(back.time_s, 1_060);
        assert_eq!(back.next(12, root(3), 1_061).expect("a larger one").time_s, 1_061);
    }

    #[test]
    fn what_was_cosigned_survives_and_rot_is_not_taken_for_nothing() {
        let disk = Disk::default();
        assert_eq!(Cosigned::load(&disk).expect("nothing yet"), Cosigned::default());
        let cosigned = Cosigned { size: 7, root: root(3), verified_to: 7, time_s: 9 };
        cosigned.store(&disk, Box::new(|| ()));
        assert_eq!(Cosigned::load(&disk).expect("as stored"), cosigned);
        disk.put(COSIGNED_NOTE, vec![1, 2, 3], Box::new(|| ()));
        assert!(Cosigned::load(&disk).is_err());
    }

    proptest! {
        #[test]
        fn any_state_is_read_back(size: u64, byte: u8, verified_to: u64, time_s: u64) {
            let cosigned = Cosigned { size, root: root(byte), verified_to, time_s };
            prop_assert_eq!(Cosigned::decode(&cosigned.encode()), Some(cosigned));
        }

        #[test]
        fn sizes_only_grow(sizes in proptest::collection::vec((0_u64..20, 0_u8..3), 0..40)) {
            let (mut state, mut signed) = (Cosigned::default(), BTreeMap::new());
            for (size, byte) in sizes {
                if let Ok(next) = state.next(size, root(byte), 0) {
                    prop_assert!(next.size >= state.size);
                    prop_assert_eq!(*signed.entry(size).or_insert(byte), byte);
                    state = next;
                }
            }
        }
    }
}
