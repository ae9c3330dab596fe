//! Acts of the authority: who is registered, with which keys, roles and certificates.
//!
//! A party has at most one active key. An authority can neither revoke its own key nor give up its own role, only
//! replace its key: so after every act there is still someone who can perform the next one.

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey};
use sillage_rules::act::{Act, PartyRegistration, TlsSpki};
use sillage_rules::codes::Code;
use sillage_rules::limits::{PARTY_KEYS_MAX, TLS_SPKI_MAX};
use sillage_rules::roles::Roles;

use super::check::Shape;
use super::feature::{self, CLAIMS};
use super::{authority, doors, nodes, signing, voiding, vouching, will};
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::rows::{KeyInfo, KeyState, PartyRow};

/// The entry whose parties nobody registered by an act.
const GENESIS: LeafIndex = LeafIndex(0);

/// The signer of the batch that an act stands in.
pub(crate) struct Actor {
    pub author: AuthorId,
    pub roles: Roles,
}

/// Performs one act, recorded in the entry `index`.
pub(crate) fn perform(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    actor: &Actor,
    act: &Act,
    (shape, at): (&Shape<'_>, (LeafIndex, LedgerTimeMs)),
) -> Result<(), Stop> {
    let index = at.0;
    let own_rotation = matches!(act, Act::Rotated { author_id, .. } if *author_id == actor.author);
    if !actor.roles.contains(Roles::AUTHORITY) && !own_rotation {
        return Err(Stop::Refused(Refusal::new(
            Code::NotEntitled,
            "only the authority may register, revoke, and change roles and nodes; an author may replace its own key",
        )));
    }
    let mut given_out = act.gives_out();
    if let Act::RolesChanged { author_id, .. } = act
        && let Some(party) = overlay.party(author_id)?
    {
        // What a party has already isn't given out: its other roles and its quota may change beside it.
        given_out = given_out.without(party.roles());
    }
    if !given_out.is_empty() {
        feature::check_given_out(given_out, overlay.store().feature_level()?)?;
    }
    match act {
        Act::Registered(party) => register(overlay, genesis, party, index),
        Act::Rotated { author_id, key, tls_spki_sha256 } => {
            nodes::check_party(overlay, genesis, key, tls_spki_sha256)?;
            check_own_device(overlay, actor, author_id)?;
            rotate(overlay, *author_id, key, tls_spki_sha256, index)
        }
        Act::Revoked { key_id, reason: _ } => revoke(overlay, actor, *key_id, index),
        Act::RolesChanged { author_id, roles, quota_events_per_s } => {
            change_roles(overlay, actor, *author_id, (*roles, *quota_events_per_s), index)
        }
        Act::NodeKeyRotated { node_id, key } => signing::rotate(overlay, genesis, Some(*node_id), key, index),
        Act::LogKeyRotated { key } => signing::rotate(overlay, genesis, None, key, index),
        Act::VouchingChanged { author_id, added, removed } => {
            vouching::change(overlay, genesis, author_id, (added, removed))
        }
        Act::NodeSetChanged(change) => nodes::change(overlay, genesis, change, index),
        Act::IssuerPublished(issuer) => will::publish(overlay, genesis, issuer),
        Act::ActorRevoked { actor_hash, reason: _ } => {
            overlay.revoke_actor(*actor_hash, index);
            Ok(())
        }
        Act::RecordsVoided(_) if !shape.records.iter().all(|record| record.kind.is_act()) => {
            Err(refused("an act that voids records stands in a batch of acts alone"))
        }
        Act::RecordsVoided(voiding) => voiding::plan(overlay, voiding, at),
        Act::AuthorityRule(change) => authority::change(overlay, change),
        Act::SourcesListed(change) => doors::list(overlay, change),
        Act::Erased { .. } => unreachable!("erasures are planned, see `erase`"),
    }?;
    authority::check_after(overlay, act)
}

pub(super) fn refused(message: impl Into<String>) -> Stop {
    Stop::Refused(Refusal::new(Code::ActRefused, message))
}

/// Registers a new party; those of the genesis too.
pub(crate) fn register(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    act: &PartyRegistration,
    index: LeafIndex,
) -> Result<(), Stop> {
    check_new(overlay, &act.key)?;
    nodes::check_party(overlay, genesis, &act.key, &act.tls_spki_sha256)?;
    let author = act.author_id();
    if overlay.party(&author)?.is_some() {
        return Err(refused("this party is registered already: change its roles or replace its key"));
    }
    if index != GENESIS {
        feature::check_tags_hidden(act, overlay.store().feature_level()?)?;
    }
    let tags = [act.patient_tag, act.patient_secret_tag];
    if tags.iter().flatten().any(|tag| !genesis.covers(tag)) {
        return Err(refused("the patient's tag isn't in the range of this log"));
    }
    if let [Some(open), Some(secret)] = &tags
        && !overlay.may_pair(open, secret)?
    {
        return Err(refused("other tags are on record as this patient's, with their proof: resolve the patient again"));
    }
    let tag = |tag: Option<[u8; 32]>| tag.map(|tag| tag.to_vec()).unwrap_or_default();
    let mut party = PartyRow {
        name: act.name.clone(),
        roles: act.roles.bits(),
        quota_events_per_s: act.quota_events_per_s,
        tls_spki_sha256: Vec::new(),
        key_ids: vec![act.key.key_id().as_bytes().to_vec()],
        patient_tag: tag(act.patient_tag),
        patient_secret_tag: tag(act.patient_secret_tag),
        patient_commitment: tag(act.patient_commitment.map(Hash::to_bytes)),
        registered_at: index.get(),
        ..PartyRow::default()
    };
    vouching::take(overlay, genesis, &author, &mut party, &act.vouching)?;
    add_certificates(overlay, &mut party, author, &act.tls_spki_sha256)?;
    overlay.put_key(active(&act.key, author, index));
    overlay.put_party(author, party);
    Ok(())
}

/// Notes the two tags of the patient that a registered party is the device of, on the authority's word: a request that
/// proves otherwise outweighs it.
pub(crate) fn pair_tags(overlay: &mut Overlay<'_>, party: &PartyRegistration) -> Result<(), ReadError> {
    match (&party.patient_tag, &party.patient_secret_tag) {
        (Some(open), Some(secret)) => overlay.pair(open, secret, false),
        _ => Ok(()),
    }
}

/// A patient's own device replaces its own key alone: whoever else gave it one would act as the patient, and no line would tell them.
fn check_own_device(overlay: &Overlay<'_>, actor: &Actor, author: &AuthorId) -> Result<(), Stop> {
    let is_own = |party: &PartyRow| {
        [&party.patient_tag, &party.patient_secret_tag, &party.patient_commitment].iter().any(|tag| !tag.is_empty())
    };
    if actor.author != *author
        && feature::is_reached(overlay.store(), CLAIMS)?
        && overlay.party(author)?.as_ref().is_some_and(is_own)
    {
        return Err(refused(
            "a patient's own device replaces its own key alone: end this one, and register a new one, of which the patient is told",
        ));
    }
    Ok(())
}

fn rotate(
    overlay: &mut Overlay<'_>,
    author: AuthorId,
    key: &PublicKey,
    certificates: &[TlsSpki],
    index: LeafIndex,
) -> Result<(), Stop> {
    let mut party = known_party(overlay, &author)?;
    check_new(overlay, key)?;
    if party.roles().is_empty() {
        return Err(refused("this party is ended: give it a role before a new key"));
    }
    if party.key_ids.len() >= PARTY_KEYS_MAX {
        return Err(refused(format!("a party has at most {PARTY_KEYS_MAX} keys in its life: register a new one")));
    }
    retire_key(overlay, &party, KeyState::Replaced, index)?;
    party.key_ids.push(key.key_id().as_bytes().to_vec());
    add_certificates(overlay, &mut party, author, certificates)?;
    overlay.put_key(active(key, author, index));
    overlay.put_party(author, party);
    Ok(())
}

fn revoke(overlay: &mut Overlay<'_>, actor: &Actor, id: KeyId, index: LeafIndex) -> Result<(), Stop> {
    let key = overlay.key(&id)?;
    let mut key = key.ok_or_else(|| refused(format!("no key {id} is registered")))?;
    if key.author_id == actor.author {
        return Err(refused("an authority can't revoke its own key: replace it, or let another authority revoke it"));
    }
    if key.state == KeyState::Revoked {
        return Err(refused(format!("key {id} is revoked already")));
    }
    (key.state, key.since) = (KeyState::Revoked, index);
    overlay.put_key(key);
    Ok(())
}

fn change_roles(
    overlay: &mut Overlay<'_>,
    actor: &Actor,
    author: AuthorId,
    (roles, quota_events_per_s): (Roles, u32),
    index: LeafIndex,
) -> Result<(), Stop> {
    let mut party = known_party(overlay, &author)?;
    if author == actor.author && !roles.contains(Roles::AUTHORITY) {
        return Err(refused("an authority can't give up its own role: another authority has to take it away"));
    }
    if roles.contains(Roles::PATIENT) && party.patient_tag.is_empty() && party.patient_commitment.is_empty() {
        return Err(refused("the role patient needs a party that was registered as a patient's"));
    }
    let revives = roles.contains(Roles::PATIENT) && !party.roles().contains(Roles::PATIENT);
    if revives && feature::is_reached(overlay.store(), CLAIMS)? {
        return Err(refused(
            "a patient's own device that was ended stays ended: register a new one, of which the patient is told",
        ));
    }
    if roles.is_empty() {
        retire_key(overlay, &party, KeyState::Revoked, index)?;
    }
    party.roles = roles.bits();
    party.quota_events_per_s = quota_events_per_s;
    overlay.put_party(author, party);
    Ok(())
}

pub(super) fn known_party(overlay: &Overlay<'_>, author: &AuthorId) -> Result<PartyRow, Stop> {
    let party = overlay.party(author)?;
    party.ok_or_else(|| refused(format!("no party {author} is registered")))
}

/// A key that was ever registered names its author for good.
fn check_new(overlay: &Overlay<'_>, key: &PublicKey) -> Result<(), Stop> {
    match overlay.key(&key.key_id())? {
        Some(_) => Err(refused("this key was registered before: make a new one")),
        None => Ok(()),
    }
}

fn active(key: &PublicKey, author_id: AuthorId, since: LeafIndex) -> KeyInfo {
    KeyInfo { key_id: key.key_id(), author_id, public_key: key.to_bytes(), state: KeyState::Active, since }
}

/// Only the newest key of a party can be active: the one before ended when it came.
fn retire_key(overlay: &mut Overlay<'_>, party: &PartyRow, state: KeyState, index: LeafIndex) -> Result<(), Stop> {
    let damaged = || ReadError::Damaged("a party's key is missing".into());
    let id = party.key_ids.last().ok_or_else(damaged)?;
    let id = KeyId::from_slice(id).map_err(|_| damaged())?;
    let mut key = overlay.key(&id)?.ok_or_else(damaged)?;
    if key.state == KeyState::Active {
        (key.state, key.since) = (state, index);
        overlay.put_key(key);
    }
    Ok(())
}

fn add_certificates(
    overlay: &mut Overlay<'_>,
    party: &mut PartyRow,
    author: AuthorId,
    added: &[TlsSpki],
) -> Result<(), Stop> {
    for spki in added {
        match overlay.tls(spki)? {
            Some(owner) if owner != author => {
                return Err(refused("this certificate belongs to another party"));
            }
            Some(_) => {}
            None => {
                overlay.put_tls(*spki, author);
                party.tls_spki_sha256.push(spki.to_vec());
            }
        }
    }
    if party.tls_spki_sha256.len() > TLS_SPKI_MAX {
        return Err(refused(format!("a party has at most {TLS_SPKI_MAX} certificates")));
    }
    Ok(())
}
