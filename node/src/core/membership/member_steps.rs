//! The steps that lead from Raft's members to the node set in the ledger, one at a time. Pure.
//!
//! The set is what the authority wants, and the ledger keeps it: a leader that takes over finds here what the last one
//! had not done yet. A node that *joins* stands in the set first, then a checkpoint under the set before proves that,
//! then Raft takes it in: so nobody counts of whom a verifier can't know. A node that *leaves* is taken out of the set by an
//! act, and Raft lets go of it right after: only what the authorities signed takes a vote away (`docs/decisions`, 53).

use sillage_cluster::MemberChange;
use sillage_rules::node_set::NodeSet;

/// Raft's members, as they are applied here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftMembers {
    /// The nodes whose votes count.
    pub voters: Vec<u64>,
    /// In a joint step: whose votes count beside.
    pub voters_outgoing: Vec<u64>,
    /// Ids of those that are sent everything and count for nothing.
    pub learners: Vec<u64>,
}

impl RaftMembers {
    /// Tells whether Raft sends anything to this node.
    pub fn knows(&self, id: u64) -> bool {
        [&self.voters, &self.voters_outgoing, &self.learners].iter().any(|ids| ids.contains(&id))
    }

    /// Those that Raft knows and the set doesn't: of them Raft has still to let go.
    pub fn outside<'a>(&'a self, set: &'a NodeSet) -> impl Iterator<Item = u64> + 'a {
        let all = self.voters.iter().chain(&self.learners).copied();
        all.filter(move |id| set.node(*id).is_none())
    }
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: both agree.
    Settled,
    /// Something that the leader waits for, in plain words.
    Wait(String),
    /// This, which is safe to propose again.
    Propose(MemberChange),
}

/// The next step from `raft` to `set`. `proved`: the checkpoint that proves the set is on disk here.
pub fn next(set: &NodeSet, raft: &RaftMembers, proved: bool) -> Next {
    if !raft.voters_outgoing.is_empty() {
        return Next::Propose(MemberChange::Leave);
    }
    let gone: Vec<u64> = raft.outside(set).collect();
    if !gone.is_empty() {
        return Next::Propose(MemberChange::Remove(gone));
    }
    if let Some(id) = set.learners.iter().copied().find(|id| !raft.knows(*id)) {
        return match proved {
            true => Next::Propose(MemberChange::AddLearner(id)),
            false => waits_for_proof(set, id),
        };
    }
    let rising: Vec<u64> = set.voters.iter().copied().filter(|id| raft.learners.contains(id)).collect();
    if let Some(first) = rising.first().copied() {
        return match proved {
            true => Next::Propose(MemberChange::Promote(rising)),
            false => waits_for_proof(set, first),
        };
    }
    match set.voters.iter().find(|id| !raft.knows(**id)) {
        Some(id) => Next::Wait(format!(
            "node {id} was taken out of Raft and still stands in the ledger: run `sillage cluster member remove {id}` again"
        )),
        None => Next::Settled,
    }
}

fn waits_for_proof(set: &NodeSet, id: u64) -> Next {
    Next::Wait(format!("node {id} waits for the checkpoint that proves node set {}", set.epoch))
}

#[cfg(test)]
mod tests {
    use sillage_proof::keys::SigningKey;
    use sillage_rules::node_set::SetNode;

    use super::*;

    fn node(id: u64) -> SetNode {
        let seed = [u8::try_from(id).unwrap(); 32];
        SetNode {
            id,
            name: format!("node-{id}"),
            key: SigningKey::from_seed(&seed).public_key(),
            tls_spki_sha256: seed,
            client_address: format!("10.0.0.{id}:7400"),
            peer_address: format!("10.0.0.{id}:7401"),
        }
    }

    fn three() -> NodeSet {
        NodeSet::of_genesis((1..=3).map(node).collect())
    }

    fn raft(voters: &[u64], learners: &[u64]) -> RaftMembers {
        RaftMembers { voters: voters.to_vec(), voters_outgoing: Vec::new(), learners: learners.to_vec() }
    }

    #[test]
    fn a_newcomer_is_taken_in_when_its_act_is_proven_and_votes_when_its_promotion_is() {
        let set = three();
        let set = set.after(&set.adding(node(4)).unwrap()).unwrap();
        let before = raft(&[1, 2, 3], &[]);
        assert!(matches!(next(&set, &before, false), Next::Wait(why) if why.contains("proves node set 1")));
        assert_eq!(next(&set, &before, true), Next::Propose(MemberChange::AddLearner(4)));
        let learns = raft(&[1, 2, 3], &[4]);
        assert_eq!(next(&set, &learns, true), Next::Settled);

        let set = set.after(&set.with_voters(&[1, 2, 3, 4], &[]).unwrap()).unwrap();
        assert!(matches!(next(&set, &learns, false), Next::Wait(_)));
        assert_eq!(next(&set, &learns, true), Next::Propose(MemberChange::Promote(vec![4])));
        assert_eq!(next(&set, &raft(&[1, 2, 3, 4], &[]), true), Next::Settled);
    }

    #[test]
    fn a_voter_leaves_raft_once_its_removal_is_on_record_and_not_before() {
        let set = three();
        let all = raft(&[1, 2, 3], &[]);
        assert_eq!(next(&set, &all, true), Next::Settled, "whoever asked for it");
        let set = set.after(&set.with_voters(&[1, 2], &[3]).unwrap()).unwrap();
        assert_eq!(next(&set, &all, false), Next::Propose(MemberChange::Remove(vec![3])), "proven or not");
        assert_eq!(all.outside(&set).collect::<Vec<_>>(), [3]);
        assert_eq!(next(&set, &raft(&[1, 2], &[]), false), Next::Settled);
    }

    #[test]
    fn a_voter_that_was_taken_out_is_never_taken_in_again_by_itself() {
        let set = three();
        let out = raft(&[1, 2], &[]);
        assert!(matches!(next(&set, &out, true), Next::Wait(why) if why.contains("member remove 3")));
        let set = set.after(&set.with_voters(&[1, 2], &[3]).unwrap()).unwrap();
        assert_eq!(next(&set, &out, false), Next::Settled);
    }

    #[test]
    fn whom_the_ledger_no_longer_names_raft_lets_go() {
        let set = three();
        let with = set.after(&set.adding(node(4)).unwrap()).unwrap();
        let without = with.after(&with.with_voters(&[1, 2, 3], &[4]).unwrap()).unwrap();
        let learns = raft(&[1, 2, 3], &[4]);
        assert_eq!(next(&without, &learns, false), Next::Propose(MemberChange::Remove(vec![4])));
    }

    #[test]
    fn a_joint_step_is_ended_before_anything_else() {
        let joint = RaftMembers { voters_outgoing: vec![1, 2, 3], ..raft(&[1, 2, 4], &[]) };
        assert_eq!(next(&three(), &joint, true), Next::Propose(MemberChange::Leave));
    }
}
