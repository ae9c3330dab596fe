//! The operator of the group: adds, promotes, removes and replaces members, and ends what was begun.

use rand::RngExt;
use sillage_cluster::core::{CoreStatus, MemberChange, ProposalId, Role};

use super::replica::Replica;
use super::world::{Event, World};
use crate::check::Violation;

/// Ids that a run gives out at most.
pub(crate) const NODES_MAX: u64 = 9;
/// Members at a time.
const MEMBERS_MAX: usize = 6;

impl World {
    /// The leader of the highest term, as it sees things.
    pub(crate) fn leading(&self) -> Option<CoreStatus> {
        let running = self.replicas.values().filter_map(|replica| replica.running.as_ref());
        let leaders = running.map(|running| running.core.status()).filter(|status| status.role == Role::Leader);
        leaders.max_by_key(|status| status.term)
    }

    /// The members that must have everything in the end: as whoever leads sees them.
    pub(crate) fn members_at_end(&self) -> Vec<u64> {
        match self.leading() {
            Some(leader) => [leader.voters, leader.voters_outgoing, leader.learners].concat(),
            None => self.replicas.keys().copied().collect(),
        }
    }

    /// One change, if there is a leader to ask for it. It may refuse.
    pub(crate) fn change_members(&mut self) -> Result<(), Violation> {
        let Some(leader) = self.leading() else {
            return Ok(());
        };
        if !leader.voters_outgoing.is_empty() {
            return self.propose_change(leader.id, &MemberChange::Leave);
        }
        let any = |rng: &mut rand_chacha::ChaCha8Rng, ids: &[u64]| {
            (!ids.is_empty()).then(|| ids[rng.random_range(0..ids.len())])
        };
        let members = [&leader.voters[..], &leader.learners].concat();
        let change = match self.rng.random_range(0..5) {
            0 | 1 if members.len() < MEMBERS_MAX && self.report.nodes < NODES_MAX => {
                MemberChange::AddLearner(self.newcomer()?)
            }
            2 | 3 if !leader.learners.is_empty() => {
                let all = self.rng.random_bool(0.3);
                let one = any(&mut self.rng, &leader.learners).into_iter().collect();
                MemberChange::Promote(if all { leader.learners.clone() } else { one })
            }
            4 if !leader.learners.is_empty() => {
                // A voter is replaced in one change of two steps.
                let gone = any(&mut self.rng, &leader.voters);
                let kept = leader.voters.iter().copied().filter(|&id| Some(id) != gone);
                MemberChange::Set {
                    voters: kept.chain(any(&mut self.rng, &leader.learners)).collect(),
                    learners: vec![],
                }
            }
            _ if members.len() > 3 => MemberChange::Remove(any(&mut self.rng, &members).into_iter().collect()),
            _ => return Ok(()),
        };
        self.propose_change(leader.id, &change)
    }

    /// A node that waits to be added.
    pub(crate) fn newcomer(&mut self) -> Result<u64, Violation> {
        let id = self.report.nodes + 1;
        self.report.nodes = id;
        let replica = Replica::new(id, &self.settings, self.plant);
        self.replicas.insert(id, replica);
        self.start(id)?;
        Ok(id)
    }

    pub(crate) fn propose_change(&mut self, leader: u64, change: &MemberChange) -> Result<(), Violation> {
        let id = ProposalId(self.report.events);
        let replica = self.replica(leader);
        let running = replica.running.as_mut().expect("it leads");
        let outcome = running.core.propose_members(id, change);
        self.note(|| format!("node {leader} is asked for {change:?}: {outcome:?}"));
        self.pump(leader)
    }

    /// After the healing: a joint step that stands is ended.
    pub(crate) fn operator_turn(&mut self) -> Result<(), Violation> {
        if let Some(leader) = self.leading().filter(|leader| !leader.voters_outgoing.is_empty()) {
            self.propose_change(leader.id, &MemberChange::Leave)?;
        }
        self.after(300_000, Event::Operator);
        Ok(())
    }
}
