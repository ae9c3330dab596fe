//! The refusal of a record: which field, and why.

use crate::codes::Code;

/// A record is refused: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", path, if path.is_empty() { "" } else { ": " })]
pub struct RecordError {
    /// The stable code.
    pub code: Code,
    /// The field, as `items[3].id`; empty where the record as a whole is meant.
    pub path: String,
    /// The fault.
    pub message: String,
}

impl RecordError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// A field that can't be understood.
    pub(crate) fn malformed(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::MalformedRecord, path, message)
    }

    pub(crate) fn new(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { code, path, message }
    }

    /// The same error, seen from the message that holds the field.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{parent}{dot}{}", self.path);
        self
    }
}
