//! A patient with a ledger around them, small enough for tests: records are real ones, parsed as apply parses them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sillage_proof::hash::LedgerTimeMs;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::{Action, Actor, ActorName, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::{Decision, ItemFacts, Request, decide};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};

/// The moment at which stories begin.
pub const NOW: u64 = 1_772_438_400_000;
pub const MINUTE: u64 = 60_000;

/// A patient's tags, what holds for all, and who is revoked.
#[derive(Default)]
pub struct World {
    pub open: PatientState,
    pub secret: PatientState,
    pub policy: Policy,
    pub matrix: Matrix,
    pub catalogue: Catalogue,
    pub revoked: BTreeSet<ActorName>,
    /// The ledger time of the next record or request.
    pub at: u64,
    pub index: u64,
    /// Set if the next records are authenticated, signed by the authority, signed with the patient's own key.
    pub authenticated: bool,
    pub authority: bool,
    pub patient_key: bool,
    /// True if a login proves who signs the next records.
    pub login: bool,
    /// True if the group has reached feature level 4.
    pub claims: bool,
    /// True if the group has reached feature level 5.
    pub across_servers: bool,
}

pub fn world() -> World {
    World { at: NOW, authenticated: true, claims: true, across_servers: true, ..World::default() }
}

pub fn patient() -> v1::Actor {
    v1::Actor { system: "urn:sillage:patient".into(), id: "self".into(), ..v1::Actor::default() }
}

pub fn person(id: &str) -> v1::Actor {
    v1::Actor { system: "urn:sillage:person".into(), id: id.into(), ..v1::Actor::default() }
}

pub fn app(id: &str) -> v1::Actor {
    v1::Actor { system: "urn:sillage:app".into(), id: id.into(), ..v1::Actor::default() }
}

pub fn project(id: &str) -> v1::Actor {
    v1::Actor { system: "urn:sillage:project".into(), id: id.into(), ..v1::Actor::default() }
}

pub fn software(id: &str, organisation: &str) -> v1::Actor {
    let organisation = organisation.to_owned();
    v1::Actor { system: "urn:sillage:system".into(), id: id.into(), organisation, ..v1::Actor::default() }
}

/// A professional by a small number, with a profession, of a structure.
pub fn pro(number: u8, role: &str, organisation: &str) -> v1::Actor {
    v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".into(),
        id: format!("101000000{number:02}"),
        role: role.into(),
        organisation: organisation.into(),
        ..v1::Actor::default()
    }
}

/// A doctor by a small number.
pub fn dr(number: u8) -> v1::Actor {
    pro(number, "physician", "")
}

/// `system|id`, as details have it.
pub fn name(actor: &v1::Actor) -> String {
    format!("{}|{}", actor.system, actor.id)
}

/// A time so many minutes after [`NOW`], as details have it.
pub fn minute(minutes: u64) -> String {
    sillage_rules::time::TimeMs(NOW + minutes * MINUTE).to_string()
}

pub fn item(id: &str, category: &str, labels: &[&str]) -> ItemFacts {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    ItemFacts { id: id.into(), category: category.into(), labels, ..ItemFacts::default() }
}

/// The record that a signer makes.
pub fn record(kind: Kind, signer: &v1::Actor, details: &Value, items: &[&str]) -> v1::Record {
    let items = items.iter().map(|id| v1::Item { id: (*id).to_owned(), ..v1::Item::default() });
    v1::Record {
        actor: Some(signer.clone()),
        items: items.collect(),
        details: if details.is_null() { String::new() } else { details.to_string() },
        ..new_message(kind, kind.has_patient().then_some(&[7; 32]), NOW)
    }
}

/// The event that a record is.
pub fn event(message: v1::Record) -> Result<Event, Code> {
    let record = ParsedRecord::from_message(message).map_err(|error| error.code)?;
    let event = Event::of(&record).map_err(|error| error.code)?;
    Ok(event.expect("its kind decides"))
}

impl World {
    fn meta(&mut self, message: &v1::Record) -> Result<Meta, Code> {
        self.index += 1;
        let record = ParsedRecord::from_message(message.clone()).map_err(|error| error.code)?;
        let time = LedgerTimeMs(self.at);
        let meta = Meta::of(&record, self.index.into(), time, self.authority, self.patient_key);
        let will = self.login.then(|| sillage_rules::will::binding::record_digest(record.message()));
        Ok(Meta { authenticated: self.authenticated, will, ..meta.map_err(|error| error.code)? })
    }

    /// Puts a record on record under the open tag, or says with which code it is refused.
    pub fn put(&mut self, kind: Kind, signer: &v1::Actor, details: Value, items: &[&str]) -> Result<(), Code> {
        self.put_message(record(kind, signer, &details, items), false)
    }

    /// The same under the secret tag.
    pub fn put_secret(&mut self, kind: Kind, signer: &v1::Actor, details: Value, items: &[&str]) -> Result<(), Code> {
        self.put_message(record(kind, signer, &details, items), true)
    }

    pub fn put_message(&mut self, message: v1::Record, secret: bool) -> Result<(), Code> {
        let meta = self.meta(&message)?;
        let mut event = event(message)?;
        let mut state = std::mem::take(if secret { &mut self.secret } else { &mut self.open });
        let admitted = state.admit(&event, &meta, &self.env(&|name| self.revoked.contains(name)));
        if let Event::BreakGlassOpened(opened) = &mut event {
            opened.bound(&self.policy, meta.time, None);
        }
        if admitted.is_ok() {
            state.apply(&event, &meta);
        }
        *(if secret { &mut self.secret } else { &mut self.open }) = state;
        admitted.map_err(|refusal| refusal.code)
    }

    pub fn env<'a>(&'a self, revoked: &'a dyn Fn(&ActorName) -> bool) -> Env<'a> {
        let (claims, across_servers) = (self.claims, self.across_servers);
        Env { policy: &self.policy, matrix: &self.matrix, catalogue: &self.catalogue, revoked, claims, across_servers }
    }

    /// A directive of the patient.
    pub fn directive(&mut self, id: &str, effect: &str, mut fields: Value) {
        fields["id"] = json!(id);
        fields["effect"] = json!(effect);
        self.put(Kind::CONSENT_DIRECTIVE, &patient(), fields, &[]).expect("a good directive");
    }

    /// An item that somebody deposited.
    pub fn deposit(&mut self, actor: &v1::Actor, item: v1::Item) {
        let message = v1::Record { items: vec![item], ..record(Kind::ACCESS_WRITE, actor, &Value::Null, &[]) };
        self.put_message(message, false).expect("accesses are never refused");
    }

    pub fn decide(&self, actor: &v1::Actor, action: Action, purpose: &str, items: &[ItemFacts]) -> Decision {
        let request = Request {
            actor: Actor::from_record(actor).expect("an actor"),
            action,
            purpose: purpose.to_owned(),
            at: LedgerTimeMs(self.at),
            items: items.to_vec(),
            word_of: None,
        };
        let revoked = |name: &ActorName| self.revoked.contains(name);
        decide(&self.env(&revoked), &self.open, Some(&self.secret), &request)
    }

    /// The decision on one item, in words.
    pub fn ask(&self, actor: &v1::Actor, action: Action, purpose: &str, item: &ItemFacts) -> String {
        let decision = self.decide(actor, action, purpose, std::slice::from_ref(item));
        let outcome = &decision.items[0];
        format!("{} {}", if outcome.permit { "permit" } else { "deny" }, outcome.reason)
    }
}
