//! The part of an import that is on record already: a resource is known by its source, its id and its content; a
//! document without an id by its bytes. Imports by the version before are known by the records that they made.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sillage_proto::v1::PatientIdentity;

use crate::author::{NewRecord, TagRequest, encode};
use crate::outbox::source::{DocumentKey, Done, ResourceName};
use sillage_fhir::import::references::base_of;
use sillage_fhir::import::{MappedRecord, Neighbours, PatientMap, map_as_before};

/// A document of which some record isn't known yet.
pub(super) struct Original {
    /// As received.
    pub json: Vec<u8>,
    /// The resources that came in the same Bundle.
    pub around: Neighbours,
    /// Which resource it is, where it says so.
    pub name: Option<ResourceName>,
}

impl Original {
    /// `source`: the server that files without `fullUrl` are from.
    pub fn of(json: Vec<u8>, around: Neighbours, full_url: &str, source: &str) -> Self {
        let name = named(&json, full_url, source);
        Self { json, around, name }
    }

    /// The record that the version before made of it, as far as that could be recorded.
    pub fn before(&self, patients: &PatientMap) -> Vec<MappedRecord> {
        let all = map_as_before(&self.json, patients, &self.around).into_iter();
        all.filter(|mapped| {
            let mut record = mapped.record.clone();
            record.tag = mapped.patient.iter().flat_map(|_| [0xff; 32]).collect();
            encode(record, 0).is_ok()
        })
        .collect()
    }
}

/// An AuditEvent with an id; none of anything else.
fn named(json: &[u8], full_url: &str, source: &str) -> Option<ResourceName> {
    let document: Value = serde_json::from_slice(json).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, id) = (text(&document["resourceType"]), text(&document["id"]));
    if kind != "AuditEvent" || id.is_empty() {
        return None;
    }
    let of_url = base_of(full_url, &kind, &id);
    let base = of_url.unwrap_or_else(|| source.trim_end_matches('/').to_ascii_lowercase());
    let version = text(&document["meta"]["versionId"]);
    Some(ResourceName::new([&base, &kind, &id, &version], &canonical(&document)))
}

/// JSON without what says nothing: white space, and the order of members.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            let one = |(name, value): (&&String, &String)| format!("{}:{value}", Value::from(name.as_str()));
            format!("{{{}}}", sorted.iter().map(one).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The knowledge of this run beside the outbox.
#[derive(Default)]
pub(super) struct Seen {
    /// How often each document without an id was met, by its key without occurrence.
    occurrences: HashMap<DocumentKey, u64>,
    /// The same for what the version before made of them.
    before: HashMap<DocumentKey, u64>,
    /// Resources of this run that are on record.
    recorded: HashMap<DocumentKey, u64>,
    /// The first record of each of them.
    first: HashMap<[u8; 8], (DocumentKey, u64)>,
}

impl Seen {
    /// The key of a record, and the one by which the version before knew it where that is another.
    pub fn key(
        &mut self,
        original: &Original,
        mapped: &MappedRecord,
        record: &[u8],
    ) -> (DocumentKey, Option<DocumentKey>) {
        match &original.name {
            Some(name) => {
                // Longer names may have made one part more: with its last one, all of it is on record.
                let last = mapped.as_written.as_ref().map_or(usize::MAX, |written| written.parts.max(1) - 1);
                let before = (mapped.part.n > last).then(|| name.key(&whose(mapped), last));
                (name.key(&whose(mapped), mapped.part.n), before)
            }
            None if !mapped.has_servers() => (numbered(&mut self.occurrences, &original.json, record), None),
            // The same document of two servers is two.
            None => {
                let server = if mapped.server.is_empty() { original.around.base() } else { &mapped.server };
                let of_server = [&original.json[..], b"\0", server.as_bytes()].concat();
                let before = DocumentKey::new(&original.json, record, 0);
                (numbered(&mut self.occurrences, &of_server, record), Some(before))
            }
        }
    }

    /// The key by which the version before knew a record.
    pub fn key_before(&mut self, original: &Original, record: &[u8]) -> DocumentKey {
        match &original.name {
            // Equal ones of one run were told apart: the first stands for all.
            Some(_) => DocumentKey::new(&original.json, record, 0),
            None => numbered(&mut self.before, &original.json, record),
        }
    }

    /// Where a record stands, if it does.
    pub fn place(&self, key: &DocumentKey, done: Option<&Done>) -> Option<u64> {
        let here = self.recorded.get(key).copied();
        here.or_else(|| done.and_then(|done| done.of_document(key)).map(|place| place.index))
    }

    /// Takes note of where a resource stands.
    pub fn note(&mut self, key: DocumentKey, index: u64) {
        if let Some(resource) = key.resource() {
            self.recorded.entry(key).or_insert(index);
            self.first.entry(resource).or_insert((key, index));
        }
    }

    /// The record of a resource with the same source and id that says something else.
    pub fn other(&self, key: &DocumentKey, done: Option<&Done>) -> Option<u64> {
        let earlier = done.and_then(|done| done.other_content(key));
        let here = key.resource().and_then(|resource| self.first.get(&resource));
        earlier.or_else(|| here.filter(|(first, _)| first.is_another_of(key)).map(|(_, index)| *index))
    }
}

fn numbered(counts: &mut HashMap<DocumentKey, u64>, json: &[u8], record: &[u8]) -> DocumentKey {
    let occurrence = counts.entry(DocumentKey::new(json, record, 0)).or_insert(0);
    *occurrence += 1;
    DocumentKey::new(json, record, *occurrence - 1)
}

/// The patient of a record, and the trace that it stands in.
pub(super) fn whose(mapped: &MappedRecord) -> String {
    match &mapped.patient {
        Some(PatientIdentity { ins, oid }) => format!("{oid}|{ins}|{}", mapped.secret),
        None => String::new(),
    }
}

/// The record that is signed.
pub(super) fn new_record(mapped: &MappedRecord) -> NewRecord {
    NewRecord { record: mapped.signed(), ..bare_record(mapped) }
}

/// The record by which a document is known: without servers, which no record of the versions before has.
pub(super) fn bare_record(mapped: &MappedRecord) -> NewRecord {
    let patient = mapped.patient.as_ref();
    let patient = patient.map(|p| TagRequest { ins: p.ins.clone(), oid: p.oid.clone(), secret: mapped.secret });
    NewRecord { patient, record: mapped.bare().clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &str, full_url: &str, source: &str) -> DocumentKey {
        let name = named(json.as_bytes(), full_url, source).expect("an event with an id");
        name.key("", 0)
    }

    #[test]
    fn a_resource_is_known_by_its_source_its_id_and_what_it_says() {
        let one = r#"{"resourceType": "AuditEvent", "id": "1", "outcome": "0", "n": [1, {"a": null, "b": "é"}]}"#;
        let same = "{\n\"n\":[1,{\"b\":\"\\u00e9\",\"a\":null}],\n \"id\":\"1\",\"outcome\":\"0\",\"resourceType\":\"AuditEvent\"}";
        let other = r#"{"resourceType": "AuditEvent", "id": "1", "outcome": "8"}"#;
        let url = "https://a.example/fhir/AuditEvent/1";
        assert_eq!(key(one, url, ""), key(same, "https://A.example/fhir/AuditEvent/1/_history/3", "https://b.example"));
        assert_eq!(key(one, url, ""), key(one, "", "https://a.example/fhir/"), "--source says what fullUrl does");
        assert_eq!(key(one, "urn:uuid:1", ""), key(one, "", ""), "no server");
        assert_ne!(key(one, url, ""), key(one, "https://b.example/fhir/AuditEvent/1", ""), "of two hospitals");
        assert_ne!(key(one, "", "https://a.example"), key(one, "", "https://b.example"));
        assert_ne!(key(one, url, ""), key(other, url, ""));
        assert!(
            key(one, url, "").is_another_of(&key(other, url, ""))
                && !key(one, url, "").is_another_of(&key(same, url, ""))
        );
        let of_patient = |patient: &str, part| named(one.as_bytes(), url, "").expect("named").key(patient, part);
        assert!(of_patient("a", 0) != of_patient("b", 0) && of_patient("a", 0) != of_patient("a", 1));
        assert!(!of_patient("a", 0).is_another_of(&of_patient("b", 0)), "the same event");
        assert_eq!(named(br#"{"resourceType": "AuditEvent"}"#, url, ""), None);
    }

    #[test]
    fn equal_documents_without_an_id_are_told_apart() {
        let original = Original::of(b"{}".to_vec(), Neighbours::default(), "", "");
        let mut seen = Seen::default();
        let record = b"record";
        assert_ne!(seen.key_before(&original, record), seen.key_before(&original, record));
    }
}
