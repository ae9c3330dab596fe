//! Usage errors in French. clap says them in English; the code of the exit is the same.
//!
//! Each sentence names the option that is wrong, and the way out.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::errors::in_french;
use super::output::harmless;
use sillage_words::Lang;

/// The error in the language that was chosen; none where clap's own text is it, and of help and version.
pub fn said(error: &Error, lang: Lang) -> Option<String> {
    match lang {
        Lang::En => None,
        Lang::Fr => french(error),
    }
}

fn french(error: &Error) -> Option<String> {
    let arg = text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    let number = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let why = match error.kind() {
        ErrorKind::UnknownArgument => format!("l'argument « {arg} » n'est pas connu de cette commande"),
        ErrorKind::InvalidSubcommand => {
            format!("la commande « {} » n'existe pas", text(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("il manque une valeur à « {arg} »"),
        ErrorKind::InvalidValue => format!("la valeur « {value} » ne convient pas à « {arg} »"),
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| because(&why.to_string())).unwrap_or_default();
            format!("la valeur « {value} » ne convient pas à « {arg} »{why}")
        }
        ErrorKind::NoEquals => format!("« {arg} » veut un signe égal avant sa valeur, comme --option=valeur"),
        ErrorKind::TooManyValues => format!("la valeur « {value} » est de trop pour « {arg} »"),
        ErrorKind::TooFewValues => format!(
            "« {arg} » veut au moins {} valeurs, et en a {}",
            number(ContextKind::MinValues),
            number(ContextKind::ActualNumValues)
        ),
        ErrorKind::WrongNumberOfValues => format!(
            "« {arg} » veut {} valeurs, et en a {}",
            number(ContextKind::ExpectedNumValues),
            number(ContextKind::ActualNumValues)
        ),
        ErrorKind::ArgumentConflict => conflict(&arg, &all(error, ContextKind::PriorArg)),
        ErrorKind::MissingRequiredArgument => {
            let missing = all(error, ContextKind::InvalidArg);
            let named: Vec<String> = missing.iter().map(|name| format!("« {name} »")).collect();
            format!("il manque {} : donnez-{}", joined(&named), if named.len() > 1 { "les" } else { "le" })
        }
        ErrorKind::MissingSubcommand => {
            format!("il manque une commande après « {} »", text(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::InvalidUtf8 => "un argument n'est pas de l'UTF-8 : écrivez-le en UTF-8".to_owned(),
        _ => return None,
    };
    let mut out = format!("erreur : {why}");
    let possible = [ContextKind::ValidValue, ContextKind::ValidSubcommand].map(|kind| all(error, kind)).concat();
    if !possible.is_empty() {
        out += &format!("\n  possibles : {}", possible.join(", "));
    }
    let similar = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .map(|kind| all(error, kind))
        .concat();
    if !similar.is_empty() {
        let named: Vec<String> = similar.iter().map(|name| format!("« {name} »")).collect();
        let near = if named.len() > 1 { "les plus proches" } else { "le plus proche" };
        out += &format!("\n  {near} : {}", joined(&named));
    }
    let usage = text(error, ContextKind::Usage);
    if let Some(usage) = usage.split_once("Usage:").map(|(_, usage)| usage.trim()).filter(|usage| !usage.is_empty()) {
        out += &format!("\n\nUtilisation : {usage}");
    }
    out += "\n\nPour en savoir plus, ajoutez « --help ».\n";
    Some(harmless(&out).into_owned())
}

/// Two options that don't go together; clap names the same one twice where it was given twice.
fn conflict(arg: &str, others: &[String]) -> String {
    let named: Vec<String> = others.iter().map(|name| format!("« {name} »")).collect();
    match others {
        [] => format!("« {arg} » ne va pas avec d'autres arguments donnés ici : retirez l'un ou l'autre"),
        [other] if other == arg => format!("« {arg} » est donné deux fois : donnez-le une fois"),
        _ => format!("« {arg} » ne va pas avec {} : retirez l'un ou l'autre", joined(&named)),
    }
}

/// Why a value doesn't fit, in French where it is known.
fn because(english: &str) -> String {
    match in_french(english) {
        Some(french) => format!(" : {french}"),
        None => format!(" ; détail (en anglais) : {english}"),
    }
}

fn joined(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} et {last}", first.join(", ")),
    }
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    }
}

fn all(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::help::command;

    fn error(line: &str) -> Error {
        command().try_get_matches_from(line.split(' ')).map(drop).expect_err(line)
    }

    #[test]
    fn every_usage_error_is_said_in_french_with_the_option_and_the_way_out() {
        let ins = "279035121518989";
        for (line, parts) in [
            ("sillage trace --patien 1", &["« --patien »", "le plus proche : « --patient »"][..]),
            ("sillage trase", &["la commande « trase » n'existe pas", "« trace »"]),
            ("sillage trace --patient", &["il manque une valeur à « --patient <"]),
            ("sillage trace", &["il manque « --patient <", "donnez-le"]),
            (
                &format!("sillage trace --patient {ins} --lang de"),
                &["« de »", "« --lang <LANG> »", "possibles : fr, en"],
            ),
            (&format!("sillage trace --patient {ins} --limit 9000"), &["« 9000 »", "--limit", "pas entre 1 et 500"]),
            (&format!("sillage trace --patient {ins} --limit x"), &["« x »", "--limit", "ce n'est pas un nombre"]),
            (&format!("sillage trace --patient {ins} --patient {ins}"), &["« --patient <", "est donné deux fois"]),
            ("sillage --timeout 0 checkpoint", &["« 0 »", "« --timeout <SECONDS> »", "pas entre 1 et 3600"]),
            ("sillage checkpoint --max-age soon", &["« soon »", "--max-age"]),
            ("sillage consent", &["consent"]),
        ] {
            let error = error(line);
            let Some(french) = said(&error, Lang::Fr) else {
                assert_eq!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, "{line}");
                continue;
            };
            for part in parts.iter().chain(&["erreur : ", "« --help »"]) {
                assert!(french.contains(part), "{line}: {part} isn't in {french}");
            }
            for english in ["error", "Usage", "tip:", "possible values", "For more", "en anglais"] {
                assert!(!french.contains(english), "{line}: {english} is in {french}");
            }
            assert_eq!(said(&error, Lang::En), None);
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn two_options_that_exclude_each_other_are_both_named() {
        let french = said(&error("sillage authorize --bulk f --actor 1"), Lang::Fr).expect("a usage error");
        assert!(
            french.contains("--bulk <FILE>") && french.contains("--actor") && french.contains("retirez"),
            "{french}"
        );
    }

    #[test]
    fn help_and_version_stay_what_they_are() {
        for line in ["sillage --help", "sillage --version", "sillage trace --help"] {
            assert_eq!(said(&error(line), Lang::Fr), None, "{line}");
        }
    }

    #[test]
    fn an_argument_steers_no_terminal() {
        let french = said(&error("sillage trace --\u{1b}[31mx"), Lang::Fr).expect("a usage error");
        assert!(!french.contains('\u{1b}'), "{french}");
    }
}
