//! `cluster`: the nodes, their state, and who belongs to the group ([`member`]).

mod member;
mod node_folder;

use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use sillage_client::error::ClientError;
use sillage_proto::v1;
use sillage_words::sentence::clean;
use sillage_words::time::rfc3339;

use self::member::MemberCommand;
use crate::acts::proposal::{rule_in_words, rule_json};
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Leader, term, commit, applied, tree size, root, per node
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add, promote, remove and replace nodes (but for `list`, the profile needs `authority_key`; to make a node's
    /// folder also `ca_key`)
    #[command(subcommand)]
    Member(MemberCommand),
    /// Hand leadership to another node
    MoveLeader {
        /// The node that is to lead
        id: u64,
    },
}

pub async fn run(context: &Context, command: ClusterCommand) -> Result<Ended, ClientError> {
    match command {
        ClusterCommand::Status { json } => status(context, json).await,
        ClusterCommand::Member(command) => member::run(context, command).await,
        ClusterCommand::MoveLeader { id } => member::move_leader(context, id).await,
    }
}

async fn status(context: &Context, as_json: bool) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::ClusterStatusRequest { local_only: false };
    let answer = session.client.call(|mut rpc| async move { rpc.cluster_status(request).await }).await?;
    if as_json {
        let mut status = cluster_json(&answer.nodes);
        status["rule"] = rule_json(answer.rule.as_ref());
        output::line(&status.to_string())?;
    } else {
        output::line(&cluster_table(&answer.nodes).to_string())?;
        output::line(&rule_in_words(answer.rule.as_ref()))?;
        output::lines(&troubles(&answer.nodes))?;
    }
    match answer.nodes.iter().all(is_ok) {
        true => Ok(Ended::Done),
        false => Ok(Ended::CheckFailed),
    }
}

/// The status that a node says of itself; one of before the word knows less.
fn status_of(node: &v1::NodeStatus) -> &str {
    match (node.reachable, node.status.as_str()) {
        (false, _) => "unreachable",
        (true, "") if node.role == "corrupt" => "corrupt",
        (true, "") if node.leader == 0 => "no_leader",
        (true, "") => "ok",
        (true, word) => word,
    }
}

fn is_ok(node: &v1::NodeStatus) -> bool {
    status_of(node) == "ok" && node.alarms.is_empty()
}

/// A line for each thing that is wrong.
fn troubles(nodes: &[v1::NodeStatus]) -> Vec<String> {
    let mut lines = Vec::new();
    for node in nodes.iter().filter(|node| !is_ok(node)) {
        if node.alarms.is_empty() {
            lines.push(format!("node {}: {}", node.id, clean(status_of(node))));
        }
        for alarm in &node.alarms {
            let (word, since, what) = (clean(&alarm.word), rfc3339(alarm.since_ms), clean(&alarm.what));
            lines.push(format!("node {}: {word} since {since}: {what}", node.id));
        }
    }
    lines
}

/// Leader and term as most recent nodes see them, and every node.
fn cluster_json(nodes: &[v1::NodeStatus]) -> Value {
    let newest = nodes.iter().filter(|node| node.reachable).max_by_key(|node| (node.term, node.leader));
    let alarm =
        |alarm: &v1::RaisedAlarm| json!({"word": alarm.word, "since": rfc3339(alarm.since_ms), "what": alarm.what});
    let of = |node: &v1::NodeStatus| {
        json!({
            "id": node.id, "name": node.name, "address": node.address, "reachable": node.reachable, "role": node.role,
            "leader": node.leader, "term": node.term, "commit": node.commit, "applied": node.applied,
            "flushed": node.flushed, "tree_size": node.tree_size, "root": hex::encode(&node.root),
            "raft_log_first": node.raft_log_first, "raft_log_last": node.raft_log_last, "version": node.version,
            "status": status_of(node), "alarms": node.alarms.iter().map(alarm).collect::<Vec<_>>(),
        })
    };
    json!({
        "leader": newest.map_or(0, |node| node.leader),
        "term": newest.map_or(0, |node| node.term),
        "ok": nodes.iter().all(is_ok),
        "nodes": nodes.iter().map(of).collect::<Vec<_>>(),
    })
}

fn cluster_table(nodes: &[v1::NodeStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "node",
        "address",
        "role",
        "status",
        "leader",
        "term",
        "commit",
        "applied",
        "tree size",
        "root",
        "version",
    ]);
    for node in nodes {
        let name = format!("{} {}", node.id, clean(&node.name));
        if !node.reachable {
            let down = || "-".to_owned();
            let row = [
                name,
                clean(&node.address),
                "unreachable".to_owned(),
                down(),
                down(),
                down(),
                down(),
                down(),
                down(),
                down(),
                down(),
            ];
            table.add_row(row);
            continue;
        }
        let root: String = hex::encode(&node.root).chars().take(16).collect();
        table.add_row([
            name,
            clean(&node.address),
            clean(&node.role),
            clean(status_of(node)),
            node.leader.to_string(),
            node.term.to_string(),
            node.commit.to_string(),
            node.applied.to_string(),
            node.tree_size.to_string(),
            root,
            clean(&node.version),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_the_newest_terms() {
        let node =
            |id, term, leader, reachable| v1::NodeStatus { id, term, leader, reachable, ..v1::NodeStatus::default() };
        let nodes = [node(1, 4, 1, true), node(2, 5, 3, true), node(3, 9, 9, false)];
        let status = cluster_json(&nodes);
        assert_eq!((&status["leader"], &status["term"]), (&json!(3), &json!(5)));
        assert_eq!(status["nodes"][2]["reachable"], json!(false));
        assert!(cluster_table(&nodes).to_string().contains("unreachable"));
    }

    #[test]
    fn a_group_is_ok_only_when_every_node_says_so() {
        let well =
            |id| v1::NodeStatus { id, leader: 1, reachable: true, status: "ok".into(), ..v1::NodeStatus::default() };
        assert!(troubles(&[well(1), well(2)]).is_empty());
        assert_eq!(cluster_json(&[well(1), well(2)])["ok"], json!(true));
        let alarm = v1::RaisedAlarm { word: "READ_ONLY".into(), since_ms: 0, what: "Make room.".into() };
        let full = v1::NodeStatus { status: "failing".into(), alarms: vec![alarm], ..well(2) };
        assert_eq!(troubles(&[well(1), full.clone()]), ["node 2: READ_ONLY since 1970-01-01T00:00:00Z: Make room."]);
        let json = cluster_json(&[well(1), full]);
        assert_eq!((&json["ok"], &json["nodes"][1]["alarms"][0]["word"]), (&json!(false), &json!("READ_ONLY")));
        let of_before =
            |role: &str, leader| v1::NodeStatus { role: role.into(), leader, status: String::new(), ..well(3) };
        assert!(is_ok(&of_before("follower", 1)));
        assert_eq!(
            troubles(&[of_before("corrupt", 1), of_before("follower", 0)]),
            ["node 3: corrupt", "node 3: no_leader"]
        );
        assert!(!is_ok(&v1::NodeStatus { reachable: false, ..well(3) }));
    }
}
