use serde_json::json;

use super::*;
use crate::consent::change::Change;
use crate::consent::testing::*;

fn grant(id: &str, more: Value) -> Change {
    let mut details = json!({"id": id, "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"]});
    if let (Value::Object(fields), Value::Object(more)) = (&mut details, more) {
        fields.extend(more);
    }
    directive(details)
}

#[test]
fn history_says_how_each_decision_stands_and_what_ended_it() {
    let known = known(&[
        (grant("revoked", json!({})), patient()),
        (grant("short", json!({"until": "2026-03-02T09:03:30Z"})), patient()),
        (grant("old", json!({})), patient()),
        (grant("new", json!({"supersedes": "old"})), patient()),
        (Change::with(Kind::CONSENT_REVOKED, json!({"consent": "revoked"})), patient()),
        (grant("later", json!({"from": "2026-04-01T00:00:00Z"})), patient()),
    ]);
    let standings = standings(&known.open, known.at());
    assert_eq!(standings[0], Standing::Over(Ended::By(LeafIndex(5))));
    assert!(matches!(standings[1], Standing::Over(Ended::Expired(_))), "{:?}", standings[1]);
    assert_eq!(standings[2], Standing::Over(Ended::By(LeafIndex(4))));
    assert_eq!(standings[3], Standing::InForce);
    assert_eq!(standings[4], Standing::Act);
    assert!(matches!(standings[5], Standing::ToCome(_)), "{:?}", standings[5]);
    let text = history(&known, Lang::Fr).join("\n");
    assert!(text.contains("par le n° 5 : consentement retiré]") && text.contains("[échu le 2 mars 2026"), "{text}");
    assert!(text.contains("[en vigueur]") && text.contains("[à venir, le 1er avril 2026"), "{text}");
    let list = list(&known, Lang::Fr).join("\n");
    assert!(list.contains("« new »") && list.contains("« later »"), "{list}");
    assert!(!list.contains("« revoked »") && !list.contains("(directive « old »)"), "{list}");
}

#[test]
fn what_was_lifted_in_part_is_listed_as_it_still_holds() {
    let masked = Change::of_items(Kind::ITEM_MASKED, vec![item("d1", ""), item("d2", "")]);
    let shown = Change::of_items(Kind::ITEM_UNMASKED, vec![item("d1", "")]);
    let opposed = Change::with(Kind::EMERGENCY_OPPOSITION, json!({"cases": ["INCAPACITY", "SAMU"]}));
    let lifted = Change::with(Kind::EMERGENCY_OPPOSITION_LIFTED, json!({"cases": ["INCAPACITY"]}));
    let known = known(&[(masked, patient()), (shown, patient()), (opposed, patient()), (lifted, patient())]);
    let list = list(&known, Lang::Fr).join("\n");
    assert!(list.contains("a masqué le document d2.") && !list.contains("d1"), "{list}");
    assert!(list.contains("appel au Samu") && !list.contains("impossibilité"), "{list}");
    assert_eq!(list_json(&known).len(), 2);
}

#[test]
fn representatives_are_listed_with_their_powers() {
    let trusted = json!({"representative": "urn:sillage:person|p7", "relation": "TRUSTED_PERSON", "powers": ["read"]});
    let helper = json!({"representative": "urn:sillage:person|p8", "relation": "CAREGIVER", "powers": ["read"], "until": "2026-05-01T00:00:00Z"});
    let known = known(&[
        (Change::with(Kind::REPRESENTATION_REGISTERED, trusted), patient()),
        (Change::with(Kind::REPRESENTATION_REGISTERED, helper), patient()),
    ]);
    let text = representatives(&known, Lang::Fr).join("\n");
    assert!(
        text.contains("La personne p7 (personne de confiance) : aucun pouvoir pour l'instant ; en vigueur (n° 1)."),
        "{text}"
    );
    assert!(text.contains("La personne p8 (aidant) : consulter, rechercher, télécharger et imprimer ; en vigueur jusqu'au 1er mai 2026"), "{text}");
    assert_eq!(representatives_json(&known)[1]["powers"], json!(["read"]));
}

#[test]
fn broken_glass_is_listed_with_the_end_that_the_ledger_gave_it() {
    let details = json!({"id": "bg", "case": "INCAPACITY", "reason": "coma", "no_position": "INDOORS",
        "expires": "2026-03-12T09:00:00Z"});
    let mut known = known(&[(Change::with(Kind::BREAKGLASS_OPENED, details), doctor(DR))]);
    let Some((RuleEvent::BreakGlassOpened(opened), meta)) = &mut known.open.records[0].event else { panic!("one") };
    opened.end_by(LedgerTimeMs(NOW + 3 * 3_600_000));
    let event = RuleEvent::BreakGlassOpened(opened.clone());
    known.open.state = PatientState::default();
    known.open.state.apply(&event, meta);
    let list = list(&known, Lang::En).join("\n");
    assert!(list.contains("valid until 2 March 2026") && !list.contains("12 March"), "{list}");
    assert_eq!(list_json(&known)[0]["until"], "2026-03-02T12:00:00Z");
}

#[test]
fn after_an_erasure_the_list_says_so() {
    let mut known = known(&[(grant("later", json!({})), patient())]);
    known.open.erased = Some(LeafIndex(3));
    known.open.records.clear();
    known.open.state = known.open.first_state();
    let list = list(&known, Lang::En).join("\n");
    assert!(list.contains("no. 3: the patient was erased") && !list.contains("general rules"), "{list}");
}

#[test]
fn an_empty_history_says_so() {
    assert!(history(&known(&[]), Lang::En).join("\n").contains("Nothing was ever decided"));
    assert!(list(&known(&[]), Lang::Fr).join("\n").contains("règles générales"));
}
