//! A patient as a caller names one.

/// A patient's INS and OID, and which of its two traces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagRequest {
    /// 15 characters.
    pub ins: String,
    /// The OID of the INS.
    pub oid: String,
    /// The trace that a minor keeps from representatives.
    pub secret: bool,
}
