//! Broken glass: what it opens, and who answers for it by when.

use serde_json::{Value, json};
use sillage_ledger::{BreakGlass, GlassFilter};
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::people::Verdict;
use sillage_rules::kind::Kind;

use crate::common::tag;
use crate::common::world::*;

fn about(kind: Kind, tag: Option<[u8; 32]>, actor: v1::Actor, id: &str, more: Value) -> v1::Record {
    let mut details = json!({"breakglass": id});
    for (key, value) in more.as_object().expect("an object") {
        details[key] = value.clone();
    }
    says(kind, tag, actor, &details)
}

fn emergency() -> v1::Actor {
    doctor(4, "emergency-physician")
}

fn reviewer() -> v1::Actor {
    doctor(5, "dpo")
}

fn listed(world: &World, filter: GlassFilter) -> Vec<BreakGlass> {
    let (rows, more) = world.reader().break_glasses(filter, LeafIndex(0), 100).expect("readable");
    assert!(!more);
    rows
}

const OPEN: GlassFilter = GlassFilter { open_only: true, overdue_only: false };
const OVERDUE: GlassFilter = GlassFilter { open_only: false, overdue_only: true };

#[test]
fn a_broken_glass_opens_for_a_time_and_is_answered_for() {
    let mut world = World::new();
    let ask =
        |purpose: &str| v1::DecisionRequest { purpose: purpose.into(), ..may_read(tag(1), emergency(), &[item("d1")]) };
    assert_eq!(world.reason(ask("BTG")), "NO_CONSENT");
    let opened_ms = world.now;
    let opened = world.record(&[break_glass(Some(tag(1)), "bg1", emergency(), world.now + HOUR_MS)]);
    let decided = world.ask(ask("BTG")).expect("decided");
    assert_eq!(decided.decisions[0].permitted, ["d1"]);
    assert_eq!(decided.decisions[0].obligations, ["JUSTIFY", "NOTIFY_PATIENT", "NOTIFY_ATTENDING", "REVIEW"]);
    assert_eq!(world.reason(ask("TREAT")), "NO_CONSENT", "another purpose");
    let [row] = &listed(&world, GlassFilter::default())[..] else { panic!("one") };
    assert_eq!((row.index, row.tag, row.opened_ms.get()), (opened, Some(tag(1)), opened_ms));
    assert_eq!(row.expires_ms.get(), opened_ms + HOUR_MS);
    assert_eq!(row.justification_due_ms.get(), opened_ms + 172_800_000, "the default of the policy: two days");
    assert_eq!(listed(&world, OPEN).len(), 1);
    world.now += HOUR_MS;
    assert_eq!(world.reason(ask("BTG")), "NO_CONSENT", "it has ended by itself");
    assert_eq!(listed(&world, OPEN).len(), 0);
    assert_eq!(listed(&world, OVERDUE).len(), 0);
    world.now = opened_ms + 172_800_000;
    world.record(&[says(Kind::SPACE_OPENED, Some(tag(9)), patient(), &json!({}))]);
    assert_eq!(listed(&world, OVERDUE).len(), 1, "overdue follows from ledger time");
    world.reopen();
    let justified = about(Kind::BREAKGLASS_JUSTIFIED, Some(tag(1)), emergency(), "bg1", json!({"text": "coma"}));
    let justified = world.record(&[justified]);
    assert_eq!(listed(&world, OVERDUE).len(), 0);
    let review =
        |by: v1::Actor| about(Kind::BREAKGLASS_REVIEWED, Some(tag(1)), by, "bg1", json!({"verdict": "JUSTIFIED"}));
    assert_eq!(world.refused(review(emergency())), Code::NotEntitled, "nobody judges themselves");
    let reviewed = world.record(&[review(reviewer())]);
    let row = &listed(&world, GlassFilter::default())[0];
    assert_eq!((row.justified, row.reviewed), (Some(justified), Some((reviewed, Verdict::Justified))));
    assert_eq!(
        world.refused(about(Kind::BREAKGLASS_CLOSED, Some(tag(1)), emergency(), "bg2", json!({}))),
        Code::UnknownReference
    );
}

#[test]
fn closed_it_opens_nothing_any_more() {
    let mut world = World::new();
    world.record(&[break_glass(Some(tag(1)), "bg1", emergency(), world.now + HOUR_MS)]);
    world.now += 1_000;
    let closed = world.record(&[about(Kind::BREAKGLASS_CLOSED, Some(tag(1)), emergency(), "bg1", json!({}))]);
    let ask = v1::DecisionRequest { purpose: "BTG".into(), ..may_read(tag(1), emergency(), &[item("d1")]) };
    assert_eq!(world.reason(ask), "NO_CONSENT");
    assert_eq!(listed(&world, GlassFilter::default())[0].closed, Some(closed));
    assert_eq!(listed(&world, OPEN).len(), 0);
}

#[test]
fn an_unknown_patient_is_identified_later_and_the_clock_runs_from_the_first_moment() {
    let mut world = World::new();
    let opened_ms = world.now;
    let first = world.record(&[break_glass(None, "bg1", emergency(), world.now + HOUR_MS)]);
    let row = listed(&world, GlassFilter::default()).remove(0);
    assert_eq!((row.index, row.tag, row.is_identified()), (first, None, false));
    assert_eq!(world.refused(break_glass(None, "bg1", emergency(), world.now + HOUR_MS)), Code::IdTaken);
    world.now += 600_000;
    let identified = |by: v1::Actor, continues: &str| {
        let mut record = break_glass(Some(tag(1)), "bg2", by, opened_ms + HOUR_MS);
        let mut details: Value = serde_json::from_str(&record.details).expect("JSON");
        details["continues"] = continues.into();
        record.details = details.to_string();
        record
    };
    assert_eq!(world.refused(identified(emergency(), "nothing")), Code::UnknownReference);
    assert_eq!(world.refused(identified(doctor(6, "emergency-physician"), "bg1")), Code::UnknownReference, "another's");
    let second = world.record(&[identified(emergency(), "bg1")]);
    let rows = listed(&world, GlassFilter::default());
    assert_eq!((rows[0].continued_by, rows[0].is_identified()), (Some(second), true));
    assert_eq!((rows[1].index, rows[1].tag), (second, Some(tag(1))));
    assert_eq!(rows[1].justification_due_ms.get(), opened_ms + 172_800_000);
    assert_eq!(listed(&world, OPEN).len(), 1, "one of the two");
    let mut again = identified(emergency(), "bg1");
    again.details = again.details.replace("bg2", "bg3");
    assert_eq!(world.refused(again), Code::UnknownReference, "it goes on in one place");
    world.now = opened_ms + 172_800_000;
    world.record(&[says(Kind::SPACE_OPENED, Some(tag(9)), patient(), &json!({}))]);
    let overdue = listed(&world, OVERDUE);
    assert_eq!(overdue.iter().map(|row| row.index).collect::<Vec<_>>(), [second], "the one that goes on");
}

#[test]
fn a_glass_broken_on_nobody_known_can_be_closed_and_justified_too() {
    let mut world = World::new();
    let opened = break_glass(None, "bg1", emergency(), world.now + HOUR_MS);
    let justified = about(Kind::BREAKGLASS_JUSTIFIED, None, emergency(), "bg1", json!({"text": "nobody came"}));
    world.record(&[opened, justified]);
    world.reopen();
    let closed = world.record(&[about(Kind::BREAKGLASS_CLOSED, None, emergency(), "bg1", json!({}))]);
    let row = listed(&world, GlassFilter::default()).remove(0);
    assert_eq!((row.closed, row.justified.is_some()), (Some(closed), true));
    let other = about(Kind::BREAKGLASS_CLOSED, None, doctor(9, "emergency-physician"), "bg1", json!({}));
    assert_eq!(world.refused(other), Code::NotEntitled);
    assert_eq!(
        world.refused(about(Kind::BREAKGLASS_CLOSED, None, emergency(), "bg9", json!({}))),
        Code::UnknownReference
    );
    let read = says(Kind::ACCESS_READ, None, emergency(), &json!({}));
    assert!(sillage_rules::record::ParsedRecord::from_message(read).is_err(), "an access has a patient");
}

#[test]
fn the_register_is_read_in_pages() {
    let mut world = World::new();
    for number in 0..5 {
        world.record(&[break_glass(Some(tag(number)), "bg", emergency(), world.now + HOUR_MS)]);
    }
    let reader = world.reader();
    for filter in [GlassFilter::default(), OPEN] {
        let (first, more) = reader.break_glasses(filter, LeafIndex(0), 2).expect("readable");
        assert!(more && first.len() == 2);
        let (rest, more) = reader.break_glasses(filter, first[1].index, 3).expect("readable");
        assert!(!more && rest.len() == 3);
        assert!(rest[0].index > first[1].index);
    }
}
