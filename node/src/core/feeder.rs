//! Feeds the newest checkpoint to witnesses, one task each: a slow, dead or lying one delays nothing else.
//!
//! Only the leader feeds. What comes back is verified, added to the checkpoint and shared with the other nodes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_ledger::Refusal;
use sillage_proof::note::{SignedNote, VerifierKey};
use sillage_proof::{Hash, TreeSize};
use tokio::time::{Instant, sleep, timeout};

use super::Core;
use super::checkpoints::Signed;
use super::cosigners::Who;
use super::refusals::from_read;
use super::witness::{Answer, WitnessClient};

/// After a failure, doubled up to the greatest.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether this node has come to lead, or the witness is due again.
const LOOK: Duration = Duration::from_millis(500);
/// Conflicts answered at once.
const CONFLICTS_MAX: u32 = 2;

/// What is known of a witness.
#[derive(Debug)]
pub struct Feed {
    /// The size that it is thought to know.
    old_size: u64,
    /// What it cosigned last: the size, and when.
    fed: Option<(u64, Instant)>,
    backoff: Duration,
    conflicts: u32,
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until there is something new.
    Rest,
    /// Ask again at once, from another size.
    Again,
    /// Ask again later.
    After(Duration),
}

impl Default for Feed {
    fn default() -> Self {
        Self { old_size: 0, fed: None, backoff: BACKOFF_MIN, conflicts: 0 }
    }
}

impl Feed {
    /// Whether a checkpoint of `size` is to be shown: a new one, or the same again after `interval`.
    pub fn is_due(&self, size: u64, interval: Duration) -> bool {
        self.fed.is_none_or(|(fed, at)| size > fed || at.elapsed() >= interval)
    }

    /// The size that the proof for a checkpoint of `size` begins with; `None` when the witness has seen more.
    pub fn old_size(&self, size: u64) -> Option<u64> {
        (self.old_size <= size).then_some(self.old_size)
    }

    /// Takes in the answer to a checkpoint of `size`.
    pub fn answered(&mut self, size: u64, answer: &Answer) -> Next {
        match answer {
            Answer::Cosigned { .. } => {
                *self = Self { old_size: size, fed: Some((size, Instant::now())), ..Self::default() };
                return Next::Rest;
            }
            Answer::Knows(known) if *known != self.old_size && self.conflicts < CONFLICTS_MAX => {
                self.old_size = *known;
                self.conflicts += 1;
                if *known <= size {
                    return Next::Again;
                }
            }
            Answer::Knows(known) => self.old_size = *known,
            Answer::Refused(_) | Answer::Lies(_) | Answer::Unreachable(_) => {}
        }
        self.later()
    }

    /// Asks again after a while, each time a longer one.
    pub fn later(&mut self) -> Next {
        self.conflicts = 0;
        let after = self.backoff;
        self.backoff = (after * 2).min(BACKOFF_MAX);
        Next::After(after)
    }
}

/// Feeds one witness while this node leads.
pub(super) async fn run(core: Weak<Core>, url: String, key: VerifierKey) {
    let client = WitnessClient::new(&url);
    let mut feed = Feed::default();
    let Some(mut newest) = core.upgrade().map(|core| core.checkpoints.watch()) else {
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
        let due = signed.filter(|signed| core.serves_as_leader() && feed.is_due(signed.size, interval));
        let Some(signed) = due else {
            continue;
        };
        let mut next = Next::Again;
        while next == Next::Again {
            next = feed_once(&core, &client, &key, &mut feed, &signed).await;
        }
        drop(core);
        if let Next::After(wait) = next {
            sleep(wait).await;
        }
    }
}

async fn feed_once(
    core: &Arc<Core>,
    client: &WitnessClient,
    key: &VerifierKey,
    feed: &mut Feed,
    signed: &Arc<Signed>,
) -> Next {
    let size = signed.size;
    let Some(old_size) = feed.old_size(size) else {
        tracing::warn!(
            witness = key.name(),
            size,
            "a witness has seen a larger tree than this node's newest checkpoint"
        );
        // Perhaps another leader's; the next checkpoint may be larger.
        feed.old_size = size;
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
        Answer::Cosigned { line } => core.add_lines(size, std::slice::from_ref(line)),
        Answer::Knows(known) => tracing::debug!(witness = key.name(), known, old_size, "a witness knows another size"),
        Answer::Refused(status) => {
            tracing::warn!(witness = key.name(), status, size, old_size, "a witness refuses the checkpoint");
        }
        Answer::Lies(what) => {
            tracing::error!(witness = key.name(), what, "a witness's answer doesn't verify: it is dropped");
        }
        Answer::Unreachable(error) => tracing::info!(witness = key.name(), error, "a witness doesn't answer"),
    }
    feed.answered(size, &answer)
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

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Cosigned { .. } => "cosigned",
        Answer::Knows(_) => "conflict",
        Answer::Refused(_) => "refused",
        Answer::Lies(_) => "lied",
        Answer::Unreachable(_) => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::note::NoteSignature;

    fn cosigned() -> Answer {
        Answer::Cosigned { line: NoteSignature { name: "w".to_owned(), key_id: 1, signature: vec![1] } }
    }

    #[test]
    fn a_conflict_is_answered_at_once_with_the_size_that_the_witness_knows() {
        let mut feed = Feed::default();
        assert_eq!(feed.old_size(9), Some(0));
        assert_eq!(feed.answered(9, &Answer::Knows(5)), Next::Again);
        assert_eq!(feed.old_size(9), Some(5));
        assert_eq!(feed.answered(9, &cosigned()), Next::Rest);
        assert_eq!(feed.old_size(12), Some(9));
    }

    #[test]
    fn a_witness_that_changes_its_mind_again_and_again_is_left_alone_for_a_while() {
        let mut feed = Feed::default();
        assert_eq!(feed.answered(9, &Answer::Knows(5)), Next::Again);
        assert_eq!(feed.answered(9, &Answer::Knows(4)), Next::Again);
        assert_eq!(feed.answered(9, &Answer::Knows(5)), Next::After(BACKOFF_MIN));
        assert_eq!(feed.answered(9, &Answer::Knows(5)), Next::After(BACKOFF_MIN * 2), "the same is no news");
    }

    #[test]
    fn a_witness_ahead_of_this_node_is_not_shown_less() {
        let mut feed = Feed::default();
        assert_eq!(feed.answered(9, &Answer::Knows(20)), Next::After(BACKOFF_MIN));
        assert_eq!(feed.old_size(9), None);
        assert_eq!(feed.old_size(21), Some(20));
    }

    #[test]
    fn failures_are_tried_again_ever_less_often_and_a_success_forgets_them() {
        let mut feed = Feed::default();
        let failures = [Answer::Refused(422), Answer::Lies("no"), Answer::Unreachable("gone".to_owned())];
        let waits: Vec<Next> = failures.iter().map(|answer| feed.answered(9, answer)).collect();
        assert_eq!(waits, [1, 2, 4].map(|times| Next::After(BACKOFF_MIN * times)));
        for _ in 0..10 {
            feed.answered(9, &Answer::Refused(500));
        }
        assert_eq!(feed.answered(9, &Answer::Refused(500)), Next::After(BACKOFF_MAX));
        assert_eq!(feed.answered(9, &cosigned()), Next::Rest);
        assert_eq!(feed.answered(10, &Answer::Refused(500)), Next::After(BACKOFF_MIN));
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
