//! `keys void`, `keys reinstate`, `keys voided`: what a stolen key signed counts no longer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sillage_client::checks::failed;
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::entry::Entry;
use sillage_rules::voiding::{Voiding, Whose};
use sillage_words::time::{parse_bound, parse_end, rfc3339};

use crate::acts::proposal::submit_or_propose;
use crate::arguments::parse;
use crate::{Ended, output};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["key", "party"])))]
pub struct VoidArgs {
    /// Void what this key signed: key id, hex
    #[arg(long, value_name = "HEX")]
    pub key: Option<String>,
    /// Void what any key of this party signed: author id, hex
    #[arg(long, value_name = "HEX")]
    pub party: Option<String>,
    /// From here on: an entry, or a time (RFC 3339)
    #[arg(long, value_name = "INDEX|TIME")]
    pub from: String,
    /// Up to here, excluded: an entry, or a time; without it, up to the act itself
    #[arg(long, value_name = "INDEX|TIME")]
    pub until: Option<String>,
    /// Why: it stands in the log, public
    #[arg(long)]
    pub reason: String,
    /// Say how many records, patients and decisions are concerned; sign nothing
    #[arg(long, conflicts_with = "propose")]
    pub dry_run: bool,
    /// Write the act into this file, for other authorities to sign, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReinstateArgs {
    /// The entry with the act that voided
    #[arg(long, value_name = "INDEX")]
    pub act: u64,
    /// Why: it stands in the log, public
    #[arg(long)]
    pub reason: String,
    /// Write the act into this file, for other authorities to sign, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VoidedArgs {
    /// The decisions to review of the act at this entry; without it, the acts
    #[arg(long, value_name = "INDEX")]
    pub act: Option<u64>,
    /// As JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Rows of one page.
const PAGE: u32 = 500;

/// Voids, or says what would be voided.
pub async fn void(session: &Session, args: VoidArgs) -> Result<Ended, ClientError> {
    let whose = match (&args.key, &args.party) {
        (Some(key), _) => Whose::Key(parse("--key", key)?),
        (None, Some(party)) => Whose::Party(parse("--party", party)?),
        (None, None) => return Err(ClientError::Usage("name --key or --party".to_owned())),
    };
    let from = entry_at(session, "--from", &args.from).await?;
    let until = match &args.until {
        Some(until) => Some(entry_at(session, "--until", until).await?),
        None => None,
    };
    let voiding = Voiding::Void { whose, from, until, reason: args.reason };
    if args.dry_run {
        return preview(session, &voiding).await;
    }
    let what = json!({"voided_from": from, "until": until});
    let ended = submit_or_propose(session, &Act::RecordsVoided(voiding), args.propose.as_deref(), what).await?;
    output::note(
        "the key still signs until it is revoked or replaced: `sillage keys revoke`; decisions to review: `sillage keys voided --act INDEX`",
    );
    Ok(ended)
}

/// The voided records count again.
pub async fn reinstate(session: &Session, args: ReinstateArgs) -> Result<Ended, ClientError> {
    let act = Act::RecordsVoided(Voiding::Reinstate { act: LeafIndex(args.act), reason: args.reason });
    submit_or_propose(session, &act, args.propose.as_deref(), json!({"reinstated": args.act})).await
}

/// The first entry at or after a time, or the entry itself.
async fn entry_at(session: &Session, option: &str, text: &str) -> Result<LeafIndex, ClientError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse::<u64>(option, text).map(LeafIndex);
    }
    let time_ms = if option == "--until" { parse_end(option, text)? } else { parse_bound(option, text)? };
    // Time never goes back: the first entry of that time is found by halving.
    let (mut low, mut high) = (0, size(session).await?);
    while low < high {
        let middle = low + (high - low) / 2;
        match time_of(session, middle).await? < time_ms {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(LeafIndex(low))
}

async fn size(session: &Session) -> Result<u64, ClientError> {
    let request = v1::ProveInclusionRequest { index: 0, size: 0 };
    Ok(session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?.size)
}

async fn time_of(session: &Session, index: u64) -> Result<u64, ClientError> {
    let request = v1::GetEntryRequest { index };
    let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
    let entry = Entry::decode(&answer.entry);
    entry.map(|entry| entry.time().get()).map_err(|error| failed(&format!("entry {index} cannot be read ({error})")))
}

async fn preview(session: &Session, voiding: &Voiding) -> Result<Ended, ClientError> {
    let act = voiding.to_message();
    let (mut records, mut deciding, mut decisions, mut patients) = (0, 0, 0, BTreeSet::new());
    let mut next = 0;
    loop {
        let request = v1::PreviewVoidingRequest { act: Some(act.clone()), next };
        let part = session
            .client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.preview_voiding(request).await }
            })
            .await?;
        records += part.records;
        deciding += part.deciding;
        decisions += part.decisions;
        patients.extend(part.tags);
        if part.next == 0 {
            break;
        }
        if part.next <= next {
            return Err(failed("the parts of a preview do not go on: ask another node"));
        }
        next = part.next;
    }
    let line = json!({
        "dry_run": true, "records": records, "deciding": deciding, "patients": patients.len(), "decisions_at_most": decisions,
    });
    output::line(&line.to_string())?;
    Ok(Ended::Done)
}

/// Lists acts, or the decisions to review of one.
pub async fn voided(session: &Session, args: &VoidedArgs) -> Result<Ended, ClientError> {
    let mut after_index = 0;
    let act_index = args.act.unwrap_or_default();
    loop {
        let request = v1::ReviewVoidedRequest { act_index, after_index, limit: PAGE };
        let page = session.client.call(|mut rpc| async move { rpc.review_voided(request).await }).await?;
        let lines: Vec<String> = match args.act {
            None => page.acts.iter().map(|row| act_line(row, args.json)).collect(),
            Some(_) => page.decisions.iter().map(|row| decision_line(row, args.json)).collect(),
        };
        output::lines(&lines)?;
        let last = match args.act {
            None => page.acts.last().map(|row| row.act_index),
            Some(_) => page.decisions.last().map(|row| row.index),
        };
        match last.filter(|_| page.more) {
            Some(last) if last > after_index => after_index = last,
            Some(_) => return Err(failed("the pages of what is voided do not go on: ask another node")),
            None => return Ok(Ended::Done),
        }
    }
}

fn act_line(row: &v1::VoidingRow, as_json: bool) -> String {
    let (kind, id) = match row.key_id.is_empty() {
        true => ("party", hex::encode(&row.author_id)),
        false => ("key", hex::encode(&row.key_id)),
    };
    let reason = sillage_words::sentence::clean(&row.reason);
    if as_json {
        return json!({
            "act": row.act_index, "time": rfc3339(row.time_ms), kind: id, "from": row.from_index, "until": row.until_index,
            "reason": reason, "reinstated_by": row.reinstated_index, "patients": row.patients, "all_told": row.all_told,
        })
        .to_string();
    }
    let told = if row.all_told { "all told" } else { "being told" };
    let back = match row.reinstated_index {
        0 => String::new(),
        by => format!("; reinstated by act no. {by}"),
    };
    format!(
        "act no. {} of {}: what {kind} {id} signed, entries {} to {}; reason: {reason}; {} patient(s), {told}{back}",
        row.act_index,
        rfc3339(row.time_ms),
        row.from_index,
        row.until_index.saturating_sub(1),
        row.patients,
    )
}

fn decision_line(row: &v1::VoidedDecisionRow, as_json: bool) -> String {
    let ground = if row.consulted { "CONSULTED" } else { "CONCERNED" };
    if as_json {
        return json!({"decision": row.index, "time": rfc3339(row.time_ms), "ground": ground}).to_string();
    }
    let why = match row.consulted {
        true => "rests on a voided record",
        false => "made while a voided record of this patient counted",
    };
    format!("decision no. {} of {}: {why}", row.index, rfc3339(row.time_ms))
}
