//! The load that lives through all runs, and the audit: record, break, heal, audit.

use super::consents::Consents;
use super::strike::Strangers;
use super::{Error, faults};
use prost::Message;
use sillage_chaos::audit::{Book, read};
use sillage_chaos::check::{Checkpoint, Checks};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::{Day, Event, Patient, Plan};
use sillage_chaos::load::asker::TwoTags;
use sillage_chaos::load::status::{Sightings, Watch};
use sillage_chaos::load::{Acked, Link, LoadError, Tally, Writer};
use sillage_chaos::process::Cluster;
use sillage_client::channel::Timeouts;
use sillage_proof::hash::TreeSize;
use sillage_proof::keys::StreamId;
use sillage_proto::v1::{NodeStatus, PatientIdentity};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinHandle, JoinSet};

/// A node that is stopped is given up soon.
pub const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_millis(1_500), total: Duration::from_secs(10) };
const STREAMS: usize = 6;
/// The number of moments at which a node can die counts, not the amount that is written.
const PAUSE_MAX_MS: u64 = 16;
/// After everything is healed, a batch must be answered within this.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PATIENTS: usize = 200;
/// The time of the log is never further ahead of this machine's than this, whatever one node's clock says: what a
/// majority's clocks allow, and as long as it may take to read a node's answer.
const AHEAD_MAX: Duration = Duration::from_millis(1_000);

/// The parts that live through all runs.
pub struct Bench {
    /// The way to the ledger.
    pub link: Link,
    /// The way to each node.
    pub watch: Watch,
    writers: Vec<Writer>,
    tally: Tally,
    consents: Consents,
    /// Encoded records to choose from.
    records: Arc<[Vec<u8>]>,
    book: Book,
    checks: Checks,
    acked: Vec<Acked>,
    sightings: Sightings,
    /// Pauses between two batches of a writer are below so many milliseconds.
    pub pause_max_ms: u64,
    /// Each batch has so many records; `None`: from 1 to 200.
    pub batch_of: Option<u64>,
    /// Nodes whose word doesn't count for now.
    pub strangers: Strangers,
}

/// The load and the watch until [`Bench::end`].
pub struct Load {
    stop: Arc<AtomicBool>,
    sending: JoinSet<Result<Writer, LoadError>>,
    looked: JoinHandle<Vec<NodeStatus>>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records acknowledged.
    pub records: usize,
    batches: usize,
    repeated: usize,
    /// Decisions acknowledged.
    pub decided: usize,
    permitted: usize,
    faults: faults::Count,
    longest: Duration,
    size: u64,
    terms: usize,
    /// Observations that must not be.
    pub findings: Vec<String>,
}

impl Outcome {
    /// Sums up several runs.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.repeated += other.repeated;
        self.decided += other.decided;
        self.permitted += other.permitted;
        self.faults.add(other.faults);
        self.longest = self.longest.max(other.longest);
        self.size = other.size;
        self.terms = other.terms;
        self.findings.extend(other.findings.iter().cloned());
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.faults;
        let killed = match c.leader_kills + c.follower_kills + c.blackouts + c.stops {
            0 => String::new(),
            _ => format!(
                ", killed {} leaders, {} followers, {} times all, stopped {}",
                c.leader_kills, c.follower_kills, c.blackouts, c.stops
            ),
        };
        write!(
            f,
            "{} records in {} batches acknowledged ({} answered again), {} decisions ({} permitted){killed}; longest wait {:.1} s; {} entries, {} terms: {}",
            self.records,
            self.batches,
            self.repeated,
            self.decided,
            self.permitted,
            self.longest.as_secs_f64(),
            self.size,
            self.terms,
            if self.findings.is_empty() {
                "nothing lost, nothing twice, equal roots, nothing decided on revoked consent"
            } else {
                "VIOLATED"
            }
        )
    }
}

impl Bench {
    /// Resolves patients, makes records, opens the streams.
    pub async fn open(cluster: &Cluster) -> Result<Self, Error> {
        let link = Link::open(&cluster.profile(), TIMEOUTS)?;
        let watch = Watch::new(&link)?;
        let tally = Tally::new();
        let mut writers = Vec::new();
        for number in 0..STREAMS {
            // Each stream prefers another node, so that all of them forward.
            let own = link.beginning_at(number, TIMEOUTS)?;
            writers.push(Writer::open(own, &format!("chaos.{number}"), tally.clone()).await?);
        }
        let tags = tags(&link).await?;
        let records = records(&tags)?.into();
        let consents = Consents::new(link.clone(), cluster.profile(), tags);
        let (book, checks, acked, sightings) = (Book::new(), Checks::default(), Vec::new(), Sightings::default());
        let (strangers, pause_max_ms) = (Strangers::default(), PAUSE_MAX_MS);
        Ok(Self {
            link,
            watch,
            writers,
            tally,
            consents,
            records,
            book,
            checks,
            acked,
            sightings,
            pause_max_ms,
            batch_of: None,
            strangers,
        })
    }

    /// The records that are being acknowledged.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// One run of `length`.
    pub async fn run(&mut self, cluster: &mut Cluster, seed: u64, length: Duration) -> Result<Outcome, Error> {
        let mut dice = Dice::new(seed);
        let load = self.begin(&mut dice).await?;
        let broken = faults::until(cluster, &self.watch, &mut dice, Instant::now() + length).await;
        let mut outcome = Outcome { faults: broken?, ..Outcome::default() };
        self.end(load, cluster, &mut outcome).await?;
        if outcome.findings.is_empty()
            && let Err(finding) = self.audit(&mut outcome).await
        {
            outcome.findings.push(finding.to_string());
        }
        Ok(outcome)
    }

    /// Begins to record, to grant, to ask and to watch.
    pub async fn begin(&mut self, dice: &mut Dice) -> Result<Load, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut sending = JoinSet::new();
        for writer in self.writers.drain(..) {
            sending.spawn(record(
                writer,
                Arc::clone(&self.records),
                Dice::new(dice.below(u64::MAX)),
                (self.pause_max_ms, self.batch_of),
                Arc::clone(&stop),
            ));
        }
        self.consents.begin(dice, &stop).await?;
        let (looking, look, strangers) = (Arc::clone(&stop), self.watch.clone(), Strangers::clone(&self.strangers));
        let looked = tokio::spawn(async move {
            let mut seen = Vec::new();
            while !looking.load(Ordering::Relaxed) {
                let known = look.ask().await.into_iter().flatten();
                let strangers = strangers.lock().clone();
                seen.extend(known.filter(|node| node.role != "corrupt" && !strangers.contains(&node.id)));
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            seen
        });
        Ok(Load { stop, sending, looked })
    }

    /// Lets the last batch of each stream get its answer, and takes up what was seen.
    pub async fn end(&mut self, mut load: Load, cluster: &mut Cluster, outcome: &mut Outcome) -> Result<(), Error> {
        load.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = load.sending.join_next().await {
            match ended? {
                Ok(writer) => self.writers.push(writer),
                Err(error) => outcome.findings.push(error.to_string()),
            }
        }
        outcome.findings.extend(self.consents.end().await.err().map(|error| error.to_string()));
        for status in load.looked.await? {
            outcome.findings.extend(self.sightings.add(&status));
        }
        outcome.findings.extend(cluster.ended_by_themselves());
        Ok(())
    }

    /// Everything healed and answered: reads what is new, and compares.
    pub async fn audit(&mut self, outcome: &mut Outcome) -> Result<(), Error> {
        // Before the entries and the traces: reading them is put on record too, and makes the log longer.
        let signed = read::checkpoint(&self.link).await?;
        let nodes = self.watch.settled(3, Duration::from_secs(60)).await?;
        for node in &nodes {
            outcome.findings.extend(self.sightings.add(node));
        }
        let fresh = self.tally.take();
        outcome.batches = fresh.len();
        outcome.records = fresh.iter().map(|a| a.records.len()).sum();
        outcome.repeated = fresh.iter().filter(|a| a.repeated).count();
        outcome.longest = fresh.iter().map(|a| a.latency).max().unwrap_or_default();
        self.acked.extend(fresh);
        let newest = nodes.first().ok_or("no node answers")?;
        // Every entry from every node in turn: a node that differs gives an entry that does not fit.
        read::read_to(&mut self.book, &self.link.to_each(TIMEOUTS)?, newest.tree_size, |_| ()).await?;
        let now_ms = u64::try_from((SystemTime::now().duration_since(UNIX_EPOCH)? + AHEAD_MAX).as_millis())?;
        if self.book.time_ms() > now_ms {
            return Err(format!("the time of the log is {} ms ahead", self.book.time_ms() - now_ms).into());
        }
        let seen = self.consents.audit(&self.book).await?;
        (outcome.decided, outcome.permitted) = (seen.decided, seen.permitted);
        self.acked.extend(seen.acked);
        self.acked.iter().try_for_each(|acked| self.book.holds(acked))?;
        for (size, root) in self.sightings.roots().filter(|(size, _)| *size <= newest.tree_size) {
            self.book.has_root(size, &root)?;
        }
        self.book.has_root(signed.size.get(), &signed.root)?;
        let seen = Checkpoint { size: signed.size.get(), root: signed.root };
        let book = &self.book;
        self.checks.saw_checkpoint(0, seen, |old| book.consistency(TreeSize(old), signed.size))?;
        (outcome.size, outcome.terms) = (newest.tree_size, self.sightings.terms());
        Ok(())
    }

    /// Where the records of `stream` are in the log, after reading it to its end.
    pub async fn entries_of(&mut self, stream: &StreamId) -> Result<Vec<u64>, Error> {
        let nodes = self.watch.settled(3, Duration::from_secs(60)).await?;
        let newest = nodes.first().ok_or("no node answers")?;
        read::read_to(&mut self.book, &self.link.to_each(TIMEOUTS)?, newest.tree_size, |_| ()).await?;
        Ok(self.book.entries_of(stream))
    }
}

/// Sends batches of all sizes until told to stop; the last one gets its answer.
async fn record(
    mut writer: Writer,
    from: Arc<[Vec<u8>]>,
    mut dice: Dice,
    (pause_max_ms, batch_of): (u64, Option<u64>),
    stop: Arc<AtomicBool>,
) -> Result<Writer, LoadError> {
    while !stop.load(Ordering::Relaxed) {
        let count = batch_of.unwrap_or_else(|| match dice.below(10) {
            0..3 => 1,
            3..9 => dice.between(2, 30),
            _ => dice.between(50, 200),
        });
        let batch = (0..count).map(|_| dice.pick(&from).clone()).collect();
        writer.submit(batch, PATIENCE).await?;
        tokio::time::sleep(Duration::from_millis(dice.below(pause_max_ms))).await;
    }
    Ok(writer)
}

/// The people of the day whose records are sent.
fn day() -> Result<Day, Error> {
    let end_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    Ok(Day::new(Plan { seed: 1, patients: PATIENTS, events: 2_000, end_ms }))
}

/// Their patients' tags.
async fn tags(link: &Link) -> Result<Vec<TwoTags>, Error> {
    let identity = |p: &Patient| PatientIdentity { ins: p.ins.clone(), oid: p.oid.to_owned() };
    let identities: Vec<PatientIdentity> = day()?.world.patients.iter().map(identity).collect();
    Ok(TwoTags::resolve(link, &identities).await?)
}

/// A day's records, encoded under their patients' tags.
fn records(tags: &[TwoTags]) -> Result<Vec<Vec<u8>>, Error> {
    let encoded = day()?.events.into_iter().filter(Event::may_repeat).map(|event| {
        let mut record = event.record;
        record.tag = tags[event.patient].open.to_vec();
        record.encode_to_vec()
    });
    Ok(encoded.collect())
}
