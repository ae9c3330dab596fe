//! Where the documents come from: files, folders, Bundles and NDJSON. Each document keeps its own bytes exactly.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FhirError, Neighbours};

/// One resource, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Position in its Bundle or NDJSON file, from 0; absent for a file that is one resource.
    pub entry: Option<usize>,
    /// The resource's JSON as it stands in the file.
    pub json: Result<Vec<u8>, FhirError>,
    /// What came in the same Bundle.
    pub around: Arc<Neighbours>,
}

/// The files under `paths`: a file as named, a folder's `*.json`, `*.ndjson` and `*.jsonl` with those of its subfolders.
/// Folders are read in the order of names. An unreadable path stands with its error.
pub fn files(paths: &[PathBuf]) -> Vec<(PathBuf, Option<String>)> {
    let mut out = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => folder(path, &mut out),
            Ok(_) => out.push((path.clone(), None)),
            Err(error) => out.push((path.clone(), Some(error.to_string()))),
        }
    }
    out
}

fn folder(path: &Path, out: &mut Vec<(PathBuf, Option<String>)>) {
    let listed = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = match listed {
        Ok(entries) => entries,
        Err(error) => return out.push((path.to_owned(), Some(error.to_string()))),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A symbolic link to a folder is not followed: it may lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folder(&path, out);
        } else if path.is_file() && is_import_name(&path) {
            out.push((path, None));
        }
    }
}

fn is_import_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("json" | "ndjson" | "jsonl"))
}

fn is_ndjson_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("ndjson" | "jsonl"))
}

/// Splits one file's bytes into documents.
pub fn documents(path: &Path, bytes: &[u8]) -> Vec<Document> {
    if is_ndjson_name(path) {
        return lines(bytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) => resource(raw),
        // Several documents after each other: NDJSON under another name.
        Err(error) if error.is_syntax() && first_line_is_json(bytes) => lines(bytes),
        Err(error) => vec![Document::alone(Err(not_json(&error)))],
    }
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
}

#[derive(Deserialize)]
struct BundleEntry<'a> {
    #[serde(rename = "fullUrl", borrow)]
    full_url: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// The resources of a Bundle that the others may refer to.
fn neighbours(entries: &[&RawValue]) -> Neighbours {
    let mut around = Neighbours::default();
    for entry in entries {
        let Ok(entry) = serde_json::from_str::<BundleEntry>(entry.get()) else { continue };
        let full_url = entry.full_url.and_then(|url| serde_json::from_str::<String>(url.get()).ok());
        let Some(resource) = entry.resource else { continue };
        let Ok(head) = serde_json::from_str::<Head>(resource.get()) else { continue };
        let kind = head.resource_type.map(RawValue::get).unwrap_or_default().trim_matches('"');
        if Neighbours::TYPES.contains(&kind)
            && let Ok(resource) = serde_json::from_str(resource.get())
        {
            around.add(&full_url.unwrap_or_default(), resource);
        }
    }
    around
}

impl Document {
    fn alone(json: Result<Vec<u8>, FhirError>) -> Self {
        Self { entry: None, json, around: Arc::default() }
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
    let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(entries.get()) else {
        return refused("Bundle.entry", "this element repeats: expected a JSON array");
    };
    let around = Arc::new(neighbours(&entries));
    let one = |(i, raw): (usize, &&RawValue)| {
        let resource = serde_json::from_str::<BundleEntry>(raw.get()).ok().and_then(|entry| entry.resource);
        let json = match resource {
            Some(resource) => Ok(resource.get().as_bytes().to_vec()),
            None => Err(FhirError::new(format!("Bundle.entry[{i}].resource"), "an entry without a resource")),
        };
        Document { entry: Some(i), json, around: around.clone() }
    };
    entries.iter().enumerate().map(one).collect()
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
    fn folders_are_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("b")).expect("folder");
        for name in ["c.json", "a.ndjson", "b/z.JSON", "skip.txt"] {
            std::fs::write(dir.path().join(name), "{}").expect("file");
        }
        let found = files(&[dir.path().to_owned(), dir.path().join("absent")]);
        let names: Vec<_> = found
            .iter()
            .map(|(path, _)| path.strip_prefix(dir.path()).expect("inside").display().to_string())
            .collect();
        assert_eq!(names, ["a.ndjson", "b/z.JSON", "c.json", "absent"]);
        assert!(found[3].1.is_some());
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
