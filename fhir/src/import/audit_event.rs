//! From one AuditEvent to records.
//!
//! | question | where it is read | where it goes |
//! | --- | --- | --- |
//! | who | the first agent with `requestor`, else the agent in the client's role, else the first one | `actor`; the others are `agents` |
//! | whose | every element that names a patient ([`super::subjects`]) | the tag: one record for each patient |
//! | what | the other entities | `items`; queries and request ids to `details` and `correlation` |
//! | when | start of `period`, else `recorded` | `occurred_at_ms` |
//! | where | `source`; the client's `agent.network`, `agent.location` ([`place`]) | `place` |
//! | why | `purposeOfEvent`, else `agent.purposeOfUse` | `purpose` |
//! | outcome | `outcome` 0, 4, 8, 12 | `outcome`, `outcome_text` |
//! | by what right | a Consent relied on, else the patient acting for itself, else `agent.policy`, else purpose `BTG` | `basis` |
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
//! **A Consent** that was read is an item as anything else. One that was relied on is marked: an entity of type
//! `resource-types#Consent` and without a role (IHE BALP), or one with neither beside what was accessed.
//!
//! **Our own export** (extension `entry`) says in extensions exactly what was on record ([`own`]), by role 4 which entities are
//! items, and whether all of it is kept from representatives.
//!
//! **A large access** becomes several records ([`parts`]).
//!
//! **Several patients.** A query that returned N patients is N records. The payload of each holds the original JSON
//! exactly as received where the event concerns one patient; where it concerns several, a record's original leaves out
//! the entities of the *other* patients, because each patient reads the payload of its own record.

mod own;
mod parts;
mod place;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sillage_proof::hash::{Hash, sha256};
use sillage_proto::v1;
use sillage_rules::ident::spelling;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::limits;

use super::check::base64;
use super::dates::instant_ms;
use super::patients::PatientMap;
use super::read::*;
use super::references::{self, Neighbours, References};
use super::subjects::{Subject, Subjects};
use super::{FhirError, MappedRecord, Part};

use self::own::Own;
pub(crate) use self::own::is_foreign;

/// System of an actor that is named by a reference only.
pub const SYSTEM_REFERENCE: &str = "urn:sillage:fhir:reference";
/// System of an actor whose identifier is none of the system that it names: `system|value` as it was found.
pub(crate) const SYSTEM_IDENTIFIER: &str = "urn:sillage:fhir:identifier";
/// System of an actor that is named by a resource that only its own document contains: the document's hash, and the name.
pub(crate) const SYSTEM_CONTAINED: &str = "urn:sillage:fhir:contained";
/// System of an actor that is named by `altId` only.
pub(crate) const SYSTEM_ALT_ID: &str = "urn:sillage:fhir:alt-id";
/// System of an actor that has nothing but a name to read.
pub(crate) const SYSTEM_DISPLAY: &str = "urn:sillage:fhir:display";
/// The kinds of our own records, in an AuditEvent of our own export.
pub(crate) const SYSTEM_KIND: &str = "https://sillage.example/fhir/CodeSystem/kind";
/// Longest query kept in the details, characters; the original has all of it.
const QUERY_CHARS_MAX: usize = 2_000;

/// Maps an AuditEvent that was checked; `original` are its bytes as received, `around` what came in the same Bundle.
///
/// # Errors
/// [`FhirError`] where a patient has no INS that is known, or can't be told, or the time is none. No record for what isn't
/// an access: an event of our own export of another kind.
pub fn map(
    document: &Value,
    original: &[u8],
    patients: &PatientMap,
    around: &Neighbours,
) -> Result<Vec<MappedRecord>, FhirError> {
    read_as(Reading::Now, document, original, patients, around)
}

/// As the version before read it. A profile knows by the records which documents that one has imported.
///
/// # Errors
/// As for [`map`].
pub(super) fn map_as_before(
    document: &Value,
    original: &[u8],
    patients: &PatientMap,
    around: &Neighbours,
) -> Result<Vec<MappedRecord>, FhirError> {
    read_as(Reading::Before, document, original, patients, around)
}

/// Which version's reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Now,
    Before,
}

fn read_as(
    reading: Reading,
    document: &Value,
    original: &[u8],
    patients: &PatientMap,
    around: &Neighbours,
) -> Result<Vec<MappedRecord>, FhirError> {
    let references = References::of(document, around);
    let subjects = Subjects { root: document, references };
    // Our own export has the names that are on record, and the version before gave none a server.
    let is_as_written = reading == Reading::Before || own(document, "entry").is_some();
    let references = if is_as_written { references.as_written() } else { references };
    let mut event = Event {
        root: document,
        references,
        subjects,
        digest: sha256(&[original]),
        several: false,
        acts: None,
        reading,
    };
    let own_kind = event.own_kind();
    if own_kind.is_some_and(|kind| !matches!(kind.group(), Group::Access | Group::Movement)) {
        // What a ledger says of itself, or what decides: the Consents beside it carry that.
        return Ok(Vec::new());
    }
    if ["decision", "erased"].iter().any(|name| own(document, name).is_some()) {
        // What a ledger decided is no access, and of what was erased there nobody knows what it was.
        return Ok(Vec::new());
    }
    let found = event.subjects.find(patients, event.acted())?;
    event.several = found.len() > 1;
    event.acts = event.subjects.acting(patients, event.acted());
    if found.is_empty() {
        let records = event.records(Kind::SYSTEM_EVENT, None, original.to_vec())?;
        return Ok(mapped(None, records, false).collect());
    }
    let kind = own_kind.unwrap_or_else(|| event.kind());
    let secret = match (own_kind, own_entry(document, "AuditEvent")?) {
        (Some(_), None) => return Err(without_entry("AuditEvent")),
        (_, kept) => kept == Some(true),
    };
    let mut out: Vec<MappedRecord> = Vec::with_capacity(found.len());
    for patient in &found {
        let original = match event.several {
            false => original.to_vec(),
            true => event.without_other_patients(original, patient)?,
        };
        let records = event.records(kind, Some(patient), original)?;
        out.extend(mapped(Some(&patient.identity), records, secret));
    }
    Ok(out)
}

/// The records of one patient's part in an event.
fn mapped(
    patient: Option<&v1::PatientIdentity>,
    records: Vec<v1::Record>,
    secret: bool,
) -> impl Iterator<Item = MappedRecord> + use<> {
    let (patient, count) = (patient.cloned(), records.len());
    records.into_iter().enumerate().map(move |(n, record)| MappedRecord {
        patient: patient.clone(),
        record,
        time_path: "AuditEvent.recorded",
        directive: None,
        secret,
        part: Part { n, count },
        server: String::new(),
        as_written: None,
    })
}

struct Event<'a> {
    root: &'a Value,
    references: References<'a>,
    subjects: Subjects<'a>,
    /// Of the document.
    digest: Hash,
    /// It concerns several patients.
    several: bool,
    /// The patient who acted, where it was one.
    acts: Option<v1::PatientIdentity>,
    reading: Reading,
}

impl<'a> Event<'a> {
    fn list(&self, name: &str) -> &'a [Value] {
        list(self.root, name)
    }

    /// An event of our own export: there every entity says by its role what it is.
    fn is_ours(&self) -> bool {
        own(self.root, "entry").is_some()
    }

    /// An export of ours that says in extensions whatever was on record.
    fn is_exact(&self) -> bool {
        self.reading == Reading::Now && Own::of(self.root).is_some_and(|own| own.is_exact)
    }

    /// Tells whether an entity is something that was accessed.
    fn is_item(&self, entity: &Value) -> bool {
        match self.is_ours() {
            true => has_role(entity, "4"),
            false => self.is_thing(entity) && !self.relied_on(entity),
        }
    }

    /// Tells whether an entity is no person, no query and no request id.
    fn is_thing(&self, entity: &Value) -> bool {
        // What was asked for by a query is an item; of several patients nobody knows whose.
        let asks =
            is_query(entity) && (self.reading == Reading::Before || self.several || entity.get("what").is_none());
        !self.subjects.is_patient(entity) && !asks && !is_request_id(entity)
    }

    /// Tells whether an entity is a consent that the event relied on. An item that is a Consent is none.
    fn relied_on(&self, entity: &Value) -> bool {
        let coding = &entity["type"];
        let is_named = self.references.target_type(&entity["what"]) == "Consent";
        if self.reading == Reading::Before {
            let is_consent = text(coding, "code") == "Consent" || is_named;
            return is_consent && !(self.is_ours() && has_role(entity, "4"));
        }
        let of_resources = text(coding, "system").trim_end_matches('/').ends_with("/resource-types");
        let is_marked = of_resources && text(coding, "code") == "Consent" && entity.get("role").is_none();
        let says_nothing = is_named && entity.get("type").is_none() && entity.get("role").is_none();
        // Beside what was accessed, and not itself what was.
        is_marked || says_nothing && self.list("entity").iter().any(|other| self.is_accessed(other))
    }

    /// Tells whether an entity is an item and certainly no consent that was relied on.
    fn is_accessed(&self, entity: &Value) -> bool {
        self.is_thing(entity) && self.references.target_type(&entity["what"]) != "Consent"
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
        self.client_at().unwrap_or(0)
    }

    /// Position of the agent that acts: of our own export the one that says so.
    fn acted(&self) -> usize {
        let own = self.list("agent").iter().position(|agent| own(agent, "actor").is_some());
        own.unwrap_or_else(|| self.actor_at())
    }

    /// The actor, as the ledger names them: our own export says it part by part.
    fn actor_named(&self, agent: &Value) -> v1::Actor {
        let read = self.actor(agent);
        let Some(named) = super::read::own(agent, "actor").map(own::actor) else { return read };
        // Exports of before have the name as a person reads it in FHIR's elements alone.
        let label = if self.is_exact() { named.label } else { read.label };
        v1::Actor { label, ..named }
    }

    /// The records of the event for one patient: one, or as many as it takes.
    fn records(&self, kind: Kind, patient: Option<&Subject>, original: Vec<u8>) -> Result<Vec<v1::Record>, FhirError> {
        let mut record = self.record(kind, patient, original)?;
        if self.reading == Reading::Before {
            record.items = self.items().into_iter().map(|(_, item)| item).take(limits::ITEMS_MAX).collect();
            return Ok(vec![if self.is_ours() { without_what_does_not_fit(record) } else { record }]);
        }
        if let Some(own) = Own::of(self.root) {
            own.put_into(&mut record)?;
            record.items = self.items().into_iter().map(|(_, item)| item).collect();
            return Ok(parts::of_own(record, &self.digest.to_string()));
        }
        // The entities of other patients aren't in what is kept: places are those of what is.
        let kept: Vec<usize> = self.kept_entities(patient);
        let placed = |(at, item)| Some((kept.iter().position(|kept| *kept == at)?, item));
        parts::records(record, self.items().into_iter().filter_map(placed).collect())
    }

    fn record(&self, kind: Kind, patient: Option<&Subject>, original: Vec<u8>) -> Result<v1::Record, FhirError> {
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
            items: Vec::new(),
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
            will: None,
            signatures: Vec::new(),
            actor: Some(actor),
        };
        Ok(record)
    }

    fn actor(&self, agent: &Value) -> v1::Actor {
        let who = &agent["who"];
        let (system, id) = self.named(agent);
        let labels =
            [text(agent, "name"), text(who, "display"), text(agent, "altId"), text(who, "reference"), id.as_str()];
        let label = labels.into_iter().find(|l| !l.is_empty()).unwrap_or_default();
        // A role by its code, else by its name; else the part that the agent has.
        let roles = list(agent, "role");
        let coded = roles.iter().flat_map(codings).map(|c| text(c, "code"));
        let named = roles.iter().map(|role| text(role, "text"));
        let parts = codings(&agent["type"]).map(|c| text(c, "code"));
        let role = coded.chain(named).chain(parts).find(|role| !role.is_empty());
        v1::Actor {
            label: cut(label, limits::LABEL_BYTES_MAX),
            system,
            role: word(role.unwrap_or_default(), limits::TOKEN_BYTES_MAX),
            organisation: cut(&self.organisation(agent), limits::ID_BYTES_MAX),
            id,
        }
    }

    /// The name of an agent: the identifier that counts, else the reference, else what there is to read. Published examples
    /// have identifiers that aren't of the system that they name: the event is kept, under a system that says so.
    fn named(&self, agent: &Value) -> (String, String) {
        let who = &agent["who"];
        let (reference, identifiers) = self.references.named_outside(who);
        let spelled = |system: &str, id: &str| spelling::actor(system, &cut(id, limits::ID_BYTES_MAX)).ok();
        if let Some((system, value)) = references::counting(&identifiers) {
            let known = spelled(system, value).or_else(|| spelled(SYSTEM_IDENTIFIER, &format!("{system}|{value}")));
            if let Some(named) = known {
                return named;
            }
        }
        let unsaid = identifiers.iter().find(|(system, _)| system.is_empty()).map(|(_, value)| value.as_str());
        let of_document;
        let (target_system, target) = match reference.strip_prefix('#') {
            None => (SYSTEM_REFERENCE, reference.as_str()),
            Some(id) => {
                of_document = format!("{}#{id}", self.digest);
                (SYSTEM_CONTAINED, of_document.as_str())
            }
        };
        let candidates = [
            (SYSTEM_REFERENCE, unsaid.unwrap_or_default()),
            (target_system, target),
            (SYSTEM_ALT_ID, text(agent, "altId")),
            (SYSTEM_DISPLAY, text(agent, "name")),
            (SYSTEM_DISPLAY, text(who, "display")),
            (SYSTEM_DISPLAY, text(&agent["network"], "address")),
            (SYSTEM_DISPLAY, text(&agent["type"], "text")),
        ];
        let mut named = candidates.into_iter().filter(|(_, id)| !id.trim().is_empty());
        let named = named.find_map(|(system, id)| spelled(system, id));
        // What can be read of it has no spelling that could be compared: it is nobody else's name, and stays the label.
        let read = text(agent, "name").to_owned() + text(who, "display");
        let hidden = || match read.is_empty() {
            true => "unknown".to_owned(),
            false => sha256(&[read.as_bytes()]).to_string(),
        };
        named.unwrap_or_else(|| (SYSTEM_DISPLAY.to_owned(), hidden()))
    }

    /// The structure for which a requestor acts: who issued its identifier, or the agent that is an organisation.
    fn organisation(&self, agent: &Value) -> String {
        if agent["requestor"] != Value::Bool(true) {
            return String::new();
        }
        let of_reference = |reference: &Value| organisation_named(self.references, reference);
        let is_organisation = |a: &&Value| {
            self.references.target_type(&a["who"]) == "Organization"
                || codings(&a["type"])
                    .any(|c| text(c, "code") == "PROV" && text(c, "system").ends_with("/v3-RoleClass"))
        };
        let other = self.list("agent").iter().filter(|a| a["requestor"] == Value::Bool(false)).find(is_organisation);
        let of_role = self.references.contained(&agent["who"]).map(|role| &role["organization"]);
        match (other, of_role.filter(|organisation| organisation.is_object())) {
            (Some(agent), _) => of_reference(&agent["who"]),
            (None, Some(organisation)) => of_reference(organisation),
            (None, None) => of_reference(&agent["who"]["identifier"]["assigner"]),
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

    /// The items, each with the place of its entity.
    fn items(&self) -> parts::Placed {
        let kept = self.list("entity").iter().enumerate().filter(|(_, entity)| self.is_item(entity));
        let one = |(at, entity): (usize, &Value)| {
            let what = &entity["what"];
            let identifier = text(&what["identifier"], "value");
            // Of our own export what isn't said wasn't on record.
            let named = if self.is_ours() { ["", ""] } else { [text(entity, "name"), text(what, "display")] };
            let target = self.references.target_type(what);
            let assumed = if self.is_ours() { String::new() } else { category(entity, &target) };
            let reference = match self.is_ours() {
                true => text(what, "reference").to_owned(),
                false => item_named(self.references, what, &self.digest),
            };
            let id = [reference.as_str(), identifier, named[0], named[1]];
            let mut label = vec![text(entity, "name"), text(what, "display"), text(entity, "description")];
            if self.is_exact() {
                label.truncate(1);
            }
            let first = |of: &[&str]| of.iter().find(|t| !t.is_empty()).map_or(String::new(), |t| (*t).to_owned());
            let labels = list(entity, "securityLabel").iter().map(|c| text(c, "code")).filter(|c| !c.is_empty());
            let labels = own::labels(entity).filter(|_| self.is_ours()).unwrap_or_else(|| labels.collect());
            let item = v1::Item {
                id: composed(&first(&id), limits::ID_BYTES_MAX),
                category: word(own_text(entity, "category").unwrap_or(&assumed), limits::TOKEN_BYTES_MAX),
                labels: labels
                    .into_iter()
                    .take(limits::ITEM_LABELS_MAX)
                    .map(|c| word(c, limits::TOKEN_BYTES_MAX))
                    .collect(),
                depositor: depositor(own_text(entity, "depositor").unwrap_or_default()),
                label: cut(&first(&label), limits::LABEL_BYTES_MAX),
            };
            (at, item)
        };
        // Of our own export an item may have had a category or a label alone.
        let by_more = self.is_ours() && self.reading == Reading::Now;
        let says =
            |item: &v1::Item| !item.id.is_empty() || by_more && !(item.category.is_empty() && item.label.is_empty());
        kept.map(one).filter(|(_, item)| says(item)).collect()
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

    fn basis(&self, requestor: &Value, purposes: &[String], patient: Option<&Subject>) -> Option<v1::Basis> {
        patient?;
        let basis = |kind: v1::BasisKind, r#ref: &str| {
            Some(v1::Basis { kind: kind.into(), r#ref: cut(r#ref, limits::ID_BYTES_MAX) })
        };
        if let Some(consent) = self.list("entity").iter().find(|e| self.relied_on(e)) {
            let what = &consent["what"];
            // With its server: `Consent/1` of two servers is two Consents.
            let reference = self.references.outside(references::bare(text(what, "reference")).text);
            let found = [reference.as_str(), text(&what["identifier"], "value")];
            return basis(v1::BasisKind::Consent, found.into_iter().find(|t| !t.is_empty()).unwrap_or_default());
        }
        let by_policy = || list(requestor, "policy").iter().find_map(Value::as_str);
        if self.reading == Reading::Now {
            let is_self = self.acts.is_some() && self.acts.as_ref() == patient.map(|patient| &patient.identity);
            return match (is_self, by_policy()) {
                (true, _) => basis(v1::BasisKind::Self_, ""),
                (false, Some(policy)) => basis(v1::BasisKind::Decision, policy),
                (false, None) if purposes.iter().any(|p| p == "BTG") => basis(v1::BasisKind::Breakglass, ""),
                (false, None) => None,
            };
        }
        if purposes.iter().any(|p| p == "BTG") {
            return basis(v1::BasisKind::Breakglass, "");
        }
        if let Some(policy) = by_policy() {
            return basis(v1::BasisKind::Decision, policy);
        }
        let (who, identifiers) = self.references.named(&requestor["who"]);
        let is_self = self.references.is_patient(&requestor["who"])
            && patient.is_some_and(|p| {
                !who.is_empty() && p.name.reference == who
                    || identifiers.iter().any(|identifier| p.name.identifiers.contains(identifier))
            });
        if is_self { basis(v1::BasisKind::Self_, "") } else { None }
    }

    fn correlation(&self) -> Option<v1::Correlation> {
        let ids = self.list("entity").iter().filter(|e| is_request_id(e));
        let ids = ids.map(|e| text(&e["what"]["identifier"], "value")).filter(|id| !id.is_empty());
        let ids: Vec<String> = ids.take(limits::CORRELATION_IDS_MAX).map(|id| cut(id, limits::ID_BYTES_MAX)).collect();
        (!ids.is_empty()).then(|| v1::Correlation { launch_context: String::new(), ids })
    }

    /// Whatever has no field of its own: a JSON object, its names sorted.
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
        if !self.several {
            put("queries", json!(clipped.collect::<Vec<_>>()));
        }
        Value::Object(out).to_string()
    }

    /// The places of the entities that are kept in a patient's record: all, or those that are no other patient's.
    fn kept_entities(&self, patient: Option<&Subject>) -> Vec<usize> {
        let entities = self.list("entity").iter().enumerate();
        let is_kept = |(at, entity): &(usize, &Value)| {
            let mine = patient.is_some_and(|patient| patient.entities.contains(at));
            !self.several || (mine || !self.subjects.is_patient(entity)) && !is_query(entity)
        };
        entities.filter(is_kept).map(|(at, _)| at).collect()
    }

    fn without_other_patients(&self, original: &[u8], mine: &Subject) -> Result<Vec<u8>, FhirError> {
        let kept_at = self.kept_entities(Some(mine));
        let other = |error: serde_json::Error| FhirError::new("", error.to_string());
        // Part by part as received: what is kept of it keeps its numbers as they were written.
        let mut parts: BTreeMap<&str, &RawValue> = serde_json::from_slice(original).map_err(other)?;
        let entities = parts.get("entity").map(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get())).transpose();
        let entities = entities.map_err(other)?.unwrap_or_default().into_iter().enumerate();
        let kept = entities.filter(|(at, _)| kept_at.binary_search(at).is_ok());
        let kept: Vec<&RawValue> = kept.map(|(_, entity)| entity).collect();
        let kept = serde_json::value::to_raw_value(&kept).map_err(other)?;
        parts.insert("entity", &kept);
        // The narrative and contained resources may name anyone.
        for name in ["text", "contained"] {
            parts.remove(name);
        }
        serde_json::to_vec(&parts).map_err(other)
    }
}

/// The depositor of an item, as our own export says it.
fn depositor(text: &str) -> String {
    let name = text.split_once('|').map(|(system, id)| spelling::actor_on_record(system, id));
    let name = name.map_or_else(|| text.to_owned(), |(system, id)| format!("{system}|{id}"));
    cut(&name, limits::ID_BYTES_MAX)
}

#[cfg(test)]
#[path = "audit_event_tests.rs"]
mod tests;
