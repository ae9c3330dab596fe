//! The signatures that make a checkpoint, where no policy says it: the log's own, and those of a majority of its nodes.

use std::collections::BTreeMap;

use sillage_proof::batch::Origin;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::PublicKey;
use sillage_proof::note::{KeyKind, SignedNote, VerifierKey};
use sillage_proto::v1;

use super::Unproven;
use crate::cosigner::node_name;
use crate::node_set::{NodeSet, NodeSetChange, SetNode, majority};

/// The log's key, the set of its nodes, and their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The log's key; its name is the log's origin.
    pub log: VerifierKey,
    set: NodeSet,
    /// One cosignature key for each node of the set, learners too.
    keys: BTreeMap<u64, VerifierKey>,
}

/// A checkpoint that the log and a majority of its nodes signed.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// The note, as signed.
    pub note: SignedNote,
    /// Its content.
    pub checkpoint: Checkpoint,
    /// Name of the key and time in seconds since 1970, for each node that cosigned.
    pub nodes: Vec<(String, u64)>,
    /// The newest time (seconds since 1970) by which a majority had signed.
    pub time_s: u64,
}

impl Trust {
    /// The keys of the genesis. New ones, and other sets of nodes, are proven under these (`docs/formats.md` §12).
    ///
    /// # Errors
    /// When one can't be used.
    pub fn first(origin: &Origin, genesis: &v1::Genesis) -> Result<Self, Unproven> {
        let log = PublicKey::from_bytes(&genesis.log_public_key).ok();
        let log = log.and_then(|key| log_key(origin, key));
        let log = log.ok_or_else(|| Unproven("the genesis holds a log key that can't be used".to_owned()))?;
        let unusable = || Unproven("the genesis holds a node key that can't be used".to_owned());
        let set = first_set(genesis).ok_or_else(unusable)?;
        Self::of_set(origin, log, set).ok_or_else(unusable)
    }

    /// A set whose nodes have the keys that they came with.
    pub fn of_set(origin: &Origin, log: VerifierKey, set: NodeSet) -> Option<Self> {
        let keys = set.nodes.iter().map(|node| Some((node.id, node_key(origin, node.id, node.key)?)));
        Some(Self { keys: keys.collect::<Option<_>>()?, log, set })
    }

    /// The same with this key for the log.
    pub fn with_log_key(self, log: VerifierKey) -> Self {
        Self { log, ..self }
    }

    /// The same with this key for a node of the set; `None` where the set lacks the node.
    pub fn with_node_key(mut self, id: u64, key: VerifierKey) -> Option<Self> {
        *self.keys.get_mut(&id)? = key;
        Some(self)
    }

    /// The same nodes after a change of the set.
    ///
    /// # Errors
    /// The part of the change that doesn't fit.
    pub fn after(&self, origin: &Origin, change: &NodeSetChange) -> Result<Self, String> {
        let set = self.set.after(change).map_err(|error| error.to_string())?;
        let next = Self::of_set(origin, self.log.clone(), set);
        let mut next = next.ok_or_else(|| "a key that can't be used".to_owned())?;
        for (id, key) in &mut next.keys {
            if let Some(held) = self.keys.get(id) {
                *key = held.clone();
            }
        }
        Ok(next)
    }

    /// The set of nodes.
    pub fn set(&self) -> &NodeSet {
        &self.set
    }

    /// The signers that count, each with its key, ascending by id.
    pub fn nodes(&self) -> Vec<(u64, &VerifierKey)> {
        let voters = self.set.voters();
        self.keys.iter().filter(|(id, _)| voters.contains(**id)).map(|(id, key)| (*id, key)).collect()
    }

    /// The keys of all nodes that are there, of those too that count for nothing: they sign receipts.
    pub fn every_key(&self) -> impl Iterator<Item = &VerifierKey> {
        self.keys.values()
    }

    /// The keys of each group that needs a majority of its own: one group, or two in a joint step.
    pub fn groups(&self) -> Vec<Vec<&VerifierKey>> {
        let keys = |group: &[u64]| group.iter().filter_map(|id| self.keys.get(id)).collect();
        self.set.voters().groups().map(keys).collect()
    }

    /// Verifies a checkpoint.
    ///
    /// # Errors
    /// [`Unproven`] saying whose signature is missing or doesn't match.
    pub fn check(&self, note: &str) -> Result<Trusted, Unproven> {
        let wrong = |why: String| {
            Unproven(format!("the checkpoint can't be trusted: {why}; ask another node, and keep it as evidence"))
        };
        let note = SignedNote::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let counting = self.nodes();
        let keys = std::iter::once(&self.log).chain(counting.iter().map(|(_, key)| *key));
        let verified = note.verify(keys).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(error.to_string()))?;
        if checkpoint.origin.as_str() != self.log.name() {
            return Err(wrong(format!("it is of {}, not of {}", checkpoint.origin, self.log.name())));
        }
        if !verified.iter().any(|signature| signature.key == self.log) {
            return Err(wrong("the log's own key has not signed it".to_owned()));
        }
        let time_of = |key: &VerifierKey| verified.iter().find(|signature| signature.key == *key)?.time_s;
        let by_node = |(_, key): &(u64, &VerifierKey)| Some((key.name().to_owned(), time_of(key)?));
        let nodes: Vec<(String, u64)> = counting.iter().filter_map(by_node).collect();
        // As of when a majority had signed; in a joint step, of both sets.
        let as_of = |group: Vec<&VerifierKey>| {
            let mut times: Vec<u64> = group.iter().filter_map(|key| time_of(key)).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(majority(group.len()) - 1).copied()
        };
        let times: Option<Vec<u64>> = self.groups().into_iter().map(as_of).collect();
        let Some(time_s) = times.and_then(|times| times.into_iter().min()) else {
            let (got, all) = (nodes.len(), counting.len());
            return Err(wrong(match self.set.is_joint() {
                false => format!("{got} of {all} nodes have cosigned it, not a majority"),
                true => format!(
                    "{got} of {all} nodes have cosigned it, not a majority of both sets of a change that is under way"
                ),
            }));
        };
        Ok(Trusted { note, checkpoint, nodes, time_s })
    }
}

/// The set of nodes of a genesis; `None` where one can't be used.
pub fn first_set(genesis: &v1::Genesis) -> Option<NodeSet> {
    let nodes = genesis.nodes.iter().map(|node| {
        Some(SetNode {
            id: node.id,
            name: node.name.clone(),
            key: PublicKey::from_bytes(&node.key.as_ref()?.key).ok()?,
            tls_spki_sha256: node.tls_spki_sha256.as_slice().try_into().ok()?,
            client_address: String::new(),
            peer_address: String::new(),
        })
    });
    nodes.collect::<Option<_>>().map(NodeSet::of_genesis)
}

/// The log's key.
pub fn log_key(origin: &Origin, key: PublicKey) -> Option<VerifierKey> {
    VerifierKey::new(origin.as_str(), KeyKind::Ed25519, key).ok()
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

    fn set_node(id: u8) -> SetNode {
        SetNode {
            id: id.into(),
            name: format!("node-{id}"),
            key: *node(id).verifier().public_key(),
            tls_spki_sha256: [id; 32],
            client_address: format!("node-{id}.example:1"),
            peer_address: format!("node-{id}.example:2"),
        }
    }

    fn trust() -> Trust {
        let origin = "test/log".parse().expect("a name");
        let set = NodeSet::of_genesis([1, 2, 3].map(set_node).to_vec());
        Trust::of_set(&origin, log().verifier().clone(), set).expect("keys")
    }

    /// After these changes.
    fn changed(changes: &[&dyn Fn(&NodeSet) -> NodeSetChange]) -> Trust {
        let origin = "test/log".parse().expect("a name");
        changes.iter().fold(trust(), |trust, change| trust.after(&origin, &change(trust.set())).expect("fits"))
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
    fn a_learner_counts_for_nothing_and_signs_receipts() {
        let trust = changed(&[&|set| set.adding(set_node(4)).expect("fits")]);
        assert_eq!((trust.nodes().len(), trust.every_key().count()), (3, 4));
        assert!(trust.check(&note(&[(log(), 0), (node(1), 5), (node(4), 5)])).is_err());
        assert!(trust.check(&note(&[(log(), 0), (node(1), 5), (node(2), 5), (node(4), 5)])).is_ok());
    }

    #[test]
    fn in_a_joint_step_a_majority_of_both_sets_makes_a_checkpoint() {
        let joint = changed(&[&|set| set.adding(set_node(4)).expect("fits"), &|set| {
            set.with_voters(&[1, 2, 4], &[]).expect("fits")
        }]);
        let trusted = joint.check(&note(&[(log(), 0), (node(1), 50), (node(3), 90), (node(4), 70)])).expect("both");
        assert_eq!((trusted.nodes.len(), trusted.time_s), (3, 50), "as of when both had a majority");
        assert!(joint.check(&note(&[(log(), 0), (node(1), 5), (node(2), 5)])).is_ok());
        let old_alone = joint.check(&note(&[(log(), 0), (node(1), 5), (node(3), 5)])).expect_err("not the new set");
        assert!(old_alone.to_string().contains("both sets"), "{old_alone}");
        assert!(joint.check(&note(&[(log(), 0), (node(1), 5), (node(4), 5)])).is_err(), "not the old set");
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
            assert!(trust().check(&note(&signers)).is_err(), "refused");
        }
        let other = note(&[(log(), 0), (node(1), 5), (node(2), 5)]).replace("\n7\n", "\n8\n");
        assert!(trust().check(&other).is_err(), "altered");
    }
}
