//! The way to the nodes: gRPC over mutual TLS, several endpoints, one deadline.
//!
//! Every call may be repeated: reads change nothing, and a batch is recorded exactly once however often it arrives. So
//! a call goes to the node that answered last, moves on to the next one when that fails, and gives up when the total
//! time is over.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sillage_proto::v1::ledger_client::LedgerClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

use crate::error::{ClientError, Verdict, verdict};
use crate::profile::{Profile, read};

/// A generated gRPC client, over one node's connection.
pub type Rpc = LedgerClient<Channel>;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// One attempt at one node.
    pub attempt: Duration,
    /// All attempts together.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(8), total: Duration::from_secs(30) }
    }
}

/// Largest message in either direction, bytes: a full batch and its envelope, a full page of a trace.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The ledger, seen from outside. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    nodes: Arc<[Node]>,
    preferred: Arc<AtomicUsize>,
    timeouts: Timeouts,
}

struct Node {
    address: String,
    rpc: Rpc,
}

/// A call's answer, and whether an earlier attempt may have been received without an answer coming back.
#[derive(Debug)]
pub struct Answered<T> {
    /// The final answer.
    pub result: Result<T, ClientError>,
    /// Some attempt before ended without an answer from the ledger.
    pub doubtful_before: bool,
}

impl Client {
    /// Prepares connections to every node of the profile; they are made when the first call needs them.
    ///
    /// # Errors
    /// When certificates or keys can't be read, or an endpoint isn't an address.
    pub fn new(profile: &Profile, timeouts: Timeouts) -> Result<Self, ClientError> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&profile.ca)?))
            .identity(Identity::from_pem(read(&profile.cert)?, read(&profile.key)?))
            .domain_name(profile.server_name.clone());
        let nodes: Result<Vec<Node>, ClientError> =
            profile.endpoints.iter().map(|address| node(address, &tls, timeouts)).collect();
        Ok(Self { nodes: nodes?.into(), preferred: Arc::new(AtomicUsize::new(0)), timeouts })
    }

    /// Calls the ledger: the preferred node first, the others as needed.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] as soon as a node refuses; [`ClientError::Unavailable`] when the time is over.
    pub async fn call<T, F, Fut>(&self, request: F) -> Result<T, ClientError>
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_answered(request).await.result
    }

    /// Like [`Client::call`], and says whether the answer is to the first attempt that the ledger can have seen.
    pub async fn call_answered<T, F, Fut>(&self, request: F) -> Answered<T>
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeouts.total;
        let mut backoff = BACKOFF_FIRST;
        let mut doubtful_before = false;
        for attempt in 1_usize.. {
            let at = self.preferred.load(Ordering::Relaxed) % self.nodes.len();
            let node = &self.nodes[at];
            let time = self.timeouts.attempt.min(deadline.saturating_duration_since(Instant::now()));
            let reason = match tokio::time::timeout(time, request(node.rpc.clone())).await {
                Ok(Ok(answer)) => {
                    let result = Ok(answer.into_inner());
                    return Answered { result, doubtful_before };
                }
                Ok(Err(status)) => match verdict(&status) {
                    Verdict::Final(error) => return Answered { result: Err(error), doubtful_before },
                    Verdict::Retry(reason) => reason,
                },
                Err(_) => "no answer in time".to_owned(),
            };
            doubtful_before = true;
            let reason = format!("{}: {reason}", node.address);
            tracing::debug!(attempt, %reason, "trying the next node");
            // Another call may have moved on already; then its choice stands.
            let next = (at + 1) % self.nodes.len();
            let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            // One quick round over all nodes, then slower and slower.
            let pause = if attempt < self.nodes.len() { Duration::ZERO } else { jitter(backoff) };
            if Instant::now() + pause >= deadline {
                let total_s = self.timeouts.total.as_secs();
                let why = format!("{attempt} attempt(s) in {total_s} s, the last to {reason}");
                return Answered { result: Err(ClientError::Unavailable(why)), doubtful_before };
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
        unreachable!("attempts are counted without end")
    }
}

fn node(address: &str, tls: &ClientTlsConfig, timeouts: Timeouts) -> Result<Node, ClientError> {
    let usage = |why: String| ClientError::Usage(format!("endpoint {address}: {why}"));
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| usage(error.to_string()))?
        .tls_config(tls.clone())
        .map_err(|error| usage(format!("certificates of the profile: {error}")))?
        .connect_timeout(timeouts.attempt.min(Duration::from_secs(3)))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5));
    let rpc = LedgerClient::new(endpoint.connect_lazy())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Node { address: address.to_owned(), rpc })
}

/// Between half of `pause` and all of it, so that many clients don't come back at once.
fn jitter(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(1.0, |x| f64::from(x) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_between_half_and_all() {
        for _ in 0..100 {
            let pause = jitter(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
