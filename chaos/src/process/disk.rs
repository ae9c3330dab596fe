//! A disk that is slow, broken or full, for one node: a small library in C that is preloaded into its process alone.
//!
//! [`Shim::compile`] makes the library with the machine's own `cc`, in the run's folder. [`Shim::disk`] gives a
//! [`FaultyDisk`] whose [`env`](FaultyDisk::env) a process is started with; from then on it can be broken and mended at
//! any moment, without a restart. While nothing is broken a call costs one look at a shared page.

use super::ProcessError;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("shim.c");
/// Of the control file; the layout is at the head of `shim.c`.
const CONTROL_BYTES: u64 = 4_096;
const HITS_AT: u64 = 16;

/// A fault of a disk. It concerns every file under the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Each `fsync` and `fdatasync` takes so much longer.
    Slow(Duration),
    /// `fsync`, `fdatasync` and writes fail with `EIO`.
    Broken,
    /// Writes and allocations fail with `ENOSPC`, also where room was allocated before: as on a thin volume.
    Full,
}

impl DiskFault {
    /// Microseconds of delay, errno, calls: 1 syncs, 2 writes.
    fn control(self) -> [u32; 3] {
        let errno = |errno: rustix::io::Errno| u32::try_from(errno.raw_os_error()).expect("errors are positive");
        match self {
            Self::Slow(delay) => [u32::try_from(delay.as_micros()).unwrap_or(u32::MAX), 0, 1],
            Self::Broken => [0, errno(rustix::io::Errno::IO), 3],
            Self::Full => [0, errno(rustix::io::Errno::NOSPC), 2],
        }
    }
}

/// The compiled library.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
    folder: PathBuf,
}

impl Shim {
    /// Compiles it into `folder`.
    ///
    /// # Errors
    /// When there is no `cc`, or it refuses: what it said.
    pub fn compile(folder: &Path) -> Result<Self, ProcessError> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE).map_err(ProcessError::io(format!("cannot write {}", source.display())))?;
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let done = cc.output().map_err(ProcessError::io("cannot run cc; install a C compiler (Debian: gcc)"))?;
        if !done.status.success() {
            let log = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(ProcessError::Failed { what: "cc does not compile the preloaded library".to_owned(), log });
        }
        Ok(Self { library, folder: folder.to_owned() })
    }

    /// The library, to preload.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A sound disk of its own for the process that keeps its files in `data`; `name` tells it from the others.
    ///
    /// # Errors
    /// When its control file can't be made.
    pub fn disk(&self, name: &str, data: &Path) -> Result<FaultyDisk, ProcessError> {
        let control = self.folder.join(format!("{name}.disk"));
        let failed = format!("cannot make {}", control.display());
        let make = || -> std::io::Result<File> {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&control)?;
            file.set_len(CONTROL_BYTES)?;
            Ok(file)
        };
        // As the kernel names the files that are open: without links on the way.
        let data = std::path::absolute(data).and_then(|data| match data.parent().map(Path::canonicalize) {
            Some(parent) => Ok(parent?.join(data.file_name().unwrap_or_default())),
            None => Ok(data),
        });
        let data = data.map_err(ProcessError::io(failed.clone()))?;
        Ok(FaultyDisk { page: make().map_err(ProcessError::io(failed))?, control, data })
    }
}

/// A disk that can be broken and mended while a process uses it.
#[derive(Debug)]
pub struct FaultyDisk {
    page: File,
    control: PathBuf,
    data: PathBuf,
}

impl FaultyDisk {
    /// The environment that the process needs, beside the library.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let dir = ("SILLAGE_FAULTY_DIR".to_owned(), text(&self.data));
        vec![dir, ("SILLAGE_FAULTY_CONTROL".to_owned(), text(&self.control))]
    }

    /// Breaks it.
    ///
    /// # Errors
    /// When the control file can't be written.
    pub fn break_as(&self, fault: DiskFault) -> Result<(), ProcessError> {
        self.set(fault.control())
    }

    /// Mends it.
    ///
    /// # Errors
    /// As [`FaultyDisk::break_as`].
    pub fn mend(&self) -> Result<(), ProcessError> {
        self.set([0; 3])
    }

    /// Calls that were delayed or failed so far.
    ///
    /// # Errors
    /// When the control file can't be read.
    pub fn hits(&self) -> Result<u64, ProcessError> {
        let mut bytes = [0; 8];
        self.page
            .read_exact_at(&mut bytes, HITS_AT)
            .map_err(ProcessError::io("cannot read the disk's control file"))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn set(&self, words: [u32; 3]) -> Result<(), ProcessError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.page.write_all_at(&bytes, 0).map_err(ProcessError::io("cannot write the disk's control file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dd` writes a file and syncs it, under the library.
    fn dd(shim: &Shim, disk: &FaultyDisk, to: &Path) -> std::process::Output {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "bs=512", "count=1", "conv=fdatasync"]).arg(format!("of={}", to.display()));
        dd.env("LD_PRELOAD", shim.library()).envs(disk.env()).env("LC_ALL", "C");
        dd.output().expect("dd is there")
    }

    #[test]
    fn only_the_files_of_the_folder_are_on_the_faulty_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        let shim = match Shim::compile(dir.path()) {
            Ok(shim) => shim,
            Err(error) => return println!("skipped: {error}"),
        };
        let disk = shim.disk("one", &data).expect("a disk");
        let (inside, outside) = (data.join("a"), dir.path().join("b"));
        assert!(dd(&shim, &disk, &inside).status.success(), "a sound disk");
        assert_eq!(disk.hits().expect("counted"), 0);
        for (fault, said) in [(DiskFault::Broken, "Input/output error"), (DiskFault::Full, "No space left")] {
            disk.break_as(fault).expect("broken");
            let refused = dd(&shim, &disk, &inside);
            let text = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && text.contains(said), "{text}");
            assert!(dd(&shim, &disk, &outside).status.success(), "another folder");
        }
        assert!(disk.hits().expect("counted") >= 2);
        disk.break_as(DiskFault::Slow(Duration::from_millis(120))).expect("slow");
        let began = std::time::Instant::now();
        assert!(dd(&shim, &disk, &inside).status.success());
        assert!(began.elapsed() >= Duration::from_millis(120));
        disk.mend().expect("mended");
        let before = disk.hits().expect("counted");
        assert!(dd(&shim, &disk, &inside).status.success());
        assert_eq!(disk.hits().expect("counted"), before);
    }
}
