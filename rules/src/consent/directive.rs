//! Directives: what a patient permits and denies, to whom, of what, for what, and when.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use super::details::{self, LIST_MAX};
use super::name::{Actor, ActorKind, ActorName};
use super::token::{Action, Effect};
use crate::check;
use crate::error::RecordError;
use crate::limits::ID_BYTES_MAX;
use crate::time::TimeMs;

/// Exceptions of one directive.
pub const EXCEPTIONS_MAX: usize = 32;

/// To whom a directive is addressed. Several keys: all must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct GranteeKeys {
    /// A professional by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub professional: Option<ActorName>,
    /// A person by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<ActorName>,
    /// Everybody who acts for this structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Everybody with this profession.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profession: Option<String>,
    /// The active members of the care team with this origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// An application, in all versions or in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<ActorName>,
    /// A research project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ActorName>,
}

/// To whom a directive is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// Everybody; denials only. In JSON `"anyone"`.
    Anyone,
    /// Those who match every key.
    Keys(Box<GranteeKeys>),
}

impl Serialize for Grantee {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Anyone => serializer.serialize_str("anyone"),
            Self::Keys(keys) => keys.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Grantee {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Grantee;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"anyone\" or an object that names who")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Grantee, E> {
                match text {
                    "anyone" => Ok(Grantee::Anyone),
                    _ => Err(E::custom("expected \"anyone\" or an object that names who")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Grantee, A::Error> {
                let keys = GranteeKeys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Grantee::Keys(Box::new(keys)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Grantee {
    fn check(&self) -> Result<(), RecordError> {
        let Self::Keys(keys) = self else {
            return Ok(());
        };
        if **keys == GranteeKeys::default() {
            return Err(RecordError::malformed("", "names no one: say who is meant"));
        }
        if let Some(organisation) = &keys.organisation {
            details::id("organisation", organisation)?;
        }
        for (path, token) in [("profession", &keys.profession), ("team", &keys.team)] {
            token.iter().try_for_each(|token| details::token(path, token))?;
        }
        Ok(())
    }

    /// Tells whether it means this actor. `in_team`: whether the actor is an active member of the care team with an origin.
    pub fn matches(&self, actor: &Actor, in_team: impl Fn(&str) -> bool) -> bool {
        let Self::Keys(keys) = self else {
            return true;
        };
        let named = [&keys.professional, &keys.person, &keys.app, &keys.project];
        named.into_iter().flatten().all(|name| name.covers(&actor.name))
            && keys.organisation.as_deref().is_none_or(|organisation| actor.is_of(Some(organisation)))
            && keys.profession.is_none_or_eq(actor.profession.as_deref())
            && keys.team.as_deref().is_none_or(in_team)
    }

    /// Tells whether it may mean this actor, also under another name of the same FHIR resource: what is withheld from
    /// `Practitioner/1`, or from `Organization/3`, is withheld from that of any server.
    pub fn may_mean(&self, actor: &Actor, in_team: impl Fn(&str) -> bool) -> bool {
        let Self::Keys(keys) = self else {
            return true;
        };
        let named = [&keys.professional, &keys.person, &keys.app, &keys.project];
        named.into_iter().flatten().all(|name| name.covers(&actor.name) || name.may_be(&actor.name))
            && keys.organisation.as_deref().is_none_or(|organisation| actor.may_be_of(organisation))
            && keys.profession.is_none_or_eq(actor.profession.as_deref())
            && keys.team.as_deref().is_none_or(in_team)
    }

    /// The purpose of a permission that names none: treatment; an application serves its user, a project research.
    pub fn default_purpose(&self) -> &'static str {
        match self {
            Self::Keys(keys) if keys.app.is_some() => "PATRQT",
            Self::Keys(keys) if keys.project.is_some() => "HRESCH",
            _ => "TREAT",
        }
    }

    /// The kind of actor and the name, where it names one.
    pub fn named(&self) -> Option<(ActorKind, &ActorName)> {
        let Self::Keys(keys) = self else {
            return None;
        };
        let named = [
            (ActorKind::Professional, &keys.professional),
            (ActorKind::Person, &keys.person),
            (ActorKind::App, &keys.app),
            (ActorKind::Project, &keys.project),
        ];
        named.into_iter().find_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }
}

trait NoneOrEq {
    fn is_none_or_eq(&self, other: Option<&str>) -> bool;
}

impl NoneOrEq for Option<String> {
    fn is_none_or_eq(&self, other: Option<&str>) -> bool {
        self.is_none() || self.as_deref() == other
    }
}

/// The subject of a permission or a denial: a directive's own rule, or one of its exceptions. In a denial an absent field
/// means all; in an exception, what the directive says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Provision {
    /// Permits or denies.
    pub effect: Effect,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<Grantee>,
    /// The actions that may or may not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<Action>>,
    /// To items of these categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// To items with one of these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// To these items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<String>>,
    /// For these purposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purposes: Option<Vec<String>>,
    /// From when on; absent: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeMs>,
    /// Until when, excluded; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeMs>,
}

impl Provision {
    fn check(&self) -> Result<(), RecordError> {
        if let Some(grantee) = &self.grantee {
            grantee.check().map_err(|error| error.within("grantee"))?;
        }
        if let Some(actions) = &self.actions {
            check::at_most("actions", actions.len(), LIST_MAX)?;
            // A permission without actions has a code of its own, which is given when it is admitted.
            if self.effect == Effect::Deny {
                details::not_empty("actions", actions)?;
            }
        }
        details::list("categories", self.categories.as_ref(), details::token)?;
        details::list("labels", self.labels.as_ref(), details::token)?;
        details::list("items", self.items.as_ref(), details::id)?;
        details::list("purposes", self.purposes.as_ref(), details::token)
    }
}

/// On whose behalf and how a directive was collected (a form at the counter, a call).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// The actor that collected it.
    pub collector: ActorName,
    /// As what.
    pub capacity: String,
    /// How.
    pub method: String,
    /// SHA-256 of the evidence that the collector keeps.
    pub evidence_sha256: sillage_proof::hash::Hash,
}

/// A directive, as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its id, unique among the patient's directives in force.
    pub id: String,
    /// Its permission or denial.
    pub provision: Provision,
    /// The directive that ends when this one begins.
    pub supersedes: Option<String>,
    /// Exceptions, one level deep: each counts only where `provision` matches.
    pub except: Vec<Provision>,
    /// How it was collected, where the patient didn't sign it themselves.
    pub collected: Option<Collected>,
}

/// A directive as its details say it.
#[derive(Serialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    id: String,
    effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grantee: Option<Grantee>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<Action>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purposes: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<TimeMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<TimeMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Provision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collected: Option<Collected>,
}

impl Directive {
    /// Reads the details of a `consent.directive`.
    ///
    /// # Errors
    /// With the path of what can't be understood.
    pub fn parse(details: &str) -> Result<Self, RecordError> {
        let wire: Wire = details::parse(details)?;
        let directive = Self {
            id: wire.id,
            provision: Provision {
                effect: wire.effect,
                grantee: wire.grantee,
                actions: wire.actions,
                categories: wire.categories,
                labels: wire.labels,
                items: wire.items,
                purposes: wire.purposes,
                from: wire.from,
                until: wire.until,
            },
            supersedes: wire.supersedes,
            except: wire.except,
            collected: wire.collected,
        };
        directive.check().map_err(|error| error.within("details"))?;
        Ok(directive)
    }

    fn check(&self) -> Result<(), RecordError> {
        details::id("id", &self.id)?;
        self.provision.check()?;
        if let Some(supersedes) = &self.supersedes {
            details::id("supersedes", supersedes)?;
        }
        check::at_most("except", self.except.len(), EXCEPTIONS_MAX)?;
        for (at, provision) in self.except.iter().enumerate() {
            provision.check().map_err(|error| error.within(&format!("except[{at}]")))?;
        }
        if let Some(collected) = &self.collected {
            details::token("collected.capacity", &collected.capacity)?;
            check::required("collected.method", &collected.method)?;
            check::line("collected.method", &collected.method, ID_BYTES_MAX)?;
        }
        Ok(())
    }

    /// How many entries its lists have, those of its exceptions too.
    pub fn entries(&self) -> usize {
        let all = std::iter::once(&self.provision).chain(&self.except);
        let lists =
            all.flat_map(|provision| [&provision.categories, &provision.labels, &provision.items, &provision.purposes]);
        self.except.len() + lists.flatten().map(Vec::len).sum::<usize>()
    }

    /// The details that [`Directive::parse`] reads.
    pub fn to_details(&self) -> String {
        let (this, provision) = (self.clone(), self.provision.clone());
        let wire = Wire {
            id: this.id,
            effect: provision.effect,
            grantee: provision.grantee,
            actions: provision.actions,
            categories: provision.categories,
            labels: provision.labels,
            items: provision.items,
            purposes: provision.purposes,
            from: provision.from,
            until: provision.until,
            supersedes: this.supersedes,
            except: this.except,
            collected: this.collected,
        };
        serde_json::to_string(&wire).expect("a directive has string keys only")
    }
}
