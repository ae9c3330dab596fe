//! How a prefix of tags gets a new key-encryption key: made by the leader, kept by every node, put to use by the log,
//! and then the old ones given up.

use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::seal::{TagPrefix, layout};
use sillage_ledger::{EPOCHS_AHEAD_MAX, Refusal};
use sillage_proto::internal::v1::{Command, KekStateRequest, PutKekRequest, RetireKek, Rewrap, WrappedKey};
use sillage_rules::codes::Code;

use super::erase::{Held, blocking, way_out};
use crate::core::Core;
use crate::refusals::{from_read, unavailable};

/// For one call to another node, which writes and syncs its keyring.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Data keys in one command: about 250 KiB.
const KEYS_MAX: usize = 2_000;
/// Data keys that came under the old epoch meanwhile take another pass.
const PASSES_MAX: usize = 16;

impl Core {
    /// Gives up all epochs of a prefix up to `old`: every data key that survives is wrapped under a newer one first.
    pub(super) async fn change_epoch(self: &Arc<Self>, prefix: TagPrefix, old: u32) -> Result<(), Held> {
        let epochs = self.reader.kek_epochs(prefix).map_err(|error| from_read(&error))?;
        let target = match epochs.current > old {
            // Announced by a round that was cut short.
            true => epochs.current,
            false => self.spread_new_key(prefix, old).await?,
        };
        let number = u32::from(prefix.get());
        if epochs.current < target {
            let rewrap = Some(Rewrap { keys: Vec::new(), prefix: number, epoch: target });
            self.change_keys(Command { rewrap, ..Command::default() }).await?;
        }
        for _ in 0..PASSES_MAX {
            self.rewrap_all(prefix, target).await?;
            let retire_kek = Some(RetireKek { prefix: number, epoch: target - 1 });
            match self.change_keys(Command { retire_kek, ..Command::default() }).await {
                // A data key came under the old epoch meanwhile.
                Err(refusal) if refusal.code == Code::DataKeyGone => {}
                done => return Ok(done?),
            }
        }
        Err(Held("data keys keep coming under an old epoch: a node may be far behind".into()))
    }

    /// Wraps under `target` what is wrapped under an older epoch.
    async fn rewrap_all(self: &Arc<Self>, prefix: TagPrefix, target: u32) -> Result<(), Held> {
        let mut after = None;
        loop {
            let core = Arc::clone(self);
            let rewrapped = blocking(move || core.rewrapped(prefix, after, target)).await?;
            let Some((last, keys)) = rewrapped else {
                return Ok(());
            };
            after = Some(last);
            if !keys.is_empty() {
                let rewrap = Some(Rewrap { keys, prefix: u32::from(prefix.get()), epoch: target });
                self.change_keys(Command { rewrap, ..Command::default() }).await?;
            }
        }
    }

    /// The next data keys of a prefix that are wrapped under an older epoch, wrapped anew; and the name of the last one
    /// looked at.
    #[allow(clippy::type_complexity)]
    fn rewrapped(
        &self,
        prefix: TagPrefix,
        after: Option<([u8; 32], [u8; 16])>,
        target: u32,
    ) -> Result<Option<(([u8; 32], [u8; 16]), Vec<WrappedKey>)>, Refusal> {
        let keys = self.reader.data_keys_of(prefix, after.as_ref(), KEYS_MAX).map_err(|error| from_read(&error))?;
        let Some(last) = keys.last().map(|(name, _)| *name) else {
            return Ok(None);
        };
        let old = keys.iter().filter(|(_, wrapped)| layout::epoch_of(wrapped) < Some(target));
        let new = old.map(|(name, wrapped)| self.erasing.sealer.rewrap(name, wrapped, target));
        let new = new.collect::<Result<_, _>>().map_err(|error| unavailable(error.to_string()))?;
        Ok(Some((last, new)))
    }

    /// Makes a key newer than `old` and gives it to every node; returns its epoch when all of them have it on disk.
    async fn spread_new_key(self: &Arc<Self>, prefix: TagPrefix, old: u32) -> Result<u32, Held> {
        let mut newest = self.erasing.keks.held_of(prefix).newest;
        // What is further ahead is no epoch that anyone was given.
        let bound = old.saturating_add(EPOCHS_AHEAD_MAX / 2);
        for link in self.links.iter() {
            let mut client = link.calls.clone();
            let state = tokio::time::timeout(CALL_TIMEOUT, client.kek_state(KekStateRequest {})).await;
            let Ok(Ok(state)) = state else {
                return Err(Held(format!(
                    "node {} doesn't answer: it has to keep the new key first, {}",
                    link.id,
                    way_out(link.id)
                )));
            };
            let held = state.into_inner().newest;
            let held = held.get(usize::from(prefix.get())).copied().unwrap_or(0);
            newest = if held > bound { newest } else { newest.max(held) };
        }
        // One that this node made or was given, and that not all may have. Where another node holds another key of that
        // epoch, the next one is taken.
        let own = self.erasing.keks.held_of(prefix).newest;
        if own > old && own == newest && self.spread(prefix, own).await.is_ok() {
            return Ok(own);
        }
        let epoch = newest.max(old).checked_add(1).ok_or_else(|| Held("no epoch is left".into()))?;
        let keks = Arc::clone(&self.erasing.keks);
        blocking(move || keks.make(prefix, epoch).map_err(|error| unavailable(error.to_string()))).await?;
        self.spread(prefix, epoch).await?;
        Ok(epoch)
    }

    async fn spread(&self, prefix: TagPrefix, epoch: u32) -> Result<(), Held> {
        let key = self.erasing.keks.key(prefix, epoch);
        let key = key.ok_or_else(|| Held("the new key is missing here".into()))?;
        for link in self.links.iter() {
            let request = PutKekRequest { prefix: u32::from(prefix.get()), epoch, key: key.to_vec() };
            let mut client = link.calls.clone();
            match tokio::time::timeout(CALL_TIMEOUT, client.put_kek(request)).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => {
                    return Err(Held(format!("node {} doesn't keep the new key: {}", link.id, status.message())));
                }
                Err(_) => return Err(Held(format!("node {} doesn't answer: {}", link.id, way_out(link.id)))),
            }
        }
        Ok(())
    }
}
