//! A node that was away finds its group again although a majority of the nodes that it knew was replaced meanwhile.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;
use sillage_tests::lines::{access, ins};
use sillage_tests::members::{Grown, address, text};
use sillage_tests::stories;
use sillage_tests::story::tell;

const PATIENT: u64 = 940;

fn main() -> ExitCode {
    let stories =
        stories![it_asks_whoever_is_where_a_node_was, where_nobody_is_left_an_operator_names_one_node_of_today,];
    tell(Grown::begin, stories)
}

fn folder(grown: &Grown, id: u64) -> PathBuf {
    grown.out(&format!("node-{id}"))
}

/// `HOST:PORT:PEERPORT` of a node, and its certificate's hash.
fn place(grown: &Grown, id: u64) -> (String, String) {
    let members = grown.members();
    let nodes = members["members"].as_array().expect("members");
    let node = nodes.iter().find(|node| node["id"] == id).expect("a member");
    let field = |name: &str| node[name].as_str().expect("text").to_owned();
    let (client, peer) = (field("address"), field("peer_address"));
    let peer_port = peer.rsplit_once(':').expect("a port").1;
    (format!("{client}:{peer_port}"), field("tls_spki_sha256"))
}

/// The logs of node `id` of the first three, over all of its starts.
fn log_of_first(grown: &Grown, id: u64) -> String {
    let own = fs::read_to_string(grown.world.dir().join(format!("node-{id}/log.txt"))).unwrap_or_default();
    let again = fs::read_dir(grown.out("logs")).expect("the logs").flatten();
    let again = again.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("node-{id}.restart-")));
    again.fold(own, |all, entry| all + &fs::read_to_string(entry.path()).unwrap_or_default())
}

fn applied(grown: &Grown, id: u64) -> Option<u64> {
    let members: Value = grown.members();
    let node = members["members"].as_array()?.iter().find(|node| node["id"] == id)?;
    (node["reachable"] == true).then(|| node["applied"].as_u64()).flatten()
}

/// One more node, at this address.
fn join(grown: &mut Grown, id: u64, address: &str) {
    let dir = folder(grown, id);
    assert_eq!(grown.add(&dir, address), id);
    grown.promote(id);
}

fn it_asks_whoever_is_where_a_node_was(grown: &mut Grown) {
    grown.is_ready();
    grown.world.record(&[access(&ins(PATIENT), "with the first three")]);
    // Node 1 is away. Others come; 3 goes, and 6 comes to its place; then 2 goes.
    grown.world.kill(1);
    let (at_3, _) = place(grown, 3);
    join(grown, 4, &address());
    let early = grown.until("an answer", || {
        let run = grown.cluster(&["member", "remove", "3"]);
        (run.code == Some(4) && !run.stderr.contains("move-leader")).then_some(run).or_else(|| {
            grown.cluster(&["move-leader", "2"]);
            None
        })
    });
    early.refused("ACT_REFUSED").naming("3 are needed").naming("add a node");
    join(grown, 5, &address());
    grown.remove(3);
    join(grown, 6, &at_3);
    grown.remove(2);
    grown.world.record(&[access(&ins(PATIENT), "without them")]);
    let size = grown.world.tree_size();
    grown.world.restart(1);
    grown.until("the node that was away", || {
        let both = applied(grown, 1)? >= applied(grown, 4)?;
        both.then_some(())
    });
    grown.level(&[1, 4, 5, 6]);
    assert!(grown.world.tree_size() >= size);
    assert!(log_of_first(grown, 1).contains("the nodes of now, as they were proven"));
}

fn where_nobody_is_left_an_operator_names_one_node_of_today(grown: &mut Grown) {
    grown.world.kill(1);
    for (new, old) in [(7, 4), (8, 5), (9, 6)] {
        join(grown, new, &address());
        grown.remove(old);
    }
    let (at, pin) = place(grown, 7);
    grown.world.record(&[access(&ins(PATIENT), "three others")]);
    grown.world.restart(1);
    grown.until("a word of the node that is lost", || log_of_first(grown, 1).contains("OUT_OF_TOUCH").then_some(()));
    assert!(log_of_first(grown, 1).contains("under [[peers]] in node.toml"), "{}", log_of_first(grown, 1));
    // As it says: one node of today. The others are proven to it.
    let (client, peer_port) = at.rsplit_once(':').expect("two ports");
    let (host, _) = client.rsplit_once(':').expect("a port");
    let config = grown.world.dir().join("node-1/node.toml");
    let before = fs::read_to_string(&config).expect("a configuration");
    let line = format!("\n[[peers]]\nid = 7\naddress = \"{host}:{peer_port}\"\ntls_spki_sha256 = \"{pin}\"\n");
    fs::write(&config, before + &line).unwrap_or_else(|error| panic!("{}: {error}", text(&config)));
    grown.world.kill(1);
    grown.world.restart(1);
    grown.until("the node that was lost", || (applied(grown, 1)? >= applied(grown, 7)?).then_some(()));
    grown.level(&[1, 7, 8, 9]);
}
