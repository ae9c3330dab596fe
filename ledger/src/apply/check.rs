//! The checks of a batch. The leader runs it before proposing, apply runs it again: the same code, the same verdict.
//!
//! The author's signature is verified too, on every node: what reaches the log through a leader that lies is refused like
//! any other bad input, before it can have an effect. The node that admitted the batch, and the leader, have verified it
//! already and remember ([`crate::verified`]); the others would have to anyway, before they cosign.

use std::collections::BTreeSet;

use sillage_proof::batch::{BatchLeaf, BatchMessage, batch_root};
use sillage_proof::hash::{Hash, LedgerTimeMs, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, AuthorId, KeyId, SIGNATURE_LEN, StreamId};
use sillage_proto::internal::v1::{SealedBatch, SealedRecord, WrappedKey};
use sillage_rules::act::Act;
use sillage_rules::authority::content_hash;
use sillage_rules::codes::Code;
use sillage_rules::consent::PatientState;
use sillage_rules::entry::batch_leaf;
use sillage_rules::facts;
use sillage_rules::kind::Kind;
use sillage_rules::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, FUTURE_MS_MAX, RECORD_BYTES_MAX, SALT_BYTES};
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::{Roles, signers};
use sillage_rules::stream::StreamLabel;

use super::authority::Cosigned;
pub(crate) use super::erase_keys::check_new_keys;
use crate::consent::Rules;
use crate::consent::caches::Caches;
use crate::envelope::layout;
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::rows::{KeyInfo, KeyState};
use crate::schema::{DataKeyName, NO_PATIENT};
use crate::shared::Shared;
use crate::store::Store;
use crate::verified::Verified;

/// A batch whose fields make sense by themselves, and whose records, as they are to be filed, hash to its root.
pub(crate) struct Shape<'b> {
    pub batch: &'b SealedBatch,
    pub key_id: KeyId,
    pub label: StreamLabel,
    pub root: Hash,
    pub signature: [u8; SIGNATURE_LEN],
    pub records: Vec<Record<'b>>,
    pub new_keys: Vec<(DataKeyName, &'b [u8])>,
}

/// One record of a batch, as far as it can be read without opening it.
pub(crate) struct Record<'b> {
    pub sealed: &'b SealedRecord,
    pub kind: Kind,
    pub tag: [u8; 32],
    pub hash: Hash,
    pub content: Content,
    /// Of an act: the further signatures that came with it.
    pub cosigned: Option<Cosigned>,
}

/// The content of the payload.
pub(crate) enum Content {
    /// Sealed under this data key.
    Sealed([u8; 16]),
    /// An act of the authority, in clear.
    Act(Box<Act>),
}

/// The signer.
pub(crate) struct Signer {
    pub key: KeyInfo,
    pub roles: Roles,
    pub stream_id: StreamId,
    /// Role patient: whose device signed.
    tags: [Option<[u8; 32]>; 2],
    /// Role patient: the registration names no tags, and a state says whose device it is.
    is_sealed_device: bool,
    /// The tags of the batch whose states say so.
    own: BTreeSet<[u8; 32]>,
}

/// The tags that a patient has.
const TAGS_OF_A_PATIENT: usize = 2;

impl Signer {
    /// Finds whose key it is.
    pub(crate) fn of(
        overlay: &Overlay<'_>,
        key_id: &KeyId,
        stream: impl FnOnce(&AuthorId) -> StreamId,
    ) -> Result<Self, Stop> {
        let key = overlay.key(key_id)?;
        let key = key.ok_or_else(|| Refusal::new(Code::UnknownKey, Code::UnknownKey.way_out()))?;
        let party = overlay.party(&key.author_id)?;
        let party = party.ok_or_else(|| ReadError::Damaged("a key's party is missing".into()))?;
        let tags = [&party.patient_tag, &party.patient_secret_tag].map(|tag| tag[..].try_into().ok());
        let is_sealed_device = party.roles().contains(Roles::PATIENT) && !party.patient_commitment.is_empty();
        let (stream_id, roles, own) = (stream(&key.author_id), party.roles(), BTreeSet::new());
        Ok(Self { stream_id, roles, key, tags, is_sealed_device, own })
    }

    /// Tells whether a device of this patient signed.
    pub(crate) fn is_patient(&self, tag: &[u8; 32]) -> bool {
        self.roles.contains(Roles::PATIENT) && (self.tags.contains(&Some(*tag)) || self.own.contains(tag))
    }

    /// Tells whether it is a patient's device of which sealed records alone say whose it is.
    pub(crate) fn is_sealed_device(&self) -> bool {
        self.is_sealed_device
    }

    /// Tells whether a device of the patient with this state signed.
    pub(crate) fn is_device_of(&self, state: &PatientState) -> bool {
        self.is_sealed_device && state.has_device(&self.key.author_id)
    }

    /// Finds out whose device signed, where it signs what only the patient's device may.
    pub(crate) fn find_patient(
        &mut self,
        overlay: &Overlay<'_>,
        rules: &mut Rules<'_>,
        shape: &Shape<'_>,
    ) -> Result<(), Stop> {
        if !self.is_sealed_device {
            return Ok(());
        }
        let decides = |record: &&Record<'_>| record.tag != NO_PATIENT && self.roles.may_decide(record.kind);
        let tags: BTreeSet<[u8; 32]> = shape.records.iter().filter(decides).map(|record| record.tag).collect();
        if tags.len() > TAGS_OF_A_PATIENT && !shape.records.iter().all(|record| self.roles.may_sign(record.kind)) {
            let what = "a patient's own device signs for the patient alone, and this batch is of several patients";
            return Err(Refusal::new(Code::NotEntitled, what).into());
        }
        for tag in tags.into_iter().take(TAGS_OF_A_PATIENT) {
            if self.is_device_of(rules.state(overlay, &tag)?) {
                self.own.insert(tag);
            }
        }
        Ok(())
    }
}

/// Says which roles may sign a kind.
fn not_a_signer(kind: Kind) -> String {
    let (kind, roles) = (kind.token(), signers(kind));
    format!("none of the party's roles may sign {kind}, but {roles} may: ask the authority for one of them")
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::new(Code::MalformedRequest, what)
}

impl<'b> Shape<'b> {
    /// Checks bounds, layouts and the root.
    pub(crate) fn of(batch: &'b SealedBatch) -> Result<Self, Refusal> {
        if batch.alg != u32::from(ALG_ED25519) {
            return Err(malformed("unknown signature algorithm: use 1 (Ed25519)"));
        }
        let key_id = KeyId::from_slice(&batch.key_id);
        let root = Hash::from_slice(&batch.root);
        let signature = <[u8; SIGNATURE_LEN]>::try_from(&batch.signature[..]);
        let label = StreamLabel::parse(&batch.stream_label)
            .map_err(|error| Refusal::new(Code::InvalidStreamLabel, error.to_string()))?;
        if batch.seq == 0 {
            return Err(malformed("sequence numbers start at 1"));
        }
        let count = batch.records.len();
        if count == 0 {
            return Err(Refusal::new(Code::EmptyBatch, Code::EmptyBatch.way_out()));
        }
        if count > BATCH_RECORDS_MAX {
            return Err(Refusal::new(Code::TooManyRecords, Code::TooManyRecords.way_out()));
        }
        let mut records = Vec::with_capacity(count);
        let mut bytes = 0_usize;
        for (position, sealed) in (0_u32..).zip(&batch.records) {
            bytes = bytes.saturating_add(sealed.payload.len());
            records.push(Record::of(sealed).map_err(|refusal| refusal.at(position))?);
        }
        if bytes > BATCH_BYTES_MAX + count * layout::OVERHEAD {
            return Err(Refusal::new(Code::BatchTooLarge, Code::BatchTooLarge.way_out()));
        }
        let shape = Self {
            batch,
            key_id: key_id.map_err(|_| malformed("a key id is 32 bytes"))?,
            label,
            root: root.map_err(|_| malformed("a root is 32 bytes"))?,
            signature: signature.map_err(|_| malformed("a signature is 64 bytes"))?,
            records,
            new_keys: new_keys(batch)?,
        };
        let leaves: Vec<BatchLeaf> = shape.records.iter().map(Record::batch_leaf).collect();
        if batch_root(&leaves) != shape.root {
            return Err(Refusal::new(Code::RootMismatch, Code::RootMismatch.way_out()));
        }
        Ok(shape)
    }

    /// Number of records.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.records.len()).expect("a batch has at most 4,096 records")
    }

    /// Finds who signed.
    pub(crate) fn signer(&self, overlay: &Overlay<'_>) -> Result<Signer, Stop> {
        Signer::of(overlay, &self.key_id, |author| self.label.stream_id(author))
    }

    /// Tells whether the signer may sign these records, in a group of this feature level.
    pub(crate) fn check_rights(&self, signer: &Signer, level: u32) -> Result<(), Refusal> {
        if signer.key.state != KeyState::Active {
            return Err(Refusal::new(Code::RevokedKey, Code::RevokedKey.way_out()));
        }
        for (position, record) in (0_u32..).zip(&self.records) {
            if record.kind.is_reserved_at(level) {
                return Err(Refusal::new(Code::KindReserved, Code::KindReserved.way_out()).at(position));
            }
            // What an act needs is checked with the act.
            let is_act = matches!(record.content, Content::Act(_));
            let decides = signer.is_patient(&record.tag) && signer.roles.may_decide(record.kind);
            if !is_act && !decides && !signer.roles.may_sign_at(record.kind, level) {
                let message = not_a_signer(record.kind);
                return Err(Refusal::new(Code::NotEntitled, message).at(position));
            }
        }
        Ok(())
    }

    /// Tells whether the records belong into this log, now.
    pub(crate) fn check_records(&self, genesis: &GenesisInfo, time: LedgerTimeMs) -> Result<(), Refusal> {
        for (position, record) in (0_u32..).zip(&self.records) {
            if record.tag != NO_PATIENT && !genesis.covers(&record.tag) {
                let code = Code::TagOutOfRange;
                return Err(Refusal::new(code, code.way_out()).at(position));
            }
            if record.sealed.occurred_at_ms > time.get().saturating_add(FUTURE_MS_MAX) {
                let code = Code::TimeAhead;
                return Err(Refusal::new(code, code.way_out()).at(position));
            }
        }
        for ((tag, _), _) in &self.new_keys {
            if *tag != NO_PATIENT && !genesis.covers(tag) {
                return Err(Refusal::new(Code::TagOutOfRange, Code::TagOutOfRange.way_out()));
            }
        }
        Ok(())
    }

    /// Tells whether every payload can be opened again: its data key is on record, or comes along.
    pub(crate) fn check_data_keys(&self, overlay: &Overlay<'_>, caches: &mut Caches) -> Result<(), Stop> {
        check_new_keys(overlay, &caches.vault, &self.new_keys)?;
        let new: BTreeSet<DataKeyName> = self.new_keys.iter().map(|(name, _)| *name).collect();
        let mut unused = new.clone();
        for (position, record) in (0_u32..).zip(&self.records) {
            let Content::Sealed(id) = record.content else {
                continue;
            };
            let name = (record.tag, id);
            if new.contains(&name) {
                unused.remove(&name);
                continue;
            }
            if caches.on_record.key(overlay, &name)?.is_none() {
                if overlay.is_gone(&name)? {
                    return Err(Refusal::new(Code::DataKeyGone, Code::DataKeyGone.way_out()).into());
                }
                let what = "the payload's data key is neither on record nor with the batch";
                return Err(malformed(what).at(position).into());
            }
        }
        if !unused.is_empty() {
            return Err(malformed("a new data key that no record of the batch is sealed under").into());
        }
        Ok(())
    }

    /// Verifies the author's signature, unless this process has.
    pub(crate) fn verify(&self, genesis: &GenesisInfo, signer: &Signer, verified: &Verified) -> Result<(), Refusal> {
        let message = BatchMessage {
            key_id: self.key_id,
            origin: genesis.origin.clone(),
            stream_id: signer.stream_id,
            seq: self.batch.seq,
            count: self.count(),
            root: self.root,
        };
        let good = verified.or_verify(&message.encode(), &self.signature, || {
            let key = verified.key(&signer.key);
            key.is_ok_and(|key| message.verify(&key, &self.signature).is_ok())
        });
        match good {
            true => Ok(()),
            false => Err(Refusal::new(Code::BadSignature, Code::BadSignature.way_out())),
        }
    }
}

/// Tells whether the author signed this batch. Each node answers for what it takes from authors and, when it leads, for what
/// other nodes hand it.
pub(crate) fn verify_only(shared: &Shared, store: &Store, batch: &SealedBatch) -> Result<(), Stop> {
    let shape = Shape::of(batch)?;
    let signer = shape.signer(&Overlay::new(store))?;
    Ok(shape.verify(&shared.genesis, &signer, &shared.verified)?)
}

impl<'b> Record<'b> {
    fn of(sealed: &'b SealedRecord) -> Result<Self, Refusal> {
        let kind = Kind::from_code(sealed.kind).map_err(|error| Refusal::new(Code::UnknownKind, error.to_string()))?;
        if kind.made_by_ledger() {
            return Err(Refusal::new(Code::KindReserved, Code::KindReserved.way_out()));
        }
        let tag = <[u8; 32]>::try_from(&sealed.tag[..]).map_err(|_| malformed("a tag is 32 bytes"))?;
        if tag == NO_PATIENT && kind.needs_patient() || tag != NO_PATIENT && !kind.has_patient() {
            let what = format!("a record of kind {kind} carries a patient's tag, or none, against its kind");
            return Err(Refusal::new(Code::MalformedRecord, what));
        }
        let hash = Hash::from_slice(&sealed.record_hash).map_err(|_| malformed("a record hash is 32 bytes"))?;
        let without_basis = sealed.facts & facts::CITES != 0 && sealed.facts & facts::HAS_BASIS == 0;
        if sealed.facts & !facts::ALL != 0 || without_basis {
            return Err(malformed("unknown facts"));
        }
        let (content, cosigned) = match kind.is_act() {
            true => {
                let (act, cosigned) = act(sealed, &tag, hash)?;
                (Content::Act(Box::new(act)), Some(cosigned))
            }
            false => (Content::Sealed(sealed_under(&sealed.payload)?), None),
        };
        Ok(Self { sealed, kind, tag, hash, content, cosigned })
    }

    /// The leaf that its author signed of it, if it is to be filed as its author meant.
    fn batch_leaf(&self) -> BatchLeaf {
        batch_leaf(self.kind, facts::stated(self.sealed.facts), self.tag, self.hash)
    }
}

fn sealed_under(payload: &[u8]) -> Result<[u8; 16], Refusal> {
    if payload.len() > RECORD_BYTES_MAX + SALT_BYTES + layout::OVERHEAD {
        return Err(Refusal::new(Code::RecordTooLarge, Code::RecordTooLarge.way_out()));
    }
    layout::data_key_id(payload).ok_or_else(|| malformed("a payload isn't sealed as docs/formats.md §8 says"))
}

/// Reads an act: it stands in clear, so its hash and its fields can be checked.
fn act(sealed: &SealedRecord, tag: &[u8; 32], hash: Hash) -> Result<(Act, Cosigned), Refusal> {
    if sealed.payload.len() > RECORD_BYTES_MAX + SALT_BYTES {
        return Err(Refusal::new(Code::RecordTooLarge, Code::RecordTooLarge.way_out()));
    }
    let record = sealed.payload.get(SALT_BYTES..);
    let record = record.ok_or_else(|| malformed("an act's payload is its salt and its record"))?;
    if leaf_hash(&sealed.payload) != hash {
        let what = "an act's salt and record don't hash to its record hash";
        return Err(Refusal::new(Code::RootMismatch, what));
    }
    let parsed = ParsedRecord::parse(record).map_err(|error| Refusal::new(error.code, error.to_string()))?;
    let message = parsed.message();
    let same = message.kind == sealed.kind
        && parsed.entry_tag() == *tag
        && message.occurred_at_ms == sealed.occurred_at_ms
        && facts::facts_of(&parsed) == sealed.facts;
    if !same {
        return Err(malformed("an act's record says something else than what goes with it"));
    }
    let cosigned = Cosigned { content: content_hash(message), signatures: message.signatures.clone() };
    let act = parsed.act().cloned();
    let act = act.ok_or_else(|| Refusal::new(Code::MalformedRecord, "an act's record has no `act`"))?;
    Ok((act, cosigned))
}

fn new_keys(batch: &SealedBatch) -> Result<Vec<(DataKeyName, &[u8])>, Refusal> {
    if batch.new_keys.len() > batch.records.len() {
        return Err(malformed("more new data keys than records"));
    }
    wrapped_keys(&batch.new_keys)
}

/// Wrapped data keys, each with its name.
pub(crate) fn wrapped_keys(keys: &[WrappedKey]) -> Result<Vec<(DataKeyName, &[u8])>, Refusal> {
    let keys = keys.iter().map(|key| {
        let tag = <[u8; 32]>::try_from(&key.tag[..]).ok()?;
        let id = <[u8; 16]>::try_from(&key.data_key_id[..]).ok()?;
        let wrapped = layout::is_wrapped(&key.wrapped).then_some(&key.wrapped[..])?;
        Some(((tag, id), wrapped))
    });
    keys.collect::<Option<_>>().ok_or_else(|| malformed("a data key isn't wrapped as docs/formats.md §8 says"))
}
