//! Parameters, the resource that operations take and give.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::of_type;
use super::request::Request;
use crate::http::answer::Answer;
use crate::http::outcome::Issue;

/// Parameters of one operation.
const PARTS_MAX: usize = 1_024;

/// What an operation was given.
pub struct Given<'a>(&'a [Value]);

impl<'a> Given<'a> {
    /// Of the body of a request.
    ///
    /// # Errors
    /// `400` where it is no Parameters.
    pub fn of(request: &'a Request) -> Result<Self, Answer> {
        let body = of_type(request, "Parameters")?;
        let parts = match &body["parameter"] {
            Value::Null => &[][..],
            Value::Array(parts) => parts,
            _ => return Err(wrong("structure", "Parameters.parameter", "parameter is an array")),
        };
        match parts.len() <= PARTS_MAX {
            true => Ok(Self(parts)),
            false => Err(wrong("too-costly", "Parameters.parameter", "too many parameters: ask several times")),
        }
    }

    /// Of the parts of one parameter.
    fn parts(of: &'a Value) -> Self {
        Self(of["part"].as_array().map_or(&[], Vec::as_slice))
    }

    /// Every parameter of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |parameter| parameter["name"].as_str() == Some(name))
    }

    /// The one of this name.
    ///
    /// # Errors
    /// `400` where there are several.
    pub fn one(&self, name: &str) -> Result<Option<&'a Value>, Answer> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (found, None) => Ok(found),
            _ => Err(wrong("value", &at(name), "it stands there more than once: send it once")),
        }
    }

    /// Refuses a parameter that none of these names: one that isn't understood could change the question.
    ///
    /// # Errors
    /// `400`.
    pub fn only(&self, names: &[&str]) -> Result<(), Answer> {
        let unknown =
            self.0.iter().find(|parameter| !parameter["name"].as_str().is_some_and(|name| names.contains(&name)));
        match unknown {
            None => Ok(()),
            Some(_) => Err(wrong(
                "not-supported",
                "Parameters.parameter.name",
                &format!("a parameter isn't understood: the operation takes {}", names.join(", ")),
            )),
        }
    }

    /// A text: a string, a code, a uri, a Coding's code, whatever type it has.
    ///
    /// # Errors
    /// `400` where it stands there twice or is no text.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Answer> {
        let Some(parameter) = self.one(name)? else { return Ok(None) };
        let text =
            ["valueString", "valueCode", "valueUri", "valueId", "valueDateTime", "valueInstant", "valueMarkdown"]
                .iter()
                .find_map(|kind| parameter[*kind].as_str())
                .or_else(|| parameter["valueCoding"]["code"].as_str())
                .or_else(|| parameter["valueCodeableConcept"]["coding"][0]["code"].as_str());
        match text {
            Some(text) => Ok(Some(text)),
            None => Err(wrong("value", &at(name), "it is a string, a code or a Coding")),
        }
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// `400`.
    pub fn needed(&self, name: &str) -> Result<&'a str, Answer> {
        self.text(name)?.ok_or_else(|| wrong("required", &at(name), &format!("the parameter `{name}` is missing")))
    }

    /// The parts of the parameter of this name, where it has any.
    ///
    /// # Errors
    /// `400` where there are several.
    pub fn within(&self, name: &str) -> Result<Option<Given<'a>>, Answer> {
        Ok(self.one(name)?.map(Self::parts))
    }

    /// The (system, value) of an identifier: `valueIdentifier`, a Reference's identifier, or a string `system|value`.
    ///
    /// # Errors
    /// `400` where it stands there twice or says none.
    pub fn identifier(&self, name: &str) -> Result<Option<(String, String)>, Answer> {
        match self.one(name)? {
            None => Ok(None),
            Some(parameter) => identifier_of(parameter).map(Some).ok_or_else(|| {
                wrong(
                    "value",
                    &at(name),
                    "write an Identifier with system and value, as valueIdentifier or valueReference",
                )
            }),
        }
    }
}

/// The parts of a parameter.
pub fn parts_of(parameter: &Value) -> Given<'_> {
    Given::parts(parameter)
}

/// The (system, value) that a parameter names.
pub fn identifier_of(parameter: &Value) -> Option<(String, String)> {
    let of = |identifier: &Value| {
        let value = identifier["value"].as_str()?;
        Some((identifier["system"].as_str().unwrap_or_default().to_owned(), value.to_owned()))
    };
    of(&parameter["valueIdentifier"]).or_else(|| of(&parameter["valueReference"]["identifier"])).or_else(|| {
        let text = parameter["valueString"].as_str().or_else(|| parameter["valueReference"]["reference"].as_str())?;
        let (system, value) = text.split_once('|').unwrap_or(("", text));
        Some((system.to_owned(), value.to_owned()))
    })
}

/// Where a parameter stands.
pub fn at(name: &str) -> String {
    format!("Parameters.parameter.where(name = '{name}')")
}

/// A refusal of a parameter.
pub fn wrong(code: &'static str, at: &str, why: &str) -> Answer {
    Answer::issue(StatusCode::BAD_REQUEST, Issue::error(code, why).at(at))
}

/// A parameter with a value, whose type `kind` is as `String`.
pub fn value(name: &str, kind: &str, value: impl Into<Value>) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(name));
    out.insert(format!("value{kind}"), value.into());
    Value::Object(out)
}

/// A parameter with parts.
pub fn group(name: &str, parts: Vec<Value>) -> Value {
    json!({"name": name, "part": parts})
}

/// The resource.
pub fn resource(parameters: Vec<Value>) -> Value {
    json!({"resourceType": "Parameters", "parameter": parameters})
}
