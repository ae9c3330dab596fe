//! Reading TOML strictly: every key is known, every value is of its kind, and what is wrong has a line.
//!
//! Errors are gathered instead of returned: whoever wrote the file sees all of them at once.

use std::cell::RefCell;
use std::ops::Range;

use sillage_rules::time::TimeMs;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A fault in a scenario file, and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub message: String,
}

/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A text with the line that it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'t> {
    pub text: &'t str,
    pub line: usize,
}

/// The file, and what was wrong in it so far.
pub(super) struct Reader<'i> {
    source: &'i str,
    errors: RefCell<Vec<ScenarioError>>,
}

impl<'i> Reader<'i> {
    pub fn new(source: &'i str) -> Self {
        Self { source, errors: RefCell::default() }
    }

    /// Every error, in the order of the lines; none if the file is good.
    pub fn finish(self) -> Vec<ScenarioError> {
        let mut errors = self.errors.into_inner();
        errors.sort();
        errors.dedup();
        errors
    }

    pub fn error(&self, line: usize, message: impl Into<String>) {
        self.errors.borrow_mut().push(ScenarioError { line, message: message.into() });
    }

    pub fn line_of(&self, span: Range<usize>) -> usize {
        let before = &self.source.as_bytes()[..span.start.min(self.source.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn line(&self, value: &Value<'_>) -> usize {
        self.line_of(value.span())
    }

    pub fn table<'t>(&'t self, what: &'static str, value: &'t Value<'i>) -> Option<Table<'t, 'i>> {
        let line = self.line(value);
        match value.as_ref() {
            DeValue::Table(map) => Some(Table { reader: self, what, line: self.first_line(map).unwrap_or(line), map }),
            _ => self.wrong(line, what, "a table"),
        }
    }

    /// The line of the first key: where a header stands far above, people look here.
    fn first_line(&self, map: &DeTable<'i>) -> Option<usize> {
        map.keys().map(|key| key.span().start).min().map(|start| self.line_of(start..start))
    }

    fn wrong<T>(&self, line: usize, what: &str, expected: &str) -> Option<T> {
        self.error(line, format!("`{what}` is {expected}"));
        None
    }

    /// A text that isn't empty.
    pub fn text<'t>(&self, what: &str, value: &'t Value<'i>) -> Option<Text<'t>> {
        let line = self.line(value);
        match value.as_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(Text { text, line }),
            _ => self.wrong(line, what, "a text, and not an empty one"),
        }
    }

    pub fn list<'t>(&self, what: &str, value: &'t Value<'i>) -> Option<Vec<&'t Value<'i>>> {
        match value.as_ref() {
            DeValue::Array(values) => Some(values.iter().collect()),
            _ => self.wrong(self.line(value), what, "a list"),
        }
    }

    pub fn texts<'t>(&self, what: &str, value: &'t Value<'i>) -> Option<Vec<Text<'t>>> {
        self.list(what, value)?.into_iter().map(|value| self.text(what, value)).collect()
    }

    pub fn boolean(&self, what: &str, value: &Value<'i>) -> Option<bool> {
        match value.as_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong(self.line(value), what, "true or false"),
        }
    }

    pub fn number(&self, what: &str, value: &Value<'i>) -> Option<u64> {
        let number = match value.as_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number.or_else(|| self.wrong(self.line(value), what, "a whole number, 0 or more"))
    }

    pub fn time(&self, what: &str, value: &Value<'i>) -> Option<TimeMs> {
        let line = self.line(value);
        let text = match value.as_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            _ => return self.wrong(line, what, "a time, such as \"2026-03-02T09:00:00Z\""),
        };
        match text.parse() {
            Ok(time) => Some(time),
            Err(error) => {
                self.error(line, format!("`{what}`: {error}"));
                None
            }
        }
    }

    /// One of a closed list.
    pub fn token<T: Copy>(&self, what: &str, text: Text<'_>, all: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
        let found = all.iter().copied().find(|known| name(*known) == text.text);
        if found.is_none() {
            let known: Vec<_> = all.iter().map(|known| name(*known)).collect();
            self.error(text.line, format!("`{what}` is one of {}, and not {:?}", known.join(", "), text.text));
        }
        found
    }
}

/// A table of the file.
#[derive(Clone, Copy)]
pub(super) struct Table<'t, 'i> {
    pub reader: &'t Reader<'i>,
    pub what: &'static str,
    pub line: usize,
    map: &'t DeTable<'i>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// The whole file.
    pub fn root(reader: &'t Reader<'i>, root: &'t DeTable<'i>) -> Self {
        Self { reader, what: "the file", line: 1, map: root }
    }

    /// Refuses every key but these.
    pub fn only(&self, known: &[&str]) {
        for key in self.map.keys().filter(|key| !known.contains(&key.as_ref().as_ref())) {
            let (line, name) = (self.reader.line_of(key.span()), key.as_ref());
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            self.reader.error(line, format!("unknown key {name:?} of {}: it has {known}", self.what));
        }
    }

    pub fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.map.iter().find(|(known, _)| known.as_ref() == key).map(|(_, value)| value)
    }

    pub fn required(&self, key: &str) -> Option<&'t Value<'i>> {
        let value = self.get(key);
        if value.is_none() {
            self.reader.error(self.line, format!("`{key}` of {} is missing", self.what));
        }
        value
    }

    pub fn text(&self, key: &'static str) -> Option<Text<'t>> {
        self.reader.text(key, self.required(key)?)
    }

    pub fn optional_text(&self, key: &'static str) -> Option<Text<'t>> {
        self.reader.text(key, self.get(key)?)
    }

    pub fn texts(&self, key: &'static str) -> Option<Vec<Text<'t>>> {
        self.reader.texts(key, self.get(key)?)
    }

    /// Every key with its line and value, in the order of the file.
    pub fn entries(&self) -> Vec<(Text<'t>, &'t Value<'i>)> {
        let mut entries: Vec<_> = self.map.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let text = |key: &'t Spanned<_>| Text {
            text: AsRef::<str>::as_ref(key.as_ref()),
            line: self.reader.line_of(key.span()),
        };
        entries.into_iter().map(|(key, value)| (text(key), value)).collect()
    }

    /// The tables of a list, as `[[key]]` makes it.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'t, 'i>> {
        let values = self.get(key).and_then(|value| self.reader.list(key, value)).unwrap_or_default();
        values.into_iter().filter_map(|value| self.reader.table(key, value)).collect()
    }
}
