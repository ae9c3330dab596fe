//! `entry`: one entry of the log, as it stands there.

use clap::Args;
use serde_json::{Map, Value, json};
use sillage_client::checks::{self, failed};
use sillage_client::error::ClientError;
use sillage_proof::hash::leaf_hash;
use sillage_proto::v1;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::facts::flags_hold;
use sillage_rules::kind::Kind;
use sillage_rules::line::{ActSignatureLine, DecisionLine, RecordLine};
use sillage_words::time::rfc3339;

use crate::{Context, Ended, output};

#[derive(Debug, Args)]
pub struct EntryArgs {
    /// Place in the log, from 0
    pub index: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub async fn run(context: &Context, args: EntryArgs) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::GetEntryRequest { index: args.index };
    let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
    let entry = Entry::decode(&answer.entry)
        .map_err(|error| failed(&format!("entry {} cannot be read ({error}): ask another node", args.index)))?;
    if entry.index().get() != args.index {
        return Err(failed(&format!(
            "the ledger gave entry {} instead of {}: ask another node",
            entry.index(),
            args.index
        )));
    }
    let out = describe(&entry, &answer, session.genesis.late_after_ms)?;
    if args.json {
        output::line(&Value::Object(out).to_string())?;
    } else {
        output::lines(&text(&out))?;
    }
    Ok(Ended::Done)
}

fn describe(
    entry: &Entry,
    answer: &v1::GetEntryResponse,
    late_after_ms: u64,
) -> Result<Map<String, Value>, ClientError> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("index", json!(entry.index()));
    put("leaf_hash", json!(leaf_hash(&answer.entry)));
    put("recorded_at", json!(rfc3339(entry.time().get())));
    put("kind", json!(entry.kind().map(|kind| kind.token())));
    put("flags", json!(entry.flags().names().collect::<Vec<_>>()));
    if let Some(reason) = entry.flags().unjustified_reason() {
        put("unjustified_reason", json!(reason));
    }
    put("entry", json!(hex::encode(&answer.entry)));
    if !answer.author.is_empty() {
        put("author", json!(answer.author));
    }
    if let Some(by) = &answer.erased {
        put("erased", json!({"index": by.index, "time": rfc3339(by.time_ms), "ground": by.ground}));
    }
    match entry {
        Entry::BatchHeader(header) => {
            put("type", json!("batch_header"));
            put("key_id", json!(header.key_id));
            put("stream_id", json!(header.stream_id));
            put("seq", json!(header.seq));
            put("count", json!(header.count));
            put("root", json!(header.root));
            put("signature", json!(hex::encode(header.signature)));
        }
        Entry::Record(record) => {
            put("type", json!("record"));
            put("states_basis", json!(record.flags.contains(Flags::BASIS)));
            put("tag", json!(hex::encode(record.tag)));
            put("record_hash", json!(record.record_hash));
            put("position", json!(record.position));
            if !answer.record.is_empty() {
                let (name, shown) = opened(record, answer, late_after_ms)?;
                put(name, shown);
            }
        }
        Entry::IndexCommit(commit) => {
            put("type", json!("index_commit"));
            put("depth", json!(commit.depth));
            put("patients", json!(commit.patients));
            put("root", json!(commit.root));
        }
        Entry::LedgerEvent(event) => {
            put("type", json!("ledger_event"));
            put("body", json!(hex::encode(&event.body)));
        }
    }
    Ok(out)
}

/// The record or the ledger's decision, where the caller may open it; it must be the one that the entry commits to, and filed as
/// it says.
fn opened(
    entry: &RecordEntry,
    answer: &v1::GetEntryResponse,
    late_after_ms: u64,
) -> Result<(&'static str, Value), ClientError> {
    let wrong = |why: &str| failed(&format!("entry {} {why}: keep it as evidence", entry.index));
    if entry.kind == Kind::DECISION_MADE {
        let decision = checks::opened_decision(&answer.salt, &answer.record, entry).map_err(wrong)?;
        if !flags_hold(entry, None, late_after_ms) {
            return Err(wrong("is flagged otherwise than a decision is"));
        }
        let line = serde_json::to_value(DecisionLine::from(&decision));
        return Ok(("decision", line.map_err(|_| wrong("holds a decision that cannot be shown"))?));
    }
    let record = checks::opened(&answer.salt, &answer.record, entry).map_err(wrong)?;
    if !flags_hold(entry, Some(&record), late_after_ms) {
        return Err(wrong("is flagged otherwise than its record says"));
    }
    let line = serde_json::to_value(RecordLine::from_record(&record, None, false));
    let mut line = line.map_err(|_| wrong("holds a record that cannot be shown"))?;
    // Who else signed an act stands beside what it says: the line is what an author would write.
    let signatures = ActSignatureLine::of(&record);
    if !signatures.is_empty() {
        line["signatures"] = json!(signatures);
    }
    Ok(("record", line))
}

fn text(out: &Map<String, Value>) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::String(text) => sillage_words::sentence::clean(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Null => "-".to_owned(),
        other => sillage_words::sentence::clean(&other.to_string()),
    };
    out.iter().map(|(name, v)| format!("{name:<12} {}", value(v))).collect()
}
