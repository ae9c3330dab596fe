//! Logins: what an identity provider signed, and the form in which records and requests carry it. [`crate::will`] says what a login
//! proves.
//!
//! [`jws`] reads a token, [`claims`] what it says, [`issuer`] whose keys count, [`binding`] what ties it to a record.

pub mod binding;
pub mod claims;
pub mod issuer;
pub mod jws;
pub mod test_issuer;

use sillage_proto::v1;

use crate::codes::Code;
use crate::error::RecordError;
use crate::kind::{Group, Kind};

/// Longest token, in bytes: that of FranceConnect has about 1,000.
pub const TOKEN_BYTES_MAX: usize = 8 * 1_024;
/// The longest that a login may count after it was made, in seconds: half an hour.
pub const SESSION_S_MAX: u64 = 1_800;
/// By how much the clocks of issuers and of the ledger may differ, in seconds.
pub const LEEWAY_S: u64 = 60;
/// For how long the ledger remembers what was decided, so that it isn't handed in a second time while the login counts, in
/// milliseconds.
pub const REMEMBERED_MS: u64 = (SESSION_S_MAX + 3 * LEEWAY_S) * 1_000;

/// How sure an issuer is of who logged in (Regulation (EU) 910/2014, art. 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than the two others, or not known.
    Low,
    /// Enough to decide.
    Substantial,
    /// More than enough.
    High,
}

impl Level {
    /// As `auth.eidas_level` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }
}

/// Signatures that were verified before, so that they needn't be again. It saves time, and never decides.
pub trait KnownSignatures: std::fmt::Debug {
    /// Tells whether `signature` over `message` is good: seen before, or by `verify`, and then remembered. `message` names
    /// the key.
    fn or_verify(&self, message: &[u8], signature: &[u8], verify: &dyn Fn() -> bool) -> bool;
}

/// Tells whether a record of this kind may carry a will: what the patient, or who represents them, may decide, contests,
/// the opening of a session, and that a device acts for the patient.
pub fn may_carry(kind: Kind) -> bool {
    matches!(kind.group(), Group::Space | Group::Consent | Group::Limits | Group::People)
        || matches!(kind, Kind::CONTEST_OPENED | Kind::CONTEST_CLOSED | Kind::SESSION_OPENED | Kind::DEVICE_REGISTERED)
}

/// Checks the bounds of a record's will: what can be said without an issuer.
pub(crate) fn check(kind: Kind, will: &v1::Will) -> Result<(), RecordError> {
    if !may_carry(kind) {
        let why = "only what the patient or a representative decides carries it: leave it out";
        return Err(RecordError::malformed("", why));
    }
    check_bounds(will)
}

/// Checks the bounds of a will, whatever it is about.
pub(crate) fn check_bounds(will: &v1::Will) -> Result<(), RecordError> {
    for (path, token) in [("token", &will.token), ("userinfo", &will.userinfo)] {
        if token.len() > TOKEN_BYTES_MAX {
            let why = format!("{} bytes, and a token has at most {TOKEN_BYTES_MAX}", token.len());
            return Err(RecordError::new(Code::LoginMalformed, path, why));
        }
    }
    if will.token.is_empty() {
        return Err(RecordError::new(Code::LoginMalformed, "token", "missing"));
    }
    let sized = |path: &str, bytes: &[u8], wanted: &[usize]| match wanted.contains(&bytes.len()) {
        true => Ok(()),
        false => Err(RecordError::malformed(path, format!("{} bytes, expected {wanted:?}", bytes.len()))),
    };
    sized("tag_proof", &will.tag_proof, &[0, 80])?;
    let in_session = !will.session_key.is_empty();
    sized("session_key", &will.session_key, &[0, 32])?;
    sized("signature", &will.signature, &[if in_session { 64 } else { 0 }])?;
    sized("blind", &will.blind, &[if in_session { 0 } else { 16 }])
}
