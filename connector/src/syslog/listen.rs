//! The syslog port: messages out of connections, into the feed.
//!
//! Syslog has no acknowledgement, so a sender can't be asked to wait: the connection is read as fast as messages can be kept. Up to
//! [`IN_WORK_MAX`] of a connection are in work at once. When none can be kept any more, the connection is closed, and its sender
//! keeps what follows, if it can.

use std::sync::Arc;
use std::time::Duration;

use sillage_client::clock::now_ms;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::audit_event;
use super::event::Settings;
use super::frame::{Frames, Next};
use crate::arrival::Door;
use crate::feed::listen::{AnyStream, Port, run};
use crate::feed::{Fate, Feed, Message, Take};
use crate::quarantine::New;

/// Messages of one connection that are in work at once.
const IN_WORK_MAX: usize = 256;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// How the port reads.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Whether to look for the next message after a wrong length, instead of closing.
    pub resync: bool,
    /// The rest of a message comes within this, milliseconds: slow senders are cut.
    pub message_ms: u64,
    /// A message that doesn't end as one does is taken when nothing followed for this long, milliseconds.
    pub settle_ms: u64,
    /// Facts that an operator says of the senders.
    pub settings: Settings,
}

/// Serves until the connector stops.
pub async fn serve<T: Take>(listener: TcpListener, port: Port, feed: Arc<Feed<T>>, reading: Reading) {
    let stop = port.stop.clone();
    let reading = Arc::new(reading);
    run(listener, port, move |stream, sender| {
        let connection =
            Connection { feed: Arc::clone(&feed), reading: Arc::clone(&reading), sender, stop: stop.clone() };
        connection.converse(stream)
    })
    .await;
}

struct Connection<T> {
    feed: Arc<Feed<T>>,
    reading: Arc<Reading>,
    sender: String,
    stop: watch::Receiver<bool>,
}

/// Why a connection ends.
enum End {
    /// Its sender or the connector ends it.
    Plain,
    /// It can't be read, or nothing can be kept.
    Alarm,
}

impl<T: Take> Connection<T> {
    async fn converse(mut self, mut stream: Box<dyn AnyStream>) {
        let mut work = JoinSet::new();
        let end = self.read_all(&mut *stream, &mut work).await;
        // What was read is brought to its end, whatever became of the connection.
        drop(stream);
        while work.join_next().await.is_some() {}
        if let End::Alarm = end {
            tracing::error!(
                sender = self.sender,
                "ALARM: a syslog connection was closed; what its sender sent after that is lost unless it sends it again"
            );
        }
    }

    async fn read_all(&mut self, stream: &mut dyn AnyStream, work: &mut JoinSet<Fate>) -> End {
        let mut frames = Frames::new(self.reading.resync);
        let mut buffer = vec![0; READ_BYTES];
        let (mut settled, mut ended) = (false, false);
        let mut begun: Option<Instant> = None;
        loop {
            match frames.next(settled || ended) {
                Next::Message { bytes, repaired } => {
                    if repaired {
                        tracing::warn!(
                            sender = self.sender,
                            "a syslog message with a wrong length was repaired: its sender counts characters, not octets"
                        );
                    }
                    begun = None;
                    settled = false;
                    while work.len() >= IN_WORK_MAX {
                        if let Some(Ok(Fate::Lost)) = work.join_next().await {
                            return End::Alarm;
                        }
                    }
                    let (feed, reading, sender) =
                        (Arc::clone(&self.feed), Arc::clone(&self.reading), self.sender.clone());
                    work.spawn(async move { hand(&feed, &reading.settings, sender, bytes).await });
                    continue;
                }
                Next::Skipped(bytes) => {
                    if let Fate::Lost = self.keep("bytes between two messages that are no message", bytes).await {
                        return End::Alarm;
                    }
                    continue;
                }
                Next::Wrong { bytes, why } => {
                    self.keep(&why.to_string(), bytes).await;
                    return End::Alarm;
                }
                Next::More if ended => {
                    return match frames.rest() {
                        Next::Wrong { bytes, why } => {
                            self.keep(&why.to_string(), bytes).await;
                            End::Alarm
                        }
                        _ => End::Plain,
                    };
                }
                Next::More => {}
            }
            while let Some(done) = work.try_join_next() {
                if let Ok(Fate::Lost) = done {
                    return End::Alarm;
                }
            }
            let now = Instant::now();
            let deadline = match frames.is_empty() {
                // Senders keep their connections open for days.
                true => now + Duration::from_secs(7 * 86_400),
                false => {
                    let since = *begun.get_or_insert(now);
                    let cut = since + Duration::from_millis(self.reading.message_ms);
                    if now >= cut {
                        return self.cut(&mut frames).await;
                    }
                    if settled { cut } else { cut.min(now + Duration::from_millis(self.reading.settle_ms)) }
                }
            };
            let read = tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => {
                    ended = true;
                    continue;
                }
                read = timeout_at(deadline, stream.read(&mut buffer)) => read,
            };
            match read {
                Ok(Ok(0) | Err(_)) => ended = true,
                Ok(Ok(count)) => {
                    settled = false;
                    frames.push(&buffer[..count]);
                }
                Err(_) if frames.is_empty() => return End::Plain,
                Err(_) => settled = true,
            }
        }
    }

    /// The sender is too slow.
    async fn cut(&self, frames: &mut Frames) -> End {
        if let Next::Wrong { bytes, .. } = frames.rest() {
            self.keep("the rest of the message didn't come in time, or its length is too large", bytes).await;
        }
        End::Alarm
    }

    async fn keep(&self, reason: &str, raw: Vec<u8>) -> Fate {
        let new = New::bytes(Door::Syslog, &self.sender, now_ms(), "syslog frame", reason, raw);
        self.feed.keep(new).await
    }
}

/// Hands one message in, or keeps it.
async fn hand<T: Take>(feed: &Feed<T>, settings: &Settings, source: String, raw: Vec<u8>) -> Fate {
    let received_ms = now_ms();
    match audit_event(&raw, settings) {
        Ok(resource) => {
            let base = String::new();
            feed.hand(Message { door: Door::Syslog, source, received_ms, raw, resource, base }).await
        }
        Err(unread) => {
            feed.keep(New::bytes(Door::Syslog, &source, received_ms, &unread.path, &unread.reason, raw)).await
        }
    }
}
