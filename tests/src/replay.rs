//! Decision scenarios against running nodes.
//!
//! A ledger's time is its own: no one can tell nodes that it is 9 o'clock on 2 March. So a story's times are put on the
//! present, with its order and its edges kept. Only the times that records *mention* (`from`, `until`, `expires`) are edges,
//! for only those are compared with a clock. Between two edges there is as long as what happens between them needs; what
//! happens at an edge's instant happens after it. Where the machine was too slow and an answer came beyond the next edge,
//! all of it is told again, at half the pace, to patients of other names.

use std::collections::BTreeMap;
use std::time::Duration;

use sillage_client::author::{Author, AuthorOptions, NewRecord, TagRequest, Tags, tags_of};
use sillage_client::authorize::{Ask, Authorizer};
use sillage_client::channel::Timeouts;
use sillage_client::error::{ClientError, ErrorCode};
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_client::trace::read_page;
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::decide::{Obligation, Reason};
use sillage_rules::record::act_message;
use sillage_rules::time::TimeMs;
use sillage_scenario::run::{Came, request_mismatches};
use sillage_scenario::world::{Said, World as Names, is_secret};
use sillage_scenario::{Expected, Field, Scenario, ScenarioRecord, ScenarioRequest, Step};

use crate::authority::Authority;
use crate::lines::now_ms;

/// What one step may take, in the first telling.
const STEP: Duration = Duration::from_millis(250);
/// What the nodes may take to find another leader.
const ELECTION: Duration = Duration::from_secs(12);
/// Deadlines of the calls: an election fits in.
const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(5), total: Duration::from_secs(40) };

/// A story and the file that it is from.
pub struct Told {
    /// For what is said of it.
    pub file: String,
    /// As it was read.
    pub scenario: Scenario,
}

/// An answer came after the edge before which it was to come.
#[derive(Debug)]
pub struct TooSlow;

/// The time of every edge of these stories.
#[derive(Debug, Default)]
pub struct Clock(BTreeMap<TimeMs, TimeMs>);

impl Clock {
    /// Puts the edges of `stories` on the time from `begins` on. A step takes `step`, and the one at `troubled` of all steps
    /// in their order takes an election more.
    pub fn of(stories: &[Told], begins: TimeMs, step: Duration, troubled: usize) -> Self {
        let mut edges = BTreeMap::new();
        stories.iter().flat_map(|told| &told.scenario.steps).for_each(|step| {
            if let Step::Record(record) = step {
                record.fields.iter().for_each(|(_, field)| {
                    times(field, &mut |time| {
                        edges.insert(*time, TimeMs(0));
                    })
                });
            }
        });
        let steps = merged(stories);
        let first = stories.iter().map(|told| told.scenario.begins_at()).min().unwrap_or(TimeMs(0));
        let past = edges.range(..=first).count() as u64;
        let (mut passed, mut now, mut rank) = (0, begins.0, 0);
        for (edge, mapped) in &mut edges {
            if *edge <= first {
                *mapped = TimeMs(begins.0 - 1_000 * (past - rank));
                rank += 1;
                continue;
            }
            let until = steps.iter().filter(|(_, step)| step.at() < *edge).count();
            let election = if (passed..until).contains(&troubled) { ELECTION } else { Duration::ZERO };
            let takes = step * u32::try_from(until - passed).expect("few steps") + election + step * 4;
            now += u64::try_from(takes.as_millis()).expect("not that long");
            // What nothing comes after stays far away.
            let ahead = if until == steps.len() { 3_600_000 } else { 0 };
            (passed, *mapped) = (until, TimeMs(now + ahead));
        }
        Self(edges)
    }

    /// The last edge that a step at `at` comes after, and the first that it comes before, on the present time.
    fn around(&self, at: TimeMs) -> (u64, u64) {
        let after = self.0.range(..=at).next_back().map_or(0, |(_, mapped)| mapped.0);
        let before = self.0.range((std::ops::Bound::Excluded(at), std::ops::Bound::Unbounded)).next();
        (after, before.map_or(u64::MAX, |(_, mapped)| mapped.0))
    }

    /// The story with its edges on the present time.
    pub fn put(&self, scenario: &Scenario) -> Scenario {
        let mut scenario = scenario.clone();
        for step in &mut scenario.steps {
            if let Step::Record(record) = step {
                record.fields.iter_mut().for_each(|(_, field)| self.put_field(field));
            }
        }
        scenario
    }

    fn put_field(&self, field: &mut Field) {
        match field {
            Field::Time(time) => *time = self.0[time],
            Field::List(fields) => fields.iter_mut().for_each(|field| self.put_field(field)),
            Field::Table(fields) => fields.iter_mut().for_each(|(_, field)| self.put_field(field)),
            Field::Text(_) | Field::Actor(_) | Field::Item(_) | Field::Id(_) => {}
        }
    }
}

fn times(field: &Field, see: &mut impl FnMut(&TimeMs)) {
    match field {
        Field::Time(time) => see(time),
        Field::List(fields) => fields.iter().for_each(|field| times(field, see)),
        Field::Table(fields) => fields.iter().for_each(|(_, field)| times(field, see)),
        Field::Text(_) | Field::Actor(_) | Field::Item(_) | Field::Id(_) => {}
    }
}

/// The steps of all stories by time, each with its story; those of one story in its order.
pub fn merged(stories: &[Told]) -> Vec<(usize, &Step)> {
    let steps = stories.iter().enumerate().flat_map(|(i, told)| told.scenario.steps.iter().map(move |step| (i, step)));
    let mut steps: Vec<_> = steps.collect();
    steps.sort_by_key(|(_, step)| step.at());
    steps
}

/// A request that was answered, to be held against the trace.
struct Asked {
    story: usize,
    line: usize,
    /// Of the request as it was signed.
    hash: Vec<u8>,
    told: Vec<String>,
    obligations: Vec<String>,
}

/// Tells stories to the nodes, through each of them in turn.
pub struct Replay<'s> {
    stories: &'s [Told],
    clock: Clock,
    /// On the present time, by story.
    present: &'s [Scenario],
    names: Vec<Names<'s>>,
    sessions: &'s [Session],
    authors: Vec<Author>,
    askers: Vec<Authorizer<'s>>,
    authority: Authority,
    tags: Tags,
    asked: Vec<Asked>,
    /// What came out otherwise than expected.
    pub mismatches: Vec<String>,
}

/// A session through each node first: with the authority's key beside the author's.
///
/// # Panics
/// When the ledger can't be reached.
pub async fn sessions(profile: &Profile, authority: &Profile) -> Vec<Session> {
    let mut out = Vec::new();
    for first in 0..profile.endpoints.len() {
        let authority_cert = Some((authority.cert.clone(), authority.key.clone()));
        let authority_key = authority.authority_key.clone();
        let mut profile = Profile { authority_key, authority_cert, ..profile.clone() };
        profile.endpoints.rotate_left(first);
        out.push(Session::open(profile, TIMEOUTS).await.expect("a session"));
    }
    out
}

impl<'s> Replay<'s> {
    /// Puts on record what the stories begin with: policy, matrix, catalogue, deposits. All have the same policy.
    ///
    /// # Panics
    /// When the ledger can't be reached, or refuses what a story begins with.
    pub async fn begin(
        stories: &'s [Told],
        present: &'s [Scenario],
        clock: Clock,
        namespace: &str,
        sessions: &'s [Session],
    ) -> Self {
        let names: Vec<Names<'_>> =
            present.iter().enumerate().map(|(i, story)| Names::new(story, &format!("{namespace}.{i}"))).collect();
        let (mut authors, mut askers) = (Vec::new(), Vec::new());
        for (node, session) in sessions.iter().enumerate() {
            let mut profile = session.profile.clone();
            profile.stream = format!("{namespace}.{node}");
            let session = Session::open(profile, TIMEOUTS).await.expect("a session");
            let options = AuthorOptions { streams: 1, outbox: false };
            authors.push(Author::open(&session, options).await.expect("an author"));
        }
        for session in sessions {
            askers.push(Authorizer::open(session).await.expect("an author may ask"));
        }
        let session = &sessions[0];
        let authority = Authority::open(session, namespace).await;
        let mut replay = Self {
            stories,
            clock,
            present,
            names,
            sessions,
            authors,
            askers,
            authority,
            tags: tags_of(session),
            asked: Vec::new(),
            mismatches: Vec::new(),
        };
        replay.publish().await;
        replay.deposit().await;
        replay
    }

    async fn publish(&mut self) {
        let mut documents: Vec<v1::Record> = Vec::new();
        for names in &self.names {
            for (i, record) in names.published(TimeMs(now_ms())).into_iter().enumerate() {
                match documents.get_mut(i) {
                    None => documents.push(record),
                    // The catalogue: that of all of them.
                    Some(before) => before.details = both(&before.details, &record.details),
                }
            }
        }
        for record in documents {
            self.authority.send(record).await.expect("published");
        }
    }

    async fn deposit(&mut self) {
        let mut records = Vec::new();
        for (names, story) in self.names.iter().zip(self.present) {
            for item in story.items.values() {
                let record = names.deposit(item, &[0; 32], TimeMs(now_ms()));
                records.push(NewRecord { patient: Some(patient(names, &item.patient, false)), record });
            }
        }
        self.authors[0].submit(records).await.expect("deposits are never refused");
    }

    /// Tells one step, through node `node` first.
    ///
    /// # Errors
    /// When the answer came beyond the next edge.
    ///
    /// # Panics
    /// When there was none.
    pub async fn tell(&mut self, story: usize, step: &Step, node: usize) -> Result<(), TooSlow> {
        let (after, before) = self.clock.around(step.at());
        while now_ms() <= after {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let position = self.stories[story].scenario.steps.iter().position(|known| known == step).expect("its own step");
        let decided = match &self.present[story].steps[position] {
            Step::Record(record) => self.put(story, record, node).await,
            Step::Request(request) => self.ask(story, request, node).await,
        };
        match decided.unwrap_or_else(now_ms) < before {
            true => Ok(()),
            false => Err(TooSlow),
        }
    }

    /// Gives the time of a record that was taken.
    async fn put(&mut self, story: usize, record: &ScenarioRecord, node: usize) -> Option<u64> {
        let names = &self.names[story];
        let record = ScenarioRecord { at: TimeMs(now_ms()), ..record.clone() };
        let whose = record.patient.as_deref().map(|name| patient(names, name, is_secret(record.kind)));
        let outcome = match names.record(&record, &[0; 32]) {
            Said::ActorRevoked(actor_hash) => {
                let act = Act::ActorRevoked { actor_hash, reason: "a scenario says so".to_owned() };
                self.authority.send(act_message(&act, now_ms())).await
            }
            Said::Record { message, authority: false } => {
                self.authors[node].submit(vec![NewRecord { patient: whose, record: *message }]).await
            }
            Said::Record { message, authority: true } => {
                let tags = self.tags.resolve(&[whose.expect("a representation is a patient's")]).await.expect("a tag");
                let message = v1::Record { tag: tags[0].to_bytes().to_vec(), ..*message };
                self.authority.send(message).await
            }
        };
        let (time, refused) = match outcome {
            Ok(receipt) => (Some(receipt.time_ms), None),
            Err(ClientError::Rejected(rejection)) => (None, Some(rejection.code)),
            Err(error) => panic!("{}:{}: {error}", self.stories[story].file, record.line),
        };
        let expected = record.refused.map(ErrorCode::from);
        if refused != expected {
            let of =
                |code: Option<ErrorCode>| code.map_or_else(|| "accepted".to_owned(), |code| format!("refused {code}"));
            let why = format!("expected to be {}, got {}", of(expected), of(refused));
            self.mismatch(story, record.line, &why);
        }
        time
    }

    async fn ask(&mut self, story: usize, request: &ScenarioRequest, node: usize) -> Option<u64> {
        let names = &self.names[story];
        let said = names.request(request, &[0; 32], None, [0; 16], TimeMs(now_ms()));
        let ins = names.ins(&request.patient);
        let ask = Ask {
            patient: v1::PatientIdentity { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() },
            actor: said.actor.expect("a request has an actor"),
            auth: said.auth,
            action: said.action,
            purpose: said.purpose,
            items: said.items,
            correlation: None,
        };
        let answer = self.askers[node].authorize(vec![ask]).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}:{}: {error}", self.stories[story].file, request.line));
        match answer.into_iter().next().expect("one answer to one question") {
            Err(rejection) => {
                self.mismatch(story, request.line, &format!("got the refusal {}", rejection.code));
                None
            }
            Ok(granted) => {
                let receipt = &granted.receipts[0];
                let (hash, time) = (receipt.view.actor.request_hash.clone(), receipt.message.time.get());
                let (told, obligations) = (granted.told, granted.obligations);
                self.asked.push(Asked { story, line: request.line, hash, told, obligations });
                Some(time)
            }
        }
    }

    /// Holds what is on record against what was to come out: a reader of the traces sees why.
    ///
    /// # Panics
    /// When a trace can't be read.
    pub async fn compare(&mut self) {
        let mut decided: BTreeMap<Vec<u8>, Vec<v1::ItemOutcome>> = BTreeMap::new();
        for story in 0..self.stories.len() {
            let requests = self.present[story].steps.iter().filter_map(|step| match step {
                Step::Request(request) => Some(request.patient.as_str()),
                Step::Record(_) => None,
            });
            let patients: std::collections::BTreeSet<&str> = requests.collect();
            for name in patients {
                let ins = self.names[story].ins(name);
                let tags = self.tags.both(ins.value(), ins.oid().as_str()).await.expect("tags");
                self.decisions(story, tags, &mut decided).await;
            }
        }
        for asked in std::mem::take(&mut self.asked) {
            let request = self.present[asked.story].steps.iter().find_map(|step| match step {
                Step::Request(request) if request.line == asked.line => Some(request),
                _ => None,
            });
            let (request, names) = (request.expect("it was asked"), &self.names[asked.story]);
            let id = |theirs: &String| request.items.iter().find(|id| names.id(id) == *theirs).cloned();
            let outcomes = decided.remove(&asked.hash).unwrap_or_default();
            let expected = |outcome: &v1::ItemOutcome| {
                let reason = Reason::from_token(&outcome.reason).expect("a reason");
                (id(&outcome.id).expect("it was asked for"), Expected { permit: outcome.permit, reason })
            };
            let came = Came {
                items: outcomes.iter().map(expected).collect(),
                told: asked.told.iter().filter_map(id).collect(),
                obligations: asked.obligations.iter().filter_map(|token| Obligation::from_token(token)).collect(),
            };
            for why in request_mismatches(request, &came) {
                self.mismatch(asked.story, asked.line, &why);
            }
        }
    }

    async fn decisions(
        &self,
        story: usize,
        (open, secret): (PatientTag, Option<PatientTag>),
        decided: &mut BTreeMap<Vec<u8>, Vec<v1::ItemOutcome>>,
    ) {
        let (session, mut cursor) = (&self.sessions[story % self.sessions.len()], None);
        loop {
            let request = v1::TraceRequest::default();
            let page =
                read_page(session, &request, &open, secret.as_ref(), cursor.as_deref(), 200).await.expect("a page");
            for line in page.lines {
                if let Some(decision) = &line.line.decision {
                    let outcomes = decided.entry(decision.actor_part().request_hash.clone()).or_default();
                    outcomes.extend(decision.private_part().outcomes.iter().cloned());
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return;
            }
        }
    }

    fn mismatch(&mut self, story: usize, line: usize, why: &str) {
        self.mismatches.push(format!("{}:{line}: {why}", self.stories[story].file));
    }
}

fn patient(names: &Names<'_>, name: &str, secret: bool) -> TagRequest {
    let ins = names.ins(name);
    TagRequest { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned(), secret }
}

/// Two documents of one version: their applications joined, all else the later one's.
fn both(before: &str, after: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("a document is JSON");
    let (before, mut after) = (parse(before), parse(after));
    let apps = after.get_mut("apps").and_then(serde_json::Value::as_array_mut);
    if let (Some(apps), Some(before)) = (apps, before["apps"].as_array()) {
        apps.extend(before.iter().cloned());
    }
    after.to_string()
}

/// The pace of a telling: each one after the first at half of it.
pub fn pace(telling: u32) -> Duration {
    STEP * (1 << telling)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Told {
        let head = r#"
            name = "a story"
            clock = "2026-03-02T08:00:00Z"
            [actors.claire]
            kind = "patient"
            [actors.dr-x]
            kind = "professional"
            profession = "physician"
            [[items]]
            id = "d1"
            patient = "claire"
            category = "REPORT"
        "#;
        let scenario = Scenario::parse(&format!("{head}{body}")).expect("a scenario");
        Told { file: "a".to_owned(), scenario }
    }

    #[test]
    fn order_and_edges_are_kept() {
        let request = |at: &str| {
            format!(
                "[[requests]]\nat = \"{at}\"\nactor = \"dr-x\"\npatient = \"claire\"\naction = \"read\"\n\
                 purpose = \"TREAT\"\nitems = [\"d1\"]\nexpect = {{ d1 = \"permit CONSENT_GRANT\" }}\n"
            )
        };
        let grant = "[[records]]\nkind = \"consent.directive\"\nid = \"c\"\neffect = \"permit\"\npatient = \"claire\"\n\
                     grantee = { professional = \"dr-x\" }\nactions = [\"read\"]\nfrom = \"2026-03-02T10:00:00Z\"\n\
                     until = \"2026-03-02T11:00:00Z\"\n";
        let times = ["2026-03-02T09:59:59.999Z", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"];
        let stories = [told(&format!("{grant}{}", times.map(request).concat()))];
        let clock = Clock::of(&stories, TimeMs(1_000_000), Duration::from_millis(100), 0);
        let at = |text: &str| clock.around(text.parse::<TimeMs>().expect("a time"));
        let [(_, end), (begin, until), (after, _)] = times.map(at);
        assert_eq!((end, until), (begin, after), "what ends at an instant and what begins at it meet");
        assert!(1_000_000 < end && begin < until);
        assert_eq!(until - begin, 100 + 400, "one step between, and four of slack");
        assert_eq!(end - 1_000_000, 200 + 400 + 12_000, "the first step has trouble");
        let present = clock.put(&stories[0].scenario);
        let Step::Record(record) = &present.steps[0] else { panic!("the grant") };
        assert_eq!(record.field("from"), Some(&Field::Time(TimeMs(begin))));
    }
}
