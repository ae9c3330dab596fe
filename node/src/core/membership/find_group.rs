//! How a node finds its group again that was away while the nodes it knows were replaced.
//!
//! Its ledger names the nodes of before. Those of now call it, but it doesn't know their certificates. So, while it hears
//! of no leader, it asks whoever answers where it has ever known a node, and believes nothing that isn't proven: every
//! change of keys and nodes from the genesis entry on (`docs/formats.md` §12), of which its own ledger must have held the
//! first ones. Then the nodes of the newest set are its peers, and its log follows with entries or a snapshot.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prost::Message as _;
use sillage_ledger::{LedgerReader, ReadError, Refusal};
use sillage_proto::internal::v1::NodesRequest;
use sillage_proto::v1::{Genesis, KeyRotation};
use sillage_rules::chain::Unproven;
use sillage_rules::chain::rotation::Chain;
use sillage_rules::chain::trust::Trust;
use sillage_rules::limits::NODES_MAX;
use sillage_rules::node_set::NodeSet;
use tokio::time::{Instant, sleep, timeout};

use crate::core::Core;
use crate::core::checkpointing::rotations;
use crate::peer::links::{self, Client};
use crate::refusals::{from_read, unavailable};
use crate::tls::{self, SERVER_NAME};

/// Without a leader, before the first question; elections take a second or two.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Between two looks whether there is a leader.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer, in bytes: a page of changes, each with its checkpoint.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Changes of keys and nodes in the life of a log; it takes no more.
const CHANGES_MAX: usize = 4_096;
/// Addresses that are asked: more than that were never nodes at once.
const DOORS_MAX: usize = 2 * NODES_MAX;

/// Looks for the group whenever this node hears of no leader, until the node is gone.
pub(in crate::core) async fn run(core: Weak<Core>) {
    let mut led = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        let Some(core) = core.upgrade() else { return };
        if core.leader().is_some() || core.check_sound().is_err() {
            led = Instant::now();
        } else if led.elapsed() >= LOST_AFTER {
            core.find_group().await;
            led = Instant::now();
        }
    }
}

impl Core {
    /// The newest set of nodes that is known here: that of the ledger, or a later one that was proven to this node.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub(in crate::core) fn newest_node_set(&self) -> Result<NodeSet, ReadError> {
        let set = self.reader.node_set()?;
        let proven = self.membership.proven.lock();
        Ok(proven.as_ref().filter(|proven| proven.epoch > set.epoch).cloned().unwrap_or(set))
    }

    async fn find_group(&self) {
        for (address, door) in self.doors() {
            let Ok(known) = self.newest_node_set() else { return };
            match self.ask_for_nodes(door).await {
                Ok(set) if set.epoch > known.epoch => {
                    let nodes: Vec<u64> = set.nodes.iter().map(|node| node.id).collect();
                    tracing::info!(%address, epoch = set.epoch, ?nodes, "the nodes of now, as they were proven");
                    *self.membership.proven.lock() = Some(set);
                }
                Ok(_) => {}
                Err(refusal) => {
                    tracing::debug!(%address, message = refusal.message, "no nodes are proven here");
                }
            }
        }
    }

    /// The nodes to ask: those that are known, then whoever is at their addresses by now. A proven answer needs no trust
    /// in the sender, so any certificate of the log's authority will do.
    fn doors(&self) -> Vec<(String, Client)> {
        let limited = |client: Client| client.max_decoding_message_size(ANSWER_BYTES_MAX);
        let links: Vec<_> = self.links.iter().collect();
        let configured = self.config.other_peers().map(|peer| peer.address.clone());
        let addresses: BTreeSet<String> =
            links.iter().map(|link| link.peer_address.clone()).chain(configured).collect();
        let known = links.into_iter().map(|link| (link.peer_address, limited(link.calls)));
        let any = tls::client_config(self.links.identity(), None).map_err(|error| {
            tracing::error!(%error, "nobody can be asked who the nodes are by now");
        });
        let whoever = any.into_iter().flat_map(|tls| {
            addresses.iter().filter_map(move |address| {
                let client = links::client(address, SERVER_NAME, &tls, ANSWER_BYTES_MAX).ok()?;
                Some((address.clone(), client))
            })
        });
        known.chain(whoever).take(DOORS_MAX).collect()
    }

    /// The newest set of nodes that the other side proves.
    async fn ask_for_nodes(&self, mut door: Client) -> Result<NodeSet, Refusal> {
        let mut proof = Proof::new(&self.genesis.bytes, self.reader.clone()).map_err(unproven)?;
        loop {
            let from = proof.chain.rotations().len();
            let request = NodesRequest { rotations_from: u32::try_from(from).unwrap_or(u32::MAX) };
            let answer = timeout(CALL_TIMEOUT, door.nodes(request)).await.map_err(|_| unavailable("no answer"))?;
            let answer = answer.map_err(|status| unavailable(status.message()))?.into_inner();
            let more = answer.more_rotations;
            proof = self.read(move || proof.with(answer.rotations)).await?;
            if !more || proof.chain.rotations().len() == from {
                return proof.set();
            }
        }
    }
}

fn unproven(error: Unproven) -> Refusal {
    unavailable(error.to_string())
}

/// The changes of keys and nodes that were shown so far.
struct Proof {
    chain: Chain,
    reader: LedgerReader,
    /// Those that the ledger here holds, in their order.
    own: Arc<Vec<u64>>,
}

impl Proof {
    fn new(genesis: &[u8], reader: LedgerReader) -> Result<Self, Unproven> {
        let decoded = Genesis::decode(genesis).map_err(|_| Unproven("the genesis entry can't be read".to_owned()))?;
        let origin = reader.genesis().origin.clone();
        let chain = Chain::new(origin.clone(), Trust::first(&origin, &decoded)?);
        let own = rotations::indices(&reader).map_err(|error| Unproven(error.to_string()))?;
        Ok(Self { chain, reader, own: Arc::new(own) })
    }

    /// Takes the next changes, each proven under the keys and nodes before it.
    fn with(mut self, given: Vec<KeyRotation>) -> Result<Self, Refusal> {
        for one in given {
            let at = self.chain.rotations().len();
            if at >= CHANGES_MAX {
                return Err(unavailable("more changes of keys and nodes than a log can have"));
            }
            self.chain.add(&one).map_err(unproven)?;
            let index = self.chain.rotations()[at].index;
            let known = match self.own.get(at) {
                Some(own) if *own == index => {
                    let found = self.reader.public_entry(index.into()).map_err(|error| from_read(&error))?;
                    found.map(|found| found.bytes)
                }
                Some(_) => None,
                // Later than all that this node has applied.
                None if index >= self.reader.tree_size().get() => continue,
                None => None,
            };
            if known.as_deref() != Some(&one.entry[..]) {
                tracing::error!(
                    index,
                    "a node proves another change of keys or nodes than the ledger here holds: keep its disk, and this one's, as evidence"
                );
                return Err(unavailable("it proves another history than that of the ledger here"));
            }
        }
        Ok(self)
    }

    fn set(self) -> Result<NodeSet, Refusal> {
        match self.chain.rotations().len() >= self.own.len() {
            true => Ok(self.chain.newest().set().clone()),
            false => Err(unavailable("it proves fewer changes of keys and nodes than the ledger here holds")),
        }
    }
}
