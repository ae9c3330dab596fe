//! XML as a tree: well-formed, bounded, and without what a document of others has no use for. A document type (DTD), an entity
//! beyond the five of XML, a processing instruction and CDATA are refused, so nothing is expanded or fetched.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::{BYTES_MAX, DEPTH_MAX, FHIR, XHTML, XmlError, is_xml_char};

/// Attributes of one element, at most.
const ATTRIBUTES_MAX: usize = 64;
/// Elements of one document, at most.
const ELEMENTS_MAX: usize = 4_000_000;

/// The namespace of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// None.
    Bare,
    /// FHIR's.
    Fhir,
    /// XHTML's.
    Xhtml,
    /// Another one.
    Other(String),
}

/// An element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its namespace.
    pub space: Space,
    /// Its name, without a prefix.
    pub name: String,
    /// Attributes by their names, in their order; those that declare a namespace or say where a schema is are left out.
    pub attributes: Vec<(String, Cow<'a, str>)>,
    /// The elements in it.
    pub children: Vec<Element<'a>>,
    /// Its own text, decoded; what stands between its children is in one piece.
    pub text: String,
    /// As it stands in the document, tags included.
    pub source: &'a str,
    /// True if it, or an element in it, has a name with a prefix.
    pub is_prefixed: bool,
    /// True if its own tag declares a namespace for names without a prefix.
    pub declares: bool,
}

impl Element<'_> {
    /// The attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_ref())
    }

    /// The elements in it that have this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// The text of a document: UTF-8, of at most [`BYTES_MAX`], without the mark that Windows writes before it, and with no character
/// that XML can't hold.
///
/// # Errors
/// When it is none.
pub fn text_of(bytes: &[u8]) -> Result<&str, XmlError> {
    if bytes.len() > BYTES_MAX {
        return Err(XmlError::new("", format!("over {BYTES_MAX} bytes of XML: cut it into several documents")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::new("", "not UTF-8: write the XML in UTF-8"))?;
    match text.chars().position(|c| !is_xml_char(c)) {
        None => Ok(text),
        Some(at) => Err(XmlError::new("", format!("character {at} is none that XML can hold"))),
    }
}

/// The root of a document.
///
/// # Errors
/// When it isn't well-formed, or has what is refused; with the path of the element.
pub fn parse(text: &str) -> Result<Element<'_>, XmlError> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut open: Vec<Element<'_>> = Vec::new();
    let mut root = None;
    let (mut elements, mut is_first) = (0, true);
    loop {
        let from = position(&reader);
        let (space, event) = match reader.read_resolved_event() {
            Ok((space, event)) => (space_of(&space), event),
            Err(error) => return Err(ill_formed(&open, from, &error)),
        };
        let until = position(&reader);
        match event {
            Event::Start(ref start) | Event::Empty(ref start) => {
                elements += 1;
                if open.len() >= DEPTH_MAX {
                    return Err(XmlError::new(path(&open), format!("over {DEPTH_MAX} levels of elements")));
                }
                if elements > ELEMENTS_MAX {
                    return Err(XmlError::new(
                        "",
                        format!("over {ELEMENTS_MAX} elements: cut it into several documents"),
                    ));
                }
                if open.is_empty() && root.is_some() {
                    return Err(XmlError::new("", "a second element beside the root"));
                }
                let element = opened(start, space, text, from, &open)?;
                if let Event::Start(_) = event {
                    open.push(element);
                } else {
                    close(Element { source: &text[from..until], ..element }, &mut open, &mut root);
                }
            }
            Event::End(_) => {
                let element = open.pop().expect("the reader pairs the tags");
                let begin = text.len() - element.source.len();
                close(Element { source: &text[begin..until], ..element }, &mut open, &mut root);
            }
            Event::Text(said) => match open.last_mut() {
                _ if said.contains("]]>") => return Err(ill_formed(&open, from, &"]]> in text")),
                Some(element) => element.text.push_str(&said.xml10_content()),
                None if said.trim().is_empty() => {}
                None => return Err(XmlError::new("", "text outside of the root")),
            },
            Event::GeneralRef(reference) => {
                let at = path(&open);
                let Some(element) = open.last_mut() else {
                    return Err(XmlError::new(at, "text outside of the root"));
                };
                match resolve_xml_entity(&reference) {
                    Some(text) => element.text.push_str(text),
                    None => match reference.resolve_char_ref() {
                        Ok(Some(c)) if is_xml_char(c) => element.text.push(c),
                        Ok(None) => return Err(XmlError::new(at, ENTITY)),
                        _ => return Err(XmlError::new(at, "a reference to a character that XML can't hold")),
                    },
                }
            }
            Event::Comment(_) => {}
            Event::Decl(declaration) => {
                let version = declaration.version().map_err(|error| ill_formed(&open, from, &error))?;
                let encoding = declaration.encoding().transpose().ok().flatten();
                if !is_first || version != "1.0" {
                    return Err(XmlError::new(
                        "",
                        "an XML declaration that isn't the first thing there, or isn't of version 1.0",
                    ));
                }
                if encoding
                    .is_some_and(|said| !said.eq_ignore_ascii_case("utf-8") && !said.eq_ignore_ascii_case("us-ascii"))
                {
                    return Err(XmlError::new("", "not UTF-8: write the XML in UTF-8"));
                }
            }
            Event::DocType(_) => return Err(XmlError::new(path(&open), "a document type (DOCTYPE): take it out")),
            Event::PI(_) => return Err(XmlError::new(path(&open), "a processing instruction (<?...?>): take it out")),
            Event::CData(_) => return Err(XmlError::new(path(&open), "a CDATA section: write escaped text instead")),
            Event::Eof if open.is_empty() => {
                return root.ok_or_else(|| XmlError::new("", "no element: this isn't XML"));
            }
            Event::Eof => return Err(XmlError::new(path(&open), "the document ends before this element does")),
        }
        is_first = false;
    }
}

const ENTITY: &str = "an entity that XML doesn't have by itself: write the character";

fn position(reader: &NsReader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).expect("a position in memory")
}

fn space_of(found: &ResolveResult<'_>) -> Space {
    match found {
        ResolveResult::Unbound => Space::Bare,
        ResolveResult::Bound(Namespace(FHIR)) => Space::Fhir,
        ResolveResult::Bound(Namespace(XHTML)) => Space::Xhtml,
        ResolveResult::Bound(Namespace(other)) => Space::Other((*other).to_owned()),
        ResolveResult::Unknown(prefix) => Space::Other(format!("{prefix}:")),
    }
}

/// An element whose tag was read; its source still reaches to the end of the document.
fn opened<'a>(
    start: &BytesStart<'_>,
    space: Space,
    text: &'a str,
    from: usize,
    open: &[Element<'_>],
) -> Result<Element<'a>, XmlError> {
    let name = start.local_name().into_inner().to_owned();
    let at = match open.is_empty() {
        true => name.clone(),
        false => format!("{}.{name}", path(open)),
    };
    let mut is_prefixed = start.name().prefix().is_some();
    let mut declares = false;
    let mut attributes = Vec::new();
    let mut count = 0;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| XmlError::new(at.clone(), format!("not well-formed: {error}")))?;
        count += 1;
        if count > ATTRIBUTES_MAX {
            return Err(XmlError::new(at, format!("over {ATTRIBUTES_MAX} attributes")));
        }
        let key = attribute.key.into_inner();
        if attribute.value.contains('<') {
            return Err(XmlError::new(at, "not well-formed: < in an attribute"));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| match error.to_string().contains("entity") {
            true => XmlError::new(at.clone(), ENTITY),
            false => XmlError::new(at.clone(), format!("not well-formed: {error}")),
        })?;
        if value.chars().any(|c| !is_xml_char(c)) {
            return Err(XmlError::new(at, "a reference to a character that XML can't hold"));
        }
        match key.split_once(':') {
            _ if key == "xmlns" => declares = true,
            Some(("xmlns", _)) => {}
            // Where a schema is: nobody fetches it here.
            Some(("xsi", "schemaLocation" | "noNamespaceSchemaLocation")) => {}
            Some(("xml", "lang" | "space")) => attributes.push((key.to_owned(), Cow::Owned(value.into_owned()))),
            Some(_) => return Err(XmlError::new(at, format!("{key} is an attribute of a namespace that isn't known"))),
            None => attributes.push((key.to_owned(), Cow::Owned(value.into_owned()))),
        }
    }
    if let Space::Other(ref other) = space {
        is_prefixed = true;
        if other.ends_with(':') {
            return Err(XmlError::new(at, "not well-formed: a prefix that isn't declared"));
        }
    }
    let source = &text[from..];
    Ok(Element { space, name, attributes, children: Vec::new(), text: String::new(), source, is_prefixed, declares })
}

fn close<'a>(element: Element<'a>, open: &mut [Element<'a>], root: &mut Option<Element<'a>>) {
    match open.last_mut() {
        Some(parent) => {
            parent.is_prefixed |= element.is_prefixed;
            parent.children.push(element);
        }
        None => *root = Some(element),
    }
}

fn ill_formed(open: &[Element<'_>], at: usize, error: &dyn std::fmt::Display) -> XmlError {
    XmlError::new(path(open), format!("not well-formed: byte {at}: {error}"))
}

/// The path of the element that is read now.
fn path(open: &[Element<'_>]) -> String {
    let names: Vec<&str> = open.iter().map(|element| element.name.as_str()).collect();
    names.join(".")
}
