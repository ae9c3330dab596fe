//! Patients' own devices: registered without saying in the act whose they are, told of under each tag, and of use under no
//! other.

mod common;

use common::world::*;
use common::*;
use prost::Message as _;
use serde_json::{Value, json};
use sillage_ledger::{CLAIMS, CommandOutcome, ROLES};
use sillage_proof::batch::Origin;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{Command, LedgerRecord};
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::device::{DeviceRegistered, commitment, half};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};

const SALTS: [[u8; 16]; 2] = [[3; 16], [4; 16]];

fn raise(world: &mut World, level: u32) {
    let (index, _) = world.ledger().applied();
    let data = Command { version: 6, feature_level: level, ..Command::default() }.encode_to_vec();
    let now = world.now;
    world.ledger().apply(index + 1, 1, now, &data).expect("a level that is known");
}

fn at(level: u32) -> World {
    let mut world = World::new();
    (ROLES..=level).for_each(|level| raise(&mut world, level));
    world
}

/// The tags of patient 1.
fn tags() -> [[u8; 32]; 2] {
    [two_tags(1).open, two_tags(1).secret]
}

fn halves() -> [Hash; 2] {
    [half(&SALTS[0], &tags()[0]), half(&SALTS[1], &tags()[1])]
}

/// Party 30, for both tags.
fn device() -> PartyRegistration {
    let [open, secret] = halves();
    PartyRegistration { patient_commitment: Some(commitment(&open, &secret)), ..registration(30, Roles::PATIENT) }
}

/// The line that the patient finds under one of the tags.
fn line(which: usize) -> DeviceRegistered {
    DeviceRegistered {
        party: device().author_id(),
        name: device().name,
        authority: "service 1".to_owned(),
        salt: hex(&SALTS[which]),
        other: halves()[1 - which],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(tag: [u8; 32], line: &DeviceRegistered) -> v1::Record {
    says(Kind::DEVICE_REGISTERED, Some(tag), patient(), &serde_json::to_value(line).expect("texts alone"))
}

fn mask(tag: [u8; 32], id: &str) -> v1::Record {
    v1::Record { items: vec![item(id)], auth: None, ..says(Kind::ITEM_MASKED, Some(tag), patient(), &Value::Null) }
}

#[test]
fn a_device_acts_under_the_tags_whose_patient_was_told_and_no_others() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    assert!(matches!(world.act(&Act::Registered(device())), CommandOutcome::Done { .. }));
    let refused = |world: &mut World, record| world.try_record_by(30, &[record]).expect_err("refused").code;
    // The act alone gives nothing.
    assert_eq!(refused(&mut world, mask(open, "d1")), Code::NotEntitled);
    world.try_record_by(1, &[told(open, &line(0))]).expect("the patient is told");
    world.try_record_by(30, &[mask(open, "d1")]).expect("their own device");
    assert_eq!(refused(&mut world, mask(secret, "d2")), Code::NotEntitled, "nobody told them there");
    world.try_record_by(1, &[told(secret, &line(1))]).expect("told under the secret tag too");
    world.try_record_by(30, &[mask(secret, "d2")]).expect("their own device");
    world.reopen();
    world.try_record_by(30, &[mask(open, "d3")]).expect("folded anew");
    assert_eq!(refused(&mut world, mask(two_tags(2).open, "d1")), Code::NotEntitled, "a stranger's");
    // Ended, it signs nothing; erased, the patient has no device.
    let ended = Act::RolesChanged { author_id: device().author_id(), roles: Roles::NONE, quota_events_per_s: 0 };
    assert!(matches!(world.act(&ended), CommandOutcome::Done { .. }));
    assert_eq!(refused(&mut world, mask(open, "d4")), Code::RevokedKey);
}

#[test]
fn an_erased_patient_has_no_device() {
    let mut world = at(CLAIMS);
    let [open, _] = tags();
    world.act(&Act::Registered(device()));
    let index = world.try_record_by(1, &[told(open, &line(0))]).expect("told");
    assert_eq!(world.erase(open, &[index]), Err(Code::NotErasable), "what told the patient stays");
    world.erase(open, &[]).expect("the whole patient");
    assert_eq!(world.try_record_by(30, &[mask(open, "d1")]).expect_err("refused").code, Code::NotEntitled);
}

#[test]
fn only_what_the_act_commits_to_is_told_and_only_by_the_authority() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    let by_authority = |world: &mut World, record| world.try_record_by(1, &[record]).expect_err("refused").code;
    assert_eq!(by_authority(&mut world, told(open, &line(0))), Code::UnknownReference, "before the act");
    world.act(&Act::Registered(device()));
    let wrong = [
        (told(secret, &line(0)), "under the other tag"),
        (told(two_tags(2).open, &line(0)), "under a stranger's"),
        (told(open, &DeviceRegistered { salt: hex(&[9; 16]), ..line(0) }), "another salt"),
        (told(open, &DeviceRegistered { other: Hash::default(), ..line(0) }), "another half"),
        (told(open, &DeviceRegistered { name: "Téléphone".into(), ..line(0) }), "another name"),
        (told(open, &DeviceRegistered { authority: "CNAM".into(), ..line(0) }), "another authority"),
    ];
    for (record, why) in wrong {
        assert_eq!(by_authority(&mut world, record), Code::MalformedRecord, "{why}");
    }
    let of_a_service = DeviceRegistered { party: registration(3, Roles::READER).author_id(), ..line(0) };
    assert_eq!(by_authority(&mut world, told(open, &of_a_service)), Code::UnknownReference, "no device");
    // Another than the authority, and another actor than the patient.
    assert_eq!(world.refused(told(open, &line(0))), Code::NotEntitled);
    let details = serde_json::to_value(line(0)).expect("texts alone");
    let parent = says(Kind::DEVICE_REGISTERED, Some(open), person("mum"), &details);
    assert_eq!(by_authority(&mut world, parent), Code::NotEntitled);
    let unproven = v1::Record { auth: None, ..told(open, &line(0)) };
    assert_eq!(by_authority(&mut world, unproven), Code::AuthenticationMissing);
    world.try_record_by(1, &[told(open, &line(0))]).expect("as the act has it");
    assert_eq!(by_authority(&mut world, told(open, &line(0))), Code::IdTaken, "told once");
}

#[test]
fn where_an_issuer_is_on_record_the_patients_login_proves_it() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    let issuer = TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(ORIGIN).expect("a name"));
    world.act(&Act::IssuerPublished(Box::new(issuer.published())));
    world.act(&Act::Registered(device()));
    let by_authority = |world: &mut World, record| world.try_record_by(1, &[record]);
    let claimed = by_authority(&mut world, told(open, &line(0))).expect_err("a claim");
    assert_eq!(claimed.code, Code::AuthenticationMissing, "the authority can't act as a patient by itself");
    let pairing = v1::TagPairing::decode(two_tags(1).pairing.bytes()).expect("a message");
    let of = pairing.patient.clone().expect("an identity");
    let proven = |record: v1::Record, proof: &[u8]| {
        let means = Means { idp: "pro-sante-connect".into(), method: "card".into(), level: Level::Substantial };
        let subject = Subject::Patient { ins: of.ins.clone(), oid: of.oid.clone() };
        let session = SigningKey::from_seed(&[78; 32]);
        let will = issuer.decide(&record, &session, (&subject, &means), proof.to_vec(), START_MS);
        v1::Record { will: Some(will), ..record }
    };
    let strangers = proven(told(two_tags(2).open, &line(0)), &pairing.proof);
    assert_eq!(by_authority(&mut world, strangers).expect_err("refused").code, Code::LoginSubject);
    by_authority(&mut world, proven(told(open, &line(0)), &pairing.proof)).expect("proven");
    by_authority(&mut world, proven(told(secret, &line(1)), &pairing.secret_proof)).expect("proven");
    world.try_record_by(30, &[mask(open, "d1")]).expect("their own device");
}

#[test]
fn acts_and_rows_name_no_tag_and_no_entry_stands_beside_its_pair() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    world.act(&Act::Registered(device()));
    let first = world.try_record_by(1, &[told(open, &line(0))]).expect("told");
    let second = world.try_record_by(1, &[told(secret, &line(1))]).expect("told");
    assert!(second.get() > first.get() + 1, "batches of their own");
    let contains = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    for (at, (_, payload)) in stored(&world.reader()).into_iter().enumerate() {
        let payload = payload.unwrap_or_default();
        for tag in [&open, &secret] {
            assert!(!contains(&payload, tag), "entry {at} has a payload in clear that names a tag");
        }
    }
    let party = world.reader().party(&device().author_id()).expect("readable").expect("registered");
    assert_eq!((party.patient_tag, party.patient_secret_tag), (None, None));
    assert!(party.patient_commitment.is_some());
    // Under each tag stands where it was told of, and nothing of the other.
    assert_eq!(world.reader().device_records(&open).expect("readable"), [first]);
    assert_eq!(world.reader().device_records(&secret).expect("readable"), [second]);
    // The one record opens nothing of the other tag.
    let opened = world.reader().open(&world.sealer, first).expect("openable").expect("there");
    assert!(!contains(&opened.record, &secret) && !contains(&opened.record, hex(&secret).as_bytes()));
}

#[test]
fn the_first_reading_of_a_device_is_noted_once_and_names_no_party() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    let (mark, other) = (line(0).reading_mark(&open), line(1).reading_mark(&secret));
    assert_ne!(mark, other);
    assert!(!world.reader().has_device_read(&open, &mark).expect("readable"));
    let mut message = new_message(Kind::LOG_CONSULTED, Some(&open), START_MS);
    message.automated = Some(v1::Automated { software: "sillage-node".into(), version: "test".into() });
    message.details = json!({"read": "trace", "device": mark}).to_string();
    let record = ParsedRecord::from_message(message).expect("a record").into_bytes();
    let record = LedgerRecord { kind: Kind::LOG_CONSULTED.code().into(), salt: vec![8; 16], record };
    let outcome = world.apply(Command { ledger_records: vec![record], ..Command::default() }).remove(0);
    assert!(matches!(outcome, CommandOutcome::LedgerRecord { .. }), "{outcome:?}");
    assert!(world.reader().has_device_read(&open, &mark).expect("readable"));
    assert!(!world.reader().has_device_read(&secret, &other).expect("readable"));
    assert!(!world.reader().has_device_read(&secret, &mark).expect("readable"), "it counts in its own trace alone");
}

#[test]
fn below_feature_level_4_devices_are_what_they_were() {
    let mut world = at(ROLES);
    let [open, _] = tags();
    assert_eq!(code(&world.act(&Act::Registered(device()))), Some(Code::MalformedRecord));
    assert_eq!(world.try_record_by(1, &[told(open, &line(0))]).expect_err("unknown").code, Code::UnknownKind);
    let named = PartyRegistration { patient_tag: Some(open), ..registration(30, Roles::PATIENT) };
    assert!(matches!(world.act(&Act::Registered(named)), CommandOutcome::Done { .. }));
    world.try_record_by(30, &[mask(open, "d1")]).expect("as before");
    // A device of before goes on; a new one names no tag.
    raise(&mut world, CLAIMS);
    world.try_record_by(30, &[mask(open, "d2")]).expect("as before");
    let named = PartyRegistration { patient_tag: Some(open), ..registration(31, Roles::PATIENT) };
    assert_eq!(code(&world.act(&Act::Registered(named))), Some(Code::ActRefused));
    // A new one takes its place, and it is ended.
    assert!(matches!(
        world.act(&Act::Registered(PartyRegistration {
            key: key(32).public_key(),
            tls_spki_sha256: vec![[32; 32]],
            name: "service 32".into(),
            ..device()
        })),
        CommandOutcome::Done { .. }
    ));
    let ended = registration(30, Roles::PATIENT).author_id();
    let ended = Act::RolesChanged { author_id: ended, roles: Roles::NONE, quota_events_per_s: 0 };
    assert!(matches!(world.act(&ended), CommandOutcome::Done { .. }));
    assert_eq!(world.try_record_by(30, &[mask(open, "d3")]).expect_err("ended").code, Code::RevokedKey);
}

#[test]
fn a_device_asks_for_the_patient_whose_trace_tells_of_it_and_for_no_other() {
    let mut world = at(CLAIMS);
    let [open, _] = tags();
    let asks = PartyRegistration { roles: Roles::PATIENT | Roles::DECIDER, ..device() };
    assert!(matches!(world.act(&Act::Registered(asks)), CommandOutcome::Done { .. }));
    for (tag, document) in [(open, "d1"), (two_tags(2).open, "d2")] {
        world.record(&[deposit(tag, doctor(9, "physician"), &[report(document, &[])])]);
    }
    let asked = |world: &mut World, tag: [u8; 32], document: &str| {
        let request = v1::DecisionRequest { auth: None, ..may_read(tag, patient(), &[item(document)]) };
        let decided = world.ask_by(30, request).map_err(|refusal| refusal.code)?;
        Ok(decided.decisions.iter().any(|made| !made.permitted.is_empty()))
    };
    assert_eq!(asked(&mut world, open, "d1"), Err(Code::NotVouched), "nobody told the patient yet");
    world.try_record_by(1, &[told(open, &line(0))]).expect("told");
    assert_eq!(asked(&mut world, open, "d1"), Ok(true));
    assert_eq!(asked(&mut world, two_tags(2).open, "d2"), Err(Code::NotVouched));
}

#[test]
fn nobody_but_a_device_gives_it_a_key_and_what_ended_stays_ended() {
    let rotated = |seed: u8| Act::Rotated {
        author_id: device().author_id(),
        key: key(seed).public_key(),
        tls_spki_sha256: vec![[seed; 32]],
    };
    let roles = |roles: Roles| Act::RolesChanged { author_id: device().author_id(), roles, quota_events_per_s: 0 };
    let outcome = |world: &mut World, act: &Act| match world.act(act) {
        CommandOutcome::Refused(refusal) => Err(refusal.code),
        _ => Ok(()),
    };
    let mut world = at(CLAIMS);
    let [open, _] = tags();
    world.act(&Act::Registered(device()));
    world.try_record_by(1, &[told(open, &line(0))]).expect("told");
    assert_eq!(outcome(&mut world, &rotated(31)), Err(Code::ActRefused), "the authority would act as the patient");
    let own = Command { batches: vec![batch(30, "keys", 1, vec![act(&rotated(32))])], ..Command::default() };
    assert!(matches!(world.apply(own)[..], [CommandOutcome::Done { .. }]), "its own");
    assert!(world.reader().key(&key(32).key_id()).expect("readable").is_some(), "its new key");
    outcome(&mut world, &roles(Roles::NONE)).expect("ended");
    assert_eq!(outcome(&mut world, &roles(Roles::PATIENT)), Err(Code::ActRefused));

    // Of a log of before, as it was.
    let mut world = at(ROLES);
    let of_before = PartyRegistration { patient_tag: Some(open), ..registration(30, Roles::PATIENT) };
    outcome(&mut world, &Act::Registered(of_before)).expect("registered");
    outcome(&mut world, &rotated(31)).expect("as before");
    raise(&mut world, CLAIMS);
    assert_eq!(outcome(&mut world, &rotated(33)), Err(Code::ActRefused));
}

#[test]
fn a_device_asks_under_the_tags_alone_of_which_the_patient_was_told() {
    let mut world = at(CLAIMS);
    let [open, secret] = tags();
    let asks = PartyRegistration { roles: Roles::PATIENT | Roles::DECIDER, ..device() };
    world.act(&Act::Registered(asks));
    world.record(&[deposit(secret, doctor(9, "physician"), &[report("d1", &[])])]);
    let asked = |world: &mut World| {
        let request = may_read(open, patient(), &[item("d1")]);
        let request = v1::DecisionRequest { auth: None, secret_tag: secret.to_vec(), ..request };
        world.ask_by(30, request).map(drop).map_err(|refusal| refusal.code)
    };
    world.try_record_by(1, &[told(open, &line(0))]).expect("told under the open tag");
    assert_eq!(asked(&mut world), Err(Code::NotVouched));
    world.try_record_by(1, &[told(secret, &line(1))]).expect("told under the secret tag too");
    assert_eq!(asked(&mut world), Ok(()));
}
