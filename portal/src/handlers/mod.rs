//! Which path gives what: from a request over the session and the log to a page.
//!
//! - [`visit`]: who is logged in; [`login`]: how a visit begins and ends;
//! - [`trace`]: who accessed; [`lines`]: from the log's lines to what a page shows of them.
//!
//! Nothing that names a patient, a person or a document stands in a path or a query: what must be carried is sealed.

pub mod lines;
pub mod login;
pub mod trace;
pub mod visit;

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::error::Code;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::keys::AuthorId;
use sillage_words::Lang;
use tokio::sync::{OnceCell, Semaphore};

use self::visit::Visit;
use crate::back::Back;
use crate::config::PortalConfig;
use crate::cookie::{Cookies, Purpose, Sealer};
use crate::login::{lang_of, timeouts};
use crate::plain::{self, Said};
use crate::record::Recorders;
use crate::web::answer::{self, Answer, Policy};
use crate::web::fields::encoded;
use crate::web::listen::Handler;
use crate::web::{Asked, Unreadable};

/// The state of the page process: nothing of any user.
pub struct Portal {
    config: PortalConfig,
    profile: Profile,
    origin: Origin,
    sealer: Sealer,
    cookies: Cookies,
    back: Back,
    ledger: OnceCell<Ledger>,
    room: Semaphore,
}

/// The way to the log.
pub struct Ledger {
    /// The session of the portal's party.
    pub session: Arc<Session>,
    /// How it puts something on record.
    pub recorders: Recorders,
    /// The portal's party.
    pub author: AuthorId,
}

/// Why a page isn't shown.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody is logged in: the login leads back to this path.
    NoSession(String),
    /// The session is over, or its cookie doesn't hold.
    SessionOver,
    /// The form is forged, out of date, or of another session.
    FormOutOfDate,
    /// There is no such page.
    NotFound,
    /// The login came to nothing.
    Login,
    /// The log, or the way to it.
    Ledger(ClientError),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Ledger(error)
    }
}

impl From<Unreadable> for Trouble {
    fn from(_: Unreadable) -> Self {
        Self::FormOutOfDate
    }
}

type Answered = Result<Answer, Trouble>;

/// The name of the cookie that says the language.
const LANG: &str = "langue";

impl Portal {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn new(config: PortalConfig) -> Result<Self, ClientError> {
        let profile = Profile::load(&config.profile)?;
        profile.genesis()?;
        let origin = Origin::new(profile.origin.clone()).map_err(|error| ClientError::Usage(error.to_string()))?;
        let sealer = Sealer::load(&config.cookie_key)?;
        let (cookies, back) = (Cookies { secure: config.is_secure() }, Back::new(&config.login)?);
        let room = Semaphore::new(config.limits.requests_max);
        Ok(Self { config, profile, origin, sealer, cookies, back, ledger: OnceCell::new(), room })
    }

    /// The way to the log, opened by who needs it first.
    async fn ledger(&self) -> Result<&Ledger, ClientError> {
        let open = async || {
            let session = Session::open(self.profile.clone(), timeouts(&self.config.limits)).await?;
            let author = session.signer(session.profile.author_signing_key()?).await?.author_id;
            let recorders = Recorders::open(&session, self.config.streams).await?;
            Ok(Ledger { session: Arc::new(session), recorders, author })
        };
        self.ledger.get_or_try_init(open).await
    }

    fn lang(&self, asked: &Asked) -> Lang {
        lang_of(&self.cookies.read(asked, LANG).unwrap_or_default())
    }

    /// Who is logged in, if anybody is.
    fn visitor(&self, asked: &Asked) -> Option<Result<Visit, Trouble>> {
        let value = self.cookies.read(asked, visit::COOKIE)?;
        Some(Visit::open(&self.sealer, &value, now_ms()).map_err(|_| Trouble::SessionOver))
    }

    /// Who is logged in; else the login, which leads back.
    fn visit(&self, asked: &Asked) -> Result<Visit, Trouble> {
        self.visitor(asked).unwrap_or_else(|| Err(Trouble::NoSession(asked.path.clone())))
    }

    /// A form of who is logged in: it came from a page of theirs.
    fn own_form(&self, asked: &Asked) -> Result<(Visit, crate::web::fields::Fields), Trouble> {
        let visit = self.visit(asked)?;
        let form = asked.form()?;
        let token = form.text(crate::view::fields::CSRF);
        let is_own = asked.is_from(&self.config.base) && self.sealer.is_token_of_forms(&visit.key(), token);
        if is_own { Ok((visit, form)) } else { Err(Trouble::FormOutOfDate) }
    }

    /// Seals something for this session, so that it may stand in a URL or a form.
    fn sealed(&self, visit: &Visit, purpose: Purpose, content: &[u8]) -> Result<String, ClientError> {
        let content = [&visit.patient.subject.open.tag.as_bytes()[..], content].concat();
        self.sealer.seal(purpose, visit.patient.until_ms, &content)
    }

    /// Opens it, for the same patient.
    fn opened(&self, visit: &Visit, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
        let content = self.sealer.open(purpose, text, now_ms()).ok()?;
        content.strip_prefix(&visit.patient.subject.open.tag.as_bytes()[..]).map(<[u8]>::to_vec)
    }

    async fn route(&self, asked: &Asked) -> Answered {
        let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
        let get = asked.method == Method::GET || asked.method == Method::HEAD;
        match (get, segments.as_slice()) {
            (true, [""]) => self.home(asked).await,
            (true, ["connexion"]) => self.begin(asked),
            (true, ["retour"]) => self.come_back(asked).await,
            (false, ["deconnexion"]) => self.leave(asked).await,
            (true, ["trace"]) => self.trace(asked).await,
            (true, ["style.css"]) => Ok(plain::style()),
            (true, ["healthz"]) => Ok(self.health().await),
            _ => Err(Trouble::NotFound),
        }
    }

    async fn home(&self, asked: &Asked) -> Answered {
        let lang = self.lang(asked);
        match self.visitor(asked).transpose()? {
            Some(visit) => Ok(answer::page(
                StatusCode::OK,
                &Policy::Page,
                plain::bare(lang, "Sillage", maud::html! { p { (visit.name) } a href="/trace" { "Qui a accédé ?" } }),
            )),
            None => Ok(answer::page(
                StatusCode::OK,
                &Policy::Page,
                plain::bare(lang, "Sillage", maud::html! { a href="/connexion" { "Se connecter" } }),
            )),
        }
    }

    async fn health(&self) -> Answer {
        match self.ledger().await {
            Ok(_) => answer::text(StatusCode::OK, "ok"),
            Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "no node of the log answers"),
        }
    }

    fn trouble(&self, asked: &Asked, trouble: &Trouble) -> Answer {
        let lang = self.lang(asked);
        let say = |status, said| answer::page(status, &Policy::Page, plain::said(said, lang, "/"));
        match trouble {
            Trouble::NoSession(path) => answer::see_other(&format!("/connexion?suite={}", encoded(path))),
            Trouble::SessionOver => {
                let mut out = say(StatusCode::UNAUTHORIZED, Said::LoginAnew);
                self.cookies.end(&mut out, visit::COOKIE);
                out
            }
            Trouble::FormOutOfDate => say(StatusCode::BAD_REQUEST, Said::LoginAnew),
            Trouble::NotFound => say(StatusCode::NOT_FOUND, Said::NotFound),
            Trouble::Login => say(StatusCode::BAD_REQUEST, Said::LoginAnew),
            Trouble::Ledger(error) => {
                tracing::warn!(error = plain::kind_of(error), "a page isn't shown");
                match error {
                    // The session ended on the ledger's side: at another instance, or by its time.
                    ClientError::Rejected(rejection) if rejection.code == Code::NotEntitled => {
                        self.trouble(asked, &Trouble::SessionOver)
                    }
                    error => {
                        let (status, said) = plain::of_error(error);
                        say(status, said)
                    }
                }
            }
        }
    }
}

/// The port for browsers.
pub struct Browsers(pub Arc<Portal>);

impl Handler for Browsers {
    async fn answer(&self, asked: Asked) -> Answer {
        let Ok(_room) = self.0.room.try_acquire() else {
            return answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once: come back in a moment");
        };
        match self.0.route(&asked).await {
            Ok(answer) => answer,
            Err(trouble) => self.0.trouble(&asked, &trouble),
        }
    }
}
