//! The members of the group: the set, the result of a change, and why one is refused.
//!
//! A change is planned here without the algorithm: [`plan`] takes the set in force and what the leader knows of each
//! node. Ids rise: a new member's id is higher than every id that was ever a member's. So an id is never used twice,
//! and an id above all that a node knows is one that it has not heard of yet, not one that was removed.

use std::collections::VecDeque;

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

/// The members of a group. All lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Members {
    /// Vote, and count for a majority.
    pub voters: Vec<u64>,
    /// In a joint step: the voters before it. Then a majority of both counts.
    pub voters_outgoing: Vec<u64>,
    /// Get the log, and count for nothing.
    pub learners: Vec<u64>,
    /// In a joint step: voters that become learners at its end.
    pub learners_next: Vec<u64>,
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

impl Members {
    /// Voters alone.
    pub fn of_voters(voters: &[u64]) -> Self {
        Members { voters: sorted(voters), ..Members::default() }
    }

    /// Tells whether a change of more than one step is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Tells whether `id` votes, in either half of a joint step.
    pub fn is_voter(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    /// Tells whether `id` is a member of any kind.
    pub fn contains(&self, id: u64) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Every member once, in order.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids = [&self.voters[..], &self.voters_outgoing, &self.learners].concat();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn highest_id(&self) -> u64 {
        self.ids().last().copied().unwrap_or(0)
    }
}

impl From<&ConfState> for Members {
    fn from(state: &ConfState) -> Self {
        Members {
            voters: sorted(&state.voters),
            voters_outgoing: sorted(&state.voters_outgoing),
            learners: sorted(&state.learners),
            learners_next: sorted(&state.learners_next),
        }
    }
}

impl From<&Members> for ConfState {
    fn from(members: &Members) -> Self {
        ConfState {
            voters: members.voters.clone(),
            voters_outgoing: members.voters_outgoing.clone(),
            learners: members.learners.clone(),
            learners_next: members.learners_next.clone(),
            auto_leave: false,
        }
    }
}

/// The members as of an index of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersAt {
    /// All changes up to this index are in `members`, and none after it.
    pub index: u64,
    /// The highest id that was ever a member's, as far as it is known here.
    pub highest_id: u64,
    /// The members.
    pub members: Members,
}

impl MembersAt {
    /// `members` as of `index`, with nothing known of ids that are gone.
    pub fn new(index: u64, members: Members) -> Self {
        MembersAt { index, highest_id: members.highest_id(), members }
    }
}

/// A change of the members, for [`super::Core::propose_members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new node, which gets a snapshot and then the log, and counts for nothing.
    AddLearner(u64),
    /// Learners that have caught up become voters.
    Promote(Vec<u64>),
    /// Members of any kind leave.
    Remove(Vec<u64>),
    /// These and no others; voters must be members already.
    Set {
        /// The voters.
        voters: Vec<u64>,
        /// The learners.
        learners: Vec<u64>,
    },
    /// Ends a joint step: from then on the new voters alone count.
    Leave,
}

/// Why a change of the members was not proposed; nothing changed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MembersRefused {
    /// Ask the leader.
    #[error("this node does not lead; ask {}", leader.map_or("again when there is a leader".to_string(), |id| format!("node {id}")))]
    NotLeader {
        /// The leader, if known.
        leader: Option<u64>,
    },
    /// Leadership is being handed over, or too much is uncommitted.
    #[error("too busy for a change of the members; try again in a moment")]
    Busy,
    /// One change at a time: another is not applied yet.
    #[error("another change of the members is under way; try again when it is applied")]
    UnderWay,
    /// A joint step must be left first.
    #[error("a change of several members is between its two steps; let it end first")]
    Joint,
    /// There is no joint step to leave.
    #[error("no change of several members is under way, so there is none to end")]
    NotJoint,
    /// Members are so already.
    #[error("the members are so already; nothing to do")]
    Nothing,
    /// Ids begin at 1.
    #[error("0 is no id of a node")]
    NoId,
    /// No such member.
    #[error("node {0} is no member; see `member list`")]
    Unknown(u64),
    /// It votes already.
    #[error("node {0} votes already")]
    AlreadyVoter(u64),
    /// The id is, or may have been, a member's.
    #[error("id {id} was given to a node before, or may have been; the next one that is free is {next}")]
    UsedBefore {
        /// The id.
        id: u64,
        /// The lowest id that is free.
        next: u64,
    },
    /// A learner has not caught up.
    #[error("node {id} has not caught up: {behind_bytes} bytes of the log behind; promote it when it has")]
    Lags {
        /// The learner.
        id: u64,
        /// Bytes of the log that it hasn't got; `u64::MAX` when it needs a snapshot first.
        behind_bytes: u64,
    },
    /// The leader can't remove itself.
    #[error("node {0} leads: move leadership to another node first (`cluster move-leader`)")]
    Leads(u64),
    /// Nobody would vote any more.
    #[error("this would remove the last node that votes")]
    LastVoter,
    /// One node alone holds every record: its disk would be the only one.
    #[error("this would leave one node that votes: add and promote another one first")]
    OneOfTwo,
    /// Too few of the new voters answer the leader, so the group would stop.
    #[error("of the {voters} nodes that would vote only {lively} answer now, no majority: start one of them first")]
    NoMajority {
        /// Voters after the change.
        voters: u64,
        /// Those that answer.
        lively: u64,
    },
}

/// The leader's knowledge, besides the members in force.
pub(crate) trait Known {
    /// The leader's own id.
    fn leader(&self) -> u64;
    /// Bytes of the log that a member hasn't got.
    fn behind_bytes(&self, id: u64) -> u64;
    /// Tells whether a member answers.
    fn is_lively(&self, id: u64) -> bool;
}

/// The proposal for `change`.
///
/// # Errors
/// Why it must not be proposed.
pub(crate) fn plan(
    change: &MemberChange,
    now: &MembersAt,
    lag_bytes_max: u64,
    known: &impl Known,
) -> Result<ConfChangeV2, MembersRefused> {
    if *change == MemberChange::Leave {
        if !now.members.is_joint() {
            return Err(MembersRefused::NotJoint);
        }
        check_majority(&now.members.voters, known)?;
        return Ok(ConfChangeV2::default());
    }
    if now.members.is_joint() {
        return Err(MembersRefused::Joint);
    }
    let (voters, learners) = goal(change, now)?;
    for &id in &voters {
        let behind_bytes = if now.members.voters.contains(&id) { 0 } else { known.behind_bytes(id) };
        if behind_bytes > lag_bytes_max {
            return Err(MembersRefused::Lags { id, behind_bytes });
        }
    }
    match voters.len() {
        0 => return Err(MembersRefused::LastVoter),
        1 if now.members.voters.len() > 1 => return Err(MembersRefused::OneOfTwo),
        _ => {}
    }
    if !voters.contains(&known.leader()) {
        return Err(MembersRefused::Leads(known.leader()));
    }
    if voters != now.members.voters {
        check_majority(&voters, known)?;
    }
    let changes = difference(&now.members, &voters, &learners);
    if changes.is_empty() {
        return Err(MembersRefused::Nothing);
    }
    let mut out = ConfChangeV2 { changes, ..ConfChangeV2::default() };
    if out.changes.len() > 1 {
        // The leader ends it by a proposal of its own: what is on record of the new set may have to come in between.
        out.set_transition(ConfChangeTransition::Explicit);
    }
    Ok(out)
}

/// The voters and learners that `change` leads to, sorted.
fn goal(change: &MemberChange, now: &MembersAt) -> Result<(Vec<u64>, Vec<u64>), MembersRefused> {
    let members = &now.members;
    let (mut voters, mut learners) = (members.voters.clone(), members.learners.clone());
    let is_new = |id: u64| match id {
        0 => Err(MembersRefused::NoId),
        id if id <= now.highest_id => Err(MembersRefused::UsedBefore { id, next: now.highest_id + 1 }),
        _ => Ok(()),
    };
    match change {
        MemberChange::AddLearner(id) => {
            is_new(*id)?;
            learners.push(*id);
        }
        MemberChange::Promote(ids) => {
            for id in ids {
                if members.voters.contains(id) {
                    return Err(MembersRefused::AlreadyVoter(*id));
                }
                if !members.learners.contains(id) {
                    return Err(MembersRefused::Unknown(*id));
                }
                learners.retain(|learner| learner != id);
                voters.push(*id);
            }
        }
        MemberChange::Remove(ids) => {
            if let Some(&id) = ids.iter().find(|&&id| !members.contains(id)) {
                return Err(MembersRefused::Unknown(id));
            }
            voters.retain(|id| !ids.contains(id));
            learners.retain(|id| !ids.contains(id));
        }
        MemberChange::Set { voters: to_vote, learners: to_learn } => {
            if let Some(&id) = to_vote.iter().find(|&&id| !members.contains(id)) {
                return Err(MembersRefused::Unknown(id));
            }
            for &id in to_learn.iter().filter(|&&id| !members.contains(id)) {
                is_new(id)?;
            }
            voters = to_vote.clone();
            learners = to_learn.iter().copied().filter(|id| !to_vote.contains(id)).collect();
        }
        MemberChange::Leave => unreachable!("planned before"),
    }
    for ids in [&mut voters, &mut learners] {
        ids.sort_unstable();
        ids.dedup();
    }
    Ok((voters, learners))
}

fn check_majority(voters: &[u64], known: &impl Known) -> Result<(), MembersRefused> {
    let lively = voters.iter().filter(|&&id| id == known.leader() || known.is_lively(id)).count();
    if 2 * lively > voters.len() {
        return Ok(());
    }
    Err(MembersRefused::NoMajority { voters: voters.len() as u64, lively: lively as u64 })
}

fn difference(now: &Members, voters: &[u64], learners: &[u64]) -> Vec<ConfChangeSingle> {
    let single = |id: u64, kind: ConfChangeType| {
        let mut single = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
        single.set_change_type(kind);
        single
    };
    let gone = now.ids().into_iter().filter(|id| !voters.contains(id) && !learners.contains(id));
    let to_vote = voters.iter().filter(|id| !now.voters.contains(id));
    let to_learn = learners.iter().filter(|id| !now.learners.contains(id));
    gone.map(|id| single(id, ConfChangeType::RemoveNode))
        .chain(to_vote.map(|&id| single(id, ConfChangeType::AddNode)))
        .chain(to_learn.map(|&id| single(id, ConfChangeType::AddLearnerNode)))
        .collect()
}

/// The members as of every index that a snapshot or a compaction may name, and now.
#[derive(Debug)]
pub(crate) struct MemberBook {
    /// By rising index; never empty.
    history: VecDeque<MembersAt>,
}

impl MemberBook {
    pub(crate) fn new(base: MembersAt) -> Self {
        MemberBook { history: VecDeque::from([base]) }
    }

    pub(crate) fn now(&self) -> &MembersAt {
        self.history.back().expect("never empty")
    }

    /// The members as of `index`, which is not below what was forgotten.
    pub(crate) fn as_of(&self, index: u64) -> &MembersAt {
        self.history.iter().rev().find(|at| at.index <= index).expect("kept as long as it may be asked for")
    }

    /// A change took effect at `index`.
    pub(crate) fn changed(&mut self, index: u64, members: Members) {
        let last = self.now();
        assert!(index > last.index, "changes come in order: {index} after {}", last.index);
        let highest_id = last.highest_id.max(members.highest_id());
        self.history.push_back(MembersAt { index, highest_id, members });
    }

    /// A snapshot takes the place of all before it.
    pub(crate) fn reset(&mut self, index: u64, members: Members) {
        let highest_id = self.now().highest_id.max(members.highest_id());
        self.history.clear();
        self.history.push_back(MembersAt { index, highest_id, members });
    }

    /// Nobody will ask for what was before `index`.
    pub(crate) fn forget_before(&mut self, index: u64) {
        while self.history.get(1).is_some_and(|next| next.index <= index) {
            self.history.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Leader {
        lagging: Vec<u64>,
        silent: Vec<u64>,
    }

    impl Known for Leader {
        fn leader(&self) -> u64 {
            1
        }

        fn behind_bytes(&self, id: u64) -> u64 {
            if self.lagging.contains(&id) { 101 } else { 100 }
        }

        fn is_lively(&self, id: u64) -> bool {
            !self.silent.contains(&id)
        }
    }

    fn refusal(now: &Members, change: MemberChange) -> Option<MembersRefused> {
        let leader = Leader { lagging: vec![6], silent: vec![7, 8] };
        plan(&change, &MembersAt::new(0, now.clone()), 100, &leader).err()
    }

    #[test]
    fn what_would_harm_the_group_is_refused_with_the_reason() {
        let three = Members { learners: vec![5, 6, 7, 8], ..Members::of_voters(&[1, 2, 3]) };
        let two = Members::of_voters(&[1, 2]);
        let one = Members::of_voters(&[1]);
        let set = |voters: &[u64]| MemberChange::Set { voters: voters.to_vec(), learners: vec![] };
        let cases = [
            (&three, MemberChange::AddLearner(0), MembersRefused::NoId),
            (&three, MemberChange::AddLearner(4), MembersRefused::UsedBefore { id: 4, next: 9 }),
            (&three, MemberChange::AddLearner(8), MembersRefused::UsedBefore { id: 8, next: 9 }),
            (&three, MemberChange::Promote(vec![2]), MembersRefused::AlreadyVoter(2)),
            (&three, MemberChange::Promote(vec![9]), MembersRefused::Unknown(9)),
            (&three, MemberChange::Promote(vec![6]), MembersRefused::Lags { id: 6, behind_bytes: 101 }),
            (&three, MemberChange::Promote(vec![]), MembersRefused::Nothing),
            (&three, MemberChange::Remove(vec![4]), MembersRefused::Unknown(4)),
            (&three, MemberChange::Remove(vec![1]), MembersRefused::Leads(1)),
            (&three, MemberChange::Remove(vec![1, 2, 3]), MembersRefused::LastVoter),
            (&three, MemberChange::Remove(vec![2, 3]), MembersRefused::OneOfTwo),
            (&two, MemberChange::Remove(vec![2]), MembersRefused::OneOfTwo),
            (&one, MemberChange::Remove(vec![1]), MembersRefused::LastVoter),
            (&three, set(&[1, 7, 8]), MembersRefused::NoMajority { voters: 3, lively: 1 }),
            (&three, set(&[1, 2, 9]), MembersRefused::Unknown(9)),
            (&three, MemberChange::Leave, MembersRefused::NotJoint),
        ];
        for (now, change, reason) in cases {
            assert_eq!(refusal(now, change.clone()), Some(reason), "{change:?}");
        }
        let joint = Members { voters_outgoing: vec![1, 2], ..Members::of_voters(&[1, 3]) };
        assert_eq!(refusal(&joint, MemberChange::AddLearner(9)), Some(MembersRefused::Joint));
        assert_eq!(refusal(&joint, MemberChange::Leave), None);
    }

    #[test]
    fn one_step_is_simple_and_more_are_joint() {
        let three = MembersAt::new(0, Members { learners: vec![4, 5], ..Members::of_voters(&[1, 2, 3]) });
        let leader = Leader { lagging: vec![], silent: vec![] };
        let joint = |change: &MemberChange| plan(change, &three, 100, &leader).unwrap().enter_joint();
        assert_eq!(joint(&MemberChange::Promote(vec![4])), None);
        assert_eq!(joint(&MemberChange::Promote(vec![4, 5])), Some(false), "left by a proposal");
        assert_eq!(joint(&MemberChange::Set { voters: vec![1, 2, 4], learners: vec![5] }), Some(false));
        assert_eq!(joint(&MemberChange::AddLearner(9)), None);
    }

    #[test]
    fn members_are_known_as_of_each_index_that_may_be_asked_for() {
        let mut book = MemberBook::new(MembersAt::new(0, Members::of_voters(&[1, 2, 3])));
        book.changed(7, Members { learners: vec![4], ..Members::of_voters(&[1, 2, 3]) });
        book.changed(9, Members::of_voters(&[1, 2, 3]));
        assert_eq!(book.as_of(6).members.ids(), [1, 2, 3]);
        assert_eq!(book.as_of(8).members.ids(), [1, 2, 3, 4]);
        assert_eq!(book.now().highest_id, 4, "a removed id is not free again");
        book.forget_before(8);
        assert_eq!(book.as_of(8).members.ids(), [1, 2, 3, 4]);
        assert_eq!(book.as_of(9).members.ids(), [1, 2, 3]);
    }
}
