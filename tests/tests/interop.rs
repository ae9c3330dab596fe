//! What a stranger's verifier would find. Nothing here uses our own hashing, notes or proofs: the parsers are written
//! from c2sp.org/signed-note, tlog-checkpoint, tlog-proof, RFC 6962, RFC 9162 and docs/formats.md alone.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sillage_proto::v1::{Genesis, GetEntryRequest, GetEntryResponse, ProveConsistencyRequest, ProveInclusionRequest};
use sillage_tests::lines::{access, ins};
use sillage_tests::story::tell;
use sillage_tests::wire::Rpc;
use sillage_tests::world::World;
use sillage_tests::{stories, wire};

type Hash = [u8; 32];

/// Sizes of the batches of the history, and the entries that it is at least: each batch has a header.
const BATCHES: [u64; 6] = [1, 2, 30, 7, 64, 11];
const HISTORY: u64 = 1 + 115 + 6;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            some_history_is_made,
            a_checkpoint_is_signed_by_the_key_that_is_published,
            the_root_follows_from_the_entries,
            a_proof_file_leads_to_the_signed_root,
            inclusion_holds_for_any_size,
            consistency_holds_between_any_sizes,
            a_record_leads_to_its_authors_signature,
            a_receipt_is_kept_within_its_promise,
        ],
    )
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn leaf(bytes: &[u8]) -> Hash {
    sha256(&[&[0], bytes])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// MTH of RFC 6962 §2.1, word for word.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node(&mth(&leaves[..split]), &mth(&leaves[split..]))
        }
    }
}

/// RFC 9162 §2.1.3.2: the root that an inclusion proof leads to.
fn root_from(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut at, mut last, mut root) = (index, size.checked_sub(1)?, leaf);
    if at > last {
        return None;
    }
    for step in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(step, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node(&root, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// RFC 9162 §2.1.4.2: whether a consistency proof leads from the first root to the second.
fn consistent(first: u64, second: u64, first_root: Hash, second_root: Hash, path: &[Hash]) -> bool {
    let mut path = path.to_vec();
    if first.is_power_of_two() {
        path.insert(0, first_root);
    }
    let (mut at, mut last) = (first - 1, second - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let Some((start, rest)) = path.split_first() else { return false };
    let (mut old, mut new) = (*start, *start);
    for step in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(step, &old), node(step, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node(&new, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (old, new, last) == (first_root, second_root, 0)
}

/// The three lines of a checkpoint, after its note's signature was checked.
struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// A verifier key line: `<name>+<hash, hex>+<base64 of algorithm and key>`.
fn log_key(world: &World) -> (String, [u8; 4], VerifyingKey) {
    let line = fs::read_to_string(world.dir().join("log.vkey")).expect("log.vkey");
    let mut parts = line.trim_end().splitn(3, '+');
    let (name, hash, key) = (parts.next().expect("name"), parts.next().expect("hash"), parts.next().expect("key"));
    let key = BASE64_STANDARD.decode(key).expect("base64");
    assert_eq!(key[0], 1, "algorithm 1 is Ed25519");
    assert_eq!(key.len(), 33, "the algorithm, and a key of 32 bytes");
    let id: [u8; 4] = sha256(&[name.as_bytes(), b"\n", &key])[..4].try_into().expect("four bytes");
    assert_eq!(hex::encode(id), hash);
    (name.to_owned(), id, VerifyingKey::from_bytes(key[1..].try_into().expect("32 bytes")).expect("a key"))
}

fn verified(world: &World, note: &str) -> Checkpoint {
    let (name, id, key) = log_key(world);
    let (text, signatures) = note.split_once("\n\n").expect("text, an empty line, signatures");
    let text = format!("{text}\n");
    assert!(note.ends_with('\n') && !signatures.is_empty(), "{note}");
    let line = signatures.lines().find_map(|line| line.strip_prefix(&format!("\u{2014} {name} ")));
    let signature = BASE64_STANDARD.decode(line.expect("the log's signature")).expect("base64");
    assert_eq!(signature[..4], id);
    let signature = Signature::from_slice(&signature[4..]).expect("64 bytes");
    key.verify_strict(text.as_bytes(), &signature).expect("the note is signed by the log's key");

    let lines: Vec<&str> = text.lines().collect();
    let [origin, size, root] = lines[..] else { panic!("three lines: {text:?}") };
    let root = BASE64_STANDARD.decode(root).expect("base64");
    Checkpoint {
        origin: origin.to_owned(),
        size: size.parse().expect("a number"),
        root: root.try_into().expect("32 bytes"),
    }
}

/// A checkpoint of at least `size` entries. A receipt promises one within 10 s; a busy machine gets some more.
fn checkpoint_of(world: &World, size: u64) -> Checkpoint {
    let began = Instant::now();
    loop {
        let found = verified(world, &world.sillage(&["checkpoint"]).ok().stdout);
        if found.size >= size {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no checkpoint of {size} entries, but of {}", found.size);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A checkpoint of all the history that was made.
fn checkpoint(world: &World) -> Checkpoint {
    checkpoint_of(world, HISTORY)
}

fn rpc(world: &World, node: usize) -> Rpc {
    let profile = world.profile();
    wire::rpc(&profile, node, Some(&wire::pem_of(&profile)))
}

fn entry(world: &World, index: u64) -> GetEntryResponse {
    let node = usize::try_from(index).expect("small") % 3 + 1;
    world.wait(rpc(world, node).get_entry(GetEntryRequest { index })).expect("an auditor reads entries").into_inner()
}

fn leaves(world: &World, size: u64) -> Vec<Hash> {
    let mut nodes: Vec<Rpc> = (1..=3).map(|node| rpc(world, node)).collect();
    world.wait(async {
        let mut leaves = Vec::new();
        for index in 0..size {
            let node = &mut nodes[usize::try_from(index).expect("small") % 3];
            let entry = node.get_entry(GetEntryRequest { index }).await.expect("an entry").into_inner().entry;
            assert_eq!(entry[4..12], index.to_be_bytes(), "an entry says its place");
            leaves.push(leaf(&entry));
        }
        leaves
    })
}

fn hashes(path: &[Vec<u8>]) -> Vec<Hash> {
    path.iter().map(|hash| hash[..].try_into().expect("32 bytes")).collect()
}

fn some_history_is_made(world: &mut World) {
    for batch in BATCHES {
        let lines: Vec<_> = (0..batch).map(|i| access(&ins(400 + i), &format!("history-{batch}-{i}"))).collect();
        world.record(&lines);
    }
}

fn a_checkpoint_is_signed_by_the_key_that_is_published(world: &mut World) {
    let checkpoint = checkpoint(world);
    let genesis =
        Genesis::decode(&fs::read(world.dir().join("genesis.bin")).expect("the genesis")[..]).expect("a genesis");
    let (name, _, key) = log_key(world);
    assert_eq!(checkpoint.origin, genesis.origin, "the checkpoint is of the log");
    assert_eq!(name, genesis.origin, "the key has the log's name");
    assert_eq!(key.as_bytes()[..], genesis.log_public_key[..]);
    let policy = fs::read_to_string(world.dir().join("policy.txt")).expect("policy.txt");
    let line = fs::read_to_string(world.dir().join("log.vkey")).expect("log.vkey");
    assert!(policy.lines().any(|p| p.strip_prefix("log ").is_some_and(|p| p.starts_with(line.trim_end()))), "{policy}");
}

fn the_root_follows_from_the_entries(world: &mut World) {
    let checkpoint = checkpoint(world);
    let leaves = leaves(world, checkpoint.size);
    assert_eq!(mth(&leaves), checkpoint.root);

    // And by a third implementation, from the entries' bytes.
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for index in 0..checkpoint.size {
        tree.push(entry(world, index).entry);
    }
    assert_eq!(tree.root().as_bytes()[..], checkpoint.root[..]);

    // Entry 0 carries the genesis that every profile trusts.
    let first = entry(world, 0).entry;
    let genesis = fs::read(world.dir().join("genesis.bin")).expect("the genesis");
    assert_eq!(first[..2], [1, 4], "version 1, a ledger event");
    assert_eq!(first[20..22], 0x0a0e_u16.to_be_bytes());
    assert_eq!(first[26..], genesis);
}

fn a_proof_file_leads_to_the_signed_root(world: &mut World) {
    let index = world.record(&[access(&ins(450), "proven")])[0];
    let file = world.path("proof.tlog-proof");
    world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &file.to_string_lossy()]).ok();
    let text = fs::read_to_string(file).expect("the proof");

    let (head, note) = text.split_once("\n\n").expect("the proof, an empty line, the checkpoint");
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let mut line = lines.next().expect("a line");
    let mut extra = None;
    if let Some(data) = line.strip_prefix("extra ") {
        extra = Some(BASE64_STANDARD.decode(data).expect("base64"));
        line = lines.next().expect("a line");
    }
    assert_eq!(line, format!("index {index}"));
    let path: Vec<Hash> =
        lines.map(|hash| BASE64_STANDARD.decode(hash).expect("base64").try_into().expect("32 bytes")).collect();

    let checkpoint = verified(world, note);
    let bytes = entry(world, index).entry;
    assert_eq!(root_from(leaf(&bytes), index, checkpoint.size, &path), Some(checkpoint.root));
    if let Some(extra) = extra {
        assert!(
            extra.starts_with(&bytes) && extra.len() == bytes.len() + 32,
            "the proof carries its entry and a check"
        );
    }
}

fn inclusion_holds_for_any_size(world: &mut World) {
    let size = checkpoint(world).size;
    let leaves = leaves(world, size);
    let mut asked = rpc(world, 2);
    for (index, of) in [(0, 1), (0, size), (size - 1, size), (5, 6), (63, 64), (64, 65), (17, 100), (99, 117)] {
        let proof =
            world.wait(asked.prove_inclusion(ProveInclusionRequest { index, size: of })).expect("a proof").into_inner();
        let root = mth(&leaves[..usize::try_from(of).expect("small")]);
        let own = leaves[usize::try_from(index).expect("small")];
        assert_eq!(proof.leaf_hash[..], own[..], "the leaf hash of {index} of {of}");
        assert_eq!(proof.root[..], root[..], "the root for {index} of {of}");
        assert_eq!(root_from(own, index, of, &hashes(&proof.path)), Some(root), "{index} of {of}");
        assert_ne!(root_from(sha256(&[b"other"]), index, of, &hashes(&proof.path)), Some(root));
    }
}

fn consistency_holds_between_any_sizes(world: &mut World) {
    let size = checkpoint(world).size;
    let leaves = leaves(world, size);
    let root_at = |size: u64| mth(&leaves[..usize::try_from(size).expect("small")]);
    let mut asked = rpc(world, 3);
    for (old, new) in [(1, 2), (1, size), (6, 7), (63, 64), (64, 65), (64, size), (100, 117), (size - 1, size)] {
        let request = ProveConsistencyRequest { old_size: old, new_size: new };
        let proof = world.wait(asked.prove_consistency(request)).expect("a proof").into_inner();
        let (first, second, path) = (root_at(old), root_at(new), hashes(&proof.path));
        assert_eq!(proof.old_root[..], first[..], "the root at {old}");
        assert_eq!(proof.new_root[..], second[..], "the root at {new}");
        assert!(consistent(old, new, first, second, &path), "{old} to {new}");
        assert!(!consistent(old, new, first, sha256(&[b"other"]), &path));
    }
}

fn a_record_leads_to_its_authors_signature(world: &mut World) {
    let lines: Vec<_> = (0..5).map(|i| access(&ins(460), &format!("signed-{i}"))).collect();
    let indices = world.record_together("signed", &lines);
    let genesis =
        Genesis::decode(&fs::read(world.dir().join("genesis.bin")).expect("the genesis")[..]).expect("a genesis");

    // docs/formats.md §5: version, type, flags, index and time (20 bytes), then kind, tag, record hash, position; §3: what
    // is signed of a record is its kind, the flags DEFERRED (4), BASIS (16) and CITES (32), its tag and its hash.
    let records: Vec<GetEntryResponse> = indices.iter().map(|index| entry(world, *index)).collect();
    let mut batch_leaves = Vec::new();
    for (position, found) in (0_u32..).zip(&records) {
        let bytes = &found.entry;
        assert_eq!(bytes.len(), 90, "the length of a record's entry");
        assert_eq!(bytes[..2], [1, 2], "version 1, a record");
        assert_eq!(bytes[86..], position.to_be_bytes());
        let record_hash: Hash = bytes[54..86].try_into().expect("32 bytes");
        assert_eq!(record_hash, sha256(&[&[0], &found.salt, &found.record]), "the record is the one that is hashed");
        let (kind, stated, tag) = (&bytes[20..22], [0, bytes[3] & 0x34], &bytes[22..54]);
        batch_leaves.push(sha256(&[&[6], kind, &stated, tag, &record_hash]));
    }

    // The header stands before them: algorithm, key, stream, number, count, root, signature.
    let header = entry(world, indices[0] - 1).entry;
    assert_eq!(header[..2], [1, 1]);
    let (alg, key_id, stream, seq) = (header[20], &header[21..53], &header[53..85], &header[85..93]);
    let (count, root, length, signature) = (&header[93..97], &header[97..129], &header[129..131], &header[131..]);
    assert_eq!(alg, 1, "algorithm 1 is Ed25519");
    assert_eq!(count, 5_u32.to_be_bytes(), "the records of the batch");
    assert_eq!(length, 64_u16.to_be_bytes(), "the length of a signature");
    assert_eq!(root, mth(&batch_leaves));
    let origin = genesis.origin.as_bytes();
    let length = [u8::try_from(origin.len()).expect("at most 255")];
    let message = [b"sillage/batch/v2\0", &[alg][..], key_id, &length, origin, stream, seq, count, root].concat();
    let keys = genesis.parties.iter().map(|party| party.key.as_ref().expect("a key").key.clone());
    let key = keys
        .into_iter()
        .find(|key| sha256(&[b"sillage/key/v1\0", &[1], key]) == *key_id)
        .expect("its author is in the genesis");
    let author_id = sha256(&[b"sillage/author/v1\0", &key]);
    assert_eq!(stream, sha256(&[b"sillage/stream/v1\0", &author_id, world.profile().stream.as_bytes()]));
    let key = VerifyingKey::from_bytes(&key.try_into().expect("32 bytes")).expect("a key");
    let signature = Signature::from_slice(signature).expect("64 bytes");
    key.verify_strict(&message, &signature).expect("signed by its author");
}

fn a_receipt_is_kept_within_its_promise(world: &mut World) {
    let lines: Vec<_> = (0..3).map(|i| access(&ins(470), &format!("promised-{i}"))).collect();
    let (file, kept) = (world.write("r.ndjson", sillage_tests::lines::ndjson(&lines)), world.path("r.jsonl"));
    world.sillage(&["record", "--file", &file.to_string_lossy(), "--receipts", &kept.to_string_lossy()]).ok();
    let receipt: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(kept).expect("receipts")).expect("one line");
    let message = hex::decode(receipt["message"].as_str().expect("hex")).expect("hex");
    let signature = hex::decode(receipt["signature"].as_str().expect("hex")).expect("hex");

    // docs/formats.md §4, from its end.
    let genesis =
        Genesis::decode(&fs::read(world.dir().join("genesis.bin")).expect("the genesis")[..]).expect("a genesis");
    let body = message.strip_prefix(b"sillage/receipt/v1\0").expect("its name");
    let (key_id, tail) = (&body[1..33], &body[body.len() - 16..]);
    let first = u64::from_be_bytes(tail[..8].try_into().expect("8 bytes"));
    let node = genesis.nodes.iter().map(|node| &node.key.as_ref().expect("a key").key);
    let node =
        node.into_iter().find(|key| sha256(&[b"sillage/key/v1\0", &[1], key]) == *key_id).expect("a node of this log");
    let key = VerifyingKey::from_bytes(node[..].try_into().expect("32 bytes")).expect("a key");
    key.verify_strict(&message, &Signature::from_slice(&signature).expect("64 bytes")).expect("signed by the node");

    checkpoint_of(world, first + 3);
    let bytes = entry(world, first).entry;
    assert_eq!(bytes[12..20], tail[8..], "with the time that was promised");
}
