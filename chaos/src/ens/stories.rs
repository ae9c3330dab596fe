//! The events of a day, as short stories of several events each.

use super::DAY_MS;
use super::Service::{App, Dmp, Hospital, Messaging, Portal, Prescription};
use super::people::StructureKind;
use super::scribe::{Scribe, law};
use serde_json::json;
use sillage_proto::v1::{Actor, BasisKind, Item};
use sillage_rules::consent::name::APP_SYSTEM;
use sillage_rules::kind::Kind;
use sillage_rules::time::TimeMs;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// How busy each hour is, in Paris winter time: practices by day, hospitals always, phones in the evening.
const BUSY: [u64; 24] = [2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 16, 9, 10, 16, 18, 18, 15, 12, 10, 9, 7, 5, 3];

/// One story of an ordinary day, at a likely hour.
pub fn any(scribe: &mut Scribe<'_>, start_ms: u64) {
    let at_ms = likely_moment(scribe, start_ms);
    let patient = scribe.dice.place(scribe.world.patients.len());
    scribe.story();
    match scribe.dice.below(100) {
        0..26 => family_doctor(scribe, patient, at_ms),
        26..42 => pharmacy(scribe, patient, at_ms),
        42..56 => laboratory(scribe, patient, at_ms),
        56..66 => hospital_stay(scribe, patient, at_ms),
        66..82 => reads_own_record(scribe, patient, at_ms),
        82..92 => app_sync(scribe, patient, at_ms),
        92..96 => imaging(scribe, patient, at_ms),
        _ => decides(scribe, patient, at_ms),
    }
}

fn likely_moment(scribe: &mut Scribe<'_>, start_ms: u64) -> u64 {
    let total: u64 = BUSY.iter().sum();
    loop {
        let at_ms = start_ms + scribe.dice.below(DAY_MS);
        let hour = usize::try_from((at_ms / HOUR_MS + 1) % 24).expect("an hour of the day");
        if scribe.dice.below(total) < BUSY[hour] * 6 {
            return at_ms;
        }
    }
}

/// Some documents of the patient's record, the newest first.
fn recent(scribe: &Scribe<'_>, patient: usize, count: usize) -> Vec<Item> {
    scribe.world.patients[patient].shelf.iter().rev().take(count).cloned().collect()
}

/// Makes a document and puts it on the patient's shelf.
fn deposit(scribe: &mut Scribe<'_>, patient: usize, category: &str, title: &str, by: usize) -> Item {
    let item = scribe.world.document(scribe.dice, category, title, &[], by);
    scribe.world.patients[patient].shelf.push(item.clone());
    item
}

/// One professional with this profession in a structure of this kind.
fn someone(scribe: &mut Scribe<'_>, kind: StructureKind, role: &str) -> usize {
    let places = scribe.world.places(kind);
    let place = *scribe.dice.pick(&places);
    let staff = scribe.world.staff(place, role);
    *scribe.dice.pick(&staff)
}

fn message(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64, from: usize, to: usize, item: &Item) {
    let (sender, recipient) = (scribe.world.actor(from), scribe.world.actor(to));
    scribe
        .event(Messaging, patient, at_ms, Kind::MOVEMENT_THIRD_PARTY, sender)
        .items(std::slice::from_ref(item))
        .basis(BasisKind::CareTeam, "")
        .recipient(recipient)
        .done();
}

fn notify(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64, about: &str) {
    let portal = Actor {
        system: "https://sillage.example/services".to_owned(),
        id: Portal.token().to_owned(),
        role: "service".to_owned(),
        organisation: String::new(),
        label: Portal.name().to_owned(),
    };
    scribe
        .event(Portal, patient, at_ms, Kind::NOTIFICATION_DELIVERED, portal)
        .automated("portail", "4.2")
        .details(&json!({ "about": about, "channel": "email" }))
        .done();
}

fn family_doctor(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let doctor = scribe.world.patients[patient].doctor;
    let (who, seen) = (scribe.world.actor(doctor), recent(scribe, patient, 2));
    scribe.event(Dmp, patient, at_ms, Kind::ACCESS_SEARCH, who.clone()).basis(BasisKind::Legal, law::ATTENDING).done();
    scribe
        .event(Dmp, patient, at_ms + MINUTE_MS, Kind::ACCESS_READ, who.clone())
        .items(&seen)
        .basis(BasisKind::Legal, law::ATTENDING)
        .done();
    let report = deposit(scribe, patient, "REPORT", "Compte rendu de consultation", doctor);
    scribe
        .event(Dmp, patient, at_ms + 14 * MINUTE_MS, Kind::ACCESS_WRITE, who.clone())
        .items(std::slice::from_ref(&report))
        .basis(BasisKind::Legal, law::DEPOSIT)
        .done();
    if scribe.dice.chance(75) {
        let paper = deposit(scribe, patient, "PRESCRIPTION", "Ordonnance", doctor);
        scribe
            .event(Prescription, patient, at_ms + 15 * MINUTE_MS, Kind::ACCESS_WRITE, who)
            .items(&[paper])
            .basis(BasisKind::Legal, law::DEPOSIT)
            .done();
    }
    if scribe.dice.chance(30) {
        let specialist = someone(scribe, StructureKind::Hospital, "cardiologist");
        message(scribe, patient, at_ms + 20 * MINUTE_MS, doctor, specialist, &report);
    }
    notify(scribe, patient, at_ms + 30 * MINUTE_MS, "document.added");
}

fn pharmacy(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let pharmacist = someone(scribe, StructureKind::Pharmacy, "pharmacist");
    let doctor = scribe.world.patients[patient].doctor;
    let papers = &scribe.world.patients[patient].shelf;
    let paper = papers.iter().rev().find(|item| item.category == "PRESCRIPTION").cloned();
    let paper = paper.unwrap_or_else(|| deposit(scribe, patient, "PRESCRIPTION", "Ordonnance", doctor));
    let who = scribe.world.actor(pharmacist);
    let steps = [(0, Kind::ACCESS_READ), (4, Kind::ACCESS_UPDATE)];
    for (minutes, kind) in steps {
        scribe
            .event(Prescription, patient, at_ms + minutes * MINUTE_MS, kind, who.clone())
            .items(std::slice::from_ref(&paper))
            .basis(BasisKind::Legal, law::DISPENSE)
            .done();
    }
    if scribe.dice.chance(20) {
        let shot = deposit(scribe, patient, "VACCINATION", "Vaccination contre la grippe", pharmacist);
        scribe
            .event(Dmp, patient, at_ms + 12 * MINUTE_MS, Kind::ACCESS_WRITE, who)
            .items(&[shot])
            .basis(BasisKind::Legal, law::DEPOSIT)
            .done();
    }
}

fn laboratory(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let (biologist, doctor) =
        (someone(scribe, StructureKind::Laboratory, "biologist"), scribe.world.patients[patient].doctor);
    let result = deposit(scribe, patient, "LAB", "Bilan sanguin", biologist);
    let (lab, reader) = (scribe.world.actor(biologist), scribe.world.actor(doctor));
    let only = std::slice::from_ref(&result);
    scribe.event(Dmp, patient, at_ms, Kind::ACCESS_WRITE, lab).items(only).basis(BasisKind::Legal, law::DEPOSIT).done();
    message(scribe, patient, at_ms + MINUTE_MS, biologist, doctor, &result);
    notify(scribe, patient, at_ms + 2 * MINUTE_MS, "result.available");
    scribe
        .event(Dmp, patient, at_ms + 50 * MINUTE_MS, Kind::ACCESS_READ, reader)
        .items(only)
        .basis(BasisKind::Legal, law::ATTENDING)
        .done();
    if scribe.dice.chance(60) {
        let own = scribe.world.patients[patient].actor();
        scribe
            .event(Portal, patient, at_ms + 70 * MINUTE_MS, Kind::ACCESS_READ, own)
            .items(only)
            .purpose("PATRQT")
            .basis(BasisKind::Self_, "")
            .done();
    }
}

fn imaging(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let radiologist = someone(scribe, StructureKind::Imaging, "radiologist");
    let who = scribe.world.actor(radiologist);
    let asked = recent(scribe, patient, 1);
    scribe
        .event(Dmp, patient, at_ms, Kind::ACCESS_READ, who.clone())
        .items(&asked)
        .basis(BasisKind::CareTeam, "")
        .done();
    let image = deposit(scribe, patient, "IMAGING", "Radiographie du thorax", radiologist);
    scribe
        .event(Dmp, patient, at_ms + 40 * MINUTE_MS, Kind::ACCESS_WRITE, who)
        .items(std::slice::from_ref(&image))
        .basis(BasisKind::Legal, law::DEPOSIT)
        .done();
    let doctor = scribe.world.patients[patient].doctor;
    message(scribe, patient, at_ms + 45 * MINUTE_MS, radiologist, doctor, &image);
}

fn hospital_stay(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let physician = someone(scribe, StructureKind::Hospital, "surgeon");
    let hospital = scribe.world.professionals[physician].structure;
    let nurses = scribe.world.staff(hospital, "nurse");
    let nurse = *scribe.dice.pick(&nurses);
    for member in [physician, nurse] {
        join_team(scribe, patient, at_ms, member);
    }
    let (who, carer, seen) = (scribe.world.actor(physician), scribe.world.actor(nurse), recent(scribe, patient, 3));
    let at = |minutes: u64| at_ms + minutes * MINUTE_MS;
    scribe.event(Hospital, patient, at(5), Kind::ACCESS_SEARCH, who.clone()).basis(BasisKind::CareTeam, "").done();
    scribe
        .event(Hospital, patient, at(6), Kind::ACCESS_READ, who.clone())
        .items(&seen)
        .basis(BasisKind::CareTeam, "")
        .done();
    let first = &seen[..seen.len().min(1)];
    scribe
        .event(Hospital, patient, at(25), Kind::ACCESS_READ, carer.clone())
        .items(first)
        .basis(BasisKind::CareTeam, "")
        .done();
    let report = deposit(scribe, patient, "REPORT", "Compte rendu opératoire", physician);
    scribe
        .event(Hospital, patient, at(170), Kind::ACCESS_WRITE, who.clone())
        .items(std::slice::from_ref(&report))
        .basis(BasisKind::Legal, law::DEPOSIT)
        .done();
    scribe
        .event(Hospital, patient, at(200), Kind::ACCESS_READ, carer)
        .items(std::slice::from_ref(&report))
        .basis(BasisKind::CareTeam, "")
        .done();
    let letter = deposit(scribe, patient, "LETTER", "Lettre de liaison", physician);
    scribe
        .event(Dmp, patient, at(300), Kind::ACCESS_WRITE, who)
        .items(std::slice::from_ref(&letter))
        .basis(BasisKind::Legal, law::DEPOSIT)
        .done();
    let doctor = scribe.world.patients[patient].doctor;
    message(scribe, patient, at(302), physician, doctor, &letter);
    notify(scribe, patient, at(310), "document.added");
}

fn join_team(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64, member: usize) {
    let organisation = scribe.world.actor(member).organisation;
    let until = TimeMs(at_ms + 10 * 24 * HOUR_MS);
    let details = json!({
        "professional": scribe.world.name(member), "origin": "admission", "until": until, "organisation": organisation,
    });
    // Nobody joins on their own word: the hospital's admissions say who treats.
    let admissions = Actor {
        system: "urn:sillage:system".to_owned(),
        id: "admissions".to_owned(),
        role: String::new(),
        organisation,
        label: "Bureau des admissions".to_owned(),
    };
    scribe.event(Hospital, patient, at_ms, Kind::CARETEAM_JOINED, admissions).details(&details).done();
}

fn reads_own_record(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let (own, seen) = (scribe.world.patients[patient].actor(), recent(scribe, patient, 2));
    let first = &seen[..seen.len().min(1)];
    let steps: [(u64, Kind, &[Item]); 3] =
        [(0, Kind::ACCESS_SEARCH, &[]), (1, Kind::ACCESS_READ, &seen), (3, Kind::ACCESS_DOWNLOAD, first)];
    let count = if scribe.dice.chance(40) { 3 } else { 2 };
    for (minutes, kind, items) in steps.into_iter().take(count) {
        scribe
            .event(Portal, patient, at_ms + minutes * MINUTE_MS, kind, own.clone())
            .items(items)
            .purpose("PATRQT")
            .basis(BasisKind::Self_, "")
            .done();
    }
    if scribe.dice.chance(35) {
        scribe
            .event(Portal, patient, at_ms + 5 * MINUTE_MS, Kind::NOTIFICATION_READ, own)
            .purpose("PATRQT")
            .basis(BasisKind::Self_, "")
            .done();
    }
}

fn app_sync(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let doctor = scribe.world.patients[patient].doctor;
    let app = Actor {
        system: APP_SYSTEM.to_owned(),
        id: "tension-facile".to_owned(),
        role: "app".to_owned(),
        organisation: String::new(),
        label: App.name().to_owned(),
    };
    let rounds = scribe.dice.between(1, 3);
    for round in 0..rounds {
        let mut measure = scribe.world.document(scribe.dice, "BLOOD_PRESSURE", "Mesures de tension", &[], doctor);
        measure.depositor = format!("{APP_SYSTEM}|{}", app.id);
        scribe
            .event(App, patient, at_ms + round * 2 * HOUR_MS, Kind::MOVEMENT_APP_SYNC, app.clone())
            .items(&[measure])
            .purpose("PATRQT")
            .basis(BasisKind::Consent, "")
            .automated("Tension Facile", "3.1.0")
            .done();
    }
}

/// The patient decides something: who may, who may not, what stays hidden.
fn decides(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    let (own, doctor) = (scribe.world.patients[patient].actor(), scribe.world.patients[patient].doctor);
    let other = someone(scribe, StructureKind::Hospital, "psychiatrist");
    let (doctor, other) = (scribe.world.name(doctor), scribe.world.name(other));
    let hidden = recent(scribe, patient, 1);
    let id = scribe.dice.uuid();
    let (kind, details, items): (Kind, serde_json::Value, &[Item]) = match scribe.dice.below(4) {
        0 => {
            let grantee = json!({ "professional": doctor });
            (
                Kind::CONSENT_DIRECTIVE,
                json!({ "id": id, "effect": "permit", "grantee": grantee, "actions": ["read"] }),
                &[],
            )
        }
        1 => (Kind::PROFESSIONAL_BLOCKED, json!({ "professional": other }), &[]),
        2 => (Kind::ITEM_MASKED, json!({}), &hidden),
        _ => (Kind::ATTENDING_DECLARED, json!({ "professional": doctor }), &[]),
    };
    scribe
        .event(Portal, patient, at_ms, kind, own)
        .items(items)
        .details(&details)
        .purpose("PATRQT")
        .basis(BasisKind::Self_, "")
        .done();
}

/// The events in anyone's day: a laboratory, the family doctor, the pharmacy, a look at one's own record; at hours at which
/// they happen.
pub fn ordinary(scribe: &mut Scribe<'_>, patient: usize, start_ms: u64) {
    type Teller = fn(&mut Scribe<'_>, usize, u64);
    let tellers: [(Teller, [u64; 2]); 4] =
        [(laboratory, [8, 14]), (family_doctor, [10, 16]), (pharmacy, [11, 17]), (reads_own_record, [20, 12])];
    for (tell, hours) in tellers {
        scribe.story();
        let at_ms = at_hour(start_ms, &hours, 90 * MINUTE_MS);
        tell(scribe, patient, at_ms);
    }
}

/// The first of these hours (Paris winter time) that leaves room for a story of `length_ms` before the day ends.
pub fn at_hour(start_ms: u64, hours: &[u64], length_ms: u64) -> u64 {
    let midnight_ms = (start_ms + HOUR_MS) / (24 * HOUR_MS) * (24 * HOUR_MS);
    let moments = hours.iter().flat_map(|hour| [0, 24].map(|more| midnight_ms + (hour + more) * HOUR_MS - HOUR_MS));
    let mut fitting = moments.filter(|at| (start_ms..=start_ms + DAY_MS - length_ms).contains(at));
    fitting.next().unwrap_or(start_ms + DAY_MS / 4) + 7 * MINUTE_MS
}

/// An emergency: unconscious on arrival, the physician breaks the glass, reads what saves a life, and says why.
pub fn emergency(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    scribe.story();
    let bichat = 0;
    let physicians = scribe.world.staff(bichat, "emergency-physician");
    // Dr Claire Dubois for the showcase, a colleague for the other.
    let physician = physicians[usize::from(patient != super::SHOWCASE)];
    let who = scribe.world.actor(physician);
    let at = |minutes: u64| at_ms + minutes * MINUTE_MS;
    let id = scribe.dice.uuid();
    let opened = json!({
        "id": id,
        "case": "INCAPACITY",
        "reason": "UNCONSCIOUS",
        "text": "Patient inconscient à l’arrivée aux urgences",
        "search": "INS",
        "expires": TimeMs(at(240)),
        "no_position": "INDOORS",
    });
    // The day is told to the ledger when it is over: what rests on a broken glass says why it comes so late.
    let late = "réseau de l’établissement coupé";
    scribe
        .event(Hospital, patient, at(0), Kind::BREAKGLASS_OPENED, who.clone())
        .purpose("BTG")
        .details(&opened)
        .deferred(late)
        .done();
    let allergies = deposit_before(scribe, patient, "ALLERGIES", "Allergies et intolérances");
    let summary = deposit_before(scribe, patient, "SUMMARY", "Synthèse médicale");
    for (minutes, kind, items) in [
        (1, Kind::ACCESS_SEARCH, vec![]),
        (2, Kind::ACCESS_READ, vec![allergies]),
        (3, Kind::ACCESS_READ, vec![summary]),
    ] {
        scribe
            .event(Hospital, patient, at(minutes), kind, who.clone())
            .items(&items)
            .purpose("BTG")
            .basis(BasisKind::Breakglass, &id)
            .deferred(late)
            .done();
    }
    notify(scribe, patient, at(5), "breakglass.opened");
    let report = deposit(scribe, patient, "REPORT", "Compte rendu de passage aux urgences", physician);
    scribe
        .event(Hospital, patient, at(95), Kind::ACCESS_WRITE, who.clone())
        .items(&[report])
        .basis(BasisKind::Legal, law::DEPOSIT)
        .done();
    let justified = json!({
        "breakglass": id,
        "text": "Choc anaphylactique suspecté : recherche d’allergies et de traitements en cours",
    });
    scribe
        .event(Hospital, patient, at(120), Kind::BREAKGLASS_JUSTIFIED, who.clone())
        .purpose("BTG")
        .details(&justified)
        .done();
    scribe
        .event(Hospital, patient, at(125), Kind::BREAKGLASS_CLOSED, who)
        .purpose("BTG")
        .details(&json!({ "breakglass": id }))
        .done();
    let own = scribe.world.patients[patient].actor();
    scribe
        .event(Portal, patient, at(400), Kind::NOTIFICATION_READ, own)
        .purpose("PATRQT")
        .basis(BasisKind::Self_, "")
        .done();
}

/// A document of the record that was there before: the family doctor's.
fn deposit_before(scribe: &mut Scribe<'_>, patient: usize, category: &str, title: &str) -> Item {
    let doctor = scribe.world.patients[patient].doctor;
    deposit(scribe, patient, category, title, doctor)
}

/// The day's one access without a basis: a hospital doctor outside the care team opens a psychiatric report.
pub fn without_basis(scribe: &mut Scribe<'_>, patient: usize, at_ms: u64) {
    scribe.story();
    let lariboisiere = 1;
    let curious = scribe.world.staff(lariboisiere, "cardiologist")[0];
    let doctor = scribe.world.patients[patient].doctor;
    let title = "Compte rendu de consultation de psychiatrie";
    let report = scribe.world.document(scribe.dice, "REPORT", title, &["PSY"], doctor);
    scribe.world.patients[patient].shelf.push(report.clone());
    let who = scribe.world.actor(curious);
    scribe.event(Hospital, patient, at_ms, Kind::ACCESS_READ, who).items(&[report]).done();
}
