//! Patients with directives on file.

use super::{Error, TIMEOUTS};
use sillage_chaos::consent::acts::{doctor, grant, proven};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::identity::{INS_TEST_OID, Sex, ins};
use sillage_chaos::load::asker::TwoTags;
use sillage_chaos::load::{Link, Tally, Writer};
use sillage_proto::v1::PatientIdentity;
use std::collections::BTreeSet;
use std::time::Duration;

/// Directives of one batch.
const BATCH: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Invented patients, resolved beforehand: what that costs is no part of deciding.
pub async fn patients(link: &Link, seed: u64, count: usize) -> Result<Vec<TwoTags>, Error> {
    let mut dice = Dice::new(seed);
    // Each year makes identities of its own; within one, none comes twice.
    let mut known = BTreeSet::new();
    while known.len() < count {
        known.insert(ins(&mut dice, Sex::Female, 1930 + seed));
    }
    let identity = |ins| PatientIdentity { ins, oid: INS_TEST_OID.to_owned() };
    let identities: Vec<PatientIdentity> = known.into_iter().map(identity).collect();
    Ok(TwoTags::resolve(link, &identities).await?)
}

/// Each patient lets `count` doctors read, one directive each; doctor 0 is the one who asks.
pub async fn fill(link: &Link, patients: &[TwoTags], count: usize, label: &str) -> Result<(), Error> {
    let mut writer = Writer::open(link.beginning_at(0, TIMEOUTS)?, label, Tally::new()).await?;
    let logins = link.logins.as_deref();
    let all = patients.iter().flat_map(|patient| {
        let granted = move |n| grant(&patient.open, &format!("c{n}"), &doctor(n));
        (0..count).map(move |n| proven(logins, patient, granted(n)))
    });
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
