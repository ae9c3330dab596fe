//! `checkpoint`: the newest one, who signed it, and how old that is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sillage_client::checks::{self, VerifiedCheckpoint, failed};
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::trust::Trusted;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::SignedNote;
use sillage_proof::policy::Policy;
use sillage_words::time::rfc3339;

use crate::{Context, Ended, output};

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Policy of the signatures that count (c2sp.org/tlog-policy); without it, the log's own and a majority of the nodes
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// Fail unless the cosigners that are needed signed at most this long ago: `300s`, `5m`, `1h`
    #[arg(long, value_name = "D", value_parser = super::checkpoint::parse_age)]
    pub max_age: Option<std::time::Duration>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// How long to wait for cosignatures that the policy asks for.
const WAIT: Duration = Duration::from_secs(5);

/// A checkpoint, and who is known to have cosigned it.
struct Shown {
    note: SignedNote,
    checkpoint: Checkpoint,
    /// Name of each key whose cosignature was verified, and its time in seconds since 1970.
    cosigners: Vec<(String, u64)>,
    /// When those that are needed had signed; none where none is needed.
    time_s: Option<u64>,
}

pub async fn run(context: &Context, args: CheckpointArgs) -> Result<Ended, ClientError> {
    let policy = args.policy.as_deref().map(|path| {
        let policy = Policy::parse(&read(path)?);
        policy.map_err(|error| ClientError::reading(path, error))
    });
    let policy = policy.transpose()?;
    let session = context.session().await?;
    let wait = WAIT.min(context.timeouts.total);
    let found = checks::checkpoint_for(&session, 0, policy.as_ref(), Instant::now() + wait).await?;
    let shown = match &policy {
        Some(policy) => by_policy(found, policy)?,
        None => by_profile(session.trusted(&found.note.to_string()).await?),
    };
    print(&shown, args.json)?;
    match args.max_age.map(|max_age| too_old(shown.time_s, max_age, now_ms() / 1_000)) {
        Some(Some(why)) => Err(failed(&why)),
        Some(None) | None => Ok(Ended::Done),
    }
}

fn by_policy(found: VerifiedCheckpoint, policy: &Policy) -> Result<Shown, ClientError> {
    let satisfied = policy.verify(&found.note);
    let satisfied =
        satisfied.map_err(|error| failed(&format!("the checkpoint does not satisfy the policy: {error}")))?;
    let time_s = policy.quorum_time_s(&satisfied);
    let cosigners = satisfied.witnesses.into_iter().map(|witness| (witness.key_name, witness.time_s)).collect();
    Ok(Shown { note: found.note, checkpoint: satisfied.checkpoint, cosigners, time_s })
}

fn by_profile(trusted: Trusted) -> Shown {
    let time_s = Some(trusted.time_s);
    Shown { note: trusted.note, checkpoint: trusted.checkpoint, cosigners: trusted.nodes, time_s }
}

/// Why the checkpoint isn't fresh, if so.
fn too_old(time_s: Option<u64>, max_age: Duration, now_s: u64) -> Option<String> {
    let Some(time_s) = time_s else {
        return Some("the policy asks for no cosigner, so nothing says how old the checkpoint is".to_owned());
    };
    let age_s = now_s.saturating_sub(time_s);
    if age_s <= max_age.as_secs() {
        return None;
    }
    let at = rfc3339(time_s.saturating_mul(1_000));
    Some(format!(
        "the checkpoint is old: those who have to cosign did so last at {at}, {age_s} s ago, and at most {} s are allowed; an old checkpoint may hide what came since: ask another node or gateway",
        max_age.as_secs()
    ))
}

/// The sort of a cosigner, by the name of its key.
fn role(origin: &str, name: &str) -> &'static str {
    let own = name.strip_prefix(origin).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    match own {
        own if own.starts_with("node-") => "node",
        own if own.starts_with("auditor-") => "auditor",
        _ => "witness",
    }
}

/// The note goes to standard output, as a file for others; what it means goes beside it.
fn print(shown: &Shown, as_json: bool) -> Result<(), ClientError> {
    let origin = shown.checkpoint.origin.as_str();
    let names: Vec<&str> = shown.note.signatures().iter().map(|line| line.name.as_str()).collect();
    let known = |name: &str| name == origin || shown.cosigners.iter().any(|(known, _)| known == name);
    let unchecked: Vec<&str> = names.into_iter().filter(|name| !known(name)).collect();
    if as_json {
        return output::line(&to_json(shown, &unchecked).to_string());
    }
    // A note ends in a newline of its own.
    output::line(shown.note.to_string().trim_end_matches('\n'))?;
    let by = shown.time_s.map(|time_s| format!(", cosigned as needed at {}", rfc3339(time_s.saturating_mul(1_000))));
    output::note(&format!("size {}{}", shown.checkpoint.size, by.unwrap_or_default()));
    for (name, time_s) in &shown.cosigners {
        output::note(&format!("  {} {name} at {}", role(origin, name), rfc3339(time_s.saturating_mul(1_000))));
    }
    if !unchecked.is_empty() {
        output::note(&format!("  also signed, not checked (name the keys in a --policy): {}", unchecked.join(", ")));
    }
    Ok(())
}

fn to_json(shown: &Shown, unchecked: &[&str]) -> Value {
    let Checkpoint { origin, size, root } = &shown.checkpoint;
    let time = |time_s: u64| rfc3339(time_s.saturating_mul(1_000));
    let cosigner = |(name, time_s): &(String, u64)| json!({"name": name, "role": role(origin.as_str(), name), "time": time(*time_s)});
    json!({
        "origin": origin, "size": size, "root": root, "time": shown.time_s.map(time),
        "cosigners": shown.cosigners.iter().map(cosigner).collect::<Vec<_>>(),
        "unchecked": unchecked, "note": shown.note.to_string(),
    })
}

/// Reads a length of time: a number, and `s`, `m`, `h` or `d`.
///
/// # Errors
/// When it is anything else, or 0.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let (number, seconds) = found.unwrap_or((text, 1));
    let length = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    match length {
        Some(length) if length > 0 => Ok(Duration::from_secs(length)),
        _ => Err("expected a length of time such as 300s, 5m or 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, seconds) in [("300s", 300), ("5m", 300), ("1h", 3_600), ("2d", 172_800), ("7", 7)] {
            assert_eq!(parse_age(text).expect("an age").as_secs(), seconds);
        }
        for bad in ["", "m", "0s", "-5m", "5 m", "1.5h", "99999999999999999999s", "18446744073709551615d", "5é"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_old_checkpoint_is_not_fresh_nor_is_one_without_a_time() {
        let max = Duration::from_secs(300);
        assert_eq!(too_old(Some(1_000), max, 1_300), None);
        assert!(too_old(Some(1_000), max, 1_301).expect("old").contains("301 s ago"));
        assert!(too_old(None, max, 0).is_some());
    }

    #[test]
    fn names_of_keys_say_who_is_what() {
        assert_eq!(role("a/log", "a/log/node-1"), "node");
        assert_eq!(role("a/log", "a/log/auditor-00"), "auditor");
        assert_eq!(role("a/log", "b/log/node-1"), "witness");
        assert_eq!(role("a/log", "w.example/1"), "witness");
    }
}
