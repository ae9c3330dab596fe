//! `import --fhir`: audit events of other systems in, one line of result for each record or refusal, in their order.
//!
//! A document that can't be imported doesn't stop the others. The same import again sends nothing twice: each record is
//! known by its document and content.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use sillage_rules::ident::{Checks, Ins, Source as IdentSource};
use sillage_rules::limits::{BATCH_BYTES_MAX, SALT_BYTES};
use sillage_rules::record::check_time;

use super::args::ImportArgs;
use super::record::{Recorder, now_ms};
use super::{Context, Ended, output};
use crate::author::{NewRecord, TagRequest, encode, fitting, prepare};
use crate::error::ClientError;
use crate::fhir::source::{Document, documents, files};
use crate::fhir::{FhirError, MappedRecord, PatientMap, map};
use crate::outbox::Source;
use crate::outbox::source::DocumentKey;

/// Records of one batch.
const BATCH_RECORDS: usize = 1_000;

/// Codes by which the ledger refuses one record and not its whole batch's author.
const OF_ONE_RECORD: [&str; 8] = [
    "MALFORMED_RECORD",
    "UNKNOWN_KIND",
    "KIND_RESERVED",
    "RECORD_TOO_LARGE",
    "TIME_AHEAD",
    "INVALID_INS",
    "TEST_INS_REFUSED",
    "TAG_OUT_OF_RANGE",
];

pub async fn run(context: &Context, args: ImportArgs) -> Result<Ended, ClientError> {
    let patients = PatientMap::load(args.patient_map.as_deref(), args.demo_patients)?;
    let session = context.session().await?;
    let checks = Checks { test_log: session.genesis.test_log, source: IdentSource::Import };
    let recorder = Recorder::open(&session, None).await?;
    let mut import = Import { recorder, checks, seen: HashMap::new(), chunk: Vec::new(), bytes: 0, failed: false };
    for (path, unreadable) in files(&args.fhir) {
        let bytes = match unreadable.map_or_else(|| std::fs::read(&path).map_err(|e| e.to_string()), Err) {
            Ok(bytes) => bytes,
            Err(why) => {
                import.refuse(&path, None, FhirError::new("", format!("cannot read the file: {why}")));
                continue;
            }
        };
        let found = documents(&path, &bytes);
        if found.is_empty() {
            output::note(&format!("{}: no entry to import", path.display()));
        }
        for document in found {
            import.take(&path, document, &patients).await?;
        }
    }
    import.flush().await?;
    Ok(if import.failed { Ended::CheckFailed } else { Ended::Done })
}

/// One line of output to be.
struct Line {
    file: PathBuf,
    entry: Option<usize>,
    what: What,
}

enum What {
    /// To be sent, with the document it was made from.
    Record(Box<(MappedRecord, Vec<u8>)>),
    Recorded(u64),
    Refused(FhirError),
}

impl Line {
    fn to_json(&self) -> String {
        let mut out = serde_json::Map::new();
        out.insert("file".to_owned(), json!(self.file.display().to_string()));
        if let Some(entry) = self.entry {
            out.insert("entry".to_owned(), json!(entry));
        }
        match &self.what {
            What::Recorded(index) => drop(out.insert("index".to_owned(), json!(index))),
            What::Refused(error) => {
                out.insert("error".to_owned(), json!(error.reason));
                out.insert("path".to_owned(), json!(error.path));
            }
            What::Record(_) => unreachable!("every record of a chunk was sent or refused before it is printed"),
        }
        serde_json::Value::Object(out).to_string()
    }
}

struct Import {
    recorder: Recorder,
    checks: Checks,
    /// How often each key without occurrence was met in this run.
    seen: HashMap<DocumentKey, u64>,
    chunk: Vec<Line>,
    bytes: usize,
    failed: bool,
}

impl Import {
    fn refuse(&mut self, file: &Path, entry: Option<usize>, error: FhirError) {
        self.failed = true;
        self.chunk.push(Line { file: file.to_owned(), entry, what: What::Refused(error) });
    }

    async fn take(&mut self, file: &Path, document: Document, patients: &PatientMap) -> Result<(), ClientError> {
        let entry = document.entry;
        let mapped = document.json.and_then(|json| {
            let records = map(&json, patients)?;
            records.iter().try_for_each(|record| self.check(file, record))?;
            Ok((json, records))
        });
        match mapped {
            Err(error) => self.refuse(file, entry, error),
            Ok((json, records)) => {
                for record in records {
                    self.bytes += record.record.original.as_ref().map_or(0, |o| o.content.len()) + 4_096 + SALT_BYTES;
                    let what = What::Record(Box::new((record, json.clone())));
                    self.chunk.push(Line { file: file.to_owned(), entry, what });
                }
            }
        }
        if self.chunk.len() >= BATCH_RECORDS || self.bytes > BATCH_BYTES_MAX / 2 {
            self.flush().await?;
        }
        Ok(())
    }

    /// Everything that can be known before the identity is resolved.
    fn check(&self, file: &Path, mapped: &MappedRecord) -> Result<(), FhirError> {
        if let Some(patient) = &mapped.patient {
            let refused =
                |error: sillage_rules::ident::IdentError| FhirError::new("", format!("{}: {error}", error.code()));
            let (_, doubt) = Ins::check(&patient.ins, &patient.oid, self.checks).map_err(refused)?;
            if let Some(doubt) = doubt {
                output::note(&format!("{}: {doubt}", file.display()));
            }
        }
        let mut record = mapped.record.clone();
        record.tag = mapped.patient.iter().flat_map(|_| [0xff; 32]).collect();
        encode(record, 0).map_err(|error| FhirError::new("", error.to_string()))?;
        check_time(mapped.record.occurred_at_ms, now_ms())
            .map_err(|error| FhirError::new("AuditEvent.recorded", format!("{}: {}", error.code, error.message)))
    }

    /// Sends what is gathered and prints its lines.
    async fn flush(&mut self) -> Result<(), ClientError> {
        let mut waiting: Vec<usize> = Vec::new();
        let mut records = Vec::new();
        for (i, line) in self.chunk.iter().enumerate() {
            if let What::Record(boxed) = &line.what {
                let (mapped, _) = boxed.as_ref();
                let patient = mapped.patient.as_ref();
                let patient = patient.map(|p| TagRequest { ins: p.ins.clone(), oid: p.oid.clone(), secret: false });
                records.push(NewRecord { patient, record: mapped.record.clone() });
                waiting.push(i);
            }
        }
        let encoded = prepare(&self.recorder.tags, records).await?;
        let mut todo: Vec<(usize, DocumentKey, Vec<u8>)> = Vec::new();
        for (i, record) in waiting.into_iter().zip(encoded) {
            let What::Record(boxed) = &self.chunk[i].what else { continue };
            let occurrence = self.seen.entry(DocumentKey::new(&boxed.1, &record, 0)).or_insert(0);
            let key = DocumentKey::new(&boxed.1, &record, *occurrence);
            *occurrence += 1;
            match self.recorder.stream.outbox().and_then(|outbox| outbox.done().of_document(&key)) {
                Some((index, _)) => self.chunk[i].what = What::Recorded(index),
                None => todo.push((i, key, record)),
            }
        }
        while !todo.is_empty() {
            todo = self.send(todo).await?;
        }
        let lines: Vec<String> = self.chunk.iter().map(Line::to_json).collect();
        output::lines(&lines)?;
        self.chunk.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Sends one batch; gives back what isn't sent or refused yet.
    async fn send(
        &mut self,
        mut todo: Vec<(usize, DocumentKey, Vec<u8>)>,
    ) -> Result<Vec<(usize, DocumentKey, Vec<u8>)>, ClientError> {
        let records: Vec<Vec<u8>> = todo.iter().take(BATCH_RECORDS).map(|(_, _, record)| record.clone()).collect();
        let count = fitting(&records);
        let keys = todo.iter().take(count).map(|(_, key, _)| *key).collect();
        let sent = self.recorder.send(records.into_iter().take(count).collect(), Source::Keys(keys)).await;
        match sent {
            Ok(receipt) => {
                let rest = todo.split_off(count);
                for ((i, ..), index) in todo.into_iter().zip(receipt.first_index..) {
                    self.chunk[i].what = What::Recorded(index);
                }
                Ok(rest)
            }
            Err(ClientError::Rejected(rejection)) if OF_ONE_RECORD.contains(&rejection.code.as_str()) => {
                let at = (rejection.position as usize).min(todo.len() - 1);
                let (i, ..) = todo.remove(at);
                let error = FhirError::new("", format!("{}: {}", rejection.code, rejection.message));
                self.chunk[i].what = What::Refused(error);
                self.failed = true;
                Ok(todo)
            }
            Err(error) => Err(error),
        }
    }
}
