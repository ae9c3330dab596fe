//! Decisions in clear and without anything kept: every question is answered from all records since the beginning.

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_rules::codes::Code;
use sillage_rules::consent::caps::RecordCaps;
use sillage_rules::consent::{ActorName, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::{Decision, ItemFacts, ParsedRequest, Request, check_contradictions, decide};
use sillage_rules::record::ParsedRecord;

type Tag = [u8; 32];

/// A record that was accepted.
#[derive(Clone)]
pub struct Known {
    pub index: u64,
    pub time: u64,
    pub record: ParsedRecord,
    pub erased: bool,
    /// When its break-glass ends at the latest, by the policy of then.
    ends: Option<u64>,
    /// The items of which it says what they are.
    says: BTreeSet<String>,
}

/// All that was accepted.
#[derive(Clone, Default)]
pub struct Consent {
    pub records: Vec<Known>,
    pub revoked: BTreeSet<Hash>,
    /// Erased patients, with the entry that said so.
    pub erased: BTreeMap<Tag, u64>,
    /// Second tags by open ones.
    pub pairs: BTreeMap<Tag, Tag>,
    /// How many records one tag may have.
    pub caps: RecordCaps,
}

/// The owner of an item, and the records of its first and last deposit.
#[derive(Clone)]
struct Owned {
    tag: Tag,
    first: u64,
    last: u64,
}

/// Tells whether a state is folded from it.
fn counts(event: &Event) -> bool {
    let documents = matches!(event, Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_));
    !documents && !matches!(event, Event::Deposit(_) | Event::ItemsDeleted(_))
}

impl Consent {
    fn meta(known: &Known) -> Meta {
        let (index, time) = (LeafIndex(known.index), LedgerTimeMs(known.time));
        Meta::of(&known.record, index, time, false, false).expect("accepted")
    }

    fn event(known: &Known) -> Option<Event> {
        let mut event = Event::of(&known.record).expect("accepted");
        if let (Some(Event::BreakGlassOpened(opened)), Some(ends)) = (&mut event, known.ends) {
            opened.end_by(LedgerTimeMs(ends));
        }
        event
    }

    /// How many records of a tag decide, the erased ones too, since its patient was erased.
    fn count(&self, tag: &Tag) -> usize {
        let since = self.erased.get(tag).copied().unwrap_or_default();
        let of_tag = self.records.iter().filter(|known| known.record.entry_tag() == *tag && known.index > since);
        of_tag.filter(|known| Self::event(known).is_some_and(|event| counts(&event))).count()
    }

    fn live(&self) -> impl Iterator<Item = &Known> {
        self.records.iter().filter(|known| !known.erased)
    }

    pub fn state(&self, tag: &Tag) -> PatientState {
        let mut state = if self.erased.contains_key(tag) { PatientState::erased() } else { PatientState::default() };
        for known in self.live().filter(|known| known.record.entry_tag() == *tag) {
            if let Some(event) = Self::event(known) {
                state.apply(&event, &Self::meta(known));
            }
        }
        state
    }

    fn with_env<T>(&self, with: impl FnOnce(&Env<'_>) -> T) -> T {
        let (mut policy, mut matrix, mut catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
        for known in self.live() {
            match Event::of(&known.record).expect("accepted") {
                Some(Event::Policy(published)) => policy = *published,
                Some(Event::Matrix(published)) => matrix = published,
                Some(Event::Catalogue(published)) => catalogue = published,
                _ => {}
            }
        }
        let revoked = |name: &ActorName| self.revoked.contains(&name.hash());
        with(&Env {
            policy: &policy,
            matrix: &matrix,
            catalogue: &catalogue,
            revoked: &revoked,
            claims: false,
            across_servers: false,
        })
    }

    /// Takes the records of a batch, or refuses all of them: which code, by the fault of which.
    pub fn take(
        &mut self,
        records: &[ParsedRecord],
        first: u64,
        time: u64,
        authority: bool,
    ) -> Result<(), (Code, u32)> {
        let mut after = self.clone();
        for (position, record) in (0_u32..).zip(records) {
            let index = first + u64::from(position);
            let record = record.clone();
            let mut known = Known { index, time, record, erased: false, ends: None, says: BTreeSet::new() };
            let record = &known.record;
            let event = Event::of(record).map_err(|error| (error.code, position))?;
            if let Some(mut event) = event {
                let (index, time) = (LeafIndex(index), LedgerTimeMs(time));
                let meta = Meta::of(record, index, time, authority, false).map_err(|error| (error.code, position))?;
                let state = after.state(&record.entry_tag());
                after.with_env(|env| state.admit(&event, &meta, env)).map_err(|refusal| (refusal.code, position))?;
                if counts(&event) {
                    let count = after.count(&record.entry_tag());
                    self.caps.check(count, &event, &meta).map_err(|refusal| (refusal.code, position))?;
                }
                if let Event::Deposit(items) = &event {
                    let owned = after.items(None);
                    let may_say = |id: &str| {
                        let Some(owned) = owned.get(id) else { return true };
                        let deposits = after.deposits_of(id, owned);
                        deposits.deposit(id).is_some_and(|deposit| deposit.is_by(&meta.signer))
                    };
                    known.says = items.iter().map(|item| item.id.clone()).filter(|id| may_say(id)).collect();
                }
                if let Event::BreakGlassOpened(opened) = &mut event {
                    after.with_env(|env| opened.bound(env.policy, meta.time, None));
                    known.ends = opened.expires.map(|expires| expires.0);
                }
            }
            after.records.push(known);
        }
        *self = after;
        Ok(())
    }

    /// The owner of every item by all that is known now of which tags are one patient's: `pair` too.
    fn items(&self, pair: Option<(Tag, Tag)>) -> BTreeMap<String, Owned> {
        let mut items: BTreeMap<String, Owned> = BTreeMap::new();
        let pairs: BTreeMap<Tag, Tag> = self.pairs.iter().map(|(open, secret)| (*open, *secret)).chain(pair).collect();
        // Ownership outlives what was erased.
        for known in &self.records {
            let tag = known.record.entry_tag();
            let same = |owner: &Tag| *owner == tag || pairs.get(owner) == Some(&tag) || pairs.get(&tag) == Some(owner);
            let Some(Event::Deposit(deposited)) = Event::of(&known.record).expect("accepted") else { continue };
            for item in deposited {
                if !known.says.contains(&item.id) {
                    continue;
                }
                let (first, last) = (known.index, known.index);
                let owned = items.entry(item.id).or_insert(Owned { tag, first, last });
                if same(&owned.tag) {
                    owned.last = known.index;
                    if pairs.get(&owned.tag) == Some(&tag) {
                        owned.tag = tag;
                    }
                }
            }
        }
        items
    }

    fn deposits_of(&self, id: &str, owned: &Owned) -> PatientState {
        let mut state = PatientState::default();
        let there = |index: u64| self.live().find(|known| known.index == index);
        let events = [owned.first, owned.last].map(|index| {
            there(index).and_then(|known| {
                let Ok(Some(Event::Deposit(items))) = Event::of(&known.record) else { return None };
                let item = items.into_iter().rev().find(|item| item.id == id)?;
                Some((item, Self::meta(known)))
            })
        });
        let [first, last] = events;
        let by = first.clone().map(|(item, _)| item);
        let Some((mut item, meta)) = last.or(first) else { return state };
        item.depositor = by.as_ref().and_then(|by| by.depositor.clone());
        item.organisation = by.and_then(|by| by.organisation);
        state.apply(&Event::Deposit(vec![item]), &meta);
        state
    }

    /// Decides on a request, for each tag.
    pub fn decide(&mut self, request: &ParsedRequest, time: u64) -> Result<(Decision, Vec<bool>), Code> {
        if request.secret_tag().is_none() && self.pairs.contains_key(request.tag()) {
            return Err(Code::MalformedRequest);
        }
        let owned = self.items(request.secret_tag().map(|secret| (*request.tag(), *secret)));
        let mut facts = Vec::new();
        for item in request.items() {
            let row = owned.get(&item.id);
            let is_secret = row.is_some_and(|row| request.secret_tag() == Some(&row.tag));
            let other = row.is_some_and(|row| row.tag != *request.tag()) && !is_secret;
            let deposits = row.filter(|_| !other).map(|row| self.deposits_of(&item.id, row)).unwrap_or_default();
            let none = PatientState::default();
            let (open, secret) = if is_secret { (&none, &deposits) } else { (&deposits, &none) };
            let mut known = ItemFacts::of(item, open, Some(secret), other);
            known.secret |= is_secret;
            facts.push(known);
        }
        let secret: Vec<bool> = facts.iter().map(|facts| facts.secret).collect();
        let asked = Request {
            actor: request.actor().clone(),
            action: request.action(),
            purpose: request.purpose().to_owned(),
            at: LedgerTimeMs(time),
            items: facts,
            word_of: None,
        };
        let (state, second) = (self.state(request.tag()), request.secret_tag().map(|tag| self.state(tag)));
        let decision = self.with_env(|env| decide(env, &state, second.as_ref(), &asked));
        check_contradictions(&decision).map_err(|refusal| refusal.code)?;
        if let Some(secret_tag) = request.secret_tag() {
            self.pairs.insert(*request.tag(), *secret_tag);
        }
        Ok((decision, secret))
    }

    /// Tells whether a record can be erased by itself.
    pub fn is_in_force(&self, tag: &Tag, index: u64, time: u64) -> bool {
        self.state(tag).is_in_force(LeafIndex(index), LedgerTimeMs(time))
    }

    pub fn erase_record(&mut self, index: u64) {
        self.records.iter_mut().filter(|known| known.index == index).for_each(|known| known.erased = true);
    }

    pub fn erase_patient(&mut self, tag: &Tag, by: u64) {
        self.records.iter_mut().filter(|known| known.record.entry_tag() == *tag).for_each(|known| known.erased = true);
        self.erased.insert(*tag, by);
    }
}
