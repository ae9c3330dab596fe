//! Which path gives what: from a request over the session and the log to a page.
//!
//! - [`visit`]: who is logged in; [`login`]: how a visit begins and ends;
//! - [`trace`] and [`line`]: who accessed, and why they could; [`lines`]: from the log's lines to what a page shows of them;
//! - [`access`]: who may; [`choices`]: what the patient decides, from the form over the preview to the record;
//! - [`family`]: who represents the patient;
//! - [`stories`]: emergencies, and questions with their answers; [`sources`]: who records;
//! - [`take`]: files to take along, and the verifier; [`small`]: what needs no log.
//!
//! Nothing that names a patient, a person or a document stands in a path or a query: what must be carried is sealed.

pub mod access;
pub mod choices;
pub mod family;
pub mod line;
pub mod lines;
pub mod login;
pub mod small;
pub mod sources;
pub mod stories;
pub mod take;
pub mod trace;
pub mod visit;

use std::sync::Arc;

use axum::http::{Method, StatusCode, header};
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::error::Code;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::keys::AuthorId;
use sillage_words::Lang;
use tokio::sync::{OnceCell, Semaphore};

use self::lines::in_paris;
use self::visit::Visit;
use crate::back::Back;
use crate::config::PortalConfig;
use crate::cookie::{Cookies, Purpose, Sealer};
use crate::login::{kind_of, lang_of, timeouts};
use crate::pages;
use crate::record::Recorders;
use crate::view::chrome::SESSION_MINUTES_MAX;
use crate::view::login::{LoginFailedView, LoginProblem};
use crate::view::problem::{Problem, ProblemView};
use crate::view::{Chrome, Ending, User, fields};
use crate::web::answer::{self, Answer, Policy};
use crate::web::fields::{Fields, encoded};
use crate::web::{Asked, Site, Unreadable};

/// The state of the page process: nothing of any user.
pub struct Portal {
    config: PortalConfig,
    profile: Profile,
    origin: Origin,
    test_log: bool,
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
    /// There is no such page, or no such line in this trace.
    NotFound,
    /// The login came to nothing.
    Login(LoginProblem),
    /// The log, or the way to it.
    Ledger(ClientError),
    /// The same, of something that may be on record all the same.
    MayBeRecorded(ClientError),
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
const MINUTE_MS: u64 = 60_000;

impl Portal {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn new(config: PortalConfig) -> Result<Self, ClientError> {
        let profile = Profile::load(&config.profile)?;
        let test_log = profile.genesis()?.0.test_log;
        let origin = Origin::new(profile.origin.clone()).map_err(|error| ClientError::Usage(error.to_string()))?;
        let sealer = Sealer::load(&config.cookie_key)?;
        let (cookies, back) = (Cookies { secure: config.is_secure() }, Back::new(&config.login)?);
        let room = Semaphore::new(config.limits.requests_max);
        Ok(Self { config, profile, origin, test_log, sealer, cookies, back, ledger: OnceCell::new(), room })
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

    /// The frame of a page. `path` is where a change of language leads back to: of a form that was sent, its own page.
    fn chrome(&self, asked: &Asked, visit: Option<&Visit>) -> Chrome {
        let path = if asked.method == Method::POST { "/".to_owned() } else { asked.path.clone() };
        let user = visit.map(|visit| {
            let until_ms = visit.patient.until_ms;
            let left = until_ms.saturating_sub(now_ms()) / MINUTE_MS;
            let minutes_left = u8::try_from(left).unwrap_or(SESSION_MINUTES_MAX).min(SESSION_MINUTES_MAX);
            User {
                name: visit.name.as_str().into(),
                acting_for: (!visit.acting_for.is_empty()).then(|| visit.acting_for.as_str().into()),
                may_switch: false,
                login: visit.through.as_str().into(),
                until: in_paris(until_ms).1,
                ending: Ending { minutes_left },
            }
        });
        Chrome {
            lang: self.lang(asked),
            user,
            csrf: visit.map(|visit| self.sealer.token_of_forms(&visit.key())).unwrap_or_default(),
            path,
            kiosk: false,
            test_log: self.test_log,
            help: None,
        }
    }

    /// Who is logged in, if anybody is.
    fn visitor(&self, asked: &Asked) -> Option<Result<Visit, Trouble>> {
        let value = self.cookies.read(asked, visit::COOKIE)?;
        Some(Visit::open(&self.sealer, &value, now_ms()).map_err(|_| Trouble::SessionOver))
    }

    /// Who is logged in; else the login, which leads back.
    ///
    /// A copy of a cookie is worth nothing once its session was closed. The log would let this portal read on while another session of the
    /// same patient is open, so it is asked for this one.
    async fn visit(&self, asked: &Asked) -> Result<Visit, Trouble> {
        let visit = self.visitor(asked).unwrap_or_else(|| Err(Trouble::NoSession(asked.path.clone())))?;
        match visit.is_closed(&self.ledger().await?.session).await? {
            false => Ok(visit),
            true => Err(Trouble::SessionOver),
        }
    }

    /// A form of who is logged in: it came from a page of theirs.
    async fn own_form(&self, asked: &Asked) -> Result<(Visit, Fields), Trouble> {
        let visit = self.visit(asked).await?;
        let form = asked.form()?;
        let is_own =
            asked.is_from(&self.config.base) && self.sealer.is_token_of_forms(&visit.key(), form.text(fields::CSRF));
        if is_own { Ok((visit, form)) } else { Err(Trouble::FormOutOfDate) }
    }

    /// What a page of this visit carries: readable by this portal alone, for the same patient, until the visit ends. The same content gives
    /// the same text.
    fn named(&self, visit: &Visit, content: &[u8]) -> String {
        self.sealer.name(Purpose::Cursor, visit.patient.until_ms, &self.of_visit(visit, content))
    }

    /// The content of [`Portal::named`].
    fn opened(&self, visit: &Visit, text: &str) -> Option<Vec<u8>> {
        self.opened_as(visit, Purpose::Cursor, text)
    }

    /// A form's own content, which is never the same twice.
    fn sealed_form(&self, visit: &Visit, content: &[u8]) -> Result<String, ClientError> {
        self.sealer.seal(Purpose::Form, visit.patient.until_ms, &self.of_visit(visit, content))
    }

    /// It is bound to the session, not to the patient alone: an address that stays in a browser's history opens nothing in the session of
    /// somebody who represents the same patient.
    fn of_visit(&self, visit: &Visit, content: &[u8]) -> Vec<u8> {
        [&visit.key()[..], content].concat()
    }

    fn opened_as(&self, visit: &Visit, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
        let content = self.sealer.open(purpose, text, now_ms()).ok()?;
        content.strip_prefix(&visit.key()[..]).map(<[u8]>::to_vec)
    }

    async fn route(&self, asked: &Asked) -> Answered {
        let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
        let get = asked.method == Method::GET || asked.method == Method::HEAD;
        let posted = asked.method == Method::POST;
        match (get, segments.as_slice()) {
            (true, [""]) => self.home(asked).await,
            (true, ["connexion"]) => self.begin(asked),
            (true, ["retour"]) => self.come_back(asked).await,
            (true, ["trace"]) => self.trace(asked).await,
            (true, ["trace", index]) => self.line(asked, index).await,
            (true, ["trace", index, "preuve"]) => self.proof_file(asked, index).await,
            (true, ["trace", index, "question"]) => self.ask_form(asked, index).await,
            (true, ["acces"]) => self.access(asked).await,
            (true, ["choix"]) => self.choices(asked).await,
            (true, ["choix", "fait", index]) => self.done(asked, index).await,
            (_, ["choix", sort]) if get || (posted && !["apercu", "confirmer"].contains(sort)) => {
                self.choice_form(asked, sort).await
            }
            (true, ["urgences"]) => self.emergencies(asked).await,
            (true, ["questions"]) => self.questions(asked).await,
            (true, ["proches"]) => self.family(asked).await,
            (true, ["sources"]) => self.sources(asked).await,
            (true, ["emporter"]) => self.take(asked).await,
            (true, ["emporter", file]) => self.file(asked, file).await,
            (true, ["verifier"]) => self.verifier(asked).await,
            (true, ["verifier", "politique.txt"]) => self.policy_file().await,
            (true, ["healthz"]) => Ok(self.health().await),
            (true, _) => self.small(asked, &segments),
            (false, ["deconnexion"]) if posted => self.leave(asked).await,
            (false, ["choix", "apercu"]) if posted => self.preview(asked).await,
            (false, ["choix", "confirmer"]) if posted => self.confirm(asked).await,
            (false, ["trace", index, "question"]) if posted => self.ask(asked, index).await,
            (false, ["questions", "clore"]) if posted => self.close_question(asked).await,
            (false, ["langue"]) if posted => self.change_language(asked),
            _ => Err(Trouble::NotFound),
        }
    }

    async fn health(&self) -> Answer {
        match self.ledger().await {
            Ok(_) => answer::text(StatusCode::OK, "ok"),
            Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "no node of the log answers"),
        }
    }

    fn page(&self, markup: maud::Markup) -> Answer {
        answer::page(StatusCode::OK, &Policy::Page, markup)
    }

    fn trouble(&self, asked: &Asked, trouble: &Trouble) -> Answer {
        let visit = self.visitor(asked).and_then(Result::ok);
        let chrome = self.chrome(asked, visit.as_ref());
        let say = |status, problem, may_be_recorded| {
            let view = ProblemView { problem, way_out: None, come_back: None, may_be_recorded, reference: None };
            answer::page(status, &Policy::Page, pages::problem::problem(&chrome, &view))
        };
        match trouble {
            Trouble::NoSession(path) => answer::see_other(&format!("/connexion?suite={}", encoded(login::next(path)))),
            Trouble::SessionOver => {
                let chrome = self.chrome(asked, None);
                let problem = Problem::SessionOver;
                let view =
                    ProblemView { problem, way_out: None, come_back: None, may_be_recorded: false, reference: None };
                let markup = pages::problem::problem(&chrome, &view);
                let mut out = answer::page(StatusCode::UNAUTHORIZED, &Policy::Page, markup);
                self.cookies.end(&mut out, visit::COOKIE);
                out
            }
            Trouble::FormOutOfDate => say(StatusCode::BAD_REQUEST, Problem::FormOutOfDate, false),
            Trouble::NotFound => say(StatusCode::NOT_FOUND, Problem::NotFound, false),
            Trouble::Login(problem) => {
                let view = LoginFailedView { problem: *problem, again: "/connexion".to_owned(), reference: None };
                answer::page(StatusCode::BAD_REQUEST, &Policy::Page, pages::login::failed(&chrome, &view))
            }
            Trouble::Ledger(error) | Trouble::MayBeRecorded(error) => {
                tracing::warn!(error = kind_of(error), "a page isn't shown");
                let may_be_recorded = matches!(trouble, Trouble::MayBeRecorded(_)) && error.is_retry();
                match error {
                    ClientError::Unavailable(_) | ClientError::Quota(_) => {
                        let mut out = say(StatusCode::SERVICE_UNAVAILABLE, Problem::Away, may_be_recorded);
                        answer::add(&mut out, header::RETRY_AFTER, "30");
                        out
                    }
                    // The session ended on the ledger's side: at another instance, or by its time.
                    ClientError::Rejected(rejection) if rejection.code == Code::NotEntitled => {
                        self.trouble(asked, &Trouble::SessionOver)
                    }
                    ClientError::Rejected(rejection) => {
                        let sentence = match (rejection.code.known(), chrome.lang) {
                            (Some(code), Lang::Fr) => sillage_words::codes::sentence(code).into(),
                            _ => rejection.message.as_str().into(),
                        };
                        let code = rejection.code.as_str().into();
                        say(StatusCode::UNPROCESSABLE_ENTITY, Problem::Refused { sentence, code }, false)
                    }
                    _ => say(StatusCode::INTERNAL_SERVER_ERROR, Problem::Internal, may_be_recorded),
                }
            }
        }
    }
}

/// The port for browsers.
pub struct Browsers(pub Arc<Portal>);

impl Site for Browsers {
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
