//! The login at a provider ([`crate::oidc`]): where the browser goes, what its return comes to, and whose INS it is
//! ([`crate::identity`]).
//!
//! Everything that has to be kept until the browser returns stands in that browser, sealed for 15 minutes: whoever brings the return of somebody
//! else's login has another cookie. Where a patient has to confirm that an INS is theirs, the login waits in memory meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::consent::who::Acting;
use sillage_proof::batch::Origin;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::ident::Ins;
use sillage_rules::will::binding::session_nonce;
use sillage_rules::will::{Level, SESSION_S_MAX};
use sillage_words::Lang;

use super::{LoggedIn, session_key};
use crate::config::StatementConfig;
use crate::cookie::{Cookies, Purpose, Sealer};
use crate::identity::{self, IdentityResolver, ResolveError, Resolved, Statements};
use crate::oidc::keys::ClientKeys;
use crate::oidc::request::UNDER_WAY_S_MAX;
use crate::oidc::{self, Ask, Callback, Client, LoginError, Pending, Person};
use crate::view::login::LoginProblem;
use crate::web::Asked;
use crate::web::answer::{self, Answer};

/// The path to which the provider leads back.
pub const RETURN: &str = "/retour-fournisseur";
/// The path to which a patient confirms.
pub const CONFIRM: &str = "/confirmer";
/// The field of the code of a login that waits for that.
pub const CODE: &str = "code";
/// The cookie of a login under way.
const COOKIE: &str = "fournisseur";
/// Logins that wait for a patient to confirm, at once.
const CONFIRMING_MAX: usize = 1_024;

/// A login under way, as the browser keeps it.
#[derive(Serialize, Deserialize)]
struct Begun {
    session: String,
    english: bool,
    pending: Pending,
}

/// A login that waits for its patient to confirm.
struct Confirming {
    session: [u8; 32],
    english: bool,
    nonce: String,
    login: Arc<oidc::Login>,
    ins: Ins,
    until_ms: u64,
}

/// The outcome of a return.
pub enum Came {
    /// Logged in, for this session.
    LoggedIn([u8; 32], Box<LoggedIn>),
    /// The patient confirms first that this INS is theirs.
    ToConfirm {
        /// Under which code.
        code: String,
        /// The person, as the provider knows them.
        name: String,
        /// Their day of birth, `YYYY-MM-DD`.
        birthdate: String,
        /// The last characters of the INS.
        ending: String,
    },
    /// It came to nothing.
    Failed(LoginProblem),
}

/// See the module.
pub struct AtProvider {
    client: Client,
    resolver: Arc<dyn IdentityResolver>,
    statements: Option<Statements>,
    origin: Origin,
    sealer: Sealer,
    cookies: Cookies,
    confirming: Mutex<HashMap<String, Confirming>>,
}

impl AtProvider {
    /// Reads what the configuration names. `secure`: browsers come over HTTPS.
    ///
    /// # Errors
    /// When a setting or a file can't be used, or nobody would say the INS to the log.
    pub fn new(
        settings: &oidc::Settings,
        (identity, statement): (&identity::Settings, Option<&StatementConfig>),
        origin: Origin,
        (is_test_log, secure): (bool, bool),
    ) -> Result<Self, ClientError> {
        let usage = ClientError::Usage;
        let client = Client::new(settings.clone()).map_err(|error| usage(error.to_string()))?;
        let resolver = identity.open(is_test_log).map_err(usage)?;
        let statements = match (statement, identity) {
            (None, identity::Settings::Claim {}) => None,
            (None, _) => {
                let why =
                    "[statement] is missing: the log takes the INS from a signed token, and this provider's has none";
                return Err(usage(why.to_owned()));
            }
            (Some(config), _) => {
                let keys = ClientKeys::load(&config.keys).map_err(|error| usage(error.to_string()))?;
                Some(Statements::new(config.issuer.clone(), settings.client_id.clone(), keys))
            }
        };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| usage(format!("no randomness: {error}")))?;
        let (sealer, cookies) = (Sealer::from_bytes(key), Cookies { secure });
        Ok(Self { client, resolver, statements, origin, sealer, cookies, confirming: Mutex::default() })
    }

    /// The public keys of this client, for the provider.
    pub fn public_keys(&self) -> Answer {
        let none = serde_json::json!({"keys": []});
        answer::json(StatusCode::OK, self.client.public_jwks().unwrap_or(&none))
    }

    /// Sends the browser to the provider. `again`: the person logs in anew, whatever session the provider has.
    ///
    /// # Errors
    /// How it came to nothing.
    pub async fn begin(&self, session: [u8; 32], again: bool, lang: Lang) -> Result<Answer, LoginProblem> {
        let nonce = session_nonce(&self.origin, &session);
        let language = lang.as_str();
        let ask = Ask { nonce, level: Level::Substantial, max_age_s: again.then_some(0), language };
        let (address, pending) = self.client.begin(&ask).await.map_err(told)?;
        let begun = Begun { session: hex::encode(session), english: lang == Lang::En, pending };
        let content = zeroize::Zeroizing::new(serde_json::to_vec(&begun).map_err(|_| LoginProblem::Refused)?);
        let until_ms = now_ms() + UNDER_WAY_S_MAX * 1_000;
        let sealed = self.sealer.seal(Purpose::Login, until_ms, &content).map_err(|_| LoginProblem::ProviderAway)?;
        let mut answer = answer::see_other(&address);
        self.cookies.set(&mut answer, COOKIE, &sealed).map_err(|_| LoginProblem::Refused)?;
        Ok(answer)
    }

    /// Takes the browser's return.
    pub async fn come_back(&self, asked: &Asked) -> (Lang, Came) {
        let begun = self.cookies.read(asked, COOKIE).and_then(|value| {
            let content = self.sealer.open(Purpose::Login, &value, now_ms()).ok()?;
            serde_json::from_slice::<Begun>(&content).ok()
        });
        let Some(begun) = begun else { return (Lang::Fr, Came::Failed(LoginProblem::Expired)) };
        let lang = if begun.english { Lang::En } else { Lang::Fr };
        let came = self.finish(&begun, asked).await.unwrap_or_else(Came::Failed);
        (lang, came)
    }

    async fn finish(&self, begun: &Begun, asked: &Asked) -> Result<Came, LoginProblem> {
        let session = session_key(&begun.session).ok_or(LoginProblem::Expired)?;
        let pairs = asked.query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let callback = Callback::of(pairs).map_err(told)?;
        let login = self.client.finish(&begun.pending, &callback).await.map_err(told)?;
        match self.resolver.resolve(&login.person).await.map_err(unresolved)? {
            Resolved::Found(ins) => {
                let login = self.logged_in(&login, begun.pending.nonce(), &ins)?;
                Ok(Came::LoggedIn(session, Box::new(login)))
            }
            Resolved::ToConfirm(ins) => {
                let (name, ending) = (shown(&login.person), ins.value()[11..].to_owned());
                let birthdate = login.person.birthdate.clone().unwrap_or_default();
                let until_ms = now_ms() + UNDER_WAY_S_MAX * 1_000;
                let nonce = begun.pending.nonce().to_owned();
                let waits =
                    Confirming { session, english: begun.english, nonce, login: Arc::new(login), ins, until_ms };
                let code = self.wait(waits)?;
                Ok(Came::ToConfirm { code, name, birthdate, ending })
            }
            Resolved::None => Err(LoginProblem::NotFound),
            Resolved::Several => Err(LoginProblem::Several),
        }
    }

    fn wait(&self, waits: Confirming) -> Result<String, LoginProblem> {
        let mut code = [0; 32];
        getrandom::fill(&mut code).map_err(|_| LoginProblem::ProviderAway)?;
        let code = hex::encode(code);
        let mut confirming = self.confirming.lock();
        let now_ms = now_ms();
        confirming.retain(|_, waits| now_ms < waits.until_ms);
        if confirming.len() >= CONFIRMING_MAX {
            return Err(LoginProblem::TooMany);
        }
        confirming.insert(code.clone(), waits);
        Ok(code)
    }

    /// The patient has confirmed, in the browser in which the login began.
    pub async fn confirm(&self, asked: &Asked, code: &str) -> (Lang, Came) {
        let waits = self.confirming.lock().remove(code).filter(|waits| now_ms() < waits.until_ms);
        let Some(waits) = waits else { return (Lang::Fr, Came::Failed(LoginProblem::Expired)) };
        let lang = if waits.english { Lang::En } else { Lang::Fr };
        let own = self.cookies.read(asked, COOKIE).and_then(|value| {
            let content = self.sealer.open(Purpose::Login, &value, now_ms()).ok()?;
            serde_json::from_slice::<Begun>(&content).ok()
        });
        if own.is_none_or(|own| own.session != hex::encode(waits.session)) {
            return (lang, Came::Failed(LoginProblem::Expired));
        }
        let Confirming { session, nonce, login, ins, .. } = waits;
        let level = login.established.level;
        let came = match self.resolver.enrol(&login.person, &ins, level).await.map_err(unresolved) {
            Ok(()) => self.logged_in(&login, &nonce, &ins).map(|login| Came::LoggedIn(session, Box::new(login))),
            Err(problem) => Err(problem),
        };
        (lang, came.unwrap_or_else(Came::Failed))
    }

    fn logged_in(&self, login: &oidc::Login, nonce: &str, ins: &Ins) -> Result<LoggedIn, LoginProblem> {
        let now_s = now_ms() / 1_000;
        let (token, userinfo, begins_s) = match &self.statements {
            None => (login.id_token.to_string(), login.userinfo_of_will().to_owned(), login.established.issued_s),
            Some(statements) => {
                let token = statements.sign(login, nonce, ins, now_s).map_err(unresolved)?;
                (token.to_string(), String::new(), now_s)
            }
        };
        let established = &login.established;
        let auth = v1::Authentication {
            issuer: login.person.issuer.clone(),
            method: established.acr.clone().unwrap_or_default(),
            eidas_level: established.level.as_str().to_owned(),
        };
        Ok(LoggedIn {
            token,
            userinfo,
            acting: Acting { auth: Some(auth), ..Acting::new(&ActorName::patient(), "", "", "") },
            is_patient: true,
            identity: v1::PatientIdentity { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() },
            name: shown(&login.person),
            acting_for: String::new(),
            through: self.client.settings().name.clone(),
            until_ms: (begins_s + SESSION_S_MAX) * 1_000,
        })
    }
}

/// A person as pages show them: all given names, and the family name.
fn shown(person: &Person) -> String {
    let names = [person.given_name.as_deref(), person.family_name.as_deref()];
    let names: Vec<&str> = names.into_iter().flatten().filter(|name| !name.is_empty()).collect();
    names.join(" ")
}

/// How a refusal of the provider is told. Its code stands in the log, and nothing of the person.
fn told(error: LoginError) -> LoginProblem {
    tracing::info!(code = error.code(), "a login came to nothing: {error}");
    match error {
        LoginError::Cancelled => LoginProblem::Cancelled,
        LoginError::Level => LoginProblem::LevelTooLow,
        error => match error.advice() {
            oidc::Advice::Later => LoginProblem::ProviderAway,
            oidc::Advice::Again => LoginProblem::Expired,
            oidc::Advice::Stronger => LoginProblem::LevelTooLow,
            oidc::Advice::Operator => LoginProblem::Refused,
        },
    }
}

fn unresolved(error: ResolveError) -> LoginProblem {
    tracing::warn!(code = error.code(), "nobody says whose INS it is: {error}");
    match error {
        ResolveError::Unreachable | ResolveError::Store | ResolveError::Full => LoginProblem::ProviderAway,
        ResolveError::Traits => LoginProblem::NotFound,
        ResolveError::Level => LoginProblem::LevelTooLow,
        ResolveError::Answer | ResolveError::Conflict => LoginProblem::Refused,
    }
}
