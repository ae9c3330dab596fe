//! The log that real ledgers of a run are of: its genesis, its keys, and what its authors record.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use prost::Message;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sillage_ledger::command_version_max;
use sillage_ledger::seal::{DataKeyBytes, KekError, KekProvider, Keyring, Plain, Randomness, Sealer, TagPrefix};
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::hash::sha256;
use sillage_proof::keys::{ALG_ED25519, AuthorId, SigningKey, StreamId};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::internal::v1::{ClockAttestation, ClockEvidence, Command, SealedBatch, SealedRecord};
use sillage_proto::v1::{self, Genesis, NodeIdentity, PublicKey};
use sillage_rules::act::PartyRegistration;
use sillage_rules::clock::ClockMessage;
use sillage_rules::facts;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use crate::check::RecordId;
use crate::sim::clock::Evidence;
use crate::sim::replica::EPOCH_MS;

const ORIGIN: &str = "sim.example/log";
/// Authors of a run at most.
const AUTHORS: u64 = 4;
/// The one stream of each author.
const LABEL: &str = "sim";
/// Every so many batches of an author bring an index commit along.
const COMMIT_EVERY: u64 = 4;
/// When the log was made and all that is recorded happened: before any clock of a run shows.
const PAST_MS: u64 = EPOCH_MS.unsigned_abs() - 7_200_000;

fn key(seed: u64) -> SigningKey {
    SigningKey::from_seed(sha256(&[b"sillage-sim/key", &seed.to_be_bytes()]).as_bytes())
}

fn node_key(id: u64) -> SigningKey {
    key(1_000 + id)
}

/// The parts that all nodes of a run have in common.
pub(crate) struct Kit {
    pub genesis: Vec<u8>,
    origin: Origin,
    authors: Vec<SigningKey>,
    /// Stream → the author's number.
    pub streams: BTreeMap<StreamId, u64>,
    nodes: BTreeMap<u64, SigningKey>,
}

/// The keys of a log, or those of another, as a node holds them.
pub(crate) struct Keys {
    keyring: Arc<Keyring>,
    is_groups: bool,
}

impl Keys {
    /// `is_groups`: those of the group.
    pub(crate) fn new(is_groups: bool) -> Self {
        static MADE: [OnceLock<Arc<Keyring>>; 2] = [OnceLock::new(), OnceLock::new()];
        let keyring = MADE[usize::from(is_groups)].get_or_init(|| Arc::new(keyring(u64::from(is_groups))));
        Self { keyring: keyring.clone(), is_groups }
    }
}

/// The same keyring for the same seed, read from a file as a node reads its own.
fn keyring(seed: u64) -> Keyring {
    let mut bytes = b"sillage/keyring\0\x01".to_vec();
    bytes.extend_from_slice(&u32::from(TagPrefix::COUNT).to_be_bytes());
    for prefix in 0..TagPrefix::COUNT {
        bytes.extend_from_slice(&prefix.to_be_bytes());
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        bytes.extend_from_slice(sha256(&[&seed.to_be_bytes(), &prefix.to_be_bytes()]).as_bytes());
    }
    let sum = sha256(&[&bytes]);
    bytes.extend_from_slice(sum.as_bytes());
    let dir = tempfile::tempdir().expect("a folder for the keyring");
    let path = dir.path().join("keyring");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, &bytes)).expect("it can be written");
    Keyring::load(&path).expect("a keyring")
}

impl KekProvider for Keys {
    fn wrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        data_key: &[u8; 32],
    ) -> Result<[u8; 48], KekError> {
        self.keyring.wrap(kek, nonce, aad, data_key)
    }

    fn unwrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        wrapped: &[u8; 48],
    ) -> Result<DataKeyBytes, KekError> {
        self.keyring.unwrap(kek, nonce, aad, wrapped)
    }

    fn check_is_groups(&self, (prefix, epoch): (TagPrefix, u32)) -> Result<(), KekError> {
        match self.is_groups {
            true => Ok(()),
            false => Err(KekError::Differs { prefix: prefix.get(), epoch }),
        }
    }
}

/// Data keys and nonces from the seed of a run.
pub(crate) struct Dice(pub Arc<Mutex<ChaCha8Rng>>);

impl Randomness for Dice {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        self.0.lock().fill_bytes(bytes);
        Ok(())
    }
}

impl Kit {
    /// Of a group of nodes 1 to `nodes`.
    pub(crate) fn new(nodes: u64) -> Self {
        let party = |seed: u64, roles: Roles| PartyRegistration {
            key: key(seed).public_key(),
            name: format!("service {seed}"),
            roles,
            tls_spki_sha256: vec![*sha256(&[b"tls", &seed.to_be_bytes()]).as_bytes()],
            quota_events_per_s: 0,
            patient_tag: None,
            patient_secret_tag: None,
            patient_commitment: None,
            vouching: Vouching::default(),
        };
        let authors: Vec<SigningKey> = (0..AUTHORS).map(|author| key(1 + author)).collect();
        let parties = (0..AUTHORS).map(|author| party(1 + author, Roles::AUTHOR));
        let parties = std::iter::once(party(0, Roles::AUTHORITY)).chain(parties);
        let node = |id: u64| NodeIdentity {
            id,
            name: format!("node-{id}"),
            key: Some(PublicKey { alg: 1, key: node_key(id).public_key().to_bytes().to_vec() }),
            tls_spki_sha256: sha256(&[b"node", &id.to_be_bytes()]).as_bytes().to_vec(),
        };
        let genesis = Genesis {
            version: 1,
            origin: ORIGIN.into(),
            created_ms: PAST_MS,
            log_public_key: key(999).public_key().to_bytes().to_vec(),
            vrf_public_key: VrfSecretKey::from_seed([9; 32]).public_key().as_bytes().to_vec(),
            tag_first: vec![0x10; 32],
            tag_last: vec![0x7f; 32],
            test_log: true,
            late_after_ms: 86_400_000,
            index_depth: 4,
            quota_events_per_s: 0,
            nodes: (1..=nodes).map(node).collect(),
            parties: parties.map(|party| party.to_message()).collect(),
            nonce: vec![1; 32],
            feature_level: 0,
            issuers: Vec::new(),
            rule: None,
        };
        let streams = (0..).zip(&authors).map(|(author, key)| (stream(key), author));
        Kit {
            genesis: genesis.encode_to_vec(),
            origin: Origin::new(ORIGIN).expect("an origin"),
            streams: streams.collect(),
            authors,
            nodes: (1..=nodes).map(|id| (id, node_key(id))).collect(),
        }
    }

    /// The batch of this name, sealed by a node as it seals any other. Its author signs the same whoever seals it.
    pub(crate) fn batch(&self, record: RecordId, sealer: &Sealer) -> Result<SealedBatch, String> {
        let key = &self.authors[usize::try_from(record.stream).expect("few authors")];
        let stream_id = stream(key);
        let salt = *sha256(&[&record.stream.to_be_bytes(), &record.sequence.to_be_bytes()])
            .as_bytes()
            .first_chunk()
            .expect("32 bytes hold 16");
        let records: Vec<ParsedRecord> = story(record)
            .into_iter()
            .map(|message| ParsedRecord::from_message(message).expect("the stories are valid records"))
            .collect();
        let plain: Vec<Plain<'_>> = records
            .iter()
            .map(|record| Plain { tag: record.entry_tag(), salt: &salt, record: record.bytes() })
            .collect();
        let sealed = sealer.seal_batch(stream_id, record.sequence, &plain).map_err(|error| error.to_string())?;
        let leaves: Vec<BatchLeaf> = records
            .iter()
            .map(|record| BatchLeaf {
                kind: record.kind().code(),
                stated: facts::stated(facts::facts_of(record)).bits(),
                tag: record.entry_tag(),
                record_hash: record.record_hash(&salt),
            })
            .collect();
        let root = batch_root(&leaves);
        let message = BatchMessage {
            key_id: key.key_id(),
            origin: self.origin.clone(),
            stream_id,
            seq: record.sequence,
            count: u32::try_from(records.len()).expect("few"),
            root,
        };
        let sealed_record = |(record, payload): (&ParsedRecord, _)| SealedRecord {
            kind: record.kind().code().into(),
            tag: record.entry_tag().to_vec().into(),
            record_hash: record.record_hash(&salt).as_bytes().to_vec().into(),
            payload,
            occurred_at_ms: record.occurred_at_ms(),
            facts: facts::facts_of(record),
        };
        Ok(SealedBatch {
            alg: ALG_ED25519.into(),
            key_id: key.key_id().as_bytes().to_vec(),
            stream_label: LABEL.into(),
            seq: record.sequence,
            root: root.as_bytes().to_vec(),
            signature: message.sign(key).to_vec(),
            records: records.iter().zip(sealed.payloads).map(sealed_record).collect(),
            new_keys: sealed.new_keys,
        })
    }

    /// The command that a leader proposes for it, at this feature level.
    pub(crate) fn command(&self, batch: SealedBatch, level: u32, evidence: &Evidence) -> Vec<u8> {
        let index_commit = batch.seq.is_multiple_of(COMMIT_EVERY);
        let version = command_version_max(level);
        let time = (level >= sillage_ledger::CLOCKS).then(|| self.evidence(evidence));
        Command { version, batches: vec![batch], index_commit, time, ..Command::default() }.encode_to_vec()
    }

    fn evidence(&self, evidence: &Evidence) -> ClockEvidence {
        let attested = |&(node, clock_ms): &(u64, u64)| {
            let key = self.nodes.get(&node)?;
            let (key_id, origin, term) = (key.key_id(), self.origin.clone(), evidence.term);
            let message = ClockMessage { key_id, origin, node, term, clock_ms };
            Some(ClockAttestation { node, clock_ms, signature: message.sign(key).to_vec() })
        };
        let attestations = evidence.clocks.iter().filter_map(attested).collect();
        ClockEvidence { stamp_ms: evidence.stamp_ms, attestations }
    }
}

fn stream(key: &SigningKey) -> StreamId {
    StreamId::new(&AuthorId::of_first_key(&key.public_key()), LABEL)
}

/// The records under this name: consent that is given and taken back, deposits, accesses; each patient has
/// records of several authors.
fn story(id: RecordId) -> Vec<v1::Record> {
    let (author, round) = (id.stream, id.sequence / 5);
    let mut tag = [0x40; 32];
    tag[31] = u8::try_from((author + round) % 3).expect("below 3");
    let says = |kind: Kind, actor: v1::Actor, details: &Value| {
        let mut record = new_message(kind, Some(&tag), PAST_MS);
        record.auth = Some(v1::Authentication {
            issuer: "pro-sante-connect".into(),
            method: "card".into(),
            eidas_level: "substantial".into(),
        });
        record.actor = Some(actor);
        record.details = if details.is_null() { String::new() } else { details.to_string() };
        record
    };
    let patient = || v1::Actor { system: "urn:sillage:patient".into(), id: "self".into(), ..v1::Actor::default() };
    let doctor = v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".into(),
        id: format!("101000000{author:02}"),
        role: "10".into(),
        organisation: format!("75000{author:04}"),
        label: format!("Dr {author}"),
    };
    let name = format!("{author}-{round}");
    let items = vec![v1::Item { id: format!("item-{author}-{}", id.sequence), ..v1::Item::default() }];
    let deposit = |actor| v1::Record { items: items.clone(), ..says(Kind::ACCESS_WRITE, actor, &Value::Null) };
    match id.sequence % 5 {
        0 => {
            let grantee = format!("{}|{}", doctor.system, doctor.id);
            let details = json!({
                "id": name, "effect": "permit", "grantee": {"professional": grantee}, "actions": ["read", "search"],
            });
            vec![says(Kind::CONSENT_DIRECTIVE, patient(), &details)]
        }
        1 | 3 => vec![deposit(doctor)],
        2 => vec![v1::Record { items, ..says(Kind::ACCESS_READ, doctor, &Value::Null) }],
        // The round begins with the directive; the first one begins without.
        _ if round == 0 => vec![deposit(doctor)],
        _ => vec![says(Kind::CONSENT_REVOKED, patient(), &json!({"consent": name})), deposit(doctor)],
    }
}
