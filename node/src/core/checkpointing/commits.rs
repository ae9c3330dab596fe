//! When the leader proposes an index commit: the entry that a checkpoint ends with.
//!
//! The first one after a quiet time at once, then at most one a second, unless many patients changed meanwhile.

use std::time::Duration;

use sillage_proto::internal::v1::Command;

/// How often it is looked whether one is due.
pub const TICK: Duration = Duration::from_millis(50);
/// Between two, while entries come.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many changed patients don't wait for the interval: the commit would take long.
const CHANGED_MAX: u64 = 20_000;
/// Version of the command.
const COMMAND_VERSION: u32 = 2;

/// Entries since the last index commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// True if any entry came.
    pub any: bool,
    /// Patients that have entries among what came.
    pub patients: u64,
}

/// Tells whether one is due, `since` the last one was proposed by this leader (`None`: it has proposed none yet).
pub fn is_due(pending: Pending, since: Option<Duration>) -> bool {
    let rested = since.is_none_or(|since| since >= INTERVAL);
    pending.any && (rested || pending.patients >= CHANGED_MAX)
}

/// The command that asks for one.
pub fn command() -> Command {
    Command { version: COMMAND_VERSION, index_commit: true, ..Command::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_at_once_the_next_after_a_second_and_a_crowd_does_not_wait() {
        let pending = |entries, patients| Pending { any: entries > 0, patients };
        let (short, long) = (Some(INTERVAL / 2), Some(INTERVAL));
        assert!(is_due(pending(1, 0), None) && is_due(pending(1, 0), long));
        assert!(!is_due(pending(9, 9), short));
        assert!(is_due(pending(CHANGED_MAX, CHANGED_MAX), short));
        assert!(!is_due(pending(0, 0), None) && !is_due(pending(0, 0), long), "nothing came");
    }
}
