//! Admissions, transfers and discharges: they keep care teams right without typing.
//!
//! ```text
//! MLLP over TLS ─▶ mllp (frames) ─▶ hl7 (a message of HL7 v2.3 to 2.5) ─▶ records, by `adt.toml` ─▶ a `Feed` ─▶ ACK
//! ```
//!
//! | event | becomes |
//! | --- | --- |
//! | A01 admission, A04 registration, A08 update, A13 discharge taken back | the professionals of the visit join: `careteam.joined`, with `origin` and `until` |
//! | A02 transfer, A12 transfer taken back | they join under the ward where the patient is now; those of the ward before leave where the mapping names them |
//! | A03 discharge, A11 admission taken back | the professionals whom the message names leave: `careteam.left` |
//! | any other | nothing; it is acknowledged |
//!
//! A membership ends by itself (`days`), so a discharge that never comes leaves nobody in a care team for ever. A FHIR Encounter says
//! the same ([`encounter`]), through the REST door.
//!
//! An acknowledgement (`AA`) means: every record of the message is on this machine's disk, or further. `AE`: it lies in quarantine with
//! the reason; to send it again changes nothing until the reason is gone. `AR`: nothing was kept; send it again.
//!
//! Where to start reading: [`records`], then [`listen`].

pub mod encounter;
pub mod hl7;
pub mod listen;
pub mod mapping;
pub mod mllp;
mod records;

pub use mapping::{Mapping, MappingError};
pub use records::{NotRecorded, admitted, records};
