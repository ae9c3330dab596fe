//! `audit`: the replay, `audit compare`, `audit --receipts`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use sillage_audit::compare::{Relation, Signed, compare, evidence};
use sillage_audit::follow::{Audit, Clean, Round};
use sillage_audit::receipts::{Promise, root_of_range};
use sillage_audit::{Divergence, fetch};
use sillage_client::checks::failed;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::session::Session;
use sillage_client::trust::{Trust, Trusted};
use sillage_proof::note::VerifierKey;
use sillage_proof::policy::Policy;
use sillage_proto::v1::LogEntry;
use sillage_rules::codes::Code;
use sillage_words::time::rfc3339;

use crate::{Context, Ended, output};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// A checkpoint that you trust: the log must have its root at its size
    #[arg(long, value_name = "F")]
    pub from: Option<PathBuf>,
    /// Keep the state of the replay here, and go on from it the next time
    #[arg(long, value_name = "F")]
    pub state: Option<PathBuf>,
    /// After a clean replay, cosign the checkpoint with the profile's author key
    #[arg(long)]
    pub cosign: bool,
    /// Go on with every newer checkpoint
    #[arg(long)]
    pub follow: bool,
    /// Instead of a replay, check that each promise of this file (`record --receipts`) was kept
    #[arg(long, value_name = "F", conflicts_with_all = ["from", "state", "cosign", "follow"])]
    pub receipts: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether two checkpoints are of one history; if not, show the evidence
    Compare {
        /// A checkpoint
        a: PathBuf,
        /// Another
        b: PathBuf,
        /// Policy of the signatures that count (c2sp.org/tlog-policy); without it, those of the profile's log and its nodes
        #[arg(long, value_name = "F")]
        policy: Option<PathBuf>,
    },
}

/// Between two rounds of `--follow`: a policy that asks for an auditor is as slow as its auditors are.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);
/// The same after a round that may have found nothing but what the one before left: reading the log is on record, so that
/// an auditor who looks every second would read its own reading for ever.
const QUIET_PAUSE: Duration = Duration::from_secs(5);
/// Entries that a round leaves: its reading, and an index commit.
const ROUND_LEAVES: u64 = 2;
/// A checkpoint that stays the newest is cosigned again, so that its age can be checked: as often as the nodes do it.
const COSIGN_AGAIN: Duration = Duration::from_secs(60);

pub async fn run(context: &Context, args: AuditArgs) -> Result<Ended, ClientError> {
    match (&args.command, &args.receipts) {
        (Some(AuditCommand::Compare { a, b, policy }), _) => compare_files(context, a, b, policy.as_deref()).await,
        (None, Some(file)) => receipts(context, file, args.json).await,
        (None, None) => replay(context, &args).await,
    }
}

async fn replay(context: &Context, args: &AuditArgs) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let trusted = match &args.from {
        None => None,
        Some(path) => {
            let text = String::from_utf8(read(path)?).map_err(|error| ClientError::reading(path, error))?;
            Some(fetch::given(&session, text)?)
        }
    };
    let mut audit = Audit::open(&session, args.state.as_deref(), context.timeouts.total)?;
    let mut said: Option<(u64, Instant)> = None;
    loop {
        let bar = progress_bar(args.json);
        let round = audit.round(trusted.as_ref(), |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        let round = round.await;
        bar.finish_and_clear();
        let pause = match round? {
            Round::Diverged(divergence, note) => return diverged(&divergence, &note, args.json),
            Round::Clean(clean) => {
                let size = clean.checkpoint.checkpoint.size.get();
                // Of a checkpoint that was cosigned a moment ago there is nothing new to say.
                if said.is_none_or(|(before, when)| before != size || when.elapsed() >= COSIGN_AGAIN) {
                    let key = match args.cosign {
                        true => Some(audit.cosign(&clean, now_ms() / 1_000).await?),
                        false => None,
                    };
                    // What a policy needs is said once.
                    let key = key.filter(|_| args.json || said.is_none());
                    print_clean(&clean, audit.size(), key.as_ref(), args.json)?;
                    said = Some((size, Instant::now()));
                }
                let is_quiet = (1..=ROUND_LEAVES).contains(&clean.entries);
                if is_quiet { QUIET_PAUSE } else { FOLLOW_PAUSE }
            }
        };
        if !args.follow {
            return Ok(Ended::Done);
        }
        tokio::time::sleep(pause).await;
    }
}

fn progress_bar(as_json: bool) -> ProgressBar {
    let hidden = as_json || !std::io::stderr().is_terminal();
    let bar =
        if hidden { ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} entries, {per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn diverged(divergence: &Divergence, note: &str, as_json: bool) -> Result<Ended, ClientError> {
    if as_json {
        let what = json!({"clean": false, "divergence": divergence.to_json(), "checkpoint": note});
        output::line(&what.to_string())?;
    } else {
        let Divergence { index, expected, found } = divergence;
        output::lines(&[
            format!("the log diverges at entry {index}"),
            format!("  expected: {expected}"),
            format!("  found:    {found}"),
            "keep the checkpoint that claims it as evidence:".to_owned(),
            note.trim_end_matches('\n').to_owned(),
        ])?;
    }
    Ok(Ended::CheckFailed)
}

fn print_clean(clean: &Clean, replayed: u64, key: Option<&VerifierKey>, as_json: bool) -> Result<(), ClientError> {
    let Trusted { checkpoint, time_s, .. } = &clean.checkpoint;
    let time = rfc3339(time_s.saturating_mul(1_000));
    let seconds = clean.took.as_secs_f64();
    let policy = key.map(policy_lines).unwrap_or_default();
    if as_json {
        let cosigned = key.map(|key| json!({"name": key.name(), "vkey": key.to_string(), "policy": policy}));
        let what = json!({
            "clean": true, "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root, "time": time,
            "replayed": replayed, "entries": clean.entries, "seconds": seconds, "cosigned": cosigned,
        });
        return output::line(&what.to_string());
    }
    let mut lines = vec![format!(
        "clean: {} at size {}, root {}, cosigned by a majority of nodes at {time}; {} entries replayed in {seconds:.1} s",
        checkpoint.origin, checkpoint.size, checkpoint.root, clean.entries
    )];
    if !policy.is_empty() {
        lines.push("cosigned; for the policies of those who trust this auditor:".to_owned());
        lines.extend(policy);
    }
    output::lines(&lines)
}

/// The lines that a policy needs to count this auditor.
fn policy_lines(key: &VerifierKey) -> Vec<String> {
    let name = key.name().rsplit('/').next().unwrap_or_default();
    vec![format!("witness {name} {key}"), format!("group auditors any {name}")]
}

/// The keys whose signatures count: of a policy, or the first of the profile.
fn known_keys(context: &Context, policy: Option<&Path>) -> Result<(Vec<VerifierKey>, Vec<VerifierKey>), ClientError> {
    if let Some(path) = policy {
        let policy = Policy::parse(&read(path)?).map_err(|error| ClientError::reading(path, error))?;
        let logs = policy.logs().iter().map(|log| log.key.clone()).collect();
        return Ok((logs, policy.witnesses().iter().map(|witness| witness.key.clone()).collect()));
    }
    let profile = context.profile()?;
    let (genesis, _) = profile.genesis()?;
    let usage = |why: String| ClientError::Usage(format!("the profile cannot be used: {why}"));
    let log: VerifierKey = profile.log_vkey.parse().map_err(|error| usage(format!("log_vkey: {error}")))?;
    let origin = profile.origin.parse().map_err(|error| usage(format!("origin: {error}")))?;
    let first = Trust::first(&origin, &genesis).map_err(|error| ClientError::Usage(error.to_string()))?;
    let nodes = first.every_key().cloned().collect();
    Ok((vec![log], nodes))
}

/// Reads both. Where the profile's first keys haven't signed, the ledger is asked to prove those that came since: two
/// checkpoints under the first are evidence whoever can be reached.
async fn signed_both(context: &Context, files: [&Path; 2], policy: Option<&Path>) -> Result<[Signed; 2], ClientError> {
    let both = |logs: &[VerifierKey], nodes: &[VerifierKey]| {
        let signed = |path: &Path| {
            Signed::read(&read(path)?, logs, nodes).map_err(|error| match error {
                ClientError::Check(why) => failed(&format!("{}: {why}", path.display())),
                error => error,
            })
        };
        Ok([signed(files[0])?, signed(files[1])?])
    };
    let (mut logs, mut nodes) = known_keys(context, policy)?;
    match both(&logs, &nodes) {
        Err(ClientError::Check(_)) if policy.is_none() => {}
        done => return done,
    }
    let session = context.session().await?;
    logs.extend(session.keys.log_keys());
    nodes.extend(session.keys.node_vkeys());
    both(&without_repeats(logs), &without_repeats(nodes))
}

fn without_repeats(keys: Vec<VerifierKey>) -> Vec<VerifierKey> {
    let mut out = Vec::with_capacity(keys.len());
    for key in keys {
        if !out.contains(&key) {
            out.push(key);
        }
    }
    out
}

async fn compare_files(context: &Context, a: &Path, b: &Path, policy: Option<&Path>) -> Result<Ended, ClientError> {
    let [first, second] = signed_both(context, [a, b], policy).await?;
    let a_size = first.checkpoint.size;
    match compare(&first.checkpoint, &second.checkpoint) {
        Relation::OtherLogs => {
            let (a, b) = (&first.checkpoint.origin, &second.checkpoint.origin);
            Err(ClientError::Usage(format!("two logs: {a} and {b}; only checkpoints of one log can be compared")))
        }
        Relation::Same => {
            output::line(&format!("the same: size {a_size}, root {}", first.checkpoint.root))?;
            Ok(Ended::Done)
        }
        Relation::Split => {
            let what = format!("split view: two roots for size {a_size}, the log has shown two histories");
            output::lines(&[what, evidence(&first, &second)])?;
            Ok(Ended::CheckFailed)
        }
        Relation::Grows => proven(context, &first, &second).await,
        Relation::Shrinks => proven(context, &second, &first).await,
    }
}

/// Asks the ledger to prove that one checkpoint continues the other.
async fn proven(context: &Context, small: &Signed, large: &Signed) -> Result<Ended, ClientError> {
    let sizes = (small.checkpoint.size.get(), large.checkpoint.size.get());
    let asked = async {
        let session = context.session().await?;
        let (small, large) = (&small.checkpoint, &large.checkpoint);
        fetch::consistent(&session, (sizes.0, &small.root), (sizes.1, &large.root)).await
    };
    match asked.await {
        Ok(()) => {
            output::line(&format!("one history: size {} is the beginning of size {}", sizes.0, sizes.1))?;
            Ok(Ended::Done)
        }
        Err(ClientError::Check(why)) => {
            output::lines(&[format!("split view, or not proven: {why}"), evidence(small, large)])?;
            Ok(Ended::CheckFailed)
        }
        Err(error) => {
            output::lines(&[format!("not proven: {error}"), evidence(small, large)])?;
            Err(error)
        }
    }
}

/// The fate of a promise.
enum Fate {
    Kept,
    /// Its time isn't over.
    Pending,
    Broken(String),
}

async fn receipts(context: &Context, file: &Path, as_json: bool) -> Result<Ended, ClientError> {
    let text = String::from_utf8(read(file)?).map_err(|error| ClientError::reading(file, error))?;
    let session = context.session().await?;
    let newest = fetch::newest(&session, 0).await?;
    session.keys.refresh(&session.client).await?;
    let nodes = session.keys.node_keys();
    let trusted = session.trusted(&newest.text).await?;
    let (mut kept, mut pending, mut broken) = (0_u64, 0_u64, Vec::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let fate = match Promise::read(number, line, &session.origin, &nodes) {
            Ok(promise) => fate(&session, context, &promise, &trusted).await?,
            Err(why) => Fate::Broken(format!("not a receipt: {why}")),
        };
        match fate {
            Fate::Kept => kept += 1,
            Fate::Pending => pending += 1,
            Fate::Broken(why) => broken.push((number, why, line.to_owned())),
        }
    }
    print_receipts(kept, pending, &broken, &trusted, as_json)?;
    Ok(if broken.is_empty() { Ended::Done } else { Ended::CheckFailed })
}

async fn fate(session: &Session, context: &Context, promise: &Promise, trusted: &Trusted) -> Result<Fate, ClientError> {
    let (size, root) = (trusted.checkpoint.size.get(), trusted.checkpoint.root);
    let (first, end) = (promise.header(), promise.end());
    if end > size {
        let due = promise.is_due(trusted.time_s, now_ms());
        let why = format!(
            "its entries up to {} are under no checkpoint: the newest has size {size}, cosigned at {}",
            end - 1,
            rfc3339(trusted.time_s.saturating_mul(1_000))
        );
        return Ok(if due { Fate::Broken(why) } else { Fate::Pending });
    }
    let entries = match promised_entries(session, first, end, context.timeouts.total).await {
        Ok(entries) => entries,
        Err(ClientError::Rejected(rejection)) => {
            return Ok(Fate::Broken(format!(
                "the ledger doesn't show its entries ({}: {})",
                rejection.code, rejection.message
            )));
        }
        Err(error) => return Err(error),
    };
    let leaves = match promise.check(&entries) {
        Ok(leaves) => leaves,
        Err(why) => return Ok(Fate::Broken(why)),
    };
    let of_first = fetch::path(session, first, size).await?;
    let of_last = fetch::path(session, end - 1, size).await?;
    Ok(match root_of_range(size, first, &leaves, &of_first, &of_last) {
        Some(found) if found == root => Fate::Kept,
        _ => Fate::Broken(format!("the entries that the ledger shows are not in the log of size {size}")),
    })
}

async fn promised_entries(
    session: &Session,
    first: u64,
    end: u64,
    patience: Duration,
) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut found = Vec::new();
    let take = async |entries: Vec<LogEntry>| {
        found.extend(entries.into_iter().map(|entry| entry.entry));
        true
    };
    match fetch::entries(session, (first, end), patience, take).await {
        // An author reads its own entries, one at a time.
        Err(ClientError::Rejected(rejection)) if rejection.code == Code::NotEntitled => {}
        Err(error) => return Err(error),
        Ok(()) => return Ok(found),
    }
    found.clear();
    for index in first..end {
        let request = sillage_proto::v1::GetEntryRequest { index };
        let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
        found.push(answer.entry);
    }
    Ok(found)
}

fn print_receipts(
    kept: u64,
    pending: u64,
    broken: &[(usize, String, String)],
    trusted: &Trusted,
    as_json: bool,
) -> Result<(), ClientError> {
    let note = trusted.note.to_string();
    if as_json {
        let broken = broken.iter().map(|(line, why, receipt)| json!({"line": line, "why": why, "receipt": receipt}));
        let broken: Vec<Value> = broken.collect();
        return output::line(
            &json!({"kept": kept, "pending": pending, "broken": broken, "checkpoint": note}).to_string(),
        );
    }
    let mut lines = vec![format!("{kept} kept, {pending} not due yet, {} broken", broken.len())];
    for (line, why, receipt) in broken {
        lines.push(format!("line {line}: broken promise: {why}\n  {receipt}"));
    }
    if !broken.is_empty() {
        lines.push(format!(
            "as of this checkpoint, which is evidence with the receipts:\n{}",
            note.trim_end_matches('\n')
        ));
    }
    output::lines(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::KeyKind;

    #[test]
    fn the_lines_for_a_policy_can_be_added_to_one() {
        let key = |seed: u8, name: &str, kind| {
            VerifierKey::new(name, kind, SigningKey::from_seed(&[seed; 32]).public_key()).expect("a key")
        };
        let log = key(1, "a/log", KeyKind::Ed25519);
        let lines = policy_lines(&key(2, "a/log/auditor-0011223344556677", KeyKind::CosignatureV1));
        let text = format!("log {log}\n{}\nquorum auditors\n", lines.join("\n"));
        let policy = Policy::parse(text.as_bytes()).expect("a policy");
        assert_eq!(policy.witnesses()[0].name, b"auditor-0011223344556677");
    }
}
