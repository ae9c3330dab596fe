//! Sources and sessions, as readers ask for them. Contests are read with an [`crate::EntryReader`]: their rows name patients.

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;
use sillage_rules::consent::{ActorName, Power};
use sillage_rules::doors::sources::{ListedSource, SourcesChange};
use sillage_rules::stream::StreamLabel;
use sillage_rules::time::{ParisDay, TimeMs};

use super::LedgerReader;
use crate::consent::Rules;
use crate::consent::doors::{ContestRow, HeartbeatRow, SessionRow};
use crate::error::{ReadError, Refusal};
use crate::overlay::Overlay;
use crate::schema::TAG_LEN;
use crate::store::Store;

/// A source of the list, or a recording party that no source of the list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Its entry of the list; none: the authority doesn't list it.
    pub listed: Option<ListedSource>,
    /// The party that records for it, with its name.
    pub party: Option<(AuthorId, String)>,
    /// The last day on which the party recorded, of those that are over.
    pub recorded: Option<ParisDay>,
    /// The day of its newest heartbeat.
    pub heartbeat: Option<ParisDay>,
    /// Nothing was heard of it beyond its time. Never of one that isn't listed.
    pub is_silent: bool,
    /// Batches that its newest heartbeat says were signed, and that aren't on record.
    pub missing: u64,
}

impl SourceStatus {
    /// The key that it is sorted by, each once: the id of the list, or `:` and the author id.
    pub fn key(&self) -> String {
        match (&self.listed, &self.party) {
            (Some(listed), _) => listed.id.clone(),
            (None, party) => format!(":{}", party.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default()),
        }
    }
}

/// A part of the list of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesPage {
    /// By [`SourceStatus::key`].
    pub rows: Vec<SourceStatus>,
    /// True if there are others after these.
    pub more: bool,
    /// Sources that were looked at: all of them, as each stands in order of its key only once all are read.
    pub looked_at: usize,
}

/// A part of the contests that go to a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContestsPage {
    /// Oldest first.
    pub rows: Vec<Contest>,
    /// Where the next part begins: after this entry. None: there are no others.
    pub next_after: Option<LeafIndex>,
    /// Contests that were looked at, also those that were left out.
    pub looked_at: usize,
}

/// Contests that one part looks at, at most.
const CONTESTS_LOOKED_AT_MAX: usize = 1_000;

/// A contest, by numbers alone: what was asked and answered stands in sealed records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// The entry that opened it.
    pub index: LeafIndex,
    /// The tag of its patient.
    pub tag: [u8; TAG_LEN],
    /// The line that it is about.
    pub about: LeafIndex,
    /// When it was opened.
    pub opened_ms: LedgerTimeMs,
    /// When an answer is late.
    pub due_ms: LedgerTimeMs,
    /// The first answer, and when it came.
    pub answered: Option<(LeafIndex, LedgerTimeMs)>,
    /// How many answers there are.
    pub answers: u32,
    /// The entry that closed it, and when.
    pub closed: Option<(LeafIndex, LedgerTimeMs)>,
}

impl Contest {
    /// Tells whether the answer came late, or is overdue at this time.
    pub fn is_late(&self, now: LedgerTimeMs) -> bool {
        let until = self.answered.or(self.closed).map_or(now, |(_, at)| at);
        until > self.due_ms
    }

    fn of(index: LeafIndex, row: &ContestRow) -> Result<Self, ReadError> {
        let at = |index: u64, ms: u64| (index != 0).then_some((LeafIndex(index), LedgerTimeMs(ms)));
        let tag = row.tag[..].try_into();
        Ok(Self {
            index,
            tag: tag.map_err(|_| ReadError::Damaged("the row of a contest can't be read".into()))?,
            about: LeafIndex(row.about),
            opened_ms: LedgerTimeMs(row.opened_ms),
            due_ms: LedgerTimeMs(row.due_ms),
            answered: at(row.answered, row.answered_ms),
            answers: row.answers,
            closed: at(row.closed, row.closed_ms),
        })
    }
}

impl LedgerReader {
    /// The sources of the list, and the recording parties that none of them names, once a day is shown for them, by
    /// [`SourceStatus::key`]. `now_ms` is what time it is: ledger time stands still while nobody writes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sources(&self, now_ms: u64) -> Result<Vec<SourceStatus>, ReadError> {
        Ok(self.sources_page(now_ms, "", usize::MAX, |_| true)?.rows)
    }

    /// Of [`LedgerReader::sources`] those with a key after `after`, at most `limit`. Batches that are missing are counted of
    /// those alone that `is_told` names: each takes a look-up for every stream.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sources_page(
        &self,
        now_ms: u64,
        after: &str,
        limit: usize,
        is_told: impl Fn(&SourceStatus) -> bool,
    ) -> Result<SourcesPage, ReadError> {
        let view = self.view();
        let now_ms = view.head.time.get().max(now_ms);
        let store = &view.store;
        let (listed, days, heartbeats) = (store.listed_sources()?, store.recording_days()?, store.heartbeats()?);
        let shown = |party: &AuthorId| {
            let [last, before] = days.get(party).copied().unwrap_or_default();
            SourcesChange::shown(now_ms, last, before)
        };
        let of_party = |party: AuthorId| {
            heartbeats.range((party, String::new())..).take_while(move |((author, _), _)| *author == party)
        };
        let mut out = Vec::with_capacity(listed.len());
        let named: BTreeSet<AuthorId> = listed.iter().filter_map(|source| source.author_id).collect();
        for source in listed {
            let heard = source.author_id.and_then(|party| heartbeats.get(&(party, source.id.clone())));
            let recorded = source.author_id.as_ref().and_then(shown);
            out.push(SourceStatus {
                is_silent: source.is_silent(now_ms, heard.map(|row| row.time_ms), recorded),
                missing: 0,
                heartbeat: heard.map(|row| ParisDay::of(TimeMs(row.time_ms))),
                recorded,
                party: source.author_id.map(|id| (id, String::new())),
                listed: Some(source),
            });
        }
        for party in days.keys().filter(|party| !named.contains(party)) {
            // A first record would else show on the same day.
            let Some(recorded) = shown(party) else { continue };
            let newest = of_party(*party).map(|(_, row)| row).max_by_key(|row| row.time_ms);
            out.push(SourceStatus {
                listed: None,
                recorded: Some(recorded),
                heartbeat: newest.map(|row| ParisDay::of(TimeMs(row.time_ms))),
                is_silent: false,
                missing: 0,
                party: Some((*party, String::new())),
            });
        }
        out.sort_by_cached_key(SourceStatus::key);
        let looked_at = out.len();
        let mut rest = out.into_iter().filter(|source| after.is_empty() || source.key().as_str() > after);
        let mut rows: Vec<SourceStatus> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let mut names = BTreeMap::new();
        for row in &mut rows {
            let told = is_told(row);
            let Some((party, name)) = &mut row.party else { continue };
            *name = name_of(store, &mut names, *party)?;
            let newest = match &row.listed {
                Some(listed) => heartbeats.get(&(*party, listed.id.clone())),
                None => of_party(*party).map(|(_, row)| row).max_by_key(|row| row.time_ms),
            };
            if let Some(newest) = newest.filter(|_| told) {
                row.missing = missing(store, *party, newest)?;
            }
        }
        Ok(SourcesPage { rows, more, looked_at })
    }

    /// Tells whether a portal has an open session of the patient with this tag. One that a representative opened is open for as
    /// long as they have the power to read. `now_ms` as for [`LedgerReader::sources`]. It may open payloads: call it where that
    /// may take a while.
    ///
    /// # Errors
    /// When the store can't be read, or this node lacks a key.
    pub fn has_open_session(&self, portal: &AuthorId, tag: &[u8; TAG_LEN], now_ms: u64) -> Result<bool, Refusal> {
        let view = self.view();
        let now = view.head.time.max(LedgerTimeMs(now_ms));
        let overlay = Overlay::new(&view.store);
        let failed = |error: ReadError| Self::refusal(error.into());
        let mut representatives = BTreeSet::new();
        for session in view.store.sessions_of(portal, tag).map_err(failed)? {
            let row = overlay.session(&session).map_err(failed)?;
            let is_open = |row: &SessionRow| row.is_open(now) && row.is_of(tag) && row.portal == portal.as_bytes();
            let Some(row) = row.filter(is_open) else { continue };
            if row.actor == ActorName::patient().hash().as_bytes() {
                return Ok(true);
            }
            representatives.insert(row.actor);
        }
        if representatives.is_empty() {
            return Ok(false);
        }
        self.checking(now_ms, |shared, caches, view, now| {
            let overlay = Overlay::new(&view.store);
            let mut rules = Rules::of_check(caches, &shared.stats, view.head.size, &overlay)?;
            let may_read = rules.state(&overlay, tag).map(|state| {
                state.representations().any(|entry| {
                    let hash = entry.representation.representative.hash();
                    representatives.contains(&hash.as_bytes()[..])
                        && state.powers_of(entry, now).any(|power| power == Power::Read)
                })
            });
            rules.finish(view.head.size);
            may_read
        })
    }

    /// The contests that go to a party, opened after entry `after`, oldest first, at most `limit`. Those whose opening was voided
    /// are left out, and with `waiting_only` those that were answered or closed. A part may be short or empty and still have a
    /// next one: it ends once it has looked at a thousand.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn contests(
        &self,
        party: &AuthorId,
        waiting_only: bool,
        (after, limit): (LeafIndex, usize),
    ) -> Result<ContestsPage, ReadError> {
        let view = self.view();
        let overlay = Overlay::new(&view.store);
        let (mut rows, mut from, mut looked_at) = (Vec::new(), after, 0);
        loop {
            let part = view.store.contests_of(party, from, limit + 1)?;
            if part.is_empty() {
                return Ok(ContestsPage { rows, next_after: None, looked_at });
            }
            for (index, row) in part {
                if looked_at == CONTESTS_LOOKED_AT_MAX {
                    return Ok(ContestsPage { rows, next_after: Some(from), looked_at });
                }
                looked_at += 1;
                let is_left_out = waiting_only && row.is_done() || overlay.voided_by(index)?.is_some();
                if !is_left_out && rows.len() == limit {
                    return Ok(ContestsPage { rows, next_after: Some(from), looked_at });
                }
                from = index;
                if !is_left_out {
                    rows.push(Contest::of(index, &row)?);
                }
            }
        }
    }
}

fn name_of(store: &Store, names: &mut BTreeMap<AuthorId, String>, id: AuthorId) -> Result<String, ReadError> {
    if let Some(name) = names.get(&id) {
        return Ok(name.clone());
    }
    let name = store.party(&id)?.map(|row| row.name).unwrap_or_default();
    names.insert(id, name.clone());
    Ok(name)
}

/// How many batches a heartbeat says were signed, and aren't on record.
fn missing(store: &Store, party: AuthorId, row: &HeartbeatRow) -> Result<u64, ReadError> {
    let mut missing = 0_u64;
    for mark in &row.streams {
        let Ok(label) = StreamLabel::parse(&mark.stream) else { continue };
        let recorded = store.stream(&label.stream_id(&party))?.map_or(0, |stream| stream.last_seq);
        missing = missing.saturating_add(mark.seq.saturating_sub(recorded));
    }
    Ok(missing)
}
