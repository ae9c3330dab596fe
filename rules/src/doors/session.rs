//! The session of a patient (`docs/formats-doors.md` §25): what lets a portal read one patient, and sign what that patient decides.

use serde::{Deserialize, Serialize};
use sillage_proof::hash::Hash;
use sillage_proof::keys::AuthorId;

use crate::codes::Code;
use crate::consent::details;
use crate::error::RecordError;
use crate::record::ParsedRecord;

/// Length of a VRF proof.
const PROOF_BYTES: usize = 80;

/// A login opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOpened {
    /// The session's public key.
    pub session: [u8; 32],
    /// The portal that may use it.
    pub portal: AuthorId,
    /// Where the patient opens it: their open tag, and its VRF proof.
    pub open: Option<OpenTag>,
}

/// A patient's open tag, proven by the INS that logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTag {
    /// The tag.
    pub tag: [u8; 32],
    /// Its proof (`docs/formats.md` §7).
    pub proof: [u8; PROOF_BYTES],
}

/// The details of `session.opened`, as a program writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionDetails {
    /// The portal that may use it.
    pub portal: AuthorId,
    /// Of the patient: their open tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_tag: Option<Hash>,
    /// Of the patient: its proof, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_proof: Option<String>,
}

/// A session ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionClosed {
    /// The session's public key.
    pub session: Hash,
}

impl SessionOpened {
    pub(crate) fn parse(record: &ParsedRecord) -> Result<Self, RecordError> {
        let message = record.message();
        let SessionDetails { portal, open_tag, open_proof } = details::parse(&message.details)?;
        let malformed = |path: &str, why: &str| RecordError::malformed(path, why);
        let open = match (open_tag, open_proof) {
            (None, None) => None,
            (Some(tag), Some(text)) => {
                let proof = hex::decode(&text).ok().and_then(|proof| proof.try_into().ok());
                let proof = proof.filter(|proof: &[u8; PROOF_BYTES]| hex::encode(proof) == text);
                let why = "not 80 bytes in small hexadecimal characters";
                let proof = proof.ok_or_else(|| malformed("details.open_proof", why))?;
                Some(OpenTag { tag: tag.to_bytes(), proof })
            }
            _ => return Err(malformed("details.open_tag", "the tag and its proof go together")),
        };
        let missing = || {
            let why = "a session is opened by a login alone: give its will, whose nonce names the session's key";
            RecordError::new(Code::AuthenticationMissing, "will", why)
        };
        let will = message.will.as_ref().ok_or_else(missing)?;
        let session = will.session_key[..].try_into().map_err(|_| missing())?;
        Ok(Self { session, portal, open })
    }
}

impl SessionClosed {
    pub(super) fn parse(text: &str) -> Result<Self, RecordError> {
        details::parse(text)
    }
}
