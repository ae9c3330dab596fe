//! The part of a record that still holds. An export carries that to another ledger, and an import finds here what holds
//! there already. Directives and broken glass are apart: see [`PatientState::directives`].

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

use super::event::Event;
use super::people::{Membership, Representation};
use super::state::{FOR_EVER, Period, RepresentationEntry, Space, Stamp};
use super::token::{Case, Power};
use super::{Meta, PatientState};
use crate::kind::Kind;
use crate::time::TimeMs;

/// The kinds whose records hold until something ends them, directives and broken glass aside.
pub const HOLDING_KINDS: [Kind; 11] = [
    Kind::SPACE_OPPOSED,
    Kind::SPACE_CLOSED,
    Kind::EMERGENCY_OPPOSITION,
    Kind::PROFESSIONAL_BLOCKED,
    Kind::ITEM_MASKED,
    Kind::ITEM_EMBARGOED,
    Kind::FEED_OPPOSED,
    Kind::REPRESENTATION_REGISTERED,
    Kind::MINOR_SECRECY_SET,
    Kind::CARETEAM_JOINED,
    Kind::ATTENDING_DECLARED,
];

/// The part of one record that still holds: whatever later records ended or said anew isn't in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The record.
    pub stamp: Stamp,
    /// The items that are masked, held back or kept secret by this record.
    pub items: BTreeSet<String>,
    /// The emergency cases that are opposed by it.
    pub cases: BTreeSet<Case>,
    /// When it holds.
    pub period: Period,
}

impl Holding {
    fn new(stamp: Stamp, period: Period) -> Self {
        Self { stamp, items: BTreeSet::new(), cases: BTreeSet::new(), period }
    }
}

impl PatientState {
    /// The parts that hold at this moment or will, by the record that each is from. An open space is what holds without
    /// any.
    pub fn holdings(&self, at: LedgerTimeMs) -> BTreeMap<LeafIndex, Holding> {
        let mut all = Holdings(BTreeMap::new());
        let without_end = |stamp: &Stamp| Period { from: stamp.time, until: FOR_EVER };
        if let Some(stamp) = self.space_stamp.filter(|_| self.space != Space::Open) {
            all.add(&stamp, without_end(&stamp));
        }
        for (case, stamp) in &self.opposed_cases {
            all.add(stamp, without_end(stamp)).cases.insert(*case);
        }
        for (item, stamp) in self.masked.iter().chain(self.secret.iter()) {
            all.add(stamp, without_end(stamp)).items.insert(item.clone());
        }
        for (item, entry) in self.embargoed.iter().filter(|(_, entry)| at < entry.until) {
            let period = Period { from: entry.stamp.time, until: entry.until };
            all.add(&entry.stamp, period).items.insert(item.clone());
        }
        let feeds = self.feeds.values().map(|entry| &entry.stamp);
        let attending = self.attending.iter().map(|(_, stamp)| stamp);
        for stamp in self.blocked.values().chain(feeds).chain(attending) {
            all.add(stamp, without_end(stamp));
        }
        for entry in self.representations.values().filter(|entry| entry.period.is_alive(at)) {
            all.add(&entry.stamp, entry.period);
        }
        for entry in self.team.values().filter(|entry| at < entry.until) {
            all.add(&entry.stamp, Period { from: entry.stamp.time, until: entry.until });
        }
        all.0
    }

    /// The record by which what `event` says holds already, the same from now on and with the same end: to record it would
    /// change nothing. `meta.time` is now.
    pub fn holds_already(&self, event: &Event, meta: &Meta) -> Option<LeafIndex> {
        let now = meta.time;
        match event {
            // One that a login proves says more than one that nothing does.
            Event::SpaceOpposed | Event::SpaceClosed if meta.will.is_some() && self.space_proven.is_none() => None,
            Event::SpaceOpposed => self.space_is(Space::Opposed),
            Event::SpaceClosed => self.space_is(Space::Closed),
            Event::EmergencyOpposed { cases } => all_of(cases, |case| self.opposed_cases.get(case)),
            Event::Blocked { professional } => all_of([professional], |name| self.blocked.get(name)),
            Event::Masked { items } => all_of(items, |item| self.masked.get(item)),
            Event::SecrecySet { items } => all_of(items, |item| self.secret.get(item)),
            Event::Embargoed { items, until } => {
                let until = end_of(*until);
                let same = |item| self.embargoed.get(item).filter(|entry| now < until && entry.until == until);
                all_of(items, |item| same(item).map(|entry| &entry.stamp))
            }
            Event::FeedOpposed(feed) => {
                let key = (feed.source.clone(), feed.category.clone());
                self.feeds.get(&key).map(|entry| entry.stamp.index)
            }
            Event::Represented(representation) => self.represents_already(representation, meta),
            Event::Joined(membership) => self.is_member_already(membership, meta),
            Event::AttendingDeclared { professional } => {
                self.attending().filter(|(name, _)| *name == professional).map(|(_, stamp)| stamp.index)
            }
            _ => None,
        }
    }

    fn space_is(&self, space: Space) -> Option<LeafIndex> {
        self.space_stamp.filter(|_| self.space == space).map(|stamp| stamp.index)
    }

    fn represents_already(&self, wanted: &Representation, meta: &Meta) -> Option<LeafIndex> {
        let now = meta.time;
        let period = Period::new(wanted.from, wanted.until, now);
        let powers = |of: &Representation| of.powers().iter().copied().collect::<BTreeSet<Power>>();
        let same = |entry: &&RepresentationEntry| {
            // Both have begun: when makes no difference any more.
            let begins = entry.period.from.max(now) == period.from.max(now);
            let ends = entry.period.until == period.until;
            let by = entry.by == wanted.passed_on_by(&meta.signer);
            begins && ends && by && period.is_alive(now) && powers(&entry.representation) == powers(wanted)
        };
        let known = self.representations.get(&(wanted.representative.clone(), wanted.relation));
        known.filter(same).map(|entry| entry.stamp.index)
    }

    fn is_member_already(&self, wanted: &Membership, meta: &Meta) -> Option<LeafIndex> {
        let until = wanted.until.map(|until| LedgerTimeMs(until.0))?;
        let key = (wanted.professional.clone(), wanted.origin.clone(), wanted.organisation.clone());
        let known = self.team.get(&key).filter(|entry| meta.time < until && entry.until == until);
        known.filter(|entry| entry.structure == wanted.structure(&meta.signer)).map(|entry| entry.stamp.index)
    }
}

/// When what a record says ends by itself; [`FOR_EVER`] where it doesn't.
pub fn until(event: &Event) -> LedgerTimeMs {
    match event {
        Event::Embargoed { until, .. } => end_of(*until),
        Event::Represented(representation) => end_of(representation.until),
        Event::Joined(membership) => end_of(membership.until),
        _ => FOR_EVER,
    }
}

fn end_of(until: Option<TimeMs>) -> LedgerTimeMs {
    until.map_or(FOR_EVER, |until| LedgerTimeMs(until.0))
}

/// The first of the records that each of `keys` has; none where one has none, or there is no key.
fn all_of<'s, K>(keys: impl IntoIterator<Item = K>, of: impl Fn(K) -> Option<&'s Stamp>) -> Option<LeafIndex> {
    let stamps: Option<Vec<&Stamp>> = keys.into_iter().map(of).collect();
    stamps?.into_iter().map(|stamp| stamp.index).min()
}

struct Holdings(BTreeMap<LeafIndex, Holding>);

impl Holdings {
    fn add(&mut self, stamp: &Stamp, period: Period) -> &mut Holding {
        self.0.entry(stamp.index).or_insert_with(|| Holding::new(*stamp, period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Actor, ActorName, Relation};

    fn meta(index: u64, time: u64) -> Meta {
        let signer = Actor::patient();
        let (index, time) = (LeafIndex(index), LedgerTimeMs(time));
        Meta {
            index,
            time,
            signer,
            authority: false,
            patient_key: true,
            authenticated: true,
            will: None,
            party: None,
            server: None,
        }
    }

    fn items(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn doctor(id: &str) -> ActorName {
        ActorName::new("urn:example:doctors", id).expect("a name")
    }

    fn state(events: &[Event]) -> PatientState {
        let mut state = PatientState::default();
        for (index, event) in (1..).zip(events) {
            state.apply(event, &meta(index, index * 10));
        }
        state
    }

    fn held(state: &PatientState, at: u64) -> Vec<u64> {
        state.holdings(LedgerTimeMs(at)).keys().map(|index| index.get()).collect()
    }

    #[test]
    fn what_was_ended_or_said_anew_is_not_held_by_the_record_that_said_it_first() {
        let state = state(&[
            Event::Masked { items: items(&["a", "b"]) },
            Event::Unmasked { items: items(&["b"]) },
            Event::Masked { items: items(&["a", "b", "c"]) },
            Event::AttendingDeclared { professional: doctor("x") },
            Event::AttendingDeclared { professional: doctor("y") },
            Event::AttendingEnded { professional: doctor("y") },
            Event::SpaceClosed,
            Event::SpaceOpened,
            Event::Embargoed { items: items(&["e", "f"]), until: Some(TimeMs(1_000)) },
            Event::Embargoed { items: items(&["e"]), until: Some(TimeMs(500)) },
        ]);
        let all = state.holdings(LedgerTimeMs(200));
        assert_eq!(held(&state, 200), [1, 3, 9, 10]);
        assert_eq!(all[&LeafIndex(1)].items, items(&["a"]).into_iter().collect());
        assert_eq!(all[&LeafIndex(3)].items, items(&["b", "c"]).into_iter().collect());
        assert_eq!(all[&LeafIndex(9)].items, items(&["f"]).into_iter().collect());
        // A moment is the first at which what ends then doesn't hold.
        assert_eq!(held(&state, 500), [1, 3, 9]);
        assert_eq!(held(&state, 1_000), [1, 3]);
    }

    #[test]
    fn what_holds_the_same_is_found_and_what_differs_is_not() {
        let caregiver = |from: Option<u64>, until: u64, powers: &[Power]| {
            Event::Represented(Representation {
                representative: doctor("aide"),
                relation: Relation::Caregiver,
                powers: Some(powers.to_vec()),
                from: from.map(TimeMs),
                until: Some(TimeMs(until)),
                activated: None,
                representative_tag: None,
            })
        };
        let joined = |until: u64, organisation: Option<&str>| {
            let organisation = organisation.map(str::to_owned);
            Event::Joined(Membership {
                professional: doctor("x"),
                until: Some(TimeMs(until)),
                origin: None,
                organisation,
            })
        };
        let embargo =
            |ids: &[&str], until: Option<u64>| Event::Embargoed { items: items(ids), until: until.map(TimeMs) };
        let state = state(&[
            Event::Masked { items: items(&["a", "b"]) },
            embargo(&["e"], Some(1_000)),
            caregiver(None, 900, &[Power::Read, Power::Consent]),
            joined(800, Some("F1")),
            Event::EmergencyOpposed { cases: vec![Case::Samu] },
        ]);
        let found = |event: &Event| state.holds_already(event, &meta(99, 100)).map(|index| index.get());
        for (event, index) in [
            (Event::Masked { items: items(&["b"]) }, Some(1)),
            (Event::Masked { items: items(&["b", "c"]) }, None),
            (embargo(&["e"], Some(1_000)), Some(2)),
            (embargo(&["e"], Some(1_001)), None),
            (embargo(&["e"], None), None),
            (caregiver(Some(30), 900, &[Power::Consent, Power::Read]), Some(3)),
            (caregiver(Some(200), 900, &[Power::Consent, Power::Read]), None),
            (caregiver(Some(30), 900, &[Power::Read]), None),
            (joined(800, Some("F1")), Some(4)),
            (joined(800, None), None),
            (joined(801, Some("F1")), None),
            (Event::EmergencyOpposed { cases: vec![Case::Samu] }, Some(5)),
            (Event::EmergencyOpposed { cases: vec![Case::Samu, Case::Fire] }, None),
            (Event::SpaceClosed, None),
            (Event::Blocked { professional: doctor("x") }, None),
        ] {
            assert_eq!(found(&event), index, "{event:?}");
        }
        // What has run out doesn't hold, whoever says it again.
        assert_eq!(state.holds_already(&embargo(&["e"], Some(1_000)), &meta(99, 1_000)), None);
        assert_eq!(state.holds_already(&joined(800, Some("F1")), &meta(99, 800)), None);
    }
}
