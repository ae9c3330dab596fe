//! Patients who grant and revoke, and doctors who ask, while nodes die: what they saw, and the traces that must fit it.

use super::Error;
use super::run::{PATIENCE, TIMEOUTS};
use futures::future::try_join_all;
use parking_lot::Mutex;
use sillage_chaos::audit::Book;
use sillage_chaos::consent::acts::{Tag, doctor, grant, name, proven, request, revoke};
use sillage_chaos::consent::{Account, Asked, Clock, Consent, Line};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::asker::{Asker, TwoTags};
use sillage_chaos::load::{Acked, Link, LoadError, Tally, Writer};
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_client::trace::read_page;
use sillage_client::will::Logins;
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::tag::PatientTag;
use sillage_proto::v1::TraceRequest;
use sillage_rules::decide::ParsedRequest;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Patients of one run.
const PATIENTS: usize = 3;
/// Doctors whom a patient lets read, and no longer.
const DOCTORS: usize = 3;
/// Lines of a page of a trace.
const PAGE: u32 = 500;

/// A patient of one run, and what was seen of them.
#[derive(Clone)]
struct Patient {
    tags: TwoTags,
    tally: Tally,
    account: Arc<Mutex<Account>>,
}

/// The patients and doctors of all runs.
pub struct Consents {
    link: Link,
    profile: PathBuf,
    tags: Vec<TwoTags>,
    clock: Clock,
    runs: usize,
    patients: Vec<Patient>,
    /// By the patient's open tag, what was asked in runs before: long ones come back to the same patients.
    requests: BTreeMap<Tag, BTreeMap<Hash, ParsedRequest>>,
    tasks: JoinSet<Result<(), LoadError>>,
}

/// The outcome of one run.
#[derive(Default)]
pub struct Seen {
    /// Changes of consent that were acknowledged.
    pub acked: Vec<Acked>,
    /// Decisions that were acknowledged.
    pub decided: usize,
    /// Of them, those that permitted.
    pub permitted: usize,
}

impl Consents {
    /// Nobody has decided anything yet.
    pub fn new(link: Link, profile: PathBuf, tags: Vec<TwoTags>) -> Self {
        let (clock, patients, tasks) = (Clock::default(), Vec::new(), JoinSet::new());
        Self { link, profile, tags, clock, runs: 0, patients, requests: BTreeMap::new(), tasks }
    }

    /// Begins a run with patients of its own.
    ///
    /// # Errors
    /// When the ledger can't be asked.
    pub async fn begin(&mut self, dice: &mut Dice, stop: &Arc<AtomicBool>) -> Result<(), LoadError> {
        self.runs += 1;
        for place in 0..PATIENTS {
            let number = self.runs * PATIENTS + place;
            let tags = self.tags[number % self.tags.len()].clone();
            let (way, tally) = (self.link.beginning_at(place, TIMEOUTS)?, Tally::new());
            let writer = Writer::open(way, &format!("consents.{number}"), tally.clone()).await?;
            let requests = self.requests.remove(&tags.open).unwrap_or_default();
            let account = Arc::new(Mutex::new(Account { requests, ..Account::default() }));
            for number in 0..DOCTORS {
                // Each doctor is asked for at another node than the patient's, so that answers race acknowledgements.
                let asker = Asker::new(self.link.beginning_at(place + number + 1, TIMEOUTS)?);
                let (account, clock, stop) = (Arc::clone(&account), self.clock.clone(), Arc::clone(stop));
                let dice = Dice::new(dice.below(u64::MAX));
                self.tasks.spawn(ask(asker, tags.clone(), number, account, clock, dice, stop));
            }
            let (clock, stop, dice) = (self.clock.clone(), Arc::clone(stop), Dice::new(dice.below(u64::MAX)));
            let patient = Patient { tags, tally, account };
            let living = (writer, patient.clone(), format!("r{}", self.runs));
            let logins = self.link.logins.clone();
            self.tasks.spawn(decide(living, logins, clock, dice, stop));
            self.patients.push(patient);
        }
        Ok(())
    }

    /// Waits for the last answers.
    ///
    /// # Errors
    /// Requests that the ledger refused, or left without an answer.
    pub async fn end(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Everything healed and read into the book: the traces of this run's patients, against what was seen.
    ///
    /// # Errors
    /// Observations that must not be.
    pub async fn audit(&mut self, book: &Book) -> Result<Seen, Error> {
        let session = Session::open(Profile::load(&self.profile)?, TIMEOUTS).await?;
        let patients = std::mem::take(&mut self.patients);
        let traces = try_join_all(patients.iter().map(|patient| trace(&session, patient.tags.open.into()))).await?;
        let mut seen = Seen::default();
        for (patient, lines) in patients.into_iter().zip(traces) {
            let mut account = patient.account.lock();
            account.judge(&lines)?;
            for receipt in account.asked.iter().flat_map(|asked| &asked.receipts) {
                book.made(receipt.message.index.get(), &receipt.message.record_hash)?;
            }
            self.requests.insert(patient.tags.open, std::mem::take(&mut account.requests));
            seen.decided += account.asked.len();
            seen.permitted += account.asked.iter().filter(|asked| asked.is_permitted()).count();
            seen.acked.extend(patient.tally.take());
        }
        Ok(seen)
    }
}

/// A patient's whole trace, oldest line first.
async fn trace(session: &Session, tag: PatientTag) -> Result<Vec<Line>, Error> {
    let (mut lines, mut cursor) = (Vec::new(), None);
    loop {
        let page = read_page(session, &TraceRequest::default(), &tag, None, cursor.as_deref(), PAGE).await?;
        for traced in page.lines {
            lines.push(Line::of(traced.line)?);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            lines.reverse();
            return Ok(lines);
        }
    }
}

/// A patient lets one doctor after the other read, and takes it back, until told to stop.
async fn decide(
    (mut writer, patient, run): (Writer, Patient, String),
    logins: Option<Arc<Logins>>,
    clock: Clock,
    mut dice: Dice,
    stop: Arc<AtomicBool>,
) -> Result<(), LoadError> {
    let tag = patient.tags.open;
    let pause = |dice: &mut Dice| Duration::from_millis(dice.below(40));
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (id, doctor) = (format!("{run}.{number}"), doctor(dice.place(DOCTORS)));
        let granted = proven(logins.as_deref(), &patient.tags, grant(&tag, &id, &doctor));
        writer.submit(vec![granted], PATIENCE).await?;
        let index = writer.last_index();
        let consent = Consent { grantee: name(&doctor), granted: clock.tick(), ..Consent::default() };
        patient.account.lock().consents.insert(LeafIndex(index), consent);
        tokio::time::sleep(pause(&mut dice)).await;
        let mark = |set: fn(&mut Consent, u64)| {
            if let Some(consent) = patient.account.lock().consents.get_mut(&LeafIndex(index)) {
                set(consent, clock.tick());
            }
        };
        mark(|consent, at| consent.revoking = Some(at));
        let revoked = proven(logins.as_deref(), &patient.tags, revoke(&tag, &id));
        writer.submit(vec![revoked], PATIENCE).await?;
        mark(|consent, at| consent.revoked = Some(at));
        tokio::time::sleep(pause(&mut dice)).await;
    }
    Ok(())
}

/// A doctor asks for the patient's report, again and again.
async fn ask(
    asker: Asker,
    tags: TwoTags,
    number: usize,
    account: Arc<Mutex<Account>>,
    clock: Clock,
    mut dice: Dice,
    stop: Arc<AtomicBool>,
) -> Result<(), LoadError> {
    let doctor = doctor(number);
    while !stop.load(Ordering::Relaxed) {
        let sent = clock.tick();
        let (request, pairing) = request(&tags, &doctor, &["chaos-report"], dice.bytes());
        let kept = ParsedRequest::from_message(request.clone());
        let kept = kept.map_err(|e| LoadError::Wrong(format!("a request is no good: {e}")))?;
        account.lock().requests.insert(kept.hash(), kept);
        for answer in asker.ask(vec![(request, pairing)], PATIENCE).await? {
            let receipts = answer.map_err(|e| LoadError::Wrong(format!("a question was refused: {}", e.code)))?;
            let asked = Asked { sent, answered: clock.tick(), actor: name(&doctor), receipts };
            account.lock().asked.push(asked);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
    }
    Ok(())
}
