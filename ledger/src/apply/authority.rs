//! Acts that several authorities sign, as a rule of theirs says.
//!
//! The further signatures stand in the record of the act. An act without enough of them is refused, and changes nothing; one
//! that carries them is recorded once: the content that they cover is noted, so that nobody hands it in again.

use std::collections::BTreeSet;

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::authority::{CosignMessage, Named, Rule, RuleChange};
use sillage_rules::codes::Code;
use sillage_rules::limits::ACT_SIGNATURE_MS_MAX;
use sillage_rules::roles::Roles;

use super::acts::{Actor, refused};
use super::feature::{ROLES, feature_level_reached};
use super::voiding::unknown;
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::rows::KeyState;
use crate::schema::Family;
use crate::schema::consent_prefix::{COSIGNED as CONTENT, LIMIT, RULE};
use crate::verified::Verified;

/// What an act's record says beside the act.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cosigned {
    /// What the further authorities sign.
    pub content: Hash,
    /// Their signatures.
    pub signatures: Vec<v1::ActSignature>,
}

/// Checks that an act has the signatures that the rule asks for. `verify`: where signatures are verified.
pub(super) fn check(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    verify: Option<&Verified>,
    (actor, act): (&Actor, &Act),
    cosigned: &Cosigned,
    (index, time): (LeafIndex, LedgerTimeMs),
) -> Result<(), Stop> {
    let is_new = matches!(act, Act::RecordsVoided(_) | Act::AuthorityRule(_)) || !cosigned.signatures.is_empty();
    if !feature_level_reached(overlay, ROLES)? {
        return match is_new {
            true if cosigned.signatures.is_empty() => Err(unknown(act.kind())),
            true => {
                let what =
                    "not every node of this log knows further signatures yet: update all of them, then send it again";
                Err(Refusal::new(Code::MalformedRecord, what).into())
            }
            false => Ok(()),
        };
    }
    let signers = signers(overlay, genesis, verify, (actor, cosigned), time)?;
    if let Some(rule) = overlay.rule()? {
        let own_rotation = matches!(act, Act::Rotated { author_id, .. } if *author_id == actor.author);
        let failed = std::cell::RefCell::new(None);
        let roles_of = |named: Named<'_>| {
            roles(overlay, named).unwrap_or_else(|error| {
                failed.borrow_mut().get_or_insert(error);
                0
            })
        };
        let guarded = rule.guards(act, roles_of, own_rotation);
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
        let count = u32::try_from(signers.intersection(&rule.authorities).count()).expect("at most 17");
        if guarded && count < rule.needed {
            let (missing, needed) = (rule.needed - count, rule.needed);
            let what = format!(
                "this act needs the signatures of {needed} authorities, and {missing} are missing: `sillage authority propose`, have others sign it, then submit it"
            );
            return Err(Refusal::new(Code::SignaturesMissing, what).into());
        }
    }
    if !cosigned.signatures.is_empty() {
        if let Some(before) = overlay.recorded_content(&cosigned.content)? {
            let what = format!("these signatures are of the act that is on record as entry {before}: propose it anew");
            return Err(refused(what));
        }
        overlay.registry.contents.insert(cosigned.content, index);
    }
    Ok(())
}

/// The authorities that signed: whoever signed the batch, and those whose further signatures are good.
fn signers(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    verify: Option<&Verified>,
    (actor, cosigned): (&Actor, &Cosigned),
    time: LedgerTimeMs,
) -> Result<BTreeSet<AuthorId>, Stop> {
    let mut signers = BTreeSet::new();
    if actor.roles.contains(Roles::AUTHORITY) {
        signers.insert(actor.author);
    }
    for one in &cosigned.signatures {
        let bad = |what: &str| -> Stop {
            let id = hex(&one.key_id);
            Refusal::new(Code::BadSignature, format!("the further signature of key {id} {what}")).into()
        };
        let id = KeyId::from_slice(&one.key_id).map_err(|_| bad("names no key"))?;
        let key = overlay.key(&id)?.ok_or_else(|| bad("is of a key that isn't registered"))?;
        if key.state != KeyState::Active {
            return Err(bad("is of a key that was revoked or replaced"));
        }
        let party = overlay.party(&key.author_id)?;
        if !party.is_some_and(|party| party.roles().contains(Roles::AUTHORITY)) {
            return Err(bad("is of a party that isn't an authority"));
        }
        if one.expires_ms <= time.get() {
            return Err(bad("has expired: propose the act anew"));
        }
        if one.expires_ms > time.get().saturating_add(ACT_SIGNATURE_MS_MAX) {
            return Err(bad("holds for more than 30 days: sign it with an earlier end"));
        }
        let message = CosignMessage {
            key_id: id,
            origin: genesis.origin.clone(),
            expires_ms: one.expires_ms,
            content: cosigned.content,
        };
        let good = verify.is_none_or(|verified| {
            verified.or_verify(&message.encode(), &one.signature, || {
                verified.key(&key).is_ok_and(|key| message.is_signed_by(&key, &one.signature))
            })
        });
        if !good {
            return Err(bad("isn't over this act in this log"));
        }
        if !signers.insert(key.author_id) {
            return Err(bad("is of an authority that signed already"));
        }
    }
    Ok(signers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn roles(overlay: &Overlay<'_>, named: Named<'_>) -> Result<u32, ReadError> {
    let author = match named {
        Named::Party(author) => Some(*author),
        Named::Key(id) => overlay.key(id)?.map(|key| key.author_id),
    };
    let party = author.map(|author| overlay.party(&author)).transpose()?.flatten();
    Ok(party.map_or(0, |party| party.roles))
}

/// Makes another rule, or another limit.
pub(super) fn change(overlay: &mut Overlay<'_>, change: &RuleChange) -> Result<(), Stop> {
    match change {
        RuleChange::Rule(rule) => {
            for author in &rule.authorities {
                if !can_sign(overlay, author)? {
                    return Err(refused(format!("party {author} isn't an authority with a key in force")));
                }
            }
            overlay.registry.rule = Some(rule.clone());
        }
        RuleChange::Limit { author_id, records } => {
            if overlay.party(author_id)?.is_none() {
                return Err(refused(format!("no party {author_id} is registered")));
            }
            overlay.registry.limits.insert(*author_id, *records);
        }
    }
    Ok(())
}

fn can_sign(overlay: &Overlay<'_>, author: &AuthorId) -> Result<bool, ReadError> {
    let Some(party) = overlay.party(author)?.filter(|party| party.roles().contains(Roles::AUTHORITY)) else {
        return Ok(false);
    };
    let newest = party.key_ids.last().and_then(|id| KeyId::from_slice(id).ok());
    let key = newest.map(|id| overlay.key(&id)).transpose()?.flatten();
    Ok(key.is_some_and(|key| key.state == KeyState::Active))
}

/// After an act, as many authorities of the rule can still sign as it needs: else nobody could ever change it.
pub(super) fn check_after(overlay: &Overlay<'_>, act: &Act) -> Result<(), Stop> {
    if !matches!(act, Act::Revoked { .. } | Act::RolesChanged { .. }) || !feature_level_reached(overlay, ROLES)? {
        return Ok(());
    }
    let Some(rule) = overlay.rule()? else { return Ok(()) };
    let mut able = 0;
    for author in &rule.authorities {
        able += u32::from(can_sign(overlay, author)?);
    }
    match able >= rule.needed {
        true => Ok(()),
        false => {
            let needed = rule.needed;
            Err(refused(format!(
                "after it, {able} authorities of the rule could sign, and it needs {needed}: replace the key, or change the rule first"
            )))
        }
    }
}

impl Overlay<'_> {
    /// The rule in force.
    pub(crate) fn rule(&self) -> Result<Option<Rule>, ReadError> {
        if let Some(rule) = &self.registry.rule {
            return Ok(Some(rule.clone()));
        }
        let row = self.store().get(Family::Consent, RULE)?;
        row.map(|row| parse_rule(&row).ok_or_else(damaged)).transpose()
    }

    /// How many records that take access away this party may sign in one day; `None`: as many as the log says.
    pub(crate) fn limit_of(&self, author: &AuthorId) -> Result<Option<u32>, ReadError> {
        if let Some(limit) = self.registry.limits.get(author) {
            return Ok(Some(*limit));
        }
        let row = self.store().get(Family::Consent, &[LIMIT, author.as_bytes()].concat())?;
        row.map(|row| row.try_into().map(u32::from_be_bytes).map_err(|_| damaged())).transpose()
    }

    fn recorded_content(&self, content: &Hash) -> Result<Option<LeafIndex>, ReadError> {
        if let Some(index) = self.registry.contents.get(content) {
            return Ok(Some(*index));
        }
        let row = self.store().get(Family::Consent, &[CONTENT, content.as_bytes()].concat())?;
        row.map(|row| row.try_into().map(u64::from_be_bytes).map(LeafIndex).map_err(|_| damaged())).transpose()
    }
}

fn parse_rule(row: &[u8]) -> Option<Rule> {
    match RuleChange::parse(&v1::AuthorityRule::decode(row).ok()?).ok()? {
        RuleChange::Rule(rule) => Some(rule),
        RuleChange::Limit { .. } => None,
    }
}

fn damaged() -> ReadError {
    ReadError::Damaged("the row of the authorities' rule, a limit or a cosigned act can't be read".into())
}
