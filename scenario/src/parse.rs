//! A scenario file, from text to [`Scenario`].

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::names::{Names, actions};
use super::read::{Reader, ScenarioError, Table, Text};
use super::records::record;
use super::*;

const ACTOR_KINDS: &[(ActorKind, &str)] = &[
    (ActorKind::Patient, "patient"),
    (ActorKind::Person, "person"),
    (ActorKind::Professional, "professional"),
    (ActorKind::App, "app"),
    (ActorKind::Project, "project"),
    (ActorKind::System, "system"),
];

/// Reads a file.
pub(super) fn scenario(source: &str) -> Result<Scenario, Vec<ScenarioError>> {
    let reader = Reader::new(source);
    let root = match DeTable::parse(source) {
        Ok(root) => root,
        Err(error) => {
            let line = error.span().map_or(1, |span| reader.line_of(span));
            return Err(vec![ScenarioError { line, message: error.message().to_owned() }]);
        }
    };
    let scenario = whole(Table::root(&reader, root.as_ref()));
    let errors = reader.finish();
    match scenario {
        Some(scenario) if errors.is_empty() => Ok(scenario),
        _ => Err(errors),
    }
}

fn whole(root: Table<'_, '_>) -> Option<Scenario> {
    root.only(&["name", "clock", "policy", "actors", "items", "records", "requests"]);
    let name = root.text("name");
    let clock = root.required("clock").and_then(|value| root.reader.time("clock", value));
    let actors = actors(root);
    let items = items(root, &actors);
    let names = Names { clock: clock.unwrap_or_default(), actors: &actors, items: &items };
    let policy = root.get("policy").and_then(|value| policy(root.reader.table("policy", value)?, &names));
    let records: Vec<_> = root.tables("records").into_iter().map(|table| record(table, &names)).collect();
    let requests: Vec<_> = root.tables("requests").into_iter().map(|table| request(table, &names)).collect();
    let records = records.into_iter().flatten().map(Step::Record);
    let mut steps: Vec<Step> = records.chain(requests.into_iter().flatten().map(Step::Request)).collect();
    // Records come first in the list, and the sort keeps the order of what is at the same time.
    steps.sort_by_key(Step::at);
    let (name, clock, policy) = (name?.text.to_owned(), clock?, policy.unwrap_or_default());
    Some(Scenario { name, clock, policy, actors, items, steps })
}

fn actors(root: Table<'_, '_>) -> BTreeMap<String, ScenarioActor> {
    let mut actors = BTreeMap::new();
    let Some(table) = root.get("actors").and_then(|value| root.reader.table("actors", value)) else {
        return actors;
    };
    for (name, value) in table.entries() {
        if let Some(actor) = table.reader.table("an actor", value).and_then(actor) {
            actors.insert(name.text.to_owned(), actor);
        }
    }
    actors
}

fn actor(table: Table<'_, '_>) -> Option<ScenarioActor> {
    table.only(&["kind", "profession", "organisation", "catalogued"]);
    let kinds: Vec<ActorKind> = ACTOR_KINDS.iter().map(|(kind, _)| *kind).collect();
    let name = |kind| ACTOR_KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| *name);
    let owned = |text: Text<'_>| text.text.to_owned();
    Some(ScenarioActor {
        kind: table.reader.token("kind", table.text("kind")?, &kinds, name)?,
        profession: table.optional_text("profession").map(owned),
        organisation: table.optional_text("organisation").map(owned),
        catalogued: table.get("catalogued").and_then(|value| table.reader.boolean("catalogued", value)).unwrap_or(true),
    })
}

fn items(root: Table<'_, '_>, actors: &BTreeMap<String, ScenarioActor>) -> BTreeMap<String, ScenarioItem> {
    let mut items = BTreeMap::new();
    let nothing = BTreeMap::new();
    let names = Names { clock: TimeMs::default(), actors, items: &nothing };
    for table in root.tables("items") {
        table.only(&["id", "patient", "category", "labels", "depositor"]);
        let (id, patient, category) = (table.text("id"), table.text("patient"), table.text("category"));
        let patient = patient.and_then(|patient| names.patient(table, patient));
        let depositor = table.optional_text("depositor").map(|depositor| names.actor(table, depositor));
        let (Some(id), Some(patient), Some(category)) = (id, patient, category) else {
            continue;
        };
        let item = ScenarioItem {
            id: id.text.to_owned(),
            patient,
            category: category.text.to_owned(),
            labels: owned(table.texts("labels").unwrap_or_default()),
            depositor: depositor.flatten(),
        };
        if items.insert(item.id.clone(), item).is_some() {
            table.reader.error(id.line, format!("the item {:?} stands there twice", id.text));
        }
    }
    items
}

pub(super) fn owned(texts: Vec<Text<'_>>) -> Vec<String> {
    texts.into_iter().map(|text| text.text.to_owned()).collect()
}

fn policy(table: Table<'_, '_>, names: &Names<'_>) -> Option<ScenarioPolicy> {
    table.only(&[
        "attending_doctor_sees_all",
        "emergency_lifts_mask",
        "express_consent_only",
        "barred_purposes",
        "legal_feeds",
        "emergency_professions",
        "breakglass_max_s",
        "matrix_deny",
    ]);
    let reader = table.reader;
    let switch = |key| table.get(key).and_then(|value| reader.boolean(key, value));
    let list = |key| table.texts(key).map(owned);
    let feeds = table.texts("legal_feeds");
    let feeds = feeds.map(|feeds| feeds.into_iter().filter_map(|feed| names.actor(table, feed)).collect());
    let mut professions = BTreeMap::new();
    let cases = table.get("emergency_professions").and_then(|value| reader.table("emergency_professions", value));
    for (case, value) in cases.iter().flat_map(Table::entries) {
        let case = reader.token("emergency_professions", case, Case::ALL, Case::as_str);
        let texts = reader.texts("emergency_professions", value);
        if let (Some(case), Some(texts)) = (case, texts) {
            professions.insert(case, owned(texts));
        }
    }
    let rows = table.tables("matrix_deny").into_iter().filter_map(|row| {
        row.only(&["profession", "categories", "actions"]);
        let profession = row.text("profession")?.text.to_owned();
        let actions = row.get("actions").map(|value| actions(reader, value));
        Some(MatrixRow { profession, categories: row.texts("categories").map(owned), actions: actions.flatten() })
    });
    Some(ScenarioPolicy {
        attending_doctor_sees_all: switch("attending_doctor_sees_all"),
        emergency_lifts_mask: switch("emergency_lifts_mask"),
        express_consent_only: list("express_consent_only"),
        barred_purposes: list("barred_purposes"),
        legal_feeds: feeds,
        emergency_professions: professions,
        breakglass_max_s: table.get("breakglass_max_s").and_then(|value| reader.number("breakglass_max_s", value)),
        matrix_deny: rows.collect(),
    })
}

fn request(table: Table<'_, '_>, names: &Names<'_>) -> Option<ScenarioRequest> {
    table.only(&["at", "actor", "patient", "action", "purpose", "items", "expect", "told", "obligations"]);
    let reader = table.reader;
    let at = table.required("at").and_then(|value| reader.time("at", value));
    let actor = table.text("actor").and_then(|text| names.actor(table, text));
    let patient = table.text("patient").and_then(|text| names.patient(table, text));
    let action = table.text("action");
    let action = action.and_then(|text| reader.token("action", text, Action::ALL, Action::as_str));
    let purpose = table.text("purpose");
    let items = table.required("items").and_then(|value| reader.texts("items", value));
    let items: Option<Vec<String>> = items?.into_iter().map(|text| names.item(table, text)).collect();
    let items = items?;
    let expect = table.required("expect").and_then(|value| reader.table("expect", value));
    let expect = expect.map(|expect| expectations(expect, &items));
    let told = table.texts("told").map(|told| {
        told.iter().for_each(|text| asked_for(table, *text, &items));
        owned(told)
    });
    let obligations = table.texts("obligations").map(|texts| {
        let texts = texts.into_iter();
        texts.filter_map(|text| reader.token("obligations", text, Obligation::ALL, Obligation::as_str)).collect()
    });
    Some(ScenarioRequest {
        line: table.line,
        at: at?,
        actor: actor?,
        patient: patient?,
        action: action?,
        purpose: purpose?.text.to_owned(),
        items,
        expect: expect?,
        told,
        obligations,
    })
}

fn asked_for(table: Table<'_, '_>, text: Text<'_>, items: &[String]) {
    if !items.iter().any(|item| item == text.text) {
        table.reader.error(text.line, format!("{:?} isn't among the items of the request", text.text));
    }
}

fn expectations(table: Table<'_, '_>, items: &[String]) -> BTreeMap<String, Expected> {
    let mut expect = BTreeMap::new();
    for (item, value) in table.entries() {
        asked_for(table, item, items);
        let Some(text) = table.reader.text("expect", value) else {
            continue;
        };
        match outcome(text.text) {
            Some(expected) => _ = expect.insert(item.text.to_owned(), expected),
            None => {
                let message =
                    format!("{:?} isn't an outcome: `permit` or `deny` and a reason that goes with it", text.text);
                table.reader.error(text.line, message);
            }
        }
    }
    expect
}

/// `permit SELF`, `deny NO_CONSENT`.
fn outcome(text: &str) -> Option<Expected> {
    let (effect, reason) = text.split_once(' ')?;
    let reason = Reason::from_token(reason)?;
    let permit = match effect {
        "permit" => true,
        "deny" => false,
        _ => return None,
    };
    (reason.permits() == permit).then_some(Expected { permit, reason })
}
