//! The demonstration from top to bottom.

use super::feed::{self, Fed};
use super::{Args, Error, Lang, consent, show};
use sillage_chaos::audit::{Book, read};
use sillage_chaos::ens::{Day, Plan, Service};
use sillage_chaos::load::Link;
use sillage_chaos::load::stats::percentile;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::{Cluster, Options};
use sillage_chaos::progress::Progress;
use sillage_client::authorize::receipt::Receipt;
use sillage_client::channel::Timeouts;
use sillage_rules::kind::Kind;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Calls give up on a node soon, so that the death of the leader is a short gap.
pub const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(2), total: Duration::from_secs(30) };

/// Tells it. `false`: something was not as it must be, and was said.
pub async fn tell(args: &Args) -> Result<bool, Error> {
    let (began, lang) = (Instant::now(), args.lang);
    let folder = tempfile::Builder::new().prefix("sillage-demo-").tempdir()?;
    let mut cluster = None;
    let result = chapters(args, folder.path().to_owned(), &mut cluster, began).await;
    if let (Err(_), Some(cluster)) = (&result, &cluster) {
        eprintln!("{}", cluster.last_lines(15));
    }
    // The processes first, then their folder.
    if let Some(cluster) = cluster {
        tokio::task::spawn_blocking(move || cluster.stop()).await?;
    }
    if args.keep {
        println!("{} {}", lang.say("dossier conservé :", "folder kept:"), folder.keep().display());
    }
    result
}

async fn chapters(args: &Args, dir: PathBuf, slot: &mut Option<Cluster>, began: Instant) -> Result<bool, Error> {
    let lang = args.lang;
    let day = tokio::task::spawn_blocking({
        let end_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? - 60_000;
        let (patients, events) = (usize::try_from(args.patients)?, usize::try_from(args.events)?);
        let plan = Plan { seed: args.seed, patients, events, end_ms };
        move || Day::new(plan)
    });
    title(lang.say("1. Trois nœuds", "1. Three nodes"));
    let cluster = slot.insert(Cluster::start(&dir, Options::default()).await?);
    let link = Link::open(&cluster.profile(), TIMEOUTS)?;
    let watch = Watch::new(&link)?;
    let leader = watch.leader(Duration::from_secs(15)).await?;
    let pids: Vec<String> = cluster.ids().filter_map(|id| cluster.pid(id)).map(|pid| pid.to_string()).collect();
    match lang {
        Lang::Fr => println!("Trois nœuds servent (processus {}), le nœud {leader} dirige.", pids.join(", ")),
        Lang::En => println!("Three nodes serve (processes {}), node {leader} leads.", pids.join(", ")),
    }

    title(lang.say("2. Six services de l’Espace numérique de santé", "2. Six services of the health space"));
    let services = show::register(cluster, lang).await?;
    let day = day.await?;
    match lang {
        Lang::Fr => println!(
            "{} patients, {} professionnels, {} événements.",
            day.world.patients.len(),
            day.world.professionals.len(),
            day.events.len()
        ),
        Lang::En => println!(
            "{} patients, {} professionals, {} events.",
            day.world.patients.len(),
            day.world.professionals.len(),
            day.events.len()
        ),
    }

    title(lang.say("3. Une journée, et un nœud qui meurt", "3. A day, and a node that dies"));
    let fed = feed::feed(lang, cluster, &watch, &services, &day).await?;

    title(lang.say("4. Ce que voit la patiente", "4. What the patient sees"));
    show::trace(cluster, lang, day.showcase()).await?;

    title(lang.say("5. Une preuve", "5. A proof"));
    show::prove(cluster, lang, &link, &dir, fed.unjustified_index).await?;

    title(lang.say("6. Ce que décide la patiente", "6. What the patient decides"));
    let decided = consent::tell(lang, cluster, &services, &day, &dir).await?;

    title(lang.say("7. Le compte", "7. The count"));
    show::cluster_status(cluster).await?;
    let book = count(lang, &link, &watch, &fed, &decided).await?;
    summary(args, &fed, &book, began);
    Ok(true)
}

fn title(text: &str) {
    println!("\n── {text} {}", "─".repeat(74_usize.saturating_sub(text.chars().count())));
}

/// Reads every entry back, recomputes every hash, and compares with what was acknowledged.
async fn count(lang: Lang, link: &Link, watch: &Watch, fed: &Fed, decided: &[Receipt]) -> Result<Book, Error> {
    // Before the entries: reading them is put on record too, and makes the log longer.
    let checkpoint = read::checkpoint(link).await?;
    let nodes = watch.settled(3, Duration::from_secs(30)).await?;
    let newest = nodes.first().ok_or("no node answers")?.clone();
    let mut progress =
        Progress::new(lang.say("relecture de chaque entrée", "reading every entry back"), newest.tree_size);
    let mut book = Book::new();
    read::read_to(&mut book, &link.to_each(TIMEOUTS)?, newest.tree_size, |done| progress.set(done)).await?;
    progress.finish();
    fed.acked.iter().try_for_each(|acked| book.holds(acked))?;
    decided.iter().try_for_each(|receipt| book.made(receipt.message.index.get(), &receipt.message.record_hash))?;
    let decisions = book.made_of(Kind::DECISION_MADE);
    if decisions != decided.len() {
        return Err(format!("{} decisions were given, {decisions} are on record", decided.len()).into());
    }
    book.has_root(newest.tree_size, &newest.root.as_slice().try_into()?)?;
    book.has_root(checkpoint.size.get(), &checkpoint.root)?;
    Ok(book)
}

fn summary(args: &Args, fed: &Fed, book: &Book, began: Instant) {
    let acknowledged: usize = fed.acked.iter().map(|a| a.records.len()).sum();
    let mut latencies: Vec<Duration> = fed.acked.iter().map(|a| a.latency).collect();
    latencies.sort_unstable();
    let (p50, p99) = (percentile(&latencies, 0.5).as_millis(), percentile(&latencies, 0.99).as_millis());
    let rate = acknowledged as f64 / fed.took.as_secs_f64();
    let (gap, total) = (fed.gap.as_millis(), began.elapsed().as_secs_f64());
    let (size, batches) = (book.size(), fed.acked.len());
    let (decisions, readings) = (book.made_of(Kind::DECISION_MADE), book.made_of(Kind::LOG_CONSULTED));
    match args.lang {
        Lang::Fr => {
            println!(
                "{acknowledged} événements confirmés, chacun présent une fois et une seule, à sa place ({batches} lots signés, {size} entrées)."
            );
            println!(
                "{decisions} décisions rendues, toutes inscrites ; {readings} fois, qui lisait le registre l’a été aussi."
            );
            println!(
                "Même racine sur les trois nœuds, recalculée depuis chaque entrée ; point de contrôle signé et cohérent."
            );
            println!(
                "Débit {rate:.0} événements/s, lot p50 {p50} ms, p99 {p99} ms ; mort du nœud dirigeant : {gap} ms sans confirmation."
            );
            println!("Durée totale {total:.0} s.");
        }
        Lang::En => {
            println!(
                "{acknowledged} acknowledged events, each there exactly once, at its place ({batches} signed batches, {size} entries)."
            );
            println!("{decisions} decisions made, all on record; {readings} times, so was who read the log.");
            println!(
                "The same root on all three nodes, recomputed from every entry; the checkpoint is signed and consistent."
            );
            println!(
                "{rate:.0} events/s, batch p50 {p50} ms, p99 {p99} ms; death of the leader: {gap} ms without an answer."
            );
            println!("{total:.0} s in all.");
        }
    }
}

/// A service with its own profile.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Which.
    pub service: Service,
    /// Its profile file.
    pub profile: PathBuf,
}
