//! The one door through which entries and records leave a node: who reads is on record before anything is given.
//!
//! ```text
//! handler ── Question ──▶ Core::disclose: quota ▸ up to date ▸ find ──▶ Withheld<T>  nobody outside can look into it
//!                                                              │ Subject
//!                                            put on record ◀───┘
//!                                                 │ OnRecord
//!                                  Withheld::release(&OnRecord) ──▶ Disclosed<T> ──▶ a response
//! ```
//!
//! The compiler holds every other way shut:
//!
//! - a ledger's entries and payloads are read with an [`EntryReader`], which only the owner of the ledger can make. The
//!   replica owns it; the reader that [`Core::start`] takes goes into [`Disclosing`], whose fields are private;
//! - a [`Question`] is handed an [`Access`] to find its answer. Only files of this folder can use one;
//! - a [`Withheld`] gives its answer for an [`OnRecord`] that covers it, and for nothing else. [`on_record`] alone makes those,
//!   of what it has put on record;
//! - a [`Disclosed`] becomes a response, and nothing else.
//!
//! An [`OnRecord`] may be kept: it stands for everything that the same reader reads within the same subject. So a stream of
//! entries is on record once ([`entries`]), and a session that shows many pages of one patient would be, too.
//!
//! A handler that asks through the door compiles:
//!
//! ```no_run
//! # use sillage_node::core::{Core, disclose::{Disclosed, Question}};
//! # use sillage_ledger::{Party, Refusal};
//! async fn handle<Q: Question>(core: &Core, caller: &Party, question: Q) -> Result<Disclosed<Q::Answer>, Refusal> {
//!     core.disclose(caller, question).await
//! }
//! ```
//!
//! One that looks at what is withheld, that finds an answer by itself, or that says that something is on record which isn't, doesn't:
//!
//! ```compile_fail,E0616
//! # use sillage_node::core::disclose::Withheld;
//! fn handle<T>(found: Withheld<T>) -> T {
//!     found.answer
//! }
//! ```
//! ```compile_fail,E0616
//! # use sillage_node::core::{Core, disclose::{Question, Withheld}};
//! # use sillage_ledger::{Party, Refusal};
//! fn handle<Q: Question>(core: &Core, caller: &Party, question: Q) -> Result<Withheld<Q::Answer>, Refusal> {
//!     question.find(&core.disclosing.access, caller)
//! }
//! ```
//! ```compile_fail,E0624
//! # use sillage_node::core::disclose::on_record::{OnRecord, Subject};
//! # use sillage_ledger::Party;
//! fn handle(caller: &Party) -> OnRecord {
//!     OnRecord::new(caller, Subject::Public)
//! }
//! ```
//! ```compile_fail,E0423
//! # use sillage_node::core::disclose::Disclosed;
//! fn handle<T>(answer: T) -> Disclosed<T> {
//!     Disclosed(answer)
//! }
//! ```
//!
//! Where to start reading: [`Core::disclose`]; then [`on_record`] for what a reading leaves; then one question, such as [`entry`].

pub mod account;
pub mod contests;
pub mod cursor;
pub mod devices;
mod disclosed;
pub mod entries;
pub mod entry;
pub mod glass;
pub mod on_record;
mod open;
pub mod patient;
pub mod rule_records;
pub mod tags;
pub mod trace;
pub mod voiding;

use std::sync::Arc;

use sillage_ledger::seal::{KekProvider, Sealer};
use sillage_ledger::{EntryReader, LedgerReader, Party, Refusal};
use sillage_proof::keys::AuthorId;
use sillage_rules::codes::Code;

use super::Core;
use super::bodies::{Bodies, Share};
use crate::quota::Quotas;
use crate::refusals::refuse;
use crate::tls::SpkiSha256;
use cursor::{CursorKeyError, Cursors};
use devices::Devices;
pub use disclosed::{Disclosed, Withheld};
use on_record::Subject;
use open::Opener;
use tags::Tags;

/// Streams of entries at once, over all callers.
const ENTRY_STREAMS_MAX: usize = 64;

/// Something that a caller wants to read. Whether the caller may ask it is for the handler to say.
pub trait Question: Send + 'static {
    /// The answer that is given.
    type Answer: Send + 'static;

    /// Rows that it looks at, at least. They are counted before anything is looked at.
    ///
    /// # Errors
    /// A question that can't be.
    fn rows(&self) -> Result<u64, Refusal>;

    /// Tells whether its reading leaves a line that the leader counts.
    fn leaves_a_line(&self, caller: &Party) -> bool;

    /// Says in this node's own log that the caller asks it, never of whom.
    fn tell(&self, caller: &Party);

    /// The subject that a refusal with this code tells of, where it tells something: then its reading is on record, too.
    fn told_by_refusal(&self, _code: Code) -> Option<Subject> {
        None
    }

    /// Of what a refusal tells that says how far something goes (`SIZE_NOT_REACHED`). Its reading is on record, too.
    fn bounded_by(&self) -> Option<Subject> {
        None
    }

    /// Finds the answer. Not for an async task.
    ///
    /// # Errors
    /// With the fault of the question; that the caller may not have this answer; a store that can't be read.
    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<Self::Answer>, Refusal>;
}

/// The tools with which a question finds its answer. Files of this folder alone can use it.
#[derive(Clone)]
pub struct Access {
    opener: Opener,
    cursors: Arc<Cursors>,
}

impl Access {
    fn entries(&self) -> &EntryReader {
        self.opener.entries()
    }
}

/// The tools of disclosing: first of all the only reader of entries and payloads. Its fields are used in this folder alone.
///
/// Locks: each of the two quotas, the room of the streams and the keys of the cursors have one, held for one look or one change.
pub(super) struct Disclosing {
    access: Access,
    /// Streams of entries under way, each taking room of one.
    entry_streams: Arc<Bodies>,
    /// Resolves identities.
    tags: Arc<Tags>,
    /// Identities resolved for each caller.
    lookups: Quotas<AuthorId>,
    /// Entries opened for each caller.
    opened: Quotas<AuthorId>,
}

impl Disclosing {
    /// Reads with `entries`, and opens with the keys of `sealer`. One caller may have so many streams of entries.
    pub(super) fn new(
        (entries, sealer): (EntryReader, Arc<Sealer>),
        cursors: Cursors,
        tags: Tags,
        streams_per_caller_max: usize,
    ) -> Self {
        let access = Access { opener: Opener::new(entries, sealer), cursors: Arc::new(cursors) };
        let entry_streams = Bodies::new(ENTRY_STREAMS_MAX, streams_per_caller_max);
        let (lookups, opened) = Default::default();
        Self { access, entry_streams, tags: Arc::new(tags), lookups, opened }
    }

    /// Tells whose device a party is.
    pub(super) fn devices(&self) -> Devices {
        Devices::of(self.access.opener.clone())
    }

    /// Follows the epochs of the key-encryption keys.
    ///
    /// # Errors
    /// When the keyring lacks a key.
    pub(super) fn renew_cursors(&self, keks: &impl KekProvider, reader: &LedgerReader) -> Result<(), CursorKeyError> {
        self.access.cursors.renew(keks, reader)
    }
}

/// A patient's tag, as it came in a request.
///
/// # Errors
/// `MALFORMED_REQUEST` when it isn't 32 bytes.
pub(crate) fn tag_of(bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    bytes.try_into().map_err(|_| Refusal::new(Code::MalformedRequest, "a tag is 32 bytes"))
}

impl Core {
    /// The part that resolves identities.
    pub fn tags(&self) -> Arc<Tags> {
        Arc::clone(&self.disclosing.tags)
    }

    /// Reads for a caller that may: counts the reading, finds the answer as of now, puts the reading on record, and only then
    /// gives the answer. It shows the log as it was before the reading.
    ///
    /// # Errors
    /// The caller is over its quota; the group has no leader; what the question says; or the reading isn't on record in
    /// time: then nothing is given.
    pub async fn disclose<Q: Question>(&self, caller: &Party, question: Q) -> Result<Disclosed<Q::Answer>, Refusal> {
        let found = self.find(caller, question).await?;
        let on_record = self.put_on_record(caller, found.subject()).await?;
        found.release(&on_record)
    }

    async fn find<Q: Question>(&self, caller: &Party, question: Q) -> Result<Withheld<Q::Answer>, Refusal> {
        let rows = question.rows()?;
        self.take_reading(caller, question.leaves_a_line(caller), rows)?;
        question.tell(caller);
        self.up_to_date().await?;
        let (access, party, bound) = (self.disclosing.access.clone(), caller.clone(), question.bounded_by());
        match self.read(move || question.find(&access, &party)).await {
            Ok(found) => {
                self.charge_rows(caller.author_id, found.rows(), rows);
                Ok(found)
            }
            Err(refusal) => {
                if let Some(subject) = bound.filter(|_| refusal.code == Code::SizeNotReached) {
                    let _on_record = self.put_on_record(caller, &subject).await?;
                }
                Err(refusal)
            }
        }
    }

    /// Room for one more stream of entries.
    ///
    /// # Errors
    /// `BUSY` when the caller, or the node, has as many as it may.
    pub fn take_entry_stream(&self, caller: SpkiSha256) -> Result<Share, Refusal> {
        let mut share = self.disclosing.entry_streams.share(caller);
        match share.more(1) {
            true => Ok(share),
            false => Err(refuse(Code::Busy)),
        }
    }
}
