//! A record takes effect. Never fails: what refers to something that isn't there (its record may have been erased) has
//! none.

use std::collections::BTreeMap;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

use super::admit::{DIRECTIVES_KEPT, is_own};
use super::by_item::ByItem;
use super::directive::Directive;
use super::event::Event;
use super::name::{ActorKind, ActorName};
use super::people::{BreakGlass, DepositedItem, Feed, Membership, Representation};
use super::state::*;
use super::{Meta, PatientState};
use crate::ident::resource::{Resource, server_of_base};
use crate::login::REMEMBERED_MS;
use crate::time::TimeMs;

/// Up to this many records that ended something, and memberships of the care team, none is forgotten.
const LOOKED_AT: usize = 64;

impl PatientState {
    /// Applies a record that was admitted, in log order.
    pub fn apply(&mut self, event: &Event, meta: &Meta) {
        let stamp = Stamp { index: meta.index, time: meta.time };
        // What was deposited before is told to a state for as long as an embargo on it is looked at.
        if let (Some(digest), false) = (meta.will, matches!(event, Event::Deposit(_))) {
            self.wills.retain(|_, until| meta.time < *until);
            self.wills.insert(digest, LedgerTimeMs(meta.time.get().saturating_add(REMEMBERED_MS)));
        }
        match event {
            Event::SpaceOpened => self.set_space(Space::Open, stamp, meta.will.is_some()),
            Event::SpaceOpposed => self.set_space(Space::Opposed, stamp, meta.will.is_some()),
            Event::SpaceClosed => self.set_space(Space::Closed, stamp, meta.will.is_some()),
            Event::Directive(directive) => self.add_directive(directive, stamp, meta),
            Event::Revoked { consent } => self.end_directive(consent, meta.time, meta.time, meta.index),
            Event::EmergencyOpposed { cases } => set_all(&mut self.opposed_cases, cases, stamp),
            Event::EmergencyLifted { cases } => {
                let lifted = cases.iter().filter(|case| self.opposed_cases.remove(case).is_some()).count();
                self.ended(lifted, FOR_EVER, meta.index);
            }
            Event::Blocked { professional } => set_all(&mut self.blocked, [professional], stamp),
            Event::Unblocked { professional } => {
                let lifted = self.blocked.remove(professional).iter().count();
                self.ended(lifted, FOR_EVER, meta.index);
            }
            Event::Masked { items } => set_items(&mut self.masked, items, stamp),
            Event::Unmasked { items } => {
                let lifted = items.iter().filter(|item| self.masked.remove(item).is_some()).count();
                self.ended(lifted, FOR_EVER, meta.index);
            }
            Event::Embargoed { items, until } => self.embargo(items, *until, stamp),
            Event::Released { items } => self.release(items, stamp),
            Event::FeedOpposed(feed) => {
                let key = (feed.source.clone(), feed.category.clone());
                self.feeds.entry(key).or_insert_with(|| FeedEntry { feed: feed.clone(), stamp });
            }
            Event::FeedLifted(feed) => self.lift_feed(feed, meta.index),
            Event::Represented(representation) => self.represent(representation, meta),
            Event::RepresentationEnded { representative } => self.end_representation(representative, stamp),
            Event::SecrecySet { items } => set_items(&mut self.secret, items, stamp),
            Event::SecrecyLifted { items } => {
                let lifted = items.iter().filter(|item| self.secret.remove(item).is_some()).count();
                self.ended(lifted, FOR_EVER, meta.index);
            }
            Event::Joined(membership) => self.join(membership, meta),
            Event::Left { professional } => self.leave(professional, meta),
            Event::AttendingDeclared { professional } => {
                let before = self.attending.replace((professional.clone(), stamp));
                self.ended(before.iter().count(), FOR_EVER, meta.index);
                self.attended(before, meta.time);
            }
            Event::AttendingEnded { professional } => {
                let ends = self.attending.take_if(|(name, _)| name == professional);
                self.ended(ends.iter().count(), FOR_EVER, meta.index);
                self.attended(ends, meta.time);
            }
            Event::BreakGlassOpened(opened) => self.break_glass(opened, meta),
            Event::BreakGlassJustified { breakglass, text: _ } => {
                if let Some(entry) = self.breakglass.get_mut(breakglass) {
                    entry.justified_by.get_or_insert(meta.index);
                }
            }
            Event::BreakGlassClosed { breakglass } => self.close_glass(breakglass, stamp),
            Event::BreakGlassReviewed { breakglass, verdict } => {
                if let Some(entry) = self.breakglass.get_mut(breakglass) {
                    entry.reviewed = Some((meta.index, *verdict));
                }
            }
            Event::DeviceRegistered(device) => {
                self.devices.entry(device.party).or_insert(stamp);
            }
            Event::Deposit(items) => return items.iter().for_each(|item| self.add_deposit(item, meta)),
            // Deleted, an item stays what it was, and its depositor's.
            Event::ItemsDeleted(_) => return,
            // Of the whole log, not of one patient: the ledger keeps them.
            Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => {}
        }
        self.forget_enders(meta.time);
    }

    /// Notes that a record ended something that would have held until `until`.
    fn ended(&mut self, count: usize, until: LedgerTimeMs, by: LeafIndex) {
        if count > 0 {
            let known = self.enders.entry(by).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Forgets which records ended what would have ended by itself since. Not each time: whenever they have doubled.
    fn forget_enders(&mut self, now: LedgerTimeMs) {
        if self.enders.len() > 2 * self.enders_left + LOOKED_AT {
            self.enders.retain(|_, until| now < *until);
            self.enders_left = self.enders.len();
        }
    }

    /// Keeps who was one of the patient's own until now.
    fn keep_past(&mut self, tie: PastTie) {
        if tie.period.from < tie.period.until {
            self.past_ties.push_back(tie);
        }
        if self.past_ties.len() > PAST_TIES_MAX {
            // What a party says on its own word gives way first, so that it can't make the others be forgotten.
            let own_word = self.past_ties.iter().position(|tie| tie.stated_by.is_some());
            self.past_ties.remove(own_word.unwrap_or_default());
        }
    }

    fn attended(&mut self, before: Option<(ActorName, Stamp)>, now: LedgerTimeMs) {
        if let Some((name, since)) = before {
            let period = Period { from: since.time, until: now };
            self.keep_past(PastTie { name, within: None, period, represents: false, stated_by: None });
        }
    }

    /// `proven`: by a login. Whether the patient's own key signed isn't in the record, and a state is folded from records
    /// alone.
    fn set_space(&mut self, space: Space, stamp: Stamp, proven: bool) {
        if self.erased {
            return;
        }
        // A claim after a proof takes nothing from it: else whoever claims could open to emergencies what the patient shut.
        let before = self.space_proven.filter(|_| self.space != Space::Open);
        self.space_proven = if proven { Some(stamp) } else { before }.filter(|_| space != Space::Open);
        // The newest says how the space is, and the last that was proven, that it is shut for emergencies too: both stay.
        self.space = space;
        self.space_stamp = Some(stamp);
    }

    fn add_directive(&mut self, directive: &Directive, stamp: Stamp, meta: &Meta) {
        let period = Period::new(directive.provision.from, directive.provision.until, stamp.time);
        if let Some(before) = &directive.supersedes {
            self.end_directive(before, period.from, stamp.time, stamp.index);
        }
        let by_representative = meta.signer.kind != ActorKind::Patient;
        let directive = directive.clone();
        let collected_by = meta.party.filter(|_| directive.collected.is_some());
        let server = meta.server.clone();
        let cited_as = Resource::of(&directive.id).map(|named| {
            let server = match (named.server(), &server) {
                ("", Some(base)) => server_of_base(base),
                (said, _) => said.to_owned(),
            };
            (named.short().to_owned(), server)
        });
        self.directives.push(DirectiveEntry {
            directive,
            stamp,
            period,
            ended_by: None,
            by_representative,
            collected_by,
            server,
            cited_as,
        });
        if self.directives.len() > DIRECTIVES_KEPT
            && let Some(oldest) = self.directives.iter().position(|entry| !entry.period.is_alive(stamp.time))
        {
            self.directives.remove(oldest);
        }
    }

    /// Ends at `end`, as of `now`, every directive with this id that would go on.
    fn end_directive(&mut self, id: &str, end: LedgerTimeMs, now: LedgerTimeMs, by: LeafIndex) {
        let mut ended = None;
        for entry in self.directives.iter_mut().filter(|entry| entry.directive.id == id) {
            if entry.period.is_alive(now) && end < entry.period.until {
                ended = ended.max(Some(entry.period.until));
                entry.period.until = end;
                entry.ended_by = Some(by);
            }
        }
        if let Some(until) = ended {
            self.ended(1, until, by);
        }
    }

    fn embargo(&mut self, items: &[String], until: Option<TimeMs>, stamp: Stamp) {
        let until = until.map_or(FOR_EVER, |until| LedgerTimeMs(until.0));
        for item in items {
            if let Some(before) = self.embargoed.insert(item, EmbargoEntry { until, stamp }) {
                self.ended(1, before.until, stamp.index);
            }
        }
    }

    fn release(&mut self, items: &[String], stamp: Stamp) {
        for item in items {
            if let Some(before) = self.embargoed.remove(item) {
                self.ended(1, before.until, stamp.index);
            }
        }
    }

    fn lift_feed(&mut self, lifted: &Feed, by: LeafIndex) {
        let before = self.feeds.len();
        self.feeds.retain(|(source, category), _| {
            let meant = lifted.category.is_none() || lifted.category == *category;
            *source != lifted.source || !meant
        });
        self.ended(before - self.feeds.len(), FOR_EVER, by);
    }

    fn represent(&mut self, representation: &Representation, meta: &Meta) {
        let stamp = Stamp { index: meta.index, time: meta.time };
        let period = Period::new(representation.from, representation.until, stamp.time);
        let key = (representation.representative.clone(), representation.relation);
        let by = representation.passed_on_by(&meta.signer);
        let entry = RepresentationEntry { representation: representation.clone(), period, stamp, by };
        if let Some(before) = self.representations.insert(key, entry) {
            self.ended(1, before.period.until, stamp.index);
            self.keep_past(before.past(stamp.time));
        }
    }

    fn end_representation(&mut self, representative: &ActorName, stamp: Stamp) {
        let (mut until, mut past) = (None, Vec::new());
        self.representations.retain(|(name, _), entry| {
            let ends = name == representative;
            until = until.max(ends.then_some(entry.period.until));
            past.extend(ends.then(|| entry.past(stamp.time)));
            !ends
        });
        past.into_iter().for_each(|tie| self.keep_past(tie));
        self.ended(until.iter().count(), until.unwrap_or_default(), stamp.index);
    }

    fn join(&mut self, membership: &Membership, meta: &Meta) {
        let stamp = Stamp { index: meta.index, time: meta.time };
        let until = membership.until.map_or(stamp.time, |until| LedgerTimeMs(until.0));
        let key = (membership.professional.clone(), membership.origin.clone(), membership.organisation.clone());
        let structure = membership.structure(&meta.signer);
        let stated_by = meta.party.filter(|_| is_own(membership, &meta.signer));
        let entry = MemberEntry { membership: membership.clone(), structure, until, stamp, stated_by };
        if let Some(before) = self.team.insert(key, entry) {
            self.ended(1, before.until, stamp.index);
            self.keep_past(before.past(stamp.time));
        }
        // Not each time: whenever they have doubled.
        if self.team.len() > 2 * self.team_left + LOOKED_AT {
            let mut past = Vec::new();
            self.team.retain(|_, entry| {
                let stays = stamp.time < entry.until;
                past.extend((!stays).then(|| entry.past(stamp.time)));
                stays
            });
            past.into_iter().for_each(|tie| self.keep_past(tie));
            self.team_left = self.team.len();
        }
    }

    fn leave(&mut self, professional: &ActorName, meta: &Meta) {
        let (mut until, mut past) = (None, Vec::new());
        self.team.retain(|_, entry| {
            let ends = entry.leaves(professional, meta);
            until = until.max(ends.then_some(entry.until));
            past.extend(ends.then(|| entry.past(meta.time)));
            !ends
        });
        past.into_iter().for_each(|tie| self.keep_past(tie));
        self.ended(until.iter().count(), until.unwrap_or_default(), meta.index);
    }

    fn break_glass(&mut self, opened: &BreakGlass, meta: &Meta) {
        let Some(case) = opened.case else {
            return;
        };
        let own = opened.actor.as_ref().is_none_or(|actor| *actor == meta.signer.name);
        let organisation = if own { meta.signer.organisation.clone() } else { opened.organisation.clone() };
        let entry = BreakGlassEntry {
            actor: opened.actor.clone().unwrap_or_else(|| meta.signer.name.clone()),
            organisation,
            case,
            period: Period::new(None, opened.expires.or(Some(TimeMs(meta.time.0))), opened.begins(meta.time)),
            stamp: Stamp { index: meta.index, time: meta.time },
            closed_by: None,
            justified_by: None,
            reviewed: None,
        };
        self.breakglass.put(&opened.id, entry, meta.time);
    }

    fn close_glass(&mut self, id: &str, stamp: Stamp) {
        let Some(entry) = self.breakglass.get_mut(id).filter(|entry| entry.period.is_alive(stamp.time)) else {
            return;
        };
        let before = entry.period.until;
        entry.period.until = stamp.time;
        entry.closed_by = Some(stamp.index);
        self.ended(1, before, stamp.index);
    }

    /// The first depositor of an item stays its depositor: nobody takes it over by writing it again. The depositor of
    /// an item says what it is. (Who was permitted to change it does, too: the ledger knows who was.)
    fn add_deposit(&mut self, item: &DepositedItem, meta: &Meta) {
        match self.deposits.get_mut(&item.id) {
            None => _ = self.deposits.insert(item.id.clone(), item.clone()),
            Some(known) if !known.is_by(&meta.signer) => {}
            Some(known) => {
                known.category.clone_from(&item.category);
                known.labels.clone_from(&item.labels);
            }
        }
    }
}

/// An item that is set already keeps its first record.
fn set_all<'a, K: Ord + Clone + 'a>(map: &mut BTreeMap<K, Stamp>, keys: impl IntoIterator<Item = &'a K>, stamp: Stamp) {
    for key in keys {
        map.entry(key.clone()).or_insert(stamp);
    }
}

/// The same of items.
fn set_items(all: &mut ByItem<Stamp>, items: &[String], stamp: Stamp) {
    for item in items.iter() {
        if !all.contains(item) {
            all.insert(item, stamp);
        }
    }
}
