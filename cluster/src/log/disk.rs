//! The few things the log asks of a disk, and the real one.
//!
//! The simulator gives one in memory that loses unsynced writes at a crash.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};

/// A directory of log files.
pub trait Disk: Send + 'static {
    /// One open file.
    type File: DiskFile;

    /// Names of the files.
    ///
    /// # Errors
    /// I/O.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros that must not exist yet.
    ///
    /// # Errors
    /// I/O.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// I/O.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// I/O.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// I/O.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// I/O.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One log file.
pub trait DiskFile: Send + 'static {
    /// The whole content.
    ///
    /// # Errors
    /// I/O.
    fn read_all(&self) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`; durable after [`DiskFile::sync`].
    ///
    /// # Errors
    /// I/O.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all writes durable (fdatasync).
    ///
    /// # Errors
    /// I/O. After one, nobody knows what the disk holds.
    fn sync(&mut self) -> io::Result<()>;
}

/// A directory of the file system, locked for this process as long as this lives.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    _lock: File,
}

impl RealDisk {
    /// Opens (and makes, if needed) the directory and locks it.
    ///
    /// # Errors
    /// I/O; [`io::ErrorKind::WouldBlock`] when another process has it open.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("LOCK"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        sync_dir(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| parent.is_dir()) {
            sync_dir(parent)?;
        }
        Ok(RealDisk { dir: dir.to_path_buf(), _lock: lock })
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<RealFile> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(self.dir.join(name))?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            // Not every file system can; then space is taken as it is written.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes)?,
            Err(error) => return Err(error.into()),
        }
        file.sync_all()?;
        Ok(RealFile(file))
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(RealFile(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }
}

/// A file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile(File);

impl DiskFile for RealFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let len = self.0.metadata()?.len();
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
