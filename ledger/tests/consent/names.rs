//! One identity has one spelling: from feature level 3 on, what holds under one name holds under all, also of what was
//! recorded before; below it, names are compared as they were written.

use serde_json::json;
use sillage_ledger::{CLAIMS, CommandOutcome, DOORS, ROLES};
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::consent::ActorName;
use sillage_rules::kind::Kind;

use super::common::tag;
use super::common::world::*;

/// Raises the feature level as the group does.
fn raise(world: &mut World, level: u32) {
    let (index, _) = world.ledger().applied();
    let command = Command { version: 6, feature_level: level, ..Command::default() };
    let data = prost::Message::encode_to_vec(&command);
    let now = world.now;
    let outcomes = world.ledger().apply(index + 1, 1, now, &data).expect("never by the fault of the input");
    assert_eq!(outcomes, [CommandOutcome::FeatureLevel(level)]);
}

fn called(system: &str, id: &str) -> v1::Actor {
    v1::Actor { system: system.into(), id: id.into(), ..doctor(1, "cardiologist") }
}

fn block(actor: &v1::Actor) -> v1::Record {
    says(Kind::PROFESSIONAL_BLOCKED, Some(tag(1)), patient(), &json!({"professional": name(actor)}))
}

/// How the doctor was, or might have been, called.
fn spellings() -> Vec<v1::Actor> {
    let id = doctor(1, "").id;
    vec![
        called("URN:OID:1.2.250.1.71.4.2.1", &id),
        called("urn:oid:1.2.250.1.71.4.2.01", &id),
        called("https://rpps.esante.gouv.fr", &id),
        called("https://rpps.esante.gouv.fr", &format!("8{id}")),
        called("urn:oid:1.2.250.1.71.4.2.1\u{200b}", &id),
        called("urn:oid:1.2.250.1.71.4.2.1.", &id),
    ]
}

#[test]
fn a_block_of_before_under_any_spelling_holds_from_level_3_on() {
    for spelling in spellings() {
        let mut world = World::new();
        let dr = doctor(1, "cardiologist");
        world.record(&[permit(tag(1), "a", &dr), block(&spelling)]);
        let before = world.reason(may_read(tag(1), dr.clone(), &[item("d1")]));
        assert_eq!(before, "CONSENT_GRANT", "as it was decided then: {}", name(&spelling));
        raise(&mut world, ROLES);
        let after = world.reason(may_read(tag(1), dr.clone(), &[item("d2")]));
        assert_eq!(after, "BLOCKED", "{}", name(&spelling));
        world.reopen();
        assert_eq!(world.reason(may_read(tag(1), dr, &[item("d3")])), "BLOCKED", "{}", name(&spelling));
    }
}

#[test]
fn another_spelling_is_neither_asked_nor_recorded_from_level_3_on() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    world.record(&[permit(tag(1), "a", &dr), block(&dr)]);
    for spelling in spellings() {
        // As before: it is decided on, and nobody is blocked who is called so.
        world.ask(may_read(tag(1), spelling, &[item("d1")])).expect("decided");
    }
    raise(&mut world, ROLES);
    for spelling in spellings() {
        let refused = world.ask(may_read(tag(1), spelling.clone(), &[item("d1")])).expect_err("another spelling");
        assert_eq!(refused.code, Code::InvalidSpelling, "{}: {refused}", name(&spelling));
        assert_eq!(world.refused(block(&spelling)), Code::InvalidSpelling, "{}", name(&spelling));
        assert_eq!(world.refused(permit(tag(1), "b", &spelling)), Code::InvalidSpelling, "{}", name(&spelling));
        let deposited = deposit(tag(1), spelling.clone(), &[item("d9")]);
        assert_eq!(world.refused(deposited), Code::InvalidSpelling, "{}", name(&spelling));
    }
    assert_eq!(world.reason(may_read(tag(1), dr, &[item("d1")])), "BLOCKED");
}

#[test]
fn a_revocation_of_before_under_another_name_holds_from_level_3_on() {
    for spelling in &spellings()[..4] {
        if spelling.system.ends_with("01") {
            // Its hash can't be told from any other.
            continue;
        }
        let mut world = World::new();
        let dr = doctor(1, "cardiologist");
        world.record(&[permit(tag(1), "a", &dr)]);
        let actor: ActorName = name(spelling).parse().expect("a name");
        let revoked = Act::ActorRevoked { actor_hash: actor.hash(), reason: "struck off".into() };
        assert!(matches!(world.act(&revoked), CommandOutcome::Done { .. }));
        assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "CONSENT_GRANT");
        raise(&mut world, ROLES);
        assert_eq!(world.reason(may_read(tag(1), dr, &[item("d2")])), "INVALID_ACTOR", "{}", name(spelling));
    }
}

#[test]
fn denials_and_masks_hold_whether_an_accent_is_composed_or_not() {
    let (composed, decomposed) = ("psychiatrie-\u{e9}", "psychiatrie-e\u{301}");
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    let hidden = format!("d-{decomposed}");
    let mask = says(Kind::ITEM_MASKED, Some(tag(1)), patient(), &json!(null));
    let mask = v1::Record { items: vec![item(&hidden)], ..mask };
    let deposited = deposit(tag(1), doctor(2, "psychiatrist"), &[report("old", &[decomposed])]);
    world.record(&[permit(tag(1), "a", &dr), deny(tag(1), "b", decomposed), mask, deposited]);
    raise(&mut world, ROLES);
    let reason = |world: &mut World, item: v1::Item| world.reason(may_read(tag(1), dr.clone(), &[item]));
    assert_eq!(reason(&mut world, report("new", &[composed])), "CONSENT_DENY");
    assert_eq!(reason(&mut world, item("old")), "CONSENT_DENY", "what was deposited before");
    assert_eq!(reason(&mut world, item(&format!("d-{composed}"))), "MASKED");
    for other in [report("new", &[decomposed]), item(&hidden), report("new", &["psychiatrie\u{200b}"])] {
        let refused = world.ask(may_read(tag(1), dr.clone(), &[other])).expect_err("another spelling");
        assert_eq!(refused.code, Code::InvalidSpelling, "{refused}");
    }
    assert_eq!(world.refused(deny(tag(1), "c", decomposed)), Code::InvalidSpelling);
    assert_eq!(world.refused(deny(tag(1), "c", "PS\u{423}")), Code::InvalidSpelling, "a letter that looks like one");
}

#[test]
fn a_structure_is_denied_whatever_its_number_was_written_with() {
    let mut world = World::new();
    let dr = doctor(1, "cardiologist");
    let deny = |id: &str, organisation: &str| {
        let details = json!({"id": id, "effect": "deny", "grantee": {"organisation": organisation}});
        says(Kind::CONSENT_DIRECTIVE, Some(tag(1)), patient(), &details)
    };
    world.record(&[permit(tag(1), "a", &dr), deny("b", &format!("1{}", dr.organisation))]);
    assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d1")])), "CONSENT_GRANT");
    raise(&mut world, ROLES);
    assert_eq!(world.reason(may_read(tag(1), dr.clone(), &[item("d2")])), "CONSENT_DENY");
    assert_eq!(world.refused(deny("c", &format!("1{}", dr.organisation))), Code::InvalidSpelling);
    let other = v1::Actor { organisation: format!("1{}", dr.organisation), ..dr };
    assert_eq!(world.ask(may_read(tag(1), other, &[item("d1")])).expect_err("other").code, Code::InvalidSpelling);
}

#[test]
fn an_item_of_before_under_an_older_spelling_stays_its_depositors() {
    let (older, one) = ("re\u{301}sultat", "r\u{e9}sultat");
    let mut world = World::new();
    let (own, other) = (doctor(1, "cardiologist"), doctor(2, "nurse"));
    world.record(&[deposit(tag(1), own.clone(), &[report(older, &[])])]);
    raise(&mut world, ROLES);
    world.record(&[deposit(tag(2), other.clone(), &[report(one, &[])])]);
    assert!(world.permitted(may_read(tag(2), other, &[item(one)])).is_empty(), "nobody takes it over");
    world.record(&[deposit(tag(1), own.clone(), &[report(one, &[])])]);
    assert_eq!(world.permitted(may_read(tag(1), own.clone(), &[item(one)])), [one]);
    let embargo = says(Kind::ITEM_EMBARGOED, Some(tag(1)), own, &serde_json::Value::Null);
    world.record(&[v1::Record { items: vec![item(one)], ..embargo }]);
}

#[test]
fn a_mask_under_a_short_name_holds_under_the_url_from_level_5_on() {
    let (short, url) = ("DocumentReference/12", "https://h.example/fhir/DocumentReference/12");
    let mut world = World::new();
    raise(&mut world, CLAIMS);
    let dr = doctor(1, "cardiologist");
    let mask = says(Kind::ITEM_MASKED, Some(tag(1)), patient(), &json!(null));
    world.record(&[permit(tag(1), "a", &dr), v1::Record { items: vec![item(short)], ..mask }]);
    let reason = |world: &mut World, id: &str| world.reason(may_read(tag(1), dr.clone(), &[item(id)]));
    assert_eq!((reason(&mut world, url), reason(&mut world, short)), ("CONSENT_GRANT".into(), "MASKED".into()));
    raise(&mut world, DOORS);
    world.pass(1);
    assert_eq!(reason(&mut world, url), "MASKED");
    world.reopen();
    assert_eq!(
        reason(&mut world, "https://other.example/DocumentReference/12"),
        "MASKED",
        "it may be that of any server"
    );
    assert_eq!(reason(&mut world, "https://h.example/fhir/DocumentReference/13"), "CONSENT_GRANT");
}
