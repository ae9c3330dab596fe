//! The faults of the nodes during a run: one thing after the other, at random moments.

use super::Error;
use rustix::process::Signal;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::Cluster;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// A leader was killed.
    pub leader_kills: u32,
    /// A follower was killed.
    pub follower_kills: u32,
    /// All nodes were killed at once.
    pub blackouts: u32,
    /// A node was stopped and let go on.
    pub stops: u32,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.leader_kills += other.leader_kills;
        self.follower_kills += other.follower_kills;
        self.blackouts += other.blackouts;
        self.stops += other.stops;
    }
}

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillLeader,
    KillFollower,
    KillAll,
    StopLeader,
    StopFollower,
}

/// Nodes that are down or stopped, and since when they may come back.
#[derive(Debug, Default)]
struct Down {
    killed: Vec<(u64, Instant)>,
    stopped: Vec<(u64, Instant)>,
}

/// Breaks things until `end`, then heals all: every node runs again.
///
/// # Errors
/// When a process can't be handled.
pub async fn until(cluster: &mut Cluster, watch: &Watch, dice: &mut Dice, end: Instant) -> Result<Count, Error> {
    let (mut count, mut down) = (Count::default(), Down::default());
    let mut next = Instant::now() + pause(dice, 50, 500);
    while Instant::now() < end {
        heal_due(cluster, &mut down, Instant::now())?;
        if Instant::now() >= next {
            let fault = *dice.pick(&[
                Fault::KillLeader,
                Fault::KillLeader,
                Fault::KillLeader,
                Fault::KillFollower,
                Fault::KillFollower,
                Fault::StopLeader,
                Fault::StopFollower,
                Fault::KillAll,
            ]);
            strike(cluster, watch, dice, fault, &mut down, &mut count).await?;
            next = Instant::now() + pause(dice, 100, 1_200);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    heal_due(cluster, &mut down, Instant::now() + Duration::from_secs(3_600))?;
    Ok(count)
}

fn pause(dice: &mut Dice, low_ms: u64, high_ms: u64) -> Duration {
    Duration::from_millis(dice.between(low_ms, high_ms))
}

async fn strike(
    cluster: &mut Cluster,
    watch: &Watch,
    dice: &mut Dice,
    fault: Fault,
    down: &mut Down,
    count: &mut Count,
) -> Result<(), Error> {
    let away: BTreeSet<u64> = down.killed.iter().chain(&down.stopped).map(|(id, _)| *id).collect();
    let up: Vec<u64> = cluster.ids().filter(|id| !away.contains(id)).collect();
    // Rarely two are away at once: then nothing can be recorded, and nothing may be lost either.
    if up.len() < 3 && !dice.chance(25) || up.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = watch.ask().await.into_iter().flatten().collect();
    let newest = known.iter().map(|node| node.term).max().unwrap_or_default();
    let leader = known.iter().find(|node| node.role == "leader" && node.term == newest).map(|node| node.id);
    let followers: Vec<u64> = up.iter().copied().filter(|id| Some(*id) != leader).collect();
    let leader = leader.filter(|id| up.contains(id)).unwrap_or(*dice.pick(&up));
    let follower = if followers.is_empty() { leader } else { *dice.pick(&followers) };
    // Down for nothing at all up to a second and a half.
    let back = Instant::now() + if dice.chance(30) { Duration::ZERO } else { pause(dice, 50, 1_500) };
    match fault {
        Fault::KillLeader => {
            cluster.kill(leader).await?;
            down.killed.push((leader, back));
            count.leader_kills += 1;
        }
        Fault::KillFollower => {
            cluster.kill(follower).await?;
            down.killed.push((follower, back));
            count.follower_kills += 1;
        }
        Fault::KillAll => {
            for id in up {
                cluster.kill(id).await?;
                down.killed.push((id, Instant::now() + pause(dice, 0, 600)));
            }
            count.blackouts += 1;
        }
        Fault::StopLeader | Fault::StopFollower => {
            let id = if fault == Fault::StopLeader { leader } else { follower };
            cluster.signal(id, Signal::STOP);
            down.stopped.push((id, Instant::now() + pause(dice, 100, 2_500)));
            count.stops += 1;
        }
    }
    Ok(())
}

fn heal_due(cluster: &mut Cluster, down: &mut Down, now: Instant) -> Result<(), Error> {
    let due = |list: &mut Vec<(u64, Instant)>| -> Vec<u64> {
        let (due, later) = list.drain(..).partition::<Vec<_>, _>(|(_, at)| *at <= now);
        *list = later;
        due.into_iter().map(|(id, _)| id).collect()
    };
    for id in due(&mut down.stopped) {
        cluster.signal(id, Signal::CONT);
    }
    for id in due(&mut down.killed) {
        cluster.restart(id)?;
    }
    Ok(())
}
