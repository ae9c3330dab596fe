use super::*;
use crate::audit::made::{Made, author, authority, stream};
use crate::audit::pipeline::replay_here;
use sillage_rules::act::Act;

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
