//! The ways to the other nodes: three connections each, made when first used.
//!
//! Raft's messages, calls and snapshot files each have their own, so that a large batch or a snapshot never stands
//! before a heartbeat. The ways to other nodes follow the node set of the log ([`Links::follow`]); where the log names
//! no address for a node, as for those of the genesis entry, node.toml does.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use sillage_proto::internal::v1::peer_client::PeerClient;
use tonic::transport::Channel;

use crate::config::NodeConfig;
use crate::tls::{self, Identity, SpkiSha256, TlsError, dial};

/// A gRPC client of another node.
pub type Client = PeerClient<Channel>;

/// Where a node is found, and the certificate that it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: u64,
    /// The only certificate that is taken for it.
    pub pin: SpkiSha256,
    /// `host:port` of its peer port; empty: as node.toml says.
    pub peer_address: String,
    /// `host:port` of its client port; empty: as node.toml says.
    pub client_address: String,
}

/// Another node.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its id.
    pub id: u64,
    /// `host:port` as operators know it: its client port, or its peer port where that isn't configured.
    pub address: String,
    /// `host:port` of its peer port.
    pub peer_address: String,
    /// For Raft's messages alone.
    pub raft: Client,
    /// For calls: forwarding, checkpoints, status.
    pub calls: Client,
    /// For files of snapshots.
    pub files: Client,
    /// Rises with each way that is made: another number is another connection.
    pub made: u64,
}

/// All other nodes.
pub struct Links {
    identity: Identity,
    own: u64,
    bytes_max: usize,
    configured: BTreeMap<u64, (String, String)>,
    ways: RwLock<Ways>,
}

#[derive(Default)]
struct Ways {
    by_id: BTreeMap<u64, (Place, Link)>,
    made: u64,
}

impl Links {
    /// To nobody yet.
    pub fn new(config: &NodeConfig, identity: Identity) -> Self {
        let configured = config.other_peers();
        let configured =
            configured.map(|peer| (peer.id, (peer.address.clone(), peer.client_address.clone()))).collect();
        let bytes_max = config.limits.peer_message_bytes_max;
        Self { identity, own: config.id, bytes_max, configured, ways: RwLock::default() }
    }

    /// The certificate and key that this node shows.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// From now on there is a way to each of these nodes but this one, and to no other. A way whose place didn't change
    /// stays open. A node without any address is left out, and so is one whose address is none: that is said.
    pub fn follow(&self, nodes: impl IntoIterator<Item = Place>) {
        let mut ways = self.ways.write();
        let mut by_id = BTreeMap::new();
        for node in nodes {
            if node.id == self.own {
                continue;
            }
            let place = self.resolved(node);
            let known = ways.by_id.remove(&place.id).filter(|(known, _)| *known == place);
            let way = match known {
                Some(way) => way,
                None if place.peer_address.is_empty() => {
                    tracing::warn!(
                        node = place.id,
                        "no address of this node is known: name it under [[peers]] in node.toml"
                    );
                    continue;
                }
                None => {
                    ways.made += 1;
                    match self.link(&place, ways.made) {
                        Ok(link) => (place, link),
                        Err(error) => {
                            tracing::error!(node = place.id, %error, "there is no way to this node");
                            continue;
                        }
                    }
                }
            };
            by_id.insert(way.0.id, way);
        }
        ways.by_id = by_id;
    }

    fn resolved(&self, mut node: Place) -> Place {
        if let Some((address, client_address)) = self.configured.get(&node.id) {
            if node.peer_address.is_empty() {
                node.peer_address.clone_from(address);
            }
            if node.client_address.is_empty() {
                node.client_address.clone_from(client_address);
            }
        }
        node
    }

    fn link(&self, place: &Place, made: u64) -> Result<Link, TlsError> {
        let tls = tls::client_config(&self.identity, Some(place.pin))?;
        let name = format!("node-{}", place.id);
        let client = || client(&place.peer_address, &name, &tls, self.bytes_max);
        let address = match place.client_address.is_empty() {
            true => place.peer_address.clone(),
            false => place.client_address.clone(),
        };
        let peer_address = place.peer_address.clone();
        Ok(Link { id: place.id, address, peer_address, raft: client()?, calls: client()?, files: client()?, made })
    }

    /// The way to node `id`.
    pub fn get(&self, id: u64) -> Option<Link> {
        self.ways.read().by_id.get(&id).map(|(_, link)| link.clone())
    }

    /// How many other nodes there is a way to.
    pub fn len(&self) -> usize {
        self.ways.read().by_id.len()
    }

    /// Tells whether this node is alone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All, by id, as they are now.
    pub fn iter(&self) -> std::vec::IntoIter<Link> {
        let links: Vec<Link> = self.ways.read().by_id.values().map(|(_, link)| link.clone()).collect();
        links.into_iter()
    }
}

/// A client of the peer port at `address`, whose certificate must carry `name`.
///
/// # Errors
/// When the address isn't one.
pub fn client(
    address: &str,
    name: &str,
    tls: &std::sync::Arc<rustls::ClientConfig>,
    bytes_max: usize,
) -> Result<Client, TlsError> {
    let channel = dial::channel(address, name, std::sync::Arc::clone(tls))?;
    Ok(PeerClient::new(channel).max_decoding_message_size(bytes_max).max_encoding_message_size(bytes_max))
}
