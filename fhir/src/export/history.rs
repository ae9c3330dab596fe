//! The fate of the directives of a trace: which hold, and which ended when and by what.

use std::collections::{HashMap, HashSet};

use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::state::DirectiveEntry;
use sillage_rules::consent::{Event, Meta, PatientState};
use sillage_rules::record::ParsedRecord;

use super::Line;

/// One directive.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// As it stands after all lines of the trace.
    pub entry: &'a DirectiveEntry,
    /// The record that it is from.
    pub record: &'a ParsedRecord,
    /// Kept from representatives.
    pub secret: bool,
}

/// The directives of a trace.
#[derive(Debug)]
pub struct Directives<'a> {
    /// The open tag's, then the second one's: each has its own rules.
    states: [PatientState; 2],
    records: HashMap<LeafIndex, (&'a ParsedRecord, bool)>,
    indices: HashSet<LeafIndex>,
}

impl<'a> Directives<'a> {
    /// Folds the lines, oldest first, as the ledger does.
    pub fn of(lines: &'a [Line]) -> Self {
        let mut states = [PatientState::default(), PatientState::default()];
        let mut records = HashMap::new();
        for line in lines {
            let Some(record) = line.record.as_ref().filter(|_| line.voided_by.is_none()) else { continue };
            let (index, time) = (line.index.into(), line.recorded_at_ms.into());
            // The ledger took it, so it is understood; what isn't has no effect there either.
            let understood = Event::of(record).ok().flatten().zip(Meta::of(record, index, time, false, false).ok());
            if let Some((event, meta)) = understood {
                states[usize::from(line.secret)].apply(&event, &meta);
                records.insert(index, (record, line.secret));
            }
        }
        let indices = states.iter().flat_map(PatientState::directives).map(|entry| entry.stamp.index).collect();
        Self { states, records, indices }
    }

    /// Every directive whose record can be read, in the order of the log.
    pub fn iter(&self) -> impl Iterator<Item = History<'_>> {
        let mut all = Vec::new();
        for entry in self.states.iter().flat_map(PatientState::directives) {
            if let Some((record, secret)) = self.records.get(&entry.stamp.index) {
                all.push(History { entry, record, secret: *secret });
            }
        }
        all.sort_by_key(|history: &History<'_>| history.entry.stamp.index);
        all.into_iter()
    }

    /// The states that follow from the lines: the open tag's, then the secret one's.
    pub(super) fn states(&self) -> &[PatientState; 2] {
        &self.states
    }

    /// A record that decided something, and whether it is kept from representatives.
    pub(super) fn record(&self, index: LeafIndex) -> Option<(&'a ParsedRecord, bool)> {
        self.records.get(&index).copied()
    }

    /// Tells whether this record is that of a directive.
    pub fn has(&self, index: LeafIndex) -> bool {
        self.indices.contains(&index)
    }
}
