//! Consent from the caller's side: what is changed, what holds, and who can open what because of it.
//!
//! - [`change`]: from a change's parts to the record that is signed; [`who`]: actors as people write them;
//! - [`known`]: the records of the log, folded with the code that decides in the ledger;
//! - [`rights`]: who may do what, by asking that same code; [`effective`] says it in words, [`preview`] what a change would
//!   make of it, before anything is signed; [`stays_open`]: what a limit leaves open; [`history`]: what is in force, and
//!   everything that ever was.

pub mod change;
pub mod effective;
pub mod history;
pub mod known;
pub mod preview;
pub mod rights;
pub mod stays_open;
#[cfg(test)]
pub(crate) mod testing;
pub mod who;
