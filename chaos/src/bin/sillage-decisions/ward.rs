//! Patients with directives on file.

use super::{Error, TIMEOUTS};
use sillage_chaos::consent::acts::{Tag, doctor, grant};
use sillage_chaos::load::{Link, Tally, Writer};
use sillage_proof::hash::sha256;
use std::time::Duration;

/// Directives of one batch.
const BATCH: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Made-up tags: what resolving costs is no part of deciding.
pub fn patients(from: u64, count: usize) -> Vec<Tag> {
    (from..).take(count).map(|n| sha256(&[b"sillage-decisions patient", &n.to_be_bytes()]).to_bytes()).collect()
}

/// Each patient lets `count` doctors read, one directive each; doctor 0 is the one who asks.
pub async fn fill(link: &Link, patients: &[Tag], count: usize, label: &str) -> Result<(), Error> {
    let mut writer = Writer::open(link.beginning_at(0, TIMEOUTS)?, label, Tally::new()).await?;
    let all = patients.iter().flat_map(|tag| (0..count).map(move |n| grant(tag, &format!("c{n}"), &doctor(n))));
    let mut batch = Vec::with_capacity(BATCH);
    for record in all {
        batch.push(record);
        if batch.len() == BATCH {
            writer.submit(std::mem::take(&mut batch), PATIENCE).await?;
        }
    }
    if !batch.is_empty() {
        writer.submit(batch, PATIENCE).await?;
    }
    Ok(())
}
