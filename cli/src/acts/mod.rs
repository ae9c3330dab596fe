//! Acts of the authority: signed and recorded ([`submit`]), or proposed to other authorities first ([`proposal`], [`proposed`]).

pub(crate) mod proposal;
pub(crate) mod proposed;

use std::sync::Arc;

use serde_json::json;
use sillage_client::author::{Stream, VerifiedReceipt};
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::outbox::Source;
use sillage_client::session::Session;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::record::{ParsedRecord, act_message};
use sillage_rules::stream::StreamLabel;
use sillage_words::time::rfc3339;

use self::proposed::propose_or_cosign;
use crate::{Ended, output};

/// Signs an act with the authority's key and records it, on a stream of its own, as acts are rare, and over its own
/// certificate, where the profile names one beside the caller's.
///
/// # Errors
/// When the profile has no authority key, or the ledger refuses the act.
pub async fn submit(session: &Session, act: &Act) -> Result<VerifiedReceipt, ClientError> {
    submit_message(session, act_message(act, now_ms())).await
}

/// The same, of the record that carries the act.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_message(session: &Session, record: v1::Record) -> Result<VerifiedReceipt, ClientError> {
    submit_messages(session, vec![record]).await
}

/// The same, of several records that are recorded together or not at all.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_messages(session: &Session, records: Vec<v1::Record>) -> Result<VerifiedReceipt, ClientError> {
    let parsed = records.into_iter().map(|record| {
        let record = ParsedRecord::from_message(record);
        let record = record.map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
        Ok(record.into_bytes())
    });
    submit_encoded(session, parsed.collect::<Result<Vec<_>, ClientError>>()?).await
}

/// The same, of records in their canonical bytes.
///
/// # Errors
/// As for [`submit`].
pub async fn submit_encoded(session: &Session, records: Vec<Vec<u8>>) -> Result<VerifiedReceipt, ClientError> {
    let records = propose_or_cosign(session, records)?;
    let signer = Arc::new(session.signer(session.profile.authority_signing_key()?).await?);
    let random = getrandom::u64().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    let label = StreamLabel::parse(&format!("act.{random:016x}")).expect("a label by construction");
    let mut stream = Stream::fresh(session.authority_client()?, signer, Arc::clone(&session.keys), label);
    stream.send(records, Source::Fresh).await
}

/// Prints where an act is on record, beside `what`.
pub fn print(receipt: &VerifiedReceipt, mut what: serde_json::Value) -> Result<Ended, ClientError> {
    what["index"] = json!(receipt.first_index);
    what["recorded_at"] = json!(rfc3339(receipt.time_ms));
    output::line(&what.to_string())?;
    Ok(Ended::Done)
}
