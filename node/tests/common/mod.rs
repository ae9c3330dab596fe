//! Nodes in this process, with real ledgers, real replicas and real connections between them.

// Each test binary takes of it what it needs.
#![allow(dead_code)]

pub mod asking;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use sillage_ledger::{EntryReader, GenesisInfo};
use sillage_node::config::{LimitsConfig, NodeConfig};
use sillage_node::core::Core;
use sillage_node::core::clock::WallClock;
use sillage_node::init::authorities::AuthoritiesPlan;
use sillage_node::init::genesis::LogTerms;
use sillage_node::init::{self, NodePlan, Plan};
use sillage_node::metrics::Metrics;
use sillage_node::secrets::Secrets;
use sillage_node::service;
use sillage_node::tls::accept::{AcceptLimits, accept};
use sillage_proof::LeafIndex;
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proto::v1::{Batch, Genesis, PatientIdentity, Record, SaltedRecord};
use sillage_rules::act::PartyRegistration;
use sillage_rules::entry::Entry;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{ParsedRecord, new_message, record_hash};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub const ORIGIN: &str = "ledger.example/test";
const STREAM: &str = "test";

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not so far")
}

/// The seed in a key file.
pub fn key(path: &Path) -> SigningKey {
    let text = std::fs::read_to_string(path).expect("a key file");
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).expect("a seed");
    SigningKey::from_seed(&seed)
}

/// Waits until something holds; a test that waits in vain says for what.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_500 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not in half a minute");
}

/// The files of a log of some nodes, and the ports that they were given.
pub struct Deployment {
    dir: tempfile::TempDir,
    ports: Vec<Option<std::net::TcpListener>>,
}

/// A node that runs.
pub struct Running {
    pub core: Arc<Core>,
    /// The records, as only its ledger shows them.
    pub entries: EntryReader,
    pub metrics: Metrics,
    /// Its own: what the node has spawned ends with it, connections included.
    runtime: Runtime,
}

impl Deployment {
    pub fn new(nodes: u64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = |listener: &std::net::TcpListener| listener.local_addr().expect("bound").port();
        let (mut ports, mut plans) = (Vec::new(), Vec::new());
        for id in 1..=nodes {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let client = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let host = "127.0.0.1".to_owned();
            plans.push(NodePlan { id, host, client_port: port(&client), peer_port: port(&listener) });
            ports.push(Some(listener));
        }
        let plan = Plan {
            dir: dir.path().to_owned(),
            terms: LogTerms::test(ORIGIN),
            nodes: plans,
            listen: None,
            authority: "authority".to_owned(),
            authorities: AuthoritiesPlan::made(1, 1),
            valid_years: 1,
            with_profile: true,
            limits: LimitsConfig { shutdown_grace_ms: 500, ..LimitsConfig::default() },
            gateway: None,
            witnesses: Vec::new(),
        };
        init::create(&plan).expect("a deployment");
        Self { dir, ports }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Another party of the genesis, before any node starts.
    pub fn found_with(&self, party: &PartyRegistration) {
        let file = NodeConfig::load(&self.path("node-1/node.toml")).expect("a configuration").genesis;
        let mut genesis = Genesis::decode(&*std::fs::read(&file).expect("a genesis")).expect("a genesis");
        genesis.parties.push(party.to_message());
        for id in 1..=self.ports.len() {
            let file = NodeConfig::load(&self.path(&format!("node-{id}/node.toml"))).expect("a configuration").genesis;
            std::fs::write(&file, genesis.encode_to_vec()).expect("a genesis");
        }
    }

    pub fn node_key(&self, id: u64) -> SigningKey {
        key(&self.path(&format!("node-{id}/keys/node.key")))
    }

    pub fn log_key(&self) -> SigningKey {
        key(&self.path("node-1/keys/log.key"))
    }

    pub async fn start(&mut self, id: u64) -> Running {
        self.start_with(id, |_| ()).await
    }

    /// Starts a node with another configuration than the one on disk.
    pub async fn start_with(&mut self, id: u64, change: impl FnOnce(&mut NodeConfig)) -> Running {
        self.start_on(id, Arc::new(now_ms), change).await
    }

    /// Starts a node on this clock.
    pub async fn start_on(&mut self, id: u64, wall: WallClock, change: impl FnOnce(&mut NodeConfig)) -> Running {
        let file = self.path(&format!("node-{id}/node.toml"));
        let mut config = NodeConfig::load(&file).expect("a configuration");
        change(&mut config);
        let genesis = std::fs::read(&config.genesis).expect("a genesis");
        let info = GenesisInfo::parse(&genesis).expect("a genesis");
        let secrets = Secrets::load(&config, &info).expect("secrets");
        let place = usize::try_from(id).expect("few") - 1;
        let listener = self.ports[place].take().unwrap_or_else(|| bind_again(&config.listen_peer));
        self.ports[place] = Some(listener.try_clone().expect("a port"));
        listener.set_nonblocking(true).expect("a port");
        let metrics = Metrics::new(id);
        let limits = AcceptLimits {
            connections_max: 64,
            per_caller_max: 64,
            handshakes_max: 64,
            handshake_timeout: Duration::from_secs(5),
            silence_max: Duration::from_secs(60),
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let counted = metrics.clone();
        let core = runtime.spawn(async move {
            let started = Core::start_with_clock(&config, secrets, &genesis, counted.clone(), wall);
            let (core, entries) = started.expect("a node");
            let listener = TcpListener::from_std(listener).expect("a port");
            let peer_tls = core.peer_tls().expect("certificates");
            let incoming = accept(listener, peer_tls, limits, "peer", counted);
            let serving = tonic::transport::Server::builder().add_routes(service::peer_routes(Arc::clone(&core)));
            tokio::spawn(serving.serve_with_incoming(incoming));
            (core, entries)
        });
        let (core, entries) = core.await.expect("it starts");
        Running { core, entries, metrics, runtime }
    }
}

fn bind_again(address: &str) -> std::net::TcpListener {
    std::net::TcpListener::bind(address).expect("the port that it had")
}

impl Running {
    /// The record of a reading at this index; `None` where something else stands.
    pub fn consulted(&self, index: LeafIndex) -> Option<Record> {
        match self.entries.decoded_entry(index).expect("readable").expect("on record") {
            Entry::Record(entry) if entry.kind == Kind::LOG_CONSULTED => {}
            _ => return None,
        }
        let payload = self.entries.payload(index).expect("readable").expect("public by nature");
        Some(Record::decode(&payload[SALT_BYTES..]).expect("a record"))
    }

    /// Stops it and lets go of its database.
    pub async fn stop(self) {
        let Self { core, entries, runtime, .. } = self;
        drop(entries);
        core.shutdown().await;
        let weak = Arc::downgrade(&core);
        drop(core);
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        ended.await.expect("no panic");
        until("the database is closed", async || (weak.strong_count() == 0).then_some(())).await;
    }
}

/// The part of a record that is signed. One that breaks the rules is filed nowhere: anything will do.
pub fn leaf(salt: &[u8; 16], record: &[u8]) -> BatchLeaf {
    let hash = record_hash(salt, record);
    let nowhere = BatchLeaf { kind: 0, stated: 0, tag: [0; 32], record_hash: hash };
    ParsedRecord::parse(record).map_or(nowhere, |record| record.batch_leaf(hash))
}

/// The signer of batches.
pub struct Author {
    key: SigningKey,
    seq: u64,
}

impl Author {
    pub fn new(key: SigningKey) -> Self {
        Self { key, seq: 0 }
    }

    pub fn id(&self) -> AuthorId {
        AuthorId::of_first_key(&self.key.public_key())
    }

    /// The next batch, of one record.
    pub fn batch(&mut self, record: &Record) -> Batch {
        self.seq += 1;
        let record = record.encode_to_vec();
        let root = batch_root(&[leaf(&[7; 16], &record)]);
        let message = BatchMessage {
            key_id: self.key.key_id(),
            origin: Origin::new(ORIGIN).expect("valid"),
            stream_id: StreamId::new(&self.id(), STREAM),
            seq: self.seq,
            count: 1,
            root,
        };
        Batch {
            alg: 1,
            key_id: self.key.key_id().as_bytes().to_vec(),
            stream_label: STREAM.to_owned(),
            seq: self.seq,
            root: root.as_bytes().to_vec(),
            signature: message.sign(&self.key).to_vec(),
            records: vec![SaltedRecord { salt: vec![7; 16], record }],
        }
    }
}

/// An access to the data of a test patient.
pub fn access(core: &Core) -> Record {
    let identity = PatientIdentity { ins: "279035121518989".to_owned(), oid: "1.2.250.1.213.1.4.10".to_owned() };
    let tags = core.tags().resolve(&[identity]).expect("a test identity");
    let tag = tags[0].tag[..].try_into().expect("32 bytes");
    let mut record = new_message(Kind::ACCESS_READ, Some(&tag), now_ms());
    record.actor = Some(sillage_proto::v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".to_owned(),
        id: "10100534436".to_owned(),
        role: "physician".to_owned(),
        ..Default::default()
    });
    record.purpose = "TREAT".to_owned();
    record
}

/// Records one access; gives the size from which a checkpoint covers it.
pub async fn record(core: &Core, author: &mut Author) -> u64 {
    let batch = author.batch(&access(core));
    let done = core.submit(batch).await.expect("recorded");
    let receipt = done.receipt.expect("a receipt");
    let receipt = sillage_proof::batch::ReceiptMessage::decode(&receipt.message).expect("a receipt");
    receipt.first_index.get() + 1
}

/// A copy of a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), &target).expect("a copy")),
        }
    }
}
