//! Consent that nobody could rightly give, questions that nobody could rightly ask: each refused with its code, by the
//! ledger itself where the command line wouldn't even send it; nothing recorded, nothing lost.

use std::process::ExitCode;

use serde_json::{Value, json};
use sillage_rules::kind::Kind;
use sillage_tests::authority::publish;
use sillage_tests::health::{Patient, Question, flags, in_s, rpps, through};
use sillage_tests::lines::{OID, ndjson, with};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};

const CLAIRE: Patient = Patient(5_400);
const PAUL: Patient = Patient(5_401);
const LEA: Patient = Patient(5_402);

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            directives_that_hold_nothing_are_refused,
            who_may_not_sign_is_refused,
            a_glass_is_not_broken_without_a_case_and_a_reason,
            nobody_reviews_what_they_opened_themselves,
            nobody_represents_who_represents_them,
            what_contradicts_a_deposit_is_not_decided_on,
            questions_that_are_none_are_refused_one_by_one,
            policies_that_cannot_be_are_refused,
            what_is_to_come_cannot_be_looked_at,
            nothing_of_it_was_recorded_and_nothing_else_is_lost,
        ],
    )
}

/// A record line by the patient, authenticated; `details` as they are.
fn line(patient: Patient, kind: &str, details: &Value) -> Value {
    json!({
        "kind": kind, "patient": {"ins": patient.ins(), "oid": OID},
        "actor": {"system": "urn:sillage:patient", "id": "self"},
        "auth": {"issuer": "urn:example:idp", "method": "eid", "eidas_level": "substantial"},
        "occurred_at": in_s(0), "details": details
    })
}

/// A record line by a professional.
fn by_doctor(patient: Patient, kind: &str, details: &Value) -> Value {
    let actor = json!({"system": "urn:oid:1.2.250.1.71.4.2.1", "id": rpps(71), "role": "physician"});
    with(line(patient, kind, details), json!({"actor": actor, "auth": null}))
}

/// The ledger's answer to one line.
fn record(world: &World, line: &Value) -> Run {
    world.sillage_fed(&["record", "--file", "-"], &ndjson(std::slice::from_ref(line)))
}

fn refused(world: &World, line: &Value, code: &str) {
    let before = on_record(world);
    record(world, line).refused(code);
    assert_eq!(on_record(world), before, "{code}: nothing was recorded");
}

/// What decides about the patients of this file, by place in the log.
fn on_record(world: &World) -> Vec<u64> {
    let history = |patient: Patient| patient.asks(world, &["consent", "history"]).ok().json_lines();
    let lines = [CLAIRE, PAUL, LEA].map(history).concat();
    lines.iter().map(|line| line["index"].as_u64().expect("an index")).collect()
}

fn directive(id: &str) -> Value {
    let grantee = format!("urn:oid:1.2.250.1.71.4.2.1|{}", rpps(71));
    json!({"id": id, "effect": "permit", "grantee": {"professional": grantee}, "actions": ["read"]})
}

fn directives_that_hold_nothing_are_refused(world: &mut World) {
    record(world, &line(PAUL, "consent.directive", &directive("pauls"))).ok();
    let cases = [
        (json!({"from": in_s(7_200), "until": in_s(3_600)}), "EMPTY_PERIOD"),
        (json!({"until": in_s(-60)}), "EMPTY_PERIOD"),
        (json!({"supersedes": "pauls"}), "UNKNOWN_REFERENCE"),
        (json!({"grantee": "anyone"}), "PERMIT_ANYONE"),
        (json!({"actions": null}), "ACTIONS_MISSING"),
        (json!({"actions": ["peek"]}), "MALFORMED_RECORD"),
        (json!({"actions": []}), "ACTIONS_MISSING"),
        (json!({"categories": [" REPORT"]}), "UNKNOWN_TOKEN"),
        (json!({"categories": [""]}), "UNKNOWN_TOKEN"),
        (json!({"purposes": [7]}), "MALFORMED_RECORD"),
        (json!({"grantee": {"professional": "dr-x"}}), "UNKNOWN_TOKEN"),
        (json!({"grantee": {"professional": "no system|1"}}), "UNKNOWN_TOKEN"),
        (json!({"grantee": {"cousin": "x"}}), "MALFORMED_RECORD"),
        (json!({"colour": "red"}), "MALFORMED_RECORD"),
        (json!({"until": "tomorrow"}), "MALFORMED_RECORD"),
        (json!({"except": [{"effect": "permit", "except": []}]}), "MALFORMED_RECORD"),
    ];
    for (change, code) in cases {
        refused(world, &line(CLAIRE, "consent.directive", &with(directive("c"), change)), code);
    }
    refused(world, &line(CLAIRE, "consent.directive", &Value::Null), "MALFORMED_RECORD");
    refused(world, &line(CLAIRE, "consent.revoked", &json!({"consent": "pauls"})), "UNKNOWN_REFERENCE");
    record(world, &line(CLAIRE, "consent.directive", &directive("taken"))).ok();
    refused(world, &line(CLAIRE, "consent.directive", &directive("taken")), "ID_TAKEN");
}

fn who_may_not_sign_is_refused(world: &mut World) {
    refused(world, &by_doctor(CLAIRE, "consent.directive", &directive("mine")), "NOT_ENTITLED");
    let without = with(line(CLAIRE, "consent.directive", &directive("mine")), json!({"auth": null}));
    refused(world, &without, "AUTHENTICATION_MISSING");
    let weak = json!({"auth": {"issuer": "urn:example:idp", "method": "password", "eidas_level": "low"}});
    refused(world, &with(without, weak), "AUTHENTICATION_MISSING");
    let joined = json!({"professional": doctor_name()});
    refused(world, &by_doctor(CLAIRE, "careteam.joined", &joined), "UNTIL_MISSING");
    refused(world, &line(CLAIRE, "careteam.joined", &joined), "UNTIL_MISSING");

    // A carer who may read doesn't consent in the patient's place; who may consent does.
    let carer = "urn:sillage:person|aidant";
    let add = ["represent", "add", "--representative", carer, "--relation", "CAREGIVER", "--power"];
    CLAIRE.says(world, &[&add[..], &["read"]].concat()).ok();
    let by_carer = |id: &str| {
        let actor = json!({"actor": {"system": "urn:sillage:person", "id": "aidant"}});
        with(line(CLAIRE, "consent.directive", &directive(id)), actor)
    };
    refused(world, &by_carer("carers"), "NOT_ENTITLED");
    CLAIRE.says(world, &[&add[..], &["read,consent"]].concat()).ok();
    record(world, &by_carer("carers")).ok();
    // Nobody becomes a parent by saying so.
    let parent = json!({"representative": carer, "relation": "PARENT", "until": in_s(3_600)});
    refused(world, &line(CLAIRE, "representation.registered", &parent), "NOT_ENTITLED");
    // Nor decides what the ledger decides.
    let made = record(world, &line(CLAIRE, "decision.made", &Value::Null));
    assert!(made.code == Some(4), "{made}");
}

fn doctor_name() -> String {
    format!("urn:oid:1.2.250.1.71.4.2.1|{}", rpps(71))
}

fn glass(id: &str) -> Value {
    json!({
        "id": id, "case": "INCAPACITY", "reason": "unconscious", "expires": in_s(3_600), "search": "INS",
        "no_position": "INDOORS"
    })
}

fn a_glass_is_not_broken_without_a_case_and_a_reason(world: &mut World) {
    let cases = [
        (json!({"case": null}), "REASON_MISSING"),
        (json!({"reason": null}), "REASON_MISSING"),
        (json!({"reason": ""}), "REASON_MISSING"),
        (json!({"expires": null}), "UNTIL_MISSING"),
        (json!({"expires": in_s(-60)}), "EMPTY_PERIOD"),
        (json!({"case": "CURIOSITY"}), "MALFORMED_RECORD"),
        (json!({"no_position": null}), "MALFORMED_RECORD"),
        (
            json!({"position": {"lat": 200.0, "lon": 0.0, "accuracy_m": 1.0, "source": "GPS", "at": in_s(0)}}),
            "MALFORMED_RECORD",
        ),
        (json!({"case": "SAMU"}), "NOT_ENTITLED"),
    ];
    for (change, code) in cases {
        refused(world, &by_doctor(CLAIRE, "breakglass.opened", &with(glass("no"), change)), code);
    }
    refused(world, &line(CLAIRE, "breakglass.opened", &glass("no")), "NOT_ENTITLED");
    let continued = with(glass("no"), json!({"continues": "never opened"}));
    refused(world, &by_doctor(CLAIRE, "breakglass.opened", &continued), "UNKNOWN_REFERENCE");
    let closing = json!({"breakglass": "never opened"});
    refused(world, &by_doctor(CLAIRE, "breakglass.closed", &closing), "UNKNOWN_REFERENCE");
}

fn nobody_reviews_what_they_opened_themselves(world: &mut World) {
    record(world, &by_doctor(PAUL, "breakglass.opened", &glass("pauls.bg"))).ok();
    let review = json!({"breakglass": "pauls.bg", "verdict": "JUSTIFIED"});
    refused(world, &by_doctor(PAUL, "breakglass.reviewed", &review), "NOT_ENTITLED");
    // Nor closes or justifies what others opened, nor under another patient.
    let other = json!({"actor": {"system": "urn:oid:1.2.250.1.71.4.2.1", "id": rpps(72), "role": "physician"}});
    let justified = json!({"breakglass": "pauls.bg", "text": "it was me"});
    refused(world, &with(by_doctor(PAUL, "breakglass.justified", &justified), other.clone()), "NOT_ENTITLED");
    refused(world, &by_doctor(CLAIRE, "breakglass.justified", &justified), "UNKNOWN_REFERENCE");
    // Another doctor isn't enough: the party that opened it doesn't review it.
    let reviewed = with(by_doctor(PAUL, "breakglass.reviewed", &review), other);
    refused(world, &reviewed, "NOT_ENTITLED");
    let others = world.register("reviewing", "reviewer");
    let file = world.write("reviewed.ndjson", ndjson(std::slice::from_ref(&reviewed)));
    world.sillage_as(&others, &["record", "--file", &file.display().to_string()]).ok();
}

fn nobody_represents_who_represents_them(world: &mut World) {
    let add = |of: Patient, by: Patient| {
        let (ins, name) = (by.ins(), format!("urn:sillage:person|{}", by.0));
        let args = ["represent", "add", "--representative", &name, "--relation", "CAREGIVER", "--power", "read"];
        of.says(world, &[&args[..], &["--representative-ins", &ins, "--representative-oid", OID]].concat())
    };
    add(CLAIRE, PAUL).ok();
    add(PAUL, LEA).ok();
    add(PAUL, CLAIRE).refused("REPRESENTATION_CYCLE");
    add(LEA, CLAIRE).refused("REPRESENTATION_CYCLE");
    add(LEA, LEA).refused("REPRESENTATION_CYCLE");
    let end = format!("urn:sillage:person|{}", LEA.0);
    PAUL.says(world, &["represent", "end", "--representative", &end]).ok();
    add(LEA, CLAIRE).ok();
}

fn what_contradicts_a_deposit_is_not_decided_on(world: &mut World) {
    let doctor = rpps(71);
    CLAIRE.deposits(world, &doctor, &[("d.hiv", "LAB", &["HIV"]), ("d.plain", "LAB", &[])]);
    let asks = |item: Value| {
        let file = world.write("items.json", json!([item, {"id": "d.plain"}]).to_string()).display().to_string();
        Question::read(CLAIRE, &doctor, &file).run(world, &world.profile_file(), &[])
    };
    asks(json!({"id": "d.hiv", "category": "LAB", "labels": ["HIV"]})).ok();
    asks(json!({"id": "d.hiv", "category": "REPORT"})).refused("ITEM_CONTRADICTS");
    asks(json!({"id": "d.hiv", "labels": ["DENTAL"]})).refused("ITEM_CONTRADICTS");
    asks(json!({"id": "d.hiv", "depositor": doctor_name().replace(&doctor, &rpps(73))})).refused("ITEM_CONTRADICTS");
    // What happened is recorded, whatever it says.
    let read = with(
        CLAIRE.reading(&doctor, &["d.hiv"], &json!({"kind": "self"})),
        json!({"items": [{"id": "d.hiv", "category": "NOTE"}]}),
    );
    let index = world.record(&[read])[0];
    assert_eq!(CLAIRE.line(world, index)["items"][0]["category"], "NOTE");
    // Written again by somebody else under the same id, it stays what it was; its depositor says what it is now.
    CLAIRE.deposits(world, &rpps(73), &[("d.hiv", "REPORT", &[])]);
    asks(json!({"id": "d.hiv", "category": "REPORT"})).refused("ITEM_CONTRADICTS");
    asks(json!({"id": "d.hiv", "category": "LAB", "depositor": doctor_name()})).ok();
    CLAIRE.deposits(world, &doctor, &[("d.hiv", "REPORT", &[])]);
    asks(json!({"id": "d.hiv", "category": "LAB"})).refused("ITEM_CONTRADICTS");
    asks(json!({"id": "d.hiv", "category": "REPORT"})).ok();
    // Another patient's document is nobody's here.
    let answer = Question::read(PAUL, &doctor, "d.plain").ask(world);
    assert!(answer.permitted().is_empty(), "{answer:?}");
    assert_eq!(PAUL.line(world, answer.index())["decision"]["outcomes"][0]["reason"], "UNKNOWN_ITEM");
}

fn questions_that_are_none_are_refused_one_by_one(world: &mut World) {
    let doctor = rpps(71);
    let ask = |question: Question<'_>, code: &str| {
        for node in 1..=3 {
            let run = question.run(world, &through(world, node), &[]);
            assert!(matches!(run.code, Some(2 | 4)) && run.stderr.contains(code), "{code}: {run}");
        }
    };
    ask(Question { action: "peek", ..Question::read(CLAIRE, &doctor, "d.plain") }, "action");
    ask(Question { purpose: " ", ..Question::read(CLAIRE, &doctor, "d.plain") }, "purpose");
    let many: Vec<String> = (0..257).map(|i| format!("i{i}")).collect();
    ask(Question::read(CLAIRE, &doctor, &many.join(",")), "MALFORMED_REQUEST");
    ask(Question::read(CLAIRE, &doctor, "d.plain,d.plain"), "MALFORMED_REQUEST");

    // In a ward round the others are answered.
    let line = |patient: Patient, actor: Value| {
        json!({"actor": actor, "patient": {"ins": patient.ins(), "oid": OID}, "action": "read", "purpose": "TREAT",
            "items": [{"id": "d.plain", "category": "LAB"}]})
    };
    let physician = json!({"system": "urn:oid:1.2.250.1.71.4.2.1", "id": doctor, "role": "physician"});
    let nobody = json!({"system": "urn:sillage:patient", "id": "self"});
    let mut lines = vec![line(CLAIRE, physician.clone()), line(CLAIRE, nobody), line(PAUL, physician.clone())];
    lines[0]["items"][0]["category"] = json!("REPORT");
    lines.push(line(CLAIRE, physician));
    let file = world.write("round.ndjson", ndjson(&lines)).display().to_string();
    let run = world.sillage(&["authorize", "--bulk", &file, "--json"]).ok();
    let answers = run.json_lines();
    let codes: Vec<Option<&str>> = answers.iter().map(|answer| answer["error"]["code"].as_str()).collect();
    assert_eq!(codes, [Some("ITEM_CONTRADICTS"), Some("AUTHENTICATION_MISSING"), None, None], "{run}");
}

fn policies_that_cannot_be_are_refused(world: &mut World) {
    // Only the authority's signature makes a policy.
    let policy = json!({"version": "mine", "emergency_lifts_mask": true});
    let mine = with(by_doctor(CLAIRE, "policy.published", &policy), json!({"patient": null}));
    record(world, &mine).refused("NOT_ENTITLED");
    let good = publish(world, Kind::MATRIX_PUBLISHED, &json!({"version": "m1", "deny": [{"profession": "clown"}]}));
    assert!(good > 0);
    let answer = Question { profession: "clown", ..Question::read(CLAIRE, &rpps(71), "d.plain") }.ask(world);
    assert_eq!(CLAIRE.line(world, answer.index())["decision"]["matrix"], "m1");
}

fn what_is_to_come_cannot_be_looked_at(world: &mut World) {
    for as_of in [in_s(86_400), "999999999".to_owned()] {
        for what in ["list", "history", "effective"] {
            CLAIRE.asks(world, &["consent", what, "--as-of", &as_of]).refused("AS_OF_AHEAD");
        }
    }
}

fn nothing_of_it_was_recorded_and_nothing_else_is_lost(world: &mut World) {
    let ids = |patient: Patient| -> Vec<String> {
        let lines = patient.asks(world, &["consent", "history"]).ok().json_lines();
        let ids = lines.iter().filter_map(|line| line["record"]["details"]["id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let mut claires = ids(CLAIRE);
    claires.sort();
    assert_eq!(claires, ["carers", "taken"]);
    let mut pauls = ids(PAUL);
    pauls.sort();
    assert_eq!(pauls, ["pauls", "pauls.bg"]);
    let trace = CLAIRE.trace(world);
    let accesses = trace.iter().filter(|line| line["kind"].as_str().is_some_and(|kind| kind.starts_with("access.")));
    assert_eq!(accesses.count(), 5, "four deposits and a reading");
    assert!(trace.iter().all(|line| !flags(line).contains(&"UNJUSTIFIED")), "{trace:?}");
    world.settled(3);
    let audit = world.sillage(&["--timeout", "60", "audit", "--json"]).ok();
    assert_eq!(audit.json()["clean"], true, "{audit}");
}
