//! The caller: from the certificate of the connection to a party of the ledger.

use sillage_ledger::{KeyState, Party, Refusal};
use sillage_proto::v1::{PartyRegistered, PublicKey};
use sillage_rules::codes::Code;
use sillage_rules::roles::Roles;
use tonic::Request;

use crate::core::Core;
use crate::refusals::{from_read, not_entitled, refuse};
use crate::tls::{Caller, SpkiSha256};

/// The party that calls.
///
/// # Errors
/// `UNKNOWN_CALLER` when its certificate is nobody's, or its party was ended; nothing more is said to it.
pub(super) async fn party<T>(core: &Core, request: &Request<T>) -> Result<Party, Refusal> {
    known(core, request.extensions().get::<Caller>()).await
}

/// The party that has the certificate of a connection.
///
/// # Errors
/// As [`party`].
pub(super) async fn known(core: &Core, caller: Option<&Caller>) -> Result<Party, Refusal> {
    by_spki(core, &caller.ok_or_else(|| refuse(Code::NoCertificate))?.spki_sha256).await
}

/// The party that was registered with the certificate of a connection, whatever became of its key and its roles since: it may learn
/// what of its own is on record, and no more.
///
/// # Errors
/// `UNKNOWN_CALLER`, and when the ledger can't be read.
pub(super) fn registered(core: &Core, caller: Option<&Caller>) -> Result<Party, Refusal> {
    let spki = caller.ok_or_else(|| refuse(Code::NoCertificate))?.spki_sha256;
    let found = core.reader().party_by_tls_spki(&spki).map_err(|error| from_read(&error))?;
    found.ok_or_else(|| refuse(Code::UnknownCaller))
}

/// Tells whether a party is refused because of what became of it, and not for its certificate.
pub(super) fn is_ended(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::RevokedKey | Code::UnknownCaller | Code::NotEntitled)
}

/// The party that has a certificate.
///
/// # Errors
/// As [`party`].
pub(super) async fn by_spki(core: &Core, spki: &SpkiSha256) -> Result<Party, Refusal> {
    let find = || core.reader().party_by_tls_spki(spki).map_err(|error| from_read(&error));
    let mut found = find()?;
    if found.is_none() {
        // It may have been registered a moment ago, through another node.
        core.up_to_date().await?;
        found = find()?;
    }
    let known = found.filter(|party| !party.roles.is_empty());
    let known = known.ok_or_else(|| refuse(Code::UnknownCaller))?;
    // A key is revoked where it was stolen, and the certificate beside it was stolen with it.
    if let Some(newest) = known.keys.last() {
        let key = core.reader().key(newest).map_err(|error| from_read(&error))?;
        if key.is_some_and(|key| key.state == KeyState::Revoked) {
            return Err(refuse(Code::RevokedKey));
        }
    }
    Ok(known)
}

/// The party that calls, if it has one of `roles`; `who` names them.
///
/// # Errors
/// As [`party`], and `NOT_ENTITLED`.
pub(super) async fn with_role<T>(core: &Core, request: &Request<T>, roles: Roles, who: &str) -> Result<Party, Refusal> {
    let mut caller = party(core, request).await?;
    if !caller.roles.intersects(roles) {
        // The role may have been given a moment ago, through another node.
        core.up_to_date().await?;
        caller = party(core, request).await?;
    }
    match caller.roles.intersects(roles) {
        true => Ok(caller),
        false => Err(not_entitled(who)),
    }
}

/// A party as it was registered, with what changed since.
///
/// # Errors
/// When the ledger can't be read.
pub(super) fn registration(core: &Core, party: &Party) -> Result<PartyRegistered, Refusal> {
    let mut key = None;
    if let Some(first) = party.keys.first() {
        let found = core.reader().key(first).map_err(|error| from_read(&error))?;
        key = found.map(|key| PublicKey { alg: 1, key: key.public_key.to_vec() });
    }
    let tag = |tag: Option<[u8; 32]>| tag.map(|tag| tag.to_vec()).unwrap_or_default();
    Ok(PartyRegistered {
        key,
        name: party.name.clone(),
        roles: party.roles.bits(),
        tls_spki_sha256: party.tls_spki_sha256.iter().map(|spki| spki.to_vec()).collect(),
        quota_events_per_s: party.quota_events_per_s,
        patient_tag: tag(party.patient_tag),
        patient_secret_tag: tag(party.patient_secret_tag),
        // Thousands at worst: whoever wants them lists the parties.
        ..PartyRegistered::default()
    })
}
