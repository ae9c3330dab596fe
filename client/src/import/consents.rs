//! Consents that were imported before: what a withdrawn one ends, and what a changed one replaces.
//!
//! The ledger keeps no versions of Consents: a directive that is in force has its id, and whoever hands in the Consent
//! again is told that the id is taken. Then what is on record is looked at: the same directives are on record already;
//! other ones are ended by the batch that brings the new ones, so that there is no moment without either.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::consent::directive::Directive;
use sillage_rules::consent::state::DirectiveEntry;

use crate::author::Tags;
use crate::consent::known::{AsOf, Known};
use crate::error::ClientError;
use crate::session::Session;
use sillage_fhir::import::audit_event::SYSTEM_REFERENCE;
use sillage_fhir::import::consent::SYSTEM_LOG;
use sillage_fhir::import::history::Stamp;
use sillage_fhir::import::references::spelled_base;
use sillage_fhir::import::{FhirError, MappedRecord};

/// One directive of a Consent as it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub id: String,
    /// Its record.
    pub index: u64,
    /// The record that ended it.
    pub ended_by: Option<u64>,
    /// True if it is in force or will be.
    pub is_alive: bool,
    /// When its Consent was given, ms; none where the record was erased.
    given_ms: Option<u64>,
    /// The document that it was made from, where it is kept.
    original: Option<Value>,
    /// The server that its Consent is from; empty where that isn't known.
    server: String,
    /// The log on which it is.
    log: String,
    directive: Directive,
}

/// A version of a Consent that is imported.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct New<'a> {
    /// When it was given, ms.
    pub given_ms: u64,
    /// The document.
    pub document: &'a Value,
    /// The collector; none where that doesn't tell it from others.
    pub collector: Option<&'a ActorName>,
    /// The server that it is from; empty where that isn't known.
    pub server: &'a str,
}

impl<'a> New<'a> {
    /// Of the first record of a Consent.
    pub fn of(first: &'a MappedRecord, document: &'a Value) -> Self {
        let collector = first.directive.as_ref().and_then(|note| note.collector.as_ref());
        Self { given_ms: first.record.occurred_at_ms, document, collector, server: &first.server }
    }
}

impl Recorded {
    /// How it lies in time to another version; none where nothing says which is newer.
    fn order(&self, new: &New<'_>) -> Option<Ordering> {
        let Some(given_ms) = self.given_ms else { return Some(Ordering::Less) };
        match (given_ms.cmp(&new.given_ms), &self.original) {
            (Ordering::Equal, Some(original)) if original == new.document => Some(Ordering::Equal),
            (Ordering::Equal, Some(original)) => Stamp::of(original).order(&Stamp::of(new.document)),
            (Ordering::Equal, None) => None,
            (order, _) => Some(order),
        }
    }

    /// Tells whether it is of a Consent of another server.
    pub fn is_of_another_server(&self, new: &New<'_>) -> bool {
        !self.server.is_empty() && !new.server.is_empty() && self.server != new.server
    }

    /// Tells whether nothing says that both are of one server: one of the servers isn't known, they aren't made from the same document,
    /// and no business identifier is the same.
    fn may_be_of_another_server(&self, new: &New<'_>) -> bool {
        let is_one =
            |original: &Value| original == new.document || have_an_identifier_in_common(original, new.document);
        (self.server.is_empty() || new.server.is_empty()) && !self.original.as_ref().is_some_and(is_one)
    }

    /// Tells whether it is of another Consent of the same id: of another server, or that somebody else collected.
    pub fn is_anothers(&self, new: &New<'_>) -> bool {
        let collected = self.directive.collected.as_ref().map(|collected| &collected.collector);
        match (collected, new.collector) {
            _ if self.is_of_another_server(new) => true,
            (Some(own), Some(other)) if !may_be_one((own, &self.server), (other, new.server)) => true,
            (Some(own), Some(other)) => !(tells_apart(own) && tells_apart(other)) && self.may_be_of_another_server(new),
            // What the patient's own key signed here, nobody collected: in its export this log stands for whoever did.
            (None, Some(other)) => other.system() != SYSTEM_LOG || other.id() != self.log,
            (Some(_), None) => true,
            (None, None) => false,
        }
    }
}

/// Tells whether who collected two Consents says that they are one: a patient gives theirs at every server, and a relative reference is
/// somebody else at each.
fn tells_apart(collector: &ActorName) -> bool {
    *collector != ActorName::patient() && !is_relative(collector)
}

/// Tells whether a name is a reference that says nothing of its server.
fn is_relative(name: &ActorName) -> bool {
    name.system() == SYSTEM_REFERENCE && !name.id().contains("://")
}

/// Tells whether two collectors, each of a Consent of a server, may be the same one. Earlier versions put a relative reference on record
/// without the server.
fn may_be_one((own, own_server): (&ActorName, &str), (other, other_server): (&ActorName, &str)) -> bool {
    if own == other {
        return true;
    }
    if own.system() != SYSTEM_REFERENCE || other.system() != SYSTEM_REFERENCE {
        return false;
    }
    let whole = |name: &ActorName, server: &str| match is_relative(name) && !server.is_empty() {
        true => spelled_base(&format!("{server}/{}", name.id())),
        false => spelled_base(name.id()),
    };
    let (one, two) = (whole(own, own_server), whole(other, other_server));
    let ends_with = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|base| base.ends_with('/'));
    one == two || !one.contains("://") && ends_with(&two, &one) || !two.contains("://") && ends_with(&one, &two)
}

/// Tells whether two versions of a Consent have a business identifier in common. One without a system says nothing.
fn have_an_identifier_in_common(one: &Value, other: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |document: &Value| -> Vec<(String, String)> {
        let listed = document["identifier"].as_array().into_iter().flatten();
        let pairs = listed.map(|identifier| (text(&identifier["system"]), text(&identifier["value"])));
        pairs.filter(|(system, value)| !system.is_empty() && !value.is_empty()).collect()
    };
    let others = all(other);
    all(one).iter().any(|identifier| others.contains(identifier))
}

/// A Consent of this run that was withdrawn: what comes after it may be an older version of it.
#[derive(Debug, Clone)]
pub(super) struct Withdrawn {
    given_ms: u64,
    stamp: Stamp,
}

impl Withdrawn {
    /// Of the version that withdraws it.
    pub fn of(new: &New<'_>) -> Self {
        Self { given_ms: new.given_ms, stamp: Stamp::of(new.document) }
    }

    /// Why another version of it isn't recorded, if so: an older one was withdrawn since.
    pub fn refuses(&self, new: &New<'_>) -> Option<FhirError> {
        let order = match new.given_ms.cmp(&self.given_ms) {
            Ordering::Equal => Stamp::of(new.document).order(&self.stamp),
            order => Some(order),
        };
        match order {
            Some(Ordering::Greater) => None,
            Some(_) => Some(older()),
            None => Some(undecided()),
        }
    }
}

/// The fate of a Consent whose ids are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replacement {
    /// It is on record already, at these places.
    OnRecord(Vec<u64>),
    /// It replaces what is on record: these end.
    Ends(Vec<String>),
    /// It was given before what is on record.
    Older,
    /// Nothing says which of the two is newer.
    Undecided,
    /// The directives on record belong to another Consent, which somebody else collected.
    Anothers,
}

/// The directives on record that are of one Consent, for each of `firsts`: the ids that its first one may have.
///
/// # Errors
/// As for [`Known::fetch`].
pub(super) async fn of_consent(
    session: &Session,
    tags: &Tags,
    record: &MappedRecord,
    firsts: &[&str],
) -> Result<Vec<Vec<Recorded>>, ClientError> {
    let patient = record.patient.clone().unwrap_or_default();
    let known = Known::fetch(session, tags.both(&patient.ins, &patient.oid).await?, AsOf::Now).await?;
    let side = if record.secret { known.secret.as_ref() } else { Some(&known.open) };
    let Some(side) = side else { return Ok(Vec::new()) };
    let given: HashMap<u64, Given> = side
        .records
        .iter()
        .filter_map(|decided| {
            let record = decided.line.record.as_ref()?;
            Some((decided.line.entry.index.get(), Given::of(record.message())))
        })
        .collect();
    let one = |entry: &DirectiveEntry| {
        let given = given.get(&entry.stamp.index.get());
        Recorded {
            id: entry.directive.id.clone(),
            index: entry.stamp.index.get(),
            ended_by: entry.ended_by.map(|by| by.get()),
            is_alive: entry.period.is_alive(known.at()),
            given_ms: given.map(|given| given.ms),
            original: given.and_then(|given| given.original.clone()),
            server: given.map(|given| given.server.clone()).unwrap_or_default(),
            log: session.origin.to_string(),
            directive: entry.directive.clone(),
        }
    };
    let entries = side.state.directives();
    let of = |first: &&str| entries.iter().filter(|entry| is_of(&entry.directive.id, first)).map(one).collect();
    Ok(firsts.iter().map(of).collect())
}

/// The Consent that the record of a directive names.
struct Given {
    ms: u64,
    original: Option<Value>,
    server: String,
}

impl Given {
    fn of(record: &v1::Record) -> Self {
        let original = record.original.as_ref();
        Self {
            ms: record.occurred_at_ms,
            original: original.and_then(|original| serde_json::from_slice(&original.content).ok()),
            server: record.place.as_ref().map(|place| place.observer.clone()).unwrap_or_default(),
        }
    }
}

/// Tells whether a directive is of the Consent whose first directive is `first`: `first` itself, or `first#2` and so on.
fn is_of(id: &str, first: &str) -> bool {
    match id.strip_prefix(first) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('#').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
        None => false,
    }
}

/// The treatment of a Consent that says `said`.
pub(super) fn replacement(on_record: &[Recorded], said: &[Directive], new: &New<'_>) -> Replacement {
    let alive: Vec<&Recorded> = on_record.iter().filter(|recorded| recorded.is_alive).collect();
    if alive.iter().any(|recorded| recorded.is_anothers(new)) {
        return Replacement::Anothers;
    }
    let says_the_same = |(recorded, new): (&&Recorded, &Directive)| {
        let old = &recorded.directive;
        old.id == new.id && old.provision == new.provision && old.except == new.except
    };
    if alive.len() == said.len() && alive.iter().zip(said).all(says_the_same) {
        return Replacement::OnRecord(alive.iter().map(|recorded| recorded.index).collect());
    }
    let orders: Vec<Option<Ordering>> = alive.iter().map(|recorded| recorded.order(new)).collect();
    if orders.contains(&Some(Ordering::Greater)) {
        return Replacement::Older;
    }
    match orders.contains(&None) {
        true => Replacement::Undecided,
        false => Replacement::Ends(alive.iter().map(|recorded| recorded.id.clone()).collect()),
    }
}

/// Why a withdrawn Consent ends nothing of what is on record, if so.
pub(super) fn withdraws_nothing(on_record: &[Recorded], new: &New<'_>) -> Option<FhirError> {
    let mut alive = on_record.iter().filter(|recorded| recorded.is_alive);
    if alive.clone().any(|recorded| recorded.is_anothers(new)) {
        return Some(anothers());
    }
    alive.any(|recorded| recorded.order(new) == Some(Ordering::Greater)).then(older)
}

/// A Consent of which nothing says whether it is newer than what is on record of it.
pub(super) fn undecided() -> FhirError {
    let why = "another version of this Consent has the same dateTime, and nothing says which is newer: give meta.versionId or \
               meta.lastUpdated, as its server does, or import the newest one alone after `sillage consent revoke`";
    FhirError::new("Consent.dateTime", why)
}

/// A Consent whose id is on record of another one.
pub(super) fn anothers() -> FhirError {
    let why = "a Consent of this id is in force that somebody else collected (organization, performer), or that may be another \
               server's, because nothing names the server of both (fullUrl, --source) and no identifier is the same: if it is the \
               same one, end it first with `sillage consent revoke` and import this one again (--source); if not, give this one \
               another id";
    FhirError::new("Consent.id", why)
}

/// A Consent that was given before what is on record of it.
pub(super) fn older() -> FhirError {
    let why = "given before the version of this Consent that is on record: import the newest one";
    FhirError::new("Consent.dateTime", why)
}

/// A Consent that was deleted on its server, or may have been.
pub(super) fn deleted() -> FhirError {
    let why = "a Consent of this id was deleted on its server, and nothing says that this version is newer (meta.versionId, \
               meta.lastUpdated): import the version that is there now, if there is one";
    FhirError::new("Consent.id", why)
}

/// A withdrawn Consent that nothing is on record of.
pub(super) fn never_recorded() -> FhirError {
    let why = "inactive: it permits and denies nothing, and no directive of it is on record that could be ended";
    FhirError::new("Consent.status", why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sillage_rules::consent::directive::Collected;

    use super::*;

    fn directive(id: &str, purpose: &str) -> Directive {
        let details = format!(
            r#"{{"id": "{id}", "effect": "permit", "grantee": {{"organisation": "F100"}}, "actions": ["read"], "purposes": ["{purpose}"]}}"#
        );
        Directive::parse(&details).expect("a directive")
    }

    fn recorded(index: u64, directive: Directive, is_alive: bool) -> Recorded {
        let id = directive.id.clone();
        let (given_ms, original, server) = (Some(1_000), Some(Value::Null), String::new());
        let log = "sillage.example/log".to_owned();
        Recorded { id, index, ended_by: None, is_alive, given_ms, original, server, log, directive }
    }

    fn of(document: &Value, given_ms: u64) -> New<'_> {
        New { given_ms, document, collector: None, server: "" }
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
        let document = json!({"id": "c"});
        assert_eq!(replacement(&old, &same, &of(&document, 500)), Replacement::OnRecord(vec![3]));
        let other = [directive("c", "HRESCH"), directive("c#2", "TREAT")];
        assert_eq!(replacement(&old, &other, &of(&document, 1_001)), Replacement::Ends(vec!["c".to_owned()]));
        assert_eq!(replacement(&old, &other, &of(&document, 999)), Replacement::Older);
        assert_eq!(
            replacement(&old, &other, &of(&Value::Null, 1_000)),
            Replacement::Ends(vec!["c".to_owned()]),
            "read otherwise"
        );
    }

    #[test]
    fn of_one_date_the_newer_version_counts_and_what_says_none_is_refused() {
        let version = |id: &str, updated: &str| json!({"meta": {"versionId": id, "lastUpdated": updated}});
        let (early, late) = ("2026-03-01T09:00:00Z", "2026-03-02T09:00:00Z");
        let ends = Replacement::Ends(vec!["c".to_owned()]);
        for (old, new, expected) in [
            (version("2", early), version("3", late), ends.clone()),
            (version("3", late), version("2", early), Replacement::Older),
            (version("10", early), version("9", early), Replacement::Older),
            (version("9", ""), version("10", ""), ends.clone()),
            (version("", late), version("", early), Replacement::Older),
            (version("a", late), version("b", early), Replacement::Older),
            (version("3", early), version("3", early), ends),
            (version("2", late), version("3", early), Replacement::Undecided),
            (version("a", ""), version("b", ""), Replacement::Undecided),
            (json!({"id": "c"}), json!({"id": "c", "status": "active"}), Replacement::Undecided),
        ] {
            let on_record = [Recorded { original: Some(old.clone()), ..recorded(3, directive("c", "TREAT"), true) }];
            let said = [directive("c", "HRESCH")];
            assert_eq!(replacement(&on_record, &said, &of(&new, 1_000)), expected, "{old} {new}");
            let withdrawn = withdraws_nothing(&on_record, &of(&new, 1_000)).is_some();
            assert_eq!(withdrawn, expected == Replacement::Older, "{old} {new}");
            let gone = Withdrawn::of(&of(&old, 1_000)).refuses(&of(&new, 1_000)).is_some();
            let is_newer = Stamp::of(&new).order(&Stamp::of(&old)) == Some(Ordering::Greater);
            assert_eq!(gone, !is_newer, "what was withdrawn stays so: {old} {new}");
        }
    }

    #[test]
    fn consents_of_one_id_of_two_servers_are_two_where_both_servers_are_known() {
        let document = json!({"id": "c"});
        let at = |server: &str| [Recorded { server: server.to_owned(), ..recorded(3, directive("c", "TREAT"), true) }];
        let from = |server| New { server, ..of(&document, 2_000) };
        for (on_record, new, anothers) in [
            ("https://a", "https://b", true),
            ("https://a", "https://a", false),
            ("", "https://b", false),
            ("https://a", "", false),
        ] {
            let became = replacement(&at(on_record), &[directive("c", "HRESCH")], &from(new));
            assert_eq!(became == Replacement::Anothers, anothers, "{on_record} {new}");
            assert_eq!(withdraws_nothing(&at(on_record), &from(new)).is_some(), anothers, "{on_record} {new}");
        }
    }

    #[test]
    fn a_collector_who_is_at_every_server_makes_no_two_consents_one() {
        let name = |text: &str| text.parse::<ActorName>().expect("a name");
        let hospital = name("urn:oid:1.2.250.1.71.4.2.2|750712184");
        let relative = name(&format!("{SYSTEM_REFERENCE}|Organization/1"));
        let absolute = name(&format!("{SYSTEM_REFERENCE}|https://a.example/fhir/Organization/1"));
        let (withdrawn, same) = (json!({"id": "c", "status": "inactive"}), Value::Null);
        for (collector, is_told) in
            [(ActorName::patient(), false), (relative, false), (hospital, true), (absolute, true)]
        {
            let mut said = directive("c", "TREAT");
            said.collected = Some(Collected {
                collector: collector.clone(),
                capacity: "performer".to_owned(),
                method: "fhir-consent".to_owned(),
                evidence_sha256: sillage_proof::hash::sha256(&[b"c"]),
            });
            for (on_record, server, document, is_one) in [
                ("", "https://b", &withdrawn, is_told),
                ("https://a", "", &withdrawn, is_told),
                ("", "", &withdrawn, is_told),
                ("https://a", "https://a", &withdrawn, true),
                ("", "https://a", &same, true),
            ] {
                let on_record = [Recorded { server: on_record.to_owned(), ..recorded(3, said.clone(), true) }];
                let new = New { server, collector: Some(&collector), ..of(document, 2_000) };
                let refused = withdraws_nothing(&on_record, &new).map(|error| error.path);
                assert_eq!(refused.is_none(), is_one, "{collector} {server} {document}");
            }
        }
    }

    #[test]
    fn an_identifier_says_that_two_versions_are_one_consent() {
        let version = |system: &str, value: &str| json!({"identifier": [{"system": system, "value": value}]});
        let mut said = directive("c", "TREAT");
        said.collected = Some(Collected {
            collector: ActorName::patient(),
            capacity: "performer".to_owned(),
            method: "fhir-consent".to_owned(),
            evidence_sha256: sillage_proof::hash::sha256(&[b"c"]),
        });
        let original = Some(version("urn:oid:1.2.3", "7"));
        let on_record = [Recorded { original, ..recorded(3, said, true) }];
        let patient = ActorName::patient();
        for (other, is_one) in [
            (version("urn:oid:1.2.3", "7"), true),
            (version("urn:oid:1.2.3", "8"), false),
            (version("urn:oid:1.2.4", "7"), false),
            (json!({"id": "c"}), false),
        ] {
            let new = New { collector: Some(&patient), ..of(&other, 2_000) };
            assert_eq!(withdraws_nothing(&on_record, &new).is_none(), is_one, "{other}");
        }
    }

    #[test]
    fn a_collector_that_was_recorded_without_its_server_is_known_again() {
        let name = |id: &str| ActorName::new(SYSTEM_REFERENCE, id).expect("a name");
        let at = |server: &'static str, id: &str| (name(id), server);
        let (old, a) = (at("", "Organization/1"), at("https://a.example/fhir", "Organization/1"));
        let whole = at("https://a.example/fhir", "https://a.example/FHIR/Organization/1");
        for (one, other, may) in [
            (&old, &whole, true),
            (&a, &whole, true),
            (&a, &old, true),
            (&a, &at("https://b.example/fhir", "https://b.example/fhir/Organization/1"), false),
            (&old, &at("", "Organization/11"), false),
            (&at("", "1"), &at("", "Organization/11"), false),
        ] {
            let names = [(one, other), (other, one)];
            for (one, other) in names {
                assert_eq!(may_be_one((&one.0, one.1), (&other.0, other.1)), may, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn two_hospitals_consents_of_one_id_are_two() {
        let name = |id: &str| ActorName::spelled("urn:oid:1.2.250.1.71.4.2.2", id).expect("a structure");
        let (a, b) = (name("750712184"), name("690781810"));
        let mut said = directive("c", "TREAT");
        said.collected = Some(Collected {
            collector: a.clone(),
            capacity: "organisation".to_owned(),
            method: "fhir-consent".to_owned(),
            evidence_sha256: sillage_proof::hash::sha256(&[b"c"]),
        });
        let on_record = [recorded(3, said.clone(), true)];
        let document = json!({"id": "c"});
        let by = |collector| New { collector, ..of(&document, 2_000) };
        for new in [said, directive("c", "HRESCH")] {
            assert_eq!(replacement(&on_record, std::slice::from_ref(&new), &by(Some(&b))), Replacement::Anothers);
            assert_ne!(replacement(&on_record, &[new], &by(Some(&a))), Replacement::Anothers);
        }
        assert_eq!(withdraws_nothing(&on_record, &by(Some(&b))).map(|error| error.path), Some("Consent.id".to_owned()));
        assert_eq!(withdraws_nothing(&on_record, &by(Some(&a))), None);
        // One that a patient proved, of another log, isn't what a hospital collected; nor the other way round.
        assert!(withdraws_nothing(&on_record, &by(None)).is_some());
        let proven = [recorded(3, directive("c", "TREAT"), true)];
        assert!(withdraws_nothing(&proven, &by(Some(&b))).is_some());
        assert_eq!(replacement(&proven, &[directive("c", "HRESCH")], &by(Some(&a))), Replacement::Anothers);
        // In an export of this log, the log stands for the patient's own key.
        for (log, refused) in [("sillage.example/log", false), ("elsewhere.example/log", true)] {
            let log = ActorName::new(SYSTEM_LOG, log).expect("a log");
            let new = New { collector: Some(&log), ..of(&document, 2_000) };
            assert_eq!(withdraws_nothing(&proven, &new).is_some(), refused, "{log}");
        }
    }
}
