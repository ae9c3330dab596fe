//! Consents: compared with what is on record before they are signed, one after the other, by the import of the SDK. A changed Consent
//! replaces its directives in one batch; the same again records nothing.
//!
//! Their stream has an outbox of the import's own kind: it knows each document by a key, also years later. So a Consent that was
//! recorded just before a crash is found there when it is handed in once more.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prost::Message as _;
use sillage_client::ClientError;
use sillage_client::author::Recorder;
use sillage_client::import::{Became, Import, OnRecord, Outcome, Refused};
use sillage_client::session::Session;
use sillage_fhir::import::Ends;
use sillage_fhir::import::source::Document;
use sillage_rules::stream::StreamLabel;

use super::batch::{READY_BYTES, short_id};
use super::{Lane, Pause, Work};
use crate::arrival::{Place, Refusal, SpoolNumber, Taken};
use crate::index::Recorded;
use crate::mapping;

/// Consents that are taken up at once.
const CONSENTS_MAX: usize = 200;

/// A Consent that waits.
struct Waiting {
    number: SpoolNumber,
    base: String,
    json: Vec<u8>,
}

/// Works on the Consents, for ever.
pub(super) async fn work_on(work: Arc<Work>, session: Arc<Session>) {
    let mut recorder: Option<Recorder> = None;
    loop {
        let numbers = work.queue.take(Lane::Consents, CONSENTS_MAX).await;
        let mut waiting = Vec::with_capacity(numbers.len());
        let mut bytes = 0;
        for (at, number) in numbers.iter().copied().enumerate() {
            if bytes >= READY_BYTES {
                work.put_back(&numbers[at..], Lane::Consents);
                break;
            }
            let Some(arrival) = work.read(number).await else { continue };
            match mapping::map(&arrival, &work.terms) {
                Ok(mapped) => {
                    // What the import makes of it.
                    bytes += mapped.mapped().iter().map(|mapped| mapped.record.encoded_len()).sum::<usize>();
                    bytes += mapped.original.len();
                    waiting.push(Waiting { number, base: arrival.base, json: mapped.original });
                }
                Err(refusal) => work.refuse(number, &arrival, refusal).await,
            }
        }
        let mut pause = Pause::new();
        while !waiting.is_empty() {
            let opened = match recorder.take() {
                Some(opened) => Ok(opened),
                None => open(&work, &session).await,
            };
            let mut opened = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    work.wait(&error, &mut pause).await;
                    continue;
                }
            };
            let ended = work.import(&session, &mut opened, &mut waiting).await;
            match ended {
                Ok(()) => recorder = Some(opened),
                // It is opened anew: so what was on its way is sent first.
                Err(error) => {
                    drop(opened);
                    work.wait(&error, &mut pause).await;
                }
            }
        }
    }
}

async fn open(work: &Work, session: &Session) -> Result<Recorder, ClientError> {
    let label = StreamLabel::parse(&format!("{}.consents", work.stream));
    let label = label.map_err(|error| ClientError::Usage(error.to_string()))?;
    let recorder = Recorder::open_stream(session, label, None).await?;
    if recorder.stream.is_behind() {
        work.condition.raise(super::start::went_on_elsewhere(&work.stream));
        std::future::pending::<()>().await;
    }
    Ok(recorder)
}

impl Work {
    /// Hands Consents to the import. Those that are on record, or refused, don't wait any more, also after an error.
    async fn import(
        &self,
        session: &Session,
        recorder: &mut Recorder,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), ClientError> {
        let stream = short_id(&recorder.stream);
        let mut import = Import::new(session, recorder, &self.terms.patients, "");
        let mut ended = Ok(());
        for one in waiting.iter() {
            let document = Document::of_server(one.json.clone(), &one.base);
            ended = import.take(one.number, document).await;
            if ended.is_err() {
                break;
            }
        }
        if ended.is_ok() {
            ended = import.flush().await;
        }
        let mut outcomes: BTreeMap<SpoolNumber, Vec<Became>> = BTreeMap::new();
        for Outcome { from, became, .. } in import.outcomes() {
            outcomes.entry(from).or_default().push(became);
        }
        let done: HashSet<SpoolNumber> = outcomes.keys().copied().collect();
        for (number, became) in outcomes {
            let Some(one) = waiting.iter().find(|one| one.number == number) else { continue };
            self.note_consent(stream, one, &became).await;
        }
        waiting.retain(|one| !done.contains(&one.number));
        if ended.is_ok() && !waiting.is_empty() {
            return Err(ClientError::Usage("the import said nothing of a Consent: report it".to_owned()));
        }
        ended
    }

    async fn note_consent(&self, stream: [u8; 8], one: &Waiting, became: &[Became]) {
        let refused = became.iter().find_map(|became| match became {
            Became::Refused(refused) => Some(refusal_of(refused)),
            Became::Skipped(why) => {
                Some(Refusal { path: "Consent".to_owned(), code: String::new(), reason: why.to_string() })
            }
            Became::OnRecord(_) => None,
        });
        if let Some(refusal) = refused {
            self.refuse_number(one.number, refusal).await;
            return;
        }
        let records: Vec<&OnRecord> = became
            .iter()
            .filter_map(|became| match became {
                Became::OnRecord(record) => Some(record.as_ref()),
                Became::Refused(_) | Became::Skipped(_) => None,
            })
            .collect();
        let Some(recorded) = recorded_of(stream, &records) else {
            let why = "it says what is on record already by another way than this connector: nothing was recorded";
            let refusal = Refusal { path: "Consent".to_owned(), code: String::new(), reason: why.to_owned() };
            self.refuse_number(one.number, refusal).await;
            return;
        };
        self.condition.reached();
        self.until_written(|| self.index.recorded_one(one.number, &recorded)).await;
        self.spool.release(one.number);
        let taken = Taken::Recorded { id: recorded.place.id(), first_index: recorded.first_index, repeated: false };
        self.outcomes.tell(one.number, &Ok(taken));
    }
}

/// Where a Consent stands: at the first record that carries it. Records that ended an earlier version stand before it.
fn recorded_of(stream: [u8; 8], records: &[&OnRecord]) -> Option<Recorded> {
    use sillage_client::import::Decided;
    let ends =
        |record: &OnRecord| matches!(&record.decided, Some(Decided::Directive(note)) if note.ends == Ends::Revoked);
    let first = records.iter().find(|record| !ends(record)).or(records.first())?;
    let place = first.place?;
    // Those that follow it in one batch are its own.
    let count = records
        .iter()
        .filter(|record| record.place.is_some_and(|other| other.seq == place.seq && other.position >= place.position));
    Some(Recorded {
        place: Place { stream, seq: place.seq, position: place.position },
        first_index: first.index,
        count: u32::try_from(count.count()).unwrap_or(1),
        time_ms: place.time_ms,
    })
}

fn refusal_of(refused: &Refused) -> Refusal {
    let code = refused.code.as_ref().map(|code| code.as_str().to_owned()).unwrap_or_default();
    Refusal { path: refused.error.path.clone(), code, reason: refused.error.reason.clone() }
}
