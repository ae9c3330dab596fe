//! `emergency-mode`: an establishment goes on while the ledger is out of reach.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use sillage_client::author::tags_of;
use sillage_client::consent::known::{AsOf, Fetched};
use sillage_client::consent::who::{Acting, Short};
use sillage_client::emergency_mode::{EmergencyMode, HandedIn, LocalAsk, LocalEvent, Summary, keep};
use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read};
use sillage_rules::ident::Ins;
use sillage_rules::line::{PatientLine, RecordLine};
use sillage_words::decision::reason;
use sillage_words::sentence::clean;
use sillage_words::time::spoken;
use sillage_words::{Lang, words};

use crate::arguments::Whose;
use crate::arguments::reading::{ins, items, somebody};
use crate::lang::{langs, of_environment};
use crate::{Context, Ended, output};

/// The folder of an emergency.
#[derive(Debug, Clone, Args)]
pub struct Dir {
    /// Folder of the emergency: its log holds health data, only its owner may read it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum EmergencyModeCommand {
    /// While the ledger can be reached: keep what it knows of a patient, for when it can't
    Keep {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        whose: Whose,
    },
    /// Begin: the ledger is out of reach. Needs no network, as all of these but `keep` and `hand-in`
    Start {
        #[command(flatten)]
        dir: Dir,
        /// Why, for the record: patients will read it
        #[arg(long)]
        reason: String,
        /// Local rules (TOML); without them, break-glass alone
        #[arg(long, value_name = "F")]
        rules: Option<PathBuf>,
    },
    /// Decide by the local rules; on disk before it is answered
    Decide(DecideArgs),
    /// Note what was done: accesses, movements, break-glass, one record a line as for `record`
    Record {
        #[command(flatten)]
        dir: Dir,
        /// The events; `-` is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what was done so far, and whether the log is whole
    Status {
        #[command(flatten)]
        dir: Dir,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
    /// The ledger is there again: put everything on record, each line once, and raise the alarm
    HandIn {
        #[command(flatten)]
        dir: Dir,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

#[derive(Debug, Args)]
pub struct DecideArgs {
    #[command(flatten)]
    pub dir: Dir,
    /// The actor who would do it: an RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub actor: String,
    /// Profession of the actor
    #[arg(long, value_name = "TOKEN")]
    pub actor_profession: Option<String>,
    /// Structure for which the actor acts
    #[arg(long, value_name = "ID")]
    pub actor_organisation: Option<String>,
    /// The actor as a person reads it
    #[arg(long, value_name = "TEXT")]
    pub actor_label: Option<String>,
    #[command(flatten)]
    pub whose: Whose,
    /// read, search, download, …
    #[arg(long, value_name = "A")]
    pub action: String,
    /// Why; BTG for a break-glass, which must have been recorded
    #[arg(long, value_name = "P")]
    pub purpose: String,
    /// Ids, comma-separated, or a JSON file
    #[arg(long, value_name = "F|I,...")]
    pub items: String,
    /// These documents are secret from representatives; needed only where the establishment doesn't know it
    #[arg(long)]
    pub secret: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

pub async fn run(context: &Context, command: EmergencyModeCommand) -> Result<Ended, ClientError> {
    match command {
        EmergencyModeCommand::Keep { dir, whose } => return keep_one(context, &dir.dir, &whose).await,
        EmergencyModeCommand::Start { dir, reason, rules } => {
            let rules = rules.map(|path| read(&path)).transpose()?.unwrap_or_default();
            let rules = String::from_utf8(rules).map_err(|_| ClientError::Usage("--rules is not text".to_owned()))?;
            let mode = EmergencyMode::start(&context.profile()?, &dir.dir, &reason, &rules)?;
            output::line(&json!({"emergency": mode.log().id()}).to_string())?;
        }
        EmergencyModeCommand::Decide(args) => decide(&context.profile()?, &args)?,
        EmergencyModeCommand::Record { dir, file } => record(&context.profile()?, &dir.dir, &file)?,
        EmergencyModeCommand::Status { dir, json, lang } => {
            let mode = EmergencyMode::open(&context.profile()?, &dir.dir)?;
            status(&mode, json, lang)?;
        }
        EmergencyModeCommand::HandIn { dir, json, lang } => {
            let mut mode = EmergencyMode::open(&context.profile()?, &dir.dir)?;
            if mode.log().is_handed_in() {
                status(&mode, json, lang)?;
                return Ok(Ended::Done);
            }
            let session = context.session().await?;
            let handed_in = mode.hand_in(&session).await?;
            return report(&handed_in, json, lang);
        }
    }
    Ok(Ended::Done)
}

fn patient_line(patient: &Ins) -> PatientLine {
    PatientLine { ins: patient.value().to_owned(), oid: patient.oid().as_str().to_owned() }
}

async fn keep_one(context: &Context, dir: &Path, whose: &Whose) -> Result<Ended, ClientError> {
    let patient = ins(&context.profile()?, &whose.patient, whose.oid.as_deref())?;
    let session = context.session().await?;
    let tags = tags_of(&session).both(patient.value(), patient.oid().as_str()).await?;
    let fetched = Fetched::fetch(&session.client, tags, AsOf::Now).await?;
    // What can't be understood isn't kept.
    let known = fetched.clone().fold(session.genesis.late_after_ms)?;
    keep::keep(dir, &patient_line(&patient), &fetched)?;
    let records: usize = known.sides().map(|(side, _)| side.records.len()).sum();
    if records == 0 {
        output::note(
            "nothing on record decides for this patient: that is kept; if something should be, look whether the INS and its OID are right",
        );
    }
    output::line(&json!({"kept": true, "as_of": known.as_of_size, "records": records}).to_string())?;
    Ok(Ended::Done)
}

fn decide(profile: &Profile, args: &DecideArgs) -> Result<(), ClientError> {
    let name = somebody(profile, "--actor", &args.actor, Short::Any)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (profession, organisation) = (text(&args.actor_profession), text(&args.actor_organisation));
    let actor = Acting::new(&name, &profession, &organisation, &text(&args.actor_label)).actor;
    let ask = LocalAsk {
        patient: patient_line(&ins(profile, &args.whose.patient, args.whose.oid.as_deref())?),
        actor: actor.into(),
        action: args.action.clone(),
        purpose: args.purpose.clone(),
        items: items(&args.items)?,
        secret: args.secret,
    };
    let mut mode = EmergencyMode::open(profile, &args.dir.dir)?;
    let decided = mode.decide(&ask)?;
    if args.json {
        let outcomes: Vec<_> =
            decided.items.iter().map(|item| json!({"id": item.item.id, "permit": item.permit})).collect();
        return output::line(&json!({"items": outcomes, "known_to": decided.known_to}).to_string());
    }
    let (yes, no) = match args.lang {
        Lang::Fr => ("autorisé", "introuvable"),
        Lang::En => ("permitted", "not found"),
    };
    let colon = words::pick(args.lang, " :", ":");
    let line = |item: &sillage_client::emergency_mode::log::DecidedItem| {
        let id = clean(&item.item.id);
        match item.permit {
            true => format!("{id}{colon} {yes} ({})", reason(&item.reason, args.lang)),
            false => format!("{id}{colon} {no}"),
        }
    };
    output::lines(&decided.items.iter().map(line).collect::<Vec<_>>())
}

fn record(profile: &Profile, dir: &Path, file: &Path) -> Result<(), ClientError> {
    let bytes = match file.as_os_str() == "-" {
        true => {
            let mut bytes = Vec::new();
            let taken = std::io::stdin().lock().read_to_end(&mut bytes);
            taken.map_err(|error| ClientError::Usage(format!("cannot read standard input: {error}")))?;
            bytes
        }
        false => read(file)?,
    };
    let mut mode = EmergencyMode::open(profile, dir)?;
    for (number, text) in (1..).zip(bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii)) {
        if text.is_empty() {
            continue;
        }
        let wrong = |error: ClientError| match error {
            ClientError::Rejected(mut rejection) => {
                rejection.message = format!("line {number}: {}; the lines before it are in the log", rejection.message);
                ClientError::Rejected(rejection)
            }
            error => error,
        };
        let line =
            RecordLine::parse(text).map_err(|error| wrong(ClientError::rejected(error.code, error.to_string())))?;
        let (seq, doubts) = mode.record(line).map_err(wrong)?;
        doubts.iter().for_each(|doubt| output::note(&format!("line {number}: {doubt}")));
        output::line(&json!({"line": seq}).to_string())?;
    }
    Ok(())
}

fn status(mode: &EmergencyMode, json: bool, lang: Lang) -> Result<(), ClientError> {
    let log = mode.log();
    let summary = Summary::of(log);
    let lines = log.events().len();
    let handed_in = log.events().last().and_then(|event| match &event.event {
        LocalEvent::HandedIn { records, index, .. } => Some((*records, *index)),
        _ => None,
    });
    if json {
        return output::line(
            &json!({
                "emergency": log.id(), "reason": log.reason(), "lines": lines, "head": log.head(), "summary": summary,
                "handed_in": handed_in.map(|(records, index)| json!({"records": records, "index": index})),
            })
            .to_string(),
        );
    }
    let mut out = vec![told(&summary, log.reason(), lang)];
    out.push(match (handed_in, lang) {
        (None, Lang::Fr) => format!("{lines} lignes, intactes, à remettre au registre."),
        (None, Lang::En) => format!("{lines} lines, whole, to be handed in to the ledger."),
        (Some((records, index)), Lang::Fr) => {
            format!("Remis au registre : {records} enregistrements, bilan sous le n° {index}.")
        }
        (Some((records, index)), Lang::En) => {
            format!("Handed in to the ledger: {records} records, summed up in no. {index}.")
        }
    });
    output::lines(&out)
}

fn told(summary: &Summary, why: &str, lang: Lang) -> String {
    let (began, ended) = (spoken(summary.began.0, lang), spoken(summary.ended.0, lang));
    let Summary { accesses, patients, breakglasses, unjustified, decided, refused_items, .. } = summary;
    let why = clean(why);
    match lang {
        Lang::Fr => format!(
            "Mode d'urgence du {began} au {ended} ({why}) : {accesses} accès, {patients} patient(s), {breakglasses} bris de \
             glace dont {unjustified} à justifier, {decided} demande(s) tranchée(s) sur place, {refused_items} document(s) refusé(s)."
        ),
        Lang::En => format!(
            "Emergency mode from {began} to {ended} ({why}): {accesses} access(es), {patients} patient(s), {breakglasses} \
             break-glass(es), {unjustified} of them to be justified, {decided} request(s) decided on the spot, {refused_items} \
             document(s) refused."
        ),
    }
}

fn report(handed_in: &HandedIn, json: bool, lang: Lang) -> Result<Ended, ClientError> {
    let HandedIn { records, refused, index, summary } = handed_in;
    output::note(&format!(
        "{} {}",
        words::pick(lang, "ALARME :", "ALARM:"),
        told(summary, "", lang).replace(" ()", "")
    ));
    for line in refused {
        output::note(&match lang {
            Lang::Fr => format!("ligne {} refusée par le registre : {}", line.seq, line.code),
            Lang::En => format!("line {} refused by the ledger: {}", line.seq, line.code),
        });
    }
    if json {
        let refused: Vec<_> = refused.iter().map(|line| json!({"line": line.seq, "code": line.code})).collect();
        output::line(&json!({"records": records, "refused": refused, "index": index, "summary": summary}).to_string())?;
    } else {
        output::line(&match lang {
            Lang::Fr => format!("Remis au registre : {records} enregistrements, bilan sous le n° {index}."),
            Lang::En => format!("Handed in to the ledger: {records} records, summed up in no. {index}."),
        })?;
    }
    Ok(if refused.is_empty() { Ended::Done } else { Ended::CheckFailed })
}
