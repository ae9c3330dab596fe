//! What went wrong, in the language that was chosen. Of a refusal, the code never changes with the language: scripts and manuals
//! name it.

use sillage_rules::codes::Code;
use sillage_words::Lang;
use sillage_words::codes::sentence;

use sillage_client::error::{ClientError, Rejection};

/// The sentence for an error, with the way out.
pub fn say(error: &ClientError, lang: Lang) -> String {
    match (lang, error) {
        (Lang::En, ClientError::Rejected(rejection)) => match hint(&rejection.code) {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        },
        (Lang::En, error) => error.to_string(),
        (Lang::Fr, error) => french(error),
    }
}

/// The options that a refusal is about, where its sentence is the ledger's and knows of none.
fn hint(code: &str) -> Option<&'static str> {
    Some(match Code::from_name(code)? {
        Code::PermitAnyone => {
            "options: --professional, --person, --organisation, --profession, --team, --app or --project"
        }
        Code::ActionsMissing => "option: --action, such as --action read,search",
        Code::UntilMissing => "option: --until, or --expires of a break-glass",
        Code::EmptyPeriod => {
            "options: --from and --until, or --expires of a break-glass; a break-glass that is handed in late says `deferred`"
        }
        Code::UnknownReference => "`sillage consent list` shows what is on record",
        Code::IdTaken => "options: --id and --supersedes",
        Code::InvalidIns | Code::TestInsRefused => "options: --patient and --oid",
        Code::InvalidCursor => "option: --cursor",
        Code::AsOfAhead => "option: --as-of",
        Code::ReasonMissing => "options: --case and --reason",
        _ => return None,
    })
}

fn french(error: &ClientError) -> String {
    match error {
        ClientError::Rejected(Rejection { code, message, .. }) => match Code::from_name(code) {
            Some(known) => format!("{code} : {} Détail (en anglais) : {message}", sentence(known)),
            None => format!("{code} : {message}"),
        },
        ClientError::Usage(why) => format!("la commande ne peut pas être exécutée telle quelle : {why}"),
        ClientError::PolicyRequired => format!("POLICY_REQUIRED : {}", sentence(Code::PolicyRequired)),
        ClientError::Check(why) => format!("échec de la vérification : {why}"),
        ClientError::Proposed(path) => format!("proposé, non envoyé : {}", path.display()),
        ClientError::Unavailable(why) => format!("le registre est injoignable, réessayez : {why}"),
        ClientError::Quota(why) => format!("quota dépassé : {why}"),
        ClientError::File { what, path, why } => {
            let what = if *what == "cannot write" { "impossible d'écrire" } else { "impossible de lire" };
            format!("{what} {} : {why}", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_said_in_french_with_the_way_out() {
        for code in Code::ALL {
            let error = ClientError::rejected(code.as_str(), "detail");
            let said = say(&error, Lang::Fr);
            assert!(said.starts_with(code.as_str()) && said.ends_with("detail"), "{said}");
        }
    }

    #[test]
    fn a_refusal_names_the_option_in_both_languages() {
        for (code, option) in [
            ("PERMIT_ANYONE", "--professional"),
            ("ACTIONS_MISSING", "--action"),
            ("UNTIL_MISSING", "--until"),
            ("EMPTY_PERIOD", "deferred"),
            ("UNKNOWN_REFERENCE", "consent list"),
            ("ID_TAKEN", "--supersedes"),
            ("INVALID_INS", "--oid"),
            ("INVALID_CURSOR", "--cursor"),
            ("REASON_MISSING", "--reason"),
        ] {
            for lang in [Lang::Fr, Lang::En] {
                let said = say(&ClientError::rejected(code, "x"), lang);
                assert!(said.contains(option), "{said}");
            }
        }
        assert_eq!(say(&ClientError::Quota("wait 3 s".into()), Lang::Fr), "quota dépassé : wait 3 s");
        assert!(say(&ClientError::Unavailable("x".into()), Lang::Fr).contains("injoignable"));
    }
}
