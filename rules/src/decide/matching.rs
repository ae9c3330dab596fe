//! Which directives mean a request: what doesn't depend on the item is looked at once, so that the work of a decision is
//! bounded by the directives of the patient and not by them times the items.

use std::collections::{BTreeMap, BTreeSet};

use super::{ItemFacts, Request};
use crate::consent::directive::GranteeKeys;
use crate::consent::state::{DirectiveEntry, MemberEntry};
use crate::consent::{Effect, Grantee, PatientState, Provision};
use crate::ident::resource::Resource;

/// How surely a rule means what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Under the names that are asked.
    Surely,
    /// Under other names of FHIR resources, which may be the same: it withholds, and permits nothing.
    Perhaps,
}

/// A directive that means the request, whatever the item.
pub(super) struct Meant<'a> {
    pub entry: &'a DirectiveEntry,
    /// True if its permission counts. Its denials hold, whoever asks.
    permits: bool,
    own: Scope<'a>,
    /// Its exceptions, those with the other effect that mean the request too.
    exceptions: Vec<Scope<'a>>,
    /// Of a permission: what it permits within itself, and that means the request. It takes back what is excepted there.
    permits_within: Vec<Scope<'a>>,
}

impl Meant<'_> {
    /// Tells whether it means the item, or may.
    pub fn fits(&self, item: &Item<'_>) -> bool {
        self.own.means(item).is_some()
    }

    /// The effect that it states for the item: its own effect, or that of an exception. A field that an exception leaves out is as its directive
    /// says, which matches already.
    ///
    /// A permission means the names that it gives. Where the directive only may mean the item, it denies at most: what it denies
    /// altogether, or within what it permits.
    pub fn says(&self, item: &Item<'_>) -> Option<Effect> {
        let own = self.own.means(item)?;
        let denies = |scopes: &[Scope<'_>]| scopes.iter().any(|scope| scope.means(item).is_some());
        let permits = |scopes: &[Scope<'_>]| scopes.iter().any(|scope| scope.means(item) == Some(Means::Surely));
        let has_let_out = |scopes: &[Scope<'_>]| scopes.iter().any(|scope| scope.covers(item, &self.own));
        match (self.entry.directive.provision.effect, own) {
            (Effect::Permit, Means::Surely) if denies(&self.exceptions) && !permits(&self.permits_within) => {
                Some(Effect::Deny)
            }
            (Effect::Permit, Means::Surely) => self.permits.then_some(Effect::Permit),
            (Effect::Permit, Means::Perhaps) => {
                (denies(&self.exceptions) && !has_let_out(&self.permits_within)).then_some(Effect::Deny)
            }
            // Another name of the item, which is denied and not excepted, holds on.
            (Effect::Deny, Means::Surely) if permits(&self.exceptions) && self.all_are_let_out(item) => {
                Some(Effect::Permit)
            }
            (Effect::Deny, Means::Surely) => Some(Effect::Deny),
            (Effect::Deny, Means::Perhaps) => (!has_let_out(&self.exceptions)).then_some(Effect::Deny),
        }
    }
}

impl Meant<'_> {
    /// Tells whether an exception has each name of other spelling under which the directive may mean the item.
    fn all_are_let_out(&self, item: &Item<'_>) -> bool {
        let has = |name: &str| {
            let names = |scope: &Scope<'_>| {
                scope.provision.items.as_ref().is_none_or(|items| items.iter().any(|known| known == name))
            };
            self.exceptions.iter().any(names)
        };
        self.own.other_names(item).filter(|name| *name != item.facts.id).all(has)
    }
}

/// The items that a provision means, of those who are meant by it.
struct Scope<'a> {
    provision: &'a Provision,
    /// How surely it means the request.
    request: Means,
    /// The items that it names and that are FHIR resources, by type and id, each with its name. Empty where names count as they are
    /// written.
    resources: BTreeMap<String, Vec<(&'a str, Resource)>>,
}

impl<'a> Scope<'a> {
    fn of(provision: &'a Provision, request: Means, across_servers: bool) -> Self {
        let mut resources: BTreeMap<String, Vec<(&str, Resource)>> = BTreeMap::new();
        for name in provision.items.iter().flatten().filter(|_| across_servers) {
            if let Some(resource) = Resource::of(name) {
                resources.entry(resource.short().to_owned()).or_default().push((name, resource));
            }
        }
        Self { provision, request, resources }
    }

    fn means(&self, item: &Item<'_>) -> Option<Means> {
        let names = match &self.provision.items {
            None => Means::Surely,
            Some(items) if items.contains(&item.facts.id) => Means::Surely,
            Some(_) if self.other_names(item).next().is_some() => Means::Perhaps,
            Some(_) => return None,
        };
        let is_sure = names == Means::Surely && self.request == Means::Surely;
        self.is_of_kind(item).then_some(if is_sure { Means::Surely } else { Means::Perhaps })
    }

    /// Tells whether this exception has the item whenever its directive, which perhaps means the item, has it.
    fn covers(&self, item: &Item<'_>, directive: &Self) -> bool {
        let Some(items) = &self.provision.items else { return self.is_of_kind(item) };
        let has = |name: &str| items.iter().any(|known| known == name);
        let mut others = directive.other_names(item).peekable();
        let has_all = others.peek().is_some() && others.all(has);
        self.is_of_kind(item) && (has(&item.facts.id) || has_all)
    }

    /// The names of other spelling that may mean the item.
    fn other_names<'s>(&'s self, item: &'s Item<'_>) -> impl Iterator<Item = &'a str> + 's {
        let asked = item.resource.as_ref();
        let named = asked.and_then(|asked| self.resources.get(asked.short()));
        let may_be = move |(_, known): &&(&str, Resource)| asked.is_some_and(|asked| known.may_be(asked));
        named.into_iter().flatten().filter(may_be).map(|(name, _)| *name)
    }

    /// Tells whether the item has a category and a label that it means.
    fn is_of_kind(&self, item: &Item<'_>) -> bool {
        let Provision { categories, labels, .. } = self.provision;
        categories.as_ref().is_none_or(|categories| categories.contains(&item.facts.category))
            && labels.as_ref().is_none_or(|labels| labels.iter().any(|label| item.labels.contains(label.as_str())))
    }
}

/// An item whose labels are found quickly.
pub(super) struct Item<'a> {
    pub facts: &'a ItemFacts,
    labels: BTreeSet<&'a str>,
    resource: Option<Resource>,
}

impl<'a> Item<'a> {
    pub fn new(facts: &'a ItemFacts) -> Self {
        let labels = facts.labels.iter().map(String::as_str).collect();
        Self { facts, labels, resource: Resource::of(&facts.id) }
    }
}

/// The directives of a state that mean the request, in log order. `teams` are the states that say who is in the care team:
/// they are asked once, and not for each provision. `across_servers`: [`crate::consent::Env::across_servers`].
pub(super) fn meant<'a>(
    state: &'a PatientState,
    teams: &[&PatientState],
    request: &Request,
    across_servers: bool,
) -> Vec<Meant<'a>> {
    let teams = Teams::of(teams, request);
    let in_force = state.directives_at(request.at);
    let meant = in_force.filter_map(|entry| {
        let provision = &entry.directive.provision;
        let means = means(provision, &teams.all, request, across_servers)?;
        is_for(provision, &request.purpose).then_some((entry, means))
    });
    let with_exceptions = meant.map(|(entry, request_means)| {
        let Provision { effect: own, grantee, .. } = &entry.directive.provision;
        // What nobody but the party that asks says was collected opens nothing to it.
        let own_word = request.word_of.is_some() && entry.collected_by == request.word_of;
        let counts = |provision: &Provision| {
            // An exception means those alone whom its directive means.
            let grantees = [grantee, &provision.grantee];
            provision.effect == Effect::Deny || !own_word && teams.permits(grantees, request)
        };
        let permits = counts(&entry.directive.provision);
        let within = entry.directive.except.iter().filter_map(|exception| {
            let perhaps = across_servers && exception.effect == Effect::Deny;
            let means = means(exception, &teams.all, request, perhaps)?;
            counts(exception).then(|| Scope::of(exception, means, across_servers))
        });
        let (exceptions, alike): (Vec<_>, Vec<_>) = within.partition(|scope| scope.provision.effect != *own);
        Meant {
            entry,
            permits,
            own: Scope::of(&entry.directive.provision, request_means, across_servers),
            exceptions,
            permits_within: if *own == Effect::Permit { alike } else { Vec::new() },
        }
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

/// How surely the provision means a request, if everything fits that it says of one. What it leaves out fits: in a denial it means
/// all. `origins`: of the actor's memberships of the care team. `perhaps`: also under another name of the same FHIR resource.
fn means(provision: &Provision, origins: &BTreeSet<&str>, request: &Request, perhaps: bool) -> Option<Means> {
    let Request { actor, action, purpose, at, .. } = request;
    let is_origin = |origin: &str| origins.contains(origin);
    let means = match &provision.grantee {
        None => Means::Surely,
        Some(grantee) if grantee.matches(actor, is_origin) => Means::Surely,
        Some(grantee) if perhaps && grantee.may_mean(actor, is_origin) => Means::Perhaps,
        Some(_) => return None,
    };
    let fits = provision.actions.as_ref().is_none_or(|actions| actions.contains(action))
        && provision.purposes.as_ref().is_none_or(|purposes| purposes.contains(purpose))
        && provision.from.is_none_or(|from| from.0 <= at.0)
        && provision.until.is_none_or(|until| at.0 < until.0);
    fits.then_some(means)
}
