//! From the words of a command to what they mean: identities, actors, documents, times. Each is checked by the rules of the profile's
//! log.

use sillage_client::consent::who::{self, Acting, Short};
use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read};
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::consent::name::AUTHOR_SYSTEM;
use sillage_rules::ident::{Checks, Ins, Source as IdentSource};
use sillage_rules::line::ItemLine;
use sillage_words::Lang;
use sillage_words::time::{parse_bound, parse_end, rfc3339};

use crate::arguments::By;
use crate::errors::remark;
use crate::lang::of_remarks;
use crate::output;

/// The rules of the profile's log for identifiers.
pub(crate) fn checks(profile: &Profile) -> Result<Checks, ClientError> {
    let (genesis, _) = profile.genesis()?;
    Ok(Checks { test_log: genesis.test_log, source: IdentSource::Direct })
}

/// The INS of the patient that a command acts on, checked by the rules of the profile's log; says whom it takes them for.
pub(crate) fn ins(profile: &Profile, value: &str, oid: Option<&str>) -> Result<Ins, ClientError> {
    let ins = identity(profile, "--patient", value, oid)?;
    output::note(&taken_for(&ins, oid.is_some(), checks(profile)?.test_log, of_remarks()));
    Ok(ins)
}

/// An INS, checked by the rules of the profile's log.
pub(crate) fn identity(profile: &Profile, option: &str, value: &str, oid: Option<&str>) -> Result<Ins, ClientError> {
    let (ins, doubt) = Ins::check(value, oid.unwrap_or(DEFAULT_OID), checks(profile)?)
        .map_err(|error| ClientError::rejected(error.code(), format!("{option}: {error}")))?;
    if let Some(doubt) = doubt {
        output::note(&remark(&format!("{option}: {doubt}"), of_remarks()));
    }
    Ok(ins)
}

/// The person for whom a command takes a patient: a number without `--oid` is a real INS, also where a test one was meant.
fn taken_for(ins: &Ins, is_oid_said: bool, test_log: bool, lang: Lang) -> String {
    let (value, oid) = (ins.value(), ins.oid().as_str());
    let mut out = match (ins.oid().is_test(), lang) {
        (false, Lang::Fr) => format!("patient {value} (INS réel, OID {oid})"),
        (true, Lang::Fr) => format!("patient {value} (INS de test ou de démonstration, OID {oid})"),
        (false, Lang::En) => format!("patient {value} (real INS, OID {oid})"),
        (true, Lang::En) => format!("patient {value} (test or demonstration INS, OID {oid})"),
    };
    if test_log && !is_oid_said {
        out += match lang {
            Lang::Fr => {
                " : --oid n'est pas donné, et ce registre est de test ; un INS de test a l'OID 1.2.250.1.213.1.4.10"
            }
            Lang::En => ": --oid isn't given, and this is a test log; a test INS has the OID 1.2.250.1.213.1.4.10",
        };
    }
    out
}

/// Somebody named on the command line, checked by the rules of the profile's log.
pub(crate) fn somebody(profile: &Profile, option: &str, text: &str, short: Short) -> Result<ActorName, ClientError> {
    let named = who::parse(text, short).and_then(|name| who::check(&name, checks(profile)?).map(|doubt| (name, doubt)));
    match named {
        Ok((name, doubt)) => {
            if let Some(doubt) = doubt {
                output::note(&remark(&format!("{option}: {doubt}"), of_remarks()));
            }
            Ok(name)
        }
        Err(ClientError::Rejected(mut rejection)) => {
            rejection.message = format!("{option}: {}", rejection.message);
            Err(ClientError::Rejected(rejection))
        }
        Err(error) => Err(error),
    }
}

/// When something begins, as a record says it.
pub(crate) fn begin(option: &str, text: Option<&str>) -> Result<Option<String>, ClientError> {
    Ok(text.map(|text| parse_bound(option, text).map(rfc3339)).transpose()?)
}

/// When something ends, as a record says it: a day is part of what ends with it.
pub(crate) fn end(option: &str, text: Option<&str>) -> Result<Option<String>, ClientError> {
    Ok(text.map(|text| parse_end(option, text).map(rfc3339)).transpose()?)
}

/// The person who acts, as the flags and the profile say it.
pub(crate) fn acting(profile: &Profile, by: &By) -> Result<Acting, ClientError> {
    let name = somebody(profile, "--actor", by.actor.as_deref().unwrap_or("self"), Short::Any)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut acting =
        Acting::new(&name, &text(&by.actor_profession), &text(&by.actor_organisation), &text(&by.actor_label));
    let defaults = profile.auth.clone().unwrap_or_default();
    let auth = v1::Authentication {
        issuer: by.issuer.clone().unwrap_or(defaults.issuer),
        method: by.method.clone().unwrap_or(defaults.method),
        eidas_level: by.eidas_level.clone().unwrap_or(defaults.eidas_level),
    };
    acting.auth = (auth != Default::default()).then_some(auth);
    Ok(acting)
}

/// The ledger's authority, where it acts for itself.
pub(crate) fn authority(profile: &Profile) -> Result<Acting, ClientError> {
    let id = AuthorId::of_first_key(&profile.authority_signing_key()?.public_key());
    let name = ActorName::new(AUTHOR_SYSTEM, &id.to_string())
        .map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
    Ok(Acting::new(&name, "", "", ""))
}

/// The documents that `--items` names: ids, or a JSON file with what is known of each.
pub(crate) fn items(text: &str) -> Result<Vec<v1::Item>, ClientError> {
    if text.ends_with(".json") {
        let path = std::path::Path::new(text);
        let lines: Vec<ItemLine> =
            serde_json::from_slice(&read(path)?).map_err(|error| ClientError::reading(path, error))?;
        return Ok(lines.into_iter().map(v1::Item::from).collect());
    }
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    let items: Vec<v1::Item> = ids.map(|id| v1::Item { id: id.to_owned(), ..v1::Item::default() }).collect();
    match items.is_empty() {
        true => Err(ClientError::Usage("--items: name at least one document".to_owned())),
        false => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_whom_it_takes_the_patient_for() {
        let test = Ins::parse("279035121518989", "1.2.250.1.213.1.4.10").expect("an INS");
        let real = Ins::parse("279035121518989", DEFAULT_OID).expect("an INS");
        let said = taken_for(&test, true, true, Lang::En);
        assert_eq!(said, "patient 279035121518989 (test or demonstration INS, OID 1.2.250.1.213.1.4.10)");
        for (test_log, is_oid_said, warns) in [(true, false, true), (true, true, false), (false, false, false)] {
            for lang in [Lang::Fr, Lang::En] {
                let said = taken_for(&real, is_oid_said, test_log, lang);
                assert!(said.contains("279035121518989") && said.contains(DEFAULT_OID), "{said}");
                assert_eq!(said.contains("1.2.250.1.213.1.4.10"), warns, "{said}");
            }
        }
    }
}
