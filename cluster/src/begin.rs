//! The beginning of a run: the disk is judged ([`crate::identity`]), and the run is noted before anything is sent.

use crate::identity::{
    DISK_NOTE, DiskClaim, DiskContent, DiskError, DiskRun, Mark, Marker, STARTS_NOTE, Start, decode_starts, next_run,
};
use crate::log::{Batch, FoundLog, LogError, LogStore};

/// A run that doesn't begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The disk must not take part.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The Raft log can't be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Begins a run of the disk: judged, then noted in the data folder, then in the marker. Nothing may be sent before.
/// `applied` is the state machine's index.
///
/// # Errors
/// When the disk must not take part, or can't be written.
pub fn begin_run(
    log: &mut impl LogStore,
    found: &FoundLog,
    applied: u64,
    marker: &dyn Marker,
    may_begin: bool,
    random: &mut dyn FnMut() -> u64,
) -> Result<DiskClaim, BeginError> {
    let mark = marker.load().map_err(DiskError::Unusable)?;
    let note = log.notes().get(DISK_NOTE);
    let unreadable =
        || DiskError::Unusable("the note of which disk this is can't be read: the Raft log is damaged".into());
    let run = note.map(|note| DiskRun::decode(note).ok_or_else(unreadable)).transpose()?;
    let damaged =
        || DiskError::Unusable("the note of the starts of this disk can't be read: the Raft log is damaged".into());
    let noted = log.notes().get(STARTS_NOTE).map(|note| decode_starts(note).ok_or_else(damaged)).transpose()?;
    let own = run.map(|run| Start { number: run.start, run: run.run });
    let starts = match noted {
        Some(starts) if starts.last() == own.as_ref() => starts,
        // A program of before wrote this folder last, and notes its run alone: the start that the folder knows of is the first
        // that it remembers.
        _ => own.into_iter().collect(),
    };
    let recovered = &found.recovered;
    let last = recovered.entries.last().map_or(recovered.mark.0, |entry| entry.index);
    let voted = recovered.hard_state.term > 0;
    let held = DiskContent { run, empty: last == 0 && applied == 0 && !voted, last };
    let next = next_run(held, mark, may_begin, random)?;
    let mut batch = Batch::default();
    let claim = DiskClaim::with(starts, next);
    batch.note(DISK_NOTE, &next.encode());
    batch.note(STARTS_NOTE, &claim.encode_starts());
    log.append(&batch)?;
    // What was applied before is in the log, and will be again.
    let applied = mark.map_or(applied, |mark| mark.applied.max(applied));
    marker.store(&Mark { run: next, applied }).map_err(DiskError::Unusable)?;
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogConfig;

    #[derive(Default)]
    struct Beside(parking_lot::Mutex<Option<Mark>>);

    impl Marker for Beside {
        fn load(&self) -> Result<Option<Mark>, String> {
            Ok(*self.0.lock())
        }

        fn store(&self, mark: &Mark) -> Result<(), String> {
            *self.0.lock() = Some(*mark);
            Ok(())
        }
    }

    #[test]
    fn starts_that_a_program_of_before_has_overtaken_are_forgotten() {
        use crate::log::{RealDisk, SegmentedLog};
        let dir = tempfile::tempdir().unwrap();
        let open = || SegmentedLog::open(RealDisk::open(dir.path()).unwrap(), 1, LogConfig::default(), (0, 0)).unwrap();
        let marker = Beside::default();
        let mut drawn = 100;
        let mut begin = |marker: &Beside| {
            let (mut log, found) = open();
            let mut random = || {
                drawn += 1;
                drawn
            };
            begin_run(&mut log, &found, 0, marker, true, &mut random).unwrap()
        };
        begin(&marker);
        let second = begin(&marker);
        assert_eq!(second.starts.len(), 2);
        // A start that was cut short before the marker: the number is used again, and nothing is forgotten.
        *marker.0.lock() =
            Some(Mark { run: DiskRun { start: 1, run: second.starts[0].run, ..second.run }, applied: 0 });
        let again = begin(&marker);
        assert_eq!((again.run.start, again.starts.len()), (2, 2));
        assert_ne!(again.run.run, second.run.run);
        // The third start is of a program of before, which notes its run alone.
        let third = DiskRun { start: 3, run: 77, ..again.run };
        let (mut log, _) = open();
        let mut batch = Batch::default();
        batch.note(DISK_NOTE, &third.encode());
        log.append(&batch).unwrap();
        drop(log);
        marker.store(&Mark { run: third, applied: 0 }).unwrap();
        let fourth = begin(&marker);
        assert_eq!(fourth.run.start, 4);
        assert_eq!(fourth.starts[0], Start { number: 3, run: 77 });
        assert!(fourth.follows(&third), "a peer that saw the third start takes the fourth");
    }
}
