//! Records that several parties sign: acts and records of the authorities, as a rule of theirs says, and what is said of identities.
//!
//! The further signatures stand in the record. One without enough of them is refused, and changes nothing; one that carries
//! them is recorded once: the content that they cover is noted, so that nobody hands it in again.

use std::collections::BTreeSet;

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::authority::{
    ACTS_ALONE_A_DAY, CONFIRMS_IDENTITY, CosignMessage, DAY_MS, GuardedActs, Held, NamedParty, Rule, RuleChange,
    content_hash, is_confirmed,
};
use sillage_rules::codes::Code;
use sillage_rules::limits::{ACT_SIGNATURE_MS_MAX, AUTHORITIES_MAX};
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::Roles;
use sillage_rules::time::TimeMs;

use super::acts::{Actor, refused};
use super::daily;
use super::feature::{CLAIMS, DOORS, ROLES, feature_level_reached};
use super::voiding::unknown;
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::rows::KeyState;
use crate::schema::Family;
use crate::schema::consent_prefix::{ALONE, COSIGNED as CONTENT, LIMIT, RULE};
use crate::verified::Verified;

/// Rows of days gone by that are removed when a row is added: of all authorities that a rule may name.
const FORGOTTEN: usize = 2 * AUTHORITIES_MAX;

/// The content of an act's record beside the act.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cosigned {
    /// The content that the further authorities sign.
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
    let signers = signers(overlay, genesis, verify, (actor, Roles::AUTHORITY), cosigned, time)?;
    if let Some(rule) = overlay.rule()? {
        let own_rotation = matches!(act, Act::Rotated { author_id, .. } if *author_id == actor.author);
        let failed = std::cell::RefCell::new(None);
        let held = |named: NamedParty<'_>| {
            held(overlay, named).unwrap_or_else(|error| {
                failed.borrow_mut().get_or_insert(error);
                Held::default()
            })
        };
        let quota_default = genesis.quota_events_per_s;
        let doors = feature_level_reached(overlay, DOORS)?;
        let guarded = match doors {
            true => rule.guards_all(act, held, own_rotation, quota_default),
            false => rule.guards(act, held, own_rotation, quota_default),
        };
        let counted = doors && !guarded && Rule::is_counted_alone(act, held, own_rotation);
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
        if guarded {
            check_count(&rule, &signers, "act")?;
        } else if counted && check_count(&rule, &signers, "act").is_err() {
            count_alone(overlay, actor.author, time)?;
        }
    }
    if !cosigned.signatures.is_empty() {
        check_once(overlay, &cosigned.content)?;
        overlay.registry.contents.insert(cosigned.content, index);
    }
    Ok(())
}

/// Checks that a record that is no act has the further signatures that it needs: what authorities sign by the rule, and what is
/// said of identities by a second party. The content that they cover, where there are any. Below feature level 4 there are none.
pub(super) fn check_record(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    verify: Option<&Verified>,
    (actor, record): (&Actor, &ParsedRecord),
    time: LedgerTimeMs,
) -> Result<Option<Hash>, Stop> {
    let (kind, message) = (record.kind(), record.message());
    if !feature_level_reached(overlay, CLAIMS)? {
        return match message.signatures.is_empty() {
            true => Ok(None),
            false => {
                let what = "not every node of this log knows signatures beside such a record yet: update all of them";
                Err(Refusal::new(Code::MalformedRecord, what).into())
            }
        };
    }
    let by_authority = actor.roles.contains(Roles::AUTHORITY);
    let any = feature_level_reached(overlay, DOORS)?;
    let guards = |rule: &Rule| if any { rule.guards_any_record(kind) } else { rule.guards_record(kind) };
    let rule = if by_authority { overlay.rule()?.filter(guards) } else { None };
    if rule.is_none() && !is_confirmed(kind) && message.signatures.is_empty() {
        return Ok(None);
    }
    let content = content_hash(message);
    let cosigned = Cosigned { content, signatures: message.signatures.clone() };
    let of_roles = if is_confirmed(kind) { CONFIRMS_IDENTITY } else { Roles::AUTHORITY };
    let signers = signers(overlay, genesis, verify, (actor, of_roles), &cosigned, time)?;
    if let Some(rule) = rule {
        check_count(&rule, &signers, "record")?;
    }
    if is_confirmed(kind) && !signers.iter().any(|signer| *signer != actor.author) {
        let what = "what is said of an identity counts once a second party confirms it, with the role identity or authority: `sillage identity propose`, have it signed with `sillage identity confirm`, then submit it";
        return Err(Refusal::new(Code::SignaturesMissing, what).into());
    }
    if message.signatures.is_empty() {
        return Ok(None);
    }
    check_once(overlay, &content)?;
    Ok(Some(content))
}

/// Tells whether enough authorities of the rule signed.
fn check_count(rule: &Rule, signers: &BTreeSet<AuthorId>, what: &str) -> Result<(), Stop> {
    let count = u32::try_from(signers.intersection(&rule.authorities).count()).expect("at most 17");
    if count >= rule.needed {
        return Ok(());
    }
    let (missing, needed) = (rule.needed - count, rule.needed);
    let what = format!(
        "this {what} needs the signatures of {needed} authorities, and {missing} are missing: `sillage authority propose`, have others sign it, then submit it"
    );
    Err(Refusal::new(Code::SignaturesMissing, what).into())
}

/// Counts an act by which an authority takes power away without the others. It is forgotten where the act is refused.
fn count_alone(overlay: &mut Overlay<'_>, author: AuthorId, time: LedgerTimeMs) -> Result<(), Stop> {
    let day = daily::day_of(time);
    let key = [ALONE, &day.to_be_bytes(), author.as_bytes()].concat();
    let count = overlay.alone(&key)?;
    // A limit of its own may be lower than of everybody, and never higher.
    let limit = overlay.limit_of(&author)?.unwrap_or(ACTS_ALONE_A_DAY).min(ACTS_ALONE_A_DAY);
    if count >= limit {
        let resets = TimeMs((day + 1).saturating_mul(DAY_MS));
        let what = format!(
            "this authority took power away alone {limit} times today, as often as it may: have others sign with it (`--propose FILE`), or wait until {resets}"
        );
        return Err(Refusal::new(Code::LimitReached, what).into());
    }
    if count == 0 {
        let gone = overlay.store().scan(Family::Consent, ALONE, None, FORGOTTEN).map_err(ReadError::from)?;
        // Yesterday's stay, as those of records do.
        let before = [ALONE, &day.saturating_sub(1).to_be_bytes()].concat();
        for (key, _) in gone.into_iter().filter(|(key, _)| key[..] < before[..]) {
            overlay.registry.alone.insert(key.into_vec(), None);
        }
    }
    overlay.registry.alone.insert(key, Some(count + 1));
    Ok(())
}

/// Tells whether nobody recorded what these signatures are over.
fn check_once(overlay: &Overlay<'_>, content: &Hash) -> Result<(), Stop> {
    match overlay.recorded_content(content)? {
        None => Ok(()),
        Some(before) => {
            let what = format!("these signatures are of the act that is on record as entry {before}: propose it anew");
            Err(refused(what))
        }
    }
}

/// The parties of these roles that signed: whoever signed the batch, and those whose further signatures are good.
fn signers(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    verify: Option<&Verified>,
    (actor, of_roles): (&Actor, Roles),
    cosigned: &Cosigned,
    time: LedgerTimeMs,
) -> Result<BTreeSet<AuthorId>, Stop> {
    let mut signers = BTreeSet::new();
    if actor.roles.intersects(of_roles) {
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
        if !party.is_some_and(|party| party.roles().intersects(of_roles)) {
            return Err(bad(&format!("is of a party that has none of the roles {of_roles}")));
        }
        if one.expires_ms <= time.get() {
            return Err(bad("has expired: propose it anew"));
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
            return Err(bad("isn't over this record in this log"));
        }
        if !signers.insert(key.author_id) {
            return Err(bad("is of a party that signed already"));
        }
    }
    Ok(signers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn held(overlay: &Overlay<'_>, named: NamedParty<'_>) -> Result<Held, ReadError> {
    let author = match named {
        NamedParty::Party(author) => Some(*author),
        NamedParty::Key(id) => overlay.key(id)?.map(|key| key.author_id),
    };
    let party = author.map(|author| overlay.party(&author)).transpose()?.flatten();
    let held = party.map(|party| Held { roles: party.roles, quota_events_per_s: party.quota_events_per_s });
    Ok(held.unwrap_or_default())
}

/// Makes another rule, or another limit.
pub(super) fn change(overlay: &mut Overlay<'_>, change: &RuleChange) -> Result<(), Stop> {
    match change {
        RuleChange::Rule(rule) => {
            if rule.acts != GuardedActs::EVERYTHING && feature_level_reached(overlay, DOORS)? {
                let what =
                    "a rule guards all that can be guarded: give `acts` 511 (`sillage authority rule` without --guard)";
                return Err(refused(what));
            }
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
    /// The rule that the log begins with.
    pub(crate) fn begin_with_rule(&mut self, rule: &Rule) {
        self.registry.rule = Some(rule.clone());
    }

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

    fn alone(&self, key: &[u8]) -> Result<u32, ReadError> {
        match self.registry.alone.get(key) {
            Some(count) => Ok(count.unwrap_or_default()),
            None => daily::count_of(self.store().get(Family::Consent, key)?),
        }
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
