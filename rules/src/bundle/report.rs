//! The findings of a verified bundle.

use serde::Serialize;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize};
use sillage_proof::keys::KeyId;
use sillage_proof::policy::{Policy, Satisfied};
use sillage_proof::tag::PatientTag;

use crate::cosigner::{GROUP_AUDITORS, GROUP_NODES, GROUP_WITNESSES};
use crate::entry::UnjustifiedReason;

/// The proven facts, by whose signatures, and as of when. Serialised as `docs/vectors/bundle.json` has it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log.
    pub origin: String,
    /// The log's key that signed the checkpoint, as a vkey.
    pub log_key: String,
    /// The size of the checkpoint.
    pub size: TreeSize,
    /// The root of the checkpoint.
    pub root: Hash,
    /// The cosigners.
    pub cosigners: Cosigners,
    /// The index commit: everything below was looked at.
    pub commit_index: LeafIndex,
    /// The ledger time of the index commit: the trace is as of then.
    pub commit_time_ms: LedgerTimeMs,
    /// True if the index commit is the checkpoint's last entry: nothing in the checkpoint is younger.
    pub current: bool,
    /// The INS of the patient.
    pub ins: String,
    /// Its OID.
    pub oid: String,
    /// True if it is the trace that a minor keeps from representatives.
    pub secret: bool,
    /// The tag that the identity was proven to have.
    pub tag: PatientTag,
    /// How many entries the patient has in all; 0: proven to be absent.
    pub n: u64,
    /// The first entry shown, from 0.
    pub a: u64,
    /// Behind the last entry shown.
    pub b: u64,
    /// The root of the patient's tree.
    pub mth: Hash,
    /// The root of the tree of the patient's first `a` entries.
    pub mth_before: Hash,
    /// The entries shown.
    pub entries: Vec<EntryReport>,
    /// In a delta, what it continues.
    pub since: Option<SinceReport>,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Report(entries {} to {} of {})", self.a, self.b, self.n)
    }
}

impl Report {
    /// Tells whether every entry of the patient is shown.
    pub fn is_whole(&self) -> bool {
        self.a == 0 && self.b == self.n
    }
}

/// The cosigners of a checkpoint, by the groups of the policy (`docs/formats.md` §12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cosigners {
    /// Of the group `nodes`.
    pub nodes: Vec<Cosigned>,
    /// How many are in the group `nodes`.
    pub nodes_known: usize,
    /// Of the group `witnesses`.
    pub witnesses: Vec<Cosigned>,
    /// How many are in the group `witnesses`.
    pub witnesses_known: usize,
    /// Of the group `auditors`.
    pub auditors: Vec<Cosigned>,
    /// How many are in the group `auditors`.
    pub auditors_known: usize,
    /// Of none of these groups.
    pub others: Vec<Cosigned>,
}

/// A cosignature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cosigned {
    /// The cosigner's name in the policy.
    pub name: String,
    /// The name of its key.
    pub key: String,
    /// When, in seconds since 1970.
    pub time_s: u64,
}

impl Cosigners {
    /// Sorts the cosignatures of a checkpoint by the groups of its policy.
    pub fn of(policy: &Policy, satisfied: &Satisfied) -> Self {
        let group = |name: &str| policy.group(name).into_iter().map(|witness| &witness.name).collect::<Vec<_>>();
        let [nodes, witnesses, auditors] = [GROUP_NODES, GROUP_WITNESSES, GROUP_AUDITORS].map(group);
        let mut out = Self {
            nodes: Vec::new(),
            nodes_known: nodes.len(),
            witnesses: Vec::new(),
            witnesses_known: witnesses.len(),
            auditors: Vec::new(),
            auditors_known: auditors.len(),
            others: Vec::new(),
        };
        for cosigned in &satisfied.witnesses {
            let list = match &cosigned.name {
                name if nodes.contains(&name) => &mut out.nodes,
                name if auditors.contains(&name) => &mut out.auditors,
                name if witnesses.contains(&name) => &mut out.witnesses,
                _ => &mut out.others,
            };
            list.push(Cosigned {
                name: String::from_utf8_lossy(&cosigned.name).into_owned(),
                key: cosigned.key_name.clone(),
                time_s: cosigned.time_s,
            });
        }
        out
    }
}

/// One entry of the patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When the ledger took it.
    pub time_ms: LedgerTimeMs,
    /// Its content.
    pub kind: &'static str,
    /// Its flags.
    pub flags: Vec<&'static str>,
    /// Why it is `UNJUSTIFIED`, where it is.
    pub unjustified_reason: Option<UnjustifiedReason>,
    /// The id of the key that signed it; none for what the ledger made itself.
    pub key_id: Option<KeyId>,
    /// The service's name, as the node said.
    pub author: Option<String>,
    /// The state of its record: shown, erased or withheld.
    pub state: State,
    /// The act that voided it, as the bundle says: it counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided_by: Option<LeafIndex>,
}

/// The state of an entry's record: there, or the reason why it isn't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Shown,
    /// It was erased, and this entry of the trace says so.
    Erased(ErasedBy),
    /// It isn't, and no erasure in the bundle names it: the page ends before the trace does.
    Withheld,
}

/// The entry that erased a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasedBy {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When the ledger took it.
    pub time_ms: LedgerTimeMs,
    /// Why.
    pub ground: String,
}

/// The bundle that a delta continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinceReport {
    /// The size of the older checkpoint.
    pub size: TreeSize,
    /// The root of the older checkpoint.
    pub root: Hash,
    /// How many entries the older bundle proved.
    pub a: u64,
}
