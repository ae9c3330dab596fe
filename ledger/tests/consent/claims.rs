//! From feature level 4 on, what a record claims is the ledger's to say, or is marked: who read, in whose name, on what basis, and
//! how long after.

use serde_json::{Value, json};
use sillage_ledger::{CLAIMS, DOORS, ROLES};
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1::{self, Actor, BasisKind};
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags, UnjustifiedReason};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use crate::common::world::*;
use crate::common::{DAY_MS, author_id, registration, tag};

/// A recorder of today; party 2 has the role author, of before.
const RECORDER: u8 = 20;

fn world_at(level: u32) -> World {
    let mut world = World::new();
    world.raise(level);
    let party = PartyRegistration { vouching: Vouching::any(), ..registration(RECORDER, Roles::RECORDER) };
    world.act(&Act::Registered(party));
    world
}

fn dr() -> Actor {
    doctor(1, "physician")
}

fn named(system: &str, id: &str, label: &str) -> Actor {
    Actor { system: system.into(), id: id.into(), label: label.into(), ..Actor::default() }
}

fn said(world: &mut World, party: u8, record: v1::Record) -> Result<LeafIndex, Code> {
    world.try_record_by(party, &[record]).map_err(|refusal| refusal.code)
}

fn flags(world: &World, index: LeafIndex) -> Flags {
    let Some(Entry::Record(entry)) = world.reader().decoded_entry(index).expect("readable") else { panic!("a record") };
    entry.flags
}

/// The flags of an access of this actor on this basis that happened now.
fn read_on(world: &mut World, actor: Actor, basis: (BasisKind, &str)) -> Flags {
    let at_ms = world.now;
    read_at(world, actor, basis, at_ms)
}

fn read_at(world: &mut World, actor: Actor, basis: (BasisKind, &str), at_ms: u64) -> Flags {
    let record = access(Kind::ACCESS_READ, tag(1), actor, &[item("d1")], basis);
    let index = said(world, 2, v1::Record { occurred_at_ms: at_ms, ..record }).expect("it happened");
    flags(world, index)
}

const FOUNDED: Flags = Flags::BASIS;

fn claimed() -> Flags {
    Flags::BASIS | Flags::CLAIMED
}

#[test]
fn that_somebody_read_is_the_ledgers_to_say() {
    for level in [ROLES, CLAIMS] {
        let mut world = world_at(level);
        let record = |by: Actor| says(Kind::LOG_CONSULTED, Some(tag(1)), by, &json!({"read": "trace"}));
        for party in [2, RECORDER] {
            let outcome = said(&mut world, party, record(named("https://cnil.example", "1", "CNIL")));
            match level {
                ROLES => assert!(outcome.is_ok(), "as before: {outcome:?}"),
                _ => assert_eq!(outcome, Err(Code::KindReserved)),
            }
        }
    }
}

#[test]
fn nobody_names_an_actor_as_the_ledger_names_its_parties() {
    let mut world = world_at(CLAIMS);
    let read = |actor: Actor| access(Kind::ACCESS_READ, tag(1), actor, &[item("d1")], (BasisKind::Legal, "L1"));
    for system in ["urn:sillage:author", "urn:sillage:node", "urn:sillage:ledger"] {
        for party in [2, RECORDER] {
            let outcome = said(&mut world, party, read(named(system, "1", "CNIL")));
            assert_eq!(outcome, Err(Code::ActorReserved), "{system}, party {party}");
        }
    }
    let agent = v1::Agent { who: Some(named("urn:sillage:author", "1", "CNIL")), ..v1::Agent::default() };
    let record = v1::Record { agents: vec![agent], ..read(dr()) };
    assert_eq!(said(&mut world, RECORDER, record), Err(Code::ActorReserved));
    for free in ["urn:sillage:app", "urn:sillage:project", "urn:sillage:system", "urn:sillage:fhir:reference"] {
        assert!(said(&mut world, RECORDER, read(named(free, "x", ""))).is_ok(), "{free}");
    }
    // An authority names itself and nobody else.
    let registered = |by: Actor| {
        let until = rfc3339(world_end());
        let details = json!({"representative": "urn:sillage:person|p1", "relation": "PARENT", "until": until});
        says(Kind::REPRESENTATION_REGISTERED, Some(tag(1)), by, &details)
    };
    let itself = named("urn:sillage:author", &author_id(1).to_string(), "");
    for (actor, outcome) in [
        (named("urn:sillage:author", &author_id(2).to_string(), ""), Err(Code::ActorReserved)),
        (Actor { label: "CNIL".into(), ..itself.clone() }, Err(Code::ActorReserved)),
        (itself, Ok(())),
    ] {
        assert_eq!(said(&mut world, 1, registered(actor)).map(drop), outcome);
    }
    let mut before = world_at(ROLES);
    assert!(said(&mut before, 2, read(named("urn:sillage:author", "1", "CNIL"))).is_ok(), "as before");
}

fn world_end() -> u64 {
    crate::common::START_MS + 1_000 * DAY_MS
}

#[test]
fn a_membership_of_the_care_team_supports_a_basis_while_it_holds() {
    let mut world = world_at(CLAIMS);
    let team = (BasisKind::CareTeam, "");
    assert_eq!(read_on(&mut world, dr(), team), claimed(), "no membership");
    let start = world.now;
    world.pass(HOUR_MS);
    let joined = json!({"professional": name(&dr()), "until": rfc3339(start + DAY_MS)});
    world.record(&[says(Kind::CARETEAM_JOINED, Some(tag(1)), patient(), &joined)]);
    assert_eq!(read_on(&mut world, dr(), team), FOUNDED);
    assert_eq!(read_on(&mut world, doctor(2, "physician"), team), claimed(), "another doctor");
    let began = world.now;
    assert_eq!(read_at(&mut world, dr(), team, began - HOUR_MS), claimed(), "before they joined");
    assert_eq!(read_at(&mut world, dr(), team, began - 60_000), FOUNDED, "as far as clocks differ");
    world.pass(HOUR_MS);
    world.record(&[says(Kind::CARETEAM_LEFT, Some(tag(1)), patient(), &json!({"professional": name(&dr())}))]);
    world.pass(HOUR_MS);
    assert_eq!(read_on(&mut world, dr(), team), claimed(), "they left");
    assert_eq!(read_at(&mut world, dr(), team, began + 1_000), FOUNDED, "it happened before they left");
    world.reopen();
    assert_eq!(read_at(&mut world, dr(), team, began + 1_000), FOUNDED, "folded anew");
}

#[test]
fn the_attending_doctor_is_of_the_care_team() {
    let mut world = world_at(CLAIMS);
    let attending = json!({"professional": name(&doctor(2, "physician"))});
    world.record(&[says(Kind::ATTENDING_DECLARED, Some(tag(1)), patient(), &attending)]);
    assert_eq!(read_on(&mut world, doctor(2, "physician"), (BasisKind::CareTeam, "")), FOUNDED);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::CareTeam, "")), claimed(), "another doctor");
}

/// It is named, the patient's, in force, for this actor and action.
#[test]
fn a_consent_supports_a_basis_for_those_whom_it_permits_that() {
    let mut world = world_at(CLAIMS);
    world.record(&[permit(tag(1), "c1", &dr()), permit(tag(2), "c2", &dr()), deny(tag(1), "c3", "PSY")]);
    for (id, by, wanted) in [
        ("c1", dr(), FOUNDED),
        ("c1", doctor(3, "nurse"), claimed()),
        ("c2", dr(), claimed()),
        ("c3", dr(), claimed()),
        ("", dr(), claimed()),
    ] {
        assert_eq!(read_on(&mut world, by.clone(), (BasisKind::Consent, id)), wanted, "{id} {}", by.id);
    }
    let print = access(Kind::ACCESS_PRINT, tag(1), dr(), &[item("d1")], (BasisKind::Consent, "c1"));
    let now = world.now;
    let index = said(&mut world, 2, v1::Record { occurred_at_ms: now, ..print }).expect("it happened");
    assert_eq!(flags(&world, index), claimed(), "it doesn't permit printing");
    world.pass(HOUR_MS);
    let before = world.now;
    world.record(&[revoke(tag(1), "c1")]);
    world.pass(HOUR_MS);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::Consent, "c1")), claimed(), "revoked");
    assert_eq!(read_at(&mut world, dr(), (BasisKind::Consent, "c1"), before - 1), FOUNDED, "before it was revoked");
}

#[test]
fn the_patient_alone_supports_their_own_access() {
    let mut world = world_at(CLAIMS);
    assert_eq!(read_on(&mut world, patient(), (BasisKind::Self_, "")), FOUNDED);
    assert_eq!(read_on(&mut world, person("p1"), (BasisKind::Self_, "")), claimed());
}

#[test]
fn nothing_on_record_supports_a_law_or_a_consent_that_is_not_there() {
    let mut world = world_at(CLAIMS);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::Legal, "CSP L1111-18")), claimed());
    let moved = access(Kind::MOVEMENT_RESEARCH, tag(1), dr(), &[item("d1")], (BasisKind::Consent, "none"));
    let now = world.now;
    let index = said(&mut world, 2, v1::Record { occurred_at_ms: now, ..moved }).expect("it happened");
    assert_eq!(flags(&world, index), claimed());
}

/// A permission as a Consent of this server says it; an empty one where the import didn't know the server.
fn permit_of(server: &str, id: &str) -> v1::Record {
    let place = v1::Place { observer: server.to_owned(), ..v1::Place::default() };
    v1::Record { place: (!server.is_empty()).then_some(place), ..permit(tag(1), id, &dr()) }
}

#[test]
fn a_consent_is_cited_by_its_server_and_never_guessed() {
    const A: &str = "https://a.example/fhir";
    let mut world = world_at(DOORS);
    let on = |world: &mut World, name: &str| read_on(world, dr(), (BasisKind::Consent, name));
    world.record(&[permit_of(A, "Consent/1"), permit_of("", "Consent/2")]);
    assert_eq!(on(&mut world, "Consent/1"), FOUNDED, "there is no other of this name");
    assert_eq!(on(&mut world, "https://a.example/fhir/Consent/1"), FOUNDED);
    assert_eq!(on(&mut world, "https://A.example/fhir/Consent/1/_history/2"), FOUNDED);
    assert_eq!(on(&mut world, "https://b.example/fhir/Consent/1"), claimed(), "another server's");
    assert_eq!(on(&mut world, "Consent/2"), FOUNDED);
    assert_eq!(on(&mut world, "https://a.example/fhir/Consent/2"), claimed(), "nobody knows which server's it is");
    // The importer puts the server in front where the name is taken.
    world.record(&[permit_of("https://b.example/fhir", "https://b.example/fhir/Consent/1")]);
    assert_eq!(on(&mut world, "Consent/1"), claimed(), "of two servers");
    assert_eq!(on(&mut world, "https://a.example/fhir/Consent/1"), FOUNDED);
    assert_eq!(on(&mut world, "https://b.example/fhir/Consent/1"), FOUNDED);
    world.reopen();
    assert_eq!(on(&mut world, "Consent/1"), claimed(), "folded anew");
    // Below level 5, names count as they are written.
    let mut before = world_at(CLAIMS);
    before.record(&[permit_of(A, "Consent/1")]);
    assert_eq!(on(&mut before, "Consent/1"), FOUNDED);
    assert_eq!(on(&mut before, "https://a.example/fhir/Consent/1"), claimed());
}

#[test]
fn what_supported_a_basis_and_was_voided_supports_it_no_more() {
    let mut world = world_at(CLAIMS);
    let from = LeafIndex(world.reader().tree_size().get());
    let joined = json!({"professional": name(&dr()), "until": rfc3339(world_end())});
    let joined = says(Kind::CARETEAM_JOINED, Some(tag(1)), patient(), &joined);
    world.try_record_by(3, &[joined]).expect("on record");
    assert_eq!(read_on(&mut world, dr(), (BasisKind::CareTeam, "")), FOUNDED);
    let whose = sillage_rules::voiding::Whose::Key(crate::common::key(3).key_id());
    let void = sillage_rules::voiding::Voiding::Void { whose, from, until: None, reason: "stolen".into() };
    world.act(&Act::RecordsVoided(void));
    assert_eq!(read_on(&mut world, dr(), (BasisKind::CareTeam, "")), claimed());
}

fn publish(world: &mut World, details: &Value) -> Result<LeafIndex, Code> {
    let software = named("urn:sillage:system", "registry", "");
    said(world, 1, says(Kind::POLICY_PUBLISHED, None, software, details))
}

#[test]
fn where_a_policy_asks_for_proof_a_claimed_access_is_unjustified() {
    let mut world = world_at(CLAIMS);
    publish(&mut world, &json!({"version": "1", "proven_bases": ["care_team"]})).expect("a policy");
    let unproven = claimed() | Flags::unjustified(UnjustifiedReason::Unproven);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::CareTeam, "")), unproven);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::Consent, "none")), claimed(), "not asked for");
    let joined = json!({"professional": name(&dr()), "until": rfc3339(world_end())});
    world.record(&[says(Kind::CARETEAM_JOINED, Some(tag(1)), patient(), &joined)]);
    assert_eq!(read_on(&mut world, dr(), (BasisKind::CareTeam, "")), FOUNDED);
    for bad in [json!(["care_team", "care_team"]), json!(["decision"]), Value::Null] {
        assert_eq!(publish(&mut world, &json!({"version": "2", "proven_bases": bad})), Err(Code::MalformedRecord));
    }
    let mut before = world_at(ROLES);
    for field in ["proven_bases", "late_after_s"] {
        let value = if field == "proven_bases" { json!([]) } else { json!(3_600) };
        let outcome = publish(&mut before, &json!({"version": "1", field: value}));
        assert_eq!(outcome, Err(Code::MalformedRecord), "a field that nobody knew");
    }
    assert_eq!(read_on(&mut before, dr(), (BasisKind::CareTeam, "")), FOUNDED, "as before");
}

#[test]
fn a_record_of_any_kind_says_that_it_came_late() {
    let mut world = world_at(CLAIMS);
    world.pass(3 * DAY_MS);
    let then = world.now - 2 * DAY_MS;
    let closed =
        |at| v1::Record { occurred_at_ms: at, ..says(Kind::SPACE_CLOSED, Some(tag(1)), patient(), &Value::Null) };
    let recorded = |world: &mut World, at: u64| {
        let index = said(world, 2, closed(at)).expect("on record");
        flags(world, index)
    };
    assert_eq!(recorded(&mut world, then), Flags::LATE);
    let now = world.now;
    assert_eq!(recorded(&mut world, now - DAY_MS), Flags::NONE);
    publish(&mut world, &json!({"version": "1", "late_after_s": 3_600})).expect("a policy");
    assert_eq!(recorded(&mut world, now - HOUR_MS), Flags::NONE);
    assert_eq!(recorded(&mut world, now - HOUR_MS - 1), Flags::LATE);
    // Never later than the genesis says.
    publish(&mut world, &json!({"version": "2", "late_after_s": 864_000})).expect("a policy");
    assert_eq!(recorded(&mut world, now - DAY_MS - 1), Flags::LATE);
    assert_eq!(publish(&mut world, &json!({"version": "3", "late_after_s": 59})), Err(Code::MalformedRecord));
    let mut before = world_at(ROLES);
    before.pass(3 * DAY_MS);
    assert_eq!(recorded(&mut before, then), Flags::NONE, "as before");
}

#[test]
fn what_a_party_says_on_its_own_word_supports_nothing_of_its_own() {
    let mut world = world_at(CLAIMS);
    let party =
        PartyRegistration { vouching: Vouching::any(), ..registration(21, Roles::RECORDER | Roles::CONSENT_DESK) };
    world.act(&Act::Registered(party));
    let colleague = Actor { organisation: dr().organisation, ..doctor(2, "physician") };
    let joined = json!({"professional": format!("{}|{}", dr().system, dr().id), "organisation": dr().organisation,
        "until": rfc3339(world_end())});
    let record = says(Kind::CARETEAM_JOINED, Some(tag(1)), colleague, &joined);
    said(&mut world, 21, record).expect("on a colleague's word");
    let read = |world: &mut World, party: u8| {
        let at_ms = world.now;
        let record = access(Kind::ACCESS_READ, tag(1), dr(), &[item("d1")], (BasisKind::CareTeam, ""));
        let index = said(world, party, v1::Record { occurred_at_ms: at_ms, ..record }).expect("it happened");
        flags(world, index)
    };
    assert_eq!(read(&mut world, 21), claimed());
    assert_eq!(read(&mut world, RECORDER), FOUNDED, "another party's word supports it");
}

#[test]
fn clocks_may_differ_at_an_end_and_an_outage_is_no_fault() {
    let mut world = world_at(CLAIMS);
    let ended_ms = world.now;
    let joined = json!({"professional": format!("{}|{}", dr().system, dr().id), "until": rfc3339(ended_ms + 600_000)});
    world.record(&[says(Kind::CARETEAM_JOINED, Some(tag(1)), patient(), &joined)]);
    world.pass(1_200_000);
    assert_eq!(read_at(&mut world, dr(), (BasisKind::CareTeam, ""), ended_ms + 630_000), FOUNDED, "30 s after the end");
    assert_eq!(read_at(&mut world, dr(), (BasisKind::CareTeam, ""), ended_ms + 930_000), claimed());
}
