//! Acts of the authority, as JSON.

use serde::{Deserialize, Serialize};
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey};
use sillage_proto::v1;

use super::{IssuerLine, SourcesLine, is_default};
use crate::act::{Act, PartyRegistration};
use crate::authority::{GuardedActs, Rule, RuleChange};
use crate::error::RecordError;
use crate::node_set::{NodeAddresses, NodeSetChange, SetNode};
use crate::roles::Roles;
use crate::voiding::{Voiding, Whose};
use crate::vouching::Vouching;

/// The deed of the authority. Keys, ids and hashes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActLine {
    /// A new party.
    Registered {
        /// Its first public key (Ed25519).
        key: PublicKey,
        /// The name of the service.
        name: String,
        /// Its roles.
        roles: Vec<String>,
        /// SHA-256 of the SubjectPublicKeyInfo of the certificates that it calls with.
        #[serde(default, skip_serializing_if = "is_default")]
        tls_spki_sha256: Vec<Hash>,
        /// Records a second; 0 = the log's default.
        #[serde(default, skip_serializing_if = "is_default")]
        quota_events_per_s: u32,
        /// Role patient: whose trace it may read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patient_tag: Option<Hash>,
        /// Role patient: the tag of what is kept from representatives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patient_secret_tag: Option<Hash>,
        /// Role patient: the commitment to the patient's tags, in their place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patient_commitment: Option<Hash>,
        /// The structures for which its actors act.
        #[serde(default, skip_serializing_if = "is_default")]
        structures: Vec<String>,
        /// The systems that name its actors.
        #[serde(default, skip_serializing_if = "is_default")]
        actor_systems: Vec<String>,
        /// The issuers of the logins that it relays.
        #[serde(default, skip_serializing_if = "is_default")]
        issuers: Vec<String>,
    },
    /// A party vouches for others from here on.
    Vouching {
        /// The party.
        author_id: AuthorId,
        /// The names that it vouches for besides.
        #[serde(default, skip_serializing_if = "is_default")]
        added: VouchingLine,
        /// The names that it doesn't vouch for any more.
        #[serde(default, skip_serializing_if = "is_default")]
        removed: VouchingLine,
    },
    /// A new key for a party.
    Rotated {
        /// The party.
        author_id: AuthorId,
        /// Its new key.
        key: PublicKey,
        /// Certificates that it calls with from now on.
        #[serde(default, skip_serializing_if = "is_default")]
        tls_spki_sha256: Vec<Hash>,
    },
    /// A key that signs nothing from here on.
    Revoked {
        /// The key.
        key_id: KeyId,
        /// Why.
        #[serde(default, skip_serializing_if = "is_default")]
        reason: String,
    },
    /// An actor who is permitted nothing and signs nothing from here on.
    Actor {
        /// The hash of their name.
        actor_hash: Hash,
        /// Why.
        #[serde(default, skip_serializing_if = "is_default")]
        reason: String,
    },
    /// Other roles for a party.
    Roles {
        /// The party.
        author_id: AuthorId,
        /// All of its roles from now on; none: it is ended.
        roles: Vec<String>,
        /// Records a second; 0 = the log's default.
        #[serde(default, skip_serializing_if = "is_default")]
        quota_events_per_s: u32,
    },
    /// A patient's payloads are gone from here on.
    Erased {
        /// Which, ascending; none: all recorded before.
        #[serde(default, skip_serializing_if = "is_default")]
        indices: Vec<u64>,
        /// Why.
        ground: String,
    },
    /// A new key for a node.
    NodeKey {
        /// The node.
        node_id: u64,
        /// Its new key.
        key: PublicKey,
    },
    /// A new key for the log.
    LogKey {
        /// The new key.
        key: PublicKey,
    },
    /// Other nodes, or other voters.
    NodeSet {
        /// Number of the set, one more than that of the set before.
        epoch: u64,
        /// Nodes that are new.
        #[serde(default, skip_serializing_if = "is_default")]
        added: Vec<AddedNodeLine>,
        /// Nodes that are there already, at new addresses.
        #[serde(default, skip_serializing_if = "is_default")]
        moved: Vec<NodeAddressesLine>,
        /// Nodes that are gone.
        #[serde(default, skip_serializing_if = "is_default")]
        removed: Vec<u64>,
        /// All whose signatures count.
        voters: Vec<u64>,
        /// Where more than one voter changes: the voters before, who count beside the new ones.
        #[serde(default, skip_serializing_if = "is_default")]
        voters_outgoing: Vec<u64>,
        /// All that count for nothing yet.
        #[serde(default, skip_serializing_if = "is_default")]
        learners: Vec<u64>,
    },
    /// An issuer whose logins prove a will, or no longer do.
    Issuer(Box<IssuerLine>),
    /// The records that a key or a party signed count for nothing from here on.
    Voided {
        /// The key; none where a party is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<KeyId>,
        /// The party; none where a key is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author_id: Option<AuthorId>,
        /// The first entry that is meant.
        from_index: u64,
        /// The first that isn't meant any more; 0: the act itself.
        #[serde(default, skip_serializing_if = "is_default")]
        until_index: u64,
        /// Why.
        reason: String,
    },
    /// An act that voided records counts no longer.
    Reinstated {
        /// The entry of that act.
        act: u64,
        /// Why.
        reason: String,
    },
    /// How many authorities sign what touches many.
    Rule {
        /// Signatures that are needed.
        needed: u32,
        /// The authorities whose signatures count: author ids, ascending.
        authorities: Vec<AuthorId>,
        /// For which acts: 1 voiding, 2 authorities, 4 nodes, 8 erasing a patient; 1 and 2 always.
        acts: u32,
    },
    /// How many records that take access away a party may sign in one day.
    Limit {
        /// The party.
        author_id: AuthorId,
        /// How many.
        records: u32,
    },
    /// Sources that should record, and who answers for their structures.
    Sources(SourcesLine),
}

/// The things for which a party vouches; each list ascending.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VouchingLine {
    /// Structures.
    #[serde(default, skip_serializing_if = "is_default")]
    pub structures: Vec<String>,
    /// Systems of actors.
    #[serde(default, skip_serializing_if = "is_default")]
    pub actor_systems: Vec<String>,
    /// Issuers of logins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issuers: Vec<String>,
}

impl From<VouchingLine> for Vouching {
    fn from(VouchingLine { structures, actor_systems, issuers }: VouchingLine) -> Self {
        Self { structures, actor_systems, issuers }
    }
}

impl From<Vouching> for VouchingLine {
    fn from(Vouching { structures, actor_systems, issuers }: Vouching) -> Self {
        Self { structures, actor_systems, issuers }
    }
}

/// A node that is new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedNodeLine {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its public key (Ed25519).
    pub key: PublicKey,
    /// SHA-256 of the SubjectPublicKeyInfo of its certificate.
    pub tls_spki_sha256: Hash,
    /// Where clients call it, `HOST:PORT`.
    pub client_address: String,
    /// Where its peers call it, `HOST:PORT`.
    pub peer_address: String,
}

/// A node's new addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeAddressesLine {
    /// Its id.
    pub id: u64,
    /// Where clients call it, `HOST:PORT`.
    pub client_address: String,
    /// Where its peers call it, `HOST:PORT`.
    pub peer_address: String,
}

impl From<AddedNodeLine> for SetNode {
    fn from(node: AddedNodeLine) -> Self {
        let AddedNodeLine { id, name, key, tls_spki_sha256, client_address, peer_address } = node;
        Self { id, name, key, tls_spki_sha256: tls_spki_sha256.to_bytes(), client_address, peer_address }
    }
}

impl From<SetNode> for AddedNodeLine {
    fn from(node: SetNode) -> Self {
        let SetNode { id, name, key, tls_spki_sha256, client_address, peer_address } = node;
        Self { id, name, key, tls_spki_sha256: Hash::from_bytes(tls_spki_sha256), client_address, peer_address }
    }
}

impl From<NodeAddressesLine> for NodeAddresses {
    fn from(NodeAddressesLine { id, client_address, peer_address }: NodeAddressesLine) -> Self {
        Self { id, client_address, peer_address }
    }
}

impl From<NodeAddresses> for NodeAddressesLine {
    fn from(NodeAddresses { id, client_address, peer_address }: NodeAddresses) -> Self {
        Self { id, client_address, peer_address }
    }
}

fn bytes(hashes: &[Hash]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| hash.to_bytes()).collect()
}

fn hashes(bytes: &[[u8; 32]]) -> Vec<Hash> {
    bytes.iter().copied().map(Hash::from_bytes).collect()
}

fn names(roles: Roles) -> Vec<String> {
    roles.names().map(str::to_owned).collect()
}

fn roles_of(names: &[String], path: &str) -> Result<Roles, RecordError> {
    Roles::from_names(names.iter().map(String::as_str)).map_err(|error| RecordError::malformed(path, error.to_string()))
}

impl ActLine {
    /// As it stands in a record.
    pub(super) fn to_message(&self) -> Result<v1::LedgerAct, RecordError> {
        self.to_act().map(|act| act.to_message())
    }

    /// The act.
    ///
    /// # Errors
    /// When a role is unknown.
    pub fn to_act(&self) -> Result<Act, RecordError> {
        Ok(match self.clone() {
            Self::Registered {
                key,
                name,
                roles,
                tls_spki_sha256,
                quota_events_per_s,
                patient_tag,
                patient_secret_tag,
                patient_commitment,
                structures,
                actor_systems,
                issuers,
            } => Act::Registered(PartyRegistration {
                key,
                name,
                roles: roles_of(&roles, "act.registered.roles")?,
                tls_spki_sha256: bytes(&tls_spki_sha256),
                quota_events_per_s,
                patient_tag: patient_tag.map(Hash::to_bytes),
                patient_secret_tag: patient_secret_tag.map(Hash::to_bytes),
                patient_commitment,
                vouching: Vouching { structures, actor_systems, issuers },
            }),
            Self::Vouching { author_id, added, removed } => {
                Act::VouchingChanged { author_id, added: added.into(), removed: removed.into() }
            }
            Self::Rotated { author_id, key, tls_spki_sha256 } => {
                Act::Rotated { author_id, key, tls_spki_sha256: bytes(&tls_spki_sha256) }
            }
            Self::Revoked { key_id, reason } => Act::Revoked { key_id, reason },
            Self::Actor { actor_hash, reason } => Act::ActorRevoked { actor_hash, reason },
            Self::Erased { indices, ground } => {
                Act::Erased { indices: indices.into_iter().map(LeafIndex).collect(), ground }
            }
            Self::NodeKey { node_id, key } => Act::NodeKeyRotated { node_id, key },
            Self::LogKey { key } => Act::LogKeyRotated { key },
            Self::Issuer(issuer) => {
                let issuer = issuer.to_issuer().map_err(|error| error.within("act.issuer"))?;
                Act::IssuerPublished(Box::new(issuer))
            }
            Self::NodeSet { epoch, added, moved, removed, voters, voters_outgoing, learners } => {
                let added = added.into_iter().map(SetNode::from).collect();
                let moved = moved.into_iter().map(NodeAddresses::from).collect();
                Act::NodeSetChanged(NodeSetChange { epoch, added, moved, removed, voters, voters_outgoing, learners })
            }
            Self::Voided { key_id, author_id, from_index, until_index, reason } => {
                let whose = match (key_id, author_id) {
                    (Some(key), None) => Whose::Key(key),
                    (None, Some(author)) => Whose::Party(author),
                    _ => return Err(RecordError::malformed("act.voided", "name a key or a party")),
                };
                let until = (until_index != 0).then_some(LeafIndex(until_index));
                Act::RecordsVoided(Voiding::Void { whose, from: LeafIndex(from_index), until, reason })
            }
            Self::Reinstated { act, reason } => Act::RecordsVoided(Voiding::Reinstate { act: LeafIndex(act), reason }),
            Self::Rule { needed, authorities, acts } => {
                let acts = GuardedActs::from_bits(acts).map_err(|error| error.within("act.rule"))?;
                let authorities = authorities.into_iter().collect();
                Act::AuthorityRule(RuleChange::Rule(Rule { needed, authorities, acts }))
            }
            Self::Limit { author_id, records } => Act::AuthorityRule(RuleChange::Limit { author_id, records }),
            Self::Sources(sources) => {
                Act::SourcesListed(sources.to_change().map_err(|error| error.within("act.sources"))?)
            }
            Self::Roles { author_id, roles, quota_events_per_s } => {
                Act::RolesChanged { author_id, roles: roles_of(&roles, "act.roles.roles")?, quota_events_per_s }
            }
        })
    }
}

impl From<&Act> for ActLine {
    fn from(act: &Act) -> Self {
        match act.clone() {
            Act::Registered(party) => Self::Registered {
                key: party.key,
                name: party.name,
                roles: names(party.roles),
                tls_spki_sha256: hashes(&party.tls_spki_sha256),
                quota_events_per_s: party.quota_events_per_s,
                patient_tag: party.patient_tag.map(Hash::from_bytes),
                patient_secret_tag: party.patient_secret_tag.map(Hash::from_bytes),
                patient_commitment: party.patient_commitment,
                structures: party.vouching.structures,
                actor_systems: party.vouching.actor_systems,
                issuers: party.vouching.issuers,
            },
            Act::VouchingChanged { author_id, added, removed } => {
                Self::Vouching { author_id, added: added.into(), removed: removed.into() }
            }
            Act::Rotated { author_id, key, tls_spki_sha256 } => {
                Self::Rotated { author_id, key, tls_spki_sha256: hashes(&tls_spki_sha256) }
            }
            Act::Revoked { key_id, reason } => Self::Revoked { key_id, reason },
            Act::ActorRevoked { actor_hash, reason } => Self::Actor { actor_hash, reason },
            Act::Erased { indices, ground } => {
                Self::Erased { indices: indices.iter().map(|index| index.get()).collect(), ground }
            }
            Act::NodeKeyRotated { node_id, key } => Self::NodeKey { node_id, key },
            Act::LogKeyRotated { key } => Self::LogKey { key },
            Act::IssuerPublished(issuer) => Self::Issuer(Box::new(IssuerLine::from(&*issuer))),
            Act::NodeSetChanged(change) => {
                let NodeSetChange { epoch, added, moved, removed, voters, voters_outgoing, learners } = change;
                let added = added.into_iter().map(AddedNodeLine::from).collect();
                let moved = moved.into_iter().map(NodeAddressesLine::from).collect();
                Self::NodeSet { epoch, added, moved, removed, voters, voters_outgoing, learners }
            }
            Act::RecordsVoided(Voiding::Void { whose, from, until, reason }) => {
                let (key_id, author_id) = match whose {
                    Whose::Key(key) => (Some(key), None),
                    Whose::Party(author) => (None, Some(author)),
                };
                let until_index = until.map_or(0, LeafIndex::get);
                Self::Voided { key_id, author_id, from_index: from.get(), until_index, reason }
            }
            Act::RecordsVoided(Voiding::Reinstate { act, reason }) => Self::Reinstated { act: act.get(), reason },
            Act::AuthorityRule(RuleChange::Rule(Rule { needed, authorities, acts })) => {
                Self::Rule { needed, authorities: authorities.into_iter().collect(), acts: acts.bits() }
            }
            Act::AuthorityRule(RuleChange::Limit { author_id, records }) => Self::Limit { author_id, records },
            Act::SourcesListed(change) => Self::Sources(SourcesLine::from(&change)),
            Act::RolesChanged { author_id, roles, quota_events_per_s } => {
                Self::Roles { author_id, roles: names(roles), quota_events_per_s }
            }
        }
    }
}
