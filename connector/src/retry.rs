//! Hands in again what an operator wants to be: `sillage-connector quarantine retry`.
//!
//! The bytes are read anew, so a mapping, a configuration or a program that has changed since counts. An item leaves quarantine only
//! after each part of it was taken, or lies there anew.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::adt;
use crate::arrival::Door;
use crate::feed::{Fate, Feed, Handed, Message, Take};
use crate::quarantine::{Event, Item, New, QuarantineError};
use crate::syslog::frame::{Frames, Next};
use crate::syslog::{self, audit_event};

/// How often the folder is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands items in again.
pub struct Retry<T> {
    /// The way into the intake.
    pub feed: Arc<Feed<T>>,
    /// As the syslog port reads.
    pub syslog: syslog::Settings,
    /// As messages of HL7 v2 and Encounters are mapped; none where neither is taken.
    pub adt: Option<adt::Mapping>,
}

/// A part of an item: a message to hand in, or bytes that still say nothing.
enum Part {
    Message(Box<Message>),
    Unread(New),
}

impl<T: Take> Retry<T> {
    /// Looks for what is to be handed in again, until the connector stops.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let this = Arc::new(self);
        loop {
            let quarantine = Arc::clone(&this.feed.quarantine);
            let due = tokio::task::spawn_blocking(move || quarantine.due()).await;
            match due {
                Ok(Ok(ids)) => {
                    for id in ids {
                        if *stop.borrow() {
                            return;
                        }
                        if let Err(error) = this.one(&id).await {
                            tracing::error!(id, %error, "an item of the quarantine can't be handed in again");
                        }
                    }
                }
                Ok(Err(error)) => tracing::error!(%error, "the quarantine can't be read"),
                Err(_) => return,
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Hands one item in.
    async fn one(&self, id: &str) -> Result<(), QuarantineError> {
        let quarantine = &self.feed.quarantine;
        let item = quarantine.show(id)?;
        let parts = self.parts(&item);
        // As it lies there already: it doesn't become another item.
        if parts.iter().all(|part| matches!(part, Part::Unread(_))) {
            tracing::warn!(id, "handed in again, and it still can't be read: it stays in quarantine");
            return quarantine.hold(id);
        }
        let mut why = Event::Taken;
        for part in parts {
            let fate = match part {
                Part::Unread(new) => self.feed.keep(new).await,
                Part::Message(message) => match self.feed.take.take(*message).await {
                    Handed::Taken => Fate::Taken,
                    Handed::Refused { path, reason } => Fate::Quarantined { path, reason },
                    // Later; what was taken of it is known again then.
                    Handed::Full | Handed::Busy { .. } => return Ok(()),
                },
            };
            match fate {
                Fate::Taken => {}
                Fate::Quarantined { .. } => why = Event::KeptAnew,
                Fate::Lost => return Ok(()),
            }
        }
        quarantine.remove(id, why)
    }

    fn parts(&self, item: &Item) -> Vec<Part> {
        match (item.door, &item.resource) {
            (_, Some(resource)) => vec![message(item, item.raw.clone(), resource.clone())],
            (Door::Rest, None) => vec![event(item)],
            (Door::Syslog, None) => {
                let messages = frames(&item.raw).into_iter();
                let one = |raw: Vec<u8>| match audit_event(&raw, &self.syslog) {
                    Ok(resource) => message(item, raw, resource),
                    Err(unread) => self::unread(item, raw, &unread.path, &unread.reason),
                };
                messages.map(one).collect()
            }
            (Door::Adt, None) => self.adt(item),
        }
    }

    fn adt(&self, item: &Item) -> Vec<Part> {
        let no = |path: &str, reason: &str| vec![unread(item, item.raw.clone(), path, reason)];
        let encounter = match item.raw.trim_ascii_start().first() {
            Some(b'{' | b'<') => match resource(item) {
                Ok(encounter) if encounter["resourceType"] == "Encounter" => Some(encounter),
                _ => return vec![line(item)],
            },
            _ => None,
        };
        let Some(mapping) = &self.adt else {
            return no("", "this connector maps no admissions any more ([adt])");
        };
        let now_ms = sillage_client::clock::now_ms();
        let lines = match encounter {
            Some(encounter) => adt::encounter::records(&encounter, mapping, now_ms),
            None => adt::hl7::Message::parse(&item.raw).and_then(|message| adt::records(&message, mapping, now_ms)),
        };
        match lines {
            Ok(lines) => lines.into_iter().map(|line| message(item, line.to_string().into_bytes(), line)).collect(),
            Err(error) => no(&error.path, &error.reason),
        }
    }
}

/// What `POST /AuditEvent` refused as it came. Its client may have no right but that one: nothing else is made of it.
fn event(item: &Item) -> Part {
    match resource(item) {
        Ok(resource) if resource["resourceType"] == "AuditEvent" => message(item, item.raw.clone(), resource),
        Ok(_) => {
            let why = "it came to /AuditEvent and is no AuditEvent: its client sends it again, where it belongs";
            unread(item, item.raw.clone(), "resourceType", why)
        }
        Err(reason) => unread(item, item.raw.clone(), "", &reason),
    }
}

/// A record line that was made of an admission: of a care team. A sender may send such text as a message, too.
fn line(item: &Item) -> Part {
    match resource(item) {
        Ok(line) if matches!(line["kind"].as_str(), Some("careteam.joined" | "careteam.left")) => {
            message(item, item.raw.clone(), line)
        }
        Ok(_) => unread(item, item.raw.clone(), "", "neither a message of HL7 v2 nor a line of a care team"),
        Err(reason) => unread(item, item.raw.clone(), "", &reason),
    }
}

/// JSON, or FHIR in XML.
fn resource(item: &Item) -> Result<Value, String> {
    let json = match item.raw.trim_ascii_start().starts_with(b"<") {
        true => sillage_fhir::xml::to_json(&item.raw).map(String::into_bytes).map_err(|error| error.to_string()),
        false => Ok(item.raw.clone()),
    };
    json.and_then(|json| serde_json::from_slice::<Value>(&json).map_err(|error| format!("not JSON: {error}")))
}

fn message(item: &Item, raw: Vec<u8>, resource: Value) -> Part {
    let Item { door, source, received_ms, base, .. } = item;
    let (door, source, received_ms, base) = (*door, source.clone(), *received_ms, base.clone());
    Part::Message(Box::new(Message { door, source, received_ms, raw, resource, base }))
}

fn unread(item: &Item, raw: Vec<u8>, path: &str, reason: &str) -> Part {
    Part::Unread(New::bytes(item.door, &item.source, item.received_ms, path, reason, raw))
}

/// The messages in bytes that were put aside: one without its length, or what came after a wrong length.
fn frames(raw: &[u8]) -> Vec<Vec<u8>> {
    if raw.trim_ascii_start().starts_with(b"<") {
        return vec![raw.trim_ascii_start().to_vec()];
    }
    let mut frames = Frames::new(true);
    frames.push(raw);
    let mut out = Vec::new();
    loop {
        match frames.next(true) {
            Next::Message { bytes, .. } | Next::Skipped(bytes) => out.push(bytes),
            Next::Wrong { bytes, .. } => {
                out.push(bytes);
                return out;
            }
            Next::More => break,
        }
    }
    if let Next::Wrong { bytes, .. } = frames.rest() {
        out.push(bytes);
    }
    out
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
