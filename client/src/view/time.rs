//! Times: RFC 3339 for programs, Europe/Paris for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sillage_rules::time::TimeMs;

use super::Lang;
use crate::error::ClientError;

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

/// Now, by this machine's clock, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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

/// `02/03/2026 10:00:00`, for columns whose head names the zone.
pub fn short(ms: u64, lang: Lang) -> String {
    let zoned = timestamp(ms).to_zoned(paris());
    match lang {
        Lang::Fr => zoned.strftime("%d/%m/%Y %H:%M:%S").to_string(),
        Lang::En => zoned.strftime("%Y-%m-%d %H:%M:%S").to_string(),
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
/// [`ClientError::Usage`] naming the option.
pub fn parse_bound(option: &str, text: &str) -> Result<u64, ClientError> {
    let wrong = || {
        ClientError::Usage(format!(
            "{option} `{text}` is not a time: write 2026-03-02T09:00:00Z, or 2026-03-02 for midnight in Paris"
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
    fn bounds_are_times_or_days_in_paris() {
        assert_eq!(parse_bound("--from", "2026-03-02T09:00:00.123Z").expect("a time"), MS);
        assert_eq!(rfc3339(parse_bound("--from", "2026-03-02").expect("a day")), "2026-03-01T23:00:00Z");
        for bad in ["yesterday", "1969-01-01", "2026-13-01"] {
            assert_eq!(parse_bound("--to", bad).expect_err("refused").exit_code(), 2);
        }
    }
}
