//! The process that holds keys, among others.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps what this process has in memory from other processes of the same user, and from the disk: nobody attaches to it, and
/// when it crashes no image of it is written. Swap is the machine's affair: turn it off, or encrypt it.
///
/// # Errors
/// When the system refuses.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
