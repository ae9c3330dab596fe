use serde_json::json;
use sillage_rules::kind::Kind;

use super::*;
use crate::consent::testing::*;

fn tried(known: &Known, change: &Change, by: &Acting) -> Result<Preview, ClientError> {
    preview(known, &known.open, change, by, NOW, Signs::default())
}

fn lines(known: &Known, change: &Change) -> String {
    tried(known, change, &patient()).expect("admitted").lines(Lang::Fr).join("\n")
}

#[test]
fn a_grant_shows_what_is_gained_and_signs_nothing() {
    let grant = json!({"id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"]});
    let text = lines(&known(&[(deposit(&[("d1", "LAB")]), doctor(OTHER))]), &directive(grant));
    assert!(text.starts_with("À l'essai, rien n'est signé."), "{text}");
    let wanted = "+ Le professionnel 10100534436 pourra consulter tout le dossier, pour des soins (autorisé par une directive du patient).";
    assert!(text.contains(wanted), "{text}");
    assert!(!text.contains('−'), "nobody loses: {text}");
}

#[test]
fn a_newer_grant_does_not_reopen_an_older_denial_and_that_shows() {
    let deny = json!({"id": "c1", "effect": "deny", "grantee": {"professional": DR}});
    let grant = json!({"id": "c2", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"]});
    let text = lines(&known(&[(directive(deny), patient())]), &directive(grant));
    assert!(text.contains("Personne ne gagne ni ne perd"), "{text}");
}

#[test]
fn a_mask_takes_from_the_team_and_from_emergencies() {
    let joined = json!({"professional": DR, "until": "2026-03-09T09:00:00Z"});
    let known = known(&[
        (deposit(&[("d1", "LAB")]), doctor_of(OTHER, "F200")),
        (Change::with(Kind::CARETEAM_JOINED, joined), doctor(DR)),
    ]);
    let text = lines(&known, &Change::of_items(Kind::ITEM_MASKED, vec![item("d1", "")]));
    assert!(text.contains("− Le professionnel 10100534436 ne pourra plus"), "{text}");
    assert!(text.contains("− Tout professionnel de santé, par un accès d'urgence"), "{text}");
    let json =
        tried(&known, &Change::of_items(Kind::ITEM_MASKED, vec![item("d1", "")]), &patient()).expect("ok").to_json();
    assert_eq!(json["gains"], json!([]));
    assert_eq!(json["losses"][0]["of"], json!([{"item": "d1"}]));
}

#[test]
fn what_is_denied_by_label_is_lost_where_a_category_was_granted() {
    let grant = json!({"id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"],
        "categories": ["LAB"]});
    let known = known(&[(directive(grant), patient())]);
    let deny = directive(json!({"id": "c2", "effect": "deny", "grantee": "anyone", "labels": ["PSY"]}));
    let preview = tried(&known, &deny, &patient()).expect("admitted");
    let text = preview.lines(Lang::En).join("\n");
    assert!(text.contains("will no longer be able to read what is labelled PSY in the category"), "{text}");
    let lost = preview.to_json()["losses"].to_string();
    assert!(lost.contains(r#"{"category":"LAB","label":"PSY"}"#), "{lost}");
    // What is lost of all that has a label isn't said of each category once more.
    let joined = json!({"professional": OTHER, "until": "2026-03-09T09:00:00Z"});
    let known = crate::consent::testing::known(&[
        (Change::with(Kind::CARETEAM_JOINED, joined), doctor(OTHER)),
        (
            directive(json!({"id": "c1", "effect": "deny", "grantee": {"professional": DR}, "categories": ["LAB"]})),
            patient(),
        ),
    ]);
    let lost = tried(&known, &deny, &patient()).expect("admitted").to_json()["losses"].to_string();
    assert!(lost.contains(r#"{"label":"PSY"}"#) && !lost.contains("LAB"), "{lost}");
}

#[test]
fn an_opposed_feed_shows_who_deposits_no_more() {
    let oppose = Change::with(Kind::FEED_OPPOSED, json!({"source": "professionals", "category": "DENTAL"}));
    let text = tried(&known(&[]), &oppose, &patient()).expect("admitted").lines(Lang::En).join("\n");
    assert!(text.contains('−') && text.contains("deposit"), "{text}");
}

#[test]
fn what_begins_later_is_shown_as_of_then() {
    let grant = json!({"id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"], "from": "2026-04-01T00:00:00Z"});
    let preview = tried(&known(&[]), &directive(grant), &patient()).expect("admitted");
    assert!(preview.later);
    let text = preview.lines(Lang::En).join("\n");
    assert!(
        text.contains("From 1 April 2026") && text.contains("+ Professional 10100534436 will be able to read"),
        "{text}"
    );
}

#[test]
fn what_the_ledger_would_refuse_is_refused_with_its_code() {
    let code = |change: &Change, by: &Acting| match tried(&known(&[]), change, by) {
        Err(ClientError::Rejected(rejection)) => rejection.code.to_string(),
        other => panic!("{other:?}"),
    };
    let unnamed = directive(json!({"id": "a", "effect": "permit", "grantee": "anyone", "actions": ["read"]}));
    assert_eq!(code(&unnamed, &patient()), "PERMIT_ANYONE");
    let revoked = Change::with(Kind::CONSENT_REVOKED, json!({"consent": "nothing"}));
    assert_eq!(code(&revoked, &patient()), "UNKNOWN_REFERENCE");
    assert_eq!(code(&unnamed, &doctor(DR)), "NOT_ENTITLED");
    let unproven = Acting { auth: None, ..patient() };
    assert_eq!(code(&revoked, &unproven), "AUTHENTICATION_MISSING");
}

#[test]
fn what_is_wrong_in_itself_is_refused_without_asking() {
    let refused = |change: &Change| {
        let (record, event) = change.check(&patient(), NOW, Some(&TAG)).expect("understood");
        refused_anyway(&event, &meta(&record, (1, NOW), false, false).expect("a signer"))
    };
    let unnamed = directive(json!({"id": "a", "effect": "permit", "grantee": "anyone", "actions": ["read"]}));
    assert!(refused(&unnamed).expect_err("to anyone").to_string().contains("PERMIT_ANYONE"));
    // Only the ledger knows whether there is such a directive.
    refused(&Change::with(Kind::CONSENT_REVOKED, json!({"consent": "c1"}))).expect("asked");
}

#[test]
fn a_trial_says_when_what_is_gained_ends() {
    let grant = |until: &str| {
        directive(
            json!({"id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"], "until": until}),
        )
    };
    let text = lines(&known(&[]), &grant("2026-03-09T23:00:00Z"));
    assert!(text.contains("jusqu'au 9 mars 2026 inclus (heure de Paris)"), "{text}");
    let text = lines(&known(&[]), &grant("2026-03-09T10:00:00Z"));
    assert!(text.contains("jusqu'au 9 mars 2026 à 11:00:00"), "{text}");
    let json = tried(&known(&[]), &grant("2026-03-09T23:00:00Z"), &patient()).expect("admitted").to_json();
    assert_eq!(json["gains"][0]["until"], "2026-03-09T23:00:00Z");
    let joined = json!({"professional": DR, "until": "2026-03-09T23:00:00Z"});
    let text = lines(&known(&[]), &Change::with(Kind::CARETEAM_JOINED, joined));
    assert!(text.contains("jusqu'au 9 mars 2026 inclus"), "{text}");
}
