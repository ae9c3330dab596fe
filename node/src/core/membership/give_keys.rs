//! A member gives its keys to a new one: the keyring, the log's keys, the VRF key, sealed to it alone.
//!
//! It is given once the act that names the newcomer is applied here, and only by a member whose keyring holds all that
//! the log still needs: a newcomer with less could open nothing of what it lacks, and nobody would notice for long.

use prost::Message as _;
use sillage_ledger::Refusal;
use sillage_ledger::seal::TagPrefix;
use sillage_proof::LeafIndex;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{GiveKeysRequest, GiveKeysResponse, NodeKeys};
use sillage_rules::codes::Code;
use zeroize::Zeroizing;

use crate::core::Core;
use crate::join::sealed;
use crate::refusals::{from_read, refuse};

fn refused(message: String) -> Refusal {
    Refusal::new(Code::ActRefused, message)
}

impl Core {
    /// The group's keys, for the node that calls. Of the log's keys those that an applied act, or the genesis entry, has put in force:
    /// the next one may be made because just this node is being removed. Who lacks it then fetches it once it is in force.
    ///
    /// # Errors
    /// When it asks as another one, isn't named by the ledger, this node doesn't hold every key itself, or what is committed can't be
    /// known now.
    pub async fn give_keys(&self, caller: u64, request: &GiveKeysRequest) -> Result<GiveKeysResponse, Refusal> {
        self.check_sound()?;
        if request.node != caller {
            return Err(refused(format!("node {caller} asks for the keys of node {}", request.node)));
        }
        // It may have been removed, and this node not know yet. Where the log isn't founded nobody was, nor is there a leader.
        if self.replica.status().core.unmet.is_empty() {
            self.reads.wait().await?;
        }
        let set = self.reader.node_set().map_err(|error| from_read(&error))?;
        let node = set.node(caller).ok_or_else(|| refuse(Code::UnknownCaller))?;
        self.holds_every_kek()?;
        // A node that was there before asks for a log key it missed, under the node key of now.
        let now = self.reader.node_key_at(caller, LeafIndex(self.reader.tree_size().get()));
        let now = now.map_err(|error| from_read(&error))?;
        let text = Zeroizing::new(self.node_keys()?.encode_to_vec());
        let asked = (&request.public_key[..], &request.signature[..]);
        let seal = |key| sealed::seal(&self.genesis.origin, (caller, key), asked, &text);
        let sealed = now.as_ref().map_or_else(|| seal(&node.key), |now| seal(now).or_else(|_| seal(&node.key)));
        let answer = sealed.map_err(|error| refused(error.to_string()))?;
        tracing::info!(target: "audit", node = caller, "gave a node of the group its keys");
        Ok(GiveKeysResponse { public_key: answer.public_key, sealed: answer.sealed })
    }

    fn node_keys(&self) -> Result<NodeKeys, Refusal> {
        let rotations = self.reader.rotations().map_err(|error| from_read(&error))?;
        let log_keys = self.keys.log_keys();
        let was_put_in_force = |key: &&SigningKey| {
            let key = key.public_key();
            key == self.genesis.log_public_key || rotations.iter().any(|act| act.node.is_none() && act.key == key)
        };
        Ok(NodeKeys {
            keyring: self.erasing.keks().to_bytes().to_vec(),
            log_keys: log_keys.iter().filter(was_put_in_force).map(|key| key.to_seed().to_vec()).collect(),
            vrf_key: self.tags().seed().map(|seed| seed.to_vec()).unwrap_or_default(),
        })
    }

    /// Tells whether this node's keyring has what new data keys are wrapped under, of every prefix.
    fn holds_every_kek(&self) -> Result<(), Refusal> {
        for prefix in (0..TagPrefix::COUNT).filter_map(TagPrefix::new) {
            let epoch = self.reader.kek_epochs(prefix).map_err(|error| from_read(&error))?.current;
            if self.erasing.keks().key(prefix, epoch).is_none() {
                let prefix = prefix.get();
                return Err(refused(format!(
                    "this node's keyring lacks the key of prefix {prefix:#05x}, epoch {epoch}: ask another node, and replace this one"
                )));
            }
        }
        Ok(())
    }
}
