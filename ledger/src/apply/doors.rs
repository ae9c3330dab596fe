//! Records of the two doors (`docs/formats-doors.md`): heartbeats, sessions, contests; and the act that lists sources. From feature
//! level 5 on. They decide nothing on a patient's data: what they change is kept in rows of their own ([`crate::consent::doors`]).

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;
use sillage_rules::codes::Code;
use sillage_rules::consent::{ActorKind, Meta, Power};
use sillage_rules::doors::contest::{ANSWERS_MAX, DUE_MS, is_contestable};
use sillage_rules::doors::heartbeat::{Heartbeat, SOURCES_OF_PARTY_MAX};
use sillage_rules::doors::session::SessionOpened;
use sillage_rules::doors::sources::{SOURCES_MAX, SourcesChange};
use sillage_rules::doors::{DoorRecord, KINDS};
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::{Roles, signers};
use sillage_rules::time::{ParisDay, TimeMs};
use sillage_rules::vouching::Vouched;
use sillage_rules::will::Will;

use super::acts::refused;
use super::check::{Shape, Signer};
use super::rule::{StagedRecords, was_opened};
use super::{vouching, will};
use crate::consent::Rules;
use crate::consent::doors::{ContestRow, SessionRow};
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::schema::{self, Family, TAG_LEN};
use crate::verified::Verified;

type Tag = [u8; TAG_LEN];

/// Parties that record what happened: the coverage board shows when each last did. A patient's own device is never among them.
const RECORDING: Roles = Roles::RECORDER.with(Roles::EMERGENCY).with(Roles::AUTHOR);

/// The changes that the accepted records of a batch make, once all of it is accepted.
#[derive(Default)]
pub(super) struct StagedDoors {
    effects: Vec<Effect>,
    /// Ids of contests that the batch opens.
    ids: BTreeSet<(Tag, String)>,
    /// Sessions that the batch opens.
    sessions: BTreeSet<[u8; 32]>,
    /// Sources of the batch's heartbeats that its party has no heartbeat of yet. One party signs a batch.
    sources: BTreeSet<String>,
    /// How many answers the batch gives, by contests.
    answers: BTreeMap<(Tag, String), u32>,
}

enum Effect {
    Heartbeat(AuthorId, Heartbeat, (LeafIndex, LedgerTimeMs)),
    SessionOpened([u8; 32], SessionRow, LedgerTimeMs),
    SessionClosed([u8; 32]),
    ContestOpened(Tag, String, LeafIndex, ContestRow),
    ContestAnswered(Tag, String, (LeafIndex, LedgerTimeMs)),
    ContestClosed(Tag, String, (LeafIndex, LedgerTimeMs)),
}

/// The things that a record is held against.
pub(super) struct Held<'a> {
    pub signer: &'a Signer,
    pub meta: &'a Meta,
    pub log: (&'a GenesisInfo, &'a Verified),
}

fn refuse(code: Code, what: impl Into<String>) -> Stop {
    Refusal::new(code, what).into()
}

/// Tells whether a record of this kind is one of the doors.
pub(super) fn is_of_door(kind: Kind) -> bool {
    KINDS.contains(&kind)
}

/// Changes the list of sources.
pub(super) fn list(overlay: &mut Overlay<'_>, change: &SourcesChange) -> Result<(), Stop> {
    for id in &change.removed {
        if overlay.source(id)?.is_none() {
            return Err(refused(format!("no source {id} is on the list")));
        }
        overlay.set_source(id, None)?;
    }
    for source in &change.listed {
        for party in [&source.author_id, &source.answers].into_iter().flatten() {
            if overlay.party(party)?.is_none() {
                return Err(refused(format!("no party {party} is registered: register it first, or leave it out")));
            }
        }
        overlay.set_source(&source.id, Some(source))?;
    }
    match overlay.sources()? <= SOURCES_MAX {
        true => Ok(()),
        false => Err(refused(format!("a log lists at most {SOURCES_MAX} sources"))),
    }
}

/// Tells whether a portal may sign what only its role lets it sign: under an open session of this patient, with its key, for whoever
/// opened it. Others aren't asked.
pub(super) fn check_portal(
    overlay: &Overlay<'_>,
    signer: &Signer,
    record: &ParsedRecord,
    meta: &Meta,
) -> Result<(), Stop> {
    let kind = record.kind();
    let by_role = signer.roles.contains(Roles::PORTAL) && signers(kind).contains(Roles::PORTAL);
    let otherwise = signer.roles.without(Roles::PORTAL).may_sign(kind) || meta.patient_key;
    if !by_role || otherwise || kind == Kind::SESSION_CLOSED {
        return Ok(());
    }
    let session = record.message().will.as_ref().and_then(|will| will.session_key[..].try_into().ok());
    let row = match &session {
        Some(session) => overlay.session(session)?,
        None => None,
    };
    let holds = row.is_some_and(|row| {
        row.is_open(meta.time)
            && row.portal == signer.key.author_id.as_bytes()
            && row.is_of(&record.entry_tag())
            && row.actor == meta.signer.name.hash().as_bytes()
    });
    match holds {
        true => Ok(()),
        false => {
            let what = "a portal signs under an open session of this patient alone, with the session's key and for whoever opened it";
            Err(refuse(Code::NotEntitled, what))
        }
    }
}

/// Admits a record of the doors into `staged`.
pub(super) fn admit(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    (record, door): (&ParsedRecord, DoorRecord),
    held: &Held<'_>,
) -> Result<(), Stop> {
    let Held { signer, meta, .. } = held;
    let (tag, at) = (record.entry_tag(), (meta.index, meta.time));
    let effect = match door {
        DoorRecord::Heartbeat(heartbeat) => {
            heartbeat_fits(overlay, signer, &mut staged.doors.sources, &heartbeat)?;
            Effect::Heartbeat(signer.key.author_id, heartbeat, at)
        }
        DoorRecord::SessionOpened(opened) => {
            let row = session(overlay, rules, staged, (record, &opened), held)?;
            staged.doors.sessions.insert(opened.session);
            Effect::SessionOpened(opened.session, row, meta.time)
        }
        DoorRecord::SessionClosed(closed) => {
            let session = closed.session.to_bytes();
            let author = signer.key.author_id.as_bytes();
            let row = overlay.session(&session)?.filter(|row| row.tag == tag && row.is_open(meta.time));
            let row = row.ok_or_else(|| {
                refuse(Code::UnknownReference, "no open session of this key is on record under this tag")
            })?;
            if row.portal != author && row.login != author {
                return Err(refuse(
                    Code::NotEntitled,
                    "the portal of a session closes it, or the party that opened it",
                ));
            }
            Effect::SessionClosed(session)
        }
        DoorRecord::ContestOpened(opened) => {
            // The answer tells which entries are lines of this patient.
            asks_for_themselves(overlay, rules, staged, &tag, held, |power| power == Power::Read)?;
            let row = contest(overlay, rules, staged, (&tag, &opened.id, opened.about), held)?;
            staged.doors.ids.insert((tag, opened.id.clone()));
            Effect::ContestOpened(tag, opened.id, meta.index, row)
        }
        DoorRecord::ContestAnswered(answered) => {
            let row = known_contest(overlay, &tag, &answered.contest)?;
            if row.party != signer.key.author_id.as_bytes() {
                return Err(refuse(Code::NotEntitled, "the party that a contest goes to answers it, and nobody else"));
            }
            let of_batch = staged.doors.answers.entry((tag, answered.contest.clone())).or_default();
            *of_batch += 1;
            if row.answers.saturating_add(*of_batch) > ANSWERS_MAX {
                return Err(refuse(Code::TooManyRules, format!("a contest has at most {ANSWERS_MAX} answers")));
            }
            Effect::ContestAnswered(tag, answered.contest, at)
        }
        DoorRecord::ContestClosed(closed) => {
            asks_for_themselves(overlay, rules, staged, &tag, held, |_| true)?;
            known_contest(overlay, &tag, &closed.contest)?;
            Effect::ContestClosed(tag, closed.contest, at)
        }
    };
    staged.doors.effects.push(effect);
    Ok(())
}

fn heartbeat_fits(
    overlay: &Overlay<'_>,
    signer: &Signer,
    staged: &mut BTreeSet<String>,
    heartbeat: &Heartbeat,
) -> Result<(), Stop> {
    let author = &signer.key.author_id;
    if signer.roles.is_bound() && !vouching::vouches(overlay, author, Vouched::Structure, &heartbeat.structure)? {
        let what = "details.structure: the party that signs doesn't vouch for this structure: sillage keys vouching";
        return Err(refuse(Code::NotVouched, what));
    }
    if overlay.has_heartbeat(author, &heartbeat.source)? || staged.contains(&heartbeat.source) {
        return Ok(());
    }
    match overlay.has_room_for_source(author, staged.len())? {
        true => {
            staged.insert(heartbeat.source.clone());
            Ok(())
        }
        false => {
            let what =
                format!("a party has heartbeats of at most {SOURCES_OF_PARTY_MAX} sources: use the same names again");
            Err(refuse(Code::TooManyRules, what))
        }
    }
}

/// The patient, or who represents them with a power that is `wanted`, acts, and that is proven.
fn asks_for_themselves(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    tag: &Tag,
    held: &Held<'_>,
    wanted: impl Fn(Power) -> bool,
) -> Result<(), Stop> {
    let Held { meta, log, .. } = held;
    let state = staged.state(overlay, rules, tag)?;
    let is_patient = meta.signer.kind == ActorKind::Patient;
    if !is_patient && state.represented_by(&meta.signer.name, meta.time, wanted).is_none() {
        return Err(refuse(Code::NotEntitled, "the patient, or who represents them, may sign this, and nobody else"));
    }
    let proven = state.check_authentication(&meta.signer, meta.time, meta.patient_key, meta.authenticated);
    proven.map_err(|refusal| will::or_no_issuer(overlay, log.0, refusal.into()))
}

/// The row of a session that may be opened.
fn session(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    (record, opened): (&ParsedRecord, &SessionOpened),
    held: &Held<'_>,
) -> Result<SessionRow, Stop> {
    let (meta, tag) = (held.meta, record.entry_tag());
    asks_for_themselves(overlay, rules, staged, &tag, held, |power| power == Power::Read)?;
    let until_ms = match will::established(overlay, held.log, record, meta.time)? {
        Will::Proven(proven) if proven.suffices() => proven.until_ms,
        _ => {
            let what = "a session is opened by a login of the level substantial or high";
            return Err(refuse(Code::AuthenticationMissing, what));
        }
    };
    let portal = overlay.party(&opened.portal)?.filter(|party| party.roles().contains(Roles::PORTAL));
    if portal.is_none() {
        return Err(refuse(Code::UnknownReference, "details.portal: no party of this id has the role portal"));
    }
    if overlay.session(&opened.session)?.is_some() || staged.doors.sessions.contains(&opened.session) {
        return Err(refuse(Code::IdTaken, "one login opens one session: log in again, with a new session key"));
    }
    let open_tag = opened.open.as_ref().map(|open| open.tag);
    if let Some(open) = &open_tag
        && !overlay.may_pair(open, &tag)?
    {
        let what = "other tags are on record as this patient's, with their proof: resolve the patient again";
        return Err(refuse(Code::MalformedRecord, what));
    }
    Ok(SessionRow {
        opened: meta.index.get(),
        until_ms,
        portal: opened.portal.as_bytes().to_vec(),
        login: held.signer.key.author_id.as_bytes().to_vec(),
        tag: tag.to_vec(),
        open_tag: open_tag.map(|tag| tag.to_vec()).unwrap_or_default(),
        actor: meta.signer.name.hash().as_bytes().to_vec(),
        closed: false,
    })
}

fn known_contest(overlay: &Overlay<'_>, tag: &Tag, id: &str) -> Result<ContestRow, Stop> {
    let found = overlay.contest(tag, id)?;
    let unknown = || refuse(Code::UnknownReference, "no contest of this id is on record for this patient");
    found.map(|(_, row)| row).ok_or_else(unknown)
}

/// The row of a contest that may be opened.
fn contest(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    (tag, id, about): (&Tag, &str, u64),
    held: &Held<'_>,
) -> Result<ContestRow, Stop> {
    let meta = held.meta;
    let line = line_of(overlay, tag, about)?.ok_or_else(|| {
        let what = "details.about: no entry of this number that a party signed tells of an access, a movement or an emergency of this patient";
        refuse(Code::UnknownReference, what)
    })?;
    let is_staged = staged.doors.ids.contains(&(*tag, id.to_owned()));
    if is_staged || overlay.is_contest_id_taken(tag, id)? {
        return Err(refuse(Code::IdTaken, "a contest with this id is on record"));
    }
    let of_batch = staged.doors.ids.iter().filter(|(other, _)| other == tag).count();
    if !overlay.has_room_for_contest(tag, of_batch)? {
        let what = "the patient has as many contests that wait for an answer as one may have: close one first";
        return Err(refuse(Code::TooManyRules, what));
    }
    let structure = match was_opened(overlay, held.log.0, &line)? {
        true => rules.structure_of(overlay, line.index)?.unwrap_or_default(),
        // If its payload can't be read, no node may stop for that.
        false => String::new(),
    };
    let party = match overlay.answers_for(&structure)? {
        Some(party) => party,
        None => overlay.signed_by(&line)?,
    };
    Ok(ContestRow {
        tag: tag.to_vec(),
        about,
        party: party.as_bytes().to_vec(),
        opened_ms: meta.time.get(),
        due_ms: meta.time.get().saturating_add(DUE_MS),
        ..ContestRow::default()
    })
}

/// The line that a patient asks about: stored before this command, theirs, and signed by a party.
fn line_of(overlay: &Overlay<'_>, tag: &Tag, index: u64) -> Result<Option<RecordEntry>, ReadError> {
    let Some(bytes) = overlay.store().get(Family::Entries, &schema::index_key(index))? else { return Ok(None) };
    let Ok(Entry::Record(entry)) = Entry::decode(&bytes) else { return Ok(None) };
    let is_theirs = entry.tag == *tag && is_contestable(entry.kind) && !entry.flags.contains(Flags::LEDGER);
    Ok(is_theirs.then_some(entry))
}

/// The accepted records of a batch take effect.
pub(super) fn take_effect(overlay: &mut Overlay<'_>, staged: StagedDoors) -> Result<(), ReadError> {
    for effect in staged.effects {
        match effect {
            Effect::Heartbeat(author, heartbeat, at) => overlay.put_heartbeat(&author, &heartbeat, at),
            Effect::SessionOpened(session, row, now) => {
                if let (Ok(open), Ok(secret)) = (Tag::try_from(&row.open_tag[..]), Tag::try_from(&row.tag[..])) {
                    overlay.pair(&open, &secret, true)?;
                }
                overlay.open_session(&session, &row, now)?;
            }
            Effect::SessionClosed(session) => overlay.close_session(&session)?,
            Effect::ContestOpened(tag, id, index, row) => overlay.open_contest(&tag, &id, index, &row),
            Effect::ContestAnswered(tag, id, (by, time)) => {
                let Some((index, mut row)) = overlay.contest(&tag, &id)? else { continue };
                row.answers = row.answers.saturating_add(1);
                if row.answered == 0 {
                    (row.answered, row.answered_ms) = (by.get(), time.get());
                }
                overlay.put_contest(index, &row);
            }
            Effect::ContestClosed(tag, id, (by, time)) => {
                let Some((index, mut row)) = overlay.contest(&tag, &id)? else { continue };
                if row.closed == 0 {
                    (row.closed, row.closed_ms) = (by.get(), time.get());
                }
                overlay.put_contest(index, &row);
            }
        }
    }
    Ok(())
}

/// Notes the day on which a party recorded, from what its batch holds beside heartbeats.
pub(super) fn note_day(
    overlay: &mut Overlay<'_>,
    (signer, shape): (&Signer, &Shape<'_>),
    time: LedgerTimeMs,
) -> Result<(), ReadError> {
    let records = signer.roles.intersects(RECORDING) && !signer.roles.contains(Roles::PATIENT);
    if !records || shape.records.iter().all(|record| record.kind == Kind::SOURCE_HEARTBEAT) {
        return Ok(());
    }
    overlay.recorded_on(&signer.key.author_id, ParisDay::of(TimeMs(time.get())))
}
