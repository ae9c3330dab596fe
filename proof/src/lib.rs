//! Everything that anyone can check: hashing, Merkle proofs, signatures, signed notes, checkpoints, patient tags.
//!
//! The crate is pure: no I/O, no clock, no threads, no async. An auditor, a browser and a court expert run exactly the
//! code that the ledger runs. Every `verify`, `parse` and `decode` takes bytes from strangers: none panics, and the
//! work of each is bounded by the length of its input.
//!
//! Where to start reading:
//!
//! - [`hash`]: the only place that hashes tree nodes, many at a time;
//! - [`keys`]: key, author and stream ids, signing, and the only signature verification ([`keys::PublicKey::verify`]);
//! - [`merkle`]: RFC 6962 roots, inclusion and consistency proofs; [`range`]: proofs of many leaves in a row;
//!   [`tile`]: the same tree as C2SP tiles;
//! - [`batch`]: what an author signs (batch tree and batch message) and what a node answers (receipt message);
//! - [`note`], [`checkpoint`], [`policy`], [`tlog_proof`]: the C2SP formats that strangers' tools read and write;
//! - [`vrf`] and [`tag`]: the names that patients have in the log.
//!
//! [`fuzz`] holds a target for every parser.

pub mod batch;
pub mod checkpoint;
#[doc(hidden)]
pub mod fuzz;
pub mod hash;
pub mod keys;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod range;
pub mod tag;
pub mod tile;
pub mod tlog_proof;
pub mod vrf;

pub use hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize};
