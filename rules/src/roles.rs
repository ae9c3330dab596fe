//! What a party may do: a set of roles, as bits in the ledger.

use std::fmt;
use std::ops::BitOr;

use crate::kind::{Group, Kind};

/// A set of roles. Holds known bits only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Roles(u32);

/// Bits that name no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: the roles are author, tag, reader, patient, auditor, operator, authority")]
pub struct UnknownRole(String);

/// Each role with its name, in the order of their bits.
const TABLE: [(Roles, &str); 7] = [
    (Roles::AUTHOR, "author"),
    (Roles::TAG, "tag"),
    (Roles::READER, "reader"),
    (Roles::PATIENT, "patient"),
    (Roles::AUDITOR, "auditor"),
    (Roles::OPERATOR, "operator"),
    (Roles::AUTHORITY, "authority"),
];

impl Roles {
    /// No role: the party is ended.
    pub const NONE: Self = Self(0);
    /// Signs records, knows both tags of a patient.
    pub const AUTHOR: Self = Self(1);
    /// Resolves identities to tags.
    pub const TAG: Self = Self(2);
    /// Reads the traces of patients on their behalf.
    pub const READER: Self = Self(4);
    /// Reads one patient's trace: its own.
    pub const PATIENT: Self = Self(8);
    /// Reads every entry, and no payload but through a trace.
    pub const AUDITOR: Self = Self(16);
    /// Sees the state of the cluster.
    pub const OPERATOR: Self = Self(32);
    /// Registers parties and keys.
    pub const AUTHORITY: Self = Self(64);
    /// Every role.
    pub const ALL: Self = Self(127);

    /// The set with these bits.
    ///
    /// # Errors
    /// When a bit is set that names no role.
    pub fn from_bits(bits: u32) -> Result<Self, UnknownRole> {
        if bits & !Self::ALL.0 != 0 {
            return Err(UnknownRole(format!("unknown role bits {bits:#x}")));
        }
        Ok(Self(bits))
    }

    /// The bits, as they stand in the ledger.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every role of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether at least one role of `other` is in the set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a party with these roles may sign records of this kind. What an act of the authority needs is another affair.
    pub fn may_sign(self, kind: Kind) -> bool {
        let by_authority = matches!(
            kind,
            Kind::POLICY_PUBLISHED
                | Kind::MATRIX_PUBLISHED
                | Kind::CATALOGUE_PUBLISHED
                | Kind::REPRESENTATION_REGISTERED
                | Kind::REPRESENTATION_ENDED
        );
        self.contains(Self::AUTHOR) || by_authority && self.contains(Self::AUTHORITY)
    }

    /// Whether a patient's own device may sign records of this kind under the patient's tags: what the patient decides. The
    /// actor of such a record is the patient and nobody else, for the device vouches for nobody else.
    pub fn may_decide(self, kind: Kind) -> bool {
        let decides = matches!(kind.group(), Group::Space | Group::Consent | Group::Limits | Group::People);
        decides && self.contains(Self::PATIENT)
    }

    /// Whether the set has no role.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the roles, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        TABLE.into_iter().filter(move |(role, _)| self.contains(*role)).map(|(_, name)| name)
    }

    /// The set with these names.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownRole> {
        let mut roles = Self::NONE;
        for name in names {
            let row = TABLE.iter().find(|(_, known)| *known == name);
            let (role, _) = row.ok_or_else(|| UnknownRole(format!("unknown role {name:?}")))?;
            roles = roles | *role;
        }
        Ok(roles)
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_agree() {
        let roles = Roles::AUTHOR | Roles::AUDITOR;
        assert_eq!(roles.bits(), 17);
        assert_eq!(roles.to_string(), "author,auditor");
        assert_eq!(Roles::from_names(roles.names()), Ok(roles));
        assert_eq!(Roles::from_names(Roles::ALL.names()), Ok(Roles::ALL));
        assert_eq!(Roles::NONE.to_string(), "none");
        assert!(roles.contains(Roles::AUTHOR) && !roles.contains(Roles::ALL));
        assert!(roles.intersects(Roles::ALL) && !roles.intersects(Roles::TAG));
    }

    #[test]
    fn the_authority_signs_what_holds_for_all_and_who_stands_for_whom() {
        assert!(Kind::ALL.iter().all(|kind| Roles::AUTHOR.may_sign(*kind)));
        assert!(Roles::AUTHORITY.may_sign(Kind::POLICY_PUBLISHED));
        assert!(Roles::AUTHORITY.may_sign(Kind::REPRESENTATION_REGISTERED));
        assert!(!Roles::AUTHORITY.may_sign(Kind::CONSENT_DIRECTIVE) && !Roles::AUTHORITY.may_sign(Kind::ACCESS_READ));
        assert!(!Kind::ALL.iter().any(|kind| (Roles::READER | Roles::PATIENT).may_sign(*kind)));
    }

    #[test]
    fn a_patients_device_decides_and_records_nothing_else() {
        assert!(Roles::PATIENT.may_decide(Kind::CONSENT_DIRECTIVE) && Roles::PATIENT.may_decide(Kind::SPACE_CLOSED));
        assert!(!Roles::PATIENT.may_decide(Kind::ACCESS_READ) && !Roles::PATIENT.may_decide(Kind::BREAKGLASS_OPENED));
        assert!(!Kind::ALL.iter().any(|kind| Roles::READER.may_decide(*kind)));
    }

    #[test]
    fn what_names_no_role_is_refused() {
        assert!(Roles::from_bits(128).is_err());
        assert!(Roles::from_bits(u32::MAX).is_err());
        assert!(Roles::from_names(["author", "king"]).is_err());
    }
}
