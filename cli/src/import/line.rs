//! The lines that an import prints: one for each record, refusal or document without one.

use std::path::PathBuf;
use std::rc::Rc;

use serde_json::json;
use sillage_proto::v1::PatientIdentity;
use sillage_rules::ident::InsOid;
use sillage_rules::kind::Kind;

use super::super::errors::{coded_french, in_french};
use super::super::import_known::Original;
use super::super::record::now_ms;
use sillage_fhir::import::french::french;
use sillage_fhir::import::{DirectiveNote, Ends, FhirError, MappedRecord};
use sillage_words::Lang;

/// One line of output to be.
pub(super) struct Line {
    pub file: PathBuf,
    pub entry: Option<usize>,
    /// Which document of this run it is of.
    pub document: u64,
    /// Which records of this run go on record together, where it is one of those.
    pub group: Option<u64>,
    /// The document, while it isn't on record.
    pub original: Option<Rc<Original>>,
    /// How many records are the access that it is the first of.
    pub parts: usize,
    /// The record of the same resource that says something else.
    pub differs_from: Option<u64>,
    pub what: What,
}

pub(super) enum What {
    /// To be sent, with the document it was made from.
    Record(Box<(MappedRecord, Vec<u8>)>),
    /// The same as another line of the chunk.
    Same(usize),
    /// Where it is on record, the directive or the rule that it is, whose it is, and whether it is kept from representatives.
    Recorded(u64, Option<Noted>, Option<PatientIdentity>, bool),
    Refused(FhirError),
    /// Nothing that would be a record, and why.
    Skipped(&'static str),
    /// Of a document that another line refuses.
    Nothing,
}

/// The sort of a record that a Consent became.
pub(super) enum Noted {
    Directive(DirectiveNote),
    Rule(Kind),
}

impl Line {
    /// `demo`: name the patients that were given a demonstration identity, for nobody else knows it.
    pub fn to_json(&self, demo: bool, lang: Lang) -> Option<String> {
        let mut out = serde_json::Map::new();
        let mut put = |name: &str, value: serde_json::Value| drop(out.insert(name.to_owned(), value));
        put("file", json!(self.file.display().to_string()));
        if let Some(entry) = self.entry {
            put("entry", json!(entry));
        }
        match &self.what {
            What::Recorded(index, noted, patient, secret) => {
                put("index", json!(index));
                if self.parts > 1 {
                    put("parts", json!(self.parts));
                }
                if let Some(other) = self.differs_from {
                    put("differs_from", json!(other));
                }
                if *secret {
                    put("secret", json!(true));
                }
                if let Some(made) = patient.as_ref().filter(|patient| demo && patient.oid == InsOid::Demo.as_str()) {
                    put("demo_patient", json!({"ins": made.ins, "oid": made.oid}));
                }
                match noted {
                    Some(Noted::Directive(directive)) => {
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
                    Some(Noted::Rule(kind)) => put("rule", json!(kind.token())),
                    None => {}
                }
            }
            What::Refused(error) => {
                put("error", json!(said(&error.reason, lang)));
                put("path", json!(error.path));
            }
            What::Skipped(why) => put("skipped", json!(said(why, lang))),
            What::Nothing => return None,
            What::Record(_) | What::Same(_) => {
                unreachable!("every record of a chunk was sent or refused before it is printed")
            }
        }
        Some(serde_json::Value::Object(out).to_string())
    }
}

/// What is said of a document, in the language that was chosen: codes, paths and options stay as they are.
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

    #[test]
    fn what_is_refused_is_said_in_the_language_that_was_chosen() {
        let refused = |path: &str, reason: &str| Line {
            file: "a.json".into(),
            entry: Some(3),
            document: 0,
            group: None,
            original: None,
            parts: 1,
            differs_from: None,
            what: What::Refused(FhirError { path: path.into(), reason: reason.into() }),
        };
        let told = |reason: &str, lang| refused("Consent.patient", reason).to_json(false, lang).expect("a line");
        let unknown = "Patient/1 has no INS: add it to --patient-map, or use --demo-patients on a test log";
        assert!(told(unknown, Lang::En).contains(unknown));
        let french = told(unknown, Lang::Fr);
        for said in ["n'a pas d'INS", "--patient-map", "--demo-patients", "Consent.patient", "\"entry\":3", "a.json"] {
            assert!(french.contains(said), "{french}");
        }
        let coded = told("TEST_INS_REFUSED: no test identity here", Lang::Fr);
        assert!(coded.contains("TEST_INS_REFUSED : Les identités de test"), "{coded}");
        let skipped = Line { what: What::Skipped(super::super::SKIPPED), ..refused("", "") };
        assert!(skipped.to_json(false, Lang::Fr).expect("a line").contains("ce n'est pas un accès"));
    }
}
