//! Whose signatures make a checkpoint, where no policy says it: the log's own, and a majority of its nodes.
//!
//! [`rotation`] says how a new key is proven under the keys before it, and [`in_force`] which keys are in force as a session has
//! learnt them.

pub mod in_force;
pub mod rotation;

pub use sillage_rules::chain::trust::*;
