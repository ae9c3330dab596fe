//! `authority`: acts that several authorities sign, and limits a day.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::session::Session;
use sillage_proof::hash::Hash;
use sillage_proof::keys::AuthorId;
use sillage_rules::act::Act;
use sillage_rules::authority::{CosignMessage, GuardedActs, Rule, RuleChange};
use sillage_rules::line::ActLine;
use sillage_rules::record::ParsedRecord;

use crate::acts::proposal::{DAY_MS, Proposal, SignatureLine, propose_act, submit_or_propose};
use crate::acts::proposed::Proposed;
use crate::acts::{print, submit_message, submit_messages};
use crate::arguments::parse;
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Say how many authorities sign what touches many: voiding, parties and whom they vouch for, issuers, documents,
    /// erasing, nodes, the rule itself
    Rule {
        /// How many signatures such an act needs
        #[arg(long, value_name = "M")]
        needed: u32,
        /// The authorities that count: author ids, hex, comma-separated
        #[arg(long, value_delimiter = ',', required = true, value_name = "HEX")]
        authorities: Vec<String>,
        /// Guarded, unless --guard names what is
        #[arg(long, hide = true)]
        nodes: bool,
        /// The same
        #[arg(long, hide = true)]
        erasing: bool,
        /// Guard only this, and what is always guarded: the sum of 1 voiding, 2 authorities, 4 nodes, 8 erasing a patient, 16
        /// parties, 32 documents, 64 single patients. Below feature level 4 at most 15; from level 5 on a rule guards all.
        /// Without it: all that the log knows
        #[arg(long, value_name = "BITS")]
        guard: Option<u32>,
        /// Write the act into this file, for other authorities to sign, instead of submitting it
        #[arg(long, value_name = "FILE")]
        propose: Option<PathBuf>,
    },
    /// Set how many counted records a party may sign in one day: those that take access away, end spaces or
    /// memberships, or embargo, and permissions and memberships on another's word than the patient's
    Limit {
        /// Author id of the party, hex
        #[arg(long, value_name = "HEX")]
        party: String,
        /// How many, at least 1
        #[arg(long, value_name = "N")]
        records: u32,
        /// Write the act into this file, for other authorities to sign, instead of submitting it
        #[arg(long, value_name = "FILE")]
        propose: Option<PathBuf>,
    },
    /// Write any act into a file, for other authorities to sign
    Propose {
        /// The act as JSON (`act` of `sillage schema record`); `-` is standard input
        #[arg(long, value_name = "FILE")]
        act: PathBuf,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show a proposed act, and sign it with the profile's `authority_key`
    Sign {
        /// The proposal; the signature is added to it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Days for which the signature holds, at most 30
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=30), value_name = "N")]
        days: u64,
        /// Of a record about a patient: about whom, so that the tag is held against it
        #[arg(long, value_name = "INS")]
        patient: Option<String>,
        /// OID of the INS
        #[arg(long, value_name = "OID", requires = "patient")]
        oid: Option<String>,
    },
    /// Show a proposed act and who signed it
    Show {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Submit a proposed act with the signatures that it carries; the submitter signs too
    Submit {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub async fn run(context: &Context, command: AuthorityCommand) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    match command {
        AuthorityCommand::Rule { needed, authorities, guard, propose, .. } => {
            let authorities = authorities.iter().map(|id| parse::<AuthorId>("--authorities", id.trim()));
            let known = match session.caller.feature_level {
                ..4 => GuardedActs::OF_BEFORE,
                4 => GuardedActs::OF_LEVEL_4,
                _ => GuardedActs::EVERYTHING,
            };
            let acts = GuardedActs::from_bits(guard.unwrap_or(known.bits()))
                .map_err(|error| ClientError::Usage(format!("--guard: {}", error.message)))?;
            let rule = Rule { needed, authorities: authorities.collect::<Result<_, _>>()?, acts };
            let what = json!({"needed": needed, "authorities": rule.authorities.len()});
            submit_or_propose(&session, &Act::AuthorityRule(RuleChange::Rule(rule)), propose.as_deref(), what).await
        }
        AuthorityCommand::Limit { party, records, propose } => {
            let author_id = parse::<AuthorId>("--party", &party)?;
            let what = json!({"author_id": author_id, "records_a_day": records});
            let act = Act::AuthorityRule(RuleChange::Limit { author_id, records });
            submit_or_propose(&session, &act, propose.as_deref(), what).await
        }
        AuthorityCommand::Propose { act, out } => {
            let text = match act.as_os_str() == "-" {
                true => std::io::read_to_string(std::io::stdin()).map_err(|error| ClientError::reading(&act, error))?,
                false => String::from_utf8(read(&act)?).map_err(|error| ClientError::reading(&act, error))?,
            };
            let line: ActLine = serde_json::from_str(&text).map_err(|error| ClientError::reading(&act, error))?;
            let parsed = line.to_act().map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
            if matches!(parsed, Act::Erased { .. }) {
                return Err(ClientError::Usage(
                    "an erasure stands under a patient's tag: propose it with `sillage erase --patient INS --ground G --propose FILE`".to_owned(),
                ));
            }
            propose_act(&session, &parsed, &out)
        }
        AuthorityCommand::Sign { file, days, patient, oid } => match Proposed::read(&session, &file)? {
            Some(mut proposed) => {
                let key = session.profile.authority_signing_key()?;
                let whose = patient.as_deref().map(|ins| (ins, oid.as_deref()));
                proposed.sign(&session, (&key, days), whose, &file).await?;
                proposed.show().map(|()| Ended::Done)
            }
            None => sign(&session, &file, days),
        },
        AuthorityCommand::Show { file } => match Proposed::read(&session, &file)? {
            Some(proposed) => proposed.show().map(|()| Ended::Done),
            None => show(&Proposal::read(&session, &file)?),
        },
        AuthorityCommand::Submit { file } => {
            if let Some(proposed) = Proposed::read(&session, &file)? {
                let messages = proposed.messages(&session.profile.authority_signing_key()?)?;
                let receipt = submit_messages(&session, messages).await?;
                return print(&receipt, json!({"submitted": file, "signatures": proposed.signatures()}));
            }
            let proposal = Proposal::read(&session, &file)?;
            let own = session.profile.authority_signing_key()?.key_id();
            let mut record = proposal.record()?;
            // Who submits signs the batch: that counts already.
            record.signatures.retain(|one| one.key_id != own.as_bytes());
            let receipt = submit_message(&session, record).await?;
            print(&receipt, json!({"submitted": file, "signatures": proposal.signatures.len()}))
        }
    }
}

fn sign(session: &Session, file: &Path, days: u64) -> Result<Ended, ClientError> {
    let mut proposal = Proposal::read(session, file)?;
    let key = session.profile.authority_signing_key()?;
    let content: Hash = parse("content", &proposal.content)?;
    let origin = sillage_proof::batch::Origin::new(proposal.origin.clone());
    let message = CosignMessage {
        key_id: key.key_id(),
        origin: origin.map_err(|error| ClientError::Usage(error.to_string()))?,
        expires_ms: now_ms().saturating_add(days * DAY_MS),
        content,
    };
    proposal.signatures.retain(|one| one.key_id != key.key_id());
    proposal.signatures.push(SignatureLine::of(&message, &key));
    proposal.signatures.sort_by_key(|one| one.key_id);
    // What is written is a record that the ledger can read.
    ParsedRecord::from_message(proposal.record()?)
        .map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
    std::fs::write(file, proposal.text()).map_err(|error| ClientError::writing(file, error))?;
    show(&proposal)
}

fn show(proposal: &Proposal) -> Result<Ended, ClientError> {
    output::line(&serde_json::to_string(proposal).expect("string keys only"))?;
    Ok(Ended::Done)
}
