//! A leader that the authorities remove, and voters that are lost: what has to come first, and who may be taken out.

use std::path::PathBuf;
use std::process::ExitCode;

use sillage_tests::lines::{access, ins};
use sillage_tests::members::{Grown, address, ids, text};
use sillage_tests::stories;
use sillage_tests::story::tell;

const PATIENT: u64 = 960;

fn main() -> ExitCode {
    tell(
        Grown::begin,
        stories![
            a_leader_is_removed_once_another_one_leads,
            a_sound_third_voter_stays_while_another_one_is_lost,
            a_third_voter_that_is_lost_is_removed,
        ],
    )
}

/// The folder of a node that joins, where `sillage-node dev` looks for it.
fn folder(grown: &Grown, id: u64) -> PathBuf {
    grown.world.dir().join(format!("node-{id}"))
}

fn voters(grown: &Grown) -> Vec<u64> {
    ids(&grown.members()).1
}

fn kill(grown: &mut Grown, id: u64) {
    match id {
        1..=3 => grown.world.kill(id),
        _ => grown.kill(&folder(grown, id)),
    }
}

/// The act that removes a node is signed while another node leads. By the time it is handed in, the node leads: it proposes no act that
/// removes itself, and the act goes on record once another one has taken over.
fn a_leader_is_removed_once_another_one_leads(grown: &mut Grown) {
    grown.is_ready();
    let dir = folder(grown, 4);
    assert_eq!(grown.add(&dir, &address()), 4);
    grown.promote(4);
    grown.level(&[1, 2, 3, 4]);

    let first = grown.world.leader();
    let leaves = (1..=3).find(|id| *id != first).expect("a follower");
    let act = text(&grown.out("leaves.json"));
    grown.cluster(&["member", "remove", &leaves.to_string(), "--propose", &act]).ok();
    lead(grown, leaves);
    let submit = |grown: &Grown| {
        grown.world.sillage_as(&grown.world.authority_file(), &["--timeout", "60", "authority", "submit", &act])
    };
    submit(grown).refused("ACT_REFUSED").naming("move-leader");
    assert_eq!(voters(grown), [1, 2, 3, 4], "nothing has changed");

    lead(grown, first);
    submit(grown).ok();
    let left: Vec<u64> = (1..=4).filter(|id| *id != leaves).collect();
    grown.until("its end", || (voters(grown) == left).then_some(()));
    kill(grown, leaves);
    grown.level(&left);
    assert_eq!(grown.world.record(&[access(&ins(PATIENT), "without it")]).len(), 1);
}

/// Hands leadership over; a new leader keeps it for some seconds at least.
fn lead(grown: &Grown, id: u64) {
    grown.until("the hand-over", || {
        let run = grown.cluster(&["move-leader", &id.to_string()]);
        (run.code == Some(0)).then_some(())
    });
    assert_eq!(grown.world.leader(), id);
}

/// With one voter of three lost, to take a sound one out would leave a group that goes on with nobody.
fn a_sound_third_voter_stays_while_another_one_is_lost(grown: &mut Grown) {
    let (leader, all) = (grown.world.leader(), voters(grown));
    assert_eq!(all.len(), 3);
    let mut followers = all.iter().copied().filter(|id| *id != leader);
    let (lost, sound) = (followers.next().expect("a follower"), followers.next().expect("another one"));
    kill(grown, lost);
    let refused = grown.cluster(&["member", "remove", &sound.to_string()]).refused("ACT_REFUSED");
    assert!(refused.stderr.contains("1 answer, and 2 are needed"), "{refused}");
    assert_eq!(voters(grown), all, "nothing has changed");
    grown.world.record(&[access(&ins(PATIENT), "with two of three")]);
}

fn a_third_voter_that_is_lost_is_removed(grown: &mut Grown) {
    let members = grown.members();
    let nodes = members["members"].as_array().expect("members").iter();
    let mut lost = nodes.filter(|node| node["reachable"] == false).filter_map(|node| node["id"].as_u64());
    let lost = lost.next().expect("the node that the story before killed");
    grown.cluster(&["member", "remove", &lost.to_string()]).ok();
    grown.until("its end", || (voters(grown).len() == 2 && !voters(grown).contains(&lost)).then_some(()));
    let left = voters(grown);
    grown.level(&left);
    assert_eq!(grown.world.record(&[access(&ins(PATIENT), "with two")]).len(), 1);
    let last = grown.cluster(&["member", "remove", &left[0].to_string()]).refused("ACT_REFUSED");
    assert!(last.stderr.contains("two are the fewest"), "{last}");
}
