//! A new node and the group's keys: who gives them, and from whom it takes them.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Deployment, until};
use prost::Message as _;
use sillage_ledger::GenesisInfo;
use sillage_node::config::NodeConfig;
use sillage_node::join;
use sillage_node::join::sealed::Asking;
use sillage_proof::batch::Origin;
use sillage_proof::hash::sha256;
use sillage_proto::internal::v1::{GiveKeysRequest, NodeKeys};
use sillage_rules::codes::Code;

/// A keyring's file: a head, a count, the keys by prefix and epoch, and the hash of all before.
const HEAD_LEN: usize = b"sillage/keyring\0\x01".len();
const KEY_LEN: usize = 2 + 4 + 32;

/// Takes the key of the last prefix out of a keyring, as a backup of another time would lack it.
fn take_last_key_out(path: &Path) {
    let bytes = std::fs::read(path).expect("a keyring");
    let (head, rest) = bytes.split_at(HEAD_LEN);
    let (count, keys) = rest.split_at(4);
    let count = u32::from_be_bytes(count.try_into().expect("four bytes")) - 1;
    let keys = &keys[..keys.len() - 32 - KEY_LEN];
    let body = [head, &count.to_be_bytes(), keys].concat();
    let sum = sha256(&[&body]);
    std::fs::write(path, [&body[..], sum.as_bytes()].concat()).expect("a keyring");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giver_that_lacks_an_epoch_refuses_and_another_one_gives() {
    let mut deployment = Deployment::new(3);
    take_last_key_out(&deployment.path("node-1/keys/keyring"));
    let whole = std::fs::read(deployment.path("node-2/keys/keyring")).expect("a keyring");
    let lacking = deployment.start(1).await;
    let giver = deployment.start(2).await;

    let origin = Origin::new(common::ORIGIN).expect("a name");
    let asks = |as_node: u64, origin: &Origin| {
        let asking = Asking::new(origin, 3, &deployment.node_key(3)).expect("randomness");
        let (public_key, signature) = (asking.public_key().to_vec(), asking.signature().to_vec());
        GiveKeysRequest { node: as_node, public_key, signature }
    };
    let refused = lacking.core.give_keys(3, &asks(3, &origin)).await.expect_err("it lacks a key");
    assert_eq!(refused.code, Code::ActRefused);
    assert!(refused.message.contains("prefix 0xfff, epoch 1"), "{}", refused.message);
    // A key that was spread because a node is to be removed, and that no act has put in force yet, isn't given.
    giver.core.put_log_key(&[5; 32]).expect("kept");
    let asking = Asking::new(&origin, 3, &deployment.node_key(3)).expect("randomness");
    let (public_key, signature) = (asking.public_key().to_vec(), asking.signature().to_vec());
    let request = GiveKeysRequest { node: 3, public_key, signature };
    let given = giver.core.give_keys(3, &request).await.expect("it has all");
    let keys = asking.open(&given.public_key, &given.sealed).expect("sealed to node 3");
    let keys = NodeKeys::decode(&keys[..]).expect("keys");
    assert_eq!(keys.log_keys.len(), 1, "the key of the genesis entry");
    assert_ne!(keys.log_keys[0], [5; 32]);
    let of_another = giver.core.give_keys(2, &asks(3, &origin)).await.expect_err("another node's");
    assert!(of_another.message.contains("asks for the keys of node 3"), "{}", of_another.message);
    let other_log = Origin::new("other.example/log").expect("a name");
    let elsewhere = giver.core.give_keys(3, &asks(3, &other_log)).await.expect_err("a request for another log");
    assert!(elsewhere.message.contains("isn't signed"), "{}", elsewhere.message);
    let unknown = giver.core.give_keys(9, &asks(9, &origin)).await.expect_err("no node of this log");
    assert_eq!(unknown.code, Code::UnknownCaller);

    // A node without keys asks the first, which refuses, and takes what the second gives.
    let config = NodeConfig::load(&deployment.path("node-3/node.toml")).expect("a configuration");
    let genesis = GenesisInfo::parse(&std::fs::read(&config.genesis).expect("a genesis")).expect("a genesis");
    for key in [Some(&config.keyring), config.log_key.as_ref(), config.vrf_key.as_ref()].into_iter().flatten() {
        std::fs::remove_file(key).expect("a key file");
    }
    let fetched = tokio::time::timeout(Duration::from_secs(60), join::fetch_keys(&config, &genesis)).await;
    fetched.expect("in time").expect("from node 2");
    assert_eq!(std::fs::read(&config.keyring).expect("a keyring"), whole);
    until("the log's key", async || config.log_key.as_ref().is_some_and(|path| path.exists()).then_some(())).await;
    lacking.stop().await;
    giver.stop().await;
}
