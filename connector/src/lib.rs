//! The establishment's door: FHIR R4, syslog and HL7 v2 in, signed batches out, and nothing lost between.
//!
//! ```text
//! HTTP (http, rest)  ┐
//! syslog over TLS    ├─▶ intake: map it, or say why not ─▶ spool (fsync) ─▶ recorder ─▶ SDK: outbox ─▶ any node
//! HL7 v2 over MLLP   ┘          └─▶ quarantine                                └─▶ index: what was recorded, and where
//! ```
//!
//! Where to start reading: [`arrival`] says what doors hand in and are told; [`intake`] is what every door calls; [`spool`] says
//! why nothing is lost; [`recorder`] how it goes on record, once; [`index`] where it is found.

pub mod adt;
pub mod arrival;
pub mod cli;
pub mod config;
pub mod connector;
pub mod doors;
pub mod emergency;
pub mod feed;
#[doc(hidden)]
pub mod fuzz;
pub mod heartbeat;
pub mod http;
pub mod identifiers;
pub mod index;
pub mod init;
pub mod intake;
pub mod ledger;
pub mod mapping;
pub mod quarantine;
pub mod recorder;
pub mod report;
pub mod rest;
pub mod retry;
pub mod serve;
pub mod spool;
pub mod syslog;
