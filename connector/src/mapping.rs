//! From an arrival to the records that are to be signed, and to the bytes that wait in the spool. No I/O.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sillage_client::author::{NewRecord, TagRequest, encode};
use sillage_client::clock::now_ms;
use sillage_fhir::import::{MappedRecord, Neighbours, PatientMap, map_among};
use sillage_rules::codes::Code;
use sillage_rules::ident::{Checks, Ins, Source as IdentSource};
use sillage_rules::limits::{BATCH_BYTES_MAX, CALL_ITEMS_MAX, LINE_BYTES_MAX, SALT_BYTES};
use sillage_rules::line::RecordLine;
use sillage_rules::record::{ParsedRecord, check_time};

use crate::arrival::{Arrival, Door, Refusal};
use crate::index::{Keys, NewRow, terms};
use crate::spool::seal::NameKey;

/// Records that one arrival may become: they go in one batch.
const RECORDS_MAX: usize = 1_000;

/// What mapping depends on, beside the arrival.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What is known of patients who are named without an INS.
    pub patients: PatientMap,
    /// Whether the log takes test identities.
    pub test_log: bool,
}

/// An arrival that can be recorded, as far as that can be known without the ledger.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The sort of resource.
    pub what: What,
    /// The resource's bytes as they go on record: as they came where they came as JSON.
    pub original: Vec<u8>,
}

/// The sort of thing that is recorded.
#[derive(Debug, Clone)]
pub enum What {
    /// An event: its records.
    Event(Vec<MappedRecord>),
    /// A Consent, which is compared with what is on record before it is signed; its records as it stands.
    Consent(Vec<MappedRecord>),
    /// A record line.
    Record(Box<NewRecord>),
}

impl Mapped {
    /// The records to sign, of what isn't compared with anything.
    pub fn records(&self) -> Vec<NewRecord> {
        match &self.what {
            What::Event(records) | What::Consent(records) => records.iter().map(new_record).collect(),
            What::Record(record) => vec![record.as_ref().clone()],
        }
    }

    /// The records that were mapped.
    pub fn mapped(&self) -> &[MappedRecord] {
        match &self.what {
            What::Event(records) | What::Consent(records) => records,
            What::Record(_) => &[],
        }
    }

    /// The word of the sort in the index.
    pub const fn kind(&self) -> &'static str {
        match self.what {
            What::Event(_) => "AuditEvent",
            What::Consent(_) => "Consent",
            What::Record(_) => "Record",
        }
    }
}

fn new_record(mapped: &MappedRecord) -> NewRecord {
    let patient = mapped.patient.as_ref();
    let patient = patient.map(|p| TagRequest { ins: p.ins.clone(), oid: p.oid.clone(), secret: mapped.secret });
    NewRecord { patient, record: mapped.signed() }
}

/// Maps an arrival, and checks all that can be checked without the ledger.
///
/// # Errors
/// The element and the reason.
pub fn map(arrival: &Arrival, terms: &Terms) -> Result<Mapped, Refusal> {
    let original = original_of(arrival);
    if arrival.resource.get("kind").is_some() && arrival.resource.get("resourceType").is_none() {
        return record_line(&original, terms);
    }
    let around = Neighbours::default().at(&arrival.base);
    let records = map_among(&original, &terms.patients, &around)?;
    let Some(first) = records.first() else {
        let why = "it says nothing that goes on record: it was exported from a ledger's own trace, and is no access";
        return Err(Refusal { path: String::new(), code: String::new(), reason: why.to_owned() });
    };
    let is_consent = arrival.resource["resourceType"] == "Consent" || first.is_of_consent();
    for mapped in &records {
        check(mapped, terms)?;
    }
    check_size(&records)?;
    let what = if is_consent { What::Consent(records) } else { What::Event(records) };
    Ok(Mapped { what, original })
}

fn check(mapped: &MappedRecord, terms: &Terms) -> Result<(), Refusal> {
    let checks = Checks { test_log: terms.test_log, source: IdentSource::Import };
    if let Some(patient) = &mapped.patient {
        let path = if mapped.is_of_consent() { "Consent.patient" } else { "AuditEvent.entity" };
        let refused = |error: sillage_rules::ident::IdentError| {
            Refusal::coded(path, error.code().as_str(), format!("{}: {error}", error.code()))
        };
        Ins::check(&patient.ins, &patient.oid, checks).map_err(refused)?;
    }
    let mut record = mapped.record.clone();
    record.tag = mapped.patient.iter().flat_map(|_| [0xff; 32]).collect();
    encode(record, 0).map_err(|error| match error {
        sillage_client::ClientError::Rejected(rejection) => {
            Refusal::coded("", rejection.code.as_str(), format!("{}: {}", rejection.code, rejection.message))
        }
        other => Refusal { path: String::new(), code: String::new(), reason: other.to_string() },
    })?;
    check_time(mapped.record.occurred_at_ms, now_ms()).map_err(|error| {
        Refusal::coded(mapped.time_path, error.code.as_str(), format!("{}: {}", error.code, error.message))
    })
}

/// All records of an arrival go in one batch.
fn check_size(records: &[MappedRecord]) -> Result<(), Refusal> {
    use prost::Message as _;
    let bytes: usize = records.iter().map(|mapped| mapped.record.encoded_len() + 64 + SALT_BYTES).sum();
    let items: usize = records.iter().map(|mapped| mapped.record.items.len()).sum();
    if records.len() <= RECORDS_MAX && bytes <= BATCH_BYTES_MAX && items <= CALL_ITEMS_MAX {
        return Ok(());
    }
    let code = Code::RecordTooLarge.as_str();
    let why = format!(
        "{code}: it would become {} records of {bytes} bytes: an event becomes at most {RECORDS_MAX} records of 8 MiB \
         in all; send one event for each group of patients or documents",
        records.len()
    );
    Err(Refusal::coded("AuditEvent.entity", code, why))
}

fn record_line(line: &[u8], terms: &Terms) -> Result<Mapped, Refusal> {
    let refused = |error: sillage_rules::record::RecordError| {
        Refusal::coded(error.path, error.code.as_str(), format!("{}: {}", error.code, error.message))
    };
    if line.len() > LINE_BYTES_MAX {
        return Err(Refusal::coded("", "RECORD_TOO_LARGE", "RECORD_TOO_LARGE: a record line is at most 1 MiB"));
    }
    let mut parsed = RecordLine::parse(line).map_err(refused)?;
    parsed.check_identifiers(Checks { test_log: terms.test_log, source: IdentSource::Direct }).map_err(refused)?;
    // The tag comes later; its length is known, so that everything can be checked now.
    let record = parsed.to_record(parsed.patient.as_ref().map(|_| &[0xff; 32])).map_err(refused)?;
    record.check_from_author().map_err(refused)?;
    check_time(record.occurred_at_ms(), now_ms()).map_err(refused)?;
    let patient = parsed.patient.as_ref().map(|patient| TagRequest {
        ins: patient.ins.clone(),
        oid: patient.oid.clone(),
        secret: parsed.secret,
    });
    let record = NewRecord { patient, record: ParsedRecord::into_message(record) };
    Ok(Mapped { what: What::Record(Box::new(record)), original: line.to_vec() })
}

/// The bytes that go on record: as they came, where they are the JSON of the resource.
fn original_of(arrival: &Arrival) -> Vec<u8> {
    match serde_json::from_slice::<Value>(&arrival.raw) {
        Ok(came) if came == arrival.resource => arrival.raw.clone(),
        _ => serde_json::to_vec(&arrival.resource).expect("JSON has a text"),
    }
}

/// JSON in one spelling: without white space, members in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let one = |name: &&String| format!("{}:{}", Value::from(name.as_str()), canonical(&members[name.as_str()]));
            format!("{{{}}}", names.iter().map(one).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// By what an arrival is known again.
pub fn keys(names: &NameKey, arrival: &Arrival) -> Keys {
    // As it came: the door may have given it an id of its own.
    let body = match serde_json::from_slice::<Value>(&arrival.raw) {
        Ok(came) => canonical(&came),
        Err(_) if arrival.raw.is_empty() => canonical(&arrival.resource),
        Err(_) => hex::encode(&arrival.raw),
    };
    let body_key = names.name(&[b"body", arrival.source.as_bytes(), body.as_bytes()]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = &arrival.resource;
    let (kind, id, version) =
        (text(&resource["resourceType"]), text(&resource["id"]), text(&resource["meta"]["versionId"]));
    // Two sources that name no server don't speak of one.
    let (base, source) = match arrival.base.as_str() {
        "" => ("", arrival.source.as_str()),
        base => (base, ""),
    };
    let named = [b"version".as_slice(), base.as_bytes(), source.as_bytes(), kind.as_bytes(), id.as_bytes()];
    // What it says counts too: a server that gives one version twice, for two contents, loses neither. Without a version, what it
    // says tells one version from another.
    let version_key = (!id.is_empty())
        .then(|| names.name(&[&named[..], &[version.as_bytes(), canonical(resource).as_bytes()]].concat()));
    let named_key =
        (!id.is_empty() && !version.is_empty()).then(|| names.name(&[&named[..], &[version.as_bytes()]].concat()));
    Keys { body: (!arrival.replaces).then_some(body_key), version: version_key, named: named_key }
}

/// The row of an arrival in the index.
pub fn row(names: &NameKey, arrival: &Arrival, mapped: &Mapped, number: crate::arrival::SpoolNumber) -> NewRow {
    let id = arrival.resource["id"].as_str().unwrap_or_default();
    let logical = match mapped.what {
        What::Consent(_) if !id.is_empty() => Some(names.name(&[b"logical", b"Consent", id.as_bytes()])),
        _ => None,
    };
    NewRow {
        number,
        source: arrival.source.clone(),
        door: arrival.door,
        received_ms: arrival.received_ms,
        kind: mapped.kind(),
        logical,
        date_ms: date_ms(&arrival.resource),
        keys: keys(names, arrival),
        terms: terms::terms(names, &arrival.resource, mapped.mapped()),
    }
}

/// When the sender says that it wrote this, ms since 1970.
fn date_ms(resource: &Value) -> Option<u64> {
    let text = match resource["resourceType"].as_str() {
        Some("AuditEvent") => &resource["recorded"],
        Some("Consent") => &resource["dateTime"],
        _ => &resource["occurred_at"],
    };
    let text = text.as_str()?;
    let at: Option<i64> = match text.parse::<jiff::Timestamp>() {
        Ok(at) => Some(at.as_millisecond()),
        // A date alone, or less.
        Err(_) => {
            let full = match text.len() {
                4 => format!("{text}-01-01"),
                7 => format!("{text}-01"),
                _ => text.to_owned(),
            };
            let day: Option<jiff::civil::Date> = full.parse().ok();
            day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|at| at.timestamp().as_millisecond())
        }
    };
    u64::try_from(at?).ok()
}

/// What stands before an arrival's bytes in the spool.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u8,
    door: u8,
    source: String,
    received_ms: u64,
    base: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replaces: bool,
    /// Bytes of the resource; what follows them came otherwise.
    resource_bytes: usize,
    /// Whether the resource's bytes are what came.
    is_raw: bool,
}

/// An arrival as it waits in the spool: `u32 len ‖ head as JSON ‖ resource ‖ bytes as they came, where they differ`.
pub fn to_spool(arrival: &Arrival, original: &[u8]) -> Vec<u8> {
    let is_raw = arrival.raw == original;
    let head = Head {
        version: 1,
        door: arrival.door.code(),
        source: arrival.source.clone(),
        received_ms: arrival.received_ms,
        base: arrival.base.clone(),
        replaces: arrival.replaces,
        resource_bytes: original.len(),
        is_raw,
    };
    let head = serde_json::to_vec(&head).expect("plain data");
    let mut out = u32::try_from(head.len()).expect("a head is small").to_be_bytes().to_vec();
    out.extend(head);
    out.extend(original);
    if !is_raw {
        out.extend(&arrival.raw);
    }
    out
}

/// Reads what waits in the spool.
pub fn from_spool(bytes: &[u8]) -> Option<Arrival> {
    let (len, rest) = bytes.split_at_checked(4)?;
    let (head, rest) = rest.split_at_checked(u32::from_be_bytes(len.try_into().ok()?) as usize)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let (original, raw) = rest.split_at_checked(head.resource_bytes)?;
    Some(Arrival {
        door: Door::from_code(head.door).filter(|_| head.version == 1)?,
        source: head.source,
        received_ms: head.received_ms,
        raw: if head.is_raw { original.to_vec() } else { raw.to_vec() },
        resource: serde_json::from_slice(original).ok()?,
        base: head.base,
        replaces: head.replaces,
    })
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
pub(crate) mod tests;
