//! The HL7 v2 port: messages out of connections, into the feed, and an acknowledgement for each.

use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use serde_json::Value;
use sillage_client::clock::now_ms;
use sillage_rules::line::PatientLine;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::hl7::{Message, answer_to_noise};
use super::mapping::Mapping;
use super::mllp::{Frames, framed};
use super::records::{admitted, records};
use crate::arrival::Door;
use crate::feed::listen::{AnyStream, Port, run};
use crate::feed::{self, Fate, Feed, Take};
use crate::quarantine::New;

const READ_BYTES: usize = 64 << 10;

/// How the port reads.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The meaning of the fields.
    pub mapping: Mapping,
    /// The rest of a message comes within this, milliseconds: slow senders are cut.
    pub message_ms: u64,
    /// Is told whose rules to keep at hand for an emergency: patients who were admitted.
    pub admitted: Option<mpsc::Sender<PatientLine>>,
}

/// Serves until the connector stops.
pub async fn serve<T: Take>(listener: TcpListener, port: Port, feed: Arc<Feed<T>>, reading: Reading) {
    let stop = port.stop.clone();
    let reading = Arc::new(reading);
    run(listener, port, move |stream, sender| {
        let (feed, reading) = (Arc::clone(&feed), Arc::clone(&reading));
        Connection { feed, reading, sender, stop: stop.clone() }.converse(stream)
    })
    .await;
}

struct Connection<T> {
    feed: Arc<Feed<T>>,
    reading: Arc<Reading>,
    sender: String,
    stop: watch::Receiver<bool>,
}

impl<T: Take> Connection<T> {
    async fn converse(mut self, mut stream: Box<dyn AnyStream>) {
        let mut frames = Frames::default();
        let mut buffer = vec![0; READ_BYTES];
        let mut begun: Option<Instant> = None;
        loop {
            match frames.next() {
                Ok(Some(message)) => {
                    begun = None;
                    let (answer, goes_on) = self.answer(message).await;
                    let written = stream.write_all(&framed(&answer)).await.and(stream.flush().await);
                    if written.is_err() || !goes_on {
                        return;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(wrong) => return self.end(wrong.bytes, wrong.why).await,
            }
            let now = Instant::now();
            let deadline = match frames.is_empty() {
                true => now + Duration::from_secs(7 * 86_400),
                false => *begun.get_or_insert(now) + Duration::from_millis(self.reading.message_ms),
            };
            let read = tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break,
                read = timeout_at(deadline, stream.read(&mut buffer)) => read,
            };
            match read {
                Ok(Ok(count)) if count > 0 => frames.push(&buffer[..count]),
                _ => break,
            }
        }
        if let Some(wrong) = frames.rest() {
            self.end(wrong.bytes, wrong.why).await;
        }
    }

    async fn end(&self, bytes: Vec<u8>, why: &str) {
        self.keep("MLLP", why, bytes).await;
        tracing::error!(sender = self.sender, "ALARM: an HL7 connection was closed: {why}");
    }

    /// The answer to a message, and whether the connection goes on.
    async fn answer(&self, raw: Vec<u8>) -> (String, bool) {
        let now = Zoned::now().with_time_zone(self.reading.mapping.zone.clone());
        let message = match Message::parse(&raw) {
            Ok(message) => message,
            Err(unread) => {
                let fate = self.keep(&unread.path, &unread.reason, raw).await;
                return (answer_to_noise(&unread.to_string()), fate != Fate::Lost);
            }
        };
        let lines = match records(&message, &self.reading.mapping, now_ms()) {
            Ok(lines) => lines,
            Err(unread) => {
                let fate = self.keep(&unread.path, &unread.reason, raw).await;
                return match fate {
                    Fate::Lost => (message.answer("AR", FULL, &now), false),
                    _ => (message.answer("AE", &format!("{unread}. It lies in quarantine"), &now), true),
                };
            }
        };
        if let Some((admitted, patient)) = self.reading.admitted.as_ref().zip(admitted(&message)) {
            // What there is no room for is fetched when the patient comes again.
            let _full = admitted.try_send(patient);
        }
        let mut refused = None;
        for line in lines {
            match self.hand(line).await {
                Fate::Taken => {}
                Fate::Quarantined { path, reason } => refused = refused.or(Some(format!("{path}: {reason}"))),
                Fate::Lost => return (message.answer("AR", FULL, &now), false),
            }
        }
        match refused {
            None => (message.answer("AA", "", &now), true),
            Some(why) => (message.answer("AE", &format!("{why}. It lies in quarantine"), &now), true),
        }
    }

    /// Hands one record in. Its own bytes tell a retry: a message may be several records.
    async fn hand(&self, line: Value) -> Fate {
        let raw = line.to_string().into_bytes();
        let message = feed::Message {
            door: Door::Adt,
            source: self.sender.clone(),
            received_ms: now_ms(),
            raw,
            resource: line,
            base: String::new(),
        };
        self.feed.hand(message).await
    }

    async fn keep(&self, path: &str, reason: &str, raw: Vec<u8>) -> Fate {
        let new = New::bytes(Door::Adt, &self.sender, now_ms(), path, reason, raw);
        self.feed.keep(new).await
    }
}

const FULL: &str = "nothing of it was kept: send it again later";
