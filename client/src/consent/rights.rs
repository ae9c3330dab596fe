//! Rights on a patient's documents: worked out by asking the decision procedure itself, for everybody whom a record
//! names and for samples of everybody else, on every document that is known and on samples of all others.
//!
//! Rights depend on the structure for which somebody acts, and on their profession. So everybody is asked about once as
//! they are, and once for each structure and profession that a record names ([`Who::Acting`]); of the latter only that
//! is told which the former doesn't say ([`told`]).

use std::collections::{BTreeMap, BTreeSet};

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_rules::consent::directive::GranteeKeys;
use sillage_rules::consent::state::FOR_EVER;
use sillage_rules::consent::{
    Action, Actor, ActorKind, ActorName, BreakGlass, Case, Env, Event, Grantee, Meta, PatientState, Provision,
};
use sillage_rules::decide::{ItemFacts, Reason, Request, decide};
use sillage_rules::time::TimeMs;

/// The system of actors and documents that stand for others.
const SAMPLE_SYSTEM: &str = "urn:sillage:sample";

/// Structures and professions that are tried for one person, and for all together.
const VARIANTS_MAX: usize = 64;
const VARIANTS_TOTAL_MAX: usize = 2_048;

/// Categories with labels that are asked about.
const LABELLED_MAX: usize = 256;

/// The index of a record that is only tried.
const TRIED: LeafIndex = LeafIndex(u64::MAX);

/// Profession and structure of those of whom a record says them.
pub type Professions = BTreeMap<ActorName, (Option<String>, Option<String>)>;

/// For whom a right is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The patient.
    Patient,
    /// Somebody whom a record names.
    Named(ActorName),
    /// The same, where they act for this structure, or as this profession.
    Acting {
        /// The actor.
        name: ActorName,
        /// The profession; none: as on record, or unknown.
        profession: Option<String>,
        /// The structure; none: any that no record names.
        organisation: Option<String>,
    },
    /// Everybody with this profession, of this structure.
    Class {
        /// The profession; none: any.
        profession: Option<String>,
        /// The structure; none: any.
        organisation: Option<String>,
    },
    /// A professional who is entitled to open a break-glass of this case, once they do.
    Emergency(Case),
    /// Any professional whom no record names.
    AnyProfessional,
}

/// Somebody, as the procedure sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// For whom it stands.
    pub who: Who,
    actor: Actor,
    purposes: BTreeSet<String>,
    /// Of whom it is a variant: what these may open is said already. Empty: of nobody.
    of: Vec<Who>,
}

/// Of what a right is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Documents of this category.
    Category(String),
    /// Documents with this label.
    Label(String),
    /// Documents of this category with this label.
    Labelled(String, String),
    /// This document.
    Document(String),
    /// Every document that no record names.
    Other,
}

/// A document, or a sample of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The thing that it stands for.
    pub what: What,
    facts: ItemFacts,
}

impl Sample {
    /// The category of a document.
    pub fn category(&self) -> &str {
        &self.facts.category
    }
}

/// The finding on one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Why.
    pub reason: Reason,
    /// The first of the records that decided.
    pub by: Option<LeafIndex>,
}

/// The rights of somebody, for one purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct Right {
    /// The person or group.
    pub who: Who,
    /// The purpose.
    pub purpose: String,
    /// Of whom they are a variant, see [`told`].
    pub of: Vec<Who>,
    /// The actions on which the same was found.
    pub actions: Vec<Action>,
    /// The findings on each sample, in the order of [`Questions::samples`]; none where it makes no sense to ask: what is
    /// deposited is new.
    pub found: Vec<Option<Found>>,
}

impl Right {
    /// Tells whether anything is permitted.
    pub fn permits(&self) -> bool {
        self.found.iter().flatten().any(|found| found.reason.permits())
    }
}

/// A patient's state at one moment, with everybody and everything to ask about.
pub struct World<'a> {
    /// The rules that hold for all.
    pub env: &'a Env<'a>,
    /// Under the open tag.
    pub open: &'a PatientState,
    /// The second one, where it is known.
    pub secret: Option<&'a PatientState>,
    /// When.
    pub at: LedgerTimeMs,
}

/// The people and things to ask about. Those of several worlds can be joined, so that two worlds are asked the same.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    subjects: BTreeMap<Who, Subject>,
    /// Structures and professions that a record names.
    organisations: BTreeSet<String>,
    professions: BTreeSet<String>,
    /// Depositors that nothing else names.
    pub depositors: BTreeSet<ActorName>,
    /// True if there are more structures and professions than were tried.
    pub is_cut: bool,
    /// True if there are more categories with labels than are asked about.
    pub is_labelled_cut: bool,
    /// The things to ask about.
    pub samples: Vec<Sample>,
}

impl Questions {
    /// Everybody and everything that the records of these worlds name.
    pub fn of(worlds: &[&World<'_>], professions: &Professions) -> Self {
        let mut out = Self::default();
        out.add(Who::Patient, Actor::patient(), ["PATRQT"]);
        let mut samples = BTreeMap::new();
        for world in worlds {
            out.professions.extend(world.env.matrix.deny.iter().map(|row| row.profession.clone()));
            out.professions.extend(world.env.policy.express_consent_only.iter().cloned());
            let sides = std::iter::once((world.open, false)).chain(world.secret.map(|state| (state, true)));
            for (state, secret) in sides {
                out.people(state, world.at, professions);
                documents(state, secret, &mut samples);
            }
        }
        for world in worlds {
            let sides = std::iter::once(world.open).chain(world.secret);
            sides.for_each(|state| out.depositors(state, professions));
        }
        for case in Case::ALL {
            out.add(Who::Emergency(*case), sample_actor(Some(case_profession(*case)), None), ["BTG"]);
        }
        out.add(Who::AnyProfessional, sample_actor(None, None), ["TREAT"]);
        out.variants(professions);
        samples.entry(What::Other).or_insert_with(|| sample_facts("other", "", &[]));
        out.samples = samples.into_iter().map(|(what, facts)| Sample { what, facts }).collect();
        out.labelled();
        out
    }

    /// Documents of each category with each label too, as far as there aren't too many of both: a record may speak of them
    /// alone.
    fn labelled(&mut self) {
        let whats = || self.samples.iter().map(|sample| &sample.what);
        let categories =
            whats().filter_map(|what| if let What::Category(category) = what { Some(category) } else { None });
        let labels: Vec<&String> =
            whats().filter_map(|what| if let What::Label(label) = what { Some(label) } else { None }).collect();
        let both = categories.flat_map(|category| labels.iter().map(move |label| (category.clone(), (*label).clone())));
        let mut both = both.collect::<Vec<_>>().into_iter();
        let samples: Vec<Sample> = both
            .by_ref()
            .take(LABELLED_MAX)
            .map(|(category, label)| {
                let facts = sample_facts(&format!("labelled:{category}:{label}"), &category, &[&label]);
                Sample { what: What::Labelled(category, label), facts }
            })
            .collect();
        self.is_labelled_cut = both.next().is_some();
        self.samples.extend(samples);
    }

    fn add<'p>(&mut self, who: Who, actor: Actor, purposes: impl IntoIterator<Item = &'p str>) {
        let subject = self.subjects.entry(who.clone()).or_insert(Subject {
            who,
            actor,
            purposes: BTreeSet::new(),
            of: Vec::new(),
        });
        subject.purposes.extend(purposes.into_iter().map(str::to_owned));
    }

    fn named<'p>(
        &mut self,
        name: &ActorName,
        said: (Option<String>, Option<String>),
        professions: &Professions,
        purposes: impl IntoIterator<Item = &'p str>,
    ) {
        let known = professions.get(name).cloned().unwrap_or_default();
        let profession = said.0.or(known.0);
        let kind = ActorKind::of(name, profession.is_some());
        self.organisations.extend([said.1, known.1].into_iter().flatten());
        // For which structure they act is said when they ask: see `variants`.
        let actor = Actor { name: name.clone(), kind, profession, organisation: None };
        self.add(Who::Named(name.clone()), actor, purposes);
    }

    /// Those who deposited something, and their structures.
    fn depositors(&mut self, state: &PatientState, professions: &Professions) {
        for deposit in state.deposits() {
            if let Some(organisation) = &deposit.organisation {
                self.organisations.insert(organisation.clone());
                let who = Who::Class { profession: None, organisation: Some(organisation.clone()) };
                self.add(who, sample_actor(None, Some(organisation)), ["TREAT"]);
            }
            let Some(name) = deposit.depositor.as_ref().filter(|name| !name.is_patient()) else { continue };
            if !self.subjects.contains_key(&Who::Named(name.clone())) {
                self.named(name, (None, None), professions, ["TREAT"]);
                self.depositors.insert(name.clone());
            }
        }
    }

    /// The same people for each structure, and as each profession where theirs isn't known.
    fn variants(&mut self, known: &Professions) {
        let options = |names: &BTreeSet<String>| -> Vec<Option<String>> {
            std::iter::once(None).chain(names.iter().cloned().map(Some)).collect()
        };
        let (organisations, professions) = (options(&self.organisations), options(&self.professions));
        let mut variants = Vec::new();
        for subject in self.subjects.values().filter(|subject| subject.actor.kind == ActorKind::Professional) {
            let (name, fixed) = (&subject.actor.name, &subject.actor.profession);
            let mut add = |profession: &Option<String>, organisation: &Option<String>, who: Who, of: Vec<Who>| {
                let (profession, organisation) = (profession.clone(), organisation.clone());
                let actor = Actor { profession, organisation, ..subject.actor.clone() };
                variants.push(Subject { who, actor, purposes: subject.purposes.clone(), of });
            };
            if matches!(subject.who, Who::Named(_)) {
                let is_known = fixed.is_some() || known.get(name).is_some_and(|known| known.0.is_some());
                let professions = if is_known { std::slice::from_ref(fixed) } else { &professions[..] };
                let pairs = professions.iter().flat_map(|p| organisations.iter().map(move |o| (p, o)));
                for (profession, organisation) in pairs.skip(1).take(VARIANTS_MAX) {
                    let varied = if is_known { None } else { profession.clone() };
                    let acting = |profession: Option<String>, organisation: Option<String>| Who::Acting {
                        name: name.clone(),
                        profession,
                        organisation,
                    };
                    let of = match (&varied, organisation) {
                        (Some(_), Some(_)) => {
                            vec![acting(None, organisation.clone()), acting(varied.clone(), None)]
                        }
                        _ => vec![subject.who.clone()],
                    };
                    add(profession, organisation, acting(varied, organisation.clone()), of);
                }
            }
        }
        self.class_variants(&mut variants);
        self.is_cut = variants.len() > VARIANTS_TOTAL_MAX || organisations.len() * professions.len() > VARIANTS_MAX;
        for variant in variants.into_iter().take(VARIANTS_TOTAL_MAX) {
            self.subjects.entry(variant.who.clone()).or_insert(variant);
        }
    }

    /// Professionals whom no record names: as each profession, and each profession of each structure.
    fn class_variants(&self, variants: &mut Vec<Subject>) {
        let mut add = |profession: &str, organisation: Option<&String>, of: Vec<Who>| {
            let actor = sample_actor(Some(profession), organisation.map(String::as_str));
            let who = Who::Class { profession: Some(profession.to_owned()), organisation: organisation.cloned() };
            let purposes = of.iter().filter_map(|who| self.subjects.get(who)).flat_map(|one| one.purposes.clone());
            let purposes = purposes.chain(["TREAT".to_owned()]).collect();
            variants.push(Subject { who, actor, purposes, of });
        };
        for profession in self.professions.iter().take(VARIANTS_MAX) {
            add(profession, None, vec![Who::AnyProfessional]);
            let alone = Who::Class { profession: Some(profession.clone()), organisation: None };
            for organisation in self.organisations.iter().take(VARIANTS_MAX) {
                let of_structure = Who::Class { profession: None, organisation: Some(organisation.clone()) };
                let known = self.subjects.contains_key(&of_structure).then_some(of_structure);
                add(profession, Some(organisation), std::iter::once(alone.clone()).chain(known).collect());
            }
        }
    }

    fn people(&mut self, state: &PatientState, at: LedgerTimeMs, professions: &Professions) {
        for entry in state.representations().filter(|entry| entry.period.contains(at)) {
            self.named(&entry.representation.representative, (None, None), professions, ["FAMRQT"]);
        }
        if let Some((name, _)) = state.attending() {
            self.named(name, (None, None), professions, ["TREAT"]);
        }
        for entry in state.team().filter(|entry| at < entry.until) {
            let within = entry.membership.organisation.clone();
            self.named(&entry.membership.professional, (None, within), professions, ["TREAT"]);
        }
        for (name, _) in state.blocked() {
            self.named(name, (None, None), professions, ["TREAT"]);
        }
        let open = state.breakglasses().map(|(_, entry)| entry).filter(|entry| entry.period.contains(at));
        for entry in open {
            self.named(&entry.actor, (None, entry.organisation.clone()), professions, ["BTG"]);
        }
        for entry in state.directives_at(at) {
            let provision = &entry.directive.provision;
            self.grantee(provision, provision, professions);
            entry.directive.except.iter().for_each(|exception| self.grantee(exception, provision, professions));
        }
    }

    fn grantee(&mut self, provision: &Provision, parent: &Provision, professions: &Professions) {
        let default = Grantee::Anyone;
        let grantee = provision.grantee.as_ref().or(parent.grantee.as_ref()).unwrap_or(&default);
        let purposes = provision.purposes.as_ref().or(parent.purposes.as_ref());
        let purposes: Vec<&str> = match purposes {
            Some(purposes) => purposes.iter().map(String::as_str).collect(),
            None => vec![grantee.default_purpose()],
        };
        let Grantee::Keys(keys) = grantee else {
            return self.add(Who::AnyProfessional, sample_actor(None, None), purposes);
        };
        let GranteeKeys { profession, organisation, .. } = keys.as_ref();
        self.professions.extend(profession.clone());
        self.organisations.extend(organisation.clone());
        match grantee.named() {
            Some((_, name)) => self.named(name, (None, organisation.clone()), professions, purposes),
            // The members of a team are asked about by name.
            None if profession.is_none() && organisation.is_none() => {}
            None => {
                let actor = sample_actor(profession.as_deref(), organisation.as_deref());
                let who = Who::Class { profession: profession.clone(), organisation: organisation.clone() };
                self.add(who, actor, purposes);
            }
        }
    }
}

fn case_profession(case: Case) -> &'static str {
    match case {
        Case::Incapacity => "emergency-physician",
        Case::Samu => "samu-regulator",
        Case::Fire => "fire-brigade-physician",
    }
}

fn sample_actor(profession: Option<&str>, organisation: Option<&str>) -> Actor {
    let name = ActorName::new(SAMPLE_SYSTEM, "somebody").expect("a name by construction");
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Actor { name, kind: ActorKind::Professional, profession: owned(profession), organisation: owned(organisation) }
}

/// A document that stands for others: somebody else deposited it.
fn sample_facts(id: &str, category: &str, labels: &[&str]) -> ItemFacts {
    ItemFacts {
        id: format!("{SAMPLE_SYSTEM}:{id}"),
        category: category.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        depositor: ActorName::new(SAMPLE_SYSTEM, "depositor").ok(),
        ..ItemFacts::default()
    }
}

/// Everything that a state names.
fn documents(state: &PatientState, secret: bool, samples: &mut BTreeMap<What, ItemFacts>) {
    for deposit in state.deposits() {
        let facts = ItemFacts {
            id: deposit.id.clone(),
            category: deposit.category.clone(),
            labels: deposit.labels.clone(),
            depositor: deposit.depositor.clone(),
            depositor_organisation: deposit.organisation.clone(),
            other_patient: false,
            secret,
            contradicted: false,
        };
        samples.insert(What::Document(deposit.id.clone()), facts);
    }
    let mut document = |id: &str| {
        let facts = ItemFacts { id: id.to_owned(), secret, ..sample_facts("document", "", &[]) };
        samples.entry(What::Document(id.to_owned())).or_insert(facts);
    };
    state.masked().for_each(|(id, _)| document(id));
    state.embargoed().for_each(|(id, _)| document(id));
    state.secret_items().for_each(|(id, _)| document(id));
    let provisions = state
        .directives()
        .iter()
        .flat_map(|entry| std::iter::once(&entry.directive.provision).chain(&entry.directive.except));
    let provisions: Vec<&Provision> = provisions.collect();
    provisions.iter().flat_map(|p| p.items.iter().flatten()).for_each(|id| document(id));
    let fed = state.feeds().filter_map(|entry| entry.feed.category.as_ref());
    for category in provisions.iter().flat_map(|p| p.categories.iter().flatten()).chain(fed) {
        let facts = || sample_facts(&format!("category:{category}"), category, &[]);
        samples.entry(What::Category(category.clone())).or_insert_with(facts);
    }
    for label in provisions.iter().flat_map(|p| p.labels.iter().flatten()) {
        let facts = || sample_facts(&format!("label:{label}"), "", &[label]);
        samples.entry(What::Label(label.clone())).or_insert_with(facts);
    }
}

impl World<'_> {
    /// Asks everything. Actions on which the same was found stand together.
    pub fn ask(&self, questions: &Questions) -> Vec<Right> {
        let mut out = Vec::new();
        for subject in questions.subjects.values() {
            let broken = self.with_broken_glass(subject);
            let open = broken.as_ref().unwrap_or(self.open);
            for purpose in &subject.purposes {
                let mut rights: Vec<Right> = Vec::new();
                // Broken glass is for reading.
                let asked = Action::ALL.iter().filter(|action| broken.is_none() || action.consults());
                for action in asked {
                    let found = self.found(open, subject, purpose, *action, &questions.samples);
                    match rights.iter_mut().find(|right| right.found == found) {
                        Some(right) => right.actions.push(*action),
                        None => rights.push(Right {
                            who: subject.who.clone(),
                            purpose: purpose.clone(),
                            of: subject.of.clone(),
                            actions: vec![*action],
                            found,
                        }),
                    }
                }
                out.extend(rights);
            }
        }
        out
    }

    /// Tells whether a professional sees what they deposited themselves.
    pub fn depositors_see(&self) -> bool {
        let actor = sample_actor(None, None);
        let own = ItemFacts { depositor: Some(actor.name.clone()), ..sample_facts("own", "", &[]) };
        let (action, purpose) = (Action::Read, "TREAT".to_owned());
        let request = Request { actor, action, purpose, at: self.at, items: vec![own], word_of: None };
        decide(self.env, self.open, self.secret, &request).items.iter().all(|item| item.permit)
    }

    fn found(
        &self,
        open: &PatientState,
        subject: &Subject,
        purpose: &str,
        action: Action,
        samples: &[Sample],
    ) -> Vec<Option<Found>> {
        let request = Request {
            actor: subject.actor.clone(),
            action,
            purpose: purpose.to_owned(),
            at: self.at,
            items: samples.iter().map(|sample| sample.facts.clone()).collect(),
            // With their own login.
            word_of: None,
        };
        let decision = decide(self.env, open, self.secret, &request);
        let new = action == Action::Write;
        let asked = samples.iter().map(|sample| !new || !matches!(sample.what, What::Document(_)));
        let found = asked.zip(&decision.items).map(|(asked, item)| {
            asked.then(|| Found { reason: item.reason, by: item.consulted.iter().copied().find(|by| *by != TRIED) })
        });
        found.collect()
    }

    /// The open state as it would be once this subject opened a break-glass.
    fn with_broken_glass(&self, subject: &Subject) -> Option<PatientState> {
        let Who::Emergency(case) = subject.who else {
            return None;
        };
        let opened = BreakGlass {
            id: format!("{SAMPLE_SYSTEM}:{case}"),
            actor: None,
            profession: None,
            organisation: None,
            case: Some(case),
            reason: Some(String::new()),
            text: None,
            expires: Some(TimeMs(self.at.get().saturating_add(1))),
            search: None,
            position: None,
            no_position: None,
            continues: None,
            since: None,
        };
        let meta = Meta {
            index: TRIED,
            time: self.at,
            signer: subject.actor.clone(),
            authority: false,
            patient_key: false,
            authenticated: true,
            will: None,
            party: None,
            server: None,
        };
        let mut state = self.open.clone();
        state.apply(&Event::BreakGlassOpened(Box::new(opened)), &meta);
        Some(state)
    }
}

/// When what these records permit or forbid ends, ms, where they say so.
pub fn ends<'a>(states: impl IntoIterator<Item = &'a PatientState>) -> BTreeMap<LeafIndex, u64> {
    let mut out = BTreeMap::new();
    for state in states {
        out.extend(state.directives().iter().map(|entry| (entry.stamp.index, entry.period.until)));
        out.extend(state.representations().map(|entry| (entry.stamp.index, entry.period.until)));
        out.extend(state.breakglasses().map(|(_, entry)| (entry.stamp.index, entry.period.until)));
        out.extend(state.team().map(|entry| (entry.stamp.index, entry.until)));
        out.extend(state.embargoed().map(|(_, entry)| (entry.stamp.index, entry.until)));
    }
    out.into_iter().filter(|(_, until)| *until != FOR_EVER).map(|(index, until)| (index, until.get())).collect()
}

/// The findings that have to be told: everything of those who are no variants; and of variants what isn't permitted, or denied, to those of
/// whom they are variants as well.
pub fn told(rights: &[Right]) -> Vec<Right> {
    let said = |who: &Who, right: &Right, action: Action, at: usize| {
        let same =
            |other: &&Right| other.who == *who && other.purpose == right.purpose && other.actions.contains(&action);
        rights.iter().find(same).and_then(|other| other.found[at]).is_some_and(|found| found.reason.permits())
    };
    let mut out = Vec::new();
    for right in rights {
        if right.of.is_empty() {
            out.push(right.clone());
            continue;
        }
        let mut kept: Vec<Right> = Vec::new();
        for action in &right.actions {
            let is_news = |(at, found): (usize, &Option<Found>)| {
                found.filter(|found| found.reason.permits() != right.of.iter().any(|who| said(who, right, *action, at)))
            };
            let found: Vec<Option<Found>> = right.found.iter().enumerate().map(is_news).collect();
            match kept.iter_mut().find(|known| known.found == found) {
                Some(known) => known.actions.push(*action),
                None if found.iter().all(Option::is_none) => {}
                None => kept.push(Right { actions: vec![*action], found, ..right.clone() }),
            }
        }
        out.extend(kept);
    }
    out
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
