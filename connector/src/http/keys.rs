//! The keys of the server of tokens (JWKS, RFC 7517): from a file or a URL, read again when a token names one that isn't known.
//!
//! Reading again is bounded: at most once in [`AGAIN_MS`], however many tokens name unknown keys. A set that can't be read
//! leaves the one before in force for [`STALE_MS`]; after that no token is taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use sillage_client::clock::now_ms;

use crate::config::OauthConfig;

/// A set is read again at most this often, in milliseconds.
pub const AGAIN_MS: u64 = 10_000;
/// A set is read again after this, whatever tokens name: a key that the server has withdrawn stops counting.
pub const FRESH_MS: u64 = 300_000;
/// A set that can't be read again counts for so long.
pub const STALE_MS: u64 = 3_600_000;
/// Bytes of a set.
const BYTES_MAX: usize = 256 * 1_024;
/// Keys of a set.
const KEYS_MAX: usize = 64;
/// For one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// RSA: modulus and exponent, big endian, without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point of P-256, uncompressed: 65 bytes.
    P256(Vec<u8>),
    /// A point of P-384, uncompressed: 97 bytes.
    P384(Vec<u8>),
}

/// A key of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub kid: String,
    /// The one algorithm that it is for, where the set says so.
    pub algorithm: Option<String>,
    /// The key.
    pub material: Material,
}

/// The keys that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a JWKS. Keys of other sorts, for encryption or without a name are left out.
    ///
    /// # Errors
    /// Why it is none, or two of its keys have one name.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: Jwks = serde_json::from_slice(bytes).map_err(|error| format!("not a JWKS (RFC 7517): {error}"))?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("{} keys: a set has at most {KEYS_MAX}", set.keys.len()));
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Jwk::into_key).collect();
        let twice = keys.iter().enumerate().any(|(at, key)| keys[..at].iter().any(|other| other.kid == key.kid));
        match twice {
            true => Err("two keys have one `kid`".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// The key of this name.
    pub fn get(&self, kid: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.kid == kid)
    }
}

impl Jwk {
    fn into_key(self) -> Option<Key> {
        if self.used.is_some_and(|used| used != "sig") {
            return None;
        }
        let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let point = |x: Option<String>, y: Option<String>, len: usize| {
            let (x, y) = (number(x)?, number(y)?);
            (x.len() == len && y.len() == len).then(|| [&[4], &x[..], &y[..]].concat())
        };
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let bare = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                Material::Rsa { n: bare(number(self.n)?), e: bare(number(self.e)?) }
            }
            ("EC", Some("P-256")) => Material::P256(point(self.x, self.y, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(self.x, self.y, 48)?),
            _ => return None,
        };
        Some(Key { kid: self.kid?, algorithm: self.alg, material })
    }
}

/// Where a set comes from.
enum Origin {
    File(PathBuf),
    Web { url: hyper::Uri, tls: Box<ClientConfig> },
}

/// What was read last.
#[derive(Default)]
struct Read {
    set: Arc<KeySet>,
    /// When it was read, ms since 1970; 0: never.
    at_ms: u64,
    /// When it was tried last.
    tried_ms: u64,
}

/// The keys of the server of tokens, as they are known now.
pub struct Keys {
    origin: Origin,
    read: Mutex<Read>,
    /// One reading at a time.
    reading: tokio::sync::Mutex<()>,
}

impl Keys {
    /// Where the configuration says. Nothing is read yet.
    ///
    /// # Errors
    /// A URL or a file of roots that can't be used.
    pub fn new(oauth: &OauthConfig) -> Result<Self, String> {
        let origin = match oauth.jwks.contains("://") {
            false => Origin::File(PathBuf::from(&oauth.jwks)),
            true => {
                let url = oauth.jwks.parse().map_err(|error| format!("[oauth] jwks: {error}"))?;
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let builder = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?;
                let tls = match &oauth.jwks_ca {
                    None => builder.with_webpki_roots().with_no_client_auth(),
                    Some(path) => {
                        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                        let mut roots = RootCertStore::empty();
                        for root in CertificateDer::pem_file_iter(path).map_err(|error| named(&error))? {
                            let root = root.map_err(|error| named(&error))?;
                            roots.add(root).map_err(|error| named(&error))?;
                        }
                        builder.with_root_certificates(roots).with_no_client_auth()
                    }
                };
                Origin::Web { url, tls: Box::new(tls) }
            }
        };
        Ok(Self { origin, read: Mutex::default(), reading: tokio::sync::Mutex::default() })
    }

    /// The keys for a token that names `kid`: what is known, read again where it is old or the name isn't in it.
    pub async fn for_token(&self, kid: &str) -> Arc<KeySet> {
        if let Some(known) = self.known(kid) {
            return known;
        }
        let _one = self.reading.lock().await;
        if let Some(known) = self.known(kid) {
            return known;
        }
        let is_early = now_ms().saturating_sub(self.read.lock().tried_ms) < AGAIN_MS;
        if !is_early {
            self.read.lock().tried_ms = now_ms();
            match self.fetch().await {
                Ok(set) => {
                    let mut read = self.read.lock();
                    (read.set, read.at_ms) = (Arc::new(set), now_ms());
                }
                Err(why) => {
                    tracing::warn!(%why, "the keys of the server of tokens can't be read: those before count on")
                }
            }
        }
        let read = self.read.lock();
        match now_ms().saturating_sub(read.at_ms) < STALE_MS {
            true => Arc::clone(&read.set),
            false => Arc::default(),
        }
    }

    fn known(&self, kid: &str) -> Option<Arc<KeySet>> {
        let read = self.read.lock();
        let is_fresh = now_ms().saturating_sub(read.at_ms) < FRESH_MS;
        (is_fresh && read.set.get(kid).is_some()).then(|| Arc::clone(&read.set))
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let bytes = tokio::time::timeout(READ_TIMEOUT, self.bytes()).await;
        let bytes = bytes.map_err(|_| format!("no answer within {} s", READ_TIMEOUT.as_secs()))??;
        KeySet::parse(&bytes)
    }

    async fn bytes(&self) -> Result<Bytes, String> {
        match &self.origin {
            Origin::File(path) => {
                let bytes = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
                match bytes.len() <= BYTES_MAX {
                    true => Ok(bytes.into()),
                    false => Err(format!("{}: over {BYTES_MAX} bytes", path.display())),
                }
            }
            Origin::Web { url, tls } => {
                let https = HttpsConnectorBuilder::new()
                    .with_tls_config(ClientConfig::clone(tls))
                    .https_only()
                    .enable_http1()
                    .build();
                let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
                let answer = client.get(url.clone()).await.map_err(|error| format!("{url}: {error}"))?;
                if !answer.status().is_success() {
                    // No redirect is followed: the set is where the configuration says.
                    return Err(format!("{url}: {}", answer.status()));
                }
                let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
                body.map(http_body_util::Collected::to_bytes).map_err(|error| format!("{url}: {error}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_strictly_and_leaves_out_what_signs_nothing() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let key =
            |kid: &str, more: &str| format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{x}"{more}}}"#);
        let set = |keys: &[String]| KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        let oct = r#"{"kty":"oct","kid":"s","k":"AAAA"}"#.to_owned();
        let found = set(&[key("a", ""), key("b", r#","use":"enc""#), oct]).expect("a set");
        assert!(found.get("a").is_some() && found.get("b").is_none() && found.get("s").is_none());
        assert!(set(&[key("a", ""), key("a", "")]).is_err(), "two of one name");
        assert!(KeySet::parse(b"[]").is_err());
    }

    #[tokio::test]
    async fn a_set_that_changes_is_read_again_and_not_more_often_than_the_bound() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("jwks.json");
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let write = |kid: &str| {
            let set = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{x}"}}]}}"#);
            std::fs::write(&path, set).expect("a file");
        };
        write("a");
        let oauth = OauthConfig {
            issuer: "https://idp.example".into(),
            audience: "sillage".into(),
            jwks: path.display().to_string(),
            jwks_ca: None,
            token_endpoint: None,
        };
        let keys = Keys::new(&oauth).expect("a file can be named");
        assert!(keys.for_token("a").await.get("a").is_some());
        write("b");
        assert!(keys.for_token("b").await.get("b").is_none(), "within the bound nothing is read again");
        keys.read.lock().tried_ms = 0;
        assert!(keys.for_token("b").await.get("b").is_some());
        std::fs::write(&path, "broken").expect("a file");
        keys.read.lock().tried_ms = 0;
        assert!(keys.for_token("c").await.get("b").is_some(), "what was known counts on");
        {
            let mut read = keys.read.lock();
            (read.at_ms, read.tried_ms) = (1, 0);
        }
        assert!(keys.for_token("b").await.get("b").is_none(), "and not for ever");
    }
}
