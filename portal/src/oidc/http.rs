//! A client of HTTP that follows nothing, keeps no connection, and bounds bytes and time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Uri, header};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::error::LoginError;
use super::settings::parse_url;

/// For connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one exchange, from the first byte to the last.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(8);
/// Bytes of headers that are read.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Headers of an answer.
const HEADERS_MAX: usize = 64;

/// How the other end is known, and how this one shows who it is.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Roots in PEM; none: those of browsers.
    pub ca: Option<PathBuf>,
    /// A certificate of this client and its key, both in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Plain HTTP to this machine is allowed.
    pub plain_loopback: bool,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its type, without parameters, in small letters.
    pub content_type: String,
    /// Its bytes.
    pub body: Zeroizing<Vec<u8>>,
}

/// A request.
pub struct Ask<'a> {
    /// Where to.
    pub url: &'a str,
    /// The body and its type; none: GET.
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    /// A bearer token.
    pub bearer: Option<&'a str>,
    /// Bytes of the answer that are read.
    pub bytes_max: usize,
}

/// The client.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    plain_loopback: bool,
}

impl Web {
    /// With this trust.
    ///
    /// # Errors
    /// A file that can't be used, by name.
    pub fn new(trust: &Trust) -> Result<Self, String> {
        let tls = tls(trust)?;
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = if trust.plain_loopback { builder.https_or_http() } else { builder.https_only() };
        let https = builder.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            // A connection that the other end has closed meanwhile would fail a code that can be used once.
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(https);
        Ok(Self { client, plain_loopback: trust.plain_loopback })
    }

    /// Asks once. Redirects are refused, other statuses are handed on.
    ///
    /// # Errors
    /// [`LoginError::Unreachable`], [`LoginError::Slow`], [`LoginError::Redirected`], [`LoginError::TooLong`]; for an address that
    /// may not be called, [`LoginError::DiscoveryHost`].
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, LoginError> {
        let url = parse_url(ask.url, self.plain_loopback).ok_or(LoginError::DiscoveryHost)?;
        tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(url, ask)).await.map_err(|_| LoginError::Slow)?
    }

    async fn exchange(&self, url: Uri, ask: Ask<'_>) -> Result<Answer, LoginError> {
        let method = if ask.body.is_some() { Method::POST } else { Method::GET };
        let mut request =
            Request::builder().method(method).uri(url).header(header::ACCEPT, "application/json, application/jwt");
        if let Some(token) = ask.bearer {
            let value = Zeroizing::new(format!("Bearer {token}"));
            let mut value = header::HeaderValue::from_str(&value).map_err(|_| LoginError::Answer)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = match &ask.body {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, *content_type);
                Bytes::copy_from_slice(body)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|_| LoginError::DiscoveryHost)?;
        let answer = self.client.request(request).await.map_err(|_| LoginError::Unreachable)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(LoginError::Redirected);
        }
        let content_type =
            answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = bounded(answer.into_body(), ask.bytes_max).await?;
        Ok(Answer { status: status.as_u16(), content_type, body })
    }
}

async fn bounded(mut body: hyper::body::Incoming, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, LoginError> {
    // Its whole room at once: a buffer that grows leaves copies behind that nobody wipes.
    let mut read = Zeroizing::new(Vec::with_capacity(bytes_max));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| LoginError::Unreachable)?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > bytes_max {
            return Err(LoginError::TooLong);
        }
        read.extend_from_slice(data);
    }
    Ok(read)
}

fn tls(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match &trust.ca {
        None => builder.with_webpki_roots(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| named(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    match &trust.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
            builder.with_client_auth_cert(chain, key_der).map_err(|error| named(certificate, &error))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| named(path, &error))?;
    let all: Result<Vec<_>, _> = all.collect();
    let all = all.map_err(|error| named(path, &error))?;
    match all.is_empty() {
        true => Err(named(path, &"holds no certificate in PEM")),
        false => Ok(all),
    }
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// Writes a form or a query: names and values with percent signs for all but the unreserved characters (RFC 3986 §2.3).
pub fn encode(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let mut text =
        Zeroizing::new(String::with_capacity(pairs.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum()));
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
                _ => {
                    text.push('%');
                    text.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                    text.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
                }
            }
        }
    }
    text
}

/// Reads a query; none where it isn't one: a percent sign that stands for nothing, text that isn't UTF-8, a name twice.
pub fn decode(query: &str) -> Option<Vec<(String, String)>> {
    let part = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            bytes.push(match byte {
                b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
                b'+' => b' ',
                byte => byte,
            });
        }
        String::from_utf8(bytes).ok()
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (part(name)?, part(value)?);
        if pairs.iter().any(|(known, _)| *known == name) {
            return None;
        }
        pairs.push((name, value));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let pairs = [("a", "é & = +%"), ("state", "x-y_z.~")];
        let text = encode(&pairs);
        assert_eq!(*text, "a=%C3%A9%20%26%20%3D%20%2B%25&state=x-y_z.~");
        let read = decode(&text).expect("a query");
        assert_eq!(read, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(
            decode("a=1&a=2").is_none()
                && decode("a=%G1").is_none()
                && decode("a=%ff").is_none()
                && decode("a=%1").is_none()
        );
    }
}
