//! `docs/consent.md` says what the code does: its steps, its kinds with their fields, who signs them, and every code that
//! a record is refused with, each shown here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::{Action, Effect, Env, Event, Power, Relation};
use sillage_rules::consent::{admit, caps};
use sillage_rules::decide::Reason;
use sillage_rules::decide::steps::STEPS;
use sillage_rules::kind::Kind;

use crate::admission::{full, good, signer, who_signs};
use crate::world::*;

const DOCUMENT: &str = include_str!("../../../docs/consent.md");

/// The rows of the table under a heading, as cells without their spaces.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = DOCUMENT.split(heading).nth(1).unwrap_or_else(|| panic!("{heading} is a heading"));
    let section = section.split("\n## ").next().expect("a section");
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_steps() {
    let outcome = |reason: &Reason| format!("{} `{reason}`", if reason.permits() { "permit" } else { "deny" });
    let expected: Vec<Vec<String>> = STEPS
        .iter()
        .map(|step| {
            let reasons: Vec<String> = step.reasons.iter().map(outcome).collect();
            vec![step.number.to_string(), step.about.to_owned(), reasons.join("; "), step.law.to_owned()]
        })
        .collect();
    assert_eq!(rows("## The thirteen steps"), expected);
    let reasons: BTreeSet<_> = STEPS.iter().flat_map(|step| step.reasons).collect();
    assert_eq!(reasons.len(), Reason::ALL.len(), "every reason is given by a step");
    let numbers: Vec<u8> = STEPS.iter().map(|step| step.number).collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<_>>());
}

/// Details in which every field of the kind stands.
fn every_field(kind: Kind) -> Value {
    let provision = json!({"effect": "permit", "grantee": {"professional": name(&dr(1))}, "actions": ["read"],
        "categories": ["LAB"], "labels": ["PSY"], "items": ["i"], "purposes": ["TREAT"], "from": minute(0), "until": minute(9)});
    match kind {
        Kind::CONSENT_DIRECTIVE => {
            let mut details = provision.clone();
            details["id"] = json!("d");
            details["supersedes"] = json!("c");
            details["except"] = json!([provision]);
            details["collected"] = json!({"collector": name(&dr(1)), "capacity": "doctor", "method": "paper",
                "evidence_sha256": "00".repeat(32)});
            details
        }
        Kind::FEED_OPPOSED | Kind::FEED_OPPOSITION_LIFTED => json!({"source": "F9", "category": "LAB", "ground": "x"}),
        Kind::REPRESENTATION_REGISTERED => json!({"representative": name(&person("x")), "relation": "TRUSTED_PERSON",
            "powers": ["read"], "from": minute(0), "until": minute(9), "activated": true,
            "representative_tag": "01".repeat(32)}),
        Kind::CARETEAM_JOINED => {
            json!({"professional": name(&dr(1)), "until": minute(9), "origin": "unit", "organisation": "F1"})
        }
        Kind::BREAKGLASS_OPENED => {
            json!({"id": "b", "actor": name(&dr(1)), "profession": "nurse", "organisation": "F1",
            "case": "INCAPACITY", "reason": "coma", "text": "found", "expires": minute(9), "search": "INS",
            "no_position": "INDOORS", "continues": "a"})
        }
        Kind::BREAKGLASS_REVIEWED => json!({"breakglass": "bg", "verdict": "JUSTIFIED", "text": "right"}),
        Kind::POLICY_PUBLISHED => {
            json!({"version": "1", "attending_doctor_sees_all": true, "emergency_lifts_mask": false,
            "express_consent_only": ["x"], "barred_purposes": ["X"], "legal_feeds": ["urn:sillage:system|cnam"],
            "emergency_professions": {"SAMU": ["x"]}, "decision_valid_s": 60, "justification_due_s": 60, "breakglass_max_s": 60,
            "proven_bases": ["care_team"], "late_after_s": 60})
        }
        Kind::MATRIX_PUBLISHED => {
            json!({"version": "1", "deny": [{"profession": "x", "categories": ["A"], "actions": ["read"]}]})
        }
        Kind::CATALOGUE_PUBLISHED => json!({"version": "1", "apps": ["urn:sillage:app|a"]}),
        _ => good(kind).map(|(details, _)| details).unwrap_or_default(),
    }
}

#[test]
fn the_kinds_their_fields_and_who_signs_them() {
    let words: BTreeMap<&str, &str> = BTreeMap::from([
        ("PC", "patient's side"),
        ("OS", "depositor"),
        ("POX", "the patient, any professional"),
        ("PCOS", "patient's side; the professional, their structure"),
        ("PCA", "patient's side; the authority"),
        ("SXYA", "a professional or a service, not who opened it"),
        ("A", "the authority"),
    ]);
    let mut documented = BTreeSet::new();
    for row in rows("## Records that decide") {
        let [kinds, fields, signers, codes] = &row[..] else {
            panic!("four cells: {row:?}");
        };
        for token in quoted(kinds) {
            let kind = Kind::from_token(&token).expect(&token);
            assert!(documented.insert(kind), "{kind} once");
            let details = every_field(kind);
            let event = event(record(kind, &dr(1), &details, &["i"]));
            assert!(event.is_ok(), "{kind}: every field is understood: {event:?}");
            let mut expected: Vec<&str> =
                details.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let mut fields = quoted(fields);
            // A position stands in the place of the reason why there is none.
            fields.retain(|field| field != "position");
            fields.sort_unstable();
            expected.sort_unstable();
            assert_eq!(fields, expected, "{kind}");
            let signs = match kind {
                Kind::BREAKGLASS_OPENED | Kind::BREAKGLASS_JUSTIFIED | Kind::BREAKGLASS_CLOSED => {
                    "who breaks the glass, their structure"
                }
                _ => words[who_signs(kind)],
            };
            assert_eq!(signers, signs, "{kind}");
            let expected: BTreeSet<String> = shown(kind).into_iter().map(|code| code.as_str().to_owned()).collect();
            let codes: BTreeSet<String> = quoted(codes).into_iter().collect();
            assert_eq!(codes, expected, "{kind}");
        }
    }
    let all: BTreeSet<Kind> = Kind::ALL.iter().copied().filter(|kind| good(*kind).is_some()).collect();
    assert_eq!(documented, all);
}

/// The codes with which a record of this kind is refused, each by a record that is. `NOT_ENTITLED` and
/// `AUTHENTICATION_MISSING` follow from who signs.
fn shown(kind: Kind) -> BTreeSet<Code> {
    let dr_only = json!({"professional": name(&dr(1))});
    let id_of = |id: &str| json!({"breakglass": id, "text": "why", "verdict": "JUSTIFIED"});
    let glass = |change: Value| {
        let mut details =
            json!({"id": "new", "case": "INCAPACITY", "reason": "coma", "expires": minute(9), "no_position": "X"});
        details.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        details.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        details
    };
    let named =
        |of: &Value, names: &[&str]| Value::from_iter(names.iter().map(|name| ((*name).to_owned(), of[*name].clone())));
    let grant = |change: Value| {
        let mut details = json!({"id": "d", "effect": "permit", "grantee": dr_only, "actions": ["read"]});
        details.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        details.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        details
    };
    let many: Vec<String> = (0..1_000).map(|number| format!("i{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let relative = |relation: &str, until: Value| json!({"representative": name(&person("x")), "relation": relation, "until": until});
    let parent = |until: Value| {
        let mut details = relative("PARENT", until);
        details.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        details
    };
    let cases: Vec<(Value, Vec<&str>, char)> = match kind {
        Kind::CONSENT_DIRECTIVE => vec![
            (grant(json!({"supersedes": "x"})), vec![], 'P'),
            (grant(json!({"grantee": "anyone"})), vec![], 'P'),
            (grant(json!({"actions": null})), vec![], 'P'),
            (grant(json!({"until": minute(0)})), vec![], 'P'),
            (grant(json!({"id": "c"})), vec![], 'P'),
        ],
        Kind::CONSENT_REVOKED => vec![(json!({"consent": "x"}), vec![], 'P')],
        Kind::EMERGENCY_OPPOSITION_LIFTED => vec![(json!({"cases": ["FIRE"]}), vec![], 'P')],
        Kind::PROFESSIONAL_UNBLOCKED | Kind::CARETEAM_LEFT | Kind::ATTENDING_ENDED => {
            vec![(json!({"professional": name(&dr(9))}), vec![], 'P')]
        }
        Kind::PROFESSIONAL_BLOCKED => vec![(json!({"professional": name(&dr(6))}), vec![], 'P')],
        Kind::ITEM_UNMASKED | Kind::MINOR_SECRECY_LIFTED => vec![(Value::Null, vec!["x"], 'P')],
        Kind::ITEM_RELEASED => vec![(Value::Null, vec!["own"], 'O')],
        Kind::ITEM_EMBARGOED => vec![(json!({"until": minute(0)}), vec!["own"], 'O')],
        Kind::FEED_OPPOSITION_LIFTED => vec![(json!({"source": "x"}), vec![], 'P')],
        Kind::REPRESENTATION_REGISTERED => {
            vec![(parent(Value::Null), vec![], 'A'), (relative("CAREGIVER", json!(minute(0))), vec![], 'P')]
        }
        Kind::REPRESENTATION_ENDED => vec![(json!({"representative": name(&person("y"))}), vec![], 'P')],
        Kind::CARETEAM_JOINED => vec![
            (json!({"professional": name(&dr(1))}), vec![], 'P'),
            (json!({"professional": name(&dr(1)), "until": minute(0)}), vec![], 'P'),
        ],
        Kind::BREAKGLASS_OPENED => vec![
            (glass(json!({"reason": null})), vec![], 'O'),
            (glass(json!({"expires": null})), vec![], 'O'),
            (glass(json!({"expires": minute(0)})), vec![], 'O'),
            (glass(json!({"id": "bg"})), vec![], 'O'),
        ],
        Kind::BREAKGLASS_JUSTIFIED => vec![(named(&id_of("x"), &["breakglass", "text"]), vec![], 'O')],
        Kind::BREAKGLASS_CLOSED => vec![(named(&id_of("x"), &["breakglass"]), vec![], 'O')],
        Kind::BREAKGLASS_REVIEWED => vec![(id_of("x"), vec![], 'X')],
        _ => vec![],
    };
    let mut codes: BTreeSet<Code> = cases
        .into_iter()
        .map(|(details, items, letter)| {
            let mut world = full();
            world.authority = letter == 'A';
            world.put(kind, &signer(letter), details.clone(), &items).expect_err(&details.to_string())
        })
        .collect();
    codes.extend(too_many(kind, &many));
    codes
}

/// The code of a kind that has a cap, where it has one.
fn too_many(kind: Kind, items: &[&str]) -> Option<Code> {
    let mut world = full();
    for round in 0..admit::DIRECTIVES_MAX + 1 {
        let (details, items) = match kind {
            Kind::CONSENT_DIRECTIVE => (json!({"id": format!("r{round}"), "effect": "deny"}), vec![]),
            Kind::PROFESSIONAL_BLOCKED => {
                (json!({"professional": format!("urn:oid:1.2.250.1.71.4.2.1|1{round:010}")}), vec![])
            }
            Kind::FEED_OPPOSED => (json!({"source": format!("F{round}")}), vec![]),
            Kind::CARETEAM_JOINED => {
                (json!({"professional": name(&dr(1)), "until": minute(9), "origin": format!("t{round}")}), vec![])
            }
            Kind::REPRESENTATION_REGISTERED => {
                (json!({"representative": name(&person(&format!("r{round}"))), "relation": "CAREGIVER"}), vec![])
            }
            Kind::ITEM_MASKED | Kind::MINOR_SECRECY_SET => {
                (Value::Null, items.iter().map(|item| format!("{item}.{round}")).collect())
            }
            Kind::ITEM_EMBARGOED => {
                let deposit = |item: &&str| v1::Item { id: format!("{item}.{round}"), ..v1::Item::default() };
                let deposited: Vec<v1::Item> = items.iter().map(deposit).collect();
                let ids = deposited.iter().map(|item| item.id.clone()).collect();
                let access =
                    v1::Record { items: deposited, ..record(Kind::ACCESS_WRITE, &signer('O'), &Value::Null, &[]) };
                world.put_message(access, false).expect("it happened");
                (Value::Null, ids)
            }
            Kind::BREAKGLASS_OPENED => {
                let opened = json!({"id": format!("b{round}"), "case": "INCAPACITY", "reason": "coma",
                    "expires": minute(9), "no_position": "X"});
                (opened, vec![])
            }
            _ => return None,
        };
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let by = if matches!(kind, Kind::ITEM_EMBARGOED | Kind::BREAKGLASS_OPENED) { 'O' } else { 'P' };
        if let Err(code) = world.put(kind, &signer(by), details, &items) {
            return Some(code);
        }
    }
    panic!("{kind} grows without end");
}

#[test]
fn the_closed_lists_and_the_caps() {
    let lists = DOCUMENT.split("## Words").nth(1).expect("a section");
    let tokens = |all: Vec<&str>| all.iter().map(|token| format!("`{token}`")).collect::<Vec<_>>().join(", ");
    for list in [
        tokens(Action::ALL.iter().map(|token| token.as_str()).collect()),
        tokens(Effect::ALL.iter().map(|token| token.as_str()).collect()),
        tokens(Power::ALL.iter().map(|token| token.as_str()).collect()),
        tokens(Relation::ALL.iter().map(|token| token.as_str()).collect()),
    ] {
        assert!(lists.contains(&list), "{list}");
    }
    let spelled = |number: usize| {
        let text = number.to_string();
        if number < 1_000 { text } else { format!("{},{}", &text[..text.len() - 3], &text[text.len() - 3..]) }
    };
    for cap in [
        admit::DIRECTIVES_MAX,
        admit::DIRECTIVE_ENTRIES_MAX,
        admit::ITEMS_MAX,
        admit::PEOPLE_MAX,
        admit::REPRESENTATIVES_MAX,
        admit::BREAKGLASSES_OPEN_MAX,
        caps::RECORDS_MAX,
        caps::NARROWING_RECORDS_MAX,
        caps::EMERGENCY_RECORDS_MAX,
        caps::OWN_RECORDS_MAX,
    ] {
        assert!(DOCUMENT.contains(&spelled(cap)), "{cap}");
    }
}

/// A refusal changes nothing: `admit` only looks.
#[test]
fn admission_changes_nothing() {
    let world = full();
    let event: Event =
        event(record(Kind::CONSENT_DIRECTIVE, &patient(), &json!({"id": "d", "effect": "deny"}), &[])).expect("good");
    let message = record(Kind::SPACE_CLOSED, &patient(), &Value::Null, &[]);
    let parsed = sillage_rules::record::ParsedRecord::from_message(message).expect("a record");
    let meta = sillage_rules::consent::Meta::of(&parsed, 99.into(), NOW.into(), false, false).expect("signed");
    let before = world.open.clone();
    let env: Env<'_> = world.env(&|_| false);
    assert!(world.open.admit(&event, &meta, &env).is_err(), "not authenticated");
    assert_eq!(world.open, before);
}
