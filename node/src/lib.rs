//! The server: ledger and cluster wired together behind two ports.
//!
//! Where to start reading:
//!
//! - [`serve`]: the start and the stop of a node, from configuration to listeners;
//! - [`config`]: what stands in `node.toml`; [`secrets`]: the keys that it points to;
//! - [`core`]: from a batch at the door to entries in the log; [`service`]: what parties and other nodes call; [`peer`]: how a node
//!   calls the others;
//! - [`refusals`]: refusals as statuses; [`quota`]: how much a party may ask for;
//! - [`tls`]: who may connect, and how many; [`http`]: `/metrics` and `/healthz`;
//! - [`telemetry`] and [`metrics`]: what a node says of itself, never anything of a patient;
//! - [`disk`]: which disk this node is on, and that nothing begins twice; [`folder_lock`]: one process for a folder; [`place`]: that a copy reaches nobody by accident; [`join`]: how a new member begins;
//! - [`init`]: how a deployment's files are made; [`dev`]: a whole test log in one command; [`cli`]: both on the
//!   command line.
//!
//! Its modules stand in layers: {`config`, `metrics`} ← `tls` ← `peer` ← {`init`, `secrets`, `join`} ← `core` ← `service` ← `serve`.
//! [`core`] hands what it knows to [`http`] and to [`tls`] by traits of theirs ([`http::Backend`], [`tls::reserve::UsedUp`]).

pub mod cli;
pub mod config;
pub mod core;
pub mod dev;
pub mod disk;
pub mod folder_lock;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod init;
pub mod join;
pub mod metrics;
pub mod peer;
pub mod pid;
pub mod place;
pub mod quota;
#[cfg(test)]
mod reference_tests;
pub mod refusals;
pub mod secrets;
pub mod serve;
pub mod service;
pub mod telemetry;
pub mod tls;
