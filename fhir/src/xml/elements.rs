//! Which elements each type of FHIR R4 has, in their order, and which of them repeat.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One line a type; `make_elements.mjs` says how it was made and how it is written.
const TABLE: &str = include_str!("elements.txt");

/// The form in JSON of a primitive type's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    /// true or false
    Boolean,
    /// A whole number, from this one on.
    Whole(i32),
    /// A number that keeps its text.
    Decimal,
    /// A string.
    Text,
}

/// The content of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value, and what extensions say of it.
    Primitive(Primitive),
    /// Elements.
    Complex(&'static str),
    /// Any resource.
    Resource,
    /// A narrative.
    Xhtml,
}

/// An element of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name, of a choice with its type: `valueString`.
    pub name: String,
    /// Its content.
    pub kind: Kind,
    /// True if it repeats.
    pub many: bool,
    /// True if XML writes it as an attribute.
    pub is_attribute: bool,
    /// The name of the choice of which it is one: `value[x]`.
    pub choice: Option<&'static str>,
}

/// A type.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its name: `AuditEvent.agent`.
    pub name: &'static str,
    /// True if it is a resource.
    pub is_resource: bool,
    /// Its elements, in their order.
    pub elements: Vec<Element>,
    by_name: HashMap<String, usize>,
}

impl Shape {
    /// Where an element stands in [`Self::elements`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// The type with this name, of a resource or a datatype.
pub(super) fn shape(name: &str) -> Option<&'static Shape> {
    SHAPES.get(name)
}

/// The resource with this name.
pub(super) fn resource(name: &str) -> Option<&'static Shape> {
    shape(name).filter(|shape| shape.is_resource)
}

static SHAPES: LazyLock<HashMap<&'static str, Shape>> =
    LazyLock::new(|| TABLE.lines().map(row).map(|shape| (shape.name, shape)).collect());

fn row(line: &'static str) -> Shape {
    let mut words = line.split(' ');
    let name = words.next().expect("a line of the table begins with a name");
    let base = words.next().expect("a line of the table has a base");
    let inherited: &[&'static str] = match base {
        "R" => &["id:id", "meta:Meta", "implicitRules:uri", "language:code"],
        "D" => &[
            "id:id",
            "meta:Meta",
            "implicitRules:uri",
            "language:code",
            "text:Narrative",
            "contained:Resource*",
            "extension:Extension*",
            "modifierExtension:Extension*",
        ],
        "B" => &["id:string@", "extension:Extension*", "modifierExtension:Extension*"],
        "E" => &["id:string@", "extension:Extension*"],
        other => unreachable!("the table has a base {other}"),
    };
    let elements: Vec<Element> = inherited.iter().copied().chain(words).flat_map(word).collect();
    let by_name = elements.iter().enumerate().map(|(at, element)| (element.name.clone(), at)).collect();
    Shape { name, is_resource: matches!(base, "R" | "D"), elements, by_name }
}

/// An element, or each of a choice.
fn word(word: &'static str) -> Vec<Element> {
    let (name, types) = word.split_once(':').expect("an element of the table has a type");
    let many = types.ends_with('*');
    let types = types.trim_end_matches('*');
    let is_attribute = types.ends_with('@');
    let types = types.trim_end_matches('@');
    let element = |name: String, of: &'static str, choice| Element { name, kind: kind(of), many, is_attribute, choice };
    match name.strip_suffix("[x]") {
        None => vec![element(name.to_owned(), types, None)],
        Some(base) => types
            .split('|')
            .map(|of| {
                let (first, rest) = of.split_at(1);
                element(format!("{base}{}{rest}", first.to_ascii_uppercase()), of, Some(name))
            })
            .collect(),
    }
}

fn kind(of: &'static str) -> Kind {
    match of {
        "Resource" => Kind::Resource,
        "xhtml" => Kind::Xhtml,
        "boolean" => Kind::Primitive(Primitive::Boolean),
        "integer" => Kind::Primitive(Primitive::Whole(i32::MIN)),
        "unsignedInt" => Kind::Primitive(Primitive::Whole(0)),
        "positiveInt" => Kind::Primitive(Primitive::Whole(1)),
        "decimal" => Kind::Primitive(Primitive::Decimal),
        of if of.starts_with(|c: char| c.is_ascii_lowercase()) => Kind::Primitive(Primitive::Text),
        of => Kind::Complex(of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_an_element_is_of_stands_in_the_table() {
        for shape in SHAPES.values() {
            for element in &shape.elements {
                if let Kind::Complex(of) = element.kind {
                    assert!(super::shape(of).is_some_and(|of| !of.is_resource), "{}.{}", shape.name, element.name);
                }
            }
        }
        assert_eq!(SHAPES.len(), TABLE.lines().count(), "each name once");
    }

    #[test]
    fn the_table_says_what_hl7_says() {
        let event = resource("AuditEvent").expect("there");
        let names: Vec<&str> = event.elements.iter().map(|element| element.name.as_str()).collect();
        assert_eq!(names[8..12], ["type", "subtype", "action", "period"]);
        assert!(event.elements[event.position("agent").expect("there")].many);
        let requestor = shape("AuditEvent.agent").and_then(|shape| shape.elements.get(shape.position("requestor")?));
        assert_eq!(requestor.expect("there").kind, Kind::Primitive(Primitive::Boolean));
        let extension = shape("Extension").expect("there");
        assert!(extension.elements[extension.position("url").expect("there")].is_attribute);
        assert_eq!(extension.elements[extension.position("valueDecimal").expect("there")].choice, Some("value[x]"));
        assert!(
            extension.position("value[x]").is_none() && resource("Coding").is_none() && resource("Claim").is_none()
        );
    }
}
