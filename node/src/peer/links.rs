//! The ways to the other nodes: three connections each, made when first used.
//!
//! Raft's messages, calls and snapshot files each have their own, so that a large batch or a snapshot never stands
//! before a heartbeat.

use std::collections::BTreeMap;

use sillage_proto::internal::v1::peer_client::PeerClient;
use tonic::transport::Channel;

use crate::config::NodeConfig;
use crate::tls::{self, Identity, SpkiSha256, TlsError, dial};

/// A gRPC client of another node.
pub type Client = PeerClient<Channel>;

/// Another node.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its id.
    pub id: u64,
    /// `host:port` as operators know it: its client port, or its peer port where that isn't configured.
    pub address: String,
    /// For Raft's messages alone.
    pub raft: Client,
    /// For calls: forwarding, checkpoints, status.
    pub calls: Client,
    /// For files of snapshots.
    pub files: Client,
}

/// All other nodes.
#[derive(Clone, Debug, Default)]
pub struct Links {
    by_id: BTreeMap<u64, Link>,
}

impl Links {
    /// To the configured peers, each pinned to the certificate that the genesis entry gives its id.
    ///
    /// # Errors
    /// When a peer isn't in the genesis entry, or has no usable address.
    pub fn new(
        config: &NodeConfig,
        identity: &Identity,
        pin_of: impl Fn(u64) -> Option<SpkiSha256>,
    ) -> Result<Self, TlsError> {
        let mut by_id = BTreeMap::new();
        for peer in config.other_peers() {
            let id = peer.id;
            let pin =
                pin_of(id).ok_or_else(|| TlsError::Config(format!("peer {id} is not a node of the genesis entry")))?;
            let tls = tls::client_config(identity, Some(pin))?;
            let name = format!("node-{id}");
            let bytes_max = config.limits.peer_message_bytes_max;
            let client = || -> Result<Client, TlsError> {
                let channel = dial::channel(&peer.address, &name, tls.clone())?;
                Ok(PeerClient::new(channel).max_decoding_message_size(bytes_max).max_encoding_message_size(bytes_max))
            };
            let address = match peer.client_address.is_empty() {
                true => peer.address.clone(),
                false => peer.client_address.clone(),
            };
            let link = Link { id, address, raft: client()?, calls: client()?, files: client()? };
            by_id.insert(id, link);
        }
        Ok(Self { by_id })
    }

    /// The way to node `id`.
    pub fn get(&self, id: u64) -> Option<&Link> {
        self.by_id.get(&id)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_id.values()
    }
}
