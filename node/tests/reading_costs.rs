//! The cost of reading: the reader's quota, its turns, and lines in the traces of those who are read of.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::asking::{
    DR_X, Registered, access_by, client, glass, info, of_seed, party, patient, permit, put, register, two_tags,
};
use common::{Author, Deployment, Running, key, now_ms, until};
use serde_json::json;
use sillage_node::core::Core;
use sillage_proto::v1::{
    GetCheckpointRequest, GetLogRequest, ListBreakGlassRequest, PatientIdentity, ResolveTagsRequest,
    RuleRecordsRequest, TraceRequest,
};
use sillage_rules::act::Act;
use sillage_rules::kind::Kind;
use sillage_rules::record::{act_message, erasure_message};
use sillage_rules::roles::Roles;

struct World {
    node: Running,
    authority: Author,
    portal: Author,
    /// Keeps the folder.
    _deployment: Deployment,
}

impl World {
    async fn start(opened_per_s: u32) -> Self {
        let mut deployment = Deployment::new(1);
        deployment.found_with(&party(53, Roles::PATIENT, Some(patient(1))));
        let node = deployment.start_with(1, |config| config.limits.opened_per_s = opened_per_s).await;
        until("a leader", async || node.core.leader()).await;
        let authority = Author::new(key(&deployment.path("keys/authority.key")));
        let portal = Author::new(key(&deployment.path("keys/profile.key")));
        Self { node, authority, portal, _deployment: deployment }
    }

    fn core(&self) -> &Arc<Core> {
        &self.node.core
    }

    /// A party that may have so many events a second.
    async fn party(&mut self, seed: u8, roles: Roles, quota_events_per_s: u32) -> Registered {
        let party = register(&self.node.core, &mut self.authority, seed, roles).await;
        let author_id = party.party(self.core()).author_id;
        let act = Act::RolesChanged { author_id, roles, quota_events_per_s };
        put(&self.node.core, &mut self.authority, &act_message(&act, now_ms())).await;
        party
    }

    /// Lines of readings in a trace, by who read what.
    fn read_of(&self, tag: [u8; 32]) -> Vec<(String, String)> {
        let rows = self.node.entries.trace_scan(&tag, None).map(|row| row.expect("readable"));
        let lines = rows.filter(|row| row.kind == Kind::LOG_CONSULTED);
        let line = |index| {
            let record = self.node.consulted(index).expect("a reading");
            (record.details, record.actor.expect("a party").label)
        };
        lines.map(|row| line(row.index)).collect()
    }
}

fn rules_of(tag: [u8; 32]) -> RuleRecordsRequest {
    RuleRecordsRequest { tag: tag.to_vec(), limit: 1, ..RuleRecordsRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_count_in_the_readers_quota_and_pass_after_the_time_that_was_said() {
    let mut world = World::start(20_000).await;
    let reader = world.party(51, Roles::READER, 10).await;
    let mut rpc = client(world.core(), &reader);
    let before = world.core().reader().tree_size().get();
    let began = std::time::Instant::now();
    let (mut given, mut wait_ms) = (0_u64, 0);
    for n in 1..=500_u32 {
        let mut tag = [0; 32];
        tag[..4].copy_from_slice(&n.to_be_bytes());
        match rpc.rule_records(rules_of(tag)).await {
            Ok(_) => given += 1,
            Err(status) => {
                let refused = info(&status);
                assert_eq!((refused.code.as_str(), refused.retry), ("QUOTA_EXCEEDED", true));
                assert!(refused.message.contains(&format!("{} ms", refused.retry_after_ms)), "{}", refused.message);
                wait_ms = refused.retry_after_ms;
            }
        }
    }
    let most = 20 + 1 + 10 * (began.elapsed().as_secs() + 1);
    assert!((20..=most).contains(&given), "{given} in {:?}", began.elapsed());
    assert!((1..=110).contains(&wait_ms), "one event at ten a second: {wait_ms} ms");
    let grown = world.core().reader().tree_size().get() - before;
    // Lines of readings, and now and then an index commit.
    assert!(grown <= given + 2 * (began.elapsed().as_secs() + 2), "{grown} entries for {given} readings");
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    rpc.rule_records(rules_of([3; 32])).await.expect("after the time that was said");
    drop(rpc);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_of_nobody_has_no_row_in_the_index_after_it_was_asked_for() {
    let mut world = World::start(20_000).await;
    let reader = world.party(51, Roles::READER, 0).await;
    let mut rpc = client(world.core(), &reader);
    put(&world.node.core, &mut world.portal, &permit(patient(7), "c1", DR_X)).await;
    for tag in [patient(7), patient(9)] {
        let before = world.core().reader().tree_size().get();
        rpc.rule_records(rules_of(tag)).await.expect("an answer");
        let trace = TraceRequest { tag: tag.to_vec(), ..TraceRequest::default() };
        rpc.trace(trace.clone()).await.expect("an answer");
        rpc.trace(trace).await.expect("an answer");
        let kinds: Vec<_> = (before..world.core().reader().tree_size().get())
            .map(|index| world.node.entries.decoded_entry(index.into()).expect("readable").expect("there"))
            .filter(|entry| entry.kind() == Some(Kind::LOG_CONSULTED))
            .collect();
        assert_eq!(kinds.len(), 1, "one line of the minute, whether it is somebody or not");
    }
    assert_eq!(world.read_of(patient(7)), [(json!({"read": "rules", "for_s": 60}).to_string(), "party 51".to_owned())]);
    assert!(!world.core().reader().is_on_record(&patient(9)).expect("readable"));
    assert!(world.core().reader().is_on_record(&patient(7)).expect("readable"));
    drop(rpc);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_filter_looked_at_in_vain_is_paid_for() {
    let mut world = World::start(50).await;
    let reader = world.party(51, Roles::READER, 0).await;
    for n in 0..200 {
        put(&world.node.core, &mut world.portal, &permit(patient(7), &format!("c{n}"), DR_X)).await;
    }
    let mut rpc = client(world.core(), &reader);
    let nobody = TraceRequest { tag: patient(7).to_vec(), actor: "nobody".to_owned(), ..TraceRequest::default() };
    let page = rpc.trace(nobody.clone()).await.expect("an answer").into_inner();
    assert!(page.lines.is_empty());
    let refused = info(&rpc.trace(nobody).await.expect_err("200 were opened"));
    assert_eq!(refused.code, "QUOTA_EXCEEDED");
    // 100 were there, 200 were opened and as many rows looked at: a debt of 112 at 50 a second.
    assert!((1_000..=2_300).contains(&refused.retry_after_ms), "{} ms", refused.retry_after_ms);
    drop(rpc);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lists_broken_glass_stands_in_the_traces_of_the_patients_on_the_page() {
    let mut world = World::start(20_000).await;
    let auditor = world.party(51, Roles::AUDITOR, 0).await;
    for (n, tag) in [Some(patient(7)), Some(patient(8)), Some(patient(7)), None].into_iter().enumerate() {
        put(&world.node.core, &mut world.portal, &glass(tag, &format!("bg{n}"), DR_X, &json!({}))).await;
    }
    put(&world.node.core, &mut world.portal, &permit(patient(9), "c1", DR_X)).await;
    let mut rpc = client(world.core(), &auditor);
    for _ in 0..2 {
        let page = rpc.list_break_glass(ListBreakGlassRequest::default()).await.expect("a page").into_inner();
        assert_eq!(page.rows.len(), 4);
    }
    let line = (json!({"read": "break-glass", "for_s": 60}).to_string(), "party 51".to_owned());
    for tag in [patient(7), patient(8)] {
        assert_eq!(world.read_of(tag), std::slice::from_ref(&line));
    }
    assert_eq!(world.read_of(patient(9)), [], "none of hers was on it");
    drop(rpc);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_much_at_once_waits_for_itself_alone() {
    let mut world = World::start(20_000).await;
    let (greedy, other) = (world.party(51, Roles::READER, 0).await, world.party(52, Roles::READER, 0).await);
    // Each waits for a size that the log hasn't.
    let never = GetCheckpointRequest { size_min: 1 << 40, cosigners: Vec::new() };
    let asked: Vec<_> = (0..300)
        .map(|_| {
            let (mut rpc, never) = (client(world.core(), &greedy), never.clone());
            tokio::spawn(async move { rpc.get_checkpoint(never).await })
        })
        .collect();
    until("more than wait", async || asked.iter().any(tokio::task::JoinHandle::is_finished).then_some(())).await;
    client(world.core(), &other).rule_records(rules_of(patient(7))).await.expect("another's call");
    client(world.core(), &greedy).get_log(GetLogRequest::default()).await.expect("how the log is");
    let mut busy = 0;
    for asked in asked {
        if asked.is_finished() {
            let status = asked.await.expect("no panic").expect_err("no such size");
            busy += usize::from(info(&status).code == "BUSY");
        } else {
            asked.abort();
        }
    }
    assert!(busy > 0, "a caller has a bounded number of calls under way");
    world.node.stop().await;
}

/// An erased patient, one that is on record, one of whom nobody heard, and the tags that parties are given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_service_is_not_told_who_was_erased() {
    let mut world = World::start(20_000).await;
    let service = world.party(51, Roles::TAG, 0).await;
    let author = world.party(52, Roles::RECORDER, 0).await;
    let device = of_seed(53);
    let [known, erased, unknown] = [1, 2, 3].map(|n| two_tags(world.core(), n));
    for of in [&known, &erased] {
        put(&world.node.core, &mut world.portal, &permit(of.open, "c1", DR_X)).await;
    }
    let act = Act::Erased { indices: Vec::new(), ground: "ORDER 17".into() };
    put(&world.node.core, &mut world.authority, &erasure_message(&act, &erased.open, now_ms())).await;
    let ask = |identity: PatientIdentity| ResolveTagsRequest { identities: vec![identity] };
    let identity = |of: &common::asking::TwoTags| of.pairing.patient.clone().expect("an identity");
    let mut shapes = BTreeSet::new();
    for of in [&known, &erased, &unknown] {
        let tags = client(world.core(), &service).resolve_tags(ask(identity(of))).await.expect("tags").into_inner();
        assert_eq!(tags.tags[0].tag, of.open);
        shapes.insert([&tags.tags[0].proof, &tags.tags[0].secret_tag, &tags.tags[0].secret_proof].map(Vec::len));
        let status = client(world.core(), &device).resolve_tags(ask(identity(of))).await.expect_err("not hers");
        assert_eq!(info(&status).code, "NOT_ENTITLED", "another patient's device learns nothing");
    }
    assert_eq!(shapes.len(), 1);
    // Who could record under it must not.
    let status = client(world.core(), &author).resolve_tags(ask(identity(&erased))).await.expect_err("erased");
    assert_eq!(info(&status).code, "PATIENT_ERASED");
    world.node.stop().await;
}

/// A batch through another party's certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_comes_with_the_certificate_of_its_author() {
    let mut world = World::start(20_000).await;
    let (own, other) = (world.party(51, Roles::RECORDER, 0).await, world.party(52, Roles::RECORDER, 0).await);
    until("feature level 3", async || (world.core().reader().feature_level() >= 3).then_some(())).await;
    let batch = Author::new(own.key.clone()).batch(&access_by(patient(7), DR_X));
    let submit = || sillage_proto::v1::SubmitRequest { batch: Some(batch.clone()) };
    let status = client(world.core(), &other).submit(submit()).await.expect_err("another's");
    assert_eq!(info(&status).code, "NOT_ENTITLED");
    client(world.core(), &own).submit(submit()).await.expect("its own");
    world.node.stop().await;
}
