//! `record`: lines of events in, one line of result for each, in their order.
//!
//! A file is checked as a whole before anything is sent; then it goes out in batches, and what an earlier run got
//! acknowledged is printed again without being sent. Standard input is sent as it comes, without waiting for more: while
//! one batch is on its way, the next one gathers.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sillage_client::author::{NewRecord, Recorder, TagRequest, VerifiedReceipt, fitting, prepare};
use sillage_client::clock::now_ms;
use sillage_client::error::{ClientError, Rejection};
use sillage_client::outbox::Source;
use sillage_client::profile::read;
use sillage_proof::hash::{Hash, sha256};
use sillage_rules::codes::Code;
use sillage_rules::ident::{Checks, Source as IdentSource};
use sillage_rules::limits::LINE_BYTES_MAX;
use sillage_rules::line::RecordLine;
use sillage_rules::record::{ParsedRecord, RecordError, check_time};
use sillage_words::time::rfc3339;

use crate::recorder::open_recorder;
use crate::{Context, Ended, output};

#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The events; `-` is standard input. A rerun of the same FILE goes on where it stopped: a file is known by its whole
    /// content, so put further events into a new one. `-` is always new input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Append the signed receipts to this file, one JSON line each
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
    /// Records in one batch, at most 4096
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "N")]
    pub batch: u32,
}

/// Doubtful identifiers named before they are only counted.
const WARNINGS_MAX: usize = 10;

pub async fn run(context: &Context, args: RecordArgs) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let (genesis, _) = profile.genesis()?;
    let checks = Checks { test_log: genesis.test_log, source: IdentSource::Direct };
    if args.file.as_os_str() == "-" {
        let session = context.session().await?;
        let mut recorder = open_recorder(&session, args.receipts).await?;
        return from_stdin(&mut recorder, args.batch as usize, checks).await;
    }
    let bytes = read(&args.file)?;
    let lines = split(&bytes);
    if lines.is_empty() {
        let path = args.file.display();
        return Err(ClientError::Usage(format!(
            "--file {path}: it holds no event, so nothing was sent: write one JSON object a line (`sillage schema record`)"
        )));
    }
    validate(&args.file, &lines, checks)?;
    let session = context.session().await?;
    let mut recorder = open_recorder(&session, args.receipts).await?;
    from_file(&mut recorder, &args.file, &lines, sha256(&[&bytes]), args.batch as usize, checks).await
}

/// A line that isn't blank, and its number from 1.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    bytes: &'a [u8],
}

/// A mark that some editors put before a text: it says nothing.
const BOM: &[u8] = b"\xef\xbb\xbf";

fn split(bytes: &[u8]) -> Vec<Line<'_>> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let lines = bytes.split(|b| *b == b'\n').enumerate();
    let lines = lines.map(|(i, bytes)| Line { number: i + 1, bytes: bytes.trim_ascii() });
    lines.filter(|line| !line.bytes.is_empty()).collect()
}

/// A line as a record to be signed.
pub(super) struct Parsed {
    pub new: NewRecord,
    pub doubts: Vec<String>,
}

/// Reads a line as a record that an author may submit; its tag is still to be resolved.
pub(super) fn parse(bytes: &[u8], checks: Checks) -> Result<Parsed, RecordError> {
    if bytes.starts_with(b"[") {
        let what = "this begins a JSON array; write one object a line, without the brackets (`jq -c '.[]' FILE`)";
        return Err(RecordError { code: Code::MalformedRecord, path: String::new(), message: what.to_owned() });
    }
    let mut line = RecordLine::parse(bytes)?;
    let doubts = line.check_identifiers(checks)?.iter().map(|w| format!("{}: {}", w.path, w.doubt)).collect();
    // The tag comes later; its length is known, so that everything can be checked now.
    let any_tag = line.patient.as_ref().map(|_| [0xff; 32]);
    let record = line.to_record(any_tag.as_ref())?;
    record.check_from_author()?;
    check_time(record.occurred_at_ms(), now_ms())
        .map_err(|error| RecordError { path: "occurred_at".to_owned(), ..error })?;
    let patient = line.patient.as_ref().map(|patient| TagRequest {
        ins: patient.ins.clone(),
        oid: patient.oid.clone(),
        secret: line.secret,
    });
    Ok(Parsed { new: NewRecord { patient, record: ParsedRecord::into_message(record) }, doubts })
}

fn refused(source: &str, number: usize, error: &RecordError, sent: &str) -> ClientError {
    ClientError::rejected(error.code, format!("{source} line {number}: {error}; {sent}"))
}

fn validate(path: &Path, lines: &[Line<'_>], checks: Checks) -> Result<(), ClientError> {
    let source = path.display().to_string();
    let mut doubts = 0;
    for line in lines {
        let parsed = parse(line.bytes, checks).map_err(|error| {
            refused(&source, line.number, &error, "nothing was sent, correct the line and run again")
        })?;
        for doubt in parsed.doubts {
            doubts += 1;
            if doubts <= WARNINGS_MAX {
                output::note(&format!("{source} line {}: {doubt}", line.number));
            }
        }
    }
    if doubts > WARNINGS_MAX {
        output::note(&format!("{source}: {doubts} doubtful identifiers in all"));
    }
    Ok(())
}

fn result_line(index: u64, time_ms: u64) -> String {
    json!({"index": index, "recorded_at": rfc3339(time_ms)}).to_string()
}

async fn from_file(
    recorder: &mut Recorder,
    path: &Path,
    lines: &[Line<'_>],
    file: Hash,
    batch_max: usize,
    checks: Checks,
) -> Result<Ended, ClientError> {
    let mut at = 0;
    while at < lines.len() {
        let done = recorder.stream.outbox().and_then(|o| o.done().batch_of_file(&file, at as u64)).cloned();
        if let Some(done) = done {
            let Source::File { first, .. } = done.source else { break };
            let end = (first + u64::from(done.count)).min(lines.len() as u64);
            let results = (at as u64..end).map(|i| result_line(done.first_index + (i - first), done.time_ms));
            output::lines(&results.collect::<Vec<_>>())?;
            recorder.keep_done(&done)?;
            at = usize::try_from(end).expect("at most the number of lines");
            continue;
        }
        let todo = |i: &usize| {
            let outbox = recorder.stream.outbox();
            outbox.is_none_or(|outbox| outbox.done().of_file(&file, *i as u64).is_none())
        };
        let end = at + (at..lines.len()).take(batch_max).take_while(todo).count();
        let source = path.display().to_string();
        let mut records = Vec::with_capacity(end - at);
        for line in &lines[at..end] {
            let parsed = parse(line.bytes, checks)
                .map_err(|error| refused(&source, line.number, &error, "run again after correcting the line"))?;
            records.push(parsed.new);
        }
        let mut encoded = prepare(&recorder.tags, records).await.map_err(|e| at_line(e, &source, &lines[at..end]))?;
        encoded.truncate(fitting(&encoded));
        let sent = encoded.len();
        let receipt = recorder.send(encoded, Source::file(file, at as u64)).await;
        let receipt = receipt.map_err(|error| at_line(error, &source, &lines[at..end]))?;
        print_results(&receipt)?;
        at += sent;
    }
    Ok(Ended::Done)
}

fn print_results(receipt: &VerifiedReceipt) -> Result<(), ClientError> {
    let indices = receipt.first_index..receipt.first_index + u64::from(receipt.count);
    output::lines(&indices.map(|index| result_line(index, receipt.time_ms)).collect::<Vec<_>>())
}

/// The same error, naming the line that the ledger means.
fn at_line(error: ClientError, source: &str, lines: &[Line<'_>]) -> ClientError {
    match error {
        ClientError::Rejected(rejection) => {
            let line = lines.get(rejection.position as usize).map_or(0, |line| line.number);
            let message =
                format!("{source} line {line}: {}; the lines before this batch are on record", rejection.message);
            ClientError::Rejected(Rejection { message, ..rejection })
        }
        error => error,
    }
}

/// A line of standard input, as the reading thread hands it over.
struct Input {
    number: usize,
    bytes: Result<Vec<u8>, String>,
}

fn read_stdin(to: tokio::sync::mpsc::Sender<Input>) {
    let mut stdin = std::io::stdin().lock();
    for number in 1.. {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 2;
        let bytes = match stdin.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => Ok(line),
            Err(error) => Err(error.to_string()),
        };
        let last = bytes.is_err();
        if to.blocking_send(Input { number, bytes }).is_err() || last {
            return;
        }
    }
}

async fn from_stdin(recorder: &mut Recorder, batch_max: usize, checks: Checks) -> Result<Ended, ClientError> {
    let (to, mut from) = tokio::sync::mpsc::channel(batch_max.max(1));
    // The thread ends with its input or with the process; a blocked read can't be called back.
    std::thread::spawn(move || read_stdin(to));
    let mut left: Vec<(usize, NewRecord)> = Vec::new();
    loop {
        let mut bad = None;
        let mut ended = false;
        let mut gathered = std::mem::take(&mut left);
        while gathered.len() < batch_max && bad.is_none() && !ended {
            let next = match gathered.is_empty() {
                true => from.recv().await,
                // What is there goes; nothing is waited for.
                false => match from.try_recv() {
                    Ok(input) => Some(input),
                    Err(tokio::sync::mpsc::error::TryRecvError::Empty) => break,
                    Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => None,
                },
            };
            let Some(input) = next else {
                ended = true;
                continue;
            };
            match take_input(input, checks) {
                Ok(Some(record)) => gathered.push(record),
                Ok(None) => {}
                Err(error) => bad = Some(error),
            }
        }
        while !gathered.is_empty() {
            let rest = send_gathered(recorder, gathered).await?;
            if bad.is_none() && !ended {
                left = rest;
                break;
            }
            gathered = rest;
        }
        if let Some(error) = bad {
            return Err(error);
        }
        if ended {
            return Ok(Ended::Done);
        }
    }
}

fn take_input(input: Input, checks: Checks) -> Result<Option<(usize, NewRecord)>, ClientError> {
    let number = input.number;
    let bytes = input.bytes.map_err(|why| ClientError::Usage(format!("cannot read standard input: {why}")))?;
    let bytes = if number == 1 { bytes.strip_prefix(BOM).unwrap_or(&bytes) } else { &bytes };
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return Ok(None);
    }
    let stopped = "the lines before it are on record: send it, corrected, and those after it";
    let parsed = parse(bytes, checks).map_err(|error| refused("standard input", number, &error, stopped))?;
    for doubt in parsed.doubts {
        output::note(&format!("standard input line {number}: {doubt}"));
    }
    Ok(Some((number, parsed.new)))
}

/// Sends as many as fit in one batch; gives back the others.
async fn send_gathered(
    recorder: &mut Recorder,
    mut gathered: Vec<(usize, NewRecord)>,
) -> Result<Vec<(usize, NewRecord)>, ClientError> {
    let numbers: Vec<Line<'_>> = gathered.iter().map(|(number, _)| Line { number: *number, bytes: &[] }).collect();
    let records = gathered.iter().map(|(_, record)| record.clone()).collect();
    let name = |error| at_line(error, "standard input", &numbers);
    let mut encoded = prepare(&recorder.tags, records).await.map_err(name)?;
    encoded.truncate(fitting(&encoded));
    let sent = encoded.len();
    let receipt = recorder.send(encoded, Source::Fresh).await.map_err(name)?;
    print_results(&receipt)?;
    Ok(gathered.split_off(sent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_rules::limits::BATCH_BYTES_MAX;

    const GOOD: &str = r#"{"kind":"access.read","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},"actor":{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician","organisation":"750712184","label":"Dr Claire Dubois, hôpital Bichat"},"items":[{"id":"urn:uuid:1","category":"REPORT"}],"occurred_at":"2026-03-02T09:00:00Z","purpose":"TREAT","basis":{"kind":"care_team"},"outcome":"success"}"#;

    fn checks() -> Checks {
        Checks { test_log: true, source: IdentSource::Direct }
    }

    #[test]
    fn the_published_line_becomes_a_record() {
        let parsed = parse(GOOD.as_bytes(), checks()).expect("good");
        let patient = parsed.new.patient.expect("a patient");
        assert_eq!((patient.ins.as_str(), patient.secret), ("279035121518989", false));
    }

    #[test]
    fn a_bad_line_of_a_file_stops_everything_before_it_is_sent() {
        let future = GOOD.replace("2026-03-02", "2999-03-02");
        let unknown = GOOD.replace("access.read", "access.lick");
        for (bad, word) in [("{", "MALFORMED_RECORD"), (&future, "TIME_AHEAD"), (&unknown, "kind")] {
            let text = format!("{GOOD}\n\n{bad}\n{GOOD}\n");
            let error = validate(Path::new("f"), &split(text.as_bytes()), checks()).expect_err("refused");
            assert_eq!(error.exit_code(), 4);
            let said = error.to_string();
            assert!(said.contains("line 3") && said.contains(word) && said.contains("nothing was sent"), "{said}");
        }
    }

    #[test]
    fn blank_lines_are_not_records() {
        let numbers: Vec<usize> = split(b"a\n\n \r\nb").iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 4]);
    }

    #[test]
    fn a_file_from_windows_is_read_and_an_array_says_what_to_do() {
        let text = format!("\u{feff}{GOOD}\r\n{GOOD}\r\n");
        let lines = split(text.as_bytes());
        assert_eq!(lines.len(), 2);
        validate(Path::new("f"), &lines, checks()).expect("both are records");
        for array in [format!("[{GOOD}]"), format!("[\n{GOOD},\n{GOOD}\n]"), "[]".to_owned()] {
            let said = validate(Path::new("f"), &split(array.as_bytes()), checks()).expect_err("refused").to_string();
            assert!(said.contains("line 1") && said.contains("JSON array") && said.contains("jq"), "{said}");
        }
        for empty in ["", "\n\n", "\u{feff}", " \r\n"] {
            assert!(split(empty.as_bytes()).is_empty(), "{empty:?} holds no event");
        }
    }

    #[test]
    fn a_batch_ends_where_its_bytes_do() {
        let records = vec![vec![0; 60_000]; 200];
        let count = fitting(&records);
        assert!(count * 60_016 <= BATCH_BYTES_MAX && (count + 1) * 60_016 > BATCH_BYTES_MAX, "{count}");
    }
}
