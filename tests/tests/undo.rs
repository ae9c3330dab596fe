//! A service's key is stolen and writes false decisions for a hundred patients. The authority voids them: each patient is
//! decided on as before, finds it in the trace, and can prove it. What touches many, two authorities sign.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_tests::health::{Patient, Question, in_s, rpps};
use sillage_tests::lines::{OID, ndjson};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{World, run, sillage};

const FIRST: u64 = 6_000;
const COUNT: u64 = 100;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            a_hundred_patients_decide,
            a_stolen_key_takes_it_all_away,
            the_authority_voids_what_it_signed,
            each_patient_is_told_and_can_prove_it,
            a_second_authority_has_to_sign,
            several_authorities_erase_a_patient,
        ],
    )
}

fn doctor() -> String {
    rpps(61)
}

fn patients() -> impl Iterator<Item = Patient> {
    (FIRST..FIRST + COUNT).map(Patient)
}

fn line(patient: Patient, kind: &str, details: &Value) -> Value {
    json!({
        "kind": kind, "patient": {"ins": patient.ins(), "oid": OID},
        "actor": {"system": "urn:sillage:patient", "id": "self"},
        "auth": {"issuer": "urn:example:idp", "method": "eid", "eidas_level": "substantial"},
        "occurred_at": in_s(0), "details": details,
    })
}

fn thief(world: &World) -> PathBuf {
    world.path("thief").join("sillage.toml")
}

fn permitted(world: &World, patient: Patient) -> usize {
    Question::read(patient, &doctor(), "d1").ask(world).permitted().len()
}

fn a_hundred_patients_decide(world: &mut World) {
    let folder = world.path("thief").display().to_string();
    let register = [
        "keys",
        "register",
        "--name",
        "Guichet",
        "--roles",
        "recorder,decider,emergency,consent-desk,reader",
        "--vouch-for-all",
        "--out",
        &folder,
    ];
    world.sillage_as(&world.authority_file(), &register).ok();
    let grantee = format!("urn:oid:1.2.250.1.71.4.2.1|{}", doctor());
    let details = json!({"id": "a", "effect": "permit", "grantee": {"professional": grantee}, "actions": ["read"]});
    let lines: Vec<Value> = patients().map(|patient| line(patient, "consent.directive", &details)).collect();
    assert_eq!(world.record(&lines).len() as u64, COUNT);
    assert_eq!(permitted(world, Patient(FIRST)), 1);
}

fn a_stolen_key_takes_it_all_away(world: &mut World) {
    let taken = |patient: Patient| match patient.0 % 2 {
        0 => line(patient, "consent.revoked", &json!({"consent": "a"})),
        _ => line(patient, "space.closed", &json!({})),
    };
    let file = world.write("stolen.ndjson", ndjson(&patients().map(taken).collect::<Vec<_>>()));
    let file = file.display().to_string();
    world.sillage_as(&thief(world), &["record", "--file", &file]).ok();
    for patient in [Patient(FIRST), Patient(FIRST + 1), Patient(FIRST + COUNT - 1)] {
        assert_eq!(permitted(world, patient), 0);
    }
}

fn the_authority_voids_what_it_signed(world: &mut World) {
    let authority = world.authority_file();
    let parties = world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let party = parties.iter().find(|party| party["name"] == "Guichet").expect("registered");
    let author = party["author_id"].as_str().expect("an id").to_owned();
    let key = party["keys"][0]["key_id"].as_str().expect("a key").to_owned();
    world.sillage_as(&authority, &["keys", "revoke", "--key", &key, "--reason", "stolen"]).ok();
    let void = ["keys", "void", "--party", &author, "--from", "1", "--reason", "stolen"];
    let dry = world.sillage_as(&authority, &[&void[..], &["--dry-run"]].concat()).ok().json();
    for counted in ["records", "deciding", "patients"] {
        assert_eq!(dry[counted], COUNT, "{counted}: {dry}");
    }
    assert_eq!(permitted(world, Patient(FIRST)), 0, "a dry run changes nothing");
    world.sillage_as(&authority, &void).ok();
    for patient in patients().step_by(7) {
        assert_eq!(permitted(world, patient), 1, "patient {}", patient.0);
        let listed = patient.asks(world, &["consent", "list"]).ok();
        assert!(listed.lines().iter().any(|line| line.contains("consent.directive")), "{listed}");
    }
}

/// The act, once every patient was told.
fn told(world: &World) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let acts = world.sillage_as(&world.authority_file(), &["keys", "voided", "--json"]).ok().json_lines();
        if acts[0]["all_told"] == json!(true) {
            return acts[0].clone();
        }
        assert!(Instant::now() < until, "they aren't told: {acts:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn each_patient_is_told_and_can_prove_it(world: &mut World) {
    let act = told(world);
    assert_eq!(act["patients"], json!(COUNT));
    let number = act["act"].as_u64().expect("an entry").to_string();
    let review =
        world.sillage_as(&world.authority_file(), &["keys", "voided", "--act", &number, "--json"]).ok().json_lines();
    assert_eq!(review.len(), 4, "those asked while it counted: {review:?}");
    for patient in [Patient(FIRST), Patient(FIRST + 1)] {
        let trace = patient.trace(world);
        let voided: Vec<&Value> = trace.iter().filter(|line| line["voided"]["index"] == act["act"]).collect();
        assert_eq!(voided.len(), 1);
        let notice = trace.iter().find(|line| line["kind"] == "records.voided").expect("a line about it");
        assert_eq!(notice["details"]["records"], json!([voided[0]["index"]]));
        let (ins, policy) = (patient.ins(), world.dir().join("policy.txt").display().to_string());
        let out = world.path(&format!("{}.sillage-trace", patient.0)).display().to_string();
        world.sillage(&["prove", "patient", &ins, "--oid", OID, "--out", &out]).ok();
        let verified = run(sillage().args(["verify", &out, "--policy", &policy, "--lang", "en"]), b"").ok();
        assert!(verified.to_string().contains("Voided: entry"), "{verified}");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/portal/verify.js");
        let by_js = run(Command::new("node").args([script, "--policy", &policy, "--lang", "en", &out]), b"").ok();
        assert!(by_js.to_string().contains("VOIDED by the act"), "{by_js}");
    }
    let state = world.path("audit.state").display().to_string();
    let audit = world.sillage(&["audit", "--state", &state]).ok();
    assert!(audit.to_string().contains("clean"), "{audit}");
}

fn a_second_authority_has_to_sign(world: &mut World) {
    let first = world.authority_file();
    let second_key = world.path("second.key").display().to_string();
    let public = world.sillage(&["keys", "new", "--out", &second_key]).ok().lines()[0].to_owned();
    let register = ["keys", "register", "--name", "Seconde", "--roles", "authority", "--public-key", &public];
    world.sillage_as(&first, &register).ok();
    let profile = std::fs::read_to_string(&first).expect("the authority's profile");
    let own = |line: &str| match line.starts_with("authority_key") {
        true => format!("authority_key = {second_key:?}"),
        false => line.to_owned(),
    };
    let second = first.with_file_name("second.toml");
    std::fs::write(&second, profile.lines().map(own).collect::<Vec<_>>().join("\n")).expect("a profile");
    let parties = world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let id = |wanted: &dyn Fn(&Value) -> bool| {
        let party = parties.iter().find(|party| wanted(party)).expect("registered");
        party["author_id"].as_str().expect("an id").to_owned()
    };
    let is_authority =
        |party: &Value| party["roles"].as_array().is_some_and(|roles| roles.contains(&json!("authority")));
    let both =
        [id(&|party| party["name"] == "Seconde"), id(&|party| is_authority(party) && party["name"] != "Seconde")];
    let rule = ["authority", "rule", "--needed", "2", "--authorities", &both.join(","), "--erasing"];
    world.sillage_as(&first, &rule).ok();
    let act = told(world)["act"].as_u64().expect("an entry").to_string();
    let back = ["keys", "reinstate", "--act", &act, "--reason", "for the test"];
    world.sillage_as(&first, &back).refused("SIGNATURES_MISSING").naming("1 are missing");
    let file = world.path("back.json").display().to_string();
    world.sillage_as(&first, &[&back[..], &["--propose", &file]].concat()).ok();
    world.sillage_as(&first, &["authority", "submit", &file]).refused("SIGNATURES_MISSING");
    world.sillage_as(&second, &["authority", "sign", &file]).ok();
    world.sillage_as(&first, &["authority", "submit", &file]).ok();
    world.sillage_as(&first, &["authority", "submit", &file]).refused("ACT_REFUSED");
    assert_eq!(permitted(world, Patient(FIRST + 1)), 0, "what was voided counts again");
    let state = world.path("audit.state").display().to_string();
    world.sillage(&["audit", "--state", &state]).ok();
}

fn several_authorities_erase_a_patient(world: &mut World) {
    let (first, second) = (world.authority_file(), world.authority_file().with_file_name("second.toml"));
    let (patient, file) = (Patient(FIRST + 2).ins(), world.path("erase.json").display().to_string());
    let erase = ["erase", "--patient", &patient, "--oid", OID, "--ground", "ORDER 17"];
    world.sillage_as(&first, &erase).refused("SIGNATURES_MISSING");
    world.sillage_as(&first, &[&erase[..], &["--propose", &file]].concat()).ok();
    assert!(std::path::Path::new(&format!("{file}.secret")).exists(), "both tags");
    world.sillage_as(&first, &["authority", "submit", &file]).refused("SIGNATURES_MISSING");
    world.sillage_as(&second, &["authority", "sign", &file]).ok();
    let done = world.sillage_as(&first, &["authority", "submit", &file]).ok().json();
    let index = done["index"].as_u64().expect("an entry").to_string();
    let entry = world.sillage_as(&first, &["entry", &index, "--json"]).ok().json();
    assert_eq!(entry["record"]["signatures"].as_array().map(Vec::len), Some(1), "{entry}");
    let trace = world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--lang", "en"]).ok().to_string();
    assert!(trace.contains("ground: ORDER 17, signed by 2 authorities."), "{trace}");
}
