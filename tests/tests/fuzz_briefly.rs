//! Every fuzz target of the workspace, for a moment: the published vectors of all formats, mutated and spliced across
//! formats, go to the parsers of all others. The crates drive their own targets with what is well formed for them; here
//! each meets what was meant for another.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sillage_fhir::fuzz::fuzz_fhir;
use sillage_fhir::import::{PatientMap, map};
use sillage_proof::fuzz::{Target, drive};
use sillage_tests::lines::{EXAMPLE, INS, audit_event};

/// Inputs for each target.
const INPUTS: usize = 4_000;

/// An audit message over syslog.
const SYSLOG: &str = "<85>1 2026-03-02T09:00:00Z h a 1 IHE+RFC-3881 - <AuditMessage><EventIdentification EventActionCode=\"R\" EventDateTime=\"2026-03-02T09:00:00Z\" EventOutcomeIndicator=\"0\"><EventID csd-code=\"110103\" codeSystemName=\"DCM\" originalText=\"Accès\"/></EventIdentification><ActiveParticipant UserID=\"u\" UserIsRequestor=\"true\"/><AuditSourceIdentification AuditSourceID=\"s\"/><ParticipantObjectIdentification ParticipantObjectID=\"279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO\" ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\"/></AuditMessage>";
/// An admission over HL7 v2.
const HL7: &str = "MSH|^~\\&|HIS|H|SILLAGE|H|20260302100100||ADT^A01|1|P|2.5|||||FRA|UNICODE UTF-8\rEVN||20260302100000\rPID|1||279035121518989^^^&1.2.250.1.213.1.4.10&ISO||Été\rPV1|1|I|CARDIO||||10001234567^House^^^^^^^&1.2.250.1.71.4.2.1&ISO\r";

/// Requests over HTTP/1.1, one after the other.
const HTTP: &str = "POST /fhir/AuditEvent HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{\n}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n\n\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Every target, as `crate/target`.
fn targets() -> Vec<(String, Target)> {
    let of = |owner: &'static str, list: &'static [(&'static str, Target)]| {
        list.iter().map(move |(name, target)| (format!("{owner}/{name}"), *target))
    };
    of("proof", sillage_proof::fuzz::TARGETS)
        .chain(of("rules", sillage_rules::fuzz::TARGETS))
        .chain(of("client", sillage_client::fuzz::TARGETS))
        .chain(of("cli", sillage_cli::fuzz::TARGETS))
        .chain(of("fhir", sillage_fhir::fuzz::TARGETS))
        .chain(of("web", sillage_web::fuzz::TARGETS))
        .chain(of("connector", sillage_connector::fuzz::TARGETS))
        .collect()
}

/// Every text in the published vectors, as it is and, where it is hexadecimal, as the bytes that it stands for.
fn seeds() -> Vec<Vec<u8>> {
    let vectors = [include_str!("../../docs/vectors/proof.json"), include_str!("../../docs/vectors/rules.json")];
    let mut seeds = vec![EXAMPLE.as_bytes().to_vec(), INS.as_bytes().to_vec(), Vec::new()];
    let xml = sillage_fhir::xml::to_xml(audit_event("a", "b").to_string().as_bytes()).expect("FHIR");
    let fed =
        [SYSLOG.to_owned(), format!("{} {SYSLOG}", SYSLOG.len()), HL7.to_owned(), format!("\u{b}{HL7}\u{1c}\r"), xml];
    seeds.extend(fed.map(String::into_bytes));
    let event = audit_event("a", "b");
    let entry = json!({"request": {"method": "POST", "url": "AuditEvent?_count=1"}, "resource": event});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]});
    let query = "AuditEvent?patient.identifier=urn:oid:1.2%7C1&date=ge2026-03-02&_sort=-date&_count=10&entity=DocumentReference/a";
    seeds.extend([event.to_string(), batch.to_string(), query.to_owned(), HTTP.to_owned()].map(String::into_bytes));
    for text in vectors {
        texts(&serde_json::from_str(text).expect("JSON"), &mut seeds);
    }
    seeds
}

fn texts(value: &Value, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => {
            out.extend(hex::decode(text).ok());
            out.push(text.as_bytes().to_vec());
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, out)),
        Value::Object(fields) => {
            out.push(value.to_string().into_bytes());
            fields.values().for_each(|value| texts(value, out));
        }
        _ => {}
    }
}

/// The document with one to three of its values replaced by others, of whatever type, or taken away: unlike flipped
/// bits, this leaves it JSON.
fn rearrange(document: &Value, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut document = document.clone();
    for _ in 0..dice.random_range(1..=3) {
        let pointers = pointers(&document, String::new());
        let pick = |dice: &mut ChaCha8Rng| &pointers[dice.random_range(0..pointers.len())];
        let other = match dice.random_range(0..6) {
            0 => Value::Null,
            1 => json!([]),
            2 => json!({}),
            3 => json!(-1.5e300),
            4 => json!("é".repeat(dice.random_range(0..300))),
            _ => document.pointer(pick(dice)).expect("it is there").clone(),
        };
        *document.pointer_mut(pick(dice)).expect("it is there") = other;
    }
    document.to_string().into_bytes()
}

/// Where each value of a document is (RFC 6901). No name in it needs an escape.
fn pointers(value: &Value, at: String) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Array(values) => values.iter().enumerate().flat_map(|(i, v)| pointers(v, format!("{at}/{i}"))).collect(),
        Value::Object(fields) => fields.iter().flat_map(|(name, v)| pointers(v, format!("{at}/{name}"))).collect(),
        _ => Vec::new(),
    };
    [vec![at], below].concat()
}

#[test]
fn no_audit_event_makes_the_import_fall_over() {
    let event = audit_event("a", "b");
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": event.clone()}]});
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    fuzz_fhir(event.to_string().as_bytes());
    let mut mapped = 0;
    for i in 0..INPUTS {
        let input = rearrange(if i % 4 == 0 { &bundle } else { &event }, &mut dice);
        let told = std::panic::catch_unwind(|| fuzz_fhir(&input));
        assert!(told.is_ok(), "the import falls over {}", String::from_utf8_lossy(&input));
        mapped += usize::from(map(&input, &PatientMap::empty(true)).is_ok());
    }
    assert!((INPUTS / 50..INPUTS).contains(&mapped), "some are accepted, some are not: {mapped}");
}

#[test]
fn no_parser_falls_over_what_was_meant_for_another() {
    let (targets, seeds) = (targets(), seeds());
    assert!(targets.len() > 25 && seeds.len() > 50, "{} targets, {} seeds", targets.len(), seeds.len());
    drive(&targets, &seeds, INPUTS);
}
