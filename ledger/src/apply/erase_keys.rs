//! The work after an erasure, as commands of the leader: payloads under a new data key, data keys under a newer epoch, and
//! an epoch given up.
//!
//! Such a command stands alone, so that all it looks at is stored. Each either does all that it says, or is refused and
//! does nothing. Invariants: no payload comes back that was erased; no key goes under which a payload or a data key is
//! still sealed. So whatever the order in which these commands and batches come, nothing becomes unreadable that wasn't
//! erased.

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::{Command, Reseal, Resealed, RetireKek, Rewrap};
use sillage_rules::codes::Code;

use super::{Applier, CommandOutcome, check, erase};
use crate::envelope::layout;
use crate::envelope::vault::{Vault, VaultError};
use crate::error::{Fatal, ReadError, Refusal, Stop};
use crate::overlay::Overlay;
use crate::overlay::erasing::{EPOCHS_AHEAD_MAX, OpenErasure};
use crate::schema::{self, DATA_KEY_ID_LEN, DataKeyName, Family, TAG_LEN, TagPrefix};

/// Rows read at once.
const CHUNK_ROWS: usize = 1_024;

fn malformed(what: &str) -> Stop {
    Refusal::new(Code::MalformedRequest, what).into()
}

fn gone(what: &str) -> Stop {
    Refusal::new(Code::DataKeyGone, format!("{what}: seal again")).into()
}

/// Tells whether the command changes keys, and so must be nothing else.
pub(super) fn is_about_keys(command: &Command) -> bool {
    command.reseal.is_some() || command.rewrap.is_some() || command.retire_kek.is_some()
}

impl Applier<'_> {
    /// Performs a command for which [`is_about_keys`] holds: one outcome.
    pub(super) fn change_keys(&mut self, command: &Command) -> Result<CommandOutcome, Fatal> {
        let parts = [command.reseal.is_some(), command.rewrap.is_some(), command.retire_kek.is_some()];
        let others = !command.batches.is_empty()
            || !command.ledger_records.is_empty()
            || !command.decisions.is_empty()
            || command.index_commit;
        let done = match (&command.reseal, &command.rewrap, &command.retire_kek) {
            _ if others || parts.iter().filter(|part| **part).count() != 1 => {
                Err(malformed("a command that changes keys stands alone"))
            }
            (Some(reseal), _, _) => self.reseal(reseal),
            (_, Some(rewrap), _) => self.rewrap(rewrap),
            (_, _, Some(retire)) => self.retire(retire),
            (None, None, None) => Err(malformed("no key is named")),
        };
        match done {
            Ok(()) => {
                self.overlay.keys_changed = true;
                Ok(CommandOutcome::KeysChanged)
            }
            Err(stop) => {
                self.stats.refused();
                Ok(CommandOutcome::Refused(stop.refusal()?))
            }
        }
    }

    fn reseal(&mut self, reseal: &Reseal) -> Result<(), Stop> {
        let tag = <[u8; TAG_LEN]>::try_from(&reseal.tag[..]).map_err(|_| malformed("a tag is 32 bytes"))?;
        let new_keys = check::wrapped_keys(&reseal.new_keys)?;
        if new_keys.iter().any(|((of, _), _)| *of != tag) {
            return Err(malformed("a new data key is another patient's"));
        }
        check_new_keys(&self.overlay, &self.rules.caches.vault, &new_keys)?;
        let mut due: BTreeSet<_> = self.overlay.due_keys(&tag)?.into_iter().collect();
        let mut known: BTreeSet<_> = new_keys.iter().map(|((_, id), _)| *id).collect();
        let mut put: BTreeMap<LeafIndex, &Resealed> = BTreeMap::new();
        let mut skipped = Vec::new();
        for payload in &reseal.payloads {
            let index = LeafIndex(payload.index);
            if put.last_key_value().is_some_and(|(last, _)| *last >= index) {
                return Err(malformed("payloads come in the order of their entries"));
            }
            let id = layout::data_key_id(&payload.payload).ok_or_else(|| malformed("a payload isn't sealed"))?;
            if due.contains(&id) {
                return Err(gone("a payload is sealed under a key that is to be given up"));
            }
            if !known.contains(&id) && !self.overlay.has_data_key(&(tag, id))? {
                return Err(gone("a payload's data key isn't on record"));
            }
            known.insert(id);
            match self.stored_payload(&tag, index)? {
                // What isn't sealed under a due key has nothing to be sealed again for: it could only be lost by it.
                Some((_, stored)) if !due.contains(&stored) => {
                    return Err(gone("a payload isn't sealed under a key that is to be given up"));
                }
                Some((len, _)) if len == payload.payload.len() => {
                    // What decides, and what a patient wants to read, must not be lost by sealing it again.
                    let new = |id: &_| wrapped_of(&new_keys, &(tag, *id));
                    if !self.rules.is_same(&self.overlay, index, &payload.payload, new)? {
                        return Err(malformed("a payload isn't what its entry commits to"));
                    }
                    put.insert(index, payload);
                }
                Some(_) => return Err(malformed("a payload has another length than before")),
                // Erased since this was made: it must not come back, and this command is one more copy of it.
                None => skipped.push((index, id)),
            }
        }
        let given_up = given_up(reseal)?;
        if given_up.iter().any(|id| !due.contains(id)) {
            return Err(malformed("only a due data key is given up"));
        }
        if !given_up.is_empty() {
            self.check_unused(&tag, &given_up, &put)?;
        }
        if !put.is_empty() {
            for (name, wrapped) in &new_keys {
                self.overlay.insert_data_key(*name, wrapped)?;
            }
        }
        let family = self.store.family(Family::Payload);
        for (index, payload) in &put {
            self.writes.put_cf(family, schema::index_key(index.get()), &payload.payload);
        }
        for (index, id) in skipped {
            self.reopen(&tag, index)?;
            if self.overlay.has_data_key(&(tag, id))? {
                due.insert(id);
            }
        }
        let open = self.overlay.open_erasures(TagPrefix::of(&tag))?;
        let by = open.iter().filter(|open| open.tag == tag).map(|open| open.index).max();
        for id in &given_up {
            due.remove(id);
            let by = by.ok_or_else(|| ReadError::Damaged("a data key is due without an erasure".into()))?;
            self.overlay.give_up_key((tag, *id), by);
        }
        let due: Vec<_> = due.into_iter().collect();
        self.overlay.set_due_keys(&tag, &due);
        if due.is_empty() {
            self.overlay.close_due(&tag)?;
        }
        Ok(())
    }

    /// Length of the sealed payload of an entry of this patient; `None` where it was erased.
    fn stored_payload(
        &self,
        tag: &[u8; TAG_LEN],
        index: LeafIndex,
    ) -> Result<Option<(usize, [u8; DATA_KEY_ID_LEN])>, Stop> {
        let row = self.store.get(Family::Patient, &schema::patient_key(tag, index.get())).map_err(ReadError::from)?;
        let row = row.ok_or_else(|| malformed("a payload is another patient's"))?;
        if !erase::is_erasable_row(&row)? {
            return Err(malformed("the payload of an act isn't sealed"));
        }
        let payload = self.store.get(Family::Payload, &schema::index_key(index.get())).map_err(ReadError::from)?;
        let Some(payload) = payload else { return Ok(None) };
        match layout::data_key_id(&payload) {
            Some(id) => Ok(Some((payload.len(), id))),
            None => Err(malformed("this payload isn't sealed")),
        }
    }

    /// A copy of an erased payload turned up: its erasure waits for keys again.
    fn reopen(&mut self, tag: &[u8; TAG_LEN], index: LeafIndex) -> Result<(), ReadError> {
        let erasure = self.overlay.erasure_of(tag, index)?;
        let by = erasure.ok_or_else(|| ReadError::Damaged(format!("the payload of entry {index} is missing")))?;
        let epoch = self.overlay.kek_epochs(TagPrefix::of(tag))?.current;
        let open = OpenErasure { index: by.index, tag: *tag, time_ms: by.time_ms, keys_gone: false, epoch };
        self.overlay.put_open(&open);
        Ok(())
    }

    /// Refuses to give up a key under which a payload will still be sealed.
    fn check_unused(
        &self,
        tag: &[u8; TAG_LEN],
        given_up: &BTreeSet<[u8; DATA_KEY_ID_LEN]>,
        put: &BTreeMap<LeafIndex, &Resealed>,
    ) -> Result<(), Stop> {
        let family = self.store.family(Family::Payload);
        for index in erase::erasable_rows(self.store, tag)? {
            if put.contains_key(&index) {
                continue;
            }
            let payload = self.store.db().get_pinned_cf(family, schema::index_key(index.get()));
            let payload = payload.map_err(ReadError::from)?;
            let id = payload.as_ref().and_then(|payload| layout::data_key_id(payload));
            if id.is_some_and(|id| given_up.contains(&id)) {
                return Err(gone("a payload is still sealed under a data key that would be given up"));
            }
        }
        Ok(())
    }

    fn rewrap(&mut self, rewrap: &Rewrap) -> Result<(), Stop> {
        let prefix = prefix(rewrap.prefix)?;
        let mut epochs = self.overlay.kek_epochs(prefix)?;
        if rewrap.epoch < epochs.current || rewrap.epoch <= epochs.retired {
            return Err(malformed("the epoch is older than the present one"));
        }
        if rewrap.epoch > epochs.current.saturating_add(EPOCHS_AHEAD_MAX) {
            return Err(malformed("the epoch is far ahead of the present one"));
        }
        for (name, wrapped) in check::wrapped_keys(&rewrap.keys)? {
            if TagPrefix::of(&name.0) != prefix || layout::epoch_of(wrapped) != Some(rewrap.epoch) {
                return Err(malformed("a data key is of another prefix or epoch"));
            }
            match self.overlay.data_key(&name)? {
                Some(stored) if layout::epoch_of(&stored) < Some(rewrap.epoch) => {
                    let same = self.rules.caches.vault.is_same_key(&name, &stored, wrapped);
                    if !same.map_err(Stop::Kek)? {
                        return Err(malformed("a data key isn't the one that was wrapped before"));
                    }
                    self.overlay.replace_data_key(name, wrapped);
                }
                Some(_) => {}
                None => self.key_turned_up(&name, rewrap.epoch)?,
            }
        }
        epochs.current = rewrap.epoch;
        self.overlay.set_kek_epochs(prefix, &epochs);
        Ok(())
    }

    /// A data key was given up after this command was made, which now is one more copy of it, wrapped under `epoch`: that
    /// epoch has to go too.
    fn key_turned_up(&mut self, name: &DataKeyName, epoch: u32) -> Result<(), ReadError> {
        let Some(index) = self.overlay.gone_by(name)? else {
            return Ok(());
        };
        let open = self.overlay.open_erasures(TagPrefix::of(&name.0))?;
        let known = open.into_iter().find(|open| open.index == index);
        let mut open = known.unwrap_or(OpenErasure { index, tag: name.0, time_ms: self.time, keys_gone: true, epoch });
        open.epoch = open.epoch.max(epoch);
        self.overlay.put_open(&open);
        Ok(())
    }

    fn retire(&mut self, retire: &RetireKek) -> Result<(), Stop> {
        let prefix = prefix(retire.prefix)?;
        let mut epochs = self.overlay.kek_epochs(prefix)?;
        if retire.epoch >= epochs.current {
            return Err(malformed("the present epoch can't be given up"));
        }
        if retire.epoch <= epochs.retired {
            return Ok(());
        }
        let mut after: Option<DataKeyName> = None;
        loop {
            let rows = self.store.data_keys_of(prefix, after.as_ref(), CHUNK_ROWS)?;
            if rows.iter().any(|(_, wrapped)| layout::epoch_of(wrapped) <= Some(retire.epoch)) {
                return Err(gone("a data key is still wrapped under an epoch that would be given up"));
            }
            match rows.last() {
                Some((name, _)) => after = Some(*name),
                None => break,
            }
        }
        let mut closed = self.overlay.open_erasures(prefix)?;
        closed.retain(|open| open.keys_gone && open.epoch <= retire.epoch);
        for open in &closed {
            self.overlay.set_erase_row(crate::overlay::erasing::open_row(prefix, open.index), None);
        }
        epochs.retired = retire.epoch;
        let erasures = closed.iter().filter(|open| !open.is_renewal()).count();
        // Where a removed node was the only reason, whoever waits for an erasure of before still waits for that one.
        if erasures > 0 || closed.is_empty() {
            epochs.erasures = u32::try_from(erasures).unwrap_or(u32::MAX);
        }
        self.overlay.set_kek_epochs(prefix, &epochs);
        Ok(())
    }
}

fn wrapped_of(keys: &[(DataKeyName, &[u8])], name: &DataKeyName) -> Option<Vec<u8>> {
    keys.iter().find(|(known, _)| known == name).map(|(_, wrapped)| wrapped.to_vec())
}

fn prefix(number: u32) -> Result<TagPrefix, Stop> {
    let number = u16::try_from(number).ok();
    number.and_then(TagPrefix::new).ok_or_else(|| malformed("a prefix is below 4,096"))
}

fn given_up(reseal: &Reseal) -> Result<BTreeSet<[u8; DATA_KEY_ID_LEN]>, Stop> {
    let ids = reseal.gone_data_key_ids.iter().map(|id| id[..].try_into().ok());
    ids.collect::<Option<_>>().ok_or_else(|| malformed("a data key's id is 16 bytes"))
}

/// Tells whether new data keys may come on record: a key that was given up must not come back, and one wrapped under an epoch
/// that was given up could never be opened, nor one that is no key at all.
pub(crate) fn check_new_keys(overlay: &Overlay<'_>, vault: &Vault, keys: &[(DataKeyName, &[u8])]) -> Result<(), Stop> {
    for (name, wrapped) in keys {
        if overlay.is_gone(name)? {
            return Err(gone("a data key was given up"));
        }
        let epochs = overlay.kek_epochs(TagPrefix::of(&name.0))?;
        if layout::epoch_of(wrapped) <= Some(epochs.retired) {
            return Err(gone("a new data key is wrapped under an epoch that was given up"));
        }
        vault.check_key(name, wrapped, epochs).map_err(|error| match error {
            VaultError::Unreadable => malformed("a new data key can't be unwrapped"),
            VaultError::Kek(error) => Stop::Kek(error),
        })?;
    }
    Ok(())
}
