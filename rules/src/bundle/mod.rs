//! The patient bundle, `.sillage-trace`: what a patient keeps, and checks without network against a policy
//! (`docs/formats.md` §10).
//!
//! Where to start reading: [`Bundle`] is what a file holds; `codec` reads and writes it, strictly; `verify` and
//! `entries` are the checks, in the order of the document; [`Report`] says what was proven; [`continues`] holds a delta
//! against the bundle that it follows.

mod chain;
mod codec;
mod entries;
mod error;
mod report;
mod verify;
mod wire;

pub use chain::{ChainError, continues};
pub use codec::is_bundle;
pub use error::{BundleError, EntryProblem, Problem, Section};
pub use report::{Cosigned, Cosigners, EntryReport, ErasedBy, Report, SinceReport, State};
pub use verify::{Freshness, Options};

use std::fmt;

use sillage_proof::hash::Hash;
use sillage_proof::keys::{PublicKey, SIGNATURE_LEN, StreamId};
use sillage_proof::note::SignedNote;
use sillage_proof::tag::{PatientTag, WhichTag};
use sillage_proof::vrf::PROOF_LEN;

use crate::index::BucketProof;
use crate::limits::SALT_BYTES;

/// A patient bundle, read but not verified. Holds identity and health data: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Section 1: the checkpoint.
    pub note: SignedNote,
    /// Section 2: entry 0.
    pub genesis: IncludedEntry,
    /// Section 3: the index commit.
    pub index_commit: IncludedEntry,
    /// Section 4: whose trace.
    pub identity: BundleIdentity,
    /// Section 5: the bucket of the patient index, and its path.
    pub bucket: BucketProof,
    /// Section 6: which of the patient's entries.
    pub range: Range,
    /// Section 7: who signed, in the order of their first use.
    pub authors: Vec<BundleAuthor>,
    /// Section 8: what they signed, in the order of their first use.
    pub batches: Vec<BundleBatch>,
    /// Section 9: the entries from `range.a` to `range.b` (exclusive).
    pub entries: Vec<BundleEntry>,
    /// Section 10: in a delta, what it continues.
    pub since: Option<Since>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle(of {} entries)", self.entries.len())
    }
}

/// An entry of the log and its inclusion in the checkpoint's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedEntry {
    /// Its bytes.
    pub entry: Vec<u8>,
    /// The audit path (RFC 6962 §2.1.1).
    pub path: Vec<Hash>,
}

/// The patient of the trace: the identity, its tag, and the proof that they belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct BundleIdentity {
    /// The 15 characters of the INS with its key.
    pub ins: String,
    /// The OID of its kind.
    pub oid: String,
    /// Which of the two traces.
    pub which_tag: WhichTag,
    /// The VRF proof (RFC 9381).
    pub proof: [u8; PROOF_LEN],
    /// The tag.
    pub tag: PatientTag,
}

/// Which of the patient's `n` entries the bundle holds, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// How many entries the patient has under the index commit.
    pub n: u64,
    /// The first one held, from 0.
    pub a: u64,
    /// Behind the last one held.
    pub b: u64,
    /// The root of the patient's tree.
    pub mth: Hash,
    /// The parts of the tree before `a`.
    pub before: Vec<Hash>,
    /// The parts of the tree from `b` on.
    pub after: Vec<Hash>,
}

impl Range {
    /// Of a patient without entries.
    pub fn empty() -> Self {
        let mth = sillage_proof::merkle::empty_root();
        Self { n: 0, a: 0, b: 0, mth, before: Vec::new(), after: Vec::new() }
    }
}

/// A key that signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleAuthor {
    /// The key by which signatures are checked.
    pub key: PublicKey,
    /// The name, as the node said it.
    pub name: String,
}

/// The message that an author signed: the fields of the batch message (`docs/formats.md` §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleBatch {
    /// Place in [`Bundle::authors`].
    pub author: u32,
    /// The author's stream.
    pub stream_id: StreamId,
    /// Number of the batch in its stream.
    pub seq: u64,
    /// How many records it has.
    pub count: u32,
    /// The root of the batch tree.
    pub root: Hash,
    /// Over the batch message.
    pub signature: [u8; SIGNATURE_LEN],
}

/// One of the patient's entries.
#[derive(Clone, PartialEq, Eq)]
pub struct BundleEntry {
    /// Its bytes.
    pub entry: Vec<u8>,
    /// The record, or the decision; `None` where it was erased.
    pub payload: Option<Payload>,
    /// Place in [`Bundle::batches`]; `None` for what the ledger made itself.
    pub batch: Option<u32>,
    /// The record's audit path in the batch tree.
    pub path: Vec<Hash>,
}

/// The content that an entry commits to, with its salts.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A record.
    Record {
        /// The salt.
        salt: [u8; SALT_BYTES],
        /// The record, as it was signed.
        record: Vec<u8>,
    },
    /// A decision of the ledger.
    Decision {
        /// The salts of the actor's part and of the private one.
        salts: [[u8; SALT_BYTES]; 2],
        /// The part that the actor may know (`sillage.v1.DecisionActorPart`).
        actor: Vec<u8>,
        /// The rest (`sillage.v1.DecisionPrivatePart`).
        private: Vec<u8>,
    },
}

/// The bundle that a delta continues: one of the checkpoint of `size` and `root`, with `a` entries of the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The size of the older checkpoint.
    pub size: u64,
    /// The root of the older checkpoint.
    pub root: Hash,
    /// How many entries the older bundle proved.
    pub a: u64,
    /// Consistency from that size to the checkpoint's.
    pub path: Vec<Hash>,
}
