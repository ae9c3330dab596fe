//! The login for development: whoever is chosen is logged in, by the issuer of a test log.

use maud::{Markup, html};
use sillage_client::ClientError;
use sillage_client::consent::who::{Acting, Short, parse};
use sillage_client::profile::load_seed;
use sillage_proof::batch::Origin;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::ident::{Checks, Ins, Source};
use sillage_rules::will::binding::session_nonce;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_rules::will::{Level, SESSION_S_MAX};
use sillage_words::Lang;
use sillage_words::words::pick;

use super::LoggedIn;
use crate::config::{DemoPatient, DevConfig};
use crate::plain;
use crate::web::fields::Fields;

/// As the record says who established the identity.
const ISSUER: &str = "urn:sillage:demo-login";
const METHOD: &str = "demonstration";

/// See the module.
pub struct Dev {
    issuer: TestIssuer,
    origin: Origin,
    patients: Vec<DemoPatient>,
}

impl Dev {
    /// Reads the issuer's key.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new(config: &DevConfig, origin: Origin) -> Result<Self, ClientError> {
        let issuer = TestIssuer::new(load_seed(&config.test_issuer)?, origin.clone());
        Ok(Self { issuer, origin, patients: config.patients.clone() })
    }

    /// Where one chooses.
    pub fn page(&self, session: &[u8; 32], lang: Lang) -> Markup {
        let session = hex::encode(session);
        let title = pick(lang, "Connexion de démonstration", "Demonstration login");
        plain::bare(
            lang,
            title,
            html! {
                p { (pick(lang, "Registre de test : aucune personne réelle. Choisissez un patient.",
                    "A test log: no real person. Choose a patient.")) }
                @for (at, patient) in self.patients.iter().enumerate() {
                    form method="post" action="/choose" {
                        input type="hidden" name="session" value=(session);
                        input type="hidden" name="patient" value=(at);
                        button type="submit" { (patient.name) }
                    }
                }
                form method="post" action="/choose" {
                    input type="hidden" name="session" value=(session);
                    p { label for="ins" { (pick(lang, "Ou l'INS de test d'un autre patient (15 caractères)",
                        "Or the test INS of another patient (15 characters)")) }
                        input id="ins" name="ins" autocomplete="off" maxlength="21"; }
                    p { label for="oid" { "OID" } input id="oid" name="oid" value="1.2.250.1.213.1.4.10" maxlength="64"; }
                    p { label for="representative" { (pick(lang, "Représenté par (facultatif)", "Represented by (may be left out)")) }
                        input id="representative" name="representative" autocomplete="off" maxlength="200"; }
                    button type="submit" { (pick(lang, "Se connecter", "Log in")) }
                }
            },
        )
    }

    fn chosen(&self, form: &Fields) -> Result<DemoPatient, ClientError> {
        let wrong = || ClientError::rejected("INVALID_INS", "choose a patient of the list, or give a test INS");
        if form.is_set("patient") {
            let at: usize = form.text("patient").parse().map_err(|_| wrong())?;
            return self.patients.get(at).cloned().ok_or_else(wrong);
        }
        let checks = Checks { test_log: true, source: Source::Direct };
        let (ins, _) = Ins::check(form.text("ins"), form.text("oid"), checks).map_err(|_| wrong())?;
        let representative = form.text("representative");
        Ok(DemoPatient {
            name: String::new(),
            ins: ins.value().to_owned(),
            oid: ins.oid().as_str().to_owned(),
            represented_by: (!representative.is_empty()).then(|| representative.to_owned()),
        })
    }

    /// Logs in who was chosen.
    ///
    /// # Errors
    /// When nobody was.
    pub fn log_in(&self, session: &[u8; 32], form: &Fields, now_ms: u64) -> Result<LoggedIn, ClientError> {
        let patient = self.chosen(form)?;
        let person = patient.represented_by.as_deref().map(|name| parse(name, Short::Person)).transpose()?;
        let (subject, name) = match &person {
            Some(person) => (Subject::Person(person.to_string()), person.clone()),
            None => {
                let (ins, oid) = (patient.ins.clone(), patient.oid.clone());
                (Subject::Patient { ins, oid }, ActorName::patient())
            }
        };
        let means = Means { idp: ISSUER.to_owned(), method: METHOD.to_owned(), level: Level::Substantial };
        let nonce = session_nonce(&self.origin, session);
        let token = self.issuer.sign(&self.issuer.claims(&nonce, &subject, &means, now_ms));
        let (issuer, method) = (means.idp, means.method);
        let auth = v1::Authentication { issuer, method, eidas_level: Level::Substantial.as_str().to_owned() };
        let shown = match (patient.name.is_empty(), &person) {
            (false, _) => patient.name.clone(),
            (true, Some(person)) => person.id().to_owned(),
            (true, None) => "Patient de démonstration".to_owned(),
        };
        Ok(LoggedIn {
            token,
            userinfo: String::new(),
            acting: Acting { auth: Some(auth), ..Acting::new(&name, "", "", "") },
            is_patient: person.is_none(),
            identity: v1::PatientIdentity { ins: patient.ins, oid: patient.oid },
            name: shown,
            through: "Connexion de démonstration".to_owned(),
            // The token says whole seconds, and so does the end.
            until_ms: (now_ms / 1_000 + SESSION_S_MAX) * 1_000,
        })
    }
}
