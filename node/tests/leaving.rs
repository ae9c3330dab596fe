//! The authorities take a node out of the group, by an act on record. An operator, whose key one authority alone registers,
//! asks whether a node may leave, and changes nothing by asking.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Author, Deployment, Running, access, key, now_ms, record, until};
use sillage_node::core::Core;
use sillage_proto::v1::{ChangeMemberRequest, MemberStep};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::record::act_message;

async fn leader_of(nodes: &[Running]) -> (Arc<Core>, [u64; 2]) {
    let leads = until("a leader that all know", async || {
        let leaders: Vec<_> = nodes.iter().map(|node| node.core.leader()).collect();
        leaders[0].filter(|leader| leaders.iter().all(|other| *other == Some(*leader)))
    })
    .await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leads).collect();
    let place = usize::try_from(leads).expect("few") - 1;
    (Arc::clone(&nodes[place].core), [others[0], others[1]])
}

async fn raft_voters(core: &Core) -> Vec<u64> {
    let members = core.members().await.expect("readable").members;
    members.iter().filter(|member| member.raft_voter).map(|member| member.id).collect()
}

async fn asks(core: &Core, id: u64) -> Result<Vec<u8>, Code> {
    let request = ChangeMemberRequest { step: MemberStep::Remove.into(), id };
    core.change_member(request).await.map(|answer| answer.log_key).map_err(|refusal| refusal.code)
}

/// The act that removes a node; another authority might have signed it too.
fn removal(core: &Core, id: u64) -> Act {
    let set = core.reader().node_set().expect("readable");
    let rest: Vec<u64> = set.voters.iter().copied().filter(|voter| *voter != id).collect();
    Act::NodeSetChanged(set.with_voters(&rest, &[id]).expect("two stay"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_act_on_record_takes_a_node_out() {
    let mut deployment = Deployment::new(3);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(deployment.start(id).await);
    }
    let (leader, [one, other]) = leader_of(&nodes).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    record(&leader, &mut author).await;

    // Whoever asks, for one voter and for a second one: all of them go on to count.
    let next = until("an answer", async || asks(&leader, one).await.ok()).await;
    assert!(!asks(&leader, other).await.expect("it might leave as well").is_empty());
    assert_eq!(asks(&leader, one).await, Ok(next), "no further key for the same question");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(raft_voters(&leader).await, [1, 2, 3], "nobody signed an act");
    assert_eq!(leader.reader().node_set().expect("readable").epoch, 0);

    // The leader proposes no act that removes it.
    let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
    let own =
        leader.members().await.expect("readable").members.iter().map(|member| member.id).sum::<u64>() - one - other;
    let itself = authority.batch(&act_message(&removal(&leader, own), now_ms()));
    let refusal = leader.submit(itself).await.expect_err("refused");
    assert_eq!(refusal.code, Code::ActRefused, "{refusal}");
    assert!(refusal.message.contains("move-leader"), "{refusal}");

    // On record, the act is followed; a second one comes once it is.
    let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
    let act = authority.batch(&act_message(&removal(&leader, one), now_ms()));
    leader.submit(act).await.expect("signed by the authority");
    until("Raft lets go of it", async || (!raft_voters(&leader).await.contains(&one)).then_some(())).await;
    assert_eq!(asks(&leader, other).await, Err(Code::ActRefused), "two are the fewest");
    let voters: Vec<u64> = [own, other].into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    until("two that vote", async || (raft_voters(&leader).await == voters).then_some(())).await;
    let batch = author.batch(&access(&leader));
    until("a record of two", async || leader.submit(batch.clone()).await.ok()).await;
    drop(leader);
    for node in nodes {
        node.stop().await;
    }
}
