//! Which directives mean a request: what doesn't depend on the item is looked at once, so that the work of a decision is
//! bounded by the directives of the patient and not by them times the items.

use std::collections::BTreeSet;

use super::{ItemFacts, Request};
use crate::consent::directive::GranteeKeys;
use crate::consent::state::{DirectiveEntry, MemberEntry};
use crate::consent::{Effect, Grantee, PatientState, Provision};

/// A directive that means the request, whatever the item.
pub(super) struct Meant<'a> {
    pub entry: &'a DirectiveEntry,
    /// True if its permission counts. Its denials hold, whoever asks.
    pub permits: bool,
    /// Its exceptions, those with the other effect that mean the request too.
    exceptions: Vec<&'a Provision>,
    /// Of a permission: what it permits within itself, and that means the request. It takes back what is excepted there.
    permits_within: Vec<&'a Provision>,
}

impl Meant<'_> {
    /// Its effect.
    pub fn effect(&self) -> Effect {
        self.entry.directive.provision.effect
    }

    /// Tells whether it means the item.
    pub fn fits(&self, item: &Item<'_>) -> bool {
        item.fits(&self.entry.directive.provision)
    }

    /// Tells whether an exception means the item. A field that an exception leaves out is as its directive says, which
    /// matches already.
    pub fn is_excepted(&self, item: &Item<'_>) -> bool {
        let any = |provisions: &[&Provision]| provisions.iter().any(|provision| item.fits(provision));
        any(&self.exceptions) && !any(&self.permits_within)
    }
}

/// An item whose labels are found quickly.
pub(super) struct Item<'a> {
    pub facts: &'a ItemFacts,
    labels: BTreeSet<&'a str>,
}

impl<'a> Item<'a> {
    pub fn new(facts: &'a ItemFacts) -> Self {
        Self { facts, labels: facts.labels.iter().map(String::as_str).collect() }
    }

    fn fits(&self, provision: &Provision) -> bool {
        provision.categories.as_ref().is_none_or(|categories| categories.contains(&self.facts.category))
            && provision.items.as_ref().is_none_or(|items| items.contains(&self.facts.id))
            && provision
                .labels
                .as_ref()
                .is_none_or(|labels| labels.iter().any(|label| self.labels.contains(label.as_str())))
    }
}

/// The directives of a state that mean the request, in log order. `teams` are the states that say who is in the care team:
/// they are asked once, and not for each provision.
pub(super) fn meant<'a>(state: &'a PatientState, teams: &[&PatientState], request: &Request) -> Vec<Meant<'a>> {
    let teams = Teams::of(teams, request);
    let in_force = state.directives_at(request.at);
    let meant = in_force.filter(|entry| {
        let provision = &entry.directive.provision;
        fits(provision, &teams.all, request) && is_for(provision, &request.purpose)
    });
    let with_exceptions = meant.map(|entry| {
        let Provision { effect: own, grantee, .. } = &entry.directive.provision;
        // What nobody but the party that asks says was collected opens nothing to it.
        let own_word = request.word_of.is_some() && entry.collected_by == request.word_of;
        let counts = |provision: &Provision| {
            // An exception means those alone whom its directive means.
            let grantees = [grantee, &provision.grantee];
            provision.effect == Effect::Deny || !own_word && teams.permits(grantees, request)
        };
        let permits = counts(&entry.directive.provision);
        let within = entry.directive.except.iter();
        let within = within.filter(|exception| fits(exception, &teams.all, request) && counts(exception));
        let (exceptions, alike): (Vec<_>, Vec<_>) = within.partition(|exception| exception.effect != *own);
        Meant { entry, permits, exceptions, permits_within: if *own == Effect::Permit { alike } else { Vec::new() } }
    });
    with_exceptions.collect()
}

/// The origins of the actor's memberships of the care team.
struct Teams<'s> {
    all: BTreeSet<&'s str>,
    /// Those that count for what is permitted.
    counted: BTreeSet<&'s str>,
}

impl<'s> Teams<'s> {
    fn of(states: &[&'s PatientState], request: &Request) -> Self {
        let memberships = || states.iter().flat_map(|state| state.member_as(&request.actor, request.at));
        let origin = |entry: &'s MemberEntry| entry.membership.origin.as_deref();
        let counted = memberships().filter(|entry| entry.counts_on_word_of(request.word_of.as_ref()));
        Self { all: memberships().filter_map(origin).collect(), counted: counted.filter_map(origin).collect() }
    }

    /// Tells whether what is permitted counts, to an actor who is all of these grantees: a person who is named, or meant by
    /// their profession, has logged in, or is named together with the structure for which they act. Only their party states
    /// somebody's profession: so it reaches no further than the party.
    fn permits(&self, grantees: [&Option<Grantee>; 2], request: &Request) -> bool {
        let keys = || {
            grantees.into_iter().flatten().filter_map(|grantee| match grantee {
                Grantee::Keys(keys) => Some(keys),
                Grantee::Anyone => None,
            })
        };
        let named =
            |keys: &GranteeKeys| keys.professional.is_some() || keys.person.is_some() || keys.profession.is_some();
        let names_person = keys().any(|keys| named(keys));
        let structure = keys().find_map(|keys| keys.organisation.as_deref());
        (!names_person || request.counts_for_person(structure))
            && keys().all(|keys| keys.team.as_deref().is_none_or(|team| self.counted.contains(team)))
    }
}

/// A permission that names no purpose is for one.
fn is_for(provision: &Provision, purpose: &str) -> bool {
    match (&provision.purposes, provision.effect) {
        (Some(_), _) | (None, Effect::Deny) => true,
        (None, Effect::Permit) => {
            provision.grantee.as_ref().is_some_and(|grantee| grantee.default_purpose() == purpose)
        }
    }
}

/// Tells whether everything that the provision says of a request fits. What it leaves out fits: in a denial it means all.
/// `origins`: of the actor's memberships of the care team.
fn fits(provision: &Provision, origins: &BTreeSet<&str>, request: &Request) -> bool {
    let Request { actor, action, purpose, at, .. } = request;
    provision.grantee.as_ref().is_none_or(|grantee| grantee.matches(actor, |origin| origins.contains(origin)))
        && provision.actions.as_ref().is_none_or(|actions| actions.contains(action))
        && provision.purposes.as_ref().is_none_or(|purposes| purposes.contains(purpose))
        && provision.from.is_none_or(|from| from.0 <= at.0)
        && provision.until.is_none_or(|until| at.0 < until.0)
}
