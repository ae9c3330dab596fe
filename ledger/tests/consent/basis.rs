//! Accesses that cite a decision or a break-glass: recorded in any case, and flagged where it isn't so.

use serde_json::json;
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1::{Actor, BasisKind, Item};
use sillage_rules::entry::{Entry, UnjustifiedReason};
use sillage_rules::kind::Kind;

use crate::common::world::*;
use crate::common::{START_MS, tag};

fn dr() -> Actor {
    doctor(1, "cardiologist")
}

/// Records an access, and says what was found wrong with its basis.
fn fault(
    world: &mut World,
    kind: Kind,
    actor: Actor,
    items: &[Item],
    basis: (BasisKind, &str),
) -> Option<UnjustifiedReason> {
    let mut record = access(kind, tag(1), actor, items, basis);
    record.occurred_at_ms = world.now;
    let index = world.record(&[record]);
    flagged(world, index)
}

fn flagged(world: &World, index: LeafIndex) -> Option<UnjustifiedReason> {
    let Some(Entry::Record(entry)) = world.reader().decoded_entry(index).expect("readable") else { panic!("a record") };
    entry.flags.unjustified_reason()
}

#[test]
fn an_access_on_a_decision_is_held_against_it() {
    let mut world = World::new();
    world.record(&[permit(tag(1), "a", &dr())]);
    let decided = world.ask(may_read(tag(1), dr(), &[item("d1")])).expect("decided");
    let cited = decided.decisions[0].index.to_string();
    let on = (BasisKind::Decision, &cited[..]);
    assert_eq!(fault(&mut world, Kind::ACCESS_READ, dr(), &[item("d1")], on), None);
    let reading = Kind::ACCESS_READ;
    assert_eq!(fault(&mut world, reading, doctor(2, "x"), &[item("d1")], on), Some(UnjustifiedReason::OtherActor));
    assert_eq!(fault(&mut world, reading, dr(), &[item("d2")], on), Some(UnjustifiedReason::Beyond), "another item");
    assert_eq!(fault(&mut world, Kind::ACCESS_PRINT, dr(), &[item("d1")], on), Some(UnjustifiedReason::Beyond));
    for unknown in ["2", "999999", "x", ""] {
        let basis = (BasisKind::Decision, unknown);
        let found = fault(&mut world, reading, dr(), &[item("d1")], basis);
        assert_eq!(found, Some(UnjustifiedReason::UnknownReference), "{unknown}");
    }
    world.reopen();
    assert_eq!(fault(&mut world, reading, dr(), &[item("d1")], on), None, "opened again");
    world.now += 300_000;
    assert_eq!(fault(&mut world, reading, dr(), &[item("d1")], on), Some(UnjustifiedReason::Expired));
    // It happened in time, and is recorded later.
    let mut late = access(reading, tag(1), dr(), &[item("d1")], on);
    late.occurred_at_ms = START_MS + 1_000;
    let index = world.record(&[late]);
    assert_eq!(flagged(&world, index), None);
    // Of another patient.
    let index = world.record(&[access(reading, tag(2), dr(), &[item("d1")], on)]);
    assert_eq!(flagged(&world, index), Some(UnjustifiedReason::UnknownReference));
}

#[test]
fn what_was_denied_is_no_basis() {
    let mut world = World::new();
    let decided = world.ask(may_read(tag(1), dr(), &[item("d1")])).expect("decided");
    let cited = decided.decisions[0].index.to_string();
    let found = fault(&mut world, Kind::ACCESS_READ, dr(), &[item("d1")], (BasisKind::Decision, &cited));
    assert_eq!(found, Some(UnjustifiedReason::Beyond));
    // Nor is it where the access names nothing that could be held against it.
    let unnamed = Item { category: "PSY".into(), ..Item::default() };
    for items in [&[][..], std::slice::from_ref(&unnamed)] {
        let found = fault(&mut world, Kind::ACCESS_READ, dr(), items, (BasisKind::Decision, &cited));
        assert_eq!(found, Some(UnjustifiedReason::Beyond), "{items:?}");
    }
    world.record(&[permit(tag(1), "a", &dr())]);
    let decided = world.ask(may_read(tag(1), dr(), &[item("d1")])).expect("decided");
    let cited = decided.decisions[0].index.to_string();
    let on = (BasisKind::Decision, &cited[..]);
    assert_eq!(fault(&mut world, Kind::ACCESS_READ, dr(), &[item("d1"), unnamed], on), Some(UnjustifiedReason::Beyond));
    assert_eq!(fault(&mut world, Kind::ACCESS_READ, dr(), &[], on), None, "it names nothing beyond it");
}

#[test]
fn a_broken_glass_opens_nothing_that_the_patient_had_closed_by_then() {
    let mut world = World::new();
    let er = doctor(4, "emergency-physician");
    let on = (BasisKind::Breakglass, "bg1");
    let reads = |world: &mut World, id: &str| {
        fault(world, Kind::ACCESS_READ, doctor(4, "emergency-physician"), &[item(id)], on)
    };
    world.record(&[break_glass(Some(tag(1)), "bg1", er.clone(), world.now + HOUR_MS)]);
    assert_eq!(reads(&mut world, "d1"), None);
    let mut masks = says(Kind::ITEM_MASKED, Some(tag(1)), patient(), &serde_json::Value::Null);
    masks.items = vec![item("d1")];
    world.record(&[masks]);
    let before = world.now - 1;
    world.now += 1_000;
    assert_eq!(reads(&mut world, "d1"), Some(UnjustifiedReason::Beyond), "masked");
    assert_eq!(reads(&mut world, "d2"), None);
    // What happened before is judged by what was said before.
    let mut late = access(Kind::ACCESS_READ, tag(1), er.clone(), &[item("d1")], on);
    late.occurred_at_ms = before;
    let index = world.record(&[late]);
    assert_eq!(flagged(&world, index), None);
    let oppose = says(Kind::EMERGENCY_OPPOSITION, Some(tag(1)), patient(), &json!({"cases": ["INCAPACITY"]}));
    world.record(&[oppose]);
    world.now += 1_000;
    assert_eq!(reads(&mut world, "d2"), Some(UnjustifiedReason::Beyond), "opposed");
    let lift = says(Kind::EMERGENCY_OPPOSITION_LIFTED, Some(tag(1)), patient(), &json!({"cases": ["INCAPACITY"]}));
    world.record(&[lift]);
    assert_eq!(reads(&mut world, "d2"), None);
    let name = format!("{}|{}", er.system, er.id);
    world.record(&[says(Kind::PROFESSIONAL_BLOCKED, Some(tag(1)), patient(), &json!({"professional": name}))]);
    world.now += 1_000;
    assert_eq!(reads(&mut world, "d2"), Some(UnjustifiedReason::Beyond), "blocked");
}

#[test]
fn a_break_glass_covers_who_broke_it_looking_while_it_is_open() {
    let mut world = World::new();
    let er = doctor(4, "emergency-physician");
    let on = (BasisKind::Breakglass, "bg1");
    let reading = Kind::ACCESS_READ;
    assert_eq!(fault(&mut world, reading, er.clone(), &[], on), Some(UnjustifiedReason::UnknownReference));
    // In one batch, in its order.
    let opened = break_glass(Some(tag(1)), "bg1", er.clone(), world.now + HOUR_MS);
    let first = world.record(&[opened, access(reading, tag(1), er.clone(), &[], on)]);
    assert_eq!(flagged(&world, LeafIndex(first.get() + 1)), None);
    assert_eq!(fault(&mut world, reading, er.clone(), &[item("any")], on), None);
    assert_eq!(fault(&mut world, reading, dr(), &[], on), Some(UnjustifiedReason::OtherActor));
    let written = fault(&mut world, Kind::ACCESS_WRITE, er.clone(), &[item("x")], on);
    assert_eq!(written, Some(UnjustifiedReason::Beyond), "it is for looking");
    world.now += HOUR_MS;
    assert_eq!(fault(&mut world, reading, er, &[], on), Some(UnjustifiedReason::Expired));
}

#[test]
fn other_bases_are_taken_at_their_word_and_not_opened() {
    let mut world = World::new();
    assert_eq!(fault(&mut world, Kind::ACCESS_READ, dr(), &[], (BasisKind::Consent, "whatever")), None);
    let none = says(Kind::ACCESS_READ, Some(tag(1)), dr(), &json!({}));
    let index = world.record(&[none]);
    assert_eq!(flagged(&world, index), Some(UnjustifiedReason::NoBasis));
}
