//! Disks that are slow, broken or full, each under one node's process.

use super::{Error, Scene};
use sillage_chaos::process::disk::DiskFault;
use std::time::Duration;

/// A node whose disk fails notices at its next write; there are many a second.
const NOTICE_MAX: Duration = Duration::from_secs(10);
/// A node whose disk is full may stay, and take no more: what it does is seen for so long.
const FULL: Duration = Duration::from_secs(4);

impl Scene<'_> {
    /// It is in the way of no one else.
    pub(super) async fn slow_disk(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        let delay = Duration::from_millis(self.dice.between(30, 400));
        self.tell(format!("each fsync of node {id}, {what}, takes {} ms longer", delay.as_millis()));
        let before = self.tools.disk(id)?.hits()?;
        self.tools.disk(id)?.break_as(DiskFault::Slow(delay))?;
        self.bystander(id).await?;
        self.hold(2_000, 5_000).await;
        self.progress(&format!("with the slow disk of node {id}")).await;
        self.tools.disk(id)?.mend()?;
        self.was_struck(id, before)
    }

    /// After a failed write or fsync nothing is known of the disk: the process ends, and what it comes back with is what
    /// it finds there.
    pub(super) async fn disk_error(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        self.tell(format!("writes and fsync of node {id}, {what}, fail with EIO"));
        let before = self.tools.disk(id)?.hits()?;
        self.tools.disk(id)?.break_as(DiskFault::Broken)?;
        let ended = self.cluster.ended(id, NOTICE_MAX).await?;
        match ended {
            Some(ending) => self.tell(format!("it ended ({})", ending.status)),
            None => self.find(format!("node {id} goes on for {} s although its disk fails", NOTICE_MAX.as_secs())),
        }
        self.progress(&format!("with the broken disk of node {id}")).await;
        self.tools.disk(id)?.mend()?;
        self.was_struck(id, before)?;
        self.cluster.kill(id).await?;
        Ok(self.cluster.restart(id)?)
    }

    /// The node ends, or takes no more and comes back by itself once there is room.
    pub(super) async fn disk_full(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        self.tell(format!("writes of node {id}, {what}, fail with ENOSPC"));
        let before = self.tools.disk(id)?.hits()?;
        self.tools.disk(id)?.break_as(DiskFault::Full)?;
        let ended = self.cluster.ended(id, FULL).await?;
        self.progress(&format!("with the full disk of node {id}")).await;
        self.tools.disk(id)?.mend()?;
        self.was_struck(id, before)?;
        // It may have ended since.
        let ended = match ended {
            Some(ending) => Some(ending),
            None => self.cluster.ended(id, Duration::from_millis(500)).await?,
        };
        match ended {
            Some(ending) => {
                self.tell(format!("it ended ({})", ending.status));
                self.cluster.restart(id)?;
            }
            None => self.tell("it stayed"),
        }
        Ok(())
    }

    /// A fault that struck nothing shows nothing.
    fn was_struck(&self, id: u64, before: u64) -> Result<(), Error> {
        match self.tools.disk(id)?.hits()? > before {
            true => Ok(()),
            false => Err(format!("node {id} wrote nothing while its disk was broken").into()),
        }
    }
}
