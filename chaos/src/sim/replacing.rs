//! A node whose disk is lost is replaced, while clients go on and other faults happen.
//!
//! As `sillage cluster member replace` does: a newcomer becomes a learner, then takes the place of the lost one in one
//! change of two steps, which is then ended. Whatever fails is tried again.

use sillage_cluster::core::MemberChange;

use super::faults::Phase;
use super::operator::NODES_MAX;
use super::world::{Event, World};
use crate::check::Violation;

/// Between two looks, in microseconds.
const LOOK_US: u64 = 120_000;

impl World {
    /// Nodes whose disk is lost, and that are no members any more: whatever members they go by, nobody goes by it.
    pub(crate) fn gone(&self) -> Vec<u64> {
        let Some(leader) = self.leading().filter(|_| self.faults.replaces) else { return Vec::new() };
        let members = [leader.voters, leader.voters_outgoing, leader.learners].concat();
        let gone = self.replicas.values().filter(|replica| replica.is_unsound() && !members.contains(&replica.id));
        gone.map(|replica| replica.id).collect()
    }

    /// How many newcomers have taken a lost node's place.
    pub(crate) fn replaced(&self) -> u64 {
        if !self.faults.replaces {
            return 0;
        }
        let founders = self.settings.founders().voters;
        let voters = self.leading().map(|leader| leader.voters).unwrap_or_default();
        voters.iter().filter(|id| !founders.contains(id)).count() as u64
    }

    /// One step of a replacement, if there is a leader to ask for it and a node to replace.
    pub(crate) fn replace_turn(&mut self) -> Result<(), Violation> {
        if self.faults.phase != Phase::Faults {
            // A change that has begun is ended by `operator_turn`.
            return Ok(());
        }
        self.after(LOOK_US, Event::Replace);
        let Some(leader) = self.leading() else {
            return Ok(());
        };
        if !leader.voters_outgoing.is_empty() {
            return self.propose_change(leader.id, &MemberChange::Leave);
        }
        let lost = leader.voters.iter().copied().find(|id| *id != leader.id && !self.replicas[id].counts());
        let Some(lost) = lost else {
            return Ok(());
        };
        let taken = |id: &u64| leader.voters.contains(id) || self.replicas[id].is_unsound();
        let change = match self.newcomer.filter(|id| !taken(id)) {
            Some(new) if leader.learners.contains(&new) => {
                let kept = leader.voters.iter().copied().filter(|id| *id != lost);
                MemberChange::Set { voters: kept.chain([new]).collect(), learners: vec![] }
            }
            Some(new) => MemberChange::AddLearner(new),
            None if self.report.nodes < NODES_MAX => {
                let new = self.newcomer()?;
                self.newcomer = Some(new);
                MemberChange::AddLearner(new)
            }
            None => return Ok(()),
        };
        self.propose_change(leader.id, &change)
    }
}
