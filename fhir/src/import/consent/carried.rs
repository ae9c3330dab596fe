//! Rules beside directives, as our own export carries them: a Consent with the extension `rule` becomes the record of
//! that kind, or is refused with the part that can't be understood. Its provision is for other readers, and isn't read.
//!
//! | part | |
//! | --- | --- |
//! | `kind` | the kind of the record: one that holds until something ends it |
//! | `details` | its fields, as JSON; none: it has none |
//! | `item`* | the items that it is about |
//! | `role`, `organisation` | of who signed it: what they may sign depends on it |

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::consent::in_force::HOLDING_KINDS;
use sillage_rules::kind::Kind;
use sillage_rules::record::RecordError;

use super::super::FhirError;
use super::super::read::{list, text};
use super::{EXTENSION_RULE, SYSTEM_RULE};

/// The rule of a Consent, and where it stands.
pub(super) struct Carried<'a> {
    rule: &'a Value,
    path: String,
}

impl<'a> Carried<'a> {
    /// The rule that a Consent carries; none where it says by its provision what is permitted or denied.
    ///
    /// # Errors
    /// When it carries several, or one without an identifier of such rules, or none with one.
    pub fn of(consent: &'a Value) -> Result<Option<Self>, FhirError> {
        let places = ["extension", "modifierExtension"];
        let listed = places.iter().flat_map(|name| {
            let all = list(consent, name).iter().enumerate();
            all.map(move |(i, extension)| (format!("Consent.{name}[{i}]"), extension))
        });
        let mut rules = listed.filter(|(_, extension)| text(extension, "url") == EXTENSION_RULE);
        let mut identifiers = list(consent, "identifier").iter();
        let is_named = identifiers.any(|identifier| text(identifier, "system") == SYSTEM_RULE);
        match (rules.next(), rules.next(), is_named) {
            (None, _, false) => Ok(None),
            (Some((path, rule)), None, true) => Ok(Some(Self { rule, path })),
            (Some((path, _)), None, false) => {
                let why = format!("a rule of this ledger's own export, and no identifier of the system {SYSTEM_RULE}");
                Err(FhirError::new(path, why))
            }
            (Some(_), Some((path, _)), _) => Err(FhirError::new(path, "a second rule: which one is meant?")),
            (None, _, true) => {
                let why = format!("an identifier of the system {SYSTEM_RULE}, and no rule: what it says isn't known");
                Err(FhirError::new("Consent.extension", why))
            }
        }
    }

    /// The fields that are read of the rule alone: kind, details, items; of who signed, role and structure. The rest is in `base`.
    ///
    /// # Errors
    /// With the path of the part that is missing, not known, there twice, or not understood.
    pub fn record(&self, mut base: v1::Record) -> Result<v1::Record, FhirError> {
        let mut signer = base.actor.take().unwrap_or_default();
        let mut kind = None;
        for (i, part) in list(self.rule, "extension").iter().enumerate() {
            let path = format!("{}.extension[{i}]", self.path);
            let name = text(part, "url");
            let value = if name == "kind" { text(part, "valueCode") } else { text(part, "valueString") };
            let field = match name {
                "kind" if kind.is_none() => {
                    kind = Some(known_kind(value, &path)?);
                    continue;
                }
                "item" if !value.is_empty() => {
                    base.items.push(v1::Item { id: value.to_owned(), ..v1::Item::default() });
                    continue;
                }
                "details" => &mut base.details,
                "role" => &mut signer.role,
                "organisation" => &mut signer.organisation,
                "kind" => return Err(FhirError::new(path, "there twice")),
                "item" => return Err(FhirError::new(path, "an item without an id (valueString)")),
                _ => return Err(FhirError::new(path, "no part of a rule: docs/fhir.md lists them")),
            };
            if value.is_empty() || !field.is_empty() {
                return Err(FhirError::new(path, "without a valueString, or there twice"));
            }
            *field = value.to_owned();
        }
        let kind = kind.ok_or_else(|| FhirError::new(self.path.clone(), "the part kind is missing"))?;
        Ok(v1::Record { kind: kind.code().into(), actor: Some(signer), ..base })
    }

    /// The ledger's refusal of the record, with the part that it is about.
    pub fn refusal(&self, error: &RecordError) -> FhirError {
        let field = error.path.split(['.', '[', ':']).next().unwrap_or_default();
        let part = match field {
            "details" => "details",
            "items" => "item",
            _ => "",
        };
        let nth = error.path.strip_prefix("items[").and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        let mut named = list(self.rule, "extension").iter().enumerate().filter(|(_, p)| text(p, "url") == part);
        let path = match named.nth(nth.unwrap_or_default()) {
            Some((i, _)) => format!("{}.extension[{i}]", self.path),
            None if field == "actor" => "Consent.performer[0]".to_owned(),
            None => self.path.clone(),
        };
        FhirError::new(path, format!("as a record: {}: {error}", error.code))
    }
}

fn known_kind(token: &str, path: &str) -> Result<Kind, FhirError> {
    let why = match Kind::from_token(token) {
        Ok(kind) if HOLDING_KINDS.contains(&kind) => return Ok(kind),
        Ok(kind) if kind == Kind::CONSENT_DIRECTIVE => "a directive is a Consent with a provision".to_owned(),
        Ok(kind) => format!("{kind} doesn't hold until something ends it: such rules alone are carried"),
        Err(_) => "no kind of record has this name".to_owned(),
    };
    Err(FhirError::new(path, why))
}
