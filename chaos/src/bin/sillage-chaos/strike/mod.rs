//! One fault: made, watched, undone. Each says what must hold meanwhile, and what must hold again afterwards.
//!
//! [`Scene::strike`] makes one of a kind. A broken promise is a finding, worded as a sentence; an error means that the
//! fault couldn't be made. Whether anything acknowledged was lost is not asked here: the audit after the round reads
//! the whole log.

mod clocks;
mod disks;
mod folders;
mod keyrings;
mod network;
mod processes;

use super::Error;
use super::kinds::Kind;
use super::tools::Tools;
use parking_lot::Mutex;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::Tally;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::{Cluster, Ending};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While a majority is sound, records are acknowledged at least this often, whatever is broken beside it. Elections take
/// about a second; a leader that can't commit gives up after ten.
pub const LIVE_MAX: Duration = Duration::from_secs(20);
/// Nodes that are started, with everything sound, serve within this.
const HEAL_MAX: Duration = Duration::from_secs(60);
/// A node that must not go on has said so within this.
const REFUSAL_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Nodes on something that isn't their own data: what they say of themselves counts for nothing.
pub type Strangers = Arc<Mutex<BTreeSet<u64>>>;

/// The object of a fault.
pub struct Scene<'a> {
    /// The nodes.
    pub cluster: &'a mut Cluster,
    /// The tools at hand.
    pub tools: &'a mut Tools,
    /// The way to each node.
    pub watch: &'a Watch,
    /// The records that are being acknowledged.
    pub tally: &'a Tally,
    /// Choices.
    pub dice: &'a mut Dice,
    /// See there.
    pub strangers: &'a Strangers,
    /// Faults are held for a third of the time.
    pub is_brief: bool,
    /// The deed, in words.
    pub story: Vec<String>,
    /// Observations that must not be.
    pub findings: Vec<String>,
}

/// The fate of a node that should not go on.
#[derive(Debug)]
enum Verdict {
    /// It didn't start, and said why.
    Refused(Ending),
    /// It serves nothing, and says so.
    Corrupt,
    /// It runs as if nothing were wrong.
    Serves(String),
    /// It runs, and says nothing.
    Silent,
}

impl Scene<'_> {
    /// Makes one fault of this kind and undoes it: afterwards every node runs, on its own data.
    ///
    /// # Errors
    /// When it can't be made or undone.
    pub async fn strike(&mut self, kind: Kind) -> Result<(), Error> {
        match kind {
            Kind::KillLeader => self.kill_leader().await,
            Kind::KillFollower => self.kill_follower().await,
            Kind::KillAll => self.kill_all().await,
            Kind::Stop => self.stop().await,
            Kind::Wipe => self.wipe().await,
            Kind::PutBack => self.put_back().await,
            Kind::Swap => self.swap().await,
            Kind::Keyring => self.keyring().await,
            Kind::Partition => self.partition().await,
            Kind::OneWay => self.one_way().await,
            Kind::Ring => self.ring().await,
            Kind::SlowDisk => self.slow_disk().await,
            Kind::DiskError => self.disk_error().await,
            Kind::DiskFull => self.disk_full().await,
            Kind::ClockJump => self.clock_jump().await,
            Kind::ClockFrozen => self.clock_frozen().await,
        }?;
        self.progress("after all was sound again").await;
        self.all_serve().await
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    fn find(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }

    /// The node that leads.
    async fn leader(&self) -> Result<u64, Error> {
        Ok(self.watch.leader(LIVE_MAX).await?)
    }

    /// The leader in two of three cases, else a follower.
    async fn leader_or_not(&mut self) -> Result<(u64, &'static str), Error> {
        let leader = self.leader().await?;
        if self.dice.chance(66) {
            return Ok((leader, "the leader"));
        }
        let others = self.others(&[leader]);
        Ok((*self.dice.pick(&others), "a follower"))
    }

    /// All nodes but these.
    fn others(&self, but: &[u64]) -> Vec<u64> {
        self.cluster.ids().filter(|id| !but.contains(id)).collect()
    }

    /// Lets time pass.
    async fn hold(&mut self, low_ms: u64, high_ms: u64) {
        let time = Duration::from_millis(self.dice.between(low_ms, high_ms));
        tokio::time::sleep(if self.is_brief { time / 3 } else { time }).await;
    }

    /// Something new is acknowledged, twice, or it is a finding.
    async fn progress(&mut self, when: &str) {
        let began = Instant::now();
        for _ in 0..2 {
            let before = self.tally.records();
            while self.tally.records() == before {
                if began.elapsed() > LIVE_MAX {
                    self.find(format!("no record was acknowledged for {} s {when}", LIVE_MAX.as_secs()));
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Every node runs and says that it serves.
    async fn all_serve(&mut self) -> Result<(), Error> {
        let (began, count) = (Instant::now(), self.cluster.ids().count());
        loop {
            let known: Vec<_> = self.watch.ask().await.into_iter().flatten().collect();
            if let Some(corrupt) = known.iter().find(|node| node.role == "corrupt") {
                self.find(format!("node {} says that it is corrupt, on its own data", corrupt.id));
                return Ok(());
            }
            if known.len() == count && known.iter().all(|node| node.leader != 0) {
                return Ok(());
            }
            let ended = self.cluster.ended_by_themselves();
            if began.elapsed() > HEAL_MAX || !ended.is_empty() {
                let up: Vec<u64> = known.iter().map(|node| node.id).collect();
                let ended = if ended.is_empty() { String::new() } else { format!(": {}", ended.join(", ")) };
                let waited = began.elapsed().as_secs();
                self.find(format!("after all was sound again, only nodes {up:?} serve after {waited} s{ended}"));
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The fate of a node that was started although it must not go on. Takes as long as it serves.
    async fn verdict(&mut self, id: u64) -> Result<Verdict, Error> {
        let (began, mut last) = (Instant::now(), Verdict::Silent);
        while began.elapsed() < REFUSAL_MAX {
            if let Some(ending) = self.cluster.ended(id, Duration::ZERO).await? {
                return Ok(Verdict::Refused(ending));
            }
            let place = usize::try_from(id - 1)?;
            match self.watch.ask().await.into_iter().nth(place).flatten() {
                Some(node) if node.role == "corrupt" => return Ok(Verdict::Corrupt),
                Some(node) => {
                    last = Verdict::Serves(format!("{} of term {}, {} entries", node.role, node.term, node.tree_size));
                }
                None => {}
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(last)
    }

    /// Node `id`, started on data that isn't its own (`because`), must be refused at its start or be found corrupt.
    async fn must_not_serve(&mut self, id: u64, because: &str) -> Result<(), Error> {
        match self.verdict(id).await? {
            Verdict::Refused(Ending { status, said }) if status.code().is_some_and(|code| code != 0) => {
                if said.trim().is_empty() {
                    self.find(format!("node {id}, {because}, ended with {status} and not a word"));
                }
                self.tell(format!("node {id}, {because}, is refused: {said}"));
            }
            Verdict::Refused(Ending { status, said }) => {
                let how = if status.signal().is_some() { "died" } else { "ended" };
                self.find(format!("node {id}, {because}, {how} ({status}) instead of saying the way out: {said}"));
            }
            Verdict::Corrupt => self.tell(format!("node {id}, {because}, says that it is corrupt")),
            Verdict::Serves(as_what) => {
                let waited = REFUSAL_MAX.as_secs();
                self.find(format!("node {id}, {because}, serves as if nothing were wrong after {waited} s: {as_what}"));
            }
            Verdict::Silent => self.find(format!("node {id}, {because}, neither ended nor said that it is corrupt")),
        }
        Ok(())
    }
}
