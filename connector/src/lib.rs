//! The establishment's door: FHIR R4, syslog and HL7 v2 in, signed batches out, and nothing lost between.
//!
//! ```text
//! HTTP (http, rest)  ┐
//! syslog over TLS    ├─▶ intake: map it, or say why not ─▶ spool (fsync) ─▶ recorder ─▶ SDK: outbox ─▶ any node
//! HL7 v2 over MLLP   ┘          └─▶ quarantine                                └─▶ index: what was recorded, and where
//! ```
//!
//! Where to start reading: [`intake`], which every door calls.

pub mod intake;
