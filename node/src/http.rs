//! `/metrics` and `/healthz`, beside gRPC on the client port: for operators, by the certificate that they call with.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use sillage_rules::time::TimeMs;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::metrics::Metrics;
use crate::refusals::to_status;
use crate::tls::Caller;

/// An alarm that is raised, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// Its word, which never changes its meaning.
    pub word: String,
    /// Since when.
    pub since: TimeMs,
    /// The fault and the way out, with what this node found.
    pub what: String,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`: nothing is wrong; `warning`: it serves, and somebody has to act; `failing`: it serves less than it should;
    /// `no_leader`: it waits for one; `stopping`: it was told to stop; `stopped`: it takes no part in the group; `corrupt`: its state can't be trusted and
    /// it serves nothing.
    pub status: String,
    /// The fault where it is `corrupt`, `stopped` or `stopping`.
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
    /// Tells whether the node does all that it should. One that only warns does.
    pub fn serves(&self) -> bool {
        matches!(self.status.as_str(), "ok" | "warning")
    }
}

/// The part of the server that the pages ask.
pub trait Backend: Send + Sync + 'static {
    /// Tells whether the caller is an operator of this log.
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

/// Connections at once on the port for load balancers: the database and the peers need file descriptors too.
const HEALTH_CONNECTIONS_MAX: usize = 64;
/// A connection there ends after this time, whether anything was asked or not.
const HEALTH_CONNECTION_TIME: Duration = Duration::from_secs(5);
/// After an error of the listener (too many open files), so that it isn't asked in a loop.
const HEALTH_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `/healthz` for load balancers, over plain HTTP and for whoever asks: 200 with `ok` where the node serves, else 503 with
/// `failing`. It says nothing of the log, the group or the alarms.
///
/// A caller that opens connections and says nothing takes nothing from the node, and shuts nobody out: a connection
/// answers one question within a few seconds, and when too many are open, the oldest makes room for the newest.
pub async fn serve_health(
    port: tokio::net::TcpListener,
    backend: Arc<dyn Backend>,
    stopped: impl Future<Output = ()> + Send + 'static,
) {
    let room = Arc::new(Semaphore::new(HEALTH_CONNECTIONS_MAX));
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = port.accept() => accepted,
            () = &mut stopped => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(HEALTH_ACCEPT_PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= HEALTH_CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // The one that was told to end lets go of its place in a moment.
        let place = Arc::clone(&room).acquire_owned().await;
        let backend = Arc::clone(&backend);
        let connection = tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request: http::Request<Incoming>| {
                let reply = say_health(&*backend, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(reply) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEALTH_CONNECTION_TIME).keep_alive(false);
            http.max_buf_size(8 << 10);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A caller that breaks off is no concern of others.
            let _ = tokio::time::timeout(HEALTH_CONNECTION_TIME, connection).await;
        });
        open.push_back(connection.abort_handle());
    }
}

fn say_health(backend: &dyn Backend, method: &Method, path: &str) -> http::Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" if !matches!(*method, Method::GET | Method::HEAD) => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        "/healthz" if backend.health().serves() => (StatusCode::OK, "ok\n"),
        "/healthz" => (StatusCode::SERVICE_UNAVAILABLE, "failing\n"),
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut reply = http::Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// Paths that tell how a node is: the two pages, and what `sillage cluster status` calls.
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
    async fn connections_that_stay_open_shut_no_load_balancer_out_and_end() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use tokio::net::TcpStream;
        use tokio::time::timeout;
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = port.local_addr().expect("bound");
        let serving = tokio::spawn(serve_health(port, Arc::new(Fixed { status: "ok" }), std::future::pending()));
        let mut idle = Vec::new();
        for _ in 0..100 {
            idle.push(TcpStream::connect(address).await.expect("connected"));
        }
        // A closed connection ends, or is reset.
        let ends = async |stream: &mut TcpStream, within: u64| {
            let mut rest = Vec::new();
            timeout(Duration::from_secs(within), stream.read_to_end(&mut rest)).await.is_ok()
        };
        assert!(ends(&mut idle[0], 3).await, "the oldest makes room for the newest");
        let mut asking = TcpStream::connect(address).await.expect("connected");
        asking.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        let answered = timeout(Duration::from_secs(3), asking.read_to_string(&mut answer)).await;
        assert!(answered.is_ok() && answer.ends_with("ok\n"), "{answer}");
        // Neither silence nor half a question keeps a connection.
        let mut half = TcpStream::connect(address).await.expect("connected");
        half.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.expect("sent");
        assert!(ends(&mut half, 15).await && ends(&mut idle[99], 15).await);
        serving.abort();
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
