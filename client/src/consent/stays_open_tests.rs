use serde_json::json;
use sillage_proof::hash::LedgerTimeMs;
use sillage_proto::v1;
use sillage_rules::consent::{Action, Actor};
use sillage_rules::decide::{ItemFacts, Request, decide};
use sillage_rules::kind::Kind;

use super::*;
use crate::consent::change::Change;
use crate::consent::testing::*;

fn said(change: &Change, proven: bool, known: Option<&Known>) -> Vec<StaysOpen> {
    let (_, event) = change.check(&patient(), NOW, Some(&TAG)).expect("a change");
    stays_open(&event, proven, known.map(|known| About { known, side: &known.open }))
}

fn texts(said: &[StaysOpen], lang: Lang) -> String {
    said.iter().map(|said| said.text(lang)).collect::<Vec<_>>().join("\n")
}

fn of(said: &[StaysOpen], whom: Whom) -> &StaysOpen {
    said.iter().find(|said| said.whom == whom).expect("it is said")
}

/// Two structures deposited; a doctor of the second is the one who is blocked.
fn patient_with_documents() -> Known {
    known(&[
        (deposit(&[("d1", "LAB"), ("d2", "REPORT")]), doctor_of(OTHER, "F100")),
        (deposit(&[("d3", "LAB")]), doctor_of(DR, "F200")),
    ])
}

fn mask(id: &str) -> Change {
    Change::of_items(Kind::ITEM_MASKED, vec![item(id, "")])
}

fn block() -> Change {
    Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &name(DR))
}

#[test]
fn before_a_mask_the_patient_learns_which_structure_sees_on() {
    let known = patient_with_documents();
    let said = said(&mask("d1"), true, Some(&known));
    let depositor = of(&said, Whom::Depositor);
    assert_eq!(depositor.documents, Some(1));
    let fr = "La structure qui a déposé le document le voit encore (un document aujourd'hui) : F100 (1).";
    assert_eq!(depositor.fr, fr);
    assert!(depositor.en.contains("still sees it (one document today): F100 (1)"), "{}", depositor.en);
    assert!(!of(&said, Whom::Emergency).open);
    assert!(!said.iter().any(|said| said.whom == Whom::Attending), "none is declared");
}

#[test]
fn a_mask_on_a_short_name_says_that_it_holds_on_every_server() {
    let fr = "Un nom sans serveur (DocumentReference/12) vaut pour le document de ce nom sur chaque serveur.";
    let en = "A name without a server (DocumentReference/12) holds for the document of that name on every server.";
    let short = said(&mask("DocumentReference/12"), true, None);
    assert!(texts(&short, Lang::Fr).contains(fr) && texts(&short, Lang::En).contains(en), "{short:?}");
    let url = said(&mask("https://h.example/fhir/DocumentReference/12"), true, None);
    assert!(!texts(&url, Lang::En).contains("every server"), "{url:?}");
}

#[test]
fn what_is_said_before_the_ledger_is_asked_counts_nothing() {
    for change in [mask("d1"), block(), Change::bare(Kind::SPACE_CLOSED)] {
        let said = said(&change, false, None);
        assert!(said.len() > 2 && said.iter().all(|said| said.documents.is_none()), "{said:?}");
    }
    let opened = Change::bare(Kind::SPACE_OPENED);
    assert_eq!(said(&opened, true, None), []);
}

#[test]
fn before_a_block_the_patient_learns_that_it_is_of_a_person() {
    let known = patient_with_documents();
    let said = said(&block(), true, Some(&known));
    assert_eq!(of(&said, Whom::Depositor).documents, Some(1));
    assert_eq!(of(&said, Whom::Structure).documents, Some(0));
    let text = texts(&said, Lang::Fr);
    assert!(text.contains("ses collègues de la structure F200 voient encore"), "{text}");
    assert!(text.contains("le bris de glace ne lève pas un blocage"), "{text}");
}

#[test]
fn a_closing_shuts_out_emergencies_where_a_login_proves_it_and_that_is_said() {
    let known = patient_with_documents();
    let close = Change::bare(Kind::SPACE_CLOSED);
    let proven = texts(&said(&close, true, Some(&known)), Lang::Fr);
    assert!(proven.contains("même si la vie du patient en dépend"), "{proven}");
    let claimed = texts(&said(&close, false, Some(&known)), Lang::En);
    assert!(claimed.contains("still opens the space") && claimed.contains("To bar that too"), "{claimed}");
    let opposed =
        known_after(&[Change::with(Kind::EMERGENCY_OPPOSITION, json!({"cases": ["INCAPACITY", "SAMU", "FIRE"]}))]);
    let claimed = texts(&said(&close, false, Some(&opposed)), Lang::En);
    assert!(!claimed.contains("still opens"), "every case is opposed: {claimed}");
}

fn known_after(changes: &[Change]) -> Known {
    known(&changes.iter().map(|change| (change.clone(), patient())).collect::<Vec<_>>())
}

/// Each sentence is what the decision procedure decides once the change is on record.
#[test]
fn what_is_said_is_what_is_decided() {
    let known = patient_with_documents();
    let facts = |id: &str, depositor: &str, organisation: &str| ItemFacts {
        id: id.into(),
        depositor: Some(name(depositor)),
        depositor_organisation: Some(organisation.into()),
        ..ItemFacts::default()
    };
    let professional = |text: &str, organisation: &str| {
        let (system, id) = text.split_once('|').expect("system|id");
        Actor::from_record(&v1::Actor {
            system: system.into(),
            id: id.into(),
            role: "physician".into(),
            organisation: organisation.into(),
            ..v1::Actor::default()
        })
        .expect("an actor")
    };
    let decided = |change: &Change, actor: Actor, item: ItemFacts| {
        let (record, event) = change.check(&patient(), NOW, Some(&TAG)).expect("a change");
        let meta = crate::consent::change::meta(&record, (9, NOW), false, false).expect("signed");
        let mut state = known.open.state.clone();
        state.apply(&event, &meta);
        let request = Request {
            actor,
            action: Action::Read,
            purpose: "TREAT".into(),
            at: LedgerTimeMs(NOW + 3_600_000),
            items: vec![item],
            word_of: None,
        };
        known.with_env(|env| decide(env, &state, None, &request)).items[0].permit
    };
    let colleague = "urn:oid:1.2.250.1.71.4.2.1|10000000024";
    // The structure that deposited sees a masked document on.
    assert!(decided(&mask("d1"), professional(colleague, "F100"), facts("d1", OTHER, "F100")));
    assert!(!decided(&mask("d1"), professional(colleague, "F300"), facts("d1", OTHER, "F100")));
    // Who is blocked sees their own deposits, and not what their structure deposited; their colleagues do.
    assert!(decided(&block(), professional(DR, "F200"), facts("d3", DR, "F200")));
    assert!(!decided(&block(), professional(DR, "F200"), facts("d4", OTHER, "F200")));
    assert!(decided(&block(), professional(colleague, "F200"), facts("d3", DR, "F200")));
    // Nobody sees anything in a closed space, but for the patient.
    let close = Change::bare(Kind::SPACE_CLOSED);
    assert!(!decided(&close, professional(OTHER, "F100"), facts("d1", OTHER, "F100")));
    assert!(decided(&close, Actor::patient(), facts("d1", OTHER, "F100")));
}
