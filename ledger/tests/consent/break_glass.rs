//! Broken glass: what it opens, and who answers for it by when.

use serde_json::{Value, json};
use sillage_ledger::{BreakGlass, CommandOutcome, GlassFilter, Options};
use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::people::Verdict;
use sillage_rules::kind::Kind;

use crate::common::world::*;
use crate::common::{quiet, tag};

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

/// The authority's policy, with a longest time of a break-glass.
fn longest(hours: u64) -> v1::Record {
    let authority = v1::Actor { system: "urn:sillage:system".into(), id: "authority".into(), ..v1::Actor::default() };
    let details = json!({"version": format!("p{hours}"), "breakglass_max_s": hours * 3_600});
    says(Kind::POLICY_PUBLISHED, None, authority, &details)
}

#[test]
fn it_ends_by_the_policy_of_when_it_was_opened_whatever_it_asks_for() {
    for kept in [0, 10_000] {
        let mut world = World::with(Options { rule_records_cached: kept, ..quiet() });
        let begin = world.now;
        let ask = || v1::DecisionRequest { purpose: "BTG".into(), ..may_read(tag(1), emergency(), &[item("d1")]) };
        world.record(&[break_glass(Some(tag(1)), "day", emergency(), begin + 1_000 * HOUR_MS)]);
        assert_eq!(listed(&world, OPEN)[0].expires_ms.get(), begin + 24 * HOUR_MS, "a day, where no policy says");
        // What the authority publishes holds for what comes after it in the same command, and not for what came before.
        let of = |id: &str| break_glass(Some(tag(2)), id, emergency(), begin + 1_000 * HOUR_MS);
        let batches =
            vec![world.sealed(2, &[of("before")]), world.sealed(1, &[longest(2)]), world.sealed(2, &[of("after")])];
        let outcomes = world.apply(Command { batches, ..Command::default() });
        assert!(outcomes.iter().all(|outcome| matches!(outcome, CommandOutcome::Done { .. })), "{outcomes:?}");
        let ends = |world: &World| {
            listed(world, GlassFilter::default()).iter().map(|row| row.expires_ms.get() - begin).collect::<Vec<_>>()
        };
        assert_eq!(ends(&world), [24, 24, 2].map(|hours| hours * HOUR_MS));
        world.try_record_by(1, &[longest(100)]).expect("accepted");
        world.reopen();
        assert_eq!(ends(&world), [24, 24, 2].map(|hours| hours * HOUR_MS), "a later policy changes nothing of it");
        world.now = begin + 24 * HOUR_MS - 1;
        assert_eq!(world.reason(ask()), "BREAK_GLASS", "with {kept} kept");
        world.now += 1;
        assert_eq!(world.reason(ask()), "NO_CONSENT", "with {kept} kept");
        assert_eq!(listed(&world, OPEN).len(), 0);
    }
}

#[test]
fn the_longest_time_of_one_that_goes_on_counts_from_the_first_moment() {
    let mut world = World::new();
    let begin = world.now;
    let continued = |id: &str, before: &str| {
        let mut record = break_glass(Some(tag(1)), id, emergency(), begin + 1_000 * HOUR_MS);
        let mut details: Value = serde_json::from_str(&record.details).expect("JSON");
        details["continues"] = before.into();
        record.details = details.to_string();
        record
    };
    for id in ["a", "b"] {
        world.record(&[break_glass(None, id, emergency(), begin + HOUR_MS)]);
    }
    world.now += 23 * HOUR_MS;
    world.record(&[continued("a2", "a")]);
    world.now += 2 * HOUR_MS;
    world.record(&[continued("b2", "b")]);
    let rows = listed(&world, GlassFilter::default());
    assert_eq!(rows[2].expires_ms.get(), begin + 24 * HOUR_MS);
    assert_eq!(rows[3].expires_ms.get(), begin + 24 * HOUR_MS, "taken, and over");
    assert_eq!(listed(&world, OPEN).len(), 0);
    // In one batch, too.
    let both = [break_glass(None, "c", emergency(), world.now + HOUR_MS), continued("c2", "c")];
    world.record(&both);
    assert_eq!(listed(&world, OPEN)[0].expires_ms.get(), world.now + 24 * HOUR_MS);
}

#[test]
fn what_is_handed_in_later_says_when_it_happened_and_when_it_was_recorded() {
    let mut world = World::new();
    let mut record = break_glass(Some(tag(1)), "bg", emergency(), world.now + HOUR_MS);
    record.occurred_at_ms = world.now - 3 * HOUR_MS;
    record.deferred = Some(v1::Deferred { reason: "no network".into() });
    world.record(&[record]);
    world.reopen();
    let row = listed(&world, OPEN).remove(0);
    assert_eq!((row.opened_ms.get(), row.recorded_ms.get()), (world.now - 3 * HOUR_MS, world.now));
}

#[test]
fn nothing_is_due_for_what_was_erased() {
    let mut world = World::new();
    let opened = world.record(&[break_glass(Some(tag(1)), "bg1", emergency(), world.now + HOUR_MS)]);
    world.record(&[break_glass(Some(tag(2)), "bg2", emergency(), world.now + 100 * HOUR_MS)]);
    world.now += 48 * HOUR_MS;
    world.record(&[break_glass(Some(tag(3)), "bg3", emergency(), world.now + HOUR_MS)]);
    assert_eq!(listed(&world, OVERDUE).len(), 2);
    world.erase(tag(1), &[opened]).expect("over");
    let by = world.reader().tree_size().get() - 1;
    world.erase(tag(3), &[]).expect("a patient");
    let rows = listed(&world, GlassFilter::default());
    assert_eq!(rows[0].erased_by, Some(LeafIndex(by)));
    assert_eq!((rows[1].erased_by, rows[2].erased_by.is_some()), (None, true));
    assert_eq!(listed(&world, OVERDUE).iter().map(|row| row.index).collect::<Vec<_>>(), [rows[1].index]);
    assert_eq!(listed(&world, OPEN).len(), 0);
}

#[test]
fn closing_it_again_changes_nothing() {
    let mut world = World::new();
    world.record(&[break_glass(Some(tag(1)), "bg1", emergency(), world.now + HOUR_MS)]);
    world.now += 1_000;
    let close = || about(Kind::BREAKGLASS_CLOSED, Some(tag(1)), emergency(), "bg1", json!({}));
    let closed = world.record(&[close()]);
    world.now += 1_000;
    world.record(&[close(), close()]);
    assert_eq!(listed(&world, GlassFilter::default())[0].closed, Some(closed));
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
