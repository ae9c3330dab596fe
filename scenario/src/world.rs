//! A story's names as real identifiers, its records and requests as real ones.
//!
//! Offline and against real nodes alike, a story goes through records as services sign them. A namespace keeps the stories
//! that share one ledger apart: ids of items, consents and break-glasses, and the numbers of professionals, follow from it.

use serde_json::{Map, Value, json};
use sillage_proof::hash::{Hash, sha256};
use sillage_proto::v1;
use sillage_rules::consent::name::{
    APP_SYSTEM, ActorName, PATIENT_ID, PATIENT_SYSTEM, PERSON_SYSTEM, PROFESSIONAL_SYSTEM, PROJECT_SYSTEM,
    SOFTWARE_SYSTEM,
};
use sillage_rules::consent::{ActorKind, Relation};
use sillage_rules::decide::request::REQUEST_VERSION;
use sillage_rules::ident::{Ins, Rpps};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;
use sillage_rules::time::TimeMs;

use super::{Field, Scenario, ScenarioActor, ScenarioItem, ScenarioRecord, ScenarioRequest};

/// The version that a story's policy, matrix and catalogue have.
pub const VERSION: &str = "scenario";

/// A story among real identifiers.
#[derive(Debug, Clone)]
pub struct World<'s> {
    scenario: &'s Scenario,
    namespace: String,
}

/// The form that a record of a story has in a ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A record under one of the patient's tags, which is filled in already.
    Record {
        /// The record.
        message: Box<v1::Record>,
        /// Signed by the ledger's authority.
        authority: bool,
    },
    /// An act of the authority: this actor is revoked for all.
    ActorRevoked(Hash),
}

/// Tells whether a record of a story stands under the patient's secret tag.
pub fn is_secret(kind: Kind) -> bool {
    matches!(kind, Kind::MINOR_SECRECY_SET | Kind::MINOR_SECRECY_LIFTED)
}

impl<'s> World<'s> {
    /// Names as they are where the namespace is empty; else kept apart by it.
    pub fn new(scenario: &'s Scenario, namespace: &str) -> Self {
        Self { scenario, namespace: namespace.to_owned() }
    }

    fn known(&self, name: &str) -> &ScenarioActor {
        &self.scenario.actors[name]
    }

    /// The demonstration identity of a patient.
    pub fn ins(&self, patient: &str) -> Ins {
        Ins::demo(&format!("{}|{patient}", self.namespace))
    }

    /// The id of an item, a consent or a break-glass.
    pub fn id(&self, id: &str) -> String {
        match self.namespace.as_str() {
            "" => id.to_owned(),
            namespace => format!("{namespace}.{id}"),
        }
    }

    /// An actor, as a record of `patient` names it.
    ///
    /// # Panics
    /// When the story has no such actor; a parsed story names no other.
    pub fn actor(&self, name: &str, patient: Option<&str>) -> v1::Actor {
        let actor = self.known(name);
        let named = |system: &str, id: String| (system.to_owned(), id);
        let (system, id) = match actor.kind {
            ActorKind::Patient if patient == Some(name) => named(PATIENT_SYSTEM, PATIENT_ID.to_owned()),
            ActorKind::Patient | ActorKind::Person => named(PERSON_SYSTEM, self.id(name)),
            ActorKind::Professional => named(PROFESSIONAL_SYSTEM, self.rpps(name)),
            ActorKind::App => named(APP_SYSTEM, self.id(name)),
            ActorKind::Project => named(PROJECT_SYSTEM, self.id(name)),
            ActorKind::System => named(SOFTWARE_SYSTEM, self.id(name)),
        };
        v1::Actor {
            system,
            id,
            role: actor.profession.clone().unwrap_or_default(),
            organisation: actor.organisation.clone().unwrap_or_default(),
            label: name.to_owned(),
        }
    }

    /// An actor's name, as a record of `patient` has it.
    pub fn name(&self, name: &str, patient: Option<&str>) -> ActorName {
        let actor = self.actor(name, patient);
        ActorName::new(&actor.system, &actor.id).expect("the systems of a story are URIs, and its names aren't empty")
    }

    /// A number with a key that fits, the same for the same name.
    fn rpps(&self, name: &str) -> String {
        let hash = sha256(&[b"sillage scenario\0", self.namespace.as_bytes(), b"|", name.as_bytes()]);
        let number = hash.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let number = format!("10{:08}", number % 100_000_000);
        let with_key = (0..10).map(|key| format!("{number}{key}"));
        let fits = |rpps: &String| Rpps::parse(rpps).is_ok_and(|rpps| rpps.key_fits());
        with_key.into_iter().find(fits).expect("one key fits each number")
    }

    /// The item as records and requests name it.
    pub fn item(&self, id: &str) -> v1::Item {
        let item = &self.scenario.items[id];
        let depositor = item.depositor.as_deref();
        v1::Item {
            id: self.id(id),
            category: item.category.clone(),
            labels: item.labels.clone(),
            depositor: depositor.map(|name| self.name(name, Some(&item.patient)).to_string()).unwrap_or_default(),
            label: String::new(),
        }
    }

    /// The deposit of an item, under its patient's open tag. An item without a depositor in the story has one whom no
    /// rule is about.
    pub fn deposit(&self, item: &ScenarioItem, tag: &[u8; 32], at: TimeMs) -> v1::Record {
        let actor = match &item.depositor {
            Some(depositor) => self.actor(depositor, Some(&item.patient)),
            None => v1::Actor { label: "?".to_owned(), ..v1::Actor::default() },
        };
        v1::Record {
            actor: Some(actor),
            items: vec![self.item(&item.id)],
            basis: Some(v1::Basis { kind: v1::BasisKind::Legal.into(), r#ref: "deposit".to_owned() }),
            ..new_message(Kind::ACCESS_WRITE, Some(tag), at.0)
        }
    }

    /// Policy, matrix and catalogue, as the authority publishes them.
    pub fn published(&self, at: TimeMs) -> Vec<v1::Record> {
        let policy = &self.scenario.policy;
        let mut details = Map::from_iter([("version".to_owned(), json!(VERSION))]);
        let mut say = |name: &str, value: Option<Value>| details.extend(value.map(|value| (name.to_owned(), value)));
        say("attending_doctor_sees_all", policy.attending_doctor_sees_all.map(Value::from));
        say("emergency_lifts_mask", policy.emergency_lifts_mask.map(Value::from));
        say("express_consent_only", policy.express_consent_only.clone().map(Value::from));
        say("barred_purposes", policy.barred_purposes.clone().map(Value::from));
        let name = |feed: &String| self.name(feed, None).to_string();
        say("legal_feeds", policy.legal_feeds.as_ref().map(|feeds| feeds.iter().map(name).collect()));
        say("emergency_professions", Some(json!(policy.emergency_professions)));
        say("breakglass_max_s", policy.breakglass_max_s.map(Value::from));
        let matrix = json!({"version": VERSION, "deny": policy.matrix_deny});
        let apps = self.scenario.actors.iter().filter(|(_, actor)| actor.kind == ActorKind::App && actor.catalogued);
        let apps: Vec<String> = apps.map(|(name, _)| self.name(name, None).to_string()).collect();
        let catalogue = json!({"version": VERSION, "apps": apps});
        let documents = [
            (Kind::POLICY_PUBLISHED, Value::from(details)),
            (Kind::MATRIX_PUBLISHED, matrix),
            (Kind::CATALOGUE_PUBLISHED, catalogue),
        ];
        let authority =
            v1::Actor { system: SOFTWARE_SYSTEM.to_owned(), id: "authority".to_owned(), ..v1::Actor::default() };
        let record = |(kind, details): (Kind, Value)| v1::Record {
            actor: Some(authority.clone()),
            details: details.to_string(),
            ..new_message(kind, None, at.0)
        };
        documents.map(record).to_vec()
    }

    /// A record of the story, under `tag`: the patient's second one where [`is_secret`] says so.
    pub fn record(&self, record: &ScenarioRecord, tag: &[u8; 32]) -> Said {
        let patient = record.patient.as_deref();
        if record.kind == Kind::KEY_REVOKED {
            let Some(Field::Actor(actor)) = record.field("actor") else {
                unreachable!("a story's key.revoked names an actor");
            };
            return Said::ActorRevoked(self.name(actor, patient).hash());
        }
        let fields = record.fields.iter().map(|(name, field)| (name.clone(), self.json(field, patient)));
        let mut details: Map<String, Value> = fields.collect();
        self.complete(record, &mut details);
        let relation = details.get("relation").and_then(Value::as_str).and_then(Relation::from_token);
        let message = v1::Record {
            actor: Some(self.actor(&record.by, patient)),
            auth: Some(v1::Authentication {
                issuer: "urn:sillage:scenario".to_owned(),
                method: "scenario".to_owned(),
                eidas_level: "substantial".to_owned(),
            }),
            items: record.items.iter().map(|id| v1::Item { id: self.id(id), ..v1::Item::default() }).collect(),
            details: if details.is_empty() { String::new() } else { Value::from(details).to_string() },
            ..new_message(record.kind, Some(tag), record.at.0)
        };
        Said::Record { message: Box::new(message), authority: relation.is_some_and(Relation::is_of_law) }
    }

    /// Adds the details that real records have and stories leave to the table of actors.
    fn complete(&self, record: &ScenarioRecord, details: &mut Map<String, Value>) {
        let named = |name: &str| match record.field(name) {
            Some(Field::Actor(actor)) => Some((actor.as_str(), self.known(actor))),
            _ => None,
        };
        let trusted = Some(Relation::TrustedPerson.as_str());
        let is_trusted = details.get("relation").and_then(Value::as_str) == trusted;
        let mut say = |name: &str, value: Option<&str>| {
            details.extend(value.map(|value| (name.to_owned(), Value::from(value))));
        };
        match record.kind {
            Kind::CARETEAM_JOINED => {
                let professional = named("professional");
                say("organisation", professional.and_then(|(_, actor)| actor.organisation.as_deref()));
            }
            Kind::BREAKGLASS_OPENED => {
                if let Some((_, actor)) = named("actor").filter(|(name, _)| *name != record.by) {
                    say("profession", actor.profession.as_deref());
                    say("organisation", actor.organisation.as_deref());
                }
                say("search", Some("INS"));
                say("no_position", Some("UNAVAILABLE"));
            }
            // A story has no word for the moment at which a trusted person's powers begin.
            Kind::REPRESENTATION_REGISTERED if is_trusted && details.contains_key("powers") => {
                details.insert("activated".to_owned(), Value::from(true));
            }
            _ => {}
        }
    }

    fn json(&self, field: &Field, patient: Option<&str>) -> Value {
        match field {
            Field::Text(text) => text.as_str().into(),
            Field::Actor(name) => self.name(name, patient).to_string().into(),
            Field::Item(id) | Field::Id(id) => self.id(id).into(),
            Field::Time(time) => time.to_string().into(),
            Field::List(fields) => fields.iter().map(|field| self.json(field, patient)).collect(),
            Field::Table(fields) => {
                let fields = fields.iter().map(|(name, field)| (name.clone(), self.json(field, patient)));
                Value::from(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// A request of the story. `at` is the requester's time.
    pub fn request(
        &self,
        request: &ScenarioRequest,
        tag: &[u8; 32],
        secret_tag: Option<&[u8; 32]>,
        nonce: [u8; 16],
        at: TimeMs,
    ) -> v1::DecisionRequest {
        v1::DecisionRequest {
            version: REQUEST_VERSION,
            tag: tag.to_vec(),
            secret_tag: secret_tag.map(|tag| tag.to_vec()).unwrap_or_default(),
            actor: Some(self.actor(&request.actor, Some(&request.patient))),
            auth: Some(v1::Authentication {
                issuer: "urn:sillage:scenario".to_owned(),
                method: "scenario".to_owned(),
                eidas_level: "substantial".to_owned(),
            }),
            action: request.action.as_str().to_owned(),
            purpose: request.purpose.clone(),
            items: request.items.iter().map(|id| self.requested(id, &request.patient)).collect(),
            requested_at_ms: at.0,
            nonce: nonce.to_vec(),
            correlation: None,
            will: None,
        }
    }

    /// The item as a request on `patient` names it: another patient's has nobody whom that patient's records know.
    fn requested(&self, id: &str, patient: &str) -> v1::Item {
        let mut item = self.item(id);
        if self.scenario.items[id].patient != patient {
            item.depositor.clear();
        }
        item
    }
}
