//! The codes by which an AuditEvent says what a record of a kind says.

use serde_json::{Value, json};
use sillage_rules::kind::{Group, Kind};

use super::{coding, object};
use crate::import::audit_event::SYSTEM_KIND;

/// DICOM.
pub(super) const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
/// RESTful interactions.
pub(super) const REST: &str = "http://hl7.org/fhir/restful-interaction";
/// Code system of the events in the life of a record (ISO 21089).
pub(super) const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
/// Types of audit events.
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
/// Subtypes of authorisation decisions (IHE BALP).
pub(super) const AUTHZ: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";

/// Type, subtypes and action.
pub(super) struct Shape {
    pub r#type: Value,
    pub subtype: Vec<Value>,
    pub action: &'static str,
}

/// The client and the server, by IHE BALP: for a query and everything that brings data, the client is the source; for
/// what takes data, it is the destination.
pub(super) struct Roles {
    pub client: Value,
    pub server: Value,
    pub user: Value,
}

/// The codes of a kind. `by_consent`: of a decision, whether a consent had a part in it.
pub(super) fn shape(kind: Kind, by_consent: bool) -> Shape {
    let rest = || coding(EVENT_TYPE, "rest", "Restful Operation");
    let interaction = |code: &'static str| Some(coding(REST, code, code));
    let alert = || coding(DCM, "110113", "Security Alert");
    let (r#type, subtype, action) = match kind {
        Kind::ACCESS_READ | Kind::ACCESS_DOWNLOAD | Kind::ACCESS_PRINT => (rest(), interaction("read"), "R"),
        Kind::ACCESS_SEARCH => (rest(), interaction("search"), "E"),
        Kind::ACCESS_WRITE => (rest(), interaction("create"), "C"),
        Kind::ACCESS_UPDATE => (rest(), interaction("update"), "U"),
        Kind::ACCESS_DELETE => (rest(), interaction("delete"), "D"),
        Kind::ACCESS_EXPORT => (coding(DCM, "110106", "Export"), None, "R"),
        Kind::BREAKGLASS_OPENED => (alert(), Some(coding(DCM, "110127", "Emergency Override Started")), "E"),
        Kind::BREAKGLASS_CLOSED => (alert(), Some(coding(DCM, "110138", "Emergency Override Stopped")), "E"),
        Kind::DECISION_MADE => {
            let code = if by_consent { "AuthZ-Consent" } else { "AuthZ-Role" };
            (alert(), Some(coding(AUTHZ, code, "")), "E")
        }
        Kind::LOG_CONSULTED => (coding(DCM, "110101", "Audit Log Used"), None, "R"),
        _ if kind.is_movement() => {
            let disclosed = coding(LIFECYCLE, "disclose", "Disclose Record Lifecycle Event");
            (coding(DCM, "110106", "Export"), Some(disclosed), "R")
        }
        _ if kind.group() == Group::Emergency => (alert(), None, "E"),
        _ => (coding(SYSTEM_KIND, kind.group().token(), ""), None, "E"),
    };
    let own = coding(SYSTEM_KIND, kind.token(), "");
    // The profiles of deletions and of decisions allow no further subtype: the kind follows from theirs.
    let own = (!matches!(kind, Kind::ACCESS_DELETE | Kind::DECISION_MADE)).then_some(own);
    Shape { r#type, subtype: subtype.into_iter().chain(own).collect(), action }
}

/// The codes of a request for an access of a kind, which somebody granted or refused: a decision, and the kind in our own code
/// system.
pub(super) fn asked(kind: Kind, by_consent: bool) -> Shape {
    let own = coding(SYSTEM_KIND, kind.token(), "");
    let decided = shape(Kind::DECISION_MADE, by_consent);
    Shape { subtype: decided.subtype.into_iter().chain([own]).collect(), ..decided }
}

/// The parts that the participants of an event of a kind have.
pub(super) fn roles(kind: Kind) -> Roles {
    let (source, destination) = (coding(DCM, "110153", "Source Role ID"), coding(DCM, "110152", "Destination Role ID"));
    let takes = matches!(kind, Kind::ACCESS_READ | Kind::ACCESS_DOWNLOAD | Kind::ACCESS_PRINT | Kind::ACCESS_EXPORT);
    let participation = |code: &str, display: &str| coding(PARTICIPATION, code, display);
    let recipient = participation("IRCP", "information recipient");
    match kind {
        Kind::ACCESS_DELETE => Roles {
            client: coding(DCM, "110150", "Application"),
            server: coding(CUSTODIAN, "custodian", "Custodian"),
            user: participation("AUT", "author (originator)"),
        },
        Kind::ACCESS_WRITE | Kind::ACCESS_UPDATE => {
            Roles { client: source, server: destination, user: participation("AUT", "author (originator)") }
        }
        _ if takes => Roles { client: destination, server: source, user: recipient },
        // Who sends is no recipient.
        _ if kind.is_movement() => Roles { client: destination, server: source, user: Value::Null },
        _ => Roles { client: source, server: destination, user: recipient },
    }
}

/// Parts that persons have.
pub(super) const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/// Parts that organisations have.
pub(super) const ROLE_CLASS: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";
const CUSTODIAN: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// The code that a record has of another participant, with the system that it is of.
pub(super) fn part_of(code: &str) -> Value {
    let dicom = code.len() == 6 && code.starts_with("110") && code.bytes().all(|b| b.is_ascii_digit());
    let system = match code {
        "" => return Value::Null,
        _ if dicom => DCM,
        "IRCP" | "PRCP" | "AUT" | "INF" | "CST" | "CALLBCK" => PARTICIPATION,
        "PROV" => ROLE_CLASS,
        "custodian" => CUSTODIAN,
        "159541003" | "429577009" => "http://snomed.info/sct",
        "authserver" => "http://terminology.hl7.org/CodeSystem/extra-security-role-type",
        _ => return object(vec![("text", json!(code))]),
    };
    super::concept(coding(system, code, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_shape_that_names_it() {
        for kind in Kind::ALL {
            let shape = shape(*kind, true);
            let named = shape.subtype.iter().any(|c| c["system"] == SYSTEM_KIND && c["code"] == kind.token());
            assert!(named || matches!(*kind, Kind::ACCESS_DELETE | Kind::DECISION_MADE), "{kind}");
            assert!(["C", "R", "U", "D", "E"].contains(&shape.action));
        }
    }
}
