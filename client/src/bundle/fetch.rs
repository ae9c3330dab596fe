//! A patient bundle from the ledger.

use std::time::{Duration, Instant};

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::policy::Policy;
use sillage_proof::tag::{PatientTag, WhichTag};
use sillage_proto::v1;
use sillage_rules::bundle::{
    Bundle, BundleError, BundleIdentity, EntryProblem, IncludedEntry, Options, Problem, Range, Report, Since, continues,
};
use sillage_rules::entry::{Entry, IndexCommit, LedgerEvent};
use sillage_rules::kind::Kind;

use super::assemble::{Entries, bucket};
use crate::checks::{VerifiedCheckpoint, checkpoint_covering, checkpoint_for, failed, hashes, policies_of};
use crate::error::ClientError;
use crate::session::Session;
use crate::trust::rotation::size_of;

/// Entries of one request.
const PAGE_MAX: u64 = 500;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The part that is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The patient: INS with its key, and its OID.
    pub identity: v1::PatientIdentity,
    /// Which of the two traces.
    pub which_tag: WhichTag,
    /// Entries from here, counted from 0 among the patient's own.
    pub from: u64,
    /// Up to here (exclusive); none: to the end.
    pub to: Option<u64>,
    /// Only what came after this bundle, verified before.
    pub since: Option<Report>,
}

/// Fetches a bundle that satisfies `policy` (none: the log's own keys in force) and verifies; tries until `deadline`.
///
/// # Errors
/// When the ledger refuses, no checkpoint satisfies the policy in time, or what the ledger gives doesn't verify
/// ([`ClientError::Check`]).
pub async fn fetch(
    session: &Session,
    wanted: &Wanted,
    policy: Option<&Policy>,
    deadline: Instant,
) -> Result<(Bundle, Report), ClientError> {
    let identity = resolve(session, wanted).await?;
    fetch_of(session, wanted, &identity, policy, deadline).await
}

/// The same where the caller has the patient's tag and its proof already: a portal, which may not resolve one.
///
/// # Errors
/// As for [`fetch`].
pub async fn fetch_of(
    session: &Session,
    wanted: &Wanted,
    identity: &BundleIdentity,
    policy: Option<&Policy>,
    deadline: Instant,
) -> Result<(Bundle, Report), ClientError> {
    // What is on record now is to be in the file: it comes under an index commit within about a second. Asking for the proof is
    // a reading, and stands in the trace each time: the checkpoint is waited for instead, which is nobody's.
    let newest = newest_entry(session, &identity.tag).await?;
    let mut size = newest.map_or(0, |newest| newest.get().saturating_add(1));
    loop {
        let covering = checkpoint_covering(session, size, policy, deadline).await?;
        size = covering.checkpoint.size.get();
        let proof = prove(session, &identity.tag).await?;
        let commit = commit_of(&proof)?;
        if newest.is_some_and(|newest| newest >= commit.index) && Instant::now() + PAUSE <= deadline {
            // The node that answered lags behind the one whose checkpoint it was.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let bundle = attempt(session, wanted, identity, (&proof, &commit, covering), policy, deadline).await?;
        let verdict = verify_for(session, policy, &bundle);
        let again = match verdict {
            Ok(report) => {
                if let Some(older) = &wanted.since {
                    let wrong =
                        |error| failed(&format!("the bundle does not continue the older one: {error}; keep both"));
                    continues(older, &report).map_err(wrong)?;
                }
                return Ok((bundle, report));
            }
            // An erasure takes the record at once, and shows under the next index commit: of a larger checkpoint.
            Err(error) if is_withheld(&error) => error,
            Err(error) => return Err(failed(&format!("what the ledger gives does not verify: {error}"))),
        };
        if Instant::now() + PAUSE > deadline {
            return Err(failed(&format!("what the ledger gives does not verify: {again}")));
        }
        size = size.saturating_add(1);
    }
}

/// Verifies a bundle under the caller's policy, or else under the keys and nodes in force for its checkpoint: in a joint step
/// of the set of nodes, under both sets.
///
/// # Errors
/// As for [`Bundle::verify`].
pub fn verify_for(session: &Session, policy: Option<&Policy>, bundle: &Bundle) -> Result<Report, BundleError> {
    let size = size_of(&bundle.note.to_string()).unwrap_or(0);
    let policies = policy.map_or_else(|| policies_of(&session.keys.at(size)), |policy| vec![policy.clone()]);
    let (first, others) = policies.split_first().expect("a set of nodes has voters");
    for other in others {
        bundle.verify(other, &Options::default())?;
    }
    bundle.verify(first, &Options::default())
}

fn is_withheld(error: &BundleError) -> bool {
    let BundleError::Section { problem: Problem::Line { problem, .. }, .. } = error else {
        return false;
    };
    *problem == EntryProblem::Withheld
}

async fn attempt(
    session: &Session,
    wanted: &Wanted,
    identity: &BundleIdentity,
    (proof, commit, covering): (&v1::ProvePatientResponse, &IndexCommit, VerifiedCheckpoint),
    policy: Option<&Policy>,
    deadline: Instant,
) -> Result<Bundle, ClientError> {
    let tag = identity.tag.to_bytes().to_vec();
    let (n, a) = (proof.count, wanted.since.as_ref().map_or(wanted.from, |older| older.n));
    let b = wanted.to.unwrap_or(n);
    if a > b || b > n || (a == b && wanted.to.is_some()) {
        return Err(out_of_range(n, wanted));
    }
    let mut entries = Entries::default();
    let range = match n {
        0 => Range::empty(),
        n => {
            fetch_entries(session, &tag, (a, b, n), &mut entries).await?;
            entries.range(n, a)?
        }
    };
    let size_min = commit.index.get().saturating_add(1);
    let is_enough =
        covering.checkpoint.size.get() >= size_min && policy.is_none_or(|policy| policy.verify(&covering.note).is_ok());
    let checkpoint = match is_enough {
        true => covering,
        false => checkpoint_for(session, size_min, policy, deadline).await?,
    };
    let size = checkpoint.checkpoint.size.get();
    let since = match &wanted.since {
        None => None,
        Some(older) => Some(Since {
            size: older.size.get(),
            root: older.root,
            a,
            path: consistency(session, older.size.get(), size).await?,
        }),
    };
    Ok(Bundle {
        note: checkpoint.note,
        genesis: IncludedEntry { entry: genesis_entry(session)?, path: inclusion(session, 0, size).await? },
        index_commit: IncludedEntry {
            path: inclusion(session, commit.index.get(), size).await?,
            entry: proof.index_commit.clone(),
        },
        identity: identity.clone(),
        bucket: bucket(proof)?,
        range,
        authors: entries.authors,
        batches: entries.batches,
        entries: entries.entries,
        since,
    })
}

/// The patient's place in the index under the newest index commit.
async fn prove(session: &Session, tag: &PatientTag) -> Result<v1::ProvePatientResponse, ClientError> {
    let request = v1::ProvePatientRequest { tag: tag.to_bytes().to_vec() };
    let call = session.client.call(|mut rpc| {
        let request = request.clone();
        async move { rpc.prove_patient(request).await }
    });
    call.await
}

/// The newest entry of the patient, whether an index commit covers it or not.
async fn newest_entry(session: &Session, tag: &PatientTag) -> Result<Option<LeafIndex>, ClientError> {
    let request = v1::TraceRequest { tag: tag.to_bytes().to_vec(), limit: 1, ..v1::TraceRequest::default() };
    let call = session.client.call(|mut rpc| {
        let request = request.clone();
        async move { rpc.trace(request).await }
    });
    Ok(call.await?.lines.first().map(|line| LeafIndex(line.index)))
}

fn out_of_range(n: u64, wanted: &Wanted) -> ClientError {
    match &wanted.since {
        Some(older) if older.n > n => failed(&format!(
            "the ledger shows {n} entries, where the older bundle proved {}: entries are missing, keep the older bundle as evidence",
            older.n
        )),
        _ => ClientError::Usage(format!("the patient has {n} entries: name a range from 0 to {n} that is not empty")),
    }
}

fn commit_of(proof: &v1::ProvePatientResponse) -> Result<IndexCommit, ClientError> {
    match Entry::decode(&proof.index_commit) {
        Ok(Entry::IndexCommit(commit)) => Ok(commit),
        _ => Err(failed("the ledger gave something else than an index commit: ask another node")),
    }
}

/// The tag with its VRF proof; the bundle's own checks verify it.
async fn resolve(session: &Session, wanted: &Wanted) -> Result<BundleIdentity, ClientError> {
    let request = v1::ResolveTagsRequest { identities: vec![wanted.identity.clone()] };
    let answer = session
        .client
        .call(|mut rpc| {
            let request = request.clone();
            async move { rpc.resolve_tags(request).await }
        })
        .await?;
    let wrong = || failed("the ledger did not resolve the patient's tag as asked: ask another node");
    let [resolved] = answer.tags.as_slice() else {
        return Err(wrong());
    };
    let (tag, proof) = match wanted.which_tag {
        WhichTag::Open => (&resolved.tag, &resolved.proof),
        WhichTag::Secret => (&resolved.secret_tag, &resolved.secret_proof),
    };
    if tag.is_empty() {
        let why = "the ledger does not give this caller the patient's secret tag: only the patient itself gets it";
        return Err(ClientError::rejected("NOT_ENTITLED", why));
    }
    Ok(BundleIdentity {
        ins: wanted.identity.ins.clone(),
        oid: wanted.identity.oid.clone(),
        which_tag: wanted.which_tag,
        proof: proof.as_slice().try_into().map_err(|_| wrong())?,
        tag: PatientTag::from_slice(tag).map_err(|_| wrong())?,
    })
}

/// Entries `a` to `b` of `n`, in as many pages as it takes.
async fn fetch_entries(
    session: &Session,
    tag: &[u8],
    (a, b, count): (u64, u64, u64),
    entries: &mut Entries,
) -> Result<(), ClientError> {
    let mut from = a;
    loop {
        let to = b.min(from.saturating_add(PAGE_MAX));
        let request = v1::PatientEntriesRequest { tag: tag.to_vec(), from, to, count };
        let page = session
            .client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.patient_entries(request).await }
            })
            .await?;
        let got = page.entries.len() as u64;
        if got > to - from || (got == 0 && from < b) {
            return Err(failed("the ledger gave another number of entries than asked: ask another node"));
        }
        entries.add(page)?;
        from += got;
        if from == b {
            return Ok(());
        }
    }
}

/// Entry 0, from the profile's own genesis: its inclusion in the tree shows that the log begins with it.
fn genesis_entry(session: &Session) -> Result<Vec<u8>, ClientError> {
    let (genesis, body) = session.profile.genesis()?;
    let time = LedgerTimeMs(genesis.created_ms);
    Ok(Entry::LedgerEvent(LedgerEvent { index: LeafIndex(0), time, kind: Kind::GENESIS, body }).encode())
}

async fn inclusion(session: &Session, index: u64, size: u64) -> Result<Vec<Hash>, ClientError> {
    let request = v1::ProveInclusionRequest { index, size };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?;
    hashes(&answer.path)
}

async fn consistency(session: &Session, old: u64, new: u64) -> Result<Vec<Hash>, ClientError> {
    let request = v1::ProveConsistencyRequest { old_size: old, new_size: new };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await?;
    hashes(&answer.path)
}
