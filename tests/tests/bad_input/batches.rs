//! What authors sign: keys, signatures, sequence numbers, sizes, records.

use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sillage_client::profile::Profile;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::{Batch, Record, SubmitRequest};
use sillage_rules::kind::Kind;
use sillage_tests::lines::now_ms;
use sillage_tests::wire::{self, sign};
use sillage_tests::world::World;

use super::{record, refused, size, submit};

const TAG: [u8; 32] = [7; 32];

fn good(world: &World, stream: &str, seq: u64) -> Batch {
    sign(&wire::signer(&world.profile()), stream, seq, vec![record(TAG, stream)])
}

/// A record that was changed before it was signed.
fn changed(change: impl FnOnce(&mut Record)) -> Vec<u8> {
    let mut message = Record::decode(&record(TAG, "changed")[..]).expect("a record");
    change(&mut message);
    message.encode_to_vec()
}

fn one(world: &World, record: Vec<u8>) -> Batch {
    sign(&wire::signer(&world.profile()), "one", 1, vec![record])
}

pub fn keys_that_sign_nothing_here(world: &mut World) {
    let stranger = wire::signer_with(&world.profile(), SigningKey::from_seed(&[42; 32]));
    refused(world, &sign(&stranger, "keys", 1, vec![record(TAG, "a")]), "UNKNOWN_KEY");
    let batch = Batch { key_id: vec![1; 31], ..good(world, "keys", 1) };
    refused(world, &batch, "MALFORMED_REQUEST");
    let batch = Batch { alg: 2, ..good(world, "keys", 1) };
    refused(world, &batch, "MALFORMED_REQUEST");
}

pub fn what_was_altered_after_it_was_signed(world: &mut World) {
    let batch = good(world, "altered", 1);
    let mut signature = batch.clone();
    signature.signature[3] ^= 1;
    refused(world, &signature, "BAD_SIGNATURE");
    let signature = Batch { signature: vec![0; 64], ..batch.clone() };
    refused(world, &signature, "BAD_SIGNATURE");
    let signature = Batch { signature: Vec::new(), ..batch.clone() };
    refused(world, &signature, "BAD_SIGNATURE");
    let seq = Batch { seq: 2, ..batch.clone() };
    refused(world, &seq, "BAD_SIGNATURE");
    let label = Batch { stream_label: "another".to_owned(), ..batch.clone() };
    refused(world, &label, "BAD_SIGNATURE");

    let mut altered = batch.clone();
    altered.records[0].record = record(TAG, "another");
    refused(world, &altered, "ROOT_MISMATCH");
    let mut salt = batch.clone();
    salt.records[0].salt[15] ^= 1;
    refused(world, &salt, "ROOT_MISMATCH");
    let twice = Batch { records: [&batch.records[..], &batch.records[..]].concat(), ..batch.clone() };
    refused(world, &twice, "BAD_SIGNATURE");
    submit(world, 1, batch).expect("as it was signed, it is accepted");
}

pub fn numbers_of_a_stream(world: &mut World) {
    let signer = wire::signer(&world.profile());
    let batch = |seq, note: &str| sign(&signer, "numbers", seq, vec![record(TAG, note)]);
    assert_eq!(refused(world, &batch(2, "early"), "OUT_OF_ORDER").expected_seq, 1);
    refused(world, &batch(0, "zero"), "MALFORMED_REQUEST");

    let first = submit(world, 1, batch(1, "first")).expect("the first");
    assert!(!first.repeated);
    let before = size(world);
    for node in 1..=3 {
        let again = submit(world, node, batch(1, "first")).expect("the same batch again");
        assert!(again.repeated, "node {node}");
        let message = |receipt: &sillage_proto::v1::SubmitResponse| {
            let bytes = &receipt.receipt.as_ref().expect("a receipt").message;
            let message = sillage_proof::batch::ReceiptMessage::decode(bytes).expect("a receipt");
            (message.first_index, message.time_ms, message.batch.root)
        };
        assert_eq!(message(&again), message(&first), "the original answer");
    }
    assert_eq!(size(world), before, "and nothing is recorded twice");

    refused(world, &batch(1, "other"), "SEQUENCE_REUSED");
    assert_eq!(refused(world, &batch(3, "skipped"), "OUT_OF_ORDER").expected_seq, 2);
    submit(world, 2, batch(2, "second")).expect("the one that was expected");
    refused(world, &batch(1, "other"), "SEQUENCE_REUSED");
    let label = Batch { stream_label: "Not A Label".to_owned(), ..batch(3, "third") };
    refused(world, &label, "INVALID_STREAM_LABEL");
}

pub fn too_much_or_nothing(world: &mut World) {
    let signer = wire::signer(&world.profile());
    let batch = |records| sign(&signer, "sizes", 1, records);
    refused(world, &batch(Vec::new()), "EMPTY_BATCH");
    refused(world, &batch(vec![record(TAG, "a"); 4_097]), "TOO_MANY_RECORDS");
    let salt = Batch { records: vec![sillage_proto::v1::SaltedRecord::default()], ..batch(vec![record(TAG, "a")]) };
    refused(world, &salt, "MALFORMED_REQUEST");

    // Text of a length that makes the record exactly as large as asked for.
    let sized = |bytes: usize| {
        let text = |length: usize| {
            changed(|r| {
                r.original = Some(sillage_proto::v1::Original {
                    media_type: "text/plain".to_owned(),
                    content: vec![b'x'; length],
                });
            })
        };
        let envelope = text(bytes).len() - bytes;
        text(bytes - envelope)
    };
    let (largest, larger) = (sized(61_440), sized(61_441));
    assert_eq!(largest.len(), 61_440, "the largest record that is taken");
    assert_eq!(larger.len(), 61_441, "one byte more");
    let info = refused(world, &batch(vec![record(TAG, "small"), larger]), "RECORD_TOO_LARGE");
    assert_eq!(info.position, 1, "it says which");
    refused(world, &batch(vec![largest.clone(); 137]), "BATCH_TOO_LARGE");
    // Beyond what a node reads at all.
    refused(world, &batch(vec![largest.clone(); 400]), "BATCH_TOO_LARGE");
    submit(world, 3, batch(vec![largest; 136])).expect("the largest records, as many as may be");
}

pub fn records_that_are_not_records(world: &mut World) {
    let good = record(TAG, "good");
    let cases = [
        (b"\xff\xff\xff not protobuf".to_vec(), "MALFORMED_RECORD"),
        (Vec::new(), "MALFORMED_RECORD"),
        // A field that no one knows, and a default that is spelled out: another encoding of what it says.
        ([&good[..], &[0xf8, 0x07, 1]].concat(), "MALFORMED_RECORD"),
        ([&good[..], &[0x58, 0]].concat(), "MALFORMED_RECORD"),
        (good[..good.len() - 3].to_vec(), "MALFORMED_RECORD"),
        (changed(|r| r.version = 2), "MALFORMED_RECORD"),
        (changed(|r| r.tag = vec![7; 31]), "MALFORMED_RECORD"),
        (changed(|r| r.tag.clear()), "MALFORMED_RECORD"),
        (changed(|r| r.details = "{\"a\":1,\"a\":2}".to_owned()), "MALFORMED_RECORD"),
        (changed(|r| r.kind = 0x0699), "UNKNOWN_KIND"),
        (changed(|r| r.kind = 0x1_0601), "UNKNOWN_KIND"),
    ];
    for (bytes, code) in cases {
        refused(world, &one(world, bytes), code);
    }
    // A text that isn't UTF-8: the same length, so that the rest is in order.
    let mut bytes = changed(|r| r.purpose = "TREAT".to_owned());
    let at = bytes.windows(5).position(|window| window == b"TREAT").expect("the purpose");
    bytes[at..at + 2].copy_from_slice(&[0xc3, 0x28]);
    refused(world, &one(world, bytes), "INVALID_UTF8");
}

pub fn what_an_author_may_not_say(world: &mut World) {
    let made_by_ledger = changed(|r| {
        r.kind = Kind::from_token("decision.made").expect("a kind").code().into();
    });
    refused(world, &one(world, made_by_ledger), "KIND_RESERVED");
    let key = SigningKey::from_seed(&[43; 32]).key_id();
    let act = sillage_rules::act::Act::Revoked { key_id: key, reason: "none".to_owned() };
    let act = sillage_rules::record::act_message(&act, now_ms()).encode_to_vec();
    refused(world, &one(world, act), "NOT_ENTITLED");
}

pub fn the_past_is_accepted_and_the_future_is_not(world: &mut World) {
    let at = |ms| changed(|r| r.occurred_at_ms = ms);
    refused(world, &one(world, at(now_ms() + 360_000)), "TIME_AHEAD");
    refused(world, &one(world, at(u64::MAX)), "MALFORMED_RECORD");
    refused(world, &one(world, at(0)), "MALFORMED_RECORD");
    let accepted = vec![at(now_ms() + 200_000), at(1), at(now_ms())];
    submit(world, 1, sign(&wire::signer(&world.profile()), "times", 1, accepted))
        .expect("not too far ahead, and the past");
}

pub fn any_flipped_bit_is_refused(world: &mut World) {
    let request = SubmitRequest { batch: Some(good(world, "flipped", 1)) }.encode_to_vec();
    let (before, profile) = (size(world), world.profile());
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let flips: Vec<usize> = (0..300).map(|_| dice.random_range(0..request.len() * 8)).collect();
    world.wait(async {
        let channel = wire::channel(&profile, 1, Some(&wire::pem_of(&profile)));
        for bit in flips {
            let mut bytes = request.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let answer = wire::raw(channel.clone(), "/sillage.v1.Ledger/Submit", bytes).await;
            let status = answer.expect_err("every bit of a batch counts");
            assert!(!wire::info(&status).retry, "bit {bit}: {status:?}");
        }
    });
    assert_eq!(size(world), before);
    submit(world, 1, good(world, "flipped", 1)).expect("with every bit in its place");
}

/// Registers a party through the command line, and gives its profile.
pub fn register(world: &World, name: &str, roles: &str, more: &[&str]) -> Profile {
    let folder = world.path(name);
    let args =
        ["keys", "register", "--name", name, "--role", roles, "--vouch-for-all", "--out", &folder.to_string_lossy()];
    // This profile holds the authority's key, and may resolve the tag of a patient that is registered.
    world.sillage(&[&args[..], more].concat()).ok();
    Profile::load(&folder.join("sillage.toml")).expect("the profile of the new party")
}

fn submit_as(world: &World, profile: &Profile, batch: Batch) -> Result<(), tonic::Status> {
    world.wait(async {
        let mut rpc = wire::rpc(profile, 2, Some(&wire::pem_of(profile)));
        rpc.submit(SubmitRequest { batch: Some(batch) }).await.map(|_| ())
    })
}

fn refused_as(world: &World, profile: &Profile, batch: Batch, code: &str) {
    let before = size(world);
    let info = wire::info(&submit_as(world, profile, batch).expect_err(code));
    assert_eq!(info.code, code, "{}", info.message);
    assert_eq!(size(world), before, "{code}");
}

pub fn keys_that_were_revoked_or_replaced(world: &mut World) {
    let party = register(world, "service-a", "recorder,tag", &[]);
    let signer = wire::signer(&party);
    let batch = |seq, note: &str| sign(&signer, "svc", seq, vec![record(TAG, note)]);
    submit_as(world, &party, batch(1, "registered")).expect("a registered key");

    let new_key = SigningKey::from_seed(&[44; 32]);
    let (author, key) = (signer.author_id.to_string(), new_key.public_key().to_string());
    let rotate = ["keys", "rotate", "--author", &author, "--public-key", &key];
    world.sillage_as(&world.authority_file(), &rotate).ok();
    refused_as(world, &party, batch(2, "old key"), "REVOKED_KEY");
    // The stream belongs to the author, not to the key: the new one goes on counting.
    let mut rotated = signer.clone();
    rotated.key = new_key;
    submit_as(world, &party, sign(&rotated, "svc", 2, vec![record(TAG, "new key")])).expect("the new key");

    let key_id = rotated.key.key_id().to_string();
    let revoke = ["keys", "revoke", "--key", &key_id, "--reason", "lost"];
    world.sillage_as(&world.authority_file(), &revoke).ok();
    refused_as(world, &party, sign(&rotated, "svc", 3, vec![record(TAG, "revoked")]), "REVOKED_KEY");
    let revoke_again =
        world.sillage_as(&world.authority_file(), &["keys", "revoke", "--key", &"00".repeat(32), "--reason", "x"]);
    revoke_again.fails(4).naming("ACT_REFUSED");
}

pub fn more_than_the_quota(world: &mut World) {
    let party = register(world, "service-b", "recorder", &["--quota", "5"]);
    let signer = wire::signer(&party);
    let batch = |seq| {
        let note = |i: usize| record(TAG, &format!("quota-{seq}-{i}"));
        sign(&signer, "many", seq, (0..4_096).map(note).collect())
    };
    submit_as(world, &party, batch(1)).expect("the largest batch fits every quota once");
    let before = size(world);
    let info = wire::info(&submit_as(world, &party, batch(2)).expect_err("over the quota"));
    assert_eq!(info.code, "QUOTA_EXCEEDED", "{}", info.message);
    assert!(info.retry, "the same batch may pass later");
    assert_eq!(size(world), before);
    submit(world, 1, good(world, "quota-others", 1)).expect("others are not held back");
}
