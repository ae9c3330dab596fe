//! Whether the nodes serve: a leader that all of them know, the feature level that each of them knows, and an answer from each, over mutual TLS with the profile.

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

/// Waits until all `nodes` serve.
pub(super) async fn wait(profile: &Path, nodes: &[Node], wait: Duration) -> Result<(), DevError> {
    let clients = clients(profile, nodes)?;
    let deadline = Instant::now() + wait;
    loop {
        let missing = match ask_all(&clients).await {
            Ok(()) => return Ok(()),
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

/// What is missing, as a few words.
async fn ask_all(clients: &[(u64, Client)]) -> Result<(), String> {
    let mut leaders = Vec::new();
    for (id, client) in clients {
        let status = ask(client.clone()).await;
        let status = status.map_err(|why| format!("node {id}: {why}"))?;
        if status.leader == 0 || status.commit == 0 || status.applied == 0 {
            return Err(format!("node {id} knows no leader"));
        }
        if status.feature_level < FEATURE_LEVEL {
            return Err(format!("node {id} hasn't the newest feature level yet"));
        }
        leaders.push((status.leader, status.term));
    }
    let same = leaders.windows(2).all(|pair| pair[0] == pair[1]);
    let known = |leader| clients.iter().any(|(id, _)| *id == leader);
    match leaders.first() {
        Some((leader, _)) if same && known(*leader) => Ok(()),
        _ => Err("the nodes don't agree on a leader".to_owned()),
    }
}

/// How one node is, after it has shown that it answers.
async fn ask(mut client: Client) -> Result<NodeStatus, String> {
    let answer = async {
        client.get_log(GetLogRequest::default()).await?;
        let local_only = ClusterStatusRequest { local_only: true };
        client.cluster_status(local_only).await
    };
    let answer = timeout(Duration::from_secs(5), answer).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    let nodes = answer.map_err(|status| status.to_string())?;
    let mut nodes = nodes.into_inner().nodes;
    nodes.pop().ok_or_else(|| "says nothing of itself".to_owned())
}
