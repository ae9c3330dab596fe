//! Trust policies (c2sp.org/tlog-policy): which logs, which witnesses, and how many of them are enough.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::note::{KeyKind, NoteError, SignedNote, VerifierKey};

/// Longest policy read, in bytes.
const POLICY_BYTES_MAX: usize = 1_000_000;

/// A policy can't be read, or a checkpoint doesn't satisfy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A line of the policy is wrong.
    #[error("policy line {line}: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The fault.
        problem: &'static str,
    },
    /// There is no quorum line.
    #[error("the policy has no quorum line: end it with `quorum <name>` or `quorum none`")]
    NoQuorum,
    /// The file is too long or its last line isn't terminated.
    #[error("the policy is longer than {POLICY_BYTES_MAX} bytes, or its last line has no newline")]
    File,
    /// A signature doesn't match, or no known key has signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text isn't a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No log of the policy has signed under its own origin.
    #[error("the checkpoint of {0} is not signed by a log of the policy with that origin")]
    LogSignature(String),
    /// Too few witnesses.
    #[error("the quorum is not reached: {0} known witnesses have cosigned")]
    Quorum(usize),
}

/// The member that a name in the policy stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A log that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key; the key's name is the log's origin.
    pub key: VerifierKey,
    /// Where to reach it, if said. Opaque bytes.
    pub url: Option<Vec<u8>>,
}

/// A witness that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy. Opaque bytes.
    pub name: Vec<u8>,
    /// Its cosignature key.
    pub key: VerifierKey,
    /// Where to reach it, if said. Opaque bytes.
    pub url: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: Vec<u8>,
    threshold: usize,
    members: Vec<Member>,
}

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// `None` where the policy says `quorum none`.
    quorum: Option<Member>,
}

/// A witness's valid cosignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The witness's name in the policy. Opaque bytes.
    pub name: Vec<u8>,
    /// Name of its key.
    pub key_name: String,
    /// When it cosigned, in seconds since 1970.
    pub time_s: u64,
}

/// The findings about a checkpoint that satisfies a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Satisfied {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The log's key that signed it.
    pub log: VerifierKey,
    /// Every known witness that cosigned it, in the policy's order.
    pub witnesses: Vec<Witnessed>,
}

impl Policy {
    /// Reads a policy file. Keys of other types than Ed25519 (logs) and cosignature/v1 (witnesses, logs) are refused.
    ///
    /// # Errors
    /// [`PolicyError::Line`] says which line breaks which rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::File);
        }
        let mut parser = Parser::default();
        if !bytes.is_empty() {
            let lines = bytes.strip_suffix(b"\n").ok_or(PolicyError::File)?;
            for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
                let line_number = number + 1;
                parser.line(line).map_err(|problem| PolicyError::Line { line: line_number, problem })?;
            }
        }
        let Parser { logs, witnesses, groups, quorum, .. } = parser;
        Ok(Self { logs, witnesses, groups, quorum: quorum.ok_or(PolicyError::NoQuorum)? })
    }

    /// The logs.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The witnesses of a group, those of groups within it included, in the policy's order; empty where there is no
    /// such group.
    pub fn group(&self, name: &str) -> Vec<&Witness> {
        let mut wanted = vec![false; self.groups.len()];
        let mut held = vec![false; self.witnesses.len()];
        // Groups name only what stands above them: from the last to the first, each is wanted before it is looked at.
        for (at, group) in self.groups.iter().enumerate().rev() {
            if !wanted[at] && group.name != name.as_bytes() {
                continue;
            }
            for member in &group.members {
                match member {
                    Member::Witness(index) => held[*index] = true,
                    Member::Group(index) => wanted[*index] = true,
                }
            }
        }
        let witnesses = self.witnesses.iter().zip(held);
        witnesses.filter(|(_, held)| *held).map(|(witness, _)| witness).collect()
    }

    /// Verifies that `note` is a checkpoint signed by a log of the policy, under its own origin, and cosigned by a
    /// quorum.
    ///
    /// # Errors
    /// When any signature by a known key doesn't match, no such log has signed, or the quorum isn't reached.
    pub fn verify(&self, note: &SignedNote) -> Result<Satisfied, PolicyError> {
        let logs = self.logs.iter().map(|log| &log.key);
        let witnesses = self.witnesses.iter().map(|witness| &witness.key);
        let verified = note.verify(logs.chain(witnesses))?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let signed = |key: &VerifierKey| verified.iter().find(|signature| signature.key == *key);
        let origin = checkpoint.origin.as_str();
        let log = self
            .logs
            .iter()
            .find(|log| log.key.name() == origin && signed(&log.key).is_some())
            .ok_or_else(|| PolicyError::LogSignature(origin.to_owned()))?;
        let times: Vec<Option<u64>> =
            self.witnesses.iter().map(|witness| signed(&witness.key).and_then(|signature| signature.time_s)).collect();
        let witnesses = self.witnesses.iter().zip(&times);
        let witnesses: Vec<Witnessed> = witnesses
            .filter_map(|(witness, time_s)| {
                Some(Witnessed {
                    name: witness.name.clone(),
                    key_name: witness.key.name().to_owned(),
                    time_s: (*time_s)?,
                })
            })
            .collect();
        if !self.reached(&times) {
            return Err(PolicyError::Quorum(witnesses.len()));
        }
        Ok(Satisfied { log: log.key.clone(), checkpoint, witnesses })
    }

    /// The newest time (seconds since 1970) by which a quorum had cosigned: those that cosigned at or after it are
    /// enough, and no later time is. `None` where the policy asks for no cosigner.
    pub fn quorum_time_s(&self, satisfied: &Satisfied) -> Option<u64> {
        self.quorum.as_ref()?;
        let mut times: Vec<u64> = satisfied.witnesses.iter().map(|witness| witness.time_s).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let since = |time_s: u64| -> Vec<Option<u64>> {
            let time_of = |name: &[u8]| satisfied.witnesses.iter().find(|w| w.name == name).map(|w| w.time_s);
            let witnesses = self.witnesses.iter();
            witnesses.map(|witness| time_of(&witness.name).filter(|time| *time >= time_s)).collect()
        };
        times.into_iter().find(|time_s| self.reached(&since(*time_s)))
    }

    /// Tells whether the witnesses that have a time make up the quorum.
    fn reached(&self, times: &[Option<u64>]) -> bool {
        // Groups name only what stands above them: one pass decides them all.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let holds = |groups: &[bool], member: &Member| match member {
            Member::Witness(index) => times[*index].is_some(),
            Member::Group(index) => groups[*index],
        };
        for group in &self.groups {
            let members = group.members.iter();
            let holding = members.filter(|member| holds(&groups, member)).count();
            groups.push(holding >= group.threshold);
        }
        self.quorum.as_ref().is_none_or(|quorum| holds(&groups, quorum))
    }
}

/// The part of a policy that has been read so far.
#[derive(Default)]
struct Parser<'a> {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    names: HashMap<&'a [u8], Member>,
    grouped: HashSet<&'a [u8]>,
    log_keys: HashSet<[u8; 32]>,
    witness_keys: HashSet<[u8; 32]>,
}

impl<'a> Parser<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        let control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
        if line.iter().any(control) {
            return Err("a control character other than tab and newline");
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [word, ..] if word.starts_with(b"#") => Ok(()),
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"log", ..] => Err("expected: log <vkey> [<url>]"),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"witness", ..] => Err("expected: witness <name> <vkey> [<url>]"),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => self.group(name, threshold, members),
            [b"group", ..] => Err("expected: group <name> all|any|<k> <name>..."),
            [b"quorum", name] => self.set_quorum(name),
            [b"quorum", ..] => Err("expected: quorum <name>"),
            _ => Err("unknown keyword: expected log, witness, group or quorum"),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&&[u8]>) -> Result<(), &'static str> {
        let key = parse_key(key)?;
        if !self.log_keys.insert(key.public_key().to_bytes()) {
            return Err("this log's key is already listed");
        }
        let url = url.map(|url| url.to_vec());
        self.logs.push(Log { key, url });
        Ok(())
    }

    fn witness(&mut self, name: &'a [u8], key: &[u8], url: Option<&&[u8]>) -> Result<(), &'static str> {
        let key = parse_key(key)?;
        if key.kind() != KeyKind::CosignatureV1 {
            return Err("a witness's key is of type cosignature/v1 (0x04)");
        }
        if !self.witness_keys.insert(key.public_key().to_bytes()) {
            return Err("this witness's key is already listed");
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        let (name, url) = (name.to_vec(), url.map(|url| url.to_vec()));
        self.witnesses.push(Witness { name, key, url });
        Ok(())
    }

    fn group(&mut self, name: &'a [u8], threshold: &[u8], names: &[&'a [u8]]) -> Result<(), &'static str> {
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            let found = self.names.get(member).copied();
            members.push(found.ok_or("a member is not defined on a preceding line")?);
            if !self.grouped.insert(member) {
                return Err("a name may be a member of a group only once");
            }
        }
        let number = |text| std::str::from_utf8(text).ok().and_then(parse_decimal);
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            digits => number(digits)
                .and_then(|k| usize::try_from(k).ok())
                .filter(|k| (1..=members.len()).contains(k))
                .ok_or("a threshold is all, any, or a number from 1 to the count of members")?,
        };
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_vec(), threshold, members });
        Ok(())
    }

    fn set_quorum(&mut self, name: &[u8]) -> Result<(), &'static str> {
        if self.quorum.is_some() {
            return Err("a second quorum line");
        }
        self.quorum = Some(match name {
            b"none" => None,
            name => Some(*self.names.get(name).ok_or("the quorum is not defined on a preceding line")?),
        });
        Ok(())
    }

    fn define(&mut self, name: &'a [u8], member: Member) -> Result<(), &'static str> {
        if name == b"none" {
            return Err("the name none is reserved");
        }
        match self.names.insert(name, member) {
            None => Ok(()),
            Some(_) => Err("this name is already defined"),
        }
    }
}

fn parse_key(text: &[u8]) -> Result<VerifierKey, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "the key is not UTF-8")?;
    text.parse().map_err(|error| match error {
        NoteError::KeyType(_) => "a key of this type is not supported",
        _ => "not a vkey",
    })
}

#[cfg(test)]
mod tests;
