//! The published examples of IHE (BALP, PCF).

use std::path::Path;

use serde_json::{Value, json};
use sillage_rules::record::ParsedRecord;

use super::*;

/// The records of one file, and its bytes.
fn import(path: &Path) -> (Vec<u8>, Result<Vec<MappedRecord>, FhirError>) {
    let bytes = std::fs::read(path).expect("readable");
    let demo = PatientMap::empty(true);
    let got = map(&bytes, &demo);
    for mapped in got.iter().flatten() {
        let mut record = mapped.record.clone();
        record.tag = mapped.patient.iter().flat_map(|_| [7; 32]).collect();
        let parsed = ParsedRecord::from_message(record);
        parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(mapped.record.original.as_ref().expect("kept").content, bytes, "{}", path.display());
    }
    (bytes, got)
}

#[test]
fn published_audit_events_import_and_older_ones_are_refused() {
    let Some(files) = fixture_files() else { return };
    let mut imported = 0;
    for path in files {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if name.starts_with("AuditEvent-") {
            import(&path).1.unwrap_or_else(|error| panic!("{name}: {error}"));
            imported += 1;
        } else if !name.starts_with("Consent-") {
            let error = import(&path).1.expect_err(&name);
            assert_eq!(error.path, "AuditEvent.agent[0].userId", "{name}: {error}");
        }
    }
    assert!(imported >= 5, "{imported} imported");
}

#[test]
fn published_consents_decide_as_they_say_or_are_refused() {
    let Some(dir) = fixtures() else { return };
    let directive = |name: &str| {
        let (_, got) = import(&dir.join(name));
        let records = got.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(records.len(), 1, "{name}");
        let mut details: Value = serde_json::from_str(&records[0].record.details).expect("JSON");
        details.as_object_mut().expect("an object").remove("collected");
        details
    };
    let research = json!({
        "id": "Consent/ex-consent-basic-research", "effect": "permit", "actions": ["read", "search"],
        "grantee": {"organisation": "Organization/ex-organization"}, "purposes": ["HRESCH"],
    });
    assert_eq!(directive("Consent-ex-consent-basic-research.json"), research);
    let expired = json!({
        "id": "Consent/ex-consent-expired-treat", "effect": "permit", "actions": ["read", "search"],
        "grantee": {"organisation": "Organization/ex-organization"}, "purposes": ["TREAT", "HPAYMT", "HOPERAT"],
        "from": "2022-06-12T22:00:00Z", "until": "2022-12-31T23:00:00Z",
    });
    assert_eq!(directive("Consent-ex-consent-expired-treat.json"), expired);
    let (_, of_group) = import(&dir.join("Consent-ex-consent-advanced-normal-break-glass-restricted.json"));
    let path = of_group.expect_err("who is in the group isn't said").path;
    assert_eq!(path, "Consent.provision.provision[0].actor[0].reference");
}
