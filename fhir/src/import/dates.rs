//! FHIR's times: `instant` and `dateTime` (<https://hl7.org/fhir/R4/datatypes.html#dateTime>).
//!
//! A `dateTime` may be a day, a month or a year: it then has no zone, and is that of Paris. A period includes both of its
//! ends, and an end includes every moment that its text matches: a day ends at the next midnight, a second with the next
//! second (<https://hl7.org/fhir/R4/datatypes.html#Period>).

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

/// Days begin and end where the patients are.
const ZONE: &str = "Europe/Paris";

/// After every time that can be counted: the end of 9999, as people write "for ever".
pub(super) const FAR_MS: i64 = i64::MAX;

/// Milliseconds since 1970 of a FHIR `instant`; `None` for anything else. Times before 1970 are negative.
pub(super) fn instant_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    let sep = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let shape = digits(0..4)
        && sep(4, b'-')
        && digits(5..7)
        && sep(7, b'-')
        && digits(8..10)
        && sep(10, b'T')
        && digits(11..13)
        && sep(13, b':')
        && digits(14..16)
        && sep(16, b':')
        && digits(17..19);
    if !shape {
        return None;
    }
    let mut rest = bytes.get(19..)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return None;
        }
        rest = fraction.get(len..)?;
    }
    let zone = rest == b"Z"
        || matches!(rest, [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].iter().all(|x| x.is_ascii_digit()));
    if !zone {
        return None;
    }
    // jiff reads at most nanoseconds; what is finer is cut.
    let fraction_len = text.len() - 19 - rest.len();
    let text = format!("{}{}", text.get(..19 + fraction_len.min(10))?, std::str::from_utf8(rest).ok()?);
    match text.parse::<Timestamp>() {
        Ok(time) => Some(time.as_millisecond()),
        // The last hours of 9999 are beyond what calendars can count, and mean "for ever".
        Err(_) => {
            let before = text.strip_prefix("9999").map(|rest| format!("9998{rest}"))?;
            before.parse::<Timestamp>().is_ok().then_some(FAR_MS)
        }
    }
}

/// The first millisecond that a `dateTime` names; `None` where it is none.
pub(super) fn start_ms(text: &str) -> Option<i64> {
    match days(text) {
        Some((first, _)) => midnight_ms(first),
        None => instant_ms(text),
    }
}

/// The first millisecond after all that a `dateTime` names; `None` where it is none.
pub(super) fn end_ms(text: &str) -> Option<i64> {
    if let Some((_, after)) = days(text) {
        return match after {
            Some(after) => midnight_ms(after),
            None => Some(FAR_MS),
        };
    }
    let ms = instant_ms(text)?;
    // "2026-03-02T09:00:00" names a whole second, "…00.5" a tenth of one.
    let digits =
        text.get(19..)?.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let width_ms = match digits {
        0 => 1_000,
        1 => 100,
        2 => 10,
        _ => 1,
    };
    Some(ms.saturating_add(width_ms))
}

/// The first day of a year, month or day, and the first day after it; none after the last day that calendars have.
fn days(text: &str) -> Option<(Date, Option<Date>)> {
    if text.contains('T') || !is_date_time(text) {
        return None;
    }
    let (first, span) = match text.len() {
        4 => (format!("{text}-01-01"), 1.year()),
        7 => (format!("{text}-01"), 1.month()),
        _ => (text.to_owned(), 1.day()),
    };
    let first: Date = first.parse().ok()?;
    Some((first, first.checked_add(span).ok()))
}

fn midnight_ms(day: Date) -> Option<i64> {
    let zone = TimeZone::get(ZONE).expect("the zone rules stand in the program");
    Some(day.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

/// Tells whether a text is a `dateTime`.
pub(super) fn is_date_time(text: &str) -> bool {
    let digits = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| b.is_ascii_digit());
    if text.contains('T') {
        return instant_ms(text).is_some();
    }
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year] => digits(year, 4),
        [year, month] => digits(year, 4) && digits(month, 2) && (1..=12).contains(&month.parse().unwrap_or(0)),
        [_, _, _] => text.len() == 10 && text.parse::<Date>().is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_have_seconds_and_a_zone() {
        assert_eq!(instant_ms("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(instant_ms("1970-01-01T01:00:00.5+01:00"), Some(500));
        assert_eq!(instant_ms("1970-01-01T00:00:00.123456789012Z"), Some(123));
        for bad in ["1970-01-01", "1970-01-01T00:00Z", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "é", ""] {
            assert_eq!(instant_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_months_and_years_are_those_of_paris() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time").as_millisecond();
        let cases = [
            // Winter and summer, and the day that has 23 hours.
            ("2026-01-15", "2026-01-14T23:00:00Z", "2026-01-15T23:00:00Z"),
            ("2026-07-15", "2026-07-14T22:00:00Z", "2026-07-15T22:00:00Z"),
            ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-02", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
            ("2026", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-03-02T09:00:00+01:00", "2026-03-02T08:00:00Z", "2026-03-02T08:00:01Z"),
            ("2026-03-02T09:00:00.25Z", "2026-03-02T09:00:00.250Z", "2026-03-02T09:00:00.260Z"),
            ("2026-03-02T09:00:00.2501Z", "2026-03-02T09:00:00.250Z", "2026-03-02T09:00:00.251Z"),
        ];
        for (text, start, end) in cases {
            assert_eq!(start_ms(text), Some(at(start)), "{text}");
            assert_eq!(end_ms(text), Some(at(end)), "{text}");
        }
    }

    #[test]
    fn the_end_of_9999_is_for_ever() {
        for text in ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999+01:00"] {
            assert!(is_date_time(text), "{text}");
            assert_eq!(end_ms(text), Some(FAR_MS), "{text}");
        }
        assert_eq!(instant_ms("9999-13-31T23:59:59Z"), None);
        assert!(start_ms("0001-01-01").is_some_and(|ms| ms < 0));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}", date in "[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9:.]{8,14}Z)?)?)?") {
            for text in [text, date] {
                let _ = instant_ms(&text);
                prop_assert!(start_ms(&text).is_none() || is_date_time(&text));
                if let (Some(start), Some(end)) = (start_ms(&text), end_ms(&text)) {
                    prop_assert!(start < end || start == FAR_MS, "{}", text);
                }
            }
        }
    }
}
