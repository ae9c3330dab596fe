//! An issuer for tests: it logs in whoever is named, at once. A test log names its own in its genesis; other logs refuse it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sillage_proof::batch::Origin;
use sillage_proof::keys::{KeyId, SigningKey};
use sillage_proto::v1;

use super::binding;
use super::issuer::{Issuer, IssuerKey};
use super::jws::Algorithm;
use super::{Level, SESSION_S_MAX};

/// The one client of an issuer for tests.
pub const AUDIENCE: &str = "sillage-tests";
const KID: &str = "test-1";
const ACR: [(Level, &str); 3] = [(Level::Low, "eidas1"), (Level::Substantial, "eidas2"), (Level::High, "eidas3")];

/// The person or party that logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A patient.
    Patient {
        /// 15 characters.
        ins: String,
        /// The OID of the INS.
        oid: String,
    },
    /// Somebody else: `system|id`.
    Person(String),
}

/// How they log in: what `auth` of the record will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// The name of the one that is said to have established the identity: the claim `idp`.
    pub idp: String,
    /// By what means: the claim `amr`.
    pub method: String,
    /// How sure that is: the claim `acr`.
    pub level: Level,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct TestIssuer {
    key: SigningKey,
    origin: Origin,
}

impl TestIssuer {
    /// The one of this log, with this key.
    pub fn new(key: SigningKey, origin: Origin) -> Self {
        Self { key, origin }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://{}/test-issuer", self.origin.as_str())
    }

    /// The issuer as a test log knows it.
    pub fn published(&self) -> Issuer {
        let acr = |level| ACR.iter().filter(|(known, _)| *known == level).map(|(_, acr)| (*acr).to_owned()).collect();
        let key = self.key.public_key().to_bytes().to_vec();
        Issuer {
            url: self.url(),
            name: "test issuer".to_owned(),
            keys: vec![IssuerKey { kid: KID.to_owned(), algorithm: Algorithm::EdDsa, key, exponent: 0 }],
            audiences: vec![AUDIENCE.to_owned()],
            ins_claim: "ins".to_owned(),
            oid_claim: "ins_oid".to_owned(),
            person_claim: "person".to_owned(),
            person_system: String::new(),
            acr_substantial: acr(Level::Substantial),
            acr_high: acr(Level::High),
            session_s: u32::try_from(SESSION_S_MAX).expect("half an hour"),
            from_ms: 0,
            until_ms: 0,
            test: true,
        }
    }

    /// The claims of a login now (`now_ms`, milliseconds since 1970) with this nonce.
    pub fn claims(&self, nonce: &str, subject: &Subject, means: &Means, now_ms: u64) -> Value {
        let acr = ACR.iter().find(|(level, _)| *level == means.level).map(|(_, acr)| *acr);
        let now = now_ms / 1_000;
        let mut claims = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "test", "iat": now, "exp": now + 60, "nonce": nonce,
            "acr": acr, "amr": [means.method], "idp": means.idp,
        });
        match subject {
            Subject::Patient { ins, oid } => {
                claims["ins"] = json!(ins);
                claims["ins_oid"] = json!(oid);
            }
            Subject::Person(name) => claims["person"] = json!(name),
        }
        claims
    }

    /// Signs claims, whatever they say.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": Algorithm::EdDsa.name(), "kid": KID, "typ": "JWT"});
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Logs `subject` in for a session, and decides this record in it. `record` has its tag already; `tag_proof` is the VRF
    /// proof of that tag, where the patient decides.
    pub fn decide(
        &self,
        record: &v1::Record,
        session: &SigningKey,
        (subject, means): (&Subject, &Means),
        tag_proof: Vec<u8>,
        now_ms: u64,
    ) -> v1::Will {
        let token = self.log_in(session, subject, means, now_ms);
        binding::sign_in_session(&self.origin, record, session, token, tag_proof)
    }

    /// Logs `subject` in for a session, and asks this request in it, which the key `key_id` will sign. `tag_proof` is the VRF
    /// proof of its open tag, where the patient asks.
    pub fn ask(
        &self,
        request: (&v1::DecisionRequest, &KeyId),
        session: &SigningKey,
        (subject, means): (&Subject, &Means),
        tag_proof: Vec<u8>,
        now_ms: u64,
    ) -> v1::Will {
        let token = self.log_in(session, subject, means, now_ms);
        binding::sign_request_in_session(&self.origin, request, session, token, tag_proof)
    }

    /// The token of a login for a session.
    pub fn log_in(&self, session: &SigningKey, subject: &Subject, means: &Means, now_ms: u64) -> String {
        let nonce = binding::session_nonce(&self.origin, session.public_key().as_bytes());
        self.sign(&self.claims(&nonce, subject, means, now_ms))
    }
}
