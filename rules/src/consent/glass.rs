//! The broken glass of one patient: what is kept, by its id, and which of it may be open, by its actor.
//!
//! A structure may break the glass for any number of actors, so a decision and an admission look at one actor's open ones
//! alone, and an opening looks at all of them only once they have doubled. All of it follows from the records: a state
//! that was kept in memory and one that is folded anew are the same.

use std::collections::BTreeMap;

use sillage_proof::hash::LedgerTimeMs;

use super::admit::BREAKGLASSES_KEPT;
use super::name::ActorName;
use super::state::BreakGlassEntry;

type ById = BTreeMap<String, BreakGlassEntry>;

/// The break-glasses of one patient.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Glasses {
    by_id: ById,
    /// Of each actor the ids of those that held when the newest of theirs was opened. No other can hold afterwards; one of
    /// these may be closed or over by now.
    open: BTreeMap<ActorName, Vec<String>>,
    /// How many were left when those that were over were last forgotten.
    left: usize,
}

impl Glasses {
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All that are kept, with their ids, those that are over too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BreakGlassEntry)> {
        self.by_id.iter().map(|(id, entry)| (id.as_str(), entry))
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<&BreakGlassEntry> {
        self.by_id.get(id)
    }

    /// The same, to be closed, justified or reviewed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut BreakGlassEntry> {
        self.by_id.get_mut(id)
    }

    /// Those of this actor that are open at this moment, which isn't before the newest was opened.
    pub fn open_of(&self, actor: &ActorName, at: LedgerTimeMs) -> impl Iterator<Item = &BreakGlassEntry> {
        let ids = self.open.get(actor).into_iter().flatten();
        let own = ids.filter_map(|id| self.by_id.get(id)).filter(move |entry| entry.actor == *actor);
        own.filter(move |entry| entry.period.contains(at))
    }

    /// One is opened, or was meanwhile and is over.
    pub fn put(&mut self, id: &str, entry: BreakGlassEntry, now: LedgerTimeMs) {
        let actor = entry.actor.clone();
        self.by_id.insert(id.to_owned(), entry);
        let ids = self.open.entry(actor.clone()).or_default();
        ids.retain(|known| known != id);
        ids.push(id.to_owned());
        ids.retain(|known| holds(&self.by_id, known, &actor, now));
        if ids.is_empty() {
            self.open.remove(&actor);
        }
        self.forget(now);
    }

    /// Forgets the oldest of those that are over. Not each time: whenever there are twice as many as were left.
    fn forget(&mut self, now: LedgerTimeMs) {
        let Self { by_id, open, left } = self;
        if by_id.len() <= 2 * BREAKGLASSES_KEPT.max(*left) {
            return;
        }
        let over = by_id.iter().filter(|(_, entry)| !entry.period.is_alive(now));
        let mut over: Vec<_> = over.map(|(id, entry)| (entry.stamp, id.clone())).collect();
        over.sort_unstable();
        over.truncate(over.len().saturating_sub(BREAKGLASSES_KEPT));
        over.iter().for_each(|(_, id)| _ = by_id.remove(id));
        open.retain(|actor, ids| {
            ids.retain(|id| holds(by_id, id, actor, now));
            !ids.is_empty()
        });
        *left = by_id.len();
    }
}

/// Tells whether the one with this id is this actor's, and neither closed nor over.
fn holds(by_id: &ById, id: &str, actor: &ActorName, now: LedgerTimeMs) -> bool {
    by_id.get(id).is_some_and(|entry| entry.actor == *actor && entry.period.is_alive(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sillage_proof::hash::LeafIndex;

    use super::*;
    use crate::consent::Case;
    use crate::consent::state::{Period, Stamp};

    /// The holder, the opening, and until how long after it the opening holds; nothing: it closes that one. Last, how much
    /// later that is.
    type Draw = (u8, u8, Option<u8>, u8);

    fn actor(number: u8) -> ActorName {
        ActorName::new("urn:oid:1.2.3", &number.to_string()).expect("a name")
    }

    fn entry(by: u8, stamp: Stamp, held_ms: u64) -> BreakGlassEntry {
        let until = LedgerTimeMs(stamp.time.get() + held_ms);
        BreakGlassEntry {
            actor: actor(by),
            organisation: None,
            case: Case::Incapacity,
            period: Period { from: stamp.time, until },
            stamp,
            closed_by: None,
            justified_by: None,
            reviewed: None,
        }
    }

    /// One that never forgets and looks at everything.
    #[derive(Default)]
    struct Naive(BTreeMap<String, BreakGlassEntry>);

    impl Naive {
        fn open_of(&self, by: u8, at: LedgerTimeMs) -> Vec<&BreakGlassEntry> {
            self.0.values().filter(|entry| entry.actor == actor(by) && entry.period.contains(at)).collect()
        }
    }

    fn apply(glasses: &mut Glasses, naive: &mut Naive, (index, now): (u64, u64), (by, id, held, _): Draw) {
        let (stamp, id) = (Stamp { index: LeafIndex(index), time: LedgerTimeMs(now) }, id.to_string());
        match held {
            Some(held) => {
                let entry = entry(by, stamp, u64::from(held));
                naive.0.insert(id.clone(), entry.clone());
                glasses.put(&id, entry, stamp.time);
            }
            None => {
                for entry in [glasses.get_mut(&id), naive.0.get_mut(&id)].into_iter().flatten() {
                    entry.period.until = entry.period.until.min(stamp.time);
                }
            }
        }
    }

    fn check(glasses: &Glasses, naive: &Naive, by: u8, at: u64) {
        let at = LedgerTimeMs(at);
        let sorted = |mut all: Vec<LeafIndex>| {
            all.sort_unstable();
            all
        };
        let indexed = glasses.open_of(&actor(by), at).map(|entry| entry.stamp.index).collect();
        let scanned = naive.open_of(by, at).iter().map(|entry| entry.stamp.index).collect();
        assert_eq!(sorted(indexed), sorted(scanned), "of {by} at {at:?}");
    }

    fn draw() -> impl Strategy<Value = Draw> {
        (0..4_u8, 0..12_u8, prop::option::weighted(0.7, 0..20_u8), 0..6_u8)
    }

    proptest! {
        #[test]
        fn what_is_open_is_what_looking_at_everything_says(draws in prop::collection::vec(draw(), 0..120)) {
            let (mut glasses, mut naive, mut now) = (Glasses::default(), Naive::default(), 100);
            for (index, draw) in (1..).zip(&draws) {
                now += u64::from(draw.3);
                apply(&mut glasses, &mut naive, (index, now), *draw);
                for (by, later) in (0..4).flat_map(|by| [0, 1, 5, 19].map(|later| (by, later))) {
                    check(&glasses, &naive, by, now + later);
                }
            }
        }
    }

    #[test]
    fn the_oldest_that_are_over_go_whenever_there_are_twice_as_many_and_no_other() {
        let (mut glasses, mut most) = (Glasses::default(), 0);
        let put = |glasses: &mut Glasses, number: u64, held_ms| {
            let stamp = Stamp { index: LeafIndex(number), time: LedgerTimeMs(number) };
            glasses.put(&number.to_string(), entry((number % 250) as u8, stamp, held_ms), stamp.time);
        };
        put(&mut glasses, 1, 1_000_000);
        for number in 2..=20_000 {
            put(&mut glasses, number, 10);
            most = most.max(glasses.len());
        }
        assert!(most > BREAKGLASSES_KEPT && most <= 2 * (BREAKGLASSES_KEPT + 12), "{most}");
        assert!(glasses.get("1").is_some(), "it holds still");
        assert_eq!(glasses.open_of(&actor(1), LedgerTimeMs(20_000)).count(), 1);
        let kept = BREAKGLASSES_KEPT as u64;
        assert!(
            (20_002 - kept..=20_000).all(|number| glasses.get(&number.to_string()).is_some()),
            "the newest are kept"
        );
        assert!(glasses.open.len() <= 250 && glasses.open.values().all(|ids| ids.len() <= 2));
    }

    #[test]
    fn many_that_hold_stay_and_are_looked_at_seldom() {
        let (mut glasses, mut looked) = (Glasses::default(), 0);
        for number in 1..=30_000_u64 {
            let stamp = Stamp { index: LeafIndex(number), time: LedgerTimeMs(number) };
            let before = glasses.left;
            glasses.put(&number.to_string(), entry((number / 200) as u8, stamp, 1_000_000), stamp.time);
            looked += usize::from(glasses.left != before);
        }
        assert_eq!((glasses.len(), looked), (30_000, 3), "at 4,001, at 8,003 and at 16,007");
    }
}
