//! The tasks of a node beside the calls that it answers, and how they stop.

use std::sync::Arc;

use super::checkpointing::cosign::Notes;
use super::checkpointing::{feeder, rotations, rounds, share};
use super::condition::alarms::Alarm;
use super::condition::{lookout, trust};
use super::erasing::erase;
use super::membership::{find_group, members};
use super::{Core, Replica, clock, keyrings};

impl Notes for Replica {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.note(key)
    }

    fn put(&self, key: &[u8], value: Vec<u8>, done: Box<dyn FnOnce() + Send>) {
        self.put_note(key.to_vec(), value, done);
    }
}

impl Core {
    /// Starts them: index commits, checkpoints, witnesses; and asks the peers what they know of this node.
    pub(super) fn start_tasks(self: &Arc<Self>) {
        if self.condition.resume(self.checkpointing.notes()) {
            self.replica.shutdown();
            return;
        }
        let weak = || Arc::downgrade(self);
        if self.config.isolated {
            self.alarms.raise(Alarm::Isolated, "");
            *self.tasks.lock() = vec![tokio::spawn(lookout::run(weak()))];
            return;
        }
        let mut tasks = vec![
            tokio::spawn(rounds::propose_commits(weak())),
            tokio::spawn(rounds::make_checkpoints(weak())),
            tokio::spawn(share::take_up(weak())),
            tokio::spawn(lookout::run(weak())),
            tokio::spawn(erase::run(weak())),
            tokio::spawn(clock::ask::run(weak())),
            tokio::spawn(rotations::look_for_proofs(weak())),
            tokio::spawn(trust::keep_marker(weak())),
        ];
        tasks.push(tokio::spawn(members::follow(weak())));
        tasks.push(tokio::spawn(members::reconcile(weak())));
        tasks.push(tokio::spawn(find_group::run(weak())));
        tasks.extend(self.links.iter().map(|link| tokio::spawn(share::greet(weak(), link.id))));
        tasks.extend(self.links.iter().map(|link| tokio::spawn(keyrings::meet(weak(), link.id))));
        for witness in &self.config.witnesses {
            match witness.key() {
                Ok(key) => tasks.push(tokio::spawn(feeder::run(weak(), witness.url.clone(), key))),
                Err(error) => tracing::error!(error, "a witness is left out"),
            }
        }
        *self.tasks.lock() = tasks;
        let (node, log) = self.keys.in_force();
        // A new member learns only from the others that it is one.
        let is_named = members::is_named(&self.config, &self.reader).unwrap_or(true);
        if !node && is_named {
            tracing::error!("the node key in force is in no key file: this node can't cosign; set `node_key_next`");
        }
        if !log && self.config.log_key.is_some() {
            tracing::error!(
                "the log's key in force is in no key file: this node can't finish checkpoints; set `log_key_next`"
            );
        }
    }

    /// Ends them.
    pub(super) async fn stop_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // It was told to end, and so it ends with an error.
            let _ = task.await;
        }
    }

    /// Tells whether this node leads, and may.
    pub(super) fn serves_as_leader(&self) -> bool {
        self.leads()
            && !self.config.isolated
            && !self.is_stopping()
            && !self.is_in_doubt()
            && self.check_sound().is_ok()
    }

    /// Tells whether the replica was told to stop, by a shutdown or a verdict that is on disk.
    pub fn has_stopped_replica(&self) -> bool {
        self.replica.is_stopping()
    }
}
