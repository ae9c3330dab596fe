//! The record line: one record as one line of JSON, what `sillage record` takes and `sillage trace --json` prints.
//!
//! [`RecordLine::parse`] reads a line strictly: an unknown field, a field twice or a wrong type is refused with its
//! JSON path. [`RecordLine::to_record`] makes the record that is signed, [`RecordLine::from_record`] the way back.
//! [`schema`] describes the line to others, [`TraceLineJson`] is the line with what the ledger says about it.

mod act;
mod decision;
mod parts;
mod schema;
mod source;
mod trace;
mod will;

use sillage_proto::v1;

pub use act::{ActLine, AddedNodeLine, NodeAddressesLine};
pub use decision::{DecisionLine, OutcomeLine, decided_items};
pub use parts::*;
pub use schema::schema;
pub use source::{SourceLine, SourcesLine};
pub use trace::{ActSignatureLine, ErasedLine, OpenedContent, TraceLineJson, VoidedLine};
pub use will::{IssuerKeyLine, IssuerLine, WillLine};

use crate::codes::Code;
use crate::consent::spelling;
use crate::error::RecordError;
use crate::ident::{self, Checks, IdentError, Ins};
use crate::kind::{Group, Kind};
use crate::limits::LINE_BYTES_MAX;
use crate::record::{ParsedRecord, new_message};
use crate::time::TimeMs;

/// One record, as JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordLine {
    /// Its content.
    pub kind: Kind,
    /// The patient whose data or consent it is about; absent where no patient is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientLine>,
    /// Kept from a minor's representatives: recorded under the patient's secret tag.
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret: bool,
    /// The actor; absent where a software acted on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorLine>,
    /// How the actor proved who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthLine>,
    /// The items.
    #[serde(default)]
    pub items: Vec<ItemLine>,
    /// When it happened, by the author's clock.
    pub occurred_at: TimeMs,
    /// Why: a code of v3-PurposeOfUse.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// By what right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<BasisLine>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeToken>,
    /// How it ended, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome_text: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceLine>,
    /// Handed in after an establishment's emergency mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred: Option<DeferredLine>,
    /// Ids that join it to other logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<CorrelationLine>,
    /// A software acted on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automated: Option<AutomatedLine>,
    /// Others that took part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentLine>,
    /// The fields of the kind: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The source of the record, as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalLine>,
    /// Acts of the authority only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActLine>,
    /// How it is proven that the patient, or who represents them, decided this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub will: Option<WillLine>,
}

/// An identifier that is accepted, but may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {doubt}")]
pub struct Warning {
    /// The field, as `patient.ins`.
    pub path: String,
    /// The doubt.
    pub doubt: IdentError,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The fault of a text of one line: the number that counts is that of the line in its file, not "line 1" of it.
fn one_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} (column {column})"),
        None => message,
    }
}

impl RecordLine {
    /// Parses one line, without its line break.
    ///
    /// # Errors
    /// With the JSON path of what is wrong: not UTF-8, not JSON, an unknown or missing field, an unknown kind.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        if line.len() > LINE_BYTES_MAX {
            let why = format!("the line has {} bytes, and at most {LINE_BYTES_MAX}", line.len());
            return Err(RecordError::new(Code::RecordTooLarge, "", why));
        }
        let text =
            std::str::from_utf8(line).map_err(|_| RecordError::new(Code::InvalidUtf8, "", "the line isn't UTF-8"))?;
        let mut input = serde_json::Deserializer::from_str(text);
        let line: Self = serde_path_to_error::deserialize(&mut input).map_err(|error| {
            let path = error.path().to_string();
            // "?" is where the text ends or no field begins.
            let path = path.trim_end_matches('?').trim_end_matches('.').to_owned();
            let message = one_line(&error.into_inner());
            let code = match path.as_str() {
                "kind" if message.starts_with("unknown kind") => Code::UnknownKind,
                _ => Code::MalformedRecord,
            };
            RecordError::new(code, path, message)
        })?;
        input.end().map_err(|error| RecordError::malformed("", one_line(&error)))?;
        Ok(line)
    }

    /// The line as it is printed, without a line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record line has string keys only")
    }

    /// Checks the patient's and the actor's identifiers by the rules of `docs/errors.md`, and normalises the actors'.
    /// Gives what is doubtful.
    ///
    /// # Errors
    /// With the JSON path of an identifier that is refused.
    pub fn check_identifiers(&mut self, checks: Checks) -> Result<Vec<Warning>, RecordError> {
        let refused = |path: &str| {
            let path = path.to_owned();
            move |error: IdentError| RecordError::new(error.code(), path, error.to_string())
        };
        let mut warnings = Vec::new();
        if let Some(patient) = &self.patient {
            let path = "patient.ins";
            let (_, doubt) = Ins::check(&patient.ins, &patient.oid, checks).map_err(|error| {
                let path = if error == IdentError::InsOid { "patient.oid" } else { path };
                refused(path)(error)
            })?;
            warnings.extend(doubt.map(|doubt| Warning { path: path.to_owned(), doubt }));
        }
        let actor = self.actor.iter_mut().map(|actor| ("actor.id".to_owned(), actor));
        let agents = self.agents.iter_mut().enumerate();
        let agents = agents.filter_map(|(at, agent)| Some((format!("agents[{at}].who.id"), agent.who.as_mut()?)));
        for (path, actor) in actor.chain(agents) {
            let mut spelled = v1::Actor::from(actor.clone());
            match path == "actor.id" {
                true => spelling::spell_actor(&mut spelled).map_err(|error| error.within("actor"))?,
                false => spelling::spell_agent(&mut spelled),
            }
            *actor = spelled.into();
            if actor.id.is_empty() {
                continue;
            }
            let checked = ident::check_actor(&actor.system, &actor.id, checks);
            let (id, doubt) = checked.map_err(refused(&path))?;
            actor.id = id;
            warnings.extend(doubt.map(|doubt| Warning { path, doubt }));
        }
        for (at, item) in self.items.iter_mut().enumerate() {
            let mut spelled = v1::Item::from(item.clone());
            spelling::spell_item(&mut spelled).map_err(|error| error.within(&format!("items[{at}]")))?;
            *item = spelled.into();
        }
        if let Some(details) = &mut self.details {
            let mut spelled = details.as_str().to_owned();
            spelling::spell_details(self.kind, &mut spelled)?;
            if spelled != details.as_str() {
                let again = Details::parse(&spelled);
                *details = again.map_err(|error| RecordError::malformed("details", one_line(&error)))?;
            }
        }
        Ok(warnings)
    }

    /// The record that is signed. `tag` is the patient's tag, the second one where the line says `secret`; none where
    /// the line has no patient.
    ///
    /// # Errors
    /// With the JSON path of what can't stand in a record.
    pub fn to_record(&self, tag: Option<&[u8; 32]>) -> Result<ParsedRecord, RecordError> {
        let lacks_it =
            self.patient.is_none() && (self.kind.group() == Group::Emergency || self.kind == Kind::RECORDS_VOIDED);
        if !lacks_it && self.patient.is_some() != self.kind.has_patient() {
            let what = if self.kind.has_patient() { "concern a patient" } else { "concern no patient" };
            return Err(RecordError::malformed("patient", format!("records of kind {} {what}", self.kind)));
        }
        if self.secret && self.patient.is_none() {
            return Err(RecordError::malformed("secret", "there is no patient whose secret it is"));
        }
        let record = v1::Record {
            actor: self.actor.clone().map(Into::into),
            auth: self.auth.clone().map(Into::into),
            items: self.items.iter().cloned().map(Into::into).collect(),
            purpose: self.purpose.clone(),
            basis: self.basis.clone().map(Into::into),
            outcome: self.outcome.map_or(0, |outcome| v1::Outcome::from(outcome).into()),
            outcome_text: self.outcome_text.clone(),
            place: self.place.clone().map(Into::into),
            deferred: self.deferred.clone().map(Into::into),
            correlation: self.correlation.clone().map(Into::into),
            automated: self.automated.clone().map(Into::into),
            agents: self.agents.iter().cloned().map(Into::into).collect(),
            details: self.details.as_ref().map(Details::as_str).unwrap_or_default().to_owned(),
            original: self.original.clone().map(Into::into),
            act: self.act.as_ref().map(ActLine::to_message).transpose()?,
            will: self.will.clone().map(Into::into),
            ..new_message(self.kind, tag, self.occurred_at.0)
        };
        ParsedRecord::from_message(record).map_err(|mut error| {
            match error.path.as_str() {
                "occurred_at_ms" => error.path = "occurred_at".to_owned(),
                "tag" => error.path = "patient".to_owned(),
                _ => {}
            }
            error
        })
    }

    /// The line of a record. The record names its patient by tag only: `patient` and `secret` are what the reader knows
    /// of it.
    pub fn from_record(record: &ParsedRecord, patient: Option<PatientLine>, secret: bool) -> Self {
        let kind = record.kind();
        let act = record.act().map(ActLine::from);
        let message = record.message().clone();
        Self {
            kind,
            patient,
            secret,
            actor: message.actor.map(Into::into),
            auth: message.auth.map(Into::into),
            items: message.items.into_iter().map(Into::into).collect(),
            occurred_at: TimeMs(message.occurred_at_ms),
            purpose: message.purpose,
            basis: message.basis.and_then(BasisLine::from_message),
            outcome: OutcomeToken::from_code(message.outcome),
            outcome_text: message.outcome_text,
            place: message.place.map(Into::into),
            deferred: message.deferred.map(Into::into),
            correlation: message.correlation.map(Into::into),
            automated: message.automated.map(Into::into),
            agents: message.agents.into_iter().map(Into::into).collect(),
            details: Details::from_record(&message.details),
            original: message.original.map(Into::into),
            act,
            will: message.will.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests;
