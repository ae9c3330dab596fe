//! Fuzz targets: what comes over the feeds and over HTTP. None may panic.

use axum::http::{HeaderMap, Method};
use serde_json::Value;
use sillage_fhir::import::PatientMap;

use crate::adt;
use crate::arrival::{Arrival, Door};
use crate::http::format::{self, Format};
use crate::http::keys::KeySet;
use crate::http::scopes::Kind;
use crate::http::token;
use crate::identifiers;
use crate::mapping::{self, Terms};
use crate::rest::request::Request;
use crate::rest::search::params::Query;
use crate::syslog::frame::{Frames, Next};
use crate::syslog::{Settings, audit_event};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("syslog_frames", fuzz_frames),
    ("syslog_message", fuzz_message),
    ("mllp", fuzz_mllp),
    ("hl7", fuzz_hl7),
    ("http_body", fuzz_body),
    ("http_target", fuzz_target),
    ("token", fuzz_token),
];

/// Frames of syslog, in pieces: no byte comes out twice.
pub fn fuzz_frames(data: &[u8]) {
    for resync in [false, true] {
        let mut frames = Frames::new(resync);
        let mut bytes = 0;
        'stream: for piece in data.chunks(13) {
            frames.push(piece);
            loop {
                match frames.next(false) {
                    Next::Message { bytes: message, .. } | Next::Skipped(message) => bytes += message.len(),
                    Next::Wrong { bytes: rest, .. } => {
                        bytes += rest.len();
                        break 'stream;
                    }
                    Next::More => break,
                }
            }
        }
        assert!(bytes <= data.len());
    }
}

/// Messages of syslog.
pub fn fuzz_message(data: &[u8]) {
    if let Ok(event) = audit_event(data, &Settings::default()) {
        assert_eq!(event["resourceType"], "AuditEvent");
    }
    let _read = identifiers::parse(&String::from_utf8_lossy(data));
}

/// Frames of HL7 v2.
pub fn fuzz_mllp(data: &[u8]) {
    let mut frames = adt::mllp::Frames::default();
    for piece in data.chunks(13) {
        frames.push(piece);
        while let Ok(Some(_)) = frames.next() {}
    }
}

/// Messages of HL7 v2.
pub fn fuzz_hl7(data: &[u8]) {
    if let Ok(message) = adt::hl7::Message::parse(data) {
        let _records = adt::records(&message, &adt::Mapping::example(), 1_772_442_000_000);
    }
}

/// Bodies of requests, in both formats: no resource has more values than were counted before it was read, and what can be read can be
/// answered.
pub fn fuzz_body(data: &[u8]) {
    for format in [Format::Json, Format::Xml] {
        let counted = format::values(data, format);
        let Ok(resource) = format::read(data, format) else { continue };
        if format == Format::Json {
            assert!(values(&resource) <= counted, "{counted} values were counted");
        }
        let written = format::write(&resource, Format::Json).expect("JSON has a text");
        assert_eq!(format::read(&written, Format::Json).ok().as_ref(), Some(&resource));
        let _xml = format::write(&resource, Format::Xml);
        for entry in resource["entry"].as_array().into_iter().flatten() {
            let _asked = Request::of_entry(entry, "https://h.example/fhir");
        }
        record(data, resource);
    }
}

fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

/// An arrival that can be mapped waits in the spool, and is read from there as it was.
fn record(raw: &[u8], resource: Value) {
    let (source, base) = ("fuzz".to_owned(), String::new());
    let received_ms = 1_772_442_000_000;
    let arrival = Arrival { door: Door::Rest, source, received_ms, raw: raw.to_vec(), resource, base, replaces: false };
    let terms = Terms { patients: PatientMap::empty(true), test_log: true };
    if let Ok(mapped) = mapping::map(&arrival, &terms) {
        assert!(!mapped.records().is_empty());
        let waiting = mapping::from_spool(&mapping::to_spool(&arrival, &mapped.original)).expect("it was written");
        assert_eq!((waiting.raw, waiting.resource), (arrival.raw, arrival.resource));
    }
}

/// Paths, parameters and forms.
pub fn fuzz_target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, query) = text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
    let Ok(mut request) = Request::of_head(Method::GET, path, query, &HeaderMap::new()) else { return };
    let _form = request.add_form(data);
    for kind in [Kind::AuditEvent, Kind::Consent] {
        for is_strict in [false, true] {
            let _query = Query::parse(kind, &request.parameters, is_strict);
        }
    }
}

/// Tokens, and the keys that they are checked by: nothing is granted to what nobody signed.
pub fn fuzz_token(data: &[u8]) {
    let set = KeySet::parse(data).unwrap_or_default();
    let text = String::from_utf8_lossy(data);
    let _name = token::key_id(&text);
    assert!(token::verify(&text, &set, "https://idp.example", "sillage", 1_772_442_000).is_err());
}
