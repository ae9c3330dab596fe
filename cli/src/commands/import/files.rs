//! Where the documents of an import come from: files and folders, also with gzip.
//!
//! A file that isn't read is named: a folder must not end as if all of it had been imported.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sillage_client::error::ClientError;
use sillage_fhir::import::PatientMap;
use sillage_fhir::import::source::extension;

/// Most bytes of a file, as it stands and unpacked.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Reads the map of patients, if a file is named. `demo` allows demonstration identities.
///
/// # Errors
/// When the file can't be read, or a line of it isn't a reference and an INS.
pub fn patient_map(path: Option<&Path>, demo: bool) -> Result<PatientMap, ClientError> {
    let Some(path) = path else { return Ok(PatientMap::empty(demo)) };
    let text =
        String::from_utf8(sillage_client::profile::read(path)?).map_err(|error| ClientError::reading(path, error))?;
    PatientMap::read(&text, demo).map_err(|why| ClientError::reading(path, why))
}

/// The files under `paths`: a file as named, a folder's `*.json`, `*.ndjson` and `*.jsonl`, also with `.gz`, and those
/// of its subfolders. Folders are read in the order of names. A file that can't be read stands with the reason, and so
/// do other files.
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
        } else if path.is_dir() {
            out.push((path, Some("a link to a folder isn't followed: name the folder itself".to_owned())));
        } else {
            let why = not_imported(&path).or_else(|| no_file(&path));
            out.push((path, why));
        }
    }
}

/// Why what stands in a folder is no file that ends: a pipe waits for ever, a device never ends.
fn no_file(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => None,
        Ok(_) => Some("no file (a pipe, a socket or a device): take it out of the folder".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Why a file of a folder isn't read, if so.
fn not_imported(path: &Path) -> Option<String> {
    match extension(path).as_deref() {
        Some("json" | "ndjson" | "jsonl" | "xml") => None,
        _ => Some(
            "of no kind that is imported: .json, .ndjson, .jsonl, .xml, also with .gz; name the file itself if it is one of them, \
             or take it out of the folder"
                .to_owned(),
        ),
    }
}

/// Reads a file; one that is packed with gzip is unpacked, whatever its name.
///
/// # Errors
/// Why it can't be read, in one sentence.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read the file: {error}"))?;
    let bytes = bounded(file, "", FILE_BYTES_MAX).map_err(|why| format!("cannot read the file: {why}"))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let unpacked = bounded(flate2::read::MultiGzDecoder::new(&bytes[..]), " unpacked", FILE_BYTES_MAX);
    unpacked.map_err(|why| format!("cannot unpack the file: {why}"))
}

/// All that can be read, unless it is too much.
fn bounded(from: impl std::io::Read, how: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match from.take(bytes_max + 1).read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > bytes_max => Err(format!("over {bytes_max} bytes{how}: cut it into several files")),
        Ok(_) => Ok(out),
        Err(error) if how.is_empty() => Err(error.to_string()),
        Err(error) => Err(format!("{error}: it is cut short or damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_fhir::import::source::documents;

    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_no_file_of_a_folder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.json")).expect("a link");
        std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("gone.json")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("pipe.json")).expect("a socket");
        std::fs::write(dir.path().join("a.json"), "{}").expect("written");
        std::os::unix::fs::symlink(dir.path().join("a.json"), dir.path().join("link.json")).expect("a link");
        let found = files(&[dir.path().to_owned()]);
        let why: Vec<bool> = found.iter().map(|(_, why)| why.is_some()).collect();
        assert_eq!(why, [false, true, false, true, true], "{found:?}");
    }

    #[test]
    fn too_much_is_refused_before_it_is_held() {
        for how in ["", " unpacked"] {
            let why = bounded(std::io::repeat(b'0'), how, 1_000).expect_err("without an end");
            assert!(why.contains("cut it into several files"), "{why}");
            assert_eq!(bounded(&[b'0'; 1_000][..], how, 1_000).map(|all| all.len()), Ok(1_000));
        }
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
        assert_eq!(names, ["a.ndjson", "b/z.JSON", "c.json", "skip.txt", "absent"]);
        assert!(found[3].1.is_some() && found[4].1.is_some(), "what isn't read is named");
    }

    #[test]
    fn files_as_windows_gzip_and_other_tools_write_them_are_read_or_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let packed = |text: &str| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut out, text.as_bytes()).expect("written");
            out.finish().expect("packed")
        };
        let two = "{\"a\":1}\n{\"b\":2}\n";
        let several_members = [packed("{\"a\":1}\n"), packed("{\"b\":2}\n")].concat();
        let with_mark = "\u{feff}{\"a\":1}\r\n\r\n{\"b\":2}\r\n";
        let over_lines = "{\n\"a\":\n1}";
        for (name, bytes, count) in [
            ("a.ndjson.gz", packed(two), 2),
            ("a.json.GZ", several_members, 2),
            ("a.ndjson", packed(two), 2),
            ("b.ndjson", with_mark.as_bytes().to_vec(), 2),
            ("b.json", with_mark.as_bytes().to_vec(), 2),
            ("c.jsonl", over_lines.as_bytes().to_vec(), 1),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            let found = documents(&path, &read(&path).expect("read"));
            assert_eq!((found.len(), found.iter().all(|d| d.json.is_ok())), (count, true), "{name}: {found:?}");
        }
        let cut = dir.path().join("cut.json.gz");
        std::fs::write(&cut, &packed(two)[..20]).expect("written");
        assert!(read(&cut).expect_err("damaged").contains("damaged"));
        for (bytes, word) in
            [(&b"[{\"a\":1}]"[..], "NDJSON"), (b"\xff\xfe{\0", "UTF-16"), (b" <AuditEvent/>", "namespace")]
        {
            for name in ["a.json", "a.ndjson"] {
                let found = documents(Path::new(name), bytes);
                let error = found[0].json.clone().expect_err("refused");
                assert!(found.len() == 1 && error.reason.contains(word), "{error}");
            }
        }
        for (name, is_read) in
            [("a.json", true), ("A.NDJSON.gz", true), ("a.xml", true), ("a.gz", false), ("a.zip", false), ("a", false)]
        {
            assert_eq!(not_imported(Path::new(name)).is_none(), is_read, "{name}");
        }
    }
}
