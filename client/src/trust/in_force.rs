//! The keys and nodes of a log as a session knows them: learnt from the ledger, believed for their proofs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sillage_proof::batch::Origin;
use sillage_proof::keys::PublicKey;
use sillage_proof::note::VerifierKey;
use sillage_proto::v1;

use super::rotation::{Chain, Holder, Rotated, size_of};
use super::{Trust, Trusted};
use crate::channel::Client;
use crate::error::{ClientError, failed};

/// A node may learn of a checkpoint a moment before it can prove the keys of it.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(300);
/// Rotations and changes of the set of nodes in the life of a log; it takes no more.
const ROTATIONS_MAX: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub struct InForce {
    chain: Mutex<Chain>,
    /// The ledger's proof, for whoever proves it again under a policy.
    given: Mutex<Vec<v1::KeyRotation>>,
}

impl InForce {
    /// Of a log with these keys in its genesis.
    pub fn new(origin: Origin, first: Trust) -> Self {
        Self { chain: Mutex::new(Chain::new(origin, first)), given: Mutex::default() }
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_given(&self) -> MutexGuard<'_, Vec<v1::KeyRotation>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rotations from the `from`-th on; those that are known already are left out.
    ///
    /// # Errors
    /// [`ClientError::Check`] at the first that isn't proven; those before it stay.
    pub fn add(&self, from: usize, rotations: Vec<v1::KeyRotation>) -> Result<(), ClientError> {
        let (mut known, mut chain) = (self.lock_given(), self.chain());
        for (at, rotation) in (from..).zip(rotations) {
            if at != known.len() {
                continue;
            }
            if at >= ROTATIONS_MAX {
                return Err(failed(
                    "the ledger names more new keys and sets of nodes than a log can have: ask another node",
                ));
            }
            chain.add(&rotation)?;
            known.push(rotation);
        }
        Ok(())
    }

    /// Asks the ledger for what came since.
    ///
    /// # Errors
    /// When it can't be reached, or what it gives isn't proven.
    pub async fn refresh(&self, client: &Client) -> Result<(), ClientError> {
        loop {
            let from = self.lock_given().len();
            let request = v1::GetLogRequest { rotations_from: u32::try_from(from).unwrap_or(u32::MAX) };
            let answer = client.call(|mut rpc| async move { rpc.get_log(request).await }).await?;
            client.follow(&answer.nodes);
            let more = answer.more_rotations;
            self.add(from, answer.rotations)?;
            if !more || self.lock_given().len() == from {
                return Ok(());
            }
        }
    }

    /// Verifies a checkpoint under the keys in force for it.
    ///
    /// # Errors
    /// [`ClientError::Check`] saying whose signature is missing or doesn't match.
    pub async fn trusted(&self, client: &Client, note: &str) -> Result<Trusted, ClientError> {
        let size = size_of(note).unwrap_or(0);
        let mut attempt = 1;
        loop {
            let found = self.at(size).check(note);
            if found.is_ok() || attempt == ATTEMPTS || size == 0 {
                return Ok(found?);
            }
            // It may be signed with keys that came since.
            self.refresh(client).await?;
            if self.at(size).check(note).is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            attempt += 1;
        }
    }

    /// The keys whose signatures make the checkpoint of `size`.
    pub fn at(&self, size: u64) -> Trust {
        self.chain().at(size).clone()
    }

    /// The keys whose signatures make the checkpoints to come.
    pub fn newest(&self) -> Trust {
        self.chain().newest().clone()
    }

    /// The proven changes, in the order of the log.
    pub fn rotations(&self) -> Vec<Rotated> {
        self.chain().rotations().to_vec()
    }

    /// The same as the ledger gave it.
    pub fn given(&self) -> Vec<v1::KeyRotation> {
        self.lock_given().clone()
    }

    /// Since which entry this holder's newest key is in the log.
    pub fn since(&self, holder: Holder) -> u64 {
        self.chain().since(holder)
    }

    /// Every key that the log ever had.
    pub fn log_keys(&self) -> Vec<VerifierKey> {
        self.chain().log_keys()
    }

    /// Every key that a node ever had.
    pub fn node_vkeys(&self) -> Vec<VerifierKey> {
        self.chain().node_keys()
    }

    /// The same, bare: they sign receipts too.
    pub fn node_keys(&self) -> Vec<PublicKey> {
        self.node_vkeys().iter().map(|key| *key.public_key()).collect()
    }
}
