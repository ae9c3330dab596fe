//! How events get on record: records become signed batches, go out in order, and come back as receipts.
//!
//! [`Author`] is for services: it submits from many tasks at once, over several streams. The pieces below it can be used
//! alone: [`Signer::sign_batch`] (no network), [`verify_receipt`], [`Stream`] (one stream, with or without outbox), [`Recorder`] (one stream with its outbox, for one task), [`Tags`].

mod recorder;
mod stream;
mod tags;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message as _;
use sillage_proto::v1;
use sillage_rules::consent::event::items_looked_up;
use sillage_rules::limits::{BATCH_BYTES_MAX, CALL_ITEMS_MAX, SALT_BYTES};
use sillage_rules::record::ParsedRecord;
use sillage_rules::stream::StreamLabel;
use tokio::sync::{Mutex, MutexGuard};

pub use recorder::Recorder;
pub use stream::Stream;
pub use tags::{Resolved, TagPair, Tags};

pub use crate::patient::TagRequest;
pub use crate::sign::{SignedBatch, Signer, VerifiedReceipt, verify_receipt, verify_receipt_by};

use crate::clock::now_ms;
use crate::error::ClientError;
use crate::outbox::{Outbox, Source};
use crate::session::Session;

/// A record to be signed: what happened, and to whom.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The patient; none for what concerns no patient.
    pub patient: Option<TagRequest>,
    /// The record. Its `tag` is set from `patient` before it is signed.
    pub record: v1::Record,
}

/// How an [`Author`] works.
#[derive(Debug, Clone)]
pub struct AuthorOptions {
    /// Batches on their way at once: one stream each. More than one makes the streams `<label>.0`, `<label>.1`, and so on.
    pub streams: usize,
    /// Keep an outbox beside the profile. Without it, a crash of the service may lose what wasn't acknowledged.
    pub outbox: bool,
}

impl Default for AuthorOptions {
    fn default() -> Self {
        Self { streams: 1, outbox: true }
    }
}

/// An author at work. Shared by reference among the tasks of a service.
pub struct Author {
    tags: Tags,
    streams: Vec<Mutex<Stream>>,
    next: AtomicUsize,
}

impl Author {
    /// Opens the streams; batches that were on their way when the service stopped are sent first.
    ///
    /// # Errors
    /// When the profile has no author key, the outbox is in use, or the ledger can't be reached.
    pub async fn open(session: &Session, options: AuthorOptions) -> Result<Self, ClientError> {
        let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
        let mut streams = Vec::with_capacity(options.streams.max(1));
        for i in 0..options.streams.max(1) {
            let base = &session.profile.stream;
            let name = if options.streams > 1 { format!("{base}.{i}") } else { base.clone() };
            let label = StreamLabel::parse(&name).map_err(|error| ClientError::Usage(error.to_string()))?;
            let mut stream = open_stream(session, Arc::clone(&signer), label, options.outbox).await?;
            stream.settle().await?;
            streams.push(Mutex::new(stream));
        }
        Ok(Self { tags: tags_of(session), streams, next: AtomicUsize::new(0) })
    }

    /// Records 1 to 4,096 events as one batch. When it returns, they are on record, in their order, from
    /// [`VerifiedReceipt::first_index`] on.
    ///
    /// # Errors
    /// [`ClientError::Rejected`]: nothing was recorded, correct the record at `position`. [`ClientError::Unavailable`]:
    /// the batch may or may not be on record. It is kept, and sent again by the next call on its stream, so that it is
    /// recorded exactly once: don't submit these events again.
    pub async fn submit(&self, records: Vec<NewRecord>) -> Result<VerifiedReceipt, ClientError> {
        let records = prepare(&self.tags, records).await?;
        self.free_stream().await.send(records, Source::Fresh).await
    }

    /// A stream that no one uses, or the next one in turn.
    async fn free_stream(&self) -> MutexGuard<'_, Stream> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.streams.len();
        let order = (turn..self.streams.len()).chain(0..turn);
        for i in order {
            if let Ok(stream) = self.streams[i].try_lock() {
                return stream;
            }
        }
        self.streams[turn].lock().await
    }
}

/// The cache of tags of a session's log.
pub fn tags_of(session: &Session) -> Tags {
    Tags::new(session.client.clone(), session.vrf_key).with_logins(session.logins.clone())
}

/// Opens a stream of the session's author, with its outbox beside the profile if wanted.
///
/// # Errors
/// As for [`Stream::open`] and [`Outbox::open`].
pub async fn open_stream(
    session: &Session,
    signer: Arc<Signer>,
    label: StreamLabel,
    outbox: bool,
) -> Result<Stream, ClientError> {
    let outbox = match outbox {
        true => Some(Outbox::open(&session.profile.dir.join("outbox"), &signer.stream_id(&label))?),
        false => None,
    };
    Stream::open(session.client.clone(), signer, Arc::clone(&session.keys), label, outbox).await
}

/// How many of these records, from the first on, make a batch within the limits of bytes and of items.
pub fn fitting(records: &[Vec<u8>]) -> usize {
    let (mut bytes, mut items) = (0, 0);
    let fits = |record: &&Vec<u8>| {
        bytes += record.len() + SALT_BYTES;
        items += v1::Record::decode(&record[..]).map_or(0, |record| items_looked_up(&record));
        bytes <= BATCH_BYTES_MAX && items <= CALL_ITEMS_MAX
    };
    records.iter().take_while(fits).count()
}

/// Resolves tags, proves by the session's logins who decided, and encodes: the canonical bytes to sign, in order.
///
/// # Errors
/// The first record that breaks a rule, with its position.
pub async fn prepare(tags: &Tags, records: Vec<NewRecord>) -> Result<Vec<Vec<u8>>, ClientError> {
    let requests: Vec<TagRequest> = records.iter().filter_map(|r| r.patient.clone()).collect();
    let mut resolved = tags.resolve_proven(&requests).await?.into_iter();
    let mut out = Vec::with_capacity(records.len());
    for (position, NewRecord { patient, mut record }) in records.into_iter().enumerate() {
        let tag = patient.as_ref().map(|_| resolved.next().expect("one tag for each patient"));
        record.tag = tag.as_ref().map(|(tag, _)| tag.to_bytes().to_vec()).unwrap_or_default();
        if let Some(logins) = &tags.logins {
            let proof = tag.as_ref().map(|(_, proof)| &proof[..]).unwrap_or_default();
            logins.prove(&mut record, (patient.as_ref(), proof), now_ms())?;
        }
        out.push(encode(record, position)?);
    }
    Ok(out)
}

/// The canonical bytes of a record that an author may submit.
///
/// # Errors
/// [`ClientError::Rejected`] with the record's position.
pub fn encode(record: v1::Record, position: usize) -> Result<Vec<u8>, ClientError> {
    let parsed = ParsedRecord::from_message(record);
    let parsed = parsed.and_then(|parsed| parsed.check_from_author().map(|()| parsed));
    parsed.map(ParsedRecord::into_bytes).map_err(|error| {
        ClientError::Rejected(crate::error::Rejection {
            code: error.code.into(),
            message: error.to_string(),
            expected_seq: 0,
            position: u32::try_from(position).unwrap_or(u32::MAX),
        })
    })
}
