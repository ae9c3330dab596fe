//! The rule of several authorities, as an act says it, and the form of their signatures. [`crate::authority`] says which acts need
//! them.

use std::collections::BTreeSet;

use sillage_proof::keys::{AuthorId, SIGNATURE_LEN};
use sillage_proto::v1;

use crate::check::at_most;
use crate::error::RecordError;
use crate::kind::Kind;
use crate::limits::AUTHORITIES_MAX;
use crate::message_keys::bytes32;

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
