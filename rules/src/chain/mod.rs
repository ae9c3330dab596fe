//! The signatures that make a checkpoint, from the genesis of a log on (`docs/formats.md` §12).
//!
//! [`trust`] says whose they are at one time, [`rotation`] how a new key, or another set of nodes, is proven under those
//! before it. Verifiers and nodes run the same code: a node that was away finds with it who its peers are by now.

pub mod rotation;
pub mod trust;

/// The shown facts aren't proven. The words say what doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unproven(pub String);
