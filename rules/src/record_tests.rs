//! Tests of records: what is refused, under which code and path.

use sillage_proof::keys::SigningKey;

use super::*;
use crate::act::PartyRegistration;
use crate::roles::Roles;
use crate::vouching::Vouching;

fn message() -> v1::Record {
    v1::Record {
        actor: Some(v1::Actor {
            system: "urn:oid:1.2.250.1.71.4.2.1".to_owned(),
            id: "10100534436".to_owned(),
            label: "Dr Claire Dubois".to_owned(),
            ..v1::Actor::default()
        }),
        items: vec![v1::Item { id: "urn:uuid:1".to_owned(), ..v1::Item::default() }],
        purpose: "TREAT".to_owned(),
        basis: Some(v1::Basis { kind: v1::BasisKind::CareTeam.into(), r#ref: String::new() }),
        outcome: v1::Outcome::Success.into(),
        details: "{\"a\":1}".to_owned(),
        ..new_message(Kind::ACCESS_READ, Some(&[7; 32]), 1_700_000_000_000)
    }
}

fn act() -> Act {
    Act::Registered(PartyRegistration {
        key: SigningKey::from_seed(&[1; 32]).public_key(),
        name: "DMP".to_owned(),
        roles: Roles::AUTHOR,
        tls_spki_sha256: vec![],
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: Vouching::default(),
    })
}

/// The error of the record that differs from a good one by one change.
fn refused(change: impl Fn(&mut v1::Record)) -> (Code, String) {
    let mut message = message();
    change(&mut message);
    let error = ParsedRecord::parse(&message.encode_to_vec()).expect_err("one field is wrong");
    assert_eq!(ParsedRecord::from_message(message).expect_err("the same"), error);
    (error.code, error.path)
}

#[test]
fn a_good_record_is_accepted_with_its_bytes() {
    let bytes = message().encode_to_vec();
    let record = ParsedRecord::parse(&bytes).expect("good");
    assert_eq!(record.bytes(), bytes);
    assert_eq!(record.kind(), Kind::ACCESS_READ);
    assert_eq!(record.tag(), Some(&[7; 32]));
    assert_eq!(record.entry_tag(), [7; 32]);
    assert_eq!(record.occurred_at_ms(), 1_700_000_000_000);
    assert_eq!(record.check_from_author(), Ok(()));
    assert_eq!(record.record_hash(&[1; 16]), record_hash(&[1; 16], &bytes));
    assert_eq!(ParsedRecord::from_message(message()), Ok(record));
}

#[test]
fn what_already_happened_is_not_refused_for_missing_context() {
    let bare = v1::Record {
        actor: Some(v1::Actor { label: "garde de nuit".to_owned(), ..v1::Actor::default() }),
        ..new_message(Kind::ACCESS_READ, Some(&[7; 32]), 1)
    };
    ParsedRecord::from_message(bare).expect("who, whose, what, when");
    let automated = v1::Record {
        automated: Some(v1::Automated { software: "cron".to_owned(), version: String::new() }),
        ..new_message(Kind::MOVEMENT_SNDS, Some(&[7; 32]), 1)
    };
    ParsedRecord::from_message(automated).expect("a software acted on its own");
    ParsedRecord::from_message(new_message(Kind::SYSTEM_EVENT, None, 1)).expect("no patient");
}

#[test]
fn each_wrong_field_is_named() {
    let malformed = |path: &str| (Code::MalformedRecord, path.to_owned());
    assert_eq!(refused(|m| m.version = 2), malformed("version"));
    assert_eq!(refused(|m| m.kind = 0x0699), (Code::UnknownKind, "kind".to_owned()));
    assert_eq!(refused(|m| m.kind = 0x1_0601), (Code::UnknownKind, "kind".to_owned()));
    assert_eq!(refused(|m| m.tag = vec![7; 31]), malformed("tag"));
    assert_eq!(refused(|m| m.tag.clear()), malformed("tag"));
    assert_eq!(refused(|m| m.tag = vec![0; 32]), malformed("tag"));
    assert_eq!(refused(|m| m.kind = Kind::SYSTEM_EVENT.code().into()), malformed("tag"));
    assert_eq!(refused(|m| m.occurred_at_ms = 0), malformed("occurred_at_ms"));
    assert_eq!(refused(|m| m.occurred_at_ms = u64::MAX), malformed("occurred_at_ms"));
    assert_eq!(refused(|m| m.actor = None), malformed("actor"));
    assert_eq!(refused(|m| m.actor = Some(v1::Actor::default())), malformed("actor.id"));
    assert_eq!(refused(|m| m.items.push(v1::Item::default())), malformed("items[1].id"));
    assert_eq!(refused(|m| m.items[0].id = "a\u{7}".to_owned()), malformed("items[0].id"));
    assert_eq!(refused(|m| m.items = vec![m.items[0].clone(); 1_025]), malformed("items"));
    assert_eq!(refused(|m| m.items[0].labels = vec![String::new()]), malformed("items[0].labels[0]"));
    assert_eq!(refused(|m| m.purpose = "a b".to_owned()), malformed("purpose"));
    assert_eq!(refused(|m| m.purpose = "a".repeat(129)), malformed("purpose"));
    assert_eq!(refused(|m| m.basis = Some(v1::Basis::default())), malformed("basis.kind"));
    assert_eq!(refused(|m| m.basis.as_mut().expect("set").kind = 7), malformed("basis.kind"));
    assert_eq!(refused(|m| m.outcome = 5), malformed("outcome"));
    assert_eq!(refused(|m| m.details = "[]".to_owned()), malformed("details"));
    assert_eq!(refused(|m| m.details = "{\"a\":1,\"a\":2}".to_owned()), malformed("details"));
    assert_eq!(refused(|m| m.deferred = Some(v1::Deferred::default())), malformed("deferred.reason"));
    assert_eq!(refused(|m| m.agents = vec![v1::Agent::default()]), malformed("agents[0].who"));
    assert_eq!(refused(|m| m.act = Some(act().to_message())), malformed("act"));
    let ids = vec!["x".to_owned(); 17];
    let correlation = v1::Correlation { ids, ..v1::Correlation::default() };
    assert_eq!(refused(|m| m.correlation = Some(correlation.clone())), malformed("correlation.ids"));
    let auth = v1::Authentication { eidas_level: "higher".to_owned(), ..v1::Authentication::default() };
    assert_eq!(refused(|m| m.auth = Some(auth.clone())), malformed("auth.eidas_level"));
    let original = v1::Original { media_type: "text/plain".to_owned(), content: vec![0; 61_440] };
    assert_eq!(refused(|m| m.original = Some(original.clone())), (Code::RecordTooLarge, String::new()));
}

#[test]
fn bytes_that_are_not_the_canonical_encoding_are_refused() {
    let code = |bytes: &[u8]| ParsedRecord::parse(bytes).expect_err("not canonical").code;
    let good = message().encode_to_vec();
    // The version said twice, a default spelt out, an unknown field, fields out of order, a longer varint.
    let version_twice = [&[0x08, 1][..], &good].concat();
    let default = [&good[..], &[0x50, 0]].concat();
    let unknown = [&good[..], &[0xf8, 0x06, 1]].concat();
    let out_of_order = [&good[2..], &good[..2]].concat();
    let long_varint = [&[0x08, 0x81, 0x00][..], &good[2..]].concat();
    for bytes in [version_twice, default, unknown, out_of_order, long_varint] {
        v1::Record::decode(&bytes[..]).expect("protobuf takes it");
        assert_eq!(code(&bytes), Code::MalformedRecord);
    }
    assert_eq!(code(&good[..good.len() - 1]), Code::MalformedRecord);
    assert_eq!(code(b""), Code::MalformedRecord);
    assert_eq!(code(&[0; 61_441]), Code::RecordTooLarge);
}

#[test]
fn a_text_that_is_not_utf_8_has_its_own_code() {
    let mut bytes = message().encode_to_vec();
    let at = bytes.windows(5).position(|window| window == b"TREAT").expect("the purpose");
    bytes[at] = 0xff;
    assert_eq!(ParsedRecord::parse(&bytes).expect_err("not UTF-8").code, Code::InvalidUtf8);
}

#[test]
fn an_act_says_nothing_but_itself() {
    let good = act_message(&act(), 5);
    let record = ParsedRecord::from_message(good.clone()).expect("good");
    assert_eq!(record.act(), Some(&act()));
    assert_eq!(record.entry_tag(), [0; 32]);
    let person = v1::Record { actor: message().actor, ..good.clone() };
    assert!(ParsedRecord::from_message(person).is_err(), "acts aren't sealed");
    let other = v1::Record { kind: Kind::KEY_ROTATED.code().into(), ..good.clone() };
    assert_eq!(ParsedRecord::from_message(other).expect_err("another act").path, "act");
    let none = v1::Record { act: None, ..good };
    assert_eq!(ParsedRecord::from_message(none).expect_err("no act").path, "act");
}

#[test]
fn what_the_ledger_makes_is_refused_from_an_author() {
    let record = v1::Record { kind: Kind::DECISION_MADE.code().into(), ..message() };
    let record = ParsedRecord::from_message(record).expect("understood");
    assert_eq!(record.check_from_author().expect_err("reserved").code, Code::KindReserved);
}

#[test]
fn the_future_begins_after_five_minutes() {
    assert_eq!(check_time(301_000, 1_000), Ok(()));
    assert_eq!(check_time(301_001, 1_000).expect_err("ahead").code, Code::TimeAhead);
    assert_eq!(check_time(1, u64::MAX), Ok(()));
}

#[test]
fn a_record_in_two_parts_opens_one_at_a_time() {
    let (actor, private) = (part_hash(&[1; 16], b"actor"), part_hash(&[2; 16], b"private"));
    let whole = two_part_hash(&actor, &private);
    let parts = [&[5_u8][..], actor.as_ref(), private.as_ref()];
    assert_eq!(whole, sha256(&parts));
    assert_ne!(whole, two_part_hash(&private, &actor));
}
