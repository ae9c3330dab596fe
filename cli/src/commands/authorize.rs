//! `authorize`: asks the ledger, and checks what others were answered.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use sillage_client::author::tags_of;
use sillage_client::authorize::receipt::ReceiptFile;
use sillage_client::authorize::release::{Wanted, check};
use sillage_client::authorize::{Ask, Granted, authorize};
use sillage_client::clock::now_ms;
use sillage_client::consent::who::Short;
use sillage_client::error::{ClientError, Rejection};
use sillage_client::profile::{Profile, read};
use sillage_proof::batch::Origin;
use sillage_proof::keys::PublicKey;
use sillage_proof::policy::Policy;
use sillage_proto::v1;
use sillage_rules::cosigner::GROUP_NODES;
use sillage_rules::line::{ActorLine, AuthLine, CorrelationLine, ItemLine, PatientLine};
use sillage_words::decision::obligation;
use sillage_words::phrase::list;
use sillage_words::sentence::clean;
use sillage_words::time::{rfc3339, spoken};
use sillage_words::{Lang, words};

use crate::arguments::By;
use crate::arguments::reading::{acting, identity, ins, items, somebody};
use crate::errors::why_not;
use crate::lang::{langs, of_environment, of_remarks};
use crate::{Context, Ended, output};

/// The actor. Unlike where something is changed, nobody is assumed.
const ACTOR_HELP: &str = "`self` (the patient), an RPPS number, or `system|id`";

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    mut_arg("actor", |arg| arg.required_unless_present("bulk").help(ACTOR_HELP))
)]
pub struct AuthorizeArgs {
    #[command(subcommand)]
    pub command: Option<AuthorizeCommand>,
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS", required_unless_present = "bulk")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// read, search, write, update, download, print, export or delete
    #[arg(long, value_name = "A", required_unless_present = "bulk")]
    pub action: Option<String>,
    /// Why: TREAT, BTG, PATRQT, HRESCH, …
    #[arg(long, value_name = "P", required_unless_present = "bulk")]
    pub purpose: Option<String>,
    /// Ids, comma-separated, or a JSON file with `[{"id", "category", "labels", "depositor"}]`
    #[arg(long, value_name = "F|I,...", required_unless_present = "bulk")]
    pub items: Option<String>,
    /// Instead of one request, up to 64 of them under one signature: one JSON object a line, `{"actor": {"system", "id",
    /// "role", …}, "patient": {"ins", "oid"}, "action", "purpose", "items": [{"id", …}]}`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["actor", "patient", "action", "purpose", "items", "out"])]
    pub bulk: Option<PathBuf>,
    /// Write the signed receipt here: whoever holds it can be given the documents until it expires
    #[arg(long, value_name = "F.sillage-receipt")]
    pub out: Option<PathBuf>,
    /// As JSON, one object for each request; `receipt_file` is what --out writes, in hex
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
    #[command(flatten)]
    pub by: By,
}

#[derive(Debug, Subcommand)]
pub enum AuthorizeCommand {
    /// No receipt, no data: check whether a record store may give these documents to this actor. Exit 1: it may not
    Check(CheckArgs),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["patient", "tag"])))]
pub struct CheckArgs {
    /// The receipt that the actor shows
    #[arg(long, value_name = "F.sillage-receipt")]
    pub receipt: PathBuf,
    /// The actor who asks for the data
    #[arg(long, value_name = "ID")]
    pub actor: String,
    /// INS of the patient: resolved by the ledger
    #[arg(long, value_name = "INS")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// The patient's tag, hex, where the store knows it: then nothing is asked of the ledger; repeatable
    #[arg(long, value_name = "HEX")]
    pub tag: Vec<String>,
    /// The action; without it, the one in the receipt
    #[arg(long, value_name = "A")]
    pub action: Option<String>,
    /// With which documents: all of them must be permitted
    #[arg(long, value_delimiter = ',', required = true, value_name = "I,...")]
    pub items: Vec<String>,
    /// Policy of the signatures that count (c2sp.org/tlog-policy); without it, the nodes of the profile's log
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub async fn run(context: &Context, args: AuthorizeArgs) -> Result<Ended, ClientError> {
    if let Some(AuthorizeCommand::Check(check)) = &args.command {
        return release(context, check).await;
    }
    if let Some(path) = args.out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        let why = format!("{} is there already: name a new file with --out; nothing was asked", path.display());
        return Err(ClientError::Usage(why));
    }
    let profile = context.profile()?;
    let asks = match &args.bulk {
        Some(file) => bulk(&profile, file)?,
        None => vec![one(&profile, &args)?],
    };
    let ids: Vec<Vec<String>> = asks.iter().map(|ask| ask.items.iter().map(|i| i.id.clone()).collect()).collect();
    let session = context.session().await?;
    let answers = authorize(&session, asks).await?;
    if let (Some(path), [Ok(granted)]) = (&args.out, answers.as_slice()) {
        let file = ReceiptFile { origin: session.origin.clone(), receipts: granted.receipts.clone() };
        write(path, &file)?;
    }
    let single = args.bulk.is_none();
    for (answer, asked) in answers.into_iter().zip(&ids) {
        match answer {
            Err(rejection) if single => return Err(ClientError::Rejected(rejection)),
            answer if args.json => output::line(&to_json(&session.origin, &answer).to_string())?,
            answer => output::lines(&lines(&answer, asked, args.lang))?,
        }
    }
    Ok(Ended::Done)
}

fn one(profile: &Profile, args: &AuthorizeArgs) -> Result<Ask, ClientError> {
    // The command line asks for each of them by name; none of them is assumed.
    let named = |option: &str, given: &Option<String>| {
        given.clone().ok_or_else(|| ClientError::Usage(format!("name {option}, or the requests of a --bulk file")))
    };
    named("--actor", &args.by.actor)?;
    let acting = acting(profile, &args.by)?;
    let patient = ins(profile, &named("--patient", &args.patient)?, args.oid.as_deref())?;
    Ok(Ask {
        patient: v1::PatientIdentity { ins: patient.value().to_owned(), oid: patient.oid().as_str().to_owned() },
        actor: acting.actor,
        auth: acting.auth,
        action: named("--action", &args.action)?,
        purpose: named("--purpose", &args.purpose)?,
        items: items(&named("--items", &args.items)?)?,
        correlation: None,
    })
}

/// A line of `--bulk`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskLine {
    actor: ActorLine,
    #[serde(default)]
    auth: Option<AuthLine>,
    patient: PatientLine,
    action: String,
    purpose: String,
    items: Vec<ItemLine>,
    #[serde(default)]
    correlation: Option<CorrelationLine>,
}

fn bulk(profile: &Profile, file: &Path) -> Result<Vec<Ask>, ClientError> {
    let bytes = read(file)?;
    let mut asks = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: AskLine = serde_json::from_slice(line)
            .map_err(|error| ClientError::reading(file, format!("line {number}: {error}; nothing was asked")))?;
        let patient = identity(profile, "patient", &line.patient.ins, Some(&line.patient.oid))?;
        let name = format!("{}|{}", line.actor.system, line.actor.id);
        let name = somebody(profile, &format!("line {number}"), &name, Short::Any)?;
        asks.push(Ask {
            patient: v1::PatientIdentity { ins: patient.value().to_owned(), oid: patient.oid().as_str().to_owned() },
            actor: v1::Actor { id: name.id().to_owned(), ..line.actor.into() },
            auth: line.auth.or_else(|| profile.auth.clone()).map(Into::into),
            action: line.action,
            purpose: line.purpose,
            items: line.items.into_iter().map(Into::into).collect(),
            correlation: line.correlation.map(Into::into),
        });
    }
    match asks.is_empty() {
        true => Err(ClientError::Usage(format!("{} asks nothing", file.display()))),
        false => Ok(asks),
    }
}

/// Writes a receipt: a new file that only its owner may read, for it says who may see whose documents.
fn write(path: &Path, file: &ReceiptFile) -> Result<(), ClientError> {
    sillage_client::profile::write_new(path, &file.encode(), 0o600)
}

fn to_json(origin: &Origin, answer: &Result<Granted, Rejection>) -> Value {
    match answer {
        Err(rejection) => json!({"error": {"code": rejection.code.as_str(), "message": rejection.message}}),
        Ok(granted) => {
            let places = granted.receipts.iter().map(|receipt| {
                json!({
                    "index": receipt.message.index, "recorded_at": rfc3339(receipt.message.time.get()),
                    "expires_at": rfc3339(receipt.view.actor.expires_at_ms),
                })
            });
            let file = ReceiptFile { origin: origin.clone(), receipts: granted.receipts.clone() };
            json!({
                "receipt_file": hex::encode(file.encode()),
                "permitted": granted.permitted, "told": granted.told, "obligations": granted.obligations,
                "expires_at": granted.expires_at_ms().map(rfc3339), "receipts": places.collect::<Vec<_>>(),
            })
        }
    }
}

/// The part that an actor may know: an item that isn't told looks as if it weren't there.
fn lines(answer: &Result<Granted, Rejection>, asked: &[String], lang: Lang) -> Vec<String> {
    let granted = match answer {
        Err(rejection) => return vec![format!("{}: {}", rejection.code, clean(&rejection.message))],
        Ok(granted) => granted,
    };
    let mut out: Vec<String> = asked
        .iter()
        .map(|id| {
            let (permitted, told) = (granted.permitted.contains(id), granted.told.contains(id));
            let (fr, en) = match (permitted, told) {
                (true, _) => ("autorisé", "permitted"),
                (false, true) => {
                    ("non autorisé : déposé par quelqu'un d'autre", "not permitted: deposited by somebody else")
                }
                (false, false) => ("introuvable", "not found"),
            };
            format!("{}{} {}", clean(id), words::pick(lang, " :", ":"), words::pick(lang, fr, en))
        })
        .collect();
    let places: Vec<String> = granted.receipts.iter().map(|receipt| receipt.message.index.to_string()).collect();
    let until = granted.expires_at_ms().map(|ms| spoken(ms, lang)).unwrap_or_default();
    out.push(match lang {
        Lang::Fr => {
            format!("Décision inscrite au registre sous le n° {}, valable jusqu'au {until}.", places.join(", "))
        }
        Lang::En => format!("Decision on record as no. {}, valid until {until}.", places.join(", ")),
    });
    let owed: Vec<String> = granted.obligations.iter().map(|token| obligation(&clean(token), lang)).collect();
    if !owed.is_empty() {
        out.push(format!("{} {}.", words::pick(lang, "À faire :", "To do:"), list(&owed, lang)));
    }
    out
}

/// The keys of the nodes that a policy knows, for the log that the receipt names.
pub(super) fn policy_keys(policy: &Policy, origin: &Origin) -> Result<Vec<PublicKey>, ClientError> {
    let known = policy.logs().iter().any(|log| log.key.name() == origin.as_str());
    if !known {
        let why = format!("the receipt is of the log {origin}, and the policy knows no such log");
        return Err(ClientError::Check(why));
    }
    let keys = policy.group(GROUP_NODES).into_iter().map(|witness| *witness.key.public_key());
    Ok(keys.collect())
}

async fn release(context: &Context, args: &CheckArgs) -> Result<Ended, ClientError> {
    let file = ReceiptFile::parse(&read(&args.receipt)?)?;
    let mut tags = Vec::new();
    for tag in &args.tag {
        let mut bytes = [0; 32];
        hex::decode_to_slice(tag, &mut bytes)
            .map_err(|_| ClientError::Usage("--tag is 64 hexadecimal characters".to_owned()))?;
        tags.push(bytes);
    }
    let session = match (&args.patient, &args.policy) {
        (None, Some(_)) => None,
        (None, None) | (Some(_), _) => Some(context.session().await?),
    };
    if let (Some(patient), Some(session)) = (&args.patient, &session) {
        let patient = ins(&session.profile, patient, args.oid.as_deref())?;
        let (open, secret) = tags_of(session).both(patient.value(), patient.oid().as_str()).await?;
        tags.extend([Some(open), secret].into_iter().flatten().map(|tag| tag.to_bytes()));
    }
    let keys = match (&args.policy, &session) {
        (Some(policy), _) => {
            let policy = Policy::parse(&read(policy)?).map_err(|error| ClientError::reading(policy, error))?;
            policy_keys(&policy, &file.origin)?
        }
        (None, Some(session)) if session.origin == file.origin => session.keys.node_keys(),
        (None, _) => return Err(ClientError::Check(format!("the receipt is of another log: {}", file.origin))),
    };
    file.verify(&keys)?;
    let actor = sillage_client::consent::who::parse(&args.actor, Short::Any)?;
    let wanted =
        Wanted { actor: &actor, tags: &tags, action: args.action.as_deref(), items: &args.items, at_ms: now_ms() };
    let refused = check(&file, &wanted).err();
    let index: Vec<_> = file.receipts.iter().map(|receipt| receipt.message.index).collect();
    if args.json {
        let why = refused.map(|refused| refused.to_string());
        output::line(&json!({"ok": refused.is_none(), "error": why, "index": index}).to_string())?;
    } else if let Some(refused) = refused {
        output::note(&match of_remarks() {
            Lang::Fr => format!("échec de la vérification : {}", why_not(&refused.to_string(), Lang::Fr)),
            Lang::En => format!("check failed: {refused}"),
        });
    } else {
        output::line("ok")?;
    }
    Ok(if refused.is_none() { Ended::Done } else { Ended::CheckFailed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: AuthorizeArgs,
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else() {
        let all =
            [("--actor", "self"), ("--patient", "1"), ("--action", "read"), ("--purpose", "TREAT"), ("--items", "d")];
        for (left_out, _) in all {
            let given =
                all.iter().filter(|(option, _)| *option != left_out).flat_map(|(option, value)| [*option, *value]);
            let error = Cli::try_parse_from(std::iter::once("authorize").chain(given)).expect_err(left_out);
            let text = error.to_string();
            let told = text.split("Usage").next().expect("a beginning");
            let named: Vec<&str> =
                all.iter().map(|(option, _)| *option).filter(|option| told.contains(option)).collect();
            assert_eq!(named, [left_out], "{text}");
        }
        let whole = all.iter().flat_map(|(option, value)| [*option, *value]);
        Cli::try_parse_from(std::iter::once("authorize").chain(whole)).expect("nothing is missing");
        Cli::try_parse_from(["authorize", "--bulk", "f"]).expect("the file names them");
        let check = ["authorize", "check", "--receipt", "r", "--actor", "self", "--patient", "1", "--items", "d"];
        Cli::try_parse_from(check).expect("a record store's question needs none of them");
    }

    #[test]
    fn what_is_not_told_looks_as_if_it_were_not_there() {
        let granted = Granted {
            receipts: vec![],
            permitted: vec!["d1".into()],
            told: vec!["d1".into(), "d2".into()],
            obligations: vec!["JUSTIFY".into()],
        };
        let asked = ["d1", "d2", "masked", "missing"].map(str::to_owned);
        let text = lines(&Ok(granted), &asked, Lang::Fr);
        assert_eq!(text[0], "d1 : autorisé");
        assert!(text[1].starts_with("d2 : non autorisé"));
        assert_eq!(text[2].replace("masked", ""), text[3].replace("missing", ""), "nothing tells them apart");
        assert!(text[5].contains("justifier"));
    }

    #[test]
    fn a_policy_speaks_for_its_own_log_alone() {
        let key = |seed: u8, name: &str, kind| {
            let key = sillage_proof::keys::SigningKey::from_seed(&[seed; 32]);
            sillage_proof::note::SignerKey::new(name, kind, key).expect("a key").verifier().to_string()
        };
        use sillage_proof::note::KeyKind::{CosignatureV1, Ed25519};
        let text = format!(
            "log {}\nwitness n1 {}\nwitness w {}\ngroup nodes 1 n1\nquorum nodes\n",
            key(1, "test/log", Ed25519),
            key(2, "test/log/node-1", CosignatureV1),
            key(3, "witness.example/w", CosignatureV1)
        );
        let policy = Policy::parse(text.as_bytes()).expect("a policy");
        let origin = |name: &str| Origin::new(name).expect("a name");
        let keys = policy_keys(&policy, &origin("test/log")).expect("keys");
        assert_eq!(keys, [sillage_proof::keys::SigningKey::from_seed(&[2; 32]).public_key()], "nodes, not witnesses");
        assert_eq!(policy_keys(&policy, &origin("other/log")).expect_err("another log").exit_code(), 1);
    }
}
