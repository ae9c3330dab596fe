//! `stream`: the author's streams.

use clap::Subcommand;
use serde_json::json;
use sillage_client::error::ClientError;
use sillage_proto::v1;
use sillage_words::sentence::clean;
use sillage_words::time::rfc3339;

use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// Show the state of each of the author's streams
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(context: &Context, command: StreamCommand) -> Result<Ended, ClientError> {
    let StreamCommand::Status { json } = command;
    status(context, json).await
}

async fn status(context: &Context, as_json: bool) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::StreamStatusRequest::default();
    let answer = session
        .client
        .call(|mut rpc| {
            let request = request.clone();
            async move { rpc.stream_status(request).await }
        })
        .await?;
    let to_line = |s: &v1::StreamState| {
        let recorded_at = (s.last_seq > 0).then(|| rfc3339(s.last_time_ms));
        let first_index = (s.last_seq > 0).then_some(s.last_first_index);
        if as_json {
            json!({
                "label": s.label, "stream_id": hex::encode(&s.stream_id), "last_seq": s.last_seq,
                "last_root": hex::encode(&s.last_root), "last_first_index": first_index, "last_recorded_at": recorded_at,
            })
            .to_string()
        } else {
            let at = recorded_at.unwrap_or_else(|| "never".to_owned());
            format!(
                "{}: batch {} is the last on record ({at}), send {} next",
                clean(&s.label),
                s.last_seq,
                s.last_seq + 1
            )
        }
    };
    let mut lines: Vec<String> = answer.streams.iter().map(to_line).collect();
    if lines.is_empty() && !as_json {
        lines.push("this author has no stream yet: its first batch is number 1".to_owned());
    }
    output::lines(&lines)?;
    Ok(Ended::Done)
}
