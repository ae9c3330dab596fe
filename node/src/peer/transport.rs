//! Raft's messages on their way out: one bounded queue and one client-streaming call per peer.
//!
//! Nothing here waits for a peer. What doesn't fit is dropped, as a network would; the algorithm sends it again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sillage_cluster::{DiskRun, FetchError, Transport};
use sillage_proto::internal::v1::RaftMessage;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::fetch;
use super::links::{Client, Links};

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
    queues: BTreeMap<u64, Queue>,
    links: Arc<Links>,
    runtime: runtime::Handle,
    unreachable: Arc<OnceLock<Unreachable>>,
    /// Named with every message.
    run: Arc<OnceLock<DiskRun>>,
    stopping: watch::Sender<bool>,
}

struct Queue {
    sender: mpsc::Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl PeerTransport {
    /// Starts a task per peer on `runtime`.
    pub fn start(links: Arc<Links>, runtime: runtime::Handle) -> Self {
        let unreachable: Arc<OnceLock<Unreachable>> = Arc::default();
        let run: Arc<OnceLock<DiskRun>> = Arc::default();
        let mut queues = BTreeMap::new();
        for link in links.iter() {
            let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES_MAX);
            let waiting_bytes: Arc<AtomicUsize> = Arc::default();
            let pump = Pump {
                peer: link.id,
                client: link.raft.clone(),
                queue: receiver,
                waiting_bytes: Arc::clone(&waiting_bytes),
                unreachable: Arc::clone(&unreachable),
                run: Arc::clone(&run),
            };
            runtime.spawn(pump.run());
            let queue = Queue { sender, waiting_bytes };
            queues.insert(link.id, queue);
        }
        Self { queues, links, runtime, unreachable, run, stopping: watch::Sender::new(false) }
    }

    /// Lets go of a snapshot that is being fetched, now and from now on: a node that stops doesn't wait for it.
    pub fn stop_fetching(&self) {
        self.stopping.send_replace(true);
    }

    /// Whom to tell that a peer can't be reached; said once, when the replica runs.
    pub fn on_unreachable(&self, tell: Unreachable) {
        let twice = self.unreachable.set(tell).is_err();
        assert!(!twice, "one replica runs over a transport");
    }
}

impl Transport for PeerTransport {
    fn introduce(&self, run: DiskRun) {
        let twice = self.run.set(run).is_err();
        assert!(!twice, "a process is one run of a disk");
    }

    fn send(&self, to: u64, message: Vec<u8>) {
        let Some(queue) = self.queues.get(&to) else {
            return;
        };
        let bytes = message.len();
        let before = queue.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = before > 0 && before.saturating_add(bytes) > QUEUE_BYTES_MAX;
        if full || queue.sender.try_send(message).is_err() {
            queue.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn fetch_snapshot(&self, from: u64, manifest: &[u8], into: &Path) -> Result<(), FetchError> {
        let link = self.links.get(from);
        let link = link.ok_or_else(|| FetchError(format!("node {from} is not configured")))?;
        let client = link.files.clone();
        let mut stopping = self.stopping.subscribe();
        // On the snapshot thread, which is none of the runtime's.
        self.runtime.block_on(async {
            tokio::select! {
                fetched = fetch::snapshot(client, manifest, into) => fetched,
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
    run: Arc<OnceLock<DiskRun>>,
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
                        let disk_run = self.run.get().map(|run| run.encode().to_vec()).unwrap_or_default();
                        next = Some(RaftMessage { to: self.peer, message, disk_run });
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
