//! With the certificate of a party that may read, or with nothing but a connection.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sillage_client::profile::Profile;
use sillage_proof::batch::ReceiptMessage;
use sillage_proto::v1::{
    self, GetCheckpointRequest, PatientIdentity, ProvePatientRequest, ResolveTagsRequest, RuleRecordsRequest,
    StreamStatusRequest, SubmitRequest, TraceRequest,
};
use sillage_rules::kind::Kind;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::wire::{self, Rpc};
use sillage_tests::world::World;

/// Events a second of the readers here.
const QUOTA: u64 = 10;

/// A party of its own, with a small quota.
fn register(world: &World, name: &str, roles: &str) -> Profile {
    let folder = world.path(name);
    let (out, quota) = (folder.to_string_lossy().into_owned(), QUOTA.to_string());
    let mut register = vec!["keys", "register", "--name", name, "--roles", roles, "--quota", &quota, "--out", &out];
    if roles.contains("recorder") {
        register.push("--vouch-for-all");
    }
    world.sillage(&register).ok();
    Profile::load(&folder.join("sillage.toml")).expect("the profile of the new party")
}

fn rpc(profile: &Profile, node: usize) -> Rpc {
    wire::rpc(profile, node, Some(&wire::pem_of(profile)))
}

fn rules_of(tag: Vec<u8>) -> RuleRecordsRequest {
    RuleRecordsRequest { tag, limit: 1, ..RuleRecordsRequest::default() }
}

fn made_up(n: u64) -> Vec<u8> {
    [&n.to_be_bytes()[..], &[0x5a; 24]].concat()
}

fn open_tag(world: &World, patient: &str) -> Vec<u8> {
    let identities = vec![PatientIdentity { ins: patient.to_owned(), oid: OID.to_owned() }];
    let answer = world.wait(rpc(&world.profile(), 1).resolve_tags(ResolveTagsRequest { identities }));
    answer.expect("a tag").into_inner().tags.remove(0).tag
}

/// Readings of the patient that are on record, as the patient sees them.
fn lines_of(world: &World, tag: &[u8]) -> usize {
    let kind = Kind::LOG_CONSULTED.code().into();
    let request = TraceRequest { tag: tag.to_vec(), kind, limit: 500, ..TraceRequest::default() };
    world.wait(rpc(&world.profile(), 1).trace(request)).expect("a trace").into_inner().lines.len()
}

/// As fast as it can, over all nodes, of tags that nobody has: to fill the log, and buckets of the index.
pub fn reading_at_every_node_gives_no_more_than_one_quota(world: &mut World) {
    let reader = register(world, "greedy", "reader");
    let before = world.tree_size();
    let began = Instant::now();
    let until = began + Duration::from_secs(4);
    let answers = (1..=3_u64).map(|node| {
        let profile = reader.clone();
        async move {
            let mut rpc = rpc(&profile, usize::try_from(node).expect("few"));
            let (mut given, mut refused) = (0, BTreeSet::new());
            let mut n = node << 32;
            while Instant::now() < until {
                n += 1;
                match rpc.rule_records(rules_of(made_up(n))).await {
                    Ok(answer) => {
                        assert!(answer.into_inner().records.is_empty());
                        given += 1;
                    }
                    Err(status) => drop(refused.insert(wire::info(&status).code)),
                }
            }
            (given, refused)
        }
    });
    let answers: Vec<_> = answers.collect();
    let answers = world.wait(async {
        let tasks: Vec<_> = answers.into_iter().map(tokio::spawn).collect();
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await.expect("no panic"));
        }
        out
    });
    let took_s = began.elapsed().as_secs() + 1;
    let given: u64 = answers.iter().map(|(given, _)| given).sum();
    // Two seconds' worth at once, then the rate; one more where a new leader has counted nothing yet.
    assert!(given > 0 && given <= QUOTA * (took_s + 2) + 3, "{given} in {took_s} s at {QUOTA} a second");
    for (_, refused) in &answers {
        assert!(refused.iter().all(|code| code == "QUOTA_EXCEEDED"), "{refused:?}");
    }
    let grown = world.tree_size() - before;
    assert!(grown <= given + 5 * took_s, "{grown} entries for {given} readings");
    // None of those tags has come into the index.
    world.sillage(&["checkpoint"]).ok();
    let proof = world.wait(rpc(&world.profile(), 1).prove_patient(ProvePatientRequest { tag: made_up((1 << 32) + 1) }));
    assert_eq!(proof.expect("a proof").into_inner().count, 0);
}

/// The same patient over and over: the trace would be full of it.
pub fn reading_one_patient_again_and_again_adds_one_line_a_minute(world: &mut World) {
    let patient = ins(500);
    world.record(&[access(&patient, "read again")]);
    let tag = open_tag(world, &patient);
    let before = lines_of(world, &tag);
    let reader = register(world, "curious", "reader");
    for node in [1, 2, 3, 1, 2, 3] {
        world.wait(rpc(&reader, node).rule_records(rules_of(tag.clone()))).expect("an answer");
    }
    // One of the reader, one of whoever looks here, which is on record by the second time.
    let lines = lines_of(world, &tag);
    assert!(lines <= before + 2, "{lines} lines after six readings");
    assert!(lines > before, "it stands there");
}

/// A stolen batch, or one that an author gives to a friend: on record it would come from nowhere.
pub fn a_batch_through_another_partys_certificate_is_refused(world: &mut World) {
    let other = register(world, "carrier", "recorder");
    let record = sillage_rules::record::new_message(Kind::ACCESS_READ, None, sillage_tests::lines::now_ms());
    let record = prost::Message::encode_to_vec(&record);
    let batch = wire::sign(&wire::signer(&world.profile()), "carried", 1, vec![record]);
    for node in 1..=3 {
        let submit = SubmitRequest { batch: Some(batch.clone()) };
        let status = world.wait(rpc(&other, node).submit(submit)).expect_err("another's certificate");
        assert_eq!(wire::info(&status).code, "NOT_ENTITLED", "{}", status.message());
    }
    let asked = StreamStatusRequest { stream_label: "carried".to_owned() };
    let status = world.wait(rpc(&world.profile(), 1).stream_status(asked)).expect("its author asks").into_inner();
    assert_eq!(status.streams[0].last_seq, 0, "nothing of it is on record");
    world.record(&[access(&ins(501), "its own")]);
}

/// A service's folder was stolen, and its key is revoked: the certificate that lay beside it reads nothing more.
pub fn a_certificate_beside_a_revoked_key_reads_nothing(world: &mut World) {
    let patient = ins(502);
    world.record(&[access(&patient, "before the theft")]);
    let tag = open_tag(world, &patient);
    let stolen = register(world, "stolen-reader", "reader");
    let read = |world: &World, node| world.wait(rpc(&stolen, node).rule_records(rules_of(tag.clone())));
    read(world, 1).expect("it reads");
    let key = wire::signer(&stolen).key.key_id().to_string();
    world.sillage_as(&world.authority_file(), &["keys", "revoke", "--key", &key, "--reason", "stolen"]).ok();
    for node in 1..=3 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match read(world, node) {
                Err(status) => break status,
                // This node may not have applied it yet.
                Ok(_) => assert!(Instant::now() < deadline, "node {node} lets it read"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!(wire::info(&status).code, "REVOKED_KEY", "{}", status.message());
    }
}

/// An author whose key was revoked learns that what it sent is on record, and gets nothing else on record; neither does whoever has but
/// a part of it.
pub fn a_revoked_author_gets_the_receipt_of_what_is_on_record_and_nothing_more(world: &mut World) {
    let ended = register(world, "ended", "recorder");
    let signer = wire::signer(&ended);
    let batch = |seq: u64, n: u64| {
        let record = sillage_rules::record::new_message(Kind::SYSTEM_EVENT, None, sillage_tests::lines::now_ms());
        let actor = v1::Actor { system: "urn:sillage:system".into(), id: format!("store-{n}"), ..v1::Actor::default() };
        let record = v1::Record { actor: Some(actor), ..record };
        wire::sign(&signer, "ended", seq, vec![prost::Message::encode_to_vec(&record)])
    };
    let submit = |world: &World, profile: &Profile, node, batch: &v1::Batch| {
        let request = SubmitRequest { batch: Some(batch.clone()) };
        // Within its quota.
        std::thread::sleep(Duration::from_millis(150));
        let done = world.wait(rpc(profile, node).submit(request));
        done.map(tonic::Response::into_inner).map_err(|status| wire::info(&status).code)
    };
    let (first, second, other) = (batch(1, 1), batch(2, 2), batch(1, 3));
    let receipt = submit(world, &ended, 1, &first).expect("recorded").receipt.expect("a receipt");
    let key = signer.key.key_id().to_string();
    world.sillage_as(&world.authority_file(), &["keys", "revoke", "--key", &key, "--reason", "stolen"]).ok();
    for node in 1..=3 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let later = loop {
            match submit(world, &ended, node, &second) {
                Err(code) if code == "REVOKED_KEY" => break code,
                // This node may not have applied it yet; what it takes the leader refuses.
                _ => assert!(Instant::now() < deadline, "node {node} takes what a revoked key signs"),
            }
        };
        assert_eq!(later, "REVOKED_KEY");
        let again = submit(world, &ended, node, &first).expect("on record");
        assert!(again.repeated);
        let message = |receipt: &v1::Receipt| ReceiptMessage::decode(&receipt.message).expect("a receipt");
        let (before, again) = (message(&receipt), message(&again.receipt.expect("a receipt")));
        assert_eq!(
            (again.first_index, again.time_ms, again.batch.root),
            (before.first_index, before.time_ms, before.batch.root)
        );
        let revoked = Err("REVOKED_KEY".to_owned());
        assert_eq!(submit(world, &ended, node, &other).map(drop), revoked, "another batch of its number");
        let mut altered = first.clone();
        altered.records[0].salt[0] ^= 1;
        assert_eq!(submit(world, &ended, node, &altered).map(drop), revoked, "a record that it didn't sign");
        let mut forged = first.clone();
        forged.signature[0] ^= 1;
        assert_eq!(submit(world, &ended, node, &forged).map(drop), revoked, "without the signature");
        let code = submit(world, &world.profile(), node, &first).expect_err("another party");
        assert!(["NOT_ENTITLED", "REVOKED_KEY"].contains(&code.as_str()), "{code}");
    }
}

/// An author whose key was revoked, and that sends as fast as it can what isn't on record: it has a small number of questions a second,
/// and is told so before it takes the room of others. Later it gets the receipt of what is on record all the same.
pub fn a_revoked_author_that_sends_on_takes_nobodys_room(world: &mut World) {
    let ended = register(world, "ended-often", "recorder");
    let signer = wire::signer(&ended);
    let batch = |seq: u64| {
        let record = sillage_rules::record::new_message(Kind::SYSTEM_EVENT, None, sillage_tests::lines::now_ms());
        let actor =
            v1::Actor { system: "urn:sillage:system".into(), id: format!("often-{seq}"), ..v1::Actor::default() };
        let record = v1::Record { actor: Some(actor), ..record };
        wire::sign(&signer, "ended-often", seq, vec![prost::Message::encode_to_vec(&record)])
    };
    let submit = |connection: &Rpc, batch: &v1::Batch| {
        let (mut rpc, request) = (connection.clone(), SubmitRequest { batch: Some(batch.clone()) });
        async move {
            let done = rpc.submit(request).await;
            done.map(tonic::Response::into_inner).map_err(|status| wire::info(&status).code)
        }
    };
    let connection = rpc(&ended, 1);
    let first = batch(1);
    world.wait(submit(&connection, &first)).expect("recorded");
    let key = signer.key.key_id().to_string();
    world.sillage_as(&world.authority_file(), &["keys", "revoke", "--key", &key, "--reason", "stolen"]).ok();
    let later = batch(2);
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.wait(submit(&connection, &later)) != Err("REVOKED_KEY".to_owned()) {
        assert!(Instant::now() < deadline, "node 1 takes what a revoked key signs");
        std::thread::sleep(Duration::from_millis(250));
    }
    let batches: Vec<v1::Batch> = (3..103).map(batch).collect();
    let answers = world.wait(async {
        let mut answers = Vec::with_capacity(batches.len());
        // Within the number of calls that a caller may have under way.
        for batches in batches.chunks(8) {
            let asked: Vec<_> = batches.iter().map(|batch| tokio::spawn(submit(&connection, batch))).collect();
            for asked in asked {
                answers.push(asked.await.expect("no panic").map(drop));
            }
        }
        answers
    });
    let said = |code: &str| answers.iter().filter(|answer| **answer == Err(code.to_owned())).count();
    let (refused, waits) = (said("REVOKED_KEY"), said("QUOTA_EXCEEDED"));
    assert!(refused > 0 && waits > 50, "{answers:?}");
    assert_eq!(refused + waits, answers.len(), "nothing is on record, and nobody's room is taken: {answers:?}");
    world.record(&[access(&ins(503), "another party's")]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match world.wait(submit(&connection, &first)) {
            Ok(again) => break assert!(again.repeated),
            Err(code) => assert_eq!(code, "QUOTA_EXCEEDED"),
        }
        assert!(Instant::now() < deadline, "it never learns that its batch is on record");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Hundreds of calls that wait, from one caller: the others, and what is written, don't wait behind them.
pub fn calls_of_one_caller_hold_up_nobody_else(world: &mut World) {
    let greedy = register(world, "many-calls", "reader");
    let never = GetCheckpointRequest { size_min: 1 << 40, cosigners: Vec::new() };
    world.wait(async {
        let asked: Vec<_> = (0..3)
            .flat_map(|_| {
                let connection = rpc(&greedy, 1);
                let never = never.clone();
                (0..100).map(move |_| {
                    let (mut rpc, never) = (connection.clone(), never.clone());
                    tokio::spawn(async move { rpc.get_checkpoint(never).await })
                })
            })
            .collect();
        let began = Instant::now();
        while !asked.iter().any(tokio::task::JoinHandle::is_finished) {
            assert!(began.elapsed() < Duration::from_secs(30), "300 calls at once are all taken on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        rpc(&world.profile(), 1).rule_records(rules_of(made_up(1))).await.expect("another caller's reading");
        let mut busy = 0;
        for asked in asked {
            if asked.is_finished() {
                busy +=
                    usize::from(wire::info(&asked.await.expect("no panic").expect_err("no such size")).code == "BUSY");
            } else {
                asked.abort();
            }
        }
        assert!(busy > 0, "more than may wait");
    });
    world.record(&[access(&ins(502), "beside it")]);
}

/// Over its quota, the command line waits as long as it is told; with too little time it says why.
pub fn the_command_line_says_that_it_is_a_quota(world: &mut World) {
    let reader = register(world, "hasty", "reader");
    for n in 0..200 {
        if world.wait(rpc(&reader, 1).rule_records(rules_of(made_up(n)))).is_err() {
            break;
        }
    }
    let profile: PathBuf = world.path("hasty").join("sillage.toml");
    let patient = ins(503);
    let ask = ["trace", "--patient", &patient, "--oid", OID, "--json"];
    // It passes a moment later, without anybody's help.
    world.sillage_as(&profile, &ask).ok();
    // A debt of half a minute isn't waited for in five seconds.
    register(world, "bulk", "recorder,tag");
    let file = |name: &str, count: usize| {
        let lines: Vec<_> = (0..count).map(|n| access(&ins(504), &format!("{name}-{n}"))).collect();
        world.write(name, sillage_tests::lines::ndjson(&lines)).to_string_lossy().into_owned()
    };
    let bulk = world.path("bulk").join("sillage.toml");
    world.sillage_as(&bulk, &["record", "--file", &file("first.ndjson", 300)]).ok();
    let run = world.sillage_as(&bulk, &["--timeout", "3", "record", "--file", &file("second.ndjson", 1)]);
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("over a quota: QUOTA_EXCEEDED"), "{run}");
    assert!(!run.stderr.contains("out of reach"), "a quota is no silence: {run}");
}

/// A stolen image of memory holds every key.
pub fn no_process_that_holds_keys_leaves_an_image_of_its_memory(world: &mut World) {
    let mut seen = 0;
    for id in 1..=3 {
        let pid = fs::read_to_string(world.dir().join(format!("node-{id}/pid"))).expect("the file of its process id");
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid.trim())).expect("its limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        let words: Vec<&str> = core.split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{core}");
        // What may not be attached to belongs to root; where the tests are root's, so does everything.
        let owner =
            std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/mem", pid.trim())).expect("it"));
        assert_eq!(owner, 0);
        // Where the system lets it, its memory is locked: nothing of it reaches a swap file.
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("how it is");
        let of =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a line").trim().to_owned();
        let may_lock = u64::from_str_radix(&of("CapEff:"), 16).expect("bits") >> 14 & 1 == 1;
        let locked: u64 = of("VmLck:").trim_end_matches(" kB").parse().expect("a number");
        assert!(!may_lock || locked > 0, "{locked} kB are locked");
        seen += 1;
    }
    assert_eq!(seen, 3);
}
