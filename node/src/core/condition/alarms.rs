//! The faults of a node, in one place: shown by the health page, `sillage cluster status` and the metrics.
//!
//! Code that finds a fault raises an [`Alarm`], and clears it when it is over. A node says `ok` only while none is
//! raised. An alarm has a word that never changes its meaning, and a sentence with the way out; what is added to the
//! sentence names nodes, sizes, times and paths, never a key, a patient or a caller.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sillage_rules::time::TimeMs;

use super::rot::RotRecord;
use crate::core::now_ms;
use crate::http::Raised;
use crate::metrics::{AlarmLabel, Metrics};
use crate::tls::reserve::UsedUp;

/// Longest addition to the sentence of an alarm, in characters.
const DETAIL_CHARS_MAX: usize = 600;

/// How much a node can still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does all that it should; somebody has to act before it can't.
    Warning,
    /// It serves less than it should.
    Failing,
    /// It takes no part in the group.
    Stopped,
}

impl Severity {
    /// As the health page says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Failing => "failing",
            Self::Stopped => "stopped",
        }
    }
}

macro_rules! alarms {
    ($($variant:ident $word:literal $severity:ident $sentence:literal;)*) => {
        /// Something that is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Alarm {
            $(#[doc = $sentence] $variant,)*
        }

        impl Alarm {
            /// Every alarm.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable word: SCREAMING_SNAKE_CASE.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// How much the node can still do.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// The fault and the way out.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

alarms! {
    Corrupt "CORRUPT" Stopped
        "What this node stores can't be trusted: replace it (`sillage cluster member replace ID`).";
    Emptied "EMPTIED" Stopped
        "This node's disk is empty and wasn't before: put the disk back, or replace the node (`sillage cluster member replace ID`).";
    PutBack "PUT_BACK" Stopped
        "This node's disk was put back to an older state: replace the node (`sillage cluster member replace ID`).";
    Diverged "DIVERGED" Stopped
        "This node and its group have applied different things: keep its disk as evidence, and replace the node (`sillage cluster member replace ID`).";
    KeyringDiffers "KEYRING_DIFFERS" Stopped
        "This node's keyring isn't the group's: stop it, give it the keyring of this log, start it again.";
    FlushFailed "FLUSH_FAILED" Failing
        "The database can't be written: check the disk, then restart this node.";
    Rotten "ROTTEN" Failing
        "A block of the database is damaged on disk: check the disk, then replace this node (`sillage cluster member replace ID`).";
    ReadOnly "READ_ONLY" Failing
        "The disk is nearly full and this node takes nothing new: make room; it goes on by itself.";
    ClockSkew "CLOCK_SKEW" Failing
        "This node's clock isn't the group's: set it right.";
    NotFounded "NOT_FOUNDED" Failing
        "This log begins when all of its first nodes have met once: start those that are missing. Nothing is recorded yet, so where one lost its data folder, empty the data folders of all, run `sillage-node found --config FILE --forget-disk` for each, and start them; where one lost its keys too, make the log anew (`sillage-node init`).";
    WitnessAhead "WITNESS_AHEAD" Failing
        "A witness has cosigned more entries than this log holds: this is an older copy that was put back, or a majority lost its newest entries. Nothing new is taken, so that the log shows one history: stop all nodes, put the newest data back, or look at this copy with `sillage-node serve --isolated`.";
    WitnessUnproven "WITNESS_UNPROVEN" Warning
        "A witness says that it cosigned more entries than this log holds, and shows nothing that proves it by a key that is known here: the witness is wrong, or this is a copy from before the log's key was replaced. The node goes on, and asks the witness again. Look at what it shows (`GET URL/<SHA-256 of the origin>/checkpoint`), and at a copy with `sillage-node serve --isolated` alone.";
    WitnessRefuses "WITNESS_REFUSES" Warning
        "A witness says that this log doesn't continue what it cosigned: a copy of this log reached the witness, or the witness's folder was lost. Compare the two checkpoints (`sillage witness status`, `sillage audit compare`), then see docs/durability.md on the way back.";
    OutOfTouch "OUT_OF_TOUCH" Failing
        "This node hears of no leader: start the nodes that are missing. If they were replaced or moved while this one was away, name a node of today under [[peers]] in node.toml, with its id, address and tls_spki_sha256 (`sillage cluster member list --json`), and restart.";
    NoCheckpoint "NO_CHECKPOINT" Failing
        "What is recorded isn't covered by a checkpoint: start the nodes that are missing, and look at the alarms of the others.";
    PeerDiverged "PEER_DIVERGED" Warning
        "Another node has applied different things than this one and the majority: look at that node.";
    PeerDisk "PEER_DISK" Warning
        "Another node isn't on the disk that it had, and nothing that it says counts: replace that node (`sillage cluster member replace ID`).";
    KeysHeldBack "KEYS_HELD_BACK" Warning
        "An old key-encryption key isn't destroyed, as what isn't erased would be lost with it: compare this node's keyring with the others'.";
    CertificateEnds "CERTIFICATE_ENDS" Warning
        "A certificate of this node ends soon: have the authority sign a new one, and restart the node with it.";
    LimitReached "LIMIT_REACHED" Warning
        "A party has signed as many of the records that are counted (what takes access away, ends spaces or memberships, embargoes, permissions on another's word than the patient's) as it may today: find out whether its key is stolen, and revoke the key and void what it signed (`sillage keys void`).";
    LimitNear "LIMIT_NEAR" Warning
        "A party has signed four fifths of the records that are counted (what takes access away, ends spaces or memberships, embargoes, permissions on another's word than the patient's) that it may sign today: find out why.";
    SourceSilent "SOURCE_SILENT" Warning
        "Nothing was heard of a source of the authority's list for longer than it may be silent: ask its party (`sillage sources list`), or take it off the list.";
    Isolated "ISOLATED" Warning
        "This is a copy that is only looked at (`serve --isolated`): it takes nothing, and speaks to no peer and no witness. Nobody is to rely on it: ask a node of the log.";
    ConnectionsUsedUp "CONNECTIONS_USED_UP" Warning
        "The connections that callers may have are used up: find the caller that leaves its connections open, and stop it.";
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The alarms of a node. Cloning shares them.
#[derive(Clone)]
pub struct Alarms(Arc<Inner>);

struct Inner {
    raised: Mutex<BTreeMap<Alarm, (TimeMs, String)>>,
    metrics: Metrics,
    /// Where [`Alarm::Rotten`] is kept over a restart.
    rot: OnceLock<Arc<RotRecord>>,
}

impl Alarms {
    /// None is raised.
    pub fn new(metrics: Metrics) -> Self {
        for alarm in Alarm::ALL {
            // Each is there from the start: what isn't there can't be watched.
            metrics.alarm.get_or_create(&AlarmLabel { alarm: alarm.word() }).set(0);
        }
        Self(Arc::new(Inner { raised: Mutex::default(), metrics, rot: OnceLock::new() }))
    }

    /// Keeps what is found to be damaged on disk from now on, and raises what earlier runs found there.
    pub fn keep_rot(&self, data_dir: &Path) {
        let (record, found) = RotRecord::load(data_dir);
        let twice = self.0.rot.set(Arc::new(record)).is_err();
        assert!(!twice, "a node has one data folder");
        if let Some(found) = found {
            self.raise(Alarm::Rotten, found);
        }
    }

    /// The damage that was found on disk.
    pub fn rot(&self) -> Option<&Arc<RotRecord>> {
        self.0.rot.get()
    }

    /// Says that something is wrong, with what this node found; empty where there is nothing to add. Raised again, it
    /// keeps its beginning and takes the newer words. Waits for nothing but the disk, where [`Alarm::Rotten`] is found first.
    pub fn raise(&self, alarm: Alarm, found: impl Into<String>) {
        let mut found: String = found.into();
        if let (Alarm::Rotten, Some(rot)) = (alarm, self.rot()) {
            rot.keep(&found);
        }
        if let Some((end, _)) = found.char_indices().nth(DETAIL_CHARS_MAX) {
            found.truncate(end);
        }
        let mut raised = self.0.raised.lock();
        if let Some((_, known)) = raised.get_mut(&alarm) {
            *known = found;
            return;
        }
        self.0.metrics.alarm.get_or_create(&AlarmLabel { alarm: alarm.word() }).set(1);
        let (word, what) = (alarm.word(), alarm.sentence());
        match alarm.severity() {
            Severity::Warning => tracing::warn!(alarm = word, found, "{what}"),
            _ => tracing::error!(alarm = word, found, "{what}"),
        }
        raised.insert(alarm, (TimeMs(now_ms()), found));
    }

    /// Says that it is over. Nothing happens where it isn't raised.
    pub fn clear(&self, alarm: Alarm) {
        if self.0.raised.lock().remove(&alarm).is_some() {
            self.0.metrics.alarm.get_or_create(&AlarmLabel { alarm: alarm.word() }).set(0);
            tracing::info!(alarm = alarm.word(), "this is over");
            if let (Alarm::Rotten, Some(rot)) = (alarm, self.rot()) {
                rot.forget();
            }
        }
    }

    /// Raises it with what was found, or clears it: for whoever looks again and again.
    pub fn set(&self, alarm: Alarm, found: Option<String>) {
        match found {
            Some(found) => self.raise(alarm, found),
            None => self.clear(alarm),
        }
    }

    /// Tells whether it is raised.
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.0.raised.lock().contains_key(&alarm)
    }

    /// The severest of those that are raised; `None` while all is well.
    pub fn worst(&self) -> Option<Alarm> {
        let raised = self.0.raised.lock();
        // Of one severity, the first of the list is the cause of the others as a rule.
        raised.keys().rev().copied().max_by_key(|alarm| alarm.severity())
    }

    /// Those that are raised, in the order of [`Alarm::ALL`].
    pub fn raised(&self) -> Vec<Raised> {
        let raised = self.0.raised.lock();
        let as_read = |(alarm, (since, found)): (&Alarm, &(TimeMs, String))| Raised {
            word: alarm.word().to_owned(),
            since: *since,
            what: match found.is_empty() {
                true => alarm.sentence().to_owned(),
                false => format!("{} Found: {found}", alarm.sentence()),
            },
        };
        raised.iter().map(as_read).collect()
    }
}

impl UsedUp for Alarms {
    fn raise(&self, found: String) {
        self.raise(Alarm::ConnectionsUsedUp, found);
    }

    fn is_raised(&self) -> bool {
        self.is_raised(Alarm::ConnectionsUsedUp)
    }

    fn clear(&self) {
        self.clear(Alarm::ConnectionsUsedUp);
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.raised.lock().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_differ_and_every_sentence_says_the_way_out() {
        let words: BTreeSet<_> = Alarm::ALL.iter().map(|alarm| alarm.word()).collect();
        assert_eq!(words.len(), Alarm::ALL.len());
        for alarm in Alarm::ALL {
            assert!(alarm.sentence().contains(": ") && alarm.sentence().ends_with('.'), "{alarm}");
        }
    }

    #[test]
    fn an_alarm_is_seen_until_it_is_cleared_and_keeps_its_beginning() {
        let metrics = Metrics::new(1);
        let alarms = Alarms::new(metrics.clone());
        assert!(metrics.render().contains("sillage_alarm{alarm=\"READ_ONLY\"} 0"), "watched from the start");
        assert_eq!((alarms.raised(), alarms.worst()), (Vec::new(), None));
        alarms.raise(Alarm::ReadOnly, "12 MiB are free");
        let first = alarms.raised();
        alarms.raise(Alarm::ReadOnly, "11 MiB are free");
        let again = alarms.raised();
        assert_eq!((again.len(), again[0].since), (1, first[0].since));
        assert_eq!(again[0].word, "READ_ONLY");
        assert!(again[0].what.ends_with("it goes on by itself. Found: 11 MiB are free"), "{}", again[0].what);
        assert!(metrics.render().contains("sillage_alarm{alarm=\"READ_ONLY\"} 1"));
        alarms.set(Alarm::ReadOnly, None);
        alarms.clear(Alarm::ReadOnly);
        assert!(!alarms.is_raised(Alarm::ReadOnly));
        assert!(metrics.render().contains("sillage_alarm{alarm=\"READ_ONLY\"} 0"));
    }

    #[test]
    fn the_severest_alarm_speaks_for_the_node() {
        let alarms = Alarms::new(Metrics::new(1));
        alarms.raise(Alarm::CertificateEnds, "");
        assert_eq!(alarms.worst(), Some(Alarm::CertificateEnds));
        alarms.raise(Alarm::NoCheckpoint, "");
        alarms.raise(Alarm::ReadOnly, "");
        assert_eq!(alarms.worst(), Some(Alarm::ReadOnly), "the cause before what follows from it");
        alarms.raise(Alarm::KeyringDiffers, "");
        assert_eq!(alarms.worst(), Some(Alarm::KeyringDiffers));
    }
}
