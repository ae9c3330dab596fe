//! What a handler gives back, and how it travels: status, headers, and a resource in the format that was asked for.

use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::format::{self, Format};
use super::outcome::{Issue, outcome};

/// An answer, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beside those of the body.
    pub headers: Vec<(HeaderName, String)>,
    /// The body; none: an empty one.
    pub resource: Option<Value>,
    /// JSON that is no resource: it is `application/json` whatever was asked for.
    pub is_plain: bool,
}

/// Smaller bodies aren't worth a compression, in bytes.
const GZIP_BYTES_MIN: usize = 2_048;

impl Answer {
    /// Without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), resource: None, is_plain: false }
    }

    /// With a resource.
    pub fn resource(status: StatusCode, resource: Value) -> Self {
        Self { resource: Some(resource), ..Self::empty(status) }
    }

    /// With an OperationOutcome of one issue.
    pub fn issue(status: StatusCode, issue: Issue) -> Self {
        Self::resource(status, outcome(&[issue]))
    }

    /// `400`.
    pub fn bad(code: &'static str, text: impl Into<String>) -> Self {
        Self::issue(StatusCode::BAD_REQUEST, Issue::error(code, text))
    }

    /// `404`, the same words whatever isn't there.
    pub fn not_found() -> Self {
        let why = "nothing is here, or nothing that this client may know of";
        Self::issue(StatusCode::NOT_FOUND, Issue::error("not-found", why))
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The first header of this name.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// As it travels. `gzip`: the caller takes it.
    pub fn write(self, format: Format, gzip: bool, is_head: bool) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // A value that isn't one holds a name that no URL can have; it is left out rather than cut.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
        let Some(resource) = self.resource else { return response };
        let format = if self.is_plain { Format::Json } else { format };
        let bytes = match format::write(&resource, format) {
            Ok(bytes) => bytes,
            Err(why) => {
                tracing::warn!(%why, "an answer can't be written as it was asked for");
                let why =
                    "this resource can't be written in the format that was asked for: ask for application/fhir+json";
                let refused = Self::issue(StatusCode::NOT_ACCEPTABLE, Issue::error("not-supported", why));
                return refused.write(Format::Json, gzip, is_head);
            }
        };
        let media_type = if self.is_plain { "application/json" } else { format.media_type() };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        let bytes = match gzip && bytes.len() >= GZIP_BYTES_MIN {
            true => match packed(&bytes) {
                Some(packed) => {
                    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    packed
                }
                None => bytes,
            },
            false => bytes,
        };
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        if !is_head {
            *response.body_mut() = Body::from(bytes);
        }
        response
    }
}

fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
