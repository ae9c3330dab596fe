//! New keys of the log and of its nodes, and other sets of nodes, each proven under those before it.

pub use sillage_rules::chain::rotation::*;
