//! The patient's door: pages that show who accessed, who may, and let the patient decide.
//!
//! One program, two processes, two parties of the log:
//!
//! ```text
//! browser ─▶ sillage-portal serve   role portal: shows pages; reads and signs under an open session alone
//!    │             │ back channel: what a session's key is to sign, and its signature
//!    └─────▶ sillage-portal login   role login: logs people in, finds their INS, records `session.opened`
//! ```
//!
//! Neither keeps anything of a user: the session stands in the browser, in a cookie that the page process sealed ([`cookie`]). What was
//! decided and isn't acknowledged yet is in the outbox of the SDK, on disk ([`record`]).
//!
//! Where to start reading: [`handlers`] says which path gives what; [`login`] how a session begins; [`cookie`] what a browser holds;
//! [`web`] how requests are read and answered. `docs/portal.md` says why it is so.

pub mod back;
pub mod cli;
pub mod config;
pub mod cookie;
pub mod handlers;
pub mod identity;
pub mod init;
pub mod login;
pub mod oidc;
pub mod pages;
pub mod record;
pub mod serve;
pub mod view;
pub mod web;
pub mod words;
