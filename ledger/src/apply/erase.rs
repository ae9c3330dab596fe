//! Erasing as an act: which payloads go, and what is noted so that every copy of them dies.
//!
//! The act deletes the payloads and leaves the entries: no hash changes. One record: all data keys that its patient has
//! become *due*, because copies of the payload in old places may be sealed under any of them; the leader seals the other
//! payloads anew and gives the due keys up ([`super::erase_keys`]). A whole patient: its data keys go at once.

use rocksdb::WriteBatch;
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::consent::PatientState;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::{ERASE_RETENTION_MIN_MS, RETENTION};
use sillage_rules::roles::Roles;

use super::Applier;
use super::check::{Content, Record, Shape};
use super::feature::CLAIMS;
use crate::consent::Rules;
use crate::envelope::is_sealed;
use crate::error::{ReadError, Refusal, Stop};
use crate::overlay::erasing::{Erasure, OpenErasure, gone_row, index_row, patient_row};
use crate::overlay::{Overlay, PlannedErasure};
use crate::schema::{self, DataKeyName, Family, TAG_LEN, TagPrefix};
use crate::store::Store;

/// Checks the erasure in `record`, whose entry will be `index`, and plans it.
pub(super) fn plan(
    overlay: &mut Overlay<'_>,
    rules: &mut Rules<'_>,
    shape: &Shape<'_>,
    record: &Record<'_>,
    roles: Roles,
    (index, time_ms): (LeafIndex, LedgerTimeMs),
) -> Result<(), Stop> {
    let Content::Act(act) = &record.content else { return Ok(()) };
    let Act::Erased { indices, ground } = &**act else { return Ok(()) };
    if !roles.contains(Roles::AUTHORITY) {
        return Err(Refusal::new(Code::NotEntitled, "only the authority may erase").into());
    }
    if !shape.records.iter().all(|record| record.kind.is_act()) {
        // What comes after it in the batch would be sealed under a key that goes with it.
        return Err(Refusal::new(Code::ActRefused, "an erasure stands in a batch of acts alone").into());
    }
    let older_than = is_retention(ground).then_some(time_ms);
    let by = Erasure { index, time_ms, ground: ground.clone() };
    match indices.is_empty() {
        true => check_patient(overlay, &record.tag, older_than)?,
        false => {
            check_records(overlay, &record.tag, indices, older_than)?;
            check_over(overlay, rules, &record.tag, indices, time_ms)?;
        }
    }
    overlay.registry.erasures.push(PlannedErasure { tag: record.tag, indices: indices.clone(), by });
    Ok(())
}

/// The first word says so.
fn is_retention(ground: &str) -> bool {
    ground.strip_prefix(RETENTION).is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
}

fn not_erasable(what: String) -> Stop {
    Refusal::new(Code::NotErasable, format!("{what}: name records of this patient that can be erased")).into()
}

fn check_age(entry: &RecordEntry, older_than: Option<LedgerTimeMs>) -> Result<(), Stop> {
    let Some(now) = older_than else { return Ok(()) };
    if entry.time.get().saturating_add(ERASE_RETENTION_MIN_MS) <= now.get() {
        return Ok(());
    }
    let what = format!(
        "entry {} is younger than three years: what is kept for its time can't be erased before, other grounds are by order",
        entry.index
    );
    Err(Refusal::new(Code::RetentionTooEarly, what).into())
}

fn check_records(
    overlay: &Overlay<'_>,
    tag: &[u8; TAG_LEN],
    indices: &[LeafIndex],
    older_than: Option<LedgerTimeMs>,
) -> Result<(), Stop> {
    for index in indices {
        let unknown = || Refusal::new(Code::UnknownIndex, format!("no entry {index} was recorded before"));
        let entry = entry(overlay.store(), *index)?.ok_or_else(unknown)?;
        let Entry::Record(entry) = entry else {
            return Err(not_erasable(format!("entry {index} isn't a record")));
        };
        if entry.tag != *tag {
            return Err(not_erasable(format!("entry {index} isn't this patient's")));
        }
        if !is_sealed(entry.kind, entry.flags) {
            return Err(not_erasable(format!("entry {index} is an act or a reading of the log, which aren't sealed")));
        }
        let planned = overlay.registry.erasures.iter();
        let planned = planned.filter(|plan| plan.tag == *tag);
        let twice = planned.clone().any(|plan| plan.indices.is_empty() || plan.indices.contains(index));
        if twice || overlay.erasure_of(tag, *index)?.is_some() {
            return Err(not_erasable(format!("entry {index} is erased already")));
        }
        check_age(&entry, older_than)?;
    }
    Ok(())
}

/// A record whose effect is in force stays: without it, its patient would be decided on otherwise.
fn check_over(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    tag: &[u8; TAG_LEN],
    indices: &[LeafIndex],
    now: LedgerTimeMs,
) -> Result<(), Stop> {
    for index in indices {
        let row = overlay.row(Family::Rule, &schema::patient_key(tag, index.get()))?;
        let claims = rules.has_reached(CLAIMS);
        let lasts = |state: &PatientState| state.is_in_force(*index, now) || claims && state.proves_space(*index);
        if row.is_some() && lasts(rules.state(overlay, tag)?) {
            let what = format!(
                "entry {index} decides, and its effect lasts: revoke or lift it first, or erase the patient; else"
            );
            return Err(not_erasable(what));
        }
    }
    Ok(())
}

/// At least one payload is there; for retention, none is too young.
fn check_patient(overlay: &Overlay<'_>, tag: &[u8; TAG_LEN], older_than: Option<LedgerTimeMs>) -> Result<(), Stop> {
    if overlay.registry.erasures.iter().any(|plan| plan.tag == *tag && plan.indices.is_empty()) {
        return Err(not_erasable("the patient is erased by the same batch".into()));
    }
    let last = overlay.patient_erasure(tag)?.map_or(0, |erasure| erasure.index.get());
    let mut found = false;
    for index in erasable_rows(overlay.store(), tag)?.into_iter().filter(|index| index.get() > last) {
        if overlay.erase_row(&index_row(index))?.is_some() {
            continue;
        }
        found = true;
        if older_than.is_none() {
            break;
        }
        if let Some(Entry::Record(entry)) = entry(overlay.store(), index)? {
            check_age(&entry, older_than)?;
        }
    }
    match found {
        true => Ok(()),
        false => Err(not_erasable("nothing of this patient is left to erase".into())),
    }
}

fn entry(store: &Store, index: LeafIndex) -> Result<Option<Entry>, ReadError> {
    let bytes = store.get(Family::Entries, &schema::index_key(index.get()))?;
    let entry = bytes.map(|bytes| Entry::decode(&bytes)).transpose();
    entry.map_err(|error| ReadError::Damaged(format!("entry {index}: {error}")))
}

/// Tells whether a row of the patients' index is of an entry whose payload is sealed, or was.
pub(super) fn is_erasable_row(row: &[u8]) -> Result<bool, ReadError> {
    let [k1, k0, f1, f0] = *row else { return Err(damaged()) };
    let kind = Kind::from_code(u32::from(u16::from_be_bytes([k1, k0]))).map_err(|_| damaged())?;
    let flags = Flags::from_bits(u16::from_be_bytes([f1, f0])).map_err(|_| damaged())?;
    Ok(is_sealed(kind, flags))
}

fn damaged() -> ReadError {
    ReadError::Damaged("a row of the patients' index can't be read".into())
}

/// Stored entries of a patient whose payloads are sealed, or were; in order.
pub(super) fn erasable_rows(store: &Store, tag: &[u8; TAG_LEN]) -> Result<Vec<LeafIndex>, ReadError> {
    let rows = store.scan(Family::Patient, tag, None, usize::MAX)?;
    let mut out = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        if is_erasable_row(&row)? {
            let index = key.get(TAG_LEN..).and_then(|index| index.try_into().ok()).map(u64::from_be_bytes);
            out.push(LeafIndex(index.ok_or_else(damaged)?));
        }
    }
    Ok(out)
}

impl Applier<'_> {
    /// Does what was planned for the batch that was just recorded.
    pub(super) fn erase_planned(&mut self) -> Result<(), ReadError> {
        for plan in std::mem::take(&mut self.overlay.registry.erasures) {
            match plan.indices.is_empty() {
                true => self.erase_patient(&plan)?,
                false => self.erase_records(&plan)?,
            }
            self.overlay.keys_changed = true;
            self.rules.erased(&plan.tag, plan.indices.is_empty());
        }
        for by in std::mem::take(&mut self.overlay.registry.removals) {
            self.renew_every_epoch(by)?;
        }
        Ok(())
    }

    /// A node that holds the keyring is gone: each prefix waits for an epoch that it doesn't hold.
    fn renew_every_epoch(&mut self, by: LeafIndex) -> Result<(), ReadError> {
        for prefix in (0..TagPrefix::COUNT).filter_map(TagPrefix::new) {
            let epoch = self.overlay.kek_epochs(prefix)?.current;
            self.overlay.put_open(&OpenErasure::renewal(prefix, epoch, by, self.time));
        }
        Ok(())
    }

    fn erase_records(&mut self, plan: &PlannedErasure) -> Result<(), ReadError> {
        for index in &plan.indices {
            delete_payload(self.store, &mut self.writes, *index);
            self.overlay.set_erase_row(index_row(*index), Some(plan.by.encode()));
        }
        let keys = self.overlay.data_key_ids(&plan.tag)?;
        self.overlay.set_due_keys(&plan.tag, &keys);
        self.put_open(plan, keys.is_empty())
    }

    fn erase_patient(&mut self, plan: &PlannedErasure) -> Result<(), ReadError> {
        let mut indices = erasable_rows(self.store, &plan.tag)?;
        indices.extend(self.pending_of(&plan.tag));
        for index in indices {
            delete_payload(self.store, &mut self.writes, index);
        }
        let row = patient_row(&plan.tag, plan.by.index);
        self.overlay.set_erase_row(row, Some(plan.by.encode()));
        for id in self.overlay.data_key_ids(&plan.tag)? {
            self.overlay.give_up_key((plan.tag, id), plan.by.index);
        }
        self.overlay.set_due_keys(&plan.tag, &[]);
        self.overlay.close_due(&plan.tag)?;
        self.put_open(plan, true)
    }

    fn put_open(&mut self, plan: &PlannedErasure, keys_gone: bool) -> Result<(), ReadError> {
        // A command under way may still carry what goes, under a key wrapped under any epoch up to the present one.
        let epoch = self.overlay.kek_epochs(TagPrefix::of(&plan.tag))?.current;
        let PlannedErasure { tag, by, .. } = plan;
        self.overlay.put_open(&OpenErasure { index: by.index, tag: *tag, time_ms: by.time_ms, keys_gone, epoch });
        Ok(())
    }

    /// Entries of this command whose payloads go with the patient. The act itself has none that is sealed.
    fn pending_of(&self, tag: &[u8; TAG_LEN]) -> Vec<LeafIndex> {
        let records = self.new_entries().filter_map(|bytes| match Entry::decode(bytes) {
            Ok(Entry::Record(entry)) if entry.tag == *tag && is_sealed(entry.kind, entry.flags) => Some(entry.index),
            _ => None,
        });
        records.collect()
    }
}

fn delete_payload(store: &Store, writes: &mut WriteBatch, index: LeafIndex) {
    writes.delete_cf(store.family(Family::Payload), schema::index_key(index.get()));
}

impl Overlay<'_> {
    /// Keeps a data key that came with a batch. While keys of its patient are due, it may be one that sealed a copy of what
    /// was erased: it is due too.
    pub(super) fn take_new_key(&mut self, name: DataKeyName, wrapped: &[u8]) -> Result<(), ReadError> {
        if self.has_data_key(&name)? {
            return Ok(());
        }
        let mut due = self.due_keys(&name.0)?;
        if !due.is_empty() {
            due.push(name.1);
            self.set_due_keys(&name.0, &due);
            self.keys_changed = true;
        }
        self.insert_data_key(name, wrapped)
    }

    /// Removes a data key for good, because of the erasure `by`.
    pub(super) fn give_up_key(&mut self, name: DataKeyName, by: LeafIndex) {
        self.delete_data_key(name);
        self.set_erase_row(gone_row(&name), Some(by.get().to_be_bytes().to_vec()));
    }

    /// No data key of this patient is due any more: its erasures wait for the key-encryption key alone.
    pub(super) fn close_due(&mut self, tag: &[u8; TAG_LEN]) -> Result<(), ReadError> {
        let prefix = TagPrefix::of(tag);
        let epoch = self.kek_epochs(prefix)?.current;
        for mut open in self.open_erasures(prefix)? {
            if open.tag == *tag && !open.keys_gone {
                (open.keys_gone, open.epoch) = (true, open.epoch.max(epoch));
                self.put_open(&open);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_the_first_word_of_the_ground() {
        for ground in ["RETENTION", "RETENTION: dix ans", "RETENTION 10 y"] {
            assert!(is_retention(ground), "{ground}");
        }
        for ground in ["RETENTIONS", "ORDER 17", "retention", ""] {
            assert!(!is_retention(ground), "{ground}");
        }
    }
}
