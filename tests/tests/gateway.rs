//! The web edge: what a stranger with an HTTP client gets, what only an auditor gets, and the log as static files.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sillage_chaos::process::Options;
use sillage_client::profile::Profile;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::note::SignedNote;
use sillage_proof::policy::Policy;
use sillage_proof::tile::{TILE_WIDTH, TileCoord, TilePath, TreeBuilder, decode_entry_bundle, decode_hash_tile};
use sillage_proto::v1::{GetEntriesRequest, LogEntry};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;
use sillage_tests::lines::{access, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::wire::{self, Pem};
use sillage_tests::world::World;

fn main() -> ExitCode {
    tell(
        begin,
        stories![
            a_stranger_recomputes_the_root_from_tiles,
            what_is_known_is_not_sent_again,
            entries_are_refused_to_whoever_is_no_auditor,
            an_auditor_gets_entries_and_that_is_on_record,
            the_log_becomes_static_files_and_grows,
            what_was_altered_in_the_files_is_made_right,
            a_log_keeps_its_gateway,
        ],
    )
}

/// Three nodes, a gateway, and more entries than a tile holds.
fn begin() -> World {
    let world = World::with(Options { gateway: true, ..Options::default() });
    let lines: Vec<_> = (0..400).map(|i| access(&ins(i % 7), &format!("note {i}"))).collect();
    world.record(&lines);
    world.sillage(&["checkpoint"]).ok();
    world
}

/// An answer to a plain HTTP request.
struct Got {
    code: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

fn gateway(world: &World) -> String {
    let url = world.profile().gateway.expect("dev wrote it into the profile");
    url.strip_prefix("http://").expect("plain HTTP").to_owned()
}

fn ask(world: &World, path: &str, more: &str) -> Got {
    let address = gateway(world);
    let mut stream = TcpStream::connect(&address).expect("the gateway listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("HTTP");
    let text = String::from_utf8(answer[..head].to_vec()).expect("text");
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers = text.lines().skip(1).filter_map(header).collect();
    Got { code, headers, body: answer[head + 4..].to_vec() }
}

fn get(world: &World, path: &str) -> Got {
    ask(world, path, "")
}

/// The newest checkpoint, verified against the policy that dev wrote.
fn checkpoint(world: &World, note: &[u8]) -> Checkpoint {
    let policy = std::fs::read(world.dir().join("policy.txt")).expect("dev wrote it");
    let note = SignedNote::parse(note).expect("a signed note");
    Policy::parse(&policy).expect("a policy").verify(&note).expect("signed and cosigned").checkpoint
}

/// The root over the leaves in the tiles that `read` gives.
fn tree_of(size: u64, read: impl Fn(TileCoord) -> Vec<u8>) -> TreeBuilder {
    let mut tree = TreeBuilder::new();
    for index in 0..size.div_ceil(TILE_WIDTH as u64) {
        let width = (size - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
        let coord = TileCoord { level: 0, index, width: u16::try_from(width).expect("at most 256") };
        tree.append(&decode_hash_tile(&read(coord)).expect("a tile"));
    }
    tree
}

fn a_stranger_recomputes_the_root_from_tiles(world: &mut World) {
    let got = get(world, "/checkpoint");
    assert_eq!(got.code, 200, "the checkpoint is for everyone");
    assert_eq!(got.headers["content-type"], "text/plain; charset=utf-8");
    let newest = checkpoint(world, &got.body);
    assert!(newest.size.get() > 300);
    let tree = tree_of(newest.size.get(), |coord| {
        let got = get(world, &format!("/{}", coord.path()));
        assert_eq!(got.code, 200, "{}", coord.path());
        assert_eq!(got.headers["access-control-allow-origin"], "*", "{}", coord.path());
        got.body
    });
    assert_eq!(tree.root(), newest.root);
    let beyond = TileCoord::full(0, newest.size.get() / TILE_WIDTH as u64 + 1_000);
    assert_eq!(get(world, &format!("/{}", beyond.path())).code, 404);
    assert_eq!(get(world, "/tile/0/1").code, 404);
    assert_eq!(get(world, "/healthz").code, 200);
    assert_eq!(get(world, "/verify.js").code, 200);
}

fn what_is_known_is_not_sent_again(world: &mut World) {
    let first = get(world, "/tile/0/000");
    assert_eq!(first.headers["cache-control"], "public, max-age=31536000, immutable");
    let again = ask(world, "/tile/0/000", &format!("If-None-Match: {}\r\n", first.headers["etag"]));
    assert_eq!(again.code, 304, "the same tag means: not modified");
    assert_eq!(again.body.len(), 0, "the content isn't sent again");
    assert_eq!(again.headers["etag"], first.headers["etag"]);
}

/// The gateway's port with mutual TLS, as a profile's only endpoint.
fn over_tls(world: &World) -> Profile {
    let config = std::fs::read_to_string(world.dir().join("gateway/gateway.toml")).expect("dev wrote it");
    let listens: Vec<&str> = config.lines().filter_map(|line| line.strip_prefix("listen = ")).collect();
    let endpoint = format!("https://{}", listens[1].trim_matches('"'));
    Profile { endpoints: vec![endpoint], server_name: "localhost".to_owned(), ..world.profile() }
}

fn bundle(world: &World, pem: Option<&Pem>) -> Result<Vec<u8>, String> {
    world.wait(wire::get(&over_tls(world), 1, pem, "/tile/entries/000"))
}

fn entries_are_refused_to_whoever_is_no_auditor(world: &mut World) {
    let plain = get(world, "/tile/entries/000");
    assert_eq!(plain.code, 403);
    assert!(String::from_utf8_lossy(&plain.body).contains("auditors"));
    let authority = Profile::load(&world.authority_file()).expect("the authority's profile");
    for pem in [wire::pem_of(&authority), wire::unregistered(&world.dir())] {
        let refused = bundle(world, Some(&pem)).expect_err("no auditor");
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    for pem in [None, Some(wire::foreign())] {
        let refused = bundle(world, pem.as_ref()).expect_err("no certificate of this log");
        assert!(!refused.starts_with("HTTP"), "{refused}");
    }
    assert!(consultations(world).is_empty(), "nothing was given");
}

/// What is on record of readings through the gateway: (who, details).
fn consultations(world: &World) -> Vec<(String, String)> {
    let profile = world.profile();
    world.sillage(&["checkpoint"]).ok();
    let entries = world.wait(async {
        let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
        let request = GetEntriesRequest { first: 0, count: 65_536, ..Default::default() };
        let mut stream = rpc.get_entries(request).await.expect("an auditor").into_inner();
        let mut entries: Vec<LogEntry> = Vec::new();
        while let Some(part) = stream.message().await.expect("no end before the end") {
            entries.extend(part.entries);
        }
        entries
    });
    let records = entries.iter().filter(|entry| !entry.record.is_empty());
    let records = records.map(|entry| ParsedRecord::parse(&entry.record).expect("a record"));
    let consulted = records.filter(|record| record.kind() == Kind::LOG_CONSULTED);
    let said = consulted.map(|record| {
        let message = record.into_message();
        (message.actor.expect("who read").label, message.details)
    });
    said.filter(|(_, details)| details.contains("via")).collect()
}

fn an_auditor_gets_entries_and_that_is_on_record(world: &mut World) {
    let tile = decode_hash_tile(&get(world, "/tile/0/000").body).expect("a tile");
    let bytes = bundle(world, Some(&wire::pem_of(&world.profile()))).expect("the profile is an auditor's");
    let entries = decode_entry_bundle(&bytes).expect("a bundle");
    let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(hashes, tile);
    // The record of this reading is older than the first byte given, and under a checkpoint soon after.
    let said = loop {
        let said = consultations(world);
        if !said.is_empty() {
            break said;
        }
    };
    let (who, details) = &said[0];
    assert_eq!(who, "profile");
    let details: serde_json::Value = serde_json::from_str(details).expect("JSON");
    assert_eq!(details, serde_json::json!({ "first": 0, "count": 256, "via": "gateway" }));
}

fn export(world: &World, more: &[&str]) -> (PathBuf, Checkpoint) {
    let dir = world.path("static");
    let mut args = vec!["export", "tiles", dir.to_str().expect("text")];
    args.extend(more);
    world.sillage(&args).ok();
    let note = std::fs::read(dir.join("checkpoint")).expect("written last");
    let newest = checkpoint(world, &note);
    let tree = tree_of(newest.size.get(), |coord| std::fs::read(dir.join(coord.path())).expect("exported"));
    assert_eq!(tree.root(), newest.root);
    (dir, newest)
}

fn bundle_in(dir: &Path, index: u64, width: u16) -> Vec<u8> {
    std::fs::read(dir.join(TilePath::Entries { index, width }.to_string())).expect("exported")
}

fn the_log_becomes_static_files_and_grows(world: &mut World) {
    let (dir, first) = export(world, &[]);
    assert!(!dir.join("tile/entries").exists());
    let before = std::fs::metadata(dir.join("tile/0/000")).expect("a tile").modified().expect("a time");
    let lines: Vec<_> = (0..300).map(|i| access(&ins(i), &format!("later {i}"))).collect();
    world.record(&lines);
    let (dir, second) = loop {
        let exported = export(world, &["--entries"]);
        if exported.1.size.get() > first.size.get() + 300 {
            break exported;
        }
    };
    let after = std::fs::metadata(dir.join("tile/0/000")).expect("a tile").modified().expect("a time");
    assert_eq!(before, after, "a full tile that is right is kept");
    let rest = second.size.get() % TILE_WIDTH as u64;
    let last = second.size.get() / TILE_WIDTH as u64;
    let entries = bundle_in(&dir, 0, 256);
    assert_eq!(decode_entry_bundle(&entries).expect("a bundle").len(), 256);
    if rest > 0 {
        let width = u16::try_from(rest).expect("below 256");
        let entries = bundle_in(&dir, last, width);
        assert_eq!(decode_entry_bundle(&entries).expect("a bundle").len() as u64, rest);
    }
}

fn what_was_altered_in_the_files_is_made_right(world: &mut World) {
    let (dir, _) = export(world, &["--entries"]);
    for file in ["tile/0/000", "tile/entries/001"] {
        let path = dir.join(file);
        let right = std::fs::read(&path).expect("exported");
        let mut wrong = right.clone();
        wrong[40] ^= 1;
        std::fs::write(&path, &wrong).expect("altered");
        export(world, &["--entries"]);
        assert_eq!(std::fs::read(&path).expect("exported"), right, "{file}");
    }
}

fn a_log_keeps_its_gateway(world: &mut World) {
    let before = checkpoint(world, &get(world, "/checkpoint").body);
    world.close();
    world.open();
    let after = checkpoint(world, &get(world, "/checkpoint").body);
    assert!(after.size >= before.size);
}
