//! Drives every fuzz target for a moment.

use sillage_fhir::fuzz::TARGETS;
use sillage_proof::fuzz::drive;

const EVENT: &str = r#"{"resourceType":"AuditEvent",
"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"action":"R",
"recorded":"2026-03-02T09:00:00Z","outcome":"0","agent":[{"requestor":true,"who":{"identifier":{"value":"810100534436"}}}],
"source":{"observer":{"display":"dmp"}},"entity":[{"what":{"reference":"Patient/1"},
"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}},{"what":{"reference":"DocumentReference/2"}}]}"#;

#[test]
fn no_target_falls_over() {
    let texts = [
        EVENT,
        "reference,ins,oid\nPatient/1,279035121518989\nPatient/2,279035121518989,1.2.250.1.213.1.4.8\n",
        r#"{"Patient/1":"279035121518989","Patient/2":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.8"}}"#,
    ];
    let seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    drive(TARGETS, &seeds, 10_000);
}
