//! Voiding: what a key or a party signed counts for nothing from here on.
//!
//! The act names a key or a party, and a range of entries. It names no patient: the ledger tells each patient by a record of
//! its own under the patient's tag, the [`Notice`], which lists that patient's records. So a trace or a bundle says by itself
//! which of its records are voided. Records that are acts of the authority or hold for all patients stay in force: an act is
//! undone by another act.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sillage_proof::hash::{LeafIndex, sha256};
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;

use crate::check::{line, required};
use crate::error::RecordError;
use crate::kind::Kind;
use crate::limits::{SALT_BYTES, TEXT_BYTES_MAX};
use crate::message_keys::bytes32;

/// Records that one notice names.
pub const NOTICE_RECORDS_MAX: usize = 512;

/// The party or key whose records are voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Those that this key signed.
    Key(KeyId),
    /// Those that any key of this party signed.
    Party(AuthorId),
}

/// The content of the act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voiding {
    /// Records count for nothing from here on.
    Void {
        /// The party or key.
        whose: Whose,
        /// The first entry that is meant.
        from: LeafIndex,
        /// The first that isn't meant any more; `None`: the act itself.
        until: Option<LeafIndex>,
        /// Why.
        reason: String,
    },
    /// An earlier act counts no longer: what it voided is in force again.
    Reinstate {
        /// The entry of that act.
        act: LeafIndex,
        /// Why.
        reason: String,
    },
}

impl Voiding {
    /// Parses the act.
    ///
    /// # Errors
    /// When it names both or neither of key and party, an empty range, or no reason.
    pub fn parse(message: &v1::RecordsVoided) -> Result<Self, RecordError> {
        required("reason", &message.reason)?;
        line("reason", &message.reason, TEXT_BYTES_MAX)?;
        let reason = message.reason.clone();
        if message.reinstates != 0 {
            let alone =
                v1::RecordsVoided { reinstates: message.reinstates, reason: reason.clone(), ..Default::default() };
            if *message != alone {
                return Err(RecordError::malformed("reinstates", "stands alone, with its reason"));
            }
            return Ok(Self::Reinstate { act: LeafIndex(message.reinstates), reason });
        }
        let whose = match (&message.key_id[..], &message.author_id[..]) {
            (key, []) => Whose::Key(bytes32("key_id", key)?.into()),
            ([], author) => Whose::Party(bytes32("author_id", author)?.into()),
            _ => return Err(RecordError::malformed("key_id", "name a key or a party, not both")),
        };
        let from = LeafIndex(message.from_index);
        let until = (message.until_index != 0).then_some(LeafIndex(message.until_index));
        if until.is_some_and(|until| until <= from) {
            return Err(RecordError::malformed("until_index", "the range ends before it begins"));
        }
        Ok(Self::Void { whose, from, until, reason })
    }

    /// As it stands in a record.
    pub fn to_message(&self) -> v1::RecordsVoided {
        match self {
            Self::Void { whose, from, until, reason } => {
                let (key_id, author_id) = match whose {
                    Whose::Key(key) => (key.as_bytes().to_vec(), Vec::new()),
                    Whose::Party(author) => (Vec::new(), author.as_bytes().to_vec()),
                };
                v1::RecordsVoided {
                    key_id,
                    author_id,
                    from_index: from.get(),
                    until_index: until.map_or(0, LeafIndex::get),
                    reason: reason.clone(),
                    reinstates: 0,
                }
            }
            Self::Reinstate { act, reason } => {
                v1::RecordsVoided { reinstates: act.get(), reason: reason.clone(), ..Default::default() }
            }
        }
    }
}

/// Tells whether records of this kind can be voided. Acts are undone by acts, and documents that hold for all by new ones;
/// what the ledger records itself nobody signed.
pub fn can_be_voided(kind: Kind) -> bool {
    !kind.is_act()
        && !kind.made_by_ledger()
        // A device is ended by an act on its party; that the patient was told stays.
        && kind != Kind::DEVICE_REGISTERED
        && !matches!(kind, Kind::POLICY_PUBLISHED | Kind::MATRIX_PUBLISHED | Kind::CATALOGUE_PUBLISHED)
}

/// A notice of the ledger to a patient: which of their records are voided, or in force again. It is public by nature: it
/// holds numbers of entries alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The entry of the act.
    pub act: u64,
    /// The patient's records, ascending.
    pub records: Vec<u64>,
    /// The act reinstates them: the entry of the act that voided them and counts no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinstates: Option<u64>,
}

/// The sum of the notices of one trace: which acts void which of its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoidedRecords(BTreeMap<u64, BTreeSet<u64>>);

impl VoidedRecords {
    /// Takes note of the next notice, in the order of the log.
    pub fn note(&mut self, notice: &Notice) {
        for record in &notice.records {
            let acts = self.0.entry(*record).or_default();
            match notice.reinstates {
                None => acts.insert(notice.act),
                Some(voided) => acts.remove(&voided),
            };
        }
    }

    /// The first act that voids this record.
    pub fn act_of(&self, record: u64) -> Option<u64> {
        self.0.get(&record).and_then(|acts| acts.first().copied())
    }
}

impl Notice {
    /// The salt of that record at entry `index`. It hides nothing, and follows from the place.
    pub fn salt(index: LeafIndex, tag: &[u8; 32]) -> [u8; SALT_BYTES] {
        let hash = sha256(&[b"sillage/voided-salt/v1\0", &index.get().to_be_bytes(), tag]);
        *hash.as_bytes().first_chunk().expect("a hash is 32 bytes")
    }

    fn check(&self) -> bool {
        let count = self.records.len();
        (1..=NOTICE_RECORDS_MAX).contains(&count)
            && self.act != 0
            && self.reinstates.is_none_or(|voided| voided < self.act)
            && self.records.windows(2).all(|pair| pair[0] < pair[1])
            && self.records.last().is_some_and(|last| *last < self.act)
    }
}

/// Checks the record of a notice: nothing stands in it but the act and the patient's records.
pub(crate) fn check_notice(record: &v1::Record) -> Result<(), RecordError> {
    let alone = v1::Record {
        version: record.version,
        kind: record.kind,
        tag: record.tag.clone(),
        occurred_at_ms: record.occurred_at_ms,
        details: record.details.clone(),
        ..v1::Record::default()
    };
    let notice = serde_json::from_str::<Notice>(&record.details);
    match *record == alone && notice.is_ok_and(|notice| notice.check()) {
        true => Ok(()),
        false => {
            let why =
                "what the ledger tells a patient of voided records names the act and these records, and nothing else";
            Err(RecordError::malformed("details", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::Act;
    use crate::record::{ParsedRecord, act_message};

    #[test]
    fn an_act_names_a_key_or_a_party_and_a_range_that_isnt_empty() {
        let void = |until| Voiding::Void {
            whose: Whose::Key([1; 32].into()),
            from: LeafIndex(7),
            until,
            reason: "stolen".to_owned(),
        };
        let party = Voiding::Void {
            whose: Whose::Party([2; 32].into()),
            from: LeafIndex(0),
            until: None,
            reason: "stolen".to_owned(),
        };
        let reinstate = Voiding::Reinstate { act: LeafIndex(9), reason: "wrong key".to_owned() };
        for voiding in [void(None), void(Some(LeafIndex(8))), party, reinstate] {
            let record =
                ParsedRecord::from_message(act_message(&Act::RecordsVoided(voiding.clone()), 5)).expect("a record");
            let read = ParsedRecord::parse(record.bytes()).expect("the same");
            assert_eq!(read.act(), Some(&Act::RecordsVoided(voiding)));
        }
        assert!(Voiding::parse(&void(Some(LeafIndex(7))).to_message()).is_err());
        let wrong = |change: fn(&mut v1::RecordsVoided)| {
            let mut message = void(None).to_message();
            change(&mut message);
            Voiding::parse(&message).expect_err("one field is wrong").path
        };
        assert_eq!(wrong(|m| m.reason.clear()), "reason");
        assert_eq!(wrong(|m| m.key_id.clear()), "key_id");
        assert_eq!(wrong(|m| m.author_id = vec![3; 32]), "key_id");
        assert_eq!(wrong(|m| m.reinstates = 3), "reinstates");
    }

    #[test]
    fn a_notice_holds_numbers_alone_and_the_act_no_patient() {
        let notice = Notice { act: 9, records: vec![3, 5], reinstates: None };
        let record = notice.to_record(&[7; 32], 1_000);
        assert_eq!(Notice::of(&record), Some(notice.clone()));
        assert_eq!(ParsedRecord::parse(record.bytes()).as_ref(), Ok(&record));
        let refused = |change: fn(&mut v1::Record)| {
            let mut message = record.message().clone();
            change(&mut message);
            ParsedRecord::from_message(message).expect_err("not a notice").path
        };
        assert_eq!(refused(|m| m.purpose = "TREAT".to_owned()), "details");
        assert_eq!(refused(|m| m.details = r#"{"act":9,"records":[5,3]}"#.to_owned()), "details");
        assert_eq!(refused(|m| m.details = r#"{"act":9,"records":[9]}"#.to_owned()), "details");
        assert_eq!(refused(|m| m.tag.clear()), "act");
        let void = Voiding::Reinstate { act: LeafIndex(9), reason: "x".to_owned() };
        let mut act = act_message(&Act::RecordsVoided(void), 5);
        act.tag = vec![7; 32];
        assert_eq!(ParsedRecord::from_message(act).expect_err("a patient").path, "tag");
    }

    #[test]
    fn acts_and_what_holds_for_all_are_not_voided() {
        assert!(can_be_voided(Kind::SPACE_CLOSED) && can_be_voided(Kind::ACCESS_READ));
        for kind in [Kind::KEY_REVOKED, Kind::RECORDS_VOIDED, Kind::POLICY_PUBLISHED, Kind::DECISION_MADE] {
            assert!(!can_be_voided(kind), "{kind}");
        }
    }
}
