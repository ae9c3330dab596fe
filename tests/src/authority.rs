//! Acts that only the ledger's authority signs, and that the command line has no word for: policies as they are
//! published.

use std::sync::Arc;

use serde_json::Value;
use sillage_client::author::{Stream, VerifiedReceipt};
use sillage_client::channel::Timeouts;
use sillage_client::error::ClientError;
use sillage_client::outbox::Source;
use sillage_client::profile::{Profile, load_seed};
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;
use sillage_rules::authority::{CosignMessage, content_hash};
use sillage_rules::consent::name::SOFTWARE_SYSTEM;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};
use sillage_rules::stream::StreamLabel;

use crate::lines::now_ms;
use crate::world::World;

/// The authority at work, on a stream of its own.
pub struct Authority {
    stream: Stream,
    origin: String,
    further: Vec<SigningKey>,
}

impl Authority {
    /// `label` is new to the ledger. The session's profile has the authority's key.
    ///
    /// # Panics
    /// When it hasn't, or the ledger can't be reached.
    pub async fn open(session: &Session, label: &str) -> Self {
        let key = session.profile.authority_signing_key().expect("the authority's key");
        let signer = Arc::new(session.signer(key).await.expect("the authority"));
        let label = StreamLabel::parse(&format!("act.{label}")).expect("a label");
        let client = session.authority_client().expect("the authority's certificate");
        let further =
            session.profile.cosign_keys.iter().map(|path| load_seed(path).expect("a further authority's key"));
        let stream = Stream::fresh(client, signer, Arc::clone(&session.keys), label);
        Self { stream, origin: session.profile.origin.clone(), further: further.collect() }
    }

    /// Puts a record on record, signed by the further authorities whose keys the profile has.
    ///
    /// # Errors
    /// As for [`Stream::send`].
    ///
    /// # Panics
    /// When it isn't a record.
    pub async fn send(&mut self, record: v1::Record) -> Result<VerifiedReceipt, ClientError> {
        let record = self.further.iter().fold(record, |record, key| cosigned(record, &self.origin, key));
        let bytes = ParsedRecord::from_message(record).expect("a record").into_bytes();
        self.stream.send(vec![bytes], Source::Fresh).await
    }
}

/// The record with a further party's signature, for an hour.
///
/// # Panics
/// When `origin` names no log.
pub fn cosigned(mut record: v1::Record, origin: &str, key: &SigningKey) -> v1::Record {
    let (key_id, origin) = (key.key_id(), Origin::new(origin).expect("a log"));
    let message = CosignMessage { key_id, origin, expires_ms: now_ms() + 3_600_000, content: content_hash(&record) };
    record.signatures.push(message.sign(key));
    record.signatures.sort_by(|one, other| one.key_id.cmp(&other.key_id));
    record
}

/// Publishes a document (`policy.published`, `matrix.published`, `catalogue.published`) in the place of the one before.
///
/// # Panics
/// When the ledger doesn't take it.
pub fn publish(world: &World, kind: Kind, details: &Value) -> u64 {
    let actor = v1::Actor { system: SOFTWARE_SYSTEM.to_owned(), id: "authority".to_owned(), ..v1::Actor::default() };
    let record = v1::Record { actor: Some(actor), details: details.to_string(), ..new_message(kind, None, now_ms()) };
    let profile = Profile::load(&world.authority_file()).expect("dev wrote it");
    let receipt = world.wait(async {
        let session = Session::open(profile, Timeouts::default()).await.expect("a session");
        Authority::open(&session, &format!("document.{}", now_ms())).await.send(record).await
    });
    receipt.expect("published").first_index
}
