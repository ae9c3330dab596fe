//! Emergency mode: an establishment that is cut off from the ledger goes on, and nothing of what it does is lost.
//!
//! While the ledger is out of reach, the establishment decides by its own rules ([`local`]), on what it last knew of each
//! patient ([`keep`]), and writes what it decided and did into a log of its own, signed and chained ([`chain`], [`log`]).
//! Afterwards everything is handed in ([`hand_in`]): each line once, with `deferred` and the reason, so that the ledger
//! flags it `DEFERRED` and every patient sees that it happened out of the ledger's sight. `docs/emergency-mode.md` tells
//! those who prepare for it what to do.
//!
//! [`EmergencyMode`] is all of it together.

pub mod chain;
pub mod hand_in;
pub mod keep;
pub mod local;
pub mod log;

use std::path::Path;

use sillage_proof::batch::Origin;
use sillage_proto::v1::Genesis;
use sillage_rules::line::{PatientLine, RecordLine};
use sillage_rules::stream::StreamLabel;
use sillage_rules::time::TimeMs;

pub use hand_in::{HandedIn, Summary};
use keep::LastKnown;
pub use local::{LocalAsk, LocalRules};
pub use log::{Decided, EmergencyLog, LocalEvent};

use crate::author::{open_stream, tags_of};
use crate::clock::now_ms;
use crate::error::ClientError;
use crate::profile::Profile;
use crate::session::Session;

/// One emergency of one establishment: the profile's author.
#[derive(Debug)]
pub struct EmergencyMode {
    log: EmergencyLog,
    rules: LocalRules,
    genesis: Genesis,
}

fn now() -> TimeMs {
    TimeMs(now_ms())
}

impl EmergencyMode {
    /// Begins an emergency in a new folder. Needs no network.
    ///
    /// # Errors
    /// When the rules can't be understood, or the folder holds an emergency.
    pub fn start(profile: &Profile, dir: &Path, reason: &str, rules: &str) -> Result<Self, ClientError> {
        let parsed = LocalRules::parse(rules)?;
        let (origin, genesis) = log_of(profile)?;
        let key = profile.author_signing_key()?;
        let log = EmergencyLog::start(dir, origin, key, reason, rules, now())?;
        Ok(Self { log, rules: parsed, genesis })
    }

    /// Goes on with one. Needs no network.
    ///
    /// # Errors
    /// When there is none, another process holds it, or the log was changed.
    pub fn open(profile: &Profile, dir: &Path) -> Result<Self, ClientError> {
        let (origin, genesis) = log_of(profile)?;
        let log = EmergencyLog::open(dir, origin, profile.author_signing_key()?)?;
        let text =
            String::from_utf8(log.rules()?).map_err(|_| ClientError::Usage("rules.toml is not text".to_owned()))?;
        let rules = LocalRules::parse(&text)?;
        Ok(Self { log, rules, genesis })
    }

    /// Decides, and logs it. When it returns, it is on disk, and what was permitted may be given out.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`, or the disk.
    pub fn decide(&mut self, ask: &LocalAsk) -> Result<Decided, ClientError> {
        let now = now();
        let known = self.kept(&ask.patient)?;
        let decided = local::decide_locally(&self.log, &self.rules, known.as_ref(), ask, now)?;
        self.log.append(&LocalEvent::Decided(Box::new(decided.clone())), now)?;
        Ok(decided)
    }

    /// Logs what was done. Gives what is doubtful about its identifiers, and the line's number.
    ///
    /// # Errors
    /// With what can't be on record, a break-glass that nobody may open, or the disk.
    pub fn record(&mut self, mut line: RecordLine) -> Result<(u64, Vec<String>), ClientError> {
        let now = now();
        let doubts = hand_in::check_line(&mut line, self.genesis.test_log)?;
        if line.kind.group() == sillage_rules::kind::Group::Emergency {
            let known = line.patient.as_ref().map(|patient| self.kept(patient)).transpose()?;
            local::admit(&self.log, known.flatten().as_ref(), &line, now)?;
        }
        let seq = self.log.append(&LocalEvent::Recorded(Box::new(line)), now)?;
        Ok((seq, doubts))
    }

    fn kept(&self, patient: &PatientLine) -> Result<Option<LastKnown>, ClientError> {
        keep::kept(self.log.dir(), patient, self.genesis.late_after_ms)
    }

    /// The log.
    pub const fn log(&self) -> &EmergencyLog {
        &self.log
    }

    /// Hands everything in, once.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`]: the ledger is still out of reach, or is again; call it again later.
    pub async fn hand_in(&mut self, session: &Session) -> Result<HandedIn, ClientError> {
        let signer = std::sync::Arc::new(session.signer(session.profile.author_signing_key()?).await?);
        let label = StreamLabel::parse(&session.profile.stream).map_err(|e| ClientError::Usage(e.to_string()))?;
        let mut stream = open_stream(session, signer, label, true).await?;
        hand_in::hand_in(&mut self.log, &mut stream, &tags_of(session), now()).await
    }
}

fn log_of(profile: &Profile) -> Result<(Origin, Genesis), ClientError> {
    let (genesis, _) = profile.genesis()?;
    let origin = Origin::new(profile.origin.clone()).map_err(|error| ClientError::Usage(error.to_string()))?;
    Ok((origin, genesis))
}
