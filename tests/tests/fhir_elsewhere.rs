//! A patient moves to another log: what is exported here and imported there is decided there as it was here.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use sillage_chaos::process::Options;
use sillage_tests::health::{Patient, Question, in_s, rpps};
use sillage_tests::lines::{OID, with};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};

/// Whoever moves, and a patient whose own key signs.
const CLAIRE: Patient = Patient(6_100);
const PAUL: Patient = Patient(6_101);
const AIDE: &str = "urn:sillage:person|aide";

fn main() -> ExitCode {
    tell(
        Worlds::begin,
        stories![
            a_patient_says_what_holds,
            it_is_decided_elsewhere_as_it_was_here,
            what_is_kept_from_representatives_stays_so,
            imported_where_it_holds_already_it_is_not_recorded_again,
            what_cannot_be_recorded_elsewhere_is_named_and_stops_nothing_else,
        ],
    )
}

/// Two logs.
struct Worlds {
    here: World,
    elsewhere: World,
}

impl Worlds {
    fn begin() -> Self {
        // One node each: what is decided doesn't depend on how many agree on it.
        let begin = || World::with(Options { nodes: 1, ..Options::default() });
        Self { here: begin(), elsewhere: begin() }
    }
}

fn export(world: &World, patient: Patient, name: &str) -> PathBuf {
    let (ins, out) = (patient.ins(), world.path(name));
    let args = ["export", "--patient", &ins, "--oid", OID, "--format", "fhir", "--out", &out.to_string_lossy()];
    let run = world.sillage(&args).ok();
    // But for the patient, of whom each command says whom it means.
    let mut said = run.stderr.lines().filter(|line| !line.starts_with("sillage: patient "));
    assert_eq!(said.next(), None, "everything that decides is in it: {run}");
    out
}

fn import(world: &World, profile: &std::path::Path, bundle: &std::path::Path) -> Run {
    world.sillage_as(profile, &["import", "--fhir", &bundle.to_string_lossy()])
}

/// The rules of a result, by their kinds.
fn rules(lines: &[Value]) -> Vec<(&str, u64)> {
    lines.iter().filter_map(|line| Some((line["rule"].as_str()?, line["index"].as_u64()?))).collect()
}

fn a_patient_says_what_holds(worlds: &mut Worlds) {
    let world = &worlds.here;
    let (author, attending, member, blocked) = (rpps(71), rpps(72), rpps(73), rpps(74));
    let documents: [(&str, &str, &[&str]); 5] = [
        ("m.plain", "REPORT", &[]),
        ("m.masked", "REPORT", &[]),
        ("m.held", "REPORT", &[]),
        ("m.psy", "REPORT", &["PSY"]),
        ("DocumentReference/m.lab", "LAB", &[]),
    ];
    CLAIRE.deposits(world, &author, &documents);
    let kept = with(
        CLAIRE.reading(&author, &["m.pill"], &json!({"kind": "legal", "ref": "L1111-15"})),
        json!({
            "kind": "access.write", "secret": true
        }),
    );
    world.record(&[kept]);
    let until = in_s(86_400);
    for said in [
        &["mask", "--items", "m.masked,m.psy"][..],
        &["unmask", "--items", "m.psy"],
        &["block", "--professional", &blocked],
        &["oppose", "emergency", "--case", "SAMU"],
        &["oppose", "feed", "--source", "professionals", "--category", "LAB"],
        &["attending", "declare", "--professional", &attending],
        &["team", "join", "--professional", &member, "--until", &until, "--origin", "ward"],
        &["represent", "add", "--representative", AIDE, "--relation", "CAREGIVER", "--power", "read"],
        &["consent", "grant", "--professional", &rpps(75), "--action", "read", "--id", "grant"],
        &["secrecy", "set", "--items", "m.pill", "--secret"],
        &["block", "--professional", &member, "--secret"],
    ] {
        CLAIRE.says(world, said).ok();
    }
    let by = ["--actor", &author, "--actor-profession", "physician"];
    CLAIRE.says(world, &[&["embargo", "set", "--items", "m.held", "--until", &until], &by[..]].concat()).ok();
}

/// Who breaks the glass, as what and in which case.
const EMERGENCIES: [(u32, &str, &str); 2] = [(77, "samu-regulator", "SAMU"), (78, "emergency-physician", "INCAPACITY")];

/// An emergency is none of what moves: it is here and there.
fn break_glass(world: &World) {
    for (n, profession, case) in EMERGENCIES {
        let (who, open) = (rpps(n), ["break-glass", "open", "--case", case, "--reason", "unconscious"]);
        let more = ["--expires", "30m", "--no-position", "REFUSED", "--id", case, "--actor", &who];
        CLAIRE.says(world, &[&open[..], &more, &["--actor-profession", profession]].concat()).ok();
    }
}

const ALL: &str = "m.plain,m.masked,m.held,m.psy,DocumentReference/m.lab,m.pill,m.none";

/// What everybody may, and why, by both traces.
fn answers(world: &World) -> Vec<String> {
    let people: Vec<(String, &str)> = (71..=76).map(|n| (rpps(n), "physician")).collect();
    let more = [(AIDE.to_owned(), ""), ("urn:sillage:patient|self".to_owned(), "")];
    let more = more.into_iter().chain(EMERGENCIES.map(|(n, profession, _)| (rpps(n), profession)));
    let more: Vec<(String, &str)> = more.collect();
    let mut out = Vec::new();
    for (actor, profession) in people.iter().chain(&more) {
        for (action, purpose) in [("read", "TREAT"), ("read", "BTG"), ("write", "TREAT"), ("delete", "PATRQT")] {
            let question = Question { patient: CLAIRE, actor, profession, action, purpose, items: ALL };
            let answer = question.ask(world);
            let receipts = answer.0["receipts"].as_array().expect("receipts").clone();
            let why = receipts.iter().filter_map(|receipt| receipt["index"].as_u64()).map(|index| {
                let outcomes = CLAIRE.line(world, index)["decision"]["outcomes"].clone();
                let of = |outcome: &Value| {
                    [&outcome["id"], &outcome["reason"]].map(|text| text.as_str().expect("a text")).join(" ")
                };
                outcomes.as_array().expect("outcomes").iter().map(of).collect::<Vec<_>>().join(", ")
            });
            let why = why.collect::<Vec<_>>().join("; ");
            out.push(format!("{actor} {action} {purpose}: {:?} {:?} {why}", answer.permitted(), answer.told()));
        }
    }
    out
}

fn it_is_decided_elsewhere_as_it_was_here(worlds: &mut Worlds) {
    let Worlds { here, elsewhere } = worlds;
    let bundle = export(here, CLAIRE, "claire.json");
    let lines = import(elsewhere, &elsewhere.profile_file(), &bundle).ok().json_lines();
    assert!(lines.iter().all(|line| line.get("error").is_none()), "{lines:?}");
    let kinds: Vec<&str> = rules(&lines).into_iter().map(|(kind, _)| kind).collect();
    let expected = [
        "representation.registered",
        "item.masked",
        "professional.blocked",
        "emergency.opposition",
        "feed.opposed",
        "attending.declared",
        "careteam.joined",
        "minor.secrecy.set",
        "professional.blocked",
        "item.embargoed",
    ];
    assert_eq!(kinds, expected);
    break_glass(here);
    break_glass(elsewhere);
    let (was, is) = (answers(here), answers(elsewhere));
    for reason in [
        "MASKED",
        "BLOCKED",
        "EMERGENCY_OPPOSED",
        "BREAK_GLASS",
        "ATTENDING",
        "CARE_TEAM",
        "EMBARGOED",
        "FEED_OPPOSED",
        "REPRESENTATIVE",
        "CONSENT_GRANT",
    ] {
        assert!(was.iter().any(|answer| answer.contains(&format!(" {reason}"))), "{reason}: {was:#?}");
    }
    assert_eq!(was, is);
    // The same import again records nothing.
    let again = import(elsewhere, &elsewhere.profile_file(), &bundle).ok().json_lines();
    assert_eq!(again, lines);
}

fn what_is_kept_from_representatives_stays_so(worlds: &mut Worlds) {
    let world = &worlds.elsewhere;
    let trace = CLAIRE.trace(world);
    let open = trace.iter().filter(|line| line["secret"] != true);
    assert!(open.clone().all(|line| !line.to_string().contains("m.pill")), "{:#?}", open.collect::<Vec<_>>());
    let secret = |kind: &str| trace.iter().any(|line| line["secret"] == true && line["kind"] == kind);
    assert!(secret("access.write") && secret("minor.secrecy.set") && secret("professional.blocked"), "{trace:#?}");
}

fn imported_where_it_holds_already_it_is_not_recorded_again(worlds: &mut Worlds) {
    let world = &worlds.here;
    let bundle = world.path("claire.json");
    let resources: Value = serde_json::from_slice(&fs::read(&bundle).expect("the file")).expect("JSON");
    let id = |entry: &Value| entry["resource"]["id"].as_str()?.strip_prefix('l')?.parse::<u64>().ok();
    let was: Vec<u64> = resources["entry"].as_array().expect("entries").iter().filter_map(id).collect();
    let lines = import(world, &world.profile_file(), &bundle).ok().json_lines();
    let is: Vec<u64> = rules(&lines).into_iter().map(|(_, index)| index).collect();
    assert_eq!(is, was);
}

fn what_cannot_be_recorded_elsewhere_is_named_and_stops_nothing_else(worlds: &mut Worlds) {
    let Worlds { here, elsewhere } = worlds;
    let (ins, until) = (PAUL.ins(), in_s(86_400));
    let device = |world: &World| {
        let folder = world.path("paul").display().to_string();
        let register = ["keys", "register", "--name", "paul", "--roles", "patient", "--patient", &ins, "--oid", OID];
        world.sillage_as(&world.authority_file(), &[&register[..], &["--out", &folder]].concat()).ok();
        world.path("paul").join("sillage.toml")
    };
    PAUL.deposits(here, &rpps(71), &[("p.1", "REPORT", &[]), ("p.2", "REPORT", &[])]);
    // With a key of his own he needs nobody to vouch for him.
    let own = device(here);
    for item in ["p.1", "p.3"] {
        here.sillage_as(&own, &["mask", "--items", item, "--force", "--patient", &ins, "--oid", OID, "--json"]).ok();
    }
    PAUL.says(here, &["block", "--professional", &rpps(74)]).ok();
    let mother = ["represent", "add", "--representative", AIDE, "--relation", "PARENT", "--until", &until];
    PAUL.says_through(here, &here.authority_file(), &mother).ok();
    let bundle = export(here, PAUL, "paul.json");
    let run = import(elsewhere, &elsewhere.profile_file(), &bundle);
    assert_eq!(run.code, Some(1), "{run}");
    let lines = run.json_lines();
    assert_eq!(rules(&lines).len(), 1, "{lines:#?}");
    let refused: Vec<&Value> = lines.iter().filter(|line| line.get("error").is_some()).collect();
    let says = |path: &str, word: &str| {
        refused.iter().any(|line| line["path"] == path && line["error"].as_str().is_some_and(|why| why.contains(word)))
    };
    assert!(says("Consent.performer", "the patient's own profile"), "{refused:#?}");
    // The authority of one log is nobody in another.
    assert!(says("Consent.modifierExtension[0]", "ACTOR_RESERVED"), "{refused:#?}");
    assert_eq!(refused.len(), 3, "two masks and a parent: {refused:#?}");
    // His own device brings back what his own key signed, and may not say who accessed what.
    let lines = import(elsewhere, &device(elsewhere), &bundle);
    assert_eq!(lines.code, Some(1), "{lines}");
    let lines = lines.json_lines();
    let kinds: Vec<&str> = rules(&lines).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["item.masked", "item.masked", "professional.blocked"], "{lines:#?}");
    let refused = lines.iter().filter(|line| line.get("error").is_some());
    let codes: Vec<&str> = refused.map(|line| line["error"].as_str().expect("why")).collect();
    assert!(
        codes.len() == 3
            && codes.iter().all(|code| code.starts_with("NOT_ENTITLED") || code.starts_with("ACTOR_RESERVED")),
        "{codes:#?}"
    );
    let attending = rpps(72);
    PAUL.says(elsewhere, &["consent", "grant", "--professional", &attending, "--action", "read", "--id", "p"]).ok();
    assert!(Question::read(PAUL, &attending, "p.1").ask(elsewhere).permitted().is_empty(), "it is masked");
}
