//! After an erasure: payloads sealed anew, epochs changed, old keys destroyed, on every node.
//!
//! Each node looks by itself whether the log has given up an epoch that it still holds, makes its database durable and
//! destroys its copy. The leader does the rest, a command at a time, from the rows of the ledger: a leader that takes
//! over goes on where the last one stopped. It waits for more erasures to come together, but never a day.
//!
//! Invariant: a key is destroyed only when the log says that nothing needs it, that can't be lost here any more, and every
//! data key that survives can be unwrapped without it, here ([`survivors`](super::survivors)).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_ledger::seal::TagPrefix;
use sillage_ledger::{CommandOutcome, OpenErasure, Refusal};
use sillage_proto::internal::v1::{Command, KekStateRequest, KekStateResponse};
use sillage_proto::v1::{ErasuresRequest, ErasuresResponse};
use sillage_rules::codes::Code;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::survivors::{self, HeldBack};
use crate::core::Core;
use crate::core::condition::alarms::Alarm;
use crate::core::membership::members;
use crate::refusals::{from_read, from_status, refuse, unavailable};

/// How often a node looks what there is to do.
const TICK: Duration = Duration::from_millis(500);
/// For one call to another node.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// For one command to be applied.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Erasures looked at in one round, and counted at most.
const OPEN_MAX: usize = 10_000;
/// Payloads in one command, in bytes.
const RESEAL_BYTES_MAX: usize = (1 << 20) - (64 << 10);
/// Commands for one patient in one round: what arrives meanwhile under an old key takes another one.
const RESEALS_MAX: usize = 10_000;
/// Version of the commands.
const COMMAND_VERSION: u32 = 2;

/// Why a round can't go on now, in plain words.
pub(in crate::core) struct Held(pub(in crate::core) String);

impl From<Refusal> for Held {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.message)
    }
}

/// Looks now and then what there is to do, until the node is gone.
pub(in crate::core) async fn run(core: Weak<Core>) {
    let Some(wake) = core.upgrade().map(|core| Arc::clone(&core.erasing.wake)) else {
        return;
    };
    loop {
        let Some(core) = core.upgrade() else { return };
        // An empty ledger says nothing of epochs that a new member could follow.
        let is_named = members::is_named(&core.config, &core.reader).unwrap_or(false);
        if is_named && let Err(error) = core.follow_epochs().await {
            tracing::error!(reason = error.message, "an erased key can't be destroyed yet");
        }
        if core.serves_as_leader() {
            core.erase_round().await;
        }
        drop(core);
        let _ = tokio::time::timeout(TICK, wake.notified()).await;
    }
}

impl Core {
    /// Destroys what the log has given up, and forgets what follows from it.
    async fn follow_epochs(self: &Arc<Self>) -> Result<(), Refusal> {
        self.erasing.sealer.forget_outdated();
        let core = Arc::clone(self);
        let work = move || {
            let renewed = core.disclosing.renew_cursors(&*core.erasing.keks, &core.reader);
            renewed.map_err(|error| unavailable(error.to_string()))?;
            let changed = core.reader.changed_keks().map_err(|error| from_read(&error))?;
            let held = |prefix| core.erasing.keks.held_of(prefix).oldest;
            let retired = changed.iter().map(|(prefix, epochs)| (*prefix, epochs.retired));
            let retired: Vec<_> = retired.filter(|(prefix, retired)| (1..=*retired).contains(&held(*prefix))).collect();
            if retired.is_empty() {
                core.show_held_back(Vec::new());
                return Ok(());
            }
            // All that was applied before they were found, so the retirement too, is durable before a key goes.
            core.reader.flush().map_err(|error| unavailable(error.to_string()))?;
            let verdict = survivors::judge(&core.reader, &core.erasing.sealer, &retired)?;
            core.show_held_back(verdict.held_back);
            let destroyed = core.erasing.keks.destroy(&verdict.safe).map_err(|error| unavailable(error.to_string()))?;
            if destroyed > 0 {
                tracing::info!(destroyed, "key-encryption keys that the log gave up were destroyed here");
            }
            Ok(())
        };
        blocking(work).await
    }

    /// Raises the alarm of keys that can't be destroyed without losing what isn't erased, or ends it. Said once.
    fn show_held_back(&self, held_back: Vec<HeldBack>) {
        let count = i64::try_from(held_back.len()).unwrap_or(i64::MAX);
        self.metrics.keks_held_back.set(count);
        let found = (count > 0).then(|| format!("of {count} prefixes; the log names them"));
        self.alarms.set(Alarm::KeysHeldBack, found);
        let mut known = self.erasing.held_back.lock();
        for held in held_back.iter().filter(|held| !known.contains(held)) {
            tracing::error!(
                prefix = held.prefix.get(),
                reason = held.reason,
                "an old key-encryption key is NOT destroyed: a data key that isn't erased could never be opened again here; \
                 compare this node's keyring with the others', and replace the node if it differs (`sillage cluster member replace ID`)"
            );
        }
        *known = held_back;
    }

    /// The leader's round, if it is time. The obstacle is kept for callers who ask.
    async fn erase_round(self: &Arc<Self>) {
        let notes = match self.erase_due().await {
            Ok(notes) => notes,
            Err(Held(note)) => vec![note],
        };
        *self.erasing.notes.lock() = notes;
    }

    async fn erase_due(self: &Arc<Self>) -> Result<Vec<String>, Held> {
        let notes = self.erase_payloads().await?;
        // After a node was removed: not because anything was erased, and so without waiting for more.
        let open = self.reader.open_erasures(OPEN_MAX).map_err(|error| from_read(&error))?;
        self.renew_epochs(&open).await?;
        Ok(notes)
    }

    async fn erase_payloads(self: &Arc<Self>) -> Result<Vec<String>, Held> {
        let open = self.open_payload_erasures()?;
        let Some(oldest_ms) = open.iter().map(|open| open.time_ms.get()).min() else {
            self.erasing.now.store(false, Ordering::Release);
            return Ok(Vec::new());
        };
        let due_ms = oldest_ms.saturating_add(self.config.erase_interval_ms);
        let wait_ms = due_ms.saturating_sub(self.now_ms());
        if !self.erasing.now.load(Ordering::Acquire) && wait_ms > 0 {
            return Ok(vec![format!("the next run is in {} minutes", wait_ms.div_ceil(60_000))]);
        }
        let tags: BTreeSet<_> = open.iter().filter(|open| !open.keys_gone).map(|open| open.tag).collect();
        for tag in tags {
            self.reseal(tag).await?;
        }
        let open = self.open_payload_erasures()?;
        let mut notes = Vec::new();
        for (prefix, epoch) in prefixes_to_change(&open) {
            if let Err(Held(note)) = self.change_epoch(prefix, epoch).await
                && !notes.contains(&note)
            {
                notes.push(note);
            }
        }
        Ok(notes)
    }

    /// Erasures of payloads that wait for their keys to go.
    fn open_payload_erasures(&self) -> Result<Vec<OpenErasure>, Refusal> {
        let mut open = self.reader.open_erasures(OPEN_MAX).map_err(|error| from_read(&error))?;
        open.retain(|open| !open.is_renewal());
        Ok(open)
    }

    /// Seals a patient's payloads anew until no data key is due.
    async fn reseal(self: &Arc<Self>, tag: [u8; 32]) -> Result<(), Held> {
        for _ in 0..RESEALS_MAX {
            let sealer = Arc::clone(&self.erasing.sealer);
            let reseal = move || sealer.reseal(&tag, RESEAL_BYTES_MAX).map_err(|error| unavailable(error.to_string()));
            let Some(reseal) = blocking(reseal).await? else {
                return Ok(());
            };
            match self.change_keys(Command { reseal: Some(reseal), ..Command::default() }).await {
                // Something came in between: what is stored now is looked at again.
                Err(refusal) if refusal.code == Code::DataKeyGone => {}
                done => done?,
            }
        }
        Err(Held("more comes for a patient than can be sealed anew: the rest follows".into()))
    }

    /// Proposes a command about keys and waits until it is applied here.
    pub(super) async fn change_keys(&self, command: Command) -> Result<(), Refusal> {
        if self.takes_nothing() {
            return Err(refuse(Code::ReadOnly));
        }
        let command = Command { version: COMMAND_VERSION, ..command };
        let (sender, done) = oneshot::channel();
        let answer = Box::new(move |result| {
            let _ = sender.send(result);
        });
        let stamp = self.clocks.stamp_or_none();
        self.replica.propose(stamp.encode(command), stamp.ms, answer);
        match tokio::time::timeout(COMMAND_TIMEOUT, done).await {
            Ok(Ok(Ok(outcomes))) => match outcomes.into_iter().next() {
                Some(CommandOutcome::Refused(refusal)) => Err(refusal),
                _ => Ok(()),
            },
            Ok(Ok(Err(_))) => Err(refuse(Code::NotLeader)),
            Ok(Err(_)) | Err(_) => Err(refuse(Code::Timeout)),
        }
    }

    /// Which epochs this node holds.
    pub fn kek_state(&self) -> KekStateResponse {
        let held = self.erasing.keks.held();
        let (oldest, newest) = held.iter().map(|held| (held.oldest, held.newest)).unzip();
        KekStateResponse { oldest, newest }
    }

    /// Keeps the key of an epoch that the leader made. It is durable when this returns.
    ///
    /// # Errors
    /// When another one is there, the epoch was given up, or the keyring can't be written.
    pub async fn put_kek(&self, prefix: TagPrefix, epoch: u32, key: Zeroizing<[u8; 32]>) -> Result<(), Refusal> {
        self.may_keep(prefix, epoch)?;
        let keks = Arc::clone(&self.erasing.keks);
        blocking(move || {
            keks.put(prefix, epoch, &key).map_err(|error| Refusal::new(Code::ActRefused, error.to_string()))
        })
        .await
    }

    /// How many erasures still wait for keys to be destroyed, and why; from whoever leads. `finish_now`: it begins at once.
    ///
    /// # Errors
    /// `NO_LEADER`, `UNAVAILABLE`.
    pub async fn erasures(self: &Arc<Self>, request: ErasuresRequest) -> Result<ErasuresResponse, Refusal> {
        let leader = self.leader().ok_or_else(|| refuse(Code::NoLeader))?;
        if leader == self.config.id {
            return self.erasures_here(request).await;
        }
        let link = self.links.get(leader).ok_or_else(|| refuse(Code::NoLeader))?;
        let answer = tokio::time::timeout(3 * CALL_TIMEOUT, link.calls.clone().erasures(request)).await;
        let answer = answer.map_err(|_| refuse(Code::Timeout))?;
        let failed = |status| from_status(&status).unwrap_or_else(|| refuse(Code::Unavailable));
        answer.map(tonic::Response::into_inner).map_err(failed)
    }

    /// The same, asked of this node, which leads.
    ///
    /// # Errors
    /// When the group can't be asked, or the ledger not read.
    pub async fn erasures_here(self: &Arc<Self>, request: ErasuresRequest) -> Result<ErasuresResponse, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        self.up_to_date().await?;
        if request.finish_now {
            if !self.erasing.now.swap(true, Ordering::AcqRel) {
                // They say when the next run would have been.
                self.erasing.notes.lock().clear();
            }
            self.erasing.wake.notify_one();
        }
        let mut waiting = self.open_payload_erasures()?.len() as u64;
        let mut notes = match waiting {
            0 => Vec::new(),
            _ => self.erasing.notes.lock().clone(),
        };
        let changed = self.reader.changed_keks().map_err(|error| from_read(&error))?;
        let retired: Vec<_> = changed.into_iter().filter(|(_, epochs)| epochs.erasures > 0).collect();
        let holding = match retired.is_empty() {
            true => BTreeMap::new(),
            false => self.oldest_epochs(&mut notes).await,
        };
        for (prefix, epochs) in retired {
            let held = holding.iter().filter(|(_, oldest)| {
                let oldest = oldest.get(usize::from(prefix.get())).copied();
                oldest.is_none_or(|oldest| (1..=epochs.retired).contains(&oldest))
            });
            let nodes: Vec<u64> = held.map(|(id, _)| *id).collect();
            if !nodes.is_empty() {
                waiting += u64::from(epochs.erasures);
            }
            for id in nodes {
                let note = format!("node {id} still has to destroy its copy of an old key");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        Ok(ErasuresResponse { waiting, notes })
    }

    /// The oldest epoch of each prefix that each node holds, as far as it is known.
    async fn oldest_epochs(&self, notes: &mut Vec<String>) -> BTreeMap<u64, Vec<u32>> {
        let calls = self.links.iter().map(|link| async move {
            let mut client = link.calls.clone();
            let call = client.kek_state(KekStateRequest {});
            (link.id, tokio::time::timeout(CALL_TIMEOUT, call).await)
        });
        let mut known = self.erasing.oldest.lock().clone();
        for (id, answer) in futures::future::join_all(calls).await {
            match answer {
                Ok(Ok(state)) => {
                    known.insert(id, state.into_inner().oldest);
                }
                _ => {
                    notes.push(format!("node {id} doesn't answer: {}", way_out(id)));
                    known.entry(id).or_default();
                }
            }
        }
        known.insert(self.config.id, self.kek_state().oldest);
        *self.erasing.oldest.lock() = known.clone();
        known
    }
}

/// Prefixes of which nothing but the epoch is in the way, with the newest epoch that must go.
pub(super) fn prefixes_to_change(open: &[OpenErasure]) -> BTreeMap<TagPrefix, u32> {
    let mut prefixes = BTreeMap::new();
    for open in open.iter().filter(|open| open.keys_gone) {
        let epoch = prefixes.entry(TagPrefix::of(&open.tag)).or_insert(0);
        *epoch = open.epoch.max(*epoch);
    }
    prefixes
}

/// The advice about a node that doesn't answer.
pub(in crate::core) fn way_out(id: u64) -> String {
    format!("start it, or replace it (`sillage cluster member replace {id}`)")
}

/// Off the threads that serve calls: unwrapping, sealing and fsync take their time.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(refuse(Code::Internal)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::{LeafIndex, LedgerTimeMs};

    #[test]
    fn a_prefix_changes_once_for_all_of_its_patients_when_their_keys_are_gone() {
        let open = |first: u8, keys_gone, epoch| OpenErasure {
            index: LeafIndex(1),
            tag: [first; 32],
            time_ms: LedgerTimeMs(1),
            keys_gone,
            epoch,
        };
        let prefixes = prefixes_to_change(&[open(1, true, 2), open(1, true, 3), open(1, false, 9), open(2, false, 1)]);
        assert_eq!(prefixes.into_iter().collect::<Vec<_>>(), [(TagPrefix::of(&[1; 32]), 3)]);
    }
}
