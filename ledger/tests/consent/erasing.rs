//! Erasing what decides, and who it was about.

use serde_json::json;
use sillage_ledger::{CommandOutcome, Options};
use sillage_proto::internal::v1::{Command, LedgerRecord};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};

use crate::common::world::*;
use crate::common::{START_MS, code, commit, naive, quiet, tag};

fn dr() -> v1::Actor {
    doctor(1, "cardiologist")
}

/// Does what the leader does after an erasure, until nothing of it is left to do.
fn reseal(world: &mut World, patient: [u8; 32]) {
    while let Some(reseal) = world.sealer.reseal(&patient, 500).expect("openable") {
        let outcomes = world.apply(Command { reseal: Some(reseal), ..Command::default() });
        assert_eq!(outcomes, [CommandOutcome::KeysChanged]);
    }
}

#[test]
fn what_is_in_force_stays_and_what_is_over_can_go() {
    let mut world = World::new();
    let given = world.record(&[permit(tag(1), "a", &dr())]);
    let ask = || may_read(tag(1), dr(), &[item("d1")]);
    let decided = world.ask(ask()).expect("decided").decisions.remove(0);
    assert_eq!(world.erase(tag(1), &[given]), Err(Code::NotErasable));
    assert_eq!(world.permitted(ask()), ["d1"]);
    let revoked = world.record(&[revoke(tag(1), "a")]);
    assert_eq!(world.erase(tag(1), &[revoked]), Err(Code::NotErasable), "without it the directive would be back");
    world.erase(tag(1), &[given]).expect("over");
    reseal(&mut world, tag(1));
    assert!(world.permitted(ask()).is_empty());
    world.reopen();
    assert!(world.permitted(ask()).is_empty(), "folded from what is left");
    assert!(world.reader().open(&world.sealer, given).expect("readable").is_none());
    // Decisions are sealed anew with all else, and can be erased by themselves.
    assert_eq!(world.decision(decided.index).actor_part().permitted, ["d1"]);
    world.erase(tag(1), &[decided.index]).expect("a decision");
    assert!(world.reader().open(&world.sealer, decided.index).expect("readable").is_none());
}

#[test]
fn an_erased_patient_is_closed_for_ever() {
    let mut world = World::new();
    world.record(&[permit(tag(1), "a", &dr())]);
    let asked = world.request(may_read(tag(1), dr(), &[item("d1")]));
    let sealed = world.seal_requests(std::slice::from_ref(&asked));
    let first = world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
    let CommandOutcome::Decided(first) = first else { panic!("{first:?}") };
    let first = first[0].as_ref().expect("decided").decisions[0].clone();
    assert_eq!(first.permitted, ["d1"]);
    world.erase(tag(1), &[]).expect("erased");
    assert!(world.reader().open(&world.sealer, first.index).expect("readable").is_none(), "decisions went too");
    // The request again: nothing is left to answer with but what holds now.
    let sealed = world.seal_requests(std::slice::from_ref(&asked));
    let again = world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
    let CommandOutcome::Decided(again) = again else { panic!("{again:?}") };
    let again = again[0].as_ref().expect("decided");
    assert!(!again.repeated && again.decisions[0].permitted.is_empty());
    assert_eq!(world.reason(may_read(tag(1), dr(), &[item("d1")])), "SPACE_CLOSED");
    world.reopen();
    let opened = says(Kind::SPACE_OPENED, Some(tag(1)), patient(), &json!({}));
    let _ = world.try_record(&[opened]);
    let _ = world.try_record(&[permit(tag(1), "b", &dr())]);
    assert_eq!(world.reason(may_read(tag(1), dr(), &[item("d1")])), "SPACE_CLOSED", "whatever comes after");
}

#[test]
fn an_erasure_counts_for_what_comes_in_the_same_command() {
    let mut world = World::new();
    world.record(&[permit(tag(1), "a", &dr())]);
    assert_eq!(world.permitted(may_read(tag(1), dr(), &[item("d1")])), ["d1"]);
    let asked = world.asks(&[may_read(tag(1), dr(), &[item("d1")])]);
    let batch = world.erasing_batch(tag(1), &[]);
    let outcomes = world.apply(Command { batches: vec![batch], decisions: vec![asked], ..Command::default() });
    // Its data key went with the patient: sealed again, it is decided on nothing.
    assert_eq!(code(&outcomes[1]), Some(Code::DataKeyGone), "{outcomes:?}");
}

#[test]
fn an_erasure_takes_nothing_of_others_along_in_the_same_command() {
    for kept in [0, 10_000] {
        let mut world = World::with(Options { opened_cached: kept, ..quiet() });
        world.record(&[permit(tag(1), "a", &dr())]);
        let nurse = doctor(2, "nurse");
        let ask = world.request(may_read(tag(2), nurse.clone(), &[item("d1")]));
        let deposited = world.sealed(2, &[deposit(tag(2), nurse, &[report("d1", &[])])]);
        let erased = world.erasing_batch(tag(1), &[]);
        let asked = world.seal_requests(std::slice::from_ref(&ask));
        let batches = vec![deposited, erased];
        let outcomes = world.apply(Command { batches, decisions: vec![asked.clone(), asked], ..Command::default() });
        let [.., CommandOutcome::Decided(first), CommandOutcome::Decided(again)] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        let (first, again) = (first[0].as_ref().expect("decided"), again[0].as_ref().expect("decided"));
        assert_eq!(first.decisions[0].permitted, ["d1"], "who deposited it is known");
        assert_eq!((again.repeated, &again.decisions), (true, &first.decisions));
    }
}

#[test]
fn a_reading_stands_in_the_trace_of_whom_it_was_about() {
    let mut world = World::new();
    world.record(&[permit(tag(1), "a", &dr())]);
    let mut message = new_message(Kind::LOG_CONSULTED, Some(&tag(1)), START_MS);
    message.actor =
        Some(v1::Actor { system: "urn:sillage:author".into(), id: "ab".repeat(32), ..v1::Actor::default() });
    message.details = r#"{"call":"Trace"}"#.into();
    let record = ParsedRecord::from_message(message).expect("a record");
    let consulted = |tag: &[u8; 32]| {
        let mut message = record.message().clone();
        message.tag = tag.to_vec();
        let record = ParsedRecord::from_message(message).expect("a record").into_bytes();
        LedgerRecord { kind: Kind::LOG_CONSULTED.code().into(), salt: vec![8; 16], record }
    };
    let outcomes = world.apply(Command { ledger_records: vec![consulted(&tag(1))], ..Command::default() });
    let [CommandOutcome::LedgerRecord { index }] = outcomes[..] else { panic!("{outcomes:?}") };
    let Some(Entry::Record(entry)) = world.reader().decoded_entry(index).expect("readable") else { panic!("a record") };
    assert_eq!((entry.tag, entry.flags), (tag(1), Flags::LEDGER));
    let trace: Vec<_> = world.reader().trace_scan(&tag(1), None).map(|row| row.expect("readable").index).collect();
    assert_eq!(trace[0], index);
    commit(world.ledger());
    let entries: Vec<Vec<u8>> = stored(&world.reader()).into_iter().map(|(entry, _)| entry).collect();
    naive::check_proof(&world.reader(), &entries, &tag(1));
    assert_eq!(world.reader().open(&world.sealer, index).expect("in clear").expect("on record").record, record.bytes());
    // It isn't sealed, names nobody, and stays when its patient goes.
    assert_eq!(world.erase(tag(1), &[index]), Err(Code::NotErasable));
    world.erase(tag(1), &[]).expect("erased");
    assert!(world.reader().open(&world.sealer, index).expect("in clear").is_some());
    let elsewhere = [0x01; 32];
    let outcomes = world.apply(Command { ledger_records: vec![consulted(&elsewhere)], ..Command::default() });
    assert_eq!(code(&outcomes[0]), Some(Code::TagOutOfRange));
}
