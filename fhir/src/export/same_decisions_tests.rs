//! A log that imports an export decides as the first one did: any history that a ledger admits, any request.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_rules::codes::Code;
use sillage_rules::consent::{Action, Actor, ActorKind, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::{ItemFacts, Reason, Request, decide};
use sillage_rules::ident::Ins;
use sillage_rules::record::new_message;

use super::tests::line_of;
use super::*;
use crate::import::{MappedRecord, PatientMap, map};

/// 2 March 2026, 9 h.
const BEGIN_MS: u64 = 1_772_442_000_000;
const DAY_MS: u64 = 86_400_000;
/// Ids as record stores have them, some of which FHIR would read as something else.
const ITEMS: [&str; 6] = ["doc-1", "DocumentReference/2", "Patient/9", "Consent/4", "urn:uuid:5", "never deposited"];
const CATEGORIES: [&str; 3] = ["REPORT", "LAB", ""];
const STRUCTURES: [&str; 3] = ["F100", "Organization/7", ""];

/// Everybody who signs and asks: professionals of two systems, persons, software, an application, the patient.
fn people() -> Vec<v1::Actor> {
    let actor = |system: &str, id: &str, role: &str, organisation: &str| v1::Actor {
        system: system.into(),
        id: id.into(),
        role: role.into(),
        organisation: organisation.into(),
        label: String::new(),
    };
    let rpps = "urn:oid:1.2.250.1.71.4.2.1";
    vec![
        actor("urn:sillage:patient", "self", "", ""),
        actor(rpps, "10100534436", "physician", "F100"),
        actor(rpps, "10100534444", "nurse", "Organization/7"),
        actor("urn:example:staff", "n 7", "nurse", "F100"),
        actor("urn:sillage:fhir:display", "Dr Who", "physician", ""),
        actor("urn:sillage:person", "aide", "", ""),
        actor("urn:sillage:fhir:reference", "RelatedPerson/marie", "", ""),
        actor("urn:example:staff", "n 8", "", "F100"),
        actor("urn:sillage:app", "poids@2", "", ""),
        actor("urn:sillage:system", "lis", "", "F100"),
    ]
}

fn name(of: u8) -> String {
    let people = people();
    let actor = &people[usize::from(of) % people.len()];
    format!("{}|{}", actor.system, actor.id)
}

/// One thing that may be recorded, by small numbers.
type Step = (u8, [u8; 5], bool);

fn pick<'a>(from: &[&'a str], by: u8) -> &'a str {
    from[usize::from(by) % from.len()]
}

/// An end some days from now, or none.
fn until(by: u8, now: u64) -> Option<String> {
    let days = [None, Some(1), Some(30), Some(400)][usize::from(by) % 4]?;
    Some(TimeMs(now + days * DAY_MS).to_string())
}

fn items(by: u8, more: u8) -> Vec<v1::Item> {
    let mut ids = vec![pick(&ITEMS, by)];
    ids.extend((more.is_multiple_of(3)).then(|| pick(&ITEMS, by.wrapping_add(1 + more / 3))));
    ids.iter().map(|id| v1::Item { id: (*id).to_owned(), ..v1::Item::default() }).collect()
}

fn deposited(by: [u8; 5]) -> Vec<v1::Item> {
    let mut items = items(by[1], by[2]);
    for item in &mut items {
        item.category = pick(&CATEGORIES, by[3]).to_owned();
        item.labels = ["PSY", "R"].iter().take(usize::from(by[3] / 3 % 3)).map(|label| (*label).to_owned()).collect();
        item.depositor = if by[4].is_multiple_of(5) { name(by[4] / 5) } else { String::new() };
    }
    items
}

fn without_nulls(details: Value) -> String {
    let says = |(_, value): &(&String, &Value)| !value.is_null();
    let kept = details.as_object().expect("an object").iter().filter(says);
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
}

/// A record, and whether the authority signs it.
fn record((kind, by, _): Step, now: u64) -> (v1::Record, bool) {
    let people = people();
    let of = |by: u8| people[usize::from(by) % people.len()].clone();
    let auth = v1::Authentication { issuer: "fc".into(), method: "fc+".into(), eidas_level: "substantial".into() };
    // The patient more often than others.
    let patients_side = of(if by[4].is_multiple_of(3) { 5 + by[4] / 3 % 2 } else { 0 });
    let anyone = of(by[0]);
    let professional = json!({"professional": name(1 + by[1] % 4)});
    let cases: Vec<&str> = ["INCAPACITY", "SAMU", "FIRE"]
        .into_iter()
        .enumerate()
        .filter_map(|(bit, case)| ((1 + by[1] % 7) >> bit & 1 == 1).then_some(case))
        .collect();
    let source = [name(by[1] / 5), "F100".into(), "nurse".into(), "professionals".into(), name(1)]
        [usize::from(by[1]) % 5]
        .clone();
    let category = (by[2].is_multiple_of(3)).then(|| pick(&CATEGORIES[..2], by[2] / 3));
    let powers: Vec<&str> = ["read", "write", "update", "delete", "export", "consent"]
        .into_iter()
        .enumerate()
        .filter_map(|(bit, power)| (by[2] >> bit & 1 == 1).then_some(power))
        .collect();
    let relation = pick(&["CAREGIVER", "TRUSTED_PERSON", "PARENT"], by[0]);
    let from = [None, Some(now - DAY_MS), Some(now + 2 * DAY_MS)][usize::from(by[3]) % 3];
    let represented = json!({
        "representative": name(5 + by[1] % 3), "relation": relation, "powers": powers,
        "from": from.map(|from| TimeMs(from).to_string()),
        "until": until(if relation == "PARENT" { 1 + by[4] % 3 } else { by[4] }, now),
        "activated": (relation == "TRUSTED_PERSON").then_some(by[0].is_multiple_of(2)),
    });
    let joined = json!({
        "professional": name(1 + by[1] % 4), "until": until(1 + by[2] % 3, now),
        "origin": (by[2].is_multiple_of(2)).then_some("ward"),
        "organisation": Some(pick(&STRUCTURES, by[3])).filter(|structure| !structure.is_empty()),
    });
    let (kind, signer, details, items) = match kind {
        0..=3 => (Kind::ACCESS_WRITE, anyone, json!({}), deposited(by)),
        4 => (Kind::ACCESS_UPDATE, anyone, json!({}), deposited(by)),
        5 => (Kind::ACCESS_DELETE, anyone, json!({}), items(by[1], by[2])),
        6 | 7 => (Kind::ITEM_MASKED, patients_side, json!({}), items(by[1], by[2])),
        8 => (Kind::ITEM_UNMASKED, patients_side, json!({}), items(by[1], by[2])),
        9 => (Kind::PROFESSIONAL_BLOCKED, patients_side, professional, Vec::new()),
        10 => (Kind::PROFESSIONAL_UNBLOCKED, patients_side, professional, Vec::new()),
        11 => (Kind::EMERGENCY_OPPOSITION, patients_side, json!({"cases": cases}), Vec::new()),
        12 => (Kind::EMERGENCY_OPPOSITION_LIFTED, patients_side, json!({"cases": cases}), Vec::new()),
        13 => (Kind::FEED_OPPOSED, patients_side, json!({"source": source, "category": category}), Vec::new()),
        14 => {
            (Kind::FEED_OPPOSITION_LIFTED, patients_side, json!({"source": source, "category": category}), Vec::new())
        }
        15 | 16 => (Kind::ITEM_EMBARGOED, anyone, json!({"until": until(by[3], now)}), items(by[1], by[2])),
        17 => (Kind::ITEM_RELEASED, anyone, json!({}), items(by[1], by[2])),
        18 | 19 => (Kind::REPRESENTATION_REGISTERED, patients_side, represented, Vec::new()),
        20 => {
            let ended = json!({"representative": name(5 + by[1] % 3)});
            (Kind::REPRESENTATION_ENDED, patients_side, ended, Vec::new())
        }
        21 => (Kind::MINOR_SECRECY_SET, anyone, json!({}), items(by[1], by[2])),
        22 => (Kind::MINOR_SECRECY_LIFTED, anyone, json!({}), items(by[1], by[2])),
        23 => (Kind::CARETEAM_JOINED, if by[4].is_multiple_of(2) { patients_side } else { anyone }, joined, Vec::new()),
        24 => (Kind::CARETEAM_LEFT, anyone, professional, Vec::new()),
        25 => (Kind::ATTENDING_DECLARED, patients_side, professional, Vec::new()),
        26 => (Kind::ATTENDING_ENDED, patients_side, professional, Vec::new()),
        27 => {
            let kinds = [Kind::SPACE_OPENED, Kind::SPACE_OPENED, Kind::SPACE_OPPOSED, Kind::SPACE_CLOSED];
            (kinds[usize::from(by[1]) % 4], patients_side, json!({}), Vec::new())
        }
        28 => (Kind::CONSENT_REVOKED, patients_side, json!({"consent": pick(&["c1", "c2", "c3"], by[1])}), Vec::new()),
        _ => (Kind::CONSENT_DIRECTIVE, patients_side, directive(by, now), Vec::new()),
    };
    // Software that acts on its own names no actor.
    let alone = signer.system == "urn:sillage:system" && by[3].is_multiple_of(2);
    let automated = alone.then(|| v1::Automated { software: signer.id.clone(), version: String::new() });
    // Some name others beside who acted.
    let other = |r#type: &str, of: u8, requestor: bool| {
        let who = Some(people[usize::from(of) % people.len()].clone());
        v1::Agent { r#type: r#type.into(), who, network_address: String::new(), requestor }
    };
    let others = [vec![], vec![other("IRCP", by[0], true)], vec![other("PROV", by[2], false)]];
    let record = v1::Record {
        actor: (!alone).then_some(signer),
        agents: others[usize::from(by[3] / 9) % 3].clone(),
        automated,
        auth: Some(auth),
        details: without_nulls(details),
        items,
        ..new_message(kind, Some(&[7; 32]), now - 500)
    };
    (record, relation == "PARENT")
}

fn directive(by: [u8; 5], now: u64) -> Value {
    let grantees = [
        json!({"professional": name(1 + by[1] % 4)}),
        json!({"organisation": "F100"}),
        json!({"profession": "nurse"}),
        json!({"team": "ward"}),
        json!({"app": "urn:sillage:app|poids"}),
        json!({"person": name(5 + by[1] % 3)}),
    ];
    let denies = by[0].is_multiple_of(2);
    let within = [None, Some(("items", ITEMS[1])), Some(("labels", "PSY")), Some(("categories", "LAB"))];
    let from = [None, Some(now - DAY_MS), Some(now + 3 * DAY_MS)][usize::from(by[3]) % 3];
    let mut said = json!({
        "id": pick(&["c1", "c2", "c3"], by[1]),
        "effect": if denies { "deny" } else { "permit" },
        "grantee": if denies && by[2].is_multiple_of(5) { json!("anyone") } else { grantees[usize::from(by[2]) % 6].clone() },
        "actions": (!denies || by[3].is_multiple_of(2)).then(|| json!(["read", "search", "write"])),
        "purposes": (by[4] % 4 == 1).then(|| json!(["TREAT", "BTG"])),
        "from": from.map(|from| TimeMs(from).to_string()),
        "until": until(by[4], now + 4 * DAY_MS),
        "supersedes": (by[4] % 5 == 2).then(|| pick(&["c1", "c2", "c3"], by[2])),
    });
    if let Some((field, value)) = within[usize::from(by[3]) % 4] {
        said[field] = json!([value]);
    }
    if by[0].is_multiple_of(3) {
        let effect = if denies { "permit" } else { "deny" };
        said["except"] = json!([{"effect": effect, "grantee": grantees[usize::from(by[4]) % 6], "actions": ["read"]}]);
    }
    said
}

/// A log of one patient: both tags.
#[derive(Default)]
struct Log {
    states: [PatientState; 2],
    lines: Vec<Line>,
}

impl Log {
    /// Records it where it is admitted.
    fn take(&mut self, message: v1::Record, secret: bool, authority: bool, place: (u64, u64)) -> Result<(), Code> {
        let record = ParsedRecord::from_message(message).expect("a record");
        let Some(event) = Event::of(&record).expect("understood") else { return Ok(()) };
        let (index, time) = (LeafIndex(place.0), LedgerTimeMs(place.1));
        let meta = Meta::of(&record, index, time, authority, false).expect("signed");
        let state = &mut self.states[usize::from(secret)];
        with_env(|env| state.admit(&event, &meta, env)).map_err(|refusal| refusal.code)?;
        state.apply(&event, &meta);
        self.lines.push(Line { secret, ..line_of(place.0, place.1, record) });
        Ok(())
    }

    fn of(steps: Vec<Step>) -> (Self, u64) {
        let (mut log, mut now) = (Self::default(), BEGIN_MS);
        for (i, step) in (10..).zip(steps) {
            now += 1_000 * (1 + u64::from(step.1[0]));
            let (message, authority) = record(step, now);
            // What isn't admitted isn't on record.
            let _ = log.take(message, step.2, authority, (i, now));
        }
        (log, now + 1_000)
    }

    fn exported(&self, at: u64) -> Vec<Value> {
        let ins = Ins::demo("Patient/claire");
        let subject = Subject { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() };
        let trace = Trace { subject, origin: "a.example".into(), read_at_ms: at, lines: self.lines.clone() };
        let bundle = bundle(&trace);
        bundle["entry"].as_array().expect("entries").iter().map(|entry| entry["resource"].clone()).collect()
    }

    /// Takes what was exported. A former representative can't sign again: their records are applied all the same, as if
    /// the patient had said it anew.
    fn import(resources: &[Value], mut now: u64) -> (Self, u64) {
        let mut log = Self::default();
        let mut index = 1_000;
        for resource in resources {
            let mapped = map(resource.to_string().as_bytes(), &PatientMap::default());
            for MappedRecord { record, secret, .. } in mapped.unwrap_or_else(|e| panic!("{e}: {resource:#}")) {
                (index, now) = (index + 3, now + 1);
                let message = v1::Record { tag: vec![7; 32], ..record };
                let of_law = message.details.contains("\"PARENT\"");
                if let Err(code) = log.take(message.clone(), secret, of_law, (index, now)) {
                    let signer = Actor::of(&message).expect("signed");
                    assert!(code == Code::NotEntitled && signer.kind == ActorKind::Person, "{code}: {resource:#}");
                    log.apply_anyway(&message, secret, (index, now));
                }
            }
        }
        (log, now)
    }

    fn apply_anyway(&mut self, message: &v1::Record, secret: bool, (index, time): (u64, u64)) {
        let record = ParsedRecord::from_message(message.clone()).expect("a record");
        let event = Event::of(&record).expect("understood").expect("decides");
        let meta = Meta::of(&record, LeafIndex(index), LedgerTimeMs(time), false, false).expect("signed");
        self.states[usize::from(secret)].apply(&event, &meta);
    }

    /// Three of them break the glass, each in another case: what is opposed shows.
    fn break_glass(&mut self, now: u64) {
        for ((n, case), by) in (0..).zip(["INCAPACITY", "SAMU", "FIRE"]).zip([1, 2, 4]) {
            let opened = json!({
                "id": case, "case": case, "reason": "unconscious", "expires": TimeMs(now + 100 * DAY_MS), "no_position": "INDOORS"
            });
            let event = Event::BreakGlassOpened(serde_json::from_value(opened).expect("details"));
            let signer = Actor::from_record(&people()[by]).expect("an actor");
            let (index, time) = (LeafIndex(1_000_000 + n), LedgerTimeMs(now));
            let meta = Meta {
                index,
                time,
                signer,
                authority: false,
                patient_key: false,
                authenticated: false,
                will: None,
                party: None,
                server: None,
            };
            self.states.iter_mut().for_each(|state| state.apply(&event, &meta));
        }
    }

    fn decided(&self, request: &Asked) -> Vec<(String, bool, Reason)> {
        let [open, secret] = &self.states;
        let second = request.second.then_some(secret);
        let item = |id: &&str| {
            let said = v1::Item { id: (*id).to_owned(), ..v1::Item::default() };
            ItemFacts::of(&said, open, second, false)
        };
        let request = Request {
            actor: request.actor.clone(),
            action: request.action,
            purpose: request.purpose.to_owned(),
            at: LedgerTimeMs(request.at),
            items: ITEMS.iter().map(item).collect(),
            word_of: None,
        };
        let decision = with_env(|env| decide(env, open, second, &request));
        decision.items.into_iter().map(|item| (item.id, item.permit, item.reason)).collect()
    }
}

fn with_env<T>(f: impl FnOnce(&Env<'_>) -> T) -> T {
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    f(&Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: true,
        across_servers: true,
    })
}

#[derive(Debug)]
struct Asked {
    actor: Actor,
    action: Action,
    purpose: &'static str,
    at: u64,
    /// True if the requester has the secret tag.
    second: bool,
}

/// Some of everything that everybody may ask for, now and later: one in thirteen, from `first` on.
fn requests(now: u64, first: usize) -> impl Iterator<Item = Asked> {
    let mut all = Vec::new();
    for actor in people().iter().map(|actor| Actor::from_record(actor).expect("an actor")) {
        for action in Action::ALL {
            for purpose in ["TREAT", "BTG", "FAMRQT", "PATRQT"] {
                for at in [now, now + DAY_MS - 300_000, now + 5 * DAY_MS, now + 50 * DAY_MS] {
                    for second in [true, false] {
                        all.push(Asked { actor: actor.clone(), action: *action, purpose, at, second });
                    }
                }
            }
        }
    }
    all.into_iter().skip(first % 13).step_by(13)
}

/// The rules of an export, without where they are on record.
fn rules(resources: &[Value]) -> Vec<String> {
    let rules = resources.iter().filter(|resource| resource["resourceType"] == "Consent");
    let rule = |consent: &Value| {
        let all = [&consent["extension"], &consent["modifierExtension"]].into_iter().filter_map(Value::as_array);
        let url = format!("{OURS}/StructureDefinition/rule");
        let found = all.flatten().find(|extension| extension["url"] == url.as_str())?;
        Some(format!("{} {found}", consent["performer"]))
    };
    let mut all: Vec<String> = rules.filter_map(rule).collect();
    all.sort();
    all
}

fn step() -> impl Strategy<Value = Step> {
    (0_u8..33, any::<[u8; 5]>(), proptest::bool::weighted(0.3))
}

proptest! {
    #[test]
    fn what_was_exported_and_imported_is_decided_the_same(
        steps in proptest::collection::vec(step(), 1..60),
        first in any::<usize>(),
    ) {
        let (mut before, now) = Log::of(steps);
        let exported = before.exported(now);
        let (mut after, now) = Log::import(&exported, now);
        before.break_glass(now);
        after.break_glass(now);
        for request in requests(now, first) {
            prop_assert_eq!(before.decided(&request), after.decided(&request), "{:?}\n{:#?}", request, rules(&exported));
        }
        // And once more: what comes back says no more and nothing else.
        let (known, again) = (rules(&exported), rules(&after.exported(now)));
        prop_assert!(again.iter().all(|rule| known.contains(rule)), "{:#?}\n{:#?}", again, known);
    }
}
