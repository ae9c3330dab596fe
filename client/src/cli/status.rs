//! `cluster status` and `stream status`.

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use sillage_proto::v1;

use super::{Context, Ended, output};
use crate::error::ClientError;
use crate::view::sentence::clean;
use crate::view::time::rfc3339;

pub async fn cluster(context: &Context, as_json: bool) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::ClusterStatusRequest { local_only: false };
    let answer = session.client.call(|mut rpc| async move { rpc.cluster_status(request).await }).await?;
    if as_json {
        output::line(&cluster_json(&answer.nodes).to_string())?;
    } else {
        output::line(&cluster_table(&answer.nodes).to_string())?;
    }
    Ok(Ended::Done)
}

/// Leader and term as most recent nodes see them, and every node.
fn cluster_json(nodes: &[v1::NodeStatus]) -> Value {
    let newest = nodes.iter().filter(|node| node.reachable).max_by_key(|node| (node.term, node.leader));
    let of = |node: &v1::NodeStatus| {
        json!({
            "id": node.id, "name": node.name, "address": node.address, "reachable": node.reachable, "role": node.role,
            "leader": node.leader, "term": node.term, "commit": node.commit, "applied": node.applied,
            "flushed": node.flushed, "tree_size": node.tree_size, "root": hex::encode(&node.root),
            "raft_log_first": node.raft_log_first, "raft_log_last": node.raft_log_last, "version": node.version,
        })
    };
    json!({
        "leader": newest.map_or(0, |node| node.leader),
        "term": newest.map_or(0, |node| node.term),
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
            ];
            table.add_row(row);
            continue;
        }
        let root: String = hex::encode(&node.root).chars().take(16).collect();
        table.add_row([
            name,
            clean(&node.address),
            clean(&node.role),
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

pub async fn stream(context: &Context, as_json: bool) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::StreamStatusRequest::default();
    let answer = session
        .client
        .call(|mut rpc| {
            let request = request.clone();
            async move { rpc.stream_status(request).await }
        })
        .await?;
    let to_line = |s: &v1::StreamState| {
        let recorded_at = (s.last_seq > 0).then(|| rfc3339(s.last_time_ms));
        let first_index = (s.last_seq > 0).then_some(s.last_first_index);
        if as_json {
            json!({
                "label": s.label, "stream_id": hex::encode(&s.stream_id), "last_seq": s.last_seq,
                "last_root": hex::encode(&s.last_root), "last_first_index": first_index, "last_recorded_at": recorded_at,
            })
            .to_string()
        } else {
            let at = recorded_at.unwrap_or_else(|| "never".to_owned());
            format!(
                "{}: batch {} is the last on record ({at}), send {} next",
                clean(&s.label),
                s.last_seq,
                s.last_seq + 1
            )
        }
    };
    let mut lines: Vec<String> = answer.streams.iter().map(to_line).collect();
    if lines.is_empty() && !as_json {
        lines.push("this author has no stream yet: its first batch is number 1".to_owned());
    }
    output::lines(&lines)?;
    Ok(Ended::Done)
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
}
