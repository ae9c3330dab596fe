//! What every door hands in, and what it is told.

use serde_json::Value;

/// The door that an event came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// FHIR over HTTP.
    Rest,
    /// Syslog over TLS.
    Syslog,
    /// HL7 v2 over MLLP.
    Adt,
}

/// A resource that a door hands in, as FHIR R4 in JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The door.
    pub door: Door,
    /// Who sent it, as the configuration names it: retries and reports are counted for each source.
    pub source: String,
    /// When it arrived, by this machine's clock: milliseconds since 1970.
    pub received_ms: u64,
    /// The bytes as they came, at most 1 MiB: kept, sealed, where they differ from the resource.
    pub raw: Vec<u8>,
    /// An AuditEvent or a Consent.
    pub resource: Value,
    /// The server's base that it is from, by which `AuditEvent/1` of two servers are two; empty where none is known.
    pub base: String,
}

/// A place in the spool: from 1, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolNumber(pub u64);

/// The id of a recorded AuditEvent: stream, number of the batch, position of its first record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceId(pub String);

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// On the disks of a majority of nodes.
    Recorded {
        /// Its id.
        id: ResourceId,
        /// Index of its first entry in the log.
        first_index: u64,
        /// It had been taken before: this is the answer of then.
        repeated: bool,
    },
    /// On this machine's disk; the nodes are out of reach.
    Spooled {
        /// Its place.
        number: SpoolNumber,
        /// It had been taken before.
        repeated: bool,
    },
}
