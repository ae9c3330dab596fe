//! The checks of a bundle, in the order of `docs/formats.md` §10.

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, TreeSize, leaf_hash};
use sillage_proof::merkle::{ProofError, verify_consistency, verify_inclusion};
use sillage_proof::policy::{Policy, Satisfied};
use sillage_proof::range::{root_from_before, root_from_range};
use sillage_proof::tag::{Identity, WhichTag};
use sillage_proof::vrf::{VrfProof, VrfPublicKey};
use sillage_proto::v1;

use super::entries::{Checked, check_entries};
use super::error::{BundleError, Problem, Section};
use super::report::{Cosigners, Report, SinceReport};
use super::{Bundle, IncludedEntry, Range};
use crate::entry::{Entry, IndexCommit};
use crate::index::{ikey, row};
use crate::kind::Kind;

/// How far ahead of the caller's clock a cosigner's may be: a later time says nothing. In seconds.
const CLOCK_AHEAD_S_MAX: u64 = 300;

/// How old a bundle may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The caller's clock, in seconds since 1970.
    pub now_s: u64,
    /// The most that the quorum's cosignatures and the trace may be old, in seconds.
    pub age_s_max: u64,
}

/// The caller's wishes beyond the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// How old the bundle may be; `None`: any age.
    pub fresh: Option<Freshness>,
}

/// The terms that the genesis entry states, as far as bundles need them.
pub(super) struct Terms {
    pub(super) origin: sillage_proof::batch::Origin,
    vrf_key: VrfPublicKey,
    tags: std::ops::RangeInclusive<[u8; 32]>,
    depth: u32,
    pub(super) late_after_ms: u64,
}

impl Bundle {
    /// Verifies everything against `policy`: whose signatures count.
    ///
    /// # Errors
    /// The first check that fails, and the part of the file that it is about.
    pub fn verify(&self, policy: &Policy, options: &Options) -> Result<Report, BundleError> {
        let satisfied = policy.verify(&self.note).map_err(|error| Section::Checkpoint.err(error))?;
        check_fresh(policy, &satisfied, options).map_err(|problem| Section::Checkpoint.err(problem))?;
        let terms = self.check_genesis(&satisfied).map_err(|problem| Section::Genesis.err(problem))?;
        let commit =
            self.check_commit(&satisfied, &terms, options).map_err(|problem| Section::IndexCommit.err(problem))?;
        self.check_identity(&terms).map_err(|problem| Section::Identity.err(problem))?;
        self.check_row(&commit)?;
        let leaves = self.patient_leaves()?;
        self.check_range(&leaves).map_err(|problem| Section::Range.err(problem))?;
        let entries = check_entries(self, &terms, &commit)?;
        let since = self.check_since(&satisfied).map_err(|problem| Section::Since.err(problem))?;
        Ok(self.report(policy, &satisfied, &commit, entries, since))
    }

    fn check_genesis(&self, satisfied: &Satisfied) -> Result<Terms, Problem> {
        let entry = Entry::decode(&self.genesis.entry)?;
        let Entry::LedgerEvent(event) = entry else {
            return Err(Problem::OtherEntry("the genesis"));
        };
        if event.kind != Kind::GENESIS || event.index != LeafIndex(0) {
            return Err(Problem::OtherEntry("the genesis"));
        }
        let genesis = v1::Genesis::decode(&event.body[..]);
        let genesis = genesis.map_err(|_| Problem::Malformed("the genesis is not protobuf"))?;
        if genesis.version != 1 {
            return Err(Problem::Malformed("a genesis of a version that is not known"));
        }
        let origin = &satisfied.checkpoint.origin;
        if genesis.origin != origin.as_str() {
            return Err(Problem::OtherOrigin(genesis.origin));
        }
        included(&self.genesis, LeafIndex(0), satisfied)?;
        let vrf_key = VrfPublicKey::from_bytes(&genesis.vrf_public_key);
        let tag =
            |bytes: &[u8]| bytes.try_into().map_err(|_| Problem::Malformed("a tag of the genesis is not 32 bytes"));
        Ok(Terms {
            origin: origin.clone(),
            vrf_key: vrf_key.map_err(|_| Problem::Malformed("the genesis has no VRF key"))?,
            tags: tag(&genesis.tag_first)?..=tag(&genesis.tag_last)?,
            depth: genesis.index_depth,
            late_after_ms: genesis.late_after_ms,
        })
    }

    fn check_commit(&self, satisfied: &Satisfied, terms: &Terms, options: &Options) -> Result<IndexCommit, Problem> {
        let Entry::IndexCommit(commit) = Entry::decode(&self.index_commit.entry)? else {
            return Err(Problem::OtherEntry("an index commit"));
        };
        included(&self.index_commit, commit.index, satisfied)?;
        if u32::from(commit.depth) != terms.depth {
            return Err(Problem::Depth { found: commit.depth, expected: terms.depth });
        }
        if let Some(fresh) = options.fresh.filter(|_| !is_last(&commit, satisfied)) {
            let age_s = fresh.now_s.saturating_sub(commit.time.get() / 1_000);
            if age_s > fresh.age_s_max {
                return Err(Problem::OldCommit { age_s, age_s_max: fresh.age_s_max });
            }
        }
        Ok(commit)
    }

    fn check_identity(&self, terms: &Terms) -> Result<(), Problem> {
        let identity = Identity::new(&self.identity.ins, &self.identity.oid)?;
        let proof = VrfProof::from_bytes(&self.identity.proof);
        let proof = proof.map_err(sillage_proof::tag::TagError::from)?;
        self.identity.tag.verify(&terms.vrf_key, &identity, self.identity.which_tag, &proof)?;
        match terms.tags.contains(self.identity.tag.as_bytes()) {
            true => Ok(()),
            false => Err(Problem::TagRange),
        }
    }

    /// The bucket is in the index, and its row, or the lack of one, is that of the range.
    fn check_row(&self, commit: &IndexCommit) -> Result<(), BundleError> {
        let ikey = ikey(self.identity.tag.as_bytes());
        let found = self.bucket.verify(&ikey, commit.depth, &commit.root);
        let found = found.map_err(|error| Section::Bucket.err(error))?;
        let range = &self.range;
        match found {
            None if *range == Range::empty() => Ok(()),
            None => Err(Section::Bucket.err(Problem::Row("has no row of this patient, but entries are shown"))),
            Some(_) if range.n == 0 => {
                Err(Section::Bucket.err(Problem::Row("has a row of this patient, but none of the entries are shown")))
            }
            Some(found) if found == row(&ikey, range.n, &range.mth) => Ok(()),
            Some(_) => Err(Section::Range.err(Problem::Row("has a row of another number of entries, or other ones"))),
        }
    }

    /// The leaves of the patient's tree that the entries make. Their content is checked later.
    fn patient_leaves(&self) -> Result<Vec<Hash>, BundleError> {
        let mut pairs = Vec::with_capacity(self.entries.len());
        for (at, item) in self.entries.iter().enumerate() {
            let line = |index, problem| Section::Entries.err(Problem::Line { at, index, problem });
            let entry = Entry::decode(&item.entry).map_err(|error| line(None, error.into()))?;
            let Entry::Record(entry) = entry else {
                return Err(line(Some(entry.index().get()), super::EntryProblem::NotRecord));
            };
            pairs.push((leaf_hash(&item.entry), entry.record_hash));
        }
        let mut leaves = Vec::with_capacity(pairs.len());
        crate::index::patient_leaves(&pairs, &mut leaves);
        Ok(leaves)
    }

    fn check_range(&self, leaves: &[Hash]) -> Result<(), Problem> {
        let Range { n, a, b, mth, before, after } = &self.range;
        if b.checked_sub(*a) != Some(leaves.len() as u64) {
            return Err(Problem::Malformed("another number of entries than the range says"));
        }
        match root_from_range(*n, *a, leaves, before, after)? == *mth {
            true => Ok(()),
            false => Err(Problem::Proof(ProofError::RootMismatch)),
        }
    }

    fn check_since(&self, satisfied: &Satisfied) -> Result<Option<SinceReport>, Problem> {
        let Some(since) = &self.since else {
            return Ok(None);
        };
        if since.size == 0 {
            return Err(Problem::Malformed("no checkpoint is of size 0"));
        }
        if since.a != self.range.a || self.range.b != self.range.n {
            return Err(Problem::Malformed("a delta goes from where the older bundle ended to the end"));
        }
        let (old, new) = (TreeSize(since.size), satisfied.checkpoint.size);
        verify_consistency(old, new, &since.path, &since.root, &satisfied.checkpoint.root)?;
        Ok(Some(SinceReport { size: old, root: since.root, a: since.a }))
    }

    fn report(
        &self,
        policy: &Policy,
        satisfied: &Satisfied,
        commit: &IndexCommit,
        checked: Checked,
        since: Option<SinceReport>,
    ) -> Report {
        let Range { n, a, b, mth, before, .. } = &self.range;
        Report {
            origin: satisfied.checkpoint.origin.to_string(),
            log_key: satisfied.log.to_string(),
            size: satisfied.checkpoint.size,
            root: satisfied.checkpoint.root,
            cosigners: Cosigners::of(policy, satisfied),
            commit_index: commit.index,
            commit_time_ms: commit.time,
            current: is_last(commit, satisfied),
            ins: self.identity.ins.clone(),
            oid: self.identity.oid.clone(),
            secret: self.identity.which_tag == WhichTag::Secret,
            tag: self.identity.tag,
            n: *n,
            a: *a,
            b: *b,
            mth: *mth,
            mth_before: root_from_before(before),
            entries: checked.entries,
            since,
        }
    }
}

fn included(part: &IncludedEntry, index: LeafIndex, satisfied: &Satisfied) -> Result<(), ProofError> {
    let checkpoint = &satisfied.checkpoint;
    verify_inclusion(&leaf_hash(&part.entry), index, checkpoint.size, &part.path, &checkpoint.root)
}

fn is_last(commit: &IndexCommit, satisfied: &Satisfied) -> bool {
    commit.index.get().checked_add(1) == Some(satisfied.checkpoint.size.get())
}

fn check_fresh(policy: &Policy, satisfied: &Satisfied, options: &Options) -> Result<(), Problem> {
    let Some(Freshness { now_s, age_s_max }) = options.fresh else {
        return Ok(());
    };
    let time_s = policy.quorum_time_s(satisfied).ok_or(Problem::NoTime)?;
    if time_s > now_s.saturating_add(CLOCK_AHEAD_S_MAX) {
        return Err(Problem::NoTime);
    }
    let age_s = now_s.saturating_sub(time_s);
    match age_s > age_s_max {
        true => Err(Problem::Stale { age_s, age_s_max }),
        false => Ok(()),
    }
}
