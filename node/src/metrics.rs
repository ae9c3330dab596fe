//! The metrics of a node, for Prometheus: `/metrics` shows it to operators.
//!
//! No label is derived from a patient, an actor or a caller: labels are ports, stages and stable error codes, so their
//! number is bounded and they say nothing of anyone. Durations are in seconds, as Prometheus wants them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Label of refusals.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabel {
    /// The stable error code, as in `ErrorInfo`.
    pub code: String,
}

/// Label of connections.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PortLabel {
    /// `client` or `peer`.
    pub port: &'static str,
}

/// Label of closed doors.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DropLabel {
    /// `client` or `peer`.
    pub port: &'static str,
    /// `handshake_failed`, `handshake_timeout`, `handshake_crowded`, `connections_max` or `per_caller_max`.
    pub reason: &'static str,
}

/// Label of alarms.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AlarmLabel {
    /// The alarm's word.
    pub alarm: &'static str,
}

/// Label of answers.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// Of a witness: `cosigned`, `conflict`, `refused`, `lied` or `unreachable`. Of a request for a decision: `permitted`
    /// (something of it), `denied` (all of it), `refused` or `repeated`.
    pub outcome: &'static str,
}

/// Label of queues.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct QueueLabel {
    /// Which queue.
    pub queue: &'static str,
}

/// All that a node measures. Cloning shares the counters.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

/// The instruments; see [`Metrics`], which derefs to it.
pub struct Inner {
    registry: Registry,
    /// Record entries appended by this node's apply.
    pub events_appended: Counter,
    /// Batches appended by this node's apply.
    pub batches_appended: Counter,
    /// Batches answered again from the record.
    pub batches_repeated: Counter,
    /// Requests refused, by code.
    pub refusals: Family<CodeLabel, Counter>,
    /// The work that waits, by queue.
    pub queue_depth: Family<QueueLabel, Gauge>,
    /// Bytes of batches being worked on.
    pub inflight_bytes: Gauge,
    /// Identities resolved to tags.
    pub tag_lookups: Counter,
    /// Pages of traces read.
    pub trace_reads: Counter,
    /// Sources of the authority's list that are silent beyond their time.
    pub sources_silent: Gauge,
    /// Raft term.
    pub raft_term: Gauge,
    /// Highest Raft index known to be committed.
    pub raft_commit: Gauge,
    /// Highest Raft index applied.
    pub raft_applied: Gauge,
    /// Id of the leader as this node knows it; 0 = none.
    pub raft_leader: Gauge,
    /// 1 on the leader, 0 elsewhere.
    pub raft_is_leader: Gauge,
    /// By how much this node's clock is off the others', in milliseconds; 0 while it isn't by more than 500.
    pub clock_offset_ms: Gauge,
    /// Size of the log tree here.
    pub tree_size: Gauge,
    /// Size of the newest checkpoint signed or received here.
    pub checkpoint_size: Gauge,
    /// Latest time of a cosignature on it, in seconds since 1970.
    pub checkpoint_time_seconds: Gauge,
    /// Cosignatures on it.
    pub checkpoint_cosignatures: Gauge,
    /// Cosignatures and checkpoints that were dropped because they don't verify.
    pub cosignatures_rejected: Counter,
    /// Answers of witnesses, by what they were.
    pub witness_answers: Family<OutcomeLabel, Counter>,
    /// 1 when this node's state can't be trusted: it serves nothing.
    pub corrupt: Gauge,
    /// 1 for each alarm that is raised, 0 for the others.
    pub alarm: Family<AlarmLabel, Gauge>,
    /// Prefixes whose old key-encryption key isn't destroyed, because what isn't erased would be lost with it.
    pub keks_held_back: Gauge,
    /// Seconds from a batch's arrival to its answer.
    pub submit_seconds: Histogram,
    /// Seconds from a call for decisions to its answer.
    pub authorize_seconds: Histogram,
    /// Requests decided by this node's apply, by what came of them.
    pub decisions: Family<OutcomeLabel, Counter>,
    /// Seconds to apply one Raft entry.
    pub apply_seconds: Histogram,
    /// Seconds of one write and fsync of the Raft log.
    pub fsync_seconds: Histogram,
    /// Open connections by port.
    pub connections: Family<PortLabel, Gauge>,
    /// Connections accepted by port.
    pub connections_accepted: Family<PortLabel, Counter>,
    /// Connections dropped by port and reason.
    pub connections_dropped: Family<DropLabel, Counter>,
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Half a microsecond's work to ten seconds of trouble: 100 µs × 2^k.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 17))
}

impl Metrics {
    /// The instruments of node `id`, all at zero.
    pub fn new(id: u64) -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("sillage"),
            events_appended: Counter::default(),
            batches_appended: Counter::default(),
            batches_repeated: Counter::default(),
            refusals: Family::default(),
            queue_depth: Family::default(),
            inflight_bytes: Gauge::default(),
            tag_lookups: Counter::default(),
            trace_reads: Counter::default(),
            sources_silent: Gauge::default(),
            raft_term: Gauge::default(),
            raft_commit: Gauge::default(),
            raft_applied: Gauge::default(),
            raft_leader: Gauge::default(),
            raft_is_leader: Gauge::default(),
            clock_offset_ms: Gauge::default(),
            tree_size: Gauge::default(),
            checkpoint_size: Gauge::default(),
            checkpoint_time_seconds: Gauge::default(),
            checkpoint_cosignatures: Gauge::default(),
            cosignatures_rejected: Counter::default(),
            witness_answers: Family::default(),
            corrupt: Gauge::default(),
            alarm: Family::default(),
            keks_held_back: Gauge::default(),
            submit_seconds: seconds(),
            authorize_seconds: seconds(),
            decisions: Family::default(),
            apply_seconds: seconds(),
            fsync_seconds: seconds(),
            connections: Family::default(),
            connections_accepted: Family::default(),
            connections_dropped: Family::default(),
        };
        inner.register(id);
        Self(Arc::new(inner))
    }

    /// All values in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("invariant: writing to a String does not fail");
        text
    }

    /// Counts a refusal under its stable code.
    pub fn refused(&self, code: &str) {
        let label = CodeLabel { code: code.to_owned() };
        self.refusals.get_or_create(&label).inc();
    }

    /// Counts a connection that was not served.
    pub fn dropped(&self, port: &'static str, reason: &'static str) {
        let label = DropLabel { port, reason };
        self.connections_dropped.get_or_create(&label).inc();
    }

    /// Counts an answer of a witness.
    pub fn witness(&self, outcome: &'static str) {
        self.witness_answers.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a request that was decided.
    pub fn decided(&self, outcome: &'static str) {
        self.decisions.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Sets the length of a queue.
    pub fn queue(&self, queue: &'static str, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&QueueLabel { queue }).set(depth);
    }
}

impl Inner {
    fn register(&mut self, id: u64) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("node", id.to_string())]);
        self.registry.register("build", "Version and node", build);
        self.register_work();
        self.register_checkpoints();
        self.register_raft();
        self.register_edge();
    }

    fn register_work(&mut self) {
        let r = &mut self.registry;
        let c = &self.events_appended;
        r.register("events_appended", "Record entries appended", c.clone());
        let c = &self.batches_appended;
        r.register("batches_appended", "Batches appended", c.clone());
        let c = &self.batches_repeated;
        r.register("batches_repeated", "Batches answered again", c.clone());
        r.register("refusals", "Requests refused", self.refusals.clone());
        let g = &self.queue_depth;
        r.register("queue_depth", "What waits in a queue", g.clone());
        let g = &self.inflight_bytes;
        r.register("inflight_bytes", "Bytes of batches in work", g.clone());
        let c = &self.tag_lookups;
        r.register("tag_lookups", "Identities resolved to tags", c.clone());
        r.register("trace_reads", "Pages of traces", self.trace_reads.clone());
        let h = &self.submit_seconds;
        r.register("submit_seconds", "Arrival of a batch to answer", h.clone());
        let h = &self.authorize_seconds;
        r.register("authorize_seconds", "Arrival of a call for decisions to answer", h.clone());
        r.register("decisions", "Requests decided, by outcome", self.decisions.clone());
        let h = &self.apply_seconds;
        r.register("apply_seconds", "Applying one Raft entry", h.clone());
    }

    fn register_raft(&mut self) {
        let r = &mut self.registry;
        r.register("raft_term", "Raft term", self.raft_term.clone());
        let g = &self.raft_commit;
        r.register("raft_commit_index", "Committed Raft index", g.clone());
        let g = &self.raft_applied;
        r.register("raft_applied_index", "Applied Raft index", g.clone());
        let g = &self.raft_leader;
        r.register("raft_leader_id", "The leader, 0 = none known", g.clone());
        let g = &self.raft_is_leader;
        r.register("raft_is_leader", "1 on the leader", g.clone());
        let g = &self.clock_offset_ms;
        r.register("clock_offset_ms", "This clock against the others', 0 within 500", g.clone());
        r.register("tree_size", "Leaves of the log tree", self.tree_size.clone());
        let h = &self.fsync_seconds;
        r.register("fsync_seconds", "One write and fsync", h.clone());
    }

    fn register_checkpoints(&mut self) {
        let r = &mut self.registry;
        let g = &self.checkpoint_size;
        r.register("checkpoint_size", "Newest checkpoint's size", g.clone());
        let g = &self.checkpoint_time_seconds;
        r.register("checkpoint_time_seconds", "Latest cosignature on the newest checkpoint", g.clone());
        let g = &self.checkpoint_cosignatures;
        r.register("checkpoint_cosignatures", "Cosignatures on the newest checkpoint", g.clone());
        let c = &self.cosignatures_rejected;
        r.register("cosignatures_rejected", "Cosignatures that don't verify", c.clone());
        r.register("witness_answers", "Answers of witnesses", self.witness_answers.clone());
        let g = &self.keks_held_back;
        r.register("keks_held_back", "Old keys not destroyed, as data would be lost", g.clone());
        r.register("corrupt", "1: this node's state can't be trusted, it serves nothing", self.corrupt.clone());
        r.register("sources_silent", "Listed sources silent beyond their time", self.sources_silent.clone());
        r.register("alarm", "1: something is wrong, see the alarm's word in docs/durability.md", self.alarm.clone());
    }

    fn register_edge(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Open connections", self.connections.clone());
        let c = &self.connections_accepted;
        r.register("connections_accepted", "Connections accepted", c.clone());
        let c = &self.connections_dropped;
        r.register("connections_dropped", "Connections dropped", c.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new(2);
        metrics.events_appended.inc_by(7);
        metrics.refused("OUT_OF_ORDER");
        metrics.dropped("client", "connections_max");
        metrics.queue("proposals", 3);
        metrics.fsync_seconds.observe(0.002);
        let text = metrics.render();
        for line in [
            "sillage_events_appended_total 7",
            "sillage_refusals_total{code=\"OUT_OF_ORDER\"} 1",
            "sillage_connections_dropped_total{port=\"client\",reason=\"connections_max\"} 1",
            "sillage_queue_depth{queue=\"proposals\"} 3",
            "sillage_fsync_seconds_count 1",
            "sillage_build_info{version=\"",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
