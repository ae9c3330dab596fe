//! Erasing must not bring anything back: a record that isn't in force can go, and no decision changes.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1;
use sillage_rules::consent::{Event, Meta, PatientState};
use sillage_rules::kind::Kind;

use crate::properties::{all_decisions, record_of};
use crate::world::*;

/// Everything that was admitted, in log order.
#[derive(Clone, Default)]
pub struct Log {
    pub records: Vec<(Event, Meta)>,
}

impl Log {
    pub fn fold(&self) -> PatientState {
        let mut state = PatientState::default();
        self.records.iter().for_each(|(event, meta)| state.apply(event, meta));
        state
    }

    /// Admits a record; what is refused isn't on record.
    pub fn put(&mut self, world: &mut World, message: v1::Record) {
        let record = sillage_rules::record::ParsedRecord::from_message(message).expect("a record");
        let event = Event::of(&record).expect("understood").expect("decides");
        world.index += 1;
        let meta = Meta {
            authenticated: true,
            ..Meta::of(&record, LeafIndex(world.index), LedgerTimeMs(world.at), true, false).expect("signed")
        };
        let state = std::mem::take(&mut world.open);
        let admitted = state.admit(&event, &meta, &world.env(&|_| false)).is_ok();
        world.open = state;
        if admitted {
            world.open.apply(&event, &meta);
            self.records.push((event, meta));
        }
    }
}

/// A log of records drawn at random, a minute apart.
fn log(draws: &[[u8; 6]]) -> (World, Log) {
    let (mut world, mut log) = (world(), Log::default());
    for draw in draws {
        log.put(&mut world, record_of(draw));
        world.at += MINUTE;
    }
    (world, log)
}

/// Opens or closes a break-glass: who, which, in which case, for how long, how much later.
type Glass = (u8, u8, bool, u64, u64);

fn glass((by, id, closes, minutes, _): Glass, now: u64) -> v1::Record {
    let (id, samu) = (format!("b{id}"), pro(by, "samu-regulator", ""));
    if closes {
        return record(Kind::BREAKGLASS_CLOSED, &samu, &json!({"breakglass": id}), &[]);
    }
    let expires = minute((now - NOW) / MINUTE + minutes);
    let opened = json!({"id": id, "case": "SAMU", "reason": "x", "expires": expires, "no_position": "X"});
    record(Kind::BREAKGLASS_OPENED, &samu, &opened, &[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_found_open_is_what_looking_at_every_break_glass_says(
        draws in prop::collection::vec((0..3_u8, 0..60_u8, prop::bool::weighted(0.2), 1..40_u64, 0..3_u64), 0..100),
    ) {
        let (mut world, mut log) = (world(), Log::default());
        for draw in draws {
            world.at += draw.4 * MINUTE;
            let record = glass(draw, world.at);
            log.put(&mut world, record);
            for (by, later) in (0..3).flat_map(|by| [0, 1, 7, 40].map(|later| (by, later))) {
                let (at, actor) = (LedgerTimeMs(world.at + later * MINUTE), name(&pro(by, "", "")));
                let actor = actor.parse().expect("a name");
                let found: Vec<_> = world.open.open_breakglasses(&actor, at).map(|entry| entry.stamp).collect();
                let all = world.open.breakglasses().map(|(_, entry)| entry);
                let open = all.filter(|entry| entry.actor == actor && entry.period.contains(at));
                let mut scanned: Vec<_> = open.map(|entry| entry.stamp).collect();
                scanned.sort_unstable();
                prop_assert_eq!(found, scanned);
            }
        }
        prop_assert_eq!(&log.fold(), &world.open);
    }

    #[test]
    fn what_is_not_in_force_can_go_and_nothing_changes(
        kinds in any::<[u8; 3]>(),
        draws in prop::collection::vec(any::<[u8; 6]>(), 1..30),
    ) {
        // A few kinds only, so that records meet.
        let meet = |draw: &[u8; 6]| [kinds[usize::from(draw[0]) % 3], draw[1], draw[2], draw[3], draw[4], draw[5]];
        let (mut world, mut log) = log(&draws.iter().map(meet).collect::<Vec<_>>());
        prop_assert_eq!(&log.fold(), &world.open, "a state is what its records make it");
        let now = LedgerTimeMs(world.at);
        let before = all_decisions(&mut world);
        while let Some(place) = log.records.iter().position(|(_, meta)| !world.open.is_in_force(meta.index, now)) {
            let (event, _) = log.records.remove(place);
            world.open = log.fold();
            prop_assert_eq!(&all_decisions(&mut world), &before, "without {:?}", event);
        }
    }
}

/// Erasing a revocation would bring the consent back: it stays as long as the consent is there.
#[test]
fn what_ended_something_stays_while_that_is_there() {
    let (mut world, mut log) = (world(), Log::default());
    let put = |world: &mut World, log: &mut Log, kind, details: Value, items: &[&str]| {
        log.put(world, record(kind, &patient(), &details, items));
        LeafIndex(world.index)
    };
    let granted = json!({"id": "a", "effect": "permit", "grantee": {"professional": name(&dr(1))}, "actions": ["read"],
        "until": minute(30)});
    let granted = put(&mut world, &mut log, Kind::CONSENT_DIRECTIVE, granted, &[]);
    let masked = put(&mut world, &mut log, Kind::ITEM_MASKED, Value::Null, &["m", "n"]);
    let (now, later) = (LedgerTimeMs(world.at), LedgerTimeMs(NOW + 30 * MINUTE));
    assert!(world.open.is_in_force(granted, now) && !world.open.is_in_force(granted, later));
    let revoked = put(&mut world, &mut log, Kind::CONSENT_REVOKED, json!({"consent": "a"}), &[]);
    let unmasked = put(&mut world, &mut log, Kind::ITEM_UNMASKED, Value::Null, &["m"]);
    assert!(!world.open.is_in_force(granted, now) && world.open.is_in_force(revoked, now));
    assert!(!world.open.is_in_force(revoked, later), "by then it would have ended by itself");
    assert!(world.open.is_in_force(masked, later), "one item of it is masked still");
    assert!(world.open.is_in_force(unmasked, later));
    log.records.retain(|(_, meta)| meta.index != granted);
    assert!(!log.fold().is_in_force(revoked, now), "nothing is left that it ended");
    // The second doctor's declaration ended the first one's.
    let (mut world, mut log) = (self::world(), Log::default());
    let declare = |number| json!({"professional": name(&dr(number))});
    let first = put(&mut world, &mut log, Kind::ATTENDING_DECLARED, declare(1), &[]);
    let second = put(&mut world, &mut log, Kind::ATTENDING_DECLARED, declare(2), &[]);
    put(&mut world, &mut log, Kind::ATTENDING_ENDED, declare(2), &[]);
    assert!(!world.open.is_in_force(first, now) && world.open.is_in_force(second, now));
}

/// The structure ends its own membership alone, also where that one's record is gone.
#[test]
fn a_structure_that_leaves_takes_nobody_elses_membership_along() {
    let (mut world, mut log) = (world(), Log::default());
    let nurse = pro(1, "nurse", "");
    let within = json!({"professional": name(&nurse), "until": minute(60), "organisation": "F100"});
    let own = json!({"professional": name(&nurse), "until": minute(60)});
    log.put(&mut world, record(Kind::CARETEAM_JOINED, &software("his", "F100"), &within, &[]));
    log.put(&mut world, record(Kind::CARETEAM_JOINED, &nurse, &own, &[]));
    let left = json!({"professional": name(&nurse)});
    log.put(&mut world, record(Kind::CARETEAM_LEFT, &software("his", "F100"), &left, &[]));
    assert_eq!((log.records.len(), world.open.team().count()), (3, 1));
    log.records.remove(0);
    assert_eq!(log.fold().team().count(), 1);
}

/// A kind, who signs it, its details until so many minutes, its items.
type Timed<'a> = (Kind, &'a v1::Actor, &'a dyn Fn(u64) -> Value, &'a [&'a str]);

/// A rule that was replaced by something shorter doesn't come back when that has passed and is erased.
#[test]
fn what_replaced_something_longer_stays() {
    let nurse = pro(1, "nurse", "");
    let joined = |minutes| json!({"professional": name(&nurse), "until": minute(minutes)});
    let mum = |minutes| json!({"representative": name(&person("mum")), "relation": "CAREGIVER", "powers": ["read"], "until": minute(minutes)});
    let held = |minutes| json!({"until": minute(minutes)});
    let cases: [Timed<'_>; 3] = [
        (Kind::CARETEAM_JOINED, &nurse, &joined, &[]),
        (Kind::REPRESENTATION_REGISTERED, &patient(), &mum, &[]),
        (Kind::ITEM_EMBARGOED, &nurse, &held, &["own"]),
    ];
    for (kind, signer, details, items) in cases {
        let (mut world, mut log) = (world(), Log::default());
        log.put(&mut world, record(Kind::ACCESS_WRITE, &nurse, &Value::Null, &["own"]));
        log.put(&mut world, record(kind, signer, &details(60), items));
        log.put(&mut world, record(kind, signer, &details(5), items));
        let (shorter, passed) = (LeafIndex(world.index), LedgerTimeMs(NOW + 5 * MINUTE));
        assert_eq!(log.records.len(), 3, "{kind}");
        assert!(world.open.is_in_force(shorter, passed), "{kind}");
        assert!(!world.open.is_in_force(shorter, LedgerTimeMs(NOW + 60 * MINUTE)), "{kind}");
    }
}
