//! The state in force for one patient: everything that decisions rest on, folded from the records of one tag.
//!
//! A patient's records are applied in log order by [`PatientState::apply`] ([`super::apply`]); nothing else changes a
//! state. It holds what is in force or will be, and of what has ended the newest, so that its size is bounded by the
//! caps of [`super::admit`] and by what was deposited.

use std::collections::{BTreeMap, VecDeque};

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;

use super::Meta;
use super::admit::structure_of;
use super::by_item::ByItem;
use super::directive::Directive;
use super::glass::Glasses;
use super::name::{Actor, ActorName};
use super::people::{DepositedItem, Feed, Membership, Representation, Verdict};
use super::token::{Case, Power};
use crate::time::TimeMs;

/// The end of what has none.
pub const FOR_EVER: LedgerTimeMs = LedgerTimeMs(u64::MAX);

/// The record that something comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Its entry.
    pub index: LeafIndex,
    /// Its ledger time.
    pub time: LedgerTimeMs,
}

/// When something holds: from its beginning, included, until its end, excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The beginning.
    pub from: LedgerTimeMs,
    /// The end; [`FOR_EVER`] where there is none.
    pub until: LedgerTimeMs,
}

impl Period {
    /// The period that a record states: from `now` and for ever where it doesn't say.
    pub fn new(from: Option<TimeMs>, until: Option<TimeMs>, now: LedgerTimeMs) -> Self {
        let from = from.map_or(now, |from| LedgerTimeMs(from.0));
        Self { from, until: until.map_or(FOR_EVER, |until| LedgerTimeMs(until.0)) }
    }

    /// Tells whether it holds at this moment.
    pub fn contains(&self, at: LedgerTimeMs) -> bool {
        self.from <= at && at < self.until
    }

    /// Tells whether it holds now or will.
    pub fn is_alive(&self, at: LedgerTimeMs) -> bool {
        at < self.until && self.from < self.until
    }
}

/// Through how many representatives a power reaches another one.
const PASSED_ON_MAX: usize = 2;

/// The state of the patient's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Space {
    /// Open: also where no record says anything.
    #[default]
    Open,
    /// The patient opposed it.
    Opposed,
    /// It was closed.
    Closed,
}

/// A directive as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectiveEntry {
    /// The directive that was signed.
    pub directive: Directive,
    /// The record.
    pub stamp: Stamp,
    /// When it holds; its end is earlier than what was signed where it was revoked or superseded.
    pub period: Period,
    /// The record that revoked or superseded it.
    pub ended_by: Option<LeafIndex>,
    /// A representative signed it, not the patient.
    pub by_representative: bool,
    /// It was collected, and this party says so: none where the patient's side proved it, or the party isn't known.
    pub collected_by: Option<AuthorId>,
    /// The FHIR server of the Consent that it is from, where that is known ([`Meta::server`]).
    pub server: Option<String>,
    /// The Consent that its id names, where it names one. The server is that of the id, else [`DirectiveEntry::server`], else empty.
    pub cited_as: Option<(String, String)>,
}

/// An embargo on an item.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbargoEntry {
    /// Until when, excluded.
    pub until: LedgerTimeMs,
    /// The record.
    pub stamp: Stamp,
}

/// An opposed feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedEntry {
    /// Which.
    pub feed: Feed,
    /// The record.
    pub stamp: Stamp,
}

/// A representative.
#[derive(Debug, Clone, PartialEq)]
pub struct RepresentationEntry {
    /// The representation that was registered.
    pub representation: Representation,
    /// When it holds.
    pub period: Period,
    /// The record.
    pub stamp: Stamp,
    /// The representative who registered it: it holds while they represent, with the powers that they have. None where it was
    /// the patient, or the authority.
    pub by: Option<ActorName>,
}

impl RepresentationEntry {
    /// The part that is kept of it when it ends now.
    pub(super) fn past(&self, now: LedgerTimeMs) -> PastTie {
        let name = self.representation.representative.clone();
        let period = Period { from: self.period.from, until: self.period.until.min(now) };
        PastTie { name, within: None, period, represents: true, stated_by: None }
    }
}

/// A member of the care team.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberEntry {
    /// The membership that was recorded.
    pub membership: Membership,
    /// The structure that may end it: the one within which it holds, or that of the professional who signed it.
    pub structure: Option<String>,
    /// Until when, excluded.
    pub until: LedgerTimeMs,
    /// The record.
    pub stamp: Stamp,
    /// The party on whose professional's or software's word it stands: none where the patient's side signed it, or the party
    /// isn't known.
    pub stated_by: Option<AuthorId>,
}

impl MemberEntry {
    /// Tells whether this membership makes `actor` a member at this moment.
    pub fn holds_for(&self, actor: &Actor, at: LedgerTimeMs) -> bool {
        let within = &self.membership.organisation;
        at < self.until
            && self.membership.professional == actor.name
            && (within.is_none() || actor.is_of(within.as_deref()))
    }

    /// The part that is kept of it when it ends now.
    pub(super) fn past(&self, now: LedgerTimeMs) -> PastTie {
        let name = self.membership.professional.clone();
        let period = Period { from: self.stamp.time, until: self.until.min(now) };
        let (within, stated_by) = (self.membership.organisation.clone(), self.stated_by);
        PastTie { name, within, period, represents: false, stated_by }
    }

    /// Tells whether it counts for what is asked on this party's word alone, without the actor's own login: it names the
    /// structure within which it holds, and that party isn't the only one that says so.
    pub fn counts_on_word_of(&self, party: Option<&AuthorId>) -> bool {
        let Some(party) = party else { return true };
        self.membership.organisation.is_some() && self.stated_by.as_ref() != Some(party)
    }

    /// Tells whether a record that ends this professional's memberships ends this one: a structure ends what holds within
    /// it, anybody else who may all of them.
    pub(super) fn leaves(&self, professional: &ActorName, meta: &Meta) -> bool {
        let structure = structure_of(professional, &meta.signer);
        self.membership.professional == *professional && (structure.is_none() || self.structure.as_deref() == structure)
    }
}

/// How many ended ties to a patient are kept, of any kind: what is recorded of an access that happened before is held against
/// them.
pub(super) const PAST_TIES_MAX: usize = 256;

/// A tie that made somebody one of the patient's own, and has ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PastTie {
    pub name: ActorName,
    /// For which structure alone.
    pub within: Option<String>,
    pub period: Period,
    /// As a representative; otherwise as a member of the care team or the attending doctor.
    pub represents: bool,
    /// The one party that said so, on its own word.
    pub stated_by: Option<AuthorId>,
}

impl PastTie {
    fn holds_for(&self, actor: &Actor, at: LedgerTimeMs) -> bool {
        let within = self.within.as_deref();
        self.name == actor.name && self.period.contains(at) && (within.is_none() || actor.is_of(within))
    }
}

/// A break-glass.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakGlassEntry {
    /// The actor that may see.
    pub actor: ActorName,
    /// The structure for which they act.
    pub organisation: Option<String>,
    /// In which case.
    pub case: Case,
    /// When it holds; its end is earlier than what was signed where it was closed.
    pub period: Period,
    /// The record.
    pub stamp: Stamp,
    /// The record that closed it.
    pub closed_by: Option<LeafIndex>,
    /// The first record that justifies it.
    pub justified_by: Option<LeafIndex>,
    /// The newest review.
    pub reviewed: Option<(LeafIndex, Verdict)>,
}

/// Everything that decisions on one patient rest on, of one of their tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PatientState {
    /// The patient was erased: the space stays closed.
    pub(super) erased: bool,
    pub(super) space: Space,
    pub(super) space_stamp: Option<Stamp>,
    /// A login proves who closed or opposed it.
    pub(super) space_proven: Option<Stamp>,
    /// In log order.
    pub(super) directives: Vec<DirectiveEntry>,
    pub(super) opposed_cases: BTreeMap<Case, Stamp>,
    pub(super) blocked: BTreeMap<ActorName, Stamp>,
    pub(super) masked: ByItem<Stamp>,
    pub(super) embargoed: ByItem<EmbargoEntry>,
    pub(super) feeds: BTreeMap<(String, Option<String>), FeedEntry>,
    pub(super) representations: BTreeMap<(ActorName, super::token::Relation), RepresentationEntry>,
    pub(super) secret: ByItem<Stamp>,
    pub(super) team: BTreeMap<(ActorName, Option<String>, Option<String>), MemberEntry>,
    /// How many of them were left when those whose time had passed were last forgotten.
    pub(super) team_left: usize,
    pub(super) attending: Option<(ActorName, Stamp)>,
    /// The newest that ended, oldest first.
    pub(super) past_ties: VecDeque<PastTie>,
    pub(super) breakglass: Glasses,
    pub(super) deposits: BTreeMap<String, DepositedItem>,
    /// Records that ended something, with the moment until which it would have held without them. To erase one earlier
    /// would bring back what it ended.
    pub(super) enders: BTreeMap<LeafIndex, LedgerTimeMs>,
    /// How many of them were left when those whose moment had passed were last forgotten.
    pub(super) enders_left: usize,
    /// The parties that act for the patient, by the records that told of them.
    pub(super) devices: BTreeMap<AuthorId, Stamp>,
    /// Digests of the wills with a proof that decided lately, each with the time until which it is remembered.
    pub(super) wills: BTreeMap<Hash, LedgerTimeMs>,
}

impl PatientState {
    /// The state of a patient who was erased: closed for ever, whatever comes after.
    pub fn erased() -> Self {
        Self { erased: true, space: Space::Closed, ..Self::default() }
    }

    /// How much is held, about in records: what it weighs in memory.
    pub fn weight(&self) -> usize {
        let items = self.masked.len() + self.embargoed.len() + self.secret.len() + self.deposits.len();
        let people = self.team.len() + self.blocked.len() + self.feeds.len() + self.representations.len();
        // What ended something is but a number and a time.
        self.directives.len() + self.devices.len() + items + people + self.breakglass.len() + self.enders.len() / 16
    }

    /// The state of the space, and the record that says so.
    pub fn space(&self) -> (Space, Option<Stamp>) {
        (self.space, self.space_stamp)
    }

    /// Tells whether a login proves that the patient's side closed or opposed the space, so that it is shut for emergencies
    /// too.
    pub fn is_shut_for_emergencies(&self) -> bool {
        self.space != Space::Open && (self.erased || self.space_proven.is_some())
    }

    /// The parties that were registered to act for the patient, those that were ended since too, and the records that say so.
    pub fn devices(&self) -> impl Iterator<Item = (&AuthorId, Stamp)> {
        self.devices.iter().map(|(party, stamp)| (party, *stamp))
    }

    /// Tells whether a record under this tag says that the party acts for the patient.
    pub fn has_device(&self, party: &AuthorId) -> bool {
        !self.erased && self.devices.contains_key(party)
    }

    /// The directives in log order, those that have ended too (as far back as they are kept).
    pub fn directives(&self) -> &[DirectiveEntry] {
        &self.directives
    }

    /// The directives that hold at this moment, in log order.
    pub fn directives_at(&self, at: LedgerTimeMs) -> impl Iterator<Item = &DirectiveEntry> {
        self.directives.iter().filter(move |entry| entry.period.contains(at))
    }

    /// The newest directive with this id.
    pub fn directive(&self, id: &str) -> Option<&DirectiveEntry> {
        self.directives.iter().rev().find(|entry| entry.directive.id == id)
    }

    /// The emergency cases that the patient opposed.
    pub fn opposed_cases(&self) -> impl Iterator<Item = (Case, Stamp)> {
        self.opposed_cases.iter().map(|(case, stamp)| (*case, *stamp))
    }

    /// The professionals who are blocked by name.
    pub fn blocked(&self) -> impl Iterator<Item = (&ActorName, Stamp)> {
        self.blocked.iter().map(|(name, stamp)| (name, *stamp))
    }

    /// The record that blocks this actor.
    pub fn blocks(&self, actor: &ActorName) -> Option<LeafIndex> {
        self.blocked_by(actor).map(|stamp| stamp.index)
    }

    /// All records that may block this actor; `across_servers`, also under another name of the same resource.
    pub fn blocks_of<'s>(&'s self, actor: &'s ActorName, across_servers: bool) -> impl Iterator<Item = Stamp> + 's {
        let may_be = move |name: &ActorName| across_servers && name != actor && name.may_be(actor);
        let others = self.blocked.iter().filter(move |(name, _)| may_be(name)).map(|(_, stamp)| *stamp);
        self.blocked_by(actor).into_iter().chain(others)
    }

    /// The same, with its time.
    pub fn blocked_by(&self, actor: &ActorName) -> Option<Stamp> {
        let in_all_versions = actor.without_version().and_then(|name| self.blocked.get(&name));
        in_all_versions.or_else(|| self.blocked.get(actor)).copied()
    }

    /// The masked items.
    pub fn masked(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.masked.iter().map(|(item, stamp)| (item.as_str(), *stamp))
    }

    /// The record that masks this item.
    pub fn masks(&self, item: &str) -> Option<LeafIndex> {
        self.masked_by(item).map(|stamp| stamp.index)
    }

    /// The same, with its time.
    pub fn masked_by(&self, item: &str) -> Option<Stamp> {
        self.masked.get(item).copied()
    }

    /// All records that may mask this item; `across_servers`, also under another name of the same resource.
    pub fn masks_of<'s>(&'s self, item: &'s str, across_servers: bool) -> impl Iterator<Item = Stamp> + 's {
        self.masked.about(item, across_servers).copied()
    }

    /// The items that the patient isn't told of yet, those whose embargo has passed too.
    pub fn embargoed(&self) -> impl Iterator<Item = (&str, &EmbargoEntry)> {
        self.embargoed.iter().map(|(item, entry)| (item.as_str(), entry))
    }

    /// The record that holds this item back from the patient at this moment; `across_servers`, also under another name of the same
    /// resource.
    pub fn embargoes(&self, item: &str, at: LedgerTimeMs, across_servers: bool) -> Option<LeafIndex> {
        let mut held = self.embargoed.about(item, across_servers).filter(|entry| at < entry.until);
        held.next().map(|entry| entry.stamp.index)
    }

    /// The feeds that the patient opposed.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedEntry> {
        self.feeds.values()
    }

    /// The representatives, those whose time has passed or is to come too.
    pub fn representations(&self) -> impl Iterator<Item = &RepresentationEntry> {
        self.representations.values()
    }

    /// The record by which this actor has a power at this moment that satisfies `wanted`.
    pub fn represented_by(
        &self,
        actor: &ActorName,
        at: LedgerTimeMs,
        wanted: impl Fn(Power) -> bool,
    ) -> Option<LeafIndex> {
        let holds = |entry: &&RepresentationEntry| {
            entry.representation.representative == *actor && self.powers_of(entry, at).any(&wanted)
        };
        self.representations.values().find(holds).map(|entry| entry.stamp.index)
    }

    /// The powers that a representation gives at this moment.
    pub fn powers_of<'s>(
        &'s self,
        entry: &'s RepresentationEntry,
        at: LedgerTimeMs,
    ) -> impl Iterator<Item = Power> + 's {
        let powers = entry.representation.powers().iter().copied();
        powers.filter(move |power| self.gives(entry, *power, at, PASSED_ON_MAX))
    }

    /// `left`: through how many representatives more it may have been passed on.
    fn gives(&self, entry: &RepresentationEntry, power: Power, at: LedgerTimeMs, left: usize) -> bool {
        let has = |by: &ActorName| {
            self.representations
                .values()
                .any(|entry| entry.representation.representative == *by && self.gives(entry, power, at, left - 1))
        };
        entry.period.contains(at)
            && entry.representation.powers().contains(&power)
            && entry.by.as_ref().is_none_or(|by| left > 0 && has(by))
    }

    /// Tells whether this actor is a representative at this moment, with whatever powers.
    pub fn has_representative(&self, actor: &ActorName, at: LedgerTimeMs) -> bool {
        let mut all = self.representations.values();
        all.any(|entry| entry.representation.representative == *actor && entry.period.contains(at))
    }

    /// The same; `across_servers`, also where another name of the same resource is the representative's.
    pub fn may_have_representative(&self, actor: &ActorName, at: LedgerTimeMs, across_servers: bool) -> bool {
        let may_be = |name: &ActorName| name == actor || across_servers && name.may_be(actor);
        let mut all = self.representations.values();
        all.any(|entry| may_be(&entry.representation.representative) && entry.period.contains(at))
    }

    /// The items that a minor keeps from representatives.
    pub fn secret_items(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.secret.iter().map(|(item, stamp)| (item.as_str(), *stamp))
    }

    /// The record that keeps this item from representatives.
    pub fn keeps_secret(&self, item: &str) -> Option<LeafIndex> {
        self.secret.get(item).map(|stamp| stamp.index)
    }

    /// All records that may keep this item from representatives; `across_servers`, also under another name of the same resource.
    pub fn secrets_of<'s>(&'s self, item: &'s str, across_servers: bool) -> impl Iterator<Item = LeafIndex> + 's {
        self.secret.about(item, across_servers).map(|stamp| stamp.index)
    }

    /// The care team, those whose time has passed too (as far back as they are kept).
    pub fn team(&self) -> impl Iterator<Item = &MemberEntry> {
        self.team.values()
    }

    /// The memberships of this professional, those whose time has passed too.
    pub(super) fn memberships(&self, professional: &ActorName) -> impl Iterator<Item = &MemberEntry> {
        let from_first = self.team.range((professional.clone(), None, None)..).map(|(_, entry)| entry);
        from_first.take_while(move |entry| entry.membership.professional == *professional)
    }

    /// The memberships that make this actor a member of the care team at this moment.
    pub fn member_as(&self, actor: &Actor, at: LedgerTimeMs) -> impl Iterator<Item = &MemberEntry> {
        self.memberships(&actor.name).filter(move |entry| entry.holds_for(actor, at))
    }

    /// The origins of the memberships that make this actor a member of the care team at this moment.
    pub fn origins(&self, actor: &Actor, at: LedgerTimeMs) -> impl Iterator<Item = &str> {
        self.member_as(actor, at).filter_map(|entry| entry.membership.origin.as_deref())
    }

    /// The record that makes this actor a member of the care team at this moment.
    pub fn member(&self, actor: &Actor, at: LedgerTimeMs) -> Option<LeafIndex> {
        self.member_as(actor, at).map(|entry| entry.stamp.index).next()
    }

    /// Tells whether this actor was a member of the care team, or the attending doctor, at a moment that may have passed;
    /// what `party` alone says doesn't count.
    pub fn was_in_care(&self, actor: &Actor, at: LedgerTimeMs, party: &AuthorId) -> bool {
        let of_others = |stated_by: &Option<AuthorId>| stated_by.as_ref() != Some(party);
        let mut members = self.memberships(&actor.name).filter(|entry| of_others(&entry.stated_by));
        let attends = self.attending.as_ref().is_some_and(|(name, since)| *name == actor.name && since.time <= at);
        attends
            || members.any(|entry| entry.stamp.time <= at && entry.holds_for(actor, at))
            || self.past_ties.iter().any(|tie| !tie.represents && of_others(&tie.stated_by) && tie.holds_for(actor, at))
    }

    /// Tells whether this actor represented the patient at a moment that may have passed, with whatever powers.
    pub fn was_representative(&self, actor: &Actor, at: LedgerTimeMs) -> bool {
        self.has_representative(&actor.name, at)
            || self.past_ties.iter().any(|tie| tie.represents && tie.holds_for(actor, at))
    }

    /// The attending doctor.
    pub fn attending(&self) -> Option<(&ActorName, Stamp)> {
        self.attending.as_ref().map(|(name, stamp)| (name, *stamp))
    }

    /// The break-glasses with their ids, those that are over too (as far back as they are kept).
    pub fn breakglasses(&self) -> impl Iterator<Item = (&str, &BreakGlassEntry)> {
        self.breakglass.iter()
    }

    /// The break-glass with this id.
    pub fn breakglass(&self, id: &str) -> Option<&BreakGlassEntry> {
        self.breakglass.get(id)
    }

    /// The break-glasses of this actor that are open at this moment, which isn't before the newest record.
    pub fn open_breakglasses(&self, actor: &ActorName, at: LedgerTimeMs) -> impl Iterator<Item = &BreakGlassEntry> {
        self.breakglass.open_of(actor, at)
    }

    /// The items on deposit.
    pub fn deposits(&self) -> impl Iterator<Item = &DepositedItem> {
        self.deposits.values()
    }

    /// Forgets what was deposited: the ledger keeps that elsewhere.
    pub fn forget_deposits(&mut self) {
        self.deposits.clear();
    }

    /// An item as it was deposited.
    pub fn deposit(&self, item: &str) -> Option<&DepositedItem> {
        self.deposits.get(item)
    }

    /// Tells whether this record proves that the space is closed or opposed, though a later one says how it is.
    pub fn proves_space(&self, index: LeafIndex) -> bool {
        self.space != Space::Open && self.space_proven.is_some_and(|stamp| stamp.index == index)
    }

    /// Tells whether the record at `index` has an effect at this moment or will have: it can't be erased alone. So has one
    /// that ended something which would still hold: without it, that would come back.
    pub fn is_in_force(&self, index: LeafIndex, at: LedgerTimeMs) -> bool {
        let is = |stamp: &Stamp| stamp.index == index;
        let mut without_end = self
            .opposed_cases
            .values()
            .chain(self.blocked.values())
            .chain(self.masked.values())
            .chain(self.secret.values())
            .chain(self.feeds.values().map(|entry| &entry.stamp))
            .chain(self.space_stamp.iter())
            .chain(self.devices.values())
            .chain(self.attending.iter().map(|(_, stamp)| stamp));
        without_end.any(is)
            || self.enders.get(&index).is_some_and(|until| at < *until)
            || self.directives.iter().any(|entry| is(&entry.stamp) && entry.period.is_alive(at))
            || self.embargoed.values().any(|entry| is(&entry.stamp) && at < entry.until)
            || self.representations.values().any(|entry| is(&entry.stamp) && entry.period.is_alive(at))
            || self.team.values().any(|entry| is(&entry.stamp) && at < entry.until)
            || self.breakglass.iter().any(|(_, entry)| is(&entry.stamp) && entry.period.is_alive(at))
    }
}
