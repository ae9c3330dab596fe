//! Signed checkpoints: made by the leader's log key, kept by size.
//!
//! What is signed is always a state that this node has applied. Whatever any node applied is a prefix of the one
//! committed log, so two nodes with the log key can't sign different roots of one size, and signing an older size
//! later says nothing new: its root was fixed when it was committed. If the tree ever gave another root for a size that
//! was signed, the process stops rather than sign.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sillage_ledger::Refusal;
use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_proof::note::{KeyKind, NoteError, SignedNote, SignerKey, VerifierKey};
use sillage_proof::{Hash, TreeSize};
use sillage_rules::codes::Code;

use super::refusals::{refuse, unavailable};

/// A newest checkpoint younger than this is given again even if the log grew.
const NEWEST_FOR: Duration = Duration::from_millis(250);
/// Notes kept, by size.
const NOTES_MAX: usize = 1_024;

/// A checkpoint and its note.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note.
    pub note: String,
}

/// See the module.
pub struct Checkpoints {
    origin: Origin,
    verifier: VerifierKey,
    signer: Option<SignerKey>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_size: BTreeMap<u64, Arc<Signed>>,
    newest: Option<(Arc<Signed>, Instant)>,
}

impl Checkpoints {
    /// For a log. `key` is absent on nodes that must not sign.
    ///
    /// # Errors
    /// When the origin can't name a key.
    pub fn new(origin: Origin, public_key: PublicKey, key: Option<SigningKey>) -> Result<Self, NoteError> {
        let verifier = VerifierKey::new(origin.as_str(), KeyKind::Ed25519, public_key)?;
        let signer = key.map(|key| SignerKey::new(origin.as_str(), KeyKind::Ed25519, key)).transpose()?;
        Ok(Self { origin, verifier, signer, state: Mutex::default() })
    }

    /// The log's key as the line that verifiers are given.
    pub fn vkey(&self) -> String {
        self.verifier.to_string()
    }

    /// Whether this node may sign.
    pub fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// The newest checkpoint, given the applied state: signed anew if the log grew and the last one is not of just
    /// now. Sizes never go back.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the log key.
    pub fn newest(&self, size: u64, root: Hash) -> Result<Arc<Signed>, Refusal> {
        let mut state = self.state.lock();
        if let Some((newest, since)) = &state.newest {
            let fresh = size > newest.size && since.elapsed() < NEWEST_FOR;
            if fresh || size <= newest.size {
                assert_same(newest, size, root);
                return Ok(Arc::clone(newest));
            }
        }
        let signed = self.sign(&mut state, size, root)?;
        state.newest = Some((Arc::clone(&signed), Instant::now()));
        Ok(signed)
    }

    /// The note of exactly this size, signed now if it never was; `None` where this node may not sign.
    pub fn of_size(&self, size: u64, root: Hash) -> Option<Arc<Signed>> {
        let mut state = self.state.lock();
        if let Some(known) = state.by_size.get(&size) {
            assert_same(known, size, root);
            return Some(Arc::clone(known));
        }
        self.sign(&mut state, size, root).ok()
    }

    /// Takes a note that another node signed; the caller compares its root with the own tree's.
    ///
    /// # Errors
    /// `CORRUPT` when it isn't a checkpoint of this log under the log's key.
    pub fn learn(&self, note: String) -> Result<Arc<Signed>, Refusal> {
        let learnt = self.verify(&note).map_err(|reason| {
            tracing::error!(reason, "another node gave a checkpoint that doesn't verify");
            refuse(Code::Corrupt)
        })?;
        let signed = Arc::new(Signed { size: learnt.size.get(), root: learnt.root, note });
        let mut state = self.state.lock();
        if let Some(known) = state.by_size.get(&signed.size) {
            assert_same(known, signed.size, signed.root);
            return Ok(Arc::clone(known));
        }
        state.keep(&signed);
        Ok(signed)
    }

    fn verify(&self, note: &str) -> Result<Checkpoint, String> {
        let parsed = SignedNote::parse(note.as_bytes()).map_err(|error| error.to_string())?;
        let verified = parsed.verify([&self.verifier]);
        verified.map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse(parsed.text()).map_err(|error| error.to_string())?;
        match checkpoint.origin == self.origin {
            true => Ok(checkpoint),
            false => Err("it is of another log".to_owned()),
        }
    }

    fn sign(&self, state: &mut State, size: u64, root: Hash) -> Result<Arc<Signed>, Refusal> {
        let signer = self
            .signer
            .as_ref()
            .ok_or_else(|| unavailable("this node doesn't hold the log's key: ask a node that does"))?;
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: TreeSize(size), root };
        // A plain signature has no time.
        let note = checkpoint.sign(&[signer], 0).map_err(|error| {
            tracing::error!(%error, "a checkpoint could not be signed");
            refuse(Code::Internal)
        })?;
        let signed = Arc::new(Signed { size, root, note: note.to_string() });
        state.keep(&signed);
        Ok(signed)
    }
}

impl State {
    fn keep(&mut self, signed: &Arc<Signed>) {
        if self.by_size.len() >= NOTES_MAX {
            self.by_size.pop_first();
        }
        self.by_size.insert(signed.size, Arc::clone(signed));
    }
}

/// The promise of a log: one root for one size. After a difference nothing this node says can be trusted.
fn assert_same(known: &Signed, size: u64, root: Hash) {
    if known.size == size && known.root != root {
        super::fatal(&format!("the tree has another root at size {size} than the checkpoint that was signed for it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints(with_key: bool) -> Checkpoints {
        let key = SigningKey::from_seed(&[3; 32]);
        let origin = Origin::new("ledger.example/test").expect("valid");
        let public = key.public_key();
        Checkpoints::new(origin, public, with_key.then_some(key)).expect("a name")
    }

    fn root(byte: u8) -> Hash {
        Hash::from([byte; 32])
    }

    #[test]
    fn the_newest_only_grows_and_waits_a_moment_between_two() {
        let leader = checkpoints(true);
        let first = leader.newest(10, root(1)).expect("signed");
        assert_eq!(leader.newest(10, root(1)).expect("same"), first);
        assert_eq!(leader.newest(11, root(2)).expect("too soon"), first);
        leader.state.lock().newest = Some((Arc::clone(&first), Instant::now() - NEWEST_FOR));
        let second = leader.newest(11, root(2)).expect("signed");
        assert_eq!(second.size, 11);
        assert_eq!(leader.newest(10, root(1)).expect("never smaller"), second);
    }

    #[test]
    fn a_follower_learns_what_the_leader_signed_and_refuses_the_rest() {
        let (leader, follower) = (checkpoints(true), checkpoints(false));
        let signed = leader.of_size(7, root(7)).expect("signed");
        assert_eq!(follower.of_size(7, root(7)), None);
        assert!(follower.newest(7, root(7)).is_err());
        assert_eq!(follower.learn(signed.note.clone()).expect("verifies"), signed);
        assert_eq!(follower.of_size(7, root(7)), Some(signed.clone()));
        let forged = signed.note.replace("\n7\n", "\n8\n");
        assert_eq!(follower.learn(forged).unwrap_err().code, Code::Corrupt);
    }

    #[test]
    fn old_notes_make_room() {
        let leader = checkpoints(true);
        for size in 0..=NOTES_MAX as u64 {
            leader.of_size(size, root(0)).expect("signed");
        }
        let state = leader.state.lock();
        assert_eq!(state.by_size.len(), NOTES_MAX);
        assert!(!state.by_size.contains_key(&0));
    }
}
