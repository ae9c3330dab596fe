//! `prove keys`: that the keys of today follow from those of an older policy, and the policy of today.

use std::path::Path;

use serde_json::json;
use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{SignedNote, VerifierKey};
use sillage_proof::policy::Policy;
use sillage_proto::v1;
use sillage_rules::cosigner::node_name;

use super::{Context, Ended, output};
use crate::audit::rotation::{Holder, Keys, Rotated, check_order, verify};
use crate::checks::failed;
use crate::error::ClientError;
use crate::profile::read;

pub async fn run(context: &Context, policy: &Path, out: &Path) -> Result<Ended, ClientError> {
    let old = read(policy)?;
    Policy::parse(&old).map_err(|error| ClientError::reading(policy, error))?;
    let session = context.session().await?;
    session.keys.refresh(&session.client).await?;
    let rotations = session.keys.rotations();
    let followed = follow(old, &session.origin, &session.keys.log_keys(), &rotations, &session.keys.given())?;
    write(out, &followed.policy)?;
    let proven = followed.proven.iter().map(|one| {
        let holder = one.holder.to_string();
        json!({"holder": holder, "index": one.index, "vkey": one.key.to_string(), "signs_above": one.proven_by})
    });
    let proven: Vec<_> = proven.collect();
    output::line(&json!({"file": out.display().to_string(), "proven": proven, "known": followed.known}).to_string())?;
    say(&followed, rotations.is_empty());
    Ok(Ended::Done)
}

fn say(followed: &Followed, none: bool) {
    for one in &followed.proven {
        output::note(&format!(
            "{} has a new key since entry {}, proven under the policy by the checkpoint of size {}: it signs what is larger",
            one.holder, one.index, one.proven_by
        ));
    }
    if followed.proven.is_empty() {
        output::note(match none {
            true => "no key of this log was ever replaced: the policy stays as it is",
            false => "the policy has the newest keys of this log: it stays as it is",
        });
    } else {
        output::note("older checkpoints and files verify under the old policy: keep both");
    }
}

/// A policy that was followed to the keys of today.
#[derive(Debug)]
struct Followed {
    policy: Vec<u8>,
    /// What was proven under it, in order.
    proven: Vec<Rotated>,
    /// Rotations whose new key, or a later one, the old policy had already.
    known: usize,
}

/// Proves each rotation that the policy doesn't know under it, and puts the new keys into it. `log_keys` and `rotations`
/// are what the profile's own keys prove of the log, and only say which key replaced which: nothing is believed for them.
fn follow(
    mut policy: Vec<u8>,
    origin: &Origin,
    log_keys: &[VerifierKey],
    rotations: &[Rotated],
    given: &[v1::KeyRotation],
) -> Result<Followed, ClientError> {
    let parsed = parse(&policy)?;
    let listed = listed(&parsed);
    if !log_keys.iter().any(|key| parsed.logs().iter().any(|log| log.key == *key)) {
        return Err(failed(&format!("the policy names no key that {origin} ever had: it is for another log")));
    }
    let (mut proven, mut known) = (Vec::<Rotated>::new(), 0);
    let mut waiting: Vec<Rotated> = Vec::new();
    for (at, (one, given)) in rotations.iter().zip(given).enumerate() {
        let later = rotations.iter().skip(at).filter(|other| other.holder == one.holder);
        if later.into_iter().any(|other| listed.contains(&other.key)) {
            known += 1;
            continue;
        }
        // One checkpoint may prove several: it is signed with the keys before all of them.
        if waiting.first().is_some_and(|first| first.proven_by != one.proven_by) {
            policy = replaced(&policy, origin, &std::mem::take(&mut waiting))?;
        }
        let found = verify(origin, given, &UnderPolicy(parse(&policy)?))?;
        check_order(proven.last(), &found)?;
        waiting.push(found.clone());
        proven.push(found);
    }
    let policy = replaced(&policy, origin, &waiting)?;
    Ok(Followed { policy, proven, known })
}

fn parse(policy: &[u8]) -> Result<Policy, ClientError> {
    Policy::parse(policy).map_err(|error| failed(&format!("the policy with the new keys is none: {error}")))
}

fn listed(policy: &Policy) -> Vec<VerifierKey> {
    let logs = policy.logs().iter().map(|log| log.key.clone());
    logs.chain(policy.witnesses().iter().map(|witness| witness.key.clone())).collect()
}

struct UnderPolicy(Policy);

impl Keys for UnderPolicy {
    fn check(&self, note: &str) -> Result<Checkpoint, ClientError> {
        let wrong = |why: String| failed(&format!("its checkpoint does not satisfy the policy: {why}"));
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        Ok(self.0.verify(&note).map_err(|error| wrong(error.to_string()))?.checkpoint)
    }
}

/// The policy with these new keys in the place of the holders' old ones; everything else stays as it is written.
fn replaced(policy: &[u8], origin: &Origin, new: &[Rotated]) -> Result<Vec<u8>, ClientError> {
    let mut out = policy.to_vec();
    for one in new {
        let lines: Vec<Vec<u8>> = out.split(|byte| *byte == b'\n').map(|line| with_key(line, origin, one)).collect();
        out = lines.join(&b'\n');
    }
    parse(&out)?;
    Ok(out)
}

/// A line of a policy, with the new key where it names the holder's old one.
fn with_key(line: &[u8], origin: &Origin, new: &Rotated) -> Vec<u8> {
    let name = match new.holder {
        Holder::Log => origin.to_string(),
        Holder::Node(id) => node_name(origin, id),
    };
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let words: Vec<&[u8]> = line.split(blank).filter(|word| !word.is_empty()).collect();
    let word = match (words.as_slice(), new.holder) {
        ([b"log", key, ..], Holder::Log) | ([b"witness", _, key, ..], Holder::Node(_)) => *key,
        _ => return line.to_vec(),
    };
    let key = std::str::from_utf8(word).ok().and_then(|text| text.parse::<VerifierKey>().ok());
    if key.is_none_or(|key| key.name() != name) {
        return line.to_vec();
    }
    // The name of a witness stands before its key, and a URL is no key: the last such word is it.
    let Some(at) = line.windows(word.len()).rposition(|part| part == word) else {
        return line.to_vec();
    };
    let (before, after) = (line.get(..at), line.get(at + word.len()..));
    [before.unwrap_or_default(), new.key.to_string().as_bytes(), after.unwrap_or_default()].concat()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let name = path.file_name().ok_or_else(|| ClientError::Usage("--out names no file".to_owned()))?;
    let part = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| ClientError::writing(path, error))
}

#[cfg(test)]
#[path = "prove_keys_tests.rs"]
mod tests;
