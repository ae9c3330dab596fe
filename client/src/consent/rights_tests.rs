use serde_json::json;
use sillage_rules::kind::Kind;

use crate::consent::change::Change;
use crate::consent::effective::rights;
use crate::consent::testing::*;
use crate::view::Lang;

fn text(records: &[(Change, crate::consent::who::Acting)]) -> String {
    rights(&known(records)).lines(Lang::Fr).join("\n")
}

#[test]
fn without_any_decision_the_general_rules_are_told() {
    let text = text(&[]);
    let wanted = [
        "Le patient peut consulter, rechercher, télécharger, imprimer et exporter tout le dossier et déposer des documents.",
        "Tout professionnel de santé, par un accès d'urgence en cas d'impossibilité d'exprimer sa volonté, peut consulter, \
         rechercher, télécharger et imprimer tout le dossier.",
        "Tout autre professionnel peut déposer des documents, pour des soins (dépôt par un professionnel).",
    ];
    for wanted in wanted {
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn a_care_team_member_sees_all_but_what_is_masked() {
    let joined = json!({"professional": DR, "until": "2026-03-09T09:00:00Z"});
    let records = [
        (deposit(&[("d1", "REPORT"), ("d2", "LAB")]), doctor_of(OTHER, "F200")),
        (Change::with(Kind::CARETEAM_JOINED, joined), doctor(DR)),
        (Change::of_items(Kind::ITEM_MASKED, vec![item("d1", "")]), patient()),
    ];
    let text = text(&records);
    let wanted = "Le professionnel 10100534436 peut consulter, rechercher, télécharger et imprimer tout le dossier, pour des soins \
                  (membre de l'équipe de soins), sauf le document d1 (document masqué).";
    assert!(text.contains(wanted), "{text}");
    assert!(
        text.contains("par un accès d'urgence") && text.contains("sauf le document d1 (document masqué)"),
        "{text}"
    );
}

#[test]
fn a_grant_of_a_category_tells_what_a_denial_takes_out_of_it() {
    let grant = json!({"id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"], "categories": ["LAB"]});
    let deny = json!({"id": "c2", "effect": "deny", "grantee": "anyone", "items": ["d2"]});
    let records = [
        (deposit(&[("d1", "REPORT"), ("d2", "LAB"), ("d3", "LAB")]), doctor_of(OTHER, "F200")),
        (directive(grant), patient()),
        (directive(deny), patient()),
    ];
    let text = text(&records);
    let wanted = "Le professionnel 10100534436 peut consulter la catégorie « biologie », pour des soins (autorisé par une directive \
                  du patient), sauf le document d2 (interdit par une directive du patient).";
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn who_is_blocked_and_whose_emergency_is_opposed_is_told() {
    let blocked = Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &name(DR));
    let opposed = Change::with(Kind::EMERGENCY_OPPOSITION, json!({"cases": ["SAMU"]}));
    let text = text(&[(blocked, patient()), (opposed, patient())]);
    assert!(
        text.contains("Le professionnel 10100534436 ne peut rien ouvrir : professionnel bloqué par le patient"),
        "{text}"
    );
    let samu = "La régulation du Samu, par un accès d'urgence lors d'un appel au Samu, ne peut rien ouvrir : opposition du patient \
                à l'accès d'urgence.";
    assert!(text.contains(samu), "{text}");
}

#[test]
fn the_same_in_json_names_the_records_that_decide() {
    let masked = Change::of_items(Kind::ITEM_MASKED, vec![item("d1", "")]);
    let lines = rights(&known(&[(masked, patient())])).to_json();
    let emergency = lines.iter().find(|line| {
        line["who"]["case"] == "INCAPACITY"
            && line["purpose"] == "BTG"
            && !line["permitted"].as_array().expect("a list").is_empty()
    });
    let denied = emergency.expect("an emergency right")["denied"].to_string();
    assert!(denied.contains("MASKED") && denied.contains("\"by\":1"), "{denied}");
}

#[test]
fn who_is_blocked_still_sees_what_they_deposited_and_nothing_else() {
    let blocked = Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &name(DR));
    let text = text(&[(deposit(&[("d1", "LAB")]), doctor(DR)), (blocked, patient())]);
    let wanted = "Le professionnel 10100534436 peut consulter, rechercher, télécharger et imprimer le document d1, pour des soins \
                  (auteur du dépôt), et rien d'autre (professionnel bloqué par le patient).";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("exporter tout le dossier et déposer des documents."), "said together: {text}");
}
