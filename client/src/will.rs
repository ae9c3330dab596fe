//! Logins: how a service proves that the patient, or who represents them, decided what it records, and who asks what it asks.
//!
//! A service logs the person in with its own OpenID Connect client. As the nonce it sends [`session_nonce`] of a key that
//! it made for this session; it keeps the ID token, and [`Session::decide`] signs each record of the session, and
//! [`Session::ask`] each request. A file of a
//! session (`login` in the profile) holds the same for the command line. A test log has an issuer of its own, whose key is in
//! the profile (`test_issuer`): there the client logs in whoever is named, by itself.

use std::path::Path;

use serde::Deserialize;
use sillage_proof::batch::Origin;
use sillage_proof::keys::{KeyId, SigningKey};
use sillage_proto::v1;
use sillage_rules::consent::is_authenticated;
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::kind::Kind;
use sillage_rules::will::binding::{sign_in_session, sign_request_in_session};
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_rules::will::{Level, may_carry};
use zeroize::Zeroizing;

pub use sillage_rules::will::binding::session_nonce;

use crate::error::ClientError;
use crate::patient::TagRequest;
use crate::profile::{Profile, load_seed, read};

/// A login, and the key of its session.
pub struct Session {
    /// Made for this session; the nonce of the login names it.
    pub key: SigningKey,
    /// The ID token, as it came (decrypted, where it came encrypted).
    pub token: String,
    /// The signed userinfo answer, where the claims on the person stand there.
    pub userinfo: String,
}

impl Session {
    /// The proof for one record. `record` has its tag already; `tag_proof` is the VRF proof of that tag where the patient
    /// decides, empty where a representative does.
    pub fn decide(&self, origin: &Origin, record: &v1::Record, tag_proof: Vec<u8>) -> v1::Will {
        let will = sign_in_session(origin, record, &self.key, self.token.clone(), tag_proof);
        v1::Will { userinfo: self.userinfo.clone(), ..will }
    }

    /// The proof of who asks, for one request and the key that will sign it. `tag_proof` is the VRF proof of the request's
    /// open tag where the patient asks, empty where somebody else does.
    pub fn ask(&self, origin: &Origin, request: (&v1::DecisionRequest, &KeyId), tag_proof: Vec<u8>) -> v1::Will {
        let will = sign_request_in_session(origin, request, &self.key, self.token.clone(), tag_proof);
        v1::Will { userinfo: self.userinfo.clone(), ..will }
    }
}

/// The file of a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionFile {
    /// The seed of the session's key, in hexadecimal.
    key: String,
    token: String,
    #[serde(default)]
    userinfo: String,
}

/// Where the proofs of a profile's records come from.
pub enum Logins {
    /// A test log's own issuer.
    Test(TestIssuer),
    /// The login of one person.
    Session(Session, Origin),
}

impl Logins {
    /// As the profile says; none where it says nothing.
    ///
    /// # Errors
    /// When a file that it names can't be used.
    pub fn of(profile: &Profile) -> Result<Option<Self>, ClientError> {
        let origin = || Origin::new(profile.origin.clone()).map_err(|error| ClientError::Usage(error.to_string()));
        if let Some(path) = &profile.login {
            return Ok(Some(Self::Session(load(path)?, origin()?)));
        }
        match &profile.test_issuer {
            Some(path) => Ok(Some(Self::Test(TestIssuer::new(load_seed(path)?, origin()?)))),
            None => Ok(None),
        }
    }

    /// Puts the proof into a record that says that somebody decided who proved who they are. `record` has its tag
    /// already; `tag_proof` proves that. A record that carries a proof, or can't, stays as it is.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn prove(
        &self,
        record: &mut v1::Record,
        (patient, tag_proof): (Option<&TagRequest>, &[u8]),
        now_ms: u64,
    ) -> Result<(), ClientError> {
        let carries = Kind::from_code(record.kind).is_ok_and(may_carry);
        let (true, None, true) = (carries, &record.will, is_authenticated(record.auth.as_ref())) else { return Ok(()) };
        let Some(actor) = &record.actor else { return Ok(()) };
        let tag_proof = if is_patient(actor) { tag_proof.to_vec() } else { Vec::new() };
        record.will = Some(match self {
            Self::Session(session, origin) => session.decide(origin, record, tag_proof),
            Self::Test(issuer) => {
                let (subject, means) = logs_in(actor, patient, record.auth.as_ref());
                issuer.decide(record, &session_key()?, (&subject, &means), tag_proof, now_ms)
            }
        });
        Ok(())
    }

    /// Puts the proof of who asks into a request that says that its actor proved who they are. `key_id` is of the key
    /// that will sign it; `tag_proof` proves its open tag. A request that carries a proof stays as it is.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn prove_asker(
        &self,
        request: &mut v1::DecisionRequest,
        key_id: &KeyId,
        (patient, tag_proof): (&TagRequest, &[u8]),
        now_ms: u64,
    ) -> Result<(), ClientError> {
        let (None, true) = (&request.will, is_authenticated(request.auth.as_ref())) else { return Ok(()) };
        let Some(actor) = &request.actor else { return Ok(()) };
        let tag_proof = if is_patient(actor) { tag_proof.to_vec() } else { Vec::new() };
        request.will = Some(match self {
            Self::Session(session, origin) => session.ask(origin, (request, key_id), tag_proof),
            Self::Test(issuer) => {
                let (subject, means) = logs_in(actor, Some(patient), request.auth.as_ref());
                issuer.ask((request, key_id), &session_key()?, (&subject, &means), tag_proof, now_ms)
            }
        });
        Ok(())
    }
}

fn is_patient(actor: &v1::Actor) -> bool {
    actor.system == PATIENT_SYSTEM
}

/// The login of a test log's issuer: what the actor and their `auth` say.
fn logs_in(actor: &v1::Actor, patient: Option<&TagRequest>, auth: Option<&v1::Authentication>) -> (Subject, Means) {
    let subject = match patient {
        Some(patient) if is_patient(actor) => Subject::Patient { ins: patient.ins.clone(), oid: patient.oid.clone() },
        _ => Subject::Person(format!("{}|{}", actor.system, actor.id)),
    };
    let auth = auth.cloned().unwrap_or_default();
    let level = if auth.eidas_level == Level::High.as_str() { Level::High } else { Level::Substantial };
    (subject, Means { idp: auth.issuer, method: auth.method, level })
}

fn session_key() -> Result<SigningKey, ClientError> {
    SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))
}

fn load(path: &Path) -> Result<Session, ClientError> {
    let bytes = Zeroizing::new(read(path)?);
    // What stands in it is a secret: the error names the file alone.
    let unusable = |what: &str| ClientError::reading(path, format!("not the file of a login: {what}"));
    let file: SessionFile =
        serde_json::from_slice(&bytes).map_err(|_| unusable("a JSON object of `key`, `token`, `userinfo`"))?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(file.key.trim(), &mut *seed).map_err(|_| unusable("`key` is 64 hexadecimal characters"))?;
    Ok(Session { key: SigningKey::from_seed(&seed), token: file.token, userinfo: file.userinfo })
}
