//! Answers, each with the headers that keep a page to itself.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use maud::Markup;

/// An answer.
pub type Answer = Response<Body>;

/// What the page may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Show itself, and send forms to its own origin.
    Page,
    /// Run the verifier, too, which fetches from this origin.
    Verifier,
    /// Send forms that lead on to this other origin: the login's page.
    LeadingTo(String),
}

impl Policy {
    fn value(&self) -> HeaderValue {
        let base = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'";
        let text = match self {
            Self::Page => format!("{base}; form-action 'self'"),
            Self::Verifier => format!("{base}; form-action 'self'; script-src 'self'; connect-src 'self'"),
            Self::LeadingTo(origin) => format!("{base}; form-action 'self' {origin}"),
        };
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }
}

/// Of every answer. Nothing of it is kept, and no other site learns that it was looked at.
const ALWAYS: [(HeaderName, HeaderValue); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Other sites learn nothing. Our own forms name their origin, by which they are told from those of other sites: under `no-referrer` a
    // browser says `Origin: null`.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("permissions-policy"), HeaderValue::from_static("interest-cohort=(), browsing-topics=()")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
];

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn answer(status: StatusCode, media_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::CONTENT_SECURITY_POLICY, Policy::Page.value());
    headers.extend(ALWAYS);
    answer
}

/// A page.
pub fn page(status: StatusCode, policy: &Policy, markup: Markup) -> Answer {
    let mut out = answer(status, "text/html; charset=utf-8", markup.into_string().into());
    out.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.value());
    out
}

/// Leads on: the browser asks for `to` by GET. `to` is ours, or an origin of the configuration.
pub fn see_other(to: &str) -> Answer {
    let mut out = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    out.headers_mut().insert(header::LOCATION, to);
    out
}

/// One line of text.
pub fn text(status: StatusCode, line: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n").into())
}

/// JSON, for the back channel.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    answer(status, "application/json", serde_json::to_vec(value).unwrap_or_default().into())
}

/// A file of the program, which browsers may keep for a while.
pub fn asset(media_type: &'static str, text: &'static str) -> Answer {
    let mut out = answer(StatusCode::OK, media_type, Bytes::from_static(text.as_bytes()));
    out.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    out
}

/// A file to be saved under this name.
pub fn download(media_type: &'static str, name: &str, bytes: Vec<u8>) -> Answer {
    let mut out = answer(StatusCode::OK, media_type, bytes.into());
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        out.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    out
}

/// Adds a header that may come several times.
pub fn add(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_kept_by_nobody_and_runs_nothing() {
        let page = page(StatusCode::OK, &Policy::Page, maud::html! { p { "<b>" } });
        let header = |name: &str| page.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "same-origin");
        let csp = header("content-security-policy");
        assert!(csp.starts_with("default-src 'none'") && csp.contains("frame-ancestors 'none'"), "{csp}");
        assert!(!csp.contains("script-src") && !csp.contains("unsafe"), "{csp}");
        assert!(Policy::Verifier.value().to_str().expect("text").contains("script-src 'self'"));
    }
}
