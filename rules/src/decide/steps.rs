//! The thirteen steps. Per item, the first decisive one wins. `docs/consent.md` has the same table; a test keeps them
//! equal.

use sillage_proof::hash::LeafIndex;

use super::matching::{Item, Meant, meant};
use super::{ItemDecision, ItemFacts, Reason, Request};
use crate::consent::state::{BreakGlassEntry, DirectiveEntry, Space};
use crate::consent::{Action, ActorKind, Effect, Env, Feed, PatientState};

/// One step of the procedure.
pub struct Step {
    /// Its number, from 1.
    pub number: u8,
    /// Its subject, in a few words.
    pub about: &'static str,
    /// The reasons that it can give, in its order.
    pub reasons: &'static [Reason],
    /// Where the rule stands in law; empty where it follows from the others.
    pub law: &'static str,
    decides: fn(&ItemCase<'_>) -> Option<Verdict>,
}

/// Every step, in order. The last one always decides.
pub const STEPS: [Step; 13] = [
    Step {
        number: 1,
        about: "actor revoked; item of another patient",
        reasons: &[Reason::InvalidActor, Reason::UnknownItem],
        law: "CSP R1111-43",
        decides: known,
    },
    Step {
        number: 2,
        about: "the patient",
        reasons: &[Reason::Embargoed, Reason::NotOwner, Reason::Own],
        law: "CSP L1111-7, L1111-19, R1111-53",
        decides: patient,
    },
    Step {
        number: 3,
        about: "a representative within their powers",
        reasons: &[Reason::Embargoed, Reason::NotOwner, Reason::MinorSecrecy, Reason::Representative],
        law: "CSP L1111-5, R1111-50; Code civil 371-1, 459",
        decides: representative,
    },
    Step {
        number: 4,
        about: "space opposed or closed; barred purpose",
        reasons: &[Reason::SpaceClosed, Reason::PurposeBarred],
        law: "CSP L1111-13-1, L1111-18",
        decides: space_and_purpose,
    },
    Step {
        number: 5,
        about: "who deposited it, or their structure, consults",
        reasons: &[Reason::Depositor],
        law: "CSP R1111-49",
        decides: depositor,
    },
    Step {
        number: 6,
        about: "habilitation matrix; catalogue of applications",
        reasons: &[Reason::Matrix, Reason::NotCatalogued],
        law: "CSP L1111-13-1",
        decides: ceilings,
    },
    Step {
        number: 7,
        about: "the attending doctor consults for treatment",
        reasons: &[Reason::Attending],
        law: "CSP L1111-16",
        decides: attending,
    },
    Step {
        number: 8,
        about: "professional blocked by name",
        reasons: &[Reason::Blocked],
        law: "CSP L1110-4 IV",
        decides: blocked,
    },
    Step {
        number: 9,
        about: "an open break-glass, purpose BTG, consults",
        reasons: &[Reason::EmergencyOpposed, Reason::Masked, Reason::BreakGlass],
        law: "CSP L1111-17, R1111-48",
        decides: break_glass,
    },
    Step {
        number: 10,
        about: "masked item; directives that deny; opposed feed",
        reasons: &[Reason::Masked, Reason::ConsentDeny, Reason::FeedOpposed],
        law: "CSP L1110-4 IV, R1111-49",
        decides: denied,
    },
    Step {
        number: 11,
        about: "directives that permit",
        reasons: &[Reason::ConsentGrant],
        law: "CSP L1111-13-1, L1111-17 IV",
        decides: granted,
    },
    Step {
        number: 12,
        about: "a member of the care team consults for treatment",
        reasons: &[Reason::CareTeam],
        law: "CSP L1110-4 III, L1110-12, R1111-46",
        decides: care_team,
    },
    Step {
        number: 13,
        about: "deposits; anything else",
        reasons: &[Reason::DepositDefault, Reason::LegalFeed, Reason::NoConsent],
        law: "CSP L1111-15",
        decides: rest,
    },
];

/// A request, with what is the same for all of its items.
pub(super) struct RequestCase<'a> {
    env: &'a Env<'a>,
    open: &'a PatientState,
    second: Option<&'a PatientState>,
    request: &'a Request,
    /// The directives that mean the request, of either tag.
    meant: [Vec<Meant<'a>>; 2],
}

/// One item of a request, with all that a step may look at.
struct ItemCase<'a> {
    env: &'a Env<'a>,
    request: &'a Request,
    item: &'a ItemFacts,
    /// The state of the open tag; for an item of the secret tag, that one's too.
    states: [Option<&'a PatientState>; 2],
    /// The same, and that of the secret tag also for an item that only may be one of it: they withhold, and permit nothing.
    withholding: [Option<&'a PatientState>; 2],
    /// Their directives that mean the request and the item; false where nothing that they permit counts.
    directives: Vec<(&'a Meant<'a>, bool)>,
    /// The same item, for exceptions of directives.
    labelled: Item<'a>,
    /// Kept from representatives: by the record that says so, or by no other than its deposit under the secret tag.
    secret: Option<Option<LeafIndex>>,
}

struct Verdict {
    reason: Reason,
    consulted: Vec<LeafIndex>,
}

/// Records named for one item, the oldest of those that decided: a decision has to stay small whatever is on file.
pub const CONSULTED_MAX: usize = 16;

fn verdict(reason: Reason, consulted: impl IntoIterator<Item = LeafIndex>) -> Option<Verdict> {
    let mut consulted: Vec<LeafIndex> = consulted.into_iter().collect();
    consulted.sort_unstable();
    consulted.dedup();
    consulted.truncate(CONSULTED_MAX);
    Some(Verdict { reason, consulted })
}

impl<'a> RequestCase<'a> {
    pub fn new(
        env: &'a Env<'a>,
        open: &'a PatientState,
        second: Option<&'a PatientState>,
        request: &'a Request,
    ) -> Self {
        let across = env.across_servers;
        let of_second = second.map(|second| meant(second, &[open, second], request, across)).unwrap_or_default();
        Self { env, open, second, request, meant: [meant(open, &[open], request, across), of_second] }
    }

    /// Decides on one item.
    pub fn decide(&self, item: &ItemFacts) -> ItemDecision {
        let marked = |across| {
            let mut states = std::iter::once(self.open).chain(self.second);
            states.find_map(|state| state.secrets_of(&item.id, across).next())
        };
        let (named, mark) = (marked(false), marked(self.env.across_servers));
        let secret = if item.secret { Some(mark) } else { mark.map(Some) };
        let is_surely_secret = item.secret || named.is_some();
        let of_secret = self.second.filter(|_| secret.is_some());
        let labelled = Item::new(item);
        let [open, second] = &self.meant;
        let second = second.iter().filter(|_| secret.is_some()).map(|meant| (meant, is_surely_secret));
        let meant = open.iter().map(|meant| (meant, true)).chain(second);
        let case = ItemCase {
            env: self.env,
            request: self.request,
            item,
            states: [Some(self.open), of_secret.filter(|_| is_surely_secret)],
            withholding: [Some(self.open), of_secret],
            directives: meant.filter(|(directive, _)| directive.fits(&labelled)).collect(),
            labelled,
            secret,
        };
        let decisive = STEPS.iter().find_map(|step| (step.decides)(&case));
        let Verdict { reason, consulted } = decisive.expect("the last step decides");
        let contradicted = item.contradicted && case.may_know(reason);
        ItemDecision { id: item.id.clone(), permit: reason.permits(), reason, consulted, contradicted }
    }
}

impl<'a> ItemCase<'a> {
    /// The states whose permissions count.
    fn states(&self) -> impl Iterator<Item = &'a PatientState> {
        self.states.into_iter().flatten()
    }

    /// The states whose limits count.
    fn withholding(&self) -> impl Iterator<Item = &'a PatientState> {
        self.withholding.into_iter().flatten()
    }

    fn consults(&self) -> bool {
        self.request.action.consults()
    }

    /// Update or delete of what someone else deposited. What the patient deposited is their representatives' too.
    fn is_someone_elses(&self) -> bool {
        let changes = matches!(self.request.action, Action::Update | Action::Delete);
        let elses =
            |depositor: &crate::consent::ActorName| *depositor != self.request.actor.name && !depositor.is_patient();
        changes && self.item.depositor.as_ref().is_some_and(elses)
    }

    fn embargo(&self) -> Option<LeafIndex> {
        let across = self.env.across_servers;
        self.withholding().find_map(|state| state.embargoes(&self.item.id, self.request.at, across))
    }

    fn mask(&self) -> Option<LeafIndex> {
        let across = self.env.across_servers;
        self.withholding().find_map(|state| state.masks_of(&self.item.id, across).next()).map(|stamp| stamp.index)
    }

    /// The record that blocks the actor by name.
    fn block(&self) -> Option<LeafIndex> {
        let (actor, across) = (&self.request.actor.name, self.env.across_servers);
        self.withholding().find_map(|state| state.blocks_of(actor, across).next()).map(|stamp| stamp.index)
    }

    /// The glass that the actor has broken, where step 9 looks at it.
    fn broken_glass(&self) -> Vec<&'a BreakGlassEntry> {
        let Request { actor, purpose, at, .. } = self.request;
        if !self.consults() || purpose != "BTG" || self.needs_express_consent() || self.is_kept_from_actor() {
            return Vec::new();
        }
        let open = self.states().flat_map(|state| state.open_breakglasses(&actor.name, *at));
        open.filter(|entry| self.request.counts_for_person(entry.organisation.as_deref())).collect()
    }

    /// The actor broke the glass, and every closing of the space is somebody's word: a forged one mustn't keep help away. The
    /// steps from 6 on decide.
    fn is_emergency_in_unproven_closing(&self) -> bool {
        self.env.claims
            && !self.withholding().any(PatientState::is_shut_for_emergencies)
            && !self.broken_glass().is_empty()
    }

    /// Kept from representatives, and the actor is one, whatever their powers.
    fn is_kept_from_actor(&self) -> bool {
        let Request { actor, at, .. } = self.request;
        let represents =
            |state: &PatientState| state.may_have_representative(&actor.name, *at, self.env.across_servers);
        self.secret.is_some() && self.withholding().any(represents)
    }

    /// Tells whether the actor may know of the item, decided so. An actor who may deposit it only because anyone may
    /// needn't know of it, and a representative mayn't know of an item that is kept from them.
    fn may_know(&self, reason: Reason) -> bool {
        let is_anyones = matches!(reason, Reason::DepositDefault | Reason::LegalFeed);
        reason.is_told() && !is_anyones && !self.is_kept_from_actor()
    }

    /// Tells whether the actor treats as a professional: a name on record as one isn't enough.
    fn is_treating(&self) -> bool {
        let Request { actor, purpose, .. } = self.request;
        actor.kind == ActorKind::Professional
            && self.consults()
            && purpose == "TREAT"
            && !self.needs_express_consent()
            && !self.is_kept_from_actor()
    }

    fn needs_express_consent(&self) -> bool {
        self.env.policy.needs_express_consent(&self.request.actor)
    }

    /// The directives that match with this effect: of their own, where no exception takes it back, or through an
    /// exception.
    fn directives(&self, effect: Effect) -> impl Iterator<Item = &'a DirectiveEntry> {
        let matches = move |(directive, permits): &&(&'a Meant<'a>, bool)| {
            (*permits || effect == Effect::Deny) && directive.says(&self.labelled) == Some(effect)
        };
        self.directives.iter().filter(matches).map(|(directive, _)| directive.entry)
    }
}

fn known(case: &ItemCase<'_>) -> Option<Verdict> {
    if case.env.is_revoked(&case.request.actor.name) {
        return verdict(Reason::InvalidActor, None);
    }
    case.item.other_patient.then(|| verdict(Reason::UnknownItem, None)).flatten()
}

fn patient(case: &ItemCase<'_>) -> Option<Verdict> {
    if case.request.actor.kind != ActorKind::Patient {
        return None;
    }
    if let Some(embargo) = case.embargo() {
        return verdict(Reason::Embargoed, [embargo]);
    }
    verdict(if case.is_someone_elses() { Reason::NotOwner } else { Reason::Own }, None)
}

fn representative(case: &ItemCase<'_>) -> Option<Verdict> {
    let Request { actor, action, at, .. } = case.request;
    let registered =
        case.states().find_map(|state| state.represented_by(&actor.name, *at, |power| power.covers(*action)))?;
    if let Some(embargo) = case.embargo() {
        return verdict(Reason::Embargoed, [registered, embargo]);
    }
    if case.is_someone_elses() {
        return verdict(Reason::NotOwner, [registered]);
    }
    match case.secret {
        Some(mark) => verdict(Reason::MinorSecrecy, [Some(registered), mark].into_iter().flatten()),
        None => verdict(Reason::Representative, [registered]),
    }
}

fn space_and_purpose(case: &ItemCase<'_>) -> Option<Verdict> {
    let mut closed = case.withholding().map(PatientState::space).filter(|(space, _)| *space != Space::Open);
    if let Some((_, stamp)) = closed.next()
        && !case.is_emergency_in_unproven_closing()
    {
        return verdict(Reason::SpaceClosed, stamp.map(|stamp| stamp.index));
    }
    let barred = case.env.policy.barred_purposes.contains(&case.request.purpose);
    barred.then(|| verdict(Reason::PurposeBarred, None)).flatten()
}

fn depositor(case: &ItemCase<'_>) -> Option<Verdict> {
    let actor = &case.request.actor;
    // Whoever deposited it knows it; their colleague who represents the patient, or is blocked by name, doesn't.
    let organisation = case.item.depositor_organisation.as_deref();
    let own = case.item.depositor.as_ref() == Some(&actor.name) && case.request.counts_for_person(organisation);
    let of_structure =
        actor.is_of(organisation) && !case.is_kept_from_actor() && !(case.env.claims && case.block().is_some());
    (case.consults() && (own || of_structure)).then(|| verdict(Reason::Depositor, None)).flatten()
}

fn ceilings(case: &ItemCase<'_>) -> Option<Verdict> {
    let Request { actor, action, .. } = case.request;
    if case.env.matrix.forbids(actor, &case.item.category, *action) {
        return verdict(Reason::Matrix, None);
    }
    (!case.env.catalogue.lists(actor)).then(|| verdict(Reason::NotCatalogued, None)).flatten()
}

fn attending(case: &ItemCase<'_>) -> Option<Verdict> {
    if !case.env.policy.attending_doctor_sees_all || !case.is_treating() {
        return None;
    }
    let actor = &case.request.actor;
    if !case.request.counts_for_person(None) {
        return None;
    }
    let declared = case.states().find_map(PatientState::attending).filter(|(name, _)| **name == actor.name)?;
    verdict(Reason::Attending, [declared.1.index])
}

fn blocked(case: &ItemCase<'_>) -> Option<Verdict> {
    verdict(Reason::Blocked, [case.block()?])
}

fn break_glass(case: &ItemCase<'_>) -> Option<Verdict> {
    let open = case.broken_glass();
    if open.is_empty() {
        return None;
    }
    let opposed = |emergency| {
        let mut cases = case.withholding().flat_map(PatientState::opposed_cases);
        cases.find(|(opposed, _)| *opposed == emergency).map(|(_, stamp)| stamp.index)
    };
    let oppositions: Option<Vec<LeafIndex>> = open.iter().map(|entry| opposed(entry.case)).collect();
    if let Some(oppositions) = oppositions {
        return verdict(Reason::EmergencyOpposed, oppositions);
    }
    if let Some(mask) = case.mask().filter(|_| !case.env.policy.emergency_lifts_mask) {
        return verdict(Reason::Masked, [mask]);
    }
    let lifts = open.iter().filter(|entry| opposed(entry.case).is_none());
    verdict(Reason::BreakGlass, lifts.map(|entry| entry.stamp.index))
}

fn denied(case: &ItemCase<'_>) -> Option<Verdict> {
    if let Some(mask) = case.mask() {
        return verdict(Reason::Masked, [mask]);
    }
    let denials: Vec<LeafIndex> = case.directives(Effect::Deny).map(|entry| entry.stamp.index).collect();
    if !denials.is_empty() {
        return verdict(Reason::ConsentDeny, denials);
    }
    if case.request.action != Action::Write {
        return None;
    }
    let mut feeds = case.withholding().flat_map(PatientState::feeds);
    let (actor, category) = (&case.request.actor, &case.item.category);
    let is_opposed = |feed: &Feed| match case.env.across_servers {
        true => feed.may_match(actor, category),
        false => feed.matches(actor, category),
    };
    let opposed = feeds.find(|entry| is_opposed(&entry.feed))?;
    verdict(Reason::FeedOpposed, [opposed.stamp.index])
}

/// Only reached when nothing denies: what is excepted from a denial counts as permitted. Of what a minor keeps from
/// representatives, nothing is granted to a representative, who may have signed the grant themselves; and what a
/// representative signs opens it to professionals alone, whom secrecy binds.
fn granted(case: &ItemCase<'_>) -> Option<Verdict> {
    if case.is_kept_from_actor() {
        return None;
    }
    let actor = &case.request.actor;
    let by_patient_alone = case.secret.is_some() && actor.kind != ActorKind::Professional;
    let grants = case.directives(Effect::Permit).filter(|entry| !(by_patient_alone && entry.by_representative));
    let grants: Vec<LeafIndex> = grants.map(|entry| entry.stamp.index).collect();
    if grants.is_empty() { None } else { verdict(Reason::ConsentGrant, grants) }
}

fn care_team(case: &ItemCase<'_>) -> Option<Verdict> {
    if !case.is_treating() {
        return None;
    }
    let Request { actor, at, word_of, .. } = case.request;
    let mut memberships = case.states().flat_map(|state| state.member_as(actor, *at));
    let joined = memberships.find(|entry| entry.counts_on_word_of(word_of.as_ref()))?;
    verdict(Reason::CareTeam, [joined.stamp.index])
}

fn rest(case: &ItemCase<'_>) -> Option<Verdict> {
    let actor = &case.request.actor;
    let reason = match case.request.action {
        Action::Write if actor.kind == ActorKind::Professional && !case.is_kept_from_actor() => Reason::DepositDefault,
        Action::Write if case.env.policy.legal_feeds.contains(&actor.name) => Reason::LegalFeed,
        _ => Reason::NoConsent,
    };
    verdict(reason, None)
}
