//! The meaning of records and entries: their rules, identifiers, kinds, roles, error codes and the JSON record line.
//!
//! The crate is pure: no I/O, no clock, no threads. Services, nodes and verifiers run the same code. Nothing here
//! panics on bytes from strangers, and the work is bounded by their length.
//!
//! Where to start reading:
//!
//! - [`kind`]: what a record can say; [`record`]: from bytes to a checked record; [`act`]: what the authority does;
//! - [`entry`]: the leaves of the log; [`flags`], [`facts`]: what is flagged on them, and from what it follows;
//! - [`voiding`]: what was signed with a stolen key, and counts no longer; [`authority`]: acts that several authorities sign;
//! - [`consent`]: what records change of who may do what; [`decide`]: the decision procedure;
//! - [`will`]: how it is proven that the patient decided;
//! - [`index`]: one root over every patient's trace; [`bundle`]: what a patient keeps and checks without
//!   network; [`cosigner`]: the names under which checkpoints are cosigned; [`node_set`]: whose signatures count;
//! - [`chain`]: how new keys and other sets of nodes are proven;
//! - [`line`]: a record as a line of JSON; [`parts`]: several records that are one access; [`ident`]: INS, RPPS, FINESS; [`time`]: RFC 3339;
//! - [`doors`]: heartbeats, sessions of patients, contests; [`sources`]: the list of those that should record;
//! - [`clock`]: ledger time by the clocks of a majority;
//! - [`limits`]: how large things may be; [`codes`]: what can go wrong.
//!
//! Its modules stand in layers: `error`, `check` and `message_keys` ← the contents of acts (`guard`, `vouched`, `sources`, `login`,
//! `voiding`, `node_set`) ← `act` ← `record` ← `consent` ← `decide` ← {`doors`, `will`, `vouching`, `authority`}. A module above
//! hands on the names of the content that it is about: [`authority::Rule`] is of `guard`, [`vouching::Vouching`] of `vouched`,
//! [`doors::sources`] and most of [`will`] of `sources` and `login`.

pub mod act;
pub mod authority;
pub mod bundle;
pub mod chain;
mod check;
pub mod clock;
pub mod codes;
pub mod consent;
pub mod cosigner;
pub mod decide;
pub mod device;
pub mod doors;
pub mod entry;
pub mod error;
pub mod facts;
pub mod flags;
#[doc(hidden)]
pub mod fuzz;
mod fuzz_decisions;
mod guard;
pub mod ident;
pub mod index;
pub mod json;
pub mod kind;
pub mod limits;
pub mod line;
mod login;
mod message_keys;
pub mod node_set;
pub mod parts;
pub mod record;
pub mod roles;
pub mod sources;
pub mod stream;
pub mod time;
pub mod voiding;
mod vouched;
pub mod vouching;
pub mod will;
