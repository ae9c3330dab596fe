//! The patient's door, with real nodes: log in, see the trace, decide, log out; and what a thief of the page process, of a cookie or of a
//! form doesn't get.

use std::process::ExitCode;

use serde_json::json;
use sillage_client::profile::Profile;
use sillage_proto::v1::{PatientIdentity, ResolveTagsRequest, RuleRecordsRequest, TraceRequest};
use sillage_tests::health::Patient;
use sillage_tests::lines::{OID, PHYSICIAN, access, ins, with};
use sillage_tests::portal::{Browser, Page, Portal};
use sillage_tests::story::tell;
use sillage_tests::world::World;
use sillage_tests::{stories, wire};

const CLAIRE: u64 = 7_700;
const OTHER: u64 = 7_701;
/// Stands in the texts of a record, and must stand in no line of a log.
const MARKER: &str = "Zq8-planted-Kx4";

/// The nodes, with a portal beside them.
struct Doors {
    portal: Portal,
    world: World,
}

fn main() -> ExitCode {
    tell(
        begin,
        stories![
            whoever_is_not_logged_in_is_led_to_the_login,
            a_patient_logs_in_and_sees_who_accessed,
            a_line_tells_why_it_was_possible_and_proves_itself,
            a_choice_is_previewed_then_recorded_once,
            a_patient_asks_why_once,
            every_page_of_a_visit_is_shown,
            a_file_of_the_trace_verifies,
            a_cookie_that_is_forged_or_of_another_portal_opens_nothing,
            a_form_of_another_session_or_site_records_nothing,
            a_stolen_certificate_reads_no_other_patient,
            after_the_logout_nothing_is_shown,
            no_secret_and_no_health_data_stands_in_an_address_or_a_log,
        ],
    )
}

fn begin() -> Doors {
    let world = World::begin();
    let patient = |name: &str, n: u64| format!("{name}={},{OID}", ins(n));
    let portal = Portal::open(&world, "door", &[patient("Claire", CLAIRE), patient("Noé", OTHER)]);
    let marked = json!({"items": [{"id": format!("urn:example:{MARKER}"), "category": "REPORT", "label": format!("<b>{MARKER}</b>")}]});
    world.record(&[
        access(&ins(CLAIRE), "one"),
        with(access(&ins(CLAIRE), "two"), marked),
        access(&ins(OTHER), "three"),
    ]);
    // What a block takes away shows in its preview.
    let permit = ["consent", "grant", "--professional", PHYSICIAN, "--action", "read", "--id", "permitted"];
    Patient(CLAIRE).says(&world, &permit).ok();
    Doors { portal, world }
}

/// The number of the newest line whose sentence has this text.
fn line_with(page: &Page, text: &str) -> String {
    let own = page.links().into_iter().filter(|link| link.starts_with("/trace/"));
    let numbers: Vec<String> = own.map(|link| link.trim_start_matches("/trace/").to_owned()).collect();
    assert!(page.text().contains(text), "{}", page.text());
    numbers.into_iter().find(|number| number.bytes().all(|b| b.is_ascii_digit())).expect("a line")
}

fn whoever_is_not_logged_in_is_led_to_the_login(doors: &mut Doors) {
    let mut browser = doors.portal.browser();
    let first = browser.get("/");
    first.expect(200);
    for path in ["/trace", "/acces", "/choix", "/questions", "/emporter/ma-trace.csv", "/trace/3"] {
        let led = browser.get_here(path);
        led.expect(303);
        assert!(led.reply.header("location").is_some_and(|to| to.starts_with("/connexion?suite=")), "{led:?}");
    }
    browser.get("/nowhere").expect(404);
    let page = browser.get("/trace");
    assert!(page.text().contains("Claire") && page.text().contains("Noé"), "the choice: {}", page.text());
    for (name, value) in
        [("cache-control", "no-store"), ("referrer-policy", "same-origin"), ("x-content-type-options", "nosniff")]
    {
        assert_eq!(first.reply.header(name), Some(value), "{name}");
    }
    let csp = first.reply.header("content-security-policy").expect("a policy");
    assert!(csp.starts_with("default-src 'none'") && !csp.contains("script-src"), "{csp}");
}

fn a_patient_logs_in_and_sees_who_accessed(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let page = browser.get("/trace");
    page.expect(200);
    let text = page.text();
    assert!(text.contains("Dr Claire Dubois") && text.contains("compte rendu"), "{text}");
    assert!(!text.contains("urn:example:three"), "another patient's");
    assert!(
        text.contains(&format!("&lt;b&gt;{MARKER}&lt;/b&gt;")) && !text.contains(&format!("<b>{MARKER}")),
        "{text}"
    );
    // The login is a line of the trace, once.
    let opened = |text: &str| text.matches("session").count();
    let before = opened(&text);
    browser.get("/trace");
    assert_eq!(opened(&browser.get("/trace").text()), before, "a page more is no line more");
    let english = browser.send(&page.form("/langue").set("langue", "en"));
    english.expect(200);
    assert!(english.text().contains("lang=\"en\""), "{}", english.text());
}

fn a_line_tells_why_it_was_possible_and_proves_itself(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let page = browser.get("/trace?type=access");
    let number = line_with(&page, "Dr Claire Dubois");
    let line = browser.get(&format!("/trace/{number}"));
    line.expect(200);
    assert!(line.text().contains("équipe de soins"), "{}", line.text());
    for action in ["/choix/bloquer?ligne=", "/choix/masquer?ligne=", "/question"] {
        assert!(line.links().iter().any(|link| link.contains(action)), "{action}: {:?}", line.links());
    }
    let proof = browser.get(&format!("/trace/{number}/preuve"));
    proof.expect(200);
    assert!(proof.text().starts_with("c2sp.org/tlog-proof@v1"), "{}", proof.text());
    // What is no line of this patient doesn't exist.
    let others = doors.portal.logged_in(1).get("/trace?type=access");
    let theirs = line_with(&others, "Dr Claire Dubois");
    for path in
        [format!("/trace/{theirs}"), "/trace/0".to_owned(), "/trace/999999999".to_owned(), "/trace/x".to_owned()]
    {
        browser.get(&path).expect(404);
    }
}

/// Whether a block of the physician of the example holds, as the command line says.
fn is_blocked(world: &World, patient: u64) -> bool {
    let listed = world.sillage(&["consent", "list", "--patient", &ins(patient), "--oid", OID, "--json"]).ok();
    listed.lines().iter().any(|line| line.contains("professional.blocked") && line.contains(PHYSICIAN))
}

/// Blocks the physician of the example, up to the preview.
fn preview_of_a_block(browser: &mut Browser) -> Page {
    let page = browser.get("/choix/bloquer");
    let people = page.offered("personne");
    let (value, _) = people.iter().find(|(_, label)| label.contains("Claire Dubois")).expect("offered");
    let preview = browser.send(&page.form("/choix/apercu").set("personne", value));
    preview.expect(200);
    preview
}

fn a_choice_is_previewed_then_recorded_once(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let empty = browser.get("/choix/bloquer");
    let wrong = browser.send(&empty.form("/choix/apercu").set("personne", "autre").set("numero", "12"));
    assert!(wrong.expect(200).text().contains("RPPS"), "{}", wrong.text());
    let size = doors.world.tree_size();
    let preview = preview_of_a_block(&mut browser);
    assert!(preview.text().contains("ne pourra plus"), "who loses what: {}", preview.text());
    let form = preview.form("/choix/confirmer");
    let done = browser.send(&form);
    done.expect(200);
    let number = done.path.trim_start_matches("/choix/fait/").to_owned();
    assert!(number.parse::<u64>().is_ok_and(|number| number >= size), "{}", done.path);
    // Again, from another tab, after a restart: the same record, and no second one.
    doors.portal.restart();
    let again = browser.send(&form);
    again.expect(200);
    assert_eq!(again.path, format!("/choix/fait/{number}?encore=1"));
    let held = browser.get("/choix");
    assert_eq!(held.text().matches(&format!("/trace/{number}")).count(), 1, "{}", held.text());
    let rights = browser.get("/acces");
    rights.expect(200);
    // The command line sees the same.
    assert!(is_blocked(&doors.world, CLAIRE));
    // And it is withdrawn by its own form.
    let withdraw = held.links().into_iter().find(|link| link.starts_with("/choix/retirer")).expect("a way back");
    let form = browser.get(&withdraw);
    let preview = browser.send(&form.form("/choix/apercu"));
    browser.send(&preview.form("/choix/confirmer")).expect(200);
    assert!(!is_blocked(&doors.world, CLAIRE));
}

fn a_patient_asks_why_once(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let number = line_with(&browser.get("/trace?type=access"), "Dr Claire Dubois");
    let path = format!("/trace/{number}/question");
    let page = browser.get(&path);
    let form = page.form(&path);
    for (question, wrong) in [(String::new(), "crivez"), ("é".repeat(5_000), "trop longue")] {
        let refused = browser.send(&form.clone().set("question", &question));
        assert!(refused.expect(200).text().contains(wrong), "{}", refused.text());
    }
    let hostile = format!("<script>alert(1)</script> \u{202e}{MARKER} \u{1f600}");
    let form = form.set("question", &hostile);
    let asked = browser.send(&form);
    asked.expect(200);
    let text = asked.text();
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script>") && !text.contains('\u{202e}'), "{text}");
    let again = browser.send(&form);
    again.expect(200);
    assert_eq!(again.text().matches("&lt;script&gt;").count(), text.matches("&lt;script&gt;").count(), "asked once");
    let rows = doors.world.sillage(&["contest", "list", "--waiting", "--json"]).ok().json_lines();
    let row =
        rows.iter().find(|row| row["question"].as_str().is_some_and(|own| own.contains(MARKER))).expect("it goes on");
    assert_eq!(row["about"]["index"].to_string(), number);
    let index = row["index"].to_string();
    let by = ["--actor", PHYSICIAN, "--actor-profession", "physician", "--actor-organisation", "750712184"];
    let answer = [&["contest", "answer", &index, "--text", "Un remplacement."], &by[..]].concat();
    doors.world.sillage(&answer).ok();
    let page = browser.get("/questions");
    assert!(page.text().contains("Un remplacement."), "{}", page.text());
    let closed = browser.send(&page.form("/questions/clore"));
    closed.expect(200);
    assert!(!closed.text().contains("action=\"/questions/clore\""), "{}", closed.text());
    browser.send(&page.form("/questions/clore")).expect(200);
}

fn every_page_of_a_visit_is_shown(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let today = "2026-03-02";
    for path in [
        "/",
        "/acces",
        &format!("/acces?le={today}"),
        "/acces?le=x",
        "/choix",
        "/choix/autoriser",
        "/choix/refuser",
        "/choix/masquer",
        "/choix/bloquer",
        "/choix/alimentation",
        "/choix/urgence",
        "/choix/medecin",
        "/choix/equipe",
        "/choix/confiance",
        "/choix/fermer",
        "/proches",
        "/urgences",
        "/questions",
        "/sources",
        "/emporter",
        "/emporter/imprimer",
        "/verifier",
        "/aide",
        "/accessibilite",
        "/trace?depuis=2026-01-01&jusqu=2026-12-31",
        "/trace?depuis=x",
        "/trace?urgence=1&injustifie=1",
        "/trace?page=bookmark",
        "/healthz",
    ] {
        browser.get(path).expect(200);
    }
    let verifier = browser.get("/verifier");
    let csp = verifier.reply.header("content-security-policy").expect("a policy");
    assert!(csp.contains("script-src 'self'"), "{csp}");
    for (path, kind) in
        [("/style.css", "text/css"), ("/verify.js", "text/javascript"), ("/verifier.js", "text/javascript")]
    {
        let file = browser.get(path);
        file.expect(200);
        assert!(file.reply.header("content-type").is_some_and(|own| own.starts_with(kind)), "{path}");
    }
}

fn a_file_of_the_trace_verifies(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let bundle = browser.get("/emporter/ma-trace.sillage-trace");
    bundle.expect(200);
    let file = doors.world.write("taken.sillage-trace", &bundle.reply.body).display().to_string();
    let policy =
        doors.world.write("taken.policy", &browser.get("/verifier/politique.txt").reply.body).display().to_string();
    doors.world.sillage(&["verify", &file, "--policy", &policy]).ok();
    let table = browser.get("/emporter/ma-trace.csv");
    assert!(table.expect(200).text().contains("Dr Claire Dubois"));
    let fhir = browser.get("/emporter/ma-trace.json").expect(200).reply.json();
    assert_eq!(fhir["resourceType"], "Bundle");
}

fn a_cookie_that_is_forged_or_of_another_portal_opens_nothing(doors: &mut Doors) {
    let patient = format!("Autre={},{OID}", ins(OTHER));
    let elsewhere = Portal::open(&doors.world, "elsewhere", &[patient]);
    let (own, strange) = (doors.portal.logged_in(0), elsewhere.logged_in(0));
    let whole = own.cookies["sillage-session"].clone();
    let changed = |at: usize| {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let forged = [
        strange.cookies["sillage-session"].clone(),
        changed(0),
        changed(40),
        changed(whole.len() / 2),
        whole[..whole.len() - 4].to_owned(),
        "x".to_owned(),
        "A".repeat(3_000),
    ];
    for value in forged {
        let mut browser = own.clone();
        browser.cookies.insert("sillage-session".to_owned(), value);
        let refused = browser.get("/trace");
        assert_eq!(refused.reply.status, 401, "{}", refused.text());
        assert!(!refused.text().contains("Dr Claire Dubois"));
        assert!(!browser.cookies.contains_key("sillage-session"), "it is ended");
    }
    // A code that leaks is of no use without the seed of the browser that began.
    let mut thief = doors.portal.browser();
    thief.get_here("/connexion");
    thief.get(&format!("/retour?code={}", "a".repeat(64))).expect(400);
}

fn a_form_of_another_session_or_site_records_nothing(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let preview = preview_of_a_block(&mut browser);
    let form = preview.form("/choix/confirmer");
    let size = doors.world.tree_size();
    browser.send(&form.clone().set("jeton", "x")).expect(400);
    browser.send(&form.clone().set("inscription", "x")).expect(400);
    // Another patient, with a token of their own.
    let mut other = doors.portal.logged_in(1);
    let token = other.get("/choix/bloquer").form("/choix/apercu").value("jeton").expect("a token").to_owned();
    other.send(&form.set("jeton", &token)).expect(400);
    let after = doors.world.tree_size();
    // The login of the other one is a batch; index commits come between.
    assert!(after <= size + 6, "nothing else was recorded: {size} and then {after}");
    assert!(!is_blocked(&doors.world, OTHER));
}

fn a_stolen_certificate_reads_no_other_patient(doors: &mut Doors) {
    let _claire = doors.portal.logged_in(0);
    let stolen = Profile::load(&doors.portal.profile).expect("the page process' profile");
    let tag = |world: &World, n: u64| {
        let profile = world.profile();
        let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
        let identities = vec![PatientIdentity { ins: ins(n), oid: OID.to_owned() }];
        world
            .wait(rpc.resolve_tags(ResolveTagsRequest { identities }))
            .expect("resolved")
            .into_inner()
            .tags
            .remove(0)
            .tag
    };
    let unseen = tag(&doors.world, 7_799);
    let mut rpc = wire::rpc(&stolen, 1, Some(&wire::pem_of(&stolen)));
    let trace = doors.world.wait(rpc.trace(TraceRequest { tag: unseen.clone(), ..TraceRequest::default() }));
    assert_eq!(wire::info(&trace.expect_err("nobody is logged in")).code, "NOT_ENTITLED");
    let rules = doors.world.wait(rpc.rule_records(RuleRecordsRequest { tag: unseen, ..Default::default() }));
    assert_eq!(wire::info(&rules.expect_err("nobody is logged in")).code, "NOT_ENTITLED");
    // Whom it doesn't know, it can't even name.
    let mask = ["mask", "--patient", &ins(OTHER), "--oid", OID, "--items", "urn:example:three"];
    assert_ne!(doors.world.sillage_as(&doors.portal.profile, &mask).code, Some(0));
}

fn after_the_logout_nothing_is_shown(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(1);
    let kept = browser.clone();
    let page = browser.get("/trace");
    browser.send(&page.form("/deconnexion")).expect(200);
    assert!(!browser.cookies.contains_key("sillage-session"));
    assert_eq!(browser.get_here("/trace").reply.status, 303);
    // Whoever kept the cookie has nothing of it: the session is over on record.
    let mut thief = kept;
    let refused = thief.get("/trace");
    assert_eq!(refused.reply.status, 401, "{}", refused.text());
}

fn no_secret_and_no_health_data_stands_in_an_address_or_a_log(doors: &mut Doors) {
    let mut browser = doors.portal.logged_in(0);
    let preview = preview_of_a_block(&mut browser);
    browser.send(&preview.form("/choix/confirmer"));
    let page = browser.get("/trace");
    for link in page.links().into_iter().take(40).filter(|link| link.starts_with('/')) {
        browser.get(&link);
    }
    let mut secrets =
        vec![ins(CLAIRE), ins(CLAIRE)[..13].to_owned(), MARKER.to_owned(), PHYSICIAN.to_owned(), "Claire".to_owned()];
    secrets.extend(browser.cookies.values().map(|value| value[..40.min(value.len())].to_owned()));
    for address in &browser.seen {
        assert!(!secrets.iter().any(|secret| address.contains(secret.as_str())), "{address}");
    }
    let log = doors.portal.log();
    assert!(log.contains("a session is open"), "it was looked at: {log}");
    let found: Vec<&String> = secrets.iter().filter(|secret| log.contains(secret.as_str())).collect();
    assert!(found.is_empty(), "{found:?} in {log}");
}
