//! The calls of services, patients, auditors and operators (`sillage.v1.Ledger`), and those of the other nodes (`peer`).
//!
//! A request is read by [`intake`]. Each call finds out who calls ([`caller`]), whether that party's roles allow it, and passes it on to the core. Every
//! refusal is a status whose details are one `ErrorInfo`, also where gRPC itself refuses ([`status`]).

mod caller;
mod consent;
mod doors;
pub(crate) mod intake;
mod ledger;
mod lookup;
mod peer;
mod reading;
mod status;
mod voided;

use std::sync::Arc;

use sillage_proto::internal::v1::peer_server::PeerServer;
use sillage_proto::v1::ledger_server::LedgerServer;
use tonic::service::Routes;

use crate::core::Core;

/// The calls that are answered on the client port.
pub fn routes(core: Arc<Core>) -> Routes {
    let bytes_max = core.config().limits.request_bytes_max;
    let service = ledger::LedgerService::new(Arc::clone(&core));
    let service = LedgerServer::new(service).max_decoding_message_size(bytes_max);
    let router = Routes::new(service).into_axum_router();
    let router = router.layer(axum::middleware::from_fn_with_state(core, intake::take_in));
    Routes::from(router.layer(axum::middleware::from_fn(status::explain)))
}

/// The calls that are answered on the peer port. Only the nodes of the present node set get through the TLS handshake; each call checks again.
pub fn peer_routes(core: Arc<Core>) -> Routes {
    let bytes_max = core.config().limits.peer_message_bytes_max;
    let service = PeerServer::new(peer::PeerService::new(core))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    Routes::new(service)
}
