//! Messages of HL7 v2 (2.3 to 2.5.1), as far as admissions need them: segments, fields, repetitions, components.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Segments of a message, at most.
const SEGMENTS_MAX: usize = 1_000;

/// Why bytes are no message that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Unread {
    /// The segment and field, as `MSH-12`.
    pub path: String,
    /// One sentence, without anything that the message says.
    pub reason: String,
}

impl Unread {
    pub(super) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    segments: Vec<(String, Vec<String>)>,
    separators: Separators,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separators {
    field: char,
    component: char,
    repetition: char,
    escape: char,
    subcomponent: char,
}

impl Message {
    /// Reads a message: its segments end with CR, and LF or CR LF are read too.
    ///
    /// # Errors
    /// When it isn't one of HL7 v2.3 to 2.5.1, or its characters aren't known.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unread> {
        let head: Vec<char> = bytes.iter().take(9).map(|byte| char::from(*byte)).collect();
        let ['M', 'S', 'H', field, component, repetition, escape, subcomponent, after] = head[..] else {
            return Err(Unread::new("MSH", "expected a message of HL7 v2: it begins with MSH|^~\\&|"));
        };
        let separators = Separators { field, component, repetition, escape, subcomponent };
        let all = [field, component, repetition, escape, subcomponent];
        let differ = all.iter().enumerate().all(|(at, one)| !all[..at].contains(one));
        if after != field || !differ || !all.iter().all(char::is_ascii_punctuation) {
            return Err(Unread::new("MSH-2", "expected four characters that separate, as ^~\\&"));
        }
        let text = text_of(bytes, field)?;
        let lines: Vec<&str> = text.split(['\r', '\n']).filter(|line| !line.is_empty()).collect();
        if lines.len() > SEGMENTS_MAX {
            return Err(Unread::new("", format!("over {SEGMENTS_MAX} segments")));
        }
        let mut segments = Vec::with_capacity(lines.len());
        for line in lines {
            let mut fields: Vec<String> = line.split(field).map(str::to_owned).collect();
            let name = fields.remove(0);
            if name.len() != 3 || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
                return Err(Unread::new("", "a segment whose name isn't three capitals or digits"));
            }
            // MSH-1 is the separator itself.
            if name == "MSH" {
                fields.insert(0, field.to_string());
            }
            segments.push((name, fields));
        }
        let message = Self { segments, separators };
        let version = message.text("MSH", 12, 1);
        let known = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1"];
        match known.contains(&version.as_str()) {
            true => Ok(message),
            false => Err(Unread::new("MSH-12", "expected a version from 2.3 to 2.5.1")),
        }
    }

    /// The repetitions of a field of the first segment with this name; none where it is empty.
    pub fn repetitions<'a>(&'a self, segment: &str, field: usize) -> Vec<Field<'a>> {
        self.all(segment).next().map(|found| found.repetitions(field)).unwrap_or_default()
    }

    /// Every segment with this name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = Segment<'a>> {
        let separators = self.separators;
        let found = self.segments.iter().filter(move |(own, _)| own == name);
        found.map(move |(_, fields)| Segment { fields, separators })
    }

    /// The text of a component, of the first repetition; empty where it isn't there.
    pub fn text(&self, segment: &str, field: usize, component: usize) -> String {
        self.repetitions(segment, field).first().map(|found| found.component(component)).unwrap_or_default()
    }

    /// The event: `A01`.
    pub fn event(&self) -> String {
        let event = self.text("MSH", 9, 2);
        if event.is_empty() { self.text("EVN", 1, 1) } else { event }
    }

    /// A time of HL7 v2, in `zone` where it names none.
    ///
    /// # Errors
    /// When it is there and isn't one, or names a moment that this zone doesn't have or has twice.
    pub fn time(&self, segment: &str, field: usize, zone: &TimeZone) -> Result<Option<Timestamp>, Unread> {
        let text = self.text(segment, field, 1);
        if text.is_empty() {
            return Ok(None);
        }
        let why = || Unread::new(format!("{segment}-{field}"), "expected a time, as 20260302100000+0100");
        time_of(&text, zone).map(Some).ok_or_else(why)
    }

    /// The answer to this message.
    pub fn answer(&self, code: &str, text: &str, now: &Zoned) -> String {
        let Separators { field, component, repetition, escape, subcomponent } = self.separators;
        let said = |field| self.raw("MSH", field);
        let time = now.strftime("%Y%m%d%H%M%S%z").to_string();
        let id: String =
            time.chars().filter(char::is_ascii_digit).chain(self.raw("MSH", 10).chars()).take(20).collect();
        let kind = format!("ACK{component}{}", self.event());
        let head = [
            "MSH".to_owned(),
            [component, repetition, escape, subcomponent].iter().collect(),
            said(5),
            said(6),
            said(3),
            said(4),
            time,
            String::new(),
            kind,
            id,
            said(11),
            said(12),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            "UNICODE UTF-8".to_owned(),
        ];
        let separator = field.to_string();
        let body = ["MSA".to_owned(), code.to_owned(), said(10), self.escaped(text)];
        format!("{}\r{}\r", head.join(&separator), body.join(&separator))
    }

    /// A field as it stands in the message.
    fn raw(&self, segment: &str, field: usize) -> String {
        let found = self.segments.iter().find(|(name, _)| name == segment);
        found.and_then(|(_, fields)| fields.get(field - 1)).cloned().unwrap_or_default()
    }

    fn escaped(&self, text: &str) -> String {
        let Separators { field, component, repetition, escape, subcomponent } = self.separators;
        let mut out = String::new();
        for c in text.chars() {
            let code = match c {
                c if c == escape => 'E',
                c if c == field => 'F',
                c if c == component => 'S',
                c if c == repetition => 'R',
                c if c == subcomponent => 'T',
                c => {
                    out.push(if c.is_control() { ' ' } else { c });
                    continue;
                }
            };
            out.extend([escape, code, escape]);
        }
        out
    }
}

/// An answer to what is no message at all.
pub fn answer_to_noise(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control() && !"|^~\\&".contains(*c)).collect();
    format!("MSH|^~\\&|||||||ACK||P|2.5\rMSA|AR||{clean}\r")
}

/// A segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    fields: &'a [String],
    separators: Separators,
}

impl<'a> Segment<'a> {
    /// The repetitions of a field that say something.
    pub fn repetitions(&self, field: usize) -> Vec<Field<'a>> {
        let separators = self.separators;
        let text = self.fields.get(field - 1).map(String::as_str).unwrap_or_default();
        let all = text.split(separators.repetition).filter(|one| !one.is_empty() && *one != "\"\"");
        all.map(|text| Field { text, separators }).collect()
    }
}

/// One repetition of a field.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    text: &'a str,
    separators: Separators,
}

impl Field<'_> {
    /// A component, from 1, decoded; empty where it isn't there. Its subcomponents are joined by `&`.
    pub fn component(&self, number: usize) -> String {
        let text = self.text.split(self.separators.component).nth(number - 1).unwrap_or_default();
        let parts = text.split(self.separators.subcomponent).map(|part| decoded(part, self.separators));
        let joined = parts.collect::<Vec<_>>().join("&");
        match joined.as_str() {
            "\"\"" => String::new(),
            _ => joined.trim().to_owned(),
        }
    }
}

/// The characters of a message, as MSH-18 says; where it says nothing, UTF-8 or ASCII.
fn text_of(bytes: &[u8], separator: char) -> Result<String, Unread> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return match text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
            true => Err(Unread::new("", "a control character")),
            false => Ok(text.to_owned()),
        };
    }
    let first = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let separator = u8::try_from(separator).expect("ASCII");
    let said = first.split(|byte| *byte == separator).nth(17).unwrap_or_default();
    match said.starts_with(b"8859/1") && !said.starts_with(b"8859/15") {
        true => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        false => Err(Unread::new(
            "MSH-18",
            "these are no characters of UTF-8: say `UNICODE UTF-8` or `8859/1` in MSH-18, and send that",
        )),
    }
}

fn decoded(text: &str, separators: Separators) -> String {
    if !text.contains(separators.escape) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(separators.escape) {
        out.push_str(before);
        let Some((code, after)) = after.split_once(separators.escape) else {
            out.push(separators.escape);
            rest = after;
            continue;
        };
        match code {
            "F" => out.push(separators.field),
            "S" => out.push(separators.component),
            "R" => out.push(separators.repetition),
            "T" => out.push(separators.subcomponent),
            "E" => out.push(separators.escape),
            // Bytes, marks of text: none that an identifier has.
            _ => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `YYYYMMDDHHMM[SS[.S]][+ZZZZ]`
fn time_of(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (clock, offset) = match text.find(['+', '-']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let clock = clock.split('.').next().unwrap_or_default();
    if !clock.bytes().all(|b| b.is_ascii_digit()) || ![12, 14].contains(&clock.len()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| clock.get(range).and_then(|digits| digits.parse::<i16>().ok());
    let small = |range| part(range).and_then(|number| i8::try_from(number).ok());
    let second = if clock.len() == 14 { small(12..14)? } else { 0 };
    let local =
        DateTime::new(part(0..4)?, small(4..6)?, small(6..8)?, small(8..10)?, small(10..12)?, second, 0).ok()?;
    let zone = match offset {
        None => zone.clone(),
        Some(offset) => {
            let (sign, digits) = offset.split_at(1);
            if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let minutes = digits[..2].parse::<i32>().ok()? * 60 + digits[2..].parse::<i32>().ok()?;
            let seconds = 60 * if sign == "-" { -minutes } else { minutes };
            TimeZone::fixed(Offset::from_seconds(seconds).ok()?)
        }
    };
    zone.to_ambiguous_timestamp(local).unambiguous().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_repetitions_components_and_escapes_are_read() {
        let text = "MSH|^~\\&|HIS|F|SIL|F|20260302||ADT^A01|7|P|2.5\rPID|1||A&B^x^\\T\\y~C^\\S\\|\"\"\r\nZZZ|1\r";
        let message = Message::parse(text.as_bytes()).expect("read");
        assert_eq!((message.event().as_str(), message.text("MSH", 10, 1).as_str()), ("A01", "7"));
        let found = message.repetitions("PID", 3);
        assert_eq!((found[0].component(1), found[0].component(3)), ("A&B".to_owned(), "&y".to_owned()));
        assert_eq!((found[1].component(2), found[1].component(9)), ("^".to_owned(), String::new()));
        assert!(message.repetitions("PID", 4).is_empty() && message.repetitions("PV1", 7).is_empty());
        let now = "2026-03-02T10:00:00+01:00[Europe/Paris]".parse().expect("a time");
        let answer = message.answer("AE", "PID-3: no|INS", &now);
        assert!(answer.starts_with("MSH|^~\\&|SIL|F|HIS|F|20260302100000+0100||ACK^A01|"), "{answer}");
        assert!(answer.ends_with("|UNICODE UTF-8\rMSA|AE|7|PID-3: no\\F\\INS\r"), "{answer}");
        let back = Message::parse(answer.as_bytes()).expect("an answer is a message");
        assert_eq!(back.text("MSA", 3, 1), "PID-3: no|INS");
    }

    #[test]
    fn times_are_read_with_their_zone_or_in_the_one_given() {
        let paris = TimeZone::get("Europe/Paris").expect("known");
        for (text, expected) in [
            ("20260302100000", "2026-03-02T09:00:00Z"),
            ("202603021000", "2026-03-02T09:00:00Z"),
            ("20260302100000.1234+0000", "2026-03-02T10:00:00Z"),
            ("20260702100000-0500", "2026-07-02T15:00:00Z"),
        ] {
            assert_eq!(time_of(text, &paris).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "2026", "20261302100000", "20260329023000", "2026030210000x", "20260302100000+1", "é0260302100000"]
        {
            assert_eq!(time_of(text, &paris), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &b""[..],
            b"MSH",
            b"MSH|^^\\&|",
            b"MSH|^~\\&|a\rPID|\xff",
            b"FHS|^~\\&|",
            b"MSH|^~\\&|a|b|c|d|e||ADT^A01|1|P|2.7\r",
            b"MSH|^~\\&|a|b|c|d|e||ADT^A01|1|P|2.5\rlong|x",
        ] {
            assert!(Message::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        let latin = b"MSH|^~\\&|a|b|c|d|e||ADT^A01|1|P|2.5||||||8859/1\rPID|\xe9\r";
        assert_eq!(Message::parse(latin).expect("said so").text("PID", 1, 1), "é");
    }
}
