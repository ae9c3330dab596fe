//! A file that says to whom accounts belong: for development, test logs alone.
//!
//! ```json
//! {"patients": [{"sub": "patient-1", "ins": "…", "oid": "1.2.250.1.213.1.4.8"}]}
//! ```

use std::path::Path;

use serde::Deserialize;
use sillage_rules::ident::Ins;
use zeroize::Zeroizing;

use crate::oidc::Person;

use super::resolver::{Answer, IdentityResolver, Resolved, checked};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Patients in it.
const PATIENTS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    patients: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sub: String,
    ins: String,
    oid: String,
}

/// See the module. It compares `sub` alone; two entries with one `sub` are several.
#[derive(Debug)]
pub struct ByFile(Vec<(String, Ins)>);

impl ByFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The log is of real persons; the file can't be read, is too long, or isn't one. No content of it is in the text.
    pub fn load(path: &Path, is_test_log: bool) -> Result<Self, String> {
        if !is_test_log {
            return Err(
                "[identity] file: for test logs alone; a log of real persons asks a service (`url`) or the provider"
                    .to_owned(),
            );
        }
        let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let metadata = std::fs::metadata(path).map_err(|error| named(&error))?;
        if metadata.len() > FILE_BYTES_MAX {
            return Err(named(&format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        let text = Zeroizing::new(std::fs::read(path).map_err(|error| named(&error))?);
        Self::parse(&text).map_err(|why| named(&why))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let shape = "expected {\"patients\": [{\"sub\", \"ins\", \"oid\"}, …]}";
        let contents: Contents = serde_json::from_slice(text).map_err(|_| shape.to_owned())?;
        if contents.patients.len() > PATIENTS_MAX {
            return Err(format!("more than {PATIENTS_MAX} patients"));
        }
        let entry = |(at, entry): (usize, Entry)| match checked(&entry.ins, &entry.oid, true) {
            Ok(ins) => Ok((entry.sub, ins)),
            Err(_) => Err(format!("patients[{at}]: not an INS of 15 characters whose key holds, with its OID")),
        };
        contents.patients.into_iter().enumerate().map(entry).collect::<Result<_, _>>().map(Self)
    }
}

impl IdentityResolver for ByFile {
    fn resolve<'a>(&'a self, person: &'a Person) -> Answer<'a, Resolved> {
        let mut found = self.0.iter().filter(|(sub, _)| *sub == person.sub).map(|(_, ins)| ins);
        let resolved = match (found.next(), found.next()) {
            (None, _) => Resolved::None,
            (Some(ins), None) => Resolved::Found(ins.clone()),
            (Some(_), Some(_)) => Resolved::Several,
        };
        Box::pin(async { Ok(resolved) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resolver::tests::{OID, ins, person};
    use super::*;

    #[tokio::test]
    async fn the_file_answers_for_test_logs_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("patients.json");
        let (one, two) = (ins("2800175123456"), ins("1800175123457"));
        let patients = json!({"patients": [
            {"sub": "a", "ins": one, "oid": OID}, {"sub": "b", "ins": one, "oid": OID}, {"sub": "b", "ins": two, "oid": OID}]});
        std::fs::write(&path, patients.to_string()).expect("a file");
        assert!(ByFile::load(&path, false).expect_err("refused").contains("test logs alone"));
        let file = ByFile::load(&path, true).expect("a file");
        assert_eq!(file.resolve(&person("a")).await, Ok(Resolved::Found(checked(&one, OID, true).expect("an INS"))));
        assert_eq!(file.resolve(&person("b")).await, Ok(Resolved::Several));
        assert_eq!(file.resolve(&person("c")).await, Ok(Resolved::None));
    }

    #[test]
    fn a_file_that_is_none_is_refused_without_its_content() {
        let secret = ins("2800175123456");
        for text in [
            format!("{{\"patients\": [{{\"sub\": \"a\", \"ins\": \"{secret}9\", \"oid\": \"{OID}\"}}]}}"),
            format!("{{\"{secret}\": 1}}"),
        ] {
            let why = ByFile::parse(text.as_bytes()).expect_err("refused");
            assert!(!why.contains(&secret), "{why}");
        }
    }
}
