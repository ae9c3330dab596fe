//! A believable day at the *Espace Numérique de Santé*, made from one seed: who lives and works there, and what they do.
//!
//! Pure: no clock, no I/O, no randomness but the seed's. Start with [`Day::new`]: it makes a [`World`] (patients,
//! professionals, structures) and tells [`stories`] about them (a hospital stay, a visit to the family doctor, a
//! pharmacy, a laboratory, an app, a patient reading their own record) until there are as many events as asked for. The
//! first patient is the one worth looking at: an emergency with break-glass, and the day's one access without a basis.

pub mod dice;
pub mod identity;
pub mod line;
pub mod names;
pub mod people;
pub mod scribe;
pub mod stories;

pub use people::{Patient, Professional, Structure, World};

use dice::Dice;
use scribe::Scribe;
use sillage_proto::v1::{BasisKind, Record};
use sillage_rules::kind::{Group, Kind};

/// A service of the ENS that records what it does. Each is an author of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// The shared medical record: the store of documents.
    Dmp,
    /// Secure messaging between professionals, and with patients.
    Messaging,
    /// Electronic prescriptions.
    Prescription,
    /// The patients' portal.
    Portal,
    /// An app of the catalogue, which takes measurements at home.
    App,
    /// The gateway of the hospitals' own records.
    Hospital,
}

impl Service {
    /// All six.
    pub const ALL: [Self; 6] =
        [Self::Dmp, Self::Messaging, Self::Prescription, Self::Portal, Self::App, Self::Hospital];

    /// Short name: the label of its stream, the name of its folder.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Dmp => "dmp",
            Self::Messaging => "messagerie",
            Self::Prescription => "ordonnance",
            Self::Portal => "portail",
            Self::App => "app-tension",
            Self::Hospital => "passerelle",
        }
    }

    /// Its name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dmp => "Dossier médical partagé",
            Self::Messaging => "Messagerie sécurisée de santé",
            Self::Prescription => "Ordonnance numérique",
            Self::Portal => "Portail Mon espace santé",
            Self::App => "Tension Facile (application référencée)",
            Self::Hospital => "Passerelle des dossiers hospitaliers",
        }
    }
}

/// One thing that happened, as its service would record it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which service records it.
    pub service: Service,
    /// The patient: a place in [`World::patients`].
    pub patient: usize,
    /// The record; its tag is still empty, because only the ledger can resolve it.
    pub record: Record,
}

impl Event {
    /// Tells whether it may be recorded over and over, under any patient's tag: it decides nothing, refers to nothing, and has no
    /// id that could be taken. Loads are made of such events.
    pub fn may_repeat(&self) -> bool {
        let cites = self.record.basis.as_ref().is_some_and(|basis| basis.kind == BasisKind::Breakglass as i32);
        let group = Kind::from_code(self.record.kind).map(Kind::group);
        matches!(group, Ok(Group::Access | Group::Movement | Group::FollowUp)) && !cites
    }
}

/// How large a day is, and when it ends.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed of everything.
    pub seed: u64,
    /// People with a health space.
    pub patients: usize,
    /// Things that happen.
    pub events: usize,
    /// When the last of them happened at the latest, milliseconds since 1970.
    pub end_ms: u64,
}

/// Length of a day here: a little under 24 h, so that nothing in it is recorded late.
pub const DAY_MS: u64 = 23 * 3_600_000;

/// The patient with the emergency and the access without a basis.
pub const SHOWCASE: usize = 0;

/// A day's events in the order in which they happened.
#[derive(Clone, Debug)]
pub struct Day {
    /// The people who live and work there.
    pub world: World,
    /// In order of time.
    pub events: Vec<Event>,
}

impl Day {
    /// Makes the day of `plan`: the same plan gives the same day.
    ///
    /// # Panics
    /// When the plan has no patient, or fewer events than the told stories need (200).
    pub fn new(plan: Plan) -> Self {
        assert!(plan.patients >= 2 && plan.events >= 200, "a day needs 2 patients and 200 events");
        let mut dice = Dice::new(plan.seed);
        let mut world = World::new(&mut dice, plan.patients);
        let start_ms = plan.end_ms.saturating_sub(DAY_MS);
        let mut events = Vec::with_capacity(plan.events + 64);
        {
            let mut scribe = Scribe::new(&mut world, &mut dice, &mut events, plan.end_ms);
            stories::ordinary(&mut scribe, SHOWCASE, start_ms);
            let night_ms = stories::at_hour(start_ms, &[2, 22, 5], DAY_MS / 8);
            stories::emergency(&mut scribe, SHOWCASE, night_ms);
            let off_duty_ms = stories::at_hour(start_ms, &[19, 12, 22], DAY_MS / 8);
            stories::without_basis(&mut scribe, SHOWCASE, off_duty_ms);
            stories::emergency(&mut scribe, 1, start_ms + DAY_MS / 2);
            while scribe.written() < plan.events {
                stories::any(&mut scribe, start_ms);
            }
        }
        events.truncate(plan.events);
        events.sort_by_key(|event| event.record.occurred_at_ms);
        Self { world, events }
    }

    /// The showcase patient.
    pub fn showcase(&self) -> &Patient {
        &self.world.patients[SHOWCASE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
    use sillage_rules::consent::{Catalogue, Env, Event as RuleEvent, Matrix, Meta, PatientState, Policy};
    use sillage_rules::record::ParsedRecord;
    use std::collections::{BTreeMap, BTreeSet};

    const END_MS: u64 = 1_772_470_800_000;

    fn day(events: usize) -> Day {
        Day::new(Plan { seed: 7, patients: 500, events, end_ms: END_MS })
    }

    #[test]
    fn one_plan_is_one_day() {
        let (one, other) = (day(2_000), day(2_000));
        assert_eq!(one.events.len(), 2_000);
        let bytes = |day: &Day| day.events.iter().map(|e| e.record.encode_to_vec()).collect::<Vec<_>>();
        assert_eq!(bytes(&one), bytes(&other));
        let different = Day::new(Plan { seed: 8, patients: 500, events: 2_000, end_ms: END_MS });
        assert_ne!(bytes(&one), bytes(&different));
    }

    #[test]
    fn every_service_speaks_and_time_stays_in_the_day() {
        let day = day(5_000);
        let services: BTreeSet<Service> = day.events.iter().map(|e| e.service).collect();
        assert_eq!(services.len(), 6);
        let times: Vec<u64> = day.events.iter().map(|e| e.record.occurred_at_ms).collect();
        assert!(times.is_sorted());
        assert!(times.iter().all(|t| (END_MS - 24 * 3_600_000..=END_MS).contains(t)));
    }

    #[test]
    fn what_decides_is_admitted_in_its_order() {
        let (mut states, mut decided) = (BTreeMap::<usize, PatientState>::new(), 0);
        let day = day(8_000);
        for (index, event) in (1..).zip(&day.events) {
            let mut record = event.record.clone();
            record.tag = vec![1; 32];
            let parsed = ParsedRecord::parse(&record.encode_to_vec()).expect("a good record");
            let Some(told) = RuleEvent::of(&parsed).expect("good details") else { continue };
            let at = LedgerTimeMs(END_MS + index);
            let meta = Meta::of(&parsed, LeafIndex(index), at, false, false).expect("a signer");
            let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
            let env = Env {
                policy: &policy,
                matrix: &matrix,
                catalogue: &catalogue,
                revoked: &|_| false,
                claims: true,
                across_servers: true,
            };
            let state = states.entry(event.patient).or_default();
            state.admit(&told, &meta, &env).unwrap_or_else(|refused| panic!("{}: {refused:?}", parsed.kind()));
            state.apply(&told, &meta);
            decided += usize::from(!event.may_repeat());
        }
        assert!(decided > 100, "{decided}");
        let broken = states[&SHOWCASE].breakglasses().next().expect("one").1;
        assert!(broken.period.from < LedgerTimeMs(END_MS), "it held from when it was broken");
    }

    #[test]
    fn two_emergencies_and_one_access_without_basis() {
        let day = day(5_000);
        let of = |code: u32| day.events.iter().filter(move |e| e.record.kind == code).count();
        assert_eq!((of(0x0501), of(0x0502)), (2, 2));
        let accesses = day.events.iter().filter(|e| e.record.kind >> 8 == 6);
        let (with, without): (Vec<_>, Vec<_>) =
            accesses.partition(|e| e.record.basis.as_ref().is_some_and(|b| b.kind != BasisKind::None as i32));
        assert_eq!(without.len(), 1);
        assert_eq!(without[0].patient, SHOWCASE);
        let broken =
            with.iter().filter(|e| e.record.basis.as_ref().is_some_and(|b| b.kind == BasisKind::Breakglass as i32));
        assert!(broken.clone().count() >= 4);
        assert!(broken.clone().all(|e| e.record.purpose == "BTG"));
        assert_eq!(broken.map(|e| e.patient).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
    }
}
