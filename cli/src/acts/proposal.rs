//! A proposed act: a file that is passed around, with the act and the signatures that it has so far. It holds no key; of an erasure it
//! holds the patient's tag, so that it is written for its owner alone.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::session::Session;
use sillage_proof::hash::Hash;
use sillage_proof::keys::{KeyId, SigningKey};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::authority::{CosignMessage, GuardedActs, content_hash};
use sillage_rules::line::ActLine;
use sillage_rules::record::{act_message, erasure_message};
use sillage_rules::time::TimeMs;

use crate::acts::proposed::write_new_proposal;
use crate::acts::{print, submit};
use crate::{Ended, output};

/// The largest proposal that is read.
const FILE_BYTES_MAX: usize = 1 << 20;
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A proposed act, as a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proposal {
    /// The log that it is for.
    pub(crate) origin: String,
    /// The act, for people; what counts is `record`.
    pub(crate) act: ActLine,
    /// The patient whom an erasure is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<Hash>,
    /// When it was proposed, ms.
    proposed_ms: u64,
    /// The hash that its signatures are over, hex.
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) signatures: Vec<SignatureLine>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureLine {
    pub key_id: KeyId,
    pub(crate) expires: TimeMs,
    signature: String,
}

impl SignatureLine {
    /// Signs.
    pub fn of(message: &CosignMessage, key: &SigningKey) -> Self {
        let signed = message.sign(key);
        Self { key_id: key.key_id(), expires: TimeMs(signed.expires_ms), signature: hex::encode(&signed.signature) }
    }

    /// As it stands in a record.
    ///
    /// # Errors
    /// When it isn't hexadecimal.
    pub fn to_message(&self) -> Result<v1::ActSignature, ClientError> {
        let signature = hex::decode(&self.signature)
            .map_err(|error| ClientError::Usage(format!("a signature isn't hexadecimal: {error}")))?;
        Ok(v1::ActSignature { key_id: self.key_id.as_bytes().to_vec(), expires_ms: self.expires.0, signature })
    }
}

impl Proposal {
    fn new(session: &Session, act: &Act, tag: Option<[u8; 32]>) -> Self {
        let proposed_ms = now_ms();
        let content = content_hash(&message_of(act, tag.as_ref(), proposed_ms)).to_string();
        let (origin, act, tag) = (session.profile.origin.clone(), ActLine::from(act), tag.map(Hash::from_bytes));
        Self { origin, act, tag, proposed_ms, content, signatures: Vec::new() }
    }

    /// Reads a file, and checks that it is of this log and says what its signatures are over.
    pub(crate) fn read(session: &Session, path: &Path) -> Result<Self, ClientError> {
        let bytes = read(path)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ClientError::reading(path, "too large for a proposed act"));
        }
        let proposal: Self = serde_json::from_slice(&bytes).map_err(|error| ClientError::reading(path, error))?;
        if proposal.origin != session.profile.origin {
            let what =
                format!("it is for the log {}, and the profile is for {}", proposal.origin, session.profile.origin);
            return Err(ClientError::reading(path, what));
        }
        if content_hash(&proposal.record()?).to_string() != proposal.content {
            return Err(ClientError::reading(
                path,
                "the act isn't the one that its signatures are over: propose it anew",
            ));
        }
        Ok(proposal)
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("string keys only") + "\n"
    }

    pub(crate) fn act(&self) -> Result<Act, ClientError> {
        self.act.to_act().map_err(|error| ClientError::rejected(error.code, error.to_string()))
    }

    /// The record, with the signatures that it has.
    pub(crate) fn record(&self) -> Result<v1::Record, ClientError> {
        let signatures: Result<Vec<_>, ClientError> = self.signatures.iter().map(SignatureLine::to_message).collect();
        let (act, tag) = (self.act()?, self.tag.map(|tag| *tag.as_bytes()));
        if matches!(act, Act::Erased { .. }) != tag.is_some() {
            let why = "an erasure stands under the tag of its patient, and no other act has one: propose it anew";
            return Err(ClientError::Usage(why.to_owned()));
        }
        Ok(v1::Record { signatures: signatures?, ..message_of(&act, tag.as_ref(), self.proposed_ms) })
    }
}

/// The record of an act; of an erasure, under its patient's tag.
fn message_of(act: &Act, tag: Option<&[u8; 32]>, proposed_ms: u64) -> v1::Record {
    match tag {
        Some(tag) => erasure_message(act, tag, proposed_ms),
        None => act_message(act, proposed_ms),
    }
}

/// How many authorities sign, as a person reads it.
pub fn rule_in_words(rule: Option<&v1::AuthorityRule>) -> String {
    match rule {
        Some(rule) if rule.needed > 1 => {
            let (needed, count) = (rule.needed, rule.authorities.len());
            let some = if GuardedActs::from_bits(rule.acts) == Ok(GuardedActs::EVERYTHING) { "" } else { " in part" };
            format!("authorities: {needed} of {count} sign what touches many{some}")
        }
        _ => "authorities: one key alone does everything, also for whoever steals it (`sillage authority rule`)"
            .to_owned(),
    }
}

/// The same for programs.
pub fn rule_json(rule: Option<&v1::AuthorityRule>) -> serde_json::Value {
    let authorities = rule.iter().flat_map(|rule| &rule.authorities).map(hex::encode);
    json!({
        "authorities_needed": rule.map_or(1, |rule| rule.needed),
        "authorities": authorities.collect::<Vec<_>>(),
        "acts": rule.map_or(0, |rule| rule.acts),
    })
}

/// Submits an act, or writes it as a proposal.
///
/// # Errors
/// When the file is there or can't be written, or the ledger refuses the act.
pub async fn submit_or_propose(
    session: &Session,
    act: &Act,
    propose: Option<&Path>,
    what: serde_json::Value,
) -> Result<Ended, ClientError> {
    match propose {
        Some(path) => propose_act(session, act, path),
        None => print(&submit(session, act).await?, what),
    }
}

/// The same of an act that is about no patient.
///
/// # Errors
/// As for [`propose_under`].
pub fn propose_act(session: &Session, act: &Act, path: &Path) -> Result<Ended, ClientError> {
    propose_under(session, act, None, path)
}

/// Writes a proposal; of an erasure, under its patient's tag.
///
/// # Errors
/// When the file is there or can't be written.
pub fn propose_under(session: &Session, act: &Act, tag: Option<[u8; 32]>, path: &Path) -> Result<Ended, ClientError> {
    let proposal = Proposal::new(session, act, tag);
    write_new_proposal(path, &proposal.text())?;
    output::note(
        "have other authorities sign it (`sillage authority sign FILE`), then submit it (`sillage authority submit FILE`)",
    );
    output::line(&json!({"proposed": path, "content": proposal.content}).to_string())?;
    Ok(Ended::Done)
}
