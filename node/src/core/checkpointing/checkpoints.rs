//! The checkpoints that this node can give: finished ones, kept by size, with every cosignature that they got.
//!
//! A checkpoint is finished when the log's key has signed it over a majority of nodes; [`super::rounds`] makes them and
//! [`super::cosigners`] verifies those of others. Learning one twice, in any order, from anyone, ends in the same: the
//! union of the cosignatures, the latest of each key.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sillage_proof::Hash;
use sillage_proof::note::SignedNote;
use tokio::sync::watch;

use super::cosigners::{Verified, keep_latest};
use crate::core::now_ms;

/// Notes kept, by size.
const NOTES_MAX: usize = 1_024;

/// A checkpoint and its note.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note: the log's signature, then the cosignatures by name.
    pub note: String,
    verified: Verified,
}

impl Signed {
    /// Its content, and the node that sent it.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Tells whether a key of this name has cosigned it.
    pub fn is_cosigned_by(&self, name: &str) -> bool {
        self.verified.cosignatures.keys().any(|(key, _)| key == name)
    }

    /// The latest time of a cosignature, in seconds since 1970.
    pub fn time_s(&self) -> u64 {
        self.verified.cosignatures.values().map(|one| one.time_s).max().unwrap_or(0)
    }

    fn new(verified: Verified) -> Self {
        let lines = verified.cosignatures.values().map(|one| one.line.clone());
        let lines = std::iter::once(verified.log.clone()).chain(lines).collect();
        let note = SignedNote::new(verified.checkpoint.to_text(), lines);
        let note = note.expect("a checkpoint's text, and no more lines than a note has").to_string();
        Self { size: verified.checkpoint.size.get(), root: verified.checkpoint.root, note, verified }
    }
}

/// Two finished checkpoints of one size with two roots: somebody holds keys that they must not, or is broken.
#[derive(Debug, thiserror::Error)]
#[error("two checkpoints of size {size} have different roots: {known} and {other}")]
pub struct Split {
    /// The size.
    pub size: u64,
    /// The root that is kept.
    pub known: Hash,
    /// The other one.
    pub other: Hash,
}

/// See the module.
#[derive(Debug)]
pub struct Checkpoints {
    by_size: Mutex<BTreeMap<u64, Arc<Signed>>>,
    newest: watch::Sender<Option<Arc<Signed>>>,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { by_size: Mutex::default(), newest: watch::Sender::new(None) }
    }
}

impl Checkpoints {
    /// The newest one.
    pub fn newest(&self) -> Option<Arc<Signed>> {
        self.newest.borrow().clone()
    }

    /// Shows the newest one, and each change of it: a larger one, or more cosignatures.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.newest.subscribe()
    }

    /// All, by size.
    pub fn kept(&self) -> Vec<Arc<Signed>> {
        self.by_size.lock().values().cloned().collect()
    }

    /// The one of exactly this size, where it is kept.
    pub fn of_size(&self, size: u64) -> Option<Arc<Signed>> {
        self.by_size.lock().get(&size).cloned()
    }

    /// The newest of at least `size_min` that all keys of these names have cosigned.
    pub fn cosigned_by(&self, names: &[String], size_min: u64) -> Option<Arc<Signed>> {
        let by_size = self.by_size.lock();
        let mut kept = by_size.range(size_min..).rev().map(|(_, signed)| signed);
        kept.find(|signed| names.iter().all(|name| signed.is_cosigned_by(name))).cloned()
    }

    /// Keeps a checkpoint whose root is the own tree's, or adds its cosignatures to what is kept.
    ///
    /// # Errors
    /// When another root is kept for its size.
    pub fn keep(&self, verified: Verified) -> Result<Arc<Signed>, Split> {
        let mut by_size = self.by_size.lock();
        let size = verified.checkpoint.size.get();
        let signed = match by_size.get(&size) {
            None => Arc::new(Signed::new(verified)),
            Some(known) if known.root != verified.checkpoint.root => {
                return Err(Split { size, known: known.root, other: verified.checkpoint.root });
            }
            Some(known) => {
                let mut merged = known.verified.clone();
                let mut changed = false;
                for cosignature in verified.cosignatures.into_values() {
                    changed |= keep_latest(&mut merged.cosignatures, cosignature, now_ms() / 1_000);
                }
                if !changed {
                    return Ok(Arc::clone(known));
                }
                Arc::new(Signed::new(merged))
            }
        };
        by_size.insert(size, Arc::clone(&signed));
        if by_size.len() > NOTES_MAX {
            by_size.pop_first();
        }
        self.newest.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| size >= newest.size);
            if newer {
                *newest = Some(Arc::clone(&signed));
            }
            newer
        });
        Ok(signed)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::core::checkpointing::cosigners::{Cosignature, Cosignatures, Who};
    use sillage_proof::TreeSize;
    use sillage_proof::batch::Origin;
    use sillage_proof::checkpoint::Checkpoint;
    use sillage_proof::note::NoteSignature;

    fn line(name: &str, time_s: u64) -> NoteSignature {
        NoteSignature { name: name.to_owned(), key_id: 7, signature: time_s.to_be_bytes().to_vec() }
    }

    /// Of a log `ledger.example/test`; its lines verify nowhere.
    pub(crate) fn checkpoint(size: u64, root: u8, cosigned: &[(&str, u64)]) -> Verified {
        let mut cosignatures = Cosignatures::new();
        for (name, time_s) in cosigned {
            let line = line(name, *time_s);
            keep_latest(&mut cosignatures, Cosignature { who: Who::Witness, time_s: *time_s, line }, 1_000_000);
        }
        let origin = Origin::new("ledger.example/test").expect("valid");
        let checkpoint = Checkpoint { origin, size: TreeSize(size), root: Hash::from([root; 32]) };
        Verified { checkpoint, log: line("ledger.example/test", 0), cosignatures }
    }

    #[test]
    fn cosignatures_gather_in_any_order_and_the_latest_of_each_key_stays() {
        let [a, b] = [Checkpoints::default(), Checkpoints::default()];
        let notes = [
            checkpoint(5, 1, &[("w1", 10)]),
            checkpoint(5, 1, &[("w2", 11)]),
            checkpoint(5, 1, &[("w1", 60), ("w3", 9)]),
        ];
        for note in notes.clone() {
            a.keep(note).expect("one root");
        }
        for note in notes.into_iter().rev() {
            b.keep(note).expect("one root");
        }
        let kept = a.newest().expect("kept");
        assert_eq!(kept, b.newest().expect("kept"));
        assert_eq!(kept.time_s(), 60);
        let lines: Vec<_> = kept.note.lines().skip(5).map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(lines, [Some("w1"), Some("w2"), Some("w3")]);
    }

    #[test]
    fn the_newest_with_the_cosigners_asked_for_is_found() {
        let kept = Checkpoints::default();
        kept.keep(checkpoint(5, 1, &[("w1", 1), ("w2", 1)])).expect("new");
        kept.keep(checkpoint(9, 2, &[("w1", 1)])).expect("new");
        kept.keep(checkpoint(7, 3, &[("w1", 1), ("w2", 1)])).expect("an older one");
        let found = |names: &[&str], min| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            kept.cosigned_by(&names, min).map(|signed| signed.size)
        };
        assert_eq!((found(&[], 0), found(&["w1"], 0), found(&["w2", "w1"], 0)), (Some(9), Some(9), Some(7)));
        assert_eq!((found(&["w2"], 8), found(&["w4"], 0), found(&[], 10)), (None, None, None));
        assert_eq!(kept.newest().map(|newest| newest.size), Some(9));
        assert_eq!((kept.of_size(7).is_some(), kept.of_size(8).is_some()), (true, false));
    }

    #[test]
    fn a_second_root_is_evidence_and_not_kept() {
        let kept = Checkpoints::default();
        kept.keep(checkpoint(5, 1, &[("w1", 1)])).expect("new");
        let split = kept.keep(checkpoint(5, 2, &[("w1", 1)])).expect_err("another root");
        assert_eq!((split.size, split.known), (5, Hash::from([1; 32])));
        assert_eq!(kept.newest().expect("kept").root, Hash::from([1; 32]));
    }

    #[test]
    fn only_what_changes_something_wakes_who_watches_and_old_ones_make_room() {
        let kept = Checkpoints::default();
        let mut watch = kept.watch();
        kept.keep(checkpoint(1, 1, &[("w1", 5)])).expect("new");
        assert!(watch.has_changed().expect("kept"));
        watch.mark_unchanged();
        kept.keep(checkpoint(1, 1, &[("w1", 4)])).expect("known");
        assert!(!watch.has_changed().expect("kept"));
        for size in 2..=NOTES_MAX as u64 + 1 {
            kept.keep(checkpoint(size, 1, &[("w1", 1)])).expect("new");
        }
        assert!(kept.of_size(1).is_none() && kept.of_size(2).is_some());
    }
}
