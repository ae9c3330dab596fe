//! How the nodes are: who leads, whether all have the same, and what must never be seen.

use super::{Link, LoadError};
use crate::check::Checks;
use sillage_client::channel::{Client, Timeouts};
use sillage_proof::hash::Hash;
use sillage_proto::v1::{ClusterStatusRequest, NodeStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One node is asked this long.
const ASK: Timeouts = Timeouts { attempt: Duration::from_millis(700), total: Duration::from_millis(800) };

/// Asks the nodes, each on its own connection.
#[derive(Clone)]
pub struct Watch {
    nodes: Vec<Client>,
}

impl Watch {
    /// Ways to each node of the link's profile.
    ///
    /// # Errors
    /// When the profile's files can't be used.
    pub fn new(link: &Link) -> Result<Self, LoadError> {
        Ok(Self { nodes: link.to_each(ASK)? })
    }

    /// The status of each node, in the order of the profile's endpoints; `None` where it does not answer.
    pub async fn ask(&self) -> Vec<Option<NodeStatus>> {
        let asked = self.nodes.iter().map(|node| async move {
            let answer = node
                .call(|mut rpc| async move { rpc.cluster_status(ClusterStatusRequest { local_only: true }).await })
                .await;
            answer.ok().and_then(|status| status.nodes.into_iter().next())
        });
        futures::future::join_all(asked).await
    }

    /// The id of the leader, once a node says that it leads and nobody knows of a later term.
    ///
    /// # Errors
    /// When there is none for `patience`.
    pub async fn leader(&self, patience: Duration) -> Result<u64, LoadError> {
        let began = Instant::now();
        while began.elapsed() < patience {
            let known: Vec<NodeStatus> = self.ask().await.into_iter().flatten().collect();
            let newest = known.iter().map(|node| node.term).max().unwrap_or_default();
            if let Some(leader) = known.iter().find(|node| node.role == "leader" && node.term == newest) {
                return Ok(leader.id);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(LoadError::Wrong(format!("no node leads after {} s", patience.as_secs())))
    }

    /// Waits until `count` nodes have applied the same, all that is committed, and have equal trees.
    ///
    /// # Errors
    /// When they do not come to that within `patience`, or have different roots at the same size.
    pub async fn settled(&self, count: usize, patience: Duration) -> Result<Vec<NodeStatus>, LoadError> {
        let began = Instant::now();
        let mut last = Vec::new();
        while began.elapsed() < patience {
            let known: Vec<NodeStatus> = self.ask().await.into_iter().flatten().collect();
            let first = known.first().cloned().unwrap_or_default();
            let same =
                |n: &NodeStatus| n.tree_size == first.tree_size && n.commit == first.commit && n.applied == n.commit;
            if known.len() == count && known.iter().all(same) {
                return match known.iter().find(|n| n.root != first.root) {
                    None => Ok(known),
                    Some(other) => Err(LoadError::Wrong(format!(
                        "nodes {} and {} have different roots at size {}: {} and {}",
                        first.id,
                        other.id,
                        first.tree_size,
                        hex::encode(&first.root),
                        hex::encode(&other.root)
                    ))),
                };
            }
            last = known;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let seen: Vec<String> = last
            .iter()
            .map(|n| {
                format!(
                    "node {} {} term {} commit {} applied {} size {}",
                    n.id, n.role, n.term, n.commit, n.applied, n.tree_size
                )
            })
            .collect();
        Err(LoadError::Wrong(format!("the nodes are not level after {} s: {}", patience.as_secs(), seen.join("; "))))
    }
}

/// Observations of the nodes over time, and those that must not be.
#[derive(Debug, Default)]
pub struct Sightings {
    checks: Checks,
    terms: BTreeSet<u64>,
    roots: BTreeMap<u64, (Hash, u64)>,
    /// Node → (term, tree size) seen last.
    latest: BTreeMap<u64, (u64, u64)>,
}

impl Sightings {
    /// Takes up what a node says of itself. The sentences are violations: two leaders in a term, two roots at one size,
    /// a term that goes back.
    pub fn add(&mut self, node: &NodeStatus) -> Vec<String> {
        let mut wrong = Vec::new();
        if node.role == "leader" {
            self.terms.insert(node.term);
            wrong.extend(self.checks.saw_leader(node.term, node.id).err().map(|violation| violation.to_string()));
        }
        if let Ok(root) = Hash::from_slice(&node.root) {
            let (known, by) = *self.roots.entry(node.tree_size).or_insert((root, node.id));
            if known != root {
                wrong.push(format!(
                    "at size {} node {by} had root {known}, node {} has {root}",
                    node.tree_size, node.id
                ));
            }
        }
        let before = self.latest.insert(node.id, (node.term, node.tree_size));
        if let Some((term, _)) = before.filter(|(term, _)| *term > node.term) {
            wrong.push(format!("node {} went back from term {term} to {}", node.id, node.term));
        }
        wrong
    }

    /// The roots seen, by size: an audit recomputes them.
    pub fn roots(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.roots.iter().map(|(size, (root, _))| (*size, *root))
    }

    /// Terms in which a leader was seen.
    pub fn terms(&self) -> usize {
        self.terms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, role: &str, term: u64, tree_size: u64, root: u8) -> NodeStatus {
        NodeStatus { id, role: role.to_owned(), term, tree_size, root: vec![root; 32], ..NodeStatus::default() }
    }

    #[test]
    fn what_must_not_be_is_seen() {
        let mut seen = Sightings::default();
        assert!(seen.add(&node(1, "leader", 2, 10, 7)).is_empty());
        assert!(seen.add(&node(2, "follower", 2, 10, 7)).is_empty());
        assert!(seen.add(&node(2, "leader", 2, 11, 8))[0].contains("both led"));
        assert!(seen.add(&node(3, "follower", 2, 10, 9))[0].contains("at size 10"));
        assert!(seen.add(&node(1, "follower", 1, 12, 1))[0].contains("went back"));
        assert_eq!(seen.terms(), 1);
    }
}
