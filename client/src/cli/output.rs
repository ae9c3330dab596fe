//! Standard output and standard error.

use std::io::Write;

use crate::error::ClientError;

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
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
    }
    out.write_all(&bytes)
        .and_then(|()| out.flush())
        .map_err(|error| ClientError::Usage(format!("cannot write to standard output: {error}")))
}

/// Says something beside the results, on standard error.
pub fn note(text: &str) {
    // Where standard error is closed, no one listens.
    let _ = writeln!(std::io::stderr(), "sillage: {text}");
}
