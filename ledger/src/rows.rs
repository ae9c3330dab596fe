//! Parties, keys, streams and sets of nodes: as stored (protobuf, so that fields can be added) and as read.

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyError, KeyId, PublicKey, StreamId};
use sillage_rules::node_set::{NodeSet, SetNode};
use sillage_rules::roles::Roles;

use crate::error::ReadError;
use crate::schema::{commit_index, commit_number};

/// Stored state of a party.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartyRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub roles: u32,
    #[prost(uint32, tag = "3")]
    pub quota_events_per_s: u32,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub tls_spki_sha256: Vec<Vec<u8>>,
    /// Every key it ever had, the newest last.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub key_ids: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "6")]
    pub patient_tag: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    pub patient_secret_tag: Vec<u8>,
    #[prost(uint64, tag = "8")]
    pub registered_at: u64,
    /// How many structures, systems of actors and issuers it vouches for: `apply::vouching` has their names.
    #[prost(uint32, tag = "9")]
    pub structures: u32,
    #[prost(uint32, tag = "10")]
    pub actor_systems: u32,
    #[prost(uint32, tag = "11")]
    pub issuers: u32,
    /// Role patient, in the place of the tags: no row says whose device it is.
    #[prost(bytes = "vec", tag = "12")]
    pub patient_commitment: Vec<u8>,
}

/// Stored state of a key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyRow {
    #[prost(bytes = "vec", tag = "1")]
    pub author_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// 0 active, 1 replaced, 2 revoked.
    #[prost(uint32, tag = "3")]
    pub state: u32,
    /// Index of the entry that brought it into this state.
    #[prost(uint64, tag = "4")]
    pub since: u64,
}

/// Stored state of a stream.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamRow {
    #[prost(bytes = "vec", tag = "1")]
    pub author_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub label: String,
    #[prost(uint64, tag = "3")]
    pub last_seq: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub last_root: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub last_first_index: u64,
    #[prost(uint32, tag = "6")]
    pub last_count: u32,
    #[prost(uint64, tag = "7")]
    pub last_time_ms: u64,
}

/// The state of a key: whether it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It signs.
    Active,
    /// Its author has a newer key.
    Replaced,
    /// It was revoked, or its party was ended.
    Revoked,
}

impl KeyState {
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Active => 0,
            Self::Replaced => 1,
            Self::Revoked => 2,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        [Self::Active, Self::Replaced, Self::Revoked].into_iter().find(|state| state.code() == code)
    }
}

/// A registered party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its id, whatever key it uses now.
    pub author_id: AuthorId,
    /// Name of the service.
    pub name: String,
    /// Its roles; none: the party is ended.
    pub roles: Roles,
    /// Events a second; 0: the log's default.
    pub quota_events_per_s: u32,
    /// SHA-256 of the public keys of the certificates that it calls with.
    pub tls_spki_sha256: Vec<[u8; 32]>,
    /// Every key it ever had, the newest last.
    pub keys: Vec<KeyId>,
    /// Role patient: whose trace it may read.
    pub patient_tag: Option<[u8; 32]>,
    /// Role patient: the tag of what a minor keeps secret.
    pub patient_secret_tag: Option<[u8; 32]>,
    /// Role patient: the commitment to the patient's tags, of a party that was registered from feature level 4 on. Which
    /// tags, says the record under each of them.
    pub patient_commitment: Option<[u8; 32]>,
    /// The entry that registered it; 0: genesis.
    pub registered_at: LeafIndex,
    /// How many structures, systems of actors and issuers of logins it vouches for. [`crate::LedgerReader::vouching`] has
    /// their names.
    pub vouches_for: [u32; 3],
}

/// A registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub key_id: KeyId,
    /// The party that it belongs to.
    pub author_id: AuthorId,
    /// The 32 bytes of the Ed25519 public key.
    pub public_key: [u8; 32],
    /// Its state: whether it signs.
    pub state: KeyState,
    /// The entry that brought it into this state; 0: genesis.
    pub since: LeafIndex,
}

impl KeyInfo {
    /// The key, to verify with. Costs the decompression of a point: keep it.
    ///
    /// # Errors
    /// Never for what the ledger registered.
    pub fn verifier(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_bytes(&self.public_key)
    }
}

/// Where a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub stream_id: StreamId,
    /// The party that it belongs to.
    pub author_id: AuthorId,
    /// Its label.
    pub label: String,
    /// Sequence number of the last batch.
    pub last_seq: u64,
    /// Root of the last batch.
    pub last_root: Hash,
    /// Index of the first record entry of the last batch.
    pub last_first_index: LeafIndex,
    /// Number of records of the last batch.
    pub last_count: u32,
    /// Ledger time of the last batch.
    pub last_time_ms: LedgerTimeMs,
}

fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(format!("the row of a {what} can't be read"))
}

fn optional_tag(bytes: &[u8]) -> Result<Option<[u8; 32]>, ReadError> {
    match bytes.len() {
        0 => Ok(None),
        _ => Ok(Some(bytes.try_into().map_err(|_| damaged("party"))?)),
    }
}

impl PartyRow {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::decode(bytes).map_err(|_| damaged("party"))
    }

    pub(crate) fn roles(&self) -> Roles {
        Roles::from_bits(self.roles).unwrap_or(Roles::NONE)
    }

    pub(crate) fn info(&self, author_id: AuthorId) -> Result<Party, ReadError> {
        let id32 = |bytes: &Vec<u8>| <[u8; 32]>::try_from(&bytes[..]).map_err(|_| damaged("party"));
        Ok(Party {
            author_id,
            name: self.name.clone(),
            roles: self.roles(),
            quota_events_per_s: self.quota_events_per_s,
            tls_spki_sha256: self.tls_spki_sha256.iter().map(id32).collect::<Result<_, _>>()?,
            keys: self.key_ids.iter().map(|id| id32(id).map(KeyId::from)).collect::<Result<_, _>>()?,
            patient_tag: optional_tag(&self.patient_tag)?,
            patient_secret_tag: optional_tag(&self.patient_secret_tag)?,
            patient_commitment: optional_tag(&self.patient_commitment)?,
            registered_at: LeafIndex(self.registered_at),
            vouches_for: [self.structures, self.actor_systems, self.issuers],
        })
    }
}

impl KeyRow {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::decode(bytes).map_err(|_| damaged("key"))
    }

    pub(crate) fn info(&self, key_id: KeyId) -> Result<KeyInfo, ReadError> {
        Ok(KeyInfo {
            key_id,
            author_id: AuthorId::from_slice(&self.author_id).map_err(|_| damaged("key"))?,
            public_key: self.public_key[..].try_into().map_err(|_| damaged("key"))?,
            state: KeyState::from_code(self.state).ok_or_else(|| damaged("key"))?,
            since: LeafIndex(self.since),
        })
    }
}

impl From<&KeyInfo> for KeyRow {
    fn from(key: &KeyInfo) -> Self {
        Self {
            author_id: key.author_id.as_bytes().to_vec(),
            public_key: key.public_key.to_vec(),
            state: key.state.code(),
            since: key.since.get(),
        }
    }
}

impl From<&StreamInfo> for StreamRow {
    fn from(stream: &StreamInfo) -> Self {
        Self {
            author_id: stream.author_id.as_bytes().to_vec(),
            label: stream.label.clone(),
            last_seq: stream.last_seq,
            last_root: stream.last_root.as_bytes().to_vec(),
            last_first_index: stream.last_first_index.get(),
            last_count: stream.last_count,
            last_time_ms: stream.last_time_ms.get(),
        }
    }
}

impl StreamRow {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::decode(bytes).map_err(|_| damaged("stream"))
    }

    pub(crate) fn info(self, stream_id: StreamId) -> Result<StreamInfo, ReadError> {
        Ok(StreamInfo {
            stream_id,
            author_id: AuthorId::from_slice(&self.author_id).map_err(|_| damaged("stream"))?,
            last_root: Hash::from_slice(&self.last_root).map_err(|_| damaged("stream"))?,
            label: self.label,
            last_seq: self.last_seq,
            last_first_index: LeafIndex(self.last_first_index),
            last_count: self.last_count,
            last_time_ms: LedgerTimeMs(self.last_time_ms),
        })
    }
}

/// Stored state of a set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeSetRow {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The entry with the act.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The first index commit after the act; 0: none yet.
    #[prost(uint64, tag = "3")]
    pub covered_by: u64,
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<NodeRow>,
    #[prost(uint64, repeated, tag = "5")]
    pub voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    pub voters_outgoing: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    pub learners: Vec<u64>,
    #[prost(uint64, tag = "8")]
    pub id_max: u64,
}

/// Stored state of a node in a set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bytes = "vec", tag = "3")]
    pub public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub tls_spki_sha256: Vec<u8>,
    #[prost(string, tag = "5")]
    pub client_address: String,
    #[prost(string, tag = "6")]
    pub peer_address: String,
}

impl NodeSetRow {
    pub(crate) fn new(set: &NodeSet, index: LeafIndex) -> Self {
        let node = |node: &SetNode| NodeRow {
            id: node.id,
            name: node.name.clone(),
            public_key: node.key.to_bytes().to_vec(),
            tls_spki_sha256: node.tls_spki_sha256.to_vec(),
            client_address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
        };
        Self {
            epoch: set.epoch,
            index: index.get(),
            covered_by: 0,
            nodes: set.nodes.iter().map(node).collect(),
            voters: set.voters.clone(),
            voters_outgoing: set.voters_outgoing.clone(),
            learners: set.learners.clone(),
            id_max: set.id_max,
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::decode(bytes).map_err(|_| damaged("set of nodes"))
    }

    pub(crate) fn covered_by(&self) -> Option<LeafIndex> {
        commit_index(self.covered_by)
    }

    /// The same, covered by this index commit.
    pub(crate) fn covered(self, commit: LeafIndex) -> Self {
        Self { covered_by: commit_number(Some(commit)), ..self }
    }

    pub(crate) fn set(self) -> Result<NodeSet, ReadError> {
        let node = |node: NodeRow| {
            let key = PublicKey::from_bytes(&node.public_key).ok()?;
            let tls_spki_sha256 = node.tls_spki_sha256.try_into().ok()?;
            let NodeRow { id, name, client_address, peer_address, .. } = node;
            Some(SetNode { id, name, key, tls_spki_sha256, client_address, peer_address })
        };
        let nodes: Option<Vec<SetNode>> = self.nodes.into_iter().map(node).collect();
        Ok(NodeSet {
            epoch: self.epoch,
            nodes: nodes.ok_or_else(|| damaged("set of nodes"))?,
            voters: self.voters,
            voters_outgoing: self.voters_outgoing,
            learners: self.learners,
            id_max: self.id_max,
        })
    }
}
