//! Who calls: a certificate of the establishment, a bearer token of its server, or the development token.
//!
//! A client is one of the configuration. A token gives at most what the configuration gives its client, and needs its
//! certificate too where the configuration names one.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use sillage_client::clock::now_ms;
use sillage_proof::hash::sha256;
use sillage_web::listen::Peer;

use super::answer::Answer;
use super::keys::Keys;
use super::outcome::Issue;
use super::scopes::{Right, Scopes};
use super::token;
use crate::config::{ClientConfig, Config, OauthConfig};

/// The name of whoever holds the development token.
pub const DEVELOPMENT: &str = "development";

/// A program that may call.
#[derive(Debug)]
pub struct Client {
    /// Its name in reports and log lines.
    pub name: String,
    /// Whether it reads what others recorded.
    pub reads_all: bool,
    certificate: Option<[u8; 32]>,
    oauth_client: Option<String>,
    oauth_subject: Option<String>,
    scopes: Scopes,
    quota: Quota,
}

impl Client {
    /// Whether a token is this client's.
    fn is_of(&self, granted: &token::Granted) -> bool {
        let is_subject = |subject: &String| granted.subject.as_ref() == Some(subject);
        self.oauth_client.as_ref() == Some(&granted.client_id) && self.oauth_subject.as_ref().is_none_or(is_subject)
    }
}

fn client(client: &ClientConfig) -> Result<Arc<Client>, String> {
    let named = |why: String| format!("client `{}`: {why}", client.name);
    let spki = |text: &String| <[u8; 32]>::try_from(hex::decode(text).ok()?).ok();
    if client.name == DEVELOPMENT {
        return Err(named("this name is the development token's".to_owned()));
    }
    Ok(Arc::new(Client {
        name: client.name.clone(),
        reads_all: client.reads_all,
        certificate: client.certificate_sha256.as_ref().and_then(spki),
        oauth_client: client.oauth_client.clone(),
        oauth_subject: client.oauth_subject.clone(),
        scopes: Scopes::parse_list(&client.scopes).map_err(named)?,
        quota: Quota::new(client.per_second.max(1)),
    }))
}

/// Requests that may come in a second, and what is left of them.
#[derive(Debug)]
struct Quota {
    per_second: f64,
    /// What is left, and when it was counted. A batch may overdraw it; then the client waits longer.
    left: Mutex<(f64, Instant)>,
}

impl Quota {
    fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), left: Mutex::new((per_second.into(), Instant::now())) }
    }

    /// Takes `count`, or says how long to wait, in seconds.
    fn take(&self, count: usize) -> Result<(), u64> {
        let mut left = self.left.lock();
        let now = Instant::now();
        let gained = now.duration_since(left.1).as_secs_f64() * self.per_second;
        *left = ((left.0 + gained).min(self.per_second), now);
        if left.0 < 1.0 {
            let wait = ((1.0 - left.0) / self.per_second).ceil();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            return Err((wait as u64).max(1));
        }
        #[allow(clippy::cast_precision_loss)]
        let count = count as f64;
        left.0 -= count;
        Ok(())
    }
}

/// Who calls, and what this call may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The client.
    pub client: Arc<Client>,
    scopes: Scopes,
}

impl Caller {
    /// Whether the call may do this.
    ///
    /// # Errors
    /// `403`, with the scope that is missing.
    pub fn may(&self, right: Right) -> Result<(), Answer> {
        if self.scopes.allow(right) {
            return Ok(());
        }
        let why = format!(
            "the scope {right} is missing: the operator of the connector, or of the server of tokens, gives it"
        );
        let answer = Answer::issue(StatusCode::FORBIDDEN, Issue::error("forbidden", why));
        Err(answer.with(header::WWW_AUTHENTICATE, format!("Bearer error=\"insufficient_scope\", scope=\"{right}\"")))
    }

    /// Whether its scopes give it anything: who may do nothing sends no batch either.
    ///
    /// # Errors
    /// `403`.
    pub fn may_something(&self) -> Result<(), Answer> {
        if !self.scopes.is_empty() {
            return Ok(());
        }
        let why = "no scope of this client gives anything here: the operator of the connector, or of the server of tokens, gives one";
        let answer = Answer::issue(StatusCode::FORBIDDEN, Issue::error("forbidden", why));
        Err(answer.with(header::WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\""))
    }

    /// Counts `count` requests.
    ///
    /// # Errors
    /// `429`, with how long to wait.
    pub fn count(&self, count: usize) -> Result<(), Answer> {
        self.client.quota.take(count).map_err(|wait_s| {
            let why = format!("more requests than this client may send in a second: send this one again in {wait_s} s");
            let answer = Answer::issue(StatusCode::TOO_MANY_REQUESTS, Issue::error("throttled", why));
            answer.with(header::RETRY_AFTER, wait_s.to_string())
        })
    }
}

/// Everybody who may call.
pub struct Clients {
    clients: Vec<Arc<Client>>,
    development: Option<([u8; 32], Arc<Client>)>,
    oauth: Option<(OauthConfig, Keys)>,
}

impl Clients {
    /// Those of a configuration. `test_log`: the log's genesis says that it is one.
    ///
    /// # Errors
    /// What can't be used, and the way out.
    pub fn new(config: &Config, test_log: bool) -> Result<Self, String> {
        let clients = config.clients.iter().map(client).collect::<Result<_, _>>()?;
        let token = config.fhir.as_ref().and_then(|fhir| fhir.token.as_ref().map(|token| (fhir, token)));
        let development = match token {
            None => None,
            Some((fhir, _)) if !test_log || !fhir.listen.ip().is_loopback() => {
                let why =
                    "fhir.token is for development: on loopback and for test logs only; use certificates or [oauth]";
                return Err(why.to_owned());
            }
            Some((_, token)) => {
                let own = Client {
                    name: DEVELOPMENT.to_owned(),
                    reads_all: true,
                    certificate: None,
                    oauth_client: None,
                    oauth_subject: None,
                    scopes: Scopes::of_token(["system/*.cruds", "system/$decide", "system/$break-glass"]),
                    // Measurements come with it.
                    quota: Quota::new(1_000_000),
                };
                Some((sha256(&[token.as_bytes()]).to_bytes(), Arc::new(own)))
            }
        };
        let oauth = match &config.oauth {
            Some(oauth) => Some((oauth.clone(), Keys::new(oauth)?)),
            None => None,
        };
        Ok(Self { clients, development, oauth })
    }

    /// The server of tokens.
    pub fn oauth(&self) -> Option<&OauthConfig> {
        self.oauth.as_ref().map(|(oauth, _)| oauth)
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// `401`.
    pub async fn identify(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, Answer> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (None, _) => {
                let known =
                    |client: &&Arc<Client>| client.certificate.is_some() && client.certificate == peer.certificate;
                let Some(client) = self.clients.iter().find(known) else {
                    let why = "nobody is known by this: bring a certificate of the configuration, or a bearer token";
                    return Err(unauthorised(why, None));
                };
                Ok(Caller { client: Arc::clone(client), scopes: client.scopes.clone() })
            }
            (Some(one), None) => {
                let text = one.to_str().unwrap_or_default();
                let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let Some((_, token)) = token else {
                    return Err(unauthorised("Authorization isn't `Bearer TOKEN`", Some("invalid_request")));
                };
                self.by_token(peer, token.trim()).await
            }
            (Some(_), Some(_)) => Err(unauthorised("two Authorization headers: send one", Some("invalid_request"))),
        }
    }

    async fn by_token(&self, peer: Peer, text: &str) -> Result<Caller, Answer> {
        // Hashes are compared, so that the time says nothing about the token.
        if let Some((hash, client)) = &self.development
            && sha256(&[text.as_bytes()]).to_bytes() == *hash
        {
            return Ok(Caller { client: Arc::clone(client), scopes: client.scopes.clone() });
        }
        let invalid = |why: &str| unauthorised(why, Some("invalid_token"));
        let Some((oauth, keys)) = &self.oauth else {
            return Err(invalid(
                "no server of tokens is configured here ([oauth]), and this isn't the development token",
            ));
        };
        let kid = token::key_id(text).map_err(|error| invalid(&error.to_string()))?;
        let set = keys.for_token(&kid).await;
        let granted = token::verify(text, &set, &oauth.issuer, &oauth.audience, now_ms() / 1_000);
        let granted = granted.map_err(|error| invalid(&error.to_string()))?;
        let known = |client: &&Arc<Client>| client.is_of(&granted);
        let Some(client) = self.clients.iter().find(known) else {
            return Err(invalid(
                "the token's client isn't one of the configuration ([[client]] oauth_client, oauth_subject)",
            ));
        };
        if client.certificate.is_some() && client.certificate != peer.certificate {
            return Err(invalid("this client's token counts over its own certificate alone"));
        }
        Ok(Caller { client: Arc::clone(client), scopes: client.scopes.and(&granted.scopes) })
    }
}

fn unauthorised(why: &str, error: Option<&str>) -> Answer {
    let challenge = match error {
        Some(error) => format!("Bearer realm=\"fhir\", error=\"{error}\""),
        None => "Bearer realm=\"fhir\"".to_owned(),
    };
    let answer = Answer::issue(StatusCode::UNAUTHORIZED, Issue::error("login", why));
    answer.with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_given_back_with_time_and_a_batch_overdraws_it() {
        let quota = Quota::new(10);
        quota.take(30).expect("a batch is taken whole");
        let wait = quota.take(1).expect_err("overdrawn");
        assert!((2..=3).contains(&wait), "{wait}");
        quota.left.lock().1 -= std::time::Duration::from_secs(3);
        quota.take(1).expect("given back");
    }
}
