//! Consent under test: what patients decide and doctors ask, and whether the ledger's decisions are right.
//!
//! [`acts`] makes the records and the requests; [`Account`] holds what clients saw, in the order of one clock; and
//! [`Account::judge`] compares it with a patient's trace: nothing was decided on revoked consent, every decision is on
//! record once, at its place, and follows from the records before it.

pub mod acts;
mod judge;
#[cfg(test)]
mod tests;

pub use judge::{Line, What};

use sillage_client::authorize::receipt::Receipt;
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_rules::decide::ParsedRequest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One order of what all clients do: of two ticks, the smaller one was before.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The next moment.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A question that was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Before it was sent for the first time.
    pub sent: u64,
    /// After its answer had come.
    pub answered: u64,
    /// The asker, as `system|id`.
    pub actor: String,
    /// The entry on record of it.
    pub receipts: Vec<Receipt>,
}

impl Asked {
    /// Tells whether anything was permitted.
    pub fn is_permitted(&self) -> bool {
        self.receipts.iter().any(|receipt| !receipt.view.actor.permitted.is_empty())
    }
}

/// A consent of one patient to one doctor, as the patient saw it.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// To whom, as `system|id`.
    pub grantee: String,
    /// When its recording was acknowledged.
    pub granted: u64,
    /// When its revocation was sent for the first time.
    pub revoking: Option<u64>,
    /// When its revocation was acknowledged.
    pub revoked: Option<u64>,
}

/// Observations of clients about one patient.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// By the index of the directive's entry.
    pub consents: BTreeMap<LeafIndex, Consent>,
    /// Every request that was ever sent for this patient, by its hash: decisions under the open tag leave it out, as
    /// representatives read them.
    pub requests: BTreeMap<Hash, ParsedRequest>,
    /// Every question that was answered.
    pub asked: Vec<Asked>,
}
