//! `metadata` and `.well-known/smart-configuration`: what this server does, and where tokens come from.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sillage_rules::time::TimeMs;

use super::Api;
use super::search::params::known;
use crate::config::OauthConfig;
use crate::http::answer::Answer;
use crate::http::outcome::Issue;
use crate::http::scopes::{Kind, Scopes};

/// The CapabilityStatement. Tests compare it with what is answered.
pub(super) fn capability(api: &Api) -> Value {
    let parameters = |kind| -> Vec<Value> {
        known(kind).iter().map(|(name, sort, _)| json!({"name": name, "type": sort.fhir()})).collect()
    };
    let interactions = |codes: &[&str]| -> Vec<Value> { codes.iter().map(|code| json!({"code": code})).collect() };
    let events = json!({
        "type": "AuditEvent",
        "documentation": "Recorded for good: update and delete are refused with 405. A repetition of the same body by the same \
            client within 24 hours is answered as the first time, with 200.",
        "interaction": interactions(&["create", "read", "vread", "search-type"]),
        "versioning": "versioned",
        "readHistory": true,
        "updateCreate": false,
        "conditionalCreate": true,
        "conditionalUpdate": false,
        "conditionalDelete": "not-supported",
        "searchParam": parameters(Kind::AuditEvent),
    });
    let consents = json!({
        "type": "Consent",
        "documentation": "A search names the patient, or ids. DELETE revokes: the Consent is read as inactive from then on.",
        "interaction": interactions(&["create", "read", "vread", "update", "delete", "search-type"]),
        "versioning": "versioned",
        "readHistory": true,
        "updateCreate": false,
        "conditionalCreate": false,
        "conditionalUpdate": false,
        "conditionalDelete": "not-supported",
        "searchParam": parameters(Kind::Consent),
        "operation": [{"name": "decide", "definition": format!("{}/OperationDefinition/decide", api.base)}],
    });
    let encounters = json!({
        "type": "Encounter",
        "documentation": "Moves the care team of the visit, and isn't kept: 200 names the entries of those who join and leave.",
        "interaction": interactions(&["create"]),
    });
    let resources = [Some(events), Some(consents), api.adt.as_ref().map(|_| encounters)];
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": TimeMs(api.started_ms).to_string(),
        "kind": "instance",
        "software": {"name": "sillage-connector", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "The establishment's door to an audit and consent ledger", "url": api.base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [{
            "mode": "server",
            "documentation": "201: on the disks of a majority of the ledger's nodes. 202: on the connector's disk, with a \
                Location to ask how far it is.",
            "security": security(api),
            "resource": resources.into_iter().flatten().collect::<Vec<_>>(),
            "interaction": [{"code": "batch"}],
            "operation": [{"name": "break-glass", "definition": format!("{}/OperationDefinition/break-glass", api.base)}],
        }],
    })
}

fn security(api: &Api) -> Value {
    let service = |code: &str| {
        json!({"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": code,
        }]})
    };
    let mut services = vec![service("Certificates")];
    let mut out = json!({"cors": false});
    if let Some(oauth) = api.clients.oauth() {
        services.push(service("SMART-on-FHIR"));
        if let Some(token) = &oauth.token_endpoint {
            out["extension"] = json!([{
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": token}],
            }]);
        }
    }
    out["service"] = json!(services);
    out
}

/// Names the establishment's server: this one issues no token.
pub(super) fn smart(base: &str, oauth: Option<&OauthConfig>) -> Answer {
    let Some(oauth) = oauth else {
        let why = format!("{base} takes certificates alone: no server of tokens is configured");
        return Answer::issue(StatusCode::NOT_FOUND, Issue::error("not-found", why));
    };
    let mut body = json!({
        "issuer": oauth.issuer,
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": Scopes::SUPPORTED,
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
    });
    if let Some(token) = &oauth.token_endpoint {
        body["token_endpoint"] = json!(token);
    }
    if oauth.jwks.starts_with("https://") {
        body["jwks_uri"] = json!(oauth.jwks);
    }
    Answer { is_plain: true, ..Answer::resource(StatusCode::OK, body) }
}
