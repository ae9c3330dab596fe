//! Feeds the newest checkpoint to witnesses, one task each: a slow, dead or lying one delays nothing else.
//!
//! Before anything is submitted, the witness is asked what it knows, by a request whose proof begins at the size that it would
//! end with: a witness of another size answers with its own, and signs nothing. A witness that knows more than this log holds
//! has cosigned another history than the one that would come from here: an older copy that was put back, as a rule. Where it
//! proves that with a checkpoint that the log's or the nodes' keys signed, nothing more is submitted to it, and this node takes
//! nothing new. A witness alone, that says what it likes, stops nobody: it is asked again, and an operator is told.
//!
//! Only the leader feeds. A cosignature that comes back is verified, added to the checkpoint and shared with the other
//! nodes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use sillage_ledger::{LedgerReader, Refusal};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{KeyKind, SignedNote, VerifierKey};
use sillage_proof::{Hash, TreeSize};
use tokio::time::{Instant, sleep, timeout};

use super::checkpoints::Signed;
use super::cosigners::{Who, verified};
use super::witness::{WitnessAnswer, WitnessClient};
use crate::config::NodeConfig;
use crate::core::Core;
use crate::core::condition::alarms::Alarm;
use crate::refusals::from_read;

/// After a failure, doubled up to the greatest.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether this node has come to lead, or the witness is due again.
const LOOK: Duration = Duration::from_millis(500);
/// How long a leader waits for its witnesses' first answers before it takes anything new: one that is away holds up nobody.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Conflicts answered at once.
const CONFLICTS_MAX: u32 = 2;

/// The answers of the witnesses about what they know, since this process began.
#[derive(Debug)]
pub struct WitnessAnswers {
    /// How many haven't answered yet.
    waiting: AtomicUsize,
    /// When it was first needed.
    since: OnceLock<Instant>,
    behind: AtomicBool,
}

impl WitnessAnswers {
    /// Of the witnesses of a node. A log that was never shown to anybody has nothing to ask.
    pub fn of(config: &NodeConfig, reader: &LedgerReader) -> Self {
        let is_new = reader.last_index_commit().is_none();
        let waiting = if is_new || config.isolated { 0 } else { config.witnesses.len() };
        Self { waiting: AtomicUsize::new(waiting), since: OnceLock::new(), behind: AtomicBool::new(false) }
    }

    /// Tells whether all have answered, or were waited for long enough. For a leader.
    pub fn is_over(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0 || self.since.get_or_init(Instant::now).elapsed() >= ASK_MAX
    }

    /// Tells whether a witness has proven that this log has lost entries.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    fn answered(&self) {
        let _none_waits = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    }
}

/// The knowledge about a witness.
#[derive(Debug)]
pub struct Feed {
    /// The size that it is thought to know; none before it was asked.
    old_size: Option<u64>,
    /// Its last cosignature: the size, and when.
    fed: Option<(u64, Instant)>,
    backoff: Duration,
    conflicts: u32,
    /// It said that this log doesn't continue what it cosigned.
    refused: bool,
    /// It says that it knows more than this log holds, and doesn't prove it.
    claims: bool,
    /// It has proven that it knows more than this log holds: nothing is submitted any more.
    halted: bool,
    /// It has answered something, since this process began.
    heard: bool,
}

/// The next step after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStep {
    /// Nothing until there is something new.
    Rest,
    /// Ask again at once, from another size.
    Again,
    /// Ask again later.
    After(Duration),
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            old_size: None,
            fed: None,
            backoff: BACKOFF_MIN,
            conflicts: 0,
            refused: false,
            claims: false,
            halted: false,
            heard: false,
        }
    }
}

impl Feed {
    /// Tells whether a checkpoint of `size` is to be shown: a new one, or the same again after `interval`.
    pub fn is_due(&self, size: u64, interval: Duration) -> bool {
        !self.halted && self.fed.is_none_or(|(fed, at)| size > fed || at.elapsed() >= interval)
    }

    /// The size that the proof for a checkpoint of `size` begins with; `None` when the witness has seen more. One that wasn't
    /// asked yet is asked with `size` itself: it signs only if it knows that very checkpoint.
    pub fn old_size(&self, size: u64) -> Option<u64> {
        self.old_size.map_or(Some(size), |known| (known <= size).then_some(known))
    }

    /// Takes in the answer to a checkpoint of `size`.
    pub fn answered(&mut self, size: u64, answer: &WitnessAnswer) -> FeedStep {
        // A port that refuses is perhaps a witness that is just starting.
        self.heard |= !matches!(answer, WitnessAnswer::Unreachable(_));
        match answer {
            WitnessAnswer::Cosigned { .. } => {
                let fed = Some((size, Instant::now()));
                *self = Self { old_size: Some(size), fed, heard: true, ..Self::default() };
                return FeedStep::Rest;
            }
            WitnessAnswer::Knows(known) if Some(*known) != self.old_size && self.conflicts < CONFLICTS_MAX => {
                self.old_size = Some(*known);
                self.conflicts += 1;
                if *known <= size {
                    return FeedStep::Again;
                }
            }
            WitnessAnswer::Knows(known) => self.old_size = Some(*known),
            WitnessAnswer::Refused(_) | WitnessAnswer::Lies(_) | WitnessAnswer::Unreachable(_) => {}
        }
        self.later()
    }

    /// Asks again after a while, each time a longer one.
    pub fn later(&mut self) -> FeedStep {
        self.conflicts = 0;
        let after = self.backoff;
        self.backoff = (after * 2).min(BACKOFF_MAX);
        FeedStep::After(after)
    }
}

/// Feeds one witness while this node leads.
pub(in crate::core) async fn run(core: Weak<Core>, url: String, key: VerifierKey) {
    let client = WitnessClient::new(&url);
    let mut feed = Feed::default();
    let mut is_asked = false;
    let Some(mut newest) = core.upgrade().map(|core| core.checkpointing.kept.watch()) else {
        return;
    };
    loop {
        // Whether it changed or not, it is looked at.
        let _ = timeout(LOOK, newest.changed()).await;
        let Some(core) = core.upgrade() else {
            return;
        };
        let signed = newest.borrow_and_update().clone();
        let interval = Duration::from_millis(core.config.recosign_interval_ms);
        let leads = core.serves_as_leader();
        if !leads && std::mem::take(&mut feed.claims) {
            // Whoever leads now asks it.
            core.alarms.clear(Alarm::WitnessUnproven);
        }
        let due = signed.filter(|signed| leads && feed.is_due(signed.size, interval));
        let Some(signed) = due else {
            continue;
        };
        let mut next = FeedStep::Again;
        while next == FeedStep::Again {
            next = feed_once(&core, &client, &key, &mut feed, &signed).await;
        }
        if feed.heard && !std::mem::replace(&mut is_asked, true) {
            core.checkpointing.asked.answered();
        }
        // While the leader waits for its first answer, it is asked often.
        let awaited = !is_asked && !core.checkpointing.asked.is_over();
        drop(core);
        if let FeedStep::After(wait) = next {
            sleep(if awaited { wait.min(LOOK) } else { wait }).await;
        }
    }
}

async fn feed_once(
    core: &Arc<Core>,
    client: &WitnessClient,
    key: &VerifierKey,
    feed: &mut Feed,
    signed: &Arc<Signed>,
) -> FeedStep {
    let size = signed.size;
    let Some(old_size) = feed.old_size(size) else {
        tracing::warn!(
            witness = key.name(),
            size,
            "a witness has seen a larger tree than this node's newest checkpoint"
        );
        // Perhaps another leader's; the next checkpoint may be larger.
        feed.old_size = None;
        return feed.later();
    };
    let proof = match proof(core, old_size, size).await {
        Ok(proof) => proof,
        Err(refusal) => {
            tracing::warn!(witness = key.name(), code = refusal.code.as_str(), "no consistency proof for a witness");
            return feed.later();
        }
    };
    let text = signed.verified().checkpoint.to_text();
    let note = for_witness(signed);
    let answer = client.add_checkpoint(old_size, &proof, &note, &text, key).await;
    core.metrics().witness(outcome(&answer));
    match &answer {
        WitnessAnswer::Cosigned { line } => {
            core.add_lines(size, std::slice::from_ref(line));
            if feed.refused {
                core.alarms.clear(Alarm::WitnessRefuses);
            }
            if feed.claims {
                core.alarms.clear(Alarm::WitnessUnproven);
            }
        }
        WitnessAnswer::Knows(known) => {
            tracing::debug!(witness = key.name(), known, old_size, "a witness knows another size");
            match standing(core, client, key, *known).await {
                Standing::Proven => {
                    (feed.heard, feed.halted) = (true, true);
                    return FeedStep::Rest;
                }
                Standing::Claimed => {
                    (feed.heard, feed.claims) = (true, true);
                    // Asked again from the size that signs nothing new.
                    feed.old_size = None;
                    return feed.later();
                }
                Standing::Behind => {}
            }
        }
        WitnessAnswer::Refused(status) => {
            if matches!(status, 409 | 422) {
                feed.refused = true;
                core.alarms.raise(Alarm::WitnessRefuses, format!("witness {}, at size {size}", key.name()));
            }
            tracing::warn!(witness = key.name(), status, size, old_size, "a witness refuses the checkpoint");
        }
        WitnessAnswer::Lies(what) => {
            tracing::error!(witness = key.name(), what, "a witness's answer doesn't verify: it is dropped");
        }
        WitnessAnswer::Unreachable(error) => tracing::info!(witness = key.name(), error, "a witness doesn't answer"),
    }
    feed.answered(size, &answer)
}

/// The standing of a witness that says how many entries it knows.
enum Standing {
    /// It knows no more than this log holds, as far as can be told.
    Behind,
    /// It says that it knows more.
    Claimed,
    /// It knows more, and has proven it.
    Proven,
}

/// The standing of a witness that says it knows `known` entries of this log, which this node leads.
async fn standing(core: &Arc<Core>, client: &WitnessClient, key: &VerifierKey, known: u64) -> Standing {
    // What the group has committed is applied first: a new leader may lag behind the one before.
    if core.up_to_date().await.is_err() {
        return Standing::Behind;
    }
    let holds = core.reader().tree_size().get();
    if known <= holds {
        return Standing::Behind;
    }
    let shown = client.latest(core.genesis().origin.as_str()).await;
    let proven = shown.and_then(|note| proven_size(core, &note)).filter(|size| *size > holds);
    let name = key.name();
    match proven {
        Some(size) => {
            core.checkpointing.asked.behind.store(true, Ordering::Release);
            let found = format!(
                "{holds} entries are here, and witness {name} shows a checkpoint of {size} that the keys of this log signed"
            );
            core.alarms.raise(Alarm::WitnessAhead, found);
            Standing::Proven
        }
        None => {
            let found = format!("{holds} entries are here, and witness {name} says {known}");
            core.alarms.raise(Alarm::WitnessUnproven, found);
            Standing::Claimed
        }
    }
}

/// The size of a checkpoint of this log that is proven: by a key that the log has, had or is to have as far as is known here;
/// or, where the log's key was replaced since, by this node or a majority of the nodes.
fn proven_size(core: &Core, note: &[u8]) -> Option<u64> {
    let note = SignedNote::parse(note).ok()?;
    let lines: Vec<&str> = note.text().lines().take(3).collect();
    let checkpoint = Checkpoint::parse(&format!("{}\n", lines.join("\n"))).ok()?;
    let is_of_this_log = checkpoint.origin == core.genesis().origin;
    let proven =
        is_of_this_log && (log_keys(core).iter().any(|key| note.verify([key]).is_ok()) || by_nodes(core, &note));
    proven.then(|| checkpoint.size.get())
}

/// Every key of the log that is known here.
fn log_keys(core: &Core) -> Vec<VerifierKey> {
    let replaced = core.reader().rotations().unwrap_or_default().into_iter().filter(|one| one.node.is_none());
    let held = core.keys.log_keys().into_iter().map(|key| key.public_key());
    let keys = std::iter::once(core.genesis().log_public_key).chain(replaced.map(|one| one.key)).chain(held);
    let origin = core.genesis().origin.as_str();
    keys.filter_map(|key| VerifierKey::new(origin, KeyKind::Ed25519, key).ok()).collect()
}

/// Tells whether this node has cosigned a note, or a majority of the nodes as they are known here.
fn by_nodes(core: &Core, note: &SignedNote) -> bool {
    let signed = |key: &VerifierKey| note.signatures().iter().any(|line| verified(note.text(), line, key).is_some());
    if core.keys.own().iter().any(signed) {
        return true;
    }
    let holds = core.reader().tree_size().get();
    let node = |id| matches!(core.checkpointing.cosigners.node(id, holds), Ok(Some(key)) if signed(&key));
    core.checkpointing.cosigners.voters(holds).is_ok_and(|voters| voters.is_majority(node))
}

async fn proof(core: &Core, old_size: u64, size: u64) -> Result<Vec<Hash>, Refusal> {
    if old_size == 0 || old_size == size {
        return Ok(Vec::new());
    }
    let reader = core.reader().clone();
    let prove = move || reader.consistency_proof(TreeSize(old_size), TreeSize(size)).map_err(|error| from_read(&error));
    core.read(prove).await
}

/// The log's signature and the nodes', not what other witnesses said.
fn for_witness(signed: &Signed) -> String {
    let verified = signed.verified();
    let nodes = verified.cosignatures.values().filter(|one| matches!(one.who, Who::Node(_)));
    let lines = std::iter::once(verified.log.clone()).chain(nodes.map(|one| one.line.clone()));
    let note = SignedNote::new(verified.checkpoint.to_text(), lines.collect());
    note.expect("a part of the lines of a note").to_string()
}

fn outcome(answer: &WitnessAnswer) -> &'static str {
    match answer {
        WitnessAnswer::Cosigned { .. } => "cosigned",
        WitnessAnswer::Knows(_) => "conflict",
        WitnessAnswer::Refused(_) => "refused",
        WitnessAnswer::Lies(_) => "lied",
        WitnessAnswer::Unreachable(_) => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::note::NoteSignature;

    fn cosigned() -> WitnessAnswer {
        WitnessAnswer::Cosigned { line: NoteSignature { name: "w".to_owned(), key_id: 1, signature: vec![1] } }
    }

    #[test]
    fn a_conflict_is_answered_at_once_with_the_size_that_the_witness_knows() {
        let mut feed = Feed::default();
        assert_eq!(feed.old_size(9), Some(9), "one that wasn't asked yet can sign nothing new");
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(5)), FeedStep::Again);
        assert_eq!(feed.old_size(9), Some(5));
        assert_eq!(feed.answered(9, &cosigned()), FeedStep::Rest);
        assert_eq!(feed.old_size(12), Some(9));
    }

    #[test]
    fn a_witness_that_changes_its_mind_again_and_again_is_left_alone_for_a_while() {
        let mut feed = Feed::default();
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(5)), FeedStep::Again);
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(4)), FeedStep::Again);
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(5)), FeedStep::After(BACKOFF_MIN));
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(5)), FeedStep::After(BACKOFF_MIN * 2), "the same is no news");
    }

    #[test]
    fn a_witness_ahead_of_this_node_is_not_shown_less() {
        let mut feed = Feed::default();
        assert_eq!(feed.answered(9, &WitnessAnswer::Knows(20)), FeedStep::After(BACKOFF_MIN));
        assert_eq!(feed.old_size(9), None);
        assert_eq!(feed.old_size(21), Some(20));
    }

    #[test]
    fn a_port_that_refuses_is_no_answer() {
        let mut feed = Feed::default();
        feed.answered(9, &WitnessAnswer::Unreachable("refused".to_owned()));
        assert!(!feed.heard);
        for answer in [WitnessAnswer::Refused(500), WitnessAnswer::Lies("no"), WitnessAnswer::Knows(5), cosigned()] {
            let mut feed = Feed::default();
            feed.answered(9, &answer);
            assert!(feed.heard, "{answer:?}");
        }
    }

    #[test]
    fn failures_are_tried_again_ever_less_often_and_a_success_forgets_them() {
        let mut feed = Feed::default();
        let failures =
            [WitnessAnswer::Refused(422), WitnessAnswer::Lies("no"), WitnessAnswer::Unreachable("gone".to_owned())];
        let waits: Vec<FeedStep> = failures.iter().map(|answer| feed.answered(9, answer)).collect();
        assert_eq!(waits, [1, 2, 4].map(|times| FeedStep::After(BACKOFF_MIN * times)));
        for _ in 0..10 {
            feed.answered(9, &WitnessAnswer::Refused(500));
        }
        assert_eq!(feed.answered(9, &WitnessAnswer::Refused(500)), FeedStep::After(BACKOFF_MAX));
        assert_eq!(feed.answered(9, &cosigned()), FeedStep::Rest);
        assert_eq!(feed.answered(10, &WitnessAnswer::Refused(500)), FeedStep::After(BACKOFF_MIN));
    }

    #[test]
    fn a_checkpoint_is_shown_once_and_again_when_its_cosignature_is_old() {
        let mut feed = Feed::default();
        let long = Duration::from_secs(3_600);
        assert!(feed.is_due(9, long));
        feed.answered(9, &cosigned());
        assert!(!feed.is_due(9, long) && !feed.is_due(8, long));
        assert!(feed.is_due(10, long) && feed.is_due(9, Duration::ZERO));
    }
}
