//! Old events in the index: it forgets the names by which they are found, and the keys by which they are known again.
//!
//! The row of an event stays, so that it is read back by its id for ever: its content is in the log. Consents stay as they are,
//! because a version replaces the one before. Nothing is forgotten of what waits, nor a key that still makes a retry of an equal body.
//!
//! Searches stop finding events up to a number before the first of their names goes: none is found by half of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::params;
use sillage_client::clock::now_ms;

use super::{Index, IndexError};
use crate::spool::seal::Name;

/// The note that holds the number up to which events are forgotten.
pub(super) const FORGOTTEN: &str = "forgotten";
/// Rows that are looked at in one step: others wait meanwhile.
const STEP: usize = 5_000;
/// Between two steps, and between two rounds.
const PAUSE: Duration = Duration::from_millis(200);
const ROUND: Duration = Duration::from_secs(3_600);
const DAY_MS: u64 = 86_400_000;

/// The place in the table of names at which the next step begins.
type At = (u8, Name, u64);

/// Forgets events that are older than `days`, until the process ends.
pub async fn run(index: Arc<Index>, days: u64) {
    loop {
        tokio::time::sleep(ROUND).await;
        let before_ms = now_ms().saturating_sub(days.saturating_mul(DAY_MS));
        if let Err(error) = round(&index, before_ms).await {
            tracing::warn!(%error, "old events stay in the index: the next round tries again");
        }
    }
}

async fn round(index: &Arc<Index>, before_ms: u64) -> Result<(), IndexError> {
    let mut is_more = true;
    let mut moved = false;
    while is_more {
        let of_step = Arc::clone(index);
        let step = tokio::task::spawn_blocking(move || of_step.move_forgotten(before_ms)).await;
        let Ok(step) = step else { return Ok(()) };
        is_more = step?;
        moved |= is_more;
        tokio::time::sleep(PAUSE).await;
    }
    // After a start, the round before may not have come to its end.
    if !moved && index.is_swept.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut at = None;
    loop {
        let of_step = Arc::clone(index);
        let step = tokio::task::spawn_blocking(move || of_step.forget_names(at)).await;
        let Ok(step) = step else { return Ok(()) };
        match step? {
            Some(next) => at = Some(next),
            None => break,
        }
        tokio::time::sleep(PAUSE).await;
    }
    index.is_swept.store(true, Ordering::Relaxed);
    Ok(())
}

impl Index {
    /// The number up to which events are forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Moves the number up to which events are forgotten over those that arrived before `before_ms`, and forgets their keys. Gives whether
    /// there may be more.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn move_forgotten(&self, before_ms: u64) -> Result<bool, IndexError> {
        let from = self.forgotten();
        let rows: Vec<(u64, bool)> = self.reading(|connection| {
            let sql =
                "SELECT number, received_ms < ?2 AND state != 0 FROM event WHERE number > ?1 ORDER BY number LIMIT ?3";
            let mut select = connection.prepare_cached(sql)?;
            let rows = select.query_map(params![from, before_ms, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        let old: Vec<u64> = rows.iter().take_while(|(_, is_old)| *is_old).map(|(number, _)| *number).collect();
        let Some(up_to) = old.last().copied() else { return Ok(false) };
        let mut write = self.write.lock();
        let transaction = write.transaction().map_err(self.fail())?;
        let sql = "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)";
        transaction.execute(sql, params![FORGOTTEN, up_to.to_string()]).map_err(self.fail())?;
        let sql = "DELETE FROM known WHERE number > ?1 AND number <= ?2 AND (until_ms IS NULL OR until_ms <= ?3) \
                   AND number NOT IN (SELECT number FROM event WHERE number > ?1 AND number <= ?2 AND kind = 'Consent')";
        transaction.execute(sql, params![from, up_to, now_ms()]).map_err(self.fail())?;
        transaction.commit().map_err(self.fail())?;
        self.forgotten.store(up_to, Ordering::Relaxed);
        self.is_swept.store(false, Ordering::Relaxed);
        Ok(old.len() == STEP)
    }

    /// Forgets names of forgotten events among the next [`STEP`] names of the table; gives where to go on.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn forget_names(&self, at: Option<At>) -> Result<Option<At>, IndexError> {
        let (term, name, number) = at.unwrap_or((0, Name::default(), 0));
        let rows: Vec<(At, bool)> = self.reading(|connection| {
            let sql = "SELECT term, name, number, number <= ?4 AND NOT EXISTS (SELECT 1 FROM event WHERE event.number = term.number \
                       AND kind = 'Consent') FROM term WHERE (term, name, number) > (?1, ?2, ?3) ORDER BY term, name, number LIMIT ?5";
            let mut select = connection.prepare_cached(sql)?;
            let values = params![term, name, number, self.forgotten(), STEP];
            let rows = select.query_map(values, |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)))?;
            rows.collect()
        })?;
        let next = rows.last().map(|(at, _)| *at).filter(|_| rows.len() == STEP);
        let mut write = self.write.lock();
        let transaction = write.transaction().map_err(self.fail())?;
        for ((term, name, number), _) in rows.iter().filter(|(_, is_forgotten)| *is_forgotten) {
            let sql = "DELETE FROM term WHERE term = ?1 AND name = ?2 AND number = ?3";
            let mut delete = transaction.prepare_cached(sql).map_err(self.fail())?;
            delete.execute(params![term, name, number]).map_err(self.fail())?;
        }
        transaction.commit().map_err(self.fail())?;
        Ok(next)
    }
}
