//! Whose signatures make a checkpoint, where no policy says it: the log's own, and a majority of its nodes.

pub use sillage_rules::chain::trust::*;
