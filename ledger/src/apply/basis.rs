//! The basis of an access: whether it had the right that it states, a decision on record, or a break-glass; from feature level 4 on, whether
//! anything on record supports another one. An access that happened is recorded in any case; what is wrong with its basis is
//! flagged.

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1::{Basis, BasisKind};
use sillage_rules::consent::state::{DirectiveEntry, Stamp};
use sillage_rules::consent::{Action, Actor, ActorKind, Case, Effect, Meta, PatientState, ProvableBasis, Spelled};
use sillage_rules::entry::{Entry, UnjustifiedReason};
use sillage_rules::facts::Finding;
use sillage_rules::ident::resource::Resource;
use sillage_rules::kind::Kind;
use sillage_rules::limits::FUTURE_MS_MAX;
use sillage_rules::record::ParsedRecord;

use super::feature::{CLAIMS, DOORS};
use super::rule::StagedRecords;
use crate::consent::Rules;
use crate::error::{ReadError, Stop};
use crate::overlay::Overlay;
use crate::schema::{self, Family, NO_PATIENT, TAG_LEN};

/// The finding about the basis that a record states.
pub(super) fn found(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    record: &ParsedRecord,
    meta: &Meta,
) -> Result<Finding, Stop> {
    let Some(basis) = &record.message().basis else { return Ok(Finding::default()) };
    let tag = record.entry_tag();
    if let Some(provable) = ProvableBasis::of(basis.kind()) {
        let happened = record.kind().is_access() || record.kind().is_movement();
        if !rules.has_reached(CLAIMS) || !happened {
            return Ok(Finding::default());
        }
        let tags = [Some(tag), overlay.other_tag(&tag)?];
        let is_claimed = !is_supported(overlay, rules, staged, tags, (provable, basis), (record, meta))?;
        // What is handed in after an outage comes before what supports it, or together with it.
        let wanted =
            is_claimed && !is_deferred(record) && staged.documents(overlay, rules)?.policy.asks_for_proof(provable);
        return Ok(Finding { fault: wanted.then_some(UnjustifiedReason::Unproven), is_claimed });
    }
    let Some(action) = Action::of_kind(record.kind()) else { return Ok(Finding::default()) };
    let tags = [Some(tag), overlay.other_tag(&tag)?];
    let fault = match basis.kind() {
        BasisKind::Decision => decision(overlay, rules, tags, basis, (record, action, &meta.signer))?,
        BasisKind::Breakglass => break_glass(overlay, rules, staged, tags, basis, (record, action, &meta.signer))?,
        _ => None,
    };
    Ok(Finding { fault, is_claimed: false })
}

/// Tells whether something on record, under either tag of the patient, supports such a basis at the moment of the access: the actor was
/// in the care team then, or the attending doctor; the consent that is named was in force, and permits them that; they are the
/// patient, or represented them. What the party that records the access says on its own word supports nothing. Clocks may differ:
/// what began shortly after the access, or ended shortly before, counts.
fn is_supported(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    tags: [Option<[u8; TAG_LEN]>; 2],
    (provable, basis): (ProvableBasis, &Basis),
    (record, meta): (&ParsedRecord, &Meta),
) -> Result<bool, Stop> {
    let actor = &meta.signer;
    let Some(party) = &meta.party else { return Ok(false) };
    if provable == ProvableBasis::Own && actor.kind == ActorKind::Patient {
        return Ok(true);
    }
    let at_ms = record.occurred_at_ms();
    let around = [at_ms, at_ms.saturating_add(FUTURE_MS_MAX), at_ms.saturating_sub(FUTURE_MS_MAX)];
    let moments = around.into_iter().chain(is_deferred(record).then_some(meta.time.get())).map(LedgerTimeMs);
    let (action, across_servers) = (Action::of_kind(record.kind()), rules.has_reached(DOORS));
    let cited = Cited::of(&basis.r#ref, across_servers);
    for tag in tags.into_iter().flatten().filter(|tag| *tag != NO_PATIENT) {
        let state = staged.state(overlay, rules, &tag)?;
        let at = |moment: LedgerTimeMs| match provable {
            ProvableBasis::CareTeam => state.was_in_care(actor, moment, party),
            ProvableBasis::Own => state.was_representative(actor, moment),
            ProvableBasis::Consent => permits(state, &cited, (actor, action, party), moment),
            ProvableBasis::Legal => false,
        };
        if moments.clone().any(at) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The Consent that an access cites. From feature level 5 on, `Consent/1` is that of the one server whose Consent of this name the patient
/// has at that moment, and a whole URL that of its server. Where it may be that of several, none is cited.
enum Cited<'a> {
    /// The directive of this id, as it is written.
    Id(&'a str),
    /// A Consent, by type and id, with its server; empty: the one that the patient has.
    Consent(Resource),
}

impl<'a> Cited<'a> {
    fn of(name: &'a str, across_servers: bool) -> Self {
        match Resource::of(name).filter(|_| across_servers) {
            Some(resource) => Self::Consent(resource),
            None => Self::Id(name),
        }
    }

    /// The directives in force that are cited. Compared are names that were brought to one form when the directive was applied: an
    /// access costs one comparison for each directive.
    fn among<'s>(&self, in_force: impl Iterator<Item = &'s DirectiveEntry>) -> Vec<&'s DirectiveEntry> {
        match self {
            Self::Id(id) => in_force.filter(|entry| entry.directive.id == *id).collect(),
            Self::Consent(cited) => {
                let named: Vec<(&str, &DirectiveEntry)> = in_force
                    .filter_map(|entry| {
                        let (short, server) = entry.cited_as.as_ref()?;
                        (short == cited.short()).then_some((server.as_str(), entry))
                    })
                    .collect();
                let is_one = named.windows(2).all(|pair| pair[0].0 == pair[1].0);
                let is_cited = |server: &str| match cited.server() {
                    "" => is_one,
                    cited => cited == server,
                };
                named.into_iter().filter(|(server, _)| is_cited(server)).map(|(_, entry)| entry).collect()
            }
        }
    }
}

/// Tells whether a directive that is cited permits the actor this action at that moment; of data that goes elsewhere, any.
fn permits(
    state: &PatientState,
    cited: &Cited<'_>,
    (actor, action, party): (&Actor, Option<Action>, &AuthorId),
    at: LedgerTimeMs,
) -> bool {
    let of_others = cited.among(state.directives_at(at)).into_iter();
    of_others.filter(|entry| entry.collected_by.as_ref() != Some(party)).any(|entry| {
        let provision = &entry.directive.provision;
        let in_team = |origin: &str| state.origins(actor, at).any(|known| known == origin);
        let meant = provision.grantee.as_ref().is_some_and(|grantee| grantee.matches(actor, in_team));
        let acts = provision.actions.as_ref();
        let may = action.is_none_or(|action| acts.is_some_and(|actions| actions.contains(&action)));
        provision.effect == Effect::Permit && meant && may
    })
}

/// Tells whether a record without a fault says from here on what its items are: it changes them, on a decision that stands now.
pub(super) fn may_change(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    record: &ParsedRecord,
    meta: &Meta,
) -> Result<bool, Stop> {
    let basis = record.message().basis.as_ref().filter(|basis| basis.kind() == BasisKind::Decision);
    let index = basis.and_then(|basis| basis.r#ref.parse().ok());
    let Some(index) = index.filter(|_| record.kind() == Kind::ACCESS_UPDATE) else { return Ok(false) };
    let decision = rules.decision(overlay, LeafIndex(index))?;
    Ok(decision.is_some_and(|decision| meta.time.get() < decision.actor_part().expires_at_ms))
}

fn is_deferred(record: &ParsedRecord) -> bool {
    record.message().deferred.is_some()
}

type Access<'a> = (&'a ParsedRecord, Action, &'a Actor);

fn decision(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    tags: [Option<[u8; TAG_LEN]>; 2],
    basis: &Basis,
    (record, action, actor): Access<'_>,
) -> Result<Option<UnjustifiedReason>, Stop> {
    let unknown = Ok(Some(UnjustifiedReason::UnknownReference));
    let Ok(index) = basis.r#ref.parse().map(LeafIndex) else { return unknown };
    let bytes = overlay.store().get(Family::Entries, &schema::index_key(index.get())).map_err(ReadError::from)?;
    let entry = bytes.and_then(|bytes| Entry::decode(&bytes).ok());
    let is_meant = |entry: &Entry| matches!(entry, Entry::Record(entry) if entry.kind == Kind::DECISION_MADE && tags.contains(&Some(entry.tag)));
    if !entry.as_ref().is_some_and(is_meant) {
        return unknown;
    }
    let Some(decision) = rules.decision(overlay, index)? else { return unknown };
    let part = decision.actor_part();
    let by = part.actor.as_ref().and_then(|by| Actor::from_record(by).ok());
    let by = if rules.is_spelled() { by.map(Spelled::spelled_on_record) } else { by };
    let same_actor = by.is_some_and(|by| by.name == actor.name);
    if !same_actor {
        return Ok(Some(UnjustifiedReason::OtherActor));
    }
    // Of an item without an id nobody can tell that it was permitted; nor of nothing, where nothing was.
    let mut items = record.message().items.iter();
    let covered = part.action == action.as_str()
        && !part.permitted.is_empty()
        && items.all(|item| part.permitted.contains(&item.id));
    if !covered || begins_after(record, LedgerTimeMs(part.decided_at_ms)) {
        return Ok(Some(UnjustifiedReason::Beyond));
    }
    let ended = part.expires_at_ms <= record.occurred_at_ms();
    Ok(ended.then_some(UnjustifiedReason::Expired))
}

fn break_glass(
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    staged: &mut StagedRecords,
    tags: [Option<[u8; TAG_LEN]>; 2],
    basis: &Basis,
    (record, action, actor): Access<'_>,
) -> Result<Option<UnjustifiedReason>, Stop> {
    for tag in tags.into_iter().flatten().filter(|tag| *tag != NO_PATIENT) {
        let state = staged.state(overlay, rules, &tag)?;
        let Some(glass) = state.breakglass(&basis.r#ref) else { continue };
        if glass.actor != actor.name {
            return Ok(Some(UnjustifiedReason::OtherActor));
        }
        if !action.consults() || begins_after(record, glass.period.from) {
            return Ok(Some(UnjustifiedReason::Beyond));
        }
        let ended = glass.period.until.get() <= record.occurred_at_ms();
        if ended {
            return Ok(Some(UnjustifiedReason::Expired));
        }
        let case = glass.case;
        let lifts_mask = staged.documents(overlay, rules)?.policy.emergency_lifts_mask;
        let opens = does_open(staged, overlay, rules, tags, record, (actor, case, lifts_mask))?;
        return Ok((!opens).then_some(UnjustifiedReason::Beyond));
    }
    Ok(Some(UnjustifiedReason::UnknownReference))
}

/// Tells whether a broken glass opens what was accessed, as far as the patient had said by then: it opens nothing to who is
/// blocked, nothing in a case that is opposed, and no masked item. Records under the secret tag count for accesses
/// under that tag.
fn does_open(
    staged: &mut StagedRecords,
    overlay: &Overlay<'_>,
    rules: &mut Rules<'_>,
    tags: [Option<[u8; TAG_LEN]>; 2],
    record: &ParsedRecord,
    (actor, case, lifts_mask): (&Actor, Case, bool),
) -> Result<bool, Stop> {
    let [own, other] = tags;
    let is_second = own.map(|own| overlay.open_of(&own)).transpose()?.flatten().is_some();
    let said_then = |stamp: Stamp| stamp.time.get() <= record.occurred_at_ms();
    let across = rules.has_reached(DOORS);
    let counting = if is_second { [own, other] } else { [own, None] };
    for tag in counting.into_iter().flatten().filter(|tag| *tag != NO_PATIENT) {
        let state = staged.state(overlay, rules, &tag)?;
        let blocked = state.blocks_of(&actor.name, across).any(said_then);
        let opposed = state.opposed_cases().any(|(opposed, stamp)| opposed == case && said_then(stamp));
        let mut items = record.message().items.iter();
        let masked = !lifts_mask && items.any(|item| state.masks_of(&item.id, across).any(said_then));
        if blocked || opposed || masked {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells whether the right came only after the access, by more than clocks may differ.
fn begins_after(record: &ParsedRecord, from: LedgerTimeMs) -> bool {
    record.occurred_at_ms().saturating_add(FUTURE_MS_MAX) < from.get()
}
