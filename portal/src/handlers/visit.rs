//! A visit: the session that a browser's cookie holds, and the cookie that a session is written into.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use sillage_client::ClientError;
use sillage_client::consent::who::Acting;
use sillage_client::patient_session::{PROOF_BYTES, PatientSession, ProvenTag, Subject};
use sillage_client::session::Session;
use sillage_client::trace::read_page;
use sillage_client::will;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::doors::DoorRecord;
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;
use zeroize::Zeroizing;

use crate::cookie::{Purpose, Sealer, Unusable};

/// The name of its cookie.
pub const COOKIE: &str = "session";

/// Ends of sessions that are looked at, newest first: more than a patient has in the time of one session.
const CLOSED_MAX: u32 = 100;

/// Somebody who is logged in.
pub struct Visit {
    /// Their session.
    pub patient: PatientSession,
    /// Their name.
    pub name: String,
    /// The patient's name, where somebody acts for them; else empty.
    pub acting_for: String,
    /// Where they logged in.
    pub through: String,
}

/// What the cookie holds.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(bytes = "vec", tag = "1")]
    seed: Vec<u8>,
    #[prost(string, tag = "2")]
    ins: String,
    #[prost(string, tag = "3")]
    oid: String,
    /// Tag and proof.
    #[prost(bytes = "vec", tag = "4")]
    open: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    secret: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    actor: Option<v1::Actor>,
    #[prost(message, optional, tag = "7")]
    auth: Option<v1::Authentication>,
    #[prost(uint64, tag = "8")]
    until_ms: u64,
    #[prost(string, tag = "9")]
    name: String,
    #[prost(string, tag = "10")]
    through: String,
    #[prost(bytes = "vec", tag = "11")]
    token: Vec<u8>,
    #[prost(bytes = "vec", tag = "12")]
    userinfo: Vec<u8>,
    #[prost(string, tag = "13")]
    acting_for: String,
}

impl Visit {
    /// The public key of the session.
    pub fn key(&self) -> [u8; 32] {
        self.patient.login.key.public_key().to_bytes()
    }

    /// Whether the session's end is on record. One that ran out by its time has none.
    ///
    /// # Errors
    /// When the log can't be reached, or no session of the patient is open any more (`NOT_ENTITLED`).
    pub async fn is_closed(&self, ledger: &Session) -> Result<bool, ClientError> {
        let subject = &self.patient.subject;
        let place = subject.secret.as_ref().unwrap_or(&subject.open);
        let kind = Kind::SESSION_CLOSED.code().into();
        let request = v1::TraceRequest { kind, ..v1::TraceRequest::default() };
        let page = read_page(ledger, &request, &place.tag, None, None, CLOSED_MAX).await?;
        let own = Hash::from_bytes(self.key());
        let is_own = |record: &ParsedRecord| matches!(DoorRecord::of(record), Ok(Some(DoorRecord::SessionClosed(closed))) if closed.session == own);
        Ok(page.lines.iter().filter_map(|line| line.line.record.as_ref()).any(is_own))
    }

    /// The value of its cookie.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn seal(&self, sealer: &Sealer) -> Result<String, ClientError> {
        let Self { patient, name, acting_for, through } = self;
        let PatientSession { login, subject, acting, until_ms } = patient;
        let kept = Kept {
            seed: login.key.to_seed().to_vec(),
            ins: subject.ins.clone(),
            oid: subject.oid.clone(),
            open: tag_bytes(&subject.open),
            secret: subject.secret.as_ref().map(tag_bytes).unwrap_or_default(),
            actor: Some(acting.actor.clone()),
            auth: acting.auth.clone(),
            until_ms: *until_ms,
            name: name.clone(),
            through: through.clone(),
            acting_for: acting_for.clone(),
            token: pack(&login.token),
            userinfo: pack(&login.userinfo),
        };
        sealer.seal(Purpose::Session, *until_ms, &Zeroizing::new(kept.encode_to_vec()))
    }

    /// Reads a cookie.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn open(sealer: &Sealer, value: &str, now_ms: u64) -> Result<Self, Unusable> {
        let content = sealer.open(Purpose::Session, value, now_ms)?;
        Kept::decode(&content[..]).ok().and_then(Self::of).ok_or(Unusable::Forged)
    }

    fn of(kept: Kept) -> Option<Self> {
        let seed = Zeroizing::new(<[u8; 32]>::try_from(&kept.seed[..]).ok()?);
        let secret = match kept.secret.is_empty() {
            true => None,
            false => Some(tag_of(&kept.secret)?),
        };
        let subject = Subject { ins: kept.ins, oid: kept.oid, open: tag_of(&kept.open)?, secret };
        let login = will::Session {
            key: SigningKey::from_seed(&seed),
            token: unpack(&kept.token)?,
            userinfo: unpack(&kept.userinfo)?,
        };
        let acting = Acting { actor: kept.actor?, auth: kept.auth };
        let patient = PatientSession { login, subject, acting, until_ms: kept.until_ms };
        Some(Self { patient, name: kept.name, acting_for: kept.acting_for, through: kept.through })
    }
}

fn tag_bytes(own: &ProvenTag) -> Vec<u8> {
    [&own.tag.as_bytes()[..], &own.proof].concat()
}

fn tag_of(bytes: &[u8]) -> Option<ProvenTag> {
    let (tag, proof) = bytes.split_at_checked(32)?;
    Some(ProvenTag { tag: PatientTag::from_slice(tag).ok()?, proof: <[u8; PROOF_BYTES]>::try_from(proof).ok()? })
}

/// A token without its base64, which the cookie has once more: a quarter less. What doesn't come back the same stays as it is.
fn pack(token: &str) -> Vec<u8> {
    let parts: Option<Vec<Vec<u8>>> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
    let mut out = vec![1];
    for part in parts.unwrap_or_default() {
        let Ok(len) = u16::try_from(part.len()) else { break };
        out.extend(len.to_be_bytes());
        out.extend(part);
    }
    match unpack(&out).as_deref() == Some(token) {
        true => out,
        false => [&[0], token.as_bytes()].concat(),
    }
}

fn unpack(bytes: &[u8]) -> Option<String> {
    match bytes.split_first()? {
        (0, text) => String::from_utf8(text.to_vec()).ok(),
        (1, mut rest) => {
            let mut parts = Vec::new();
            while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                let (part, tail) = tail.split_at_checked(u16::from_be_bytes(*len).into())?;
                parts.push(URL_SAFE_NO_PAD.encode(part));
                rest = tail;
            }
            rest.is_empty().then(|| parts.join("."))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit() -> Visit {
        let own = |byte| ProvenTag { tag: PatientTag::from_bytes([byte; 32]), proof: [byte; PROOF_BYTES] };
        let subject = Subject { ins: "279".into(), oid: "1.2".into(), open: own(1), secret: Some(own(2)) };
        let login = will::Session {
            key: SigningKey::from_seed(&[7; 32]),
            token: format!("{}.{}.{}", "YWJj", "ZGVm", "Z2hp"),
            userinfo: "not a token".into(),
        };
        let acting = Acting { actor: v1::Actor { id: "self".into(), ..v1::Actor::default() }, auth: None };
        let patient = PatientSession { login, subject, acting, until_ms: 1_000 };
        Visit { patient, name: "Zoé".into(), acting_for: String::new(), through: "FranceConnect+".into() }
    }

    #[test]
    fn a_cookie_gives_the_session_that_it_was_made_of_until_that_ends() {
        let sealer = Sealer::from_bytes([3; 32]);
        let value = visit().seal(&sealer).expect("sealed");
        let Ok(back) = Visit::open(&sealer, &value, 999) else { panic!("it opens") };
        let Visit { patient, name, through, .. } = &back;
        assert_eq!((patient.subject.clone(), back.key()), (visit().patient.subject, visit().key()));
        assert_eq!((patient.login.token.as_str(), patient.login.userinfo.as_str()), ("YWJj.ZGVm.Z2hp", "not a token"));
        assert_eq!(
            (name.as_str(), through.as_str(), patient.acting.actor.id.as_str()),
            ("Zoé", "FranceConnect+", "self")
        );
        assert_eq!(Visit::open(&sealer, &value, 1_000).err(), Some(Unusable::Expired));
        let others = sealer.seal(Purpose::Login, 1_000, b"x").expect("sealed");
        assert_eq!(Visit::open(&sealer, &others, 0).err(), Some(Unusable::Forged));
    }

    #[test]
    fn any_token_comes_back_as_it_went() {
        for token in ["", "a", "YWJj", "YWJj.", "YWJj.ZGVm.Z2hp", "YWJ", "é.é", &"YWJj".repeat(30_000)] {
            assert_eq!(unpack(&pack(token)).as_deref(), Some(token));
        }
        assert!(pack("YWJj.ZGVm.Z2hp").len() < "YWJj.ZGVm.Z2hp".len() + 3);
    }
}
