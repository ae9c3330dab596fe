//! Patients with directives on file.

use super::{Error, TIMEOUTS};
use sillage_chaos::consent::acts::{Tag, doctor, grant, request};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::identity::{INS_TEST_OID, Sex, ins};
use sillage_chaos::load::{Link, Tally, Writer};
use sillage_proto::v1::{DecisionRequest, PatientIdentity, TagPairing};
use std::time::Duration;

/// Directives of one batch.
const BATCH: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// A patient with both tags, as a service knows them.
#[derive(Clone, Debug)]
pub struct Patient {
    open: Tag,
    secret: Tag,
    pairing: TagPairing,
}

impl Patient {
    /// What doctor 0 asks, as a client sends it: with both tags, and their proof.
    pub fn request(&self, nonce: [u8; 16]) -> (DecisionRequest, TagPairing) {
        let asked = request(&self.open, &doctor(0), &["report-1"], nonce);
        (DecisionRequest { secret_tag: self.secret.to_vec(), ..asked }, self.pairing.clone())
    }
}

/// Invented patients, resolved beforehand: what that costs is no part of deciding.
pub async fn patients(link: &Link, seed: u64, count: usize) -> Result<Vec<Patient>, Error> {
    let mut dice = Dice::new(seed);
    let mut identity = || PatientIdentity { ins: ins(&mut dice, Sex::Female, 1980), oid: INS_TEST_OID.to_owned() };
    let identities: Vec<PatientIdentity> = (0..count).map(|_| identity()).collect();
    let resolved = link.tags()?.proven(&identities).await?.into_iter();
    let patient = |resolved: sillage_client::author::Resolved| {
        let ((open, secret), pairing) = (resolved.tags, resolved.pairing?);
        Some(Patient { open: open.to_bytes(), secret: secret?.to_bytes(), pairing })
    };
    let patients: Option<Vec<Patient>> = resolved.map(patient).collect();
    patients.ok_or_else(|| "the ledger gives this profile no second tags: it needs the role author".into())
}

/// Each patient lets `count` doctors read, one directive each; doctor 0 is the one who asks.
pub async fn fill(link: &Link, patients: &[Patient], count: usize, label: &str) -> Result<(), Error> {
    let mut writer = Writer::open(link.beginning_at(0, TIMEOUTS)?, label, Tally::new()).await?;
    let tags = patients.iter().map(|patient| &patient.open);
    let all = tags.flat_map(|tag| (0..count).map(move |n| grant(tag, &format!("c{n}"), &doctor(n))));
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
