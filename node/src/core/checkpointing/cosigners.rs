//! The cosigners of this log, and the weight of a note: only lines that were verified here are kept.
//!
//! A line that doesn't verify would spoil the whole note for everyone who trusts its key, so none is passed on.

use std::collections::BTreeMap;

use sillage_ledger::{KeyState, LedgerReader, ReadError};
use sillage_proof::LeafIndex;
use sillage_proof::checkpoint::{Checkpoint, CheckpointError};
use sillage_proof::keys::{AuthorId, PublicKey};
use sillage_proof::note::{KeyKind, NoteError, NoteSignature, SignedNote, VerifierKey};
use sillage_rules::cosigner::{auditor_name, node_name};
use sillage_rules::node_set::Voters;
use sillage_rules::roles::Roles;

use super::cosign::COMES_BACK_S;
use crate::core::now_ms;

/// Cosignatures by keys that aren't nodes', kept for one checkpoint: witnesses and auditors.
const OTHERS_MAX: usize = 64;

/// The cosigners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A node of the group.
    Node(u64),
    /// A witness of the configuration.
    Witness,
    /// A registered auditor.
    Auditor,
}

/// A cosignature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// By whom.
    pub who: Who,
    /// When, in seconds since 1970.
    pub time_s: u64,
    /// The line.
    pub line: NoteSignature,
}

/// A checkpoint of this log whose log signature was verified, with the cosignatures that were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint that was signed.
    pub checkpoint: Checkpoint,
    /// The log's own signature.
    pub log: NoteSignature,
    /// The others, by key name and id.
    pub cosignatures: Cosignatures,
}

/// One for each key: the latest.
pub type Cosignatures = BTreeMap<(String, u32), Cosignature>;

/// Why a note isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum Untaken {
    /// It isn't a note, or the log's key in force hasn't signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It isn't a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Another log's.
    #[error("it is a checkpoint of another log")]
    Origin,
    /// No index commit can end it.
    #[error("a checkpoint of size 0 commits to nothing")]
    Empty,
    /// Not enough nodes.
    #[error("it carries the cosignatures of {0} nodes that count, which is no majority")]
    NoMajority(usize),
    /// The keys can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// See the module.
#[derive(Clone)]
pub struct Cosigners {
    reader: LedgerReader,
    witnesses: Vec<VerifierKey>,
}

impl Cosigners {
    /// Of the log of `reader`, with the witnesses of the configuration.
    pub fn new(reader: LedgerReader, witnesses: Vec<VerifierKey>) -> Self {
        Self { reader, witnesses }
    }

    /// The log's key for the checkpoint of `size`.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn log(&self, size: u64) -> Result<VerifierKey, Untaken> {
        let key = self.reader.log_key_at(last_entry(size))?;
        Ok(VerifierKey::new(self.reader.genesis().origin.as_str(), KeyKind::Ed25519, key)?)
    }

    /// The keys whose signatures count for the checkpoint of `size`.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn voters(&self, size: u64) -> Result<Voters, Untaken> {
        Ok(self.reader.node_set_at(last_entry(size))?.voters())
    }

    /// The key of a node for the checkpoint of `size`; `None` where the log has no such node.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn node(&self, id: u64, size: u64) -> Result<Option<VerifierKey>, Untaken> {
        let key = self.reader.node_key_at(id, last_entry(size))?;
        key.map(|key| self.node_verifier(id, key)).transpose().map_err(Untaken::from)
    }

    /// A node's key under its name.
    ///
    /// # Errors
    /// Never for an origin that a log can have.
    pub fn node_verifier(&self, id: u64, key: PublicKey) -> Result<VerifierKey, NoteError> {
        VerifierKey::new(&node_name(&self.reader.genesis().origin, id), KeyKind::CosignatureV1, key)
    }

    /// The party whose auditor key has this name, with each key of it that wasn't revoked. `active_only`: those alone
    /// that sign now.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn auditor(&self, name: &str, active_only: bool) -> Result<Vec<(AuthorId, VerifierKey)>, Untaken> {
        let Some(author) = self.auditor_named(name)? else {
            return Ok(Vec::new());
        };
        let Some(party) = self.reader.party(&author)?.filter(|party| party.roles.contains(Roles::AUDITOR)) else {
            return Ok(Vec::new());
        };
        let mut keys = Vec::new();
        for id in party.keys.iter().rev() {
            let Some(key) = self.reader.key(id)? else {
                continue;
            };
            let usable = match key.state {
                KeyState::Active => true,
                KeyState::Replaced => !active_only,
                KeyState::Revoked => false,
            };
            if usable && let Ok(public) = key.verifier() {
                keys.push((author, VerifierKey::new(name, KeyKind::CosignatureV1, public)?));
            }
        }
        Ok(keys)
    }

    fn auditor_named(&self, name: &str) -> Result<Option<AuthorId>, Untaken> {
        let origin = &self.reader.genesis().origin;
        let short = name.rsplit_once("/auditor-").map(|(_, short)| short);
        let mut id = [0; 32];
        let Some(Ok(())) = short.map(|short| hex::decode_to_slice(short, &mut id[..8])) else {
            return Ok(None);
        };
        // Parties come in the order of their ids; an id that ends in 24 zero bytes doesn't happen.
        let next = self.reader.parties(Some(&AuthorId::from(id)), 1)?;
        let found = next.first().map(|party| party.author_id);
        Ok(found.filter(|author| auditor_name(origin, author) == name))
    }

    /// The cosignature in a line over `text`; `None` where nobody of ours has made it.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn cosignature(&self, text: &str, size: u64, line: &NoteSignature) -> Result<Option<Cosignature>, Untaken> {
        for id in self.voters(size)?.ids() {
            if let Some(key) = self.node(id, size)?
                && let Some(time_s) = verified(text, line, &key)
            {
                return Ok(Some(Cosignature { who: Who::Node(id), time_s, line: line.clone() }));
            }
        }
        for key in &self.witnesses {
            if let Some(time_s) = verified(text, line, key) {
                return Ok(Some(Cosignature { who: Who::Witness, time_s, line: line.clone() }));
            }
        }
        for (_, key) in self.auditor(&line.name, false)? {
            if let Some(time_s) = verified(text, line, &key) {
                return Ok(Some(Cosignature { who: Who::Auditor, time_s, line: line.clone() }));
            }
        }
        Ok(None)
    }

    /// Verifies a note: the log's signature, and a majority of nodes. Lines of others that don't verify are left out.
    ///
    /// # Errors
    /// When it isn't a finished checkpoint of this log.
    pub fn verify(&self, note: &str) -> Result<Verified, Untaken> {
        let note = SignedNote::parse(note.as_bytes())?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != self.reader.genesis().origin {
            return Err(Untaken::Origin);
        }
        let size = checkpoint.size.get();
        if size == 0 {
            return Err(Untaken::Empty);
        }
        let log_key = self.log(size)?;
        note.verify([&log_key])?;
        let by_log = |line: &&NoteSignature| line.name == log_key.name() && line.key_id == log_key.id();
        let log = note.signatures().iter().find(by_log).expect("it was verified");
        let mut cosignatures = Cosignatures::new();
        for line in note.signatures() {
            if let Some(found) = self.cosignature(note.text(), size, line)? {
                keep_latest(&mut cosignatures, found, now_ms() / 1_000);
            }
        }
        let signed = |id| cosignatures.values().any(|one| one.who == Who::Node(id));
        if !self.voters(size)?.is_majority(signed) {
            let nodes = cosignatures.values().filter(|one| matches!(one.who, Who::Node(_))).count();
            return Err(Untaken::NoMajority(nodes));
        }
        Ok(Verified { checkpoint, log: log.clone(), cosignatures })
    }
}

/// The index commit that a checkpoint ends with.
fn last_entry(size: u64) -> LeafIndex {
    LeafIndex(size.saturating_sub(1))
}

/// The time of a cosignature over `text`, where `key` has made it.
pub fn verified(text: &str, line: &NoteSignature, key: &VerifierKey) -> Option<u64> {
    if line.name != key.name() || line.key_id != key.id() {
        return None;
    }
    let note = SignedNote::new(text.to_owned(), vec![line.clone()]).ok()?;
    note.verify([key]).ok()?.first()?.time_s
}

/// Adds a cosignature, unless a later one by the same key is there. A time that is still to come at `now_s` was a wrong
/// clock's: it gives way to any other. `false` where nothing changed.
pub fn keep_latest(cosignatures: &mut Cosignatures, new: Cosignature, now_s: u64) -> bool {
    let name = (new.line.name.clone(), new.line.key_id);
    let worth = |time_s: u64| match time_s > now_s.saturating_add(COMES_BACK_S) {
        true => (false, u64::MAX - time_s),
        false => (true, time_s),
    };
    match cosignatures.get(&name) {
        Some(known) if worth(known.time_s) >= worth(new.time_s) => false,
        None if !matches!(new.who, Who::Node(_)) && cosignatures.len() >= OTHERS_MAX => false,
        _ => {
            cosignatures.insert(name, new);
            true
        }
    }
}
