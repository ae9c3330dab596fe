//! The act that changes the set of nodes, parsed from what `sillage.v1.NodeSetChanged` says.

use sillage_proof::keys::PublicKey;
use sillage_proto::v1;

use crate::check::{at_most, line, required};
use crate::error::RecordError;
use crate::limits::{ADDRESS_BYTES_MAX, NODE_NAME_BYTES_MAX, NODES_MAX};
use crate::message_keys::{TlsSpki, bytes32, key_message, parse_key};

/// A node of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetNode {
    /// Its id, from 1. No other node ever has it.
    pub id: u64,
    /// Its name. A node that takes the place of another may have the name of that one.
    pub name: String,
    /// The key that it came with: signs receipts and cosigns, until an act gives it another.
    pub key: PublicKey,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that it calls its peers with.
    pub tls_spki_sha256: TlsSpki,
    /// Where clients call it, `HOST:PORT`. Empty for a node of the genesis, until an act says it.
    pub client_address: String,
    /// Where its peers call it, `HOST:PORT`. Empty for a node of the genesis, until an act says it.
    pub peer_address: String,
}

/// New addresses of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddresses {
    /// The node.
    pub id: u64,
    /// Where clients call it, `HOST:PORT`.
    pub client_address: String,
    /// Where its peers call it, `HOST:PORT`.
    pub peer_address: String,
}

/// A change of the set of nodes, as an act of the authority says it. Every list is strictly ascending, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSetChange {
    /// Number of the new set, one more than that of the set before.
    pub epoch: u64,
    /// Nodes that are new.
    pub added: Vec<SetNode>,
    /// Nodes that are there already, at new addresses.
    pub moved: Vec<NodeAddresses>,
    /// Nodes that are gone.
    pub removed: Vec<u64>,
    /// All that count from then on.
    pub voters: Vec<u64>,
    /// Where more than one voter changes: the voters before, who count beside the new ones until the next act.
    pub voters_outgoing: Vec<u64>,
    /// All that are there and count for nothing.
    pub learners: Vec<u64>,
}

impl NodeSetChange {
    /// Parses a change. Whether it fits the set before is for [`super::NodeSet::after`].
    ///
    /// # Errors
    /// Lists that are too long or not strictly ascending, no voter, a node that is voter and learner, a key that can't be
    /// used, two new nodes with one key or certificate, names and addresses out of bounds.
    pub fn parse(message: &v1::NodeSetChanged) -> Result<Self, RecordError> {
        if message.epoch == 0 {
            return Err(RecordError::malformed("epoch", "the set of epoch 0 is the one of the genesis"));
        }
        at_most("added", message.added.len(), NODES_MAX)?;
        at_most("moved", message.moved.len(), NODES_MAX)?;
        let added = message.added.iter().enumerate().map(|(at, node)| {
            let node = added_node(node);
            node.map_err(|error| error.within(&format!("added[{at}]")))
        });
        let moved = message.moved.iter().enumerate().map(|(at, node)| {
            let node = addresses(node.id, &node.client_address, &node.peer_address);
            node.map_err(|error| error.within(&format!("moved[{at}]")))
        });
        let change = Self {
            epoch: message.epoch,
            added: added.collect::<Result<_, _>>()?,
            moved: moved.collect::<Result<_, _>>()?,
            removed: ids("removed", &message.removed)?,
            voters: ids("voters", &message.voters)?,
            voters_outgoing: ids("voters_outgoing", &message.voters_outgoing)?,
            learners: ids("learners", &message.learners)?,
        };
        ascending("added", change.added.iter().map(|node| node.id))?;
        ascending("moved", change.moved.iter().map(|node| node.id))?;
        if change.voters.is_empty() {
            return Err(RecordError::malformed("voters", "a log has at least one voter"));
        }
        let votes = |id: &&u64| change.voters.contains(id) || change.voters_outgoing.contains(id);
        if let Some(id) = change.learners.iter().find(votes) {
            return Err(RecordError::malformed("learners", format!("node {id} is a voter too")));
        }
        let twice = |same: fn(&SetNode, &SetNode) -> bool| {
            let mut nodes = change.added.iter().enumerate();
            nodes.any(|(at, node)| change.added.iter().take(at).any(|other| same(node, other)))
        };
        if twice(|one, other| one.key == other.key) {
            return Err(RecordError::malformed("added", "two nodes have one key"));
        }
        if twice(|one, other| one.tls_spki_sha256 == other.tls_spki_sha256) {
            return Err(RecordError::malformed("added", "two nodes have one certificate"));
        }
        Ok(change)
    }

    /// As it stands in a record.
    pub fn to_message(&self) -> v1::NodeSetChanged {
        let added = self.added.iter().map(|node| v1::AddedNode {
            id: node.id,
            name: node.name.clone(),
            key: Some(key_message(&node.key)),
            tls_spki_sha256: node.tls_spki_sha256.to_vec(),
            client_address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
        });
        let moved = self.moved.iter().map(|node| v1::NodeAddresses {
            id: node.id,
            client_address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
        });
        v1::NodeSetChanged {
            epoch: self.epoch,
            added: added.collect(),
            moved: moved.collect(),
            removed: self.removed.clone(),
            voters: self.voters.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners: self.learners.clone(),
        }
    }
}

fn added_node(node: &v1::AddedNode) -> Result<SetNode, RecordError> {
    required("name", &node.name)?;
    line("name", &node.name, NODE_NAME_BYTES_MAX)?;
    let NodeAddresses { id, client_address, peer_address } =
        addresses(node.id, &node.client_address, &node.peer_address)?;
    Ok(SetNode {
        id,
        name: node.name.clone(),
        key: parse_key(node.key.as_ref())?,
        tls_spki_sha256: bytes32("tls_spki_sha256", &node.tls_spki_sha256)?,
        client_address,
        peer_address,
    })
}

fn addresses(id: u64, client: &str, peer: &str) -> Result<NodeAddresses, RecordError> {
    if id == 0 {
        return Err(RecordError::malformed("id", "node ids begin at 1"));
    }
    address("client_address", client)?;
    address("peer_address", peer)?;
    Ok(NodeAddresses { id, client_address: client.to_owned(), peer_address: peer.to_owned() })
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
fn address(path: &str, text: &str) -> Result<(), RecordError> {
    let why = "not HOST:PORT, as node-4.example:7400 or [::1]:7400";
    let parts = text.rsplit_once(':').filter(|_| text.len() <= ADDRESS_BYTES_MAX);
    let (host, port) = parts.ok_or_else(|| RecordError::malformed(path, why))?;
    let named = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let host_holds = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && named(host),
    };
    // One way to write a number: what is signed has no second form.
    let port_holds = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    match host_holds && port_holds {
        true => Ok(()),
        false => Err(RecordError::malformed(path, why)),
    }
}

fn ids(path: &str, ids: &[u64]) -> Result<Vec<u64>, RecordError> {
    at_most(path, ids.len(), NODES_MAX)?;
    ascending(path, ids.iter().copied())?;
    Ok(ids.to_vec())
}

fn ascending(path: &str, ids: impl Iterator<Item = u64>) -> Result<(), RecordError> {
    let mut last = 0;
    for id in ids {
        if id <= last {
            return Err(RecordError::malformed(path, "ids are strictly ascending, from 1: each node stands once"));
        }
        last = id;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sillage_proof::keys::SigningKey;

    use super::*;

    fn change() -> NodeSetChange {
        let node = |id: u8| SetNode {
            id: id.into(),
            name: format!("node-{id}"),
            key: SigningKey::from_seed(&[id; 32]).public_key(),
            tls_spki_sha256: [id; 32],
            client_address: format!("node-{id}.example:7400"),
            peer_address: "[::1]:7500".to_owned(),
        };
        let moved =
            NodeAddresses { id: 1, client_address: "10.0.0.1:1".to_owned(), peer_address: "a-b.c:65535".to_owned() };
        NodeSetChange {
            epoch: 3,
            added: vec![node(4), node(5)],
            moved: vec![moved],
            removed: vec![3],
            voters: vec![1, 2, 4],
            voters_outgoing: vec![],
            learners: vec![5],
        }
    }

    #[test]
    fn a_change_survives_its_message() {
        assert_eq!(NodeSetChange::parse(&change().to_message()), Ok(change()));
    }

    #[test]
    fn what_cannot_be_understood_names_its_field() {
        let path = |alter: fn(&mut v1::NodeSetChanged)| {
            let mut message = change().to_message();
            alter(&mut message);
            NodeSetChange::parse(&message).expect_err("one field is wrong").path
        };
        assert_eq!(path(|m| m.epoch = 0), "epoch");
        assert_eq!(path(|m| m.voters.clear()), "voters");
        assert_eq!(path(|m| m.voters = vec![2, 1]), "voters");
        assert_eq!(path(|m| m.voters = vec![0, 1]), "voters");
        assert_eq!(path(|m| m.voters_outgoing = vec![1, 1]), "voters_outgoing");
        assert_eq!(path(|m| m.removed = vec![3, 3]), "removed");
        assert_eq!(path(|m| m.learners = vec![4]), "learners");
        assert_eq!(path(|m| m.learners = (1..=33).collect()), "learners");
        assert_eq!(path(|m| m.added.swap(0, 1)), "added");
        assert_eq!(path(|m| m.added[1].id = 4), "added");
        assert_eq!(path(|m| m.added[1].key = m.added[0].key.clone()), "added");
        assert_eq!(path(|m| m.added[1].tls_spki_sha256 = vec![4; 32]), "added");
        assert_eq!(path(|m| m.added[1].tls_spki_sha256 = vec![4; 31]), "added[1].tls_spki_sha256");
        assert_eq!(path(|m| m.added[0].key = None), "added[0].key");
        assert_eq!(path(|m| m.added[0].name.clear()), "added[0].name");
        assert_eq!(path(|m| m.added[0].name = "a\nb".to_owned()), "added[0].name");
        assert_eq!(path(|m| m.moved.push(m.moved[0].clone())), "moved");
        assert_eq!(path(|m| m.moved[0].id = 0), "moved[0].id");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["node-4.example:7400", "10.0.0.1:1", "[::1]:7400", "[2001:db8::1]:65535"] {
            assert_eq!(address("at", good), Ok(()), "{good}");
        }
        let long = format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX));
        let bad = ["", "host", ":1", "host:", "host:0", "host:65536", "host:01", "host:+1", "a b:1", "https://a:1"];
        for bad in bad.into_iter().chain(["a/b:1", "::1:7400", "[::1:7400", "[host]:1", "ho\u{e9}st:1", &long]) {
            assert!(address("at", bad).is_err(), "{bad}");
        }
    }
}
