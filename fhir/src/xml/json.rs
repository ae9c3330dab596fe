//! JSON whose numbers keep their text, and in which a name that stands twice is an error.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{BYTES_MAX, DEPTH_MAX, XmlError};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// null: the place of a value that has only extensions.
    Null,
    /// true or false
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object, in the order of the document.
    Object(Vec<(String, Node)>),
}

/// Reads a document.
///
/// # Errors
/// When it isn't JSON, has a name twice, or is too deep or too large.
pub(super) fn parse(json: &[u8]) -> Result<Node, XmlError> {
    if json.len() > BYTES_MAX {
        return Err(XmlError::new("", format!("over {BYTES_MAX} bytes of JSON: cut it into several documents")));
    }
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let raw = serde_json::from_slice::<&RawValue>(json).map_err(|error| not_json(&error))?;
    // A list in an object is one element deeper in JSON, and none in XML.
    node(raw, 2 * DEPTH_MAX)
}

fn not_json(error: &serde_json::Error) -> XmlError {
    XmlError::new("", format!("not JSON: {error}"))
}

fn node(raw: &RawValue, levels: usize) -> Result<Node, XmlError> {
    let text = raw.get();
    let first = text.bytes().next().unwrap_or_default();
    if levels == 0 && matches!(first, b'{' | b'[') {
        return Err(XmlError::new("", format!("over {DEPTH_MAX} levels of elements")));
    }
    Ok(match first {
        b'n' => Node::Null,
        b't' => Node::Bool(true),
        b'f' => Node::Bool(false),
        b'"' => Node::Text(serde_json::from_str(text).map_err(|error| not_json(&error))?),
        b'{' => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let members = deserializer.deserialize_map(Members).map_err(|error| not_json(&error))?;
            let mut names = BTreeSet::new();
            if let Some((name, _)) = members.iter().find(|(name, _)| !names.insert(name.as_str())) {
                let shown: String = name.chars().take(64).collect();
                return Err(XmlError::new("", format!("a name stands there twice: {shown}")));
            }
            let members = members.into_iter().map(|(name, raw)| Ok((name, node(raw, levels - 1)?)));
            Node::Object(members.collect::<Result<_, XmlError>>()?)
        }
        b'[' => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let items = deserializer.deserialize_seq(Items).map_err(|error| not_json(&error))?;
            Node::List(items.into_iter().map(|raw| node(raw, levels - 1)).collect::<Result<_, _>>()?)
        }
        _ => Node::Number(text.to_owned()),
    })
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(member) = map.next_entry()? {
            out.push(member);
        }
        Ok(out)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = seq.next_element()? {
            out.push(item);
        }
        Ok(out)
    }
}
