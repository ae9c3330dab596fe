//! The way to the ledger: opened when it is first reached, kept from then on.

use std::sync::Arc;
use std::time::Duration;

use sillage_client::ClientError;
use sillage_client::channel::Timeouts;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use tokio::sync::Mutex;

/// For what nobody waits for.
const PATIENT: Timeouts = Timeouts { attempt: Duration::from_secs(8), total: Duration::from_secs(20) };
/// For what somebody waits for at a bedside.
const URGENT: Timeouts = Timeouts { attempt: Duration::from_millis(1_500), total: Duration::from_secs(3) };

/// The nodes of the connector's log.
pub struct Ledger {
    profile: Profile,
    patient: Mutex<Option<Arc<Session>>>,
    urgent: Mutex<Option<Arc<Session>>>,
}

impl Ledger {
    /// Of this profile; nothing is asked yet.
    pub fn new(profile: Profile) -> Self {
        Self { profile, patient: Mutex::default(), urgent: Mutex::default() }
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The session for work in the background: it waits long.
    ///
    /// # Errors
    /// When it isn't open yet and no node answers, or they serve another log.
    pub async fn session(&self) -> Result<Arc<Session>, ClientError> {
        open(&self.patient, &self.profile, PATIENT).await
    }

    /// The session for questions that somebody waits for: it gives up soon.
    ///
    /// # Errors
    /// As for [`Ledger::session`].
    pub async fn urgent(&self) -> Result<Arc<Session>, ClientError> {
        open(&self.urgent, &self.profile, URGENT).await
    }
}

async fn open(
    place: &Mutex<Option<Arc<Session>>>,
    profile: &Profile,
    timeouts: Timeouts,
) -> Result<Arc<Session>, ClientError> {
    let mut place = place.lock().await;
    if let Some(session) = place.as_ref() {
        return Ok(Arc::clone(session));
    }
    let session = Arc::new(Session::open(profile.clone(), timeouts).await?);
    *place = Some(Arc::clone(&session));
    Ok(session)
}
