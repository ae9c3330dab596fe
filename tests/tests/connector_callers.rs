//! Who may call a connector's REST door: certificates of the establishment, tokens of its server, and how far each client sees.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData as _,
    SigningKey as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sillage_chaos::process::free_ports;
use sillage_tests::connector::{Connector, Setup};
use sillage_tests::health::in_s;
use sillage_tests::http::Reply;
use sillage_tests::lines::{OID, audit_event, ins, now_ms};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

const ISSUER: &str = "https://idp.hospital.example";
const AUDIENCE: &str = "sillage-connector";

/// The establishment: its connector, its authority of certificates, and its server of tokens.
struct House {
    world: World,
    door: Connector,
    folder: PathBuf,
    idp: Idp,
}

fn main() -> ExitCode {
    tell(
        begin,
        stories![
            a_client_is_known_by_its_certificate,
            a_client_is_known_by_its_token,
            forged_and_expired_tokens_are_refused,
            keys_that_change_are_read_again,
            keys_that_change_are_read_again_over_https,
            a_client_sees_what_it_recorded_and_nothing_else,
            a_client_over_its_quota_is_told_to_wait,
            the_server_of_tokens_is_named,
        ],
    )
}

fn begin() -> House {
    let world = World::begin();
    let profile = world.register("connector", "recorder,decider,emergency,consent-desk");
    let folder = world.path("callers");
    std::fs::create_dir_all(&folder).expect("a folder");
    let ca = Ca::new();
    ca.write(&folder, "ca");
    ca.sign(&folder, "server", true);
    let radiology = ca.sign(&folder, "radiology", false);
    let slow = ca.sign(&folder, "slow", false);
    ca.sign(&folder, "unknown", false);
    Ca::new().sign(&folder, "stranger", false);
    let idp = Idp::new("first");
    let jwks = folder.join("jwks.json");
    std::fs::write(&jwks, idp.jwks().to_string()).expect("a file");
    let path = |name: &str| folder.join(name).display().to_string();
    let fhir = format!(
        "[fhir.tls]\ncert = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    );
    let more = format!(
        "[[client]]\nname = \"radiology\"\ncertificate_sha256 = \"{radiology}\"\nscopes = [\"system/AuditEvent.crs\"]\n\
         [[client]]\nname = \"slow\"\ncertificate_sha256 = \"{slow}\"\nscopes = [\"system/AuditEvent.s\"]\nper_second = 1\n\
         [[client]]\nname = \"his\"\noauth_client = \"his\"\nscopes = [\"system/AuditEvent.crs\"]\n\
         [[client]]\nname = \"auditor\"\noauth_client = \"auditor\"\nscopes = [\"system/AuditEvent.rs\"]\nreads_all = true\n\
         [oauth]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = \"{}\"\ntoken_endpoint = \"{ISSUER}/token\"\n",
        jwks.display()
    );
    let door = Connector::open(&world, "door", &profile, &Setup { fhir, more, https: true });
    House { world, door, folder, idp }
}

/// An authority of certificates.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().expect("randomness");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.pem).expect("a file");
    }

    /// Writes certificate and key; gives the hash of the public key.
    fn sign(&self, folder: &Path, name: &str, is_server: bool) -> String {
        let names =
            if is_server { vec!["localhost".to_owned(), "127.0.0.1".to_owned()] } else { vec![name.to_owned()] };
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![if is_server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth }];
        let key = KeyPair::generate().expect("randomness");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).expect("a file");
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
        hex::encode(Sha256::digest(key.subject_public_key_info()))
    }
}

/// A server of tokens, with a key of P-256.
struct Idp {
    kid: String,
    key: KeyPair,
}

impl Idp {
    fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("randomness") }
    }

    fn jwks(&self) -> Value {
        let point = self.key.public_key_raw();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256", "x": x, "y": y}]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let der = self.key.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64.encode(fixed(&der)))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": self.kid}), claims)
    }
}

/// A signature of P-256 as a JWT has it: 64 bytes instead of DER.
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 2;
    for _ in 0..2 {
        let len = usize::from(der[at + 1]);
        let number = &der[at + 2..at + 2 + len];
        let number = &number[number.len().saturating_sub(32)..];
        out.extend(std::iter::repeat_n(0, 32 - number.len()));
        out.extend(number);
        at += 2 + len;
    }
    out
}

fn claims(client: &str, scope: &str) -> Value {
    let now = now_ms() / 1_000;
    json!({"iss": ISSUER, "aud": AUDIENCE, "client_id": client, "iat": now, "exp": now + 300, "scope": scope})
}

fn event(patient: u64, document: &str) -> Value {
    let mut event = audit_event("x", document);
    event["recorded"] = json!(in_s(-1));
    event["entity"][0]["what"] =
        json!({"type": "Patient", "identifier": {"system": format!("urn:oid:{OID}"), "value": ins(patient)}});
    event
}

impl House {
    /// Asks with curl: whose certificate, a token, and the body of a POST.
    fn curl(
        &self,
        certificate: Option<&str>,
        token: Option<&str>,
        path: &str,
        body: Option<&Value>,
        more: &[&str],
    ) -> Option<Reply> {
        self.curl_of(&self.door, certificate, token, path, body, more)
    }

    /// The same, of another connector.
    fn curl_of(
        &self,
        door: &Connector,
        certificate: Option<&str>,
        token: Option<&str>,
        path: &str,
        body: Option<&Value>,
        more: &[&str],
    ) -> Option<Reply> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "*", "--include", "--cacert", &file("ca.pem")])
            .args(more);
        if let Some(name) = certificate {
            command.args(["--cert", &file(&format!("{name}.pem")), "--key", &file(&format!("{name}.key"))]);
        }
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        if let Some(body) = body {
            command.args(["--header", "Content-Type: application/fhir+json", "--data-binary", &body.to_string()]);
        }
        let out = command.arg(format!("https://127.0.0.1:{}/fhir{path}", door.port())).output().expect("curl is there");
        // In the output of a failure.
        eprint!("{}", String::from_utf8_lossy(&out.stderr));
        Reply::parse(&out.stdout)
    }

    fn ask(&self, certificate: Option<&str>, token: Option<&str>, path: &str, body: Option<&Value>) -> Reply {
        self.curl(certificate, token, path, body, &[]).unwrap_or_else(|| panic!("no answer to {path}"))
    }
}

fn a_client_is_known_by_its_certificate(house: &mut House) {
    for version in ["--http1.1", "--http2"] {
        let made = house
            .curl(Some("radiology"), None, "/AuditEvent", Some(&event(1, version)), &[version])
            .expect("an answer");
        made.expect(201);
    }
    house.ask(None, None, "/AuditEvent", Some(&event(1, "nobody"))).expect(401).issue();
    house.ask(Some("unknown"), None, "/AuditEvent", Some(&event(1, "unknown"))).expect(401).issue();
    // What another authority has signed doesn't come through TLS.
    assert!(house.curl(Some("stranger"), None, "/metadata", None, &[]).is_none());
    // A scope that it hasn't is named.
    let reply = house
        .ask(Some("radiology"), None, "/Consent/$decide", Some(&json!({"resourceType": "Parameters"})))
        .expect(403);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.contains("system/$decide")));
    reply.issue();
}

fn a_client_is_known_by_its_token(house: &mut House) {
    let token = house.idp.token(&claims("his", "system/AuditEvent.c openid"));
    house.ask(None, Some(&token), "/AuditEvent", Some(&event(2, "token"))).expect(201);
    // The token gives less than the configuration, and the configuration less than the token.
    house.ask(None, Some(&token), "/AuditEvent", None).expect(403).issue();
    let wide = house.idp.token(&claims("his", "system/*.cruds system/$decide"));
    house.ask(None, Some(&wide), "/AuditEvent?_count=1", None).expect(200);
    house.ask(None, Some(&wide), "/Consent", Some(&json!({"resourceType": "Consent"}))).expect(403).issue();
    let other = house.idp.token(&claims("nobody", "system/AuditEvent.c"));
    house.ask(None, Some(&other), "/AuditEvent", Some(&event(2, "other"))).expect(401).issue();
}

fn forged_and_expired_tokens_are_refused(house: &mut House) {
    let good = claims("his", "system/AuditEvent.crs");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        house.idp.token(&claims)
    };
    let now = now_ms() / 1_000;
    let part = |value: &Value| BASE64.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({"alg": "none", "kid": "first"})), part(&good));
    let real = house.idp.token(&good);
    let parts: Vec<&str> = real.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], part(&claims("his", "system/*.cruds")), parts[2]);
    let brings_key = house.idp.sign(&json!({"alg": "ES256", "kid": "first", "jwk": {"kty": "EC"}}), &good);
    for (what, token) in [
        ("expired", with("exp", json!(now - 120))),
        ("not yet", with("nbf", json!(now + 600))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("another audience", with("aud", json!("another"))),
        ("no end", with("exp", Value::Null)),
        ("alg: none", none),
        ("changed", changed),
        ("another key", Idp::new("first").token(&good)),
        ("a key of its own", brings_key),
        ("no token", "not-a-token-at-all".to_owned()),
    ] {
        let reply = house.ask(None, Some(&token), "/AuditEvent", Some(&event(3, what)));
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
        assert!(reply.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")), "{what}");
        assert!(!reply.text().contains(&token), "{what}: the token comes back");
        reply.issue();
    }
    let found =
        house.ask(Some("radiology"), None, &format!("/AuditEvent?patient.identifier=urn:oid:{OID}%7C{}", ins(3)), None);
    assert_eq!(found.expect(200).json()["entry"], Value::Null, "nothing was recorded");
    let log = house.door.log();
    assert!(!log.contains(&real) && !log.contains(&ins(3)), "neither tokens nor patients are in the log");
}

fn keys_that_change_are_read_again(house: &mut House) {
    let second = Idp::new("second");
    let token = second.token(&claims("his", "system/AuditEvent.crs"));
    house.ask(None, Some(&token), "/AuditEvent?_count=1", None).expect(401);
    std::fs::write(house.folder.join("jwks.json"), second.jwks().to_string()).expect("a file");
    let deadline = Instant::now() + Duration::from_secs(30);
    while house.ask(None, Some(&token), "/AuditEvent?_count=1", None).status != 200 {
        assert!(Instant::now() < deadline, "the new key isn't taken");
        std::thread::sleep(Duration::from_millis(500));
    }
    // The key that is gone signs nothing any more.
    let old = house.idp.token(&claims("his", "system/AuditEvent.crs"));
    house.ask(None, Some(&old), "/AuditEvent?_count=1", None).expect(401);
    house.idp = second;
}

/// A web server that isn't ours, which gives the files of a folder; it ends when it is dropped.
struct Web(std::process::Child);

impl Web {
    fn serve(house: &House, folder: &Path, port: u16) -> Self {
        let file = |name: &str| house.folder.join(name).display().to_string();
        let args = [
            "s_server",
            "-WWW",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-cert",
            &file("server.pem"),
            "-key",
        ];
        let mut command = Command::new("openssl");
        command.args(args).arg(file("server.key")).current_dir(folder);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        Self(command.spawn().expect("openssl is there"))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn keys_that_change_are_read_again_over_https(house: &mut House) {
    let (web, port) = (house.world.path("web"), free_ports(1).expect("a free port"));
    std::fs::create_dir_all(&web).expect("a folder");
    let put = |idp: &Idp| std::fs::write(web.join("jwks.json"), idp.jwks().to_string()).expect("a file");
    let (before, after) = (Idp::new("before"), Idp::new("after"));
    put(&before);
    let _server = Web::serve(house, &web, port);
    let path = |name: &str| house.folder.join(name).display().to_string();
    let fhir = format!("[fhir.tls]\ncert = \"{}\"\nkey = \"{}\"\n", path("server.pem"), path("server.key"));
    let more = format!(
        "[[client]]\nname = \"his\"\noauth_client = \"his\"\nscopes = [\"system/AuditEvent.crs\"]\n\
         [oauth]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = \"https://127.0.0.1:{port}/jwks.json\"\n\
         jwks_ca = \"{}\"\n",
        path("ca.pem")
    );
    let profile = house.world.path("connector").join("sillage.toml");
    let door = Connector::open(&house.world, "web-keys", &profile, &Setup { fhir, more, https: true });
    let status = |idp: &Idp| {
        let token = idp.token(&claims("his", "system/AuditEvent.crs"));
        house.curl_of(&door, None, Some(&token), "/AuditEvent?_count=1", None, &[]).map(|reply| reply.status)
    };
    let becomes = |idp: &Idp, expected: u16| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while status(idp) != Some(expected) {
            assert!(Instant::now() < deadline, "{:?} instead of {expected}: {}", status(idp), door.log());
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    becomes(&before, 200);
    assert_eq!(status(&after), Some(401), "its key isn't there yet");
    put(&after);
    becomes(&after, 200);
    // The key that the server has withdrawn signs nothing any more.
    assert_eq!(status(&before), Some(401));
}

fn a_client_sees_what_it_recorded_and_nothing_else(house: &mut House) {
    let own = house.ask(Some("radiology"), None, "/AuditEvent", Some(&event(4, "own"))).expect(201).id();
    let token = house.idp.token(&claims("his", "system/AuditEvent.crs"));
    let whose = format!("/AuditEvent?patient.identifier=urn:oid:{OID}%7C{}", ins(4));
    house.ask(None, Some(&token), &format!("/AuditEvent/{own}"), None).expect(404).issue();
    assert_eq!(house.ask(None, Some(&token), &whose, None).expect(200).json()["entry"], Value::Null);
    assert_eq!(
        house.ask(None, Some(&token), &format!("{whose}&_id={own}"), None).expect(200).json()["entry"],
        Value::Null
    );
    for number in 1..5 {
        let other = house.ask(Some("radiology"), None, &format!("/$arrival/{number}"), None).status;
        let his = house.ask(None, Some(&token), &format!("/$arrival/{number}"), None).status;
        assert!(other == 404 || his == 404, "one arrival, two clients");
    }
    let auditor = house.idp.token(&claims("auditor", "system/AuditEvent.rs"));
    house.ask(None, Some(&auditor), &format!("/AuditEvent/{own}"), None).expect(200);
    // A cursor is its client's own.
    house.ask(Some("radiology"), None, "/AuditEvent", Some(&event(4, "second"))).expect(201);
    let page = house.ask(Some("radiology"), None, &format!("{whose}&_count=1"), None).expect(200).json();
    let next =
        page["link"].as_array().expect("links").iter().find(|link| link["relation"] == "next").expect("a next page");
    let next = next["url"].as_str().expect("a url").split("/fhir").nth(1).expect("below the base").to_owned();
    house.ask(Some("radiology"), None, &next, None).expect(200);
    house.ask(None, Some(&auditor), &next, None).expect(400).issue();
}

fn a_client_over_its_quota_is_told_to_wait(house: &mut House) {
    let mut told = None;
    for _ in 0..8 {
        let reply = house.ask(Some("slow"), None, "/AuditEvent?_count=1", None);
        if reply.status == 429 {
            told = Some(reply);
            break;
        }
        reply.expect(200);
    }
    let told = told.expect("eight requests in a second are more than one");
    assert!(told.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait >= 1)));
    told.issue();
}

fn the_server_of_tokens_is_named(house: &mut House) {
    let smart = house.ask(None, None, "/.well-known/smart-configuration", None).expect(200);
    assert_eq!(smart.header("content-type"), Some("application/json"));
    let smart = smart.json();
    assert_eq!((&smart["issuer"], &smart["token_endpoint"]), (&json!(ISSUER), &json!(format!("{ISSUER}/token"))));
    let statement = house.ask(None, None, "/metadata", None).expect(200).json();
    assert!(statement["rest"][0]["security"].to_string().contains("SMART-on-FHIR"));
    // The world is there until the last story has ended.
    assert!(house.world.dir().is_dir());
}
