//! An access that is too large for one record becomes several: the larger an access, the more must be left of it.
//!
//! The items are dealt out, in their order, and with each part goes the original with the entities of its own items alone, so
//! that all parts together hold the whole of it. Where even that doesn't fit, the records have the items, and of the
//! original its hash. `details.part` ties them together, `details.original` says in words what was kept.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sillage_proof::hash::sha256;
use sillage_proto::v1;
use sillage_rules::limits::{DETAILS_BYTES_MAX, ITEMS_MAX, RECORD_BYTES_MAX};

use super::super::FhirError;
use super::super::read::without_what_does_not_fit;

/// Room for the tag, and for what is said of a part.
const RESERVED_BYTES: usize = 1_024;
/// The bytes that protobuf adds to an item, and JSON to an entity.
const FRAMING_BYTES: usize = 16;

/// The items of a record to be, each with the place of its entity in the original.
pub(super) type Placed = Vec<(usize, v1::Item)>;

/// The records of one access; `whole` has everything but the items, and the original of it. Usually one.
///
/// # Errors
/// [`FhirError`] when the original can't be read part by part.
pub(super) fn records(whole: v1::Record, items: Placed) -> Result<Vec<v1::Record>, FhirError> {
    let one = v1::Record { items: items.iter().map(|(_, item)| item.clone()).collect(), ..whole.clone() };
    if fits(&one) {
        return Ok(vec![one]);
    }
    let mut bare = whole;
    let original = bare.original.take();
    let document = original.as_ref().map(|original| original.content.as_slice()).unwrap_or_default();
    let left_out = shorten(&mut bare);
    let room = RECORD_BYTES_MAX.saturating_sub(RESERVED_BYTES + bare.encoded_len());
    let cut = Cut::of(document, &items)?;
    let (parts, is_kept) = match cut.dealt(&items, room) {
        Some(parts) => (parts, true),
        None => (dealt(&items, room, |_| 0), false),
    };
    let count = parts.len();
    let hash = sha256(&[document]);
    let said_of_original = json!({
        "bytes": document.len(),
        "sha256": hash.to_string(),
        "kept": if is_kept { "in parts" } else { "its hash alone" },
    });
    let name: String = hash.to_string().chars().take(32).collect();
    let one = |(n, places): (usize, Vec<usize>)| {
        let mut record = bare.clone();
        record.items = places.iter().map(|at| items[*at].1.clone()).collect();
        let mut more = vec![("original", said_of_original.clone())];
        if count > 1 {
            more.push(("part", json!({"of": name, "n": n + 1, "parts": count, "items": items.len()})));
        }
        if left_out > 0 {
            more.push(("agents_left_out", json!(left_out)));
        }
        record.details = with(&record.details, more);
        if is_kept {
            let entities = places.iter().map(|at| items[*at].0).collect();
            let content = cut.with_entities(&entities)?;
            record.original = original.as_ref().map(|whole| v1::Original { content, ..whole.clone() });
        }
        Ok(record)
    };
    parts.into_iter().enumerate().map(one).collect()
}

/// The records of an access of our own export, whose document stays in the log that it is from: the items alone are dealt out.
/// `name`: of the access, where it has none.
pub(super) fn of_own(whole: v1::Record, name: &str) -> Vec<v1::Record> {
    let whole = without_what_does_not_fit(whole);
    if fits(&whole) {
        return vec![whole];
    }
    let mut bare = whole;
    bare.original = None;
    let items: Placed = std::mem::take(&mut bare.items).into_iter().map(|item| (0, item)).collect();
    let room = RECORD_BYTES_MAX.saturating_sub(RESERVED_BYTES + bare.encoded_len());
    let parts = dealt(&items, room, |_| 0);
    let (count, all) = (parts.len(), items.len());
    let details: Value = serde_json::from_str(&bare.details).unwrap_or_default();
    let named: String = details["original"]["sha256"].as_str().unwrap_or(name).chars().take(32).collect();
    let one = |(n, places): (usize, Vec<usize>)| {
        let part = json!({"of": named, "n": n + 1, "parts": count, "items": all});
        let details = with(&bare.details, vec![("part", part)]);
        let items = places.iter().map(|at| items[*at].1.clone()).collect();
        v1::Record { items, details, ..bare.clone() }
    };
    parts.into_iter().enumerate().map(one).collect()
}

fn fits(record: &v1::Record) -> bool {
    record.items.len() <= ITEMS_MAX && record.encoded_len() + 64 <= RECORD_BYTES_MAX
}

/// Takes off participants where they alone fill a record; how many.
fn shorten(record: &mut v1::Record) -> usize {
    let all = record.agents.len();
    while record.encoded_len() > RECORD_BYTES_MAX / 2 && record.agents.pop().is_some() {}
    all - record.agents.len()
}

/// The details with more members; without the queries, where they fill them.
fn with(details: &str, more: Vec<(&str, Value)>) -> String {
    let mut out: Value = serde_json::from_str(details).unwrap_or_else(|_| json!({}));
    more.into_iter().for_each(|(name, value)| out[name] = value);
    if out.to_string().len() > DETAILS_BYTES_MAX
        && let Some(members) = out.as_object_mut()
    {
        members.remove("queries");
    }
    out.to_string()
}

/// Deals items out in their order: places in the list, for each part. `beside`: bytes that go with one of them.
fn dealt(items: &Placed, room: usize, beside: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let (mut parts, mut used) = (vec![Vec::new()], 0);
    for (place, (entity, item)) in items.iter().enumerate() {
        let cost = item.encoded_len() + FRAMING_BYTES + beside(*entity);
        let last = parts.last_mut().expect("there is one from the beginning");
        if !last.is_empty() && (used + cost > room || last.len() == ITEMS_MAX) {
            parts.push(vec![place]);
            used = cost;
        } else {
            last.push(place);
            used += cost;
        }
    }
    parts
}

/// An original, by its parts as received.
struct Cut<'a> {
    parts: BTreeMap<&'a str, &'a RawValue>,
    entities: Vec<&'a RawValue>,
    /// The places of those that are items.
    items: BTreeSet<usize>,
}

impl<'a> Cut<'a> {
    fn of(document: &'a [u8], items: &Placed) -> Result<Self, FhirError> {
        let wrong = |error: serde_json::Error| FhirError::new("", error.to_string());
        let mut parts: BTreeMap<&str, &RawValue> = serde_json::from_slice(document).map_err(wrong)?;
        let entities = parts.remove("entity").map(|raw| serde_json::from_str(raw.get())).transpose();
        let items = items.iter().map(|(entity, _)| *entity).collect();
        Ok(Self { parts, entities: entities.map_err(wrong)?.unwrap_or_default(), items })
    }

    /// The items dealt out with their entities; none where these don't fit.
    fn dealt(&self, items: &Placed, room: usize) -> Option<Vec<Vec<usize>>> {
        let others = (0..self.entities.len()).filter(|at| !self.items.contains(at));
        let others = others.map(|at| self.bytes_of(at)).sum::<usize>();
        let frame = self.parts.iter().map(|(name, raw)| name.len() + raw.get().len() + FRAMING_BYTES).sum::<usize>();
        let room = room.checked_sub(frame + others + FRAMING_BYTES)?;
        let too_large =
            |(entity, item): &(usize, v1::Item)| item.encoded_len() + FRAMING_BYTES + self.bytes_of(*entity) > room;
        // The frame is in every part: where it fills half of each, its hash says as much.
        let is_worth_it = !items.is_empty() && room > RECORD_BYTES_MAX / 2 && !items.iter().any(too_large);
        is_worth_it.then(|| dealt(items, room, |entity| self.bytes_of(entity)))
    }

    fn bytes_of(&self, entity: usize) -> usize {
        self.entities.get(entity).map_or(0, |raw| raw.get().len() + FRAMING_BYTES)
    }

    /// The document with these entities and those that are no item.
    fn with_entities(&self, kept: &BTreeSet<usize>) -> Result<Vec<u8>, FhirError> {
        let wrong = |error: serde_json::Error| FhirError::new("", error.to_string());
        let is_here = |at: &usize| !self.items.contains(at) || kept.contains(at);
        let entities: Vec<&RawValue> =
            self.entities.iter().enumerate().filter(|(at, _)| is_here(at)).map(|(_, raw)| *raw).collect();
        let entities = serde_json::value::to_raw_value(&entities).map_err(wrong)?;
        let mut parts = self.parts.clone();
        parts.insert("entity", &entities);
        serde_json::to_vec(&parts).map_err(wrong)
    }
}
