//! With the key of a service that may record, and no login of the patient: somebody else's will.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sillage_client::author::{TagRequest, tags_of};
use sillage_client::channel::Timeouts;
use sillage_client::profile::{Profile, load_seed};
use sillage_client::session::Session;
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_rules::act::Act;
use sillage_rules::line::RecordLine;
use sillage_rules::record::act_message;
use sillage_rules::will::Level;
use sillage_rules::will::binding::{session_nonce, sign_in_session};
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_tests::authority::Authority;
use sillage_tests::health::{Patient, in_s, rpps};
use sillage_tests::lines::{OID, now_ms};
use sillage_tests::world::{Run, World};

const VICTIM: Patient = Patient(7_700);
const OTHER: Patient = Patient(7_701);

/// The profile of a service that has every right of an author, and no issuer of logins at hand.
fn without_issuer(world: &World) -> PathBuf {
    let profile = std::fs::read_to_string(world.profile_file()).expect("dev wrote it");
    let kept = profile.lines().filter(|line| !line.starts_with("test_issuer"));
    let path = world.dir().join("claims.toml");
    std::fs::write(&path, kept.collect::<Vec<_>>().join("\n")).expect("a profile");
    path
}

/// What an attacker makes a will of; as it is, the victim's own.
struct Forge {
    issuer: TestIssuer,
    origin: Origin,
    session: SigningKey,
    subject: Subject,
    means: Means,
    proof: Vec<u8>,
    tag: [u8; 32],
    at_ms: u64,
}

impl Forge {
    fn new(world: &World) -> Self {
        let request = TagRequest { ins: VICTIM.ins(), oid: OID.to_owned(), secret: false };
        let (tag, proof) = world.wait(async {
            let session = Session::open(world.profile(), Timeouts::default()).await.expect("a session");
            tags_of(&session).resolve_proven(&[request]).await.expect("a tag").remove(0)
        });
        let key = load_seed(&world.dir().join("keys/test-issuer.key")).expect("dev made it");
        let origin = Origin::new(world.profile().origin).expect("a name");
        Self {
            issuer: TestIssuer::new(key, origin.clone()),
            origin,
            session: SigningKey::generate().expect("randomness"),
            subject: Subject::Patient { ins: VICTIM.ins(), oid: OID.to_owned() },
            means: Means { idp: "FranceConnect+".to_owned(), method: "app".to_owned(), level: Level::Substantial },
            proof: proof.to_vec(),
            tag: tag.to_bytes(),
            at_ms: now_ms(),
        }
    }

    fn claims(&self) -> Value {
        let nonce = session_nonce(&self.origin, self.session.public_key().as_bytes());
        self.issuer.claims(&nonce, &self.subject, &self.means, self.at_ms)
    }

    /// The victim closes their space, with this token.
    fn line(&self, token: String) -> RecordLine {
        let line = json!({
            "kind": "space.closed", "patient": {"ins": VICTIM.ins(), "oid": OID},
            "actor": {"system": "urn:sillage:patient", "id": "self"}, "occurred_at": in_s(0),
            "auth": {"issuer": "FranceConnect+", "method": "app", "eidas_level": "substantial"},
        });
        let line = RecordLine::parse(line.to_string().as_bytes()).expect("a line");
        let record = line.to_record(Some(&self.tag)).expect("a record");
        let will = sign_in_session(&self.origin, record.message(), &self.session, token, self.proof.clone());
        RecordLine { will: Some(will.into()), ..line }
    }

    fn good(&self) -> RecordLine {
        self.line(self.issuer.sign(&self.claims()))
    }
}

/// Hands a line in as a service without an issuer.
fn hand_in(world: &World, name: &str, line: &RecordLine) -> Run {
    let file = world.write(&format!("wills/{name}.ndjson"), format!("{}\n", line.to_json()));
    world.sillage_as(&without_issuer(world), &["record", "--file", &file.to_string_lossy()])
}

/// A service says that the patient was logged in.
pub fn a_service_that_claims_a_login_decides_nothing(world: &mut World) {
    let (claims, doctor) = (without_issuer(world), rpps(77));
    let grant = ["consent", "grant", "--professional", &doctor, "--action", "read", "--id", "forged"];
    for decision in [&grant[..], &["mask", "--items", "d1", "--force"]] {
        VICTIM.says_through(world, &claims, decision).refused("AUTHENTICATION_MISSING");
        VICTIM.says(world, decision).ok();
    }
    let said = world.sillage(&["consent", "list", "--patient", &VICTIM.ins(), "--oid", OID]).ok();
    assert!(said.stdout.contains("prouvé par une connexion avec urn:example:idp, niveau substantiel"), "{said}");
}

/// Each thing that can be wrong with a login, one at a time, against a login that is right.
pub fn a_login_that_is_not_the_patients_for_this_proves_nothing(world: &mut World) {
    let refused = |name: &str, line: &RecordLine, code: &str| drop(hand_in(world, name, line).refused(code));
    let forge = Forge::new(world);
    let changed = |change: fn(&mut Value)| {
        let mut claims = forge.claims();
        change(&mut claims);
        forge.line(forge.issuer.sign(&claims))
    };
    let other = || Subject::Patient { ins: OTHER.ins(), oid: OID.to_owned() };
    refused("other", &Forge { subject: other(), ..Forge::new(world) }.good(), "LOGIN_SUBJECT");
    refused("issuer", &changed(|claims| claims["iss"] = json!("https://evil.example")), "LOGIN_ISSUER");
    refused("audience", &changed(|claims| claims["aud"] = json!("shop")), "LOGIN_AUDIENCE");
    refused("old", &Forge { at_ms: now_ms() - 7_200_000, ..Forge::new(world) }.good(), "LOGIN_EXPIRED");
    refused("early", &Forge { at_ms: now_ms() + 600_000, ..Forge::new(world) }.good(), "LOGIN_NOT_YET");
    refused("weak", &changed(|claims| claims["acr"] = json!("eidas1")), "LOGIN_LEVEL");
    let unsigned = json!({"alg": "none", "kid": "test-1"}).to_string();
    let unsigned = [unsigned, forge.claims().to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    refused("unsigned", &forge.line(format!("{unsigned}.")), "LOGIN_ALGORITHM");
    let stranger = TestIssuer::new(SigningKey::from_seed(&[9; 32]), forge.origin.clone());
    refused("stranger", &forge.line(stranger.sign(&forge.claims())), "LOGIN_SIGNATURE");
    // A token that was seen, in a session of the attacker's own.
    let stolen = Forge::new(world).line(forge.issuer.sign(&forge.claims()));
    refused("stolen", &stolen, "LOGIN_NOT_BOUND");
    let elsewhere = Forge { origin: Origin::new("elsewhere.example/log").expect("a name"), ..Forge::new(world) };
    refused("elsewhere", &elsewhere.line(forge.issuer.sign(&elsewhere.claims())), "LOGIN_NOT_BOUND");
    let good = forge.good();
    let altered = RecordLine { outcome_text: "and something else".to_owned(), ..good.clone() };
    refused("altered", &altered, "LOGIN_SIGNATURE");

    hand_in(world, "good", &good).ok();
    // Another service that saw the record hands it in once more.
    let folder = world.path("thief");
    let register = [
        "keys",
        "register",
        "--name",
        "thief",
        "--roles",
        "consent-desk,tag",
        "--vouch-for-all",
        "--out",
        &folder.to_string_lossy(),
    ];
    world.sillage(&register).ok();
    let file = world.write("wills/again.ndjson", format!("{}\n", good.to_json()));
    let again = world.sillage_as(&folder.join("sillage.toml"), &["record", "--file", &file.to_string_lossy()]);
    again.refused("LOGIN_REPLAYED");
}

/// The authority withdraws an issuer: its logins prove nothing, and neither does anybody's word in their place.
pub fn an_issuer_that_was_withdrawn_proves_nothing(world: &mut World) {
    let issuer = Forge::new(world).issuer.published();
    let publish = |world: &World, issuer: sillage_rules::will::issuer::Issuer, label: &str| {
        let profile = Profile::load(&world.authority_file()).expect("dev wrote it");
        world.wait(async {
            let session = Session::open(profile, Timeouts::default()).await.expect("a session");
            let act = Act::IssuerPublished(Box::new(issuer));
            Authority::open(&session, label).await.send(act_message(&act, now_ms())).await
        })
    };
    let withdrawn = sillage_rules::will::issuer::Issuer { keys: Vec::new(), ..issuer.clone() };
    publish(world, withdrawn, "withdrawn").expect("the authority's act");
    let unblock = ["mask", "--items", "d2", "--force"];
    OTHER.says(world, &unblock).refused("LOGIN_ISSUER");
    OTHER.says_through(world, &without_issuer(world), &unblock).refused("AUTHENTICATION_MISSING");
    publish(world, issuer, "again").expect("the authority's act");
    OTHER.says(world, &unblock).ok();
}
