//! The connector's REST door, against three nodes: what is recorded, found and refused, and who may call.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_tests::connector::{Connector, Setup, TOKEN};
use sillage_tests::health::{Patient, in_s, rpps};
use sillage_tests::http::Reply;
use sillage_tests::lines::{OID, ins};
use sillage_tests::resources::{consent, event, gzip, named, parameters, question, who};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

struct House {
    world: World,
    profile: PathBuf,
    door: Connector,
}

fn main() -> ExitCode {
    let begin = || {
        let world = World::begin();
        let profile = world.register("connector", "recorder,decider,emergency,consent-desk");
        let door = Connector::open(&world, "door", &profile, &Setup::development());
        House { world, profile, door }
    };
    tell(
        begin,
        stories![
            an_event_is_recorded_read_back_and_found,
            a_retry_is_recorded_once,
            entries_of_a_batch_stand_or_fall_by_themselves,
            a_search_finds_by_every_parameter_and_goes_on_where_it_ended,
            an_event_with_three_patients_shows_each_their_own_part,
            nothing_is_changed_or_deleted,
            bad_bodies_are_refused_and_record_nothing,
            bad_searches_are_refused,
            bodies_that_are_too_large_or_packed_wrongly_are_refused,
            slow_senders_are_cut_and_others_go_on,
            what_the_server_says_of_itself_is_true,
            a_consent_is_created_updated_and_revoked,
            a_decision_shows_what_may_be_known_and_nothing_else,
            a_broken_glass_opens_justifies_and_closes,
            with_the_nodes_away_it_goes_on_and_hands_in_afterwards,
            no_health_data_is_in_the_log,
        ],
    )
}

fn with(mut event: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut event);
    event
}

fn an_event_is_recorded_read_back_and_found(house: &mut House) {
    let door = &house.door;
    let sent = event(1, "one");
    let made = door.post("/AuditEvent", &sent).expect(201);
    let id = made.id();
    assert_eq!(made.header("etag"), Some("W/\"1\""));
    assert_eq!(made.json()["id"], id.as_str());
    let read = door.get(&format!("/AuditEvent/{id}")).expect(200);
    let mut expected = sent.clone();
    expected["id"] = json!(id);
    expected["meta"] = read.json()["meta"].clone();
    assert_eq!(read.json(), expected, "as it was sent");
    assert_eq!(read.header("content-type"), Some("application/fhir+json; charset=utf-8"));
    assert_eq!(read.header("cache-control"), Some("no-store"));
    assert_eq!(read.header("access-control-allow-origin"), None);
    door.get(&format!("/AuditEvent/{id}/_history/1")).expect(200);
    door.send("GET", &format!("/AuditEvent/{id}"), &[("If-None-Match", "W/\"1\"")], b"").expect(304);
    for nothing in ["abababababababab-1-0", "x", "1", &"a".repeat(300)] {
        door.get(&format!("/AuditEvent/{nothing}")).expect(404);
    }
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(1))), 1);
    assert_eq!(door.count(&format!("&_id={id}&patient.identifier=urn:oid:{OID}|{}", ins(2))), 0, "another patient's");
    // It is in the patient's trace, as what it was.
    let trace = Patient(1).asks(&house.world, &["trace"]).ok().json_lines();
    assert!(trace.iter().any(|line| line["kind"] == "access.read"), "{trace:?}");
    // As XML, both ways.
    let xml = door.get(&format!("/AuditEvent/{id}?_format=xml")).expect(200);
    assert_eq!(xml.header("content-type"), Some("application/fhir+xml; charset=utf-8"));
    let text = xml.text().replace("DocumentReference/one", "DocumentReference/xml");
    assert!(text.contains("<AuditEvent xmlns=\"http://hl7.org/fhir\">"), "{text}");
    let headers = [("Content-Type", "application/fhir+xml"), ("Accept", "application/fhir+xml")];
    let made = door.send("POST", "/AuditEvent", &headers, text.as_bytes()).expect(201);
    let read = door.get(&format!("/AuditEvent/{}", made.id())).expect(200).json();
    assert_eq!(read["entity"][1]["what"]["reference"], "DocumentReference/xml");
    let wrong = door.send("GET", "/AuditEvent?_include=*", &[("Accept", "application/fhir+xml")], b"").expect(400);
    assert!(wrong.text().contains("<OperationOutcome"), "{}", wrong.text());
    // What is to come back.
    let minimal = [("Prefer", "return=minimal"), ("Content-Type", "application/json")];
    let made = door.send("POST", "/AuditEvent", &minimal, event(1, "minimal").to_string().as_bytes()).expect(201);
    assert!(made.body.is_empty() && made.header("location").is_some());
    let outcome = [("Prefer", "return=OperationOutcome"), ("Content-Type", "application/json")];
    let made = door.send("POST", "/AuditEvent", &outcome, event(1, "outcome").to_string().as_bytes()).expect(201);
    assert!(made.issue().1.contains("on record at index"));
}

fn a_retry_is_recorded_once(house: &mut House) {
    let door = &house.door;
    let sent = event(2, "retry");
    let first = door.post("/AuditEvent", &sent).expect(201).id();
    let again = door.post("/AuditEvent", &sent).expect(200);
    assert_eq!(again.id(), first);
    let patient = format!("patient.identifier={}", ins(2));
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(2))), 1);
    // By a condition: none, one, several.
    let exist = |condition: &str, document: &str| {
        let headers = [("Content-Type", "application/fhir+json"), ("If-None-Exist", condition)];
        door.send("POST", "/AuditEvent", &headers, event(2, document).to_string().as_bytes())
    };
    exist("entity=DocumentReference/if-none", "if-none").expect(201);
    let one = exist("entity=DocumentReference/if-none", "if-none-again").expect(200);
    assert_eq!(one.json()["entity"][1]["what"]["reference"], "DocumentReference/if-none");
    exist("type=rest", "several").expect(412);
    exist("", "nothing").expect(400);
    exist(&format!("{patient}&unknown=1"), "unknown").expect(400);
    assert_eq!(
        door.count("&entity=DocumentReference/several,DocumentReference/if-none-again,DocumentReference/unknown"),
        0
    );
}

fn entries_of_a_batch_stand_or_fall_by_themselves(house: &mut House) {
    let door = &house.door;
    let post = |resource: Value| json!({"resource": resource, "request": {"method": "POST", "url": "AuditEvent"}});
    let bad = with(event(3, "bad"), |event| drop(event.as_object_mut().expect("an object").remove("agent")));
    let entries = json!([
        post(event(3, "b1")),
        post(bad),
        post(event(3, "b2")),
        {"request": {"method": "GET", "url": "metadata"}},
        {"request": {"method": "DELETE", "url": "AuditEvent/x"}},
        {"resource": event(3, "no request")},
        post(json!({"resourceType": "Bundle", "type": "batch"})),
    ]);
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    for path in ["", "/"] {
        let answer = door.post(path, &bundle).expect(200).json();
        assert_eq!((&answer["resourceType"], &answer["type"]), (&json!("Bundle"), &json!("batch-response")));
        let status = |at: usize| answer["entry"][at]["response"]["status"].as_str().unwrap_or_default().to_owned();
        let expected = if path.is_empty() { "201 Created" } else { "200 OK" };
        let all: Vec<String> = (0..7).map(status).collect();
        assert_eq!((all[0].as_str(), all[2].as_str()), (expected, expected), "{answer}");
        assert!(all[1].starts_with("422") && all[4].starts_with("405") && all[5].starts_with("400"), "{all:?}");
        assert!(all[6].starts_with("400"), "{all:?}");
        assert_eq!(answer["entry"][3]["resource"]["resourceType"], "CapabilityStatement");
        let outcome = &answer["entry"][1]["response"]["outcome"]["issue"][0];
        assert_eq!(outcome["expression"][0], "AuditEvent.agent", "{outcome}");
    }
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(3))), 2);
    let transaction = json!({"resourceType": "Bundle", "type": "transaction", "entry": []});
    door.post("/", &transaction).expect(422);
    door.post("/", &json!({"resourceType": "Bundle", "type": "collection"})).expect(400);
    door.post("/", &event(3, "not a bundle")).expect(400);
    let many: Vec<Value> = (0..1_001).map(|_| json!({"request": {"method": "GET", "url": "metadata"}})).collect();
    door.post("/", &json!({"resourceType": "Bundle", "type": "batch", "entry": many})).expect(413);
}

fn a_search_finds_by_every_parameter_and_goes_on_where_it_ended(house: &mut House) {
    let door = &house.door;
    for at in 0..7 {
        door.post("/AuditEvent", &event(4, &format!("page-{at}"))).expect(201);
    }
    let whose = format!("patient.identifier=urn:oid:{OID}|{}", ins(4));
    for (query, expected) in [
        ("", 7),
        ("&type=rest&subtype=read&action=R&outcome=0", 7),
        ("&subtype=create", 0),
        ("&date=ge2026-01-01", 7),
        ("&date=lt2026-01-01", 0),
        ("&agent.identifier=urn:oid:1.2.250.1.71.4.2.1|810100534436", 7),
        ("&agent.identifier=810100534437", 0),
        ("&entity=DocumentReference/page-3", 1),
        ("&entity=DocumentReference/page-3,DocumentReference/page-4", 2),
        ("&site=archive&source=Device/archive", 7),
        ("&entity-role=3", 7),
    ] {
        assert_eq!(door.count(&format!("&{whose}{query}")), expected, "{query}");
    }
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(4_000))), 0);
    // Page by page; what comes meanwhile isn't in it.
    let mut seen = Vec::new();
    let mut url = format!("/AuditEvent?{whose}&_count=3&_total=none");
    loop {
        let page = door.get(&url).expect(200).json();
        assert_eq!(
            (&page["resourceType"], &page["type"], &page["total"]),
            (&json!("Bundle"), &json!("searchset"), &Value::Null)
        );
        seen.extend(page["entry"].as_array().into_iter().flatten().map(|entry| entry["resource"]["id"].clone()));
        if seen.len() == 3 {
            door.post("/AuditEvent", &event(4, "meanwhile")).expect(201);
        }
        let links = page["link"].as_array().expect("links");
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let next = next["url"].as_str().expect("a url").to_owned();
        assert!(!next.contains(&ins(4)), "a cursor says nothing: {next}");
        // As a client does that appends its own.
        url = format!("{}&_count=2", next.split("/fhir").nth(1).expect("below the base"));
    }
    assert_eq!(seen.len(), 7);
    seen.dedup();
    assert_eq!(seen.len(), 7);
    door.get("/AuditEvent?_cursor=AAAA").expect(400);
    // By POST the patient stays out of the URL, and out of the links.
    let form = format!("patient.identifier=urn%3Aoid%3A{OID}%7C{}&_count=2", ins(4));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let page = door.send("POST", "/AuditEvent/_search", &headers, form.as_bytes()).expect(200);
    assert_eq!(page.json()["entry"].as_array().map(Vec::len), Some(2));
    assert!(!page.json()["link"].to_string().contains(&ins(4)));
    // A huge count is bounded, and another order said to be none.
    let page = door.get(&format!("/AuditEvent?{whose}&_count=1000000000&_sort=type")).expect(200).json();
    let entries = page["entry"].as_array().expect("entries");
    assert!(entries.iter().any(|entry| entry["search"]["mode"] == "outcome"), "{page}");
    // Packed.
    let packed = door.send("GET", &format!("/AuditEvent?{whose}"), &[("Accept-Encoding", "gzip")], b"").expect(200);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
}

fn an_event_with_three_patients_shows_each_their_own_part(house: &mut House) {
    let door = &house.door;
    let entity = |patient: u64| with(event(patient, "ward")["entity"][0].clone(), |_| ());
    let sent = with(event(11, "ward-round"), |event| {
        let entities = event["entity"].as_array_mut().expect("entities");
        entities.push(entity(12));
        entities.push(entity(13));
    });
    let made = door.post("/AuditEvent", &sent).expect(201);
    let id = made.id();
    let whole = door.get(&format!("/AuditEvent/{id}")).expect(200).json();
    assert_eq!(whole["entity"], sent["entity"], "its sender reads it whole");
    for patient in 11..14 {
        let found =
            door.get(&format!("/AuditEvent?patient.identifier=urn:oid:{OID}|{}", ins(patient))).expect(200).json();
        assert_eq!(found["entry"].as_array().map(Vec::len), Some(1), "{found}");
        let text = found["entry"][0]["resource"].to_string();
        assert_eq!(found["entry"][0]["resource"]["id"], id.as_str());
        for other in 11..14 {
            assert_eq!(text.contains(&ins(other)), other == patient, "patient {patient} and {other}: {text}");
        }
    }
}

fn nothing_is_changed_or_deleted(house: &mut House) {
    let door = &house.door;
    let id = door.post("/AuditEvent", &event(5, "kept")).expect(201).id();
    let changed = with(event(5, "changed"), |event| event["id"] = json!(id));
    for (method, body) in [("PUT", changed.to_string()), ("DELETE", String::new()), ("PATCH", "[]".to_owned())] {
        let headers = [("Content-Type", "application/fhir+json")];
        let reply = door.send(method, &format!("/AuditEvent/{id}"), &headers, body.as_bytes()).expect(405);
        assert_eq!(reply.header("allow"), Some("GET"));
        assert_eq!(reply.issue().0, "not-supported");
    }
    door.get(&format!("/AuditEvent/{id}")).expect(200);
}

/// Asserts a refusal: its status, the element that it names, and a sentence.
fn refused(reply: Reply, status: u16, element: &str) {
    let (code, text, expression) = reply.expect(status).issue();
    assert!(expression.starts_with(element), "{expression} ({code}: {text}), expected {element}");
}

fn bad_bodies_are_refused_and_record_nothing(house: &mut House) {
    let door = &house.door;
    let whose = format!("&patient.identifier=urn:oid:{OID}|{}", ins(6));
    let post = |event: &Value| door.post("/AuditEvent", event);
    let remove =
        |name: &str| with(event(6, "bad"), |event| drop(event.as_object_mut().expect("an object").remove(name)));
    refused(post(&remove("agent")), 422, "AuditEvent.agent");
    refused(post(&remove("recorded")), 422, "AuditEvent.recorded");
    refused(post(&remove("resourceType")), 400, "resourceType");
    let future = with(event(6, "future"), |event| event["recorded"] = json!(in_s(3_600)));
    let (_, text, _) = post(&future).expect(422).issue();
    assert!(text.contains("TIME_AHEAD"), "{text}");
    let modified = with(event(6, "modified"), |event| {
        event["modifierExtension"] = json!([{"url": "https://x.example/not", "valueBoolean": true}]);
    });
    refused(post(&modified), 422, "AuditEvent.modifierExtension");
    // R5 and STU3 have other elements.
    let r5 = with(event(6, "r5"), |event| {
        event["category"] = json!([{"text": "rest"}]);
        event["code"] = json!({"text": "read"});
    });
    refused(post(&r5), 422, "AuditEvent.");
    let stu3 = with(event(6, "stu3"), |event| event["agent"][1]["userId"] = json!({"value": "x"}));
    refused(post(&stu3), 422, "AuditEvent.agent[1].userId");
    for version in ["3.0", "5.0"] {
        let media = format!("application/fhir+json; fhirVersion={version}");
        let headers = [("Content-Type", media.as_str())];
        door.send("POST", "/AuditEvent", &headers, event(6, "version").to_string().as_bytes()).expect(415).issue();
        let accept = [("Accept", media.as_str())];
        door.send("GET", "/AuditEvent", &accept, b"").expect(406).issue();
    }
    let json = [("Content-Type", "application/fhir+json")];
    let twice = event(6, "twice").to_string().replacen('{', "{\"outcome\":\"8\",", 1);
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    for body in ["", "{", "null", "[]", "\"AuditEvent\"", "{\"resourceType\": \"AuditEvent\"", &twice, &deep] {
        let status = door.send("POST", "/AuditEvent", &json, body.as_bytes());
        assert_eq!(status.status, 400, "{body:.60}: {}", status.text());
        status.issue();
    }
    door.send("POST", "/AuditEvent", &json, b"{\"resourceType\":\"AuditEvent\",\"id\":\"\xff\"}").expect(400).issue();
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><AuditEvent xmlns=\"http://hl7.org/fhir\">&b;</AuditEvent>";
    let xml = [("Content-Type", "application/fhir+xml")];
    door.send("POST", "/AuditEvent", &xml, bomb.as_bytes()).expect(400).issue();
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        door.send("POST", "/AuditEvent", &[("Content-Type", media)], b"x").expect(415).issue();
    }
    for path in
        ["/Patient", "/Observation", "/Patient/1", "/Bundle", "/$export", "/AuditEvent/$purge", "/AuditEvent/a/b/c/d"]
    {
        let reply = door.post(path, &json!({"resourceType": "Patient"}));
        assert!(matches!(reply.status, 400 | 404 | 405), "{path}: {}", reply.text());
        reply.issue();
    }
    refused(door.post("/AuditEvent", &json!({"resourceType": "Patient", "id": "1"})), 400, "resourceType");
    assert_eq!(door.count(&whose), 0, "nothing was recorded");
}

fn bad_searches_are_refused(house: &mut House) {
    let door = &house.door;
    for query in [
        "_include=*",
        "_revinclude=*",
        "patient.name=Martin",
        "patient:Patient.name=Martin",
        "agent.who.name=x",
        "subject=Patient/1",
        "_has:Provenance:target:agent=1",
        "_filter=x",
        "_count=-1",
        "_count=x",
        "date=never",
        "type:not=rest",
        "patient=",
        "_summary=count",
        "%ff=1",
    ] {
        door.get(&format!("/AuditEvent?{query}")).expect(400).issue();
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        door.send("POST", "/AuditEvent/_search", &form, query.as_bytes()).expect(400).issue();
    }
    door.send("GET", "/AuditEvent?favourite=1", &[("Prefer", "handling=strict")], b"").expect(400).issue();
    let page = door.get("/AuditEvent?favourite=1&_count=1").expect(200).json();
    assert!(page.to_string().contains("favourite"), "what was ignored is said: {page}");
    let many: String = (0..100).map(|at| format!("x{at}=1&")).collect();
    door.get(&format!("/AuditEvent?{many}")).expect(400).issue();
    door.get("/Consent").expect(400).issue();
    door.get("/Consent?status=active").expect(400).issue();
    door.get("/AuditEvent?_format=turtle").expect(406).issue();
}

fn bodies_that_are_too_large_or_packed_wrongly_are_refused(house: &mut House) {
    let door = &house.door;
    // 100 MB are announced, and refused before they come.
    let mut stream = door.connect();
    let head = format!(
        "POST /fhir/AuditEvent HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/fhir+json\r\nContent-Length: 104857600\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head");
    Reply::read(&mut stream).expect(413).issue();
    // In pieces, without a length.
    let mut stream = door.connect();
    let head = head.replace("Content-Length: 104857600", "Transfer-Encoding: chunked");
    stream.write_all(head.as_bytes()).expect("the head");
    let piece = [b"10000\r\n".to_vec(), vec![b' '; 0x1_0000], b"\r\n".to_vec()].concat();
    for _ in 0..32 {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    Reply::read(&mut stream).expect(413).issue();
    // A gzip that unpacks to much more than it is.
    let bomb = gzip(&vec![b' '; 50 << 20]);
    let headers = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "gzip")];
    door.send("POST", "/AuditEvent", &headers, &bomb).expect(413).issue();
    door.send("POST", "/AuditEvent", &headers, b"not gzip").expect(400).issue();
    let headers = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "br")];
    door.send("POST", "/AuditEvent", &headers, b"x").expect(415).issue();
    let headers = [("Content-Type", "application/fhir+json"), ("Content-Encoding", "gzip")];
    door.send("POST", "/AuditEvent", &headers, &gzip(event(7, "packed").to_string().as_bytes())).expect(201);
}

fn slow_senders_are_cut_and_others_go_on(house: &mut House) {
    // A door of its own, so that its bounds are small.
    let mut setup = Setup::development();
    setup.more += "[limits]\nbody_timeout_ms = 2000\nheader_timeout_ms = 2000\n";
    let door = Connector::open(&house.world, "slow", &house.profile, &setup);
    let head = format!(
        "POST /fhir/AuditEvent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/fhir+json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    let begun = Instant::now();
    let mut slow = Vec::new();
    for at in 0..1_000 {
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", door.port())) else { continue };
        // Half of them don't even end their head.
        let sent = if at % 2 == 0 { head.as_bytes() } else { &head.as_bytes()[..30] };
        let _cut = stream.write_all(sent);
        slow.push(stream);
    }
    // While they hang, the connector holds; when they are cut, others are served again.
    let deadline = begun + Duration::from_secs(40);
    let sent = event(8, "after the slow ones");
    loop {
        let reply = door.caller().try_post("/AuditEvent", &sent);
        if reply.is_some_and(|reply| matches!(reply.status, 200 | 201)) {
            break;
        }
        assert!(Instant::now() < deadline, "slow senders keep others out");
        std::thread::sleep(Duration::from_millis(250));
    }
    // Those that sent a head are told why; at least one of them got its answer.
    let told = slow.iter_mut().step_by(2).filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut bytes = [0; 32];
        let len = std::io::Read::read(stream, &mut bytes).ok()?;
        String::from_utf8_lossy(&bytes[..len]).contains("408").then_some(())
    });
    assert!(told.count() > 0, "nobody was told");
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(8))), 1);
}

fn what_the_server_says_of_itself_is_true(house: &mut House) {
    let door = &house.door;
    let bare = door.send_bare("GET", "/metadata", &[], b"").expect(200).json();
    assert_eq!((&bare["resourceType"], &bare["fhirVersion"]), (&json!("CapabilityStatement"), &json!("4.0.1")));
    // Every parameter that it names is understood.
    for resource in bare["rest"][0]["resource"].as_array().expect("resources") {
        let kind = resource["type"].as_str().expect("a type");
        for parameter in resource["searchParam"].as_array().expect("parameters") {
            let name = parameter["name"].as_str().expect("a name");
            let value = match parameter["type"].as_str() {
                Some("date") => "2026-01-01",
                _ => "x",
            };
            let whose = if kind == "Consent" { "&_id=x" } else { "" };
            door.send("GET", &format!("/{kind}?{name}={value}&_count=1{whose}"), &[("Prefer", "handling=strict")], b"")
                .expect(200);
        }
    }
    let all = door.send_bare("GET", "/StructureDefinition", &[], b"").expect(200).json();
    let first = all["entry"][0]["resource"]["id"].as_str().expect("an id").to_owned();
    door.send_bare("GET", &format!("/StructureDefinition/{first}"), &[], b"").expect(200);
    door.send_bare("GET", "/.well-known/smart-configuration", &[], b"").expect(404).issue();
    // Anything else needs a caller.
    for path in ["/AuditEvent", "/Consent?_id=x", "/AuditEvent/x", "/$arrival/1"] {
        let reply = door.send_bare("GET", path, &[], b"").expect(401);
        assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        reply.issue();
    }
    for token in ["Bearer wrong", "Basic YTpi", "Bearer", TOKEN] {
        door.send_bare("GET", "/AuditEvent", &[("Authorization", token)], b"").expect(401).issue();
    }
    door.send("OPTIONS", "/AuditEvent", &[("Origin", "https://x.example")], b"").expect(405);
}

fn a_consent_is_created_updated_and_revoked(house: &mut House) {
    let door = &house.door;
    let made = door.post("/Consent", &consent(21, "1750712184", "TREAT")).expect(201);
    let id = made.id();
    assert_eq!(made.header("etag"), Some("W/\"1\""));
    let read = door.get(&format!("/Consent/{id}")).expect(200).json();
    assert_eq!((&read["status"], &read["meta"]["versionId"]), (&json!("active"), &json!("1")));
    // Found by GET and POST, by the patient and by the actor as token and as reference.
    let whose = format!("patient.identifier=urn:oid:{OID}|{}", ins(21));
    let found = |query: &str| {
        let page = door.get(&format!("/Consent?{whose}{query}")).expect(200).json();
        page["entry"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(found(""), 1);
    assert_eq!(found("&status=active"), 1);
    assert_eq!(found("&status=inactive"), 0);
    assert_eq!(found("&actor=urn:oid:1.2.250.1.71.4.2.2|1750712184"), 1);
    assert_eq!(found("&actor=Organization/other"), 0);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = door.send("POST", "/Consent/_search", &form, whose.as_bytes()).expect(200).json();
    assert_eq!(posted["entry"][0]["resource"]["id"], id.as_str());
    // An update with the version before, and one with another.
    let put = |id: &str, consent: &Value, tag: Option<&str>| {
        let mut headers = vec![("Content-Type", "application/fhir+json")];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        door.send("PUT", &format!("/Consent/{id}"), &headers, consent.to_string().as_bytes())
    };
    let newer = with(consent(21, "1750712184", "HPAYMT"), |consent| {
        consent["id"] = json!(id);
        consent["dateTime"] = json!(in_s(-1));
    });
    put(&id, &newer, Some("W/\"7\"")).expect(412).issue();
    let updated = put(&id, &newer, Some("W/\"1\"")).expect(200);
    assert_eq!(updated.header("etag"), Some("W/\"2\""));
    let read = door.get(&format!("/Consent/{id}")).expect(200).json();
    assert_eq!(read["provision"]["purpose"][0]["code"], "HPAYMT");
    let before = door.get(&format!("/Consent/{id}/_history/1")).expect(200).json();
    assert_eq!(before["provision"]["purpose"][0]["code"], "TREAT");
    assert_eq!(found(""), 1, "the newest version alone");
    let in_force = Patient(21).asks(&house.world, &["consent", "list"]).ok();
    assert!(in_force.stdout.contains("HPAYMT"), "{in_force}");
    // Another patient's, another id's, one that isn't there.
    let others = with(newer.clone(), |consent| consent["patient"]["identifier"]["value"] = json!(ins(22)));
    refused(put(&id, &others, None), 422, "Consent.patient");
    refused(put("other", &newer, None), 400, "Consent.id");
    let unknown = with(newer.clone(), |consent| consent["id"] = json!("unknown"));
    put("unknown", &unknown, None).expect(404).issue();
    // Bad ones record nothing.
    for bad in [
        with(consent(23, "1750712184", "TREAT"), |consent| {
            consent["modifierExtension"] = json!([{"url": "u", "valueBoolean": true}])
        }),
        with(consent(23, "1750712184", "TREAT"), |consent| consent["status"] = json!("proposed")),
        with(consent(23, "1750712184", "TREAT"), |consent| {
            drop(consent.as_object_mut().expect("an object").remove("patient"))
        }),
    ] {
        door.post("/Consent", &bad).expect(422).issue();
    }
    let page = door.get(&format!("/Consent?patient.identifier=urn:oid:{OID}|{}", ins(23))).expect(200).json();
    assert_eq!(page["entry"], Value::Null);
    // Revoked: it ends, and is read as inactive.
    door.send("DELETE", &format!("/Consent/{id}"), &[("If-Match", "W/\"1\"")], b"").expect(412);
    door.send("DELETE", &format!("/Consent/{id}"), &[], b"").expect(204);
    let read = door.get(&format!("/Consent/{id}")).expect(200).json();
    assert_eq!(read["status"], "inactive");
    assert_eq!(found("&status=active"), 0);
    door.send("DELETE", &format!("/Consent/{id}"), &[], b"").expect(204);
}

fn a_decision_shows_what_may_be_known_and_nothing_else(house: &mut House) {
    let (door, patient, own) = (&house.door, Patient(31), rpps(31));
    patient.deposits(&house.world, &own, &[("doc-own", "REPORT", &[])]);
    let answer = door.post("/Consent/$decide", &question(31, &own, &["doc-own", "doc-missing"])).expect(200).json();
    let decisions: Vec<(&Value, &Value)> = named(&answer, "item")
        .iter()
        .map(|item| (&item["part"][0]["valueString"], &item["part"][1]["valueCode"]))
        .collect();
    assert_eq!(decisions[0], (&json!("doc-own"), &json!("permit")), "{answer}");
    assert_eq!(decisions[1].1, "not-found", "{answer}");
    assert_eq!(named(&answer, "decision")[0]["valueCode"], "partial");
    // The receipt is one that the command line verifies.
    use base64::Engine as _;
    let receipt = named(&answer, "receipt")[0]["valueBase64Binary"].as_str().expect("a receipt");
    let receipt = base64::engine::general_purpose::STANDARD.decode(receipt).expect("base64");
    let file = house.world.write("decision.sillage-receipt", receipt);
    let check = [
        "authorize",
        "check",
        "--receipt",
        &file.display().to_string(),
        "--actor",
        &own,
        "--patient",
        &ins(31),
        "--oid",
        OID,
        "--items",
        "doc-own",
    ];
    house.world.sillage(&check).ok();
    // A stranger sees of a document that is there, and of one that isn't, the same.
    let answer =
        door.post("/Consent/$decide", &question(31, &rpps(32), &["doc-own", "doc-missing"])).expect(200).json();
    let items = named(&answer, "item");
    assert_eq!(items[0]["part"][1], items[1]["part"][1], "{answer}");
    assert_eq!(named(&answer, "decision")[0]["valueCode"], "deny");
    // Bad questions.
    for bad in [parameters(&[]), parameters(&who(31, &own)), question(31, "1", &["a"]), question(31, &own, &[])] {
        let status = door.post("/Consent/$decide", &bad);
        assert!(matches!(status.status, 400 | 422), "{}", status.text());
        status.issue();
    }
    door.post("/Consent/$decide", &json!({"resourceType": "Consent"})).expect(400).issue();
    door.get("/Consent/$decide").expect(405).issue();
}

fn a_broken_glass_opens_justifies_and_closes(house: &mut House) {
    let (door, actor) = (&house.door, rpps(41));
    let mut parts = who(41, &actor);
    parts[2] = json!({"name": "profession", "valueCode": "samu-regulator"});
    let with = |more: &[Value]| parameters(&[&parts[..], more].concat());
    let open = with(&[
        json!({"name": "operation", "valueCode": "open"}),
        json!({"name": "case", "valueCode": "SAMU"}),
        json!({"name": "reason", "valueString": "call 15"}),
        json!({"name": "minutes", "valuePositiveInt": 60}),
        json!({"name": "no-position", "valueCode": "INDOORS"}),
    ]);
    let answer = door.post("/$break-glass", &open).expect(201).json();
    let id = named(&answer, "id")[0]["valueString"].as_str().expect("an id").to_owned();
    assert_eq!(named(&answer, "state")[0]["valueCode"], "recorded");
    let text = [json!({"name": "id", "valueString": id}), json!({"name": "text", "valueString": "found unconscious"})];
    let justify = with(&[&[json!({"name": "operation", "valueCode": "justify"})], &text[..]].concat());
    door.post("/$break-glass", &justify).expect(201);
    // The same again is the same.
    let again = door.post("/$break-glass", &justify).expect(200).json();
    assert_eq!(named(&again, "id")[0]["valueString"], id.as_str());
    let close = with(&[json!({"name": "operation", "valueCode": "close"}), text[0].clone()]);
    door.post("/$break-glass", &close).expect(201);
    let unknown =
        with(&[json!({"name": "operation", "valueCode": "close"}), json!({"name": "id", "valueString": "bg-none"})]);
    door.post("/$break-glass", &unknown).expect(422).issue();
    door.post("/$break-glass", &with(&[json!({"name": "operation", "valueCode": "open"})])).expect(400).issue();
}

fn with_the_nodes_away_it_goes_on_and_hands_in_afterwards(house: &mut House) {
    let actor = rpps(51);
    let sent = event(51, "while away");
    for id in 1..=3 {
        house.world.kill(id);
    }
    let door = &house.door;
    // An event waits on the connector's disk.
    let kept = door.post("/AuditEvent", &sent).expect(202);
    let arrival = kept.header("location").and_then(|url| url.split("/fhir").nth(1)).expect("a Location").to_owned();
    assert!(arrival.starts_with("/$arrival/"), "{arrival}");
    door.get(&arrival).expect(202).issue();
    assert_eq!(door.post("/AuditEvent", &sent).expect(202).header("location"), kept.header("location"), "a retry");
    // An emergency is opened, and decides.
    let mut parts = who(51, &actor);
    parts[2] = json!({"name": "profession", "valueCode": "samu-regulator"});
    let with = |more: &[Value]| parameters(&[&parts[..], more].concat());
    let read = with(&[
        json!({"name": "purpose", "valueCode": "BTG"}),
        json!({"name": "action", "valueCode": "read"}),
        json!({"name": "item", "valueString": "doc-1"}),
    ]);
    let before = door.post("/Consent/$decide", &read).expect(200).json();
    assert_eq!(
        (&named(&before, "decision")[0]["valueCode"], &named(&before, "emergency")[0]["valueBoolean"]),
        (&json!("deny"), &json!(true))
    );
    assert!(named(&before, "receipt").is_empty(), "no node signed it");
    let open = with(&[
        json!({"name": "operation", "valueCode": "open"}),
        json!({"name": "id", "valueString": "bg-away"}),
        json!({"name": "case", "valueCode": "SAMU"}),
        json!({"name": "reason", "valueString": "call 15"}),
        json!({"name": "minutes", "valuePositiveInt": 60}),
        json!({"name": "no-position", "valueCode": "INDOORS"}),
    ]);
    let opened = door.post("/$break-glass", &open).expect(202).json();
    assert_eq!(named(&opened, "emergency")[0]["valueBoolean"], true);
    let after = door.post("/Consent/$decide", &read).expect(200).json();
    assert_eq!(named(&after, "decision")[0]["valueCode"], "permit", "{after}");
    // The nodes are back: all of it is on record.
    for id in 1..=3 {
        house.world.restart(id);
    }
    house.world.settled(3);
    let door = &house.door;
    let deadline = Instant::now() + Duration::from_secs(60);
    while door.get(&arrival).status != 303 {
        assert!(Instant::now() < deadline, "the event isn't recorded: {}", door.get(&arrival).text());
        std::thread::sleep(Duration::from_millis(250));
    }
    loop {
        let trace = Patient(51).asks(&house.world, &["trace"]).ok().json_lines();
        let opened = trace.iter().find(|line| line["kind"] == "breakglass.opened");
        if let Some(opened) = opened {
            assert!(opened["flags"].to_string().contains("DEFERRED"), "{opened}");
            break;
        }
        assert!(Instant::now() < deadline, "the emergency isn't handed in: {trace:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(door.count(&format!("&patient.identifier=urn:oid:{OID}|{}", ins(51))), 1);
}

fn no_health_data_is_in_the_log(house: &mut House) {
    let log = house.door.log();
    assert!(log.contains("answered"), "requests are in it: {log:.400}");
    for secret in [TOKEN, &ins(1), &ins(4), &ins(21), "810100534436", "DocumentReference", "unconscious"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
