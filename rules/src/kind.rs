//! The kinds of statements that a record can make: the kinds of `docs/formats.md` §2, each with a token and a number.

use std::fmt;
use std::str::FromStr;

/// The family of a kind: the high byte of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Group {
    /// The space itself: opened, opposed, closed.
    Space = 0x01,
    /// Permissions and denials of the patient.
    Consent = 0x02,
    /// Blocks, masks, embargoes, oppositions.
    Limits = 0x03,
    /// Representatives, care team, attending doctor.
    People = 0x04,
    /// Break-glass.
    Emergency = 0x05,
    /// Someone saw or changed the patient's data.
    Access = 0x06,
    /// The patient's data went somewhere else.
    Movement = 0x07,
    /// The ledger decided on a request.
    Decision = 0x08,
    /// Notifications, contests, sessions, readings of the log.
    FollowUp = 0x09,
    /// The ledger's own affairs.
    Ledger = 0x0a,
}

impl Group {
    /// Every group, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Space,
        Self::Consent,
        Self::Limits,
        Self::People,
        Self::Emergency,
        Self::Access,
        Self::Movement,
        Self::Decision,
        Self::FollowUp,
        Self::Ledger,
    ];

    /// The high byte of the kinds of this group.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The group's name, as on the command line.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Consent => "consent",
            Self::Limits => "limits",
            Self::People => "people",
            Self::Emergency => "emergency",
            Self::Access => "access",
            Self::Movement => "movement",
            Self::Decision => "decision",
            Self::FollowUp => "follow-up",
            Self::Ledger => "ledger",
        }
    }

    /// The group with this name.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.token() == token)
    }

    /// The group with this high byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.code() == code)
    }
}

/// No kind has this token or number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0}: docs/formats.md §2 lists the kinds")]
pub struct UnknownKind(String);

/// The kind of a record, one of `docs/formats.md` §2. Holds no other number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u16);

macro_rules! kinds {
    ($($name:ident $token:literal $code:literal;)*) => {
        impl Kind {
            $(#[doc = concat!("`", $token, "`")] pub const $name: Self = Self($code);)*

            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        /// Tokens and numbers, in the order of the numbers.
        const TABLE: &[(u16, &str)] = &[$(($code, $token)),*];
    };
}

kinds! {
    SPACE_OPENED "space.opened" 0x0101;
    SPACE_OPPOSED "space.opposed" 0x0102;
    SPACE_CLOSED "space.closed" 0x0103;
    CONSENT_DIRECTIVE "consent.directive" 0x0201;
    CONSENT_REVOKED "consent.revoked" 0x0202;
    EMERGENCY_OPPOSITION "emergency.opposition" 0x0301;
    EMERGENCY_OPPOSITION_LIFTED "emergency.opposition.lifted" 0x0302;
    PROFESSIONAL_BLOCKED "professional.blocked" 0x0303;
    PROFESSIONAL_UNBLOCKED "professional.unblocked" 0x0304;
    ITEM_MASKED "item.masked" 0x0305;
    ITEM_UNMASKED "item.unmasked" 0x0306;
    ITEM_EMBARGOED "item.embargoed" 0x0307;
    ITEM_RELEASED "item.released" 0x0308;
    FEED_OPPOSED "feed.opposed" 0x0309;
    FEED_OPPOSITION_LIFTED "feed.opposition.lifted" 0x030a;
    REPRESENTATION_REGISTERED "representation.registered" 0x0401;
    REPRESENTATION_ENDED "representation.ended" 0x0402;
    MINOR_SECRECY_SET "minor.secrecy.set" 0x0403;
    MINOR_SECRECY_LIFTED "minor.secrecy.lifted" 0x0404;
    CARETEAM_JOINED "careteam.joined" 0x0405;
    CARETEAM_LEFT "careteam.left" 0x0406;
    ATTENDING_DECLARED "attending.declared" 0x0407;
    ATTENDING_ENDED "attending.ended" 0x0408;
    BREAKGLASS_OPENED "breakglass.opened" 0x0501;
    BREAKGLASS_JUSTIFIED "breakglass.justified" 0x0502;
    BREAKGLASS_CLOSED "breakglass.closed" 0x0503;
    BREAKGLASS_REVIEWED "breakglass.reviewed" 0x0504;
    ACCESS_READ "access.read" 0x0601;
    ACCESS_SEARCH "access.search" 0x0602;
    ACCESS_WRITE "access.write" 0x0603;
    ACCESS_UPDATE "access.update" 0x0604;
    ACCESS_DOWNLOAD "access.download" 0x0605;
    ACCESS_PRINT "access.print" 0x0606;
    ACCESS_EXPORT "access.export" 0x0607;
    ACCESS_DELETE "access.delete" 0x0608;
    MOVEMENT_THIRD_PARTY "movement.third_party" 0x0701;
    MOVEMENT_APP_SYNC "movement.app_sync" 0x0702;
    MOVEMENT_RESEARCH "movement.research" 0x0703;
    MOVEMENT_SNDS "movement.snds" 0x0704;
    DECISION_MADE "decision.made" 0x0801;
    NOTIFICATION_QUEUED "notification.queued" 0x0901;
    NOTIFICATION_DELIVERED "notification.delivered" 0x0902;
    NOTIFICATION_FAILED "notification.failed" 0x0903;
    NOTIFICATION_READ "notification.read" 0x0904;
    CONTEST_OPENED "contest.opened" 0x0905;
    CONTEST_ANSWERED "contest.answered" 0x0906;
    LOG_CONSULTED "log.consulted" 0x0907;
    SESSION_OPENED "session.opened" 0x0908;
    SESSION_CLOSED "session.closed" 0x0909;
    CONTEST_CLOSED "contest.closed" 0x090a;
    KEY_REGISTERED "key.registered" 0x0a01;
    KEY_ROTATED "key.rotated" 0x0a02;
    KEY_REVOKED "key.revoked" 0x0a03;
    ROLE_CHANGED "role.changed" 0x0a04;
    CATALOGUE_PUBLISHED "catalogue.published" 0x0a05;
    POLICY_PUBLISHED "policy.published" 0x0a06;
    MATRIX_PUBLISHED "matrix.published" 0x0a07;
    IDENTITY_LINKED "identity.linked" 0x0a08;
    IDENTITY_CORRECTED "identity.corrected" 0x0a09;
    PAYLOAD_ERASED "payload.erased" 0x0a0a;
    INDEX_COMMIT "index.commit" 0x0a0b;
    LOG_CLOSED "log.closed" 0x0a0c;
    SYSTEM_EVENT "system.event" 0x0a0d;
    GENESIS "genesis" 0x0a0e;
    NODE_SET_CHANGED "node_set.changed" 0x0a0f;
    VOUCHING_CHANGED "vouching.changed" 0x0a10;
    ISSUER_PUBLISHED "issuer.published" 0x0a11;
    RECORDS_VOIDED "records.voided" 0x0a12;
    AUTHORITY_RULE "authority.rule" 0x0a13;
    DEVICE_REGISTERED "device.registered" 0x0a14;
    SOURCES_LISTED "sources.listed" 0x0a15;
    SOURCE_HEARTBEAT "source.heartbeat" 0x0a16;
}

impl Kind {
    /// The kind with this token.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_token(token: &str) -> Result<Self, UnknownKind> {
        TABLE
            .iter()
            .find(|(_, known)| *known == token)
            .map(|(code, _)| Self(*code))
            .ok_or_else(|| UnknownKind(format!("{:?}", token.chars().take(64).collect::<String>())))
    }

    /// The kind with this number, as it stands in a record.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_code(code: u32) -> Result<Self, UnknownKind> {
        u16::try_from(code)
            .ok()
            .filter(|code| TABLE.binary_search_by_key(code, |row| row.0).is_ok())
            .map(Self)
            .ok_or_else(|| UnknownKind(format!("{code:#06x}")))
    }

    /// The number, as it stands in records and entries.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The token, as in JSON and on the command line.
    pub fn token(self) -> &'static str {
        let row = TABLE.binary_search_by_key(&self.0, |row| row.0);
        TABLE[row.expect("a Kind holds only numbers of the table")].1
    }

    /// The family it belongs to.
    pub fn group(self) -> Group {
        let [high, _] = self.0.to_be_bytes();
        Group::from_code(high).expect("every number of the table has a known group")
    }

    /// Someone saw or changed the patient's data: it can be `UNJUSTIFIED` and `LATE`.
    pub const fn is_access(self) -> bool {
        self.0 >> 8 == Group::Access as u16
    }

    /// The patient's data went somewhere else: it can be `LATE`.
    pub const fn is_movement(self) -> bool {
        self.0 >> 8 == Group::Movement as u16
    }

    /// An act of the authority: carries `act`, isn't sealed. Only `payload.erased` has a patient, and what the ledger tells each
    /// patient of `records.voided`, which carries no act.
    pub const fn is_act(self) -> bool {
        matches!(
            self,
            Self::KEY_REGISTERED
                | Self::KEY_ROTATED
                | Self::KEY_REVOKED
                | Self::ROLE_CHANGED
                | Self::PAYLOAD_ERASED
                | Self::NODE_SET_CHANGED
                | Self::VOUCHING_CHANGED
                | Self::ISSUER_PUBLISHED
                | Self::RECORDS_VOIDED
                | Self::AUTHORITY_RULE
                | Self::SOURCES_LISTED
        )
    }

    /// From which feature level of a group on the kind is known: below, it is refused like a number that no kind has.
    pub const fn feature_level(self) -> u32 {
        match self.0 {
            code if code >= Self::SOURCES_LISTED.0 => 5,
            code if code >= Self::SESSION_OPENED.0 && code <= Self::CONTEST_CLOSED.0 => 5,
            code if code >= Self::DEVICE_REGISTERED.0 => 4,
            code if code >= Self::VOUCHING_CHANGED.0 => 3,
            _ => 1,
        }
    }

    /// Made by the ledger alone, refused from an author (`KIND_RESERVED`).
    pub const fn made_by_ledger(self) -> bool {
        matches!(self, Self::INDEX_COMMIT | Self::GENESIS | Self::LOG_CLOSED | Self::DECISION_MADE)
    }

    /// The same in a group of this feature level: from 4 on, that somebody read is the ledger's alone to say.
    pub const fn is_reserved_at(self, level: u32) -> bool {
        self.made_by_ledger() || level >= 4 && matches!(self, Self::LOG_CONSULTED)
    }

    /// Tells whether a record of a kind that has a patient may be without: entries were read and not one patient's trace,
    /// the glass was broken for someone who isn't identified yet, or the authority voids records, of which the ledger tells
    /// each patient by a record of its own.
    pub const fn may_lack_patient(self) -> bool {
        matches!(self, Self::LOG_CONSULTED | Self::RECORDS_VOIDED) || self.0 >> 8 == Group::Emergency as u16
    }

    /// Tells whether a record of this kind carries a patient's tag. The others carry none.
    pub const fn has_patient(self) -> bool {
        matches!(self, Self::PAYLOAD_ERASED | Self::RECORDS_VOIDED)
            || !self.is_act()
                && !matches!(
                    self,
                    Self::SYSTEM_EVENT
                        | Self::SOURCE_HEARTBEAT
                        | Self::CATALOGUE_PUBLISHED
                        | Self::POLICY_PUBLISHED
                        | Self::MATRIX_PUBLISHED
                        | Self::INDEX_COMMIT
                        | Self::LOG_CLOSED
                        | Self::GENESIS
                )
    }

    /// Tells whether a record of this kind that an author makes always has a patient: all that can, but for break-glass.
    pub const fn needs_patient(self) -> bool {
        self.has_patient() && self.0 >> 8 != Group::Emergency as u16 && !matches!(self, Self::RECORDS_VOIDED)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({} {:#06x})", self.token(), self.0)
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(token: &str) -> Result<Self, UnknownKind> {
        Self::from_token(token)
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.token())
    }
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_token(&token).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the table: group name, group number, then (token, number) pairs.
    type Row = (String, u8, Vec<(String, u16)>);

    /// The rows of the table in `docs/formats.md` §2.
    fn documented() -> Vec<Row> {
        let doc = include_str!("../../docs/formats.md");
        let table = doc.split("| group | tokens and codes |").nth(1).expect("the table");
        let number = |text: &str| u16::from_str_radix(text.trim_matches('`').trim_start_matches("0x"), 16);
        table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let (name, code) = cells[1].rsplit_once(' ').expect("name and number");
                let kinds = cells[2].split(", ").map(|pair| {
                    let (token, code) = pair.split_once(' ').expect("token and number");
                    (token.trim_matches('`').to_owned(), number(code).expect("a number"))
                });
                let code = u8::try_from(number(code).expect("a number")).expect("one byte");
                (name.to_owned(), code, kinds.collect())
            })
            .collect()
    }

    #[test]
    fn the_document_and_the_code_list_the_same_kinds() {
        let mut all = Vec::new();
        for (name, code, kinds) in documented() {
            let group = Group::from_code(code).expect("a group");
            assert_eq!(group.token(), name);
            assert_eq!(Group::from_token(&name), Some(group));
            for (token, code) in kinds {
                let kind = Kind::from_token(&token).expect(&token);
                assert_eq!(kind.code(), code, "{token}");
                assert_eq!(kind.group(), group, "{token}");
                all.push(kind);
            }
        }
        assert_eq!(all, Kind::ALL, "in the order of the numbers, none missing");
    }

    #[test]
    fn numbers_and_tokens_outside_the_table_are_refused() {
        let known = (0..=0x2_0000_u32).filter(|code| Kind::from_code(*code).is_ok());
        assert_eq!(known.count(), Kind::ALL.len());
        for token in ["", "access", "ACCESS.READ", "access.read ", "access.peek"] {
            assert!(Kind::from_token(token).is_err(), "{token:?}");
        }
    }

    #[test]
    fn the_special_kinds_are_those_of_the_document() {
        let doc = include_str!("../../docs/formats.md").replace('\n', " ");
        let tokens = |kinds: &[Kind]| kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>();
        let acts: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.is_act()).collect();
        let acts = tokens(&acts);
        let (last, others) = acts.split_last().expect("some");
        let sentence = format!("{} and {last} are *acts of the authority*", others.join(", "));
        assert!(doc.contains(&sentence), "{sentence}");
        let made: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.made_by_ledger()).collect();
        assert_eq!(made.len(), 4);
        let start = doc.find("`index.commit`, `genesis`,").expect("the sentence");
        let sentence = &doc[start..start + doc[start..].find("refused from an author").expect("its end")];
        for token in tokens(&made) {
            assert!(sentence.contains(&token), "{token}");
        }
    }
}
