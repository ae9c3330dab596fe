//! Times as people and JSON write them (RFC 3339), and as the ledger counts them: milliseconds since 1970.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

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
}
