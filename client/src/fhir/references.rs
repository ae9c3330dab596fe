//! References within a resource: what they name, and what of it the resource contains.

use serde_json::Value;

use super::read::{list, text};

/// The references of one resource.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    contained: &'a [Value],
}

impl<'a> References<'a> {
    pub fn of(root: &'a Value) -> Self {
        Self { contained: list(root, "contained") }
    }

    /// The resource that a reference `#id` means.
    pub fn contained(self, reference: &Value) -> Option<&'a Value> {
        let id = text(reference, "reference").strip_prefix('#')?;
        self.contained.iter().find(|resource| text(resource, "id") == id)
    }

    /// What a reference says: its text, and (system, value) of the identifiers on it or on the resource it contains.
    pub fn named(self, reference: &Value) -> (String, Vec<(String, String)>) {
        let mut identifiers = vec![&reference["identifier"]];
        identifiers.extend(self.contained(reference).into_iter().flat_map(|c| list(c, "identifier")));
        let pair = |i: &&Value| (text(i, "system").to_owned(), text(i, "value").to_owned());
        let identifiers = identifiers.iter().map(pair).filter(|(_, value)| !value.is_empty()).collect();
        (text(reference, "reference").to_owned(), identifiers)
    }

    /// The type of the resource that a reference means; empty where nothing says it.
    pub fn target_type(self, reference: &'a Value) -> &'a str {
        if let Some(contained) = self.contained(reference) {
            return text(contained, "resourceType");
        }
        let path = text(reference, "reference").split("/_history/").next().unwrap_or_default();
        let segment = path.split('/').rev().nth(1).unwrap_or_default();
        let named = segment.chars().next().is_some_and(|c| c.is_ascii_uppercase());
        if named { segment } else { text(reference, "type") }
    }
}
