//! Handing in: what was done while the ledger was out of reach goes on record, each line exactly once.
//!
//! A line becomes a record with `deferred`, the emergency's reason, and a correlation id that leads back to the line. The
//! outbox knows which are on record, so a hand-in that is cut short goes on where it stopped. Last comes one
//! `system.event` that sums the emergency up: how many lines, and the head that binds them.

use serde_json::json;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::ident::{Checks, Source as IdentSource};
use sillage_rules::kind::{Group, Kind};
use sillage_rules::line::{BasisLine, BasisToken, DeferredLine, Details, OutcomeToken, RecordLine};
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::time::TimeMs;

use super::local::detail;
use super::log::{Decided, EmergencyLog, Event, LocalEvent, RefusedLine};
use crate::author::{NewRecord, Stream, TagRequest, Tags, fitting, prepare};
use crate::error::{ClientError, Rejection};
use crate::outbox::Source;
use crate::outbox::source::DocumentKey;
use sillage_words::words::EMERGENCY_MODE;

/// Records of one batch.
const BATCH_RECORDS: usize = 500;
/// Codes by which one patient can't be recorded, and others can.
const OF_ONE_PATIENT: [Code; 4] = [Code::PatientErased, Code::InvalidIns, Code::TestInsRefused, Code::TagOutOfRange];
/// Most correlation ids of a record; ours is left out where it has as many.
const CORRELATION_IDS_MAX: usize = 16;

/// The outcome of an emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedIn {
    /// Records on record, those of earlier, interrupted runs too.
    pub records: u64,
    /// Lines that the ledger refused.
    pub refused: Vec<RefusedLine>,
    /// Entry of the record that sums it up.
    pub index: u64,
    /// The lines of what was done.
    pub summary: Summary,
}

/// An emergency in numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// When it began.
    pub began: TimeMs,
    /// When its last line was written.
    pub ended: TimeMs,
    /// Accesses and movements.
    pub accesses: u64,
    /// Of how many patients.
    pub patients: u64,
    /// Break-glasses opened.
    pub breakglasses: u64,
    /// Break-glasses without a justification yet.
    pub unjustified: u64,
    /// Requests that the local rules decided.
    pub decided: u64,
    /// Items that they refused.
    pub refused_items: u64,
}

impl Summary {
    /// Counts a log.
    pub fn of(log: &EmergencyLog) -> Self {
        use std::collections::{HashMap, HashSet};
        let events = log.events();
        let first_and_last = events.first().zip(events.last());
        let (began, ended) = first_and_last.map_or_else(Default::default, |(a, b)| (a.time, b.time));
        let mut out = Self {
            began,
            ended,
            accesses: 0,
            patients: 0,
            breakglasses: 0,
            unjustified: 0,
            decided: 0,
            refused_items: 0,
        };
        let mut patients = HashSet::new();
        let mut open: HashMap<String, bool> = HashMap::new();
        for event in events {
            match &event.event {
                LocalEvent::Recorded(line) => {
                    patients.extend(line.patient.clone());
                    match line.kind {
                        Kind::BREAKGLASS_OPENED => drop(open.insert(detail(line, "id"), false)),
                        Kind::BREAKGLASS_JUSTIFIED => drop(open.insert(detail(line, "breakglass"), true)),
                        kind if kind.is_access() || kind.is_movement() => out.accesses += 1,
                        _ => {}
                    }
                }
                LocalEvent::Decided(decided) => {
                    patients.insert(decided.patient.clone());
                    out.decided += 1;
                    out.refused_items += decided.items.iter().filter(|item| !item.permit).count() as u64;
                }
                LocalEvent::Started { .. } | LocalEvent::HandedIn { .. } => {}
            }
        }
        out.patients = patients.len() as u64;
        out.breakglasses = open.len() as u64;
        out.unjustified = open.values().filter(|justified| !**justified).count() as u64;
        out
    }
}

/// Records that may stand in the log of an emergency: what was done. The patient's own decisions wait for the ledger, because
/// only there they have an order and an effect.
///
/// # Errors
/// Names the kinds that may, or what is wrong with the line.
pub fn check_line(line: &mut RecordLine, test_log: bool) -> Result<Vec<String>, ClientError> {
    let allowed = matches!(line.kind.group(), Group::Access | Group::Movement | Group::Emergency);
    if !allowed {
        return Err(ClientError::Usage(format!(
            "{} can't be recorded in emergency mode: accesses, movements and break-glass can, the patient's decisions wait for the ledger",
            line.kind
        )));
    }
    let refused = |error: sillage_rules::record::RecordError| ClientError::rejected(error.code, error.to_string());
    let checks = Checks { test_log, source: IdentSource::Direct };
    let doubts = line.check_identifiers(checks).map_err(refused)?;
    // The tag comes later; its length is known, so that everything can be checked now.
    let record = line.to_record(line.patient.as_ref().map(|_| &[0xff; 32])).map_err(refused)?;
    record.check_from_author().map_err(refused)?;
    sillage_rules::consent::Event::of(&record).map_err(refused)?;
    Ok(doubts.iter().map(|doubt| format!("{}: {}", doubt.path, doubt.doubt)).collect())
}

/// A line to be handed in.
struct Waiting {
    seq: u64,
    key: DocumentKey,
    kind: Kind,
    record: Vec<u8>,
}

/// The records of a log, in its order: what was done, and what was decided.
///
/// # Errors
/// When a line can't be a record.
pub fn records(log: &EmergencyLog) -> Result<Vec<(u64, NewRecord)>, ClientError> {
    let mut out = Vec::new();
    for event in log.events() {
        let line = match &event.event {
            LocalEvent::Recorded(line) => (**line).clone(),
            LocalEvent::Decided(decided) => {
                for line in decided_lines(decided, event.time) {
                    out.push((event.seq, new_record(log, event, line)?));
                }
                continue;
            }
            LocalEvent::Started { .. } | LocalEvent::HandedIn { .. } => continue,
        };
        out.push((event.seq, new_record(log, event, line)?));
    }
    Ok(out)
}

/// Permissions and refusals, as an authorisation each: its details say which.
fn decided_lines(decided: &Decided, at: TimeMs) -> Vec<RecordLine> {
    let Ok(kind) = Kind::from_token(&format!("access.{}", decided.action)) else {
        return Vec::new();
    };
    // The establishment's own rules decided: to have them ready is the law's order.
    let basis = Some(BasisLine { kind: BasisToken::Legal, reference: EMERGENCY_MODE.to_owned() });
    let line = |(secret, permit): (bool, bool)| {
        let items = decided.items.iter().filter(|item| (item.secret, item.permit) == (secret, permit));
        let items: Vec<_> = items.collect();
        let reasons: Vec<_> = items.iter().map(|item| json!({"id": item.item.id, "reason": item.reason})).collect();
        let details = json!({"authorisation": if permit { "permit" } else { "deny" }, "emergency_mode": reasons});
        (!items.is_empty()).then(|| RecordLine {
            kind,
            patient: Some(decided.patient.clone()),
            secret,
            actor: Some(decided.actor.clone()),
            auth: None,
            items: items.iter().map(|item| item.item.clone()).collect(),
            occurred_at: at,
            purpose: decided.purpose.clone(),
            basis: basis.clone(),
            outcome: Some(if permit { OutcomeToken::Success } else { OutcomeToken::SeriousFailure }),
            outcome_text: String::new(),
            place: None,
            deferred: None,
            correlation: None,
            automated: None,
            agents: Vec::new(),
            details: Details::parse(&details.to_string()).ok(),
            original: None,
            act: None,
            will: None,
        })
    };
    // What is kept from representatives goes on record apart.
    [(false, true), (false, false), (true, true), (true, false)].into_iter().filter_map(line).collect()
}

fn new_record(log: &EmergencyLog, event: &Event, mut line: RecordLine) -> Result<NewRecord, ClientError> {
    line.deferred = Some(DeferredLine { reason: log.reason().to_owned() });
    let correlation = line.correlation.get_or_insert_default();
    if correlation.ids.len() < CORRELATION_IDS_MAX {
        correlation.ids.push(format!("emergency:{}:{}", log.id(), event.seq));
    }
    let patient = line.patient.as_ref().map(|patient| TagRequest {
        ins: patient.ins.clone(),
        oid: patient.oid.clone(),
        secret: line.secret,
    });
    let record = line
        .to_record(patient.as_ref().map(|_| &[0xff; 32]))
        .map_err(|error| ClientError::rejected(error.code, format!("line {} of the emergency: {error}", event.seq)))?;
    Ok(NewRecord { patient, record: record.into_message() })
}

/// The record that sums an emergency up. The same log gives the same record.
fn summing_up(log: &EmergencyLog, summary: &Summary) -> v1::Record {
    let details = json!({"emergency_mode": {
        "log": log.id(), "lines": log.events().len(), "head": log.head(), "reason": log.reason(),
        "summary": summary,
    }});
    v1::Record {
        details: details.to_string(),
        automated: Some(v1::Automated {
            software: "sillage emergency-mode".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        deferred: Some(v1::Deferred { reason: log.reason().to_owned() }),
        ..new_message(Kind::SYSTEM_EVENT, None, summary.ended.0.max(1))
    }
}

/// Hands in everything, and closes the log when all of it is on record or was refused for good.
///
/// # Errors
/// [`ClientError::Unavailable`]: what was sent is on record, the same call goes on with the rest.
pub async fn hand_in(
    log: &mut EmergencyLog,
    stream: &mut Stream,
    tags: &Tags,
    now: TimeMs,
) -> Result<HandedIn, ClientError> {
    stream.settle().await?;
    let summary = Summary::of(log);
    let (seqs, new): (Vec<u64>, Vec<NewRecord>) = records(log)?.into_iter().unzip();
    let (encoded, mut refused) = prepare_each(tags, seqs, new).await?;
    let place = |seq: u64| usize::try_from(seq).ok().and_then(|at| log.events().get(at));
    let text = |seq: u64| place(seq).map_or("", |event| event.text.as_str());
    let mut waiting = Vec::with_capacity(encoded.len());
    let mut on_record = 0;
    for (seq, record) in encoded {
        let key = DocumentKey::new(text(seq).as_bytes(), &record, 0);
        let parsed = ParsedRecord::parse(&record).map_err(|e| ClientError::rejected(e.code, e.to_string()))?;
        match is_done(stream, &key) {
            Some(_) => on_record += 1,
            None => waiting.push(Waiting { seq, key, kind: parsed.kind(), record }),
        }
    }
    while !waiting.is_empty() {
        let batch: Vec<Vec<u8>> = waiting.iter().take(BATCH_RECORDS).map(|w| w.record.clone()).collect();
        let count = fitting(&batch);
        let keys = waiting.iter().take(count).map(|w| w.key).collect();
        match stream.send(batch.into_iter().take(count).collect(), Source::Keys(keys)).await {
            Ok(receipt) => {
                on_record += u64::from(receipt.count);
                waiting.drain(..count);
            }
            Err(ClientError::Rejected(rejection)) => {
                let at = one_line(&rejection, &waiting, count).ok_or(ClientError::Rejected(rejection.clone()))?;
                let line = waiting.remove(at);
                refused.push(RefusedLine { seq: line.seq, code: rejection.code.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    let last = prepare(tags, vec![NewRecord { patient: None, record: summing_up(log, &summary) }]).await?;
    let key = DocumentKey::new(log.id().as_bytes(), &last[0], 0);
    let index = match is_done(stream, &key) {
        Some(index) => index,
        None => stream.send(last, Source::Keys(vec![key])).await?.first_index,
    };
    log.append(&LocalEvent::HandedIn { records: on_record, refused: refused.clone(), index }, now)?;
    Ok(HandedIn { records: on_record, refused, index, summary })
}

/// Resolves and encodes. A patient who can't be recorded any more takes only their own lines out.
async fn prepare_each(
    tags: &Tags,
    seqs: Vec<u64>,
    new: Vec<NewRecord>,
) -> Result<(Vec<(u64, Vec<u8>)>, Vec<RefusedLine>), ClientError> {
    match prepare(tags, new.clone()).await {
        Ok(encoded) => return Ok((seqs.into_iter().zip(encoded).collect(), Vec::new())),
        Err(ClientError::Rejected(_)) => {}
        Err(error) => return Err(error),
    }
    let (mut encoded, mut refused) = (Vec::with_capacity(new.len()), Vec::new());
    for (seq, record) in seqs.into_iter().zip(new) {
        match prepare(tags, vec![record]).await {
            Ok(mut one) => encoded.extend(one.pop().map(|bytes| (seq, bytes))),
            Err(ClientError::Rejected(Rejection { code, .. })) if OF_ONE_PATIENT.iter().any(|one| code == *one) => {
                refused.push(RefusedLine { seq, code: code.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((encoded, refused))
}

fn is_done(stream: &Stream, key: &DocumentKey) -> Option<u64> {
    let outbox = stream.outbox()?;
    outbox.done().of_document(key).map(|place| place.index)
}

/// The line that a refusal is about, where it is about one line and the others can go without it. Accesses are refused
/// only for what they are, never for what is on record.
fn one_line(rejection: &Rejection, waiting: &[Waiting], count: usize) -> Option<usize> {
    let at = rejection.position as usize;
    let kind = waiting.iter().take(count).nth(at)?.kind;
    let code = rejection.code.known()?;
    let of_a_record = matches!(
        code,
        Code::MalformedRecord
            | Code::UnknownKind
            | Code::KindReserved
            | Code::RecordTooLarge
            | Code::TimeAhead
            | Code::TagOutOfRange
    );
    let of_its_effect = kind.group() == Group::Emergency
        && matches!(
            code,
            Code::NotEntitled
                | Code::UnknownReference
                | Code::ReasonMissing
                | Code::UntilMissing
                | Code::EmptyPeriod
                | Code::IdTaken
                | Code::AuthenticationMissing
                | Code::UnknownToken
                | Code::TooManyRules
        );
    (of_a_record || of_its_effect).then_some(at)
}

#[cfg(test)]
#[path = "hand_in_tests.rs"]
mod tests;
