//! From the way an audit event names a patient to the patient's INS.
//!
//! Tried in this order: an identifier of an INS system on the reference or on the contained Patient; the patient map;
//! with demonstration patients, an identity made from the reference.

use std::collections::HashMap;

use serde::Deserialize;
use sillage_proto::v1::PatientIdentity;
use sillage_rules::ident::{Ins, spelling};

use super::references::{bare, is_absolute, spelled_base};

/// How an event names a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientName {
    /// `Patient/123`, an absolute URL, `urn:uuid:…` or `#contained`.
    pub reference: String,
    /// The server of the document that names them, of which a relative reference is; empty where it isn't known.
    pub base: String,
    /// (system, value) of each identifier.
    pub identifiers: Vec<(String, String)>,
    /// As a person reads it.
    pub display: String,
}

/// Knowledge of patients besides their identifiers.
#[derive(Debug, Clone, Default)]
pub struct PatientMap {
    known: HashMap<String, Ins>,
    demo: bool,
    /// The server whose ids stand in the map without it; empty where none is named.
    source: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MapValue {
    Ins(String),
    WithOid { ins: String, oid: Option<String> },
}

impl PatientMap {
    /// A map that knows no patient. `demo` allows demonstration identities.
    pub fn empty(demo: bool) -> Self {
        Self { demo, ..Self::default() }
    }

    /// Reads the text of a map: a JSON object `{"Patient/1": "INS"}`, or CSV `reference,ins[,oid]`. `demo` allows demonstration
    /// identities.
    ///
    /// # Errors
    /// The first line that isn't a reference and an INS, in one sentence.
    pub fn read(text: &str, demo: bool) -> Result<Self, String> {
        Ok(Self { known: Self::parse(text)?, demo, source: String::new() })
    }

    /// The same with the server that `Patient/1` in it is of, as `--source` names it.
    #[must_use]
    pub fn of_server(self, source: &str) -> Self {
        Self { source: spelled_base(source), ..self }
    }

    /// A JSON object `{"Patient/1": "INS", "Patient/2": {"ins": …, "oid": …}}`, or CSV `reference,ins[,oid]`, one a line,
    /// with or without that head. A URL stands in the map as it is written, and with its server in its one spelling.
    pub(crate) fn parse(text: &str) -> Result<HashMap<String, Ins>, String> {
        let mut known = Self::as_written(text)?;
        let mut by_url: HashMap<String, Option<Ins>> = HashMap::new();
        for (reference, ins) in &known {
            let Some(url) = spelled(reference) else { continue };
            let one = by_url.entry(url).or_insert_with(|| Some(ins.clone()));
            // Two lines that differ in their spelling alone, and name two patients: neither is certain.
            if one.as_ref() != Some(ins) {
                *one = None;
            }
        }
        for (url, ins) in by_url {
            if let Some(ins) = ins {
                known.entry(url).or_insert(ins);
            }
        }
        Ok(known)
    }

    fn as_written(text: &str) -> Result<HashMap<String, Ins>, String> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('{') {
            let map: HashMap<String, MapValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            let one = |(reference, value): (String, MapValue)| {
                let (ins, oid) = match value {
                    MapValue::Ins(ins) => (ins, None),
                    MapValue::WithOid { ins, oid } => (ins, oid),
                };
                let ins = identity(&ins, oid.as_deref()).map_err(|why| format!("`{reference}`: {why}"))?;
                Ok((reference, ins))
            };
            return map.into_iter().map(one).collect();
        }
        let mut known = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split(',').map(|f| f.trim().trim_matches('"').trim()).collect();
            let (reference, ins, oid) = match fields.as_slice() {
                [""] => continue,
                ["reference", "ins", ..] if number == 0 => continue,
                [comment, ..] if comment.starts_with('#') && !comment.contains('/') && fields.len() == 1 => continue,
                [reference, ins] => (*reference, *ins, None),
                [reference, ins, oid] => (*reference, *ins, Some(*oid).filter(|oid| !oid.is_empty())),
                _ => return Err(format!("line {}: expected reference,ins[,oid]", number + 1)),
            };
            let ins = identity(ins, oid).map_err(|why| format!("line {}: {why}", number + 1))?;
            known.insert(reference.to_owned(), ins);
        }
        Ok(known)
    }

    /// The patient's identity.
    ///
    /// # Errors
    /// One sentence with the way out, where it has none.
    pub fn resolve(&self, name: &PatientName) -> Result<PatientIdentity, String> {
        if let Some(identity) = self.found(name)? {
            return Ok(identity);
        }
        if self.demo {
            let identifiers = name.identifiers.first().map(|(system, value)| format!("{system}|{value}"));
            let by = [Some(outside(name)), identifiers, Some(name.display.clone())];
            if let Some(by) = by.into_iter().flatten().find(|text| !text.is_empty()) {
                return Ok(message(&Ins::demo(&by)));
            }
        }
        // A search says what nobody else may read: an identifier, a name.
        let shown = name.reference.split('?').next().unwrap_or_default();
        let shown = match shown {
            "" => "this patient".to_owned(),
            relative if self.is_elsewhere(relative, &name.base) => format!("{}/{relative}", name.base),
            shown => shown.to_owned(),
        };
        let of_server = match shown.contains("://") && self.known.keys().any(|key| key.starts_with("Patient/")) {
            true => " (as this URL, or name the server that the map's `Patient/...` are of with --source)",
            false => "",
        };
        Err(format!("{shown} has no INS: add it to --patient-map{of_server}, or use --demo-patients on a test log"))
    }

    /// Tells whether a reference is relative, and of another server than the one that the map's relative references are of.
    fn is_elsewhere(&self, reference: &str, base: &str) -> bool {
        let is_relative = !reference.starts_with('#') && !is_absolute(reference);
        is_relative && !base.is_empty() && base != self.source
    }

    /// The names under which a reference in a document of the server `base` may stand in the map.
    fn keys_of(&self, reference: String, base: &str) -> Vec<String> {
        if reference.is_empty() {
            return Vec::new();
        }
        if is_absolute(&reference) {
            let (url, short) = (spelled(&reference), self.short(&reference));
            return std::iter::once(reference).chain(url).chain(short).collect();
        }
        let url = (!base.is_empty()).then(|| format!("{base}/{reference}"));
        // `Patient/1` of another server is somebody else.
        let relative = (!self.is_elsewhere(&reference, base)).then_some(reference);
        url.into_iter().chain(relative).collect()
    }

    /// `Patient/123` of an absolute URL of the server that the map is of.
    fn short(&self, reference: &str) -> Option<String> {
        let at = reference.rfind("Patient/")?;
        let (base, short) = reference.split_at(at);
        (!self.source.is_empty() && spelled_base(base) == self.source).then(|| short.to_owned())
    }

    /// Tells whether it is known for certain who this is: by an INS or by the map.
    pub(super) fn is_known(&self, name: &PatientName) -> bool {
        !matches!(self.found(name), Ok(None))
    }

    fn found(&self, name: &PatientName) -> Result<Option<PatientIdentity>, String> {
        let mut given: Vec<Ins> = Vec::new();
        for found in name.identifiers.iter().filter_map(|(system, value)| ins_of(system, value)) {
            let ins = found?;
            if given.iter().any(|other| other.oid() == ins.oid() && *other != ins) {
                return Err("two different INS of one patient: which one is meant?".to_owned());
            }
            given.push(ins);
        }
        if let Some(ins) = given.first() {
            return Ok(Some(message(ins)));
        }
        // A value alone is nobody's where it is one of a system: another hospital has it too.
        let keys = name.identifiers.iter().map(|(system, value)| match system.as_str() {
            "" => value.clone(),
            system => format!("{system}|{value}"),
        });
        let mut names = self.keys_of(outside(name), &name.base).into_iter().chain(keys);
        Ok(names.find_map(|key| self.known.get(&key)).map(message))
    }
}

/// The reference, unless it is of what a document contains: that has a name in it alone.
fn outside(name: &PatientName) -> String {
    let reference = bare(&name.reference).text;
    if reference.starts_with('#') { String::new() } else { reference }
}

/// A URL of a resource, with its server in its one spelling; none of anything else.
fn spelled(url: &str) -> Option<String> {
    let mut parts = url.rsplitn(3, '/');
    let (id, kind, base) = (parts.next()?, parts.next()?, parts.next()?);
    base.contains("://").then(|| format!("{}/{kind}/{id}", spelled_base(base)))
}

/// The INS, where the identifier is of one of its systems. Published examples have keys that don't fit: only the form is
/// strict here.
fn ins_of(system: &str, value: &str) -> Option<Result<Ins, String>> {
    let oid = spelling::ins_oid(system)?;
    let dense: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    Some(Ins::parse(&dense.to_ascii_uppercase(), oid.as_str()).map_err(|error| error.to_string()))
}

fn identity(ins: &str, oid: Option<&str>) -> Result<Ins, String> {
    let dense: String = ins.chars().filter(|c| !c.is_whitespace()).collect();
    Ins::parse(&dense, oid.unwrap_or(DEFAULT_OID)).map_err(|error| error.to_string())
}

/// INS-NIR: what an INS is where no OID is written beside it.
pub const DEFAULT_OID: &str = "1.2.250.1.213.1.4.8";

fn message(ins: &Ins) -> PatientIdentity {
    PatientIdentity { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INS: &str = "279035121518989";

    fn named(reference: &str) -> PatientName {
        let base = String::new();
        PatientName { reference: reference.into(), base, identifiers: Vec::new(), display: String::new() }
    }

    fn map(text: &str, demo: bool) -> PatientMap {
        PatientMap { known: PatientMap::parse(text).expect("a map"), demo, source: String::new() }
    }

    #[test]
    fn both_forms_of_the_map_say_the_same() {
        let csv = format!("reference,ins,oid\nPatient/1,{INS},1.2.250.1.213.1.4.10\n\nPatient/2,{INS}\n");
        let json =
            format!(r#"{{"Patient/1": {{"ins": "{INS}", "oid": "1.2.250.1.213.1.4.10"}}, "Patient/2": "{INS}"}}"#);
        for text in [csv, json] {
            let map = map(&text, false);
            assert_eq!(map.resolve(&named("Patient/1")).expect("known").oid, "1.2.250.1.213.1.4.10");
            let absolute = named("https://x.example/fhir/Patient/2/_history/3");
            let of_x = map.clone().of_server("https://X.example/fhir/");
            assert_eq!(of_x.resolve(&absolute).expect("known").oid, DEFAULT_OID);
            let why = map.resolve(&named("Patient/3")).expect_err("unknown");
            assert!(why.contains("--patient-map") && why.contains("Patient/3"), "{why}");
        }
        for bad in ["Patient/1", "Patient/1,12", "{\"Patient/1\": 5}", "a,b,c,d"] {
            assert!(PatientMap::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_of_the_map_is_of_one_hospital() {
        let text =
            format!("Patient/1,{INS}\nhttps://b.example/fhir/Patient/2,{INS}\n12345,{INS}\nurn:oid:1.2.3|6,{INS}\n");
        let (plain, of_a) = (map(&text, false), map(&text, false).of_server("https://a.example/fhir"));
        let by =
            |system: &str, value: &str| PatientName { identifiers: vec![(system.into(), value.into())], ..named("") };
        for (name, by_plain, by_source) in [
            (named("Patient/1"), true, true),
            (named("https://a.example/fhir/Patient/1"), false, true),
            (named("https://a.example/fhir/Patient/1/$everything"), false, true),
            (named("https://b.example/fhir/Patient/1"), false, false),
            (named("https://a.example/other/Patient/1"), false, false),
            (named("https://b.example/fhir/Patient/2"), true, true),
            (by("", "12345"), true, true),
            (by("urn:oid:1.2.9", "12345"), false, false),
            (by("urn:oid:1.2.3", "6"), true, true),
            (by("urn:oid:1.2.9", "6"), false, false),
        ] {
            assert_eq!((plain.is_known(&name), of_a.is_known(&name)), (by_plain, by_source), "{name:?}");
        }
    }

    #[test]
    fn a_relative_reference_is_of_the_server_of_its_document() {
        let text = format!("Patient/1,{INS}\nhttps://B.example/FHIR/Patient/2,{INS}\n");
        let (plain, of_a) = (map(&text, false), map(&text, false).of_server("https://a.example/fhir"));
        let at = |base: &str, reference: &str| PatientName { base: base.to_owned(), ..named(reference) };
        for (name, by_plain, by_source) in [
            (at("", "Patient/1"), true, true),
            (at("https://a.example/fhir", "Patient/1"), false, true),
            (at("https://b.example/fhir", "Patient/1"), false, false),
            (at("https://b.example/fhir", "Patient/2"), true, true),
            (at("https://a.example/fhir", "Patient/2"), false, false),
            (at("https://a.example/fhir", "https://b.example/FHIR/Patient/2"), true, true),
            (at("https://b.example/fhir", "https://a.example/fhir/Patient/1"), false, true),
        ] {
            assert_eq!((plain.is_known(&name), of_a.is_known(&name)), (by_plain, by_source), "{name:?}");
        }
        let why = of_a.resolve(&at("https://b.example/fhir", "Patient/1")).expect_err("a stranger");
        assert!(why.contains("https://b.example/fhir/Patient/1") && why.contains("--source"), "{why}");
        // Two spellings of one URL that name two people are neither of them.
        let two = format!("https://b.example/FHIR/Patient/2,{INS}\nhttps://b.example/Fhir/Patient/2,180035121518990\n");
        assert!(!map(&two, false).is_known(&at("https://b.example/fhir", "Patient/2")));
    }

    #[test]
    fn an_ins_on_the_reference_wins() {
        let mut name = named("Patient/1");
        name.identifiers.push(("urn:oid:1.2.250.1.213.1.4.10".into(), "2 79 03 51 215 189 89".into()));
        assert_eq!(map("", true).resolve(&name).expect("an INS").ins, INS);
    }

    #[test]
    fn demonstration_patients_are_the_same_each_time() {
        let map = map("", true);
        let first = map.resolve(&named("Patient/ex-patient")).expect("made");
        assert_eq!(first, map.resolve(&named("Patient/ex-patient")).expect("made"));
        assert_ne!(first, map.resolve(&named("Patient/other")).expect("made"));
        assert_eq!(first.oid, "1.2.250.1.213.1.4.11");
        assert!(map.resolve(&named("")).is_err(), "nothing to make an identity from");
    }
}
