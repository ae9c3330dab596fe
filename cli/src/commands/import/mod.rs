//! `import --fhir`: audit events and consents of other systems in, one line of result for each record or refusal, in
//! their order.
//!
//! [`sillage_client::import`] records them. Here are the files that they come from, and the lines that are printed. A document that
//! can't be imported doesn't stop the others. The same import again sends nothing twice.

mod files;
mod line;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sillage_client::error::ClientError;
use sillage_client::import::{Became, Import};
use sillage_fhir::import::FhirError;
use sillage_fhir::import::source::{Document, documents};
use sillage_words::Lang;

use self::files::{files, patient_map};
use self::line::{noted, printed, said};
use crate::lang::of_remarks;
use crate::recorder::open_recorder;
use crate::{Context, Ended, output};

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// FHIR R4 AuditEvents (IHE BALP) and Consents (IHE PCF): files, folders, Bundles, NDJSON
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub fhir: Vec<PathBuf>,
    /// Reference → INS, as JSON object or CSV `reference,ins[,oid]`
    #[arg(long, value_name = "FILE")]
    pub patient_map: Option<PathBuf>,
    /// The FHIR server of files without `fullUrl`, and of `Patient/1` in the map: an event with an id is recorded once for each
    /// server
    #[arg(long, value_name = "URL", default_value = "")]
    pub source: String,
    /// Give patients without an INS a demonstration identity made from their reference (test logs only): each line of result
    /// names it as `demo_patient`
    #[arg(long)]
    pub demo_patients: bool,
}

/// Where a document is from.
#[derive(Debug, Clone)]
struct From {
    file: Arc<Path>,
    /// Its position in a Bundle or NDJSON, from 0.
    entry: Option<usize>,
}

pub async fn run(context: &Context, args: ImportArgs) -> Result<Ended, ClientError> {
    let patients = patient_map(args.patient_map.as_deref(), args.demo_patients).map_err(in_words)?;
    let patients = patients.of_server(&args.source);
    let session = context.session().await?;
    let mut recorder = open_recorder(&session, None).await?;
    let import = Import::new(&session, &mut recorder, &patients, args.source.as_str());
    let mut printing = Printing { import, failed: false, demo: args.demo_patients, lang: of_remarks() };
    for (path, unreadable) in files(&args.fhir) {
        let file: Arc<Path> = path.as_path().into();
        let bytes = match unreadable.map_or_else(|| files::read(&path), Err) {
            Ok(bytes) => bytes,
            Err(why) => {
                printing.take(From { file, entry: None }, Document::unreadable(FhirError::new("", why))).await?;
                continue;
            }
        };
        let found = documents(&path, &bytes);
        if found.is_empty() {
            output::note(&said(&format!("{}: no entry to import", path.display()), printing.lang));
        }
        printing.import.announce(&From { file: Arc::clone(&file), entry: None }, &found);
        for document in found {
            printing.take(From { file: Arc::clone(&file), entry: document.entry }, document).await?;
        }
    }
    let sent = printing.import.flush().await;
    printing.print()?;
    sent?;
    Ok(if printing.failed { Ended::CheckFailed } else { Ended::Done })
}

/// The same of a file of the command, in the language that was chosen.
fn in_words(error: ClientError) -> ClientError {
    match error {
        ClientError::File { what, path, why } => ClientError::File { what, path, why: said(&why, of_remarks()) },
        error => error,
    }
}

/// An import whose outcomes are printed as they come.
struct Printing<'a> {
    import: Import<'a, From>,
    failed: bool,
    /// True if demonstration identities are made.
    demo: bool,
    /// The language of what isn't imported, and why.
    lang: Lang,
}

impl Printing<'_> {
    async fn take(&mut self, from: From, document: Document) -> Result<(), ClientError> {
        let taken = self.import.take(from, document).await;
        // What is on record is printed, also where something broke the import off after it.
        self.print()?;
        taken
    }

    fn print(&mut self) -> Result<(), ClientError> {
        self.import.remarks().iter().for_each(|remark| output::note(&noted(remark, self.lang)));
        let outcomes = self.import.outcomes();
        self.failed |= outcomes.iter().any(|outcome| matches!(outcome.became, Became::Refused(_)));
        let lines: Vec<String> = outcomes.iter().map(|outcome| printed(outcome, self.demo, self.lang)).collect();
        if lines.is_empty() { Ok(()) } else { output::lines(&lines) }
    }
}
