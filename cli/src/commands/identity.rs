//! `identity`: what is said of a patient's identity, which counts once a second party confirms it. It is passed around as a file
//! ([`crate::acts::proposed`]); whoever confirms it says whose identity it is, so that nobody signs for a number that they don't see.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use sillage_client::author::prepare;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_rules::authority::is_confirmed;
use sillage_rules::ident::{Checks, Source as IdentSource};
use sillage_rules::record::ParsedRecord;

use crate::acts::print;
use crate::acts::proposed::Proposed;
use crate::commands::record::parse;
use crate::recorder::open_recorder;
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Write a record that links or corrects an identity into a file, for another party to confirm
    Propose {
        /// One record line (`sillage schema record`) of the kind identity.linked or identity.corrected; `-` is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Confirm it: sign with the profile's `author_key`, of another party with the role identity
    Confirm {
        /// The proposal; the signature is added to it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The patient whose identity it is about: the tag in the file is held against it
        #[arg(long, value_name = "INS")]
        patient: String,
        /// OID of the INS
        #[arg(long, value_name = "OID")]
        oid: Option<String>,
        /// Days for which the signature holds, at most 30
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=30), value_name = "N")]
        days: u64,
        /// Sign with the profile's `authority_key` instead: an authority confirms too
        #[arg(long)]
        as_authority: bool,
    },
    /// Show what is proposed and who confirmed it
    Show {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Record it with the signatures that it carries; the profile's author signs it too
    Submit {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub async fn run(context: &Context, command: IdentityCommand) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let read_proposed = |file: &PathBuf| {
        let why = "it is no proposal of `sillage identity propose`";
        Proposed::read(&session, file)?.ok_or_else(|| ClientError::reading(file, why))
    };
    match command {
        IdentityCommand::Propose { file, out } => {
            let text = match file.as_os_str() == "-" {
                true => std::io::read_to_string(std::io::stdin())
                    .map(String::into_bytes)
                    .map_err(|error| ClientError::reading(&file, error))?,
                false => read(&file)?,
            };
            let checks = Checks { test_log: session.genesis.test_log, source: IdentSource::Direct };
            let refused = |code: &str, error: String| ClientError::rejected(code, error);
            let line =
                parse(text.trim_ascii(), checks).map_err(|error| refused(error.code.as_str(), error.to_string()))?;
            let kind = ParsedRecord::from_message(line.new.record.clone()).map(|record| record.kind());
            if !kind.is_ok_and(is_confirmed) {
                let why = "only identity.linked and identity.corrected are confirmed by a second party: `sillage record` takes all else";
                return Err(ClientError::Usage(why.to_owned()));
            }
            line.doubts.iter().for_each(|doubt| output::note(doubt));
            let records = prepare(&sillage_client::author::tags_of(&session), vec![line.new]).await?;
            Proposed::of(&session, &records)?.write_new(&out)?;
            output::note(
                "have another party confirm it (`sillage identity confirm FILE --patient INS`), then submit it (`sillage identity submit FILE`)",
            );
            output::line(&json!({"proposed": out}).to_string())?;
        }
        IdentityCommand::Confirm { file, patient, oid, days, as_authority } => {
            let key = match as_authority {
                true => session.profile.authority_signing_key()?,
                false => session.profile.author_signing_key()?,
            };
            let mut proposed = read_proposed(&file)?;
            proposed.sign(&session, (&key, days), Some((&patient, oid.as_deref())), &file).await?;
            proposed.show()?;
        }
        IdentityCommand::Show { file } => read_proposed(&file)?.show()?,
        IdentityCommand::Submit { file } => {
            let proposed = read_proposed(&file)?;
            let messages = proposed.messages(&session.profile.author_signing_key()?)?;
            let encode = |(position, message)| sillage_client::author::encode(message, position);
            let records = messages.into_iter().enumerate().map(|(at, message)| encode((at, message)));
            let records = records.collect::<Result<Vec<_>, _>>()?;
            let receipt = open_recorder(&session, None).await?.send_attended(records).await?;
            return print(&receipt, json!({"submitted": file, "signatures": proposed.signatures()}));
        }
    }
    Ok(Ended::Done)
}
