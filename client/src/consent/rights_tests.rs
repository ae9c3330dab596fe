use serde_json::json;
use sillage_rules::kind::Kind;

use super::*;
use crate::consent::change::Change;
use crate::consent::effective::rights;
use crate::consent::known::Known;
use crate::consent::testing::*;
use sillage_words::Lang;

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
                  (membre de l'équipe de soins, jusqu'au 9 mars 2026 à 10:00:00 (heure de Paris, CET)), sauf le document d1 \
                  (document masqué).";
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

#[test]
fn who_is_blocked_may_open_for_the_structure_what_authorize_permits_them_and_that_is_told() {
    let blocked = Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &name(DR));
    let masked = Change::of_items(Kind::ITEM_MASKED, vec![item("d1", "")]);
    let records = [
        (deposit(&[("d1", "LAB"), ("d2", "REPORT")]), doctor_of(OTHER, "F200")),
        (blocked, patient()),
        (masked, patient()),
    ];
    let text = text(&records);
    let structure = "Tout professionnel de la structure F200 peut consulter, rechercher, télécharger et imprimer les documents d1 et d2";
    assert!(text.contains(structure), "a masked document stays open to the structure that deposited it: {text}");
    let known = known(&records);
    let (told, questions) = told_of(&known);
    let (asking, d1) = ((DR, Some("physician"), Some("F200")), What::Document("d1".to_owned()));
    let open = authorize(&known, asking, Action::Read, "TREAT", &d1);
    assert_eq!(says(&known, (&told[..], &questions), asking, Action::Read, "TREAT", &d1), Some(open));
    assert_eq!(open, text.contains("10100534436, agissant pour la structure F200, peut"), "{text}");
}

#[test]
fn where_the_space_is_closed_nobody_is_told_that_they_see_what_they_deposited() {
    let opposed = Change::with(Kind::SPACE_OPPOSED, json!({}));
    let text = text(&[(deposit(&[("d1", "LAB")]), doctor(OTHER)), (opposed, patient())]);
    assert!(!text.contains("ce qu'il a lui-même déposé"), "{text}");
}

#[test]
fn a_category_with_a_label_is_told_though_no_document_is_known() {
    let grant = json!({
        "id": "c1", "effect": "permit", "grantee": {"professional": DR}, "actions": ["read"], "categories": ["LAB"], "labels": ["R"],
    });
    let permitted = text(&[(directive(grant), patient())]);
    assert!(permitted.contains("Le professionnel 10100534436 peut consulter"), "{permitted}");
    let joined = json!({"professional": DR, "until": "2026-03-09T09:00:00Z"});
    let deny = json!({
        "id": "c2", "effect": "deny", "grantee": "anyone", "categories": ["LAB"], "labels": ["PSY"],
    });
    let records = [(Change::with(Kind::CARETEAM_JOINED, joined), doctor(DR)), (directive(deny), patient())];
    let denied = text(&records);
    let line = denied.lines().find(|line| line.contains("10100534436 peut consulter")).expect("the team's line");
    assert!(line.contains("sauf") && line.contains("PSY"), "{line}");
}

const THIRD: &str = "urn:oid:1.2.250.1.71.4.2.1|10002345674";

/// A profession and a structure, as a request says them.
type Asking<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn told_of(known: &Known) -> (Vec<Right>, Questions) {
    known.with_env(|env| {
        let secret = known.secret.as_ref().map(|side| &side.state);
        let world = World { env, open: &known.open.state, secret, at: known.at() };
        let questions = Questions::of(&[&world], &crate::consent::effective::professions(known));
        (told(&world.ask(&questions)), questions)
    })
}

/// The ledger's answer: the same decision, of facts that are looked up here once more.
fn authorize(
    known: &Known,
    (actor, profession, organisation): Asking<'_>,
    action: Action,
    purpose: &str,
    what: &What,
) -> bool {
    let name = name(actor);
    let kind = ActorKind::of(&name, profession.is_some());
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let actor = Actor { name, kind, profession: owned(profession), organisation: owned(organisation) };
    let mut facts = ItemFacts { id: "unknown".to_owned(), ..ItemFacts::default() };
    if let What::Labelled(category, label) = what {
        (facts.category, facts.labels) = (category.clone(), vec![label.clone()]);
    }
    if let What::Document(id) = what {
        facts.id.clone_from(id);
    }
    if let Some(deposit) = known.open.state.deposits().find(|deposit| deposit.id == facts.id) {
        facts.category = deposit.category.clone();
        facts.labels = deposit.labels.clone();
        facts.depositor = deposit.depositor.clone();
        facts.depositor_organisation = deposit.organisation.clone();
    }
    let request =
        Request { actor, action, purpose: purpose.to_owned(), at: known.at(), items: vec![facts], word_of: None };
    known.with_env(|env| decide(env, &known.open.state, None, &request)).items[0].permit
}

/// The text, read as a person reads it: the line that says most exactly who is meant; none where no line is about them.
fn says(
    known: &Known,
    (told, questions): (&[Right], &Questions),
    (actor, profession, organisation): Asking<'_>,
    action: Action,
    purpose: &str,
    what: &What,
) -> Option<bool> {
    let at = questions.samples.iter().position(|sample| sample.what == *what)?;
    let of = |who: &Who| {
        let mut lines = told.iter().filter(|right| right.who == *who && right.purpose == purpose);
        let found = lines.find_map(|right| right.actions.contains(&action).then_some(right.found[at]).flatten());
        found.map(|found| found.reason.permits())
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let named = Who::Named(name(actor));
    if told.iter().any(|right| right.who == named) {
        let acting = |profession, organisation| {
            of(&Who::Acting { name: name(actor), profession: owned(profession), organisation: owned(organisation) })
        };
        let whole = of(&named);
        let professions = crate::consent::effective::professions(known);
        // Of somebody whose profession is on record, no line says another one; nor does any line say one that no record names.
        let is_on_record = professions.get(&name(actor)).is_some_and(|said| said.0.is_some());
        let is_told_apart = !is_on_record && profession.is_some_and(|one| questions.professions.contains(one));
        return acting(profession, organisation).or_else(|| {
            let one = acting(None, organisation).or(whole)?;
            Some(one || is_told_apart && acting(profession, None).or(whole)?)
        });
    }
    let class = |profession: Option<&str>, organisation: Option<&str>| Who::Class {
        profession: owned(profession),
        organisation: owned(organisation),
    };
    let any = || of(&Who::AnyProfessional);
    if let Some(exact) = of(&class(profession, organisation)) {
        return Some(exact);
    }
    let alone = of(&class(profession, None)).or_else(any)?;
    Some(alone || of(&class(None, organisation)).unwrap_or(false))
}

#[test]
fn what_is_told_is_what_authorize_answers_whatever_happened() {
    let mut seed = 0x5EED_u64;
    let mut random = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % n
    };
    let (people, structures, ids) = ([DR, OTHER, THIRD], ["F100", "F200", "F300"], ["d1", "d2", "d3", "d4"]);
    let mut whats: Vec<What> = ids.iter().map(|id| What::Document((*id).to_owned())).collect();
    let both = |category: &str| ["PSY", "R"].map(|label| What::Labelled(category.to_owned(), label.to_owned()));
    whats.extend(["LAB", "REPORT"].into_iter().flat_map(both));
    let (mut asked, mut permitted, mut labelled) = (0, 0, 0);
    for history in 0..150 {
        let mut records = Vec::new();
        for step in 0..3 + random(7) {
            let (person, structure, id) = (people[random(3)], structures[random(3)], ids[random(4)]);
            let id_of = format!("c{step}");
            let grantee = match random(4) {
                0 => json!({"professional": person}),
                1 => json!({"organisation": structure}),
                2 => json!({"profession": "physician"}),
                _ => json!({"professional": person, "organisation": structure}),
            };
            records.push(match random(11) {
                0 | 1 => (deposit(&[(id, ["LAB", "REPORT"][random(2)])]), doctor_of(person, structure)),
                2 => (Change::of_professional(Kind::PROFESSIONAL_BLOCKED, &name(person)), patient()),
                3 => (Change::of_items(Kind::ITEM_MASKED, vec![item(id, "")]), patient()),
                4 => {
                    let joined = json!({"professional": person, "until": "2026-03-09T09:00:00Z", "organisation": structure});
                    (Change::with(Kind::CARETEAM_JOINED, joined), doctor_of(person, structure))
                }
                5 => {
                    let deny = json!({"id": id_of, "effect": "deny", "grantee": grantee, "items": [id]});
                    (directive(deny), patient())
                }
                6 => (Change::with(Kind::SPACE_OPPOSED, json!({})), patient()),
                7 => (Change::with(Kind::SPACE_OPENED, json!({})), patient()),
                8 => {
                    let permit = json!({"id": id_of, "effect": "permit", "grantee": grantee, "actions": ["read", "search"], "categories": ["LAB"]});
                    (directive(permit), patient())
                }
                at => {
                    let (effect, label) = (["permit", "deny"][at - 9], ["PSY", "R"][random(2)]);
                    let mut details = json!({"id": id_of, "effect": effect, "grantee": grantee, "labels": [label]});
                    if effect == "permit" {
                        details["actions"] = json!(["read", "search"]);
                    }
                    if random(4) > 0 {
                        let category = ["LAB", "REPORT"][random(2)];
                        details["categories"] = json!([category]);
                    }
                    (directive(details), patient())
                }
            });
        }
        let known = known(&records);
        let (told, questions) = told_of(&known);
        for person in people {
            for structure in structures.iter().copied().map(Some).chain([None, Some("F999")]) {
                for action in [Action::Read, Action::Print, Action::Update] {
                    for what in &whats {
                        let asking = (person, Some("physician"), structure);
                        let Some(said) = says(&known, (&told[..], &questions), asking, action, "TREAT", what) else {
                            continue;
                        };
                        let answered = authorize(&known, asking, action, "TREAT", what);
                        assert_eq!(said, answered, "history {history}: {asking:?} {action:?} {what:?}\n{records:#?}");
                        asked += 1;
                        permitted += usize::from(answered);
                        labelled += usize::from(matches!(what, What::Labelled(..)));
                    }
                }
            }
        }
    }
    assert!(asked > 10_000 && permitted > 1_000, "it means something: {permitted} of {asked}");
    assert!(labelled > 1_000, "categories with labels too: {labelled}");
}

#[test]
fn when_a_right_ends_is_told_in_words_and_in_json() {
    let end = "2026-03-09T23:00:00Z";
    let grant =
        json!({"id": "c1", "effect": "permit", "grantee": {"professional": OTHER}, "actions": ["read"], "until": end});
    let joined = json!({"professional": DR, "until": "2026-03-05T09:00:00Z"});
    let records = [(directive(grant), patient()), (Change::with(Kind::CARETEAM_JOINED, joined), doctor(DR))];
    let told = rights(&known(&records));
    let text = told.lines(Lang::Fr).join("\n");
    for wanted in [
        "(autorisé par une directive du patient, jusqu'au 9 mars 2026 inclus (heure de Paris))",
        "(membre de l'équipe de soins, jusqu'au 5 mars 2026 à 10:00:00 (heure de Paris, CET))",
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    assert!(told.lines(Lang::En).join("\n").contains("until 9 March 2026 included (Paris time)"));
    let of_grant = |line: &serde_json::Value| line["who"]["actor"].to_string().contains("10000000016");
    let line =
        told.to_json().into_iter().find(|line| of_grant(line) && line["permitted"] != json!([])).expect("a right");
    assert_eq!(line["permitted"][0]["until"], end);
}
