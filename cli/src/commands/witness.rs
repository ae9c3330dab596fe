//! `witness`: init, serve, status.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;
use sillage_audit::witness::serve::Server;
use sillage_audit::witness::{Config, LoggedPolicy, Witness, store};
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_words::time::rfc3339;

use crate::{Ended, output};

#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make a key and a configuration
    Init {
        /// New folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Name of the key, a URL without scheme, such as `witness.example/w1`
        #[arg(long)]
        name: String,
        /// Key of a log to cosign for, a vkey line; repeatable
        #[arg(long, value_name = "VKEY", required_unless_present = "log_policy")]
        log: Vec<String>,
        /// Cosign for the logs of this policy, and only checkpoints that reach its quorum; repeatable
        #[arg(long, value_name = "F")]
        log_policy: Vec<PathBuf>,
    },
    /// Answer `add-checkpoint` over HTTP (c2sp.org/tlog-witness)
    Serve {
        /// Its folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Address and port
        #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDR")]
        listen: std::net::SocketAddr,
    },
    /// Show the checkpoint that was cosigned last, for each log
    Status {
        /// Its folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: WitnessCommand) -> Result<Ended, ClientError> {
    match command {
        WitnessCommand::Init { dir, name, log, log_policy } => init(&dir, &name, &log, log_policy),
        WitnessCommand::Serve { dir, listen } => serve(&dir, listen).await,
        WitnessCommand::Status { dir, json } => status(&dir, json),
    }
}

fn init(dir: &Path, name: &str, vkeys: &[String], policies: Vec<PathBuf>) -> Result<Ended, ClientError> {
    let policies = policies.into_iter().map(|path| {
        let text = String::from_utf8(read(&path)?).map_err(|error| ClientError::reading(&path, error))?;
        Ok(LoggedPolicy { path, text })
    });
    let policies: Result<Vec<LoggedPolicy>, ClientError> = policies.collect();
    let key = Config::init(dir, name, vkeys, &policies?)?;
    output::line(&format!("vkey {key}"))?;
    Ok(Ended::Done)
}

async fn serve(dir: &Path, listen: SocketAddr) -> Result<Ended, ClientError> {
    use tokio::signal::unix::{SignalKind, signal};
    let witness = Arc::new(Witness::open(dir)?);
    let server = Server::bind(listen).await?;
    let cannot = |error: std::io::Error| ClientError::Usage(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    output::lines(&[format!("vkey {}", witness.key()), format!("url http://{}", server.address)])?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(witness, stop).await;
    Ok(Ended::Done)
}

fn status(dir: &Path, as_json: bool) -> Result<Ended, ClientError> {
    let config = Config::load(dir)?;
    let mut lines = Vec::new();
    let mut logs = Vec::new();
    let mut ended = Ended::Done;
    for log in &config.logs {
        let latest = store::load(dir, &log.origin)?;
        let signed = latest.as_ref().and_then(|latest| latest.note.verify([config.signer.verifier()]).ok());
        let time_s = signed.and_then(|signed| signed.first().and_then(|signature| signature.time_s));
        let time = time_s.map(|time_s| rfc3339(time_s.saturating_mul(1_000)));
        let checkpoint = latest.map(|latest| latest.checkpoint);
        lines.push(match (&checkpoint, &time) {
            (Some(checkpoint), Some(time)) => {
                format!("{}: size {}, root {}, cosigned at {time}", log.origin, checkpoint.size, checkpoint.root)
            }
            (Some(_), None) => {
                return Err(sillage_client::checks::failed(&format!(
                    "what is stored of {} was not signed by this witness: restore its folder from a copy",
                    log.origin
                )));
            }
            (None, _) => format!("{}: nothing cosigned yet", log.origin),
        });
        let others = store::evidence(dir, &log.origin)?;
        for other in &others {
            ended = Ended::CheckFailed;
            let text: Vec<&str> = other.note.text().lines().skip(1).take(2).collect();
            let why = match other.is_proven {
                true => "another root at the size that it had cosigned: this proves it",
                false => "with a proof that doesn't lead there from what it had cosigned",
            };
            lines.push(format!(
                "{}: TWO HISTORIES: it was shown size {}, {why} ({}, and beside it `.kept`). \
                 Find out which is the log, then see docs/durability.md, \"A witness that was shown two histories\"",
                log.origin,
                text.join(", root "),
                other.path.display()
            ));
        }
        let to_json = |other: &store::Evidence| json!({"path": other.path, "proven": other.is_proven});
        logs.push(json!({
            "two_histories": others.first().map(|first| &first.path),
            "evidence": others.iter().map(to_json).collect::<Vec<_>>(),
            "origin": log.origin, "size": checkpoint.as_ref().map(|c| c.size), "root": checkpoint.as_ref().map(|c| c.root),
            "time": time, "monitor": format!("/{}/checkpoint", store::file_name(&log.origin)),
        }));
    }
    let key = config.signer.verifier();
    if as_json {
        output::line(&json!({"name": key.name(), "vkey": key.to_string(), "logs": logs}).to_string())?;
    } else {
        lines.insert(0, format!("vkey {key}"));
        output::lines(&lines)?;
    }
    Ok(ended)
}
