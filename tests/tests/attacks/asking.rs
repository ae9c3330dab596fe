//! With the key of a service that may ask for decisions, and no login of the patient, of whom they trust, or of who treats them.

use std::path::PathBuf;

use serde_json::json;
use sillage_client::profile::{Profile, load_seed};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::{
    Actor, Authentication, DecisionRequest, Item, PatientIdentity, ResolveTagsRequest, TagPairing, Will,
};
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_tests::health::{Patient, in_s, rpps};
use sillage_tests::lines::{OID, now_ms};
use sillage_tests::wire;
use sillage_tests::world::World;

const VICTIM: Patient = Patient(7_800);
const OTHER: Patient = Patient(7_801);
const DOCUMENT: &str = "urn:example:asked";
const RPPS: &str = "urn:oid:1.2.250.1.71.4.2.1";
const HOSPITAL: &str = "750712184";
const CLINIC: &str = "690000120";
const ISSUER: &str = "urn:example:idp";

/// A service that asks: it vouches for one structure, professionals, and one issuer of logins.
struct Service<'w> {
    world: &'w World,
    profile: Profile,
}

impl<'w> Service<'w> {
    fn begin(world: &'w World, name: &str, roles: &str, structure: &str) -> Self {
        let folder = world.path(name);
        let out = folder.display().to_string();
        let args =
            ["keys", "register", "--name", name, "--role", roles, "--structure", structure, "--actor-system", RPPS];
        world.sillage_as(&world.authority_file(), &[&args[..], &["--issuer", ISSUER, "--out", &out]].concat()).ok();
        let profile = Profile::load(&folder.join("sillage.toml")).expect("just written");
        Self { world, profile }
    }

    fn file(&self) -> PathBuf {
        self.profile.dir.join("sillage.toml")
    }

    /// What `actor` asks of the victim's document, and the proof of the two tags.
    fn asks(&self, actor: &Actor, auth: bool) -> (DecisionRequest, TagPairing) {
        let mut rpc = wire::rpc(&self.profile, 1, Some(&wire::pem_of(&self.profile)));
        let patient = PatientIdentity { ins: VICTIM.ins(), oid: OID.to_owned() };
        let asked = ResolveTagsRequest { identities: vec![patient.clone()] };
        let tags = self.world.wait(rpc.resolve_tags(asked)).expect("resolved").into_inner().tags.remove(0);
        let random = SigningKey::generate().expect("randomness").public_key().to_bytes();
        let auth = auth.then(|| Authentication {
            issuer: ISSUER.to_owned(),
            method: "eid".to_owned(),
            eidas_level: "substantial".to_owned(),
        });
        let request = DecisionRequest {
            version: 1,
            tag: tags.tag,
            secret_tag: tags.secret_tag,
            actor: Some(actor.clone()),
            auth,
            action: "read".to_owned(),
            purpose: "TREAT".to_owned(),
            items: vec![Item { id: DOCUMENT.to_owned(), ..Item::default() }],
            requested_at_ms: now_ms(),
            nonce: random[..16].to_vec(),
            correlation: None,
            will: None,
        };
        (request, TagPairing { patient: Some(patient), proof: tags.proof, secret_proof: tags.secret_proof })
    }

    /// Whether the document is permitted, or the code of the refusal.
    fn sends(&self, (request, pairing): (DecisionRequest, TagPairing)) -> Result<bool, String> {
        let signer = wire::signer(&self.profile);
        let mut rpc = wire::rpc(&self.profile, 1, Some(&wire::pem_of(&self.profile)));
        let answer = self.world.wait(rpc.authorize(wire::ask(&signer, vec![(request, pairing)])));
        let answer = answer.map_err(|status| wire::info(&status).code)?.into_inner().decisions.remove(0);
        match answer.error {
            Some(error) => Err(error.code),
            None => Ok(!answer.permitted.is_empty()),
        }
    }

    /// On the service's word alone.
    fn on_word(&self, actor: &Actor, auth: bool) -> Result<bool, String> {
        self.sends(self.asks(actor, auth))
    }

    /// With this login.
    fn with(&self, actor: &Actor, login: &Login) -> Result<bool, String> {
        let (request, pairing) = self.asks(actor, true);
        let will = login.for_request(self, &request, &pairing);
        self.sends((DecisionRequest { will: Some(will), ..request }, pairing))
    }
}

/// A login at the log's own issuer: as it is, of the one who is named, now.
struct Login {
    issuer: TestIssuer,
    subject: Subject,
    at_ms: u64,
}

impl Login {
    fn of(world: &World, subject: Subject) -> Self {
        let key = load_seed(&world.dir().join("keys/test-issuer.key")).expect("dev made it");
        let origin = Origin::new(world.profile().origin).expect("a name");
        Self { issuer: TestIssuer::new(key, origin), subject, at_ms: now_ms() }
    }

    fn for_request(&self, service: &Service<'_>, request: &DecisionRequest, pairing: &TagPairing) -> Will {
        let session = SigningKey::generate().expect("randomness");
        let means = Means { idp: ISSUER.to_owned(), method: "eid".to_owned(), level: Level::Substantial };
        let key_id = wire::signer(&service.profile).key.key_id();
        let by_patient = matches!(self.subject, Subject::Patient { .. });
        let proof = if by_patient { pairing.proof.clone() } else { Vec::new() };
        self.issuer.ask((request, &key_id), &session, (&self.subject, &means), proof, self.at_ms)
    }
}

fn patient() -> Actor {
    Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..Actor::default() }
}

fn patient_login(world: &World, whose: Patient) -> Login {
    Login::of(world, Subject::Patient { ins: whose.ins(), oid: OID.to_owned() })
}

fn doctor(number: u32, structure: &str) -> Actor {
    Actor {
        system: RPPS.to_owned(),
        id: rpps(number),
        role: "physician".to_owned(),
        organisation: structure.to_owned(),
        ..Actor::default()
    }
}

fn person_login(world: &World, actor: &Actor) -> Login {
    Login::of(world, Subject::Person(format!("{}|{}", actor.system, actor.id)))
}

fn refused(code: &str) -> Result<bool, String> {
    Err(code.to_owned())
}

/// A service says that the patient is logged in, or brings a login that is another's, old, or for something else.
pub fn nobody_asks_as_the_patient_without_their_login(world: &mut World) {
    VICTIM.deposits(world, &rpps(84), &[(DOCUMENT, "REPORT", &[])]);
    let service = Service::begin(world, "asks", "decider,tag", CLINIC);
    let me = patient();
    assert_eq!(service.on_word(&me, true), refused("AUTHENTICATION_MISSING"));
    assert_eq!(service.with(&me, &patient_login(world, OTHER)), refused("LOGIN_SUBJECT"));
    let old = Login { at_ms: now_ms() - 7_200_000, ..patient_login(world, VICTIM) };
    assert_eq!(service.with(&me, &old), refused("LOGIN_EXPIRED"));
    let elsewhere = Origin::new("elsewhere.example/log").expect("a name");
    let elsewhere = TestIssuer::new(SigningKey::from_seed(&[9; 32]), elsewhere);
    let elsewhere = Login { issuer: elsewhere, ..patient_login(world, VICTIM) };
    assert_eq!(service.with(&me, &elsewhere), refused("LOGIN_ISSUER"));
    let forged = TestIssuer::new(SigningKey::from_seed(&[9; 32]), Origin::new(world.profile().origin).expect("a name"));
    let forged = Login { issuer: forged, ..patient_login(world, VICTIM) };
    assert_eq!(service.with(&me, &forged), refused("LOGIN_SIGNATURE"));

    let login = patient_login(world, VICTIM);
    assert_eq!(service.with(&me, &login), Ok(true));
    let (request, pairing) = service.asks(&me, true);
    let will = login.for_request(&service, &request, &pairing);
    // Of another request: what the session signed is stolen from it.
    let (another, _) = service.asks(&me, true);
    let moved = DecisionRequest { will: Some(will.clone()), ..another };
    assert_eq!(service.sends((moved, pairing.clone())), refused("LOGIN_SIGNATURE"));
    // Another service saw the request, and hands it in as its own.
    let thief = Service::begin(world, "asks-too", "decider,tag", CLINIC);
    let proven = DecisionRequest { will: Some(will), ..request };
    assert_eq!(thief.sends((proven.clone(), pairing.clone())), refused("LOGIN_SIGNATURE"));
    assert_eq!(service.sends((proven, pairing)), Ok(true));
}

/// The same of whom the patient trusts; who isn't, is told the same.
pub fn nobody_asks_as_the_trusted_person_without_their_login(world: &mut World) {
    let person = |id: &str| Actor { system: "urn:sillage:person".to_owned(), id: id.to_owned(), ..Actor::default() };
    let (trusted, stranger) = (person("trusted"), person("stranger"));
    let details = json!({
        "representative": "urn:sillage:person|trusted", "relation": "TRUSTED_PERSON", "activated": true, "powers": ["read"],
    });
    decided(world, "representation.registered", &details);
    let service = Service::begin(world, "trusts", "decider,tag", CLINIC);
    for who in [&trusted, &stranger] {
        assert_eq!(service.on_word(who, true), refused("AUTHENTICATION_MISSING"));
    }
    assert_eq!(service.with(&trusted, &person_login(world, &stranger)), refused("LOGIN_SUBJECT"));
    assert_eq!(service.with(&stranger, &person_login(world, &stranger)), Ok(false));
    assert_eq!(service.with(&trusted, &person_login(world, &trusted)), Ok(true));
}

/// A party names its professionals itself: those of others aren't among them, and those of its own aren't in a care team
/// because it says so.
pub fn nobody_asks_as_a_member_of_the_care_team_on_their_own_partys_word(world: &mut World) {
    // The patient took a doctor into their care team, whom a clinic names as its own.
    let theirs = doctor(85, CLINIC);
    decided(world, "careteam.joined", &json!({"professional": format!("{RPPS}|{}", theirs.id), "until": in_s(3_600)}));
    let both = Service::begin(world, "clinic", "consent-desk,decider,tag", CLINIC);
    assert_eq!(both.on_word(&theirs, false), Ok(false));
    assert_eq!(both.with(&theirs, &person_login(world, &doctor(86, CLINIC))), refused("LOGIN_SUBJECT"));
    assert_eq!(both.with(&theirs, &person_login(world, &theirs)), Ok(true));

    // A colleague says that a doctor of the clinic joined.
    let (own, colleague) = (doctor(87, CLINIC), doctor(88, CLINIC));
    joined(world, &both, (&own, &colleague), CLINIC);
    assert_eq!(both.on_word(&own, false), Ok(false));
    assert_eq!(both.with(&own, &person_login(world, &own)), Ok(true));

    // A hospital has a key for its desk and one for its records: what one says opens something to the other.
    let desk = Service::begin(world, "desk", "consent-desk,tag", HOSPITAL);
    let store = Service::begin(world, "store", "decider,tag", HOSPITAL);
    let (own, colleague) = (doctor(89, HOSPITAL), doctor(90, HOSPITAL));
    joined(world, &desk, (&own, &colleague), HOSPITAL);
    assert_eq!(store.on_word(&own, false), Ok(true));
    // Within the hospital alone.
    assert_eq!(both.on_word(&doctor(89, CLINIC), false), Ok(false));
}

/// What the victim decides, logged in.
fn decided(world: &World, kind: &str, details: &serde_json::Value) {
    world.record(&[json!({
        "kind": kind, "patient": {"ins": VICTIM.ins(), "oid": OID}, "details": details, "occurred_at": in_s(0),
        "actor": {"system": "urn:sillage:patient", "id": "self"},
        "auth": {"issuer": ISSUER, "method": "eid", "eidas_level": "substantial"},
    })]);
}

/// The service's desk: one of the structure joins the care team on a colleague's word.
fn joined(world: &World, desk: &Service<'_>, (member, by): (&Actor, &Actor), structure: &str) {
    let line = json!({
        "kind": "careteam.joined", "patient": {"ins": VICTIM.ins(), "oid": OID}, "occurred_at": in_s(0),
        "actor": {"system": by.system, "id": by.id, "role": by.role, "organisation": by.organisation},
        "details": {"professional": format!("{RPPS}|{}", member.id), "until": in_s(3_600), "organisation": structure},
    });
    let file = world.write(&format!("asking/{}.ndjson", member.id), format!("{line}\n"));
    world.sillage_as(&desk.file(), &["record", "--file", &file.to_string_lossy()]).ok();
}
