//! One stream at work: batches of arrivals, and what becomes of each.

use std::sync::Arc;

use prost::Message as _;
use sillage_client::ClientError;
use sillage_client::author::{Stream, Tags, VerifiedReceipt, fitting, prepare};
use sillage_client::error::Rejection;
use sillage_client::import::is_of_one_record;
use sillage_client::outbox::Source;
use sillage_rules::codes::Code;
use sillage_rules::limits::SALT_BYTES;

use super::{Lane, Pause, Work};
use crate::arrival::{Arrival, Refusal, SpoolNumber, Taken};
use crate::index::{Batch, IndexError};
use crate::mapping;

/// Arrivals that a stream takes up at once.
const ARRIVALS_MAX: usize = 1_000;
/// Bytes of records that a stream holds at once, but for the last arrival that it took: a small event may become many records.
pub(super) const READY_BYTES: usize = 16 << 20;
/// Records of one batch, but for an arrival that alone becomes more.
const BATCH_RECORDS: usize = 1_000;
/// Bytes of one batch, but for an arrival that alone has more.
const BATCH_BYTES: usize = 1 << 20;
/// After so many batches, the index is made durable and the outbox forgets them.
const BATCHES_KEPT: usize = 256;

/// Codes by which the ledger refuses one record, and that an import never meets: beside those that the SDK knows.
const OF_ONE_RECORD: [Code; 3] = [Code::LoginReplayed, Code::LimitReached, Code::BatchTooLarge];

/// What a refusal is about.
enum About {
    /// The record at this position.
    Record(usize),
    /// The stream: another process works on it.
    Stream,
    /// The connector's party, or the log.
    Party,
}

fn about(rejection: &Rejection, records: usize) -> About {
    let position = rejection.position as usize;
    match rejection.code.known() {
        Some(Code::SequenceReused | Code::OutOfOrder) => About::Stream,
        // It may be about the record or about the party: [`about_alone`] tells.
        Some(Code::NotEntitled) => About::Party,
        Some(code) if (OF_ONE_RECORD.contains(&code) || is_of_one_record(&rejection.code)) && position < records => {
            About::Record(position)
        }
        _ => About::Party,
    }
}

/// What a refusal of one arrival that was sent alone is about. An event is never refused for who did it: where the ledger takes
/// none, the party has lost its right. What is a decision, such as a break-glass, is refused for who signs it, and no other with it.
fn about_alone(rejection: &Rejection, is_event: bool, records: usize) -> About {
    match rejection.code.known() {
        Some(Code::NotEntitled) if !is_event => About::Record(0),
        _ => about(rejection, records),
    }
}

fn is_event(arrival: &Arrival) -> bool {
    arrival.resource["resourceType"] == "AuditEvent"
}

/// An arrival whose records are ready to be signed. The arrival itself stays in the spool: there it is read again if it is refused.
struct Job {
    number: SpoolNumber,
    is_event: bool,
    records: Vec<Vec<u8>>,
}

impl Job {
    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.len() + SALT_BYTES).sum()
    }
}

/// Works on a stream, for ever.
pub(super) async fn work_on(work: Arc<Work>, mut stream: Stream, tags: Tags, lane: Lane) {
    let mut batches = 0;
    loop {
        let numbers = work.queue.take(lane, ARRIVALS_MAX).await;
        let mut jobs = work.ready(&tags, &numbers, lane).await;
        while !jobs.is_empty() {
            let count = count_of(&jobs);
            let rest = jobs.split_off(count);
            work.send(&mut stream, jobs).await;
            jobs = rest;
            batches += 1;
        }
        if batches >= BATCHES_KEPT && work.tidy(&mut stream).await {
            batches = 0;
        }
    }
}

/// How many of these, from the first on, make a batch.
fn count_of(jobs: &[Job]) -> usize {
    let (mut records, mut bytes) = (0, 0);
    let fits = |job: &&Job| {
        records += job.records.len();
        bytes += job.bytes();
        records <= BATCH_RECORDS && bytes <= BATCH_BYTES
    };
    let count = jobs.iter().take_while(fits).count().max(1);
    // The ledger bounds what a batch looks up, too.
    let records: Vec<Vec<u8>> = jobs[..count].iter().flat_map(|job| job.records.iter().cloned()).collect();
    let mut left = fitting(&records);
    let fits = |job: &&Job| match left.checked_sub(job.records.len()) {
        Some(after) => {
            left = after;
            true
        }
        None => false,
    };
    jobs[..count].iter().take_while(fits).count().max(1)
}

impl Work {
    /// Reads arrivals, maps them, and resolves whose they are. What can't be recorded is refused on the way; what would take too
    /// much memory at once goes back into the queue.
    async fn ready(&self, tags: &Tags, numbers: &[SpoolNumber], lane: Lane) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(numbers.len());
        let mut records = Vec::new();
        let mut bytes = 0;
        for (at, number) in numbers.iter().enumerate() {
            if bytes >= READY_BYTES {
                self.put_back(&numbers[at..], lane);
                break;
            }
            let Some(arrival) = self.read(*number).await else { continue };
            match mapping::map(&arrival, &self.terms) {
                Err(refusal) => self.refuse(*number, &arrival, refusal).await,
                Ok(mapped) => {
                    let new = mapped.records();
                    if new.len() > 1 {
                        self.keep_whole(*number, &mapped.original).await;
                    }
                    bytes += new.iter().map(|new| new.record.encoded_len() + SALT_BYTES).sum::<usize>();
                    let is_event = is_event(&arrival);
                    jobs.push((Job { number: *number, is_event, records: Vec::new() }, new.len()));
                    records.extend(new);
                }
            }
        }
        let mut pause = Pause::new();
        let encoded = loop {
            match prepare(tags, records.clone()).await {
                Ok(encoded) => break Some(encoded),
                Err(ClientError::Rejected(rejection)) => match about(&rejection, records.len()) {
                    // Not all of them can be resolved: each by itself.
                    About::Record(_) => break None,
                    About::Stream | About::Party => self.stand_still(&rejection, &mut pause).await,
                },
                Err(error) => self.wait(&error, &mut pause).await,
            }
        };
        let mut out = Vec::with_capacity(jobs.len());
        if let Some(encoded) = encoded {
            let mut encoded = encoded.into_iter();
            for (job, count) in jobs {
                out.push(Job { records: encoded.by_ref().take(count).collect(), ..job });
            }
            return out;
        }
        let mut records = records.into_iter();
        for (job, count) in jobs {
            let new: Vec<_> = records.by_ref().take(count).collect();
            let mut pause = Pause::new();
            loop {
                match prepare(tags, new.clone()).await {
                    Ok(encoded) => {
                        out.push(Job { records: encoded, ..job });
                        break;
                    }
                    Err(ClientError::Rejected(rejection)) => match about(&rejection, new.len()) {
                        About::Record(_) => {
                            self.refuse_number(job.number, refusal_of(&job, &rejection)).await;
                            break;
                        }
                        About::Stream | About::Party => self.stand_still(&rejection, &mut pause).await,
                    },
                    Err(error) => self.wait(&error, &mut pause).await,
                }
            }
        }
        out
    }

    /// Puts arrivals back, before all others of their lane.
    pub(super) fn put_back(&self, numbers: &[SpoolNumber], lane: Lane) {
        let numbers: Vec<_> = numbers.iter().map(|number| (*number, lane)).collect();
        self.queue.put_first(&numbers);
    }

    /// The arrival with this number; none where it is gone.
    pub(super) async fn read(&self, number: SpoolNumber) -> Option<Arrival> {
        let mut pause = Pause::new();
        loop {
            match self.spool.read(number) {
                Ok(None) => return None,
                Ok(Some(bytes)) => match mapping::from_spool(&bytes) {
                    Some(arrival) => return Some(arrival),
                    None => {
                        let why = format!("arrival {number} of the spool was written by another version: use that one");
                        self.condition.raise(why);
                    }
                },
                Err(error) => self.condition.raise(error.to_string()),
            }
            pause.wait().await;
        }
    }

    /// Sends the jobs as one batch, until each is on record or refused.
    async fn send(&self, stream: &mut Stream, jobs: Vec<Job>) {
        for job in self.send_together(stream, jobs).await {
            let none = self.send_together(stream, vec![job]).await;
            assert!(none.is_empty(), "one alone is on record or refused");
        }
    }

    /// The same; gives back those that are to be sent one by one, in their order: the ledger doesn't say whether its refusal is
    /// about one of them or about all.
    async fn send_together(&self, stream: &mut Stream, mut jobs: Vec<Job>) -> Vec<Job> {
        let mut pause = Pause::new();
        while !jobs.is_empty() {
            let sent = match stream.in_flight() {
                None => {
                    let records = jobs.iter().flat_map(|job| job.records.iter().cloned()).collect();
                    let numbers = jobs.iter().flat_map(|job| job.records.iter().map(|_| job.number.0)).collect();
                    let numbers: Vec<u64> = numbers;
                    stream.send(records, Source::Spool(numbers.clone())).await.map(|receipt| (numbers, receipt))
                }
                // It may be on record.
                Some(Source::Spool(numbers)) => {
                    let numbers = numbers.clone();
                    match stream.settle().await {
                        Ok(Some((_, receipt))) => Ok((numbers, receipt)),
                        Ok(None) => continue,
                        Err(error) => Err(error),
                    }
                }
                Some(_) => unreachable!("a stream of the spool sends nothing else"),
            };
            match sent {
                Ok((numbers, receipt)) => {
                    self.note(stream, &numbers, &receipt).await;
                    return Vec::new();
                }
                Err(ClientError::Rejected(rejection)) => {
                    if stream.in_flight().is_some() {
                        // The ledger refused it, and didn't say what its stream ends with.
                        pause.wait().await;
                        continue;
                    }
                    if is_to_be_split(&rejection, &jobs) {
                        return jobs;
                    }
                    self.refused(&mut jobs, &rejection, &mut pause).await;
                }
                Err(error) => self.wait(&error, &mut pause).await,
            }
        }
        Vec::new()
    }

    /// Takes out the arrival that a refusal is about; or waits, where it is about none.
    async fn refused(&self, jobs: &mut Vec<Job>, rejection: &Rejection, pause: &mut Pause) {
        let count = jobs.iter().map(|job| job.records.len()).sum();
        let about = match &jobs[..] {
            [alone] => about_alone(rejection, alone.is_event, count),
            _ => about(rejection, count),
        };
        match about {
            About::Record(position) => {
                let mut end = 0;
                let at = jobs.iter().position(|job| {
                    end += job.records.len();
                    position < end
                });
                let job = jobs.remove(at.expect("the position is of one of them"));
                self.condition.reached();
                self.refuse_number(job.number, refusal_of(&job, rejection)).await;
            }
            About::Stream => {
                self.condition.raise(super::start::went_on_elsewhere(&self.stream));
                std::future::pending::<()>().await;
            }
            About::Party => self.stand_still(rejection, pause).await,
        }
    }

    /// Notes what is on record: in the index, for who waits, and that the spool may forget it.
    pub(super) async fn note(&self, stream: &Stream, numbers: &[u64], receipt: &VerifiedReceipt) {
        self.condition.reached();
        self.condition.clear();
        let batch = batch_of(stream, numbers, receipt);
        let noted = self.until_written(|| self.index.recorded(&batch)).await;
        for (number, recorded) in noted {
            self.spool.release(number);
            let taken = Taken::Recorded { id: recorded.place.id(), first_index: recorded.first_index, repeated: false };
            self.outcomes.tell(number, &Ok(taken));
        }
    }

    /// Puts the arrival with this number into quarantine.
    pub(super) async fn refuse_number(&self, number: SpoolNumber, refusal: Refusal) {
        if let Some(arrival) = self.read(number).await {
            self.refuse(number, &arrival, refusal).await;
        }
    }

    /// Puts an arrival into quarantine. Where that has no room, the arrival stays in the spool, and is taken up again later.
    pub(super) async fn refuse(&self, number: SpoolNumber, arrival: &Arrival, refusal: Refusal) {
        tracing::warn!(%number, source = arrival.source, code = refusal.code, path = refusal.path, "refused: in quarantine");
        if let Err(error) = self.quarantine.keep_taken(arrival, &refusal) {
            let why =
                format!("an arrival that the ledger refused can't be written into quarantine ({error}): make room");
            self.condition.set_room(Some(why));
            let found = self.index.get(number).ok().flatten();
            self.queue.push_later(number, found.map_or(Lane::Ordered, |found| Lane::of(&found.kind)));
            return;
        }
        self.condition.set_room(None);
        self.until_written(|| self.index.refused(number, &refusal)).await;
        self.spool.release(number);
        self.outcomes.tell(number, &Err(refusal));
    }

    async fn keep_whole(&self, number: SpoolNumber, bytes: &[u8]) {
        self.until_written(|| self.index.keep_whole(number, bytes)).await;
    }

    /// Writes into the index, until it takes it.
    pub(super) async fn until_written<T>(&self, write: impl Fn() -> Result<T, IndexError>) -> T {
        let mut pause = Pause::new();
        loop {
            match write() {
                Ok(written) => return written,
                Err(error) => self.condition.raise(format!("{error}: make room on its disk")),
            }
            pause.wait().await;
        }
    }

    /// Waits after an error that may pass.
    pub(super) async fn wait(&self, error: &ClientError, pause: &mut Pause) {
        match error {
            ClientError::Unavailable(_) | ClientError::Quota(_) => self.condition.away(error),
            error => self.condition.raise(error.to_string()),
        }
        pause.wait().await;
    }

    async fn stand_still(&self, rejection: &Rejection, pause: &mut Pause) {
        self.condition.reached();
        self.condition.raise(format!("the ledger refuses the connector: {}: {}", rejection.code, rejection.message));
        pause.wait().await;
    }

    /// Makes the index durable, and lets the outbox forget what stands there. Gives whether that was done.
    async fn tidy(self: &Arc<Self>, stream: &mut Stream) -> bool {
        let work = Arc::clone(self);
        let synced = tokio::task::spawn_blocking(move || work.index.sync()).await;
        let forgotten = match synced {
            Ok(Ok(())) => stream.outbox_mut().map_or(Ok(()), sillage_client::outbox::Outbox::forget_done),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the index can't be made durable");
                return false;
            }
            Err(_) => return false,
        };
        forgotten.inspect_err(|error| tracing::warn!(%error, "the outbox can't be tidied")).is_ok()
    }
}

/// Whether only each alone tells what a refusal is about.
fn is_to_be_split(rejection: &Rejection, jobs: &[Job]) -> bool {
    rejection.code == Code::NotEntitled && jobs.len() > 1 && jobs.iter().any(|job| !job.is_event)
}

/// What is said of a job that the ledger refused.
fn refusal_of(job: &Job, rejection: &Rejection) -> Refusal {
    let path = match rejection.code.known() {
        Some(Code::InvalidIns | Code::TestInsRefused | Code::PatientErased) if job.is_event => "AuditEvent.entity",
        _ => "",
    };
    Refusal::coded(path, rejection.code.as_str(), format!("{}: {}", rejection.code, rejection.message))
}

/// The first bytes of a stream's id.
pub(super) fn short_id(stream: &Stream) -> [u8; 8] {
    let id = stream.id();
    let id: &[u8] = id.as_ref();
    std::array::from_fn(|at| id[at])
}

fn batch_of(stream: &Stream, numbers: &[u64], receipt: &VerifiedReceipt) -> Batch {
    Batch {
        stream: short_id(stream),
        seq: receipt.seq,
        first_index: receipt.first_index,
        count: receipt.count,
        time_ms: receipt.time_ms,
        receipt: receipt.message.clone(),
        signature: receipt.signature.clone(),
        numbers: numbers.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::tests::{arrival, event};

    fn job(resource: serde_json::Value) -> Job {
        Job { number: SpoolNumber(1), is_event: is_event(&arrival(resource)), records: vec![vec![0]] }
    }

    fn rejection(code: Code) -> Rejection {
        Rejection { code: code.into(), message: String::new(), expected_seq: 0, position: 0 }
    }

    #[test]
    fn only_alone_a_record_line_is_refused_for_who_signs_it() {
        let refused = rejection(Code::NotEntitled);
        let line = || job(json!({"kind": "breakglass.opened"}));
        assert!(is_to_be_split(&refused, &[line(), job(event())]) && !is_to_be_split(&refused, &[line()]));
        assert!(!is_to_be_split(&refused, &[job(event()), job(event())]), "the party may record nothing");
        assert!(matches!(about(&refused, 2), About::Party));
        assert!(matches!(about_alone(&refused, line().is_event, 1), About::Record(0)));
        assert!(matches!(about_alone(&refused, job(event()).is_event, 1), About::Party));
        assert!(matches!(about(&rejection(Code::TimeAhead), 1), About::Record(0)));
        assert!(matches!(about(&rejection(Code::LimitReached), 1), About::Record(0)));
        assert!(matches!(about(&rejection(Code::RevokedKey), 1), About::Party));
    }
}
