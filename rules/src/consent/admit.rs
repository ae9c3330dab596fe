//! The rules of admission: who may sign a record, and what else it needs before it takes effect.
//!
//! [`PatientState::admit`] looks and changes nothing. Its codes come in the order of `docs/consent.md`: who signs first,
//! then what the record refers to, then what it says.

use std::collections::BTreeMap;

use sillage_proof::hash::LedgerTimeMs;

use super::Meta;
use super::directive::{Directive, Grantee, Provision};
use super::env::Env;
use super::event::Event;
use super::name::{Actor, ActorKind, ActorName};
use super::people::{BreakGlass, Membership, Representation};
use super::state::{MemberEntry, PatientState, Period, RepresentationEntry};
use super::token::{Effect, Power};
use crate::codes::Code;
use crate::device::DEVICES_MAX;
use crate::ident::resource::Resource;
use crate::time::TimeMs;

/// Directives of one patient that are in force or will be.
pub const DIRECTIVES_MAX: usize = 2_000;
/// Entries of all lists of those directives together: categories, labels, items, purposes. A decision looks at each of
/// them for every item that is asked for.
pub const DIRECTIVE_ENTRIES_MAX: usize = 10_000;
/// Directives of one patient that are kept, those that have ended too.
pub const DIRECTIVES_KEPT: usize = 4_000;
/// Masked, embargoed and secret items of one patient, each.
pub const ITEMS_MAX: usize = 20_000;
/// Blocked professionals, opposed feeds and members of the care team of one patient, each.
pub const PEOPLE_MAX: usize = 2_000;
/// Names of one FHIR resource (versions, servers) in a list of a directive, or among a patient's masks, embargoes or secrets: each is
/// looked at for every item that is asked and may be it.
pub const NAMES_MAX: usize = 16;
/// Representatives of one patient.
pub const REPRESENTATIVES_MAX: usize = 100;
/// Break-glasses of one patient that are over and are kept, at least: older ones are forgotten whenever there are twice as
/// many as were left.
pub const BREAKGLASSES_KEPT: usize = 2_000;
/// Break-glasses of one actor on one patient that are open at a time.
pub const BREAKGLASSES_OPEN_MAX: usize = 16;

/// A record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleRefusal {
    /// The stable code.
    pub code: Code,
    /// Why, in a sentence without content of the record.
    pub message: String,
}

impl RuleRefusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

type Admitted = Result<(), RuleRefusal>;

fn refuse(code: Code, message: &str) -> Admitted {
    Err(RuleRefusal::new(code, message))
}

fn not_entitled(who: &str) -> Admitted {
    refuse(Code::NotEntitled, &format!("{who} may sign this, and nobody else"))
}

impl PatientState {
    /// Checks that a record may take effect now. `self` is the state of the record's tag before it.
    ///
    /// # Errors
    /// With the first code of `docs/consent.md` that applies.
    pub fn admit(&self, event: &Event, meta: &Meta, env: &Env<'_>) -> Admitted {
        if matches!(event, Event::Deposit(_) | Event::ItemsDeleted(_)) {
            // It happened.
            return Ok(());
        }
        if env.is_revoked(&meta.signer.name) {
            return refuse(Code::NotEntitled, "who signs this is revoked");
        }
        self.entitled(event, meta, env)?;
        check_lifting(self, event, meta)?;
        self.refers(event, meta)?;
        says(event, meta)?;
        self.attending_stays(event)?;
        self.fits(event, meta, env)?;
        match meta.will.is_some_and(|digest| self.wills.get(&digest).is_some_and(|until| meta.time < *until)) {
            true => refuse(Code::LoginReplayed, "the same decision of the same moment is on record already"),
            false => Ok(()),
        }
    }

    /// Checks that the signer may sign it.
    fn entitled(&self, event: &Event, meta: &Meta, env: &Env<'_>) -> Admitted {
        match event {
            Event::Deposit(_) | Event::ItemsDeleted(_) => Ok(()),
            Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => match meta.authority {
                true => Ok(()),
                false => not_entitled("the ledger's authority"),
            },
            Event::Represented(representation) if representation.relation.is_of_law() => match meta.authority {
                true => Ok(()),
                false => not_entitled("the ledger's authority"),
            },
            // The authority registers it, and the patient wants it: a representative's login doesn't give a device away.
            Event::DeviceRegistered(_) if meta.authority && meta.signer.kind == ActorKind::Patient => {
                match meta.authenticated {
                    true => Ok(()),
                    false => authentication_missing(),
                }
            }
            Event::DeviceRegistered(_) => not_entitled("the ledger's authority, where the patient is the actor,"),
            Event::RepresentationEnded { .. } if meta.authority => Ok(()),
            Event::RepresentationEnded { representative } => {
                let of_law = |entry: &RepresentationEntry| {
                    entry.representation.representative == *representative && entry.representation.relation.is_of_law()
                };
                match meta.signer.kind != ActorKind::Patient && self.representations().any(of_law) {
                    true => not_entitled("the ledger's authority, or the patient,"),
                    false => self.patients_side(event, meta),
                }
            }
            Event::Embargoed { items, .. } | Event::Released { items } => self.deposited_all(items, &meta.signer),
            Event::SecrecySet { .. } | Event::SecrecyLifted { .. } => match meta.signer.kind {
                ActorKind::Professional => Ok(()),
                ActorKind::Patient => authenticated(meta),
                _ => not_entitled("the patient, or a professional at their request"),
            },
            Event::Joined(Membership { professional, .. }) | Event::AttendingDeclared { professional }
                if !may_be_professional(professional) =>
            {
                refuse(Code::NotEntitled, "a patient, a person, an application or a project is no professional")
            }
            Event::Joined(membership) if is_own(membership, &meta.signer) => Ok(()),
            Event::Left { professional } if *professional == meta.signer.name => Ok(()),
            Event::Left { professional } if self.has_member(professional, meta) => Ok(()),
            Event::BreakGlassOpened(opened) => may_break(opened, &meta.signer, env),
            Event::BreakGlassJustified { breakglass, .. } | Event::BreakGlassClosed { breakglass } => {
                self.broke(breakglass, &meta.signer)
            }
            Event::BreakGlassReviewed { breakglass, .. } => self.may_review(breakglass, &meta.signer),
            _ => self.patients_side(event, meta),
        }
    }

    /// The patient, or a representative who may consent for them.
    fn patients_side(&self, event: &Event, meta: &Meta) -> Admitted {
        let consents = |power| power == Power::Consent;
        let represents = || self.represented_by(&meta.signer.name, meta.time, consents).is_some();
        match meta.signer.kind == ActorKind::Patient || represents() {
            true if self.was_collected(event) => Ok(()),
            true => authenticated(meta),
            false => not_entitled("the patient, or a representative with the power `consent`"),
        }
    }

    /// A directive that someone collected (on paper, by another system), with the proof of it: the service that hands it
    /// in vouches for the collecting, as it does for an authentication. So is the end of such a directive.
    fn was_collected(&self, event: &Event) -> bool {
        match event {
            // What the patient proved to be theirs isn't ended on somebody's word.
            Event::Directive(directive) => {
                let before = directive.supersedes.as_ref().and_then(|before| self.directive(before));
                directive.collected.is_some() && before.is_none_or(|entry| entry.directive.collected.is_some())
            }
            Event::Revoked { consent } => {
                self.directive(consent).is_some_and(|entry| entry.directive.collected.is_some())
            }
            _ => false,
        }
    }

    /// Checks that it is established who asks, where that is the patient or a representative: the party that signs for a
    /// professional vouches for them, and nobody vouches for those. `patient_key` and `authenticated` as in [`Meta`].
    ///
    /// # Errors
    /// `AUTHENTICATION_MISSING`.
    pub fn check_authentication(
        &self,
        actor: &Actor,
        at: LedgerTimeMs,
        patient_key: bool,
        authenticated: bool,
    ) -> Admitted {
        let is_patient = actor.kind == ActorKind::Patient;
        let in_their_place = is_patient || self.represented_by(&actor.name, at, |_| true).is_some();
        match in_their_place && !authenticated && !(patient_key && is_patient) {
            true => authentication_missing(),
            false => Ok(()),
        }
    }

    /// Every item was deposited by the signer, or by their structure.
    fn deposited_all(&self, items: &[String], signer: &Actor) -> Admitted {
        let own = |item: &String| self.deposit(item).is_some_and(|deposit| deposit.is_by(signer));
        let professional = matches!(signer.kind, ActorKind::Professional | ActorKind::System);
        match professional && items.iter().all(own) {
            true => Ok(()),
            false => not_entitled("the professional who deposited every one of these items, or their structure"),
        }
    }

    /// Tells whether the structure as which the signer speaks has this professional in the care team.
    fn has_member(&self, professional: &ActorName, meta: &Meta) -> bool {
        let structure = structure_of(professional, &meta.signer);
        let is_its = |entry: &MemberEntry| entry.structure.as_deref() == structure;
        structure.is_some() && self.memberships(professional).any(is_its)
    }

    /// Checks that the signer broke the glass, or their structure.
    fn broke(&self, breakglass: &str, signer: &Actor) -> Admitted {
        let professional = matches!(signer.kind, ActorKind::Professional | ActorKind::System);
        let own = self.breakglass(breakglass).is_none_or(|entry| {
            entry.actor == signer.name || professional && signer.is_of(entry.organisation.as_deref())
        });
        match professional && own {
            true => Ok(()),
            false => not_entitled("who broke the glass, or their structure"),
        }
    }

    fn may_review(&self, breakglass: &str, signer: &Actor) -> Admitted {
        let professional = matches!(signer.kind, ActorKind::Professional | ActorKind::System);
        let own = self.breakglass(breakglass).is_some_and(|entry| entry.actor == signer.name);
        match professional && !own {
            true => Ok(()),
            false => not_entitled("a professional or a service, not who broke the glass,"),
        }
    }

    /// Checks that the things that it refers to are on record.
    fn refers(&self, event: &Event, meta: &Meta) -> Admitted {
        let now = meta.time;
        let known = match event {
            Event::Directive(directive) => {
                directive.supersedes.as_ref().is_none_or(|before| self.directive(before).is_some())
            }
            // Revoking what has ended already changes nothing, and is no mistake.
            Event::Revoked { consent } => self.directive(consent).is_some(),
            Event::EmergencyLifted { cases } => cases.iter().any(|case| self.opposed_cases.contains_key(case)),
            Event::Unblocked { professional } => self.blocked.contains_key(professional),
            Event::Unmasked { items } => items.iter().any(|item| self.masked.contains(item)),
            Event::Released { items } => items.iter().any(|item| self.embargoed.contains(item)),
            Event::SecrecyLifted { items } => items.iter().any(|item| self.secret.contains(item)),
            Event::FeedLifted(lifted) => self.feeds().any(|entry| {
                let meant = lifted.category.is_none() || lifted.category == entry.feed.category;
                entry.feed.source == lifted.source && meant
            }),
            Event::RepresentationEnded { representative } => {
                self.representations().any(|entry| entry.representation.representative == *representative)
            }
            Event::Left { professional } => {
                self.memberships(professional).any(|entry| now < entry.until && entry.leaves(professional, meta))
            }
            Event::AttendingEnded { professional } => self.attending().is_some_and(|(name, _)| name == professional),
            Event::BreakGlassJustified { breakglass, .. }
            | Event::BreakGlassClosed { breakglass }
            | Event::BreakGlassReviewed { breakglass, .. } => self.breakglass(breakglass).is_some(),
            _ => true,
        };
        match known {
            true => Ok(()),
            false => refuse(Code::UnknownReference, "what this refers to isn't on record for this patient"),
        }
    }

    fn attending_stays(&self, event: &Event) -> Admitted {
        match (event, self.attending()) {
            (Event::Blocked { professional }, Some((attending, _))) if professional == attending => {
                refuse(Code::Attending, "the attending doctor can't be blocked: declare another one first")
            }
            _ => Ok(()),
        }
    }

    /// Ids are free, and nothing grows without end.
    fn fits(&self, event: &Event, meta: &Meta, env: &Env<'_>) -> Admitted {
        let alive = || self.directives.iter().filter(|entry| entry.period.is_alive(meta.time));
        let entries = || alive().map(|entry| entry.directive.entries()).sum::<usize>();
        match event {
            Event::Directive(directive) if alive().any(|entry| entry.directive.id == directive.id) => {
                refuse(Code::IdTaken, "a directive with this id is in force")
            }
            Event::Directive(directive)
                if alive().count() >= DIRECTIVES_MAX || entries() + directive.entries() > DIRECTIVE_ENTRIES_MAX =>
            {
                refuse(Code::TooManyDirectives, "the patient has as many directives in force as one may have")
            }
            Event::DeviceRegistered(device) if self.devices.contains_key(&device.party) => {
                refuse(Code::IdTaken, "that this party acts for the patient is on record")
            }
            Event::BreakGlassOpened(opened) if self.breakglass(&opened.id).is_some() => {
                refuse(Code::IdTaken, "a break-glass with this id is on record")
            }
            Event::BreakGlassOpened(opened) => self.may_open_another(opened, meta, env),
            Event::Directive(directive) if env.across_servers && has_many_names(directive) => {
                refuse(Code::TooManyDirectives, &format!("a list has more than {NAMES_MAX} names of one FHIR resource"))
            }
            _ => self.has_room(event, meta.time).and_then(|()| self.has_few_names(event, env)),
        }
    }

    /// A break-glass that is over when it is handed in, as it says or by the policy, opens nothing and is never one too
    /// many.
    fn may_open_another(&self, opened: &BreakGlass, meta: &Meta, env: &Env<'_>) -> Admitted {
        let over = opened.expires.is_none_or(|expires| expires.0 <= meta.time.get())
            || opened.ends_by(env.policy, meta.time, None) <= meta.time;
        let actor = opened.actor.as_ref().unwrap_or(&meta.signer.name);
        match over || self.open_breakglasses(actor, meta.time).count() < BREAKGLASSES_OPEN_MAX {
            true => Ok(()),
            false => {
                let message = format!("this actor has {BREAKGLASSES_OPEN_MAX} open on this patient: close one first");
                refuse(Code::TooManyRules, &message)
            }
        }
    }

    /// A decision looks at every name that may mean the item that is asked: so one resource has few.
    fn has_few_names(&self, event: &Event, env: &Env<'_>) -> Admitted {
        let items = match event {
            Event::Masked { items } | Event::Embargoed { items, .. } | Event::SecrecySet { items } => items,
            _ => return Ok(()),
        };
        let known = |item: &str| match event {
            Event::Masked { .. } => self.masked.other_names(item),
            Event::Embargoed { .. } => self.embargoed.other_names(item),
            _ => self.secret.other_names(item),
        };
        let added = names_of_resources(items);
        let is_many = |item: &String| {
            let here = Resource::of(item).and_then(|resource| added.get(resource.short()).copied()).unwrap_or_default();
            known(item) + here > NAMES_MAX
        };
        match env.across_servers && items.iter().any(is_many) {
            true => {
                let message =
                    format!("one FHIR resource has more than {NAMES_MAX} names: lift those that aren't needed");
                refuse(Code::TooManyRules, &message)
            }
            false => Ok(()),
        }
    }

    fn has_room(&self, event: &Event, now: LedgerTimeMs) -> Admitted {
        let (count, added, max) = match event {
            Event::Blocked { .. } => (self.blocked.len(), 1, PEOPLE_MAX),
            Event::FeedOpposed(_) => (self.feeds.len(), 1, PEOPLE_MAX),
            Event::Joined(_) => (self.team().filter(|entry| now < entry.until).count(), 1, PEOPLE_MAX),
            Event::Represented(_) => (self.representations.len(), 1, REPRESENTATIVES_MAX),
            Event::DeviceRegistered(_) => (self.devices.len(), 1, DEVICES_MAX),
            Event::Masked { items } => (self.masked.len(), items.len(), ITEMS_MAX),
            Event::Embargoed { items, .. } => (self.embargoed.len(), items.len(), ITEMS_MAX),
            Event::SecrecySet { items } => (self.secret.len(), items.len(), ITEMS_MAX),
            _ => return Ok(()),
        };
        match count + added <= max {
            true => Ok(()),
            false => refuse(Code::TooManyRules, &format!("the patient has {count} of them, and at most {max}")),
        }
    }
}

/// How many of these items are names of one resource, by type and id.
fn names_of_resources(items: &[String]) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for resource in items.iter().filter_map(|item| Resource::of(item)) {
        *names.entry(resource.short().to_owned()).or_default() += 1;
    }
    names
}

fn has_many_names(directive: &Directive) -> bool {
    let provisions = std::iter::once(&directive.provision).chain(&directive.except);
    let mut lists = provisions.filter_map(|provision| provision.items.as_deref());
    lists.any(|items| names_of_resources(items).values().any(|names| *names > NAMES_MAX))
}

/// The structure as which someone speaks who signs for a professional. It follows from the signer alone: what a record
/// does must not depend on whether others are still there.
pub(super) fn structure_of<'s>(professional: &ActorName, signer: &'s Actor) -> Option<&'s str> {
    let speaks = matches!(signer.kind, ActorKind::Professional | ActorKind::System) && signer.name != *professional;
    signer.organisation.as_deref().filter(|_| speaks)
}

/// The patient's own key says who they are; anybody else's identity is established by someone.
fn authenticated(meta: &Meta) -> Admitted {
    let own_key = meta.patient_key && meta.signer.kind == ActorKind::Patient;
    match own_key || meta.authenticated {
        true => Ok(()),
        false => authentication_missing(),
    }
}

fn authentication_missing() -> Admitted {
    refuse(
        Code::AuthenticationMissing,
        "nothing proves who acts: their login, or, in a log that names no issuer of logins, issuer, method and eIDAS level substantial or high",
    )
}

/// Tells whether the signer is a professional who joins the care team, or joins someone to it within their structure.
pub(super) fn is_own(membership: &Membership, signer: &Actor) -> bool {
    let themselves = signer.kind == ActorKind::Professional && membership.professional == signer.name;
    let structure = matches!(signer.kind, ActorKind::Professional | ActorKind::System);
    themselves || structure && signer.is_of(membership.organisation.as_deref())
}

/// Tells whether this may be a professional's name, or that of a structure's software. Of a name of another system the role
/// would tell, which isn't said where somebody else names them.
fn may_be_professional(name: &ActorName) -> bool {
    matches!(ActorKind::of(name, true), ActorKind::Professional | ActorKind::System)
}

fn may_break(opened: &BreakGlass, signer: &Actor, env: &Env<'_>) -> Admitted {
    let own = opened.actor.as_ref().is_none_or(|actor| *actor == signer.name);
    let structure = matches!(signer.kind, ActorKind::Professional | ActorKind::System)
        && signer.is_of(opened.organisation.as_deref());
    let (is_professional, profession) = match own {
        true => (signer.kind == ActorKind::Professional, signer.profession.as_deref()),
        false => {
            let kind = opened.actor.as_ref().map(|actor| ActorKind::of(actor, opened.profession.is_some()));
            (structure && kind == Some(ActorKind::Professional), opened.profession.as_deref())
        }
    };
    if !is_professional || opened.actor.as_ref().is_some_and(|actor| env.is_revoked(actor)) {
        return not_entitled("a health professional, or their structure for them,");
    }
    match opened.case.is_none_or(|case| env.policy.may_open(case, profession)) {
        true => Ok(()),
        false => refuse(Code::NotEntitled, "this profession may not open a break-glass of this case"),
    }
}

/// Checks the statements of the record in themselves.
fn says(event: &Event, meta: &Meta) -> Admitted {
    let now = meta.time;
    match event {
        Event::Directive(directive) => says_directive(directive, now),
        Event::Joined(membership) => says_until(membership.until, now, true),
        Event::Embargoed { until, .. } => says_until(*until, now, false),
        Event::Represented(representation) => says_representation(representation, now),
        Event::BreakGlassOpened(opened) => {
            let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
            if opened.case.is_none() || !given(&opened.reason) {
                return refuse(Code::ReasonMissing, "a break-glass says in which case and why");
            }
            says_until(opened.expires, opened.begins(now), true)
        }
        _ => Ok(()),
    }
}

fn says_until(until: Option<TimeMs>, now: LedgerTimeMs, mandatory: bool) -> Admitted {
    if mandatory && until.is_none() {
        return refuse(Code::UntilMissing, "this holds for a time only: say until when");
    }
    not_empty(Period::new(None, until, now))
}

fn says_representation(representation: &Representation, now: LedgerTimeMs) -> Admitted {
    if representation.relation.is_of_law() && representation.until.is_none() {
        return refuse(Code::UntilMissing, "a parent or guardian represents for a time only: say until when");
    }
    not_empty(Period::new(representation.from, representation.until, now))
}

/// A period that has passed already has no effect, but it isn't empty: an expired consent may be handed in.
fn not_empty(period: Period) -> Admitted {
    match period.from < period.until {
        true => Ok(()),
        false => refuse(Code::EmptyPeriod, "the period ends when it begins, or before"),
    }
}

fn says_directive(directive: &Directive, now: LedgerTimeMs) -> Admitted {
    let provision = &directive.provision;
    let permits = |provision: &&Provision| provision.effect == Effect::Permit;
    let anyone = |provision: &Provision| {
        let grantee = provision.grantee.as_ref().or(directive.provision.grantee.as_ref());
        grantee.is_none_or(|grantee| *grantee == Grantee::Anyone)
    };
    let all = || std::iter::once(provision).chain(&directive.except);
    if all().filter(permits).any(anyone) {
        return refuse(Code::PermitAnyone, "a permission names to whom it is given, and never anyone");
    }
    // An exception that leaves its actions out has the directive's: of a denial without any, all.
    let says_none = |actions: &Option<Vec<_>>| actions.as_ref().is_some_and(Vec::is_empty);
    let unnamed = permits(&provision) && provision.actions.is_none();
    if unnamed || all().filter(permits).any(|provision| says_none(&provision.actions)) {
        return refuse(Code::ActionsMissing, "a permission names what may be done");
    }
    not_empty(Period::new(provision.from, provision.until, now))?;
    for exception in &directive.except {
        let from = exception.from.or(provision.from);
        let until = exception.until.or(provision.until);
        not_empty(Period::new(from, until, now))?;
    }
    Ok(())
}

/// Refuses that a professional opens what is kept from them as the patient's representative, whichever of the patient's tags
/// they sign it under. `state` is that of either: [`PatientState::admit`] looks at its own.
///
/// # Errors
/// `NOT_ENTITLED`.
pub fn check_lifting(state: &PatientState, event: &Event, meta: &Meta) -> Admitted {
    match matches!(event, Event::SecrecyLifted { .. }) && state.has_representative(&meta.signer.name, meta.time) {
        false => Ok(()),
        true => not_entitled("the patient, or a professional who doesn't represent them,"),
    }
}

/// Most patients that are looked at for a circle of representatives.
pub const CIRCLE_MAX: usize = 16;

/// Refuses a representation that closes a circle: the representative is represented, directly or through others, by the
/// patient whose tag this is. `representatives_of` gives the tags of a patient's representatives, as far as records say
/// them.
///
/// # Errors
/// `REPRESENTATION_CYCLE`, also where that can't be told of so many as the representative is represented by.
pub fn check_cycle(
    tag: &[u8; 32],
    event: &Event,
    mut representatives_of: impl FnMut(&[u8; 32]) -> Vec<[u8; 32]>,
) -> Admitted {
    let Event::Represented(Representation { representative_tag: Some(first), .. }) = event else {
        return Ok(());
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut next = vec![first.to_bytes()];
    while let Some(patient) = next.pop() {
        if patient == *tag {
            let message = "the representative is represented by this patient, directly or through others";
            return refuse(Code::RepresentationCycle, message);
        }
        if !seen.insert(patient) {
            continue;
        }
        if seen.len() > CIRCLE_MAX {
            let message = "the representative is represented by so many others that nobody can tell whether this closes a \
                           circle: leave the representative's tag out";
            return refuse(Code::RepresentationCycle, message);
        }
        next.extend(representatives_of(&patient));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::LeafIndex;
    use sillage_proto::v1;

    use super::*;
    use crate::consent::env::{Catalogue, Matrix, Policy};
    use crate::consent::name::{PATIENT_ID, PATIENT_SYSTEM};
    use crate::kind::Kind;
    use crate::record::{ParsedRecord, new_message};

    const COLLECTED: &str = r#""collected": {"collector": "urn:oid:1.2.250.1.71.4.2.2|750712184", "capacity": "organisation",
        "method": "paper", "evidence_sha256": "0000000000000000000000000000000000000000000000000000000000000001"}"#;

    fn directive(id: &str, more: &str) -> String {
        format!(r#"{{"id": "{id}", "effect": "deny", "grantee": "anyone"{more}}}"#)
    }

    /// The outcome of a record that `system` and `id` sign without saying how they proved who they are.
    fn handed_in(state: &mut PatientState, signer: (&str, &str), kind: Kind, details: &str) -> Result<(), Code> {
        let (system, id) = (signer.0.to_owned(), signer.1.to_owned());
        let actor = Some(v1::Actor { system, id, ..v1::Actor::default() });
        let message = v1::Record { actor, details: details.to_owned(), ..new_message(kind, Some(&[7; 32]), 1_000) };
        let record = ParsedRecord::from_message(message).expect("a record");
        let event = Event::of(&record).expect("understood").expect("decides");
        let meta = Meta::of(&record, LeafIndex(1), LedgerTimeMs(1_000), false, false).expect("signed");
        let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
        let env = Env {
            policy: &policy,
            matrix: &matrix,
            catalogue: &catalogue,
            revoked: &|_| false,
            claims: true,
            across_servers: true,
        };
        state.admit(&event, &meta, &env).map_err(|refusal| refusal.code)?;
        state.apply(&event, &meta);
        Ok(())
    }

    #[test]
    fn a_directive_that_was_collected_stands_on_its_evidence_and_so_does_its_end() {
        let patient = (PATIENT_SYSTEM, PATIENT_ID);
        let mut state = PatientState::default();
        let collected = directive("c1", &format!(", {COLLECTED}"));
        let mut hand_in = |signer, kind, details: &str| handed_in(&mut state, signer, kind, details);
        assert_eq!(hand_in(patient, Kind::CONSENT_DIRECTIVE, &collected), Ok(()));
        let bare = directive("c2", "");
        assert_eq!(hand_in(patient, Kind::CONSENT_DIRECTIVE, &bare), Err(Code::AuthenticationMissing));
        let other = directive("c3", &format!(", {COLLECTED}"));
        let stranger = ("urn:sillage:person", "x");
        assert_eq!(hand_in(stranger, Kind::CONSENT_DIRECTIVE, &other), Err(Code::NotEntitled));
        assert_eq!(hand_in(patient, Kind::CONSENT_REVOKED, r#"{"consent": "c1"}"#), Ok(()));
        assert_eq!(hand_in(patient, Kind::SPACE_OPPOSED, ""), Err(Code::AuthenticationMissing));
    }

    #[test]
    fn a_representative_passes_on_no_more_than_they_have_and_for_no_longer() {
        let mut state = PatientState::default();
        let mut registers = |by: &str, who: &str, relation: &str, more: &str| {
            let details =
                format!(r#"{{"representative": "urn:sillage:person|{who}", "relation": "{relation}"{more}}}"#);
            let actor = Some(v1::Actor { system: "urn:sillage:person".into(), id: by.into(), ..v1::Actor::default() });
            let message = new_message(Kind::REPRESENTATION_REGISTERED, Some(&[7; 32]), 1_000);
            let record = ParsedRecord::from_message(v1::Record { actor, details, ..message }).expect("a record");
            let event = Event::of(&record).expect("understood").expect("decides");
            state.apply(&event, &Meta::of(&record, LeafIndex(1), LedgerTimeMs(0), false, true).expect("signed"));
        };
        registers("authority", "mum", "PARENT", r#", "until": "1970-01-01T00:00:10Z""#);
        registers("mum", "aunt", "CAREGIVER", r#", "powers": ["read", "delete"]"#);
        registers("mum", "mum", "CAREGIVER", r#", "powers": ["read", "delete"]"#);
        registers("aunt", "friend", "CAREGIVER", r#", "powers": ["read"]"#);
        let name = |id: &str| format!("urn:sillage:person|{id}").parse::<ActorName>().expect("a name");
        let has = |who: &str, power: Power, at: u64| {
            state.represented_by(&name(who), LedgerTimeMs(at), |has| has == power).is_some()
        };
        for who in ["mum", "aunt", "friend"] {
            assert!(has(who, Power::Read, 9_999) && !has(who, Power::Read, 10_000), "{who}");
            assert!(!has(who, Power::Delete, 1), "{who}: more than she had herself");
            assert!(state.has_representative(&name(who), LedgerTimeMs(9_999)));
        }
        // Nor do they end what the authority registered.
        let mother = r#"{"representative": "urn:sillage:person|mum"}"#;
        let ended = handed_in(&mut state, ("urn:sillage:person", "mum"), Kind::REPRESENTATION_ENDED, mother);
        assert_eq!(ended, Err(Code::NotEntitled));
    }

    #[test]
    fn a_directive_that_was_collected_ends_no_other() {
        let mut state = PatientState::default();
        let patient = (PATIENT_SYSTEM, PATIENT_ID);
        let own = Event::Directive(Box::new(Directive::parse(&directive("own", "")).expect("a directive")));
        let record = new_message(Kind::SPACE_OPENED, Some(&[7; 32]), 1_000);
        let actor = Some(v1::Actor { system: patient.0.into(), id: patient.1.into(), ..v1::Actor::default() });
        let record = ParsedRecord::from_message(v1::Record { actor, ..record }).expect("a record");
        state.apply(&own, &Meta::of(&record, LeafIndex(1), LedgerTimeMs(500), false, true).expect("signed"));
        let collected = |id: &str, before: &str| directive(id, &format!(r#", "supersedes": "{before}", {COLLECTED}"#));
        let mut hand_in = |details: &str| handed_in(&mut state, patient, Kind::CONSENT_DIRECTIVE, details);
        assert_eq!(hand_in(&collected("c1", "own")), Err(Code::AuthenticationMissing));
        assert_eq!(hand_in(&directive("c2", &format!(", {COLLECTED}"))), Ok(()));
        assert_eq!(hand_in(&collected("c3", "c2")), Ok(()));
    }
}
