use super::*;
use serde_json::json;

const DR: &str = "urn:oid:1.2.250.1.71.4.2.1|10100534436";

fn said(kind: Kind, details: Value, lang: Lang) -> String {
    let record = v1::Record { details: details.to_string(), ..v1::Record::default() };
    predicate(kind, &record, lang).unwrap_or_default()
}

#[test]
fn a_directive_says_who_may_do_what_until_when_and_with_which_exception() {
    let directive = json!({
        "id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read", "download"],
        "categories": ["REPORT"], "purposes": ["TREAT"], "until": "2026-03-02T09:00:00Z", "supersedes": "c0",
        "except": [{"effect": "deny", "labels": ["PSY"]}],
    });
    assert_eq!(
        said(Kind::CONSENT_DIRECTIVE, directive.clone(), Lang::Fr),
        "a autorisé le professionnel 10100534436 à consulter et télécharger les documents de la catégorie « compte rendu », \
         pour des soins jusqu'au 2 mars 2026 à 10:00:00 (heure de Paris, CET), sauf exception : interdire d'accéder aux \
         documents portant l'étiquette PSY (directive « c1 »), en remplacement de la directive « c0 »"
    );
    assert_eq!(
        said(Kind::CONSENT_DIRECTIVE, directive, Lang::En),
        "permitted professional 10100534436 to read and download the documents of the category “report”, for care until \
         2 March 2026 at 10:00:00 (Paris time, CET), except: forbid to access the documents labelled PSY (directive “c1”), \
         in place of the directive “c0”"
    );
    let denied = json!({"effect": "deny", "grantee": "anyone", "labels": ["PSY"]});
    assert_eq!(
        said(Kind::CONSENT_DIRECTIVE, denied, Lang::Fr),
        "a interdit à quiconque d'accéder aux documents portant l'étiquette PSY"
    );
    let all = json!({"effect": "deny", "grantee": {"professional": DR}});
    assert_eq!(
        said(Kind::CONSENT_DIRECTIVE, all, Lang::Fr),
        "a interdit au professionnel 10100534436 d'accéder à tout le dossier"
    );
}

#[test]
fn a_break_glass_says_its_case_reason_place_and_end() {
    let opened = json!({
        "id": "bg1", "case": "INCAPACITY", "reason": "immediate risk", "expires": "2026-03-02T12:00:00Z",
        "search": "TRAITS", "no_position": "INDOORS",
    });
    assert_eq!(
        said(Kind::BREAKGLASS_OPENED, opened, Lang::Fr),
        "a ouvert un accès d'urgence (bris de glace « bg1 »), en cas d'impossibilité d'exprimer sa volonté, motif : immediate \
         risk, patient trouvé par ses traits d'identité, position non relevée (intérieur), valable au plus jusqu'au 2 mars 2026 à \
         13:00:00 (heure de Paris, CET)"
    );
    let placed = json!({"id": "b", "position": {"lat": 48.89, "lon": 2.33, "accuracy_m": 12}});
    assert!(said(Kind::BREAKGLASS_OPENED, placed, Lang::En).contains("position 48.89, 2.33 (± 12 m)"));
    let reviewed = json!({"breakglass": "bg1", "verdict": "NOT_JUSTIFIED", "text": "aucun soin"});
    assert_eq!(
        said(Kind::BREAKGLASS_REVIEWED, reviewed, Lang::Fr),
        "a contrôlé l'accès d'urgence « bg1 » et l'a jugé non justifié : « aucun soin »"
    );
}

#[test]
fn who_joins_a_care_team_and_who_is_added_read_differently() {
    let details = json!({"professional": DR, "until": "2026-03-02T12:00:00Z"}).to_string();
    let actor =
        v1::Actor { system: "urn:oid:1.2.250.1.71.4.2.1".into(), id: "10100534436".into(), ..v1::Actor::default() };
    let mut record = v1::Record { details, actor: Some(actor), ..v1::Record::default() };
    let text = predicate(Kind::CARETEAM_JOINED, &record, Lang::Fr).expect("words");
    assert!(text.starts_with("a rejoint l'équipe de soins, jusqu'au"), "{text}");
    record.actor = None;
    let text = predicate(Kind::CARETEAM_JOINED, &record, Lang::Fr).expect("words");
    assert!(text.starts_with("a ajouté le professionnel 10100534436 à l'équipe"), "{text}");
    let ended = said(Kind::ATTENDING_ENDED, json!({"professional": DR}), Lang::Fr);
    assert_eq!(ended, "a mis fin à la déclaration du professionnel 10100534436 comme médecin traitant");
}

#[test]
fn limits_name_what_they_hide_and_from_whom() {
    let items = vec![v1::Item { id: "d1".into(), ..v1::Item::default() }];
    let record = v1::Record { items, ..v1::Record::default() };
    assert_eq!(predicate(Kind::ITEM_MASKED, &record, Lang::Fr).as_deref(), Some("a masqué le document d1"));
    let cases = json!({"cases": ["INCAPACITY", "SAMU"]});
    assert_eq!(
        said(Kind::EMERGENCY_OPPOSITION, cases, Lang::Fr),
        "a fait opposition à l'accès d'urgence en cas d'impossibilité d'exprimer sa volonté et lors d'un appel au Samu"
    );
    let feed = json!({"source": "professionals", "category": "WEIGHT"});
    assert_eq!(
        said(Kind::FEED_OPPOSED, feed, Lang::Fr),
        "a fait opposition à ce que les professionnels ajoutent des documents de la catégorie « poids »"
    );
    let represented =
        json!({"representative": "urn:sillage:person|p7", "relation": "PARENT", "powers": ["read", "consent"]});
    assert_eq!(
        said(Kind::REPRESENTATION_REGISTERED, represented, Lang::Fr),
        "a enregistré la personne p7 comme représentant (titulaire de l'autorité parentale), avec le pouvoir de : consulter, \
         rechercher, télécharger et imprimer ; décider des autorisations"
    );
}

#[test]
fn odd_details_still_make_a_sentence() {
    for kind in Kind::ALL.iter().filter(|kind| kind.has_patient()) {
        for details in ["", "[]", "{}", "null", r#"{"id":3,"effect":7,"grantee":[1],"until":{}}"#] {
            for lang in [Lang::Fr, Lang::En] {
                let record = v1::Record { details: details.to_owned(), ..v1::Record::default() };
                let text = predicate(*kind, &record, lang);
                assert!(text.is_none_or(|text| !text.is_empty()), "{}", kind.token());
            }
        }
    }
}

#[test]
fn a_contest_says_what_is_asked_and_what_is_answered() {
    let asked = json!({"id": "q1", "about": 41, "question": "Pourquoi\ncet accès ?"});
    let said_fr = said(Kind::CONTEST_OPENED, asked.clone(), Lang::Fr);
    assert!(said_fr.starts_with("a demandé pourquoi, à propos de l'événement n° 41 : « Pourquoi"), "{said_fr}");
    assert!(!said_fr.contains('\n') && said(Kind::CONTEST_OPENED, asked, Lang::En).contains("event no. 41"));
    let answered = json!({"contest": "q1", "answer": "A replacement."});
    assert_eq!(said(Kind::CONTEST_ANSWERED, answered, Lang::En), "answered the contest “q1”: “A replacement.”");
    assert_eq!(said(Kind::CONTEST_CLOSED, json!({"contest": "q1"}), Lang::Fr), "a clos la contestation « q1 »");
    assert_eq!(said(Kind::CONTEST_OPENED, json!({"free": true}), Lang::Fr), "", "of a log of before");
}
