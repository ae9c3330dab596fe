//! The genesis entry's body: what never changes in the life of a log.

use std::time::{SystemTime, UNIX_EPOCH};

use sillage_proof::keys::PublicKey;
use sillage_proof::vrf::VrfPublicKey;
use sillage_proto::v1;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;
use sillage_rules::will::issuer::Issuer;

use crate::tls::SpkiSha256;

/// The terms of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTerms {
    /// Its name, on the first line of its checkpoints.
    pub origin: String,
    /// Accepts the test and demonstration OIDs of the INS.
    pub test_log: bool,
    /// Has an issuer of logins of its own, which logs in whoever is named: for test logs alone.
    pub test_issuer: bool,
    /// The range of tags that it is for, both ends included.
    pub tag_first: [u8; 32],
    /// See `tag_first`.
    pub tag_last: [u8; 32],
    /// An access recorded later than this is flagged.
    pub late_after_ms: u64,
    /// The patient index has 2^this buckets.
    pub index_depth: u32,
    /// Of an author, where its registration says nothing.
    pub quota_events_per_s: u32,
}

/// A day.
pub const LATE_AFTER_MS: u64 = 24 * 3600 * 1000;

impl LogTerms {
    /// A log for every tag, with the defaults of a real deployment.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            test_log: false,
            test_issuer: false,
            tag_first: [0; 32],
            tag_last: [0xff; 32],
            late_after_ms: LATE_AFTER_MS,
            index_depth: 23,
            quota_events_per_s: 20_000,
        }
    }

    /// A log to develop against: small, in no one's way, for test identities.
    pub fn test(origin: &str) -> Self {
        Self { test_log: true, index_depth: 16, quota_events_per_s: 1_000_000, ..Self::new(origin) }
    }
}

/// A node, as the genesis entry names it.
pub struct NodeTerms {
    /// From 1.
    pub id: u64,
    /// As operators call it.
    pub name: String,
    /// Signs receipts.
    pub key: PublicKey,
    /// Of its certificate.
    pub spki_sha256: SpkiSha256,
}

/// A party that is there from the start.
pub struct PartyTerms {
    /// Of the service.
    pub name: String,
    /// Its first key.
    pub key: PublicKey,
    /// Its roles.
    pub roles: Roles,
    /// Of the certificate that it calls with.
    pub spki_sha256: SpkiSha256,
    /// The names that it vouches for.
    pub vouching: Vouching,
}

/// An Ed25519 public key as messages carry it.
pub fn public_key(key: &PublicKey) -> v1::PublicKey {
    v1::PublicKey { alg: u32::from(sillage_proof::keys::ALG_ED25519), key: key.as_bytes().to_vec() }
}

/// The body. The authority is the first of `parties`; the logins of `issuers` prove a will from the beginning.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn genesis(
    terms: &LogTerms,
    log_key: &PublicKey,
    vrf_key: &VrfPublicKey,
    nodes: &[NodeTerms],
    parties: &[PartyTerms],
    issuers: &[Issuer],
) -> Result<v1::Genesis, getrandom::Error> {
    let mut nonce = vec![0; 32];
    getrandom::fill(&mut nonce)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(v1::Genesis {
        version: 1,
        origin: terms.origin.clone(),
        created_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        log_public_key: log_key.as_bytes().to_vec(),
        vrf_public_key: vrf_key.as_bytes().to_vec(),
        tag_first: terms.tag_first.to_vec(),
        tag_last: terms.tag_last.to_vec(),
        test_log: terms.test_log,
        late_after_ms: terms.late_after_ms,
        index_depth: terms.index_depth,
        quota_events_per_s: terms.quota_events_per_s,
        nodes: nodes.iter().map(node).collect(),
        parties: parties.iter().map(party).collect(),
        nonce,
        // A new log has nothing of before: its rules are those of today from the first entry on.
        feature_level: sillage_ledger::FEATURE_LEVEL,
        issuers: issuers.iter().map(Issuer::to_message).collect(),
        rule: None,
    })
}

fn node(terms: &NodeTerms) -> v1::NodeIdentity {
    v1::NodeIdentity {
        id: terms.id,
        name: terms.name.clone(),
        key: Some(public_key(&terms.key)),
        tls_spki_sha256: terms.spki_sha256.to_vec(),
    }
}

fn party(terms: &PartyTerms) -> v1::PartyRegistered {
    v1::PartyRegistered {
        key: Some(public_key(&terms.key)),
        name: terms.name.clone(),
        roles: terms.roles.bits(),
        tls_spki_sha256: vec![terms.spki_sha256.to_vec()],
        quota_events_per_s: 0,
        patient_tag: Vec::new(),
        patient_secret_tag: Vec::new(),
        patient_commitment: Vec::new(),
        structures: terms.vouching.structures.clone(),
        actor_systems: terms.vouching.actor_systems.clone(),
        issuers: terms.vouching.issuers.clone(),
    }
}
