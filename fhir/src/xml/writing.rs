//! From JSON to XML, in the order of the table.

use super::elements::{self, Kind, Primitive, Shape};
use super::json::Node;
use super::reading::{is_number, no_element, whole};
use super::{DEPTH_MAX, FHIR, XmlError, is_xml_char, narrative};

/// The XML of a resource.
///
/// # Errors
/// With the path of what FHIR R4 doesn't have.
pub(super) fn document(root: &Node) -> Result<String, XmlError> {
    let mut writer = Writer { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(), depth: 0 };
    let name = type_of(root, "")?;
    writer.resource(root, name, name, Some(FHIR))?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    depth: usize,
}

/// The members of an object that FHIR has.
type Members = [(String, Node)];

fn members<'a>(node: &'a Node, at: &str) -> Result<&'a Members, XmlError> {
    match node {
        Node::Object(members) if members.is_empty() => {
            Err(XmlError::new(at, "an empty object: FHIR leaves absent elements out"))
        }
        Node::Object(members) => Ok(members),
        _ => Err(XmlError::new(at, "expected a JSON object")),
    }
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Node> {
    members.iter().find(|(own, _)| own == name).map(|(_, node)| node)
}

fn type_of<'a>(node: &'a Node, at: &str) -> Result<&'a str, XmlError> {
    match member(members(node, at)?, "resourceType") {
        Some(Node::Text(name)) => Ok(name),
        _ => Err(XmlError::new(at, "not a FHIR resource: resourceType is missing")),
    }
}

impl Writer {
    fn open(&mut self, name: &str, at: &str) -> Result<(), XmlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(XmlError::new(at, format!("over {DEPTH_MAX} levels of elements")));
        }
        self.out.push('<');
        self.out.push_str(name);
        Ok(())
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn attribute(&mut self, name: &str, value: &str, at: &str) -> Result<(), XmlError> {
        if value.is_empty() {
            return Err(XmlError::new(at, "an empty value: FHIR leaves absent elements out"));
        }
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        for c in value.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                // A reader would make spaces of these.
                '\t' => self.out.push_str("&#9;"),
                '\n' => self.out.push_str("&#10;"),
                '\r' => self.out.push_str("&#13;"),
                c if is_xml_char(c) => self.out.push(c),
                _ => return Err(XmlError::new(at, "a character that XML can't hold: only JSON can")),
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn resource(&mut self, node: &Node, name: &str, at: &str, xmlns: Option<&str>) -> Result<(), XmlError> {
        let Some(shape) = elements::resource(name) else {
            let shown: String = name.chars().take(64).collect();
            return Err(XmlError::new(at, format!("{shown} is no resource that is written as XML: ask for JSON")));
        };
        self.open(name, at)?;
        if let Some(space) = xmlns {
            self.attribute("xmlns", space, at)?;
        }
        self.out.push('>');
        self.elements(members(node, at)?, shape, at)?;
        self.close(name);
        Ok(())
    }

    fn complex(&mut self, node: &Node, name: &str, shape: &Shape, at: &str) -> Result<(), XmlError> {
        let members = members(node, at)?;
        self.open(name, at)?;
        for definition in shape.elements.iter().filter(|definition| definition.is_attribute) {
            match member(members, &definition.name) {
                Some(Node::Text(value)) => {
                    self.attribute(&definition.name, value, &format!("{at}.{}", definition.name))?
                }
                Some(_) => return Err(XmlError::new(format!("{at}.{}", definition.name), "expected a JSON string")),
                None => {}
            }
        }
        self.out.push('>');
        self.elements(members, shape, at)?;
        self.close(name);
        Ok(())
    }

    fn elements(&mut self, members: &Members, shape: &Shape, at: &str) -> Result<(), XmlError> {
        for (name, _) in members {
            let base = name.strip_prefix('_').unwrap_or(name);
            let definition = shape.position(base).map(|position| &shape.elements[position]);
            let is_known = match definition {
                None => name == "resourceType" && shape.is_resource,
                Some(definition) => {
                    base.len() == name.len()
                        || matches!(definition.kind, Kind::Primitive(_)) && !definition.is_attribute
                }
            };
            if !is_known {
                let shown: String = name.chars().take(64).collect();
                return Err(no_element(&shown, shape, &format!("{at}.{shown}")));
            }
        }
        let mut choices: Vec<&str> = Vec::new();
        for definition in shape.elements.iter().filter(|definition| !definition.is_attribute) {
            let name = definition.name.as_str();
            let value = member(members, name);
            let extra = match definition.kind {
                Kind::Primitive(_) => member(members, &format!("_{name}")),
                _ => None,
            };
            if value.is_none() && extra.is_none() {
                continue;
            }
            let at = format!("{at}.{name}");
            if let Some(choice) = definition.choice {
                if choices.contains(&choice) {
                    return Err(XmlError::new(at, format!("a second value of {choice}")));
                }
                choices.push(choice);
            }
            if !definition.many {
                self.one(value, extra, definition.kind, name, &at)?;
                continue;
            }
            let values = value.map(|value| list(value, &at)).transpose()?.unwrap_or_default();
            let extras = extra.map(|extra| list(extra, &at)).transpose()?.unwrap_or_default();
            if !values.is_empty() && !extras.is_empty() && values.len() != extras.len() {
                return Err(XmlError::new(at, "one place for each value, null where nothing is said of it"));
            }
            for i in 0..values.len().max(extras.len()) {
                self.one(values.get(i), extras.get(i), definition.kind, name, &format!("{at}[{i}]"))?;
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        value: Option<&Node>,
        extra: Option<&Node>,
        kind: Kind,
        name: &str,
        at: &str,
    ) -> Result<(), XmlError> {
        let present = |node: Option<&Node>| node.is_some_and(|node| *node != Node::Null);
        match (kind, value) {
            (Kind::Primitive(kind), _) => {
                let value = value.filter(|_| present(value));
                let extra = extra.filter(|_| present(extra));
                self.primitive(value, extra, kind, name, at)
            }
            (Kind::Complex(of), Some(node)) => {
                let shape = elements::shape(of).expect("a test says that every type stands in the table");
                self.complex(node, name, shape, at)
            }
            (Kind::Resource, Some(node)) => {
                self.open(name, at)?;
                self.out.push('>');
                self.resource(node, type_of(node, at)?, at, None)?;
                self.close(name);
                Ok(())
            }
            (Kind::Xhtml, Some(Node::Text(text))) => {
                if self.depth + narrative::levels(text, at)? > DEPTH_MAX {
                    return Err(XmlError::new(at, format!("over {DEPTH_MAX} levels of elements")));
                }
                self.out.push_str(text);
                Ok(())
            }
            (Kind::Xhtml, _) => Err(XmlError::new(at, "expected a JSON string")),
            (_, None) => unreachable!("only a primitive may have no value"),
        }
    }

    fn primitive(
        &mut self,
        value: Option<&Node>,
        extra: Option<&Node>,
        kind: Primitive,
        name: &str,
        at: &str,
    ) -> Result<(), XmlError> {
        let extra = extra.map(|extra| members(extra, at)).transpose()?.unwrap_or_default();
        let extensions = member(extra, "extension").map(|all| list(all, at)).transpose()?.unwrap_or_default();
        if let Some((name, _)) = extra.iter().find(|(name, _)| !matches!(name.as_str(), "id" | "extension")) {
            let shown: String = name.chars().take(64).collect();
            return Err(XmlError::new(format!("{at}.{shown}"), "expected id and extension only"));
        }
        if value.is_none() && extensions.is_empty() {
            return Err(XmlError::new(at, "neither a value nor an extension: FHIR leaves absent elements out (ele-1)"));
        }
        self.open(name, at)?;
        match member(extra, "id") {
            Some(Node::Text(id)) => self.attribute("id", id, at)?,
            Some(_) => return Err(XmlError::new(at, "expected a JSON string")),
            None => {}
        }
        if let Some(value) = value {
            self.attribute("value", text_of(value, kind, at)?, at)?;
        }
        self.out.push('>');
        let shape = elements::shape("Extension").expect("in the table");
        for (i, extension) in extensions.iter().enumerate() {
            self.complex(extension, "extension", shape, &format!("{at}.extension[{i}]"))?;
        }
        self.close(name);
        Ok(())
    }
}

fn list<'a>(node: &'a Node, at: &str) -> Result<&'a [Node], XmlError> {
    match node {
        Node::List(items) if items.is_empty() => {
            Err(XmlError::new(at, "an empty array: FHIR leaves absent elements out"))
        }
        Node::List(items) => Ok(items),
        _ => Err(XmlError::new(at, "this element repeats: expected a JSON array")),
    }
}

fn text_of<'a>(value: &'a Node, kind: Primitive, at: &str) -> Result<&'a str, XmlError> {
    match (kind, value) {
        (Primitive::Text, Node::Text(text)) => Ok(text),
        (Primitive::Boolean, Node::Bool(true)) => Ok("true"),
        (Primitive::Boolean, Node::Bool(false)) => Ok("false"),
        (Primitive::Whole(min), Node::Number(text)) => whole(text, min, at),
        (Primitive::Decimal, Node::Number(text)) if is_number(text) => Ok(text),
        (Primitive::Text, _) => Err(XmlError::new(at, "expected a JSON string")),
        (Primitive::Boolean, _) => Err(XmlError::new(at, "expected true or false")),
        (Primitive::Whole(min), _) => Err(XmlError::new(at, format!("expected a whole number, {min} to 2147483647"))),
        (Primitive::Decimal, _) => Err(XmlError::new(at, "expected a number")),
    }
}
