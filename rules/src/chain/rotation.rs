//! New keys of the log and of its nodes, and other sets of nodes, each proven under those before it (`docs/formats.md`
//! §12).
//!
//! A rotation is an act of the authority in the log, and so is a change of the set of nodes. The first checkpoint that covers
//! it is still signed with the keys, and by the nodes, before it: whoever holds those verifies it, the act under it, and
//! thereby the new key or the new set, which signs what is larger.
//! That the authority signed the act is what the nodes verified before they cosigned; that it is this act, and stands in
//! this log, is verified here.

use std::fmt;

use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::merkle::verify_inclusion;
use sillage_proof::note::VerifierKey;
use sillage_proto::v1;

use super::Unproven;
use super::trust::{Trust, log_key, node_key};
use crate::act::Act;
use crate::entry::{Entry, Flags};
use crate::kind::Kind;
use crate::limits::SALT_BYTES;
use crate::node_set::NodeSetChange;
use crate::record::ParsedRecord;

/// The owner of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The log itself.
    Log,
    /// A node.
    Node(u64),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => write!(f, "the log"),
            Self::Node(id) => write!(f, "node {id}"),
        }
    }
}

/// The change that an act makes to the signers of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new key.
    Key {
        /// The holder of the key.
        holder: Holder,
        /// The new one.
        key: VerifierKey,
    },
    /// Another set of nodes.
    Nodes(NodeSetChange),
}

/// A rotation, or a change of the set of nodes, as it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The act's entry.
    pub index: u64,
    /// The change.
    pub change: Change,
    /// Size of the last checkpoint under the keys and nodes before: the new ones sign what is larger.
    pub proven_by: u64,
}

impl Rotated {
    /// The holder whose key is new, and the key; `None` for a change of the set of nodes.
    pub fn key(&self) -> Option<(Holder, &VerifierKey)> {
        match &self.change {
            Change::Key { holder, key } => Some((*holder, key)),
            Change::Nodes(_) => None,
        }
    }
}

/// The signatures that a checkpoint needs, while it can change.
pub trait Keys {
    /// Verifies a checkpoint under the keys in force.
    ///
    /// # Errors
    /// [`Unproven`] saying why it can't be trusted.
    fn check(&self, note: &str) -> Result<Checkpoint, Unproven>;
}

impl Keys for Trust {
    fn check(&self, note: &str) -> Result<Checkpoint, Unproven> {
        Self::check(self, note).map(|trusted| trusted.checkpoint)
    }
}

/// Verifies one rotation under the keys before it.
///
/// # Errors
/// [`Unproven`] naming what doesn't hold.
pub fn verify(origin: &Origin, given: &v1::KeyRotation, before: &impl Keys) -> Result<Rotated, Unproven> {
    let wrong = |why: &str| {
        Unproven(format!(
            "the ledger names a new key or other nodes, and they are not proven: {why}; ask another node, and keep it as evidence"
        ))
    };
    let Ok(Entry::Record(entry)) = Entry::decode(&given.entry) else {
        return Err(wrong("what should be its act is no record"));
    };
    if !matches!(entry.kind, Kind::KEY_ROTATED | Kind::NODE_SET_CHANGED) || entry.flags.contains(Flags::LEDGER) {
        return Err(wrong("its entry is no act of the authority on keys or nodes"));
    }
    let salt: &[u8; SALT_BYTES] = given.salt.as_slice().try_into().map_err(|_| wrong("the act has no salt"))?;
    let record = ParsedRecord::parse(&given.record).map_err(|_| wrong("the act breaks the rules of records"))?;
    if record.record_hash(salt) != entry.record_hash {
        return Err(wrong("the act is not the one that the log holds"));
    }
    let no_name = || wrong("the key has no name");
    let change = match record.act() {
        Some(Act::LogKeyRotated { key }) => {
            Change::Key { holder: Holder::Log, key: log_key(origin, *key).ok_or_else(no_name)? }
        }
        Some(Act::NodeKeyRotated { node_id, key }) => {
            let key = node_key(origin, *node_id, *key).ok_or_else(no_name)?;
            Change::Key { holder: Holder::Node(*node_id), key }
        }
        Some(Act::NodeSetChanged(change)) => Change::Nodes(change.clone()),
        _ => return Err(wrong("the act gives neither the log nor a node a new key, and changes no nodes")),
    };
    if record.kind() != entry.kind {
        return Err(wrong("the act is of another kind than its entry"));
    }
    let checkpoint = before.check(&given.note).map_err(|error| wrong(&error.0))?;
    let path: Result<Vec<Hash>, _> = given.path.iter().map(|hash| Hash::from_slice(hash)).collect();
    let path = path.map_err(|_| wrong("its proof holds something that is not a hash"))?;
    verify_inclusion(&leaf_hash(&given.entry), entry.index, checkpoint.size, &path, &checkpoint.root)
        .map_err(|error| wrong(&format!("its checkpoint does not cover the act ({error})")))?;
    Ok(Rotated { index: entry.index.get(), change, proven_by: checkpoint.size.get() })
}

/// The order that rotations have in a log: each later than the one before, and not under the checkpoint that proved that
/// one, unless that proves both.
///
/// # Errors
/// [`Unproven`].
pub fn check_order(last: Option<&Rotated>, next: &Rotated) -> Result<(), Unproven> {
    let Some(last) = last else {
        return Ok(());
    };
    let together = next.proven_by == last.proven_by;
    let after = next.proven_by > last.proven_by && next.index >= last.proven_by;
    match next.index > last.index && (together || after) {
        true => Ok(()),
        false => Err(Unproven(
            "the ledger names new keys or nodes twice or out of order: ask another node, and keep it as evidence"
                .to_owned(),
        )),
    }
}

/// The keys in force for every size of a log, from those of its genesis on.
#[derive(Debug, Clone)]
pub struct Chain {
    origin: Origin,
    /// From which size (exclusive) on who is trusted; the first from the beginning.
    periods: Vec<(u64, Trust)>,
    rotations: Vec<Rotated>,
}

impl Chain {
    /// Nothing was changed yet.
    pub fn new(origin: Origin, first: Trust) -> Self {
        Self { origin, periods: vec![(0, first)], rotations: Vec::new() }
    }

    /// Takes the next change, if it is proven under the keys and nodes before it.
    ///
    /// # Errors
    /// [`Unproven`]; the chain is as before.
    pub fn add(&mut self, given: &v1::KeyRotation) -> Result<(), Unproven> {
        let last = self.rotations.last();
        // Where one checkpoint proves two rotations, it is signed with the keys before both.
        let before = match last {
            Some(last) if size_of(&given.note) == Some(last.proven_by) => self.at(last.proven_by),
            _ => self.newest(),
        };
        let next = verify(&self.origin, given, before)?;
        check_order(last, &next)?;
        let trust = after(self.newest(), &self.origin, &next.change)?;
        match self.periods.last_mut() {
            Some((above, period)) if *above == next.proven_by => *period = trust,
            _ => self.periods.push((next.proven_by, trust)),
        }
        self.rotations.push(next);
        Ok(())
    }

    /// The signers that make the checkpoint of `size`.
    pub fn at(&self, size: u64) -> &Trust {
        let period = self.periods.iter().rev().find(|(above, _)| *above < size);
        period.map_or(&self.periods[0].1, |(_, trust)| trust)
    }

    /// The signers that make checkpoints to come.
    pub fn newest(&self) -> &Trust {
        &self.periods[self.periods.len() - 1].1
    }

    /// The proven changes, in the order of the log.
    pub fn rotations(&self) -> &[Rotated] {
        &self.rotations
    }

    /// Since which entry this holder's newest key is in the log: that of the act, or 0, the genesis.
    pub fn since(&self, holder: Holder) -> u64 {
        let brings = |rotated: &&Rotated| match (&rotated.change, holder) {
            (Change::Key { holder: of, .. }, _) => *of == holder,
            (Change::Nodes(change), Holder::Node(id)) => change.added.iter().any(|node| node.id == id),
            (Change::Nodes(_), Holder::Log) => false,
        };
        self.rotations.iter().rev().find(brings).map_or(0, |rotated| rotated.index)
    }

    /// Every key that the log ever had.
    pub fn log_keys(&self) -> Vec<VerifierKey> {
        self.periods.iter().map(|(_, trust)| trust.log.clone()).collect()
    }

    /// Every key that a node ever had.
    pub fn node_keys(&self) -> Vec<VerifierKey> {
        self.periods.iter().flat_map(|(_, trust)| trust.every_key().cloned()).collect()
    }
}

/// The signers to trust after a change.
///
/// # Errors
/// [`Unproven`] when it doesn't fit.
pub fn after(trust: &Trust, origin: &Origin, change: &Change) -> Result<Trust, Unproven> {
    match change {
        Change::Key { holder: Holder::Log, key } => Ok(trust.clone().with_log_key(key.clone())),
        Change::Key { holder: Holder::Node(id), key } => trust
            .clone()
            .with_node_key(*id, key.clone())
            .ok_or_else(|| Unproven(format!("the ledger names a new key of node {id}, which the log lacks"))),
        Change::Nodes(change) => trust.after(origin, change).map_err(|why| {
            Unproven(format!("the ledger names a set of nodes that can't follow ({why}): ask another node"))
        }),
    }
}

/// The size that a note claims, without a look at its signatures.
pub fn size_of(note: &str) -> Option<u64> {
    let note = sillage_proof::note::SignedNote::parse(note.as_bytes()).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.size.get())
}
