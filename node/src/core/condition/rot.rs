//! Damage found on disk, kept over a restart.
//!
//! A rotten block is found when it is read, and a restart would forget it until it is read again. So what is found is kept in
//! the file `ROTTEN` of the data folder, with the name of the database that it was found in: the alarm is there at once after a
//! restart. It is over when that database was replaced by a snapshot's, or when every file that was named can be read whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// In the data folder.
const NAME: &str = "ROTTEN";
const TITLE: &str = "sillage-rotten 1";
/// Findings kept; more say nothing new.
const FOUND_MAX: usize = 16;
/// Longest finding, in characters.
const FOUND_CHARS_MAX: usize = 600;

/// See the module.
#[derive(Debug)]
pub struct RotRecord {
    path: PathBuf,
    /// The pointer to the database in use.
    pointer: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    database: String,
    found: Vec<String>,
}

impl Kept {
    fn text(&self) -> String {
        let found: String = self.found.iter().map(|found| format!("found {found}\n")).collect();
        format!("{TITLE}\ndatabase {}\n{found}", self.database)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let database = lines.next()?.strip_prefix("database ")?.to_owned();
        let found = lines.map(|line| line.strip_prefix("found ").map(str::to_owned));
        let found: Vec<String> = found.collect::<Option<_>>()?;
        (!found.is_empty()).then_some(Kept { database, found })
    }
}

impl RotRecord {
    /// Takes up what earlier runs found in the database that is in use; gives it as it is told, `None` where there is
    /// nothing. A file that can't be read counts as a finding.
    pub fn load(data_dir: &Path) -> (Self, Option<String>) {
        let pointer = data_dir.join("ledger").join("CURRENT-DB");
        let record = Self { path: data_dir.join(NAME), pointer, kept: Mutex::default() };
        let database = record.database();
        let unreadable =
            || Kept { database: database.clone(), found: vec!["what was found before can't be read".into()] };
        let kept = match fs::read_to_string(&record.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (record, None),
            Ok(text) => Kept::parse(&text).unwrap_or_else(unreadable),
            Err(error) => {
                tracing::error!(path = %record.path.display(), %error, "what was found to be damaged can't be read");
                unreadable()
            }
        };
        if kept.database != database {
            // A snapshot took its place.
            record.forget();
            return (record, None);
        }
        let told = kept.found.join("; ");
        *record.kept.lock() = kept;
        (record, Some(told))
    }

    fn database(&self) -> String {
        fs::read_to_string(&self.pointer).map(|name| name.trim().to_owned()).unwrap_or_default()
    }

    /// Keeps a finding; the same again is written once.
    pub fn keep(&self, found: &str) {
        let found: String = found.chars().map(|c| if c.is_control() { ' ' } else { c }).take(FOUND_CHARS_MAX).collect();
        let mut kept = self.kept.lock();
        if kept.found.contains(&found) || kept.found.len() >= FOUND_MAX {
            return;
        }
        if kept.found.is_empty() {
            kept.database = self.database();
        }
        kept.found.push(found);
        if let Err(error) = self.write(&kept.text()) {
            tracing::error!(path = %self.path.display(), %error, "what is damaged can't be kept over a restart");
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// It is over.
    pub fn forget(&self) {
        *self.kept.lock() = Kept::default();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(path = %self.path.display(), %error, "it says that something is damaged and can't be removed");
            }
            _ => {}
        }
    }

    /// The database's files that the findings name; `None` where one names none, so that nothing says when it is over.
    pub fn files(&self) -> Option<Vec<String>> {
        let kept = self.kept.lock();
        let mut files: Vec<String> = kept.found.iter().map(|found| file_in(found)).collect::<Option<_>>()?;
        files.sort_unstable();
        files.dedup();
        Some(files)
    }
}

/// The database's file that a sentence of RocksDB names.
fn file_in(found: &str) -> Option<String> {
    let words = found.split(|c: char| c.is_whitespace() || matches!(c, '/' | ':' | ';' | ','));
    let mut names = words.filter(|word| {
        word.strip_suffix(".sst").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit()))
    });
    names.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKSUM: &str = "Corruption: block checksum mismatch: stored = 1, computed = 2  in /data/ledger/db-1/000042.sst offset 7 size 9";

    fn folder(database: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ledger")).unwrap();
        point(dir.path(), database);
        dir
    }

    fn point(dir: &Path, database: &str) {
        fs::write(dir.join("ledger/CURRENT-DB"), format!("{database}\n")).unwrap();
    }

    #[test]
    fn what_was_found_is_there_after_a_restart() {
        let dir = folder("db-1");
        let (record, found) = RotRecord::load(dir.path());
        assert_eq!(found, None);
        record.keep(CHECKSUM);
        record.keep(CHECKSUM);
        let (record, found) = RotRecord::load(dir.path());
        assert_eq!(found.as_deref(), Some(CHECKSUM));
        assert_eq!(record.files(), Some(vec!["000042.sst".to_owned()]));
        record.keep("something\nelse");
        let (record, found) = RotRecord::load(dir.path());
        assert_eq!(found, Some(format!("{CHECKSUM}; something else")));
        assert_eq!(record.files(), None, "nobody can say where that was");
        record.forget();
        assert_eq!(RotRecord::load(dir.path()).1, None);
    }

    #[test]
    fn it_is_over_when_a_snapshot_took_the_databases_place() {
        let dir = folder("db-1");
        RotRecord::load(dir.path()).0.keep(CHECKSUM);
        point(dir.path(), "db-2");
        assert_eq!(RotRecord::load(dir.path()).1, None);
        point(dir.path(), "db-1");
        assert_eq!(RotRecord::load(dir.path()).1, None, "the file is gone");
    }

    #[test]
    fn what_cannot_be_read_is_a_finding() {
        let dir = folder("db-1");
        for text in ["", "sillage-rotten 2\ndatabase db-1\nfound x\n", "sillage-rotten 1\ndatabase db-1\n"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            let (record, found) = RotRecord::load(dir.path());
            assert!(found.unwrap().contains("can't be read"), "{text}");
            assert_eq!(record.files(), None);
        }
    }
}
