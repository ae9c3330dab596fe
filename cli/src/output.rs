//! Standard output and standard error.

use std::borrow::Cow;
use std::io::Write;

use sillage_client::error::ClientError;
use sillage_words::sentence::turns;

/// Prints one line of results.
///
/// # Errors
/// When standard output is closed or full.
pub fn line(text: &str) -> Result<(), ClientError> {
    lines(&[text.to_owned()])
}

/// Prints lines of results at once.
///
/// # Errors
/// As for [`line`].
pub fn lines(texts: &[String]) -> Result<(), ClientError> {
    let mut out = std::io::stdout().lock();
    let mut bytes = Vec::with_capacity(texts.iter().map(|t| t.len() + 1).sum());
    for text in texts {
        bytes.extend_from_slice(harmless(text).as_bytes());
        bytes.push(b'\n');
    }
    out.write_all(&bytes)
        .and_then(|()| out.flush())
        .map_err(|error| ClientError::Usage(format!("cannot write to standard output: {error}")))
}

/// Says something beside the results, on standard error.
pub fn note(text: &str) {
    // Where standard error is closed, no one listens.
    let _ = writeln!(std::io::stderr(), "sillage: {}", harmless(text));
}

/// Text as it may go to a terminal, whoever it came from: of characters that could move the cursor or turn the reading order,
/// only the ends of lines and tabs stay. In JSON they are written as escapes, so that it says the same.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let harms = |c: char| c.is_control() && c != '\n' && c != '\t' || turns(c);
    if !text.contains(harms) {
        return Cow::Borrowed(text);
    }
    let is_json = text.starts_with(['{', '[', '"']);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (harms(c), is_json) {
            (false, _) => out.push(c),
            (true, true) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            (true, false) if c.is_control() => out.push(' '),
            (true, false) => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_steers_no_terminal_and_json_says_the_same() {
        assert_eq!(harmless("a\tb\n"), "a\tb\n");
        assert_eq!(harmless("a\u{1b}[31mb\u{9b}c\u{202e}d\r"), "a [31mb cd ");
        let value = serde_json::json!({ "said": "a\u{1b}b\u{9b}c\u{202e}d" });
        let printed = harmless(&value.to_string()).into_owned();
        assert!(printed.is_ascii(), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"), value);
    }
}
