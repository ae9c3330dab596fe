//! How replicas agree.
//!
//! This crate replicates opaque proposals over a group of nodes with the Raft algorithm (crate `raft`), and feeds
//! them, in one order, to a [`StateMachine`]. It knows nothing of what a proposal means, of sockets or of RocksDB.
//!
//! Where to start reading:
//!
//! - [`machine`]: the two traits that a node provides, the state machine and the transport;
//! - [`core`]: the algorithm without I/O, clocks or threads: inputs go in, [`core::Actions`] come out. The simulator
//!   drives exactly this;
//! - [`identity`]: which disk this is, and which of its starts: what a vote and an acknowledgement are promises of;
//! - [`begin`]: the beginning of a run, which notes it on the disk before anything is sent;
//! - [`log`]: the durable Raft log, CRC'd segments over a small disk trait;
//! - [`snapshot`]: the manifest of a snapshot and the checks on its files;
//! - [`runtime`]: the threads around the core: Raft, log writer, apply, snapshots, and the [`Handle`] to talk to them.
//!
//! Invariants. Only the Raft thread touches the core, and it never does I/O and never waits for another thread. No
//! message that promises something leaves before the promise is on disk. A failed write or fsync ends the process:
//! after one, nobody knows what the disk holds.

#![deny(missing_docs)]

pub mod begin;
pub mod config;
pub mod core;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
pub mod log;
pub mod machine;
pub mod runtime;
pub mod snapshot;
mod trace;

pub use core::sender_of;

pub use config::{CoreConfig, LogConfig, NodeConfig};
pub use core::{MemberChange, Members, MembersRefused};
pub use identity::{DiskClaim, DiskRun};
pub use machine::{Committed, Fatal, FetchError, StateMachine, Transport};
pub use runtime::{Handle, MembersError, ProposeError, ReadError, Runtime, StartError, Status, start};
