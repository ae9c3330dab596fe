//! Whether a resource fits a search.

use serde_json::Value;

use super::dates::Stretch;
use super::params::{Filter, Parameter, Query, Sort, TokenWanted};

/// Where a parameter's values stand in a resource: elements, or members of them.
pub type Extract = &'static [&'static str];

/// Parameters of AuditEvent: those of R4, of ITI-81 and of the ANS' profile.
pub const AUDIT_EVENT: &[Parameter] = &[
    ("_id", Sort::Token, &["id"]),
    ("_lastUpdated", Sort::Date, &["meta.lastUpdated"]),
    ("date", Sort::Date, &["recorded"]),
    ("period-start", Sort::Date, &["period.start"]),
    ("TDE_AuditEvent_period-start", Sort::Date, &["period.start"]),
    ("action", Sort::Token, &["action"]),
    ("address", Sort::Text, &["agent.network.address"]),
    ("agent", Sort::Reference, &["agent.who"]),
    ("agent.identifier", Sort::Token, &["agent.who.identifier"]),
    ("agent-name", Sort::Text, &["agent.name"]),
    ("agent-role", Sort::Token, &["agent.role"]),
    ("altid", Sort::Token, &["agent.altId"]),
    ("altId", Sort::Token, &["agent.altId"]),
    ("entity", Sort::Reference, &["entity.what"]),
    ("entity.identifier", Sort::Token, &["entity.what.identifier"]),
    ("entity-name", Sort::Text, &["entity.name"]),
    ("entity-role", Sort::Token, &["entity.role"]),
    ("entity-type", Sort::Token, &["entity.type"]),
    ("outcome", Sort::Token, &["outcome"]),
    ("patient", Sort::Patient, &[]),
    ("patient.identifier", Sort::PatientIdentifier, &[]),
    ("policy", Sort::Token, &["agent.policy"]),
    ("site", Sort::Token, &["source.site"]),
    ("source", Sort::Reference, &["source.observer"]),
    ("source.identifier", Sort::Token, &["source.observer.identifier"]),
    ("subtype", Sort::Token, &["subtype"]),
    ("type", Sort::Token, &["type"]),
];

/// Parameters of Consent: those of PCF, and of R4 where they cost nothing.
pub const CONSENT: &[Parameter] = &[
    ("_id", Sort::Token, &["id"]),
    ("_lastUpdated", Sort::Date, &["meta.lastUpdated"]),
    ("patient", Sort::Patient, &[]),
    ("patient.identifier", Sort::PatientIdentifier, &[]),
    ("status", Sort::Token, &["status"]),
    ("actor", Sort::Either, &["provision.actor.reference", "provision.provision.actor.reference"]),
    ("date", Sort::Date, &["dateTime"]),
    ("identifier", Sort::Token, &["identifier"]),
    ("category", Sort::Token, &["category"]),
    ("scope", Sort::Token, &["scope"]),
    ("purpose", Sort::Token, &["provision.purpose", "provision.provision.purpose"]),
    ("organization", Sort::Reference, &["organization"]),
];

/// Whether a resource fits every condition but those on patients, which its record answers.
pub fn fits(resource: &Value, query: &Query) -> bool {
    query.filters.iter().all(|filter| match filter {
        Filter::Token(extract, wanted) => {
            values(resource, extract).iter().any(|value| tokens(value).iter().any(|token| is_token(token, wanted)))
        }
        Filter::Date(extract, wanted) => values(resource, extract).iter().any(|value| {
            let date = value.as_str().and_then(Stretch::parse);
            date.is_some_and(|date| wanted.iter().any(|wanted| wanted.fits(date)))
        }),
        Filter::Text(extract, wanted) => values(resource, extract).iter().any(|value| {
            let text = value.as_str().unwrap_or_default().to_lowercase();
            wanted.iter().any(|wanted| text.starts_with(&wanted.to_lowercase()))
        }),
        Filter::Reference(extract, wanted) => {
            values(resource, extract).iter().any(|value| wanted.iter().any(|wanted| is_reference(value, wanted)))
        }
        Filter::Either(extract, wanted) => values(resource, extract).iter().any(|value| {
            wanted.iter().any(|wanted| {
                let token = [super::params::token(wanted)];
                is_reference(value, wanted) || tokens(&value["identifier"]).iter().any(|own| is_token(own, &token))
            })
        }),
    })
}

/// What stands at these places: arrays are gone through.
fn values(resource: &Value, extract: Extract) -> Vec<&Value> {
    let mut out = Vec::new();
    for path in extract {
        let mut found = vec![resource];
        for name in path.split('.') {
            found = found.into_iter().flat_map(each).filter_map(|value| value.get(name)).collect();
        }
        out.extend(found.into_iter().flat_map(each));
    }
    out
}

fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// The (system, code) that a value is: a code, a Coding, an Identifier, a CodeableConcept.
fn tokens(value: &Value) -> Vec<(&str, &str)> {
    match value {
        Value::String(code) => vec![("", code)],
        Value::Object(members) => {
            if let Some(Value::Array(codings)) = members.get("coding") {
                return codings.iter().flat_map(tokens).collect();
            }
            let of = |name: &str| members.get(name).and_then(Value::as_str);
            let code = of("code").or_else(|| of("value"));
            code.map(|code| (of("system").unwrap_or_default(), code)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn is_token((system, code): &(&str, &str), wanted: &[TokenWanted]) -> bool {
    // An OID is written with and without `urn:oid:`.
    let bare = |system: &str| system.strip_prefix("urn:oid:").unwrap_or(system).to_owned();
    wanted.iter().any(|wanted| {
        wanted.system.as_ref().is_none_or(|own| bare(own) == bare(system))
            && wanted.code.as_ref().is_none_or(|own| own == code)
    })
}

/// Whether a Reference is the one that is looked for: by `Type/id`, by id alone, or by its whole URL.
fn is_reference(value: &Value, wanted: &str) -> bool {
    let Some(own) = value["reference"].as_str() else { return false };
    let own = own.split_once("/_history/").map_or(own, |(own, _)| own);
    match wanted.contains('/') {
        true => own == wanted || own.strip_suffix(wanted).is_some_and(|before| before.ends_with('/')),
        false => own == wanted || own.rsplit('/').next() == Some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scopes::Kind;
    use serde_json::json;

    fn event() -> Value {
        json!({
            "resourceType": "AuditEvent", "id": "ab-1-0",
            "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
            "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}, {"system": "s", "code": "x"}],
            "action": "R", "recorded": "2026-03-02T09:30:00Z", "outcome": "0",
            "agent": [
                {"type": {"coding": [{"code": "IRCP"}]}, "requestor": true, "name": "Dr Élise Martin", "altId": "emartin",
                 "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}},
                 "role": [{"coding": [{"system": "r", "code": "10"}]}], "policy": ["http://p.example/1"],
                 "network": {"address": "10.0.0.7", "type": "2"}},
                {"who": {"reference": "https://h.example/fhir/Device/9"}, "requestor": false},
            ],
            "source": {"site": "Bloc B", "observer": {"reference": "Device/9", "identifier": {"value": "pacs"}}},
            "entity": [{"what": {"reference": "DocumentReference/7/_history/2"}, "name": "Compte rendu",
                        "role": {"code": "3"}, "type": {"system": "t", "code": "2"}}],
        })
    }

    fn found(query: &str) -> bool {
        let parameters = crate::rest::request::form(query).expect("a form");
        fits(
            &event(),
            &Query::parse(Kind::AuditEvent, &parameters, true).unwrap_or_else(|error| panic!("{query}: {error}")),
        )
    }

    #[test]
    fn every_parameter_finds_what_it_names_and_nothing_else() {
        for (query, expected) in [
            ("_id=ab-1-0", true),
            ("_id=ab-1-1", false),
            ("type=rest", true),
            ("type=http://terminology.hl7.org/CodeSystem/audit-event-type%7Crest", true),
            ("type=other%7Crest", false),
            ("subtype=s%7C", true),
            ("subtype=create,read", true),
            ("subtype=create", false),
            ("action=R&outcome=0", true),
            ("action=R&outcome=8", false),
            ("date=ge2026-03-01&date=le2026-03-02", true),
            ("date=lt2026-03-02", false),
            ("period-start=ge2020-01-01", false),
            ("agent.identifier=1.2.250.1.71.4.2.1%7C810100534436", true),
            ("agent.identifier=urn:oid:1.2.250.1.71.4.2.1%7C810100534436", true),
            ("agent.identifier=%7C810100534436", false),
            ("agent-name=dr%20%C3%A9lise", true),
            ("agent-name=martin", false),
            ("agent-role=10", true),
            ("altid=emartin", true),
            ("altId=other", false),
            ("agent=Device/9", true),
            ("agent=Device/90", false),
            ("agent=9", true),
            ("agent=https://h.example/fhir/Device/9", true),
            ("agent=evice/9", false),
            ("policy=http://p.example/1", true),
            ("address=10.0.", true),
            ("site=Bloc%20B", true),
            ("source=Device/9&source.identifier=pacs", true),
            ("entity=DocumentReference/7", true),
            ("entity-name=compte", true),
            ("entity-role=3&entity-type=t%7C2", true),
            ("entity.identifier=1", false),
        ] {
            assert_eq!(found(query), expected, "{query}");
        }
    }
}
