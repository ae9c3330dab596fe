//! People around Claire, what they record and what they ask; and the calls of the client port, without its network.

use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message as _;
use serde_json::{Value, json};
use sillage_ledger::Party;
use sillage_node::core::Core;
use sillage_node::service;
use sillage_node::tls::{Caller, SpkiSha256};
use sillage_proof::batch::{Origin, ReceiptMessage};
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::ledger_client::LedgerClient;
use sillage_proto::v1::*;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::message::AuthorizeMessage;
use sillage_rules::kind::Kind;
use sillage_rules::record::{act_message, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;
use tonic::service::Routes;

use super::{Author, ORIGIN, now_ms};

pub const RPPS: &str = "urn:oid:1.2.250.1.71.4.2.1";

pub fn claire() -> Actor {
    Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..Actor::default() }
}

pub fn doctor(id: &str) -> Actor {
    Actor {
        system: RPPS.to_owned(),
        id: id.to_owned(),
        role: "dermatologist".to_owned(),
        organisation: "F100".to_owned(),
        ..Actor::default()
    }
}

pub const DR_X: &str = "10100534436";
pub const DR_Y: &str = "10003001234";

/// A patient's tag: any 32 bytes of this log's range.
pub fn patient(n: u8) -> [u8; 32] {
    [n; 32]
}

fn authenticated() -> Option<Authentication> {
    Some(Authentication {
        issuer: "FranceConnect".to_owned(),
        method: "app".to_owned(),
        eidas_level: "substantial".to_owned(),
    })
}

/// A record that the patient signs.
pub fn by_patient(kind: Kind, tag: [u8; 32], details: &Value) -> Record {
    let mut record = new_message(kind, Some(&tag), now_ms());
    (record.actor, record.auth) = (Some(claire()), authenticated());
    record.details = details.to_string();
    record
}

/// A doctor reads something of a patient.
pub fn access_by(tag: [u8; 32], by: &str) -> Record {
    let mut record = new_message(Kind::ACCESS_READ, Some(&tag), now_ms());
    record.actor = Some(doctor(by));
    record.purpose = "TREAT".to_owned();
    record
}

/// Claire permits a doctor to read.
pub fn permit(tag: [u8; 32], id: &str, to: &str) -> Record {
    let grantee = json!({ "professional": format!("{RPPS}|{to}") });
    let details = json!({ "id": id, "effect": "permit", "grantee": grantee, "actions": ["read"] });
    by_patient(Kind::CONSENT_DIRECTIVE, tag, &details)
}

pub fn revoke(tag: [u8; 32], id: &str) -> Record {
    by_patient(Kind::CONSENT_REVOKED, tag, &json!({ "consent": id }))
}

/// The authority publishes the policy.
pub fn policy(by: &Author, details: &Value) -> Record {
    let mut record = new_message(Kind::POLICY_PUBLISHED, None, now_ms());
    // An authority names itself, and nobody else.
    let id = by.id().to_string();
    record.actor = Some(Actor { system: "urn:sillage:author".to_owned(), id, ..Actor::default() });
    record.details = details.to_string();
    record
}

/// Someone breaks the glass, for an hour.
pub fn glass(tag: Option<[u8; 32]>, id: &str, by: &str, more: &Value) -> Record {
    let mut record = new_message(Kind::BREAKGLASS_OPENED, tag.as_ref(), now_ms());
    record.actor = Some(doctor(by));
    let expires = sillage_rules::time::TimeMs(now_ms() + 3_600_000);
    let mut details = json!({
        "id": id, "case": "INCAPACITY", "reason": "unconscious", "expires": expires, "search": "INS",
        "no_position": "INDOORS",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        details[name] = value.clone();
    }
    record.details = details.to_string();
    record
}

/// A patient with both tags, as an author resolves them.
#[derive(Clone)]
pub struct TwoTags {
    pub open: [u8; 32],
    pub secret: [u8; 32],
    pub pairing: TagPairing,
}

/// An invented patient of the node's log.
pub fn two_tags(core: &Core, n: u8) -> TwoTags {
    let patient =
        PatientIdentity { ins: format!("2790351215{:03}89", u16::from(n) + 1), oid: "1.2.250.1.213.1.4.10".to_owned() };
    let [tags] = <[ResolvedTag; 1]>::try_from(core.tags().resolve(std::slice::from_ref(&patient)).expect("resolved"))
        .expect("one answer to one identity");
    let tag = |bytes: &[u8]| bytes.try_into().expect("32 bytes");
    TwoTags {
        open: tag(&tags.tag),
        secret: tag(&tags.secret_tag),
        pairing: TagPairing { patient: Some(patient), proof: tags.proof, secret_proof: tags.secret_proof },
    }
}

/// A request, and what proves its two tags.
pub type Question = (DecisionRequest, TagPairing);

/// A doctor's question to read something of a patient.
pub fn request(of: &TwoTags, by: &str, items: &[&str]) -> Question {
    let item = |id: &&str| Item { id: (*id).to_owned(), category: "REPORT".to_owned(), ..Item::default() };
    let mut nonce = vec![0; 16];
    getrandom::fill(&mut nonce).expect("randomness");
    let request = DecisionRequest {
        version: 1,
        tag: of.open.to_vec(),
        secret_tag: of.secret.to_vec(),
        actor: Some(doctor(by)),
        auth: None,
        action: "read".to_owned(),
        purpose: "TREAT".to_owned(),
        items: items.iter().map(item).collect(),
        requested_at_ms: now_ms(),
        nonce,
        correlation: None,
        will: None,
    };
    (request, of.pairing.clone())
}

/// Requests as this key signs them.
pub fn signed(key: &SigningKey, asked: &[Question]) -> AuthorizeRequest {
    let bytes = asked.iter().map(|(request, pairing)| (request.encode_to_vec(), pairing.clone()));
    signed_bytes(key, bytes.collect())
}

pub fn signed_bytes(key: &SigningKey, asked: Vec<(Vec<u8>, TagPairing)>) -> AuthorizeRequest {
    let (requests, pairings): (Vec<_>, _) = asked.into_iter().unzip();
    let hashes: Vec<Hash> = requests.iter().map(|request| sillage_proof::hash::leaf_hash(request)).collect();
    let origin = Origin::new(ORIGIN).expect("valid");
    let signature = AuthorizeMessage::new(key.key_id(), origin, &hashes).map(|message| message.sign(key).to_vec());
    AuthorizeRequest {
        alg: 1,
        key_id: key.key_id().as_bytes().to_vec(),
        requests,
        signature: signature.unwrap_or_else(|_| vec![0; 64]),
        urgent: true,
        pairings,
    }
}

pub fn parsed(request: &DecisionRequest) -> ParsedRequest {
    ParsedRequest::from_message(request.clone()).expect("a request")
}

/// A party that was registered, with the certificate that it calls with.
#[derive(Clone)]
pub struct Registered {
    pub key: SigningKey,
    pub spki: SpkiSha256,
}

impl Registered {
    /// As the ledger knows it.
    pub fn party(&self, core: &Core) -> Party {
        core.reader().party_by_tls_spki(&self.spki).expect("readable").expect("registered")
    }
}

/// The authority registers a party, of which everything follows from `seed`.
pub async fn register(core: &Core, authority: &mut Author, seed: u8, roles: Roles) -> Registered {
    let party = party(seed, roles, None);
    put(core, authority, &act_message(&Act::Registered(party), now_ms())).await;
    of_seed(seed)
}

/// The key and the certificate of a party.
pub fn of_seed(seed: u8) -> Registered {
    Registered { key: SigningKey::from_seed(&[seed; 32]), spki: [seed; 32] }
}

/// A party of which everything follows from `seed`. With a tag it is a patient's device of before: a genesis alone names one.
pub fn party(seed: u8, roles: Roles, tag: Option<[u8; 32]>) -> PartyRegistration {
    let Registered { key, spki } = of_seed(seed);
    PartyRegistration {
        key: key.public_key(),
        name: format!("party {seed}"),
        roles,
        tls_spki_sha256: vec![spki],
        quota_events_per_s: 0,
        patient_tag: tag,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: if tag.is_some() { Vouching::default() } else { Vouching::any() },
    }
}

/// Records, and gives the index.
pub async fn put(core: &Core, author: &mut Author, record: &Record) -> u64 {
    let done = core.submit(author.batch(record)).await.expect("recorded");
    let receipt = done.receipt.expect("a receipt");
    ReceiptMessage::decode(&receipt.message).expect("a receipt").first_index.get()
}

/// Calls of the client port as they come in after the handshake, from whoever has this certificate.
#[derive(Clone)]
pub struct AsCaller {
    routes: Routes,
    spki: SpkiSha256,
}

impl tower::Service<http::Request<tonic::body::Body>> for AsCaller {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = <Routes as tower::Service<http::Request<tonic::body::Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        let address = "127.0.0.1:1".parse().expect("an address");
        request.extensions_mut().insert(Caller { spki_sha256: self.spki, address, monitoring_only: false });
        self.routes.call(request)
    }
}

/// A client of this node, as a party.
pub fn client(core: &Arc<Core>, party: &Registered) -> LedgerClient<AsCaller> {
    LedgerClient::new(AsCaller { routes: service::routes(Arc::clone(core)), spki: party.spki })
}

/// The words of a refusal.
pub fn info(status: &tonic::Status) -> ErrorInfo {
    ErrorInfo::decode(status.details()).expect("details are an ErrorInfo")
}
