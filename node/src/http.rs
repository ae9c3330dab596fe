//! `/metrics` and `/healthz`, beside gRPC on the client port: for operators, by the certificate that they call with.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;
use crate::tls::Caller;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`: it serves; `no_leader`: it waits for one; `corrupt`: its state can't be trusted and it serves nothing.
    pub status: String,
    /// What is wrong where it is `corrupt`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// This node.
    pub node: u64,
    /// `leader`, `follower` or `candidate`.
    pub role: String,
    /// 0 = none known.
    pub leader: u64,
    /// Raft term.
    pub term: u64,
    /// Highest Raft index known to be committed.
    pub commit: u64,
    /// Highest Raft index applied.
    pub applied: u64,
    /// Leaves of the log tree here.
    pub tree_size: u64,
}

/// What the pages ask of the server.
pub trait Backend: Send + Sync + 'static {
    /// Whether the caller is an operator of this log.
    fn is_operator(&self, caller: &Caller) -> bool;

    /// How the node is now. Also brings the gauges of `/metrics` up to date.
    fn health(&self) -> Health;
}

#[derive(Clone)]
struct Pages {
    backend: Arc<dyn Backend>,
    metrics: Metrics,
}

impl Pages {
    fn admits(&self, caller: Option<Extension<Caller>>) -> bool {
        caller.is_some_and(|Extension(caller)| self.backend.is_operator(&caller))
    }
}

/// The two pages. Anyone but an operator gets an empty 403.
pub fn routes(backend: Arc<dyn Backend>, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .with_state(Pages { backend, metrics })
}

async fn show_metrics(State(pages): State<Pages>, caller: Option<Extension<Caller>>) -> Response {
    if !pages.admits(caller) {
        return StatusCode::FORBIDDEN.into_response();
    }
    pages.backend.health();
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], pages.metrics.render()).into_response()
}

async fn show_health(State(pages): State<Pages>, caller: Option<Extension<Caller>>) -> Response {
    if !pages.admits(caller) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let health = pages.backend.health();
    let code = match health.status == "ok" {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let json = serde_json::to_string(&health);
    let json = json.expect("invariant: a health report has a JSON form");
    (code, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    struct Fixed {
        leader: u64,
    }

    impl Backend for Fixed {
        fn is_operator(&self, caller: &Caller) -> bool {
            caller.spki_sha256 == [1; 32]
        }

        fn health(&self) -> Health {
            let status = if self.leader == 0 { "no_leader" } else { "ok" };
            Health {
                status: status.to_owned(),
                reason: String::new(),
                node: 2,
                role: "follower".to_owned(),
                leader: self.leader,
                term: 3,
                commit: 9,
                applied: 9,
                tree_size: 5,
            }
        }
    }

    async fn get_page(path: &str, leader: u64, spki: Option<[u8; 32]>) -> (StatusCode, String) {
        let router = routes(Arc::new(Fixed { leader }), Metrics::new(2));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(spki_sha256) = spki {
            let address = "127.0.0.1:1".parse().unwrap();
            request.extensions_mut().insert(Caller { spki_sha256, address });
        }
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn operators_see_the_pages_and_nobody_else() {
        for path in ["/metrics", "/healthz"] {
            let (status, body) = get_page(path, 1, Some([1; 32])).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(!body.is_empty());
            for stranger in [None, Some([2; 32])] {
                let answer = get_page(path, 1, stranger).await;
                assert_eq!(answer, (StatusCode::FORBIDDEN, String::new()));
            }
        }
    }

    #[tokio::test]
    async fn without_a_leader_a_node_is_not_healthy() {
        let (status, body) = get_page("/healthz", 0, Some([1; 32])).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"status\":\"no_leader\""), "{body}");
    }
}
