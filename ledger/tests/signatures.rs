//! The signer of a batch, by the keys on record: asked by a leader of what other nodes hand it.

mod common;

use common::*;
use sillage_proto::internal::v1::SealedBatch;
use sillage_rules::codes::Code;

#[test]
fn a_batch_that_its_author_did_not_sign_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    let reader = ledger.reader();
    let signed = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(reader.verify(&signed).map_err(|refusal| refusal.code), Ok(()));

    let by_a_stranger = batch_by(2, &key(9), "s", 1, vec![record(1, tag(1), 1)]);
    let by_another = batch_by(2, &key(3), "s", 1, vec![record(1, tag(1), 1)]);
    let mut other_number = signed.clone();
    other_number.seq = 2;
    let mut flipped = signed.clone();
    flipped.signature[5] ^= 1;
    let unsigned = SealedBatch { signature: Vec::new(), ..signed.clone() };
    for (forged, expected) in [
        (by_a_stranger, Code::UnknownKey),
        (by_another, Code::BadSignature),
        (other_number, Code::BadSignature),
        (flipped, Code::BadSignature),
        (unsigned, Code::MalformedRequest),
    ] {
        assert_eq!(reader.verify(&forged).map_err(|refusal| refusal.code), Err(expected));
    }
}
