//! A decision as an AuditEvent: DICOM 110113 with a subtype of IHE BALP.
//!
//! FHIR's elements hold who asked, for whose structure, under which purpose, whether anything was permitted, and the Consents that
//! had a part in it. FHIR has none for what was decided on each item and why: that is an extension.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::decide::record::DecisionRecord;

use super::audit_event::{authentication, begin, consent_entity, patient_entity, purpose_of_use, role};
use super::shape::{DCM, PARTICIPATION, ROLE_CLASS, shape};
use super::{Directives, Line, Trace, coding, concept, consent, extension, extension_of, names, object, part};
use crate::import::consent::codes::purpose_coding;

/// The AuditEvent of a decision.
pub(super) fn of_decision(line: &Line, decided: &DecisionRecord, trace: &Trace, directives: &Directives<'_>) -> Value {
    let (shown, private) = (decided.actor_part(), decided.private_part());
    let mut consents: Vec<u64> =
        private.outcomes.iter().flat_map(|outcome| outcome.consulted.iter().copied()).collect();
    consents.sort_unstable();
    consents.dedup();
    consents.retain(|index| directives.has((*index).into()));
    let mut event = begin(line, trace, extensions(decided), shape(line.kind, !consents.is_empty()));
    let (permitted, all) = (shown.permitted.len(), private.outcomes.len());
    event.push(("outcome", json!(if permitted > 0 { "0" } else { "8" })));
    event.push(("outcomeDesc", json!(format!("{} of {all} items permitted: {}", permitted, shown.action))));
    let purpose = (!shown.purpose.is_empty()).then(|| json!([concept(purpose_coding(&shown.purpose))]));
    event.push(("purposeOfEvent", purpose.unwrap_or_default()));
    event.push(("agent", json!(agents(line, shown, trace))));
    let observer = json!({"display": trace.origin});
    let kind = coding("http://terminology.hl7.org/CodeSystem/security-source-type", "6", "Security Server");
    event.push(("source", json!({"observer": observer, "type": [kind]})));
    let relied_on = consents.iter().map(|index| consent_entity(json!({"reference": consent::reference(*index)})));
    event.push(("entity", json!(std::iter::once(patient_entity(trace)).chain(relied_on).collect::<Vec<_>>())));
    object(event)
}

fn agents(line: &Line, shown: &v1::DecisionActorPart, trace: &Trace) -> Vec<Value> {
    let mut out = Vec::new();
    if !line.author.is_empty() {
        let application = concept(coding(DCM, "110150", "Application"));
        out.push(json!({"type": application, "who": {"display": line.author}, "requestor": false}));
    }
    if let Some(actor) = &shown.actor {
        out.push(object(vec![
            ("type", concept(coding(PARTICIPATION, "IRCP", "information recipient"))),
            ("role", role(&actor.role)),
            ("who", names::actor(actor, &trace.subject)),
            ("name", json!(actor.label)),
            ("requestor", json!(true)),
            ("purposeOfUse", purpose_of_use(&shown.purpose)),
        ]));
        if !actor.organisation.is_empty() {
            let provider = concept(coding(ROLE_CLASS, "PROV", "healthcare provider"));
            let who = names::organisation(&actor.organisation);
            out.push(json!({"type": provider, "who": who, "requestor": false}));
        }
    }
    let system = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
    let server = concept(coding(system, "authserver", "authorization server"));
    out.push(json!({"type": server, "who": {"display": trace.origin}, "requestor": false}));
    out
}

fn extensions(decided: &DecisionRecord) -> Vec<Value> {
    let (shown, private) = (decided.actor_part(), decided.private_part());
    let version = |name: &str, text: &String| (!text.is_empty()).then(|| part(name, "String", text.clone()));
    let mut parts = vec![part("action", "Code", shown.action.clone())];
    parts.push(part("as-of", "String", private.as_of_index.to_string()));
    parts.extend(version("policy", &private.policy_version));
    parts.extend(version("matrix", &private.matrix_version));
    parts.extend(version("catalogue", &private.catalogue_version));
    parts.push(part("expires", "DateTime", sillage_rules::time::TimeMs(shown.expires_at_ms).to_string()));
    parts.extend(shown.obligations.iter().map(|obligation| part("obligation", "Code", obligation.clone())));
    let mut out = vec![extension_of("decision", parts)];
    for outcome in &private.outcomes {
        let mut parts = vec![
            part("item", "String", outcome.id.clone()),
            part("permit", "Boolean", outcome.permit),
            part("reason", "Code", outcome.reason.clone()),
        ];
        parts.extend(outcome.consulted.iter().map(|index| part("consulted", "String", index.to_string())));
        out.push(extension_of("decided-item", parts));
    }
    let request = <v1::DecisionRequest as prost::Message>::decode(private.request.as_slice()).ok();
    out.extend(request.and_then(|request| request.auth).and_then(|auth| authentication(&auth)));
    if private.request.is_empty() {
        // Under the open tag a request that names the second one is left out: its hash is what is on record there.
        out.push(extension("request-hash", "String", hex::encode(&shown.request_hash)));
    }
    out
}
