//! The words of a decision: reasons and obligations.

use crate::consent::tokens;

tokens! {
    /// Why an item is permitted or denied.
    Reason {
        /// The actor or its key is unknown, revoked or expired.
        InvalidActor "INVALID_ACTOR",
        /// The item is on record as another patient's.
        UnknownItem "UNKNOWN_ITEM",
        /// Not announced to the patient yet.
        Embargoed "EMBARGOED",
        /// Somebody else deposited it, and only they change or delete it.
        NotOwner "NOT_OWNER",
        /// The patient's own data.
        Own "SELF",
        /// Kept by a minor from representatives.
        MinorSecrecy "MINOR_SECRECY",
        /// In the patient's place.
        Representative "REPRESENTATIVE",
        /// The space is opposed or closed.
        SpaceClosed "SPACE_CLOSED",
        /// Nothing allows this purpose.
        PurposeBarred "PURPOSE_BARRED",
        /// The depositor sees it again.
        Depositor "DEPOSITOR",
        /// The profession is not entitled.
        Matrix "MATRIX",
        /// The application is not in the catalogue.
        NotCatalogued "NOT_CATALOGUED",
        /// The attending doctor.
        Attending "ATTENDING",
        /// Blocked by name.
        Blocked "BLOCKED",
        /// The patient opposed the emergency case.
        EmergencyOpposed "EMERGENCY_OPPOSED",
        /// The item is masked.
        Masked "MASKED",
        /// An open break-glass.
        BreakGlass "BREAK_GLASS",
        /// A directive denies it.
        ConsentDeny "CONSENT_DENY",
        /// The patient opposed the feed.
        FeedOpposed "FEED_OPPOSED",
        /// A directive permits it.
        ConsentGrant "CONSENT_GRANT",
        /// A member of the care team.
        CareTeam "CARE_TEAM",
        /// A professional deposits.
        DepositDefault "DEPOSIT_DEFAULT",
        /// A source that the policy lists deposits.
        LegalFeed "LEGAL_FEED",
        /// Nothing permits it.
        NoConsent "NO_CONSENT",
    }
}

impl Reason {
    /// Tells whether the item is permitted for it.
    pub const fn permits(self) -> bool {
        matches!(
            self,
            Self::Own
                | Self::Representative
                | Self::Depositor
                | Self::Attending
                | Self::BreakGlass
                | Self::ConsentGrant
                | Self::CareTeam
                | Self::DepositDefault
                | Self::LegalFeed
        )
    }

    /// Tells whether the actor is told of the item. An actor who may not change an item may know that it is there.
    pub const fn is_told(self) -> bool {
        self.permits() || matches!(self, Self::NotOwner)
    }
}

tokens! {
    /// An obligation that comes with a permission.
    Obligation {
        /// Say in words why the glass was broken.
        Justify "JUSTIFY",
        /// The patient is told.
        NotifyPatient "NOTIFY_PATIENT",
        /// The attending doctor is told.
        NotifyAttending "NOTIFY_ATTENDING",
        /// Somebody else looks at it.
        Review "REVIEW",
    }
}
