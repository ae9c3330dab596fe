//! Seals requests for decisions, as [`Sealer::seal_batch`] seals records.

use std::collections::BTreeMap;

use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, KeyId, SIGNATURE_LEN};
use sillage_proof::merkle;
use sillage_proto::internal::v1::{SealedDecision, SealedRequest, WrappedKey};
use sillage_rules::decide::{ParsedRequest, TagPairing};
use zeroize::Zeroizing;

use super::sealer::{SealError, Sealer};
use crate::apply::decide::{SEED_LEN, place_of};
use crate::envelope::Place;
use crate::schema::DataKeyName;

impl Sealer {
    /// Seals what a requester asks, 1 to 64 requests under one signature, each under a data key of its patient and with a
    /// seed of its own. A key under the secret tag goes along wherever a request names it: which of its items
    /// are secret is known only when it is decided, and whether any are is nothing that a command should tell. What
    /// proves the two tags of a patient is sealed with the request that names both.
    ///
    /// # Errors
    /// When a key can't be had.
    pub fn seal_decision(
        &self,
        key_id: &KeyId,
        signature: &[u8; SIGNATURE_LEN],
        requests: &[(ParsedRequest, Option<TagPairing>)],
    ) -> Result<SealedDecision, SealError> {
        let hashes: Vec<Hash> = requests.iter().map(|(request, _)| leaf_hash(request.bytes())).collect();
        let root = merkle::root_of(&hashes);
        let mut new_keys: BTreeMap<DataKeyName, Vec<u8>> = BTreeMap::new();
        let mut sealed = Vec::with_capacity(requests.len());
        for (position, (request, pairing)) in (0_u32..).zip(requests) {
            let tag = *request.tag();
            let key = self.key_for(&tag, &mut new_keys)?;
            let seed = Zeroizing::new(self.random::<SEED_LEN>()?);
            let place = Place { tag, stream_id: place_of(root), seq: 0, position };
            let pairing = pairing.as_ref().map(TagPairing::bytes).unwrap_or_default();
            let len = u16::try_from(pairing.len()).expect("at most 512 bytes").to_be_bytes();
            let payload = self.seal_under(&key, &place, &[&seed[..], &len, pairing, request.bytes()])?;
            let secret_data_key_id = match request.secret_tag() {
                Some(secret) => self.key_for(secret, &mut new_keys)?.id.to_vec(),
                None => Vec::new(),
            };
            sealed.push(SealedRequest { tag: tag.to_vec(), payload, secret_data_key_id });
        }
        let new_keys = new_keys.into_iter().map(|((tag, id), wrapped)| WrappedKey {
            tag: tag.to_vec(),
            data_key_id: id.to_vec(),
            wrapped,
        });
        Ok(SealedDecision {
            alg: ALG_ED25519.into(),
            key_id: key_id.as_bytes().to_vec(),
            root: root.as_bytes().to_vec(),
            signature: signature.to_vec(),
            requests: sealed,
            new_keys: new_keys.collect(),
        })
    }
}
