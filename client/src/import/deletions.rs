//! Consents that were deleted on their server.
//!
//! The last version of a Consent says whose it was, and its deletion ends what is on record of it. A history comes in pages: where
//! the versions stand on a later one, none of them may come into force any more.

use std::collections::HashMap;

use serde_json::Value;
use sillage_fhir::import::history::{self, Deleted};
use sillage_fhir::import::references::spelled_base;
use sillage_fhir::import::source::Document;
use sillage_fhir::import::{Ends, FhirError, MappedRecord, consent};
use sillage_rules::consent::{Directive, Effect};

use super::consents;

/// The record that ends what is on record of a Consent. `last` is what its last version became, a version of the server `base`.
///
/// # Errors
/// Whatever refuses the last version, and where that isn't of the Consent that was deleted.
pub(super) fn ending(
    last: Result<Vec<MappedRecord>, FhirError>,
    deleted: &Deleted,
    base: &str,
    entry: Option<usize>,
) -> Result<Vec<MappedRecord>, FhirError> {
    let path = format!("Bundle.entry[{}].request", entry.unwrap_or_default());
    let unknown = || FhirError::new(path, history::DELETED);
    let server = &deleted.version.server;
    if !server.is_empty() && !base.is_empty() && server != base {
        return Err(unknown());
    }
    let ends = last?.first().and_then(|first| consent::deletion(first, deleted));
    ends.map(|ends| vec![ends]).ok_or_else(unknown)
}

/// The deletions of a run that ended nothing, for nothing said whose the Consents were.
#[derive(Default)]
pub(super) struct Deletions(HashMap<String, Vec<Deleted>>);

impl Deletions {
    /// Takes note of those of a file before its other entries are read. `source` is the server of entries that name none.
    pub fn of_file(&mut self, found: &[Document], source: &str) {
        for document in found.iter().filter(|document| document.json.is_err()) {
            document.deleted.iter().for_each(|deleted| self.note(deleted, source));
        }
    }

    /// Takes note of one.
    pub fn note(&mut self, deleted: &Deleted, source: &str) {
        let mut version = deleted.version.clone();
        if version.server.is_empty() {
            version.server = spelled_base(source);
        }
        let all = self.0.entry(version.name.clone()).or_default();
        all.push(Deleted { version, at_ms: deleted.at_ms, entry: Vec::new() });
    }

    /// Why a version of a Consent isn't recorded, if so: it was deleted since, or may have been. `json` is the document, and `base`
    /// its server.
    pub fn refuse(&self, records: &[MappedRecord], json: &[u8], base: &str) -> Option<FhirError> {
        let first = records.first().filter(|first| first.is_of_consent() && first.ends() != Some(Ends::Revoked))?;
        if self.0.is_empty() {
            return None;
        }
        let document: Value = serde_json::from_slice(json).ok()?;
        let of_id = self.0.get(&format!("Consent/{}", document["id"].as_str()?))?;
        // Where only one of the two says its server, it may be another Consent: a denial counts then, and a permit doesn't.
        let denies = |mapped: &MappedRecord| {
            Directive::parse(&mapped.record.details).is_ok_and(|said| said.provision.effect == Effect::Deny)
        };
        let only_denies = records.iter().all(denies);
        let is_of_it = |deleted: &&Deleted| {
            let server = &deleted.version.server;
            server == base || (server.is_empty() || base.is_empty()) && !only_denies
        };
        let is_newer = |deleted: &Deleted| deleted.is_before(&document, first.record.occurred_at_ms);
        let mut of_it = of_id.iter().filter(is_of_it);
        of_it.any(|deleted| !is_newer(deleted)).then(consents::deleted)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;
    use sillage_fhir::import::source::documents;
    use sillage_fhir::import::{Neighbours, PatientMap, map_among};

    use super::*;

    fn version(effect: &str, meta: &Value) -> Value {
        let coding = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
        let reasons = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
        let mut version = json!({
            "resourceType": "Consent", "id": "9", "status": "active", "dateTime": "2026-01-05",
            "scope": coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coding("http://loinc.org", "59284-0")],
            "patient": {"reference": "Patient/1"},
            "organization": [{"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}}],
            "policy": [{"uri": "https://hospital.example/policy"}],
            "provision": {"type": effect, "purpose": [{"system": reasons, "code": "TREAT"}]}
        });
        if !meta.is_null() {
            version["meta"] = meta.clone();
        }
        version
    }

    fn history(entries: &[Value]) -> Vec<Document> {
        let bundle = json!({"resourceType": "Bundle", "type": "history", "entry": entries}).to_string();
        documents(Path::new("a.json"), bundle.as_bytes())
    }

    fn deletion(url: &str) -> Value {
        json!({"request": {"method": "DELETE", "url": url},
            "response": {"status": "204", "etag": "W/\"4\"", "lastModified": "2026-03-01T09:00:00Z"}})
    }

    fn mapped(resource: &Value, base: &str) -> Result<Vec<MappedRecord>, FhirError> {
        let around = Neighbours::default().at(base);
        map_among(resource.to_string().as_bytes(), &PatientMap::empty(true), &around)
    }

    #[test]
    fn a_deletion_whose_last_version_is_refused_says_why() {
        let found = history(&[deletion("Consent/9"), json!({"resource": version("permit", &Value::Null)})]);
        let deleted = found[0].deleted.as_ref().expect("a deletion");
        let unknown = map_among(found[0].json.as_ref().expect("it"), &PatientMap::default(), &Neighbours::default());
        let error = ending(unknown, deleted, "", Some(0)).expect_err("whose?");
        assert!(error.path == "Consent.patient" && error.reason.contains("has no INS"), "{error}");
        let ends = ending(mapped(&version("permit", &Value::Null), ""), deleted, "", Some(0)).expect("whose it was");
        assert_eq!(ends.first().and_then(MappedRecord::ends), Some(Ends::Revoked));
        let nothing = ending(Ok(Vec::new()), deleted, "", Some(3)).expect_err("no Consent");
        assert_eq!(nothing, FhirError::new("Bundle.entry[3].request", history::DELETED));
    }

    #[test]
    fn a_deletion_ends_no_consent_of_another_server() {
        let url = "https://b.example/fhir/Consent/9";
        let found = history(&[deletion(url), json!({"resource": version("permit", &Value::Null)})]);
        let deleted = found[0].deleted.as_ref().expect("a deletion");
        for (base, ends) in [("", true), ("https://b.example/fhir", true), ("https://a.example/fhir", false)] {
            let given = mapped(&version("permit", &Value::Null), base);
            assert_eq!(ending(given, deleted, base, Some(0)).is_ok(), ends, "{base}");
        }
    }

    #[test]
    fn of_a_consent_that_was_deleted_on_another_page_nothing_comes_into_force() {
        let (old, new) = (json!({"versionId": "3"}), json!({"versionId": "5"}));
        let late = json!({"lastUpdated": "2026-03-02T09:00:00Z"});
        let (a, b) = ("https://a.example/fhir", "https://b.example/fhir");
        let of_b = format!("{b}/Consent/9");
        for (url, source, effect, meta, base, refused) in [
            ("Consent/9", "", "permit", &old, "", true),
            ("Consent/9", "", "deny", &old, "", true),
            ("Consent/9", "", "permit", &Value::Null, "", true),
            ("Consent/9", "", "permit", &new, "", false),
            ("Consent/9", "", "permit", &late, "", false),
            ("Consent/8", "", "permit", &old, "", false),
            (&of_b, "", "permit", &old, b, true),
            (&of_b, "", "deny", &old, b, true),
            (&of_b, "", "permit", &old, a, false),
            ("Consent/9", "https://B.example/fhir/", "permit", &old, b, true),
            ("Consent/9", b, "permit", &old, a, false),
            // Nothing says whether it is the same one.
            ("Consent/9", "", "permit", &old, b, true),
            ("Consent/9", "", "deny", &old, b, false),
            (&of_b, "", "deny", &old, "", false),
        ] {
            let mut deletions = Deletions::default();
            deletions.of_file(&history(&[deletion(url)]), source);
            let (json, records) = (version(effect, meta), mapped(&version(effect, meta), base).expect("a Consent"));
            let error = deletions.refuse(&records, json.to_string().as_bytes(), base);
            assert_eq!(error.is_some(), refused, "{url} {source} {effect} {meta} {base}");
        }
        let mut deletions = Deletions::default();
        deletions.of_file(&history(&[deletion("Consent/9")]), "");
        let withdrawn = {
            let mut out = version("permit", &old);
            out["status"] = json!("inactive");
            out
        };
        let records = mapped(&withdrawn, "").expect("a withdrawal");
        assert_eq!(deletions.refuse(&records, withdrawn.to_string().as_bytes(), ""), None, "it ends what is on record");
        let records = mapped(&version("permit", &old), "").expect("a Consent");
        assert_eq!(Deletions::default().refuse(&records, version("permit", &old).to_string().as_bytes(), ""), None);
    }
}
