//! Decision scenarios: stories in TOML, run through the code that decides at apply.
//!
//! A file says who exists, what is on record, what is asked, and what must come out (`docs/scenarios.md`). Hospitals write
//! their own, and `sillage policy test` runs them offline; the end-to-end tests replay the same files against real nodes.
//!
//! Where to start reading:
//!
//! - [`Scenario`]: a file as it was read, its records and requests in the order of their times; `read` and `parse` make it;
//! - [`world`]: its names as real identifiers, its records and requests as real ones;
//! - [`run`]: all of it offline, and what came out otherwise than expected.

mod names;
mod parse;
mod read;
mod records;
pub mod run;
pub mod world;

use std::collections::BTreeMap;

use sillage_rules::codes::Code;
use sillage_rules::consent::env::MatrixRow;
use sillage_rules::consent::{Action, ActorKind, Case};
use sillage_rules::decide::{Obligation, Reason};
use sillage_rules::kind::Kind;
use sillage_rules::time::TimeMs;

pub use read::ScenarioError;

/// Someone or something that acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioActor {
    /// The kind of actor.
    pub kind: ActorKind,
    /// Its profession.
    pub profession: Option<String>,
    /// Its structure.
    pub organisation: Option<String>,
    /// Applications: whether the catalogue lists it.
    pub catalogued: bool,
}

/// An item of a patient, on deposit from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioItem {
    /// Its id.
    pub id: String,
    /// The patient that it belongs to.
    pub patient: String,
    /// Its category.
    pub category: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// The depositor.
    pub depositor: Option<String>,
}

/// The policy, matrix and catalogue of a story, with the names of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScenarioPolicy {
    /// The policy of the file; a field that it leaves out keeps its default.
    pub attending_doctor_sees_all: Option<bool>,
    /// Break-glass opens masked items.
    pub emergency_lifts_mask: Option<bool>,
    /// Professions that need express consent.
    pub express_consent_only: Option<Vec<String>>,
    /// Purposes that nothing allows.
    pub barred_purposes: Option<Vec<String>>,
    /// Systems that deposit without a grant.
    pub legal_feeds: Option<Vec<String>>,
    /// The professions that may open each case.
    pub emergency_professions: BTreeMap<Case, Vec<String>>,
    /// How long a break-glass holds at most, in seconds.
    pub breakglass_max_s: Option<u64>,
    /// Rows of the habilitation matrix.
    pub matrix_deny: Vec<MatrixRow>,
}

/// A field of a record, with the names of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A text.
    Text(String),
    /// An actor of the file.
    Actor(String),
    /// The id of an item of the file.
    Item(String),
    /// The id of a consent or a break-glass.
    Id(String),
    /// A time.
    Time(TimeMs),
    /// A list.
    List(Vec<Field>),
    /// A table.
    Table(Vec<(String, Field)>),
}

/// A record of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioRecord {
    /// The line where it begins.
    pub line: usize,
    /// Its ledger time.
    pub at: TimeMs,
    /// Its content.
    pub kind: Kind,
    /// The patient that it belongs to; none where an actor is revoked for all.
    pub patient: Option<String>,
    /// The actor that signs it.
    pub by: String,
    /// The fields of its kind, without `items` where those stand in the record itself.
    pub fields: Vec<(String, Field)>,
    /// The items that it is about.
    pub items: Vec<String>,
    /// The code with which it must be refused.
    pub refused: Option<Code>,
}

impl ScenarioRecord {
    /// A field of its kind.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }
}

/// The decision that must be made on an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Permitted or not; follows from the reason.
    pub permit: bool,
    /// Why.
    pub reason: Reason,
}

/// A request of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioRequest {
    /// The line where it begins.
    pub line: usize,
    /// Its ledger time.
    pub at: TimeMs,
    /// The actor that asks.
    pub actor: String,
    /// On whom.
    pub patient: String,
    /// To do what.
    pub action: Action,
    /// The purpose.
    pub purpose: String,
    /// With which items.
    pub items: Vec<String>,
    /// The outcome that must come, by item.
    pub expect: BTreeMap<String, Expected>,
    /// The items that the actor is told of; not checked where absent.
    pub told: Option<Vec<String>>,
    /// The actor's obligations; not checked where absent.
    pub obligations: Option<Vec<Obligation>>,
}

/// One step of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is put on record.
    Record(ScenarioRecord),
    /// Something is asked.
    Request(ScenarioRequest),
}

impl Step {
    /// Its ledger time.
    pub const fn at(&self) -> TimeMs {
        match self {
            Self::Record(record) => record.at,
            Self::Request(request) => request.at,
        }
    }
}

/// A story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The rule that it shows, in one sentence.
    pub name: String,
    /// The ledger time of records that give none.
    pub clock: TimeMs,
    /// The policy, the habilitation matrix.
    pub policy: ScenarioPolicy,
    /// The actors, by name.
    pub actors: BTreeMap<String, ScenarioActor>,
    /// The items on deposit, by id.
    pub items: BTreeMap<String, ScenarioItem>,
    /// Records and requests by time; at the same time records first, then as in the file.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong in it, by line.
    pub fn parse(source: &str) -> Result<Self, Vec<ScenarioError>> {
        parse::scenario(source)
    }

    /// The moment at which the story begins.
    pub fn begins_at(&self) -> TimeMs {
        self.steps.iter().map(Step::at).fold(self.clock, TimeMs::min)
    }
}
