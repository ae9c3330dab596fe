//! A log of the wanted size: many patients with few entries each, and some with many.

use super::{Error, TIMEOUTS};
use prost::Message;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::identity::{INS_TEST_OID, Sex, ins};
use sillage_chaos::ens::{Day, Event, Plan};
use sillage_chaos::load::{Link, LoadError, Tally, Writer};
use sillage_client::author::TagRequest;
use sillage_proof::hash::sha256;
use sillage_proto::v1::Record;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Records of a batch.
const BATCH: u64 = 1_000;
/// Clients, each with one batch on its way.
const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// A patient with a real identity and this many entries.
pub struct Heavy {
    /// How many.
    pub entries: u64,
    /// The patient.
    pub identity: TagRequest,
}

/// Invented identities for patients with so many entries.
pub fn heavy(entries: &[u64]) -> Vec<Heavy> {
    let mut dice = Dice::new(11);
    let mut make = |entries: &u64| {
        let ins = ins(&mut dice, Sex::Female, 1980);
        Heavy { entries: *entries, identity: TagRequest { ins, oid: INS_TEST_OID.to_owned(), secret: false } }
    };
    entries.iter().map(&mut make).collect()
}

/// Records to take from, all of them of other patients.
fn templates() -> Result<Vec<Record>, Error> {
    let end_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let day = Day::new(Plan { seed: 5, patients: 500, events: 4_000, end_ms });
    Ok(day.events.into_iter().filter(Event::may_repeat).map(|event| event.record).collect())
}

/// The tag of the invented patient `number`: what resolving costs is no part of this.
pub fn made_up_tag(number: u64) -> [u8; 32] {
    sha256(&[b"sillage-proofs patient", &number.to_be_bytes()]).to_bytes()
}

/// Records `events` events over `patients` patients, each in turn, after those of `heavy`. Returns events a second.
pub async fn feed(link: &Link, heavy: &[Heavy], events: u64, patients: u64) -> Result<f64, Error> {
    let templates = Arc::new(templates()?);
    let tags = link.tags()?;
    let mut owners: Vec<([u8; 32], u64)> = Vec::new();
    for patient in heavy {
        let tag = tags.resolve(std::slice::from_ref(&patient.identity)).await?;
        owners.push((tag[0].to_bytes(), patient.entries));
    }
    let owners = Arc::new(owners);
    let (next, tally, begun) = (Arc::new(AtomicU64::new(0)), Tally::new(), Instant::now());
    let mut sending = JoinSet::new();
    for client in 0..CLIENTS {
        let label = format!("feed.{client}");
        let writer = Writer::open(link.beginning_at(client % 3, TIMEOUTS)?, &label, tally.clone());
        let work = Work { templates: Arc::clone(&templates), owners: Arc::clone(&owners), events, patients };
        sending.spawn(work.run(writer.await?, Arc::clone(&next), tally.clone()));
    }
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

struct Work {
    templates: Arc<Vec<Record>>,
    owners: Arc<Vec<([u8; 32], u64)>>,
    events: u64,
    patients: u64,
}

impl Work {
    async fn run(self, mut writer: Writer, next: Arc<AtomicU64>, tally: Tally) -> Result<(), LoadError> {
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.events {
                return Ok(());
            }
            let records = (first..(first + BATCH).min(self.events)).map(|place| self.record(place)).collect();
            writer.submit(records, PATIENCE).await?;
            // What was acknowledged is in the log; nobody here compares it again.
            tally.take();
        }
    }

    /// The first events are the heavy patients', in turn; the others go round the many.
    fn record(&self, mut place: u64) -> Vec<u8> {
        let mut record = self.templates[usize::try_from(place).unwrap_or(0) % self.templates.len()].clone();
        for (tag, entries) in self.owners.iter() {
            if place < *entries {
                record.tag = tag.to_vec();
                return record.encode_to_vec();
            }
            place -= entries;
        }
        record.tag = made_up_tag(place % self.patients).to_vec();
        record.encode_to_vec()
    }
}
