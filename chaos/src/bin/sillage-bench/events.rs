//! The events that are sent: real shapes, patients drawn by Zipf's law.

use super::Error;
use prost::Message;
use sillage_chaos::ens::dice::{Dice, Zipf};
use sillage_chaos::ens::{Day, Event, Plan};
use sillage_proof::hash::sha256;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Encoded records, to be taken in order from any place on.
pub type Pool = Arc<[Vec<u8>]>;

/// Records in the pool.
const RECORDS: usize = 60_000;
/// The exponent of Zipf's law: the busiest of 100,000 patients has one event in twelve.
const EXPONENT: f64 = 1.0;

/// The pool for this many patients. Their tags are made here, as a service that has resolved them before has them at
/// hand; what resolving costs is no part of recording.
pub fn pool(patients: usize) -> Result<Pool, Error> {
    let end_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let day = Day::new(Plan { seed: 5, patients: 2_000, events: 20_000, end_ms });
    let (law, mut dice) = (Zipf::new(patients, EXPONENT), Dice::new(5));
    let shapes: Vec<&Event> = day.events.iter().filter(|event| event.may_repeat()).collect();
    let record = |place: usize| {
        let mut record = shapes[place % shapes.len()].record.clone();
        let patient = law.draw(&mut dice) as u64;
        record.tag = sha256(&[b"sillage-bench patient", &patient.to_be_bytes()]).to_bytes().to_vec();
        // A document is one patient's: the same id for another one would be a stranger's writing.
        record.items.iter_mut().for_each(|item| item.id = format!("{}.{patient}", item.id));
        record.encode_to_vec()
    };
    Ok((0..RECORDS).map(record).collect())
}
