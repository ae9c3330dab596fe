//! Narratives: XHTML that JSON holds as text. They are kept as they stand, and read by nobody here.

use std::borrow::Cow;

use super::tree::{self, Element, Space};
use super::{XHTML, XmlError};

/// The text of a narrative that stands in a document.
///
/// # Errors
/// When it isn't XHTML, or isn't whole without what stands around it.
pub(super) fn of_element<'a>(element: &Element<'a>, at: &str) -> Result<Cow<'a, str>, XmlError> {
    check(element, at)?;
    if element.declares {
        // XML reads every line's end as one character.
        return Ok(match element.source.contains('\r') {
            true => Cow::Owned(element.source.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(element.source),
        });
    }
    // The namespace is declared further out: JSON has nothing further out.
    let rest = element.source.strip_prefix("<div").expect("an element without a prefix begins with its name");
    Ok(Cow::Owned(format!("<div xmlns=\"{XHTML}\"{rest}")))
}

/// The levels of a narrative that stands in JSON.
///
/// # Errors
/// As [`of_element`], or when it isn't XML alone.
pub(super) fn levels(text: &str, at: &str) -> Result<usize, XmlError> {
    let below = |error: XmlError| XmlError { path: format!("{at}.{}", error.path), ..error };
    let root = tree::text_of(text.as_bytes()).and_then(tree::parse).map_err(below)?;
    check(&root, at)?;
    match root.source.len() == text.len() {
        true => Ok(depth(&root)),
        false => Err(XmlError::new(at, "expected a div of XHTML and nothing beside it")),
    }
}

fn check(element: &Element<'_>, at: &str) -> Result<(), XmlError> {
    if element.name != "div" || !is_xhtml(element) {
        return Err(XmlError::new(at, "expected a div of XHTML, with xmlns=\"http://www.w3.org/1999/xhtml\""));
    }
    match element.is_prefixed {
        true => Err(XmlError::new(at, "a prefix in a narrative: JSON can't hold it; write xmlns on the div instead")),
        false => Ok(()),
    }
}

fn depth(element: &Element<'_>) -> usize {
    1 + element.children.iter().map(depth).max().unwrap_or_default()
}

fn is_xhtml(element: &Element<'_>) -> bool {
    element.space == Space::Xhtml && element.children.iter().all(is_xhtml)
}
