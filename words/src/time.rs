//! Times: RFC 3339 for programs, Europe/Paris for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sillage_rules::time::TimeMs;

use super::Lang;

/// A text that isn't the time that an option asks for. It names the option, and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotATime(pub String);

/// The zone in which people read times. Its rules come from the system or from the copy inside the program.
fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").expect("the zone rules are part of the program")
}

fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// `2026-03-02T09:00:00.123Z`, as every JSON of ours writes times.
pub fn rfc3339(ms: u64) -> String {
    TimeMs(ms).to_string()
}

/// `2 mars 2026 à 10:00:00 (heure de Paris, CET)`.
pub fn spoken(ms: u64, lang: Lang) -> String {
    let zoned = timestamp(ms).to_zoned(paris());
    let zone = zoned.strftime("%Z").to_string();
    let (date, hour) = (spoken_date(&zoned, lang), zoned.strftime("%H:%M:%S"));
    match lang {
        Lang::Fr => format!("{date} à {hour} (heure de Paris, {zone})"),
        Lang::En => format!("{date} at {hour} (Paris time, {zone})"),
    }
}

/// `02/03/2026 10:00:00`, for columns whose head names the zone; of an hour that comes twice, with the offset: `(+02:00)`.
pub fn short(ms: u64, lang: Lang) -> String {
    let zoned = timestamp(ms).to_zoned(paris());
    // In autumn an hour comes twice.
    let is_twice = zoned.time_zone().to_ambiguous_timestamp(zoned.datetime()).is_ambiguous();
    let offset = if is_twice { zoned.strftime(" (%:z)").to_string() } else { String::new() };
    match lang {
        Lang::Fr => format!("{}{offset}", zoned.strftime("%d/%m/%Y %H:%M:%S")),
        Lang::En => format!("{}{offset}", zoned.strftime("%Y-%m-%d %H:%M:%S")),
    }
}

fn spoken_date(zoned: &jiff::Zoned, lang: Lang) -> String {
    const FR: [&str; 12] = [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ];
    let (day, year) = (zoned.day(), zoned.year());
    match lang {
        Lang::Fr => {
            let month = FR.get(usize::from(zoned.month().unsigned_abs()) - 1).copied().unwrap_or_default();
            let day = if day == 1 { "1er".to_owned() } else { day.to_string() };
            format!("{day} {month} {year}")
        }
        Lang::En => format!("{day} {} {year}", zoned.strftime("%B")),
    }
}

/// Reads a bound: RFC 3339, or a date, which begins at midnight in Paris.
///
/// # Errors
/// [`NotATime`] naming the option.
pub fn parse_bound(option: &str, text: &str) -> Result<u64, NotATime> {
    let wrong = || {
        NotATime(format!(
            "{option} `{text}` is not a time: write 2026-03-02T09:00:00Z, or 2026-03-02 for that day in Paris"
        ))
    };
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let date = text.parse::<jiff::civil::Date>().map_err(|_| wrong())?;
            date.to_zoned(paris()).map_err(|_| wrong())?.timestamp()
        }
    };
    u64::try_from(at.as_millisecond()).map_err(|_| wrong())
}

/// Reads an end: RFC 3339, which isn't part of what ends then; or a date, the whole day of which is, in Paris.
///
/// # Errors
/// [`NotATime`] naming the option.
pub fn parse_end(option: &str, text: &str) -> Result<u64, NotATime> {
    match text.parse::<jiff::civil::Date>() {
        // A time parses as a date too.
        Ok(date) if text.parse::<Timestamp>().is_err() && text.len() == DATE_CHARS => {
            let next = date.tomorrow().map_err(|_| NotATime(format!("{option} `{text}` is too late a day")))?;
            parse_bound(option, &next.to_string())
        }
        _ => parse_bound(option, text),
    }
}

/// `2026-03-02`.
const DATE_CHARS: usize = 10;

/// An end as people say it: `2 mars 2026 à 10:00:00 (heure de Paris, CET)`, or where it is the end of a day
/// `1er mars 2026 inclus (heure de Paris)`.
pub fn spoken_end(ms: u64, lang: Lang) -> String {
    let zoned = timestamp(ms).to_zoned(paris());
    let is_midnight = zoned.time() == jiff::civil::Time::midnight() && zoned.start_of_day().is_ok_and(|at| at == zoned);
    match (is_midnight, zoned.yesterday(), lang) {
        (true, Ok(last), Lang::Fr) => format!("{} inclus (heure de Paris)", spoken_date(&last, lang)),
        (true, Ok(last), Lang::En) => format!("{} included (Paris time)", spoken_date(&last, lang)),
        _ => spoken(ms, lang),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02T09:00:00.123Z.
    const MS: u64 = 1_772_442_000_123;

    #[test]
    fn programs_read_utc_with_milliseconds() {
        assert_eq!(rfc3339(MS), "2026-03-02T09:00:00.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert!(!rfc3339(u64::MAX).is_empty());
    }

    #[test]
    fn people_read_paris_time_with_its_zone() {
        assert_eq!(spoken(MS, Lang::Fr), "2 mars 2026 à 10:00:00 (heure de Paris, CET)");
        assert_eq!(spoken(MS, Lang::En), "2 March 2026 at 10:00:00 (Paris time, CET)");
        let summer = 1_782_864_000_000; // 2026-07-01T00:00:00Z
        assert_eq!(spoken(summer, Lang::Fr), "1er juillet 2026 à 02:00:00 (heure de Paris, CEST)");
        assert_eq!(short(MS, Lang::Fr), "02/03/2026 10:00:00");
    }

    #[test]
    fn an_hour_that_comes_twice_shows_its_offset() {
        let at = |text: &str| parse_bound("--from", text).expect("a time");
        for (time, fr, en) in [
            ("2025-10-26T00:30:00Z", "26/10/2025 02:30:00 (+02:00)", "2025-10-26 02:30:00 (+02:00)"),
            ("2025-10-26T01:30:00Z", "26/10/2025 02:30:00 (+01:00)", "2025-10-26 02:30:00 (+01:00)"),
            ("2026-10-25T01:59:59Z", "25/10/2026 02:59:59 (+01:00)", "2026-10-25 02:59:59 (+01:00)"),
            ("2026-10-25T02:00:00Z", "25/10/2026 03:00:00", "2026-10-25 03:00:00"),
            ("2025-10-25T23:59:59Z", "26/10/2025 01:59:59", "2025-10-26 01:59:59"),
            ("2026-03-29T01:30:00Z", "29/03/2026 03:30:00", "2026-03-29 03:30:00"),
        ] {
            assert_eq!((short(at(time), Lang::Fr), short(at(time), Lang::En)), (fr.to_owned(), en.to_owned()));
        }
    }

    #[test]
    fn a_day_as_an_end_includes_that_day_of_paris_and_is_said_so() {
        let end = |text: &str| parse_end("--until", text).expect("a time");
        for (day, ends, fr, en) in [
            (
                "2026-03-02",
                "2026-03-02T23:00:00Z",
                "2 mars 2026 inclus (heure de Paris)",
                "2 March 2026 included (Paris time)",
            ),
            (
                "2026-03-29",
                "2026-03-29T22:00:00Z",
                "29 mars 2026 inclus (heure de Paris)",
                "29 March 2026 included (Paris time)",
            ),
            (
                "2026-10-25",
                "2026-10-25T23:00:00Z",
                "25 octobre 2026 inclus (heure de Paris)",
                "25 October 2026 included (Paris time)",
            ),
            (
                "2026-12-31",
                "2026-12-31T23:00:00Z",
                "31 décembre 2026 inclus (heure de Paris)",
                "31 December 2026 included (Paris time)",
            ),
            (
                "2028-02-29",
                "2028-02-29T23:00:00Z",
                "29 février 2028 inclus (heure de Paris)",
                "29 February 2028 included (Paris time)",
            ),
        ] {
            assert_eq!(rfc3339(end(day)), ends);
            assert_eq!(
                (spoken_end(end(day), Lang::Fr), spoken_end(end(day), Lang::En)),
                (fr.to_owned(), en.to_owned())
            );
        }
        // A time stays what it is: what ends then doesn't hold any more.
        for time in ["2026-03-02T09:00:00Z", "2026-03-02T23:00:00+01:00"] {
            assert_eq!(end(time), parse_bound("--until", time).expect("a time"));
        }
        assert_eq!(spoken_end(end("2026-03-02T09:00:00Z"), Lang::Fr), "2 mars 2026 à 10:00:00 (heure de Paris, CET)");
        for bad in ["", "tomorrow", "2026-02-30", "2026-3-2"] {
            assert!(parse_end("--until", bad).expect_err("refused").to_string().contains("--until"), "{bad}");
        }
    }

    #[test]
    fn bounds_are_times_or_days_in_paris() {
        assert_eq!(parse_bound("--from", "2026-03-02T09:00:00.123Z").expect("a time"), MS);
        assert_eq!(rfc3339(parse_bound("--from", "2026-03-02").expect("a day")), "2026-03-01T23:00:00Z");
        for bad in ["yesterday", "1969-01-01", "2026-13-01"] {
            assert!(parse_bound("--to", bad).expect_err("refused").0.contains("--to"));
        }
    }
}
