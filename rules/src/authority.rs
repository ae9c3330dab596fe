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

use std::collections::BTreeSet;

use prost::Message;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, AuthorId, KeyId, PublicKey, SIGNATURE_LEN, SigningKey};
use sillage_proto::v1;

use crate::act::{Act, bytes32, parse_key};
use crate::check::at_most;
use crate::consent::{Actor, ActorKind, Effect, Event};
use crate::kind::Kind;
use crate::limits::AUTHORITIES_MAX;
use crate::record::RecordError;
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

/// Which acts need several signatures, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardedActs(u32);

impl GuardedActs {
    /// Voiding records.
    pub const VOIDING: Self = Self(1);
    /// Registering an authority or a party with the role identity, giving or taking these roles, replacing or revoking the
    /// key of such a party, an issuer of logins, and the rule itself.
    pub const AUTHORITIES: Self = Self(2);
    /// Nodes and their keys, and the log's key.
    pub const NODES: Self = Self(4);
    /// Erasing a whole patient.
    pub const ERASING: Self = Self(8);
    /// Giving any party power: registering it, a role that it hadn't, whom it vouches for, a key by another. With this bit,
    /// taking power away needs no further signature, but where it is an authority's.
    pub const PARTIES: Self = Self(16);
    /// The policy, the matrix, the catalogue and the list of sources.
    pub const DOCUMENTS: Self = Self(32);
    /// Single patients: who represents them, as an authority says, and erasing some of their records.
    pub const PATIENTS: Self = Self(64);
    /// A higher quota for a party than it has, or than the log gives where the party is new.
    pub const QUOTAS: Self = Self(128);
    /// Revoking an actor, which holds everywhere and which no act undoes.
    pub const ACTORS: Self = Self(256);
    /// The acts that every rule guards.
    pub const ALWAYS: Self = Self(3);
    /// The acts that a rule guards which may be made from feature level 3 on.
    pub const OF_BEFORE: Self = Self(15);
    /// The acts that a rule guards which may be made from feature level 4 on.
    pub const OF_LEVEL_4: Self = Self(127);
    /// All that there is. Rules that are made from feature level 5 on guard no less, and older ones are held to it as well.
    pub const EVERYTHING: Self = Self(511);
    const ALL: u32 = Self::EVERYTHING.0;

    /// The set with these bits.
    ///
    /// # Errors
    /// When a bit is unknown, or what every rule guards is missing.
    pub fn from_bits(bits: u32) -> Result<Self, RecordError> {
        match bits & !Self::ALL == 0 && bits & Self::ALWAYS.0 == Self::ALWAYS.0 {
            true => Ok(Self(bits)),
            false => {
                let why = "1 voiding and 2 authorities are always guarded; 4 nodes, 8 erasing, 16 parties, 32 documents, 64 patients, 128 quotas and 256 actors may be added";
                Err(RecordError::malformed("acts", why))
            }
        }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Tells whether all of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How many authorities sign what touches many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Signatures that are needed, at least 1.
    pub needed: u32,
    /// The authorities whose signatures count.
    pub authorities: BTreeSet<AuthorId>,
    /// For which acts.
    pub acts: GuardedActs,
}

/// The content of the act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// Another rule, in the place of the one before.
    Rule(Rule),
    /// How many records that take access away a party may sign in one day.
    Limit {
        /// The party.
        author_id: AuthorId,
        /// How many, at least 1.
        records: u32,
    },
}

impl RuleChange {
    /// Parses the act.
    ///
    /// # Errors
    /// More signatures than authorities, none, too many, or a rule and a limit at once.
    pub fn parse(message: &v1::AuthorityRule) -> Result<Self, RecordError> {
        if let Some(limit) = &message.limit {
            if (message.needed, message.acts, message.authorities.len()) != (0, 0, 0) {
                return Err(RecordError::malformed("limit", "stands alone"));
            }
            if limit.records == 0 {
                return Err(RecordError::malformed("limit.records", "at least 1: to end a party, take its roles away"));
            }
            let author_id = bytes32("limit.author_id", &limit.author_id)?.into();
            return Ok(Self::Limit { author_id, records: limit.records });
        }
        at_most("authorities", message.authorities.len(), AUTHORITIES_MAX)?;
        let ids = message.authorities.iter().map(|id| bytes32("authorities", id).map(AuthorId::from));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(RecordError::malformed("authorities", "must be strictly ascending"));
        }
        if message.needed == 0 || message.needed as usize > ids.len() {
            let why = format!(
                "{} signatures of {} authorities: at least 1, and no more than there are",
                message.needed,
                ids.len()
            );
            return Err(RecordError::malformed("needed", why));
        }
        let acts = GuardedActs::from_bits(message.acts)?;
        Ok(Self::Rule(Rule { needed: message.needed, authorities: ids.into_iter().collect(), acts }))
    }

    /// As it stands in a record.
    pub fn to_message(&self) -> v1::AuthorityRule {
        match self {
            Self::Rule(rule) => v1::AuthorityRule {
                needed: rule.needed,
                authorities: rule.authorities.iter().map(|id| id.as_bytes().to_vec()).collect(),
                acts: rule.acts.bits(),
                limit: None,
            },
            Self::Limit { author_id, records } => v1::AuthorityRule {
                limit: Some(v1::LimitADay { author_id: author_id.as_bytes().to_vec(), records: *records }),
                ..Default::default()
            },
        }
    }
}

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

/// Tells whether a record of this kind takes effect only where a second party signs it too, of the roles
/// [`CONFIRMS_IDENTITY`].
pub const fn is_confirmed(kind: Kind) -> bool {
    matches!(kind, Kind::IDENTITY_LINKED | Kind::IDENTITY_CORRECTED)
}

/// Tells whether a record of this kind may carry further signatures.
pub const fn may_be_cosigned(kind: Kind) -> bool {
    kind.is_act()
        || is_confirmed(kind)
        || matches!(
            kind,
            Kind::POLICY_PUBLISHED
                | Kind::MATRIX_PUBLISHED
                | Kind::CATALOGUE_PUBLISHED
                | Kind::REPRESENTATION_REGISTERED
                | Kind::REPRESENTATION_ENDED
        )
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

/// Bounds of further signatures; whether they are good is asked where the keys are known.
pub(crate) fn check_signatures(signatures: &[v1::ActSignature]) -> Result<(), RecordError> {
    at_most("signatures", signatures.len(), AUTHORITIES_MAX)?;
    for (at, one) in signatures.iter().enumerate() {
        if one.key_id.len() != 32 || one.signature.len() != SIGNATURE_LEN || one.expires_ms == 0 {
            let why = "a further signature has a key id of 32 bytes, a signature of 64 and an end";
            return Err(RecordError::malformed(format!("signatures[{at}]"), why));
        }
    }
    if signatures.windows(2).any(|pair| pair[0].key_id >= pair[1].key_id) {
        return Err(RecordError::malformed("signatures", "must be strictly ascending by key id"));
    }
    Ok(())
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
