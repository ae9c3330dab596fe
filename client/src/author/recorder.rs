//! One stream with its outbox, and the file of its receipts: for who records one batch after the other.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use sillage_rules::stream::StreamLabel;

use super::stream::Stream;
use super::tags::Tags;
use super::{open_stream, tags_of};
use crate::error::ClientError;
use crate::outbox::{DoneLine, Source};
use crate::session::Session;
use crate::sign::VerifiedReceipt;

/// One stream of a session's author, with its outbox. It is `Send`; one task uses it at a time. Several at once need several labels.
pub struct Recorder {
    /// The stream.
    pub stream: Stream,
    /// The tags that were resolved for it.
    pub tags: Tags,
    /// The batch that an earlier run left in the outbox: it was sent when this one began.
    pub settled: Option<(Source, VerifiedReceipt)>,
    receipts: Option<Receipts>,
}

impl Recorder {
    /// Opens the stream that the profile names, and sends first what may have been sent before. `receipts` is a file to which each
    /// receipt is written.
    ///
    /// # Errors
    /// When the profile has no author key, another process has the outbox, a file can't be used, or the ledger is out of reach.
    pub async fn open(session: &Session, receipts: Option<PathBuf>) -> Result<Self, ClientError> {
        let label = StreamLabel::parse(&session.profile.stream).map_err(|e| ClientError::Usage(e.to_string()))?;
        Self::open_stream(session, label, receipts).await
    }

    /// The same of another stream of the author.
    ///
    /// # Errors
    /// As for [`Recorder::open`].
    pub async fn open_stream(
        session: &Session,
        label: StreamLabel,
        receipts: Option<PathBuf>,
    ) -> Result<Self, ClientError> {
        let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
        let mut receipts = receipts.map(Receipts::open).transpose()?;
        let mut stream = open_stream(session, signer, label, true).await?;
        let settled = stream.settle().await?;
        if let (Some(file), Some((_, receipt))) = (&mut receipts, &settled) {
            file.keep_receipt(receipt)?;
        }
        Ok(Self { stream, tags: tags_of(session), settled, receipts })
    }

    /// Sends the batch that may have been sent before, if there is one, and keeps its receipt: after a call that broke off, this says
    /// whether its records are on record.
    ///
    /// # Errors
    /// As for [`Recorder::send`].
    pub async fn settle(&mut self) -> Result<Option<(Source, VerifiedReceipt)>, ClientError> {
        let settled = self.stream.settle().await?;
        if let Some((_, receipt)) = &settled {
            self.keep_receipt(receipt)?;
        }
        Ok(settled)
    }

    /// Sends one batch and keeps its receipt.
    ///
    /// # Errors
    /// As for [`Stream::send`], and when the file of receipts can't be written.
    pub async fn send(&mut self, records: Vec<Vec<u8>>, source: Source) -> Result<VerifiedReceipt, ClientError> {
        let receipt = self.stream.send(records, source).await?;
        self.keep_receipt(&receipt)?;
        Ok(receipt)
    }

    /// Sends what somebody waits for: a refusal is told, and leaves nothing behind.
    ///
    /// # Errors
    /// As for [`Recorder::send`].
    pub async fn send_attended(&mut self, records: Vec<Vec<u8>>) -> Result<VerifiedReceipt, ClientError> {
        let receipt = self.stream.send_attended(records).await?;
        self.keep_receipt(&receipt)?;
        Ok(receipt)
    }

    fn keep_receipt(&mut self, receipt: &VerifiedReceipt) -> Result<(), ClientError> {
        self.receipts.as_mut().map_or(Ok(()), |file| file.keep_receipt(receipt))
    }

    /// Writes the receipt of a batch that was acknowledged before to the file of receipts, where it isn't there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn keep_done(&mut self, done: &DoneLine) -> Result<(), ClientError> {
        match &mut self.receipts {
            Some(file) => file.keep(done.seq, done.first_index, done.count, &done.receipt, &done.signature),
            None => Ok(()),
        }
    }
}

/// A file of receipts: one JSON line for each batch, none twice.
struct Receipts {
    path: PathBuf,
    file: std::fs::File,
    kept: HashSet<String>,
}

impl Receipts {
    fn open(path: PathBuf) -> Result<Self, ClientError> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ClientError::reading(&path, error)),
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let kept = lines.filter_map(|line| line["message"].as_str().map(str::to_owned)).collect();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(|error| ClientError::writing(&path, error))?;
        if !text.is_empty() && !text.ends_with('\n') {
            // A crash left half a line: what follows must not be glued to it.
            file.write_all(b"\n").map_err(|error| ClientError::writing(&path, error))?;
        }
        Ok(Self { path, file, kept })
    }

    fn keep_receipt(&mut self, receipt: &VerifiedReceipt) -> Result<(), ClientError> {
        self.keep(
            receipt.seq,
            receipt.first_index,
            receipt.count,
            &hex::encode(&receipt.message),
            &hex::encode(&receipt.signature),
        )
    }

    fn keep(
        &mut self,
        seq: u64,
        first_index: u64,
        count: u32,
        message: &str,
        signature: &str,
    ) -> Result<(), ClientError> {
        if !self.kept.insert(message.to_owned()) {
            return Ok(());
        }
        let line =
            json!({"seq": seq, "first_index": first_index, "count": count, "message": message, "signature": signature});
        let written = self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| ClientError::writing(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_kept_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("receipts");
        std::fs::write(&path, "{\"mess").expect("half a line");
        for _ in 0..2 {
            let mut receipts = Receipts::open(path.clone()).expect("opened");
            receipts.keep(1, 10, 2, "aa", "bb").expect("kept");
        }
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().filter(|l| l.contains("\"aa\"")).count(), 1, "{text}");
    }
}
