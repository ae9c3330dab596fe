//! Identifiers as HL7 v2 and audit messages write them, and as FHIR does.

use serde_json::{Value, json};

/// Somebody or something, as a message names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By an identifier; `system` is empty where it names none.
    Identifier {
        /// URI of the system.
        system: String,
        /// The value.
        value: String,
    },
    /// By a reference of FHIR.
    Reference(String),
}

impl Named {
    /// As a FHIR reference, of this type where it is known.
    pub fn reference(&self, kind: Option<&str>) -> Value {
        let mut out = match self {
            Self::Reference(reference) => json!({ "reference": reference }),
            Self::Identifier { system, value } if system.is_empty() => json!({ "identifier": { "value": value } }),
            Self::Identifier { system, value } => json!({ "identifier": { "system": system, "value": value } }),
        };
        if let Some(kind) = kind {
            out["type"] = kind.into();
        }
        out
    }
}

/// Reads an identifier in any of the forms that are in use:
///
/// | form | as |
/// | --- | --- |
/// | `279035121518989^^^&1.2.250.1.213.1.4.8&ISO^NH` (CX of HL7 v2; also with `&amp;`, escaped once too often) | the system is the OID of the assigning authority |
/// | `123^^^HOSPITAL` | the system is the name of the assigning authority |
/// | `urn:oid:1.2.250.1.213.1.4.8\|279035121518989` | system and value |
/// | `Patient/1`, `https://h.example/fhir/Patient/1` | a reference |
/// | `alias<user@issuer>` (a user of SAML) | the user, of the issuer |
/// | anything else | a value without a system |
pub fn parse(said: &str) -> Named {
    let said = said.trim();
    let plain = |value: &str| Named::Identifier { system: String::new(), value: value.trim().to_owned() };
    if said.contains('^') {
        let said = said.replace("&amp;", "&");
        let parts: Vec<&str> = said.split('^').collect();
        let authority = parts.get(3).copied().unwrap_or_default();
        return Named::Identifier { system: authority_uri(authority), value: parts[0].trim().to_owned() };
    }
    if let Some((alias, rest)) = said.split_once('<')
        && let Some((user, issuer)) = rest.strip_suffix('>').and_then(|inner| inner.rsplit_once('@'))
        && !alias.contains(char::is_whitespace)
        && is_uri(issuer)
    {
        return Named::Identifier { system: issuer.to_owned(), value: user.to_owned() };
    }
    if let Some((system, value)) = said.split_once('|')
        && is_uri(system)
        && !value.is_empty()
    {
        return Named::Identifier { system: system.to_owned(), value: value.to_owned() };
    }
    let mut segments = said.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').rsplit('/');
    let id = segments.next().unwrap_or_default();
    let kind = segments.next().unwrap_or_default();
    let is_id =
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic());
    let is_rest = segments.next().is_none_or(|_| said.starts_with("http://") || said.starts_with("https://"));
    // Other paths of a Patient, as `Patient/1/$everything`: the import reads them.
    let is_patient = said.starts_with("Patient/") || said.contains("/Patient/") || said.contains("Patient?");
    if (is_id && is_kind && is_rest || is_patient) && !said.contains(char::is_whitespace) {
        return Named::Reference(said.to_owned());
    }
    plain(said)
}

/// The URI of an assigning authority (HD of HL7 v2): `namespace&universal id&type`.
pub fn authority_uri(said: &str) -> String {
    let mut parts = said.split('&').map(str::trim);
    let (name, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = parts.next().unwrap_or_default();
    let id = if id.is_empty() && is_oid(name) { name } else { id };
    match id {
        "" => name.to_owned(),
        id if id.contains(':') => id.to_owned(),
        id if is_oid(id) && matches!(kind, "" | "ISO") => format!("urn:oid:{id}"),
        id => id.to_owned(),
    }
}

fn is_oid(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn is_uri(text: &str) -> bool {
    text.contains(':') && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_identifier_is_read() {
        let ins = Named::Identifier { system: "urn:oid:1.2.250.1.213.1.4.8".into(), value: "279035121518989".into() };
        for said in [
            "279035121518989^^^&1.2.250.1.213.1.4.8&ISO^NH",
            "279035121518989^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.8&ISO^INS",
            "279035121518989^^^&amp;1.2.250.1.213.1.4.8&amp;ISO",
            "279035121518989^^^1.2.250.1.213.1.4.8",
            "urn:oid:1.2.250.1.213.1.4.8|279035121518989",
            " 279035121518989^^^&urn:oid:1.2.250.1.213.1.4.8&URI ",
        ] {
            assert_eq!(parse(said), ins, "{said}");
        }
        let identifier = |system: &str, value: &str| Named::Identifier { system: system.into(), value: value.into() };
        assert_eq!(parse("123^^^HOSPITAL"), identifier("HOSPITAL", "123"));
        assert_eq!(parse("899700000001<jdupont@https://sts.example>"), identifier("https://sts.example", "jdupont"));
        for said in ["Patient/1", "https://h.example/fhir/Patient/1", "Patient/1/$everything", "DocumentReference/a-1"]
        {
            assert_eq!(parse(said), Named::Reference(said.into()), "{said}");
        }
        for said in ["279035121518989", "1.2.3.4", "urn:uuid:a", "DOMAIN\\jdupont", "a/b/c", "", "Jean Dupont"] {
            assert_eq!(parse(said), identifier("", said), "{said}");
        }
    }
}
