//! References: what they name, and who. One reader for all of them, in AuditEvents and Consents alike.
//!
//! | form | as |
//! | --- | --- |
//! | relative, absolute | `Patient/1`, `https://h.example/fhir/Patient/1`; a `/` at the end and a fragment say nothing |
//! | versioned | `Patient/1/_history/3` is `Patient/1`: a version is no other thing |
//! | contained | `#pat`: the resource in `contained`. Outside of its document this name is nobody's |
//! | of the same Bundle | `urn:uuid:...` or the URL that an entry has as `fullUrl` |
//! | logical | `identifier` alone, with `type` as a name or as `.../StructureDefinition/Patient` |
//! | conditional | `Patient?identifier=system\|value` |

use serde_json::Value;
use sillage_rules::ident::spelling;

use super::read::{codings, list, text};

/// Where the identifiers of a person's national health identity are: INS and what came before it.
const INS_ROOT: &str = "1.2.250.1.213.1.4.";
/// Codes of identifier types that say the same (FR Core, HL7 v2-0203).
const INS_TYPES: [&str; 8] = ["INS-NIR", "INS-NIA", "INS-C", "INS-NIR-TEST", "INS-NIR-DEMO", "INS", "NIR", "NIA"];

/// The resources that came in the same Bundle, by their `fullUrl` and by type and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    resources: Vec<(String, Value)>,
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

    /// Takes note of an entry.
    pub fn add(&mut self, full_url: &str, resource: Value) {
        self.resources.push((bare(full_url).text, resource));
    }

    fn find(&self, target: &Bare) -> Option<&Value> {
        let by_url = self.resources.iter().find(|(url, _)| !url.is_empty() && *url == target.text);
        let is_meant = |resource: &Value| {
            let (kind, id) = (text(resource, "resourceType"), text(resource, "id"));
            !id.is_empty() && target.text == format!("{kind}/{id}")
        };
        by_url.or_else(|| self.resources.iter().find(|(_, resource)| is_meant(resource))).map(|(_, resource)| resource)
    }
}

/// A reference without what says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bare {
    /// The reference: no version, no `/` at the end, no fragment.
    pub text: String,
    /// The resource type that stands in it.
    kind: String,
    /// Of a conditional reference: (system, value).
    identifiers: Vec<(String, String)>,
}

/// Reads the text of a reference.
pub(super) fn bare(reference: &str) -> Bare {
    let reference = reference.trim();
    if reference.starts_with('#') {
        return Bare { text: reference.to_owned(), ..Bare::default() };
    }
    if let Some((path, query)) = reference.split_once('?') {
        let path = path.trim_end_matches('/');
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let identifiers = pairs.filter(|(name, _)| *name == "identifier").map(|(_, value)| {
            let value = decoded(value);
            let (system, value) = value.split_once('|').unwrap_or(("", &value));
            (system.to_owned(), value.to_owned())
        });
        let kind = typed(path.rsplit('/').next().unwrap_or_default());
        return Bare { text: reference.to_owned(), kind, identifiers: identifiers.collect() };
    }
    let whole = decoded(reference.split('#').next().unwrap_or_default());
    let (root, path) = match whole.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{}://{}/", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()), path.to_owned())
        }
        None if is_urn(&whole) => return Bare { text: urn(&whole), ..Bare::default() },
        None => (String::new(), whole),
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let parts = match parts.iter().position(|part| *part == "_history") {
        Some(at) => &parts[..at],
        None => &parts[..],
    };
    let kind = parts.len().checked_sub(2).map(|at| typed(parts[at])).unwrap_or_default();
    if kind.is_empty() {
        // Not of a form that has a version: what it says is all it says.
        return Bare { text: reference.to_owned(), ..Bare::default() };
    }
    let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
    if let Some(at) = parts.len().checked_sub(2).filter(|_| kind == "Patient") {
        parts[at].clone_from(&kind);
    }
    Bare { text: format!("{root}{}", parts.join("/")), kind, identifiers: Vec::new() }
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
fn decoded(text: &str) -> String {
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

/// Whether an identifier is one of a patient: of an INS system, or of its type.
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

/// Whether text that stands anywhere names a Patient: a reference of one of the forms, or an INS whose key fits.
pub(super) fn speaks_of_patient(said: &str) -> bool {
    let words = said.split(|c: char| c.is_whitespace() || "\"'()<>,;".contains(c)).filter(|word| !word.is_empty());
    let mut words = words.map(|word| word.trim_end_matches('.'));
    words.any(|word| {
        let dense: String = word.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let tail = dense.rsplit(['|', '=', ':', '/', '^']).next().unwrap_or_default();
        let ins = sillage_rules::ident::Ins::parse(tail, "1.2.250.1.213.1.4.8").is_ok_and(|ins| ins.key_fits());
        let reference = bare(word.rsplit('=').next().unwrap_or_default());
        let by_reference = reference.kind == "Patient" && !reference.text.contains("StructureDefinition");
        ins || by_reference || bare(word).kind == "Patient" && word.contains("identifier=")
    })
}

/// The references of one resource.
#[derive(Clone, Copy)]
pub(super) struct References<'a> {
    contained: &'a [Value],
    around: &'a Neighbours,
}

impl<'a> References<'a> {
    pub fn of(root: &'a Value, around: &'a Neighbours) -> Self {
        Self { contained: list(root, "contained"), around }
    }

    /// The resource that a reference means, where the document contains it or it came in the same Bundle.
    pub fn contained(self, reference: &Value) -> Option<&'a Value> {
        let target = text(reference, "reference").trim();
        match target.strip_prefix('#') {
            Some(id) => self.contained.iter().find(|resource| text(resource, "id").trim_start_matches('#') == id),
            None if target.is_empty() => None,
            None => self.around.find(&bare(target)),
        }
    }

    /// What a reference says: its text, and (system, value) of the identifiers on it or on the resource that it means. Of a
    /// role, those of who has it.
    pub fn named(self, reference: &Value) -> (String, Vec<(String, String)>) {
        let (mut name, mut identifiers) = self.named_itself(reference);
        let role = self.contained(reference).filter(|found| text(found, "resourceType") == "PractitionerRole");
        if let Some(practitioner) = role.and_then(|role| role.get("practitioner")) {
            let (person, of_person) = self.named_itself(practitioner);
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
        let identifiers = identifiers.chain(target.identifiers).collect();
        (target.text, identifiers)
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

    /// Whether a reference means a patient.
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

/// Of several identifiers the one that counts: that of the nation, else the first that has a system.
pub(super) fn counting(identifiers: &[(String, String)]) -> Option<&(String, String)> {
    let national = identifiers
        .iter()
        .find(|(system, value)| spelling::is_national(system) && spelling::actor(system, value).is_ok());
    let national = national.or_else(|| identifiers.iter().find(|(system, _)| spelling::is_national(system)));
    national.or_else(|| identifiers.iter().find(|(system, _)| !system.is_empty()))
}
