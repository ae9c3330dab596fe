//! The XML of an audit message: that of DICOM (PS3.15 A.5) and that of RFC 3881, which name the same things nearly alike.

use sillage_fhir::xml::tree::{self, Element};

use super::event::Unread;

/// The parts of an audit message, in any number each.
const PARTS: [&str; 4] =
    ["EventIdentification", "ActiveParticipant", "AuditSourceIdentification", "ParticipantObjectIdentification"];

/// The root of an audit message. A namespace says nothing: the two have none, and some senders write one.
///
/// # Errors
/// When it isn't well-formed, isn't an audit message, or has a part that an audit message hasn't: it might name a patient.
pub fn parse(content: &[u8]) -> Result<Element<'_>, Unread> {
    if !content.starts_with(b"<") {
        return Err(Unread::new(
            "syslog message",
            "no XML: only audit messages (DICOM PS3.15 A.5, RFC 3881) are taken",
        ));
    }
    let root = tree::text_of(content).and_then(tree::parse).map_err(|error| Unread::new(error.path, error.reason))?;
    if root.name != "AuditMessage" {
        let why = "expected an AuditMessage of DICOM PS3.15 A.5 or RFC 3881";
        return Err(Unread::new(shown(&root.name), why));
    }
    for child in &root.children {
        if !PARTS.contains(&child.name.as_str()) {
            return Err(Unread::new(format!("AuditMessage.{}", shown(&child.name)), "no part of an audit message"));
        }
    }
    for (name, most) in
        [("EventIdentification", 1), ("ActiveParticipant", 500), ("ParticipantObjectIdentification", 10_000)]
    {
        if root.named(name).count() > most {
            return Err(Unread::new(format!("AuditMessage.{name}"), format!("over {most} of them")));
        }
    }
    Ok(root)
}

/// A name of others, as far as it goes into an error.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
