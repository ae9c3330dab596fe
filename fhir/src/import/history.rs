//! Versions of one Consent: which of them counts.
//!
//! The newest alone does. An older one that were recorded after it would bring back what the patient has changed or withdrawn.

use std::cmp::Ordering;

use serde_json::Value;

use super::dates::instant_ms;
use super::read::text;

/// What is said of a Consent that was deleted.
pub const DELETED: &str = "this Consent was deleted on its server, and nothing in this Bundle says whose it was: end what is on \
                           record of it with `sillage consent revoke`";

/// That a Consent was deleted on its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// When, milliseconds since 1970, where the history says it.
    pub at_ms: Option<u64>,
    /// The entry that says so, as received.
    pub entry: Vec<u8>,
}

/// What orders the versions of one resource on its server.
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
    /// Which Consent.
    name: String,
    stamp: Stamp,
    is_deleted: bool,
}

impl Version {
    /// Of an entry; none of anything else than a Consent.
    pub fn of(full_url: &str, resource: &Value, request: &Value, response: &Value) -> Option<Self> {
        let is_deleted = resource.is_null() && text(request, "method") == "DELETE";
        let name = match (text(resource, "resourceType"), text(resource, "id")) {
            ("Consent", id) if !id.is_empty() => format!("Consent/{id}"),
            ("", _) if is_deleted => {
                let named = [text(request, "url"), full_url].into_iter().map(|url| super::references::bare(url).text);
                let mut short = named.filter_map(|url| url.rfind("Consent/").map(|at| url[at..].to_owned()));
                short.next()?
            }
            _ => return None,
        };
        let base = full_url.split("Consent/").next().filter(|base| base.contains("://")).unwrap_or_default();
        let mut stamp = Stamp::of(resource);
        if stamp.id.is_empty() {
            text(response, "etag").trim_start_matches("W/").trim_matches('"').clone_into(&mut stamp.id);
        }
        stamp.updated_ms = stamp.updated_ms.or_else(|| instant_ms(text(response, "lastModified")));
        Some(Self { name: format!("{base}{name}"), stamp, is_deleted })
    }
}

/// Whether two names are of one Consent: that of a deleted one may be relative.
fn is_one(name: &str, other: &str) -> bool {
    let ends =
        |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    ends(name, other) || ends(other, name)
}

/// Why a version of a Consent isn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// A newer one came with it.
    Old,
    /// It says that the Consent was deleted: the place of its newest version, where that is there and can be no other Consent's.
    Deleted(Option<usize>),
}

/// Of the entries of a history, which are read: the newest version of each Consent. Where the versions don't say it, the order of
/// the entries does: a history has the newest first.
pub fn superseded(entries: Vec<Option<Version>>) -> Vec<Option<Left>> {
    let one = |(at, entry): (usize, &Option<Version>)| {
        let version = entry.as_ref()?;
        let all = entries.iter().enumerate().filter_map(|(place, other)| Some((place, other.as_ref()?)));
        let all: Vec<(usize, &Version)> = all.filter(|(_, other)| is_one(&other.name, &version.name)).collect();
        let is_newer = |(place, one): (usize, &Version), (other, version): (usize, &Version)| match one
            .stamp
            .order(&version.stamp)
        {
            Some(Ordering::Equal) | None => place < other,
            Some(order) => order == Ordering::Greater,
        };
        let kept: Vec<(usize, &Version)> = all.iter().copied().filter(|(_, one)| !one.is_deleted).collect();
        let is_newest = |one: &&(usize, &Version)| kept.iter().all(|other| other.0 == one.0 || is_newer(**one, *other));
        let deleted = |than: Option<(usize, &Version)>| {
            let mut deleted = all.iter().filter(|(_, one)| one.is_deleted);
            deleted.find(|one| than.is_none_or(|than| is_newer(**one, than))).copied()
        };
        // There is always one, so that none of them is skipped for another that is skipped too.
        let last = kept.iter().find(is_newest).or(kept.first()).copied();
        let newest = deleted(last).or(last).map(|(place, _)| place);
        // One of each server may have this name.
        let of_one = || kept.iter().all(|(_, one)| last.is_some_and(|(_, last)| last.name == one.name));
        match newest == Some(at) {
            false => Some(Left::Old),
            true if version.is_deleted => Some(Left::Deleted(last.filter(|_| of_one()).map(|(place, _)| place))),
            true => None,
        }
    };
    entries.iter().enumerate().map(one).collect()
}
