//! The kinds of faults, and what each needs of the machine.

use sillage_chaos::process::{clock, find::on_path, net};
use std::fmt;

/// One way to break a part of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// SIGKILL of the leader
    KillLeader,
    /// SIGKILL of a follower
    KillFollower,
    /// SIGKILL of all nodes at once
    KillAll,
    /// SIGSTOP of a node, for longer than an election takes
    Stop,
    /// The data folder of a node that is down is deleted
    Wipe,
    /// The data folder of a node that is down is replaced by a copy of a while ago
    PutBack,
    /// Two nodes that are down get each other's data folder
    Swap,
    /// A node gets another log's keyring, or one with a key missing; or two get each other's
    Keyring,
    /// One node, or each, hears no other and is heard by none
    Partition,
    /// One node isn't heard by the others, or doesn't hear them
    OneWay,
    /// Each node hears a majority, and no two hear the same
    Ring,
    /// fsync takes long on one node
    SlowDisk,
    /// Writes and fsync fail with EIO on one node
    DiskError,
    /// Writes fail with ENOSPC on one node
    DiskFull,
    /// One node's clock jumps ahead or back
    ClockJump,
    /// One node's clock stands still
    ClockFrozen,
}

/// A tool without which a fault can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing but processes and folders.
    Nothing,
    /// Network namespaces of our own.
    Network,
    /// A C compiler, for the library that is preloaded.
    Compiler,
    /// The Debian package `faketime`.
    Faketime,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 16] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAll,
        Self::Stop,
        Self::Wipe,
        Self::PutBack,
        Self::Swap,
        Self::Keyring,
        Self::Partition,
        Self::OneWay,
        Self::Ring,
        Self::SlowDisk,
        Self::DiskError,
        Self::DiskFull,
        Self::ClockJump,
        Self::ClockFrozen,
    ];

    /// The tools that it needs.
    pub fn need(self) -> Need {
        match self {
            Self::Partition | Self::OneWay | Self::Ring => Need::Network,
            Self::SlowDisk | Self::DiskError | Self::DiskFull => Need::Compiler,
            Self::ClockJump | Self::ClockFrozen => Need::Faketime,
            _ => Need::Nothing,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Need {
    /// Tells whether this machine has it.
    ///
    /// # Errors
    /// The missing part.
    pub fn met(self) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::Network if net::is_own() => Ok(()),
            Self::Network => net::possible(),
            Self::Compiler if on_path("cc") => Ok(()),
            Self::Compiler => Err("`cc` is missing (Debian: gcc)".to_owned()),
            Self::Faketime if clock::library().is_some() => Ok(()),
            Self::Faketime => Err("`faketime` is missing (Debian package of that name)".to_owned()),
        }
    }
}

/// Those of the kinds that can be made here; the others with what is missing.
pub fn possible(wanted: &[Kind]) -> (Vec<Kind>, Vec<(Kind, String)>) {
    let (mut possible, mut skipped) = (Vec::new(), Vec::new());
    for kind in wanted {
        match kind.need().met() {
            Ok(()) => possible.push(*kind),
            Err(why) => skipped.push((*kind, why)),
        }
    }
    (possible, skipped)
}
