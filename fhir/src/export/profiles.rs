//! IHE profiles that a resource may claim. One is claimed only where its checks hold.
//!
//! Sources: BALP 1.1.3 (<https://profiles.ihe.net/ITI/BALP/>), PCF 1.1.0 (<https://profiles.ihe.net/ITI/PCF/>). Slices
//! are told apart as the profiles do it: agents and entities by the code of their type.

use serde_json::Value;

use super::shape::{DCM, LIFECYCLE, PARTICIPATION, REST, ROLE_CLASS};

const BALP: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const PCF: &str = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const REQUEST_ID: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";

/// The demands of one profile of a RESTful interaction.
struct Rest {
    name: &'static str,
    interactions: &'static [&'static str],
    action: &'static str,
    client: (&'static str, &'static str),
    server: (&'static str, &'static str),
    users: &'static [&'static str],
    data: Data,
}

#[derive(PartialEq)]
enum Data {
    Object,
    Query,
}

const SOURCE: (&str, &str) = (DCM, "110153");
const DESTINATION: (&str, &str) = (DCM, "110152");
const SOURCES_OF_DATA: &[&str] = &["AUT", "INF", "CST"];

const RESTS: [Rest; 5] = [
    Rest {
        name: "PatientRead",
        interactions: &["read", "vread"],
        action: "R",
        client: DESTINATION,
        server: SOURCE,
        users: &["IRCP"],
        data: Data::Object,
    },
    Rest {
        name: "PatientQuery",
        interactions: &["search", "search-type", "search-system"],
        action: "E",
        client: SOURCE,
        server: DESTINATION,
        users: &["IRCP"],
        data: Data::Query,
    },
    Rest {
        name: "PatientCreate",
        interactions: &["create"],
        action: "C",
        client: SOURCE,
        server: DESTINATION,
        users: SOURCES_OF_DATA,
        data: Data::Object,
    },
    Rest {
        name: "PatientUpdate",
        interactions: &["update", "patch"],
        action: "U",
        client: SOURCE,
        server: DESTINATION,
        users: SOURCES_OF_DATA,
        data: Data::Object,
    },
    Rest {
        name: "PatientDelete",
        interactions: &["delete"],
        action: "D",
        client: (DCM, "110150"),
        server: ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian"),
        users: SOURCES_OF_DATA,
        data: Data::Object,
    },
];

/// The profiles that an AuditEvent conforms to.
pub fn audit_event(event: &Value) -> Vec<String> {
    let rests = RESTS.iter().filter(|rest| is_rest(event, rest)).map(|rest| rest.name);
    let others = [
        ("PrivacyDisclosure.Source", is_disclosure(event, "110106", "R", SOURCE)),
        ("PrivacyDisclosure.Recipient", is_disclosure(event, "110107", "C", DESTINATION)),
        ("AuthZconsent", is_consent_decision(event)),
    ];
    let others = others.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name);
    rests.chain(others).map(|name| format!("{BALP}{name}")).collect()
}

fn is_rest(event: &Value, rest: &Rest) -> bool {
    let interaction = |c: &Value| c["system"] == REST && rest.interactions.iter().any(|code| c["code"] == *code);
    let deletes = rest.name == "PatientDelete";
    let subtypes = array(&event["subtype"]);
    let is_it = is(&event["type"], "http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
        && subtypes.iter().any(interaction)
        && (!deletes || subtypes.len() == 1)
        && event["action"] == rest.action
        && event["outcome"] == "0"
        && event["recorded"].is_string();
    // Of a deletion the profile forbids what says nothing more about a machine.
    let machine = |agent: &&Value| {
        let bare = ["role", "altId", "name", "location", "policy", "purposeOfUse"];
        said(agent, "who") && said(agent, "network") && !said(agent, "media") && (!deletes || none(agent, &bare))
    };
    let user = |agent: &&Value| {
        let allowed = !deletes || none(agent, &["altId", "location", "policy"]);
        agent["requestor"] == Value::Bool(true) && said(agent, "who") && none(agent, &["media", "network"]) && allowed
    };
    let users: Vec<&Value> = rest.users.iter().flat_map(|code| typed(event, "agent", PARTICIPATION, code)).collect();
    let agents = one(typed(event, "agent", rest.client.0, rest.client.1), machine)
        && one(typed(event, "agent", rest.server.0, rest.server.1), machine)
        && users.len() <= 1
        && users.iter().all(user);
    let data = |entity: &&Value| match rest.data {
        Data::Object => {
            let roles = ["4", "3", "20"].iter().any(|code| is(&entity["role"], OBJECT_ROLE, code));
            let bare = !deletes || none(entity, &["lifecycle", "name", "query", "detail"]);
            roles && said(entity, "what") && bare
        }
        Data::Query => {
            let query = is(&entity["role"], OBJECT_ROLE, "24") && said(entity, "query");
            query && none(entity, &["what", "lifecycle", "detail"])
        }
    };
    let requests: Vec<&Value> = typed(event, "entity", REQUEST_ID, "XrequestId").collect();
    let named = |entity: &&Value| entity["what"]["identifier"]["value"].is_string();
    is_it
        && agents
        && has_patient(event)
        && one(typed(event, "entity", ENTITY_TYPE, "2"), data)
        && requests.len() <= 1
        && requests.iter().all(named)
}

/// A disclosure, told by the side that `observer` is.
fn is_disclosure(event: &Value, code: &str, action: &str, observer: (&str, &str)) -> bool {
    let network = |agent: &&Value| said(agent, "who") && said(agent, "network");
    let observed = |agent: &&Value| network(agent) && agent["who"] == event["source"]["observer"];
    let [source, recipient] = [SOURCE, DESTINATION].map(|(system, code)| {
        let side = typed(event, "agent", system, code);
        if (system, code) == observer { one(side, observed) } else { one(side, network) }
    });
    let snomed = "http://snomed.info/sct";
    let at_most_one = |code: &str| typed(event, "agent", snomed, code).count() <= 1;
    is(&event["type"], DCM, code)
        && event["action"] == action
        && array(&event["subtype"]).iter().any(|c| is(c, LIFECYCLE, "disclose"))
        && said(event, "outcome")
        && source
        && recipient
        && at_most_one("159541003")
        && at_most_one("429577009")
        && has_patient(event)
        && array(&event["entity"]).len() >= 2
}

/// A decision on the ground of consents.
fn is_consent_decision(event: &Value) -> bool {
    let authz = |c: &Value| c["system"] == super::shape::AUTHZ;
    let bare = ["altId", "name", "location", "media", "policy", "role"];
    let client = |agent: &&Value| {
        let said_more = none(agent, &["role", "altId", "name", "location", "media", "purposeOfUse"]);
        said(agent, "who") && said(agent, "network") && said_more
    };
    let user = |agent: &&Value| {
        let said_more = none(agent, &["altId", "location", "media", "network"]);
        said(agent, "who") && agent["requestor"] == Value::Bool(true) && said_more
    };
    let of_structure = |agent: &&Value| {
        said(agent, "who")
            && agent["requestor"] == Value::Bool(false)
            && none(agent, &bare)
            && none(agent, &["network"])
    };
    let authorizer = |agent: &&Value| {
        let said_more = none(agent, &bare) && none(agent, &["network", "purposeOfUse"]);
        agent["who"] == event["source"]["observer"] && agent["requestor"] == Value::Bool(false) && said_more
    };
    let roles = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
    let consents = typed(event, "entity", "http://hl7.org/fhir/resource-types", "Consent").count();
    is(&event["type"], DCM, "110113")
        && array(&event["subtype"]).iter().any(authz)
        && array(&event["subtype"]).iter().all(authz)
        && event["action"] == "E"
        && said(event, "outcome")
        && one(typed(event, "agent", DCM, "110150"), client)
        && one(typed(event, "agent", PARTICIPATION, "IRCP"), user)
        && one(typed(event, "agent", ROLE_CLASS, "PROV"), of_structure)
        && one(typed(event, "agent", roles, "authserver"), authorizer)
        && has_patient(event)
        && consents >= 1
        && array(&event["entity"]).len() == 1 + consents
}

fn has_patient(event: &Value) -> bool {
    let patient = |entity: &&Value| {
        let what = &entity["what"];
        let is_patient = what["type"] == "Patient"
            || what["reference"].as_str().is_some_and(|r| r.split('/').rev().nth(1) == Some("Patient"));
        is(&entity["role"], OBJECT_ROLE, "1") && is_patient && none(entity, &["lifecycle", "securityLabel", "name"])
    };
    one(typed(event, "entity", ENTITY_TYPE, "1"), patient)
}

/// Labels of the value set of advanced consents.
const LABELS: [(&str, &str); 8] = [
    ("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N"),
    ("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "R"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "ETH"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "ETHUD"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPIOIDUD"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "PSY"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "SDV"),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "HIV"),
];
/// Purposes of the value set of basic consents.
const BASIC_PURPOSES: [&str; 4] = ["TREAT", "HPAYMT", "HOPERAT", "BTG"];

/// The profiles that a Consent conforms to: the simplest one of basic, intermediate and advanced.
pub fn consent(consent: &Value) -> Vec<String> {
    let name = Some(consent).filter(|consent| is_foundation(consent)).and_then(|consent| {
        let outer = &consent["provision"];
        let inner = array(&outer["provision"]);
        let all = || std::iter::once(outer).chain(inner);
        let reason = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
        let basic = |c: &Value| BASIC_PURPOSES.iter().any(|code| is(c, reason, code));
        let listed = |c: &Value| LABELS.iter().any(|(system, code)| is(c, system, code));
        let labelled = all().any(|provision| said(provision, "securityLabel"));
        if !labelled && inner.is_empty() && !said(outer, "data") && array(&outer["purpose"]).iter().all(basic) {
            return Some("consentBasic");
        }
        // In an inner provision the slice of named instances has at most one.
        if !labelled && inner.iter().all(|provision| array(&provision["data"]).len() <= 1) {
            return Some("consentIntermediate");
        }
        let labels = all().flat_map(|provision| array(&provision["securityLabel"]));
        labels.into_iter().all(listed).then_some("consentAdvanced")
    });
    name.map(|name| format!("{PCF}{name}")).into_iter().collect()
}

fn is_foundation(consent: &Value) -> bool {
    let outer = &consent["provision"];
    let plain = |provision: &Value| none(provision, &["action", "class", "code"]) && said(provision, "type");
    let recipient = |actor: &Value| {
        array(&actor["role"]["coding"]).iter().any(|c| is(c, PARTICIPATION, "IRCP")) && said(actor, "reference")
    };
    let scope = |c: &Value| is(c, "http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy");
    ["status", "category", "patient", "dateTime", "performer", "organization"].iter().all(|name| said(consent, name))
        && (said(consent, "sourceReference") || said(consent, "sourceAttachment"))
        && array(&consent["scope"]["coding"]).iter().any(scope)
        && array(&consent["policy"]).iter().all(|policy| said(policy, "uri") && !said(policy, "authority"))
        && !array(&consent["policy"]).is_empty()
        && none(consent, &["policyRule", "verification"])
        && plain(outer)
        && array(&outer["actor"]).iter().all(recipient)
        && array(&outer["provision"]).iter().all(|inner| plain(inner) && !said(inner, "provision"))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn said(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(|value| !value.is_null())
}

fn none(value: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| !said(value, name))
}

fn is(coding: &Value, system: &str, code: &str) -> bool {
    coding["system"] == system && coding["code"] == code
}

/// The agents or entities whose type is this code.
fn typed<'a>(event: &'a Value, list: &str, system: &'a str, code: &'a str) -> impl Iterator<Item = &'a Value> {
    array(&event[list]).iter().filter(move |part| {
        let r#type = &part["type"];
        is(r#type, system, code) || array(&r#type["coding"]).iter().any(|c| is(c, system, code))
    })
}

/// Exactly one, and it is as it has to be.
fn one<'a>(mut slice: impl Iterator<Item = &'a Value>, holds: impl Fn(&&Value) -> bool) -> bool {
    slice.next().is_some_and(|first| holds(&first)) && slice.next().is_none()
}
