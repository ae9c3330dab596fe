//! The web edge of a log: what is public, over plain HTTP, from any node. Holds no state.
//!
//! Where to start reading: [`answer`] says which path gives what, with which headers; [`log`] is the way to the nodes;
//! [`listen`] brings requests to it, over the connections of the crate `web`; [`serve`] puts it together.
//!
//! ```text
//! GET /checkpoint                      the newest checkpoint, a signed note (c2sp.org/tlog-checkpoint)
//! GET /tile/<L>/<N>[.p/<W>]            a hash tile (c2sp.org/tlog-tiles), for ever the same
//! GET /tile/entries/<N>[.p/<W>]        an entry bundle: auditors only, over mutual TLS, each on record in the log
//! GET /                                the page where patients verify a trace, on their own device
//! GET /verify.js                       the verifier of patient bundles, to run in a browser or in Node
//! GET /healthz                         whether a node answers
//! ```
//!
//! Invariants. Nothing here is believed: whoever reads a checkpoint verifies its signatures, and hash tiles against it.
//! Anything that isn't public leaves only on the listener with mutual TLS, for callers that the ledger knows as
//! auditors.

pub mod answer;
mod cache;
pub mod cli;
pub mod config;
pub mod listen;
pub mod log;
pub mod respond;
pub mod serve;
