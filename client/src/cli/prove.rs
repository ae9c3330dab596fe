//! `prove`: what anyone can check offline, verified here before it is handed out.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use sillage_proof::hash::{LeafIndex, TreeSize, leaf_hash};
use sillage_proof::merkle::{verify_consistency, verify_inclusion};
use sillage_proof::tlog_proof::TlogProof;
use sillage_proto::v1;

use super::{Context, Ended, output};
use crate::checks::{failed, hashes, verify_checkpoint};
use crate::error::ClientError;
use crate::session::Session;
use crate::state::State;

/// How long to wait for a checkpoint over a young entry.
const WAIT: Duration = Duration::from_secs(12);

pub async fn inclusion(
    context: &Context,
    index: u64,
    size: Option<u64>,
    out: Option<&Path>,
) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let answer = prove_inclusion(&session, index, size).await?;
    if answer.checkpoint.is_empty() {
        let size = answer.size;
        let why = format!("no checkpoint was signed for size {size}: leave --size out to prove against the newest one");
        return Err(ClientError::rejected("SIZE_NOT_REACHED", why));
    }
    let verified = verify_checkpoint(&answer.checkpoint, &session.log_key)?;
    if verified.checkpoint.size.get() != answer.size {
        return Err(failed("the proof and its checkpoint are of different sizes: ask another node"));
    }
    State::load(&session)?.advance(&session, &verified.checkpoint).await?;
    let entry = entry(&session, index).await?;
    let leaf = match &entry {
        Some(entry) => leaf_hash(entry),
        None => hashes(std::slice::from_ref(&answer.leaf_hash))?.into_iter().next().expect("one hash"),
    };
    let path = hashes(&answer.path)?;
    let (size, root) = (verified.checkpoint.size, verified.checkpoint.root);
    verify_inclusion(&leaf, LeafIndex(index), size, &path, &root).map_err(|error| {
        failed(&format!("entry {index} is not in the log of size {size} ({error}): keep it as evidence"))
    })?;
    // The entry goes along, so that the file is enough to verify it; where the caller may not read it, the leaf hash is shown.
    let with_entry = entry.is_some();
    let proof = TlogProof { extra: entry, index: LeafIndex(index), path, checkpoint: verified.note };
    let text = proof.to_string();
    match out {
        None => output::line(text.trim_end_matches('\n'))?,
        Some(file) => {
            std::fs::write(file, &text).map_err(|error| ClientError::writing(file, error))?;
            output::line(
                &json!({"file": file.display().to_string(), "index": index, "size": size, "leaf_hash": leaf})
                    .to_string(),
            )?;
        }
    }
    if !with_entry {
        output::note(&format!("this caller may not read entry {index}: verify the proof with --leaf-hash {leaf}"));
    }
    Ok(Ended::Done)
}

async fn prove_inclusion(
    session: &Session,
    index: u64,
    size: Option<u64>,
) -> Result<v1::ProveInclusionResponse, ClientError> {
    let request = v1::ProveInclusionRequest { index, size: size.unwrap_or(0) };
    let start = Instant::now();
    loop {
        let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await;
        // An entry is in the log before it is under a checkpoint: within 10 s, as its receipt promised.
        let young = match &answer {
            Err(ClientError::Rejected(rejection)) if size.is_none() && rejection.code == "SIZE_NOT_REACHED" => true,
            Err(ClientError::Rejected(rejection)) if size.is_none() && rejection.code == "UNKNOWN_INDEX" => {
                entry_exists(session, index).await?
            }
            _ => false,
        };
        if !young || start.elapsed() > WAIT {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn entry_exists(session: &Session, index: u64) -> Result<bool, ClientError> {
    match session.client.call(|mut rpc| async move { rpc.get_entry(v1::GetEntryRequest { index }).await }).await {
        Ok(_) => Ok(true),
        Err(ClientError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The entry's bytes, where the caller may read them.
async fn entry(session: &Session, index: u64) -> Result<Option<Vec<u8>>, ClientError> {
    match session.client.call(|mut rpc| async move { rpc.get_entry(v1::GetEntryRequest { index }).await }).await {
        Ok(answer) if !answer.entry.is_empty() => Ok(Some(answer.entry)),
        Ok(_) | Err(ClientError::Rejected(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub async fn consistency(context: &Context, old: u64, new: u64) -> Result<Ended, ClientError> {
    if old > new {
        return Err(ClientError::Usage(format!("{old} is larger than {new}: name the smaller size first")));
    }
    let session = context.session().await?;
    let request = v1::ProveConsistencyRequest { old_size: old, new_size: new };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await?;
    let path = hashes(&answer.path)?;
    let roots = hashes(&[answer.old_root, answer.new_root])?;
    let [old_root, new_root] = roots.as_slice() else {
        return Err(failed("the ledger gave no roots: ask another node"));
    };
    verify_consistency(TreeSize(old), TreeSize(new), &path, old_root, new_root).map_err(|error| {
        failed(&format!("size {old} is not the beginning of size {new} ({error}): keep it as evidence"))
    })?;
    let proof = json!({"old_size": old, "new_size": new, "old_root": old_root, "new_root": new_root, "path": path});
    output::line(&proof.to_string())?;
    Ok(Ended::Done)
}
