//! Keyrings mixed up. A node whose keys aren't the group's reads other things in what decides: it must be refused at its
//! start or be out of the group, and its own keyring, once back, must be as good as before.

use super::{Error, POLL, REFUSAL_MAX, Scene};
use std::time::{Duration, Instant};

/// The alarm of a node that has met the others and holds other keys.
const DIFFERS: &str = "KEYRING_DIFFERS";
/// The last words of a node that ends: it would refuse alone a payload that the others can open.
const NOT_THE_GROUPS: &str = "isn't the group's: give this node the keyring of its own log";
/// Words of a node that is refused at its start: its ledger already holds payloads that the keyring can't open.
const NOT_THE_LOGS: &str = "isn't the keyring of this log";

impl Scene<'_> {
    /// Another log's keyring, one with a key missing, or another node's.
    pub(super) async fn keyring(&mut self) -> Result<(), Error> {
        match self.dice.below(4) {
            0 => self.keyring_with_a_gap().await,
            1 => self.keyrings_swapped().await,
            2 => self.keyring_of_another_log(false).await,
            _ => self.keyring_of_another_log(true).await,
        }
    }

    /// The node has on record which keys it had: it doesn't start.
    async fn keyring_with_a_gap(&mut self) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        let because = "with one key missing from its keyring";
        self.tell(format!("node {id}, {what}, is killed and started again, {because}"));
        self.cluster.kill(id).await?;
        let choice = self.dice.below(u64::from(u32::MAX));
        self.tools.keyrings.take_one_out(id, choice)?;
        self.strangers.lock().insert(id);
        self.cluster.restart(id)?;
        self.must_not_serve(id, because).await?;
        self.progress(&format!("with two sound nodes and node {id}, {because}")).await;
        self.own_keyring_again(id).await
    }

    /// All nodes of a group hold the same keys, so nobody notices.
    async fn keyrings_swapped(&mut self) -> Result<(), Error> {
        let ids = self.others(&[]);
        let sound = *self.dice.pick(&ids);
        let pair = self.others(&[sound]);
        let (a, b) = (pair[0], pair[1]);
        self.tell(format!("nodes {a} and {b} get each other's keyring"));
        for id in &pair {
            self.cluster.kill(*id).await?;
        }
        self.tools.keyrings.swap(a, b)?;
        for id in &pair {
            self.cluster.restart(*id)?;
        }
        self.all_serve().await?;
        self.progress("with two keyrings swapped, which are the same").await;
        for id in pair {
            self.own_keyring_again(id).await?;
        }
        Ok(())
    }

    /// `forgets`: nothing is on record of the keyring that it had, and it meets the others. Then one of those is away,
    /// so that it would be the second of a majority.
    async fn keyring_of_another_log(&mut self, forgets: bool) -> Result<(), Error> {
        let (id, what) = self.leader_or_not().await?;
        let because = match forgets {
            true => "with another log's keyring and nothing on record of its own",
            false => "with another log's keyring",
        };
        self.tell(format!("node {id}, {what}, is killed and started again, {because}"));
        self.cluster.kill(id).await?;
        self.tools.keyrings.put_another_logs(id)?;
        if forgets {
            self.tools.keyrings.forget(id)?;
        }
        self.strangers.lock().insert(id);
        self.cluster.restart(id)?;
        match forgets {
            true => self.must_say_that_keys_differ(id, because).await?,
            false => self.must_not_serve(id, because).await?,
        }
        self.progress(&format!("with two sound nodes and node {id}, {because}")).await;
        let rest = self.others(&[id]);
        let away = *self.dice.pick(&rest);
        self.tell(format!("node {away} is killed, too"));
        self.cluster.kill(away).await?;
        // Records that were on their way are acknowledged by now.
        self.hold(300, 600).await;
        let acknowledged = self.tally.records();
        self.hold(1_500, 3_000).await;
        if self.tally.records() > acknowledged {
            let more = self.tally.records() - acknowledged;
            self.find(format!("{more} records were acknowledged by one sound node and node {id}, {because}"));
        }
        self.cluster.restart(away)?;
        self.progress(&format!("with two sound nodes again and node {id}, {because}")).await;
        // It ends when it comes to what it can't open.
        self.has_ended(id, because).await?;
        self.own_keyring_again(id).await
    }

    /// Tells whether it has ended: it must have said that its keys aren't the group's.
    async fn has_ended(&mut self, id: u64, because: &str) -> Result<bool, Error> {
        let Some(ending) = self.cluster.ended(id, Duration::ZERO).await? else { return Ok(false) };
        match [NOT_THE_GROUPS, NOT_THE_LOGS].iter().any(|words| ending.said.contains(words)) {
            true => self.tell(format!("node {id}, {because}, ended and said why: {}", ending.said)),
            false => self.find(format!("node {id}, {because}, ended ({}): {}", ending.status, ending.said)),
        }
        Ok(true)
    }

    /// It runs and says that its keys differ, or has ended and said why.
    async fn must_say_that_keys_differ(&mut self, id: u64, because: &str) -> Result<(), Error> {
        let (began, place) = (Instant::now(), usize::try_from(id - 1)?);
        let mut last = "nothing".to_owned();
        while began.elapsed() < REFUSAL_MAX {
            if self.has_ended(id, because).await? {
                return Ok(());
            }
            if let Some(node) = self.watch.ask().await.into_iter().nth(place).flatten() {
                if node.status == "stopped" && node.alarms.iter().any(|alarm| alarm.word == DIFFERS) {
                    self.tell(format!("node {id}, {because}, takes no part and says {DIFFERS}"));
                    return Ok(());
                }
                last = format!("{}, {}", node.role, node.status);
            }
            tokio::time::sleep(POLL).await;
        }
        let waited = REFUSAL_MAX.as_secs();
        self.find(format!("node {id}, {because}, doesn't say {DIFFERS} after {waited} s: {last}"));
        Ok(())
    }

    async fn own_keyring_again(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.kill(id).await?;
        self.tools.keyrings.restore(id)?;
        self.strangers.lock().remove(&id);
        Ok(self.cluster.restart(id)?)
    }
}
