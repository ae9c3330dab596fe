//! New keys of the group when a node leaves it: the log's next key, and a new epoch of every prefix.
//!
//! A node that was removed keeps its disk until somebody destroys it. So that what it holds is worth nothing for what
//! comes, the leader makes the log's next key and gives it to those that stay, before the authority puts it in force; and
//! the act itself opens a row for each prefix, from which whoever leads changes all epochs (`erase`, `epochs`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use prost::Message as _;
use sillage_ledger::seal::TagPrefix;
use sillage_ledger::{OpenErasure, Refusal};
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{
    GiveKeysRequest, KekStateRequest, NodeKeys, PutKekRequest, PutKeksRequest, PutLogKeyRequest,
};
use sillage_rules::codes::Code;
use sillage_rules::node_set::majority;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::erase::{Held, blocking, prefixes_to_change, way_out};
use crate::core::Core;
use crate::init::files;
use crate::join::sealed::Asking;
use crate::refusals::{from_read, refuse, unavailable};
use crate::secrets;

/// For one call to another node, which writes and syncs a file.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Prefixes whose epochs change at once, each by a few commands in the log.
const EPOCHS_AT_ONCE: usize = 8;
/// Between two questions for a key of the log that nobody may have.
const LOG_KEY_EVERY: Duration = Duration::from_secs(10);
/// Prefixes of one round.
const RENEWALS_AT_ONCE: usize = 256;

impl Core {
    /// Gives the log's next key to every node but `leaving`. Those that don't answer fetch it when they are back; a majority
    /// must have it now.
    ///
    /// # Errors
    /// `UNAVAILABLE` without that majority, or when the key can't be written.
    pub(in crate::core) async fn spread_log_key(&self, key: &SigningKey, leaving: u64) -> Result<(), Refusal> {
        self.put_log_key(&key.to_seed()[..])?;
        let set = self.reader.node_set().map_err(|error| from_read(&error))?;
        let stay: BTreeSet<u64> = set.voters.iter().copied().filter(|id| *id != leaving).collect();
        let calls = self.links.iter().filter(|link| link.id != leaving).map(|link| {
            let request = PutLogKeyRequest { seed: key.to_seed().to_vec() };
            async move { (link.id, timeout(CALL_TIMEOUT, link.calls.clone().put_log_key(request)).await) }
        });
        let mut hold = BTreeSet::from([self.config.id]);
        for (id, answer) in futures::future::join_all(calls).await {
            match answer {
                Ok(Ok(_)) => drop(hold.insert(id)),
                _ => tracing::warn!(node = id, "doesn't take the log's next key now: it fetches it later"),
            }
        }
        match hold.intersection(&stay).count() >= majority(stay.len()) {
            true => Ok(()),
            false => Err(unavailable(
                "no majority of the nodes that stay takes the log's next key: start them, and ask again",
            )),
        }
    }

    /// Keeps a key of the log. It is durable when this returns; the same again is no error.
    ///
    /// # Errors
    /// When it isn't a seed, this node doesn't sign for the log, or the file can't be written.
    pub fn put_log_key(&self, seed: &[u8]) -> Result<(), Refusal> {
        let seed = <[u8; 32]>::try_from(seed).map(Zeroizing::new);
        let seed = seed.map_err(|_| Refusal::new(Code::MalformedRequest, "a seed is 32 bytes"))?;
        let key = SigningKey::from_seed(&seed);
        // A node that must not sign for the log keeps no key of it.
        let Some(path) = &self.config.log_key else { return Ok(()) };
        let path = secrets::beside(path, &key.public_key());
        if !path.exists() {
            let written = files::seed(&path, &key).map_err(|error| unavailable(error.to_string()));
            written?;
            let folder = path.parent().map(std::fs::File::open);
            let synced = folder.map(|folder| folder.and_then(|folder| folder.sync_all()));
            synced.transpose().map_err(|error| unavailable(error.to_string()))?;
        }
        self.keys.add_log_key(key);
        Ok(())
    }

    /// Where the log's key in force isn't here, because this node was away when it was given out: asks the others.
    pub(in crate::core) async fn fetch_log_key(&self) {
        if self.config.log_key.is_none() || self.keys.in_force().1 || self.check_sound().is_err() {
            return;
        }
        let before = self.erasing.asked_for_log_key.lock().replace(Instant::now());
        if before.is_some_and(|before| before.elapsed() < LOG_KEY_EVERY) {
            *self.erasing.asked_for_log_key.lock() = before;
            return;
        }
        for link in self.links.iter() {
            let Some(node_key) = self.keys.node_key() else { return };
            let Ok(asking) = Asking::new(&self.genesis.origin, self.config.id, &node_key) else { return };
            let request = GiveKeysRequest {
                node: self.config.id,
                public_key: asking.public_key().to_vec(),
                signature: asking.signature().to_vec(),
            };
            let Ok(Ok(answer)) = timeout(CALL_TIMEOUT, link.calls.clone().give_keys(request)).await else {
                continue;
            };
            let answer = answer.into_inner();
            let text = asking.open(&answer.public_key, &answer.sealed);
            let Some(keys) = text.ok().and_then(|text| NodeKeys::decode(&text[..]).ok()) else { continue };
            let kept = keys.log_keys.iter().filter(|seed| self.put_log_key(seed).is_ok()).count();
            if kept > 0 && self.keys.in_force().1 {
                tracing::info!(giver = link.id, "the log's key in force is here now");
                return;
            }
        }
    }

    /// Keeps many keys that the leader made. They are durable when this returns.
    ///
    /// # Errors
    /// As [`Core::put_kek`], for any of them: then none is kept.
    pub async fn put_keks(&self, keys: Vec<(TagPrefix, u32, Zeroizing<[u8; 32]>)>) -> Result<(), Refusal> {
        for (prefix, epoch, _) in &keys {
            self.may_keep(*prefix, *epoch)?;
        }
        let keks = Arc::clone(&self.erasing.keks);
        blocking(move || keks.put_all(&keys).map_err(|error| Refusal::new(Code::ActRefused, error.to_string()))).await
    }

    /// Gives every prefix a new epoch that waits for one because a node was removed.
    pub(super) async fn renew_epochs(self: &Arc<Self>, open: &[OpenErasure]) -> Result<(), Held> {
        let renewals: Vec<OpenErasure> = open.iter().filter(|open| open.is_renewal()).cloned().collect();
        if renewals.is_empty() {
            return Ok(());
        }
        // A part at a time, so that an erasure that somebody waits for comes in between.
        let all = prefixes_to_change(&renewals);
        let prefixes: Vec<(TagPrefix, u32)> =
            all.iter().take(RENEWALS_AT_ONCE).map(|(name, old)| (*name, *old)).collect();
        if all.len() == usize::from(TagPrefix::COUNT) {
            tracing::info!("a node was removed: giving up the key-encryption keys that it holds");
        }
        self.spread_new_keys(&prefixes).await?;
        let changes = prefixes.into_iter().map(|(prefix, epoch)| self.change_epoch(prefix, epoch));
        let mut changes = futures::stream::iter(changes).buffer_unordered(EPOCHS_AT_ONCE);
        while let Some(changed) = changes.next().await {
            changed?;
        }
        if all.len() <= RENEWALS_AT_ONCE {
            tracing::info!("the key-encryption keys that the removed node holds are given up");
        }
        Ok(())
    }

    /// Makes, for each of these prefixes, a key newer than the epoch that must go, and gives them to every node at once:
    /// what `change_epoch` would do one by one, which takes minutes for all prefixes.
    pub(super) async fn spread_new_keys(self: &Arc<Self>, prefixes: &[(TagPrefix, u32)]) -> Result<(), Held> {
        let mut newest = self.erasing.keks.held();
        for link in self.links.iter() {
            let call = timeout(CALL_TIMEOUT, link.calls.clone().kek_state(KekStateRequest {})).await;
            let Ok(Ok(state)) = call else {
                return Err(Held(format!(
                    "node {} doesn't answer: it has to keep the new keys first, {}",
                    link.id,
                    way_out(link.id)
                )));
            };
            for (known, theirs) in newest.iter_mut().zip(state.into_inner().newest) {
                known.newest = known.newest.max(theirs);
            }
        }
        let mut wanted = Vec::new();
        for (prefix, old) in prefixes {
            let current = self.reader.kek_epochs(*prefix).map_err(|error| from_read(&error))?.current;
            let own = self.erasing.keks.held_of(*prefix).newest;
            let known = newest[usize::from(prefix.get())].newest;
            // Announced by a round that was cut short, or made by one: that one goes on.
            if current > *old || (own > *old && own == known) {
                wanted.push((*prefix, current.max(own)));
            } else {
                wanted.push((*prefix, known.max(*old) + 1));
            }
        }
        let keks = Arc::clone(&self.erasing.keks);
        let to_make = wanted.clone();
        blocking(move || keks.make_all(&to_make).map_err(|error| unavailable(error.to_string()))).await?;
        let key = |(prefix, epoch): &(TagPrefix, u32)| {
            let key = self.erasing.keks.key(*prefix, *epoch)?;
            Some(PutKekRequest { prefix: u32::from(prefix.get()), epoch: *epoch, key: key.to_vec() })
        };
        let keys: Vec<PutKekRequest> = wanted.iter().filter_map(key).collect();
        for link in self.links.iter() {
            let request = PutKeksRequest { keys: keys.clone() };
            match timeout(CALL_TIMEOUT, link.calls.clone().put_keks(request)).await {
                Ok(Ok(_)) => {}
                // It holds another key of one of these epochs: each prefix for itself finds a newer one.
                Ok(Err(status)) => tracing::warn!(node = link.id, %status, "doesn't keep the new keys together"),
                Err(_) => return Err(Held(format!("node {} doesn't answer: {}", link.id, way_out(link.id)))),
            }
        }
        Ok(())
    }

    /// Tells whether the key of an epoch may be kept here.
    pub(super) fn may_keep(&self, prefix: TagPrefix, epoch: u32) -> Result<(), Refusal> {
        let epochs = self.reader.kek_epochs(prefix).map_err(|error| from_read(&error))?;
        if epoch <= epochs.retired {
            return Err(Refusal::new(Code::ActRefused, "this epoch was given up: take a newer one"));
        }
        if epoch > epochs.current.saturating_add(sillage_ledger::EPOCHS_AHEAD_MAX) {
            return Err(Refusal::new(Code::ActRefused, "this epoch is far ahead of the present one"));
        }
        if epoch == 0 {
            return Err(refuse(Code::MalformedRequest));
        }
        Ok(())
    }
}
