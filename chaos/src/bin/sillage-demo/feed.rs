//! The day goes to the ledger, service by service at the same time; half-way the leader is killed.

use super::story::{Registered, TIMEOUTS};
use super::{Error, Lang};
use prost::Message;
use sillage_chaos::ens::{Day, SHOWCASE};
use sillage_chaos::load::status::Watch;
use sillage_chaos::load::{Acked, Link, LoadError, Tally, Writer};
use sillage_chaos::process::Cluster;
use sillage_chaos::progress::Progress;
use sillage_client::author::TagRequest;
use sillage_rules::kind::Kind;
use sillage_rules::stream::StreamLabel;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Records of one batch at most,
const BATCH: usize = 100;
/// and how much of the day it may span, milliseconds: services don't wait for ever to fill a batch.
const BATCH_SPAN_MS: u64 = 10 * 60_000;
/// How long a batch may stay without an answer before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome.
pub struct Fed {
    /// Every acknowledged batch.
    pub acked: Vec<Acked>,
    /// From the first event to the last acknowledgement.
    pub took: Duration,
    /// How long nothing was acknowledged when the leader died.
    pub gap: Duration,
    /// Where the access without a basis is in the log.
    pub unjustified_index: u64,
}

/// One service's records, ready to sign.
struct Post {
    link: Link,
    label: &'static str,
    batches: Vec<Batch>,
}

/// Records that a service sends at once.
struct Batch {
    /// When the first of them happened, milliseconds.
    from_ms: u64,
    records: Vec<Vec<u8>>,
}

impl Post {
    /// Puts a record at the end; says in which batch (from 0) and at which position it is.
    fn push(&mut self, at_ms: u64, record: Vec<u8>) -> (usize, usize) {
        let full = |batch: &Batch| batch.records.len() >= BATCH || at_ms >= batch.from_ms + BATCH_SPAN_MS;
        if self.batches.last().is_none_or(full) {
            self.batches.push(Batch { from_ms: at_ms, records: Vec::new() });
        }
        let last = self.batches.last_mut().expect("there is one now");
        last.records.push(record);
        let position = last.records.len() - 1;
        (self.batches.len() - 1, position)
    }
}

/// Keeps the services together: no one runs ahead of the slowest by more than a quarter of an hour of the day, so that
/// the log is about in the order in which things happened.
struct Pace {
    next: watch::Sender<Vec<u64>>,
}

impl Pace {
    const SLACK_MS: u64 = 15 * 60_000;

    fn new(services: usize) -> Self {
        Self { next: watch::Sender::new(vec![0; services]) }
    }

    /// Waits until it is time for what happened at `at_ms` to the service at `place`.
    async fn turn(&self, place: usize, at_ms: u64) {
        let mut next = self.next.subscribe();
        self.next.send_modify(|all| all[place] = at_ms);
        let slowest = |all: &Vec<u64>| all.iter().copied().min().unwrap_or_default();
        let due = |all: &Vec<u64>| at_ms <= slowest(all).saturating_add(Self::SLACK_MS);
        drop(next.wait_for(due).await.expect("the sender lives as long as this pace"));
    }

    /// Nobody waits for this service any more.
    fn done(&self, place: usize) {
        self.next.send_modify(|all| all[place] = u64::MAX);
    }
}

/// One service sends all that it has, batch by batch.
async fn post_all(post: Post, place: usize, pace: Arc<Pace>, tally: Tally) -> Result<(), LoadError> {
    let mut writer = Writer::open(post.link, post.label, tally).await?;
    for batch in post.batches {
        pace.turn(place, batch.from_ms).await;
        writer.submit(batch.records, PATIENCE).await?;
    }
    pace.done(place);
    Ok(())
}

/// Sends the whole day.
pub async fn feed(
    lang: Lang,
    cluster: &mut Cluster,
    nodes: &Watch,
    services: &[Registered],
    day: &Day,
) -> Result<Fed, Error> {
    let (posts, unjustified) = posts(lang, services, day).await?;
    let hospital = &posts[unjustified.service];
    let stream = hospital.link.signer.stream_id(&StreamLabel::parse(hospital.label)?);
    let (tally, began) = (Tally::new(), Instant::now());
    let mut sending = JoinSet::new();
    let pace = Arc::new(Pace::new(posts.len()));
    for (place, post) in posts.into_iter().enumerate() {
        sending.spawn(post_all(post, place, Arc::clone(&pace), tally.clone()));
    }
    let gap = watch_and_kill(lang, cluster, nodes, &tally, &mut sending, day.events.len() as u64).await?;
    let acked = tally.take();
    let took = acked.iter().map(|a| a.at).max().map_or(Duration::ZERO, |last| last - began);
    let Place { batch, position, .. } = unjustified;
    let found = acked.iter().find(|a| a.stream_id == stream && a.seq == batch as u64 + 1);
    let unjustified_index =
        found.ok_or("the access without a basis was not acknowledged")?.first_index + position as u64;
    Ok(Fed { acked, took, gap, unjustified_index })
}

/// Where a record is in what is sent.
struct Place {
    service: usize,
    /// From 0: batch 0 is number 1 of its stream.
    batch: usize,
    position: usize,
}

/// Resolves every patient once, and gives each service its records; also where the access without a basis is.
async fn posts(lang: Lang, services: &[Registered], day: &Day) -> Result<(Vec<Post>, Place), Error> {
    let links: Result<Vec<Link>, _> = services.iter().map(|s| Link::open(&s.profile, TIMEOUTS)).collect();
    let links = links?;
    let requests: Vec<TagRequest> = day
        .world
        .patients
        .iter()
        .map(|p| TagRequest { ins: p.ins.clone(), oid: p.oid.to_owned(), secret: false })
        .collect();
    let mut progress =
        Progress::new(lang.say("résolution des patients (VRF)", "resolving patients (VRF)"), requests.len() as u64);
    let mut tags = Vec::with_capacity(requests.len());
    let resolver = links[0].tags()?;
    for page in requests.chunks(500) {
        tags.extend(resolver.resolve(page).await?);
        progress.set(tags.len() as u64);
    }
    progress.finish();
    let mut posts: Vec<Post> = links
        .into_iter()
        .zip(services)
        .map(|(link, of)| Post { link, label: of.service.token(), batches: Vec::new() })
        .collect();
    let mut unjustified = None;
    for event in &day.events {
        let place = services.iter().position(|s| s.service == event.service).ok_or("an event of an unknown service")?;
        let mut record = event.record.clone();
        record.tag = tags[event.patient].to_bytes().to_vec();
        let without =
            event.patient == SHOWCASE && record.basis.is_none() && record.kind == u32::from(Kind::ACCESS_READ.code());
        let (batch, position) = posts[place].push(record.occurred_at_ms, record.encode_to_vec());
        if without {
            unjustified = Some(Place { service: place, batch, position });
        }
    }
    Ok((posts, unjustified.ok_or("the day has no access without a basis")?))
}

/// Shows the progress; half-way kills the leader, and starts it again once another leads. Returns the gap.
async fn watch_and_kill(
    lang: Lang,
    cluster: &mut Cluster,
    nodes: &Watch,
    tally: &Tally,
    sending: &mut JoinSet<Result<(), LoadError>>,
    total: u64,
) -> Result<Duration, Error> {
    let mut progress = Progress::new(lang.say("événements confirmés", "acknowledged events"), total);
    let mut killed: Option<(u64, Instant)> = None;
    let mut back = false;
    let mut next_look = Instant::now();
    loop {
        let ended = tokio::time::timeout(Duration::from_millis(20), sending.join_next()).await;
        progress.set(tally.records());
        match ended {
            Ok(Some(result)) => result??,
            Ok(None) => break,
            Err(_) => {}
        }
        if killed.is_none() && tally.records() >= total / 2 {
            let leader = nodes.leader(Duration::from_secs(15)).await?;
            let pid = cluster.pid(leader).unwrap_or_default();
            killed = Some((leader, Instant::now()));
            cluster.kill(leader).await?;
            progress.say(&match lang {
                Lang::Fr => format!(
                    "à mi-chemin, le nœud {leader}, qui dirigeait, est tué (SIGKILL, processus {pid}) ; on continue."
                ),
                Lang::En => {
                    format!("half-way, node {leader}, the leader, is killed (SIGKILL, process {pid}); we go on.")
                }
            });
        }
        if let Some((dead, _)) =
            killed.filter(|(_, at)| !back && at.elapsed() > Duration::from_millis(500) && Instant::now() > next_look)
        {
            next_look = Instant::now() + Duration::from_millis(200);
            let known: Vec<_> = nodes.ask().await.into_iter().flatten().collect();
            if let Some(new) = known.iter().find(|node| node.role == "leader" && node.id != dead) {
                cluster.restart(dead)?;
                back = true;
                progress.say(&match lang {
                    Lang::Fr => format!("le nœud {} dirige désormais ; le nœud {dead} redémarre et rattrape.", new.id),
                    Lang::En => format!("node {} leads now; node {dead} is started again and catches up.", new.id),
                });
            }
        }
    }
    progress.finish();
    let (dead, at) = killed.ok_or("the feed ended before its half")?;
    if !back {
        nodes.leader(Duration::from_secs(15)).await?;
        cluster.restart(dead)?;
    }
    let gap = tally.gap_around(at).unwrap_or_default();
    let began = Instant::now();
    nodes.settled(3, Duration::from_secs(60)).await?;
    match lang {
        Lang::Fr => println!(
            "Interruption : {} ms sans confirmation ; nœud {dead} à jour {:.1} s après.",
            gap.as_millis(),
            began.elapsed().as_secs_f64()
        ),
        Lang::En => println!(
            "Gap: {} ms without an answer; node {dead} was level again {:.1} s later.",
            gap.as_millis(),
            began.elapsed().as_secs_f64()
        ),
    }
    Ok(gap)
}
