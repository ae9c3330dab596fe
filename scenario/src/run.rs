//! A story, offline: the same events, admissions and decisions as at apply, and what came out otherwise than expected.

use std::collections::{BTreeMap, BTreeSet};

use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::admit::check_lifting;
use sillage_rules::consent::{ActorName, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::{Decision, ItemFacts, Obligation, ParsedRequest, Request, check_contradictions, decide};
use sillage_rules::record::ParsedRecord;
use sillage_rules::time::TimeMs;
use sillage_rules::will::binding::record_digest;

use super::world::{Said, World, is_secret};
use super::{Expected, Field, Scenario, ScenarioRecord, ScenarioRequest, Step};

/// Offline nobody asks for a patient's tag.
const TAG: [u8; 32] = [1; 32];

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Came {
    /// The decisions, by item.
    pub items: BTreeMap<String, Expected>,
    /// The items that the actor is told of.
    pub told: Vec<String>,
    /// The actor's obligations.
    pub obligations: Vec<Obligation>,
}

/// One line of a run: a request, or a record that came out otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLine {
    /// The line of the file.
    pub line: usize,
    /// When it happened.
    pub at: TimeMs,
    /// The line in words, with its outcome.
    pub text: String,
    /// The expectations that weren't met; empty where all were.
    pub mismatches: Vec<String>,
}

/// A story that was run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// In the order of the story.
    pub lines: Vec<RunLine>,
    /// Requests.
    pub requests: usize,
    /// Records that were refused as expected.
    pub refused: usize,
}

impl Run {
    /// How many lines came out otherwise than expected.
    pub fn mismatches(&self) -> usize {
        self.lines.iter().filter(|line| !line.mismatches.is_empty()).count()
    }
}

/// Runs a story.
///
/// # Errors
/// When its beginning can't be put on record: a policy or an item that no ledger takes.
pub fn run(scenario: &Scenario) -> Result<Run, String> {
    let mut ledger = Offline::begin(scenario)?;
    let mut run = Run::default();
    for step in &scenario.steps {
        match step {
            Step::Record(record) => {
                let refused = ledger.put(record);
                run.refused += usize::from(refused.is_some() && refused == record.refused);
                if let Some(mismatch) = record_mismatch(record, refused) {
                    let text = format!("record {} by {}", record.kind, record.by);
                    run.lines.push(RunLine { line: record.line, at: record.at, text, mismatches: vec![mismatch] });
                }
            }
            Step::Request(request) => {
                run.requests += 1;
                let (text, mismatches) = match ledger.ask(request) {
                    Ok(came) => (describe(request, &came), request_mismatches(request, &came)),
                    Err(code) => {
                        let asked = describe(request, &Came::default());
                        (asked, vec![format!("expected an answer, got the refusal {code}")])
                    }
                };
                run.lines.push(RunLine { line: request.line, at: request.at, text, mismatches });
            }
        }
    }
    Ok(run)
}

fn describe(request: &ScenarioRequest, came: &Came) -> String {
    let ScenarioRequest { actor, action, purpose, patient, .. } = request;
    let outcomes: Vec<String> = request
        .items
        .iter()
        .filter_map(|item| came.items.get(item).map(|outcome| format!("{item} {}", words(outcome))))
        .collect();
    format!("{actor} {action} {purpose} of {patient}: {}", outcomes.join(", "))
}

fn words(outcome: &Expected) -> String {
    format!("{} {}", if outcome.permit { "permit" } else { "deny" }, outcome.reason)
}

/// The expectations of a record that weren't met. `refused` is the code it was refused with.
pub fn record_mismatch(record: &ScenarioRecord, refused: Option<Code>) -> Option<String> {
    match (record.refused, refused) {
        (expected, got) if expected == got => None,
        (Some(expected), Some(got)) => Some(format!("expected to be refused {expected}, got {got}")),
        (Some(expected), None) => Some(format!("expected to be refused {expected}, got accepted")),
        (None, Some(got)) => Some(format!("expected to be accepted, got refused {got}")),
        (None, None) => None,
    }
}

/// The expectations of a request that weren't met. `told` and `obligations` are checked where the story gives them,
/// whatever their order.
pub fn request_mismatches(request: &ScenarioRequest, came: &Came) -> Vec<String> {
    let mut mismatches = Vec::new();
    for (item, expected) in &request.expect {
        let got = came.items.get(item);
        if got != Some(expected) {
            let got = got.map_or_else(|| "nothing".to_owned(), words);
            mismatches.push(format!("{item}: expected {}, got {got}", words(expected)));
        }
    }
    if let Some(told) = &request.told {
        let (expected, got) = (told.iter().collect::<BTreeSet<_>>(), came.told.iter().collect::<BTreeSet<_>>());
        if expected != got {
            mismatches.push(format!("told: expected {expected:?}, got {got:?}"));
        }
    }
    if let Some(obligations) = &request.obligations {
        let tokens = |list: &[Obligation]| list.iter().map(|obligation| obligation.as_str()).collect::<BTreeSet<_>>();
        let (expected, got) = (tokens(obligations), tokens(&came.obligations));
        if expected != got {
            mismatches.push(format!("obligations: expected {expected:?}, got {got:?}"));
        }
    }
    mismatches
}

/// The states of one patient's tags.
#[derive(Default)]
struct Tags {
    open: PatientState,
    secret: PatientState,
}

/// A ledger of one story, without a log.
struct Offline<'s> {
    scenario: &'s Scenario,
    world: World<'s>,
    policy: Policy,
    matrix: Matrix,
    catalogue: Catalogue,
    patients: BTreeMap<String, Tags>,
    revoked: BTreeSet<String>,
    index: u64,
}

impl<'s> Offline<'s> {
    /// Policy, matrix, catalogue and deposits, before anything else.
    fn begin(scenario: &'s Scenario) -> Result<Self, String> {
        let mut ledger = Self {
            scenario,
            world: World::new(scenario, ""),
            policy: Policy::default(),
            matrix: Matrix::default(),
            catalogue: Catalogue::default(),
            patients: BTreeMap::new(),
            revoked: BTreeSet::new(),
            index: 0,
        };
        let at = scenario.begins_at();
        for message in ledger.world.published(at) {
            let (event, meta) = ledger.event(message, at, true).map_err(|(code, why)| format!("{code}: {why}"))?;
            let admitted = PatientState::default().admit(&event, &meta, &ledger.env(&|_| false));
            admitted.map_err(|refusal| format!("{}: {refusal}", refusal.code))?;
            match event {
                Event::Policy(policy) => ledger.policy = *policy,
                Event::Matrix(matrix) => ledger.matrix = matrix,
                Event::Catalogue(catalogue) => ledger.catalogue = catalogue,
                _ => {}
            }
        }
        for item in scenario.items.values() {
            let message = ledger.world.deposit(item, &TAG, at);
            let deposit = ledger.event(message, at, false);
            let (event, meta) = deposit.map_err(|(code, why)| format!("item {}: {code}: {why}", item.id))?;
            ledger.patients.entry(item.patient.clone()).or_default().open.apply(&event, &meta);
        }
        Ok(ledger)
    }

    fn env<'a>(&'a self, revoked: &'a dyn Fn(&ActorName) -> bool) -> Env<'a> {
        Env {
            policy: &self.policy,
            matrix: &self.matrix,
            catalogue: &self.catalogue,
            revoked,
            claims: true,
            across_servers: true,
        }
    }

    /// The event that a record is, and what the ledger knows of it.
    fn event(&mut self, message: v1::Record, at: TimeMs, authority: bool) -> Result<(Event, Meta), (Code, String)> {
        let refused = |error: sillage_rules::record::RecordError| (error.code, error.to_string());
        let record = ParsedRecord::from_message(message).map_err(refused)?;
        let event = Event::of(&record).map_err(refused)?;
        let event = event.ok_or_else(|| (Code::UnknownKind, format!("{} decides nothing", record.kind())))?;
        self.index += 1;
        let mut meta = Meta::of(&record, self.index.into(), at.0.into(), authority, false).map_err(refused)?;
        if meta.authenticated {
            // Whoever decides in a story has logged in.
            meta.will.get_or_insert_with(|| record_digest(record.message()));
        }
        Ok((event, meta))
    }

    /// Tells whether a name is that of a revoked actor, in the records of one patient.
    fn is_revoked(&self, name: &ActorName, patient: Option<&str>) -> bool {
        self.revoked.iter().any(|revoked| self.world.name(revoked, patient) == *name)
    }

    /// Puts a record on record, or says with which code it is refused.
    fn put(&mut self, record: &ScenarioRecord) -> Option<Code> {
        let (message, authority) = match self.world.record(record, &TAG) {
            Said::Record { message, authority } => (*message, authority),
            Said::ActorRevoked(_) => {
                if let Some(Field::Actor(actor)) = record.field("actor") {
                    self.revoked.insert(actor.clone());
                }
                return None;
            }
        };
        let (mut event, meta) = match self.event(message, record.at, authority) {
            Ok(event) => event,
            Err((code, _)) => return Some(code),
        };
        let patient = record.patient.clone().unwrap_or_default();
        let mut tags = self.patients.remove(&patient).unwrap_or_default();
        let Tags { open, secret } = &mut tags;
        let (state, other) = if is_secret(record.kind) { (secret, open) } else { (open, secret) };
        let revoked = |name: &ActorName| self.is_revoked(name, Some(&patient));
        let admitted = state.admit(&event, &meta, &self.env(&revoked));
        let admitted = admitted.and_then(|()| check_lifting(other, &event, &meta));
        if let Event::BreakGlassOpened(opened) = &mut event {
            opened.bound(&self.policy, meta.time, None);
        }
        if admitted.is_ok() {
            state.apply(&event, &meta);
        }
        self.patients.insert(patient, tags);
        admitted.err().map(|refusal| refusal.code)
    }

    fn ask(&self, asked: &ScenarioRequest) -> Result<Came, Code> {
        let message = self.world.request(asked, &TAG, Some(&[2; 32]), [0; 16], asked.at);
        let parsed = ParsedRequest::from_message(message).map_err(|error| error.code)?;
        let nothing = Tags::default();
        let tags = self.patients.get(&asked.patient).unwrap_or(&nothing);
        let facts = asked.items.iter().zip(parsed.items()).map(|(id, item)| {
            let other_patient = self.scenario.items[id].patient != asked.patient;
            ItemFacts::of(item, &tags.open, Some(&tags.secret), other_patient)
        });
        let request = Request {
            actor: parsed.actor().clone(),
            action: parsed.action(),
            purpose: parsed.purpose().to_owned(),
            at: asked.at.0.into(),
            items: facts.collect(),
            word_of: None,
        };
        let revoked = |name: &ActorName| self.is_revoked(name, Some(&asked.patient));
        let decision = decide(&self.env(&revoked), &tags.open, Some(&tags.secret), &request);
        check_contradictions(&decision).map_err(|refusal| refusal.code)?;
        Ok(came(&decision))
    }
}

/// Offline the ids of a story are those of the records.
fn came(decision: &Decision) -> Came {
    let outcome = |item: &sillage_rules::decide::ItemDecision| {
        (item.id.clone(), Expected { permit: item.permit, reason: item.reason })
    };
    Came {
        items: decision.items.iter().map(outcome).collect(),
        told: decision.told().into_iter().map(str::to_owned).collect(),
        obligations: decision.obligations.clone(),
    }
}
