//! Logging in at a provider that nobody here wrote: npm `oidc-provider`, with the settings of FranceConnect+ (ES256, ECDH-ES with
//! A256GCM, `private_key_jwt`, PKCE, names of accounts that differ for each service). One login is right, each other is wrong in one way; and
//! the right one's token is what the ledger takes as the proof of a will.
//!
//! The provider comes from npm, into a folder beside the build. Where that can't be, the stories say that they are skipped; in CI they
//! fail.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_chaos::process::{free_ports, program};
use sillage_client::author::{TagRequest, tags_of};
use sillage_client::channel::Timeouts;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_client::will::session_nonce;
use sillage_portal::identity::{IdentityResolver as _, Resolved, Statements, claim::ByClaim};
use sillage_portal::oidc::keys::ClientKeys;
use sillage_portal::oidc::{Ask, Callback, Client, Login, LoginError, Settings};
use sillage_proof::batch::Origin;
use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::SigningKey;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::kind::Kind;
use sillage_rules::line::RecordLine;
use sillage_rules::record::{ParsedRecord, act_message, new_message};
use sillage_rules::will::binding::sign_in_session;
use sillage_rules::will::issuer::{Issuer, IssuerKey};
use sillage_rules::will::jws::Algorithm;
use sillage_rules::will::{self, Level, Log};
use sillage_tests::authority::Authority;
use sillage_tests::health::{Patient, in_s};
use sillage_tests::lines::{OID, now_ms};
use sillage_tests::npm;
use sillage_tests::provider::{Provider, Registered};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{World, runtime};

const CLIENT_ID: &str = "sillage-portal-of-the-tests";
const BYE: &str = "http://127.0.0.1:9/sortie";
const ZOE: Patient = Patient(8_001);
const PAUL: Patient = Patient(8_002);
const ANNE: Patient = Patient(8_003);
/// A portal that doesn't answer after this won't.
const START_MAX: Duration = Duration::from_secs(60);

/// The provider and this client's keys; none where the provider can't be had.
struct House {
    there: Option<There>,
    /// Three nodes that know the provider, once a story needs them.
    world: Option<World>,
}

struct There {
    provider: Provider,
    keys: PathBuf,
    /// The first of the three ports of a portal that logs people in there.
    ports: u16,
    folder: PathBuf,
    dir: tempfile::TempDir,
}

fn main() -> ExitCode {
    let begin = || {
        let Some(folder) = npm::folder("portal") else { return House { there: None, world: None } };
        let ports = free_ports(3).expect("free ports");
        let dir = tempfile::tempdir().expect("a folder");
        let keys = dir.path().join("keys.json");
        let text = ClientKeys::generate().expect("keys");
        sillage_client::profile::write_private(&keys, text.as_bytes()).expect("a file");
        let public = ClientKeys::parse(&text).expect("a file").public_jwks().clone();
        let accounts = json!([
            {"id": "zoe", "claims": {
                "given_name": "Zoé Marie", "family_name": "MARTIN", "birthdate": "1980-01-00", "gender": "female",
                "birthplace": "75101", "birthcountry": "99100", "ins": ZOE.ins(), "ins_oid": OID}},
            {"id": "anne", "claims": {"given_name": "Anne", "family_name": "PETIT", "ins": ANNE.ins(), "ins_oid": OID}},
            {"id": "paul", "claims": {"given_name": "Paul", "family_name": "DURAND", "birthdate": "1970-02-03", "gender": "male"}},
        ]);
        let redirect_uri = return_to(ports);
        let service =
            Registered { client_id: CLIENT_ID, redirect_uri: &redirect_uri, after_logout: BYE, jwks: &public };
        let provider = Provider::start(&folder, &service, &accounts);
        House { there: Some(There { provider, keys, ports, folder, dir }), world: None }
    };
    tell(
        begin,
        stories![
            a_person_logs_in_and_the_signed_tokens_come_back,
            a_login_is_asked_for_anew_where_its_age_counts,
            whoever_stops_comes_back_without_a_login,
            each_claim_that_is_wrong_is_refused,
            no_token_chooses_its_algorithm_or_its_key,
            encryption_for_somebody_else_and_none_at_all_are_refused,
            a_return_counts_once_and_for_whoever_began_it,
            an_answer_that_leads_away_is_endless_or_late_is_refused,
            a_provider_that_names_another_issuer_or_host_is_refused,
            a_client_with_another_key_is_refused,
            whoever_logs_out_is_led_back,
            the_rules_of_the_ledger_take_the_login_and_no_other,
            the_ledger_takes_the_login_as_the_proof_of_a_will,
            a_patient_logs_in_at_the_provider_in_a_browser,
            the_login_process_states_whose_ins_it_is_where_the_provider_does_not,
        ],
    )
}

/// The address to which the browser returns: the second port of a portal is its login's.
fn return_to(ports: u16) -> String {
    format!("http://127.0.0.1:{}/retour-fournisseur", ports + 1)
}

impl House {
    /// The provider, and nodes that know it.
    fn with_nodes(&mut self) -> Option<(&There, &World)> {
        let Self { there, world } = self;
        let there = there.as_ref()?;
        let world = world.get_or_insert_with(|| {
            let world = World::begin();
            publish(&world, there);
            world
        });
        Some((there, world))
    }
}

impl There {
    /// The settings, as a configuration writes them.
    fn settings_toml(&self) -> String {
        format!(
            "issuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nredirect_uri = \"{}\"\npost_logout_redirect_uri = \"{BYE}\"\nkeys = \"{}\"\n\
             scopes = [\"openid\", \"given_name\", \"family_name\", \"birthdate\", \"gender\", \"ins\", \"ins_oid\"]\n\
             ins_claim = \"ins\"\noid_claim = \"ins_oid\"\nplain_loopback = true\n",
            self.provider.issuer,
            return_to(self.ports),
            self.keys.display()
        )
    }

    fn settings(&self) -> Settings {
        toml::from_str(&self.settings_toml()).expect("settings")
    }

    fn client(&self) -> Client {
        Client::new(self.settings()).expect("settings that can be used")
    }

    /// Logs an account in, in a browser of its own.
    fn log_in(&self, client: &Client, ask: &Ask, account: Option<&str>, acr: &str) -> Result<Login, LoginError> {
        runtime().block_on(async {
            let (address, pending) = client.begin(ask).await?;
            let query = self.provider.browser().log_in(&address, account, acr);
            client.finish(&pending, &Callback::parse(&query)?).await
        })
    }

    fn zoe(&self) -> Result<Login, LoginError> {
        self.log_in(&self.client(), &ask(Level::Substantial), Some("zoe"), "eidas2")
    }

    /// The refusal of a login while the provider is wrong in this way.
    fn refusal(&self, how: &Value) -> LoginError {
        self.provider.goes_wrong(how);
        let found = self.zoe();
        self.provider.goes_right();
        found.expect_err(&how.to_string())
    }
}

fn ask(level: Level) -> Ask {
    Ask { nonce: "ab".repeat(32), level, max_age_s: None, language: "fr" }
}

fn a_person_logs_in_and_the_signed_tokens_come_back(house: &mut House) {
    let Some(there) = &house.there else { return };
    let login = there.zoe().expect("a login");
    assert_eq!(
        (login.id_token.matches('.').count(), login.userinfo.matches('.').count()),
        (2, 2),
        "signed, not encrypted"
    );
    assert_eq!(login.established.level, Level::Substantial);
    assert_eq!(login.established.acr.as_deref(), Some("eidas2"));
    let person = &login.person;
    assert_eq!((person.family_name.as_deref(), person.given_name.as_deref()), (Some("MARTIN"), Some("Zoé Marie")));
    assert_eq!(person.birthdate.as_deref(), Some("1980-01-00"), "a day that isn't known");
    assert_ne!(person.sub, "zoe", "a name for this service alone");
    let found = runtime().block_on(ByClaim { is_test_log: true }.resolve(person));
    assert!(found.is_ok_and(|found| matches!(found, Resolved::Found(ins) if ins.value() == ZOE.ins())));
    let again = there.zoe().expect("a login");
    assert_eq!(again.person.sub, person.sub, "the same account is the same name");
    let paul = there.log_in(&there.client(), &ask(Level::Substantial), Some("paul"), "eidas3").expect("a login");
    assert_eq!((paul.established.level, paul.person.ins.as_deref()), (Level::High, None), "more than was asked for");
    assert_ne!(paul.person.sub, person.sub);
}

fn a_login_is_asked_for_anew_where_its_age_counts(house: &mut House) {
    let Some(there) = &house.there else { return };
    let client = there.client();
    let again = Ask { max_age_s: Some(0), ..ask(Level::Substantial) };
    let login = there.log_in(&client, &again, Some("zoe"), "eidas2").expect("a login");
    assert!(login.established.auth_time_s.is_some(), "the provider says when");
    there.provider.goes_wrong(&json!({"token": "idtoken", "claims": {"auth_time": now_ms() / 1_000 - 3_600}}));
    let old = there.log_in(&client, &again, Some("zoe"), "eidas2").expect_err("a login of an hour ago");
    there.provider.goes_right();
    assert_eq!(old, LoginError::TooOld);
}

fn whoever_stops_comes_back_without_a_login(house: &mut House) {
    let Some(there) = &house.there else { return };
    let found = there.log_in(&there.client(), &ask(Level::Substantial), None, "");
    assert_eq!(found.expect_err("nobody logged in"), LoginError::Cancelled);
}

fn each_claim_that_is_wrong_is_refused(house: &mut House) {
    let Some(there) = &house.there else { return };
    let now_s = now_ms() / 1_000;
    for (claims, error) in [
        (json!({"nonce": "cd".repeat(32)}), LoginError::Nonce),
        (json!({"iss": "https://evil.example"}), LoginError::Issuer),
        (json!({"aud": "another-service"}), LoginError::Audience),
        (json!({"aud": [CLIENT_ID, "another-service"]}), LoginError::Audience),
        (json!({"acr": "eidas1"}), LoginError::Level),
        (json!({"acr": null}), LoginError::Malformed),
        (json!({"exp": now_s - 60, "iat": now_s - 120}), LoginError::Expired),
        (json!({"iat": now_s + 600, "exp": now_s + 660}), LoginError::Early),
        (json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), LoginError::AccessToken),
    ] {
        assert_eq!(there.refusal(&json!({"token": "idtoken", "claims": claims})), error, "{claims}");
    }
    let other = json!({"token": "userinfo", "claims": {"sub": "somebody-else"}});
    assert_eq!(there.refusal(&other), LoginError::Subject);
    // Asked for high, and logged in at substantial: without anything wrong at the provider.
    let found = there.log_in(&there.client(), &ask(Level::High), Some("zoe"), "eidas2");
    assert_eq!(found.expect_err("less than was asked for"), LoginError::Level);
}

fn no_token_chooses_its_algorithm_or_its_key(house: &mut House) {
    let Some(there) = &house.there else { return };
    for which in ["idtoken", "userinfo"] {
        for (how, error) in [
            (json!({"header": {"alg": "none"}}), LoginError::Algorithm),
            (json!({"header": {"alg": "HS256"}}), LoginError::Algorithm),
            (json!({"signer": "stranger"}), LoginError::Signature),
            (json!({"signer": "stranger", "header": {"kid": "stranger"}}), LoginError::Key),
            (json!({"signer": "stranger", "header": {"jku": "https://evil.example/jwks"}}), LoginError::Malformed),
        ] {
            let mut wrong = how.clone();
            wrong["token"] = json!(which);
            assert_eq!(there.refusal(&wrong), error, "{which} {how}");
        }
    }
}

fn encryption_for_somebody_else_and_none_at_all_are_refused(house: &mut House) {
    let Some(there) = &house.there else { return };
    for which in ["idtoken", "userinfo"] {
        assert_eq!(
            there.refusal(&json!({"token": which, "encryption": "stranger"})),
            LoginError::Decryption,
            "{which}"
        );
        assert_eq!(there.refusal(&json!({"token": which, "encryption": "none"})), LoginError::NotEncrypted, "{which}");
        assert_eq!(there.refusal(&json!({"token": which, "enc": "A128CBC-HS256"})), LoginError::Encryption, "{which}");
    }
    let plain = Client::new(Settings { encrypted: false, ..there.settings() }).expect("settings");
    let found = there.log_in(&plain, &ask(Level::Substantial), Some("zoe"), "eidas2");
    assert_eq!(found.expect_err("encrypted where the settings say that it isn't"), LoginError::Encryption);
}

fn a_return_counts_once_and_for_whoever_began_it(house: &mut House) {
    let Some(there) = &house.there else { return };
    let client = there.client();
    runtime().block_on(async {
        let (address, pending) = client.begin(&ask(Level::Substantial)).await.expect("an address");
        let query = there.provider.browser().log_in(&address, Some("zoe"), "eidas2");
        let callback = Callback::parse(&query).expect("a return");
        // A stolen return, in the browser of somebody who began another login.
        let (_, other) = client.begin(&ask(Level::Substantial)).await.expect("an address");
        assert_eq!(client.finish(&other, &callback).await.expect_err("another state"), LoginError::State);
        let elsewhere = query.replace("iss=http", "iss=https");
        let elsewhere = Callback::parse(&elsewhere).expect("a return");
        assert_eq!(
            client.finish(&pending, &elsewhere).await.expect_err("another provider"),
            LoginError::ResponseIssuer
        );
        client.finish(&pending, &callback).await.expect("a login");
        assert_eq!(client.finish(&pending, &callback).await.expect_err("a second time"), LoginError::Code);
        // A code that was begun with another verifier (PKCE): what the thief of a code has.
        let (address, pending) = client.begin(&ask(Level::Substantial)).await.expect("an address");
        let query = there.provider.browser().log_in(&address, Some("zoe"), "eidas2");
        let text = serde_json::to_string(&pending).expect("JSON");
        let mut changed: Value = serde_json::from_str(&text).expect("JSON");
        changed["verifier"] = json!("A".repeat(43));
        let changed = serde_json::from_value(changed).expect("what is kept");
        let callback = Callback::parse(&query).expect("a return");
        assert_eq!(client.finish(&changed, &callback).await.expect_err("another verifier"), LoginError::Code);
    });
}

fn an_answer_that_leads_away_is_endless_or_late_is_refused(house: &mut House) {
    let Some(there) = &house.there else { return };
    for path in ["/.well-known/openid-configuration", "/jwks", "/token", "/me"] {
        assert_eq!(there.refusal(&json!({"path": path, "answer": "redirect"})), LoginError::Redirected, "{path}");
        assert_eq!(there.refusal(&json!({"path": path, "answer": "oversized"})), LoginError::TooLong, "{path}");
    }
    assert_eq!(there.refusal(&json!({"path": "/token", "answer": "silence"})), LoginError::Slow);
    there.zoe().expect("right again");
}

fn a_provider_that_names_another_issuer_or_host_is_refused(house: &mut House) {
    let Some(there) = &house.there else { return };
    for (document, error) in [
        (json!({"issuer": "https://evil.example"}), LoginError::DiscoveryIssuer),
        (json!({"token_endpoint": "https://evil.example/token"}), LoginError::DiscoveryHost),
        (json!({"jwks_uri": "http://127.0.0.1:1/jwks"}), LoginError::DiscoveryHost),
        (json!({"id_token_signing_alg_values_supported": ["RS256"]}), LoginError::Unsupported),
    ] {
        assert_eq!(there.refusal(&json!({"document": document})), error, "{document}");
    }
    let low = there.log_in(&there.client(), &ask(Level::Low), Some("zoe"), "eidas2");
    assert_eq!(low.expect_err("FranceConnect+ has no eidas1"), LoginError::Unsupported);
}

fn a_client_with_another_key_is_refused(house: &mut House) {
    let Some(there) = &house.there else { return };
    let text = ClientKeys::generate().expect("keys");
    let path = there.keys.with_file_name("other.json");
    sillage_client::profile::write_private(&path, text.as_bytes()).expect("a file");
    let thief = Client::new(Settings { keys: Some(path), ..there.settings() }).expect("settings");
    let found = there.log_in(&thief, &ask(Level::Substantial), Some("zoe"), "eidas2");
    assert_eq!(found.expect_err("another key"), LoginError::ClientRefused);
}

fn whoever_logs_out_is_led_back(house: &mut House) {
    let Some(there) = &house.there else { return };
    let login = there.zoe().expect("a login");
    let client = there.client();
    let address = runtime().block_on(client.logout(Some(&login.id_token))).expect("an address").expect("an address");
    assert!(
        address.contains("id_token_hint=") && address.contains("post_logout_redirect_uri="),
        "the ID token names nobody"
    );
    let address = runtime().block_on(client.logout(Some(&login.userinfo))).expect("an address").expect("an address");
    assert!(!address.contains("id_token_hint="), "a token with an INS has no place in an address");
    for text in [ZOE.ins(), "MARTIN".to_owned()] {
        assert!(!address.contains(&text));
    }
}

/// What each node of the ledger computes of the login: it proves the will of its patient, in the session that its nonce names.
fn the_rules_of_the_ledger_take_the_login_and_no_other(house: &mut House) {
    let Some(there) = &house.there else { return };
    let (origin, vrf) = (Origin::new("example.org/log").expect("a name"), VrfSecretKey::from_seed([9; 32]));
    let session = SigningKey::from_seed(&[8; 32]);
    let nonce = session_nonce(&origin, session.public_key().as_bytes());
    let ask = Ask { nonce, ..ask(Level::Substantial) };
    let login = there.log_in(&there.client(), &ask, Some("zoe"), "eidas2").expect("a login");
    let issuer = as_issuer(there);
    let verdict = |whose: Patient, session: &SigningKey, at_ms: u64| {
        let identity = Identity::new(&whose.ins(), OID).expect("an identity");
        let (tag, proof) = PatientTag::resolve(&vrf, &identity, WhichTag::Open);
        let mut record = new_message(Kind::SPACE_CLOSED, Some(tag.as_bytes()), now_ms());
        record.actor =
            Some(v1::Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..v1::Actor::default() });
        let (iss, method) = (there.provider.issuer.clone(), "eidas2".to_owned());
        record.auth = Some(v1::Authentication { issuer: iss, method, eidas_level: "substantial".to_owned() });
        let token = login.id_token.to_string();
        let mut will = sign_in_session(&origin, &record, session, token, proof.to_bytes().to_vec());
        will.userinfo = login.userinfo_of_will().to_owned();
        record.will = Some(will);
        let record = ParsedRecord::from_message(record).expect("a record");
        let log = Log { origin: &origin, vrf_public_key: vrf.public_key().as_bytes(), test_log: true, known: None };
        let will = will::of(&record, Some(&issuer), &log, LedgerTimeMs(at_ms));
        will.map(|will| will.suffices()).map_err(|error| error.code.to_string())
    };
    assert_eq!(verdict(ZOE, &session, now_ms()), Ok(true));
    assert_eq!(verdict(PAUL, &session, now_ms()), Err("LOGIN_SUBJECT".to_owned()));
    assert_eq!(verdict(ZOE, &SigningKey::from_seed(&[7; 32]), now_ms()), Err("LOGIN_NOT_BOUND".to_owned()));
    assert_eq!(verdict(ZOE, &session, now_ms() + 3_600_000), Err("LOGIN_EXPIRED".to_owned()));
}

/// The provider's keys, published by an authority; a login at it, bound to a session's key; a decision that this key signs: recorded by
/// three nodes. Each other login, session and patient is refused.
fn the_ledger_takes_the_login_as_the_proof_of_a_will(house: &mut House) {
    let Some((there, world)) = house.with_nodes() else { return };
    let profile = world.profile();
    let origin = Origin::new(profile.origin.clone()).expect("a name");
    let (session, client) = (SigningKey::generate().expect("randomness"), there.client());
    let log_in = |account: &str, session: &SigningKey| {
        let nonce = session_nonce(&origin, session.public_key().as_bytes());
        let ask = Ask { nonce, ..ask(Level::Substantial) };
        there.log_in(&client, &ask, Some(account), "eidas2").expect("a login")
    };
    let (tag, proof) = world.wait(async {
        let reader = Session::open(profile.clone(), Timeouts::default()).await.expect("a session");
        let request = TagRequest { ins: ANNE.ins(), oid: OID.to_owned(), secret: false };
        tags_of(&reader).resolve_proven(&[request]).await.expect("a tag").remove(0)
    });
    let issuer = there.provider.issuer.clone();
    let closes = |name: &str, login: &Login, session: &SigningKey| {
        let line = json!({
            "kind": "space.closed", "patient": {"ins": ANNE.ins(), "oid": OID},
            "actor": {"system": "urn:sillage:patient", "id": "self"}, "occurred_at": in_s(0),
            "auth": {"issuer": issuer, "method": "eidas2", "eidas_level": "substantial"},
        });
        let line = RecordLine::parse(line.to_string().as_bytes()).expect("a line");
        let record = line.to_record(Some(&tag.to_bytes())).expect("a record");
        let mut will = sign_in_session(&origin, record.message(), session, login.id_token.to_string(), proof.to_vec());
        will.userinfo = login.userinfo_of_will().to_owned();
        let line = RecordLine { will: Some(will.into()), ..line };
        let file = world.write(&format!("{name}.ndjson"), format!("{}\n", line.to_json()));
        world.sillage_as(&without_test_issuer(world), &["record", "--file", &file.to_string_lossy()])
    };
    let login = log_in("anne", &session);
    let thief = SigningKey::generate().expect("randomness");
    closes("thief", &login, &thief).refused("LOGIN_NOT_BOUND");
    closes("paul", &log_in("paul", &session), &session).refused("LOGIN_MALFORMED");
    closes("anne", &login, &session).ok();
    let shown = world.sillage(&["trace", "--patient", &ANNE.ins(), "--oid", OID, "--json"]).ok();
    assert!(shown.stdout.contains("space.closed") && shown.stdout.contains(&issuer), "{shown}");
}

/// The provider, as an authority publishes it.
fn as_issuer(there: &There) -> Issuer {
    let keys = runtime().block_on(there.client().provider_keys()).expect("keys");
    let key = |(kid, point): (&str, &[u8; 65])| IssuerKey {
        kid: kid.to_owned(),
        algorithm: Algorithm::Es256,
        key: point.to_vec(),
        exponent: 0,
    };
    Issuer {
        url: there.provider.issuer.clone(),
        name: "FranceConnect+ of the tests".to_owned(),
        keys: keys.iter().map(key).collect(),
        audiences: vec![CLIENT_ID.to_owned()],
        ins_claim: "ins".to_owned(),
        oid_claim: "ins_oid".to_owned(),
        person_claim: String::new(),
        person_system: String::new(),
        acr_substantial: vec!["eidas2".to_owned()],
        acr_high: vec!["eidas3".to_owned()],
        session_s: 1_800,
        from_ms: 0,
        until_ms: 0,
        test: true,
    }
}

/// Publishes the provider as an issuer of logins.
fn publish(world: &World, there: &There) {
    let profile = Profile::load(&world.authority_file()).expect("dev wrote it");
    // It asks the provider, on a runtime of its own.
    let issuer = as_issuer(there);
    world.wait(async {
        let session = Session::open(profile, Timeouts::default()).await.expect("a session");
        let act = Act::IssuerPublished(Box::new(issuer));
        Authority::open(&session, "issuer").await.send(act_message(&act, now_ms())).await.expect("the authority's act");
    });
}

/// The profile of a service that has no issuer of its own at hand.
fn without_test_issuer(world: &World) -> PathBuf {
    let profile = std::fs::read_to_string(world.profile_file()).expect("dev wrote it");
    let kept: Vec<&str> = profile.lines().filter(|line| !line.starts_with("test_issuer")).collect();
    let path = world.dir().join("service.toml");
    std::fs::write(&path, kept.join("\n")).expect("a profile");
    path
}

/// A portal that logs people in at the provider. Dropping it ends it.
struct Portal {
    children: Vec<Child>,
    log: PathBuf,
}

impl Portal {
    /// Registers its two parties, makes its folder, and puts the login at the provider in the place of that for development. `identity` are the
    /// parts of the configuration that say whose INS it is.
    fn start(world: &World, there: &There, name: &str, identity: &str) -> Self {
        let [profile, login_profile] =
            ["portal", "login"].map(|role| world.register(&format!("{name}-{role}"), role).display().to_string());
        let (dir, log) = (world.path(name), world.path(&format!("{name}.log")));
        let program = program("sillage-portal").unwrap_or_else(|error| panic!("{error}"));
        let mut init = Command::new(&program);
        init.arg("init").arg("--dir").arg(&dir).args(["--profile", &profile, "--login-profile", &login_profile]);
        init.arg("--test-issuer").arg(world.dir().join("keys/test-issuer.key"));
        let made = init.args(["--listen", &format!("127.0.0.1:{}", there.ports)]).output().expect("it runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = dir.join("login.toml");
        let mut table: toml::Table = toml::from_str(&std::fs::read_to_string(&file).expect("made")).expect("TOML");
        table.remove("dev");
        let text = format!("{}\n[oidc]\n{}\n{identity}", toml::to_string(&table).expect("TOML"), there.settings_toml());
        std::fs::write(&file, text).expect("a file");
        let mut portal = Self { children: Vec::new(), log };
        for (command, config) in [("login", "login.toml"), ("serve", "portal.toml")] {
            let log = std::fs::File::options().create(true).append(true).open(&portal.log).expect("a log file");
            let mut process = Command::new(&program);
            process
                .args([command, "--config"])
                .arg(dir.join(config))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            portal.children.push(process.spawn().expect("it starts"));
        }
        let deadline = Instant::now() + START_MAX;
        for port in there.ports..there.ports + 3 {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < deadline, "nobody listens on {port}: {}", portal.said());
                sleep(Duration::from_millis(50));
            }
        }
        portal
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Logs in through a browser; without an account the person stops. The page at the end says `reads`.
    fn log_in(&self, there: &There, account: Option<(&str, &str)>, reads: &[&str]) {
        let never = [ZOE.ins(), PAUL.ins(), "MARTIN".to_owned(), "DURAND".to_owned()];
        let (account, acr) = account.unzip();
        let base = format!("http://127.0.0.1:{}", there.ports);
        let given = json!({"base": base, "account": account, "acr": acr, "reads": reads, "never": never});
        let out = Command::new("node").arg(there.folder.join("login.mjs")).env("LOGIN", given.to_string()).output();
        let out = out.expect("node is there");
        assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), self.said());
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

/// Whether there is a browser; else it is said.
fn has_browser() -> bool {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().any(npm::on_path);
    if !found {
        npm::skipped("no Chromium; `cargo xtask test` installs it");
    }
    found
}

/// From the first page over the provider to the own trace, and each way in which that comes to nothing.
fn a_patient_logs_in_at_the_provider_in_a_browser(house: &mut House) {
    let Some((there, world)) = house.with_nodes().filter(|_| has_browser()) else { return };
    let portal = Portal::start(world, there, "by-claim", "[identity]\nsource = \"claim\"\n");
    portal.log_in(there, Some(("zoe", "eidas2")), &["Bonjour Zoé Marie MARTIN", "FranceConnect+, jusqu’à"]);
    portal.log_in(there, Some(("zoe", "eidas1")), &["Cette connexion ne suffit pas", "Rien n’a été inscrit."]);
    portal.log_in(there, None, &["Connexion annulée"]);
    portal.log_in(there, Some(("paul", "eidas2")), &["Votre identité de santé n’a pas été trouvée"]);
    there.provider.goes_wrong(&json!({"token": "idtoken", "signer": "stranger"}));
    portal.log_in(there, Some(("zoe", "eidas2")), &["La réponse de connexion n’est pas valable"]);
    there.provider.goes_wrong(&json!({"path": "/token", "answer": "redirect"}));
    portal.log_in(there, Some(("zoe", "eidas2")), &["La réponse de connexion n’est pas valable"]);
    there.provider.goes_right();
    let said = portal.said();
    assert!(
        said.contains("OIDC_LEVEL") && said.contains("OIDC_SIGNATURE") && said.contains("OIDC_REDIRECTED"),
        "{said}"
    );
    for text in [ZOE.ins().as_str(), "MARTIN", "Zoé", "eyJ"] {
        assert!(!said.contains(text), "a log line holds {text}");
    }
    let shown = world.sillage(&["trace", "--patient", &ZOE.ins(), "--oid", OID, "--json"]).ok();
    assert_eq!(shown.stdout.matches("session.opened").count(), 1, "one login came to a session: {shown}");
}

/// The provider knows an account and no INS, as FranceConnect: a resolver says the INS, and a statement carries it to the log.
fn the_login_process_states_whose_ins_it_is_where_the_provider_does_not(house: &mut House) {
    let Some((there, world)) = house.with_nodes().filter(|_| has_browser()) else { return };
    let paul = there.log_in(&there.client(), &ask(Level::Substantial), Some("paul"), "eidas2").expect("a login");
    let patients = json!({"patients": [{"sub": paul.person.sub, "ins": PAUL.ins(), "oid": OID}]});
    let file = world.write("patients.json", patients.to_string());
    let (keys, text) = (there.dir.path().join("statement.json"), ClientKeys::generate().expect("keys"));
    sillage_client::profile::write_private(&keys, text.as_bytes()).expect("a file");
    let issuer = "https://statements.example";
    let statements =
        Statements::new(issuer.to_owned(), CLIENT_ID.to_owned(), ClientKeys::parse(&text).expect("a file"));
    let lists = (&["eidas2".to_owned()][..], &["eidas3".to_owned()][..]);
    let act = statements.to_publish("Statements of the tests", lists).expect("a file");
    let act = world.write("statements-issuer.json", act.to_string()).display().to_string();
    world.sillage_as(&world.authority_file(), &["keys", "issuer", "--file", &act]).ok();
    let identity = format!(
        "[identity]\nsource = \"file\"\nfile = \"{}\"\n\n[statement]\nissuer = \"{issuer}\"\nkeys = \"{}\"\n",
        file.display(),
        keys.display()
    );
    let portal = Portal::start(world, there, "by-statement", &identity);
    portal.log_in(there, Some(("paul", "eidas2")), &["Bonjour Paul DURAND"]);
    portal.log_in(there, Some(("zoe", "eidas2")), &["Votre identité de santé n’a pas été trouvée"]);
    let shown = world.sillage(&["trace", "--patient", &PAUL.ins(), "--oid", OID, "--json"]).ok();
    assert_eq!(shown.stdout.matches("session.opened").count(), 1, "{shown}");
}
