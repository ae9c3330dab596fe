//! The set of nodes of a log: which there are, whose signatures count, and how one set follows from another.
//!
//! The genesis entry names the first set; each later one is an act of the authority ([`NodeSetChange`]). Ledger, nodes,
//! clients and auditors follow the acts with the same code: [`NodeSet::after`] refuses what would let two majorities of
//! neighbouring sets miss each other, and [`Voters`] alone says what a majority is. When a set begins to count for
//! checkpoints is in `docs/formats.md` §12.

mod change;
mod set;
mod voters;

pub use change::{NodeAddresses, NodeSetChange, SetNode};
pub use set::{NodeSet, NodeSetError};
pub use voters::{Voters, majority};
