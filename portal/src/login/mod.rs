//! The login process: it logs people in, finds whose INS they have, and records that a session begins. It shows no page but what a
//! login needs, and holds no session: what a login came to waits in memory for a minute, until the page process fetches it.
//!
//! - [`pending`]: what waits, under one-time codes;
//! - [`back`]: what the page process asks;
//! - [`provider`]: the login at a provider, and whose INS it is;
//! - [`dev`]: the login for development, which logs in whoever is chosen.

pub mod back;
pub mod dev;
pub mod pending;
pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use sillage_client::ClientError;
use sillage_client::author::{TagRequest, Tags, tags_of};
use sillage_client::channel::Timeouts;
use sillage_client::clock::now_ms;
use sillage_client::consent::who::Acting;
use sillage_client::patient_session::{ProvenTag, Subject, opening};
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;
use sillage_words::Lang;
use tokio::sync::OnceCell;

use self::dev::Dev;
use self::pending::{Pending, Waiting};
use self::provider::{AtProvider, Came};
use crate::config::{Limits, LoginConfig};
use crate::pages;
use crate::record::Recorders;
use crate::view::login::{ConfirmView, LoginFailedView, LoginProblem};
use crate::view::problem::{Problem, ProblemView};
use crate::view::{Chrome, Hidden};
use crate::web::answer::{self, Answer, Policy};
use crate::web::fields::encoded;
use crate::web::{Asked, Site, Unreadable};

/// What a login came to, whoever it went through.
pub struct LoggedIn {
    /// The ID token, as the log takes it.
    pub token: String,
    /// The signed userinfo, where the claims stand there.
    pub userinfo: String,
    /// Who acts, and how they proved who they are.
    pub acting: Acting,
    /// Whether the patient logged in, and nobody for them.
    pub is_patient: bool,
    /// The patient.
    pub identity: v1::PatientIdentity,
    /// As pages show who logged in.
    pub name: String,
    /// As pages show the patient, where somebody else logged in; else empty.
    pub acting_for: String,
    /// As pages show where.
    pub through: String,
    /// When the login ends, ms.
    pub until_ms: u64,
}

/// The state of the login process.
pub struct Login {
    config: LoginConfig,
    profile: Profile,
    origin: Origin,
    portal: AuthorId,
    pending: Pending,
    dev: Option<Dev>,
    provider: Option<AtProvider>,
    test_log: bool,
    ledger: OnceCell<Ledger>,
}

/// The way to the log.
struct Ledger {
    session: Session,
    tags: Tags,
    recorders: Recorders,
}

impl Login {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file can't be used, or a login for development is asked for in a log of real persons.
    pub fn new(config: LoginConfig) -> Result<Self, ClientError> {
        let profile = Profile::load(&config.profile)?;
        let (genesis, _) = profile.genesis()?;
        let origin = Origin::new(profile.origin.clone()).map_err(|error| ClientError::Usage(error.to_string()))?;
        let id = hex::decode(&config.portal_author).ok().and_then(|id| AuthorId::from_slice(&id).ok());
        let portal = id.ok_or_else(|| {
            ClientError::Usage("portal_author is the id of the portal's party, 64 hexadecimal characters".to_owned())
        })?;
        let dev = match &config.dev {
            Some(_) if !genesis.test_log => {
                let why = "[dev] logs in whoever is named, and this log's genesis says that it is of real persons: leave [dev] out";
                return Err(ClientError::Usage(why.to_owned()));
            }
            Some(dev) => Some(Dev::new(dev, origin.clone())?),
            None => None,
        };
        let provider = match (&config.oidc, &config.identity) {
            (Some(settings), Some(identity)) => {
                let (statement, secure) = (config.statement.as_ref(), config.base.starts_with("https://"));
                let kind = (genesis.test_log, secure);
                Some(AtProvider::new(settings, (identity, statement), origin.clone(), kind)?)
            }
            _ => None,
        };
        let pending = Pending::new(config.limits.logins_per_minute_max);
        Ok(Self {
            config,
            profile,
            origin,
            portal,
            pending,
            dev,
            provider,
            test_log: genesis.test_log,
            ledger: OnceCell::new(),
        })
    }

    /// The way to the log, opened by who needs it first.
    async fn ledger(&self) -> Result<&Ledger, ClientError> {
        let open = async || {
            let session = Session::open(self.profile.clone(), timeouts(&self.config.limits)).await?;
            // The proof of each tag goes on record: it is asked for with the tag.
            let tags = tags_of(&session).with_proofs();
            let recorders = Recorders::open(&session, 1).await?;
            Ok(Ledger { session, tags, recorders })
        };
        self.ledger.get_or_try_init(open).await
    }

    /// A login came to its end: makes the offer, and leads the browser back to the pages.
    async fn logged_in(&self, session: [u8; 32], login: LoggedIn) -> Result<Answer, ClientError> {
        let ledger = self.ledger().await?;
        let subject = subject(&ledger.tags, &login).await?;
        let record = opening::opened(&subject, self.portal, &login.acting, now_ms());
        let waiting = Waiting { session, subject, record, login };
        let Some(code) = self.pending.put(waiting, now_ms())? else {
            return Ok(self.failed(StatusCode::SERVICE_UNAVAILABLE, LoginProblem::TooMany, Lang::Fr));
        };
        Ok(answer::see_other(&format!("{}/retour?code={}", self.config.portal, encoded(&code))))
    }

    fn chrome(&self, lang: Lang) -> Chrome {
        let (path, csrf) = ("/".to_owned(), String::new());
        Chrome { lang, user: None, csrf, path, kiosk: false, test_log: self.test_log, help: None }
    }

    fn page(&self, status: StatusCode, markup: maud::Markup) -> Answer {
        answer::page(status, &Policy::LeadingTo(self.config.portal.clone()), markup)
    }

    fn failed(&self, status: StatusCode, problem: LoginProblem, lang: Lang) -> Answer {
        let again = format!("{}/connexion", self.config.portal);
        let view = LoginFailedView { problem, again, reference: None };
        self.page(status, pages::login::failed(&self.chrome(lang), &view))
    }

    fn problem(&self, status: StatusCode, problem: Problem, lang: Lang) -> Answer {
        let way_out = Some(self.config.portal.clone());
        let view = ProblemView { problem, way_out, come_back: None, may_be_recorded: false, reference: None };
        self.page(status, pages::problem::problem(&self.chrome(lang), &view))
    }

    /// What is asked where people log in at a provider; none: something else is asked.
    async fn at_provider(
        &self,
        provider: &AtProvider,
        asked: &Asked,
        lang: Lang,
    ) -> Result<Option<Answer>, ClientError> {
        let answer = match (&asked.method, asked.path.as_str()) {
            (&Method::GET, "/begin") => {
                let Some(session) = session_key(asked.query.text("session")) else {
                    return Ok(Some(self.failed(StatusCode::BAD_REQUEST, LoginProblem::Expired, lang)));
                };
                if !self.pending.may_begin(now_ms()) {
                    return Ok(Some(self.failed(StatusCode::SERVICE_UNAVAILABLE, LoginProblem::TooMany, lang)));
                }
                let begun = provider.begin(session, asked.query.is_set("again"), lang).await;
                begun.unwrap_or_else(|problem| self.failed(StatusCode::SERVICE_UNAVAILABLE, problem, lang))
            }
            (&Method::GET, provider::RETURN) => {
                let (lang, came) = provider.come_back(asked).await;
                self.came(lang, came).await?
            }
            (&Method::POST, provider::CONFIRM) => {
                let (lang, came) = match (asked.form(), asked.is_from(&self.config.base)) {
                    (Ok(form), true) => provider.confirm(asked, form.text(provider::CODE)).await,
                    _ => (lang, Came::Failed(LoginProblem::Expired)),
                };
                self.came(lang, came).await?
            }
            (&Method::GET, "/jwks") => provider.public_keys(),
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Goes on after a return from the provider.
    async fn came(&self, lang: Lang, came: Came) -> Result<Answer, ClientError> {
        match came {
            Came::LoggedIn(session, login) => self.logged_in(session, *login).await,
            Came::ToConfirm { code, name, birthdate, ending } => {
                let hidden = vec![Hidden { name: provider::CODE.to_owned(), value: code }];
                let (action, again) = (provider::CONFIRM.to_owned(), format!("{}/connexion", self.config.portal));
                let (name, birthdate, ending) =
                    (name.as_str().into(), birthdate.as_str().into(), ending.as_str().into());
                let view = ConfirmView { name, birthdate, ending, action, hidden, again };
                Ok(self.page(StatusCode::OK, pages::login::confirm(&self.chrome(lang), &view)))
            }
            Came::Failed(problem) => {
                let status = match problem {
                    LoginProblem::ProviderAway | LoginProblem::TooMany => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_REQUEST,
                };
                Ok(self.failed(status, problem, lang))
            }
        }
    }

    async fn browser(&self, asked: &Asked) -> Result<Answer, ClientError> {
        let lang = lang_of(asked.query.text("lang"));
        if let Some(provider) = &self.provider
            && let Some(answer) = self.at_provider(provider, asked, lang).await?
        {
            return Ok(answer);
        }
        match (&asked.method, asked.path.as_str(), &self.dev) {
            (&Method::GET, "/begin", Some(dev)) => {
                let Some(session) = session_key(asked.query.text("session")) else {
                    return Ok(self.failed(StatusCode::BAD_REQUEST, LoginProblem::Expired, lang));
                };
                if !self.pending.may_begin(now_ms()) {
                    return Ok(self.failed(StatusCode::SERVICE_UNAVAILABLE, LoginProblem::TooMany, lang));
                }
                Ok(self.page(StatusCode::OK, pages::login::choose(&self.chrome(lang), &dev.view(&session))))
            }
            (&Method::POST, "/choose", Some(dev)) => {
                let Ok(form) = asked.form() else {
                    return Ok(self.failed(StatusCode::BAD_REQUEST, LoginProblem::Expired, lang));
                };
                let (Some(session), true) = (session_key(form.text("session")), asked.is_from(&self.config.base))
                else {
                    return Ok(self.failed(StatusCode::BAD_REQUEST, LoginProblem::Expired, lang));
                };
                let login = dev.log_in(&session, &form, now_ms())?;
                self.logged_in(session, login).await
            }
            (&Method::GET, "/style.css", _) => Ok(answer::asset("text/css; charset=utf-8", pages::STYLE)),
            (&Method::GET, "/icone.svg", _) => Ok(answer::asset("image/svg+xml", pages::ICON)),
            (&Method::GET, "/healthz", _) => Ok(match self.ledger().await {
                Ok(_) => answer::text(StatusCode::OK, "ok"),
                Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "no node of the log answers"),
            }),
            _ => Ok(self.problem(StatusCode::NOT_FOUND, Problem::NotFound, lang)),
        }
    }
}

/// How long a call to the log may take, where a browser waits.
pub fn timeouts(limits: &Limits) -> Timeouts {
    let total = Duration::from_millis(limits.ledger_timeout_ms);
    Timeouts { attempt: total.min(Duration::from_secs(5)), total }
}

/// The language that a query or a form names; else French.
pub fn lang_of(text: &str) -> Lang {
    if text == Lang::En.as_str() { Lang::En } else { Lang::Fr }
}

/// What an error is, in a word for a line of a log: never what it says, which may name somebody.
pub fn kind_of(error: &ClientError) -> String {
    match error {
        ClientError::Rejected(rejection) => rejection.code.to_string(),
        ClientError::Unavailable(_) => "unavailable".to_owned(),
        ClientError::Quota(_) => "quota".to_owned(),
        ClientError::Check(_) => "check failed".to_owned(),
        ClientError::Usage(_) | ClientError::PolicyRequired | ClientError::Proposed(_) => "usage".to_owned(),
        ClientError::File { .. } => "file".to_owned(),
    }
}

fn session_key(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// The patient of a login, with tags that are proven.
async fn subject(tags: &Tags, login: &LoggedIn) -> Result<Subject, ClientError> {
    let v1::PatientIdentity { ins, oid } = login.identity.clone();
    let request = |secret| TagRequest { ins: ins.clone(), oid: oid.clone(), secret };
    let mut requests = vec![request(false)];
    if login.is_patient {
        requests.push(request(true));
    }
    let wrong = || ClientError::Check("a tag came without its proof: ask another node".to_owned());
    let mut found = Vec::new();
    for (tag, proof) in tags.resolve_proven(&requests).await? {
        found.push(ProvenTag { tag, proof: proof[..].try_into().map_err(|_| wrong())? });
    }
    let mut found = found.into_iter();
    Ok(Subject { ins, oid, open: found.next().ok_or_else(wrong)?, secret: found.next() })
}

/// The port for browsers.
pub struct Browsers(pub Arc<Login>);

impl Site for Browsers {
    async fn answer(&self, asked: Asked) -> Answer {
        match self.0.browser(&asked).await {
            Ok(answer) => answer,
            Err(error) => {
                let lang = lang_of(asked.query.text("lang"));
                tracing::warn!(error = kind_of(&error), "a login came to nothing");
                match error {
                    ClientError::Unavailable(_) | ClientError::Quota(_) => {
                        self.0.problem(StatusCode::SERVICE_UNAVAILABLE, Problem::Away, lang)
                    }
                    ClientError::Rejected(_) => self.0.failed(StatusCode::BAD_REQUEST, LoginProblem::Refused, lang),
                    _ => self.0.problem(StatusCode::INTERNAL_SERVER_ERROR, Problem::Internal, lang),
                }
            }
        }
    }
}

/// The port for the page process.
pub struct Pages(pub Arc<Login>);

impl Site for Pages {
    async fn answer(&self, asked: Asked) -> Answer {
        back::answer(&self.0, &asked).await
    }
}

impl From<Unreadable> for ClientError {
    fn from(error: Unreadable) -> Self {
        Self::Usage(error.to_string())
    }
}
