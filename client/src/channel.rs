//! The way to the nodes: gRPC over mutual TLS, several endpoints, one deadline.
//!
//! Every call may be repeated: reads change nothing, and a batch is recorded exactly once however often it arrives. So
//! a call goes to the node that answered last, moves on to the next one when that fails, and gives up when the total
//! time is over.
//!
//! A node that stands still answers nothing, and refuses nothing. A call that somebody waits for is then made to a second
//! node too ([`Client::call_soon`]), and the first answer counts.
//!
//! The profile says which nodes are tried first; the ledger says which came since ([`Client::follow`]).

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sillage_proof::hash::Hash;
use sillage_proto::v1::LogNode;
use sillage_proto::v1::ledger_client::LedgerClient;
use sillage_rules::limits::NODES_MAX;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

use crate::error::{ClientError, Verdict, failed, verdict};
use crate::profile::{Profile, read, spki_sha256};

/// A generated gRPC client, over one node's connection.
pub type Rpc = LedgerClient<Channel>;

/// Reads hashes as they travel, 32 bytes each.
///
/// # Errors
/// [`ClientError::Check`] where one has another length.
pub fn hashes(path: &[Vec<u8>]) -> Result<Vec<Hash>, ClientError> {
    let parsed: Result<Vec<Hash>, _> = path.iter().map(|hash| Hash::from_slice(hash)).collect();
    parsed.map_err(|_| failed("a proof holds something that is not a hash: ask another node"))
}

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
/// After this without an answer, a second node is asked beside the first. A node that works answers in a tenth of it.
const SECOND_AFTER: Duration = Duration::from_millis(400);
/// An answer earns one, a second call costs [`SECOND_COSTS`]: so a group that is slow because it has too much to do gets a
/// tenth more to do at most.
const SECONDS_SAVED_MAX: u32 = 160;
const SECOND_COSTS: u32 = 10;
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Without an answer for longer, the caller is told that it is being tried.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The ledger, seen from outside. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    /// The endpoints of the profile, then those that the ledger named.
    nodes: Arc<RwLock<Arc<[Node]>>>,
    /// How many are of the profile.
    of_profile: usize,
    tls: ClientTlsConfig,
    preferred: Arc<AtomicUsize>,
    /// Calls that may be made a second time.
    saved: Arc<AtomicU32>,
    timeouts: Timeouts,
}

#[derive(Clone)]
struct Node {
    address: String,
    rpc: Rpc,
}

/// How many nodes a call may wait for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    One,
    Two,
}

impl Client {
    /// Prepares connections to every node of the profile; they are made when the first call needs them.
    ///
    /// # Errors
    /// When certificates or keys can't be read, or an endpoint isn't an address.
    pub fn new(profile: &Profile, timeouts: Timeouts) -> Result<Self, ClientError> {
        // That a certificate is too old to be used is said here, and not as a broken handshake.
        spki_sha256(&profile.cert)?;
        spki_sha256(&profile.ca)?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&profile.ca)?))
            .identity(Identity::from_pem(read(&profile.cert)?, read(&profile.key)?))
            .domain_name(profile.server_name.clone());
        let nodes: Result<Vec<Node>, ClientError> =
            profile.endpoints.iter().map(|address| node(address, &tls, timeouts)).collect();
        let (nodes, of_profile) = (Arc::new(RwLock::new(nodes?.into())), profile.endpoints.len());
        let (preferred, saved) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU32::new(SECONDS_SAVED_MAX)));
        Ok(Self { nodes, of_profile, tls, preferred, saved, timeouts })
    }

    /// How long its calls may take.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn nodes(&self) -> Arc<[Node]> {
        Arc::clone(&self.nodes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the nodes that the ledger has now, as a node of it says: they are called after those of the profile, and
    /// nothing is believed for it, as each has to show a certificate of the profile's CA.
    pub fn follow(&self, named: &[LogNode]) {
        let known = self.nodes();
        let (of_profile, followed) = known.split_at(self.of_profile);
        let mut nodes = of_profile.to_vec();
        for address in named.iter().filter(|node| !node.address.is_empty()) {
            let address = format!("https://{}", address.address);
            if nodes.len() > self.of_profile + NODES_MAX || nodes.iter().any(|node| node.address == address) {
                continue;
            }
            // A connection that is there is kept.
            match followed.iter().find(|node| node.address == address) {
                Some(known) => nodes.push(known.clone()),
                None => match node(&address, &self.tls, self.timeouts) {
                    Ok(new) => nodes.push(new),
                    Err(error) => tracing::warn!(%error, "a node that the ledger names can't be called"),
                },
            }
        }
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = nodes.into();
    }

    /// Where calls go: the endpoints of the profile, then the nodes that the ledger named beside them.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes().iter().map(|node| node.address.clone()).collect()
    }

    /// Calls the ledger: the preferred node first, the others as needed.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] as soon as a node refuses; when the time is over, [`ClientError::Quota`] where the caller
    /// asked for more than it may, else [`ClientError::Unavailable`].
    pub async fn call<T, F, Fut>(&self, request: F) -> Result<T, ClientError>
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_answered(request, Patience::One).await
    }

    /// Like [`Client::call`], for what somebody waits for and what counts once however often it arrives: a batch, a request
    /// for a decision. Where a node is silent, a second one is asked beside it, and the first answer counts.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub async fn call_soon<T, F, Fut>(&self, request: F) -> Result<T, ClientError>
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_answered(request, Patience::Two).await
    }

    async fn call_answered<T, F, Fut>(&self, request: F, patience: Patience) -> Result<T, ClientError>
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeouts.total;
        let mut backoff = BACKOFF_FIRST;
        let mut over = OverQuota::default();
        let started = Instant::now();
        let mut is_told = false;
        let mut said: Option<String> = None;
        for attempt in 1_usize.. {
            let nodes = self.nodes();
            // A node that said how long to wait isn't asked before.
            let preferred = self.preferred.load(Ordering::Relaxed) % nodes.len();
            let at = over.first_free(preferred, nodes.len()).unwrap_or(preferred);
            let time = self.timeouts.attempt.min(deadline.saturating_duration_since(Instant::now()));
            let (at, answer) = match patience {
                Patience::One => (at, tokio::time::timeout(time, request(nodes[at].rpc.clone())).await.ok()),
                Patience::Two => self.ask(&nodes, at, time, &over, &request).await,
            };
            let reason = match answer {
                Some(Ok(answer)) => {
                    self.saved(1);
                    return Ok(answer.into_inner());
                }
                Some(Err(status)) => match verdict(&status) {
                    Verdict::Final(error) => return Err(error),
                    Verdict::Wait(reason, wait) => {
                        over.told(at, wait.unwrap_or(backoff), &reason);
                        reason
                    }
                    Verdict::Retry(reason) => {
                        said = Some(reason.clone());
                        reason
                    }
                },
                // When the time runs out in the middle of a call, what a node said before is the reason.
                None => said.clone().unwrap_or_else(|| "no answer in time".to_owned()),
            };
            let reason = format!("{}: {reason}", nodes[at].address);
            tracing::debug!(attempt, %reason, "trying the next node");
            // Another call may have moved on already; then its choice stands.
            let next = (at + 1) % nodes.len();
            let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            // One quick round over all nodes, then slower and slower; over a quota, as long as the nodes say.
            let pause = match over.pause(nodes.len()) {
                Some(pause) => pause,
                // The others may have some of the quota left.
                None if over.is_waiting(at) && attempt < 2 * nodes.len() => Duration::ZERO,
                None if attempt < nodes.len() => Duration::ZERO,
                None => jitter(backoff),
            };
            if Instant::now() + pause >= deadline {
                if let Some(told) = over.said {
                    return Err(ClientError::Quota(told));
                }
                let total_s = self.timeouts.total.as_secs();
                let why = format!("{attempt} attempt(s) in {total_s} s, the last to {reason}");
                return Err(ClientError::Unavailable(why));
            }
            if !is_told && attempt >= nodes.len() && started.elapsed() + pause >= SILENCE_MAX {
                let left_s = deadline.saturating_duration_since(Instant::now()).as_secs();
                tracing::warn!(
                    "no node has answered yet ({reason}): trying for {left_s} s more, --timeout SECONDS sets how long"
                );
                is_told = true;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
        unreachable!("attempts are counted without end")
    }

    /// Asks the node at `first`, and a second one beside it once the first has been silent for [`SECOND_AFTER`]. Answers with
    /// the place of the node that answered, or of the one to be given up.
    async fn ask<T, F, Fut>(
        &self,
        nodes: &[Node],
        first: usize,
        time: Duration,
        over: &OverQuota,
        request: &F,
    ) -> (usize, Option<Result<Response<T>, Status>>)
    where
        F: Fn(Rpc) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let until = tokio::time::Instant::now() + time;
        let mut asked = pin!(request(nodes[first].rpc.clone()));
        if let Ok(answer) = tokio::time::timeout(time.min(SECOND_AFTER), &mut asked).await {
            return (first, Some(answer));
        }
        let second = over.first_free((first + 1) % nodes.len(), nodes.len()).unwrap_or(first);
        if second == first || !self.spend() {
            return (first, tokio::time::timeout_at(until, asked).await.ok());
        }
        let address = &nodes[second].address;
        tracing::debug!(silent = nodes[first].address, second = address, "asking a second node");
        let mut beside = pin!(request(nodes[second].rpc.clone()));
        let early = tokio::time::timeout_at(until, async {
            tokio::select! {
                answer = &mut asked => (first, answer),
                answer = &mut beside => (second, answer),
            }
        });
        let Ok((at, early)) = early.await else {
            return (first, None);
        };
        // One node may refuse what the other is about to record, for its clock is wrong or it lags: a refusal counts only where
        // the other says nothing else.
        let late = match (&early, at == first) {
            (Ok(_), _) => None,
            (Err(_), true) => tokio::time::timeout_at(until, beside).await.ok().map(|answer| (second, answer)),
            (Err(_), false) => tokio::time::timeout_at(until, asked).await.ok().map(|answer| (first, answer)),
        };
        let (answered, answer) = match late {
            Some((at, Ok(answer))) => (at, Ok(answer)),
            Some((at, late)) if !early.as_ref().is_err_and(is_final) => (at, late),
            _ => (at, early),
        };
        if answered == second {
            // Whoever calls next doesn't wait for the silent one.
            let _ = self.preferred.compare_exchange(first, second, Ordering::Relaxed, Ordering::Relaxed);
        }
        (answered, Some(answer))
    }

    fn saved(&self, answers: u32) {
        let more = |saved: u32| Some((saved + answers).min(SECONDS_SAVED_MAX));
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes what a second call costs, where enough is saved.
    fn spend(&self) -> bool {
        let less = |saved: u32| saved.checked_sub(SECOND_COSTS);
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Tells whether a refusal isn't to be tried again.
fn is_final(status: &Status) -> bool {
    matches!(verdict(status), Verdict::Final(_))
}

/// Nodes that refused because the caller is over a quota, and until when each.
#[derive(Debug, Default)]
struct OverQuota {
    /// When each node takes the call again, by its place.
    until: std::collections::BTreeMap<usize, Instant>,
    /// The answer of the last of them.
    said: Option<String>,
}

impl OverQuota {
    fn told(&mut self, node: usize, wait: Duration, why: &str) {
        // A moment more, so that what was waited for is there.
        self.until.insert(node, Instant::now() + wait + Duration::from_millis(1));
        self.said = Some(why.to_owned());
    }

    fn is_waiting(&self, node: usize) -> bool {
        self.until.get(&node).is_some_and(|until| *until > Instant::now())
    }

    /// The first node from `at` on that may be asked now.
    fn first_free(&self, at: usize, nodes: usize) -> Option<usize> {
        (0..nodes).map(|step| (at + step) % nodes).find(|node| !self.is_waiting(*node))
    }

    /// How long to wait where every node said so: until the first of them takes the call. None where one may be asked now.
    fn pause(&self, nodes: usize) -> Option<Duration> {
        if self.first_free(0, nodes).is_some() {
            return None;
        }
        self.until.values().min().map(|until| until.saturating_duration_since(Instant::now()))
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

    /// A client of one node, with certificates of a CA of its own in `dir`.
    fn client(dir: &std::path::Path) -> Client {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).expect("params");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a CA");
        std::fs::write(dir.join("c.pem"), ca.pem()).expect("written");
        std::fs::write(dir.join("c.key"), key.serialize_pem()).expect("written");
        let profile = r#"
            origin = "test/log"
            endpoints = ["https://127.0.0.1:7400"]
            ca = "c.pem"
            cert = "c.pem"
            key = "c.key"
            log_vkey = "test/log+00000000+AAAA"
            vrf_public_key = "0101010101010101010101010101010101010101010101010101010101010101"
            genesis = "genesis.bin"
        "#;
        let profile = Profile::parse(profile, dir.to_owned()).expect("a profile");
        Client::new(&profile, Timeouts::default()).expect("a client")
    }

    #[tokio::test]
    async fn the_nodes_that_the_ledger_names_are_called_after_those_of_the_profile() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let client = client(dir.path());
        let named = |id, address: &str| LogNode { id, address: address.to_owned(), voter: true, ..LogNode::default() };
        let clone = client.clone();
        client.follow(&[named(1, "127.0.0.1:7400"), named(2, ""), named(4, "node-4.example:7400")]);
        let expected = ["https://127.0.0.1:7400", "https://node-4.example:7400"];
        assert_eq!(client.endpoints(), expected, "each once, and none without an address");
        assert_eq!(clone.endpoints(), expected, "clones follow too");
        client.follow(&[named(5, "[::1]:7400"), named(6, "no address")]);
        assert_eq!(
            client.endpoints(),
            ["https://127.0.0.1:7400", "https://[::1]:7400"],
            "who is gone is called no more"
        );
        client.follow(&[]);
        assert_eq!(client.endpoints(), ["https://127.0.0.1:7400"], "the profile stays");
    }

    /// How a node answers: after so many milliseconds, that the batch is on record or with a refusal, which is final unless it may
    /// be tried again.
    type Plan = (u64, Result<u32, (&'static str, bool)>);

    /// The outcome of a call where the node that is asked first does the one, and every other the other; and how many were asked.
    async fn comes_of(first: Plan, second: Plan) -> (Result<u32, String>, usize) {
        use prost::Message as _;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut client = client(dir.path());
        client.timeouts = Timeouts { attempt: Duration::from_secs(3), total: Duration::from_secs(3) };
        client.follow(&[LogNode { id: 2, address: "127.0.0.1:7401".into(), ..LogNode::default() }]);
        let asked = AtomicUsize::new(0);
        let answer = client.call_soon(|_| {
            let (wait_ms, answer) = if asked.fetch_add(1, Ordering::Relaxed) == 0 { first } else { second };
            async move {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                answer.map(Response::new).map_err(|(code, retry)| {
                    let info = sillage_proto::v1::ErrorInfo { code: code.into(), retry, ..Default::default() };
                    Status::with_details(tonic::Code::FailedPrecondition, "words", info.encode_to_vec().into())
                })
            }
        });
        let answer = answer.await.map_err(|error| match error {
            ClientError::Rejected(rejection) => rejection.code.as_str().to_owned(),
            other => panic!("{other}"),
        });
        (answer, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_refusal_of_one_node_counts_only_where_the_other_says_nothing_else() {
        let refuses = |code| Err((code, false));
        let busy = Err(("BUSY", true));
        let no = |code: &str| Err(code.to_owned());
        // A node that answers at once is asked alone, whatever it says.
        assert_eq!(comes_of((0, refuses("TIME_AHEAD")), (0, Ok(1))).await, (no("TIME_AHEAD"), 1));
        // The other one refuses first, and the silent one records after all.
        assert_eq!(comes_of((700, Ok(1)), (0, refuses("TIME_AHEAD"))).await, (Ok(1), 2));
        // The silent one refuses first, and the other one records.
        assert_eq!(comes_of((600, refuses("UNKNOWN_KEY")), (500, Ok(1))).await, (Ok(1), 2));
        // One may be tried again: what the other refuses for good counts, whichever comes first.
        assert_eq!(comes_of((700, busy), (0, refuses("TIME_AHEAD"))).await, (no("TIME_AHEAD"), 2));
        assert_eq!(comes_of((700, refuses("UNKNOWN_KEY")), (0, busy)).await, (no("UNKNOWN_KEY"), 2));
        // Both for good: the first to say so.
        assert_eq!(comes_of((700, refuses("UNKNOWN_KEY")), (0, refuses("TIME_AHEAD"))).await, (no("TIME_AHEAD"), 2));
        // The other one doesn't answer in time.
        assert_eq!(comes_of((600, refuses("UNKNOWN_KEY")), (9_000, Ok(1))).await, (no("UNKNOWN_KEY"), 2));
    }

    #[test]
    fn over_a_quota_each_node_is_asked_once_then_the_shortest_wait_is_kept() {
        let mut over = OverQuota::default();
        assert_eq!((over.pause(3), over.first_free(1, 3)), (None, Some(1)), "nothing was said of a quota");
        for (node, wait_ms, free) in [(0, 900, 1), (1, 300, 2)] {
            over.told(node, Duration::from_millis(wait_ms), "over the quota");
            assert_eq!((over.pause(3), over.first_free(0, 3)), (None, Some(free)), "another node may have some left");
        }
        over.told(2, Duration::from_millis(600), "over the quota, too");
        assert_eq!(over.first_free(0, 3), None);
        let pause = over.pause(3).expect("as long as was said");
        assert!(pause > Duration::from_millis(200) && pause <= Duration::from_millis(301), "{pause:?}");
        assert_eq!(over.said.as_deref(), Some("over the quota, too"), "that it was a quota is still known");
        over.told(1, Duration::ZERO, "x");
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(over.first_free(0, 3), Some(1), "its time has come");
        assert!(over.is_waiting(0) && !over.is_waiting(1));
    }

    #[test]
    fn the_pause_is_between_half_and_all() {
        for _ in 0..100 {
            let pause = jitter(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
