//! A connector's parts, put together in the order in which one needs the other.
//!
//! ```text
//! key ─▶ index ─▶ spool (numbers go on above the index) ─▶ intake (adds to the index what only the spool has) ─▶ recorder ─▶ doors
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sillage_client::ClientError;
use sillage_client::profile::Profile;
use sillage_fhir::import::PatientMap;

use crate::arrival::{RefusedArrivals, SpoolNumber};
use crate::config::Config;
use crate::emergency::Emergency;
use crate::heartbeat;
use crate::index::{Index, IndexError, forget};
use crate::intake::{CatchUpError, Intake};
use crate::ledger::Ledger;
use crate::mapping::Terms;
use crate::recorder::{self, Condition, Outcomes, Queue, Work};
use crate::spool::seal::Key;
use crate::spool::{Bounds, Spool, SpoolError};

/// Why a connector can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The profile, the key or the map of patients.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The spool and the index, brought together.
    #[error(transparent)]
    CatchUp(#[from] CatchUpError),
    /// What doesn't fit the log.
    #[error("{0}")]
    Unfit(String),
}

/// A running connector: what its doors work on. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    /// The configuration.
    pub config: Arc<Config>,
    /// Takes arrivals.
    pub intake: Intake,
    /// Finds what was taken.
    pub index: Arc<Index>,
    /// The way to the nodes.
    pub ledger: Arc<Ledger>,
    /// How it goes on while they are out of reach.
    pub emergency: Arc<Emergency>,
    /// Whether the log takes test identities.
    pub test_log: bool,
    work: Arc<Work>,
}

/// How a connector is, as its health says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `ok`, `warning` or `alarm`.
    pub status: &'static str,
    /// Whether a node answered last time.
    pub ledger_reached: bool,
    /// Arrivals that wait for the ledger.
    pub waiting: usize,
    /// Bytes of the spool.
    pub spool_bytes: u64,
    /// Most bytes that it takes.
    pub spool_bytes_max: u64,
    /// What an operator should know, one sentence each.
    pub notes: Vec<String>,
}

/// The parts of a connector that are there before anything else, for commands too.
pub struct Base {
    /// The profile, its folder being the spool's: the outbox stands there.
    pub profile: Profile,
    /// The connector's key.
    pub key: Key,
    /// Whether the log takes test identities.
    pub test_log: bool,
}

impl Base {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn load(config: &Config) -> Result<Self, ConnectorError> {
        let profile = Profile::load(&config.profile)?;
        let test_log = profile.genesis()?.0.test_log;
        let key = Key::load(&config.key)?;
        // A copy of one folder is a copy of all that is needed to go on.
        let profile = Profile { dir: config.spool.dir.clone(), stream: config.stream.clone(), ..profile };
        Ok(Self { profile, key, test_log })
    }
}

/// The index of a connector.
///
/// # Errors
/// When it can't be used.
pub fn open_index(config: &Config, key: &Key) -> Result<Index, IndexError> {
    Index::open(&config.spool.dir.join("index.sqlite"), key)
}

impl Connector {
    /// Opens the spool and the index, and begins to take arrivals and to record. Needs no node, and a runtime of several threads.
    ///
    /// # Errors
    /// When a file can't be used, another process has the spool, or what waits there is damaged.
    pub fn begin(config: Config, base: Base, refused: Arc<dyn RefusedArrivals>) -> Result<Self, ConnectorError> {
        check_for_log(&config, base.test_log)?;
        let dir = &config.spool.dir;
        make_private_dir(dir)?;
        let index = Arc::new(open_index(&config, &base.key)?);
        let bounds = Bounds::of(config.spool.bytes_max);
        let spool = Spool::open(&dir.join("arrivals"), base.key.clone(), bounds, index.last()?)?;
        if index.is_new() && spool.next().0 > 1 {
            let why = format!(
                "{}/index.sqlite is missing, and the spool holds arrivals: only it says which of them are on record; restore it from a \
                 copy of the whole folder",
                dir.display()
            );
            return Err(ConnectorError::Unfit(why));
        }
        let terms = Terms { patients: patients(&config)?, test_log: base.test_log };
        let ledger = Arc::new(Ledger::new(base.profile.clone()));
        let emergency = Emergency::begin(&config, &base.profile, Arc::clone(&ledger))?;
        let work = Arc::new(Work {
            ledger: Arc::clone(&ledger),
            spool: spool.reader(),
            index: Arc::clone(&index),
            terms,
            queue: Queue::default(),
            outcomes: Outcomes::default(),
            quarantine: refused,
            condition: Condition::default(),
            stream: config.stream.clone(),
            streams: config.streams,
            last_before: SpoolNumber(spool.next().0 - 1),
        });
        let intake = Intake::begin(Arc::clone(&work), spool, &config)?;
        tokio::spawn(recorder::run(Arc::clone(&work)));
        let config = Arc::new(config);
        if config.spool.index_days > 0 {
            tokio::spawn(forget::run(Arc::clone(&index), config.spool.index_days));
        }
        tokio::spawn(heartbeat::run(Arc::clone(&config), Arc::clone(&index), Arc::clone(&ledger)));
        let test_log = base.test_log;
        Ok(Self { config, intake, index, ledger, emergency, test_log, work })
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let (spool_bytes, spool_bytes_max) = (self.work.spool.bytes(), self.config.spool.bytes_max);
        let (condition, mut notes) = (&self.work.condition, Vec::new());
        let mut status = "ok";
        if !condition.is_reached() {
            status = "warning";
            notes.push("no node of the ledger answers: events wait in the spool".to_owned());
        }
        let percent = u128::from(spool_bytes) * 100 / u128::from(spool_bytes_max);
        if percent >= 80 {
            status = if percent >= 95 { "alarm" } else { "warning" };
            notes.push(format!(
                "the spool is {percent} % full: bring the nodes back, or give spool.bytes_max more room"
            ));
        }
        if let Some(alarm) = condition.alarm() {
            status = "alarm";
            notes.push(alarm);
        }
        let waiting = self.work.spool.waiting_count();
        let ledger_reached = condition.is_reached();
        Health { status, ledger_reached, waiting, spool_bytes, spool_bytes_max, notes }
    }

    /// Waits until nothing waits for the ledger any more, as long as `max`. Gives whether that is so.
    pub async fn drained(&self, max: Duration) -> bool {
        let all = async {
            while self.work.spool.waiting_count() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(max, all).await.is_ok()
    }
}

/// Refuses what is for test logs alone.
fn check_for_log(config: &Config, test_log: bool) -> Result<(), ConnectorError> {
    let wrong = |what: &str| Err(ConnectorError::Unfit(format!("{what}, and this log is none: leave it out")));
    if test_log {
        return Ok(());
    }
    if config.patients.demo {
        return wrong("patients.demo is for test logs");
    }
    match config.fhir.as_ref().is_some_and(|fhir| fhir.token.is_some()) {
        true => wrong("fhir.token is for test logs"),
        false => Ok(()),
    }
}

fn patients(config: &Config) -> Result<PatientMap, ConnectorError> {
    let demo = config.patients.demo;
    let Some(path) = &config.patients.map else { return Ok(PatientMap::empty(demo)) };
    let text = std::fs::read_to_string(path).map_err(|error| ClientError::reading(path, error))?;
    Ok(PatientMap::read(&text, demo).map_err(|why| ClientError::reading(path, why))?)
}

fn make_private_dir(dir: &std::path::Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| ClientError::writing(dir, error))
}
