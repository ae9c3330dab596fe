//! How an establishment decides while the ledger is out of reach: by the same procedure, on what it last knew of the
//! patient and on what it has in its own log since; of the outcome it takes what its rules allow.
//!
//! ```toml
//! # Reasons for which a document is given without the patient's last known state, and with it
//! permit = ["BREAK_GLASS", "DEPOSITOR"]
//! permit_with_state = ["BREAK_GLASS", "DEPOSITOR"]
//! state_age_h_max = 72          # older, it still denies, and permits nothing more than without it
//! ```
//!
//! The default is break-glass alone, and one's own deposits: consent may have been withdrawn since. The last known
//! state always denies (masks, blocks, oppositions), however old it is.

use serde::Deserialize;
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1;
use sillage_rules::consent::{Action, Actor, Event as RuleEvent, Meta, PatientState, Spelled};
use sillage_rules::decide::{ItemDecision, ItemFacts, Reason, Request, check_contradictions, decide, is_secret};
use sillage_rules::line::{ActorLine, Details, PatientLine, RecordLine};
use sillage_rules::time::TimeMs;

use super::keep::LastKnown;
use super::log::{Decided, DecidedItem, EmergencyLog, LocalEvent};
use crate::error::ClientError;

/// The reason of what the local rules don't reach.
pub const UNREACHABLE: &str = "LEDGER_UNREACHABLE";

/// The rules of an establishment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalRules {
    permit: Vec<String>,
    permit_with_state: Vec<String>,
    state_age_h_max: u64,
}

impl Default for LocalRules {
    fn default() -> Self {
        let own = || [Reason::BreakGlass, Reason::Depositor].map(|reason| reason.as_str().to_owned()).to_vec();
        Self { permit: own(), permit_with_state: own(), state_age_h_max: 72 }
    }
}

impl LocalRules {
    /// Reads the rules of a file.
    ///
    /// # Errors
    /// With what can't be understood, or a reason that permits nothing.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: String| ClientError::Usage(format!("the rules of the emergency mode: {why}"));
        let rules: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let unknown = rules.permit.iter().chain(&rules.permit_with_state);
        let unknown = unknown.into_iter().find(|token| !Reason::from_token(token).is_some_and(Reason::permits));
        match unknown {
            Some(token) => Err(wrong(format!("`{token}` is no reason that permits, such as BREAK_GLASS"))),
            None => Ok(rules),
        }
    }

    fn allow(&self, reason: Reason, age_h: Option<u64>) -> bool {
        let list = match age_h {
            Some(age_h) if age_h <= self.state_age_h_max => &self.permit_with_state,
            _ => &self.permit,
        };
        list.iter().any(|token| token == reason.as_str())
    }
}

/// A question in an emergency.
#[derive(Debug, Clone)]
pub struct LocalAsk {
    /// The patient.
    pub patient: PatientLine,
    /// The actor.
    pub actor: ActorLine,
    /// read, search, download, …
    pub action: String,
    /// Why; `BTG` for a break-glass, which must stand in the local log.
    pub purpose: String,
    /// With what.
    pub items: Vec<v1::Item>,
    /// The items are kept from representatives, as whoever holds them knows. Facts that are known hold without it.
    pub secret: bool,
}

/// Decides by the local rules. Nothing is logged yet; nothing may be given out before it is.
///
/// # Errors
/// `MALFORMED_REQUEST` for what can't be asked.
pub fn decide_locally(
    log: &EmergencyLog,
    rules: &LocalRules,
    known: Option<&LastKnown>,
    ask: &LocalAsk,
    now: TimeMs,
) -> Result<Decided, ClientError> {
    let malformed = |why: String| ClientError::rejected("MALFORMED_REQUEST", why);
    let actor = Actor::from_record(&ask.actor.clone().into()).map_err(|e| malformed(format!("actor: {e}")))?;
    let actor = actor.spelled_on_record();
    let action = Action::from_token(&ask.action)
        .ok_or_else(|| malformed(format!("`{}` is no action, such as read", ask.action)))?;
    let (open, secret) = states(log, known, &ask.patient);
    let facts = |item| {
        let known = ItemFacts::of(item, &open, secret.as_ref(), false);
        ItemFacts { secret: known.secret || ask.secret, ..known }
    };
    let items = ask.items.iter().map(facts).collect();
    // The establishment answers for its own professionals.
    let (purpose, at) = (ask.purpose.clone(), LedgerTimeMs(now.0));
    let request = Request { actor, action, purpose, at, items, word_of: None };
    let decision = match known {
        Some(known) => known.known.with_env(|env| decide(env, &open, secret.as_ref(), &request)),
        None => with_defaults(|env| decide(env, &open, secret.as_ref(), &request)),
    };
    check_contradictions(&decision).map_err(|refusal| ClientError::rejected(refusal.code.as_str(), refusal.message))?;
    let age_h = known.map(|known| now.0.saturating_sub(known.known.as_of_ms) / 3_600_000);
    let outcome = |((item, facts), decided): ((&v1::Item, &ItemFacts), &ItemDecision)| {
        let secret = is_secret(facts, &open, secret.as_ref(), true);
        let permit = decided.permit && rules.allow(decided.reason, age_h);
        let unreached = decided.permit && !permit || decided.reason == Reason::NoConsent;
        let reason = if unreached { UNREACHABLE } else { decided.reason.as_str() };
        DecidedItem { item: item.clone().into(), permit, reason: reason.to_owned(), secret }
    };
    Ok(Decided {
        patient: ask.patient.clone(),
        actor: ask.actor.clone(),
        action: ask.action.clone(),
        purpose: ask.purpose.clone(),
        items: ask.items.iter().zip(&request.items).zip(&decision.items).map(outcome).collect(),
        known_to: known.map(|known| known.known.as_of_size),
    })
}

fn with_defaults<T>(f: impl FnOnce(&sillage_rules::consent::Env<'_>) -> T) -> T {
    use sillage_rules::consent::{ActorName, Catalogue, Env, Matrix, Policy};
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    f(&Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_: &ActorName| false,
        claims: true,
        across_servers: true,
    })
}

/// The last knowledge of the patient, and what the local log says since.
fn states(
    log: &EmergencyLog,
    known: Option<&LastKnown>,
    patient: &PatientLine,
) -> (PatientState, Option<PatientState>) {
    let mut open = known.map(|known| known.known.open.state.clone()).unwrap_or_default();
    let mut secret = known.and_then(|known| known.known.secret.as_ref()).map(|side| side.state.clone());
    for event in log.events() {
        let LocalEvent::Recorded(line) = &event.event else { continue };
        if line.patient.as_ref() != Some(patient) {
            continue;
        }
        if let Some((mut rule, meta)) = rule_event(line, event.seq, event.time) {
            if let RuleEvent::BreakGlassOpened(opened) = &mut rule {
                // As long as the ledger will have it, by the policy that was last known.
                let policy = known.map(|known| known.known.policy.clone()).unwrap_or_default();
                opened.bound(&policy, meta.time, None);
            }
            match line.secret {
                true => secret.get_or_insert_default().apply(&rule, &meta),
                false => open.apply(&rule, &meta),
            }
        }
    }
    (open, secret)
}

/// The meaning of a line of the local log for decisions. Its index is no entry of the ledger, and stands for none.
fn rule_event(line: &RecordLine, seq: u64, time: TimeMs) -> Option<(RuleEvent, Meta)> {
    let record = line.to_record(line.patient.as_ref().map(|_| &[0xff; 32])).ok()?;
    let event = RuleEvent::of(&record).ok()??;
    let index = LeafIndex(u64::MAX / 2 + seq);
    let meta = Meta::of(&record, index, LedgerTimeMs(time.0), false, false).ok()?;
    Some((event.spelled_on_record(), meta.spelled_on_record()))
}

/// Tells whether a break-glass may stand in the local log: the procedure admits it, on what is known.
///
/// # Errors
/// The ledger's own codes.
pub fn admit(log: &EmergencyLog, known: Option<&LastKnown>, line: &RecordLine, now: TimeMs) -> Result<(), ClientError> {
    let Some((event, meta)) = rule_event(line, log.events().len() as u64, now) else {
        return Ok(());
    };
    let Some(patient) = &line.patient else {
        return Ok(());
    };
    let (open, secret) = states(log, known, patient);
    let state = if line.secret { secret.unwrap_or_default() } else { open };
    let admitted = match known {
        Some(known) => known.known.with_env(|env| state.admit(&event, &meta, env)),
        None => with_defaults(|env| state.admit(&event, &meta, env)),
    };
    admitted.map_err(|refusal| ClientError::rejected(refusal.code.as_str(), refusal.message))
}

/// The id of a break-glass or of its justification, as the log's summary counts them.
pub(super) fn detail(line: &RecordLine, field: &str) -> String {
    let details = line.details.as_ref().map(Details::as_str).unwrap_or("{}");
    let details: serde_json::Value = serde_json::from_str(details).unwrap_or_default();
    details[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
