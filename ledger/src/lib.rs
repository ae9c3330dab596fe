//! The deterministic state machine of the ledger, on RocksDB.
//!
//! It takes commands in one order, each under an (index, term), and turns them into entries of the log, the patients'
//! index, sealed payloads, streams and registered keys. The same commands give the same bytes and the same root on
//! every node: nothing here reads a clock, draws a random number or depends on the order of a hash map while applying.
//! How the order comes about isn't known here.
//!
//! It is built in layers. What lies higher imports what lies lower, never the other way round, and `cargo xtask tidy` fails
//! on a circle. From the bottom:
//!
//! 1. `schema`: what is stored under which key; `rows`: what stands there; `error`, `feature`, `genesis`, `nodes` (which nodes
//!    there are, and whose signatures and clocks count); `store`: the folders on disk and the database in them;
//! 2. `overlay`: what is stored, with what the present command has changed of it: of erasures and of voided records too;
//! 3. `envelope`: key-encryption keys, data keys and their layouts; `consent`: what decides, kept beside the log; `index`:
//!    the patients' index and its commits; `shared`: what the thread that applies shows to all others;
//! 4. `apply`: what one command does, batch by batch;
//! 5. `reader`: the state, the registry and the proofs ([`LedgerReader`]);
//! 6. [`seal`]: sealing before a command is proposed, opening for whoever may read; `entries`: reading of what concerns someone,
//!    for whoever was given the right ([`EntryReader`]); `ledger`: open, apply, flush, checkpoint, install ([`Ledger`]). Start
//!    reading here.
//!
//! RocksDB runs without its own write-ahead log: the log of commands is that log, and may be dropped only below
//! [`Ledger::flushed`].

mod apply;
mod cache;
mod consent;
mod entries;
mod envelope;
mod error;
mod feature;
mod flush;
#[doc(hidden)]
pub mod fuzz;
mod genesis;
mod index;
mod ledger;
mod levels;
mod nodes;
mod options;
mod overlay;
mod reader;
mod rows;
mod schema;
pub mod seal;
mod shared;
mod stats;
mod store;
mod tree;
mod verified;

pub use apply::{COMMAND_VERSION, CommandOutcome, Decided, MadeDecision, command_version_max};
pub use consent::BreakGlass;
pub use entries::{EntryReader, PublicEntry};
pub use error::{Fatal, GenesisError, OpenError, ReadError, Refusal};
pub use feature::{
    CLAIMS, CLOCKS, DOORS, FEATURE_LEVEL, ROLES, check_act, check_given_out, check_kind, check_tags_hidden,
};
pub use genesis::{GenesisInfo, NodeInfo};
pub use ledger::Ledger;
pub use nodes::{ClockVoters, NodeSetRecord, Rotation};
pub use options::Options;
#[cfg(feature = "plants")]
pub use options::Plants;
pub use overlay::erasing::{EPOCHS_AHEAD_MAX, Erasure, KekEpochs, OpenErasure};
pub use overlay::voids::{ReviewGround, VoidedDecision, VoidedRange};
pub use reader::{
    BatchFault, BatchPath, BatchVerifier, Contest, ContestsPage, DocumentsAt, GlassFilter, Head, Headers, LedgerReader,
    NearLimit, PatientProof, RuleRow, SourceStatus, SourcesPage, TraceRow, TraceScan, VoidingPart,
};
pub use rows::{KeyInfo, KeyState, Party, StreamInfo};
pub use stats::{ApplyStats, StageTimes};
pub use verified::Verified;
