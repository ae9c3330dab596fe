//! Raft's messages on their way out: one bounded queue and one client-streaming call per peer; peers come and go with
//! the node set.
//!
//! Nothing here waits for a peer. A message that doesn't fit is dropped, as a network would; the algorithm sends it
//! again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use sillage_cluster::snapshot::{Manifest, Progress};
use sillage_cluster::{DiskClaim, FetchError, Transport};
use sillage_proto::internal::v1::RaftMessage;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::fetch;
use super::links::{Client, Link, Links};

/// Messages waiting for one peer.
const QUEUE_MESSAGES_MAX: usize = 512;
/// Bytes waiting for one peer; a single message may be larger.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Messages handed to a call at once.
const FEED_MESSAGES: usize = 32;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Called with a peer that could not be reached.
pub type Unreachable = Box<dyn Fn(u64) + Send + Sync>;

/// See the module.
pub struct PeerTransport {
    queues: RwLock<BTreeMap<u64, Queue>>,
    links: Arc<Links>,
    runtime: runtime::Handle,
    unreachable: Arc<OnceLock<Unreachable>>,
    /// Named with every message.
    claim: Arc<RwLock<Option<DiskClaim>>>,
    stopping: watch::Sender<bool>,
}

struct Queue {
    /// Of the link that it feeds.
    made: u64,
    sender: mpsc::Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl PeerTransport {
    /// Starts a task per peer on `runtime`.
    pub fn start(links: Arc<Links>, runtime: runtime::Handle) -> Self {
        let (queues, unreachable, claim) = (RwLock::default(), Arc::default(), Arc::default());
        let transport = Self { queues, links, runtime, unreachable, claim, stopping: watch::Sender::new(false) };
        transport.follow();
        transport
    }

    /// From now on there is a task for each of the links, and for no other peer.
    pub fn follow(&self) {
        let mut queues = self.queues.write();
        let mut now = BTreeMap::new();
        for link in self.links.iter() {
            let known = queues.remove(&link.id).filter(|queue| queue.made == link.made);
            now.insert(link.id, known.unwrap_or_else(|| self.pump(&link)));
        }
        // The tasks of those that are left end with their queues.
        *queues = now;
    }

    fn pump(&self, link: &Link) -> Queue {
        let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let waiting_bytes: Arc<AtomicUsize> = Arc::default();
        let pump = Pump {
            peer: link.id,
            client: link.raft.clone(),
            queue: receiver,
            waiting_bytes: Arc::clone(&waiting_bytes),
            unreachable: Arc::clone(&self.unreachable),
            claim: Arc::clone(&self.claim),
        };
        self.runtime.spawn(pump.run());
        Queue { made: link.made, sender, waiting_bytes }
    }

    /// Lets go of a snapshot that is being fetched, now and from now on: a node that stops doesn't wait for it.
    pub fn stop_fetching(&self) {
        self.stopping.send_replace(true);
    }

    /// The replica, which is told that a peer can't be reached; said once, when the replica runs.
    pub fn on_unreachable(&self, tell: Unreachable) {
        let twice = self.unreachable.set(tell).is_err();
        assert!(!twice, "one replica runs over a transport");
    }
}

impl Transport for PeerTransport {
    fn introduce(&self, claim: DiskClaim) {
        let run = claim.run;
        let before = self.claim.write().replace(claim);
        assert!(before.is_none_or(|before| before.run == run), "a process is one run of a disk");
    }

    fn send(&self, to: u64, message: Vec<u8>) {
        let queues = self.queues.read();
        let Some(queue) = queues.get(&to) else {
            return;
        };
        let bytes = message.len();
        let before = queue.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = before > 0 && before.saturating_add(bytes) > QUEUE_BYTES_MAX;
        if full || queue.sender.try_send(message).is_err() {
            queue.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn fetch_snapshot(
        &self,
        from: u64,
        manifest: &Manifest,
        into: &Path,
        progress: &Progress,
    ) -> Result<Manifest, FetchError> {
        let link = self.links.get(from);
        let link = link.ok_or_else(|| FetchError(format!("there is no way to node {from}")))?;
        let client = link.files;
        let mut stopping = self.stopping.subscribe();
        // On the snapshot thread, which is none of the runtime's.
        self.runtime.block_on(async {
            tokio::select! {
                fetched = fetch::snapshot(client, manifest, into, progress) => fetched,
                _ = stopping.wait_for(|stopping| *stopping) => Err(FetchError("the node is stopping".to_owned())),
            }
        })
    }
}

/// The task of one peer.
struct Pump {
    peer: u64,
    client: Client,
    queue: mpsc::Receiver<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    unreachable: Arc<OnceLock<Unreachable>>,
    claim: Arc<RwLock<Option<DiskClaim>>>,
}

/// Why a call ended.
enum Ended {
    /// The node stops.
    Stopping,
    /// The peer or the network; with whether anything had been taken by the call.
    Lost { status: tonic::Status, sent: u64 },
}

impl Pump {
    async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.one_call().await {
                Ended::Stopping => return,
                Ended::Lost { status, sent } => {
                    tracing::debug!(peer = self.peer, %status, sent, "the stream to a peer ended");
                    // A stream that was busy had a connection: try again soon.
                    if sent > FEED_MESSAGES as u64 {
                        backoff = BACKOFF_MIN;
                    }
                }
            }
            if let Some(tell) = self.unreachable.get() {
                tell(self.peer);
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            // What waited is old by now; the algorithm has newer.
            while let Ok(stale) = self.queue.try_recv() {
                self.taken(&stale);
            }
        }
    }

    /// Passes messages into one call until it ends.
    async fn one_call(&mut self) -> Ended {
        let (feed, messages) = mpsc::channel(FEED_MESSAGES);
        let mut client = self.client.clone();
        let call = client.raft(ReceiverStream::new(messages));
        tokio::pin!(call);
        let mut next: Option<RaftMessage> = None;
        let mut sent = 0;
        loop {
            tokio::select! {
                ended = &mut call => {
                    let status = match ended {
                        Ok(_) => tonic::Status::ok("closed by the peer"),
                        Err(status) => status,
                    };
                    return Ended::Lost { status, sent };
                }
                message = self.queue.recv(), if next.is_none() => match message {
                    Some(message) => {
                        self.taken(&message);
                        let (disk_run, disk_starts) = match &*self.claim.read() {
                            Some(claim) => (claim.run.encode().to_vec(), claim.encode_starts()),
                            None => Default::default(),
                        };
                        next = Some(RaftMessage { to: self.peer, message, disk_run, disk_starts });
                    }
                    None => return Ended::Stopping,
                },
                permit = feed.reserve(), if next.is_some() => {
                    // A closed feed shows as the end of the call.
                    if let (Ok(permit), Some(message)) = (permit, next.take()) {
                        permit.send(message);
                        sent += 1;
                    }
                }
            }
        }
    }

    fn taken(&self, message: &[u8]) {
        self.waiting_bytes.fetch_sub(message.len(), Ordering::Relaxed);
    }
}
