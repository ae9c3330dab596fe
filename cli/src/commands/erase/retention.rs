//! Retention: how long which records are kept, and which of them have been kept long enough.
//!
//! ```toml
//! years = 10                       # where no rule says otherwise; 10 if left out, at least 3
//! ground = "ten years, CSP R1112-7"
//!
//! [[rule]]                         # the first rule that fits decides
//! kind = "emergency"              # a kind such as access.read, or a whole group; left out: all
//! source = "DMP"                   # name or author id (hex) of the service that signed it; left out: all
//! years = 20
//! ground = "twenty years, decision 2026-17 of the committee"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1::LogEntry;
use sillage_rules::act::Act;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::{Group, Kind};
use sillage_rules::limits::{ERASE_RETENTION_MIN_MS, ERASED_INDICES_MAX, RETENTION, TEXT_BYTES_MAX};
use sillage_rules::record::ParsedRecord;

/// Years that records are kept where the rules don't say.
pub const YEARS_DEFAULT: u32 = 10;
/// No record is kept for less (Regulation (EU) 2025/327).
pub const YEARS_MIN: u32 = 3;
/// A century and more is a mistake.
const YEARS_MAX: u32 = 150;
/// A year with its share of leap days, rounded up, in milliseconds.
const YEAR_MS: u64 = 36_525 * 864_000 + 86_400_000 / 3;
const GROUND_DEFAULT: &str = "the time of keeping is over";

/// The signer of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Id of the author.
    pub author_id: AuthorId,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "years_default")]
    years: u32,
    #[serde(default = "ground_default")]
    ground: String,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    kind: Option<String>,
    source: Option<String>,
    years: u32,
    ground: String,
}

fn years_default() -> u32 {
    YEARS_DEFAULT
}

fn ground_default() -> String {
    GROUND_DEFAULT.to_owned()
}

/// Which records a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    All,
    Group(Group),
    One(Kind),
}

#[derive(Debug, Clone)]
struct Rule {
    kinds: Kinds,
    source: Option<String>,
    years: u32,
    ground: String,
}

/// How long which records are kept. Made of a file, see the module.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// Anything that can't be understood, and any rule under three years.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut rules = Vec::with_capacity(file.rule.len() + 1);
        for (rule, number) in file.rule.into_iter().zip(1..) {
            let checked = rule.check();
            rules.push(checked.map_err(|why| format!("rule {number}: {why}"))?);
        }
        let rest = RuleText { kind: None, source: None, years: file.years, ground: file.ground };
        rules.push(rest.check()?);
        Ok(Self { rules })
    }

    /// The ground on which a record may be erased at `now_ms`; `None` while it is kept.
    pub fn expired(&self, entry: &RecordEntry, source: &Source, now_ms: u64) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.fits(entry.kind, source));
        let rule = rule.expect("the last rule is for all");
        let kept_ms = (u64::from(rule.years) * YEAR_MS).max(ERASE_RETENTION_MIN_MS);
        (entry.time.get().saturating_add(kept_ms) <= now_ms).then_some(&rule.ground[..])
    }
}

impl RuleText {
    fn check(self) -> Result<Rule, String> {
        if !(YEARS_MIN..=YEARS_MAX).contains(&self.years) {
            return Err(format!("years = {}: records are kept for {YEARS_MIN} to {YEARS_MAX} years", self.years));
        }
        let kinds = match self.kind.as_deref() {
            None => Kinds::All,
            Some(token) => match (Group::from_token(token), Kind::from_token(token)) {
                (Some(group), _) => Kinds::Group(group),
                (None, Ok(kind)) => Kinds::One(kind),
                (None, Err(_)) => return Err(format!("kind = {token:?} is no kind and no group of kinds")),
            },
        };
        let text = self.ground.trim();
        let ground = format!("{RETENTION}: {text}");
        if text.is_empty() || ground.len() > TEXT_BYTES_MAX || ground.chars().any(char::is_control) {
            return Err("ground: say in one line why the records may go".to_owned());
        }
        Ok(Rule { kinds, source: self.source, years: self.years, ground })
    }
}

impl Rule {
    fn fits(&self, kind: Kind, source: &Source) -> bool {
        let of_kind = match self.kinds {
            Kinds::All => true,
            Kinds::Group(group) => kind.group() == group,
            Kinds::One(one) => kind == one,
        };
        let of_source = self.source.as_ref();
        of_kind && of_source.is_none_or(|wanted| *wanted == source.name || *wanted == source.author_id.to_string())
    }
}

/// Reads the log in order and gathers what has expired and wasn't erased yet.
pub struct Gathering<'a> {
    rules: &'a Rules,
    sources: BTreeMap<KeyId, Source>,
    now_ms: u64,
    /// The party whose batch the entries belong to.
    source: Option<Source>,
    found: BTreeMap<([u8; 32], String), BTreeSet<LeafIndex>>,
}

/// An act to sign: what it erases of whom, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The patient's tag.
    pub tag: [u8; 32],
    /// The records, ascending, at most as many as one act may name.
    pub indices: Vec<LeafIndex>,
    /// Why.
    pub ground: String,
}

impl<'a> Gathering<'a> {
    /// By `rules` at `now_ms`; `sources` says whose each key is.
    pub fn new(rules: &'a Rules, sources: BTreeMap<KeyId, Source>, now_ms: u64) -> Self {
        Self { rules, sources, now_ms, source: None, found: BTreeMap::new() }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// An entry that can't be read, or whose signer isn't known.
    pub fn take(&mut self, entry: &LogEntry) -> Result<(), String> {
        let decoded = Entry::decode(&entry.entry).map_err(|error| format!("an entry can't be read: {error}"))?;
        match decoded {
            Entry::BatchHeader(header) => {
                let source = self.sources.get(&header.key_id);
                self.source = Some(source.cloned().ok_or_else(|| format!("key {} is of no party", header.key_id))?);
            }
            Entry::Record(record) if record.kind == Kind::PAYLOAD_ERASED => self.forget(&record, &entry.record)?,
            Entry::Record(record) => self.look_at(&record),
            Entry::IndexCommit(_) | Entry::LedgerEvent(_) => {}
        }
        Ok(())
    }

    fn look_at(&mut self, record: &RecordEntry) {
        if record.tag == [0; 32] || record.kind.is_act() || record.flags.contains(Flags::LEDGER) {
            return;
        }
        let Some(source) = &self.source else { return };
        if let Some(ground) = self.rules.expired(record, source, self.now_ms) {
            let name = (record.tag, ground.to_owned());
            self.found.entry(name).or_default().insert(record.index);
        }
    }

    /// The entries that an act erased already.
    fn forget(&mut self, entry: &RecordEntry, record: &[u8]) -> Result<(), String> {
        let parsed = ParsedRecord::parse(record).map_err(|error| format!("entry {}: {error}", entry.index))?;
        let Some(Act::Erased { indices, .. }) = parsed.act() else {
            return Err(format!("entry {} erases nothing", entry.index));
        };
        for ((tag, _), found) in &mut self.found {
            if *tag == entry.tag {
                found.retain(|index| !indices.is_empty() && !indices.contains(index));
            }
        }
        Ok(())
    }

    /// The acts to sign, by patient.
    pub fn finish(self) -> Vec<Expired> {
        let acts = self.found.into_iter().flat_map(|((tag, ground), found)| {
            let found: Vec<LeafIndex> = found.into_iter().collect();
            let parts: Vec<Vec<LeafIndex>> = found.chunks(ERASED_INDICES_MAX).map(<[_]>::to_vec).collect();
            parts.into_iter().map(move |indices| Expired { tag, indices, ground: ground.clone() })
        });
        acts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::hash::{Hash, LedgerTimeMs};
    use sillage_rules::entry::BatchHeader;
    use sillage_rules::record::erasure_message;

    const RULES: &str = r#"
        [[rule]]
        kind = "emergency"
        years = 20
        ground = "twenty years"
        [[rule]]
        kind = "access.search"
        source = "DMP"
        years = 3
        ground = "three years"
    "#;
    const YEAR: u64 = 366 * 86_400_000;

    fn source(name: &str) -> Source {
        Source { author_id: AuthorId::from([7; 32]), name: name.to_owned() }
    }

    fn record(index: u64, kind: Kind, tag: u8) -> RecordEntry {
        RecordEntry {
            index: LeafIndex(index),
            time: LedgerTimeMs(1_000),
            flags: Flags::NONE,
            kind,
            tag: [tag; 32],
            record_hash: Hash::default(),
            position: 0,
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::parse(RULES).expect("rules");
        let after = |kind, name, years| rules.expired(&record(1, kind, 1), &source(name), 1_000 + years * YEAR);
        assert_eq!(after(Kind::ACCESS_READ, "DMP", 9), None);
        assert_eq!(after(Kind::ACCESS_READ, "DMP", 10), Some("RETENTION: the time of keeping is over"));
        assert_eq!(after(Kind::BREAKGLASS_OPENED, "DMP", 19), None);
        assert_eq!(after(Kind::BREAKGLASS_OPENED, "DMP", 20), Some("RETENTION: twenty years"));
        assert_eq!(after(Kind::ACCESS_SEARCH, "DMP", 3), Some("RETENTION: three years"));
        assert_eq!(after(Kind::ACCESS_SEARCH, "MSS", 9), None);
        let by_id = RULES.replace("\"DMP\"", &format!("{:?}", source("").author_id.to_string()));
        let rules = Rules::parse(&by_id).expect("rules");
        assert!(rules.expired(&record(1, Kind::ACCESS_SEARCH, 1), &source("?"), 1_000 + 3 * YEAR).is_some());
    }

    #[test]
    fn rules_that_cannot_be_are_refused_when_read() {
        for (text, why) in [
            ("years = 2", "3 to 150"),
            ("ground = \" \"", "ground"),
            ("[[rule]]\nyears = 2\nground = \"x\"", "rule 1"),
            ("[[rule]]\nkind = \"acces\"\nyears = 4\nground = \"x\"", "no kind"),
            ("[[rule]]\nyears = 4", "ground"),
            ("year = 5", "year"),
        ] {
            let refused = Rules::parse(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
        Rules::parse("").expect("ten years for all");
    }

    #[test]
    fn what_has_expired_is_gathered_by_patient_without_what_is_erased_already() {
        let rules = Rules::parse("").expect("rules");
        let key_id = KeyId::from([1; 32]);
        let sources = BTreeMap::from([(key_id, source("DMP"))]);
        let mut gathering = Gathering::new(&rules, sources, 1_000 + 11 * YEAR);
        let header = Entry::BatchHeader(BatchHeader {
            index: LeafIndex(1),
            time: LedgerTimeMs(1_000),
            key_id,
            stream_id: [2; 32].into(),
            seq: 1,
            count: 4,
            root: Hash::default(),
            signature: [0; 64],
        });
        let mut young = record(5, Kind::ACCESS_READ, 1);
        young.time = LedgerTimeMs(1_000 + 5 * YEAR);
        let ledger_made = RecordEntry { flags: Flags::LEDGER, ..record(6, Kind::LOG_CONSULTED, 1) };
        let entries = [2, 3].map(|index| record(index, Kind::ACCESS_READ, 1));
        let entries = entries.into_iter().chain([record(4, Kind::ACCESS_READ, 2), young, ledger_made]);
        let entries = std::iter::once(header).chain(entries.map(Entry::Record));
        for entry in entries {
            let entry = LogEntry { entry: entry.encode(), ..LogEntry::default() };
            gathering.take(&entry).expect("readable");
        }
        let act = Act::Erased { indices: vec![LeafIndex(2)], ground: "ORDER".into() };
        let act = ParsedRecord::from_message(erasure_message(&act, &[1; 32], 1_000)).expect("an act");
        let entry = Entry::Record(record(8, Kind::PAYLOAD_ERASED, 1)).encode();
        gathering.take(&LogEntry { entry, salt: vec![0; 16], record: act.into_bytes() }).expect("readable");
        let acts = gathering.finish();
        let of = |act: &Expired| (act.tag[0], act.indices.iter().map(|index| index.get()).collect::<Vec<_>>());
        assert_eq!(acts.iter().map(of).collect::<Vec<_>>(), [(1, vec![3]), (2, vec![4])]);
    }
}
