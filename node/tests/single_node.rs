//! One node in this process, with the real ledger and the real replica: what an author gets for what it sends.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use sillage_ledger::seal::{KekFile, KekProvider as _, TagPrefix, layout};
use sillage_ledger::{GenesisInfo, Party, Refusal};
use sillage_node::config::{LimitsConfig, NodeConfig};
use sillage_node::core::Core;
use sillage_node::init::authorities::AuthoritiesPlan;
use sillage_node::init::genesis::LogTerms;
use sillage_node::init::{self, NodePlan, Plan};
use sillage_node::metrics::Metrics;
use sillage_node::secrets::Secrets;
use sillage_proof::batch::{BatchMessage, Origin, ReceiptMessage, batch_root};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proof::note::SignedNote;
use sillage_proof::{Hash, LeafIndex, TreeSize, merkle};
use sillage_proto::internal::v1::{SealedBatch, SealedRecord, WrappedKey};
use sillage_proto::v1::{Actor, Batch, PatientIdentity, Record, SaltedRecord, SubmitResponse, TraceRequest};
use sillage_rules::codes::Code;
use sillage_rules::facts::{HAS_BASIS, IS_DEFERRED, facts_of};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message, record_hash};
use sillage_rules::roles::Roles;
use sillage_rules::time::TimeMs;

const ORIGIN: &str = "ledger.example/test";
const STREAM: &str = "test";
/// Stands in every record; must stand nowhere on disk.
const MARKER: &str = "MARKER-of-a-patient-in-clear-7f3a";

struct Node {
    core: Arc<Core>,
    metrics: Metrics,
    author: SigningKey,
    tag: [u8; 32],
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not so far")
}

fn create(dir: &Path, terms: LogTerms) {
    let node = NodePlan { id: 1, host: "127.0.0.1".to_owned(), client_port: 7400, peer_port: 7401 };
    let plan = Plan {
        dir: dir.to_owned(),
        terms,
        nodes: vec![node],
        listen: None,
        authority: "authority".to_owned(),
        authorities: AuthoritiesPlan::made(1, 1),
        valid_years: 1,
        with_profile: true,
        limits: LimitsConfig::default(),
        gateway: None,
        witnesses: Vec::new(),
    };
    init::create(&plan).expect("a deployment");
}

impl Node {
    async fn start(dir: &Path) -> Self {
        let config = NodeConfig::load(&dir.join("node-1/node.toml")).expect("a configuration");
        let genesis = std::fs::read(&config.genesis).expect("a genesis");
        let info = GenesisInfo::parse(&genesis).expect("a genesis");
        let secrets = Secrets::load(&config, &info).expect("secrets");
        let metrics = Metrics::new(1);
        let core = Core::start(&config, secrets, &genesis, metrics.clone()).expect("a node");
        while core.leader().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seed = std::fs::read_to_string(dir.join("keys/profile.key")).expect("a key");
        let mut bytes = [0; 32];
        hex::decode_to_slice(seed.trim(), &mut bytes).expect("a seed");
        let identity = PatientIdentity { ins: "279035121518989".to_owned(), oid: "1.2.250.1.213.1.4.10".to_owned() };
        let tags = core.tags().resolve(&[identity]).expect("a test identity");
        Self {
            core,
            metrics,
            author: SigningKey::from_seed(&bytes),
            tag: tags[0].tag[..].try_into().expect("32 bytes"),
        }
    }

    fn record(&self, kind: Kind, occurred_at_ms: u64) -> Record {
        let mut record = new_message(kind, Some(&self.tag), occurred_at_ms);
        record.actor = Some(Actor {
            system: "urn:oid:1.2.250.1.71.4.2.1".to_owned(),
            id: "10100534436".to_owned(),
            role: "physician".to_owned(),
            label: MARKER.to_owned(),
            ..Actor::default()
        });
        record.purpose = "TREAT".to_owned();
        record
    }

    fn batch(&self, seq: u64, records: &[Record]) -> Batch {
        self.signed_by(&self.author, seq, records)
    }

    fn signed_by(&self, key: &SigningKey, seq: u64, records: &[Record]) -> Batch {
        let salted: Vec<SaltedRecord> = (0_u8..)
            .zip(records)
            .map(|(salt, record)| SaltedRecord { salt: vec![salt; 16], record: record.encode_to_vec() })
            .collect();
        let leaf = |(salt, salted): (u8, &SaltedRecord)| common::leaf(&[salt; 16], &salted.record);
        let root = batch_root(&(0_u8..).zip(&salted).map(leaf).collect::<Vec<_>>());
        let author = AuthorId::of_first_key(&key.public_key());
        let message = BatchMessage {
            key_id: key.key_id(),
            origin: Origin::new(ORIGIN).expect("valid"),
            stream_id: StreamId::new(&author, STREAM),
            seq,
            count: u32::try_from(records.len()).expect("few"),
            root,
        };
        Batch {
            alg: 1,
            key_id: key.key_id().as_bytes().to_vec(),
            stream_label: STREAM.to_owned(),
            seq,
            root: root.as_bytes().to_vec(),
            signature: message.sign(key).to_vec(),
            records: salted,
        }
    }

    async fn refused(&self, batch: Batch) -> (Code, Option<u64>) {
        let recorded = self.metrics.events_appended.get();
        let refusal: Refusal = self.core.submit(batch).await.expect_err("refused");
        assert_eq!(self.metrics.events_appended.get(), recorded, "nothing is recorded");
        (refusal.code, refusal.expected_seq)
    }

    fn check_receipt(&self, response: &SubmitResponse) -> ReceiptMessage {
        let receipt = response.receipt.as_ref().expect("a receipt");
        let message = ReceiptMessage::decode(&receipt.message).expect("a receipt message");
        let node = self.core.genesis().node(1).expect("this node");
        message.verify(&node.key, &receipt.signature).expect("signed by the node");
        message
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_gets_what_the_contract_says() {
    let dir = tempfile::tempdir().expect("a folder");
    create(dir.path(), LogTerms::test(ORIGIN));
    let node = Node::start(dir.path()).await;
    let now = now_ms();
    let read = node.record(Kind::ACCESS_READ, now);

    // Recorded, and the same again: the original answer.
    let first = node.batch(1, &[read.clone(), node.record(Kind::ACCESS_PRINT, now)]);
    let done = node.core.submit(first.clone()).await.expect("recorded");
    assert!(!done.repeated);
    let receipt = node.check_receipt(&done);
    assert_eq!(receipt.batch.count, 2);
    let first_index = receipt.first_index.get();
    assert!(first_index >= 2, "after the genesis and the header of the batch");
    let again = node.core.submit(first.clone()).await.expect("recorded before");
    assert!(again.repeated);
    assert_eq!(node.check_receipt(&again), receipt);

    // Retries that overlap: all get one answer.
    let mut opened = node.record(Kind::BREAKGLASS_OPENED, now);
    let expires = TimeMs(now + 3_600_000);
    opened.details = format!(
        r#"{{"id":"bg-1","case":"INCAPACITY","reason":"unconscious","expires":"{expires}","search":"TRAITS","no_position":"INDOORS"}}"#
    );
    let second = node.batch(2, &[opened]);
    let retries = (0..8).map(|_| {
        let (core, batch) = (Arc::clone(&node.core), second.clone());
        tokio::spawn(async move { core.submit(batch).await })
    });
    let (mut originals, mut second_indices) = (0, Vec::new());
    for retry in retries.collect::<Vec<_>>() {
        let done = retry.await.expect("no panic").expect("recorded");
        originals += u32::from(!done.repeated);
        second_indices.push(node.check_receipt(&done).first_index.get());
    }
    assert_eq!(originals, 1);
    second_indices.dedup();
    assert_eq!(second_indices.len(), 1, "all get one answer");
    let indices = [second_indices[0], first_index + 1, first_index];

    refusals(&node, &read).await;
    shown_and_proven(&node, indices).await;

    // After a stop: the same state, and no plaintext in the data directory.
    let newest = node.core.newest_checkpoint().await.expect("a checkpoint");
    node.core.shutdown().await;
    drop(node);
    assert!(holds(dir.path(), ORIGIN), "the search finds what is there");
    assert!(!holds(&dir.path().join("node-1/data"), MARKER));
    let node = Node::start(dir.path()).await;
    let again = node.core.submit(first).await.expect("recorded before");
    assert!(again.repeated);
    assert_eq!(node.core.reader().root_at(TreeSize(newest.size)).expect("so many entries"), newest.root);
    let later = node.core.newest_checkpoint().await.expect("a checkpoint");
    assert!(later.size >= newest.size);
    node.core.shutdown().await;
}

/// A batch as a node would hand it on that admitted it, under a data key that it made, and with nothing that opens under
/// it: only the author could tell.
fn handed_on(batch: &Batch, keks: &KekFile) -> SealedBatch {
    let mut new_keys = Vec::new();
    let records = batch.records.iter().map(|salted| {
        let parsed = ParsedRecord::parse(&salted.record).expect("a record");
        let (tag, data_key_id) = (parsed.entry_tag().to_vec(), vec![7; 16]);
        if new_keys.is_empty() {
            let (entry_tag, origin) = (parsed.entry_tag(), Origin::new(ORIGIN).expect("valid"));
            let aad = layout::wrapped_aad(&origin, &entry_tag, &[7; 16], 1);
            let sealed = keks.wrap((TagPrefix::of(&entry_tag), 1), &[9; 12], &aad, &[8; 32]).expect("its key is there");
            let wrapped = [&[1, 1, 0, 0, 0, 1][..], &[9; 12], &sealed].concat();
            new_keys.push(WrappedKey { tag: tag.clone(), data_key_id: data_key_id.clone(), wrapped });
        }
        SealedRecord {
            kind: parsed.kind().code().into(),
            tag: tag.into(),
            record_hash: record_hash(salted.salt[..].try_into().expect("16 bytes"), &salted.record)
                .to_bytes()
                .to_vec()
                .into(),
            payload: [&[1, 1][..], &data_key_id, &[5; 60]].concat().into(),
            occurred_at_ms: parsed.occurred_at_ms(),
            facts: facts_of(&parsed),
        }
    });
    let records = records.collect();
    SealedBatch {
        alg: batch.alg,
        key_id: batch.key_id.clone(),
        stream_label: batch.stream_label.clone(),
        seq: batch.seq,
        root: batch.root.clone(),
        signature: batch.signature.clone(),
        records,
        new_keys,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_hands_on_is_filed_as_its_author_signed_it_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a folder");
    create(dir.path(), LogTerms::test(ORIGIN));
    let node = Node::start(dir.path()).await;
    let mut other = node.tag;
    other[31] ^= 1;
    let keks = KekFile::open(&dir.path().join("node-1/keys/keyring")).expect("a keyring");
    let honest = handed_on(&node.batch(1, &[node.record(Kind::ACCESS_READ, now_ms())]), &keks);
    let filed_otherwise: [&dyn Fn(&mut SealedBatch); 4] = [
        &|batch| {
            batch.records[0].tag = other.to_vec().into();
            batch.new_keys[0].tag = other.to_vec();
        },
        &|batch| batch.records[0].kind = Kind::ACCESS_PRINT.code().into(),
        &|batch| batch.records[0].facts = HAS_BASIS,
        &|batch| batch.records[0].facts = IS_DEFERRED,
    ];
    for change in filed_otherwise {
        let mut batch = honest.clone();
        change(&mut batch);
        let refusal = node.core.submit_forwarded(batch, 0).await.expect_err("not as signed");
        assert_eq!(refusal.code, Code::RootMismatch, "{refusal}");
    }
    let mut planted = honest.clone();
    planted.new_keys[0].wrapped = [&[1, 1, 0, 0, 0, 1][..], &[9; 60]].concat();
    let refusal = node.core.submit_forwarded(planted, 0).await.expect_err("no key at all");
    assert_eq!(refusal.code, Code::MalformedRequest, "{refusal}");
    let done = node.core.submit_forwarded(honest, 0).await.expect("as signed");
    assert_eq!(node.check_receipt(&done).batch.seq, 1);
    node.core.shutdown().await;
}

/// The same batch goes through the Raft log each time: an author must not fill it with what is on record already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeated_counts_against_the_quota() {
    let dir = tempfile::tempdir().expect("a folder");
    create(dir.path(), LogTerms { quota_events_per_s: 1, ..LogTerms::test(ORIGIN) });
    let node = Node::start(dir.path()).await;
    let batch = node.batch(1, &vec![node.record(Kind::ACCESS_READ, now_ms()); 250]);
    let mut taken = 0;
    let refusal = loop {
        match node.core.submit(batch.clone()).await {
            Ok(done) => assert_eq!(done.repeated, taken > 0),
            Err(refusal) => break refusal,
        }
        taken += 1;
        assert!(taken < 2, "no end");
    };
    assert_eq!(refusal.code, Code::QuotaExceeded);
    // The first one passes whatever its size, and is paid off before there is another.
    assert!(taken == 1 && refusal.retry_after_ms > Some(240_000), "{taken} {:?}", refusal.retry_after_ms);
    node.core.shutdown().await;
}

async fn refusals(node: &Node, read: &Record) {
    let one = std::slice::from_ref(read);
    let refused = |batch| node.refused(batch);
    let other = node.record(Kind::ACCESS_DELETE, read.occurred_at_ms);
    assert_eq!(refused(node.batch(2, &[other])).await.0, Code::SequenceReused);
    assert_eq!(refused(node.batch(4, one)).await, (Code::OutOfOrder, Some(3)));
    let mut forged = node.batch(3, one);
    forged.signature[0] ^= 1;
    assert_eq!(refused(forged).await.0, Code::BadSignature);
    let stranger = SigningKey::from_seed(&[42; 32]);
    assert_eq!(refused(node.signed_by(&stranger, 1, one)).await.0, Code::UnknownKey);
    let mut altered = node.batch(3, one);
    altered.records[0].salt[0] ^= 1;
    assert_eq!(refused(altered).await.0, Code::RootMismatch);
    let mut large = read.clone();
    large.outcome_text = "x".repeat(61_440);
    assert_eq!(refused(node.batch(3, &[large])).await.0, Code::RecordTooLarge);
    let mut ahead = read.clone();
    ahead.occurred_at_ms += 400_000;
    assert_eq!(refused(node.batch(3, &[ahead])).await.0, Code::TimeAhead);
    let mut unknown = read.clone();
    unknown.kind = 0x0699;
    assert_eq!(refused(node.batch(3, &[unknown])).await.0, Code::UnknownKind);
    let mut empty = node.batch(3, one);
    empty.records.clear();
    assert_eq!(refused(empty).await.0, Code::EmptyBatch);
    let mut crowd = node.batch(3, one);
    crowd.records = vec![crowd.records[0].clone(); 4_097];
    assert_eq!(refused(crowd).await.0, Code::TooManyRecords);
}

/// `expected`: the indices of the patient's entries, the newest first.
async fn shown_and_proven(node: &Node, expected: [u64; 3]) {
    node.core.up_to_date().await.expect("a leader");
    let mut request = TraceRequest { tag: node.tag.to_vec(), limit: 2, ..TraceRequest::default() };
    let itself = Party {
        author_id: AuthorId::of_first_key(&node.author.public_key()),
        name: "the patient".to_owned(),
        roles: Roles::PATIENT,
        quota_events_per_s: 0,
        tls_spki_sha256: Vec::new(),
        keys: Vec::new(),
        patient_tag: Some(node.tag),
        patient_secret_tag: None,
        patient_commitment: None,
        registered_at: LeafIndex(0),
        vouches_for: [0; 3],
    };
    let page = async |request: &TraceRequest| {
        let page = node.core.disclose(&itself, request.clone()).await?;
        Ok::<_, Refusal>(page.into_response().into_inner())
    };
    let newest = page(&request).await.expect("a page");
    let indices: Vec<u64> = newest.lines.iter().map(|line| line.index).collect();
    assert_eq!(indices, expected[..2]);
    let record = ParsedRecord::parse(&newest.lines[1].record).expect("as signed");
    assert_eq!(record.kind(), Kind::ACCESS_PRINT);
    request.cursor = newest.next_cursor;
    let rest = page(&request).await.expect("a page");
    assert_eq!(rest.lines.len(), 1);
    assert!(rest.next_cursor.is_empty(), "the end");
    request.cursor[5] ^= 1;
    assert_eq!(page(&request).await.unwrap_err().code, Code::InvalidCursor);
    let break_glass = TraceRequest { tag: node.tag.to_vec(), only_break_glass: true, ..TraceRequest::default() };
    assert_eq!(page(&break_glass).await.expect("a page").lines.len(), 1);

    let index = expected[1];
    let newest = node.core.checkpoint_of_at_least(index + 1).await.expect("a checkpoint that covers the entry");
    for size in [0, newest.size] {
        let proof = node.core.prove_inclusion(index, size).await.expect("a proof");
        let note = SignedNote::parse(proof.checkpoint.as_bytes()).expect("a signed note");
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(checkpoint.size.get(), proof.size);
        let hashes = proof.path.iter().map(|hash| Hash::from_slice(hash).expect("a hash"));
        let path: Vec<Hash> = hashes.collect();
        let leaf = Hash::from_slice(&proof.leaf_hash).expect("a hash");
        merkle::verify_inclusion(&leaf, LeafIndex(index), checkpoint.size, &path, &checkpoint.root)
            .expect("the entry is in the tree");
    }
    let between = node.core.prove_inclusion(index, index + 1).await.expect("a proof");
    assert_eq!(between.checkpoint, "", "the log signs no size that isn't a checkpoint's");
    let beyond = node.core.prove_inclusion(index, 1_000).await;
    assert_eq!(beyond.unwrap_err().code, Code::SizeNotReached);
    let outside = node.core.prove_inclusion(index, index).await;
    assert_eq!(outside.unwrap_err().code, Code::UnknownIndex);
}

/// Tells whether a file below `dir` holds `text`.
fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).expect("a file");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
