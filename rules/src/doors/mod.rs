//! Records of the two doors: heartbeats of sources, sessions of patients, and contests (`docs/formats-doors.md`).
//!
//! [`DoorRecord::of`] makes one of a record, whatever is on record. What is on record decides whether it is taken: the ledger
//! asks that when it applies it. The authority's list of sources is an act: [`sources`].

pub mod contest;
pub mod heartbeat;
pub mod session;

pub use crate::sources;

use crate::error::RecordError;
use crate::kind::Kind;
use crate::record::ParsedRecord;

use self::contest::{ContestAnswered, ContestClosed, ContestOpened};
use self::heartbeat::Heartbeat;
use self::session::{SessionClosed, SessionOpened};

/// The feature level of a log from which on these records count.
pub const FROM_LEVEL: u32 = 5;

/// The kinds of these records, in the order of their numbers. A log opens them when it applies them.
pub const KINDS: [Kind; 6] = [
    Kind::CONTEST_OPENED,
    Kind::CONTEST_ANSWERED,
    Kind::SESSION_OPENED,
    Kind::SESSION_CLOSED,
    Kind::CONTEST_CLOSED,
    Kind::SOURCE_HEARTBEAT,
];

/// A record of the doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoorRecord {
    /// `source.heartbeat`
    Heartbeat(Heartbeat),
    /// `session.opened`
    SessionOpened(SessionOpened),
    /// `session.closed`
    SessionClosed(SessionClosed),
    /// `contest.opened`
    ContestOpened(ContestOpened),
    /// `contest.answered`
    ContestAnswered(ContestAnswered),
    /// `contest.closed`
    ContestClosed(ContestClosed),
}

impl DoorRecord {
    /// The record of a door that this one is; `None` for one of any other kind. In a log of a lower feature level than
    /// [`FROM_LEVEL`] nobody asks: the details of its contests are free.
    ///
    /// # Errors
    /// With the path of what can't be understood.
    pub fn of(record: &ParsedRecord) -> Result<Option<Self>, RecordError> {
        let details = &record.message().details;
        Ok(Some(match record.kind() {
            Kind::SOURCE_HEARTBEAT => Self::Heartbeat(Heartbeat::parse(record)?),
            Kind::SESSION_OPENED => Self::SessionOpened(SessionOpened::parse(record)?),
            Kind::SESSION_CLOSED => Self::SessionClosed(SessionClosed::parse(details)?),
            Kind::CONTEST_OPENED => Self::ContestOpened(ContestOpened::parse(details)?),
            Kind::CONTEST_ANSWERED => Self::ContestAnswered(ContestAnswered::parse(details)?),
            Kind::CONTEST_CLOSED => Self::ContestClosed(ContestClosed::parse(details)?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests;
