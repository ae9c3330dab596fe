//! The names of a file, to which its later parts refer.

use std::collections::BTreeMap;

use sillage_rules::consent::{Action, ActorKind};
use sillage_rules::time::TimeMs;

use super::read::{Reader, Table, Text, Value};
use super::{ScenarioActor, ScenarioItem};

/// The names that later parts of a file refer to.
pub(super) struct Names<'n> {
    pub clock: TimeMs,
    pub actors: &'n BTreeMap<String, ScenarioActor>,
    pub items: &'n BTreeMap<String, ScenarioItem>,
}

impl Names<'_> {
    /// An actor of the file.
    pub fn actor(&self, table: Table<'_, '_>, text: Text<'_>) -> Option<String> {
        if !self.actors.contains_key(text.text) {
            table.reader.error(text.line, format!("no actor is called {:?}: add [actors.{}]", text.text, text.text));
            return None;
        }
        Some(text.text.to_owned())
    }

    /// A patient of the file.
    pub fn patient(&self, table: Table<'_, '_>, text: Text<'_>) -> Option<String> {
        let name = self.actor(table, text)?;
        if self.actors[&name].kind != ActorKind::Patient {
            table.reader.error(text.line, format!("{name:?} is no patient"));
            return None;
        }
        Some(name)
    }

    /// An item of the file.
    pub fn item(&self, table: Table<'_, '_>, text: Text<'_>) -> Option<String> {
        if !self.items.contains_key(text.text) {
            table.reader.error(text.line, format!("no item has the id {:?}: add it as [[items]]", text.text));
            return None;
        }
        Some(text.text.to_owned())
    }
}

/// Actions of a list.
pub(super) fn actions(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<Action>> {
    let texts = reader.texts("actions", value)?;
    texts.into_iter().map(|text| reader.token("actions", text, Action::ALL, Action::as_str)).collect()
}
