//! Data folders deleted, put back and swapped. A node on anything but its own, newest data must not go on, and its own
//! data, once back, must be as good as before.
//!
//! The harsh form first sees to it that a majority would be made up of one node that lagged and one whose disk forgot:
//! what only those two know would be all that counts.

use super::{Error, Scene};
use std::path::PathBuf;

/// The data that takes the place of a node's.
enum Instead {
    Nothing { leave_empty: bool },
    Copy(PathBuf),
}

impl Scene<'_> {
    /// A data folder is deleted.
    pub(super) async fn wipe(&mut self) -> Result<(), Error> {
        let instead = Instead::Nothing { leave_empty: self.dice.chance(50) };
        let because = "whose data was deleted";
        if self.dice.chance(50) {
            self.harsh(instead, because, None).await
        } else {
            self.mild(instead, because, None).await
        }
    }

    /// A copy of a while ago takes the place of a data folder.
    pub(super) async fn put_back(&mut self) -> Result<(), Error> {
        let ids = self.others(&[]);
        let id = *self.dice.pick(&ids);
        self.cluster.kill(id).await?;
        let copy = self.tools.folders.copy(id)?;
        self.tell(format!("the data of node {id} is copied"));
        self.cluster.restart(id)?;
        self.all_serve().await?;
        self.hold(500, 2_000).await;
        self.progress("after a node was copied").await;
        let (instead, because) = (Instead::Copy(copy), "whose data is of a while ago");
        match self.dice.chance(50) {
            true => self.harsh(instead, because, Some(id)).await,
            false => self.mild(instead, because, Some(id)).await,
        }
    }

    /// Two nodes get each other's data: only the third is sound, so nothing can be acknowledged.
    pub(super) async fn swap(&mut self) -> Result<(), Error> {
        let ids = self.others(&[]);
        let sound = *self.dice.pick(&ids);
        let pair = self.others(&[sound]);
        let (a, b) = (pair[0], pair[1]);
        for id in &pair {
            self.cluster.kill(*id).await?;
        }
        self.tell(format!("nodes {a} and {b} get each other's data"));
        self.tools.folders.swap(a, b)?;
        self.strangers.lock().extend([a, b]);
        for id in &pair {
            self.cluster.restart(*id)?;
        }
        for id in &pair {
            self.must_not_serve(*id, "on another node's data").await?;
        }
        for id in pair {
            self.own_data_again(id).await?;
        }
        Ok(())
    }

    /// One node, and the two others are sound: they go on.
    async fn mild(&mut self, instead: Instead, because: &str, id: Option<u64>) -> Result<(), Error> {
        let id = match id {
            Some(id) => id,
            None => self.leader_or_not().await?.0,
        };
        self.tell(format!("node {id} is killed and started again, {because}"));
        self.cluster.kill(id).await?;
        self.start_on(id, instead)?;
        self.must_not_serve(id, because).await?;
        self.progress(&format!("with two sound nodes and node {id}, {because}")).await;
        self.own_data_again(id).await
    }

    /// One lags, one is killed, and the one that acknowledged with the latter forgets.
    async fn harsh(&mut self, instead: Instead, because: &str, id: Option<u64>) -> Result<(), Error> {
        let leader = self.leader().await?;
        let forgets = match id {
            Some(id) => id,
            None => {
                let followers = self.others(&[leader]);
                *self.dice.pick(&followers)
            }
        };
        let rest = self.others(&[forgets]);
        let lags = rest.iter().copied().find(|id| *id != leader).unwrap_or(rest[0]);
        let knows = self.others(&[forgets, lags])[0];
        self.tell(format!(
            "node {lags} is away while records are acknowledged by {forgets} and {knows}; then both are killed, and {lags} and \
             {forgets}, {because}, are started"
        ));
        self.cluster.kill(lags).await?;
        self.progress(&format!("with node {lags} down")).await;
        self.hold(300, 1_500).await;
        self.cluster.kill(knows).await?;
        self.cluster.kill(forgets).await?;
        self.start_on(forgets, instead)?;
        self.cluster.restart(lags)?;
        let acknowledged = self.tally.records();
        self.must_not_serve(forgets, because).await?;
        self.hold(1_000, 2_500).await;
        if self.tally.records() > acknowledged {
            let more = self.tally.records() - acknowledged;
            self.find(format!("{more} records were acknowledged by node {lags} and node {forgets}, {because}"));
        }
        self.cluster.restart(knows)?;
        self.progress(&format!("with the two sound nodes {lags} and {knows} up")).await;
        self.own_data_again(forgets).await
    }

    fn start_on(&mut self, id: u64, instead: Instead) -> Result<(), Error> {
        match instead {
            Instead::Nothing { leave_empty } => self.tools.folders.wipe(id, leave_empty)?,
            Instead::Copy(copy) => self.tools.folders.put_back(id, &copy)?,
        }
        self.strangers.lock().insert(id);
        Ok(self.cluster.restart(id)?)
    }

    /// Its own data is moved back, as an operator would who had taken the wrong disk.
    async fn own_data_again(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.kill(id).await?;
        self.tools.folders.restore(id)?;
        self.strangers.lock().remove(&id);
        Ok(self.cluster.restart(id)?)
    }
}
