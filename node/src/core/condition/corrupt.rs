//! A node that can't trust its own state says so and serves nothing.
//!
//! The process stays: it answers every call with `CORRUPT`, its health page says why, and its replica is stopped. The
//! verdict is kept on disk, so that a restart doesn't serve for a while before it finds the same again. There is no way
//! back: the node is replaced by a new one, under a new id (`sillage cluster member replace`).

use std::sync::OnceLock;

use sillage_ledger::Refusal;
use sillage_rules::codes::Code;

use super::alarms::{Alarm, Alarms};
use crate::core::checkpointing::cosign::{CORRUPT_NOTE, Notes};
use crate::metrics::Metrics;

/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Corruption {
    reason: OnceLock<String>,
    metrics: Metrics,
    alarms: Alarms,
}

impl Corruption {
    /// Sound, until told otherwise.
    pub fn new(metrics: Metrics, alarms: Alarms) -> Self {
        Self { reason: OnceLock::new(), metrics, alarms }
    }

    /// The fault; `None` while there is none.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// The refusal that callers get.
    ///
    /// # Errors
    /// `CORRUPT` once something is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(Refusal::new(Code::Corrupt, format!("{reason}. {}", Code::Corrupt.way_out()))),
        }
    }

    /// Says what is wrong; only the first reason counts. Then `stop` is called, once the verdict is on disk.
    pub fn raise(&self, reason: impl Into<String>, notes: &dyn Notes, stop: impl FnOnce() + Send + 'static) {
        let mut reason: String = reason.into();
        if let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX) {
            reason.truncate(end);
        }
        if self.reason.set(reason).is_err() {
            return;
        }
        let reason = self.reason().unwrap_or_default();
        tracing::error!(
            reason,
            "CORRUPT: this node serves nothing more; replace it (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)"
        );
        self.metrics.corrupt.set(1);
        self.alarms.raise(Alarm::Corrupt, reason);
        notes.put(CORRUPT_NOTE, reason.as_bytes().to_vec(), Box::new(stop));
    }

    /// Takes up the verdict of an earlier run. `true` where there was one.
    pub fn resume(&self, notes: &dyn Notes) -> bool {
        let Some(reason) = notes.get(CORRUPT_NOTE) else {
            return false;
        };
        let reason = String::from_utf8_lossy(&reason).into_owned();
        tracing::error!(
            reason,
            "CORRUPT since an earlier run: replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)"
        );
        self.metrics.corrupt.set(1);
        self.alarms.raise(Alarm::Corrupt, reason.as_str());
        let _first = self.reason.set(reason);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::core::checkpointing::cosign::tests::Disk;

    #[test]
    fn the_first_reason_stays_also_after_a_restart() {
        let (metrics, disk) = (Metrics::new(1), Disk::default());
        let corruption = Corruption::new(metrics.clone(), Alarms::new(metrics.clone()));
        assert!(corruption.check().is_ok() && !corruption.resume(&disk));
        let stops = Arc::new(AtomicU32::new(0));
        for reason in ["the disk was rewound", "something else"] {
            let stops = Arc::clone(&stops);
            corruption.raise(reason, &disk, move || {
                stops.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(stops.load(Ordering::Relaxed), 1);
        let refusal = corruption.check().unwrap_err();
        assert_eq!(refusal.code, Code::Corrupt);
        assert!(refusal.message.starts_with("the disk was rewound. "), "{}", refusal.message);
        assert!(metrics.render().contains("sillage_corrupt 1"));
        let alarms = Alarms::new(Metrics::new(1));
        let restarted = Corruption::new(Metrics::new(1), alarms.clone());
        assert!(restarted.resume(&disk));
        assert_eq!(restarted.reason(), Some("the disk was rewound"));
        assert!(alarms.is_raised(Alarm::Corrupt));
    }
}
