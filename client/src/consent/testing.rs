//! Patients for tests: records in log order, folded as a node's are.

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::consent::name::ActorName;
use sillage_rules::consent::{Catalogue, Matrix, Policy};
use sillage_rules::entry::{Entry, RecordEntry};
use sillage_rules::facts::{Finding, Lateness, facts_of, flags_for};
use sillage_rules::kind::Kind;

use super::change::Change;
use super::known::{Known, fold};
use super::who::Acting;

/// 2026-03-02T09:00:00Z.
pub const NOW: u64 = 1_772_442_000_000;
pub const TAG: [u8; 32] = [5; 32];
pub const DR: &str = "urn:oid:1.2.250.1.71.4.2.1|10100534436";
pub const OTHER: &str = "urn:oid:1.2.250.1.71.4.2.1|10000000016";

pub fn tag() -> PatientTag {
    PatientTag::from_slice(&TAG).expect("a tag")
}

pub fn name(text: &str) -> ActorName {
    text.parse().expect("a name")
}

pub fn patient() -> Acting {
    let auth =
        v1::Authentication { issuer: "ens".into(), method: "FranceConnect+".into(), eidas_level: "substantial".into() };
    Acting { auth: Some(auth), ..Acting::new(&ActorName::patient(), "", "", "") }
}

pub fn doctor(text: &str) -> Acting {
    doctor_of(text, "F100")
}

pub fn doctor_of(text: &str, organisation: &str) -> Acting {
    Acting::new(&name(text), "physician", organisation, "")
}

pub fn item(id: &str, category: &str) -> v1::Item {
    v1::Item { id: id.into(), category: category.into(), ..v1::Item::default() }
}

const LATE: Lateness = Lateness { after_ms: 86_400_000, of_every_kind: false };

/// The line of a record as the log has it, one minute after the one before.
pub fn line(index: u64, change: &Change, by: &Acting) -> v1::TraceLine {
    let mut message = change.to_message(by, NOW);
    message.tag = TAG.to_vec();
    let record = sillage_rules::record::ParsedRecord::from_message(message).expect("a record");
    let salt = [9; 16];
    let entry = RecordEntry {
        index: LeafIndex(index),
        time: LedgerTimeMs(NOW + index * 60_000),
        flags: flags_for(change.kind, facts_of(&record), Finding::default(), (NOW, NOW), LATE),
        kind: change.kind,
        tag: TAG,
        record_hash: record.record_hash(&salt),
        position: 0,
    };
    v1::TraceLine {
        index,
        entry: Entry::Record(entry).encode(),
        salt: salt.to_vec(),
        record: record.into_bytes(),
        ..v1::TraceLine::default()
    }
}

/// A deposit by a doctor.
pub fn deposit(items: &[(&str, &str)]) -> Change {
    Change::of_items(Kind::ACCESS_WRITE, items.iter().map(|(id, category)| item(id, category)).collect())
}

pub fn directive(details: serde_json::Value) -> Change {
    Change::with(Kind::CONSENT_DIRECTIVE, details)
}

/// The knowledge after these records, the first of them at index 1.
pub fn known(records: &[(Change, Acting)]) -> Known {
    let records_of = (1..).zip(records).map(|(index, (change, by))| line(index, change, by)).collect();
    let mut answer = v1::RuleRecordsResponse { records: records_of, ..Default::default() };
    Known {
        open: fold(&tag(), &mut answer, 86_400_000).expect("folded"),
        secret: None,
        policy: Policy::default(),
        matrix: Matrix::default(),
        catalogue: Catalogue::default(),
        revoked: Vec::new(),
        as_of_size: records.len() as u64 + 1,
        as_of_ms: NOW + (records.len() as u64 + 1) * 60_000,
    }
}
