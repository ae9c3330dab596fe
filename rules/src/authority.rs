//! Acts that several authorities sign, and limits a day for what takes access away.
//!
//! A rule says which authorities count, how many of them sign, and which acts need it. An act that needs it carries the
//! signatures of the further authorities in its record (`signatures`), so that it stays one entry:
//!
//! ```text
//! "sillage/act-cosign/v1\0" ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ u64 expires_ms ‖ content[32]
//! content = H(0x00 ‖ the record without `signatures`, in canonical encoding)
//! ```
//!
//! A signature is good for one content, in one log, before it expires; and one content is recorded once.

use prost::Message;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, AuthorId, KeyId, PublicKey, SigningKey};
use sillage_proto::v1;

pub use crate::guard::{GuardedActs, Rule, RuleChange, is_confirmed, may_be_cosigned};

use crate::act::Act;
use crate::consent::{Actor, ActorKind, Effect, Event};
use crate::error::RecordError;
use crate::kind::Kind;
use crate::message_keys::parse_key;
use crate::roles::Roles;

const MAGIC: &[u8] = b"sillage/act-cosign/v1\0";

/// Records that take access away or end spaces, which a party may sign in one day where nothing else is said.
pub const LIMIT_A_DAY: u32 = 1_000;
/// The same in a log for tests, where one program plays a whole country.
pub const LIMIT_A_DAY_TEST: u32 = 1_000_000;
/// The same by a patient's own key.
pub const LIMIT_A_DAY_PATIENT: u32 = 200;
/// Acts by which one authority alone takes power from services in one day, from feature level 5 on, where nothing else is said.
pub const ACTS_ALONE_A_DAY: u32 = 100;
/// One day, in milliseconds of ledger time. Days begin at midnight, UTC.
pub const DAY_MS: u64 = 86_400_000;

/// Roles of parties whose registration touches many: authority and identity.
const GUARDED_ROLES: Roles = Roles::AUTHORITY.with(Roles::IDENTITY);
/// Roles that by themselves reach no patient: what a patient's own device does is proven by the patient's login.
const HARMLESS_ROLES: Roles = Roles::OPERATOR.with(Roles::PATIENT);
/// Parties that confirm what another one says of an identity.
pub const CONFIRMS_IDENTITY: Roles = GUARDED_ROLES;

impl Rule {
    /// The rule that a log begins with; `None`: each authority acts alone.
    ///
    /// # Errors
    /// When it makes no sense, names a party that isn't an authority of the genesis, stands in a log that begins below
    /// feature level 4, or guards other acts than rules of the level that the log begins with.
    pub fn of_genesis(genesis: &v1::Genesis) -> Result<Option<Self>, RecordError> {
        let Some(message) = &genesis.rule else { return Ok(None) };
        if genesis.feature_level < 4 {
            return Err(RecordError::malformed("rule", "a log has one from its genesis on with feature_level 4"));
        }
        let RuleChange::Rule(rule) = RuleChange::parse(message).map_err(|error| error.within("rule"))? else {
            return Err(RecordError::malformed("rule.limit", "a genesis sets no limit"));
        };
        if genesis.feature_level < rule.feature_level() {
            let why = format!("a log that guards them begins with feature_level {}", rule.feature_level());
            return Err(RecordError::malformed("rule.acts", why));
        }
        if genesis.feature_level >= 5 && rule.acts != GuardedActs::EVERYTHING {
            return Err(RecordError::malformed("rule.acts", "with feature_level 5 a rule guards everything: 511"));
        }
        let is_authority = |id: &AuthorId| {
            let mut parties = genesis.parties.iter().filter(|party| party.roles & Roles::AUTHORITY.bits() != 0);
            parties.any(|party| parse_key(party.key.as_ref()).is_ok_and(|key| AuthorId::of_first_key(&key) == *id))
        };
        match rule.authorities.iter().find(|id| !is_authority(id)) {
            Some(id) => {
                Err(RecordError::malformed("rule.authorities", format!("{id} isn't an authority of the genesis")))
            }
            None => Ok(Some(rule)),
        }
    }

    /// From which feature level of a group on it is known.
    pub const fn feature_level(&self) -> u32 {
        if GuardedActs::OF_BEFORE.contains(self.acts) {
            3
        } else if GuardedActs::OF_LEVEL_4.contains(self.acts) {
            4
        } else {
            5
        }
    }

    /// Tells whether this act needs the rule's signatures in a group of feature level 5: what any rule can guard, and what this one
    /// guards. Without the second, a rule of before would guard less than it did: it holds for taking power away as well.
    pub fn guards_all(
        &self,
        act: &Act,
        held: impl Fn(NamedParty<'_>) -> Held,
        own_rotation: bool,
        quota_default: u32,
    ) -> bool {
        let all = Self { acts: GuardedActs::EVERYTHING, ..self.clone() };
        all.guards(act, &held, own_rotation, quota_default) || self.guards(act, &held, own_rotation, quota_default)
    }

    /// Tells whether an act that one authority may sign alone takes power away: these are counted, so that one stolen key doesn't stop
    /// every service in one batch. The end of a patient's own device isn't: patients replace telephones every day.
    pub fn is_counted_alone(act: &Act, held: impl Fn(NamedParty<'_>) -> Held, own_rotation: bool) -> bool {
        let is_service = |named: NamedParty<'_>| {
            let roles = Roles::from_bits(held(named).roles).unwrap_or(Roles::ALL);
            !roles.contains(Roles::PATIENT)
        };
        match act {
            Act::Revoked { key_id, .. } => is_service(NamedParty::Key(key_id)),
            Act::RolesChanged { author_id, .. } => is_service(NamedParty::Party(author_id)),
            Act::Rotated { .. } => !own_rotation,
            Act::VouchingChanged { .. } | Act::IssuerPublished(_) => true,
            _ => false,
        }
    }

    /// Tells whether this act needs the rule's signatures. `held`: what the party has that an act names, by its id or its key's;
    /// `quota_default`: events a second of a party whose own quota is 0, where 0 is no bound.
    pub fn guards(
        &self,
        act: &Act,
        held: impl Fn(NamedParty<'_>) -> Held,
        own_rotation: bool,
        quota_default: u32,
    ) -> bool {
        let quotas = self.acts.contains(GuardedActs::QUOTAS);
        let raises = match act {
            Act::Registered(party) => is_more(party.quota_events_per_s, 0, quota_default),
            Act::RolesChanged { author_id, quota_events_per_s, .. } => {
                let before = held(NamedParty::Party(author_id)).quota_events_per_s;
                is_more(*quota_events_per_s, before, quota_default)
            }
            _ => false,
        };
        quotas && raises || self.guards_power(act, |named| held(named).roles, own_rotation)
    }

    fn guards_power(&self, act: &Act, roles_of: impl Fn(NamedParty<'_>) -> u32, own_rotation: bool) -> bool {
        let wide = self.acts.contains(GuardedActs::PARTIES);
        let roles_of = |named: NamedParty<'_>| Roles::from_bits(roles_of(named)).unwrap_or(Roles::ALL);
        let is_high = |roles: Roles| roles.intersects(GUARDED_ROLES);
        let needs = match act {
            Act::RecordsVoided(_) => GuardedActs::VOIDING,
            // Whoever's key was stolen is withdrawn at once.
            Act::IssuerPublished(issuer) if wide && issuer.keys.is_empty() => return false,
            // Whoever publishes an issuer signs in every patient's name.
            Act::AuthorityRule(_) | Act::IssuerPublished(_) => GuardedActs::AUTHORITIES,
            Act::Registered(party) if is_high(party.roles) => GuardedActs::AUTHORITIES,
            Act::Registered(party) if !party.roles.without(HARMLESS_ROLES).is_empty() || !party.vouching.is_empty() => {
                GuardedActs::PARTIES
            }
            Act::RolesChanged { author_id, roles, .. } => {
                let held = roles_of(NamedParty::Party(author_id));
                match (is_high(*roles) || is_high(held), wide) {
                    (true, false) => GuardedActs::AUTHORITIES,
                    (_, true) if !roles.without(held).is_empty() || held.contains(Roles::AUTHORITY) => {
                        GuardedActs::PARTIES
                    }
                    _ => return false,
                }
            }
            // Whoever replaces their own key signs with the one before.
            Act::Rotated { .. } if own_rotation => return false,
            Act::Rotated { author_id, .. } if is_high(roles_of(NamedParty::Party(author_id))) => {
                GuardedActs::AUTHORITIES
            }
            Act::Rotated { .. } => GuardedActs::PARTIES,
            // Among authorities one thief could else end the others, so that nobody is left to end the thief.
            Act::Revoked { key_id, .. } => {
                let roles = roles_of(NamedParty::Key(key_id));
                match roles.contains(Roles::AUTHORITY) || is_high(roles) && !wide {
                    true => GuardedActs::AUTHORITIES,
                    false => return false,
                }
            }
            // As for the policy: it holds for all patients.
            Act::SourcesListed(_) => GuardedActs::DOCUMENTS,
            Act::VouchingChanged { added, .. } if !added.is_empty() => GuardedActs::PARTIES,
            Act::NodeKeyRotated { .. } | Act::LogKeyRotated { .. } | Act::NodeSetChanged(_) => GuardedActs::NODES,
            Act::Erased { indices, .. } if indices.is_empty() => GuardedActs::ERASING,
            Act::Erased { .. } => GuardedActs::PATIENTS,
            Act::ActorRevoked { .. } => GuardedActs::ACTORS,
            Act::Registered(_) | Act::VouchingChanged { .. } => return false,
        };
        self.acts.contains(needs)
    }

    /// [`Rule::guards_record`] in a group of feature level 5: what any rule can guard.
    pub fn guards_any_record(&self, kind: Kind) -> bool {
        Self { acts: GuardedActs::EVERYTHING, ..self.clone() }.guards_record(kind)
    }

    /// Tells whether a record of this kind that an authority signs, and that is no act, needs the rule's signatures.
    pub fn guards_record(&self, kind: Kind) -> bool {
        let needs = match kind {
            Kind::POLICY_PUBLISHED | Kind::MATRIX_PUBLISHED | Kind::CATALOGUE_PUBLISHED => GuardedActs::DOCUMENTS,
            Kind::REPRESENTATION_REGISTERED | Kind::REPRESENTATION_ENDED => GuardedActs::PATIENTS,
            _ => return false,
        };
        self.acts.contains(needs)
    }
}

/// Tells whether one quota gives a party more events a second than another: 0 is the log's, and no bound where that is 0 too.
fn is_more(quota: u32, before: u32, quota_default: u32) -> bool {
    let bound = |own: u32| match (own, quota_default) {
        (0, 0) => u32::MAX,
        (0, of_log) => of_log,
        (own, _) => own,
    };
    bound(quota) > bound(before)
}

/// The roles and the quota of a party that an act names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// The bits of its roles.
    pub roles: u32,
    /// Events a second; 0: as many as the log gives.
    pub quota_events_per_s: u32,
}

/// The party that an act names.
#[derive(Debug, Clone, Copy)]
pub enum NamedParty<'a> {
    /// A party.
    Party(&'a AuthorId),
    /// A key's party.
    Key(&'a KeyId),
}

/// The message that a further authority signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignMessage {
    /// Its key.
    pub key_id: KeyId,
    /// The log.
    pub origin: Origin,
    /// Ledger time from which the signature counts no more, ms.
    pub expires_ms: u64,
    /// [`content_hash`] of the act's record.
    pub content: Hash,
}

impl CosignMessage {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let origin = self.origin.as_str().as_bytes();
        let mut out = MAGIC.to_vec();
        out.push(ALG_ED25519);
        out.extend_from_slice(self.key_id.as_bytes());
        out.push(u8::try_from(origin.len()).expect("an origin has at most 255 bytes"));
        out.extend_from_slice(origin);
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
        out.extend_from_slice(self.content.as_bytes());
        out
    }

    /// Signs, as it stands in a record. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> v1::ActSignature {
        assert_eq!(self.key_id, key.key_id(), "the message names its signer");
        v1::ActSignature {
            key_id: self.key_id.as_bytes().to_vec(),
            expires_ms: self.expires_ms,
            signature: key.sign(&self.encode()).to_vec(),
        }
    }

    /// Tells whether `key` signed it.
    pub fn is_signed_by(&self, key: &PublicKey, signature: &[u8]) -> bool {
        self.key_id == key.key_id() && key.verify(&self.encode(), signature).is_ok()
    }
}

/// The hash of the content that the further authorities sign: all of the record of an act but their signatures.
pub fn content_hash(record: &v1::Record) -> Hash {
    let content = v1::Record { signatures: Vec::new(), ..record.clone() };
    leaf_hash(&content.encode_to_vec())
}

/// Tells whether a record takes access away or ends a space, or gives access on somebody's word that isn't the patient's: a
/// party may sign so many a day.
pub fn is_limited(kind: Kind, event: &Event, signer: &Actor) -> bool {
    match event {
        // One that stands in the place of another ends that.
        Event::Directive(directive) => {
            let gives_unproven = directive.provision.effect == Effect::Permit && directive.collected.is_some();
            directive.provision.effect == Effect::Deny || directive.supersedes.is_some() || gives_unproven
        }
        Event::Joined(_) => matches!(signer.kind, ActorKind::Professional | ActorKind::System),
        _ => matches!(
            kind,
            Kind::SPACE_OPPOSED
                | Kind::SPACE_CLOSED
                | Kind::CONSENT_REVOKED
                | Kind::EMERGENCY_OPPOSITION
                | Kind::PROFESSIONAL_BLOCKED
                | Kind::ITEM_MASKED
                | Kind::ITEM_EMBARGOED
                | Kind::MINOR_SECRECY_SET
                | Kind::CARETEAM_LEFT
                | Kind::ATTENDING_DECLARED
                | Kind::ATTENDING_ENDED
                | Kind::FEED_OPPOSED
                | Kind::REPRESENTATION_ENDED
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ParsedRecord, act_message};
    use crate::will::test_issuer::TestIssuer;

    fn rule(needed: u32, count: u8) -> v1::AuthorityRule {
        v1::AuthorityRule {
            needed,
            authorities: (1..=count).map(|id| vec![id; 32]).collect(),
            acts: GuardedActs::ALWAYS.bits(),
            limit: None,
        }
    }

    #[test]
    fn a_rule_has_as_many_authorities_as_it_needs() {
        for message in [rule(1, 1), rule(2, 3), rule(16, 16)] {
            let change = RuleChange::parse(&message).expect("a rule");
            assert_eq!(change.to_message(), message);
        }
        let refused = |message: v1::AuthorityRule| RuleChange::parse(&message).expect_err("no rule").path;
        assert_eq!(refused(rule(0, 2)), "needed");
        assert_eq!(refused(rule(3, 2)), "needed");
        assert_eq!(refused(rule(1, 17)), "authorities");
        assert_eq!(refused(v1::AuthorityRule { acts: 1, ..rule(1, 1) }), "acts");
        assert_eq!(refused(v1::AuthorityRule { acts: 512 + 3, ..rule(1, 1) }), "acts");
        let twice = v1::AuthorityRule { authorities: vec![vec![1; 32], vec![1; 32]], ..rule(2, 2) };
        assert_eq!(refused(twice), "authorities");
        let limit = RuleChange::Limit { author_id: [1; 32].into(), records: 5 };
        assert_eq!(RuleChange::parse(&limit.to_message()), Ok(limit.clone()));
        assert_eq!(refused(v1::AuthorityRule { needed: 1, ..limit.to_message() }), "limit");
    }

    #[test]
    fn a_rule_guards_the_issuers_of_logins() {
        let Ok(RuleChange::Rule(rule)) = RuleChange::parse(&rule(2, 3)) else { panic!("a rule") };
        let origin = Origin::new("test.example/log").expect("an origin");
        let issuer = TestIssuer::new(SigningKey::from_seed(&[1; 32]), origin);
        let act = Act::IssuerPublished(Box::new(issuer.published()));
        assert!(rule.guards(&act, |_| Held::default(), false, 0));
    }

    #[test]
    fn a_signature_is_for_one_content_one_log_and_one_end() {
        let key = SigningKey::from_seed(&[1; 32]);
        let act = Act::Revoked { key_id: [2; 32].into(), reason: "lost".to_owned() };
        let mut record = act_message(&act, 1_000);
        let message = CosignMessage {
            key_id: key.key_id(),
            origin: Origin::new("test.example/log").expect("an origin"),
            expires_ms: 2_000,
            content: content_hash(&record),
        };
        let signed = message.sign(&key);
        record.signatures.push(signed.clone());
        assert_eq!(content_hash(&record), message.content, "the signatures aren't part of what is signed");
        assert!(message.is_signed_by(&key.public_key(), &signed.signature));
        let other = Origin::new("test.example/other").expect("an origin");
        for changed in [
            CosignMessage { origin: other, ..message.clone() },
            CosignMessage { expires_ms: 2_001, ..message.clone() },
            CosignMessage { content: content_hash(&act_message(&act, 1_001)), ..message.clone() },
        ] {
            assert!(!changed.is_signed_by(&key.public_key(), &signed.signature));
        }
        let read = ParsedRecord::from_message(record.clone()).expect("an act with a further signature");
        assert_eq!(ParsedRecord::parse(read.bytes()).as_ref(), Ok(&read));
        record.signatures.push(signed);
        assert_eq!(ParsedRecord::from_message(record).expect_err("the same twice").path, "signatures");
    }
}
