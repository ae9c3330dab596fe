//! The machine's floor: one plain thread that does the least with the same events.
//!
//! For each batch: one signature check. For each event the fewest hashes that leave something to verify, with the same
//! kernel as the ledger: the record, its batch leaf and its share of the batch tree once (3), then on each of three replicas
//! the leaf and its share of the log tree (3 × 2): 9. The batch's bytes are appended to three files; as many batches as the
//! ledger had clients share one `fdatasync` of each file. No TLS, no consensus, no sealing, no index, no answer.

use super::Error;
use crate::events::Pool;
use prost::Message;
use serde::Serialize;
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::hash::{Hash, hash_leaves};
use sillage_proof::keys::{AuthorId, PublicKey, SigningKey, StreamId};
use sillage_proof::merkle;
use sillage_proto::v1::{Batch, SaltedRecord};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Hashes of an event: see the head of this file.
const HASHES_PER_EVENT: u32 = 9;
const REPLICAS: usize = 3;
/// Bytes of a record entry (docs/formats.md §5).
const ENTRY_BYTES: usize = 20 + 2 + 32 + 32 + 4;
/// Batches that are prepared and then used in turn.
const PREPARED: usize = 16;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// Records of a batch.
    pub batch: usize,
    /// Batches that share an fdatasync of each file.
    pub batches_per_fsync: usize,
    /// Hashes an event, three replicas together.
    pub hashes_per_event: u32,
    /// Bytes an event in each file.
    pub bytes_per_event: f64,
    /// Records a second.
    pub events_per_s: f64,
    /// Time an event without the files, microseconds.
    pub compute_us: f64,
}

/// A batch as it would arrive.
struct Prepared {
    /// Salt and record together: what is hashed.
    records: Vec<Vec<u8>>,
    message: BatchMessage,
    signature: Vec<u8>,
    bytes: Vec<u8>,
}

/// Runs it for `length`.
pub fn measure(dir: &Path, pool: &Pool, batch: usize, group: usize, length: Duration) -> Result<Floor, Error> {
    let key = SigningKey::from_seed(&[7; 32]);
    let public = key.public_key();
    let prepared: Vec<Prepared> =
        (0..PREPARED).map(|n| prepare(&key, pool, n * batch, batch)).collect::<Result<_, _>>()?;
    let mut files: Vec<File> =
        (0..REPLICAS).map(|i| File::create(dir.join(format!("floor-{i}")))).collect::<Result<_, _>>()?;
    let (began, mut events, mut written, mut computing) = (Instant::now(), 0_u64, 0_u64, Duration::ZERO);
    while began.elapsed() < length {
        for next in prepared.iter().cycle().take(group) {
            let computes = Instant::now();
            check(next, &public)?;
            computing += computes.elapsed();
            for file in &mut files {
                file.write_all(&next.bytes)?;
            }
            events += batch as u64;
            written += next.bytes.len() as u64;
        }
        files.iter().try_for_each(File::sync_data)?;
    }
    let took = began.elapsed();
    for i in 0..REPLICAS {
        std::fs::remove_file(dir.join(format!("floor-{i}")))?;
    }
    Ok(Floor {
        batch,
        batches_per_fsync: group,
        hashes_per_event: HASHES_PER_EVENT,
        bytes_per_event: written as f64 / events as f64,
        events_per_s: events as f64 / took.as_secs_f64(),
        compute_us: computing.as_secs_f64() * 1e6 / events as f64,
    })
}

fn prepare(key: &SigningKey, pool: &Pool, place: usize, batch: usize) -> Result<Prepared, Error> {
    let records: Vec<&Vec<u8>> = (place..place + batch).map(|i| &pool[i % pool.len()]).collect();
    let salted: Vec<Vec<u8>> = records.iter().map(|record| [&[3; 16][..], record].concat()).collect();
    let root = root_of(&salted);
    let author = AuthorId::of_first_key(&key.public_key());
    let message = BatchMessage {
        key_id: key.key_id(),
        origin: Origin::new("sillage.dev/floor")?,
        stream_id: StreamId::new(&author, "floor"),
        seq: 1,
        count: u32::try_from(batch)?,
        root,
    };
    let signature = message.sign(key).to_vec();
    let sent = Batch {
        alg: 1,
        key_id: key.key_id().to_bytes().to_vec(),
        stream_label: "floor".to_owned(),
        seq: 1,
        root: root.to_bytes().to_vec(),
        signature: signature.clone(),
        records: records.iter().map(|record| SaltedRecord { salt: vec![3; 16], record: record.to_vec() }).collect(),
    };
    Ok(Prepared { records: salted, message, signature, bytes: sent.encode_to_vec() })
}

/// The root of a batch of these records. Their content doesn't change the cost.
fn root_of(salted: &[Vec<u8>]) -> Hash {
    let inputs: Vec<&[u8]> = salted.iter().map(Vec::as_slice).collect();
    let mut hashes = Vec::with_capacity(inputs.len());
    hash_leaves(&inputs, &mut hashes);
    let leaf = |record_hash| BatchLeaf { kind: 0x0601, stated: 0, tag: [0; 32], record_hash };
    batch_root(&hashes.into_iter().map(leaf).collect::<Vec<_>>())
}

/// The work of one batch: its signature, its tree, and three times its part of the log tree.
fn check(batch: &Prepared, key: &PublicKey) -> Result<(), Error> {
    batch.message.verify(key, &batch.signature)?;
    if root_of(&batch.records) != batch.message.root {
        return Err("a prepared batch has another root".into());
    }
    let entries: Vec<&[u8]> = batch.records.iter().map(|record| &record[..record.len().min(ENTRY_BYTES)]).collect();
    for _ in 0..REPLICAS {
        let mut leaves = Vec::with_capacity(entries.len());
        hash_leaves(&entries, &mut leaves);
        std::hint::black_box(merkle::root_of(&leaves));
    }
    Ok(())
}
