//! Which disk this is, and which of its starts.
//!
//! A vote and an acknowledgement are promises of a disk: they hold only as long as the disk that gave them is the one that
//! answers. So a disk has a random identity and counts its starts. Both stand in the Raft log store and in a *marker*, which
//! is kept beside the keyring, outside the data folder. Every message to a peer names them, and a peer stores the highest
//! start that it saw before it counts anything of it ([`crate::core`]).
//!
//! A number alone can be caught up: a disk that was put back and started a few times while nobody heard it comes to a number
//! that no peer has seen. So a node also says which starts it remembers, by the random names of their runs ([`DiskClaim`]),
//! and a peer takes a later start only from a disk that remembers the one that the peer has seen.
//!
//! [`next_run`] judges what is found at a start, and [`crate::begin`] carries it out. It can't see one case: a copy of
//! marker and data together, taken within the present run or put back while all peers that saw a later start are away.
//! That case is found afterwards: [`crate::core`], `standing`.

use std::fmt;

/// The note in the Raft log store that says which disk it is.
pub const DISK_NOTE: &[u8] = b"disk";
/// Notes of this prefix, followed by a node id in eight bytes, keep the highest run seen of each peer.
pub(crate) const PEER_NOTES: &[u8] = b"peer/";
/// Length of an encoded [`DiskRun`].
pub const RUN_BYTES: usize = 32;
/// The note in the Raft log store that keeps the starts of [`DiskClaim`].
pub const STARTS_NOTE: &[u8] = b"starts";
/// Starts that a disk remembers at most, 16 bytes each.
pub const STARTS_MAX: usize = 1_024;
/// Starts that a disk remembers in any case, once it had as many: other peers than the one that confirmed a start may have seen
/// an earlier one.
pub const STARTS_KEPT: usize = 64;

/// One start of one disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskRun {
    /// Random, made when the disk began.
    pub disk: [u8; 16],
    /// Number of the start, from 1.
    pub start: u64,
    /// Random, made at this start: two runs that begin from the same copy have the same number.
    pub run: u64,
}

impl fmt::Debug for DiskRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DiskRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.disk[..4] {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "… (start {})", self.start)
    }
}

impl DiskRun {
    /// `disk[16] ‖ u64 start ‖ u64 run`, big-endian.
    pub fn encode(&self) -> [u8; RUN_BYTES] {
        let mut out = [0; RUN_BYTES];
        out[..16].copy_from_slice(&self.disk);
        out[16..24].copy_from_slice(&self.start.to_be_bytes());
        out[24..].copy_from_slice(&self.run.to_be_bytes());
        out
    }

    /// Reads what [`DiskRun::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RUN_BYTES] = bytes.try_into().ok()?;
        let (disk, rest) = bytes.split_first_chunk::<16>()?;
        let (start, run) = rest.split_first_chunk::<8>()?;
        let run = u64::from_be_bytes(run.try_into().ok()?);
        let start = u64::from_be_bytes(*start);
        (start > 0).then_some(DiskRun { disk: *disk, start, run })
    }
}

/// A start that a disk remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number.
    pub number: u64,
    /// The random name of its run.
    pub run: u64,
}

/// The claim of a node on its disk, beside every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskClaim {
    /// The present run.
    pub run: DiskRun,
    /// The starts that it remembers, ascending: from the last one that a peer has said to have stored to the present one, and at
    /// least the last [`STARTS_KEPT`]. Empty from a node that doesn't say (a program of before).
    pub starts: Vec<Start>,
}

impl From<DiskRun> for DiskClaim {
    /// Of a node that doesn't say which starts it remembers.
    fn from(run: DiskRun) -> Self {
        DiskClaim { run, starts: Vec::new() }
    }
}

impl DiskClaim {
    /// This run, after the starts that are remembered.
    pub(crate) fn with(mut starts: Vec<Start>, run: DiskRun) -> Self {
        // The number of a start that was cut short is used again, and its name is not.
        starts.retain(|start| start.number < run.start);
        starts.push(Start { number: run.start, run: run.run });
        if starts.len() > STARTS_MAX {
            // The last one that a peer has confirmed is among the first, and stays. A peer that had seen just the one that is
            // dropped, of a disk that started so often without being confirmed, refuses it: it is replaced.
            starts.remove(STARTS_KEPT);
        }
        DiskClaim { run, starts }
    }

    /// Tells whether this is a later start of the disk that was seen in `known`, and not of a copy of it: it remembers that start, or
    /// only later ones.
    pub fn follows(&self, known: &DiskRun) -> bool {
        let Self { run, starts } = self;
        let is_later = run.disk == known.disk && run.start > known.start;
        let first = starts.first().map_or(u64::MAX, |start| start.number);
        let seen = Start { number: known.start, run: known.run };
        is_later && (known.start < first || starts.contains(&seen))
    }

    /// A peer has stored this run of this node: the starts before it needn't be remembered any more, but for the last
    /// [`STARTS_KEPT`]. Whether that changes anything. Were all of them dropped, then a copy that one peer has confirmed would pass
    /// for the disk itself at a peer that saw a later start than the copy's.
    pub(crate) fn confirm(&mut self, stored: &DiskRun) -> bool {
        let seen = Start { number: stored.start, run: stored.run };
        let at = self.starts.iter().position(|start| *start == seen && stored.disk == self.run.disk);
        let count = at.unwrap_or(0).min(self.starts.len().saturating_sub(STARTS_KEPT));
        self.starts.drain(..count);
        count > 0
    }

    /// The starts: `u64 number ‖ u64 run` each, big-endian.
    pub fn encode_starts(&self) -> Vec<u8> {
        self.starts.iter().flat_map(|start| [start.number.to_be_bytes(), start.run.to_be_bytes()]).flatten().collect()
    }

    /// Reads what [`DiskRun::encode`] and [`DiskClaim::encode_starts`] wrote; `None` for anything else.
    pub fn decode(run: &[u8], starts: &[u8]) -> Option<Self> {
        let run = DiskRun::decode(run)?;
        let starts = decode_starts(starts)?;
        let own = Start { number: run.start, run: run.run };
        (starts.is_empty() || starts.last() == Some(&own)).then_some(DiskClaim { run, starts })
    }
}

/// `None` where it isn't a list of starts, ascending.
pub(crate) fn decode_starts(bytes: &[u8]) -> Option<Vec<Start>> {
    let (words, rest) = bytes.as_chunks::<8>();
    let (pairs, odd) = words.as_chunks::<2>();
    let start =
        |[number, run]: &[[u8; 8]; 2]| Start { number: u64::from_be_bytes(*number), run: u64::from_be_bytes(*run) };
    let starts: Vec<Start> = pairs.iter().take(STARTS_MAX + 1).map(start).collect();
    let is_sound = rest.is_empty()
        && odd.is_empty()
        && starts.len() <= STARTS_MAX
        && starts.windows(2).all(|pair| pair[0].number < pair[1].number);
    is_sound.then_some(starts)
}

/// The content of the marker beside the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last start that it was told of.
    pub run: DiskRun,
    /// The state machine had applied this index then, or later in that run.
    pub applied: u64,
}

/// Where the marker is kept: on another folder than the data, so that one isn't put back without the other unseen.
pub trait Marker: Send + Sync + 'static {
    /// Its content; `None` where there is none.
    ///
    /// # Errors
    /// When it can't be read or isn't a marker, with the way out.
    fn load(&self) -> Result<Option<Mark>, String>;

    /// Replaces it, durably.
    ///
    /// # Errors
    /// When it can't be written.
    fn store(&self, mark: &Mark) -> Result<(), String>;
}

/// Why a disk must not take part.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DiskError {
    /// Nothing is there, and nobody said that something may begin.
    #[error(
        "the data folder is empty and nothing says that a log begins here: a log is founded once, by `sillage-node init`, and a \
         node joins one by `sillage cluster member add` or `replace`; if this node had a disk before, replace it (`sillage cluster member replace ID`); \
         if the disks of all nodes are gone, see what `sillage-node found --config FILE` says"
    )]
    NotFounded,
    /// There was a disk, and it is gone.
    #[error(
        "the data folder is empty, but this node ran on disk {0}: what that disk promised is lost, so this node must not \
         vote; put the data folder back if it was moved away, or replace this node (`sillage cluster member replace ID`); if the \
         disks of all nodes are gone, see what `sillage-node found --config FILE` says"
    )]
    Emptied(DiskRun),
    /// The data folder is of another disk than the marker.
    #[error(
        "the data folder is of disk {found}, but this node ran on disk {marked}: it is another node's, or of another time; put \
         the right data folder back, or replace this node (`sillage cluster member replace ID`)"
    )]
    Other {
        /// In the data folder.
        found: DiskRun,
        /// In the marker.
        marked: DiskRun,
    },
    /// The data folder is older than the marker.
    #[error(
        "the data folder is of start {found}, but this disk was started {marked} times, or has lost what it had applied then: it \
         was put back to an older state and has forgotten what it promised since; put the newest data folder back, or \
         replace this node (`sillage cluster member replace ID`)"
    )]
    PutBack {
        /// Start in the data folder.
        found: u64,
        /// Start in the marker.
        marked: u64,
    },
    /// The marker is missing, or older than the data folder.
    #[error(
        "the data folder is of disk {0}, but the marker beside the keyring is missing or older: keyring and data folder are \
         not of one time; put the marker (the file `disk` beside the keyring) back, or replace this node (`sillage cluster member replace ID`)"
    )]
    MarkerOld(DiskRun),
    /// The marker or the note can't be used.
    #[error("{0}")]
    Unusable(String),
}

/// The content of the data folder at a start.
#[derive(Clone, Copy, Debug)]
pub struct DiskContent {
    /// The run in the Raft log store.
    pub run: Option<DiskRun>,
    /// True if neither Raft log nor state machine hold anything.
    pub empty: bool,
    /// Last index of the Raft log.
    pub last: u64,
}

/// Judges a disk at its start, and gives the run that begins: to be stored in the data folder first, then in the marker,
/// before anything is sent. `may_begin`: somebody said that a log, or a new member, begins here. `random` draws the names.
///
/// # Errors
/// [`DiskError`], with the way out.
pub fn next_run(
    held: DiskContent,
    mark: Option<Mark>,
    may_begin: bool,
    random: &mut dyn FnMut() -> u64,
) -> Result<DiskRun, DiskError> {
    let next = match (held.run, mark) {
        (None, None) if held.empty && !may_begin => return Err(DiskError::NotFounded),
        // It begins here, or it was written before disks had identities.
        (None, None) => {
            let mut disk = [0; 16];
            disk[..8].copy_from_slice(&random().to_be_bytes());
            disk[8..].copy_from_slice(&random().to_be_bytes());
            DiskRun { disk, start: 1, run: 0 }
        }
        (None, Some(mark)) if held.empty => return Err(DiskError::Emptied(mark.run)),
        (None, Some(mark)) => return Err(DiskError::PutBack { found: 0, marked: mark.run.start }),
        // A crash at the very first start, before the marker was written; perhaps several. Nothing was sent of it.
        (Some(run), None) if run.start == 1 => run,
        (Some(run), None) => return Err(DiskError::MarkerOld(run)),
        (Some(run), Some(mark)) => follow(run, &mark, held.last)?,
    };
    Ok(DiskRun { run: random(), ..next })
}

fn follow(run: DiskRun, mark: &Mark, last: u64) -> Result<DiskRun, DiskError> {
    let marked = mark.run;
    if run.disk != marked.disk {
        return Err(DiskError::Other { found: run, marked });
    }
    // The data folder is written first: a crash between the two leaves the marker one behind.
    let same = run.start == marked.start && run.run == marked.run;
    let crashed_between = run.start == marked.start + 1;
    if run.start > marked.start && !crashed_between {
        return Err(DiskError::MarkerOld(run));
    }
    if !(same || crashed_between) || last < mark.applied {
        return Err(DiskError::PutBack { found: run.start, marked: marked.start });
    }
    // The start that a crash cut short sent nothing: its number is used again, so that any number of them is no fault.
    Ok(DiskRun { start: marked.start + 1, ..run })
}

/// The name of the note that keeps the highest run seen of a peer.
pub fn peer_note(peer: u64) -> Vec<u8> {
    [PEER_NOTES, &peer.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(disk: u8, start: u64, run: u64) -> DiskRun {
        DiskRun { disk: [disk; 16], start, run }
    }

    fn judged(
        held: Option<DiskRun>,
        last: u64,
        mark: Option<DiskRun>,
        applied: u64,
        may_begin: bool,
    ) -> Result<DiskRun, DiskError> {
        let mut drawn = 100;
        let mut random = || {
            drawn += 1;
            drawn
        };
        let held = DiskContent { run: held, empty: held.is_none() && last == 0, last };
        next_run(held, mark.map(|run| Mark { run, applied }), may_begin, &mut random)
    }

    #[test]
    fn a_disk_begins_once_and_counts_its_starts() {
        let first = judged(None, 0, None, 0, true).unwrap();
        assert_eq!((first.start, first.run), (1, 103));
        let second = judged(Some(first), 9, Some(first), 9, false).unwrap();
        assert_eq!((second.disk, second.start), (first.disk, 2));
        assert_ne!(second.run, first.run);
        assert_eq!(judged(None, 0, None, 0, false), Err(DiskError::NotFounded));
    }

    #[test]
    fn a_folder_of_before_gets_an_identity() {
        assert_eq!(judged(None, 7, None, 0, false).unwrap().start, 1);
    }

    #[test]
    fn a_crash_between_data_and_marker_is_no_fault() {
        let mut first = run(1, 1, 5);
        let mut later = run(1, 4, 5);
        for _ in 0..3 {
            let (first_again, later_again) = (
                judged(Some(first), 0, None, 0, false).unwrap(),
                judged(Some(later), 7, Some(run(1, 3, 9)), 7, false).unwrap(),
            );
            assert_eq!((first_again.start, later_again.start), (1, 4));
            // The name of a run is drawn anew each time.
            assert_eq!((first_again.run, later_again.run), (101, 101));
            (first, later) = (first_again, later_again);
        }
    }

    #[test]
    fn an_emptied_a_put_back_and_a_foreign_disk_are_refused() {
        let marked = run(1, 5, 50);
        assert_eq!(judged(None, 0, Some(marked), 0, true), Err(DiskError::Emptied(marked)));
        let put_back = Err(DiskError::PutBack { found: 4, marked: 5 });
        assert_eq!(judged(Some(run(1, 4, 40)), 9, Some(marked), 0, true), put_back);
        assert!(matches!(judged(None, 9, Some(marked), 0, true), Err(DiskError::PutBack { found: 0, .. })));
        assert!(matches!(judged(Some(run(1, 5, 51)), 9, Some(marked), 0, false), Err(DiskError::PutBack { .. })));
        assert!(matches!(judged(Some(run(2, 5, 50)), 9, Some(marked), 0, false), Err(DiskError::Other { .. })));
        assert!(matches!(judged(Some(run(1, 7, 50)), 9, Some(marked), 0, false), Err(DiskError::MarkerOld(_))));
        assert!(matches!(judged(Some(run(1, 7, 50)), 9, None, 0, false), Err(DiskError::MarkerOld(_))));
    }

    #[test]
    fn a_copy_of_the_same_run_is_known_by_what_it_lacks() {
        let marked = run(1, 5, 50);
        assert!(judged(Some(marked), 300, Some(marked), 300, false).is_ok());
        assert!(matches!(judged(Some(marked), 299, Some(marked), 300, false), Err(DiskError::PutBack { .. })));
    }

    fn claim(starts: &[(u64, u64)]) -> DiskClaim {
        let starts: Vec<Start> = starts.iter().map(|&(number, run)| Start { number, run }).collect();
        let last = starts.last().unwrap();
        DiskClaim { run: run(1, last.number, last.run), starts }
    }

    #[test]
    fn a_copy_that_a_peer_confirmed_is_refused_by_one_that_saw_a_later_start() {
        // The disk was seen in its fourth start. Its copy, put back to the third, is seen by somebody else in its fifth.
        let mut copy = claim(&[(1, 10), (2, 20), (3, 30), (4, 41), (5, 51)]);
        assert!(!copy.confirm(&run(1, 5, 51)));
        let copy = DiskClaim::with(copy.starts, run(1, 6, 61));
        assert!(!copy.follows(&run(1, 4, 40)));
        assert!(copy.follows(&run(1, 5, 51)) && copy.follows(&run(1, 2, 20)));
    }

    #[test]
    fn a_confirmed_start_is_kept_with_the_last_ones() {
        let mut starts: Vec<Start> = (1..=100).map(|number| Start { number, run: number }).collect();
        let mut long = DiskClaim { run: run(1, 100, 100), starts: starts.clone() };
        assert!(!long.confirm(&run(1, 100, 7)), "another run");
        assert!(long.confirm(&run(1, 20, 20)));
        assert_eq!((long.starts[0].number, long.starts.len()), (20, 81));
        assert!(long.confirm(&run(1, 100, 100)));
        assert_eq!((long.starts[0].number, long.starts.len()), (37, STARTS_KEPT));
        // However often it is started then without being heard, it remembers what was confirmed.
        starts = long.starts;
        for number in 101..3_000 {
            starts = DiskClaim::with(starts, run(1, number, number)).starts;
        }
        let unheard = DiskClaim { run: run(1, 2_999, 2_999), starts };
        assert_eq!(unheard.starts.len(), STARTS_MAX);
        assert!(unheard.follows(&run(1, 100, 100)) && !unheard.follows(&run(1, 101, 101)));
    }

    #[test]
    fn a_run_is_read_back() {
        let one = run(7, 3, u64::MAX);
        assert_eq!(DiskRun::decode(&one.encode()), Some(one));
        assert_eq!(DiskRun::decode(&[0; 32]), None);
        assert_eq!(DiskRun::decode(&[1; 31]), None);
    }
}
