//! Between nodes: Raft's messages, batches for the leader, checkpoints, snapshot files, status.
//!
//! Start with [`routes`], what a node answers on its peer port; [`links`] are the ways to the other nodes and
//! [`transport`] carries Raft's messages over them. Only the nodes of the present node set get through the TLS
//! handshake; each call checks again.

pub mod fetch;
pub mod links;
mod serve;
pub mod transport;

use std::sync::Arc;

use sillage_proto::internal::v1::peer_server::PeerServer;
use tonic::service::Routes;

use crate::core::Core;

/// What is answered on the peer port.
pub fn routes(core: Arc<Core>) -> Routes {
    let bytes_max = core.config().limits.peer_message_bytes_max;
    let service = PeerServer::new(serve::PeerService::new(core))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    Routes::new(service)
}
