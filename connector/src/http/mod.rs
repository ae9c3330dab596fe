//! The HTTP side of the door: who may call, what a request may cost, and how an answer is written. Connections are those of the
//! crate `web`.
//!
//! - [`auth`]: the certificate or the bearer token of a client, its scopes and its quota; [`token`] and [`keys`] verify tokens
//!   without asking anybody;
//! - [`body`]: bodies, bounded in size, time and what gzip makes of them;
//! - [`format`]: FHIR in JSON and XML; [`answer`]: what a handler gives back, and how it travels.
//!
//! What the requests mean is said by the crate's module `rest`; this one knows no resource.

pub mod answer;
pub mod auth;
pub mod body;
pub mod format;
pub mod keys;
pub mod outcome;
pub mod scopes;
pub mod token;
