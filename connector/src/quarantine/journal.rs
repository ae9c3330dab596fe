//! The life of everything that was put into quarantine: one file for each day of arrival (UTC), one line for each event. It is
//! what the daily report counts by, and it holds no health data.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::item::is_id;
use crate::arrival::Door;

/// An event in the life of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was put here.
    Kept,
    /// It was handed in again, and taken.
    Taken,
    /// It was handed in again, and lies here anew under another id.
    KeptAnew,
    /// Somebody dropped it: it is on record nowhere.
    Dropped,
}

/// Numbers of a day's items of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct DayCounts {
    /// Put here; what was refused anew counts once.
    pub kept: u64,
    /// Of them: handed in again, and taken.
    pub taken: u64,
    /// Of them: dropped by somebody.
    pub dropped: u64,
    /// Of them: here still.
    pub held: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Line {
    at: String,
    event: Event,
    id: String,
    door: String,
    source: String,
}

pub(super) struct Journal {
    dir: PathBuf,
}

impl Journal {
    pub fn open(dir: &Path) -> io::Result<Self> {
        super::private(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Adds a line, and waits until it is on disk. Two processes may do so at once.
    pub fn write(&self, event: Event, id: &str, door: Door, source: &str) -> io::Result<()> {
        let day = day_of_id(id).expect("an id begins with a day");
        let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = Line { at, event, id: id.to_owned(), door: door.word().to_owned(), source: source.to_owned() };
        // In one write, and a line break before it too: a line that a crash cut short doesn't spoil the next one.
        let text = format!("\n{}\n", serde_json::to_string(&line).expect("text is JSON"));
        let path = self.path(&day);
        let is_new = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        if is_new { File::open(&self.dir)?.sync_all() } else { Ok(()) }
    }

    pub fn ids(&self, day: &str) -> io::Result<Vec<String>> {
        Ok(self.lines(day)?.into_iter().map(|line| line.id).collect())
    }

    /// The source of each id of a day.
    pub fn sources(&self, day: &str) -> io::Result<HashMap<String, String>> {
        Ok(self.lines(day)?.into_iter().map(|line| (line.id, line.source)).collect())
    }

    pub fn day(&self, day: &str) -> io::Result<BTreeMap<String, DayCounts>> {
        // The last event of an id counts: one that was written twice is one.
        let mut last: BTreeMap<String, Line> = BTreeMap::new();
        for line in self.lines(day)? {
            last.insert(line.id.clone(), line);
        }
        let mut out: BTreeMap<String, DayCounts> = BTreeMap::new();
        for line in last.into_values() {
            let counts = out.entry(line.source).or_default();
            match line.event {
                Event::KeptAnew => continue,
                Event::Kept => counts.held += 1,
                Event::Taken => counts.taken += 1,
                Event::Dropped => counts.dropped += 1,
            }
            counts.kept += 1;
        }
        Ok(out)
    }

    fn lines(&self, day: &str) -> io::Result<Vec<Line>> {
        let text = match std::fs::read(self.path(day)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()).filter(|line| is_id(&line.id)).collect())
    }

    fn path(&self, day: &str) -> PathBuf {
        let safe: String = day.chars().filter(|c| c.is_ascii_digit() || *c == '-').take(10).collect();
        self.dir.join(format!("{safe}.ndjson"))
    }
}

/// The day of an item's arrival: 2026-03-02.
pub(super) fn day_of_id(id: &str) -> Option<String> {
    is_id(id).then(|| format!("{}-{}-{}", &id[..4], &id[4..6], &id[6..8]))
}
