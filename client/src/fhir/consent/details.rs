//! The details of a directive's record, as JSON: the fields of `docs/formats.md` for `consent.directive`.

use serde_json::{Map, Value, json};
use sillage_proof::hash::sha256;
use sillage_rules::time::TimeMs;

use super::super::FhirError;
use super::actor::Name;
use super::rule::{Directive, Rule};

/// How a Consent came to its author.
pub(super) struct Origin {
    /// The organisation that presented it.
    collector: Option<Name>,
    /// SHA-256 of the document, in hexadecimal.
    evidence: String,
}

impl Origin {
    pub fn new(collector: Option<Name>, original: &[u8]) -> Self {
        Self { collector, evidence: hex::encode(sha256(&[original]).as_bytes()) }
    }
}

/// The details of one directive.
pub(super) fn directive(id: &str, directive: &Directive, given_ms: u64, origin: &Origin) -> Result<String, FhirError> {
    let mut rule = directive.rule.clone();
    // An open start means "from when it is on record": a Consent that has ended by then was in force before.
    if rule.from_ms.is_none() && rule.until_ms.is_some_and(|until| given_ms < until) {
        rule.from_ms = Some(given_ms);
    }
    let mut out = fields(&rule);
    out.insert("id".into(), json!(id));
    if !directive.except.is_empty() {
        out.insert("except".into(), directive.except.iter().map(|rule| Value::Object(fields(rule))).collect());
    }
    if let Some(Name { system, id }) = &origin.collector {
        let collected = json!({
            "collector": format!("{system}|{id}"),
            "capacity": "organisation",
            "method": "fhir-consent",
            "evidence_sha256": origin.evidence,
        });
        out.insert("collected".into(), collected);
    }
    Ok(Value::Object(out).to_string())
}

/// The details of a revocation.
pub(super) fn revoked(id: &str) -> String {
    json!({ "consent": id }).to_string()
}

fn fields(rule: &Rule) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("effect".into(), json!(rule.effect.token()));
    if let Some(grantee) = rule.grantees.as_ref().and_then(|grantees| grantees.first()) {
        let value = if grantee.is_empty() { json!("anyone") } else { json!(grantee) };
        out.insert("grantee".into(), value);
    }
    let lists = [
        ("actions", &rule.actions),
        ("categories", &rule.categories),
        ("labels", &rule.labels),
        ("items", &rule.items),
        ("purposes", &rule.purposes),
    ];
    for (name, values) in lists {
        if let Some(values) = values {
            out.insert(name.into(), json!(values));
        }
    }
    for (name, ms) in [("from", rule.from_ms), ("until", rule.until_ms)] {
        if let Some(ms) = ms {
            out.insert(name.into(), json!(TimeMs(ms).to_string()));
        }
    }
    out
}
