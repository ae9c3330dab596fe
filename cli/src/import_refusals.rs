//! Which refusals by the ledger are of one record, so that the rest of an import goes on, and which element each is about.

/// Codes by which the ledger refuses one record and not its whole batch's author, and the element of a Consent that each
/// is about.
const OF_ONE_RECORD: [(&str, &str); 30] = [
    ("MALFORMED_RECORD", ""),
    ("UNKNOWN_KIND", ""),
    ("KIND_RESERVED", ""),
    ("RECORD_TOO_LARGE", ""),
    ("TIME_AHEAD", ""),
    ("INVALID_INS", "Consent.patient"),
    ("TEST_INS_REFUSED", "Consent.patient"),
    ("TAG_OUT_OF_RANGE", "Consent.patient"),
    ("SPACE_CLOSED", "Consent.patient"),
    ("AUTHENTICATION_MISSING", "Consent.performer"),
    ("NOT_ENTITLED", "Consent.performer"),
    ("NOT_VOUCHED", "Consent.performer"),
    ("ACTOR_RESERVED", "Consent.performer"),
    ("INVALID_SPELLING", "Consent.provision"),
    ("ID_TAKEN", "Consent.id"),
    ("TOO_MANY_DIRECTIVES", "Consent"),
    ("UNKNOWN_REFERENCE", "Consent.status"),
    ("ITEM_CONTRADICTS", ""),
    ("PATIENT_ERASED", "Consent.patient"),
    ("INVALID_UTF8", ""),
    ("REASON_MISSING", "Consent.extension"),
    ("INVALID_IDENTIFIER", "Consent.provision.actor"),
    ("UNKNOWN_TOKEN", "Consent.provision"),
    ("PERMIT_ANYONE", "Consent.provision.actor"),
    ("ACTIONS_MISSING", "Consent.provision.action"),
    ("UNTIL_MISSING", "Consent.provision.period"),
    ("EMPTY_PERIOD", "Consent.provision.period"),
    ("TOO_MANY_RULES", "Consent"),
    ("ATTENDING", "Consent.extension"),
    ("REPRESENTATION_CYCLE", "Consent.extension"),
];

/// The element that a code is about by which the ledger refuses one record; none of another code.
pub(super) fn of_one_record(code: &str) -> Option<&'static str> {
    OF_ONE_RECORD.into_iter().find(|(known, _)| *known == code).map(|(_, path)| path)
}
