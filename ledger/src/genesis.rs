//! Entry 0: what never changes in the life of a log, parsed once.

use prost::Message;
use sillage_proof::batch::Origin;
use sillage_proof::keys::PublicKey;
use sillage_proto::v1::Genesis;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::Rule;
use sillage_rules::limits::{EVENT_BODY_BYTES_MAX, INDEX_DEPTH_MAX, ISSUERS_MAX};
use sillage_rules::node_set::{NodeSet, SetNode};
use sillage_rules::roles::Roles;
use sillage_rules::will::issuer::Issuer;

use crate::error::GenesisError;
use crate::feature::{FEATURE_LEVEL, ROLES};

/// A node of the group.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Its id in the group, from 1.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Verifies the receipts that it signs.
    pub key: PublicKey,
    /// SHA-256 of the public key of the certificate that it calls its peers with.
    pub tls_spki_sha256: [u8; 32],
}

/// The content of the genesis entry.
#[derive(Debug, Clone)]
pub struct GenesisInfo {
    /// The bytes as given: the body of entry 0.
    pub bytes: Vec<u8>,
    /// The log's name.
    pub origin: Origin,
    /// When the log was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Verifies checkpoints.
    pub log_public_key: PublicKey,
    /// Verifies tags (RFC 9381).
    pub vrf_public_key: [u8; 32],
    /// First tag that the log is for.
    pub tag_first: [u8; 32],
    /// Last tag that the log is for, included.
    pub tag_last: [u8; 32],
    /// Accepts test and demonstration identities.
    pub test_log: bool,
    /// An access recorded later than this after it happened is `LATE`.
    pub late_after_ms: u64,
    /// The patients' index has 2^this buckets.
    pub index_depth: u8,
    /// Events a second of an author whose registration says nothing.
    pub quota_events_per_s: u32,
    /// The nodes that the log began with.
    pub nodes: Vec<NodeInfo>,
    /// The parties that are registered from the beginning, the authority first.
    pub parties: Vec<PartyRegistration>,
    /// The feature level that the log begins with.
    pub feature_level: u32,
    /// The issuers whose logins prove a will from the beginning.
    pub issuers: Vec<Issuer>,
    /// How many authorities sign what touches many, from the beginning; `None`: each acts alone.
    pub rule: Option<Rule>,
}

fn invalid(what: impl Into<String>) -> GenesisError {
    GenesisError(what.into())
}

fn bytes32(bytes: &[u8], what: &str) -> Result<[u8; 32], GenesisError> {
    bytes.try_into().map_err(|_| invalid(format!("{what} is {} bytes long, expected 32", bytes.len())))
}

impl GenesisInfo {
    /// Parses and checks the bytes of a `sillage.v1.Genesis`.
    ///
    /// # Errors
    /// When a field is missing or makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > EVENT_BODY_BYTES_MAX {
            return Err(invalid(format!("over {EVENT_BODY_BYTES_MAX} bytes")));
        }
        let genesis = Genesis::decode(bytes).map_err(|error| invalid(error.to_string()))?;
        if genesis.version != 1 {
            return Err(invalid(format!("version {} is unknown", genesis.version)));
        }
        bytes32(&genesis.nonce, "nonce")?;
        let (tag_first, tag_last) =
            (bytes32(&genesis.tag_first, "tag_first")?, bytes32(&genesis.tag_last, "tag_last")?);
        if tag_first > tag_last {
            return Err(invalid("tag_first is after tag_last"));
        }
        let index_depth = u8::try_from(genesis.index_depth).ok().filter(|depth| *depth <= INDEX_DEPTH_MAX);
        let index_depth = index_depth.ok_or_else(|| invalid(format!("index_depth is over {INDEX_DEPTH_MAX}")))?;
        let parties = genesis.parties.iter().enumerate().map(|(at, party)| {
            PartyRegistration::parse(party).map_err(|error| invalid(format!("parties[{at}].{error}")))
        });
        let parties = parties.collect::<Result<Vec<_>, _>>()?;
        let authority = parties.first().map(|party| party.roles);
        if authority.is_none_or(|roles| !roles.contains(Roles::AUTHORITY)) {
            return Err(invalid("the first party must have the role authority"));
        }
        let feature_level = genesis.feature_level.max(1);
        if feature_level > FEATURE_LEVEL {
            let what = format!("feature_level is {feature_level}, and this program knows {FEATURE_LEVEL}");
            return Err(invalid(what));
        }
        for (at, party) in parties.iter().enumerate() {
            check_party(party, feature_level, genesis.test_log)
                .map_err(|why| invalid(format!("parties[{at}] ({:?}): {why}", party.name)))?;
        }
        let issuers = genesis
            .issuers
            .iter()
            .enumerate()
            .map(|(at, issuer)| Issuer::parse(issuer).map_err(|error| invalid(format!("issuers[{at}].{error}"))));
        let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
        if issuers.len() > ISSUERS_MAX || !genesis.test_log && issuers.iter().any(|issuer| issuer.test) {
            return Err(invalid(format!("at most {ISSUERS_MAX} issuers, and those for tests in test logs alone")));
        }
        let mut keys: Vec<_> = parties.iter().map(|party| party.key.key_id()).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("two parties have the key {}", twice[0])));
        }
        let rule = Rule::of_genesis(&genesis).map_err(|error| invalid(error.to_string()))?;
        let nodes = genesis.nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<u64> = nodes.iter().map(|node| node.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != nodes.len() || ids.first().is_none_or(|id| *id == 0) {
            return Err(invalid("nodes need ids from 1, each once"));
        }
        let log_key = PublicKey::from_bytes(&genesis.log_public_key);
        Ok(Self {
            bytes: bytes.to_vec(),
            origin: Origin::new(genesis.origin).map_err(|error| invalid(error.to_string()))?,
            created_ms: genesis.created_ms,
            log_public_key: log_key.map_err(|error| invalid(format!("log_public_key: {error}")))?,
            vrf_public_key: bytes32(&genesis.vrf_public_key, "vrf_public_key")?,
            tag_first,
            tag_last,
            test_log: genesis.test_log,
            late_after_ms: genesis.late_after_ms,
            index_depth,
            quota_events_per_s: genesis.quota_events_per_s,
            nodes,
            parties,
            feature_level,
            issuers,
            rule,
        })
    }

    /// Tells whether the log is for this patient's tag.
    pub fn covers(&self, tag: &[u8; 32]) -> bool {
        (self.tag_first..=self.tag_last).contains(tag)
    }

    /// The first set of nodes. Their addresses aren't on record.
    pub fn node_set(&self) -> NodeSet {
        let node = |node: &NodeInfo| SetNode {
            id: node.id,
            name: node.name.clone(),
            key: node.key,
            tls_spki_sha256: node.tls_spki_sha256,
            client_address: String::new(),
            peer_address: String::new(),
        };
        NodeSet::of_genesis(self.nodes.iter().map(node).collect())
    }

    /// The node of the first set with this id. Which nodes there are now says `LedgerReader::node_set`.
    pub fn node(&self, id: u64) -> Option<&NodeInfo> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// Tells whether a log that begins with this level may begin with this party.
fn check_party(party: &PartyRegistration, level: u32, test_log: bool) -> Result<(), &'static str> {
    if level < ROLES && Act::Registered(party.clone()).feature_level() > level {
        return Err("its roles, and whom it vouches for, need feature_level 3");
    }
    if level >= ROLES && party.roles.contains(Roles::AUTHOR) {
        return Err("the role author isn't given out any more: take those that its job needs");
    }
    if party.vouching.has_any() && !test_log {
        return Err("only a test log has parties that vouch for everybody: name what it vouches for");
    }
    Ok(())
}

fn node(node: &sillage_proto::v1::NodeIdentity) -> Result<NodeInfo, GenesisError> {
    let key = node.key.as_ref().filter(|key| key.alg == 1);
    let key = key.ok_or_else(|| invalid(format!("node {} has no Ed25519 key", node.id)))?;
    let key = PublicKey::from_bytes(&key.key);
    Ok(NodeInfo {
        id: node.id,
        name: node.name.clone(),
        key: key.map_err(|error| invalid(format!("node {}: {error}", node.id)))?,
        tls_spki_sha256: bytes32(&node.tls_spki_sha256, "a node's tls_spki_sha256")?,
    })
}
