//! The heartbeat of a source (`docs/formats-doors.md` §24): what its party did with the day's events.

use serde::{Deserialize, Serialize};
use sillage_proto::v1;

use crate::check;
use crate::consent::details;
use crate::error::RecordError;
use crate::kind::Kind;
use crate::record::{ParsedRecord, new_message};
use crate::sources::{label, structure};
use crate::time::{ParisDay, TimeMs};

/// Streams that one heartbeat names.
pub const STREAMS_MAX: usize = 16;
/// Sources of one party.
pub const SOURCES_OF_PARTY_MAX: usize = 1_024;
/// Counts are below this: 2^53, up to which every language counts.
const COUNTS_END: u64 = 1 << 53;

/// A source is alive. The counts are its party's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Its name, a label.
    pub source: String,
    /// The structure that it belongs to.
    pub structure: String,
    /// The day that the counts are of.
    pub day: ParisDay,
    /// Events that came from it on that day.
    pub received: u64,
    /// Of these, those on record.
    pub recorded: u64,
    /// Of these, those that wait.
    pub waiting: u64,
    /// Of these, those that were refused.
    pub refused: u64,
    /// How far the party signed in its streams, ascending by label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamMark>,
}

/// How far a party signed in one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamMark {
    /// The stream's label.
    pub stream: String,
    /// The number of the last batch that was signed; 0: none.
    pub seq: u64,
}

impl Heartbeat {
    /// The record that says it, as the software of a party makes it. `occurred_at_ms` is in milliseconds since 1970.
    ///
    /// # Panics
    /// Never: texts and numbers alone are JSON.
    pub fn to_message(&self, (software, version): (&str, &str), occurred_at_ms: u64) -> v1::Record {
        v1::Record {
            automated: Some(v1::Automated { software: software.to_owned(), version: version.to_owned() }),
            details: serde_json::to_string(self).expect("texts and numbers alone"),
            ..new_message(Kind::SOURCE_HEARTBEAT, None, occurred_at_ms)
        }
    }

    pub(super) fn parse(record: &ParsedRecord) -> Result<Self, RecordError> {
        let message = record.message();
        if message.actor.is_some() || message.automated.is_none() {
            let why = "nobody acts in a heartbeat: leave the actor out, and name the software in `automated`";
            return Err(RecordError::malformed("actor", why));
        }
        let heartbeat: Self = details::parse(&message.details)?;
        heartbeat.check(message.occurred_at_ms).map_err(|error| error.within("details"))?;
        Ok(heartbeat)
    }

    fn check(&self, occurred_at_ms: u64) -> Result<(), RecordError> {
        label("source", &self.source)?;
        structure("structure", &self.structure)?;
        let today = ParisDay::of(TimeMs(occurred_at_ms));
        if self.day != today && Some(self.day) != today.before() {
            let why = "the day of `occurred_at`, or the day before, in Paris";
            return Err(RecordError::malformed("day", why));
        }
        let counts = [
            ("received", self.received),
            ("recorded", self.recorded),
            ("waiting", self.waiting),
            ("refused", self.refused),
        ];
        if let Some((path, _)) = counts.into_iter().find(|(_, count)| *count >= COUNTS_END) {
            return Err(RecordError::malformed(path, "a count is below 2^53"));
        }
        if self.recorded + self.waiting + self.refused > self.received {
            let why = "more are recorded, waiting and refused than were received that day";
            return Err(RecordError::malformed("received", why));
        }
        check::at_most("streams", self.streams.len(), STREAMS_MAX)?;
        for (at, mark) in self.streams.iter().enumerate() {
            label(&format!("streams[{at}].stream"), &mark.stream)?;
            if mark.seq >= COUNTS_END {
                return Err(RecordError::malformed(format!("streams[{at}].seq"), "a number is below 2^53"));
            }
        }
        match self.streams.windows(2).any(|pair| pair[0].stream >= pair[1].stream) {
            true => Err(RecordError::malformed("streams", "must be strictly ascending by `stream`")),
            false => Ok(()),
        }
    }
}
