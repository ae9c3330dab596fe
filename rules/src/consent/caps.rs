//! How many records that decide one tag may have.
//!
//! Whoever may sign can go on and on: give and take back, break the glass and close it. Each time a patient's state isn't
//! in memory, all of it is opened anew, so it is bounded. What gives access is refused first; what takes it away, ends
//! something or can't wait has as much room again; and beyond that there is room for what the patient signs with a key of
//! their own, so that no author can fill it up against them.

use super::admit::RuleRefusal;
use super::event::Event;
use super::token::Effect;
use super::{Directive, Meta};
use crate::codes::Code;

/// Records of one tag from which on what gives access is refused.
pub const RECORDS_MAX: usize = 50_000;
/// Records of one tag from which on what takes access away, ends something or can't wait is refused too.
pub const NARROWING_RECORDS_MAX: usize = 100_000;
/// Records of one tag from which on the patient's own key can't take access away either.
pub const OWN_RECORDS_MAX: usize = 150_000;

/// How many records that decide one tag may have, by what they do. Every node of a group has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordCaps {
    /// Of any kind.
    pub any: usize,
    /// Of what [`cannot_wait`].
    pub narrowing: usize,
    /// Of that, signed with the patient's own key.
    pub own: usize,
}

impl Default for RecordCaps {
    fn default() -> Self {
        Self { any: RECORDS_MAX, narrowing: NARROWING_RECORDS_MAX, own: OWN_RECORDS_MAX }
    }
}

impl RecordCaps {
    /// Whether a tag with so many records that decide may have one more. Erased ones count: they are there.
    ///
    /// # Errors
    /// `TOO_MANY_RULES`.
    pub fn check(&self, records: usize, event: &Event, meta: &Meta) -> Result<(), RuleRefusal> {
        let max = match cannot_wait(event) {
            false => self.any,
            true if meta.patient_key => self.own,
            true => self.narrowing,
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

/// Whether it takes access away or ends something, or comes with an emergency.
fn cannot_wait(event: &Event) -> bool {
    match event {
        Event::Directive(directive) => only_denies(directive),
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
        | Event::AttendingEnded { .. }
        | Event::BreakGlassOpened(_)
        | Event::BreakGlassJustified { .. }
        | Event::BreakGlassClosed { .. }
        | Event::BreakGlassReviewed { .. } => true,
        Event::SpaceOpened
        | Event::EmergencyLifted { .. }
        | Event::Unblocked { .. }
        | Event::Unmasked { .. }
        | Event::Embargoed { .. }
        | Event::FeedLifted(_)
        | Event::Represented(_)
        | Event::SecrecyLifted { .. }
        | Event::Joined(_)
        | Event::AttendingDeclared { .. } => false,
        // Not counted: it happened, or is no patient's.
        Event::Deposit(_) | Event::ItemsDeleted(_) => true,
        Event::Policy(_) | Event::Matrix(_) | Event::Catalogue(_) => true,
    }
}

/// What is excepted from a denial is permitted.
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
        Meta { index, time, signer, authority: false, patient_key, authenticated: true }
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
            (&Event::BreakGlassClosed { breakglass: "bg".into() }, false, NARROWING_RECORDS_MAX),
            (&deny, true, OWN_RECORDS_MAX),
            (&mask, true, OWN_RECORDS_MAX),
        ] {
            assert_eq!(caps.check(max - 1, event, &meta(own)), Ok(()), "{event:?}");
            let refusal = caps.check(max, event, &meta(own)).expect_err("one too many");
            assert_eq!(refusal.code, Code::TooManyRules, "{event:?}");
        }
    }
}
