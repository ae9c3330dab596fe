//! Fingerprints of key-encryption keys: which keys a node holds, without saying anything of the keys.
//!
//! A keyring is the group's, or a node decides other things than the others. So it is compared by fingerprints: at the start
//! with those on record in the data folder, and with the other nodes' when nodes meet.
//!
//! ```text
//! fingerprint = SHA-256("sillage/kek-fingerprint/v1\0" ‖ u16 prefix ‖ u32 epoch ‖ key[32])
//! entries     = count × (u16 prefix ‖ u32 epoch ‖ fingerprint[32]), sorted
//! record      = "sillage/keyring-record\0" ‖ u8 version = 1 ‖ u32 count ‖ entries ‖ SHA-256 of all before
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use sillage_proof::hash::sha256;
use zeroize::Zeroizing;

use super::{KeyringError, TagPrefix};

const DOMAIN: &[u8] = b"sillage/kek-fingerprint/v1\0";
const MAGIC: &[u8] = b"sillage/keyring-record\0\x01";
const ENTRY_LEN: usize = 2 + 4 + 32;

/// The fingerprint of one key.
pub type KekFingerprint = [u8; 32];

/// The fingerprints of a keyring's keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprints {
    of: BTreeMap<(u16, u32), KekFingerprint>,
}

impl Fingerprints {
    pub(super) fn of_keys(keys: &BTreeMap<(u16, u32), Zeroizing<[u8; 32]>>) -> Self {
        let one = |(name, key): (&(u16, u32), &Zeroizing<[u8; 32]>)| (*name, fingerprint(*name, key));
        Self { of: keys.iter().map(one).collect() }
    }

    /// Of the key of a prefix and epoch, where it is held.
    pub fn get(&self, prefix: TagPrefix, epoch: u32) -> Option<&KekFingerprint> {
        self.of.get(&(prefix.get(), epoch))
    }

    /// One hash over all of them.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.encode()]).to_bytes()
    }

    /// Prefixes of which another keyring holds another key of an announced epoch; all of them where no key is common at all.
    /// `announced` gives epochs that the log has put to use: of others, two leaders may have made two keys, and the next
    /// epoch is taken.
    pub fn differing(&self, other: &Self, announced: impl Fn(TagPrefix) -> [u32; 2]) -> BTreeSet<TagPrefix> {
        let prefixes = || (0..TagPrefix::COUNT).filter_map(TagPrefix::new);
        let disjoint = self.of.keys().all(|name| !other.of.contains_key(name));
        if disjoint && !self.of.is_empty() {
            return prefixes().filter(|prefix| self.of.keys().any(|(held, _)| *held == prefix.get())).collect();
        }
        let differs = |prefix: &TagPrefix| {
            let both = |epoch| self.get(*prefix, epoch).zip(other.get(*prefix, epoch));
            announced(*prefix).into_iter().filter_map(both).any(|(ours, theirs)| ours != theirs)
        };
        prefixes().filter(differs).collect()
    }

    /// The entries, as they travel and as they are kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.of.len() * ENTRY_LEN);
        for ((prefix, epoch), fingerprint) in &self.of {
            out.extend_from_slice(&prefix.to_be_bytes());
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(fingerprint);
        }
        out
    }

    /// The reverse; `None` where it isn't well-formed and sorted.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
        let mut of = BTreeMap::new();
        for entry in entries {
            let (prefix, rest) = entry.split_first_chunk::<2>()?;
            let (epoch, fingerprint) = rest.split_first_chunk::<4>()?;
            let name = (u16::from_be_bytes(*prefix), u32::from_be_bytes(*epoch));
            let sorted = of.last_key_value().is_none_or(|(last, _)| *last < name);
            if name.0 >= TagPrefix::COUNT || !sorted {
                return None;
            }
            of.insert(name, <[u8; 32]>::try_from(fingerprint).ok()?);
        }
        rest.is_empty().then_some(Self { of })
    }

    /// Only those that `other` has too.
    fn within(&self, other: &Self) -> Self {
        let both = self.of.iter().filter(|(name, _)| other.of.contains_key(*name));
        Self { of: both.map(|(name, fingerprint)| (*name, *fingerprint)).collect() }
    }

    /// The first key that is on record and isn't the same here, or isn't here.
    fn first_missing(&self, record: &Self) -> Option<(u16, u32)> {
        let missing = |(name, known): &(&(u16, u32), &KekFingerprint)| self.of.get(*name) != Some(*known);
        record.of.iter().find(missing).map(|(name, _)| *name)
    }
}

fn fingerprint((prefix, epoch): (u16, u32), key: &[u8; 32]) -> KekFingerprint {
    sha256(&[DOMAIN, &prefix.to_be_bytes(), &epoch.to_be_bytes(), key]).to_bytes()
}

/// The fingerprints on record in a data folder. At any moment, also in the middle of a change, each of them is of a key in
/// the keyring: it is written after a key came, and before a key goes.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    known: Fingerprints,
}

impl Record {
    /// Opens the record in `path` and compares; where there is none, `held` goes on record.
    pub(super) fn open(path: &Path, held: &Fingerprints) -> Result<Self, KeyringError> {
        let mut record = Self { path: path.to_owned(), known: Fingerprints::default() };
        match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(record.io(source)),
            Ok(bytes) => {
                record.known = decode(&bytes).ok_or_else(|| KeyringError::Record(path.to_owned()))?;
                if let Some((prefix, epoch)) = held.first_missing(&record.known) {
                    return Err(KeyringError::Other { prefix, epoch, record: path.to_owned() });
                }
            }
        }
        record.came(held)?;
        Ok(record)
    }

    /// To be called before the keyring becomes the one of `next`.
    pub(super) fn goes(&mut self, next: &Fingerprints) -> Result<(), KeyringError> {
        self.write(self.known.within(next))
    }

    /// To be called when the keyring of `held` is durable.
    pub(super) fn came(&mut self, held: &Fingerprints) -> Result<(), KeyringError> {
        self.write(held.clone())
    }

    fn write(&mut self, next: Fingerprints) -> Result<(), KeyringError> {
        if next == self.known {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let write = || {
            fs::create_dir_all(folder)?;
            let mut file = File::create(&new)?;
            file.write_all(&encode(&next))?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| self.io(source))?;
        self.known = next;
        Ok(())
    }

    fn io(&self, source: std::io::Error) -> KeyringError {
        KeyringError::Io { path: self.path.clone(), source }
    }
}

fn encode(known: &Fingerprints) -> Vec<u8> {
    let count = u32::try_from(known.of.len()).expect("at most a million keys");
    let mut out = [MAGIC, &count.to_be_bytes(), &known.encode()].concat();
    let sum = sha256(&[&out]);
    out.extend_from_slice(sum.as_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Fingerprints> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if sha256(&[body]).as_bytes() != sum {
        return None;
    }
    let (count, entries) = body.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    let known = Fingerprints::decode(entries)?;
    (u32::try_from(known.of.len()).ok()? == u32::from_be_bytes(*count)).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[((u16, u32), u8)]) -> Fingerprints {
        Fingerprints::of_keys(&of.iter().map(|(name, byte)| (*name, Zeroizing::new([*byte; 32]))).collect())
    }

    fn prefixes(differing: &BTreeSet<TagPrefix>) -> Vec<u16> {
        differing.iter().map(|prefix| prefix.get()).collect()
    }

    #[test]
    fn the_fingerprint_is_the_one_of_the_formats_document() {
        let input = [b"sillage/kek-fingerprint/v1\0".as_slice(), &[0x0f, 0xff], &[0, 0, 0, 2], &[7; 32]].concat();
        assert_eq!(fingerprint((0xfff, 2), &[7; 32]), sha256(&[&input]).to_bytes());
        let prefix = TagPrefix::new(0xfff).expect("below 4,096");
        assert_eq!(keys(&[((0xfff, 2), 7)]).get(prefix, 2), Some(&fingerprint((0xfff, 2), &[7; 32])));
    }

    #[test]
    fn keyrings_differ_where_an_announced_epoch_does_or_nothing_is_common() {
        let ours = keys(&[((1, 1), 1), ((2, 1), 2), ((2, 2), 3), ((3, 1), 4)]);
        let announced = |prefix: TagPrefix| if prefix.get() == 2 { [1, 3] } else { [1, 1] };
        let differing = |one: &Fingerprints, other| prefixes(&one.differing(other, announced));
        assert!(differing(&ours, &ours).is_empty());
        // One that gave an epoch up, and one that has a newer one, hold the same keys.
        let ahead = keys(&[((1, 1), 1), ((2, 3), 3), ((3, 1), 4), ((3, 2), 5)]);
        assert!(differing(&ours, &ahead).is_empty() && differing(&ahead, &ours).is_empty());
        // Two leaders have made an epoch 2, and neither was put to use.
        let twice = keys(&[((1, 1), 1), ((2, 1), 2), ((2, 2), 8), ((3, 1), 4)]);
        assert!(differing(&ours, &twice).is_empty());
        let theirs = keys(&[((1, 1), 9), ((2, 1), 8), ((3, 1), 4)]);
        assert_eq!((differing(&ours, &theirs), differing(&theirs, &ours)), (vec![1, 2], vec![1, 2]));
        let foreign = keys(&[((1, 4), 1), ((2, 4), 2)]);
        assert_eq!((differing(&ours, &foreign), differing(&foreign, &ours)), (vec![1, 2, 3], vec![1, 2]));
        assert_ne!(ours.digest(), theirs.digest());
    }

    #[test]
    fn fingerprints_are_read_as_written_and_only_sorted_and_whole() {
        let ours = keys(&[((1, 1), 1), ((2, 1), 2)]);
        let bytes = ours.encode();
        assert_eq!(Fingerprints::decode(&bytes), Some(ours));
        assert_eq!(Fingerprints::decode(&bytes[1..]), None);
        let turned = [&bytes[ENTRY_LEN..], &bytes[..ENTRY_LEN]].concat();
        assert_eq!(Fingerprints::decode(&turned), None);
    }

    #[test]
    fn a_keyring_that_lacks_or_changes_what_is_on_record_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("data/KEYRING");
        let ours = keys(&[((1, 1), 1), ((2, 1), 2)]);
        Record::open(&path, &ours).expect("the first goes on record");
        Record::open(&path, &ours).expect("the same");
        for other in [keys(&[((1, 1), 1)]), keys(&[((1, 1), 1), ((2, 1), 9)]), keys(&[((1, 2), 1), ((2, 2), 2)])] {
            let refused = Record::open(&path, &other).expect_err("another keyring");
            assert!(matches!(refused, KeyringError::Other { .. }), "{refused}");
        }
        // A key that came before a crash and isn't on record yet.
        let more = keys(&[((1, 1), 1), ((2, 1), 2), ((2, 2), 3)]);
        Record::open(&path, &more).expect("one came");
        assert!(Record::open(&path, &ours).is_err(), "and is on record now");
        let mut bytes = fs::read(&path).expect("mine");
        bytes[40] ^= 1;
        fs::write(&path, &bytes).expect("mine");
        assert!(matches!(Record::open(&path, &more), Err(KeyringError::Record(_))));
    }
}
