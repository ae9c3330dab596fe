//! How this node and its peers are, for operators.

use std::time::Duration;

use futures::future::join_all;
use sillage_cluster::core::Role;
use sillage_cluster::runtime::FsyncStats;
use sillage_proto::v1::{ClusterStatusRequest, NodeStatus, RaisedAlarm};
use sillage_rules::roles::Roles;
use tokio::time::timeout;

use super::alarms::Severity;
use crate::core::Core;
use crate::http::{Backend, Health, Raised};
use crate::peer::links::Link;
use crate::tls::Caller;

/// Of a node that was told to stop: nobody is sent to it any more, and it isn't to lead.
const STOPPING: &str = "stopping";
/// For a peer's answer; one that takes longer is shown as unreachable.
const PEER_TIMEOUT: Duration = Duration::from_millis(1_000);

impl Core {
    /// This node's own status. Waits for nothing.
    pub fn local_status(&self) -> NodeStatus {
        let status = self.replica.status();
        let replica = &status.core;
        let head = self.reader.head();
        NodeStatus {
            id: self.config.id,
            name: self.config.name.clone(),
            address: self.config.listen_client.clone(),
            reachable: true,
            role: if self.condition.corruption.reason().is_some() { "corrupt" } else { role(replica.role) }.to_owned(),
            leader: replica.leader.unwrap_or(0),
            term: replica.term,
            commit: replica.commit,
            applied: head.applied_index,
            tree_size: head.size.get(),
            root: head.root.as_bytes().to_vec(),
            raft_log_first: replica.log_first,
            raft_log_last: replica.log_last,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            flushed: self.reader.flushed(),
            status: self.status_word(replica.leader).to_owned(),
            alarms: self.alarms.raised().into_iter().map(to_proto).collect(),
            feature_level: self.reader.feature_level(),
        }
    }

    /// `ok` only while nothing is wrong; else the word for the worst of it.
    fn status_word(&self, leader: Option<u64>) -> &'static str {
        let worst = self.alarms.worst().map(|alarm| alarm.severity());
        match (self.condition.corruption.reason(), worst, leader) {
            (Some(_), ..) => "corrupt",
            _ if self.is_leaving() => STOPPING,
            // It takes no part, so it has no leader either.
            (None, Some(Severity::Stopped), _) => Severity::Stopped.as_str(),
            (None, _, None) => "no_leader",
            (None, Some(severity), Some(_)) => severity.as_str(),
            (None, None, Some(_)) => "ok",
        }
    }

    /// Every node's status, by id, asked of all at once.
    pub async fn cluster_status(&self) -> Vec<NodeStatus> {
        let mut nodes = join_all(self.links.iter().map(|link| self.peer_status(link))).await;
        nodes.push(self.local_status());
        nodes.sort_by_key(|node| node.id);
        nodes
    }

    /// Brings the histogram up to the replica's own counters; each write counts with the upper end of its bucket.
    fn show_fsyncs(&self) {
        let now = self.replica.fsync_stats().counts();
        let mut shown = self.condition.fsyncs_shown.lock();
        for (bucket, (now, shown)) in now.iter().zip(shown.iter_mut()).enumerate() {
            let seconds = FsyncStats::bucket_end_us(bucket) as f64 / 1e6;
            for _ in *shown..*now {
                self.metrics.fsync_seconds.observe(seconds);
            }
            *shown = *now;
        }
    }

    pub(super) async fn peer_status(&self, link: Link) -> NodeStatus {
        let mut client = link.calls.clone();
        let request = ClusterStatusRequest { local_only: true };
        match timeout(PEER_TIMEOUT, client.status(request)).await {
            Ok(Ok(status)) => status.into_inner(),
            Ok(Err(_)) | Err(_) => {
                let set = self.reader.node_set().ok();
                let name = set.and_then(|set| set.node(link.id).map(|node| node.name.clone()));
                NodeStatus {
                    id: link.id,
                    name: name.unwrap_or_default(),
                    address: link.address,
                    ..NodeStatus::default()
                }
            }
        }
    }
}

fn to_proto(raised: Raised) -> RaisedAlarm {
    RaisedAlarm { word: raised.word, since_ms: raised.since.0, what: raised.what }
}

/// The three words of the contract; a node that serves nothing says `corrupt` instead.
fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::PreCandidate | Role::Candidate => "candidate",
    }
}

impl Backend for Core {
    fn is_operator(&self, caller: &Caller) -> bool {
        let party = self.reader.party_by_tls_spki(&caller.spki_sha256);
        matches!(party, Ok(Some(party)) if party.roles.contains(Roles::OPERATOR))
    }

    fn health(&self) -> Health {
        let status = self.local_status();
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        metrics.raft_term.set(gauge(status.term));
        metrics.raft_commit.set(gauge(status.commit));
        metrics.raft_applied.set(gauge(status.applied));
        metrics.raft_leader.set(gauge(status.leader));
        metrics.raft_is_leader.set(i64::from(status.role == "leader"));
        metrics.tree_size.set(gauge(status.tree_size));
        metrics.queue("packer", self.submitting.waiting());
        self.show_fsyncs();
        let alarms = self.alarms.raised();
        let stopped = alarms.first().filter(|_| status.status == Severity::Stopped.as_str());
        let reason = match self.condition.corruption.reason() {
            Some(reason) => reason.to_owned(),
            None if status.status == STOPPING => "it was told to stop".to_owned(),
            None => stopped.map(|raised| raised.what.clone()).unwrap_or_default(),
        };
        Health {
            status: status.status,
            reason,
            node: status.id,
            role: status.role,
            leader: status.leader,
            term: status.term,
            commit: status.commit,
            applied: status.applied,
            tree_size: status.tree_size,
            alarms,
        }
    }
}
