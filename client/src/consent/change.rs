//! A change to what holds for a patient, from its parts to the record that is signed. Pure; whatever the rules say of the
//! record in itself is checked here, before anything is asked or sent.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sillage_proto::v1;
use sillage_rules::consent::name::ActorName;
use sillage_rules::consent::{Event, Meta, spelling};
use sillage_rules::ident::resource::FROM_LEVEL;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};

use super::who::Acting;
use crate::error::ClientError;

/// The change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The kind of record.
    pub kind: Kind,
    /// The fields of the kind, a JSON object (`docs/consent.md`).
    pub details: Value,
    /// The documents that it is about, where the kind has any.
    pub items: Vec<v1::Item>,
}

impl Change {
    /// A change whose kind has no fields.
    pub fn bare(kind: Kind) -> Self {
        Self { kind, details: Value::Null, items: Vec::new() }
    }

    /// A change with fields.
    pub fn with(kind: Kind, details: Value) -> Self {
        Self { kind, details, items: Vec::new() }
    }

    /// A change about documents.
    pub fn of_items(kind: Kind, items: Vec<v1::Item>) -> Self {
        Self { kind, details: Value::Null, items }
    }

    /// The same for a log of this feature level. Below level 5 a limit holds under the names that it gives alone: so one that keeps a
    /// document from somebody names it as its own server does, too, since whoever asks for it there may leave the server out.
    #[must_use]
    pub fn for_level(mut self, level: u32) -> Self {
        if level < FROM_LEVEL && matches!(self.kind, Kind::ITEM_MASKED | Kind::MINOR_SECRECY_SET) {
            let named: BTreeSet<&str> = self.items.iter().map(|item| item.id.as_str()).collect();
            let relative: BTreeSet<&str> = named.iter().filter_map(|id| on_its_server(id)).collect();
            let more: Vec<String> = relative.difference(&named).map(|id| (*id).to_owned()).collect();
            self.items.extend(more.into_iter().map(|id| v1::Item { id, ..v1::Item::default() }));
        }
        self
    }

    /// A change about one professional.
    pub fn of_professional(kind: Kind, professional: &ActorName) -> Self {
        Self::with(kind, json!({"professional": professional}))
    }

    /// The record, without its patient's tag.
    pub fn to_message(&self, acting: &Acting, at_ms: u64) -> v1::Record {
        let details = match &self.details {
            Value::Null => String::new(),
            details => details.to_string(),
        };
        v1::Record {
            actor: Some(acting.actor.clone()),
            auth: acting.auth.clone(),
            items: self.items.clone(),
            details,
            ..new_message(self.kind, None, at_ms)
        }
    }

    /// The record under `tag`, with what it means for decisions. `tag` is any tag while the patient isn't resolved yet;
    /// none where the kind concerns none.
    ///
    /// # Errors
    /// `MALFORMED_RECORD` and its kin, with the path of what can't be understood.
    pub fn check(
        &self,
        acting: &Acting,
        at_ms: u64,
        tag: Option<&[u8; 32]>,
    ) -> Result<(ParsedRecord, Event), ClientError> {
        let refused = |error: sillage_rules::record::RecordError| ClientError::rejected(error.code, error.to_string());
        let mut message = self.to_message(acting, at_ms);
        spelling::spell_record(&mut message).map_err(refused)?;
        message.tag = tag.map(|tag| tag.to_vec()).unwrap_or_default();
        let record = ParsedRecord::from_message(message).map_err(refused)?;
        let event = Event::of(&record).map_err(refused)?;
        let event = event.ok_or_else(|| ClientError::Usage(format!("{} decides nothing", self.kind)))?;
        Ok((record, event))
    }
}

/// The ledger's knowledge of a record beside what it says, were it recorded next.
///
/// # Errors
/// When the record names no signer.
pub fn meta(record: &ParsedRecord, as_of: (u64, u64), authority: bool, patient_key: bool) -> Result<Meta, ClientError> {
    let (index, time_ms) = as_of;
    Meta::of(record, index.into(), time_ms.into(), authority, patient_key)
        .map_err(|error| ClientError::rejected(error.code, error.to_string()))
}

/// A JSON object of the fields that are there.
#[derive(Debug, Clone, Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl serde::Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a plain value has string keys only");
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Adds a field that may be absent.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl serde::Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a list, unless it is empty: an empty list would mean all or nothing, and people differ on which.
    #[must_use]
    pub fn list(self, name: &str, values: &[impl serde::Serialize]) -> Self {
        match values.is_empty() {
            true => self,
            false => self.with(name, values),
        }
    }

    /// The object.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// An id that nothing else has: `prefix` and 16 hexadecimal digits.
///
/// # Errors
/// When the machine has no randomness to give.
pub fn new_id(prefix: &str) -> Result<String, ClientError> {
    let random = getrandom::u64().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    Ok(format!("{prefix}-{random:016x}"))
}

/// The name of a resource of FHIR on its own server: `DocumentReference/d1` of `https://h.example/fhir/DocumentReference/d1`. None of
/// any other name.
fn on_its_server(id: &str) -> Option<&str> {
    let (base, last) = id.rsplit_once('/')?;
    let (base, kind) = base.rsplit_once('/')?;
    let is_type = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic());
    let is_id = !last.is_empty() && last.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    (base.contains("://") && is_type && is_id).then(|| &id[base.len() + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: [u8; 32] = [5; 32];

    fn patient() -> Acting {
        Acting::new(&ActorName::patient(), "", "", "")
    }

    #[test]
    fn what_the_rules_cannot_read_is_refused_before_it_is_sent() {
        let fields = Fields::default().with("id", "c1").with("effect", "permit").list("actions", &["peek"]);
        let change = Change::with(Kind::CONSENT_DIRECTIVE, fields.into_value());
        let error = change.check(&patient(), 1_000, Some(&TAG)).expect_err("no such action");
        assert!(error.to_string().contains("details.actions"), "{error}");
        assert_eq!(error.exit_code(), 4);
        let nothing = Change::of_items(Kind::ITEM_MASKED, Vec::new());
        assert!(nothing.check(&patient(), 1_000, Some(&TAG)).is_err(), "masks nothing");
    }

    #[test]
    fn below_level_5_a_mask_names_a_document_as_its_server_does_too() {
        let item = |id: &str| v1::Item { id: id.to_owned(), ..v1::Item::default() };
        let ids = |kind, named: &[&str]| -> Vec<String> {
            let change = Change::of_items(kind, named.iter().map(|id| item(id)).collect()).for_level(4);
            change.items.into_iter().map(|item| item.id).collect()
        };
        let url = "https://h.example/fhir/DocumentReference/d1";
        assert_eq!(ids(Kind::ITEM_MASKED, &[url]), [url, "DocumentReference/d1"]);
        assert_eq!(ids(Kind::MINOR_SECRECY_SET, &[url, "DocumentReference/d1"]), [url, "DocumentReference/d1"]);
        assert_eq!(Change::of_items(Kind::ITEM_MASKED, vec![item(url)]).for_level(5).items, [item(url)]);
        // What gives access back names what it names, and other names are of no server.
        assert_eq!(ids(Kind::ITEM_UNMASKED, &[url]), [url]);
        for other in ["d1", "DocumentReference/d1", "https://h.example/docs/d1", "urn:oid:1.2.3", "https://h/X/d?1"] {
            assert_eq!(ids(Kind::ITEM_MASKED, &[other]), [other]);
        }
    }

    #[test]
    fn each_kind_without_fields_is_a_record() {
        for kind in [Kind::SPACE_OPENED, Kind::SPACE_OPPOSED, Kind::SPACE_CLOSED] {
            let (record, _) = Change::bare(kind).check(&patient(), 1_000, Some(&TAG)).expect("a record");
            assert_eq!((record.kind(), record.tag()), (kind, Some(&TAG)));
            assert_eq!(record.message().details, "");
        }
    }

    #[test]
    fn absent_fields_stay_absent() {
        let none: Option<&str> = None;
        let empty: [&str; 0] = [];
        let fields = Fields::default().maybe("until", none).list("items", &empty).maybe("id", Some("x"));
        assert_eq!(fields.into_value(), json!({"id": "x"}));
        assert_ne!(new_id("c").expect("random"), new_id("c").expect("random"));
    }
}
