//! Records that decide: admitted or refused, and nothing in between.

use serde_json::json;
use sillage_ledger::seal::{DataKeyBytes, KekError, KekProvider, TagPrefix};
use sillage_ledger::{CommandOutcome, Fatal, Ledger, Options, Refusal};
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::consent::admit::DIRECTIVES_MAX;
use sillage_rules::consent::caps::RecordCaps;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

use crate::common::world::*;
use crate::common::{code, genesis, keks, quiet, registration, tag};

#[test]
fn a_directive_permits_until_it_is_revoked() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    let ask = || may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")]);
    assert!(world.permitted(ask()).is_empty(), "nothing permits it yet");
    world.record(&[permit(tag(1), "a", &dr)]);
    assert_eq!(world.permitted(ask()), ["d1"]);
    let other = may_read(tag(1), doctor(2, "cardiologist"), &[item("d1")]);
    assert!(world.permitted(other).is_empty(), "it names somebody else");
    let other = may_read(tag(2), doctor(1, "cardiologist"), &[item("d1")]);
    assert!(world.permitted(other).is_empty(), "of another patient");
    world.record(&[revoke(tag(1), "a")]);
    assert!(world.permitted(ask()).is_empty());
}

#[test]
fn a_revocation_in_the_same_command_counts() {
    let mut world = World::new();
    world.record(&[permit(tag(1), "a", &doctor(1, "cardiologist"))]);
    let asked = world.asks(&[may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")])]);
    let revoked = world.sealed(2, &[revoke(tag(1), "a")]);
    let outcomes = world.apply(Command { batches: vec![revoked], decisions: vec![asked], ..Command::default() });
    let [CommandOutcome::Done { .. }, CommandOutcome::Decided(decided)] = &outcomes[..] else { panic!("{outcomes:?}") };
    let decided = decided[0].as_ref().expect("decided");
    assert!(decided.decisions[0].permitted.is_empty(), "decided after what came with it");
}

#[test]
fn refusals_name_the_record_and_leave_nothing() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    let size = world.reader().tree_size();
    let anyone = json!({"id": "b", "effect": "permit", "grantee": "anyone", "actions": ["read"]});
    let anyone = says(Kind::CONSENT_DIRECTIVE, Some(tag(1)), patient(), &anyone);
    let refusal = world.try_record(&[permit(tag(1), "a", &dr), anyone]).expect_err("refused");
    assert_eq!((refusal.code, refusal.position), (Code::PermitAnyone, Some(1)));
    assert_eq!(world.reader().tree_size(), size);
    let ask = may_read(tag(1), dr.clone(), &[item("d1")]);
    assert!(world.permitted(ask).is_empty(), "the good one before it left nothing either");
    assert_eq!(world.refused(revoke(tag(1), "a")), Code::UnknownReference);
    assert_eq!(world.refused(says(Kind::SPACE_CLOSED, Some(tag(1)), dr.clone(), &json!({}))), Code::NotEntitled);
    let unknown = says(Kind::SPACE_CLOSED, Some(tag(1)), patient(), &json!({"why": "x"}));
    assert_eq!(world.refused(unknown), Code::MalformedRecord);
    let mut unproven = permit(tag(1), "a", &dr);
    unproven.auth = None;
    assert_eq!(world.refused(unproven), Code::AuthenticationMissing);
    let joined = says(Kind::CARETEAM_JOINED, Some(tag(1)), dr.clone(), &json!({"professional": name(&dr)}));
    assert_eq!(world.refused(joined), Code::UntilMissing);
}

#[test]
fn records_of_one_batch_see_each_other_in_their_order() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr), revoke(tag(1), "a"), permit(tag(1), "a", &dr)]);
    let ask = || may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")]);
    assert_eq!(world.permitted(ask()), ["d1"]);
    let refusal = world.try_record(&[revoke(tag(1), "a"), revoke(tag(1), "b")]).expect_err("refused");
    assert_eq!((refusal.code, refusal.position), (Code::UnknownReference, Some(1)));
    assert_eq!(world.permitted(ask()), ["d1"], "the first of them left nothing");
    let twice = [permit(tag(2), "a", &dr), permit(tag(2), "a", &dr)];
    let refusal = world.try_record(&twice).expect_err("refused");
    assert_eq!((refusal.code, refusal.position), (Code::IdTaken, Some(1)));
}

#[test]
fn nobody_on_the_way_can_put_in_another_record() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    // The node seals something else than what was signed.
    let mut lied = world.sealed(2, &[permit(tag(1), "a", &dr)]);
    world.give_back(2);
    let other = world.sealed(2, &[permit(tag(1), "b", &dr)]);
    lied.records[0].payload = other.records[0].payload.clone();
    let outcome = world.apply(Command { batches: vec![lied], ..Command::default() }).remove(0);
    assert_eq!(code(&outcome), Some(Code::RootMismatch));
    // Or nothing that can be opened.
    world.give_back(2);
    let mut broken = world.sealed(2, &[permit(tag(1), "a", &dr)]);
    let mut payload = broken.records[0].payload.to_vec();
    *payload.last_mut().expect("not empty") ^= 1;
    broken.records[0].payload = payload.into();
    let CommandOutcome::Refused(refusal) =
        world.apply(Command { batches: vec![broken], ..Command::default() }).remove(0)
    else {
        panic!("accepted");
    };
    assert_eq!((refusal.code, refusal.position), (Code::MalformedRequest, Some(0)));
    // Or under a key of an epoch that nobody has.
    world.give_back(2);
    let mut ahead = world.sealed(2, &[permit(tag(9), "a", &dr)]);
    ahead.new_keys[0].wrapped[2..6].copy_from_slice(&7_u32.to_be_bytes());
    let outcome = world.apply(Command { batches: vec![ahead], ..Command::default() }).remove(0);
    assert_eq!(code(&outcome), Some(Code::MalformedRequest), "no reason for any node to stop");
}

/// A node without its group's keys.
struct NoKeks;

impl KekProvider for NoKeks {
    fn wrap(
        &self,
        (prefix, epoch): (TagPrefix, u32),
        _: &[u8; 12],
        _: &[u8],
        _: &[u8; 32],
    ) -> Result<[u8; 48], KekError> {
        Err(KekError::Missing { prefix: prefix.get(), epoch })
    }

    fn unwrap(
        &self,
        (prefix, epoch): (TagPrefix, u32),
        _: &[u8; 12],
        _: &[u8],
        _: &[u8; 48],
    ) -> Result<DataKeyBytes, KekError> {
        Err(KekError::Missing { prefix: prefix.get(), epoch })
    }
}

#[test]
fn a_node_without_the_keys_of_its_group_stops_rather_than_guess() {
    use prost::Message;
    let mut world = World::new();
    let read = says(Kind::ACCESS_READ, Some(tag(1)), doctor(1, "cardiologist"), &json!({}));
    let plain = world.sealed(2, &[read]);
    let decides = world.sealed(3, &[permit(tag(1), "a", &doctor(1, "cardiologist"))]);
    let command = |batch| Command { version: 1, batches: vec![batch], ..Command::default() }.encode_to_vec();
    let dir = tempfile::tempdir().expect("a folder");
    let mut blind = Ledger::open(dir.path(), &genesis(), std::sync::Arc::new(NoKeks), quiet()).expect("a ledger");
    // Neither what is opened, nor whether a data key that comes on record is one.
    for command in [command(plain), command(decides)] {
        let error = blind.apply(1, 1, world.now, &command).expect_err("can't know");
        assert!(matches!(error, Fatal::Kek(KekError::Missing { .. })), "{error}");
    }
    assert_eq!(blind.applied(), (0, 0), "nothing of it was written");
}

#[test]
fn nobody_is_represented_by_whom_they_represent() {
    let mut world = World::new();
    let register = |of: u8, by: u8| {
        let details = json!({
            "representative": format!("urn:sillage:person|{by}"), "relation": "CAREGIVER", "powers": ["read"],
            "representative_tag": hex(&tag(by)),
        });
        says(Kind::REPRESENTATION_REGISTERED, Some(tag(of)), patient(), &details)
    };
    world.record(&[register(1, 2)]);
    world.record(&[register(2, 3)]);
    assert_eq!(world.refused(register(3, 1)), Code::RepresentationCycle);
    assert_eq!(world.refused(register(4, 4)), Code::RepresentationCycle);
    world.record(&[register(3, 4)]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn ten_thousand_directives_are_refused_at_the_cap_and_none_before_is_lost() {
    let mut world = World::new();
    let batch = |from: usize| {
        let one = |number: usize| permit(tag(1), &format!("c{number}"), &doctor((number % 90) as u8, "cardiologist"));
        (from..from + 500).map(one).collect::<Vec<_>>()
    };
    let mut accepted = 0;
    for from in (0..10_000).step_by(500) {
        match world.try_record(&batch(from)) {
            Ok(_) => accepted += 500,
            Err(refusal) => assert_eq!((refusal.code, refusal.position), (Code::TooManyDirectives, Some(0))),
        }
    }
    assert_eq!(accepted, DIRECTIVES_MAX);
    assert_eq!(world.refused(permit(tag(1), "one more", &doctor(1, "cardiologist"))), Code::TooManyDirectives);
    world.reopen();
    let reader = world.reader();
    let rows = reader.rule_rows(&tag(1), 0.into(), reader.tree_size().get(), usize::MAX).expect("readable");
    assert_eq!(rows.len(), DIRECTIVES_MAX, "every one that was accepted is there");
    assert_eq!(world.permitted(may_read(tag(1), doctor(7, "cardiologist"), &[item("d1")])), ["d1"]);
    world.record(&[revoke(tag(1), "c0")]);
    world.record(&[permit(tag(1), "one more", &doctor(1, "cardiologist"))]);
}

#[test]
fn what_decides_is_listed_as_of_any_size_and_opened() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    let first = world.record(&[permit(tag(1), "a", &dr)]);
    world.now += HOUR_MS;
    let read = says(Kind::ACCESS_READ, Some(tag(1)), dr.clone(), &json!({}));
    let second = world.record(&[read, deposit(tag(1), dr.clone(), &[report("d1", &[])]), revoke(tag(1), "a")]);
    let reader = world.reader();
    let size = reader.tree_size().get();
    let listed = |after: u64, size: u64, limit| {
        let rows = reader.rule_rows(&tag(1), after.into(), size, limit).expect("within");
        rows.into_iter().map(|row| (row.index.get(), row.kind)).collect::<Vec<_>>()
    };
    let all = [
        (first.get(), Kind::CONSENT_DIRECTIVE),
        (second.get() + 1, Kind::ACCESS_WRITE),
        (second.get() + 2, Kind::CONSENT_REVOKED),
    ];
    assert_eq!(listed(0, size, 10), all, "readings decide nothing");
    assert_eq!(listed(0, size, 1), all[..1]);
    assert_eq!(listed(all[0].0, size, 10), all[1..]);
    assert_eq!(listed(0, all[1].0, 10), all[..1]);
    assert!(reader.rule_rows(&tag(1), 0.into(), size + 1, 10).is_err());
    let record = world.reader().open(&world.sealer, first).expect("openable").expect("on record").record;
    assert_eq!(record, parsed(&permit(tag(1), "a", &dr)).bytes());
    let at = |ms| reader.size_at(sillage_proof::hash::LedgerTimeMs(ms)).expect("readable").0;
    assert_eq!((at(world.now - 1), at(world.now)), (first.get() + 1, size));
    assert_eq!(at(0), 0);
}

#[test]
fn a_snapshot_brings_what_decides_and_forgets_what_was_kept() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr)]);
    let ask = || may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")]);
    assert_eq!(world.permitted(ask()), ["d1"]);
    let files = tempfile::tempdir().expect("a folder");
    // Another node has applied the same so far, and keeps it in memory.
    let mut other = World::new();
    for (index, (stamp, command, ..)) in (1..).zip(&world.tape) {
        other.ledger().apply(index, 1, *stamp, command).expect("the same command");
    }
    assert_eq!(other.reader().root(), world.reader().root());
    // This one goes on meanwhile: here it is revoked.
    let (index, _) = world.ledger().applied();
    world.record(&[revoke(tag(1), "a")]);
    world.ledger().checkpoint(&files.path().join("later")).expect("writable");
    assert!(index < world.ledger().applied().0);
    other.ledger().install(&files.path().join("later")).expect("a snapshot of this log");
    let again = may_read(tag(1), doctor(1, "cardiologist"), &[item("d2")]);
    assert!(other.permitted(again).is_empty(), "as the snapshot has it");
    let _ = keks();
}

#[test]
fn a_patients_own_device_decides_for_the_patient_alone() {
    let mut world = World::new();
    let device = PartyRegistration { patient_tag: Some(tag(1)), ..registration(30, Roles::PATIENT) };
    assert!(matches!(world.act(&Act::Registered(device)), CommandOutcome::Done { .. }));
    let dr = doctor(1, "cardiologist");
    // The device proves who signs: nothing else has to.
    let mut unproven = permit(tag(1), "a", &dr);
    unproven.auth = None;
    world.try_record_by(30, &[unproven]).expect("the patient's own key");
    assert_eq!(world.permitted(may_read(tag(1), dr.clone(), &[item("d1")])), ["d1"]);
    let code = |refused: Result<_, Refusal>| refused.expect_err("refused").code;
    let others = [
        ("another patient's", permit(tag(2), "a", &dr)),
        ("another's word", says(Kind::CARETEAM_LEFT, Some(tag(1)), dr.clone(), &json!({"professional": name(&dr)}))),
        ("an access", access(Kind::ACCESS_READ, tag(1), dr.clone(), &[item("d1")], (v1::BasisKind::Self_, ""))),
        ("a break-glass", break_glass(Some(tag(1)), "bg", dr.clone(), world.now + 60_000)),
    ];
    for (what, record) in others {
        assert_eq!(code(world.try_record_by(30, &[record])), Code::NotEntitled, "{what}");
    }
}

#[test]
fn an_embargo_is_for_who_deposited_the_item() {
    for kept in [0, 10_000] {
        let mut world = World::with(Options { rule_records_cached: kept, opened_cached: kept, ..quiet() });
        let (dr, other) = (doctor(1, "cardiologist"), doctor(2, "cardiologist"));
        let embargo = |by: &v1::Actor, id: &str| v1::Record {
            items: vec![item(id)],
            ..says(Kind::ITEM_EMBARGOED, Some(tag(1)), by.clone(), &json!({}))
        };
        let release = |by: &v1::Actor, id: &str| v1::Record {
            items: vec![item(id)],
            ..says(Kind::ITEM_RELEASED, Some(tag(1)), by.clone(), &json!({}))
        };
        world.record(&[deposit(tag(1), dr.clone(), &[report("d1", &[])])]);
        world.record(&[deposit(tag(2), other.clone(), &[report("d2", &[])])]);
        assert_eq!(world.refused(embargo(&other, "d1")), Code::NotEntitled);
        assert_eq!(world.refused(embargo(&other, "d2")), Code::NotEntitled, "deposited, but as another patient's");
        world.record(&[embargo(&dr, "d1")]);
        let auth = says(Kind::SPACE_OPENED, None, patient(), &json!({})).auth;
        let ask = |id: &str| v1::DecisionRequest { auth: auth.clone(), ..may_read(tag(1), patient(), &[item(id)]) };
        assert_eq!(world.reason(ask("d1")), "EMBARGOED");
        assert_eq!(world.refused(release(&other, "d1")), Code::NotEntitled);
        world.record(&[release(&dr, "d1")]);
        assert_eq!(world.reason(ask("d1")), "SELF");
        // In one batch: a result that is deposited, and not announced yet.
        world.record(&[deposit(tag(1), dr.clone(), &[report("d3", &[])]), embargo(&dr, "d3")]);
        assert_eq!(world.reason(ask("d3")), "EMBARGOED");
        // Deleted and written again by somebody else, it is still its first depositor's.
        let delete = access(Kind::ACCESS_DELETE, tag(1), other.clone(), &[item("d1")], (v1::BasisKind::Legal, "x"));
        world.record(&[delete]);
        world.record(&[deposit(tag(1), other.clone(), &[report("d1", &[])])]);
        assert_eq!(world.refused(embargo(&other, "d1")), Code::NotEntitled, "with {kept} kept");
        world.record(&[embargo(&dr, "d1")]);
    }
}

#[test]
fn a_patient_of_very_many_records_is_kept_in_memory_all_the_same() {
    let mut world = World::with(Options { rule_records_cached: 4_400, ..quiet() });
    let mask = |kind| v1::Record { items: vec![item("d1")], ..says(kind, Some(tag(1)), patient(), &json!({})) };
    for _ in 0..5 {
        let many: Vec<_> = (0..250).flat_map(|_| [mask(Kind::ITEM_MASKED), mask(Kind::ITEM_UNMASKED)]).collect();
        world.record(&many);
    }
    let ask = || may_read(tag(1), doctor(1, "cardiologist"), &[item("d1")]);
    world.permitted(ask());
    let before = world.reader().stats().times().folded;
    world.permitted(ask());
    world.record(&[mask(Kind::ITEM_MASKED)]);
    // The leader's check has a memory of its own, which comes after what was recorded: it opens that one record.
    assert!(world.reader().stats().times().folded - before <= 1, "nothing is opened again");
}

#[test]
fn a_patient_has_so_many_records_and_room_is_kept_for_what_takes_access_away() {
    let caps = RecordCaps { any: 6, narrowing: 8, emergency: 9, own: 11 };
    for kept in [0, 10_000] {
        let mut world = World::with(Options { record_caps: caps, rule_records_cached: kept, ..quiet() });
        // The patient's own device is a party of its own.
        let device = PartyRegistration { patient_tag: Some(tag(1)), ..registration(30, Roles::PATIENT) };
        assert!(matches!(world.act(&Act::Registered(device)), CommandOutcome::Done { .. }));
        let mask = |kind| v1::Record { items: vec![item("d1")], ..says(kind, Some(tag(1)), patient(), &json!({})) };
        let (masked, unmasked) = (mask(Kind::ITEM_MASKED), mask(Kind::ITEM_UNMASKED));
        let first = world.record(&[masked.clone(), unmasked.clone(), masked.clone()]);
        // What else is recorded doesn't count, nor does what was refused, nor another patient's.
        world.record(&[deposit(tag(1), doctor(1, "nurse"), &[report("d1", &[])])]);
        world.record(&[deny(tag(2), "x", "PSY"), says(Kind::SPACE_OPENED, Some(tag(3)), patient(), &json!({}))]);
        assert_eq!(world.refused(revoke(tag(1), "nothing")), Code::UnknownReference);
        let many = [unmasked.clone(), masked.clone(), masked.clone(), unmasked.clone()];
        let refusal = world.try_record(&many).expect_err("one too many");
        assert_eq!((refusal.code, refusal.position), (Code::TooManyRules, Some(3)), "with {kept} kept");
        world.record(&many[..3]);
        world.reopen();
        assert_eq!(world.refused(unmasked.clone()), Code::TooManyRules, "with {kept} kept");
        assert_eq!(world.refused(permit(tag(1), "a", &doctor(1, "nurse"))), Code::TooManyRules);
        world.record(&[deny(tag(1), "b", "PSY"), revoke(tag(1), "b")]);
        assert_eq!(world.refused(deny(tag(1), "c", "PSY")), Code::TooManyRules);
        let now = world.now;
        let glass = |id: &str| break_glass(Some(tag(1)), id, doctor(1, "emergency-physician"), now + 1_000);
        world.record(&[glass("g1")]);
        assert_eq!(world.refused(glass("g2")), Code::TooManyRules);
        world.try_record_by(30, &[deny(tag(1), "c", "PSY"), masked.clone()]).expect("room of their own");
        let refusal = world.try_record_by(30, std::slice::from_ref(&masked)).expect_err("one too many");
        assert_eq!(refusal.code, Code::TooManyRules);
        // Erasing one by one makes no room: the places are still gone through. An erased patient begins anew.
        world.erase(tag(1), &[first]).expect("over");
        assert_eq!(world.refused(deny(tag(1), "d", "PSY")), Code::TooManyRules);
        world.erase(tag(1), &[]).expect("erased");
        world.record(&[deny(tag(1), "d", "PSY")]);
    }
}
