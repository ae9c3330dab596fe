//! What operators look at, and the errors that everyone meets.

use std::net::TcpListener;

use serde_json::Value;
use sillage_tests::lines::{access, ins, ndjson};
use sillage_tests::world::{World, run, sillage};

pub fn operators_see_every_node(world: &mut World) {
    world.settled(3);
    let status = world.sillage(&["cluster", "status", "--json"]).ok().json();
    let nodes = status["nodes"].as_array().or_else(|| status.as_array()).expect("the nodes").clone();
    assert_eq!(nodes.len(), 3, "{status}");
    let same = |field: &str| {
        let first = &nodes[0][field];
        assert!(!first.is_null() && nodes.iter().all(|node| &node[field] == first), "{field}: {status}");
    };
    ["leader", "term", "commit", "applied", "tree_size", "root"].into_iter().for_each(same);
    let leads = |node: &&Value| node["role"] == "leader";
    assert_eq!(nodes.iter().filter(leads).count(), 1, "{status}");
    assert_eq!(nodes.iter().find(leads).expect("one")["id"], nodes[0]["leader"]);

    let text = world.sillage(&["cluster", "status"]).ok().stdout;
    let root = nodes[0]["root"].as_str().expect("hex");
    for words in ["1", "2", "3", "leader", &root[..8]] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

pub fn streams_and_schema_are_shown(world: &mut World) {
    let before = world.sillage(&["stream", "status"]).ok().stdout;
    world.record(&[access(&ins(60), "a")]);
    let after = world.sillage(&["stream", "status"]).ok().stdout;
    assert!(before.contains("cli") && before != after, "{before}\n{after}");

    let schema = world.sillage(&["schema", "record"]).ok().json();
    for field in
        ["kind", "patient", "actor", "items", "occurred_at", "purpose", "basis", "outcome", "secret", "deferred"]
    {
        assert!(schema["properties"].get(field).is_some(), "{field}");
    }
}

pub fn what_cannot_be_understood_is_usage(world: &mut World) {
    for args in [&["dance"][..], &["record"], &["entry", "first"], &["prove"], &["trace"], &["record", "--file"]] {
        world.sillage(args).usage();
    }
    world.sillage_as(&world.path("no-such-profile.toml"), &["checkpoint"]).fails(2);
    // Without any profile, and with one from the environment.
    run(sillage().current_dir(world.path("")).arg("checkpoint"), b"").usage();
    run(sillage().env("SILLAGE_PROFILE", world.profile_file()).arg("checkpoint"), b"").ok();
}

pub fn a_ledger_out_of_reach_may_be_tried_again(world: &mut World) {
    // A port where nobody listens: it was just free.
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let profile = std::fs::read_to_string(world.profile_file()).expect("the profile");
    let lines = profile.lines().map(|line| match line.starts_with("endpoints") {
        true => format!("endpoints = [\"https://{nobody}\"]\n"),
        false => format!("{line}\n"),
    });
    let text: String = lines.filter(|line| !line.trim_start().starts_with('"') && line.trim() != "]").collect();
    let away = world.dir().join("away.toml");
    std::fs::write(&away, text).expect("a profile");
    world.sillage_as(&away, &["--timeout", "1", "checkpoint"]).fails(3);

    // What could not be sent is kept, and goes on record once when the ledger is back.
    let patient = ins(61);
    let file = world.write("away.ndjson", ndjson(&[access(&patient, "kept")]));
    let file = file.to_string_lossy();
    world.sillage_as(&away, &["--timeout", "1", "record", "--file", &file]).fails(3);
    world.sillage(&["record", "--file", &file]).ok();
    assert_eq!(crate::record::count(world, &patient), 1);
}
