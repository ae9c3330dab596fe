//! The rules that hold for all patients: published by the authority, in force from then on.

use serde_json::json;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;

use crate::common::tag;
use crate::common::world::*;

fn authority() -> v1::Actor {
    v1::Actor { system: "urn:sillage:system".into(), id: "authority".into(), ..v1::Actor::default() }
}

fn app() -> v1::Actor {
    v1::Actor { system: "urn:sillage:app".into(), id: "poids@2".into(), ..v1::Actor::default() }
}

#[test]
fn policy_matrix_and_catalogue_are_the_last_published_ones() {
    let mut world = World::new();
    let nurse = doctor(3, "nurse");
    world.record(&[permit(tag(1), "a", &nurse)]);
    let to_app =
        json!({"id": "b", "effect": "permit", "grantee": {"app": "urn:sillage:app|poids"}, "actions": ["read"]});
    world.record(&[says(Kind::CONSENT_DIRECTIVE, Some(tag(1)), patient(), &to_app)]);
    let nurse_reads = || may_read(tag(1), doctor(3, "nurse"), &[report("d1", &[])]);
    let app_reads = || v1::DecisionRequest { purpose: "PATRQT".into(), ..may_read(tag(1), app(), &[item("d1")]) };
    assert_eq!(world.reason(nurse_reads()), "CONSENT_GRANT");
    assert_eq!(world.reason(app_reads()), "NOT_CATALOGUED");
    let none = world.reader().documents_at(world.reader().tree_size().get()).expect("readable");
    assert_eq!(none, Default::default());
    let matrix = json!({"version": "m1", "deny": [{"profession": "nurse", "categories": ["REPORT"]}]});
    let catalogue = json!({"version": "c1", "apps": ["urn:sillage:app|poids"]});
    let published = world
        .try_record_by(
            1,
            &[
                says(Kind::MATRIX_PUBLISHED, None, authority(), &matrix),
                says(Kind::CATALOGUE_PUBLISHED, None, authority(), &catalogue),
            ],
        )
        .expect("by the authority");
    assert_eq!(world.reason(nurse_reads()), "MATRIX");
    assert_eq!(world.reason(app_reads()), "CONSENT_GRANT");
    let index = world.ask(nurse_reads()).expect("decided").decisions[0].index;
    let private = world.decision(index).private_part().clone();
    assert_eq!(
        (&private.matrix_version[..], &private.catalogue_version[..], &private.policy_version[..]),
        ("m1", "c1", "default")
    );
    // After a restart they are read again.
    world.reopen();
    assert_eq!(world.reason(nurse_reads()), "MATRIX");
    let open = says(Kind::MATRIX_PUBLISHED, None, authority(), &json!({"version": "m2"}));
    world.try_record_by(1, &[open]).expect("by the authority");
    assert_eq!(world.reason(nurse_reads()), "CONSENT_GRANT");
    let reader = world.reader();
    let at = |size| reader.documents_at(size).expect("readable");
    assert_eq!(at(published.get() + 1).matrix, Some(published));
    assert_eq!(at(published.get() + 1).catalogue, None);
    assert!(at(reader.tree_size().get()).matrix.expect("m2") > published);
}

#[test]
fn only_the_authority_publishes() {
    let mut world = World::new();
    let policy = says(Kind::POLICY_PUBLISHED, None, authority(), &json!({"version": "p1"}));
    assert_eq!(world.refused(policy), Code::NotEntitled);
}

#[test]
fn the_authority_registers_parents_without_being_an_author() {
    let mut world = World::new();
    let parent = json!({"representative": "urn:sillage:person|marie", "relation": "PARENT", "until": rfc3339(world.now + HOUR_MS)});
    let parent = says(Kind::REPRESENTATION_REGISTERED, Some(tag(1)), authority(), &parent);
    assert_eq!(world.refused(parent.clone()), Code::NotEntitled, "any author could be a parent");
    world.try_record_by(1, &[parent]).expect("by the authority");
    let auth = v1::Authentication { issuer: "fc".into(), method: "app".into(), eidas_level: "high".into() };
    let ask = v1::DecisionRequest { auth: Some(auth), ..may_read(tag(1), person("marie"), &[item("d1")]) };
    assert_eq!(world.reason(ask), "REPRESENTATIVE");
    let read = says(Kind::ACCESS_READ, Some(tag(1)), doctor(1, "cardiologist"), &json!({}));
    let refusal = world.try_record_by(1, &[read]).expect_err("no author");
    assert_eq!(refusal.code, Code::NotEntitled);
}

#[test]
fn a_policy_decides_how_long_a_decision_stands() {
    let mut world = World::new();
    let policy = json!({"version": "p1", "decision_valid_s": 60, "justification_due_s": 3600});
    world.try_record_by(1, &[says(Kind::POLICY_PUBLISHED, None, authority(), &policy)]).expect("by the authority");
    let decided = world.ask(may_read(tag(1), doctor(1, "nurse"), &[item("d1")])).expect("decided");
    let record = world.decision(decided.decisions[0].index);
    let part = record.actor_part();
    assert_eq!((part.decided_at_ms, part.expires_at_ms), (world.now, world.now + 60_000));
}
