//! Tests of the record line: the published example, paths of errors, the way there and back.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::entry::{Entry, Flags, RecordEntry};
use crate::ident::Source;
use crate::will::may_carry;

const TEST_LOG: Checks = Checks { test_log: true, source: Source::Direct };
const PRODUCTION: Checks = Checks { test_log: false, source: Source::Direct };

/// The line that the command line's users are shown.
const EXAMPLE: &str = concat!(
    r#"{"kind":"access.read","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},"#,
    r#""actor":{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician","#,
    r#""organisation":"750712184","label":"Dr Claire Dubois, hôpital Bichat"},"#,
    r#""items":[{"id":"urn:uuid:8d6a","category":"REPORT"}],"occurred_at":"2026-03-02T09:00:00Z","#,
    r#""purpose":"TREAT","basis":{"kind":"care_team"},"outcome":"success"}"#
);

/// Every field that a record of a patient can have.
fn full() -> Value {
    let mut line: Value = serde_json::from_str(EXAMPLE).expect("JSON");
    let more = json!({
        "secret": true,
        "auth": {"issuer": "Pro Santé Connect", "method": "eCPS", "eidas_level": "high"},
        "items": [{"id": "a", "category": "REPORT", "labels": ["R"], "depositor": "750712184", "label": "Radio"}],
        "occurred_at": "2026-03-02T09:00:00.250Z",
        "basis": {"kind": "self", "ref": "decision 12"},
        "outcome": "minor_failure",
        "outcome_text": "deux\nlignes",
        "place": {"site": "Bichat", "network_address": "10.0.0.1", "device": "poste 3", "observer": "dmp"},
        "deferred": {"reason": "panne"},
        "correlation": {"launch_context": "x", "ids": ["r-1", "t-2"]},
        "automated": {"software": "cron", "version": "2"},
        "agents": [{"type": "110152", "who": {"system": "s", "id": "i"}, "network_address": "h", "requestor": true}],
        "details": {"z": 1.10, "a": [1e3, {"b": "é \" "}]},
        "original": {"media_type": "application/fhir+json", "text": "{\"resourceType\":\"AuditEvent\"}"},
    });
    line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    line
}

fn parse(value: &Value) -> Result<RecordLine, RecordError> {
    RecordLine::parse(value.to_string().as_bytes())
}

#[test]
fn the_published_example_is_accepted_and_printed_again() {
    let mut line = RecordLine::parse(EXAMPLE.as_bytes()).expect("the example");
    assert_eq!(line.check_identifiers(TEST_LOG), Ok(vec![]));
    let record = line.to_record(Some(&[7; 32])).expect("a record");
    assert_eq!(record.kind(), Kind::ACCESS_READ);
    assert_eq!(record.occurred_at_ms(), 1_772_442_000_000);
    let back = RecordLine::from_record(&record, line.patient.clone(), false);
    assert_eq!(back.to_json(), EXAMPLE);
    assert_eq!(line.check_identifiers(PRODUCTION).expect_err("a test identity").code, Code::TestInsRefused);
}

#[test]
fn every_field_survives_the_way_into_a_record_and_back() {
    let line = parse(&full()).expect("every field");
    let record = line.to_record(Some(&[7; 32])).expect("a record");
    let back = RecordLine::from_record(&record, line.patient.clone(), line.secret);
    assert_eq!(back, line);
    assert_eq!(RecordLine::parse(back.to_json().as_bytes()), Ok(line.clone()));
    assert!(back.to_json().contains(r#""details":{"a":[1000.0,{"b":"é \" "}],"z":1.1}"#), "{}", back.to_json());
    let original = OriginalLine { media_type: "image/png".to_owned(), content: vec![0xff, 0x00] };
    let binary = RecordLine { original: Some(original), ..line };
    assert_eq!(RecordLine::parse(binary.to_json().as_bytes()), Ok(binary));
}

#[test]
fn details_are_kept_as_they_were_written() {
    let details = Details::parse("{ \"b\" : 1.10,\n \"a\" : 12345678901234567890123 }").expect("an object");
    assert_eq!(details.as_str(), r#"{"b":1.10,"a":12345678901234567890123}"#);
    let json = serde_json::to_string(&details).expect("JSON");
    assert_eq!(json, details.as_str());
    assert_eq!(serde_json::from_str::<Details>(&json).expect("JSON"), details);
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let refused = |path: &str, value: Value| {
        let mut line = full();
        *line.pointer_mut(path).expect("a field") = value;
        let error = parse(&line).and_then(|mut line| {
            line.check_identifiers(TEST_LOG)?;
            line.to_record(Some(&[7; 32])).map(|_| ())
        });
        let error = error.expect_err("one field is wrong");
        (error.path, error.code)
    };
    let malformed = |path: &str| (path.to_owned(), Code::MalformedRecord);
    assert_eq!(refused("/kind", json!("access.peek")), ("kind".to_owned(), Code::UnknownKind));
    assert_eq!(refused("/kind", json!(3)), malformed("kind"));
    assert_eq!(refused("/kind", json!("system.event")), malformed("patient"));
    assert_eq!(refused("/patient/ins", json!("279035121518")), ("patient.ins".to_owned(), Code::InvalidIns));
    assert_eq!(refused("/patient/oid", json!("1.2.3")), ("patient.oid".to_owned(), Code::InvalidIns));
    assert_eq!(refused("/actor/id", json!("12")), ("actor.id".to_owned(), Code::InvalidIdentifier));
    assert_eq!(refused("/actor", json!({"system": "s"})), malformed("actor"));
    assert_eq!(refused("/actor", json!({"system": "s", "id": "i", "nom": "x"})), malformed("actor.nom"));
    assert_eq!(refused("/items/0/labels", json!(["R", 3])), malformed("items[0].labels[1]"));
    assert_eq!(refused("/items/0/id", json!("a\u{1}")), malformed("items[0].id"));
    assert_eq!(refused("/occurred_at", json!("hier")), malformed("occurred_at"));
    assert_eq!(refused("/occurred_at", json!("1970-01-01T00:00:00Z")), malformed("occurred_at"));
    assert_eq!(refused("/basis/kind", json!("because")), malformed("basis.kind"));
    assert_eq!(refused("/outcome", json!("failure")), malformed("outcome"));
    assert_eq!(refused("/details", json!([1])), malformed("details"));
    assert_eq!(refused("/original/text", json!(null)), malformed("original"));
    assert_eq!(refused("/agents/0/who/id", json!(3)), malformed("agents[0].who.id"));
}

#[test]
fn lines_that_are_not_one_object_of_known_fields_are_refused() {
    let code = |line: &[u8]| RecordLine::parse(line).expect_err("not a line").code;
    assert_eq!(code(b"\xff"), Code::InvalidUtf8);
    assert_eq!(code(&vec![b' '; LINE_BYTES_MAX + 1]), Code::RecordTooLarge);
    for line in ["", "{", "[]", "null", &format!("{EXAMPLE}{EXAMPLE}"), &format!("{EXAMPLE} x")] {
        assert_eq!(code(line.as_bytes()), Code::MalformedRecord, "{line}");
    }
    let twice = EXAMPLE.replacen('{', r#"{"purpose":"BTG","#, 1);
    assert!(RecordLine::parse(twice.as_bytes()).expect_err("twice").message.contains("purpose"));
    let unknown = EXAMPLE.replacen('{', r#"{"colour":1,"#, 1);
    let error = RecordLine::parse(unknown.as_bytes()).expect_err("unknown");
    assert!(error.to_string().contains("colour"), "{error}");
}

#[test]
fn a_line_without_basis_is_an_unjustified_access_and_not_an_error() {
    let line = r#"{"kind":"access.read","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},
        "actor":{"system":"","id":"x"},"occurred_at":"2026-03-02T09:00:00Z"}"#;
    let record = RecordLine::parse(line.as_bytes()).expect("a line").to_record(Some(&[7; 32])).expect("a record");
    assert_eq!(crate::facts::facts_of(&record), 0);
}

#[test]
fn an_eight_before_an_rpps_number_is_taken_off() {
    let mut line = RecordLine::parse(EXAMPLE.replace("10100534436", "810100534436").as_bytes()).expect("a line");
    line.check_identifiers(TEST_LOG).expect("an RPPS number");
    assert_eq!(line.actor.expect("an actor").id, "10100534436");
    let mut line = RecordLine::parse(EXAMPLE.replace("10100534436", "10100534437").as_bytes()).expect("a line");
    let warnings = line.check_identifiers(TEST_LOG).expect("a test log warns");
    assert_eq!(warnings, [Warning { path: "actor.id".to_owned(), doubt: IdentError::RppsKey }]);
}

fn acts() -> [Value; 15] {
    let key = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    let id = "11".repeat(32);
    [
        json!({"kind": "key.registered", "act": {"registered": {
            "key": key, "name": "DMP", "roles": ["author", "patient"], "tls_spki_sha256": [id],
            "quota_events_per_s": 5, "patient_tag": id, "patient_secret_tag": id,
            "structures": ["690000120"], "actor_systems": ["urn:oid:1.2.250.1.71.4.2.1"], "issuers": ["urn:example:idp"]}}}),
        json!({"kind": "key.registered", "act": {"registered": {
            "key": key, "name": "Téléphone", "roles": ["patient"], "patient_commitment": id}}}),
        json!({"kind": "sources.listed", "act": {"sources": {
            "listed": [{"id": "pacs.1", "name_fr": "Radiologie", "name_en": "Radiology", "structure": "690000120",
                "author_id": id, "answers": id, "since": "2026-03-01T00:00:00Z", "silent_after_s": 86400}],
            "removed": ["pacs.0"]}}}),
        json!({"kind": "vouching.changed", "act": {"vouching": {"author_id": id,
            "added": {"structures": ["1", "2"], "actor_systems": ["urn:x:a"], "issuers": ["a"]},
            "removed": {"structures": ["3"], "actor_systems": ["urn:x:b"], "issuers": ["b"]}}}}),
        json!({"kind": "key.rotated", "act": {"rotated": {"author_id": id, "key": key, "tls_spki_sha256": [id]}}}),
        json!({"kind": "key.revoked", "act": {"revoked": {"key_id": id, "reason": "perdue"}}}),
        json!({"kind": "key.revoked", "act": {"actor": {"actor_hash": id, "reason": "radiation"}}}),
        json!({"kind": "role.changed", "act": {"roles": {"author_id": id, "roles": [], "quota_events_per_s": 1}}}),
        json!({"kind": "node_set.changed", "act": {"node_set": {
            "epoch": 2,
            "added": [{"id": 4, "name": "node-4", "key": key, "tls_spki_sha256": id,
                "client_address": "node-4.example:7400", "peer_address": "node-4.example:7500"}],
            "moved": [{"id": 1, "client_address": "10.0.0.1:7400", "peer_address": "10.0.0.1:7500"}],
            "removed": [3], "voters": [1, 2, 4], "voters_outgoing": [1, 2, 3], "learners": [5]}}}),
        json!({"kind": "issuer.published", "act": {"issuer": {
            "issuer": "https://ens.example", "name": "ENS", "keys": [{"kid": "1", "alg": "RS256", "key": "80".repeat(256), "exponent": 65_537}],
            "audiences": ["ledger"], "ins_claim": "ins", "oid_claim": "oid", "person_claim": "sub",
            "person_system": "https://ens.example", "acr_substantial": ["eidas2"], "acr_high": ["eidas3"],
            "session_s": 900, "from_ms": 1, "until_ms": 2, "test": true}}}),
        json!({"kind": "records.voided", "act": {"voided": {"key_id": id, "from_index": 1, "until_index": 2, "reason": "volée"}}}),
        json!({"kind": "records.voided", "act": {"voided": {"author_id": id, "from_index": 1, "reason": "volée"}}}),
        json!({"kind": "records.voided", "act": {"reinstated": {"act": 9, "reason": "erreur"}}}),
        json!({"kind": "authority.rule", "act": {"rule": {"needed": 1, "authorities": [id], "acts": 3}}}),
        json!({"kind": "authority.rule", "act": {"limit": {"author_id": id, "records": 5}}}),
    ]
}

#[test]
fn acts_of_the_authority_have_lines_too() {
    for mut act in acts() {
        act["occurred_at"] = json!("2026-03-02T09:00:00Z");
        let line = parse(&act).expect("an act");
        let record = line.to_record(None).expect("a record");
        assert_eq!(RecordLine::from_record(&record, None, false), line);
        act["items"] = json!([]);
        assert_eq!(serde_json::from_str::<Value>(&line.to_json()).expect("JSON"), act);
    }
}

#[test]
fn a_trace_line_is_the_record_line_with_what_the_ledger_says() {
    let line = RecordLine::parse(EXAMPLE.as_bytes()).expect("the example");
    let record = line.to_record(Some(&[7; 32])).expect("a record");
    let entry = Entry::Record(RecordEntry {
        index: 12.into(),
        time: 1_772_442_000_250.into(),
        flags: Flags::UNJUSTIFIED | Flags::LATE,
        kind: record.kind(),
        tag: record.entry_tag(),
        record_hash: record.record_hash(&[1; 16]),
        position: 0,
    });
    let shown = TraceLineJson::new(&entry, "DMP", OpenedContent::Record(&record), None, line.patient.clone(), false);
    let mut shown: Value = serde_json::from_str(&shown.to_json()).expect("JSON");
    let added = shown.as_object_mut().expect("an object");
    assert_eq!(added.remove("index"), Some(json!(12)));
    assert_eq!(added.remove("recorded_at"), Some(json!("2026-03-02T09:00:00.250Z")));
    assert_eq!(added.remove("flags"), Some(json!(["UNJUSTIFIED", "LATE"])));
    assert_eq!(added.remove("unjustified_reason"), Some(json!("NO_BASIS")));
    assert_eq!(added.remove("author"), Some(json!("DMP")));
    assert_eq!(shown, serde_json::from_str::<Value>(EXAMPLE).expect("JSON"));
    let ground = "ORDER".to_owned();
    let by = Some(ErasedLine { index: 20, time: crate::time::TimeMs(1_772_442_000_250), ground });
    let erased = TraceLineJson::new(&entry, "", OpenedContent::Nothing, by, None, false).to_json();
    let expected = r#"{"index":12,"recorded_at":"2026-03-02T09:00:00.250Z","flags":["UNJUSTIFIED","LATE"],"unjustified_reason":"NO_BASIS","kind":"access.read","erased":{"index":20,"time":"2026-03-02T09:00:00.250Z","ground":"ORDER"}}"#;
    assert_eq!(erased, expected);
    let full = parse(&full()).expect("every field");
    let record = full.to_record(Some(&[7; 32])).expect("a record");
    let json = TraceLineJson::new(&entry, "", OpenedContent::Record(&record), None, None, true).to_json();
    assert!(json.contains("\"details\":{") && !json.contains('\n'), "{json}");
}

/// The part of JSON Schema that [`schema`] uses, without patterns: whether `value` fits.
fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).ok_or("a reference to nothing")?;
        return fits(root, target, value);
    }
    let known = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64(),
        Some(other) => return Err(format!("unknown type {other}")),
    };
    let allowed = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    if !known || !allowed {
        return Err(format!("{value} doesn't fit {schema}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        value.get(name.as_str().ok_or("a name")?).ok_or(format!("{name} is missing in {value}"))?;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => fits(root, schema, field).map_err(|why| format!("{name}: {why}"))?,
            None if schema["additionalProperties"] == json!(false) => return Err(format!("{name} is unknown")),
            None => {}
        }
    }
    let mut items = value.as_array().into_iter().flatten();
    items.try_for_each(|item| fits(root, &schema["items"], item))
}

/// Every property of the schema, and whether `value` has it somewhere.
fn missing(root: &Value, schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    let reference = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.trim_start_matches('#')));
    let schema = reference.unwrap_or(schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        match value.get(name) {
            Some(value) => missing(root, inner, value, &path, out),
            None => out.push(path),
        }
    }
    if let Some(first) = value.get(0) {
        missing(root, &schema["items"], first, &format!("{path}/0"), out);
    }
}

#[test]
fn the_schema_and_the_line_have_the_same_fields() {
    let schema = schema();
    fits(&schema, &schema, &serde_json::from_str(EXAMPLE).expect("JSON")).expect("the example");
    // Serialised from the struct: a field of the line that the schema lacks is unknown to it.
    let full = parse(&full()).expect("every field").to_json();
    let full: Value = serde_json::from_str(&full).expect("JSON");
    fits(&schema, &schema, &full).expect("every field of the line is in the schema");
    let mut absent = Vec::new();
    missing(&schema, &schema, &full, "", &mut absent);
    absent.retain(|path| !path.starts_with("/agents/0/who"));
    assert_eq!(absent, ["/act", "/original/hex", "/will"], "every field of the schema is in the line");
    let acts = acts();
    for act in &acts {
        let mut act = act.clone();
        act["occurred_at"] = json!("2026-03-02T09:00:00Z");
        fits(&schema, &schema, &act).expect("an act");
    }
    for (name, schema) in schema["properties"]["act"]["properties"].as_object().expect("acts") {
        let absent = acts.iter().filter_map(|act| act["act"].get(name)).map(|act| {
            let mut absent = Vec::new();
            missing(schema, schema, act, name, &mut absent);
            absent.into_iter().collect::<std::collections::BTreeSet<_>>()
        });
        let absent = absent.reduce(|all, one| &all & &one).expect("an example of each");
        assert!(absent.is_empty(), "in none of its examples: {absent:?}");
    }
}

#[test]
fn the_schema_refuses_what_the_line_refuses() {
    let schema = schema();
    for (path, value) in [
        ("/kind", json!("genesis")),
        ("/patient/ins", json!(1)),
        ("/basis/kind", json!("because")),
        ("/items", json!({})),
        ("/actor", json!({"system": "s"})),
        ("/actor", json!({"system": "s", "id": "i", "nom": "x"})),
    ] {
        let mut line = full();
        *line.pointer_mut(path).expect("a field") = value;
        assert!(fits(&schema, &schema, &line).is_err(), "{path}");
    }
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Zé0-9:/ .-]{0,12}"
}

fn lines() -> impl Strategy<Value = RecordLine> {
    let kinds = Kind::ALL.iter().copied().filter(|kind| kind.has_patient() && !kind.is_act());
    let kinds: Vec<Kind> = kinds.collect();
    let who = (words(), "[a-z0-9]{1,9}", words(), words(), words());
    let item = ("[a-z]{1,5}", words(), proptest::collection::vec("[A-Z]{1,3}", 0..3), words());
    let numbers = (1..=crate::limits::OCCURRED_AT_MS_MAX, 0..7_i32, 0..5_i32, any::<[bool; 5]>());
    let content = proptest::collection::vec(any::<u8>(), 0..20);
    (proptest::sample::select(kinds), who, proptest::collection::vec(item, 0..4), numbers, words(), content).prop_map(
        |(kind, who, items, (ms, basis, outcome, has), text, content)| {
            let (system, id, role, organisation, label) = who;
            let actor = ActorLine { system, id, role, organisation, label };
            let items = items.into_iter().map(|(id, category, labels, depositor)| {
                let label = text.clone();
                ItemLine { id, category, labels, depositor, label }
            });
            let patient = PatientLine { ins: "279035121518989".to_owned(), oid: "1.2.250.1.213.1.4.8".to_owned() };
            RecordLine {
                kind,
                patient: Some(patient),
                secret: has[0],
                agents: vec![AgentLine { who: Some(actor.clone()), requestor: has[1], ..AgentLine::default() }],
                actor: Some(actor),
                auth: has[1].then(|| AuthLine { method: text.clone(), ..AuthLine::default() }),
                items: items.collect(),
                occurred_at: TimeMs(ms),
                purpose: "TREAT".to_owned(),
                basis: BasisToken::from_code(basis).map(|kind| BasisLine { kind, reference: text.clone() }),
                outcome: OutcomeToken::from_code(outcome),
                outcome_text: text.clone(),
                place: has[2].then(|| PlaceLine { site: text.clone(), ..PlaceLine::default() }),
                deferred: has[3].then(|| DeferredLine { reason: "panne".to_owned() }),
                correlation: has[4].then(CorrelationLine::default),
                automated: has[0].then(|| AutomatedLine { software: "x".to_owned(), version: text.clone() }),
                details: has[1].then(|| Details::parse(r#"{"a":[1.0,null]}"#).expect("an object")),
                original: has[2].then(|| OriginalLine { media_type: "a/b".to_owned(), content }),
                act: None,
                will: (has[3] && may_carry(kind)).then(|| WillLine {
                    token: format!("t{text}"),
                    blind: vec![7; 16],
                    ..WillLine::default()
                }),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_line_survives_the_way_into_a_record_and_back(line in lines()) {
        let record = line.to_record(Some(&[9; 32])).expect("a record");
        prop_assert_eq!(ParsedRecord::parse(record.bytes()), Ok(record.clone()));
        let back = RecordLine::from_record(&record, line.patient.clone(), line.secret);
        prop_assert_eq!(&back, &line);
        prop_assert_eq!(RecordLine::parse(back.to_json().as_bytes()), Ok(line));
    }
}
