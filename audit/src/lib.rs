//! Checks of the log from outside: the auditor replays every entry and checks all that it says, the [`witness`] remembers
//! checkpoints and cosigns what follows them.
//!
//! Where to start reading: [`Replay`], what must hold of each entry, without threads or network; [`prepare()`], the part of
//! it that needs no knowledge of what came before, done beside it; [`pipeline`], how both cores are kept busy; [`follow`],
//! the whole of an audit against a ledger; [`state`], how it goes on where it stopped.
//!
//! [`compare`] and [`receipts`] find evidence without a replay: two histories, and promises that weren't kept.
//!
//! Payloads are *not* checked here. They are sealed, and an auditor has no key to them. A reader who may open an
//! entry checks what it commits to, with the patient's bundle.

pub mod compare;
pub mod divergence;
pub mod fetch;
pub mod follow;
#[doc(hidden)]
pub mod made;
mod patients;
pub mod pipeline;
mod prepare;
pub mod receipts;
mod registry;
mod replay;
pub mod state;
pub mod witness;

#[cfg(test)]
mod rotation_tests;

pub use divergence::Divergence;
pub use prepare::{KeyBook, Prepared, prepare};
pub use replay::{Erased, Log, Replay};
