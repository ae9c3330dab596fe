//! Times as people and JSON write them (RFC 3339), and as the ledger counts them: milliseconds since 1970.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::limits::OCCURRED_AT_MS_MAX;

/// Not a time of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of RFC 3339 with its zone between 1970 and 9998, such as 2026-03-02T09:00:00Z")]
pub struct InvalidTime;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. In JSON and on screens RFC 3339 in UTC; finer parts of a
/// second are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeMs(pub u64);

impl FromStr for TimeMs {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        // jiff reads more than RFC 3339: a space for the T, a zone in brackets, no seconds.
        let bytes = text.as_bytes();
        let is_punctuated = matches!(bytes.get(10), Some(b'T' | b't')) && bytes.get(16) == Some(&b':');
        if !is_punctuated || bytes.len() > 64 || bytes.contains(&b'[') {
            return Err(InvalidTime);
        }
        let timestamp: Timestamp = text.parse().map_err(|_| InvalidTime)?;
        let ms = u64::try_from(timestamp.as_millisecond()).map_err(|_| InvalidTime)?;
        if timestamp < Timestamp::UNIX_EPOCH || ms > OCCURRED_AT_MS_MAX {
            return Err(InvalidTime);
        }
        Ok(Self(ms))
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).ok().filter(|_| self.0 <= OCCURRED_AT_MS_MAX);
        match ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
            // Whole seconds as they were written, anything else with three digits.
            Some(timestamp) if self.0.is_multiple_of(1_000) => write!(f, "{timestamp:.0}"),
            Some(timestamp) => write!(f, "{timestamp:.3}"),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl serde::Serialize for TimeMs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TimeMs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A day in Paris. It follows from a time by the rule of `docs/formats-doors.md`, not by tables of time zones, which may differ from
/// one machine to the next: summer time is from 01:00 UTC on the last Sunday of March until 01:00 UTC on the last Sunday of October.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParisDay(u32);

/// Not a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a day between 1970 and 9998, such as 2026-03-02")]
pub struct InvalidDay;

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

impl ParisDay {
    /// The day on which this time is.
    pub fn of(time: TimeMs) -> Self {
        let ms = time.0.min(OCCURRED_AT_MS_MAX);
        Self::new((ms + offset_ms(ms)) / DAY_MS)
    }

    /// The day of this number: days since 1970-01-01.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> u32 {
        self.0
    }

    fn new(number: u64) -> Self {
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The day before; none before the first.
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// When it ends: midnight in Paris.
    pub fn end(self) -> TimeMs {
        // Clocks change at 01:00 UTC, after midnight in Paris: the offset at midnight UTC is that of midnight in Paris.
        let midnight = (u64::from(self.0) + 1) * DAY_MS;
        TimeMs(midnight - offset_ms(midnight.min(OCCURRED_AT_MS_MAX)))
    }
}

/// By how much clocks in Paris are ahead of UTC.
fn offset_ms(ms: u64) -> u64 {
    let at =
        i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let year = Offset::UTC.to_datetime(at).year();
    let change = |month: i8| {
        let last = Date::new(year, month, 31).expect("March and October have 31 days");
        let sunday = Date::new(year, month, 31 - last.weekday().to_sunday_zero_offset()).expect("in the same month");
        Offset::UTC.to_timestamp(sunday.at(1, 0, 0, 0)).expect("years up to 9998 are times")
    };
    if (change(3)..change(10)).contains(&at) { 2 * HOUR_MS } else { HOUR_MS }
}

impl FromStr for ParisDay {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let date: Date = text.parse().map_err(|_| InvalidDay)?;
        let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| InvalidDay)?;
        let ms = u64::try_from(midnight.as_millisecond()).map_err(|_| InvalidDay)?;
        let day = Self::new(ms / DAY_MS);
        // jiff reads other spellings, too.
        match ms <= OCCURRED_AT_MS_MAX && day.to_string() == text {
            true => Ok(day),
            false => Err(InvalidDay),
        }
    }
}

impl fmt::Display for ParisDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_second(i64::from(self.0) * 86_400).unwrap_or(Timestamp::MAX);
        write!(f, "{}", Offset::UTC.to_datetime(at).date())
    }
}

impl serde::Serialize for ParisDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ParisDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_rfc_3339_are_read_and_written() {
        let cases = [
            ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"),
            ("2026-03-02T10:00:00.5+01:00", "2026-03-02T09:00:00.500Z"),
            ("2026-03-02T09:00:00.123999Z", "2026-03-02T09:00:00.123Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<TimeMs>().expect(text).to_string(), expected);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2026-03-02",
            "2026-03-02T09:00:00",
            "2026-03-02 09:00:00Z",
            "2026-13-02T09:00:00Z",
            "2026-03-02T09:00:00Z[Europe/Paris]",
            "2026-03-02T09Z",
            "2026-03-02T09:00Z[UTC]",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59.9999Z",
            "9999-06-01T00:00:00Z",
            "hier",
            "12345678901234567",
        ] {
            assert_eq!(text.parse::<TimeMs>(), Err(InvalidTime), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ms in 0..=OCCURRED_AT_MS_MAX) {
            prop_assert_eq!(TimeMs(ms).to_string().parse(), Ok(TimeMs(ms)));
        }

        #[test]
        fn every_number_can_be_printed(ms in any::<u64>()) {
            prop_assert!(!TimeMs(ms).to_string().is_empty());
        }
    }

    #[test]
    fn days_begin_at_midnight_in_paris() {
        let day = |text: &str| ParisDay::of(text.parse().expect("a time")).to_string();
        for (at, expected) in [
            ("1970-01-01T00:00:00Z", "1970-01-01"),
            ("2026-03-02T22:59:59Z", "2026-03-02"),
            ("2026-03-02T23:00:00Z", "2026-03-03"),
            ("2026-03-29T00:59:59Z", "2026-03-29"),
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
            ("2026-10-24T21:59:59Z", "2026-10-24"),
            ("2026-10-24T22:00:00Z", "2026-10-25"),
            ("2026-10-25T22:59:59Z", "2026-10-25"),
            ("2026-10-25T23:00:00Z", "2026-10-26"),
        ] {
            assert_eq!(day(at), expected, "{at}");
        }
        for text in ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25", "2024-02-29"] {
            let day: ParisDay = text.parse().expect(text);
            assert_eq!(day.to_string(), text);
            assert_eq!(ParisDay::of(TimeMs(day.end().0 - 1)), day, "{text}");
            assert_eq!(ParisDay::of(day.end()).before(), Some(day), "{text}");
        }
        for text in ["", "2026-3-2", "20260302", "2026-02-30", "1969-12-31", "2026-03-02T00:00:00", "9999-01-01"] {
            assert!(text.parse::<ParisDay>().is_err(), "{text}");
        }
    }
}
