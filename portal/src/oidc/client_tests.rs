//! A client and a small provider over loopback, of which each answer can be another one. The real provider is met in
//! `tests/tests/portal_login.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sillage_rules::will::Level;

use super::super::testing::seal;
use super::*;

const NONCE: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// The one thing that the provider does otherwise than it should.
#[derive(Clone, Default)]
struct Wrong {
    /// Members of the ID token.
    claims: Value,
    /// Members of userinfo.
    userinfo: Value,
    /// In the place of an answer: `discovery`, `jwks`, `token`, `userinfo`, and which.
    answer: Option<(&'static str, &'static str)>,
}

struct Provider {
    address: SocketAddr,
    client_file: Zeroizing<String>,
    wrong: Arc<Mutex<Wrong>>,
    nonce: Arc<Mutex<String>>,
}

fn keys() -> ClientKeys {
    ClientKeys::parse(&ClientKeys::generate().expect("keys")).expect("a file")
}

fn with(mut base: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().into_iter().flatten() {
        base[name] = value.clone();
    }
    base
}

fn instead(kind: &str) -> Response {
    match kind {
        "redirect" => Redirect::temporary("https://evil.example/").into_response(),
        "oversized" => vec![b'x'; 200_000].into_response(),
        "html" => (StatusCode::OK, [("content-type", "text/html")], "<p>hello").into_response(),
        "invalid_grant" => refused("invalid_grant"),
        "invalid_client" => refused("invalid_client"),
        "unsigned" => axum_json(&json!({"sub": "abc"})),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(error: &str) -> Response {
    let body = json!({"error": error, "error_description": "a text of somebody else"}).to_string();
    (StatusCode::BAD_REQUEST, [("content-type", "application/json")], body).into_response()
}

fn axum_json(value: &Value) -> Response {
    ([("content-type", "application/json; charset=utf-8")], value.to_string()).into_response()
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client_file = ClientKeys::generate().expect("keys");
        let (provider_keys, client) = (Arc::new(keys()), Arc::new(ClientKeys::parse(&client_file).expect("a file")));
        let wrong: Arc<Mutex<Wrong>> = Arc::default();
        let nonce = Arc::new(Mutex::new(NONCE.to_owned()));
        let base = format!("http://{address}");
        let otherwise = |name: &'static str, wrong: &Arc<Mutex<Wrong>>| {
            let wrong = wrong.lock();
            wrong.answer.filter(|(which, _)| *which == name).map(|(_, kind)| instead(kind))
        };
        let document = json!({
            "issuer": base, "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
            "userinfo_endpoint": format!("{base}/userinfo"), "jwks_uri": format!("{base}/jwks"),
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        let discovery = {
            let wrong = Arc::clone(&wrong);
            move || async move { otherwise("discovery", &wrong).unwrap_or_else(|| axum_json(&document)) }
        };
        let jwks = {
            let (wrong, keys) = (Arc::clone(&wrong), Arc::clone(&provider_keys));
            move || async move { otherwise("jwks", &wrong).unwrap_or_else(|| axum_json(keys.public_jwks())) }
        };
        let token = {
            let (wrong, keys, client) = (Arc::clone(&wrong), Arc::clone(&provider_keys), Arc::clone(&client));
            let (nonce, base) = (Arc::clone(&nonce), base.clone());
            move |body: String| async move {
                if let Some(answer) = otherwise("token", &wrong) {
                    return answer;
                }
                assert!(body.contains("grant_type=authorization_code&code=the-code&"), "the code is sent");
                assert!(body.contains("&code_verifier=") && body.contains("&client_assertion=ey"));
                let now = now_s();
                let claims = json!({
                    "iss": base, "aud": "portal", "sub": "abc", "iat": now, "exp": now + 60, "nonce": *nonce.lock(), "acr": "eidas2",
                });
                let token = keys.sign("JWT", &with(claims, &wrong.lock().claims)).expect("a token");
                axum_json(
                    &json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": seal(&token, &client, &json!({}))}),
                )
            }
        };
        let userinfo = {
            let (wrong, keys, client, base) =
                (Arc::clone(&wrong), Arc::clone(&provider_keys), Arc::clone(&client), base.clone());
            move |headers: axum::http::HeaderMap| async move {
                if let Some(answer) = otherwise("userinfo", &wrong) {
                    return answer;
                }
                assert_eq!(headers["authorization"], "Bearer at");
                let claims = json!({
                    "iss": base, "aud": "portal", "sub": "abc", "family_name": "MARTIN", "given_name": "Zoé Marie",
                    "birthdate": "1980-00-00", "ins": "180117512345678",
                });
                let token = keys.sign("JWT", &with(claims, &wrong.lock().userinfo)).expect("a token");
                ([("content-type", "application/jwt")], seal(&token, &client, &json!({}))).into_response()
            }
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, client_file, wrong, nonce }
    }

    fn client(&self, more: &str) -> Client {
        let base = format!("http://{}", self.address);
        let text = format!(
            "issuer = \"{base}\"\nclient_id = \"portal\"\nredirect_uri = \"{base}/r\"\nkeys = \"k\"\nplain_loopback = true\n\
             ins_claim = \"ins\"\n{more}"
        );
        let settings: Settings = toml::from_str(&text).expect("settings");
        settings.check().expect("settings");
        let web = Web::new(&Trust { plain_loopback: true, ..Trust::default() }).expect("a client");
        let keys = ClientKeys::parse(&self.client_file).expect("a file");
        Client { settings, web, secret: Secret::Keys, keys: Some(keys), known: tokio::sync::Mutex::default() }
    }

    async fn log_in(&self, client: &Client) -> Result<Login, LoginError> {
        let ask = Ask { nonce: NONCE.to_owned(), level: Level::Substantial, max_age_s: None, language: "fr" };
        let (address, pending) = client.begin(&ask).await?;
        let query = http::decode(address.split_once('?').expect("a query").1).expect("a query");
        let state = &query.iter().find(|(name, _)| name == "state").expect("a state").1;
        client.finish(&pending, &Callback::parse(&format!("code=the-code&state={state}")).expect("a return")).await
    }

    async fn refuses(&self, wrong: Wrong) -> LoginError {
        *self.wrong.lock() = wrong;
        let found = self.log_in(&self.client("")).await;
        *self.wrong.lock() = Wrong::default();
        found.expect_err("refused")
    }
}

#[tokio::test]
async fn a_login_gives_the_signed_tokens_and_the_person() {
    let provider = Provider::start().await;
    let login = provider.log_in(&provider.client("")).await.expect("a login");
    assert_eq!(login.id_token.matches('.').count(), 2, "the signed token, not the encrypted one");
    assert_eq!(login.userinfo_of_will(), login.userinfo.as_str(), "the INS stands there");
    assert_eq!(login.person.family_name.as_deref(), Some("MARTIN"));
    assert_eq!(
        (login.person.birthdate.as_deref(), login.person.ins.as_deref()),
        (Some("1980-00-00"), Some("180117512345678"))
    );
    assert_eq!(login.established.level, Level::Substantial);
    assert_eq!(format!("{login:?} {:?}", login.person), "Login(..) Person(..)");
    assert!(is_bare(&login.id_token) && !is_bare(&login.userinfo));

    provider.wrong.lock().claims = json!({"ins": "180117512345678"});
    let login = provider.log_in(&provider.client("")).await.expect("a login");
    assert_eq!(login.userinfo_of_will(), "", "the ID token names the patient by itself");
    assert!(!is_bare(&login.id_token), "and so has no place in an address");
}

#[tokio::test]
async fn what_the_provider_answers_otherwise_is_refused_for_its_reason() {
    let provider = Provider::start().await;
    for (place, kind, error) in [
        ("discovery", "redirect", LoginError::Redirected),
        ("discovery", "oversized", LoginError::TooLong),
        ("discovery", "error", LoginError::Status),
        ("discovery", "html", LoginError::Answer),
        ("jwks", "redirect", LoginError::Redirected),
        ("jwks", "oversized", LoginError::TooLong),
        ("token", "redirect", LoginError::Redirected),
        ("token", "oversized", LoginError::TooLong),
        ("token", "error", LoginError::Status),
        ("token", "html", LoginError::Answer),
        ("token", "invalid_grant", LoginError::Code),
        ("token", "invalid_client", LoginError::ClientRefused),
        ("userinfo", "redirect", LoginError::Redirected),
        ("userinfo", "oversized", LoginError::TooLong),
        ("userinfo", "unsigned", LoginError::Malformed),
        ("userinfo", "error", LoginError::Status),
    ] {
        let wrong = Wrong { answer: Some((place, kind)), ..Wrong::default() };
        assert_eq!(provider.refuses(wrong).await, error, "{place} {kind}");
    }
    for (claims, error) in [
        (json!({"iss": "http://127.0.0.1:1"}), LoginError::Issuer),
        (json!({"aud": "another"}), LoginError::Audience),
        (json!({"acr": "eidas1"}), LoginError::Level),
        (json!({"nonce": "ef".repeat(32)}), LoginError::Nonce),
    ] {
        let wrong = Wrong { claims: claims.clone(), ..Wrong::default() };
        assert_eq!(provider.refuses(wrong).await, error, "{claims}");
    }
    let other = Wrong { userinfo: json!({"sub": "abd"}), ..Wrong::default() };
    assert_eq!(provider.refuses(other).await, LoginError::Subject);
    let long = Wrong { userinfo: json!({"family_name": "x".repeat(600)}), ..Wrong::default() };
    assert_eq!(provider.refuses(long).await, LoginError::Malformed);
    *provider.nonce.lock() = String::new();
    assert_eq!(provider.log_in(&provider.client("")).await.expect_err("refused"), LoginError::Nonce);
}

#[tokio::test]
async fn a_provider_that_is_away_for_a_moment_costs_no_login() {
    let provider = Provider::start().await;
    let client = provider.client("");
    provider.log_in(&client).await.expect("a login");
    provider.wrong.lock().answer = Some(("discovery", "error"));
    {
        let mut known = client.known.lock().await;
        (known.read_s, known.tried_s) = (now_s() - FRESH_S, 0);
    }
    provider.log_in(&client).await.expect("what was known counts on");
    {
        let mut known = client.known.lock().await;
        (known.read_s, known.tried_s) = (now_s() - STALE_S, 0);
    }
    assert_eq!(provider.log_in(&client).await.expect_err("refused"), LoginError::Status, "and not for ever");
    provider.wrong.lock().answer = None;
    assert_eq!(
        provider.log_in(&client).await.expect_err("refused"),
        LoginError::Unreachable,
        "nobody asks again at once"
    );
    client.known.lock().await.tried_s = 0;
    provider.log_in(&client).await.expect("there again");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let provider = Provider { address, ..Provider::start().await };
    assert_eq!(provider.client("").check().await, Err(LoginError::Unreachable));
}
