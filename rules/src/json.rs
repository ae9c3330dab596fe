//! JSON that two programs can't read in two ways: one object, no name twice, bounded depth.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Checks that `text` is one JSON object without repeated names, at most `depth_max` deep (itself counts as 1).
///
/// # Errors
/// When it isn't.
pub(crate) fn check_object(text: &str, depth_max: usize) -> Result<(), serde_json::Error> {
    let mut input = serde_json::Deserializer::from_str(text);
    if !text.trim_start().starts_with('{') {
        return Err(Error::custom("not a JSON object"));
    }
    Depth(depth_max).deserialize(&mut input)?;
    input.end()
}

/// Checks that `text` is one JSON object without repeated names: two programs read another document in one that has them.
///
/// # Errors
/// Which name stands there twice, or what else is wrong.
pub fn check_names(text: &str) -> Result<(), serde_json::Error> {
    check_object(text, 128)
}

/// The same JSON without the spaces between its parts. `text` is JSON already.
pub(crate) fn compact(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        if quoted {
            quoted = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        quoted = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    text.chars().filter(keep).collect()
}

/// How much deeper the value may go.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too many levels"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while items.next_element_seed(depth)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = fields.next_key()? {
            fields.next_value_seed(depth)?;
            if !names.insert(name.clone()) {
                // Which one isn't said: it is content of a record, and errors travel further than records do.
                return Err(Error::custom("a name stands there twice"));
            }
        }
        Ok(())
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_without_repeated_names_is_accepted() {
        for good in ["{}", " {\"a\": [1, -2.5, null, true, \"x\"], \"b\": {\"a\": {}}}\n"] {
            check_object(good, 3).expect(good);
        }
        for bad in [
            "",
            "[]",
            "1",
            "\"{}\"",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"a\":{\"b\":{\"c\":{}}}}",
            "{\"a\":[[[1]]]}",
            "{\"a\":1e999}",
            "{a:1}",
        ] {
            assert!(check_object(bad, 3).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_spaces_between_parts_are_taken_out() {
        let text = "{ \"a b\" :\n [ 1 , \"\\\" \\\\\" , \" \" ] }";
        assert_eq!(compact(text), "{\"a b\":[1,\"\\\" \\\\\",\" \"]}");
    }
}
