//! `/metrics` and `/healthz`, beside gRPC on the client port: for operators, by the certificate that they call with.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;

use crate::core::alarms::Raised;
use crate::core::refusals::to_status;
use crate::metrics::Metrics;
use crate::tls::Caller;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`: nothing is wrong; `warning`: it serves, and somebody has to act; `failing`: it serves less than it should;
    /// `no_leader`: it waits for one; `stopped`: it takes no part in the group; `corrupt`: its state can't be trusted and
    /// it serves nothing.
    pub status: String,
    /// What is wrong where it is `corrupt` or `stopped`.
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
    /// Everything that is wrong; none while the status is `ok`.
    #[serde(default)]
    pub alarms: Vec<Raised>,
}

impl Health {
    /// Whether the node does all that it should. One that only warns does.
    pub fn serves(&self) -> bool {
        matches!(self.status.as_str(), "ok" | "warning")
    }
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

/// Requests at once on the port for load balancers; more wait.
const HEALTH_AT_ONCE_MAX: usize = 64;

/// `/healthz` for load balancers, over plain HTTP and for whoever asks: 200 with `ok` where the node serves, else 503 with
/// `failing`. It says nothing of the log, the group or the alarms.
pub async fn serve_health(
    port: tokio::net::TcpListener,
    backend: Arc<dyn Backend>,
    stopped: impl Future<Output = ()> + Send + 'static,
) {
    let routes = Router::new().route("/healthz", get(say_health)).with_state(backend);
    let routes = routes.layer(tower::limit::GlobalConcurrencyLimitLayer::new(HEALTH_AT_ONCE_MAX));
    if let Err(error) = axum::serve(port, routes).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the port for load balancers stopped");
    }
}

async fn say_health(State(backend): State<Arc<dyn Backend>>) -> Response {
    match backend.health().serves() {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing\n").into_response(),
    }
}

/// What tells how a node is: the two pages, and what `sillage cluster status` calls.
fn is_monitoring(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz" | "/sillage.v1.Ledger/GetLog" | "/sillage.v1.Ledger/ClusterStatus")
}

/// Answers `BUSY` to what a connection of the reserve may not ask.
pub async fn keep_to_monitoring(request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    match caller.is_some_and(|caller| caller.monitoring_only) && !is_monitoring(request.uri().path()) {
        false => next.run(request).await,
        true => {
            let message = "this caller has as many connections as it may: close those that aren't used";
            let busy: axum::http::Response<tonic::body::Body> =
                to_status(&Refusal::new(Code::Busy, message)).into_http();
            busy.map(axum::body::Body::new)
        }
    }
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
    let code = match health.serves() {
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
    use sillage_rules::time::TimeMs;
    use tower::ServiceExt as _;

    use super::*;

    struct Fixed {
        status: &'static str,
    }

    impl Backend for Fixed {
        fn is_operator(&self, caller: &Caller) -> bool {
            caller.spki_sha256 == [1; 32]
        }

        fn health(&self) -> Health {
            let alarms = match self.status {
                "ok" | "no_leader" => Vec::new(),
                _ => vec![Raised { word: "A_WORD".to_owned(), since: TimeMs(0), what: "what to do".to_owned() }],
            };
            Health {
                status: self.status.to_owned(),
                reason: String::new(),
                node: 2,
                role: "follower".to_owned(),
                leader: u64::from(self.status != "no_leader"),
                term: 3,
                commit: 9,
                applied: 9,
                tree_size: 5,
                alarms,
            }
        }
    }

    async fn get_page(path: &str, status: &'static str, spki: Option<[u8; 32]>) -> (StatusCode, String) {
        let router = routes(Arc::new(Fixed { status }), Metrics::new(2));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(spki_sha256) = spki {
            let address = "127.0.0.1:1".parse().unwrap();
            request.extensions_mut().insert(Caller { spki_sha256, address, monitoring_only: false });
        }
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn operators_see_the_pages_and_nobody_else() {
        for path in ["/metrics", "/healthz"] {
            let (status, body) = get_page(path, "ok", Some([1; 32])).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(!body.is_empty());
            for stranger in [None, Some([2; 32])] {
                let answer = get_page(path, "ok", stranger).await;
                assert_eq!(answer, (StatusCode::FORBIDDEN, String::new()));
            }
        }
    }

    #[tokio::test]
    async fn a_connection_of_the_reserve_asks_how_the_node_is_and_nothing_else() {
        let router = Router::new()
            .route("/healthz", get(|| async { "well" }))
            .route("/sillage.v1.Ledger/Submit", get(|| async { "recorded" }))
            .layer(axum::middleware::from_fn(keep_to_monitoring));
        let ask = |path: &'static str, monitoring_only| {
            let mut request = Request::get(path).body(Body::empty()).unwrap();
            let address = "127.0.0.1:1".parse().unwrap();
            request.extensions_mut().insert(Caller { spki_sha256: [1; 32], address, monitoring_only });
            let router = router.clone();
            async move { router.oneshot(request).await.unwrap().headers().get("grpc-status").cloned() }
        };
        let submit = "/sillage.v1.Ledger/Submit";
        assert_eq!((ask("/healthz", true).await, ask(submit, false).await), (None, None));
        assert_eq!(ask(submit, true).await.unwrap(), "8", "RESOURCE_EXHAUSTED");
    }

    #[tokio::test]
    async fn without_a_leader_a_node_is_not_healthy() {
        let (status, body) = get_page("/healthz", "no_leader", Some([1; 32])).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"status\":\"no_leader\""), "{body}");
    }

    #[tokio::test]
    async fn what_is_wrong_is_listed_and_only_a_warning_leaves_a_node_healthy() {
        for (said, code) in [
            ("warning", StatusCode::OK),
            ("failing", StatusCode::SERVICE_UNAVAILABLE),
            ("stopped", StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let (status, body) = get_page("/healthz", said, Some([1; 32])).await;
            assert_eq!(status, code, "{said}");
            let alarm = r#""alarms":[{"word":"A_WORD","since":"1970-01-01T00:00:00Z","what":"what to do"}]"#;
            assert!(body.contains(alarm), "{body}");
        }
    }

    #[tokio::test]
    async fn a_load_balancer_learns_whether_the_node_serves_and_nothing_else() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for (status, code, body) in [
            ("ok", "200", "ok\n"),
            ("warning", "200", "ok\n"),
            ("failing", "503", "failing\n"),
            ("no_leader", "503", "failing\n"),
            ("corrupt", "503", "failing\n"),
        ] {
            let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = port.local_addr().expect("bound");
            let serving = tokio::spawn(serve_health(port, Arc::new(Fixed { status }), std::future::pending()));
            let ask = async |path: &str| {
                let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
                let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).await.expect("sent");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.expect("an answer");
                answer
            };
            let answer = ask("/healthz").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.ends_with(body), "{answer}");
            assert!(!answer.contains("A_WORD") && !answer.contains("what to do"), "{answer}");
            for hidden in ["/metrics", "/", "/sillage.v1.Ledger/GetLog"] {
                assert!(ask(hidden).await.starts_with("HTTP/1.1 404 "), "{hidden}");
            }
            serving.abort();
        }
    }
}
