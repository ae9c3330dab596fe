//! The connector with programs that nobody here wrote: every example of `docs/examples/connector` runs against three nodes, and
//! every resource that the connector gives is validated by a validator of others.
//!
//! The programs come from their registries, into a folder beside the build. Where that can't be, or a language isn't there, the
//! story says that it is skipped; in CI it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use serde_json::{Value, json};
use sillage_tests::connector::{Connector, Setup, TOKEN};
use sillage_tests::health::{Patient, rpps};
use sillage_tests::lines::{OID, audit_event, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

struct House {
    world: World,
    door: Connector,
}

/// The patient of the examples.
const PATIENT: u64 = 77;

fn main() -> ExitCode {
    let begin = || {
        let world = World::begin();
        let profile = world.register("connector", "recorder,decider,emergency,consent-desk");
        let door = Connector::open(&world, "door", &profile, &Setup::development());
        Patient(PATIENT).deposits(&world, &rpps(77), &[("doc-of-the-examples", "REPORT", &[])]);
        House { world, door }
    };
    tell(
        begin,
        stories![
            curl_records_and_filters,
            python_records_and_filters,
            javascript_records_and_filters,
            java_records_and_filters,
            python_signs_over_grpc_with_the_published_messages_alone,
            every_resource_passes_the_validators_of_others,
        ],
    )
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/connector").canonicalize().expect("the examples")
}

/// Whether a program is on the PATH.
fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Says that a story is skipped, where it may be.
fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs it: {why}");
    println!("skipped: {why}");
}

/// Whether these programs are there.
fn have(programs: &[&str]) -> bool {
    match programs.iter().find(|program| !on_path(program)) {
        None => true,
        Some(missing) => {
            skipped(&format!("{missing} isn't there"));
            false
        }
    }
}

/// The folder for packages of others: kept beside the build, so that they are fetched once.
fn packages(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let dir = here.ancestors().nth(2).expect("target/debug").join("examples-packages").join(name);
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// Runs a command that fetches packages; false where it can't.
fn fetched(command: &mut Command) -> bool {
    match command.output() {
        Ok(out) if out.status.success() => true,
        Ok(out) => {
            skipped(&format!("the packages can't be fetched: {}", String::from_utf8_lossy(&out.stderr)));
            false
        }
        Err(error) => {
            skipped(&format!("the packages can't be fetched: {error}"));
            false
        }
    }
}

/// Runs an example.
fn run(house: &House, command: &mut Command, document: &str) -> Output {
    let receipts = house.world.path("receipts");
    std::fs::create_dir_all(&receipts).expect("a folder");
    command
        .env("FHIR_BASE", house.door.base())
        .env("FHIR_TOKEN", TOKEN)
        .env("INS", ins(PATIENT))
        .env("INS_OID", OID)
        .env("RPPS", rpps(77))
        .env("DOCUMENT", document)
        .env("RECEIPTS", &receipts)
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .env("NO_PROXY", "127.0.0.1");
    command.output().expect("the program is there")
}

fn said(out: &Output) -> String {
    format!("{}\n{}{}", out.status, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Runs an example that records, and checks that its event is there.
fn records(house: &House, command: &mut Command) {
    let out = run(house, command, "");
    assert!(out.status.success(), "{}", said(&out));
    let text = String::from_utf8_lossy(&out.stdout);
    let id = text.trim().lines().last().expect("an id");
    house.door.get(&format!("/AuditEvent/{id}")).expect(200);
}

/// Runs a filter on a document that is permitted, and on one that isn't there; the receipt of the first is verified.
fn filters(house: &House, command: &dyn Fn() -> Command) {
    // Of this filter alone.
    let _none_yet = std::fs::remove_dir_all(house.world.path("receipts"));
    let out = run(house, &mut command(), "doc-of-the-examples");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "doc-of-the-examples");
    let newest =
        std::fs::read_dir(house.world.path("receipts")).expect("a folder").flatten().map(|entry| entry.path()).max();
    let receipt = newest.expect("a receipt was kept").display().to_string();
    let (whose, actor) = (ins(PATIENT), rpps(77));
    let check = [
        "authorize",
        "check",
        "--receipt",
        &receipt,
        "--actor",
        &actor,
        "--patient",
        &whose,
        "--oid",
        OID,
        "--items",
        "doc-of-the-examples",
    ];
    house.world.sillage(&check).ok();
    let out = run(house, &mut command(), "doc-missing");
    assert_eq!(out.status.code(), Some(3), "{}", said(&out));
}

fn curl_records_and_filters(house: &mut House) {
    if !have(&["curl", "base64", "sed"]) {
        return;
    }
    let script = |name: &str| {
        let mut command = Command::new("sh");
        command.arg(examples().join("curl").join(name));
        command
    };
    records(house, &mut script("record.sh"));
    filters(house, &|| script("filter.sh"));
}

/// Python in a folder of its own with the packages that `requirements` names; none where they can't be fetched.
fn python(name: &str, requirements: &Path) -> Option<PathBuf> {
    if !have(&["python3"]) {
        return None;
    }
    let (dir, python) = (packages(name), packages(name).join("bin/python"));
    if !python.is_file() && !fetched(Command::new("python3").args(["-m", "venv"]).arg(&dir)) {
        return None;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements);
    fetched(&mut install).then_some(python)
}

fn python_records_and_filters(house: &mut House) {
    let Some(python) = python("python", &examples().join("python/requirements.txt")) else { return };
    let script = |name: &str| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(examples().join("python").join(name));
        command
    };
    for name in ["record.py", "record_fhirpy.py", "record_fhirclient.py"] {
        records(house, &mut script(name));
    }
    filters(house, &|| script("filter.py"));
}

/// A third implementation of the formats: nothing of ours runs in it, and the nodes take what it signs.
fn python_signs_over_grpc_with_the_published_messages_alone(house: &mut House) {
    let own = examples().join("../grpc").canonicalize().expect("the example");
    let Some(python) = python("python-grpc", &own.join("requirements.txt")) else { return };
    let (protos, out) = (own.join("../../../proto/proto"), house.world.path("generated"));
    std::fs::create_dir_all(&out).expect("a folder");
    let made = Command::new(&python)
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(&protos)
        .arg(format!("--python_out={}", out.display()))
        .arg(format!("--grpc_python_out={}", out.display()))
        .args(["sillage/v1/record.proto", "sillage/v1/ledger.proto"])
        .output()
        .expect("python is there");
    assert!(made.status.success(), "{}", said(&made));
    // Twice: its stream goes on where it ended.
    for document in ["urn:example:python-1", "urn:example:python-2"] {
        let mut command = Command::new(&python);
        command.arg("-B").arg(own.join("record.py")).arg(house.world.profile_file()).env("PYTHONPATH", &out);
        let ran = run(house, &mut command, document);
        assert!(ran.status.success(), "{}", said(&ran));
        let index = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        let entry = house.world.sillage(&["entry", &index, "--json"]).ok().json();
        assert!(entry.to_string().contains(document), "{entry}");
    }
}

/// The folder in which the JavaScript examples stand with their packages; none where they can't be fetched.
fn javascript() -> Option<PathBuf> {
    if !have(&["node", "npm"]) {
        return None;
    }
    let dir = packages("javascript");
    for entry in std::fs::read_dir(examples().join("javascript")).expect("the examples").flatten() {
        std::fs::copy(entry.path(), dir.join(entry.file_name())).expect("a copy");
    }
    let lock = std::fs::read(dir.join("package-lock.json")).expect("a lock");
    let installed = dir.join("installed-lock.json");
    // What is there may be of an earlier list of packages.
    let there = std::fs::read(&installed).is_ok_and(|installed| installed == lock);
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    if !there && !fetched(Command::new("npm").args(install).current_dir(&dir)) {
        return None;
    }
    std::fs::write(&installed, lock).expect("a file");
    Some(dir)
}

fn javascript_records_and_filters(house: &mut House) {
    let Some(dir) = javascript() else { return };
    let script = |name: &str| {
        let mut command = Command::new("node");
        command.arg(dir.join(name));
        command
    };
    for name in ["record_fhir_kit_client.mjs", "record_medplum.mjs"] {
        records(house, &mut script(name));
    }
    filters(house, &|| script("filter.mjs"));
}

fn java_records_and_filters(house: &mut House) {
    if !have(&["java"]) {
        return;
    }
    let script = |name: &str| {
        let mut command = Command::new("java");
        command.arg(examples().join("java").join(name));
        command
    };
    records(house, &mut script("Record.java"));
    filters(house, &|| script("Filter.java"));
}

fn every_resource_passes_the_validators_of_others(house: &mut House) {
    let Some(dir) = javascript() else { return };
    let Some(python) = python("python", &examples().join("python/requirements.txt")) else { return };
    let door = &house.door;
    door.post("/AuditEvent", &audit_event("validated", "v")).expect(201);
    let decide = json!({"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueIdentifier": {"system": format!("urn:oid:{OID}"), "value": ins(PATIENT)}},
        {"name": "actor", "valueIdentifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": rpps(77)}},
        {"name": "purpose", "valueCode": "TREAT"}, {"name": "action", "valueCode": "read"},
        {"name": "item", "valueString": "doc-of-the-examples"}]});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "POST", "url": "AuditEvent"}, "resource": audit_event("validated", "w")},
        {"request": {"method": "GET", "url": "Patient/1"}}]});
    let replies = [
        ("metadata", door.get("/metadata").expect(200)),
        ("search", door.get("/AuditEvent?_count=500").expect(200)),
        ("notes", door.get("/AuditEvent?_count=100000&unknown=1").expect(200)),
        ("outcome", door.get("/AuditEvent?_include=*").expect(400)),
        ("unauthorised", door.send_bare("GET", "/AuditEvent", &[], b"").expect(401)),
        ("decide", door.post("/Consent/$decide", &decide).expect(200)),
        ("batch", door.post("/", &batch).expect(200)),
        ("structures", door.get("/StructureDefinition").expect(200)),
        ("operations", door.get("/OperationDefinition").expect(200)),
    ];
    let files: Vec<PathBuf> =
        replies.iter().map(|(name, reply)| house.world.write(&format!("{name}.json"), &reply.body)).collect();
    // One that the validators refuse.
    let wrong: Value =
        json!({"resourceType": "OperationOutcome", "issue": [{"severity": "bad", "code": "invalid"}], "x": 1});
    let wrong = house.world.write("wrong.json", wrong.to_string());
    for (program, script) in [
        (Path::new("node"), dir.join("validate.mjs")),
        (Path::new("node"), dir.join("validate_medplum.mjs")),
        (&python, examples().join("python/validate.py")),
    ] {
        let validate = |files: &[PathBuf]| {
            let out = Command::new(program).arg(&script).args(files).env("PYTHONDONTWRITEBYTECODE", "1").output();
            out.expect("the program is there")
        };
        let out = validate(&files);
        assert!(out.status.success(), "{}: {}", script.display(), said(&out));
        assert!(!validate(std::slice::from_ref(&wrong)).status.success(), "{} sees what is wrong", script.display());
    }
}
