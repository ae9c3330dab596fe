//! That someone reads is on record before anything is given: `log.consulted`, made by the ledger itself.
//!
//! Where entries are read, the record names a service and a range of entries. Where one patient's trace is read by anyone
//! but that patient, it stands in that trace, so that the patient sees who looked. It never names a person: it is public by
//! nature. Its actor is of the system [`ACTOR_SYSTEM`], the id is the author id in hexadecimal; its details say what was
//! read, and in `via` which gateway asked, where it was one. A record may be proposed twice when a leader is lost: what was
//! read is then on record twice, which harms nobody; the other way round it would.
//!
//! In a trace there is one line for each reader and minute: `for_s` says that it stands for all that this party read of the
//! patient in the seconds from its own time on, of which `read` is what came first ([`super::lines`]). A tag under which
//! nothing is on record may be no patient's at all: its line is made and counted in the same way, but stands under no tag, so
//! that nobody fills the index of patients by asking.

use std::collections::BTreeSet;

use sillage_ledger::{BatchOutcome, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::AuthorId;
use sillage_proto::internal::v1::{LedgerRecord, RecordRequest};
use sillage_proto::v1::{Actor, Automated};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::roles::Roles;
use tonic::Status;

use super::lanes::Work;
use super::lines::LINE_MS;
use super::proposal::{Forwarded, Proposal, forwarded};
use super::refusals::{from_read, refuse, unavailable};
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
    /// A page of the register of broken glass, with something of the patient on it.
    BreakGlass,
}

impl Read {
    /// As it stands in the details.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Proof => "proof",
            Self::Entries => "entries",
            Self::Rules => "rules",
            Self::BreakGlass => "break-glass",
        }
    }
}

/// A record of a reading, with what it counts.
#[derive(Clone, Debug)]
pub struct Reading {
    record: LedgerRecord,
    /// Of the reader's quota.
    events: u32,
    /// Of who read and whose trace; `None`: it stands for itself alone.
    once: Option<[u8; 32]>,
}

/// The record that `reader` reads `count` entries from `first` on, through the gateway `via` where it is one.
///
/// # Errors
/// When the system gives no randomness.
pub fn entries_read(reader: &Party, via: Option<&Party>, first: u64, count: u64) -> Result<Reading, Refusal> {
    let mut details = serde_json::json!({ "first": first, "count": count });
    if let Some(via) = via {
        details["via"] = via.name.clone().into();
    }
    Ok(Reading { record: consulted(reader, None, &details)?, events: 1, once: None })
}

/// The record that `reader` reads the register of broken glass, where it stands for that many patients.
///
/// # Errors
/// When the system gives no randomness.
pub fn register_read(reader: &Party, patients: usize) -> Result<Reading, Refusal> {
    let events = u32::try_from(patients + 1).unwrap_or(u32::MAX);
    let record = consulted(reader, None, &serde_json::json!({ "read": Read::BreakGlass.token() }))?;
    Ok(Reading { record, events, once: None })
}

/// The record that `reader` reads of the trace of a patient, in which it will stand, if that is one of this log.
///
/// # Errors
/// When the system gives no randomness.
pub fn trace_read(reader: &Party, tag: &[u8; 32], is_on_record: bool, what: Read) -> Result<Reading, Refusal> {
    let details = serde_json::json!({ "read": what.token(), "for_s": LINE_MS / 1_000 });
    let record = consulted(reader, is_on_record.then_some(tag), &details)?;
    let once = sha256(&[b"sillage/line/v1\0", reader.author_id.as_bytes(), tag]).to_bytes();
    Ok(Reading { record, events: 1, once: Some(once) })
}

/// The record of the first reading of a patient's own device: it names no party, as the same one under both tags would tell that
/// they are one patient's. `mark` stands for it, to whoever can open the record that told of the device.
///
/// # Errors
/// When the system gives no randomness.
pub fn first_read(tag: &[u8; 32], mark: Hash, what: Read) -> Result<Reading, Refusal> {
    let details = serde_json::json!({ "read": what.token(), "device": mark });
    let once = sha256(&[b"sillage/line/v1\0", mark.as_bytes(), tag]).to_bytes();
    Ok(Reading { record: record_of(None, Some(tag), &details)?, events: 1, once: Some(once) })
}

/// Whether it is the patient itself that reads: then nothing is put on record, but for the first reading of a device.
pub fn is_patient_itself(reader: &Party, tag: &[u8]) -> bool {
    let own = [reader.patient_tag, reader.patient_secret_tag];
    reader.roles.contains(Roles::PATIENT) && own.iter().flatten().any(|own| own[..] == *tag)
}

fn consulted(reader: &Party, tag: Option<&[u8; 32]>, details: &serde_json::Value) -> Result<LedgerRecord, Refusal> {
    let actor = Actor {
        system: ACTOR_SYSTEM.to_owned(),
        id: reader.author_id.to_string(),
        label: reader.name.clone(),
        ..Actor::default()
    };
    record_of(Some(actor), tag, details)
}

fn record_of(
    actor: Option<Actor>,
    tag: Option<&[u8; 32]>,
    details: &serde_json::Value,
) -> Result<LedgerRecord, Refusal> {
    let kind = Kind::LOG_CONSULTED;
    let mut message = new_message(kind, tag, now_ms());
    if actor.is_none() {
        // Who did it isn't said: that a node noted it is.
        let version = env!("CARGO_PKG_VERSION").to_owned();
        message.automated = Some(Automated { software: "sillage-node".to_owned(), version });
    }
    message.actor = actor;
    message.details = details.to_string();
    let record = ParsedRecord::from_message(message).map_err(|error| {
        tracing::error!(%error, "the record of a reading can't be made");
        refuse(Code::Internal)
    })?;
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| unavailable(format!("the system gives no randomness: {error}")))?;
    Ok(LedgerRecord { kind: kind.code().into(), salt, record: record.into_bytes() })
}

impl Reading {
    /// As another node handed it on.
    fn handed_on(request: RecordRequest) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new(Code::MalformedRequest, what.to_owned());
        let record = request.record.ok_or_else(|| malformed("no record"))?;
        let once = match request.once.is_empty() {
            true => None,
            false => Some(request.once[..].try_into().map_err(|_| malformed("`once` is 32 bytes"))?),
        };
        Ok(Self { record, events: request.events, once })
    }

    /// Who read.
    fn reader(&self) -> Option<AuthorId> {
        let record = ParsedRecord::parse(&self.record.record).ok()?;
        let id = hex::decode(&record.message().actor.as_ref()?.id).ok()?;
        AuthorId::from_slice(&id).ok()
    }
}

impl Proposal for Reading {
    type Done = LeafIndex;

    fn work(&self) -> (Work, bool) {
        (Work::Record(self.record.clone()), false)
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

    fn once(&self) -> Option<[u8; 32]> {
        self.once
    }

    fn stood_for(&self, line: LeafIndex) -> Option<LeafIndex> {
        Some(line)
    }

    fn line(&self, done: &LeafIndex) -> Option<LeafIndex> {
        Some(*done)
    }

    async fn forward(&self, mut client: Client) -> Result<Forwarded<LeafIndex>, Status> {
        let once = self.once.map(Vec::from).unwrap_or_default();
        let request = RecordRequest { record: Some(self.record.clone()), events: self.events, once };
        forwarded(client.record(request).await, |answer| match answer.error {
            Some(error) => (None, Some(error)),
            None => (Some(LeafIndex(answer.index)), None),
        })
    }
}

impl Core {
    /// Brings the record of a reading to the leader, which counts it in the reader's quota; when this returns, it is
    /// committed and the leader has applied it. Many that wait are put into one Raft entry.
    ///
    /// # Errors
    /// When it isn't on record in time, or over the quota: then nothing may be given.
    pub async fn put_on_record(&self, reading: Reading) -> Result<LeafIndex, Refusal> {
        if self.config.isolated {
            // A copy can't grow. Whoever keeps it answers for who reads it.
            let reader = reading.reader().map(|reader| reader.to_string());
            tracing::warn!(target: "audit", reader, "an isolated copy is read, and that can't be put on record");
            return Ok(LeafIndex(self.reader.tree_size().get().saturating_sub(1)));
        }
        self.propose(&reading).await
    }

    /// Puts on record that a party has read of a patient's trace, unless it is that patient and hasn't done so for the first time
    /// with this device: after what was read was found,
    /// so that it shows the log as it was before, and before any of it is given.
    ///
    /// # Errors
    /// When it isn't on record in time, or over the quota: then nothing may be given.
    pub async fn read_of(&self, reader: &Party, tag: &[u8; 32], what: Read) -> Result<(), Refusal> {
        if !is_patient_itself(reader, tag) {
            let is_on_record = self.reader.is_on_record(tag).map_err(|error| from_read(&error))?;
            self.put_on_record(trace_read(reader, tag, is_on_record, what)?).await?;
        } else if let Some(mark) = self.first_reading(reader, tag)? {
            self.put_on_record(first_read(tag, mark, what)?).await?;
        }
        Ok(())
    }

    /// Puts on record that a party has read the register of broken glass, also in the trace of each patient that was on the
    /// page.
    ///
    /// # Errors
    /// As [`Core::read_of`].
    pub async fn read_register(&self, reader: &Party, tags: &BTreeSet<[u8; 32]>) -> Result<(), Refusal> {
        self.admission.charge_quota(reader, tags.len());
        // Where another node leads, it counts all of it with this one.
        self.put_on_record(register_read(reader, tags.len())?).await?;
        let lines = tags.iter().map(|tag| async move {
            let is_on_record = self.reader.is_on_record(tag).map_err(|error| from_read(&error))?;
            let line = trace_read(reader, tag, is_on_record, Read::BreakGlass)?;
            self.put_on_record(Reading { events: 0, ..line }).await
        });
        // They are made together: few Raft entries for many patients.
        futures::future::try_join_all(lines).await.map(drop)
    }

    /// Records what the ledger makes itself, for another node that took this one for the leader, and counts it.
    ///
    /// # Errors
    /// `NOT_LEADER` when this node doesn't lead; `QUOTA_EXCEEDED`; `OUTCOME_UNKNOWN` when leadership was lost meanwhile; what
    /// the ledger says of the record.
    pub async fn record_here(&self, request: RecordRequest) -> Result<LeafIndex, Refusal> {
        self.check_open()?;
        let reading = Reading::handed_on(request)?;
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        // Nodes of before this count say 0. A party that this node doesn't know yet has counted at the other one.
        if let Some(reader) = reading.reader().filter(|_| reading.events > 0)
            && let Some(party) = self.reader.party(&reader).map_err(|error| from_read(&error))?
        {
            self.admission.take_quota(&party, reading.events as usize)?;
        }
        self.propose_forwarded(&reading).await
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
            patient_commitment: None,
            registered_at: LeafIndex(0),
            vouches_for: [0; 3],
        }
    }

    #[test]
    fn a_reading_says_who_what_and_through_whom_and_names_no_patient() {
        let record = entries_read(&party("CNIL"), Some(&party("gateway")), 256, 100).expect("made").record;
        let parsed = ParsedRecord::parse(&record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, None));
        let message = parsed.message();
        let actor = message.actor.as_ref().expect("an actor");
        assert_eq!((actor.system.as_str(), actor.id.as_str()), (ACTOR_SYSTEM, "07".repeat(32).as_str()));
        assert_eq!(actor.label, "CNIL");
        let details: serde_json::Value = serde_json::from_str(&message.details).expect("JSON");
        assert_eq!(details, serde_json::json!({ "first": 256, "count": 100, "via": "gateway" }));
        let direct = entries_read(&party("CNIL"), None, 0, 1).expect("made").record;
        assert_ne!(direct.salt, record.salt);
        assert!(!String::from_utf8_lossy(&direct.record).contains("via"));
    }

    #[test]
    fn a_tag_of_nobody_leaves_a_line_under_none_and_is_otherwise_the_same() {
        let made =
            |tag: [u8; 32], is_on_record| trace_read(&party("DMP"), &tag, is_on_record, Read::Trace).expect("made");
        let (known, unknown) = (made([9; 32], true), made([9; 32], false));
        let tag = |reading: &Reading| ParsedRecord::parse(&reading.record.record).expect("canonical").tag().copied();
        assert_eq!((tag(&known), tag(&unknown)), (Some([9; 32]), None));
        assert_eq!((known.events, known.once), (unknown.events, unknown.once));
        assert_ne!(unknown.once, made([8; 32], false).once, "each tag has lines of its own");
    }

    #[test]
    fn who_looks_at_a_trace_stands_in_it_unless_it_is_the_patient() {
        let reading = trace_read(&party("DMP"), &[9; 32], true, Read::Rules).expect("made");
        let parsed = ParsedRecord::parse(&reading.record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, Some(&[9; 32])));
        assert_eq!(parsed.message().details, r#"{"for_s":60,"read":"rules"}"#);
        assert_eq!(reading.reader(), Some(party("DMP").author_id), "whose quota it counts in");
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
