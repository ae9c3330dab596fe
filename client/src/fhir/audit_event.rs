//! From one AuditEvent to records.
//!
//! | question | where it is read | where it goes |
//! | --- | --- | --- |
//! | who | the first agent with `requestor`, else the agent in the client's role, else the first one | `actor`; the others are `agents` |
//! | whose | entities of type Person and role Patient, or whose `what` is a Patient; else an agent that is a Patient | the tag: one record for each patient |
//! | what | the other entities | `items`; queries and request ids to `details` and `correlation` |
//! | when | start of `period`, else `recorded` | `occurred_at_ms` |
//! | where | `source`, `agent.network`, `agent.location` | `place` |
//! | why | `purposeOfEvent`, else `agent.purposeOfUse` | `purpose` |
//! | outcome | `outcome` 0, 4, 8, 12 | `outcome`, `outcome_text` |
//! | by what right | a Consent entity, else `agent.policy`, else purpose `BTG`, else the patient acting for itself | `basis` |
//!
//! **Kind.** The subtype decides before the type, and the type before the action: RESTful interactions to `access.read`,
//! `access.search`, `access.write`, `access.update`, `access.delete`; DICOM 110112 query to `access.search`; disclosures
//! (ISO 21089 `disclose`) on either side, and transfers, to `movement.third_party`; DICOM 110106 export to `access.export`
//! and 110107 import to `access.write`. An event without a patient is a `system.event`: it has no tag.
//!
//! **Authorisation decisions** (DICOM 110113 with an AuthZ subtype): `decision.made` is the ledger's own. A patient and a
//! data protection officer want to see that someone asked and was refused, so the event is an `access.read` with the
//! outcome it has (a refusal is a serious failure), its consent as basis, and `details.authorisation` = `permit` or
//! `deny`, by which the trace words it as a request and not as a reading.
//!
//! **Our own export** (extension `entry`) says exactly who acted (extension `actor` of an agent), which entities are items (role
//! 4), and whether all of it is kept from representatives.
//!
//! **Several patients.** A query that returned N patients is N records. The payload of each holds the original JSON
//! exactly as received where the event concerns one patient; where it concerns several, a record's original leaves out
//! the entities of the *other* patients, because each patient reads the payload of its own record.

use serde_json::{Map, Value, json};
use sillage_proto::v1;
use sillage_rules::ident;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::limits;

use super::check::base64;
use super::dates::instant_ms;
use super::patients::{PatientMap, PatientName};
use super::read::*;
use super::references::References;
use super::{FhirError, MappedRecord};

/// System of an actor that is named by a reference only.
pub(crate) const SYSTEM_REFERENCE: &str = "urn:sillage:fhir:reference";
/// System of an actor that is named by `altId` only.
pub(crate) const SYSTEM_ALT_ID: &str = "urn:sillage:fhir:alt-id";
/// System of an actor that has nothing but a name to read.
pub(crate) const SYSTEM_DISPLAY: &str = "urn:sillage:fhir:display";
/// The kinds of our own records, in an AuditEvent of our own export.
pub(crate) const SYSTEM_KIND: &str = "https://sillage.example/fhir/CodeSystem/kind";
/// Longest query kept in the details, characters; the original has all of it.
const QUERY_CHARS_MAX: usize = 2_000;

/// Maps an AuditEvent that was checked; `original` are its bytes as received.
///
/// # Errors
/// [`FhirError`] where a patient has no INS that is known, or the time is none. No record for what isn't an access: an
/// event of our own export of another kind.
pub fn map(document: &Value, original: &[u8], patients: &PatientMap) -> Result<Vec<MappedRecord>, FhirError> {
    let event = Event { root: document };
    let own_kind = event.own_kind();
    if own_kind.is_some_and(|kind| !matches!(kind.group(), Group::Access | Group::Movement)) {
        // What a ledger says of itself, or what decides: the Consents beside it carry that.
        return Ok(Vec::new());
    }
    if ["decision", "erased"].iter().any(|name| own(document, name).is_some()) {
        // What a ledger decided is no access, and of what was erased there nobody knows what it was.
        return Ok(Vec::new());
    }
    let found = event.patients();
    if found.is_empty() {
        let record = event.record(Kind::SYSTEM_EVENT, None, original.to_vec())?;
        return Ok(vec![mapped(None, record)]);
    }
    let kind = own_kind.unwrap_or_else(|| event.kind());
    let secret = match (own_kind, own_entry(document, "AuditEvent")?) {
        (Some(_), None) => return Err(without_entry("AuditEvent")),
        (_, kept) => kept == Some(true),
    };
    let mut out: Vec<MappedRecord> = Vec::with_capacity(found.len());
    for patient in &found {
        let identity = patients.resolve(&patient.name).map_err(|why| FhirError::new(patient.path.clone(), why))?;
        if out.iter().any(|mapped| mapped.patient.as_ref() == Some(&identity)) {
            continue;
        }
        let original = match found.iter().all(|other| other.name == patient.name) {
            true => original.to_vec(),
            false => event.without_other_patients(&found, patient)?,
        };
        let record = event.record(kind, Some(patient), original)?;
        let record = if event.is_ours() { without_what_does_not_fit(record) } else { record };
        out.push(MappedRecord { secret, ..mapped(Some(identity), record) });
    }
    Ok(out)
}

fn mapped(patient: Option<v1::PatientIdentity>, record: v1::Record) -> MappedRecord {
    MappedRecord { patient, record, time_path: "AuditEvent.recorded", directive: None, secret: false }
}

/// A patient that the event concerns.
struct Patient {
    name: PatientName,
    path: String,
    /// Position among the entities; none for an agent.
    entity: Option<usize>,
}

struct Event<'a> {
    root: &'a Value,
}

impl<'a> Event<'a> {
    fn list(&self, name: &str) -> &'a [Value] {
        list(self.root, name)
    }

    /// An event of our own export: there every entity says by its role what it is.
    fn is_ours(&self) -> bool {
        own(self.root, "entry").is_some()
    }

    /// Whether an entity is a patient. An item that is a Patient resource is none.
    fn is_patient(&self, entity: &Value) -> bool {
        is_patient(entity) && !(self.is_ours() && has_role(entity, "4"))
    }

    /// Whether an entity is something that was accessed.
    fn is_item(&self, entity: &Value) -> bool {
        match self.is_ours() {
            true => has_role(entity, "4"),
            false => !is_patient(entity) && !is_query(entity) && !is_request_id(entity) && !self.relied_on(entity),
        }
    }

    /// Whether an entity is a consent that the event relied on. An item that is a Consent is none.
    fn relied_on(&self, entity: &Value) -> bool {
        is_consent(entity) && !(self.is_ours() && has_role(entity, "4"))
    }

    fn patients(&self) -> Vec<Patient> {
        let entities = self.list("entity").iter().enumerate().filter(|(_, e)| self.is_patient(e));
        let mut found: Vec<Patient> = entities
            .map(|(i, e)| Patient {
                name: self.patient_name(&e["what"], e),
                path: format!("AuditEvent.entity[{i}].what"),
                entity: Some(i),
            })
            .collect();
        if found.is_empty() {
            let agents = self.list("agent").iter().enumerate().filter(|(_, a)| is_patient_reference(&a["who"]));
            found.extend(agents.map(|(i, a)| Patient {
                name: self.patient_name(&a["who"], a),
                path: format!("AuditEvent.agent[{i}].who"),
                entity: None,
            }));
        }
        found
    }

    /// What is known of a patient: its reference, and the identifiers on it or on the resource it contains.
    fn patient_name(&self, what: &Value, holder: &Value) -> PatientName {
        let (reference, identifiers) = References::of(self.root).named(what);
        let display = [text(what, "display"), text(holder, "name")].into_iter().find(|t| !t.is_empty());
        PatientName { reference, identifiers, display: display.unwrap_or_default().to_owned() }
    }

    /// The event's codes, subtypes before the type.
    fn codes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let subtypes = self.list("subtype").iter();
        subtypes.chain(std::iter::once(&self.root["type"])).map(|c| (text(c, "system"), text(c, "code")))
    }

    /// The kind that an AuditEvent of our own export names.
    fn own_kind(&self) -> Option<Kind> {
        let own = self.codes().find(|(system, _)| *system == SYSTEM_KIND);
        own.and_then(|(_, code)| Kind::from_token(code).ok())
    }

    fn is_authorisation(&self) -> bool {
        self.codes().any(|(system, _)| system.ends_with("/AuthZsubType"))
    }

    fn kind(&self) -> Kind {
        if self.is_authorisation() {
            return Kind::ACCESS_READ;
        }
        // A disclosure is a disclosure, also where another subtype says by which interaction it was done.
        if self.codes().any(|(system, code)| system == SYSTEM_LIFECYCLE && matches!(code, "disclose" | "transmit")) {
            return Kind::MOVEMENT_THIRD_PARTY;
        }
        let by_code = self.codes().find_map(|(system, code)| kind_of_code(system, code));
        by_code.unwrap_or(match text(self.root, "action") {
            "C" => Kind::ACCESS_WRITE,
            "U" => Kind::ACCESS_UPDATE,
            "D" => Kind::ACCESS_DELETE,
            // Reading is what is assumed of any use of a patient's data that says no more.
            _ => Kind::ACCESS_READ,
        })
    }

    /// Position of the agent that acts.
    fn actor_at(&self) -> usize {
        let agents = self.list("agent");
        if let Some(at) = agents.iter().position(|a| a["requestor"] == Value::Bool(true)) {
            return at;
        }
        // The client of a read is its destination, the client of anything else its source (IHE BALP).
        let client = match self.codes().any(|(_, code)| matches!(code, "read" | "vread" | "history")) {
            true => "110152",
            false => "110153",
        };
        let role_is = |code: &str| agents.iter().position(|a| codings(&a["type"]).any(|c| text(c, "code") == code));
        role_is(client).or_else(|| role_is("110150")).unwrap_or(0)
    }

    /// Position of the agent that acts: of our own export the one that says so.
    fn acted(&self) -> usize {
        let own = self.list("agent").iter().position(|agent| own(agent, "actor").is_some());
        own.unwrap_or_else(|| self.actor_at())
    }

    /// Who acted, as the ledger names them: our own export says it part by part.
    fn actor_named(&self, agent: &Value) -> v1::Actor {
        let read = self.actor(agent);
        let Some(named) = own(agent, "actor") else { return read };
        let part = |name: &str| {
            let part = list(named, "extension").iter().find(|part| text(part, "url") == name);
            part.map(|part| text(part, "valueString").to_owned()).unwrap_or_default()
        };
        v1::Actor {
            system: cut(&part("system"), limits::ID_BYTES_MAX),
            id: cut(&part("id"), limits::ID_BYTES_MAX),
            role: cut(&part("role"), limits::TOKEN_BYTES_MAX),
            organisation: cut(&part("organisation"), limits::ID_BYTES_MAX),
            label: read.label,
        }
    }

    fn record(&self, kind: Kind, patient: Option<&Patient>, original: Vec<u8>) -> Result<v1::Record, FhirError> {
        let at = self.acted();
        let requestor = &self.list("agent")[at];
        let actor = self.actor_named(requestor);
        let automated = (requestor["requestor"] != Value::Bool(true))
            .then(|| v1::Automated { software: cut(&actor.label, limits::LABEL_BYTES_MAX), version: String::new() });
        let purposes = self.purposes(requestor);
        let record = v1::Record {
            version: 1,
            kind: kind.code().into(),
            tag: Vec::new(),
            basis: self.basis(requestor, &purposes, patient),
            purpose: purposes.first().map(|p| token(p)).unwrap_or_default(),
            auth: authentication(requestor),
            items: self.items(),
            occurred_at_ms: self.occurred_at_ms()?,
            outcome: outcome(text(self.root, "outcome")).into(),
            outcome_text: cut(text(self.root, "outcomeDesc"), limits::TEXT_BYTES_MAX),
            place: Some(self.place(requestor)),
            deferred: None,
            correlation: self.correlation(),
            automated,
            agents: self.other_agents(at),
            details: self.details(&purposes, requestor),
            original: Some(v1::Original { media_type: "application/fhir+json".to_owned(), content: original }),
            act: None,
            signatures: Vec::new(),
            actor: Some(actor),
        };
        Ok(record)
    }

    fn actor(&self, agent: &Value) -> v1::Actor {
        let who = &agent["who"];
        let identifier = &who["identifier"];
        let candidates = [
            (text(identifier, "system"), text(identifier, "value")),
            (SYSTEM_REFERENCE, text(who, "reference")),
            (SYSTEM_ALT_ID, text(agent, "altId")),
            (SYSTEM_DISPLAY, text(agent, "name")),
            (SYSTEM_DISPLAY, text(who, "display")),
            (SYSTEM_DISPLAY, text(&agent["network"], "address")),
            (SYSTEM_DISPLAY, text(&agent["type"], "text")),
        ];
        let named = candidates.into_iter().find(|(_, id)| !id.is_empty());
        let (system, id) = named.unwrap_or((SYSTEM_DISPLAY, "unknown"));
        let system = if system.is_empty() { SYSTEM_REFERENCE } else { system };
        // Published examples have ids that aren't of the system they name: the original is kept, and so is the event.
        let id = ident::normalise_actor(system, id).unwrap_or_else(|_| id.to_owned());
        let labels = [text(agent, "name"), text(who, "display"), text(agent, "altId"), text(who, "reference"), &id];
        let label = labels.into_iter().find(|l| !l.is_empty()).unwrap_or_default();
        // A role by its code, else by its name; else the part that the agent has.
        let roles = list(agent, "role");
        let coded = roles.iter().flat_map(codings).map(|c| text(c, "code"));
        let named = roles.iter().map(|role| text(role, "text"));
        let parts = codings(&agent["type"]).map(|c| text(c, "code"));
        let role = coded.chain(named).chain(parts).find(|role| !role.is_empty());
        v1::Actor {
            label: cut(label, limits::LABEL_BYTES_MAX),
            system: cut(system, limits::ID_BYTES_MAX),
            role: cut(role.unwrap_or_default(), limits::TOKEN_BYTES_MAX),
            organisation: cut(&self.organisation(agent), limits::ID_BYTES_MAX),
            id: cut(&id, limits::ID_BYTES_MAX),
        }
    }

    /// The structure for which a requestor acts: who issued its identifier, or the agent that is an organisation.
    fn organisation(&self, agent: &Value) -> String {
        if agent["requestor"] != Value::Bool(true) {
            return String::new();
        }
        let of_reference = |reference: &Value| {
            let identifier = text(&reference["identifier"], "value");
            let found = [identifier, text(reference, "reference"), text(reference, "display")];
            found.into_iter().find(|t| !t.is_empty()).unwrap_or_default().to_owned()
        };
        let is_organisation = |a: &&Value| {
            text(&a["who"], "reference").starts_with("Organization/")
                || codings(&a["type"])
                    .any(|c| text(c, "code") == "PROV" && text(c, "system").ends_with("/v3-RoleClass"))
        };
        let other = self.list("agent").iter().filter(|a| a["requestor"] == Value::Bool(false)).find(is_organisation);
        match other {
            Some(agent) => of_reference(&agent["who"]),
            None => of_reference(&agent["who"]["identifier"]["assigner"]),
        }
    }

    fn other_agents(&self, actor_at: usize) -> Vec<v1::Agent> {
        let others = self.list("agent").iter().enumerate().filter(|(i, _)| *i != actor_at).map(|(_, a)| a);
        let one = |agent: &Value| v1::Agent {
            r#type: token(codings(&agent["type"]).map(|c| text(c, "code")).next().unwrap_or_default()),
            who: Some(self.actor(agent)),
            network_address: cut(text(&agent["network"], "address"), limits::ID_BYTES_MAX),
            requestor: agent["requestor"] == Value::Bool(true),
        };
        others.take(limits::AGENTS_MAX).map(one).collect()
    }

    fn items(&self) -> Vec<v1::Item> {
        let kept = self.list("entity").iter().filter(|e| self.is_item(e));
        let one = |entity: &Value| {
            let what = &entity["what"];
            let identifier = text(&what["identifier"], "value");
            // Of our own export what isn't said wasn't on record.
            let named = if self.is_ours() { ["", ""] } else { [text(entity, "name"), text(what, "display")] };
            let assumed = if self.is_ours() { String::new() } else { category(entity) };
            let id = [text(what, "reference"), identifier, named[0], named[1]];
            let label = [text(entity, "name"), text(what, "display"), text(entity, "description")];
            let first = |of: &[&str]| of.iter().find(|t| !t.is_empty()).map_or(String::new(), |t| (*t).to_owned());
            let labels = list(entity, "securityLabel").iter().map(|c| text(c, "code")).filter(|c| !c.is_empty());
            v1::Item {
                id: cut(&first(&id), limits::ID_BYTES_MAX),
                category: cut(own_text(entity, "category").unwrap_or(&assumed), limits::TOKEN_BYTES_MAX),
                labels: labels.take(limits::ITEM_LABELS_MAX).map(|c| cut(c, limits::TOKEN_BYTES_MAX)).collect(),
                depositor: cut(own_text(entity, "depositor").unwrap_or_default(), limits::ID_BYTES_MAX),
                label: cut(&first(&label), limits::LABEL_BYTES_MAX),
            }
        };
        kept.map(one).filter(|item| !item.id.is_empty()).take(limits::ITEMS_MAX).collect()
    }

    fn occurred_at_ms(&self) -> Result<u64, FhirError> {
        let start = instant_ms(text(&self.root["period"], "start")).map(|ms| ("AuditEvent.period.start", ms));
        let recorded = || instant_ms(text(self.root, "recorded")).map(|ms| ("AuditEvent.recorded", ms));
        let (path, ms) = start.or_else(recorded).ok_or_else(|| FhirError::new("AuditEvent.recorded", "no time"))?;
        u64::try_from(ms).map_err(|_| FhirError::new(path, "a time before 1970"))
    }

    fn purposes(&self, requestor: &Value) -> Vec<String> {
        let event = list(self.root, "purposeOfEvent").iter();
        let concepts = event.chain(list(requestor, "purposeOfUse"));
        let concepts = concepts.chain(self.list("agent").iter().flat_map(|a| list(a, "purposeOfUse")));
        let mut out: Vec<String> = Vec::new();
        for concept in concepts {
            let code = codings(concept).map(|c| text(c, "code")).find(|c| !c.is_empty());
            let code = code.unwrap_or_else(|| text(concept, "text"));
            if !code.is_empty() && !out.iter().any(|known| known == code) {
                out.push(code.to_owned());
            }
        }
        out
    }

    fn basis(&self, requestor: &Value, purposes: &[String], patient: Option<&Patient>) -> Option<v1::Basis> {
        patient?;
        let basis = |kind: v1::BasisKind, r#ref: &str| {
            Some(v1::Basis { kind: kind.into(), r#ref: cut(r#ref, limits::ID_BYTES_MAX) })
        };
        if let Some(consent) = self.list("entity").iter().find(|e| self.relied_on(e)) {
            let what = &consent["what"];
            let found = [text(what, "reference"), text(&what["identifier"], "value")];
            return basis(v1::BasisKind::Consent, found.into_iter().find(|t| !t.is_empty()).unwrap_or_default());
        }
        if purposes.iter().any(|p| p == "BTG") {
            return basis(v1::BasisKind::Breakglass, "");
        }
        if let Some(policy) = list(requestor, "policy").iter().find_map(Value::as_str) {
            return basis(v1::BasisKind::Decision, policy);
        }
        let who = text(&requestor["who"], "reference");
        let is_self = !who.is_empty() && patient.is_some_and(|p| p.name.reference == who);
        if is_self { basis(v1::BasisKind::Self_, "") } else { None }
    }

    fn place(&self, requestor: &Value) -> v1::Place {
        let source = &self.root["source"];
        let name = |reference: &Value| {
            let identifier = text(&reference["identifier"], "value");
            let found = [text(reference, "display"), text(reference, "reference"), identifier];
            found.into_iter().find(|t| !t.is_empty()).unwrap_or_default().to_owned()
        };
        let addresses = std::iter::once(requestor).chain(self.list("agent")).map(|a| text(&a["network"], "address"));
        let address = addresses.into_iter().find(|a| !a.is_empty()).unwrap_or_default();
        let devices = self.list("agent").iter().filter(|a| a["requestor"] != Value::Bool(true));
        let device = devices.map(|a| name(&a["who"])).find(|n| !n.is_empty()).unwrap_or_default();
        let location = name(&requestor["location"]);
        let site = if location.is_empty() { text(source, "site").to_owned() } else { location };
        v1::Place {
            site: cut(&site, limits::LABEL_BYTES_MAX),
            network_address: cut(address, limits::ID_BYTES_MAX),
            device: cut(&device, limits::LABEL_BYTES_MAX),
            observer: cut(&name(&source["observer"]), limits::LABEL_BYTES_MAX),
        }
    }

    fn correlation(&self) -> Option<v1::Correlation> {
        let ids = self.list("entity").iter().filter(|e| is_request_id(e));
        let ids = ids.map(|e| text(&e["what"]["identifier"], "value")).filter(|id| !id.is_empty());
        let ids: Vec<String> = ids.take(limits::CORRELATION_IDS_MAX).map(|id| cut(id, limits::ID_BYTES_MAX)).collect();
        (!ids.is_empty()).then(|| v1::Correlation { launch_context: String::new(), ids })
    }

    /// What has no field of its own: a JSON object, its names sorted.
    fn details(&self, purposes: &[String], requestor: &Value) -> String {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| {
            let empty = value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty);
            if !empty && !value.is_null() {
                out.insert(name.to_owned(), value);
            }
        };
        let short = |text: &str| cut(text, limits::LABEL_BYTES_MAX);
        put("action", json!(text(self.root, "action")));
        put("type", json!(short(text(&self.root["type"], "code"))));
        let subtypes = self.list("subtype").iter().map(|c| text(c, "code")).filter(|c| !c.is_empty());
        put("subtype", json!(subtypes.take(8).map(short).collect::<Vec<_>>()));
        put("fhir_id", json!(text(self.root, "id")));
        put("recorded", json!(text(self.root, "recorded")));
        put("purposes", json!(purposes.iter().skip(1).take(8).map(|p| short(p)).collect::<Vec<_>>()));
        let policies = list(requestor, "policy").iter().filter_map(Value::as_str).take(4).map(short);
        put("policies", json!(policies.collect::<Vec<_>>()));
        if self.is_authorisation() {
            let permit = matches!(text(self.root, "outcome"), "" | "0");
            put("authorisation", json!(if permit { "permit" } else { "deny" }));
        }
        let queries = self.list("entity").iter().filter_map(|e| e["query"].as_str()).filter_map(base64);
        let readable = queries.filter_map(|q| String::from_utf8(q).ok()).take(2);
        let clipped = readable.map(|q| q.chars().take(QUERY_CHARS_MAX).filter(|c| *c != '\0').collect::<String>());
        // A query that names several patients is for none of them alone.
        if self.patients().len() <= 1 {
            put("queries", json!(clipped.collect::<Vec<_>>()));
        }
        Value::Object(out).to_string()
    }

    fn without_other_patients(&self, found: &[Patient], mine: &Patient) -> Result<Vec<u8>, FhirError> {
        let others: Vec<usize> =
            found.iter().filter(|other| other.name != mine.name).filter_map(|other| other.entity).collect();
        let mut copy = self.root.clone();
        if let Some(entities) = copy.get_mut("entity").and_then(Value::as_array_mut) {
            let mut at = 0;
            entities.retain(|entity| {
                let keep = !others.contains(&at) && !is_query(entity);
                at += 1;
                keep
            });
        }
        if let Some(root) = copy.as_object_mut() {
            // The narrative and contained resources may name anyone.
            root.remove("text");
            root.remove("contained");
        }
        serde_json::to_vec(&copy).map_err(|error| FhirError::new("", error.to_string()))
    }
}

#[cfg(test)]
#[path = "audit_event_tests.rs"]
mod tests;
