//! The things that every door hands in, and the answers that it gets.

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

/// Something that a door hands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The door.
    pub door: Door,
    /// Who sent it, as the configuration names it: retries and reports are counted for each source.
    pub source: String,
    /// When it arrived, by this machine's clock: milliseconds since 1970.
    pub received_ms: u64,
    /// The bytes as they came: they tell a retry, and they go into quarantine where the resource is refused.
    pub raw: Vec<u8>,
    /// An AuditEvent or a Consent of FHIR R4 in JSON, or a record line as `sillage record` reads it (an object with `kind`).
    /// A Consent has the `id` under which it stands at this connector, and `meta.versionId`.
    pub resource: Value,
    /// The server's base that it is from, by which `AuditEvent/1` of two servers are two; empty where none is known.
    pub base: String,
    /// It replaces what its source recorded under the same id: equal bytes alone make no retry of it.
    pub replaces: bool,
}

impl Door {
    /// Its word in reports and in the index.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Syslog => "syslog",
            Self::Adt => "adt",
        }
    }

    /// Its number on disk.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Rest => 1,
            Self::Syslog => 2,
            Self::Adt => 3,
        }
    }

    /// The door with this number.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Rest),
            2 => Some(Self::Syslog),
            3 => Some(Self::Adt),
            _ => None,
        }
    }
}

/// A place in the spool: from 1, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolNumber(pub u64);

impl SpoolNumber {
    /// Reads a number; `None` where it can't be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let number: u64 = text.parse().ok()?;
        i64::try_from(number).is_ok().then_some(Self(number))
    }
}

impl std::fmt::Display for SpoolNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a recorded resource: `<stream, 16 hex>-<number of the batch>-<position of its first record>`. It is known as
/// soon as the batch is in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceId(pub String);

/// The parts of a [`ResourceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The first bytes of the stream's id.
    pub stream: [u8; 8],
    /// Number of the batch in it.
    pub seq: u64,
    /// Position of the first record in the batch.
    pub position: u32,
}

impl Place {
    /// As an id.
    pub fn id(&self) -> ResourceId {
        ResourceId(format!("{}-{}-{}", hex::encode(self.stream), self.seq, self.position))
    }

    /// Reads an id; `None` where it isn't one that we give.
    pub fn parse(id: &str) -> Option<Self> {
        let mut parts = id.splitn(3, '-');
        let mut stream = [0; 8];
        hex::decode_to_slice(parts.next()?, &mut stream).ok()?;
        let place = Self { stream, seq: parts.next()?.parse().ok()?, position: parts.next()?.parse().ok()? };
        // One spelling: no plus, no zero in front, no capital. No stream has more batches than the index can name.
        (place.id().0 == id && i64::try_from(place.seq).is_ok()).then_some(place)
    }
}

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an arrival has come.
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

/// Why an arrival can't be recorded as it is. It lies in quarantine, with its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", path, if path.is_empty() { "" } else { ": " })]
pub struct Refusal {
    /// The element, as a FHIR path such as `AuditEvent.agent[0].who`; empty where the whole resource is meant.
    pub path: String,
    /// Stable code of the ledger (`docs/errors.md`), where a rule of the ledger refused; empty where the mapping did.
    pub code: String,
    /// One sentence with the way out. It names no patient.
    pub reason: String,
}

impl Refusal {
    /// A refusal by a rule of the ledger.
    pub fn coded(path: impl Into<String>, code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), code: code.into(), reason: reason.into() }
    }
}

impl From<sillage_fhir::import::FhirError> for Refusal {
    /// What the mapping says begins with the ledger's code where a rule of the ledger is meant.
    fn from(error: sillage_fhir::import::FhirError) -> Self {
        let code = error.reason.split_once(": ").map(|(code, _)| code);
        let code = code.filter(|code| sillage_rules::codes::Code::from_name(code).is_some()).unwrap_or_default();
        let code = code.to_owned();
        Self { path: error.path, code, reason: error.reason }
    }
}

/// Why an arrival wasn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It can't be recorded as it is. It is in quarantine already.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The spool, or the quarantine for what is to lie there, has no room: nothing was kept. HTTP says 507, a syslog connection is
    /// closed.
    #[error(
        "the spool is full, or this source's share of the quarantine: nothing of this was kept; the connector takes events again \
         when the nodes can be reached, when spool.bytes_max or the disk has more room, or when its operator decided on what lies \
         in quarantine"
    )]
    SpoolFull,
    /// Too much waits to be written: nothing was kept. HTTP says 429 or 503.
    #[error("too much waits to be written: send it again in {wait_ms} ms")]
    Busy {
        /// When to try again, milliseconds.
        wait_ms: u64,
    },
}

/// Where refused arrivals are kept.
pub trait RefusedArrivals: Send + Sync + 'static {
    /// Keeps an arrival with the reason of its refusal. When it returns, both are on disk.
    ///
    /// # Errors
    /// When the disk refuses: the arrival then stays in the spool, or its sender is told that nothing was kept.
    fn keep(&self, arrival: &Arrival, refusal: &Refusal) -> std::io::Result<()>;

    /// The same for an arrival that was taken before the ledger refused it: it has room that the doors can't fill.
    ///
    /// # Errors
    /// As for [`RefusedArrivals::keep`].
    fn keep_taken(&self, arrival: &Arrival, refusal: &Refusal) -> std::io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling_and_the_letters_that_fhir_allows() {
        let place = Place { stream: [0xab; 8], seq: 17, position: 3 };
        let id = place.id();
        assert_eq!(id.0, "abababababababab-17-3");
        assert_eq!(Place::parse(&id.0), Some(place));
        assert_eq!(SpoolNumber::parse("17"), Some(SpoolNumber(17)));
        assert_eq!(SpoolNumber::parse("18446744073709551615"), None);
        let longest = Place { stream: [0xff; 8], seq: u64::MAX, position: u32::MAX }.id();
        assert!(longest.0.len() <= 64 && longest.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        for other in [
            "",
            "1",
            "abababababababab-17",
            "abababababababab-017-3",
            "ABABABABABABABAB-17-3",
            "ab-1-1-1",
            "abababababababab-18446744073709551615-0",
        ] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_refusal_knows_the_code_of_the_ledger() {
        let of = |reason: &str| {
            let error = sillage_fhir::import::FhirError { path: "AuditEvent".to_owned(), reason: reason.to_owned() };
            Refusal::from(error)
        };
        assert_eq!(of("TIME_AHEAD: it is later than now").code, "TIME_AHEAD");
        assert_eq!(of("no agent: name one").code, "");
    }
}
