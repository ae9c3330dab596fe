//! Text of records and of people, as a page may show it.

use sillage_words::clean::clean;

/// Text that comes from a record, a person or a configuration. What could turn the reading order of the words around it, and
/// control characters (NUL too), are out of it from the start; markup in it is escaped when it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(String);

impl Text {
    /// The cleaned text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether there is nothing to read in it.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(clean(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(clean(&text))
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self(clean(text))
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_the_reading_order_and_control_characters_are_taken_out() {
        assert_eq!(Text::from("a\u{202e}b\0c\nd").as_str(), "ab c d");
        assert!(Text::from(" \u{200f}\0").is_empty());
    }
}
