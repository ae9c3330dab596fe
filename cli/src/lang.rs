//! The language of a command: what `--lang` says, or the environment.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sillage_words::Lang;

/// The values of `--lang`.
pub fn langs() -> impl TypedValueParser<Value = Lang> {
    let values = Lang::ALL.map(|lang| {
        PossibleValue::new(lang.as_str()).help(match lang {
            Lang::Fr => "French",
            Lang::En => "English",
        })
    });
    PossibleValuesParser::new(values).map(|name| of_name(&name).expect("one of the possible values"))
}

fn of_name(name: &str) -> Option<Lang> {
    Lang::ALL.into_iter().find(|lang| lang.as_str() == name)
}

/// The language of results where `--lang` says nothing: English where the environment asks for it, else French.
pub fn of_environment() -> Lang {
    if locale().starts_with("en") { Lang::En } else { Lang::Fr }
}

/// The language of errors and remarks: the one of `--lang`, else the environment's. Where neither says one, English.
pub fn of_remarks() -> Lang {
    let words: Vec<String> = std::env::args().collect();
    said(&words).unwrap_or(if locale().starts_with("fr") { Lang::Fr } else { Lang::En })
}

/// The language that `--lang` says among the words of a command.
fn said(words: &[String]) -> Option<Lang> {
    let at = words.iter().position(|word| word == "--lang" || word.starts_with("--lang="))?;
    let said = words[at].strip_prefix("--lang=").or(words.get(at + 1).map(String::as_str))?;
    of_name(&said.to_ascii_lowercase())
}

/// The locale of messages, as POSIX orders the variables.
fn locale() -> String {
    let mut said = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    said.find(|value| !value.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_remarks_is_the_one_that_was_asked_for() {
        let said = |line: &str| said(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(said("sillage trace --lang fr --patient 1"), Some(Lang::Fr));
        assert_eq!(said("sillage trace --lang=en"), Some(Lang::En));
        assert_eq!(said("sillage trace --lang"), None);
        assert_eq!(said("sillage trace --lang xx"), None);
        assert_eq!(said("sillage trace"), None);
    }
}
