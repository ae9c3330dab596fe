//! The witness over HTTP/1.1.
//!
//! ```text
//! POST /add-checkpoint                        c2sp.org/tlog-witness
//! GET  /<SHA-256 of the origin>/checkpoint    what was cosigned last, for monitors
//! GET  /metrics                               sizes, and whether two histories were shown
//! ```
//!
//! Plain HTTP: what is said is public and signed. On the open Internet a reverse proxy adds TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::request::BODY_BYTES_MAX;
use super::{Answer, Witness};
use sillage_client::error::ClientError;

/// Connections at a time; more wait for one to end.
const CONNECTIONS_MAX: usize = 256;
/// A request has to be there, and a connection to be used again, within this time.
const READ_TIME: Duration = Duration::from_secs(10);
/// A connection lives at most this long: whoever is slow can't hold one for good.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// After an error of the listener (too many open files), so that it isn't asked in a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Reply = Response<Full<Bytes>>;

/// A bound port.
pub struct Server {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Binds a port.
    ///
    /// # Errors
    /// When the address can't be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, ClientError> {
        let cannot = |error: std::io::Error| ClientError::Usage(format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address })
    }

    /// Answers until `stop` is ready.
    pub async fn run(self, witness: Arc<Witness>, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::pin!(stop);
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&room).acquire_owned() => permit,
                () = &mut stop => return,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let witness = Arc::clone(&witness);
            tokio::spawn(async move {
                let _permit = permit;
                let service = service_fn(move |request| handle(Arc::clone(&witness), request));
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(READ_TIME).max_buf_size(64 << 10);
                let connection = http.serve_connection(TokioIo::new(stream), service);
                // A caller that breaks off is no concern of others.
                let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            });
        }
    }
}

async fn handle(witness: Arc<Witness>, request: Request<Incoming>) -> Result<Reply, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let reply = match path.as_str() {
        "/add-checkpoint" if method == Method::POST => add_checkpoint(witness, request.into_body()).await,
        "/add-checkpoint" => text(StatusCode::METHOD_NOT_ALLOWED, "POST only\n"),
        _ if method != Method::GET && method != Method::HEAD => text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        "/metrics" => text(StatusCode::OK, &witness.metrics()),
        path => monitored(&witness, path),
    };
    Ok(reply)
}

async fn add_checkpoint(witness: Arc<Witness>, body: Incoming) -> Reply {
    let body = tokio::time::timeout(READ_TIME, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n");
        }
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body was cut short\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n"),
    };
    // A synced write: not on the thread that serves the others.
    let answer = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now_s())).await;
    match answer {
        Ok(answer) => reply(answer),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed: look at its log\n"),
    }
}

fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Cosigned(line) => text(StatusCode::OK, &line),
        Answer::Malformed(why) => text(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        Answer::NotSigned(why) => text(StatusCode::FORBIDDEN, &format!("{why}\n")),
        Answer::UnknownLog => text(StatusCode::NOT_FOUND, "this witness does not know the log\n"),
        Answer::Inconsistent(why) => text(StatusCode::UNPROCESSABLE_ENTITY, &format!("{why}\n")),
        Answer::Conflict(size) => {
            let mut reply = text(StatusCode::CONFLICT, &format!("{size}\n"));
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/x.tlog.size"));
            reply
        }
        Answer::Broken(why) => {
            tracing::error!(%why, "nothing was cosigned");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot store what it would cosign\n")
        }
    }
}

fn monitored(witness: &Witness, path: &str) -> Reply {
    let origin_hash = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
    match origin_hash.and_then(|hash| witness.latest(hash)) {
        Some(note) => text(StatusCode::OK, &note),
        None => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn text(status: StatusCode, body: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body.to_owned())));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
