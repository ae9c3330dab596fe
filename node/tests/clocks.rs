//! Nodes whose clocks are wrong: the group goes on, its time is that of a majority, and nothing honest is refused for good.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::{Author, Deployment, Running, access, key, now_ms, until};
use sillage_ledger::FEATURE_LEVEL;
use sillage_node::core::Core;
use sillage_node::http::Backend as _;
use sillage_rules::codes::Code;

const HOUR_MS: i64 = 3_600_000;
const TEN_MINUTES_MS: i64 = 600_000;

/// A clock that the test sets.
#[derive(Clone, Default)]
struct SetClock(Arc<AtomicI64>);

impl SetClock {
    fn off_by(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    fn now_ms(&self) -> u64 {
        now_ms().checked_add_signed(self.0.load(Ordering::SeqCst)).expect("after 1970")
    }
}

struct Group {
    deployment: Deployment,
    clocks: [SetClock; 3],
    nodes: [Option<Running>; 3],
    author: Author,
}

impl Group {
    async fn start() -> Self {
        let deployment = Deployment::new(3);
        let author = Author::new(key(&deployment.path("keys/profile.key")));
        let mut group = Self { deployment, clocks: Default::default(), nodes: [None, None, None], author };
        for id in 1..=3 {
            group.start_node(id).await;
        }
        until("every node knows what is new", async || {
            group.up().all(|core| core.reader().feature_level() == FEATURE_LEVEL).then_some(())
        })
        .await;
        group
    }

    async fn start_node(&mut self, id: usize) {
        let clock = self.clocks[id - 1].clone();
        let wall = Arc::new(move || clock.now_ms());
        self.nodes[id - 1] = Some(self.deployment.start_on(id as u64, wall, |_| ()).await);
    }

    async fn stop_node(&mut self, id: usize) {
        if let Some(node) = self.nodes[id - 1].take() {
            node.stop().await;
        }
    }

    fn up(&self) -> impl Iterator<Item = &Arc<Core>> {
        self.nodes.iter().flatten().map(|node| &node.core)
    }

    fn node(&self, id: usize) -> &Arc<Core> {
        &self.nodes[id - 1].as_ref().expect("it is up").core
    }

    async fn leader(&self) -> usize {
        until("a leader", async || {
            let leaders: Vec<Option<u64>> = self.up().map(|core| core.leader()).collect();
            leaders[0].filter(|leader| leaders.iter().all(|other| *other == Some(*leader)))
        })
        .await as usize
    }

    /// Records an access of now through this node, trying again what may be tried again.
    async fn record(&mut self, id: usize) {
        let core = Arc::clone(self.node(id));
        let batch = self.author.batch(&access(&core));
        until("the record is on record", async || match core.submit(batch.clone()).await {
            Ok(_) => Some(()),
            Err(refusal) => {
                assert!(refusal.code.is_retry(), "{refusal}: {}", refusal.code);
                None
            }
        })
        .await;
    }

    fn ledger_ms(&self, id: usize) -> u64 {
        self.node(id).reader().head().time_ms.get()
    }

    async fn stop(mut self) {
        for id in 1..=3 {
            self.stop_node(id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_an_hour_ahead_stops_nobody_while_a_node_is_down() {
    let mut group = Group::start().await;
    let leader = group.leader().await;
    let (down, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    group.record(leader).await;
    group.stop_node(down).await;
    group.clocks[leader - 1].off_by(HOUR_MS);
    group.record(leader).await;
    assert!(group.ledger_ms(leader) <= now_ms() + 500, "ledger time is not the leader's to move");
    until("it says that the clocks differ", async || group.node(leader).clock_skew()).await;
    let metrics = group.nodes[leader - 1].as_ref().expect("up").metrics.clone();
    let shows = |line: &str| line.starts_with("sillage_clock_offset_ms 3");
    until("the metrics say so", async || metrics.render().lines().any(shows).then_some(())).await;
    // Set right, and the two restarted: they go on at once.
    group.clocks[leader - 1].off_by(0);
    for id in [leader, other] {
        group.stop_node(id).await;
    }
    for id in [leader, other] {
        group.start_node(id).await;
    }
    group.record(other).await;
    assert!(group.ledger_ms(other) <= now_ms() + 500);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_ten_minutes_slow_hands_over_and_refuses_nothing_for_good() {
    let mut group = Group::start().await;
    let slow = group.leader().await;
    group.record(slow).await;
    group.clocks[slow - 1].off_by(-TEN_MINUTES_MS);
    group.record(slow).await;
    until("another one leads", async || group.node(slow).leader().filter(|leader| *leader != slow as u64)).await;
    group.record(slow).await;
    let leader = group.leader().await;
    group.record(leader).await;
    assert!(group.ledger_ms(leader) + 5_000 > now_ms(), "time goes on as the others' clocks do");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_two_clocks_differ_and_none_can_tell_which_is_wrong_the_answer_says_so() {
    let mut group = Group::start().await;
    let leader = group.leader().await;
    let (down, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    group.stop_node(down).await;
    group.clocks[other - 1].off_by(-TEN_MINUTES_MS);
    let core = Arc::clone(group.node(leader));
    // Time stands still first: the slow clock hasn't reached it.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let mut record = access(&core);
    record.occurred_at_ms = now_ms() + 299_900;
    let batch = group.author.batch(&record);
    let refusal = core.submit(batch.clone()).await.expect_err("five minutes ahead by one clock, fifteen by the other");
    assert_eq!(refusal.code, Code::ClockSkew, "{refusal}");
    assert!(refusal.message.contains(&format!("node {other} ")), "{refusal}");
    group.clocks[other - 1].off_by(0);
    until("it is recorded once the clock is right", async || core.submit(batch.clone()).await.ok()).await;
    drop(core);
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_lets_another_one_lead_first() {
    let mut group = Group::start().await;
    let before = group.leader().await;
    group.node(before).step_down().await;
    let after = group.leader().await;
    assert_ne!(after, before);
    // Who doesn't lead has nothing to hand over.
    group.node(before).step_down().await;
    assert_eq!(group.leader().await, after);
    // Nobody is sent to a node that stops, nor is it to lead again.
    let health = group.node(before).health();
    assert!(!health.serves() && health.status == "stopping", "{health:?}");
    group.stop_node(6 - before - after).await;
    group.node(after).step_down().await;
    assert_eq!(group.node(after).leader(), Some(after as u64), "the one that stops isn't asked to lead");
    group.stop_node(before).await;
    assert_eq!(group.leader().await, after, "nobody had to be elected");
    group.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_while_a_node_is_dead_still_waits_until_another_one_leads() {
    let mut group = Group::start().await;
    let before = group.leader().await;
    // Its port still takes connections, and nobody answers there.
    group.stop_node(before % 3 + 1).await;
    group.node(before).step_down().await;
    let leader = group.node(before).leader();
    assert!(leader.is_some() && leader != Some(before as u64), "{leader:?}");
    group.stop().await;
}
