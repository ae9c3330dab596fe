//! How many records that decide one tag may have.
//!
//! Whoever may sign can go on and on: give and take back, break the glass and close it. Each time a patient's state isn't
//! in memory, all of it is opened anew, so it is bounded. What gives access is refused first; what takes it away, ends
//! something has as much room again; beyond that there is room for emergencies, and then for what the patient signs with a
//! key of their own: what any author may sign fills up neither.

use super::admit::RuleRefusal;
use super::event::Event;
use super::token::Effect;
use super::{Directive, Meta};
use crate::codes::Code;

/// Records of one tag from which on what gives access is refused.
pub const RECORDS_MAX: usize = 50_000;
/// Records of one tag from which on what takes access away or ends something is refused too.
pub const NARROWING_RECORDS_MAX: usize = 100_000;
/// Records of one tag from which on the glass can't be broken any more.
pub const EMERGENCY_RECORDS_MAX: usize = 200_000;
/// Records of one tag from which on the patient's own key can't take access away either.
pub const OWN_RECORDS_MAX: usize = 250_000;

/// How many records that decide one tag may have, by what they do. Every node of a group has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordCaps {
    /// Of any kind.
    pub any: usize,
    /// Of what takes access away or ends something.
    pub narrowing: usize,
    /// Of break-glass.
    pub emergency: usize,
    /// Of what takes access away, signed with the patient's own key.
    pub own: usize,
}

impl Default for RecordCaps {
    fn default() -> Self {
        Self {
            any: RECORDS_MAX,
            narrowing: NARROWING_RECORDS_MAX,
            emergency: EMERGENCY_RECORDS_MAX,
            own: OWN_RECORDS_MAX,
        }
    }
}

impl RecordCaps {
    /// Checks that a tag with so many records that decide may have one more. Erased ones count: they are there.
    ///
    /// # Errors
    /// `TOO_MANY_RULES`.
    pub fn check(&self, records: usize, event: &Event, meta: &Meta) -> Result<(), RuleRefusal> {
        let max = match sort(event) {
            Sort::Widening => self.any,
            Sort::Emergency => self.emergency,
            Sort::Narrowing if meta.patient_key => self.own,
            Sort::Narrowing => self.narrowing,
        };
        match records < max {
            true => Ok(()),
            false => {
                let message =
                    format!("the patient has {records} records that decide, and at most {max} with one of this kind");
                Err(RuleRefusal { code: Code::TooManyRules, message })
            }
        }
    }
}

/// The thing that a record is about, for its room.
enum Sort {
    /// It gives access.
    Widening,
    /// It takes access away or ends something.
    Narrowing,
    /// It comes with an emergency.
    Emergency,
}

fn sort(event: &Event) -> Sort {
    match event {
        Event::Directive(directive) if only_denies(directive) => Sort::Narrowing,
        Event::SpaceOpposed
        | Event::SpaceClosed
        | Event::Revoked { .. }
        | Event::EmergencyOpposed { .. }
        | Event::Blocked { .. }
        | Event::Masked { .. }
        | Event::Released { .. }
        | Event::FeedOpposed(_)
        | Event::RepresentationEnded { .. }
        | Event::SecrecySet { .. }
        | Event::Left { .. }
        | Event::AttendingEnded { .. } => Sort::Narrowing,
        Event::BreakGlassOpened(_)
        | Event::BreakGlassJustified { .. }
        | Event::BreakGlassClosed { .. }
        | Event::BreakGlassReviewed { .. } => Sort::Emergency,
        Event::Directive(_)
        | Event::SpaceOpened
        | Event::EmergencyLifted { .. }
        | Event::Unblocked { .. }
        | Event::Unmasked { .. }
        | Event::Embargoed { .. }
        | Event::FeedLifted(_)
        | Event::Represented(_)
        | Event::SecrecyLifted { .. }
        | Event::Joined(_)
        | Event::DeviceRegistered(_)
        | Event::AttendingDeclared { .. } => Sort::Widening,
        // Not counted: it happened, or is no patient's.
        Event::Deposit(_) | Event::ItemsDeleted(_) => Sort::Narrowing,
        Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => Sort::Narrowing,
    }
}

/// An exception from a denial permits.
fn only_denies(directive: &Directive) -> bool {
    let mut provisions = std::iter::once(&directive.provision).chain(&directive.except);
    provisions.all(|provision| provision.effect == Effect::Deny)
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

    use super::*;
    use crate::consent::Actor;

    fn meta(patient_key: bool) -> Meta {
        let (index, time, signer) = (LeafIndex(1), LedgerTimeMs(1), Actor::patient());
        Meta {
            index,
            time,
            signer,
            authority: false,
            patient_key,
            authenticated: true,
            will: None,
            party: None,
            server: None,
        }
    }

    fn directive(details: &str) -> Event {
        Event::Directive(Box::new(Directive::parse(details).expect("a directive")))
    }

    #[test]
    fn what_gives_access_is_refused_first_and_the_patients_own_key_last() {
        let dr = r#""grantee": {"professional": "urn:oid:1.2.250.1.71.4.2.1|10100000017"}, "actions": ["read"]"#;
        let permit = directive(&format!(r#"{{"id": "p", "effect": "permit", {dr}}}"#));
        let deny = directive(r#"{"id": "d", "effect": "deny", "grantee": "anyone"}"#);
        let excepted = format!(
            r#"{{"id": "e", "effect": "deny", "grantee": "anyone", "except": [{{"effect": "permit", {dr}}}]}}"#
        );
        let unmask = Event::Unmasked { items: vec!["d1".into()] };
        let mask = Event::Masked { items: vec!["d1".into()] };
        let caps = RecordCaps::default();
        for (event, own, max) in [
            (&permit, false, RECORDS_MAX),
            (&permit, true, RECORDS_MAX),
            (&directive(&excepted), false, RECORDS_MAX),
            (&unmask, true, RECORDS_MAX),
            (&deny, false, NARROWING_RECORDS_MAX),
            (&mask, false, NARROWING_RECORDS_MAX),
            (&Event::BreakGlassClosed { breakglass: "bg".into() }, false, EMERGENCY_RECORDS_MAX),
            (&Event::BreakGlassClosed { breakglass: "bg".into() }, true, EMERGENCY_RECORDS_MAX),
            (&deny, true, OWN_RECORDS_MAX),
            (&mask, true, OWN_RECORDS_MAX),
        ] {
            assert_eq!(caps.check(max - 1, event, &meta(own)), Ok(()), "{event:?}");
            let refusal = caps.check(max, event, &meta(own)).expect_err("one too many");
            assert_eq!(refusal.code, Code::TooManyRules, "{event:?}");
        }
    }
}
