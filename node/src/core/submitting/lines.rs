//! Which lines of readings stand for a minute: kept by the leader, so that there is one for each reader and patient, whichever
//! nodes are asked. A new leader knows none, and makes at most one more.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sillage_proof::LeafIndex;

/// For how long a line stands, from its own time on.
pub const LINE_MS: u64 = 60_000;
/// Lines kept. When all of so many are of the last minute, they are forgotten: each reader then has one line more.
const LINES_MAX: usize = 65_536;

/// The knowledge about one reader and one patient.
#[derive(Debug, Default)]
pub struct Line(Option<(LeafIndex, u64)>);

impl Line {
    /// The line that stands for a reading now.
    pub fn covers(&self, now_ms: u64) -> Option<LeafIndex> {
        self.0
            .filter(|(_, made_ms)| now_ms < made_ms.saturating_add(LINE_MS) && now_ms >= *made_ms)
            .map(|(line, _)| line)
    }

    /// From now on this one does; `made_ms` is not after its own time.
    pub fn keep(&mut self, line: Option<LeafIndex>, made_ms: u64) {
        self.0 = line.map(|line| (line, made_ms)).or(self.0);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lines(Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<Line>>>>);

impl Lines {
    /// The place of one reader and one patient; held while a line is made.
    pub fn place(&self, of: [u8; 32]) -> Arc<tokio::sync::Mutex<Line>> {
        let mut lines = self.0.lock();
        if lines.len() >= LINES_MAX {
            let now_ms = crate::core::now_ms();
            lines.retain(|_, line| line.try_lock().map_or(true, |line| line.covers(now_ms).is_some()));
            if lines.len() >= LINES_MAX {
                lines.clear();
            }
        }
        Arc::clone(lines.entry(of).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_for_a_minute_and_then_another_one_is_due() {
        let mut line = Line::default();
        assert_eq!(line.covers(5), None);
        line.keep(Some(LeafIndex(7)), 1_000);
        line.keep(None, 2_000);
        let covered = [1_000, 60_999].map(|now_ms| line.covers(now_ms));
        assert_eq!(covered, [Some(LeafIndex(7)); 2]);
        assert_eq!((line.covers(61_000), line.covers(999)), (None, None));
    }

    #[tokio::test]
    async fn each_reader_and_patient_has_a_place_and_their_number_is_bounded() {
        let lines = Lines::default();
        lines.place([1; 32]).lock().await.keep(Some(LeafIndex(7)), crate::core::now_ms());
        for n in 0..2 * LINES_MAX as u64 {
            let mut of = [0; 32];
            of[..8].copy_from_slice(&n.to_be_bytes());
            drop(lines.place(of));
        }
        assert!(lines.0.lock().len() <= LINES_MAX);
        let kept = lines.place([1; 32]).lock().await.covers(crate::core::now_ms());
        assert_eq!(kept, Some(LeafIndex(7)), "what stands for a minute isn't forgotten for what stands for nothing");
    }
}
