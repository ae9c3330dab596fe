//! The command line killed while it records a file, and started again until it is through.

use super::Error;
use super::run::Bench;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::ens::{Day, Plan, line};
use sillage_chaos::process::{Cluster, program};
use sillage_rules::stream::StreamLabel;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// Lines of the file.
const LINES: usize = 4_000;

/// Records one file with `kills` kills on the way; a sentence about it.
///
/// # Errors
/// When a line is missing or there twice, or the command line does not get through.
pub async fn kill_and_rerun(cluster: &Cluster, bench: &mut Bench, seed: u64, kills: u64) -> Result<String, Error> {
    let end_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let day = Day::new(Plan { seed, patients: 300, events: LINES, end_ms });
    let lines: Result<Vec<String>, _> = day.events.iter().map(|e| line::of(e, &day.world)).collect();
    let file = cluster.dir().join("day.ndjson");
    std::fs::write(&file, lines?.join("\n") + "\n")?;
    let stream = bench.link.signer.stream_id(&StreamLabel::parse(&bench.link.profile.stream)?);
    let before = bench.entries_of(&stream).await?.len();
    let (mut dice, mut printed, mut again, mut done) = (Dice::new(seed), BTreeSet::new(), 0, 0);
    for _ in 0..kills {
        let wait = Duration::from_millis(dice.between(20, 500));
        let (ended, indexes) = record(cluster, &file, Some(wait)).await?;
        again += indexes.iter().filter(|i| printed.contains(*i)).count();
        printed.extend(indexes);
        done += u64::from(!ended);
        if ended {
            break;
        }
    }
    let (_, indexes) = record(cluster, &file, None).await?;
    again += indexes.iter().filter(|i| printed.contains(*i)).count();
    printed.extend(indexes);
    let recorded = bench.entries_of(&stream).await?;
    let fresh: BTreeSet<u64> = recorded[before..].iter().copied().collect();
    if fresh.len() != LINES {
        return Err(format!("the file has {LINES} lines, {} were recorded", fresh.len()).into());
    }
    if printed != fresh {
        let (missing, foreign) = (fresh.difference(&printed).count(), printed.difference(&fresh).count());
        return Err(format!(
            "{missing} recorded lines were never printed, {foreign} printed indexes are not this file's"
        )
        .into());
    }
    Ok(format!(
        "sillage record killed {done} times: {LINES} lines recorded, each once; {again} indexes printed again by reruns"
    ))
}

/// Runs `sillage record --file`; kills it after `wait`. Whether it got through, and the indexes that it printed.
async fn record(cluster: &Cluster, file: &std::path::Path, wait: Option<Duration>) -> Result<(bool, Vec<u64>), Error> {
    let mut command = Command::new(program("sillage")?);
    command.arg("--profile").arg(cluster.profile()).args(["record", "--batch", "20", "--file"]).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (mut out, mut err) = (child.stdout.take().ok_or("no output")?, child.stderr.take().ok_or("no output")?);
    let reading = tokio::spawn(async move {
        let mut text = Vec::new();
        out.read_to_end(&mut text).await.map(|_| text)
    });
    let errors = tokio::spawn(async move {
        let mut text = String::new();
        err.read_to_string(&mut text).await.map(|_| text)
    });
    let status = match wait {
        Some(wait) => match tokio::time::timeout(wait, child.wait()).await {
            Ok(status) => Some(status?),
            Err(_) => {
                child.kill().await?;
                None
            }
        },
        None => Some(tokio::time::timeout(Duration::from_secs(120), child.wait()).await??),
    };
    let text = String::from_utf8(reading.await??)?;
    if let Some(status) = status.filter(|status| !status.success()) {
        return Err(format!("sillage record ended with {status}: {}", errors.await??).into());
    }
    Ok((status.is_some(), indexes(&text)?))
}

/// The indexes of whole printed lines: the kill may have cut the last one.
fn indexes(text: &str) -> Result<Vec<u64>, Error> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let index = |line: &str| -> Result<u64, Error> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        value["index"].as_u64().ok_or_else(|| format!("no index in {line}").into())
    };
    whole.lines().map(index).collect()
}
