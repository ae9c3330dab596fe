//! The login for development: whoever is chosen is logged in, by the issuer of a test log.

use sillage_client::ClientError;
use sillage_client::consent::who::{Acting, Short, parse};
use sillage_client::profile::load_seed;
use sillage_proof::batch::Origin;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::will::binding::session_nonce;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_rules::will::{Level, SESSION_S_MAX};

use super::LoggedIn;
use crate::config::{DemoPatient, DevConfig};
use crate::view::login::ChooseView;
use crate::view::{Choice, Hidden, fields};
use crate::web::fields::Fields;

/// As the record says who established the identity.
const ISSUER: &str = "urn:sillage:demo-login";
const METHOD: &str = "demonstration";
/// The field that carries the session's public key.
pub const SESSION: &str = "session";

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
    pub fn view(&self, session: &[u8; 32]) -> ChooseView {
        let choice = |(at, patient): (usize, &DemoPatient)| Choice {
            value: at.to_string(),
            label: patient.name.as_str().into(),
            hint: patient.represented_by.as_deref().unwrap_or_default().into(),
            chosen: at == 0,
        };
        let hidden = Hidden { name: SESSION.to_owned(), value: hex::encode(session) };
        let patients = self.patients.iter().enumerate().map(choice).collect();
        ChooseView { patients, action: "/choose".to_owned(), hidden: vec![hidden] }
    }

    fn chosen(&self, form: &Fields) -> Result<DemoPatient, ClientError> {
        let at = form.text(fields::PERSON).parse::<usize>().ok();
        let found = at.and_then(|at| self.patients.get(at)).cloned();
        found.ok_or_else(|| ClientError::rejected("INVALID_INS", "choose a patient of the list"))
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
        let (shown, acting_for) = match &person {
            Some(person) => (person.id().to_owned(), patient.name.clone()),
            None => (patient.name.clone(), String::new()),
        };
        Ok(LoggedIn {
            token,
            userinfo: String::new(),
            acting: Acting { auth: Some(auth), ..Acting::new(&name, "", "", "") },
            is_patient: person.is_none(),
            identity: v1::PatientIdentity { ins: patient.ins, oid: patient.oid },
            name: shown,
            acting_for,
            through: "Connexion de démonstration".to_owned(),
            // The token says whole seconds, and so does the end.
            until_ms: (now_ms / 1_000 + SESSION_S_MAX) * 1_000,
        })
    }
}
