//! FHIR Consents decide as they say, and a patient's trace goes out and comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use sillage_rules::ident::Ins;
use sillage_tests::fixtures;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};

/// Something was refused, and said so on its line.
trait Partly {
    fn partly(self) -> Self;
}

impl Partly for Run {
    fn partly(self) -> Self {
        assert_eq!(self.code, Some(1), "{self}");
        self
    }
}

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            a_consent_decides_as_it_says,
            a_consent_is_imported_once,
            a_changed_consent_replaces_what_is_on_record,
            a_withdrawn_consent_ends_what_it_permitted,
            what_ended_is_on_record_as_ended,
            consents_of_one_id_of_two_servers_are_two,
            consents_of_one_id_that_nothing_tells_apart_are_not_merged,
            a_consent_that_was_deleted_on_its_server_ends,
            what_is_refused_is_said_in_french,
            what_cannot_be_said_is_refused_as_a_whole,
            published_consents_import_or_name_their_element,
            a_trace_goes_out_and_its_directives_come_back,
            a_trace_goes_out_as_rows_and_as_lines,
        ],
    )
}

const REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

/// What `Patient/<patient>` signed at the structure 750712184 for treatment.
fn consent(patient: &str, id: &str) -> Value {
    json!({
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": format!("Patient/{patient}")},
        "dateTime": "2026-01-05",
        "organization": [{"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}}],
        "sourceReference": {"reference": "DocumentReference/signed"},
        "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {"type": "permit", "purpose": [{"system": REASON, "code": "TREAT"}]}
    })
}

fn import(world: &World, name: &str, resource: &Value) -> Run {
    let file = world.write(&format!("{name}.json"), resource.to_string());
    world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"])
}

fn demo(patient: &str) -> Ins {
    Ins::demo(&format!("Patient/{patient}"))
}

/// Whether a physician of 750712184 may read a document, by what the ledger answers.
fn may_read(world: &World, patient: &str, document: &str) -> bool {
    let ins = demo(patient);
    let args = [
        "authorize",
        "--patient",
        ins.value(),
        "--oid",
        ins.oid().as_str(),
        "--actor",
        "10100534436",
        "--actor-profession",
        "physician",
        "--actor-organisation",
        "750712184",
        "--action",
        "read",
        "--purpose",
        "TREAT",
        "--items",
        document,
        "--json",
    ];
    let answer = world.sillage(&args).ok().json();
    let permitted = answer["permitted"].as_array().unwrap_or_else(|| panic!("what is permitted: {answer}"));
    permitted.iter().any(|id| *id == document)
}

fn a_consent_decides_as_it_says(world: &mut World) {
    assert!(!may_read(world, "says", "DocumentReference/1"), "nobody has permitted anything yet");
    let mut said = consent("says", "says");
    said["provision"]["provision"] =
        json!([{"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": "DocumentReference/2"}}]}]);
    let printed = import(world, "says", &said).ok().json_lines();
    assert_eq!(printed[0]["directive"], "Consent/says", "{printed:?}");
    assert!(printed[0]["index"].is_u64() && printed[0].get("expired").is_none(), "{printed:?}");
    assert!(may_read(world, "says", "DocumentReference/1"));
    assert!(!may_read(world, "says", "DocumentReference/2"), "the exception");
}

fn a_consent_is_imported_once(world: &mut World) {
    let first = import(world, "once", &consent("once", "once")).ok();
    let second = import(world, "once", &consent("once", "once")).ok();
    assert_eq!(first.json_lines(), second.json_lines());
    // The same, written otherwise: known by what it says.
    let file = world.write("once-pretty.json", format!("{:#}", consent("once", "once")));
    let third = world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"]).ok();
    assert_eq!(third.json_lines()[0]["index"], first.json_lines()[0]["index"]);
}

fn a_changed_consent_replaces_what_is_on_record(world: &mut World) {
    import(world, "changed-1", &consent("changed", "changed")).ok();
    assert!(may_read(world, "changed", "DocumentReference/1"));
    let mut refused = consent("changed", "changed");
    refused["dateTime"] = json!("2026-02-05");
    refused["provision"]["type"] = json!("deny");
    let printed = import(world, "changed-2", &refused).ok().json_lines();
    assert!(printed.iter().any(|line| line["revoked"] == true), "{printed:?}");
    assert!(!may_read(world, "changed", "DocumentReference/1"));
    let older = import(world, "changed-3", &with_label(consent("changed", "changed"))).partly().json_lines();
    assert_eq!(older[0]["path"], "Consent.dateTime", "{older:?}");
}

fn with_label(mut consent: Value) -> Value {
    let system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
    consent["provision"]["securityLabel"] = json!([{"system": system, "code": "N"}]);
    consent
}

fn a_withdrawn_consent_ends_what_it_permitted(world: &mut World) {
    let mut withdrawn = consent("withdrawn", "withdrawn");
    withdrawn["status"] = json!("inactive");
    let never = import(world, "never", &withdrawn).partly().json_lines();
    assert_eq!(never[0]["path"], "Consent.status", "{never:?}");
    // Both in one folder, the withdrawal after what it withdraws.
    let lines = format!("{}\n{withdrawn}\n", consent("withdrawn", "withdrawn"));
    let file = world.write("withdrawn.ndjson", lines);
    let run = world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"]).ok();
    let printed = run.json_lines();
    assert_eq!(printed.len(), 2, "a line for each version: {run}");
    assert_eq!(printed[1]["revoked"], true, "{run}");
    assert!(!may_read(world, "withdrawn", "DocumentReference/1"));
    let again = world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"]).ok();
    let again = again.json_lines();
    let at = |lines: &[Value]| lines.iter().map(|line| line["index"].clone()).collect::<Vec<_>>();
    assert_eq!(at(&again), at(&printed), "nothing is recorded twice");
    assert_eq!(again[0]["revoked"], true, "what was ended says so");
}

/// A Consent of a patient that names no organization that collected it, and permits one document to 750712184.
fn of_nobody(patient: &str, document: &str) -> Value {
    let mut out = consent(patient, "shared");
    out.as_object_mut().expect("an object").remove("organization");
    let role = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    let structure = json!({"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"});
    out["provision"]["actor"] = json!([{
        "role": {"coding": [{"system": role, "code": "IRCP"}]},
        "reference": {"type": "Organization", "identifier": structure},
    }]);
    out["provision"]["data"] =
        json!([{"meaning": "instance", "reference": {"reference": format!("DocumentReference/{document}")}}]);
    out
}

/// A Bundle of one Consent of a server; whose it is by an absolute identity, for a server has its own `Patient/1`.
fn at(server: &str, mut consent: Value, date: &str) -> Value {
    let ins = demo("servers");
    let system = format!("urn:oid:{}", ins.oid().as_str());
    consent["patient"] = json!({"identifier": {"system": system, "value": ins.value()}});
    consent["dateTime"] = json!(date);
    let url = format!("https://{server}.example/fhir/Consent/shared");
    json!({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": url, "resource": consent}]})
}

fn consents_of_one_id_of_two_servers_are_two(world: &mut World) {
    let permits = |document: &str| of_nobody("servers", document);
    // Each permits documents of its own server, whatever other servers call theirs.
    let reads = |world: &World| {
        [("a", "1"), ("b", "2"), ("b", "3")].map(|(server, document)| {
            may_read(world, "servers", &format!("https://{server}.example/fhir/DocumentReference/{document}"))
        })
    };
    let first = import(world, "server-a", &at("a", permits("1"), "2026-01-05")).ok().json_lines();
    assert_eq!(first[0]["directive"], "Consent/shared", "{first:?}");
    let second = import(world, "server-b", &at("b", permits("2"), "2026-01-06")).ok().json_lines();
    assert_eq!(second[0]["directive"], "https://b.example/fhir/Consent/shared", "{second:?}");
    assert_eq!(reads(world), [true, true, false], "neither replaced the other");
    assert!(!may_read(world, "servers", "https://b.example/fhir/DocumentReference/1"), "another one at b");
    for (server, printed) in [("a", &first), ("b", &second)] {
        let again = world.path(&format!("server-{server}.json"));
        let again = world.sillage(&["import", "--fhir", &again.to_string_lossy(), "--demo-patients"]).ok();
        assert_eq!(&again.json_lines(), printed, "nothing twice");
    }
    // A newer version replaces what its own server said.
    import(world, "server-b2", &at("b", permits("3"), "2026-01-07")).ok();
    assert_eq!(reads(world), [true, false, true]);
    let mut withdrawn = permits("3");
    withdrawn["status"] = json!("inactive");
    let ended = import(world, "server-b3", &at("b", withdrawn, "2026-01-08")).ok().json_lines();
    assert_eq!(ended[0]["revoked"], true, "{ended:?}");
    assert_eq!(reads(world), [true, false, false], "{ended:?}");
}

fn consents_of_one_id_that_nothing_tells_apart_are_not_merged(world: &mut World) {
    let given = |document: &str, date: &str| {
        let mut out = of_nobody("apart", document);
        out["dateTime"] = json!(date);
        out
    };
    let export = |world: &World, name: &str, consent: &Value, more: &[&str]| {
        let file = world.write(&format!("{name}.ndjson"), format!("{consent}\n"));
        world.sillage(&[&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"][..], more].concat())
    };
    let reads =
        |world: &World| ["1", "2"].map(|document| may_read(world, "apart", &format!("DocumentReference/{document}")));
    export(world, "apart-a", &given("1", "2026-01-05"), &[]).ok();
    // The patient collected both, and neither file names a server: it may be another hospital's.
    let second = export(world, "apart-b", &given("2", "2026-01-06"), &[]).partly().json_lines();
    assert_eq!(second[0]["path"], "Consent.id", "{second:?}");
    assert!(second[0]["error"].to_string().contains("--source"), "{second:?}");
    let mut withdrawn = given("1", "2026-01-07");
    withdrawn["status"] = json!("inactive");
    let ended = export(world, "apart-c", &withdrawn, &[]).partly().json_lines();
    assert_eq!((&ended[0]["path"], reads(world)), (&json!("Consent.id"), [true, false]), "nothing ended: {ended:?}");
    // A business identifier says that two versions are one Consent.
    let identified = |mut consent: Value| {
        consent["id"] = json!("identified");
        consent["identifier"] = json!([{"system": "urn:oid:1.2.3", "value": "7"}]);
        consent
    };
    export(world, "apart-d", &identified(given("2", "2026-01-05")), &[]).ok();
    assert_eq!(reads(world), [true, true]);
    let ended = export(world, "apart-e", &identified(withdrawn), &[]).ok().json_lines();
    assert_eq!((&ended[0]["revoked"], reads(world)), (&json!(true), [true, false]), "{ended:?}");
}

fn a_consent_that_was_deleted_on_its_server_ends(world: &mut World) {
    let mut given = consent("deleted", "deleted");
    let ins = demo("deleted");
    let system = format!("urn:oid:{}", ins.oid().as_str());
    given["patient"] = json!({"identifier": {"system": system, "value": ins.value()}});
    import(world, "deleted", &given).ok();
    assert!(may_read(world, "deleted", "DocumentReference/1"));
    let deletion = json!({
        "request": {"method": "DELETE", "url": "Consent/deleted"},
        "response": {"status": "204", "lastModified": "2026-03-01T09:00:00Z"},
    });
    let history = |entries: &[&Value]| json!({"resourceType": "Bundle", "type": "history", "entry": entries});
    let alone = import(world, "deleted-alone", &history(&[&deletion])).partly().json_lines();
    assert_eq!(alone[0]["path"], "Bundle.entry[0].request", "nothing says whose it was: {alone:?}");
    assert!(may_read(world, "deleted", "DocumentReference/1"));
    let version = json!({"fullUrl": "https://c.example/fhir/Consent/deleted", "resource": given});
    let whole = history(&[&deletion, &version]);
    let ended = import(world, "deleted-whole", &whole).ok().json_lines();
    assert_eq!(ended[0]["revoked"], true, "{ended:?}");
    assert_eq!(ended[0]["entry"], 0, "it names the entry of the Bundle: {ended:?}");
    assert!(!may_read(world, "deleted", "DocumentReference/1"));
    let again = import(world, "deleted-whole", &whole).ok().json_lines();
    assert_eq!(again[0]["index"], ended[0]["index"], "nothing twice: {again:?}");
}

fn what_is_refused_is_said_in_french(world: &mut World) {
    let file = world.write("en-francais.json", consent("nobody-knows", "fr").to_string());
    let run = world.sillage(&["import", "--lang", "fr", "--fhir", &file.to_string_lossy()]).partly();
    let line = &run.json_lines()[0];
    assert_eq!(line["path"], "Consent.patient");
    let said = line["error"].as_str().expect("a reason");
    assert!(said.contains("n'a pas d'INS") && said.contains("--patient-map"), "{said}");
}

fn what_ended_is_on_record_as_ended(world: &mut World) {
    let mut ended = consent("ended", "ended");
    ended["provision"]["period"] = json!({"end": "2026-01-31"});
    let printed = import(world, "ended", &ended).ok().json_lines();
    assert_eq!(printed[0]["expired"], true, "{printed:?}");
    assert!(!may_read(world, "ended", "DocumentReference/1"));
}

fn what_cannot_be_said_is_refused_as_a_whole(world: &mut World) {
    let mut timeframe = consent("whole", "whole");
    timeframe["provision"]["provision"] = json!([{"type": "deny", "dataPeriod": {"start": "2022-01"}}]);
    let printed = import(world, "whole", &timeframe).partly().json_lines();
    assert_eq!(printed[0]["path"], "Consent.provision.provision[0].dataPeriod", "{printed:?}");
    // Somebody whom nothing on record makes a representative.
    let mut mother = consent("whole", "mother");
    mother["performer"] = json!([{"reference": "RelatedPerson/mother"}]);
    mother["provision"]["actor"] = json!([
        {"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
         "reference": {"reference": "Practitioner/1"}},
        {"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
         "reference": {"reference": "Practitioner/2"}}
    ]);
    let printed = import(world, "mother", &mother).partly().json_lines();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert_eq!(printed[0]["path"], "Consent.performer", "{printed:?}");
    assert!(!may_read(world, "whole", "DocumentReference/1"));
}

fn published_consents_import_or_name_their_element(world: &mut World) {
    let Some(folder) = fixtures::folder("fhir") else { return };
    let import = |name: &str| {
        let file = folder.join(name);
        world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--demo-patients"])
    };
    let research = import("Consent-ex-consent-basic-research.json").ok().json_lines();
    assert_eq!(research[0]["directive"], "Consent/ex-consent-basic-research");
    let expired = import("Consent-ex-consent-expired-treat.json").ok().json_lines();
    assert_eq!(expired[0]["expired"], true);
    let group = import("Consent-ex-consent-advanced-normal-break-glass-restricted.json").partly().json_lines();
    assert_eq!(group[0]["path"], "Consent.provision.provision[0].actor[0].reference");
}

fn a_trace_goes_out_and_its_directives_come_back(world: &mut World) {
    let index = import(world, "out", &consent("out", "out")).ok().json_lines()[0]["index"].clone();
    assert!(may_read(world, "out", "DocumentReference/1"));
    let patient = demo("out");
    let out = world.path("bundle.json");
    let args = |out: &std::path::Path| {
        let (ins, oid) = (patient.value().to_owned(), patient.oid().as_str().to_owned());
        ["export", "--patient", &ins, "--oid", &oid, "--format", "fhir", "--out", &out.to_string_lossy()]
            .map(str::to_owned)
    };
    let export = args(&out);
    let said = world.sillage(&export.each_ref().map(String::as_str)).ok().json();
    assert_eq!(said["directives"], 1, "{said}");
    assert_eq!(fs::metadata(&out).expect("the file").permissions().mode() & 0o777, 0o600);
    let bundle: Value = serde_json::from_slice(&fs::read(&out).expect("readable")).expect("JSON");
    let resources: Vec<&Value> =
        bundle["entry"].as_array().expect("entries").iter().map(|entry| &entry["resource"]).collect();
    let consents: Vec<&&Value> = resources.iter().filter(|r| r["resourceType"] == "Consent").collect();
    assert_eq!(consents.len(), 1);
    // Why it was permitted: the decision names the directive, and the directive is in the Bundle.
    let decided = resources.iter().find(|r| r["type"]["code"] == "110113").expect("the decision");
    let name = format!("Consent/{}", consents[0]["id"].as_str().expect("an id"));
    assert_eq!(name, format!("Consent/d{index}"));
    let relied_on = decided["entity"].as_array().expect("entities").iter();
    assert!(relied_on.clone().any(|entity| entity["what"]["reference"] == name.as_str()), "{decided:#}");
    assert!(decided["extension"].to_string().contains("CONSENT_GRANT"), "{decided:#}");
    // A file that is there is left alone.
    world.sillage(&export.each_ref().map(String::as_str)).fails(2);
    // In this log it is on record already, and what the ledger says of itself is no access.
    let again = world.sillage(&["import", "--fhir", &out.to_string_lossy()]).ok().json_lines();
    let back = again.iter().find(|line| line["directive"] == "Consent/out").expect("the directive");
    assert_eq!(back["index"], index, "{again:?}");
    assert!(again.iter().any(|line| line.get("skipped").is_some()), "{again:?}");
    // The same directive, of another patient: it decides the same.
    let mut moved = (**consents[0]).clone();
    moved["patient"] = json!({"reference": "Patient/moved"});
    moved["performer"] = json!([{"reference": "Patient/moved"}]);
    assert!(!may_read(world, "moved", "DocumentReference/1"));
    let printed = import(world, "moved", &moved).ok().json_lines();
    assert_eq!(printed[0]["directive"], "Consent/out");
    assert!(may_read(world, "moved", "DocumentReference/1"));
}

fn a_trace_goes_out_as_rows_and_as_lines(world: &mut World) {
    let patient = ins(301);
    let mut odd = access(&patient, "rows");
    odd["actor"]["label"] = json!("=HYPERLINK(\"http://evil.example\")");
    world.record(&[odd]);
    let export = |format: &str| {
        let out = world.path(&format!("rows.{format}"));
        let out_text = out.to_string_lossy().into_owned();
        world.sillage(&["export", "--patient", &patient, "--oid", OID, "--format", format, "--out", &out_text]).ok();
        fs::read_to_string(out).expect("the file")
    };
    let csv = export("csv");
    assert!(csv.starts_with("\"index\",") && csv.contains("\r\n"), "{csv}");
    assert!(csv.contains("\"'=HYPERLINK(\"\"http://evil.example\"\")\""), "{csv}");
    let lines = export("json");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| line["kind"] == "access.read"), "{lines:?}");
}
