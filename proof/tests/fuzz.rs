//! Drives every fuzz target for a moment: arbitrary bytes, and mutations of well-formed seeds.

use sillage_proof::batch::{BatchLeaf, BatchMessage, BatchTree, ReceiptMessage};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::fuzz::{TARGETS, drive};
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::SigningKey;
use sillage_proof::merkle;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_proof::tile::{TileCoord, encode_entry_bundle, encode_hash_tile};
use sillage_proof::tlog_proof::TlogProof;
use sillage_proof::vrf::VrfSecretKey;

const ORIGIN: &str = "example.com/log";

fn signer(name: &str, kind: KeyKind) -> SignerKey {
    SignerKey::new(name, kind, SigningKey::from_seed(&[1; 32])).expect("a valid name")
}

/// Well-formed input for each target; every target gets all of them.
fn seeds() -> Vec<Vec<u8>> {
    let leaves: Vec<Hash> = (0..13_u8).map(|i| leaf_hash(&[i])).collect();
    let (log, witness) = (signer(ORIGIN, KeyKind::Ed25519), signer("w", KeyKind::CosignatureV1));
    let checkpoint =
        Checkpoint { origin: ORIGIN.parse().expect("valid"), size: 13.into(), root: merkle::root_of(&leaves) };
    let note = checkpoint.sign(&[&log, &witness], 9).expect("two keys");
    let path = merkle::inclusion_proof(&leaves[..], 5.into(), 13.into()).expect("in the tree");
    let proof = TlogProof { extra: Some(vec![1, 2]), index: 5.into(), path: path.clone(), checkpoint: note.clone() };
    let batch = BatchMessage {
        key_id: log.verifier().public_key().key_id(),
        origin: ORIGIN.parse().expect("valid"),
        stream_id: [2; 32].into(),
        seq: 1,
        count: 13,
        root: checkpoint.root,
    };
    let receipt = ReceiptMessage { batch: batch.clone(), first_index: 7.into(), time_ms: 8.into() };
    let policy =
        format!("log {} url\nwitness a {}\ngroup g 1 a\nquorum g\n\0{note}", log.verifier(), witness.verifier());
    let vrf = VrfSecretKey::from_seed([3; 32]);
    let (vrf_proof, _) = vrf.prove(b"alpha");
    let in_tree = [5_u64.to_be_bytes(), 13_u64.to_be_bytes()].concat();
    let path: Vec<u8> = path.iter().flat_map(|hash| hash.to_bytes()).collect();
    let stated = |record_hash: &Hash| BatchLeaf { kind: 0x0601, stated: 0, tag: [7; 32], record_hash: *record_hash };
    let multi = BatchTree::new(&leaves.iter().map(stated).collect::<Vec<_>>()).expect("13 records").prove(&[1, 5]);
    let claims = [13_u64, 2, 1, 5].map(u64::to_be_bytes).concat();
    vec![
        checkpoint.root.to_string().into_bytes(),
        [&log.verifier().public_key().to_bytes()[..], &[7; 64], b"message"].concat(),
        [in_tree, path, leaves[5].to_bytes().to_vec(), checkpoint.root.to_bytes().to_vec()].concat(),
        [claims, multi.expect("in the batch")].concat(),
        batch.encode(),
        receipt.encode(),
        TileCoord::full(0, 1_234_067).path().into_bytes(),
        b"tile/entries/x001/000.p/17".to_vec(),
        encode_hash_tile(&leaves).expect("13 hashes"),
        encode_entry_bundle(&[&b"one"[..], b"", b"three"]).expect("three entries"),
        log.verifier().to_string().into_bytes(),
        log.to_skey().as_bytes().to_vec(),
        note.signatures()[1].to_string().trim_end().as_bytes().to_vec(),
        note.to_string().into_bytes(),
        checkpoint.to_text().into_bytes(),
        policy.into_bytes(),
        proof.to_string().into_bytes(),
        [&vrf.public_key().as_bytes()[..], &vrf_proof.to_bytes(), b"alpha"].concat(),
        b"255069910100157\x001.2.250.1.213.1.4.8".to_vec(),
    ]
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 40_000);
}
