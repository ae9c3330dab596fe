//! The roles of a party: a set, as bits in the ledger. A role is as small as the job: a stolen key does what its job
//! needs, and no more.
//!
//! [`SIGNERS`] is the one table of who may sign which kind. `docs/consent.md` has the same table, and what must prove each;
//! a test compares them.

use std::fmt;
use std::ops::BitOr;

use crate::kind::{Group, Kind};

/// A set of roles. Holds known bits only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Roles(u32);

/// Bits that name no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: the roles are {GIVEN_OUT}; author is of logs of before")]
pub struct UnknownRole(String);

/// The roles that an authority gives out, as a command line lists them.
pub const GIVEN_OUT: &str = "recorder, decider, emergency, reviewer, consent-desk, identity, login, portal, tag, reader, patient, auditor, operator, authority";

/// Each role with its name, in the order of their bits.
const TABLE: [(Roles, &str); 15] = [
    (Roles::AUTHOR, "author"),
    (Roles::TAG, "tag"),
    (Roles::READER, "reader"),
    (Roles::PATIENT, "patient"),
    (Roles::AUDITOR, "auditor"),
    (Roles::OPERATOR, "operator"),
    (Roles::AUTHORITY, "authority"),
    (Roles::RECORDER, "recorder"),
    (Roles::DECIDER, "decider"),
    (Roles::EMERGENCY, "emergency"),
    (Roles::REVIEWER, "reviewer"),
    (Roles::CONSENT_DESK, "consent-desk"),
    (Roles::IDENTITY, "identity"),
    (Roles::LOGIN, "login"),
    (Roles::PORTAL, "portal"),
];

impl Roles {
    /// No role: the party is ended.
    pub const NONE: Self = Self(0);
    /// Of logs of before: signs every record and asks for decisions, for whomever it names. Not given out any more from
    /// feature level 3 on.
    pub const AUTHOR: Self = Self(1);
    /// Resolves identities to tags.
    pub const TAG: Self = Self(2);
    /// Reads the traces of patients on their behalf.
    pub const READER: Self = Self(4);
    /// Reads one patient's trace: its own. Signs what this patient decides.
    pub const PATIENT: Self = Self(8);
    /// Reads every entry, and no payload but through a trace.
    pub const AUDITOR: Self = Self(16);
    /// Sees the state of the cluster.
    pub const OPERATOR: Self = Self(32);
    /// Registers parties and keys.
    pub const AUTHORITY: Self = Self(64);
    /// Records accesses, deposits and movements of its own structures.
    pub const RECORDER: Self = Self(128);
    /// Asks for decisions, for actors of its own structures.
    pub const DECIDER: Self = Self(256);
    /// Opens, justifies and closes break-glasses of its own structures.
    pub const EMERGENCY: Self = Self(512);
    /// Reviews break-glasses that other parties opened.
    pub const REVIEWER: Self = Self(1_024);
    /// Signs what patients decide, with what proves that they do.
    pub const CONSENT_DESK: Self = Self(2_048);
    /// Links and corrects identities.
    pub const IDENTITY: Self = Self(4_096);
    /// Opens sessions of patients, each with the login that proves it. From feature level 5 on.
    pub const LOGIN: Self = Self(8_192);
    /// Reads one patient and signs what that patient decides, under an open session alone. From feature level 5 on.
    pub const PORTAL: Self = Self(16_384);
    /// Every role.
    pub const ALL: Self = Self(32_767);
    /// The roles that there were before feature level 5.
    pub const BEFORE_DOORS: Self = Self(8_191);
    /// The roles that there were before feature level 3.
    pub const OF_BEFORE: Self = Self(127);
    /// The roles of services that sign records on their own. A portal signs under a session.
    pub const SIGNING: Self = Self::AUTHOR
        .with(Self::RECORDER)
        .with(Self::EMERGENCY)
        .with(Self::REVIEWER)
        .with(Self::CONSENT_DESK)
        .with(Self::IDENTITY)
        .with(Self::LOGIN);
    /// The roles of services that ask for decisions.
    pub const ASKING: Self = Self::AUTHOR.with(Self::DECIDER);

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

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without the roles of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Tells whether every role of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Tells whether at least one role of `other` is in the set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Tells whether a party with these roles may sign records of this kind, for any patient. The needs of an act of the
    /// authority are another affair, and so are those of a patient's own device.
    pub fn may_sign(self, kind: Kind) -> bool {
        self.contains(Self::AUTHOR) || Self(self.0 & !Self::PATIENT.0).intersects(signers(kind))
    }

    /// The same in a group of this feature level: below 4, a recorder signed `log.consulted` too, which is the ledger's.
    pub fn may_sign_at(self, kind: Kind, level: u32) -> bool {
        self.may_sign(kind) || level < 4 && kind == Kind::LOG_CONSULTED && self.contains(Self::RECORDER)
    }

    /// Tells whether a patient's own device may sign records of this kind under the patient's tags: what the patient
    /// decides. The actor of such a record is the patient and nobody else, for the device vouches for nobody else.
    pub fn may_decide(self, kind: Kind) -> bool {
        let decides = matches!(kind.group(), Group::Space | Group::Consent | Group::Limits | Group::People);
        decides && self.contains(Self::PATIENT)
    }

    /// Tells whether the party vouches for its own actors alone: all but those that have the role author from before.
    pub const fn is_bound(self) -> bool {
        !self.contains(Self::AUTHOR)
    }

    /// Tells whether the set has no role.
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

const NOBODY: Roles = Roles::NONE;
const RECORDER: Roles = Roles::RECORDER;
const EMERGENCY: Roles = Roles::EMERGENCY;
const REVIEWER: Roles = Roles::REVIEWER;
const IDENTITY: Roles = Roles::IDENTITY;
const AUTHORITY: Roles = Roles::AUTHORITY;
/// A decision of a patient, signed at a desk, on the patient's own device, or in a portal under a session.
const PATIENTS: Roles = DESK.with(Roles::PATIENT).with(PORTAL);
/// The same, which a judge or a law may decide in the patient's place.
const PATIENTS_OR_LAW: Roles = PATIENTS.with(AUTHORITY);
const DESK: Roles = Roles::CONSENT_DESK;
const LOGIN: Roles = Roles::LOGIN;
const PORTAL: Roles = Roles::PORTAL;
/// The questions of patients to those who answer for a line.
const ASKS_WHY: Roles = DESK.with(PORTAL);
/// Records that follow from another: the party that recorded that one, or serves the patient, tells of it.
const TELLS: Roles = RECORDER.with(DESK);
/// A statement of a system about itself.
const SYSTEMS: Roles = RECORDER.with(EMERGENCY);

/// The roles that may sign each kind, in the order of the kinds. Nobody's kinds are made by the ledger alone. The role
/// patient signs under its own patient's tags; the role author, of before, may sign all but acts.
pub const SIGNERS: [(Kind, Roles); Kind::ALL.len()] = [
    (Kind::SPACE_OPENED, PATIENTS),
    (Kind::SPACE_OPPOSED, PATIENTS),
    (Kind::SPACE_CLOSED, PATIENTS),
    (Kind::CONSENT_DIRECTIVE, PATIENTS),
    (Kind::CONSENT_REVOKED, PATIENTS),
    (Kind::EMERGENCY_OPPOSITION, PATIENTS),
    (Kind::EMERGENCY_OPPOSITION_LIFTED, PATIENTS),
    (Kind::PROFESSIONAL_BLOCKED, PATIENTS),
    (Kind::PROFESSIONAL_UNBLOCKED, PATIENTS),
    (Kind::ITEM_MASKED, PATIENTS),
    (Kind::ITEM_UNMASKED, PATIENTS),
    (Kind::ITEM_EMBARGOED, RECORDER),
    (Kind::ITEM_RELEASED, RECORDER),
    (Kind::FEED_OPPOSED, PATIENTS),
    (Kind::FEED_OPPOSITION_LIFTED, PATIENTS),
    (Kind::REPRESENTATION_REGISTERED, PATIENTS_OR_LAW),
    (Kind::REPRESENTATION_ENDED, PATIENTS_OR_LAW),
    (Kind::MINOR_SECRECY_SET, PATIENTS),
    (Kind::MINOR_SECRECY_LIFTED, PATIENTS),
    (Kind::CARETEAM_JOINED, PATIENTS),
    (Kind::CARETEAM_LEFT, PATIENTS),
    (Kind::ATTENDING_DECLARED, PATIENTS),
    (Kind::ATTENDING_ENDED, PATIENTS),
    (Kind::BREAKGLASS_OPENED, EMERGENCY),
    (Kind::BREAKGLASS_JUSTIFIED, EMERGENCY),
    (Kind::BREAKGLASS_CLOSED, EMERGENCY),
    (Kind::BREAKGLASS_REVIEWED, REVIEWER),
    (Kind::ACCESS_READ, RECORDER),
    (Kind::ACCESS_SEARCH, RECORDER),
    (Kind::ACCESS_WRITE, RECORDER),
    (Kind::ACCESS_UPDATE, RECORDER),
    (Kind::ACCESS_DOWNLOAD, RECORDER),
    (Kind::ACCESS_PRINT, RECORDER),
    (Kind::ACCESS_EXPORT, RECORDER),
    (Kind::ACCESS_DELETE, RECORDER),
    (Kind::MOVEMENT_THIRD_PARTY, RECORDER),
    (Kind::MOVEMENT_APP_SYNC, RECORDER),
    (Kind::MOVEMENT_RESEARCH, RECORDER),
    (Kind::MOVEMENT_SNDS, RECORDER),
    (Kind::DECISION_MADE, NOBODY),
    (Kind::NOTIFICATION_QUEUED, TELLS),
    (Kind::NOTIFICATION_DELIVERED, TELLS),
    (Kind::NOTIFICATION_FAILED, TELLS),
    (Kind::NOTIFICATION_READ, TELLS),
    (Kind::CONTEST_OPENED, ASKS_WHY),
    (Kind::CONTEST_ANSWERED, TELLS),
    (Kind::LOG_CONSULTED, NOBODY),
    (Kind::SESSION_OPENED, LOGIN),
    (Kind::SESSION_CLOSED, LOGIN.with(PORTAL)),
    (Kind::CONTEST_CLOSED, ASKS_WHY),
    (Kind::KEY_REGISTERED, AUTHORITY),
    (Kind::KEY_ROTATED, AUTHORITY),
    (Kind::KEY_REVOKED, AUTHORITY),
    (Kind::ROLE_CHANGED, AUTHORITY),
    (Kind::CATALOGUE_PUBLISHED, AUTHORITY),
    (Kind::POLICY_PUBLISHED, AUTHORITY),
    (Kind::MATRIX_PUBLISHED, AUTHORITY),
    (Kind::IDENTITY_LINKED, IDENTITY),
    (Kind::IDENTITY_CORRECTED, IDENTITY),
    (Kind::PAYLOAD_ERASED, AUTHORITY),
    (Kind::INDEX_COMMIT, NOBODY),
    (Kind::LOG_CLOSED, NOBODY),
    (Kind::SYSTEM_EVENT, SYSTEMS),
    (Kind::GENESIS, NOBODY),
    (Kind::NODE_SET_CHANGED, AUTHORITY),
    (Kind::VOUCHING_CHANGED, AUTHORITY),
    (Kind::ISSUER_PUBLISHED, AUTHORITY),
    (Kind::RECORDS_VOIDED, AUTHORITY),
    (Kind::AUTHORITY_RULE, AUTHORITY),
    (Kind::DEVICE_REGISTERED, AUTHORITY),
    (Kind::SOURCES_LISTED, AUTHORITY),
    (Kind::SOURCE_HEARTBEAT, RECORDER),
];

/// The roles that may sign records of this kind.
pub fn signers(kind: Kind) -> Roles {
    let row = SIGNERS.binary_search_by_key(&kind, |(kind, _)| *kind);
    SIGNERS[row.expect("the table has every kind")].1
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
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
#[path = "roles_tests.rs"]
mod tests;
