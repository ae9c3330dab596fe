//! Versions of one Consent: which of them counts.
//!
//! The newest alone does. An older one that were recorded after it would bring back what the patient has changed or withdrawn.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::dates::instant_ms;
use super::read::text;
use super::references::{bare, base_of, spelled_base};

/// The refusal of the deletion of a Consent that nobody knows.
pub const DELETED: &str = "this Consent was deleted on its server, and nothing in this Bundle says whose it was: end what is on \
                           record of it with `sillage consent revoke`";

/// That a Consent was deleted on its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Which Consent, and what orders its versions.
    pub version: Version,
    /// When, milliseconds since 1970, where the history says it.
    pub at_ms: Option<u64>,
    /// The entry that says so, as received.
    pub entry: Vec<u8>,
}

impl Deleted {
    /// Tells whether a version of the Consent, given then (milliseconds since 1970), was made after it: it was made again.
    pub fn is_before(&self, version: &Value, given_ms: u64) -> bool {
        match Stamp::of(version).order(&self.version.stamp) {
            Some(order) => order == Ordering::Greater,
            None => self.at_ms.is_some_and(|at_ms| given_ms > at_ms),
        }
    }
}

/// The order of the versions of one resource on its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `meta.versionId`.
    id: String,
    /// `meta.lastUpdated`, milliseconds since 1970.
    updated_ms: Option<i64>,
}

impl Stamp {
    /// Of a resource.
    pub fn of(resource: &Value) -> Self {
        let meta = &resource["meta"];
        Self { id: text(meta, "versionId").trim().to_owned(), updated_ms: instant_ms(text(meta, "lastUpdated")) }
    }

    /// How it lies to another version; none where nothing says it.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        if !self.id.is_empty() && self.id == other.id {
            return Some(Ordering::Equal);
        }
        let number = |stamp: &Self| stamp.id.parse::<u64>().ok();
        let by_id = number(self).zip(number(other)).map(|(own, other)| own.cmp(&other));
        let by_time = self.updated_ms.zip(other.updated_ms).map(|(own, other)| own.cmp(&other));
        match (by_id, by_time.filter(|order| order.is_ne())) {
            (Some(by_id), Some(by_time)) if by_id != by_time => None,
            (by_id, by_time) => by_time.or(by_id),
        }
    }
}

/// An entry of a history that is a version of a Consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The server that it names; empty where it names none, or two.
    pub server: String,
    /// `Consent/1`.
    pub name: String,
    /// Its place in that order.
    pub stamp: Stamp,
    is_deleted: bool,
    /// It names two Consents: it is of neither.
    is_unclear: bool,
}

impl Version {
    /// Of an entry; none of anything else than a Consent.
    pub fn of(full_url: &str, resource: &Value, request: &Value, response: &Value) -> Option<Self> {
        let is_deleted = resource.is_null() && text(request, "method") == "DELETE";
        let (server, name, is_unclear) = match (text(resource, "resourceType"), text(resource, "id")) {
            ("Consent", id) if !id.is_empty() => {
                (base_of(full_url, "Consent", id).unwrap_or_default(), format!("Consent/{id}"), false)
            }
            ("", _) if is_deleted => deleted_by(text(request, "url"), full_url)?,
            _ => return None,
        };
        let mut stamp = Stamp::of(resource);
        if stamp.id.is_empty() {
            text(response, "etag").trim_start_matches("W/").trim_matches('"').clone_into(&mut stamp.id);
        }
        stamp.updated_ms = stamp.updated_ms.or_else(|| instant_ms(text(response, "lastModified")));
        Some(Self { server, name, stamp, is_deleted, is_unclear })
    }
}

/// Which Consent a DELETE is of: its server, its type and id, and whether `request.url` and `fullUrl` name two.
fn deleted_by(url: &str, full_url: &str) -> Option<(String, String, bool)> {
    let mut named = [url, full_url].into_iter().filter_map(place);
    let (server, name) = named.next()?;
    let Some((of_full, full)) = named.next() else { return Some((server, name, false)) };
    let are_two = full != name || !server.is_empty() && !of_full.is_empty() && server != of_full;
    Some(match are_two {
        true => (String::new(), name, true),
        false => (if server.is_empty() { of_full } else { server }, name, false),
    })
}

/// The server of the URL of a Consent, empty where it names none, and its type and id.
fn place(url: &str) -> Option<(String, String)> {
    let url = bare(url.split('?').next()?).text;
    let at = url.rfind("Consent/").filter(|at| *at == 0 || url[..*at].ends_with('/'))?;
    let (server, name) = url.split_at(at);
    let server = if server.contains("://") { spelled_base(server) } else { String::new() };
    Some((server, name.to_owned()))
}

/// Why a version of a Consent isn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// A newer one came with it.
    Old,
    /// It says that the Consent was deleted: the place of its newest version, where that is there.
    Deleted(Option<usize>),
}

/// Of the entries of a history, which are read: the newest version of each Consent. Where the versions don't say it, the order of
/// the entries does: a history has the newest first.
pub fn superseded(entries: Vec<Option<Version>>) -> Vec<Option<Left>> {
    let mut out = vec![None; entries.len()];
    for versions in by_consent(&entries) {
        let is_newer = |(place, one): (usize, &Version), (other, version): (usize, &Version)| match one
            .stamp
            .order(&version.stamp)
        {
            Some(Ordering::Equal) | None => place < other,
            Some(order) => order == Ordering::Greater,
        };
        let kept: Vec<(usize, &Version)> = versions.iter().copied().filter(|(_, one)| !one.is_deleted).collect();
        let is_newest = |one: &&(usize, &Version)| kept.iter().all(|other| other.0 == one.0 || is_newer(**one, *other));
        // There is always one, so that none of them is skipped for another that is skipped too.
        let last = kept.iter().find(is_newest).or(kept.first()).copied();
        let mut deleted = versions.iter().copied().filter(|(_, one)| one.is_deleted);
        let deleted = deleted.find(|one| last.is_none_or(|last| is_newer(*one, last)));
        let newest = deleted.or(last).map(|(place, _)| place);
        for (place, version) in versions {
            out[place] = match newest == Some(place) {
                false => Some(Left::Old),
                true if version.is_deleted => Some(Left::Deleted(last.map(|(place, _)| place))),
                true => None,
            };
        }
    }
    out
}

/// The versions of each Consent, in their order. What names no server is of the one that the versions name; where they name several,
/// it is nobody's but its own: a deletion that may be of either ends neither.
fn by_consent(entries: &[Option<Version>]) -> Vec<Vec<(usize, &Version)>> {
    let all = || entries.iter().enumerate().filter_map(|(place, entry)| Some((place, entry.as_ref()?)));
    let mut servers: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for (_, version) in all().filter(|(_, version)| !version.is_deleted && !version.server.is_empty()) {
        servers.entry(&version.name).or_default().insert(&version.server);
    }
    let mut out: BTreeMap<_, Vec<(usize, &Version)>> = BTreeMap::new();
    for (place, version) in all() {
        let named = servers.get(version.name.as_str()).filter(|named| version.server.is_empty() && named.len() == 1);
        let server = named.and_then(|named| named.first().copied()).unwrap_or(version.server.as_str());
        let alone = version.is_unclear.then_some(place);
        out.entry((version.name.as_str(), server, alone)).or_default().push((place, version));
    }
    out.into_values().collect()
}
