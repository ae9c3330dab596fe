//! How a visit begins and ends.
//!
//! `/connexion` makes the session's key, puts its seed into a sealed cookie, and sends the browser to the login process with the public
//! half. `/retour` brings the code of a login that came to its end: with the seed of this browser's cookie it is exchanged for the
//! record that opens the session, which the key signs, once it was looked at.

use axum::http::{HeaderName, StatusCode};
use prost::Message as _;
use sillage_client::clock::now_ms;
use sillage_client::patient_session::{PatientSession, opening};
use sillage_client::{ClientError, will};
use sillage_proof::keys::SigningKey;
use sillage_proof::vrf::VrfPublicKey;
use sillage_proto::v1;
use sillage_words::time::spoken;
use zeroize::Zeroizing;

use super::visit::{self, Visit};
use super::{Answered, Portal, Trouble};
use crate::back::{BackError, Exchange, LEDGER_AWAY, Offer, Open, UNKNOWN_CODE, exchange_message};
use crate::cookie::Purpose;
use crate::pages;
use crate::view::login::LoginProblem;
use crate::view::problem::Farewell;
use crate::web::Asked;
use crate::web::answer::{self, Policy};

/// The name of the cookie of a login that has begun.
const COOKIE: &str = "connexion";
/// As long as a person may take to log in.
const LOGIN_MS: u64 = 15 * 60_000;
/// Paths that a login may lead back to begin with one of these: the address of a page of ours, and of nobody else.
const NEXT: [&str; 8] = ["/trace", "/acces", "/choix", "/urgences", "/questions", "/sources", "/emporter", "/verifier"];
const NEXT_BYTES_MAX: usize = 100;

impl Portal {
    /// Sends the browser to the login.
    pub(super) fn begin(&self, asked: &Asked) -> Answered {
        let key = SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
        let next = next(asked.query.text("suite"));
        let content = Zeroizing::new([&key.to_seed()[..], next.as_bytes()].concat());
        let sealed = self.sealer.seal(Purpose::Login, now_ms() + LOGIN_MS, &content)?;
        let (session, lang) = (hex::encode(key.public_key().as_bytes()), self.lang(asked));
        // Whoever logs in again after a visit may be somebody else: the provider asks who it is.
        let again = if asked.query.text("encore") == "1" { "&again=1" } else { "" };
        let to = format!("{}/begin?session={session}&lang={lang}{again}", self.config.login.base);
        let mut out = answer::see_other(&to);
        self.cookies.set(&mut out, COOKIE, &sealed).map_err(|_| Trouble::Login(LoginProblem::Expired))?;
        Ok(out)
    }

    /// A login came to its end.
    pub(super) async fn come_back(&self, asked: &Asked) -> Answered {
        let Some(sealed) = self.cookies.read(asked, COOKIE) else {
            // The page was asked for again, after all was done.
            return match self.visitor(asked) {
                Some(Ok(_)) => Ok(answer::see_other("/")),
                _ => {
                    self.use_up(asked.query.text("code")).await;
                    Err(Trouble::Login(LoginProblem::Expired))
                }
            };
        };
        let Ok(content) = self.sealer.open(Purpose::Login, &sealed, now_ms()) else {
            self.use_up(asked.query.text("code")).await;
            return Err(Trouble::Login(LoginProblem::Expired));
        };
        let (seed, to) = content.split_first_chunk::<32>().ok_or(Trouble::Login(LoginProblem::Expired))?;
        let to = next(std::str::from_utf8(to).unwrap_or_default());
        let visit = self.opened_visit(SigningKey::from_seed(seed), asked.query.text("code")).await?;
        let mut out = answer::see_other(to);
        if self.cookies.set(&mut out, visit::COOKIE, &visit.seal(&self.sealer)?).is_err() {
            tracing::error!("a session doesn't fit into its cookies: the tokens of this login are too long");
            return Err(Trouble::Login(LoginProblem::Refused));
        }
        self.cookies.end(&mut out, COOKIE);
        Ok(out)
    }

    /// A code that came to a browser which didn't begin that login was led astray: whoever finds it in this browser's history, or has it
    /// told, doesn't open the session either. The login process gives it up when it is asked for with another key.
    async fn use_up(&self, code: &str) {
        let Ok(key) = SigningKey::generate() else { return };
        if code.is_empty() {
            return;
        }
        let signature = hex::encode(key.sign(&exchange_message(&self.origin, code)));
        let session = hex::encode(key.public_key().as_bytes());
        let asked = Exchange { code: code.to_owned(), session, signature };
        // It is refused, as it should be.
        let _refused = self.back.exchange(&asked).await;
    }

    /// Opens the session of this key.
    async fn opened_visit(&self, key: SigningKey, code: &str) -> Result<Visit, Trouble> {
        let (session, code) = (hex::encode(key.public_key().as_bytes()), code.to_owned());
        let signature = hex::encode(key.sign(&exchange_message(&self.origin, &code)));
        let exchange = Exchange { code: code.clone(), session: session.clone(), signature };
        let offer = self.back.exchange(&exchange).await.map_err(refused)?;
        let Offer { record, token, userinfo, name, acting_for, through, until_ms, subject, acting } = offer;
        let wrong = || ClientError::Check("the login process says what nobody understands".to_owned());
        let record = hex::decode(&record).ok().and_then(|bytes| v1::Record::decode(&bytes[..]).ok());
        let (record, subject, acting) = (record.ok_or_else(wrong)?, subject.read().ok_or_else(wrong)?, acting.read());
        let vrf_key = VrfPublicKey::from_bytes(&self.profile.vrf_public_key).map_err(|_| wrong())?;
        subject.check(&vrf_key)?;
        let ledger = self.ledger().await?;
        opening::check_opened(&record, &subject, ledger.author, &acting)?;
        let login = will::Session { key, token, userinfo };
        let will = opening::sign_opened(&self.origin, &record, &subject, &login);
        let open = Open { code, session, will: hex::encode(will.encode_to_vec()) };
        self.back.open(&open).await.map_err(refused)?;
        let patient = PatientSession { login, subject, acting, until_ms };
        Ok(Visit { patient, name, acting_for, through })
    }

    /// Ends the visit: on record, and in the browser.
    pub(super) async fn leave(&self, asked: &Asked) -> Answered {
        let (visit, _) = self.own_form(asked).await?;
        let lang = self.lang(asked);
        let close = async || -> Result<(), ClientError> {
            let ledger = self.ledger().await?;
            ledger.recorders.send(vec![visit.patient.closing(now_ms())?]).await.map(drop)
        };
        // The browser forgets the session in any case.
        let farewell = match close().await {
            Ok(()) => Farewell::LoggedOut,
            // It was over already.
            Err(ClientError::Rejected(rejection))
                if ["UNKNOWN_REFERENCE", "NOT_ENTITLED"].contains(&rejection.code.as_str()) =>
            {
                Farewell::LoggedOut
            }
            Err(error) => {
                tracing::warn!(error = crate::login::kind_of(&error), "the end of a session isn't on record");
                Farewell::LeftOpen { until: spoken(visit.patient.until_ms, lang).into() }
            }
        };
        let chrome = self.chrome(asked, None);
        let mut out = answer::page(StatusCode::OK, &Policy::Page, pages::problem::farewell(&chrome, &farewell));
        self.cookies.end(&mut out, visit::COOKIE);
        answer::add(&mut out, HeaderName::from_static("clear-site-data"), "\"cache\", \"storage\"");
        Ok(out)
    }
}

fn refused(error: BackError) -> Trouble {
    match error {
        BackError::Away => ClientError::Unavailable("the login process".to_owned()).into(),
        BackError::Refused(refused) if refused.code == LEDGER_AWAY => {
            ClientError::Unavailable("the ledger".to_owned()).into()
        }
        BackError::Refused(refused) => {
            tracing::info!(code = refused.code, "a login opens no session");
            Trouble::Login(if refused.code == UNKNOWN_CODE { LoginProblem::Expired } else { LoginProblem::Refused })
        }
    }
}

/// Where a login leads back to: a page of ours, without a query; else the first page.
pub(super) fn next(text: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '-';
    let is_ours =
        NEXT.iter().any(|own| text.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    match is_ours && text.len() <= NEXT_BYTES_MAX && text.chars().all(is_plain) && !text.contains("//") {
        true => text,
        false => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn a_login_leads_to_a_page_of_ours_and_nowhere_else() {
        for ours in ["/trace", "/trace/12", "/choix/bloquer"] {
            assert_eq!(next(ours), ours);
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/trace//evil.example",
            "/traces",
            "/trace?x",
            "/trace\r\nSet-Cookie: a",
            "trace",
            "/deconnexion",
            "/trace/é",
            "/retour",
        ] {
            assert_eq!(next(other), "/", "{other}");
        }
        assert_eq!(next(&format!("/trace/{}", "1".repeat(200))), "/");
    }
}
