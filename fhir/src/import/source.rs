//! From the bytes of a file to documents: one resource, a Bundle, or NDJSON. Each document keeps its own bytes exactly.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::dates::instant_ms;
use super::history::{self, Deleted, Version};
use super::references::{bare, is_of_server, written_base};
use super::{FhirError, Neighbours, read};

/// One resource, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Position in its Bundle or NDJSON file, from 0; absent for a file that is one resource.
    pub entry: Option<usize>,
    /// The resource's JSON as it stands in the file.
    pub json: Result<Vec<u8>, FhirError>,
    /// Of an entry of a Bundle: its `fullUrl`, where it says one.
    pub full_url: String,
    /// The resources that came in the same Bundle, and the server that `fullUrl` names.
    pub around: Neighbours,
    /// Of a Bundle of type `history`: an older version of a Consent, which says nothing any more.
    pub is_old: bool,
    /// Of a Bundle of type `history`: a Consent was deleted. `json` is its last version, or the error that there is none.
    pub deleted: Option<Deleted>,
}

/// The extension of a name, small, without that of gzip.
pub fn extension(path: &Path) -> Option<String> {
    let of = |path: &Path| path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match of(path) {
        Some(gz) if gz == "gz" => of(Path::new(path.file_stem()?)),
        other => other,
    }
}

fn is_ndjson_name(path: &Path) -> bool {
    matches!(extension(path).as_deref(), Some("ndjson" | "jsonl"))
}

/// Splits one file's bytes into documents.
pub fn documents(path: &Path, bytes: &[u8]) -> Vec<Document> {
    // Windows writes a mark before the first character, whatever the file is called.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(why) = no_json(bytes) {
        return vec![Document::alone(Err(FhirError::new("", why)))];
    }
    if bytes.trim_ascii_start().starts_with(b"<") {
        return xml(bytes);
    }
    if is_ndjson_name(path) {
        // One resource over several lines, or a Bundle, under the name of NDJSON.
        return match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(raw) if raw.get().contains('\n') => resource(raw),
            _ => lines(bytes),
        };
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) => resource(raw),
        // Several documents after each other: NDJSON under another name.
        Err(error) if error.is_syntax() && first_line_is_json(bytes) => lines(bytes),
        Err(error) => vec![Document::alone(Err(not_json(&error)))],
    }
}

/// One resource, or a Bundle, in XML. Each document is kept as the JSON that says the same.
fn xml(bytes: &[u8]) -> Vec<Document> {
    let refused = |error: FhirError| vec![Document::alone(Err(error))];
    match crate::xml::to_json(bytes) {
        Ok(json) => match serde_json::from_str::<&RawValue>(&json) {
            Ok(raw) => resource(raw),
            Err(error) => refused(not_json(&error)),
        },
        Err(error) => refused(FhirError::new(error.path, error.reason)),
    }
}

/// Why bytes can't be JSON of FHIR, where that is plain.
fn no_json(bytes: &[u8]) -> Option<String> {
    let first = bytes.trim_ascii_start().first();
    let why = match (bytes, first) {
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) | ([b'{', 0, ..] | [0, b'{', ..], _) => {
            "UTF-16: save it as UTF-8 (`iconv -f UTF-16 -t UTF-8 FILE`)"
        }
        (_, Some(b'[')) => {
            "a JSON array: FHIR has Bundles, or one resource a line (NDJSON): `jq -c '.[]' FILE > FILE.ndjson` makes the lines"
        }
        _ => return None,
    };
    Some(why.to_owned())
}

fn first_line_is_json(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty());
    line.is_some_and(|line| serde_json::from_slice::<&RawValue>(line).is_ok_and(|v| v.get().starts_with('{')))
}

fn not_json(error: &serde_json::Error) -> FhirError {
    FhirError::new("", format!("not JSON: {error}"))
}

fn lines(bytes: &[u8]) -> Vec<Document> {
    let lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .flat_map(|(entry, line)| {
            let json = match serde_json::from_slice::<&RawValue>(line) {
                Ok(_) => Ok(line.to_vec()),
                Err(error) => Err(not_json(&error)),
            };
            [Document { entry: Some(entry), ..Document::alone(json) }]
        })
        .collect()
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "resourceType", borrow)]
    resource_type: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
    #[serde(rename = "type", borrow)]
    sort: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Deserialize)]
struct BundleEntry<'a> {
    #[serde(rename = "fullUrl", borrow)]
    full_url: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl BundleEntry<'_> {
    fn full_url(&self) -> String {
        self.full_url.and_then(|url| serde_json::from_str(url.get()).ok()).unwrap_or_default()
    }

    /// The server that `fullUrl` names; empty where it names none.
    fn base(&self) -> String {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "resourceType")]
            kind: String,
            #[serde(default)]
            id: String,
        }
        let named = self.resource.and_then(|resource| serde_json::from_str::<Named>(resource.get()).ok());
        let base = named.and_then(|named| Some(written_base(&self.full_url(), &named.kind, &named.id)?.to_owned()));
        base.unwrap_or_default()
    }

    /// Tells whether it says that a Consent was deleted on its server.
    fn deletes_consent(&self) -> bool {
        let request: Value = self.request.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        self.resource.is_none() && Version::of(&self.full_url(), &Value::Null, &request, &Value::Null).is_some()
    }

    /// When its server did what it says, milliseconds since 1970.
    fn modified_ms(&self) -> Option<u64> {
        let response: Value = serde_json::from_str(self.response?.get()).ok()?;
        u64::try_from(instant_ms(response["lastModified"].as_str()?)?).ok()
    }

    /// Which version of a Consent it is, in a history.
    fn version(&self) -> Option<Version> {
        let read =
            |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        Version::of(&self.full_url(), &read(self.resource), &read(self.request), &read(self.response))
    }
}

/// The resources of a Bundle that the others may refer to.
fn neighbours(entries: &[&RawValue]) -> Neighbours {
    let mut resources = Vec::new();
    for entry in entries {
        let Ok(entry) = serde_json::from_str::<BundleEntry>(entry.get()) else { continue };
        let full_url = entry.full_url();
        let Some(resource) = entry.resource else { continue };
        let Ok(head) = serde_json::from_str::<Head>(resource.get()) else { continue };
        let kind = head.resource_type.map(RawValue::get).unwrap_or_default().trim_matches('"');
        if Neighbours::TYPES.contains(&kind)
            && let Ok(resource) = serde_json::from_str(resource.get())
        {
            resources.push((full_url, resource));
        }
    }
    Neighbours::of(resources)
}

impl Document {
    /// One resource that came alone from the server with this base URL; an empty one says nothing.
    pub fn of_server(json: Vec<u8>, base: &str) -> Self {
        Self { around: Neighbours::default().at(base), ..Self::alone(Ok(json)) }
    }

    /// In place of what couldn't be read: the reason.
    pub fn unreadable(why: FhirError) -> Self {
        Self::alone(Err(why))
    }

    fn alone(json: Result<Vec<u8>, FhirError>) -> Self {
        Self { entry: None, json, full_url: String::new(), around: Neighbours::default(), is_old: false, deleted: None }
    }
}

/// One resource, or the entries of a Bundle.
fn resource(raw: &RawValue) -> Vec<Document> {
    let alone = || vec![Document::alone(Ok(raw.get().as_bytes().to_vec()))];
    let Ok(head) = serde_json::from_str::<Head>(raw.get()) else {
        return alone();
    };
    if head.resource_type.is_none_or(|name| name.get() != "\"Bundle\"") {
        return alone();
    }
    let refused = |path: &str, why: &str| vec![Document::alone(Err(FhirError::new(path, why)))];
    let Some(entries) = head.entry else {
        return Vec::new();
    };
    let Ok(raw) = serde_json::from_str::<Vec<&RawValue>>(entries.get()) else {
        return refused("Bundle.entry", "this element repeats: expected a JSON array");
    };
    let around = neighbours(&raw);
    let is_history = head.sort.is_some_and(|sort| sort.get() == "\"history\"");
    let entries: Vec<Option<BundleEntry>> = raw.iter().map(|raw| serde_json::from_str(raw.get()).ok()).collect();
    let superseded = match is_history {
        true => history::superseded(entries.iter().map(|entry| entry.as_ref()?.version()).collect()),
        false => vec![None; entries.len()],
    };
    let one = |(i, why): (usize, Option<history::Left>)| {
        let said = entries[i];
        let last = match why {
            Some(history::Left::Deleted(last)) => last.and_then(|last| entries[last]),
            _ => said,
        };
        let full_url = last.as_ref().map(BundleEntry::full_url).unwrap_or_default();
        let around = around.at(&last.as_ref().map(BundleEntry::base).unwrap_or_default());
        let path = format!("Bundle.entry[{i}]");
        let is_deletion = said.is_some_and(|said| said.deletes_consent());
        let json = match last.and_then(|entry| entry.resource) {
            Some(resource) => Ok(resource.get().as_bytes().to_vec()),
            None if is_deletion => Err(FhirError::new(format!("{path}.request"), history::DELETED)),
            None => Err(FhirError::new(format!("{path}.resource"), "an entry without a resource")),
        };
        let deleted = said.filter(|_| matches!(why, Some(history::Left::Deleted(_)))).and_then(|said| {
            let (version, entry) = (said.version()?, raw[i].get().as_bytes().to_vec());
            Some(Deleted { version, at_ms: said.modified_ms(), entry })
        });
        Document { entry: Some(i), json, full_url, around, is_old: why == Some(history::Left::Old), deleted }
    };
    superseded.into_iter().enumerate().map(one).collect()
}

/// The first reference in these documents that says nothing of its server, where no document does: `Practitioner/1` of two servers
/// would be one name. None of a patient, whom the patient map or an INS names, of what has an identifier, and of our own export.
pub fn without_server(documents: &[Document]) -> Option<String> {
    let json = |document: &Document| serde_json::from_slice::<Value>(document.json.as_deref().ok()?).ok();
    documents
        .iter()
        .filter(|document| document.around.base().is_empty())
        .filter_map(json)
        .filter(|document| read::own(document, "entry").is_none())
        .find_map(|document| relative_in(&document))
}

fn relative_in(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => {
            let (target, named) = (bare(read::text(value, "reference")), &value["identifier"]);
            // A Consent is named by its directive, which the log tells apart.
            let is_told = named.is_object() || !target.identifiers.is_empty();
            let is_meant = !target.kind.is_empty() && !matches!(target.kind.as_str(), "Patient" | "Consent");
            if is_meant && !is_told && is_of_server(&target.text) {
                return Some(target.text);
            }
            let inner = members.iter().filter(|(name, _)| !matches!(name.as_str(), "text" | "contained" | "meta"));
            inner.into_iter().find_map(|(_, value)| relative_in(value))
        }
        Value::Array(items) => items.iter().find_map(relative_in),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(name: &str, bytes: &[u8]) -> Vec<(Option<usize>, String)> {
        let text = |d: Document| match d.json {
            Ok(json) => (d.entry, String::from_utf8(json).expect("UTF-8")),
            Err(error) => (d.entry, format!("! {error}")),
        };
        documents(Path::new(name), bytes).into_iter().map(text).collect()
    }

    #[test]
    fn a_resource_keeps_its_bytes() {
        let json = "{ \"resourceType\" :\n \"AuditEvent\" }";
        assert_eq!(texts("a.json", json.as_bytes()), [(None, json.to_owned())]);
    }

    #[test]
    fn a_bundle_is_its_entries() {
        let json = r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{ "a": 1 }},{"fullUrl":"x"}]}"#;
        let got = texts("a.json", json.as_bytes());
        assert_eq!(got[0], (Some(0), "{ \"a\": 1 }".to_owned()));
        assert!(got[1].1.starts_with("! Bundle.entry[1].resource"), "{got:?}");
        assert_eq!(texts("a.json", br#"{"resourceType":"Bundle"}"#), []);
    }

    #[test]
    fn ndjson_is_its_lines_by_name_or_by_look() {
        let bytes = b"{\"a\":1}\r\n\n{\"b\":2}\nnot json\n";
        for name in ["a.ndjson", "a.json"] {
            let got = texts(name, bytes);
            assert_eq!(got[..2], [(Some(0), "{\"a\":1}".into()), (Some(1), "{\"b\":2}".into())], "{name}");
            assert!(got[2].1.starts_with("! not JSON"), "{got:?}");
        }
        assert!(texts("a.json", b"{\"a\":")[0].1.starts_with("! not JSON"));
    }

    #[test]
    fn of_a_history_the_newest_consent_counts_alone() {
        let consent = |id: &str, version: &str, status: &str| {
            format!(
                r#"{{"resource": {{"resourceType": "Consent", "id": "{id}", "status": "{status}", "meta": {{"versionId": "{version}"}}}}}}"#
            )
        };
        let deleted = |id: &str| format!(r#"{{"request": {{"method": "DELETE", "url": "Consent/{id}"}}}}"#);
        let other = r#"{"resource": {"resourceType": "AuditEvent", "id": "1", "meta": {"versionId": "1"}}}"#.to_owned();
        let read = |sort: &str, entries: &[&String]| {
            let entries = entries.iter().map(|entry| entry.as_str()).collect::<Vec<_>>().join(",");
            let json = format!(r#"{{"resourceType": "Bundle", "type": "{sort}", "entry": [{entries}]}}"#);
            let one = |d: &Document| match (&d.json, d.is_old) {
                (_, true) => "old".to_owned(),
                (Err(error), _) => error.path.clone(),
                (Ok(json), _) if d.deleted.is_some() => {
                    let last: Value = serde_json::from_slice(json).expect("JSON");
                    format!("ends {}", last["meta"]["versionId"].as_str().unwrap_or_default())
                }
                (Ok(_), _) => "read".to_owned(),
            };
            documents(Path::new("a.json"), json.as_bytes()).iter().map(one).collect::<Vec<_>>()
        };
        let (third, second) = (consent("1", "3", "inactive"), consent("1", "2", "active"));
        assert_eq!(read("history", &[&third, &second]), ["read", "old"]);
        assert_eq!(read("history", &[&second, &third]), ["old", "read"]);
        assert_eq!(read("history", &[&second, &consent("2", "1", "active"), &other, &other]), ["read"; 4]);
        let unsaid = consent("1", "", "active");
        assert_eq!(read("history", &[&unsaid, &unsaid]), ["read", "old"], "the newest stands first");
        assert_eq!(read("history", &[&deleted("1"), &third, &second]), ["ends 3", "old", "old"]);
        assert_eq!(read("history", &[&deleted("2"), &third]), ["Bundle.entry[0].request", "read"]);
        assert_eq!(read("history", &[&third, &deleted("1"), &second]), ["read", "old", "old"], "it was made again");
        assert_eq!(read("history", &[&second, &deleted("1"), &third]), ["old", "ends 3", "old"], "it stands before it");
        let at =
            |base: &str| third.replacen('{', &format!(r#"{{"fullUrl": "https://{base}.example/fhir/Consent/1", "#), 1);
        assert_eq!(
            read("history", &[&deleted("1"), &at("a"), &at("b")]),
            ["Bundle.entry[0].request", "read", "read"],
            "of which server? It ends neither, and hides neither"
        );
        let gone = |full_url: &str, url: &str| {
            let full_url = if full_url.is_empty() { String::new() } else { format!(r#""fullUrl": "{full_url}", "#) };
            format!(r#"{{{full_url}"request": {{"method": "DELETE", "url": "{url}"}}}}"#)
        };
        let (of_a, of_b) = ("https://a.example/fhir/Consent/1", "https://B.example/fhir/Consent/1");
        for (deletion, says) in [
            (gone("", of_b), ["ends 3", "read", "old"]),
            (gone(of_b, "Consent/1?_cascade=delete"), ["ends 3", "read", "old"]),
            (gone(of_a, of_a), ["ends 3", "old", "read"]),
            (gone(of_a, of_b), ["Bundle.entry[0].request", "read", "read"]),
            (gone(of_a, "Consent/2"), ["Bundle.entry[0].request", "read", "read"]),
            (gone("", "https://c.example/fhir/Consent/1"), ["Bundle.entry[0].request", "read", "read"]),
        ] {
            assert_eq!(read("history", &[&deletion, &at("a"), &at("b")]), says, "{deletion}");
        }
        assert_eq!(read("history", &[&gone("", of_b), &at("a")]), ["Bundle.entry[0].request", "read"], "of another");
        assert_eq!(
            read("history", &[&at("a"), &third, &at("b")]),
            ["read"; 3],
            "nothing says that it is one of theirs"
        );
        let of_whom = read("history", &[&gone("", of_a), &third]);
        assert_eq!(of_whom, ["Bundle.entry[0].request", "read"], "the version is of a server that isn't named");
        assert_eq!(read("history", &[&deleted("1"), &at("a"), &at("a")])[0], "ends 3");
        assert_eq!(read("transaction", &[&deleted("1"), &third]), ["Bundle.entry[0].request", "read"], "no history");
        assert_eq!(read("collection", &[&third, &second]), ["read"; 2]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a-eBundletry0-9 \n]{0,80}") {
            for name in ["a.json", "a.ndjson"] {
                let _ = documents(Path::new(name), &bytes);
                let _ = documents(Path::new(name), text.as_bytes());
            }
        }
    }
}
