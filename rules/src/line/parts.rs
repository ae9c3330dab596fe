//! The parts of a record line and their counterparts in `sillage.v1`.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sillage_proto::v1;

use super::is_default;
use crate::json;
use crate::limits::{DETAILS_BYTES_MAX, DETAILS_DEPTH_MAX};

/// The patient whose data or consent it is about: never printed but as JSON on purpose.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientLine {
    /// The 15 characters of the INS with its key.
    pub ins: String,
    /// The OID of the INS.
    pub oid: String,
}

impl fmt::Debug for PatientLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientLine(..)")
    }
}

/// Declares a part whose fields are those of a message, and the conversions both ways.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident = $message:ident {
        $($(#[doc = $field_doc:literal])+ $(#[serde($($attr:tt)*)])? $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $field_doc])+ $(#[serde($($attr)*)])? pub $field: $type,)*
        }

        impl From<v1::$message> for $name {
            fn from(message: v1::$message) -> Self {
                Self { $($field: message.$field,)* }
            }
        }

        impl From<$name> for v1::$message {
            fn from(line: $name) -> Self {
                Self { $($field: line.$field,)* }
            }
        }
    };
}

part! {
    /// The actor.
    ActorLine = Actor {
        /// URI of the identifier system.
        system: String,
        /// The id in that system.
        id: String,
        /// Profession or role.
        #[serde(default, skip_serializing_if = "is_default")]
        role: String,
        /// FINESS or another id of the structure.
        #[serde(default, skip_serializing_if = "is_default")]
        organisation: String,
        /// As a person reads it, as of then.
        #[serde(default, skip_serializing_if = "is_default")]
        label: String,
    }
}

part! {
    /// How the actor proved who it is.
    AuthLine = Authentication {
        /// The issuer that says so.
        #[serde(default, skip_serializing_if = "is_default")]
        issuer: String,
        /// By what means.
        #[serde(default, skip_serializing_if = "is_default")]
        method: String,
        /// `low`, `substantial` or `high`.
        #[serde(default, skip_serializing_if = "is_default")]
        eidas_level: String,
    }
}

part! {
    /// An item.
    ItemLine = Item {
        /// The item's id.
        #[serde(default, skip_serializing_if = "is_default")]
        id: String,
        /// Its category.
        #[serde(default, skip_serializing_if = "is_default")]
        category: String,
        /// Its confidentiality and other labels.
        #[serde(default, skip_serializing_if = "is_default")]
        labels: Vec<String>,
        /// The depositor.
        #[serde(default, skip_serializing_if = "is_default")]
        depositor: String,
        /// As a person reads it.
        #[serde(default, skip_serializing_if = "is_default")]
        label: String,
    }
}

part! {
    /// Where.
    PlaceLine = Place {
        /// The site.
        #[serde(default, skip_serializing_if = "is_default")]
        site: String,
        /// The network address of the actor.
        #[serde(default, skip_serializing_if = "is_default")]
        network_address: String,
        /// The actor's device.
        #[serde(default, skip_serializing_if = "is_default")]
        device: String,
        /// The system that observed the event.
        #[serde(default, skip_serializing_if = "is_default")]
        observer: String,
    }
}

part! {
    /// Handed in after an establishment's emergency mode.
    DeferredLine = Deferred {
        /// Why.
        reason: String,
    }
}

part! {
    /// Ids that join a record to other logs.
    CorrelationLine = Correlation {
        /// The launch context of an app.
        #[serde(default, skip_serializing_if = "is_default")]
        launch_context: String,
        /// Request and trace ids.
        #[serde(default, skip_serializing_if = "is_default")]
        ids: Vec<String>,
    }
}

part! {
    /// A software acted on its own.
    AutomatedLine = Automated {
        /// Its name.
        software: String,
        /// Its version.
        #[serde(default, skip_serializing_if = "is_default")]
        version: String,
    }
}

/// One that also took part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentLine {
    /// The part that it had.
    #[serde(rename = "type", default, skip_serializing_if = "is_default")]
    pub agent_type: String,
    /// Its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<ActorLine>,
    /// Its network address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network_address: String,
    /// True if it asked for what happened.
    #[serde(default, skip_serializing_if = "is_default")]
    pub requestor: bool,
}

impl From<v1::Agent> for AgentLine {
    fn from(message: v1::Agent) -> Self {
        Self {
            agent_type: message.r#type,
            who: message.who.map(Into::into),
            network_address: message.network_address,
            requestor: message.requestor,
        }
    }
}

impl From<AgentLine> for v1::Agent {
    fn from(line: AgentLine) -> Self {
        Self {
            r#type: line.agent_type,
            who: line.who.map(Into::into),
            network_address: line.network_address,
            requestor: line.requestor,
        }
    }
}

/// By what right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasisLine {
    /// The kind of right.
    pub kind: BasisToken,
    /// The thing that it points to: a decision, a consent, a break-glass, an article of law.
    #[serde(rename = "ref", default, skip_serializing_if = "is_default")]
    pub reference: String,
}

/// Declares the tokens of an enumeration of the schema.
macro_rules! tokens {
    ($(#[$doc:meta])* $name:ident = $wire:ident { $($variant:ident $token:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum $name {
            $(#[serde(rename = $token)] $variant,)*
        }

        impl $name {
            /// Every token, in the order of the schema.
            pub const TOKENS: &[&str] = &[$($token),*];

            /// The token, as in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $token,)* }
            }

            /// The token of a number of the schema; none for the number 0, and for unknown ones.
            pub fn from_code(code: i32) -> Option<Self> {
                match v1::$wire::try_from(code).ok()? {
                    $(v1::$wire::$variant => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl From<$name> for v1::$wire {
            fn from(token: $name) -> Self {
                match token { $($name::$variant => Self::$variant,)* }
            }
        }
    };
}

tokens! {
    /// The kind of right.
    BasisToken = BasisKind {
        Decision "decision",
        Breakglass "breakglass",
        CareTeam "care_team",
        Consent "consent",
        Self_ "self",
        Legal "legal",
    }
}

tokens! {
    /// How it ended.
    OutcomeToken = Outcome {
        Success "success",
        MinorFailure "minor_failure",
        SeriousFailure "serious_failure",
        MajorFailure "major_failure",
    }
}

impl BasisLine {
    /// The line of a basis that says its kind.
    pub(super) fn from_message(message: v1::Basis) -> Option<Self> {
        let kind = BasisToken::from_code(message.kind)?;
        Some(Self { kind, reference: message.r#ref })
    }
}

impl From<BasisLine> for v1::Basis {
    fn from(line: BasisLine) -> Self {
        let kind = v1::BasisKind::from(line.kind).into();
        Self { kind, r#ref: line.reference }
    }
}

/// The fields of the kind: a JSON object, kept as it was written but for the spaces between its parts.
#[derive(Clone, PartialEq, Eq)]
pub struct Details(String);

impl Details {
    /// Takes a JSON object: no name twice, at most 16 KiB and 16 levels.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        if text.len() > DETAILS_BYTES_MAX {
            return Err(Error::custom(format!("{} bytes, and at most {DETAILS_BYTES_MAX}", text.len())));
        }
        json::check_object(text, DETAILS_DEPTH_MAX)?;
        Ok(Self(json::compact(text)))
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The details of a record that was checked.
    pub(super) fn from_record(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(json::compact(text)))
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone());
        raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(D::Error::custom)
    }
}

/// The source of a record, as received: as text where it is UTF-8, in hexadecimal where it isn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalLine {
    /// Its media type, such as `application/fhir+json`.
    pub media_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginalJson {
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl Serialize for OriginalLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(self.content.clone()).ok();
        let hex = text.is_none().then(|| hex::encode(&self.content));
        let media_type = self.media_type.clone();
        OriginalJson { media_type, text, hex }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OriginalLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = OriginalJson::deserialize(deserializer)?;
        let content = match (json.text, json.hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(hex)) => hex::decode(hex).map_err(D::Error::custom)?,
            _ => return Err(D::Error::custom("either `text` or `hex`")),
        };
        Ok(Self { media_type: json.media_type, content })
    }
}

impl From<v1::Original> for OriginalLine {
    fn from(message: v1::Original) -> Self {
        Self { media_type: message.media_type, content: message.content }
    }
}

impl From<OriginalLine> for v1::Original {
    fn from(line: OriginalLine) -> Self {
        Self { media_type: line.media_type, content: line.content }
    }
}
