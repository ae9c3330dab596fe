//! How a leader hears of the clocks, and what it does about them: it says when its own is wrong, hands over to a node
//! whose clock is in the middle, and raises the feature level once every node knows it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sillage_ledger::{CLOCKS, CommandOutcome, FEATURE_LEVEL, command_version_max};
use sillage_proto::internal::v1::{ClockAttestation, Command, StandingRequest, StandingResponse};
use sillage_rules::time::TimeMs;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tonic::Code as GrpcCode;

use super::known::{Heard, Told};
use super::{ClockSkew, Clocks};
use crate::core::Core;
use crate::core::condition::alarms::Alarm;
use crate::peer::links::Client;

/// How often it is looked whether it is time to ask: as soon as this node leads, it needs the others' clocks.
const TICK: Duration = Duration::from_millis(20);
/// A leader asks this often.
const PAUSE: Duration = Duration::from_millis(200);
/// For one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two attempts to hand over, and to raise the level.
const AGAIN: Duration = Duration::from_secs(3);
/// For the level to be raised.
const RAISE_TIMEOUT: Duration = Duration::from_secs(5);

/// The work under way, and the last that was done.
#[derive(Default)]
struct Turn {
    asked: Option<(u64, Instant)>,
    handed_over: Option<Instant>,
    raised: Option<Instant>,
}

/// While this node leads, asks the others for their clocks.
pub(in crate::core) async fn run(core: Weak<Core>) {
    let (mut turn, waiting) = (Turn::default(), Arc::new(Mutex::new(BTreeSet::new())));
    loop {
        sleep(TICK).await;
        let Some(core) = core.upgrade() else {
            return;
        };
        Turn::show_skew(&core);
        let Some(term) = core.led_term().filter(|_| core.serves_as_leader()) else {
            turn.asked = None;
            continue;
        };
        let knows = core.reader.feature_level() < CLOCKS || core.clocks.stamp().is_ok();
        let asked = turn.asked.filter(|(of, _)| *of == term && knows);
        if asked.is_some_and(|(_, at)| at.elapsed() < PAUSE) {
            continue;
        }
        turn.asked = Some((term, Instant::now()));
        core.clocks.renew_voters();
        for link in core.links.iter() {
            if waiting.lock().insert(link.id) {
                let (core, waiting, id, client) =
                    (Arc::clone(&core), Arc::clone(&waiting), link.id, link.calls.clone());
                tokio::spawn(async move {
                    core.ask_clock(id, client, term).await;
                    waiting.lock().remove(&id);
                });
            }
        }
        turn.hand_over(&core);
        turn.raise_level(&core);
    }
}

impl Turn {
    /// Says when the clock is off, and when it no longer is.
    fn show_skew(core: &Core) {
        let skew = core.clock_skew();
        let offset_ms = skew.map_or(0, |skew| i128::from(skew.own_ms) - i128::from(skew.median_ms));
        core.metrics.clock_offset_ms.set(i64::try_from(offset_ms).unwrap_or(i64::MAX));
        let told = skew.map(|ClockSkew { own_ms, median_ms }| {
            format!(
                "this node's clock shows {}, the others' {} ({offset_ms} ms apart)",
                TimeMs(own_ms),
                TimeMs(median_ms)
            )
        });
        core.alarms.set(Alarm::ClockSkew, told);
    }

    /// A leader whose clock is off, by the clocks of a majority that agree, lets one of them lead.
    fn hand_over(&mut self, core: &Core) {
        if self.handed_over.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        if let Some(peer) = core.clocks.successor() {
            self.handed_over = Some(Instant::now());
            tracing::warn!(peer, "this node's clock is off: it hands leadership over");
            core.replica.transfer_leader(peer);
        }
    }

    fn raise_level(&mut self, core: &Arc<Core>) {
        let present = core.reader.feature_level();
        if present >= FEATURE_LEVEL || self.raised.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        let level = core.clocks.level_of_all();
        if level > present {
            self.raised = Some(Instant::now());
            let core = Arc::clone(core);
            tokio::spawn(async move { core.raise_level(level).await });
        }
    }
}

impl Clocks {
    /// The node that should lead instead of this one: its clock is off, and a majority of others agree with each other.
    fn successor(&self) -> Option<u64> {
        self.skew()?;
        let voters = self.voters();
        let others = self.known.lock().others(&voters, Instant::now())?;
        (others.agree > voters.count() / 2).then_some(others.nearest)
    }

    /// The feature level that every node knows, and this program.
    fn level_of_all(&self) -> u32 {
        // Learners apply everything too. What can't be read now is asked for again.
        let Ok(set) = self.reader.node_set() else { return 1 };
        let nodes = set.nodes.iter().map(|node| node.id);
        self.known.lock().level_of_all(nodes, (self.id, FEATURE_LEVEL), Instant::now())
    }

    /// The word to a peer.
    fn question(&self, term: u64) -> StandingRequest {
        let clock_ms = self.own_ms();
        let group = self.group(clock_ms);
        let (group_ms, latest_ms) = group.map_or((0, clock_ms), |group| (group.ms, group.latest_ms));
        StandingRequest { term, clock_ms, group_ms, latest_ms }
    }

    /// Keeps what a peer answered, if it signed it.
    fn take_answer(&self, node: u64, term: u64, asked: Instant, answer: StandingResponse) {
        let answered = Instant::now();
        self.known.lock().levels.insert(node, (answer.feature_level.max(1), answered));
        let voters = self.voters();
        let Some(key) = voters.key(node).filter(|_| !answer.signature.is_empty()) else {
            return;
        };
        let message = self.message(node, term, answer.clock_ms, key);
        if message.verify(key, &answer.signature).is_err() {
            tracing::warn!(node, "a node's attestation of its clock doesn't verify: its clock doesn't count");
            return;
        }
        self.reader.verified().add(&message.encode(), &answer.signature);
        let attestation = ClockAttestation { node, clock_ms: answer.clock_ms, signature: answer.signature };
        let heard = Heard { term, attestation, key: *key, asked, answered };
        self.known.lock().heard.insert(node, heard);
    }

    /// Takes the leader's word on the group's time.
    fn take_told(&self, request: &StandingRequest) {
        let told = Told { group_ms: request.group_ms, latest_ms: request.latest_ms, at: Instant::now() };
        self.known.lock().told = Some(told);
    }
}

impl Core {
    /// This node's clock and the group's, where it is off by more than 500 ms.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        self.clocks.skew()
    }

    /// The term that this node leads.
    fn led_term(&self) -> Option<u64> {
        crate::core::led_term(&self.replica)
    }

    /// How this node stands, for the leader that asks.
    pub fn standing(&self, from: u64, request: &StandingRequest) -> StandingResponse {
        let replica = self.replica.status();
        let follows = replica.core.term == request.term && replica.core.leader == Some(from);
        let applied = self.reader.applied().0;
        let mut answer = StandingResponse { feature_level: FEATURE_LEVEL, applied, ..StandingResponse::default() };
        if follows && self.check_sound().is_ok() {
            self.clocks.take_told(request);
            let (_, attested) = self.clocks.attest(request.term);
            (answer.clock_ms, answer.signature) = (attested.clock_ms, attested.signature);
        } else {
            answer.clock_ms = self.clocks.own_ms();
        }
        answer
    }

    async fn ask_clock(&self, node: u64, mut client: Client, term: u64) {
        let asked = Instant::now();
        match timeout(CALL_TIMEOUT, client.standing(self.clocks.question(term))).await {
            Ok(Ok(answer)) => self.clocks.take_answer(node, term, asked, answer.into_inner()),
            // A program of before levels: it knows the first.
            Ok(Err(status)) if status.code() == GrpcCode::Unimplemented => {
                let answer = StandingResponse { feature_level: 1, ..StandingResponse::default() };
                self.clocks.take_answer(node, term, asked, answer);
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Raises the feature level of the group, which every node has said that it knows.
    async fn raise_level(&self, level: u32) {
        let (sender, done) = oneshot::channel();
        let answer = Box::new(move |result| {
            // Nobody waits any more.
            let _ = sender.send(result);
        });
        let command = Command { version: command_version_max(level), feature_level: level, ..Command::default() };
        self.replica.propose(prost::Message::encode_to_vec(&command), self.clocks.now_ms(), answer);
        match timeout(RAISE_TIMEOUT, done).await {
            Ok(Ok(Ok(outcomes))) => match outcomes.first() {
                Some(CommandOutcome::FeatureLevel(level)) => tracing::info!(level, "the feature level was raised"),
                other => tracing::debug!(?other, "the feature level was not raised"),
            },
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the feature level was not raised"),
            Ok(Err(_)) | Err(_) => tracing::warn!("whether the feature level was raised isn't known yet"),
        }
    }
}
