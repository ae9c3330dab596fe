//! States and documents as one command sees them: what is stored, and what the command's own records have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::{DepositedItem, Event, Meta, PatientState, Spelled};
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, RecordError};
use zeroize::Zeroizing;

use super::caches::{Caches, FoldedState};
use super::documents::{self, Documents};
use crate::envelope::vault::VaultError;
use crate::envelope::{Place, layout, split_plain};
use crate::error::{ReadError, Refusal, Stop};
use crate::feature::ROLES;
use crate::overlay::Overlay;
use crate::schema::{self, Family, NO_PATIENT, TAG_LEN, TagPrefix};
use crate::stats::ApplyStats;
use sillage_rules::codes::Code;

type Tag = [u8; TAG_LEN];

/// A record entry, and what was sealed for it; `None` where that was erased.
type OpenedPayload = Option<(RecordEntry, Zeroizing<Vec<u8>>)>;

/// States and documents, as of the records of a command that were taken so far.
pub(crate) struct Rules<'a> {
    pub caches: &'a mut Caches,
    stats: &'a ApplyStats,
    /// Entries in the log before the command.
    size: u64,
    /// Every command before went through these caches: what is kept is as of now.
    current: bool,
    /// Of the patients that the command is about.
    states: BTreeMap<Tag, FoldedState>,
    /// The command's own events: after an erasure, a state is folded again.
    events: BTreeMap<Tag, Vec<(Event, Meta)>>,
    documents: Option<Arc<Documents>>,
    /// The feature level of the group.
    level: u32,
    /// Deposits and decisions that aren't stored yet, and whose they are.
    deposits: BTreeMap<u64, (Tag, Arc<Vec<DepositedItem>>)>,
    decisions: BTreeMap<u64, (Tag, Arc<DecisionRecord>)>,
}

impl<'a> Rules<'a> {
    /// Before the first record of a command on a log of `size` entries. `current`: every command before went through
    /// these caches.
    pub(crate) fn new(caches: &'a mut Caches, stats: &'a ApplyStats, size: u64, current: bool) -> Self {
        Self {
            caches,
            stats,
            size,
            current,
            states: BTreeMap::new(),
            events: BTreeMap::new(),
            documents: None,
            level: 0,
            deposits: BTreeMap::new(),
            decisions: BTreeMap::new(),
        }
    }

    /// The rules for a trial of applying, on a log of `size` entries.
    pub(crate) fn of_check(
        caches: &'a mut Caches,
        stats: &'a ApplyStats,
        size: u64,
        overlay: &Overlay<'_>,
    ) -> Result<Self, ReadError> {
        Ok(Self::new(caches, stats, size, false).at_level(overlay.store().feature_level()?))
    }

    /// Refuses a request that names somebody or something in another spelling than the one.
    pub(crate) fn check_spelling(&self, request: &ParsedRequest) -> Result<(), RecordError> {
        if self.is_spelled() { request.check_spelling() } else { Ok(()) }
    }

    /// In a group of this feature level: before 3, names are compared as they were written, not in their one spelling.
    pub(crate) fn at_level(mut self, level: u32) -> Self {
        self.level = level;
        let spelled = level >= ROLES;
        if spelled != self.caches.spelled {
            self.caches.compare(spelled);
            // What was kept is folded anew.
            self.current = false;
        }
        self
    }

    /// Tells whether names are compared in their one spelling.
    pub(crate) fn is_spelled(&self) -> bool {
        self.caches.spelled
    }

    /// Tells whether the group has reached this feature level.
    pub(crate) fn has_reached(&self, level: u32) -> bool {
        self.level >= level
    }

    /// The command is done, and the log has `size` entries: keeps what may be needed again.
    pub(crate) fn finish(self, size: u64) {
        for (tag, mut folded) in self.states {
            folded.as_of = size;
            let weight = folded.weight();
            self.caches.states.put(tag, folded, weight);
        }
        if let Some(documents) = self.documents {
            self.caches.documents = Some((documents, size));
        }
        for (index, (_, items)) in self.deposits {
            let weight = weight(&items);
            self.caches.deposits.put(index, items, weight);
        }
        for (index, (_, decision)) in self.decisions {
            let weight = kib(&decision);
            self.caches.decisions.put(index, decision, weight);
        }
    }

    /// The state of a patient.
    pub(crate) fn state(&mut self, overlay: &Overlay<'_>, tag: &Tag) -> Result<&PatientState, Stop> {
        if !self.states.contains_key(tag) {
            let folded = self.fold(overlay, tag)?;
            self.states.insert(*tag, folded);
        }
        Ok(self.folded_state(tag))
    }

    /// How many records that decide a tag has, without deposits.
    pub(crate) fn records(&mut self, overlay: &Overlay<'_>, tag: &Tag) -> Result<usize, Stop> {
        self.state(overlay, tag)?;
        Ok(self.states.get(tag).expect("folded just now").records)
    }

    /// The state of a patient, to be changed and changed back: what is put in must not be there when this is asked again.
    pub(crate) fn state_mut(&mut self, overlay: &Overlay<'_>, tag: &Tag) -> Result<&mut PatientState, Stop> {
        self.state(overlay, tag)?;
        let folded = self.states.get_mut(tag).expect("folded just now");
        Ok(Arc::make_mut(&mut folded.state))
    }

    /// The state of a patient that was asked for before.
    ///
    /// # Panics
    /// When it wasn't.
    pub(crate) fn folded_state(&self, tag: &Tag) -> &PatientState {
        &self.states.get(tag).expect("folded before").state
    }

    fn fold(&mut self, overlay: &Overlay<'_>, tag: &Tag) -> Result<FoldedState, Stop> {
        let kept = self.caches.states.take(tag).filter(|kept| kept.as_of <= self.size);
        let complete = self.current && kept.is_some();
        let mut folded = match kept {
            Some(kept) => kept,
            None => match overlay.patient_erasure(tag)? {
                None => FoldedState { state: Arc::default(), as_of: 0, records: 0 },
                Some(by) => {
                    // Closed for ever; what was recorded before is gone.
                    let as_of = by.index.get() + 1;
                    FoldedState { state: Arc::new(PatientState::erased()), as_of, records: 0 }
                }
            },
        };
        if !complete {
            let rows = overlay.store().rule_rows_from(tag, folded.as_of, self.size);
            let rows = rows.filter(|row| !matches!(row, Ok((_, kind)) if is_deposit(*kind)));
            for row in rows.collect::<Result<Vec<_>, _>>()? {
                if overlay.voided_by(row.0)?.is_some() {
                    continue;
                }
                folded.records += 1;
                self.stats.folded();
                if let Some((event, meta)) = self.event_at(overlay, row.0)? {
                    Arc::make_mut(&mut folded.state).apply(&event, &meta);
                }
            }
            folded.as_of = self.size;
        }
        for (event, meta) in self.events.get(tag).into_iter().flatten() {
            if overlay.voided_by(meta.index)?.is_some() {
                continue;
            }
            Arc::make_mut(&mut folded.state).apply(event, meta);
            folded.records += 1;
        }
        Ok(folded)
    }

    /// The meaning of the record of a stored entry; `None` where it was erased.
    fn event_at(&mut self, overlay: &Overlay<'_>, index: LeafIndex) -> Result<Option<(Event, Meta)>, Stop> {
        let Some((entry, record)) = self.record_at(overlay, index)? else { return Ok(None) };
        let mut event = Event::of(&record).ok().flatten();
        if let Some(Event::BreakGlassOpened(opened)) = &mut event
            && let Some(glass) = overlay.glass_at(index)?
        {
            // The policy of then decided how long it holds; the register knows.
            opened.end_by(glass.expires_ms);
        }
        // Only admitting asks in which capacity it was signed.
        let mut meta = Meta::of(&record, entry.index, entry.time, false, false).ok();
        if let Some(meta) = &mut meta
            && rests_on_party(event.as_ref())
        {
            meta.party = Some(overlay.signed_by(&entry)?);
        }
        if self.is_spelled() {
            event = event.map(Spelled::spelled_on_record);
            meta = meta.map(Spelled::spelled_on_record);
        }
        event.zip(meta).map(Some).ok_or_else(|| damaged(index).into())
    }

    /// The structure for which the actor of a stored record acted; `None` where it was erased, or names none.
    pub(crate) fn structure_of(&mut self, overlay: &Overlay<'_>, index: LeafIndex) -> Result<Option<String>, Stop> {
        let Some((_, record)) = self.record_at(overlay, index)? else { return Ok(None) };
        Ok(record.into_message().actor.map(|actor| actor.organisation).filter(|name| !name.is_empty()))
    }

    /// The record of a stored entry, opened; `None` where it was erased.
    fn record_at(
        &mut self,
        overlay: &Overlay<'_>,
        index: LeafIndex,
    ) -> Result<Option<(RecordEntry, ParsedRecord)>, Stop> {
        let Some((entry, plain)) = self.open_at(overlay, index)? else { return Ok(None) };
        let record = split_plain(&entry, &plain).and_then(|(_, record)| ParsedRecord::parse(record).ok());
        let record = record.ok_or_else(|| damaged(index))?;
        Ok(Some((entry, record)))
    }

    fn open_at(&mut self, overlay: &Overlay<'_>, index: LeafIndex) -> Result<OpenedPayload, Stop> {
        let payload = overlay.store().get(Family::Payload, &schema::index_key(index.get()));
        let Some(payload) = payload.map_err(ReadError::from)? else { return Ok(None) };
        let (entry, place) = place_of(overlay, index)?;
        if overlay.erases(&entry.tag, index) {
            return Ok(None);
        }
        let id = layout::data_key_id(&payload).ok_or_else(|| damaged(index))?;
        let on_record = &mut self.caches.on_record;
        let wrapped = on_record.key(overlay, &(entry.tag, id))?.ok_or_else(|| damaged(index))?;
        let epochs = on_record.epochs(overlay, TagPrefix::of(&entry.tag))?;
        match self.caches.vault.open(&place, &payload, &wrapped, epochs) {
            Ok(plain) => Ok(Some((entry, plain))),
            Err(VaultError::Kek(error)) => Err(Stop::Kek(error)),
            // It was opened when it was recorded.
            Err(VaultError::Unreadable) => Err(damaged(index).into()),
        }
    }

    /// A record takes effect.
    pub(crate) fn apply(&mut self, tag: &Tag, event: Event, meta: Meta) {
        match event {
            Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => {
                let documents = self.documents.as_mut().expect("asked for when it was admitted");
                Arc::make_mut(documents).publish(&event);
                return;
            }
            Event::Deposit(items) => {
                self.deposits.insert(meta.index.get(), (*tag, Arc::new(items)));
                return;
            }
            Event::ItemsDeleted(_) => return,
            _ => {}
        }
        if let Some(folded) = self.states.get_mut(tag) {
            Arc::make_mut(&mut folded.state).apply(&event, &meta);
            folded.records += 1;
        }
        self.events.entry(*tag).or_default().push((event, meta));
    }

    /// Records of a patient were erased.
    pub(crate) fn erased(&mut self, tag: &Tag, whole_patient: bool) {
        self.caches.clear();
        self.states.remove(tag);
        if whole_patient {
            // Of what this command recorded before, too.
            self.events.remove(tag);
            self.deposits.retain(|_, (of, _)| of != tag);
            self.decisions.retain(|_, (of, _)| of != tag);
        }
    }

    /// Records were voided or reinstated: every state is folded again, without or with them.
    pub(crate) fn voided(&mut self) {
        self.caches.clear();
        self.states.clear();
    }

    /// The documents in force for all patients.
    pub(crate) fn documents(&mut self, overlay: &Overlay<'_>) -> Result<Arc<Documents>, Stop> {
        if let Some(known) = &self.documents {
            return Ok(known.clone());
        }
        let kept = self.caches.documents.take().filter(|(_, as_of)| *as_of <= self.size);
        let documents = match kept {
            Some((kept, as_of)) if self.current || !published_since(overlay, as_of, self.size)? => kept,
            _ => {
                let mut documents = Documents::default();
                for index in documents::in_force(overlay.store(), self.size)?.into_iter().flatten() {
                    if let Some((event, _)) = self.event_at(overlay, index)? {
                        documents.publish(&event);
                    }
                }
                Arc::new(documents)
            }
        };
        self.documents = Some(documents.clone());
        Ok(documents)
    }

    /// A state that holds the break-glass of this id alone, on a patient who wasn't identified.
    pub(crate) fn unidentified(&mut self, overlay: &Overlay<'_>, id: &str) -> Result<PatientState, Stop> {
        let mut state = PatientState::default();
        if let Some(glass) = overlay.break_glass(&NO_PATIENT, id)? {
            let reviewed = glass.reviewed.map(|(index, _)| index);
            let mut stored: Vec<LeafIndex> =
                [Some(glass.index), glass.justified, glass.closed, reviewed].into_iter().flatten().collect();
            stored.retain(|index| index.get() < self.size);
            stored.sort_unstable();
            for index in stored {
                if overlay.voided_by(index)?.is_some() {
                    continue;
                }
                if let Some((event, meta)) = self.event_at(overlay, index)? {
                    state.apply(&event, &meta);
                }
            }
        }
        for (event, meta) in self.events.get(&NO_PATIENT).into_iter().flatten() {
            if glass_id(event) == Some(id) && overlay.still_counts(meta.index)? {
                state.apply(event, meta);
            }
        }
        Ok(state)
    }

    /// The items that the record of entry `index` deposited; `None` where it was erased.
    pub(crate) fn deposit(
        &mut self,
        overlay: &Overlay<'_>,
        index: LeafIndex,
    ) -> Result<Option<Arc<Vec<DepositedItem>>>, Stop> {
        let pending = self.deposits.get(&index.get()).map(|(_, items)| items.clone());
        if let Some(known) = pending.or_else(|| self.caches.deposits.get(index.get())) {
            return Ok(Some(known));
        }
        if index.get() >= self.size {
            return Ok(None);
        }
        let Some((_, record)) = self.record_at(overlay, index)? else { return Ok(None) };
        let Ok(Some(Event::Deposit(mut items))) = Event::of(&record) else { return Err(damaged(index).into()) };
        if self.is_spelled() {
            items = items.into_iter().map(Spelled::spelled_on_record).collect();
        }
        let items = Arc::new(items);
        self.caches.deposits.put(index.get(), items.clone(), weight(&items));
        Ok(Some(items))
    }

    /// The decision of entry `index`, which is one; `None` where it was erased.
    pub(crate) fn decision(
        &mut self,
        overlay: &Overlay<'_>,
        index: LeafIndex,
    ) -> Result<Option<Arc<DecisionRecord>>, Stop> {
        let pending = self.decisions.get(&index.get()).map(|(_, decision)| decision.clone());
        if let Some(known) = pending.or_else(|| self.caches.decisions.get(index.get())) {
            return Ok(Some(known));
        }
        if index.get() >= self.size {
            return Ok(None);
        }
        let Some((entry, plain)) = self.open_at(overlay, index)? else { return Ok(None) };
        let decision = split_plain(&entry, &plain).and_then(|_| DecisionRecord::parse(&plain).ok());
        let decision = Arc::new(decision.ok_or_else(|| damaged(index))?);
        self.caches.decisions.put(index.get(), decision.clone(), kib(&decision));
        Ok(Some(decision))
    }

    /// Tells whether this is, sealed anew, what the entry of a patient commits to.
    pub(crate) fn is_same(
        &mut self,
        overlay: &Overlay<'_>,
        index: LeafIndex,
        payload: &[u8],
        new: impl Fn(&[u8; 16]) -> Option<Vec<u8>>,
    ) -> Result<bool, Stop> {
        let (entry, place) = place_of(overlay, index)?;
        let plain = opened(overlay, self.caches, &place, payload, new)?;
        Ok(split_plain(&entry, &plain).is_some())
    }

    /// Takes note of a decision under this tag, made in this command.
    pub(crate) fn decided(&mut self, tag: Tag, index: LeafIndex, decision: Arc<DecisionRecord>) {
        self.decisions.insert(index.get(), (tag, decision));
    }
}

/// Opens a payload that came with a command. The data key is the one on record, or else comes along as `new`.
pub(crate) fn opened(
    overlay: &Overlay<'_>,
    caches: &mut Caches,
    place: &Place,
    payload: &[u8],
    new: impl Fn(&[u8; 16]) -> Option<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let unreadable = || {
        let what = "the payload can't be opened: it isn't what was sealed under this data key for this place";
        Refusal::new(Code::MalformedRequest, what)
    };
    let id = layout::data_key_id(payload).ok_or_else(unreadable)?;
    let name = (place.tag, id);
    let wrapped = match caches.on_record.key(overlay, &name)? {
        Some(wrapped) => wrapped,
        None if overlay.is_gone(&name)? => {
            return Err(Refusal::new(Code::DataKeyGone, Code::DataKeyGone.way_out()).into());
        }
        None => {
            let wrapped = new(&id).ok_or_else(|| {
                let what = "the payload's data key is neither on record nor with what it seals";
                Refusal::new(Code::MalformedRequest, what)
            });
            wrapped?.into()
        }
    };
    let epochs = caches.on_record.epochs(overlay, TagPrefix::of(&place.tag))?;
    match caches.vault.open(place, payload, &wrapped, epochs) {
        Ok(plain) => Ok(plain),
        Err(VaultError::Kek(error)) => Err(Stop::Kek(error)),
        Err(VaultError::Unreadable) => Err(unreadable().into()),
    }
}

/// The weight of deposited items: one each, and more where they are long.
fn weight(items: &[DepositedItem]) -> usize {
    let bytes = |item: &DepositedItem| {
        let labels = item.labels.iter().map(String::len).sum::<usize>();
        item.id.len() + item.category.len() + labels + item.organisation.as_ref().map_or(0, String::len)
    };
    items.len().max(items.iter().map(bytes).sum::<usize>().div_ceil(1_024)).max(1)
}

/// The weight of a decision.
fn kib(decision: &DecisionRecord) -> usize {
    decision.payload_len().div_ceil(1_024).max(1)
}

/// The id of the break-glass that an event is about.
pub(crate) fn glass_id(event: &Event) -> Option<&str> {
    match event {
        Event::BreakGlassOpened(opened) => Some(&opened.id),
        Event::BreakGlassJustified { breakglass, .. }
        | Event::BreakGlassClosed { breakglass }
        | Event::BreakGlassReviewed { breakglass, .. } => Some(breakglass),
        _ => None,
    }
}

/// Deposits aren't folded into states: a patient may have thousands of items, and few are asked for at a time.
pub(crate) fn is_deposit(kind: Kind) -> bool {
    matches!(kind, Kind::ACCESS_WRITE | Kind::ACCESS_UPDATE | Kind::ACCESS_DELETE)
}

/// Tells whether it counts who signed a record: what nobody but one party says opens nothing to that party.
fn rests_on_party(event: Option<&Event>) -> bool {
    match event {
        Some(Event::Joined(_)) => true,
        Some(Event::Directive(directive)) => directive.collected.is_some(),
        _ => false,
    }
}

/// Tells whether documents may have been published from entry `from` on, in a log of `size` entries.
fn published_since(overlay: &Overlay<'_>, from: u64, size: u64) -> Result<bool, ReadError> {
    let mut rows = overlay.store().rule_rows_from(&NO_PATIENT, from, size);
    Ok(rows.next().transpose()?.is_some())
}

fn stored_entry(overlay: &Overlay<'_>, index: LeafIndex) -> Result<Entry, ReadError> {
    let bytes = overlay.store().get(Family::Entries, &schema::index_key(index.get()))?;
    bytes.and_then(|bytes| Entry::decode(&bytes).ok()).ok_or_else(|| damaged(index))
}

/// A stored record entry whose payload is sealed, and for which place.
fn place_of(overlay: &Overlay<'_>, index: LeafIndex) -> Result<(RecordEntry, Place), ReadError> {
    let Entry::Record(entry) = stored_entry(overlay, index)? else { return Err(damaged(index)) };
    let header = match entry.flags.contains(Flags::LEDGER) {
        true => None,
        false => match stored_entry(overlay, entry.header_index().ok_or_else(|| damaged(index))?)? {
            Entry::BatchHeader(header) => Some(header),
            _ => return Err(damaged(index)),
        },
    };
    let place = Place::of(&entry, header.as_ref()).ok_or_else(|| damaged(index))?;
    Ok((entry, place))
}

fn damaged(index: LeafIndex) -> ReadError {
    ReadError::Damaged(format!("the record of entry {index} decides, and can't be read"))
}
