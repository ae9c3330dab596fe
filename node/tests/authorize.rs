//! "May I?", asked of one node and of three: who may ask, what is answered, and what stands on record of it.

mod common;

use std::sync::Arc;

use common::asking::{
    DR_X, DR_Y, Registered, TwoTags, client, doctor, info, parsed, permit, put, register, request, revoke, signed,
    signed_bytes, two_tags,
};
use common::{Author, Deployment, ORIGIN, Running, key, now_ms, until};
use prost::Message as _;
use sillage_ledger::seal::{self, KekFile, Sealer};
use sillage_node::core::Core;
use sillage_proof::batch::Origin;
use sillage_proof::{Hash, LeafIndex, LedgerTimeMs, TreeSize};
use sillage_proto::v1::{AuthorizeRequest, AuthorizeResponse, Authorized, DecisionReceipt, TagPairing};
use sillage_rules::codes::Code;
use sillage_rules::decide::message::DecisionMessage;
use sillage_rules::decide::record::{ActorView, DecisionRecord};
use sillage_rules::roles::Roles;

/// A deployment that runs, and who records and asks in it.
struct World {
    deployment: Deployment,
    nodes: Vec<Running>,
    /// Records what patients sign.
    portal: Author,
    /// Asks.
    store: Registered,
    /// Is asked for.
    claire: TwoTags,
}

impl World {
    async fn start(nodes: u64) -> Self {
        let mut deployment = Deployment::new(nodes);
        let mut running = Vec::new();
        for id in 1..=nodes {
            running.push(deployment.start(id).await);
        }
        until("a leader", async || running[0].core.leader()).await;
        let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
        let store = register(&running[0].core, &mut authority, 31, Roles::DECIDER).await;
        let portal = Author::new(key(&deployment.path("keys/profile.key")));
        let claire = two_tags(&running[0].core, 7);
        Self { deployment, nodes: running, portal, store, claire }
    }

    fn core(&self) -> &Arc<Core> {
        &self.nodes[0].core
    }

    /// A node that leads, or one that doesn't.
    fn node(&self, leads: bool) -> &Running {
        let is = |node: &&Running| (node.core.leader() == Some(node.core.config().id)) == leads;
        self.nodes.iter().find(is).expect("there is one")
    }

    async fn ask(&self, core: &Core, items: &[&str]) -> Authorized {
        let asked = signed(&self.store.key, &[request(&self.claire, DR_X, items)]);
        one(core.authorize(&self.store.party(self.core()), asked).await.expect("an answer"))
    }

    /// A record, opened with the keyring of the first node.
    fn opened(&self, index: LeafIndex) -> seal::OpenedEntry {
        // A copy: opening one finishes what its owner began.
        let copy = self.deployment.path("keyring-now");
        std::fs::copy(self.deployment.path("node-1/keys/keyring"), &copy).expect("copied");
        let keks = Arc::new(KekFile::open(&copy).expect("a keyring"));
        let sealer = Sealer::new(self.core().reader().clone(), keks, 16);
        self.nodes[0].entries.open(&sealer, index).expect("opened").expect("on record")
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

fn one(answer: AuthorizeResponse) -> Authorized {
    let [one] = <[Authorized; 1]>::try_from(answer.decisions).expect("one answer to one request");
    one
}

/// Entries from `size` on, index commits left out.
fn recorded_since(node: &Running, size: TreeSize) -> usize {
    let entries = (size.get()..node.core.reader().tree_size().get()).filter(|index| {
        let entry = node.entries.decoded_entry(LeafIndex(*index)).expect("readable").expect("there");
        !matches!(entry, sillage_rules::entry::Entry::IndexCommit(_))
    });
    entries.count()
}

/// Checks a receipt as a record store would, without the ledger.
fn verified(deployment: &Deployment, nodes: u64, receipt: &DecisionReceipt) -> ActorView {
    let private_hash = Hash::from_slice(&receipt.private_hash).expect("a hash");
    let salt = receipt.salt[..].try_into().expect("16 bytes");
    let view = ActorView::parse(&receipt.actor_part, salt, private_hash).expect("an actor's part");
    let node = (1..=nodes).map(|id| deployment.node_key(id).public_key());
    let node = node.into_iter().find(|key| key.key_id().as_bytes()[..] == receipt.key_id).expect("a node's key");
    let message = DecisionMessage {
        key_id: node.key_id(),
        origin: Origin::new(ORIGIN).expect("valid"),
        index: LeafIndex(receipt.index),
        time: LedgerTimeMs(receipt.time_ms),
        tag: receipt.tag[..].try_into().expect("32 bytes"),
        record_hash: Hash::from_slice(&receipt.record_hash).expect("a hash"),
    };
    view.verify(&message, &node, &receipt.signature).expect("signed by the node");
    view
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_patient_permits_is_permitted_until_it_is_revoked() {
    let mut world = World::start(1).await;
    let core = Arc::clone(world.core());
    let before = world.ask(&core, &["doc1"]).await;
    assert!(before.error.is_none() && before.permitted.is_empty() && before.told.is_empty());
    assert_eq!(before.receipts.len(), 1, "what is refused is on record as well");

    put(&core, &mut world.portal, &permit(world.claire.open, "c1", DR_X)).await;
    let granted = world.ask(&core, &["doc1", "doc2"]).await;
    assert_eq!((granted.permitted.len(), &granted.permitted), (2, &granted.told));
    let view = verified(&world.deployment, 1, &granted.receipts[0]);
    let now = LedgerTimeMs(now_ms());
    assert!(view.permits("doc1", now) && !view.permits("doc3", now));
    assert!(!view.permits("doc1", LedgerTimeMs(view.actor.expires_at_ms)), "it stands for a time");

    // The decision is an entry under the patient's tag, and opens to what was signed.
    let opened = world.opened(LeafIndex(granted.receipts[0].index));
    assert_eq!(opened.entry.tag, world.claire.open);
    let decision = DecisionRecord::parse(&[opened.salt, opened.record].concat()).expect("a decision");
    assert_eq!(decision.record_hash().as_bytes()[..], granted.receipts[0].record_hash);
    let origin = Origin::new(ORIGIN).expect("valid");
    decision.verify_request(&world.store.key.public_key(), &origin).expect("asked by the store");
    assert_eq!(decision.private_part().outcomes[0].reason, "CONSENT_GRANT");

    let other = signed(&world.store.key, &[request(&world.claire, DR_Y, &["doc1"])]);
    let other = core.authorize(&world.store.party(&core), other).await.expect("an answer");
    assert!(one(other).permitted.is_empty(), "it was given to one doctor");
    put(&core, &mut world.portal, &revoke(world.claire.open, "c1")).await;
    assert!(world.ask(&core, &["doc1"]).await.permitted.is_empty());

    let metrics = world.nodes[0].metrics.render();
    assert!(metrics.contains("sillage_decisions_total{outcome=\"permitted\"} 1"), "{metrics}");
    assert!(metrics.contains("sillage_decisions_total{outcome=\"denied\"} 3"), "{metrics}");
    assert!(!metrics.contains(DR_X));
    drop(core);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_ask_is_told_so_and_nothing_is_decided() {
    let world = World::start(1).await;
    let core = Arc::clone(world.core());
    let mut authority = Author::new(key(&world.deployment.path("keys/authority.key")));
    // Its stream goes on after the store's registration.
    authority.batch(&permit(world.claire.open, "skipped", DR_X));
    let other = register(&core, &mut authority, 32, Roles::DECIDER | Roles::READER).await;
    let reader = register(&core, &mut authority, 33, Roles::READER).await;
    let size = core.reader().tree_size();
    let asked = || signed(&world.store.key, &[request(&world.claire, DR_X, &["doc1"])]);
    let refused = async |caller: &Registered, asked| {
        let refusal = core.authorize(&caller.party(&core), asked).await.expect_err("refused");
        (refusal.code, refusal.position)
    };
    let mut forged = asked();
    forged.signature[0] ^= 1;
    assert_eq!(refused(&world.store, forged).await, (Code::BadSignature, None));
    let mut swapped = signed(&world.store.key, &[request(&world.claire, DR_X, &["doc1"])]);
    swapped.requests[0] = request(&world.claire, DR_Y, &["doc1"]).0.encode_to_vec();
    assert_eq!(refused(&world.store, swapped).await.0, Code::BadSignature, "signed for another doctor");
    assert_eq!(refused(&other, asked()).await.0, Code::NotEntitled, "another party's certificate");
    let unknown =
        signed(&sillage_proof::keys::SigningKey::from_seed(&[99; 32]), &[request(&world.claire, DR_X, &["d"])]);
    assert_eq!(refused(&world.store, unknown).await.0, Code::UnknownKey);
    let by_reader = signed(&reader.key, &[request(&world.claire, DR_X, &["doc1"])]);
    assert_eq!(refused(&reader, by_reader.clone()).await.0, Code::NotEntitled);
    let status = client(&core, &reader).authorize(by_reader).await.expect_err("no author");
    assert_eq!(info(&status).code, "NOT_ENTITLED");

    // Out of bounds, or not understood: the call is refused, and says which request is meant.
    let many = vec![request(&world.claire, DR_X, &["doc1"]); 65];
    assert_eq!(refused(&world.store, signed(&world.store.key, &many)).await.0, Code::MalformedRequest);
    assert_eq!(refused(&world.store, signed(&world.store.key, &[])).await.0, Code::MalformedRequest);
    let good = request(&world.claire, DR_X, &["doc1"]).0.encode_to_vec();
    let proven = |bytes: Vec<u8>| (bytes, world.claire.pairing.clone());
    let unreadable = signed_bytes(&world.store.key, vec![proven(good.clone()), proven(b"not protobuf".to_vec())]);
    assert_eq!(refused(&world.store, unreadable).await, (Code::MalformedRequest, Some(1)));
    let padded = signed_bytes(&world.store.key, vec![proven([&good[..], &[0x60, 0]].concat())]);
    assert_eq!(refused(&world.store, padded).await, (Code::MalformedRequest, Some(0)), "not canonical");
    let ids: Vec<String> = (0..257).map(|n| format!("doc{n}")).collect();
    let crowd = request(&world.claire, DR_X, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let crowd = signed(&world.store.key, &[crowd]);
    assert_eq!(refused(&world.store, crowd).await, (Code::MalformedRequest, Some(0)));
    let mut long = request(&world.claire, DR_X, &["doc1"]);
    long.0.items[0].label = "x".repeat(61_440);
    assert_eq!(refused(&world.store, signed(&world.store.key, &[long])).await, (Code::MalformedRequest, Some(0)));

    assert_eq!(recorded_since(&world.nodes[0], size), 0, "nothing is on record of it");
    drop(core);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_both_tags_of_its_patient_and_proves_them() {
    let world = World::start(1).await;
    let core = Arc::clone(world.core());
    let (party, key) = (world.store.party(&core), &world.store.key);
    let (other, size) = (two_tags(&core, 8), core.reader().tree_size());
    let asked = || request(&world.claire, DR_X, &["doc1"]);
    let refused = async |call| {
        let refusal = core.authorize(&party, call).await.expect_err("refused");
        assert!(refusal.message.contains("resolve the patient, and name both tags"), "{}", refusal.message);
        (refusal.code, refusal.position)
    };
    // Left out, what is kept from representatives would not count: neither alone nor behind one that is good.
    let mut one_tag = asked();
    one_tag.0.secret_tag.clear();
    let alone = signed(key, std::slice::from_ref(&one_tag));
    assert_eq!(refused(alone).await, (Code::MalformedRequest, Some(0)));
    let unproven = (one_tag.0.clone(), TagPairing::default());
    assert_eq!(refused(signed(key, &[asked(), unproven])).await, (Code::MalformedRequest, Some(1)));
    assert_eq!(refused(signed(key, &[asked(), one_tag])).await, (Code::MalformedRequest, Some(1)));
    // Both named, and nothing that proves them.
    let unproven = AuthorizeRequest { pairings: Vec::new(), ..signed(key, &[asked(), asked()]) };
    assert_eq!(refused(unproven).await, (Code::MalformedRequest, Some(0)));
    let unproven = signed(key, &[asked(), (asked().0, TagPairing::default())]);
    assert_eq!(refused(unproven).await, (Code::MalformedRequest, Some(1)));
    assert_eq!(recorded_since(&world.nodes[0], size), 0, "nothing is on record of it");

    // With another patient's proofs, or another's secret tag: that one alone is refused, by the ledger.
    let crossed = (asked().0, other.pairing.clone());
    let mut mixed = asked();
    mixed.0.secret_tag = other.secret.to_vec();
    let answer = core.authorize(&party, signed(key, &[crossed, mixed])).await.expect("an answer");
    for (answer, position) in answer.decisions.into_iter().zip(0..) {
        let error = answer.error.expect("refused");
        assert_eq!((error.code.as_str(), error.position), ("MALFORMED_REQUEST", position));
        assert!(answer.receipts.is_empty() && answer.permitted.is_empty() && answer.told.is_empty());
    }
    assert_eq!(recorded_since(&world.nodes[0], size), 0, "nothing is on record of it");
    let answer = core.authorize(&party, signed(key, &[asked()])).await.expect("an answer");
    assert_eq!((one(answer).receipts.len(), recorded_since(&world.nodes[0], size)), (1, 1));
    drop(core);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_decided_once_and_only_while_it_is_fresh() {
    let mut world = World::start(1).await;
    let core = Arc::clone(world.core());
    let party = world.store.party(&core);
    let mut stale = request(&world.claire, DR_X, &["doc1"]);
    stale.0.requested_at_ms -= 301_000;
    let answer = one(core.authorize(&party, signed(&world.store.key, &[stale])).await.expect("an answer"));
    assert_eq!(answer.error.expect("refused").code, "STALE_REQUEST");
    assert!(answer.receipts.is_empty());
    let mut ahead = request(&world.claire, DR_X, &["doc1"]);
    ahead.0.requested_at_ms += 302_000;
    let answer = one(core.authorize(&party, signed(&world.store.key, &[ahead])).await.expect("an answer"));
    assert_eq!(answer.error.expect("refused").code, "TIME_AHEAD");

    // The same call again: the original decision, also when the answer would be another one by now.
    let asked = signed(&world.store.key, &[request(&world.claire, DR_X, &["doc1"])]);
    let first = one(core.authorize(&party, asked.clone()).await.expect("an answer"));
    put(&core, &mut world.portal, &permit(world.claire.open, "c1", DR_X)).await;
    let again = one(core.authorize(&party, asked).await.expect("an answer"));
    assert_eq!(again, first);
    assert_eq!(world.ask(&core, &["doc1"]).await.permitted, ["doc1"], "a new request is decided anew");
    drop(core);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ward_round_is_one_call_and_one_raft_entry_and_a_bad_request_stops_no_other() {
    let mut world = World::start(1).await;
    let core = Arc::clone(world.core());
    let patients: Vec<TwoTags> = (0..40).map(|n| two_tags(&core, n)).collect();
    for patient in patients.iter().step_by(2) {
        put(&core, &mut world.portal, &permit(patient.open, "c1", DR_X)).await;
    }
    let mut round: Vec<_> = patients.iter().map(|patient| request(patient, DR_X, &["doc1"])).collect();
    round[17].0.requested_at_ms -= 400_000;
    // No index commit in between, which is a Raft entry of its own.
    until("a quiet log", async || (!core.reader().pending_since_commit()).then_some(())).await;
    let before = core.reader().applied().0;
    let asked = signed(&world.store.key, &round);
    let answer = core.authorize(&world.store.party(&core), asked).await.expect("an answer");
    let entries = core.reader().applied().0 - before;
    assert!((1..=2).contains(&entries), "{entries} Raft entries");
    assert_eq!(answer.decisions.len(), 40);
    for (n, one) in answer.decisions.iter().enumerate() {
        let error = one.error.as_ref().map(|error| (error.code.as_str(), error.position));
        assert_eq!(error, (n == 17).then_some(("STALE_REQUEST", 17)));
        if n != 17 {
            assert_eq!(one.permitted.len(), usize::from(n % 2 == 0), "{n}");
            let view = verified(&world.deployment, 1, &one.receipts[0]);
            assert_eq!(view.actor.request_hash, parsed(&round[n].0).hash().as_bytes());
        }
    }
    drop(core);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_revocation_was_acknowledged_no_node_permits_and_a_lost_leader_costs_only_time() {
    let mut world = World::start(3).await;
    let leader = Arc::clone(&world.node(true).core);
    let follower = Arc::clone(&world.node(false).core);
    for round in 0..3 {
        let id = format!("c{round}");
        put(&follower, &mut world.portal, &permit(world.claire.open, &id, DR_X)).await;
        let granted = world.ask(&follower, &["doc1"]).await;
        assert_eq!(granted.permitted, ["doc1"], "handed on to the leader");
        let view = verified(&world.deployment, 3, &granted.receipts[0]);
        assert_eq!(view.actor.actor, Some(doctor(DR_X)));
        put(&leader, &mut world.portal, &revoke(world.claire.open, &id)).await;
        for node in &world.nodes {
            assert!(world.ask(&node.core, &["doc1"]).await.permitted.is_empty());
        }
    }

    // What is asked while the leader goes is answered by the next one.
    put(&follower, &mut world.portal, &permit(world.claire.open, "last", DR_X)).await;
    let party = world.store.party(&follower);
    let asked = (0..20).map(|_| {
        let (core, party) = (Arc::clone(&follower), party.clone());
        let asked = signed(&world.store.key, &[request(&world.claire, DR_X, &["doc1"])]);
        tokio::spawn(async move { core.authorize(&party, asked).await })
    });
    let asked: Vec<_> = asked.collect();
    let gone = leader.config().id;
    drop(leader);
    let at = world.nodes.iter().position(|node| node.core.config().id == gone).expect("it ran");
    world.nodes.remove(at).stop().await;
    for answer in asked {
        let answer = one(answer.await.expect("no panic").expect("answered in time"));
        assert_eq!(answer.permitted, ["doc1"]);
    }
    drop(follower);
    world.stop().await;
}
