//! The requests to a witness (c2sp.org/tlog-witness), and the meaning of its answers.

use std::time::Duration;

use axum::body::Bytes;
use base64::prelude::{BASE64_STANDARD, Engine};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sillage_proof::Hash;
use sillage_proof::hash::sha256;
use sillage_proof::note::{NoteSignature, VerifierKey};

use super::cosigners::verified;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Most signature lines in an answer.
const LINES_MAX: usize = 16;
/// Hashes of a consistency proof that the protocol allows.
const PROOF_HASHES_MAX: usize = 63;
/// For connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For the whole exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A cosignature from further in the future is a lie, in seconds.
const FUTURE_S_MAX: u64 = 300;
/// The content of a 409.
const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The meaning of a witness's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// It cosigned; the line verifies.
    Cosigned {
        /// The line.
        line: NoteSignature,
    },
    /// It knows another size of this log than the one that the proof begins with.
    Knows(u64),
    /// It refuses: the status.
    Refused(u16),
    /// Its answer isn't what it should be.
    Lies(&'static str),
    /// It doesn't answer.
    Unreachable(String),
}

/// The body of `add-checkpoint`.
pub fn request_body(old_size: u64, proof: &[Hash], note: &str) -> String {
    assert!(proof.len() <= PROOF_HASHES_MAX, "a tree of fewer than 2^63 entries has shorter proofs");
    let mut body = format!("old {old_size}\n");
    for hash in proof {
        BASE64_STANDARD.encode_string(hash.as_bytes(), &mut body);
        body.push('\n');
    }
    body.push('\n');
    body.push_str(note);
    body
}

/// Reads an answer to a request with the note text `text`, from the witness of `key`.
pub fn read_answer(
    status: u16,
    content_type: &str,
    body: &[u8],
    text: &str,
    key: &VerifierKey,
    now_s: u64,
) -> WitnessAnswer {
    match status {
        200 => read_cosignature(body, text, key, now_s),
        409 if content_type == SIZE_CONTENT_TYPE => match read_size(body) {
            Some(size) => WitnessAnswer::Knows(size),
            None => WitnessAnswer::Lies("a conflict without a size"),
        },
        status => WitnessAnswer::Refused(status),
    }
}

fn read_cosignature(body: &[u8], text: &str, key: &VerifierKey, now_s: u64) -> WitnessAnswer {
    let Some(lines) = std::str::from_utf8(body).ok().and_then(|body| body.strip_suffix('\n')) else {
        return WitnessAnswer::Lies("not lines of text");
    };
    for line in lines.split('\n').take(LINES_MAX) {
        let Ok(line) = line.parse::<NoteSignature>() else {
            return WitnessAnswer::Lies("not a signature line");
        };
        match verified(text, &line, key) {
            Some(time_s) if time_s == 0 || time_s > now_s.saturating_add(FUTURE_S_MAX) => {
                return WitnessAnswer::Lies("a cosignature of another time");
            }
            Some(_) => return WitnessAnswer::Cosigned { line },
            None => {}
        }
    }
    WitnessAnswer::Lies("no cosignature that verifies")
}

fn read_size(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    text.parse().ok().filter(|_| canonical)
}

/// Speaks HTTP to one witness.
#[derive(Clone)]
pub struct WitnessClient {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl WitnessClient {
    /// To the witness whose submission prefix is `url`.
    pub fn new(url: &str) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring speaks the versions of TLS that are asked for")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(https);
        Self { url: url.trim_end_matches('/').to_owned(), client }
    }

    /// Asks for a cosignature of `note`, whose text is `text`.
    pub async fn add_checkpoint(
        &self,
        old_size: u64,
        proof: &[Hash],
        note: &str,
        text: &str,
        key: &VerifierKey,
    ) -> WitnessAnswer {
        let body = request_body(old_size, proof, note);
        let request = Request::post(format!("{}/add-checkpoint", self.url))
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(request, body)).await {
            Ok(Ok((status, content_type, body))) => {
                let now_s = crate::core::now_ms() / 1_000;
                read_answer(status.as_u16(), &content_type, &body, text, key, now_s)
            }
            Ok(Err(error)) => WitnessAnswer::Unreachable(error),
            Err(_) => WitnessAnswer::Unreachable("no answer in time".to_owned()),
        }
    }

    /// The last checkpoint that the witness cosigned of the log `origin`, where it shows that to monitors. The note isn't verified.
    pub async fn latest(&self, origin: &str) -> Option<Vec<u8>> {
        let hash = hex::encode(sha256(&[origin.as_bytes()]).as_bytes());
        let request = Request::get(format!("{}/{hash}/checkpoint", self.url));
        match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange(request, String::new())).await {
            Ok(Ok((StatusCode::OK, _, body))) => Some(body.to_vec()),
            _ => None,
        }
    }

    async fn exchange(
        &self,
        request: http::request::Builder,
        body: String,
    ) -> Result<(StatusCode, String, Bytes), String> {
        let request = request
            .header(header::USER_AGENT, concat!("sillage-node/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, content_type, body.map_err(|error| error.to_string())?.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};

    const TEXT: &str = "ledger.example/test\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn witness() -> SignerKey {
        SignerKey::new("w.example", KeyKind::CosignatureV1, SigningKey::from_seed(&[9; 32])).expect("a name")
    }

    fn read(status: u16, content_type: &str, body: &str) -> WitnessAnswer {
        read_answer(status, content_type, body.as_bytes(), TEXT, witness().verifier(), 1_000)
    }

    #[test]
    fn a_request_is_the_one_of_the_specification() {
        let body = request_body(7, &[Hash::from([0; 32]), Hash::from([255; 32])], "note\n");
        let zeros = "A".repeat(43);
        let ones = format!("{}8", "/".repeat(42));
        assert_eq!(body, format!("old 7\n{zeros}=\n{ones}=\n\nnote\n"));
        assert_eq!(request_body(0, &[], "note\n"), "old 0\n\nnote\n");
    }

    #[test]
    fn a_cosignature_counts_only_if_it_verifies_and_is_of_now() {
        let line = witness().sign(TEXT, 1_000).expect("signed");
        assert_eq!(read(200, "", &line.to_string()), WitnessAnswer::Cosigned { line: line.clone() });
        let other =
            SignerKey::new("o.example", KeyKind::CosignatureV1, SigningKey::from_seed(&[8; 32])).expect("a name");
        let other = other.sign(TEXT, 1_000).expect("signed").to_string();
        assert_eq!(read(200, "", &format!("{other}{line}")), WitnessAnswer::Cosigned { line: line.clone() });
        assert_eq!(read(200, "", &other), WitnessAnswer::Lies("no cosignature that verifies"));
        let elsewhere = witness().sign(&TEXT.replace("\n5\n", "\n6\n"), 1_000).expect("signed");
        assert_eq!(read(200, "", &elsewhere.to_string()), WitnessAnswer::Lies("no cosignature that verifies"));
        let future = witness().sign(TEXT, 2_000).expect("signed");
        assert_eq!(read(200, "", &future.to_string()), WitnessAnswer::Lies("a cosignature of another time"));
        assert_eq!(read(200, "", line.to_string().trim_end()), WitnessAnswer::Lies("not lines of text"));
        assert_eq!(read(200, "", "<html>\n"), WitnessAnswer::Lies("not a signature line"));
        assert_eq!(read(200, "", ""), WitnessAnswer::Lies("not lines of text"));
    }

    #[test]
    fn a_conflict_says_the_size_and_every_other_status_is_a_refusal() {
        assert_eq!(read(409, SIZE_CONTENT_TYPE, "42\n"), WitnessAnswer::Knows(42));
        assert_eq!(read(409, SIZE_CONTENT_TYPE, "0\n"), WitnessAnswer::Knows(0));
        for wrong in ["", "42", "042\n", "+4\n", "-1\n", "99999999999999999999\n"] {
            assert_eq!(
                read(409, SIZE_CONTENT_TYPE, wrong),
                WitnessAnswer::Lies("a conflict without a size"),
                "{wrong:?}"
            );
        }
        assert_eq!(read(409, "text/plain", "42\n"), WitnessAnswer::Refused(409), "an older tree of the same size");
        for status in [400, 403, 404, 422, 500] {
            assert_eq!(read(status, "", ""), WitnessAnswer::Refused(status));
        }
    }
}
