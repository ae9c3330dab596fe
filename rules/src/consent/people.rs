//! People around a patient as records tell of them: representatives, care team, break-glass, feeds, deposits.

use serde::{Deserialize, Serialize};
use sillage_proof::hash::{Hash, LedgerTimeMs};

use super::details;
use super::env::Policy;
use super::name::{Actor, ActorKind, ActorName};
use super::token::{Case, Power, Relation};
use crate::check;
use crate::error::RecordError;
use crate::limits::{LABEL_BYTES_MAX, TEXT_BYTES_MAX};
use crate::time::TimeMs;

/// Someone acts in the patient's place: details of `representation.registered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Representation {
    /// The representative.
    pub representative: ActorName,
    /// As what.
    pub relation: Relation,
    /// The powers; absent: `read` and `consent` of a parent or guardian, nothing of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powers: Option<Vec<Power>>,
    /// From when on; absent: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeMs>,
    /// Until when, excluded; mandatory for a parent or guardian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeMs>,
    /// Trusted persons: whether the powers hold already; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated: Option<bool>,
    /// The representative's own tag, where they are a patient: for finding circles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub representative_tag: Option<Hash>,
}

impl Representation {
    /// The powers of the representative.
    pub fn powers(&self) -> &[Power] {
        match (self.relation, &self.powers) {
            (Relation::TrustedPerson, _) if self.activated != Some(true) => &[],
            (_, Some(powers)) => powers,
            (relation, None) if relation.is_of_law() => &[Power::Read, Power::Consent],
            (_, None) => &[],
        }
    }

    /// The representative who registers it. A parent or guardian is registered by the authority, others by the patient or
    /// whoever acts for them.
    pub(super) fn passed_on_by(&self, signer: &Actor) -> Option<ActorName> {
        (signer.kind != ActorKind::Patient && !self.relation.is_of_law()).then(|| signer.name.clone())
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let powers = self.powers.as_deref().unwrap_or_default();
        check::at_most("powers", powers.len(), Power::ALL.len())?;
        if self.representative.is_patient() {
            return Err(RecordError::malformed("representative", "the patient represents themselves"));
        }
        Ok(())
    }
}

/// A professional cares for the patient: details of `careteam.joined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The professional.
    pub professional: ActorName,
    /// Until when, excluded; mandatory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeMs>,
    /// The team's name or how the membership came about: directives may name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The structure within which it holds, and which may sign it; absent: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl Membership {
    /// The structure that may end it: the one within which it holds, or that of the professional who signs it.
    pub(super) fn structure(&self, signer: &Actor) -> Option<String> {
        let own = (self.professional == signer.name).then(|| signer.organisation.clone()).flatten();
        self.organisation.clone().or(own)
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        self.origin.iter().try_for_each(|origin| details::token("origin", origin))?;
        self.organisation.iter().try_for_each(|organisation| details::id("organisation", organisation))
    }
}

/// Where the glass was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Radius within which the place lies, in metres.
    pub accuracy_m: f64,
    /// The source of the measurement: `GPS`, `NETWORK`, `SITE`.
    pub source: String,
    /// When it was measured.
    pub at: TimeMs,
}

/// Someone breaks the glass: details of `breakglass.opened`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Its id.
    pub id: String,
    /// The actor that may see; absent: the signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorName>,
    /// The profession of `actor`, where the structure signs for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profession: Option<String>,
    /// The structure of `actor`, where it signs for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// In which case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<Case>,
    /// Why, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in more words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Until when, excluded; mandatory. [`BreakGlass::bound`] brings it forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<TimeMs>,
    /// How the patient was found: `INS`, `TRAITS`, `NONE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Why the place is unknown: `REFUSED`, `UNAVAILABLE`, `INDOORS`, or another token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_position: Option<String>,
    /// The break-glass that was opened before the patient was identified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    /// When it was opened, where the record was handed in after an emergency mode: the record says it, not its details.
    #[serde(skip)]
    pub since: Option<TimeMs>,
}

impl BreakGlass {
    /// When it begins to hold: when it is recorded, or, of one that is handed in after an emergency mode, when its
    /// glass was broken. An access under it in between had a basis, and it may have run out meanwhile.
    pub fn begins(&self, recorded: LedgerTimeMs) -> LedgerTimeMs {
        self.since.map_or(recorded, |since| LedgerTimeMs(since.0).min(recorded))
    }

    /// It holds no longer than the policy's longest time, from when it began, or from when the one `first` began that it
    /// continues. Done once, when it is taken: nothing is refused for it, and a later policy changes nothing of it.
    pub fn bound(&mut self, policy: &Policy, recorded: LedgerTimeMs, first: Option<LedgerTimeMs>) {
        self.end_by(self.ends_by(policy, recorded, first));
    }

    /// When it ends at the latest, whatever it asks for: see [`BreakGlass::bound`].
    pub(super) fn ends_by(&self, policy: &Policy, recorded: LedgerTimeMs, first: Option<LedgerTimeMs>) -> LedgerTimeMs {
        let begins = self.begins(recorded);
        let begins = first.map_or(begins, |first| first.min(begins));
        let longest_ms = policy.breakglass_max_s.saturating_mul(1_000);
        LedgerTimeMs(begins.get().saturating_add(longest_ms))
    }

    /// It ends at this moment at the latest.
    pub fn end_by(&mut self, end: LedgerTimeMs) {
        self.expires = self.expires.map(|expires| TimeMs(expires.0.min(end.get())));
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        details::id("id", &self.id)?;
        let tokens = [("profession", &self.profession), ("search", &self.search), ("no_position", &self.no_position)];
        for (path, token) in tokens {
            token.iter().try_for_each(|token| details::token(path, token))?;
        }
        for (path, id) in [("organisation", &self.organisation), ("continues", &self.continues)] {
            id.iter().try_for_each(|id| details::id(path, id))?;
        }
        self.reason.iter().try_for_each(|reason| check::line("reason", reason, LABEL_BYTES_MAX))?;
        self.text.iter().try_for_each(|text| check::text("text", text, TEXT_BYTES_MAX))?;
        match (&self.position, &self.no_position) {
            (Some(position), None) => position.check().map_err(|error| error.within("position")),
            (None, Some(_)) => Ok(()),
            _ => {
                let why = "say where (`position`), or why that is unknown (`no_position`), and not both";
                Err(RecordError::malformed("position", why))
            }
        }
    }
}

impl Position {
    fn check(&self) -> Result<(), RecordError> {
        let in_range = |path: &str, value: f64, min: f64, max: f64| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err(RecordError::malformed(path, format!("not a number from {min} to {max}"))),
        };
        in_range("lat", self.lat, -90.0, 90.0)?;
        in_range("lon", self.lon, -180.0, 180.0)?;
        in_range("accuracy_m", self.accuracy_m, 0.0, 20_037_509.0)?;
        details::token("source", &self.source)
    }
}

/// The depositors that are meant: details of `feed.opposed`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// An actor as `system|id`, a structure, a profession, or `professionals`: all of them.
    pub source: String,
    /// Of which category; absent: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// On what ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<String>,
}

/// The source of a feed that means every professional.
pub const PROFESSIONALS: &str = "professionals";

impl Feed {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        details::id("source", &self.source)?;
        if self.source.contains('|') {
            self.source.parse::<ActorName>().map_err(|error| error.within("source"))?;
        }
        self.category.iter().try_for_each(|category| details::token("category", category))?;
        self.ground.iter().try_for_each(|ground| check::line("ground", ground, TEXT_BYTES_MAX))
    }

    /// Tells whether a deposit of `category` by `actor` comes from this feed.
    pub fn matches(&self, actor: &Actor, category: &str) -> bool {
        let source = match self.source.parse::<ActorName>() {
            Ok(name) => name.covers(&actor.name),
            Err(_) if self.source == PROFESSIONALS => actor.kind == ActorKind::Professional,
            Err(_) => actor.is_of(Some(&self.source)) || actor.profession.as_deref() == Some(self.source.as_str()),
        };
        source && self.category.as_deref().is_none_or(|meant| meant == category)
    }

    /// The same, also under another name of the same FHIR resource.
    pub fn may_match(&self, actor: &Actor, category: &str) -> bool {
        let may_be = match self.source.parse::<ActorName>() {
            Ok(name) => name.may_be(&actor.name),
            Err(_) => actor.may_be_of(&self.source),
        };
        self.matches(actor, category) || may_be && self.category.as_deref().is_none_or(|meant| meant == category)
    }
}

/// An item as it was deposited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositedItem {
    /// Its id.
    pub id: String,
    /// Its category.
    pub category: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// The depositor; unknown where the record names no one whom decisions could be about.
    pub depositor: Option<ActorName>,
    /// The structure for which the depositor acted.
    pub organisation: Option<String>,
}

impl DepositedItem {
    /// Tells whether this actor deposited it, in person or as its structure.
    pub fn is_by(&self, actor: &Actor) -> bool {
        self.depositor.as_ref() == Some(&actor.name)
            || matches!(actor.kind, ActorKind::Professional | ActorKind::System)
                && actor.is_of(self.organisation.as_deref())
    }
}

/// The finding of a review of a break-glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// It was right to break the glass.
    Justified,
    /// It was not.
    NotJustified,
}
