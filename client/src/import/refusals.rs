//! Which refusals by the ledger are of one record, so that the rest of an import goes on, and which element each is about.

use sillage_rules::codes::Code;

use crate::error::ErrorCode;

/// Codes by which the ledger refuses one record and not its whole batch's author, and the element of a Consent that each
/// is about.
const OF_ONE_RECORD: [(Code, &str); 29] = [
    (Code::MalformedRecord, ""),
    (Code::UnknownKind, ""),
    (Code::KindReserved, ""),
    (Code::RecordTooLarge, ""),
    (Code::TimeAhead, ""),
    (Code::InvalidIns, "Consent.patient"),
    (Code::TestInsRefused, "Consent.patient"),
    (Code::TagOutOfRange, "Consent.patient"),
    (Code::AuthenticationMissing, "Consent.performer"),
    (Code::NotEntitled, "Consent.performer"),
    (Code::NotVouched, "Consent.performer"),
    (Code::ActorReserved, "Consent.performer"),
    (Code::InvalidSpelling, "Consent.provision"),
    (Code::IdTaken, "Consent.id"),
    (Code::TooManyDirectives, "Consent"),
    (Code::UnknownReference, "Consent.status"),
    (Code::ItemContradicts, ""),
    (Code::PatientErased, "Consent.patient"),
    (Code::InvalidUtf8, ""),
    (Code::ReasonMissing, "Consent.extension"),
    (Code::InvalidIdentifier, "Consent.provision.actor"),
    (Code::UnknownToken, "Consent.provision"),
    (Code::PermitAnyone, "Consent.provision.actor"),
    (Code::ActionsMissing, "Consent.provision.action"),
    (Code::UntilMissing, "Consent.provision.period"),
    (Code::EmptyPeriod, "Consent.provision.period"),
    (Code::TooManyRules, "Consent"),
    (Code::Attending, "Consent.extension"),
    (Code::RepresentationCycle, "Consent.extension"),
];

/// Tells whether the ledger refuses one record with this code, and takes the others of its batch. Who has no right to record anything is
/// refused with `NOT_ENTITLED` too: what is recorded alone then tells one from the other.
pub fn is_of_one_record(code: &ErrorCode) -> bool {
    of_one_record(code).is_some()
}

/// The element that a code is about by which the ledger refuses one record; none of another code.
pub(super) fn of_one_record(code: &ErrorCode) -> Option<&'static str> {
    OF_ONE_RECORD.into_iter().find(|(known, _)| code == known).map(|(_, path)| path)
}
