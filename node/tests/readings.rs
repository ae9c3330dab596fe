//! Whoever reads of a patient stands in that patient's trace, before anything is given; and what decides can be read as it
//! was at any moment.

mod common;

use std::sync::Arc;

use common::asking::{
    DR_X, DR_Y, Registered, by_patient, client, glass, info, of_seed, party, patient, permit, policy, put, register,
    revoke,
};
use common::{Author, Deployment, Running, key, now_ms, until};
use serde_json::json;
use sillage_node::core::Core;
use sillage_proto::v1::{
    GetEntriesRequest, ListBreakGlassRequest, PatientEntriesRequest, ProvePatientRequest, Record, RuleRecordsRequest,
    RuleRecordsResponse, SubmitRequest, TraceRequest,
};
use sillage_rules::act::Act;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, erasure_message, new_message};
use sillage_rules::roles::Roles;

struct World {
    node: Running,
    authority: Author,
    portal: Author,
    reader: Registered,
    claire: Registered,
    /// Keeps the folder.
    _deployment: Deployment,
}

impl World {
    async fn start() -> Self {
        let mut deployment = Deployment::new(1);
        deployment.found_with(&party(42, Roles::PATIENT, Some(patient(7))));
        let node = deployment.start(1).await;
        until("a leader", async || node.core.leader()).await;
        let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
        let reader = register(&node.core, &mut authority, 41, Roles::READER).await;
        let claire = of_seed(42);
        let portal = Author::new(key(&deployment.path("keys/profile.key")));
        Self { node, authority, portal, reader, claire, _deployment: deployment }
    }

    fn core(&self) -> &Arc<Core> {
        &self.node.core
    }

    async fn put(&mut self, record: &Record) -> u64 {
        put(&self.node.core, &mut self.portal, record).await
    }

    /// The readings of a patient, oldest first: what, and by whom.
    fn read_of(&self, tag: [u8; 32]) -> Vec<(String, String)> {
        let rows = self.node.entries.trace_scan(&tag, None).map(|row| row.expect("readable"));
        let read = rows.filter(|row| row.kind == Kind::LOG_CONSULTED);
        let read = read.map(|row| {
            let record = self.node.consulted(row.index).expect("a reading");
            assert_eq!(record.tag, tag);
            (record.details, record.actor.expect("a party").label)
        });
        let mut read: Vec<_> = read.collect();
        read.reverse();
        read
    }

    async fn rules(&self, caller: &Registered, request: RuleRecordsRequest) -> RuleRecordsResponse {
        client(self.core(), caller).rule_records(request).await.expect("an answer").into_inner()
    }
}

fn rules_of(n: u8) -> RuleRecordsRequest {
    RuleRecordsRequest { tag: patient(n).to_vec(), ..RuleRecordsRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_of_a_patient_stands_in_the_trace_unless_it_is_the_patient() {
    let mut world = World::start().await;
    let index = world.put(&permit(patient(7), "c1", DR_X)).await;
    until("an index commit", async || (!world.core().reader().pending_since_commit()).then_some(())).await;
    let trace = TraceRequest { tag: patient(7).to_vec(), ..TraceRequest::default() };

    let mut itself = client(world.core(), &world.claire);
    let page = itself.trace(trace.clone()).await.expect("her own").into_inner();
    assert_eq!(page.lines.len(), 1);
    itself.prove_patient(ProvePatientRequest { tag: patient(7).to_vec() }).await.expect("her own");
    itself.rule_records(rules_of(7)).await.expect("her own");
    assert_eq!(world.read_of(patient(7)), [], "she needn't be told what she did");
    let status = itself.trace(TraceRequest { tag: patient(8).to_vec(), ..trace.clone() }).await.expect_err("another's");
    assert_eq!(info(&status).code, "NOT_ENTITLED");
    assert_eq!(world.read_of(patient(8)), [], "nothing was read");

    let mut reader = client(world.core(), &world.reader);
    let page = reader.trace(trace.clone()).await.expect("a page").into_inner();
    assert_eq!(page.lines.iter().map(|line| line.index).collect::<Vec<_>>(), [index], "the log as it was before");
    let by = |what: &str| (json!({ "read": what, "for_s": 60 }).to_string(), "party 41".to_owned());
    assert_eq!(world.read_of(patient(7)), [by("trace")]);
    let proof = reader.prove_patient(ProvePatientRequest { tag: patient(7).to_vec() }).await.expect("a proof");
    let asked = PatientEntriesRequest { tag: patient(7).to_vec(), from: 0, to: 1, count: proof.into_inner().count };
    reader.patient_entries(asked).await.expect("entries");
    reader.rule_records(rules_of(7)).await.expect("rules");
    assert_eq!(world.read_of(patient(7)), [by("trace")], "one line stands for a minute");

    // The patient sees it, as part of the trace.
    let page = itself.trace(TraceRequest { kind: Kind::LOG_CONSULTED.code().into(), ..trace }).await.expect("her own");
    let newest = &page.into_inner().lines[0];
    let record = ParsedRecord::parse(&newest.record).expect("a record");
    assert_eq!(record.tag(), Some(&patient(7)));
    drop((itself, reader));
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readings_at_once_share_a_few_raft_entries() {
    let mut world = World::start().await;
    for n in 1..=100 {
        world.put(&permit(patient(n), "c1", DR_X)).await;
    }
    let before = world.core().reader().applied().0;
    let readings = (0..200).map(|at| {
        let mut reader = client(world.core(), &world.reader);
        tokio::spawn(async move {
            let request = TraceRequest { tag: patient(1 + at / 2).to_vec(), limit: 1, ..TraceRequest::default() };
            reader.trace(request).await.map(drop)
        })
    });
    let mut refused = 0;
    for reading in readings.collect::<Vec<_>>() {
        refused += usize::from(reading.await.expect("no panic").is_err());
    }
    let entries = world.core().reader().applied().0 - before;
    let recorded: Vec<usize> = (1..=100).map(|n| world.read_of(patient(n)).len()).collect();
    assert_eq!(refused, 0, "they wait for their turn");
    assert_eq!(recorded, [1; 100], "of each patient one line, however many read it at once");
    // How many share one depends on how fast they come: that some do doesn't.
    assert!(entries < 100, "100 lines in {entries} Raft entries");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_decides_is_read_as_of_any_moment_page_by_page() {
    let mut world = World::start().await;
    let first = world.put(&permit(patient(7), "c1", DR_X)).await;
    let record = policy(&world.authority, &json!({ "version": "2026-1", "decision_valid_s": 60 }));
    let core = Arc::clone(world.core());
    let published = put(&core, &mut world.authority, &record).await;
    world.put(&permit(patient(8), "c1", DR_X)).await;
    let mut read = new_message(Kind::ACCESS_READ, Some(&patient(7)), now_ms());
    read.actor = Some(common::asking::doctor(DR_X));
    world.put(&read).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let between_ms = now_ms();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second = world.put(&permit(patient(7), "c2", DR_Y)).await;
    let third = world.put(&revoke(patient(7), "c1")).await;

    let indices = |answer: &RuleRecordsResponse| answer.records.iter().map(|line| line.index).collect::<Vec<_>>();
    let now = world.rules(&world.claire, rules_of(7)).await;
    assert_eq!(indices(&now), [first, second, third], "oldest first, and nothing that decides nothing");
    assert_eq!((now.more, now.as_of_size), (false, core.reader().tree_size().get()));
    assert_eq!(now.policy.expect("published").index, published);
    assert!(now.matrix.is_none() && now.catalogue.is_none() && now.revoked_actors.is_empty());
    let kinds = now.records.iter().map(|line| ParsedRecord::parse(&line.record).expect("a record").kind());
    assert_eq!(kinds.collect::<Vec<_>>()[1..], [Kind::CONSENT_DIRECTIVE, Kind::CONSENT_REVOKED]);

    let then = world.rules(&world.claire, RuleRecordsRequest { as_of_ms: between_ms, ..rules_of(7) }).await;
    assert_eq!(indices(&then), [first]);
    assert!(then.as_of_ms <= between_ms && then.as_of_size <= second);
    let same = world.rules(&world.claire, RuleRecordsRequest { as_of_index: then.as_of_size, ..rules_of(7) }).await;
    assert_eq!(same, then, "the same moment by its size");
    let early = world.rules(&world.claire, RuleRecordsRequest { as_of_index: first + 1, ..rules_of(7) }).await;
    assert_eq!((indices(&early), early.policy.is_none()), (vec![first], true), "before it was published");

    let page = world.rules(&world.claire, RuleRecordsRequest { limit: 2, ..rules_of(7) }).await;
    assert_eq!((indices(&page), page.more), (vec![first, second], true));
    let rest = RuleRecordsRequest { limit: 2, after_index: second, as_of_index: page.as_of_size, ..rules_of(7) };
    let rest = world.rules(&world.claire, rest).await;
    assert_eq!((indices(&rest), rest.more), (vec![third], false));

    let mut claire = client(&core, &world.claire);
    let mut refused = async |request| info(&claire.rule_records(request).await.expect_err("refused")).code;
    let size = core.reader().tree_size().get();
    assert_eq!(refused(RuleRecordsRequest { as_of_index: size + 100, ..rules_of(7) }).await, "AS_OF_AHEAD");
    assert_eq!(refused(RuleRecordsRequest { as_of_ms: now_ms() + 60_000, ..rules_of(7) }).await, "AS_OF_AHEAD");
    assert_eq!(refused(RuleRecordsRequest { as_of_ms: 1, ..rules_of(7) }).await, "AS_OF_AHEAD", "no log was there");
    let both = RuleRecordsRequest { as_of_ms: between_ms, as_of_index: 3, ..rules_of(7) };
    assert_eq!(refused(both).await, "MALFORMED_REQUEST");
    assert_eq!(refused(RuleRecordsRequest { limit: 501, ..rules_of(7) }).await, "MALFORMED_REQUEST");
    assert_eq!(refused(rules_of(8)).await, "NOT_ENTITLED");
    drop((claire, core));
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_decides_says_when_its_patient_was_erased_and_when_broken_glass_ends() {
    let mut world = World::start().await;
    world.put(&permit(patient(7), "c1", DR_X)).await;
    let core = Arc::clone(world.core());
    let short = policy(&world.authority, &json!({ "version": "short", "breakglass_max_s": 60 }));
    put(&core, &mut world.authority, &short).await;
    let opened = world.put(&glass(Some(patient(7)), "bg", DR_X, &json!({}))).await;
    let long = policy(&world.authority, &json!({ "version": "long", "breakglass_max_s": 86_400 }));
    put(&core, &mut world.authority, &long).await;
    let before = world.rules(&world.claire, rules_of(7)).await;
    assert_eq!(before.erased_index, 0);
    let [end] = &before.breakglass_ends[..] else { panic!("one") };
    let at = world.node.entries.decoded_entry(opened.into()).expect("readable").expect("on record").time().get();
    assert_eq!((end.index, end.ends_ms), (opened, at + 60_000), "by the policy of then");

    let erased = Act::Erased { indices: Vec::new(), ground: "ORDER 17".into() };
    let by = put(&core, &mut world.authority, &erasure_message(&erased, &patient(7), now_ms())).await;
    let after = world.rules(&world.claire, rules_of(7)).await;
    assert_eq!(after.erased_index, by);
    assert!(after.records.iter().all(|line| line.record.is_empty()), "nothing of it is left");
    let then = RuleRecordsRequest { as_of_index: before.as_of_size, ..rules_of(7) };
    assert_eq!(world.rules(&world.claire, then).await.erased_index, 0, "not yet");
    let of_register = ListBreakGlassRequest::default();
    let row =
        client(&core, &world.reader).list_break_glass(of_register).await.expect("a page").into_inner().rows.remove(0);
    assert_eq!(
        (row.erased_index, row.overdue, row.id.as_str(), row.opened_ms, row.recorded_ms),
        (by, false, "", at, at)
    );
    drop(core);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patients_own_device_decides_for_the_patient_and_records_nothing_else() {
    let world = World::start().await;
    let mut device = Author::new(world.claire.key.clone());
    let mut claire = client(world.core(), &world.claire);
    let mut record = permit(patient(7), "c1", DR_X);
    // The device proves who signs: nothing else has to.
    record.auth = None;
    let mut submit = async |batch| claire.submit(SubmitRequest { batch: Some(batch) }).await;
    submit(device.batch(&record)).await.expect("hers to decide");
    let read = Record { kind: Kind::ACCESS_READ.code().into(), details: String::new(), ..record.clone() };
    let others = [permit(patient(8), "c1", DR_X), read];
    for record in others {
        let mut again = Author::new(world.claire.key.clone());
        again.batch(&record);
        let status = submit(again.batch(&record)).await.expect_err("not hers");
        assert_eq!(info(&status).code, "NOT_ENTITLED");
    }
    drop(claire);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_decide_is_refused_before_it_is_sealed_and_names_its_field() {
    let mut world = World::start().await;
    let core = Arc::clone(world.core());
    let mut refused = async |record: Record| {
        let refusal = core.submit(world.portal.batch(&record)).await.expect_err("refused");
        (refusal.code.as_str(), refusal.message)
    };
    let grantee = json!({ "professional": format!("{}|{DR_X}", common::asking::RPPS) });
    let directive = |details: serde_json::Value| by_patient(Kind::CONSENT_DIRECTIVE, patient(7), &details);
    let unknown = json!({ "id": "c1", "effect": "permit", "grantee": grantee, "actions": ["read"], "color": 1 });
    let (code, message) = refused(directive(unknown)).await;
    assert_eq!(code, "MALFORMED_RECORD");
    assert!(message.contains("record 0: details") && message.contains("color"), "{message}");
    let anyone = json!({ "id": "c1", "effect": "permit", "grantee": "anyone", "actions": ["read"] });
    assert_eq!(refused(directive(anyone)).await.0, "PERMIT_ANYONE");
    world.portal = Author::new(key(&world._deployment.path("keys/profile.key")));
    let mut refused = async |record: Record| {
        let refusal = core.submit(world.portal.batch(&record)).await.expect_err("refused");
        assert_eq!(refusal.position, Some(0));
        refusal.code.as_str()
    };
    let mut nobody = permit(patient(7), "c1", DR_X);
    nobody.auth = None;
    assert_eq!(refused(nobody).await, "AUTHENTICATION_MISSING");
    assert_eq!(refused(revoke(patient(7), "never")).await, "UNKNOWN_REFERENCE");
    drop(core);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_that_follows_an_idle_log_does_not_fill_it() {
    let mut world = World::start().await;
    let core = Arc::clone(world.core());
    let auditor = register(&core, &mut world.authority, 43, Roles::AUDITOR).await;
    let read = async |first: u64| {
        let request = GetEntriesRequest { first, count: 10_000, ..GetEntriesRequest::default() };
        let mut stream = client(&core, &auditor).get_entries(request).await.expect("an answer").into_inner();
        let mut next = first;
        while let Some(message) = stream.message().await.expect("entries") {
            next += message.entries.len() as u64;
        }
        next
    };
    let size = async |above: u64| {
        until("a checkpoint", async || {
            let newest = core.checkpoint(above, &[]).await.ok()?;
            (!core.reader().pending_since_commit()).then_some(newest.size)
        })
        .await
    };
    let mut at = read(0).await;
    let began = size(at + 1).await;
    // Each round reads all that is there, as `audit --follow` does: the first leaves its own record, the others nothing.
    for _ in 0..5 {
        at = read(at).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if core.reader().tree_size().get() == at {
            break;
        }
        size(at + 1).await;
    }
    let ended = core.reader().tree_size().get();
    assert!(ended <= began + 2 && at == ended, "{began} to {ended}, read up to {at}");
    // What somebody else does is read, and that is on record.
    world.put(&glass(None, "bg9", DR_X, &json!({ "search": "NONE" }))).await;
    size(ended + 1).await;
    let before = core.reader().tree_size().get();
    at = read(at).await;
    until("the reading", async || (core.reader().tree_size().get() > before).then_some(())).await;
    assert!(at >= before);
    drop(core);
    world.node.stop().await;
}
