//! The patient's will is proven, not claimed: who decided a record is what an identity provider signed.
//!
//! A record carries in `will` the token of a login ([`jws`]), of an issuer whose keys the authority published ([`issuer`]).
//! The login is bound to this record, or to a session whose key signs it ([`binding`]), and its claims name the patient of
//! the record's tag, or the representative who is its actor ([`claims`]). [`prove`] checks all of it, and [`Will`] says how a
//! record's will is established. A request for a decision carries the same proof of who asks: [`of_request`]. [`test_issuer`] logs in whoever is named, for test logs alone.
//!
//! Everything here is pure: the issuer comes from the ledger, the time is ledger time, so every node comes to one verdict.

use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LedgerTimeMs};
use sillage_proof::keys::{KeyId, PublicKey};
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::{VrfProof, VrfPublicKey};
use sillage_proto::v1;

pub use crate::login::{
    KnownSignatures, LEEWAY_S, Level, REMEMBERED_MS, SESSION_S_MAX, TOKEN_BYTES_MAX, binding, claims, issuer, jws,
    may_carry, test_issuer,
};

use self::claims::Claims;
use self::issuer::Issuer;
use self::jws::Token;
use crate::codes::Code;
use crate::consent::{Actor, ActorKind, ActorName};
use crate::decide::ParsedRequest;
use crate::doors::session::SessionOpened;
use crate::error::RecordError;
use crate::kind::Kind;
use crate::record::ParsedRecord;

/// The feature level of a log from which on its requests may carry a will: before, they are refused with it.
pub const REQUESTS_FROM_LEVEL: u32 = 4;
/// By what a will is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofOfWill {
    /// A login, at the issuer with this URL.
    Login {
        /// The claim `iss`.
        issuer: String,
    },
    /// The batch is signed with the patient's own key.
    OwnKey,
}

/// A will that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenWill {
    /// By what.
    pub how: ProofOfWill,
    /// How sure that is.
    pub level: Level,
    /// Ledger time from which the login counts no more, ms, with the leeway for clocks.
    pub until_ms: u64,
}

impl ProvenWill {
    /// Tells whether it is enough to decide and to ask.
    pub fn suffices(&self) -> bool {
        self.level >= Level::Substantial
    }

    /// As a decision on what they asked says it.
    pub fn to_asker(&self) -> v1::DecisionAsker {
        match &self.how {
            ProofOfWill::Login { issuer } => {
                let (issuer, eidas_level) = (issuer.clone(), self.level.as_str().to_owned());
                v1::DecisionAsker { issuer, eidas_level, own_key: false }
            }
            ProofOfWill::OwnKey => v1::DecisionAsker { own_key: true, ..v1::DecisionAsker::default() },
        }
    }
}

/// How the will of a record is established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Will {
    /// By an assertion that was verified.
    Proven(ProvenWill),
    /// Collected on paper, by telephone or by another system, with evidence: the service vouches for the collecting. It ends
    /// nothing that was proven.
    Collected,
    /// By nothing but a service's word.
    Claimed,
}

impl Will {
    /// Tells whether it is proven well enough to decide.
    pub fn suffices(&self) -> bool {
        matches!(self, Self::Proven(proven) if proven.suffices())
    }
}

/// The part of the ledger against which a proof is checked.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// Its name.
    pub origin: &'a Origin,
    /// Verifies tags, from its genesis.
    pub vrf_public_key: &'a [u8; 32],
    /// True if it takes issuers for tests.
    pub test_log: bool,
    /// Tokens whose signature was verified before; none: each is verified.
    pub known: Option<&'a dyn KnownSignatures>,
}

/// The issuer that the record's token names, to look it up; `None` where the record carries no will.
///
/// # Errors
/// `LOGIN_MALFORMED`.
pub fn issuer_named(record: &v1::Record) -> Result<Option<String>, RecordError> {
    issuer_of(record.will.as_ref())
}

/// The issuer that a will's token names; `None` where there is none.
///
/// # Errors
/// `LOGIN_MALFORMED`.
pub fn issuer_of(will: Option<&v1::Will>) -> Result<Option<String>, RecordError> {
    let Some(will) = will else { return Ok(None) };
    let token = Token::parse(&will.token).map_err(|error| error.within("will.token"))?;
    Ok(Some(Claims::parse(&token).map_err(|error| error.within("will.token"))?.text("iss")?.to_owned()))
}

/// How the will of a record is established, where the patient's own key didn't sign. `issuer` is what the ledger knows at `at`
/// of the issuer that [`issuer_named`] gave; `at` is ledger time.
///
/// # Errors
/// With the code of the first thing that is wrong with the proof that the record carries.
pub fn of(
    record: &ParsedRecord,
    issuer: Option<&Issuer>,
    log: &Log<'_>,
    at: LedgerTimeMs,
) -> Result<Will, RecordError> {
    let message = record.message();
    match &message.will {
        Some(will) => {
            let session = match record.kind() {
                Kind::SESSION_OPENED => Some(SessionOpened::parse(record)?),
                _ => None,
            };
            let about = About {
                tag: record.entry_tag(),
                actor: Actor::of(message),
                auth: message.auth.as_ref(),
                digest: binding::record_digest(message),
                session,
            };
            prove(about, will, issuer, log, at).map(Will::Proven).map_err(|error| error.within("will"))
        }
        None if is_collected(message) => Ok(Will::Collected),
        None => Ok(Will::Claimed),
    }
}

/// Tells whether it says that it was collected. The required content is checked where directives are.
fn is_collected(message: &v1::Record) -> bool {
    let details = serde_json::from_str::<serde_json::Value>(&message.details);
    details.is_ok_and(|details| details.get("collected").is_some())
}

/// By what it is proven that a request's actor asks it, through the party whose key `key_id` signs it; `None` where nothing is
/// said to prove it. `issuer` and `at` as in [`of`].
///
/// # Errors
/// With the code of the first thing that is wrong with the proof that the request carries.
pub fn of_request(
    request: &ParsedRequest,
    key_id: &KeyId,
    issuer: Option<&Issuer>,
    log: &Log<'_>,
    at: LedgerTimeMs,
) -> Result<Option<ProvenWill>, RecordError> {
    let message = request.message();
    let Some(will) = &message.will else { return Ok(None) };
    let about = About {
        tag: *request.tag(),
        actor: Ok(request.actor().clone()),
        auth: message.auth.as_ref(),
        digest: binding::request_digest(message, key_id),
        session: None,
    };
    prove(about, will, issuer, log, at).map(Some).map_err(|error| error.within("will"))
}

/// The claim that a login is to prove: that this actor decides, or asks, this of the patient of this tag.
struct About<'a> {
    tag: [u8; 32],
    actor: Result<Actor, RecordError>,
    auth: Option<&'a v1::Authentication>,
    digest: Hash,
    /// It opens a session.
    session: Option<SessionOpened>,
}

fn prove(
    about: About<'_>,
    will: &v1::Will,
    issuer: Option<&Issuer>,
    log: &Log<'_>,
    at: LedgerTimeMs,
) -> Result<ProvenWill, RecordError> {
    let token = Token::parse(&will.token).map_err(|error| error.within("token"))?;
    let claims = Claims::parse(&token).map_err(|error| error.within("token"))?;
    let unknown = |why: &str| RecordError::new(Code::LoginIssuer, "token", why);
    let issuer = issuer.ok_or_else(|| unknown("its issuer isn't published in this log"))?;
    if claims.text("iss")? != issuer.url {
        return Err(unknown("its issuer is another one"));
    }
    if issuer.test && !log.test_log {
        return Err(unknown("its issuer is for tests, and this log is of real persons"));
    }
    if !issuer.counts_at(at) {
        return Err(unknown("its issuer doesn't count at this time"));
    }
    let within = |part: &'static str| move |error: RecordError| error.within(part);
    issuer.verify(&token, log.known).map_err(within("token"))?;
    issuer.check_audience(&claims).map_err(within("token"))?;
    let until_ms = issuer.check_time(&claims, at).map_err(within("token"))?;
    check_bound(&about, will, &claims, log.origin)?;
    let on_person = match will.userinfo.is_empty() {
        true => None,
        false => Some(userinfo(&will.userinfo, issuer, &claims, log.known).map_err(within("userinfo"))?),
    };
    let auth = about.auth;
    check_subject(about, will, on_person.as_ref().unwrap_or(&claims), issuer, log)?;
    let level = issuer.level(&claims);
    check_said(auth, &claims, issuer, level)?;
    Ok(ProvenWill { how: ProofOfWill::Login { issuer: issuer.url.clone() }, level, until_ms })
}

/// The claims of the userinfo answer: of the same issuer, for the same service, on the same person.
fn userinfo(
    text: &str,
    issuer: &Issuer,
    login: &Claims,
    known: Option<&dyn KnownSignatures>,
) -> Result<Claims, RecordError> {
    let token = Token::parse(text)?;
    issuer.verify(&token, known)?;
    let claims = Claims::parse(&token)?;
    if claims.text("iss")? != issuer.url {
        return Err(RecordError::new(Code::LoginIssuer, "", "it is of another issuer than the ID token"));
    }
    issuer.check_audience(&claims)?;
    match claims.text("sub")? == login.text("sub")? {
        true => Ok(claims),
        false => Err(RecordError::new(Code::LoginSubject, "", "it is about somebody else than the ID token")),
    }
}

/// The nonce names this record or request, or a session whose key signed it.
fn check_bound(about: &About<'_>, will: &v1::Will, login: &Claims, origin: &Origin) -> Result<(), RecordError> {
    let key = match <[u8; 32]>::try_from(&will.session_key[..]) {
        Err(_) => {
            let blind = <[u8; 16]>::try_from(&will.blind[..]).expect("bounds were checked");
            return check_nonce(login, &binding::record_nonce(origin, &blind, &about.digest));
        }
        Ok(key) => key,
    };
    check_nonce(login, &binding::session_nonce(origin, &key))?;
    let message = binding::session_message(origin, &key, &about.tag, &about.digest);
    let wrong = || {
        RecordError::new(
            Code::LoginSignature,
            "signature",
            "the session's key didn't sign what it is to prove, for this log",
        )
    };
    let key = PublicKey::from_bytes(&key).map_err(|_| wrong())?;
    key.verify(&message, &will.signature).map_err(|_| wrong())
}

fn check_nonce(login: &Claims, expected: &str) -> Result<(), RecordError> {
    match login.optional_text("nonce")? == Some(expected) {
        true => Ok(()),
        false => Err(RecordError::new(
            Code::LoginNotBound,
            "token",
            "its nonce names neither what it is to prove nor this session",
        )),
    }
}

/// Checks that the person who logged in is the patient of the tag, or the actor. Errors never repeat a claim.
fn check_subject(
    about: About<'_>,
    will: &v1::Will,
    person: &Claims,
    issuer: &Issuer,
    log: &Log<'_>,
) -> Result<(), RecordError> {
    let other = |path: &str, why: &str| RecordError::new(Code::LoginSubject, path, why);
    let actor = about.actor?;
    if actor.kind != ActorKind::Patient {
        let name = issuer.person(person)?;
        let same = name.parse::<ActorName>().is_ok_and(|name| name == actor.name);
        if about.session.is_some_and(|session| session.open.is_some()) {
            return Err(other("", "`open_tag` and `open_proof` are the patient's: leave them out"));
        }
        return match same {
            true => Ok(()),
            false => Err(other("token", "somebody else logged in than the actor")),
        };
    }
    let (ins, oid) = issuer.patient(person)?;
    let identity = Identity::new(ins, oid);
    let identity = identity.map_err(|_| other("token", "its claims hold no INS in the form of one"))?;
    let failed = || other("tag_proof", "it doesn't prove that the tag is that of who logged in");
    let proof = VrfProof::from_bytes(&will.tag_proof).map_err(|_| failed())?;
    let key = VrfPublicKey::from_bytes(log.vrf_public_key).map_err(|_| failed())?;
    let tag = PatientTag::from_bytes(about.tag);
    let holds = |which_tag| tag.verify(&key, &identity, which_tag, &proof).is_ok();
    if let Some(session) = &about.session {
        // Nobody who represents the patient reads under the secret tag that they were there.
        return match holds(WhichTag::Secret) && opens(session, &key, &identity) {
            true => Ok(()),
            false => Err(other(
                "tag_proof",
                "a patient opens a session under their secret tag, and proves the open one beside it",
            )),
        };
    }
    match holds(WhichTag::Open) || holds(WhichTag::Secret) {
        true => Ok(()),
        false => Err(failed()),
    }
}

/// True if a session that the patient opens proves the open tag of this identity.
fn opens(session: &SessionOpened, key: &VrfPublicKey, identity: &Identity) -> bool {
    let Some(open) = &session.open else { return false };
    let Ok(proof) = VrfProof::from_bytes(&open.proof) else { return false };
    PatientTag::from_bytes(open.tag).verify(key, identity, WhichTag::Open, &proof).is_ok()
}

/// `auth` says the same as the token: so it may be shown as proven.
fn check_said(
    auth: Option<&v1::Authentication>,
    login: &Claims,
    issuer: &Issuer,
    level: Level,
) -> Result<(), RecordError> {
    let Some(auth) = auth else { return Ok(()) };
    let issuers = [Some(issuer.url.as_str()), Some(issuer.name.as_str()), login.optional_text("idp")?];
    let acr = login.optional_text("acr")?;
    let methods = login.list("amr")?;
    let is_method = acr == Some(auth.method.as_str()) || methods.contains(&auth.method.as_str());
    let wrong = |what: &str| RecordError::new(Code::LoginLevel, "token", format!("`auth` names another {what}"));
    if !auth.issuer.is_empty() && !issuers.contains(&Some(auth.issuer.as_str())) {
        return Err(wrong("issuer"));
    }
    if !auth.method.is_empty() && !is_method {
        return Err(wrong("method"));
    }
    match auth.eidas_level.is_empty() || auth.eidas_level == level.as_str() {
        true => Ok(()),
        false => Err(wrong("level")),
    }
}

#[cfg(test)]
mod tests;
