//! Consecutive entries, for who replays the log: read in parts, each a message, while the reader takes them.

use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::{LedgerReader, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::{GetEntriesResponse, LogEntry};
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::record_hash;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Core;
use super::bodies::Share;
use super::consulted::entries_read;
use super::refusals::{from_read, refuse, to_status};

/// Entries of one call.
pub const ENTRIES_MAX: u64 = 65_536;
/// A message ends at about this many bytes: with the largest entry and record it stays far below 1 MiB.
const MESSAGE_BYTES: usize = 512 << 10;
/// Entries of a message.
const MESSAGE_ENTRIES: u64 = 4_096;
/// A reader that takes nothing for so long is given no more.
const TAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages that wait to be taken.
const MESSAGES_WAITING: usize = 2;

/// Entries that may be nothing but records of readings: what a reader left that looked a moment ago.
const READINGS_LOOKED_AT: u64 = 64;

/// What a call for entries is answered with.
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
        match self.tells_of_readings_alone(first, end).await? {
            // Else an auditor that follows would read its own reading for ever, and fill an idle log.
            true => {
                tracing::info!(target: "audit", caller = %reader.author_id, first, end, "records of readings are read")
            }
            false => {
                let index = self.put_on_record(entries_read(reader, via, first, end - first)?).await?;
                tracing::info!(target: "audit", caller = %reader.author_id, first, end, %index, "entries are read");
            }
        }
        let (sender, messages) = mpsc::channel(MESSAGES_WAITING);
        tokio::spawn(send(Arc::clone(self), first..end, sender, share));
        Ok(ReceiverStream::new(messages))
    }
}

impl Core {
    /// Whether these entries are few, and nothing but index commits and records that entries were read, which concern no
    /// patient.
    async fn tells_of_readings_alone(&self, first: u64, end: u64) -> Result<bool, Refusal> {
        if end.saturating_sub(first) > READINGS_LOOKED_AT {
            return Ok(false);
        }
        let reader = self.reader().clone();
        let all = move || {
            for index in first..end {
                let entry = reader.decoded_entry(LeafIndex(index)).map_err(|error| from_read(&error))?;
                let is_reading = match entry {
                    Some(Entry::IndexCommit(_)) => true,
                    Some(Entry::Record(entry)) => entry.kind == Kind::LOG_CONSULTED && entry.tag == [0; 32],
                    _ => false,
                };
                if !is_reading {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        self.read(all).await
    }
}

type Sender = mpsc::Sender<Result<GetEntriesResponse, Status>>;

/// Reads one message after the other, the next only when there is room for it.
async fn send(core: Arc<Core>, mut range: std::ops::Range<u64>, sender: Sender, _share: Share) {
    while !range.is_empty() {
        let Ok(Ok(place)) = tokio::time::timeout(TAKE_TIMEOUT, sender.reserve()).await else {
            // The reader went away, or takes nothing: it may ask again from where it is.
            return;
        };
        let (reader, part) = (core.reader().clone(), range.clone());
        match core.read(move || message(&reader, part)).await {
            Ok(entries) => {
                range.start += entries.len() as u64;
                place.send(Ok(GetEntriesResponse { entries }));
            }
            Err(refusal) => {
                core.metrics().refused(refusal.code.as_str());
                place.send(Err(to_status(&refusal)));
                return;
            }
        }
    }
}

/// The next entries, at least one.
fn message(reader: &LedgerReader, range: std::ops::Range<u64>) -> Result<Vec<LogEntry>, Refusal> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for index in range.take(usize::try_from(MESSAGE_ENTRIES).expect("4,096")) {
        let entry = log_entry(reader, LeafIndex(index))?;
        bytes += entry.entry.len() + entry.salt.len() + entry.record.len();
        entries.push(entry);
        if bytes >= MESSAGE_BYTES {
            break;
        }
    }
    Ok(entries)
}

/// An entry, with its record where that is public by nature: acts of the authority, and what the ledger noted of readings.
pub(super) fn log_entry(reader: &LedgerReader, index: LeafIndex) -> Result<LogEntry, Refusal> {
    let corrupt = |what: &str| {
        tracing::error!(%index, what, "a stored entry is damaged: not served");
        refuse(Code::Corrupt)
    };
    let bytes = reader.entry(index).map_err(|error| from_read(&error))?;
    let bytes = bytes.ok_or_else(|| refuse(Code::UnknownIndex))?;
    let mut given = LogEntry::default();
    if let Entry::Record(entry) = Entry::decode(&bytes).map_err(|_| corrupt("entry"))?
        && (entry.kind.is_act() || entry.kind == Kind::LOG_CONSULTED && entry.flags.contains(Flags::LEDGER))
        && let Some(payload) = reader.payload(index).map_err(|error| from_read(&error))?
    {
        let split = payload.split_first_chunk::<SALT_BYTES>();
        let (salt, record) = split.ok_or_else(|| corrupt("payload"))?;
        if record_hash(salt, record) != entry.record_hash {
            return Err(corrupt("payload"));
        }
        (given.salt, given.record) = (salt.to_vec(), record.to_vec());
    }
    given.entry = bytes;
    Ok(given)
}
