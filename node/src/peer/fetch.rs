//! The files of a snapshot, fetched from the peer that made it.

use std::path::Path;
use std::time::Duration;

use sillage_cluster::FetchError;
use sillage_cluster::snapshot::{Manifest, SnapshotFile};
use sillage_proto::internal::v1::FetchFileRequest;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::links::Client;

/// Silence of a peer in the middle of a file, after which the snapshot is asked for again.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches all files that `manifest` names into `into`, except those that are there. Their hashes are the caller's to
/// check.
///
/// # Errors
/// When the peer fails, or sends more than it promised.
pub async fn snapshot(client: Client, manifest: &[u8], into: &Path) -> Result<(), FetchError> {
    let manifest = Manifest::decode(manifest).map_err(|error| FetchError(error.to_string()))?;
    let snapshot = manifest.dir_name();
    let missing: Vec<_> = manifest.files.iter().filter(|file| !into.join(&file.name).exists()).collect();
    tracing::info!(
        snapshot,
        files = manifest.files.len(),
        bytes = manifest.total_bytes(),
        files_missing = missing.len(),
        bytes_missing = missing.iter().map(|file| file.size).sum::<u64>(),
        "fetching a snapshot"
    );
    for wanted in missing {
        let fetched = file(client.clone(), &snapshot, wanted, into).await;
        fetched.map_err(|reason| FetchError(format!("{}: {reason}", wanted.name)))?;
    }
    Ok(())
}

async fn file(mut client: Client, snapshot: &str, wanted: &SnapshotFile, into: &Path) -> Result<(), String> {
    let request = FetchFileRequest { snapshot: snapshot.to_owned(), file: wanted.name.clone() };
    // The manifest refuses names that lead out of the directory.
    let path = into.join(&wanted.name);
    if let Some(parent) = path.parent() {
        let made = tokio::fs::create_dir_all(parent).await;
        made.map_err(|error| error.to_string())?;
    }
    let created = tokio::fs::File::create(&path).await;
    let mut out = created.map_err(|error| error.to_string())?;
    let call = timeout(CHUNK_TIMEOUT, client.fetch_file(request)).await;
    let answer = call.map_err(|_| "no answer".to_owned())?;
    let mut chunks = answer.map_err(|status| status.to_string())?.into_inner();
    let mut size = 0_u64;
    loop {
        let chunk = timeout(CHUNK_TIMEOUT, chunks.message()).await;
        let chunk = chunk.map_err(|_| "the peer fell silent".to_owned())?;
        let Some(chunk) = chunk.map_err(|status| status.to_string())? else {
            break;
        };
        size += chunk.data.len() as u64;
        if size > wanted.size {
            return Err("longer than the manifest says".to_owned());
        }
        let written = out.write_all(&chunk.data).await;
        written.map_err(|error| error.to_string())?;
    }
    out.flush().await.map_err(|error| error.to_string())
}
