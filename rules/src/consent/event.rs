//! The meaning of a record for decisions: from a parsed record to an [`Event`].

use serde::Deserialize;
use sillage_proto::v1;

use super::details;
use super::directive::Directive;
use super::env::{Catalogue, Matrix, Policy};
use super::name::{Actor, ActorName};
use super::people::{BreakGlass, DepositedItem, Feed, Membership, Representation, Verdict};
use super::token::Case;
use crate::check;
use crate::device::DeviceRegistered;
use crate::error::RecordError;
use crate::kind::{Group, Kind};
use crate::limits::TEXT_BYTES_MAX;
use crate::record::ParsedRecord;
use crate::time::TimeMs;

/// The change that a record makes to decisions.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Event {
    /// `space.opened`
    SpaceOpened,
    /// `space.opposed`
    SpaceOpposed,
    /// `space.closed`
    SpaceClosed,
    /// `consent.directive`
    Directive(Box<Directive>),
    /// `consent.revoked`
    Revoked { consent: String },
    /// `emergency.opposition`
    EmergencyOpposed { cases: Vec<Case> },
    /// `emergency.opposition.lifted`
    EmergencyLifted { cases: Vec<Case> },
    /// `professional.blocked`
    Blocked { professional: ActorName },
    /// `professional.unblocked`
    Unblocked { professional: ActorName },
    /// `item.masked`
    Masked { items: Vec<String> },
    /// `item.unmasked`
    Unmasked { items: Vec<String> },
    /// `item.embargoed`
    Embargoed { items: Vec<String>, until: Option<TimeMs> },
    /// `item.released`
    Released { items: Vec<String> },
    /// `feed.opposed`
    FeedOpposed(Feed),
    /// `feed.opposition.lifted`
    FeedLifted(Feed),
    /// `representation.registered`
    Represented(Representation),
    /// `representation.ended`
    RepresentationEnded { representative: ActorName },
    /// `minor.secrecy.set`
    SecrecySet { items: Vec<String> },
    /// `minor.secrecy.lifted`
    SecrecyLifted { items: Vec<String> },
    /// `careteam.joined`
    Joined(Membership),
    /// `careteam.left`
    Left { professional: ActorName },
    /// `attending.declared`
    AttendingDeclared { professional: ActorName },
    /// `attending.ended`
    AttendingEnded { professional: ActorName },
    /// `breakglass.opened`
    BreakGlassOpened(Box<BreakGlass>),
    /// `breakglass.justified`
    BreakGlassJustified { breakglass: String, text: String },
    /// `breakglass.closed`
    BreakGlassClosed { breakglass: String },
    /// `breakglass.reviewed`
    BreakGlassReviewed { breakglass: String, verdict: Verdict },
    /// `device.registered`
    DeviceRegistered(Box<DeviceRegistered>),
    /// `access.write`, `access.update`: what was deposited or changed.
    Deposit(Vec<DepositedItem>),
    /// `access.delete`
    ItemsDeleted(Vec<String>),
    /// `policy.published`
    Policy(Box<Policy>),
    /// `matrix.published`
    Matrix(Matrix),
    /// `catalogue.published`
    Catalogue(Catalogue),
}

/// Tells whether apply opens the payload of such a record: what decisions, or checks of what was decided, rest on. Content
/// of other accesses is never opened there.
pub fn opens_at_apply(kind: Kind, basis: v1::BasisKind) -> bool {
    let on_a_decision = matches!(basis, v1::BasisKind::Decision | v1::BasisKind::Breakglass);
    match kind.group() {
        Group::Space | Group::Consent | Group::Limits | Group::People | Group::Emergency => true,
        Group::Access => {
            matches!(kind, Kind::ACCESS_WRITE | Kind::ACCESS_UPDATE | Kind::ACCESS_DELETE) || on_a_decision
        }
        Group::Movement => on_a_decision,
        Group::Ledger => {
            matches!(
                kind,
                Kind::POLICY_PUBLISHED | Kind::MATRIX_PUBLISHED | Kind::CATALOGUE_PUBLISHED | Kind::DEVICE_REGISTERED
            )
        }
        Group::Decision | Group::FollowUp => false,
    }
}

/// The items of a record that are looked up when it is applied: what they are, or whose, depends on what was deposited.
pub fn items_looked_up(record: &v1::Record) -> usize {
    let kinds = [Kind::ACCESS_WRITE, Kind::ACCESS_UPDATE, Kind::ITEM_EMBARGOED, Kind::ITEM_RELEASED];
    match kinds.iter().any(|kind| u32::from(kind.code()) == record.kind) {
        true => record.items.len(),
        false => 0,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentDetails {
    consent: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesDetails {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfessionalDetails {
    professional: ActorName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UntilDetails {
    #[serde(default)]
    until: Option<TimeMs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepresentativeDetails {
    representative: ActorName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakGlassDetails {
    breakglass: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    verdict: Option<Verdict>,
}

impl Event {
    /// The meaning of the record for decisions; `None` where its kind means nothing for them.
    ///
    /// # Errors
    /// With the path of what can't be understood. Accesses, which already happened, are never refused here.
    pub fn of(record: &ParsedRecord) -> Result<Option<Self>, RecordError> {
        let (kind, message) = (record.kind(), record.message());
        match kind {
            Kind::ACCESS_WRITE | Kind::ACCESS_UPDATE | Kind::ACCESS_DELETE if !succeeded(message) => return Ok(None),
            Kind::ACCESS_WRITE | Kind::ACCESS_UPDATE => return Ok(Some(Self::Deposit(deposits(message)))),
            Kind::ACCESS_DELETE => return Ok(Some(Self::ItemsDeleted(named_items(message)))),
            _ if !opens_at_apply(kind, v1::BasisKind::None) => return Ok(None),
            _ => {}
        }
        let details = message.details.as_str();
        let event = match kind {
            Kind::SPACE_OPENED => details::parse::<Nothing>(details).map(|_| Self::SpaceOpened)?,
            Kind::SPACE_OPPOSED => details::parse::<Nothing>(details).map(|_| Self::SpaceOpposed)?,
            Kind::SPACE_CLOSED => details::parse::<Nothing>(details).map(|_| Self::SpaceClosed)?,
            Kind::CONSENT_DIRECTIVE => Self::Directive(Box::new(Directive::parse(details)?)),
            Kind::CONSENT_REVOKED => {
                let ConsentDetails { consent } = details::parse(details)?;
                details::id("details.consent", &consent)?;
                Self::Revoked { consent }
            }
            Kind::EMERGENCY_OPPOSITION => Self::EmergencyOpposed { cases: cases(details)? },
            Kind::EMERGENCY_OPPOSITION_LIFTED => Self::EmergencyLifted { cases: cases(details)? },
            Kind::PROFESSIONAL_BLOCKED => Self::Blocked { professional: professional(details)? },
            Kind::PROFESSIONAL_UNBLOCKED => Self::Unblocked { professional: professional(details)? },
            Kind::ITEM_MASKED => Self::Masked { items: only_items(message)? },
            Kind::ITEM_UNMASKED => Self::Unmasked { items: only_items(message)? },
            Kind::ITEM_EMBARGOED => {
                let UntilDetails { until } = details::parse(details)?;
                Self::Embargoed { items: items(message)?, until }
            }
            Kind::ITEM_RELEASED => Self::Released { items: only_items(message)? },
            Kind::FEED_OPPOSED => Self::FeedOpposed(checked(details, Feed::check)?),
            Kind::FEED_OPPOSITION_LIFTED => Self::FeedLifted(checked(details, Feed::check)?),
            Kind::REPRESENTATION_REGISTERED => Self::Represented(checked(details, Representation::check)?),
            Kind::REPRESENTATION_ENDED => {
                let RepresentativeDetails { representative } = details::parse(details)?;
                Self::RepresentationEnded { representative }
            }
            Kind::MINOR_SECRECY_SET => Self::SecrecySet { items: only_items(message)? },
            Kind::MINOR_SECRECY_LIFTED => Self::SecrecyLifted { items: only_items(message)? },
            Kind::CARETEAM_JOINED => Self::Joined(checked(details, Membership::check)?),
            Kind::CARETEAM_LEFT => Self::Left { professional: professional(details)? },
            Kind::ATTENDING_DECLARED => Self::AttendingDeclared { professional: professional(details)? },
            Kind::ATTENDING_ENDED => Self::AttendingEnded { professional: professional(details)? },
            Kind::BREAKGLASS_OPENED => {
                let mut opened = checked(details, BreakGlass::check)?;
                opened.since = message.deferred.as_ref().map(|_| TimeMs(message.occurred_at_ms));
                Self::BreakGlassOpened(Box::new(opened))
            }
            Kind::BREAKGLASS_JUSTIFIED | Kind::BREAKGLASS_CLOSED | Kind::BREAKGLASS_REVIEWED => {
                after_breakglass(kind, details)?
            }
            Kind::DEVICE_REGISTERED => Self::DeviceRegistered(Box::new(checked(details, DeviceRegistered::check)?)),
            Kind::POLICY_PUBLISHED => Self::Policy(Box::new(checked(details, Policy::check)?)),
            Kind::MATRIX_PUBLISHED => Self::Matrix(checked(details, Matrix::check)?),
            Kind::CATALOGUE_PUBLISHED => Self::Catalogue(checked(details, Catalogue::check)?),
            _ => return Ok(None),
        };
        Actor::of(message)?;
        Ok(Some(event))
    }
}

/// Reads details and checks what JSON can't say.
fn checked<T: serde::de::DeserializeOwned>(
    details: &str,
    check: fn(&T) -> Result<(), RecordError>,
) -> Result<T, RecordError> {
    let value: T = details::parse(details)?;
    check(&value).map_err(|error| error.within("details"))?;
    Ok(value)
}

fn cases(details: &str) -> Result<Vec<Case>, RecordError> {
    let CasesDetails { cases } = details::parse(details)?;
    details::not_empty("details.cases", &cases)?;
    check::at_most("details.cases", cases.len(), Case::ALL.len())?;
    Ok(cases)
}

fn professional(details: &str) -> Result<ActorName, RecordError> {
    details::parse(details).map(|ProfessionalDetails { professional }| professional)
}

/// The ids of the items; each must have one, and there is one.
fn items(message: &v1::Record) -> Result<Vec<String>, RecordError> {
    details::not_empty("items", &message.items)?;
    for (at, item) in message.items.iter().enumerate() {
        details::id(&format!("items[{at}].id"), &item.id)?;
    }
    Ok(named_items(message))
}

fn only_items(message: &v1::Record) -> Result<Vec<String>, RecordError> {
    details::parse::<Nothing>(&message.details)?;
    items(message)
}

fn named_items(message: &v1::Record) -> Vec<String> {
    let ids = message.items.iter().map(|item| item.id.as_str());
    ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// Tells whether what the record tells of came about.
fn succeeded(message: &v1::Record) -> bool {
    matches!(v1::Outcome::try_from(message.outcome), Ok(v1::Outcome::Unspecified | v1::Outcome::Success))
}

/// The items that an access deposited. It happened: what can't be understood is left out, and nothing refused.
fn deposits(message: &v1::Record) -> Vec<DepositedItem> {
    let actor = Actor::of(message).ok();
    let named = message.items.iter().filter(|item| !item.id.is_empty());
    let deposited = named.map(|item| {
        let depositor = match item.depositor.as_str() {
            "" => actor.as_ref().map(|actor| actor.name.clone()),
            depositor => depositor.parse().ok(),
        };
        DepositedItem {
            id: item.id.clone(),
            category: item.category.clone(),
            labels: item.labels.clone(),
            depositor,
            organisation: actor.as_ref().and_then(|actor| actor.organisation.clone()),
        }
    });
    deposited.collect()
}

fn after_breakglass(kind: Kind, details: &str) -> Result<Event, RecordError> {
    let BreakGlassDetails { breakglass, text, verdict } = details::parse(details)?;
    details::id("details.breakglass", &breakglass)?;
    text.iter().try_for_each(|text| check::text("details.text", text, TEXT_BYTES_MAX))?;
    let unknown = |path: &str| Err(RecordError::malformed(path, "unknown field"));
    if kind != Kind::BREAKGLASS_REVIEWED && verdict.is_some() {
        return unknown("details.verdict");
    }
    match kind {
        Kind::BREAKGLASS_JUSTIFIED => {
            let text = text.unwrap_or_default();
            check::required("details.text", text.trim())?;
            Ok(Event::BreakGlassJustified { breakglass, text })
        }
        Kind::BREAKGLASS_CLOSED if text.is_some() => unknown("details.text"),
        Kind::BREAKGLASS_CLOSED => Ok(Event::BreakGlassClosed { breakglass }),
        _ => {
            let missing = || RecordError::malformed("details.verdict", "missing: JUSTIFIED or NOT_JUSTIFIED");
            Ok(Event::BreakGlassReviewed { breakglass, verdict: verdict.ok_or_else(missing)? })
        }
    }
}
