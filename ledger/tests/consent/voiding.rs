//! A stolen key writes; the authority voids what it wrote: every state is what the others' records make of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use sillage_ledger::{CommandOutcome, Refusal, ReviewGround};
use sillage_proof::batch::Origin;
use sillage_proof::hash::{LeafIndex, leaf_hash};
use sillage_proof::keys::AuthorId;
use sillage_proto::internal::v1::{Command, SealedRecord};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::authority::{CosignMessage, GuardedActs, Rule, RuleChange, content_hash};
use sillage_rules::codes::Code;
use sillage_rules::consent::people::Verdict;
use sillage_rules::consent::{Action, Actor, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::consent::{Catalogue, Env};
use sillage_rules::decide::{ItemFacts, Request, decide};
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, act_message};
use sillage_rules::roles::Roles;
use sillage_rules::voiding::{Notice, Voiding, Whose};

use crate::common::world::*;
use crate::common::{ORIGIN, START_MS, act, author_id, batch, key, registration, tag, two_tags};

const STOLEN: u8 = 3;

/// A node of a group that has reached this level.
fn world_at(level: u32) -> World {
    let mut world = World::new();
    let (index, _) = world.ledger().applied();
    let raise = Command { version: 6, feature_level: level, ..Command::default() }.encode_to_vec();
    let now = world.now;
    let outcomes = world.ledger().apply(index + 1, 1, now, &raise).expect("applied");
    assert_eq!(outcomes, [CommandOutcome::FeatureLevel(level)]);
    world
}

fn void(from: u64) -> Act {
    let whose = Whose::Key(key(STOLEN).key_id());
    Act::RecordsVoided(Voiding::Void { whose, from: LeafIndex(from), until: None, reason: "stolen".into() })
}

fn index_of(outcome: &CommandOutcome) -> LeafIndex {
    match outcome {
        CommandOutcome::Done { first_index, .. } => *first_index,
        other => panic!("{other:?}"),
    }
}

fn refusal(outcome: CommandOutcome) -> Refusal {
    match outcome {
        CommandOutcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Commands that do nothing else, until every patient was told.
fn tell(world: &mut World) {
    for _ in 0..50 {
        if !world.reader().is_telling_of_voided().expect("readable") {
            return;
        }
        world.apply(Command::default());
    }
    panic!("it never ends");
}

/// The notices of the ledger to a patient, oldest first.
fn notices(world: &World, of: [u8; 32]) -> Vec<(u64, Notice)> {
    let reader = world.reader();
    let mut out = Vec::new();
    for index in 0..reader.tree_size().get() {
        let Some(Entry::Record(entry)) = reader.decoded_entry(index.into()).expect("readable") else { continue };
        if entry.kind == Kind::RECORDS_VOIDED && entry.tag == of {
            assert_eq!((entry.flags, entry.position), (Flags::LEDGER, 0));
            let payload = reader.payload(index.into()).expect("readable").expect("in clear");
            assert_eq!(leaf_hash(&payload), entry.record_hash);
            let record = ParsedRecord::parse(&payload[16..]).expect("a record");
            out.push((index, Notice::of(&record).expect("a notice")));
        }
    }
    out
}

fn close(of: [u8; 32]) -> v1::Record {
    says(Kind::SPACE_CLOSED, Some(of), patient(), &Value::Null)
}

#[test]
fn what_a_stolen_key_wrote_counts_no_more_and_each_patient_is_told() {
    let mut world = world_at(3);
    let dr = doctor(1, "cardiologist");
    let from = world.reader().tree_size().get();
    for of in 1..=5 {
        world.record(&[permit(tag(of), "a", &dr)]);
    }
    let read = |of: u8| may_read(tag(of), doctor(1, "cardiologist"), &[report("d1", &[])]);
    assert_eq!(world.permitted(read(1)), ["d1"]);
    world.try_record_by(STOLEN, &[close(tag(1)), close(tag(2)), revoke(tag(3), "a")]).expect("the key is good");
    let glass = break_glass(Some(tag(5)), "bg", doctor(3, "emergency-physician"), world.now + HOUR_MS);
    world.try_record_by(STOLEN, &[glass]).expect("the key is good");
    for of in 1..=3 {
        assert!(world.permitted(read(of)).is_empty());
    }
    let emergency = v1::DecisionRequest {
        purpose: "BTG".into(),
        ..may_read(tag(5), doctor(3, "emergency-physician"), &[report("d1", &[])])
    };
    assert_eq!(world.permitted(emergency.clone()), ["d1"]);
    let before = world.reader().tree_size().get();
    let by = index_of(&world.act(&void(from)));
    for of in 1..=4 {
        assert_eq!(world.permitted(read(of)), ["d1"], "patient {of}");
    }
    assert!(world.permitted(emergency).is_empty(), "a voided break-glass opens nothing");
    let rows = world.reader().break_glasses(Default::default(), LeafIndex(0), 10).expect("readable").0;
    assert_eq!(rows[0].voided_by, Some(by));
    tell(&mut world);
    let told = notices(&world, tag(1));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].1.act, told[0].1.records.len(), told[0].1.reinstates), (by.get(), 1, None));
    assert!(notices(&world, tag(4)).is_empty(), "nothing of patient 4 was voided");
    let (review, more) = world.reader().decisions_to_review(by, LeafIndex(0), 10).expect("readable");
    assert!(!more && review.iter().all(|one| one.index.get() < before));
    let consulted = review.iter().filter(|one| one.ground == ReviewGround::Consulted).count();
    assert_eq!((review.len(), consulted), (4, 3), "two closed spaces and a break-glass; a revocation leaves no trace");
    assert_eq!(world.reader().patients_concerned(by).expect("readable"), (4, true));
    // The same after a restart, and once the act itself is undone.
    world.reopen();
    assert_eq!(world.permitted(read(1)), ["d1"]);
    let back = Act::RecordsVoided(Voiding::Reinstate { act: by, reason: "it was the right key".into() });
    world.act(&back);
    assert!(world.permitted(read(1)).is_empty());
    tell(&mut world);
    assert_eq!(notices(&world, tag(1))[1].1.reinstates, Some(by.get()));
    assert_eq!(refusal(world.act(&back)).code, Code::ActRefused);
}

#[test]
fn of_two_reviews_the_earlier_counts_while_the_later_is_voided() {
    let mut world = world_at(3);
    let expires = world.now + HOUR_MS;
    world.record(&[break_glass(Some(tag(1)), "bg", doctor(1, "physician"), expires)]);
    let about = |kind, by: u8, more: Value| {
        let mut details = json!({"breakglass": "bg"});
        details.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
        says(kind, Some(tag(1)), doctor(by, "physician"), &details)
    };
    let review = |by, verdict: &str| about(Kind::BREAKGLASS_REVIEWED, by, json!({"verdict": verdict}));
    let justify = || about(Kind::BREAKGLASS_JUSTIFIED, 1, json!({"text": "coma"}));
    let from = world.reader().tree_size().get();
    world.try_record_by(STOLEN, &[justify()]).expect("the key is good");
    let justified = world.record(&[justify()]);
    let earlier = world.record(&[review(2, "JUSTIFIED")]);
    world.try_record_by(STOLEN, &[review(3, "NOT_JUSTIFIED")]).expect("the key is good");
    let row = |world: &World| {
        let rows = world.reader().break_glasses(Default::default(), LeafIndex(0), 10).expect("readable").0;
        (rows[0].justified, rows[0].reviewed)
    };
    let before = row(&world);
    assert!(before.1.is_some_and(|(_, verdict)| verdict == Verdict::NotJustified));
    let by = index_of(&world.act(&void(from)));
    let counting = (Some(justified), Some((earlier, Verdict::Justified)));
    assert_eq!(row(&world), counting, "the earlier review, and the other justification");
    // What is recorded meanwhile doesn't make the register forget.
    world.record(&[about(Kind::BREAKGLASS_CLOSED, 1, json!({}))]);
    world.reopen();
    assert_eq!(row(&world), counting);
    let back = Act::RecordsVoided(Voiding::Reinstate { act: by, reason: "it was the right key".into() });
    world.act(&back);
    assert_eq!(row(&world), before, "as it was");
}

#[test]
fn an_act_reaches_what_came_before_it_in_its_own_command() {
    let mut world = world_at(3);
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr)]);
    let batches = vec![world.sealed(STOLEN, &[close(tag(1))]), world.act_batch(&void(1))];
    let outcomes = world.apply(Command { batches, ..Command::default() });
    assert!(outcomes.iter().all(|outcome| matches!(outcome, CommandOutcome::Done { .. })));
    assert_eq!(world.permitted(may_read(tag(1), dr, &[report("d1", &[])])), ["d1"]);
    tell(&mut world);
    assert_eq!(notices(&world, tag(1)).len(), 1);
}

#[test]
fn an_item_is_again_what_its_own_depositor_said_of_it() {
    let mut world = world_at(3);
    let owner = doctor(2, "nurse");
    let psy = report("i1", &["PSY"]);
    world.record(&[permit(tag(1), "a", &doctor(1, "cardiologist")), deny(tag(1), "b", "PSY")]);
    world.record(&[deposit(tag(1), owner.clone(), &[report("i1", &[])])]);
    world.record(&[deposit(tag(1), owner.clone(), std::slice::from_ref(&psy))]);
    let read = || may_read(tag(1), doctor(1, "cardiologist"), &[item("i1")]);
    assert!(world.permitted(read()).is_empty(), "it is labelled");
    // The thief takes the label off, and takes an id that is nobody's yet.
    world.try_record_by(STOLEN, &[deposit(tag(1), owner, &[report("i1", &[])])]).expect("on record");
    world.try_record_by(STOLEN, &[deposit(tag(2), doctor(9, "nurse"), &[item("i2")])]).expect("on record");
    assert_eq!(world.permitted(read()), ["i1"]);
    world.act(&void(1));
    assert!(world.permitted(read()).is_empty(), "it is labelled again");
    world.record(&[deposit(tag(1), doctor(4, "nurse"), &[report("i2", &[])])]);
    let other = may_read(tag(1), doctor(1, "cardiologist"), &[item("i2")]);
    assert_eq!(world.permitted(other), ["i2"], "what was voided keeps nothing for itself");
}

#[test]
fn a_reinstated_deposit_is_its_items_first_again() {
    let mut world = world_at(3);
    let reader_of = |of: u8, by: u8| may_read(tag(of), doctor(by, "nurse"), &[item("i1")]);
    world.try_record_by(STOLEN, &[deposit(tag(1), doctor(9, "nurse"), &[report("i1", &[])])]).expect("on record");
    world.record(&[deposit(tag(2), doctor(4, "nurse"), &[report("i1", &[])])]);
    assert_eq!(world.permitted(reader_of(1, 9)), ["i1"], "who deposited it first reads it");
    assert!(world.permitted(reader_of(2, 4)).is_empty(), "the other wrote what was somebody else's");
    let first = index_of(&world.act(&void(1)));
    assert!(world.permitted(reader_of(1, 9)).is_empty());
    world.record(&[deposit(tag(2), doctor(5, "nurse"), &[report("i1", &[])])]);
    world.record(&[deposit(tag(2), doctor(5, "nurse"), &[report("i1", &[])])]);
    assert_eq!(world.permitted(reader_of(2, 5)), ["i1"], "it began anew");
    assert!(world.permitted(reader_of(1, 9)).is_empty());
    let back = Act::RecordsVoided(Voiding::Reinstate { act: first, reason: "the right key".into() });
    index_of(&world.act(&back));
    for reopen in [false, true] {
        if reopen {
            world.reopen();
        }
        assert_eq!(world.permitted(reader_of(1, 9)), ["i1"], "the first depositor's again, and that patient's");
        assert!(world.permitted(reader_of(2, 5)).is_empty());
    }
    index_of(&world.act(&void(1)));
    assert_eq!(world.permitted(reader_of(2, 5)), ["i1"], "voided again, it is what began anew");
    assert!(world.permitted(reader_of(1, 9)).is_empty());
}

#[test]
fn a_list_to_review_does_not_say_which_tags_are_one_patients() {
    let mut world = world_at(3);
    let (open, secret) = (two_tags(1).open, two_tags(1).secret);
    let dr = doctor(1, "cardiologist");
    let both = v1::DecisionRequest { secret_tag: secret.to_vec(), ..may_read(open, dr.clone(), &[report("d1", &[])]) };
    world.permitted(both.clone());
    world.record(&[permit(open, "a", &dr)]);
    let from = world.reader().tree_size().get();
    let masked = says(Kind::ITEM_MASKED, Some(secret), patient(), &Value::Null);
    world.try_record_by(STOLEN, &[v1::Record { items: vec![item("other")], ..masked }]).expect("the key is good");
    let made = world.ask(both).expect("decided").decisions[0].clone();
    assert_eq!(made.tag, open, "decided while what is voided counted");
    let by = index_of(&world.act(&void(from)));
    tell(&mut world);
    let (review, _) = world.reader().decisions_to_review(by, LeafIndex(0), 10).expect("readable");
    let under = |index: LeafIndex| match world.reader().decoded_entry(index).expect("readable") {
        Some(Entry::Record(entry)) => entry.tag,
        other => panic!("{other:?}"),
    };
    assert!(review.iter().all(|one| under(one.index) != open), "nothing was voided under the open tag");
}

#[test]
fn below_the_level_nobody_knows_the_acts() {
    let mut world = World::new();
    assert_eq!(refusal(world.act(&void(1))).code, Code::UnknownKind);
    let limit = Act::AuthorityRule(RuleChange::Limit { author_id: author_id(2), records: 1 });
    assert_eq!(refusal(world.act(&limit)).code, Code::UnknownKind);
    let revoke = Act::Revoked { key_id: key(STOLEN).key_id(), reason: "lost".into() };
    let signed = cosigned(&revoke, &[(1, u64::MAX)], ORIGIN);
    assert_eq!(
        refusal(world.apply(Command { batches: vec![signed], ..Command::default() }).remove(0)).code,
        Code::MalformedRecord
    );
}

#[test]
fn acts_that_make_no_sense_are_refused() {
    let mut world = world_at(3);
    let size = world.reader().tree_size().get();
    let whose = Whose::Key(key(77).key_id());
    let unknown = Voiding::Void { whose, from: LeafIndex(1), until: None, reason: "x".into() };
    let nothing = Voiding::Reinstate { act: LeafIndex(1), reason: "x".into() };
    for act in [void(size + 5), Act::RecordsVoided(unknown), Act::RecordsVoided(nothing)] {
        assert_eq!(refusal(world.act(&act)).code, Code::ActRefused);
    }
    let by_author = batch(2, "s", 1, vec![act(&void(1))]);
    let outcome = world.apply(Command { batches: vec![by_author], ..Command::default() }).remove(0);
    assert_eq!(refusal(outcome).code, Code::NotEntitled);
}

/// A batch of the authority 1 with an act that these keys agreed to.
fn cosigned(content: &Act, signers: &[(u8, u64)], origin: &str) -> sillage_proto::internal::v1::SealedBatch {
    cosigned_over(content, content, signers, origin)
}

fn cosigned_over(
    content: &Act,
    signed: &Act,
    signers: &[(u8, u64)],
    origin: &str,
) -> sillage_proto::internal::v1::SealedBatch {
    let over = content_hash(&act_message(signed, START_MS));
    let sign = |(seed, expires_ms): &(u8, u64)| {
        let origin = Origin::new(origin).expect("an origin");
        CosignMessage { key_id: key(*seed).key_id(), origin, expires_ms: *expires_ms, content: over }.sign(&key(*seed))
    };
    let mut signatures: Vec<_> = signers.iter().map(sign).collect();
    signatures.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    let message = v1::Record { signatures, ..act_message(content, START_MS) };
    let record = ParsedRecord::from_message(message).expect("a valid act");
    let payload = [&[7; 16][..], record.bytes()].concat();
    let sealed = SealedRecord {
        kind: record.kind().code().into(),
        tag: vec![0; 32].into(),
        record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: 0,
    };
    let label = format!("c{}", hex(&leaf_hash(record.bytes()).as_bytes()[..6]));
    batch(1, &label, 1, vec![sealed])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_act_that_touches_many_needs_as_many_authorities_as_the_rule_says() {
    let mut world = world_at(3);
    for seed in [4, 5, 6] {
        index_of(&world.act(&Act::Registered(registration(seed, Roles::AUTHORITY))));
    }
    let authorities: BTreeSet<AuthorId> = [1, 4, 5].into_iter().map(author_id).collect();
    let rule = Rule { needed: 2, authorities, acts: GuardedActs::ALWAYS };
    index_of(&world.act(&Act::AuthorityRule(RuleChange::Rule(rule.clone()))));
    assert_eq!(world.reader().authority_rule(), Ok(Some(rule.clone())));
    let good = START_MS + HOUR_MS;
    let try_batch = |world: &mut World, batch| {
        let checked = world.reader().check(&batch, world.now);
        let outcome = world.apply(Command { batches: vec![batch], ..Command::default() }).remove(0);
        match &outcome {
            CommandOutcome::Refused(refusal) => assert_eq!(checked, Err(refusal.clone()), "the leader says the same"),
            _ => assert_eq!(checked, Ok(())),
        }
        outcome
    };
    let before = world.reader().root();
    let missing = refusal(world.act(&void(1)));
    assert_eq!(missing.code, Code::SignaturesMissing);
    assert!(
        missing.message.contains("needs the signatures of 2 authorities, and 1 are missing"),
        "{}",
        missing.message
    );
    let attacks: [(&str, _, Code); 7] = [
        ("of another act", cosigned_over(&void(1), &void(2), &[(4, good)], ORIGIN), Code::BadSignature),
        ("of another log", cosigned(&void(1), &[(4, good)], "other.example/log"), Code::BadSignature),
        ("expired", cosigned(&void(1), &[(4, START_MS)], ORIGIN), Code::BadSignature),
        ("for ever", cosigned(&void(1), &[(4, u64::MAX)], ORIGIN), Code::BadSignature),
        ("of the same authority", cosigned(&void(1), &[(1, good)], ORIGIN), Code::BadSignature),
        ("of no authority", cosigned(&void(1), &[(2, good)], ORIGIN), Code::BadSignature),
        ("of one that the rule doesn't name", cosigned(&void(1), &[(6, good)], ORIGIN), Code::SignaturesMissing),
    ];
    for (what, batch, code) in attacks {
        assert_eq!(refusal(try_batch(&mut world, batch)).code, code, "{what}");
    }
    assert_eq!(world.reader().root(), before, "nothing changed");
    let agreed = cosigned(&void(1), &[(4, good)], ORIGIN);
    let mut again = agreed.clone();
    index_of(&try_batch(&mut world, agreed));
    // The same act, under another number.
    again = batch(1, "again", 1, again.records);
    assert_eq!(refusal(try_batch(&mut world, again)).code, Code::ActRefused);
    // What the rule guards besides: authorities, identity services to come, their keys, the rule itself.
    let guarded = [
        Act::Registered(registration(8, Roles::AUTHORITY)),
        Act::RolesChanged { author_id: author_id(4), roles: Roles::NONE, quota_events_per_s: 0 },
        Act::RolesChanged { author_id: author_id(2), roles: Roles::AUTHORITY, quota_events_per_s: 0 },
        Act::Rotated { author_id: author_id(4), key: key(44).public_key(), tls_spki_sha256: vec![] },
        Act::Revoked { key_id: key(4).key_id(), reason: "mine alone".into() },
        Act::AuthorityRule(RuleChange::Rule(Rule { needed: 1, ..rule })),
        Act::AuthorityRule(RuleChange::Limit { author_id: author_id(2), records: u32::MAX }),
    ];
    for act in guarded {
        assert_eq!(refusal(world.act(&act)).code, Code::SignaturesMissing, "{act:?}");
    }
    index_of(&world.act(&Act::Registered(registration(9, Roles::READER))));
    index_of(&world.act(&Act::Revoked { key_id: key(STOLEN).key_id(), reason: "stolen".into() }));
    // One of three loses its key: the two others give it a new one.
    let rotated = Act::Rotated { author_id: author_id(5), key: key(55).public_key(), tls_spki_sha256: vec![] };
    index_of(&try_batch(&mut world, cosigned(&rotated, &[(4, good)], ORIGIN)));
    // With two, none may go: nobody could change the rule any more.
    let end = Act::Revoked { key_id: key(4).key_id(), reason: "gone".into() };
    index_of(&try_batch(&mut world, cosigned(&end, &[(55, good)], ORIGIN)));
    let end = Act::Revoked { key_id: key(55).key_id(), reason: "gone".into() };
    assert_eq!(refusal(try_batch(&mut world, cosigned(&end, &[(55, good)], ORIGIN))).code, Code::ActRefused);
}

#[test]
fn a_party_takes_access_away_so_often_a_day_and_no_more() {
    let mut world = world_at(3);
    let set = Act::AuthorityRule(RuleChange::Limit { author_id: author_id(STOLEN), records: 5 });
    index_of(&world.act(&set));
    let masked = |of: u8| {
        let record = says(Kind::ITEM_MASKED, Some(tag(of)), patient(), &Value::Null);
        v1::Record { items: vec![item("i1")], ..record }
    };
    world.try_record_by(STOLEN, &[masked(1), masked(2), masked(3)]).expect("three of five");
    assert!(world.reader().near_limits(START_MS, 8).expect("readable").is_empty());
    // A batch is taken whole or not at all.
    let over = world.try_record_by(STOLEN, &[masked(4), masked(5), masked(6)]).expect_err("six of five");
    assert_eq!((over.code, over.position), (Code::LimitReached, Some(2)));
    assert!(over.message.contains("the next day begins at 2023-11-15T00:00:00"), "{}", over.message);
    world.try_record_by(STOLEN, &[masked(4)]).expect("four of five");
    let near = world.reader().near_limits(START_MS, 8).expect("readable");
    assert_eq!((near[0].name.as_str(), near[0].records, near[0].is_reached()), ("service 3", 4, false));
    // What gives access isn't counted, and other parties aren't limited by it.
    world.try_record_by(STOLEN, &[permit(tag(1), "a", &doctor(1, "nurse"))]).expect("not counted");
    world.try_record_by(STOLEN, &[close(tag(5))]).expect("five of five");
    assert!(world.reader().near_limits(START_MS, 8).expect("readable")[0].is_reached());
    assert_eq!(world.try_record_by(STOLEN, &[deny(tag(5), "d", "PSY")]).expect_err("six").code, Code::LimitReached);
    let refused = |world: &mut World, record: v1::Record| {
        world.try_record_by(STOLEN, &[record]).expect_err("beyond the limit").code == Code::LimitReached
    };
    let member = json!({"professional": name(&doctor(1, "nurse"))});
    assert!(refused(&mut world, says(Kind::ATTENDING_DECLARED, Some(tag(5)), patient(), &member)));
    let set =
        v1::Record { items: vec![item("i1")], ..says(Kind::MINOR_SECRECY_SET, Some(tag(5)), patient(), &Value::Null) };
    assert!(refused(&mut world, set));
    let until = rfc3339(START_MS + HOUR_MS);
    let joined = |by: v1::Actor| {
        let of = doctor(2, "nurse");
        let details = json!({"professional": name(&of), "until": until, "organisation": of.organisation});
        says(Kind::CARETEAM_JOINED, Some(tag(5)), by, &details)
    };
    assert!(refused(&mut world, joined(doctor(2, "nurse"))), "on another's word than the patient's");
    world.try_record_by(STOLEN, &[joined(patient())]).expect("the patient says so");
    world.record(&[masked(7)]);
    assert!(world.reader().near_limits(START_MS + 86_400_000, 8).expect("readable").is_empty(), "the next day");
}

/// One record of a random history.
fn random(of: u8, kind: u8, more: u8) -> v1::Record {
    let (tag, who) = (tag(of), doctor(1 + more % 3, "nurse"));
    let id = format!("c{}", more % 3);
    let thing = v1::Item { id: format!("i{}", more % 3), ..v1::Item::default() };
    let items = |kind| v1::Record { items: vec![thing.clone()], ..says(kind, Some(tag), patient(), &Value::Null) };
    let professional = json!({"professional": name(&who)});
    match kind % 12 {
        0 | 1 => permit(tag, &id, &who),
        2 => deny(tag, &id, "PSY"),
        3 => revoke(tag, &id),
        4 => items(Kind::ITEM_MASKED),
        5 => items(Kind::ITEM_UNMASKED),
        6 => says(Kind::SPACE_OPPOSED, Some(tag), patient(), &Value::Null),
        7 => says(Kind::SPACE_OPENED, Some(tag), patient(), &Value::Null),
        8 => says(Kind::PROFESSIONAL_BLOCKED, Some(tag), patient(), &professional),
        9 => says(Kind::PROFESSIONAL_UNBLOCKED, Some(tag), patient(), &professional),
        10 => break_glass(Some(tag), &format!("bg{more}"), doctor(3, "emergency-physician"), START_MS + HOUR_MS),
        _ => {
            let joined = json!({"professional": name(&who), "until": rfc3339(START_MS + HOUR_MS)});
            says(Kind::CARETEAM_JOINED, Some(tag), who, &joined)
        }
    }
}

/// The decision by the records that nobody voided, folded here.
fn expected(
    world: &World,
    of: [u8; 32],
    request: &v1::DecisionRequest,
    stolen: &BTreeSet<LeafIndex>,
) -> Vec<(String, bool, String, Vec<u64>)> {
    let reader = world.reader();
    let size = reader.tree_size().get();
    let mut state = PatientState::default();
    for row in reader.rule_rows(&of, LeafIndex(0), size, 1_000).expect("readable") {
        if stolen.contains(&row.index) {
            continue;
        }
        let opened = world.reader().open(&world.sealer, row.index).expect("openable").expect("there");
        let record = ParsedRecord::parse(&opened.record).expect("a record");
        let mut event = Event::of(&record).expect("understood").expect("decides");
        if let (Event::BreakGlassOpened(opened), Some(end)) =
            (&mut event, reader.break_glass_end(row.index).expect("readable"))
        {
            opened.end_by(end);
        }
        let Some(Entry::Record(entry)) = reader.decoded_entry(row.index).expect("readable") else { panic!("a record") };
        state.apply(&event, &Meta::of(&record, row.index, entry.time, false, false).expect("understood"));
    }
    let actor = Actor::from_record(request.actor.as_ref().expect("someone")).expect("an actor");
    let items = request.items.iter().map(|item| ItemFacts::of(item, &state, None, false)).collect();
    let asked = Request {
        actor,
        action: Action::Read,
        purpose: request.purpose.clone(),
        at: reader.head().time_ms,
        items,
        word_of: None,
    };
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: false,
        across_servers: false,
    };
    let decided = decide(&env, &state, None, &asked);
    let outcome = |item: &sillage_rules::decide::ItemDecision| {
        let consulted = item.consulted.iter().map(|index| index.get()).collect();
        (item.id.clone(), item.permit, item.reason.as_str().to_owned(), consulted)
    };
    decided.items.iter().map(outcome).collect()
}

fn all_as_expected(world: &mut World, stolen: &BTreeSet<LeafIndex>) {
    for of in 1..=3 {
        for number in 1..=3 {
            for purpose in ["TREAT", "BTG"] {
                let profession = if number == 3 { "emergency-physician" } else { "nurse" };
                let things = [item("i0"), report("i1", &["PSY"]), item("i2")];
                let request = v1::DecisionRequest {
                    purpose: purpose.into(),
                    ..may_read(tag(of), doctor(number, profession), &things)
                };
                let wanted = expected(world, tag(of), &request, stolen);
                let made = world.ask(request).expect("decided").decisions[0].index;
                let outcomes = world.decision(made).private_part().outcomes.clone();
                let found: Vec<_> =
                    outcomes.into_iter().map(|one| (one.id, one.permit, one.reason, one.consulted)).collect();
                assert_eq!(found, wanted, "patient {of}, doctor {number}, {purpose}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn the_state_after_voiding_is_the_one_without_the_voided_records(
        steps in proptest::collection::vec((any::<bool>(), 1_u8..4, any::<u8>(), any::<u8>(), 0_u8..12), 4..40),
        from in 0_usize..20,
        reopen in any::<bool>(),
    ) {
        let mut world = world_at(3);
        let mut written = Vec::new();
        for (by_thief, of, kind, more, pause) in steps {
            let author = if by_thief { STOLEN } else { 2 };
            if let Ok(index) = world.try_record_by(author, &[random(of, kind, more)]) {
                written.push((by_thief, index));
            }
            if pause == 0 {
                // What is kept in memory must not outlive the act.
                all_as_expected(&mut world, &BTreeSet::new());
            }
        }
        let from = written.get(from).map_or(1, |(_, index)| index.get());
        let stolen: BTreeSet<LeafIndex> =
            written.iter().filter(|(thief, index)| *thief && index.get() >= from).map(|(_, index)| *index).collect();
        let by = index_of(&world.act(&void(from)));
        if reopen {
            world.reopen();
        }
        all_as_expected(&mut world, &stolen);
        tell(&mut world);
        let mut told = BTreeSet::new();
        for of in 1..=3 {
            told.extend(notices(&world, tag(of)).into_iter().flat_map(|(_, notice)| notice.records));
        }
        prop_assert_eq!(told, stolen.iter().map(|index| index.get()).collect::<BTreeSet<u64>>());
        let back = Act::RecordsVoided(Voiding::Reinstate { act: by, reason: "all good".into() });
        index_of(&world.act(&back));
        all_as_expected(&mut world, &BTreeSet::new());
    }
}
