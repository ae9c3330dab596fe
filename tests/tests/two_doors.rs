//! The two doors, with real nodes: the list of sources and their heartbeats, contests with their answers, and a portal that reads
//! and decides under a patient's session, for that patient and nobody else.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use prost::Message as _;
use serde_json::{Value, json};
use sillage_client::profile::{Profile, load_seed};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::*;
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;
use sillage_rules::time::{ParisDay, TimeMs};
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_tests::lines::{OID, access, ins, now_ms};
use sillage_tests::story::tell;
use sillage_tests::world::World;
use sillage_tests::{stories, wire};

const CLAIRE: u64 = 7_600;
const OTHER: u64 = 7_601;
const ISSUER: &str = "urn:example:idp";

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            the_authority_lists_sources_and_a_heartbeat_is_heard,
            a_patient_asks_why_and_the_party_answers,
            a_portal_reads_and_decides_under_a_session_alone,
        ],
    )
}

/// Registers a service of its own.
fn register(world: &World, name: &str, role: &str, more: &[&str]) -> PathBuf {
    let out = world.path(name).display().to_string();
    let args = [&["keys", "register", "--name", name, "--role", role, "--out", &out], more].concat();
    world.sillage_as(&world.authority_file(), &args).ok();
    world.path(name).join("sillage.toml")
}

fn load(file: &Path) -> Profile {
    Profile::load(file).expect("a profile")
}

/// Submits one record of a service; the code of its refusal.
fn submit(world: &World, profile: &Profile, seq: u64, record: &Record) -> Result<(), String> {
    let batch = wire::sign(&wire::signer(profile), "doors", seq, vec![record.encode_to_vec()]);
    let mut rpc = wire::rpc(profile, 1, Some(&wire::pem_of(profile)));
    let answer = world.wait(rpc.submit(SubmitRequest { batch: Some(batch) }));
    match answer {
        Ok(_) => Ok(()),
        Err(status) => Err(wire::info(&status).code),
    }
}

fn the_authority_lists_sources_and_a_heartbeat_is_heard(world: &mut World) {
    let radiology = register(world, "radiology", "recorder", &["--structure", "750712184"]);
    let profile = load(&radiology);
    let party = wire::signer(&profile).author_id.to_string();
    let list = json!({"listed": [
        {"id": "pacs", "name_fr": "Radiologie", "name_en": "Radiology", "structure": "750712184", "author_id": party,
            "since": "2026-01-01T00:00:00Z", "silent_after_s": 7_200},
        {"id": "lab", "name_fr": "Laboratoire", "structure": "750712184", "silent_after_s": 7_200},
    ]});
    let file = world.write("sources.json", list.to_string()).display().to_string();
    let wrong = world.write("wrong.json", json!({"listed": [{"id": "A"}]}).to_string()).display().to_string();
    assert!(world.sillage_as(&world.authority_file(), &["sources", "publish", &wrong]).code != Some(0));
    world.sillage_as(&world.authority_file(), &["sources", "publish", &file]).ok();
    let rows = |world: &World| world.sillage(&["sources", "list", "--json"]).ok().json_lines();
    let of = |rows: &[Value], id: &str| rows.iter().find(|row| row["id"] == id).expect("listed").clone();
    let before = rows(world);
    assert_eq!(
        (of(&before, "pacs")["silent"].clone(), of(&before, "lab")["silent"].clone()),
        (true.into(), true.into())
    );
    assert_eq!(world.sillage(&["sources", "list", "--silent"]).code, Some(1), "for a script that watches");
    let mut beat = new_message(Kind::SOURCE_HEARTBEAT, None, now_ms());
    beat.automated = Some(Automated { software: "connector".to_owned(), version: "1".to_owned() });
    let day = ParisDay::of(TimeMs(now_ms()));
    let details = |structure: &str| {
        json!({"source": "pacs", "structure": structure, "day": day, "received": 2, "recorded": 1, "waiting": 1,
            "refused": 0, "streams": [{"stream": "doors", "seq": 1}]})
        .to_string()
    };
    beat.details = details("750000001");
    assert_eq!(submit(world, &profile, 1, &beat), Err("NOT_VOUCHED".to_owned()));
    beat.details = details("750712184");
    submit(world, &profile, 1, &beat).expect("a heartbeat");
    let heard = of(&rows(world), "pacs");
    assert_eq!((heard["silent"].clone(), heard["heartbeat"].clone()), (false.into(), json!(day)));
    assert_eq!(heard["missing_batches"], 0);
    // A day, and never a time: nothing in the answer tells when.
    assert!(heard.as_object().expect("a row").values().all(|value| !value.to_string().contains('T')), "{heard}");
    let own = world.sillage(&["sources", "list", "--lang", "fr"]).ok();
    assert!(own.lines().iter().any(|line| line.contains("Laboratoire") && line.contains("MUETTE")), "{own}");
}

fn a_patient_asks_why_and_the_party_answers(world: &mut World) {
    let claire = ins(CLAIRE);
    let about = world.record(&[access(&claire, "why")])[0];
    let ask = |id: &str, about: u64, patient: &str| {
        json!({
            "kind": "contest.opened", "patient": {"ins": patient, "oid": OID}, "occurred_at": TimeMs(now_ms()),
            "actor": {"system": "urn:sillage:patient", "id": "self"},
            "auth": {"issuer": ISSUER, "method": "eid", "eidas_level": "substantial"},
            "details": {"id": id, "about": about, "question": "Pourquoi cet accès ?"},
        })
        .to_string()
    };
    let record = ["record", "--file", "-"];
    world.sillage_fed(&record, &ask("q1", about, &ins(OTHER))).refused("UNKNOWN_REFERENCE");
    let index =
        world.sillage_fed(&record, &ask("q1", about, &claire)).ok().json()["index"].as_u64().expect("its number");
    let rows = world.sillage(&["contest", "list", "--waiting", "--json"]).ok().json_lines();
    let row = rows.iter().find(|row| row["index"] == index).expect("it goes to who signed the line");
    assert_eq!((row["question"].clone(), row["about"]["index"].clone()), ("Pourquoi cet accès ?".into(), about.into()));
    assert_eq!(row["about"]["organisation"], "750712184");
    assert_eq!(row["late"], false);
    let (number, index) = (index, index.to_string());
    let other = register(world, "elsewhere", "recorder", &["--structure", "750000009"]);
    let by = ["--actor", "10100534436", "--actor-profession", "physician", "--actor-organisation", "750712184"];
    let answer = [&["contest", "answer", &index, "--text", "Un remplacement."], &by[..]].concat();
    world.sillage_as(&other, &answer).refused("UNKNOWN_REFERENCE");
    world.sillage_as(&other, &["contest", "list"]).ok();
    let answered = world.sillage(&answer).ok().json();
    assert_eq!(answered["late"], false, "{answered}");
    let waiting = world.sillage(&["contest", "list", "--waiting", "--json"]).ok();
    assert!(!waiting.json_lines().iter().any(|row| row["index"] == number), "{waiting}");
    let trace = world.sillage(&["trace", "--patient", &claire, "--oid", OID, "--lang", "fr"]).ok();
    assert!(
        trace.lines().iter().any(|line| line.contains("a répondu à la contestation « q1 » : « Un remplacement. »")),
        "{trace}"
    );
}

fn not_entitled<T>() -> Result<T, String> {
    Err("NOT_ENTITLED".to_owned())
}

/// A patient's tags, as a login service resolves them.
fn tags(world: &World, login: &Profile, patient: u64) -> ResolvedTag {
    let mut rpc = wire::rpc(login, 1, Some(&wire::pem_of(login)));
    let identities = vec![PatientIdentity { ins: ins(patient), oid: OID.to_owned() }];
    world.wait(rpc.resolve_tags(ResolveTagsRequest { identities })).expect("resolved").into_inner().tags.remove(0)
}

fn decided(world: &World, record: Record, session: &SigningKey, proof: &[u8]) -> Record {
    let profile = world.profile();
    let key = load_seed(profile.test_issuer.as_ref().expect("a test log's issuer")).expect("its key");
    let issuer = TestIssuer::new(key, Origin::new(profile.origin).expect("a name"));
    let subject = Subject::Patient { ins: ins(CLAIRE), oid: OID.to_owned() };
    let means = Means { idp: ISSUER.to_owned(), method: "eid".to_owned(), level: Level::Substantial };
    let will = issuer.decide(&record, session, (&subject, &means), proof.to_vec(), now_ms());
    Record { will: Some(will), ..record }
}

fn patient() -> Option<Actor> {
    Some(Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..Actor::default() })
}

fn a_portal_reads_and_decides_under_a_session_alone(world: &mut World) {
    let login = load(&register(world, "login", "login", &["--issuer", ISSUER]));
    let portal = load(&register(world, "portal", "portal", &["--issuer", ISSUER]));
    world.record(&[access(&ins(OTHER), "other")]);
    let (claire, other) = (tags(world, &login, CLAIRE), tags(world, &login, OTHER));
    let mut rpc = wire::rpc(&portal, 2, Some(&wire::pem_of(&portal)));
    let asked = PatientIdentity { ins: ins(CLAIRE), oid: OID.to_owned() };
    let resolved = world.wait(rpc.resolve_tags(ResolveTagsRequest { identities: vec![asked] }));
    assert_eq!(wire::info(&resolved.expect_err("no tag service")).code, "NOT_ENTITLED");
    let mut read = |world: &World, tag: &[u8]| {
        let trace = world.wait(rpc.trace(TraceRequest { tag: tag.to_vec(), ..TraceRequest::default() }));
        let rules = world.wait(rpc.rule_records(RuleRecordsRequest { tag: tag.to_vec(), ..Default::default() }));
        let prove = world.wait(rpc.prove_patient(ProvePatientRequest { tag: tag.to_vec() }));
        assert!(trace.is_ok() == rules.is_ok() && rules.is_ok() == prove.is_ok(), "all of it, or nothing");
        trace.map(|page| page.into_inner().lines.len()).map_err(|status| wire::info(&status).code)
    };
    assert_eq!(read(world, &claire.tag), not_entitled(), "nobody is logged in");
    let session = SigningKey::from_seed(&[123; 32]);
    let mut opened = new_message(Kind::SESSION_OPENED, claire.secret_tag[..].try_into().ok().as_ref(), now_ms());
    opened.actor = patient();
    let (issuer, method, eidas_level) = (ISSUER.to_owned(), "eid".to_owned(), "substantial".to_owned());
    opened.auth = Some(Authentication { issuer, method, eidas_level });
    let portal_id = wire::signer(&portal).author_id;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    opened.details =
        json!({"portal": portal_id, "open_tag": hex(&claire.tag), "open_proof": hex(&claire.proof)}).to_string();
    let opened = decided(world, opened, &session, &claire.secret_proof);
    assert_eq!(submit(world, &portal, 1, &opened), not_entitled(), "a portal opens none");
    submit(world, &login, 1, &opened).expect("a session");
    let lines = read(world, &claire.tag).expect("her trace");
    assert_eq!(read(world, &claire.tag), Ok(lines), "a page more is no line more");
    assert_eq!(read(world, &claire.secret_tag), Ok(1), "the session itself, which representatives don't see");
    for tag in [&other.tag, &other.secret_tag] {
        assert_eq!(read(world, tag), not_entitled(), "every other patient");
    }
    let mask = |tag: &[u8], id: &str| {
        let mut record = new_message(Kind::ITEM_MASKED, tag.try_into().ok().as_ref(), now_ms());
        record.actor = patient();
        record.items = vec![Item { id: id.to_owned(), ..Item::default() }];
        record
    };
    let hers = decided(world, mask(&claire.tag, "d1"), &session, &claire.proof);
    submit(world, &portal, 1, &hers).expect("she decides");
    let strangers = decided(world, mask(&other.tag, "d1"), &session, &other.proof);
    assert!(submit(world, &portal, 2, &strangers).is_err(), "another patient");
    let others_key = decided(world, mask(&claire.tag, "d2"), &SigningKey::from_seed(&[124; 32]), &claire.proof);
    assert_eq!(submit(world, &portal, 2, &others_key), not_entitled(), "a key of no session");
    let mut closed = new_message(Kind::SESSION_CLOSED, claire.secret_tag[..].try_into().ok().as_ref(), now_ms());
    closed.actor = patient();
    closed.details = json!({"session": hex(session.public_key().as_bytes())}).to_string();
    submit(world, &portal, 2, &closed).expect("closed");
    assert_eq!(read(world, &claire.tag), not_entitled());
    let late = decided(world, mask(&claire.tag, "d3"), &session, &claire.proof);
    assert_eq!(submit(world, &portal, 3, &late), not_entitled());
}
