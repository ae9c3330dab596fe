//! Consents that were imported before: what a withdrawn one ends, and what a changed one replaces.
//!
//! The ledger keeps no versions of Consents: a directive that is in force has its id, and whoever hands in the Consent
//! again is told that the id is taken. Then what is on record is looked at: the same directives are on record already;
//! other ones are ended by the batch that brings the new ones, so that there is no moment without either.

use std::collections::HashMap;

use sillage_rules::consent::directive::Directive;
use sillage_rules::consent::state::DirectiveEntry;

use crate::author::Tags;
use crate::consent::known::{AsOf, Known};
use crate::error::ClientError;
use crate::fhir::{FhirError, MappedRecord};
use crate::session::Session;

/// What is said of an older version in a history.
pub(super) const SUPERSEDED: &str = "an older version of a Consent: the newest one in this history counts";

/// One directive of a Consent as it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub id: String,
    /// Its record.
    pub index: u64,
    /// The record that ended it.
    pub ended_by: Option<u64>,
    /// Whether it is in force or will be.
    pub is_alive: bool,
    /// When its Consent was given, ms; none where the record was erased.
    given_ms: Option<u64>,
    directive: Directive,
}

/// What becomes of a Consent whose ids are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replacement {
    /// It is on record already, at these places.
    OnRecord(Vec<u64>),
    /// It replaces what is on record: these end.
    Ends(Vec<String>),
    /// It was given before what is on record.
    Older,
}

/// The directives on record that are of one Consent; `first` is the id of its first one.
///
/// # Errors
/// As for [`Known::fetch`].
pub(super) async fn of_consent(
    session: &Session,
    tags: &Tags,
    record: &MappedRecord,
    first: &str,
) -> Result<Vec<Recorded>, ClientError> {
    let patient = record.patient.clone().unwrap_or_default();
    let known = Known::fetch(session, tags.both(&patient.ins, &patient.oid).await?, AsOf::Now).await?;
    let side = if record.secret { known.secret.as_ref() } else { Some(&known.open) };
    let Some(side) = side else { return Ok(Vec::new()) };
    let given: HashMap<u64, u64> = side
        .records
        .iter()
        .filter_map(|decided| Some((decided.line.entry.index.get(), decided.line.record.as_ref()?.occurred_at_ms())))
        .collect();
    let entries = side.state.directives().iter().filter(|entry| is_of(&entry.directive.id, first));
    let one = |entry: &DirectiveEntry| Recorded {
        id: entry.directive.id.clone(),
        index: entry.stamp.index.get(),
        ended_by: entry.ended_by.map(|by| by.get()),
        is_alive: entry.period.is_alive(known.at()),
        given_ms: given.get(&entry.stamp.index.get()).copied(),
        directive: entry.directive.clone(),
    };
    Ok(entries.map(one).collect())
}

/// Whether a directive is of the Consent whose first directive is `first`: `first` itself, or `first#2` and so on.
fn is_of(id: &str, first: &str) -> bool {
    match id.strip_prefix(first) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('#').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
        None => false,
    }
}

/// What becomes of a Consent that says `new`, given at `given_ms`.
pub(super) fn replacement(on_record: &[Recorded], new: &[Directive], given_ms: u64) -> Replacement {
    let alive: Vec<&Recorded> = on_record.iter().filter(|recorded| recorded.is_alive).collect();
    let says_the_same = |(recorded, new): (&&Recorded, &Directive)| {
        let old = &recorded.directive;
        old.id == new.id && old.provision == new.provision && old.except == new.except
    };
    if alive.len() == new.len() && alive.iter().zip(new).all(says_the_same) {
        return Replacement::OnRecord(alive.iter().map(|recorded| recorded.index).collect());
    }
    match is_older(on_record, given_ms) {
        true => Replacement::Older,
        false => Replacement::Ends(alive.iter().map(|recorded| recorded.id.clone()).collect()),
    }
}

/// Whether something of the Consent that is in force was given after `given_ms`.
pub(super) fn is_older(on_record: &[Recorded], given_ms: u64) -> bool {
    let mut alive = on_record.iter().filter(|recorded| recorded.is_alive);
    alive.any(|recorded| recorded.given_ms.is_some_and(|given| given > given_ms))
}

/// A Consent that was given before what is on record of it.
pub(super) fn older() -> FhirError {
    let why = "given before the version of this Consent that is on record: import the newest one";
    FhirError::new("Consent.dateTime", why)
}

/// A withdrawn Consent that nothing is on record of.
pub(super) fn never_recorded() -> FhirError {
    let why = "inactive: it permits and denies nothing, and no directive of it is on record that could be ended";
    FhirError::new("Consent.status", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directive(id: &str, purpose: &str) -> Directive {
        let details = format!(
            r#"{{"id": "{id}", "effect": "permit", "grantee": {{"organisation": "F100"}}, "actions": ["read"], "purposes": ["{purpose}"]}}"#
        );
        Directive::parse(&details).expect("a directive")
    }

    fn recorded(index: u64, directive: Directive, is_alive: bool) -> Recorded {
        let id = directive.id.clone();
        Recorded { id, index, ended_by: None, is_alive, given_ms: Some(1_000), directive }
    }

    #[test]
    fn ids_of_one_consent_are_told_from_those_of_another() {
        for (id, fits) in [("Consent/c", true), ("Consent/c#2", true), ("Consent/c2", false), ("Consent/c#", false)] {
            assert_eq!(is_of(id, "Consent/c"), fits, "{id}");
        }
    }

    #[test]
    fn the_same_is_on_record_and_another_is_replaced() {
        let old = [recorded(3, directive("c", "TREAT"), true), recorded(2, directive("c", "HPAYMT"), false)];
        let same = [directive("c", "TREAT")];
        assert_eq!(replacement(&old, &same, 500), Replacement::OnRecord(vec![3]));
        let other = [directive("c", "HRESCH"), directive("c#2", "TREAT")];
        assert_eq!(replacement(&old, &other, 1_000), Replacement::Ends(vec!["c".to_owned()]));
        assert_eq!(replacement(&old, &other, 999), Replacement::Older);
    }
}
