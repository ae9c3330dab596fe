//! Connections that send a byte a second and never a request, to every node at once: what they cost those who record.

use super::Error;
use super::run::{Bench, Outcome};
use super::stretch::{self, Stretch};
use serde_json::{Value, json};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::process::Cluster;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The load is watched for so long before, and as long meanwhile.
const WATCHED: Duration = Duration::from_secs(20);
/// The beginning of every TLS client: a handshake record of 512 bytes.
const BEGINNING: [u8; 5] = [0x16, 0x03, 0x01, 0x02, 0x00];

/// Opens `count` of them, spread over the nodes, while records are made. Gives a table and the same as JSON.
///
/// # Errors
/// When no connection can be opened, or anything acknowledged is missing afterwards.
pub async fn connections(cluster: &mut Cluster, count: usize, seed: u64) -> Result<(String, Value), Error> {
    let (mut bench, mut dice) = (Bench::open(cluster).await?, Dice::new(seed));
    let nodes = addresses(&bench)?;
    let load = bench.begin(&mut dice).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = Instant::now();
    tokio::time::sleep(WATCHED).await;
    let meanwhile = Instant::now();
    let mut slow = JoinSet::new();
    for node in nodes.iter().cycle().take(count) {
        slow.spawn(trickle(*node));
    }
    let mut ended = 0;
    while meanwhile.elapsed() < WATCHED {
        // A node ends a handshake that takes too long: whoever does that comes again.
        tokio::select! {
            Some(_) = slow.join_next() => {
                slow.spawn(trickle(nodes[ended % nodes.len()]));
                ended += 1;
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    let end = Instant::now();
    slow.shutdown().await;
    let stretches = [("before", before, meanwhile), ("with them", meanwhile, end)];
    let stretches = stretches.map(|(name, from, to)| Stretch::of(name, &bench, from, to));
    let mut outcome = Outcome::default();
    bench.end(load, cluster, &mut outcome).await?;
    bench.audit(&mut outcome).await?;
    if let Some(finding) = outcome.findings.first() {
        return Err(finding.clone().into());
    }
    let table = format!("{count} slow connections, of which nodes ended {ended}\n{}", stretch::table(&stretches));
    let json = json!({"seed": seed, "connections": count, "ended": ended, "load": stretch::json(&stretches)});
    Ok((table, json))
}

fn addresses(bench: &Bench) -> Result<Vec<SocketAddr>, Error> {
    let of = |url: &String| url.trim_start_matches("https://").parse::<SocketAddr>();
    Ok(bench.link.profile.endpoints.iter().map(of).collect::<Result<_, _>>()?)
}

/// A byte a second, until the node ends it.
async fn trickle(node: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(node).await?;
    for byte in BEGINNING.into_iter().chain(std::iter::repeat_n(0, 512)) {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
