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

/// The log of node `id` of the first three, over all of its starts.
fn log_of_first(grown: &Grown, id: u64) -> String {
    let own = fs::read_to_string(grown.world.dir().join(format!("node-{id}/log.txt"))).unwrap_or_default();
    own + &grown.world.logs()
}

fn applied(grown: &Grown, id: u64) -> Option<u64> {
    let members: Value = grown.members();
    let node = members["members"].as_array()?.iter().find(|node| node["id"] == id)?;
    (node["reachable"] == true).then(|| node["applied"].as_u64()).flatten()
}

fn it_asks_whoever_is_where_a_node_was(grown: &mut Grown) {
    grown.is_ready();
    grown.world.record(&[access(&ins(PATIENT), "with the first three")]);
    // Node 1 is away. Node 4 comes, 3 goes, and 5 comes to the place of 3; then 2 goes.
    grown.world.kill(1);
    let (at_3, _) = place(grown, 3);
    assert_eq!(grown.add(&folder(grown, 4), &address()), 4);
    grown.promote(4);
    grown.remove(3);
    grown.world.kill(3);
    assert_eq!(grown.add(&folder(grown, 5), &at_3), 5);
    grown.promote(5);
    grown.remove(2);
    grown.world.kill(2);
    grown.world.record(&[access(&ins(PATIENT), "without them")]);
    let size = grown.world.tree_size();
    grown.world.restart(1);
    grown.until("the node that was away", || {
        let both = applied(grown, 1)? >= applied(grown, 4)?;
        both.then_some(())
    });
    grown.level(&[1, 4, 5]);
    assert!(grown.world.tree_size() >= size);
    assert!(log_of_first(grown, 1).contains("the nodes of now, as they were proven"));
}

fn where_nobody_is_left_an_operator_names_one_node_of_today(grown: &mut Grown) {
    grown.world.kill(1);
    assert_eq!(grown.add(&folder(grown, 6), &address()), 6);
    grown.promote(6);
    grown.remove(4);
    let gone = folder(grown, 4);
    grown.kill(&gone);
    assert_eq!(grown.add(&folder(grown, 7), &address()), 7);
    grown.promote(7);
    grown.remove(5);
    let gone = folder(grown, 5);
    grown.kill(&gone);
    grown.world.record(&[access(&ins(PATIENT), "two others")]);
    grown.world.restart(1);
    grown.until("a word of the node that is lost", || log_of_first(grown, 1).contains("OUT_OF_TOUCH").then_some(()));
    assert!(log_of_first(grown, 1).contains("under [[peers]] in node.toml"), "{}", log_of_first(grown, 1));
    // As it says: one node of today. The others are proven to it.
    let (at, pin) = place(grown, 6);
    let (client, peer_port) = at.rsplit_once(':').expect("two ports");
    let (host, _) = client.rsplit_once(':').expect("a port");
    let config = grown.world.dir().join("node-1/node.toml");
    let before = fs::read_to_string(&config).expect("a configuration");
    let line = format!("\n[[peers]]\nid = 6\naddress = \"{host}:{peer_port}\"\ntls_spki_sha256 = \"{pin}\"\n");
    fs::write(&config, before + &line).unwrap_or_else(|error| panic!("{}: {error}", text(&config)));
    grown.world.kill(1);
    grown.world.restart(1);
    grown.until("the node that was lost", || (applied(grown, 1)? >= applied(grown, 6)?).then_some(()));
    grown.level(&[1, 6, 7]);
}
