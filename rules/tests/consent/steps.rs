//! The thirteen steps, one by one: what makes each decisive, what it gives, and what goes past it.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::consent::{Action, ActorName};
use sillage_rules::decide::{ItemFacts, Obligation};
use sillage_rules::kind::Kind;

use crate::world::*;

/// One question: who, what, what for, with which item, and the answer.
type Row = (v1::Actor, Action, &'static str, ItemFacts, &'static str);

/// Every row of a step's table comes out as it says.
fn all_come_out(world: &World, rows: &[Row]) {
    for (at, (actor, action, purpose, item, expected)) in rows.iter().enumerate() {
        let got = world.ask(actor, *action, purpose, item);
        assert_eq!(got, *expected, "row {at}: {} {action} {purpose} {}", actor.id, item.id);
    }
}

fn report() -> ItemFacts {
    item("r1", "REPORT", &[])
}

/// An item that this actor deposited.
fn by(actor: &v1::Actor) -> ItemFacts {
    let depositor = name(actor).parse().ok();
    let organisation = Some(actor.organisation.clone()).filter(|organisation| !organisation.is_empty());
    ItemFacts { depositor, depositor_organisation: organisation, ..report() }
}

const READ: Action = Action::Read;

#[test]
fn step_1_nobody_and_nothing() {
    let mut world = world();
    let revoked: ActorName = name(&dr(1)).parse().expect("a name");
    world.revoked.insert(revoked);
    world.revoked.insert(name(&app("poids")).parse().expect("a name"));
    world.directive("c", "permit", json!({"grantee": {"professional": name(&dr(2))}, "actions": ["read"]}));
    let of_another = ItemFacts { other_patient: true, ..report() };
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "deny INVALID_ACTOR"),
            (dr(1), READ, "TREAT", of_another.clone(), "deny INVALID_ACTOR"),
            (app("poids@2"), READ, "PATRQT", report(), "deny INVALID_ACTOR"),
            (dr(2), READ, "TREAT", of_another.clone(), "deny UNKNOWN_ITEM"),
            (patient(), READ, "PATRQT", of_another, "deny UNKNOWN_ITEM"),
            (dr(2), READ, "TREAT", report(), "permit CONSENT_GRANT"),
        ],
    );
}

#[test]
fn step_2_the_patient() {
    let mut world = world();
    world.deposit(&dr(1), v1::Item { id: "news".into(), ..v1::Item::default() });
    world.put(Kind::ITEM_EMBARGOED, &dr(1), json!({"until": minute(10)}), &["news"]).expect("embargoed");
    world.put(Kind::SPACE_CLOSED, &patient(), Value::Null, &[]).expect("closed");
    let news = ItemFacts { id: "news".into(), ..by(&dr(1)) };
    let own = by(&patient());
    all_come_out(
        &world,
        &[
            (patient(), READ, "PATRQT", report(), "permit SELF"),
            (patient(), Action::Export, "INSURANCE", by(&dr(1)), "permit SELF"),
            (patient(), Action::Update, "PATRQT", by(&dr(1)), "deny NOT_OWNER"),
            (patient(), Action::Delete, "PATRQT", by(&dr(1)), "deny NOT_OWNER"),
            (patient(), Action::Delete, "PATRQT", own, "permit SELF"),
            (patient(), Action::Update, "PATRQT", report(), "permit SELF"),
            (patient(), READ, "PATRQT", news.clone(), "deny EMBARGOED"),
            (patient(), Action::Delete, "PATRQT", news.clone(), "deny EMBARGOED"),
        ],
    );
    world.at += 10 * MINUTE;
    assert_eq!(world.ask(&patient(), READ, "PATRQT", &news), "permit SELF", "the end is excluded");
}

#[test]
fn step_3_representatives() {
    let mut world = world();
    world.deposit(&dr(1), v1::Item { id: "news".into(), ..v1::Item::default() });
    world.put(Kind::ITEM_EMBARGOED, &dr(1), Value::Null, &["news"]).expect("embargoed");
    world.put_secret(Kind::MINOR_SECRECY_SET, &patient(), Value::Null, &["pill"]).expect("kept");
    let register = |who: &str, relation: &str, more: Value| {
        let mut details = json!({"representative": name(&person(who)), "relation": relation});
        details.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        details
    };
    let read = json!({"powers": ["read"]});
    world
        .put(Kind::REPRESENTATION_REGISTERED, &patient(), register("aunt", "CAREGIVER", read), &[])
        .expect("on record");
    let none = json!({});
    world
        .put(Kind::REPRESENTATION_REGISTERED, &patient(), register("idle", "CAREGIVER", none), &[])
        .expect("on record");
    let dormant = json!({"powers": ["read"]});
    let friend = register("friend", "TRUSTED_PERSON", dormant);
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), friend, &[]).expect("on record");
    world.authority = true;
    let mum = register("mum", "PARENT", json!({"until": minute(10)}));
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), mum, &[]).expect("on record");
    let dad = register("dad", "PARENT", json!({"until": minute(10), "powers": ["read", "update", "delete"]}));
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), dad, &[]).expect("on record");
    let news = ItemFacts { id: "news".into(), ..report() };
    let marked = ItemFacts { id: "pill".into(), ..report() };
    let apart = ItemFacts { secret: true, ..report() };
    all_come_out(
        &world,
        &[
            (person("aunt"), READ, "FAMRQT", report(), "permit REPRESENTATIVE"),
            (person("aunt"), Action::Print, "TREAT", report(), "permit REPRESENTATIVE"),
            (person("aunt"), Action::Export, "FAMRQT", report(), "deny NO_CONSENT"),
            (person("idle"), READ, "FAMRQT", report(), "deny NO_CONSENT"),
            (person("friend"), READ, "FAMRQT", report(), "deny NO_CONSENT"),
            (person("mum"), Action::Search, "FAMRQT", report(), "permit REPRESENTATIVE"),
            (person("mum"), READ, "FAMRQT", news, "deny EMBARGOED"),
            (person("mum"), READ, "FAMRQT", marked.clone(), "deny MINOR_SECRECY"),
            (person("mum"), READ, "FAMRQT", apart.clone(), "deny MINOR_SECRECY"),
            (person("dad"), Action::Delete, "FAMRQT", by(&dr(1)), "deny NOT_OWNER"),
            (person("dad"), Action::Update, "FAMRQT", by(&patient()), "permit REPRESENTATIVE"),
            // Only representatives are kept away.
            (patient(), READ, "PATRQT", marked, "permit SELF"),
            (patient(), READ, "PATRQT", apart, "permit SELF"),
        ],
    );
    world.at += 10 * MINUTE;
    assert_eq!(world.ask(&person("mum"), READ, "FAMRQT", &report()), "deny NO_CONSENT");
    let friend = register("friend", "TRUSTED_PERSON", json!({"powers": ["read"], "activated": true}));
    world.put(Kind::REPRESENTATION_REGISTERED, &patient(), friend, &[]).expect("on record");
    assert_eq!(world.ask(&person("friend"), READ, "FAMRQT", &report()), "permit REPRESENTATIVE");
}

#[test]
fn step_4_space_and_purpose() {
    let mut world = world();
    world.put(Kind::ATTENDING_DECLARED, &patient(), json!({"professional": name(&dr(1))}), &[]).expect("declared");
    let rows = |answer| [(dr(1), READ, "TREAT", by(&dr(1)), answer), (dr(2), Action::Write, "TREAT", report(), answer)];
    all_come_out(&world, &[(dr(1), READ, "EMPLOYMENT", by(&dr(1)), "deny PURPOSE_BARRED")]);
    all_come_out(&world, &[(dr(1), READ, "TREAT", by(&dr(1)), "permit DEPOSITOR")]);
    for closing in [Kind::SPACE_OPPOSED, Kind::SPACE_CLOSED] {
        world.put(closing, &patient(), Value::Null, &[]).expect("closed");
        all_come_out(&world, &rows("deny SPACE_CLOSED"));
        all_come_out(&world, &[(dr(1), READ, "EMPLOYMENT", report(), "deny SPACE_CLOSED")]);
        world.put(Kind::SPACE_OPENED, &patient(), Value::Null, &[]).expect("opened");
    }
    all_come_out(&world, &[(dr(1), READ, "TREAT", report(), "permit ATTENDING")]);
    world.open = sillage_rules::consent::PatientState::erased();
    world.put(Kind::SPACE_OPENED, &patient(), Value::Null, &[]).expect("no effect");
    all_come_out(&world, &rows("deny SPACE_CLOSED"));
}

#[test]
fn an_emergency_is_not_shut_out_by_a_closing_that_nobody_proved() {
    for closing in [Kind::SPACE_CLOSED, Kind::SPACE_OPPOSED] {
        let mut world = world();
        let samu = pro(1, "samu-regulator", "");
        world.put(closing, &patient(), Value::Null, &[]).expect("claimed");
        let asks = [
            (samu.clone(), READ, "BTG", report(), "deny SPACE_CLOSED"),
            (samu.clone(), READ, "TREAT", by(&samu), "deny SPACE_CLOSED"),
        ];
        all_come_out(&world, &asks);
        world.put(Kind::BREAKGLASS_OPENED, &samu, broken("a", "SAMU"), &[]).expect("opened");
        world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["hidden"]).expect("masked");
        all_come_out(
            &world,
            &[
                (samu.clone(), READ, "BTG", report(), "permit BREAK_GLASS"),
                (samu.clone(), READ, "BTG", item("hidden", "REPORT", &[]), "deny MASKED"),
                (samu.clone(), READ, "TREAT", report(), "deny SPACE_CLOSED"),
                (samu.clone(), Action::Write, "BTG", report(), "deny SPACE_CLOSED"),
                (dr(2), READ, "BTG", report(), "deny SPACE_CLOSED"),
            ],
        );
        // The express opposition is the patient's means, and holds.
        world.put(Kind::EMERGENCY_OPPOSITION, &patient(), json!({"cases": ["SAMU"]}), &[]).expect("opposed");
        all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "deny EMERGENCY_OPPOSED")]);
        world.put(Kind::EMERGENCY_OPPOSITION_LIFTED, &patient(), json!({"cases": ["SAMU"]}), &[]).expect("lifted");
        // A login proves the closing: it is shut for emergencies too, and a claim after it takes nothing from that.
        world.login = true;
        world.put(closing, &patient(), Value::Null, &[]).expect("proven");
        all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "deny SPACE_CLOSED")]);
        world.login = false;
        world.put(Kind::SPACE_CLOSED, &patient(), Value::Null, &[]).expect("claimed again");
        all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "deny SPACE_CLOSED")]);
        world.put(Kind::SPACE_OPENED, &patient(), Value::Null, &[]).expect("opened");
        world.put(closing, &patient(), Value::Null, &[]).expect("claimed");
        all_come_out(&world, &[(samu, READ, "BTG", report(), "permit BREAK_GLASS")]);
    }
}

#[test]
fn below_feature_level_4_a_closing_and_a_structure_are_what_they_were() {
    let mut world = world();
    world.claims = false;
    let (surgeon, colleague) = (pro(1, "surgeon", "F100"), pro(2, "nurse", "F100"));
    world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), json!({"professional": name(&colleague)}), &[]).expect("blocked");
    all_come_out(&world, &[(colleague, READ, "TREAT", by(&surgeon), "permit DEPOSITOR")]);
    let samu = pro(3, "samu-regulator", "");
    world.put(Kind::BREAKGLASS_OPENED, &samu, broken("a", "SAMU"), &[]).expect("opened");
    world.put(Kind::SPACE_CLOSED, &patient(), Value::Null, &[]).expect("claimed");
    all_come_out(&world, &[(samu, READ, "BTG", report(), "deny SPACE_CLOSED")]);
}

#[test]
fn step_5_depositors() {
    let mut world = world();
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["r1"]).expect("masked");
    world.directive("none", "deny", json!({"grantee": "anyone"}));
    let (surgeon, colleague) = (pro(1, "surgeon", "F100"), pro(2, "nurse", "F100"));
    all_come_out(
        &world,
        &[
            (surgeon.clone(), READ, "TREAT", by(&surgeon), "permit DEPOSITOR"),
            (surgeon.clone(), Action::Download, "ETREAT", by(&surgeon), "permit DEPOSITOR"),
            (surgeon.clone(), Action::Export, "TREAT", by(&surgeon), "deny MASKED"),
            (surgeon.clone(), Action::Update, "TREAT", by(&surgeon), "deny MASKED"),
            (colleague, READ, "TREAT", by(&surgeon), "permit DEPOSITOR"),
            (software("his", "F100"), READ, "TREAT", by(&surgeon), "permit DEPOSITOR"),
            (pro(2, "nurse", "F200"), READ, "TREAT", by(&surgeon), "deny MASKED"),
            (dr(3), READ, "TREAT", by(&dr(4)), "deny MASKED"),
            (app("poids"), READ, "PATRQT", by(&app("poids")), "permit DEPOSITOR"),
        ],
    );
    // Who is blocked by name sees what they deposited themselves, not what their structure did.
    let blocked = pro(2, "nurse", "F100");
    world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), json!({"professional": name(&blocked)}), &[]).expect("blocked");
    all_come_out(
        &world,
        &[
            (blocked.clone(), READ, "TREAT", by(&surgeon), "deny BLOCKED"),
            (blocked.clone(), READ, "TREAT", by(&blocked), "permit DEPOSITOR"),
            (pro(5, "nurse", "F100"), READ, "TREAT", by(&surgeon), "permit DEPOSITOR"),
        ],
    );
}

#[test]
fn step_6_ceilings() {
    let mut world = world();
    world.matrix = serde_json::from_value(json!({"version": "1", "deny": [
        {"profession": "dentist", "categories": ["AD", "PSY"], "actions": ["read", "export"]},
        {"profession": "podiatrist", "categories": ["AD"]},
        {"profession": "trainee"}]}))
    .expect("a matrix");
    world.catalogue =
        serde_json::from_value(json!({"version": "1", "apps": ["urn:sillage:app|poids", "urn:sillage:app|x@2"]}))
            .expect("a catalogue");
    let dentist = pro(1, "dentist", "");
    world.put(Kind::ATTENDING_DECLARED, &patient(), json!({"professional": name(&dentist)}), &[]).expect("declared");
    world.directive("apps", "permit", json!({"grantee": {"app": name(&app("poids"))}, "actions": ["read"]}));
    world.directive("x", "permit", json!({"grantee": {"app": name(&app("x"))}, "actions": ["read"]}));
    let ad = item("ad", "AD", &[]);
    all_come_out(
        &world,
        &[
            (dentist.clone(), READ, "TREAT", ad.clone(), "deny MATRIX"),
            (dentist.clone(), Action::Print, "TREAT", ad.clone(), "permit ATTENDING"),
            (dentist, READ, "TREAT", report(), "permit ATTENDING"),
            (pro(2, "podiatrist", ""), Action::Write, "TREAT", ad.clone(), "deny MATRIX"),
            (pro(2, "podiatrist", ""), Action::Write, "TREAT", report(), "permit DEPOSIT_DEFAULT"),
            (pro(3, "trainee", ""), Action::Write, "TREAT", report(), "deny MATRIX"),
            (app("poids"), READ, "PATRQT", ad.clone(), "permit CONSENT_GRANT"),
            (app("poids@7"), READ, "PATRQT", ad.clone(), "permit CONSENT_GRANT"),
            (app("x@2"), READ, "PATRQT", ad.clone(), "permit CONSENT_GRANT"),
            (app("x@3"), READ, "PATRQT", ad.clone(), "deny NOT_CATALOGUED"),
            (app("x"), READ, "PATRQT", ad.clone(), "deny NOT_CATALOGUED"),
            (app("other"), Action::Write, "PATRQT", ad, "deny NOT_CATALOGUED"),
        ],
    );
}

#[test]
fn step_7_the_attending_doctor() {
    let mut world = world();
    let occupational = pro(2, "occupational-physician", "");
    world.put(Kind::ATTENDING_DECLARED, &patient(), json!({"professional": name(&dr(1))}), &[]).expect("declared");
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["r1"]).expect("masked");
    world.directive("none", "deny", json!({}));
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "permit ATTENDING"),
            (dr(1), Action::Download, "TREAT", report(), "permit ATTENDING"),
            (dr(1), READ, "ETREAT", report(), "deny MASKED"),
            (dr(1), Action::Export, "TREAT", report(), "deny MASKED"),
            (dr(2), READ, "TREAT", report(), "deny MASKED"),
        ],
    );
    world.policy.attending_doctor_sees_all = false;
    all_come_out(&world, &[(dr(1), READ, "TREAT", report(), "deny MASKED")]);
    world.policy.attending_doctor_sees_all = true;
    let declared = json!({"professional": name(&occupational)});
    world.put(Kind::ATTENDING_DECLARED, &patient(), declared, &[]).expect("another doctor");
    all_come_out(
        &world,
        &[(dr(1), READ, "TREAT", report(), "deny MASKED"), (occupational, READ, "TREAT", report(), "deny MASKED")],
    );
}

#[test]
fn step_8_blocked_by_name() {
    let mut world = world();
    world.put(Kind::PROFESSIONAL_BLOCKED, &patient(), json!({"professional": name(&dr(1))}), &[]).expect("blocked");
    world.directive("c", "permit", json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read", "write"]}));
    let opened =
        json!({"id": "bg", "case": "INCAPACITY", "reason": "coma", "expires": minute(9), "no_position": "INDOORS"});
    world.put(Kind::BREAKGLASS_OPENED, &dr(1), opened, &[]).expect("what happened is on record");
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "deny BLOCKED"),
            (dr(1), READ, "BTG", report(), "deny BLOCKED"),
            (dr(1), Action::Write, "TREAT", report(), "deny BLOCKED"),
            (dr(1), READ, "TREAT", by(&dr(1)), "permit DEPOSITOR"),
            (dr(2), Action::Write, "TREAT", report(), "permit DEPOSIT_DEFAULT"),
        ],
    );
    world.put(Kind::PROFESSIONAL_UNBLOCKED, &patient(), json!({"professional": name(&dr(1))}), &[]).expect("unblocked");
    all_come_out(&world, &[(dr(1), READ, "TREAT", report(), "permit CONSENT_GRANT")]);
}

fn broken(id: &str, case: &str) -> Value {
    json!({"id": id, "case": case, "reason": "immediate risk", "expires": minute(10), "no_position": "INDOORS"})
}

#[test]
fn step_9_break_glass() {
    let mut world = world();
    let samu = pro(1, "samu-regulator", "");
    world.put(Kind::BREAKGLASS_OPENED, &samu, broken("a", "SAMU"), &[]).expect("opened");
    world
        .put(Kind::BREAKGLASS_OPENED, &pro(2, "occupational-physician", ""), broken("b", "INCAPACITY"), &[])
        .expect("opened");
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["hidden"]).expect("masked");
    world.directive("none", "deny", json!({}));
    let hidden = item("hidden", "REPORT", &[]);
    all_come_out(
        &world,
        &[
            (samu.clone(), READ, "BTG", report(), "permit BREAK_GLASS"),
            (samu.clone(), Action::Search, "BTG", report(), "permit BREAK_GLASS"),
            (samu.clone(), READ, "BTG", hidden.clone(), "deny MASKED"),
            (samu.clone(), READ, "TREAT", report(), "deny CONSENT_DENY"),
            (samu.clone(), Action::Update, "BTG", report(), "deny CONSENT_DENY"),
            (dr(3), READ, "BTG", report(), "deny CONSENT_DENY"),
            (pro(2, "occupational-physician", ""), READ, "BTG", report(), "deny CONSENT_DENY"),
        ],
    );
    let decision = world.decide(&samu, READ, "BTG", &[hidden.clone(), report()]);
    assert_eq!((decision.obligations.as_slice(), decision.told()), (Obligation::ALL, vec!["r1"]));
    let nothing = world.decide(&samu, READ, "BTG", std::slice::from_ref(&hidden));
    assert!(nothing.obligations.is_empty(), "as if nothing was there");

    world.policy.emergency_lifts_mask = true;
    all_come_out(&world, &[(samu.clone(), READ, "BTG", hidden, "permit BREAK_GLASS")]);
    world.put(Kind::EMERGENCY_OPPOSITION, &patient(), json!({"cases": ["SAMU", "FIRE"]}), &[]).expect("opposed");
    all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "deny EMERGENCY_OPPOSED")]);
    world.put(Kind::BREAKGLASS_OPENED, &samu, broken("c", "INCAPACITY"), &[]).expect("opened");
    all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "permit BREAK_GLASS")]);
    world.put(Kind::BREAKGLASS_CLOSED, &samu, json!({"breakglass": "c"}), &[]).expect("closed");
    all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "deny EMERGENCY_OPPOSED")]);
    world.put(Kind::EMERGENCY_OPPOSITION_LIFTED, &patient(), json!({"cases": ["SAMU"]}), &[]).expect("lifted");
    all_come_out(&world, &[(samu.clone(), READ, "BTG", report(), "permit BREAK_GLASS")]);
    world.at += 10 * MINUTE;
    all_come_out(&world, &[(samu, READ, "BTG", report(), "deny CONSENT_DENY")]);
}

#[test]
fn step_10_what_is_denied() {
    let mut world = world();
    let grant = json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read", "write", "export"],
        "except": [{"effect": "deny", "labels": ["HIV"]}, {"effect": "permit", "categories": ["REPORT"]}]});
    world.directive("all", "permit", grant);
    world.directive("no-psy", "deny", json!({"grantee": "anyone", "labels": ["PSY", "SEX"], "actions": ["read"]}));
    world.directive(
        "night",
        "deny",
        json!({"categories": ["LAB"], "purposes": ["TREAT"], "from": minute(5), "until": minute(6)}),
    );
    world.put(Kind::ITEM_MASKED, &patient(), Value::Null, &["hidden"]).expect("masked");
    for (source, category) in [("professionals", "IMAGE"), ("urn:oid:1.2.250.1.71.4.2.1|10100000001", "NOTE")] {
        let feed = json!({"source": source, "category": category});
        world.put(Kind::FEED_OPPOSED, &patient(), feed, &[]).expect("opposed");
    }
    let labelled = |labels| item("x", "REPORT", labels);
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "permit CONSENT_GRANT"),
            (dr(1), READ, "TREAT", item("hidden", "REPORT", &[]), "deny MASKED"),
            (dr(1), Action::Write, "TREAT", item("hidden", "REPORT", &[]), "deny MASKED"),
            (dr(1), READ, "TREAT", labelled(&["A", "SEX"]), "deny CONSENT_DENY"),
            (dr(1), Action::Export, "TREAT", labelled(&["SEX"]), "permit CONSENT_GRANT"),
            (dr(1), READ, "TREAT", item("x", "NOTE", &["HIV"]), "deny CONSENT_DENY"),
            // Of two exceptions that mean it, the one that permits counts, as in a directive that denies.
            (dr(1), READ, "TREAT", labelled(&["HIV"]), "permit CONSENT_GRANT"),
            // The exception is of a permission that isn't for this purpose, or for this actor.
            (dr(1), Action::Export, "HRESCH", labelled(&["HIV"]), "deny NO_CONSENT"),
            (dr(2), READ, "TREAT", labelled(&["HIV"]), "deny NO_CONSENT"),
            (dr(1), Action::Write, "TREAT", item("n", "NOTE", &[]), "deny FEED_OPPOSED"),
            (dr(2), Action::Write, "TREAT", item("n", "NOTE", &[]), "permit DEPOSIT_DEFAULT"),
            (dr(2), Action::Write, "TREAT", item("n", "IMAGE", &[]), "deny FEED_OPPOSED"),
            (dr(1), READ, "TREAT", item("n", "IMAGE", &[]), "permit CONSENT_GRANT"),
        ],
    );
    let lab = item("l", "LAB", &[]);
    for (minutes, answer) in [(4, "permit"), (5, "deny"), (6, "permit")] {
        world.at = NOW + minutes * MINUTE;
        assert!(world.ask(&dr(1), READ, "TREAT", &lab).starts_with(answer), "minute {minutes}");
    }
}

#[test]
fn step_11_what_is_granted() {
    let mut world = world();
    world.catalogue.apps.push(name(&app("poids")).parse().expect("a name"));
    let to = |who: Value, more: Value| {
        let mut fields = json!({"grantee": who, "actions": ["read"]});
        fields.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        fields
    };
    world.directive("dr", "permit", to(json!({"professional": name(&dr(1))}), json!({"categories": ["LAB", "IMAGE"]})));
    world.directive(
        "item",
        "permit",
        to(json!({"person": name(&person("aunt"))}), json!({"items": ["r1"], "purposes": ["FAMRQT"]})),
    );
    world.directive("app", "permit", to(json!({"app": name(&app("poids"))}), json!({})));
    world.directive("study", "permit", to(json!({"project": name(&project("study"))}), json!({})));
    world.directive("nurses", "permit", to(json!({"profession": "nurse", "organisation": "F100"}), json!({})));
    let joined = json!({"professional": name(&dr(7)), "until": minute(60), "origin": "stroke-unit"});
    world.put(Kind::CARETEAM_JOINED, &patient(), joined, &[]).expect("joined");
    let team = json!({"grantee": {"team": "stroke-unit"}, "actions": ["export"]});
    world.directive("team", "permit", team);
    let except = json!({"grantee": "anyone", "labels": ["PSY"],
        "except": [{"effect": "permit", "grantee": {"professional": name(&dr(9))}, "purposes": ["TREAT"]}]});
    world.directive("no-psy", "deny", except);
    let (lab, psy) = (item("l", "LAB", &[]), item("p", "REPORT", &["PSY"]));
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", lab.clone(), "permit CONSENT_GRANT"),
            (dr(1), READ, "TREAT", report(), "deny NO_CONSENT"),
            (dr(1), READ, "ETREAT", lab.clone(), "deny NO_CONSENT"),
            (dr(1), Action::Search, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (dr(2), READ, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (person("aunt"), READ, "FAMRQT", report(), "permit CONSENT_GRANT"),
            (person("aunt"), READ, "FAMRQT", lab.clone(), "deny NO_CONSENT"),
            (app("poids"), READ, "PATRQT", lab.clone(), "permit CONSENT_GRANT"),
            (app("poids"), READ, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (project("study"), READ, "HRESCH", lab.clone(), "permit CONSENT_GRANT"),
            (project("study"), READ, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (pro(3, "nurse", "F100"), READ, "TREAT", lab.clone(), "permit CONSENT_GRANT"),
            (pro(3, "nurse", "F200"), READ, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (pro(3, "physician", "F100"), READ, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (dr(7), Action::Export, "TREAT", lab.clone(), "permit CONSENT_GRANT"),
            (dr(8), Action::Export, "TREAT", lab.clone(), "deny NO_CONSENT"),
            (dr(9), READ, "TREAT", psy.clone(), "permit CONSENT_GRANT"),
            (dr(9), Action::Export, "TREAT", psy.clone(), "permit CONSENT_GRANT"),
            (dr(9), READ, "HRESCH", psy.clone(), "deny CONSENT_DENY"),
            (dr(9), READ, "TREAT", lab, "deny NO_CONSENT"),
            (dr(1), READ, "TREAT", psy, "deny CONSENT_DENY"),
        ],
    );
}

#[test]
fn step_12_the_care_team() {
    let mut world = world();
    let join = |actor: &v1::Actor| json!({"professional": name(actor), "until": minute(10)});
    let within = json!({"professional": name(&dr(2)), "until": minute(10), "organisation": "F100"});
    let occupational = pro(3, "occupational-physician", "");
    world.put(Kind::CARETEAM_JOINED, &dr(1), join(&dr(1)), &[]).expect("joined");
    world.put(Kind::CARETEAM_JOINED, &software("his", "F100"), within, &[]).expect("joined");
    world.put(Kind::CARETEAM_JOINED, &patient(), join(&occupational), &[]).expect("joined");
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "permit CARE_TEAM"),
            (dr(1), Action::Print, "TREAT", report(), "permit CARE_TEAM"),
            (dr(1), Action::Export, "TREAT", report(), "deny NO_CONSENT"),
            (dr(1), READ, "HRESCH", report(), "deny NO_CONSENT"),
            (pro(2, "physician", "F100"), READ, "TREAT", report(), "permit CARE_TEAM"),
            (pro(2, "physician", "F200"), READ, "TREAT", report(), "deny NO_CONSENT"),
            (occupational, READ, "TREAT", report(), "deny NO_CONSENT"),
        ],
    );
    world.at += 10 * MINUTE;
    all_come_out(&world, &[(dr(1), READ, "TREAT", report(), "deny NO_CONSENT")]);
}

#[test]
fn step_13_deposits_and_the_rest() {
    let mut world = world();
    world.policy.legal_feeds.push(name(&software("cnam", "")).parse().expect("a name"));
    all_come_out(
        &world,
        &[
            (dr(1), Action::Write, "TREAT", report(), "permit DEPOSIT_DEFAULT"),
            (pro(2, "occupational-physician", ""), Action::Write, "TREAT", report(), "permit DEPOSIT_DEFAULT"),
            (software("cnam", ""), Action::Write, "HPAYMT", report(), "permit LEGAL_FEED"),
            (software("cnam", ""), Action::Update, "HPAYMT", report(), "deny NO_CONSENT"),
            (software("his", "F1"), Action::Write, "TREAT", report(), "deny NO_CONSENT"),
            (person("x"), Action::Write, "TREAT", report(), "deny NO_CONSENT"),
            (dr(1), Action::Update, "TREAT", by(&dr(1)), "deny NO_CONSENT"),
            (dr(1), READ, "TREAT", report(), "deny NO_CONSENT"),
        ],
    );
}

#[test]
fn what_decided_is_named() {
    let mut world = world();
    world.directive("a", "permit", json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read"]}));
    world.directive("b", "permit", json!({"grantee": {"profession": "physician"}, "actions": ["read"]}));
    world.directive("c", "deny", json!({"labels": ["PSY"]}));
    let consulted = |labels: &[&str]| {
        let decision = world.decide(&dr(1), READ, "TREAT", &[item("x", "REPORT", labels)]);
        decision.items[0].consulted.iter().map(|index| index.get()).collect::<Vec<_>>()
    };
    assert_eq!(consulted(&[]), [1, 2]);
    assert_eq!(consulted(&["PSY"]), [3]);
}

/// Rules of the secret tag count for its items alone, so that what is decided under the open one doesn't tell of them.
#[test]
fn the_second_tag_decides_on_its_own_items_only() {
    let mut world = world();
    world.directive("c", "permit", json!({"grantee": {"professional": name(&dr(1))}, "actions": ["read"]}));
    let denial = json!({"id": "s", "effect": "deny", "grantee": {"professional": name(&dr(1))}});
    world.put_secret(Kind::CONSENT_DIRECTIVE, &patient(), denial, &[]).expect("on record");
    world.put_secret(Kind::MINOR_SECRECY_SET, &patient(), Value::Null, &["marked"]).expect("kept");
    let apart = ItemFacts { secret: true, ..report() };
    all_come_out(
        &world,
        &[
            (dr(1), READ, "TREAT", report(), "permit CONSENT_GRANT"),
            (dr(1), READ, "TREAT", apart, "deny CONSENT_DENY"),
            (dr(1), READ, "TREAT", item("marked", "REPORT", &[]), "deny CONSENT_DENY"),
        ],
    );
}
