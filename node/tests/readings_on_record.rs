//! Readings that tell little and are on record all the same: what an act would void, lines that the ledger made, acts that name a
//! patient, and how far a patient's entries go.

mod common;

use std::sync::Arc;

use common::asking::{DR_X, Registered, client, info, patient, permit, put, register};
use common::{Author, Deployment, Running, key, now_ms, until};
use serde_json::{Value, json};
use sillage_node::core::Core;
use sillage_proof::LeafIndex;
use sillage_proto::v1::{GetEntryRequest, PatientEntriesRequest, PreviewVoidingRequest, TraceRequest};
use sillage_rules::act::Act;
use sillage_rules::entry::Entry;
use sillage_rules::kind::Kind;
use sillage_rules::record::erasure_message;
use sillage_rules::roles::Roles;
use sillage_rules::voiding::{Voiding, Whose};

struct World {
    node: Running,
    authority: Author,
    portal: Author,
    auditor: Registered,
    reader: Registered,
    /// Keeps the folder.
    _deployment: Deployment,
}

impl World {
    async fn start() -> Self {
        let mut deployment = Deployment::new(1);
        let node = deployment.start(1).await;
        until("a leader", async || node.core.leader()).await;
        let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
        let auditor = register(&node.core, &mut authority, 51, Roles::AUDITOR).await;
        let reader = register(&node.core, &mut authority, 52, Roles::READER).await;
        let portal = Author::new(key(&deployment.path("keys/profile.key")));
        Self { node, authority, portal, auditor, reader, _deployment: deployment }
    }

    fn core(&self) -> &Arc<Core> {
        &self.node.core
    }

    fn size(&self) -> u64 {
        self.core().reader().tree_size().get()
    }

    /// Readings that came on record from entry `from` on: under which tag, what, by whom.
    fn readings_from(&self, from: u64) -> Vec<([u8; 32], Value, String)> {
        let mut readings = Vec::new();
        for index in (from..self.size()).map(LeafIndex) {
            if let Some(record) = self.node.consulted(index) {
                let Some(Entry::Record(entry)) = self.node.entries.decoded_entry(index).expect("readable") else {
                    panic!("a record")
                };
                let details = serde_json::from_str(&record.details).expect("JSON");
                readings.push((entry.tag, details, record.actor.map(|actor| actor.label).unwrap_or_default()));
            }
        }
        readings
    }

    /// The auditor reads one entry; what came on record of it.
    async fn looks_at(&self, index: u64) -> Vec<([u8; 32], Value, String)> {
        let before = self.size();
        client(self.core(), &self.auditor).get_entry(GetEntryRequest { index }).await.expect("an entry");
        self.readings_from(before)
    }

    /// The newest entry of this kind.
    fn newest(&self, kind: Kind) -> u64 {
        let is_one = |index: &u64| {
            let entry = self.node.entries.decoded_entry(LeafIndex(*index)).expect("readable").expect("there");
            entry.kind() == Some(kind)
        };
        (0..self.size()).rev().find(is_one).expect("there is one")
    }
}

fn entries(index: u64, count: u64) -> Value {
    json!({ "first": index, "count": count })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_what_an_act_would_void_is_on_record_as_reading_those_entries() {
    let mut world = World::start().await;
    let second = register(&world.node.core, &mut world.authority, 53, Roles::AUTHORITY).await;
    let first = put(&world.node.core, &mut world.portal, &permit(patient(7), "c1", DR_X)).await;
    put(&world.node.core, &mut world.portal, &permit(patient(8), "c1", DR_X)).await;
    let portal = world.portal.id();
    let act =
        Voiding::Void { whose: Whose::Party(portal), from: LeafIndex(first), until: None, reason: "stolen".into() };
    let request = PreviewVoidingRequest { act: Some(act.to_message()), next: 0 };
    let refused = client(world.core(), &world.auditor).preview_voiding(request.clone()).await.expect_err("an auditor");
    assert_eq!(info(&refused).code, "NOT_ENTITLED");
    let before = world.size();
    assert_eq!(world.readings_from(before), [], "what was refused isn't read");
    let told = client(world.core(), &second).preview_voiding(request).await.expect("a preview").into_inner();
    assert_eq!((told.records, told.tags.len()), (2, 2));
    let readings = world.readings_from(before);
    let [(tag, details, by)] = &readings[..] else { panic!("one reading: {readings:?}") };
    assert_eq!((*tag, by.as_str()), ([0; 32], "party 53"));
    assert_eq!(details["first"], first);
    assert!(details["count"].as_u64() >= Some(before - first), "all that it was told of: {details}");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_a_line_that_the_ledger_made_of_a_patient_is_on_record() {
    let mut world = World::start().await;
    put(&world.node.core, &mut world.portal, &permit(patient(7), "c1", DR_X)).await;
    let trace = TraceRequest { tag: patient(7).to_vec(), ..TraceRequest::default() };
    client(world.core(), &world.reader).trace(trace).await.expect("a page");
    // Nobody signed the line: the ledger says that somebody looked at this patient.
    let line = world.newest(Kind::LOG_CONSULTED);
    assert_eq!(world.looks_at(line).await, [([0; 32], entries(line, 1), "party 51".to_owned())]);
    // That line tells of no patient, and neither does an index commit: reading them leaves nothing.
    let own = world.newest(Kind::LOG_CONSULTED);
    assert_ne!(own, line);
    assert_eq!(world.looks_at(own).await, []);
    until("an index commit", async || (!world.core().reader().pending_since_commit()).then_some(())).await;
    let commit = world.newest(Kind::INDEX_COMMIT);
    assert_eq!(world.looks_at(commit).await, []);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_an_act_is_on_record_where_it_names_a_patient() {
    let mut world = World::start().await;
    put(&world.node.core, &mut world.portal, &permit(patient(7), "c1", DR_X)).await;
    let erased = Act::Erased { indices: Vec::new(), ground: "ORDER 17".into() };
    let act = put(&world.node.core, &mut world.authority, &erasure_message(&erased, &patient(7), now_ms())).await;
    assert_eq!(world.looks_at(act).await, [([0; 32], entries(act, 1), "party 51".to_owned())]);
    let registered = world.newest(Kind::KEY_REGISTERED);
    assert_eq!(world.looks_at(registered).await, [], "an act that names nobody is public");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_told_that_a_patient_has_no_more_entries_is_on_record() {
    let mut world = World::start().await;
    put(&world.node.core, &mut world.portal, &permit(patient(7), "c1", DR_X)).await;
    until("an index commit", async || (!world.core().reader().pending_since_commit()).then_some(())).await;
    let before = world.size();
    let asked = PatientEntriesRequest { tag: patient(7).to_vec(), from: 0, to: 1, count: 1_000 };
    let refused = client(world.core(), &world.reader).patient_entries(asked).await.expect_err("not so many");
    assert_eq!(info(&refused).code, "SIZE_NOT_REACHED");
    let line = json!({ "read": "entries", "for_s": 60 });
    assert_eq!(world.readings_from(before), [(patient(7), line, "party 52".to_owned())], "the patient sees who asked");
    // A question that can't be tells nothing, and leaves nothing.
    let before = world.size();
    let asked = PatientEntriesRequest { tag: patient(8).to_vec(), from: 5, to: 1, count: 1_000 };
    let refused = client(world.core(), &world.reader).patient_entries(asked).await.expect_err("no range");
    assert_eq!(info(&refused).code, "MALFORMED_REQUEST");
    assert_eq!(world.readings_from(before), []);
    world.node.stop().await;
}
