//! Replacing a key again and again: it stays cheap, and it ends.

mod common;

use common::*;
use sillage_ledger::{CommandOutcome, KeyState};
use sillage_proof::keys::{KeyId, SigningKey};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::limits::PARTY_KEYS_MAX;

fn nth(n: usize) -> SigningKey {
    let mut seed = [0xaa; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    SigningKey::from_seed(&seed)
}

#[test]
fn a_party_has_one_active_key_and_so_many_in_its_life() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let rotate =
        |n| act(&Act::Rotated { author_id: author_id(2), key: nth(n).public_key(), tls_spki_sha256: Vec::new() });
    // One key it was registered with.
    let first = batch(1, "acts", 1, (1..PARTY_KEYS_MAX).map(rotate).collect());
    assert_eq!(code(&apply_one(&mut ledger, first)), None);
    let outcome = apply_one(&mut ledger, batch(1, "acts", 2, vec![rotate(PARTY_KEYS_MAX)]));
    let CommandOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.code, refusal.position), (Code::ActRefused, Some(0)), "{refusal}");

    let reader = ledger.reader();
    let party = reader.party(&author_id(2)).expect("readable").expect("registered");
    assert_eq!(party.keys.len(), PARTY_KEYS_MAX);
    let state = |id: &KeyId| reader.key(id).expect("readable").expect("registered").state;
    let (newest, older) = party.keys.split_last().expect("keys");
    assert_eq!(state(newest), KeyState::Active);
    assert!(older.iter().all(|id| state(id) == KeyState::Replaced));
}
