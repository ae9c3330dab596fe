//! Answers and their headers: how long they hold, whether the asker has them already.

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use sillage_proof::hash::sha256;

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// For ever.
    Forever,
    /// Until asked again.
    Now,
    /// It is for whoever asked alone.
    Private,
}

impl Holds {
    const fn value(self) -> HeaderValue {
        match self {
            Self::Forever => HeaderValue::from_static("public, max-age=31536000, immutable"),
            Self::Now => HeaderValue::from_static("no-cache"),
            Self::Private => HeaderValue::from_static("private, no-store"),
        }
    }
}

/// The content of an answer.
pub struct Content {
    /// The body.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: &'static str,
    /// How long it holds.
    pub holds: Holds,
}

const NOSNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
const ANY_ORIGIN: (HeaderName, HeaderValue) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// The content, or 304 where the asker has it (`If-None-Match`, RFC 9110 §13.1.2).
pub fn content(asked: &HeaderMap, content: Content) -> Response<Body> {
    let Content { bytes, media_type, holds } = content;
    let is_public = holds != Holds::Private;
    let tag = etag(&bytes);
    let mut answer = match is_public && names(asked, &tag) {
        true => status(StatusCode::NOT_MODIFIED, Body::empty()),
        false => {
            let mut answer = status(StatusCode::OK, Body::from(bytes));
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            answer
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, holds.value());
    if is_public {
        headers.insert(header::ETAG, tag);
        headers.extend([ANY_ORIGIN]);
        let exposed = HeaderValue::from_static("ETag");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    answer
}

/// One sentence, of which nothing is kept.
pub fn sentence(code: StatusCode, text: &str) -> Response<Body> {
    let mut answer = status(code, Body::from(format!("{text}\n")));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend([ANY_ORIGIN]);
    answer
}

/// Answers the question that a browser asks before it sends a conditional request to another origin (CORS preflight).
pub fn preflight() -> Response<Body> {
    let mut answer = status(StatusCode::NO_CONTENT, Body::empty());
    let headers = answer.headers_mut();
    headers.extend([ANY_ORIGIN]);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("If-None-Match"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer
}

fn status(code: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().extend([NOSNIFF]);
    answer
}

/// A strong validator: equal bytes, equal tag.
fn etag(bytes: &[u8]) -> HeaderValue {
    let hash = sha256(&[bytes]).to_bytes();
    let text = format!("\"{}\"", hex::encode(&hash[..16]));
    HeaderValue::from_str(&text).expect("quotes and hexadecimal digits")
}

/// Tells whether `If-None-Match` names this tag, or any.
fn names(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lines = asked.get_all(header::IF_NONE_MATCH).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(|named| {
        let named = named.trim();
        // The comparison is the weak one.
        named == "*" || named.strip_prefix("W/").unwrap_or(named).as_bytes() == tag.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tags: &[&'static str]) -> HeaderMap {
        tags.iter().map(|tag| (header::IF_NONE_MATCH, HeaderValue::from_static(tag))).collect()
    }

    fn answer(asked: &HeaderMap, holds: Holds) -> Response<Body> {
        content(asked, Content { bytes: Bytes::from_static(b"tile"), media_type: "text/plain", holds })
    }

    #[test]
    fn what_the_asker_has_is_not_sent_again() {
        let first = answer(&HeaderMap::new(), Holds::Forever);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let tag: &'static str = tag.leak();
        let weak: &'static str = format!("W/{tag}").leak();
        for tags in [&[tag][..], &["\"other\"", tag], &[weak], &["*"]] {
            let again = answer(&asked(tags), Holds::Forever);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{tags:?}");
            assert_eq!(again.headers()[header::ETAG], tag);
            assert!(again.headers().contains_key(header::CACHE_CONTROL));
        }
        assert_eq!(answer(&asked(&["\"other\""]), Holds::Forever).status(), StatusCode::OK);
        assert_eq!(answer(&asked(&[tag.trim_matches('"').to_owned().leak()]), Holds::Now).status(), StatusCode::OK);
    }

    #[test]
    fn what_is_private_is_kept_by_nobody_and_shown_to_no_other_origin() {
        let answer = answer(&asked(&["*"]), Holds::Private);
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "private, no-store");
        for absent in [header::ETAG, header::ACCESS_CONTROL_ALLOW_ORIGIN] {
            assert!(!answer.headers().contains_key(&absent), "{absent}");
        }
    }
}
