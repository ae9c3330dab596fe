//! Where the log and what it must be part.

use serde_json::{Value, json};

/// The first entry at which the log isn't what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index}: expected {expected}, found {found}")]
pub struct Divergence {
    /// Place in the log, from 0.
    pub index: u64,
    /// The content that had to be there.
    pub expected: String,
    /// The content that is there.
    pub found: String,
}

impl Divergence {
    /// A divergence at `index`.
    pub fn new(index: u64, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { index, expected: expected.into(), found: found.into() }
    }

    /// As an object.
    pub fn to_json(&self) -> Value {
        json!({"index": self.index, "expected": self.expected, "found": self.found})
    }
}
