//! FHIR R4, both ways: audit events and consents of other systems become records, and a trace becomes a Bundle or a table.
//!
//! This crate opens no file and no connection: it takes bytes and gives records, or takes a trace and gives JSON or CSV.
//! `docs/fhir.md` has the tables.
//!
//! Where to start reading: [`import`], from documents to records; [`export`], from a trace to a Bundle; [`csv`], the same trace
//! for spreadsheets; [`xml`], FHIR in XML to JSON and back.

pub mod csv;
pub mod export;
#[doc(hidden)]
pub mod fuzz;
pub mod import;
pub mod xml;
