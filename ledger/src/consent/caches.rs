//! The state kept in memory between commands. One set belongs to the thread that applies, one to those that check.

use std::sync::Arc;

use sillage_proof::batch::Origin;
use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::caps::RecordCaps;
use sillage_rules::consent::{DepositedItem, PatientState};
use sillage_rules::decide::record::DecisionRecord;

use super::documents::Documents;
use crate::cache::Cache;
use crate::envelope::KekProvider;
use crate::envelope::vault::Vault;
use crate::envelope::wrapped::OnRecord;
use crate::nodes::ClockVoters;
use crate::options::Options;
use crate::schema::TAG_LEN;
use crate::verified::Verified;

/// The state of a patient, folded from all that decides in a log of `as_of` entries.
#[derive(Clone)]
pub(crate) struct FoldedState {
    pub state: Arc<PatientState>,
    pub as_of: u64,
    /// How many records it was folded from, those that were erased one by one too: the same whether it was kept or not.
    pub records: usize,
}

/// Records up to which a state weighs what it was folded from; beyond, what it still holds is counted.
const COUNTED_FROM: usize = 1_000;

impl FoldedState {
    /// Its weight, about in records. One that was folded from very many holds few of them still: it must not be too
    /// heavy to be kept, or else it would be folded anew for every question.
    pub(crate) fn weight(&self) -> usize {
        if self.records < COUNTED_FROM {
            return self.records + 1;
        }
        self.records.min(COUNTED_FROM + self.state.weight())
    }
}

/// See the module.
pub(crate) struct Caches {
    pub vault: Vault,
    /// Data keys and epochs as they are stored.
    pub on_record: OnRecord,
    pub states: Cache<[u8; TAG_LEN], FoldedState>,
    /// Deposits, by entries.
    pub deposits: Cache<u64, Arc<Vec<DepositedItem>>>,
    /// Decisions, by their entries; each weighs as many KiB as it takes.
    pub decisions: Cache<u64, Arc<DecisionRecord>>,
    /// With the size of the log as of which they are in force.
    pub documents: Option<(Arc<Documents>, u64)>,
    /// The nodes whose clocks count, as of the last index commit.
    pub clock_voters: Option<(Arc<ClockVoters>, Option<LeafIndex>)>,
    /// Where the names of requests begin that may still be stored: all before are gone.
    pub asked_from: Vec<u8>,
    /// No patient is still to be told of voided records.
    pub nothing_to_tell: bool,
    /// How many records that decide one tag may have.
    pub caps: RecordCaps,
    /// True if names in it are in their one spelling: they are compared so from feature level 3 on.
    pub spelled: bool,
    /// Signatures of logins that needn't be verified again.
    pub verified: Arc<Verified>,
    /// [`crate::LedgerReader::keys_version`] as of which all of it holds; of no use where one thread applies.
    version: u64,
}

impl Caches {
    pub(crate) fn new(keks: Arc<dyn KekProvider>, origin: Origin, options: &Options, verified: Arc<Verified>) -> Self {
        Self {
            vault: Vault::new(keks, origin, options.data_keys_cached),
            on_record: OnRecord::new(options.wrapped_keys_cached),
            states: Cache::new(options.rule_records_cached),
            deposits: Cache::new(options.opened_cached),
            decisions: Cache::new(options.opened_cached),
            documents: None,
            clock_voters: None,
            asked_from: Vec::new(),
            nothing_to_tell: false,
            caps: options.record_caps,
            spelled: false,
            verified,
            version: 0,
        }
    }

    /// Forgets everything: payloads or keys are gone that it came from, or another database is in use.
    pub(crate) fn clear(&mut self) {
        self.vault.clear();
        self.on_record.clear();
        self.states.clear();
        self.deposits.clear();
        self.decisions.clear();
        self.documents = None;
        self.clock_voters = None;
        self.asked_from.clear();
        self.nothing_to_tell = false;
    }

    /// Forgets what names somebody when names are compared otherwise from now on.
    pub(crate) fn compare(&mut self, spelled: bool) {
        if spelled != self.spelled {
            self.states.clear();
            self.deposits.clear();
            self.documents = None;
            self.spelled = spelled;
        }
    }

    /// Forgets everything when `version` is another one.
    pub(crate) fn renew(&mut self, version: u64) {
        if version != self.version {
            self.clear();
            self.version = version;
        }
    }
}
