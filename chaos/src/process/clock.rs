//! A clock of its own for one node: `faketime` (Debian package of that name), preloaded into its process alone.
//!
//! The clock is set in a file while the process runs; it looks there once a second. Only the time of day changes: what
//! measures how long something takes goes on as it was, as when an operator or a time service sets a machine's clock.

use super::ProcessError;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// In a folder of `/usr/lib` or `/usr/lib64`; the one for programs with threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Until a process looks at its clock's file again, seconds.
pub const LOOK_INTERVAL_S: u64 = 1;

/// Where the library is; `None` where it is not installed.
pub fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let own = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    folders.chain(own).map(|folder| folder.join(LIBRARY)).find(|path| path.is_file())
}

/// The behaviour of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// It is ahead by so many seconds, behind where that is negative.
    Off(i64),
    /// It stands still from now on.
    Frozen,
}

/// A clock that can be set while a process uses it.
#[derive(Debug)]
pub struct FalseClock {
    file: PathBuf,
}

impl FalseClock {
    /// A clock that is right, kept in `file`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn right(file: &Path) -> Result<Self, ProcessError> {
        let clock = Self { file: file.to_owned() };
        clock.set("+0")?;
        Ok(clock)
    }

    /// The environment that the process needs, beside the library.
    pub fn env(&self) -> Vec<(String, String)> {
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            of("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string()),
            of("FAKETIME_CACHE_DURATION", &LOOK_INTERVAL_S.to_string()),
            of("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            of("FAKETIME_DONT_RESET", "1"),
            of("FAKETIME_FMT", "%s"),
            // Files keep the machine's time.
            of("NO_FAKE_STAT", "1"),
        ]
    }

    /// Makes it wrong.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn break_as(&self, fault: ClockFault) -> Result<(), ProcessError> {
        match fault {
            ClockFault::Off(seconds) => self.set(&format!("{seconds:+}")),
            ClockFault::Frozen => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.set(&now.as_secs().to_string())
            }
        }
    }

    /// Sets it right.
    ///
    /// # Errors
    /// As [`FalseClock::break_as`].
    pub fn mend(&self) -> Result<(), ProcessError> {
        self.set("+0")
    }

    /// In one step: a half-written file would be another time.
    fn set(&self, time: &str) -> Result<(), ProcessError> {
        let new = self.file.with_extension("new");
        let written = std::fs::write(&new, format!("{time}\n")).and_then(|()| std::fs::rename(&new, &self.file));
        written.map_err(ProcessError::io(format!("cannot write {}", self.file.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn shown(clock: &FalseClock, library: &Path) -> i64 {
        let mut date = Command::new("date");
        date.arg("+%s").env("LD_PRELOAD", library).envs(clock.env());
        let out = date.output().expect("date is there");
        String::from_utf8_lossy(&out.stdout).trim().parse().expect("seconds")
    }

    #[test]
    fn a_false_clock_is_ahead_behind_or_still_for_its_process_alone() {
        let Some(library) = library() else { return println!("skipped: install the Debian package faketime") };
        let dir = tempfile::tempdir().expect("a folder");
        let clock = FalseClock::right(&dir.path().join("clock")).expect("a clock");
        let now =
            || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()).unwrap();
        assert!((shown(&clock, &library) - now()).abs() <= 1);
        clock.break_as(ClockFault::Off(3_600)).expect("set");
        assert!((shown(&clock, &library) - now() - 3_600).abs() <= 1);
        clock.break_as(ClockFault::Off(-600)).expect("set");
        assert!((shown(&clock, &library) - now() + 600).abs() <= 1);
        clock.break_as(ClockFault::Frozen).expect("set");
        let still = shown(&clock, &library);
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        assert_eq!(shown(&clock, &library), still);
        clock.mend().expect("set");
        assert!((shown(&clock, &library) - now()).abs() <= 1);
    }
}
