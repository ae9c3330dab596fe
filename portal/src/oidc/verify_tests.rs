use serde_json::{Value, json};

use super::super::keys::ClientKeys;
use super::super::testing::{provider, seal};
use super::*;

const NOW_S: u64 = 1_800_000_000;
const NONCE: &str = "abababababababababababababababababababababababababababababababab";

fn settings(encrypted: bool) -> Settings {
    let text = format!(
        "issuer = \"https://idp.example\"\nclient_id = \"portal\"\nredirect_uri = \"https://p.example/r\"\nkeys = \"k\"\nencrypted = {encrypted}"
    );
    toml::from_str(&text).expect("settings")
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": "portal", "sub": "abc", "iat": NOW_S, "exp": NOW_S + 60, "nonce": NONCE, "acr": "eidas2",
        "amr": ["fc"], "auth_time": NOW_S - 20,
    })
}

fn expected() -> Expected<'static> {
    Expected { nonce: NONCE, level: Level::Substantial, not_before_s: None, access_token: Some("access"), now_s: NOW_S }
}

fn with(change: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().expect("an object") {
        match value.is_null() {
            true => drop(claims.as_object_mut().expect("an object").remove(name)),
            false => claims[name] = value.clone(),
        }
    }
    claims
}

fn check(change: Value, expected: &Expected<'_>) -> Result<Established, LoginError> {
    let (keys, public) = provider();
    let token = keys.sign("JWT", &with(&change)).expect("a token");
    id_token(token, &public, &settings(false), expected).map(|(_, established)| established)
}

#[test]
fn a_login_as_it_was_asked_for_is_taken() {
    let found = check(json!({}), &expected()).expect("taken");
    assert_eq!((found.level, found.acr.as_deref(), found.issued_s), (Level::Substantial, Some("eidas2"), NOW_S));
    assert_eq!(
        check(json!({"acr": "eidas3"}), &expected()).map(|found| found.level),
        Ok(Level::High),
        "more than was asked for"
    );
    let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest("access")[..16]);
    assert!(check(json!({"at_hash": hash, "azp": "portal", "aud": ["portal"]}), &expected()).is_ok());
}

#[test]
fn each_claim_that_is_another_one_is_refused() {
    let low = Expected { level: Level::Low, ..expected() };
    for (change, error) in [
        (json!({"iss": "https://evil.example"}), LoginError::Issuer),
        (json!({"iss": null}), LoginError::Issuer),
        (json!({"aud": "another"}), LoginError::Audience),
        (json!({"aud": ["portal", "another"]}), LoginError::Audience),
        (json!({"aud": ["portal", "another"], "azp": "portal"}), LoginError::Audience),
        (json!({"aud": null}), LoginError::Audience),
        (json!({"azp": "another"}), LoginError::Audience),
        (json!({"nonce": "cd".repeat(32)}), LoginError::Nonce),
        (json!({"nonce": null}), LoginError::Nonce),
        (json!({"nonce": ""}), LoginError::Nonce),
        (json!({"acr": "eidas1"}), LoginError::Level),
        (json!({"acr": null}), LoginError::Level),
        (json!({"acr": "high"}), LoginError::Level),
        (json!({"acr": ["eidas3"]}), LoginError::Malformed),
        (json!({"exp": NOW_S - 31, "iat": NOW_S - 90}), LoginError::Expired),
        (json!({"exp": NOW_S + 9_000, "iat": NOW_S - 301}), LoginError::Expired),
        (json!({"exp": null}), LoginError::Malformed),
        (json!({"iat": null}), LoginError::Malformed),
        (json!({"exp": "soon"}), LoginError::Malformed),
        (json!({"iat": NOW_S + 31, "exp": NOW_S + 90}), LoginError::Early),
        (json!({"nbf": NOW_S + 31}), LoginError::Early),
        (json!({"auth_time": NOW_S + 31}), LoginError::Early),
        (json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), LoginError::AccessToken),
        (json!({"sub": null}), LoginError::Malformed),
        (json!({"sub": ""}), LoginError::Malformed),
        (json!({"sub": "x".repeat(256)}), LoginError::Malformed),
    ] {
        assert_eq!(check(change.clone(), &expected()).expect_err("refused"), error, "{change}");
    }
    assert_eq!(
        check(json!({"acr": "eidas1"}), &low).map(|found| found.level),
        Ok(Level::Low),
        "low where low is enough"
    );
}

#[test]
fn a_login_of_before_is_not_the_one_that_was_asked_for() {
    let again = Expected { not_before_s: Some(NOW_S - 5), ..expected() };
    assert_eq!(check(json!({"auth_time": NOW_S - 36}), &again), Err(LoginError::TooOld));
    assert_eq!(check(json!({"auth_time": null}), &again), Err(LoginError::TooOld), "a provider that doesn't say");
    assert!(check(json!({"auth_time": NOW_S - 2}), &again).is_ok());
}

/// A token with this header over the usual claims, signed as if it were right.
fn with_header(keys: &ClientKeys, header: &Value, signature: Option<&[u8]>) -> Zeroizing<String> {
    let token = keys.sign("JWT", &claims()).expect("a token");
    let parts: Vec<&str> = token.split('.').collect();
    let signature = signature.map_or_else(|| parts[2].to_owned(), |bytes| URL_SAFE_NO_PAD.encode(bytes));
    Zeroizing::new(format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1]))
}

#[test]
fn no_token_chooses_how_it_is_verified() {
    let (keys, public) = provider();
    let kid = public.iter().next().expect("a key").0.to_owned();
    let take = |text: Zeroizing<String>| id_token(text, &public, &settings(false), &expected()).map(|_| ());
    for (header, error) in [
        (json!({"alg": "none", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "None", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "HS256", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "RS256", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "ES384", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "EdDSA", "kid": kid}), LoginError::Algorithm),
        (json!({"alg": "ES256", "kid": "another"}), LoginError::Key),
        (json!({"alg": "ES256"}), LoginError::Malformed),
        (json!({"alg": "ES256", "kid": kid, "jwk": {}}), LoginError::Malformed),
        (json!({"alg": "ES256", "kid": kid, "jku": "https://evil.example"}), LoginError::Malformed),
        (json!({"alg": "ES256", "kid": kid, "x5c": []}), LoginError::Malformed),
        (json!({"alg": "ES256", "kid": kid, "crit": ["b64"]}), LoginError::Malformed),
        (json!({"alg": "ES256", "kid": kid, "typ": "changed"}), LoginError::Signature),
    ] {
        assert_eq!(take(with_header(&keys, &header, None)), Err(error), "{header}");
    }
    assert_eq!(take(with_header(&keys, &json!({"alg": "none", "kid": kid}), Some(b""))), Err(LoginError::Algorithm));
    assert_eq!(
        take(with_header(&keys, &json!({"alg": "ES256", "kid": kid}), Some(&[0; 64]))),
        Err(LoginError::Signature)
    );
    let (others, _) = provider();
    let stolen = others.sign("JWT", &claims()).expect("a token");
    assert_eq!(take(stolen), Err(LoginError::Key), "signed by somebody else");
    for text in ["", "a", "a.b", "a.b.c", "a.b.c.d"] {
        assert_eq!(take(Zeroizing::new(text.to_owned())), Err(LoginError::Malformed), "{text:?}");
    }
}

#[test]
fn tokens_come_in_the_form_that_the_settings_say() {
    let (keys, _) = provider();
    let token = keys.sign("JWT", &claims()).expect("a token");
    let sealed = seal(&token, &keys, &json!({}));
    assert_eq!(decrypted(&sealed, &settings(true), &keys.decryption), Ok(token.clone()));
    assert_eq!(decrypted(&token, &settings(true), &keys.decryption), Err(LoginError::NotEncrypted));
    assert_eq!(decrypted(&sealed, &settings(false), &keys.decryption), Err(LoginError::Encryption));
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(decrypted(&long, &settings(false), &keys.decryption), Err(LoginError::TooLong));
}

#[test]
fn userinfo_is_about_whoever_logged_in() {
    let (keys, public) = provider();
    let token = keys.sign("JWT", &claims()).expect("a token");
    let (login, _) = id_token(token, &public, &settings(false), &expected()).expect("taken");
    let take = |claims: &Value| {
        let text = keys.sign("JWT", claims).expect("a token");
        userinfo(text, &public, &settings(false), (&login.claims, NOW_S)).map(|_| ())
    };
    let about = |sub: &str| json!({"iss": "https://idp.example", "aud": "portal", "sub": sub, "family_name": "MARTIN"});
    assert_eq!(take(&about("abc")), Ok(()));
    assert_eq!(take(&about("abd")), Err(LoginError::Subject));
    assert_eq!(take(&json!({"sub": "abc"})), Err(LoginError::Issuer), "without an issuer");
    assert_eq!(take(&json!({"iss": "https://idp.example", "sub": "abc"})), Err(LoginError::Audience));
    let mut over = about("abc");
    over["exp"] = json!(NOW_S - 30);
    assert_eq!(take(&over), Err(LoginError::Expired));
}
