//! How a story becomes records: one call an event, with what all events share filled in.

use super::dice::Dice;
use super::people::World;
use super::{Event, Service};
use sillage_proto::v1::{
    Actor, Authentication, Automated, Basis, BasisKind, Correlation, Deferred, Item, Outcome, Record,
};
use sillage_rules::kind::Kind;

/// Articles of law that stories rest on.
pub mod law {
    /// The attending doctor's access to the record.
    pub const ATTENDING: &str = "CSP L1111-16";
    /// Deposit of documents by those who care.
    pub const DEPOSIT: &str = "CSP L1111-15";
    /// Dispensing on a prescription.
    pub const DISPENSE: &str = "CSP L5125-1";
}

/// Writes the events of a day.
#[derive(Debug)]
pub struct Scribe<'a> {
    /// The people who live and work there.
    pub world: &'a mut World,
    /// The day's choices.
    pub dice: &'a mut Dice,
    events: &'a mut Vec<Event>,
    end_ms: u64,
    story: String,
}

/// One event that is being written; [`Line::done`] puts it on the day's list.
#[derive(Debug)]
#[must_use = "an event counts once it is done()"]
pub struct Line<'s, 'a> {
    scribe: &'s mut Scribe<'a>,
    event: Event,
}

impl<'a> Scribe<'a> {
    /// A scribe who writes to `events` what happened until `end_ms`.
    pub fn new(world: &'a mut World, dice: &'a mut Dice, events: &'a mut Vec<Event>, end_ms: u64) -> Self {
        Self { world, dice, events, end_ms, story: String::new() }
    }

    /// How many events there are.
    pub fn written(&self) -> usize {
        self.events.len()
    }

    /// Begins a story: its events share a correlation id.
    pub fn story(&mut self) {
        self.story = self.dice.uuid();
    }

    /// Begins an event. `at_ms` later than the day's end means that it has not happened yet: it is dropped when done.
    pub fn event<'s>(
        &'s mut self,
        service: Service,
        patient: usize,
        at_ms: u64,
        kind: Kind,
        who: Actor,
    ) -> Line<'s, 'a> {
        let auth = if who.role == "patient" {
            Authentication {
                issuer: "FranceConnect+".into(),
                method: "mobile".into(),
                eidas_level: "substantial".into(),
            }
        } else {
            Authentication { issuer: "Pro Santé Connect".into(), method: "e-CPS".into(), eidas_level: "high".into() }
        };
        let record = Record {
            version: 1,
            kind: u32::from(kind.code()),
            actor: Some(who),
            auth: Some(auth),
            occurred_at_ms: at_ms,
            purpose: "TREAT".to_owned(),
            outcome: Outcome::Success as i32,
            correlation: Some(Correlation { launch_context: String::new(), ids: vec![self.story.clone()] }),
            ..Record::default()
        };
        Line { scribe: self, event: Event { service, patient, record } }
    }
}

impl Line<'_, '_> {
    /// The documents that it was done to.
    pub fn items(mut self, items: &[Item]) -> Self {
        self.event.record.items = items.to_vec();
        self
    }

    /// Why: a v3-PurposeOfUse code.
    pub fn purpose(mut self, purpose: &str) -> Self {
        self.event.record.purpose = purpose.to_owned();
        self
    }

    /// By what right.
    pub fn basis(mut self, kind: BasisKind, reference: &str) -> Self {
        self.event.record.basis = Some(Basis { kind: kind as i32, r#ref: reference.to_owned() });
        self
    }

    /// The fields of its kind, as JSON.
    pub fn details(mut self, details: &serde_json::Value) -> Self {
        self.event.record.details = details.to_string();
        self
    }

    /// It was handed in after the establishment had worked without the ledger, for this reason.
    pub fn deferred(mut self, reason: &str) -> Self {
        self.event.record.deferred = Some(Deferred { reason: reason.to_owned() });
        self
    }

    /// A software acted on its own.
    pub fn automated(mut self, software: &str, version: &str) -> Self {
        self.event.record.automated = Some(Automated { software: software.to_owned(), version: version.to_owned() });
        self.event.record.auth = None;
        self
    }

    /// Someone who received it.
    pub fn recipient(mut self, who: Actor) -> Self {
        self.event.record.agents.push(sillage_proto::v1::Agent {
            r#type: "recipient".to_owned(),
            who: Some(who),
            network_address: String::new(),
            requestor: false,
        });
        self
    }

    /// Puts it on the list, unless the day ends before.
    pub fn done(self) {
        if self.event.record.occurred_at_ms <= self.scribe.end_ms {
            self.scribe.events.push(self.event);
        }
    }
}
