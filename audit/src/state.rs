//! Where an audit stands, as a file: all that is needed to go on.
//!
//! ```text
//! "sillage-audit/v6\n" ‖ genesis[32] ‖ u64 size ‖ u64 time_ms ‖ u64 closed ‖ log tree ‖ index root[32]
//!   ‖ parties ‖ keys ‖ streams ‖ signing keys ‖ changes of the set of nodes ‖ erasures to look up ‖ patients
//!   ‖ rule of the authorities ‖ what several of them signed ‖ voided ranges
//!   ‖ parties whose tags are sealed ‖ tags with a device ‖ the quota of each party ‖ H(all before)
//! ```
//!
//! Versions 2 to 5 are read too: 5 ends with the tags, 4 with the voided ranges, 2 and 3 with the patients; version 2 has no changes of the set of
//! nodes.
//! Integers big-endian, lists `u64 count ‖ items`. It is written only after an index commit, whole or not at all. The
//! index is recomputed when it is read: the file holds no root that isn't checked.

use std::io::Write;
use std::path::Path;

use prost::Message;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey, StreamId};
use sillage_proto::v1;
use sillage_rules::authority::{Rule, RuleChange};
use sillage_rules::index::Frontier;
use sillage_rules::node_set::NodeSetChange;
use sillage_rules::roles::Roles;

use super::patients::Patients;
use super::registry::{Key, Party, QUOTA_UNKNOWN, Registry, SigningKey, Stream};
use super::replay::{Erased, Log, Replay};
use sillage_client::error::ClientError;

const MAGIC: &[u8] = b"sillage-audit/v6\n";
/// Of a file written before a higher quota needed several authorities.
const MAGIC_V5: &[u8] = b"sillage-audit/v5\n";
/// Of a file written before patients' devices were told of under their tags.
const MAGIC_V4: &[u8] = b"sillage-audit/v4\n";
/// Of a file written before several authorities could sign, and records be voided.
const MAGIC_V3: &[u8] = b"sillage-audit/v3\n";
/// Of a file written before the set of nodes could change.
const MAGIC_V2: &[u8] = b"sillage-audit/v2\n";

/// Stores a replay that stands at an index commit.
///
/// # Errors
/// When the file can't be written.
///
/// # Panics
/// When it doesn't stand at one.
pub fn save(path: &Path, replay: &Replay) -> Result<(), ClientError> {
    assert!(replay.is_committed(), "an audit's state is stored at index commits only");
    let mut bytes = encode(replay);
    let check = sha256(&[&bytes]);
    bytes.extend_from_slice(check.as_bytes());
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|error| ClientError::writing(path, error))
}

/// Reads where an audit of `log` stood; `None` where there is no file yet.
///
/// # Errors
/// When the file is damaged or another log's: it is never replaced in silence.
pub fn load(path: &Path, log: &Log) -> Result<Option<Replay>, ClientError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClientError::reading(path, error)),
    };
    let wrong = |why: &str| ClientError::reading(path, format!("{why}; move it away to begin the audit anew"));
    let (body, check) = bytes.split_last_chunk::<32>().ok_or_else(|| wrong("not the state of an audit"))?;
    if sha256(&[body]).as_bytes() != check {
        return Err(wrong("damaged"));
    }
    let versions = [(6, MAGIC), (5, MAGIC_V5), (4, MAGIC_V4), (3, MAGIC_V3), (2, MAGIC_V2)];
    let found = versions.iter().find_map(|(version, magic)| Some((*version, body.strip_prefix(*magic)?)));
    let (version, body) = found.ok_or_else(|| wrong("not the state of an audit"))?;
    let mut input = Reader(body);
    if input.hash() != Some(log.id()) {
        return Err(wrong("the state of an audit of another log"));
    }
    let replay = decode(&mut input, log, version).filter(|_| input.0.is_empty());
    replay.map(Some).ok_or_else(|| wrong("the state of an audit, but it contradicts itself"))
}

fn encode(replay: &Replay) -> Vec<u8> {
    let mut out = Writer(MAGIC.to_vec());
    out.put(replay.log.id().as_bytes());
    out.u64(replay.size);
    out.u64(replay.time_ms);
    out.u64(replay.closed.into());
    out.bytes(&replay.tree.encode());
    out.put(replay.patients.root().as_bytes());
    let registry = &replay.registry;
    let Registry { parties, keys, streams, signing, first_nodes: _, node_sets, rule, contents, voided, with_device } =
        registry;
    out.u64(parties.len() as u64);
    for (author, party) in parties {
        out.put(author.as_bytes());
        out.u64(party.roles.bits().into());
        out.put(party.newest_key.as_bytes());
        party.tags.iter().for_each(|tag| out.put(tag));
    }
    out.u64(keys.len() as u64);
    for key in keys.values() {
        out.put(key.author.as_bytes());
        out.put(key.key.as_bytes());
        out.u64(key.active.into());
    }
    out.u64(streams.len() as u64);
    for (stream, state) in streams {
        out.put(stream.as_bytes());
        out.put(state.author.as_bytes());
        out.u64(state.last_seq);
    }
    out.u64(signing.len() as u64);
    for key in signing {
        out.u64(key.node);
        out.put(key.key.as_bytes());
        out.u64(key.from_genesis.into());
        // An act that no index commit covers yet can't be: the state stands at one.
        out.u64(key.covered_by.unwrap_or_default());
    }
    out.u64(node_sets.len() as u64);
    for one in node_sets {
        out.u64(one.covered_by.unwrap_or_default());
        out.bytes(&one.change.to_message().encode_to_vec());
    }
    out.u64(replay.erased.len() as u64);
    for erased in &replay.erased {
        out.u64(erased.act);
        out.put(&erased.tag);
        out.u64(erased.indices.len() as u64);
        erased.indices.iter().for_each(|index| out.u64(*index));
    }
    let trees = replay.patients.trees();
    out.u64(trees.len() as u64);
    for (ikey, tree) in trees {
        out.put(ikey.as_bytes());
        out.bytes(&tree.encode());
    }
    let rule = rule.iter().map(|rule| RuleChange::Rule(rule.clone()).to_message().encode_to_vec());
    out.bytes(&rule.flatten().collect::<Vec<u8>>());
    out.u64(contents.len() as u64);
    contents.iter().for_each(|content| out.put(content.as_bytes()));
    out.u64(voided.len() as u64);
    for (act, range) in voided {
        [*act, range.start, range.end].iter().for_each(|number| out.u64(*number));
    }
    let sealed: Vec<_> = parties.iter().filter(|(_, party)| party.sealed).collect();
    out.u64(sealed.len() as u64);
    sealed.iter().for_each(|(author, _)| out.put(author.as_bytes()));
    out.u64(with_device.len() as u64);
    with_device.iter().for_each(|tag| out.put(tag));
    out.u64(parties.len() as u64);
    parties.values().for_each(|party| out.u64(party.quota_events_per_s.into()));
    out.0
}

fn decode(input: &mut Reader<'_>, log: &Log, version: u32) -> Option<Replay> {
    let (size, time_ms, closed) = (input.u64()?, input.u64()?, input.bool()?);
    let tree = Frontier::decode(input.bytes()?)?;
    let index_root = input.hash()?;
    let mut registry = registry(input)?;
    registry.first_nodes = Some(log.nodes.clone());
    if version >= 3 {
        // They are followed again from the genesis: what is read is a set that the acts make.
        for (change, covered_by) in input.list(change_of_nodes)? {
            registry.follow_nodes(&change, Some(covered_by)).ok()?;
        }
    }
    let erased = input.list(|input| {
        let (act, tag) = (input.u64()?, input.array()?);
        Some(Erased { act, tag, indices: input.list(Reader::u64)? })
    })?;
    let trees = input.list(|input| Some((input.hash()?, Frontier::decode(input.bytes()?)?)))?;
    if version >= 4 {
        registry.rule = rule(input.bytes()?)?;
        registry.contents = input.list(Reader::hash)?.into_iter().collect();
        registry.voided = input.list(|input| Some((input.u64()?, input.u64()?..input.u64()?)))?;
    }
    if version >= 5 {
        for author in input.list(Reader::array)?.into_iter().map(AuthorId::from_bytes) {
            registry.parties.get_mut(&author)?.sealed = true;
        }
        registry.with_device = input.list(Reader::array)?.into_iter().collect();
    }
    if version >= 6 {
        let quotas = input.list(Reader::u64)?;
        if quotas.len() != registry.parties.len() {
            return None;
        }
        for (party, quota) in registry.parties.values_mut().zip(quotas) {
            party.quota_events_per_s = u32::try_from(quota).ok()?;
        }
    }
    let patients = Patients::from_trees(log.depth, trees)?;
    if tree.count() != size || patients.root() != index_root {
        return None;
    }
    let mut replay = Replay::at(log.clone(), size, time_ms, tree, registry, patients);
    replay.erased = erased;
    replay.closed = closed;
    Some(replay)
}

fn registry(input: &mut Reader<'_>) -> Option<Registry> {
    let parties = input.list(|input| {
        let author = AuthorId::from_bytes(input.array()?);
        let roles = Roles::from_bits(u32::try_from(input.u64()?).ok()?).ok()?;
        let newest_key = KeyId::from_bytes(input.array()?);
        let tags = [input.array()?, input.array()?];
        Some((author, Party { roles, newest_key, tags, sealed: false, quota_events_per_s: QUOTA_UNKNOWN }))
    })?;
    let keys = input.list(|input| {
        let author = AuthorId::from_bytes(input.array()?);
        let key = PublicKey::from_bytes(&input.array::<32>()?).ok()?;
        Some((key.key_id(), Key { author, key, active: input.bool()? }))
    })?;
    let streams = input.list(|input| {
        let stream = StreamId::from_bytes(input.array()?);
        Some((stream, Stream { author: AuthorId::from_bytes(input.array()?), last_seq: input.u64()? }))
    })?;
    let signing = input.list(|input| {
        let node = input.u64()?;
        let key = PublicKey::from_bytes(&input.array::<32>()?).ok()?;
        let from_genesis = input.bool()?;
        let covered = input.u64()?;
        Some(SigningKey { node, key, from_genesis, covered_by: (!from_genesis).then_some(covered) })
    })?;
    let registry = Registry {
        parties: parties.into_iter().collect(),
        keys: keys.into_iter().collect(),
        streams: streams.into_iter().collect(),
        signing,
        ..Registry::default()
    };
    let known = registry.keys.values().all(|key| registry.parties.contains_key(&key.author));
    known.then_some(registry)
}

/// The rule of the authorities; no bytes: none.
#[expect(clippy::option_option, reason = "outside: whether the file can be read; inside: whether there is a rule")]
fn rule(bytes: &[u8]) -> Option<Option<Rule>> {
    if bytes.is_empty() {
        return Some(None);
    }
    match RuleChange::parse(&v1::AuthorityRule::decode(bytes).ok()?).ok()? {
        RuleChange::Rule(rule) => Some(Some(rule)),
        RuleChange::Limit { .. } => None,
    }
}

/// A change of the set of nodes, and the index commit that covered it.
fn change_of_nodes(input: &mut Reader<'_>) -> Option<(NodeSetChange, u64)> {
    let covered_by = input.u64()?;
    let message = v1::NodeSetChanged::decode(input.bytes()?).ok()?;
    Some((NodeSetChange::parse(&message).ok()?, covered_by))
}

struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.put(bytes);
    }
}

/// The rest of the bytes, read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash::from_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u64()?).ok()?;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// Each item is at least eight bytes, so that a count can't ask for more room than the file has.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.u64()?).ok().filter(|count| *count <= self.0.len() / 8)?;
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
