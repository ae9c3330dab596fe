//! A patient's life with consent, on three nodes and through the command line: granted and tried out, asked for, withdrawn,
//! broken in an emergency, limited, shared with others, and all of it proven at the end.

use std::process::{Command, ExitCode};
use std::time::Duration;

use serde_json::{Value, json};
use sillage_rules::kind::Kind;
use sillage_tests::authority::publish;
use sillage_tests::health::{Patient, Question, flags, in_s, rpps};
use sillage_tests::lines::OID;
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World, run, sillage};

const CLAIRE: Patient = Patient(5_100);
const PAUL: Patient = Patient(5_101);
const NINA: Patient = Patient(5_102);

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            a_grant_is_tried_out_then_made_and_opens_what_it_names,
            a_receipt_is_checked_offline_and_serves_nobody_else,
            an_access_that_cites_its_decision_is_justified_and_any_other_says_why_not,
            a_decision_that_ran_out_justifies_nothing,
            after_a_revocation_no_node_permits,
            after_a_revocation_none_does_while_another_leader_is_found,
            the_glass_is_broken_justified_closed_and_reviewed,
            what_is_masked_blocked_or_opposed_looks_as_if_it_were_not_there,
            a_representative_sees_what_the_minor_does_not_keep,
            what_holds_and_what_held_can_be_asked,
            all_of_it_is_proven,
            every_entry_can_be_shown_whatever_its_kind,
        ],
    )
}

fn doctor() -> String {
    rpps(51)
}

fn other_doctor() -> String {
    rpps(52)
}

fn policy(world: &World) -> String {
    world.dir().join("policy.txt").display().to_string()
}

fn grant(world: &World, patient: Patient, id: &str, more: &[&str]) -> u64 {
    let doctor = doctor();
    let args = ["consent", "grant", "--professional", &doctor, "--action", "read", "--id", id];
    index(&patient.says(world, &[&args, more].concat()).ok())
}

fn index(run: &Run) -> u64 {
    run.json()["index"].as_u64().unwrap_or_else(|| panic!("no index: {run}"))
}

fn a_grant_is_tried_out_then_made_and_opens_what_it_names(world: &mut World) {
    let depositor = rpps(50);
    let documents: &[(&str, &str, &[&str])] =
        &[("c.report", "REPORT", &[]), ("c.lab", "LAB", &[]), ("c.psy", "REPORT", &["PSY"])];
    CLAIRE.deposits(world, &depositor, documents);
    let doctor = doctor();
    let read = Question::read(CLAIRE, &doctor, "c.report,c.lab");
    assert!(read.ask(world).permitted().is_empty(), "nobody has permitted anything");

    let args =
        ["consent", "grant", "--professional", &doctor, "--action", "read", "--category", "REPORT", "--id", "c1"];
    let tried = CLAIRE.says(world, &[&args[..], &["--dry-run"]].concat()).ok();
    assert!(tried.json()["gains"].to_string().contains(&doctor), "{tried}");
    assert_eq!(tried.json()["losses"], json!([]), "{tried}");
    assert!(read.ask(world).permitted().is_empty(), "it was only tried");

    let made = CLAIRE.says(world, &args).ok();
    assert_eq!(made.json()["kind"], "consent.directive", "{made}");
    assert_eq!(made.json()["id"], "c1", "{made}");
    let answer = read.ask(world);
    assert_eq!(answer.permitted(), ["c.report"], "{answer:?}");
    assert_eq!(answer.told(), ["c.report"], "of an item that is denied nothing is told: {answer:?}");
    let decided = CLAIRE.line(world, answer.index());
    assert_eq!(decided["decision"]["outcomes"][0]["reason"], "CONSENT_GRANT");
    assert_eq!(decided["decision"]["outcomes"][0]["consulted"], json!([index(&made)]));
    assert_eq!(decided["decision"]["outcomes"][1]["reason"], "NO_CONSENT");
}

/// The patient's open tag, as a record store knows it.
fn tag(world: &World, patient: Patient) -> String {
    let link = world.link();
    let tags = link.tags().expect("a key of tags");
    let (open, _) = world.wait(tags.both(&patient.ins(), OID)).expect("the patient's tags");
    hex::encode(open.to_bytes())
}

fn a_receipt_is_checked_offline_and_serves_nobody_else(world: &mut World) {
    let (doctor, other) = (doctor(), other_doctor());
    let (answer, receipt) = Question::read(CLAIRE, &doctor, "c.report").ask_for_receipt(world, "c.sillage-receipt");
    assert_eq!(answer.permitted(), ["c.report"]);
    let (receipt, policy, tag) = (receipt.display().to_string(), policy(world), tag(world, CLAIRE));
    // Without a profile: nothing can be asked of the ledger.
    let verified = run(sillage().args(["verify", &receipt, "--policy", &policy, "--json"]), b"").ok();
    assert!(verified.stdout.contains("c.report") && verified.stdout.contains(&doctor), "{verified}");

    let check = |actor: &str, action: &str, items: &str, tag: &str| {
        let args = ["authorize", "check", "--receipt", &receipt, "--actor", actor, "--action", action];
        run(sillage().args(args).args(["--items", items, "--tag", tag, "--policy", &policy]), b"")
    };
    check(&doctor, "read", "c.report", &tag).ok();
    assert_eq!(check(&other, "read", "c.report", &tag).code, Some(1), "another actor");
    assert_eq!(check(&doctor, "download", "c.report", &tag).code, Some(1), "another action");
    assert_eq!(check(&doctor, "read", "c.report,c.lab", &tag).code, Some(1), "a document more");
    assert_eq!(check(&doctor, "read", "c.report", &"ab".repeat(32)).code, Some(1), "another patient");

    // Any byte of it.
    let whole = std::fs::read(world.path("c.sillage-receipt")).expect("the receipt");
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let path = world.write("changed.sillage-receipt", changed).display().to_string();
        let run = run(sillage().args(["verify", &path, "--policy", &policy]), b"");
        assert!(matches!(run.code, Some(1 | 2)), "byte {at}: {run}");
    }
}

fn cites(index: u64) -> Value {
    json!({"kind": "decision", "ref": index.to_string()})
}

fn an_access_that_cites_its_decision_is_justified_and_any_other_says_why_not(world: &mut World) {
    let (doctor, other) = (doctor(), other_doctor());
    let index = Question::read(CLAIRE, &doctor, "c.report,c.lab").ask(world).index();
    let patient = Question::read(PAUL, &doctor, "p.report").ask(world).index();
    let lines = [
        (CLAIRE.reading(&doctor, &["c.report"], &cites(index)), None),
        (CLAIRE.reading(&doctor, &["c.report", "c.lab"], &cites(index)), Some("BEYOND")),
        (CLAIRE.reading(&other, &["c.report"], &cites(index)), Some("OTHER_ACTOR")),
        (CLAIRE.reading(&doctor, &["c.report"], &cites(999_999)), Some("UNKNOWN_REFERENCE")),
        (CLAIRE.reading(&doctor, &["c.report"], &cites(patient)), Some("UNKNOWN_REFERENCE")),
        (
            CLAIRE.reading(&doctor, &["c.report"], &json!({"kind": "decision", "ref": "soon"})),
            Some("UNKNOWN_REFERENCE"),
        ),
        (
            CLAIRE.reading(&doctor, &["c.report"], &json!({"kind": "breakglass", "ref": "bg"})),
            Some("UNKNOWN_REFERENCE"),
        ),
        (CLAIRE.reading(&doctor, &["c.report"], &Value::Null), Some("NO_BASIS")),
    ];
    let records: Vec<Value> = lines.iter().map(|(line, _)| without_nulls(line)).collect();
    let indices = world.record(&records);
    let trace = CLAIRE.trace(world);
    for ((_, reason), index) in lines.iter().zip(indices) {
        let line = trace.iter().find(|line| line["index"] == index).expect("on record, whatever it cites");
        assert_eq!(flags(line).contains(&"UNJUSTIFIED"), reason.is_some(), "{line}");
        assert_eq!(line["unjustified_reason"].as_str(), *reason, "{line}");
    }
}

/// A line without the fields that are null.
fn without_nulls(line: &Value) -> Value {
    let mut line = line.clone();
    line.as_object_mut().expect("a line").retain(|_, value| !value.is_null());
    line
}

fn a_decision_that_ran_out_justifies_nothing(world: &mut World) {
    publish(world, Kind::POLICY_PUBLISHED, &json!({"version": "brief", "decision_valid_s": 1}));
    let doctor = doctor();
    let (answer, receipt) = Question::read(CLAIRE, &doctor, "c.report").ask_for_receipt(world, "brief.sillage-receipt");
    assert_eq!(answer.permitted(), ["c.report"]);
    std::thread::sleep(Duration::from_millis(1_200));
    let late = world.record(&[CLAIRE.reading(&doctor, &["c.report"], &cites(answer.index()))])[0];
    assert_eq!(CLAIRE.line(world, late)["unjustified_reason"], "EXPIRED");
    let (receipt, policy, tag) = (receipt.display().to_string(), policy(world), tag(world, CLAIRE));
    let args = ["authorize", "check", "--receipt", &receipt, "--actor", &doctor, "--items", "c.report"];
    let check = run(sillage().args(args).args(["--tag", &tag, "--policy", &policy]), b"");
    assert_eq!(check.code, Some(1), "{check}");
    // Its signatures hold, and it is worth nothing any more; when it was given, it was.
    let verify = ["verify", &receipt, "--policy", &policy];
    run(sillage().args(verify), b"").fails(1).naming("valable");
    let said = run(sillage().args(verify).arg("--json"), b"").json();
    assert_eq!(said["ok"], false, "{said}");
    assert_eq!(said["kind"], "receipt", "{said}");
    let decided = said["receipts"][0]["decided_at"].as_str().expect("a time").to_owned();
    run(sillage().args(verify).args(["--at", &decided]), b"").ok();
    publish(world, Kind::POLICY_PUBLISHED, &json!({"version": "usual"}));
}

fn after_a_revocation_no_node_permits(world: &mut World) {
    let doctor = doctor();
    PAUL.deposits(world, &rpps(50), &[("p.report", "REPORT", &[])]);
    let read = Question::read(PAUL, &doctor, "p.report");
    for round in 0..3 {
        let id = format!("p{round}");
        grant(world, PAUL, &id, &[]);
        // The grant is known everywhere as soon as it is acknowledged ...
        for node in 1..=3 {
            assert_eq!(read.ask_node(world, node).permitted(), ["p.report"], "round {round}, node {node}");
        }
        // ... and so is its end.
        PAUL.says(world, &["consent", "revoke", &id]).ok();
        for node in [1 + round % 3, 1 + (round + 1) % 3, 1 + (round + 2) % 3] {
            let answer = read.ask_node(world, node);
            assert!(
                answer.permitted().is_empty() && answer.told().is_empty(),
                "round {round}, node {node}: {answer:?}"
            );
        }
    }
}

fn after_a_revocation_none_does_while_another_leader_is_found(world: &mut World) {
    let doctor = doctor();
    let read = Question::read(PAUL, &doctor, "p.report");
    grant(world, PAUL, "p.last", &[]);
    assert_eq!(read.ask(world).permitted(), ["p.report"]);
    PAUL.says(world, &["consent", "revoke", "p.last"]).ok();
    let leader = world.leader();
    world.kill(leader);
    for node in (1..=3).filter(|node| *node != usize::try_from(leader).expect("small")) {
        assert!(read.ask_node(world, node).permitted().is_empty(), "node {node} permits what was revoked");
    }
    world.restart(leader);
    world.settled(3);
    for node in 1..=3 {
        assert!(read.ask_node(world, node).permitted().is_empty(), "node {node}");
    }
}

/// Batches that were refused and are kept in the outbox.
fn kept_aside(world: &World) -> Vec<std::path::PathBuf> {
    let files =
        |dir: std::path::PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path());
    let streams = files(world.dir().join("outbox"));
    let refused = |path: &std::path::PathBuf| path.to_string_lossy().contains("refused-");
    let mut kept: Vec<_> = streams.flat_map(files).filter(refused).collect();
    kept.sort();
    kept
}

/// The rows of the register.
fn register(world: &World, which: &[&str]) -> Vec<Value> {
    world.sillage(&[&["break-glass", "list", "--json"], which].concat()).ok().json_lines()
}

fn row<'a>(rows: &'a [Value], id: &str) -> Option<&'a Value> {
    rows.iter().find(|row| row["id"] == id)
}

fn the_glass_is_broken_justified_closed_and_reviewed(world: &mut World) {
    publish(world, Kind::POLICY_PUBLISHED, &json!({"version": "hasty", "justification_due_s": 2}));
    let (doctor, reviewer) = (rpps(53), rpps(54));
    let by = ["--actor", &doctor, "--actor-profession", "emergency-physician"];
    let read = Question::emergency(PAUL, &doctor, "p.report");
    assert!(read.ask(world).permitted().is_empty(), "the glass is whole");
    let open = ["break-glass", "open", "--case", "INCAPACITY", "--reason", "unconscious", "--expires", "30m"];
    let opened = PAUL.says(world, &[&open[..], &["--position", "48.8986,2.3315,12,GPS", "--id", "bg1"], &by].concat());
    let opened = index(&opened.ok());
    let answer = read.ask(world);
    assert_eq!(answer.permitted(), ["p.report"]);
    assert_eq!(answer.obligations(), ["JUSTIFY", "NOTIFY_PATIENT", "NOTIFY_ATTENDING", "REVIEW"]);
    let basis = json!({"kind": "breakglass", "ref": "bg1"});
    let index = world.record(&[PAUL.emergency_reading(&doctor, &["p.report"], &basis)])[0];
    assert!(!flags(&PAUL.line(world, index)).contains(&"UNJUSTIFIED"));
    let another = world.record(&[PAUL.emergency_reading(&reviewer, &["p.report"], &basis)])[0];
    assert_eq!(PAUL.line(world, another)["unjustified_reason"], "OTHER_ACTOR");

    let rows = register(world, &["--open"]);
    assert_eq!(row(&rows, "bg1").map(|row| &row["index"]), Some(&json!(opened)), "{rows:?}");
    std::thread::sleep(Duration::from_millis(2_500));
    // Ledger time goes on with entries.
    read.ask(world);
    assert!(row(&register(world, &["--overdue"]), "bg1").is_some(), "nobody has justified it");
    PAUL.says(world, &[&["break-glass", "justify", "bg1", "--text", "found unconscious"], &by[..]].concat()).ok();
    assert!(row(&register(world, &["--overdue"]), "bg1").is_none(), "it is justified");

    let review = ["break-glass", "review", "bg1", "--verdict", "JUSTIFIED"];
    // Who waits for the answer gets it, once, and finds nothing of it in the outbox.
    let aside = kept_aside(world);
    PAUL.says(world, &[&review[..], &by].concat()).refused("NOT_ENTITLED").fails(4);
    assert_eq!(kept_aside(world), aside);
    PAUL.says(world, &[&["break-glass", "close", "bg1"], &by[..]].concat()).ok();
    assert!(read.ask(world).permitted().is_empty(), "it is closed");
    assert!(row(&register(world, &["--open"]), "bg1").is_none());
    let reviewer = ["--actor", &reviewer, "--actor-profession", "physician"];
    // Another doctor isn't enough: the party that opened it doesn't review it.
    PAUL.says(world, &[&review[..], &reviewer].concat()).refused("NOT_ENTITLED").fails(4);
    let others = world.register("reviewing", "reviewer");
    PAUL.says_through(world, &others, &[&review[..], &reviewer].concat()).ok();
    let rows = register(world, &[]);
    let row = row(&rows, "bg1").expect("the register forgets nothing");
    assert_eq!(row["verdict"], "JUSTIFIED", "{row}");
    assert_eq!(row["overdue"], false, "{row}");
    for done in ["justified", "closed", "reviewed"] {
        assert!(row[done].is_u64(), "`{done}` names its entry: {row}");
    }

    // Before anybody knows who the patient is.
    let stranger =
        [&open[..], &["--no-position", "INDOORS", "--search", "NONE", "--id", "bg2", "--json"], &by].concat();
    world.sillage(&stranger).ok();
    let rows = register(world, &["--open"]);
    let row = rows.iter().find(|row| row["id"] == "bg2").expect("in the register");
    assert_eq!(row["patient_identified"], false);
    let continued = ["--no-position", "INDOORS", "--id", "bg3", "--continues", "bg2"];
    PAUL.says(world, &[&open[..], &continued, &by].concat()).ok();
    assert_eq!(read.ask(world).permitted(), ["p.report"]);
    publish(world, Kind::POLICY_PUBLISHED, &json!({"version": "usual"}));
}

fn what_is_masked_blocked_or_opposed_looks_as_if_it_were_not_there(world: &mut World) {
    let doctor = doctor();
    let read = Question::read(CLAIRE, &doctor, "c.report,c.psy,c.nowhere");
    let sees = |world: &World| {
        let answer = read.ask(world);
        assert_eq!(answer.permitted(), answer.told(), "{answer:?}");
        answer.permitted().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let both = ["c.report", "c.psy"];
    assert_eq!(sees(world), both);
    CLAIRE.says(world, &["mask", "--items", "c.psy"]).ok();
    assert_eq!(sees(world), ["c.report"]);
    CLAIRE.says(world, &["unmask", "--items", "c.psy"]).ok();
    assert_eq!(sees(world), both);
    CLAIRE.says(world, &["block", "--professional", &doctor]).ok();
    assert!(sees(world).is_empty());
    CLAIRE.says(world, &["unblock", "--professional", &doctor]).ok();
    CLAIRE.says(world, &["oppose", "space"]).ok();
    assert!(sees(world).is_empty());
    CLAIRE.says(world, &["oppose", "space", "--lift"]).ok();
    assert_eq!(sees(world), both);

    let emergency = rpps(53);
    let by = ["--actor", &emergency, "--actor-profession", "emergency-physician"];
    let open = ["break-glass", "open", "--case", "INCAPACITY", "--reason", "unconscious", "--expires", "30m"];
    CLAIRE.says(world, &[&open[..], &["--no-position", "REFUSED", "--id", "bg.c"], &by].concat()).ok();
    let broken = Question::emergency(CLAIRE, &emergency, "c.lab");
    assert_eq!(broken.ask(world).permitted(), ["c.lab"]);
    CLAIRE.says(world, &["oppose", "emergency", "--case", "INCAPACITY"]).ok();
    let answer = broken.ask(world);
    assert!(answer.permitted().is_empty() && answer.obligations().is_empty(), "{answer:?}");
    let reason = &CLAIRE.line(world, answer.index())["decision"]["outcomes"][0]["reason"];
    assert_eq!(reason, "EMERGENCY_OPPOSED", "the patient sees why");
    CLAIRE.says(world, &["oppose", "emergency", "--case", "INCAPACITY", "--lift"]).ok();
    assert_eq!(broken.ask(world).permitted(), ["c.lab"]);
}

fn a_representative_sees_what_the_minor_does_not_keep(world: &mut World) {
    let (mother, depositor, until) = ("urn:sillage:person|mere", rpps(50), in_s(86_400));
    NINA.deposits(world, &depositor, &[("n.vaccine", "VACCINE", &[]), ("n.pill", "REPORT", &[])]);
    let question = |items| Question { profession: "", purpose: "FAMRQT", ..Question::read(NINA, mother, items) };
    let reads = question("n.vaccine,n.pill");
    assert!(reads.ask(world).permitted().is_empty(), "she represents nobody yet");
    let add = ["represent", "add", "--representative", mother, "--relation", "PARENT", "--until", &until];
    // Without the authority's key nobody becomes a parent.
    let alone = std::fs::read_to_string(world.profile_file()).expect("the profile");
    let alone: Vec<&str> = alone.lines().filter(|line| !line.starts_with("authority_key")).collect();
    let path = world.dir().join("alone.toml");
    std::fs::write(&path, alone.join("\n")).expect("a profile without the authority's key");
    NINA.says_through(world, &path, &add).fails(2).naming("authority_key");
    NINA.says(world, &add).ok();
    assert_eq!(reads.ask(world).permitted(), ["n.vaccine", "n.pill"]);
    NINA.says(world, &["secrecy", "set", "--items", "n.pill", "--secret"]).ok();
    let answer = reads.ask(world);
    assert_eq!(answer.permitted(), ["n.vaccine"], "{answer:?}");
    assert_eq!(answer.told(), ["n.vaccine"], "of an item that is kept nothing is told: {answer:?}");
    // Secrecy hides from representatives only.
    let own = Question { profession: "", purpose: "PATRQT", ..Question::read(NINA, "self", "n.vaccine,n.pill") };
    let mut permitted = own.ask(world).0["permitted"].as_array().expect("a list").clone();
    permitted.sort_by_key(ToString::to_string);
    assert_eq!(permitted, [json!("n.pill"), json!("n.vaccine")]);
    let trace = NINA.trace(world);
    let reasons: Vec<(bool, &Value)> = trace
        .iter()
        .filter(|line| line["kind"] == "decision.made")
        .flat_map(|line| line["decision"]["outcomes"].as_array().into_iter().flatten().map(move |item| (line, item)))
        .filter(|(_, item)| item["id"] == "n.pill")
        .map(|(line, item)| (line["secret"] == true, &item["reason"]))
        .collect();
    assert!(reasons.contains(&(true, &json!("MINOR_SECRECY"))), "the minor sees why: {reasons:?}");
}

fn what_holds_and_what_held_can_be_asked(world: &mut World) {
    let ids = |run: &Run| -> Vec<String> {
        let lines = run.json_lines();
        let ids = lines.iter().filter_map(|line| line["record"]["details"]["id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let before = grant(world, PAUL, "p.timed", &["--until", &in_s(3_600)]);
    let revoked = index(&PAUL.says(world, &["consent", "revoke", "p.timed"]).ok());
    let now = PAUL.asks(world, &["consent", "list"]).ok();
    assert!(!ids(&now).contains(&"p.timed".to_owned()), "{now}");
    let (as_of, then) = ((revoked).to_string(), (before).to_string());
    let held = PAUL.asks(world, &["consent", "list", "--as-of", &as_of]).ok();
    assert!(ids(&held).contains(&"p.timed".to_owned()), "{held}");
    let earlier = PAUL.asks(world, &["consent", "list", "--as-of", &then]).ok();
    assert!(!ids(&earlier).contains(&"p.timed".to_owned()), "{earlier}");

    let history = PAUL.asks(world, &["consent", "history"]).ok();
    let lines = history.json_lines();
    let line = lines.iter().find(|line| line["index"] == before).expect("history forgets nothing");
    assert_eq!(line["standing"], "ENDED", "{line}");
    assert_eq!(line["ended_by"], json!(revoked), "{line}");

    let doctor = doctor();
    let may = |run: &Run| {
        let lines = run.json_lines();
        lines.iter().any(|line| line["who"].to_string().contains(&doctor) && line["permitted"] != json!([]))
    };
    let effective = PAUL.asks(world, &["consent", "effective"]).ok();
    assert!(!may(&effective), "{effective}");
    let effective = PAUL.asks(world, &["consent", "effective", "--as-of", &as_of]).ok();
    assert!(may(&effective), "{effective}");
    PAUL.asks(world, &["consent", "list", "--as-of", &in_s(3_600)]).refused("AS_OF_AHEAD");
    PAUL.asks(world, &["consent", "list", "--as-of", "2001-01-01"]).fails(2).naming("before the log's first entry");
}

fn all_of_it_is_proven(world: &mut World) {
    world.settled(3);
    let audit = world.sillage(&["--timeout", "60", "audit", "--json"]).ok();
    assert_eq!(audit.json()["clean"], true, "{audit}");
    let policy = policy(world);
    for patient in [CLAIRE, PAUL, NINA] {
        let out = world.path(&format!("{}.sillage-trace", patient.0)).display().to_string();
        let ins = patient.ins();
        world.sillage(&["prove", "patient", &ins, "--oid", OID, "--out", &out, "--lang", "en"]).ok();
        let verified = run(sillage().args(["verify", &out, "--policy", &policy, "--lang", "en"]), b"").ok();
        assert!(!verified.stdout.is_empty(), "{verified}");
        in_javascript(&out, &policy);
    }
    let (ins, out) = (NINA.ins(), world.path("secret.sillage-trace").display().to_string());
    world.sillage(&["prove", "patient", &ins, "--oid", OID, "--secret", "--out", &out]).ok();
    run(sillage().args(["verify", &out, "--policy", &policy]), b"").ok();
    in_javascript(&out, &policy);
    the_patients_own_device_proves_both(world, &policy);
    // Who has no author's or patient's role is not given the secret tag, whether there is anything under it or not.
    let folder = world.path("reader").display().to_string();
    let register = ["keys", "register", "--name", "reader", "--role", "reader", "--out", &folder];
    world.sillage_as(&world.authority_file(), &register).ok();
    let reader = world.path("reader").join("sillage.toml");
    for patient in [CLAIRE, NINA] {
        let out = world.path(&format!("not-{}.sillage-trace", patient.0)).display().to_string();
        let args = ["prove", "patient", &patient.ins(), "--oid", OID, "--secret", "--out", &out];
        world.sillage_as(&reader, &args).refused("NOT_ENTITLED");
    }
}

/// With a key of the role patient: one's own two traces, and nobody else's.
fn the_patients_own_device_proves_both(world: &World, policy: &str) {
    let (folder, ins) = (world.path("device").display().to_string(), NINA.ins());
    let register = ["keys", "register", "--name", "device", "--role", "patient", "--patient", &ins, "--oid", OID];
    world.sillage_as(&world.authority_file(), &[&register[..], &["--out", &folder]].concat()).ok();
    let device = world.path("device").join("sillage.toml");
    for (which, more) in [("open", &[][..]), ("kept", &["--secret"])] {
        let out = world.path(&format!("device-{which}.sillage-trace")).display().to_string();
        let prove = ["prove", "patient", &ins, "--oid", OID, "--out", &out];
        world.sillage_as(&device, &[&prove, more].concat()).ok();
        run(sillage().args(["verify", &out, "--policy", policy]), b"").ok();
    }
    let out = world.path("device-other.sillage-trace").display().to_string();
    let other = ["prove", "patient", &PAUL.ins(), "--oid", OID, "--out", &out];
    world.sillage_as(&device, &other).refused("NOT_ENTITLED");
}

/// The second verifier, where there is a Node to run it (`tests/verify_js.rs` says when there has to be one).
fn in_javascript(bundle: &str, policy: &str) {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let module = format!("{package}/../gateway/portal/verify.js");
    let script = format!(
        "import {{ verify }} from {module:?}; import {{ readFileSync }} from 'node:fs';
         const bytes = new Uint8Array(readFileSync({bundle:?}));
         const said = await verify([{{ name: 'a.sillage-trace', bytes }}], readFileSync({policy:?}, 'utf8'), {{ lang: 'en' }});
         console.log(said.ok, said.reports.length, JSON.stringify(said.errors));"
    );
    let Ok(ran) = Command::new("node").args(["--input-type=module", "-e", &script]).output() else {
        println!("skipped the verifier in JavaScript: no Node");
        return;
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.starts_with("true 1 []"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

fn every_entry_can_be_shown_whatever_its_kind(world: &mut World) {
    let size = world.sillage(&["checkpoint", "--json"]).ok().json()["size"].as_u64().expect("a size");
    let mut seen: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for index in 0..size {
        let shown = world.sillage(&["entry", &index.to_string(), "--json"]).ok().json();
        let kind = shown["kind"].as_str().unwrap_or("batch header").to_owned();
        if kind == "decision.made" {
            assert!(shown["decision"]["outcomes"].is_array(), "no. {index}: {shown}");
        }
        *seen.entry(kind).or_default() += 1;
    }
    for kind in ["decision.made", "consent.directive", "access.read", "breakglass.opened", "batch header", "genesis"] {
        assert!(seen.contains_key(kind), "{kind}: {seen:?}");
    }
}
