//! Record lines to feed the ledger with.

use serde_json::{Value, json};

/// A test identity of the public examples, accepted by test logs.
pub const INS: &str = "279035121518989";
/// OID of test identities.
pub const OID: &str = "1.2.250.1.213.1.4.10";

/// The example of a record line, word for word as the command line's contract has it.
pub const EXAMPLE: &str = concat!(
    r#"{"kind":"access.read","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},"#,
    r#" "actor":{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician","#,
    r#""organisation":"750712184","label":"Dr Claire Dubois, hôpital Bichat"},"#,
    r#" "items":[{"id":"urn:uuid:…","category":"REPORT"}],"occurred_at":"2026-03-02T09:00:00Z","#,
    r#""purpose":"TREAT","basis":{"kind":"care_team"},"outcome":"success"}"#
);

/// The RPPS number of the example.
pub const PHYSICIAN: &str = "10100534436";

/// The INS of the `n`th invented patient: form and key are right. OID: [`OID`].
pub fn ins(n: u64) -> String {
    let (commune, order) = (1 + n / 999 % 989, 1 + n % 999);
    let number = 1_800_175_000_000 + commune * 1_000 + order;
    format!("{number}{:02}", 97 - number % 97)
}

/// An access to a patient's report by a physician, with a basis. `note` tells it from others.
pub fn access(ins: &str, note: &str) -> Value {
    json!({
        "kind": "access.read",
        "patient": {"ins": ins, "oid": OID},
        "actor": {
            "system": "urn:oid:1.2.250.1.71.4.2.1", "id": PHYSICIAN, "role": "physician",
            "organisation": "750712184", "label": "Dr Claire Dubois, hôpital Bichat"
        },
        "items": [{"id": format!("urn:example:{note}"), "category": "REPORT"}],
        "occurred_at": "2026-03-02T09:00:00Z",
        "purpose": "TREAT",
        "basis": {"kind": "care_team"},
        "outcome": "success"
    })
}

/// A reading of a document of `Patient/<patient>` on a server, after the IHE profile BALP PatientRead.
pub fn audit_event(patient: &str, document: &str) -> Value {
    let dicom = |code: &str| json!([{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": code}]);
    json!({
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R",
        "recorded": "2026-02-03T10:11:12.345+01:00",
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}],
        "agent": [
            {"type": {"coding": dicom("110153")}, "who": {"display": "archive.example.org"}, "requestor": false},
            {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
             "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}, "display": "Dr Claire Dubois"},
             "requestor": true}
        ],
        "source": {"site": "archive", "observer": {"reference": "Device/archive"}},
        "entity": [
            {"what": {"reference": format!("Patient/{patient}")},
             "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"},
             "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"}},
            {"what": {"reference": format!("DocumentReference/{document}")},
             "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2"},
             "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "3"}}
        ]
    })
}

/// `line` with other values for some fields; `null` takes a field away.
pub fn with(mut line: Value, fields: Value) -> Value {
    let (Some(line_fields), Value::Object(fields)) = (line.as_object_mut(), fields) else {
        panic!("a line and the fields to change are JSON objects");
    };
    for (name, value) in fields {
        match value {
            Value::Null => drop(line_fields.remove(&name)),
            value => drop(line_fields.insert(name, value)),
        }
    }
    line
}

/// As the text of a file, one line each.
pub fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The note that [`access`] put into a line.
pub fn note_of(line: &Value) -> &str {
    let id = line["items"][0]["id"].as_str().unwrap_or_default();
    id.strip_prefix("urn:example:").unwrap_or(id)
}

/// Now, in milliseconds since 1970.
///
/// # Panics
/// Before 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not that late")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::line::RecordLine;

    #[test]
    fn invented_patients_are_different_and_well_formed() {
        let all: std::collections::BTreeSet<String> = (0..5_000).map(ins).collect();
        assert_eq!(all.len(), 5_000);
        for ins in &all {
            let ins = sillage_rules::ident::Ins::parse(ins, OID).expect("a good form");
            assert!(ins.key_fits());
        }
    }

    #[test]
    fn the_lines_are_record_lines() {
        for line in [EXAMPLE.to_owned(), access(INS, "a").to_string()] {
            RecordLine::parse(line.as_bytes()).expect("a record line").to_record(Some(&[7; 32])).expect("a record");
        }
        assert_eq!(note_of(&access(INS, "a")), "a");
    }
}
