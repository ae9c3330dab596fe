//! Membership: the nodes of the group as they come and go.
//!
//! Where to start reading: [`members`] for how the set of nodes is followed and changed, a step at a time ([`member_steps`]);
//! [`find_group`] for a node that was away so long that nobody it knows is left; [`give_keys`] for what a new node is given.

pub(in crate::core) mod find_group;
mod give_keys;
mod member_steps;
pub(in crate::core) mod members;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sillage_proof::keys::SigningKey;
use sillage_rules::node_set::NodeSet;
use tokio::time::Instant;

use super::Core;
use crate::peer::transport::PeerTransport;
use crate::tls::pin::Pins;
use crate::tls::{self, SpkiSha256, TlsError};

/// The tools of membership. Its fields are used in this folder alone.
///
/// Locks, in the order in which they are taken:
///
/// 1. `changing`: held over one operator's change and its calls to other nodes;
/// 2. `refused`, `proven`, `leads_since`, `heirs`, `next_log_keys` and the list of pins: each held for one look or one change.
pub(super) struct Membership {
    /// Certificates of the present nodes.
    pins: Pins,
    transport: Weak<PeerTransport>,
    /// One operator's change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Why the leader's last step was refused.
    refused: Mutex<Option<String>>,
    /// A set of nodes that was proven to this node, as long as its ledger hasn't come that far.
    proven: Mutex<Option<NodeSet>>,
    /// Since when this node leads, and in which term.
    leads_since: Mutex<Option<(u64, Instant)>>,
    /// The nodes that this node, which was removed, asked to lead.
    heirs: Mutex<members::Heirs>,
    /// The log's next keys that were given out, by the set's epoch and the node that was to leave.
    next_log_keys: Mutex<BTreeMap<(u64, u64), SigningKey>>,
}

impl Membership {
    pub(super) fn new(pins: Pins, transport: Weak<PeerTransport>) -> Self {
        let (changing, refused, proven, leads_since, heirs, next_log_keys) = Default::default();
        Self { pins, transport, changing, refused, proven, leads_since, heirs, next_log_keys }
    }
}

impl Core {
    /// The node that has a certificate.
    pub fn node_of_spki(&self, spki: &SpkiSha256) -> Option<u64> {
        self.membership.pins.id_of(spki)
    }

    /// The peer port's side of TLS: it takes the present nodes alone, whoever they are at each handshake.
    ///
    /// # Errors
    /// When certificate and key don't go together.
    pub fn peer_tls(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls::server_config(self.links.identity(), Some(self.membership.pins.clone()))
    }
}
