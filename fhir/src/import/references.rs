//! References: what they name, and who. One reader for all of them, in AuditEvents and Consents alike.
//!
//! | form | as |
//! | --- | --- |
//! | relative, absolute | `Patient/1`, `https://h.example/fhir/Patient/1`; a `/` at the end and a fragment say nothing |
//! | versioned | `Patient/1/_history/3` is `Patient/1`: a version is no other thing |
//! | contained | `#pat`: the resource in `contained`. Outside of its document this name is nobody's |
//! | of the same Bundle | `urn:uuid:...` or the URL that an entry has as `fullUrl` |
//! | logical | `identifier` alone, with `type` as a name or as `.../StructureDefinition/Patient` |
//! | conditional | `Patient?identifier=system\|value`, `Patient/_search?identifier=...` |
//! | that goes on after the id | `Patient/1/$everything`, `Patient/1/Observation?code=x`: `Patient/1` |
//!
//! A relative reference means the resource on the server of whoever refers: `Patient/1` of two hospitals is two people, and so is
//! `Practitioner/1`. Outside of its document it is named with that server ([`References::named_outside`]).

use std::sync::Arc;

use serde_json::Value;
use sillage_proof::hash::sha256;
use sillage_rules::ident::spelling;
use sillage_rules::limits::ID_BYTES_MAX;

use super::FhirError;
use super::read::{codings, list, text};

/// Where the identifiers of a person's national health identity are: INS and what came before it.
pub(super) const INS_ROOT: &str = "1.2.250.1.213.1.4.";
/// Codes of identifier types that say the same (FR Core, HL7 v2-0203).
const INS_TYPES: [&str; 8] = ["INS-NIR", "INS-NIA", "INS-C", "INS-NIR-TEST", "INS-NIR-DEMO", "INS", "NIR", "NIA"];

/// The resources that came in the same Bundle, and the server of the document beside which they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    resources: Arc<Vec<Neighbour>>,
    /// The base URL by which the document's relative references are read; empty where it isn't known.
    base: String,
    /// The same as names have it ([`named_base`]).
    root: String,
    /// Names stay as they are written: as the versions before read them.
    is_as_written: bool,
}

/// A resource of a Bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbour {
    /// Its `fullUrl`.
    url: String,
    /// Its server; empty where the `fullUrl` names none.
    base: String,
    /// The same as names have it.
    root: String,
    resource: Value,
}

impl Neighbour {
    /// `Patient/1`.
    fn short(&self) -> Option<String> {
        let (kind, id) = (text(&self.resource, "resourceType"), text(&self.resource, "id"));
        (!id.is_empty()).then(|| format!("{kind}/{id}"))
    }

    /// The part that tells it from others of the same name: its identity, or everything that it says about it.
    fn identity(&self) -> Value {
        let resource = &self.resource;
        match text(resource, "resourceType") {
            "PractitionerRole" | "Group" => {
                let mut whole = resource.clone();
                if let Some(members) = whole.as_object_mut() {
                    members.retain(|name, _| !matches!(name.as_str(), "meta" | "text"));
                }
                whole
            }
            "DocumentReference" => Value::Null,
            kind => {
                let one =
                    |identifier: &Value| (text(identifier, "system").to_owned(), text(identifier, "value").to_owned());
                let mut all: Vec<_> = list(resource, "identifier").iter().map(one).collect();
                all.sort();
                serde_json::json!([kind, all])
            }
        }
    }
}

impl Neighbours {
    /// Types of resources that a reference may have to be looked up for.
    pub const TYPES: [&str; 9] = [
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "RelatedPerson",
        "Device",
        "CareTeam",
        "DocumentReference",
        "Group",
    ];

    /// The resources of a Bundle, each with its `fullUrl`.
    pub fn of(resources: impl IntoIterator<Item = (String, Value)>) -> Self {
        let one = |(url, resource): (String, Value)| {
            let (kind, id) = (text(&resource, "resourceType"), text(&resource, "id"));
            let base = written_base(&url, kind, id).unwrap_or_default();
            Neighbour { url: bare(&url).text, base: spelled_base(base), root: named_base(base), resource }
        };
        Self { resources: Arc::new(resources.into_iter().map(one).collect()), ..Self::default() }
    }

    /// The same beside a document of this server; an empty one says nothing.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: spelled_base(base), root: named_base(base), ..self.clone() }
    }

    /// The same, with every name as it is written: as the versions before read them.
    #[must_use]
    pub(super) fn as_written(&self) -> Self {
        Self { is_as_written: true, ..self.clone() }
    }

    /// Tells whether names stay as they are written.
    pub(super) fn is_as_written(&self) -> bool {
        self.is_as_written
    }

    /// The server of the document; empty where it isn't known.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whatever a reference of a resource at `base` may mean.
    fn found<'a>(&'a self, target: &Bare, base: &str) -> Vec<&'a Neighbour> {
        let named = |url: &str| self.resources.iter().filter(|other| !url.is_empty() && other.url == url).collect();
        let mut found: Vec<&Neighbour> = named(&target.text);
        if found.is_empty() && target.is_relative() {
            let is_here = |other: &&Neighbour| other.short().as_deref() == Some(target.text.as_str());
            let of_server = |other: &&Neighbour| base.is_empty() || other.base.is_empty() || other.base == base;
            found = self.resources.iter().filter(is_here).filter(of_server).collect();
            // What names its server is nearer than what names none.
            if !base.is_empty() && found.iter().any(|other| other.base == base) {
                found.retain(|other| other.base == base);
            }
        }
        let of_version = |other: &&Neighbour| text(&other.resource["meta"], "versionId") == target.version;
        if !target.version.is_empty() && found.iter().any(of_version) {
            found.retain(of_version);
        }
        found
    }

    /// Refuses references that may mean several resources, which aren't the same one.
    ///
    /// # Errors
    /// With the place of the reference in `document`.
    pub(super) fn check(&self, document: &Value, path: &str) -> Result<(), FhirError> {
        match document {
            Value::Object(members) => {
                let found = self.found(&bare(text(document, "reference")), &self.base);
                let mut identities = found.iter().map(|other| other.identity());
                let first = identities.next();
                if first.is_some_and(|first| identities.any(|other| other != first)) {
                    let why = "the Bundle has several resources of this name, and they aren't the same one: which is meant? \
                               Give every entry its own fullUrl, and the reference the whole URL";
                    return Err(FhirError::new(format!("{path}.reference"), why));
                }
                members.iter().try_for_each(|(name, value)| self.check(value, &format!("{path}.{name}")))
            }
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(at, item)| self.check(item, &format!("{path}[{at}]")))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses contained resources of one id: a reference to it means one of them, and nobody knows which.
pub(super) fn check_contained(document: &Value, path: &str) -> Result<(), FhirError> {
    let id = |resource: &Value| text(resource, "id").trim_start_matches('#').to_owned();
    let ids: Vec<String> = list(document, "contained").iter().map(id).collect();
    let is_taken = |at: &usize| !ids[*at].is_empty() && ids[..*at].contains(&ids[*at]);
    match (0..ids.len()).find(is_taken) {
        Some(at) => Err(FhirError::new(format!("{path}.contained[{at}].id"), "two contained resources have this id")),
        None => Ok(()),
    }
}

/// The server that a `fullUrl` names: what stands before type and id.
pub fn base_of(full_url: &str, kind: &str, id: &str) -> Option<String> {
    written_base(full_url, kind, id).map(spelled_base)
}

/// The same as it is written there. A resource that says no id has that of the URL.
pub(super) fn written_base<'a>(full_url: &'a str, kind: &str, id: &str) -> Option<&'a str> {
    let url = full_url.split("/_history/").next()?.trim_end_matches('/');
    let id = if id.is_empty() { url.rsplit('/').next()? } else { id };
    let base = url.strip_suffix(&format!("/{kind}/{id}"))?;
    base.contains("://").then_some(base)
}

/// A server in a name: as [`bare`] spells absolute references, so that `Practitioner/1` and its whole URL are one name.
fn named_base(base: &str) -> String {
    let base = base.trim().trim_end_matches('/');
    match base.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{}://{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
        }
        None => base.to_owned(),
    }
}

/// The name of a relative reference of the server `root` outside of its document. A base URL that leaves no room for the rest
/// stands by its hash: names that are cut short would be one.
fn on_server(root: &str, reference: &str) -> String {
    let reference = reference.trim_start_matches('/');
    let whole = format!("{root}/{reference}");
    match whole.len() <= ID_BYTES_MAX {
        true => whole,
        false => format!("{}/{reference}", sha256(&[root.as_bytes()])),
    }
}

/// Tells whether a reference says nothing of its server: it has no scheme, and is no resource that its document contains.
pub(super) fn is_of_server(reference: &str) -> bool {
    let first = reference.split(['/', '?']).next().unwrap_or_default();
    !reference.is_empty() && !reference.starts_with('#') && !first.contains(':')
}

/// A server by its one spelling.
pub fn spelled_base(base: &str) -> String {
    base.trim_end_matches('/').to_ascii_lowercase()
}

/// A reference without what says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bare {
    /// The reference: no version, no `/` at the end, no fragment.
    pub text: String,
    /// The resource type that stands in it.
    pub kind: String,
    /// Of a conditional reference: (system, value).
    pub identifiers: Vec<(String, String)>,
    /// The version that it names.
    version: String,
}

impl Bare {
    /// `Patient/1`: of the server of whoever refers.
    fn is_relative(&self) -> bool {
        !self.kind.is_empty() && !self.text.contains("://") && !self.text.contains('?')
    }

    /// Tells whether it names the patient of a server, by their id there.
    pub fn is_patient_by_id(&self) -> bool {
        self.kind == "Patient" && !self.text.contains('?') && !self.text.is_empty()
    }
}

/// Reads the text of a reference.
pub(super) fn bare(reference: &str) -> Bare {
    let reference = reference.trim();
    if reference.starts_with('#') {
        return Bare { text: reference.to_owned(), ..Bare::default() };
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference.split('#').next().unwrap_or_default(), None),
    };
    let whole = decoded(path);
    // A query whose `?` was written as `%3F`.
    let (whole, query) = match (whole.split_once('?'), query) {
        (Some((path, query)), None) => (path.to_owned(), Some(query.to_owned())),
        _ => (whole, query.map(str::to_owned)),
    };
    let (root, path) = match whole.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{}://{}/", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()), path.to_owned())
        }
        None if is_urn(&whole) => return Bare { text: urn(&whole), ..Bare::default() },
        None => (String::new(), whole),
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if let Some(at) = patient_at(&parts) {
        let version = parts[at + 2..].iter().skip_while(|part| **part != "_history").nth(1);
        let before = parts[..at].iter().map(|part| format!("{part}/")).collect::<String>();
        return Bare {
            text: format!("{root}{before}Patient/{}", parts[at + 1]),
            kind: "Patient".to_owned(),
            version: version.copied().unwrap_or_default().to_owned(),
            ..Bare::default()
        };
    }
    if let Some(query) = query {
        let search = parts.iter().rposition(|part| *part == "_search");
        let kind = typed(search.map_or(&parts[..], |at| &parts[..at]).last().copied().unwrap_or_default());
        let text = match search {
            // A search by POST asks what one by GET does.
            Some(at) if kind == "Patient" => format!("{root}{}?{query}", parts[..at].join("/")),
            _ => reference.to_owned(),
        };
        return Bare { text, kind, identifiers: identifiers_in(&query), ..Bare::default() };
    }
    if let Some((last, before)) = parts.split_last()
        && last.starts_with(['$', '_'])
        && before.last().is_some_and(|part| *part == "Patient")
    {
        // An operation on whatever patients: it names nobody.
        return Bare { kind: "Patient".to_owned(), ..Bare::default() };
    }
    let (parts, version) = match parts.iter().position(|part| *part == "_history") {
        Some(at) => (&parts[..at], parts.get(at + 1).copied().unwrap_or_default()),
        None => (&parts[..], ""),
    };
    let kind = parts.len().checked_sub(2).map(|at| typed(parts[at])).unwrap_or_default();
    if kind.is_empty() {
        // Not of a form that has a version: what it says is all it says.
        return Bare { text: reference.to_owned(), ..Bare::default() };
    }
    Bare { text: format!("{root}{}", parts.join("/")), kind, version: version.to_owned(), ..Bare::default() }
}

/// Where in a path a Patient stands with their id, whatever comes after it. In small letters it must be all of a reference, or
/// what comes after must be of FHIR: other programs have folders of this name.
fn patient_at(parts: &[&str]) -> Option<usize> {
    let is_id = |part: &str| !part.starts_with(['_', '$']);
    let is_here = |at: &usize| {
        let (name, rest) = (parts[*at], &parts[*at + 2..]);
        let is_of_fhir = || match rest {
            [] => true,
            [first, ..] if first.starts_with(['_', '$']) => true,
            [compartment] => compartment.starts_with(|c: char| c.is_ascii_uppercase()),
            _ => false,
        };
        is_id(parts[*at + 1]) && (name == "Patient" || name.eq_ignore_ascii_case("Patient") && is_of_fhir())
    };
    (0..parts.len().saturating_sub(1)).rev().find(is_here)
}

/// The identifiers that a conditional reference names.
fn identifiers_in(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(name, _)| decoded(name).split([':', '.']).next() == Some("identifier"));
    named.map(|(_, value)| identifier_in(&decoded(value))).collect()
}

/// `system|value`.
pub(super) fn identifier_in(written: &str) -> (String, String) {
    let (system, value) = written.split_once('|').unwrap_or(("", written));
    (system.to_owned(), value.to_owned())
}

/// Tells whether a reference says by itself which resource it means, whoever refers.
pub(super) fn is_absolute(reference: &str) -> bool {
    reference.contains("://") || is_urn(reference)
}

fn is_urn(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

fn urn(text: &str) -> String {
    spelling::system(text).unwrap_or_else(|_| text.to_owned())
}

/// A resource type, if it looks like one. In whatever letters a Patient is one: nobody may drop out of their own trace by that.
fn typed(segment: &str) -> String {
    match segment {
        patient if patient.eq_ignore_ascii_case("Patient") => "Patient".to_owned(),
        named if named.starts_with(|first: char| first.is_ascii_uppercase()) => named.to_owned(),
        _ => String::new(),
    }
}

/// `%2F` and its like.
pub(super) fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Tells whether an identifier is one of a patient: of an INS system, or of its type.
pub(super) fn is_of_patient(identifier: &Value) -> bool {
    let system = text(identifier, "system");
    let typed = codings(&identifier["type"]).any(|coding| INS_TYPES.contains(&text(coding, "code")));
    let says = !text(identifier, "value").is_empty() || identifier.get("_value").is_some();
    says && (is_ins_system(system) || typed)
}

pub(super) fn is_ins_system(system: &str) -> bool {
    let named = spelling::system(system).unwrap_or_else(|_| system.trim().to_ascii_lowercase());
    let oid = named.strip_prefix("urn:oid:").unwrap_or(&named);
    spelling::ins_oid(system).is_some() || oid.starts_with(INS_ROOT)
}

/// The references of one resource.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    contained: &'a [Value],
    around: &'a Neighbours,
    /// The server of the resource.
    base: &'a str,
    /// The same as names have it.
    root: &'a str,
    /// Names stay as they are written.
    is_as_written: bool,
    /// National numbers are read as people write them.
    reads_numbers: bool,
}

impl<'a> References<'a> {
    pub fn of(root: &'a Value, around: &'a Neighbours) -> Self {
        let Neighbours { base, root: named, is_as_written, .. } = around;
        let contained = list(root, "contained");
        let (is_as_written, reads_numbers) = (*is_as_written, !is_as_written);
        Self { contained, around, base, root: named, is_as_written, reads_numbers }
    }

    /// The same, with every name as it is written: of our own export, which has the names that are on record.
    pub fn as_written(self) -> Self {
        Self { is_as_written: true, reads_numbers: false, ..self }
    }

    /// The same, with national numbers as people write them, whatever the versions before made of them.
    pub fn with_numbers(self) -> Self {
        Self { reads_numbers: true, ..self }
    }

    /// The server of the resource; empty where it isn't known.
    pub fn base(self) -> &'a str {
        self.base
    }

    /// The resource that a reference means, where the document contains it or it came in the same Bundle.
    pub fn contained(self, reference: &Value) -> Option<&'a Value> {
        self.followed(reference).map(|(resource, _)| resource)
    }

    /// The same, and how the references in that resource are read.
    pub fn followed(self, reference: &Value) -> Option<(&'a Value, Self)> {
        let target = text(reference, "reference").trim();
        match target.strip_prefix('#') {
            Some(id) => {
                let is_meant = |resource: &&Value| text(resource, "id").trim_start_matches('#') == id;
                self.contained.iter().find(is_meant).map(|resource| (resource, self))
            }
            None if target.is_empty() => None,
            None => {
                let found = self.around.found(&bare(target), self.base).into_iter().next()?;
                let (base, root) = match found.base.is_empty() {
                    true => (self.base, self.root),
                    false => (found.base.as_str(), found.root.as_str()),
                };
                Some((&found.resource, Self { contained: list(&found.resource, "contained"), base, root, ..self }))
            }
        }
    }

    /// The content of a reference: its text, and (system, value) of the identifiers on it or on the resource that it means. Of a
    /// role, those of who has it.
    pub fn named(self, reference: &Value) -> (String, Vec<(String, String)>) {
        self.as_written().named_outside(reference)
    }

    /// The same for whoever reads it outside of the document: a relative reference has its server in front, so that
    /// `Practitioner/1` of two servers is two people. Where no server is known, it stays as it stands.
    pub fn named_outside(self, reference: &Value) -> (String, Vec<(String, String)>) {
        let (mut name, mut identifiers) = self.named_itself(reference);
        let role = self.followed(reference).filter(|(found, _)| text(found, "resourceType") == "PractitionerRole");
        if let Some((practitioner, of_role)) = role.and_then(|(role, of_it)| Some((role.get("practitioner")?, of_it))) {
            let (person, of_person) = of_role.named_itself(practitioner);
            identifiers.splice(0..0, of_person);
            if identifiers.is_empty() && name.starts_with('#') && !person.is_empty() {
                name = person;
            }
        }
        (name, identifiers)
    }

    fn named_itself(self, reference: &Value) -> (String, Vec<(String, String)>) {
        let target = bare(text(reference, "reference"));
        let mut identifiers = vec![&reference["identifier"]];
        identifiers.extend(self.contained(reference).into_iter().flat_map(|c| list(c, "identifier")));
        let pair = |i: &&Value| (text(i, "system").to_owned(), text(i, "value").to_owned());
        let identifiers = identifiers.iter().map(pair).filter(|(_, value)| !value.is_empty());
        let identifiers = identifiers.chain(target.identifiers);
        let identifiers =
            identifiers.map(|named| if self.reads_numbers { as_recorded(named) } else { named }).collect();
        (self.outside(target.text), identifiers)
    }

    /// A reference, as [`bare`] spells it, with the server that it is of.
    pub fn outside(self, target: String) -> String {
        if self.is_as_written || !is_of_server(&target) {
            return target;
        }
        let found = || self.around.found(&bare(&target), self.base).into_iter().map(|other| other.root.as_str());
        match std::iter::once(self.root).chain(found()).find(|root| !root.is_empty()) {
            Some(root) => on_server(root, &target),
            None => target,
        }
    }

    /// A name as it stands in the document, of one that [`Self::outside`] gives; none where they are the same.
    pub fn inside(self, name: &str) -> Option<&str> {
        let of_server = name.strip_prefix(self.root)?.strip_prefix('/')?;
        (!self.root.is_empty() && !self.is_as_written).then_some(of_server)
    }

    /// The type of the resource that a reference means; empty where nothing says it.
    pub fn target_type(self, reference: &Value) -> String {
        if let Some(contained) = self.contained(reference) {
            return text(contained, "resourceType").to_owned();
        }
        let kind = bare(text(reference, "reference")).kind;
        match kind.is_empty() {
            false => kind,
            true => typed(text(reference, "type").trim_end_matches('/').rsplit('/').next().unwrap_or_default()),
        }
    }

    /// Tells whether a reference means a patient.
    pub fn is_patient(self, reference: &Value) -> bool {
        let found = self.contained(reference).into_iter().flat_map(|found| list(found, "identifier"));
        let conditional = bare(text(reference, "reference")).identifiers;
        match self.target_type(reference).as_str() {
            "Patient" => true,
            "" => {
                is_of_patient(&reference["identifier"])
                    || found.into_iter().any(is_of_patient)
                    || conditional.iter().any(|(system, _)| is_ins_system(system))
            }
            // Who wears an INS is a patient, whatever else they are said to be; a thing may carry that of its patient.
            _ => is_of_patient(&reference["identifier"]),
        }
    }
}

/// An identifier as people write it, nearer to how it is recorded: an OID is a URI, and the digits of a national number stand together.
fn as_recorded((system, value): (String, String)) -> (String, String) {
    let written = system.trim();
    let is_oid = written.contains('.') && written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let system = if is_oid { format!("urn:oid:{written}") } else { system };
    let value = match spelling::is_national(&system) {
        true => value.chars().filter(|c| !c.is_whitespace()).collect(),
        false => value,
    };
    (system, value)
}

/// Of several identifiers the one that counts: that of the nation, else the first that has a system.
pub(super) fn counting(identifiers: &[(String, String)]) -> Option<&(String, String)> {
    let national = identifiers
        .iter()
        .find(|(system, value)| spelling::is_national(system) && spelling::actor(system, value).is_ok());
    let national = national.or_else(|| identifiers.iter().find(|(system, _)| spelling::is_national(system)));
    national.or_else(|| identifiers.iter().find(|(system, _)| !system.is_empty()))
}
