//! Refusals that gRPC makes before a call reaches us, put into our codes.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use tonic::Code as GrpcCode;
use tonic::body::Body;

use crate::refusals::{refuse, to_status};

const DETAILS: &str = "grpc-status-details-bin";

/// Gives a refusal without details the details that belong to it.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let is_submit = request.uri().path().ends_with("/Submit");
    let response = next.run(request).await;
    match code_of(response.headers(), is_submit) {
        Some(code) => {
            let refusal: Refusal = refuse(code);
            let explained: http::Response<Body> = to_status(&refusal).into_http();
            explained.map(axum::body::Body::new)
        }
        None => response,
    }
}

/// The meaning of a refusal by tonic itself: it refuses messages that are too large or aren't the expected one.
fn code_of(headers: &HeaderMap, is_submit: bool) -> Option<Code> {
    let status = headers.get("grpc-status")?;
    if headers.contains_key(DETAILS) {
        return None;
    }
    let message = headers.get("grpc-message").map(|text| text.as_bytes());
    let not_utf8 = message.is_some_and(|text| text.windows(5).any(|part| part == b"UTF-8"));
    match GrpcCode::from_bytes(status.as_bytes()) {
        GrpcCode::OutOfRange if is_submit => Some(Code::BatchTooLarge),
        GrpcCode::Internal if not_utf8 => Some(Code::InvalidUtf8),
        GrpcCode::OutOfRange | GrpcCode::Internal => Some(Code::MalformedRequest),
        GrpcCode::Cancelled | GrpcCode::DeadlineExceeded => Some(Code::Timeout),
        GrpcCode::ResourceExhausted => Some(Code::Busy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    fn code(status: Status, is_submit: bool) -> Option<Code> {
        let response: http::Response<Body> = status.into_http();
        code_of(response.headers(), is_submit)
    }

    #[test]
    fn what_grpc_refuses_gets_a_code_and_our_own_is_left_alone() {
        let large = || Status::out_of_range("decoded message length too large");
        assert_eq!(code(large(), true), Some(Code::BatchTooLarge));
        assert_eq!(code(large(), false), Some(Code::MalformedRequest));
        let text = Status::internal("invalid string value: data is not UTF-8 encoded");
        assert_eq!(code(text, true), Some(Code::InvalidUtf8));
        let garbage = Status::internal("failed to decode Protobuf message");
        assert_eq!(code(garbage, true), Some(Code::MalformedRequest));
        assert_eq!(code(Status::unimplemented("no such call"), true), None);
        assert_eq!(code(to_status(&refuse(Code::SizeNotReached)), true), None);
    }
}
