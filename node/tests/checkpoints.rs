//! Checkpoints over a majority of nodes, and what a node does that finds itself on the other side.

mod common;

use std::time::Duration;

use common::{Author, Deployment, Running, copy, key, now_ms, record, until};
use sillage_node::http::Backend as _;
use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, SignedNote, SignerKey, VerifierKey};
use sillage_proof::{Hash, TreeSize};
use sillage_proto::v1::{LedgerAct, LogKeyRotated, NodeKeyRotated, PublicKey, ledger_act};
use sillage_rules::codes::Code;
use sillage_rules::cosigner::{auditor_name, node_name};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;

fn origin() -> Origin {
    Origin::new(common::ORIGIN).expect("valid")
}

fn node_signer(key: SigningKey, id: u64) -> SignerKey {
    SignerKey::new(&node_name(&origin(), id), KeyKind::CosignatureV1, key).expect("a name")
}

fn log_signer(key: SigningKey) -> SignerKey {
    SignerKey::new(common::ORIGIN, KeyKind::Ed25519, key).expect("a name")
}

/// The keys of `trusted` that have signed a note.
fn signers<'k>(note: &str, trusted: &'k [VerifierKey]) -> Vec<&'k VerifierKey> {
    let note = SignedNote::parse(note.as_bytes()).expect("a note");
    let has = |key: &&VerifierKey| note.verify([*key]).is_ok();
    trusted.iter().filter(has).collect()
}

async fn leader_of(nodes: &[Running]) -> usize {
    until("a leader", async || nodes.iter().position(|node| node.core.leader() == Some(node.core.config().id))).await
}

fn vkeys(deployment: &Deployment, nodes: u64) -> Vec<VerifierKey> {
    (1..=nodes).map(|id| node_signer(deployment.node_key(id), id).verifier().clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_gives_a_checkpoint_that_all_cosigned_and_the_log_signed() {
    let mut deployment = Deployment::new(3);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(deployment.start_with(id, |config| config.recosign_interval_ms = 300).await);
    }
    let leader = leader_of(&nodes).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let size_min = record(&nodes[(leader + 1) % 3].core, &mut author).await;
    let (log, keys) = (log_signer(deployment.log_key()).verifier().clone(), vkeys(&deployment, 3));
    let names: Vec<String> = keys.iter().map(|key| key.name().to_owned()).collect();
    for node in &nodes {
        let found = node.core.checkpoint(size_min, &[]).await.expect("a checkpoint that covers the record");
        assert!(found.size >= size_min);
        assert_eq!(signers(&found.note, std::slice::from_ref(&log)).len(), 1);
        assert!(signers(&found.note, &keys).len() >= 2, "{}", found.note);
        until("all three have cosigned", async || node.core.checkpoint(size_min, &names).await.ok()).await;
        let stranger = ["ledger.example/test/node-9".to_owned()];
        assert_eq!(node.core.checkpoint(0, &stranger).await.unwrap_err().code, Code::SizeNotReached);
        let beyond = node.core.checkpoint(size_min + 1_000, &[]).await;
        assert_eq!(beyond.unwrap_err().code, Code::SizeNotReached);
    }

    // Nothing comes any more: the same is cosigned again, with a later time.
    let follower = &nodes[(leader + 1) % 3].core;
    let before = follower.newest_checkpoint().await.expect("a checkpoint");
    let later = until("a later time", async || {
        let newest = follower.newest_checkpoint().await.ok()?;
        (newest.size == before.size && newest.time_s() > before.time_s()).then_some(newest)
    });
    assert_eq!(later.await.root, before.root);

    // One node less is still a majority; whoever leads then goes on.
    nodes.remove(leader).stop().await;
    let size_min = record(&nodes[0].core, &mut author).await;
    let found = until("a checkpoint without it", async || nodes[1].core.checkpoint(size_min, &[]).await.ok()).await;
    assert_eq!(signers(&found.note, &keys).len(), 2);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditors_cosignature_is_kept_and_reaches_every_node() {
    let mut deployment = Deployment::new(3);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(deployment.start(id).await);
    }
    leader_of(&nodes).await;
    let newest = until("a checkpoint", async || nodes[0].core.newest_checkpoint().await.ok()).await;
    let auditor = Author::new(key(&deployment.path("keys/profile.key")));
    let party = nodes[0].core.reader().party(&auditor.id()).expect("readable").expect("a party");
    let name = auditor_name(&origin(), &auditor.id());
    let signer = |key| SignerKey::new(&name, KeyKind::CosignatureV1, key).expect("a name");
    let cosigned = |text: &str, key| {
        let line = signer(key).sign(text, now_ms() / 1_000).expect("signed");
        SignedNote::new(text.to_owned(), vec![line]).expect("a note").to_string()
    };
    let own_key = || key(&deployment.path("keys/profile.key"));
    let text = newest.verified().checkpoint.to_text();
    let core = &nodes[1].core;
    let refused = async |note: &str| core.add_cosignature(&party, note).await.expect_err("refused").code;
    assert_eq!(refused(&cosigned(&text, SigningKey::from_seed(&[1; 32]))).await, Code::BadSignature);
    assert_eq!(refused(&newest.note).await, Code::MalformedRequest, "without a line of its own");
    let other = Checkpoint { root: Hash::from([9; 32]), ..newest.verified().checkpoint.clone() };
    assert_eq!(refused(&cosigned(&other.to_text(), own_key())).await, Code::SizeNotReached);

    let kept = core.add_cosignature(&party, &cosigned(&text, own_key())).await.expect("taken");
    assert!(kept.is_cosigned_by(&name) && kept.size == newest.size);
    for node in &nodes {
        let names = std::slice::from_ref(&name);
        until("it is shown everywhere", async || node.core.checkpoint(0, names).await.ok()).await;
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_against_the_majority_is_corrupt_and_stays_so() {
    let mut deployment = Deployment::new(1);
    let node = deployment.start(1).await;
    let newest = until("a checkpoint", async || node.core.newest_checkpoint().await.ok()).await;
    let signed = |size: u64, root: Hash, keys: &[&SignerKey]| {
        let checkpoint = Checkpoint { origin: origin(), size: TreeSize(size), root };
        checkpoint.sign(keys, now_ms() / 1_000).expect("signed").to_string()
    };
    let (log, own) = (log_signer(deployment.log_key()), node_signer(deployment.node_key(1), 1));
    let stranger = node_signer(SigningKey::from_seed(&[1; 32]), 1);
    let root = Hash::from([9; 32]);

    // What no majority has cosigned, or the log hasn't signed, changes nothing.
    for keys in [&[&log][..], &[&log, &stranger], &[&stranger]] {
        let refusal = node.core.learn(&signed(newest.size, root, keys)).await.expect_err("refused");
        assert_eq!(refusal.code, Code::MalformedRequest);
    }
    assert!(node.core.check_sound().is_ok());

    let refusal = node.core.learn(&signed(newest.size, root, &[&log, &own])).await.expect_err("two roots");
    assert_eq!(refusal.code, Code::Corrupt);
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let batch = author.batch(&common::access(&node.core));
    assert_eq!(node.core.submit(batch).await.expect_err("serves nothing").code, Code::Corrupt);
    assert_eq!(node.core.newest_checkpoint().await.expect_err("serves nothing").code, Code::Corrupt);
    assert_eq!(node.core.cosign(newest.size, Duration::ZERO).await.expect_err("signs nothing").code, Code::Corrupt);
    let health = node.core.health();
    assert_eq!(health.status, "corrupt");
    assert!(health.reason.contains("two roots"), "{}", health.reason);
    assert!(node.metrics.render().contains("sillage_corrupt 1"));
    until("the verdict is on disk", async || node.core.has_stopped_replica().then_some(())).await;
    node.stop().await;

    let node = deployment.start(1).await;
    assert_eq!(node.core.check_sound().expect_err("still corrupt").code, Code::Corrupt);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_put_back_to_an_older_state_is_found_out_at_the_start() {
    let mut deployment = Deployment::new(3);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(deployment.start(id).await);
    }
    leader_of(&nodes).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let third = node_name(&origin(), 3);
    let size_min = record(&nodes[0].core, &mut author).await;
    let has_third = async |core: &sillage_node::core::Core, size_min| {
        core.checkpoint(size_min, std::slice::from_ref(&third)).await.ok()
    };
    until("it cosigns", async || has_third(&nodes[0].core, size_min).await).await;

    let (data, old) = (deployment.path("node-3/data"), deployment.path("old"));
    nodes.pop().expect("the third").stop().await;
    copy(&data, &old);
    // With the marker beside the keyring, or the node itself would see it.
    let (marker, old_marker) = (deployment.path("node-3/keys/disk"), deployment.path("old-marker"));
    std::fs::copy(&marker, &old_marker).expect("a marker");
    nodes.push(deployment.start(3).await);
    let size_min = record(&nodes[0].core, &mut author).await;
    until("it cosigns more", async || has_third(&nodes[0].core, size_min).await).await;
    nodes.pop().expect("the third").stop().await;
    std::fs::remove_dir_all(&data).expect("removed");
    copy(&old, &data);
    std::fs::copy(&old_marker, &marker).expect("a marker");

    let rewound = deployment.start(3).await;
    let refusal = until("it finds out", async || rewound.core.check_sound().err()).await;
    assert_eq!(refusal.code, Code::Corrupt);
    assert!(refusal.message.contains("put back to an older state"), "{}", refusal.message);
    // The others go on.
    let size_min = record(&nodes[0].core, &mut author).await;
    until("a checkpoint", async || nodes[1].core.checkpoint(size_min, &[]).await.ok()).await;
    rewound.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_sign_from_the_checkpoint_after_the_one_that_covers_the_act() {
    let mut deployment = Deployment::new(1);
    let next = [SigningKey::from_seed(&[21; 32]), SigningKey::from_seed(&[22; 32])];
    for (name, key) in ["node-next.key", "log-next.key"].iter().zip(&next) {
        let path = deployment.path(name);
        std::fs::write(&path, format!("{}\n", hex::encode(*key.to_seed()))).expect("written");
        let owner_only = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).expect("set");
    }
    let (node_next, log_next) = (deployment.path("node-next.key"), deployment.path("log-next.key"));
    let change = move |config: &mut sillage_node::config::NodeConfig| {
        (config.node_key_next, config.log_key_next) = (Some(node_next), Some(log_next));
    };
    let old = [log_signer(deployment.log_key()), node_signer(deployment.node_key(1), 1)];
    let old = old.map(|key| key.verifier().clone());
    let new = [log_signer(next[1].clone()), node_signer(next[0].clone(), 1)].map(|key| key.verifier().clone());
    let node = deployment.start_with(1, change).await;
    until("a leader", async || node.core.leader()).await;

    let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
    let public = |key: &SigningKey| Some(PublicKey { alg: 1, key: key.public_key().as_bytes().to_vec() });
    let mut size_min = 0;
    for act in [
        ledger_act::Act::NodeKey(NodeKeyRotated { node_id: 1, key: public(&next[0]) }),
        ledger_act::Act::LogKey(LogKeyRotated { key: public(&next[1]) }),
    ] {
        let mut record = new_message(Kind::KEY_ROTATED, None, now_ms());
        record.act = Some(LedgerAct { act: Some(act) });
        let done = node.core.submit(authority.batch(&record)).await.expect("recorded");
        let receipt = sillage_proof::batch::ReceiptMessage::decode(&done.receipt.expect("signed").message);
        size_min = receipt.expect("a receipt").first_index.get() + 1;
    }
    let covering = node.core.checkpoint(size_min, &[]).await.expect("a checkpoint");
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let size_min = record(&node.core, &mut author).await.max(covering.size + 1);
    let after = node.core.checkpoint(size_min, &[]).await.expect("a checkpoint");
    assert_eq!(signers(&after.note, &new).len(), 2, "{}", after.note);
    assert_eq!(signers(&after.note, &old).len(), 0, "{}", after.note);
    // Every checkpoint that covers an act for the first time is signed with the keys before it; of two acts that share
    // one, that is the old keys for both.
    let first = node.core.checkpoints_kept().into_iter().rev().find(|kept| !signers(&kept.note, &old).is_empty());
    let first = first.expect("the log began with the old keys");
    assert!(first.size <= covering.size && first.size < after.size);
    // Without the next key's file the node serves, but can't cosign.
    node.stop().await;
    let node = deployment.start(1).await;
    until("a leader", async || node.core.leader()).await;
    let size = after.size;
    let refusal = until("it says so", async || {
        let refusal = node.core.cosign(size, Duration::from_secs(1)).await.err()?;
        refusal.message.contains("node key that is in force").then_some(refusal)
    });
    assert_eq!(refusal.await.code, Code::Unavailable);
    node.stop().await;
}
