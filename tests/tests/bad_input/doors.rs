//! Who may come in at all: certificates, roles, the peer port, bytes that aren't TLS, and too many at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sillage_client::profile::Profile;
use sillage_proto::internal::v1::peer_client::PeerClient;
use sillage_proto::v1::{
    ClusterStatusRequest, GetEntryRequest, GetLogRequest, ListPartiesRequest, PatientIdentity, ResolveTagsRequest,
    SubmitRequest, TraceRequest,
};
use sillage_tests::lines::{INS, OID, access, ins};
use sillage_tests::wire::{self, Rpc};
use sillage_tests::world::World;

use super::batches::register;
use super::{record, size};

const CONNECTIONS: usize = 2_000;

fn rpc_as(profile: &Profile) -> Rpc {
    wire::rpc(profile, 1, Some(&wire::pem_of(profile)))
}

fn address(endpoint: &str) -> SocketAddr {
    endpoint.trim_start_matches("https://").parse().expect("host:port")
}

pub fn callers_whom_nobody_knows(world: &mut World) {
    let before = size(world);
    let profile = world.profile();
    // Without a certificate, or with that of a foreign authority, a caller does not get past the handshake.
    for pem in [None, Some(wire::foreign())] {
        for node in 1..=3 {
            let mut rpc = wire::rpc(&profile, node, pem.as_ref());
            let status =
                world.wait(rpc.get_log(GetLogRequest::default())).expect_err("nothing answers an unknown caller");
            assert!(status.details().is_empty(), "it learns nothing: {status:?}");
        }
    }
    // The log's own authority signed this one, but no party has registered it.
    let pem = wire::unregistered(&world.dir());
    let batch = wire::sign(&wire::signer(&profile), "doors", 1, vec![record([7; 32], "unknown caller")]);
    for node in 1..=3 {
        let mut rpc = wire::rpc(&profile, node, Some(&pem));
        let asked = world.wait(rpc.get_log(GetLogRequest::default())).expect_err("an unknown caller");
        let submitted =
            world.wait(rpc.submit(SubmitRequest { batch: Some(batch.clone()) })).expect_err("an unknown caller");
        for status in [asked, submitted] {
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
            assert_eq!(wire::info(&status).code, "UNKNOWN_CALLER");
        }
    }
    assert_eq!(size(world), before);
}

pub fn callers_without_the_role(world: &mut World) {
    let refused = |answer: Result<(), tonic::Status>, what: &str| {
        let Err(status) = answer else { panic!("{what} is answered without the role") };
        assert_eq!(wire::info(&status).code, "NOT_ENTITLED", "{what}");
    };
    let tag = vec![7; 32];
    let trace = TraceRequest { tag: tag.clone(), ..TraceRequest::default() };
    let identity = PatientIdentity { ins: INS.to_owned(), oid: OID.to_owned() };
    let resolve = ResolveTagsRequest { identities: vec![identity] };

    let auditor = register(world, "auditor", "auditor", &[]);
    let batch = wire::sign(&wire::signer(&auditor), "x", 1, vec![record([7; 32], "auditor")]);
    let before = size(world);
    let mut rpc = rpc_as(&auditor);
    refused(world.wait(rpc.submit(SubmitRequest { batch: Some(batch) })).map(drop), "recording");
    refused(world.wait(rpc.resolve_tags(resolve.clone())).map(drop), "resolving");
    refused(world.wait(rpc.cluster_status(ClusterStatusRequest::default())).map(drop), "the nodes' state");
    world.wait(rpc.get_entry(GetEntryRequest { index: 0 })).expect("reading entries is an auditor's role");
    assert_eq!(size(world), before);

    let author = register(world, "author", "recorder", &[]);
    let mut rpc = rpc_as(&author);
    refused(world.wait(rpc.trace(trace.clone())).map(drop), "a trace");
    refused(world.wait(rpc.list_parties(ListPartiesRequest::default())).map(drop), "the parties");
    // Its own entries it may read, those of others not.
    let others = world.record(&[access(&ins(90), "another's")])[0];
    refused(world.wait(rpc.get_entry(GetEntryRequest { index: others })).map(drop), "another's entry");
    // An auditor replays entries: their payloads are none of its business.
    let mut rpc = rpc_as(&auditor);
    let audited = world.wait(rpc.get_entry(GetEntryRequest { index: others })).expect("the entry").into_inner();
    assert!(!audited.entry.is_empty(), "an auditor gets entries");
    assert!(audited.salt.is_empty(), "and no salt");
    assert!(audited.record.is_empty(), "and no content");

    let reader = register(world, "reader", "reader", &[]);
    let mut rpc = rpc_as(&reader);
    let open = world.wait(rpc.resolve_tags(resolve.clone())).expect("a reader resolves the open tag").into_inner();
    assert!(open.tags[0].secret_tag.is_empty() && open.tags[0].secret_proof.is_empty(), "and not the secret one");

    let patient = register(world, "patient", "patient", &["--patient", &ins(91), "--oid", OID]);
    let mut rpc = rpc_as(&patient);
    refused(world.wait(rpc.trace(trace)).map(drop), "another patient's trace");
    refused(world.wait(rpc.resolve_tags(resolve)).map(drop), "another patient's tag");
    world.record(&[access(&ins(91), "own")]);
    let own = world.sillage_as(
        &world.path("patient").join("sillage.toml"),
        &["trace", "--patient", &ins(91), "--oid", OID, "--json"],
    );
    let own = own.ok().json_lines().iter().filter(|line| line["kind"] != "device.registered").count();
    assert_eq!(own, 1, "its own it may read");
}

/// The peer port of node 1: the one after its client port.
fn peer_port(world: &World) -> SocketAddr {
    let mut address = address(&world.profile().endpoints[0]);
    address.set_port(address.port() + 1);
    address
}

pub fn the_peer_port_is_for_nodes(world: &mut World) {
    let mut profile = world.profile();
    profile.endpoints = vec![format!("https://{}", peer_port(world))];
    for pem in [Some(wire::pem_of(&profile)), Some(wire::unregistered(&world.dir())), Some(wire::foreign()), None] {
        let mut peer = PeerClient::new(wire::channel(&profile, 1, pem.as_ref()));
        let status = world.wait(peer.status(ClusterStatusRequest::default())).expect_err("not a node of this log");
        assert!(status.details().is_empty(), "it learns nothing: {status:?}");
    }
    assert_eq!(world.settled(3).len(), 3);
}

pub fn bytes_that_are_not_tls(world: &mut World) {
    let garbage: [&[u8]; 4] = [
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff garbage after the head of a handshake",
        &[0; 4_096],
    ];
    for port in [address(&world.profile().endpoints[0]), peer_port(world)] {
        for bytes in garbage {
            let mut stream = TcpStream::connect(port).expect("the port listens");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            // The node may have hung up before all is written.
            let _ = stream.write_all(bytes);
            let mut answer = Vec::new();
            let _ = stream.take(4_096).read_to_end(&mut answer);
            let told = String::from_utf8_lossy(&answer);
            assert!(!told.contains("HTTP") && !told.contains("sillage"), "nothing but an alert: {told:?}");
        }
    }
    world.record(&[access(&ins(92), "after the garbage")]);
}

pub fn a_flood_of_connections_keeps_nobody_out(world: &mut World) {
    let raised = rustix::process::Rlimit {
        current: Some(8_192),
        maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("room for sockets");
    let before = size(world);
    let doors: Vec<SocketAddr> = world.profile().endpoints.iter().map(|endpoint| address(endpoint)).collect();
    let done = AtomicBool::new(false);
    let (opened, indices) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&doors, &done));
        let indices: Vec<u64> = (0..5).flat_map(|i| world.record(&[access(&ins(93), &format!("flood-{i}"))])).collect();
        done.store(true, Ordering::Relaxed);
        (flood.join().expect("the flood"), indices)
    });
    assert!(opened > 100, "it was a flood: {opened} connections");
    assert_eq!(indices.len(), 5, "a caller with a certificate goes on");
    // Each batch is a header and a record; index commits come between.
    let after = size(world);
    assert!((before + 10..=before + 15).contains(&after), "{before} and then {after}");
}

/// Opens connections that never finish a handshake, and holds them, until `done` or there are enough.
fn flood(doors: &[SocketAddr], done: &AtomicBool) -> usize {
    let mut held = Vec::new();
    for door in doors.iter().cycle().take(CONNECTIONS) {
        if let Ok(mut stream) = TcpStream::connect_timeout(door, Duration::from_secs(2)) {
            // The beginning of a handshake, so that the node waits for the rest.
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01");
            held.push(stream);
        }
    }
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    held.len()
}
