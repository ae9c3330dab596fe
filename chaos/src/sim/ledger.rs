//! A node's state machine: the small model, or the ledger itself.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use sillage_cluster::core::{CommittedEntry, Members};
use sillage_proof::hash::{Hash, sha256};

use super::Plant;
use super::clock::Evidence;
use super::model::{self, Model};
use super::real::{Kit, Real, RealCopy, RealStored};
use crate::check::{Checkpoint, RecordId};

/// The effect of applying an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The record in it and its place; `None`: it has none.
    pub record: Option<(RecordId, u64)>,
    /// Ledger time before it, in milliseconds.
    pub before_ms: u64,
    /// Ledger time from it on.
    pub time_ms: u64,
    /// True if the leader's stamp was later.
    pub cut: bool,
}

/// The sort of a run's state machines.
#[derive(Clone)]
pub(crate) enum Kind {
    /// The model.
    Model,
    /// `sillage-ledger`, of this log.
    Real(Arc<Kit>),
}

/// A node's state machine.
pub(crate) enum Ledger {
    Model(Box<Model>),
    Real(Box<Real>),
}

/// A copy of the state, to install elsewhere.
#[derive(Clone)]
pub(crate) enum Copy {
    Model(Box<model::Copy>),
    Real(Arc<RealCopy>),
}

/// The content of a node's disk, to be put back.
#[derive(Clone)]
pub(crate) enum Stored {
    Model(Box<Model>),
    Real(Arc<RealStored>),
}

/// A hash that stands for an entry's bytes and term.
pub(crate) fn entry_hash(term: u64, data: &[u8]) -> Hash {
    sha256(&[&term.to_be_bytes(), data])
}

impl Copy {
    /// (index, term) it is as of.
    pub(crate) fn applied(&self) -> (u64, u64) {
        match self {
            Copy::Model(copy) => copy.applied(),
            Copy::Real(copy) => copy.applied,
        }
    }
}

impl Ledger {
    /// An empty one. `seed` is where its own choices come from.
    pub(crate) fn new(kind: &Kind, founders: Members, plant: Option<Plant>, seed: u64) -> Self {
        match kind {
            Kind::Model => {
                let mut model = Model::new(founders);
                model.forgets_duplicates = plant == Some(Plant::NoDedupe);
                model.believes_stamps = plant == Some(Plant::StampBelieved);
                Ledger::Model(Box::new(model))
            }
            Kind::Real(kit) => Ledger::Real(Box::new(Real::new(kit.clone(), founders, plant, seed))),
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        matches!(self, Ledger::Real(_))
    }

    /// The last applied (index, term).
    pub(crate) fn applied(&self) -> (u64, u64) {
        match self {
            Ledger::Model(model) => model.applied(),
            Ledger::Real(real) => real.applied(),
        }
    }

    /// The highest applied index that survives a crash.
    pub(crate) fn flushed(&self) -> u64 {
        match self {
            Ledger::Model(model) => model.flushed(),
            Ledger::Real(real) => real.flushed(),
        }
    }

    /// The bytes of a proposal; `None`: this node can't make it now.
    pub(crate) fn proposal(&self, record: RecordId, evidence: &Evidence) -> Option<Vec<u8>> {
        match self {
            Ledger::Model(_) => {
                let size = (record.sequence * 37 % 900) as usize;
                Some(model::proposal(record, evidence, size))
            }
            Ledger::Real(real) => real.proposal(record, evidence),
        }
    }

    /// The bytes of what its leader proposes before anything else, if something is due.
    pub(crate) fn first_proposal(&self) -> Option<Vec<u8>> {
        match self {
            Ledger::Model(_) => None,
            Ledger::Real(real) => real.first_proposal(),
        }
    }

    /// Applies an entry.
    ///
    /// # Errors
    /// Why the node must stop.
    pub(crate) fn apply(&mut self, entry: &CommittedEntry) -> Result<Applied, String> {
        match self {
            Ledger::Model(model) => Ok(model.apply(entry.index, entry.term, &entry.data)),
            Ledger::Real(real) => real.apply(entry),
        }
    }

    /// Tells whether it has refused what others took.
    pub(crate) fn differs(&self) -> bool {
        match self {
            Ledger::Model(model) => model.differs(),
            // One that works with other keys stops instead.
            Ledger::Real(_) => false,
        }
    }

    /// It works with other keys from its next start on, or at once.
    pub(crate) fn mix_up_keys(&mut self) {
        match self {
            Ledger::Model(model) => model.refuses_seconds = true,
            Ledger::Real(real) => real.mix_up_keys(),
        }
    }

    /// Tells whether its own keys are another log's.
    pub(crate) fn has_other_keys(&self) -> bool {
        match self {
            Ledger::Model(_) => false,
            Ledger::Real(real) => real.has_other_keys(),
        }
    }

    /// The members for the next entry.
    pub(crate) fn members(&self) -> &Members {
        match self {
            Ledger::Model(model) => model.members(),
            Ledger::Real(real) => real.members(),
        }
    }

    /// From the next entry on the members are these.
    pub(crate) fn set_members(&mut self, members: &Members) {
        match self {
            Ledger::Model(model) => model.set_members(members),
            Ledger::Real(real) => real.set_members(members),
        }
    }

    /// Makes all that is applied durable.
    pub(crate) fn flush(&mut self) -> u64 {
        match self {
            Ledger::Model(model) => model.flush(),
            Ledger::Real(real) => real.flush(),
        }
    }

    /// Falls back to what is durable, perhaps in the middle of making more so.
    ///
    /// # Errors
    /// Why it doesn't open again.
    pub(crate) fn crash(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        match self {
            Ledger::Model(model) => {
                model.crash();
                Ok(())
            }
            Ledger::Real(real) => real.crash(rng),
        }
    }

    /// Copies the state.
    pub(crate) fn copy(&mut self) -> Copy {
        match self {
            Ledger::Model(model) => Copy::Model(Box::new(model.copy())),
            Ledger::Real(real) => Copy::Real(Arc::new(real.copy())),
        }
    }

    /// Replaces the state, durably.
    ///
    /// # Errors
    /// Why it keeps the present one.
    pub(crate) fn install(&mut self, copy: &Copy) -> Result<(), String> {
        match (self, copy) {
            (Ledger::Model(model), Copy::Model(copy)) => model.install(copy),
            (Ledger::Real(real), Copy::Real(copy)) => real.install(copy),
            _ => unreachable!("all nodes of a run have the same state machine"),
        }
    }

    /// The content of its disk.
    pub(crate) fn stored(&self) -> Stored {
        match self {
            Ledger::Model(model) => {
                let mut model = model.clone();
                model.crash();
                Stored::Model(model)
            }
            Ledger::Real(real) => Stored::Real(Arc::new(real.stored())),
        }
    }

    /// Puts back what was on its disk.
    pub(crate) fn put_back(&mut self, stored: &Stored) {
        match (self, stored) {
            (Ledger::Model(model), Stored::Model(stored)) => model.clone_from(stored),
            (Ledger::Real(real), Stored::Real(stored)) => real.put_back(stored),
            _ => unreachable!("all nodes of a run have the same state machine"),
        }
    }

    /// How long the log is: records in the model, entries in the real ledger.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Ledger::Model(model) => model.size(),
            Ledger::Real(real) => real.size(),
        }
    }

    /// The records with their places, in order.
    pub(crate) fn records(&self) -> Vec<(RecordId, u64)> {
        match self {
            Ledger::Model(model) => model.records(),
            Ledger::Real(real) => real.records(),
        }
    }

    /// The root as of now.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        match self {
            Ledger::Model(model) => model.checkpoint(),
            Ledger::Real(real) => real.checkpoint(),
        }
    }

    /// The root of an earlier size; `None`: it hasn't come so far.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        match self {
            Ledger::Model(model) => model.root_at(size),
            Ledger::Real(real) => real.root_at(size),
        }
    }

    /// Consistency proof from size `old` to now.
    pub(crate) fn prove(&self, old: u64) -> Vec<Hash> {
        match self {
            Ledger::Model(model) => model.prove(old),
            Ledger::Real(real) => real.prove(old),
        }
    }

    /// Tells whether what it holds is whole, as an audit of the whole log would find.
    ///
    /// # Errors
    /// The part that isn't.
    pub(crate) fn audit(&self) -> Result<(), String> {
        match self {
            Ledger::Model(_) => Ok(()),
            Ledger::Real(real) => real.audit(),
        }
    }
}
