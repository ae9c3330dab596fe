//! The process that holds keys, among others.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Keeps what this process has in memory from other processes of the same user, and from the disk: nobody attaches to it, and
/// when it crashes no image of it is written. Swap is for [`keep_memory_out_of_swap`].
///
/// # Errors
/// When the system refuses.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Bit of `CapEff` in `/proc/self/status`: this process may lock whatever memory it likes.
const CAP_IPC_LOCK: u32 = 14;

/// Keeps the memory of this process, and so its keys, out of swap. Memory is locked as it is used, and only where the system lets
/// this process lock all of it: under a limit, an allocation beyond that would fail. Says what to do where keys can reach a swap
/// file.
pub fn keep_memory_out_of_swap() -> Option<String> {
    let limit = getrlimit(Resource::Memlock);
    let may = limit.maximum.is_none() || has_capability(CAP_IPC_LOCK);
    let locked = may && {
        let _as_it_is = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
        mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
    };
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    // Its first line is the head of the table.
    (!locked && swaps.lines().count() > 1).then(|| {
        "keys in memory can reach the swap of this machine: turn it off, encrypt it, or let the process lock its memory \
         (systemd: LimitMEMLOCK=infinity; a shell: ulimit -l unlimited)"
            .to_owned()
    })
}

fn has_capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits >> bit & 1 == 1)
}
