//! What is true: the deterministic state machine of the ledger, on RocksDB.
//!
//! It takes commands in one order, each under an (index, term), and turns them into entries of the log, the patients'
//! index, sealed payloads, streams and registered keys. The same commands give the same bytes and the same root on
//! every node: nothing here reads a clock, draws a random number or depends on the order of a hash map while applying.
//! How the order comes about isn't known here.
//!
//! Where to start reading:
//!
//! - [`Ledger`]: open, apply, flush, checkpoint, install; [`LedgerReader`]: everything that can be asked of it;
//! - `apply`: what one command does, batch by batch; `index`: the patients' index and its commits;
//! - `node_sets`: which nodes there are, and whose signatures count;
//! - `consent`: what decides, kept beside the log;
//! - `voids`: what was voided, and counts no longer;
//! - `schema`: what is stored under which key;
//! - `store`: the folders on disk and the switch from one database to the next;
//! - [`seal`]: key-encryption keys, data keys, sealed payloads.
//!
//! RocksDB runs without its own write-ahead log: the log of commands is that log, and may be dropped only below
//! [`Ledger::flushed`].

mod apply;
mod batches;
mod cache;
mod consent;
mod devices;
mod erasing;
mod error;
mod flush;
#[doc(hidden)]
pub mod fuzz;
mod genesis;
mod index;
mod ledger;
mod node_sets;
mod options;
mod patients;
mod reader;
mod rows;
mod schema;
pub mod seal;
mod shared;
mod stats;
mod store;
mod trace;
mod tree;
mod verified;
mod voids;

pub use apply::clock::{CLOCKS, ClockVoters, FEATURE_LEVEL};
pub use apply::daily::NearLimit;
pub use apply::feature::{CLAIMS, ROLES, check_act, check_given_out, check_kind, check_tags_hidden};
pub use apply::signing::Rotation;
pub use apply::{BatchOutcome, COMMAND_VERSION, Decided, MadeDecision, command_version_max};
pub use batches::{BatchFault, BatchPath, BatchVerifier, Headers};
pub use consent::{BreakGlass, DocumentsAt, GlassFilter, RuleRow};
pub use erasing::{EPOCHS_AHEAD_MAX, Erasure, KekEpochs, OpenErasure};
pub use error::{Fatal, OpenError, ReadError, Refusal};
pub use genesis::{GenesisError, GenesisInfo, NodeInfo};
pub use ledger::Ledger;
pub use node_sets::NodeSetRecord;
pub use options::Options;
#[cfg(feature = "plants")]
pub use options::Plants;
pub use patients::PatientProof;
pub use reader::{Head, LedgerReader};
pub use rows::{KeyInfo, KeyState, Party, StreamInfo};
pub use stats::{ApplyStats, StageTimes};
pub use trace::{TraceRow, TraceScan};
pub use verified::Verified;
pub use voids::{ReviewGround, VoidedDecision, VoidedRange, VoidingPart};
