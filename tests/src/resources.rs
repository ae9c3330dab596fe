//! Resources that tests send to a connector, and parts of what it answers.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::health::in_s;
use crate::lines::{OID, audit_event, ins};

/// A reading of a document by a physician.
pub fn event(patient: u64, document: &str) -> Value {
    let mut event = audit_event("x", document);
    event["recorded"] = json!(in_s(-1));
    event["entity"][0]["what"] =
        json!({"type": "Patient", "identifier": {"system": format!("urn:oid:{OID}"), "value": ins(patient)}});
    event
}

/// A Consent that permits a structure to read.
pub fn consent(patient: u64, organisation: &str, purpose: &str) -> Value {
    json!({
        "resourceType": "Consent", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"type": "Patient", "identifier": {"system": format!("urn:oid:{OID}"), "value": ins(patient)}},
        "dateTime": in_s(-60),
        "organization": [{"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750712184"}}],
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {
            "type": "permit",
            "actor": [{
                "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
                "reference": {"type": "Organization",
                    "identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": organisation}}
            }],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": purpose}]
        }
    })
}

/// Parameters of an operation.
pub fn parameters(parts: &[Value]) -> Value {
    json!({"resourceType": "Parameters", "parameter": parts})
}

/// The parameters that say which patient is asked about, and for which physician.
pub fn who(patient: u64, actor: &str) -> Vec<Value> {
    vec![
        json!({"name": "patient", "valueIdentifier": {"system": format!("urn:oid:{OID}"), "value": ins(patient)}}),
        json!({"name": "actor", "valueIdentifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": actor}}),
        json!({"name": "profession", "valueCode": "physician"}),
    ]
}

/// Whether a physician may read these items to treat a patient.
pub fn question(patient: u64, actor: &str, items: &[&str]) -> Value {
    let mut parts = who(patient, actor);
    parts.push(json!({"name": "purpose", "valueCode": "TREAT"}));
    parts.push(json!({"name": "action", "valueCode": "read"}));
    parts.extend(items.iter().map(|item| json!({"name": "item", "valueString": item})));
    parameters(&parts)
}

/// The parameters of this name.
///
/// # Panics
/// When it is no Parameters resource.
pub fn named<'a>(parameters: &'a Value, name: &str) -> Vec<&'a Value> {
    let all = parameters["parameter"].as_array().expect("parameters");
    all.iter().filter(|one| one["name"] == name).collect()
}

/// The bytes, packed by `gzip`.
///
/// # Panics
/// Without the program.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip");
    let (mut stdin, bytes) = (child.stdin.take().expect("piped"), bytes.to_vec());
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let out = child.wait_with_output().expect("it ends").stdout;
    feeding.join().expect("feeding");
    out
}
