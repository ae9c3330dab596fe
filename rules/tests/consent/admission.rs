//! Signers and the records that they may sign, and the codes with which everything else is refused.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::admit::{BREAKGLASSES_OPEN_MAX, DIRECTIVES_MAX, REPRESENTATIVES_MAX, check_cycle};
use sillage_rules::consent::{Action, Event};
use sillage_rules::kind::Kind;

use crate::world::*;

/// A world in which everything can be ended: one of each is on record.
pub fn full() -> World {
    let mut world = world();
    let owner = pro(1, "surgeon", "F100");
    world.deposit(&owner, v1::Item { id: "own".into(), ..v1::Item::default() });
    world.deposit(&owner, v1::Item { id: "held".into(), ..v1::Item::default() });
    world.put(Kind::ITEM_EMBARGOED, &owner, Value::Null, &["held"]).expect("on record");
    world.directive("c", "deny", json!({"labels": ["PSY"]}));
    let consents = json!({"representative": name(&person("mum")), "relation": "CAREGIVER", "powers": ["consent"]});
    let reads = json!({"representative": name(&person("aunt")), "relation": "CAREGIVER", "powers": ["read"]});
    let joined = json!({"professional": name(&owner), "until": minute(60)});
    let opened =
        json!({"id": "bg", "case": "INCAPACITY", "reason": "coma", "expires": minute(60), "no_position": "INDOORS"});
    let who = json!({"professional": name(&dr(5))});
    for (kind, details) in [
        (Kind::REPRESENTATION_REGISTERED, consents),
        (Kind::REPRESENTATION_REGISTERED, reads),
        (Kind::EMERGENCY_OPPOSITION, json!({"cases": ["SAMU"]})),
        (Kind::PROFESSIONAL_BLOCKED, who.clone()),
        (Kind::FEED_OPPOSED, json!({"source": "F9"})),
        (Kind::ATTENDING_DECLARED, json!({"professional": name(&dr(6))})),
    ] {
        world.put(kind, &patient(), details, &[]).expect("on record");
    }
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["m"]).expect("on record");
    world.put(Kind::MINOR_SECRECY_SET, &patient(), Value::Null, &["s"]).expect("on record");
    world.put(Kind::CARETEAM_JOINED, &owner, joined, &[]).expect("on record");
    world.put(Kind::BREAKGLASS_OPENED, &owner, opened, &[]).expect("on record");
    world
}

/// Good details and items of each kind that decides, in the world above.
pub fn good(kind: Kind) -> Option<(Value, &'static [&'static str])> {
    let owner = name(&pro(1, "", ""));
    Some(match kind {
        Kind::SPACE_OPENED | Kind::SPACE_OPPOSED | Kind::SPACE_CLOSED => (Value::Null, &[]),
        Kind::CONSENT_DIRECTIVE => (json!({"id": "d", "effect": "deny"}), &[]),
        Kind::CONSENT_REVOKED => (json!({"consent": "c"}), &[]),
        Kind::EMERGENCY_OPPOSITION | Kind::EMERGENCY_OPPOSITION_LIFTED => (json!({"cases": ["SAMU"]}), &[]),
        Kind::PROFESSIONAL_BLOCKED | Kind::PROFESSIONAL_UNBLOCKED => (json!({"professional": name(&dr(5))}), &[]),
        Kind::ITEM_MASKED | Kind::ITEM_UNMASKED => (Value::Null, &["m"]),
        Kind::ITEM_EMBARGOED => (json!({"until": minute(60)}), &["own"]),
        Kind::ITEM_RELEASED => (Value::Null, &["held"]),
        Kind::FEED_OPPOSED | Kind::FEED_OPPOSITION_LIFTED => (json!({"source": "F9"}), &[]),
        Kind::REPRESENTATION_REGISTERED => {
            (json!({"representative": name(&person("x")), "relation": "CAREGIVER", "powers": ["consent"]}), &[])
        }
        Kind::REPRESENTATION_ENDED => (json!({"representative": name(&person("aunt"))}), &[]),
        Kind::MINOR_SECRECY_SET | Kind::MINOR_SECRECY_LIFTED => (Value::Null, &["s"]),
        Kind::CARETEAM_JOINED => (json!({"professional": owner, "until": minute(60), "organisation": "F100"}), &[]),
        Kind::CARETEAM_LEFT => (json!({"professional": owner}), &[]),
        Kind::ATTENDING_DECLARED | Kind::ATTENDING_ENDED => (json!({"professional": name(&dr(6))}), &[]),
        Kind::BREAKGLASS_OPENED => {
            let opened = json!({"id": "new", "case": "INCAPACITY", "reason": "coma", "expires": minute(60),
                "no_position": "INDOORS", "actor": owner, "profession": "surgeon", "organisation": "F100"});
            (opened, &[])
        }
        Kind::BREAKGLASS_JUSTIFIED => (json!({"breakglass": "bg", "text": "found unconscious"}), &[]),
        Kind::BREAKGLASS_CLOSED => (json!({"breakglass": "bg"}), &[]),
        Kind::BREAKGLASS_REVIEWED => (json!({"breakglass": "bg", "verdict": "JUSTIFIED"}), &[]),
        Kind::POLICY_PUBLISHED => (json!({"version": "2"}), &[]),
        Kind::MATRIX_PUBLISHED => (json!({"version": "2", "deny": []}), &[]),
        Kind::CATALOGUE_PUBLISHED => (json!({"version": "2", "apps": []}), &[]),
        _ => return None,
    })
}

/// Those who sign, each with a letter: patient, representative who may Consent, representative who may Read, the Owner of
/// the items (who joined and broke the glass), their Structure, another professional (X), a system of no structure (Y),
/// an application (Z), the Authority.
const SIGNERS: &str = "PCROSXYZA";

pub fn signer(letter: char) -> v1::Actor {
    match letter {
        'P' => patient(),
        'C' => person("mum"),
        'R' => person("aunt"),
        'O' => pro(1, "surgeon", "F100"),
        'S' => software("his", "F100"),
        'X' => pro(2, "surgeon", "F200"),
        'Z' => app("poids"),
        _ => software("other", ""),
    }
}

/// The letters of those who may sign a kind.
pub fn who_signs(kind: Kind) -> &'static str {
    match kind {
        Kind::ITEM_EMBARGOED | Kind::ITEM_RELEASED => "OS",
        Kind::MINOR_SECRECY_SET | Kind::MINOR_SECRECY_LIFTED => "POX",
        Kind::CARETEAM_JOINED | Kind::CARETEAM_LEFT => "PCOS",
        Kind::REPRESENTATION_ENDED => "PCA",
        Kind::BREAKGLASS_OPENED | Kind::BREAKGLASS_JUSTIFIED | Kind::BREAKGLASS_CLOSED => "OS",
        Kind::BREAKGLASS_REVIEWED => "SXYA",
        Kind::POLICY_PUBLISHED | Kind::MATRIX_PUBLISHED | Kind::CATALOGUE_PUBLISHED => "A",
        _ => "PC",
    }
}

#[test]
fn each_kind_has_those_who_may_sign_it() {
    for kind in Kind::ALL {
        let Some((details, items)) = good(*kind) else {
            let decides = sillage_rules::consent::opens_at_apply(*kind, v1::BasisKind::None);
            // The authority signs it for the patient, who is its actor: `ledger/tests/devices.rs`.
            let is_apart = kind.is_access() || *kind == Kind::DEVICE_REGISTERED;
            assert!(!decides || is_apart, "{kind} has its row");
            continue;
        };
        let expected = who_signs(*kind);
        let may = |letter: &char| {
            let mut world = full();
            world.authority = *letter == 'A';
            match world.put(*kind, &signer(*letter), details.clone(), items) {
                Ok(()) => true,
                Err(code) => {
                    assert_eq!(code, Code::NotEntitled, "{kind} by {letter}");
                    false
                }
            }
        };
        let got: String = SIGNERS.chars().filter(may).collect();
        assert_eq!(got, expected, "{kind}");
    }
}

#[test]
fn parents_and_guardians_are_registered_by_the_authority_for_a_time() {
    for relation in ["PARENT", "GUARDIAN"] {
        let mut world = world();
        let mut details = json!({"representative": name(&person("x")), "relation": relation});
        let put = |world: &mut World, details: &Value| {
            world.put(Kind::REPRESENTATION_REGISTERED, &patient(), details.clone(), &[])
        };
        assert_eq!(put(&mut world, &details), Err(Code::NotEntitled));
        world.authority = true;
        assert_eq!(put(&mut world, &details), Err(Code::UntilMissing));
        details["until"] = json!(minute(0));
        assert_eq!(put(&mut world, &details), Err(Code::EmptyPeriod));
        details["until"] = json!(minute(1));
        assert_eq!(put(&mut world, &details), Ok(()));
    }
}

#[test]
fn a_representative_signs_while_they_may() {
    let mut world = world();
    let details = json!({"representative": name(&person("mum")), "relation": "CAREGIVER", "powers": ["consent"],
        "from": minute(5), "until": minute(10)});
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), details, &[]).expect("on record");
    for (minutes, expected) in [(4, Err(Code::NotEntitled)), (5, Ok(())), (9, Ok(())), (10, Err(Code::NotEntitled))] {
        world.at = NOW + minutes * MINUTE;
        let masked = world.put(Kind::ITEM_MASKED, &person("mum"), Value::Null, &["m"]);
        assert_eq!(masked, expected, "minute {minutes}");
    }
}

#[test]
fn who_cannot_be_vouched_for_is_authenticated() {
    let mut world = full();
    world.authenticated = false;
    let mask = |world: &mut World, signer: &v1::Actor| world.put(Kind::ITEM_MASKED, signer, Value::Null, &["x"]);
    assert_eq!(mask(&mut world, &patient()), Err(Code::AuthenticationMissing));
    assert_eq!(mask(&mut world, &person("mum")), Err(Code::AuthenticationMissing));
    assert_eq!(mask(&mut world, &person("stranger")), Err(Code::NotEntitled), "who signs comes first");
    // The service that signs for a professional vouches for them.
    let left = json!({"professional": name(&pro(1, "", ""))});
    assert_eq!(world.put(Kind::CARETEAM_LEFT, &signer('O'), left, &[]), Ok(()));
    // The patient's own key speaks for the patient, and for nobody else.
    world.patient_key = true;
    assert_eq!(mask(&mut world, &patient()), Ok(()));
    assert_eq!(mask(&mut world, &person("mum")), Err(Code::AuthenticationMissing));
    let asks = |actor: &v1::Actor, key, authenticated| {
        let actor = sillage_rules::consent::Actor::from_record(actor).expect("an actor");
        let at = sillage_proof::hash::LedgerTimeMs(NOW);
        world.open.check_authentication(&actor, at, key, authenticated).map_err(|refusal| refusal.code)
    };
    assert_eq!(asks(&patient(), false, false), Err(Code::AuthenticationMissing));
    assert_eq!(asks(&person("aunt"), true, false), Err(Code::AuthenticationMissing));
    assert_eq!(asks(&person("aunt"), false, true), Ok(()));
    assert_eq!(asks(&patient(), true, false), Ok(()));
    assert_eq!(asks(&dr(1), false, false), Ok(()));
}

#[test]
fn an_identity_is_established_at_a_sufficient_level() {
    let auth = |issuer: &str, method: &str, level: &str| {
        let (issuer, method, eidas_level) = (issuer.to_owned(), method.to_owned(), level.to_owned());
        sillage_rules::consent::is_authenticated(Some(&v1::Authentication { issuer, method, eidas_level }))
    };
    assert!(auth("fc", "otp", "substantial") && auth("fc", "card", "high"));
    assert!(!auth("fc", "otp", "low") && !auth("fc", "otp", "") && !auth("", "otp", "high") && !auth("fc", "", "high"));
    assert!(!sillage_rules::consent::is_authenticated(None));
}

#[test]
fn who_is_revoked_signs_nothing() {
    let mut world = full();
    world.revoked.insert(name(&signer('O')).parse().expect("a name"));
    let (opened, items) = good(Kind::BREAKGLASS_OPENED).expect("good");
    assert_eq!(world.put(Kind::BREAKGLASS_OPENED, &signer('O'), opened.clone(), items), Err(Code::NotEntitled));
    assert_eq!(
        world.put(Kind::BREAKGLASS_OPENED, &signer('S'), opened, items),
        Err(Code::NotEntitled),
        "for them neither"
    );
    // What happened is on record all the same.
    world.deposit(&signer('O'), v1::Item { id: "late".into(), ..v1::Item::default() });
    assert!(world.open.deposit("late").is_some());
}

fn directive(effect: &str, fields: Value) -> Value {
    let mut details = json!({"id": "d", "effect": effect});
    details.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    details
}

#[test]
fn a_directive_is_refused_with_the_first_code_that_applies() {
    let dr = json!({"professional": name(&dr(1))});
    let past = json!(sillage_rules::time::TimeMs(NOW - MINUTE).to_string());
    for (effect, fields, expected) in [
        ("permit", json!({"supersedes": "x"}), Some(Code::UnknownReference)),
        ("permit", json!({}), Some(Code::PermitAnyone)),
        ("permit", json!({"grantee": "anyone", "actions": ["read"]}), Some(Code::PermitAnyone)),
        ("permit", json!({"grantee": dr, "until": past}), Some(Code::ActionsMissing)),
        ("permit", json!({"grantee": dr, "actions": []}), Some(Code::ActionsMissing)),
        ("permit", json!({"grantee": dr, "actions": ["read"], "until": past}), Some(Code::EmptyPeriod)),
        ("permit", json!({"grantee": dr, "actions": ["read"], "until": minute(0)}), Some(Code::EmptyPeriod)),
        ("deny", json!({"from": minute(2), "until": minute(2)}), Some(Code::EmptyPeriod)),
        ("deny", json!({"from": minute(2), "until": minute(1)}), Some(Code::EmptyPeriod)),
        // Expired, and not empty: a consent that was imported.
        ("permit", json!({"grantee": dr, "actions": ["read"], "from": "2020-01-01T00:00:00Z", "until": past}), None),
        ("deny", json!({}), None),
        ("deny", json!({"grantee": "anyone", "until": minute(1)}), None),
        ("permit", json!({"grantee": dr, "actions": ["read"], "supersedes": "c"}), None),
        // Exceptions.
        ("deny", json!({"except": [{"effect": "permit"}]}), Some(Code::PermitAnyone)),
        ("deny", json!({"except": [{"effect": "permit", "grantee": "anyone"}]}), Some(Code::PermitAnyone)),
        ("deny", json!({"except": [{"effect": "permit", "grantee": dr, "actions": []}]}), Some(Code::ActionsMissing)),
        ("deny", json!({"except": [{"effect": "permit", "grantee": dr}]}), None),
        ("deny", json!({"grantee": dr, "except": [{"effect": "permit", "purposes": ["TREAT"]}]}), None),
        (
            "deny",
            json!({"from": minute(5), "except": [{"effect": "permit", "grantee": dr, "until": minute(5)}]}),
            Some(Code::EmptyPeriod),
        ),
    ] {
        let mut world = full();
        let details = directive(effect, fields);
        let got = world.put(Kind::CONSENT_DIRECTIVE, &patient(), details.clone(), &[]).err();
        assert_eq!(got, expected, "{details}");
        assert_eq!(
            world.put(Kind::CONSENT_DIRECTIVE, &dr_signs(), details, &[]),
            Err(Code::NotEntitled),
            "before all else"
        );
    }
}

fn dr_signs() -> v1::Actor {
    dr(1)
}

#[test]
fn what_is_ended_is_there() {
    let who = |number| json!({"professional": name(&dr(number))});
    for (kind, signer, details, items) in [
        (Kind::CONSENT_REVOKED, 'P', json!({"consent": "x"}), &[][..]),
        (Kind::EMERGENCY_OPPOSITION_LIFTED, 'P', json!({"cases": ["FIRE", "INCAPACITY"]}), &[]),
        (Kind::PROFESSIONAL_UNBLOCKED, 'P', who(7), &[]),
        (Kind::ITEM_UNMASKED, 'P', Value::Null, &["x", "y"]),
        (Kind::ITEM_RELEASED, 'O', Value::Null, &["own"]),
        (Kind::FEED_OPPOSITION_LIFTED, 'P', json!({"source": "F9", "category": "LAB"}), &[]),
        (Kind::FEED_OPPOSITION_LIFTED, 'P', json!({"source": "F8"}), &[]),
        (Kind::REPRESENTATION_ENDED, 'P', json!({"representative": name(&person("x"))}), &[]),
        (Kind::MINOR_SECRECY_LIFTED, 'P', Value::Null, &["x"]),
        (Kind::CARETEAM_LEFT, 'P', who(7), &[]),
        (Kind::ATTENDING_ENDED, 'P', who(5), &[]),
        (Kind::BREAKGLASS_JUSTIFIED, 'O', json!({"breakglass": "x", "text": "why"}), &[]),
        (Kind::BREAKGLASS_CLOSED, 'O', json!({"breakglass": "x"}), &[]),
        (Kind::BREAKGLASS_REVIEWED, 'X', json!({"breakglass": "x", "verdict": "JUSTIFIED"}), &[]),
    ] {
        assert_eq!(full().put(kind, &self::signer(signer), details, items), Err(Code::UnknownReference), "{kind}");
    }
    // Ended once more: a consent was on record, the rest isn't there any more.
    let mut world = full();
    let revoke = |world: &mut World| world.put(Kind::CONSENT_REVOKED, &patient(), json!({"consent": "c"}), &[]);
    assert_eq!((revoke(&mut world), revoke(&mut world)), (Ok(()), Ok(())));
    let unmask = |world: &mut World| world.put(Kind::ITEM_UNMASKED, &patient(), Value::Null, &["m"]);
    assert_eq!((unmask(&mut world), unmask(&mut world)), (Ok(()), Err(Code::UnknownReference)));
}

#[test]
fn a_break_glass_says_all_that_it_must() {
    let samu = pro(2, "samu-regulator", "");
    let fields = json!({"id": "b", "case": "SAMU", "reason": "call", "expires": minute(9), "no_position": "INDOORS"});
    for (signer, change, expected) in [
        (samu.clone(), json!({}), None),
        (dr(1), json!({}), Some(Code::NotEntitled)),
        (patient(), json!({}), Some(Code::NotEntitled)),
        (software("his", ""), json!({}), Some(Code::NotEntitled)),
        (samu.clone(), json!({"actor": name(&dr(3))}), Some(Code::NotEntitled)),
        (dr(1), json!({"case": "FIRE"}), Some(Code::NotEntitled)),
        (pro(1, "fire-brigade-physician", ""), json!({"case": "FIRE"}), None),
        (dr(1), json!({"case": "INCAPACITY"}), None),
        (pro(1, "", ""), json!({"case": "INCAPACITY"}), None),
        (person("x"), json!({"case": "INCAPACITY"}), Some(Code::NotEntitled)),
        (signer_of("F100"), json!({"case": "INCAPACITY", "actor": name(&dr(3)), "organisation": "F100"}), None),
        (samu.clone(), json!({"case": null}), Some(Code::ReasonMissing)),
        (samu.clone(), json!({"reason": null}), Some(Code::ReasonMissing)),
        (samu.clone(), json!({"reason": " "}), Some(Code::ReasonMissing)),
        (samu.clone(), json!({"expires": null}), Some(Code::UntilMissing)),
        (samu.clone(), json!({"expires": minute(0)}), Some(Code::EmptyPeriod)),
        (samu.clone(), json!({"id": "bg"}), Some(Code::IdTaken)),
        (samu.clone(), json!({"no_position": null}), Some(Code::MalformedRecord)),
        (
            samu.clone(),
            json!({"position": {"lat": 48.8, "lon": 2.3, "accuracy_m": 20.0, "source": "GPS", "at": minute(0)}}),
            Some(Code::MalformedRecord),
        ),
        (
            samu.clone(),
            json!({"no_position": null, "position": {"lat": 98.8, "lon": 2.3, "accuracy_m": 20.0,
            "source": "GPS", "at": minute(0)}}),
            Some(Code::MalformedRecord),
        ),
        (
            samu,
            json!({"no_position": null, "position": {"lat": 48.8, "lon": 2.3, "accuracy_m": 20.0, "source": "GPS",
            "at": minute(0)}}),
            None,
        ),
    ] {
        let mut details = fields.as_object().expect("an object").clone();
        details.extend(change.as_object().expect("an object").clone());
        details.retain(|_, value| !value.is_null());
        let got = full().put(Kind::BREAKGLASS_OPENED, &signer, Value::from(details.clone()), &[]).err();
        assert_eq!(got, expected, "{details:?} by {}", signer.role);
    }
}

fn signer_of(structure: &str) -> v1::Actor {
    software("his", structure)
}

#[test]
fn one_actor_has_so_many_open_on_one_patient_and_closing_twice_changes_nothing() {
    let mut world = world();
    let open = |world: &mut World, by: u8, id: &str, until: u64| {
        let details =
            json!({"id": id, "case": "INCAPACITY", "reason": "x", "expires": minute(until), "no_position": "X"});
        world.put(Kind::BREAKGLASS_OPENED, &dr(by), details, &[])
    };
    for number in 0..BREAKGLASSES_OPEN_MAX {
        assert_eq!(open(&mut world, 1, &number.to_string(), 9), Ok(()));
    }
    assert_eq!(open(&mut world, 1, "more", 9), Err(Code::TooManyRules));
    assert_eq!(open(&mut world, 2, "another's", 9), Ok(()));
    let close = |world: &mut World| world.put(Kind::BREAKGLASS_CLOSED, &dr(1), json!({"breakglass": "3"}), &[]);
    world.at = NOW + MINUTE;
    assert_eq!(close(&mut world), Ok(()));
    let closed = world.open.breakglass("3").cloned();
    world.at = NOW + 2 * MINUTE;
    assert_eq!((close(&mut world), world.open.breakglass("3").cloned()), (Ok(()), closed));
    assert_eq!(open(&mut world, 1, "more", 9), Ok(()), "one was closed");
    assert_eq!(open(&mut world, 1, "again", 20), Err(Code::TooManyRules));
    world.at = NOW + 9 * MINUTE;
    assert_eq!(open(&mut world, 1, "again", 20), Ok(()), "the others have ended");
}

/// Handed in after an outage: what the policy has ended by then opens nothing, whatever it asks for.
#[test]
fn what_the_policy_has_ended_already_is_not_one_too_many() {
    let mut world = world();
    world.policy.breakglass_max_s = 3_600;
    let open = |world: &mut World, id: &str, broken: u64, until: u64| {
        let details =
            json!({"id": id, "case": "INCAPACITY", "reason": "x", "expires": minute(until), "no_position": "X"});
        let late = v1::Record {
            occurred_at_ms: NOW + broken * MINUTE,
            deferred: Some(v1::Deferred { reason: "fibre cut".into() }),
            ..record(Kind::BREAKGLASS_OPENED, &dr(1), &details, &[])
        };
        world.put_message(late, false)
    };
    world.at = NOW + 120 * MINUTE;
    for number in 0..BREAKGLASSES_OPEN_MAX {
        assert_eq!(open(&mut world, &number.to_string(), 119, 140), Ok(()));
    }
    assert_eq!(open(&mut world, "still open", 61, 140), Err(Code::TooManyRules));
    assert_eq!(open(&mut world, "as it says", 61, 100), Ok(()));
    assert_eq!(open(&mut world, "by the policy", 60, 140), Ok(()), "an hour, from when it was broken");
}

#[test]
fn what_was_ended_is_remembered_for_as_long_as_it_would_have_held() {
    let mut world = world();
    let joins = |world: &mut World, minutes: u64| {
        let joined = json!({"professional": name(&dr(1)), "until": minute(minutes)});
        world.put(Kind::CARETEAM_JOINED, &dr(1), joined, &[]).expect("joined");
        world.put(Kind::CARETEAM_LEFT, &dr(1), json!({"professional": name(&dr(1))}), &[]).expect("left");
        world.index.into()
    };
    let first = joins(&mut world, 1);
    let long: sillage_proof::hash::LeafIndex = joins(&mut world, 100_000);
    assert!(world.open.is_in_force(first, NOW.into()) && world.open.is_in_force(long, NOW.into()));
    let weighs = |world: &World| world.open.weight();
    for minutes in 1..1_000 {
        world.at = NOW + minutes * MINUTE;
        joins(&mut world, minutes + 1);
        assert!(weighs(&world) < 20, "minute {minutes}: {}", weighs(&world));
    }
    assert!(!world.open.is_in_force(first, world.at.into()));
    assert!(world.open.is_in_force(long, world.at.into()), "without it the membership would be back");
}

#[test]
fn the_attending_doctor_stays_until_another_is_declared() {
    let mut world = full();
    let who = json!({"professional": name(&dr(6))});
    let block = |world: &mut World| world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), who.clone(), &[]);
    assert_eq!(block(&mut world), Err(Code::Attending));
    world.put(Kind::ATTENDING_DECLARED, &patient(), json!({"professional": name(&dr(7))}), &[]).expect("another");
    assert_eq!(block(&mut world), Ok(()));
}

#[test]
fn the_policy_says_who_opens_which_case() {
    let mut world = world();
    world.policy = serde_json::from_value(json!({"version": "1", "emergency_professions": {"INCAPACITY": ["nurse"]}}))
        .expect("a policy");
    let put = |world: &mut World, case: &str, role: &str| {
        let details = json!({"id": format!("{case}{role}"), "case": case, "reason": "x", "expires": minute(9), "no_position": "X"});
        world.put(Kind::BREAKGLASS_OPENED, &pro(1, role, ""), details, &[])
    };
    assert_eq!(put(&mut world, "INCAPACITY", "nurse"), Ok(()));
    assert_eq!(put(&mut world, "INCAPACITY", "physician"), Err(Code::NotEntitled));
    assert_eq!(put(&mut world, "SAMU", "samu-regulator"), Ok(()), "a case that isn't given keeps its default");
    assert_eq!(put(&mut world, "SAMU", "nurse"), Err(Code::NotEntitled));
}

#[test]
fn nothing_grows_without_end() {
    let mut world = world();
    for number in 0..DIRECTIVES_MAX {
        world.directive(&number.to_string(), "deny", json!({"labels": ["X"]}));
    }
    let more = json!({"id": "more", "effect": "deny"});
    let put = |world: &mut World| world.put(Kind::CONSENT_DIRECTIVE, &patient(), more.clone(), &[]);
    assert_eq!(put(&mut world), Err(Code::TooManyDirectives));
    world.put(Kind::CONSENT_REVOKED, &patient(), json!({"consent": "0"}), &[]).expect("revoked");
    assert_eq!(put(&mut world), Ok(()), "what has ended makes room");
    assert_eq!(
        world.put(Kind::CONSENT_DIRECTIVE, &patient(), json!({"id": "1", "effect": "deny"}), &[]),
        Err(Code::IdTaken)
    );
    for number in 0..=REPRESENTATIVES_MAX {
        let who = json!({"representative": name(&person(&number.to_string())), "relation": "CAREGIVER"});
        let got = world.put(Kind::REPRESENTATION_REGISTERED, &patient(), who, &[]);
        assert_eq!(got.is_ok(), number < REPRESENTATIVES_MAX, "{got:?}");
    }
    let words: Vec<String> = (0..250).map(|label| format!("L{label}")).collect();
    let mut wordy = self::world();
    let put = |world: &mut World, id: usize| {
        let details = json!({"id": id.to_string(), "effect": "deny", "labels": words});
        world.put(Kind::CONSENT_DIRECTIVE, &patient(), details, &[])
    };
    (0..40).for_each(|id| put(&mut wordy, id).expect("room for 10,000 entries"));
    assert_eq!(put(&mut wordy, 40), Err(Code::TooManyDirectives));
    // Toggling for a lifetime keeps the newest.
    for number in 0..2_100 {
        world.put(Kind::CONSENT_REVOKED, &patient(), json!({"consent": "more"}), &[]).expect("revoked");
        world
            .put(Kind::CONSENT_DIRECTIVE, &patient(), more.clone(), &[])
            .unwrap_or_else(|code| panic!("{number}: {code}"));
    }
    assert_eq!(world.open.directives().len(), sillage_rules::consent::admit::DIRECTIVES_KEPT);
    assert_eq!(world.open.directives_at(sillage_proof::hash::LedgerTimeMs(NOW)).count(), DIRECTIVES_MAX);
}

#[test]
fn nobody_takes_a_deposit_over() {
    let mut world = world();
    let report = |category: &str| v1::Item { id: "r".into(), category: category.into(), ..v1::Item::default() };
    world.deposit(&pro(1, "surgeon", "F100"), report("REPORT"));
    world.deposit(&dr(2), report("NOTE"));
    let deposit = world.open.deposit("r").expect("on deposit");
    let depositor = deposit.depositor.as_ref().map(ToString::to_string);
    assert_eq!((depositor, deposit.category.as_str()), (Some(name(&pro(1, "", ""))), "REPORT"));
    world.deposit(&pro(3, "surgeon", "F100"), report("LETTER"));
    assert_eq!(world.open.deposit("r").expect("on deposit").category, "LETTER", "as its structure says");
    // What failed deposited nothing; what names no actor has no depositor.
    let failed = v1::Record {
        outcome: v1::Outcome::SeriousFailure.into(),
        ..record(Kind::ACCESS_WRITE, &dr(2), &Value::Null, &["x"])
    };
    let parsed = sillage_rules::record::ParsedRecord::from_message(failed).expect("a record");
    assert_eq!(Event::of(&parsed), Ok(None));
    world.deposit(
        &v1::Actor { label: "?".into(), ..v1::Actor::default() },
        v1::Item { id: "y".into(), ..v1::Item::default() },
    );
    assert_eq!(world.open.deposit("y").map(|deposit| deposit.depositor.clone()), Some(None));
    world.put(Kind::ACCESS_DELETE, &dr(2), Value::Null, &["r"]).expect("it happened");
    let depositor = world.open.deposit("r").and_then(|deposit| deposit.depositor.clone());
    assert_eq!(depositor.map(|by| by.to_string()), Some(name(&pro(1, "", ""))), "also when it is deleted");
    assert_eq!(world.ask(&patient(), Action::Update, "PATRQT", &item("r", "", &[])), "permit SELF");
}

#[test]
fn representatives_in_a_circle_are_found() {
    let tags: Vec<[u8; 32]> = (1..=5).map(|tag| [tag; 32]).collect();
    // 2 is represented by 3 and 4, 4 by 1.
    let known = |tag: &[u8; 32]| match tag[0] {
        2 => vec![tags[2], tags[3]],
        4 => vec![tags[0]],
        3 => vec![tags[1]],
        _ => vec![],
    };
    let register = |tag: u8| {
        let details = json!({"representative": name(&person("x")), "relation": "CAREGIVER",
            "representative_tag": hex::encode([tag; 32])});
        event(record(Kind::REPRESENTATION_REGISTERED, &patient(), &details, &[])).expect("understood")
    };
    let closes = |of: u8, by: u8| check_cycle(&[of; 32], &register(by), known).is_err();
    assert!(closes(1, 1), "oneself");
    assert!(closes(1, 4), "each other");
    assert!(closes(1, 2), "through another");
    assert!(!closes(5, 2) && !closes(1, 5));
}

/// The content of a record isn't repeated in an error.
#[test]
fn errors_name_the_field_and_quote_nothing() {
    let secret = "depression";
    for (kind, details, path) in [
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": secret}), "details.effect"),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "labels": secret}), "details.labels"),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "from": secret}), "details.from"),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "grantee": secret}), "details.grantee"),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "grantee": {}}), "details.grantee"),
        (
            Kind::CONSENT_DIRECTIVE,
            json!({"id": "a", "effect": "deny", "grantee": {"person": secret}}),
            "details.grantee.person",
        ),
        (
            Kind::CONSENT_DIRECTIVE,
            json!({"id": "a", "effect": "deny", "except": [{"effect": "deny", "except": []}]}),
            "details.except[0].except",
        ),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "labels": []}), "details.labels"),
        (Kind::CONSENT_DIRECTIVE, json!({"id": "a", "effect": "deny", "labels": [""]}), "details.labels[0]"),
        (
            Kind::CONSENT_DIRECTIVE,
            json!({"id": "a", "effect": "deny", "actions": ["read", secret]}),
            "details.actions[1]",
        ),
        (Kind::CONSENT_DIRECTIVE, json!({"effect": "deny"}), "details"),
        (Kind::SPACE_CLOSED, json!({"why": secret}), "details.why"),
        (Kind::EMERGENCY_OPPOSITION, json!({"cases": []}), "details.cases"),
        (Kind::BREAKGLASS_JUSTIFIED, json!({"breakglass": "a"}), "details.text"),
        (Kind::BREAKGLASS_CLOSED, json!({"breakglass": "a", "text": secret}), "details.text"),
        (Kind::CATALOGUE_PUBLISHED, json!({"version": "1", "apps": [secret]}), "details.apps[0]"),
        (Kind::POLICY_PUBLISHED, json!({"emergency_lifts_mask": true}), "details.version"),
        (Kind::ITEM_MASKED, Value::Null, "items"),
    ] {
        let record = sillage_rules::record::ParsedRecord::from_message(record(kind, &patient(), &details, &[]));
        let error = Event::of(&record.expect("a record")).expect_err(path);
        assert_eq!(error.path, path, "{error}");
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(matches!(error.code, Code::MalformedRecord | Code::UnknownToken), "{error}");
    }
}
