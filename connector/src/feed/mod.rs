//! The common parts of the two feeds (syslog, HL7 v2): the connections, and the way into the intake.
//!
//! A feed can't be asked to send again: a sender of syslog never hears of it, one of HL7 v2 stops at a message that is refused.
//! So whatever came is either taken or lies in quarantine ([`Feed::hand`]).

pub mod listen;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::arrival::{Arrival, Door, NotTaken, Refusal};
use crate::intake::Intake;
use crate::quarantine::{New, Quarantine};

/// A message that says something.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The door.
    pub door: Door,
    /// Its sender, as the configuration names it.
    pub source: String,
    /// When it arrived, milliseconds since 1970.
    pub received_ms: u64,
    /// Its bytes as they came.
    pub raw: Vec<u8>,
    /// An AuditEvent, a Consent, or a record line.
    pub resource: Value,
    /// The server's base that it is from; empty where none is known.
    pub base: String,
}

/// The intake's answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// It is on this machine's disk, or further.
    Taken,
    /// It can't be recorded as it is. The intake has put it into quarantine.
    Refused {
        /// The element.
        path: String,
        /// One sentence.
        reason: String,
    },
    /// The spool has no room: nothing was kept.
    Full,
    /// Too much waits: nothing was kept.
    Busy {
        /// When to try again, milliseconds.
        wait_ms: u64,
    },
}

/// Whatever takes messages: the intake.
pub trait Take: Send + Sync + 'static {
    /// Takes a message.
    fn take(&self, message: Message) -> impl Future<Output = Handed> + Send;

    /// Puts what says nothing into quarantine, and counts it; false where it couldn't be kept.
    fn refuse(&self, quarantine: Arc<Quarantine>, new: New) -> impl Future<Output = bool> + Send {
        async move { matches!(tokio::task::spawn_blocking(move || quarantine.keep(&new)).await, Ok(Ok(_))) }
    }
}

impl Take for Intake {
    /// A sender of syslog hears nothing, so nobody waits for the log there; an acknowledgement of HL7 v2 says what the ledger says, as
    /// far as it answers in time.
    async fn take(&self, message: Message) -> Handed {
        let Message { door, source, received_ms, raw, resource, base } = message;
        let arrival = Arrival { door, source, received_ms, raw, resource, base, replaces: false };
        let taken = match door {
            Door::Syslog => self.take_within(arrival, Duration::ZERO).await,
            Door::Rest | Door::Adt => Self::take(self, arrival).await,
        };
        match taken {
            Ok(_) => Handed::Taken,
            Err(NotTaken::Refused(refusal)) => Handed::Refused { path: refusal.path, reason: refusal.reason },
            Err(NotTaken::SpoolFull) => Handed::Full,
            Err(NotTaken::Busy { wait_ms }) => Handed::Busy { wait_ms },
        }
    }

    /// By the intake's own way into quarantine, which the daily report counts.
    async fn refuse(&self, _same: Arc<Quarantine>, new: New) -> bool {
        let New { door, source, received_ms, path, reason, raw, base, resource } = new;
        let resource = resource.unwrap_or_default();
        let arrival = Arrival { door, source, received_ms, raw, resource, base, replaces: false };
        let refusal = Refusal { path, code: String::new(), reason };
        matches!(Self::refuse(self, arrival, refusal).await, NotTaken::Refused(_))
    }
}

/// The fate of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is on this machine's disk, or further.
    Taken,
    /// It lies in quarantine.
    Quarantined {
        /// The element.
        path: String,
        /// One sentence.
        reason: String,
    },
    /// It couldn't be kept anywhere: the connection ends, so that its sender keeps what follows.
    Lost,
}

/// The way from a feed into the intake, or into quarantine.
pub struct Feed<T> {
    /// Takes messages.
    pub take: T,
    /// Keeps the others.
    pub quarantine: Arc<Quarantine>,
}

/// How often a message that the intake is too busy for is handed in again.
const TRIES: usize = 20;
/// Longest wait between two tries.
const WAIT_MS_MAX: u64 = 2_000;

impl<T: Take> Feed<T> {
    /// Hands a message in, again while the intake is busy. What it has no room for lies in quarantine.
    pub async fn hand(&self, message: Message) -> Fate {
        let mut reason = "the connector was too busy for it: `quarantine retry` hands it in again";
        for _ in 0..TRIES {
            match self.take.take(message.clone()).await {
                Handed::Taken => return Fate::Taken,
                Handed::Refused { path, reason } => return Fate::Quarantined { path, reason },
                Handed::Busy { wait_ms } => {
                    tokio::time::sleep(Duration::from_millis(wait_ms.clamp(1, WAIT_MS_MAX))).await
                }
                Handed::Full => {
                    reason = "the spool had no room for it: `quarantine retry` hands it in again";
                    break;
                }
            }
        }
        let Message { door, source, received_ms, raw, .. } = message;
        self.keep(New::bytes(door, &source, received_ms, "", reason, raw)).await
    }

    /// Puts bytes into quarantine.
    pub async fn keep(&self, new: New) -> Fate {
        let (path, reason) = (new.path.clone(), new.reason.clone());
        if self.take.refuse(Arc::clone(&self.quarantine), new).await {
            return Fate::Quarantined { path, reason };
        }
        tracing::error!("LOST: a message could be kept nowhere; the connection is closed");
        Fate::Lost
    }
}
