//! The replay: what must hold of each entry, given those before it. No threads, no network, no clock.

use std::collections::BTreeMap;

use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::PublicKey;
use sillage_proof::merkle::root_of;
use sillage_proof::note::VerifierKey;
use sillage_proto::v1::Genesis;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::Rule;
use sillage_rules::entry::{BatchHeader, Entry, Flags, IndexCommit, LedgerEvent, RecordEntry};
use sillage_rules::facts::flags_hold;
use sillage_rules::index::Frontier;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::limits::INDEX_DEPTH_MAX;
use sillage_rules::node_set::NodeSet;
use sillage_rules::record::ParsedRecord;
use sillage_rules::voiding::{Notice, Voiding};

use super::divergence::Divergence;
use super::patients::Patients;
use super::prepare::{KeyBook, Prepared, Signature, verify};
use super::registry::{NO_PATIENT, Registry, Signer};
use sillage_client::trust::{Trust, first_set};

/// The terms of a log that its genesis states, as far as a replay needs them.
#[derive(Debug, Clone)]
pub struct Log {
    /// The body of entry 0.
    pub(super) bytes: Vec<u8>,
    /// Its name.
    pub origin: Origin,
    pub(super) depth: u8,
    pub(super) late_after_ms: u64,
    pub(super) tags: std::ops::RangeInclusive<[u8; 32]>,
    key: PublicKey,
    pub(super) nodes: NodeSet,
    parties: Vec<PartyRegistration>,
    /// How many authorities sign from the beginning.
    rule: Option<Rule>,
    /// Events a second of a party whose own quota is 0.
    quota_default: u32,
}

impl Log {
    /// Reads a genesis, and keeps its bytes: entry 0 must hold exactly them.
    ///
    /// # Errors
    /// A description of the fault, in words.
    pub fn new(genesis: &Genesis, bytes: Vec<u8>) -> Result<Self, String> {
        let tag = |tag: &[u8]| <[u8; 32]>::try_from(tag).map_err(|_| "a tag isn't 32 bytes".to_owned());
        let key = |bytes: &[u8]| PublicKey::from_bytes(bytes).map_err(|error| error.to_string());
        let depth = u8::try_from(genesis.index_depth).ok().filter(|depth| *depth <= INDEX_DEPTH_MAX);
        let nodes = first_set(genesis).ok_or_else(|| "a node's key or certificate can't be used".to_owned())?;
        let parties = genesis.parties.iter().map(PartyRegistration::parse);
        Ok(Self {
            bytes,
            origin: Origin::new(genesis.origin.clone()).map_err(|error| error.to_string())?,
            depth: depth.ok_or_else(|| format!("index_depth is over {INDEX_DEPTH_MAX}"))?,
            late_after_ms: genesis.late_after_ms,
            tags: tag(&genesis.tag_first)?..=tag(&genesis.tag_last)?,
            key: key(&genesis.log_public_key)?,
            nodes,
            parties: parties.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            rule: Rule::of_genesis(genesis).map_err(|error| error.to_string())?,
            quota_default: genesis.quota_events_per_s,
        })
    }

    /// SHA-256 of the genesis: no two logs have the same.
    pub(super) fn id(&self) -> Hash {
        sha256(&[&self.bytes])
    }
}

/// An act that erased payloads, whose indices are still to be looked up: a replay doesn't keep whose each entry was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// The act's place in the log.
    pub act: u64,
    /// The patient's tag.
    pub tag: [u8; 32],
    /// Entries that must be records of this tag; all of them before the act.
    pub indices: Vec<u64>,
}

/// A batch whose records are still coming.
#[derive(Debug, Clone)]
struct OpenBatch {
    header: BatchHeader,
    signer: Signer,
    leaves: Vec<Hash>,
}

/// A replay, as of some number of entries.
#[derive(Debug, Clone)]
pub struct Replay {
    pub(super) log: Log,
    /// Entries replayed, those in `leaves` included.
    pub(super) size: u64,
    pub(super) time_ms: u64,
    pub(super) tree: Frontier,
    /// Leaves that aren't in `tree` yet: hashed many at a time.
    leaves: Vec<Hash>,
    pub(super) registry: Registry,
    pub(super) patients: Patients,
    pub(super) erased: Vec<Erased>,
    pub(super) closed: bool,
    /// The size after the last index commit.
    committed: u64,
    open: Option<OpenBatch>,
    /// Roots that the log must have, by size, and who says so.
    expected: BTreeMap<u64, Vec<(Hash, String)>>,
}

impl Replay {
    /// Before entry 0.
    pub fn new(log: Log) -> Self {
        let patients = Patients::new(log.depth);
        Self::at(log, 0, 0, Frontier::default(), Registry::default(), patients)
    }

    pub(super) fn at(
        log: Log,
        size: u64,
        time_ms: u64,
        tree: Frontier,
        registry: Registry,
        patients: Patients,
    ) -> Self {
        Self {
            log,
            size,
            time_ms,
            tree,
            leaves: Vec::new(),
            registry,
            patients,
            erased: Vec::new(),
            closed: false,
            committed: size,
            open: None,
            expected: BTreeMap::new(),
        }
    }

    /// How many entries were replayed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Root of the log tree over what was replayed.
    pub fn root(&mut self) -> Hash {
        self.tree.push_all(&self.leaves);
        self.leaves.clear();
        self.tree.root()
    }

    /// Tells whether the last entry was an index commit: only then can a checkpoint end here, or the state be stored.
    pub fn is_committed(&self) -> bool {
        self.size > 0 && self.size == self.committed
    }

    /// The signers that make the checkpoint over the replayed entries.
    pub fn trust(&self) -> Option<Trust> {
        self.registry.trust_at(&self.log.origin, self.size)
    }

    /// Every key that the log ever had, as far as was replayed.
    pub fn log_keys(&self) -> Vec<VerifierKey> {
        self.registry.log_keys(&self.log.origin)
    }

    /// The erasures that are still to be looked up.
    pub fn take_erased(&mut self) -> Vec<Erased> {
        std::mem::take(&mut self.erased)
    }

    /// Keys that were registered so far, for [`super::prepare()`].
    pub fn keys(&self) -> KeyBook {
        let book = KeyBook::default();
        self.registry.keys.values().for_each(|key| book.add(&key.key));
        book
    }

    /// Expects this root at a size that is still to come (or now). `by` says who claims it.
    ///
    /// # Errors
    /// When the replay stands at that size and has another root.
    pub fn expect(&mut self, size: u64, root: Hash, by: String) -> Result<(), Divergence> {
        self.expected.entry(size).or_default().push((root, by));
        self.check_expected()
    }

    /// Replays entries that follow what was replayed; calls `on_commit` after each index commit.
    ///
    /// # Errors
    /// The first divergence; the replay is of no use after it.
    pub fn feed(&mut self, entries: Vec<Prepared>, mut on_commit: impl FnMut(&mut Self)) -> Result<(), Divergence> {
        for prepared in entries {
            let commits = matches!(prepared.entry, Ok(Entry::IndexCommit(_)));
            self.one(prepared)?;
            self.check_expected()?;
            if commits {
                // State may be stored now: the log tree too must stand here.
                self.root();
                on_commit(self);
            }
        }
        Ok(())
    }

    /// The log ends here.
    ///
    /// # Errors
    /// When something is cut short.
    pub fn finish(&self) -> Result<(), Divergence> {
        match &self.open {
            None => Ok(()),
            Some(open) => Err(self.wrong(self.next_of(open), "the end of the log")),
        }
    }

    fn one(&mut self, prepared: Prepared) -> Result<(), Divergence> {
        let Prepared { entry, leaf, batch_leaf, patient, opened, signature } = prepared;
        let entry = entry.map_err(|why| self.wrong("an entry", format!("bytes that are none: {why}")))?;
        self.check_common(&entry)?;
        match entry {
            Entry::BatchHeader(header) => self.header(header, signature)?,
            Entry::Record(record) => {
                let leaf = batch_leaf.unwrap_or_else(|| record.batch_leaf().hash());
                self.record(&record, leaf, opened)?;
            }
            Entry::IndexCommit(commit) => self.index_commit(&commit)?,
            Entry::LedgerEvent(event) => self.event(&event)?,
        }
        if let Some((ikey, leaf)) = patient {
            self.patients.push(ikey, leaf);
        }
        self.leaves.push(leaf);
        self.size += 1;
        Ok(())
    }

    /// Index, time, and what may follow what.
    fn check_common(&mut self, entry: &Entry) -> Result<(), Divergence> {
        let (index, time_ms) = (entry.index().get(), entry.time().get());
        if index != self.size {
            return Err(self.wrong(format!("the entry of index {}", self.size), format!("the one of index {index}")));
        }
        if time_ms < self.time_ms {
            let expected = format!("a time not before {} ms", self.time_ms);
            return Err(self.wrong(expected, format!("{time_ms} ms: time went back")));
        }
        self.time_ms = time_ms;
        if self.size == 0 && !matches!(entry, Entry::LedgerEvent(_)) {
            return Err(self.wrong("the genesis entry", name(entry)));
        }
        if self.closed && !matches!(entry, Entry::IndexCommit(_)) {
            return Err(self.wrong("nothing more: the log was closed", name(entry)));
        }
        match &self.open {
            Some(open) if !is_of_batch(entry) => Err(self.wrong(self.next_of(open), name(entry))),
            _ => Ok(()),
        }
    }

    fn header(&mut self, header: BatchHeader, signature: Signature) -> Result<(), Divergence> {
        let signer = self.registry.signer(&header.key_id);
        let signer = signer.map_err(|found| self.wrong("a batch signed with an author's active key", found))?;
        let signature = match signature {
            Signature::Unverified => verify(&header, &self.log.origin, &signer.key),
            known => known,
        };
        if signature != Signature::Good {
            let expected = format!("author {}'s signature over batch {}", signer.author, header.seq);
            return Err(self.wrong(expected, "a signature that doesn't match"));
        }
        let stream = self.registry.streams.get(&header.stream_id);
        if let Some(stream) = stream.filter(|stream| stream.author != signer.author) {
            let expected = format!("author {} on stream {}", stream.author, header.stream_id);
            return Err(self.wrong(expected, format!("author {}", signer.author)));
        }
        let next = stream.map_or(1, |stream| stream.last_seq.saturating_add(1));
        if header.seq != next {
            let expected = format!("batch {next} of stream {}", header.stream_id);
            return Err(self.wrong(expected, format!("batch {}: the stream has a gap or repeats itself", header.seq)));
        }
        let stream = super::registry::Stream { author: signer.author, last_seq: next };
        self.registry.streams.insert(header.stream_id, stream);
        let leaves = Vec::with_capacity(usize::try_from(header.count).unwrap_or_default());
        self.open = Some(OpenBatch { header, signer, leaves });
        Ok(())
    }

    /// `leaf` is its leaf in the batch tree.
    fn record(
        &mut self,
        entry: &RecordEntry,
        leaf: Hash,
        opened: Option<Result<ParsedRecord, String>>,
    ) -> Result<(), Divergence> {
        let opened = opened.transpose();
        let opened = opened.map_err(|found| self.wrong(format!("the record of hash {}", entry.record_hash), found))?;
        self.check_tag(entry)?;
        if entry.flags.contains(Flags::LEDGER) {
            return self.ledger_record(entry, opened.as_ref());
        }
        let Some(open) = &self.open else {
            return Err(self.wrong("a batch header before its records", "a record of no batch"));
        };
        let position = open.leaves.len() as u64;
        if u64::from(entry.position) != position {
            let found = format!("the record at position {}", entry.position);
            return Err(self.wrong(self.next_of(open), found));
        }
        self.check_flags(entry, opened.as_ref())?;
        let signer = open.signer.clone();
        match entry.kind.is_act() {
            true => self.act(entry, opened, &signer)?,
            false if !signer.may_sign(entry.kind, &entry.tag, self.registry.with_device.contains(&entry.tag)) => {
                let found = format!("a {} by author {}, who hasn't it", entry.kind, signer.author);
                return Err(self.wrong("a record by a party with a role that may sign it", found));
            }
            false => {}
        }
        if entry.kind == Kind::DEVICE_REGISTERED {
            self.registry.with_device.insert(entry.tag);
        }
        self.close_batch(leaf)
    }

    fn check_tag(&self, entry: &RecordEntry) -> Result<(), Divergence> {
        let by_ledger = entry.flags.contains(Flags::LEDGER);
        let has_tag = entry.tag != NO_PATIENT;
        let right = match entry.kind {
            // Where entries were read, and not one patient's trace, the ledger notes no patient.
            Kind::LOG_CONSULTED if by_ledger => true,
            // The act concerns no patient; what the ledger tells of it does.
            Kind::RECORDS_VOIDED => by_ledger == has_tag,
            // Who breaks the glass may not know the patient yet.
            kind if kind.group() == Group::Emergency => true,
            kind => kind.has_patient() == has_tag,
        };
        if !right {
            let found = if has_tag { "a patient's tag" } else { "none" };
            return Err(self.wrong(format!("a patient's tag as a record of kind {} has it, or not", entry.kind), found));
        }
        match has_tag && !self.log.tags.contains(&entry.tag) {
            true => Err(self.wrong("a tag in the range of this log", hex::encode(entry.tag))),
            false => Ok(()),
        }
    }

    /// A record that the ledger makes itself.
    fn ledger_record(&self, entry: &RecordEntry, opened: Option<&ParsedRecord>) -> Result<(), Divergence> {
        let known = matches!(entry.kind, Kind::LOG_CONSULTED | Kind::DECISION_MADE | Kind::RECORDS_VOIDED);
        if !known || entry.flags != Flags::LEDGER || entry.position != 0 {
            let found = format!("{} at position {} with {:?}", entry.kind, entry.position, entry.flags);
            return Err(self.wrong("a record of a kind that the ledger makes, alone, flagged LEDGER only", found));
        }
        if entry.kind == Kind::RECORDS_VOIDED {
            self.check_notice(opened)?;
        }
        match opened.and_then(ParsedRecord::act) {
            Some(_) => Err(self.wrong("a record without an act", "an act by no one")),
            None => Ok(()),
        }
    }

    /// The ledger tells a patient of voided records exactly as an act says.
    fn check_notice(&self, opened: Option<&ParsedRecord>) -> Result<(), Divergence> {
        let notice = opened.and_then(Notice::of);
        let notice =
            notice.ok_or_else(|| self.wrong("what the ledger tells of voided records, which is public", "nothing"))?;
        let range = self.registry.voided.iter().find(|(act, _)| *act == notice.act).map(|(_, range)| range);
        let range =
            range.ok_or_else(|| self.wrong("an act that voided records before", format!("entry {}", notice.act)))?;
        match notice.records.iter().find(|index| !range.contains(index)) {
            Some(index) => {
                Err(self.wrong(format!("records that entry {} voided", notice.act), format!("entry {index}")))
            }
            None => Ok(()),
        }
    }

    fn check_flags(&self, entry: &RecordEntry, opened: Option<&ParsedRecord>) -> Result<(), Divergence> {
        let (kind, flags) = (entry.kind, entry.flags);
        if kind.made_by_ledger() {
            return Err(self.wrong("a record of a kind that authors may sign", kind.token()));
        }
        match flags_hold(entry, opened, self.log.late_after_ms) {
            true => Ok(()),
            false => Err(self.wrong(format!("flags as a record of kind {kind} has them"), format!("{flags:?}"))),
        }
    }

    fn act(&mut self, entry: &RecordEntry, opened: Option<ParsedRecord>, signer: &Signer) -> Result<(), Divergence> {
        let Some(record) = opened else {
            return Err(self.wrong(format!("the act, which is public, of this {}", entry.kind), "an entry without it"));
        };
        let Some(act) = record.act() else {
            return Err(self.wrong("an act, which an authority signed", format!("a {} without one", entry.kind)));
        };
        let of_log = (&self.log.origin, self.log.quota_default);
        let checked = self.registry.check_rule(signer, &record, of_log, entry.time.get());
        checked.map_err(|found| self.wrong("an act that as many authorities signed as the rule asks for", found))?;
        if let Act::RecordsVoided(Voiding::Void { from, until, .. }) = act {
            let until = until.map_or(self.size, |until| until.get().min(self.size));
            self.registry.voided.push((self.size, from.get()..until));
        }
        if let Act::RecordsVoided(Voiding::Reinstate { act, .. }) = act {
            let range =
                self.registry.voided.iter().find(|(known, _)| *known == act.get()).map(|(_, range)| range.clone());
            let range = range.ok_or_else(|| self.wrong("an act that voided records before", format!("entry {act}")))?;
            self.registry.voided.push((self.size, range));
        }
        self.registry.perform(signer, act).map_err(|found| self.wrong("an act that the ledger may perform", found))?;
        if let Act::Erased { indices, .. } = act {
            let indices: Vec<u64> = indices.iter().map(|index| index.get()).collect();
            if let Some(late) = indices.iter().find(|index| **index >= self.size) {
                return Err(self.wrong("an erasure of earlier entries", format!("of entry {late}")));
            }
            if !indices.is_empty() {
                self.erased.push(Erased { act: self.size, tag: entry.tag, indices });
            }
        }
        Ok(())
    }

    /// Notes a record of the open batch; with the last one, recomputes the root that its author signed.
    fn close_batch(&mut self, leaf: Hash) -> Result<(), Divergence> {
        let open = self.open.as_mut().expect("a record of a batch");
        open.leaves.push(leaf);
        if open.leaves.len() as u64 != u64::from(open.header.count) {
            return Ok(());
        }
        let root = root_of(&open.leaves);
        let header = &open.header;
        if root != header.root {
            let (index, last) = (header.index.get(), self.size);
            let expected =
                format!("records up to entry {last} with the batch root that the author signed, {}", header.root);
            return Err(Divergence::new(
                index,
                expected,
                format!(
                    "records of the batch root {root}: one was altered, filed under another tag, kind or flag, or isn't of this batch"
                ),
            ));
        }
        self.open = None;
        Ok(())
    }

    fn index_commit(&mut self, entry: &IndexCommit) -> Result<(), Divergence> {
        let (patients, root) = self.patients.commit();
        if entry.depth != self.log.depth {
            return Err(self.wrong(format!("an index of depth {}", self.log.depth), format!("depth {}", entry.depth)));
        }
        if (entry.patients, entry.root) != (patients, root) {
            let expected = format!("the patient index of the entries before: {patients} patients, root {root}");
            let found = format!("{} patients, root {}", entry.patients, entry.root);
            return Err(self.wrong(expected, found));
        }
        self.registry.commit(entry.index);
        self.committed = self.size + 1;
        Ok(())
    }

    fn event(&mut self, event: &LedgerEvent) -> Result<(), Divergence> {
        match (self.size, event.kind) {
            (0, Kind::GENESIS) => self.genesis(event),
            (1.., Kind::LOG_CLOSED) => {
                self.closed = true;
                Ok(())
            }
            (_, kind) => Err(self.wrong("an event that may stand here", kind.token())),
        }
    }

    fn genesis(&mut self, event: &LedgerEvent) -> Result<(), Divergence> {
        if event.body != self.log.bytes {
            return Err(self.wrong("the genesis that the profile trusts", "another one"));
        }
        for party in &self.log.parties {
            let registered = self.registry.register(party);
            registered.map_err(|found| Divergence::new(0, "parties that can be registered", found))?;
        }
        self.registry.rule.clone_from(&self.log.rule);
        self.registry.sign_from_genesis(self.log.key, self.log.nodes.clone());
        Ok(())
    }

    /// Compares the root with what is expected at this size.
    fn check_expected(&mut self) -> Result<(), Divergence> {
        while let Some(first) = self.expected.first_entry() {
            let size = *first.key();
            if size > self.size {
                return Ok(());
            }
            let claims = first.remove();
            if size < self.size {
                // The size lies before where this replay began; whoever resumes one asks for a proof instead.
                continue;
            }
            let root = self.root();
            for (claimed, by) in claims {
                if claimed != root {
                    let expected = format!("root {claimed} at size {size}, as {by} says");
                    return Err(Divergence::new(size.saturating_sub(1), expected, format!("root {root}")));
                }
            }
        }
        Ok(())
    }

    fn next_of(&self, open: &OpenBatch) -> String {
        let (header, position) = (open.header.index, open.leaves.len());
        format!("the record at position {position} of {} of the batch of entry {header}", open.header.count)
    }

    fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> Divergence {
        Divergence::new(self.size, expected, found)
    }
}

fn is_of_batch(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(record) if !record.flags.contains(Flags::LEDGER))
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::BatchHeader(header) => format!("the header of batch {} of stream {}", header.seq, header.stream_id),
        Entry::Record(record) if record.flags.contains(Flags::LEDGER) => format!("the ledger's own {}", record.kind),
        Entry::Record(record) => format!("a record of kind {}", record.kind),
        Entry::IndexCommit(_) => "an index commit".to_owned(),
        Entry::LedgerEvent(event) => format!("the ledger event {}", event.kind),
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
