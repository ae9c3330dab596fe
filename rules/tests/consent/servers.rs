//! Names of FHIR resources: a limit holds under every name that may mean the resource, a permission under its own alone.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_rules::consent::Action;
use sillage_rules::kind::Kind;

use crate::world::*;

const SHORT: &str = "DocumentReference/12";
const URL: &str = "https://h.example/fhir/DocumentReference/12";
const OTHER: &str = "https://other.example/DocumentReference/12";

/// The answer to a doctor who asks for the item of this name.
fn read(world: &World, doctor: &sillage_proto::v1::Actor, id: &str) -> String {
    world.ask(doctor, Action::Read, "TREAT", &item(id, "REPORT", &[]))
}

/// A world in which the first doctor may read everything.
fn permitting() -> World {
    let mut world = world();
    world.directive("all", "permit", json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read"]}));
    world
}

/// A doctor whom a document names by a reference alone.
fn by_reference(reference: &str) -> sillage_proto::v1::Actor {
    sillage_proto::v1::Actor { system: "urn:sillage:fhir:reference".into(), id: reference.into(), ..dr(1) }
}

#[test]
fn a_denied_url_holds_though_an_exception_lets_out_the_short_name() {
    let mut world = permitting();
    world.directive(
        "no",
        "deny",
        json!({
            "grantee": {"professional": name(&dr(1))}, "actions": ["read"], "items": [URL, SHORT],
            "except": [{"effect": "permit", "items": [SHORT]}],
        }),
    );
    for id in [URL, SHORT] {
        assert!(read(&world, &dr(1), id).starts_with("deny"), "{id}");
    }
}

#[test]
fn a_resource_has_few_names_among_the_masks_and_in_a_list() {
    let mut world = permitting();
    let names: Vec<String> = (0..17).map(|n| format!("https://s{n}.example/fhir/DocumentReference/12")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &names[..16]).expect("sixteen names");
    for more in [&names[16..], &[SHORT]] {
        world.put(Kind::ITEM_MASKED, &patient(), Value::Null, more).expect_err("one name more");
    }
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &names[..1]).expect("a name that is known");
    let list = json!({"id": "many", "effect": "deny", "grantee": {"professional": name(&dr(1))}, "actions": ["read"], "items": names});
    world.put(Kind::CONSENT_DIRECTIVE, &patient(), list, &[]).expect_err("seventeen names in one list");
}

#[test]
fn a_mask_on_a_short_name_holds_under_the_url_of_any_server() {
    let mut world = permitting();
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &[SHORT]).expect("a mask");
    for id in [SHORT, URL, OTHER, "https://h.example/fhir/DocumentReference/12/_history/2"] {
        assert_eq!(read(&world, &dr(1), id), "deny MASKED", "{id}");
    }
    for id in
        ["DocumentReference/13", "https://h.example/fhir/DocumentReference/13", "https://h.example/fhir/Binary/12"]
    {
        assert_eq!(read(&world, &dr(1), id), "permit CONSENT_GRANT", "{id}");
    }
}

#[test]
fn a_mask_on_a_url_holds_under_the_short_name_and_on_no_other_server() {
    let mut world = permitting();
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &[URL]).expect("a mask");
    assert_eq!(read(&world, &dr(1), URL), "deny MASKED");
    assert_eq!(read(&world, &dr(1), SHORT), "deny MASKED");
    assert_eq!(read(&world, &dr(1), OTHER), "permit CONSENT_GRANT");
}

#[test]
fn a_mask_that_is_lifted_holds_under_no_name() {
    let mut world = permitting();
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &[SHORT]).expect("a mask");
    world.put(Kind::ITEM_UNMASKED, &patient(), Value::Null, &[SHORT]).expect("lifted");
    assert_eq!(read(&world, &dr(1), URL), "permit CONSENT_GRANT");
}

#[test]
fn below_level_5_names_count_as_they_are_written() {
    let mut world = permitting();
    world.across_servers = false;
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &[SHORT]).expect("a mask");
    assert_eq!(read(&world, &dr(1), SHORT), "deny MASKED");
    assert_eq!(read(&world, &dr(1), URL), "permit CONSENT_GRANT");
}

#[test]
fn a_permission_on_a_short_name_opens_no_url() {
    let mut world = world();
    let fields = json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read"], "items": [SHORT]});
    world.directive("one", "permit", fields);
    assert_eq!(read(&world, &dr(1), SHORT), "permit CONSENT_GRANT");
    assert_eq!(read(&world, &dr(1), URL), "deny NO_CONSENT");
}

#[test]
fn a_denial_of_a_short_name_holds_under_the_url() {
    let mut world = permitting();
    world.directive("no", "deny", json!({"grantee": "anyone", "items": [SHORT]}));
    assert_eq!(read(&world, &dr(1), URL), "deny CONSENT_DENY");
    assert_eq!(read(&world, &dr(1), "DocumentReference/13"), "permit CONSENT_GRANT");
}

#[test]
fn a_denial_within_a_permission_holds_under_the_url() {
    let mut world = permitting();
    world.directive(
        "but",
        "permit",
        json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read"], "except": [{"effect": "deny", "items": [SHORT]}]}),
    );
    assert_eq!(read(&world, &dr(1), URL), "deny CONSENT_DENY");
    world.directive(
        "within",
        "permit",
        json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read", "print"], "items": ["DocumentReference/14"],
            "except": [{"effect": "deny", "actions": ["read"]}]}),
    );
    assert_eq!(read(&world, &dr(1), "https://h.example/DocumentReference/14"), "deny CONSENT_DENY");
}

#[test]
fn an_exception_under_the_same_short_name_takes_the_denial_back_and_permits_nothing() {
    let mut world = world();
    let but = json!([{"effect": "permit", "grantee": {"professional": name(&dr(1))}, "actions": ["read"]}]);
    world.directive("no", "deny", json!({"grantee": "anyone", "items": [SHORT], "except": but}));
    assert_eq!(read(&world, &dr(1), SHORT), "permit CONSENT_GRANT");
    assert_eq!(read(&world, &dr(1), URL), "deny NO_CONSENT", "nothing permits that name");
    world.directive("all", "permit", json!({"grantee": {"profession": "physician"}, "actions": ["read"]}));
    assert_eq!(read(&world, &dr(1), URL), "permit CONSENT_GRANT", "and the denial doesn't mean this doctor");
    assert_eq!(read(&world, &dr(2), URL), "deny CONSENT_DENY");
}

#[test]
fn an_exception_of_one_server_takes_no_denial_of_another_back() {
    let mut world = permitting();
    let but = json!([{"effect": "permit", "grantee": {"professional": name(&dr(1))}, "items": [OTHER]}]);
    world.directive("no", "deny", json!({"grantee": "anyone", "items": [URL, OTHER], "except": but}));
    assert_eq!(read(&world, &dr(1), OTHER), "permit CONSENT_GRANT");
    assert_eq!(read(&world, &dr(1), SHORT), "deny CONSENT_DENY", "it may be the denied one");
}

#[test]
fn a_block_by_a_short_reference_holds_under_the_url_of_the_practitioner() {
    let (short, url) = (by_reference("Practitioner/1"), by_reference("https://h.example/fhir/Practitioner/1"));
    let mut world = world();
    for (id, who) in [("a", &short), ("b", &url)] {
        world.directive(id, "permit", json!({"grantee": {"professional": name(who)}, "actions": ["read"]}));
    }
    assert_eq!(read(&world, &url, URL), "permit CONSENT_GRANT");
    world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), json!({"professional": name(&short)}), &[]).expect("a block");
    assert_eq!(read(&world, &short, URL), "deny BLOCKED");
    assert_eq!(read(&world, &url, URL), "deny BLOCKED");
    assert_eq!(read(&world, &by_reference("https://h.example/fhir/Practitioner/2"), URL), "deny NO_CONSENT");
}

#[test]
fn an_embargo_on_a_short_name_keeps_the_url_from_the_patient() {
    let mut world = world();
    world.deposit(&dr(1), sillage_proto::v1::Item { id: SHORT.into(), ..sillage_proto::v1::Item::default() });
    world.put(Kind::ITEM_EMBARGOED, &dr(1), json!({"until": minute(60)}), &[SHORT]).expect("an embargo");
    assert_eq!(read(&world, &patient(), URL), "deny EMBARGOED");
    world.at += 61 * MINUTE;
    assert_eq!(read(&world, &patient(), URL), "permit SELF");
}

#[test]
fn a_minors_secret_under_a_short_name_is_kept_under_the_url_and_opens_nothing() {
    let mut world = world();
    let parent = json!({"representative": name(&person("mum")), "relation": "CAREGIVER", "powers": ["read"], "until": minute(90)});
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), parent, &[]).expect("a representative");
    assert_eq!(read(&world, &person("mum"), URL), "permit REPRESENTATIVE");
    world.put_secret(Kind::MINOR_SECRECY_SET, &dr(1), Value::Null, &[SHORT]).expect("a secret");
    assert_eq!(read(&world, &person("mum"), URL), "deny MINOR_SECRECY");
    // A permission under the secret tag is for what is surely secret.
    let all = json!({"id": "all", "effect": "permit", "grantee": {"professional": name(&dr(1))}, "actions": ["read"]});
    world.put_secret(Kind::CONSENT_DIRECTIVE, &patient(), all, &[]).expect("a permission");
    assert_eq!(read(&world, &dr(1), SHORT), "permit CONSENT_GRANT");
    assert_eq!(read(&world, &dr(1), URL), "deny NO_CONSENT");
}

const NAMES: [&str; 5] = [SHORT, URL, OTHER, "https://h.example/fhir/DocumentReference/12/_history/1", "d1"];

fn actor_of(draw: u8) -> sillage_proto::v1::Actor {
    match draw % 4 {
        0 => dr(1),
        1 => by_reference("Practitioner/1"),
        2 => by_reference("https://h.example/fhir/Practitioner/1"),
        _ => person("mum"),
    }
}

/// A record, as five bytes draw it: limits, directives with exceptions, representatives.
fn put(world: &mut World, at: usize, draw: [u8; 5]) {
    let [what, who, which, effect, more] = draw;
    let item = NAMES[usize::from(which) % NAMES.len()];
    let other = NAMES[usize::from(which / 8) % NAMES.len()];
    let effect_of = |bit: u8| if effect & bit == 0 { "permit" } else { "deny" };
    let grantee = |who: u8| match actor_of(who) {
        mum if mum.system.ends_with("person") => json!({"person": name(&mum)}),
        doctor => json!({"professional": name(&doctor)}),
    };
    let secret = more & 1 == 1;
    let done = match what % 8 {
        0 => world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &[item]),
        1 => world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), json!({"professional": name(&actor_of(who % 3))}), &[]),
        2 => world.put_secret(Kind::MINOR_SECRECY_SET, &dr(1), Value::Null, &[item]),
        3 => {
            let parent = json!({"representative": name(&actor_of(who)), "relation": "CAREGIVER", "powers": ["read"], "until": minute(90)});
            world.put(Kind::REPRESENTATION_REGISTERED, &patient(), parent, &[])
        }
        _ => {
            let mut fields =
                json!({"id": format!("c{at}"), "effect": effect_of(1), "grantee": grantee(who), "actions": ["read"]});
            if more & 2 == 2 {
                fields["items"] = json!([item]);
            }
            if more & 4 == 4 {
                let mut exception = json!({"effect": effect_of(2)});
                if more & 8 == 8 {
                    exception["items"] = json!([other]);
                }
                if more & 16 == 16 {
                    exception["grantee"] = grantee(who / 4);
                }
                fields["except"] = json!([exception, {"effect": effect_of(4), "items": [item]}]);
            }
            match secret {
                true => world.put_secret(Kind::CONSENT_DIRECTIVE, &patient(), fields, &[]),
                false => world.put(Kind::CONSENT_DIRECTIVE, &patient(), fields, &[]),
            }
        }
    };
    // A record that is refused changes nothing.
    let _ = done;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// To compare names as those of resources takes away and never gives.
    #[test]
    fn nothing_is_permitted_that_names_as_they_are_written_do_not_permit(
        draws in proptest::collection::vec(any::<[u8; 5]>(), 1..12),
        who in any::<u8>(),
    ) {
        let mut world = world();
        for (at, draw) in draws.into_iter().enumerate() {
            put(&mut world, at, draw);
        }
        let items: Vec<_> = NAMES.iter().map(|id| item(id, "REPORT", &[])).collect();
        let across = world.decide(&actor_of(who), Action::Read, "TREAT", &items);
        world.across_servers = false;
        let written = world.decide(&actor_of(who), Action::Read, "TREAT", &items);
        for (across, written) in across.items.iter().zip(&written.items) {
            prop_assert!(!across.permit || written.permit, "{}: {} and {}", across.id, across.reason, written.reason);
        }
    }
}
