//! The keys whose signatures make a checkpoint, where no policy says it: the log's own, and a majority of its nodes.
//!
//! [`rotation`] says how a new key is proven under the keys before it, and [`in_force`] which keys are in force as a session has
//! learnt them.

pub mod in_force;
pub mod rotation;

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::SignedNote;
pub use sillage_rules::chain::trust::*;

/// A checkpoint whose signatures were checked.
#[derive(Debug, Clone)]
pub struct VerifiedCheckpoint {
    /// The note, as signed.
    pub note: SignedNote,
    /// Its content.
    pub checkpoint: Checkpoint,
}
