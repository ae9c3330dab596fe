//! The closed lists of consent: what can be done, in which case, as what, with which powers.

/// An enum whose variants are tokens, in JSON and in messages alike.
macro_rules! tokens {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $token:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $token)] $variant,)* }

        impl $name {
            /// Every one of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The token.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $token,)* }
            }

            /// The one with this token.
            pub fn from_token(token: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == token)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use tokens;

use crate::kind::Kind;

tokens! {
    /// An action on an item.
    Action {
        /// Its content is shown.
        Read "read",
        /// It is looked for.
        Search "search",
        /// It is deposited.
        Write "write",
        /// It is changed.
        Update "update",
        /// A copy is taken.
        Download "download",
        /// It is printed.
        Print "print",
        /// It leaves for another system.
        Export "export",
        /// It is deleted.
        Delete "delete",
    }
}

impl Action {
    /// Tells whether it *consults*: read, search, download, print.
    pub const fn consults(self) -> bool {
        matches!(self, Self::Read | Self::Search | Self::Download | Self::Print)
    }

    /// The action that a record of an access tells of. A movement is an export.
    pub const fn of_kind(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::ACCESS_READ => Self::Read,
            Kind::ACCESS_SEARCH => Self::Search,
            Kind::ACCESS_WRITE => Self::Write,
            Kind::ACCESS_UPDATE => Self::Update,
            Kind::ACCESS_DOWNLOAD => Self::Download,
            Kind::ACCESS_PRINT => Self::Print,
            Kind::ACCESS_DELETE => Self::Delete,
            Kind::ACCESS_EXPORT
            | Kind::MOVEMENT_THIRD_PARTY
            | Kind::MOVEMENT_APP_SYNC
            | Kind::MOVEMENT_RESEARCH
            | Kind::MOVEMENT_SNDS => Self::Export,
            _ => return None,
        })
    }
}

tokens! {
    /// The effect of a directive.
    Effect {
        /// It allows.
        Permit "permit",
        /// It forbids.
        Deny "deny",
    }
}

tokens! {
    /// The cases in which the glass may be broken (CSP L1111-17, R1111-48).
    Case {
        /// The patient can't express their will, and waiting is a danger.
        Incapacity "INCAPACITY",
        /// The doctor who regulates a call to the Samu.
        Samu "SAMU",
        /// A doctor of the fire brigade on the spot.
        Fire "FIRE",
    }
}

tokens! {
    /// The relation of a representative to the patient.
    Relation {
        /// Holder of parental authority.
        Parent "PARENT",
        /// Guardian by a judge's order.
        Guardian "GUARDIAN",
        /// Helps, and has the powers that the patient gives.
        Caregiver "CAREGIVER",
        /// *Personne de confiance*: has no powers until they are activated.
        TrustedPerson "TRUSTED_PERSON",
    }
}

impl Relation {
    /// Registered by the authority alone, and for a time only.
    pub const fn is_of_law(self) -> bool {
        matches!(self, Self::Parent | Self::Guardian)
    }
}

tokens! {
    /// A power that a representative has in the patient's place.
    Power {
        /// Read, search, download and print.
        Read "read",
        /// Deposit.
        Write "write",
        /// Change.
        Update "update",
        /// Delete.
        Delete "delete",
        /// Export.
        Export "export",
        /// Sign what the patient signs: directives, limits, masks, people.
        Consent "consent",
    }
}

impl Power {
    /// Tells whether the power allows the action.
    pub const fn covers(self, action: Action) -> bool {
        match self {
            Self::Read => action.consults(),
            Self::Write => matches!(action, Action::Write),
            Self::Update => matches!(action, Action::Update),
            Self::Delete => matches!(action, Action::Delete),
            Self::Export => matches!(action, Action::Export),
            Self::Consent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_but_no_consent_is_covered_by_one_power() {
        for action in Action::ALL {
            let powers: Vec<_> = Power::ALL.iter().filter(|power| power.covers(*action)).collect();
            assert_eq!(powers.len(), 1, "{action}: {powers:?}");
            assert_eq!(action.consults(), *powers[0] == Power::Read, "{action}");
        }
    }

    #[test]
    fn every_access_and_movement_is_an_action() {
        for kind in Kind::ALL {
            assert_eq!(Action::of_kind(*kind).is_some(), kind.is_access() || kind.is_movement(), "{kind}");
        }
    }
}
