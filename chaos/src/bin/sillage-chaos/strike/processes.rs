//! Processes killed or stopped.

use super::{Error, Scene};
use rustix::process::Signal;

impl Scene<'_> {
    /// SIGKILL of the leader: the others go on.
    pub(super) async fn kill_leader(&mut self) -> Result<(), Error> {
        let leader = self.leader().await?;
        self.kill_one(leader, "the leader").await
    }

    /// SIGKILL of a follower: the others don't even stop.
    pub(super) async fn kill_follower(&mut self) -> Result<(), Error> {
        let leader = self.leader().await?;
        let followers = self.others(&[leader]);
        let follower = *self.dice.pick(&followers);
        self.kill_one(follower, "a follower").await
    }

    async fn kill_one(&mut self, id: u64, what: &str) -> Result<(), Error> {
        self.tell(format!("SIGKILL of node {id}, {what}"));
        self.cluster.kill(id).await?;
        if self.dice.chance(70) {
            self.progress(&format!("with node {id} down")).await;
        }
        self.hold(0, 800).await;
        Ok(self.cluster.restart(id)?)
    }

    /// SIGKILL of all: what was acknowledged is on their disks.
    pub(super) async fn kill_all(&mut self) -> Result<(), Error> {
        self.tell("SIGKILL of all nodes");
        let ids = self.others(&[]);
        for id in &ids {
            self.cluster.kill(*id).await?;
        }
        for id in ids {
            self.hold(0, 400).await;
            self.cluster.restart(id)?;
        }
        Ok(())
    }

    /// SIGSTOP for longer than an election takes: another one leads, and the one that stood still finds that out.
    pub(super) async fn stop(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        self.tell(format!("SIGSTOP of node {id}, {what}"));
        if !self.cluster.signal(id, Signal::STOP) {
            return Err(format!("node {id} does not run").into());
        }
        self.hold(4_000, 7_000).await;
        self.progress(&format!("with node {id} standing still")).await;
        if !self.cluster.signal(id, Signal::CONT) {
            return Err(format!("node {id} is gone after SIGSTOP").into());
        }
        Ok(())
    }
}
