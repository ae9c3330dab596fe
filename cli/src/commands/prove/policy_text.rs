//! The text of a policy with other keys or nodes in it: everything else stays as its holder has written it.

use std::collections::BTreeSet;

use sillage_client::checks::failed;
use sillage_client::error::ClientError;
use sillage_proof::note::VerifierKey;
use sillage_rules::cosigner::GROUP_NODES;
use sillage_rules::node_set::majority;

/// A policy with this key where it names another of the same name.
pub(super) fn with_key(policy: &[u8], name: &str, key: &VerifierKey) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = policy.split(is_newline).map(|line| line_with_key(line, name, key)).collect();
    lines.join(&b'\n')
}

/// A line of a policy, with the new key where it names the old one.
fn line_with_key(line: &[u8], name: &str, new: &VerifierKey) -> Vec<u8> {
    let words = words(line);
    let word = match words.as_slice() {
        [b"log", key, ..] | [b"witness", _, key, ..] => *key,
        _ => return line.to_vec(),
    };
    if vkey(word).is_none_or(|key| key.name() != name) {
        return line.to_vec();
    }
    // The name of a witness stands before its key, and a URL is no key: the last such word is it.
    let Some(at) = line.windows(word.len()).rposition(|part| part == word) else {
        return line.to_vec();
    };
    let (before, after) = (line.get(..at), line.get(at + word.len()..));
    [before.unwrap_or_default(), new.to_string().as_bytes(), after.unwrap_or_default()].concat()
}

/// A policy without the nodes whose keys have the names in `gone`, and with those of `come`: as witnesses, in the group of
/// the nodes, which is the one called `nodes`, or else the first that names a node (names of their keys begin with
/// `prefix`). Where that group asked for a majority of its members, it asks for a majority still.
///
/// # Errors
/// When it names nodes in no group, or a group would be left without a member.
pub(super) fn with_nodes(
    policy: &[u8],
    prefix: &str,
    gone: &[String],
    come: &[&VerifierKey],
) -> Result<Vec<u8>, ClientError> {
    let lines: Vec<&[u8]> = policy.split(is_newline).collect();
    let all: Vec<Vec<&[u8]>> = lines.iter().map(|line| words(line)).collect();
    let witness = |words: &[&[u8]]| match words {
        [b"witness", name, key, ..] => Some((name.to_vec(), vkey(key)?)),
        _ => None,
    };
    let witnesses: Vec<(Vec<u8>, VerifierKey)> = all.iter().filter_map(|words| witness(words)).collect();
    let nodes: Vec<&[u8]> =
        witnesses.iter().filter(|(_, key)| key.name().starts_with(prefix)).map(|(name, _)| &name[..]).collect();
    let leaves = |key: &VerifierKey| gone.iter().any(|name| key.name() == name);
    let leaving: Vec<&[u8]> = witnesses.iter().filter(|(_, key)| leaves(key)).map(|(name, _)| &name[..]).collect();
    let arriving: Vec<&VerifierKey> =
        come.iter().copied().filter(|key| !witnesses.iter().any(|(_, known)| known == *key)).collect();
    if leaving.is_empty() && arriving.is_empty() || nodes.is_empty() {
        // A policy that rests on others alone is none of the nodes' business.
        return Ok(policy.to_vec());
    }
    let is_group = |words: &[&[u8]], named: bool| match words {
        [b"group", name, _, members @ ..] => match named {
            true => *name == GROUP_NODES.as_bytes(),
            false => members.iter().any(|member| nodes.contains(member)),
        },
        _ => false,
    };
    let group = all.iter().position(|words| is_group(words, true));
    let group = group.or_else(|| all.iter().position(|words| is_group(words, false)));
    let group =
        group.ok_or_else(|| failed("the policy names nodes in no group: write the new ones into it yourself"))?;
    let mut names: BTreeSet<Vec<u8>> = all.iter().filter_map(|words| words.get(1).map(|name| name.to_vec())).collect();
    let named: Vec<(Vec<u8>, &VerifierKey)> = arriving.iter().map(|key| (free_name(&mut names, key), *key)).collect();
    let mut out: Vec<Vec<u8>> = Vec::new();
    for (at, (line, words)) in lines.iter().zip(&all).enumerate() {
        if at == group {
            out.extend(
                named.iter().map(|(name, key)| [&b"witness "[..], name, b" ", key.to_string().as_bytes()].concat()),
            );
        }
        match words.as_slice() {
            [b"witness", name, ..] if leaving.contains(name) => {}
            [b"group", name, threshold, members @ ..]
                if at == group || members.iter().any(|member| leaving.contains(member)) =>
            {
                let mut kept: Vec<&[u8]> = members.iter().copied().filter(|member| !leaving.contains(member)).collect();
                if at == group {
                    kept.extend(named.iter().map(|(name, _)| &name[..]));
                }
                let threshold = threshold_for(threshold, members.len(), kept.len());
                if kept.is_empty() {
                    let name = String::from_utf8_lossy(name);
                    return Err(failed(&format!(
                        "the policy's group {name} would have no member: write a policy anew"
                    )));
                }
                let head = [&b"group"[..], name, &threshold];
                out.push([&head[..], &kept[..]].concat().join(&b' '));
            }
            _ => out.push(line.to_vec()),
        }
    }
    Ok(out.join(&b'\n'))
}

/// The demand of a group, once it has other members.
fn threshold_for(threshold: &[u8], before: usize, now: usize) -> Vec<u8> {
    let number = std::str::from_utf8(threshold).ok().and_then(|text| text.parse::<usize>().ok());
    match number {
        Some(number) if number == majority(before) => majority(now).to_string().into_bytes(),
        Some(number) => number.min(now).to_string().into_bytes(),
        // `all` and `any` say it of whoever is in it.
        None => threshold.to_vec(),
    }
}

/// A name that nothing in the policy has: the last part of the key's own, where that is free.
fn free_name(taken: &mut BTreeSet<Vec<u8>>, key: &VerifierKey) -> Vec<u8> {
    let own = key.name().rsplit('/').next().unwrap_or_default();
    let mut name = own.to_owned();
    let mut number = 2;
    while !taken.insert(name.clone().into_bytes()) {
        name = format!("{own}-{number}");
        number += 1;
    }
    name.into_bytes()
}

fn is_newline(byte: &u8) -> bool {
    *byte == b'\n'
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    line.split(blank).filter(|word| !word.is_empty()).collect()
}

fn vkey(word: &[u8]) -> Option<VerifierKey> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
