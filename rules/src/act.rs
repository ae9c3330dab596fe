//! Acts of the authority: parties, keys and roles, parsed from what `sillage.v1.LedgerAct` says.

use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey};
use sillage_proto::v1;
use sillage_proto::v1::ledger_act;

pub use crate::message_keys::TlsSpki;

use crate::check::{at_most, line, required};
use crate::error::RecordError;
use crate::guard::RuleChange;
use crate::kind::Kind;
use crate::limits::{ERASED_INDICES_MAX, ISSUER_LIST_MAX, PARTY_NAME_BYTES_MAX, TEXT_BYTES_MAX, TLS_SPKI_MAX};
use crate::login::issuer::Issuer;
use crate::message_keys::{bytes32, key_message, parse_key};
use crate::node_set::NodeSetChange;
use crate::roles::Roles;
use crate::sources::SourcesChange;
use crate::voiding::Voiding;
use crate::vouched::Vouching;

/// The deed of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A new party.
    Registered(PartyRegistration),
    /// A new key for a party; its old one signs nothing from here on.
    Rotated {
        /// The party.
        author_id: AuthorId,
        /// Its new key.
        key: PublicKey,
        /// Certificates that it calls with from now on, beside the old ones.
        tls_spki_sha256: Vec<TlsSpki>,
    },
    /// A key that signs nothing from here on.
    Revoked {
        /// The key.
        key_id: KeyId,
        /// Why.
        reason: String,
    },
    /// An actor who is permitted nothing and signs nothing from here on.
    ActorRevoked {
        /// [`crate::consent::ActorName::hash`] of their name: acts are public.
        actor_hash: Hash,
        /// Why.
        reason: String,
    },
    /// Other roles for a party.
    RolesChanged {
        /// The party.
        author_id: AuthorId,
        /// All of its roles from now on; none: it is ended.
        roles: Roles,
        /// Records a second; 0 = the log's default.
        quota_events_per_s: u32,
    },
    /// A patient's payloads are gone from here on; its entries stay.
    Erased {
        /// The erased entries, ascending; none: all recorded before. The tag of the record that carries the act names the
        /// patient.
        indices: Vec<LeafIndex>,
        /// Why.
        ground: String,
    },
    /// A new key for a node: it signs from the index commit after next on.
    NodeKeyRotated {
        /// The node.
        node_id: u64,
        /// Its new key.
        key: PublicKey,
    },
    /// A new key for the log: it signs from the index commit after next on.
    LogKeyRotated {
        /// The new key.
        key: PublicKey,
    },
    /// Other nodes, or other voters: they count from the index commit after next on.
    NodeSetChanged(NodeSetChange),
    /// A party vouches for others from here on.
    VouchingChanged {
        /// The party.
        author_id: AuthorId,
        /// The names that it vouches for besides.
        added: Vouching,
        /// The names that it doesn't vouch for any more.
        removed: Vouching,
    },
    /// An issuer whose logins prove a will from here on, or no longer do.
    IssuerPublished(Box<Issuer>),
    /// The records that a key or a party signed count for nothing from here on.
    RecordsVoided(Voiding),
    /// How many authorities sign what touches many, or how often a day a party may take access away.
    AuthorityRule(RuleChange),
    /// Sources that should record, and who answers for their structures.
    SourcesListed(SourcesChange),
}

/// A party as it is registered, by an act or in the genesis entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyRegistration {
    /// Its first public key: its author id follows from it.
    pub key: PublicKey,
    /// The name of the service.
    pub name: String,
    /// Its roles.
    pub roles: Roles,
    /// The certificates that it calls with.
    pub tls_spki_sha256: Vec<TlsSpki>,
    /// Records a second; 0 = the log's default.
    pub quota_events_per_s: u32,
    /// Role patient: whose trace it may read.
    pub patient_tag: Option<[u8; 32]>,
    /// Role patient: the tag of what is kept from representatives.
    pub patient_secret_tag: Option<[u8; 32]>,
    /// Role patient, from feature level 4 on: the commitment to the patient's tags, in their place ([`crate::device`]).
    pub patient_commitment: Option<Hash>,
    /// The names that it vouches for.
    pub vouching: Vouching,
}

impl PartyRegistration {
    /// Parses a registration.
    ///
    /// # Errors
    /// A key that can't be used, unknown roles, fields out of bounds, a patient's tag without the role or the reverse.
    pub fn parse(message: &v1::PartyRegistered) -> Result<Self, RecordError> {
        required("name", &message.name)?;
        line("name", &message.name, PARTY_NAME_BYTES_MAX)?;
        let roles = parse_roles(message.roles)?;
        if roles.is_empty() {
            return Err(RecordError::malformed("roles", "a party has at least one role"));
        }
        let patient_tag = parse_tag("patient_tag", &message.patient_tag)?;
        let patient_secret_tag = parse_tag("patient_secret_tag", &message.patient_secret_tag)?;
        let patient_commitment = match &message.patient_commitment[..] {
            [] => None,
            bytes => Some(Hash::from_bytes(bytes32("patient_commitment", bytes)?)),
        };
        if roles.contains(Roles::PATIENT) != (patient_tag.is_some() || patient_commitment.is_some()) {
            let why = "the role patient and a patient's tag, or a commitment to it, go together";
            return Err(RecordError::malformed("patient_tag", why));
        }
        if patient_tag.is_some() && patient_commitment.is_some() {
            let why = "it stands in the place of the tags: leave them out";
            return Err(RecordError::malformed("patient_commitment", why));
        }
        if patient_tag.is_none() && patient_secret_tag.is_some() {
            let why = "only the role patient has it";
            return Err(RecordError::malformed("patient_secret_tag", why));
        }
        Ok(Self {
            key: parse_key(message.key.as_ref())?,
            name: message.name.clone(),
            roles,
            tls_spki_sha256: parse_tls(&message.tls_spki_sha256)?,
            quota_events_per_s: message.quota_events_per_s,
            patient_tag,
            patient_secret_tag,
            patient_commitment,
            vouching: Vouching::parse(&message.structures, &message.actor_systems, &message.issuers)?,
        })
    }

    /// The id under which the party signs, whatever key it uses.
    pub fn author_id(&self) -> AuthorId {
        AuthorId::of_first_key(&self.key)
    }

    /// As it stands in a record or in the genesis entry.
    pub fn to_message(&self) -> v1::PartyRegistered {
        let tag = |tag: &Option<[u8; 32]>| tag.map(|tag| tag.to_vec()).unwrap_or_default();
        v1::PartyRegistered {
            key: Some(key_message(&self.key)),
            name: self.name.clone(),
            roles: self.roles.bits(),
            tls_spki_sha256: tls_message(&self.tls_spki_sha256),
            quota_events_per_s: self.quota_events_per_s,
            patient_tag: tag(&self.patient_tag),
            patient_secret_tag: tag(&self.patient_secret_tag),
            patient_commitment: tag(&self.patient_commitment.map(Hash::to_bytes)),
            structures: self.vouching.structures.clone(),
            actor_systems: self.vouching.actor_systems.clone(),
            issuers: self.vouching.issuers.clone(),
        }
    }
}

impl Act {
    /// Parses an act.
    ///
    /// # Errors
    /// When a field of it can't be understood; the path is within the act.
    pub fn parse(message: &v1::LedgerAct) -> Result<Self, RecordError> {
        use ledger_act::Act as Wire;
        let Some(act) = &message.act else {
            return Err(RecordError::malformed("", "says nothing"));
        };
        match act {
            Wire::Registered(act) => {
                PartyRegistration::parse(act).map(Self::Registered).map_err(|error| error.within("registered"))
            }
            Wire::Rotated(act) => rotated(act).map_err(|error| error.within("rotated")),
            Wire::Revoked(act) => revoked(act).map_err(|error| error.within("revoked")),
            Wire::Actor(act) => actor_revoked(act).map_err(|error| error.within("actor")),
            Wire::Roles(act) => roles_changed(act).map_err(|error| error.within("roles")),
            Wire::Erased(act) => erased(act).map_err(|error| error.within("erased")),
            Wire::NodeKey(act) => node_key(act).map_err(|error| error.within("node_key")),
            Wire::LogKey(act) => parse_key(act.key.as_ref())
                .map(|key| Self::LogKeyRotated { key })
                .map_err(|error| error.within("log_key")),
            Wire::NodeSet(act) => {
                NodeSetChange::parse(act).map(Self::NodeSetChanged).map_err(|error| error.within("node_set"))
            }
            Wire::Vouching(act) => vouching_changed(act).map_err(|error| error.within("vouching")),
            Wire::Issuer(act) => Issuer::parse(act)
                .map(|issuer| Self::IssuerPublished(Box::new(issuer)))
                .map_err(|error| error.within("issuer")),
            Wire::Voided(act) => Voiding::parse(act).map(Self::RecordsVoided).map_err(|error| error.within("voided")),
            Wire::Rule(act) => RuleChange::parse(act).map(Self::AuthorityRule).map_err(|error| error.within("rule")),
            Wire::Sources(act) => {
                SourcesChange::parse(act).map(Self::SourcesListed).map_err(|error| error.within("sources"))
            }
        }
    }

    /// The kind of the record that carries it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Registered(_) => Kind::KEY_REGISTERED,
            Self::Rotated { .. } | Self::NodeKeyRotated { .. } | Self::LogKeyRotated { .. } => Kind::KEY_ROTATED,
            Self::Erased { .. } => Kind::PAYLOAD_ERASED,
            Self::Revoked { .. } | Self::ActorRevoked { .. } => Kind::KEY_REVOKED,
            Self::RolesChanged { .. } => Kind::ROLE_CHANGED,
            Self::NodeSetChanged(_) => Kind::NODE_SET_CHANGED,
            Self::VouchingChanged { .. } => Kind::VOUCHING_CHANGED,
            Self::IssuerPublished(_) => Kind::ISSUER_PUBLISHED,
            Self::RecordsVoided(_) => Kind::RECORDS_VOIDED,
            Self::AuthorityRule(_) => Kind::AUTHORITY_RULE,
            Self::SourcesListed(_) => Kind::SOURCES_LISTED,
        }
    }

    /// From which feature level of a group on it is known: below, the act is refused.
    pub fn feature_level(&self) -> u32 {
        if !Roles::BEFORE_DOORS.contains(self.gives_out()) {
            return 5;
        }
        let is_new = match self {
            Self::Registered(party) if party.patient_commitment.is_some() => return 4,
            Self::Registered(party) => !Roles::OF_BEFORE.contains(party.roles) || !party.vouching.is_empty(),
            Self::RolesChanged { roles, .. } => !Roles::OF_BEFORE.contains(*roles),
            Self::IssuerPublished(issuer) if issuer.audiences.len() > ISSUER_LIST_MAX => return 4,
            Self::AuthorityRule(RuleChange::Rule(rule)) => return rule.feature_level(),
            _ => return self.kind().feature_level(),
        };
        if is_new { 3 } else { 1 }
    }

    /// The roles that it gives out.
    pub fn gives_out(&self) -> Roles {
        match self {
            Self::Registered(party) => party.roles,
            Self::RolesChanged { roles, .. } => *roles,
            _ => Roles::NONE,
        }
    }

    /// As it stands in a record.
    pub fn to_message(&self) -> v1::LedgerAct {
        use ledger_act::Act as Wire;
        let act = match self {
            Self::Registered(party) => Wire::Registered(party.to_message()),
            Self::Rotated { author_id, key, tls_spki_sha256 } => Wire::Rotated(v1::KeyRotated {
                author_id: author_id.as_bytes().to_vec(),
                key: Some(key_message(key)),
                tls_spki_sha256: tls_message(tls_spki_sha256),
            }),
            Self::Revoked { key_id, reason } => {
                Wire::Revoked(v1::KeyRevoked { key_id: key_id.as_bytes().to_vec(), reason: reason.clone() })
            }
            Self::ActorRevoked { actor_hash, reason } => {
                Wire::Actor(v1::ActorRevoked { actor_hash: actor_hash.as_bytes().to_vec(), reason: reason.clone() })
            }
            Self::RolesChanged { author_id, roles, quota_events_per_s } => Wire::Roles(v1::RolesChanged {
                author_id: author_id.as_bytes().to_vec(),
                roles: roles.bits(),
                quota_events_per_s: *quota_events_per_s,
            }),
            Self::Erased { indices, ground } => Wire::Erased(v1::Erased {
                indices: indices.iter().map(|index| index.get()).collect(),
                patient: indices.is_empty(),
                ground: ground.clone(),
            }),
            Self::NodeKeyRotated { node_id, key } => {
                Wire::NodeKey(v1::NodeKeyRotated { node_id: *node_id, key: Some(key_message(key)) })
            }
            Self::LogKeyRotated { key } => Wire::LogKey(v1::LogKeyRotated { key: Some(key_message(key)) }),
            Self::NodeSetChanged(change) => Wire::NodeSet(change.to_message()),
            Self::VouchingChanged { author_id, added, removed } => Wire::Vouching(v1::VouchingChanged {
                author_id: author_id.as_bytes().to_vec(),
                added: added.to_message(),
                removed: removed.to_message(),
            }),
            Self::IssuerPublished(issuer) => Wire::Issuer(issuer.to_message()),
            Self::RecordsVoided(voiding) => Wire::Voided(voiding.to_message()),
            Self::AuthorityRule(change) => Wire::Rule(change.to_message()),
            Self::SourcesListed(change) => Wire::Sources(change.to_message()),
        };
        v1::LedgerAct { act: Some(act) }
    }
}

fn rotated(act: &v1::KeyRotated) -> Result<Act, RecordError> {
    Ok(Act::Rotated {
        author_id: bytes32("author_id", &act.author_id)?.into(),
        key: parse_key(act.key.as_ref())?,
        tls_spki_sha256: parse_tls(&act.tls_spki_sha256)?,
    })
}

fn revoked(act: &v1::KeyRevoked) -> Result<Act, RecordError> {
    line("reason", &act.reason, TEXT_BYTES_MAX)?;
    Ok(Act::Revoked { key_id: bytes32("key_id", &act.key_id)?.into(), reason: act.reason.clone() })
}

fn actor_revoked(act: &v1::ActorRevoked) -> Result<Act, RecordError> {
    line("reason", &act.reason, TEXT_BYTES_MAX)?;
    Ok(Act::ActorRevoked { actor_hash: bytes32("actor_hash", &act.actor_hash)?.into(), reason: act.reason.clone() })
}

fn roles_changed(act: &v1::RolesChanged) -> Result<Act, RecordError> {
    Ok(Act::RolesChanged {
        author_id: bytes32("author_id", &act.author_id)?.into(),
        roles: parse_roles(act.roles)?,
        quota_events_per_s: act.quota_events_per_s,
    })
}

fn vouching_changed(act: &v1::VouchingChanged) -> Result<Act, RecordError> {
    let parsed = |path: &str, message: &Option<v1::Vouching>| match message {
        None => Ok(Vouching::default()),
        Some(lists) => Vouching::parse(&lists.structures, &lists.actor_systems, &lists.issuers)
            .and_then(|vouching| match vouching.is_empty() {
                true => Err(RecordError::malformed("", "says nothing: leave it out")),
                false => Ok(vouching),
            })
            .map_err(|error| error.within(path)),
    };
    let (added, removed) = (parsed("added", &act.added)?, parsed("removed", &act.removed)?);
    if added.is_empty() && removed.is_empty() {
        return Err(RecordError::malformed("", "says nothing: add or remove a structure, a system or an issuer"));
    }
    if added.names().any(|name| removed.names().any(|other| other == name)) {
        return Err(RecordError::malformed("removed", "the same is added and removed"));
    }
    Ok(Act::VouchingChanged { author_id: bytes32("author_id", &act.author_id)?.into(), added, removed })
}

fn erased(act: &v1::Erased) -> Result<Act, RecordError> {
    required("ground", &act.ground)?;
    line("ground", &act.ground, TEXT_BYTES_MAX)?;
    at_most("indices", act.indices.len(), ERASED_INDICES_MAX)?;
    if act.patient != act.indices.is_empty() {
        let why = "either `patient`, or the indices of some of its records";
        return Err(RecordError::malformed("indices", why));
    }
    if act.indices.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(RecordError::malformed("indices", "must be strictly ascending"));
    }
    Ok(Act::Erased { indices: act.indices.iter().copied().map(LeafIndex).collect(), ground: act.ground.clone() })
}

fn node_key(act: &v1::NodeKeyRotated) -> Result<Act, RecordError> {
    if act.node_id == 0 {
        return Err(RecordError::malformed("node_id", "node ids begin at 1"));
    }
    Ok(Act::NodeKeyRotated { node_id: act.node_id, key: parse_key(act.key.as_ref())? })
}

fn tls_message(hashes: &[TlsSpki]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

fn parse_roles(bits: u32) -> Result<Roles, RecordError> {
    Roles::from_bits(bits).map_err(|error| RecordError::malformed("roles", error.to_string()))
}

fn parse_tls(hashes: &[Vec<u8>]) -> Result<Vec<TlsSpki>, RecordError> {
    at_most("tls_spki_sha256", hashes.len(), TLS_SPKI_MAX)?;
    hashes.iter().map(|hash| bytes32("tls_spki_sha256", hash)).collect()
}

fn parse_tag(path: &str, tag: &[u8]) -> Result<Option<[u8; 32]>, RecordError> {
    match tag {
        [] => Ok(None),
        _ => match bytes32(path, tag)? {
            [0, rest @ ..] if rest == [0; 31] => {
                Err(RecordError::malformed(path, "the tag of zero bytes stands for no patient"))
            }
            tag => Ok(Some(tag)),
        },
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::keys::SigningKey;

    use super::*;

    fn key() -> PublicKey {
        SigningKey::from_seed(&[1; 32]).public_key()
    }

    fn party() -> PartyRegistration {
        PartyRegistration {
            key: key(),
            name: "DMP".to_owned(),
            roles: Roles::AUTHOR | Roles::READER,
            tls_spki_sha256: vec![[4; 32]],
            quota_events_per_s: 10,
            patient_tag: None,
            patient_secret_tag: None,
            patient_commitment: None,
            vouching: vouching(&["690000120"]),
        }
    }

    fn vouching(structures: &[&str]) -> Vouching {
        let structures = structures.iter().map(|&name| name.to_owned()).collect();
        Vouching { structures, ..Vouching::default() }
    }

    #[test]
    fn each_act_survives_its_message() {
        let author_id = party().author_id();
        let acts = [
            Act::Registered(party()),
            Act::Registered(PartyRegistration {
                roles: Roles::PATIENT,
                patient_commitment: Some(Hash::from_bytes([6; 32])),
                ..party()
            }),
            Act::Rotated { author_id, key: key(), tls_spki_sha256: vec![] },
            Act::Revoked { key_id: key().key_id(), reason: "lost".to_owned() },
            Act::ActorRevoked { actor_hash: Hash::from_bytes([9; 32]), reason: "struck off".to_owned() },
            Act::RolesChanged { author_id, roles: Roles::NONE, quota_events_per_s: 3 },
            Act::Erased { indices: vec![LeafIndex(3), LeafIndex(9)], ground: "ORDER".to_owned() },
            Act::Erased { indices: vec![], ground: "REQUEST".to_owned() },
            Act::NodeKeyRotated { node_id: 2, key: key() },
            Act::LogKeyRotated { key: key() },
            Act::VouchingChanged { author_id, added: vouching(&["1", "2"]), removed: vouching(&["3"]) },
            Act::VouchingChanged { author_id, added: Vouching::default(), removed: vouching(&["*"]) },
            Act::NodeSetChanged(NodeSetChange { epoch: 1, voters: vec![1, 2], removed: vec![3], ..Default::default() }),
        ];
        for act in acts {
            assert_eq!(Act::parse(&act.to_message()), Ok(act));
        }
    }

    #[test]
    fn what_cannot_be_understood_names_its_field() {
        let path = |change: fn(&mut v1::PartyRegistered)| {
            let mut message = party().to_message();
            change(&mut message);
            PartyRegistration::parse(&message).expect_err("one field is wrong").path
        };
        assert_eq!(path(|m| m.key = None), "key");
        assert_eq!(path(|m| m.key.as_mut().expect("set").alg = 2), "key.alg");
        assert_eq!(path(|m| m.key.as_mut().expect("set").key = vec![0; 32]), "key.key");
        assert_eq!(path(|m| m.name.clear()), "name");
        assert_eq!(path(|m| m.name = "a\nb".to_owned()), "name");
        assert_eq!(path(|m| m.roles = 32_768), "roles");
        assert_eq!(path(|m| m.structures = vec!["b".into(), "a".into()]), "structures");
        assert_eq!(path(|m| m.roles = 0), "roles");
        assert_eq!(path(|m| m.roles = 8), "patient_tag");
        assert_eq!(path(|m| m.patient_tag = vec![1; 32]), "patient_tag");
        assert_eq!(path(|m| m.patient_secret_tag = vec![1; 32]), "patient_secret_tag");
        assert_eq!(path(|m| m.patient_commitment = vec![1; 32]), "patient_tag");
        assert_eq!(path(|m| m.patient_commitment = vec![1; 31]), "patient_commitment");
        let both = |m: &mut v1::PartyRegistered| {
            (m.roles, m.patient_tag, m.patient_commitment) = (8, vec![1; 32], vec![2; 32]);
        };
        assert_eq!(path(both), "patient_commitment");
        assert_eq!(path(|m| m.tls_spki_sha256 = vec![vec![1; 31]]), "tls_spki_sha256");
        assert_eq!(path(|m| m.tls_spki_sha256 = vec![vec![1; 32]; 17]), "tls_spki_sha256");
    }
}
