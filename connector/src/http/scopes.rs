//! What a client may do, as SMART App Launch 2 writes it: `system/AuditEvent.crs`.
//!
//! SMART names no scopes of operations, so there are two of our own: `system/$decide` and `system/$break-glass`. An Encounter can
//! only be created: `system/Encounter.c`.
//! A scope with a query (`?…`) narrows what it gives; the connector doesn't narrow by it, so it gives nothing. Scopes of
//! other contexts (`patient/`, `user/`) and of OpenID (`openid`) give nothing here either.

use std::collections::BTreeSet;
use std::fmt;

/// A resource type that the connector serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// AuditEvent.
    AuditEvent,
    /// Consent.
    Consent,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AuditEvent, Self::Consent];

    /// Its name in FHIR.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditEvent => "AuditEvent",
            Self::Consent => "Consent",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An interaction, as the letters of SMART 2 name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Interaction {
    Create,
    Read,
    Update,
    Delete,
    Search,
}

impl Interaction {
    const ALL: [(char, Self); 5] =
        [('c', Self::Create), ('r', Self::Read), ('u', Self::Update), ('d', Self::Delete), ('s', Self::Search)];
}

/// One thing that a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// An interaction with a resource type.
    On(Kind, Interaction),
    /// `POST /Consent/$decide`.
    Decide,
    /// `POST /$break-glass`.
    BreakGlass,
    /// `POST /Encounter`.
    Encounter,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(kind, interaction) => {
                let letter = Interaction::ALL.iter().find(|(_, known)| known == interaction).expect("all are listed").0;
                write!(f, "system/{}.{letter}", kind.name())
            }
            Self::Decide => f.write_str("system/$decide"),
            Self::BreakGlass => f.write_str("system/$break-glass"),
            Self::Encounter => f.write_str("system/Encounter.c"),
        }
    }
}

/// What a client may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Right>);

impl Scopes {
    /// Those of a token: words that give nothing here are left out.
    pub fn of_token<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(words.into_iter().filter_map(rights).flatten().collect())
    }

    /// Those of the configuration, where each has to give something.
    ///
    /// # Errors
    /// The first one that doesn't, with the way out.
    pub fn parse_list(words: &[String]) -> Result<Self, String> {
        let mut out = BTreeSet::new();
        for word in words {
            let found = rights(word).filter(|found| !found.is_empty());
            let found = found.ok_or_else(|| {
                format!("the scope `{word}` gives nothing here: write one as system/AuditEvent.crs, system/Consent.cruds, system/$decide or system/$break-glass")
            })?;
            out.extend(found);
        }
        Ok(Self(out))
    }

    /// What both give.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Whether they give this.
    pub fn allow(&self, right: Right) -> bool {
        self.0.contains(&right)
    }

    /// Whether they give nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every scope that there is, for `.well-known/smart-configuration`.
    pub const SUPPORTED: [&'static str; 5] = [
        "system/AuditEvent.crs",
        "system/Consent.cruds",
        "system/Encounter.c",
        "system/$decide",
        "system/$break-glass",
    ];
}

fn rights(word: &str) -> Option<Vec<Right>> {
    let rest = word.strip_prefix("system/")?;
    match rest {
        "$decide" => return Some(vec![Right::Decide]),
        "$break-glass" => return Some(vec![Right::BreakGlass]),
        _ => {}
    }
    let (of, letters) = rest.split_once('.')?;
    let kinds = match of {
        "*" => Kind::ALL.to_vec(),
        "Encounter" => Vec::new(),
        name => vec![Kind::from_name(name)?],
    };
    let interactions: Vec<Interaction> = match letters {
        // As SMART 1 wrote them.
        "read" => vec![Interaction::Read, Interaction::Search],
        "write" => vec![Interaction::Create, Interaction::Update, Interaction::Delete],
        "*" => Interaction::ALL.iter().map(|(_, interaction)| *interaction).collect(),
        letters => {
            let one = |letter| Interaction::ALL.iter().find(|(known, _)| *known == letter).map(|(_, one)| *one);
            letters.chars().map(one).collect::<Option<_>>()?
        }
    };
    let of_encounters = matches!(of, "*" | "Encounter") && interactions.contains(&Interaction::Create);
    let of_kinds = kinds.into_iter().flat_map(|kind| interactions.iter().map(move |one| Right::On(kind, *one)));
    Some(of_kinds.chain(of_encounters.then_some(Right::Encounter)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_give_what_their_letters_say() {
        let scopes = Scopes::of_token("system/AuditEvent.cr openid patient/Consent.rs system/$decide".split(' '));
        assert!(scopes.allow(Right::On(Kind::AuditEvent, Interaction::Create)));
        assert!(scopes.allow(Right::On(Kind::AuditEvent, Interaction::Read)));
        assert!(!scopes.allow(Right::On(Kind::AuditEvent, Interaction::Search)));
        assert!(!scopes.allow(Right::On(Kind::Consent, Interaction::Read)), "another context");
        assert!(scopes.allow(Right::Decide) && !scopes.allow(Right::BreakGlass));
    }

    #[test]
    fn a_scope_that_would_have_to_be_narrowed_gives_nothing() {
        let scopes = Scopes::of_token(["system/AuditEvent.rs?type=rest", "system/AuditEvent.x", "system/Patient.rs"]);
        assert_eq!(scopes, Scopes::default());
        let words = ["system/AuditEvent.rs?type=rest".to_owned()];
        assert!(Scopes::parse_list(&words).expect_err("nothing").contains("system/AuditEvent.crs"));
    }

    #[test]
    fn every_scope_that_is_published_is_understood_and_written_as_it_is_read() {
        let all = Scopes::of_token(Scopes::SUPPORTED);
        assert_eq!(all.0.len(), 3 + 5 + 1 + 2);
        for right in &all.0 {
            assert_eq!(Scopes::of_token([right.to_string().as_str()]).0, BTreeSet::from([*right]));
        }
        assert_eq!(Scopes::of_token(["system/*.*"]).0.len(), 11);
        assert!(Scopes::of_token(["system/Encounter.rs"]).is_empty(), "none is kept");
    }
}
