//! Days, times, numbers and sizes as people read them.

use jiff::civil::{Date, Time};
use sillage_words::Lang;

use super::Phrase;

const NBSP: char = '\u{a0}';

const DAYS: [(&str, &str); 7] = [
    ("lundi", "Monday"),
    ("mardi", "Tuesday"),
    ("mercredi", "Wednesday"),
    ("jeudi", "Thursday"),
    ("vendredi", "Friday"),
    ("samedi", "Saturday"),
    ("dimanche", "Sunday"),
];

const MONTHS: [(&str, &str); 12] = [
    ("janvier", "January"),
    ("février", "February"),
    ("mars", "March"),
    ("avril", "April"),
    ("mai", "May"),
    ("juin", "June"),
    ("juillet", "July"),
    ("août", "August"),
    ("septembre", "September"),
    ("octobre", "October"),
    ("novembre", "November"),
    ("décembre", "December"),
];

fn pick(lang: Lang, (fr, en): (&'static str, &'static str)) -> &'static str {
    match lang {
        Lang::Fr => fr,
        Lang::En => en,
    }
}

/// `2 mars 2026`, `1er mars 2026`, `2 March 2026`.
pub fn day(date: Date, lang: Lang) -> Phrase {
    let month = usize::from(date.month().unsigned_abs()).saturating_sub(1);
    let month = MONTHS.get(month).copied().map_or("", |name| pick(lang, name));
    let number = match (date.day(), lang) {
        (1, Lang::Fr) => "1er".to_owned(),
        (number, _) => number.to_string(),
    };
    Phrase::from(format!("{number}{NBSP}{month} {}", date.year()))
}

/// `lundi 2 mars 2026`.
pub fn weekday(date: Date, lang: Lang) -> Phrase {
    let at = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
    let name = DAYS.get(at).copied().map_or("", |name| pick(lang, name));
    Phrase::from(format!("{name} {}", day(date, lang).as_str()))
}

/// `14 h 02`, `14:02`.
pub fn clock(time: Time, lang: Lang) -> Phrase {
    let (hour, minute) = (time.hour(), time.minute());
    Phrase::from(match lang {
        Lang::Fr => format!("{hour}{NBSP}h{NBSP}{minute:02}"),
        Lang::En => format!("{hour:02}:{minute:02}"),
    })
}

/// `12 345`, `12,345`.
pub fn number(n: u64, lang: Lang) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && (digits.len() > 4 || lang == Lang::En) {
            out.push(match lang {
                Lang::Fr => NBSP,
                Lang::En => ',',
            });
        }
        out.push(digit);
    }
    out
}

/// `812 octets`, `48 ko`, `1,2 Mo`.
pub fn bytes(n: u64, lang: Lang) -> Phrase {
    let tenths = |unit: u64| {
        let tenths = n.saturating_mul(10) / unit;
        let comma = if lang == Lang::Fr { ',' } else { '.' };
        match tenths % 10 {
            0 => format!("{}", tenths / 10),
            rest => format!("{}{comma}{rest}", tenths / 10),
        }
    };
    Phrase::from(match (n, lang) {
        (0..1_000, Lang::Fr) => format!("{n}{NBSP}octets"),
        (0..1_000, Lang::En) => format!("{n}{NBSP}bytes"),
        (1_000..1_000_000, Lang::Fr) => format!("{}{NBSP}ko", n.div_ceil(1_000)),
        (1_000..1_000_000, Lang::En) => format!("{}{NBSP}kB", n.div_ceil(1_000)),
        (_, Lang::Fr) => format!("{}{NBSP}Mo", tenths(1_000_000)),
        (_, Lang::En) => format!("{}{NBSP}MB", tenths(1_000_000)),
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn days_and_times_read_as_people_say_them() {
        let plain = |phrase: Phrase| phrase.as_str().replace(NBSP, " ");
        assert_eq!(plain(weekday(date(2026, 3, 2), Lang::Fr)), "lundi 2 mars 2026");
        assert_eq!(plain(day(date(2026, 3, 1), Lang::Fr)), "1er mars 2026");
        assert_eq!(plain(weekday(date(2026, 3, 1), Lang::En)), "Sunday 1 March 2026");
        assert_eq!(plain(clock(time(9, 5, 0, 0), Lang::Fr)), "9 h 05");
        assert_eq!(plain(clock(time(9, 5, 0, 0), Lang::En)), "09:05");
        assert_eq!(plain(bytes(1_250_000, Lang::Fr)), "1,2 Mo");
        assert_eq!(plain(bytes(48_100, Lang::En)), "49 kB");
        assert_eq!(number(1234, Lang::Fr), "1234");
    }
}
