//! That someone reads entries is on record before the first one is given: `log.consulted`, made by the ledger itself.
//!
//! The record names a service and a range of entries, never a patient: it is public by nature. Its actor is of the
//! system [`ACTOR_SYSTEM`], the id is the author id in hexadecimal; its details say `first`, `count`, and in `via` which
//! gateway asked, where it was one. A record may be proposed twice when a leader is lost: what was read is then on
//! record twice, which harms nobody; the other way round it would.

use std::time::Duration;

use prost::Message as _;
use sillage_ledger::{BatchOutcome, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::internal::v1::{Command, LedgerRecord, RecordRequest};
use sillage_proto::v1::Actor;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{ParsedRecord, new_message};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::refusals::{from_info, refuse, unavailable};
use super::{Core, now_ms};

/// The identifier system of a party of the ledger: its ids are author ids (`docs/formats.md` §1).
pub const ACTOR_SYSTEM: &str = "urn:sillage:author";
/// From the question to the last attempt.
const RECORD_TIMEOUT: Duration = Duration::from_secs(8);
/// For one call to the leader.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF: Duration = Duration::from_millis(50);
/// Commands with records of the ledger itself have this version.
const COMMAND_VERSION: u32 = 2;

/// The record that `reader` reads `count` entries from `first` on, through the gateway `via` where it is one.
///
/// # Errors
/// When the system gives no randomness.
pub fn entries_read(reader: &Party, via: Option<&Party>, first: u64, count: u64) -> Result<LedgerRecord, Refusal> {
    let kind = Kind::LOG_CONSULTED;
    let mut details = serde_json::json!({ "first": first, "count": count });
    if let Some(via) = via {
        details["via"] = via.name.clone().into();
    }
    let mut message = new_message(kind, None, now_ms());
    message.actor = Some(Actor {
        system: ACTOR_SYSTEM.to_owned(),
        id: reader.author_id.to_string(),
        label: reader.name.clone(),
        ..Actor::default()
    });
    message.details = details.to_string();
    let record = ParsedRecord::from_message(message).map_err(|error| {
        tracing::error!(%error, "the record of a reading can't be made");
        refuse(Code::Internal)
    })?;
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| unavailable(format!("the system gives no randomness: {error}")))?;
    Ok(LedgerRecord { kind: kind.code().into(), salt, record: record.into_bytes() })
}

impl Core {
    /// Brings a record to the leader; when this returns, it is committed and the leader has applied it.
    ///
    /// # Errors
    /// When it isn't on record in time: then nothing may be given.
    pub async fn put_on_record(&self, record: LedgerRecord) -> Result<LeafIndex, Refusal> {
        let deadline = Instant::now() + RECORD_TIMEOUT;
        loop {
            let done = match self.leader() {
                Some(leader) if leader == self.config.id => self.record_here(record.clone()).await,
                Some(leader) => self.record_at(leader, record.clone(), deadline).await,
                None => Err(refuse(Code::NoLeader)),
            };
            let refusal = match done {
                Ok(index) => return Ok(index),
                Err(refusal) => refusal,
            };
            if !refusal.code.is_retry() || Instant::now() + BACKOFF >= deadline {
                return Err(refusal);
            }
            sleep(BACKOFF).await;
        }
    }

    /// Proposes a record of the ledger itself, as the leader.
    ///
    /// # Errors
    /// `NOT_LEADER` when this node doesn't lead; `OUTCOME_UNKNOWN` when leadership was lost meanwhile; what the ledger
    /// says of the record.
    pub async fn record_here(&self, record: LedgerRecord) -> Result<LeafIndex, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        let now_ms = now_ms();
        // What apply would refuse never reaches the log.
        self.reader.check_ledger_record(&record, now_ms)?;
        let command = Command { version: COMMAND_VERSION, ledger_records: vec![record], ..Command::default() };
        let (sender, answer) = oneshot::channel();
        let done = move |outcomes| {
            // The asker may be gone, which is its right.
            let _ = sender.send(outcomes);
        };
        self.replica.propose(command.encode_to_vec(), now_ms, Box::new(done));
        let unknown = || refuse(Code::OutcomeUnknown);
        let answer = tokio::time::timeout(RECORD_TIMEOUT, answer).await;
        let outcomes = answer.map_err(|_| unknown())?.map_err(|_| unknown())?;
        let outcomes: Vec<BatchOutcome> = outcomes.map_err(|error| match error {
            sillage_cluster::ProposeError::NotLeader { .. } => refuse(Code::NotLeader),
            sillage_cluster::ProposeError::Busy => refuse(Code::Busy),
            _ => unknown(),
        })?;
        match outcomes.into_iter().next() {
            Some(BatchOutcome::LedgerRecord { index }) => Ok(index),
            Some(BatchOutcome::Refused(refusal)) => Err(refusal),
            other => {
                tracing::error!(?other, "a record of the ledger itself had another outcome than its own");
                Err(refuse(Code::Internal))
            }
        }
    }

    async fn record_at(&self, leader: u64, record: LedgerRecord, deadline: Instant) -> Result<LeafIndex, Refusal> {
        let link = self.links.get(leader).ok_or_else(|| refuse(Code::NoLeader))?;
        let mut client = link.calls.clone();
        let until = deadline.min(Instant::now() + FORWARD_TIMEOUT);
        let answer = timeout_at(until, client.record(RecordRequest { record: Some(record) })).await;
        let answer = answer.map_err(|_| refuse(Code::OutcomeUnknown))?.map_err(|status| {
            tracing::debug!(leader, %status, "the leader took no record");
            refuse(Code::OutcomeUnknown)
        })?;
        let answer = answer.into_inner();
        match answer.error {
            Some(error) => Err(from_info(error)),
            None => Ok(LeafIndex(answer.index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::AuthorId;
    use sillage_rules::roles::Roles;

    fn party(name: &str) -> Party {
        Party {
            author_id: AuthorId::from([7; 32]),
            name: name.to_owned(),
            roles: Roles::AUDITOR,
            quota_events_per_s: 0,
            tls_spki_sha256: Vec::new(),
            keys: Vec::new(),
            patient_tag: None,
            patient_secret_tag: None,
            registered_at: LeafIndex(0),
        }
    }

    #[test]
    fn a_reading_says_who_what_and_through_whom_and_names_no_patient() {
        let record = entries_read(&party("CNIL"), Some(&party("gateway")), 256, 100).expect("made");
        let parsed = ParsedRecord::parse(&record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, None));
        let message = parsed.message();
        let actor = message.actor.as_ref().expect("an actor");
        assert_eq!((actor.system.as_str(), actor.id.as_str()), (ACTOR_SYSTEM, "07".repeat(32).as_str()));
        assert_eq!(actor.label, "CNIL");
        let details: serde_json::Value = serde_json::from_str(&message.details).expect("JSON");
        assert_eq!(details, serde_json::json!({ "first": 256, "count": 100, "via": "gateway" }));
        let direct = entries_read(&party("CNIL"), None, 0, 1).expect("made");
        assert_ne!(direct.salt, record.salt);
        assert!(!String::from_utf8_lossy(&direct.record).contains("via"));
    }
}
