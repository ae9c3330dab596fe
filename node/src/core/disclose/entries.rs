//! Consecutive entries, for who replays the log: read in parts, each a message, while the reader takes them. The reading is on
//! record once, and what stands for it is kept for all messages.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::{Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{GetEntriesResponse, LogEntry};
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::record_hash;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::on_record::{OnRecord, Subject};
use super::{Access, Withheld};
use crate::core::Core;
use crate::core::bodies::Share;
use crate::refusals::{from_read, refuse, to_status};

/// Entries of one call.
const ENTRIES_MAX: u64 = 65_536;
/// A message ends at about this many bytes: with the largest entry and record it stays far below 1 MiB.
const MESSAGE_BYTES: usize = 512 << 10;
/// Entries of a message.
const MESSAGE_ENTRIES: u64 = 4_096;
/// A reader that takes nothing for so long is given no more.
const TAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages that wait to be taken.
const MESSAGES_WAITING: usize = 2;

/// The answer to a call for entries.
pub type Entries = ReceiverStream<Result<GetEntriesResponse, Status>>;

impl Core {
    /// Puts the reading on record, then gives `count` entries from `first` on, fewer at the newest checkpoint.
    ///
    /// # Errors
    /// A range that can't be; `SIZE_NOT_REACHED` when the newest checkpoint doesn't cover `first`; or the reading can't
    /// be put on record: then nothing is given.
    pub async fn entries(
        self: &Arc<Self>,
        reader: &Party,
        via: Option<&Party>,
        first: u64,
        count: u64,
        share: Share,
    ) -> Result<Entries, Refusal> {
        if count == 0 || count > ENTRIES_MAX {
            let message = format!("`count` is 1 to {ENTRIES_MAX}");
            return Err(Refusal::new(Code::MalformedRequest, message));
        }
        let end = first.saturating_add(count).min(self.covered_size().await?);
        if first >= end {
            return Err(refuse(Code::SizeNotReached));
        }
        let on_record = self.put_entries_on_record(reader, via, first..end).await?;
        let (sender, messages) = mpsc::channel(MESSAGES_WAITING);
        let stream = EntryStream { reader: reader.clone(), on_record, left: first..end, sender, _share: share };
        tokio::spawn(stream.send(Arc::clone(self)));
        Ok(ReceiverStream::new(messages))
    }
}

type Sender = mpsc::Sender<Result<GetEntriesResponse, Status>>;

/// A stream of entries under way.
struct EntryStream {
    reader: Party,
    /// Stands for every message.
    on_record: OnRecord,
    /// Entries that weren't sent yet.
    left: Range<u64>,
    sender: Sender,
    _share: Share,
}

impl EntryStream {
    /// Reads one message after the other, the next only when there is room for it.
    async fn send(mut self, core: Arc<Core>) {
        while !self.left.is_empty() {
            let Ok(Ok(place)) = tokio::time::timeout(TAKE_TIMEOUT, self.sender.reserve()).await else {
                // The reader went away, or takes nothing: it may ask again from where it is.
                return;
            };
            let (access, reader, left) = (core.disclosing.access.clone(), self.reader.clone(), self.left.clone());
            let found = core.read(move || message(&access, &reader, left)).await;
            match found.and_then(|found| found.release(&self.on_record)) {
                Ok(given) => {
                    let message = given.into_response().into_inner();
                    self.left.start += message.entries.len() as u64;
                    place.send(Ok(message));
                }
                Err(refusal) => {
                    core.metrics().refused(refusal.code.as_str());
                    place.send(Err(to_status(&refusal)));
                    return;
                }
            }
        }
    }
}

/// The next entries, at least one.
fn message(access: &Access, reader: &Party, left: Range<u64>) -> Result<Withheld<GetEntriesResponse>, Refusal> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let first = left.start;
    for index in left.take(usize::try_from(MESSAGE_ENTRIES).expect("4,096")) {
        let entry = log_entry(access, LeafIndex(index))?;
        bytes += entry.entry.len() + entry.salt.len() + entry.record.len();
        entries.push(entry);
        if bytes >= MESSAGE_BYTES {
            break;
        }
    }
    let (rows, subject) = (entries.len() as u64, Subject::Entries(first..first + entries.len() as u64));
    Ok(Withheld::new(GetEntriesResponse { entries }, reader, rows, subject))
}

/// An entry, with its record where that is public by nature: acts of the authority, and what the ledger noted of readings.
fn log_entry(access: &Access, index: LeafIndex) -> Result<LogEntry, Refusal> {
    let bytes = access.entries().entry(index).map_err(|error| from_read(&error))?;
    let bytes = bytes.ok_or_else(|| refuse(Code::UnknownIndex))?;
    let payload = match Entry::decode(&bytes).map_err(|_| damaged(index, "entry"))? {
        Entry::Record(entry)
            if entry.kind.is_act() || entry.kind == Kind::LOG_CONSULTED && entry.flags.contains(Flags::LEDGER) =>
        {
            let payload = access.entries().payload(index).map_err(|error| from_read(&error))?;
            payload.map(|payload| (entry, payload))
        }
        _ => None,
    };
    with_record(bytes, payload.as_ref().map(|(entry, payload)| (entry, &payload[..])))
}

/// An entry as it is given to whoever replays the log; with the payload, salt and record, that it commits to.
pub(in crate::core) fn with_record(
    bytes: Vec<u8>,
    payload: Option<(&RecordEntry, &[u8])>,
) -> Result<LogEntry, Refusal> {
    let mut given = LogEntry { entry: bytes, ..LogEntry::default() };
    if let Some((entry, payload)) = payload {
        let split = payload.split_first_chunk::<SALT_BYTES>();
        let (salt, record) = split.ok_or_else(|| damaged(entry.index, "payload"))?;
        if record_hash(salt, record) != entry.record_hash {
            return Err(damaged(entry.index, "payload"));
        }
        (given.salt, given.record) = (salt.to_vec(), record.to_vec());
    }
    Ok(given)
}

fn damaged(index: LeafIndex, what: &str) -> Refusal {
    tracing::error!(%index, what, "a stored entry is damaged: not served");
    refuse(Code::Corrupt)
}
