//! Readiness of the nodes: a leader that all of them know, the feature level that each of them knows, and an answer from each, over mutual TLS with the profile.

use std::path::Path;
use std::time::Duration;

use sillage_ledger::FEATURE_LEVEL;
use sillage_proto::v1::ledger_client::LedgerClient;
use sillage_proto::v1::{ClusterStatusRequest, GetLogRequest, NodeStatus};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use super::{DevError, Node, system};
use crate::config::TlsConfig;
use crate::init::profile::Profile;
use crate::tls::{self, Identity, dial};

type Client = LedgerClient<Channel>;

/// Waits until all of `nodes` serve that the log still has; gives the ids of the log's nodes. Isolated ones have no leader:
/// each has to answer.
pub(super) async fn wait(profile: &Path, nodes: &[Node], wait: Duration, isolated: bool) -> Result<Vec<u64>, DevError> {
    let clients = clients(profile, nodes)?;
    let deadline = Instant::now() + wait;
    loop {
        let missing = match ask_all(&clients, isolated).await {
            Ok(present) => return Ok(present),
            Err(missing) => missing,
        };
        if Instant::now() >= deadline {
            return Err(DevError::NotReady { wait, what: missing });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A client of every node, with the certificate of the profile.
fn clients(profile_file: &Path, nodes: &[Node]) -> Result<Vec<(u64, Client)>, DevError> {
    let what = profile_file.display().to_string();
    let text = std::fs::read_to_string(profile_file).map_err(system(what.clone()))?;
    let wrong = |message: String| DevError::System { what: what.clone(), message };
    let profile: Profile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let dir = profile_file.parent().unwrap_or(Path::new(""));
    let files = TlsConfig { ca: dir.join(&profile.ca), cert: dir.join(&profile.cert), key: dir.join(&profile.key) };
    let tls = Identity::load(&files).and_then(|identity| tls::client_config(&identity, None));
    let tls = tls.map_err(|error| wrong(error.to_string()))?;
    let client = |node: &Node| {
        let channel = dial::channel(&node.client_address, &profile.server_name, tls.clone());
        channel.map(|channel| (node.id, LedgerClient::new(channel)))
    };
    nodes.iter().map(client).collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))
}

/// The status of one node.
struct HealthAnswer {
    status: NodeStatus,
    /// The number of the node set that it knows, and the ids in it.
    epoch: u64,
    present: Vec<u64>,
}

/// The ids of the log's nodes; else what is missing, as a few words.
async fn ask_all(clients: &[(u64, Client)], isolated: bool) -> Result<Vec<u64>, String> {
    let asked = clients.iter().map(|(id, client)| async move { (*id, ask(client.clone()).await) });
    let answers = futures::future::join_all(asked).await;
    match isolated {
        true => answers.into_iter().map(|(id, answer)| answer.map(|_| id)).collect(),
        false => judged(answers),
    }
}

fn judged(answers: Vec<(u64, Result<HealthAnswer, String>)>) -> Result<Vec<u64>, String> {
    // A node that was removed, or was away, knows an older set than one that is there.
    let newest = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).max_by_key(|answer| answer.epoch);
    let present = newest.map(|answer| answer.present.clone());
    let is_present = |id: u64| present.as_ref().is_none_or(|ids| ids.contains(&id));
    let elsewhere: Vec<u64> =
        present.iter().flatten().copied().filter(|id| !answers.iter().any(|(known, _)| known == id)).collect();
    let because = |why: String| match elsewhere.is_empty() {
        true => why,
        false => format!("{why}; nodes {elsewhere:?} of this log have no folder here: start them, or move them here"),
    };
    let mut leaders = Vec::new();
    for (id, answer) in &answers {
        if !is_present(*id) {
            continue;
        }
        let status = &answer.as_ref().map_err(|why| because(format!("node {id}: {why}")))?.status;
        if status.leader == 0 || status.commit == 0 || status.applied == 0 {
            return Err(because(format!("node {id} knows no leader")));
        }
        if status.feature_level < FEATURE_LEVEL {
            return Err(format!("node {id} hasn't the newest feature level yet"));
        }
        leaders.push((status.leader, status.term));
    }
    let same = leaders.windows(2).all(|pair| pair[0] == pair[1]);
    match (leaders.first(), present) {
        (Some((leader, _)), Some(present)) if same && present.contains(leader) => Ok(present),
        _ => Err(because("the nodes don't agree on a leader".to_owned())),
    }
}

/// How one node is, after it has shown that it answers.
async fn ask(mut client: Client) -> Result<HealthAnswer, String> {
    let answer = async {
        let log = client.get_log(GetLogRequest::default()).await?.into_inner();
        let local_only = ClusterStatusRequest { local_only: true };
        Ok::<_, tonic::Status>((log, client.cluster_status(local_only).await?.into_inner()))
    };
    let answer = timeout(Duration::from_secs(5), answer).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    let (log, mut status) = answer.map_err(|status| status.to_string())?;
    let status = status.nodes.pop().ok_or_else(|| "says nothing of itself".to_owned())?;
    Ok(HealthAnswer { status, epoch: log.node_set_epoch, present: log.nodes.iter().map(|node| node.id).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(leader: u64, epoch: u64, present: &[u64]) -> Result<HealthAnswer, String> {
        let known = NodeStatus { feature_level: FEATURE_LEVEL, ..NodeStatus::default() };
        let status = NodeStatus { leader, term: 3, commit: 9, applied: 9, ..known };
        Ok(HealthAnswer { status, epoch, present: present.to_vec() })
    }

    #[test]
    fn a_node_that_was_replaced_is_not_waited_for() {
        let gone = || Err("no answer".to_owned());
        let of_now = [1, 3, 4];
        let all = || vec![(1, says(4, 2, &of_now)), (3, says(4, 2, &of_now)), (4, says(4, 2, &of_now))];
        assert_eq!(judged(all()), Ok(of_now.to_vec()));
        // Its folder may be there still, whether its process answers or not.
        for old in [gone(), says(0, 0, &[1, 2, 3])] {
            let answers = all().into_iter().chain([(2, old)]).collect();
            assert_eq!(judged(answers), Ok(of_now.to_vec()));
        }
        let away = vec![(1, says(4, 2, &of_now)), (3, gone()), (4, says(4, 2, &of_now))];
        assert!(judged(away).unwrap_err().contains("node 3: no answer"));
        let elsewhere = vec![(1, says(0, 2, &of_now)), (3, says(0, 2, &of_now))];
        let why = judged(elsewhere).unwrap_err();
        assert!(why.contains("node 1 knows no leader") && why.contains("[4] of this log have no folder"), "{why}");
        assert!(judged(vec![(1, gone())]).unwrap_err().contains("no answer"));
    }
}
