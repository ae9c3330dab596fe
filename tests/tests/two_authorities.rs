//! A log that began with two authorities: one alone gives nobody anything, both do; what takes power away stands at once. And what is
//! said of an identity is recorded once another party confirms it.

use std::process::{Command, ExitCode};

use serde_json::{Value, json};
use sillage_chaos::process::Options;
use sillage_tests::health::{Patient, in_s, rpps};
use sillage_tests::lines::{OID, access};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{World, run, sillage};

const PATIENT: Patient = Patient(7_300);

fn main() -> ExitCode {
    tell(
        || World::with(Options { nodes: 1, authorities: 2, ..Options::default() }),
        stories![
            the_log_says_how_many_sign,
            one_alone_registers_nobody,
            one_alone_publishes_nothing,
            power_is_taken_away_at_once,
            an_identity_is_linked_by_two_parties,
            what_two_signed_is_proven_and_replayed,
        ],
    )
}

/// The second authority's profile: it names no further keys.
fn second(world: &World) -> std::path::PathBuf {
    world.dir().join("authority-2/authority.toml")
}

/// The first one's, as its holder has it: without the second one's key.
fn first(world: &World) -> std::path::PathBuf {
    let text = std::fs::read_to_string(world.authority_file()).expect("the authority's profile");
    let alone: Vec<&str> = text.lines().filter(|line| !line.starts_with("cosign_keys")).collect();
    assert!(alone.len() < text.lines().count(), "a test log's profile holds all keys");
    let file = world.dir().join("first.toml");
    std::fs::write(&file, alone.join("\n")).expect("a profile");
    file
}

fn the_log_says_how_many_sign(world: &mut World) {
    let words = "authorities: 2 of 2 sign what touches many";
    assert!(world.sillage(&["cluster", "status"]).ok().stdout.contains(words));
    assert!(world.sillage(&["keys", "list"]).ok().stdout.contains(words));
    let status = world.sillage(&["cluster", "status", "--json"]).ok().json();
    assert_eq!(status["rule"]["authorities_needed"], 2, "{status}");
    assert_eq!(status["rule"]["acts"], 511, "the rule guards every kind of act: {status}");
}

fn one_alone_registers_nobody(world: &mut World) {
    let (folder, file) = (world.path("desk").display().to_string(), world.path("desk.json").display().to_string());
    let register =
        ["keys", "register", "--name", "Guichet", "--role", "consent-desk", "--vouch-for-all", "--out", &folder];
    world.sillage_as(&first(world), &register).refused("SIGNATURES_MISSING").naming("1 are missing");
    assert!(!world.path("desk").exists(), "no key is left of a party that isn't registered");
    world.sillage_as(&first(world), &[&register[..], &["--propose", &file]].concat()).ok();
    world.sillage_as(&first(world), &["authority", "submit", &file]).refused("SIGNATURES_MISSING");
    let shown = world.sillage_as(&second(world), &["authority", "show", &file]).ok().json();
    assert_eq!(shown["records"][0]["says"]["act"]["registered"]["name"], "Guichet", "{shown}");
    world.sillage_as(&second(world), &["authority", "sign", &file]).ok();
    // Whoever signs sees what is signed: a file that says something else for people is refused.
    let text = std::fs::read_to_string(&file).expect("the proposal");
    std::fs::write(&file, text.replace("Guichet", "Ecran")).expect("written");
    world.sillage_as(&second(world), &["authority", "sign", &file]).fails(2).naming("isn't what is signed");
    std::fs::write(&file, text).expect("written");
    world.sillage_as(&first(world), &["authority", "submit", &file]).ok();
    world.sillage_as(&first(world), &["authority", "submit", &file]).refused("ACT_REFUSED");
    let desk = world.path("desk").join("sillage.toml");
    assert_eq!(world.sillage_as(&desk, &["stream", "status"]).code, Some(0), "the new party is known");
}

fn one_alone_publishes_nothing(world: &mut World) {
    let policy = world.write("policy.toml", "version = \"two\"\n").display().to_string();
    let file = world.path("policy.json").display().to_string();
    let publish = ["policy", "publish", "--policy", &policy];
    world.sillage_as(&first(world), &publish).refused("SIGNATURES_MISSING");
    world.sillage_as(&first(world), &[&publish[..], &["--propose", &file]].concat()).ok();
    world.sillage_as(&second(world), &["authority", "sign", &file]).ok();
    world.sillage_as(&first(world), &["authority", "submit", &file]).ok();
    world.sillage_as(&first(world), &["authority", "submit", &file]).refused("ACT_REFUSED");
}

fn power_is_taken_away_at_once(world: &mut World) {
    let parties = world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let of = |name: &str| parties.iter().find(|party| party["name"] == name).expect("registered").clone();
    let key = |party: &Value| party["keys"][0]["key_id"].as_str().expect("a key").to_owned();
    let desk = of("Guichet");
    let author = desk["author_id"].as_str().expect("an id").to_owned();
    let less = ["keys", "vouching", "--author", &author, "--vouch-for-all", "--remove"];
    world.sillage_as(&second(world), &less).ok();
    world.sillage_as(&second(world), &["keys", "revoke", "--key", &key(&desk), "--reason", "stolen"]).ok();
    let other = of("authority");
    world
        .sillage_as(&second(world), &["keys", "revoke", "--key", &key(&other), "--reason", "mine alone"])
        .refused("SIGNATURES_MISSING");
}

fn an_identity_is_linked_by_two_parties(world: &mut World) {
    let line = json!({
        "kind": "identity.linked", "patient": {"ins": PATIENT.ins(), "oid": OID}, "occurred_at": in_s(0),
        "actor": {"system": "urn:oid:1.2.250.1.71.4.2.1", "id": rpps(61), "role": "physician", "organisation": "750712184"},
    });
    world.sillage_fed(&["record", "--file", "-"], &format!("{line}\n")).refused("SIGNATURES_MISSING");
    let other = world.register("bureau", "identity,tag");
    let said = world.write("link.json", line.to_string()).display().to_string();
    let file = world.path("link.proposal").display().to_string();
    world.sillage(&["identity", "propose", "--file", &said, "--out", &file]).ok();
    world.sillage(&["identity", "submit", &file]).refused("SIGNATURES_MISSING").naming("identity confirm");
    let (ins, stranger) = (PATIENT.ins(), Patient(7_301).ins());
    let confirm = |ins: &str| ["identity", "confirm", &file, "--patient", ins, "--oid", OID].map(str::to_owned);
    let confirm = |by: &std::path::Path, ins: &str| {
        let args = confirm(ins);
        world.sillage_as(by, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    confirm(&other, &stranger).fails(1).naming("another patient");
    // One's own signature twice confirms nothing.
    confirm(&world.profile_file(), &ins).ok();
    world.sillage(&["identity", "submit", &file]).refused("SIGNATURES_MISSING");
    confirm(&other, &ins).ok();
    let done = world.sillage(&["identity", "submit", &file]).ok().json();
    assert!(done["index"].as_u64().is_some(), "{done}");
    let trace = world.sillage(&["trace", "--patient", &ins, "--oid", OID, "--lang", "en"]).ok().to_string();
    assert!(trace.contains("linked two identities") && trace.contains("confirmed by another service (key "), "{trace}");
    let wrong = world.write("read.json", access(&ins, "d1").to_string());
    let wrong = wrong.display().to_string();
    let out = world.path("no.proposal").display().to_string();
    world.sillage(&["identity", "propose", "--file", &wrong, "--out", &out]).fails(2);
}

fn what_two_signed_is_proven_and_replayed(world: &mut World) {
    let policy = world.dir().join("policy.txt").display().to_string();
    let out = world.path("link.sillage-trace").display().to_string();
    world.sillage(&["prove", "patient", &PATIENT.ins(), "--oid", OID, "--out", &out]).ok();
    run(sillage().args(["verify", &out, "--policy", &policy, "--lang", "en"]), b"").ok();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/portal/verify.js");
    run(Command::new("node").args([script, "--policy", &policy, "--lang", "en", &out]), b"").ok();
    let state = world.path("audit.state").display().to_string();
    let audit = world.sillage(&["audit", "--state", &state]).ok();
    assert!(audit.to_string().contains("clean"), "{audit}");
}
