//! A minor's secrets from representatives show nowhere.
//!
//! Two children have lived the same; one of them has secrets beside. Everything that a party who reads for representatives
//! can get about the one and the other is compared, byte by byte, once what differs between any two patients is masked:
//! places in the log, times, tags, salts, hashes and signatures, all of them of one length.

use std::path::PathBuf;
use std::process::ExitCode;

use prost::Message as _;
use serde_json::{Value, json};
use sillage_client::authorize::receipt::ReceiptFile;
use sillage_client::profile::Profile;
use sillage_proto::v1;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_tests::health::{Answer, Patient, Question, in_s, rpps};
use sillage_tests::lines::{OID, access, ins, with};
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};
use sillage_tests::{stories, wire};

/// The child with secrets, and the one without.
const CHILDREN: [(Patient, &str); 2] = [(Patient(5_200), "kid-a"), (Patient(5_201), "kid-b")];
const MOTHER: &str = "urn:sillage:person|mere";

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            two_children_live_the_same_and_one_keeps_something,
            the_one_who_keeps_something_sees_it,
            what_a_representatives_party_reads_is_the_same,
            so_is_what_it_is_sent_down_to_its_length,
            so_is_what_it_is_refused,
            so_are_the_bundles,
            so_is_what_a_representative_is_answered,
        ],
    )
}

fn doctor() -> String {
    rpps(61)
}

fn id(name: &str, item: &str) -> String {
    format!("{name}.{item}")
}

/// The same line under the tag that is kept from representatives.
fn secret(line: Value) -> Value {
    with(line, json!({"secret": true}))
}

fn two_children_live_the_same_and_one_keeps_something(world: &mut World) {
    // Places in the log take two bytes each from here on to the end.
    let before: Vec<Value> = (0..300).map(|i| access(&ins(5_300 + i), "before")).collect();
    world.record(&before);
    let (doctor, until) = (doctor(), in_s(86_400));
    for (child, name) in CHILDREN {
        let keeps = name == "kid-a";
        let (vaccine, pill) = (id(name, "vaccine"), id(name, "pill"));
        child.deposits(world, &doctor, &[(&vaccine, "VACCINE", &[])]);
        let (number, whose) = (child.ins(), ["--oid", OID, "--json"]);
        let add = ["represent", "add", "--representative", MOTHER, "--relation", "PARENT", "--until", &until];
        let whose = [&["--patient", &number], &whose[..]].concat();
        world.sillage_as(&world.authority_file(), &[&add[..], &whose].concat()).ok();
        let grant = ["consent", "grant", "--professional", &doctor, "--action", "read", "--id", &id(name, "grant")];
        child.says(world, &grant).ok();
        if keeps {
            let line = child.reading(&doctor, &[&pill], &json!({"kind": "legal", "ref": "L1111-15"}));
            let deposit = with(secret(line), json!({"kind": "access.write"}));
            world.record(&[deposit]);
            child.says(world, &["secrecy", "set", "--items", &pill, "--secret"]).ok();
            child.says(world, &["consent", "deny", "--professional", &rpps(62), "--id", "kid-a.deny", "--secret"]).ok();
            child.says(world, &["mask", "--items", &id(name, "test"), "--secret", "--force"]).ok();
        }
        let asked = if keeps { format!("{vaccine},{pill}") } else { vaccine.clone() };
        let answer = Question::read(child, &doctor, &asked).ask(world);
        assert_eq!(answer.permitted().len(), if keeps { 2 } else { 1 }, "{answer:?}");
        let basis = |index: u64| json!({"kind": "decision", "ref": index.to_string()});
        world.record(&[child.reading(&doctor, &[&vaccine], &basis(answer.index()))]);
        if keeps {
            let kept = answer.0["receipts"][1]["index"].as_u64().expect("the secret part's receipt");
            world.record(&[secret(child.reading(&doctor, &[&pill], &basis(kept)))]);
        }
        // The mother asks, and so does somebody who may not.
        let mother = question(child, MOTHER, &asked).ask(world);
        assert_eq!(mother.permitted(), [vaccine.as_str()], "{mother:?}");
        assert!(question(child, "urn:sillage:person|oncle", &vaccine).ask(world).permitted().is_empty());
        // For nothing but what is kept: the mother, somebody who may not, a doctor who is denied it, and one who isn't.
        let denied = rpps(62);
        let uncle = question(child, "urn:sillage:person|oncle", &pill);
        let asking = [question(child, MOTHER, &pill), uncle, Question::read(child, &denied, &pill)];
        for (number, asks) in asking.iter().enumerate() {
            let missing = Question { items: "never.there", ..*asks };
            let missing = answered(world, &missing, &format!("{name}{number}-missing"));
            // A representative is permitted what was never deposited: docs/threat-model.md says what that tells.
            if keeps {
                let kept = answered(world, asks, &format!("{name}{number}-kept"));
                assert_eq!(kept.0, [0; 3], "the counts don't tell of an item that is kept");
                assert_eq!(kept.1, missing.1, "an item that is kept is answered like one that isn't there");
                assert!(kept == missing || asks.actor == MOTHER, "{kept:?} {missing:?}");
            }
        }
        if keeps {
            assert_eq!(Question::read(child, &doctor, &pill).ask(world).permitted(), [pill.as_str()]);
        }
    }
    let folder = world.path("reader").display().to_string();
    let register = ["keys", "register", "--name", "reader", "--role", "reader", "--out", &folder];
    world.sillage_as(&world.authority_file(), &register).ok();
}

/// How much is permitted, told and owed; the tags that the receipts name; how long they are.
fn answered(world: &World, asks: &Question<'_>, name: &str) -> ([usize; 3], Vec<[u8; 32]>, usize) {
    let (answer, file) = asks.ask_for_receipt(world, &format!("{name}.sillage-receipt"));
    let bytes = std::fs::read(file).expect("the receipt");
    let receipts = ReceiptFile::parse(&bytes).expect("a receipt").receipts;
    let tags = receipts.iter().map(|receipt| receipt.message.tag).collect();
    ([answer.permitted().len(), answer.told().len(), answer.obligations().len()], tags, bytes.len())
}

fn question<'a>(child: Patient, actor: &'a str, items: &'a str) -> Question<'a> {
    Question { profession: "", purpose: "FAMRQT", ..Question::read(child, actor, items) }
}

fn the_one_who_keeps_something_sees_it(world: &mut World) {
    let kept = |child: Patient| child.trace(world).iter().filter(|line| line["secret"] == true).count();
    assert!(kept(CHILDREN[0].0) >= 6, "a deposit, three rules, two decisions and a reading");
    // What it consists of is not asked of the other child's trace: that has nothing under its secret tag but readings of it.
    let decided = CHILDREN[1].0.trace(world);
    assert!(decided.iter().all(|line| line["secret"] != true || line["kind"] == "log.consulted"), "{decided:?}");
}

fn reader(world: &World) -> PathBuf {
    world.path("reader").join("sillage.toml")
}

/// What every two patients differ in, taken out of a JSON value.
fn masked(value: &Value) -> Value {
    match value {
        Value::Number(_) => json!(0),
        Value::String(text) => json!(masked_text(text)),
        Value::Array(list) => list.iter().map(masked).collect(),
        // A token names its patient; its length is that of any other.
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("token", Some(token)) => (name.clone(), json!(token.len())),
                _ => (name.clone(), masked(value)),
            })
            .collect(),
        other => other.clone(),
    }
}

fn masked_text(text: &str) -> String {
    let is_time = text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[4] == b'-';
    let is_hash = text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_index = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 6;
    match (is_time, is_hash || is_index) {
        (true, _) => "time".to_owned(),
        (_, true) => "x".repeat(text.len()),
        _ => without_names(text),
    }
}

fn without_names(text: &str) -> String {
    CHILDREN
        .iter()
        .fold(text.to_owned(), |text, (child, name)| text.replace(name, "kid-x").replace(&child.ins(), "INS"))
}

/// The same question about both children, answered with the same but for what is masked.
fn same(of_each: impl Fn(Patient, &str) -> Run) {
    let [with, without] = CHILDREN.map(|(child, name)| {
        let run = of_each(child, name);
        let shown = match run.stdout.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>() {
            Ok(lines) => lines.iter().map(|line| masked(line).to_string()).collect::<Vec<_>>().join("\n"),
            Err(_) => without_names(&run.stdout),
        };
        // Node and place in a text are numbers too.
        let said: String = without_names(&run.stderr).split(|c: char| c.is_ascii_digit()).collect();
        (run.code, shown, said)
    });
    assert_eq!(with, without);
}

fn what_a_representatives_party_reads_is_the_same(world: &mut World) {
    let reader = reader(world);
    let commands: &[&[&str]] = &[
        &["trace", "--limit", "500", "--json", "--verify"],
        &["trace", "--limit", "2", "--json"],
        &["consent", "list", "--json"],
        &["consent", "history", "--json"],
        &["consent", "effective", "--json"],
        &["represent", "list", "--json"],
    ];
    for command in commands {
        same(|child, _| {
            let run =
                world.sillage_as(&reader, &[command, &["--patient", &child.ins(), "--oid", OID][..]].concat()).ok();
            assert!(!run.stdout.is_empty() && !run.stdout.contains("pill"), "{run}");
            run
        });
    }
}

fn so_is_what_it_is_refused(world: &mut World) {
    let reader = reader(world);
    same(|child, name| {
        let out = world.path(&format!("refused-{name}.sillage-trace")).display().to_string();
        let args = ["prove", "patient", &child.ins(), "--oid", OID, "--secret", "--out", &out];
        world.sillage_as(&reader, &args).refused("NOT_ENTITLED")
    });
    same(|child, name| {
        let items = format!("{name}.vaccine,{name}.pill");
        question(child, MOTHER, &items).run(world, &reader, &[]).refused("NOT_ENTITLED")
    });
    for command in
        [&["mask", "--items", "x.pill", "--force"][..], &["secrecy", "set", "--items", "x.pill"], &["space", "close"]]
    {
        same(|child, _| child.says_through(world, &reader, &[command, &["--secret"]].concat()).refused("NOT_ENTITLED"));
    }
}

fn so_is_what_a_representative_is_answered(world: &mut World) {
    // A document that is kept, and one that is held back: the same answer, down to its length.
    let held = Patient(5_202);
    let doctor = doctor();
    held.deposits(world, &doctor, &[("kid-c.vaccine", "VACCINE", &[]), ("kid-c.pill", "REPORT", &[])]);
    let by = ["--actor", &doctor, "--actor-profession", "physician"];
    held.says(world, &[&["embargo", "set", "--items", "kid-c.pill"], &by[..]].concat()).ok();
    let until = in_s(86_400);
    let (number, add) = (held.ins(), ["represent", "add", "--representative", MOTHER, "--relation", "PARENT"]);
    let whose = ["--until", &until, "--patient", &number, "--oid", OID, "--json"];
    world.sillage_as(&world.authority_file(), &[&add[..], &whose].concat()).ok();
    let answer = |child: Patient, name: &str| {
        let items = format!("{name}.vaccine,{name}.pill");
        let (answer, file) = question(child, MOTHER, &items).ask_for_receipt(world, &format!("{name}.sillage-receipt"));
        let length = std::fs::metadata(file).expect("the receipt").len();
        (masked(&answer.0).to_string().replace(name, "kid-x"), length)
    };
    let kept = answer(CHILDREN[0].0, CHILDREN[0].1);
    assert_eq!(kept, answer(held, "kid-c"));
    assert_eq!(Answer(serde_json::from_str(&kept.0).expect("JSON")).permitted(), ["kid-x.vaccine"]);
}

/// Calls as the party that reads for representatives.
fn rpc(world: &World) -> wire::Rpc {
    let profile = Profile::load(&reader(world)).expect("the profile that was made");
    let pem = wire::pem_of(&profile);
    wire::rpc(&profile, 1, Some(&pem))
}

fn tag(world: &World, child: Patient) -> Vec<u8> {
    let identities = vec![v1::PatientIdentity { ins: child.ins(), oid: OID.to_owned() }];
    let request = v1::ResolveTagsRequest { identities };
    let mut rpc = rpc(world);
    let answer = world.wait(rpc.resolve_tags(request)).expect("a tag").into_inner();
    let [resolved] = &answer.tags[..] else { panic!("one patient") };
    assert!(resolved.secret_tag.is_empty() && resolved.secret_proof.is_empty(), "it may not know whether there is one");
    resolved.tag.clone()
}

/// An entry without what differs between any two.
fn masked_entry(bytes: &[u8]) -> (Option<Kind>, Flags, usize) {
    let entry = Entry::decode(bytes).expect("an entry");
    (entry.kind(), entry.flags(), bytes.len())
}

fn masked_record(bytes: &[u8]) -> Vec<u8> {
    let masked_actor = |mut part: v1::DecisionActorPart| {
        (part.tag, part.request_hash) = (vec![0; part.tag.len()], vec![0; part.request_hash.len()]);
        (part.decided_at_ms, part.expires_at_ms) = (0, part.expires_at_ms - part.decided_at_ms);
        part.encode_to_vec()
    };
    let masked_private = |mut part: v1::DecisionPrivatePart| {
        (part.key_id, part.signature) = (vec![0; part.key_id.len()], vec![0; part.signature.len()]);
        part.path = part.path.iter().map(|hash| vec![0; hash.len()]).collect();
        part.outcomes.iter_mut().for_each(|outcome| outcome.consulted.iter_mut().for_each(|index| *index = 0));
        part.as_of_index = 0;
        part.encode_to_vec()
    };
    let bytes = match decision(bytes) {
        Some((actor, private)) => [masked_actor(actor), masked_private(private)].concat(),
        None => {
            let mut record = v1::Record::decode(bytes).expect("a record");
            if let Some(will) = &mut record.will {
                // A token names its patient; its length is that of any other.
                will.token = "x".repeat(will.token.len());
                let parts = [&mut will.tag_proof, &mut will.session_key, &mut will.signature];
                parts.into_iter().for_each(|part| part.fill(0));
            }
            (record.tag, record.occurred_at_ms) = (vec![0; record.tag.len()], 0);
            if let Some(basis) = &mut record.basis {
                basis.r#ref = masked_text(&basis.r#ref);
            }
            record.details = match serde_json::from_str::<Value>(&record.details) {
                Ok(details) => masked(&details).to_string(),
                Err(_) => record.details,
            };
            record.encode_to_vec()
        }
    };
    without_names(&String::from_utf8_lossy(&bytes)).into_bytes()
}

/// The parts of a decision, where these bytes are one: `u32 len ‖ actor part ‖ private part`.
fn decision(bytes: &[u8]) -> Option<(v1::DecisionActorPart, v1::DecisionPrivatePart)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (actor, private) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    let actor = v1::DecisionActorPart::decode(actor).ok()?;
    (actor.tag.len() == 32).then_some(())?;
    Some((actor, v1::DecisionPrivatePart::decode(private).ok()?))
}

fn so_is_what_it_is_sent_down_to_its_length(world: &mut World) {
    let mut rpc = rpc(world);
    let lines = |lines: &[v1::TraceLine]| -> Vec<_> {
        let line = |line: &v1::TraceLine| {
            let lengths = (line.encoded_len(), line.salt.len(), line.record.len());
            (masked_entry(&line.entry), lengths, masked_record(&line.record), line.author.clone())
        };
        lines.iter().map(line).collect()
    };
    let tags = CHILDREN.map(|(child, _)| tag(world, child));
    let [with, without] = tags.clone().map(|tag| {
        let request = v1::TraceRequest { tag, limit: 500, ..v1::TraceRequest::default() };
        let answer = world.wait(rpc.trace(request)).expect("a trace").into_inner();
        assert!(answer.lines.iter().any(|line| decision(&line.record).is_some()), "with decisions");
        (lines(&answer.lines), answer.encoded_len())
    });
    assert_eq!(with, without);
    let [with, without] = tags.clone().map(|tag| {
        let request = v1::RuleRecordsRequest { tag, ..v1::RuleRecordsRequest::default() };
        let answer = world.wait(rpc.rule_records(request)).expect("rule records").into_inner();
        assert!(!answer.records.is_empty());
        (lines(&answer.records), answer.encoded_len(), answer.more)
    });
    assert_eq!(with, without);
    world.sillage(&["checkpoint"]).ok();
    let [with, without] = tags.map(|tag| {
        let proof = world.wait(rpc.prove_patient(v1::ProvePatientRequest { tag: tag.clone() })).expect("a proof");
        let (proof, from) = (proof.into_inner(), 0);
        let request = v1::PatientEntriesRequest { tag, from, to: proof.count, count: proof.count };
        let answer = world.wait(rpc.patient_entries(request)).expect("entries").into_inner();
        let entry = |entry: &v1::PatientEntry| {
            let lengths = (entry.salt.len(), entry.record.len(), entry.batch, entry.batch_path.len());
            (masked_entry(&entry.entry), lengths, masked_record(&entry.record))
        };
        let entries: Vec<_> = answer.entries.iter().map(entry).collect();
        let proofs = (answer.before.len(), answer.after.len(), answer.batches.len(), answer.authors.len());
        (entries, proofs, proof.count, proof.path.len(), answer.encoded_len())
    });
    assert_eq!(with, without);
}

fn so_are_the_bundles(world: &mut World) {
    let (reader, policy) = (reader(world), world.dir().join("policy.txt").display().to_string());
    same(|child, name| {
        let out = world.path(&format!("{name}.sillage-trace")).display().to_string();
        world.sillage_as(&reader, &["prove", "patient", &child.ins(), "--oid", OID, "--out", &out]).ok();
        let verified = world.sillage(&["verify", &out, "--policy", &policy, "--json"]).ok();
        let bytes = std::fs::read(&out).expect("the bundle");
        assert!(!bytes.windows(4).any(|window| window == b"pill"), "{name}");
        // How often it was asked for until a checkpoint covered it is a matter of time: readings of the log by this party.
        let mut report = verified.json();
        let entries = report["report"]["entries"].as_array_mut().expect("entries");
        entries.retain(|entry| entry["kind"] != "log.consulted");
        assert!(entries.iter().any(|entry| entry["kind"] == "decision.made"), "with decisions");
        Run { stdout: report.to_string(), ..verified }
    });
    // And the child who keeps something can prove it, to whom it wants.
    let (child, name) = CHILDREN[0];
    let out = world.path(&format!("{name}-kept.sillage-trace")).display().to_string();
    world.sillage(&["prove", "patient", &child.ins(), "--oid", OID, "--secret", "--out", &out]).ok();
    let verified = world.sillage(&["verify", &out, "--policy", &policy, "--json"]).ok();
    assert!(verified.stdout.contains("secret"), "{verified}");
    let bytes = std::fs::read(&out).expect("the bundle");
    assert!(bytes.windows(4).any(|window| window == b"pill"), "the secret one holds it");
}
