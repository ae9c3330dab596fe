//! A set of nodes, and the set that follows from it.

use super::change::{NodeSetChange, SetNode};
use super::voters::{Voters, majority};
use crate::limits::NODES_MAX;

/// Voters below which a set of several never falls.
const VOTERS_KEPT_MIN: usize = 2;

/// A change doesn't fit the set that it would change. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeSetError {
    /// The number isn't the next.
    #[error("the set of nodes has epoch {present}, so the next has {}, and this one says {got}: look at the present set, and decide again", present + 1)]
    Epoch {
        /// Of the present set.
        present: u64,
        /// The number in the change.
        got: u64,
    },
    /// The id was used, or lies below one that was.
    #[error(
        "the id {id} was used before, or could have been: a new node, one that replaces another too, gets a new id, and {next} is the next"
    )]
    UsedId {
        /// The id.
        id: u64,
        /// The lowest that a new node may have.
        next: u64,
    },
    /// A node that is there has this key.
    #[error("node {id} comes with the key of node {of}: make a new one")]
    UsedKey {
        /// The new node.
        id: u64,
        /// The owner of the key.
        of: u64,
    },
    /// A node that is there has this certificate.
    #[error("node {id} comes with the certificate of node {of}: make a new one")]
    UsedCertificate {
        /// The new node.
        id: u64,
        /// The owner of the certificate.
        of: u64,
    },
    /// No such node.
    #[error("the log has no node {0}")]
    Unknown(u64),
    /// A node that is neither voter nor learner.
    #[error("node {0} would be neither voter nor learner: say which, or remove it")]
    NoPart(u64),
    /// The last voter.
    #[error("a log keeps at least one voter")]
    NoVoter,
    /// Too few would stay.
    #[error("{present} voters can't become {left}: two are the fewest that can do without one; add a node first")]
    TooFew {
        /// How many vote now.
        present: usize,
        /// How many would.
        left: usize,
    },
    /// The majorities before and after might not meet.
    #[error("{changed} voters change: that takes a joint step, in which `voters_outgoing` are the present voters")]
    NotJoint {
        /// Voters that come or go.
        changed: usize,
    },
    /// No joint step is needed.
    #[error("one voter changes, or none: leave `voters_outgoing` empty")]
    NeedlessJoint,
    /// The voters before must count in it.
    #[error("in a joint step `voters_outgoing` are the present voters, all of them")]
    Outgoing,
    /// Something else while two sets count.
    #[error("a joint step is under way: end it first, with its `voters` or, to go back, with its `voters_outgoing`")]
    JointUnderWay,
    /// Too many leave at once.
    #[error("{kept} of {present} voters would stay, which is no majority of them: change fewer at once")]
    NoMajorityKept {
        /// How many stay.
        kept: usize,
        /// How many vote now.
        present: usize,
    },
    /// Over the limit.
    #[error("{0} nodes, and a log has at most {NODES_MAX}: remove one first")]
    TooMany(usize),
    /// It changes nothing.
    #[error("this changes nothing")]
    Nothing,
}

/// A set of nodes. Every node is a voter, an outgoing voter of a joint step, or a learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSet {
    /// Its number: 0 is the one of the genesis.
    pub epoch: u64,
    /// The nodes, ascending by id.
    pub nodes: Vec<SetNode>,
    /// Ids of those that count, ascending.
    pub voters: Vec<u64>,
    /// In a joint step, the voters of the set before, who count beside them; else empty.
    pub voters_outgoing: Vec<u64>,
    /// Ids of those that count for nothing yet, ascending.
    pub learners: Vec<u64>,
    /// The highest id that the log ever had.
    pub id_max: u64,
}

impl NodeSet {
    /// The first set: all of its nodes vote.
    pub fn of_genesis(mut nodes: Vec<SetNode>) -> Self {
        nodes.sort_by_key(|node| node.id);
        let voters: Vec<u64> = nodes.iter().map(|node| node.id).collect();
        let id_max = voters.last().copied().unwrap_or_default();
        Self { epoch: 0, nodes, voters, voters_outgoing: Vec::new(), learners: Vec::new(), id_max }
    }

    /// The node with this id.
    pub fn node(&self, id: u64) -> Option<&SetNode> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Tells whether two sets of voters count at once, until the next change.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// The voters whose signatures count.
    pub fn voters(&self) -> Voters {
        Voters::new(self.voters.clone(), self.voters_outgoing.clone())
    }

    /// The lowest id that a new node may have.
    pub fn next_id(&self) -> u64 {
        self.id_max.saturating_add(1)
    }

    /// The set that a change makes of this one.
    ///
    /// # Errors
    /// [`NodeSetError`] for a change that doesn't fit, in words that say which would.
    pub fn after(&self, change: &NodeSetChange) -> Result<Self, NodeSetError> {
        if change.epoch != self.epoch.saturating_add(1) {
            return Err(NodeSetError::Epoch { present: self.epoch, got: change.epoch });
        }
        let nodes = self.nodes_after(change)?;
        let known = |id: &u64| nodes.iter().any(|node| node.id == *id);
        let lists = [&change.voters, &change.voters_outgoing, &change.learners];
        if let Some(id) = lists.into_iter().flatten().find(|id| !known(id)) {
            return Err(NodeSetError::Unknown(*id));
        }
        let listed = |id: u64| lists.iter().any(|list| list.contains(&id));
        if let Some(node) = nodes.iter().find(|node| !listed(node.id)) {
            return Err(NodeSetError::NoPart(node.id));
        }
        if nodes.len() > NODES_MAX {
            return Err(NodeSetError::TooMany(nodes.len()));
        }
        self.check_voters(change)?;
        let next = Self {
            epoch: change.epoch,
            id_max: nodes.last().map_or(self.id_max, |node| node.id.max(self.id_max)),
            nodes,
            voters: change.voters.clone(),
            voters_outgoing: change.voters_outgoing.clone(),
            learners: change.learners.clone(),
        };
        match (Self { epoch: self.epoch, ..next.clone() }) == *self {
            true => Err(NodeSetError::Nothing),
            false => Ok(next),
        }
    }

    fn nodes_after(&self, change: &NodeSetChange) -> Result<Vec<SetNode>, NodeSetError> {
        let mut nodes = self.nodes.clone();
        for id in &change.removed {
            let at = nodes.iter().position(|node| node.id == *id).ok_or(NodeSetError::Unknown(*id))?;
            nodes.remove(at);
        }
        for moved in &change.moved {
            let node = nodes.iter_mut().find(|node| node.id == moved.id);
            let node = node.ok_or(NodeSetError::Unknown(moved.id))?;
            node.client_address.clone_from(&moved.client_address);
            node.peer_address.clone_from(&moved.peer_address);
        }
        for new in &change.added {
            if new.id <= self.id_max {
                return Err(NodeSetError::UsedId { id: new.id, next: self.next_id() });
            }
            // A node that goes with this change is no owner to be replaced silently: its key and certificate are used.
            for held in self.nodes.iter().chain(change.added.iter().take_while(|other| other.id != new.id)) {
                if held.key == new.key {
                    return Err(NodeSetError::UsedKey { id: new.id, of: held.id });
                }
                if held.tls_spki_sha256 == new.tls_spki_sha256 {
                    return Err(NodeSetError::UsedCertificate { id: new.id, of: held.id });
                }
            }
            nodes.push(new.clone());
        }
        Ok(nodes)
    }

    /// Two neighbouring sets have no majorities that miss each other.
    fn check_voters(&self, change: &NodeSetChange) -> Result<(), NodeSetError> {
        if change.voters.is_empty() {
            return Err(NodeSetError::NoVoter);
        }
        if self.is_joint() {
            let ends = change.voters == self.voters || change.voters == self.voters_outgoing;
            return match ends && change.voters_outgoing.is_empty() && change.added.is_empty() {
                true => Ok(()),
                false => Err(NodeSetError::JointUnderWay),
            };
        }
        let (present, left) = (self.voters.len(), change.voters.len());
        if left < present && left < VOTERS_KEPT_MIN {
            return Err(NodeSetError::TooFew { present, left });
        }
        let kept = self.voters.iter().filter(|id| change.voters.contains(id)).count();
        let changed = (present - kept) + (left - kept);
        match (changed > 1, change.voters_outgoing.is_empty()) {
            (true, true) => return Err(NodeSetError::NotJoint { changed }),
            (false, false) => return Err(NodeSetError::NeedlessJoint),
            (true, false) if change.voters_outgoing != self.voters => return Err(NodeSetError::Outgoing),
            _ => {}
        }
        match kept >= majority(present) {
            true => Ok(()),
            false => Err(NodeSetError::NoMajorityKept { kept, present }),
        }
    }

    /// A change that adds a node as a learner.
    ///
    /// # Errors
    /// As for [`NodeSet::after`].
    pub fn adding(&self, node: SetNode) -> Result<NodeSetChange, NodeSetError> {
        let mut change = self.unchanged();
        change.learners.push(node.id);
        change.learners.sort_unstable();
        change.added.push(node);
        self.checked(change)
    }

    /// A change to these voters, without the nodes in `removed`: a joint step where more than one voter changes. Who
    /// neither votes nor goes is a learner. In a joint step, a change that ends it.
    ///
    /// # Errors
    /// As for [`NodeSet::after`].
    pub fn with_voters(&self, voters: &[u64], removed: &[u64]) -> Result<NodeSetChange, NodeSetError> {
        let mut change = self.unchanged();
        change.voters = sorted(voters);
        change.voters_outgoing.clear();
        change.removed = sorted(removed);
        let kept = self.voters.iter().filter(|id| change.voters.contains(id)).count();
        if !self.is_joint() && (self.voters.len() - kept) + (change.voters.len() - kept) > 1 {
            change.voters_outgoing.clone_from(&self.voters);
        }
        self.checked(self.with_the_rest_as_learners(change))
    }

    /// A change that ends a joint step with its voters, without the nodes in `removed`. Who voted in the set before alone
    /// and isn't removed becomes a learner.
    ///
    /// # Errors
    /// [`NodeSetError::Nothing`] when none is under way; else as for [`NodeSet::after`].
    pub fn leaving_joint(&self, removed: &[u64]) -> Result<NodeSetChange, NodeSetError> {
        if !self.is_joint() {
            return Err(NodeSetError::Nothing);
        }
        let mut change = self.unchanged();
        change.voters_outgoing.clear();
        change.removed = sorted(removed);
        self.checked(self.with_the_rest_as_learners(change))
    }

    fn unchanged(&self) -> NodeSetChange {
        NodeSetChange {
            epoch: self.epoch.saturating_add(1),
            voters: self.voters.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners: self.learners.clone(),
            ..NodeSetChange::default()
        }
    }

    fn with_the_rest_as_learners(&self, mut change: NodeSetChange) -> NodeSetChange {
        let elsewhere = [&change.voters, &change.voters_outgoing, &change.removed];
        let rest = self.nodes.iter().map(|node| node.id).filter(|id| !elsewhere.iter().any(|list| list.contains(id)));
        change.learners = rest.collect();
        change
    }

    fn checked(&self, change: NodeSetChange) -> Result<NodeSetChange, NodeSetError> {
        self.after(&change).map(|_| change)
    }
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
