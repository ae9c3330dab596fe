//! How a checkpoint comes about: every node cosigns the root that it computed, and over a majority the log's key signs.
//!
//! ```text
//! entries → index commit (the leader proposes, every node applies)
//!   → leader: Cosign to all ─▶ each node: applied, an index commit, batch signatures verified, stored, cosigned
//!   → tally: a majority of equal roots ─▶ the log's key signs ─▶ kept, shown to all, fed to witnesses
//! ```
//!
//! When idle the same checkpoint is cosigned again, so that its freshness can be checked.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_cluster::ProposeError;
use sillage_ledger::Refusal;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{NoteSignature, SignedNote};
use sillage_proof::{Hash, LeafIndex, TreeSize};
use sillage_proto::internal::v1::CosignRequest;
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;
use sillage_rules::node_set::Voters;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::checkpoints::Signed;
use super::commits::{self, Pending};
use super::cosign::{self, Cosigned, Never, Unverified};
use super::cosigners::verified;
use super::tally::{Majority, Tally, Vote};
use crate::core::{Core, now_ms};
use crate::refusals::{from_info, from_read, refuse, unavailable};

/// How long a node may take to apply and verify what it is asked to cosign.
const COSIGN_WAIT: Duration = Duration::from_secs(2);
/// For one call, beyond what the node may wait.
const CALL_SLACK: Duration = Duration::from_secs(1);
/// After a majority, the rest is waited for a moment; later answers are added to the finished checkpoint.
const LINGER: Duration = Duration::from_millis(50);
/// How often the leader looks for an index commit without a checkpoint.
const TICK: Duration = Duration::from_millis(10);
/// After a round without a majority.
const RETRY: Duration = Duration::from_millis(500);
/// For a proposal to be applied or lost.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A node and what it answered.
type NodeAnswer = (u64, Result<Vote, Refusal>);

impl Core {
    /// This node's own root of `size`, cosigned. Waits at most `wait` until as much is applied and verified.
    ///
    /// # Errors
    /// Why it isn't cosigned; `CORRUPT` for ever when it never may be.
    pub async fn cosign(&self, size: u64, wait: Duration) -> Result<Vote, Refusal> {
        self.check_sound()?;
        if self.is_in_doubt() {
            return Err(unavailable("this node's state differs from a peer's, and nobody knows yet who is right"));
        }
        if !self.knows_itself() {
            return Err(unavailable("this node hasn't yet heard from its peers what it has cosigned: ask again"));
        }
        let until = Instant::now() + wait.min(COSIGN_WAIT);
        self.applied_to(size, until).await?;
        self.proofs_kept(size, until).await?;
        let state = timeout_at(until, self.checkpointing.cosigned.lock()).await;
        let mut state = state.map_err(|_| unavailable("another cosignature is under way: ask again"))?;
        let root = self.root_to_cosign(size, &state).await?;
        self.verify_to(&mut state, size, until).await?;
        let next = match state.next(size, root, self.clocks.cosigning_ms() / 1_000) {
            Ok(next) => next,
            Err(Never::Smaller { cosigned }) => {
                return Err(Refusal::new(Code::MalformedRequest, format!("a larger size, {cosigned}, was cosigned")));
            }
            Err(Never::OtherRoot) => {
                return Err(self.corrupt(format!("its root at size {size} isn't what it cosigned")));
            }
        };
        *state = next;
        *self.checkpointing.cosigned_last.lock() = next;
        self.store_cosigned(next).await?;
        let checkpoint = Checkpoint { origin: self.genesis.origin.clone(), size: TreeSize(size), root };
        let line = self.keys.cosign(&checkpoint, next.time_s)?;
        self.keys.refresh(size);
        Ok(Vote { root, line })
    }

    /// Waits until `size` entries are applied here.
    pub(super) async fn applied_to(&self, size: u64, until: Instant) -> Result<(), Refusal> {
        let mut applied = self.applied.clone();
        match timeout_at(until, applied.wait_for(|applied| *applied >= size)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(refuse(Code::SizeNotReached)),
        }
    }

    /// The root of a size that ends with an index commit, and extends what was cosigned before.
    async fn root_to_cosign(&self, size: u64, before: &Cosigned) -> Result<Hash, Refusal> {
        let (reader, before) = (self.reader.clone(), *before);
        let read = move || {
            let last = size.checked_sub(1).ok_or_else(|| refuse(Code::MalformedRequest))?;
            let last = reader.public_entry(LeafIndex(last)).map_err(|error| from_read(&error))?;
            if !last.is_some_and(|last| matches!(last.entry, Entry::IndexCommit(_))) {
                let message = "the last entry of a checkpoint is an index commit, and this one isn't";
                return Err(Refusal::new(Code::MalformedRequest, message));
            }
            let root_at = |size| reader.root_at(TreeSize(size)).map_err(|error| from_read(&error));
            let extends = before.size == 0 || before.size > size || root_at(before.size)? == before.root;
            Ok((root_at(size)?, extends))
        };
        let (root, extends) = self.read(read).await?;
        match extends {
            true => Ok(root),
            false => {
                Err(self.corrupt(format!("its log doesn't extend the checkpoint of size {} it cosigned", before.size)))
            }
        }
    }

    /// The own root of a size, where nothing is to be signed.
    async fn root_of(&self, size: u64, until: Instant) -> Result<Hash, Refusal> {
        self.applied_to(size, until).await?;
        self.proofs_kept(size, until).await?;
        let cosigned = *self.checkpointing.cosigned_last.lock();
        self.root_to_cosign(size, &cosigned).await
    }

    /// Verifies batch signatures until `size` or the deadline; what was done counts the next time.
    async fn verify_to(&self, state: &mut Cosigned, size: u64, until: Instant) -> Result<(), Refusal> {
        while state.verified_to < size {
            if Instant::now() >= until {
                return Err(unavailable("this node is still verifying signatures: ask again"));
            }
            let reader = self.reader.clone();
            let from = state.verified_to;
            let step = self.read(move || Ok(cosign::verify_step(&reader, from, size))).await?;
            state.verified_to = step.map_err(|error| match error {
                Unverified::Read(error) => from_read(&error),
                bad => self.corrupt(format!("its log holds what nobody signed: {bad}")),
            })?;
        }
        Ok(())
    }

    /// Returns when it is on disk: nothing that was signed may be forgotten.
    async fn store_cosigned(&self, cosigned: Cosigned) -> Result<(), Refusal> {
        let (sender, stored) = oneshot::channel();
        let notes = Arc::clone(&self.checkpointing.notes);
        let store = tokio::task::spawn_blocking(move || {
            let done = move || {
                // A caller that went away gets no signature.
                let _ = sender.send(());
            };
            cosigned.store(&*notes, Box::new(done));
        });
        let lost = || unavailable("the node is stopping: ask again");
        store.await.map_err(|_| lost())?;
        stored.await.map_err(|_| lost())
    }

    /// Asks all nodes that count to cosign `size`, and finishes the checkpoint if a majority does.
    async fn round(self: &Arc<Self>, size: u64) -> Result<Arc<Signed>, Refusal> {
        let voters = self.checkpointing.cosigners.voters(size).map_err(|error| {
            tracing::error!(%error, "whose signatures count can't be said");
            refuse(Code::Storage)
        })?;
        let mut answers = self.ask_peers(size, &voters);
        let own_root = match voters.contains(self.config.id) {
            true => None,
            // It may lead already, and not count yet or any more.
            false => Some(self.root_of(size, Instant::now() + COSIGN_WAIT).await?),
        };
        let mut tally = Tally::new(size, voters);
        let own_root = match own_root {
            Some(root) => root,
            None => {
                let own = self.cosign(size, COSIGN_WAIT).await?;
                let root = own.root;
                tally.add(self.config.id, own);
                root
            }
        };
        let mut until = Instant::now() + COSIGN_WAIT + CALL_SLACK;
        let mut lingers = false;
        while !tally.is_full() {
            if !lingers && tally.majority().is_some() {
                (lingers, until) = (true, Instant::now() + LINGER);
            }
            match timeout_at(until, answers.recv()).await {
                Ok(Some(answer)) => self.count(&mut tally, size, answer),
                Ok(None) | Err(_) => break,
            }
        }
        let Some(majority) = tally.majority() else {
            if !tally.differing(&own_root).is_empty() {
                tracing::error!(size, "the nodes have computed different roots, and none has a majority");
            }
            return Err(unavailable("no majority of nodes has cosigned: start the missing ones"));
        };
        for node in tally.differing(&majority.root()) {
            tracing::error!(node, size, "a node's root isn't the majority's: it is corrupt");
        }
        if majority.root() != own_root {
            return Err(self.corrupt(format!("a majority of nodes has another root at size {size}")));
        }
        let signed = self.finish(&majority)?;
        self.share(&signed);
        self.await_stragglers(size, majority.root(), answers);
        Ok(signed)
    }

    /// Signs with the log's key, and keeps it.
    fn finish(&self, majority: &Majority) -> Result<Arc<Signed>, Refusal> {
        let mut lines = vec![self.keys.sign_log(majority)?];
        lines.extend_from_slice(majority.lines());
        let origin = self.genesis.origin.clone();
        let checkpoint = Checkpoint { origin, size: TreeSize(majority.size()), root: majority.root() };
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a checkpoint could not be finished");
            refuse(Code::Internal)
        };
        let note = SignedNote::new(checkpoint.to_text(), lines).map_err(|error| internal(&error))?;
        let verified = self.checkpointing.cosigners.verify(&note.to_string()).map_err(|error| internal(&error))?;
        self.keep(verified)
    }

    fn count(&self, tally: &mut Tally, size: u64, (node, answer): NodeAnswer) {
        match answer {
            Ok(vote) if self.is_vote_of(node, size, &vote) => tally.add(node, vote),
            Ok(_) => {
                self.metrics.cosignatures_rejected.inc();
                tracing::error!(node, size, "a node's cosignature doesn't verify: it isn't counted");
            }
            Err(refusal) => tracing::debug!(node, size, code = refusal.code.as_str(), "a node did not cosign"),
        }
    }

    fn is_vote_of(&self, node: u64, size: u64, vote: &Vote) -> bool {
        let origin = self.genesis.origin.clone();
        let text = Checkpoint { origin, size: TreeSize(size), root: vote.root }.to_text();
        match self.checkpointing.cosigners.node(node, size) {
            Ok(Some(key)) => verified(&text, &vote.line, &key).is_some(),
            _ => false,
        }
    }

    /// Asks every peer that counts at once; the answers come as they are there.
    fn ask_peers(&self, size: u64, voters: &Voters) -> mpsc::Receiver<NodeAnswer> {
        let (sender, answers) = mpsc::channel(voters.ids().len().max(1));
        for link in self.links.iter().filter(|link| voters.contains(link.id)) {
            let (id, mut client, sender) = (link.id, link.calls.clone(), sender.clone());
            let wait_ms = u64::try_from(COSIGN_WAIT.as_millis()).expect("seconds");
            tokio::spawn(async move {
                let call = timeout(COSIGN_WAIT + CALL_SLACK, client.cosign(CosignRequest { size, wait_ms })).await;
                let vote = match call {
                    Ok(Ok(answer)) => vote(answer.into_inner()),
                    Ok(Err(_)) | Err(_) => Err(unavailable("the node doesn't answer")),
                };
                // Nobody counts any more.
                let _ = sender.send((id, vote)).await;
            });
        }
        answers
    }

    /// Adds the cosignatures of nodes that were slower than the majority.
    fn await_stragglers(self: &Arc<Self>, size: u64, root: Hash, mut answers: mpsc::Receiver<NodeAnswer>) {
        let core = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some((node, answer)) = answers.recv().await {
                let Some(core) = core.upgrade() else {
                    return;
                };
                match answer {
                    Ok(vote) if vote.root == root => core.add_lines(size, &[vote.line]),
                    Ok(_) => tracing::error!(node, size, "a node's root isn't the majority's: it is corrupt"),
                    Err(_) => {}
                }
            }
        });
    }

    /// Adds cosignatures that verify to a checkpoint that is kept, and shares it.
    pub(super) fn add_lines(&self, size: u64, lines: &[NoteSignature]) {
        let Some(kept) = self.checkpointing.kept.of_size(size) else {
            return;
        };
        let mut more = kept.verified().clone();
        let text = more.checkpoint.to_text();
        for line in lines {
            match self.checkpointing.cosigners.cosignature(&text, size, line) {
                Ok(Some(cosignature)) => {
                    super::cosigners::keep_latest(&mut more.cosignatures, cosignature, now_ms() / 1_000);
                }
                Ok(None) | Err(_) => {
                    self.metrics.cosignatures_rejected.inc();
                    tracing::warn!(size, "a cosignature doesn't verify: it is dropped");
                }
            }
        }
        if let Ok(signed) = self.keep(more)
            && signed != kept
        {
            self.share(&signed);
        }
    }

    /// Entries since the last index commit.
    fn pending(&self) -> Pending {
        // Each command tells some more patients of what was voided: commits go on until all know.
        let telling = self.reader.is_telling_of_voided().unwrap_or_default();
        Pending { any: telling || self.reader.pending_since_commit(), patients: self.reader.changed_patients() }
    }

    /// Proposes an index commit and waits for its fate.
    async fn propose_commit(&self) {
        let (sender, applied) = oneshot::channel();
        let done = move |result: Result<_, ProposeError>| {
            // Nobody waits any more.
            let _ = sender.send(result.map(drop));
        };
        let stamp = self.clocks.stamp_or_none();
        self.replica.propose(stamp.encode(commits::command()), stamp.ms, Box::new(done));
        match timeout(PROPOSE_TIMEOUT, applied).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "an index commit was not proposed"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the fate of an index commit isn't known yet"),
        }
    }
}

fn vote(answer: sillage_proto::internal::v1::CosignResponse) -> Result<Vote, Refusal> {
    if let Some(error) = answer.error {
        return Err(from_info(error));
    }
    let malformed = || refuse(Code::MalformedRequest);
    let root = Hash::from_slice(&answer.root).map_err(|_| malformed())?;
    let line = answer.line.trim_end_matches('\n').parse().map_err(|_| malformed())?;
    Ok(Vote { root, line })
}

/// While this node leads: proposes index commits.
pub(in crate::core) async fn propose_commits(core: Weak<Core>) {
    let mut last: Option<Instant> = None;
    loop {
        sleep(commits::TICK).await;
        let Some(core) = core.upgrade() else {
            return;
        };
        if core.serves_as_leader()
            && core.checkpointing.asked.is_over()
            && !core.takes_nothing()
            && commits::is_due(core.pending(), last.map(|last| last.elapsed()))
        {
            last = Some(Instant::now());
            core.propose_commit().await;
        }
    }
}

/// While this node leads: makes a checkpoint of every index commit, and cosigns the newest again when idle.
pub(in crate::core) async fn make_checkpoints(core: Weak<Core>) {
    let mut done: Option<Done> = None;
    loop {
        sleep(TICK).await;
        let Some(core) = core.upgrade() else {
            return;
        };
        core.look_at_trust();
        if !core.serves_as_leader() {
            done = None;
            continue;
        }
        let Some(newest) = core.reader.last_index_commit().map(|(commit, _)| commit.get() + 1) else {
            continue;
        };
        // What proves a new key can't be made once a larger size is cosigned.
        let Ok(before) = core.to_prove_before(newest) else {
            continue;
        };
        let size = before.unwrap_or(newest);
        let interval = Duration::from_millis(core.config.recosign_interval_ms);
        if done.as_ref().is_some_and(|done| done.size == size && done.at.elapsed() < interval) {
            continue;
        }
        match core.round(size).await {
            Ok(_) => done = Some(Done { size, at: Instant::now() }),
            Err(refusal) => {
                tracing::debug!(size, code = refusal.code.as_str(), message = refusal.message, "no checkpoint");
                drop(core);
                sleep(RETRY).await;
            }
        }
    }
}

/// The last round of this leader.
struct Done {
    size: u64,
    at: Instant,
}
