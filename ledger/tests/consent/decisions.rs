//! Decisions: on record, sealed, found again, and never twice.

use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use sillage_ledger::{CommandOutcome, Fatal};
use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::consent::ActorName;
use sillage_rules::decide::record::ActorView;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

use crate::common::world::*;
use crate::common::{START_MS, code, commit, copy_dir, key, naive, open, registration, tag, two_tags};

/// The open tag of patient `number`, who has a second one.
fn open_tag(number: u8) -> [u8; 32] {
    two_tags(number).open
}

/// The secret tag of patient `number`.
fn secret(number: u8) -> [u8; 32] {
    two_tags(number).secret
}

fn both(number: u8, actor: v1::Actor, items: &[v1::Item]) -> v1::DecisionRequest {
    v1::DecisionRequest { secret_tag: secret(number).to_vec(), ..may_read(open_tag(number), actor, items) }
}

#[test]
fn a_decision_is_an_entry_of_the_trace_whose_parts_open_one_at_a_time() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr), deny(tag(1), "b", "PSY")]);
    let asked = may_read(tag(1), dr.clone(), &[report("d1", &[]), report("psychiatry", &["PSY"])]);
    world.now += 1_000;
    let decided = world.ask(asked).expect("decided");
    assert!(!decided.repeated);
    let [made] = &decided.decisions[..] else { panic!("one tag was asked") };
    assert_eq!((&made.permitted[..], &made.told[..]), (&["d1".to_owned()][..], &["d1".to_owned()][..]));
    let Some(Entry::Record(entry)) = world.reader().decoded_entry(made.index).expect("readable") else {
        panic!("a record entry")
    };
    assert_eq!((entry.kind, entry.flags, entry.tag, entry.position), (Kind::DECISION_MADE, Flags::LEDGER, tag(1), 0));
    assert_eq!((entry.record_hash, entry.time), (made.record_hash, made.time_ms));
    // What the actor holds leads to the hash on record, and says nothing of why.
    let view = ActorView::parse(&made.actor_part, made.salt, made.private_hash).expect("the actor's part");
    assert_eq!(view.record_hash(), entry.record_hash);
    assert!(!String::from_utf8_lossy(&made.actor_part).contains("psychiatry"));
    let record = world.decision(made.index);
    assert_eq!(record.record_hash(), entry.record_hash);
    let outcomes = &record.private_part().outcomes;
    let reasons: Vec<_> = outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome.reason.as_str())).collect();
    assert_eq!(reasons, [("d1", "CONSENT_GRANT"), ("psychiatry", "CONSENT_DENY")]);
    let genesis = world.reader().genesis().clone();
    record.verify_request(&key(2).public_key(), &genesis.origin).expect("signed by who asked");
    // It stands in the patient's trace and index like every other record.
    let trace: Vec<_> = world.reader().trace_scan(&tag(1), None).map(|row| row.expect("readable").index).collect();
    assert_eq!(trace[0], made.index);
    commit(world.ledger());
    let entries: Vec<Vec<u8>> = stored(&world.reader()).into_iter().map(|(entry, _)| entry).collect();
    naive::check_proof(&world.reader(), &entries, &tag(1));
    let paths = world.reader().batch_paths(&[made.index]).expect("a record");
    assert_eq!((paths[0].header, paths[0].path.len()), (None, 0));
}

#[test]
fn nothing_of_a_decision_stands_in_clear() {
    let mut world = World::new();
    let secret = "PLANTED-MARKER-document";
    let asked = world.asks(&[may_read(tag(1), doctor(1, "cardiologist"), &[item(secret)])]);
    let command = Command { version: 3, decisions: vec![asked.clone()], ..Command::default() }.encode_to_vec();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    assert!(!holds(&command), "not in the log of commands");
    let outcome = world.apply(Command { decisions: vec![asked], ..Command::default() }).remove(0);
    assert!(!format!("{outcome:?}").contains(secret), "nor where an outcome is printed");
    world.ledger().flush().expect("writable");
    for (entry, payload) in stored(&world.reader()) {
        assert!(!holds(&entry) && !payload.is_some_and(|payload| holds(&payload)));
    }
}

#[test]
fn a_ward_round_is_asked_under_one_signature_and_refused_one_by_one() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr)]);
    world.record(&[permit(tag(3), "a", &dr)]);
    let stale = v1::DecisionRequest {
        nonce: vec![9; 16],
        requested_at_ms: START_MS - HOUR_MS,
        ..may_read(tag(2), dr.clone(), &[item("d")])
    };
    let requests = [may_read(tag(1), dr.clone(), &[item("d")]), stale, may_read(tag(3), dr.clone(), &[item("d")])];
    let asked = world.asks(&requests);
    let CommandOutcome::Decided(decided) =
        world.apply(Command { decisions: vec![asked], ..Command::default() }).remove(0)
    else {
        panic!("refused")
    };
    let [Ok(first), Err(refusal), Ok(third)] = &decided[..] else { panic!("{decided:?}") };
    assert_eq!((refusal.code, refusal.position), (Code::StaleRequest, Some(1)));
    let genesis = world.reader().genesis().clone();
    for (position, decided) in [(0, first), (2, third)] {
        let record = world.decision(decided.decisions[0].index);
        assert_eq!((record.private_part().position, record.private_part().count), (position, 3));
        record.verify_request(&key(2).public_key(), &genesis.origin).expect("under the one signature");
        assert_eq!(record.actor_part().permitted, ["d"]);
    }
}

#[test]
fn a_request_is_fresh_and_the_same_one_again_gets_the_original_answer() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr)]);
    let request = world.request(may_read(tag(1), dr.clone(), &[item("d1")]));
    let ask = |world: &mut World| {
        // Another node seals it anew.
        let sealed = world.seal_requests(std::slice::from_ref(&request));
        match world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0) {
            CommandOutcome::Decided(mut decided) => decided.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let first = ask(&mut world).expect("decided");
    world.record(&[revoke(tag(1), "a")]);
    world.now += 299_000;
    world.reopen();
    let size = world.reader().tree_size();
    let again = ask(&mut world).expect("known");
    assert!(again.repeated && !first.repeated);
    assert_eq!(again.decisions, first.decisions, "what was decided then");
    assert_eq!(world.reader().tree_size(), size, "nothing new is on record");
    world.now += 2_000;
    assert_eq!(ask(&mut world).expect_err("too old").code, Code::StaleRequest);
    let mut ahead = may_read(tag(1), dr, &[item("d1")]);
    (ahead.nonce, ahead.requested_at_ms) = (vec![1; 16], world.now + 301_000);
    assert_eq!(world.ask(ahead).expect_err("from the future").code, Code::TimeAhead);
}

#[test]
fn who_asks_is_an_author_with_an_active_key_and_signed_it() {
    let mut world = World::new();
    let ask = may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")]);
    let apply =
        |world: &mut World, sealed| world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
    let mut unknown = world.asks(std::slice::from_ref(&ask));
    unknown.key_id = key(50).key_id().as_bytes().to_vec();
    assert_eq!(code(&apply(&mut world, unknown)), Some(Code::UnknownKey));
    let mut authority = world.asks(std::slice::from_ref(&ask));
    authority.key_id = key(1).key_id().as_bytes().to_vec();
    assert_eq!(code(&apply(&mut world, authority)), Some(Code::NotEntitled));
    let mut forged = world.asks(std::slice::from_ref(&ask));
    forged.signature[3] ^= 1;
    assert_eq!(world.reader().verify_decision(&forged).expect_err("altered").code, Code::BadSignature);
    let good = world.asks(std::slice::from_ref(&ask));
    assert_eq!(world.reader().verify_decision(&good), Ok(()));
    // Sealed for one bulk, a request can't be slipped into another.
    let mut slipped = world.asks(&[may_read(tag(2), doctor(1, "cardiologist"), &[item("d1")])]);
    slipped.requests[0] = good.requests[0].clone();
    assert_eq!(code(&apply(&mut world, slipped)), Some(Code::MalformedRequest));
    let mut none = good.clone();
    none.requests.clear();
    assert_eq!(code(&apply(&mut world, none)), Some(Code::MalformedRequest));
    let revoked = Act::Revoked { key_id: key(2).key_id(), reason: "stolen".into() };
    assert!(matches!(world.act(&revoked), CommandOutcome::Done { .. }));
    assert_eq!(code(&apply(&mut world, good)), Some(Code::RevokedKey));
}

#[test]
fn a_request_for_items_under_both_tags_becomes_two_decisions() {
    let mut world = World::new();
    let dr = doctor(1, "gynaecologist");
    world.record(&[permit(open_tag(1), "a", &dr)]);
    world.record(&[deposit(open_tag(1), dr.clone(), &[report("open", &[])])]);
    world.record(&[deposit(secret(1), dr.clone(), &[report("pill", &[])])]);
    let decided = world.ask(both(1, dr.clone(), &[item("open"), item("pill")])).expect("decided");
    let [open, kept] = &decided.decisions[..] else { panic!("{decided:?}") };
    assert_eq!((open.tag, kept.tag), (open_tag(1), secret(1)));
    assert_eq!((&open.permitted, &kept.permitted), (&vec!["open".to_owned()], &vec!["pill".to_owned()]));
    assert_eq!(kept.index.get(), open.index.get() + 1);
    assert_ne!(open.salt, kept.salt);
    // Who reads the open trace learns neither of the item nor of the secret tag.
    let shown = world.decision(open.index).payload();
    assert!(!shown.windows(4).any(|part| part == b"pill"));
    assert!(!shown.windows(32).any(|part| part == secret(1)));
    assert_eq!(world.decision(kept.index).private_part().outcomes[0].id, "pill");
    // Without the secret tag nothing is decided that would tell, under the open one, of a secret item.
    let alone = world.ask(may_read(open_tag(1), dr.clone(), &[item("pill")])).expect_err("the secret tag is left out");
    assert_eq!(alone.code, Code::MalformedRequest);
    // Permitted alone, it leaves nothing in the open trace, not even that something was asked.
    let alone = world.ask(both(1, dr.clone(), &[item("pill")])).expect("decided");
    let [alone] = &alone.decisions[..] else { panic!("{alone:?}") };
    assert_eq!((alone.tag, &alone.permitted[..]), (secret(1), &["pill".to_owned()][..]));
    // Denied, it leaves nothing there either, and the actor's part looks as if nothing was there; the second trace has it.
    let stranger = doctor(7, "dentist");
    let asked = both(1, stranger.clone(), &[item("pill")]);
    let asked = world.request(asked).message().clone();
    let denied = world.ask(asked.clone()).expect("decided");
    let nothing = world.ask(both(1, stranger, &[item("no such")])).expect("decided");
    let ([denied_one], [nothing]) = (&denied.decisions[..], &nothing.decisions[..]) else { panic!("{denied:?}") };
    assert_eq!((denied_one.tag, nothing.tag), (open_tag(1), open_tag(1)));
    assert_eq!((&denied_one.permitted, &denied_one.told), (&nothing.permitted, &nothing.told));
    assert_eq!(denied_one.actor_part.len(), nothing.actor_part.len());
    let Some(Entry::Record(entry)) = world.reader().decoded_entry(denied_one.index).expect("readable") else {
        panic!("a record entry")
    };
    let record = world.decision(denied_one.index);
    assert_eq!((entry.tag, record.is_under(&secret(1))), (secret(1), true));
    assert!(!record.is_under(&open_tag(1)) && record.private_part().outcomes[0].reason == "NO_CONSENT");
    // Asked again, it is the same decision, with the same receipt.
    let again = world.ask(asked).expect("decided");
    assert!(again.repeated && again.decisions == denied.decisions);
}

#[test]
fn what_a_minor_keeps_is_decided_apart_wherever_it_was_deposited() {
    let mut world = World::new();
    let dr = doctor(1, "gynaecologist");
    world.record(&[permit(open_tag(1), "a", &dr)]);
    world.record(&[deposit(open_tag(1), dr.clone(), &[report("open", &[]), report("pill", &[])])]);
    let kept = says(Kind::MINOR_SECRECY_SET, Some(secret(1)), patient(), &serde_json::Value::Null);
    world.record(&[v1::Record { items: vec![item("pill")], ..kept }]);
    let decided = world.ask(both(1, dr, &[item("open"), item("pill")])).expect("decided");
    let [open, kept] = &decided.decisions[..] else { panic!("{decided:?}") };
    assert_eq!((open.tag, kept.tag), (open_tag(1), secret(1)));
    assert_eq!((&open.permitted, &kept.permitted), (&vec!["open".to_owned()], &vec!["pill".to_owned()]));
}

#[test]
fn two_tags_belong_together_where_it_is_proven_and_nobody_says_so_else() {
    let mut world = World::new();
    let ask = |open: [u8; 32], secret: Option<[u8; 32]>| v1::DecisionRequest {
        secret_tag: secret.map(|tag| tag.to_vec()).unwrap_or_default(),
        ..may_read(open, doctor(1, "cardiologist"), &[item("x")])
    };
    // Under a proof of other tags, and under none.
    let refused = |world: &mut World, open, secret| world.ask(ask(open, secret)).expect_err("not proven").code;
    assert_eq!(refused(&mut world, open_tag(1), Some(secret(2))), Code::MalformedRequest, "another's secret tag");
    assert_eq!(refused(&mut world, tag(5), Some(secret(1))), Code::MalformedRequest, "nothing proves it");
    assert_eq!(refused(&mut world, open_tag(1), Some(open_tag(2))), Code::MalformedRequest, "another's open tag");
    world.ask(both(1, doctor(1, "cardiologist"), &[item("x")])).expect("proven");
    assert_eq!(refused(&mut world, open_tag(2), Some(secret(1))), Code::MalformedRequest, "another's secret tag");
    assert_eq!(
        refused(&mut world, secret(1), None),
        Code::MalformedRequest,
        "the secret tag as if it were the open one"
    );
    assert_eq!(refused(&mut world, open_tag(1), None), Code::MalformedRequest, "the secret tag left out");
    // Once proven, it is on record: asked again, nothing needs to come along.
    let asked = world.request(both(1, doctor(1, "cardiologist"), &[item("x")]));
    let sealed = world.seal_without_proof(&[asked]);
    let outcome = world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
    assert!(matches!(&outcome, CommandOutcome::Decided(decided) if decided[0].is_ok()), "{outcome:?}");
    let asked = world.request(both(2, doctor(1, "cardiologist"), &[item("x")]));
    let sealed = world.seal_without_proof(&[asked]);
    let outcome = world.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
    assert!(matches!(&outcome, CommandOutcome::Decided(decided) if decided[0].is_err()), "{outcome:?}");
}

#[test]
fn a_proof_outweighs_the_authoritys_word_which_must_not_contradict_one() {
    let mut world = World::new();
    let device = |seed: u8, open: [u8; 32], secret: [u8; 32]| sillage_rules::act::PartyRegistration {
        patient_tag: Some(open),
        patient_secret_tag: Some(secret),
        ..registration(seed, Roles::PATIENT)
    };
    // Registered by mistake.
    assert!(matches!(world.act(&Act::Registered(device(20, open_tag(1), secret(2)))), CommandOutcome::Done { .. }));
    let mut asks = |number| world.ask(both(number, doctor(1, "cardiologist"), &[item("x")])).map(|_| ());
    asks(1).expect("proven");
    asks(2).expect("proven, and free again");
    asks(1).expect("still so");
    let CommandOutcome::Refused(refusal) = world.act(&Act::Registered(device(21, open_tag(1), secret(2)))) else {
        panic!("contradicts what was proven")
    };
    assert_eq!(refusal.code, Code::ActRefused);
    assert!(matches!(world.act(&Act::Registered(device(22, open_tag(2), secret(2)))), CommandOutcome::Done { .. }));
}

#[test]
fn an_item_is_what_was_deposited_and_stays_its_patients() {
    let mut world = World::new();
    let (dr, other) = (doctor(1, "cardiologist"), doctor(2, "cardiologist"));
    world.record(&[permit(tag(1), "a", &other), deny(tag(1), "b", "PSY")]);
    world.record(&[deposit(tag(1), dr.clone(), &[report("d1", &["PSY"])])]);
    assert_eq!(world.reason(may_read(tag(1), other.clone(), &[item("d1")])), "CONSENT_DENY", "as it was deposited");
    assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "DEPOSITOR");
    let lied = may_read(tag(1), dr.clone(), &[report("d1", &["OTHER"])]);
    assert_eq!(world.ask(lied).expect_err("contradicts").code, Code::ItemContradicts);
    // Who may not know of it isn't told so either: denied, and on record, as if it weren't there.
    let lied = may_read(tag(1), other.clone(), &[report("d1", &["OTHER"])]);
    assert_eq!(world.reason(lied), "CONSENT_DENY");
    // A later version of its depositor says what it is now.
    world.record(&[deposit(tag(1), dr.clone(), &[report("d1", &["CARDIO"])])]);
    assert_eq!(world.reason(may_read(tag(1), other.clone(), &[item("d1")])), "CONSENT_GRANT");
    world.record(&[deposit(tag(1), dr.clone(), &[report("d1", &["PSY"])])]);
    // Nobody takes it over under another patient's tag.
    world.record(&[deposit(tag(2), other.clone(), &[report("d1", &[])])]);
    assert_eq!(world.reason(may_read(tag(2), other.clone(), &[item("d1")])), "UNKNOWN_ITEM");
    assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "DEPOSITOR");
}

#[test]
fn what_its_depositor_writes_again_under_the_second_tag_is_kept_apart_once_the_tags_are_known() {
    let mut world = World::new();
    let (dr, other) = (doctor(1, "gynaecologist"), doctor(2, "gynaecologist"));
    world.record(&[permit(open_tag(1), "a", &other)]);
    let rewritten = |world: &mut World, id: &str, by: &v1::Actor, tag: [u8; 32], labels: &[&str]| {
        world.record(&[deposit(tag, by.clone(), &[report(id, labels)])]);
    };
    for id in ["pill", "mine", "wrong"] {
        rewritten(&mut world, id, &dr, open_tag(1), &[]);
    }
    rewritten(&mut world, "kept", &dr, secret(1), &[]);
    rewritten(&mut world, "kept", &dr, open_tag(1), &["SEX"]);
    // By its depositor; by somebody else; by its depositor for another patient, by mistake, and then rightly.
    rewritten(&mut world, "pill", &dr, secret(1), &["SEX"]);
    rewritten(&mut world, "mine", &other, secret(1), &[]);
    rewritten(&mut world, "wrong", &dr, secret(2), &[]);
    // What comes after, for whomever, takes nothing of it back.
    rewritten(&mut world, "pill", &dr, secret(2), &[]);
    rewritten(&mut world, "pill", &dr, open_tag(3), &[]);
    // Asked about for the first time, the request proves whose the tags are.
    let decided = world.ask(both(1, other.clone(), &[item("pill"), item("mine"), item("wrong")])).expect("decided");
    let [open, kept] = &decided.decisions[..] else { panic!("{decided:?}") };
    assert_eq!(open.permitted, ["mine", "wrong"]);
    assert_eq!((kept.tag, &kept.permitted[..]), (secret(1), &["pill".to_owned()][..]));
    rewritten(&mut world, "wrong", &dr, secret(1), &[]);
    let decided = world.ask(both(1, other.clone(), &[item("wrong")])).expect("decided");
    assert_eq!((decided.decisions.len(), decided.decisions[0].tag), (1, secret(1)));
    // What was written last says what it is, and who wrote it first stays its depositor.
    world.record(&[deny(secret(1), "b", "SEX")]);
    assert_eq!(world.reason(both(1, other, &[item("pill")])), "CONSENT_DENY");
    assert_eq!(world.reason(both(1, dr.clone(), &[item("pill")])), "DEPOSITOR");
    // So does what was written again under the open tag, though an item that was secret once stays so.
    let asked = world.ask(both(1, doctor(2, "gynaecologist"), &[item("kept")])).expect("decided");
    let [kept] = &asked.decisions[..] else { panic!("{asked:?}") };
    assert_eq!(world.decision(kept.index).private_part().outcomes[0].reason, "CONSENT_DENY");
    let lied = world.ask(both(1, dr, &[report("pill", &["OTHER"])])).expect_err("contradicts");
    assert_eq!(lied.code, Code::ItemContradicts);
}

#[test]
fn nobody_takes_an_item_over_by_deleting_it_or_by_calling_it_something_else() {
    let mut world = World::new();
    let (dr, other) = (doctor(1, "cardiologist"), doctor(2, "cardiologist"));
    world.record(&[permit(tag(1), "a", &other), deny(tag(1), "b", "PSY")]);
    world.record(&[deposit(tag(1), dr.clone(), &[report("d1", &["PSY"])])]);
    let delete =
        |by: &v1::Actor| access(Kind::ACCESS_DELETE, tag(1), by.clone(), &[item("d1")], (v1::BasisKind::Legal, "x"));
    let calls = |by: &v1::Actor, label: &str| v1::Record {
        kind: Kind::ACCESS_UPDATE.code().into(),
        ..deposit(tag(1), by.clone(), &[report("d1", &[label])])
    };
    // What happened is recorded, and opens nothing to who did it.
    for record in [calls(&other, "CARDIO"), delete(&other), calls(&other, "CARDIO")] {
        world.record(&[record]);
        assert_eq!(world.reason(may_read(tag(1), other.clone(), &[item("d1")])), "CONSENT_DENY");
        assert_eq!(world.reason(may_read(tag(1), other.clone(), &[report("d1", &["CARDIO"])])), "CONSENT_DENY");
        assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "DEPOSITOR");
    }
    // In one batch, the same.
    world.record(&[delete(&other), deposit(tag(1), other.clone(), &[report("d1", &[])])]);
    assert_eq!(world.reason(may_read(tag(1), other.clone(), &[item("d1")])), "CONSENT_DENY");
    // That any professional may deposit is no right to say what another's item is.
    let may_write = v1::DecisionRequest {
        action: "write".into(),
        ..may_read(tag(1), other.clone(), &[report("d2", &[]), item("d1")])
    };
    world.record(&[revoke(tag(1), "b")]);
    let decided = world.ask(may_write).expect("decided");
    assert_eq!(decided.decisions[0].permitted, ["d2", "d1"]);
    let cites = |index: LeafIndex| v1::Basis { kind: v1::BasisKind::Decision.into(), r#ref: index.to_string() };
    let write = deposit(tag(1), other.clone(), &[report("d1", &["CARDIO"])]);
    world.record(&[v1::Record { basis: Some(cites(decided.decisions[0].index)), ..write }, deny(tag(1), "b2", "PSY")]);
    assert_eq!(world.reason(may_read(tag(1), other.clone(), &[item("d1")])), "CONSENT_DENY");
    // Permitted to change it, one says what it is.
    let permitted = v1::Record {
        details: json!({"id": "c", "effect": "permit", "grantee": {"professional": name(&other)},
            "actions": ["update"], "purposes": ["TREAT"]})
        .to_string(),
        ..permit(tag(1), "c", &other)
    };
    world.record(&[revoke(tag(1), "b2"), permitted]);
    let may_update =
        |by: &v1::Actor| v1::DecisionRequest { action: "update".into(), ..may_read(tag(1), by.clone(), &[item("d1")]) };
    let decided = world.ask(may_update(&other)).expect("decided");
    let basis = cites(decided.decisions[0].index);
    assert_eq!(decided.decisions[0].permitted, ["d1"]);
    world.record(&[v1::Record { basis: Some(basis), ..calls(&other, "CARDIO") }, deny(tag(1), "d", "PSY")]);
    assert_eq!(world.reason(may_read(tag(1), other, &[item("d1")])), "CONSENT_GRANT");
}

#[test]
fn the_patient_proves_who_they_are_or_asks_with_their_own_key() {
    let mut world = World::new();
    let unproven = may_read(tag(1), patient(), &[item("d1")]);
    assert_eq!(world.ask(unproven.clone()).expect_err("unproven").code, Code::AuthenticationMissing);
    let auth = v1::Authentication { issuer: "fc".into(), method: "app".into(), eidas_level: "substantial".into() };
    let proven = v1::DecisionRequest { auth: Some(auth), ..unproven };
    assert_eq!(world.reason(proven), "SELF");
    let represented =
        json!({"representative": "urn:sillage:person|marie", "relation": "CAREGIVER", "powers": ["read"]});
    world.record(&[says(Kind::REPRESENTATION_REGISTERED, Some(tag(1)), patient(), &represented)]);
    let marie = may_read(tag(1), person("marie"), &[item("d1")]);
    assert_eq!(world.ask(marie).expect_err("unproven").code, Code::AuthenticationMissing);
}

#[test]
fn a_revoked_actor_is_permitted_nothing_and_signs_nothing() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr)]);
    let before = world.reader().tree_size().get();
    let actor: ActorName = name(&dr).parse().expect("a name");
    let revoked = Act::ActorRevoked { actor_hash: actor.hash(), reason: "struck off".into() };
    assert!(matches!(world.act(&revoked), CommandOutcome::Done { .. }));
    assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "INVALID_ACTOR");
    assert_eq!(world.refused(break_glass(Some(tag(1)), "bg", dr, START_MS + HOUR_MS)), Code::NotEntitled);
    let reader = world.reader();
    assert_eq!(reader.revoked_actors(reader.tree_size().get()).expect("readable"), [actor.hash()]);
    assert_eq!(reader.revoked_actors(before).expect("readable"), []);
}

#[test]
fn names_of_requests_are_forgotten_once_they_are_stale() {
    let mut world = World::new();
    for _ in 0..40 {
        world.now += 30_000;
        world.ask(may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")])).expect("decided");
    }
    world.reopen();
    world.now += 10 * HOUR_MS;
    let decided = world.ask(may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")])).expect("decided");
    assert_eq!(decided.decisions[0].index, LeafIndex(41), "forgetting changes nothing of the log");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Whatever a node that lies makes of a command, every node goes on, and does the same.
    #[test]
    fn a_spoilt_command_stops_nobody(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 24),
        cut in any::<prop::sample::Index>(),
    ) {
        let dr = doctor(1, "cardiologist");
        let mut world = World::new();
        world.record(&[permit(tag(1), "a", &dr), deposit(secret(1), dr.clone(), &[report("pill", &[])])]);
        let batch = world.sealed(2, &[deny(tag(1), "b", "PSY"), break_glass(None, "bg", dr.clone(), START_MS + HOUR_MS)]);
        let asked = world.asks(&[both(1, dr.clone(), &[item("d1"), item("pill")]), may_read(tag(2), dr, &[item("d2")])]);
        let good = Command { version: 3, batches: vec![batch], decisions: vec![asked], ..Command::default() };
        let good = good.encode_to_vec();
        let dir = tempfile::tempdir().expect("a folder");
        world.ledger().flush().expect("writable");
        copy_dir(world.dir.path(), dir.path());
        let mut other = open(dir.path());
        let spoilt = flips.iter().map(|(at, bits)| {
            let mut bad = good.clone();
            bad[at.index(good.len())] ^= bits;
            bad
        });
        for data in spoilt.chain([good[..cut.index(good.len())].to_vec(), good.clone()]) {
            let (index, now) = (world.ledger().applied().0 + 1, world.now);
            let outcomes = world.ledger().apply(index, 1, now, &data);
            let outcomes = match outcomes {
                Ok(outcomes) => outcomes,
                Err(Fatal::Version { .. }) => return Ok(()),
                Err(error) => panic!("{error}"),
            };
            prop_assert_eq!(other.apply(index, 1, now, &data).expect("as the first"), outcomes);
        }
        prop_assert_eq!(stored(&other.entry_reader()), stored(&world.reader()));
    }
}
