//! A login that proves a will, and every way in which another doesn't.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use sillage_proof::keys::SigningKey;
use sillage_proof::vrf::VrfSecretKey;

use super::test_issuer::{Means, Subject, TestIssuer};
use super::*;
use crate::consent::name::{PATIENT_ID, PATIENT_SYSTEM};
use crate::record::new_message;

const NOW_MS: u64 = 1_900_000_000_000;
const INS: &str = "279035121518989";
const OID: &str = "1.2.250.1.213.1.4.10";
/// A key that nobody else uses.
const RSA_PKCS8: &str = include_str!("rsa_test_key.b64");

struct World {
    origin: Origin,
    vrf: VrfSecretKey,
    issuer: TestIssuer,
    session: SigningKey,
    test_log: bool,
}

impl World {
    fn new() -> Self {
        let origin = Origin::new("sillage.test/will").expect("a name");
        let issuer = TestIssuer::new(SigningKey::from_seed(&[1; 32]), origin.clone());
        let session = SigningKey::from_seed(&[2; 32]);
        Self { origin, vrf: VrfSecretKey::from_seed([3; 32]), issuer, session, test_log: true }
    }

    fn tag(&self, ins: &str, which_tag: WhichTag) -> (PatientTag, Vec<u8>) {
        let identity = Identity::new(ins, OID).expect("an identity");
        let (tag, proof) = PatientTag::resolve(&self.vrf, &identity, which_tag);
        (tag, proof.to_bytes().to_vec())
    }

    /// The patient closes their space.
    fn record(&self, which_tag: WhichTag) -> (v1::Record, Vec<u8>) {
        let (tag, proof) = self.tag(INS, which_tag);
        let (system, id) = (PATIENT_SYSTEM.to_owned(), PATIENT_ID.to_owned());
        let actor = Some(v1::Actor { system, id, ..v1::Actor::default() });
        let auth = Some(v1::Authentication {
            issuer: "FranceConnect+".into(),
            method: "app".into(),
            eidas_level: "substantial".into(),
        });
        (v1::Record { actor, auth, ..new_message(Kind::SPACE_CLOSED, Some(&tag.to_bytes()), NOW_MS) }, proof)
    }

    fn nonce(&self) -> String {
        binding::session_nonce(&self.origin, self.session.public_key().as_bytes())
    }

    fn claims(&self) -> Value {
        self.issuer.claims(&self.nonce(), &patient(INS), &means(), NOW_MS)
    }

    /// The record, decided in the session, with this token.
    fn with_token(&self, token: String) -> v1::Record {
        let (record, proof) = self.record(WhichTag::Open);
        let will = binding::sign_in_session(&self.origin, &record, &self.session, token, proof);
        v1::Record { will: Some(will), ..record }
    }

    fn verdict_at(&self, record: v1::Record, issuer: &Issuer, now_ms: u64) -> Result<Will, Code> {
        self.verdict_with(record, issuer, now_ms, None)
    }

    fn verdict_with(
        &self,
        record: v1::Record,
        issuer: &Issuer,
        now_ms: u64,
        known: Option<&dyn KnownSignatures>,
    ) -> Result<Will, Code> {
        let record = ParsedRecord::from_message(record).map_err(|error| error.code)?;
        let key = *self.vrf.public_key().as_bytes();
        let log = Log { origin: &self.origin, vrf_public_key: &key, test_log: self.test_log, known };
        of(&record, Some(issuer), &log, LedgerTimeMs(now_ms)).map_err(|error| {
            assert!(!error.to_string().contains(INS), "no identity in an error: {error}");
            error.code
        })
    }

    fn verdict(&self, record: v1::Record) -> Result<Will, Code> {
        self.verdict_at(record, &self.issuer.published(), NOW_MS)
    }

    /// The outcome of a login with changed claims.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Result<Will, Code> {
        let mut claims = self.claims();
        change(&mut claims);
        self.verdict(self.with_token(self.issuer.sign(&claims)))
    }
}

/// Remembers what it verified, and counts it.
#[derive(Debug, Default)]
struct Remembers {
    known: RefCell<BTreeSet<Vec<u8>>>,
    verified: Cell<usize>,
}

impl KnownSignatures for Remembers {
    fn or_verify(&self, message: &[u8], signature: &[u8], verify: &dyn Fn() -> bool) -> bool {
        let name = [message, signature].concat();
        if self.known.borrow().contains(&name) {
            return true;
        }
        self.verified.set(self.verified.get() + 1);
        let good = verify();
        if good {
            self.known.borrow_mut().insert(name);
        }
        good
    }
}

#[test]
fn a_token_is_verified_once_and_another_key_of_its_name_verifies_it_again() {
    let (world, known) = (World::new(), Remembers::default());
    let record = world.with_token(world.issuer.sign(&world.claims()));
    let issuer = world.issuer.published();
    let verdict = |record: &v1::Record, issuer: &Issuer, now_ms: u64| {
        world.verdict_with(record.clone(), issuer, now_ms, Some(&known))
    };
    for _ in 0..3 {
        assert!(verdict(&record, &issuer, NOW_MS).is_ok_and(|will| will.suffices()));
    }
    assert_eq!(known.verified.get(), 1);
    // That the signature is known says nothing of the rest.
    assert_eq!(verdict(&record, &issuer, NOW_MS + 7_200_000), Err(Code::LoginExpired));
    let mut replaced = issuer.clone();
    replaced.keys[0].key = SigningKey::from_seed(&[9; 32]).public_key().to_bytes().to_vec();
    assert_eq!(verdict(&record, &replaced, NOW_MS), Err(Code::LoginSignature));
    let mut altered = record.clone();
    let token = &mut altered.will.as_mut().expect("proven").token;
    let last = token.pop().expect("a signature");
    token.push(if last == 'A' { 'Q' } else { 'A' });
    assert!(verdict(&altered, &issuer, NOW_MS).is_err());
    assert_eq!(known.known.borrow().len(), 1, "what is bad is never remembered");
}

fn patient(ins: &str) -> Subject {
    Subject::Patient { ins: ins.to_owned(), oid: OID.to_owned() }
}

fn means() -> Means {
    Means { idp: "FranceConnect+".to_owned(), method: "app".to_owned(), level: Level::Substantial }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn a_login_proves_the_will_of_the_patient_under_both_tags() {
    let world = World::new();
    for which_tag in [WhichTag::Open, WhichTag::Secret] {
        let (record, proof) = world.record(which_tag);
        let will = world.issuer.decide(&record, &world.session, (&patient(INS), &means()), proof, NOW_MS);
        let verdict = world.verdict(v1::Record { will: Some(will), ..record }).expect("proven");
        assert!(verdict.suffices(), "{verdict:?}");
        let how = ProofOfWill::Login { issuer: world.issuer.url() };
        let Will::Proven(proven) = verdict else { panic!("proven") };
        assert_eq!((proven.how, proven.level), (how, Level::Substantial));
        assert!(proven.until_ms > NOW_MS && proven.until_ms <= NOW_MS + (SESSION_S_MAX + LEEWAY_S) * 1_000);
    }
}

#[test]
fn a_login_for_one_record_proves_that_record() {
    let world = World::new();
    let (record, tag_proof) = world.record(WhichTag::Open);
    let bound_to = |record: &v1::Record, blind: [u8; 16]| {
        let nonce = binding::record_nonce(&world.origin, &blind, &binding::record_digest(record));
        let token = world.issuer.sign(&world.issuer.claims(&nonce, &patient(INS), &means(), NOW_MS));
        v1::Will { token, tag_proof: tag_proof.clone(), blind: [7; 16].to_vec(), ..v1::Will::default() }
    };
    let decided = |will| world.verdict(v1::Record { will: Some(will), ..record.clone() });
    assert!(decided(bound_to(&record, [7; 16])).expect("proven").suffices());
    assert_eq!(decided(bound_to(&record, [8; 16])), Err(Code::LoginNotBound));
    let other = v1::Record { occurred_at_ms: NOW_MS + 1, ..record.clone() };
    assert_eq!(decided(bound_to(&other, [7; 16])), Err(Code::LoginNotBound), "the nonce of another record");
}

#[test]
fn a_service_s_word_is_no_proof() {
    let world = World::new();
    let (record, _) = world.record(WhichTag::Open);
    assert_eq!(world.verdict(record.clone()), Ok(Will::Claimed));
    let details = r#"{"id": "c1", "effect": "deny", "grantee": "anyone", "collected": {}}"#.to_owned();
    let collected = v1::Record { details, kind: Kind::CONSENT_DIRECTIVE.code().into(), ..record };
    assert_eq!(world.verdict(collected), Ok(Will::Collected));
}

#[test]
fn an_unsigned_token_and_one_signed_with_a_public_key_as_secret_are_refused() {
    let world = World::new();
    let claims = encoded(&world.claims());
    let header = |alg: &str| encoded(&json!({"alg": alg, "kid": "test-1"}));
    let with = |token| world.verdict(world.with_token(token));
    assert_eq!(with(format!("{}.{claims}.", header("none"))), Err(Code::LoginAlgorithm));
    let signed = format!("{}.{claims}", header("HS256"));
    let issuer = world.issuer.published();
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &issuer.keys[0].key);
    let mac = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, signed.as_bytes()));
    assert_eq!(with(format!("{signed}.{mac}")), Err(Code::LoginAlgorithm));
    // A key is for one algorithm.
    let signed = format!("{}.{claims}", header("ES256"));
    assert_eq!(with(format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1; 64]))), Err(Code::LoginAlgorithm));
}

#[test]
fn a_key_that_is_not_the_issuer_s_signs_nothing() {
    let world = World::new();
    let claims = world.claims();
    let stranger = TestIssuer::new(SigningKey::from_seed(&[9; 32]), world.origin.clone());
    let with = |token| world.verdict(world.with_token(token));
    assert_eq!(with(stranger.sign(&claims)), Err(Code::LoginSignature), "the same kid, another key");
    let good = world.issuer.sign(&claims);
    let rest = &good[good.find('.').expect("a dot")..];
    let header = |value: Value| encoded(&value);
    let other_kid = header(json!({"alg": "EdDSA", "kid": "test-2"}));
    assert_eq!(with(format!("{other_kid}{rest}")), Err(Code::LoginKey));
    let no_kid = header(json!({"alg": "EdDSA"}));
    assert_eq!(with(format!("{no_kid}{rest}")), Err(Code::LoginMalformed));
    for brought in ["jwk", "jku", "x5c", "x5u", "crit"] {
        let header = header(json!({"alg": "EdDSA", "kid": "test-1", brought: ["https://evil.example"]}));
        assert_eq!(with(format!("{header}{rest}")), Err(Code::LoginMalformed), "{brought}");
    }
}

#[test]
fn a_token_that_can_be_read_in_two_ways_or_not_at_all_is_refused() {
    let world = World::new();
    let with = |token: &str| world.verdict(world.with_token(token.to_owned()));
    let text = world.claims().to_string();
    let twice = text.replacen('{', r#"{"ins":"1","#, 1);
    let key = SigningKey::from_seed(&[1; 32]);
    let signed = format!("{}.{}", encoded(&json!({"alg": "EdDSA", "kid": "test-1"})), URL_SAFE_NO_PAD.encode(twice));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())));
    assert_eq!(with(&token), Err(Code::LoginMalformed), "a claim twice");
    let good = world.issuer.sign(&world.claims());
    let padded = format!("{good}=");
    let encrypted = "a.b.c.d.e";
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    for token in ["", "a", "a.b", "a.b.c", encrypted, &padded, &long, &good[1..]] {
        assert_eq!(with(token), Err(Code::LoginMalformed), "{} bytes", token.len());
    }
    assert_eq!(world.changed(|claims| claims["iat"] = json!("now")), Err(Code::LoginMalformed));
    assert_eq!(world.changed(|claims| claims["iat"] = json!(1.5)), Err(Code::LoginMalformed));
    assert_eq!(world.changed(|claims| claims["ins"] = json!([INS])), Err(Code::LoginMalformed));
    assert_eq!(world.changed(|claims| claims["exp"] = Value::Null), Err(Code::LoginMalformed));
}

#[test]
fn a_token_of_another_issuer_or_for_another_service_is_refused() {
    let world = World::new();
    assert_eq!(world.changed(|claims| claims["iss"] = json!("https://other.example")), Err(Code::LoginIssuer));
    assert_eq!(world.changed(|claims| claims["aud"] = json!("other")), Err(Code::LoginAudience));
    assert_eq!(world.changed(|claims| claims["aud"] = json!([])), Err(Code::LoginAudience));
    let shared = json!([test_issuer::AUDIENCE, "other"]);
    assert_eq!(world.changed(|claims| claims["aud"] = shared.clone()), Err(Code::LoginAudience));
    let for_other = |claims: &mut Value| (claims["aud"], claims["azp"]) = (shared.clone(), json!("other"));
    assert_eq!(world.changed(for_other), Err(Code::LoginAudience));
    let for_us = |claims: &mut Value| (claims["aud"], claims["azp"]) = (shared.clone(), json!(test_issuer::AUDIENCE));
    assert!(world.changed(for_us).is_ok());
}

#[test]
fn a_login_counts_for_its_time() {
    let world = World::new();
    let token = world.issuer.sign(&world.claims());
    let issuer = world.issuer.published();
    let at = |issuer: &Issuer, seconds: i64| {
        world.verdict_at(world.with_token(token.clone()), issuer, NOW_MS.saturating_add_signed(seconds * 1_000))
    };
    let (end, leeway) = (1_800, 60);
    assert!(at(&issuer, end + leeway - 1).is_ok());
    assert_eq!(at(&issuer, end + leeway), Err(Code::LoginExpired));
    assert!(at(&issuer, -leeway).is_ok());
    assert_eq!(at(&issuer, -leeway - 1), Err(Code::LoginNotYet));
    // As long as the token says, and half an hour at most.
    let as_it_says = Issuer { session_s: 0, ..issuer.clone() };
    assert!(at(&as_it_says, 60 + leeway - 1).is_ok());
    assert_eq!(at(&as_it_says, 60 + leeway), Err(Code::LoginExpired));
    let far = |claims: &mut Value| claims["exp"] = json!(u64::MAX);
    let mut claims = world.claims();
    far(&mut claims);
    let long = world.with_token(world.issuer.sign(&claims));
    assert_eq!(world.verdict_at(long, &as_it_says, NOW_MS + 1_900_000), Err(Code::LoginExpired));
    let not_before = |claims: &mut Value| claims["nbf"] = json!(NOW_MS / 1_000 + 61);
    assert_eq!(world.changed(not_before), Err(Code::LoginNotYet));
    let backwards = |claims: &mut Value| claims["exp"] = json!(1);
    assert_eq!(world.changed(backwards), Err(Code::LoginExpired));
}

#[test]
fn an_issuer_counts_for_its_time_and_until_it_is_withdrawn() {
    let world = World::new();
    let token = world.issuer.sign(&world.claims());
    let with = |change: fn(&mut Issuer)| {
        let mut issuer = world.issuer.published();
        change(&mut issuer);
        world.verdict_at(world.with_token(token.clone()), &issuer, NOW_MS)
    };
    assert!(with(|issuer| (issuer.from_ms, issuer.until_ms) = (NOW_MS, NOW_MS + 1)).is_ok());
    assert_eq!(with(|issuer| issuer.from_ms = NOW_MS + 1), Err(Code::LoginIssuer));
    assert_eq!(with(|issuer| issuer.until_ms = NOW_MS), Err(Code::LoginIssuer));
    assert_eq!(with(|issuer| issuer.keys.clear()), Err(Code::LoginIssuer));
    assert_eq!(with(|issuer| issuer.ins_claim.clear()), Err(Code::LoginIssuer), "it says nothing of patients");
    let real = World { test_log: false, ..World::new() };
    assert_eq!(real.verdict(real.with_token(token)), Err(Code::LoginIssuer), "an issuer for tests");
}

#[test]
fn a_session_signs_each_record_for_its_log_and_its_patient() {
    let world = World::new();
    let good = world.with_token(world.issuer.sign(&world.claims()));
    assert!(world.verdict(good.clone()).is_ok());
    // What was signed is what is handed in.
    let other = v1::Record { kind: Kind::SPACE_OPENED.code().into(), ..good.clone() };
    assert_eq!(world.verdict(other), Err(Code::LoginSignature));
    let later = v1::Record { occurred_at_ms: NOW_MS + 1, ..good.clone() };
    assert_eq!(world.verdict(later), Err(Code::LoginSignature));
    let stranger = World { session: SigningKey::from_seed(&[8; 32]), ..World::new() };
    let stolen = stranger.with_token(world.issuer.sign(&world.claims()));
    assert_eq!(world.verdict(stolen), Err(Code::LoginNotBound), "somebody else's session");
    // Another log, with the same issuer, the same VRF key and so the same tags.
    let elsewhere = World { origin: Origin::new("sillage.test/other").expect("a name"), ..World::new() };
    let issuer = world.issuer.published();
    assert_eq!(elsewhere.verdict_at(good.clone(), &issuer, NOW_MS), Err(Code::LoginNotBound));
    let mut moved = good.clone();
    let digest = binding::record_digest(&moved);
    let key = world.session.public_key().to_bytes();
    let tag = <[u8; 32]>::try_from(&moved.tag[..]).expect("a tag");
    let message = binding::session_message(&elsewhere.origin, &key, &tag, &digest);
    moved.will.as_mut().expect("a will").signature = world.session.sign(&message).to_vec();
    assert_eq!(world.verdict(moved), Err(Code::LoginSignature), "signed for another log");
}

#[test]
fn a_login_of_somebody_else_decides_nothing() {
    let world = World::new();
    let other = "255069910100157";
    assert_eq!(world.changed(|claims| claims["ins"] = json!(other)), Err(Code::LoginSubject));
    assert_eq!(world.changed(|claims| claims["ins_oid"] = json!("1.2.250.1.213.1.4.8")), Err(Code::LoginSubject));
    assert_eq!(world.changed(|claims| claims["ins"] = json!("x")), Err(Code::LoginSubject));
    // Whoever logged in proves their own tag, which isn't the record's.
    let (record, _) = world.record(WhichTag::Open);
    let (_, proof) = world.tag(other, WhichTag::Open);
    let will = world.issuer.decide(&record, &world.session, (&patient(other), &means()), proof, NOW_MS);
    assert_eq!(world.verdict(v1::Record { will: Some(will), ..record }), Err(Code::LoginSubject));
}

#[test]
fn a_representative_logs_in_as_who_they_are() {
    let world = World::new();
    let (record, _) = world.record(WhichTag::Open);
    let actor =
        |id: &str| Some(v1::Actor { system: "urn:sillage:person".into(), id: id.into(), ..v1::Actor::default() });
    let by = |id: &str, subject: Subject| {
        let record = v1::Record { actor: actor(id), ..record.clone() };
        let will = world.issuer.decide(&record, &world.session, (&subject, &means()), Vec::new(), NOW_MS);
        world.verdict(v1::Record { will: Some(will), ..record })
    };
    let mum = || Subject::Person("urn:sillage:person|mum".to_owned());
    assert!(by("mum", mum()).expect("proven").suffices());
    assert_eq!(by("dad", mum()), Err(Code::LoginSubject));
    assert_eq!(by("mum", patient(INS)), Err(Code::LoginMalformed), "the claim isn't there");
}

#[test]
fn a_record_says_no_more_than_the_token() {
    let world = World::new();
    let (record, proof) = world.record(WhichTag::Open);
    let said = |change: fn(&mut v1::Authentication), level| {
        let mut record = record.clone();
        change(record.auth.as_mut().expect("said"));
        let means = Means { level, ..means() };
        let will = world.issuer.decide(&record, &world.session, (&patient(INS), &means), proof.clone(), NOW_MS);
        world.verdict(v1::Record { will: Some(will), ..record })
    };
    assert_eq!(said(|auth| auth.eidas_level = "high".into(), Level::Substantial), Err(Code::LoginLevel));
    assert_eq!(said(|auth| auth.issuer = "Pro Santé Connect".into(), Level::Substantial), Err(Code::LoginLevel));
    assert_eq!(said(|auth| auth.method = "card".into(), Level::Substantial), Err(Code::LoginLevel));
    let low = said(|auth| auth.eidas_level = "low".into(), Level::Low).expect("proven, but weakly");
    assert!(!low.suffices());
    let silent = said(|auth| *auth = v1::Authentication::default(), Level::High).expect("proven");
    assert!(silent.suffices());
}

#[test]
fn the_userinfo_answer_counts_with_the_id_token_of_the_same_person() {
    let world = World::new();
    let mut login = world.claims();
    login.as_object_mut().expect("claims").remove("ins");
    let login = world.issuer.sign(&login);
    let about = |sub: &str| {
        let claims =
            json!({"iss": world.issuer.url(), "aud": test_issuer::AUDIENCE, "sub": sub, "ins": INS, "ins_oid": OID});
        let mut record = world.with_token(login.clone());
        record.will.as_mut().expect("a will").userinfo = world.issuer.sign(&claims);
        world.verdict(record)
    };
    assert!(about("test").expect("proven").suffices());
    assert_eq!(about("other"), Err(Code::LoginSubject));
    assert_eq!(world.verdict(world.with_token(login.clone())), Err(Code::LoginMalformed), "no INS without it");
}

#[test]
fn es256_and_rs256_are_verified() {
    let world = World::new();
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let es = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let rsa = RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA_PKCS8.trim()).expect("base64")).expect("a key");
    let RsaPublicKeyComponents { n: modulus, .. } = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let mut issuer = world.issuer.published();
    let key =
        |kid: &str, algorithm, key: Vec<u8>, exponent| issuer::IssuerKey { kid: kid.into(), algorithm, key, exponent };
    issuer.keys.push(key("es", jws::Algorithm::Es256, es.public_key().as_ref().to_vec(), 0));
    issuer.keys.push(key("rs", jws::Algorithm::Rs256, modulus, 65_537));
    let issuer = Issuer::parse(&issuer.to_message()).expect("an issuer");
    let signed =
        |alg: &str, kid: &str| format!("{}.{}", encoded(&json!({"alg": alg, "kid": kid})), encoded(&world.claims()));
    let verdict = |signed: &str, mut signature: Vec<u8>, spoil: bool| {
        signature[10] ^= u8::from(spoil);
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        world.verdict_at(world.with_token(token), &issuer, NOW_MS)
    };
    let (es_signed, rs_signed) = (signed("ES256", "es"), signed("RS256", "rs"));
    let es_signature = es.sign(&random, es_signed.as_bytes()).expect("signed").as_ref().to_vec();
    let mut rs_signature = vec![0; rsa.public().modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &random, rs_signed.as_bytes(), &mut rs_signature).expect("signed");
    for (signed, signature) in [(es_signed, es_signature), (rs_signed, rs_signature)] {
        assert!(verdict(&signed, signature.clone(), false).expect("proven").suffices());
        assert_eq!(verdict(&signed, signature, true), Err(Code::LoginSignature));
    }
}

#[test]
fn an_issuer_that_cannot_be_used_is_refused_with_its_field() {
    let path = |change: fn(&mut v1::IssuerPublished)| {
        let mut message = World::new().issuer.published().to_message();
        change(&mut message);
        Issuer::parse(&message).expect_err("one field is wrong").path
    };
    assert_eq!(path(|m| m.issuer.clear()), "issuer");
    assert_eq!(path(|m| m.name = "a\nb".into()), "name");
    assert_eq!(path(|m| m.keys[0].alg = "HS256".into()), "keys[0].alg");
    assert_eq!(path(|m| m.keys[0].key.clear()), "keys[0].key");
    assert_eq!(path(|m| m.keys[0].exponent = 3), "keys[0].exponent");
    assert_eq!(path(|m| m.keys = vec![m.keys[0].clone(); 2]), "keys[1].kid");
    assert_eq!(path(|m| m.keys = vec![m.keys[0].clone(); 9]), "keys");
    assert_eq!(path(|m| m.audiences.clear()), "audiences");
    assert_eq!(path(|m| (m.ins_claim, m.person_claim) = Default::default()), "ins_claim");
    assert_eq!(path(|m| (m.acr_high, m.acr_substantial) = Default::default()), "acr_substantial");
    assert_eq!(path(|m| m.acr_high = m.acr_substantial.clone()), "acr_high");
    assert_eq!(path(|m| m.session_s = 1_801), "session_s");
    assert_eq!(path(|m| (m.from_ms, m.until_ms) = (2, 2)), "until_ms");
}

#[test]
fn only_what_the_patient_decides_carries_a_will() {
    let world = World::new();
    let mut record = world.with_token(world.issuer.sign(&world.claims()));
    record.kind = Kind::ACCESS_READ.code().into();
    assert_eq!(ParsedRecord::from_message(record).expect_err("no will").path, "will");
    let carrying: Vec<&str> = Kind::ALL.iter().copied().filter(|kind| may_carry(*kind)).map(Kind::token).collect();
    assert!(carrying.contains(&"contest.opened") && carrying.contains(&"attending.ended"));
    assert!(!carrying.contains(&"breakglass.opened") && !carrying.contains(&"policy.published"));
}
