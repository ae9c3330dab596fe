//! Records that several parties sign, as a file that is passed around: each record as it will be recorded, and the signatures that
//! it has so far. What stands in it is what the log will hold: of a record about a patient it tells the tag and what is said, and
//! not who the patient is. Whoever signs such a record says whose it is, and the tag is held against that.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sillage_client::author::tags_of;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::{load_seed, read, write_new};
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;
use sillage_rules::authority::{CosignMessage, content_hash, may_be_cosigned};
use sillage_rules::line::{ActLine, RecordLine};
use sillage_rules::record::ParsedRecord;

use crate::acts::proposal::{DAY_MS, SignatureLine};
use crate::arguments::reading::identity;
use crate::output;

/// The largest file that is read.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Days for which signatures hold that are made at once, with the keys of the profile.
const AT_ONCE_DAYS: u64 = 1;

/// Proposed records, which are recorded together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposed {
    /// The log that they are for.
    origin: String,
    records: Vec<OneRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneRecord {
    /// Its content, for people. It is made anew from `record` when the file is read, and must be the same.
    says: Value,
    /// The record without signatures, hex.
    record: String,
    /// The hash that its signatures are over, hex.
    content: String,
    #[serde(default)]
    signatures: Vec<SignatureLine>,
}

/// The patient of a record, as the one who signs it says: INS, and the OID where it isn't the usual one.
pub type Whose<'a> = Option<(&'a str, Option<&'a str>)>;

impl OneRecord {
    fn of(record: &ParsedRecord) -> Result<Self, ClientError> {
        let message = v1::Record { signatures: Vec::new(), ..record.message().clone() };
        let plain = parsed(message)?;
        let content = content_hash(plain.message()).to_string();
        Ok(Self { says: says(&plain), record: hex::encode(plain.bytes()), content, signatures: Vec::new() })
    }

    fn parsed(&self) -> Result<ParsedRecord, ClientError> {
        let bytes =
            hex::decode(&self.record).map_err(|_| ClientError::Usage("a record isn't hexadecimal".to_owned()))?;
        ParsedRecord::parse(&bytes).map_err(|error| ClientError::rejected(error.code, error.to_string()))
    }

    /// The record with its signatures.
    fn message(&self) -> Result<v1::Record, ClientError> {
        let signatures = self.signatures.iter().map(SignatureLine::to_message).collect::<Result<_, _>>()?;
        Ok(v1::Record { signatures, ..self.parsed()?.into_message() })
    }
}

fn parsed(message: v1::Record) -> Result<ParsedRecord, ClientError> {
    ParsedRecord::from_message(message).map_err(|error| ClientError::rejected(error.code, error.to_string()))
}

fn says(record: &ParsedRecord) -> Value {
    let mut line = match record.act() {
        Some(act) => json!({ "act": ActLine::from(act) }),
        None => serde_json::to_value(RecordLine::from_record(record, None, false)).expect("string keys only"),
    };
    if let Some(tag) = record.tag() {
        line["tag"] = json!(Hash::from_bytes(*tag));
    }
    line
}

impl Proposed {
    /// These records, in canonical bytes.
    ///
    /// # Errors
    /// When one isn't a record.
    pub fn of(session: &Session, records: &[Vec<u8>]) -> Result<Self, ClientError> {
        let one = |bytes: &Vec<u8>| {
            let record =
                ParsedRecord::parse(bytes).map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
            OneRecord::of(&record)
        };
        let records = records.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { origin: session.profile.origin.clone(), records })
    }

    /// Reads a file of this log; `None`: it is a proposal of one act, in the form of `authority propose`.
    ///
    /// # Errors
    /// When it can't be read, is for another log, or says for people something else than what is signed.
    pub fn read(session: &Session, path: &Path) -> Result<Option<Self>, ClientError> {
        let bytes = read(path)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ClientError::reading(path, "too large for proposed records"));
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| ClientError::reading(path, error))?;
        if value.get("records").is_none() {
            return Ok(None);
        }
        let proposed: Self = serde_json::from_value(value).map_err(|error| ClientError::reading(path, error))?;
        if proposed.origin != session.profile.origin {
            let (of, own) = (&proposed.origin, &session.profile.origin);
            return Err(ClientError::reading(path, format!("it is for the log {of}, and the profile is for {own}")));
        }
        for one in &proposed.records {
            let record = one.parsed()?;
            if says(&record) != one.says || content_hash(record.message()).to_string() != one.content {
                let why = "what it says for people isn't what is signed: propose it anew";
                return Err(ClientError::reading(path, why));
            }
        }
        Ok(Some(proposed))
    }

    /// Writes a new file.
    ///
    /// # Errors
    /// When it is there already, or can't be written.
    pub fn write_new(&self, path: &Path) -> Result<(), ClientError> {
        write_new_proposal(path, &self.text())
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("string keys only") + "\n"
    }

    /// Signs every record with `key`, and writes the file. The records about a patient must be of the one who is named.
    ///
    /// # Errors
    /// When a record is of somebody else, or of a patient and nobody is named.
    pub async fn sign(
        &mut self,
        session: &Session,
        (key, days): (&SigningKey, u64),
        whose: Whose<'_>,
        path: &Path,
    ) -> Result<(), ClientError> {
        self.check_patient(session, whose).await?;
        self.sign_with(key, days)?;
        std::fs::write(path, self.text()).map_err(|error| ClientError::writing(path, error))
    }

    fn sign_with(&mut self, key: &SigningKey, days: u64) -> Result<(), ClientError> {
        let origin =
            Origin::new(self.origin.clone()).map_err(|error| ClientError::Usage(format!("origin: {error}")))?;
        for one in &mut self.records {
            let record = one.parsed()?;
            if !may_be_cosigned(record.kind()) {
                continue;
            }
            let message = CosignMessage {
                key_id: key.key_id(),
                origin: origin.clone(),
                expires_ms: now_ms().saturating_add(days * DAY_MS),
                content: content_hash(record.message()),
            };
            one.signatures.retain(|known| known.key_id != key.key_id());
            one.signatures.push(SignatureLine::of(&message, key));
            one.signatures.sort_by_key(|known| known.key_id);
            parsed(one.message()?)?;
        }
        Ok(())
    }

    async fn check_patient(&self, session: &Session, whose: Whose<'_>) -> Result<(), ClientError> {
        let mut tags = Vec::new();
        for one in &self.records {
            let record = one.parsed()?;
            // What is erased after its time is of many patients, and stands in the act itself.
            if whose.is_some() || record.act().is_none() {
                tags.extend(record.tag().copied());
            }
        }
        if tags.is_empty() {
            return Ok(());
        }
        let Some((ins, oid)) = whose else {
            let why = "it is about a patient: say about whom with --patient INS, and the tag is held against that";
            return Err(ClientError::Usage(why.to_owned()));
        };
        let ins = identity(&session.profile, "--patient", ins, oid)?;
        let (open, secret) = tags_of(session).both(ins.value(), ins.oid().as_str()).await?;
        let own = |tag: &[u8; 32]| open.to_bytes() == *tag || secret.is_some_and(|secret| secret.to_bytes() == *tag);
        match tags.iter().all(own) {
            true => Ok(()),
            false => {
                Err(ClientError::Check("it is about another patient than the one that --patient names".to_owned()))
            }
        }
    }

    /// The records with their signatures, but for those of `own`, who signs the batch.
    ///
    /// # Errors
    /// When a signature can't be read.
    pub fn messages(&self, own: &SigningKey) -> Result<Vec<v1::Record>, ClientError> {
        let id = own.key_id();
        let message = |one: &OneRecord| {
            let mut message = one.message()?;
            // The submitter signs the batch: that counts already.
            message.signatures.retain(|one| one.key_id != id.as_bytes());
            Ok(message)
        };
        self.records.iter().map(message).collect()
    }

    /// How many signatures the record with the fewest has, of those that may have any.
    pub fn signatures(&self) -> usize {
        let signed = self.records.iter().filter(|one| one.parsed().is_ok_and(|record| may_be_cosigned(record.kind())));
        signed.map(|one| one.signatures.len()).min().unwrap_or(0)
    }

    /// Shows it.
    ///
    /// # Errors
    /// When the output is closed.
    pub fn show(&self) -> Result<(), ClientError> {
        output::line(&serde_json::to_string(self).expect("string keys only"))
    }
}

/// Writes a proposal as a new file, for its owner alone: it tells in clear what the record of a patient says. Whoever passes it on
/// decides who else reads it.
///
/// # Errors
/// When it is there already, or can't be written.
pub(crate) fn write_new_proposal(path: &Path, text: &str) -> Result<(), ClientError> {
    if path.exists() {
        return Err(ClientError::Usage(format!("{} is there already: name a new file", path.display())));
    }
    write_new(path, text.as_bytes(), 0o600)
}

/// Writes what an authority would sign as a proposal, where the command says so; else signs it with the further keys that the
/// profile has. That is for test logs alone, where one person holds all keys.
///
/// # Errors
/// [`ClientError::Proposed`] where it was written.
pub fn propose_or_cosign(session: &Session, records: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ClientError> {
    if let Some(path) = &session.propose {
        Proposed::of(session, &records)?.write_new(path)?;
        return Err(ClientError::Proposed(path.clone()));
    }
    if session.profile.cosign_keys.is_empty() {
        return Ok(records);
    }
    if !session.genesis.test_log {
        let why =
            "the profile's `cosign_keys` are for test logs: elsewhere each authority keeps its key where no other is";
        return Err(ClientError::Usage(why.to_owned()));
    }
    let own = session.profile.authority_signing_key()?;
    let mut proposed = Proposed::of(session, &records)?;
    for path in &session.profile.cosign_keys {
        proposed.sign_with(&load_seed(path)?, AT_ONCE_DAYS)?;
    }
    let messages = proposed.messages(&own)?.into_iter().map(|message| Ok(parsed(message)?.into_bytes()));
    messages.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_proposal_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proposal.json");
        let proposed = Proposed { origin: "sillage.example/log".to_owned(), records: Vec::new() };
        proposed.write_new(&path).expect("written");
        let mode = || std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert!(matches!(proposed.write_new(&path), Err(ClientError::Usage(_))), "it is there");
        assert!(std::fs::read_to_string(&path).expect("the text").ends_with("}\n"));
    }
}
