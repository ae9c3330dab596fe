//! FHIR R4 in XML, to JSON and back, without loss ([FHIR, XML](https://hl7.org/fhir/R4/xml.html)).
//!
//! ```text
//! XML ─▶ tree (well-formed, bounded, no DTD) ─▶ reading: which type each element is of ─▶ JSON
//! JSON ─▶ json (numbers keep their text)     ─▶ writing: the order of each type        ─▶ XML
//! ```
//!
//! The two forms differ by what XML doesn't say: whether an element repeats, and whether `1` is a number. [`elements`] holds a
//! table of every type that is read (`elements.txt`, made by `make_elements.mjs`). What a form says is checked no further here:
//! [`crate::import`] checks an AuditEvent and a Consent.
//!
//! Where to start reading: [`to_json`] and [`to_xml`]. [`tree`] also serves other XML, as audit messages of DICOM.

mod elements;
mod json;
mod narrative;
mod reading;
pub mod sentences;
pub mod tree;
mod writing;

/// The namespace of FHIR.
pub const FHIR: &str = "http://hl7.org/fhir";
/// The namespace of narratives.
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Levels of elements in each other, at most.
pub const DEPTH_MAX: usize = 64;
/// Bytes of a document, at most.
pub const BYTES_MAX: usize = 64 << 20;

/// Why a document was refused, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", path, if path.is_empty() { "" } else { ": " })]
pub struct XmlError {
    /// The element, such as `AuditEvent.agent[0].who`; empty where the whole document is meant.
    pub path: String,
    /// One sentence.
    pub reason: String,
}

impl XmlError {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        let error = Self { path: path.into(), reason: reason.into() };
        #[cfg(test)]
        assert!(
            crate::import::french::french(&error.reason, &|_| None).is_some(),
            "fhir/src/xml/sentences.rs doesn't say in French: {}",
            error.reason
        );
        error
    }
}

/// The JSON of a resource that is written in XML. Decimals keep their text: `1.10` stays `1.10`.
///
/// # Errors
/// [`XmlError`] when it isn't XML as FHIR has it: not well-formed, with a DTD or an entity, with an element or an attribute that
/// R4 doesn't have, an element twice that doesn't repeat, too deep, too large.
pub fn to_json(xml: &[u8]) -> Result<String, XmlError> {
    let text = tree::text_of(xml)?;
    reading::resource(&tree::parse(text)?)
}

/// The XML of a resource that is written in JSON, in one line.
///
/// # Errors
/// [`XmlError`] when it isn't JSON as FHIR has it: an element that R4 doesn't have, another type than R4's, a name twice, a
/// narrative that isn't XHTML, a character that XML can't hold, too deep, too large.
pub fn to_xml(json: &[u8]) -> Result<String, XmlError> {
    writing::document(&json::parse(json)?)
}

/// Tells whether XML can hold a character ([XML 1.0](https://www.w3.org/TR/xml/#charsets)).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
