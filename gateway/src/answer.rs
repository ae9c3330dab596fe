//! Which path gives what.
//!
//! Paths are compared as they came: a tile has one spelling (c2sp.org/tlog-tiles), and no other is found.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sillage_proof::tile::{TILE_WIDTH, TileCoord, TilePath, encode_entry_bundle};
use sillage_web::tls::Spki;

use crate::log::{Log, Trouble};
use crate::respond::{Content, Holds, content, preflight, sentence};

/// The verifier of patient bundles, a module for browsers and Node.
pub const VERIFIER: &str = include_str!("../portal/verify.js");

/// The page where patients verify a trace on their own device: its path, its text, its media type.
const PAGE: [(&str, &str, &str); 4] = [
    ("/", include_str!("../portal/index.html"), "text/html; charset=utf-8"),
    ("/page.js", include_str!("../portal/page.js"), SCRIPT),
    ("/page.css", include_str!("../portal/page.css"), "text/css; charset=utf-8"),
    ("/verify.js", VERIFIER, SCRIPT),
];

const TEXT: &str = "text/plain; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

/// How a request reached the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Without TLS, or through someone else's.
    Plain,
    /// Over mutual TLS, from whoever holds the key of this certificate.
    Certificate(Spki),
}

/// Answers one request; never fails.
pub async fn answer(log: &impl Log, method: &Method, path: &str, asked: &HeaderMap, via: Via) -> Response<Body> {
    match *method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return preflight(),
        _ => {
            let mut refused = sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing is changed here");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            return refused;
        }
    }
    if let Some((_, text, media_type)) = PAGE.iter().find(|(at, ..)| *at == path) {
        return content(asked, Content { bytes: Bytes::from_static(text.as_bytes()), media_type, holds: Holds::Now });
    }
    let answered = match path {
        "/checkpoint" => checkpoint(log).await,
        "/healthz" => return health(log).await,
        _ => match path.strip_prefix('/').map(str::parse) {
            Some(Ok(TilePath::Hashes(coord))) => tile(log, coord).await,
            Some(Ok(TilePath::Entries { index, width })) => match via {
                Via::Certificate(caller) => entries(log, index, width, caller).await,
                Via::Plain => {
                    let why = "entries are health data: they are for auditors, over the gateway's port with mutual TLS";
                    Err(sentence(StatusCode::FORBIDDEN, why))
                }
            },
            _ => Err(not_found("nothing is at this path: there are /checkpoint and the paths of c2sp.org/tlog-tiles")),
        },
    };
    match answered {
        Ok(found) => content(asked, found),
        Err(answer) => answer,
    }
}

type Answered = Result<Content, Response<Body>>;

async fn checkpoint(log: &impl Log) -> Answered {
    let seen = log.checkpoint().await.map_err(refused)?;
    Ok(Content { bytes: seen.note, media_type: TEXT, holds: Holds::Now })
}

async fn tile(log: &impl Log, coord: TileCoord) -> Answered {
    let bytes = log.tile(coord).await.map_err(refused)?;
    let bytes = bytes.ok_or_else(beyond)?;
    Ok(Content { bytes, media_type: OCTETS, holds: Holds::Forever })
}

async fn entries(log: &impl Log, index: u64, width: u16, caller: Spki) -> Answered {
    let first = index.checked_mul(TILE_WIDTH as u64).ok_or_else(beyond)?;
    let entries = log.entries(first, width, caller).await.map_err(refused)?;
    let bundle = encode_entry_bundle(&entries.ok_or_else(beyond)?);
    let bundle = bundle.map_err(|error| {
        tracing::error!(%error, "the nodes gave entries that no bundle can hold");
        refused(Trouble::Wrong("the nodes gave entries that no bundle can hold".to_owned()))
    })?;
    Ok(Content { bytes: bundle.into(), media_type: OCTETS, holds: Holds::Private })
}

async fn health(log: &impl Log) -> Response<Body> {
    match log.checkpoint().await {
        Ok(seen) => sentence(StatusCode::OK, &format!("ok: checkpoint of {} entries", seen.size.get())),
        Err(trouble) => refused(trouble),
    }
}

fn not_found(why: &str) -> Response<Body> {
    sentence(StatusCode::NOT_FOUND, why)
}

fn beyond() -> Response<Body> {
    not_found("the newest checkpoint doesn't cover this tile")
}

fn refused(trouble: Trouble) -> Response<Body> {
    let code = match trouble {
        Trouble::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::Refused(_) => StatusCode::FORBIDDEN,
        Trouble::Wrong(_) => StatusCode::BAD_GATEWAY,
    };
    let mut answer = sentence(code, &trouble.to_string());
    if code == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
