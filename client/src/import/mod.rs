//! FHIR documents of other systems in: each is mapped, compared with what is on record, and recorded once.
//!
//! An [`Import`] is one run. It takes documents one by one, and works on a [`Recorder`], which lives longer than it: the recorder's
//! outbox is what tells, also years later, which documents are on record. The same documents again record nothing twice.
//!
//! ```no_run
//! # async fn example(session: &sillage_client::session::Session, json: Vec<u8>) -> Result<(), sillage_client::ClientError> {
//! use sillage_client::{author::Recorder, import::{Became, Import}};
//! use sillage_fhir::import::{PatientMap, source::Document};
//!
//! let mut recorder = Recorder::open(session, None).await?;
//! let server = "https://fhir.hospital.example";
//! let patients = PatientMap::empty(false).of_server(server);
//! let mut import = Import::new(session, &mut recorder, &patients, server);
//! import.take("the first one", Document::of_server(json, server)).await?;
//! import.flush().await?;
//! for outcome in import.outcomes() {
//!     match outcome.became {
//!         Became::OnRecord(on_record) => println!("{}: at no. {}", outcome.from, on_record.index),
//!         Became::Refused(refused) => println!("{}: {}", outcome.from, refused.error),
//!         Became::Skipped(why) => println!("{}: {why}", outcome.from),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Where to start reading: [`Import::take`], then `lookup` (what is on record already), `sending` (batches and their refusals),
//! `consents` and `withdrawals` (versions of one Consent), `rules` (what holds already).

mod chunk;
mod consents;
mod deletions;
mod known;
mod lookup;
mod outcome;
mod refusals;
mod rules;
mod sending;
mod servers;
mod withdrawals;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sillage_fhir::import::source::{Document, without_server};
use sillage_fhir::import::{Ends, FhirError, MappedRecord, PatientMap, map_among};
use sillage_rules::ident::{Checks, IdentError, Ins, Source as IdentSource};
use sillage_rules::limits::{BATCH_BYTES_MAX, SALT_BYTES};
use sillage_rules::record::check_time;

pub use outcome::{Became, Decided, OnRecord, Outcome, Refused, Remark, Skipped};
pub use refusals::is_of_one_record;

use self::chunk::{Line, What};
use self::consents::Withdrawn;
use self::deletions::{Deletions, ending};
use self::known::{Original, Seen};
use self::refusals::of_one_record;
use self::rules::InForce;
use crate::author::{Recorder, encode};
use crate::clock::now_ms;
use crate::error::ClientError;
use crate::session::Session;

/// Records of one batch.
const BATCH_RECORDS: usize = 1_000;

/// Numbers of groups that are no documents.
const PARTS_FROM: u64 = 1 << 62;

/// One run of an import. `F` says where a document is from, in the caller's words; it comes back with the outcome.
///
/// It is `Send`, keeps nothing outside of itself, and reads no file. Two runs at once need two recorders: a stream has one outbox.
/// Each outbox knows only what went through it, so one document has to go to the same stream each time.
///
/// In memory it holds the documents of one batch, and 100 bytes or so for each document of the run: a process that never ends makes
/// one run after the other, on the same recorder.
pub struct Import<'a, F> {
    session: &'a Session,
    recorder: &'a mut Recorder,
    checks: Checks,
    patients: &'a PatientMap,
    /// The server that documents are from which name none.
    source: String,
    /// Documents that were met in this run.
    seen: Seen,
    /// The last group of parts.
    groups: u64,
    /// Consents of this run that end what is on record of them.
    replaced: HashSet<u64>,
    /// Consents of this run that were withdrawn, by whose they are and their first id.
    withdrawn: HashMap<(String, String), Withdrawn>,
    /// Consents of this run that were deleted, where nothing said whose they were.
    deletions: Deletions,
    /// The rules that hold for the patients whose rules were met.
    in_force: InForce,
    /// Records of the next batch, at most: what comes after is looked at when they are on record.
    at_most: Option<usize>,
    chunk: Vec<Line<F>>,
    /// Documents so far.
    documents: u64,
    bytes: usize,
    outcomes: Vec<Outcome<F>>,
    remarks: Vec<Remark<F>>,
    /// The server was asked for: a name without one was met.
    is_server_asked: bool,
    /// The error that broke the run off.
    broken: Option<ClientError>,
}

impl<'a, F: Clone> Import<'a, F> {
    /// A run that begins. `source` is the base URL of the server that documents are from which name none (empty where it isn't
    /// known), and `patients` has to be the map of that server ([`PatientMap::of_server`]).
    pub fn new(
        session: &'a Session,
        recorder: &'a mut Recorder,
        patients: &'a PatientMap,
        source: impl Into<String>,
    ) -> Self {
        Self {
            session,
            recorder,
            checks: Checks { test_log: session.genesis.test_log, source: IdentSource::Import },
            patients,
            source: source.into(),
            seen: Seen::default(),
            groups: PARTS_FROM,
            replaced: HashSet::new(),
            withdrawn: HashMap::new(),
            deletions: Deletions::default(),
            in_force: InForce::default(),
            at_most: None,
            chunk: Vec::new(),
            documents: 0,
            bytes: 0,
            outcomes: Vec::new(),
            remarks: Vec::new(),
            is_server_asked: false,
            broken: None,
        }
    }

    /// Takes note of the deletions among documents that came together (one file, one Bundle), before they are handed in one by one:
    /// an older version of a Consent that was deleted since doesn't come into force, whatever their order. `from` says where
    /// they come from. If a name among them needs its server and nothing says it, there is a [`Remark::NoServer`], once in a run.
    pub fn announce(&mut self, from: &F, found: &[Document]) {
        if self.source.is_empty()
            && !self.is_server_asked
            && let Some(reference) = without_server(found)
        {
            self.remarks.push(Remark::NoServer { from: from.clone(), reference });
            self.is_server_asked = true;
        }
        self.deletions.of_file(found, &self.source);
    }

    /// Takes one document. Its outcome comes with this call or a later one, at the latest with [`Import::flush`].
    ///
    /// A document that can't be imported is an outcome and no error: the run goes on.
    ///
    /// # Errors
    /// Errors that break the run off: [`ClientError::Unavailable`] and [`ClientError::Quota`] when no node takes it now,
    /// [`ClientError::Rejected`] when the ledger refuses this author altogether, [`ClientError::File`] when the outbox can't be
    /// written. Outcomes until then stay true. The documents without one may be on record or not: hand them in again in a new run on
    /// the same recorder, which records them once. Every later call of this run gives the same error.
    pub async fn take(&mut self, from: F, document: Document) -> Result<(), ClientError> {
        self.unbroken()?;
        let taken = self.take_one(from, document).await;
        self.noted(taken)
    }

    /// Sends what is gathered. After it, each document that was handed in has its outcome.
    ///
    /// # Errors
    /// As for [`Import::take`].
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.unbroken()?;
        let sent = self.send_gathered().await;
        self.noted(sent)
    }

    /// The outcomes since the last call, in the order of the documents. Call it after an error too.
    pub fn outcomes(&mut self) -> Vec<Outcome<F>> {
        std::mem::take(&mut self.outcomes)
    }

    /// The remarks since the last call, in their order.
    pub fn remarks(&mut self) -> Vec<Remark<F>> {
        std::mem::take(&mut self.remarks)
    }

    fn unbroken(&self) -> Result<(), ClientError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn noted(&mut self, done: Result<(), ClientError>) -> Result<(), ClientError> {
        self.broken = done.as_ref().err().cloned();
        done
    }

    fn push(&mut self, from: F, what: What) {
        let document = self.documents;
        self.chunk.push(Line { from, document, group: None, original: None, parts: 1, what });
    }

    async fn take_one(&mut self, from: F, document: Document) -> Result<(), ClientError> {
        let (entry, full_url) = (document.entry, document.full_url);
        self.documents += 1;
        if document.is_old {
            self.push(from, What::Skipped(Skipped::Superseded));
            return Ok(());
        }
        // A document that came alone may name its server all the same.
        let source = match document.around.base() {
            "" => self.source.clone(),
            base => base.to_owned(),
        };
        let around = match document.around.base().is_empty() {
            true => document.around.at(&self.source),
            false => document.around,
        };
        let deleted = document.deleted;
        let mapped = document.json.map_err(Refused::from).and_then(|json| {
            let mut records = map_among(&json, self.patients, &around);
            if let Some(deleted) = &deleted {
                // Whatever the last version says: what counts is whose it was.
                records = ending(records, deleted, around.base(), entry);
            }
            let records = records?;
            records.iter().try_for_each(|record| self.check(&from, record))?;
            Ok((json, records))
        });
        let (json, records) = match mapped {
            Err(refused) => {
                deleted.iter().for_each(|deleted| self.deletions.note(deleted, &self.source));
                self.push(from, What::Refused(refused));
                return Ok(());
            }
            Ok(mapped) => mapped,
        };
        if let Some(mapped) = records.iter().find(|mapped| mapped.secret)
            && !self.may_know(mapped).await?
        {
            self.push(from, What::Refused(rules::may_not_know(mapped)));
            return Ok(());
        }
        let gone = self.deletions.refuse(&records, &json, around.base());
        if let Some(error) = gone.or_else(|| self.withdrawn_since(&records, &json)) {
            self.push(from, What::Refused(error.into()));
            return Ok(());
        }
        let withdrawn = records.first().is_some_and(|record| record.ends() == Some(Ends::Revoked));
        let whats = match withdrawn {
            true => self.withdraw(&records, &json).await?,
            false if records.is_empty() => vec![What::Skipped(Skipped::OwnTrace)],
            false if records.iter().any(rules::is_over) => vec![What::Skipped(Skipped::Over)],
            false => records.into_iter().map(|record| What::Record(Box::new((record, json.clone())))).collect(),
        };
        let original = Arc::new(Original::of(json, around, &full_url, &source));
        for what in whats {
            let (mut group, mut parts) = (None, 1);
            if let What::Record(boxed) = &what {
                let mapped = &boxed.0;
                self.bytes += mapped.record.original.as_ref().map_or(0, |o| o.content.len()) + 4_096 + SALT_BYTES;
                parts = mapped.part.count;
                self.groups += u64::from(mapped.part.n == 0);
                group = match mapped.is_of_consent() {
                    true => Some(self.documents),
                    false => (parts > 1).then_some(self.groups),
                };
            }
            self.push(from.clone(), what);
            let line = self.chunk.last_mut().expect("it was pushed");
            (line.group, line.parts, line.original) = (group, parts, Some(Arc::clone(&original)));
        }
        if self.chunk.len() >= BATCH_RECORDS || self.bytes > BATCH_BYTES_MAX / 2 {
            self.send_gathered().await?;
        }
        Ok(())
    }

    /// Tells whether who imports may write what is kept from representatives.
    async fn may_know(&self, mapped: &MappedRecord) -> Result<bool, ClientError> {
        let Some(patient) = &mapped.patient else { return Ok(true) };
        Ok(self.recorder.tags.both(&patient.ins, &patient.oid).await?.1.is_some())
    }

    /// Everything that can be known before the identity is resolved.
    fn check(&mut self, from: &F, mapped: &MappedRecord) -> Result<(), Refused> {
        if let Some(patient) = &mapped.patient {
            let path = if mapped.is_of_consent() { "Consent.patient" } else { "AuditEvent.entity" };
            let refused = |error: IdentError| {
                Refused::coded(FhirError::new(path, format!("{}: {error}", error.code())), error.code())
            };
            let (_, doubt) = Ins::check(&patient.ins, &patient.oid, self.checks).map_err(refused)?;
            if let Some(doubt) = doubt {
                self.remarks.push(Remark::DoubtfulIdentity { from: from.clone(), doubt: doubt.to_string() });
            }
        }
        let mut record = mapped.record.clone();
        record.tag = mapped.patient.iter().flat_map(|_| [0xff; 32]).collect();
        encode(record, 0).map_err(|error| refused_here(&error))?;
        check_time(mapped.record.occurred_at_ms, now_ms()).map_err(|error| {
            let said = format!("{}: {}", error.code, error.message);
            Refused::coded(FhirError::new(mapped.time_path, said), error.code)
        })
    }

    /// A batch of a run that broke off may be on record: until that is certain, nobody knows which documents are.
    async fn settle(&mut self) -> Result<(), ClientError> {
        match self.recorder.settle().await {
            // Nothing of it is on record, and its documents are answered one by one when they come again.
            Err(ClientError::Rejected(rejection)) if of_one_record(&rejection.code).is_some() => Ok(()),
            settled => settled.map(drop),
        }
    }

    /// Sends what is gathered, and answers it.
    async fn send_gathered(&mut self) -> Result<(), ClientError> {
        self.settle().await?;
        let mut todo = self.unknown().await?;
        let mut ended: BTreeMap<u64, u64> = BTreeMap::new();
        for waiting in &todo {
            let What::Record(boxed) = &self.chunk[waiting.line].what else { continue };
            let since = self.in_force.ended_since(self.session, &self.recorder.tags, &boxed.0).await?;
            if let Some((group, by)) = waiting.group.zip(since) {
                ended.entry(group).or_insert(by);
            }
        }
        for (group, by) in ended {
            let (group, rest): (Vec<_>, Vec<_>) = todo.into_iter().partition(|waiting| waiting.group == Some(group));
            todo = rest;
            self.refuse_all(&group, rules::ended_here(by));
        }
        todo = self.of_other_servers(todo).await?;
        while !todo.is_empty() {
            todo = self.send(todo).await?;
        }
        self.in_force.forget();
        self.answer_the_same();
        // What a replaced Consent ended stands with it.
        self.chunk.sort_by_key(|line| line.document);
        self.outcomes.extend(self.chunk.drain(..).filter_map(Line::into_outcome));
        self.bytes = 0;
        Ok(())
    }
}

/// The refusal of a record that an author may not submit, whatever is on record.
fn refused_here(error: &ClientError) -> Refused {
    let code = match error {
        ClientError::Rejected(rejection) => Some(rejection.code.clone()),
        _ => None,
    };
    Refused { error: FhirError::new("", error.to_string()), code }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service runs imports on tasks of its own.
    fn is_send<T: Send>(_: &T) {}

    #[allow(dead_code, reason = "the compiler checks it; nothing runs it")]
    fn a_run_goes_from_thread_to_thread(import: &mut Import<'_, u64>, document: Document) {
        is_send(import);
        is_send(&import.take(1, document));
        is_send(&import.flush());
    }
}
