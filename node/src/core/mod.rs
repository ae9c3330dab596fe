//! The work of a node between its ports and its replica.
//!
//! ```text
//! service (gRPC) → admission (bounds, key, signature, quota, records, root, sealing: CPU pool)
//!   → submit ─ this node leads ─▶ lanes (break-glass first) → packer → Raft → apply → receipt
//!            └ another leads ───▶ peer::Forward, and again until the deadline
//! ```
//!
//! A node is made of parts, each with one job and a folder:
//!
//! - [`submitting`]: from what a party sends to what is on record; decisions come the same way;
//! - [`disclose`]: how entries and records are given to readers, who are on record first;
//! - [`checkpointing`]: signatures over the log, and what is proven with them;
//! - [`erasing`]: what is erased, and the keys that go with it;
//! - [`membership`]: the nodes of the group;
//! - [`condition`]: whether this node can be trusted and can go on.
//!
//! Beside them: [`machine`] brings the ledger and the replica together; [`reads`] says why a reading on any node is up to date;
//! [`clock`] what time it is; [`keyrings`] whether all nodes hold the same keys; [`tasks`] what a node does by itself.
//!
//! Invariants. Nothing is acknowledged before it was applied after commit on the node that signs the receipt. Accepted
//! work is bounded in bytes. Everything that is served was compared with the hash that the log commits to.

pub mod bodies;
pub mod checkpointing;
pub mod clock;
pub mod condition;
pub mod cpu;
pub mod disclose;
pub mod erasing;
mod error;
mod intake;
pub mod keyrings;
pub mod machine;
mod membership;
pub mod reads;
pub mod signing;
pub mod submitting;
mod tasks;
pub mod turns;
pub mod voided;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use sillage_cluster::core::Role;
use sillage_cluster::identity::{DiskContent, DiskError, Marker as _, next_run};
use sillage_cluster::{DiskClaim, Handle, LogConfig, Runtime};
use sillage_ledger::seal::{DATA_KEYS_CACHED, KekProvider, Sealer};
use sillage_ledger::{CommandOutcome, EntryReader, GenesisInfo, Ledger, LedgerReader, OpenError, Options, Refusal};
use sillage_proof::note::VerifierKey;
use sillage_rules::codes::Code;
use tokio::sync::watch;

use crate::config::NodeConfig;
use crate::disk::{self, FileMarker};
use crate::join;
use crate::metrics::Metrics;
use crate::peer::links::Links;
use crate::peer::transport::PeerTransport;
use crate::refusals::{self, from_index};
use crate::secrets::Secrets;
use crate::tls;
use crate::tls::pin::Pins;
use checkpointing::Checkpointing;
use checkpointing::cosign::{Cosigned, Notes};
use checkpointing::cosigners::Cosigners;
use checkpointing::feeder::WitnessAnswers;
use checkpointing::rotations;
use clock::{Clocks, NoStamp, Stamp, WallClock};
use condition::Condition;
use condition::alarms::Alarms;
use condition::corrupt::Corruption;
use condition::room::DiskRoom;
use cpu::Cpu;
use disclose::Disclosing;
use disclose::cursor::Cursors;
use disclose::tags::Tags;
use erasing::Erasing;
pub use error::CoreError;
use intake::Intake;
use keyrings::Keyrings;
use machine::Machine;
use membership::{Membership, members};
use reads::Reads;
use signing::Keys;
use submitting::admission::Admission;
use submitting::inflight::Inflight;
use submitting::lanes::{Lanes, Work};
use submitting::{Submitting, packer};

type Replica = Handle<Vec<CommandOutcome>>;

/// A running node, without its ports: what all of its parts share, and the parts, each with one job and a folder of its own.
///
/// Locks. A part's locks are private to it, and so are taken in its own folder alone; its type says which they are. Three in the
/// whole node are held over other work: the place of a line ([`Submitting`]), `cosigned` ([`Checkpointing`]) and `changing`
/// ([`Membership`]). None of these is taken while another one is held. Every other lock is held for one look or one change, and no
/// other one is taken meanwhile; the one exception is `heard_from` ([`Checkpointing`]).
pub struct Core {
    config: NodeConfig,
    genesis: Arc<GenesisInfo>,
    reader: LedgerReader,
    replica: Replica,
    links: Arc<Links>,
    /// Entries applied here.
    applied: watch::Receiver<u64>,
    /// For what is read and resolved.
    reading: Cpu,
    reads: Arc<Reads>,
    keys: Arc<Keys>,
    keyrings: Arc<Keyrings>,
    clocks: Arc<Clocks>,
    alarms: Alarms,
    metrics: Metrics,

    intake: Intake,
    submitting: Submitting,
    disclosing: Disclosing,
    checkpointing: Checkpointing,
    erasing: Erasing,
    membership: Membership,
    condition: Condition,

    /// The node's own tasks. Its lock is held for one change, as that of `running` is.
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    running: Mutex<Option<Running>>,
}

/// The parts that have to be stopped in order.
struct Running {
    transport: Arc<PeerTransport>,
    runtime: Runtime<Vec<CommandOutcome>>,
    packer: JoinHandle<()>,
}

/// The tools of the packer.
struct Leading {
    reader: LedgerReader,
    replica: Replica,
    clocks: Arc<Clocks>,
}

impl Leading {
    /// The answer that apply would give at a ledger time; and whether it would find anything ahead of that time.
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
        let tags = Tags::new(secrets.vrf_key, genesis.test_log);
        let disclosing = Disclosing::new((entries.clone(), Arc::clone(&sealer)), cursors, tags, streams_max);
        let admission = Admission::new(reader.clone(), Arc::clone(&sealer), disclosing.devices());
        let inflight = Inflight::new(config.limits.inflight_bytes_max, metrics.clone());
        let reads = reads(replica.clone());
        let notes: Arc<dyn Notes> = Arc::new(replica.clone());
        let cosigned = Cosigned::load(&*notes)?;
        rotations::check_stored(&*notes, &reader)?;
        let cosigners = Cosigners::new(reader.clone(), witness_keys(config)?);
        let corruption = Corruption::new(metrics.clone(), alarms.clone());
        let core = Arc::new(Self {
            intake: Intake::new(&config.limits),
            submitting: Submitting::new(admission, lanes, inflight, Cpu::telling(alarms.clone())),
            disclosing,
            checkpointing: Checkpointing::new(cosigners, cosigned, notes, WitnessAnswers::of(config, &reader)),
            erasing: Erasing::new(keks, sealer),
            membership: Membership::new(pins, Arc::downgrade(&transport)),
            condition: Condition::new(corruption, (marker, DiskRoom::new(config)), halted, certificates_end_s),
            config: config.clone(),
            genesis,
            reader,
            replica,
            links,
            applied,
            reading: Cpu::yielding(alarms.clone())?,
            reads,
            keys,
            keyrings,
            clocks,
            alarms,
            metrics,
            tasks: Mutex::default(),
            running: Mutex::new(Some(Running { transport, runtime, packer })),
        });
        core.start_tasks();
        Ok((core, entries))
    }

    /// Lets what is in work finish for a moment, then stops the packer and the replica. Acknowledged entries are on
    /// disk in the Raft log already.
    pub async fn shutdown(&self) {
        self.condition.stop();
        self.stop_tasks().await;
        let grace = Duration::from_millis(self.config.limits.shutdown_grace_ms);
        let until = tokio::time::Instant::now() + grace;
        while self.submitting.is_busy() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let Some(running) = self.running.lock().take() else {
            return;
        };
        self.submitting.close();
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

    /// The content of the genesis entry.
    pub fn genesis(&self) -> &Arc<GenesisInfo> {
        &self.genesis
    }

    /// Reads the state of the ledger as it is applied here, not what concerns someone; after [`Core::up_to_date`] for what must be up to date.
    pub fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Tells whether this node's keyring is the group's.
    pub fn keyrings(&self) -> &Arc<Keyrings> {
        &self.keyrings
    }

    /// The faults of this node.
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
        self.check_sound()?;
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
    /// The errors of the reading; `BUSY` when too much waits.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.reading.run(work).await
    }

    /// Gives the replica a message from a peer; dropped when too many wait.
    /// A node that may have forgotten what it did takes no part before its peers have told it.
    pub fn step(&self, claim: Option<DiskClaim>, message: Vec<u8>) {
        if self.knows_itself() && !self.is_out() {
            self.replica.step_from(claim, message);
        }
    }

    /// The leader that this node knows of.
    pub fn leader(&self) -> Option<u64> {
        self.replica.status().core.leader
    }

    fn leads(&self) -> bool {
        self.leader() == Some(self.config.id)
    }

    /// The time, as far as this node can tell.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clocks.now_ms()
    }
}

/// Nothing is made in an emptied data folder: what is wrong is said first. The replica judges the rest, when it has read the
/// Raft log.
fn refuse_emptied(config: &NodeConfig, marker: &FileMarker) -> Result<(), CoreError> {
    let has = |name: &str| config.data_dir.join(name).exists();
    if has("ledger") || has("raft") {
        return Ok(());
    }
    let mark = marker.load().map_err(DiskError::Unusable)?;
    let held = DiskContent { run: None, empty: true, last: 0 };
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
