//! The start of the recorder: what the outbox knows goes into the index, what may be on record is asked for, and only then the
//! rest is taken up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sillage_client::ClientError;
use sillage_client::author::{Stream, VerifiedReceipt, open_stream, tags_of};
use sillage_client::outbox::{DoneLine, Source};
use sillage_client::session::Session;
use sillage_rules::stream::StreamLabel;

use super::batch::{short_id, work_on};
use super::{Lane, Pause, Work};
use crate::arrival::SpoolNumber;

/// Under this name the index has the author id of the connector's party, hex: the ledger knows it, whatever key signs now.
pub const AUTHOR_NOTE: &str = "author";

/// Records what waits and what comes, for ever.
pub async fn run(work: Arc<Work>) {
    let mut pause = Pause::new();
    let (session, streams) = loop {
        match open(&work).await {
            Ok(opened) => break opened,
            Err(error) => work.wait(&error, &mut pause).await,
        }
    };
    work.condition.reached();
    if streams.iter().any(Stream::is_behind) {
        work.condition.raise(went_on_elsewhere(&work.stream));
        std::future::pending::<()>().await;
    }
    let mut held = HashSet::new();
    for stream in &streams {
        note_done(&work, stream).await;
        if let Some(Source::Spool(numbers)) = stream.in_flight() {
            held.extend(numbers.iter().copied());
        }
    }
    let waiting = waiting(&work, &held).await;
    tracing::info!(waiting = waiting.len() + held.len(), "recording");
    work.queue.put_first(&waiting);
    let mut settling = Vec::new();
    for (at, stream) in streams.into_iter().enumerate() {
        // The first one keeps the order of what depends on it.
        let lane = if at == 0 { Lane::Ordered } else { Lane::Events };
        let (work, tags) = (Arc::clone(&work), tags_of(&session));
        settling.push(tokio::spawn(async move {
            let mut stream = stream;
            settle(&work, &mut stream).await;
            work_on(work, stream, tags, lane).await;
        }));
    }
    settling.push(tokio::spawn(super::consents::work_on(Arc::clone(&work), session)));
    work.queue.open();
    for task in settling {
        if let Err(error) = task.await {
            // A defect of ours: only a new start may go on.
            tracing::error!(%error, "a stream of the recorder ended");
            std::process::abort();
        }
    }
}

/// What is said where the ledger has more of a stream than this folder knows.
pub(super) fn went_on_elsewhere(stream: &str) -> String {
    format!(
        "the streams `{stream}` went on elsewhere: a copy of this folder runs, or ran after this one was made; stop the other \
         one, or take its folder; where it is lost, give this connector another `stream`, and events that the other one \
         recorded are recorded twice"
    )
}

/// Opens the way to the ledger, and all streams: the ordered one, then those of events.
async fn open(work: &Work) -> Result<(Arc<Session>, Vec<Stream>), ClientError> {
    let session = work.ledger.session().await?;
    let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
    let author = hex::encode(signer.author_id.as_bytes());
    if let Err(error) = work.index.set_note(AUTHOR_NOTE, &author) {
        work.condition.raise(error.to_string());
    }
    let mut streams = Vec::with_capacity(work.streams + 1);
    for at in 0..=work.streams {
        let label = StreamLabel::parse(&format!("{}.{at}", work.stream));
        let label = label.map_err(|error| ClientError::Usage(error.to_string()))?;
        streams.push(open_stream(&session, Arc::clone(&signer), label, true).await?.of_spool());
    }
    Ok((session, streams))
}

/// Brings into the index what the outbox has acknowledged.
async fn note_done(work: &Work, stream: &Stream) {
    let Some(outbox) = stream.outbox() else { return };
    let mut pause = Pause::new();
    let last = loop {
        match work.index.last_seq(&short_id(stream)) {
            Ok(last) => break last,
            Err(error) => work.condition.raise(error.to_string()),
        }
        pause.wait().await;
    };
    let lines: Vec<DoneLine> = outbox.done().spooled().iter().filter(|line| line.seq > last).cloned().collect();
    for line in lines {
        let Source::Spool(numbers) = &line.source else { continue };
        let bytes = |hex: &str| hex::decode(hex).unwrap_or_default();
        let receipt = VerifiedReceipt {
            first_index: line.first_index,
            count: line.count,
            time_ms: line.time_ms,
            seq: line.seq,
            message: bytes(&line.receipt),
            signature: bytes(&line.signature),
        };
        work.note(stream, numbers, &receipt).await;
    }
}

/// What waits in the spool and is neither on record nor on its way. The spool lets go what is on record or refused.
async fn waiting(work: &Work, held: &HashSet<u64>) -> Vec<(SpoolNumber, Lane)> {
    let mut pause = Pause::new();
    let in_spool = work.spool.waiting();
    let first = in_spool.first().copied().unwrap_or(SpoolNumber(0));
    let (known, states) = loop {
        match work.index.waiting().and_then(|known| Ok((known, work.index.states(first)?))) {
            Ok(read) => break read,
            Err(error) => work.condition.raise(error.to_string()),
        }
        pause.wait().await;
    };
    let is_of_before = |number: &SpoolNumber| *number <= work.last_before;
    let of_before: Vec<SpoolNumber> = in_spool.into_iter().filter(is_of_before).collect();
    for number in done(&of_before, &states) {
        work.spool.release(number);
    }
    let ours = known.into_iter().filter(|(number, _)| is_of_before(number) && !held.contains(&number.0));
    ours.map(|(number, kind)| (number, Lane::of(&kind))).collect()
}

/// Those of which the index says what became of them. One without a row stays in the spool: nothing is known of it.
fn done(numbers: &[SpoolNumber], states: &HashMap<u64, bool>) -> Vec<SpoolNumber> {
    numbers.iter().copied().filter(|number| states.get(&number.0) == Some(&false)).collect()
}

/// Sends the batch that may be on record, until the ledger says that it is, or refuses it: then its arrivals wait again.
async fn settle(work: &Work, stream: &mut Stream) {
    let mut pause = Pause::new();
    while let Some(Source::Spool(numbers)) = stream.in_flight().cloned() {
        match stream.settle().await {
            Ok(Some((_, receipt))) => work.note(stream, &numbers, &receipt).await,
            Ok(None) => {}
            Err(ClientError::Rejected(rejection)) if stream.in_flight().is_none() => {
                tracing::warn!(code = %rejection.code, "a batch of before was refused: its arrivals are sent again one by one");
                let mut numbers: Vec<u64> = numbers.into_iter().filter(|number| *number > 0).collect();
                numbers.dedup();
                let lane = |number: &u64| {
                    let found = work.index.get(SpoolNumber(*number)).ok().flatten();
                    found.map_or(Lane::Events, |found| Lane::of(&found.kind))
                };
                let again: Vec<_> = numbers.iter().map(|number| (SpoolNumber(*number), lane(number))).collect();
                work.queue.put_first(&again);
            }
            Err(error) => work.wait(&error, &mut pause).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_lets_go_only_what_is_on_record_or_refused() {
        let numbers = [1, 2, 3].map(SpoolNumber);
        let states = HashMap::from([(1, false), (3, true)]);
        assert_eq!(done(&numbers, &states), [SpoolNumber(1)], "2 has no row, 3 waits");
    }
}
