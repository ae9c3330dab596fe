//! That someone reads is on record before anything is given: `log.consulted`, made by the ledger itself.
//!
//! Where entries are read, the record names a service and a range of entries. Where one patient's trace is read by anyone
//! but that patient, it stands in that trace, so that the patient sees who looked. It never names a person: it is public by
//! nature. Its actor is of the system [`ACTOR_SYSTEM`], the id is the author id in hexadecimal; its details say what was
//! read, and in `via` which gateway asked, where it was one. A record may be proposed twice when a leader is lost: what was
//! read is then on record twice, which harms nobody; the other way round it would.
//!
//! In a trace there is one line for each reader and minute: `for_s` says that it stands for all that this party read of the
//! patient in the seconds from its own time on, of which `read` is what came first ([`crate::core::submitting::lines`]). A tag under which
//! nothing is on record may be no patient's at all: its line is made and counted in the same way, but stands under no tag, so
//! that nobody fills the index of patients by asking.
//!
//! A portal reads under an open session of a patient (`docs/formats-doors.md`): the entry that opened it tells of all that it reads.
//!
//! Only this file makes an [`OnRecord`]: what needs no record, and why, is said here too.

use std::collections::BTreeSet;
use std::ops::Range;

use sillage_ledger::{CommandOutcome, Party, Refusal};
use sillage_proof::LeafIndex;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::AuthorId;
use sillage_proto::internal::v1::{LedgerRecord, RecordRequest};
use sillage_proto::v1::{Actor, Automated};
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::roles::Roles;
use tonic::Status;

use super::devices::is_patient_itself;
use crate::core::submitting::lanes::Work;
use crate::core::submitting::lines::LINE_MS;
use crate::core::submitting::proposal::{Forwarded, Proposal, forwarded};
use crate::core::{Core, now_ms};
use crate::peer::links::Client;
use crate::refusals::{from_read, refuse, unavailable};

/// The identifier system of a party of the ledger: its ids are author ids (`docs/formats.md` §1).
pub const ACTOR_SYSTEM: &str = "urn:sillage:author";

/// Entries that may be nothing but records of readings: what a reader left that looked a moment ago.
const READINGS_LOOKED_AT: u64 = 64;

/// The part of the log that an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Something of one patient's trace.
    Patient([u8; 32], TracePart),
    /// A page of the register of broken glass, with something of these patients on it.
    Register(BTreeSet<[u8; 32]>),
    /// Entries, by their indices.
    Entries(Range<u64>),
    /// Content that the reader recorded itself, or was asked, or that is public by nature.
    Public,
}

/// That a reading is on record, or needs to be on none: what lets an answer out ([`super::Withheld`]).
///
/// It stands for all that its reader reads within its subject, for as long as it is kept: a stream of entries keeps the one
/// that it began with for all its messages, and so does a session that shows one patient page by page.
#[derive(Debug)]
#[must_use = "without it nothing is given"]
pub struct OnRecord {
    reader: AuthorId,
    subject: Subject,
}

impl OnRecord {
    /// Only what has just been put on record, or needn't be, may be said to be.
    fn new(reader: &Party, subject: Subject) -> Self {
        Self { reader: reader.author_id, subject }
    }

    /// Tells whether it stands for a reading of `subject` by `reader`.
    pub(super) fn covers(&self, reader: AuthorId, subject: &Subject) -> bool {
        let is_within = match (&self.subject, subject) {
            (_, Subject::Public) => true,
            // The line names what came first, and stands for all.
            (Subject::Patient(own, _), Subject::Patient(tag, _)) => own == tag,
            (Subject::Register(own), Subject::Register(tags)) => tags.is_subset(own),
            (Subject::Entries(own), Subject::Entries(part)) => own.start <= part.start && part.end <= own.end,
            _ => false,
        };
        self.reader == reader && is_within
    }
}

/// The part of a patient's trace that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracePart {
    /// A page of it.
    Trace,
    /// The patient's place in the index, with the proof.
    Proof,
    /// Entries with what leads to their authors.
    Entries,
    /// The rules on the patient's data.
    Rules,
    /// A page of the register of broken glass, with something of the patient on it.
    BreakGlass,
}

impl TracePart {
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

/// The record that `reader` reads these entries, through the gateway `via` where it is one.
fn entries_read(reader: &Party, via: Option<&Party>, range: &Range<u64>) -> Result<Reading, Refusal> {
    let count = range.end.saturating_sub(range.start);
    let mut details = serde_json::json!({ "first": range.start, "count": count });
    if let Some(via) = via {
        details["via"] = via.name.clone().into();
    }
    Ok(Reading { record: consulted(reader, None, &details)?, events: 1, once: None })
}

/// The record that `reader` reads the register of broken glass, where it stands for that many patients.
fn register_read(reader: &Party, patients: usize) -> Result<Reading, Refusal> {
    let events = u32::try_from(patients + 1).unwrap_or(u32::MAX);
    let record = consulted(reader, None, &serde_json::json!({ "read": TracePart::BreakGlass.token() }))?;
    Ok(Reading { record, events, once: None })
}

/// The record that `reader` reads of the trace of a patient, in which it will stand, if that is one of this log.
fn trace_read(reader: &Party, tag: &[u8; 32], is_on_record: bool, what: TracePart) -> Result<Reading, Refusal> {
    let details = serde_json::json!({ "read": what.token(), "for_s": LINE_MS / 1_000 });
    let record = consulted(reader, is_on_record.then_some(tag), &details)?;
    let once = sha256(&[b"sillage/line/v1\0", reader.author_id.as_bytes(), tag]).to_bytes();
    Ok(Reading { record, events: 1, once: Some(once) })
}

/// The record of the first reading of a patient's own device: it names no party, as the same one under both tags would tell that
/// they are one patient's. `mark` stands for it, to whoever can open the record that told of the device.
fn first_read(tag: &[u8; 32], mark: Hash, what: TracePart) -> Result<Reading, Refusal> {
    let details = serde_json::json!({ "read": what.token(), "device": mark });
    let once = sha256(&[b"sillage/line/v1\0", mark.as_bytes(), tag]).to_bytes();
    Ok(Reading { record: record_of(None, Some(tag), &details)?, events: 1, once: Some(once) })
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

    /// The reader.
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

    async fn done(&self, _core: &Core, outcome: CommandOutcome) -> Result<LeafIndex, Refusal> {
        match outcome {
            CommandOutcome::LedgerRecord { index } => Ok(index),
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
    /// Puts on record that a party reads `subject`: after what it reads was found, so that it shows the log as it was before, and
    /// before any of it is given.
    ///
    /// # Errors
    /// When it isn't on record in time, or over the quota.
    pub(super) async fn put_on_record(&self, reader: &Party, subject: &Subject) -> Result<OnRecord, Refusal> {
        match subject {
            Subject::Patient(tag, what) => self.put_patient(reader, tag, *what).await?,
            Subject::Register(tags) => self.put_register(reader, tags).await?,
            Subject::Entries(range) => {
                self.put(entries_read(reader, None, range)?).await?;
            }
            Subject::Public => {}
        }
        Ok(OnRecord::new(reader, subject.clone()))
    }

    /// Puts on record that a party, through the gateway `via` where it is one, reads these entries, unless they tell of readings
    /// alone.
    ///
    /// # Errors
    /// As [`Core::put_on_record`].
    pub(super) async fn put_entries_on_record(
        &self,
        reader: &Party,
        via: Option<&Party>,
        range: Range<u64>,
    ) -> Result<OnRecord, Refusal> {
        let Range { start: first, end } = range;
        match self.tells_of_readings_alone(first, end).await? {
            // Else an auditor that follows would read its own reading for ever, and fill an idle log.
            true => {
                tracing::info!(target: "audit", caller = %reader.author_id, first, end, "records of readings are read")
            }
            false => {
                let index = self.put(entries_read(reader, via, &range)?).await?;
                tracing::info!(target: "audit", caller = %reader.author_id, first, end, %index, "entries are read");
            }
        }
        Ok(OnRecord::new(reader, Subject::Entries(range)))
    }

    /// Tells whether these entries are few, and nothing but index commits and records that entries were read, which concern no
    /// patient.
    async fn tells_of_readings_alone(&self, first: u64, end: u64) -> Result<bool, Refusal> {
        if end.saturating_sub(first) > READINGS_LOOKED_AT {
            return Ok(false);
        }
        let entries = self.disclosing.access.entries().clone();
        let all = move || {
            for index in first..end {
                let entry = entries.decoded_entry(LeafIndex(index)).map_err(|error| from_read(&error))?;
                let is_reading = match entry {
                    Some(Entry::IndexCommit(_)) => true,
                    Some(Entry::Record(entry)) => entry.kind == Kind::LOG_CONSULTED && entry.tag == [0; 32],
                    _ => false,
                };
                if !is_reading {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        self.read(all).await
    }

    /// Brings the record of a reading to the leader, which counts it in the reader's quota; when this returns, it is
    /// committed and the leader has applied it. Many that wait are put into one Raft entry.
    async fn put(&self, reading: Reading) -> Result<LeafIndex, Refusal> {
        if self.config.isolated {
            // A copy can't grow. Whoever keeps it answers for who reads it.
            let reader = reading.reader().map(|reader| reader.to_string());
            tracing::warn!(target: "audit", reader, "an isolated copy is read, and that can't be put on record");
            return Ok(LeafIndex(self.reader.tree_size().get().saturating_sub(1)));
        }
        self.propose(&reading).await
    }

    /// That a party has read of a patient's trace, unless it is that patient and hasn't done so for the first time with this
    /// device.
    async fn put_patient(&self, reader: &Party, tag: &[u8; 32], what: TracePart) -> Result<(), Refusal> {
        if !reader.roles.contains(Roles::READER) && self.is_in_session(reader, tag).await? {
            // A session is on record once, where it was opened: not once a page.
            return Ok(());
        }
        if !is_patient_itself(reader, tag) {
            let is_on_record = self.reader.is_on_record(tag).map_err(|error| from_read(&error))?;
            self.put(trace_read(reader, tag, is_on_record, what)?).await?;
        } else if let Some(mark) = self.first_reading(reader, tag)? {
            self.put(first_read(tag, mark, what)?).await?;
        }
        Ok(())
    }

    /// That a party has read the register of broken glass, also in the trace of each patient that was on the page.
    async fn put_register(&self, reader: &Party, tags: &BTreeSet<[u8; 32]>) -> Result<(), Refusal> {
        self.submitting.charge_quota(reader, tags.len());
        // Where another node leads, it counts all of it with this one.
        self.put(register_read(reader, tags.len())?).await?;
        let lines = tags.iter().map(|tag| async move {
            let is_on_record = self.reader.is_on_record(tag).map_err(|error| from_read(&error))?;
            let line = trace_read(reader, tag, is_on_record, TracePart::BreakGlass)?;
            self.put(Reading { events: 0, ..line }).await
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
            self.submitting.take_quota(&party, reading.events as usize)?;
        }
        self.propose_forwarded(&reading).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disclosed, Withheld};
    use super::*;

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
        let record = entries_read(&party("CNIL"), Some(&party("gateway")), &(256..356)).expect("made").record;
        let parsed = ParsedRecord::parse(&record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, None));
        let message = parsed.message();
        let actor = message.actor.as_ref().expect("an actor");
        assert_eq!((actor.system.as_str(), actor.id.as_str()), (ACTOR_SYSTEM, "07".repeat(32).as_str()));
        assert_eq!(actor.label, "CNIL");
        let details: serde_json::Value = serde_json::from_str(&message.details).expect("JSON");
        assert_eq!(details, serde_json::json!({ "first": 256, "count": 100, "via": "gateway" }));
        let direct = entries_read(&party("CNIL"), None, &(0..1)).expect("made").record;
        assert_ne!(direct.salt, record.salt);
        assert!(!String::from_utf8_lossy(&direct.record).contains("via"));
    }

    #[test]
    fn a_session_that_is_on_record_gives_every_page_of_its_patient_to_its_reader_and_nothing_else() {
        let (reader, other) = (party("DMP"), Party { author_id: AuthorId::from([8; 32]), ..party("DMP") });
        let page = |reader: &Party, subject: Subject| Withheld::new("a page", reader, 1, subject);
        let session = OnRecord::new(&reader, Subject::Patient([9; 32], TracePart::Trace));
        for what in [TracePart::Trace, TracePart::Rules, TracePart::Trace] {
            let given = page(&reader, Subject::Patient([9; 32], what)).release(&session).map(Disclosed::into_response);
            assert_eq!(given.expect("it is on record").into_inner(), "a page");
        }
        let refused =
            |reader: &Party, subject: Subject| page(reader, subject).release(&session).err().map(|it| it.code);
        for subject in [
            Subject::Patient([8; 32], TracePart::Trace),
            Subject::Register(BTreeSet::from([[9; 32]])),
            Subject::Entries(0..1),
        ] {
            assert_eq!(refused(&reader, subject.clone()), Some(Code::Internal), "{subject:?}");
        }
        assert_eq!(
            refused(&other, Subject::Patient([9; 32], TracePart::Trace)),
            Some(Code::Internal),
            "another reader"
        );
        assert_eq!(refused(&reader, Subject::Public), None);
    }

    #[test]
    fn entries_on_record_cover_each_part_of_them_and_no_entry_beyond() {
        let reader = party("CNIL");
        let on_record = OnRecord::new(&reader, Subject::Entries(10..20));
        let covers = |range| on_record.covers(reader.author_id, &Subject::Entries(range));
        assert!(covers(10..20) && covers(12..13));
        assert!(!covers(9..11) && !covers(19..21));
    }

    #[test]
    fn a_tag_of_nobody_leaves_a_line_under_none_and_is_otherwise_the_same() {
        let made = |tag: [u8; 32], is_on_record| {
            trace_read(&party("DMP"), &tag, is_on_record, TracePart::Trace).expect("made")
        };
        let (known, unknown) = (made([9; 32], true), made([9; 32], false));
        let tag = |reading: &Reading| ParsedRecord::parse(&reading.record.record).expect("canonical").tag().copied();
        assert_eq!((tag(&known), tag(&unknown)), (Some([9; 32]), None));
        assert_eq!((known.events, known.once), (unknown.events, unknown.once));
        assert_ne!(unknown.once, made([8; 32], false).once, "each tag has lines of its own");
    }

    #[test]
    fn who_looks_at_a_trace_stands_in_it() {
        let reading = trace_read(&party("DMP"), &[9; 32], true, TracePart::Rules).expect("made");
        let parsed = ParsedRecord::parse(&reading.record.record).expect("canonical");
        assert_eq!((parsed.kind(), parsed.tag()), (Kind::LOG_CONSULTED, Some(&[9; 32])));
        assert_eq!(parsed.message().details, r#"{"for_s":60,"read":"rules"}"#);
        assert_eq!(reading.reader(), Some(party("DMP").author_id), "whose quota it counts in");
    }
}
