//! Properties that must hold whatever is on record.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sillage_proof::hash::{LedgerTimeMs, TreeSize};
use sillage_proto::v1;
use sillage_rules::consent::{Action, Actor};
use sillage_rules::decide::record::{DecisionRecord, Moment, SignedRequest, WhichTag};
use sillage_rules::decide::{Decision, ItemFacts, ParsedRequest, Request, decide};
use sillage_rules::kind::Kind;

use crate::in_force::Log;
use crate::world::*;

const CATEGORIES: [&str; 2] = ["LAB", "REPORT"];
const LABELS: [&str; 2] = ["PSY", "HIV"];
const ITEMS: [&str; 3] = ["i0", "i1", "i2"];

fn pick<'t, T: ?Sized>(all: &[&'t T], draw: u8) -> &'t T {
    all[usize::from(draw) % all.len()]
}

fn actor(draw: u8) -> v1::Actor {
    match draw % 6 {
        0 => patient(),
        1 => person("mum"),
        2 => pro(1, "physician", "F100"),
        3 => pro(2, "samu-regulator", ""),
        4 => software("his", "F100"),
        _ => app("poids"),
    }
}

/// Items as their numbers say: one of each category, one labelled.
fn facts(id: &str) -> ItemFacts {
    match id {
        "i0" => item(id, "LAB", &[]),
        "i1" => item(id, "REPORT", &["PSY"]),
        _ => item(id, "REPORT", &["HIV", "PSY"]),
    }
}

/// Fields of a directive, as six bytes draw them.
fn provision(draw: &[u8; 6]) -> Map<String, Value> {
    let [_, who, what, which, when, more] = *draw;
    let mut fields = Map::new();
    fields.insert("effect".into(), json!(if who & 1 == 0 { "permit" } else { "deny" }));
    let named = actor(2 + who % 4);
    let key = match who % 4 {
        0 | 1 => "professional",
        2 => "person",
        _ => "app",
    };
    let grantee = match who / 8 % 4 {
        0 => json!({"profession": "physician"}),
        1 => json!({"organisation": "F100"}),
        _ => json!({key: name(&named)}),
    };
    fields.insert("grantee".into(), grantee);
    fields.insert("actions".into(), if what & 1 == 0 { json!(["read", "write"]) } else { json!(["export", "read"]) });
    match which % 5 {
        0 => _ = fields.insert("categories".into(), json!([pick(&CATEGORIES, which / 5)])),
        1 => _ = fields.insert("labels".into(), json!([pick(&LABELS, which / 5)])),
        2 => _ = fields.insert("items".into(), json!([pick(&ITEMS, which / 5)])),
        _ => {}
    }
    if when & 1 == 1 {
        fields.insert("from".into(), json!(minute(u64::from(when / 2 % 40))));
    }
    if when & 2 == 2 {
        fields.insert("until".into(), json!(minute(u64::from(when / 4))));
    }
    if more & 1 == 1 {
        fields.insert("purposes".into(), json!(["TREAT", "BTG"]));
    }
    fields
}

/// A record, as six bytes draw it.
pub fn record_of(draw: &[u8; 6]) -> v1::Record {
    let [kind, a, b, c, d, e] = *draw;
    let who = json!({"professional": name(&actor(2 + b % 2))});
    let until = |draw: u8| minute(1 + u64::from(draw % 60));
    let case = pick(&["SAMU", "INCAPACITY"], b);
    let items = [pick(&ITEMS, b), pick(&ITEMS, c)];
    let items = if items[0] == items[1] { &items[..1] } else { &items[..] };
    // Mostly the patient signs; now and then somebody else.
    let signer = if a % 4 == 0 { actor(a / 4) } else { patient() };
    let own = actor(2 + b % 2);
    let at = |kind, signer: &v1::Actor, details: Value| record(kind, signer, &details, &[]);
    match kind % 22 {
        0..4 => {
            let mut fields = provision(draw);
            fields.insert("id".into(), json!(format!("d{}", a % 6)));
            if e & 8 == 8 {
                fields.insert("supersedes".into(), json!(format!("d{}", e % 6)));
            }
            if e & 4 == 4 {
                let mut except = provision(&[a, b ^ 1, c, d, e, 0]);
                except.insert("effect".into(), json!(if b & 1 == 0 { "deny" } else { "permit" }));
                fields.insert("except".into(), json!([except]));
            }
            at(Kind::CONSENT_DIRECTIVE, &signer, Value::from(fields))
        }
        4 | 5 => at(Kind::CONSENT_REVOKED, &signer, json!({"consent": format!("d{}", b % 6)})),
        6 => at(Kind::EMERGENCY_OPPOSITION, &signer, json!({"cases": [case]})),
        7 => at(Kind::EMERGENCY_OPPOSITION_LIFTED, &signer, json!({"cases": [case, "FIRE"]})),
        8 => at(Kind::PROFESSIONAL_BLOCKED, &signer, who),
        9 => at(Kind::PROFESSIONAL_UNBLOCKED, &signer, who),
        10 => record(Kind::ITEM_MASKED, &signer, &Value::Null, items),
        11 => record(Kind::ITEM_UNMASKED, &signer, &Value::Null, items),
        12 => at(Kind::FEED_OPPOSED, &signer, json!({"source": "professionals", "category": pick(&CATEGORIES, b)})),
        13 => at(Kind::FEED_OPPOSITION_LIFTED, &signer, json!({"source": "professionals"})),
        14 => {
            let powers = if c & 1 == 0 { json!(["read", "consent"]) } else { json!(["read", "update"]) };
            let relation = if d & 1 == 0 { "CAREGIVER" } else { "PARENT" };
            let details = json!({"representative": name(&person("mum")), "relation": relation, "powers": powers,
                "until": until(e)});
            at(Kind::REPRESENTATION_REGISTERED, &signer, details)
        }
        15 => at(Kind::REPRESENTATION_ENDED, &signer, json!({"representative": name(&person("mum"))})),
        16 => {
            let mut details = json!({"professional": name(&own), "until": until(c)});
            if d & 1 == 0 {
                details["origin"] = json!("team");
            }
            if e & 1 == 0 {
                details["organisation"] = json!("F100");
            }
            at(Kind::CARETEAM_JOINED, if a & 1 == 0 { &own } else { &signer }, details)
        }
        17 => at(Kind::CARETEAM_LEFT, &actor(a), json!({"professional": name(&own)})),
        18 => at(Kind::ATTENDING_DECLARED, &signer, json!({"professional": name(&own)})),
        19 => at(Kind::ATTENDING_ENDED, &signer, json!({"professional": name(&own)})),
        20 => {
            let details = json!({"id": format!("b{}", c % 4), "case": case, "reason": "x", "expires": until(d), "no_position": "X"});
            at(
                if a & 1 == 0 { Kind::BREAKGLASS_OPENED } else { Kind::BREAKGLASS_CLOSED },
                &own,
                match a & 1 {
                    0 => details,
                    _ => json!({"breakglass": format!("b{}", c % 4)}),
                },
            )
        }
        _ => at(
            pick(&[&Kind::SPACE_OPENED, &Kind::SPACE_CLOSED, &Kind::SPACE_OPENED], b).to_owned(),
            &signer,
            Value::Null,
        ),
    }
}

/// The decisions on everything that can be asked, from now on: outcomes and reasons, without the records that decided.
pub fn all_decisions(world: &mut World) -> Vec<String> {
    let (now, mut all) = (world.at, Vec::new());
    let items = ITEMS.map(facts);
    for minutes in [0, 1, 7, 30, 70] {
        world.at = now + minutes * MINUTE;
        for who in 0..6 {
            for action in [Action::Read, Action::Write, Action::Update, Action::Export] {
                for purpose in ["TREAT", "BTG", "PATRQT"] {
                    let decision = world.decide(&actor(who), action, purpose, &items);
                    let outcomes = decision.items.iter().map(|item| format!("{} {}", item.permit, item.reason));
                    all.push(format!("+{minutes} {who} {action} {purpose}: {:?}", outcomes.collect::<Vec<_>>()));
                }
            }
        }
    }
    world.at = now;
    all
}

fn drawn() -> impl Strategy<Value = Vec<[u8; 6]>> {
    prop::collection::vec(any::<[u8; 6]>(), 0..25)
}

/// A world in which the drawn records are on record, all at the same time.
fn world_of(draws: &[[u8; 6]]) -> World {
    let (mut world, mut log) = (world(), Log::default());
    draws.iter().for_each(|draw| log.put(&mut world, record_of(draw)));
    world
}

/// A plain directive, as it would be put on record.
fn plain(draw: &[u8; 6], effect: &str) -> v1::Record {
    let mut fields = provision(draw);
    fields.insert("id".into(), json!("plain"));
    fields.insert("effect".into(), json!(effect));
    record(Kind::CONSENT_DIRECTIVE, &patient(), &Value::from(fields), &[])
}

/// Records about different things: their order says nothing.
fn unrelated() -> Vec<v1::Record> {
    let own = actor(2);
    let mut records: Vec<v1::Record> = (0..6_u8)
        .map(|number| {
            let mut fields = provision(&[0, number * 9, number, number * 7, number * 4, number]);
            fields.insert("id".into(), json!(format!("d{number}")));
            record(Kind::CONSENT_DIRECTIVE, &patient(), &Value::from(fields), &[])
        })
        .collect();
    let joined = json!({"professional": name(&own), "until": minute(20)});
    let opened = json!({"id": "b", "case": "SAMU", "reason": "x", "expires": minute(9), "no_position": "X"});
    let mum = json!({"representative": name(&person("mum")), "relation": "CAREGIVER", "powers": ["read"]});
    records.extend([
        record(Kind::ITEM_MASKED, &patient(), &Value::Null, &["i1"]),
        record(Kind::CARETEAM_JOINED, &own, &joined, &[]),
        record(Kind::BREAKGLASS_OPENED, &actor(3), &opened, &[]),
        record(Kind::REPRESENTATION_REGISTERED, &patient(), &mum, &[]),
        record(Kind::EMERGENCY_OPPOSITION, &patient(), &json!({"cases": ["INCAPACITY"]}), &[]),
        record(Kind::FEED_OPPOSED, &patient(), &json!({"source": "professionals", "category": "LAB"}), &[]),
    ]);
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_unrelated_records_does_not_matter(order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle()) {
        let fold = |order: &[usize]| {
            let (mut world, mut log) = (world(), Log::default());
            let records = unrelated();
            order.iter().for_each(|place| log.put(&mut world, records[*place].clone()));
            assert_eq!(log.records.len(), records.len(), "all of them are admitted, whatever their order");
            world
        };
        let sorted: Vec<usize> = (0..12).collect();
        prop_assert_eq!(all_decisions(&mut fold(&order)), all_decisions(&mut fold(&sorted)));
    }

    #[test]
    fn a_further_denial_permits_nothing(draws in drawn(), draw in any::<[u8; 6]>()) {
        let mut world = world_of(&draws);
        let before = all_decisions(&mut world);
        Log::default().put(&mut world, plain(&draw, "deny"));
        for (before, after) in before.iter().zip(all_decisions(&mut world)) {
            let permitted = |line: &str| line.matches("\"true").count();
            let same_or_less = before.split('"').zip(after.split('"')).all(|(before, after)| {
                !after.starts_with("true") || before.starts_with("true")
            });
            prop_assert!(same_or_less && permitted(&after) <= permitted(before), "{}\n{}", before, after);
        }
    }

    #[test]
    fn a_further_permission_denies_nothing(draws in drawn(), draw in any::<[u8; 6]>()) {
        let mut world = world_of(&draws);
        let before = all_decisions(&mut world);
        Log::default().put(&mut world, plain(&draw, "permit"));
        for (before, after) in before.iter().zip(all_decisions(&mut world)) {
            let same_or_more = before.split('"').zip(after.split('"')).all(|(before, after)| {
                !before.starts_with("true") || after.starts_with("true")
            });
            prop_assert!(same_or_more, "{}\n{}", before, after);
        }
    }

    #[test]
    fn nothing_counts_outside_of_its_time(draws in drawn(), draw in any::<[u8; 6]>(), from in 1..20_u64, minutes in 1..20_u64) {
        let mut world = world_of(&draws);
        let mut without = world_of(&draws);
        let mut fields = provision(&draw);
        fields.extend([("id".into(), json!("timed")), ("from".into(), json!(minute(from))), ("until".into(), json!(minute(from + minutes)))]);
        Log::default().put(&mut world, record(Kind::CONSENT_DIRECTIVE, &patient(), &Value::from(fields), &[]));
        let items = ITEMS.map(facts);
        for at in [NOW + from * MINUTE - 1, NOW + (from + minutes) * MINUTE] {
            (world.at, without.at) = (at, at);
            for who in 0..6 {
                let asked = |world: &World| world.decide(&actor(who), Action::Read, "TREAT", &items);
                prop_assert_eq!(asked(&world), asked(&without));
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(draws in drawn()) {
        let bytes = |draws: &[[u8; 6]]| {
            let world = world_of(draws);
            let decisions = (0..6).map(|who| {
                let decision = world.decide(&actor(who), Action::Read, "BTG", &ITEMS.map(facts));
                on_record(&actor(who), "BTG", &ITEMS, &decision).payload()
            });
            decisions.collect::<Vec<_>>()
        };
        let payloads = bytes(&draws);
        prop_assert_eq!(&payloads, &bytes(&draws));
        for payload in payloads {
            let record = DecisionRecord::parse(&payload).expect("a decision");
            prop_assert_eq!(record.payload(), payload);
        }
    }
}

/// The record of a decision.
fn on_record(actor: &v1::Actor, purpose: &str, items: &[&str], decision: &Decision) -> DecisionRecord {
    let request = v1::DecisionRequest {
        version: 1,
        tag: vec![7; 32],
        actor: Some(actor.clone()),
        action: "read".into(),
        purpose: purpose.into(),
        items: items.iter().map(|id| v1::Item { id: (*id).to_owned(), ..v1::Item::default() }).collect(),
        requested_at_ms: NOW,
        nonce: vec![1; 16],
        ..v1::DecisionRequest::default()
    };
    let request = ParsedRequest::from_message(request).expect("a request");
    let signed = SignedRequest { key_id: [3; 32].into(), signature: [4; 64], position: 0, count: 1, path: vec![] };
    let moment = Moment { at: LedgerTimeMs(NOW), valid_s: 300, as_of: TreeSize(9) };
    DecisionRecord::new(&request, &signed, WhichTag::Open, decision, moment, [[5; 16], [6; 16]])
}

/// A reason, how a world comes to give it, and whether the item is another patient's.
type Hidden<'a> = (&'a str, Box<dyn Fn(&mut World) + 'a>, bool);

/// A masked, denied, opposed or embargoed item, another patient's and one that isn't there: the actor gets the same bytes.
#[test]
fn what_is_hidden_looks_like_what_is_not_there() {
    let samu = pro(2, "samu-regulator", "");
    let prepare = |hide: &dyn Fn(&mut World)| {
        let mut world = world();
        let seen = json!({"grantee": {"professional": name(&samu)}, "actions": ["read"], "items": ["seen"], "purposes": ["TREAT", "BTG"]});
        world.directive("seen", "permit", seen);
        hide(&mut world);
        world
    };
    let opened = json!({"id": "b", "case": "SAMU", "reason": "x", "expires": minute(9), "no_position": "X"});
    let put = |world: &mut World, kind, details: Value, items: &[&str]| {
        world.put(kind, &patient(), details, items).expect("on record");
    };
    let break_glass =
        |world: &mut World| world.put(Kind::BREAKGLASS_OPENED, &samu, opened.clone(), &[]).expect("opened");
    let hidden: [Hidden<'_>; 6] = [
        ("NO_CONSENT", Box::new(|_| {}), false),
        ("MASKED", Box::new(|world| put(world, Kind::ITEM_MASKED, Value::Null, &["x"])), false),
        ("CONSENT_DENY", Box::new(|world| world.directive("no", "deny", json!({"items": ["x"]}))), false),
        ("UNKNOWN_ITEM", Box::new(|_| {}), true),
        (
            "EMERGENCY_OPPOSED",
            Box::new(|world| {
                put(world, Kind::EMERGENCY_OPPOSITION, json!({"cases": ["SAMU"]}), &[]);
                break_glass(world);
            }),
            false,
        ),
        (
            "MASKED",
            Box::new(|world| {
                put(world, Kind::ITEM_MASKED, Value::Null, &["x"]);
                break_glass(world);
            }),
            false,
        ),
    ];
    for purpose in ["TREAT", "BTG"] {
        let mut views = Vec::new();
        for (reason, hide, other_patient) in &hidden {
            let world = prepare(hide.as_ref());
            let item = ItemFacts { other_patient: *other_patient, ..item("x", "REPORT", &[]) };
            let decision = world.decide(&samu, Action::Read, purpose, &[item]);
            if purpose == "BTG" || !["EMERGENCY_OPPOSED"].contains(reason) {
                assert_eq!(decision.items[0].reason.as_str(), *reason, "{purpose}");
            }
            assert!(decision.told().is_empty() && decision.permitted().is_empty() && decision.obligations.is_empty());
            views.push(on_record(&samu, purpose, &["x"], &decision).for_actor().actor);
        }
        assert!(views.iter().all(|view| *view == views[0]), "{purpose}");
    }
    // Blocked: nothing at all is there any more, neither.
    let blocked = prepare(&|world| put(world, Kind::PROFESSIONAL_BLOCKED, json!({"professional": name(&samu)}), &[]));
    let nothing = world();
    let asked = |world: &World| {
        let decision =
            world.decide(&samu, Action::Read, "TREAT", &[item("x", "REPORT", &[]), item("seen", "REPORT", &[])]);
        on_record(&samu, "TREAT", &["x", "seen"], &decision).for_actor().actor
    };
    assert_eq!(asked(&blocked), asked(&nothing));
}

#[test]
fn a_request_is_decided_as_its_actor_and_not_as_its_label() {
    let world = world();
    let labelled = |label: &str| v1::Actor { label: label.into(), ..dr(1) };
    let request = |label: &str| Request {
        actor: Actor::from_record(&labelled(label)).expect("an actor"),
        action: Action::Write,
        purpose: "TREAT".into(),
        at: LedgerTimeMs(NOW),
        items: vec![facts("i0")],
        word_of: None,
    };
    let decided = |label: &str| decide(&world.env(&|_| false), &world.open, None, &request(label));
    assert_eq!(decided("Dr A"), decided("Dr B"));
}
