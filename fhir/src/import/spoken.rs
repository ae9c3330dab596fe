//! Of whom text speaks: queries, details, and any other text in which a patient may stand.
//!
//! A query names its patient as servers are asked (`patient=`, `patient.identifier=`, `Patient?identifier=`), encoded for a URL or
//! not; a detail holds an INS in whatever spelling, alone or in what HL7 v2 calls a CX.

use sillage_rules::ident::Ins;

use super::references::{INS_ROOT, bare, decoded, identifier_in, is_ins_system};

/// Somebody of whom text speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spoken {
    /// An INS, without spaces.
    Ins(String),
    /// A reference to a Patient; empty where identifiers name them. (system, value) of each.
    Named(String, Vec<(String, String)>),
    /// A patient of whom it says something, and no name.
    Somebody,
}

/// Parameters of a search for patients that say who is sought. Others, such as `active`, say it of many.
const SAYS_WHO: [&str; 15] = [
    "name",
    "given",
    "family",
    "phonetic",
    "birthdate",
    "death-date",
    "telecom",
    "phone",
    "email",
    "address",
    "address-city",
    "address-postalcode",
    "link",
    "mothersMaidenName",
    "_filter",
];
/// Types that a subject may be and that are no patient.
const OTHERS: [&str; 9] = [
    "Group",
    "Device",
    "Location",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Medication",
    "Substance",
    "Procedure",
];

/// Everybody of whom text speaks. `is_asked`: it is a query or a detail, where the name of an INS system is somebody's too.
pub(super) fn spoken(said: &str, is_asked: bool) -> Vec<Spoken> {
    let whole = unescaped(said);
    let mut out: Vec<Spoken> = numbers(&whole).into_iter().map(Spoken::Ins).collect();
    let mut is_of_patients = false;
    let words = said.split(|c: char| c.is_whitespace() || "\"'()<>`{}[]".contains(c));
    for word in words.map(|word| word.trim_end_matches(['.', ',', ';', ':', '!'])).filter(|word| !word.is_empty()) {
        of_word(word, &mut is_of_patients, &mut out);
    }
    if is_asked && out.is_empty() && whole.contains(INS_ROOT) {
        out.push(Spoken::Somebody);
    }
    out
}

/// `is_of_patients`: the words before it are a search for patients.
fn of_word(word: &str, is_of_patients: &mut bool, out: &mut Vec<Spoken>) {
    let word = if word.contains('?') { word.to_owned() } else { unescaped(word) };
    let (path, query) = match word.split_once('?') {
        Some((path, query)) => (path, query),
        None if word.contains('=') => ("", word.as_str()),
        None => (word.as_str(), ""),
    };
    for path in path.split([',', ';', '|', '^']) {
        let target = bare(path);
        let is_definition = target.text.contains("StructureDefinition");
        if target.is_patient_by_id() && !is_definition {
            out.push(Spoken::Named(target.text, Vec::new()));
        }
        let mut segments = path.trim_end_matches('/').rsplit('/').map(decoded);
        let (last, before) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        *is_of_patients |=
            last == "Patient" && before != "StructureDefinition" || before == "Patient" && last.starts_with('_');
        if before == "Patient" && last == "$match" {
            out.push(Spoken::Somebody);
        }
    }
    for (name, value) in query.split(['&', ';']).filter_map(|pair| pair.split_once('=')) {
        let (name, value) = (unescaped(name), unescaped(value));
        let values = value.split(',').map(str::trim).filter(|value| !value.is_empty());
        values.for_each(|value| out.extend(of_parameter(&name, value, *is_of_patients)));
    }
}

fn of_parameter(name: &str, value: &str, is_of_patients: bool) -> Option<Spoken> {
    let base = name.split([':', '.']).next().unwrap_or_default();
    let more = &name[base.len()..];
    let (system, id) = identifier_in(value);
    let by_identifier = || (!id.is_empty()).then(|| Spoken::Named(String::new(), vec![(system.clone(), id.clone())]));
    let target = bare(value);
    let by_id = |id: &str| Some(Spoken::Named(format!("Patient/{id}"), Vec::new()));
    let is_subject = base.eq_ignore_ascii_case("subject");
    if is_subject && OTHERS.iter().any(|other| more.starts_with(&format!(":{other}")) || target.kind == *other) {
        return None;
    }
    if is_subject || base.eq_ignore_ascii_case("patient") {
        let last = more.rsplit([':', '.']).next().unwrap_or_default();
        return match last {
            "missing" => None,
            "identifier" | "of-type" => by_identifier(),
            "_id" => by_id(value),
            _ if target.is_patient_by_id() => Some(Spoken::Named(target.text, Vec::new())),
            _ if target.kind == "Patient" && !target.identifiers.is_empty() => {
                Some(Spoken::Named(String::new(), target.identifiers))
            }
            "" | "Patient" if !value.contains(['/', ':', '|', '#']) && (!is_subject || last == "Patient") => {
                by_id(value)
            }
            _ => Some(Spoken::Somebody),
        };
    }
    if base == "identifier" && (is_of_patients || is_ins_system(&system)) {
        return by_identifier();
    }
    if is_of_patients && base == "_id" {
        return by_id(value);
    }
    if is_of_patients && SAYS_WHO.contains(&base) {
        return Some(Spoken::Somebody);
    }
    match target.kind.as_str() {
        "Patient" if target.is_patient_by_id() && !target.text.contains("StructureDefinition") => {
            Some(Spoken::Named(target.text, Vec::new()))
        }
        "Patient" if !target.identifiers.is_empty() => Some(Spoken::Named(String::new(), target.identifiers)),
        _ => None,
    }
}

/// Without what a URL has for other characters, however often it was put into another.
fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for _ in 0..3 {
        let next = decoded(&out);
        if next == out {
            break;
        }
        out = next;
    }
    out
}

/// Where the digits of an INS are grouped, as people write it: 2 79 03 51 215 189 89.
const GROUPS: [usize; 6] = [1, 3, 5, 7, 10, 13];
const INS_CHARS: usize = 15;

/// Every INS whose key fits, in one word or in groups.
fn numbers(said: &str) -> Vec<String> {
    let chars: Vec<char> = said.chars().collect();
    let mut out = Vec::new();
    for start in (0..chars.len()).filter(|at| begins(&chars, *at)) {
        if let Some(ins) = number_at(&chars, start)
            && !out.contains(&ins)
        {
            out.push(ins);
        }
    }
    out
}

/// Tells whether a number may begin here: no letter or digit before it, and no number of an OID.
fn begins(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| chars[at]);
    let is_in_oid = before(1) == Some('.') && before(2).is_some_and(|c| c.is_ascii_digit());
    chars[at].is_ascii_digit() && !before(1).is_some_and(char::is_alphanumeric) && !is_in_oid
}

fn number_at(chars: &[char], start: usize) -> Option<String> {
    let mut dense = String::with_capacity(INS_CHARS);
    let mut at = start;
    while dense.len() < INS_CHARS {
        let c = *chars.get(at)?;
        let is_between = matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '.' | '-' | '_' | '+');
        match c.to_ascii_uppercase() {
            _ if is_between && GROUPS.contains(&dense.len()) => {}
            digit @ ('0'..='9' | 'A' | 'B') => dense.push(digit),
            _ => return None,
        }
        at += 1;
    }
    let goes_on = chars.get(at).is_some_and(|c| c.is_alphanumeric())
        || chars.get(at) == Some(&'.') && chars.get(at + 1).is_some_and(char::is_ascii_digit);
    let ins = Ins::parse(&dense, "1.2.250.1.213.1.4.8").ok().filter(|ins| !goes_on && ins.key_fits());
    ins.map(|ins| ins.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INS: &str = "279035121518989";

    #[test]
    fn an_ins_is_found_however_it_is_written() {
        for said in [
            INS,
            "2 79 03 51 215 189 89",
            "2.79.03.51.215.189.89",
            "INS=279035121518989;",
            "279035121518989^^^&1.2.250.1.213.1.4.8&ISO^INS-NIR",
            "@PID.3.1^279035121518989~@PID.3.4.2^1.2.250.1.213.1.4.8",
            "urn:oid:1.2.250.1.213.1.4.10%7C279035121518989",
            "urn%253Aoid%253A1.2.250.1.213.1.4.10%257C279035121518989",
            "identifier=2+79+03+51+215+189+89&x=1",
        ] {
            assert!(spoken(said, false).contains(&Spoken::Ins(INS.to_owned())), "{said}: {:?}", spoken(said, false));
        }
        for said in [
            "1279035121518989",
            "2790351215189891",
            "1.2.276.279035121518989",
            "279035121518989.1",
            "279035121518988",
            "x279035121518989",
        ] {
            assert_eq!(spoken(said, false), [], "{said}");
        }
    }

    #[test]
    fn a_query_names_its_patient_as_servers_are_asked() {
        let by_id = |id: &str| Spoken::Named(format!("Patient/{id}"), Vec::new());
        let by_identifier =
            |system: &str, id: &str| Spoken::Named(String::new(), vec![(system.to_owned(), id.to_owned())]);
        for (said, who) in [
            ("Observation?patient=p1&code=x", by_id("p1")),
            ("GET https://h.example/fhir/Observation?patient:Patient=p1 HTTP/1.1", by_id("p1")),
            ("Observation?subject=Patient/p1", by_id("p1")),
            ("Observation?subject%3APatient=p1", by_id("p1")),
            ("Observation?subject=Patient%2Fp1", by_id("p1")),
            ("Observation%3Fsubject%3DPatient%2Fp1", by_id("p1")),
            ("patient=p1", by_id("p1")),
            ("Appointment?actor=Patient/p1", by_id("p1")),
            ("GET /Patient/p1/Observation", by_id("p1")),
            ("Patient/p1/$everything?_count=5", by_id("p1")),
            ("Patient?_id=p1", by_id("p1")),
            ("DocumentReference?patient.identifier=urn:oid:1.2.3|IPP7", by_identifier("urn:oid:1.2.3", "IPP7")),
            ("DocumentReference?patient:identifier=urn:oid:1.2.3%7CIPP7", by_identifier("urn:oid:1.2.3", "IPP7")),
            ("DocumentReference?subject:Patient.identifier=urn:oid:1.2.3|IPP7", by_identifier("urn:oid:1.2.3", "IPP7")),
            ("Patient?identifier=http://chu/ipp|123", by_identifier("http://chu/ipp", "123")),
            (
                "POST /fhir/Patient/_search\n\nidentifier=http%3A%2F%2Fchu%2Fipp%7C123",
                by_identifier("http://chu/ipp", "123"),
            ),
            ("Patient?name=DURAND", Spoken::Somebody),
            ("Observation?patient.birthdate=1979-03-02", Spoken::Somebody),
            ("Observation?subject=p1", Spoken::Somebody),
        ] {
            assert_eq!(spoken(said, true), [who], "{said}");
        }
        let two = spoken("Observation?patient=p1,p2", true);
        assert_eq!(two, [by_id("p1"), by_id("p2")]);
        for said in [
            "Patient?_count=1",
            "Patient?active=true&_lastUpdated=gt2020-11-06T21:52:30.300Z",
            "Observation?subject=Group/g",
            "Observation?subject:Device=d",
            "Practitioner?identifier=https://rpps.esante.gouv.fr|10100534436",
            "GET /metadata",
            "http://hl7.org/fhir/StructureDefinition/Patient",
            "https://portail.example/patient/documents/DocumentReference/d1",
        ] {
            assert_eq!(spoken(said, true), [], "{said}");
        }
    }
}
