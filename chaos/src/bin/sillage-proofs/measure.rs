//! Proofs as any client asks for them, and as any verifier checks them.

use super::feed::Heavy;
use super::{Args, Error, TIMEOUTS};
use serde::Serialize;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::stats::percentile;
use sillage_chaos::process::Cluster;
use sillage_client::bundle::{Wanted, fetch};
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::hash::{Hash, LeafIndex, TreeSize};
use sillage_proof::merkle::verify_inclusion;
use sillage_proof::policy::Policy;
use sillage_proof::tag::WhichTag;
use sillage_proto::v1::{PatientIdentity, ProveInclusionRequest, ProvePatientRequest};
use sillage_rules::bundle::{Bundle, Options};
use std::path::Path;
use std::time::{Duration, Instant};

/// Calls of which the median is given.
const CALLS: usize = 200;
/// Verifications of a bundle of which the median is given.
const VERIFICATIONS: usize = 9;

/// One kind of proof.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// The thing that is proven.
    pub what: String,
    /// Its size.
    pub bytes: usize,
    /// From the question to the whole answer, over mutual TLS on this machine.
    pub make_ms: f64,
    /// The verifier's part, on one core.
    pub verify_ms: f64,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Entries of the log: records, batch headers, index commits.
    pub log_entries: u64,
    /// The proofs.
    pub proofs: Vec<Cost>,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    ms(percentile(&times, 0.5))
}

/// Measures all kinds of proof.
pub async fn measure(cluster: &Cluster, heavy: &[Heavy], args: &Args) -> Result<Measured, Error> {
    let session = Session::open(Profile::load(&cluster.profile())?, TIMEOUTS).await?;
    let policy = std::fs::read(cluster.dir().join("policy.txt"))?;
    if let Some(keep) = &args.keep {
        std::fs::create_dir_all(keep)?;
        std::fs::write(keep.join("policy.txt"), &policy)?;
    }
    let policy = Policy::parse(&policy)?;
    let deadline = Instant::now() + Duration::from_secs(600);
    let checkpoint = sillage_client::checks::checkpoint(&session).await?.checkpoint;
    let mut proofs = vec![inclusion(&session, checkpoint.size, &checkpoint.root).await?];
    for patient in heavy {
        let what = format!("bundle of {} entries", patient.entries);
        proofs.push(bundle(&session, &wanted(patient, None), &policy, deadline, what, args.keep.as_deref()).await?);
    }
    if let Some(last) = heavy.last() {
        let page = Some((last.entries / 2, last.entries / 2 + 50));
        let what = format!("page of 50 of {}", last.entries);
        proofs.push(bundle(&session, &wanted(last, page), &policy, deadline, what, args.keep.as_deref()).await?);
    }
    let nobody = &super::feed::heavy(&[0; 6])[5];
    let what = "absence".to_owned();
    proofs.push(bundle(&session, &wanted(nobody, None), &policy, deadline, what, args.keep.as_deref()).await?);
    proofs.push(index_place(&session, args.patients).await?);
    Ok(Measured { log_entries: checkpoint.size.get(), proofs })
}

fn wanted(patient: &Heavy, page: Option<(u64, u64)>) -> Wanted {
    let identity = PatientIdentity { ins: patient.identity.ins.clone(), oid: patient.identity.oid.clone() };
    Wanted {
        identity,
        which_tag: WhichTag::Open,
        from: page.map_or(0, |(from, _)| from),
        to: page.map(|(_, to)| to),
        since: None,
    }
}

/// That one entry is in the log, of entries all over it.
async fn inclusion(session: &Session, size: TreeSize, root: &Hash) -> Result<Cost, Error> {
    let mut dice = Dice::new(3);
    let (mut making, mut verifying, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..CALLS {
        let index = dice.between(0, size.get() - 1);
        let request = ProveInclusionRequest { index, size: size.get() };
        let begun = Instant::now();
        let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?;
        making.push(begun.elapsed());
        let path = answer.path.iter().map(|hash| Hash::from_slice(hash)).collect::<Result<Vec<_>, _>>()?;
        let leaf = Hash::from_slice(&answer.leaf_hash)?;
        bytes = bytes.max(path.len() * Hash::LEN);
        let begun = Instant::now();
        verify_inclusion(&leaf, LeafIndex(index), size, &path, root)?;
        verifying.push(begun.elapsed());
    }
    let what = "inclusion of one entry (path alone)".to_owned();
    Ok(Cost { what, bytes, make_ms: median(making), verify_ms: median(verifying) })
}

async fn bundle(
    session: &Session,
    wanted: &Wanted,
    policy: &Policy,
    deadline: Instant,
    what: String,
    keep: Option<&Path>,
) -> Result<Cost, Error> {
    let begun = Instant::now();
    let (made, _) = fetch(session, wanted, Some(policy), deadline).await?;
    let make = begun.elapsed();
    let bytes = made.encode();
    let mut verifying = Vec::new();
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        Bundle::parse(&bytes)?.verify(policy, &Options::default())?;
        verifying.push(begun.elapsed());
    }
    if let Some(keep) = keep {
        std::fs::write(keep.join(format!("{}.sillage-trace", what.replace(' ', "-"))), &bytes)?;
    }
    let verify_ms = median(verifying);
    // Fetching verified once as well.
    Ok(Cost { what, bytes: bytes.len(), make_ms: (ms(make) - verify_ms).max(0.0), verify_ms })
}

/// A patient's place in the index: bucket and path, without entries.
async fn index_place(session: &Session, patients: u64) -> Result<Cost, Error> {
    let mut dice = Dice::new(4);
    let (mut making, mut bytes) = (Vec::new(), 0);
    for _ in 0..CALLS {
        let tag = super::feed::made_up_tag(dice.between(0, patients - 1)).to_vec();
        let begun = Instant::now();
        let answer = session
            .client
            .call(|mut rpc| {
                let request = ProvePatientRequest { tag: tag.clone() };
                async move { rpc.prove_patient(request).await }
            })
            .await?;
        making.push(begun.elapsed());
        bytes = bytes.max(answer.bucket.len() + answer.path.len() * Hash::LEN);
    }
    let what = "place in the patient index (bucket and path)".to_owned();
    Ok(Cost { what, bytes, make_ms: median(making), verify_ms: 0.0 })
}
