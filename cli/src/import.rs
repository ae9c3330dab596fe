//! `import --fhir`: audit events and consents of other systems in, one line of result for each record or refusal, in
//! their order.
//!
//! A document that can't be imported doesn't stop the others. The same import again sends nothing twice
//! ([`import_known`]).

mod deletions;
mod line;
mod servers;
mod withdrawals;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use sillage_rules::codes::Code;
use sillage_rules::consent::directive::Directive;
use sillage_rules::ident::{Checks, Ins, Source as IdentSource};
use sillage_rules::limits::{BATCH_BYTES_MAX, SALT_BYTES};
use sillage_rules::record::check_time;

use self::deletions::{Deletions, ending};
use self::line::{Line, Noted, What, said};
use super::args::ImportArgs;
use super::import_consents::{self, Replacement, Withdrawn};
use super::import_files::{self, files, patient_map};
use super::import_known::{self, Original, Seen, bare_record, new_record};
use super::import_refusals::of_one_record;
use super::import_rules::{self, InForce};
use super::lang::of_remarks;
use super::record::{Recorder, now_ms};
use super::{Context, Ended, output};
use sillage_client::author::{NewRecord, encode, fitting, prepare};
use sillage_client::error::{ClientError, ErrorCode, Rejection};
use sillage_client::outbox::Source;
use sillage_client::outbox::source::DocumentKey;
use sillage_client::session::Session;
use sillage_fhir::import::consent::revocation;
use sillage_fhir::import::source::{Document, documents};
use sillage_fhir::import::{Ends, FhirError, MappedRecord, PatientMap, map_among};
use sillage_words::Lang;

/// Records of one batch.
const BATCH_RECORDS: usize = 1_000;

/// What is said of an event that becomes no record.
const SKIPPED: &str = "exported from a ledger's own trace and no access: the Consents beside it carry what decides";

pub async fn run(context: &Context, args: ImportArgs) -> Result<Ended, ClientError> {
    let patients = patient_map(args.patient_map.as_deref(), args.demo_patients).map_err(in_words)?;
    let patients = patients.of_server(&args.source);
    let session = context.session().await?;
    let checks = Checks { test_log: session.genesis.test_log, source: IdentSource::Import };
    let recorder = Recorder::open(&session, None).await?;
    let mut import = Import {
        session: &session,
        recorder,
        checks,
        patients: &patients,
        source: args.source,
        seen: Seen::default(),
        groups: PARTS_FROM,
        replaced: HashSet::new(),
        withdrawn: HashMap::new(),
        deletions: Deletions::default(),
        in_force: InForce::default(),
        at_most: None,
        chunk: Vec::new(),
        documents: 0,
        bytes: 0,
        failed: false,
        demo: args.demo_patients,
        lang: of_remarks(),
    };
    let mut is_server_asked = false;
    for (path, unreadable) in files(&args.fhir) {
        let bytes = match unreadable.map_or_else(|| import_files::read(&path), Err) {
            Ok(bytes) => bytes,
            Err(why) => {
                import.refuse(&path, None, FhirError::new("", why));
                continue;
            }
        };
        let found = documents(&path, &bytes);
        if found.is_empty() {
            output::note(&said(&format!("{}: no entry to import", path.display()), import.lang));
        }
        import.ask_for_server(&path, &found, &mut is_server_asked);
        import.deletions.of_file(&found, &import.source);
        for document in found {
            import.take(&path, document).await?;
        }
    }
    import.flush().await?;
    Ok(if import.failed { Ended::CheckFailed } else { Ended::Done })
}

/// The same of a file of the command, in the language that was chosen.
fn in_words(error: ClientError) -> ClientError {
    match error {
        ClientError::File { what, path, why } => ClientError::File { what, path, why: said(&why, of_remarks()) },
        error => error,
    }
}

/// A record that is to be sent.
struct Waiting {
    /// Its line in the chunk.
    line: usize,
    key: DocumentKey,
    record: Vec<u8>,
    /// One Consent, or the parts of one access, are on record as a whole or not at all.
    group: Option<u64>,
    /// Of a Consent.
    of_consent: bool,
}

/// Numbers of groups that are no documents.
const PARTS_FROM: u64 = 1 << 62;

struct Import<'a> {
    session: &'a Session,
    recorder: Recorder,
    checks: Checks,
    patients: &'a PatientMap,
    /// The server that files without `fullUrl` are from.
    source: String,
    /// What was met in this run.
    seen: Seen,
    /// The last group of parts.
    groups: u64,
    /// Consents of this run that end what is on record of them.
    replaced: HashSet<u64>,
    /// Consents of this run that were withdrawn, by whose they are and their first id.
    withdrawn: HashMap<(String, String), Withdrawn>,
    /// Consents of this run that were deleted, where nothing said whose they were.
    deletions: Deletions,
    /// What holds for the patients whose rules were met.
    in_force: InForce,
    /// Records of the next batch, at most: what comes after is looked at when they are on record.
    at_most: Option<usize>,
    chunk: Vec<Line>,
    /// Documents so far.
    documents: u64,
    bytes: usize,
    failed: bool,
    /// Whether demonstration identities are made.
    demo: bool,
    /// The language of what isn't imported, and why.
    lang: Lang,
}

impl Import<'_> {
    fn refuse(&mut self, file: &Path, entry: Option<usize>, error: FhirError) {
        self.failed = true;
        self.push(file, entry, What::Refused(error));
    }

    fn push(&mut self, file: &Path, entry: Option<usize>, what: What) {
        let (file, document) = (file.to_owned(), self.documents);
        let line = Line { file, entry, document, group: None, original: None, parts: 1, differs_from: None, what };
        self.chunk.push(line);
    }

    async fn take(&mut self, file: &Path, document: Document) -> Result<(), ClientError> {
        let (entry, full_url) = (document.entry, document.full_url);
        self.documents += 1;
        if document.is_old {
            self.push(file, entry, What::Skipped(import_consents::SUPERSEDED));
            return Ok(());
        }
        let around = match document.around.base().is_empty() {
            true => document.around.at(&self.source),
            false => document.around,
        };
        let deleted = document.deleted;
        let mapped = document.json.and_then(|json| {
            let mut records = map_among(&json, self.patients, &around);
            if let Some(deleted) = &deleted {
                // Whatever the last version says: what counts is whose it was.
                records = ending(records, deleted, around.base(), entry);
            }
            let records = records?;
            records.iter().try_for_each(|record| self.check(file, record))?;
            Ok((json, records))
        });
        let (json, records) = match mapped {
            Err(error) => {
                deleted.iter().for_each(|deleted| self.deletions.note(deleted, &self.source));
                self.refuse(file, entry, error);
                return Ok(());
            }
            Ok(mapped) => mapped,
        };
        if let Some(mapped) = records.iter().find(|mapped| mapped.secret)
            && !self.may_know(mapped).await?
        {
            self.refuse(file, entry, import_rules::may_not_know(mapped));
            return Ok(());
        }
        let gone = self.deletions.refuse(&records, &json, around.base());
        if let Some(error) = gone.or_else(|| self.withdrawn_since(&records, &json)) {
            self.refuse(file, entry, error);
            return Ok(());
        }
        let withdrawn = records.first().is_some_and(|record| record.ends() == Some(Ends::Revoked));
        let whats = match withdrawn {
            true => self.withdraw(&records, &json).await?,
            false if records.is_empty() => vec![What::Skipped(SKIPPED)],
            false if records.iter().any(import_rules::is_over) => vec![What::Skipped(import_rules::OVER)],
            false => records.into_iter().map(|record| What::Record(Box::new((record, json.clone())))).collect(),
        };
        let original = Rc::new(Original::of(json, around, &full_url, &self.source));
        for what in whats {
            let (mut group, mut parts) = (None, 1);
            if let What::Record(boxed) = &what {
                let mapped = &boxed.0;
                self.bytes += mapped.record.original.as_ref().map_or(0, |o| o.content.len()) + 4_096 + SALT_BYTES;
                parts = mapped.part.count;
                self.groups += u64::from(mapped.part.n == 0);
                group = match mapped.is_of_consent() {
                    true => Some(self.documents),
                    false => (parts > 1).then_some(self.groups),
                };
            }
            self.failed |= matches!(what, What::Refused(_));
            self.push(file, entry, what);
            let line = self.chunk.last_mut().expect("it was pushed");
            (line.group, line.parts, line.original) = (group, parts, Some(Rc::clone(&original)));
        }
        if self.chunk.len() >= BATCH_RECORDS || self.bytes > BATCH_BYTES_MAX / 2 {
            self.flush().await?;
        }
        Ok(())
    }

    /// Whether who imports may write what is kept from representatives.
    async fn may_know(&self, mapped: &MappedRecord) -> Result<bool, ClientError> {
        let Some(patient) = &mapped.patient else { return Ok(true) };
        Ok(self.recorder.tags.both(&patient.ins, &patient.oid).await?.1.is_some())
    }

    /// Everything that can be known before the identity is resolved.
    fn check(&self, file: &Path, mapped: &MappedRecord) -> Result<(), FhirError> {
        if let Some(patient) = &mapped.patient {
            let path = if mapped.is_of_consent() { "Consent.patient" } else { "AuditEvent.entity" };
            let refused =
                |error: sillage_rules::ident::IdentError| FhirError::new(path, format!("{}: {error}", error.code()));
            let (_, doubt) = Ins::check(&patient.ins, &patient.oid, self.checks).map_err(refused)?;
            if let Some(doubt) = doubt {
                output::note(&format!("{}: {}", file.display(), said(&doubt.to_string(), self.lang)));
            }
        }
        let mut record = mapped.record.clone();
        record.tag = mapped.patient.iter().flat_map(|_| [0xff; 32]).collect();
        encode(record, 0).map_err(|error| FhirError::new("", error.to_string()))?;
        check_time(mapped.record.occurred_at_ms, now_ms())
            .map_err(|error| FhirError::new(mapped.time_path, format!("{}: {}", error.code, error.message)))
    }

    /// Sends what is gathered and prints its lines.
    async fn flush(&mut self) -> Result<(), ClientError> {
        let mut todo = self.unknown().await?;
        let mut ended: BTreeMap<u64, u64> = BTreeMap::new();
        for waiting in &todo {
            let What::Record(boxed) = &self.chunk[waiting.line].what else { continue };
            let since = self.in_force.ended_since(self.session, &self.recorder.tags, &boxed.0).await?;
            if let Some((group, by)) = waiting.group.zip(since) {
                ended.entry(group).or_insert(by);
            }
        }
        for (group, by) in ended {
            let (group, rest) = todo.into_iter().partition(|waiting| waiting.group == Some(group));
            todo = rest;
            self.refuse_all(&group, import_rules::ended_here(by));
        }
        todo = self.of_other_servers(todo).await?;
        while !todo.is_empty() {
            todo = self.send(todo).await?;
        }
        self.in_force.forget();
        self.answer_the_same();
        // What a replaced Consent ended stands with it.
        self.chunk.sort_by_key(|line| line.document);
        let lines: Vec<String> = self.chunk.iter().filter_map(|line| line.to_json(self.demo, self.lang)).collect();
        output::lines(&lines)?;
        self.chunk.clear();
        self.bytes = 0;
        Ok(())
    }

    /// The records of the chunk that aren't on record; of the others the lines are answered.
    async fn unknown(&mut self) -> Result<Vec<Waiting>, ClientError> {
        let lines: Vec<usize> =
            (0..self.chunk.len()).filter(|at| matches!(self.chunk[*at].what, What::Record(_))).collect();
        let mut first_of: HashMap<DocumentKey, usize> = HashMap::new();
        let mut todo: Vec<Waiting> = Vec::new();
        for (line, record) in self.prepared(&lines).await? {
            let What::Record(boxed) = &self.chunk[line].what else { continue };
            let mapped = &boxed.0;
            let Some(original) = self.chunk[line].original.clone() else { continue };
            let (key, key_before) = self.seen.key(&original, mapped, &record);
            if let Some(first) = first_of.get(&key).filter(|_| key.resource().is_some()) {
                self.chunk[line].what = What::Same(*first);
                continue;
            }
            first_of.insert(key, line);
            let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
            let mut known = self.seen.place(&key, done);
            known = known.or_else(|| self.seen.place(&key_before?, done));
            if known.is_none() && mapped.rule().is_some() {
                known = self.in_force.already(self.session, &self.recorder.tags, mapped).await?;
            }
            let (group, of_consent) = (self.chunk[line].group, mapped.is_of_consent());
            match known {
                Some(index) => {
                    let found = self.in_force.standing(self.session, &self.recorder.tags, mapped, index).await?;
                    self.recorded(line, &key, index, found);
                }
                None => todo.push(Waiting { line, key, record, group, of_consent }),
            }
        }
        let todo = self.known_before(todo).await?;
        self.with_servers(todo).await
    }

    /// The bytes to sign. Only the records without a tag are refused.
    async fn prepared(&mut self, lines: &[usize]) -> Result<Vec<(usize, Vec<u8>)>, ClientError> {
        let new = |import: &Self, line: usize| match &import.chunk[line].what {
            What::Record(boxed) => Some(bare_record(&boxed.0)),
            _ => None,
        };
        let all = lines.iter().filter_map(|line| new(self, *line)).collect();
        match prepare(&self.recorder.tags, all).await {
            Ok(encoded) => return Ok(lines.iter().copied().zip(encoded).collect()),
            Err(ClientError::Rejected(rejection)) if of_one_record(&rejection.code).is_some() => {}
            Err(error) => return Err(error),
        }
        let mut out = Vec::new();
        for line in lines.iter().copied() {
            let Some(record) = new(self, line) else { continue };
            match prepare(&self.recorder.tags, vec![record]).await {
                Ok(encoded) => out.extend(encoded.into_iter().map(|record| (line, record))),
                Err(ClientError::Rejected(rejection)) if of_one_record(&rejection.code).is_some() => {
                    self.failed = true;
                    let error = FhirError::new("", format!("{}: {}", rejection.code, rejection.message));
                    self.chunk[line].what = What::Refused(error);
                }
                Err(error) => return Err(error),
            }
        }
        // Nothing of a group goes without the rest of it.
        let refused = |import: &Self, group: Option<u64>| {
            let mut others = import.chunk.iter().filter(|other| other.group.is_some() && other.group == group);
            others.any(|other| matches!(other.what, What::Refused(_)))
        };
        let (out, without): (Vec<_>, Vec<_>) =
            out.into_iter().partition(|(line, _)| !refused(self, self.chunk[*line].group));
        without.iter().for_each(|(line, _)| self.chunk[*line].what = What::Nothing);
        Ok(out)
    }

    /// Answers what the version before recorded of the same documents; gives back the rest.
    async fn known_before(&mut self, todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
        if !done.is_some_and(|done| done.has_unnamed()) {
            return Ok(todo);
        }
        // Records of each document, as they were.
        let (mut before, mut records): (Vec<(u64, MappedRecord)>, Vec<NewRecord>) = (Vec::new(), Vec::new());
        let mut documents = HashSet::new();
        let asked = |import: &Self, waiting: &Waiting| match &import.chunk[waiting.line].what {
            What::Record(boxed) => (import.chunk[waiting.line].document, import_known::whose(&boxed.0)),
            _ => (import.chunk[waiting.line].document, String::new()),
        };
        let wanted: HashSet<(u64, String)> = todo.iter().map(|waiting| asked(self, waiting)).collect();
        for waiting in todo.iter().filter(|waiting| !waiting.of_consent) {
            let line = &self.chunk[waiting.line];
            if let Some(original) = line.original.as_ref().filter(|_| documents.insert(line.document)) {
                let mut made = original.before(self.patients);
                made.retain(|mapped| wanted.contains(&(line.document, import_known::whose(mapped))));
                records.extend(made.iter().map(new_record));
                before.extend(made.into_iter().map(|mapped| (line.document, mapped)));
            }
        }
        let encoded = prepare(&self.recorder.tags, records).await?;
        let mut places: HashMap<(u64, String), u64> = HashMap::new();
        for ((document, mapped), record) in before.iter().zip(encoded) {
            let original = self.chunk.iter().find(|line| line.document == *document);
            let Some(original) = original.and_then(|line| line.original.clone()) else { continue };
            let key = self.seen.key_before(&original, &record);
            let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
            if let Some((index, _)) = done.and_then(|done| done.of_document(&key)) {
                places.insert((*document, import_known::whose(mapped)), index);
            }
        }
        let mut rest = Vec::new();
        for waiting in todo {
            match places.get(&asked(self, &waiting)).copied().filter(|_| !waiting.of_consent) {
                Some(index) => {
                    self.chunk[waiting.line].parts = 1;
                    self.recorded(waiting.line, &waiting.key, index, None);
                }
                None => rest.push(waiting),
            }
        }
        Ok(rest)
    }

    /// Answers lines that say what another one of the chunk says.
    fn answer_the_same(&mut self) {
        for at in 0..self.chunk.len() {
            let What::Same(first) = self.chunk[at].what else { continue };
            let (what, parts) = match &self.chunk[first].what {
                What::Recorded(index, _, patient, secret) => {
                    (What::Recorded(*index, None, patient.clone(), *secret), self.chunk[first].parts)
                }
                What::Refused(error) => (What::Refused(error.clone()), 1),
                _ => (What::Nothing, 1),
            };
            (self.chunk[at].what, self.chunk[at].parts) = (what, parts);
        }
    }

    /// `standing`: of a directive that was on record, its id there, and whether it was ended.
    fn recorded(&mut self, line: usize, key: &DocumentKey, index: u64, standing: Option<(String, bool)>) {
        let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
        let other = self.seen.other(key, done).filter(|_| key.resource().is_some());
        self.seen.note(*key, index);
        let line = &mut self.chunk[line];
        if let What::Record(boxed) = &mut line.what {
            if boxed.0.part.n > 0 {
                line.what = What::Nothing;
                return;
            }
            if let Some(other) = other.filter(|other| *other != index) {
                let what = format!(
                    "{}: an event of the same source and id, with other content, is on record at no. {other}: both are",
                    line.file.display()
                );
                output::note(&said(&what, self.lang));
                line.differs_from = Some(other);
            }
            let rule = boxed.0.rule().map(Noted::Rule);
            if let Some((note, (id, is_over))) = boxed.0.directive.as_mut().zip(standing) {
                note.id = id;
                if is_over {
                    note.ends = Ends::Revoked;
                }
            }
            let noted = boxed.0.directive.take().map(Noted::Directive).or(rule);
            line.what = What::Recorded(index, noted, boxed.0.patient.take(), boxed.0.secret);
        }
    }

    /// Sends one batch; gives back what isn't sent or refused yet.
    async fn send(&mut self, mut todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let records: Vec<Vec<u8>> = todo.iter().take(BATCH_RECORDS).map(|waiting| waiting.record.clone()).collect();
        let count = whole(&todo, fitting(&records).min(self.at_most.take().unwrap_or(BATCH_RECORDS)));
        let keys = todo.iter().take(count).map(|waiting| waiting.key).collect();
        let sent = self.recorder.send(records.into_iter().take(count).collect(), Source::Keys(keys)).await;
        match sent {
            Ok(receipt) => {
                let rest = todo.split_off(count);
                for (waiting, index) in todo.into_iter().zip(receipt.first_index..) {
                    self.recorded(waiting.line, &waiting.key, index, None);
                }
                Ok(rest)
            }
            Err(ClientError::Rejected(rejection)) => {
                let code = &rejection.code;
                let Some(path) = of_one_record(code) else {
                    return Err(ClientError::Rejected(rejection));
                };
                let at = (rejection.position as usize).min(todo.len() - 1);
                let first = todo.iter().position(|other| of_one_group(other, &todo[at])).unwrap_or(at);
                let is_taken = *code == Code::IdTaken && todo[at].of_consent;
                if is_taken && first > 0 {
                    // It may be one before it in this batch that has the id.
                    self.at_most = Some(first);
                    return Ok(todo);
                }
                if let Some(group) = todo[at].group.filter(|_| is_taken)
                    && self.replaced.insert(group)
                {
                    let (group, rest) = todo.into_iter().partition(|other| other.group == Some(group));
                    let mut todo: Vec<Waiting> = self.replace(group).await?;
                    todo.extend::<Vec<Waiting>>(rest);
                    return Ok(todo);
                }
                let refused = todo.remove(at);
                let (mut group, rest): (Vec<_>, Vec<_>) =
                    todo.into_iter().partition(|other| of_one_group(other, &refused));
                // What would be refused for the same isn't sent once more for each.
                let (alike, rest): (Vec<_>, Vec<_>) =
                    rest.into_iter().partition(|other| self.is_refused_alike(code, &refused, other));
                let error = self.refusal(&refused, path, &rejection);
                group.insert(0, refused);
                self.refuse_all(&group, error);
                for other in alike {
                    let error = self.refusal(&other, "", &rejection);
                    self.refuse_all(&[other], error);
                }
                Ok(rest)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether another record is refused with this code whatever is on record, as `refused` was.
    fn is_refused_alike(&self, code: &ErrorCode, refused: &Waiting, other: &Waiting) -> bool {
        let mapped = |waiting: &Waiting| match &self.chunk[waiting.line].what {
            What::Record(boxed) => Some(&boxed.0),
            _ => None,
        };
        match code.known() {
            // What happened is never refused for who did it: who imports may not record any of it.
            Some(Code::NotEntitled) if !refused.of_consent => !other.of_consent,
            Some(Code::AuthenticationMissing) => {
                mapped(refused).zip(mapped(other)).is_some_and(|(one, other)| import_rules::lack_the_same(one, other))
            }
            _ => false,
        }
    }

    /// What is said of a record that the ledger refused; `path` is the element of a directive.
    fn refusal(&self, refused: &Waiting, path: &str, rejection: &Rejection) -> FhirError {
        if let What::Record(boxed) = &self.chunk[refused.line].what
            && let Some(kind) = boxed.0.rule()
        {
            return import_rules::refusal(kind, &boxed.0.record, &boxed.1, rejection);
        }
        let path = match (refused.of_consent, &self.chunk[refused.line].what) {
            (false, _) => "",
            // What it says to replace, or to end.
            (true, What::Record(boxed))
                if rejection.code == Code::UnknownReference && boxed.0.ends() != Some(Ends::Revoked) =>
            {
                "Consent.extension"
            }
            (true, _) => path,
        };
        FhirError::new(path, format!("{}: {}", rejection.code, rejection.message))
    }

    /// Refuses a document: one line says why.
    fn refuse_all(&mut self, group: &[Waiting], error: FhirError) {
        self.failed = true;
        group.iter().for_each(|waiting| self.chunk[waiting.line].what = What::Nothing);
        if let Some(first) = group.first() {
            self.chunk[first.line].what = What::Refused(error);
        }
    }

    /// A Consent whose ids are in force: gives what is to be sent instead of it.
    async fn replace(&mut self, mut group: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let on_record = self.on_record_of(&mut group).await?;
        if let Some(by) = self.ended_since(&group).await? {
            return self.refused(&group, import_rules::ended_here(by));
        }
        let boxed = group.iter().filter_map(|waiting| match &self.chunk[waiting.line].what {
            What::Record(boxed) => Some(boxed.as_ref().clone()),
            _ => None,
        });
        let mapped: Vec<(MappedRecord, Vec<u8>)> = boxed.collect();
        let Some((first, json)) = mapped.first() else { return Ok(Vec::new()) };
        if on_record.is_empty() {
            return Ok(group);
        }
        let said = mapped.iter().filter_map(|(mapped, _)| Directive::parse(&mapped.record.details).ok());
        let document = serde_json::from_slice(json).unwrap_or_default();
        let new = import_consents::New::of(first, &document);
        match import_consents::replacement(&on_record, &said.collect::<Vec<_>>(), &new) {
            Replacement::OnRecord(indices) => {
                let recorded = group.iter().zip(indices);
                recorded.for_each(|(waiting, index)| self.recorded(waiting.line, &waiting.key, index, None));
                Ok(Vec::new())
            }
            Replacement::Older => self.refused(&group, import_consents::older()),
            Replacement::Undecided => self.refused(&group, import_consents::undecided()),
            Replacement::Anothers => self.refused(&group, import_consents::anothers()),
            Replacement::Ends(ids) => {
                let mut todo = self.endings(first, json, &ids, &group).await?;
                todo.extend(group);
                Ok(todo)
            }
        }
    }

    /// The record that ended, since it was given, what one of these gives.
    async fn ended_since(&mut self, group: &[Waiting]) -> Result<Option<u64>, ClientError> {
        for waiting in group {
            if let What::Record(boxed) = &self.chunk[waiting.line].what {
                let ended = self.in_force.ended_since(self.session, &self.recorder.tags, &boxed.0).await?;
                if ended.is_some() {
                    return Ok(ended);
                }
            }
        }
        Ok(None)
    }

    fn refused(&mut self, group: &[Waiting], error: FhirError) -> Result<Vec<Waiting>, ClientError> {
        self.refuse_all(group, error);
        Ok(Vec::new())
    }

    /// The records that end directives of an earlier version, each with a line of its own.
    async fn endings(
        &mut self,
        first: &MappedRecord,
        json: &[u8],
        ids: &[String],
        group: &[Waiting],
    ) -> Result<Vec<Waiting>, ClientError> {
        let Some(model) = group.first() else { return Ok(Vec::new()) };
        let mut revocations: Vec<MappedRecord> = ids.iter().map(|id| revocation(first, id)).collect();
        // The document stands in the new directives: with it, all of them might not fit one batch.
        revocations.iter_mut().for_each(|ending| ending.record.original = None);
        let records = revocations.iter().map(new_record).collect();
        let encoded = prepare(&self.recorder.tags, records).await?;
        let mut todo = Vec::with_capacity(encoded.len());
        for (mapped, record) in revocations.into_iter().zip(encoded) {
            let (file, entry) = (self.chunk[model.line].file.clone(), self.chunk[model.line].entry);
            let document = self.chunk[model.line].document;
            let key = DocumentKey::new(json, &record, 0);
            let what = What::Record(Box::new((mapped, json.to_vec())));
            todo.push(Waiting { line: self.chunk.len(), key, record, group: model.group, of_consent: true });
            self.push(&file, entry, what);
            let line = self.chunk.last_mut().expect("it was pushed");
            (line.document, line.group) = (document, model.group);
        }
        Ok(todo)
    }
}

fn of_one_group(one: &Waiting, other: &Waiting) -> bool {
    one.group.is_some() && one.group == other.group
}

/// At most `count` records, no Consent cut in two: they have at most `DIRECTIVES_MAX` records, which fit one batch.
fn whole(todo: &[Waiting], count: usize) -> usize {
    let cuts = |at: usize| todo.get(at).zip(todo.get(at - 1)).is_some_and(|(next, last)| of_one_group(next, last));
    (1..=count).rev().find(|at| !cuts(*at)).unwrap_or(count)
}
