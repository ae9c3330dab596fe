//! `export --patient`: a patient's whole trace and directives as a file, for other systems or for a person.
//!
//! Reading it is on record, as every reading is; the file is for its owner's eyes only.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use sillage_client::author::tags_of;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::parts::oldest_first;
use sillage_client::profile::{refuse_existing, write_new};
use sillage_client::session::Session;
use sillage_client::trace::{TracedLine, read_page};
use sillage_fhir::csv::csv;
use sillage_fhir::export::{Directives, Line, Subject, Trace, accesses, bundle, rule};
use sillage_rules::entry::Entry;
use sillage_rules::line::{ErasedLine, OpenedContent, PatientLine, TraceLineJson};
use sillage_rules::time::TimeMs;

use crate::arguments::reading::ins;
use crate::commands::trace::voided_line;
use crate::{Context, Ended, output, unknown};

#[derive(Debug, Args)]
pub struct ExportPatientArgs {
    /// INS of the patient, 15 characters: the whole trace and the directives (the reading is on record)
    #[arg(long, value_name = "INS")]
    pub patient: String,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// A FHIR R4 Bundle, NDJSON as `trace --json` prints it, or CSV (docs/fhir.md)
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Where to: a new file that only its owner may read
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Fhir,
    Json,
    Csv,
}

/// Lines of a page: the ledger's own bound.
const PAGE: u32 = 500;

pub async fn run(context: &Context, args: ExportPatientArgs) -> Result<Ended, ClientError> {
    let ins = ins(&context.profile()?, &args.patient, args.oid.as_deref())?;
    // Before anything is read: the reading would be on record for nothing.
    refuse_existing(&args.out)?;
    let session = context.session().await?;
    let subject = Subject { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() };
    let traced = read(&session, &subject).await?;
    unknown::warn_of(&subject.ins, traced.len(), args.force);
    let trace = Trace {
        origin: session.origin.to_string(),
        read_at_ms: now_ms(),
        lines: traced.iter().map(line).collect(),
        subject,
    };
    let text = match args.format {
        ExportFormat::Fhir => format!("{:#}\n", bundle(&trace)),
        ExportFormat::Csv => csv(&trace),
        ExportFormat::Json => ndjson(&traced, &trace),
    };
    write_new(&args.out, text.as_bytes(), 0o600)?;
    let directives = Directives::of(&trace.lines);
    let said = json!({
        "file": args.out.display().to_string(),
        "events": accesses(&trace.lines).len(),
        "directives": directives.iter().count(),
        "rules": rule::held(&directives, &trace).len(),
    });
    output::line(&said.to_string())?;
    Ok(Ended::Done)
}

/// Every line of both traces, oldest first.
async fn read(session: &Session, subject: &Subject) -> Result<Vec<TracedLine>, ClientError> {
    let (open, secret) = tags_of(session).both(&subject.ins, &subject.oid).await?;
    let request = sillage_proto::v1::TraceRequest::default();
    let (mut lines, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = read_page(session, &request, &open, secret.as_ref(), cursor.as_deref(), PAGE).await?;
        lines.extend(page.lines);
        cursor = page.next_cursor;
        if cursor.is_none() {
            lines.reverse();
            return Ok(lines);
        }
    }
}

fn line(traced: &TracedLine) -> Line {
    let entry = &traced.line.entry;
    Line {
        index: entry.index.get(),
        recorded_at_ms: entry.time.get(),
        flags: entry.flags,
        kind: entry.kind,
        record: traced.line.record.clone(),
        decision: traced.line.decision.clone(),
        erased: traced.line.erased.clone(),
        voided_by: traced.line.voided.as_ref().map(|by| by.index),
        author: traced.line.author.clone(),
        secret: traced.secret,
    }
}

/// The lines as `trace --json` prints them, then the directives with what became of them.
fn ndjson(traced: &[TracedLine], trace: &Trace) -> String {
    let patient = PatientLine { ins: trace.subject.ins.clone(), oid: trace.subject.oid.clone() };
    let mut out = String::new();
    for access in oldest_first(traced) {
        let TracedLine { line, secret } = access.first();
        let opened = match (&line.record, &line.decision) {
            (Some(record), _) => OpenedContent::Record(record),
            (None, Some(decision)) => OpenedContent::Decision(decision),
            (None, None) => OpenedContent::Nothing,
        };
        let erased = line.erased.as_ref().map(|by| ErasedLine {
            index: by.index,
            time: TimeMs(by.time_ms),
            ground: by.ground.clone(),
        });
        let entry = Entry::Record(line.entry.clone());
        let patient = Some(patient.clone());
        let voided = line.voided.as_ref().map(voided_line);
        let shown = TraceLineJson::new(&entry, &line.author, opened, erased, patient, *secret);
        out += &access.put_into(TraceLineJson { voided, author_id: line.author_id, ..shown }.to_json());
        out.push('\n');
    }
    for history in Directives::of(&trace.lines).iter() {
        let entry = history.entry;
        let details: serde_json::Value = serde_json::from_str(&entry.directive.to_details()).unwrap_or_default();
        let mut line = json!({
            "directive": details,
            "index": entry.stamp.index.get(),
            "recorded_at": TimeMs(entry.stamp.time.get()),
            "in_force": entry.period.contains(trace.read_at_ms.into()),
            "from": TimeMs(entry.period.from.get()),
        });
        let until = entry.period.until;
        if until != sillage_rules::consent::state::FOR_EVER {
            line["until"] = json!(TimeMs(until.get()));
        }
        if let Some(by) = entry.ended_by {
            line["ended_by"] = json!(by.get());
        }
        if history.secret {
            line["secret"] = json!(true);
        }
        out += &line.to_string();
        out.push('\n');
    }
    out
}
