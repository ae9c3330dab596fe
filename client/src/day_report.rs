//! A connector's account of one day: for each source, what came and what became of it; signed by the connector's party.
//!
//! ```text
//! {"report": {…}, "key": "<public key, hex>", "signature": "<Ed25519, hex>"}
//!
//! message = "sillage/connector-report/v1\0" ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ SHA-256(`report` as its bytes stand)
//! ```
//!
//! "You sent N, we hold N": the sender counts its own day and compares. The first and the last entry come with their receipts, so that
//! it can be checked without the ledger that they are on record, and by this party.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sillage_proof::batch::{Origin, ReceiptMessage};
use sillage_proof::hash::sha256;
use sillage_proof::keys::{ALG_ED25519, AuthorId, PublicKey, SigningKey, StreamId};
use sillage_proto::v1;
use sillage_rules::entry::Entry;
use sillage_words::Lang;
use sillage_words::sentence::clean;

use crate::error::ClientError;
use crate::session::Session;

const MAGIC: &[u8] = b"sillage/connector-report/v1\0";
/// Bytes of a report file, at most.
pub const BYTES_MAX: usize = 16 << 20;

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayReport {
    /// `sillage-connector-report/1`.
    pub format: String,
    /// Name of the log.
    pub origin: String,
    /// The party's author id, hex.
    pub author: String,
    /// The base label of the connector's streams.
    pub stream: String,
    /// The day of arrival (UTC), as `2026-11-30`.
    pub day: String,
    /// When the report was made, RFC 3339.
    pub made_at: String,
    /// True if the day is over: nothing more can arrive on it.
    pub is_over: bool,
    /// Each source, in the order of names.
    pub sources: Vec<SourceDay>,
    /// Places in the spool between the day's first and last arrival of which nothing is known: none are expected.
    pub gaps: u64,
}

/// One source's day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDay {
    /// Its name.
    pub source: String,
    /// Arrivals: the sum of the next five.
    pub received: u64,
    /// On record.
    pub recorded: u64,
    /// In the spool, on its way.
    pub waiting: u64,
    /// Refused at the door, and in quarantine.
    pub refused: u64,
    /// Refused by the ledger, and in quarantine.
    pub quarantined: u64,
    /// The same as before, and answered as before.
    pub repeated: u64,
    /// Of those taken: written by a clock that differed by more than five minutes.
    pub skewed: u64,
    /// Its first entry in the log, of this day.
    pub first: Option<Marked>,
    /// Its last one.
    pub last: Option<Marked>,
}

/// An entry, and the receipt of its batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marked {
    /// Index of the entry.
    pub index: u64,
    /// Label of its stream.
    pub stream: String,
    /// The receipt's signed bytes (docs/formats.md §4), hex.
    pub receipt: String,
    /// A node's signature over them, hex.
    pub signature: String,
}

/// A report with its signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReport {
    report: Box<RawValue>,
    key: String,
    signature: String,
}

/// The format's name.
pub const FORMAT: &str = "sillage-connector-report/1";

fn message(origin: &Origin, key: &PublicKey, report: &str) -> Vec<u8> {
    let origin = origin.as_str().as_bytes();
    let mut out = MAGIC.to_vec();
    out.push(ALG_ED25519);
    out.extend(key.key_id().as_bytes());
    out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
    out.extend(origin);
    out.extend(sha256(&[report.as_bytes()]).as_ref());
    out
}

/// Tells whether bytes are such a report, right or wrong.
pub fn is_report(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4_096)];
    bytes.first() == Some(&b'{') && head.windows(FORMAT.len()).any(|window| window == FORMAT.as_bytes())
}

impl SignedReport {
    /// Signs a report.
    ///
    /// # Errors
    /// When its origin isn't a log's name.
    pub fn sign(report: &DayReport, key: &SigningKey) -> Result<Self, ClientError> {
        let origin = origin_of(report)?;
        let text = serde_json::to_string(report).map_err(|error| ClientError::Usage(error.to_string()))?;
        let signature = hex::encode(key.sign(&message(&origin, &key.public_key(), &text)));
        let report = RawValue::from_string(text).map_err(|error| ClientError::Usage(error.to_string()))?;
        Ok(Self { report, key: hex::encode(key.public_key().as_bytes()), signature })
    }

    /// As the text of a file, with its line break.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a report has string keys only") + "\n"
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ClientError::Check`] when it isn't a report.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        let wrong = |why: &dyn std::fmt::Display| ClientError::Check(format!("this isn't a connector's report: {why}"));
        if bytes.len() > BYTES_MAX {
            return Err(wrong(&"it is over 16 MiB"));
        }
        serde_json::from_slice(bytes).map_err(|error| wrong(&error))
    }

    /// The content, once its signature holds, its numbers add up, and a node signed the receipts that it names. `node_keys`: the
    /// nodes of the report's log whom the caller trusts. Gives also whether its key is the author's first one; of a later key only
    /// the ledger can tell whose it is.
    ///
    /// # Errors
    /// [`ClientError::Check`]: the first thing that doesn't hold.
    pub fn verify(
        &self,
        node_keys: impl FnOnce(&str) -> Result<Vec<PublicKey>, ClientError>,
    ) -> Result<(DayReport, bool), ClientError> {
        let failed = |why: String| ClientError::Check(format!("the report {why}"));
        let report: DayReport =
            serde_json::from_str(self.report.get()).map_err(|error| failed(format!("can't be read: {error}")))?;
        if report.format != FORMAT {
            return Err(failed(format!("is of another version ({})", report.format)));
        }
        let key = hex::decode(&self.key).ok().and_then(|key| PublicKey::from_bytes(&key).ok());
        let key = key.ok_or_else(|| failed("names no key".to_owned()))?;
        let signature = hex::decode(&self.signature).unwrap_or_default();
        key.verify(&message(&origin_of(&report)?, &key, self.report.get()), &signature)
            .map_err(|_| failed("has a wrong signature: it was changed after it was signed".to_owned()))?;
        let author = hex::decode(&report.author).ok().and_then(|author| AuthorId::from_slice(&author).ok());
        let author = author.ok_or_else(|| failed("names no author".to_owned()))?;
        let node_keys = node_keys(&report.origin)?;
        for source in &report.sources {
            let counted = [source.recorded, source.waiting, source.refused, source.quarantined, source.repeated];
            let sum = counted.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
            if sum != Some(source.received) {
                return Err(failed(format!("doesn't add up for `{}`", source.source)));
            }
            for marked in source.first.iter().chain(&source.last) {
                verify_marked(&report, &author, marked, &node_keys)?;
            }
        }
        let is_first = AuthorId::of_first_key(&key) == author;
        Ok((report, is_first))
    }
}

impl DayReport {
    /// Asks the nodes for the first and the last entry of each source: each must be a record, at the place in its batch that its
    /// receipt gives it. Gives the indices that were asked for, ascending. The report was verified before.
    ///
    /// # Errors
    /// [`ClientError::Check`]: an entry is another one. [`ClientError::Rejected`]: the caller may not see it.
    pub async fn check_on_record(&self, session: &Session) -> Result<Vec<u64>, ClientError> {
        let marked = self.sources.iter().flat_map(|source| source.first.iter().chain(&source.last));
        let marked: BTreeMap<u64, &Marked> = marked.map(|marked| (marked.index, marked)).collect();
        for (index, marked) in &marked {
            let failed = |why: &str| ClientError::Check(format!("entry {index} of the log {why}"));
            let said = hex::decode(&marked.receipt).ok().and_then(|said| ReceiptMessage::decode(&said).ok());
            let said = said.ok_or_else(|| failed("has a receipt that can't be read"))?;
            let request = v1::GetEntryRequest { index: *index };
            let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
            let entry = Entry::decode(&answer.entry).map_err(|error| failed(&format!("can't be read: {error}")))?;
            let Entry::Record(record) = entry else { return Err(failed("is no record")) };
            let position = index.checked_sub(said.first_index.get());
            if record.index.get() != *index || Some(u64::from(record.position)) != position {
                return Err(failed("isn't the record that the report's receipt speaks of"));
            }
        }
        Ok(marked.into_keys().collect())
    }
}

fn origin_of(report: &DayReport) -> Result<Origin, ClientError> {
    Origin::new(report.origin.clone()).map_err(|error| ClientError::Check(format!("the report's origin: {error}")))
}

/// The report in words, one line for each source.
pub fn said(report: &DayReport, lang: Lang) -> Vec<String> {
    let DayReport { day, origin, .. } = report;
    let whole = match (report.is_over, lang) {
        (true, Lang::Fr) => "la journée entière",
        (true, Lang::En) => "the whole day",
        (false, Lang::Fr) => "jusqu'ici : la journée n'est pas finie",
        (false, Lang::En) => "so far: the day isn't over",
    };
    let mut out = vec![match lang {
        Lang::Fr => format!("{day} ({origin}) : {whole}"),
        Lang::En => format!("{day} ({origin}): {whole}"),
    }];
    for source in &report.sources {
        let SourceDay { source: name, received, recorded, waiting, refused, quarantined, repeated, skewed, .. } =
            source;
        let name = clean(name);
        let places = source.first.as_ref().zip(source.last.as_ref()).map(|(first, last)| (first.index, last.index));
        let places = match (places, lang) {
            (None, _) => String::new(),
            (Some((first, last)), Lang::Fr) => format!(", entrées {first} à {last}"),
            (Some((first, last)), Lang::En) => format!(", entries {first} to {last}"),
        };
        out.push(match lang {
            Lang::Fr => format!(
                "{name} : reçus {received}, inscrits {recorded}, en attente {waiting}, refusés {refused}, \
                 en quarantaine {quarantined}, répétés {repeated}, horloge fausse {skewed}{places}"
            ),
            Lang::En => format!(
                "{name}: received {received}, recorded {recorded}, waiting {waiting}, refused {refused}, \
                 quarantined {quarantined}, repeated {repeated}, wrong clock {skewed}{places}"
            ),
        });
    }
    match (report.sources.is_empty(), lang) {
        (true, Lang::Fr) => out.push("rien n'est arrivé".to_owned()),
        (true, Lang::En) => out.push("nothing arrived".to_owned()),
        (false, _) => {}
    }
    match (report.gaps, lang) {
        (0, _) => {}
        (gaps, Lang::Fr) => {
            out.push(format!("LACUNES : {gaps} arrivées manquent dans l'index : gardez le dossier, cherchez la cause"));
        }
        (gaps, Lang::En) => {
            out.push(format!("GAPS: {gaps} arrivals are missing in the index: keep the folder, and find out why"));
        }
    }
    out
}

/// A receipt: signed by a node, for a batch of this author's stream that holds the entry.
fn verify_marked(
    report: &DayReport,
    author: &AuthorId,
    marked: &Marked,
    node_keys: &[PublicKey],
) -> Result<(), ClientError> {
    let failed = |why: &str| ClientError::Check(format!("the receipt for entry {} {why}", marked.index));
    let bytes = |text: &str| hex::decode(text).map_err(|_| failed("isn't hexadecimal"));
    let (said, signature) = (bytes(&marked.receipt)?, bytes(&marked.signature)?);
    let said = ReceiptMessage::decode(&said).map_err(|_| failed("can't be read"))?;
    let key = node_keys.iter().find(|key| key.key_id() == said.batch.key_id);
    let key = key.ok_or_else(|| failed("is signed by no node that the policy names"))?;
    said.verify(key, &signature).map_err(|_| failed("has a wrong signature"))?;
    let first = said.first_index.get();
    let holds = (first..first.saturating_add(u64::from(said.batch.count))).contains(&marked.index);
    let is_ours = marked.stream.strip_prefix(&report.stream).is_some_and(|rest| rest.starts_with('.'));
    let stream = StreamId::new(author, &marked.stream);
    match (said.batch.origin.as_str() == report.origin, said.batch.stream_id == stream && is_ours, holds) {
        (false, ..) => Err(failed("is of another log")),
        (_, false, _) => Err(failed("is of another stream or party")),
        (.., false) => Err(failed("is of a batch that doesn't hold it")),
        (true, true, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::batch::BatchMessage;
    use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn report() -> DayReport {
        let author = AuthorId::of_first_key(&key(1).public_key());
        let batch = BatchMessage {
            key_id: key(9).public_key().key_id(),
            origin: Origin::new("test/log").expect("a name"),
            stream_id: StreamId::new(&author, "c-1.2"),
            seq: 3,
            count: 4,
            root: Hash::default(),
        };
        let receipt = ReceiptMessage { batch, first_index: LeafIndex(100), time_ms: LedgerTimeMs(5) };
        let marked = |index| Marked {
            index,
            stream: "c-1.2".to_owned(),
            receipt: hex::encode(receipt.encode()),
            signature: hex::encode(receipt.sign(&key(9))),
        };
        let source = SourceDay {
            source: "ward".to_owned(),
            received: 6,
            recorded: 4,
            repeated: 2,
            first: Some(marked(100)),
            last: Some(marked(103)),
            ..SourceDay::default()
        };
        DayReport {
            format: FORMAT.to_owned(),
            origin: "test/log".to_owned(),
            author: hex::encode(author.as_bytes()),
            stream: "c-1".to_owned(),
            day: "2026-11-30".to_owned(),
            made_at: "2026-12-01T00:00:00Z".to_owned(),
            is_over: true,
            sources: vec![source],
            gaps: 0,
        }
    }

    fn verified(text: &str) -> Result<(DayReport, bool), ClientError> {
        SignedReport::parse(text.as_bytes())?.verify(|_| Ok(vec![key(8).public_key(), key(9).public_key()]))
    }

    #[test]
    fn a_report_is_verified_and_no_byte_of_it_can_change() {
        let text = SignedReport::sign(&report(), &key(1)).expect("signed").to_text();
        assert!(is_report(text.as_bytes()) && !is_report(b"{}") && !is_report(b"test/log\n"));
        assert_eq!(verified(&text).expect("good"), (report(), true));
        let of_later_key = SignedReport::sign(&report(), &key(2)).expect("signed").to_text();
        assert!(!verified(&of_later_key).expect("good").1, "only the ledger tells whose key it is");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let is_same = serde_json::from_str::<serde_json::Value>(&changed).ok()
                == serde_json::from_str::<serde_json::Value>(&text).ok();
            assert!(is_same || verified(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_doesnt_hold_is_named() {
        let refused = |change: &dyn Fn(&mut DayReport)| {
            let mut wrong = report();
            change(&mut wrong);
            let text = SignedReport::sign(&wrong, &key(1)).expect("signed").to_text();
            verified(&text).expect_err("it doesn't hold").to_string()
        };
        let first = |report: &mut DayReport, change: &dyn Fn(&mut Marked)| {
            change(report.sources[0].first.as_mut().expect("there"));
        };
        for (word, change) in [
            ("add up", &(|r: &mut DayReport| r.sources[0].received = 5) as &dyn Fn(&mut DayReport)),
            ("doesn't hold it", &|r| first(r, &|marked| marked.index = 104)),
            ("another stream", &|r| first(r, &|marked| marked.stream = "c-1.3".to_owned())),
            ("another stream", &|r| r.stream = "c-2".to_owned()),
            ("another log", &|r| r.origin = "other/log".to_owned()),
            ("another version", &|r| r.format = "sillage-connector-report/2".to_owned()),
        ] {
            let why = refused(change);
            assert!(why.contains(word), "{word}: {why}");
        }
    }
}
