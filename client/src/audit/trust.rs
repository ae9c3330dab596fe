//! Whose signatures make a checkpoint, where no policy says it: the log's own, and a majority of its nodes.

use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::PublicKey;
use sillage_proof::note::{KeyKind, SignedNote, VerifierKey};
use sillage_proto::v1;
use sillage_rules::cosigner::node_name;

use crate::checks::failed;
use crate::error::ClientError;

/// The log's key and those of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The log's key; its name is the log's origin.
    pub log: VerifierKey,
    /// One cosignature key for each node.
    pub nodes: Vec<VerifierKey>,
}

/// A checkpoint that the log and a majority of its nodes signed.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// The note, as signed.
    pub note: SignedNote,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Name of the key and time in seconds since 1970, for each node that cosigned.
    pub nodes: Vec<(String, u64)>,
    /// The newest time (seconds since 1970) by which a majority had signed.
    pub time_s: u64,
}

impl Trust {
    /// The keys of the genesis. New ones are proven under these (`docs/formats.md` §12).
    ///
    /// # Errors
    /// When one can't be used.
    pub fn first(origin: &Origin, genesis: &v1::Genesis) -> Result<Self, ClientError> {
        let log = PublicKey::from_bytes(&genesis.log_public_key).ok();
        let log = log.and_then(|key| VerifierKey::new(origin.as_str(), KeyKind::Ed25519, key).ok());
        let log = log.ok_or_else(|| ClientError::Usage("the genesis holds a log key that can't be used".to_owned()))?;
        Ok(Self { log, nodes: genesis_nodes(origin, genesis)? })
    }

    /// How many nodes are a majority.
    pub fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Verifies a checkpoint.
    ///
    /// # Errors
    /// [`ClientError::Check`] saying whose signature is missing or doesn't match.
    pub fn check(&self, note: &str) -> Result<Trusted, ClientError> {
        let wrong = |why: String| {
            failed(&format!("the checkpoint can't be trusted: {why}; ask another node, and keep it as evidence"))
        };
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let keys = std::iter::once(&self.log).chain(&self.nodes);
        let verified = note.verify(keys).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(error.to_string()))?;
        if checkpoint.origin.as_str() != self.log.name() {
            return Err(wrong(format!("it is of {}, not of {}", checkpoint.origin, self.log.name())));
        }
        if !verified.iter().any(|signature| signature.key == self.log) {
            return Err(wrong("the log's own key has not signed it".to_owned()));
        }
        let by_node = |key: &VerifierKey| {
            let found = verified.iter().find(|signature| signature.key == *key)?;
            Some((key.name().to_owned(), found.time_s?))
        };
        let nodes: Vec<(String, u64)> = self.nodes.iter().filter_map(by_node).collect();
        let mut times: Vec<u64> = nodes.iter().map(|(_, time_s)| *time_s).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let Some(time_s) = times.get(self.majority() - 1).copied() else {
            let (got, all) = (nodes.len(), self.nodes.len());
            return Err(wrong(format!("{got} of {all} nodes have cosigned it, not a majority")));
        };
        Ok(Trusted { note, checkpoint, nodes, time_s })
    }
}

/// The cosignature key of each node of the genesis.
///
/// # Errors
/// When one can't be used.
pub fn genesis_nodes(origin: &Origin, genesis: &v1::Genesis) -> Result<Vec<VerifierKey>, ClientError> {
    let keys = genesis.nodes.iter().map(|node| {
        let bytes = node.key.as_ref().map(|key| key.key.as_slice()).unwrap_or_default();
        let key = PublicKey::from_bytes(bytes).ok()?;
        node_key(origin, node.id, key)
    });
    let keys: Option<Vec<VerifierKey>> = keys.collect();
    keys.ok_or_else(|| ClientError::Usage("the genesis holds a node key that can't be used".to_owned()))
}

/// A node's cosignature key.
pub fn node_key(origin: &Origin, id: u64, key: PublicKey) -> Option<VerifierKey> {
    VerifierKey::new(&node_name(origin, id), KeyKind::CosignatureV1, key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::SignerKey;

    fn log() -> SignerKey {
        SignerKey::new("test/log", KeyKind::Ed25519, SigningKey::from_seed(&[1; 32])).expect("a key")
    }

    fn node(id: u8) -> SignerKey {
        let name = node_name(&"test/log".parse().expect("a name"), id.into());
        SignerKey::new(&name, KeyKind::CosignatureV1, SigningKey::from_seed(&[10 + id; 32])).expect("a key")
    }

    fn trust() -> Trust {
        let nodes = [1, 2, 3].map(|id| node(id).verifier().clone()).to_vec();
        Trust { log: log().verifier().clone(), nodes }
    }

    fn note(signers: &[(SignerKey, u64)]) -> String {
        let checkpoint = Checkpoint {
            origin: "test/log".parse().expect("a name"),
            size: 7.into(),
            root: sillage_proof::Hash::default(),
        };
        let text = checkpoint.to_text();
        let lines = signers.iter().map(|(key, time_s)| key.sign(&text, *time_s).expect("signed")).collect();
        SignedNote::new(text, lines).expect("a note").to_string()
    }

    #[test]
    fn the_log_and_a_majority_of_its_nodes_make_a_checkpoint() {
        let all = note(&[(log(), 0), (node(1), 50), (node(2), 90), (node(3), 70)]);
        let trusted = trust().check(&all).expect("trusted");
        assert_eq!((trusted.nodes.len(), trusted.time_s), (3, 70), "as of when two of three had signed");
        assert!(trust().check(&note(&[(log(), 0), (node(3), 5), (node(1), 6)])).is_ok());
    }

    #[test]
    fn the_log_alone_is_not_enough_nor_are_the_nodes() {
        for signers in [
            vec![(log(), 0)],
            vec![(log(), 0), (node(1), 5)],
            vec![(node(1), 5), (node(2), 5), (node(3), 5)],
            vec![(log(), 0), (node(1), 5), (node(1), 6)],
            vec![(log(), 0), (node(1), 5), (node(4), 5)],
        ] {
            assert_eq!(trust().check(&note(&signers)).expect_err("refused").exit_code(), 1);
        }
        let other = note(&[(log(), 0), (node(1), 5), (node(2), 5)]).replace("\n7\n", "\n8\n");
        assert!(trust().check(&other).is_err(), "altered");
    }
}
