//! An AuditEvent of our own export: what stands in its extensions says exactly what was on record, and is read from there.
//! FHIR's own elements say it for other readers, most nearly.

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::ident::spelling;
use sillage_rules::limits;

use super::super::FhirError;
use super::super::read::{cut, list, own, text, word};

/// The word for a basis that points into a log whose name an older export doesn't say.
const ANOTHER_LOG: &str = "another-log";

/// The extensions of one event.
pub(super) struct Own<'a> {
    root: &'a Value,
    /// The export says everything: since exports name the log that they are from.
    pub is_exact: bool,
}

impl<'a> Own<'a> {
    /// None of any other event.
    pub fn of(root: &'a Value) -> Option<Self> {
        let entry = own(root, "entry")?;
        Some(Self { root, is_exact: !said(entry, "log").is_empty() })
    }

    /// Puts what the extensions say into the record that was read of FHIR's elements.
    ///
    /// # Errors
    /// With the extension that isn't as our own export writes it.
    pub fn put_into(&self, record: &mut v1::Record) -> Result<(), FhirError> {
        record.basis = own(self.root, "legal-basis").map(basis).transpose()?;
        record.auth = own(self.root, "authentication").map(|part| v1::Authentication {
            issuer: said(part, "issuer").to_owned(),
            method: said(part, "method").to_owned(),
            eidas_level: said(part, "eidas-level").to_owned(),
        });
        record.automated = own(self.root, "automated").map(|part| v1::Automated {
            software: said(part, "software").to_owned(),
            version: said(part, "version").to_owned(),
        });
        let deferred = own(self.root, "deferred").map(|part| text(part, "valueString"));
        record.deferred = deferred.map(|reason| v1::Deferred { reason: reason.to_owned() });
        let details = own(self.root, "details").map(|part| text(part, "valueString").to_owned());
        match (details, self.is_exact) {
            (Some(details), _) => record.details = elsewhere(details),
            (None, true) => record.details.clear(),
            (None, false) => return Ok(()),
        }
        if !self.is_exact {
            return Ok(());
        }
        text(self.root, "outcomeDesc").clone_into(&mut record.outcome_text);
        record.place = own(self.root, "place").map(|part| v1::Place {
            site: said(part, "site").to_owned(),
            network_address: said(part, "network-address").to_owned(),
            device: said(part, "device").to_owned(),
            observer: said(part, "observer").to_owned(),
        });
        if let Some(context) = own(self.root, "launch-context") {
            let correlation = record.correlation.get_or_insert_default();
            text(context, "valueString").clone_into(&mut correlation.launch_context);
        }
        let agents = list(self.root, "agent").iter();
        let participants = agents.clone().filter_map(|agent| Some((agent, own(agent, "participant")?)));
        record.agents = participants.map(|(agent, part)| participant(agent, part)).collect();
        // A software that acted on its own, and no actor was on record.
        if record.automated.is_some() && !agents.into_iter().any(|agent| own(agent, "actor").is_some()) {
            record.actor = None;
        }
        Ok(())
    }
}

/// The details of a record as they are true in another log: the document of a large access is kept where it was imported.
fn elsewhere(details: String) -> String {
    const KEPT: &str = r#""kept":"in parts""#;
    match details.contains(KEPT) {
        true => details.replace(KEPT, r#""kept":"its hash alone""#),
        false => details,
    }
}

/// The text of a part of an extension.
fn said<'a>(extension: &'a Value, name: &str) -> &'a str {
    let part = list(extension, "extension").iter().find(|part| text(part, "url") == name);
    part.and_then(|part| ["valueString", "valueCode"].iter().find_map(|value| part[*value].as_str()))
        .unwrap_or_default()
}

/// By what right. A decision or a broken glass is on record in the log that the export is from, and nowhere else.
fn basis(extension: &Value) -> Result<v1::Basis, FhirError> {
    let kind = match said(extension, "kind") {
        "decision" => v1::BasisKind::Decision,
        "breakglass" => v1::BasisKind::Breakglass,
        "care-team" => v1::BasisKind::CareTeam,
        "consent" => v1::BasisKind::Consent,
        "self" => v1::BasisKind::Self_,
        "legal" => v1::BasisKind::Legal,
        _ => return Err(FhirError::new("AuditEvent.extension", "legal-basis names no kind that docs/fhir.md lists")),
    };
    let (reference, log) = (said(extension, "reference"), said(extension, "log"));
    let is_of_a_log = matches!(kind, v1::BasisKind::Decision | v1::BasisKind::Breakglass) && !reference.is_empty();
    let r#ref = match (log, is_of_a_log) {
        (_, false) => reference.to_owned(),
        ("", true) if is_foreign(reference) => reference.to_owned(),
        ("", true) => format!("{ANOTHER_LOG}#{reference}"),
        (log, true) => format!("{log}#{reference}"),
    };
    Ok(v1::Basis { kind: kind.into(), r#ref: cut(&r#ref, limits::ID_BYTES_MAX) })
}

/// Tells whether a basis points into another log, as an import wrote it.
pub(crate) fn is_foreign(reference: &str) -> bool {
    reference.split_once('#').is_some_and(|(log, _)| log.contains('/') || log == ANOTHER_LOG)
}

/// A participant as they were on record.
fn participant(agent: &Value, part: &Value) -> v1::Agent {
    let who = actor(part);
    v1::Agent {
        r#type: said(part, "type").to_owned(),
        who: (who != v1::Actor::default()).then_some(who),
        network_address: said(part, "network-address").to_owned(),
        requestor: agent["requestor"] == Value::Bool(true),
    }
}

/// An actor, part by part, in today's spelling.
pub(super) fn actor(part: &Value) -> v1::Actor {
    let (system, id) = spelling::actor_on_record(said(part, "system"), said(part, "id"));
    v1::Actor {
        system: cut(&system, limits::ID_BYTES_MAX),
        id: cut(&id, limits::ID_BYTES_MAX),
        role: word(said(part, "role"), limits::TOKEN_BYTES_MAX),
        organisation: cut(&spelling::organisation_on_record(said(part, "organisation")), limits::ID_BYTES_MAX),
        label: said(part, "label").to_owned(),
    }
}

/// The words of an item that are no codes of FHIR.
pub(super) fn labels(entity: &Value) -> Option<Vec<&str>> {
    let url = format!("{}/StructureDefinition/label", super::super::OURS);
    let ours = list(entity, "extension").iter().filter(|extension| text(extension, "url") == url);
    let ours: Vec<&str> = ours.map(|extension| text(extension, "valueString")).collect();
    (!ours.is_empty()).then_some(ours)
}
