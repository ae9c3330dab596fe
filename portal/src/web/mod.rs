//! HTTP as both processes speak it, on the connections of `sillage_web`: requests read once ([`Asked`]), forms and queries
//! ([`fields`]), answers with the headers that keep a page safe ([`answer`]).

pub mod answer;
pub mod fields;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use sillage_web::listen::{Handler, Peer};

use self::answer::Answer;
use self::fields::Fields;

/// Most bytes of a body.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// What answers requests that were read.
pub trait Site: Send + Sync + 'static {
    /// Answers one; never fails.
    fn answer(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

/// A site on a port.
pub struct OnPort<S> {
    /// The site.
    pub site: Arc<S>,
    /// The body of a request comes within this.
    pub body_timeout: Duration,
    /// Whether the port speaks TLS: browsers are then told to ask for nothing else.
    pub is_tls: bool,
}

impl<S: Site> Handler for OnPort<S> {
    async fn answer(&self, request: Request<Incoming>, _: Peer) -> Answer {
        let mut out = match tokio::time::timeout(self.body_timeout, Asked::read(request)).await {
            Ok(Ok(asked)) => self.site.answer(asked).await,
            Ok(Err(error @ Unreadable::TooLarge)) => answer::text(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
            Ok(Err(error @ Unreadable::Malformed)) => answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(_) => answer::text(StatusCode::REQUEST_TIMEOUT, "the body didn't come in time"),
        };
        if self.is_tls {
            answer::add(&mut out, header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
        }
        out
    }

    fn refuse(&self, why: &'static str) -> Answer {
        answer::text(StatusCode::BAD_REQUEST, why)
    }
}

/// A request, read.
#[derive(Debug)]
pub struct Asked {
    /// `GET`, `HEAD` or `POST`.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// The query.
    pub query: Fields,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; of a form, [`Asked::form`] reads it.
    pub body: Bytes,
}

/// Why a request isn't read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its body is larger than any form of ours.
    #[error("the body is larger than 64 kB")]
    TooLarge,
    /// Its query or form has more, or longer, fields than ours; or isn't one.
    #[error("the query or the form can't be read")]
    Malformed,
}

impl Asked {
    /// Reads a request, body and all.
    ///
    /// # Errors
    /// When it is over a bound.
    pub async fn read(request: Request<Incoming>) -> Result<Self, Unreadable> {
        let (head, body) = request.into_parts();
        let query = Fields::parse(head.uri.query().unwrap_or_default().as_bytes()).ok_or(Unreadable::Malformed)?;
        let body = match head.method {
            Method::POST => {
                let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
                read.map_err(|_| Unreadable::TooLarge)?.to_bytes()
            }
            _ => Bytes::new(),
        };
        Ok(Self { path: head.uri.path().to_owned(), method: head.method, query, headers: head.headers, body })
    }

    /// The form in its body.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn form(&self) -> Result<Fields, Unreadable> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Unreadable::Malformed);
        }
        Fields::parse(&self.body).ok_or(Unreadable::Malformed)
    }

    /// A cookie. Of two with one name, none: somebody put one beside ours.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        match (own.next(), own.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// Whether the request comes from a page of this origin, as far as the browser says.
    pub fn is_from(&self, base: &str) -> bool {
        let said = |name: &str| self.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let site = said("sec-fetch-site").is_none_or(|site| site == "same-origin");
        site && said("origin").is_none_or(|origin| origin == base)
    }
}
