//! Going on while the ledger is out of reach: what somebody asks at a bedside is decided by the establishment's own rules, and what is
//! done is written into a log of its own, signed line by line. When the nodes are back, all of it is handed in by itself, each line
//! once and as `deferred` ([`sillage_client::emergency_mode`]).
//!
//! ```text
//! DIR/now/          the emergency that goes on, or the place of the next one: what was last known of admitted patients stands there
//! DIR/<id>/         emergencies that were handed in: their logs are evidence
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sillage_client::ClientError;
use sillage_client::author::tags_of;
use sillage_client::consent::known::{AsOf, Fetched};
use sillage_client::emergency_mode::{Decided, EmergencyMode, HandedIn, LocalAsk, keep};
use sillage_client::profile::{Profile, read};
use sillage_proto::v1;
use sillage_rules::line::{PatientLine, RecordLine};
use tokio::sync::{Mutex, mpsc};

use crate::config::Config;
use crate::ledger::Ledger;

/// It stands in everything that is handed in.
const REASON: &str = "the connector of the establishment could not reach the ledger";
/// How often the ledger is asked whether it is back.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Admitted patients whose state waits to be fetched; more are fetched when they come again.
const ADMITTED_MAX: usize = 10_000;

/// The emergency mode of a connector. Shared.
pub struct Emergency {
    dir: PathBuf,
    profile: Profile,
    rules: String,
    ledger: Arc<Ledger>,
    mode: Mutex<Option<EmergencyMode>>,
    admitted: mpsc::Sender<PatientLine>,
}

impl Emergency {
    /// Takes up the emergency that goes on, where there is one, and hands it in when the ledger is back.
    ///
    /// # Errors
    /// When the rules can't be understood, or the log of an emergency was changed.
    pub fn begin(config: &Config, profile: &Profile, ledger: Arc<Ledger>) -> Result<Arc<Self>, ClientError> {
        let rules = config.emergency.rules.as_deref().map(read).transpose()?.unwrap_or_default();
        let rules = String::from_utf8(rules)
            .map_err(|_| ClientError::Usage("the file of emergency.rules is not text: save it as UTF-8".to_owned()))?;
        sillage_client::emergency_mode::LocalRules::parse(&rules)?;
        let dir = config.spool.dir.join("emergency");
        let mode = match is_begun(&dir) {
            true => Some(EmergencyMode::open(profile, &dir.join("now"))?),
            false => None,
        };
        let (admitted, asked) = mpsc::channel(ADMITTED_MAX);
        let emergency =
            Arc::new(Self { dir, profile: profile.clone(), rules, ledger, mode: Mutex::new(mode), admitted });
        tokio::spawn(hand_in_when_back(Arc::clone(&emergency)));
        tokio::spawn(keep_admitted(Arc::clone(&emergency), asked));
        Ok(emergency)
    }

    /// Whether the ledger is out of reach, asked now: it has three seconds to answer.
    pub async fn is_away(&self) -> bool {
        let asked = async {
            let session = self.ledger.urgent().await?;
            let request = v1::GetCheckpointRequest::default();
            session
                .client
                .call_soon(|mut rpc| {
                    let request = request.clone();
                    async move { rpc.get_checkpoint(request).await }
                })
                .await
                .map(drop)
        };
        matches!(asked.await, Err(ClientError::Unavailable(_)))
    }

    /// Whether an emergency goes on.
    pub async fn is_on(&self) -> bool {
        self.mode.lock().await.is_some()
    }

    /// Decides by the establishment's rules, on what was last known of the patient, and logs it. When it returns, that is on disk, and
    /// what was permitted may be given out.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`, or the disk.
    pub async fn decide(&self, ask: &LocalAsk) -> Result<Decided, ClientError> {
        let mut mode = self.mode.lock().await;
        self.going_on(&mut mode)?.decide(ask)
    }

    /// Logs what was done, such as a break-glass. Gives the line's number.
    ///
    /// # Errors
    /// What can't be on record, a break-glass that nobody may open, or the disk.
    pub async fn record(&self, line: RecordLine) -> Result<u64, ClientError> {
        let mut mode = self.mode.lock().await;
        self.going_on(&mut mode)?.record(line).map(|(seq, _doubts)| seq)
    }

    /// The emergency that goes on; it begins with the first thing that needs it.
    fn going_on<'a>(&self, mode: &'a mut Option<EmergencyMode>) -> Result<&'a mut EmergencyMode, ClientError> {
        if mode.is_none() {
            let begun = EmergencyMode::start(&self.profile, &self.dir.join("now"), REASON, &self.rules)?;
            tracing::warn!(emergency = begun.log().id(), "emergency mode: the ledger is out of reach");
            *mode = Some(begun);
        }
        Ok(mode.as_mut().expect("it goes on"))
    }

    /// Keeps what the ledger knows of a patient who was admitted, for the time when it can't be asked.
    pub fn admitted(&self) -> mpsc::Sender<PatientLine> {
        self.admitted.clone()
    }

    /// Hands everything in, and puts the log aside.
    async fn hand_in(&self) -> Result<Option<HandedIn>, ClientError> {
        let mut place = self.mode.lock().await;
        let Some(mode) = place.as_mut() else { return Ok(None) };
        let session = self.ledger.session().await?;
        let handed_in = match mode.log().is_handed_in() {
            true => None,
            false => Some(mode.hand_in(&session).await?),
        };
        let id = mode.log().id();
        // Its lock goes with it.
        *place = None;
        put_aside(&self.dir, &id)?;
        Ok(handed_in)
    }

    async fn keep(&self, patient: &PatientLine) -> Result<(), ClientError> {
        let session = self.ledger.session().await?;
        let tags = tags_of(&session).both(&patient.ins, &patient.oid).await?;
        let fetched = Fetched::fetch(&session.client, tags, AsOf::Now).await?;
        // What can't be understood isn't kept.
        fetched.clone().fold(session.genesis.late_after_ms)?;
        keep::keep(&self.dir.join("now"), patient, &fetched)
    }
}

fn is_begun(dir: &Path) -> bool {
    std::fs::read(dir.join("now/log")).is_ok_and(|bytes| bytes.contains(&b'\n'))
}

/// Gives a handed-in emergency its own folder. What is known of patients stays for the next one.
fn put_aside(dir: &Path, id: &str) -> Result<(), ClientError> {
    let (now, aside) = (dir.join("now"), dir.join(id));
    let moved = std::fs::create_dir_all(&aside).and_then(|()| {
        // While its log is there, the emergency is the one that goes on; then nothing of it is there.
        std::fs::copy(now.join("rules.toml"), aside.join("rules.toml"))?;
        std::fs::rename(now.join("log"), aside.join("log"))?;
        std::fs::remove_file(now.join("rules.toml"))?;
        std::fs::File::open(&aside)?.sync_all()?;
        std::fs::File::open(&now)?.sync_all()
    });
    moved.map_err(|error| ClientError::writing(&aside, error))
}

async fn hand_in_when_back(emergency: Arc<Emergency>) {
    let mut ticks = tokio::time::interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !emergency.is_on().await || emergency.is_away().await {
            continue;
        }
        match emergency.hand_in().await {
            Ok(None) => {}
            Ok(Some(handed_in)) => {
                let refused = handed_in.refused.len();
                tracing::info!(
                    records = handed_in.records,
                    refused,
                    index = handed_in.index,
                    "the emergency was handed in"
                );
            }
            Err(error) => tracing::warn!(%error, "the emergency isn't handed in yet"),
        }
    }
}

async fn keep_admitted(emergency: Arc<Emergency>, mut asked: mpsc::Receiver<PatientLine>) {
    while let Some(patient) = asked.recv().await {
        // Who is admitted while the ledger is away is known by nothing: what was kept before stays.
        if let Err(error) = emergency.keep(&patient).await {
            tracing::warn!(%error, "the state of an admitted patient isn't kept");
        }
    }
}
