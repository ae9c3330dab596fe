//! Fuzz targets: files of others. None may panic, and what is mapped is what was promised.

use std::path::Path;

use crate::import::source::documents;
use crate::import::{PatientMap, map};
use crate::xml;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] =
    &[("fhir", fuzz_fhir), ("fhir_xml", fuzz_xml), ("patient_map", fuzz_patient_map)];

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// FHIR documents: what is mapped has its original and a time, and says who the patient is where it has one.
pub fn fuzz_fhir(data: &[u8]) {
    let patients = PatientMap::empty(true);
    for name in ["a.json", "a.ndjson"] {
        let found = documents(Path::new(name), data);
        for mapped in found.iter().flat_map(|d| d.json.as_ref()).flat_map(|json| map(json, &patients)).flatten() {
            assert!(mapped.record.original.is_some() && mapped.record.occurred_at_ms > 0, "{mapped:?}");
            assert!(mapped.patient.is_none_or(|patient| patient.ins.len() == 15));
        }
    }
}

/// FHIR in XML and in JSON: what is read of one is written as the other, and says the same again.
pub fn fuzz_xml(data: &[u8]) {
    let json = xml::to_json(data);
    let written = json.as_ref().map(|json| xml::to_xml(json.as_bytes()));
    if let Ok(written) = written {
        let back = written.and_then(|written| xml::to_json(written.as_bytes()));
        assert_eq!(back, json);
    }
    if let Ok(written) = xml::to_xml(data) {
        let back = xml::to_json(written.as_bytes()).expect("what was written is read");
        assert_eq!(xml::to_xml(back.as_bytes()), Ok(written));
    }
}

/// Patient maps, CSV and JSON.
pub fn fuzz_patient_map(data: &[u8]) {
    for ins in PatientMap::parse(text(data)).into_iter().flat_map(std::collections::HashMap::into_values) {
        assert_eq!(ins.value().len(), 15);
    }
}
