//! FHIR R4 over HTTP: what each path means.
//!
//! ```text
//! POST /AuditEvent, POST /            record: one, or a batch                       audit_event, batch
//! GET  /AuditEvent…                   read and search what was recorded here        audit_event, search
//! …    /Consent…                      create, read, update, revoke, search          consent
//! POST /Consent/$decide               may this actor do this?                       decide
//! POST /$break-glass                  open, justify, close                          break_glass
//! POST /Encounter                     who joins and leaves a care team              encounter
//! GET  /$arrival/N                    what became of an event that was answered 202 arrival
//! GET  /healthz                       how the connector is                          mod
//! GET  /metadata, /StructureDefinition, /.well-known/smart-configuration…           metadata, definitions
//! ```
//!
//! Where to start reading: [`Api::answer`], which finds the path's module after the caller's right was checked.
//! Everything that is recorded goes through [`crate::intake`]; everything that is read was opened by [`opened`], from the log.

pub mod arrival;
pub mod audit_event;
pub mod batch;
pub mod break_glass;
pub mod consent;
pub mod decide;
pub mod definitions;
pub mod encounter;
pub mod metadata;
pub mod opened;
pub mod parameters;
pub mod request;
pub mod search;

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use serde_json::Value;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_web::listen::{self, Handler, Peer};
use sillage_web::tls::{CallerCertificate, Tls, Versions};

use crate::adt;
use crate::arrival::{Arrival, Door, NotTaken, Refusal, SpoolNumber};
use crate::config::{Config, Limits};
use crate::emergency::Emergency;
use crate::http::answer::Answer;
use crate::http::auth::{Caller, Clients};
use crate::http::body::{self, Held, Room};
use crate::http::format::{self, Format};
use crate::http::outcome::Issue;
use crate::http::scopes::{Interaction, Kind, Right};
use crate::index::{Index, IndexError};
use crate::intake::Intake;
use crate::ledger::Ledger;
use request::Request;
use search::cursor::Cursors;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The REST door of one connector.
pub struct Api {
    /// The base, as clients write it.
    pub base: String,
    /// Records.
    pub intake: Intake,
    /// Finds.
    pub index: Arc<Index>,
    /// The nodes.
    pub ledger: Arc<Ledger>,
    /// Whether the log takes test identities.
    pub test_log: bool,
    clients: Clients,
    cursors: Cursors,
    limits: Limits,
    room: Room,
    /// One change of a Consent at a time: it is compared with the version before.
    consents: tokio::sync::Mutex<()>,
    emergency: Arc<Emergency>,
    /// The mapping of wards and professionals of Encounters; none: Encounters aren't taken.
    adt: Option<adt::Mapping>,
    health: Arc<dyn Fn() -> Value + Send + Sync>,
    started_ms: u64,
}

/// The parts of a connector that the REST door works on.
pub struct Parts {
    /// Records.
    pub intake: Intake,
    /// Finds.
    pub index: Arc<Index>,
    /// The nodes.
    pub ledger: Arc<Ledger>,
    /// How it goes on while they are out of reach.
    pub emergency: Arc<Emergency>,
    /// The mapping of wards and professionals of Encounters.
    pub adt: Option<adt::Mapping>,
    /// Says how the connector is.
    pub health: Arc<dyn Fn() -> Value + Send + Sync>,
    /// Seals the cursors of searches; the same when the connector is started again.
    pub cursor_key: [u8; 32],
    /// Whether the log's genesis says that it is a test log.
    pub test_log: bool,
}

/// Memory of all bodies together.
const BODIES_BYTES_MAX: usize = 256 << 20;

impl Api {
    /// As the configuration says.
    ///
    /// # Errors
    /// What can't be used of it, and the way out.
    pub fn new(config: &Config, parts: Parts) -> Result<Self, String> {
        let fhir = config.fhir.as_ref().ok_or("no [fhir] in the configuration")?;
        Ok(Self {
            base: fhir.base.clone(),
            clients: Clients::new(config, parts.test_log)?,
            cursors: Cursors::new(&parts.cursor_key),
            limits: config.limits.clone(),
            room: Room::new(BODIES_BYTES_MAX),
            consents: tokio::sync::Mutex::default(),
            emergency: parts.emergency,
            adt: parts.adt,
            health: parts.health,
            started_ms: now_ms(),
            intake: parts.intake,
            index: parts.index,
            ledger: parts.ledger,
            test_log: parts.test_log,
        })
    }

    /// Answers a request whose caller is known. An entry of a batch comes here too.
    pub async fn answer(self: &Arc<Self>, caller: &Caller, request: Request) -> Answer {
        if let Some(right) = right_of(&request)
            && let Err(answer) = caller.may(right)
        {
            return answer;
        }
        let method = request.method.clone();
        let is_get = method == Method::GET || method == Method::HEAD;
        let is_post = method == Method::POST;
        let allowed = |methods: &str| not_allowed(methods);
        let path = request.path.clone();
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] if is_post => batch::answer(self, caller, request).await,
            [] => allowed("POST"),
            ["AuditEvent"] if is_post => audit_event::create(self, caller, request).await,
            ["AuditEvent"] if is_get => audit_event::search(self, caller, &request).await,
            ["AuditEvent", "_search"] if is_post => audit_event::search(self, caller, &request).await,
            ["AuditEvent" | "Consent", "_search"] if !is_post => allowed("POST"),
            ["AuditEvent", id] if is_get => audit_event::read(self, caller, id, &request).await,
            ["AuditEvent", id, "_history", "1"] if is_get => audit_event::read(self, caller, id, &request).await,
            ["AuditEvent", _] => immutable(),
            ["Consent"] if is_post => consent::write::create(self, caller, request).await,
            ["Consent"] if is_get => consent::search(self, caller, &request).await,
            ["Consent", "_search"] if is_post => consent::search(self, caller, &request).await,
            ["Consent", "$decide"] if is_post => decide::answer(self, caller, &request).await,
            ["Consent", "$decide"] => allowed("POST"),
            ["Consent", id] if is_get => consent::read(self, caller, id, None, &request).await,
            ["Consent", id] if method == Method::PUT => consent::write::update(self, caller, id, request).await,
            ["Consent", id] if method == Method::DELETE => consent::write::revoke(self, caller, id, &request).await,
            ["Consent", id, "_history", version] if is_get => {
                consent::read(self, caller, id, Some(version), &request).await
            }
            ["$break-glass"] if is_post => break_glass::answer(self, caller, &request).await,
            ["$break-glass"] => allowed("POST"),
            ["Encounter"] if is_post => encounter::create(self, caller, request).await,
            ["Encounter", ..] => allowed("POST"),
            ["$arrival", number] if is_get => arrival::answer(self, caller, number),
            ["AuditEvent"] | ["Consent"] => allowed("GET, POST"),
            ["Consent", _] => allowed("GET, PUT, DELETE"),
            [kind, ..] if Kind::from_name(kind).is_some() => Answer::not_found(),
            _ => {
                let why = "this server has AuditEvent, Consent, Consent/$decide, $break-glass, Encounter, StructureDefinition and metadata";
                Answer::issue(StatusCode::NOT_FOUND, Issue::error("not-supported", why))
            }
        }
    }

    /// The same as a value, for the entries of a batch: a batch that answers requests would else be a future of itself.
    fn answer_entry(self: Arc<Self>, caller: Caller, request: Request) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(&caller, request).await })
    }

    /// Answers of paths that anybody may read.
    fn open_to_all(&self, request: &Request) -> Option<Answer> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return None;
        }
        match request.parts()[..] {
            ["healthz"] => Some(self.health()),
            ["metadata"] => Some(Answer::resource(StatusCode::OK, metadata::capability(self))),
            [".well-known", "smart-configuration"] => Some(metadata::smart(&self.base, self.clients.oauth())),
            [kind] => definitions::all(&self.base, kind),
            [kind, id] => definitions::one(kind, id),
            _ => None,
        }
    }

    /// How the connector is, for whoever watches over it: numbers and sentences, and nothing of what it holds.
    fn health(&self) -> Answer {
        let health = (self.health)();
        let status = match health["status"].as_str() {
            Some("alarm") => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        };
        Answer { is_plain: true, ..Answer::resource(status, health) }
    }

    /// Hands an arrival in.
    async fn take(
        &self,
        caller: &Caller,
        request: &Request,
        resource: Value,
        replaces: bool,
    ) -> Result<crate::arrival::Taken, Answer> {
        let arrival = self.arrival(caller, request, resource, replaces);
        self.intake.take(arrival).await.map_err(|error| not_taken(&error))
    }

    /// Keeps the body of a refused POST of an event in quarantine: many senders drop what they are refused. Gives the answer,
    /// or another one where the disk doesn't take it.
    async fn kept_aside(&self, caller: &Caller, request: &Request, refusal: Refusal, answer: Answer) -> Answer {
        if request.method != Method::POST || request.parts()[..] != ["AuditEvent"] {
            return answer;
        }
        match self.intake.refuse(self.arrival(caller, request, Value::Null, false), refusal).await {
            NotTaken::Refused(_) => answer,
            other => not_taken(&other),
        }
    }

    fn arrival(&self, caller: &Caller, request: &Request, resource: Value, replaces: bool) -> Arrival {
        Arrival {
            door: Door::Rest,
            source: caller.client.name.clone(),
            received_ms: now_ms(),
            raw: request.raw.to_vec(),
            resource,
            base: String::new(),
            replaces,
        }
    }

    /// A URL below the base.
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The source whose events a caller finds; none: everybody's.
    fn seen_by(caller: &Caller) -> Option<String> {
        (!caller.client.reads_all).then(|| caller.client.name.clone())
    }

    /// `202`: it is on this machine's disk.
    fn accepted(&self, number: SpoolNumber) -> Answer {
        let why = "kept on the connector's disk; the nodes of the ledger are out of reach, and it goes on record when they are \
                   back: Location says whether it has";
        Answer::issue(StatusCode::ACCEPTED, Issue::information(why))
            .with(header::LOCATION, self.url(&format!("$arrival/{number}")))
    }

    async fn serve(self: &Arc<Self>, request: hyper::Request<Incoming>, peer: Peer) -> Response<Body> {
        let begun = std::time::Instant::now();
        let (head, body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        let gzip = takes_gzip(&head.headers);
        let mut format = Format::Json;
        let mut body = Some(body);
        let (answer, client, route) = self.handle(&head, &mut body, peer, &mut format).await;
        // A body that nobody reads would cut the connection, and with it the answer that says why.
        if let Some(body) = body.filter(|body| !body.is_end_stream()) {
            body::drain(body).await;
        }
        // Neither the path nor the parameters: both may name a patient.
        let (status, ms) = (answer.status.as_u16(), begun.elapsed().as_millis());
        tracing::debug!(method = %head.method, route, client, status, ms, "answered");
        answer.write(format, gzip, is_head)
    }

    async fn handle(
        self: &Arc<Self>,
        head: &axum::http::request::Parts,
        body: &mut Option<Incoming>,
        peer: Peer,
        format: &mut Format,
    ) -> (Answer, String, &'static str) {
        let nobody = String::new;
        let base = base_path(&self.base);
        let path = head.uri.path();
        let below = path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(below) = below else {
            let why = format!("FHIR is served under {}", self.base);
            return (Answer::issue(StatusCode::NOT_FOUND, Issue::error("not-found", why)), nobody(), "elsewhere");
        };
        let mut request = match Request::of_head(head.method.clone(), below, head.uri.query(), &head.headers) {
            Ok(request) => request,
            Err(answer) => return (answer, nobody(), "unreadable"),
        };
        let route = route_of(&request);
        match format::of_answer(request.parameter("_format"), &head.headers) {
            Ok(asked) => *format = asked,
            Err(why) => {
                return (
                    Answer::issue(StatusCode::NOT_ACCEPTABLE, Issue::error("not-supported", why)),
                    nobody(),
                    route,
                );
            }
        }
        if let Some(answer) = self.open_to_all(&request) {
            return (answer, nobody(), route);
        }
        let caller = match self.clients.identify(peer, &head.headers).await {
            Ok(caller) => caller,
            Err(answer) => return (answer, nobody(), route),
        };
        let client = caller.client.name.clone();
        let allowed = match right_of(&request) {
            Some(right) => caller.may(right),
            // Of a batch, each entry needs its own right: after its body was read.
            None => caller.may_something(),
        };
        if let Err(answer) = allowed {
            return (answer, client, route);
        }
        if let Err(answer) = caller.count(1) {
            return (answer, client, route);
        }
        // Held until the answer is there: its memory counts.
        let _held = match self.read_body(&caller, &mut request, &head.headers, body).await {
            Ok(held) => held,
            Err(answer) => return (answer, client, route),
        };
        (self.answer(&caller, request).await, client, route)
    }

    /// Reads the body of a method that has one.
    async fn read_body(
        &self,
        caller: &Caller,
        request: &mut Request,
        headers: &HeaderMap,
        body: &mut Option<Incoming>,
    ) -> Result<Option<Held>, Answer> {
        if request.method != Method::POST && request.method != Method::PUT {
            return Ok(None);
        }
        let is_batch = request.path.is_empty();
        let is_form = request.parts().last() == Some(&"_search");
        let max = if is_batch { self.limits.body_bytes_max } else { self.limits.resource_bytes_max };
        let Some(body) = body.take() else { return Ok(None) };
        let mut held = body::read(headers, body, max, &self.limits, &self.room).await?;
        if is_form {
            let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !held.bytes.is_empty() && !given.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
                let why = "the parameters of a _search come as application/x-www-form-urlencoded";
                return Err(Answer::issue(StatusCode::UNSUPPORTED_MEDIA_TYPE, Issue::error("not-supported", why)));
            }
            request.add_form(&held.bytes)?;
            return Ok(Some(held));
        }
        let format = format::of_body(headers)
            .map_err(|why| Answer::issue(StatusCode::UNSUPPORTED_MEDIA_TYPE, Issue::error("not-supported", why)))?;
        let values = format::values(&held.bytes, format);
        if values > format::VALUES_MAX {
            let why = format!("the body has over {} values: send less at once", format::VALUES_MAX);
            return Err(Answer::issue(StatusCode::PAYLOAD_TOO_LARGE, Issue::error("too-costly", why)));
        }
        held.count(&self.room, values * format::VALUE_BYTES)?;
        request.raw = held.bytes.clone();
        match format::read(&held.bytes, format) {
            Ok(resource) => request.body = Some(resource),
            Err(error) => {
                let answer =
                    Answer::issue(StatusCode::BAD_REQUEST, Issue { code: "structure", ..Issue::of_element(&error) });
                return Err(self.kept_aside(caller, request, error.into(), answer).await);
            }
        }
        Ok(Some(held))
    }
}

/// Opens the REST door, and gives what ends when `stop` has turned true and the last request is answered.
///
/// # Errors
/// What can't be used of the configuration, or of the address.
pub async fn open(
    config: &Config,
    parts: Parts,
    stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let fhir = config.fhir.as_ref().ok_or("no [fhir] in the configuration")?;
    let tls = fhir.tls.as_ref().map(|files| {
        // A caller without a certificate brings a token.
        let callers = files.client_ca.clone().map_or(CallerCertificate::NotAsked, CallerCertificate::Optional);
        let versions = Versions::Tls12AndTls13;
        Tls { cert: &files.cert, key: &files.key, callers, versions, protocols: &["h2", "http/1.1"] }.acceptor()
    });
    let tls = tls.transpose().map_err(|error| error.to_string())?;
    let api = Arc::new(Api::new(config, parts)?);
    let bound = TcpListener::bind(fhir.listen).await;
    let listener = bound.map_err(|error| format!("fhir.listen = {}: {error}", fhir.listen))?;
    Ok(listen::run(listener, Arc::new(Rest(api)), tls, config.limits.bounds(), stop))
}

/// The handler of a listener.
pub struct Rest(pub Arc<Api>);

impl Handler for Rest {
    async fn answer(&self, request: hyper::Request<Incoming>, peer: Peer) -> Response<Body> {
        self.0.serve(request, peer).await
    }

    fn refuse(&self, why: &'static str) -> Response<Body> {
        Answer::bad("structure", why).write(Format::Json, false, false)
    }
}

/// The path of a base; empty where it has none.
pub fn base_path(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// The right that a request needs; none where its entries, or its answer, say so.
fn right_of(request: &Request) -> Option<Right> {
    let method = &request.method;
    let is_get = *method == Method::GET || *method == Method::HEAD;
    let on = |kind: &str, interaction| Kind::from_name(kind).map(|kind| Right::On(kind, interaction));
    match request.parts()[..] {
        ["Consent", "$decide"] => Some(Right::Decide),
        ["$break-glass"] => Some(Right::BreakGlass),
        ["Encounter", ..] => Some(Right::Encounter),
        [kind] if is_get => on(kind, Interaction::Search),
        [kind, "_search"] if *method == Method::POST => on(kind, Interaction::Search),
        [kind] if *method == Method::POST => on(kind, Interaction::Create),
        [kind, _] | [kind, _, "_history", _] if is_get => on(kind, Interaction::Read),
        [kind, _] if *method == Method::PUT => on(kind, Interaction::Update),
        [kind, _] if *method == Method::DELETE => on(kind, Interaction::Delete),
        _ => None,
    }
}

/// The name of a path in log lines.
fn route_of(request: &Request) -> &'static str {
    match request.parts()[..] {
        [] => "batch",
        ["AuditEvent", ..] => "AuditEvent",
        ["Consent", "$decide"] => "decide",
        ["Consent", ..] => "Consent",
        ["$break-glass"] => "break-glass",
        ["Encounter", ..] => "Encounter",
        ["$arrival", _] => "arrival",
        ["metadata"] => "metadata",
        ["StructureDefinition" | "OperationDefinition", ..] => "definition",
        [".well-known", ..] => "well-known",
        _ => "other",
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|part| {
        let mut words = part.split(';').map(str::trim);
        matches!(words.next(), Some("gzip" | "x-gzip" | "*")) && !words.any(|word| matches!(word, "q=0" | "q=0.0"))
    })
}

fn not_allowed(methods: &str) -> Answer {
    let why = format!("this path takes {methods}");
    Answer::issue(StatusCode::METHOD_NOT_ALLOWED, Issue::error("not-supported", why)).with(header::ALLOW, methods)
}

fn immutable() -> Answer {
    let why = "an event that is on record is never changed or deleted: record another one that says what was wrong";
    Answer::issue(StatusCode::METHOD_NOT_ALLOWED, Issue::error("not-supported", why)).with(header::ALLOW, "GET")
}

/// Why an arrival wasn't taken.
fn not_taken(error: &NotTaken) -> Answer {
    match error {
        NotTaken::Refused(refusal) => {
            let code = Some(refusal.code.clone()).filter(|code| !code.is_empty());
            let issue = Issue { ledger_code: code, ..Issue::error("invalid", refusal.reason.clone()) };
            Answer::issue(StatusCode::UNPROCESSABLE_ENTITY, issue.at(refusal.path.clone()))
        }
        NotTaken::SpoolFull => {
            Answer::issue(StatusCode::INSUFFICIENT_STORAGE, Issue::error("no-store", error.to_string()))
                .with(header::RETRY_AFTER, "60")
        }
        NotTaken::Busy { wait_ms } => {
            Answer::issue(StatusCode::SERVICE_UNAVAILABLE, Issue::error("throttled", error.to_string()))
                .with(header::RETRY_AFTER, wait_ms.div_ceil(1_000).max(1).to_string())
        }
    }
}

/// What a call of the ledger ended with.
fn of_client(error: &ClientError) -> Answer {
    let status = match error {
        ClientError::Rejected(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ClientError::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
        ClientError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        ClientError::Check(why) => {
            tracing::error!(%why, "what a node says can't be believed");
            StatusCode::BAD_GATEWAY
        }
        other => {
            tracing::error!(why = %other, "the connector isn't set up rightly");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let answer = Answer::issue(status, Issue::of_client(error));
    match error.is_retry() {
        true => answer.with(header::RETRY_AFTER, "5"),
        false => answer,
    }
}

/// The index can't be read.
fn of_index(error: &IndexError) -> Answer {
    tracing::error!(%error, "the index can't be read");
    let why = "the connector's index can't be read: its operator finds the reason in its log";
    Answer::issue(StatusCode::INTERNAL_SERVER_ERROR, Issue::error("exception", why))
}

/// Checks that a body is a resource of this type.
fn of_type<'a>(request: &'a Request, kind: &str) -> Result<&'a Value, Answer> {
    let wrong = |why: String| Answer::issue(StatusCode::BAD_REQUEST, Issue::error("structure", why).at("resourceType"));
    let body = request.body.as_ref().ok_or_else(|| wrong(format!("the body is empty: send a {kind}")))?;
    match body["resourceType"].as_str() {
        Some(own) if own == kind => Ok(body),
        Some(_) => Err(wrong(format!("the body is another resource than {kind}"))),
        None => Err(wrong(format!("the body names no resourceType: send a {kind} of FHIR R4"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(method: Method, path: &str) -> Option<String> {
        let request = Request::of_head(method, path, None, &HeaderMap::new()).expect("a request");
        right_of(&request).map(|right| right.to_string())
    }

    #[test]
    fn every_path_that_shows_or_changes_something_needs_a_right() {
        for (method, path, expected) in [
            (Method::POST, "/AuditEvent", "system/AuditEvent.c"),
            (Method::GET, "/AuditEvent", "system/AuditEvent.s"),
            (Method::HEAD, "/AuditEvent", "system/AuditEvent.s"),
            (Method::POST, "/AuditEvent/_search", "system/AuditEvent.s"),
            (Method::GET, "/AuditEvent/a-1-0", "system/AuditEvent.r"),
            (Method::GET, "/AuditEvent/a-1-0/_history/1", "system/AuditEvent.r"),
            (Method::POST, "/Consent", "system/Consent.c"),
            (Method::PUT, "/Consent/x", "system/Consent.u"),
            (Method::DELETE, "/Consent/x", "system/Consent.d"),
            (Method::GET, "/Consent/x/_history/1", "system/Consent.r"),
            (Method::PUT, "/Consent/_search", "system/Consent.u"),
            (Method::DELETE, "/Consent/_search", "system/Consent.d"),
            (Method::GET, "/Consent/_search", "system/Consent.r"),
            (Method::POST, "/Consent/$decide", "system/$decide"),
            (Method::POST, "/Consent/%24decide", "system/$decide"),
            (Method::POST, "/$break-glass", "system/$break-glass"),
            (Method::POST, "/Encounter", "system/Encounter.c"),
        ] {
            assert_eq!(right(method.clone(), path).as_deref(), Some(expected), "{method} {path}");
        }
        assert_eq!(right(Method::POST, "/"), None, "each entry needs its own");
    }

    #[test]
    fn the_path_of_a_base_is_what_is_served() {
        assert_eq!(base_path("https://h.example/fhir"), "/fhir");
        assert_eq!(base_path("http://127.0.0.1:80"), "");
    }
}
