//! The rules that hold for a patient, folded from the records of the log with the code that decides in the ledger. A
//! node gives the records; what follows from them is worked out here.

use std::collections::BTreeMap;

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::consent::{ActorName, Catalogue, Env, Event, Matrix, Meta, PatientState, Policy, Spelled};

use crate::author::TagPair;
use crate::channel::Client;
use crate::checks::{CheckedLine, check_line, failed};
use crate::clock::now_ms;
use crate::error::ClientError;
use crate::session::Session;
use sillage_words::time::parse_bound;

/// Records of one page: the ledger's own bound.
const PAGE: u32 = 500;

/// As of when something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Now.
    Now,
    /// When the log had this many entries.
    Size(u64),
    /// At this ledger time, ms.
    Time(u64),
}

impl AsOf {
    /// Reads an index or a time.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: Option<&str>) -> Result<Self, ClientError> {
        let Some(text) = text else {
            return Ok(Self::Now);
        };
        match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            true => match text.parse() {
                Ok(size) if size > 0 => Ok(Self::Size(size)),
                _ => Err(ClientError::Usage("--as-of: the log had at least one entry, and less than 2^64".to_owned())),
            },
            false => Ok(Self::Time(parse_bound("--as-of", text)?)),
        }
    }

    fn request(self, tag: &PatientTag) -> v1::RuleRecordsRequest {
        let (as_of_index, as_of_ms) = match self {
            Self::Now => (0, 0),
            Self::Size(size) => (size, 0),
            Self::Time(ms) => (0, ms.max(1)),
        };
        let tag = tag.to_bytes().to_vec();
        v1::RuleRecordsRequest { tag, as_of_index, as_of_ms, after_index: 0, limit: PAGE }
    }
}

/// A record that decided something, in log order.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The line, checked.
    pub line: CheckedLine,
    /// Its meaning; none where its content was erased.
    pub event: Option<(Event, Meta)>,
}

/// The records and the state under one of a patient's two tags.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its tag.
    pub tag: PatientTag,
    /// Every record that decided something, oldest first.
    pub records: Vec<Decided>,
    /// The entry that erased the whole patient, where one did: nothing before it holds.
    pub erased: Option<LeafIndex>,
    /// The state that follows from them.
    pub state: PatientState,
}

impl Side {
    /// The state that the records are applied to: one who was erased has a closed space, whatever comes after.
    pub fn first_state(&self) -> PatientState {
        if self.erased.is_some() { PatientState::erased() } else { PatientState::default() }
    }
}

/// The rules that hold for one patient, and for all.
#[derive(Debug, Clone)]
pub struct Known {
    /// Under the open tag.
    pub open: Side,
    /// The rules under the secret tag, where the caller may know it.
    pub secret: Option<Side>,
    /// The policy in force.
    pub policy: Policy,
    /// The habilitation matrix in force.
    pub matrix: Matrix,
    /// The catalogue in force.
    pub catalogue: Catalogue,
    /// Hashes of the actors that are revoked.
    pub revoked: Vec<Hash>,
    /// Which state of the log this is: its size.
    pub as_of_size: u64,
    /// The moment that was asked about, ms: what has run out by then doesn't hold.
    pub as_of_ms: u64,
}

/// The records of a patient as a node gave them: what can be kept, and folded later.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    tags: TagPair,
    /// The moment that was asked about, ms: now, by this machine's clock, where none was.
    at_ms: u64,
    open: v1::RuleRecordsResponse,
    secret: Option<v1::RuleRecordsResponse>,
}

/// First line of what is kept.
const HEAD: &[u8] = b"sillage-known/v1\n";

impl Fetched {
    /// Asks for the records of a patient, under both tags as of the same moment.
    ///
    /// # Errors
    /// `AS_OF_AHEAD` for what is to come; [`ClientError::Check`] when pages don't follow each other.
    pub async fn fetch(client: &Client, tags: TagPair, as_of: AsOf) -> Result<Self, ClientError> {
        let open = pages(client, &tags.0, as_of).await?;
        let secret = match &tags.1 {
            None => None,
            Some(tag) => Some(pages(client, tag, AsOf::Size(open.as_of_size)).await?),
        };
        // The ledger's time stands still while nobody writes.
        let at_ms = match as_of {
            AsOf::Now => now_ms().max(open.as_of_ms),
            AsOf::Time(ms) => ms.max(open.as_of_ms),
            AsOf::Size(_) => open.as_of_ms,
        };
        Ok(Self { tags, at_ms, open, secret })
    }

    /// As bytes: `head ‖ u64 at_ms ‖ tag[32] ‖ u32 length ‖ records ‖ (tag[32] ‖ records of the second one)`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let records = self.open.encode_to_vec();
        let mut out = HEAD.to_vec();
        out.extend(self.at_ms.to_be_bytes());
        out.extend(self.tags.0.as_bytes());
        out.extend(u32::try_from(records.len()).expect("a patient's records are far below 4 GiB").to_be_bytes());
        out.extend(records);
        if let (Some(tag), Some(secret)) = (&self.tags.1, &self.secret) {
            out.extend(tag.as_bytes());
            out.extend(secret.encode_to_vec());
        }
        out
    }

    /// Reads what [`Fetched::to_bytes`] wrote.
    ///
    /// # Errors
    /// With the record that is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "what was kept of this patient is damaged: fetch it anew".to_owned();
        let rest = bytes.strip_prefix(HEAD).ok_or_else(damaged)?;
        let (at_ms, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (tag, rest) = rest.split_at_checked(32).ok_or_else(damaged)?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| damaged())?;
        let (open, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
        let parse_tag = |bytes: &[u8]| PatientTag::from_slice(bytes).map_err(|_| damaged());
        let records = |bytes: &[u8]| v1::RuleRecordsResponse::decode(bytes).map_err(|_| damaged());
        let (second, secret) = match rest.split_at_checked(32) {
            None if rest.is_empty() => (None, None),
            None => return Err(damaged()),
            Some((tag, rest)) => (Some(parse_tag(tag)?), Some(records(rest)?)),
        };
        let at_ms = u64::from_be_bytes(*at_ms);
        Ok(Self { tags: (parse_tag(tag)?, second), at_ms, open: records(open)?, secret })
    }

    /// The state that follows from them. `late_after_ms` is the genesis's.
    ///
    /// # Errors
    /// [`ClientError::Check`] for a record that contradicts itself.
    pub fn fold(self, late_after_ms: u64) -> Result<Known, ClientError> {
        let mut first = self.open;
        let side = fold(&self.tags.0, &mut first, late_after_ms)?;
        let hidden = match (self.tags.1, self.secret) {
            (Some(tag), Some(mut secret)) => Some(fold(&tag, &mut secret, late_after_ms)?),
            _ => None,
        };
        let policy =
            published(first.policy, late_after_ms, |event| if let Event::Policy(p) = event { Some(*p) } else { None })?;
        let matrix =
            published(first.matrix, late_after_ms, |event| if let Event::Matrix(m) = event { Some(m) } else { None })?;
        let apps =
            published(
                first.catalogue,
                late_after_ms,
                |event| if let Event::Catalogue(c) = event { Some(c) } else { None },
            )?;
        let revoked: Result<Vec<Hash>, _> = first.revoked_actors.iter().map(|hash| Hash::from_slice(hash)).collect();
        Ok(Known {
            open: side,
            secret: hidden,
            policy,
            matrix,
            catalogue: apps,
            revoked: revoked.map_err(|_| failed("a revoked actor is no hash: ask another node"))?,
            as_of_size: first.as_of_size,
            as_of_ms: self.at_ms,
        })
    }
}

impl Known {
    /// Asks for the records of a patient and folds them.
    ///
    /// # Errors
    /// As for [`Fetched::fetch`] and [`Fetched::fold`].
    pub async fn fetch(session: &Session, tags: TagPair, as_of: AsOf) -> Result<Self, ClientError> {
        Fetched::fetch(&session.client, tags, as_of).await?.fold(session.genesis.late_after_ms)
    }

    /// Tells whether an actor is revoked.
    pub fn is_revoked(&self, name: &ActorName) -> bool {
        name.hashes().any(|hash| self.revoked.contains(&hash))
    }

    /// The moment, as ledger time.
    pub fn at(&self) -> LedgerTimeMs {
        LedgerTimeMs(self.as_of_ms)
    }

    /// Calls `f` with what holds for all patients.
    pub fn with_env<T>(&self, f: impl FnOnce(&Env<'_>) -> T) -> T {
        let revoked = |name: &ActorName| self.is_revoked(name);
        f(&Env {
            policy: &self.policy,
            matrix: &self.matrix,
            catalogue: &self.catalogue,
            revoked: &revoked,
            claims: true,
            across_servers: true,
        })
    }

    /// Under both tags.
    pub fn sides(&self) -> impl Iterator<Item = (&Side, bool)> {
        std::iter::once((&self.open, false)).chain(self.secret.iter().map(|side| (side, true)))
    }
}

async fn pages(client: &Client, tag: &PatientTag, as_of: AsOf) -> Result<v1::RuleRecordsResponse, ClientError> {
    let ask = async |request: v1::RuleRecordsRequest| {
        client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.rule_records(request).await }
            })
            .await
    };
    let mut first = ask(as_of.request(tag)).await?;
    let mut more = std::mem::take(&mut first.more);
    // All pages are of one state of the log.
    let fixed = AsOf::Size(first.as_of_size).request(tag);
    while more {
        let after_index = first.records.last().map_or(0, |line| line.index);
        let page = ask(v1::RuleRecordsRequest { after_index, ..fixed.clone() }).await?;
        if page.records.first().is_none_or(|line| line.index <= after_index) {
            return Err(failed("the ledger's pages of records do not go on: ask another node"));
        }
        first.records.extend(page.records);
        first.breakglass_ends.extend(page.breakglass_ends);
        more = page.more;
    }
    Ok(first)
}

/// Folds the lines of one tag, which are taken out of the answer. `late_after_ms` is the genesis's.
///
/// # Errors
/// [`ClientError::Check`] for a line that contradicts itself or comes out of order.
pub fn fold(tag: &PatientTag, answer: &mut v1::RuleRecordsResponse, late_after_ms: u64) -> Result<Side, ClientError> {
    let lines = std::mem::take(&mut answer.records);
    let erased = (answer.erased_index != 0).then_some(LeafIndex(answer.erased_index));
    let ends: BTreeMap<u64, u64> = answer.breakglass_ends.iter().map(|end| (end.index, end.ends_ms)).collect();
    let records = Vec::with_capacity(lines.len());
    let mut side = Side { tag: *tag, records, erased, state: PatientState::default() };
    side.state = side.first_state();
    let mut last = None;
    for line in lines {
        let line = check_line(line, tag.as_bytes(), late_after_ms)?;
        if last.is_some_and(|last| line.entry.index <= last) {
            return Err(failed("the records come twice or out of order: ask another node"));
        }
        last = Some(line.entry.index);
        // What the erasure of a patient took has no content any more; a node that still gives one isn't followed.
        let gone = side.erased.is_some_and(|by| line.entry.index < by);
        let mut event = if gone { None } else { read_event(&line)? };
        if line.voided.is_some() {
            // It is listed, and counts for nothing.
            side.records.push(Decided { line, event });
            continue;
        }
        if let Some((event, meta)) = &mut event {
            if let (Event::BreakGlassOpened(opened), Some(end)) = (&mut *event, ends.get(&line.entry.index.get())) {
                opened.end_by(LedgerTimeMs(*end));
            }
            side.state.apply(event, meta);
        }
        side.records.push(Decided { line, event });
    }
    Ok(side)
}

fn read_event(line: &CheckedLine) -> Result<Option<(Event, Meta)>, ClientError> {
    let Some(record) = &line.record else {
        return Ok(None);
    };
    let index = line.entry.index;
    let odd = |error: sillage_rules::record::RecordError| {
        failed(&format!(
            "record {index} is on record, and can't be understood ({error}): use the version of the ledger"
        ))
    };
    let Some(event) = Event::of(record).map_err(odd)? else {
        return Ok(None);
    };
    // Who vouched for it was checked when it was admitted, and changes nothing any more.
    let meta = Meta::of(record, index, line.entry.time, false, false).map_err(odd)?;
    // Names are compared as the ledger does: in their one spelling.
    Ok(Some((event.spelled_on_record(), meta.spelled_on_record())))
}

/// The authority's last publication; the default where it published nothing.
fn published<T: Default>(
    line: Option<v1::TraceLine>,
    late_after_ms: u64,
    of: fn(Event) -> Option<T>,
) -> Result<T, ClientError> {
    let Some(line) = line else {
        return Ok(T::default());
    };
    let line = check_line(line, &[0; 32], late_after_ms)?;
    let index = line.entry.index;
    let event = read_event(&line)?.and_then(|(event, _)| of(event));
    event.ok_or_else(|| failed(&format!("record {index} is not what the ledger gives it as: ask another node")))
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
