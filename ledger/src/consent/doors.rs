//! Rows of the two doors (`docs/formats-doors.md`): the list of sources, when each was heard last, open sessions, and
//! contests. Rows of the family `consent`. None holds a word of a patient: those stand in sealed records.

use std::collections::BTreeMap;

use prost::Message;
use sillage_proof::hash::{LeafIndex, LedgerTimeMs, sha256};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;
use sillage_rules::doors::contest;
use sillage_rules::doors::heartbeat::{Heartbeat, SOURCES_OF_PARTY_MAX};
use sillage_rules::doors::sources::ListedSource;
use sillage_rules::time::ParisDay;

use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::schema::consent_prefix::{
    ANSWERS, CONTEST, CONTEST_ID, CONTEST_OF, CONTEST_WAITS, HEARTBEAT, RECORDED, SESSION, SESSION_END, SESSION_OF,
    SOURCE,
};
use crate::schema::{Family, TAG_LEN};
use crate::store::Store;

type Tag = [u8; TAG_LEN];

/// Rows of sessions that are over, removed when one is opened: more go than come.
const FORGOTTEN: usize = 4;
/// No day, in a row of days.
const NEVER: u32 = u32::MAX;

/// The newest heartbeat of a source of a party.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HeartbeatRow {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
    #[prost(string, tag = "3")]
    pub structure: String,
    /// Days since 1970.
    #[prost(uint32, tag = "4")]
    pub day: u32,
    #[prost(uint64, tag = "5")]
    pub received: u64,
    #[prost(uint64, tag = "6")]
    pub recorded: u64,
    #[prost(uint64, tag = "7")]
    pub waiting: u64,
    #[prost(uint64, tag = "8")]
    pub refused: u64,
    #[prost(message, repeated, tag = "9")]
    pub streams: Vec<StreamMarkRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamMarkRow {
    #[prost(string, tag = "1")]
    pub stream: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

/// A session that a login opened.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionRow {
    /// The entry that opened it.
    #[prost(uint64, tag = "1")]
    pub opened: u64,
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub portal: Vec<u8>,
    /// The party that opened it.
    #[prost(bytes = "vec", tag = "4")]
    pub login: Vec<u8>,
    /// The tag that its opening stands under.
    #[prost(bytes = "vec", tag = "5")]
    pub tag: Vec<u8>,
    /// The patient's open tag, where the patient opened it.
    #[prost(bytes = "vec", tag = "6")]
    pub open_tag: Vec<u8>,
    /// The hash of the name of who opened it.
    #[prost(bytes = "vec", tag = "7")]
    pub actor: Vec<u8>,
    #[prost(bool, tag = "8")]
    pub closed: bool,
}

/// A contest.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContestRow {
    #[prost(bytes = "vec", tag = "1")]
    pub tag: Vec<u8>,
    /// The entry that it is about.
    #[prost(uint64, tag = "2")]
    pub about: u64,
    /// The party that it goes to.
    #[prost(bytes = "vec", tag = "3")]
    pub party: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub opened_ms: u64,
    #[prost(uint64, tag = "5")]
    pub due_ms: u64,
    /// The entry of the first answer; 0: none.
    #[prost(uint64, tag = "6")]
    pub answered: u64,
    #[prost(uint64, tag = "7")]
    pub answered_ms: u64,
    #[prost(uint32, tag = "8")]
    pub answers: u32,
    /// The entry that closed it; 0: none.
    #[prost(uint64, tag = "9")]
    pub closed: u64,
    #[prost(uint64, tag = "10")]
    pub closed_ms: u64,
}

impl SessionRow {
    /// Tells whether it is open at this ledger time.
    pub(crate) fn is_open(&self, now: LedgerTimeMs) -> bool {
        !self.closed && now.get() < self.until_ms
    }

    /// Tells whether it is of the patient with this tag.
    pub(crate) fn is_of(&self, tag: &Tag) -> bool {
        self.tag == *tag || self.open_tag == *tag
    }
}

impl ContestRow {
    /// Tells whether it was answered or closed.
    pub(crate) fn is_done(&self) -> bool {
        self.answered != 0 || self.closed != 0
    }
}

fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(format!("the row of {what} can't be read"))
}

fn decoded<M: Message + Default>(row: Option<Vec<u8>>, what: &str) -> Result<Option<M>, ReadError> {
    row.map(|row| M::decode(&row[..])).transpose().map_err(|_| damaged(what))
}

pub(crate) fn source_key(id: &str) -> Vec<u8> {
    [SOURCE, id.as_bytes()].concat()
}

/// The beginning of the keys of who answers for a structure. No name of a structure has a zero byte.
fn answers_of(structure: &str) -> Vec<u8> {
    [ANSWERS, structure.as_bytes(), b"\0"].concat()
}

fn heartbeat_key(author: &AuthorId, source: &str) -> Vec<u8> {
    [HEARTBEAT, author.as_bytes(), source.as_bytes()].concat()
}

fn recorded_key(author: &AuthorId) -> Vec<u8> {
    [RECORDED, author.as_bytes()].concat()
}

fn session_key(session: &[u8; 32]) -> Vec<u8> {
    [SESSION, session].concat()
}

fn session_of(portal: &[u8], tag: &[u8], session: &[u8]) -> Vec<u8> {
    [SESSION_OF, portal, tag, session].concat()
}

fn contest_key(index: LeafIndex) -> Vec<u8> {
    [CONTEST, &index.get().to_be_bytes()].concat()
}

/// An id may say something about a person, so a hash stands for it.
fn contest_id(tag: &Tag, id: &str) -> Vec<u8> {
    let hash = sha256(&[b"sillage/contest\0", tag, id.as_bytes()]);
    [CONTEST_ID, hash.as_bytes()].concat()
}

fn index_of(bytes: &[u8], what: &str) -> Result<LeafIndex, ReadError> {
    bytes.try_into().map(|bytes| LeafIndex(u64::from_be_bytes(bytes))).map_err(|_| damaged(what))
}

/// The last two days on which a party recorded.
pub(crate) fn days_of(row: &[u8]) -> Result<[Option<ParisDay>; 2], ReadError> {
    let row: [u8; 8] = row.try_into().map_err(|_| damaged("a party's days"))?;
    let day = |at: usize| {
        let number = u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        (number != NEVER).then(|| ParisDay::from_number(number))
    };
    Ok([day(0), day(4)])
}

fn parsed_source(row: &[u8]) -> Result<ListedSource, ReadError> {
    let message = v1::ListedSource::decode(row).map_err(|_| damaged("a source"))?;
    ListedSource::parse(&message).map_err(|_| damaged("a source"))
}

impl Overlay<'_> {
    /// A source of the list.
    pub(crate) fn source(&self, id: &str) -> Result<Option<ListedSource>, ReadError> {
        let key = source_key(id);
        let row = match self.registry.sources.get(&key) {
            Some(row) => row.clone(),
            None => self.store().get(Family::Consent, &key)?,
        };
        row.map(|row| parsed_source(&row)).transpose()
    }

    /// How many sources are on the list.
    pub(crate) fn sources(&self) -> Result<usize, ReadError> {
        Ok(self.listed_rows(SOURCE)?.len())
    }

    /// Puts a source on the list, in the place of the one of the same id, or takes it off.
    pub(crate) fn set_source(&mut self, id: &str, source: Option<&ListedSource>) -> Result<(), ReadError> {
        if let Some(before) = self.source(id)? {
            self.registry.sources.insert([answers_of(&before.structure), id.as_bytes().to_vec()].concat(), None);
        }
        if let Some(source) = source
            && let Some(answers) = &source.answers
        {
            let key = [answers_of(&source.structure), id.as_bytes().to_vec()].concat();
            self.registry.sources.insert(key, Some(answers.as_bytes().to_vec()));
        }
        let row = source.map(|source| source.to_message().encode_to_vec());
        self.registry.sources.insert(source_key(id), row);
        Ok(())
    }

    /// The party that answers for a structure: of the smallest id of a source where several are named.
    pub(crate) fn answers_for(&self, structure: &str) -> Result<Option<AuthorId>, ReadError> {
        if structure.is_empty() {
            return Ok(None);
        }
        let rows = self.listed_rows(&answers_of(structure))?;
        let first = rows.into_values().next();
        first.map(|id| AuthorId::from_slice(&id).map_err(|_| damaged("who answers for a structure"))).transpose()
    }

    fn listed_rows(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let stored = self.store().scan(Family::Consent, prefix, None, usize::MAX)?;
        let mut rows: BTreeMap<_, _> = stored.into_iter().map(|(key, row)| (key.into_vec(), row.into_vec())).collect();
        let changed = self.registry.sources.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        for (key, row) in changed {
            match row {
                Some(row) => drop(rows.insert(key.clone(), row.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(rows)
    }

    /// Tells whether a party has a heartbeat of this source.
    pub(crate) fn has_heartbeat(&self, author: &AuthorId, source: &str) -> Result<bool, ReadError> {
        Ok(self.row(Family::Consent, &heartbeat_key(author, source))?.is_some())
    }

    /// Tells whether a party has room for heartbeats of another source, beside those that its batch adds.
    pub(crate) fn has_room_for_source(&self, author: &AuthorId, of_batch: usize) -> Result<bool, ReadError> {
        let of_party = [HEARTBEAT, author.as_bytes()].concat();
        let on_record = self.rows_with(Family::Consent, &of_party, SOURCES_OF_PARTY_MAX)?.len();
        Ok(on_record + of_batch < SOURCES_OF_PARTY_MAX)
    }

    /// A heartbeat takes the place of the one before.
    pub(crate) fn put_heartbeat(
        &mut self,
        author: &AuthorId,
        heartbeat: &Heartbeat,
        (index, time): (LeafIndex, LedgerTimeMs),
    ) {
        let mark = |mark: &sillage_rules::doors::heartbeat::StreamMark| StreamMarkRow {
            stream: mark.stream.clone(),
            seq: mark.seq,
        };
        let row = HeartbeatRow {
            index: index.get(),
            time_ms: time.get(),
            structure: heartbeat.structure.clone(),
            day: heartbeat.day.number(),
            received: heartbeat.received,
            recorded: heartbeat.recorded,
            waiting: heartbeat.waiting,
            refused: heartbeat.refused,
            streams: heartbeat.streams.iter().map(mark).collect(),
        };
        self.set_row(Family::Consent, heartbeat_key(author, &heartbeat.source), Some(row.encode_to_vec()));
    }

    /// A party recorded something on this day.
    pub(crate) fn recorded_on(&mut self, author: &AuthorId, day: ParisDay) -> Result<(), ReadError> {
        let key = recorded_key(author);
        let known = self.row(Family::Consent, &key)?.map(|row| days_of(&row)).transpose()?;
        let [last, _] = known.unwrap_or_default();
        // Ledger time never goes back.
        if last == Some(day) {
            return Ok(());
        }
        let before = last.map_or(NEVER, ParisDay::number);
        let row = [day.number().to_be_bytes(), before.to_be_bytes()].concat();
        self.set_row(Family::Consent, key, Some(row));
        Ok(())
    }

    /// The session with this key.
    pub(crate) fn session(&self, session: &[u8; 32]) -> Result<Option<SessionRow>, ReadError> {
        let row: Option<SessionRow> = decoded(self.row(Family::Consent, &session_key(session))?, "a session")?;
        let Some(mut row) = row else { return Ok(None) };
        // A voided opening opened nothing.
        row.closed |= self.voided_by(LeafIndex(row.opened))?.is_some();
        Ok(Some(row))
    }

    /// A session is open, and those that are over are forgotten.
    pub(crate) fn open_session(
        &mut self,
        session: &[u8; 32],
        row: &SessionRow,
        now: LedgerTimeMs,
    ) -> Result<(), ReadError> {
        // The command may have opened others, and removed the first rows already.
        let over = [SESSION_END, &now.get().saturating_add(1).to_be_bytes()].concat();
        let removed = self.last_changed(Family::Consent, SESSION_END.to_vec()..over).map(<[u8]>::to_vec);
        for (key, _) in self.store().scan(Family::Consent, SESSION_END, removed.as_deref(), FORGOTTEN)? {
            let end = key.get(SESSION_END.len()..SESSION_END.len() + 8).and_then(|end| end.try_into().ok());
            let ended = key.get(SESSION_END.len() + 8..).and_then(|session| session.try_into().ok());
            let (Some(end), Some(ended)) = (end.map(u64::from_be_bytes), ended) else {
                return Err(damaged("the end of a session"));
            };
            if end > now.get() {
                break;
            }
            if let Some(over) = decoded::<SessionRow>(self.row(Family::Consent, &session_key(&ended))?, "a session")? {
                for tag in [&over.tag, &over.open_tag].into_iter().filter(|tag| !tag.is_empty()) {
                    self.set_row(Family::Consent, session_of(&over.portal, tag, &ended), None);
                }
            }
            self.set_row(Family::Consent, session_key(&ended), None);
            self.set_row(Family::Consent, key.into_vec(), None);
        }
        for tag in [&row.tag, &row.open_tag].into_iter().filter(|tag| !tag.is_empty()) {
            self.set_row(Family::Consent, session_of(&row.portal, tag, session), Some(Vec::new()));
        }
        let end = [SESSION_END, &row.until_ms.to_be_bytes(), session].concat();
        self.set_row(Family::Consent, end, Some(Vec::new()));
        self.set_row(Family::Consent, session_key(session), Some(row.encode_to_vec()));
        Ok(())
    }

    /// A session is closed. Its row stays until the login is over, so that it isn't opened again.
    pub(crate) fn close_session(&mut self, session: &[u8; 32]) -> Result<(), ReadError> {
        let Some(row) = self.session(session)? else { return Ok(()) };
        let row = SessionRow { closed: true, ..row };
        self.set_row(Family::Consent, session_key(session), Some(row.encode_to_vec()));
        Ok(())
    }

    /// The contest of this id, with its entry; none where its opening was voided.
    pub(crate) fn contest(&self, tag: &Tag, id: &str) -> Result<Option<(LeafIndex, ContestRow)>, ReadError> {
        let Some(index) = self.row(Family::Consent, &contest_id(tag, id))? else { return Ok(None) };
        let index = index_of(&index, "a contest's id")?;
        let row = decoded(self.row(Family::Consent, &contest_key(index))?, "a contest")?;
        let row = row.ok_or_else(|| damaged("a contest"))?;
        Ok(self.voided_by(index)?.is_none().then_some((index, row)))
    }

    /// Tells whether this tag ever had a contest of this id.
    pub(crate) fn is_contest_id_taken(&self, tag: &Tag, id: &str) -> Result<bool, ReadError> {
        Ok(self.row(Family::Consent, &contest_id(tag, id))?.is_some())
    }

    /// Tells whether a tag has room for another contest that waits, beside those that its batch opens. One whose opening was
    /// voided waits for nothing: nobody can answer or close it.
    pub(crate) fn has_room_for_contest(&self, tag: &Tag, of_batch: usize) -> Result<bool, ReadError> {
        let waiting = [CONTEST_WAITS, tag].concat();
        let mut count = of_batch;
        for key in self.rows_with(Family::Consent, &waiting, usize::MAX)?.keys() {
            let index = index_of(key.get(waiting.len()..).unwrap_or_default(), "a contest that waits")?;
            count += usize::from(self.voided_by(index)?.is_none());
            if count >= contest::OPEN_MAX {
                return Ok(false);
            }
        }
        Ok(count < contest::OPEN_MAX)
    }

    /// A contest is opened.
    pub(crate) fn open_contest(&mut self, tag: &Tag, id: &str, index: LeafIndex, row: &ContestRow) {
        let number = index.get().to_be_bytes();
        self.set_row(Family::Consent, contest_id(tag, id), Some(number.to_vec()));
        self.set_row(Family::Consent, [CONTEST_OF, &row.party, &number].concat(), Some(Vec::new()));
        self.put_contest(index, row);
    }

    /// A contest as it is now.
    pub(crate) fn put_contest(&mut self, index: LeafIndex, row: &ContestRow) {
        let waits = [CONTEST_WAITS, &row.tag, &index.get().to_be_bytes()].concat();
        self.set_row(Family::Consent, waits, (!row.is_done()).then(Vec::new));
        self.set_row(Family::Consent, contest_key(index), Some(row.encode_to_vec()));
    }
}

/// The stored rows, for readers.
impl Store {
    /// Every source of the list, by id.
    pub(crate) fn listed_sources(&self) -> Result<Vec<ListedSource>, ReadError> {
        let rows = self.scan(Family::Consent, SOURCE, None, usize::MAX)?;
        rows.iter().map(|(_, row)| parsed_source(row)).collect()
    }

    /// The parties that recorded, each with the last two days on which it did.
    pub(crate) fn recording_days(&self) -> Result<BTreeMap<AuthorId, [Option<ParisDay>; 2]>, ReadError> {
        let rows = self.scan(Family::Consent, RECORDED, None, usize::MAX)?;
        let parsed = rows.iter().map(|(key, row)| {
            let author = key.get(RECORDED.len()..).and_then(|id| AuthorId::from_slice(id).ok());
            Ok((author.ok_or_else(|| damaged("a party's days"))?, days_of(row)?))
        });
        parsed.collect()
    }

    /// The newest heartbeat of each source of each party.
    pub(crate) fn heartbeats(&self) -> Result<BTreeMap<(AuthorId, String), HeartbeatRow>, ReadError> {
        let rows = self.scan(Family::Consent, HEARTBEAT, None, usize::MAX)?;
        let parsed = rows.iter().map(|(key, row)| {
            let (author, source) = key
                .get(HEARTBEAT.len()..)
                .and_then(|rest| rest.split_at_checked(32))
                .ok_or_else(|| damaged("a heartbeat"))?;
            let author = AuthorId::from_slice(author).map_err(|_| damaged("a heartbeat"))?;
            let source = std::str::from_utf8(source).map_err(|_| damaged("a heartbeat"))?;
            let row = HeartbeatRow::decode(&row[..]).map_err(|_| damaged("a heartbeat"))?;
            Ok(((author, source.to_owned()), row))
        });
        parsed.collect()
    }

    /// The keys of the sessions that a portal had of this tag and that aren't forgotten.
    pub(crate) fn sessions_of(&self, portal: &AuthorId, tag: &Tag) -> Result<Vec<[u8; 32]>, ReadError> {
        let prefix = [SESSION_OF, portal.as_bytes(), &tag[..]].concat();
        let rows = self.scan(Family::Consent, &prefix, None, usize::MAX)?;
        let key = |key: &[u8]| key.get(prefix.len()..)?.try_into().ok();
        rows.iter().map(|(row, _)| key(row).ok_or_else(|| damaged("a session"))).collect()
    }

    /// The contests that go to a party, from after this entry on, oldest first.
    pub(crate) fn contests_of(
        &self,
        party: &AuthorId,
        after: LeafIndex,
        limit: usize,
    ) -> Result<Vec<(LeafIndex, ContestRow)>, ReadError> {
        let prefix = [CONTEST_OF, &party.as_bytes()[..]].concat();
        let from = [&prefix[..], &after.get().to_be_bytes()].concat();
        let rows = self.scan(Family::Consent, &prefix, Some(&from), limit)?;
        let parsed = rows.iter().map(|(key, _)| {
            let index = index_of(key.get(prefix.len()..).unwrap_or_default(), "a contest of a party")?;
            let row = decoded(self.get(Family::Consent, &contest_key(index))?, "a contest")?;
            Ok((index, row.ok_or_else(|| damaged("a contest"))?))
        });
        parsed.collect()
    }
}
