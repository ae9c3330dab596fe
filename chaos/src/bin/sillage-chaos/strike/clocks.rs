//! Clocks that jump or stand still. The audit also checks that they took the time of the log nowhere.
//!
//! The harsh form is a leader whose clock is wrong, with one node down: whatever then stands in two logs and isn't
//! committed must not be in the way once the clocks are right, although the third node is still away.

use super::{Error, Scene};
use sillage_chaos::process::clock::{ClockFault, LOOK_INTERVAL_S};
use std::time::Duration;

/// Elections, at most, until the node with the wrong clock leads.
const ELECTIONS_MAX: u32 = 4;

impl Scene<'_> {
    /// Seconds to hours, ahead or back.
    pub(super) async fn clock_jump(&mut self) -> Result<(), Error> {
        let by = *self.dice.pick(&[3_600, 86_400, 600, 60, 2, -2, -60, -600, -1_800]);
        let how = if by > 0 { format!("{by} s ahead") } else { format!("{} s behind", -by) };
        self.false_clock(ClockFault::Off(by), &format!("is {how}")).await
    }

    /// It stands still, and falls behind.
    pub(super) async fn clock_frozen(&mut self) -> Result<(), Error> {
        self.false_clock(ClockFault::Frozen, "stands still").await
    }

    async fn false_clock(&mut self, fault: ClockFault, how: &str) -> Result<(), Error> {
        let ids = self.others(&[]);
        let id = *self.dice.pick(&ids);
        let (clock, surroundings) = self.tools.clock(id)?;
        self.cluster.kill(id).await?;
        self.cluster.surround(id, Some(surroundings));
        self.cluster.restart(id)?;
        self.all_serve().await?;
        let leads = self.dice.chance(60) && self.make_leader(id).await?;
        let what = if leads { "the leader" } else { "a follower" };
        let away = match leads && self.dice.chance(40) {
            true => {
                let others = self.others(&[id]);
                let away = *self.dice.pick(&others);
                self.tell(format!("node {away} is down"));
                self.cluster.kill(away).await?;
                Some(away)
            }
            false => None,
        };
        self.tell(format!("the clock of node {id}, {what}, {how}"));
        clock.break_as(fault)?;
        tokio::time::sleep(Duration::from_secs(LOOK_INTERVAL_S)).await;
        self.hold(1_500, 5_000).await;
        if away.is_none() {
            self.progress(&format!("with node {id}, {what}, whose clock {how}")).await;
        }
        clock.mend()?;
        if let Some(away) = away {
            // As an operator does who finds a wrong clock: set right, everything started again.
            for up in self.others(&[away]) {
                self.cluster.kill(up).await?;
                self.plain(up);
                self.cluster.restart(up)?;
            }
            let when = format!(
                "after all clocks were right again, with node {away} still down (the clock of node {id} {how} before)"
            );
            self.progress(&when).await;
            self.cluster.restart(away)?;
        } else {
            tokio::time::sleep(Duration::from_secs(LOOK_INTERVAL_S)).await;
            self.progress(&format!("after the clock of node {id} was set right")).await;
            self.cluster.kill(id).await?;
            self.plain(id);
            self.cluster.restart(id)?;
        }
        Ok(())
    }

    /// From its next start on it goes by the machine's clock.
    fn plain(&mut self, id: u64) {
        let surroundings = self.tools.surroundings(id);
        self.cluster.surround(id, Some(surroundings));
    }

    /// Kills leaders until `id` leads; `false` where it doesn't come to that.
    async fn make_leader(&mut self, id: u64) -> Result<bool, Error> {
        for _ in 0..ELECTIONS_MAX {
            let leader = self.leader().await?;
            if leader == id {
                return Ok(true);
            }
            self.cluster.kill(leader).await?;
            self.progress(&format!("with node {leader} down")).await;
            self.cluster.restart(leader)?;
            self.all_serve().await?;
        }
        Ok(self.leader().await? == id)
    }
}
