//! Membership of the care team, how long it takes up room, and which teams a directive means.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_proof::hash::LedgerTimeMs;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::admit::PEOPLE_MAX;
use sillage_rules::consent::{Action, Actor};
use sillage_rules::kind::Kind;

use crate::in_force::Log;
use crate::world::*;

fn joins(professional: &v1::Actor, origin: &str, until: u64) -> Value {
    json!({"professional": name(professional), "origin": origin, "until": minute(until)})
}

/// Of another system: a professional where a role is said.
fn other(id: &str, role: &str) -> v1::Actor {
    v1::Actor { system: "urn:oid:1.2.3".into(), id: id.into(), role: role.into(), ..v1::Actor::default() }
}

#[test]
fn nobody_but_a_professional_joins_the_care_team_or_is_the_attending_doctor() {
    let structure = software("his", "F100");
    let refused = Err(Code::NotEntitled);
    for (who, by_themselves, named) in [
        (dr(1), Ok(()), Ok(())),
        (other("x", "nurse"), Ok(()), Ok(())),
        (other("x", ""), refused, Ok(())),
        (person("x"), refused, refused),
        (app("poids@2"), refused, refused),
        (project("cohort"), refused, refused),
        (patient(), refused, refused),
    ] {
        let within = |origin: &str| {
            let mut details = joins(&who, origin, 9);
            details["organisation"] = json!("F100");
            details
        };
        let join = |signer: &v1::Actor, details| world().put(Kind::CARETEAM_JOINED, signer, details, &[]);
        assert_eq!(join(&who, joins(&who, "a", 9)), by_themselves, "{} joins", who.system);
        let employed = v1::Actor { organisation: "F100".into(), ..who.clone() };
        assert_eq!(join(&employed, within("b")), by_themselves, "{} joins within a structure", who.system);
        assert_eq!(join(&structure, within("c")), named, "{} by the structure", who.system);
        assert_eq!(join(&patient(), joins(&who, "d", 9)), named, "{} by the patient", who.system);
        let declared = json!({"professional": name(&who)});
        assert_eq!(world().put(Kind::ATTENDING_DECLARED, &patient(), declared, &[]), named, "{} attends", who.system);
    }
}

#[test]
fn a_membership_whose_time_has_passed_takes_up_no_room() {
    let (mut world, mut log) = (world(), Log::default());
    let join = |world: &mut World, log: &mut Log, origin: &str, until: u64| {
        let before = log.records.len();
        log.put(world, record(Kind::CARETEAM_JOINED, &dr(1), &joins(&dr(1), origin, until), &[]));
        log.records.len() > before
    };
    assert!((1..PEOPLE_MAX).all(|number| join(&mut world, &mut log, &number.to_string(), 1)));
    assert!(join(&mut world, &mut log, "longer", 1_000_000));
    assert!(!join(&mut world, &mut log, "more", 9), "as many as one may have");
    for round in 1..=4 {
        world.at = NOW + round * MINUTE;
        let joined = |number: &usize| join(&mut world, &mut log, &format!("{round}.{number}"), round + 1);
        assert_eq!((1..=PEOPLE_MAX).filter(joined).count(), PEOPLE_MAX - 1, "all but one have ended: {round}");
    }
    assert!(world.open.team().count() <= 2 * PEOPLE_MAX + 64, "{}", world.open.team().count());
    let actor = Actor::from_record(&dr(1)).expect("an actor");
    assert_eq!(world.open.origins(&actor, LedgerTimeMs(NOW + 9 * MINUTE)).collect::<Vec<_>>(), ["longer"]);
    assert!(log.fold() == world.open, "folded anew it is the same");
}

/// A directive about a team means who is a member by either tag, where the item is of the second one.
#[test]
fn a_directive_means_the_teams_of_the_tags_that_count() {
    let mut world = world();
    let grant = json!({"grantee": {"team": "ward"}, "actions": ["export"]});
    world.directive("ward", "permit", grant.clone());
    let secret = json!({"id": "s", "effect": "permit", "grantee": {"team": "ward"}, "actions": ["export"]});
    world.put_secret(Kind::CONSENT_DIRECTIVE, &patient(), secret, &[]).expect("on record");
    world.put(Kind::CARETEAM_JOINED, &dr(1), joins(&dr(1), "ward", 9), &[]).expect("joined");
    world.put_secret(Kind::CARETEAM_JOINED, &dr(2), joins(&dr(2), "ward", 9), &[]).expect("joined");
    world.put(Kind::CARETEAM_JOINED, &dr(3), joins(&dr(3), "other", 9), &[]).expect("joined");
    let open = item("o", "LAB", &[]);
    let kept = sillage_rules::decide::ItemFacts { secret: true, ..item("k", "LAB", &[]) };
    let asks = |world: &World, by: u8| [&open, &kept].map(|item| world.ask(&dr(by), Action::Export, "TREAT", item));
    assert_eq!(asks(&world, 1), ["permit CONSENT_GRANT", "permit CONSENT_GRANT"]);
    assert_eq!(asks(&world, 2), ["deny NO_CONSENT", "permit CONSENT_GRANT"]);
    assert_eq!(asks(&world, 3), ["deny NO_CONSENT", "deny NO_CONSENT"]);
    world.at = NOW + 9 * MINUTE;
    assert_eq!(asks(&world, 1), ["deny NO_CONSENT", "deny NO_CONSENT"], "its time has passed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A search by name finds the same as a look at all of the team.
    #[test]
    fn the_teams_of_an_actor_are_those_of_the_memberships_that_hold(
        draws in prop::collection::vec((0..4_u8, 0..5_u8, any::<bool>(), 1..9_u64, 0..3_u64, 0..6_u8), 0..200),
    ) {
        let (mut world, mut log) = (world(), Log::default());
        let who = |number: u8| pro(number, "nurse", if number & 1 == 0 { "F100" } else { "" });
        for (by, origin, within, minutes, later, kind) in draws {
            world.at += later * MINUTE;
            let minutes = (world.at - NOW) / MINUTE + minutes;
            let mut details = joins(&who(by), &origin.to_string(), minutes);
            if within {
                details["organisation"] = json!("F100");
            }
            let (kind, details) = match kind {
                0 => (Kind::CARETEAM_LEFT, json!({"professional": name(&who(by))})),
                _ => (Kind::CARETEAM_JOINED, details),
            };
            log.put(&mut world, record(kind, &who(by), &details, &[]));
            let at = LedgerTimeMs(world.at);
            for number in 0..4 {
                let actor = Actor::from_record(&who(number)).expect("an actor");
                let mut found: Vec<_> = world.open.origins(&actor, at).collect();
                let scan = world.open.team().filter(|entry| entry.holds_for(&actor, at));
                let mut scanned: Vec<_> = scan.filter_map(|entry| entry.membership.origin.as_deref()).collect();
                found.sort_unstable();
                scanned.sort_unstable();
                prop_assert_eq!(&found, &scanned);
                prop_assert_eq!(world.open.member(&actor, at).is_some(), !scanned.is_empty());
            }
        }
        prop_assert_eq!(&log.fold(), &world.open);
    }
}
