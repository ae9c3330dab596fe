//! Tokens that are taken, and every way to forge one that we know of.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;
use crate::http::scopes::{Interaction, Kind, Right};

const NOW_S: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";

// Made once with openssl, whose RSA is another one than ring's; the key was thrown away. They expire in 2100.
const RSA_N: &str = "zZnBuNRrTwawr5PUzNaugfBzsMh079M4xdw4RpNS_m-w3PP8T2VqmipuEqUWsts3105G8JZPHGqvqzCJrkQdrWosrcySLXrqp5DWGAoJX8fWksDD6nkVj2NX-vJGzvawWlp0NTPaovIfsrkeLaPHmdxzuX77IxNOlNO2NG-UsF8_czfz7F9K3d743bpo1VL4xZg1RHFqUgSsPqzy78y-WCnWrXje1MN0iV0ybXHG1ZcScVaqVTnt-auuMSkmHIaF0rRqj7-Hml3xsvKY7SmPyvVk9Ukk6K36MF8tF_8vNWN9A8ccE7k6mx0PBQwDdW3ix-qd-ao4tWJcpXE9hTm2RQ";
const RS256: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInIifQ.eyJpc3MiOiAiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsICJhdWQiOiAic2lsbGFnZSIsICJjbGllbnRfaWQiOiAiaGlzIiwgImV4cCI6IDQxMDI0NDQ4MDAsICJzY29wZSI6ICJzeXN0ZW0vQXVkaXRFdmVudC5jIn0.sKN8Fgcw1luQFy2ONFuz76arRrlgvmYc33j8HjHTWq78bJgQOR_aofUpz2-ojw-2IX1Atmsdu3ZIWRVn0GcZNk61R4x-0DiofdX5Z36hPNp5ZL7W9z2DnCq11SQQ0Su4usZybEENiPXvKnzJt1LygKOceKTBh0iFJpc2jHveLFUWFWRfZTKnILTYhACqyHDQMa3cidjqvsqhOC9gSs6f81yydgNqz2K59qHlf884-BigdcXN3CRgebJ0McxgFIzG08i48s3Oj8OTNB5AS5rhplaZABDGStjrpSgJX-X10ICc05l3lhgmJtVEqfGx0NZj_cXeVRHTQwjEuKW2TzhRNQ";
const RS384: &str = "eyJhbGciOiAiUlMzODQiLCAia2lkIjogInIifQ.eyJpc3MiOiAiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsICJhdWQiOiAic2lsbGFnZSIsICJjbGllbnRfaWQiOiAiaGlzIiwgImV4cCI6IDQxMDI0NDQ4MDAsICJzY29wZSI6ICJzeXN0ZW0vQXVkaXRFdmVudC5jIn0.M30R_kfW2MoNcgy3AAYUVWCZEXhE3qk9l21CrI3FIRr_OOlWEl0pLZtPMFjzYcfOZJk8B5Y8ExBItRPugE1lEfTidOmqM-q5jWIFBc21ul1ecipzt8sL7eb4rdnt63A6oa3DuqVL5GlEsntLj2oADDD5wZ_aqv1CdZa2woZsRQ70lUfv4jKbk6MuzXujWyOHRyZDcGnbTbzFefigifsrynAAGnVOd0OeYSbFRuggVmO2_vHnuMSHDrzswBX6r5CTrZh7ExaxZMH_6wrytA8Jd7kzxSFZB1rT4tLfOYQvnZXzMuiaxrRTCAwIYnIXkiES-zBvDkbYb9CGA8TZB5BAcw";

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["other", "sillage"], "client_id": "his", "sub": "s", "iat": NOW_S - 10,
        "exp": NOW_S + 300, "scope": "system/AuditEvent.cr system/$decide"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

struct Issuer {
    pair: EcdsaKeyPair,
    set: KeySet,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("random");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let set = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "x": x, "y": y},
            {"kty": "RSA", "kid": "r", "n": RSA_N, "e": "AQAB"},
            {"kty": "RSA", "kid": "r256", "alg": "RS256", "n": RSA_N, "e": "AQAB"},
        ]});
        Self { pair, set: KeySet::parse(set.to_string().as_bytes()).expect("a set") }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("random");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, token: &str) -> Result<Granted, TokenError> {
        verify(token, &self.set, ISSUER, "sillage", NOW_S)
    }

    fn of(&self, claims: &Value) -> Result<Granted, TokenError> {
        self.verify(&self.sign(&json!({"alg": "ES256", "kid": "e", "typ": "at+jwt"}), claims))
    }
}

#[test]
fn a_good_token_gives_its_client_and_scopes() {
    let issuer = Issuer::new();
    let granted = issuer.of(&claims()).expect("good");
    assert_eq!((granted.client_id.as_str(), granted.subject.as_deref()), ("his", Some("s")));
    assert!(granted.scopes.allow(Right::On(Kind::AuditEvent, Interaction::Create)));
    assert!(!granted.scopes.allow(Right::BreakGlass));
    for token in [RS256, RS384] {
        issuer.verify(token).expect("openssl signed it");
    }
}

#[test]
fn es384_is_taken_with_a_key_of_its_own_curve() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).expect("random");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..49]), URL_SAFE_NO_PAD.encode(&point[49..]));
    let set = json!({"keys": [{"kty": "EC", "crv": "P-384", "kid": "f", "x": x, "y": y}]}).to_string();
    let issuer = Issuer { pair, set: KeySet::parse(set.as_bytes()).expect("a set") };
    let token = |alg: &str| issuer.sign(&json!({"alg": alg, "kid": "f"}), &claims());
    issuer.verify(&token("ES384")).expect("good");
    assert_eq!(issuer.verify(&token("ES256")), Err(TokenError::Signature));
}

#[test]
fn forged_tokens_are_refused() {
    let issuer = Issuer::new();
    let good = issuer.sign(&json!({"alg": "ES256", "kid": "e"}), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let none = part(&json!({"alg": "none", "kid": "e"}));
    for token in [format!("{none}.{}.", parts[1]), format!("{none}.{}.{}", parts[1], parts[2])] {
        assert_eq!(issuer.verify(&token), Err(TokenError::Algorithm), "alg: none");
        assert_eq!(key_id(&token), Err(TokenError::Algorithm));
    }
    for alg in ["HS256", "NONE", "PS256", "EdDSA", "es256", ""] {
        let token = issuer.sign(&json!({"alg": alg, "kid": "e"}), &claims());
        assert_eq!(issuer.verify(&token), Err(TokenError::Algorithm), "{alg}");
    }
    let other = part(&with("client_id", json!("admin")));
    assert_eq!(issuer.verify(&format!("{}.{other}.{}", parts[0], parts[2])), Err(TokenError::Signature));
    assert_eq!(
        issuer.verify(&Issuer::new().sign(&json!({"alg": "ES256", "kid": "e"}), &claims())),
        Err(TokenError::Signature)
    );
    let unknown = issuer.sign(&json!({"alg": "ES256", "kid": "x"}), &claims());
    assert_eq!(issuer.verify(&unknown), Err(TokenError::Key));
    // A key is for one algorithm, and a set that says so is believed.
    let rs384 = RS384.replacen(&part(&json!({"alg": "RS384", "kid": "r"})), "", 0);
    assert_eq!(
        issuer.verify(&issuer.sign(&json!({"alg": "RS256", "kid": "e"}), &claims())),
        Err(TokenError::Signature)
    );
    assert_eq!(
        issuer.verify(&issuer.sign(&json!({"alg": "RS384", "kid": "r256"}), &claims())),
        Err(TokenError::Signature)
    );
    issuer.verify(&rs384).expect("unchanged");
    for member in ["jwk", "jku", "x5c", "x5u", "crit", "b64", "zip"] {
        let mut header = json!({"alg": "ES256", "kid": "e"});
        header[member] = json!("https://evil.example/jwks");
        assert_eq!(issuer.verify(&issuer.sign(&header, &claims())), Err(TokenError::Malformed), "{member}");
    }
    let nameless = issuer.sign(&json!({"alg": "ES256"}), &claims());
    for token in ["", "a.b", "a.b.c", &nameless, &format!("{good}.x.y"), &"a".repeat(10_000)] {
        assert_eq!(issuer.verify(token), Err(TokenError::Malformed), "{token}");
    }
}

#[test]
fn tokens_of_others_for_others_and_of_other_times_are_refused() {
    let issuer = Issuer::new();
    for (name, value, error) in [
        ("iss", json!("https://idp.example/"), TokenError::Issuer),
        ("iss", Value::Null, TokenError::Malformed),
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("exp", json!(NOW_S - LEEWAY_S), TokenError::Expired),
        ("exp", json!("2100"), TokenError::Malformed),
        ("exp", json!(-1), TokenError::Malformed),
        ("nbf", json!(NOW_S + LEEWAY_S + 1), TokenError::Early),
        ("iat", json!(NOW_S + LEEWAY_S + 1), TokenError::Early),
        ("iat", json!(NOW_S - 2 * 86_400), TokenError::Expired),
        ("client_id", json!(""), TokenError::Client),
        ("client_id", json!(["his"]), TokenError::Malformed),
    ] {
        assert_eq!(issuer.of(&with(name, value.clone())), Err(error), "{name}: {value}");
    }
    let mut endless = claims();
    endless.as_object_mut().expect("an object").remove("exp");
    assert_eq!(issuer.of(&endless), Err(TokenError::Expired), "a token without an end");
    issuer.of(&with("exp", json!(NOW_S - LEEWAY_S + 1))).expect("the clocks may differ a little");
}
