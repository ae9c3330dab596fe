//! The keys that sign for this node and for the log, each used only while the ledger says that it is in force.
//!
//! Keys rotate by acts in the log (`docs/formats.md` §12). The operator puts the next key beside the old one before the
//! act; whichever is in force for a checkpoint signs it. Where neither is, nothing is signed, and the log says so.

use parking_lot::RwLock;
use sillage_ledger::{LedgerReader, Refusal};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_proof::note::{KeyKind, NoteSignature, SignerKey, VerifierKey};
use sillage_proof::{LeafIndex, TreeSize};
use sillage_rules::cosigner::node_name;

use super::checkpointing::tally::Majority;
use crate::refusals::{from_read, refuse, unavailable};
use sillage_rules::codes::Code;

/// See the module.
pub struct Keys {
    id: u64,
    reader: LedgerReader,
    node: Vec<SigningKey>,
    /// The last ones may have come while this process ran.
    log: RwLock<Vec<SigningKey>>,
    /// Signs receipts.
    receipts: RwLock<SigningKey>,
}

impl Keys {
    /// Of node `id`: its own keys, of which there is at least one, and those of the log's that it holds.
    pub fn new(id: u64, reader: LedgerReader, node: Vec<SigningKey>, log: Vec<SigningKey>) -> Self {
        let first = node.first().expect("a node has a key").clone();
        let keys = Self { id, reader, node, log: RwLock::new(log), receipts: RwLock::new(first) };
        keys.refresh(keys.reader.tree_size().get());
        keys
    }

    /// Cosigns a checkpoint as this node.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the key in force isn't here.
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> Result<NoteSignature, Refusal> {
        let key = self.reader.node_key_at(self.id, last_entry(checkpoint.size));
        let key = key.map_err(|error| from_read(&error))?;
        let key = key.and_then(|key| held(&self.node, &key));
        let key = key.ok_or_else(|| {
            tracing::error!("the node key in force is in no key file: this node can't cosign; set `node_key_next`");
            unavailable("this node doesn't hold the node key that is in force: its operator must give it the new key")
        })?;
        let name = node_name(&self.reader.genesis().origin, self.id);
        sign(&name, KeyKind::CosignatureV1, key, &checkpoint.to_text(), time_s)
    }

    /// Signs a checkpoint as the log: only what a majority of nodes has cosigned.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the key in force isn't here.
    pub fn sign_log(&self, majority: &Majority) -> Result<NoteSignature, Refusal> {
        let size = TreeSize(majority.size());
        let key = self.reader.log_key_at(last_entry(size));
        let log = self.log.read();
        let key = held(&log, &key.map_err(|error| from_read(&error))?);
        let key = key.ok_or_else(|| unavailable("this node doesn't hold the log's key: let one that does lead"))?;
        let origin = self.reader.genesis().origin.clone();
        let checkpoint = Checkpoint { origin: origin.clone(), size, root: majority.root() };
        sign(origin.as_str(), KeyKind::Ed25519, key, &checkpoint.to_text(), 0)
    }

    /// The log's key for the checkpoint after `size`, as the line that verifiers are given.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn log_vkey(&self, size: u64) -> Result<VerifierKey, Refusal> {
        let key = self.reader.log_key_at(LeafIndex(size)).map_err(|error| from_read(&error))?;
        let key = VerifierKey::new(self.reader.genesis().origin.as_str(), KeyKind::Ed25519, key);
        key.map_err(|_| refuse(Code::Internal))
    }

    /// The key for receipts now.
    pub fn receipts(&self) -> SigningKey {
        self.receipts.read().clone()
    }

    /// Looks again which key signs receipts, once the log has `size` entries.
    pub fn refresh(&self, size: u64) {
        if let Ok(Some(in_force)) = self.reader.node_key_at(self.id, LeafIndex(size))
            && let Some(key) = held(&self.node, &in_force)
        {
            *self.receipts.write() = key.clone();
        }
    }

    /// Tells whether a checkpoint made now could be cosigned by this node, and signed by it for the log.
    pub fn in_force(&self) -> (bool, bool) {
        let next = LeafIndex(self.reader.tree_size().get());
        let node = self.reader.node_key_at(self.id, next).ok().flatten();
        let log = self.reader.log_key_at(next).ok();
        let node = node.is_some_and(|key| held(&self.node, &key).is_some());
        (node, log.is_some_and(|key| held(&self.log.read(), &key).is_some()))
    }

    /// Tells whether the node key of the genesis entry is still in force, and isn't here.
    pub fn lacks_first(&self) -> bool {
        let next = LeafIndex(self.reader.tree_size().get());
        let in_force = self.reader.node_key_at(self.id, next).ok().flatten();
        let first = self.reader.genesis().node(self.id).map(|node| node.key);
        in_force == first && in_force.is_some_and(|key| held(&self.node, &key).is_none())
    }

    /// The log's keys that this node holds, the one in force for the next checkpoint first.
    pub fn log_keys(&self) -> Vec<SigningKey> {
        let in_force = self.reader.log_key_at(LeafIndex(self.reader.tree_size().get())).ok();
        let mut keys = self.log.read().clone();
        keys.sort_by_key(|key| Some(key.public_key()) != in_force);
        keys
    }

    /// Holds one more key of the log: it signs once the ledger says that it is in force.
    pub fn add_log_key(&self, key: SigningKey) {
        let mut log = self.log.write();
        if held(&log, &key.public_key()).is_none() {
            log.push(key);
        }
    }

    /// The node's own key in force, where it is here.
    pub fn node_key(&self) -> Option<SigningKey> {
        let in_force = self.reader.node_key_at(self.id, LeafIndex(self.reader.tree_size().get())).ok().flatten()?;
        held(&self.node, &in_force).cloned()
    }

    /// Every key that may have cosigned as this node.
    pub fn own(&self) -> Vec<VerifierKey> {
        let name = node_name(&self.reader.genesis().origin, self.id);
        let keys = self.node.iter().map(|key| VerifierKey::new(&name, KeyKind::CosignatureV1, key.public_key()));
        keys.filter_map(Result::ok).collect()
    }
}

/// The index commit that a checkpoint ends with.
fn last_entry(size: TreeSize) -> LeafIndex {
    LeafIndex(size.get().saturating_sub(1))
}

fn held<'k>(keys: &'k [SigningKey], public: &PublicKey) -> Option<&'k SigningKey> {
    keys.iter().find(|key| key.public_key() == *public)
}

fn sign(name: &str, kind: KeyKind, key: &SigningKey, text: &str, time_s: u64) -> Result<NoteSignature, Refusal> {
    let signature = SignerKey::new(name, kind, key.clone()).and_then(|key| key.sign(text, time_s));
    signature.map_err(|error| {
        tracing::error!(%error, "a checkpoint could not be signed");
        refuse(Code::Internal)
    })
}
