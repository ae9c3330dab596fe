//! The claims of a token (RFC 7519 §4), read by name.

use serde_json::{Map, Value};

use super::jws::{Token, malformed};
use crate::error::RecordError;

/// The claims of a token. They name a person: never printed.
pub struct Claims(Map<String, Value>);

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(..)")
    }
}

impl Claims {
    /// Those of a token that was taken apart.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn parse(token: &Token) -> Result<Self, RecordError> {
        serde_json::from_str(&token.payload).map(Self).map_err(|_| malformed("its claims aren't a JSON object"))
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn text(&self, name: &str) -> Result<&str, RecordError> {
        self.optional_text(name)?.ok_or_else(|| malformed(&format!("the claim `{name}` is missing")))
    }

    /// A text, where it is there.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn optional_text(&self, name: &str) -> Result<Option<&str>, RecordError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(malformed(&format!("the claim `{name}` isn't a text"))),
        }
    }

    /// A text or a list of texts; none where it isn't there.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn list(&self, name: &str) -> Result<Vec<&str>, RecordError> {
        let wrong = || malformed(&format!("the claim `{name}` isn't a text or a list of texts"));
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => list.iter().map(|one| one.as_str().ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// A time, in seconds since 1970, where it is there.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn seconds(&self, name: &str) -> Result<Option<u64>, RecordError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(malformed(&format!("the claim `{name}` isn't a whole number of seconds"))),
            },
        }
    }
}
