//! Errors on this side, and the way out of each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use sillage_proto::v1::ErrorInfo;
use sillage_rules::chain::Unproven;
use sillage_rules::codes::Class;
pub use sillage_rules::codes::Code;

use sillage_words::sentence::clean;
use sillage_words::time::NotATime;

/// Every error of this crate. Each is one sentence with the way out; [`ClientError::exit_code`] is what scripts see.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The command, the profile or a file can't be used as it is.
    #[error("{0}")]
    Usage(String),
    /// The policy is missing: nothing is verified without saying whose signatures count.
    #[error("POLICY_REQUIRED: name whose signatures count with --policy FILE (c2sp.org/tlog-policy)")]
    PolicyRequired,
    /// A check that anyone can repeat failed: what was shown isn't what was promised.
    #[error("check failed: {0}")]
    Check(String),
    /// No node answered, or none could answer now. The same call may succeed later.
    #[error("the ledger is out of reach: {0}; try again")]
    Unavailable(String),
    /// Every node answered that the caller has asked for more than it may. The same call succeeds after the time that is named.
    #[error("over a quota: {0}")]
    Quota(String),
    /// The ledger, or the same rules applied here, refused. Trying again unchanged is of no use.
    #[error("{}: {}", .0.code, .0.message)]
    Rejected(Rejection),
    /// The act was written as a proposal for other authorities, as the command asked for: no failure.
    #[error("proposed, and not submitted: {}", .0.display())]
    Proposed(PathBuf),
    /// A file of this machine can't be read or written.
    #[error("{what} {}: {why}", path.display())]
    File {
        /// The attempt, such as `cannot read`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The error of the operating system.
        why: String,
    },
}

/// The code of a refusal: one of those that this version knows (`docs/errors.md`), or the name of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorCode {
    /// A code of the ledger.
    Known(Code),
    /// A code of a later version, or of the transport.
    Unknown(String),
}

impl ErrorCode {
    /// Its name, such as `OUT_OF_ORDER`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(code) => code.as_str(),
            Self::Unknown(name) => name,
        }
    }

    /// The code, where this version knows it.
    pub fn known(&self) -> Option<Code> {
        match self {
            Self::Known(code) => Some(*code),
            Self::Unknown(_) => None,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        Self::Known(code)
    }
}

impl From<&str> for ErrorCode {
    fn from(name: &str) -> Self {
        Code::from_name(name).map_or_else(|| Self::Unknown(name.to_owned()), Self::Known)
    }
}

impl From<String> for ErrorCode {
    fn from(name: String) -> Self {
        Code::from_name(&name).map_or(Self::Unknown(name), Self::Known)
    }
}

impl PartialEq<Code> for ErrorCode {
    fn eq(&self, other: &Code) -> bool {
        self.known() == Some(*other)
    }
}

/// A refusal, as the ledger words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable code, such as `OUT_OF_ORDER`.
    pub code: ErrorCode,
    /// One sentence with the way out.
    pub message: String,
    /// The sequence number the ledger expects next, with `OUT_OF_ORDER`; 0 otherwise.
    pub expected_seq: u64,
    /// Position in the batch of the record that is meant, from 0.
    pub position: u32,
}

impl From<NotATime> for ClientError {
    fn from(error: NotATime) -> Self {
        Self::Usage(error.0)
    }
}

impl From<Unproven> for ClientError {
    fn from(error: Unproven) -> Self {
        Self::Check(error.0)
    }
}

impl ClientError {
    /// 1 a check failed, 2 usage, 3 unavailable, 4 rejected.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Proposed(_) => 0,
            Self::Check(_) => 1,
            Self::Usage(_) | Self::PolicyRequired | Self::File { .. } => 2,
            Self::Unavailable(_) | Self::Quota(_) => 3,
            Self::Rejected(rejection) => rejection.code.known().map_or(4, Code::exit_code),
        }
    }

    /// Tells whether the same call may succeed later.
    pub fn is_retry(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Quota(_))
    }

    /// A refusal made on this side, with one of the ledger's own codes.
    pub fn rejected(code: impl Into<ErrorCode>, message: impl Into<String>) -> Self {
        Self::Rejected(Rejection { code: code.into(), message: message.into(), expected_seq: 0, position: 0 })
    }

    /// A file that can't be read.
    pub fn reading(path: &Path, why: impl ToString) -> Self {
        Self::File { what: "cannot read", path: path.to_owned(), why: why.to_string() }
    }

    /// A file that can't be written.
    pub fn writing(path: &Path, why: impl ToString) -> Self {
        Self::File { what: "cannot write", path: path.to_owned(), why: why.to_string() }
    }
}

/// A failed check, as an error; `what` says which promise was broken.
pub fn failed(what: &str) -> ClientError {
    ClientError::Check(what.to_owned())
}

/// One gRPC status, sorted into *retry* and *reject*.
#[derive(Debug)]
pub enum Verdict {
    /// Another node, or the same one later, may answer. Holds the reason for the last error message.
    Retry(String),
    /// The caller is over a quota. Another node may have some of it left; else it waits this long.
    Wait(String, Option<Duration>),
    /// Final.
    Final(ClientError),
}

/// Sorts a status. The details of a status that the ledger made hold an [`ErrorInfo`]; a status that the transport made
/// has none, and then nothing is known of the request: it is repeated, which is safe for every call of the ledger.
pub fn verdict(status: &tonic::Status) -> Verdict {
    use tonic::Code as Status;
    let info = ErrorInfo::decode(status.details()).ok().filter(|info| !info.code.is_empty());
    if let Some(info) = info {
        // A node that broke says nothing of the others.
        let broken = Code::from_name(&info.code).is_some_and(|code| code.class() == Class::Fatal);
        // What a node says goes to a terminal: nothing in it may steer one.
        let (code, message) = (ErrorCode::from(clean(&info.code)), clean(&info.message));
        if info.retry || broken {
            let reason = format!("{code}: {message}");
            let is_quota = [Code::QuotaExceeded, Code::LookupLimit].iter().any(|quota| code == *quota);
            let wait = (info.retry_after_ms > 0).then(|| Duration::from_millis(info.retry_after_ms));
            return if is_quota { Verdict::Wait(reason, wait) } else { Verdict::Retry(reason) };
        }
        return Verdict::Final(ClientError::Rejected(Rejection {
            code,
            message,
            expected_seq: info.expected_seq,
            position: info.position,
        }));
    }
    match status.code() {
        Status::Unavailable
        | Status::Unknown
        | Status::Internal
        | Status::Cancelled
        | Status::DeadlineExceeded
        | Status::Aborted
        | Status::ResourceExhausted => Verdict::Retry(with_causes(status)),
        Status::Unimplemented => Verdict::Final(ClientError::rejected(
            "UNIMPLEMENTED",
            "this node does not know the call: use a client and a ledger of the same version",
        )),
        code => Verdict::Final(ClientError::rejected(
            format!("{code:?}").to_uppercase(),
            format!("{} (the node gave no reason: look at its log)", clean(status.message())),
        )),
    }
}

/// The status' message and what lies under it: "transport error" alone helps nobody.
fn with_causes(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: tonic::Code, info: Option<ErrorInfo>) -> tonic::Status {
        let details = info.map(|info| info.encode_to_vec()).unwrap_or_default();
        tonic::Status::with_details(code, "words", details.into())
    }

    #[test]
    fn what_the_ledger_refuses_is_final_and_keeps_its_code() {
        let info = ErrorInfo {
            code: "OUT_OF_ORDER".into(),
            message: "send batch 7 next".into(),
            expected_seq: 7,
            ..ErrorInfo::default()
        };
        let verdict = verdict(&status(tonic::Code::FailedPrecondition, Some(info)));
        let Verdict::Final(ClientError::Rejected(rejection)) = verdict else {
            panic!("expected a refusal, got {verdict:?}");
        };
        assert_eq!((rejection.code.as_str(), rejection.expected_seq), ("OUT_OF_ORDER", 7));
        assert_eq!(ClientError::Rejected(rejection).exit_code(), 4);
    }

    #[test]
    fn over_a_quota_one_waits_as_long_as_the_node_says_and_is_told_that_it_is_a_quota() {
        let info = |code: &str| ErrorInfo {
            code: code.into(),
            message: "again in 7 ms".into(),
            retry: true,
            retry_after_ms: 7,
            ..ErrorInfo::default()
        };
        for code in ["QUOTA_EXCEEDED", "LOOKUP_LIMIT"] {
            let verdict = verdict(&status(tonic::Code::ResourceExhausted, Some(info(code))));
            let Verdict::Wait(reason, Some(wait)) = verdict else { panic!("expected a wait, got {verdict:?}") };
            assert_eq!((reason, wait), (format!("{code}: again in 7 ms"), Duration::from_millis(7)));
        }
        let busy = verdict(&status(tonic::Code::ResourceExhausted, Some(info("BUSY"))));
        assert!(matches!(busy, Verdict::Retry(_)));
        let told = ClientError::Quota("QUOTA_EXCEEDED: again in 7 ms".into());
        assert_eq!((told.exit_code(), told.is_retry()), (3, true));
        assert!(told.to_string().contains("quota") && !told.to_string().contains("out of reach"));
    }

    #[test]
    fn nothing_that_a_node_says_steers_the_terminal() {
        let odd = "\u{1b}[2Jall is well\r\n\u{9b}31m\u{202e}\u{7}";
        let info =
            |code: &str, retry| ErrorInfo { code: code.into(), message: odd.into(), retry, ..ErrorInfo::default() };
        let told = [
            verdict(&status(tonic::Code::NotFound, Some(info("ODD\u{1b}[1m", false)))),
            verdict(&status(tonic::Code::Unavailable, Some(info("ODD\u{1b}[1m", true)))),
            verdict(&status(tonic::Code::ResourceExhausted, Some(info("QUOTA_EXCEEDED", true)))),
            verdict(&tonic::Status::new(tonic::Code::NotFound, odd)),
            verdict(&tonic::Status::new(tonic::Code::Unavailable, odd)),
        ];
        for told in told {
            let told = match told {
                Verdict::Retry(reason) | Verdict::Wait(reason, _) => reason,
                Verdict::Final(error) => error.to_string(),
            };
            assert!(told.contains("all is well"), "{told:?}");
            assert!(!told.contains(char::is_control) && !told.contains('\u{202e}'), "{told:?}");
        }
    }

    #[test]
    fn what_may_pass_later_is_retried() {
        let info = ErrorInfo { code: "NO_LEADER".into(), retry: true, ..ErrorInfo::default() };
        let with_info = verdict(&status(tonic::Code::Unavailable, Some(info)));
        assert!(matches!(with_info, Verdict::Retry(_)));
        let transport = verdict(&status(tonic::Code::Unknown, None));
        assert!(matches!(transport, Verdict::Retry(_)));
        let info = ErrorInfo { code: "STORAGE".into(), ..ErrorInfo::default() };
        let broken = verdict(&status(tonic::Code::Internal, Some(info)));
        assert!(matches!(broken, Verdict::Retry(_)), "another node may not be broken");
        let refused = verdict(&status(tonic::Code::PermissionDenied, None));
        assert!(matches!(refused, Verdict::Final(_)));
    }

    #[test]
    fn every_error_has_the_exit_code_of_the_contract() {
        assert_eq!(ClientError::Check(String::new()).exit_code(), 1);
        assert_eq!(ClientError::Usage(String::new()).exit_code(), 2);
        assert_eq!(ClientError::from(NotATime(String::new())).exit_code(), 2);
        assert_eq!(ClientError::PolicyRequired.exit_code(), 2);
        assert!(ClientError::PolicyRequired.to_string().contains("POLICY_REQUIRED"));
        assert_eq!(ClientError::Unavailable(String::new()).exit_code(), 3);
    }
}
