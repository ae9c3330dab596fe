//! A service over HTTP that looks a patient up by their traits, with the answers of the INSi teleservice.
//!
//! INSi itself speaks SOAP, to software that the GIE SESAM-Vitale has approved and that holds a certificate of a structure. So the
//! service asked here is that software; `docs/login-oidc.md` has the few lines of JSON that it is asked and answers.

use serde::Deserialize;
use serde_json::json;
use sillage_rules::json::check_names;
use zeroize::Zeroizing;

use crate::oidc::http::{Ask, Trust, Web};
use crate::oidc::{LoginError, Person};

use super::resolver::{Answer, IdentityResolver, ResolveError, Resolved, checked};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 * 1_024;
/// Given names that are sent.
const NAMES_MAX: usize = 16;

#[derive(Deserialize)]
struct Said {
    code: String,
    ins: Option<SaidIns>,
}

#[derive(Deserialize)]
struct SaidIns {
    value: String,
    oid: String,
}

/// See the module.
pub struct ByTraits {
    web: Web,
    url: String,
    is_test_log: bool,
}

impl std::fmt::Debug for ByTraits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByTraits(..)")
    }
}

impl ByTraits {
    /// At this address: https, or plain HTTP on this machine where `trust` says so.
    ///
    /// # Errors
    /// A file that can't be used, by name.
    pub fn new(url: &str, trust: &Trust, is_test_log: bool) -> Result<Self, String> {
        Ok(Self { web: Web::new(trust)?, url: url.to_owned(), is_test_log })
    }

    async fn ask(&self, person: &Person) -> Result<Resolved, ResolveError> {
        let body = Some(("application/json", question(person)?));
        let ask = Ask { url: &self.url, body, bearer: None, bytes_max: ANSWER_BYTES_MAX };
        let answer = self.web.ask(ask).await.map_err(|error| match error {
            LoginError::Unreachable | LoginError::Slow => ResolveError::Unreachable,
            _ => ResolveError::Answer,
        })?;
        match answer.status {
            200 => read(&answer.body, self.is_test_log),
            500.. => Err(ResolveError::Unreachable),
            _ => Err(ResolveError::Answer),
        }
    }
}

impl IdentityResolver for ByTraits {
    fn resolve<'a>(&'a self, person: &'a Person) -> Answer<'a, Resolved> {
        Box::pin(self.ask(person))
    }
}

/// The question: the strict traits of the national identity policy.
fn question(person: &Person) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (Some(family_name), Some(given_name), Some(birthdate), Some(gender)) =
        (given(&person.family_name), given(&person.given_name), given(&person.birthdate), given(&person.gender))
    else {
        return Err(ResolveError::Traits);
    };
    if !is_birthdate(&birthdate) || !matches!(gender.as_str(), "male" | "female") {
        return Err(ResolveError::Traits);
    }
    let given_names: Vec<&str> = given_name.split_whitespace().take(NAMES_MAX).collect();
    let question = json!({
        "family_name": family_name, "given_names": given_names, "birthdate": birthdate, "gender": gender,
        "birthplace": person.birthplace.clone().unwrap_or_default(), "birthcountry": person.birthcountry.clone().unwrap_or_default(),
    });
    Ok(Zeroizing::new(question.to_string().into_bytes()))
}

/// `YYYY-MM-DD`, where a month or a day that isn't known is `00`.
fn is_birthdate(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
        && &text[5..7] <= "12"
        && &text[8..] <= "31"
}

fn read(bytes: &[u8], is_test_log: bool) -> Result<Resolved, ResolveError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ResolveError::Answer)?;
    check_names(text).map_err(|_| ResolveError::Answer)?;
    let said: Said = serde_json::from_str(text).map_err(|_| ResolveError::Answer)?;
    match (said.code.as_str(), said.ins) {
        ("00", Some(ins)) => checked(&ins.value, &ins.oid, is_test_log).map(Resolved::ToConfirm),
        ("01", None) => Ok(Resolved::None),
        ("02", None) => Ok(Resolved::Several),
        _ => Err(ResolveError::Answer),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse as _, Redirect, Response};
    use axum::routing::post;
    use parking_lot::Mutex;
    use serde_json::Value;

    use super::super::resolver::tests::{OID, ins, person};
    use super::*;

    type Said = Arc<Mutex<Option<(StatusCode, String)>>>;

    /// A service that answers what it is told to; nothing: it redirects.
    async fn service(said: &Said, asked: &Arc<Mutex<Vec<Value>>>) -> ByTraits {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/ins", listener.local_addr().expect("an address"));
        let (said, asked) = (Arc::clone(said), Arc::clone(asked));
        let answer = move |body: String| async move {
            asked.lock().push(serde_json::from_str(&body).expect("JSON"));
            let said = said.lock().clone();
            said.map_or_else(
                || -> Response { Redirect::temporary("https://evil.example").into_response() },
                |said| said.into_response(),
            )
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/ins", post(answer))).await });
        let trust = Trust { plain_loopback: true, ..Trust::default() };
        ByTraits::new(&url, &trust, false).expect("a client")
    }

    #[tokio::test]
    async fn the_answers_of_insi_are_told_apart() {
        let (said, asked): (Said, _) = (Arc::default(), Arc::default());
        let service = service(&said, &asked).await;
        let who = person("a");
        let value = ins("2800175123456");
        let found = json!({"code": "00", "ins": {"value": value, "oid": OID}});
        let expected = Resolved::ToConfirm(checked(&value, OID, false).expect("an INS"));
        for (status, text, expected) in [
            (200, found.to_string(), Ok(expected)),
            (200, json!({"code": "01"}).to_string(), Ok(Resolved::None)),
            (200, json!({"code": "02"}).to_string(), Ok(Resolved::Several)),
            (200, json!({"code": "00"}).to_string(), Err(ResolveError::Answer)),
            (200, json!({"code": "01", "ins": found["ins"]}).to_string(), Err(ResolveError::Answer)),
            (200, json!({"code": "99"}).to_string(), Err(ResolveError::Answer)),
            (
                200,
                format!("{{\"code\": \"01\", \"code\": \"00\", \"ins\": {}}}", found["ins"]),
                Err(ResolveError::Answer),
            ),
            (200, json!({"code": "00", "ins": {"value": "123", "oid": OID}}).to_string(), Err(ResolveError::Answer)),
            (200, "x".repeat(5_000), Err(ResolveError::Answer)),
            (404, String::new(), Err(ResolveError::Answer)),
            (503, String::new(), Err(ResolveError::Unreachable)),
        ] {
            *said.lock() = Some((StatusCode::from_u16(status).expect("a status"), text));
            assert_eq!(service.resolve(&who).await, expected);
        }
        *said.lock() = None;
        assert_eq!(service.resolve(&who).await, Err(ResolveError::Answer), "a redirect isn't followed");
        let asked = asked.lock();
        assert_eq!(asked[0]["given_names"], json!(["Zoé", "Marie"]));
        assert_eq!((&asked[0]["birthdate"], &asked[0]["family_name"]), (&json!("1980-01-00"), &json!("MARTIN")));
        assert!(asked[0].get("sub").is_none(), "the account is no business of that service");
    }

    #[tokio::test]
    async fn too_little_is_not_asked() {
        let (said, asked): (Said, _) = (Arc::default(), Arc::default());
        let service = service(&said, &asked).await;
        for spoil in [
            |who: &mut Person| who.family_name = None,
            |who: &mut Person| who.given_name = Some(String::new()),
            |who: &mut Person| who.birthdate = Some("01/01/1980".to_owned()),
            |who: &mut Person| who.birthdate = Some("1980-13-01".to_owned()),
            |who: &mut Person| who.gender = Some("unknown".to_owned()),
        ] {
            let mut who = person("a");
            spoil(&mut who);
            assert_eq!(service.resolve(&who).await, Err(ResolveError::Traits));
        }
        assert!(asked.lock().is_empty());
        let (url, trust) = ("http://127.0.0.1:1/ins", Trust { plain_loopback: true, ..Trust::default() });
        let nobody = ByTraits::new(url, &trust, false).expect("a client");
        assert_eq!(nobody.resolve(&person("a")).await, Err(ResolveError::Unreachable));
        let plain = ByTraits::new(url, &Trust::default(), false).expect("a client");
        assert_eq!(plain.resolve(&person("a")).await, Err(ResolveError::Answer), "plain HTTP isn't spoken");
    }
}
