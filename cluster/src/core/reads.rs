//! Linearizable reads: which wait for a read index, and which for the state machine to reach it.
//!
//! raft-rs drops a read request silently when there is no leader, or when the leader has not committed anything in its
//! term yet. So each request has a context of its own, a retry and an end.

use std::collections::BTreeMap;

use super::ReadId;

/// One request to raft-rs, which serves all the reads that were waiting when it was made.
#[derive(Debug)]
struct AskedReads {
    reads: Vec<(ReadId, u64)>,
    at_tick: u64,
}

/// The reads of one node. Times are in ticks.
#[derive(Debug)]
pub(crate) struct Reads {
    node: u64,
    /// Makes contexts unique over restarts too.
    epoch: u64,
    next: u64,
    /// Not yet asked: (read, tick when it came).
    waiting: Vec<(ReadId, u64)>,
    asked: BTreeMap<Vec<u8>, AskedReads>,
    /// Answered with an index that is not applied yet.
    confirmed: BTreeMap<u64, Vec<ReadId>>,
}

impl Reads {
    pub(crate) fn new(node: u64, epoch: u64) -> Self {
        Reads { node, epoch, next: 0, waiting: Vec::new(), asked: BTreeMap::new(), confirmed: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, read: ReadId, tick: u64) {
        self.waiting.push((read, tick));
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Puts all waiting reads under a new context, to be asked for.
    pub(crate) fn ask(&mut self, tick: u64) -> Vec<u8> {
        self.next += 1;
        let mut context = self.node.to_be_bytes().to_vec();
        context.extend_from_slice(&self.epoch.to_be_bytes());
        context.extend_from_slice(&self.next.to_be_bytes());
        let asked = AskedReads { reads: std::mem::take(&mut self.waiting), at_tick: tick };
        self.asked.insert(context.clone(), asked);
        context
    }

    /// The group answered.
    pub(crate) fn answered(&mut self, context: &[u8], index: u64) {
        if let Some(asked) = self.asked.remove(context) {
            let reads = asked.reads.into_iter().map(|(read, _)| read);
            self.confirmed.entry(index).or_default().extend(reads);
        }
    }

    /// Takes the reads that may be served with `applied` applied.
    pub(crate) fn ready(&mut self, applied: u64) -> Vec<(ReadId, u64)> {
        let mut out = Vec::new();
        while let Some(first) = self.confirmed.first_entry() {
            let index = *first.key();
            if index > applied {
                break;
            }
            out.extend(first.remove().into_iter().map(|read| (read, index)));
        }
        out
    }

    /// Puts requests without an answer back to be asked again, and takes the reads that waited too long.
    pub(crate) fn on_tick(&mut self, tick: u64, retry: u64, timeout: u64) -> Vec<ReadId> {
        let stale: Vec<Vec<u8>> = self
            .asked
            .iter()
            .filter(|(_, asked)| tick >= asked.at_tick + retry)
            .map(|(context, _)| context.clone())
            .collect();
        for context in stale {
            let asked = self.asked.remove(&context).expect("just seen");
            self.waiting.extend(asked.reads);
        }
        let mut failed = Vec::new();
        self.waiting.retain(|&(read, since)| {
            let keep = tick < since + timeout;
            if !keep {
                failed.push(read);
            }
            keep
        });
        failed
    }
}
