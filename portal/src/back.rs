//! The back channel: what the page process asks the login process after a browser came back from a login.
//!
//! ```text
//! page ── Exchange: code, session's public key, signature of the code ──▶ login
//!      ◀─ Offer: the record of the opening, the login's token, whose tags they are
//!      ── Open: code, session's public key, will ───────────────────────▶      submits `session.opened`
//!      ◀─ Opened: where it is on record
//! ```
//!
//! A code alone is of no use: who brings it proves that they have the session's key, which the code was made for. So a code that
//! leaks with an address opens nothing, and a browser that is given somebody else's code isn't logged in as them.
//!
//! Bytes are hexadecimal; messages of the log are in their canonical encoding.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sillage_client::ClientError;
use sillage_client::consent::who::Acting;
use sillage_client::patient_session::{PROOF_BYTES, ProvenTag, Subject};
use sillage_proof::batch::Origin;
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;

use crate::config::LoginLink;

/// Where the page process asks for an offer.
pub const EXCHANGE: &str = "/exchange";
/// Where it brings the will.
pub const OPEN: &str = "/open";

/// An answer holds two tokens of 8 kB at most, and little else.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const TIME: Duration = Duration::from_secs(20);
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// What is asked first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The code that the browser brought.
    pub code: String,
    /// The session's public key.
    pub session: String,
    /// Its signature of [`exchange_message`].
    pub signature: String,
}

/// What is to be signed, and all that the page process has to know of the login.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// `session.opened`, without its will.
    pub record: String,
    /// The ID token.
    pub token: String,
    /// The signed userinfo, where the claims stand there.
    pub userinfo: String,
    /// Who logged in, as pages show it.
    pub name: String,
    /// The patient, as pages show them, where somebody acts for them; else empty.
    pub acting_for: String,
    /// Where they logged in, as pages show it.
    pub through: String,
    /// When the session ends, ms.
    pub until_ms: u64,
    /// The patient.
    pub subject: SubjectJson,
    /// Who acts.
    pub acting: ActingJson,
}

/// A [`Subject`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectJson {
    ins: String,
    oid: String,
    open: TagJson,
    secret: Option<TagJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagJson {
    tag: String,
    proof: String,
}

/// An [`Acting`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActingJson {
    system: String,
    id: String,
    label: String,
    issuer: String,
    method: String,
    eidas_level: String,
}

/// What is brought then.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The same code.
    pub code: String,
    /// The same key.
    pub session: String,
    /// The will of the record.
    pub will: String,
}

/// The session is on record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Number of the entry.
    pub index: u64,
    /// Ledger time, ms.
    pub time_ms: u64,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// A code of the ledger, or [`UNKNOWN_CODE`], or [`LEDGER_AWAY`].
    pub code: String,
}

/// The code is of no login, or of another session, or its time is over.
pub const UNKNOWN_CODE: &str = "UNKNOWN_CODE";
/// The ledger can't be reached.
pub const LEDGER_AWAY: &str = "LEDGER_AWAY";

/// What the session's key signs to get its offer.
pub fn exchange_message(origin: &Origin, code: &str) -> Vec<u8> {
    let name = origin.as_str().as_bytes();
    let len = u8::try_from(name.len()).expect("the name of a log has at most 255 bytes");
    [b"sillage/portal/exchange/v1\0", &[len][..], name, code.as_bytes()].concat()
}

impl From<&ProvenTag> for TagJson {
    fn from(own: &ProvenTag) -> Self {
        Self { tag: hex::encode(own.tag.as_bytes()), proof: hex::encode(own.proof) }
    }
}

impl TagJson {
    fn read(&self) -> Option<ProvenTag> {
        let tag = PatientTag::from_slice(&hex::decode(&self.tag).ok()?).ok()?;
        let proof: [u8; PROOF_BYTES] = hex::decode(&self.proof).ok()?.try_into().ok()?;
        Some(ProvenTag { tag, proof })
    }
}

impl SubjectJson {
    /// As it travels.
    pub fn of(subject: &Subject) -> Self {
        let Subject { ins, oid, open, secret } = subject;
        Self { ins: ins.clone(), oid: oid.clone(), open: open.into(), secret: secret.as_ref().map(TagJson::from) }
    }

    /// As it is used; none where it isn't one.
    pub fn read(&self) -> Option<Subject> {
        let secret = match &self.secret {
            Some(secret) => Some(secret.read()?),
            None => None,
        };
        Some(Subject { ins: self.ins.clone(), oid: self.oid.clone(), open: self.open.read()?, secret })
    }
}

impl ActingJson {
    /// As it travels.
    pub fn of(acting: &Acting) -> Self {
        let (actor, auth) = (&acting.actor, acting.auth.clone().unwrap_or_default());
        Self {
            system: actor.system.clone(),
            id: actor.id.clone(),
            label: actor.label.clone(),
            issuer: auth.issuer,
            method: auth.method,
            eidas_level: auth.eidas_level,
        }
    }

    /// As it is used.
    pub fn read(&self) -> Acting {
        let actor = v1::Actor {
            system: self.system.clone(),
            id: self.id.clone(),
            label: self.label.clone(),
            ..v1::Actor::default()
        };
        let (issuer, method) = (self.issuer.clone(), self.method.clone());
        let auth = v1::Authentication { issuer, method, eidas_level: self.eidas_level.clone() };
        Acting { actor, auth: Some(auth) }
    }
}

/// Why the login process gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BackError {
    /// It can't be reached, or says what nobody understands.
    #[error("the login process gives no answer")]
    Away,
    /// It says no.
    #[error("the login process refuses: {}", .0.code)]
    Refused(Refused),
}

/// The page process' end.
pub struct Back {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Back {
    /// Prepares connections.
    ///
    /// # Errors
    /// When certificates can't be used.
    pub fn new(link: &LoginLink) -> Result<Self, ClientError> {
        let wrong = |error: &dyn std::fmt::Display| ClientError::Usage(format!("login.back: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
        let tls = match (&link.ca, &link.cert, &link.key) {
            (Some(ca), Some(cert), Some(key)) => {
                let builder = builder.with_root_certificates(roots(ca)?);
                let chain = certificates(cert)?;
                builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| wrong(&error))?
            }
            // On loopback nothing is asked over TLS; no certificate would be taken.
            _ => builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIME));
        tcp.enforce_http(false);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(4).build(connector);
        Ok(Self { base: link.back.clone(), client })
    }

    /// Asks for what is to be signed.
    ///
    /// # Errors
    /// [`BackError`].
    pub async fn exchange(&self, asked: &Exchange) -> Result<Offer, BackError> {
        self.post(EXCHANGE, asked).await
    }

    /// Brings the will.
    ///
    /// # Errors
    /// [`BackError`].
    pub async fn open(&self, asked: &Open) -> Result<Opened, BackError> {
        self.post(OPEN, asked).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, asked: &impl Serialize) -> Result<T, BackError> {
        let body = serde_json::to_vec(asked).map_err(|_| BackError::Away)?;
        let request = Request::post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| BackError::Away)?;
        let exchange = async {
            let (head, body) = self.client.request(request).await.map_err(|_| BackError::Away)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| BackError::Away)?.to_bytes();
            match head.status {
                StatusCode::OK => serde_json::from_slice(&body).map_err(|_| BackError::Away),
                _ => Err(serde_json::from_slice(&body).map_or(BackError::Away, BackError::Refused)),
            }
        };
        tokio::time::timeout(TIME, exchange).await.unwrap_or(Err(BackError::Away))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(ClientError::reading(path, "no certificate in it")),
        Err(error) => Err(ClientError::reading(path, error)),
    }
}

fn roots(path: &Path) -> Result<rustls::RootCertStore, ClientError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| ClientError::reading(path, error))?;
    }
    Ok(roots)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| ClientError::reading(path, error))
}
