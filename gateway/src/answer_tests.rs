use sillage_proof::TreeSize;
use sillage_proof::tile::decode_entry_bundle;

use super::*;
use crate::log::Seen;

/// A log of 70,000 entries, or one that doesn't answer.
struct Fake {
    answers: bool,
}

const AUDITOR: Spki = [1; 32];
const STRANGER: Spki = [2; 32];

impl Fake {
    fn check(&self) -> Result<(), Trouble> {
        match self.answers {
            true => Ok(()),
            false => Err(Trouble::Unavailable("no node".to_owned())),
        }
    }
}

impl Log for Fake {
    async fn checkpoint(&self) -> Result<Seen, Trouble> {
        self.check()?;
        Ok(Seen { note: Bytes::from_static(b"note"), size: TreeSize(70_000) })
    }

    async fn tile(&self, coord: TileCoord) -> Result<Option<Bytes>, Trouble> {
        self.check()?;
        let tile = || Bytes::from(vec![coord.level; usize::from(coord.width) * 32]);
        Ok(coord.is_covered_by(TreeSize(70_000)).then(tile))
    }

    async fn entries(&self, first: u64, count: u16, caller: Spki) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
        self.check()?;
        if caller != AUDITOR {
            return Err(Trouble::Refused("this call is for auditors".to_owned()));
        }
        let entries = || (first..).take(count.into()).map(|index| index.to_be_bytes().to_vec()).collect();
        Ok((first + u64::from(count) <= 70_000).then(entries))
    }
}

struct Got {
    code: u16,
    headers: HeaderMap,
    body: Bytes,
}

async fn ask(method: Method, path: &str, asked: HeaderMap, via: Via) -> Got {
    let answer = answer(&Fake { answers: true }, &method, path, &asked, via).await;
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("in memory");
    Got { code: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(path: &str) -> Got {
    ask(Method::GET, path, HeaderMap::new(), Via::Plain).await
}

#[tokio::test]
async fn a_checkpoint_is_text_that_is_asked_for_each_time() {
    let got = get("/checkpoint").await;
    assert_eq!((got.code, &got.body[..]), (200, &b"note"[..]));
    assert_eq!(got.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(got.headers[header::CACHE_CONTROL], "no-cache");
    assert_eq!(got.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, got.headers[header::ETAG].clone())]);
    let again = ask(Method::GET, "/checkpoint", asked, Via::Plain).await;
    assert_eq!((again.code, again.body.len()), (304, 0));
}

#[tokio::test]
async fn tiles_hold_for_ever_and_end_where_the_checkpoint_does() {
    for (path, hashes) in [("/tile/0/000", 256), ("/tile/0/273.p/112", 112), ("/tile/1/001.p/17", 17)] {
        let got = get(path).await;
        assert_eq!((got.code, got.body.len()), (200, hashes * 32), "{path}");
        assert_eq!(got.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(got.headers[header::CONTENT_TYPE], "application/octet-stream");
        assert!(got.headers.contains_key(header::ETAG));
    }
    for path in ["/tile/0/273", "/tile/0/273.p/113", "/tile/3/000.p/1", "/tile/0/x001/000"] {
        let got = get(path).await;
        assert_eq!(got.code, 404, "{path}");
        assert_eq!(got.headers[header::CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn other_spellings_of_a_path_are_not_found() {
    let paths = ["", "/tile/0/0", "/tile/0/000/", "//checkpoint", "/checkpoint/", "/tile/0/%30%30%30", "/tile/00/000"];
    for path in paths.into_iter().chain(["/tile/0/../0/000", "/tile/0/000.p/256", "/tile/data/000", "/TILE/0/000"]) {
        assert_eq!(get(path).await.code, 404, "{path}");
    }
}

#[tokio::test]
async fn entries_are_for_auditors_over_mutual_tls() {
    let path = "/tile/entries/273.p/112";
    let plain = get(path).await;
    assert_eq!(plain.code, 403);
    assert!(String::from_utf8_lossy(&plain.body).contains("mutual TLS"));
    let stranger = ask(Method::GET, path, HeaderMap::new(), Via::Certificate(STRANGER)).await;
    assert_eq!(stranger.code, 403);
    assert!(String::from_utf8_lossy(&stranger.body).contains("auditors"));
    let given = ask(Method::GET, path, HeaderMap::new(), Via::Certificate(AUDITOR)).await;
    assert_eq!(given.code, 200);
    assert_eq!(given.headers[header::CACHE_CONTROL], "private, no-store");
    let entries = decode_entry_bundle(&given.body).expect("a bundle");
    assert_eq!((entries.len(), entries[0]), (112, &69_888_u64.to_be_bytes()[..]));
    for beyond in ["/tile/entries/273", "/tile/entries/x018/x446/x744/x073/x709/x551/615"] {
        let beyond = ask(Method::GET, beyond, HeaderMap::new(), Via::Certificate(AUDITOR)).await;
        assert_eq!(beyond.code, 404);
    }
}

#[tokio::test]
async fn nothing_is_changed_and_browsers_may_ask() {
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = ask(method, "/checkpoint", HeaderMap::new(), Via::Plain).await;
        assert_eq!(refused.code, 405);
        assert_eq!(refused.headers[header::ALLOW], "GET, HEAD, OPTIONS");
    }
    assert_eq!(ask(Method::HEAD, "/tile/0/000", HeaderMap::new(), Via::Plain).await.code, 200);
    let preflight = ask(Method::OPTIONS, "/tile/0/000", HeaderMap::new(), Via::Plain).await;
    assert_eq!(preflight.code, 204);
    assert_eq!(preflight.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let script = get("/verify.js").await;
    assert_eq!((script.code, &script.body[..]), (200, VERIFIER.as_bytes()));
    let page = get("/").await;
    assert_eq!(page.code, 200);
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for part in ["page.js", "page.css"] {
        assert!(text.contains(part));
        assert_eq!(get(&format!("/{part}")).await.code, 200);
    }
    assert_eq!(script.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn a_log_out_of_reach_is_said_so() {
    for path in ["/checkpoint", "/tile/0/000", "/healthz"] {
        let answer = answer(&Fake { answers: false }, &Method::GET, path, &HeaderMap::new(), Via::Plain).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }
    assert_eq!(get("/healthz").await.code, 200);
}
