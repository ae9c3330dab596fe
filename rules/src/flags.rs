//! The flags of an entry (`docs/formats.md` §5).

use std::fmt;
use std::ops::BitOr;

/// Why an access is flagged `UNJUSTIFIED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UnjustifiedReason {
    /// The record states no basis.
    NoBasis = 0,
    /// No such decision or break-glass is on record for this patient.
    UnknownReference = 1,
    /// The decision or break-glass is another actor's.
    OtherActor = 2,
    /// An action, or an item, that the decision or break-glass doesn't cover.
    Beyond = 3,
    /// The decision or break-glass had ended.
    Expired = 4,
    /// Nothing on record supports the basis, and the policy asks for proof of such.
    Unproven = 5,
}

impl UnjustifiedReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::NoBasis, Self::UnknownReference, Self::OtherActor, Self::Beyond, Self::Expired, Self::Unproven];

    /// The number, as it stands in an entry.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a number; `None` for a number that isn't one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in JSON.
    pub const fn token(self) -> &'static str {
        match self {
            Self::NoBasis => "NO_BASIS",
            Self::UnknownReference => "UNKNOWN_REFERENCE",
            Self::OtherActor => "OTHER_ACTOR",
            Self::Beyond => "BEYOND",
            Self::Expired => "EXPIRED",
            Self::Unproven => "UNPROVEN",
        }
    }
}

impl fmt::Display for UnjustifiedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

impl serde::Serialize for UnjustifiedReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.token())
    }
}

/// These bits aren't flags of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no entry has the flags {0:#06x}")]
pub struct UnknownFlags(pub u16);

/// The flags of an entry. Holds known bits only, and a reason only beside `UNJUSTIFIED`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// An access without a basis that holds; by itself, with reason 0: without any.
    pub const UNJUSTIFIED: Self = Self(1);
    /// Recorded long after it happened.
    pub const LATE: Self = Self(2);
    /// Handed in after an establishment's emergency mode; the author states it.
    pub const DEFERRED: Self = Self(4);
    /// Made by the ledger itself.
    pub const LEDGER: Self = Self(8);
    /// The record states by what right it happened; the author states it.
    pub const BASIS: Self = Self(16);
    /// Its basis points to a decision or a break-glass, which the ledger looks up; the author states it. Beside `BASIS`.
    pub const CITES: Self = Self(32);

    /// Nothing on record supports the basis of an access or movement: it is what its author says. Beside `BASIS`, without
    /// `CITES`.
    pub const CLAIMED: Self = Self(64);

    const ALL: u16 = 127;
    /// The flags that the author states: the batch leaf covers them.
    const STATED: u16 = Self::DEFERRED.0 | Self::BASIS.0 | Self::CITES.0;
    /// Where the reason stands, beside `UNJUSTIFIED` only.
    const REASON: u16 = 0x0f00;
    const REASON_SHIFT: u32 = 8;
    const TABLE: [(Self, &'static str); 7] = [
        (Self::UNJUSTIFIED, "UNJUSTIFIED"),
        (Self::LATE, "LATE"),
        (Self::DEFERRED, "DEFERRED"),
        (Self::LEDGER, "LEDGER"),
        (Self::BASIS, "BASIS"),
        (Self::CITES, "CITES"),
        (Self::CLAIMED, "CLAIMED"),
    ];

    /// The flags with these bits.
    ///
    /// # Errors
    /// When one of them is unknown, or they give a reason that doesn't exist, or one without `UNJUSTIFIED`, or cite or claim
    /// without a basis, or claim what they cite, or miss a proof of what isn't claimed.
    pub const fn from_bits(bits: u16) -> Result<Self, UnknownFlags> {
        let reason = (bits & Self::REASON) >> Self::REASON_SHIFT;
        let known = bits & !(Self::ALL | Self::REASON) == 0;
        let may = (reason == 0 || bits & Self::UNJUSTIFIED.0 != 0)
            && (bits & Self::CITES.0 == 0 || bits & Self::BASIS.0 != 0);
        let claimed = bits & Self::CLAIMED.0 != 0;
        let unproven = reason == UnjustifiedReason::Unproven.code() as u16;
        let claims = match claimed {
            true => bits & (Self::BASIS.0 | Self::CITES.0) == Self::BASIS.0 && (reason == 0 || unproven),
            false => !unproven,
        };
        if known && may && claims && reason <= UnjustifiedReason::Unproven.code() as u16 {
            Ok(Self(bits))
        } else {
            Err(UnknownFlags(bits))
        }
    }

    /// `UNJUSTIFIED`, for this reason.
    pub const fn unjustified(reason: UnjustifiedReason) -> Self {
        Self(Self::UNJUSTIFIED.0 | (reason.code() as u16) << Self::REASON_SHIFT)
    }

    /// Why it is `UNJUSTIFIED`; `None` where it isn't.
    pub fn unjustified_reason(self) -> Option<UnjustifiedReason> {
        let code = u8::try_from((self.0 & Self::REASON) >> Self::REASON_SHIFT).ok()?;
        UnjustifiedReason::from_code(code).filter(|_| self.contains(Self::UNJUSTIFIED))
    }

    /// Of these, what the author states.
    pub const fn stated(self) -> Self {
        Self(self.0 & Self::STATED)
    }

    /// The bits, as they stand in an entry.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Tells whether every flag of `other` is set; for which reason doesn't count.
    pub const fn contains(self, other: Self) -> bool {
        let flags = other.0 & Self::ALL;
        self.0 & flags == flags
    }

    /// The names of the flags that a reader should know of, in the order of their bits. `BASIS` and `CITES`, which are as it
    /// should be, aren't among them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let remarks = Self::TABLE.into_iter().filter(|(flag, _)| ![Self::BASIS, Self::CITES].contains(flag));
        remarks.filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl BitOr for Flags {
    type Output = Self;

    /// The flags of both; of two reasons, the first's.
    fn bitor(self, other: Self) -> Self {
        let reason = if self.0 & Self::REASON == 0 { other.0 & Self::REASON } else { 0 };
        Self(self.0 | (other.0 & Self::ALL) | reason)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.unjustified_reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let names = Self::TABLE.into_iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name);
        write!(f, "Flags({}{reason})", names.collect::<Vec<_>>().join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_beside_unjustified_only_and_exists() {
        for reason in UnjustifiedReason::ALL {
            let claimed = if reason == UnjustifiedReason::Unproven { Flags::CLAIMED } else { Flags::NONE };
            let flags = Flags::unjustified(reason) | Flags::BASIS | claimed;
            assert_eq!(Flags::from_bits(flags.bits()), Ok(flags));
            assert_eq!(flags.unjustified_reason(), Some(reason));
            assert!(
                flags.contains(Flags::UNJUSTIFIED) && flags.contains(Flags::unjustified(UnjustifiedReason::Expired))
            );
            assert_eq!(flags.bits(), 0x11 | claimed.bits() | u16::from(reason.code()) << 8);
        }
        assert_eq!(Flags::from_bits(0x50), Ok(Flags::BASIS | Flags::CLAIMED));
        assert_eq!(Flags::BASIS.unjustified_reason(), None);
        assert_eq!(Flags::from_bits(0x30), Ok(Flags::BASIS | Flags::CITES));
        for bits in [0x0100, 0x0110, 0x0501, 0x0511, 0x0451, 0x0f01, 0x0020, 0x0040, 0x0070, 0x0080, 0x1001, 0x8000] {
            assert_eq!(Flags::from_bits(bits), Err(UnknownFlags(bits)), "{bits:#06x}");
        }
    }

    #[test]
    fn two_reasons_are_never_mixed_into_a_third() {
        let both =
            Flags::unjustified(UnjustifiedReason::UnknownReference) | Flags::unjustified(UnjustifiedReason::OtherActor);
        assert_eq!(both.unjustified_reason(), Some(UnjustifiedReason::UnknownReference));
        let late = Flags::LATE | Flags::BASIS | Flags::unjustified(UnjustifiedReason::Expired);
        assert_eq!(late.names().collect::<Vec<_>>(), ["UNJUSTIFIED", "LATE"]);
        assert_eq!(late.unjustified_reason(), Some(UnjustifiedReason::Expired));
        assert_eq!(format!("{late:?}"), "Flags(UNJUSTIFIED|LATE|BASIS: EXPIRED)");
    }

    #[test]
    fn what_the_author_states_is_apart_from_what_the_ledger_finds() {
        let stated = Flags::DEFERRED | Flags::BASIS | Flags::CITES;
        let all = Flags::unjustified(UnjustifiedReason::Beyond) | Flags::LATE | stated;
        assert_eq!(all.stated(), stated);
        assert_eq!(Flags::LEDGER.stated(), Flags::NONE);
    }
}
