//! Records that decide: opened, admitted or refused, and what they change.
//!
//! Only kinds that `rules::consent::opens_at_apply` names are opened, and accesses that cite a decision or a
//! break-glass; from feature level 5 on, records of the doors ([`super::doors`]). An opened record is compared with the record hash that its author signed, so nobody on the way can have
//! put in another one. A batch is admitted record by record in its order, each against what the ones before it would
//! change; it takes effect only when all of it is accepted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1::BasisKind;
use sillage_rules::authority::is_confirmed;
use sillage_rules::codes::Code;
use sillage_rules::consent::admit::{check_cycle, check_lifting};
use sillage_rules::consent::name::check_reserved;
use sillage_rules::consent::{
    Actor, ActorKind, DepositedItem, Env, Event, Meta, PatientState, RuleRefusal, Spell, Spelled, opens_at_apply,
    spelling,
};
use sillage_rules::doors::DoorRecord;
use sillage_rules::entry::{Flags, RecordEntry};
use sillage_rules::facts::{self, Finding};
use sillage_rules::kind::Kind;
use sillage_rules::limits::{CALL_ITEMS_MAX, SALT_BYTES};
use sillage_rules::record::{ParsedRecord, RecordError};
use sillage_rules::roles::Roles;
use sillage_rules::will::may_carry;

use super::check::{Content, Record, Shape, Signer};
use super::feature::{CLAIMS, DOORS, ROLES, feature_level_reached};
use super::{Applier, acts, authority, basis, daily, devices, doors, vouching, will};
use crate::consent::documents::{Documents, rule_row};
use crate::consent::items::ItemRow;
use crate::consent::register::GlassEvent;
use crate::consent::{BreakGlass, Rules, glass_id, opened};
use crate::envelope::Place;
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::schema::{self, Family, NO_PATIENT, TAG_LEN};
use crate::verified::Verified;

type Tag = [u8; TAG_LEN];

/// An accepted record that decides, or whose basis was looked at.
pub(crate) struct StagedRecord {
    pub tag: Tag,
    pub kind: Kind,
    /// The party that signed it.
    pub by: AuthorId,
    /// Its effect.
    pub event: Option<(Event, Meta)>,
    /// It was permitted to change what its items are.
    pub may_change: bool,
    /// The finding about its basis.
    pub found: Finding,
}

/// The changes that the records of a batch would make, by their positions. Nothing is changed before all of the batch is accepted.
#[derive(Default)]
pub(crate) struct StagedRecords {
    pub records: BTreeMap<u32, StagedRecord>,
    /// States after the batch's own records, of patients with more than one of them.
    states: BTreeMap<Tag, PatientState>,
    /// How many of the batch's own records decide, by patients.
    counts: BTreeMap<Tag, usize>,
    /// The deposits of the batch's own records, as they do first.
    deposits: BTreeMap<(Tag, String), DepositedItem>,
    documents: Option<Arc<Documents>>,
    /// Items that were looked up.
    items: usize,
    /// How many of the batch's own records take access away or end spaces.
    pub limited: u32,
    /// Contents that further parties signed, each of which is recorded once; taken over record by record.
    pub cosigned: Vec<(Hash, LeafIndex)>,
    /// The changes of the batch's records of the doors.
    pub(super) doors: doors::StagedDoors,
}

impl From<RuleRefusal> for Stop {
    fn from(refusal: RuleRefusal) -> Self {
        Refusal::new(refusal.code, refusal.message).into()
    }
}

impl From<RecordError> for Stop {
    fn from(error: RecordError) -> Self {
        Refusal::new(error.code, error.to_string()).into()
    }
}

/// Tells whether apply opens the payload. From feature level 4 on, of what happened on whatever basis, to see what supports it, and of
/// what is said of identities, to see who confirms it.
pub(crate) fn is_opened(record: &Record<'_>, rules: &Rules<'_>) -> bool {
    if rules.has_reached(DOORS) && doors::is_of_door(record.kind) {
        return matches!(record.content, Content::Sealed(_));
    }
    let happened = record.kind.is_access() || record.kind.is_movement();
    let rests_on = happened && record.sealed.facts & facts::HAS_BASIS != 0;
    if rules.has_reached(CLAIMS) && (rests_on || is_confirmed(record.kind)) {
        return matches!(record.content, Content::Sealed(_));
    }
    let cites = record.sealed.facts & facts::CITES != 0;
    let basis = if cites { BasisKind::Decision } else { BasisKind::None };
    matches!(record.content, Content::Sealed(_)) && opens_at_apply(record.kind, basis)
}

/// Tells whether apply opened the payload of a stored line when it was recorded, as [`is_opened`] said then; `false` where the entry
/// doesn't tell. Of a payload that nobody opened, nobody knows that it can be read at all: nothing may depend on it.
pub(crate) fn was_opened(overlay: &Overlay<'_>, genesis: &GenesisInfo, line: &RecordEntry) -> Result<bool, ReadError> {
    let basis = if line.flags.contains(Flags::CITES) { BasisKind::Decision } else { BasisKind::None };
    if opens_at_apply(line.kind, basis) {
        return Ok(true);
    }
    let happened = line.kind.is_access() || line.kind.is_movement();
    if !happened || !line.flags.contains(Flags::BASIS) {
        return Ok(false);
    }
    // Whatever the basis, from feature level 4 on; where that began isn't stored.
    Ok(match overlay.store().doors_since()? {
        Some(since) => line.index.get() >= since,
        None => genesis.feature_level >= DOORS,
    })
}

/// Opens a record of a batch, and admits it into `staged`.
pub(super) fn stage(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    (genesis, verify): (&GenesisInfo, Option<&Verified>),
    staged: &mut StagedRecords,
    (shape, signer): (&Shape<'_>, &Signer),
    (position, record): (u32, &Record<'_>),
    (index, time): (LeafIndex, LedgerTimeMs),
) -> Result<(), Stop> {
    let parsed = open(overlay, rules, (shape, signer), (position, record))?;
    let by = acts::Actor { author: signer.key.author_id, roles: signer.roles };
    let cosigned = authority::check_record(overlay, genesis, verify, (&by, &parsed), time)?;
    let tag = record.tag;
    let authority = signer.roles.contains(Roles::AUTHORITY);
    let mut meta = Meta::of(&parsed, index, time, authority, signer.is_patient(&tag))?;
    meta.party = Some(signer.key.author_id);
    if !signer.roles.may_sign(record.kind) && meta.signer.kind != ActorKind::Patient {
        let message = "a patient's own device signs for the patient alone: others sign through a service";
        return Err(Refusal::new(Code::NotEntitled, message).into());
    }
    if may_carry(record.kind) {
        will::establish(overlay, (genesis, &rules.caches.verified), &parsed, &mut meta)?;
    }
    if record.kind == Kind::CONTEST_OPENED && !rules.has_reached(DOORS) {
        let state = staged.state(overlay, rules, &tag)?;
        let authenticated = state.check_authentication(&meta.signer, time, meta.patient_key, meta.authenticated);
        authenticated.map_err(|refusal| will::or_no_issuer(overlay, genesis, refusal.into()))?;
    }
    if rules.has_reached(CLAIMS) {
        check_reserved(parsed.message(), &signer.key.author_id, authority)?;
    }
    let mut event = Event::of(&parsed)?;
    if let Some(Event::Policy(policy)) = &event
        && !rules.has_reached(policy.feature_level())
    {
        let why = "unknown field: the nodes don't all know `proven_bases` and `late_after_s` yet";
        return Err(Refusal::new(Code::MalformedRecord, format!("details: {why}")).into());
    }
    if rules.is_spelled() {
        spelling::check_record(parsed.message())?;
        // What happened is on record whatever software did it.
        let happened = record.kind.is_access() || record.kind.is_movement();
        meta.spell(if happened { Spell::OnRecord } else { Spell::Asked })?;
        event.iter_mut().try_for_each(|event| event.spell(Spell::Asked))?;
    }
    vouching::check_record(overlay, signer, &parsed, (event.as_ref(), &meta))?;
    if rules.has_reached(DOORS) {
        doors::check_portal(overlay, signer, &parsed, &meta)?;
        if let Some(door) = DoorRecord::of(&parsed)? {
            let verified = Arc::clone(&rules.caches.verified);
            let log = (genesis, &*verified);
            let held = doors::Held { signer, meta: &meta, log };
            return doors::admit(overlay, rules, staged, (&parsed, door), &held);
        }
    }
    if let Some(event) = &event {
        staged.check_reviewer(overlay, signer, &tag, event)?;
    }
    let cites = record.sealed.facts & facts::CITES != 0;
    let found = basis::found(overlay, rules, staged, &parsed, &meta)?;
    let may_change = cites && found.fault.is_none() && basis::may_change(overlay, rules, &parsed, &meta)?;
    if let Some(event) = &mut event {
        let admitted = staged.admit(overlay, rules, &tag, event, &meta);
        admitted.map_err(|stop| will::or_no_issuer(overlay, genesis, stop))?;
        if let Event::DeviceRegistered(device) = event {
            devices::check(overlay, signer, &tag, device)?;
        }
        let counts = daily::check(overlay, genesis, signer, (record.kind, event, &meta.signer), staged.limited, time)?;
        staged.limited += u32::from(counts);
    }
    let event = event.map(|event| (event, meta));
    let by = signer.key.author_id;
    if let Some(content) = cosigned {
        staged.cosigned.push((content, index));
    }
    staged.records.insert(position, StagedRecord { tag, kind: record.kind, by, event, may_change, found });
    Ok(())
}

fn open(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    (shape, signer): (&Shape<'_>, &Signer),
    (position, record): (u32, &Record<'_>),
) -> Result<ParsedRecord, Stop> {
    let place = Place { tag: record.tag, stream_id: signer.stream_id, seq: shape.batch.seq, position };
    let new = |id: &[u8; 16]| {
        let found = shape.new_keys.iter().find(|(name, _)| *name == (record.tag, *id));
        found.map(|(_, wrapped)| wrapped.to_vec())
    };
    let plain = opened(overlay, rules.caches, &place, &record.sealed.payload, new)?;
    if leaf_hash(&plain) != record.hash {
        let what = "what is sealed isn't what its author signed: it doesn't hash to the record hash";
        return Err(Refusal::new(Code::RootMismatch, what).into());
    }
    let bytes = plain.get(SALT_BYTES..).unwrap_or_default();
    let parsed = ParsedRecord::parse(bytes)?;
    parsed.check_from_author()?;
    let same = parsed.kind() == record.kind
        && parsed.entry_tag() == record.tag
        && parsed.occurred_at_ms() == record.sealed.occurred_at_ms
        && facts::facts_of(&parsed) == record.sealed.facts;
    match same {
        true => Ok(parsed),
        false => {
            Err(Refusal::new(Code::MalformedRequest, "a record says something else than what goes with it").into())
        }
    }
}

impl StagedRecords {
    /// Admits a record; of a break-glass, brings its end forward to where the policy has it.
    fn admit(
        &mut self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        tag: &Tag,
        event: &mut Event,
        meta: &Meta,
    ) -> Result<(), Stop> {
        match &*event {
            Event::Deposit(items) => {
                self.take_items(items.len())?;
                for item in items {
                    self.deposits.entry((*tag, item.id.clone())).or_insert_with(|| item.clone());
                }
                return Ok(());
            }
            Event::ItemsDeleted(_) => return Ok(()),
            Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => {
                return self.publish(overlay, rules, event, meta);
            }
            _ => {}
        }
        let documents = self.documents(overlay, rules)?;
        let unidentified = glass_id(event).filter(|_| *tag == NO_PATIENT);
        let admitted = match (unidentified, &*event) {
            (Some(id), _) => {
                let mut state = rules.unidentified(overlay, id)?;
                let earlier = self.events_of(tag).filter(|(event, _)| glass_id(event) == Some(id));
                earlier.for_each(|(event, meta)| state.apply(event, meta));
                with_env(overlay, &documents, |env| state.admit(event, meta, env))
            }
            (None, Event::Embargoed { items, .. } | Event::Released { items }) => {
                // Who may sign it depends on who deposited these items: the state is told for as long as it takes.
                self.take_items(items.len())?;
                let deposited = self.deposits_of(overlay, rules, tag, (items, &meta.signer))?;
                self.state(overlay, rules, tag)?;
                let state = match self.states.get_mut(tag) {
                    Some(state) => state,
                    None => rules.state_mut(overlay, tag)?,
                };
                state.apply(&Event::Deposit(deposited), meta);
                let admitted = with_env(overlay, &documents, |env| state.admit(event, meta, env));
                state.forget_deposits();
                admitted
            }
            (None, _) => {
                let state = self.state(overlay, rules, tag)?;
                with_env(overlay, &documents, |env| state.admit(event, meta, env))
            }
        };
        admitted??;
        if *tag != NO_PATIENT {
            let (caps, count) = (rules.caches.caps, self.counts.entry(*tag).or_default());
            caps.check(rules.records(overlay, tag)? + *count, event, meta)?;
            *count += 1;
        }
        self.check_circle(overlay, rules, tag, event, meta.time)?;
        self.check_lifting(overlay, rules, tag, event, meta)?;
        let first = self.check_continues(overlay, rules, tag, event, meta)?;
        if let Event::BreakGlassOpened(opened) = event {
            opened.bound(&documents.policy, meta.time, first);
        }
        if let Some(state) = self.states.get_mut(tag) {
            state.apply(event, meta);
        }
        Ok(())
    }

    /// Nobody reviews a break-glass that their own party opened; but for parties of before, which may what they could.
    fn check_reviewer(&self, overlay: &Overlay<'_>, signer: &Signer, tag: &Tag, event: &Event) -> Result<(), Stop> {
        let Event::BreakGlassReviewed { breakglass, .. } = event else { return Ok(()) };
        if !signer.roles.is_bound() {
            return Ok(());
        }
        let opens =
            |(event, _): &(Event, Meta)| matches!(event, Event::BreakGlassOpened(glass) if glass.id == *breakglass);
        let own = self.events_of(tag).any(opens)
            || overlay.opener_of(tag, breakglass)?.is_some_and(|opener| opener == signer.key.author_id);
        match own {
            false => Ok(()),
            true => {
                let what =
                    "the party that opened a break-glass doesn't review it: another one with the role reviewer does";
                Err(Refusal::new(Code::NotEntitled, what).into())
            }
        }
    }

    /// Nobody is represented by whom they represent, through however many others.
    fn check_circle(
        &mut self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        tag: &Tag,
        event: &Event,
        now: LedgerTimeMs,
    ) -> Result<(), Stop> {
        let mut failed = None;
        let representatives_of = |patient: &Tag| match self.state(overlay, rules, patient) {
            Ok(state) => {
                let alive = state.representations().filter(|entry| entry.period.is_alive(now));
                alive.filter_map(|entry| entry.representation.representative_tag.map(|tag| tag.to_bytes())).collect()
            }
            Err(stop) => {
                failed.get_or_insert(stop);
                Vec::new()
            }
        };
        let checked = check_cycle(tag, event, representatives_of);
        match failed {
            Some(stop) => Err(stop),
            None => Ok(checked?),
        }
    }

    /// A professional who represents a minor doesn't lift the minor's secrecy, under whichever tag they sign.
    fn check_lifting(
        &mut self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        tag: &Tag,
        event: &Event,
        meta: &Meta,
    ) -> Result<(), Stop> {
        let Event::SecrecyLifted { .. } = event else { return Ok(()) };
        let Some(other) = overlay.other_tag(tag)? else { return Ok(()) };
        Ok(check_lifting(self.state(overlay, rules, &other)?, event, meta)?)
    }

    /// The state of a patient after the records that were staged so far. It is copied only where one of them is about
    /// this patient.
    pub(super) fn state<'s>(
        &'s mut self,
        overlay: &Overlay<'_>,
        rules: &'s mut Rules<'_>,
        tag: &Tag,
    ) -> Result<&'s PatientState, Stop> {
        if !self.states.contains_key(tag) && self.events_of(tag).next().is_some() {
            let mut state = rules.state(overlay, tag)?.clone();
            self.events_of(tag).for_each(|(event, meta)| state.apply(event, meta));
            self.states.insert(*tag, state);
        }
        match self.states.get(tag) {
            Some(state) => Ok(state),
            None => rules.state(overlay, tag),
        }
    }

    /// Each item is looked up, and its deposit may have to be opened: a call has so many at most.
    fn take_items(&mut self, count: usize) -> Result<(), Stop> {
        self.items += count;
        match self.items <= CALL_ITEMS_MAX {
            true => Ok(()),
            false => {
                let what = format!(
                    "a batch deposits, changes, embargoes and releases at most {CALL_ITEMS_MAX} items: split it"
                );
                Err(Refusal::new(Code::BatchTooLarge, what).into())
            }
        }
    }

    /// Of these items, those that are deposited under the tag, also by records that were staged so far; up to the first that
    /// isn't the signer's.
    fn deposits_of(
        &self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        tag: &Tag,
        (items, signer): (&[String], &Actor),
    ) -> Result<Vec<DepositedItem>, Stop> {
        let items: BTreeSet<&String> = items.iter().collect();
        let mut deposited = Vec::with_capacity(items.len());
        for id in items {
            // Who deposited it first stays its depositor.
            let item = match overlay.item_spelled(id, None, rules.is_spelled())? {
                // Kept apart since, it is its patient's all the same.
                Some(row) if row.tag == *tag || overlay.secret_of(tag)? == Some(row.tag) => {
                    rules.item(overlay, &row, id)?
                }
                Some(_) => None,
                None => self.deposits.get(&(*tag, id.clone())).cloned(),
            };
            let Some(item) = item.filter(|item| item.is_by(signer)) else { break };
            deposited.push(item);
        }
        Ok(deposited)
    }

    /// The changes to a tag's state by the records that were staged so far, in order.
    fn events_of<'s>(&'s self, tag: &'s Tag) -> impl Iterator<Item = &'s (Event, Meta)> {
        let of_tag = self.records.values().filter(move |named| named.tag == *tag);
        let events = of_tag.filter_map(|named| named.event.as_ref());
        events.filter(|(event, _)| !matches!(event, Event::Deposit(_) | Event::ItemsDeleted(_)))
    }

    pub(super) fn documents(&mut self, overlay: &Overlay<'_>, rules: &mut Rules<'_>) -> Result<Arc<Documents>, Stop> {
        match &self.documents {
            Some(documents) => Ok(documents.clone()),
            None => rules.documents(overlay),
        }
    }

    fn publish(
        &mut self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        event: &Event,
        meta: &Meta,
    ) -> Result<(), Stop> {
        let mut documents = self.documents(overlay, rules)?;
        with_env(overlay, &documents, |env| PatientState::default().admit(event, meta, env))??;
        Arc::make_mut(&mut documents).publish(event);
        self.documents = Some(documents);
        Ok(())
    }

    /// A break-glass may go on with one that the same actor opened before the patient was identified: when that one began.
    fn check_continues(
        &self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        tag: &Tag,
        event: &Event,
        meta: &Meta,
    ) -> Result<Option<LedgerTimeMs>, Stop> {
        let Event::BreakGlassOpened(opened) = event else { return Ok(None) };
        let Some(before) = opened.continues.as_deref() else { return Ok(None) };
        let unknown = || {
            let what = "no break-glass of this id is on record that the same actor opened on a patient who wasn't identified, and that none continues";
            Stop::from(Refusal::new(Code::UnknownReference, what))
        };
        let taken = overlay.break_glass(&NO_PATIENT, before)?.is_some_and(|glass| glass.continued_by.is_some());
        let staged = self.records.values().filter_map(|named| named.event.as_ref());
        let mut staged = staged.filter(
            |(event, _)| matches!(event, Event::BreakGlassOpened(other) if other.continues.as_deref() == Some(before)),
        );
        if *tag == NO_PATIENT || taken || staged.next().is_some() {
            return Err(unknown());
        }
        let mut old = rules.unidentified(overlay, before)?;
        let earlier = self.events_of(&NO_PATIENT).filter(|(event, _)| glass_id(event) == Some(before));
        earlier.for_each(|(event, meta)| old.apply(event, meta));
        // Whose the new one is, is what applying it says.
        let mut new = PatientState::default();
        new.apply(event, meta);
        match (old.breakglass(before), new.breakglass(&opened.id)) {
            (Some(old), Some(new)) if old.actor == new.actor => Ok(Some(old.period.from)),
            _ => Err(unknown()),
        }
    }
}

/// Runs `with` on what holds for all patients.
pub(super) fn with_env<T>(
    overlay: &Overlay<'_>,
    documents: &Documents,
    with: impl FnOnce(&Env<'_>) -> T,
) -> Result<T, ReadError> {
    let failed = RefCell::new(None);
    let spelled = feature_level_reached(overlay, ROLES)?;
    let revoked = |name: &sillage_rules::consent::ActorName| {
        let found = match spelled {
            // The authority may have revoked them under a name of before there was one spelling.
            true => name.hashes().try_fold(false, |found, hash| Ok(found || overlay.is_revoked(&hash)?)),
            false => overlay.is_revoked(&name.hash()),
        };
        found.unwrap_or_else(|error| {
            failed.borrow_mut().get_or_insert(error);
            true
        })
    };
    let Documents { policy, matrix, catalogue, .. } = documents;
    let claims = feature_level_reached(overlay, CLAIMS)?;
    let across_servers = feature_level_reached(overlay, DOORS)?;
    let out = with(&Env { policy, matrix, catalogue, revoked: &revoked, claims, across_servers });
    match failed.take() {
        Some(error) => Err(error),
        None => Ok(out),
    }
}

/// The statement about an item that lies in its being written.
enum Says {
    /// The item's facts from here on.
    WhatItIs,
    /// The item's facts, and that it is secret, if the tags turn out to be one patient's.
    Maybe,
    /// Nothing: it is on record, no more.
    Nothing,
}

impl Applier<'_> {
    /// The records of a batch take effect; its entries were added.
    pub(super) fn take_effect(&mut self, staged: StagedRecords) -> Result<(), Stop> {
        doors::take_effect(&mut self.overlay, staged.doors)?;
        for named in staged.records.into_values() {
            let StagedRecord { tag, kind, by, event, may_change, .. } = named;
            let Some((event, meta)) = event else { continue };
            let index = meta.index;
            match &event {
                Event::Deposit(items) => {
                    for item in items {
                        let kept = self.overlay.kept_id(&item.id)?;
                        let known = self.overlay.item(&kept)?;
                        match self.says(&tag, (&item.id, known), &meta.signer, may_change)? {
                            Says::WhatItIs => self.overlay.deposited(&tag, (&kept, known), index)?,
                            Says::Maybe => self.overlay.claimed(&tag, (&kept, known), index)?,
                            Says::Nothing => {}
                        }
                    }
                }
                Event::DeviceRegistered(_) => self.overlay.put_device(&tag, index),
                _ if glass_id(&event).is_some() => self.register(&tag, &event, &meta, by)?,
                _ => {}
            }
            if tag != NO_PATIENT || glass_id(&event).is_none() {
                let key = schema::patient_key(&tag, index.get()).to_vec();
                self.overlay.set_row(Family::Rule, key, Some(rule_row(kind)));
            }
            self.rules.apply(&tag, event, meta);
        }
        Ok(())
    }

    /// The statement about an item that lies in this actor's writing it under this tag.
    fn says(
        &mut self,
        tag: &Tag,
        (id, known): (&str, Option<ItemRow>),
        actor: &Actor,
        may_change: bool,
    ) -> Result<Says, Stop> {
        let Some(row) = known else { return Ok(Says::WhatItIs) };
        let is_same = row.tag == *tag || self.overlay.other_tag(&row.tag)? == Some(*tag);
        if !is_same && !self.overlay.may_pair(&row.tag, tag)? {
            return Ok(Says::Nothing);
        }
        if is_same && may_change {
            return Ok(Says::WhatItIs);
        }
        let first = self.rules.deposited_at(&self.overlay, row.first, id)?;
        Ok(match (first.is_some_and(|first| first.is_by(actor)), is_same) {
            (true, true) => Says::WhatItIs,
            (true, false) => Says::Maybe,
            (false, _) => Says::Nothing,
        })
    }

    /// Brings the register of broken glass up to date.
    fn register(&mut self, tag: &Tag, event: &Event, meta: &Meta, by: AuthorId) -> Result<(), Stop> {
        let Some(id) = glass_id(event) else { return Ok(()) };
        if let Event::BreakGlassOpened(opened) = event {
            let due_s = self.rules.documents(&self.overlay)?.policy.justification_due_s;
            let mut due_ms = meta.time.get().saturating_add(due_s.saturating_mul(1_000));
            if let Some(before) = &opened.continues
                && let Some(mut before) = self.overlay.break_glass(&NO_PATIENT, before)?
            {
                // Whoever finds out who it is doesn't get more time.
                due_ms = due_ms.min(before.justification_due_ms.get());
                before.continued_by = Some(meta.index);
                self.overlay.put_glass(&before);
            }
            let glass = BreakGlass {
                index: meta.index,
                tag: (*tag != NO_PATIENT).then_some(*tag),
                opened_ms: opened.begins(meta.time),
                recorded_ms: meta.time,
                expires_ms: opened.expires.map_or(meta.time, |expires| LedgerTimeMs(expires.0)),
                justification_due_ms: LedgerTimeMs(due_ms),
                justified: None,
                closed: None,
                reviewed: None,
                continued_by: None,
                erased_by: None,
                voided_by: None,
            };
            self.overlay.open_glass(id, &glass);
            if feature_level_reached(&self.overlay, ROLES)? {
                self.overlay.opened_by(meta.index, by);
            }
            return Ok(());
        }
        let Some(mut glass) = self.overlay.break_glass(tag, id)? else { return Ok(()) };
        let became = match event {
            Event::BreakGlassJustified { .. } => {
                glass.justified.get_or_insert(meta.index);
                Some(GlassEvent::Justified)
            }
            Event::BreakGlassClosed { .. } => {
                glass.closed.get_or_insert(meta.index);
                Some(GlassEvent::Closed)
            }
            Event::BreakGlassReviewed { verdict, .. } => {
                glass.reviewed = Some((meta.index, *verdict));
                Some(GlassEvent::Reviewed(*verdict))
            }
            _ => None,
        };
        if let Some(became) = became {
            self.overlay.keep_history(glass.index, meta.index, became);
        }
        self.overlay.put_glass(&glass);
        Ok(())
    }
}
