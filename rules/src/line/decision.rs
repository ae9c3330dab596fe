//! A decision as JSON: what was asked and by whom stands where it does in any line, what came out of it beside.

use serde::Serialize;
use sillage_proto::v1;

use super::{ItemLine, PatientLine, RecordLine};
use crate::decide::ParsedRequest;
use crate::decide::record::DecisionRecord;
use crate::kind::Kind;
use crate::time::TimeMs;

/// The outcome of a request, with the true reasons: for the patient and auditors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionLine {
    /// The action that was asked for: read, search, …
    pub action: String,
    /// Per item, in the order of the request.
    pub outcomes: Vec<OutcomeLine>,
    /// The actor's obligations.
    pub obligations: Vec<String>,
    /// Until when it stands, excluded.
    pub expires_at: TimeMs,
    /// Versions of the policy, the matrix and the catalogue that it was decided by.
    pub policy: String,
    /// Of the habilitation matrix.
    pub matrix: String,
    /// Of the catalogue.
    pub catalogue: String,
    /// The size of the log before it: the state that it was decided on.
    pub as_of: u64,
}

/// The decision on one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeLine {
    /// The item.
    pub id: String,
    /// True if it was permitted.
    pub permit: bool,
    /// Why, a token.
    pub reason: String,
    /// The entries of the records that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consulted: Vec<u64>,
}

impl From<&DecisionRecord> for DecisionLine {
    fn from(record: &DecisionRecord) -> Self {
        let (actor, private) = (record.actor_part(), record.private_part());
        let outcome = |outcome: &v1::ItemOutcome| OutcomeLine {
            id: outcome.id.clone(),
            permit: outcome.permit,
            reason: outcome.reason.clone(),
            consulted: outcome.consulted.clone(),
        };
        Self {
            action: actor.action.clone(),
            outcomes: private.outcomes.iter().map(outcome).collect(),
            obligations: actor.obligations.clone(),
            expires_at: TimeMs(actor.expires_at_ms),
            policy: private.policy_version.clone(),
            matrix: private.matrix_version.clone(),
            catalogue: private.catalogue_version.clone(),
            as_of: private.as_of_index,
        }
    }
}

/// The items of a decision, as far as its request says more of them than their ids. Under the open tag, a request that
/// names the second one isn't shown, and neither are the items that were decided on there.
pub fn decided_items(record: &DecisionRecord) -> Vec<v1::Item> {
    let request = ParsedRequest::parse(&record.private_part().request).ok();
    let asked = |id: &str| request.as_ref().and_then(|request| request.items().iter().find(|item| item.id == id));
    let named = |id: &String| asked(id).cloned().unwrap_or_else(|| v1::Item { id: id.clone(), ..v1::Item::default() });
    record.private_part().outcomes.iter().map(|outcome| named(&outcome.id)).collect()
}

/// The fields that a decision shares with a record.
pub(super) fn record_line(record: &DecisionRecord, patient: Option<PatientLine>, secret: bool) -> RecordLine {
    let actor = record.actor_part();
    let request = ParsedRequest::parse(&record.private_part().request).ok();
    let asked = request.as_ref().map(|request| request.message().clone()).unwrap_or_default();
    RecordLine {
        kind: Kind::DECISION_MADE,
        patient,
        secret,
        actor: actor.actor.clone().map(Into::into),
        auth: asked.auth.map(Into::into),
        items: decided_items(record).into_iter().map(ItemLine::from).collect(),
        occurred_at: TimeMs(actor.decided_at_ms),
        purpose: actor.purpose.clone(),
        basis: None,
        outcome: None,
        outcome_text: String::new(),
        place: None,
        deferred: None,
        correlation: asked.correlation.map(Into::into),
        automated: None,
        agents: Vec::new(),
        details: None,
        original: None,
        act: None,
        will: None,
    }
}
