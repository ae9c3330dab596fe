//! What a node does between its ports and its replica.
//!
//! ```text
//! service (gRPC) → admission (bounds, key, signature, quota, records, root, sealing: CPU pool)
//!   → submit ─ this node leads ─▶ lanes (break-glass first) → packer → Raft → apply → receipt
//!            └ another leads ───▶ peer::Forward, and again until the deadline
//! ```
//!
//! Where to start reading: [`submit`] for a batch's way, [`authorize`] for that of a question; [`packer`] for how Raft entries are made; [`reads`] for why a
//! reading on any node is up to date; [`disclose`] for how entries are given to readers; [`rounds`] for how a checkpoint comes about and [`cosign`] for what a node signs.
//!
//! Invariants. Nothing is acknowledged before it was applied after commit on the node that signs the receipt. What is
//! taken on is bounded in bytes. What is served was compared with the hash that the log commits to.

mod account;
pub mod admission;
pub mod alarms;
mod authorize;
pub mod bodies;
pub mod checkpoints;
pub mod clock;
pub mod commits;
pub mod corrupt;
pub mod cosign;
pub mod cosigners;
pub mod cpu;
pub mod cursor;
pub mod disclose;
mod epochs;
mod erase;
mod error;
pub mod feeder;
mod find_group;
mod give_keys;
pub mod inflight;
pub mod keyrings;
pub mod lanes;
pub mod lines;
mod lookout;
pub mod machine;
mod member_steps;
mod members;
mod new_keys;
pub mod packer;
mod proposal;
mod prove;
pub mod quota;
pub mod reads;
pub mod refusals;
pub mod requests;
pub mod room;
pub mod rot;
mod rotations;
mod rounds;
mod share;
pub mod signing;
mod status;
mod submit;
pub mod survivors;
pub mod tags;
pub mod tally;
mod tasks;
mod tiles;
mod trust;
pub mod turns;
pub mod voided;
pub mod witness;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use sillage_cluster::core::Role;
use sillage_cluster::identity::{DiskError, Held, Marker as _, next_run};
use sillage_cluster::runtime::FsyncStats;
use sillage_cluster::{DiskClaim, Handle, LogConfig, Runtime};
use sillage_ledger::seal::{DATA_KEYS_CACHED, KekProvider, Sealer};
use sillage_ledger::{BatchOutcome, EntryReader, GenesisInfo, Ledger, LedgerReader, OpenError, Options, Refusal};
use sillage_proof::keys::AuthorId;
use sillage_proof::note::VerifierKey;
use sillage_rules::codes::Code;
use tokio::sync::{Semaphore, watch};

use crate::config::{LimitsConfig, NodeConfig};
use crate::disk::{self, FileMarker};
use crate::join;
use crate::metrics::Metrics;
use crate::peer::links::Links;
use crate::peer::transport::PeerTransport;
use crate::secrets::Secrets;
use crate::tls::pin::Pins;
use crate::tls::{self, SpkiSha256, TlsError};
use admission::Admission;
use alarms::Alarms;
use bodies::Bodies;
use checkpoints::Checkpoints;
use clock::{Clocks, NoStamp, Stamp, WallClock};
use corrupt::Corruption;
use cosign::{Cosigned, Notes};
use cosigners::Cosigners;
use cpu::Cpu;
use cursor::Cursors;
use disclose::Disclosing;
use erase::Eraser;
pub use error::CoreError;
use inflight::Inflight;
use keyrings::Keyrings;
use lanes::{Lanes, Work};
use lines::Lines;
use machine::Machine;
use members::Members;
use quota::Quotas;
use reads::Reads;
use refusals::from_index;
use room::Room;
use signing::Keys;
use tags::Tags;
use turns::Turns;

type Replica = Handle<Vec<BatchOutcome>>;

/// A running node, without its ports.
pub struct Core {
    config: NodeConfig,
    genesis: Arc<GenesisInfo>,
    reader: LedgerReader,
    replica: Replica,
    links: Arc<Links>,
    transport: Weak<PeerTransport>,
    /// Certificates of the present nodes.
    pins: Pins,
    members: Members,
    admission: Arc<Admission>,
    lanes: Arc<Lanes>,
    lines: Lines,
    inflight: Arc<Inflight>,
    bodies: Arc<Bodies>,
    turns: Arc<Turns>,
    /// For batches that come in.
    writing: Cpu,
    /// For what is read and resolved.
    reading: Cpu,
    reads: Arc<Reads>,
    checkpoints: Checkpoints,
    cosigners: Cosigners,
    keys: Arc<Keys>,
    clocks: Arc<Clocks>,
    /// What this node has cosigned; held while it cosigns.
    cosigned: tokio::sync::Mutex<Cosigned>,
    /// The same, for a look.
    cosigned_last: Mutex<Cosigned>,
    notes: Arc<dyn Notes>,
    corruption: Corruption,
    /// Which disk this is, kept outside the data folder.
    marker: Arc<FileMarker>,
    alarms: Alarms,
    keyrings: Arc<Keyrings>,
    /// Of the disk.
    room: Room,
    /// Nothing more is applied here.
    halted: Arc<AtomicBool>,
    /// When the first of this node's certificates ends, in seconds since 1970.
    certificates_end_s: u64,
    /// Entries applied here.
    applied: watch::Receiver<u64>,
    /// Peers that said what they know of this node.
    heard_from: Mutex<BTreeSet<u64>>,
    /// Those were enough.
    known: AtomicBool,
    /// Checkpoints of peers that are being taken in.
    learning: Arc<Semaphore>,
    /// What proves the rotations up to this size is on disk.
    proved: AtomicU64,
    /// When a checkpoint was last written to disk.
    remembered_at: Mutex<Option<tokio::time::Instant>>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    disclosing: Disclosing,
    eraser: Eraser,
    tags: Arc<Tags>,
    lookups: Quotas<AuthorId>,
    /// Entries opened for each caller.
    opened: Quotas<AuthorId>,
    /// What the witnesses know, before this log grows.
    asked: feeder::Asked,
    /// The largest checkpoint that this node has given out; it has applied as much.
    covered: AtomicU64,
    metrics: Metrics,
    /// How many log writes of each bucket the histogram has seen.
    fsyncs_shown: Mutex<[u64; FsyncStats::BUCKETS]>,
    /// It was told to stop, and may still serve.
    leaving: AtomicBool,
    stopping: AtomicBool,
    running: Mutex<Option<Running>>,
}

/// What has to be stopped in order.
struct Running {
    transport: Arc<PeerTransport>,
    runtime: Runtime<Vec<BatchOutcome>>,
    packer: JoinHandle<()>,
}

/// What the packer works with.
struct Leading {
    reader: LedgerReader,
    replica: Replica,
    clocks: Arc<Clocks>,
}

impl Leading {
    /// What apply would say at a ledger time; and whether it would find anything ahead of that time.
    fn judge(&self, work: &Work, time_ms: u64) -> (Result<(), Refusal>, bool) {
        let is_ahead = |refusal: &Refusal| refusal.code == Code::TimeAhead;
        let verdict = match work {
            Work::Batch(batch) => self.reader.check(batch, time_ms),
            // What concerns one request is for the ledger to say, and no reason to refuse the others.
            Work::Decision(decision) => match self.reader.check_decision(decision, time_ms) {
                Ok(each) => return (Ok(()), each.iter().filter_map(|one| one.as_ref().err()).any(is_ahead)),
                Err(refusal) => Err(refusal),
            },
            Work::Record(record) => self.reader.check_ledger_record(record, time_ms),
        };
        let ahead = verdict.as_ref().err().is_some_and(is_ahead);
        (verdict, ahead)
    }
}

impl packer::Log for Leading {
    fn stamp(&self) -> Result<Stamp, NoStamp> {
        self.clocks.stamp()
    }

    fn check(&self, work: &Work, stamp: &Stamp) -> Result<(), Refusal> {
        let (verdict, ahead) = self.judge(work, stamp.ledger_ms);
        // Where another node's clock says otherwise, it isn't sure that the author's is wrong.
        if ahead && stamp.latest_ms > stamp.ledger_ms && !self.judge(work, stamp.latest_ms).1 {
            return Err(self.clocks.cannot_tell());
        }
        verdict
    }

    fn propose(&self, command: Vec<u8>, time_ms: u64, done: packer::Proposed) {
        self.replica.propose(command, time_ms, done);
    }
}

impl Core {
    /// Opens the database, starts the replica and the packer. Must be called on the runtime that serves the ports.
    ///
    /// # Errors
    /// When data, keys or configuration can't be used.
    pub fn start(
        config: &NodeConfig,
        secrets: Secrets,
        genesis: &[u8],
        metrics: Metrics,
    ) -> Result<Arc<Self>, CoreError> {
        Self::start_with_clock(config, secrets, genesis, metrics, Arc::new(now_ms)).map(|(core, _)| core)
    }

    /// The same on another clock than the machine's. Gives the ledger's entries along with the node, for a test that looks at
    /// what came on record.
    ///
    /// # Errors
    /// As [`Core::start`].
    pub fn start_with_clock(
        config: &NodeConfig,
        secrets: Secrets,
        genesis: &[u8],
        metrics: Metrics,
        wall: WallClock,
    ) -> Result<(Arc<Self>, EntryReader), CoreError> {
        let alarms = Alarms::new(metrics.clone());
        let keks = Arc::new(secrets.keyring);
        let parsed = GenesisInfo::parse(genesis).map_err(OpenError::from)?;
        let marker = Arc::new(FileMarker::beside(&config.keyring, parsed.origin.as_str(), config.id));
        refuse_emptied(config, &marker)?;
        let record = config.data_dir.join(keyrings::RECORD);
        let is_on_record = record.exists();
        if is_on_record {
            keks.keep_record(&record)?;
        }
        let group = parsed.nodes.iter().map(|node| node.id).collect();
        let keyrings = Arc::new(Keyrings::new(config.id, group, Arc::clone(&keks), alarms.clone()));
        keyrings.judge_file();
        let ledger_keks = Arc::clone(&keks) as Arc<dyn KekProvider>;
        let ledger = Ledger::open(&config.data_dir.join("ledger"), genesis, ledger_keks, Options::default())?;
        alarms.keep_rot(&config.data_dir);
        let (reader, entries) = (ledger.reader(), ledger.entry_reader());
        // A folder of before, or a new one: what the ledger holds says whose keyring this is.
        if !is_on_record && !keyrings::opens_some(&reader, &keks)? {
            return Err(CoreError::ForeignKeyring { path: config.keyring.clone() });
        }
        keyrings.set_group(reader.node_set()?.voters().ids());
        keyrings.follow(reader.clone(), (!is_on_record).then_some(record));
        let genesis = Arc::clone(reader.genesis());
        join::has_token(config, &genesis)?;
        check_certificate(config, &reader, &secrets.identity)?;
        let certificates_end_s = secrets.identity.ends_s();
        let links = Arc::new(Links::new(config, secrets.identity));
        let pins = Pins::default();
        members::begin(config, &reader, &links, &pins)?;
        let runtime = tokio::runtime::Handle::current();
        let transport = Arc::new(PeerTransport::start(Arc::clone(&links), runtime));
        let machine = Machine::new(ledger, metrics.clone(), alarms.clone());
        let halted = machine.halted();
        let applied = machine.size();
        let mut replica_config = replica_config(config, &genesis);
        replica_config.marker = Some(marker.clone());
        replica_config.may_begin = disk::may_begin(&config.data_dir);
        let runtime = sillage_cluster::start(replica_config, machine, Arc::clone(&transport))?;
        disk::has_begun(&config.data_dir)?;
        let replica = runtime.handle();
        let unreachable = replica.clone();
        transport.on_unreachable(Box::new(move |peer| unreachable.report_unreachable(peer)));

        let lanes = Arc::new(Lanes::default());
        let keys = Keys::new(config.id, reader.clone(), secrets.node_keys, secrets.log_keys);
        let keys = Arc::new(signing_keys(config, keys)?);
        let leading = replica.clone();
        let clocks = Clocks::new(config.id, wall, reader.clone(), Arc::clone(&keys), move || led_term(&leading));
        let clocks = Arc::new(clocks?);
        let log = Leading { reader: reader.clone(), replica: replica.clone(), clocks: Arc::clone(&clocks) };
        let packer = start_packer(&lanes, log)?;
        let cursors = match members::is_named(config, &reader)? {
            true => Cursors::from_keks(&*keks, &reader)?,
            false => Cursors::unfollowed()?,
        };
        let sealer = Arc::new(Sealer::new(reader.clone(), keks.clone(), DATA_KEYS_CACHED));
        let streams_max = config.limits.entry_streams_per_caller_max;
        let disclosing = Disclosing::new(entries.clone(), Arc::clone(&sealer), cursors, streams_max);
        let reads = reads(replica.clone());
        let notes: Arc<dyn Notes> = Arc::new(replica.clone());
        let cosigned = Cosigned::load(&*notes)?;
        rotations::check_stored(&*notes, &reader)?;
        let core = Arc::new(Self {
            checkpoints: Checkpoints::default(),
            cosigners: Cosigners::new(reader.clone(), witness_keys(config)?),
            keys,
            clocks,
            cosigned: tokio::sync::Mutex::new(cosigned),
            cosigned_last: Mutex::new(cosigned),
            notes,
            corruption: Corruption::new(metrics.clone(), alarms.clone()),
            marker,
            room: Room::new(config),
            halted,
            certificates_end_s,
            alarms: alarms.clone(),
            keyrings,
            applied,
            heard_from: Mutex::default(),
            known: AtomicBool::new(false),
            learning: Arc::new(Semaphore::new(share::LEARNING_MAX)),
            proved: AtomicU64::new(0),
            remembered_at: Mutex::default(),
            tasks: Mutex::default(),
            tags: Arc::new(Tags::new(secrets.vrf_key, genesis.test_log)),
            eraser: Eraser::new(keks, Arc::clone(&sealer)),
            admission: Arc::new(Admission::new(reader.clone(), sealer, disclosing.devices())),
            disclosing,
            lookups: Quotas::default(),
            opened: Quotas::default(),
            asked: feeder::Asked::of(config, &reader),
            covered: AtomicU64::new(0),
            inflight: Inflight::new(config.limits.inflight_bytes_max, metrics.clone()),
            bodies: bodies(&config.limits),
            turns: turns(&config.limits),
            config: config.clone(),
            genesis,
            reader,
            replica,
            links,
            transport: Arc::downgrade(&transport),
            pins,
            members: Members::default(),
            lanes,
            lines: Lines::default(),
            writing: Cpu::telling(alarms.clone()),
            reading: Cpu::yielding(alarms.clone())?,
            reads,
            metrics,
            fsyncs_shown: Mutex::default(),
            leaving: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            running: Mutex::new(Some(Running { transport, runtime, packer })),
        });
        core.start_tasks();
        Ok((core, entries))
    }

    /// Lets what is in work finish for a moment, then stops the packer and the replica. What was acknowledged is on
    /// disk in the Raft log already.
    pub async fn shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop_tasks().await;
        let grace = Duration::from_millis(self.config.limits.shutdown_grace_ms);
        let until = tokio::time::Instant::now() + grace;
        while self.inflight.bytes() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let Some(running) = self.running.lock().take() else {
            return;
        };
        self.lanes.close();
        running.transport.stop_fetching();
        let stopped = tokio::task::spawn_blocking(move || {
            running.runtime.shutdown();
            // Stopped by the closed lanes; every entry under way was answered by the replica.
            if running.packer.join().is_err() {
                tracing::error!("the packer had panicked");
            }
        });
        // A replica whose disk failed waits in the middle of its work; it ends with the process.
        let patience = if self.is_out() { grace } else { Duration::MAX };
        match tokio::time::timeout(patience, stopped).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "stopping the replica failed"),
            Err(_) => tracing::error!("the replica can't be stopped in order: its disk failed"),
        }
        self.store_mark();
        self.keyrings.let_go();
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// What the genesis entry says.
    pub fn genesis(&self) -> &Arc<GenesisInfo> {
        &self.genesis
    }

    /// Reads the state of the ledger as it is applied here, not what concerns someone; after [`Core::up_to_date`] for what must be up to date.
    pub fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether this node's keyring is the group's.
    pub fn keyrings(&self) -> &Arc<Keyrings> {
        &self.keyrings
    }

    /// What is wrong with this node.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The log's key as the line that verifiers are given.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn log_vkey(&self) -> Result<String, Refusal> {
        Ok(self.keys.log_vkey(self.reader.tree_size().get())?.to_string())
    }

    /// Waits until this node has applied all that the group had committed when this was called.
    ///
    /// # Errors
    /// `NO_LEADER` when nobody can tell.
    pub async fn up_to_date(&self) -> Result<(), Refusal> {
        self.corruption.check()?;
        if self.config.isolated {
            // A copy is read as it is: nobody else can tell what came after it.
            return Ok(());
        }
        self.keyrings.check()?;
        if self.is_halted() {
            return Err(refusals::refuse(Code::Storage));
        }
        if self.is_out() && self.links.iter().next().is_some() {
            // It doesn't hear its peers, so it can't know what they have committed.
            return Err(refusals::refuse(Code::ReadOnly));
        }
        self.reads.wait().await
    }

    /// Runs a reading on the CPU pool.
    ///
    /// # Errors
    /// What the reading says; `BUSY` when too much waits.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.reading.run(work).await
    }

    /// What resolves identities.
    pub fn tags(&self) -> Arc<Tags> {
        Arc::clone(&self.tags)
    }

    /// The room for requests on the client port.
    pub fn bodies(&self) -> &Arc<Bodies> {
        &self.bodies
    }

    /// Whose turn it is, of each caller's calls.
    pub fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Gives the replica a message from a peer; dropped when too many wait.
    /// A node that may have forgotten what it did takes no part before its peers have told it.
    pub fn step(&self, claim: Option<DiskClaim>, message: Vec<u8>) {
        if self.knows_itself() && !self.is_out() {
            self.replica.step_from(claim, message);
        }
    }

    /// The node that has a certificate.
    pub fn node_of_spki(&self, spki: &SpkiSha256) -> Option<u64> {
        self.pins.id_of(spki)
    }

    /// The peer port's side of TLS: it takes the present nodes alone, whoever they are at each handshake.
    ///
    /// # Errors
    /// When certificate and key don't go together.
    pub fn peer_tls(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls::server_config(self.links.identity(), Some(self.pins.clone()))
    }

    /// The leader that this node knows of.
    pub fn leader(&self) -> Option<u64> {
        self.replica.status().core.leader
    }

    fn leads(&self) -> bool {
        self.leader() == Some(self.config.id)
    }

    /// What time it is, as far as this node can tell.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clocks.now_ms()
    }

    /// Whether this node was told to stop.
    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire) || self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// One caller takes at most a quarter of the room, but its largest batch always fits.
fn bodies(limits: &LimitsConfig) -> Arc<Bodies> {
    let one_batch = limits.request_bytes_max + (1 << 10);
    Bodies::new(limits.inflight_bytes_max.max(one_batch), (limits.inflight_bytes_max / 4).max(one_batch))
}

fn turns(limits: &LimitsConfig) -> Arc<Turns> {
    let (reads, writes) = (limits.reads_per_caller_max, limits.writes_per_caller_max);
    Turns::new(reads, writes, limits.waiting_per_caller_max)
}

/// Nothing is made in an emptied data folder: what is wrong is said first. The replica judges the rest, when it has read the
/// Raft log.
fn refuse_emptied(config: &NodeConfig, marker: &FileMarker) -> Result<(), CoreError> {
    let has = |name: &str| config.data_dir.join(name).exists();
    if has("ledger") || has("raft") {
        return Ok(());
    }
    let mark = marker.load().map_err(DiskError::Unusable)?;
    let held = Held { run: None, empty: true, last: 0 };
    next_run(held, mark, disk::may_begin(&config.data_dir), &mut || 0)?;
    Ok(())
}

/// A key that no act has replaced must be the one of the genesis entry: else the file is another node's.
fn signing_keys(config: &NodeConfig, keys: Keys) -> Result<Keys, CoreError> {
    match keys.lacks_first() {
        true => Err(CoreError::NodeKey { path: config.node_key.clone(), id: config.id }),
        false => Ok(keys),
    }
}

/// Once the ledger here names this node, it must be the one that it names.
fn check_certificate(config: &NodeConfig, reader: &LedgerReader, identity: &tls::Identity) -> Result<(), CoreError> {
    let set = reader.node_set()?;
    match set.node(config.id) {
        Some(node) if node.tls_spki_sha256 != identity.spki_sha256()? => {
            Err(CoreError::Certificate { path: config.tls.cert.clone(), id: config.id })
        }
        _ => Ok(()),
    }
}

fn reads(replica: Replica) -> Arc<Reads> {
    Reads::new(Box::new(move |done| {
        replica.read_index(Box::new(move |read| done(read.map(|_| ()).map_err(from_index))));
    }))
}

fn witness_keys(config: &NodeConfig) -> Result<Vec<VerifierKey>, CoreError> {
    config.witnesses.iter().map(|witness| witness.key().map_err(CoreError::Witness)).collect()
}

fn start_packer(lanes: &Arc<Lanes>, log: Leading) -> std::io::Result<JoinHandle<()>> {
    let lanes = Arc::clone(lanes);
    let pack = move || {
        let packed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| packer::run(&lanes, &log)));
        if packed.is_err() {
            fatal("the packer panicked");
        }
    };
    std::thread::Builder::new().name("packer".to_owned()).spawn(pack)
}

/// A node that isn't of the genesis knows no members before its first snapshot: it can't found a group.
fn replica_config(config: &NodeConfig, genesis: &GenesisInfo) -> sillage_cluster::NodeConfig {
    let voters = genesis.nodes.iter().map(|node| node.id).collect();
    let mut replica = sillage_cluster::NodeConfig::new(config.id, voters, &config.data_dir);
    replica.tick_ms = config.raft.tick_ms;
    replica.core.election_ticks = config.raft.election_ticks;
    replica.core.heartbeat_ticks = config.raft.heartbeat_ticks;
    replica.core.log_max_bytes = config.raft.log_bytes_max;
    replica.core.log_keep_bytes = config.raft.log_keep_bytes;
    replica.core.max_message_bytes = config.limits.peer_message_bytes_max;
    replica.log = LogConfig { segment_bytes: config.raft.segment_bytes };
    replica
}

/// The term that a replica leads.
fn led_term(replica: &Replica) -> Option<u64> {
    let status = replica.status();
    (status.core.role == Role::Leader).then_some(status.core.term)
}

/// The machine's clock in milliseconds since 1970; [`Core::now_ms`] is what the group takes the time to be.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Ends the process at once: going on could break a promise.
pub(crate) fn fatal(reason: &str) -> ! {
    tracing::error!("{reason}; the process stops");
    eprintln!("sillage-node: {reason}; the process stops");
    std::process::abort()
}
