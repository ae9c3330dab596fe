//! Consents of one id that are of two servers: two Consents.
//!
//! A Consent goes on record with the server that it is from. Where another server's Consent has its id, its directives have the
//! server in front of theirs, and later versions of it are found under that.

use std::collections::BTreeSet;

use super::Import;
use super::chunk::{Waiting, What};
use super::consents::{self, New, Recorded};
use super::known::new_record;
use crate::author::prepare;
use crate::error::ClientError;
use sillage_fhir::import::consent::{id_at, renamed};
use sillage_fhir::import::{Ends, MappedRecord};

impl<F: Clone> Import<'_, F> {
    fn mapped(&self, waiting: &Waiting) -> Option<&MappedRecord> {
        match &self.chunk[waiting.line].what {
            What::Record(boxed) => Some(&boxed.0),
            _ => None,
        }
    }

    /// The bytes of records in which a server is named, as they are signed. What is known of them already is known without it: the
    /// versions before had none.
    pub(super) async fn with_servers(&self, mut todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let of_server = |waiting: &Waiting| self.mapped(waiting).filter(|mapped| mapped.has_servers());
        let records: Vec<_> = todo.iter().filter_map(of_server).map(new_record).collect();
        let mut encoded = prepare(&self.recorder.tags, records).await?.into_iter();
        for waiting in &mut todo {
            if of_server(waiting).is_some() {
                waiting.record = encoded.next().expect("one for each");
            }
        }
        Ok(todo)
    }

    /// Before anything is sent: Consents of which an earlier version is on record under the name that has its server in it.
    pub(super) async fn of_other_servers(&mut self, todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let mut groups: BTreeSet<u64> = BTreeSet::new();
        for waiting in todo.iter().filter(|waiting| waiting.of_consent) {
            let Some(mapped) = self.mapped(waiting).filter(|mapped| mapped.ends() != Some(Ends::Revoked)) else {
                continue;
            };
            let (Some(group), Some(note)) = (waiting.group, &mapped.directive) else { continue };
            let Some(id) = id_at(&mapped.server, &note.id) else { continue };
            let mapped = mapped.clone();
            if self.in_force.has_directive(self.session, &self.recorder.tags, &mapped, &id).await? {
                groups.insert(group);
            }
        }
        let mut out = Vec::new();
        let mut rest = todo;
        for group in groups {
            let (these, others) = rest.into_iter().partition(|waiting: &Waiting| waiting.group == Some(group));
            rest = others;
            self.replaced.insert(group);
            out.extend(self.replace(these).await?);
        }
        out.extend(rest);
        Ok(out)
    }

    /// The records of a Consent. Where that is another server's, or there is an earlier version under the name that has its
    /// server in it, the records of `group` have that name from now on.
    pub(super) async fn on_record_of(&mut self, group: &mut Vec<Waiting>) -> Result<Vec<Recorded>, ClientError> {
        let Some(first) = group.first().and_then(|waiting| self.mapped(waiting)).cloned() else {
            return Ok(Vec::new());
        };
        let id = first.directive.as_ref().map(|note| note.id.clone()).unwrap_or_default();
        let found = self.recorded_under(&first, &id).await?;
        let new = New::of(&first, &serde_json::Value::Null);
        if id_at(&first.server, &id).is_none() {
            return Ok(found.plain);
        }
        let is_anothers = found.plain.iter().any(|recorded| recorded.is_alive && recorded.is_of_another_server(&new));
        if !is_anothers && !found.named.iter().any(|recorded| recorded.is_alive) {
            return Ok(found.plain);
        }
        for waiting in group.iter() {
            if let What::Record(boxed) = &mut self.chunk[waiting.line].what
                && let Some(renamed) = renamed(&boxed.0, &id)
            {
                boxed.0 = renamed;
            }
        }
        *group = self.with_servers(std::mem::take(group)).await?;
        Ok(found.named)
    }

    /// The records of a Consent under its id, and under the name that has its server in it.
    pub(super) async fn recorded_under(&self, first: &MappedRecord, id: &str) -> Result<Under, ClientError> {
        let named = id_at(&first.server, id);
        let ids: Vec<&str> = std::iter::once(id).chain(named.as_deref()).collect();
        let found = consents::of_consent(self.session, &self.recorder.tags, first, &ids).await?;
        let mut found = found.into_iter();
        Ok(Under { plain: found.next().unwrap_or_default(), named: found.next().unwrap_or_default() })
    }
}

/// The records of a Consent.
pub(super) struct Under {
    /// Under its id.
    pub plain: Vec<Recorded>,
    /// Under the name that has its server in it.
    pub named: Vec<Recorded>,
}
