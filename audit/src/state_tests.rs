use super::*;
use crate::made::{Made, author, authority, stream};
use crate::pipeline::replay_here;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::GuardedActs;
use sillage_rules::node_set::SetNode;
use sillage_rules::voiding::{Voiding, Whose};

fn log() -> Made {
    let mut made = Made::new();
    made.batch(&author(), stream(&author()), 1, &[[1; 32], [2; 32], [1; 32]]);
    let act = Act::Erased { indices: vec![2.into()], ground: "ORDER".to_owned() };
    made.act(&authority(), stream(&authority()), 1, &act, Some([1; 32]));
    let key = sillage_proof::keys::SigningKey::from_seed(&[50; 32]).public_key();
    made.act(&authority(), stream(&authority()), 2, &Act::NodeKeyRotated { node_id: 2, key }, None);
    made.commit();
    made
}

/// The same, after a node came and got a new key.
fn with_a_new_node() -> Made {
    let mut made = log();
    let key = |seed: u8| sillage_proof::keys::SigningKey::from_seed(&[seed; 32]).public_key();
    let node = SetNode {
        id: 4,
        name: "node-4".to_owned(),
        key: key(14),
        tls_spki_sha256: [14; 32],
        client_address: "node-4.example:7400".to_owned(),
        peer_address: "node-4.example:7500".to_owned(),
    };
    let added = made.log().nodes.adding(node).expect("a change that fits");
    made.act(&authority(), stream(&authority()), 3, &Act::NodeSetChanged(added), None);
    made.act(&authority(), stream(&authority()), 4, &Act::NodeKeyRotated { node_id: 4, key: key(51) }, None);
    let whose = Whose::Key(author().key_id());
    let void = Voiding::Void { whose, from: 1.into(), until: None, reason: "stolen".to_owned() };
    made.act(&authority(), stream(&authority()), 5, &Act::RecordsVoided(void), None);
    let authorities = [AuthorId::of_first_key(&authority().public_key())].into_iter().collect();
    let rule = RuleChange::Rule(Rule { needed: 1, authorities, acts: GuardedActs::ALWAYS });
    made.act(&authority(), stream(&authority()), 6, &Act::AuthorityRule(rule), None);
    let device = PartyRegistration {
        key: key(60),
        name: "Claire".to_owned(),
        roles: Roles::PATIENT,
        tls_spki_sha256: Vec::new(),
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: Some(Hash::from_bytes([9; 32])),
        vouching: sillage_rules::vouching::Vouching::default(),
    };
    made.act(&authority(), stream(&authority()), 7, &Act::Registered(device), None);
    made.commit();
    made
}

#[test]
fn an_audit_knows_the_nodes_that_came_before_it_stopped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("audit.state");
    let mut made = with_a_new_node();
    let mut replay = Replay::new(made.log());
    replay_here(&mut replay, &made.entries).expect("clean");
    save(&path, &replay).expect("stored");
    let stood = made.entries.len();
    made.consulted([0; 32]);
    made.commit();
    let mut again = load(&path, &made.log()).expect("read").expect("there");
    assert_eq!(again.registry, replay.registry);
    assert!(again.registry.rule.is_some() && again.registry.voided.len() == 1);
    assert_eq!(again.registry.parties.values().filter(|party| party.sealed).count(), 1, "a patient's device");
    for replay in [&mut again, &mut replay] {
        replay_here(replay, &made.entries[stood..]).expect("clean");
    }
    let trust = again.trust().expect("keys");
    assert_eq!(Some(&trust), replay.trust().as_ref());
    assert_eq!((trust.set().epoch, trust.set().learners.clone()), (1, vec![4]));
    let newest = sillage_proof::keys::SigningKey::from_seed(&[51; 32]).public_key();
    assert!(trust.every_key().any(|key| key.public_key() == &newest), "the key that it got");
}

#[test]
fn the_state_of_an_audit_of_before_is_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("audit.state");
    let made = log();
    let mut replay = Replay::new(made.log());
    replay_here(&mut replay, &made.entries).expect("clean");
    let mut bytes = encode(&replay);
    // Before version 6 nothing was said of quotas: none is found to have been raised.
    let parties = replay.registry.parties.len();
    assert_eq!(bytes.split_off(bytes.len() - 8 * (1 + parties)).len(), 8 * (1 + parties));
    let mut before = replay.registry.clone();
    before.parties.values_mut().for_each(|party| party.quota_events_per_s = QUOTA_UNKNOWN);
    let written = |version: u8, body: &[u8]| {
        let mut file = [b"sillage-audit/v", &[b'0' + version][..], b"\n", body].concat();
        let check = sha256(&[&file]);
        file.extend_from_slice(check.as_bytes());
        std::fs::write(&path, file).expect("written");
        load(&path, &made.log()).expect("read").expect("there").registry
    };
    assert_eq!(written(5, &bytes[MAGIC.len()..]), before);
    // Before version 5 nothing was said of patients' devices: 16 bytes, as there is none here.
    assert_eq!(bytes.split_off(bytes.len() - 16), [0; 16]);
    assert_eq!(written(4, &bytes[MAGIC.len()..]), before);
    // Before version 4 nothing was said of rules, cosigned acts and voided ranges: 24 bytes, as there is none here.
    assert_eq!(bytes.split_off(bytes.len() - 24), [0; 24]);
    // Version 2 had no list of changes of the set of nodes: eight bytes, as there is none here.
    let erased_and_patients = {
        let mut out = Writer(Vec::new());
        out.u64(replay.erased.len() as u64);
        for erased in &replay.erased {
            out.u64(erased.act);
            out.put(&erased.tag);
            out.u64(erased.indices.len() as u64);
            erased.indices.iter().for_each(|index| out.u64(*index));
        }
        let trees = replay.patients.trees();
        out.u64(trees.len() as u64);
        for (ikey, tree) in trees {
            out.put(ikey.as_bytes());
            out.bytes(&tree.encode());
        }
        out.0
    };
    let at = bytes.len() - erased_and_patients.len() - 8;
    assert_eq!(bytes.drain(at..at + 8).collect::<Vec<u8>>(), [0; 8]);
    assert_eq!(written(2, &bytes[MAGIC.len()..]), before);
}

#[test]
fn an_audit_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("audit.state");
    let mut made = log();
    assert!(load(&path, &made.log()).expect("no file yet").is_none());
    let mut replay = Replay::new(made.log());
    replay_here(&mut replay, &made.entries).expect("clean");
    save(&path, &replay).expect("stored");
    let stood = made.entries.len();
    made.batch(&author(), stream(&author()), 2, &[[1; 32], [3; 32]]);
    made.commit();
    let mut again = load(&path, &made.log()).expect("read").expect("there");
    assert_eq!((again.size(), again.erased.len()), (stood as u64, 1));
    assert_eq!(again.registry, replay.registry);
    replay_here(&mut again, &made.entries[stood..]).expect("clean");
    assert_eq!(again.root(), made.checkpoint().root);
}

#[test]
fn a_damaged_or_foreign_state_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("audit.state");
    let made = log();
    let mut replay = Replay::new(made.log());
    replay_here(&mut replay, &made.entries).expect("clean");
    save(&path, &replay).expect("stored");
    let good = std::fs::read(&path).expect("read");
    for at in [0, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).expect("written");
        assert!(load(&path, &made.log()).is_err(), "byte {at}");
    }
    std::fs::write(&path, &good[..good.len() - 40]).expect("written");
    assert!(load(&path, &made.log()).is_err());
    std::fs::write(&path, &good).expect("written");
    let mut other = made.log();
    other.bytes.push(0);
    assert!(load(&path, &other).is_err(), "another log's");
}
