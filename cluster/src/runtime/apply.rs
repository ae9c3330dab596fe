//! The apply thread: owns the state machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::fatal;
use super::handle::{ProposeError, Shared};
use super::raft_thread::{Event, MembersReply, Reply};
use crate::core::{CommittedEntry, State};
use crate::machine::{Committed, Fatal, StateMachine};

/// A committed entry and who waits for it.
pub(crate) struct Entry<R> {
    pub entry: CommittedEntry,
    pub reply: Option<Reply<R>>,
    /// The proposer that waits for it, if it changes the members.
    pub members_reply: Option<MembersReply>,
}

impl<R> Entry<R> {
    pub(crate) fn bytes(&self) -> u64 {
        self.entry.data.len() as u64 + 64
    }
}

pub(crate) enum ApplyTask<R> {
    Entries(Vec<Entry<R>>),
    /// Say how far the state is durable; with `force`, make all of it so first.
    Flush {
        force: bool,
    },
    Checkpoint {
        dir: PathBuf,
    },
    /// Replace the state by the files in `dir` when `go` comes, then say so.
    Install {
        dir: PathBuf,
        expect: (u64, u64),
        go: Receiver<()>,
        installed: Sender<()>,
    },
    Stop,
}

/// Runs until told to stop. Errors and panics of the state machine end the process: what it holds is then unknown.
pub(crate) fn run<S: StateMachine>(
    mut machine: S,
    tasks: Receiver<ApplyTask<S::Reply>>,
    events: Sender<Event>,
    shared: &Shared,
) {
    while let Ok(task) = tasks.recv() {
        let event = match task {
            ApplyTask::Entries(entries) => Some(apply_all(&mut machine, entries, shared)),
            ApplyTask::Flush { force } => {
                let flushed = if force { or_die(|| machine.flush()) } else { or_die(|| machine.flushed()) };
                Some(Event::Flushed(flushed))
            }
            ApplyTask::Checkpoint { dir } => {
                // Left over when the one before could not be finished.
                if dir.exists() {
                    or_die(|| std::fs::remove_dir_all(&dir).map_err(Fatal::new));
                }
                let (index, term) = or_die(|| machine.checkpoint(&dir));
                let hash_first = !machine.peers_hash_while_they_fetch();
                Some(Event::Checkpointed { index, term, hash_first })
            }
            ApplyTask::Install { dir, expect, go, installed } => {
                if go.recv().is_ok() {
                    install(&mut machine, &dir, expect);
                    // If nobody waits, the node is stopping; the next start sees that it is done.
                    let _ = installed.send(());
                    let (index, term) = machine.applied();
                    Some(Event::Installed(State { index, term, digest: machine.digest() }))
                } else {
                    None
                }
            }
            ApplyTask::Stop => return,
        };
        if let Some(event) = event {
            // If nobody listens, the node is stopping.
            let _ = events.send(event);
        }
    }
}

fn apply_all<S: StateMachine>(machine: &mut S, entries: Vec<Entry<S::Reply>>, shared: &Shared) -> Event {
    let mut index = 0;
    let mut bytes = 0;
    let mut states = Vec::with_capacity(entries.len());
    for item in entries {
        bytes += item.bytes();
        let entry = item.entry;
        let committed = Committed {
            index: entry.index,
            term: entry.term,
            time_ms: entry.time_ms,
            data: &entry.data,
            members: entry.members.as_ref(),
        };
        let reply = or_die(|| machine.apply(committed));
        assert_eq!(machine.applied(), (entry.index, entry.term), "the state machine records what it applies");
        index = entry.index;
        states.push(State { index, term: entry.term, digest: machine.digest() });
        if let Some(done) = item.reply {
            // In doubt, nobody knows whether the others hold the same: the caller asks again elsewhere.
            let in_doubt = shared.in_doubt.load(Ordering::Acquire);
            done.finish(if in_doubt { Err(ProposeError::Superseded) } else { Ok(reply) });
        }
        if let Some(done) = item.members_reply {
            done.finish(Ok(entry.members.expect("a change of the members says what they are")));
        }
    }
    Event::Applied { index, bytes, states }
}

fn install<S: StateMachine>(machine: &mut S, dir: &Path, expect: (u64, u64)) {
    or_die(|| machine.install(dir));
    assert_eq!(machine.applied(), expect, "the state is the snapshot's");
    if dir.exists()
        && let Err(error) = std::fs::remove_dir_all(dir)
    {
        tracing::warn!(%error, "an installed snapshot's files remain until the next start");
    }
}

fn or_die<T>(work: impl FnOnce() -> Result<T, Fatal>) -> T {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => fatal(&error.to_string()),
        Err(_) => fatal("the state machine panicked"),
    }
}
