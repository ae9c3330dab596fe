//! From identities to tags: asked once, checked always, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::{VrfProof, VrfPublicKey};
use sillage_proto::v1;

use crate::channel::Client;
use crate::error::ClientError;
use crate::patient::TagRequest;
use crate::will::Logins;

/// Identities of one call to the ledger.
const CALL_MAX: usize = 1_000;
/// Identities kept; when there are more, all are asked for again.
const CACHE_MAX: usize = 1_000_000;

/// Resolved tags. Nothing is signed under a tag whose VRF proof doesn't hold: otherwise an operator could split one
/// patient's trace in two.
pub struct Tags {
    client: Client,
    key: VrfPublicKey,
    known: Mutex<HashMap<TagRequest, ProvenTag>>,
    /// The login that proves who decided the records.
    pub(super) logins: Option<Arc<Logins>>,
    pairs: Mutex<HashMap<(String, String), Resolved>>,
    /// Proofs are kept whether logins ask for them or not.
    keeps_proofs: bool,
}

/// A tag, and its VRF proof; the proof is empty where nobody asks for it.
pub type ProvenTag = (PatientTag, Arc<[u8]>);

/// A patient's open tag, and the second one where the caller may know it.
pub type TagPair = (PatientTag, Option<PatientTag>);

/// A patient's tags, with what proves to the ledger that both are one patient's.
#[derive(Clone)]
pub struct Resolved {
    /// The tags.
    pub tags: TagPair,
    /// The proof that a request that names both has to bring.
    pub pairing: Option<v1::TagPairing>,
}

impl Tags {
    /// An empty cache for the log with this VRF key.
    pub fn new(client: Client, key: VrfPublicKey) -> Self {
        Self { client, key, known: Mutex::default(), pairs: Mutex::default(), logins: None, keeps_proofs: false }
    }

    /// The same, for records that are proven by these logins.
    #[must_use]
    pub fn with_logins(self, logins: Option<Arc<Logins>>) -> Self {
        Self { logins, ..self }
    }

    /// The same, for a caller that hands proofs on.
    #[must_use]
    pub fn with_proofs(self) -> Self {
        Self { keeps_proofs: true, ..self }
    }

    /// The tag of each request, in their order.
    ///
    /// # Errors
    /// When the ledger refuses an identity, gives no secret tag, or a proof doesn't hold ([`ClientError::Check`]).
    pub async fn resolve(&self, requests: &[TagRequest]) -> Result<Vec<PatientTag>, ClientError> {
        Ok(self.resolve_proven(requests).await?.into_iter().map(|(tag, _)| tag).collect())
    }

    /// The same, each with its VRF proof (80 bytes) where logins ask for it, or the caller
    /// ([`Tags::with_proofs`]).
    ///
    /// # Errors
    /// As for [`Tags::resolve`].
    pub async fn resolve_proven(&self, requests: &[TagRequest]) -> Result<Vec<ProvenTag>, ClientError> {
        let mut missing: Vec<TagRequest> = {
            let known = self.known.lock().expect("no one panics holding the cache");
            requests.iter().filter(|r| !known.contains_key(r)).cloned().collect()
        };
        missing.sort_by(|a, b| (&a.ins, &a.oid, a.secret).cmp(&(&b.ins, &b.oid, b.secret)));
        missing.dedup();
        let mut fresh = HashMap::with_capacity(missing.len());
        for chunk in missing.chunks(CALL_MAX) {
            let resolved = self.ask(chunk).await?;
            for (request, answer) in chunk.iter().zip(&resolved) {
                let tag = checked(&self.key, request, answer)?;
                let proof = if request.secret { &answer.secret_proof } else { &answer.proof };
                let is_wanted = self.keeps_proofs || self.logins.is_some();
                let proof = if is_wanted { Arc::from(&proof[..]) } else { Arc::default() };
                fresh.insert(request.clone(), (tag, proof));
            }
        }
        let mut known = self.known.lock().expect("no one panics holding the cache");
        let found = |request: &TagRequest, known: &HashMap<TagRequest, ProvenTag>| {
            fresh.get(request).or_else(|| known.get(request)).expect("every request was resolved").clone()
        };
        let out = requests.iter().map(|request| found(request, &known)).collect();
        if known.len() + fresh.len() > CACHE_MAX {
            known.clear();
        }
        known.extend(fresh);
        Ok(out)
    }

    async fn ask(&self, requests: &[TagRequest]) -> Result<Vec<v1::ResolvedTag>, ClientError> {
        let identity = |r: &TagRequest| v1::PatientIdentity { ins: r.ins.clone(), oid: r.oid.clone() };
        let request = v1::ResolveTagsRequest { identities: requests.iter().map(identity).collect() };
        let answer = self
            .client
            .call_soon(|mut rpc| {
                let request = request.clone();
                async move { rpc.resolve_tags(request).await }
            })
            .await?;
        if answer.tags.len() != requests.len() {
            return Err(ClientError::Check("the ledger resolved another number of identities than asked".to_owned()));
        }
        Ok(answer.tags)
    }

    /// Both tags of a patient for reading its trace: the open one, and the secret one where the caller may know it.
    ///
    /// # Errors
    /// As for [`Tags::resolve`].
    pub async fn both(&self, ins: &str, oid: &str) -> Result<TagPair, ClientError> {
        let identity = v1::PatientIdentity { ins: ins.to_owned(), oid: oid.to_owned() };
        Ok(self.pairs(&[identity]).await?.pop().expect("one answer to one request"))
    }

    /// The same for many patients, in their order.
    ///
    /// # Errors
    /// As for [`Tags::resolve`].
    pub async fn pairs(&self, identities: &[v1::PatientIdentity]) -> Result<Vec<TagPair>, ClientError> {
        Ok(self.proven(identities).await?.into_iter().map(|resolved| resolved.tags).collect())
    }

    /// The same, with the proofs that a request for a decision brings along.
    ///
    /// # Errors
    /// As for [`Tags::resolve`].
    pub async fn proven(&self, identities: &[v1::PatientIdentity]) -> Result<Vec<Resolved>, ClientError> {
        let key = |identity: &v1::PatientIdentity| (identity.ins.clone(), identity.oid.clone());
        let mut missing: Vec<(String, String)> = {
            let known = self.pairs.lock().expect("no one panics holding the cache");
            identities.iter().map(key).filter(|key| !known.contains_key(key)).collect()
        };
        missing.sort_unstable();
        missing.dedup();
        let mut fresh = HashMap::with_capacity(missing.len());
        for chunk in missing.chunks(CALL_MAX) {
            let request =
                |(ins, oid): &(String, String), secret| TagRequest { ins: ins.clone(), oid: oid.clone(), secret };
            let requests: Vec<TagRequest> = chunk.iter().map(|key| request(key, false)).collect();
            for (key, answer) in chunk.iter().zip(&self.ask(&requests).await?) {
                let open = checked(&self.key, &request(key, false), answer)?;
                let secret = match answer.secret_tag.is_empty() {
                    true => None,
                    false => Some(checked(&self.key, &request(key, true), answer)?),
                };
                let pairing = secret.map(|_| v1::TagPairing {
                    patient: Some(v1::PatientIdentity { ins: key.0.clone(), oid: key.1.clone() }),
                    proof: answer.proof.clone(),
                    secret_proof: answer.secret_proof.clone(),
                });
                fresh.insert(key.clone(), Resolved { tags: (open, secret), pairing });
            }
        }
        let mut known = self.pairs.lock().expect("no one panics holding the cache");
        let found = |identity| {
            let key = key(identity);
            fresh.get(&key).or_else(|| known.get(&key)).expect("every request was resolved").clone()
        };
        let out = identities.iter().map(found).collect();
        if known.len() + fresh.len() > CACHE_MAX {
            known.clear();
        }
        known.extend(fresh);
        Ok(out)
    }
}

fn checked(key: &VrfPublicKey, request: &TagRequest, answer: &v1::ResolvedTag) -> Result<PatientTag, ClientError> {
    let (tag, proof, which_tag) = match request.secret {
        false => (&answer.tag, &answer.proof, WhichTag::Open),
        true => (&answer.secret_tag, &answer.secret_proof, WhichTag::Secret),
    };
    if request.secret && tag.is_empty() {
        return Err(ClientError::rejected(
            "NOT_ENTITLED",
            "the ledger does not give this caller the patient's secret tag: only services that sign or ask, and the patient itself, get it",
        ));
    }
    let failed = || {
        ClientError::Check("a tag's VRF proof does not hold, nothing was signed under it: ask another node".to_owned())
    };
    let identity = Identity::new(&request.ins, &request.oid)
        .map_err(|error| ClientError::rejected("INVALID_INS", error.to_string()))?;
    let tag = PatientTag::from_slice(tag).map_err(|_| failed())?;
    let proof = VrfProof::from_bytes(proof).map_err(|_| failed())?;
    tag.verify(key, &identity, which_tag, &proof).map_err(|_| failed())?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::vrf::VrfSecretKey;

    #[test]
    fn a_tag_is_taken_only_with_its_proof() {
        let secret_key = VrfSecretKey::from_seed([1; 32]);
        let key = VrfPublicKey::from_bytes(secret_key.public_key().as_bytes()).expect("a key");
        let identity = Identity::new("279035121518989", "1.2.250.1.213.1.4.10").expect("an identity");
        let (tag, proof) = PatientTag::resolve(&secret_key, &identity, WhichTag::Open);
        let answer = v1::ResolvedTag {
            tag: tag.to_bytes().to_vec(),
            proof: proof.to_bytes().to_vec(),
            ..v1::ResolvedTag::default()
        };
        let request = |ins: &str, secret| TagRequest { ins: ins.into(), oid: "1.2.250.1.213.1.4.10".into(), secret };
        assert_eq!(checked(&key, &request("279035121518989", false), &answer).expect("good"), tag);
        let other = checked(&key, &request("279035121518988", false), &answer).expect_err("another patient");
        assert_eq!(other.exit_code(), 1);
        let mut split = answer.clone();
        split.tag[0] ^= 1;
        assert!(checked(&key, &request("279035121518989", false), &split).is_err());
        let secret = checked(&key, &request("279035121518989", true), &answer).expect_err("not given");
        assert_eq!(secret.exit_code(), 4);
    }
}
