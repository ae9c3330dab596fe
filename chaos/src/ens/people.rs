//! The people of the country: patients with their documents, professionals, and the structures they work in.

use super::dice::Dice;
use super::identity::{self, INS_TEST_OID, RPPS_SYSTEM, Sex};
use super::names::{DOCUMENTS, FAMILIES, HOSPITALS, MEN, TOWNS, WOMEN};
use sillage_proto::v1::{Actor, Item};
use sillage_rules::consent::name::{PATIENT_ID, PATIENT_SYSTEM};
use std::collections::BTreeSet;

/// Someone with a health space.
#[derive(Clone, Debug)]
pub struct Patient {
    /// 15 characters.
    pub ins: String,
    /// OID of the INS.
    pub oid: &'static str,
    /// First and family name.
    pub name: String,
    /// Family doctor: a place in [`World::professionals`].
    pub doctor: usize,
    /// Documents of the record, oldest first.
    pub shelf: Vec<Item>,
}

impl Patient {
    /// The patient as the one who acts.
    pub fn actor(&self) -> Actor {
        Actor {
            system: PATIENT_SYSTEM.to_owned(),
            id: PATIENT_ID.to_owned(),
            role: "patient".to_owned(),
            organisation: String::new(),
            label: self.name.clone(),
        }
    }
}

/// The sort of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructureKind {
    /// Hospital.
    Hospital,
    /// Doctors' practice.
    Practice,
    /// Pharmacy.
    Pharmacy,
    /// Medical laboratory.
    Laboratory,
    /// Imaging centre.
    Imaging,
}

/// A place of care.
#[derive(Clone, Debug)]
pub struct Structure {
    /// Its sort.
    pub kind: StructureKind,
    /// FINESS number.
    pub finess: String,
    /// As people call it.
    pub name: String,
}

/// Someone who cares for patients.
#[derive(Clone, Debug)]
pub struct Professional {
    /// RPPS number.
    pub rpps: String,
    /// Profession, a token.
    pub role: &'static str,
    /// Title and name.
    pub name: String,
    /// Where they work: a place in [`World::structures`].
    pub structure: usize,
}

/// Everyone and everything of a day.
#[derive(Clone, Debug)]
pub struct World {
    /// People with a health space.
    pub patients: Vec<Patient>,
    /// About 600.
    pub professionals: Vec<Professional>,
    /// Where they work.
    pub structures: Vec<Structure>,
}

/// Professions in a structure: token, title, how many.
type Staff = &'static [(&'static str, &'static str, usize)];

const HOSPITAL_STAFF: Staff = &[
    ("emergency-physician", "Dr", 3),
    ("cardiologist", "Dr", 2),
    ("radiologist", "Dr", 2),
    ("anaesthetist", "Dr", 2),
    ("psychiatrist", "Dr", 1),
    ("surgeon", "Dr", 2),
    ("midwife", "", 2),
    ("nurse", "", 8),
];
const PRACTICE_STAFF: Staff = &[("general-practitioner", "Dr", 3), ("nurse", "", 1)];
const PHARMACY_STAFF: Staff = &[("pharmacist", "", 2)];
const LABORATORY_STAFF: Staff = &[("biologist", "Dr", 2)];
const IMAGING_STAFF: Staff = &[("radiologist", "Dr", 2)];

impl World {
    /// Makes everyone.
    pub fn new(dice: &mut Dice, patients: usize) -> Self {
        let structures = structures(dice);
        let professionals = professionals(dice, &structures);
        let mut world = Self { patients: Vec::with_capacity(patients), professionals, structures };
        let doctors = world.all_of("general-practitioner");
        let mut taken = BTreeSet::new();
        while world.patients.len() < patients {
            let doctor = *dice.pick(&doctors);
            let patient = match world.patients.len() {
                super::SHOWCASE => showcase(dice, doctor),
                _ => patient(dice, doctor),
            };
            if taken.insert(patient.ins.clone()) {
                world.patients.push(patient);
            }
        }
        for place in 0..patients {
            let count = if place == super::SHOWCASE { 6 } else { dice.between(1, 5) };
            for _ in 0..count {
                let (category, title, labels) = *dice.pick(DOCUMENTS);
                let item = world.document(dice, category, title, labels, world.patients[place].doctor);
                world.patients[place].shelf.push(item);
            }
        }
        world
    }

    /// The places of all professionals with this profession.
    pub fn all_of(&self, role: &str) -> Vec<usize> {
        (0..self.professionals.len()).filter(|i| self.professionals[*i].role == role).collect()
    }

    /// Those with this profession who work in the structure.
    pub fn staff(&self, structure: usize, role: &str) -> Vec<usize> {
        self.all_of(role).into_iter().filter(|i| self.professionals[*i].structure == structure).collect()
    }

    /// All structures of one kind.
    pub fn places(&self, kind: StructureKind) -> Vec<usize> {
        (0..self.structures.len()).filter(|i| self.structures[*i].kind == kind).collect()
    }

    /// The professional as the one who acts: `Dr Claire Dubois, hôpital Bichat`.
    pub fn actor(&self, professional: usize) -> Actor {
        let who = &self.professionals[professional];
        let place = &self.structures[who.structure];
        Actor {
            system: RPPS_SYSTEM.to_owned(),
            id: who.rpps.clone(),
            role: who.role.to_owned(),
            organisation: place.finess.clone(),
            label: format!("{}, {}", who.name, place.name),
        }
    }

    /// The professional as records name them: `system|id`.
    pub fn name(&self, professional: usize) -> String {
        format!("{RPPS_SYSTEM}|{}", self.professionals[professional].rpps)
    }

    /// A new document, deposited by `depositor`.
    pub fn document(&self, dice: &mut Dice, category: &str, title: &str, labels: &[&str], depositor: usize) -> Item {
        Item {
            id: dice.uuid(),
            category: category.to_owned(),
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            depositor: self.name(depositor),
            label: title.to_owned(),
        }
    }
}

fn patient(dice: &mut Dice, doctor: usize) -> Patient {
    let sex = if dice.chance(52) { Sex::Female } else { Sex::Male };
    let birth_year = 2026 - dice.between(0, 96);
    let name = full_name(dice, sex);
    Patient { ins: identity::ins(dice, sex, birth_year), oid: INS_TEST_OID, name, doctor, shelf: Vec::new() }
}

/// The patient whose trace is shown: a grown woman, so that every story suits her.
fn showcase(dice: &mut Dice, doctor: usize) -> Patient {
    let ins = identity::ins(dice, Sex::Female, 1968);
    Patient { ins, oid: INS_TEST_OID, name: "Sylvie Moreau".to_owned(), doctor, shelf: Vec::new() }
}

fn full_name(dice: &mut Dice, sex: Sex) -> String {
    let first = if sex == Sex::Female { dice.pick(WOMEN) } else { dice.pick(MEN) };
    format!("{first} {}", dice.pick(FAMILIES))
}

fn structures(dice: &mut Dice) -> Vec<Structure> {
    let mut all: Vec<Structure> = HOSPITALS
        .iter()
        .map(|(department, name)| Structure {
            kind: StructureKind::Hospital,
            finess: identity::finess(dice, department),
            name: (*name).to_owned(),
        })
        .collect();
    for (department, _, town) in TOWNS {
        let family = dice.pick(FAMILIES);
        let street = *dice.pick(&["de la Gare", "du Marché", "Pasteur", "Victor-Hugo", "Jean-Jaurès", "des Lilas"]);
        let rest = [
            (StructureKind::Practice, format!("maison de santé {street}, {town}")),
            (StructureKind::Pharmacy, format!("pharmacie {family}, {town}")),
            (StructureKind::Laboratory, format!("laboratoire {street}, {town}")),
            (StructureKind::Imaging, format!("centre d’imagerie {street}, {town}")),
        ];
        for (kind, name) in rest {
            all.push(Structure { kind, finess: identity::finess(dice, department), name });
        }
    }
    all
}

fn professionals(dice: &mut Dice, structures: &[Structure]) -> Vec<Professional> {
    let mut all = Vec::new();
    for (place, structure) in structures.iter().enumerate() {
        let staff = match structure.kind {
            StructureKind::Hospital => HOSPITAL_STAFF,
            StructureKind::Practice => PRACTICE_STAFF,
            StructureKind::Pharmacy => PHARMACY_STAFF,
            StructureKind::Laboratory => LABORATORY_STAFF,
            StructureKind::Imaging => IMAGING_STAFF,
        };
        for (role, title, count) in staff {
            for _ in 0..*count {
                let sex = if dice.chance(58) { Sex::Female } else { Sex::Male };
                let name = full_name(dice, sex);
                let name = if title.is_empty() { name } else { format!("{title} {name}") };
                all.push(Professional { rpps: identity::rpps(dice), role, name, structure: place });
            }
        }
    }
    // The showcase's emergency physician has a name that people remember.
    if let Some(first) = all.first_mut() {
        first.name = "Dr Claire Dubois".to_owned();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_an_identifier_of_their_own() {
        let world = World::new(&mut Dice::new(1), 3_000);
        assert!((500..=700).contains(&world.professionals.len()), "{}", world.professionals.len());
        let ins: BTreeSet<&str> = world.patients.iter().map(|p| p.ins.as_str()).collect();
        assert_eq!(ins.len(), 3_000);
        let rpps: BTreeSet<&str> = world.professionals.iter().map(|p| p.rpps.as_str()).collect();
        assert_eq!(rpps.len(), world.professionals.len());
        assert_eq!(world.actor(0).label, "Dr Claire Dubois, hôpital Bichat");
        assert!(world.patients.iter().all(|p| !p.shelf.is_empty()));
    }

    #[test]
    fn doctors_are_shared_out() {
        let world = World::new(&mut Dice::new(1), 3_000);
        let doctors: BTreeSet<usize> = world.patients.iter().map(|p| p.doctor).collect();
        assert!(doctors.len() > 60, "{}", doctors.len());
    }
}
