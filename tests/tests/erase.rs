//! Erasing, on three nodes: what was recorded is gone everywhere, older copies of a node's folder included, and every
//! proof of it holds.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sillage_ledger::seal::{KekFile, SealError, Sealer};
use sillage_ledger::{Ledger, Options};
use sillage_tests::folders::copy;
use sillage_tests::health::{Patient, Question, rpps};
use sillage_tests::lines::{OID, access, ins, note_of};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

/// The patient of the first stories; a record of theirs is erased, the other one stays.
const PATIENT: u64 = 410;
const GROUND: &str = "décision 2026-17 du tribunal";

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            a_record_is_erased_everywhere_and_an_older_copy_yields_nothing,
            a_patient_is_erased_and_later_records_are_taken,
            a_node_that_is_down_is_waited_for,
            what_cannot_be_erased_is_refused,
        ],
    )
}

fn trace(world: &World, patient: u64) -> Vec<Value> {
    world.sillage(&["trace", "--patient", &ins(patient), "--oid", OID, "--json", "--verify"]).ok().json_lines()
}

fn line(lines: &[Value], index: u64) -> &Value {
    lines.iter().find(|line| line["index"] == index).unwrap_or_else(|| panic!("no line {index} in {lines:?}"))
}

fn erase(world: &World, args: &[&str]) -> Vec<Value> {
    let args = [&["--timeout", "60", "erase"], args, &["--ground", GROUND]].concat();
    world.sillage_as(&world.authority_file(), &args).ok().json_lines()
}

/// Whether a copy of a node's ledger and a keyring yield a record.
fn yields(world: &World, copy_dir: &Path, keyring: &Path, index: u64) -> Result<bool, SealError> {
    let genesis = fs::read(world.dir().join("genesis.bin")).expect("the genesis");
    // A copy of the keyring too: opening one finishes what its owner began.
    let copied = world.path("keyring-now");
    fs::copy(keyring, &copied).expect("copied");
    let keks = Arc::new(KekFile::open(&copied).expect("a keyring"));
    let ledger = Ledger::open(&copy_dir.join("ledger"), &genesis, keks.clone(), Options::default());
    let entries = ledger.expect("a whole copy").entry_reader();
    let sealer = Sealer::new(entries.clone().into(), keks, 16);
    entries.open(&sealer, index.into()).map(|opened| opened.is_some())
}

fn a_record_is_erased_everywhere_and_an_older_copy_yields_nothing(world: &mut World) {
    let lines = [access(&ins(PATIENT), "goes"), access(&ins(PATIENT), "stays"), access(&ins(PATIENT + 1), "other")];
    let [goes, stays, _] = world.record(&lines)[..] else { panic!("three lines") };
    let applied = world.settled(3).iter().map(|node| node.applied).max().expect("a node");
    while world.settled(3).iter().any(|node| node.flushed < applied) {
        // Each node writes its database out a few times a minute.
        std::thread::sleep(Duration::from_millis(300));
    }
    // A copy of node 1 as a backup would have it, and of the keyring as no backup should.
    world.close();
    let node = world.dir().join("node-1");
    let (before, keyring) = (world.path("copy"), world.path("keyring-before"));
    copy(&node.join("data"), &before);
    fs::copy(node.join("keys/keyring"), &keyring).expect("copied");
    world.open();

    let said = erase(world, &["--record", &goes.to_string(), "--now"]);
    assert_eq!(said.last().map(|line| &line["waiting"]), Some(&Value::from(0)), "{said:?}");
    let shown = trace(world, PATIENT);
    let erased = line(&shown, goes);
    assert_eq!(erased["erased"]["ground"], GROUND, "{erased}");
    assert_eq!(erased["erased"]["index"], said[0]["index"], "it names the act: {erased}");
    assert!(erased.get("items").is_none(), "the content is gone: {erased}");
    assert_eq!(erased["kind"], "access.read", "the entry stays: {erased}");
    assert_eq!(note_of(line(&shown, stays)), "stays", "the patient's other record opens");
    let act = line(&shown, said[0]["index"].as_u64().expect("an index"));
    assert_eq!(act["act"]["erased"]["indices"], serde_json::json!([goes]));
    let text = world.sillage(&["trace", "--patient", &ins(PATIENT), "--oid", OID]).ok().stdout;
    assert!(text.contains("a été effacé") && text.contains(GROUND), "{text}");

    // Its entry can be proven as before.
    let proof = world.path("entry.tlog-proof");
    let (proof, policy) = (proof.display().to_string(), world.dir().join("policy.txt").display().to_string());
    world.sillage(&["prove", "inclusion", &goes.to_string(), "--out", &proof]).ok();
    world.sillage(&["verify", &proof, "--policy", &policy]).ok();

    // The copy yields it with the keyring of then, so it is there; with that of any node now, it doesn't.
    assert_eq!(yields(world, &before, &keyring, goes), Ok(true));
    for id in 1..=3 {
        let now = world.dir().join(format!("node-{id}/keys/keyring"));
        for index in [goes, stays] {
            let outcome = yields(world, &before, &now, index);
            assert!(matches!(outcome, Err(SealError::Kek(_))), "node {id}, entry {index}: {outcome:?}");
        }
    }
}

fn a_patient_is_erased_and_later_records_are_taken(world: &mut World) {
    let patient = PATIENT + 2;
    let before = world.record(&[access(&ins(patient), "one"), access(&ins(patient), "two")]);
    let (of, doctor) = (Patient(patient), rpps(51));
    of.says(world, &["consent", "grant", "--professional", &doctor, "--action", "read", "--id", "c1"]).ok();
    of.says(world, &["attending", "declare", "--professional", &doctor]).ok();
    let may_open = |world: &World| {
        let lines = of.asks(world, &["consent", "effective"]).ok().json_lines();
        let may =
            |line: &Value| line["who"].to_string().contains(&doctor) && line["permitted"] != serde_json::json!([]);
        lines.iter().any(may)
    };
    assert!(may_open(world));
    erase(world, &["--patient", &ins(patient), "--oid", OID, "--now"]);
    assert!(!may_open(world), "what is shown is what is decided");
    assert!(Question::read(of, &doctor, "d1").ask(world).permitted().is_empty());
    let listed = world.sillage(&["consent", "list", "--patient", &ins(patient), "--oid", OID, "--lang", "en"]).ok();
    assert!(listed.stdout.contains("the patient was erased") && !listed.stdout.contains("c1"), "{listed}");
    let effective = world.sillage(&["consent", "effective", "--patient", &ins(patient), "--oid", OID, "--lang", "en"]);
    assert!(effective.ok().stdout.contains("The health space is closed."));
    let after = world.record(&[access(&ins(patient), "three")]);
    let shown = trace(world, patient);
    for index in before {
        assert_eq!(line(&shown, index)["erased"]["ground"], GROUND);
    }
    assert_eq!(note_of(line(&shown, after[0])), "three");
    world.settled(3);
}

fn a_node_that_is_down_is_waited_for(world: &mut World) {
    let goes = world.record(&[access(&ins(PATIENT + 3), "goes")])[0].to_string();
    let down = world.leader() % 3 + 1;
    world.kill(down);
    let args = ["--timeout", "5", "erase", "--record", &goes, "--ground", GROUND, "--now"];
    let run = world.sillage_as(&world.authority_file(), &args);
    assert!(run.code == Some(3) && run.stderr.contains(&format!("node {down} ")), "{run}");
    let shown = trace(world, PATIENT + 3);
    assert_eq!(shown.iter().filter(|line| line.get("erased").is_some()).count(), 1, "it is erased all the same");
    world.restart(down);
    world.settled(3);
    let goes = world.record(&[access(&ins(PATIENT + 3), "goes too")])[0].to_string();
    erase(world, &["--record", &goes, "--now"]);
}

fn what_cannot_be_erased_is_refused(world: &mut World) {
    let index = world.record(&[access(&ins(PATIENT + 4), "stays")])[0].to_string();
    let refused = |args: &[&str], code: &str| {
        let args = [&["erase"], args].concat();
        world.sillage_as(&world.authority_file(), &args).fails(4).naming(code);
    };
    refused(&["--record", "0", "--ground", GROUND], "NOT_ERASABLE");
    refused(&["--record", "999999", "--ground", GROUND], "UNKNOWN_INDEX");
    refused(&["--record", &index, "--ground", "RETENTION"], "RETENTION_TOO_EARLY");
    refused(&["--patient", &ins(PATIENT + 999), "--oid", OID, "--ground", GROUND], "NOT_ERASABLE");
    world.sillage_as(&world.authority_file(), &["erase", "--record", &index]).usage();
    let alone = world.dir().join("alone.toml");
    let profile = fs::read_to_string(world.profile_file()).expect("the profile");
    let profile: Vec<&str> = profile.lines().filter(|line| !line.starts_with("authority_key")).collect();
    fs::write(&alone, profile.join("\n")).expect("a profile without the authority's key");
    world.sillage_as(&alone, &["erase", "--record", &index, "--ground", GROUND]).fails(2).naming("authority_key");
    let rules = world.write("rules.toml", "years = 2\n").display().to_string();
    world.sillage(&["erase", "--expired", "--rules", &rules, "--dry-run"]).fails(2).naming("3 to 150");
    let rules = world.write("rules.toml", "years = 3\n").display().to_string();
    let run = world.sillage(&["erase", "--expired", "--rules", &rules, "--dry-run"]).ok();
    assert_eq!(run.stdout, "", "nothing is that old: {run}");
}
