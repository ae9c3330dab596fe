//! The records that decide, kept beside the log: states of patients folded from their records, documents that hold for
//! all, items and who they belong to, the register of broken glass.
//!
//! Where to start reading:
//!
//! - [`Rules`]: the states and documents as one command sees them;
//! - `caches`: what is kept in memory between commands. It can be made anew at any time, and never decides: with nothing
//!   kept, every command does the same;
//! - `items`: whose an item is, and what was recorded when it was deposited;
//! - `doors`: the list of sources, heartbeats, sessions, contests;
//! - [`register`]: the register of broken glass.
//!
//! Nothing that says something about a person is stored in clear: rows hold numbers, kinds and hashes, and what they
//! stand for is opened, under the patient's own data key, whenever it is needed. So the erasure of a record or a patient
//! takes its effect along.

pub(crate) mod caches;
pub(crate) mod documents;
pub(crate) mod doors;
pub(crate) mod items;
pub(crate) mod register;
mod rules;

pub use register::BreakGlass;
pub(crate) use rules::{Rules, glass_id, opened};
