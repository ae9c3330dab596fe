//! Names of people, structures and things: references with identifiers, and addresses.

use std::net::IpAddr;

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::consent::name::{APP_SYSTEM, PATIENT_SYSTEM, PROFESSIONAL_SYSTEM};
use sillage_rules::consent::{ActorName, Grantee};
use sillage_rules::ident::STRUCTURE_OID;

use super::{Subject, object};
use crate::import::audit_event::{SYSTEM_ALT_ID, SYSTEM_DISPLAY, SYSTEM_REFERENCE};

/// A reference to whoever has this name; `label` as a person reads it.
pub(super) fn reference(system: &str, id: &str, label: &str, subject: &Subject) -> Value {
    if system == PATIENT_SYSTEM {
        let mut patient = subject.reference();
        if !label.is_empty() {
            patient["display"] = json!(label);
        }
        return patient;
    }
    let r#type = match system {
        PROFESSIONAL_SYSTEM => "Practitioner",
        APP_SYSTEM => "Device",
        _ => "",
    };
    match system {
        _ if id.is_empty() => json!({"display": if label.is_empty() { "unknown" } else { label }}),
        SYSTEM_REFERENCE => object(vec![("reference", json!(id)), ("display", json!(label))]),
        SYSTEM_DISPLAY | SYSTEM_ALT_ID => json!({"display": id}),
        _ => object(vec![
            ("type", json!(r#type)),
            ("identifier", object(vec![("system", json!(system)), ("value", json!(id))])),
            ("display", json!(label)),
        ]),
    }
}

/// A reference to an actor of a record.
pub(super) fn actor(actor: &v1::Actor, subject: &Subject) -> Value {
    reference(&actor.system, &actor.id, &actor.label, subject)
}

/// A reference to a structure, as records name it: a reference, or an identifier (FINESS where it looks like one).
pub(super) fn organisation(id: &str) -> Value {
    if id.split('/').rev().nth(1) == Some("Organization") {
        return json!({"reference": id});
    }
    let finess = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let system = if finess { format!("urn:oid:{STRUCTURE_OID}") } else { String::new() };
    json!({"type": "Organization", "identifier": object(vec![("system", json!(system)), ("value", json!(id))])})
}

/// The reference that says most nearly who a grantee is; the extension beside it says it exactly.
pub(super) fn grantee(grantee: &Grantee, subject: &Subject) -> Value {
    let Grantee::Keys(keys) = grantee else {
        return json!({"display": "anyone"});
    };
    let named = |name: &ActorName, r#type: &str| {
        let mut reference = reference(name.system(), name.id(), "", subject);
        // What an identifier is of isn't said by its system alone.
        if reference.get("reference").is_none() && reference.get("type").is_none() {
            reference["type"] = json!(r#type);
        }
        reference
    };
    if let Some(professional) = &keys.professional {
        return named(professional, "Practitioner");
    }
    if let Some(person) = &keys.person {
        return named(person, "RelatedPerson");
    }
    if let Some(app) = &keys.app {
        return named(app, "Device");
    }
    if let Some(project) = &keys.project {
        return named(project, "Group");
    }
    if let Some(team) = &keys.team {
        return json!({"type": "CareTeam", "identifier": {"value": team}, "display": team});
    }
    match (&keys.organisation, &keys.profession) {
        (Some(id), None) => organisation(id),
        (id, profession) => {
            let words = [profession.as_deref(), id.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
            json!({"type": "PractitionerRole", "display": words})
        }
    }
}

/// A participant's address, with its sort.
pub(super) fn network(address: &str) -> Value {
    if address.is_empty() {
        return Value::Null;
    }
    let sort = match address {
        uri if uri.contains("://") => "5",
        ip if ip.parse::<IpAddr>().is_ok() => "2",
        mail if mail.contains('@') => "4",
        _ => "1",
    };
    json!({"address": address, "type": sort})
}

/// The reference of an item.
pub(super) fn item(id: &str) -> Value {
    let typed = id.split('/').rev().nth(1).and_then(|segment| segment.chars().next());
    match typed {
        // What begins with `#` would mean a resource that the Consent contains.
        Some('A'..='Z') if !id.contains(' ') && !id.starts_with('#') => json!({"reference": id}),
        _ => json!({"identifier": {"value": id}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_reference_only_where_it_reads_as_one() {
        assert_eq!(item("DocumentReference/1"), json!({"reference": "DocumentReference/1"}));
        for id in ["urn:uuid:77aa", "#/A/", "#A/1"] {
            assert_eq!(item(id), json!({"identifier": {"value": id}}), "{id}");
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        let sort = |address: &str| network(address)["type"].as_str().map(str::to_owned);
        assert_eq!(sort("10.0.0.12").as_deref(), Some("2"));
        assert_eq!(sort("2001:db8::1").as_deref(), Some("2"));
        assert_eq!(sort("http://server.example.com/fhir").as_deref(), Some("5"));
        assert_eq!(sort("poste-12").as_deref(), Some("1"));
        assert_eq!(sort(""), None);
    }

    #[test]
    fn names_of_our_own_are_not_passed_off_as_identifiers() {
        let subject = Subject { ins: "1".into(), oid: "2".into() };
        assert_eq!(reference(SYSTEM_DISPLAY, "John Smith", "", &subject), json!({"display": "John Smith"}));
        assert_eq!(reference(SYSTEM_REFERENCE, "Practitioner/1", "", &subject), json!({"reference": "Practitioner/1"}));
        assert_eq!(reference("", "", "x", &subject), json!({"display": "x"}));
        assert_eq!(item("DocumentReference/1"), json!({"reference": "DocumentReference/1"}));
        assert_eq!(item("a/b c"), json!({"identifier": {"value": "a/b c"}}));
    }
}
