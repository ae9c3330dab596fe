//! The one thing that every door calls: an arrival is mapped and refused, or durable and on its way.
//!
//! ```
//! # use sillage_connector::arrival::{Arrival, Door, NotTaken, Taken};
//! # async fn example(intake: &sillage_connector::intake::Intake, resource: serde_json::Value, raw: Vec<u8>) {
//! let (source, base) = ("radiology".to_owned(), String::new());
//! let received_ms = sillage_client::clock::now_ms();
//! let arrival = Arrival { door: Door::Rest, source, received_ms, raw, resource, base, replaces: false };
//! match intake.take(arrival).await {
//!     Ok(Taken::Recorded { id, .. }) => println!("201 Created, AuditEvent/{id}"),
//!     Ok(Taken::Spooled { number, .. }) => println!("202 Accepted, $arrival/{number}"),
//!     Err(NotTaken::Refused(refusal)) => println!("422: {refusal}"),
//!     Err(NotTaken::SpoolFull) => println!("507"),
//!     Err(NotTaken::Busy { wait_ms }) => println!("503, again in {wait_ms} ms"),
//! }
//! # }
//! ```
//!
//! [`writer`] makes what comes together durable together.

mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

pub use crate::arrival::{Arrival, Door, NotTaken, Place, Refusal, RefusedArrivals, ResourceId, SpoolNumber, Taken};
use crate::config::Config;
use crate::index::{State, Tally};
use crate::mapping::{self, Terms};
use crate::recorder::{Outcome, Work};
use crate::spool::Spool;
pub use writer::CatchUpError;
use writer::{Kept, Request};

/// Requests that wait for the writer.
const REQUESTS_MAX: usize = 4_096;
/// When to come again, where too much waits.
const BUSY_MS: u64 = 1_000;

/// Takes arrivals. Cheap to clone.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    work: Arc<Work>,
    terms: Terms,
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    answer_within: Duration,
    resource_bytes_max: usize,
}

impl Intake {
    /// Begins to take arrivals into this spool, on a thread of its own.
    ///
    /// # Errors
    /// When the index can't be brought up to the spool: an arrival that was acknowledged can't be read, for example.
    pub(crate) fn begin(work: Arc<Work>, spool: Spool, config: &Config) -> Result<Self, CatchUpError> {
        writer::catch_up(&work, &spool)?;
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        writer::start(Arc::clone(&work), spool, asked);
        tokio::spawn(writer::tidy_now_and_then(requests.downgrade()));
        let answer_within_ms = config.fhir.as_ref().map_or(5_000, |fhir| fhir.answer_within_ms);
        Ok(Self(Arc::new(Inner {
            terms: work.terms.clone(),
            work,
            requests,
            room: Arc::new(Semaphore::new(config.limits.waiting_max)),
            answer_within: Duration::from_millis(answer_within_ms),
            resource_bytes_max: config.limits.resource_bytes_max,
        })))
    }

    /// Maps, refuses, or makes durable, and waits for the log as long as `fhir.answer_within_ms` says. An arrival is durable as soon
    /// as it waits: a caller who goes away meanwhile loses the answer alone.
    ///
    /// # Errors
    /// [`NotTaken`]: nothing was kept, or it is in quarantine.
    pub async fn take(&self, arrival: Arrival) -> Result<Taken, NotTaken> {
        self.take_within(arrival, self.0.answer_within).await
    }

    /// The same with another time to wait for the log; zero: the answer comes as soon as the arrival is durable.
    ///
    /// # Errors
    /// As for [`Intake::take`].
    pub async fn take_within(&self, arrival: Arrival, wait: Duration) -> Result<Taken, NotTaken> {
        let busy = NotTaken::Busy { wait_ms: BUSY_MS };
        let Ok(_room) = Arc::clone(&self.0.room).try_acquire_owned() else {
            return Err(busy);
        };
        if arrival.raw.len() > self.0.resource_bytes_max {
            let why = format!(
                "RECORD_TOO_LARGE: it has {} bytes, and one resource has at most {}: split it",
                arrival.raw.len(),
                self.0.resource_bytes_max
            );
            return Err(self.refuse(arrival, Refusal::coded("", "RECORD_TOO_LARGE", why)).await);
        }
        let mapped = match mapping::map(&arrival, &self.0.terms) {
            Ok(mapped) => mapped,
            Err(refusal) => return Err(self.refuse(arrival, refusal).await),
        };
        let (answer, answered) = oneshot::channel();
        let bytes = mapping::to_spool(&arrival, &mapped.original);
        let names = self.0.work.index.names();
        let row = mapping::row(names, &arrival, &mapped, SpoolNumber(0));
        self.0
            .requests
            .try_send(Request::Keep(Box::new(writer::Keep { row, bytes, answer })))
            .map_err(|_| busy.clone())?;
        match answered.await {
            Ok(Kept::New { number, outcome }) => self.wait(number, outcome, wait, false).await,
            Ok(Kept::Repeated { number }) => self.again(number, wait).await,
            Ok(Kept::Full) => Err(NotTaken::SpoolFull),
            // The writer has ended: the process stops.
            Err(_) => Err(busy),
        }
    }

    /// What became of an arrival: `None` where no such one is known. One that waits is [`Taken::Spooled`].
    pub fn became_of(&self, number: SpoolNumber) -> Option<Result<Taken, Refusal>> {
        let found = self.0.work.index.get(number);
        let found = found.inspect_err(|error| tracing::error!(%error, "an arrival can't be looked up")).ok()??;
        Some(said(number, found.state, false))
    }

    /// Keeps what a door refuses by itself, such as bytes that are no resource, in quarantine, and counts it.
    ///
    /// # Errors
    /// Always: the refusal, or [`NotTaken::SpoolFull`] where the disk didn't take it.
    pub async fn refuse(&self, arrival: Arrival, refusal: Refusal) -> NotTaken {
        let work = Arc::clone(&self.0.work);
        let (source, kept) = (arrival.source.clone(), refusal.clone());
        let written = tokio::task::spawn_blocking(move || {
            work.quarantine.keep(&arrival, &kept)?;
            // It is kept: who hears that it isn't sends it again.
            if let Err(error) = work.index.count(&source, sillage_client::clock::now_ms(), Tally::Refused) {
                tracing::error!(%error, "a refused arrival is in quarantine, and can't be counted");
            }
            std::io::Result::Ok(())
        });
        match written.await {
            Ok(Ok(())) => NotTaken::Refused(refusal),
            Ok(Err(error)) => {
                tracing::error!(%error, "what was refused can't be written into quarantine");
                NotTaken::SpoolFull
            }
            Err(_) => NotTaken::Busy { wait_ms: BUSY_MS },
        }
    }

    /// The answer to what was taken before.
    async fn again(&self, number: SpoolNumber, wait: Duration) -> Result<Taken, NotTaken> {
        let outcome = self.0.work.outcomes.wait(number);
        // Looked up after it was waited for: so none is missed between the two.
        match self.0.work.index.get(number) {
            Ok(Some(found)) if found.state != State::Waiting => Ok(said(number, found.state, true)?),
            Ok(_) => self.wait(number, outcome, wait, true).await,
            Err(error) => {
                tracing::error!(%error, "an arrival can't be looked up");
                Ok(Taken::Spooled { number, repeated: true })
            }
        }
    }

    async fn wait(
        &self,
        number: SpoolNumber,
        outcome: oneshot::Receiver<Outcome>,
        wait: Duration,
        repeated: bool,
    ) -> Result<Taken, NotTaken> {
        match tokio::time::timeout(wait, outcome).await {
            Ok(Ok(Ok(Taken::Recorded { id, first_index, .. }))) => Ok(Taken::Recorded { id, first_index, repeated }),
            Ok(Ok(Ok(Taken::Spooled { .. })) | Err(_)) | Err(_) => Ok(Taken::Spooled { number, repeated }),
            Ok(Ok(Err(refusal))) => Err(NotTaken::Refused(refusal)),
        }
    }
}

fn said(number: SpoolNumber, state: State, repeated: bool) -> Result<Taken, Refusal> {
    match state {
        State::Waiting => Ok(Taken::Spooled { number, repeated }),
        State::Recorded(recorded) => {
            Ok(Taken::Recorded { id: recorded.place.id(), first_index: recorded.first_index, repeated })
        }
        State::Refused(refusal) => Err(refusal),
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
