//! The stored state with what the present command has changed of it so far, so that batches of one command and acts of
//! one batch see each other.
//!
//! [`Overlay`] knows rows and no rules. `erasing` and `voids` say what is stored of erasures and of voided records; layers
//! above add what they keep in rows of their own.

pub(crate) mod erasing;
pub(crate) mod voids;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use prost::Message;
use rocksdb::WriteBatch;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyId, StreamId};
use sillage_proto::v1;
use sillage_rules::authority::{Rule, RuleChange};
use sillage_rules::voiding::Voiding;

use self::erasing::Erasure;
use self::voids::Voids;
use crate::error::ReadError;
use crate::rows::{KeyInfo, KeyRow, NodeSetRow, PartyRow, StreamInfo, StreamRow};
use crate::schema::consent_prefix::{COSIGNED as CONTENT, LIMIT, RULE};
use crate::schema::{
    self, BatchRow, DATA_KEY_ID_LEN, DataKeyName, ErasingRow, Family, SigningName, SigningRow, TAG_LEN,
};
use crate::store::Store;

/// A checked erasure, done once all of its batch is accepted.
#[derive(Debug, Clone)]
pub(crate) struct PlannedErasure {
    pub tag: [u8; TAG_LEN],
    /// None: all of the patient's before.
    pub indices: Vec<LeafIndex>,
    pub by: Erasure,
}

/// Changed parties, keys and certificates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    parties: BTreeMap<AuthorId, PartyRow>,
    keys: BTreeMap<KeyId, KeyInfo>,
    tls: BTreeMap<[u8; 32], AuthorId>,
    signing: BTreeMap<SigningName, SigningRow>,
    /// New sets of nodes, by epoch.
    node_sets: BTreeMap<u64, NodeSetRow>,
    /// Actors that the authority revoked, as hashes of their names.
    revoked: BTreeMap<Hash, LeafIndex>,
    /// Rows that say whom parties vouch for; `false`: removed.
    vouching: BTreeMap<Vec<u8>, bool>,
    /// Issuers of logins, by the hash of their URL.
    issuers: BTreeMap<Hash, v1::IssuerPublished>,
    /// Erasures of the batch that is being checked.
    pub erasures: Vec<PlannedErasure>,
    /// Acts of the batch that is being checked that void or reinstate records.
    pub voidings: Vec<(LeafIndex, LedgerTimeMs, Voiding)>,
    /// Another rule of the authorities.
    pub rule: Option<Rule>,
    /// Other limits a day, by parties.
    pub limits: BTreeMap<AuthorId, u32>,
    /// Contents that several authorities signed, and where each is recorded.
    pub contents: BTreeMap<Hash, LeafIndex>,
    /// Rows of the list of sources and of who answers for structures; `None`: removed.
    pub sources: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// How often a day an authority took power away alone, by its row; `None`: removed.
    pub alone: BTreeMap<Vec<u8>, Option<u32>>,
    /// Acts of the batch that is being checked that remove nodes.
    pub removals: Vec<LeafIndex>,
}

pub(crate) struct Overlay<'a> {
    store: &'a Store,
    pub registry: Registry,
    streams: BTreeMap<StreamId, StreamInfo>,
    batches: BTreeMap<(StreamId, u64), BatchRow>,
    /// `None`: given up.
    data_keys: BTreeMap<DataKeyName, Option<Vec<u8>>>,
    /// Rows of the family `erase`; `None`: removed.
    erase: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Rows of the families that decide; `None`: removed.
    rows: BTreeMap<Family, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// Data keys were given up or wrapped anew, or epochs changed: what is kept of them in memory is outdated.
    pub keys_changed: bool,
    /// The voided records, once they were asked for.
    pub voids: OnceCell<Arc<Voids>>,
    /// Records were voided or reinstated by the present command.
    pub voids_changed: bool,
    /// The signers of the records of the present command, which aren't stored yet.
    pub signed: Vec<(Range<u64>, (KeyId, AuthorId))>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            registry: Registry::default(),
            streams: BTreeMap::new(),
            batches: BTreeMap::new(),
            data_keys: BTreeMap::new(),
            erase: BTreeMap::new(),
            rows: BTreeMap::new(),
            keys_changed: false,
            voids: OnceCell::new(),
            voids_changed: false,
            signed: Vec::new(),
        }
    }

    pub(crate) fn party(&self, author: &AuthorId) -> Result<Option<PartyRow>, ReadError> {
        match self.registry.parties.get(author) {
            Some(party) => Ok(Some(party.clone())),
            None => self.store.party(author),
        }
    }

    pub(crate) fn key(&self, id: &KeyId) -> Result<Option<KeyInfo>, ReadError> {
        match self.registry.keys.get(id) {
            Some(key) => Ok(Some(key.clone())),
            None => self.store.key(id),
        }
    }

    pub(crate) fn tls(&self, spki: &[u8; 32]) -> Result<Option<AuthorId>, ReadError> {
        match self.registry.tls.get(spki) {
            Some(author) => Ok(Some(*author)),
            None => self.store.tls(spki),
        }
    }

    /// Every replacement of a signing key, in the order of nodes, then of the log.
    pub(crate) fn signing(&self) -> Result<Vec<(SigningName, SigningRow)>, ReadError> {
        let mut rows: BTreeMap<_, _> = self.store.signing()?.into_iter().collect();
        rows.extend(self.registry.signing.clone());
        Ok(rows.into_iter().collect())
    }

    /// The last publication of an issuer of logins.
    pub(crate) fn issuer(&self, name: &Hash) -> Result<Option<v1::IssuerPublished>, ReadError> {
        if let Some(issuer) = self.registry.issuers.get(name) {
            return Ok(Some(issuer.clone()));
        }
        let row = self.store.get(Family::Meta, &schema::issuer_key(name))?;
        let row = row.map(|row| v1::IssuerPublished::decode(&row[..]));
        row.transpose().map_err(|_| ReadError::Damaged("an issuer of logins".into()))
    }

    /// How many issuers are on record, withdrawn ones included.
    pub(crate) fn issuers(&self) -> Result<usize, ReadError> {
        let stored = self.store.scan(Family::Meta, schema::META_ISSUER, None, usize::MAX)?;
        let changed = self.registry.issuers.keys();
        let is_new = |name: &&Hash| !stored.iter().any(|(key, _)| key[..] == schema::issuer_key(name)[..]);
        Ok(stored.len() + changed.filter(is_new).count())
    }

    pub(crate) fn put_issuer(&mut self, name: Hash, issuer: v1::IssuerPublished) {
        self.registry.issuers.insert(name, issuer);
    }

    /// Every set of nodes that an act made, in the order of the log.
    pub(crate) fn node_sets(&self) -> Result<Vec<NodeSetRow>, ReadError> {
        let mut rows = self.store.node_sets()?;
        rows.extend(self.registry.node_sets.values().cloned());
        Ok(rows)
    }

    pub(crate) fn stream(&self, id: &StreamId) -> Result<Option<StreamInfo>, ReadError> {
        match self.streams.get(id) {
            Some(stream) => Ok(Some(stream.clone())),
            None => self.store.stream(id),
        }
    }

    pub(crate) fn batch(&self, stream: &StreamId, seq: u64) -> Result<Option<BatchRow>, ReadError> {
        match self.batches.get(&(*stream, seq)) {
            Some(batch) => Ok(Some(*batch)),
            None => self.store.batch(stream, seq),
        }
    }

    pub(crate) fn has_data_key(&self, name: &DataKeyName) -> Result<bool, ReadError> {
        if let Some(known) = self.data_keys.get(name) {
            return Ok(known.is_some());
        }
        let key = schema::data_key_key(&name.0, &name.1);
        Ok(self.store.contains(Family::DataKey, &key)?)
    }

    pub(crate) fn put_party(&mut self, author: AuthorId, party: PartyRow) {
        self.registry.parties.insert(author, party);
    }

    pub(crate) fn put_key(&mut self, key: KeyInfo) {
        self.registry.keys.insert(key.key_id, key);
    }

    pub(crate) fn put_tls(&mut self, spki: [u8; 32], author: AuthorId) {
        self.registry.tls.insert(spki, author);
    }

    pub(crate) fn put_signing(&mut self, name: SigningName, row: SigningRow) {
        self.registry.signing.insert(name, row);
    }

    pub(crate) fn put_node_set(&mut self, row: NodeSetRow) {
        self.registry.node_sets.insert(row.epoch, row);
    }

    /// Takes note of a recorded batch, the newest of its stream.
    pub(crate) fn put_batch(&mut self, stream: StreamInfo) {
        let row = BatchRow {
            root: stream.last_root,
            first_index: stream.last_first_index,
            count: stream.last_count,
            time: stream.last_time_ms,
        };
        self.batches.insert((stream.stream_id, stream.last_seq), row);
        self.streams.insert(stream.stream_id, stream);
    }

    /// Keeps a data key unless there is one of that name: what is sealed under it must stay readable.
    pub(crate) fn insert_data_key(&mut self, name: DataKeyName, wrapped: &[u8]) -> Result<(), ReadError> {
        if !self.has_data_key(&name)? {
            self.data_keys.insert(name, Some(wrapped.to_vec()));
        }
        Ok(())
    }

    /// The change that the present command makes to a data key; `Some(None)`: given up.
    pub(crate) fn changed_data_key(&self, name: &DataKeyName) -> Option<Option<&[u8]>> {
        self.data_keys.get(name).map(Option::as_deref)
    }

    /// A data key as it is wrapped.
    pub(crate) fn data_key(&self, name: &DataKeyName) -> Result<Option<Vec<u8>>, ReadError> {
        match self.data_keys.get(name) {
            Some(known) => Ok(known.clone()),
            None => Ok(self.store.get(Family::DataKey, &schema::data_key_key(&name.0, &name.1))?),
        }
    }

    /// The ids of a patient's data keys, in order.
    pub(crate) fn data_key_ids(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<[u8; DATA_KEY_ID_LEN]>, ReadError> {
        let damaged = || ReadError::Damaged("a data key's id".into());
        let mut ids = BTreeSet::new();
        for (key, _) in self.store.scan(Family::DataKey, tag, None, usize::MAX)? {
            let id = key.get(TAG_LEN..).and_then(|id| id.try_into().ok());
            ids.insert(id.ok_or_else(damaged)?);
        }
        for ((_, id), known) in self.data_keys.range((*tag, [0; DATA_KEY_ID_LEN])..=(*tag, [0xff; DATA_KEY_ID_LEN])) {
            match known {
                Some(_) => ids.insert(*id),
                None => ids.remove(id),
            };
        }
        Ok(ids.into_iter().collect())
    }

    /// The same data key, wrapped anew.
    pub(crate) fn replace_data_key(&mut self, name: DataKeyName, wrapped: &[u8]) {
        self.data_keys.insert(name, Some(wrapped.to_vec()));
        self.keys_changed = true;
    }

    pub(crate) fn delete_data_key(&mut self, name: DataKeyName) {
        self.data_keys.insert(name, None);
        self.keys_changed = true;
    }

    /// A row of the family `erase`.
    pub(crate) fn erase_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.erase.get(key) {
            Some(row) => Ok(row.clone()),
            None => Ok(self.store.get(Family::Erase, key)?),
        }
    }

    /// Rows of the family `erase` whose keys begin with `prefix`, in order.
    pub(crate) fn erase_rows(&self, prefix: &[u8]) -> Result<Vec<ErasingRow>, ReadError> {
        let stored = self.store.scan(Family::Erase, prefix, None, usize::MAX)?;
        let mut rows: BTreeMap<_, _> =
            stored.into_iter().map(|(key, row)| (key.into_vec(), Some(row.into_vec()))).collect();
        let changed = self.erase.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        rows.extend(changed.map(|(key, row)| (key.clone(), row.clone())));
        Ok(rows.into_iter().filter_map(|(key, row)| Some((key, row?))).collect())
    }

    /// Writes or removes a row of the family `erase`.
    pub(crate) fn set_erase_row(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.erase.insert(key, row);
    }

    /// Tells whether the payload of an entry goes with an erasure of the present command.
    pub(crate) fn erases(&self, tag: &[u8; TAG_LEN], index: LeafIndex) -> bool {
        if self.erase.is_empty() {
            return false;
        }
        let whole = erasing::patient_rows(tag);
        let mut whole = self.erase.range(whole.clone()..).take_while(|(key, _)| key.starts_with(&whole));
        self.erase.contains_key(&erasing::index_row(index)) || whole.any(|(_, row)| row.is_some())
    }

    /// The actor of this hash is revoked from here on.
    pub(crate) fn revoke_actor(&mut self, actor: Hash, by: LeafIndex) {
        self.registry.revoked.entry(actor).or_insert(by);
    }

    /// Tells whether the actor of this hash is revoked.
    pub(crate) fn is_revoked(&self, actor: &Hash) -> Result<bool, ReadError> {
        let known = self.registry.revoked.contains_key(actor);
        Ok(known || self.store.contains(Family::Consent, &schema::actor_key(actor))?)
    }

    /// The party of this row ([`schema::vouching_key`]) vouches for its name from here on, or doesn't any more.
    pub(crate) fn set_vouching(&mut self, key: Vec<u8>, vouches: bool) {
        self.registry.vouching.insert(key, vouches);
    }

    /// Tells whether the party of this row vouches for its name.
    pub(crate) fn has_vouching(&self, key: &[u8]) -> Result<bool, ReadError> {
        match self.registry.vouching.get(key) {
            Some(vouches) => Ok(*vouches),
            None => Ok(self.store.contains(Family::Consent, key)?),
        }
    }

    /// A row of one of the families that decide.
    pub(crate) fn row(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.rows.get(&family).and_then(|rows| rows.get(key)) {
            Some(row) => Ok(row.clone()),
            None => Ok(self.store.get(family, key)?),
        }
    }

    /// Writes or removes a row of one of the families that decide.
    pub(crate) fn set_row(&mut self, family: Family, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.rows.entry(family).or_default().insert(key, row);
    }

    /// The last key in `keys` of a row that the present command has written or removed.
    pub(crate) fn last_changed(&self, family: Family, keys: Range<Vec<u8>>) -> Option<&[u8]> {
        let (key, _) = self.rows.get(&family)?.range(keys).next_back()?;
        Some(key)
    }

    /// The rows of one of the families that decide whose keys begin with `prefix`, in order; about `limit` of them are looked at.
    pub(crate) fn rows_with(
        &self,
        family: Family,
        prefix: &[u8],
        limit: usize,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let stored = self.store.scan(family, prefix, None, limit)?;
        let mut rows: BTreeMap<_, _> = stored.into_iter().map(|(key, row)| (key.into_vec(), row.into_vec())).collect();
        let changed = self.rows.get(&family).into_iter().flat_map(|rows| rows.range(prefix.to_vec()..));
        for (key, row) in changed.take_while(|(key, _)| key.starts_with(prefix)) {
            match row {
                Some(row) => drop(rows.insert(key.clone(), row.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(rows)
    }

    /// The stored state, without the changes.
    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// Everything that changed, in a fixed order.
    pub(crate) fn write_into(&self, writes: &mut WriteBatch) {
        let store = self.store;
        let party = store.family(Family::Party);
        for (author, row) in &self.registry.parties {
            writes.put_cf(party, author.as_bytes(), row.encode_to_vec());
        }
        let key = store.family(Family::Key);
        for (id, info) in &self.registry.keys {
            writes.put_cf(key, id.as_bytes(), KeyRow::from(info).encode_to_vec());
        }
        let tls = store.family(Family::Tls);
        for (spki, author) in &self.registry.tls {
            writes.put_cf(tls, spki, author.as_bytes());
        }
        let signing = store.family(Family::Signing);
        for (name, row) in &self.registry.signing {
            writes.put_cf(signing, name.encode(), row.encode());
        }
        let meta = store.family(Family::Meta);
        for (epoch, row) in &self.registry.node_sets {
            writes.put_cf(meta, schema::node_set_key(*epoch), row.encode_to_vec());
        }
        for (name, issuer) in &self.registry.issuers {
            writes.put_cf(meta, schema::issuer_key(name), issuer.encode_to_vec());
        }
        let stream = store.family(Family::Stream);
        for (id, info) in &self.streams {
            let row = StreamRow::from(info).encode_to_vec();
            writes.put_cf(stream, schema::stream_key(id), row);
            let label = schema::label_key(&info.author_id, &info.label);
            writes.put_cf(stream, label, id.as_bytes());
        }
        let batch = store.family(Family::Batch);
        for ((stream, seq), row) in &self.batches {
            writes.put_cf(batch, schema::batch_key(stream, *seq), row.encode());
        }
        let data_key = store.family(Family::DataKey);
        for ((tag, id), wrapped) in &self.data_keys {
            let key = schema::data_key_key(tag, id);
            match wrapped {
                Some(wrapped) => writes.put_cf(data_key, key, wrapped),
                None => writes.delete_cf(data_key, key),
            }
        }
        let consent = store.family(Family::Consent);
        for (actor, by) in &self.registry.revoked {
            writes.put_cf(consent, schema::actor_key(actor), by.get().to_be_bytes());
        }
        for (key, vouches) in &self.registry.vouching {
            match vouches {
                true => writes.put_cf(consent, key, []),
                false => writes.delete_cf(consent, key),
            }
        }
        for (key, row) in &self.registry.sources {
            match row {
                Some(row) => writes.put_cf(consent, key, row),
                None => writes.delete_cf(consent, key),
            }
        }
        for (key, row) in self.authority_rows() {
            writes.put_cf(consent, key, row);
        }
        for (key, count) in &self.registry.alone {
            match count {
                Some(count) => writes.put_cf(consent, key, count.to_be_bytes()),
                None => writes.delete_cf(consent, key),
            }
        }
        let others = self.rows.iter().map(|(family, rows)| (*family, rows));
        for (family, rows) in iter::once((Family::Erase, &self.erase)).chain(others) {
            let family = store.family(family);
            for (key, row) in rows {
                match row {
                    Some(row) => writes.put_cf(family, key, row),
                    None => writes.delete_cf(family, key),
                }
            }
        }
    }
    /// The rows of what changed of rule, limits and cosigned acts.
    fn authority_rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let registry = &self.registry;
        let rule = registry
            .rule
            .iter()
            .map(|rule| (RULE.to_vec(), RuleChange::Rule(rule.clone()).to_message().encode_to_vec()));
        let limits = registry.limits.iter();
        let limits =
            limits.map(|(author, records)| ([LIMIT, author.as_bytes()].concat(), records.to_be_bytes().to_vec()));
        let contents = registry.contents.iter();
        let contents = contents
            .map(|(content, index)| ([CONTENT, content.as_bytes()].concat(), index.get().to_be_bytes().to_vec()));
        rule.chain(limits).chain(contents).collect()
    }
}
