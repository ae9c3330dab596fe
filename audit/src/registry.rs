//! Signers, their roles, and the nodes that count, replayed from the genesis and the acts of the authority.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey, StreamId};
use sillage_proof::note::VerifierKey;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::authority::{CosignMessage, Held, NamedParty, Rule, RuleChange, content_hash};
use sillage_rules::kind::Kind;
use sillage_rules::node_set::{NodeSet, NodeSetChange};
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::Roles;

use sillage_client::trust::{Trust, log_key, node_key};

/// The tag of what concerns no patient.
pub(super) const NO_PATIENT: [u8; 32] = [0; 32];
/// The quota of a party of which nobody kept it: no later one is more.
pub(super) const QUOTA_UNKNOWN: u32 = u32::MAX;
/// Number of the log itself among the nodes, which begin at 1.
const LOG: u64 = 0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Party {
    pub roles: Roles,
    /// Only the newest key can be active.
    pub newest_key: KeyId,
    /// Role patient: whose device it is; zero where it is none, or where the act doesn't say it.
    pub tags: [[u8; 32]; 2],
    /// Role patient: sealed records say whose device it is.
    pub sealed: bool,
    /// Events a second; 0: as many as the log gives; [`QUOTA_UNKNOWN`] in a state file of before.
    pub quota_events_per_s: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub author: AuthorId,
    pub key: PublicKey,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    pub author: AuthorId,
    pub last_seq: u64,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SigningKey {
    /// The node, or 0 for the log.
    pub node: u64,
    pub key: PublicKey,
    /// The first index commit after the act that brought it: it signs from the next one on. The genesis's keys sign
    /// from the beginning.
    pub covered_by: Option<u64>,
    pub from_genesis: bool,
}

/// A set of nodes, as an act made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountingSet {
    pub set: NodeSet,
    /// The content of the act.
    pub change: NodeSetChange,
    /// The first index commit after the act: the set counts from the next one on.
    pub covered_by: Option<u64>,
}

/// Parties, keys, streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Registry {
    pub parties: BTreeMap<AuthorId, Party>,
    pub keys: BTreeMap<KeyId, Key>,
    pub streams: BTreeMap<StreamId, Stream>,
    pub signing: Vec<SigningKey>,
    /// The nodes of the genesis.
    pub first_nodes: Option<NodeSet>,
    /// The sets that acts made of them, in the order of the log.
    pub node_sets: Vec<CountingSet>,
    /// How many authorities sign what touches many.
    pub rule: Option<Rule>,
    /// Hashes of the acts that several authorities signed: each act is recorded once.
    pub contents: BTreeSet<Hash>,
    /// Acts that voided records, and which entries they mean.
    pub voided: Vec<(u64, Range<u64>)>,
    /// Tags under which a record tells of a patient's device.
    pub with_device: BTreeSet<[u8; 32]>,
}

/// The signer of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    pub author: AuthorId,
    pub key: PublicKey,
    pub roles: Roles,
    /// Role patient: whose device signs.
    pub tags: [[u8; 32]; 2],
    /// Role patient: sealed records say whose device signs. That there is one under the tag can be checked, not that it is of
    /// this party: the nodes do that, and the patient.
    pub sealed: bool,
}

impl Signer {
    /// Tells whether it may sign a record of this kind under this tag. `has_device`: a record under the tag tells of a
    /// device.
    pub fn may_sign(&self, kind: Kind, tag: &[u8; 32], has_device: bool) -> bool {
        let own = *tag != NO_PATIENT && (self.tags.contains(tag) || self.sealed && has_device);
        self.roles.may_sign(kind) || own && self.roles.may_decide(kind)
    }
}

impl Registry {
    /// The party that may sign with this key now.
    ///
    /// # Errors
    /// A description of the fault of the key.
    pub fn signer(&self, id: &KeyId) -> Result<Signer, String> {
        let key = self.keys.get(id).ok_or_else(|| format!("key {id}, which no one registered"))?;
        if !key.active {
            return Err(format!("key {id} of author {}, which was replaced or revoked before", key.author));
        }
        let party = self.parties.get(&key.author).expect("a key belongs to a party");
        Ok(Signer { author: key.author, key: key.key, roles: party.roles, tags: party.tags, sealed: party.sealed })
    }

    /// Checks that the record of an act has the signatures of as many authorities as the rule asks for, by what the rule itself
    /// says that it guards: the log doesn't show from where on its nodes hold every rule to guard all. `time_ms` is its ledger
    /// time, `quota_default` the quota of the genesis.
    ///
    /// # Errors
    /// Why the ledger had to refuse it.
    pub fn check_rule(
        &mut self,
        signer: &Signer,
        record: &ParsedRecord,
        (origin, quota_default): (&Origin, u32),
        time_ms: u64,
    ) -> Result<(), String> {
        let act = record.act().ok_or("a record without an act")?;
        let signatures = &record.message().signatures;
        let content = content_hash(record.message());
        let mut signers = BTreeSet::new();
        if signer.roles.contains(Roles::AUTHORITY) {
            signers.insert(signer.author);
        }
        for one in signatures {
            let id = KeyId::from_slice(&one.key_id).map_err(|error| error.to_string())?;
            let further = self.signer(&id).map_err(|found| format!("a further signature with {found}"))?;
            let message = CosignMessage { key_id: id, origin: origin.clone(), expires_ms: one.expires_ms, content };
            let good = further.roles.contains(Roles::AUTHORITY)
                && time_ms < one.expires_ms
                && message.is_signed_by(&further.key, &one.signature)
                && signers.insert(further.author);
            if !good {
                return Err(format!("a further signature of author {}, which is of no use", further.author));
            }
        }
        if let Some(rule) = &self.rule {
            let own_rotation = matches!(act, Act::Rotated { author_id, .. } if *author_id == signer.author);
            let held = |named: NamedParty<'_>| {
                let author = match named {
                    NamedParty::Party(author) => Some(*author),
                    NamedParty::Key(id) => self.keys.get(id).map(|key| key.author),
                };
                let party = author.and_then(|author| self.parties.get(&author));
                party.map_or_else(Held::default, |party| Held {
                    roles: party.roles.bits(),
                    quota_events_per_s: party.quota_events_per_s,
                })
            };
            let count = signers.intersection(&rule.authorities).count();
            if rule.guards(act, held, own_rotation, quota_default) && count < rule.needed as usize {
                return Err(format!(
                    "an act that {count} authorities signed, of {} that the rule asks for",
                    rule.needed
                ));
            }
        }
        if !signatures.is_empty() && !self.contents.insert(content) {
            return Err("an act whose further signatures are on record already".to_owned());
        }
        Ok(())
    }

    /// Performs an act.
    ///
    /// # Errors
    /// Why the ledger had to refuse it.
    pub fn perform(&mut self, signer: &Signer, act: &Act) -> Result<(), String> {
        let own_rotation = matches!(act, Act::Rotated { author_id, .. } if *author_id == signer.author);
        if !signer.roles.contains(Roles::AUTHORITY) && !own_rotation {
            return Err(format!("an act by author {}, who isn't an authority", signer.author));
        }
        match act {
            Act::Registered(party) => self.register(party),
            Act::Rotated { author_id, key, .. } => self.rotate(author_id, key),
            Act::Revoked { key_id, .. } => {
                let key = self.keys.get_mut(key_id).ok_or_else(|| format!("the end of key {key_id}, unknown"))?;
                key.active = false;
                Ok(())
            }
            Act::RolesChanged { author_id, roles, quota_events_per_s } => {
                let party = self.parties.get_mut(author_id).ok_or_else(|| unknown(author_id))?;
                (party.roles, party.quota_events_per_s) = (*roles, *quota_events_per_s);
                let newest = party.newest_key;
                if roles.is_empty() {
                    self.retire(&newest);
                }
                Ok(())
            }
            Act::NodeKeyRotated { node_id, key } => self.replace_signing(*node_id, key),
            Act::LogKeyRotated { key } => self.replace_signing(LOG, key),
            Act::NodeSetChanged(change) => self.change_nodes(change),
            // Whom it names stands in sealed records: admission and apply hold them against it, no replay of entries can.
            Act::VouchingChanged { author_id, .. } => match self.parties.contains_key(author_id) {
                true => Ok(()),
                false => Err(unknown(author_id)),
            },
            Act::AuthorityRule(RuleChange::Rule(rule)) => {
                self.rule = Some(rule.clone());
                Ok(())
            }
            // They change payloads, decisions and how a will is proven, which aren't replayed.
            Act::Erased { .. }
            | Act::ActorRevoked { .. }
            | Act::IssuerPublished(_)
            | Act::RecordsVoided(_)
            | Act::AuthorityRule(_) => Ok(()),
            Act::SourcesListed(change) => {
                let named = change.listed.iter().flat_map(|source| [source.author_id, source.answers]).flatten();
                match named.into_iter().find(|party| !self.parties.contains_key(party)) {
                    None => Ok(()),
                    Some(party) => Err(unknown(&party)),
                }
            }
        }
    }

    /// Registers a party, of the genesis too.
    ///
    /// # Errors
    /// Why the ledger had to refuse it.
    pub fn register(&mut self, party: &PartyRegistration) -> Result<(), String> {
        let (author, id) = (party.author_id(), party.key.key_id());
        if self.parties.contains_key(&author) || self.keys.contains_key(&id) {
            return Err(format!("author {author} or its key, registered before"));
        }
        let tags = [party.patient_tag, party.patient_secret_tag].map(Option::unwrap_or_default);
        let sealed = party.patient_commitment.is_some();
        let (roles, quota_events_per_s) = (party.roles, party.quota_events_per_s);
        self.parties.insert(author, Party { roles, newest_key: id, tags, sealed, quota_events_per_s });
        self.keys.insert(id, Key { author, key: party.key, active: true });
        Ok(())
    }

    fn rotate(&mut self, author: &AuthorId, key: &PublicKey) -> Result<(), String> {
        let id = key.key_id();
        if self.keys.contains_key(&id) {
            return Err(format!("key {id}, registered before"));
        }
        let party = self.parties.get_mut(author).ok_or_else(|| unknown(author))?;
        let old = std::mem::replace(&mut party.newest_key, id);
        self.retire(&old);
        self.keys.insert(id, Key { author: *author, key: *key, active: true });
        Ok(())
    }

    fn retire(&mut self, id: &KeyId) {
        if let Some(key) = self.keys.get_mut(id) {
            key.active = false;
        }
    }

    fn replace_signing(&mut self, node: u64, key: &PublicKey) -> Result<(), String> {
        if node != LOG && self.nodes()?.node(node).is_none() {
            return Err(format!("a key for node {node}, which isn't in the log"));
        }
        self.check_signing_key(key)?;
        self.signing.push(SigningKey { node, key: *key, covered_by: None, from_genesis: false });
        Ok(())
    }

    /// A key that signs checkpoints was never used before.
    fn check_signing_key(&self, key: &PublicKey) -> Result<(), String> {
        match self.signing.iter().any(|known| known.key == *key) || self.keys.contains_key(&key.key_id()) {
            true => Err(format!("key {key} for a node or the log, used before")),
            false => Ok(()),
        }
    }

    /// The set of nodes after the last act.
    fn nodes(&self) -> Result<&NodeSet, String> {
        let newest = self.node_sets.last().map(|one| &one.set).or(self.first_nodes.as_ref());
        newest.ok_or_else(|| "an act on nodes before the genesis".to_owned())
    }

    fn change_nodes(&mut self, change: &NodeSetChange) -> Result<(), String> {
        for node in &change.added {
            self.check_signing_key(&node.key)?;
        }
        self.follow_nodes(change, None)?;
        let keys = change.added.iter();
        let keys = keys.map(|node| SigningKey { node: node.id, key: node.key, covered_by: None, from_genesis: false });
        self.signing.extend(keys);
        Ok(())
    }

    /// Follows a change of the set of nodes alone. `covered_by`: the index commit that covers it, where that is known.
    ///
    /// # Errors
    /// Why the ledger had to refuse it.
    pub fn follow_nodes(&mut self, change: &NodeSetChange, covered_by: Option<u64>) -> Result<(), String> {
        let set = self.nodes()?.after(change).map_err(|error| format!("a set of nodes that can't follow: {error}"))?;
        self.node_sets.push(CountingSet { set, change: change.clone(), covered_by });
        Ok(())
    }

    /// Takes the first signers from the genesis: the log's key, and its nodes.
    pub fn sign_from_genesis(&mut self, log: PublicKey, nodes: NodeSet) {
        let keys = std::iter::once((LOG, log)).chain(nodes.nodes.iter().map(|node| (node.id, node.key)));
        let keys = keys.map(|(node, key)| SigningKey { node, key, covered_by: None, from_genesis: true });
        self.signing.extend(keys);
        self.first_nodes = Some(nodes);
    }

    /// Notes an index commit: the first after an act covers it.
    pub fn commit(&mut self, index: LeafIndex) {
        for key in self.signing.iter_mut().filter(|key| !key.from_genesis) {
            key.covered_by.get_or_insert(index.get());
        }
        for one in &mut self.node_sets {
            one.covered_by.get_or_insert(index.get());
        }
    }

    /// The signers that make the checkpoint of `size` entries (`docs/formats.md` §12).
    pub fn trust_at(&self, origin: &Origin, size: u64) -> Option<Trust> {
        let commit = size.saturating_sub(1);
        let counts = |covered_by: Option<u64>| covered_by.is_some_and(|covered| covered < commit);
        let in_force = |key: &&SigningKey| key.from_genesis || counts(key.covered_by);
        // Keys of one node stand in the order of their acts: the last one in force counts.
        let newest: BTreeMap<u64, PublicKey> =
            self.signing.iter().filter(in_force).map(|key| (key.node, key.key)).collect();
        let mut sets = self.node_sets.iter().rev();
        let set = sets.find(|one| counts(one.covered_by)).map(|one| &one.set).or(self.first_nodes.as_ref())?;
        let trust = Trust::of_set(origin, log_key(origin, *newest.get(&LOG)?)?, set.clone())?;
        let keys = newest.iter().filter(|(node, _)| set.node(**node).is_some());
        keys.into_iter()
            .try_fold(trust, |trust, (node, key)| trust.with_node_key(*node, node_key(origin, *node, *key)?))
    }

    /// Every key that the log ever had.
    pub fn log_keys(&self, origin: &Origin) -> Vec<VerifierKey> {
        let keys = self.signing.iter().filter(|key| key.node == LOG);
        keys.filter_map(|key| log_key(origin, key.key)).collect()
    }
}

fn unknown(author: &AuthorId) -> String {
    format!("an act about author {author}, whom no one registered")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::keys::SigningKey as Seed;

    #[test]
    fn a_patients_device_signs_what_its_patient_decides_under_its_own_tags() {
        let key = Seed::from_seed(&[4; 32]).public_key();
        let device = PartyRegistration {
            key,
            name: "Claire".into(),
            roles: Roles::PATIENT,
            tls_spki_sha256: vec![],
            quota_events_per_s: 0,
            patient_tag: Some([5; 32]),
            patient_secret_tag: None,
            patient_commitment: None,
            vouching: sillage_rules::vouching::Vouching::default(),
        };
        let mut registry = Registry::default();
        registry.register(&device).expect("registered");
        let signer = registry.signer(&key.key_id()).expect("active");
        assert!(signer.may_sign(Kind::CONSENT_DIRECTIVE, &[5; 32], true));
        let sealed = Signer { sealed: true, tags: Default::default(), ..signer.clone() };
        assert!(sealed.may_sign(Kind::CONSENT_DIRECTIVE, &[6; 32], true));
        assert!(!sealed.may_sign(Kind::CONSENT_DIRECTIVE, &[6; 32], false), "nobody told the patient of a device");
        assert!(!sealed.may_sign(Kind::ACCESS_READ, &[6; 32], true), "no access");
        assert!(!signer.may_sign(Kind::CONSENT_DIRECTIVE, &[6; 32], true), "another patient");
        assert!(!signer.may_sign(Kind::ACCESS_READ, &[5; 32], true), "no access");
        assert!(
            !signer.may_sign(Kind::POLICY_PUBLISHED, &NO_PATIENT, true),
            "the secret tag it doesn't have is nobody's"
        );
    }
}
