//! From a tree to JSON. The table says of what type each element is; JSON follows the order of the table.

use std::collections::BTreeMap;

use super::XmlError;
use super::elements::{self, Kind, Primitive, Shape};
use super::narrative;
use super::tree::{Element, Space};

/// The JSON of a resource.
///
/// # Errors
/// With the path of what FHIR R4 doesn't have.
pub(super) fn resource(root: &Element<'_>) -> Result<String, XmlError> {
    let mut out = String::with_capacity(root.source.len());
    write_resource(root, &root.name, &mut out)?;
    Ok(out)
}

fn write_resource(element: &Element<'_>, at: &str, out: &mut String) -> Result<(), XmlError> {
    in_fhir(element, at)?;
    let Some(shape) = elements::resource(&element.name) else {
        let why = format!("{} is no resource that is read as XML: send it as JSON", element.name);
        return Err(XmlError::new(at, why));
    };
    out.push_str("{\"resourceType\":");
    push_string(&element.name, out);
    write_members(element, shape, at, true, out)?;
    out.push('}');
    Ok(())
}

fn write_complex(element: &Element<'_>, shape: &Shape, at: &str, out: &mut String) -> Result<(), XmlError> {
    in_fhir(element, at)?;
    out.push('{');
    write_members(element, shape, at, false, out)?;
    out.push('}');
    Ok(())
}

/// The content of an element, as members of an object that is open. `is_begun`: it has a member already.
fn write_members(
    element: &Element<'_>,
    shape: &Shape,
    at: &str,
    mut is_begun: bool,
    out: &mut String,
) -> Result<(), XmlError> {
    no_text(element, at)?;
    let mut found: BTreeMap<usize, Vec<&Element<'_>>> = BTreeMap::new();
    for child in &element.children {
        match shape.position(&child.name) {
            Some(position) if !shape.elements[position].is_attribute => found.entry(position).or_default().push(child),
            _ => return Err(no_element(&child.name, shape, &format!("{at}.{}", child.name))),
        }
    }
    let mut attributes: BTreeMap<usize, &str> = BTreeMap::new();
    for (name, value) in &element.attributes {
        match shape.position(name).filter(|position| shape.elements[*position].is_attribute) {
            Some(position) => attributes.insert(position, value.as_ref()),
            None => return Err(XmlError::new(format!("{at}.@{name}"), "no attribute of this element in FHIR R4")),
        };
    }
    if found.is_empty() && attributes.is_empty() {
        return Err(XmlError::new(at, "an empty element: FHIR leaves absent elements out"));
    }
    let mut begin = |name: &str, out: &mut String| {
        if std::mem::replace(&mut is_begun, true) {
            out.push(',');
        }
        push_string(name, out);
        out.push(':');
    };
    let mut choices: Vec<&str> = Vec::new();
    for (position, definition) in shape.elements.iter().enumerate() {
        let (name, at) = (definition.name.as_str(), format!("{at}.{}", definition.name));
        if let Some(value) = attributes.get(&position) {
            if value.is_empty() {
                return Err(XmlError::new(at, EMPTY));
            }
            begin(name, out);
            push_string(value, out);
        }
        let Some(all) = found.get(&position) else { continue };
        if all.len() > 1 && !definition.many {
            return Err(XmlError::new(at, "there twice: this element doesn't repeat"));
        }
        if let Some(choice) = definition.choice {
            if choices.contains(&choice) {
                return Err(XmlError::new(at, format!("a second value of {choice}")));
            }
            choices.push(choice);
        }
        let at_each = |i: usize| if definition.many { format!("{at}[{i}]") } else { at.clone() };
        if let Kind::Primitive(kind) = definition.kind {
            let mut values = Vec::with_capacity(all.len());
            let mut extras = Vec::with_capacity(all.len());
            for (i, child) in all.iter().enumerate() {
                let (value, extra) = primitive(child, kind, &at_each(i))?;
                values.push(value);
                extras.push(extra);
            }
            for (name, parts) in [(name.to_owned(), values), (format!("_{name}"), extras)] {
                if parts.iter().all(Option::is_none) {
                    continue;
                }
                begin(&name, out);
                push_parts(&parts, definition.many, out);
            }
            continue;
        }
        begin(name, out);
        if definition.many {
            out.push('[');
        }
        for (i, child) in all.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            let at = at_each(i);
            match definition.kind {
                Kind::Complex(of) => {
                    let shape = elements::shape(of).expect("a test says that every type stands in the table");
                    write_complex(child, shape, &at, out)?;
                }
                Kind::Resource => write_resource(inner(child, &at)?, &at, out)?,
                Kind::Xhtml => push_string(&narrative::of_element(child, &at)?, out),
                Kind::Primitive(_) => unreachable!("written above"),
            }
        }
        if definition.many {
            out.push(']');
        }
    }
    Ok(())
}

/// The resource in `contained` or `resource`.
fn inner<'a, 'b>(element: &'b Element<'a>, at: &str) -> Result<&'b Element<'a>, XmlError> {
    in_fhir(element, at)?;
    no_text(element, at)?;
    match (element.children.as_slice(), element.attributes.is_empty()) {
        ([one], true) => Ok(one),
        _ => Err(XmlError::new(at, "expected one resource in this element, and nothing beside it")),
    }
}

/// The JSON of a value, and of what is said of it.
fn primitive(element: &Element<'_>, kind: Primitive, at: &str) -> Result<(Option<String>, Option<String>), XmlError> {
    in_fhir(element, at)?;
    no_text(element, at)?;
    let mut value = None;
    let mut extra = String::new();
    for (name, said) in &element.attributes {
        if said.is_empty() {
            return Err(XmlError::new(at, EMPTY));
        }
        match name.as_str() {
            "value" => value = Some(json_of(said, kind, at)?),
            "id" => {
                extra.push_str("\"id\":");
                push_string(said, &mut extra);
            }
            _ => return Err(XmlError::new(format!("{at}.@{name}"), "no attribute of this element in FHIR R4")),
        }
    }
    let shape = elements::shape("Extension").expect("in the table");
    for (i, child) in element.children.iter().enumerate() {
        if child.name != "extension" {
            let why = "a value has no elements in it but extensions";
            return Err(XmlError::new(format!("{at}.{}", child.name), why));
        }
        extra.push_str(match i {
            0 if extra.is_empty() => "\"extension\":[",
            0 => ",\"extension\":[",
            _ => ",",
        });
        write_complex(child, shape, &format!("{at}.extension[{i}]"), &mut extra)?;
    }
    if !element.children.is_empty() {
        extra.push(']');
    }
    if value.is_none() && element.children.is_empty() {
        return Err(XmlError::new(at, "an empty element: FHIR leaves absent elements out"));
    }
    Ok((value, (!extra.is_empty()).then(|| format!("{{{extra}}}"))))
}

fn json_of(said: &str, kind: Primitive, at: &str) -> Result<String, XmlError> {
    match kind {
        Primitive::Text => {
            let mut out = String::with_capacity(said.len() + 2);
            push_string(said, &mut out);
            Ok(out)
        }
        Primitive::Boolean if matches!(said, "true" | "false") => Ok(said.to_owned()),
        Primitive::Boolean => Err(XmlError::new(at, "expected true or false")),
        // XML may write a sign that JSON doesn't.
        Primitive::Whole(min) => whole(said.strip_prefix('+').unwrap_or(said), min, at).map(str::to_owned),
        Primitive::Decimal if is_number(said) => Ok(said.to_owned()),
        Primitive::Decimal => Err(XmlError::new(at, "expected a number")),
    }
}

/// A whole number of FHIR: no zeros before it, and within its type.
pub(super) fn whole<'a>(said: &'a str, min: i32, at: &str) -> Result<&'a str, XmlError> {
    match said.parse::<i32>() {
        Ok(number) if number >= min && number.to_string() == said => Ok(said),
        _ => Err(XmlError::new(at, format!("expected a whole number, {min} to 2147483647"))),
    }
}

/// Tells whether a text is a number as JSON and FHIR write it.
pub(super) fn is_number(said: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(said).is_ok()
        && said.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && said.len() <= NUMBER_BYTES_MAX
        && !said.ends_with(char::is_whitespace)
}

/// Longest number, bytes: FHIR asks for 18 digits.
const NUMBER_BYTES_MAX: usize = 64;

fn push_parts(parts: &[Option<String>], many: bool, out: &mut String) {
    let joined: Vec<&str> = parts.iter().map(|part| part.as_deref().unwrap_or("null")).collect();
    match many {
        true => {
            out.push('[');
            out.push_str(&joined.join(","));
            out.push(']');
        }
        false => out.push_str(joined[0]),
    }
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a string is JSON"));
}

const EMPTY: &str = "an empty value: FHIR leaves absent elements out";

fn in_fhir(element: &Element<'_>, at: &str) -> Result<(), XmlError> {
    match element.space {
        Space::Fhir => Ok(()),
        _ => Err(XmlError::new(at, "expected an element of the namespace http://hl7.org/fhir")),
    }
}

fn no_text(element: &Element<'_>, at: &str) -> Result<(), XmlError> {
    match element.text.trim().is_empty() {
        true => Ok(()),
        false => Err(XmlError::new(at, "text in an element: FHIR writes values as attributes")),
    }
}

/// The refusal of an element that a type doesn't have.
pub(super) fn no_element(name: &str, shape: &Shape, at: &str) -> XmlError {
    XmlError::new(at, format!("{name} is not an element of {} in FHIR R4", shape.name))
}
