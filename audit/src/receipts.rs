//! Receipts are promises: the entries are under a checkpoint at most 10 s later. Which weren't kept?

use serde::Deserialize;
use sillage_proof::batch::{Origin, ReceiptMessage, batch_root};
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::PublicKey;
use sillage_proof::range::root_from_range;
use sillage_rules::entry::{Entry, Flags};

/// A receipt promises that its entries are under a checkpoint within this time.
pub const PROMISED_MS: u64 = 10_000;
/// An idle log has its checkpoint cosigned anew every 60 s; one that doesn't for this long after a promise broke it.
pub const SILENCE_MS: u64 = 90_000;

/// A line of `record --receipts`.
#[derive(Debug, Deserialize)]
struct Line {
    message: String,
    signature: String,
}

/// A receipt that a node of the log signed.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Number of its line in the file, from 1.
    pub line: usize,
    /// Its content.
    pub message: ReceiptMessage,
    /// The line itself: evidence.
    pub text: String,
}

impl Promise {
    /// Reads one line, and checks the node's signature.
    ///
    /// # Errors
    /// Why it is no receipt of this log.
    pub fn read(line: usize, text: &str, origin: &Origin, nodes: &[PublicKey]) -> Result<Self, String> {
        let parsed: Line = serde_json::from_str(text).map_err(|error| format!("not a line of receipts: {error}"))?;
        let bytes = hex::decode(&parsed.message).map_err(|_| "`message` is not hex".to_owned())?;
        let signature = hex::decode(&parsed.signature).map_err(|_| "`signature` is not hex".to_owned())?;
        let message = ReceiptMessage::decode(&bytes).map_err(|error| error.to_string())?;
        if message.batch.origin != *origin {
            return Err(format!("of the log {}", message.batch.origin));
        }
        let signed = nodes.iter().any(|key| message.verify(key, &signature).is_ok());
        if !signed {
            return Err("not signed by a node of this log".to_owned());
        }
        if message.first_index.get() == 0 {
            return Err("it names no place in the log".to_owned());
        }
        Ok(Self { line, message, text: text.to_owned() })
    }

    /// Where its batch header stands.
    pub fn header(&self) -> u64 {
        self.message.first_index.get().saturating_sub(1)
    }

    /// The first index after its records.
    pub fn end(&self) -> u64 {
        self.message.first_index.get().saturating_add(self.message.batch.count.into())
    }

    /// Tells whether the time is over by which a checkpoint had to cover it, where the newest one was cosigned at
    /// `cosigned_s` (seconds since 1970) and it is `now_ms` here.
    pub fn is_due(&self, cosigned_s: u64, now_ms: u64) -> bool {
        let time_ms = self.message.time_ms.get();
        let due_ms = time_ms.saturating_add(PROMISED_MS);
        cosigned_s.saturating_mul(1_000) > due_ms || now_ms > due_ms.saturating_add(SILENCE_MS)
    }

    /// Holds entries, from the header on, against what was promised; gives their leaf hashes.
    ///
    /// # Errors
    /// A description of the entries that stand there instead.
    pub fn check(&self, entries: &[Vec<u8>]) -> Result<Vec<Hash>, String> {
        let batch = &self.message.batch;
        let expected = usize::try_from(batch.count).unwrap_or(usize::MAX).saturating_add(1);
        if entries.len() != expected {
            return Err(format!("{} entries where {expected} were promised", entries.len()));
        }
        let (header, records) = entries.split_first().ok_or("no entries")?;
        match Entry::decode(header) {
            Ok(Entry::BatchHeader(found)) => {
                let same = (found.stream_id, found.seq, found.count, found.root)
                    == (batch.stream_id, batch.seq, batch.count, batch.root);
                if !same || found.index.get() != self.header() {
                    return Err(format!("entry {} is the header of another batch", self.header()));
                }
            }
            _ => return Err(format!("entry {} is not a batch header", self.header())),
        }
        let mut leaves = Vec::with_capacity(records.len());
        for (position, bytes) in (0_u32..).zip(records) {
            let index = self.message.first_index.get() + u64::from(position);
            match Entry::decode(bytes) {
                Ok(Entry::Record(found))
                    if found.index.get() == index
                        && found.position == position
                        && !found.flags.contains(Flags::LEDGER) =>
                {
                    leaves.push(found.batch_leaf());
                }
                _ => return Err(format!("entry {index} is not the record at position {position} of the batch")),
            }
        }
        let root = batch_root(&leaves);
        if root != batch.root {
            return Err(format!("the records are not those of the batch, or filed otherwise: their root is {root}"));
        }
        Ok(entries.iter().map(|entry| leaf_hash(entry)).collect())
    }
}

/// The root of a log of `size` entries in which `leaves` stand from `first` on, from the inclusion paths of the first and
/// the last of them. `None` when the paths don't fit.
pub fn root_of_range(size: u64, first: u64, leaves: &[Hash], of_first: &[Hash], of_last: &[Hash]) -> Option<Hash> {
    let last = first.checked_add(leaves.len() as u64)?.checked_sub(1)?;
    let (first_left, last_left) = (sides(first, size)?, sides(last, size)?);
    if of_first.len() != first_left.len() || of_last.len() != last_left.len() {
        return None;
    }
    // What stands left of the first leaf, from left to right, and right of the last one.
    let left = of_first.iter().zip(&first_left).filter(|(_, left)| **left);
    let mut before: Vec<Hash> = left.map(|(hash, _)| *hash).collect();
    before.reverse();
    let right = of_last.iter().zip(&last_left).filter(|(_, left)| !**left);
    let after: Vec<Hash> = right.map(|(hash, _)| *hash).collect();
    root_from_range(size, first, leaves, &before, &after).ok()
}

/// Of each hash of an inclusion path, from the leaf up: whether it stands on the left.
fn sides(index: u64, size: u64) -> Option<Vec<bool>> {
    if index >= size {
        return None;
    }
    let (mut index, mut size) = (index, size);
    let mut sides = Vec::new();
    while size > 1 {
        // The largest power of two below the size.
        let split = 1_u64 << (size - 1).ilog2();
        let is_right = index >= split;
        sides.push(is_right);
        (index, size) = if is_right { (index - split, size - split) } else { (index, split) };
    }
    sides.reverse();
    Some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{Made, ORIGIN, author, stream};
    use proptest::prelude::*;
    use sillage_proof::batch::BatchMessage;
    use sillage_proof::hash::{LeafIndex, TreeSize};
    use sillage_proof::keys::SigningKey;
    use sillage_proof::merkle::{inclusion_proof, root_of};

    fn node() -> SigningKey {
        SigningKey::from_seed(&[11; 32])
    }

    fn log() -> Made {
        let mut made = Made::new();
        made.batch(&author(), stream(&author()), 1, &[[1; 32], [2; 32], [3; 32]]);
        made.commit();
        made
    }

    /// The receipt of the batch of [`log`], as a line.
    fn receipt(made: &Made, key: &SigningKey) -> String {
        let Ok(Entry::BatchHeader(header)) = Entry::decode(&made.entries[1].entry) else { panic!("a header") };
        let origin: Origin = ORIGIN.parse().expect("a name");
        let (stream_id, seq, count, root) = (header.stream_id, header.seq, header.count, header.root);
        let batch = BatchMessage { key_id: key.key_id(), origin, stream_id, seq, count, root };
        let message = ReceiptMessage { batch, first_index: LeafIndex(2), time_ms: header.time };
        let (signature, bytes) = (message.sign(key), message.encode());
        format!("{{\"seq\":1,\"message\":\"{}\",\"signature\":\"{}\"}}", hex::encode(bytes), hex::encode(signature))
    }

    fn promise(made: &Made) -> Promise {
        let origin: Origin = ORIGIN.parse().expect("a name");
        Promise::read(1, &receipt(made, &node()), &origin, &[node().public_key()]).expect("a receipt")
    }

    fn bytes(made: &Made) -> Vec<Vec<u8>> {
        made.entries[1..5].iter().map(|entry| entry.entry.clone()).collect()
    }

    #[test]
    fn a_promise_is_kept_by_the_entries_that_it_names() {
        let made = log();
        let promise = promise(&made);
        assert_eq!((promise.header(), promise.end()), (1, 5));
        assert_eq!(promise.check(&bytes(&made)).expect("kept").len(), 4);
        let broken: [fn(&mut Vec<Vec<u8>>); 6] = [
            |entries| entries.swap(1, 2),
            // The tag begins at byte 22; the second flag byte is the fourth of all: without BASIS.
            |entries| entries[2][30] ^= 1,
            |entries| entries[2][3] ^= 16,
            |entries| entries[2][60] ^= 1,
            |entries| {
                entries.pop();
            },
            |entries| entries[0][60] ^= 1,
        ];
        for change in broken {
            let mut entries = bytes(&made);
            change(&mut entries);
            assert!(promise.check(&entries).is_err());
        }
    }

    #[test]
    fn only_a_node_of_this_log_promises() {
        let origin: Origin = ORIGIN.parse().expect("a name");
        let nodes = [node().public_key()];
        let stranger = receipt(&log(), &SigningKey::from_seed(&[99; 32]));
        assert!(Promise::read(1, &stranger, &origin, &nodes).is_err());
        let other: Origin = "other/log".parse().expect("a name");
        assert!(Promise::read(1, &receipt(&log(), &node()), &other, &nodes).is_err());
        assert!(Promise::read(1, "{}", &origin, &nodes).is_err());
    }

    #[test]
    fn a_promise_is_due_after_ten_seconds_or_a_long_silence() {
        let made = log();
        let promise = promise(&made);
        let time_ms = promise.message.time_ms.get();
        assert!(!promise.is_due(time_ms / 1_000 + 10, time_ms + 11_000));
        assert!(promise.is_due(time_ms / 1_000 + 11, time_ms + 11_000));
        assert!(promise.is_due(0, time_ms + 100_001), "nobody cosigned since");
    }

    proptest! {
        #[test]
        fn two_inclusion_paths_make_a_range_proof(size in 1..70_u64, a in 0..70_u64, count in 1..70_u64) {
            let a = a % size;
            let b = (a + count).min(size);
            let leaves: Vec<Hash> = (0..size).map(|index| leaf_hash(&index.to_be_bytes())).collect();
            let path = |index| inclusion_proof(&leaves[..], LeafIndex(index), TreeSize(size)).expect("in range");
            let inside = &leaves[usize::try_from(a).expect("small")..usize::try_from(b).expect("small")];
            let root = root_of_range(size, a, inside, &path(a), &path(b - 1));
            prop_assert_eq!(root, Some(root_of(&leaves)));
            let mut bad = inside.to_vec();
            bad[0] = leaf_hash(b"other");
            prop_assert_ne!(root_of_range(size, a, &bad, &path(a), &path(b - 1)), Some(root_of(&leaves)));
        }
    }
}
