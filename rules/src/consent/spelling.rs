//! Every name and every word that decisions compare, held to its one spelling.
//!
//! The same walk does two things: [`Spell::Asked`] refuses what isn't in its one spelling, [`Spell::OnRecord`] brings to it
//! what is on record since before that was asked for. Whoever adds a field that is compared adds it here.

use sillage_proto::v1;

use super::directive::{Directive, Grantee, Provision};
use super::name::{Actor, ActorName};
use super::people::{BreakGlass, DepositedItem, Feed, Membership, PROFESSIONALS};
use super::{Event, Meta};
use crate::error::RecordError;
use crate::ident::{IdentError, spelling};

type Done = Result<(), RecordError>;

/// The treatment of a spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spell {
    /// Another spelling than the one is refused.
    Asked,
    /// Another spelling is brought to the one, as far as that goes; nothing is refused.
    OnRecord,
}

/// A holder of names or words that are compared.
pub trait Spelled {
    /// Holds each of them to its one spelling.
    ///
    /// # Errors
    /// With the path of what isn't in it; never with [`Spell::OnRecord`].
    fn spell(&mut self, how: Spell) -> Done;

    /// The same, brought to the one spelling as far as that goes.
    #[must_use]
    fn spelled_on_record(mut self) -> Self
    where
        Self: Sized,
    {
        self.spell(Spell::OnRecord).expect("nothing on record is refused for its spelling");
        self
    }
}

fn other(path: &str) -> RecordError {
    let why = "not in its one spelling: docs/consent.md says which that is (One spelling)";
    RecordError::new(crate::codes::Code::InvalidSpelling, path, why)
}

impl Spell {
    fn held(
        self,
        path: &str,
        text: &mut String,
        one: fn(&str) -> Result<String, IdentError>,
        on_record: fn(&str) -> String,
    ) -> Done {
        match self {
            Self::Asked => match one(text) {
                Ok(spelled) if spelled == *text => {}
                Ok(_) => return Err(other(path)),
                Err(error) => return Err(RecordError::new(error.code(), path, error.to_string())),
            },
            Self::OnRecord => *text = on_record(text),
        }
        Ok(())
    }

    fn text(self, path: &str, text: &mut String) -> Done {
        self.held(path, text, spelling::text, spelling::text_on_record)
    }

    fn word(self, path: &str, word: &mut String) -> Done {
        self.held(path, word, spelling::word, spelling::word_on_record)
    }

    fn organisation(self, path: &str, organisation: &mut String) -> Done {
        self.held(path, organisation, spelling::organisation, spelling::organisation_on_record)
    }

    fn name(self, path: &str, name: &mut ActorName) -> Done {
        match self {
            Self::Asked => match ActorName::spelled(name.system(), name.id()) {
                Ok(spelled) if spelled == *name => Ok(()),
                Ok(_) => Err(other(path)),
                Err(error) => Err(error.within(path)),
            },
            Self::OnRecord => {
                *name = name.on_record();
                Ok(())
            }
        }
    }

    fn words<'w>(self, path: &str, words: impl IntoIterator<Item = &'w mut String>) -> Done {
        words.into_iter().enumerate().try_for_each(|(at, word)| self.word(&format!("{path}[{at}]"), word))
    }

    fn texts<'w>(self, path: &str, texts: impl IntoIterator<Item = &'w mut String>) -> Done {
        texts.into_iter().enumerate().try_for_each(|(at, text)| self.text(&format!("{path}[{at}]"), text))
    }
}

impl Spelled for Actor {
    fn spell(&mut self, how: Spell) -> Done {
        // Software without a name, which no rule is about.
        if !self.name.id().is_empty() {
            how.name("", &mut self.name)?;
        }
        self.profession.iter_mut().try_for_each(|profession| how.word("role", profession))?;
        self.organisation.iter_mut().try_for_each(|organisation| how.organisation("organisation", organisation))
    }
}

impl Spelled for Meta {
    fn spell(&mut self, how: Spell) -> Done {
        self.signer.spell(how).map_err(|error| error.within("actor"))
    }
}

impl Spelled for Grantee {
    fn spell(&mut self, how: Spell) -> Done {
        let Self::Keys(keys) = self else { return Ok(()) };
        let names = [
            ("professional", &mut keys.professional),
            ("person", &mut keys.person),
            ("app", &mut keys.app),
            ("project", &mut keys.project),
        ];
        for (path, name) in names {
            name.iter_mut().try_for_each(|name| how.name(path, name))?;
        }
        for (path, word) in [("profession", &mut keys.profession), ("team", &mut keys.team)] {
            word.iter_mut().try_for_each(|word| how.word(path, word))?;
        }
        keys.organisation.iter_mut().try_for_each(|organisation| how.organisation("organisation", organisation))
    }
}

impl Spelled for Provision {
    fn spell(&mut self, how: Spell) -> Done {
        self.grantee.iter_mut().try_for_each(|grantee| grantee.spell(how).map_err(|error| error.within("grantee")))?;
        how.words("categories", self.categories.iter_mut().flatten())?;
        how.words("labels", self.labels.iter_mut().flatten())?;
        how.words("purposes", self.purposes.iter_mut().flatten())?;
        how.texts("items", self.items.iter_mut().flatten())
    }
}

impl Spelled for Directive {
    fn spell(&mut self, how: Spell) -> Done {
        how.text("id", &mut self.id)?;
        self.supersedes.iter_mut().try_for_each(|id| how.text("supersedes", id))?;
        self.provision.spell(how)?;
        for (at, except) in self.except.iter_mut().enumerate() {
            except.spell(how).map_err(|error| error.within(&format!("except[{at}]")))?;
        }
        self.collected.iter_mut().try_for_each(|collected| how.name("collected.collector", &mut collected.collector))
    }
}

impl Spelled for Feed {
    fn spell(&mut self, how: Spell) -> Done {
        self.category.iter_mut().try_for_each(|category| how.word("category", category))?;
        match self.source.parse::<ActorName>() {
            Ok(mut name) => {
                how.name("source", &mut name)?;
                self.source = name.to_string();
                Ok(())
            }
            Err(_) if self.source == PROFESSIONALS => Ok(()),
            Err(_) => how.organisation("source", &mut self.source),
        }
    }
}

impl Spelled for Membership {
    fn spell(&mut self, how: Spell) -> Done {
        how.name("professional", &mut self.professional)?;
        self.origin.iter_mut().try_for_each(|origin| how.word("origin", origin))?;
        self.organisation.iter_mut().try_for_each(|organisation| how.organisation("organisation", organisation))
    }
}

impl Spelled for BreakGlass {
    fn spell(&mut self, how: Spell) -> Done {
        how.text("id", &mut self.id)?;
        self.continues.iter_mut().try_for_each(|id| how.text("continues", id))?;
        self.actor.iter_mut().try_for_each(|actor| how.name("actor", actor))?;
        self.profession.iter_mut().try_for_each(|profession| how.word("profession", profession))?;
        self.organisation.iter_mut().try_for_each(|organisation| how.organisation("organisation", organisation))
    }
}

impl Spelled for DepositedItem {
    fn spell(&mut self, how: Spell) -> Done {
        how.text("id", &mut self.id)?;
        how.word("category", &mut self.category)?;
        how.words("labels", &mut self.labels)?;
        self.depositor.iter_mut().try_for_each(|depositor| how.name("depositor", depositor))?;
        self.organisation.iter_mut().try_for_each(|organisation| how.organisation("organisation", organisation))
    }
}

impl Spelled for Event {
    fn spell(&mut self, how: Spell) -> Done {
        let details = |done: Done| done.map_err(|error| error.within("details"));
        match self {
            Self::SpaceOpened
            | Self::SpaceOpposed
            | Self::SpaceClosed
            | Self::DeviceRegistered(_)
            | Self::EmergencyOpposed { .. }
            | Self::EmergencyLifted { .. } => Ok(()),
            Self::Directive(directive) => details(directive.spell(how)),
            Self::Revoked { consent } => how.text("details.consent", consent),
            Self::Blocked { professional }
            | Self::Unblocked { professional }
            | Self::Left { professional }
            | Self::AttendingDeclared { professional }
            | Self::AttendingEnded { professional } => how.name("details.professional", professional),
            Self::Masked { items }
            | Self::Unmasked { items }
            | Self::Embargoed { items, .. }
            | Self::Released { items }
            | Self::SecrecySet { items }
            | Self::SecrecyLifted { items }
            | Self::ItemsDeleted(items) => how.texts("items", items),
            Self::FeedOpposed(feed) | Self::FeedLifted(feed) => details(feed.spell(how)),
            Self::Represented(representation) => how.name("details.representative", &mut representation.representative),
            Self::RepresentationEnded { representative } => how.name("details.representative", representative),
            Self::Joined(membership) => details(membership.spell(how)),
            Self::BreakGlassOpened(opened) => details(opened.spell(how)),
            Self::BreakGlassJustified { breakglass, .. }
            | Self::BreakGlassClosed { breakglass }
            | Self::BreakGlassReviewed { breakglass, .. } => how.text("details.breakglass", breakglass),
            Self::Deposit(items) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(at, item)| item.spell(how).map_err(|error| error.within(&format!("items[{at}]")))),
            Self::Policy(policy) => {
                how.words("details.express_consent_only", &mut policy.express_consent_only)?;
                how.words("details.barred_purposes", &mut policy.barred_purposes)?;
                how.words("details.emergency_professions", policy.emergency_professions.values_mut().flatten())?;
                policy.legal_feeds.iter_mut().try_for_each(|feed| how.name("details.legal_feeds", feed))
            }
            Self::Matrix(matrix) => matrix.deny.iter_mut().try_for_each(|row| {
                how.word("details.deny.profession", &mut row.profession)?;
                how.words("details.deny.categories", row.categories.iter_mut().flatten())
            }),
            Self::Catalogue(catalogue) => catalogue.apps.iter_mut().try_for_each(|app| how.name("details.apps", app)),
        }
    }
}

/// Checks that a record's own parts are in their one spelling: its actor, and its items. Nothing is decided of others that
/// took part.
///
/// # Errors
/// With the path of what isn't.
pub fn check_record(record: &v1::Record) -> Done {
    if let Some(actor) = &record.actor {
        check_actor(actor).map_err(|error| error.within("actor"))?;
    }
    check_word("purpose", &record.purpose)?;
    check_items(&record.items)
}

/// The same of an actor as records name it. One without a system and an id has a label only: nobody is compared with it.
pub(crate) fn check_actor(actor: &v1::Actor) -> Done {
    let mut organisation = actor.organisation.clone();
    Spell::Asked.organisation("organisation", &mut organisation)?;
    Spell::Asked.word("role", &mut actor.role.clone())?;
    if actor.id.is_empty() {
        return Ok(());
    }
    match spelling::actor(&actor.system, &actor.id) {
        Ok((system, id)) if system == actor.system && id == actor.id => Ok(()),
        Ok(_) => Err(other("id")),
        Err(error) => Err(RecordError::new(error.code(), "id", error.to_string())),
    }
}

/// The same of a word.
pub(crate) fn check_word(path: &str, word: &str) -> Done {
    Spell::Asked.word(path, &mut word.to_owned())
}

/// The same of items.
pub(crate) fn check_items(items: &[v1::Item]) -> Done {
    let how = Spell::Asked;
    for (at, item) in items.iter().enumerate() {
        let mut item = item.clone();
        let mut check = || {
            how.text("id", &mut item.id)?;
            how.word("category", &mut item.category)?;
            how.words("labels", &mut item.labels)?;
            match item.depositor.parse::<ActorName>() {
                Ok(mut depositor) => how.name("depositor", &mut depositor),
                Err(_) => Ok(()),
            }
        };
        check().map_err(|error| error.within(&format!("items[{at}]")))?;
    }
    Ok(())
}

/// Brings an actor to its one spelling.
///
/// # Errors
/// With the path of what has none.
pub fn spell_actor(actor: &mut v1::Actor) -> Done {
    let refused = |path: &str, error: IdentError| RecordError::new(error.code(), path, error.to_string());
    actor.role = spelling::word(&actor.role).map_err(|error| refused("role", error))?;
    actor.organisation = spelling::organisation(&actor.organisation).map_err(|error| refused("organisation", error))?;
    if !actor.id.is_empty() {
        let named = spelling::actor(&actor.system, &actor.id);
        (actor.system, actor.id) = named.map_err(|error| match error {
            IdentError::NoUri | IdentError::System | IdentError::Oid => refused("system", error),
            error => refused("id", error),
        })?;
    }
    Ok(())
}

/// Brings who else took part to one spelling, as far as that goes: nothing is decided of them.
pub fn spell_agent(who: &mut v1::Actor) {
    (who.system, who.id) = spelling::actor_on_record(&who.system, &who.id);
}

/// Brings an item to its one spelling.
///
/// # Errors
/// With the path of what has none.
pub fn spell_item(item: &mut v1::Item) -> Done {
    let refused = |path: &'static str| move |error: IdentError| RecordError::new(error.code(), path, error.to_string());
    item.id = spelling::text(&item.id).map_err(refused("id"))?;
    item.category = spelling::word(&item.category).map_err(refused("category"))?;
    for label in &mut item.labels {
        *label = spelling::word(label).map_err(refused("labels"))?;
    }
    if let Some((system, id)) = item.depositor.split_once('|') {
        item.depositor = ActorName::spelled(system, id).map_err(|error| error.within("depositor"))?.to_string();
    }
    Ok(())
}

/// Brings a record to its one spelling, before it is signed: who acts and takes part, its items, and whom its details name.
///
/// # Errors
/// With the path of what has none.
pub fn spell_record(record: &mut v1::Record) -> Done {
    if let Some(actor) = &mut record.actor {
        spell_actor(actor).map_err(|error| error.within("actor"))?;
    }
    record.agents.iter_mut().filter_map(|agent| agent.who.as_mut()).for_each(spell_agent);
    for (at, item) in record.items.iter_mut().enumerate() {
        spell_item(item).map_err(|error| error.within(&format!("items[{at}]")))?;
    }
    if let Ok(kind) = crate::kind::Kind::from_code(record.kind) {
        spell_details(kind, &mut record.details)?;
    }
    Ok(())
}

/// Brings whom and what the details of a record name to its one spelling.
///
/// # Errors
/// With the path of what has none.
pub fn spell_details(kind: crate::kind::Kind, details: &mut String) -> Done {
    if details.is_empty() || kind.is_access() || !super::opens_at_apply(kind, v1::BasisKind::None) {
        return Ok(());
    }
    // What is no JSON is refused where it is read.
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(details) else { return Ok(()) };
    let before = value.clone();
    spell_value("details", "", &mut value)?;
    if value != before {
        *details = value.to_string();
    }
    Ok(())
}

fn spell_value(path: &str, name: &str, value: &mut serde_json::Value) -> Done {
    match value {
        serde_json::Value::Object(members) => {
            members.iter_mut().try_for_each(|(name, value)| spell_value(&format!("{path}.{name}"), name, value))
        }
        serde_json::Value::Array(values) => {
            let mut values = values.iter_mut().enumerate();
            values.try_for_each(|(at, value)| spell_value(&format!("{path}[{at}]"), name, value))
        }
        serde_json::Value::String(text) => {
            let refused = |error: IdentError| RecordError::new(error.code(), path, error.to_string());
            let named = |text: &str| match text.split_once('|') {
                Some((system, id)) => ActorName::spelled(system, id).map(|name| name.to_string()),
                None => Ok(text.to_owned()),
            };
            *text = match name {
                "professional" | "person" | "app" | "project" | "representative" | "collector" | "actor"
                | "legal_feeds" | "apps" => named(text).map_err(|error| error.within(path))?,
                "source" if text.contains('|') => named(text).map_err(|error| error.within(path))?,
                "organisation" | "source" => spelling::organisation(text).map_err(refused)?,
                "profession"
                | "team"
                | "origin"
                | "categories"
                | "category"
                | "labels"
                | "purposes"
                | "express_consent_only"
                | "barred_purposes" => spelling::word(text).map_err(refused)?,
                "items" | "id" | "consent" | "breakglass" | "continues" | "supersedes" => {
                    spelling::text(text).map_err(refused)?
                }
                _ => return Ok(()),
            };
            Ok(())
        }
        _ => Ok(()),
    }
}
