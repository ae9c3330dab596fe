//! The rules that hold for all patients: the policy, the habilitation matrix, the catalogue of applications, who is
//! revoked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sillage_proto::v1;

use super::details;
use super::name::{Actor, ActorKind, ActorName};
use super::token::{Action, Case};
use crate::check;
use crate::error::RecordError;
use crate::facts::LATE_AFTER_MS_MIN;

/// Entries of one list of a policy, rows of a matrix, applications of a catalogue: what fits into a record's details.
pub const ROWS_MAX: usize = 2_048;
/// How long a decision stands at most: a day, in seconds.
pub const DECISION_VALID_S_MAX: u64 = 86_400;
/// The longest time that a policy may give a break-glass: 30 days, in seconds.
pub const BREAKGLASS_S_MAX: u64 = 30 * 86_400;
/// The shortest time after which a policy calls a record late: a minute, in seconds.
pub const LATE_AFTER_S_MIN: u64 = LATE_AFTER_MS_MIN / 1_000;
/// The longest: a year, in seconds.
pub const LATE_AFTER_S_MAX: u64 = 365 * 86_400;
/// The longest time of a break-glass where the policy doesn't say: a day, in seconds.
const BREAKGLASS_S: u64 = 86_400;

/// The policy: details of `policy.published`. A field that is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Its name; it stands in every decision.
    #[serde(default = "String::new")]
    pub version: String,
    /// The attending doctor sees everything (CSP L1111-16).
    pub attending_doctor_sees_all: bool,
    /// A break-glass opens masked items too.
    pub emergency_lifts_mask: bool,
    /// Professions that need the patient's express consent, whatever else holds (L1111-17 IV).
    pub express_consent_only: Vec<String>,
    /// Purposes that nothing allows.
    pub barred_purposes: Vec<String>,
    /// Software that may deposit without a grant.
    pub legal_feeds: Vec<ActorName>,
    /// The professions that may open each emergency case; a case that is not given keeps its default.
    pub emergency_professions: BTreeMap<Case, Vec<String>>,
    /// How long a decision stands, in seconds.
    pub decision_valid_s: u64,
    /// How soon a break-glass is to be justified, in seconds.
    pub justification_due_s: u64,
    /// How long a break-glass holds at most, in seconds, whatever its record asks for.
    #[serde(skip_serializing_if = "is_default_length")]
    pub breakglass_max_s: u64,
    /// The bases of which an access is justified only where something on record supports them. From feature level 4 on.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub proven_bases: Option<Vec<ProvableBasis>>,
    /// After how many seconds a record is late, where that is sooner than the genesis says. From feature level 4 on.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub late_after_s: Option<u64>,
}

/// A field that is there says something: null isn't another way to leave it out.
fn said<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A basis that the ledger looks for support of, and that isn't a decision or a break-glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvableBasis {
    /// A member of the care team, or the attending doctor.
    CareTeam,
    /// A consent that is named.
    Consent,
    /// The patient, or who represents them.
    #[serde(rename = "self")]
    Own,
    /// A law that is named: nothing on record supports it.
    Legal,
}

impl ProvableBasis {
    /// The one that a record states; `None` for a decision, a break-glass or none.
    pub fn of(kind: v1::BasisKind) -> Option<Self> {
        match kind {
            v1::BasisKind::CareTeam => Some(Self::CareTeam),
            v1::BasisKind::Consent => Some(Self::Consent),
            v1::BasisKind::Self_ => Some(Self::Own),
            v1::BasisKind::Legal => Some(Self::Legal),
            v1::BasisKind::None | v1::BasisKind::Decision | v1::BasisKind::Breakglass => None,
        }
    }
}

const fn is_default_length(breakglass_max_s: &u64) -> bool {
    *breakglass_max_s == BREAKGLASS_S
}

impl Default for Policy {
    fn default() -> Self {
        let owned = |texts: &[&str]| texts.iter().copied().map(str::to_owned).collect();
        Self {
            version: "default".to_owned(),
            attending_doctor_sees_all: true,
            emergency_lifts_mask: false,
            express_consent_only: owned(&["occupational-physician"]),
            barred_purposes: owned(&["INSURANCE", "EMPLOYMENT"]),
            legal_feeds: Vec::new(),
            emergency_professions: BTreeMap::new(),
            decision_valid_s: 300,
            justification_due_s: 172_800,
            breakglass_max_s: BREAKGLASS_S,
            proven_bases: None,
            late_after_s: None,
        }
    }
}

impl Policy {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        details::token("version", &self.version)?;
        let lists = [("express_consent_only", &self.express_consent_only), ("barred_purposes", &self.barred_purposes)];
        for (path, list) in lists {
            tokens(path, list)?;
        }
        check::at_most("legal_feeds", self.legal_feeds.len(), ROWS_MAX)?;
        for (case, professions) in &self.emergency_professions {
            tokens(&format!("emergency_professions.{case}"), professions)?;
        }
        if !(1..=DECISION_VALID_S_MAX).contains(&self.decision_valid_s) {
            let why = format!("a decision stands from 1 to {DECISION_VALID_S_MAX} seconds");
            return Err(RecordError::malformed("decision_valid_s", why));
        }
        if !(1..=BREAKGLASS_S_MAX).contains(&self.breakglass_max_s) {
            let why = format!("a break-glass holds from 1 to {BREAKGLASS_S_MAX} seconds at most");
            return Err(RecordError::malformed("breakglass_max_s", why));
        }
        if let Some(bases) = &self.proven_bases
            && bases.windows(2).any(|pair| pair[0] >= pair[1])
        {
            let why = "each basis once, in the order care_team, consent, self, legal";
            return Err(RecordError::malformed("proven_bases", why));
        }
        if let Some(late_after_s) = self.late_after_s
            && !(LATE_AFTER_S_MIN..=LATE_AFTER_S_MAX).contains(&late_after_s)
        {
            let why = format!("a record is late after {LATE_AFTER_S_MIN} to {LATE_AFTER_S_MAX} seconds");
            return Err(RecordError::malformed("late_after_s", why));
        }
        Ok(())
    }

    /// From which feature level of a group on it is known: below, a field of it is one that nobody knows.
    pub fn feature_level(&self) -> u32 {
        if self.proven_bases.is_some() || self.late_after_s.is_some() { 4 } else { 1 }
    }

    /// Tells whether an access on such a basis is justified only where something on record supports it.
    pub fn asks_for_proof(&self, basis: ProvableBasis) -> bool {
        self.proven_bases.as_ref().is_some_and(|bases| bases.contains(&basis))
    }

    /// After how many milliseconds a record is late, where the genesis says `of_genesis_ms`.
    pub fn late_after_ms(&self, of_genesis_ms: u64) -> u64 {
        self.late_after_s.map_or(of_genesis_ms, |seconds| of_genesis_ms.min(seconds.saturating_mul(1_000)))
    }

    /// Tells whether a professional may open this case.
    pub fn may_open(&self, case: Case, profession: Option<&str>) -> bool {
        let is = |known: &str| profession == Some(known);
        match (self.emergency_professions.get(&case), case) {
            (Some(professions), _) => professions.iter().any(|known| is(known)),
            (None, Case::Incapacity) => true,
            (None, Case::Samu) => is("samu-regulator"),
            (None, Case::Fire) => is("fire-brigade-physician"),
        }
    }

    /// Tells whether the actor's profession needs the patient's express consent.
    pub fn needs_express_consent(&self, actor: &Actor) -> bool {
        actor.profession.as_ref().is_some_and(|profession| self.express_consent_only.contains(profession))
    }
}

fn tokens(path: &str, tokens: &[String]) -> Result<(), RecordError> {
    check::at_most(path, tokens.len(), ROWS_MAX)?;
    tokens.iter().enumerate().try_for_each(|(at, token)| details::token(&format!("{path}[{at}]"), token))
}

/// One row of the habilitation matrix: what a profession may never do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixRow {
    /// The profession.
    pub profession: String,
    /// With items of which categories; absent: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// Which actions; absent: every action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<Action>>,
}

/// The habilitation matrix, as what it forbids: details of `matrix.published`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Its name; it stands in every decision.
    #[serde(default = "String::new")]
    pub version: String,
    /// The forbidden combinations.
    pub deny: Vec<MatrixRow>,
}

impl Default for Matrix {
    fn default() -> Self {
        Self { version: "default".to_owned(), deny: Vec::new() }
    }
}

impl Matrix {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        details::token("version", &self.version)?;
        check::at_most("deny", self.deny.len(), ROWS_MAX)?;
        self.deny
            .iter()
            .enumerate()
            .try_for_each(|(at, row)| row.check().map_err(|error| error.within(&format!("deny[{at}]"))))
    }

    /// Tells whether it forbids this.
    pub fn forbids(&self, actor: &Actor, category: &str, action: Action) -> bool {
        let meant = |row: &&MatrixRow| {
            actor.profession.as_deref() == Some(row.profession.as_str())
                && row.categories.as_ref().is_none_or(|categories| categories.iter().any(|known| known == category))
                && row.actions.as_ref().is_none_or(|actions| actions.contains(&action))
        };
        self.deny.iter().any(|row| meant(&row))
    }
}

impl MatrixRow {
    fn check(&self) -> Result<(), RecordError> {
        details::token("profession", &self.profession)?;
        details::list("categories", self.categories.as_ref(), details::token)?;
        self.actions.iter().try_for_each(|actions| details::not_empty("actions", actions))
    }
}

/// The applications that may be granted something: details of `catalogue.published`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Catalogue {
    /// Its name; it stands in every decision.
    #[serde(default = "String::new")]
    pub version: String,
    /// The applications, each in all versions or in one.
    pub apps: Vec<ActorName>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { version: "default".to_owned(), apps: Vec::new() }
    }
}

impl Catalogue {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        details::token("version", &self.version)?;
        check::at_most("apps", self.apps.len(), ROWS_MAX)
    }

    /// Tells whether the actor is no application, or one of the catalogue.
    pub fn lists(&self, actor: &Actor) -> bool {
        actor.kind != ActorKind::App || self.apps.iter().any(|app| app.covers(&actor.name))
    }
}

/// The rules that hold for all patients as of now.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The policy in force.
    pub policy: &'a Policy,
    /// The habilitation matrix in force.
    pub matrix: &'a Matrix,
    /// The catalogue in force.
    pub catalogue: &'a Catalogue,
    /// Tells whether an actor is revoked.
    pub revoked: &'a dyn Fn(&ActorName) -> bool,
    /// True once the group has reached feature level 4: a closing that nobody proved doesn't shut out an emergency, and a
    /// block by name holds against whom it names also where their structure deposited.
    pub claims: bool,
    /// True once the group has reached feature level 5: what is withheld under one name of a FHIR resource is withheld under
    /// every name that may mean it ([`crate::ident::resource`]).
    pub across_servers: bool,
}

impl Env<'_> {
    /// Tells whether the actor is revoked, in its version or altogether.
    pub fn is_revoked(&self, name: &ActorName) -> bool {
        (self.revoked)(name) || name.without_version().is_some_and(|name| (self.revoked)(&name))
    }
}
