//! Voiding as an act: what it needs, what it changes at once, and how patients are told, slice by slice.

use std::collections::BTreeMap;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::VOIDINGS_MAX;
use sillage_rules::voiding::{NOTICE_RECORDS_MAX, Notice, Voiding, Whose};

use super::Applier;
use super::acts::refused;
use super::feature::ROLES;
use crate::error::{Fatal, ReadError, Refusal, Stop};
use crate::overlay::Overlay;
use crate::overlay::voids::{Job, ReviewGround, VoidedDecision, VoidedRange, range_of};
use crate::schema::{self, Family, NO_PATIENT, TAG_LEN};

/// Steps of one command: one for each entry, more for a decision, which is opened.
const STEPS: usize = 2_000;
/// Steps of a decision.
const DECISION_STEPS: usize = 8;

/// Checks an act that voids or reinstates, whose entry will be `index`.
pub(super) fn plan(
    overlay: &mut Overlay<'_>,
    voiding: &Voiding,
    (index, time): (LeafIndex, LedgerTimeMs),
) -> Result<(), Stop> {
    if !overlay.registry.voidings.is_empty() {
        return Err(refused("a batch voids or reinstates once: send one act after the other"));
    }
    let voids = overlay.voids()?;
    match voiding {
        Voiding::Void { whose, from, .. } => {
            match whose {
                Whose::Key(key) if overlay.key(key)?.is_none() => {
                    return Err(refused(format!("no key {key} is registered")));
                }
                Whose::Party(author) if overlay.party(author)?.is_none() => {
                    return Err(refused(format!("no party {author} is registered")));
                }
                _ => {}
            }
            if *from >= index {
                return Err(refused(
                    "the first entry that is meant isn't on record yet: give one below the log's size",
                ));
            }
            if voids.ranges.iter().filter(|range| range.reinstated.is_none()).count() >= VOIDINGS_MAX {
                let what =
                    format!("{VOIDINGS_MAX} acts void records already: reinstate one, and void more with another");
                return Err(refused(what));
            }
        }
        Voiding::Reinstate { act, .. } => match voids.ranges.iter().find(|range| range.act == *act) {
            None => return Err(refused(format!("entry {act} isn't an act that voids records"))),
            Some(range) if range.reinstated.is_some() => {
                return Err(refused(format!("what entry {act} voided is reinstated already")));
            }
            Some(_) => {}
        },
    }
    overlay.registry.voidings.push((index, time, voiding.clone()));
    Ok(())
}

/// Below the feature level nobody knows these acts.
pub(super) fn unknown(kind: Kind) -> Stop {
    let what = format!("not every node of this log knows the kind {kind} yet: update all of them, then send it again");
    Refusal::new(Code::UnknownKind, what).into()
}

impl Applier<'_> {
    /// Does what was planned for the batch that was just recorded: from here on every state is folded without what is voided.
    pub(super) fn void_planned(&mut self) -> Result<(), ReadError> {
        for (index, time, voiding) in std::mem::take(&mut self.overlay.registry.voidings) {
            let voided = match &voiding {
                Voiding::Void { .. } => range_of(&voiding, index, time),
                Voiding::Reinstate { act, .. } => {
                    let known = self.overlay.voids()?.ranges.iter().find(|range| range.act == *act).copied();
                    known.map(|range| VoidedRange { reinstated: Some(index), ..range })
                }
            };
            let Some(range) = voided else { continue };
            self.overlay.put_void(range)?;
            self.overlay.put_job(&Job { by: index, voided: range.act, next: range.from.get() }, false);
            self.overlay.voids_changed = true;
            self.rules.voided();
        }
        Ok(())
    }

    /// Tells some more patients of what was voided or reinstated, and lists decisions for review.
    pub(super) fn tell_of_voided(&mut self) -> Result<(), Fatal> {
        if self.level.0 < ROLES || self.rules.caches.nothing_to_tell {
            return Ok(());
        }
        let Some(mut job) = Job::first(self.store)? else {
            // A job that this command begins is told of from the next one on.
            self.rules.caches.nothing_to_tell = !self.overlay.voids_changed;
            return Ok(());
        };
        match self.slice(&mut job) {
            Ok(()) => Ok(()),
            Err(Stop::Refused(_)) => unreachable!("no request is looked at"),
            Err(stop) => stop.refusal().map(drop),
        }
    }

    fn slice(&mut self, job: &mut Job) -> Result<(), Stop> {
        let voids = self.overlay.voids()?;
        let missing = || ReadError::Damaged("the row of voided records is missing".into());
        let range = *voids.ranges.iter().find(|range| range.act == job.voided).ok_or_else(missing)?;
        let reinstated = job.by != job.voided;
        // Decisions rest on what is voided until the act.
        let end = if reinstated { range.until.get() } else { range.act.get() };
        let mut records: BTreeMap<[u8; TAG_LEN], Vec<u64>> = BTreeMap::new();
        let mut steps = 0;
        while job.next < end && steps < STEPS {
            let index = LeafIndex(job.next);
            steps += 1;
            job.next += 1;
            match self.overlay.stored(index)? {
                Some(Entry::BatchHeader(header)) => {
                    let key = self.overlay.key(&header.key_id)?.ok_or_else(missing)?;
                    let own = match &range.whose {
                        Whose::Key(own) => *own == header.key_id,
                        Whose::Party(own) => *own == key.author_id,
                    };
                    if !own || index >= range.until {
                        job.next += u64::from(header.count);
                    }
                }
                Some(Entry::Record(entry)) if entry.kind == Kind::DECISION_MADE && !reinstated => {
                    steps += self.review(&range, &entry)?;
                }
                Some(Entry::Record(entry)) if entry.flags.contains(Flags::LEDGER) => {}
                Some(Entry::Record(entry)) if entry.tag != NO_PATIENT && self.is_meant(&range, index)? => {
                    records.entry(entry.tag).or_default().push(index.get());
                    self.overlay.set_concerned(range.act, &entry.tag)?;
                }
                _ => {}
            }
        }
        for (tag, indices) in records {
            for part in indices.chunks(NOTICE_RECORDS_MAX) {
                let reinstates = reinstated.then_some(range.act.get());
                let notice = Notice { act: job.by.get(), records: part.to_vec(), reinstates };
                self.put_notice(&tag, &notice);
            }
        }
        self.overlay.put_job(job, job.next >= end);
        Ok(())
    }

    fn is_meant(&self, range: &VoidedRange, index: LeafIndex) -> Result<bool, ReadError> {
        let signer = self.overlay.signer_of(index)?;
        Ok(signer.is_some_and(|(key, author)| range.means(index, (&key, &author))))
    }

    /// Lists a decision that was made while what is voided counted. Gives what it cost.
    fn review(&mut self, range: &VoidedRange, entry: &RecordEntry) -> Result<usize, Stop> {
        let mut steps = DECISION_STEPS;
        let decision = self.rules.decision(&self.overlay, entry.index)?;
        let mut consulted = decision.map(|decision| decision.consulted()).unwrap_or_default();
        consulted.retain(|index| (range.from..range.until).contains(index));
        let mut ground = None;
        for index in consulted {
            steps += 1;
            if self.is_meant(range, index)? {
                ground = Some(ReviewGround::Consulted);
                break;
            }
        }
        // By the decision's own tag alone: a list says nothing of which two tags are one patient's. Where the decision rests on
        // a voided record under the other one, it is listed as one that consulted it.
        if ground.is_none() && self.overlay.is_concerned(range.act, &entry.tag)? {
            ground = Some(ReviewGround::Concerned);
        }
        if let Some(ground) = ground {
            self.overlay.put_review(range.act, &VoidedDecision { index: entry.index, ground });
        }
        Ok(steps)
    }

    /// Adds what the ledger tells a patient.
    fn put_notice(&mut self, tag: &[u8; TAG_LEN], notice: &Notice) {
        let index = LeafIndex(self.next_index());
        let record = notice.to_record(tag, self.time.get());
        let payload = [&Notice::salt(index, tag)[..], record.bytes()].concat();
        self.put_entry(&RecordEntry {
            index,
            time: self.time,
            flags: Flags::LEDGER,
            kind: Kind::RECORDS_VOIDED,
            tag: *tag,
            record_hash: leaf_hash(&payload),
            position: 0,
        });
        let payloads = self.store.family(Family::Payload);
        self.writes.put_cf(payloads, schema::index_key(index.get()), payload);
    }
}
