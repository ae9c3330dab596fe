//! The establishment's door loses nothing and doubles nothing: killed at any moment, with the nodes away, with a full spool, and on
//! another machine.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sillage_chaos::process::{free_ports, program};
use sillage_tests::connector::{Connector, event};
use sillage_tests::health::{Patient, in_s};
use sillage_tests::http::FHIR_JSON;
use sillage_tests::lines::{OID, ins};
use sillage_tests::resources::consent;
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

/// Waiting for what comes in seconds ends after this.
const SETTLE_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            an_event_is_on_record_when_it_is_answered_and_the_same_again_is_the_same,
            every_event_is_recorded_once_through_kills_at_random_moments,
            events_wait_while_the_nodes_are_away,
            a_copied_folder_goes_on_and_the_old_one_stops,
            a_full_spool_refuses_early_said_and_loses_nothing,
            what_is_refused_lies_in_quarantine,
            a_day_is_accounted_for_and_the_account_verified,
            with_the_line_cut_it_decides_by_itself_and_hands_in_afterwards,
            a_consent_takes_a_thousand_versions_and_can_still_be_revoked,
            a_test_log_keeps_its_connector,
            a_token_for_development_is_for_test_logs_on_this_machine,
        ],
    )
}

fn connector(world: &World, name: &str) -> Connector {
    Connector::new(&world.path(name), &world.profile_file())
}

/// How often each document of a story stands in the traces of its patients.
fn on_record(world: &World, patients: impl Iterator<Item = u64>, mark: &str) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for patient in patients {
        let args = ["trace", "--patient", &ins(patient), "--oid", OID, "--limit", "500", "--json"];
        for line in world.sillage(&args).ok().json_lines() {
            for item in line["items"].as_array().into_iter().flatten() {
                let id = item["id"].as_str().unwrap_or_default();
                if let Some((_, name)) = id.rsplit_once('/').filter(|(_, name)| name.starts_with(mark)) {
                    *out.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
    }
    out
}

/// Today's numbers of all sources together.
fn today(connector: &Connector) -> BTreeMap<String, u64> {
    let signed = connector.run(&["report", "--json"]).ok().json();
    let mut out = BTreeMap::new();
    for source in signed["report"]["sources"].as_array().expect("sources") {
        for (name, value) in source.as_object().expect("a source") {
            if let Some(count) = value.as_u64() {
                *out.entry(name.clone()).or_default() += count;
            }
        }
    }
    out.insert("gaps".to_owned(), signed["report"]["gaps"].as_u64().expect("a number"));
    out
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLE_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn an_event_is_on_record_when_it_is_answered_and_the_same_again_is_the_same(world: &mut World) {
    let mut connector = connector(world, "first");
    connector.start();
    let sent = event(&ins(1), "first-1");
    let got = connector.post("/AuditEvent", &sent).expect(201);
    let place = got.location().to_owned();
    assert!(place.contains("/fhir/AuditEvent/"), "{place}");
    let again = connector.post("/AuditEvent", &sent);
    assert_eq!(again.location(), place, "a retry gets the answer of the first time");
    let mut read = connector.get(&format!("/AuditEvent/{}", got.id())).expect(200).json();
    assert!(read["id"].is_string());
    for added in ["id", "meta"] {
        read.as_object_mut().expect("an object").remove(added);
    }
    assert_eq!(read, sent, "as it was sent");
    assert_eq!(on_record(world, 1..=1, "first-"), BTreeMap::from([("first-1".to_owned(), 1)]));
    // Also when it was killed in between.
    connector.kill();
    connector.start();
    let again = connector.post("/AuditEvent", &sent);
    assert_eq!(again.location(), place);
    assert_eq!(today(&connector)["repeated"], 2);
}

fn every_event_is_recorded_once_through_kills_at_random_moments(world: &mut World) {
    const EVENTS: usize = 2_000;
    const CALLERS: usize = 6;
    const PATIENTS: u64 = 20;
    let mut connector = connector(world, "killed");
    connector.start();
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (caller, next, done) = (connector.caller(), Arc::clone(&next), Arc::clone(&done));
            thread::spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= EVENTS {
                        return;
                    }
                    let event = event(&ins(n as u64 % PATIENTS), &format!("killed-{n}"));
                    let deadline = Instant::now() + SETTLE_MAX;
                    loop {
                        match caller.try_post("/AuditEvent", &event) {
                            Some(got) if [200, 201, 202].contains(&got.status) => break,
                            Some(got) if ![429, 503].contains(&got.status) => {
                                panic!("{}: {}", got.status, got.text())
                            }
                            _ => thread::sleep(Duration::from_millis(20)),
                        }
                        assert!(Instant::now() < deadline, "nobody takes event {n}");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let seed = rand::random();
    println!("the kills are those of seed {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut kills = 0;
    while done.load(Ordering::Relaxed) < EVENTS && callers.iter().any(|caller| !caller.is_finished()) {
        thread::sleep(Duration::from_millis(random.random_range(100..1_500)));
        connector.kill();
        kills += 1;
        connector.start_unwatched();
    }
    for caller in callers {
        caller.join().expect("each event was taken");
    }
    connector.kill();
    connector.start();
    println!("{EVENTS} events through {kills} kills");
    assert!(kills >= 3, "it was killed while events came");
    wait_until("the rest goes on record", || today(&connector)["waiting"] == 0);
    let found = on_record(world, 0..PATIENTS, "killed-");
    let wrong: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
    assert!(wrong.is_empty(), "recorded twice: {wrong:?}");
    assert_eq!(found.len(), EVENTS, "each is on record");
    let numbers = today(&connector);
    assert_eq!((numbers["recorded"], numbers["gaps"], numbers["quarantined"]), (EVENTS as u64, 0, 0), "{numbers:?}");
}

/// Takes the majority away.
fn away(world: &mut World) {
    world.kill(2);
    world.kill(3);
}

fn back(world: &mut World) {
    world.restart(2);
    world.restart(3);
    world.settled(3);
}

fn events_wait_while_the_nodes_are_away(world: &mut World) {
    let mut connector = connector(world, "away");
    connector.configure("[fhir]\n", "[fhir]\nanswer_within_ms = 100\n");
    away(world);
    // It starts without them, too.
    connector.start();
    let mut places = Vec::new();
    for n in 0..40 {
        let got = connector.post("/AuditEvent", &event(&ins(30), &format!("away-{n}"))).expect(202);
        places.push(got.location().to_owned());
    }
    assert!(places[0].contains("/$arrival/"), "{}", places[0]);
    let path = |place: &str| place.split_once("/fhir").expect("below the base").1.to_owned();
    assert_eq!(connector.get(&path(&places[0])).status, 202);
    connector.kill();
    connector.start();
    back(world);
    wait_until("events that waited go on record", || {
        places.iter().all(|place| connector.get(&path(place)).status != 202)
    });
    let got = connector.get(&path(&places[0]));
    assert_eq!(got.status, 303, "{}", got.text());
    assert!(got.location().contains("/fhir/AuditEvent/"));
    let found = on_record(world, 30..=30, "away-");
    assert_eq!((found.len(), found.values().max()), (40, Some(&1)));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).expect("copied")),
        }
    }
}

fn a_copied_folder_goes_on_and_the_old_one_stops(world: &mut World) {
    let mut old = connector(world, "old");
    old.configure("[fhir]\n", "[fhir]\nanswer_within_ms = 100\n");
    old.start();
    assert_eq!(old.post("/AuditEvent", &event(&ins(31), "moved-on-record")).status / 100, 2);
    away(world);
    for n in 0..20 {
        old.post("/AuditEvent", &event(&ins(31), &format!("moved-{n}"))).expect(202);
    }
    old.kill();
    let dir = world.path("new");
    copy(old.dir(), &dir);
    let mut new = Connector::at(&dir);
    new.start();
    back(world);
    // What was answered 202 on the old machine is the same here.
    wait_until("the copy records", || today(&new)["waiting"] == 0);
    let again = new.post("/AuditEvent", &event(&ins(31), "moved-7"));
    assert_eq!(again.status / 100, 2);
    new.kill();
    // The old one has the same arrivals waiting, and must not record them once more.
    old.start();
    wait_until("the old one finds out", || old.log().contains("went on elsewhere"));
    thread::sleep(Duration::from_secs(2));
    old.kill();
    let found = on_record(world, 31..=31, "moved-");
    assert_eq!((found.len(), found.values().max()), (21, Some(&1)), "{found:?}");
}

fn a_full_spool_refuses_early_said_and_loses_nothing(world: &mut World) {
    let mut connector = connector(world, "full");
    connector.configure("bytes_max = 10737418240", "bytes_max = 4194304");
    connector.configure("[fhir]\n", "[fhir]\nanswer_within_ms = 10\n");
    connector.start();
    away(world);
    let mut taken = 0;
    loop {
        let mut event = event(&ins(32), &format!("full-{taken}"));
        let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", "x".repeat(40_000));
        event["text"] = json!({"status": "generated", "div": div});
        match connector.post("/AuditEvent", &event).status {
            201 | 202 => taken += 1,
            507 => break,
            code => panic!("{code}"),
        }
        assert!(taken < 200, "it is full before");
    }
    assert!(taken > 60, "{taken}");
    assert!(connector.log().contains("80 % full"), "it said so before: {}", connector.log());
    let health = connector.get("/healthz").json();
    assert!(health["status"] != "ok" && health["notes"].to_string().contains("full"), "{health}");
    // Full and killed: what was taken is there.
    connector.kill();
    connector.start();
    back(world);
    wait_until("the spool empties", || today(&connector)["waiting"] == 0);
    let found = on_record(world, 32..=32, "full-");
    assert_eq!((found.len(), found.values().max()), (taken, Some(&1)));
    let got = connector.post("/AuditEvent", &event(&ins(32), "full-after"));
    assert_eq!(got.status / 100, 2, "there is room again");
}

fn what_is_refused_lies_in_quarantine(world: &mut World) {
    let mut connector = connector(world, "refused");
    connector.start();
    let mut nobody = event(&ins(33), "nobody");
    nobody.as_object_mut().expect("an object").remove("agent");
    let got = connector.post("/AuditEvent", &nobody);
    assert!([400, 422].contains(&got.status), "{}", got.status);
    let outcome = got.json();
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    assert!(outcome.to_string().contains("AuditEvent.agent"), "{outcome}");
    let listed: Vec<Value> = connector.run(&["quarantine", "list", "--json"]).ok().json_lines();
    assert_eq!(listed.len(), 1);
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    let shown = connector.run(&["quarantine", "show", &id, "--raw"]).ok().stdout;
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("as it came"), nobody);
    let numbers = today(&connector);
    assert_eq!((numbers["received"], numbers["refused"], numbers["recorded"]), (1, 1, 0), "{numbers:?}");
}

fn a_day_is_accounted_for_and_the_account_verified(world: &mut World) {
    let mut connector = connector(world, "day");
    connector.start();
    for n in 0..5 {
        assert_eq!(connector.post("/AuditEvent", &event(&ins(34), &format!("day-{n}"))).status, 201);
    }
    let report = connector.run(&["report", "--json"]).ok().stdout;
    let file = world.write("report.json", &report);
    let policy = world.dir().join("policy.txt");
    let (file, policy) = (file.display().to_string(), policy.display().to_string());
    let verified = world.sillage(&["verify", &file, "--policy", &policy]).ok();
    assert!(verified.stdout.contains("received 5") || verified.stdout.contains("reçus 5"), "{verified}");
    // With a profile the nodes are asked, by whoever may see the entries; without one the receipts are enough.
    let asked = |profile: &Path| {
        let run = world.sillage_as(profile, &["verify", &file, "--policy", &policy, "--json"]);
        run.ok().json()["asked"].clone()
    };
    assert_eq!(asked(&world.profile_file()), true);
    let stranger = world.register("stranger-to-the-report", "recorder");
    assert_eq!(asked(&stranger), false, "another party may not see them");
    let wrong = world.write("wrong.json", report.replace("\"recorded\":5", "\"recorded\":4"));
    let wrong = wrong.display().to_string();
    world
        .sillage(&["verify", &wrong, "--policy", &policy, "--lang", "en"])
        .fails(1)
        .naming("changed after it was signed");
    let words = connector.run(&["report"]).ok().stdout;
    assert!(words.contains("received 5, recorded 5"), "{words}");
}

/// Parameters of an operation, about a patient and a physician.
fn parameters(patient: u64, more: Value) -> Value {
    let mut all = vec![
        json!({"name": "patient", "valueIdentifier": {"system": format!("urn:oid:{OID}"), "value": ins(patient)}}),
        json!({"name": "actor", "valueIdentifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}}),
        json!({"name": "profession", "valueCode": "samu-regulator"}),
    ];
    all.extend(more.as_array().into_iter().flatten().cloned());
    json!({"resourceType": "Parameters", "parameter": all})
}

/// The value of a parameter of an answer.
fn said<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let found = answer["parameter"].as_array().expect("parameters").iter().find(|one| one["name"] == name);
    let value = found.unwrap_or_else(|| panic!("no {name} in {answer}")).as_object().expect("an object");
    value.iter().find(|(key, _)| key.starts_with("value")).expect("a value").1
}

fn with_the_line_cut_it_decides_by_itself_and_hands_in_afterwards(world: &mut World) {
    let mut connector = connector(world, "cut");
    connector.start();
    assert_eq!(connector.post("/AuditEvent", &event(&ins(35), "cut-before")).status, 201);
    away(world);
    let question = parameters(
        35,
        json!([
            {"name": "purpose", "valueCode": "BTG"},
            {"name": "action", "valueCode": "read"},
            {"name": "item", "part": [{"name": "id", "valueString": "report-1"}, {"name": "category", "valueCode": "REPORT"}]}
        ]),
    );
    let before = connector.post("/Consent/$decide", &question);
    assert_eq!(before.status, 200, "{}", before.text());
    assert_eq!(said(&before.json(), "decision"), "deny", "no glass is broken");
    let opened = parameters(
        35,
        json!([
            {"name": "operation", "valueCode": "open"},
            {"name": "case", "valueCode": "SAMU"},
            {"name": "reason", "valueString": "call 15"},
            {"name": "minutes", "valuePositiveInt": 60},
            {"name": "no-position", "valueCode": "INDOORS"}
        ]),
    );
    connector.post("/$break-glass", &opened).expect(202);
    // The connector dies in the middle of it, too.
    connector.kill();
    connector.start();
    let decided = connector.post("/Consent/$decide", &question).json();
    assert_eq!(
        (said(&decided, "decision"), said(&decided, "emergency")),
        (&json!("permit"), &json!(true)),
        "{decided}"
    );
    back(world);
    wait_until("the emergency is handed in", || connector.log().contains("was handed in"));
    let args = ["trace", "--patient", &ins(35), "--oid", OID, "--limit", "500", "--json"];
    let lines = world.sillage(&args).ok().json_lines();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<_>>();
    let glass = of("breakglass.opened");
    assert_eq!(glass.len(), 1, "{lines:?}");
    assert!(glass[0]["flags"].to_string().contains("DEFERRED"), "{}", glass[0]);
    // What was refused and what was given, and the reading of before.
    assert_eq!(of("access.read").len(), 3, "{lines:?}");
    let got = connector.post("/Consent/$decide", &question).json();
    assert!(got["parameter"].to_string().contains("receipt"), "the ledger decides again: {got}");
}

/// `sillage-node dev`, until it is ready. It ends when its input does.
fn dev(dir: &Path, more: &[&str]) -> std::process::Child {
    let mut command = Command::new(program("sillage-node").expect("it was built"));
    command.arg("dev").arg("--dir").arg(dir).args(more).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut said).expect("a line");
    assert_eq!(said, "ready\n");
    child
}

fn stop(mut child: std::process::Child) {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    child.wait().expect("it is gone");
}

fn a_consent_takes_a_thousand_versions_and_can_still_be_revoked(world: &mut World) {
    const VERSIONS: usize = 1_000;
    let mut connector = connector(world, "versions");
    connector.start();
    let id = connector.post("/Consent", &consent(24, "1750712184", "TREAT")).expect(201).id();
    let put = |version: usize| {
        let mut newer = consent(24, "1750712184", if version.is_multiple_of(2) { "HPAYMT" } else { "TREAT" });
        newer["id"] = json!(id);
        newer["dateTime"] = json!(in_s(-1));
        let headers = [FHIR_JSON, ("Prefer", "return=minimal")];
        connector.send("PUT", &format!("/Consent/{id}"), &headers, newer.to_string().as_bytes())
    };
    for version in 2..=VERSIONS {
        let etag = format!("W/\"{version}\"");
        assert_eq!(put(version).expect(200).header("etag"), Some(etag.as_str()));
    }
    let (code, said, element) = put(VERSIONS + 1).expect(409).issue();
    assert!(code == "too-costly" && said.contains("revoke it") && element == "Consent.meta.versionId", "{said}");
    connector.send("DELETE", &format!("/Consent/{id}"), &[], b"").expect(204);
    assert_eq!(connector.get(&format!("/Consent/{id}")).expect(200).json()["status"], "inactive");
    let in_force = Patient(24).asks(world, &["consent", "list"]).ok();
    assert!(!in_force.stdout.contains("HPAYMT"), "{in_force}");
}

fn a_test_log_keeps_its_connector(world: &mut World) {
    let dir = world.path("with-connector");
    let port = free_ports(5).expect("free ports").to_string();
    let running = dev(&dir, &["--connector", "--base-port", &port]);
    let profile = sillage_client::profile::Profile::load(&dir.join("sillage.toml")).expect("a profile");
    let (fhir, token) = (profile.fhir.expect("named"), profile.fhir_token.expect("named"));
    assert!(fhir.starts_with("http://127.0.0.1:") && token.len() >= 32, "{fhir}");
    let connector = Connector::at(&dir.join("connector"));
    let sent = event(&ins(36), "dev-1");
    connector.post("/AuditEvent", &sent).expect(201);
    stop(running);
    assert!(connector.caller().try_post("/AuditEvent", &sent).is_none(), "it ends with the log");
    // Without being asked again, also at other ports.
    let other = free_ports(5).expect("free ports").to_string();
    let running = dev(&dir, &["--base-port", &other]);
    let connector = Connector::at(&dir.join("connector"));
    assert_eq!(connector.post("/AuditEvent", &sent).status, 200, "the same as before");
    stop(running);
}

fn a_token_for_development_is_for_test_logs_on_this_machine(world: &mut World) {
    let real = world.path("real");
    let made = Command::new(program("sillage-node").expect("it was built"))
        .args(["init", "--origin", "log.example/real", "--nodes", "1=127.0.0.1:7400:7401", "--authorities", "1"])
        .args(["--one-key-suffices", "--with-profile", "--dir"])
        .arg(&real)
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let init = |name: &str, profile: &Path, listen: &str| {
        let mut command = Command::new(program("sillage-connector").expect("it was built"));
        command.args(["init", "--dev", "--listen", listen]).arg("--dir").arg(world.path(name));
        sillage_tests::world::run(command.arg("--profile").arg(profile), b"")
    };
    init("refused-1", &real.join("sillage.toml"), "127.0.0.1:8080").fails(1).naming("test logs");
    init("refused-2", &world.profile_file(), "0.0.0.0:8080").fails(1).naming("loopback");
    assert!(!world.path("refused-1").exists() && !world.path("refused-2").exists(), "nothing was made");
    init("dev-made", &world.profile_file(), "127.0.0.1:8080").ok();
    init("dev-made", &world.profile_file(), "127.0.0.1:8080").fails(1).naming("never overwritten");
}
