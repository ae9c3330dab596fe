//! A patient's own device, with real nodes: the patient is told of it under both tags, its first reading is a line of the
//! trace, it decides for the patient alone, and no act says whose it is.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;
use sillage_proto::v1::{GetEntryRequest, ListPartiesRequest, ledger_act};
use sillage_tests::health::rpps;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::story::tell;
use sillage_tests::world::World;
use sillage_tests::{stories, wire};

const CLAIRE: u64 = 7_400;
const OTHER: u64 = 7_401;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            the_patient_is_told_under_both_tags,
            the_first_reading_is_a_line_and_names_no_party,
            it_decides_for_its_patient_alone,
            no_act_says_whose_it_is,
            what_was_put_off_is_told_later,
            a_device_takes_the_place_of_another,
        ],
    )
}

fn phone(world: &World, name: &str) -> PathBuf {
    world.path(name).join("sillage.toml")
}

/// Registers a device, with further arguments.
fn register(world: &World, name: &str, patient: u64, more: &[&str]) -> Value {
    let (out, ins) = (world.path(name).display().to_string(), ins(patient));
    let mut args = vec!["keys", "register", "--name", name, "--role", "patient", "--out", &out];
    args.extend(["--patient", &ins, "--oid", OID]);
    args.extend(more);
    world.sillage(&args).ok().json()
}

/// The trace of a patient, as the profile's own reader sees it, in a language.
fn trace(world: &World, patient: u64, lang: &str) -> Vec<String> {
    let ins = ins(patient);
    let run = world.sillage(&["trace", "--patient", &ins, "--oid", OID, "--lang", lang]).ok();
    run.lines().into_iter().map(str::to_owned).collect()
}

fn the_patient_is_told_under_both_tags(world: &mut World) {
    world.record(&[access(&ins(CLAIRE), "before")]);
    // What is refused leaves no keys behind: the next try has the folder.
    let out = world.path("phone").display().to_string();
    for wrong in [["--patient", "1", "--role", "patient"], ["--name", "", "--role", "reader"]] {
        let name = if wrong[0] == "--name" { vec![] } else { vec!["--name", "phone"] };
        let args = [vec!["keys", "register", "--out", &out], name, wrong.to_vec()].concat();
        let run = world.sillage(&args);
        assert!(run.code != Some(0) && !world.path("phone").exists(), "{run}");
    }
    let told = register(world, "phone", CLAIRE, &[]);
    let (first, second) = (told["told"][0].as_u64().expect("told"), told["told_secret"].as_u64().expect("told"));
    assert!(second > first + 1, "batches of their own: {told}");
    let french = trace(world, CLAIRE, "fr");
    let lines: Vec<&String> = french.iter().filter(|line| line.contains("agir en votre nom")).collect();
    assert_eq!(lines.len(), 2, "{french:?}");
    for part in ["l'autorité « authority »", "« phone »", "prouvé par une connexion"] {
        assert!(lines.iter().all(|line| line.contains(part)), "{lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains("caché aux représentants")).count(), 1);
    let english = trace(world, CLAIRE, "en");
    assert!(english.iter().any(|line| line.contains("registered a device to act for you: “phone”")), "{english:?}");
}

fn the_first_reading_is_a_line_and_names_no_party(world: &mut World) {
    let ins = ins(CLAIRE);
    for _ in 0..2 {
        let own = world.sillage_as(&phone(world, "phone"), &["trace", "--patient", &ins, "--oid", OID, "--json"]).ok();
        let accesses = own.json_lines().iter().filter(|line| line["kind"] == "access.read").count();
        assert_eq!(accesses, 1, "its own it may read");
    }
    let lines = trace(world, CLAIRE, "fr");
    let first = lines.iter().filter(|line| line.contains("pour la première fois")).count();
    assert_eq!(first, 2, "once under each tag: {lines:?}");
    let read = world.sillage(&["trace", "--patient", &ins, "--oid", OID, "--json"]).ok();
    let marks: Vec<Value> =
        read.json_lines().into_iter().filter(|line| line["details"]["device"].is_string()).collect();
    assert_eq!(marks.len(), 2, "{marks:?}");
    assert_ne!(marks[0]["details"]["device"], marks[1]["details"]["device"], "nothing in common");
    assert!(marks.iter().all(|line| line["actor"].is_null()), "{marks:?}");
}

fn it_decides_for_its_patient_alone(world: &mut World) {
    let doctor = rpps(61);
    let (own, other) = (ins(CLAIRE), ins(OTHER));
    let block = |patient: &str| {
        let args = ["block", "--professional", &doctor, "--patient", patient, "--oid", OID];
        world.sillage_as(&phone(world, "phone"), &args)
    };
    block(&own).ok();
    block(&other).refused("NOT_ENTITLED");
    let other = world.sillage_as(&phone(world, "phone"), &["trace", "--patient", &other, "--oid", OID]);
    other.refused("NOT_ENTITLED");
}

fn no_act_says_whose_it_is(world: &mut World) {
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
    let mut seen = 0;
    for index in 0..world.tree_size() {
        let entry = world.wait(rpc.get_entry(GetEntryRequest { index })).expect("an auditor reads it").into_inner();
        let Ok(record) = sillage_rules::record::ParsedRecord::parse(&entry.record) else { continue };
        let act = record.message().act.as_ref().and_then(|act| act.act.as_ref());
        if let Some(ledger_act::Act::Registered(party)) = act
            && party.roles == 8
        {
            seen += 1;
            assert!(party.patient_tag.is_empty(), "the log doesn't say whose device it is");
            assert!(party.patient_secret_tag.is_empty(), "nor by the secret tag");
            assert_eq!(party.patient_commitment.len(), 32);
        }
    }
    assert_eq!(seen, 1);
    world.wait(rpc.list_parties(ListPartiesRequest::default())).expect("parties, of which none has a tag");
}

fn what_was_put_off_is_told_later(world: &mut World) {
    let file = world.path("later.json").display().to_string();
    let told = register(world, "tablet", OTHER, &["--later", &file]);
    assert!(told["told_secret"].is_null(), "{told}");
    let ins = ins(OTHER);
    let mask = || {
        let args = ["mask", "--force", "--items", "d1", "--patient", &ins, "--oid", OID, "--secret"];
        world.sillage_as(&phone(world, "tablet"), &args)
    };
    mask().refused("NOT_ENTITLED");
    world.sillage(&["keys", "tell", "--file", &file, "--patient", &ins, "--oid", OID]).ok();
    mask().ok();
}

fn a_device_takes_the_place_of_another(world: &mut World) {
    let parties = world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let old = parties.iter().find(|party| party["name"] == "tablet").expect("it is registered");
    let old = old["author_id"].as_str().expect("an id").to_owned();
    register(world, "laptop", OTHER, &["--replaces", &old]);
    let ins = ins(OTHER);
    let read = |name: &str| world.sillage_as(&phone(world, name), &["trace", "--patient", &ins, "--oid", OID]);
    read("laptop").ok();
    read("tablet").refused("UNKNOWN_CALLER");
}
