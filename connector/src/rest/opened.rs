//! Content of the log: what was recorded here is read back from there, and checked against the entry that commits to it.

use std::sync::Arc;

use serde_json::{Value, json};
use sillage_client::checks::{failed, opened};
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_proto::v1;
use sillage_rules::entry::Entry;
use sillage_rules::time::TimeMs;
use tokio::task::JoinSet;

use crate::index::Recorded;

/// Entries that are fetched at once.
const AT_ONCE: usize = 16;
/// Records of one resource that are opened.
const RECORDS_MAX: u32 = 1_000;

/// One record of a resource.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where it stands.
    pub index: u64,
    /// The patient's tag; zeros where none is concerned.
    pub tag: [u8; 32],
    /// The record.
    pub record: v1::Record,
}

impl Part {
    /// The document that it was made from.
    pub fn document(&self) -> Option<Value> {
        serde_json::from_slice(&self.record.original.as_ref()?.content).ok()
    }
}

/// The records of one resource, in their order; those that were erased are left out.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Those that can be opened.
    pub open: Vec<Part>,
    /// How many were erased.
    pub erased: usize,
}

/// Fetches and checks the records of a resource.
///
/// # Errors
/// When no node answers, one shows another record than the one on record, or the caller may not open it.
pub async fn parts(session: &Arc<Session>, recorded: &Recorded) -> Result<Parts, ClientError> {
    if recorded.count > RECORDS_MAX {
        return Err(ClientError::Usage(format!("{} records of one resource", recorded.count)));
    }
    let mut out: Vec<(u64, Option<Part>)> = Vec::new();
    let mut asked = JoinSet::new();
    for index in recorded.first_index..recorded.first_index + u64::from(recorded.count) {
        if asked.len() >= AT_ONCE
            && let Some(part) = asked.join_next().await
        {
            out.push(part.map_err(|_| failed("a reading was cut off: ask again"))??);
        }
        let session = Arc::clone(session);
        asked.spawn(async move { part(&session, index).await.map(|part| (index, part)) });
    }
    while let Some(part) = asked.join_next().await {
        out.push(part.map_err(|_| failed("a reading was cut off: ask again"))??);
    }
    out.sort_by_key(|(index, _)| *index);
    let erased = out.iter().filter(|(_, part)| part.is_none()).count();
    Ok(Parts { open: out.into_iter().filter_map(|(_, part)| part).collect(), erased })
}

/// One record; none where it was erased.
async fn part(session: &Session, index: u64) -> Result<Option<Part>, ClientError> {
    let answer =
        session.client.call(|mut rpc| async move { rpc.get_entry(v1::GetEntryRequest { index }).await }).await?;
    let wrong = |why: &str| failed(&format!("entry {index} {why}: ask another node and keep it as evidence"));
    let entry = Entry::decode(&answer.entry).map_err(|_| wrong("can't be read"))?;
    let Entry::Record(entry) = entry else { return Err(wrong("is no record")) };
    if entry.index.get() != index {
        return Err(wrong("is another one than was asked for"));
    }
    if answer.erased.is_some() {
        return Ok(None);
    }
    if answer.record.is_empty() {
        return Err(ClientError::rejected(
            "NOT_ENTITLED",
            "the ledger doesn't open this record to the connector's party",
        ));
    }
    let record = opened(&answer.salt, &answer.record, &entry).map_err(wrong)?;
    Ok(Some(Part { index, tag: entry.tag, record: record.message().clone() }))
}

/// One document of several parts: the elements of the first, with the entities of all, each once. None where no part has one.
pub fn joined(parts: &[&Part]) -> Option<Value> {
    let mut documents = parts.iter().filter_map(|part| part.document());
    let mut whole = documents.next()?;
    for document in documents {
        for name in ["entity", "contained"] {
            let Some(Value::Array(more)) = document.get(name) else { continue };
            let Some(own) = whole.as_object_mut() else { continue };
            let list = own.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                for value in more.iter().filter(|value| *value != &Value::Null) {
                    if !list.contains(value) {
                        list.push(value.clone());
                    }
                }
            }
        }
    }
    Some(whole)
}

/// The resource as it is served: as it was sent, with the id, the version and the time that it has here.
pub fn served(mut document: Value, id: &str, version: &str, time_ms: u64) -> Value {
    document["id"] = json!(id);
    let meta = &mut document["meta"];
    if !meta.is_object() {
        *meta = json!({});
    }
    meta["versionId"] = json!(version);
    meta["lastUpdated"] = json!(TimeMs(time_ms).to_string());
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(document: &Value) -> Part {
        let original = v1::Original { media_type: String::new(), content: document.to_string().into_bytes() };
        let record = v1::Record { original: Some(original), ..v1::Record::default() };
        Part { index: 0, tag: [0; 32], record }
    }

    #[test]
    fn parts_are_joined_to_one_document() {
        let one = part(&json!({"resourceType": "AuditEvent", "entity": [{"name": "a"}, {"name": "p"}]}));
        let two = part(&json!({"resourceType": "AuditEvent", "entity": [{"name": "b"}, {"name": "p"}]}));
        let whole = joined(&[&one, &two]).expect("a document");
        assert_eq!(whole["entity"], json!([{"name": "a"}, {"name": "p"}, {"name": "b"}]));
        assert_eq!(joined(&[]), None);
    }

    #[test]
    fn the_senders_id_and_version_give_way_and_the_rest_of_meta_stays() {
        let sent = json!({"id": "x", "meta": {"versionId": "9", "profile": ["p"]}});
        let served = served(sent, "ab-1-0", "1", 0);
        assert_eq!(served["id"], "ab-1-0");
        assert_eq!(served["meta"]["versionId"], "1");
        assert_eq!(served["meta"]["lastUpdated"], "1970-01-01T00:00:00Z");
        assert_eq!(served["meta"]["profile"], json!(["p"]));
    }
}
