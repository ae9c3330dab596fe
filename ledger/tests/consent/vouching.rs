//! From feature level 3 on: what a party says of an actor counts as far as it vouches for them, where it is applied too.

use prost::Message as _;
use serde_json::{Value, json};
use sillage_ledger::{CommandOutcome, ROLES};
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use crate::common::world::*;
use crate::common::{author_id, registration, tag};

/// The party of the doctor number 1.
const OWN: u8 = 20;
/// Another one, of the doctor number 2.
const OTHER: u8 = 21;

fn raise(world: &mut World) {
    let command = Command { version: 6, feature_level: ROLES, ..Command::default() };
    let (index, now) = (world.ledger().applied().0, world.now);
    let outcomes = world.ledger().apply(index + 1, 1, now, &command.encode_to_vec()).expect("applied");
    assert_eq!(outcomes, [CommandOutcome::FeatureLevel(ROLES)]);
}

fn vouching(number: u8) -> Vouching {
    let structures = doctor(number, "physician").organisation;
    Vouching {
        structures: vec![structures],
        actor_systems: vec![RPPS.into()],
        issuers: vec!["pro-sante-connect".into()],
    }
}

fn register(world: &mut World, seed: u8, number: u8, roles: Roles) {
    let party = PartyRegistration { vouching: vouching(number), ..registration(seed, roles) };
    let done = world.act(&Act::Registered(party));
    assert!(matches!(done, CommandOutcome::Done { .. }), "{done:?}");
}

/// A log at level 3 with two services.
fn begin() -> World {
    let mut world = World::new();
    raise(&mut world);
    let services = Roles::RECORDER | Roles::EMERGENCY | Roles::REVIEWER | Roles::CONSENT_DESK;
    register(&mut world, OWN, 1, services);
    register(&mut world, OTHER, 2, services);
    world
}

fn said(world: &mut World, party: u8, record: v1::Record) -> Result<(), Code> {
    world.try_record_by(party, &[record]).map(drop).map_err(|refusal| refusal.code)
}

fn reviewed(by: v1::Actor) -> v1::Record {
    says(Kind::BREAKGLASS_REVIEWED, Some(tag(1)), by, &json!({"breakglass": "bg1", "verdict": "JUSTIFIED"}))
}

#[test]
fn a_party_deposits_and_breaks_the_glass_for_its_own_structures() {
    let mut world = begin();
    let (own, other) = (doctor(1, "physician"), doctor(2, "physician"));
    assert_eq!(said(&mut world, OWN, deposit(tag(1), own.clone(), &[report("d1", &[])])), Ok(()));
    assert_eq!(said(&mut world, OWN, deposit(tag(1), other.clone(), &[report("d2", &[])])), Err(Code::NotVouched));
    let nowhere = v1::Actor { organisation: String::new(), ..own.clone() };
    assert_eq!(said(&mut world, OWN, deposit(tag(1), nowhere, &[report("d3", &[])])), Err(Code::NotVouched));
    // A patient without a login, a mere label, and a depositor of another system.
    let named = |by: v1::Actor| v1::Record { auth: None, ..deposit(tag(1), by, &[report("d4", &[])]) };
    assert_eq!(said(&mut world, OWN, named(patient())), Err(Code::NotVouched));
    let label = v1::Actor { label: "Dr Martin".into(), ..v1::Actor::default() };
    assert_eq!(said(&mut world, OWN, named(label)), Err(Code::NotVouched));
    let mut of_other = deposit(tag(1), own.clone(), &[report("d5", &[])]);
    of_other.items[0].depositor = "https://ids.example.org/staff|7".into();
    assert_eq!(said(&mut world, OWN, of_other), Err(Code::NotVouched));
    let expires = world.now + HOUR_MS;
    let glass = |id: &str, by: &v1::Actor| break_glass(Some(tag(1)), id, by.clone(), expires);
    assert_eq!(said(&mut world, OWN, glass("bg0", &other)), Err(Code::NotVouched));
    assert_eq!(said(&mut world, OWN, glass("bg1", &own)), Ok(()));
    // For a doctor of another structure, on a colleague's word.
    let mut for_other = glass("bg2", &own);
    let mut details: Value = serde_json::from_str(&for_other.details).expect("JSON");
    details["actor"] = json!(name(&other));
    details["organisation"] = json!(other.organisation);
    for_other.details = details.to_string();
    assert_eq!(said(&mut world, OWN, for_other), Err(Code::NotVouched));
}

#[test]
fn the_party_that_opened_a_break_glass_does_not_review_it() {
    let mut world = begin();
    let own = doctor(1, "physician");
    let colleague = v1::Actor { id: doctor(3, "dpo").id, ..own.clone() };
    let glass = break_glass(Some(tag(1)), "bg1", own, world.now + HOUR_MS);
    // In one batch with the opening, and after it.
    let both = [glass.clone(), reviewed(colleague.clone())];
    let refusal = world.try_record_by(OWN, &both).expect_err("its own");
    assert_eq!((refusal.code, refusal.position), (Code::NotEntitled, Some(1)));
    assert_eq!(said(&mut world, OWN, glass), Ok(()));
    assert_eq!(said(&mut world, OWN, reviewed(colleague)), Err(Code::NotEntitled));
    assert_eq!(said(&mut world, OTHER, reviewed(doctor(2, "dpo"))), Ok(()));
}

#[test]
fn who_opened_it_before_level_3_is_known_by_the_batch() {
    let mut world = World::new();
    let glass = break_glass(Some(tag(1)), "bg1", doctor(1, "physician"), world.now + HOUR_MS);
    world.record(&[glass]);
    raise(&mut world);
    let act = Act::RolesChanged { author_id: author_id(2), roles: Roles::REVIEWER, quota_events_per_s: 0 };
    world.act(&act);
    world.act(&Act::VouchingChanged { author_id: author_id(2), added: vouching(2), removed: Vouching::default() });
    assert_eq!(said(&mut world, 2, reviewed(doctor(2, "dpo"))), Err(Code::NotEntitled));
    register(&mut world, OTHER, 2, Roles::REVIEWER);
    assert_eq!(said(&mut world, OTHER, reviewed(doctor(2, "dpo"))), Ok(()));
}

#[test]
fn a_care_team_is_joined_on_anothers_word() {
    let mut world = begin();
    let own = doctor(1, "physician");
    let colleague = v1::Actor { id: doctor(3, "nurse").id, ..own.clone() };
    let until = rfc3339(world.now + HOUR_MS);
    let joined = |by: &v1::Actor, organisation: &str| {
        let details = json!({"professional": name(&own), "until": until, "organisation": organisation});
        says(Kind::CARETEAM_JOINED, Some(tag(1)), by.clone(), &details)
    };
    let structure = own.organisation.clone();
    assert_eq!(said(&mut world, OWN, joined(&own, &structure)), Err(Code::NotEntitled), "on their own word");
    assert_eq!(said(&mut world, OWN, joined(&colleague, "750009999")), Err(Code::NotVouched), "another structure");
    assert_eq!(said(&mut world, OWN, joined(&colleague, &structure)), Ok(()));
    assert_eq!(said(&mut world, OWN, joined(&patient(), &structure)), Ok(()), "the patient says so");
}

#[test]
fn a_login_is_relayed_by_who_vouches_for_its_issuer() {
    let mut world = begin();
    let closed = says(Kind::SPACE_CLOSED, Some(tag(1)), patient(), &Value::Null);
    let mut elsewhere = closed.clone();
    elsewhere.auth.as_mut().expect("said").issuer = "another".into();
    assert_eq!(said(&mut world, OWN, elsewhere), Err(Code::NotVouched));
    assert_eq!(said(&mut world, OWN, closed), Ok(()));
}

#[test]
fn requests_are_asked_for_a_partys_own_actors() {
    let mut world = begin();
    world.record(&[deposit(tag(1), doctor(2, "physician"), &[report("d1", &[])])]);
    let roles = Act::RolesChanged { author_id: author_id(2), roles: Roles::DECIDER, quota_events_per_s: 0 };
    world.act(&roles);
    world.act(&Act::VouchingChanged { author_id: author_id(2), added: vouching(1), removed: Vouching::default() });
    let ask = |by: v1::Actor| may_read(tag(1), by, &[item("d1")]);
    // Whoever names the depositor's structure would read what it deposited.
    let stranger = v1::Actor { organisation: doctor(2, "").organisation, ..doctor(9, "physician") };
    let refusal = world.ask(ask(stranger)).expect_err("another's structure");
    assert_eq!(refusal.code, Code::NotVouched);
    assert_eq!(world.ask(ask(doctor(1, "physician"))).expect("decided").decisions[0].permitted, [""; 0]);
}
