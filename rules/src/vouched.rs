//! The names for which a party vouches, as an act says them. [`crate::vouching`] says what a record and a request claim.

use sillage_proto::v1;

use crate::check::{at_most, line};
use crate::error::RecordError;
use crate::limits::{VOUCHED_BYTES_MAX, VOUCHED_OTHERS_MAX, VOUCHED_STRUCTURES_MAX};

/// Stands for every name. Registered in test logs only.
pub const ANY: &str = "*";

/// A thing for which a party can vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Vouched {
    /// A structure: FINESS or another id, as in an actor's `organisation`.
    Structure = 1,
    /// The URI of a system of actors.
    ActorSystem = 2,
    /// The issuer that established the identity in an authentication.
    Issuer = 3,
}

impl Vouched {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Structure, Self::ActorSystem, Self::Issuer];

    /// The number in the keys of the ledger's rows.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// How many names of it one party has at most.
    pub const fn max(self) -> u32 {
        match self {
            Self::Structure => VOUCHED_STRUCTURES_MAX,
            Self::ActorSystem | Self::Issuer => VOUCHED_OTHERS_MAX,
        }
    }

    /// As a sentence names it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::ActorSystem => "system of actors",
            Self::Issuer => "issuer of logins",
        }
    }
}

/// Names that a party vouches for. Each list is strictly ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vouching {
    /// Structures.
    pub structures: Vec<String>,
    /// Systems of actors.
    pub actor_systems: Vec<String>,
    /// Issuers of logins.
    pub issuers: Vec<String>,
}

impl Vouching {
    /// Every name: for test logs.
    pub fn any() -> Self {
        let any = || vec![ANY.to_owned()];
        Self { structures: any(), actor_systems: any(), issuers: any() }
    }

    /// The names, sorted, each once.
    pub fn sorted(mut self) -> Self {
        for list in [&mut self.structures, &mut self.actor_systems, &mut self.issuers] {
            list.sort_unstable();
            list.dedup();
        }
        self
    }

    /// Parses the three lists of a message.
    ///
    /// # Errors
    /// A name that is empty, too long, or has control characters or spaces around it; a list out of order or too long.
    pub fn parse(structures: &[String], actor_systems: &[String], issuers: &[String]) -> Result<Self, RecordError> {
        Ok(Self {
            structures: list("structures", Vouched::Structure, structures)?,
            actor_systems: list("actor_systems", Vouched::ActorSystem, actor_systems)?,
            issuers: list("issuers", Vouched::Issuer, issuers)?,
        })
    }

    /// As it stands in an act; nothing where it is empty.
    pub fn to_message(&self) -> Option<v1::Vouching> {
        let Self { structures, actor_systems, issuers } = self.clone();
        (!self.is_empty()).then_some(v1::Vouching { structures, actor_systems, issuers })
    }

    /// Tells whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// Tells whether it names one thing for all of a kind.
    pub fn has_any(&self) -> bool {
        self.names().any(|(_, name)| name == ANY)
    }

    /// The names of one kind.
    pub fn of(&self, what: Vouched) -> &[String] {
        match what {
            Vouched::Structure => &self.structures,
            Vouched::ActorSystem => &self.actor_systems,
            Vouched::Issuer => &self.issuers,
        }
    }

    /// The names of one kind, to change.
    pub fn of_mut(&mut self, what: Vouched) -> &mut Vec<String> {
        match what {
            Vouched::Structure => &mut self.structures,
            Vouched::ActorSystem => &mut self.actor_systems,
            Vouched::Issuer => &mut self.issuers,
        }
    }

    /// Every name, with what it names.
    pub fn names(&self) -> impl Iterator<Item = (Vouched, &str)> {
        Vouched::ALL.into_iter().flat_map(|what| self.of(what).iter().map(move |name| (what, name.as_str())))
    }
}

fn list(path: &str, what: Vouched, names: &[String]) -> Result<Vec<String>, RecordError> {
    at_most(path, names.len(), what.max() as usize)?;
    for name in names {
        line(path, name, VOUCHED_BYTES_MAX)?;
        if name.is_empty() || name.trim() != name {
            return Err(RecordError::malformed(path, "a name is missing, or has spaces around it"));
        }
    }
    if names.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(RecordError::malformed(path, "must be strictly ascending"));
    }
    Ok(names.to_vec())
}
