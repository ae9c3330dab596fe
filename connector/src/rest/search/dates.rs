//! Dates of a search: `ge2026-03-01`, `lt2026-03-01T10:00:00+01:00` ([search](https://hl7.org/fhir/R4/search.html#date)).
//!
//! A date of a resource and a date of a search are both stretches of time: a day lasts 24 hours or so, a second a second. Without
//! a zone, a time is read as Paris has it.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The zone of dates that name none.
const ZONE: &str = "Europe/Paris";

/// A stretch of time: from its first millisecond to the one after its last, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first millisecond.
    pub from_ms: i64,
    /// The one after its last.
    pub until_ms: i64,
}

/// How two dates are to lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

/// A date of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateWanted {
    /// How a resource's date lies to it.
    pub prefix: Prefix,
    /// The date.
    pub date: Stretch,
}

impl DateWanted {
    /// Reads one value of a date parameter.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = match text.get(..2) {
            Some("eq") => (Prefix::Eq, &text[2..]),
            Some("ne") => (Prefix::Ne, &text[2..]),
            Some("gt") => (Prefix::Gt, &text[2..]),
            Some("lt") => (Prefix::Lt, &text[2..]),
            Some("ge") => (Prefix::Ge, &text[2..]),
            Some("le") => (Prefix::Le, &text[2..]),
            Some("sa") => (Prefix::Sa, &text[2..]),
            Some("eb") => (Prefix::Eb, &text[2..]),
            Some("ap") => (Prefix::Ap, &text[2..]),
            _ => (Prefix::Eq, text),
        };
        Some(Self { prefix, date: Stretch::parse(rest)? })
    }

    /// Whether a resource's date lies so.
    pub fn fits(&self, value: Stretch) -> bool {
        let wanted = self.date;
        match self.prefix {
            Prefix::Eq => wanted.from_ms <= value.from_ms && value.until_ms <= wanted.until_ms,
            Prefix::Ne => !(wanted.from_ms <= value.from_ms && value.until_ms <= wanted.until_ms),
            Prefix::Gt => value.until_ms > wanted.until_ms,
            Prefix::Lt => value.from_ms < wanted.from_ms,
            Prefix::Ge => value.until_ms > wanted.from_ms,
            Prefix::Le => value.from_ms < wanted.until_ms,
            Prefix::Sa => value.from_ms >= wanted.until_ms,
            Prefix::Eb => value.until_ms <= wanted.from_ms,
            // FHIR leaves the width to the server: a day to each side.
            Prefix::Ap => {
                value.from_ms < wanted.until_ms.saturating_add(DAY_MS)
                    && value.until_ms > wanted.from_ms.saturating_sub(DAY_MS)
            }
        }
    }

    /// The stretch outside of which nothing fits, where there is one: from, until.
    pub fn bounds(&self) -> (i64, i64) {
        let wanted = self.date;
        match self.prefix {
            Prefix::Eq => (wanted.from_ms, wanted.until_ms),
            Prefix::Ne => (i64::MIN, i64::MAX),
            Prefix::Gt | Prefix::Ge => (wanted.from_ms.saturating_sub(DAY_MS), i64::MAX),
            Prefix::Sa => (wanted.until_ms, i64::MAX),
            Prefix::Lt => (i64::MIN, wanted.from_ms),
            Prefix::Le => (i64::MIN, wanted.until_ms),
            Prefix::Eb => (i64::MIN, wanted.from_ms),
            Prefix::Ap => (wanted.from_ms.saturating_sub(2 * DAY_MS), wanted.until_ms.saturating_add(DAY_MS)),
        }
    }
}

const DAY_MS: i64 = 86_400_000;

impl Stretch {
    /// Reads a date, a dateTime or an instant of FHIR.
    pub fn parse(text: &str) -> Option<Self> {
        let zone = || TimeZone::get(ZONE).ok();
        let at = |date: Date, zone: &TimeZone| DateTime::from_parts(date, Time::midnight()).to_zoned(zone.clone()).ok();
        let Some((day, time)) = text.split_once(['T', ' ']) else {
            let mut parts = text.split('-');
            let number = |part: &str, len: usize| -> Option<i16> {
                (part.len() == len && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok()).flatten()
            };
            let year = number(parts.next()?, 4)?;
            let month = parts.next().map(|part| number(part, 2)).map_or(Some(None), |month| month.map(Some))?;
            let day = parts.next().map(|part| number(part, 2)).map_or(Some(None), |day| day.map(Some))?;
            if parts.next().is_some() {
                return None;
            }
            let small = |number: i16| i8::try_from(number).ok();
            let first = Date::new(year, small(month.unwrap_or(1))?, small(day.unwrap_or(1))?).ok()?;
            let lasts = match (month, day) {
                (None, _) => Span::new().years(1),
                (Some(_), None) => Span::new().months(1),
                (Some(_), Some(_)) => Span::new().days(1),
            };
            let zone = zone()?;
            let (from, until) = (at(first, &zone)?, at(first.checked_add(lasts).ok()?, &zone)?);
            return Some(Self {
                from_ms: from.timestamp().as_millisecond(),
                until_ms: until.timestamp().as_millisecond(),
            });
        };
        let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
            Some(at) => time.split_at(at),
            None => (time, ""),
        };
        // Minutes may stand alone in a search; seconds may have a fraction.
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let (clock, lasts_ms) = match (whole.matches(':').count(), fraction.len()) {
            (1, 0) => (format!("{whole}:00"), 60_000),
            (2, 0) => (whole.to_owned(), 1_000),
            (2, 1) => (clock.to_owned(), 100),
            (2, 2) => (clock.to_owned(), 10),
            (2, 3..=9) => (clock.to_owned(), 1),
            _ => return None,
        };
        let from = match offset {
            "" => {
                let civil: DateTime = format!("{day}T{clock}").parse().ok()?;
                civil.to_zoned(zone()?).ok()?.timestamp()
            }
            offset => format!("{day}T{clock}{offset}").parse::<Timestamp>().ok()?,
        };
        let from_ms = from.as_millisecond();
        Some(Self { from_ms, until_ms: from_ms.saturating_add(lasts_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(wanted: &str, value: &str) -> bool {
        let value = Stretch::parse(value).unwrap_or_else(|| panic!("{value}"));
        let wanted = DateWanted::parse(wanted).unwrap_or_else(|| panic!("{wanted}"));
        let (from, until) = wanted.bounds();
        let found = wanted.fits(value);
        assert!(
            !found || (value.from_ms >= from && value.from_ms < until),
            "the bounds leave out what fits: {wanted:?}"
        );
        found
    }

    #[test]
    fn every_prefix_is_that_of_fhir() {
        let value = "2026-03-02T09:30:00+01:00";
        for (wanted, expected) in [
            ("2026-03-02", true),
            ("2026-03-01", false),
            ("2026-03", true),
            ("2026", true),
            ("eq2026-03-02T08:30:00Z", true),
            ("eq2026-03-02T09:30", true),
            ("ne2026-03-02", false),
            ("ne2026-03-01", true),
            ("gt2026-03-01", true),
            ("gt2026-03-02", false),
            ("ge2026-03-02", true),
            ("ge2026-03-03", false),
            ("lt2026-03-02", false),
            ("lt2026-03-03", true),
            ("le2026-03-02", true),
            ("le2026-03-01", false),
            ("sa2026-03-01", true),
            ("sa2026-03-02", false),
            ("eb2026-03-03", true),
            ("eb2026-03-02", false),
            ("ap2026-03-03", true),
            ("ap2026-03-09", false),
        ] {
            assert_eq!(fits(wanted, value), expected, "{wanted}");
        }
    }

    #[test]
    fn a_day_without_a_zone_is_a_day_of_paris() {
        assert!(fits("2026-03-02", "2026-03-01T23:30:00Z"));
        assert!(!fits("2026-03-02", "2026-03-02T23:30:00Z"));
        // The clocks change on this day: it has 23 hours.
        let day = Stretch::parse("2026-03-29").expect("a day");
        assert_eq!(day.until_ms - day.from_ms, 23 * 3_600_000);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "x", "2026-13", "2026-02-30", "26-01-01", "2026-03-02T", "2026-03-02T10", "ge", "2026-1-1", "é2026"]
        {
            assert_eq!(DateWanted::parse(text), None, "{text}");
        }
    }
}
