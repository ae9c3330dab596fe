//! The calls of services, patients, auditors and operators: `sillage.v1.Ledger`.
//!
//! A request is read by [`intake`]. Each call finds out who calls ([`caller`]), whether that party's roles allow it, and passes it on to the core. Every
//! refusal is a status whose details are one `ErrorInfo`, also where gRPC itself refuses ([`status`]).

mod caller;
mod consent;
mod doors;
pub(crate) mod intake;
mod ledger;
mod lookup;
mod reading;
mod status;
mod voided;

use std::sync::Arc;

use sillage_proto::v1::ledger_server::LedgerServer;
use tonic::service::Routes;

use crate::core::Core;

/// What is answered on the client port.
pub fn routes(core: Arc<Core>) -> Routes {
    let bytes_max = core.config().limits.request_bytes_max;
    let service = ledger::LedgerService::new(Arc::clone(&core));
    let service = LedgerServer::new(service).max_decoding_message_size(bytes_max);
    let router = Routes::new(service).into_axum_router();
    let router = router.layer(axum::middleware::from_fn_with_state(core, intake::take_in));
    Routes::from(router.layer(axum::middleware::from_fn(status::explain)))
}
