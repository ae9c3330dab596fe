//! The lines that an import prints: one for each record, refusal or document without one.

use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::import::{Became, Decided, OnRecord, Outcome, Remark};
use sillage_fhir::import::Ends;
use sillage_fhir::import::french::french;
use sillage_rules::ident::InsOid;
use sillage_words::Lang;

use super::From;
use crate::errors::{coded_french, in_french};

/// The line of an outcome. `demo`: name the patients that were given a demonstration identity, for nobody else knows it.
pub(super) fn printed(outcome: &Outcome<From>, demo: bool, lang: Lang) -> String {
    let mut out = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| drop(out.insert(name.to_owned(), value));
    put("file", json!(outcome.from.file.display().to_string()));
    if let Some(entry) = outcome.from.entry {
        put("entry", json!(entry));
    }
    match &outcome.became {
        Became::OnRecord(on_record) => put_on_record(on_record, demo, put),
        Became::Refused(refused) => {
            put("error", json!(said(&refused.error.reason, lang)));
            put("path", json!(refused.error.path));
        }
        Became::Skipped(why) => put("skipped", json!(said(why.as_str(), lang))),
    }
    serde_json::Value::Object(out).to_string()
}

fn put_on_record(on_record: &OnRecord, demo: bool, mut put: impl FnMut(&str, serde_json::Value)) {
    put("index", json!(on_record.index));
    if on_record.parts > 1 {
        put("parts", json!(on_record.parts));
    }
    if let Some(other) = on_record.differs_from {
        put("differs_from", json!(other));
    }
    if on_record.secret {
        put("secret", json!(true));
    }
    if let Some(made) = on_record.patient.as_ref().filter(|patient| demo && patient.oid == InsOid::Demo.as_str()) {
        put("demo_patient", json!({"ins": made.ins, "oid": made.oid}));
    }
    match &on_record.decided {
        Some(Decided::Directive(directive)) => {
            put("directive", json!(directive.id));
            let (name, holds) = match directive.ends {
                Ends::Revoked => ("revoked", true),
                Ends::At(until) => ("expired", until <= now_ms()),
                Ends::Open => ("expired", false),
            };
            if holds {
                put(name, json!(true));
            }
        }
        Some(Decided::Rule(kind)) => put("rule", json!(kind.token())),
        None => {}
    }
}

/// A remark, in the language that was chosen.
pub(super) fn noted(remark: &Remark<From>, lang: Lang) -> String {
    match remark {
        Remark::DoubtfulIdentity { from, doubt } => format!("{}: {}", from.file.display(), said(doubt, lang)),
        Remark::NoServer { from, reference } => said(
            &format!(
                "{}: `{reference}` names no server, and its document doesn't either (fullUrl): the same name from another server is \
                 taken for the same one; name the server with --source URL, or give an identifier",
                from.file.display()
            ),
            lang,
        ),
        Remark::OtherContent { from, index } => said(
            &format!(
                "{}: an event of the same source and id, with other content, is on record at no. {index}: both are",
                from.file.display()
            ),
            lang,
        ),
    }
}

/// The words about a document, in the language that was chosen: codes, paths and options stay as they are.
pub(super) fn said(english: &str, lang: Lang) -> String {
    match lang {
        Lang::En => english.to_owned(),
        Lang::Fr => {
            let french = french(english, &coded_french).or_else(|| in_french(english));
            french.unwrap_or_else(|| english.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_client::import::Skipped;
    use sillage_fhir::import::FhirError;

    #[test]
    fn what_is_refused_is_said_in_the_language_that_was_chosen() {
        let told = |became: Became, lang| {
            let from = From { file: std::path::Path::new("a.json").into(), entry: Some(3) };
            printed(&Outcome { from, document: 1, became }, false, lang)
        };
        let refused = |reason: &str| {
            let error = FhirError { path: "Consent.patient".into(), reason: reason.into() };
            Became::Refused(error.into())
        };
        let unknown = "Patient/1 has no INS: add it to --patient-map, or use --demo-patients on a test log";
        assert!(told(refused(unknown), Lang::En).contains(unknown));
        let french = told(refused(unknown), Lang::Fr);
        for said in ["n'a pas d'INS", "--patient-map", "--demo-patients", "Consent.patient", "\"entry\":3", "a.json"] {
            assert!(french.contains(said), "{french}");
        }
        let coded = told(refused("TEST_INS_REFUSED: no test identity here"), Lang::Fr);
        assert!(coded.contains("TEST_INS_REFUSED : Les identités de test"), "{coded}");
        let skipped = |why| told(Became::Skipped(why), Lang::Fr);
        assert!(skipped(Skipped::OwnTrace).contains("ce n'est pas un accès"));
        for why in [Skipped::Superseded, Skipped::OwnTrace, Skipped::Over] {
            assert!(!skipped(why).contains(why.as_str()), "{why} is said in French");
        }
    }
}
