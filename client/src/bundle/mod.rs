//! Patient bundles (`docs/formats.md` §10), from the ledger to a file.
//!
//! [`fetch`] asks the ledger for the parts, and waits for a checkpoint that satisfies the policy; `assemble` puts them in
//! their one order; [`words`] says what a bundle proves, and what it doesn't. The checks are those of
//! [`sillage_rules::bundle`]: what is handed out was verified like a stranger's file.

mod assemble;
pub mod fetch;
pub mod lines;
pub mod words;

pub use fetch::{Wanted, fetch, fetch_of, verify_for};
