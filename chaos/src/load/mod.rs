//! Load on a real ledger, and an exact account of what the ledger acknowledged.
//!
//! A [`Link`] is a way to the ledger with the keys of one author. A [`Writer`] sends the batches of one stream, one
//! after the other (a closed loop): a batch is sent again, byte for byte, until it is acknowledged, and only then comes
//! the next. Acknowledged records go into a [`Tally`], which an audit compares with the log later. An [`asker::Asker`]
//! asks for decisions instead. [`status`] asks the nodes how they are; [`machine`] says on what all of it runs.

pub mod asker;
pub mod machine;
pub mod stats;
pub mod status;
mod writer;

pub use writer::{Acked, Tally, Writer};

use sillage_client::author::{Signer, Tags};
use sillage_client::channel::{Client, Timeouts};
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::will::Logins;
use sillage_proof::batch::Origin;
use sillage_proof::keys::AuthorId;
use sillage_proof::vrf::VrfPublicKey;
use sillage_proto::v1::{Genesis, NodeIdentity};
use std::path::Path;
use std::sync::Arc;

/// Why a load cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The SDK's answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something that must not be.
    #[error("{0}")]
    Wrong(String),
}

/// A way to the ledger, as one of its authors. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    /// The calls.
    pub client: Client,
    /// The patient.
    pub signer: Signer,
    /// The profile that it was made from.
    pub profile: Profile,
    /// Entry 0.
    pub genesis: Arc<Genesis>,
    /// The login that proves who decided the records.
    pub logins: Option<Arc<Logins>>,
}

impl Link {
    /// A way to all nodes of a profile.
    ///
    /// # Errors
    /// When the profile or its files can't be used.
    pub fn open(profile: &Path, timeouts: Timeouts) -> Result<Self, LoadError> {
        Self::of(Profile::load(profile)?, timeouts)
    }

    /// As [`Link::open`], from a profile that is already read.
    ///
    /// # Errors
    /// When its files can't be used.
    pub fn of(profile: Profile, timeouts: Timeouts) -> Result<Self, LoadError> {
        let (genesis, _) = profile.genesis()?;
        let key = profile.author_signing_key()?;
        let origin = Origin::new(profile.origin.clone()).map_err(|e| LoadError::Wrong(e.to_string()))?;
        let signer = Signer { origin, author_id: AuthorId::of_first_key(&key.public_key()), key };
        let client = Client::new(&profile, timeouts)?;
        let logins = Logins::of(&profile)?.map(Arc::new);
        Ok(Self { client, signer, profile, genesis: Arc::new(genesis), logins })
    }

    /// A way that tries the nodes in another order: `first` (from 0) before the others.
    ///
    /// # Errors
    /// When the profile's files can't be used.
    pub fn beginning_at(&self, first: usize, timeouts: Timeouts) -> Result<Self, LoadError> {
        let mut profile = self.profile.clone();
        let count = profile.endpoints.len();
        profile.endpoints.rotate_left(first % count);
        Self::of(profile, timeouts)
    }

    /// A way to each single node, in the order of the profile's endpoints.
    ///
    /// # Errors
    /// When the profile's files can't be used.
    pub fn to_each(&self, timeouts: Timeouts) -> Result<Vec<Client>, LoadError> {
        let single = |endpoint: &String| {
            let profile = Profile { endpoints: vec![endpoint.clone()], ..self.profile.clone() };
            Client::new(&profile, timeouts)
        };
        let clients: Result<_, _> = self.profile.endpoints.iter().map(single).collect();
        Ok(clients?)
    }

    /// Resolves patients' tags and checks them.
    ///
    /// # Errors
    /// When the profile's VRF key is not one.
    pub fn tags(&self) -> Result<Tags, LoadError> {
        let key =
            VrfPublicKey::from_bytes(&self.profile.vrf_public_key).map_err(|e| LoadError::Wrong(e.to_string()))?;
        Ok(Tags::new(self.client.clone(), key).with_logins(self.logins.clone()))
    }

    /// The nodes whose receipts count.
    pub fn nodes(&self) -> &[NodeIdentity] {
        &self.genesis.nodes
    }
}
