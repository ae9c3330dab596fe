//! From the parameters of a search to what is looked for.

use super::dates::DateWanted;
use super::matching::{self, Extract};
use crate::http::scopes::Kind;

/// Resources of a page: without `_count`, and at most.
pub const COUNT: usize = 50;
/// See [`COUNT`].
pub const COUNT_MAX: usize = 500;
/// Values of one parameter, which are alternatives.
const VALUES_MAX: usize = 64;

/// A token that is looked for: `system|code`, `|code`, `code` or `system|`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWanted {
    /// None: any.
    pub system: Option<String>,
    /// None: any.
    pub code: Option<String>,
}

/// A patient that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatientWanted {
    /// By an identifier: system (empty where none is named) and value.
    Identifier(String, String),
    /// By a reference, as `Patient/1`.
    Reference(String),
}

/// One condition: one of its values fits.
#[derive(Debug, Clone)]
pub enum Filter {
    /// A token.
    Token(Extract, Vec<TokenWanted>),
    /// A date.
    Date(Extract, Vec<DateWanted>),
    /// A text that begins so, whatever its case.
    Text(Extract, Vec<String>),
    /// A reference.
    Reference(Extract, Vec<String>),
    /// A reference or one of its identifiers, as PCF and R4 write `actor`.
    Either(Extract, Vec<String>),
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// In which resources.
    pub kind: Kind,
    /// All of these fit.
    pub filters: Vec<Filter>,
    /// Of these patients, each condition with its alternatives.
    pub patients: Vec<Vec<PatientWanted>>,
    /// Ids, where some are named.
    pub ids: Option<Vec<String>>,
    /// The bounds of what `date` can fit: from, until, ms since 1970.
    pub recorded_ms: (i64, i64),
    /// Resources of a page.
    pub count: usize,
    /// Parameters that were used, as they came.
    pub used: Vec<(String, String)>,
    /// What was ignored or bounded, a sentence each.
    pub notes: Vec<String>,
}

/// Why a search is refused: one sentence with the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// `system|code`.
    Token,
    /// A date with a prefix.
    Date,
    /// The beginning of a text.
    Text,
    /// `Type/id`, an id or a URL.
    Reference,
    /// A reference or an identifier.
    Either,
    /// A reference to a patient.
    Patient,
    /// An identifier of a patient.
    PatientIdentifier,
}

impl Sort {
    /// The type of FHIR, for the CapabilityStatement.
    pub const fn fhir(self) -> &'static str {
        match self {
            Self::Token | Self::PatientIdentifier => "token",
            Self::Date => "date",
            Self::Text => "string",
            Self::Reference | Self::Either | Self::Patient => "reference",
        }
    }
}

/// A parameter: its name, what its values are, and what they are compared with.
pub type Parameter = (&'static str, Sort, Extract);

/// The parameters that are understood on a type.
pub const fn known(kind: Kind) -> &'static [Parameter] {
    match kind {
        Kind::AuditEvent => matching::AUDIT_EVENT,
        Kind::Consent => matching::CONSENT,
    }
}

/// Parameters of every search that say how its answer is written, and are taken care of elsewhere or need nothing.
const OF_THE_ANSWER: [&str; 5] = ["_format", "_pretty", "_count", "_total", "_cursor"];

/// Parameters that FHIR has and that can't be left out without showing more, or something else, than was asked for.
const REFUSED: [&str; 14] = [
    "_filter",
    "_has",
    "_query",
    "_list",
    "_type",
    "_content",
    "_text",
    "_in",
    "_tag",
    "_profile",
    "_security",
    "_source",
    "_include",
    "_revinclude",
];

/// Beginnings of names that would narrow a search to somebody or something.
const NARROWING: [&str; 17] = [
    "patient",
    "subject",
    "entity",
    "agent",
    "who",
    "what",
    "actor",
    "identifier",
    "_id",
    "person",
    "practitioner",
    "organization",
    "source",
    "ins",
    "user",
    "participant",
    "consentor",
];

impl Query {
    /// Reads the parameters of a search.
    ///
    /// # Errors
    /// What is refused, and the way out.
    pub fn parse(kind: Kind, parameters: &[(String, String)], is_strict: bool) -> Result<Self, Refused> {
        let mut query = Self {
            kind,
            filters: Vec::new(),
            patients: Vec::new(),
            ids: None,
            recorded_ms: (i64::MIN, i64::MAX),
            count: COUNT,
            used: Vec::new(),
            notes: Vec::new(),
        };
        for (name, value) in parameters {
            if query.of_the_answer(name, value)? || query.condition(name, value)? {
                continue;
            }
            if is_strict {
                return Err(Refused(format!(
                    "the parameter `{}` isn't understood (Prefer: handling=strict)",
                    shown(name)
                )));
            }
            query.notes.push(format!("the parameter `{}` isn't understood and was ignored", shown(name)));
        }
        Ok(query)
    }

    /// Reads a parameter that says how the answer is written.
    fn of_the_answer(&mut self, name: &str, value: &str) -> Result<bool, Refused> {
        match name {
            "_count" => {
                let wanted: u64 =
                    value.parse().map_err(|_| Refused(format!("_count is a whole number from 0 to {COUNT_MAX}")))?;
                // Clients append a large one to links of ours: fewer come, and the link `next` says so.
                self.count = usize::try_from(wanted).unwrap_or(usize::MAX).min(COUNT_MAX);
            }
            "_total" if value != "none" => {
                self.notes.push("_total: no total is counted, as with _total=none".to_owned());
            }
            "_sort" => match value {
                "-date" | "-_lastUpdated" => {}
                _ => self.notes.push("_sort: what was recorded last comes first, whatever is asked for".to_owned()),
            },
            "_summary" if value == "false" => {}
            "_summary" | "_elements" => {
                return Err(Refused(format!("{name} isn't supported: resources come whole; leave it out")));
            }
            name if OF_THE_ANSWER.contains(&name) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a condition.
    fn condition(&mut self, name: &str, value: &str) -> Result<bool, Refused> {
        let name_only = name.split(':').next().unwrap_or_default();
        if REFUSED.contains(&name_only) {
            return Err(Refused(format!(
                "{name_only} isn't supported, and leaving it out would answer another question: use the parameters of /metadata"
            )));
        }
        let found = known(self.kind).iter().find(|(known, ..)| *known == name);
        let Some((_, sort, extract)) = found else {
            if known(self.kind).iter().any(|(known, ..)| *known == name_only) {
                return Err(Refused(format!(
                    "a modifier of {name_only} isn't supported: leave out what follows the colon"
                )));
            }
            let first = name_only.split('.').next().unwrap_or_default();
            let narrows = NARROWING.iter().any(|word| first.to_ascii_lowercase().starts_with(word));
            if narrows || name_only.contains('.') {
                return Err(Refused(format!(
                    "the parameter `{}` isn't understood, and ignoring it would show more than was asked for: use the \
                     parameters of /metadata; of chains only patient.identifier, agent.identifier, entity.identifier and \
                     source.identifier are",
                    shown(name)
                )));
            }
            return Ok(false);
        };
        let values = alternatives(value);
        if values.is_empty() {
            return Err(Refused(format!("{name} has no value: give one, or leave the parameter out")));
        }
        if values.len() > VALUES_MAX {
            return Err(Refused(format!("{name} has more than {VALUES_MAX} values: ask several times")));
        }
        self.used.push((name.to_owned(), value.to_owned()));
        match sort {
            Sort::Token => {
                let wanted: Vec<TokenWanted> = values.iter().map(|value| token(value)).collect();
                if wanted.iter().any(|token| token.system.is_none() && token.code.is_none()) {
                    return Err(Refused(format!("{name}: write code, system|code, |code or system|")));
                }
                if name == "_id" {
                    let ids = wanted.iter().filter_map(|token| token.code.clone());
                    let ids: Vec<String> = match self.ids.take() {
                        None => ids.collect(),
                        Some(before) => ids.filter(|id| before.contains(id)).collect(),
                    };
                    self.ids = Some(ids);
                }
                self.filters.push(Filter::Token(extract, wanted));
            }
            Sort::Date => {
                let read = |value: &String| {
                    DateWanted::parse(value).ok_or_else(|| {
                        Refused(format!("{name}: write a date such as ge2026-03-01 or lt2026-03-01T10:00:00+01:00"))
                    })
                };
                let wanted = values.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                if name == "date" && self.kind == Kind::AuditEvent {
                    let from = wanted.iter().map(|date| date.bounds().0).min().unwrap_or(i64::MIN);
                    let until = wanted.iter().map(|date| date.bounds().1).max().unwrap_or(i64::MAX);
                    self.recorded_ms = (self.recorded_ms.0.max(from), self.recorded_ms.1.min(until));
                }
                self.filters.push(Filter::Date(extract, wanted));
            }
            Sort::Text => self.filters.push(Filter::Text(extract, values)),
            Sort::Reference => self.filters.push(Filter::Reference(extract, values)),
            Sort::Either => self.filters.push(Filter::Either(extract, values)),
            Sort::Patient => {
                self.patients.push(values.into_iter().map(PatientWanted::Reference).collect());
            }
            Sort::PatientIdentifier => {
                let one = |value: &String| {
                    let token = token(value);
                    let value = token.code.ok_or_else(|| Refused(format!("{name}: write system|value or value")))?;
                    Ok(PatientWanted::Identifier(token.system.unwrap_or_default(), value))
                };
                self.patients.push(values.iter().map(one).collect::<Result<Vec<_>, _>>()?);
            }
        }
        Ok(true)
    }
}

/// A name as it may stand in a sentence.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The alternatives of a value: commas divide them, unless a backslash stands before one.
fn alternatives(value: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(|next| ",|$\\".contains(*next)) => {
                // The bar stays marked: `token` divides at those that aren't.
                let next = chars.next().expect("it was seen");
                if next == '|' {
                    out.last_mut().expect("one is there").push('\\');
                }
                out.last_mut().expect("one is there").push(next);
            }
            ',' => out.push(String::new()),
            c => out.last_mut().expect("one is there").push(c),
        }
    }
    out.retain(|value| !value.trim().is_empty());
    out
}

/// Reads a token.
pub fn token(text: &str) -> TokenWanted {
    let bar = text.char_indices().find(|(at, c)| *c == '|' && !text[..*at].ends_with('\\')).map(|(at, _)| at);
    let plain = |text: &str| text.replace("\\|", "|");
    let some = |text: &str| (!text.is_empty()).then(|| plain(text));
    match bar {
        None => TokenWanted { system: None, code: some(text) },
        // `|code`: without a system, said so.
        Some(0) if text.len() > 1 => TokenWanted { system: Some(String::new()), code: some(&text[1..]) },
        Some(at) => TokenWanted { system: some(&text[..at]), code: some(&text[at + 1..]) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Refused> {
        Query::parse(Kind::AuditEvent, &crate::rest::request::form(query).expect("a form"), false)
    }

    #[test]
    fn what_would_show_more_than_was_asked_for_is_refused() {
        for query in [
            "_include=*",
            "_include:iterate=AuditEvent:patient",
            "_revinclude=Provenance:target",
            "patient.name=Martin",
            "patient:Patient=1",
            "patient:missing=true",
            "subject=Patient/1",
            "entity.what.identifier=1",
            "agent.who.identifier=1",
            "agent:Practitioner.name=x",
            "_has:Provenance:target:agent=1",
            "_filter=patient%20eq%20Patient/1",
            "_text=coma",
            "ins=279035121518989",
            "Patient=1",
            "_summary=count",
            "type:not=rest",
            "patient=",
            "patient=%2C",
            "date=yesterday",
            "_count=-1",
            "_count=many",
            "type=%7C",
        ] {
            let refused = parse(query).err().unwrap_or_else(|| panic!("{query} was taken"));
            assert!(!refused.0.contains("279035121518989"), "no identity in a sentence");
        }
    }

    #[test]
    fn what_is_ignored_or_bounded_is_said() {
        let query = parse("_count=1000000000&foo=1&_sort=type&_total=accurate&_format=json").expect("taken");
        assert_eq!(query.count, COUNT_MAX);
        assert_eq!(query.notes.len(), 3, "{:?}", query.notes);
        let strict = Query::parse(Kind::AuditEvent, &[("foo".to_owned(), "1".to_owned())], true);
        assert!(strict.is_err());
    }

    #[test]
    fn values_are_divided_and_repeated_parameters_all_count() {
        let query = parse("type=a%7Cb,%7Cc,d&date=ge2026-03-01&date=lt2026-04-01").expect("taken");
        assert_eq!(query.filters.len(), 3);
        let (from, until) = query.recorded_ms;
        assert!(until - from >= 31 * 86_400_000 && until - from < 33 * 86_400_000);
        let Filter::Token(_, tokens) = &query.filters[0] else { panic!("{:?}", query.filters) };
        let pair = |system: Option<&str>, code: &str| TokenWanted {
            system: system.map(str::to_owned),
            code: Some(code.to_owned()),
        };
        assert_eq!(tokens[..], [pair(Some("a"), "b"), pair(Some(""), "c"), pair(None, "d")]);
        assert_eq!(token("a\\|b|c"), pair(Some("a|b"), "c"));
        assert_eq!(alternatives("a\\,b,c"), ["a,b", "c"]);
    }
}
