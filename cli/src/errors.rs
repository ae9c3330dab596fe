//! Errors, in the language that was chosen. The code of a refusal never changes with the language: scripts and manuals
//! name it.

use sillage_fhir::import::french::{SENTENCES, french_of};
use sillage_rules::codes::Code;
use sillage_words::Lang;
use sillage_words::codes::sentence;

use super::check_words::CHECKS;
use sillage_client::error::{ClientError, Rejection};

/// The sentence for an error, with the way out.
pub fn say(error: &ClientError, lang: Lang) -> String {
    match (lang, error) {
        (Lang::En, ClientError::Rejected(rejection)) => match rejection.code.known().and_then(hint) {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        },
        (Lang::En, error) => error.to_string(),
        (Lang::Fr, error) => french(error),
    }
}

/// The options that a refusal is about, where its sentence is the ledger's and knows of none.
fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
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
        ClientError::Rejected(Rejection { code, message, .. }) => {
            coded_french(&format!("{code}: {message}")).unwrap_or_else(|| format!("{code} : {message}"))
        }
        ClientError::Usage(why) => {
            format!("la commande ne peut pas être exécutée telle quelle : {}", remark(why, Lang::Fr))
        }
        ClientError::PolicyRequired => format!("POLICY_REQUIRED : {}", sentence(Code::PolicyRequired)),
        ClientError::Check(why) => format!("échec de la vérification : {}", why_not(why, Lang::Fr)),
        ClientError::Proposed(path) => format!("proposé, non envoyé : {}", path.display()),
        ClientError::Unavailable(why) => {
            format!("le registre est injoignable, réessayez : {}", remark(why, Lang::Fr))
        }
        ClientError::Quota(why) => format!("quota dépassé : {why}"),
        ClientError::File { what, path, why } => {
            let what = if *what == "cannot write" { "impossible d'écrire" } else { "impossible de lire" };
            format!("{what} {} : {}", path.display(), why_not(why, Lang::Fr))
        }
    }
}

/// In French, a text that begins with a code of the ledger, as `NOT_ENTITLED: ...`; none of any other text.
pub fn coded_french(text: &str) -> Option<String> {
    let (code, message) = text.split_once(": ")?;
    let known = Code::from_name(code)?;
    let detail = match in_french(message) {
        Some(french) => format!("Détail : {french}"),
        None => format!("Détail (en anglais) : {message}"),
    };
    Some(format!("{code} : {} {detail}", sentence(known)))
}

/// A sentence beside a code, or instead of one, in English and in French. `{}` stands for what differs.
const DETAILS: &[(&str, &str)] = &[
    (
        "{} line {}: {}; nothing was sent, correct the line and run again",
        "{} ligne {} : {} ; rien n'a été envoyé, corrigez la ligne et recommencez",
    ),
    (
        "{} line {}: {}; the lines before this batch are on record",
        "{} ligne {} : {} ; les lignes d'avant ce lot sont inscrites",
    ),
    (
        "{} line {}: {}; run again after correcting the line",
        "{} ligne {} : {} ; recommencez après avoir corrigé la ligne",
    ),
    ("{} line {}: {}; the lines before it are on record", "{} ligne {} : {} ; les lignes d'avant sont inscrites"),
    (
        "this begins a JSON array; write one object a line, without the brackets (`jq -c '.[]' FILE`)",
        "ceci commence un tableau JSON ; écrivez un objet par ligne, sans les crochets (`jq -c '.[]' FICHIER`)",
    ),
    (
        "{} is {} ahead of the ledger's clock ({}): correct it, or set the author's clock",
        "{} est en avance de {} sur l'horloge du registre ({}) : corrigez-le, ou réglez l'horloge de l'auteur",
    ),
    ("invalid digit found in string", "ce n'est pas un nombre entier"),
    ("{} is not in {}..={}", "{} n'est pas entre {} et {}"),
    ("number too large to fit in target type", "ce nombre est trop grand"),
    ("cannot parse integer from empty string", "il faut un nombre"),
    ("expected a length of time such as 300s, 5m or 1h", "il faut une durée, comme 300s, 5m ou 1h"),
    (
        "{} isn't HOST:PORT:PEERPORT; an IPv6 address stands in brackets",
        "{} n'est pas HÔTE:PORT:PORT_DES_PAIRS ; une adresse IPv6 est entre crochets",
    ),
    (
        "the file is there already, and is never overwritten: name another one",
        "le fichier existe déjà, et n'est jamais écrasé : nommez-en un autre",
    ),
    // Of the system.
    ("No such file or directory (os error 2)", "ce fichier ou ce dossier n'existe pas"),
    ("Permission denied (os error 13)", "accès refusé"),
    ("File exists (os error 17)", "il existe déjà"),
    ("Not a directory (os error 20)", "une partie du chemin n'est pas un dossier"),
    ("Is a directory (os error 21)", "c'est un dossier"),
    ("No space left on device (os error 28)", "le disque est plein"),
    ("Read-only file system (os error 30)", "le disque est en lecture seule"),
    ("Connection refused (os error 111)", "connexion refusée"),
    ("{} days", "{} jours"),
    ("{} hours", "{} heures"),
    ("{} minutes", "{} minutes"),
    ("{} seconds", "{} secondes"),
    ("the period ends when it begins, or before", "la période finit quand elle commence, ou avant"),
    (
        "what the request says of this item (its category, labels or depositor) isn't what was recorded when it was deposited: send what the record store holds, or the id alone",
        "ce que la demande dit de ce document (catégorie, étiquettes, déposant) n'est pas ce qui a été inscrit à son dépôt : envoyez ce que détient l'entrepôt, ou l'identifiant seul",
    ),
    (
        "what this refers to isn't on record for this patient",
        "ce à quoi ceci renvoie n'est pas au registre pour ce patient",
    ),
    (
        "a permission names to whom it is given, and never anyone",
        "une autorisation nomme à qui elle est donnée, et jamais tous",
    ),
    ("a permission names what may be done", "une autorisation nomme ce qui peut être fait"),
    (
        "this cursor was not made by a trace: begin again without --cursor",
        "ce curseur n'est pas d'une trace : recommencez sans --cursor",
    ),
    (
        "a certificate of X.509 version 1, which TLS doesn't take here: make it anew in version 3 (`openssl x509 -req … -extfile EXT`, with a line such as basicConstraints=CA:FALSE in EXT)",
        "un certificat X.509 de version 1, que TLS n'accepte pas ici : refaites-le en version 3 (`openssl x509 -req … -extfile EXT`, avec une ligne comme basicConstraints=CA:FALSE dans EXT)",
    ),
    ("{} attempt(s) in {} s, the last to {}", "{} essai(s) en {} s, le dernier vers {}"),
    (
        "the erasure is on record, and {} still wait(s) for old keys to be destroyed ({}): it goes on by itself once all nodes run (`sillage cluster status`), and `sillage erase --help` says how to wait longer",
        "l'effacement est inscrit, et {} attendent encore la destruction d'anciennes clés ({}) : cela continue de soi-même dès que tous les nœuds tournent (`sillage cluster status`), et `sillage erase --help` dit comment attendre plus longtemps",
    ),
    (
        "the erasure is on record, and whether old keys are destroyed can't be asked now ({}); that goes on by itself",
        "l'effacement est inscrit, et on ne peut pas demander pour l'instant si les anciennes clés sont détruites ({}) ; cela continue de soi-même",
    ),
    (
        "node {} still has to destroy its copy of an old key",
        "le nœud {} doit encore détruire sa copie d'une ancienne clé",
    ),
    (
        "{}: it holds no event, so nothing was sent: write one JSON object a line (`sillage schema record`)",
        "{} : aucun événement, donc rien n'a été envoyé : écrivez un objet JSON par ligne (`sillage schema record`)",
    ),
    (
        "no profile: name one with --profile FILE or SILLAGE_PROFILE (`sillage-node dev --dir DIR` writes DIR/sillage.toml)",
        "aucun profil : nommez-en un avec --profile FICHIER ou SILLAGE_PROFILE (`sillage-node dev --dir DOSSIER` écrit DOSSIER/sillage.toml)",
    ),
    (
        "say how the patient proved who they are: --issuer, --method and --eidas-level (substantial or high), or [auth] in the profile",
        "dites comment le patient a prouvé qui il est : --issuer, --method et --eidas-level (substantial ou high), ou [auth] dans le profil",
    ),
];

/// A sentence of ours in French; none where it isn't known. An option or a path in front of it stays as it is.
pub fn in_french(english: &str) -> Option<String> {
    let none = |_: &str| None;
    let whole = |text: &str| french_of(&[DETAILS, SENTENCES], text, &none);
    whole(english).or_else(|| {
        let (before, rest) = english.split_once(": ")?;
        Some(format!("{before} : {}", whole(rest)?))
    })
}

/// The reason for which a check fails, or for which a file can't be taken, as it is said in a language.
pub fn why_not(english: &str, lang: Lang) -> String {
    if lang == Lang::En {
        return english.to_owned();
    }
    let checked = || french_of(&[CHECKS], english, &|_: &str| None);
    let french = checked().or_else(|| in_french(english)).or_else(|| coded_french(english));
    french.unwrap_or_else(|| format!("(en anglais) {english}"))
}

/// A remark or a reason as it is said in a language: ours in French where it is known.
pub fn remark(english: &str, lang: Lang) -> String {
    match lang {
        Lang::En => english.to_owned(),
        Lang::Fr => in_french(english).unwrap_or_else(|| english.to_owned()),
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
    fn what_was_found_bad_is_said_in_french_to_its_end() {
        for (_, french) in DETAILS.iter().chain(CHECKS) {
            for word in [" the ", " is ", " of ", " and ", " which "] {
                assert!(!french.contains(word), "{french}");
            }
        }
        for (error, said) in [
            (
                ClientError::rejected(
                    "MALFORMED_RECORD",
                    "a.ndjson line 1: this begins a JSON array; write one object a line, without the brackets (`jq -c '.[]' FILE`); nothing was sent, correct the line and run again",
                ),
                "Détail : a.ndjson ligne 1 : ceci commence un tableau JSON",
            ),
            (
                ClientError::rejected(
                    "TIME_AHEAD",
                    "a line 2: occurred_at: 2027-11-20T09:00:00Z is 354 days ahead of the ledger's clock (now): correct it, or set the author's clock; nothing was sent, correct the line and run again",
                ),
                "est en avance de 354 jours",
            ),
            (
                ClientError::rejected(
                    "INVALID_INS",
                    "--patient: this isn't an INS: 15 characters, 13 of the number (2A and 2B for Corsica) and 2 of its key",
                ),
                "--patient : ce n'est pas un INS",
            ),
            (
                ClientError::Unavailable("44 attempt(s) in 30 s, the last to https://n: refused".into()),
                "44 essai(s) en 30 s",
            ),
            (
                ClientError::reading(
                    "c.pem".as_ref(),
                    "a certificate of X.509 version 1, which TLS doesn't take here: make it anew in version 3 (`openssl x509 -req … -extfile EXT`, with a line such as basicConstraints=CA:FALSE in EXT)",
                ),
                "un certificat X.509 de version 1",
            ),
        ] {
            let french = say(&error, Lang::Fr);
            assert!(french.contains(said) && !french.contains(" the "), "{french}");
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
