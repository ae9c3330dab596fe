//! Links cut: whoever is on the side of a majority goes on.

use super::{Error, Scene};

impl Scene<'_> {
    /// One node alone; now and then all three apart, when nothing can be acknowledged.
    pub(super) async fn partition(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        let apart = self.dice.chance(20);
        let ids = self.others(&[]);
        for a in &ids {
            for b in ids.iter().filter(|b| *b != a) {
                if apart || *a == id || *b == id {
                    self.tools.net()?.cut(*a, *b)?;
                }
            }
        }
        if apart {
            self.tell("no node hears any other");
            self.hold(1_000, 4_000).await;
        } else {
            self.tell(format!("node {id}, {what}, and the others don't hear each other"));
            self.bystander(id).await?;
            self.hold(1_500, 5_000).await;
            self.progress(&format!("with node {id} cut off")).await;
        }
        Ok(self.tools.net()?.heal()?)
    }

    /// One direction only.
    pub(super) async fn one_way(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        let mute = self.dice.chance(50);
        for other in self.others(&[id]) {
            let (from, to) = if mute { (id, other) } else { (other, id) };
            self.tools.net()?.cut(from, to)?;
        }
        let how = if mute { "hears the others and isn't heard" } else { "is heard and hears nobody" };
        self.tell(format!("node {id}, {what}, {how}"));
        self.bystander(id).await?;
        self.hold(1_500, 5_000).await;
        self.progress(&format!("with node {id} that {how}")).await;
        Ok(self.tools.net()?.heal()?)
    }

    /// With three nodes the ring of majorities is a line: the ends don't hear each other, both hear the middle.
    pub(super) async fn ring(&mut self) -> Result<(), Error> {
        let (end, what) = self.leader_or_not().await?;
        let others = self.others(&[end]);
        let other = *self.dice.pick(&others);
        self.tools.net()?.cut(end, other)?;
        self.tools.net()?.cut(other, end)?;
        self.tell(format!("node {end}, {what}, and node {other} don't hear each other, the third hears both"));
        self.hold(2_000, 6_000).await;
        self.progress(&format!("with nodes {end} and {other} that don't hear each other")).await;
        Ok(self.tools.net()?.heal()?)
    }

    /// In one of four cases one of those who go on is killed and comes straight back.
    pub(super) async fn bystander(&mut self, but: u64) -> Result<(), Error> {
        if !self.dice.chance(25) {
            return Ok(());
        }
        let others = self.others(&[but]);
        let id = *self.dice.pick(&others);
        self.tell(format!("node {id} is killed meanwhile"));
        self.cluster.kill(id).await?;
        Ok(self.cluster.restart(id)?)
    }
}
