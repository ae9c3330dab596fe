//! `prove keys`: that the keys and nodes of today follow from those of an older policy, and the policy of today.

use std::path::Path;

use serde_json::{Value, json};
use sillage_client::checks::failed;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::trust::Trust;
use sillage_client::trust::rotation::{Change, Holder, Keys, Rotated, after, check_order, verify};
use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{SignedNote, VerifierKey};
use sillage_proof::policy::Policy;
use sillage_proto::v1;
use sillage_rules::chain::Unproven;
use sillage_rules::cosigner::node_name;

use crate::commands::prove::policy_text::{with_key, with_nodes};
use crate::{Context, Ended, output};

pub async fn run(context: &Context, policy: &Path, out: &Path) -> Result<Ended, ClientError> {
    let old = read(policy)?;
    Policy::parse(&old).map_err(|error| ClientError::reading(policy, error))?;
    let session = context.session().await?;
    session.keys.refresh(&session.client).await?;
    let rotations = session.keys.rotations();
    let followed = follow(old, &session.origin, &session.keys.at(0), &rotations, &session.keys.given())?;
    write(out, &followed.policy)?;
    let proven: Vec<Value> = followed.proven.iter().map(described).collect();
    output::line(&json!({"file": out.display().to_string(), "proven": proven, "known": followed.known}).to_string())?;
    say(&followed, rotations.is_empty());
    Ok(Ended::Done)
}

fn described(one: &Rotated) -> Value {
    match &one.change {
        Change::Key { holder, key } => {
            json!({"holder": holder.to_string(), "index": one.index, "vkey": key.to_string(), "signs_above": one.proven_by})
        }
        Change::Nodes(change) => json!({
            "node_set": change.epoch, "index": one.index, "voters": change.voters,
            "voters_outgoing": change.voters_outgoing, "signs_above": one.proven_by,
        }),
    }
}

fn say(followed: &Followed, none: bool) {
    for one in &followed.proven {
        let what = match &one.change {
            Change::Key { holder, .. } => format!("{holder} has a new key"),
            Change::Nodes(change) => {
                let voters: Vec<String> = change.voters.iter().map(u64::to_string).collect();
                format!("the nodes {} count", voters.join(", "))
            }
        };
        output::note(&format!(
            "{what} since entry {}, proven under the policy by the checkpoint of size {}: what is larger is signed so",
            one.index, one.proven_by
        ));
    }
    if followed.proven.is_empty() {
        output::note(match none {
            true => "no key and no node of this log was ever replaced: the policy stays as it is",
            false => "the policy has the newest keys and nodes of this log: it stays as it is",
        });
    } else {
        output::note("older checkpoints and files verify under the old policy: keep both");
    }
    if followed.is_joint {
        output::note(
            "a change of several nodes is under way: the policy keeps the nodes before it, of which every checkpoint still needs a majority; run this again when it has ended",
        );
    }
}

/// A policy that was followed to the keys and nodes of today.
#[derive(Debug)]
struct Followed {
    policy: Vec<u8>,
    /// The steps that were proven under it, in order.
    proven: Vec<Rotated>,
    /// Changes that the old policy had already, or a later one of the same key.
    known: usize,
    /// The last one is a joint step.
    is_joint: bool,
}

/// Proves each change that the policy doesn't know under it, and puts the new keys and nodes into it. `first` and
/// `changes` are what the profile's own keys prove of the log, and only say what replaced what: nothing is believed for them.
fn follow(
    policy: Vec<u8>,
    origin: &Origin,
    first: &Trust,
    changes: &[Rotated],
    given: &[v1::KeyRotation],
) -> Result<Followed, ClientError> {
    let history = History::new(origin, first, changes)?;
    let parsed = parse(&policy)?;
    if !history.trusts.iter().any(|trust| parsed.logs().iter().any(|log| log.key == trust.log)) {
        return Err(failed(&format!("the policy names no key that {origin} ever had: it is for another log")));
    }
    let stands = history.stands_at(&parsed);
    let mut proven = Vec::<Rotated>::new();
    let mut known = 0;
    let mut under = Under { policy, incoming: None };
    let mut waiting: Vec<usize> = Vec::new();
    for (at, (one, given)) in changes.iter().zip(given).enumerate() {
        if stands.map_or_else(|| history.is_listed(&parsed, at), |stands| at < stands) {
            known += 1;
            continue;
        }
        // One checkpoint may prove several: it is signed with the keys, and by the nodes, before all of them.
        if waiting.first().is_some_and(|first| changes[*first].proven_by != one.proven_by) {
            under.take(&history, &std::mem::take(&mut waiting))?;
        }
        let found = verify(origin, given, &under)?;
        check_order(proven.last(), &found)?;
        waiting.push(at);
        proven.push(found);
    }
    under.take(&history, &waiting)?;
    Ok(Followed { policy: under.policy, proven, known, is_joint: under.incoming.is_some() })
}

/// The part of it that the log's own keys prove.
struct History<'a> {
    origin: &'a Origin,
    changes: &'a [Rotated],
    /// The keys to trust before each change, and after the last.
    trusts: Vec<Trust>,
}

impl<'a> History<'a> {
    fn new(origin: &'a Origin, first: &Trust, changes: &'a [Rotated]) -> Result<Self, ClientError> {
        let mut trusts = vec![first.clone()];
        for one in changes {
            let next = after(&trusts[trusts.len() - 1], origin, &one.change)?;
            trusts.push(next);
        }
        Ok(Self { origin, changes, trusts })
    }

    /// How many of the changes this policy has, where it names exactly the log and the nodes that counted at some time.
    fn stands_at(&self, policy: &Policy) -> Option<usize> {
        let of_log = format!("{}/node-", self.origin);
        let named = policy.witnesses().iter().map(|witness| &witness.key).filter(|key| key.name().starts_with(&of_log));
        let named: Vec<&VerifierKey> = named.collect();
        let is = |trust: &Trust| {
            let nodes = trust.nodes();
            let same = nodes.len() == named.len() && nodes.iter().all(|(_, key)| named.contains(key));
            same && !trust.set().is_joint() && policy.logs().iter().any(|log| log.key == trust.log)
        };
        self.trusts.iter().rposition(is)
    }

    /// Tells whether a policy that names other nodes than those that ever counted has this change: what it brought is in it, or
    /// what came later.
    fn is_listed(&self, policy: &Policy, at: usize) -> bool {
        let lists = |key: &VerifierKey| {
            policy.logs().iter().any(|log| log.key == *key) || policy.witnesses().iter().any(|one| one.key == *key)
        };
        match &self.changes[at].change {
            Change::Key { holder, .. } => {
                let later = self.changes.iter().skip(at).filter_map(Rotated::key);
                later.into_iter().any(|(of, key)| of == *holder && lists(key))
            }
            Change::Nodes(_) => {
                let before = self.trusts[at].set().voters();
                let later = self.trusts.iter().skip(at + 1).flat_map(Trust::nodes);
                later.into_iter().any(|(id, key)| !before.contains(id) && lists(key))
            }
        }
    }
}

fn parse(policy: &[u8]) -> Result<Policy, ClientError> {
    Policy::parse(policy).map_err(|error| failed(&format!("the policy with the new keys is none: {error}")))
}

/// A policy on its way to today. In a joint step of the set of nodes there are two, and a checkpoint satisfies both.
struct Under {
    policy: Vec<u8>,
    incoming: Option<Vec<u8>>,
}

impl Under {
    /// Puts these changes into it, in their order.
    fn take(&mut self, history: &History<'_>, changes: &[usize]) -> Result<(), ClientError> {
        let origin = history.origin;
        for at in changes {
            let (before, after) = (&history.trusts[*at], &history.trusts[*at + 1]);
            match &history.changes[*at].change {
                Change::Key { holder, key } => {
                    let name = match holder {
                        Holder::Log => origin.to_string(),
                        Holder::Node(id) => node_name(origin, *id),
                    };
                    for policy in std::iter::once(&mut self.policy).chain(&mut self.incoming) {
                        *policy = with_key(policy, &name, key);
                    }
                }
                Change::Nodes(_) => self.take_nodes(origin, before, after)?,
            }
        }
        parse(&self.policy)?;
        self.incoming.as_deref().map(parse).transpose().map(drop)
    }

    fn take_nodes(&mut self, origin: &Origin, before: &Trust, after: &Trust) -> Result<(), ClientError> {
        // Of the voters alone: those of the set before count in the policy that stays.
        let changed = |policy: &[u8]| {
            let (old, new) = (&before.set().voters, &after.set().voters);
            let gone: Vec<String> =
                old.iter().filter(|id| !new.contains(id)).map(|id| node_name(origin, *id)).collect();
            let nodes = after.nodes();
            let come = nodes.iter().filter(|(id, _)| new.contains(id) && !old.contains(id));
            let come: Vec<&VerifierKey> = come.map(|(_, key)| *key).collect();
            with_nodes(policy, &format!("{origin}/node-"), &gone, &come)
        };
        match (before.set().is_joint(), after.set().is_joint()) {
            (false, true) => self.incoming = Some(changed(&self.policy)?),
            (true, false) => match self.incoming.take() {
                Some(incoming) if after.set().voters == before.set().voters => self.policy = incoming,
                // Back to the set before.
                Some(_) => {}
                None => self.policy = changed(&self.policy)?,
            },
            (false, false) | (true, true) => self.policy = changed(&self.policy)?,
        }
        Ok(())
    }
}

impl Keys for Under {
    fn check(&self, note: &str) -> Result<Checkpoint, Unproven> {
        let wrong = |why: String| Unproven(format!("its checkpoint does not satisfy the policy: {why}"));
        let parse = |policy: &[u8]| {
            let parsed = Policy::parse(policy);
            parsed.map_err(|error| Unproven(format!("the policy with the new keys is none: {error}")))
        };
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        if let Some(incoming) = &self.incoming {
            parse(incoming)?.verify(&note).map_err(|error| wrong(format!("of the nodes to come, {error}")))?;
        }
        Ok(parse(&self.policy)?.verify(&note).map_err(|error| wrong(error.to_string()))?.checkpoint)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    sillage_client::profile::write_new(path, bytes, 0o644)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
