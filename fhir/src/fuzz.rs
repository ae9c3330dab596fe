//! Fuzz targets: files of others. None may panic, and what is mapped is what was promised.

use std::path::Path;

use crate::import::source::documents;
use crate::import::{PatientMap, map};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[("fhir", fuzz_fhir), ("patient_map", fuzz_patient_map)];

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

/// Patient maps, CSV and JSON.
pub fn fuzz_patient_map(data: &[u8]) {
    for ins in PatientMap::parse(text(data)).into_iter().flat_map(std::collections::HashMap::into_values) {
        assert_eq!(ins.value().len(), 15);
    }
}
