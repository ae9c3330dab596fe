//! Consent against a naive model, on ledgers that keep nothing, almost nothing and everything in memory: the same
//! commands give the same outcomes and the same bytes, also after a restart and from a snapshot.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use serde_json::json;
use sillage_ledger::{CommandOutcome, GlassFilter, Ledger, Options};
use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::{Command, SealedBatch, SealedDecision};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::consent::ActorName;
use sillage_rules::consent::caps::RecordCaps;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::entry::{Entry, UnjustifiedReason};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;

use crate::common::naive::consent::Consent;
use crate::common::world::*;
use crate::common::{genesis, keks, quiet, tag, two_tags};

/// The next step of a test. Numbers choose among what exists.
#[derive(Debug, Clone)]
enum Step {
    /// A batch of records, each of a patient and a kind.
    Records(Vec<(u8, u8, u8)>),
    /// Requests under one signature: patient, with the secret tag or not, doctor, items.
    Ask(Vec<(u8, bool, u8, u8)>),
    /// The last request once more.
    AskAgain,
    /// An access that cites an earlier decision.
    Access { patient: u8, doctor: u8, back: u8, item: u8 },
    /// The authority publishes something.
    Publish(u8),
    /// The authority revokes a doctor.
    RevokeDoctor(u8),
    /// An earlier record is erased.
    Erase(u8),
    /// A patient is erased.
    ErasePatient(u8),
    /// An index commit.
    Commit,
    /// So many of the next batches and requests come in one command.
    Together(u8),
    /// Time passes.
    Wait(u32),
    /// One of the ledgers is opened again.
    Reopen(u8),
    /// One of the ledgers goes on from a snapshot of another.
    Snapshot(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0_u8..4, any::<u8>(), any::<u8>());
    prop_oneof![
        10 => proptest::collection::vec(record, 1..4).prop_map(Step::Records),
        8 => proptest::collection::vec((1_u8..4, any::<bool>(), 0_u8..4, any::<u8>()), 1..4).prop_map(Step::Ask),
        1 => Just(Step::AskAgain),
        3 => (1_u8..4, 0_u8..4, 0_u8..6, 0_u8..6)
            .prop_map(|(patient, doctor, back, item)| Step::Access { patient, doctor, back, item }),
        1 => (0_u8..3).prop_map(Step::Publish),
        1 => (0_u8..3).prop_map(Step::RevokeDoctor),
        2 => any::<u8>().prop_map(Step::Erase),
        1 => (1_u8..4).prop_map(Step::ErasePatient),
        1 => Just(Step::Commit),
        3 => (2_u8..6).prop_map(Step::Together),
        2 => (1_u32..400_000).prop_map(Step::Wait),
        1 => (0_u8..3).prop_map(Step::Reopen),
        1 => (0_u8..3).prop_map(Step::Snapshot),
    ]
}

/// Patient 0 stands for the secret tag of patient 1.
fn patient_tag(number: u8) -> [u8; 32] {
    match number {
        0 => two_tags(1).secret,
        1 => two_tags(1).open,
        _ => tag(number),
    }
}

fn someone(number: u8) -> v1::Actor {
    match number {
        0 => patient(),
        1 => doctor(1, "cardiologist"),
        2 => doctor(2, "nurse"),
        _ => doctor(3, "emergency-physician"),
    }
}

fn record(of: u8, kind: u8, more: u8, now: u64) -> v1::Record {
    let tag = patient_tag(of);
    let who = someone(1 + more % 3);
    let id = format!("c{}", more % 4);
    let thing = format!("i{}", more % 6);
    let items = |record: v1::Record| v1::Record { items: vec![item(&thing)], ..record };
    let of_patient = |kind, details: &serde_json::Value| says(kind, Some(tag), patient(), details);
    match kind % 14 {
        0 | 1 => permit(tag, &id, &who),
        2 => deny(tag, &id, ["PSY", "HIV"][usize::from(more % 2)]),
        3 => revoke(tag, &id),
        4 | 5 => deposit(tag, who, &[report(&thing, &[["PSY", "HIV", "X"][usize::from(more % 3)]])]),
        6 => access(Kind::ACCESS_DELETE, tag, who, &[item(&thing)], (v1::BasisKind::Legal, "x")),
        7 => items(of_patient(Kind::ITEM_MASKED, &json!({}))),
        8 => items(of_patient(Kind::ITEM_UNMASKED, &json!({}))),
        9 => of_patient([Kind::SPACE_OPPOSED, Kind::SPACE_OPENED][usize::from(more % 2)], &json!({})),
        10 => break_glass(Some(tag), &format!("bg{more}"), someone(3), now + 200_000),
        11 => says(Kind::BREAKGLASS_CLOSED, Some(tag), someone(3), &json!({"breakglass": format!("bg{more}")})),
        12 => {
            let joined = json!({"professional": name(&who), "until": rfc3339(now + 300_000)});
            says(Kind::CARETEAM_JOINED, Some(tag), who, &joined)
        }
        _ => of_patient(Kind::PROFESSIONAL_BLOCKED, &json!({"professional": name(&who)})),
    }
}

/// A decision on record.
struct Known {
    index: u64,
    tag: [u8; 32],
    actor: String,
    permitted: Vec<String>,
    at: u64,
    erased: bool,
}

enum Part {
    Batch { records: Vec<ParsedRecord>, authority: bool, sealed: SealedBatch, cites: Option<Option<UnjustifiedReason>> },
    Requests { requests: Vec<ParsedRequest>, sealed: SealedDecision },
}

struct Run {
    /// Seals for all; its ledger is the one that keeps nothing.
    world: World,
    others: Vec<(tempfile::TempDir, Option<Ledger>, Options)>,
    model: Consent,
    decisions: Vec<Known>,
    answers: BTreeMap<Vec<u8>, (u64, Vec<u64>)>,
    last: Vec<ParsedRequest>,
    waiting: Vec<Part>,
    together: u8,
}

fn options(kept: usize) -> Options {
    Options {
        rule_records_cached: kept,
        data_keys_cached: kept,
        wrapped_keys_cached: kept,
        opened_cached: kept,
        record_caps: CAPS,
        ..quiet()
    }
}

/// Some stories reach them.
const CAPS: RecordCaps = RecordCaps { any: 16, narrowing: 24, emergency: 28, own: 32 };

impl Run {
    fn new() -> Self {
        let other = |kept: usize| {
            let dir = tempfile::tempdir().expect("a folder");
            let ledger = Ledger::open(dir.path(), &genesis(), keks(), options(kept)).expect("a ledger");
            (dir, Some(ledger), options(kept))
        };
        Self {
            world: World::with(options(0)),
            others: vec![other(4), other(10_000)],
            model: Consent { caps: CAPS, ..Consent::default() },
            decisions: Vec::new(),
            answers: BTreeMap::new(),
            last: Vec::new(),
            waiting: Vec::new(),
            together: 1,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Records(records) => {
                let now = self.world.now;
                let records: Vec<_> = records.iter().map(|(of, kind, more)| record(*of, *kind, *more, now)).collect();
                self.batch(2, &records, None);
            }
            Step::Ask(asked) => {
                let requests = asked.iter().map(|(of, second, who, items)| {
                    let items: Vec<_> =
                        (0..6).filter(|n| items & (1 << n) != 0 || *n == 0).map(|n| item(&format!("i{n}"))).collect();
                    // Once both are on record, the secret tag can't be left out.
                    let second = if *of == 1 && (*second || self.model.pairs.contains_key(&patient_tag(1))) {
                        patient_tag(0).to_vec()
                    } else {
                        Vec::new()
                    };
                    let purpose = if *who == 3 { "BTG" } else { "TREAT" };
                    let auth = says(Kind::SPACE_OPENED, None, patient(), &json!({})).auth;
                    v1::DecisionRequest {
                        secret_tag: second,
                        purpose: purpose.into(),
                        auth,
                        ..may_read(patient_tag(*of), someone(*who), &items)
                    }
                });
                let requests: Vec<_> = requests.collect();
                self.last = requests.into_iter().map(|request| self.world.request(request)).collect();
                self.ask();
            }
            Step::AskAgain if self.last.is_empty() => {}
            Step::AskAgain => self.ask(),
            Step::Access { patient, doctor, back, item: number } => {
                self.apply_waiting();
                let (tag, actor, thing) = (patient_tag(*patient), someone(*doctor), format!("i{number}"));
                let cited = self.decisions.iter().rev().nth(usize::from(*back));
                let expected = match cited {
                    Some(known) if known.tag == tag && !known.erased => {
                        let named = |id: &String| *id == thing;
                        if known.actor != name(&actor) {
                            Some(UnjustifiedReason::OtherActor)
                        } else if !known.permitted.iter().any(named) {
                            Some(UnjustifiedReason::Beyond)
                        } else {
                            (known.at + 300_000 <= self.world.now).then_some(UnjustifiedReason::Expired)
                        }
                    }
                    _ => Some(UnjustifiedReason::UnknownReference),
                };
                // Under the secret tag or as another patient's, a decision is cited by its own patient only.
                if cited.is_some_and(|known| known.tag != tag && known.tag == patient_tag(0)) {
                    return;
                }
                // Entry 0 is the genesis.
                let cited = cited.map_or(0, |known| known.index).to_string();
                let mut record =
                    access(Kind::ACCESS_READ, tag, actor, &[item(&thing)], (v1::BasisKind::Decision, &cited));
                record.occurred_at_ms = self.world.now;
                self.batch(2, &[record], Some(expected));
                self.apply_waiting();
            }
            Step::Publish(what) => {
                let who =
                    v1::Actor { system: "urn:sillage:system".into(), id: "authority".into(), ..v1::Actor::default() };
                let (kind, details) = match what {
                    0 => (
                        Kind::POLICY_PUBLISHED,
                        json!({"version": "p", "attending_doctor_sees_all": false, "breakglass_max_s": 100}),
                    ),
                    1 => (Kind::MATRIX_PUBLISHED, json!({"version": "m", "deny": [{"profession": "nurse"}]})),
                    _ => (Kind::MATRIX_PUBLISHED, json!({"version": "m0"})),
                };
                self.batch(1, &[says(kind, None, who, &details)], None);
            }
            Step::RevokeDoctor(number) => {
                self.apply_waiting();
                let actor: ActorName = name(&someone(1 + number)).parse().expect("a name");
                self.model.revoked.insert(actor.hash());
                self.act(&Act::ActorRevoked { actor_hash: actor.hash(), reason: "test".into() });
            }
            Step::Erase(number) => {
                self.apply_waiting();
                let live = self.model.records.iter().filter(|known| !known.erased && known.record.tag().is_some());
                let live: Vec<_> = live.map(|known| (known.index, known.record.entry_tag())).collect();
                if live.is_empty() {
                    return;
                }
                let (index, tag) = live[usize::from(*number) % live.len()];
                let expected = match self.model.is_in_force(&tag, index, self.world.now) {
                    true => Err(Code::NotErasable),
                    false => Ok(()),
                };
                self.erase(tag, &[LeafIndex(index)], expected);
                if expected.is_ok() {
                    self.model.erase_record(index);
                }
                while let Some(reseal) = self.world.sealer.reseal(&tag, 2_000).expect("openable") {
                    let outcomes = self.apply(Command { reseal: Some(reseal), ..Command::default() });
                    assert_eq!(outcomes, [CommandOutcome::KeysChanged]);
                }
            }
            Step::ErasePatient(number) => {
                self.apply_waiting();
                let tag = patient_tag(*number);
                let of_tag = self.model.records.iter().any(|known| !known.erased && known.record.entry_tag() == tag);
                let decided = self.decisions.iter().any(|known| !known.erased && known.tag == tag);
                if of_tag || decided {
                    self.erase(tag, &[], Ok(()));
                    let by = self.world.reader().tree_size().get() - 1;
                    self.model.erase_patient(&tag, by);
                    self.decisions.iter_mut().filter(|known| known.tag == tag).for_each(|known| known.erased = true);
                }
            }
            Step::Commit => {
                self.apply_waiting();
                self.apply(Command { index_commit: true, ..Command::default() });
            }
            Step::Together(count) => self.together = *count,
            Step::Wait(ms) => {
                self.apply_waiting();
                self.world.now += u64::from(*ms);
            }
            Step::Reopen(which) => {
                self.apply_waiting();
                match self.others.get_mut(usize::from(*which)) {
                    None => self.world.reopen(),
                    Some((dir, ledger, options)) => {
                        ledger.as_mut().expect("open").flush().expect("writable");
                        *ledger = None;
                        let again = Ledger::open(dir.path(), &genesis(), keks(), options.clone());
                        *ledger = Some(again.expect("a ledger"));
                    }
                }
            }
            Step::Snapshot(which) => {
                self.apply_waiting();
                let files = tempfile::tempdir().expect("a folder");
                let files = files.path().join("files");
                self.world.ledger().checkpoint(&files).expect("writable");
                if let Some((_, ledger, _)) = self.others.get_mut(usize::from(*which)) {
                    ledger.as_mut().expect("open").install(&files).expect("a snapshot of this log");
                }
            }
        }
    }

    fn batch(&mut self, author: u8, records: &[v1::Record], cites: Option<Option<UnjustifiedReason>>) {
        let records: Vec<v1::Record> = records.to_vec();
        let sealed = self.world.sealed(author, &records);
        let records = records.iter().map(parsed).collect();
        self.waiting.push(Part::Batch { records, authority: author == 1, sealed, cites });
        // The number of a refused batch is used again, which is known only once it is applied.
        self.apply_when_enough(true);
    }

    fn ask(&mut self) {
        let requests = self.last.clone();
        let sealed = self.world.seal_requests(&requests);
        self.waiting.push(Part::Requests { requests, sealed });
        self.apply_when_enough(false);
    }

    fn apply_when_enough(&mut self, _batch: bool) {
        if self.waiting.len() >= usize::from(self.together) {
            self.together = 1;
            self.apply_waiting();
        }
    }

    /// Applies on every ledger; the outcomes are the same.
    fn apply(&mut self, command: Command) -> Vec<CommandOutcome> {
        let (index, _) = self.world.ledger().applied();
        let data = Command { version: 3, ..command.clone() }.encode_to_vec();
        let now = self.world.now;
        let outcomes = self.world.apply(command);
        for (_, ledger, options) in &mut self.others {
            let ledger = ledger.as_mut().expect("open");
            let again = ledger.apply(index + 1, 1, now, &data).expect("applied");
            assert_eq!(again, outcomes, "with {} records kept", options.rule_records_cached);
        }
        outcomes
    }

    fn act(&mut self, content: &Act) {
        let batch = self.world.act_batch(content);
        let outcomes = self.apply(Command { batches: vec![batch], ..Command::default() });
        assert!(matches!(outcomes[..], [CommandOutcome::Done { .. }]), "{outcomes:?}");
    }

    fn erase(&mut self, tag: [u8; 32], indices: &[LeafIndex], expected: Result<(), Code>) {
        let batch = self.world.erasing_batch(tag, indices);
        let outcomes = self.apply(Command { batches: vec![batch], ..Command::default() });
        let got = match &outcomes[0] {
            CommandOutcome::Refused(refusal) => Err(refusal.code),
            _ => Ok(()),
        };
        if got.is_err() {
            self.world.give_back_act();
        }
        assert_eq!(got, expected);
    }

    fn apply_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let mut command = Command::default();
        for part in &waiting {
            match part {
                Part::Batch { sealed, .. } => command.batches.push(sealed.clone()),
                Part::Requests { sealed, .. } => command.decisions.push(sealed.clone()),
            }
        }
        let (mut size, now) = (self.world.reader().tree_size().get(), self.world.now);
        let outcomes = self.apply(command);
        let (batches, requests): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|part| matches!(part, Part::Batch { .. }));
        // A refused batch makes those after it come out of order.
        let mut gap = [false; 3];
        for (part, outcome) in batches.iter().chain(&requests).zip(outcomes) {
            match (part, outcome) {
                (Part::Batch { records, authority, cites, .. }, outcome) => {
                    let author = if *authority { 1 } else { 2 };
                    let expected = match gap[author] {
                        true => Err(Code::OutOfOrder),
                        false => self.model.take(records, size + 1, now, *authority).map_err(|(code, _)| code),
                    };
                    let got = match &outcome {
                        CommandOutcome::Done { first_index, .. } => {
                            assert_eq!(first_index.get(), size + 1);
                            Ok(())
                        }
                        CommandOutcome::Refused(refusal) => Err(refusal.code),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(got, expected, "{:?}", records.iter().map(ParsedRecord::kind).collect::<Vec<_>>());
                    match got {
                        Ok(()) => size += 1 + records.len() as u64,
                        Err(_) => {
                            gap[author] = true;
                            self.world.give_back(u8::try_from(author).expect("small"));
                        }
                    }
                    if let (Some(expected), Ok(())) = (cites, got) {
                        let entry = self.world.reader().decoded_entry(LeafIndex(size - 1)).expect("readable");
                        let Some(Entry::Record(entry)) = entry else { panic!("a record") };
                        assert_eq!(entry.flags.unjustified_reason(), *expected);
                    }
                }
                (Part::Requests { requests, .. }, CommandOutcome::Decided(decided)) => {
                    for (request, decided) in requests.iter().zip(decided) {
                        self.check_decided(request, decided.map_err(|refusal| refusal.code), &mut size);
                    }
                }
                // Sealed before an erasure or a deposit that came meanwhile.
                (Part::Requests { .. }, CommandOutcome::Refused(refusal)) => {
                    assert_eq!(refusal.code, Code::DataKeyGone)
                }
                (_, other) => panic!("{other:?}"),
            }
        }
    }

    fn check_decided(
        &mut self,
        request: &ParsedRequest,
        decided: Result<sillage_ledger::Decided, Code>,
        size: &mut u64,
    ) {
        let now = self.world.now;
        let key = request.bytes().to_vec();
        if request.check_time(now).is_err() {
            assert_eq!(decided.expect_err("stale"), Code::StaleRequest);
            return;
        }
        let before = self.answers.get(&key).cloned();
        let erased = |index: &u64| self.decisions.iter().any(|known| known.index == *index && known.erased);
        if let Some((_, indices)) = before.filter(|(_, indices)| !indices.iter().any(erased)) {
            let decided = decided.expect("known");
            assert!(decided.repeated);
            assert_eq!(decided.decisions.iter().map(|made| made.index.get()).collect::<Vec<_>>(), indices);
            return;
        }
        let mut after = self.model.clone();
        let expected = after.decide(request, now);
        let (decision, secret) = match (expected, &decided) {
            (Ok(expected), Ok(_)) => expected,
            // A deposit under the secret tag came after the request was sealed.
            (Ok((_, secret)), Err(Code::DataKeyGone)) if secret.contains(&true) => return,
            (expected, decided) => {
                assert_eq!(decided.as_ref().err().copied(), expected.err());
                return;
            }
        };
        self.model = after;
        let decided = decided.expect("decided");
        assert!(!decided.repeated);
        let permits =
            |kept: bool| decision.items.iter().zip(&secret).any(|(item, secret)| *secret == kept && item.permit);
        let alone = secret.iter().all(|secret| *secret) && permits(true);
        for (place, made) in (usize::from(alone)..).zip(&decided.decisions) {
            assert_eq!(made.index.get(), *size, "entries follow each other");
            *size += 1;
            let here = decision.items.iter().zip(&secret).filter(|(_, secret)| **secret == (place == 1));
            let permitted: Vec<_> = here.filter(|(item, _)| item.permit).map(|(item, _)| item.id.clone()).collect();
            assert_eq!(made.permitted, permitted);
            let actor = name(request.message().actor.as_ref().expect("checked"));
            let known = Known { index: made.index.get(), tag: made.tag, actor, permitted, at: now, erased: false };
            self.decisions.push(known);
        }
        assert_eq!(decided.decisions.len(), usize::from(!alone) + usize::from(secret.contains(&true)));
        let indices = decided.decisions.iter().map(|made| made.index.get()).collect();
        self.answers.insert(key, (now, indices));
    }

    /// Everything stored is the same everywhere, and what was decided is why.
    fn check(&mut self) {
        self.apply_waiting();
        let reader = self.world.reader();
        let expected = stored(&reader);
        let size = reader.tree_size().get();
        let glasses = reader.break_glasses(GlassFilter::default(), LeafIndex(0), 1_000).expect("readable");
        for (_, ledger, _) in &self.others {
            let other = ledger.as_ref().expect("open").entry_reader();
            assert_eq!(stored(&other), expected);
            assert_eq!(other.root(), reader.root());
            assert_eq!(other.break_glasses(GlassFilter::default(), LeafIndex(0), 1_000).expect("readable"), glasses);
            for number in 0..4 {
                let rows = |reader: &sillage_ledger::EntryReader| {
                    reader.rule_rows(&patient_tag(number), LeafIndex(0), size, 10_000).expect("readable")
                };
                assert_eq!(rows(&other), rows(&reader));
            }
        }
        for known in self.decisions.iter().filter(|known| !known.erased) {
            let record = self.world.decision(LeafIndex(known.index));
            assert_eq!(record.actor_part().permitted, known.permitted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_kept_in_memory_never_changes_a_verdict(steps in proptest::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.check();
        run.world.reopen();
        run.check();
    }
}
