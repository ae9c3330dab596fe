//! The server: ledger and cluster wired together behind two ports.
//!
//! Where to start reading:
//!
//! - [`serve`]: the start and the stop of a node, from configuration to listeners;
//! - [`config`]: what stands in `node.toml`; [`init`]: how a deployment's files are made; [`dev`]: a whole test log in
//!   one command;
//! - [`tls`]: who may connect, and how many; [`http`]: `/metrics` and `/healthz`;
//! - [`telemetry`] and [`metrics`]: what a node says of itself, never anything of a patient.
pub mod config;
