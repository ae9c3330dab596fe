//! One caller's session with one log: the profile, the connections, and the genesis that everything is checked against.

use std::path::PathBuf;
use std::sync::Arc;

use sillage_proof::batch::Origin;
use sillage_proof::keys::{AuthorId, KeyId, SigningKey};
use sillage_proof::note::VerifierKey;
use sillage_proof::vrf::VrfPublicKey;
use sillage_proto::v1;

use crate::channel::{Client, Timeouts};
use crate::error::ClientError;
use crate::profile::Profile;
use crate::sign::Signer;
use crate::trust::in_force::InForce;
use crate::trust::{Trust, Trusted};
use crate::will::Logins;

/// An open session. The node was asked which log it serves, and it is the one that the profile trusts.
pub struct Session {
    /// The profile.
    pub profile: Profile,
    /// The way to the nodes.
    pub client: Client,
    /// Name of the log.
    pub origin: Origin,
    /// The parts of the log that never change, from the profile's own file.
    pub genesis: v1::Genesis,
    /// The keys of checkpoints and receipts: those of the genesis, and what was proven under them.
    pub keys: Arc<InForce>,
    /// The key of tags, from the profile.
    pub vrf_key: VrfPublicKey,
    /// The login that proves who decided this caller's records, as the profile says.
    pub logins: Option<Arc<Logins>>,
    /// The party for which the ledger takes the caller.
    pub caller: v1::GetLogResponse,
    /// Where what an authority would sign is written, instead of being submitted.
    pub propose: Option<PathBuf>,
}

impl Session {
    /// Connects, and checks that the node serves the profile's log.
    ///
    /// # Errors
    /// When the profile can't be used, no node answers, the caller isn't registered, or the log is another one.
    pub async fn open(profile: Profile, timeouts: Timeouts) -> Result<Self, ClientError> {
        let usage = |what: &str, why: String| ClientError::Usage(format!("the profile's {what} cannot be used: {why}"));
        let (genesis, bytes) = profile.genesis()?;
        let origin = Origin::new(profile.origin.clone()).map_err(|e| usage("origin", e.to_string()))?;
        let log_key: VerifierKey = profile.log_vkey.parse().map_err(|e| usage("log_vkey", format!("{e}")))?;
        let vrf_key =
            VrfPublicKey::from_bytes(&profile.vrf_public_key).map_err(|e| usage("vrf_public_key", e.to_string()))?;
        let logins = Logins::of(&profile)?.map(Arc::new);
        let client = Client::new(&profile, timeouts)?;
        let caller = client.call_soon(|mut rpc| async move { rpc.get_log(v1::GetLogRequest::default()).await }).await?;
        if caller.genesis != bytes {
            let why =
                "the node serves another log than this profile trusts: take a profile of this log, or another endpoint";
            return Err(ClientError::Check(why.to_owned()));
        }
        client.follow(&caller.nodes);
        let first = Trust::first(&origin, &genesis).map_err(|error| ClientError::Usage(error.to_string()))?;
        let keys = Arc::new(InForce::new(origin.clone(), first));
        keys.add(0, caller.rotations.clone())?;
        if caller.more_rotations {
            keys.refresh(&client).await?;
        }
        if !keys.log_keys().contains(&log_key) {
            // A node that lags may not know yet of the newest.
            keys.refresh(&client).await?;
            if !keys.log_keys().contains(&log_key) {
                let why = "the profile's log_vkey is neither the key of its genesis nor one that the ledger proves: take the line of the genesis, or another node";
                return Err(ClientError::Check(why.to_owned()));
            }
        }
        Ok(Self { profile, client, origin, genesis, keys, vrf_key, logins, caller, propose: None })
    }

    /// Verifies a checkpoint under the keys in force for it.
    ///
    /// # Errors
    /// [`ClientError::Check`] saying whose signature is missing or doesn't match.
    pub async fn trusted(&self, note: &str) -> Result<Trusted, ClientError> {
        self.keys.trusted(&self.client, note).await
    }

    /// The way to the nodes for what the authority signs: over its own certificate, as a batch is taken from its author alone.
    ///
    /// # Errors
    /// When the authority's certificate or its key can't be read.
    pub fn authority_client(&self) -> Result<Client, ClientError> {
        let Some((cert, key)) = self.profile.authority_cert.clone() else {
            return Ok(self.client.clone());
        };
        let client = Client::new(&Profile { cert, key, ..self.profile.clone() }, self.client.timeouts())?;
        client.follow(&self.caller.nodes);
        Ok(client)
    }

    /// The signer for `key`, with its author's id as the ledger knows it: rotation changes the key, not the author.
    ///
    /// # Errors
    /// When the key belongs to no party that can be found.
    pub async fn signer(&self, key: SigningKey) -> Result<Signer, ClientError> {
        let first = AuthorId::of_first_key(&key.public_key());
        let mine = AuthorId::from_slice(&self.caller.caller_author_id).ok();
        let genesis = self.genesis.parties.iter().filter_map(|p| p.key.as_ref());
        let in_genesis = genesis.into_iter().any(|k| k.key == key.public_key().as_bytes());
        let author_id = match mine {
            _ if in_genesis => first,
            Some(mine) if mine == first => mine,
            _ => self.author_of(&key.key_id()).await?.or(mine).unwrap_or(first),
        };
        Ok(Signer { origin: self.origin.clone(), author_id, key })
    }

    /// The party that has this key, where the caller may list parties.
    async fn author_of(&self, key_id: &KeyId) -> Result<Option<AuthorId>, ClientError> {
        match self.parties().await {
            Ok(parties) => {
                let has = |p: &&v1::Party| p.key_ids.iter().any(|id| id.as_slice() == key_id.as_ref());
                let found = parties.iter().find(has);
                Ok(found.and_then(|party| AuthorId::from_slice(&party.author_id).ok()))
            }
            // Who may not list parties signs with its own key.
            Err(ClientError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every party, page by page.
    ///
    /// # Errors
    /// When the caller is neither operator nor auditor.
    pub async fn parties(&self) -> Result<Vec<v1::Party>, ClientError> {
        Ok(self.parties_and_rule().await?.0)
    }

    /// The same, and how many authorities sign what touches many; `None`: each alone.
    ///
    /// # Errors
    /// As there.
    pub async fn parties_and_rule(&self) -> Result<(Vec<v1::Party>, Option<v1::AuthorityRule>), ClientError> {
        let mut out: Vec<v1::Party> = Vec::new();
        loop {
            let after = out.last().map(|p| p.author_id.clone()).unwrap_or_default();
            let request = v1::ListPartiesRequest { after: after.clone(), limit: 500 };
            let page = self
                .client
                .call(|mut rpc| {
                    let request = request.clone();
                    async move { rpc.list_parties(request).await }
                })
                .await?;
            match page.parties.last() {
                None => return Ok((out, page.rule)),
                // A page that doesn't go on would be asked for without end.
                Some(last) if last.author_id <= after => return Ok((out, page.rule)),
                Some(_) => out.extend(page.parties),
            }
        }
    }
}
