//! `erase`: payloads go, entries and proofs stay. Acts of the authority, signed with the profile's `authority_key`.

mod retention;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use sillage_audit::fetch;
use sillage_client::author::tags_of;
use sillage_client::checks::failed;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::session::Session;
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;
use sillage_rules::record::erasure_message;
use sillage_words::time::rfc3339;
use tokio::time::Instant;

use crate::acts::proposal::propose_under;
use crate::acts::{submit_message, submit_messages};
use crate::arguments::reading;
use crate::commands::erase::retention::{Gathering, Rules, Source};
use crate::errors::remark;
use crate::lang::of_remarks;
use crate::{Context, Ended, output};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["record", "patient", "expired"])), after_long_help = RETENTION_HELP)]
pub struct EraseArgs {
    /// The record at this place in the log
    #[arg(long, value_name = "INDEX", requires = "ground")]
    pub record: Option<u64>,
    /// All records of a patient, in both parts of the trace: INS, 15 characters
    #[arg(long, value_name = "INS", requires = "ground")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// Why, in one line, for the record: who ordered it. A ground that begins with RETENTION is refused for what is
    /// younger than three years
    #[arg(long, value_name = "G", conflicts_with = "expired")]
    pub ground: Option<String>,
    /// Records whose time of keeping is over (roles auditor and operator)
    #[arg(long, requires = "rules")]
    pub expired: bool,
    /// The rules of retention, see below
    #[arg(long, value_name = "F", requires = "expired")]
    pub rules: Option<PathBuf>,
    /// Only show what has expired
    #[arg(long, requires = "expired")]
    pub dry_run: bool,
    /// Wait until every node has destroyed the old keys, instead of within 24 hours
    #[arg(long)]
    pub now: bool,
    /// Write the erasure into this file, for other authorities to sign, instead of submitting it; of a patient, that of what is
    /// kept from representatives into another one beside it, FILE.secret
    #[arg(long, value_name = "FILE", conflicts_with_all = ["now", "dry_run"])]
    pub propose: Option<PathBuf>,
}

const RETENTION_HELP: &str = r#"Rules of retention (TOML):

  years = 10                   # where no rule says otherwise; 10 if left out, at least 3
  ground = "ten years"         # for the record; it begins with RETENTION there

  [[rule]]                     # the first rule that fits decides
  kind = "emergency"           # a kind such as access.read, or a whole group; left out: all
  source = "DMP"               # name or author id (hex) of the service that signed; left out: all
  years = 20
  ground = "twenty years, decision 17""#;

/// Acts of one proposal, which are one batch.
const PROPOSED_MAX: usize = 1_000;
/// Between two questions whether keys are destroyed.
const ASK_AGAIN: Duration = Duration::from_millis(250);

pub async fn run(context: &Context, args: EraseArgs) -> Result<Ended, ClientError> {
    let ground = args.ground.as_deref().unwrap_or_default();
    let mut session = context.session().await?;
    session.propose = args.propose.clone().or(session.propose);
    if let Some(rules) = &args.rules {
        expired(&session, rules, args.dry_run, context.timeouts.total).await?;
        if args.now && !args.dry_run {
            finish(&session, context.timeouts.total).await?;
        }
        return Ok(Ended::Done);
    }
    match (args.record, &args.patient) {
        (Some(index), _) => record(&session, index, ground).await?,
        (None, Some(ins)) => {
            let ins = reading::ins(&session.profile, ins, args.oid.as_deref())?;
            let patient_id = (ins.value(), ins.oid().as_str());
            match session.propose.clone() {
                Some(path) => propose(&session, patient_id, ground, &path).await?,
                None => patient(&session, patient_id.0, patient_id.1, ground).await?,
            }
        }
        (None, None) => {}
    }
    if args.now {
        finish(&session, context.timeouts.total).await?;
    }
    Ok(Ended::Done)
}

/// Signs one act; prints where it is on record.
async fn erase(session: &Session, tag: &[u8; 32], indices: Vec<LeafIndex>, ground: &str) -> Result<(), ClientError> {
    let mut what = match indices.is_empty() {
        true => json!({"erased": "patient"}),
        false => json!({"erased": indices}),
    };
    let act = Act::Erased { indices, ground: ground.to_owned() };
    let receipt = submit_message(session, erasure_message(&act, tag, now_ms())).await?;
    what["index"] = json!(receipt.first_index);
    what["recorded_at"] = json!(rfc3339(receipt.time_ms));
    what["ground"] = json!(ground);
    output::line(&what.to_string())
}

async fn record(session: &Session, index: u64, ground: &str) -> Result<(), ClientError> {
    let request = v1::GetEntryRequest { index };
    let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
    let entry = Entry::decode(&answer.entry);
    let entry = entry.map_err(|error| failed(&format!("entry {index} cannot be read ({error}): ask another node")))?;
    if entry.index().get() != index {
        return Err(failed(&format!("the ledger gave entry {} instead of {index}: ask another node", entry.index())));
    }
    let Entry::Record(entry) = entry else {
        let why = format!("entry {index} isn't a record: name one of the patient's records, as `trace` shows them");
        return Err(ClientError::rejected(Code::NotErasable.as_str(), why));
    };
    erase(session, &entry.tag, vec![entry.index], ground).await
}

/// Under both tags; one of them may have nothing to erase.
async fn patient(session: &Session, ins: &str, oid: &str, ground: &str) -> Result<(), ClientError> {
    let (open, secret) = tags_of(session).both(ins, oid).await?;
    let mut done = 0;
    let mut nothing = None;
    for tag in [Some(open), secret].into_iter().flatten() {
        match erase(session, tag.as_bytes(), Vec::new(), ground).await {
            Ok(()) => done += 1,
            Err(ClientError::Rejected(refusal)) if refusal.code == Code::NotErasable => {
                nothing = Some(ClientError::Rejected(refusal));
            }
            Err(error) => return Err(error),
        }
    }
    match nothing {
        Some(error) if done == 0 => Err(error),
        _ => Ok(()),
    }
}

/// Writes a proposal for each tag, for as many authorities to sign as the rule says.
async fn propose(session: &Session, (ins, oid): (&str, &str), ground: &str, path: &Path) -> Result<(), ClientError> {
    let (open, secret) = tags_of(session).both(ins, oid).await?;
    let act = Act::Erased { indices: Vec::new(), ground: ground.to_owned() };
    propose_under(session, &act, Some(*open.as_bytes()), path)?;
    if let Some(secret) = secret {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".secret");
        propose_under(session, &act, Some(*secret.as_bytes()), Path::new(&beside))?;
    }
    Ok(())
}

async fn expired(session: &Session, rules: &Path, dry_run: bool, patience: Duration) -> Result<(), ClientError> {
    let text = String::from_utf8(read(rules)?).map_err(|error| ClientError::reading(rules, error))?;
    let rules = Rules::parse(&text).map_err(|why| ClientError::Usage(format!("{}: {why}", rules.display())))?;
    let size = fetch::newest(session, 0).await?.checkpoint.size.get();
    let mut gathering = Gathering::new(&rules, sources(session).await?, now_ms());
    let mut wrong = None;
    let take = async |entries: Vec<v1::LogEntry>| {
        wrong = entries.iter().find_map(|entry| gathering.take(entry).err());
        wrong.is_none()
    };
    fetch::entries(session, (0, size), patience, take).await?;
    if let Some(why) = wrong {
        return Err(failed(&why));
    }
    let (mut records, mut acts) = (0, 0);
    let mut proposed = Vec::new();
    for act in gathering.finish() {
        (records, acts) = (records + act.indices.len(), acts + 1);
        match (dry_run, &session.propose) {
            (true, _) => output::line(&json!({"would_erase": act.indices, "ground": act.ground}).to_string())?,
            (false, Some(_)) if proposed.len() < PROPOSED_MAX => {
                let ground = act.ground;
                proposed.push(erasure_message(&Act::Erased { indices: act.indices, ground }, &act.tag, now_ms()));
            }
            (false, Some(_)) => {}
            (false, None) => erase(session, &act.tag, act.indices, &act.ground).await?,
        }
    }
    let would = if dry_run || session.propose.is_some() { "would be " } else { "" };
    output::note(&format!("{records} record(s) of {size} entries have expired and {would}erased by {acts} act(s)"));
    if proposed.len() < acts && session.propose.is_some() {
        output::note(&format!("{PROPOSED_MAX} acts are proposed at once: submit them, then propose the others"));
    }
    match proposed.is_empty() {
        true => Ok(()),
        false => submit_messages(session, proposed).await.map(drop),
    }
}

/// The holder of each key.
async fn sources(session: &Session) -> Result<BTreeMap<KeyId, Source>, ClientError> {
    let unreadable = |_| failed("the list of parties cannot be read: ask another node");
    let mut sources = BTreeMap::new();
    for party in session.parties().await? {
        let author_id = AuthorId::from_slice(&party.author_id).map_err(unreadable)?;
        for id in &party.key_ids {
            let source = Source { author_id, name: party.name.clone() };
            sources.insert(KeyId::from_slice(id).map_err(unreadable)?, source);
        }
    }
    Ok(sources)
}

/// Waits until every node has destroyed the old keys, and says what it waits for.
async fn finish(session: &Session, total: Duration) -> Result<(), ClientError> {
    let deadline = Instant::now() + total;
    let mut said: Vec<String> = Vec::new();
    loop {
        let request = v1::ErasuresRequest { finish_now: true };
        let answer = session.client.call(|mut rpc| async move { rpc.erasures(request).await }).await;
        let answer = answer.map_err(|error| match error {
            ClientError::Unavailable(why) => ClientError::Unavailable(format!(
                "the erasure is on record, and whether old keys are destroyed can't be asked now ({why}); that goes on by itself"
            )),
            error => error,
        })?;
        if answer.waiting == 0 {
            return output::line(&json!({"waiting": 0}).to_string());
        }
        if answer.notes != said {
            for note in answer.notes.iter().filter(|note| !said.contains(note)) {
                output::note(&remark(&sillage_words::sentence::clean(note), of_remarks()));
            }
            said = answer.notes;
        }
        if Instant::now() + ASK_AGAIN >= deadline {
            let waiting: Value = answer.waiting.into();
            let why = said.join("; ");
            return Err(ClientError::Unavailable(format!(
                "the erasure is on record, and {waiting} still wait(s) for old keys to be destroyed ({why}): it goes on by itself once all nodes \
                 run (`sillage cluster status`), and `sillage erase --help` says how to wait longer"
            )));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
