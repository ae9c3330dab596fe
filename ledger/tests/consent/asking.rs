//! From feature level 4 on: who asks is proven by their login, or what they ask for stays within the structure of the party that
//! says who they are; and what nobody but that party says opens nothing to it.

use prost::Message as _;
use serde_json::{Value, json};
use sillage_ledger::{CLAIMS, CommandOutcome, ROLES};
use sillage_proof::batch::Origin;
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};

use crate::common::world::*;
use crate::common::{ORIGIN, START_MS, code, genesis_of, key, quiet, registration, two_tags};

/// The desk of the structure of doctor 1, and its record system.
const DESK: u8 = 30;
const STORE: u8 = 31;
/// A party of the same structure that is both.
const BOTH: u8 = 32;
/// The record system of the structure of doctor 2.
const FAR: u8 = 33;

fn raise(world: &mut World, level: u32) {
    let command = Command { version: 6, feature_level: level, ..Command::default() };
    let (index, now) = (world.ledger().applied().0, world.now);
    let outcomes = world.ledger().apply(index + 1, 1, now, &command.encode_to_vec()).expect("applied");
    assert_eq!(outcomes, [CommandOutcome::FeatureLevel(level)]);
}

fn issuer() -> TestIssuer {
    TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(ORIGIN).expect("a name"))
}

fn publish(world: &mut World) {
    let done = world.act(&Act::IssuerPublished(Box::new(issuer().published())));
    assert_eq!(code(&done), None);
}

fn register(world: &mut World, seed: u8, number: u8, roles: Roles) {
    let vouching = Vouching {
        structures: vec![doctor(number, "").organisation],
        actor_systems: vec![RPPS.into()],
        issuers: vec!["pro-sante-connect".into()],
    };
    let done = world.act(&Act::Registered(PartyRegistration { vouching, ..registration(seed, roles) }));
    assert_eq!(code(&done), None);
}

fn with_level(level: u32) -> World {
    with_parties(World::new(), level)
}

fn with_parties(mut world: World, level: u32) -> World {
    raise(&mut world, ROLES);
    let desk = Roles::CONSENT_DESK | Roles::RECORDER | Roles::EMERGENCY;
    register(&mut world, DESK, 1, desk);
    register(&mut world, STORE, 1, Roles::DECIDER);
    register(&mut world, BOTH, 1, desk | Roles::DECIDER);
    register(&mut world, FAR, 2, Roles::DECIDER);
    if level > ROLES {
        raise(&mut world, level);
    }
    world
}

/// A log at level 4 with an issuer of logins.
fn begin() -> World {
    let mut world = with_level(CLAIMS);
    publish(&mut world);
    world
}

fn tag_of(number: u8) -> [u8; 32] {
    two_tags(number).open
}

fn auth(level: Level) -> Option<v1::Authentication> {
    let (issuer, method) = ("pro-sante-connect".into(), "card".into());
    Some(v1::Authentication { issuer, method, eidas_level: level.as_str().to_owned() })
}

/// As whom somebody logs in.
fn subject(number: u8, actor: &v1::Actor) -> Subject {
    let identity = two_tags(number).message.patient.clone().expect("named");
    match actor.system == patient().system {
        true => Subject::Patient { ins: identity.ins, oid: identity.oid },
        false => Subject::Person(name(actor)),
    }
}

/// How somebody logs in.
struct Login {
    subject: Subject,
    level: Level,
    at_ms: u64,
    origin: &'static str,
    proof: Vec<u8>,
}

impl Login {
    fn of(number: u8, actor: &v1::Actor) -> Self {
        let proof = two_tags(number).message.proof.clone();
        let proof = if actor.system == patient().system { proof } else { Vec::new() };
        Self { subject: subject(number, actor), level: Level::Substantial, at_ms: START_MS, origin: ORIGIN, proof }
    }

    /// The request, as the party `asker` will sign it, with this login.
    fn proves(&self, world: &mut World, asker: u8, request: v1::DecisionRequest) -> v1::DecisionRequest {
        let request = world.request(request).message().clone();
        let issuer = TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(self.origin).expect("a name"));
        let means = Means { idp: "pro-sante-connect".into(), method: "card".into(), level: self.level };
        let (session, key_id) = (SigningKey::from_seed(&[78; 32]), key(asker).key_id());
        let will = issuer.ask((&request, &key_id), &session, (&self.subject, &means), self.proof.clone(), self.at_ms);
        v1::DecisionRequest { will: Some(will), ..request }
    }
}

/// Somebody says that they logged in.
fn claims(number: u8, actor: &v1::Actor) -> v1::DecisionRequest {
    v1::DecisionRequest {
        auth: auth(Level::Substantial),
        ..may_read(tag_of(number), actor.clone(), &[item(&document(number))])
    }
}

/// Tells whether the document is permitted.
fn asked(world: &mut World, asker: u8, request: v1::DecisionRequest) -> Result<bool, Code> {
    let decided = world.ask_by(asker, request).map_err(|refusal| refusal.code)?;
    Ok(decided.decisions.iter().any(|made| !made.permitted.is_empty()))
}

/// Asks on the word of a party alone.
fn on_word(world: &mut World, asker: u8, number: u8, actor: &v1::Actor) -> Result<bool, Code> {
    asked(world, asker, claims(number, actor))
}

/// Asks with the actor's own login.
fn logged_in(world: &mut World, asker: u8, number: u8, actor: &v1::Actor) -> Result<bool, Code> {
    let request = Login::of(number, actor).proves(world, asker, claims(number, actor));
    asked(world, asker, request)
}

fn yes() -> Result<bool, Code> {
    Ok(true)
}

fn no() -> Result<bool, Code> {
    Ok(false)
}

/// An item belongs to one patient.
fn document(number: u8) -> String {
    format!("d{number}")
}

/// A document of this patient, which a hospital deposited that none of the parties is of.
fn deposited(world: &mut World, number: u8) {
    world.record(&[deposit(tag_of(number), doctor(9, "physician"), &[report(&document(number), &[])])]);
}

/// A decision of the patient, who is logged in.
fn decided(world: &mut World, number: u8, kind: Kind, details: &Value) -> LeafIndex {
    let record = says(kind, Some(tag_of(number)), patient(), details);
    let Login { subject, proof, at_ms, .. } = Login::of(number, &patient());
    let means = Means { idp: "pro-sante-connect".into(), method: "card".into(), level: Level::Substantial };
    let will = issuer().decide(&record, &SigningKey::from_seed(&[79; 32]), (&subject, &means), proof, at_ms);
    world.record(&[v1::Record { will: Some(will), ..record }])
}

fn joined(member: &v1::Actor, organisation: Option<&str>, until: u64) -> Value {
    json!({"professional": name(member), "until": rfc3339(until), "organisation": organisation})
}

/// Another of the structure, on whose word somebody joins a care team.
fn colleague() -> v1::Actor {
    v1::Actor { id: doctor(3, "nurse").id, ..doctor(1, "nurse") }
}

#[test]
fn at_level_3_a_party_says_who_asks_and_no_request_carries_a_login() {
    let mut world = with_level(ROLES);
    publish(&mut world);
    deposited(&mut world, 1);
    assert_eq!(logged_in(&mut world, STORE, 1, &patient()), Err(Code::MalformedRequest));
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), yes());
    let structure = doctor(1, "").organisation;
    let details = joined(&doctor(1, "physician"), Some(&structure), START_MS + HOUR_MS);
    let record = says(Kind::CARETEAM_JOINED, Some(tag_of(1)), colleague(), &details);
    world.try_record_by(BOTH, &[record]).expect("on another's word");
    assert_eq!(on_word(&mut world, BOTH, 1, &doctor(1, "physician")), yes());
    raise(&mut world, CLAIMS);
    assert_eq!(on_word(&mut world, BOTH, 1, &doctor(1, "physician")), no());
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), Err(Code::AuthenticationMissing));
}

#[test]
fn without_an_issuer_on_record_words_are_taken_as_before() {
    let mut world = with_level(CLAIMS);
    deposited(&mut world, 1);
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), yes());
    assert_eq!(logged_in(&mut world, STORE, 1, &patient()), Err(Code::LoginIssuer));
    publish(&mut world);
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), Err(Code::AuthenticationMissing));
    assert_eq!(logged_in(&mut world, STORE, 1, &patient()), yes());
}

#[test]
fn the_patient_asks_with_a_login_for_this_request_and_no_other() {
    let mut world = begin();
    deposited(&mut world, 1);
    let me = patient();
    assert_eq!(on_word(&mut world, STORE, 1, &me), Err(Code::AuthenticationMissing));
    let login = || Login::of(1, &patient());
    let mut asks = |login: Login, change: &dyn Fn(&mut v1::DecisionRequest)| {
        let mut request = login.proves(&mut world, STORE, claims(1, &patient()));
        change(&mut request);
        asked(&mut world, STORE, request)
    };
    let same = |_: &mut v1::DecisionRequest| ();
    assert_eq!(asks(login(), &same), yes());
    assert_eq!(asks(Login { subject: subject(2, &patient()), ..login() }, &same), Err(Code::LoginSubject));
    let other_proof = two_tags(2).message.proof.clone();
    assert_eq!(asks(Login { proof: other_proof, ..login() }, &same), Err(Code::LoginSubject));
    assert_eq!(asks(Login { proof: Vec::new(), ..login() }, &same), Err(Code::LoginSubject));
    assert_eq!(asks(Login { origin: "elsewhere.example/log", ..login() }, &same), Err(Code::LoginIssuer));
    assert_eq!(asks(Login { at_ms: START_MS - 2 * HOUR_MS, ..login() }, &same), Err(Code::LoginExpired));
    assert_eq!(asks(Login { at_ms: START_MS + HOUR_MS, ..login() }, &same), Err(Code::LoginNotYet));
    assert_eq!(asks(Login { level: Level::Low, ..login() }, &same), Err(Code::LoginLevel));
    let more = |request: &mut v1::DecisionRequest| request.items.push(item("d9"));
    assert_eq!(asks(login(), &more), Err(Code::LoginSignature), "one item more than the session signed");
    let another = |request: &mut v1::DecisionRequest| request.nonce = vec![1; 16];
    assert_eq!(asks(login(), &another), Err(Code::LoginSignature), "another request");
    let stolen = |request: &mut v1::DecisionRequest| {
        request.will.as_mut().expect("proven").session_key = key(9).public_key().to_bytes().to_vec();
    };
    assert_eq!(asks(login(), &stolen), Err(Code::LoginNotBound), "a session of somebody else's");
    // A weak login, and no more is said.
    let weak = v1::DecisionRequest { auth: auth(Level::Low), ..claims(1, &patient()) };
    let weak = Login { level: Level::Low, ..login() }.proves(&mut world, STORE, weak);
    assert_eq!(asked(&mut world, STORE, weak), Err(Code::AuthenticationMissing));
}

#[test]
fn a_request_that_was_proven_is_decided_once_and_for_the_party_that_asked() {
    let mut world = begin();
    deposited(&mut world, 1);
    register(&mut world, 40, 1, Roles::DECIDER);
    let request = Login::of(1, &patient()).proves(&mut world, STORE, claims(1, &patient()));
    let first = world.ask_by(STORE, request.clone()).expect("decided");
    let again = world.ask_by(STORE, request.clone()).expect("decided");
    assert!(again.repeated && again.decisions == first.decisions);
    // Another party saw it, and hands it in as its own.
    assert_eq!(asked(&mut world, 40, request), Err(Code::LoginSignature));
}

#[test]
fn a_trusted_person_asks_with_their_own_login() {
    let mut world = begin();
    deposited(&mut world, 1);
    let (marie, stranger) = (person("marie"), person("stranger"));
    let trusted = json!({
        "representative": name(&marie), "relation": "TRUSTED_PERSON", "activated": true, "powers": ["read"],
    });
    decided(&mut world, 1, Kind::REPRESENTATION_REGISTERED, &trusted);
    assert_eq!(on_word(&mut world, STORE, 1, &marie), Err(Code::AuthenticationMissing));
    // Who represents nobody is told the same.
    assert_eq!(on_word(&mut world, STORE, 1, &stranger), Err(Code::AuthenticationMissing));
    assert_eq!(logged_in(&mut world, STORE, 1, &stranger), no());
    let as_marie = Login::of(1, &stranger).proves(&mut world, STORE, claims(1, &marie));
    assert_eq!(asked(&mut world, STORE, as_marie), Err(Code::LoginSubject));
    assert_eq!(logged_in(&mut world, STORE, 1, &marie), yes());
    // A doctor who represents the patient, of another structure.
    let aunt = json!({"representative": name(&doctor(5, "")), "relation": "CAREGIVER", "powers": ["read"]});
    decided(&mut world, 1, Kind::REPRESENTATION_REGISTERED, &aunt);
    let aunt = v1::Actor { organisation: doctor(1, "").organisation, ..doctor(5, "physician") };
    assert_eq!(on_word(&mut world, STORE, 1, &aunt), Err(Code::AuthenticationMissing));
    assert_eq!(logged_in(&mut world, STORE, 1, &aunt), yes());
}

#[test]
fn a_right_that_names_a_professional_needs_their_login_or_their_structure() {
    let mut world = begin();
    // Of another structure, whom a party names as acting for its own.
    let (dr, as_far) =
        (doctor(1, "physician"), v1::Actor { organisation: doctor(2, "").organisation, ..doctor(1, "physician") });
    let (near, until) = (dr.organisation.clone(), START_MS + HOUR_MS);
    let grant = |organisation: Option<&str>| {
        let grantee = match organisation {
            None => json!({"professional": name(&doctor(1, ""))}),
            Some(organisation) => json!({"professional": name(&doctor(1, "")), "organisation": organisation}),
        };
        json!({"id": "c1", "effect": "permit", "grantee": grantee, "actions": ["read"]})
    };
    let excepted = json!({"id": "c1", "effect": "deny", "grantee": "anyone",
        "except": [{"effect": "permit", "grantee": {"professional": name(&dr)}}]});
    let own_deposit = |number: u8| deposit(tag_of(number), doctor(1, "physician"), &[report(&document(number), &[])]);
    let glass = |number: u8| break_glass(Some(tag_of(number)), "bg", doctor(1, "physician"), until);

    deposited(&mut world, 0);
    decided(&mut world, 0, Kind::CARETEAM_JOINED, &json!({"professional": name(&dr), "until": rfc3339(until)}));
    deposited(&mut world, 1);
    decided(&mut world, 1, Kind::CARETEAM_JOINED, &joined(&dr, Some(&near), until));
    deposited(&mut world, 2);
    decided(&mut world, 2, Kind::CONSENT_DIRECTIVE, &grant(None));
    deposited(&mut world, 3);
    decided(&mut world, 3, Kind::CONSENT_DIRECTIVE, &grant(Some(&near)));
    deposited(&mut world, 4);
    decided(&mut world, 4, Kind::ATTENDING_DECLARED, &json!({"professional": name(&dr)}));
    world.try_record_by(DESK, &[own_deposit(5)]).expect("its own");
    deposited(&mut world, 6);
    world.try_record_by(DESK, &[glass(6)]).expect("an emergency");
    deposited(&mut world, 7);
    decided(&mut world, 7, Kind::CONSENT_DIRECTIVE, &excepted);

    let ask = |world: &mut World, asker: u8, number: u8, actor: &v1::Actor, login: bool| {
        let purpose = if number == 6 { "BTG" } else { "TREAT" };
        let request = v1::DecisionRequest { purpose: purpose.into(), ..claims(number, actor) };
        let request = if login { Login::of(number, actor).proves(world, asker, request) } else { request };
        asked(world, asker, request)
    };
    for (number, near_on_word, far_logged_in) in [
        (0, no(), yes()),
        // The patient permitted it within the structure alone.
        (1, yes(), no()),
        (2, no(), yes()),
        (3, yes(), no()),
        (4, no(), yes()),
        (5, yes(), yes()),
        (6, yes(), yes()),
        (7, no(), yes()),
    ] {
        assert_eq!(ask(&mut world, FAR, number, &as_far, false), no(), "patient {number}, far, on its word");
        assert_eq!(ask(&mut world, STORE, number, &dr, false), near_on_word, "patient {number}, near, on its word");
        assert_eq!(ask(&mut world, STORE, number, &dr, true), yes(), "patient {number}, near, logged in");
        assert_eq!(ask(&mut world, FAR, number, &as_far, true), far_logged_in, "patient {number}, far, logged in");
    }
}

#[test]
fn what_a_party_alone_says_opens_nothing_to_it() {
    let mut world = begin();
    let (dr, until) = (doctor(1, "physician"), START_MS + HOUR_MS);
    let structure = dr.organisation.clone();
    let team = says(Kind::CARETEAM_JOINED, Some(tag_of(0)), colleague(), &joined(&dr, Some(&structure), until));
    let collected = json!({"collector": name(&colleague()), "capacity": "nurse", "method": "paper",
        "evidence_sha256": "01".repeat(32)});
    let paper = |id: &str| {
        json!({"id": id, "effect": "permit", "grantee": {"organisation": structure}, "actions": ["read"],
            "collected": collected})
    };
    let paper = |number: u8| v1::Record {
        auth: None,
        ..says(Kind::CONSENT_DIRECTIVE, Some(tag_of(number)), patient(), &paper("c1"))
    };
    deposited(&mut world, 0);
    world.try_record_by(BOTH, &[team]).expect("on another's word");
    deposited(&mut world, 1);
    world.try_record_by(BOTH, &[paper(1)]).expect("collected");
    deposited(&mut world, 2);
    world.try_record_by(DESK, &[paper(2)]).expect("collected");
    for reopened in [false, true] {
        if reopened {
            // Folded anew from what is stored.
            world.reopen();
        }
        for number in [0, 1] {
            assert_eq!(on_word(&mut world, BOTH, number, &dr), no(), "patient {number}, its own word");
            assert_eq!(on_word(&mut world, STORE, number, &dr), yes(), "patient {number}, another party's");
            assert_eq!(logged_in(&mut world, BOTH, number, &dr), yes(), "patient {number}, logged in");
        }
        assert_eq!(on_word(&mut world, BOTH, 2, &dr), yes(), "the desk collected it");
    }
    // What it denies counts for everybody.
    let details = json!({"id": "c2", "effect": "deny", "grantee": "anyone", "collected": collected});
    let denied = v1::Record { auth: None, ..says(Kind::CONSENT_DIRECTIVE, Some(tag_of(2)), patient(), &details) };
    world.try_record_by(BOTH, &[denied]).expect("collected");
    assert_eq!(on_word(&mut world, BOTH, 2, &dr), no());
    assert_eq!(logged_in(&mut world, STORE, 2, &dr), no());
}

#[test]
fn whom_a_profession_means_has_logged_in_or_acts_for_a_structure_that_is_named() {
    let mut world = begin();
    let dr = doctor(1, "physician");
    let permits = |world: &mut World, number: u8, grantee: &Value| {
        deposited(world, number);
        let details = json!({"id": "c1", "effect": "permit", "grantee": grantee, "actions": ["read"]});
        decided(world, number, Kind::CONSENT_DIRECTIVE, &details);
    };
    permits(&mut world, 1, &json!({"profession": "physician"}));
    permits(&mut world, 2, &json!({"profession": "physician", "organisation": dr.organisation}));
    let excepted = json!({"id": "c1", "effect": "deny", "grantee": "anyone", "except": [
        {"effect": "permit", "grantee": {"profession": "physician"}, "actions": ["read"]}]});
    deposited(&mut world, 3);
    decided(&mut world, 3, Kind::CONSENT_DIRECTIVE, &excepted);
    for number in [1, 3] {
        assert_eq!(on_word(&mut world, STORE, number, &dr), no(), "patient {number}: a party says who is a physician");
    }
    assert_eq!(logged_in(&mut world, STORE, 1, &dr), yes());
    assert_eq!(on_word(&mut world, STORE, 2, &dr), yes());
}

#[test]
fn a_patients_own_device_asks_for_its_patient_alone() {
    // Of before: its registration names the tag.
    let mut world = with_level(ROLES);
    let device = |number: u8| PartyRegistration {
        patient_tag: Some(tag_of(number)),
        ..registration(50, Roles::PATIENT | Roles::DECIDER)
    };
    assert_eq!(code(&world.act(&Act::Registered(device(1)))), None);
    raise(&mut world, CLAIMS);
    publish(&mut world);
    deposited(&mut world, 1);
    deposited(&mut world, 2);
    let plain = |number: u8| v1::DecisionRequest { auth: None, ..claims(number, &patient()) };
    assert_eq!(asked(&mut world, 50, plain(1)), yes());
    assert_eq!(asked(&mut world, 50, plain(2)), Err(Code::NotVouched));
    let index = world.ask_by(50, plain(1)).expect("decided").decisions[0].index;
    assert!(world.decision(index).private_part().asker.as_ref().is_some_and(|asker| asker.own_key));
}

#[test]
fn in_a_log_of_real_persons_no_word_is_taken_even_before_an_issuer_is_published() {
    let real = |level| with_parties(World::of(&genesis_of(false), quiet()), level);
    let masked = |at: u64| v1::Record {
        items: vec![item(&document(1))],
        occurred_at_ms: START_MS + at,
        ..says(Kind::ITEM_MASKED, Some(tag_of(1)), patient(), &Value::Null)
    };
    let mut world = real(ROLES);
    deposited(&mut world, 1);
    world.record(&[masked(0)]);
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), yes());
    raise(&mut world, CLAIMS);
    assert_eq!(world.refused(masked(1)), Code::LoginIssuer);
    assert_eq!(on_word(&mut world, STORE, 1, &patient()), Err(Code::LoginIssuer));
    assert_eq!(on_word(&mut world, STORE, 1, &person("marie")), Err(Code::LoginIssuer));
    // On paper, as long as there is nothing else, and what professionals do.
    let structure = doctor(1, "").organisation;
    let collected = json!({"collector": name(&colleague()), "capacity": "nurse", "method": "paper",
        "evidence_sha256": "01".repeat(32)});
    let paper = json!({"id": "c1", "effect": "permit", "grantee": {"organisation": structure}, "actions": ["read"],
        "collected": collected});
    let paper = says(Kind::CONSENT_DIRECTIVE, Some(tag_of(2)), patient(), &paper);
    deposited(&mut world, 2);
    world.try_record_by(DESK, &[v1::Record { auth: None, ..paper }]).expect("collected");
    assert_eq!(on_word(&mut world, STORE, 2, &doctor(1, "physician")), yes());
    deposited(&mut world, 3);
    let team = joined(&doctor(1, "physician"), Some(&structure), START_MS + HOUR_MS);
    let team = says(Kind::CARETEAM_JOINED, Some(tag_of(3)), colleague(), &team);
    world.try_record_by(DESK, &[team]).expect("on another's word");
    assert_eq!(on_word(&mut world, STORE, 3, &doctor(1, "physician")), yes());
}

#[test]
fn what_proves_a_closing_stays_though_a_later_one_was_not_proven() {
    let mut world = with_level(ROLES);
    let device = PartyRegistration { patient_tag: Some(tag_of(1)), ..registration(50, Roles::PATIENT) };
    assert_eq!(code(&world.act(&Act::Registered(device))), None);
    raise(&mut world, CLAIMS);
    publish(&mut world);
    let proven = decided(&mut world, 1, Kind::SPACE_CLOSED, &Value::Null);
    let again = v1::Record { auth: None, ..says(Kind::SPACE_CLOSED, Some(tag_of(1)), patient(), &Value::Null) };
    world.try_record_by(50, &[again]).expect("the patient's own key");
    // Without it the closing would be somebody's word, and a broken glass would open what the patient shut.
    assert_eq!(world.erase(tag_of(1), &[proven]), Err(Code::NotErasable));
    decided(&mut world, 1, Kind::SPACE_OPENED, &Value::Null);
    assert_eq!(world.erase(tag_of(1), &[proven]), Ok(()));
}
