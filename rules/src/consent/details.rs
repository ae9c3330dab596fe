//! Reading a record's details: strict JSON, errors with a path and without content.
//!
//! A record holds health data; an error travels further than the record. So a message names the field and what it takes,
//! never what stood there.

use serde::de::DeserializeOwned;

use crate::check;
use crate::codes::Code;
use crate::error::RecordError;
use crate::limits::*;

/// Most characters of a path that an error shows: the names of unknown fields are the author's.
const PATH_CHARS_MAX: usize = 120;

/// Reads the details of a record. No details are the empty object.
///
/// # Errors
/// With the path of what is wrong, as `details.grantee.profession`.
pub(crate) fn parse<T: DeserializeOwned>(details: &str) -> Result<T, RecordError> {
    let text = if details.is_empty() { "{}" } else { details };
    let mut input = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let path: String = error.path().to_string().chars().take(PATH_CHARS_MAX).collect();
        let path = path.trim_end_matches(['?', '.']);
        let (code, message) = without_content(&error.into_inner().to_string());
        RecordError::new(code, path, message).within("details")
    })
}

/// A serde error that carries a code through the deserializer.
pub(crate) fn coded<E: serde::de::Error>(error: &RecordError) -> E {
    E::custom(format_args!("{}: {}", error.code, error.message))
}

/// The message of serde, without its quotes from the text.
fn without_content(message: &str) -> (Code, String) {
    let message = message.rsplit_once(" at line ").map_or(message, |(what, _)| what);
    if let Some((code, rest)) = message.split_once(": ")
        && let Some(code) = Code::from_name(code)
    {
        return (code, rest.to_owned());
    }
    let text = if message.starts_with("unknown field") {
        "unknown field".to_owned()
    } else if message.starts_with("missing field") || message.starts_with("duplicate field") {
        message.to_owned()
    } else if let Some((_, expected)) = message.rsplit_once("expected ") {
        format!("expected {expected}")
    } else {
        "can't be understood".to_owned()
    };
    (Code::MalformedRecord, text)
}

/// Most entries of a list in a directive.
pub const LIST_MAX: usize = 256;

/// A free token: a category, a label, a profession, a purpose. As long as what records say of items and actors, so that
/// everything on record can be named.
pub(crate) fn token(path: &str, token: &str) -> Result<(), RecordError> {
    check::line(path, token, TOKEN_BYTES_MAX)?;
    if token.is_empty() || token.trim() != token {
        let why = "a token isn't empty and has no spaces around it";
        return Err(RecordError::new(Code::UnknownToken, path, why));
    }
    Ok(())
}

/// An id, of an item, a consent, a break-glass or a structure.
pub(crate) fn id(path: &str, id: &str) -> Result<(), RecordError> {
    check::required(path, id)?;
    check::line(path, id, ID_BYTES_MAX)
}

/// A list that, where it is given, holds something.
pub(crate) fn list(
    path: &str,
    values: Option<&Vec<String>>,
    each: fn(&str, &str) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let Some(values) = values else {
        return Ok(());
    };
    not_empty(path, values)?;
    check::at_most(path, values.len(), LIST_MAX)?;
    values.iter().enumerate().try_for_each(|(at, value)| each(&format!("{path}[{at}]"), value))
}

/// An empty list would mean all or nothing, and people differ on which.
pub(crate) fn not_empty<T>(path: &str, values: &[T]) -> Result<(), RecordError> {
    match values.is_empty() {
        false => Ok(()),
        true => Err(RecordError::malformed(path, "an empty list: leave it out, or say what is meant")),
    }
}
