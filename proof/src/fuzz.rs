//! Fuzz targets: each reads arbitrary bytes with one parser or verifier and asserts that what is accepted is spelled in
//! its one canonical form. None may panic. [`drive`] drives them, and those of the other crates.

use std::fmt;

use crate::batch::{BatchLeaf, BatchMessage, ReceiptMessage, verify_batch_proof};
use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::merkle;
use crate::note::{NoteSignature, SignedNote, SignerKey, VerifierKey};
use crate::policy::Policy;
use crate::tag::Identity;
use crate::tile::{TilePath, decode_entry_bundle, decode_hash_tile, encode_entry_bundle, encode_hash_tile};
use crate::tlog_proof::TlogProof;
use crate::vrf::{VrfProof, VrfPublicKey};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("hash_text", fuzz_hash_text),
    ("public_key", fuzz_public_key),
    ("merkle_proofs", fuzz_merkle_proofs),
    ("batch_proof", fuzz_batch_proof),
    ("batch_message", fuzz_batch_message),
    ("receipt_message", fuzz_receipt_message),
    ("tile_path", fuzz_tile_path),
    ("hash_tile", fuzz_hash_tile),
    ("entry_bundle", fuzz_entry_bundle),
    ("key_lines", fuzz_key_lines),
    ("note", fuzz_note),
    ("checkpoint", fuzz_checkpoint),
    ("policy", fuzz_policy),
    ("tlog_proof", fuzz_tlog_proof),
    ("vrf", fuzz_vrf),
    ("identity", fuzz_identity),
];

/// Gives every target the seeds, arbitrary bytes, arbitrary text, and seeds with one to four changes: `inputs` in all.
/// The same inputs on every run and machine.
///
/// # Panics
/// When a target panics, with its name and the input.
pub fn drive<N: fmt::Display>(targets: &[(N, Target)], seeds: &[Vec<u8>], inputs: usize) {
    assert!(!seeds.is_empty() && seeds.len() < inputs, "{} seeds for {inputs} inputs", seeds.len());
    let mut dice = Dice(0x0511_1a6e);
    for at in 0..inputs {
        let input = match (seeds.get(at), at % 8) {
            (Some(seed), _) => seed.clone(),
            (None, 0) => dice.bytes(400),
            (None, 1) => dice.text(60),
            (None, _) => dice.changed(seeds),
        };
        for (name, target) in targets {
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name} falls over {}", hex::encode(&input));
        }
    }
}

/// Characters of arbitrary text: most formats get past their first character with some of them.
const ALPHABET: &[u8] = b"0123456789ABCDEFabcdef{}[]\":,.-+_/=TZ \n";

/// SplitMix64 (Steele, Lea, Flood 2014): enough to choose inputs with, and nothing else.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_be_bytes()[0]
    }

    fn bytes(&mut self, len_max: usize) -> Vec<u8> {
        (0..self.below(len_max)).map(|_| self.byte()).collect()
    }

    fn text(&mut self, len_max: usize) -> Vec<u8> {
        (0..self.below(len_max)).map(|_| ALPHABET[self.below(ALPHABET.len())]).collect()
    }

    /// A bit, a byte, a number at its end, a piece cut out or repeated, the end missing or another seed's.
    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            if data.is_empty() {
                return self.bytes(40);
            }
            let at = self.below(data.len());
            let end = (at + 1 + self.below(32)).min(data.len());
            match self.below(8) {
                0 => data[at] ^= 1 << self.below(8),
                1 => data[at] = self.byte(),
                2 => data.insert(at, self.byte()),
                3 => drop(data.drain(at..end)),
                4 => data.extend_from_within(at..end),
                5 => data.truncate(at),
                6 => data[at..end].fill([0, 0xff][self.below(2)]),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    data.truncate(at);
                    data.extend_from_slice(&other[other.len().min(at)..]);
                }
            }
        }
        data
    }
}

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// Takes a number off the front; zero where there is none left.
fn number(data: &mut &[u8]) -> u64 {
    let Some((head, tail)) = data.split_first_chunk::<8>() else {
        return 0;
    };
    *data = tail;
    u64::from_be_bytes(*head)
}

fn hashes(data: &[u8]) -> Vec<Hash> {
    let (hashes, _) = data.as_chunks::<32>();
    hashes.iter().map(|hash| Hash::from(*hash)).collect()
}

/// Hashes and ids as hexadecimal text.
pub fn fuzz_hash_text(data: &[u8]) {
    if let Ok(hash) = text(data).parse::<Hash>() {
        assert!(hash.to_string().eq_ignore_ascii_case(text(data)));
    }
}

/// Public keys, and verification of whatever follows.
pub fn fuzz_public_key(data: &[u8]) {
    let (key, rest) = data.split_at(data.len().min(32));
    if let Ok(key) = PublicKey::from_bytes(key) {
        let (signature, message) = rest.split_at(rest.len().min(64));
        let _ = key.verify(message, signature);
    }
}

/// Inclusion and consistency proofs.
pub fn fuzz_merkle_proofs(mut data: &[u8]) {
    let (a, b) = (number(&mut data), number(&mut data));
    let mut proof = hashes(data);
    let (x, y) = (proof.pop().unwrap_or_default(), proof.pop().unwrap_or_default());
    let _ = merkle::verify_inclusion(&x, a.into(), b.into(), &proof, &y);
    let _ = merkle::verify_consistency(a.into(), b.into(), &proof, &x, &y);
    let chunks: Vec<&[u8]> = data.chunks(31 + (a % 3) as usize).collect();
    let _ = merkle::verify_inclusion_bytes(data, a, b, &chunks, data);
    let _ = merkle::verify_consistency_bytes(a, b, &chunks, data, data);
}

/// Multi-proofs of a batch.
pub fn fuzz_batch_proof(mut data: &[u8]) {
    let (count, records) = (number(&mut data), number(&mut data));
    let mut claims = Vec::new();
    for _ in 0..records % 16 {
        let index = number(&mut data);
        let leaf = BatchLeaf { kind: 0, stated: 0, tag: [0; 32], record_hash: Hash::default() };
        claims.push((index as u32 % 64, leaf));
    }
    for count in [count as u32, count as u32 % 70] {
        let _ = verify_batch_proof(&Hash::default(), count, &claims, data);
    }
}

/// Batch messages.
pub fn fuzz_batch_message(data: &[u8]) {
    if let Ok(message) = BatchMessage::decode(data) {
        assert_eq!(message.encode(), data);
    }
}

/// Receipt messages.
pub fn fuzz_receipt_message(data: &[u8]) {
    if let Ok(message) = ReceiptMessage::decode(data) {
        assert_eq!(message.encode(), data);
    }
}

/// Tile paths.
pub fn fuzz_tile_path(data: &[u8]) {
    if let Ok(path) = text(data).parse::<TilePath>() {
        assert_eq!(path.to_string(), text(data));
    }
}

/// Hash tiles.
pub fn fuzz_hash_tile(data: &[u8]) {
    if let Ok(hashes) = decode_hash_tile(data) {
        assert_eq!(encode_hash_tile(&hashes).as_deref(), Ok(data));
    }
}

/// Entry bundles.
pub fn fuzz_entry_bundle(data: &[u8]) {
    if let Ok(entries) = decode_entry_bundle(data) {
        assert_eq!(encode_entry_bundle(&entries).as_deref(), Ok(data));
    }
}

/// Key lines and signature lines.
pub fn fuzz_key_lines(data: &[u8]) {
    if let Ok(key) = text(data).parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text(data));
    }
    if let Ok(key) = SignerKey::from_skey(text(data)) {
        assert_eq!(*key.to_skey(), text(data));
    }
    if let Ok(line) = text(data).parse::<NoteSignature>() {
        assert_eq!(line.to_string().trim_end_matches('\n'), text(data));
    }
}

/// Signed notes.
pub fn fuzz_note(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        let _ = note.verify([]);
    }
}

/// Checkpoints.
pub fn fuzz_checkpoint(data: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::parse(text(data)) {
        assert_eq!(checkpoint.to_text(), text(data));
    }
}

/// Policies, and one against a note after a NUL byte.
pub fn fuzz_policy(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let policy = Policy::parse(parts.next().unwrap_or_default());
    let note = SignedNote::parse(parts.next().unwrap_or_default());
    if let (Ok(policy), Ok(note)) = (policy, note) {
        let _ = policy.verify(&note);
    }
}

/// Proof files.
pub fn fuzz_tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data);
        let policy = Policy::parse(b"quorum none\n").expect("a policy without logs");
        assert!(proof.verify(&Hash::default(), &policy).is_err());
    }
}

/// VRF keys and proofs.
pub fn fuzz_vrf(data: &[u8]) {
    let (key, rest) = data.split_at(data.len().min(32));
    let (proof, alpha) = rest.split_at(rest.len().min(80));
    if let Ok(read) = VrfProof::from_bytes(proof) {
        assert_eq!(read.to_bytes(), proof);
        if let Ok(key) = VrfPublicKey::from_bytes(key) {
            let _ = key.verify(alpha, &read);
        }
    }
}

/// Identities, the INS before the first NUL byte and the OID after it.
pub fn fuzz_identity(data: &[u8]) {
    let (ins, oid) = text(data).split_once('\0').unwrap_or_default();
    let _ = Identity::new(ins, oid);
}
