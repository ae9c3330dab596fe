//! End to end: real processes, real sockets, and the command line as scripts use it.
//!
//! Each file in `tests/` is a program that starts one cluster and tells its stories on it, one after the other. Where
//! to start reading: `tests/cli_contract.rs` for what the tool promises, [`world`] for what a story can do.
//!
//! - [`story`]: runs the stories of a file, and ends the cluster whatever happens;
//! - [`world`]: a cluster, and the command line on it;
//! - [`wire`]: calls below the command line, well formed or not;
//! - [`lines`]: record lines to feed it with;
//! - [`connector`]: a connector's process, killed and copied; [`http`]: requests to its REST door, and answers;
//! - [`members`]: nodes that come and go; [`folders`]: their disks, copied;
//! - [`second_verifier`]: files, verified by the verifier in JavaScript;
//! - [`health`]: a patient's consent and decisions through the command line;
//! - [`authority`]: what only the ledger's authority signs;
//! - [`replay`]: decision scenarios, told to running nodes;
//! - [`npm`]: programs of others, fetched once; [`provider`]: a provider of logins among them, and who logs in there;
//! - [`portal`]: a portal, and browsers without scripts;
//! - [`page`]: a page of the documentation, run as a reader would run it;
//! - [`fixtures`]: files of others, where they are at hand.
//!
//! No test asserts a time; every wait has an end.

#![deny(missing_docs)]

pub mod authority;
pub mod connector;
pub mod fixtures;
pub mod folders;
pub mod health;
pub mod http;
pub mod lines;
pub mod members;
pub mod npm;
pub mod page;
pub mod portal;
pub mod provider;
pub mod replay;
pub mod resources;
pub mod second_verifier;
pub mod story;
pub mod wire;
pub mod world;
