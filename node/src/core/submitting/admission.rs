//! The checks that a batch passes on the node that takes it, before anyone else hears of it.
//!
//! The cheapest checks come first, and the signature before everything that costs: bounds, key, role, signature, quota,
//! then every record, the root, the sealing. After this no health data and no identity is in clear, except in acts of
//! the authority, which are public by nature. The work takes from 100 µs to 50 ms of one core: not for an async task.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use prost::bytes::Bytes;
use sillage_ledger::seal::{self, Sealer};
use sillage_ledger::{
    CLAIMS, DOORS, GenesisInfo, KeyInfo, KeyState, LedgerReader, Party, ROLES, Refusal, check_act, check_given_out,
    check_kind, check_tags_hidden,
};
use sillage_proof::batch::{BatchLeaf, BatchMessage, batch_root};
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, hash_leaves};
use sillage_proof::keys::{ALG_ED25519, AuthorId, KeyId, PublicKey, StreamId};
use sillage_proto::internal::v1::{SealedBatch, SealedRecord};
use sillage_proto::v1::{Batch, SaltedRecord};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::consent::event::items_looked_up;
use sillage_rules::consent::name::check_reserved;
use sillage_rules::consent::{Actor, Event, Meta, Spell, Spelled, spelling};
use sillage_rules::doors::DoorRecord;
use sillage_rules::facts;
use sillage_rules::kind::Group;
use sillage_rules::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, CALL_ITEMS_MAX, RECORD_BYTES_MAX, SALT_BYTES};
use sillage_rules::record::{ParsedRecord, RecordError, check_time};
use sillage_rules::roles::{Roles, signers};
use sillage_rules::stream::StreamLabel;
use sillage_rules::vouching::{ANY, Claim, Vouched, check_own_word, claims_of_record};

use crate::core::disclose::devices::{Devices, is_patient_itself};
use crate::quota::Quotas;
use crate::refusals::{from_read, over_quota, refuse};

/// Public keys kept decompressed.
const KEYS_MAX: usize = 4_096;

/// A batch that may go to the leader.
#[derive(Debug)]
pub struct Admitted {
    /// As it will stand in the Raft log.
    pub batch: SealedBatch,
    /// True if it holds a record of an emergency.
    pub urgent: bool,
    /// Its share of its author's quota.
    pub events: u32,
}

/// See the module.
pub struct Admission {
    pub(in crate::core) reader: LedgerReader,
    pub(in crate::core) sealer: Arc<Sealer>,
    devices: Devices,
    quotas: Quotas<AuthorId>,
    /// Of those who may sign nothing any more, and ask what is on record.
    pub(super) ended: Quotas<AuthorId>,
    keys: Mutex<HashMap<KeyId, PublicKey>>,
}

/// The findings about a party in one call: records name the same few structures and systems over and over.
pub(super) type VouchedNames = HashSet<(Vouched, String)>;

/// The patient whose device signs a batch or asks, as far as the tags before showed.
#[derive(Default)]
pub(super) struct OwnTag {
    /// Tags that were looked up, and whether the party acts for their patient.
    known: Vec<([u8; 32], bool)>,
}

impl OwnTag {
    /// The party, with the tag as its own where it is that patient's device. A patient has two tags: a batch under more
    /// of them isn't one patient's, and no further one is looked up.
    pub(in crate::core) fn of<'p>(
        &mut self,
        admission: &Admission,
        party: &'p Party,
        tag: Option<&[u8; 32]>,
    ) -> Result<Cow<'p, Party>, Refusal> {
        let Some(tag) = tag.filter(|_| party.patient_commitment.is_some()) else {
            return Ok(Cow::Borrowed(party));
        };
        let known = self.known.iter().find(|(known, _)| known == tag).map(|(_, own)| *own);
        let own = match known {
            Some(own) => own,
            None if self.known.len() >= 2 => false,
            None => {
                let own = admission.devices.acts_for(party, tag)?;
                self.known.push((*tag, own));
                own
            }
        };
        Ok(match own {
            true => Cow::Owned(Party { patient_tag: Some(*tag), ..party.clone() }),
            false => Cow::Borrowed(party),
        })
    }
}

/// The fields of a batch, in their types.
pub(crate) struct Header {
    pub(super) key_id: KeyId,
    pub(super) label: StreamLabel,
    pub(super) seq: u64,
    pub(super) root: Hash,
}

impl Admission {
    /// Against what `reader` knows, sealing with `sealer`; `devices` tells whose device signs.
    pub fn new(reader: LedgerReader, sealer: Arc<Sealer>, devices: Devices) -> Self {
        Self { reader, sealer, devices, quotas: Quotas::default(), ended: Quotas::default(), keys: Mutex::default() }
    }

    /// Checks and seals. `clock` is what time it is, and the latest that it may be by any clock of the group, both in
    /// milliseconds since 1970: what none of them has reached is ahead of time. `from` is the party whose certificate it
    /// came with, where it came with one.
    ///
    /// # Errors
    /// The fault. Nothing was recorded, and of the quota only what the caller's own signature proved.
    pub fn admit(&self, batch: &Batch, clock: (u64, u64), from: Option<AuthorId>) -> Result<Admitted, Refusal> {
        let header = check_bounds(batch)?;
        let (key, party) = self.signer(&header.key_id)?;
        // Another's certificate would keep the author from being known by its connections, and from being shut out.
        if from.is_some_and(|caller| caller != party.author_id) && self.reader.feature_level() >= ROLES {
            let message =
                "the batch is signed by another party than the one that calls: call with its author's own certificate";
            return Err(Refusal::new(Code::NotEntitled, message));
        }
        let stream_id = header.label.stream_id(&party.author_id);
        self.check_signature(batch, &header, &key, stream_id)?;
        let already = self.is_on_record(&stream_id, &header)?;
        // What is on record gets its answer again, even if the key was replaced or the role taken away meanwhile, whatever the
        // clock and the rules of today say of its records: apply compares it with what is there. It goes through the Raft log
        // once more, so it counts once more.
        if !already {
            check_key_state(&key)?;
        }
        self.take_quota(&party, batch.records.len())?;
        let genesis = self.reader.genesis();
        let spelled = self.reader.feature_level() >= ROLES;
        let mut records = Vec::with_capacity(batch.records.len());
        let mut vouched = VouchedNames::default();
        let mut own = OwnTag::default();
        for (salted, position) in batch.records.iter().zip(0..) {
            let record = Plain::parse(salted).map_err(|error| of_record(error, position))?;
            if !already {
                check_record(&record, genesis, spelled, clock).map_err(|error| of_record(error, position))?;
                let party = own.of(self, &party, record.parsed.tag()).map_err(|refusal| refusal.at(position))?;
                self.check_new(&party, &record.parsed, &mut vouched).map_err(|refusal| refusal.at(position))?;
                self.reader.check_will(&record.parsed, clock.1).map_err(|refusal| refusal.at(position))?;
            }
            records.push(record);
        }
        let items = || records.iter().map(|record| items_looked_up(record.parsed.message()));
        if items().sum::<usize>() > CALL_ITEMS_MAX {
            let what = format!(
                "the records deposit, change, embargo and release over {CALL_ITEMS_MAX} items: split the batch"
            );
            return Err(Refusal::new(Code::BatchTooLarge, what));
        }
        let beyond = items().map(|items| items.saturating_sub(1)).sum();
        self.charge_quota(&party, beyond);
        let hashes = record_hashes(&records);
        let leaves: Vec<BatchLeaf> =
            records.iter().zip(&hashes).map(|(record, hash)| record.parsed.batch_leaf(*hash)).collect();
        if batch_root(&leaves) != header.root {
            return Err(refuse(Code::RootMismatch));
        }
        let urgent = records.iter().any(|record| record.parsed.kind().group() == Group::Emergency);
        let batch = match already {
            true => self.withheld(batch, &records, &hashes),
            false => self.seal(batch, &header, &stream_id, &records, &hashes)?,
        };
        let events = u32::try_from(records.len() + beyond).unwrap_or(u32::MAX);
        Ok(Admitted { batch, urgent, events })
    }

    /// Checks a record that isn't on record yet: the group knows it, its signer may sign it, and vouches for whom
    /// it names.
    fn check_new(&self, party: &Party, record: &ParsedRecord, vouched: &mut VouchedNames) -> Result<(), Refusal> {
        if let Some(act) = record.act() {
            let level = self.reader.feature_level();
            check_act(act, level)?;
            let mut given_out = act.gives_out();
            if let Act::RolesChanged { author_id, .. } = act
                && let Some(named) = self.reader.party(author_id).map_err(|error| from_read(&error))?
            {
                given_out = given_out.without(named.roles);
            }
            check_given_out(given_out, level)?;
            if let Act::Registered(registered) = act {
                check_tags_hidden(registered, level)?;
            }
        }
        let level = self.reader.feature_level();
        check_kind(record.kind(), level)?;
        check_role(party, record, level)?;
        if level >= CLAIMS {
            let authority = party.roles.contains(Roles::AUTHORITY);
            check_reserved(record.message(), &party.author_id, authority)
                .map_err(|error| Refusal::new(error.code, error.to_string()))?;
        }
        if level < CLAIMS && !record.kind().is_act() && !record.message().signatures.is_empty() {
            let what = "not every node of this log knows signatures beside such a record yet: update all of them";
            return Err(Refusal::new(Code::MalformedRecord, what));
        }
        if record.kind().is_act() || !party.roles.is_bound() {
            return Ok(());
        }
        let event = Event::of(record).map_err(|error| Refusal::new(error.code, error.to_string()))?;
        let door = match level >= DOORS {
            true => DoorRecord::of(record).map_err(|error| Refusal::new(error.code, error.to_string()))?,
            false => None,
        };
        let actor = Actor::of(record.message()).ok();
        let by_authority = party.roles.contains(Roles::AUTHORITY) && signers(record.kind()).contains(Roles::AUTHORITY);
        let by_patient = record.tag().is_some_and(|tag| is_patient_itself(party, tag));
        let by_patient = by_patient && actor.as_ref().is_some_and(|actor| actor.name.is_patient());
        if by_authority || by_patient {
            return Ok(());
        }
        if !party.roles.may_sign(record.kind()) {
            let what = "a patient's own device signs for the patient alone: others sign through a service";
            return Err(Refusal::new(Code::NotEntitled, what));
        }
        if let (Some(event), Some(actor)) = (&event, &actor)
            && let Err(error) = check_own_word(event, &actor.name)
        {
            // In a test log a party may vouch for everybody, and for their own word.
            let any = Claim { path: "actor", what: Vouched::Structure, name: ANY };
            let found = self.reader.vouches_for(&party.author_id, &[any]);
            found.map_err(|error| from_read(&error))?.map_err(|_| Refusal::new(error.code, error.to_string()))?;
        }
        let mut claims = claims_of_record(record, event.as_ref());
        if let Some(DoorRecord::Heartbeat(heartbeat)) = &door {
            claims.push(Claim { path: "details.structure", what: Vouched::Structure, name: &heartbeat.structure });
        }
        self.check_claims(party, &claims, vouched)
    }

    /// Tells whether the party vouches for whom a record or a request names.
    pub(super) fn check_claims(
        &self,
        party: &Party,
        claims: &[Claim<'_>],
        vouched: &mut VouchedNames,
    ) -> Result<(), Refusal> {
        for claim in claims {
            let name = (claim.what, claim.name.to_owned());
            if vouched.contains(&name) {
                continue;
            }
            let found = self.reader.vouches_for(&party.author_id, std::slice::from_ref(claim));
            found.map_err(|error| from_read(&error))??;
            vouched.insert(name);
        }
        Ok(())
    }

    /// The key that signs and whose it is.
    pub(in crate::core) fn signer(&self, key_id: &KeyId) -> Result<(KeyInfo, Party), Refusal> {
        let unknown = || refuse(Code::UnknownKey);
        let key = self.reader.key(key_id).map_err(|error| from_read(&error))?;
        let key = key.ok_or_else(unknown)?;
        let party = self.reader.party(&key.author_id);
        let party = party.map_err(|error| from_read(&error))?;
        Ok((key, party.ok_or_else(unknown)?))
    }

    pub(super) fn check_signature(
        &self,
        batch: &Batch,
        header: &Header,
        key: &KeyInfo,
        stream_id: StreamId,
    ) -> Result<(), Refusal> {
        let message = BatchMessage {
            key_id: header.key_id,
            origin: self.reader.genesis().origin.clone(),
            stream_id,
            seq: header.seq,
            count: u32::try_from(batch.records.len()).expect("bounds were checked"),
            root: header.root,
        };
        let verifier = self.verifier(key)?;
        message.verify(&verifier, &batch.signature).map_err(|_| refuse(Code::BadSignature))?;
        self.reader.verified().add(&message.encode(), &batch.signature);
        Ok(())
    }

    /// The key ready to verify with; a key id names one key for ever.
    pub(in crate::core) fn verifier(&self, key: &KeyInfo) -> Result<PublicKey, Refusal> {
        if let Some(known) = self.keys.lock().get(&key.key_id) {
            return Ok(*known);
        }
        let verifier = key.verifier().map_err(|_| refuse(Code::Corrupt))?;
        let mut keys = self.keys.lock();
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.key_id, verifier);
        Ok(verifier)
    }

    fn is_on_record(&self, stream_id: &StreamId, header: &Header) -> Result<bool, Refusal> {
        let stream = self.reader.stream(stream_id);
        let stream = stream.map_err(|error| from_read(&error))?;
        Ok(stream.is_some_and(|stream| header.seq <= stream.last_seq))
    }

    /// Events a second that a party may have; `None`: as many as it likes.
    fn quota(&self, party: &Party) -> Option<u32> {
        let rate = match party.quota_events_per_s {
            0 => self.reader.genesis().quota_events_per_s,
            own => own,
        };
        // 0 in genesis too: no quota.
        (rate > 0).then_some(rate)
    }

    /// Counts events of a party. An event is a record, a request or a reading, and so is each item beyond one of those that
    /// apply looks up or writes down. Of the whole group, as the leader counts what others hand to it.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when the party has none left; nothing was counted then.
    pub(in crate::core) fn take_quota(&self, party: &Party, events: usize) -> Result<(), Refusal> {
        let Some(rate) = self.quota(party) else { return Ok(()) };
        self.quotas.take(party.author_id, rate.into(), events as u64).map_err(|exceeded| {
            let what = format!("the caller is over its quota of {rate} events a second");
            over_quota(Code::QuotaExceeded, &what, exceeded)
        })
    }

    /// Counts events that can't be refused any more: the party pays them off before it has others.
    pub(in crate::core) fn charge_quota(&self, party: &Party, events: usize) {
        if let Some(rate) = self.quota(party) {
            self.quotas.charge(party.author_id, rate.into(), events as u64);
        }
    }

    fn seal(
        &self,
        batch: &Batch,
        header: &Header,
        stream_id: &StreamId,
        records: &[Plain],
        hashes: &[Hash],
    ) -> Result<SealedBatch, Refusal> {
        let plain: Vec<seal::Plain<'_>> = records.iter().map(Plain::to_seal).collect();
        let sealed = self.sealer.seal_batch(*stream_id, header.seq, &plain);
        let sealed = sealed.map_err(|error| {
            tracing::error!(%error, "sealing failed");
            refuse(Code::Internal)
        })?;
        let mut new_keys = sealed.new_keys;
        new_keys.retain(|key| {
            let mut sealed = records.iter().filter(|record| !record.is_act());
            sealed.any(|record| record.parsed.entry_tag()[..] == key.tag[..])
        });
        Ok(SealedBatch { new_keys, ..sealed_batch(batch, records, hashes, sealed.payloads) })
    }

    /// A batch that is on record already gets its answer without its payloads, or else what was erased would come into
    /// the Raft log again with it.
    fn withheld(&self, batch: &Batch, records: &[Plain], hashes: &[Hash]) -> SealedBatch {
        let nothing = Bytes::from(seal::layout::nothing());
        sealed_batch(batch, records, hashes, vec![nothing; records.len()])
    }
}

fn sealed_batch(batch: &Batch, records: &[Plain], hashes: &[Hash], payloads: Vec<Bytes>) -> SealedBatch {
    let records = records.iter().zip(hashes).zip(payloads);
    let records = records.map(|((record, hash), payload)| SealedRecord {
        kind: record.parsed.kind().code().into(),
        tag: Bytes::copy_from_slice(&record.parsed.entry_tag()),
        record_hash: Bytes::copy_from_slice(hash.as_bytes()),
        // An act stays in clear: what was sealed in its place is thrown away.
        payload: if record.is_act() { record.bytes.clone().into() } else { payload },
        occurred_at_ms: record.parsed.occurred_at_ms(),
        facts: facts::facts_of(&record.parsed),
    });
    SealedBatch {
        alg: batch.alg,
        key_id: batch.key_id.clone(),
        stream_label: batch.stream_label.clone(),
        seq: batch.seq,
        root: batch.root.clone(),
        signature: batch.signature.clone(),
        records: records.collect(),
        new_keys: Vec::new(),
    }
}

/// A record in clear.
pub(crate) struct Plain {
    /// `salt ‖ record`: what is hashed.
    bytes: Vec<u8>,
    salt: [u8; SALT_BYTES],
    pub(super) parsed: ParsedRecord,
}

impl Plain {
    pub(crate) fn parse(salted: &SaltedRecord) -> Result<Self, RecordError> {
        let parsed = ParsedRecord::parse(&salted.record)?;
        Ok(Self {
            bytes: [&salted.salt[..], &salted.record[..]].concat(),
            salt: salted.salt[..].try_into().expect("bounds were checked"),
            parsed,
        })
    }

    fn is_act(&self) -> bool {
        self.parsed.kind().is_act()
    }

    fn to_seal(&self) -> seal::Plain<'_> {
        seal::Plain { tag: self.parsed.entry_tag(), salt: &self.salt, record: self.parsed.bytes() }
    }
}

pub(super) fn record_hashes(records: &[Plain]) -> Vec<Hash> {
    let inputs: Vec<&[u8]> = records.iter().map(|record| &record.bytes[..]).collect();
    let mut hashes = Vec::with_capacity(inputs.len());
    hash_leaves(&inputs, &mut hashes);
    hashes
}

/// Checks that need no look-up.
pub(crate) fn check_bounds(batch: &Batch) -> Result<Header, Refusal> {
    let malformed = |what: &str| Refusal::new(Code::MalformedRequest, what.to_owned());
    if batch.alg != u32::from(ALG_ED25519) {
        return Err(malformed("the signature algorithm isn't known: 1 is Ed25519"));
    }
    if batch.records.is_empty() {
        return Err(refuse(Code::EmptyBatch));
    }
    if batch.records.len() > BATCH_RECORDS_MAX {
        return Err(refuse(Code::TooManyRecords));
    }
    if batch.seq == 0 {
        return Err(malformed("sequence numbers start at 1"));
    }
    let mut bytes = 0;
    for (record, position) in batch.records.iter().zip(0..) {
        if record.salt.len() != SALT_BYTES {
            return Err(malformed("a salt is 16 bytes").at(position));
        }
        if record.record.len() > RECORD_BYTES_MAX {
            return Err(refuse(Code::RecordTooLarge).at(position));
        }
        bytes += SALT_BYTES + record.record.len();
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(refuse(Code::BatchTooLarge));
    }
    let label = StreamLabel::parse(&batch.stream_label);
    Ok(Header {
        key_id: KeyId::from_slice(&batch.key_id).map_err(|_| malformed("a key id is 32 bytes"))?,
        label: label.map_err(|error| Refusal::new(Code::InvalidStreamLabel, error.to_string()))?,
        seq: batch.seq,
        root: Hash::from_slice(&batch.root).map_err(|_| malformed("a root is 32 bytes"))?,
    })
}

pub(super) fn check_key_state(key: &KeyInfo) -> Result<(), Refusal> {
    match key.state {
        KeyState::Active => Ok(()),
        KeyState::Replaced | KeyState::Revoked => Err(refuse(Code::RevokedKey)),
    }
}

fn check_record(
    record: &Plain,
    genesis: &GenesisInfo,
    spelled: bool,
    (now_ms, latest_ms): (u64, u64),
) -> Result<(), RecordError> {
    let parsed = &record.parsed;
    parsed.check_from_author()?;
    check_time(parsed.occurred_at_ms(), latest_ms)?;
    // What decides is understood before it is sealed: its author is told which field isn't.
    let event = Event::of(parsed)?;
    if spelled {
        // So is who acts and what with, of whatever kind: a second spelling would be somebody else's trace.
        spelling::check_record(parsed.message())?;
    }
    if let Some(mut event) = event {
        let mut meta = Meta::of(parsed, LeafIndex(0), LedgerTimeMs(now_ms), false, false)?;
        if spelled {
            let happened = parsed.kind().is_access() || parsed.kind().is_movement();
            meta.spell(if happened { Spell::OnRecord } else { Spell::Asked })?;
            event.spell(Spell::Asked)?;
        }
    }
    if parsed.tag().is_some_and(|tag| !genesis.covers(tag)) {
        return Err(RecordError {
            code: Code::TagOutOfRange,
            path: "tag".to_owned(),
            message: Code::TagOutOfRange.way_out().to_owned(),
        });
    }
    Ok(())
}

fn check_role(party: &Party, record: &ParsedRecord, level: u32) -> Result<(), Refusal> {
    if record.kind().is_reserved_at(level) {
        return Err(refuse(Code::KindReserved));
    }
    let own_key = matches!(record.act(), Some(Act::Rotated { author_id, .. }) if *author_id == party.author_id);
    if own_key && !party.roles.is_empty() {
        return Ok(());
    }
    let (may, who) = match record.kind().is_act() {
        true => (party.roles.contains(Roles::AUTHORITY), "acts are for the authority to sign"),
        false => {
            let decides = record.tag().is_some_and(|tag| is_patient_itself(party, tag));
            let decides = decides && party.roles.may_decide(record.kind());
            (decides || party.roles.may_sign_at(record.kind(), level), "")
        }
    };
    match (may, who) {
        (true, _) => Ok(()),
        // The same for a stranger's tag: nothing is said of who has which device.
        (false, "") if party.patient_commitment.is_some() && party.roles.may_decide(record.kind()) => {
            let what = "no device.registered under this tag tells its patient that this device acts for them: the authority sends it (sillage keys tell), with the patient's login";
            Err(Refusal::new(Code::NotEntitled, what))
        }
        (false, "") => {
            let (kind, roles) = (record.kind(), signers(record.kind()));
            let who = format!(
                "none of the party's roles may sign {kind}, but {roles} may: ask the authority for one of them"
            );
            Err(Refusal::new(Code::NotEntitled, who))
        }
        (false, who) => Err(Refusal::new(Code::NotEntitled, who)),
    }
}

fn of_record(error: RecordError, position: u32) -> Refusal {
    let message = format!("record {position}: {error}");
    Refusal::new(error.code, message).at(position)
}

/// Length of a batch in the Raft log, in bytes.
pub fn encoded_len(batch: &SealedBatch) -> usize {
    batch.encoded_len()
}
