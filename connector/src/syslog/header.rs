//! The header of a syslog message (RFC 5424), as it comes in the field: any priority (IHE says 85; 80 and 110 are seen too), with
//! a byte order mark before the content or without, with a newline before the XML or without.

use super::event::Unread;

/// The parts of a header that are read, and the message after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Facility and severity, 0 to 191.
    pub priority: u8,
    /// When the sender wrote the message, RFC 3339; none where it has no clock.
    pub timestamp: Option<&'a str>,
    /// The machine; empty where it isn't said.
    pub host: &'a str,
    /// The program; empty where it isn't said.
    pub application: &'a str,
    /// The kind of message, as `IHE+RFC-3881`; empty where it isn't said.
    pub message_id: &'a str,
    /// The message, without a mark and white space before it.
    pub content: &'a [u8],
}

/// Longest part of a header, bytes: RFC 5424 allows 255 for the longest.
const PART_BYTES_MAX: usize = 255;

/// Reads a message as it came in its frame.
///
/// # Errors
/// When it has no header of RFC 5424.
pub fn parse(frame: &[u8]) -> Result<Header<'_>, Unread> {
    let no = |why: &str| Unread::new("syslog header", why);
    let (priority, rest) =
        priority(frame).ok_or_else(|| no("expected <PRI>1 of RFC 5424; the older syslog (RFC 3164) isn't read"))?;
    let mut rest = rest;
    let mut parts = [""; 5];
    for part in &mut parts {
        let end = rest.iter().take(PART_BYTES_MAX + 1).position(|b| *b == b' ');
        let end = end.ok_or_else(|| no("it ends early, or a part of it is too long"))?;
        let text = std::str::from_utf8(&rest[..end]).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
        *part = text.ok_or_else(|| no("expected printable ASCII"))?;
        rest = &rest[end + 1..];
    }
    let [timestamp, host, application, _process, message_id] = parts.map(|part| if part == "-" { "" } else { part });
    let content = after_structured_data(rest).ok_or_else(|| no("its structured data isn't whole"))?;
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii();
    // A mark after a newline.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    let timestamp = (!timestamp.is_empty()).then_some(timestamp);
    Ok(Header { priority, timestamp, host, application, message_id, content })
}

/// `<85>1 `
fn priority(frame: &[u8]) -> Option<(u8, &[u8])> {
    let rest = frame.strip_prefix(b"<")?;
    let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    let number: u8 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let rest = rest[digits..].strip_prefix(b">1 ")?;
    (number <= 191).then_some((number, rest))
}

/// The rest after `-`, or after `[id name="value" ...]` in any number. A `]` in a value is escaped.
fn after_structured_data(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return match rest {
            [] => Some(rest),
            [b' ', rest @ ..] => Some(rest),
            _ => None,
        };
    }
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let (mut in_value, mut escaped) = (false, false);
        loop {
            at += 1;
            match bytes.get(at)? {
                _ if escaped => escaped = false,
                b'\\' if in_value => escaped = true,
                b'"' => in_value = !in_value,
                b']' if !in_value => break,
                _ => {}
            }
        }
        at += 1;
    }
    match bytes.get(at) {
        _ if at == 0 => None,
        None => Some(&[]),
        Some(b' ') => bytes.get(at + 1..),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_they_come_are_read() {
        for (frame, content) in [
            ("<85>1 2026-03-02T09:00:00.1Z h a 1 IHE+RFC-3881 - <a/>", "<a/>"),
            ("<80>1 - - - - - - \u{feff}\n<a/>", "<a/>"),
            ("<110>1 - - - - - [x@1 a=\"]\\\"\" b=\"\"][y] \n\u{feff}<a/>\n", "<a/>"),
            ("<85>1 - - - - - -", ""),
            ("<0>1 - - - - - [x]", ""),
        ] {
            let header = parse(frame.as_bytes()).unwrap_or_else(|error| panic!("{frame}: {error}"));
            assert_eq!(std::str::from_utf8(header.content), Ok(content), "{frame}");
        }
        let header = parse(b"<85>1 2026-03-02T09:00:00.1Z h a 1 IHE+RFC-3881 - x").expect("read");
        assert_eq!((header.priority, header.timestamp), (85, Some("2026-03-02T09:00:00.1Z")));
        assert_eq!((header.host, header.application, header.message_id), ("h", "a", "IHE+RFC-3881"));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for frame in [
            "",
            "<85>",
            "<999>1 - - - - - - x",
            "<85>Oct 11 22:14:15 host su: x",
            "<85>1 - - -",
            "<85>1 - - - - - x",
            "<85>1 - - - - - [x",
            "<85>1 - h\u{e9} - - - - x",
            "<85>1 - - - - - [x]y",
        ] {
            assert!(parse(frame.as_bytes()).is_err(), "{frame}");
        }
    }
}
