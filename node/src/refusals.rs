//! Every refusal as an [`ErrorInfo`], and as the gRPC status that carries it: the one place that maps them.

use prost::Message as _;
use sillage_cluster::ReadError as IndexError;
use sillage_ledger::{ReadError, Refusal};
use sillage_proto::v1::ErrorInfo;
use sillage_rules::codes::Code;
use tonic::{Code as GrpcCode, Status};

use crate::quota::Exceeded;

/// A refusal whose message is the code's own way out.
pub fn refuse(code: Code) -> Refusal {
    Refusal::new(code, code.way_out())
}

/// `UNAVAILABLE`, with what is missing.
pub fn unavailable(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Unavailable, message)
}

/// Over a quota. `what` says which, and what counts in it; the wait is rounded up, as one that ends early is refused again.
pub fn over_quota(code: Code, what: &str, exceeded: Exceeded) -> Refusal {
    let wait_ms = u64::try_from(exceeded.retry_after.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
    Refusal::new(code, format!("{what}: send the same again in {wait_ms} ms")).after_ms(wait_ms)
}

/// `NOT_ENTITLED`, with the roles that may.
pub fn not_entitled(who_may: &str) -> Refusal {
    let message = format!("this call is for {who_may}: ask the authority for the role");
    Refusal::new(Code::NotEntitled, message)
}

/// Tells whether another state of the ledger might take what this refuses: parties, keys and what is on record change. A node
/// that lags may be wrong about it.
pub fn depends_on_state(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownKey
            | Code::RevokedKey
            | Code::NotEntitled
            | Code::ActRefused
            | Code::NotErasable
            | Code::UnknownIndex
            | Code::AuthenticationMissing
            | Code::UnknownReference
            | Code::Attending
            | Code::RepresentationCycle
            | Code::IdTaken
            | Code::TooManyDirectives
            | Code::TooManyRules
            | Code::ItemContradicts
    )
}

/// The same for what is sealed already: its data key may be on record at the node that sealed, which therefore didn't send
/// it along, and not yet here.
pub fn sealed_depends_on_state(code: Code) -> bool {
    depends_on_state(code) || code == Code::MalformedRequest
}

/// As it travels.
pub fn to_info(refusal: &Refusal) -> ErrorInfo {
    ErrorInfo {
        code: refusal.code.as_str().to_owned(),
        message: refusal.message.clone(),
        expected_seq: refusal.expected_seq.unwrap_or(0),
        retry: refusal.code.is_retry(),
        position: refusal.position.unwrap_or(0),
        retry_after_ms: refusal.retry_after_ms.unwrap_or(0),
    }
}

/// As a peer sent it. A peer of a newer version may know more codes.
pub fn from_info(info: ErrorInfo) -> Refusal {
    let code = Code::from_name(&info.code).unwrap_or(Code::Unavailable);
    Refusal {
        code,
        message: info.message,
        expected_seq: (code == Code::OutOfOrder).then_some(info.expected_seq),
        position: Some(info.position),
        local: None,
        retry_after_ms: (info.retry_after_ms > 0).then_some(info.retry_after_ms),
    }
}

/// The status whose details are the [`ErrorInfo`].
pub fn to_status(refusal: &Refusal) -> Status {
    let grpc = GrpcCode::from_i32(refusal.code.grpc_status());
    let details = to_info(refusal).encode_to_vec();
    Status::with_details(grpc, refusal.message.clone(), details.into())
}

/// The refusal that a peer's status carries; `None` when the connection failed, not the peer.
pub fn from_status(status: &Status) -> Option<Refusal> {
    if status.details().is_empty() {
        return None;
    }
    ErrorInfo::decode(status.details()).ok().map(from_info)
}

/// The refusal for an error of the ledger's store. Its own troubles are logged here and not told to callers.
pub fn from_read(error: &ReadError) -> Refusal {
    match error {
        ReadError::Beyond { .. } => Refusal::new(Code::SizeNotReached, error.to_string()),
        ReadError::Reversed { .. } => Refusal::new(Code::MalformedRequest, error.to_string()),
        ReadError::Store(said) => {
            tracing::error!(%error, "reading failed");
            Refusal { local: Some(said.as_str().into()), ..refuse(Code::Storage) }
        }
        ReadError::Damaged(_) => {
            tracing::error!(%error, "reading failed");
            refuse(Code::Corrupt)
        }
    }
}

/// Why a read index didn't come.
pub fn from_index(error: IndexError) -> Refusal {
    match error {
        IndexError::NoLeader => refuse(Code::NoLeader),
        IndexError::Busy => refuse(Code::Busy),
        IndexError::ShuttingDown => unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_to_a_caller_and_from_a_peer() {
        let refusal = Refusal::new(Code::OutOfOrder, "expected 7").expecting(7).at(0);
        let status = to_status(&refusal);
        assert_eq!(status.code(), GrpcCode::FailedPrecondition);
        let info = ErrorInfo::decode(status.details()).expect("details are an ErrorInfo");
        assert_eq!((info.expected_seq, info.retry), (7, false));
        assert_eq!(from_info(info), refusal);
        assert_eq!(from_status(&status), Some(refusal));
        assert_eq!(from_status(&Status::unavailable("no route")), None);
        assert!(to_info(&refuse(Code::Busy)).retry);
    }
}
