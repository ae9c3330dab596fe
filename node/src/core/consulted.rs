//! That someone reads is on record before anything is given: `log.consulted`, made by the ledger itself.
//!
//! Where entries are read, the record names a service and a range of entries. Where one patient's trace is read by anyone
//! but that patient, it stands in that trace, so that the patient sees who looked. It never names a person: it is public by
//! nature. Its actor is of the system [`ACTOR_SYSTEM`], the id is the author id in hexadecimal; its details say what was
//! read, and in `via` which gateway asked, where it was one. A record may be proposed twice when a leader is lost: what was
//! read is then on record twice, which harms nobody; the other way round it would.

use sillage_ledger::{BatchOutcome, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::internal::v1::{LedgerRecord, RecordRequest};
use sillage_proto::v1::Actor;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::roles::Roles;
use tonic::Status;

use super::lanes::Work;
use super::proposal::{Forwarded, Proposal, forwarded};
use super::refusals::{refuse, unavailable};
use super::{Core, now_ms};
use crate::peer::links::Client;

/// The identifier system of a party of the ledger: its ids are author ids (`docs/formats.md` §1).
pub const ACTOR_SYSTEM: &str = "urn:sillage:author";

/// What of a patient's trace was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A page of it.
    Trace,
    /// The patient's place in the index, with the proof.
    Proof,
    /// Entries with what leads to their authors.
    Entries,
    /// What decides on the patient's data.
    Rules,
}

impl Read {
    /// As it stands in the details.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Proof => "proof",
            Self::Entries => "entries",
            Self::Rules => "rules",
        }
    }
}

/// The record that `reader` reads `count` entries from `first` on, through the gateway `via` where it is one.
///
/// # Errors
/// When the system gives no randomness.
pub fn entries_read(reader: &Party, via: Option<&Party>, first: u64, count: u64) -> Result<LedgerRecord, Refusal> {
    let mut details = serde_json::json!({ "first": first, "count": count });
    if let Some(via) = via {
        details["via"] = via.name.clone().into();
    }
    consulted(reader, None, &details)
}

/// The record that `reader` reads the register of broken glass.
///
/// # Errors
/// When the system gives no randomness.
pub fn register_read(reader: &Party) -> Result<LedgerRecord, Refusal> {
    consulted(reader, None, &serde_json::json!({ "read": "break-glass" }))
}

/// The record that `reader` reads of the trace of a patient, in which it will stand.
///
/// # Errors
/// When the system gives no randomness.
pub fn trace_read(reader: &Party, tag: &[u8; 32], what: Read) -> Result<LedgerRecord, Refusal> {
    consulted(reader, Some(tag), &serde_json::json!({ "read": what.token() }))
}

/// Whether it is the patient itself that reads: only then nothing is put on record.
pub fn is_patient_itself(reader: &Party, tag: &[u8]) -> bool {
    let own = [reader.patient_tag, reader.patient_secret_tag];
    reader.roles.contains(Roles::PATIENT) && own.iter().flatten().any(|own| own[..] == *tag)
}

fn consulted(reader: &Party, tag: Option<&[u8; 32]>, details: &serde_json::Value) -> Result<LedgerRecord, Refusal> {
    let kind = Kind::LOG_CONSULTED;
    let mut message = new_message(kind, tag, now_ms());
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

impl Proposal for LedgerRecord {
    type Done = LeafIndex;

    fn work(&self) -> (Work, bool) {
        (Work::Record(self.clone()), false)
    }

    async fn done(&self, _core: &Core, outcome: BatchOutcome) -> Result<LeafIndex, Refusal> {
        match outcome {
            BatchOutcome::LedgerRecord { index } => Ok(index),
            _ => {
                tracing::error!("a record of the ledger itself had another outcome than its own");
                Err(refuse(Code::Internal))
            }
        }
    }

    async fn forward(&self, mut client: Client) -> Result<Forwarded<LeafIndex>, Status> {
        let request = RecordRequest { record: Some(self.clone()) };
        forwarded(client.record(request).await, |answer| match answer.error {
            Some(error) => (None, Some(error)),
            None => (Some(LeafIndex(answer.index)), None),
        })
    }
}

impl Core {
    /// Brings a record to the leader; when this returns, it is committed and the leader has applied it. Many that wait are
    /// put into one Raft entry.
    ///
    /// # Errors
    /// When it isn't on record in time: then nothing may be given.
    pub async fn put_on_record(&self, record: LedgerRecord) -> Result<LeafIndex, Refusal> {
        self.propose(&record).await
    }

    /// Puts on record that a party has read of a patient's trace, unless it is that patient: after what was read was found,
    /// so that it shows the log as it was before, and before any of it is given.
    ///
    /// # Errors
    /// When it isn't on record in time: then nothing may be given.
    pub async fn read_of(&self, reader: &Party, tag: &[u8; 32], what: Read) -> Result<(), Refusal> {
        if !is_patient_itself(reader, tag) {
            self.put_on_record(trace_read(reader, tag, what)?).await?;
        }
        Ok(())
    }

    /// Records what the ledger makes itself, for another node that took this one for the leader.
    ///
    /// # Errors
    /// `NOT_LEADER` when this node doesn't lead; `OUTCOME_UNKNOWN` when leadership was lost meanwhile; what the ledger
    /// says of the record.
    pub async fn record_here(&self, record: LedgerRecord) -> Result<LeafIndex, Refusal> {
        self.check_open()?;
        self.propose_forwarded(&record).await
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
            vouches_for: [0; 3],
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

    #[test]
    fn who_looks_at_a_trace_stands_in_it_unless_it_is_the_patient() {
        let record = trace_read(&party("DMP"), &[9; 32], Read::Rules).expect("made");
        let parsed = ParsedRecord::parse(&record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, Some(&[9; 32])));
        assert_eq!(parsed.message().details, r#"{"read":"rules"}"#);
        let itself = Party {
            roles: Roles::PATIENT | Roles::READER,
            patient_tag: Some([9; 32]),
            patient_secret_tag: Some([8; 32]),
            ..party("Claire")
        };
        assert!(is_patient_itself(&itself, &[9; 32]) && is_patient_itself(&itself, &[8; 32]));
        assert!(!is_patient_itself(&itself, &[7; 32]), "she reads of someone else");
        let former = Party { roles: Roles::READER, ..itself };
        assert!(!is_patient_itself(&former, &[9; 32]));
    }
}
