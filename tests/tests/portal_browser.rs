//! The portal's pages in a real browser, as a patient uses them: by mouse, by keyboard alone on a small screen, without JavaScript.
//! `tests/portal/browser.mjs` drives Debian's Chromium, and `tests/portal/tasks.mjs` has the five tasks; on every page that they come by,
//! axe finds nothing, nothing is wider than the screen, and no target is smaller than 24 px.
//!
//! Where the browser, Node or the packages can't be had, the stories say that they are skipped; in CI they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};
use sillage_chaos::process::Options;
use sillage_tests::health::{Patient, Question, in_s, rpps};
use sillage_tests::lines::{OID, with};
use sillage_tests::npm;
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};

/// The folder of the programs, and a log with a portal; none where they can't run here.
struct House {
    there: Option<(PathBuf, World)>,
}

/// The patients of the login for development, by their names there.
const CAMILLE: (Patient, &str) = (Patient(0), "Camille Bernard");
const ALIX: (Patient, &str) = (Patient(1), "Alix Petit");

fn main() -> ExitCode {
    let begin = || {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().any(npm::on_path);
        if !chromium {
            npm::skipped("no Chromium; `cargo xtask test` installs it");
            return House { there: None };
        }
        let Some(folder) = npm::folder("portal") else { return House { there: None } };
        House { there: Some((folder, World::with(Options { portal: true, ..Options::default() }))) }
    };
    tell(
        begin,
        stories![
            the_browser_of_these_tests_sees_what_is_wrong_with_a_page,
            a_patient_does_the_five_tasks,
            the_same_by_keyboard_alone_on_a_small_screen,
            reading_and_deciding_work_without_javascript,
        ],
    )
}

/// A check that finds nothing wrong anywhere would let every page pass.
fn the_browser_of_these_tests_sees_what_is_wrong_with_a_page(house: &mut House) {
    let Some((folder, _)) = &house.there else { return };
    let out = Command::new("node").arg("--test").arg(folder.join("browser.test.mjs")).output().expect("node is there");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("# skipped 0"), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
}

/// One visit: who comes, in what way, and what was there before.
struct Case {
    patient: (Patient, &'static str),
    /// Tells its people and documents from those of other cases.
    number: u32,
    document: &'static str,
    visit: Value,
}

impl Case {
    /// The physician who deposits the document.
    fn own_doctor(&self) -> String {
        rpps(500 + 10 * self.number)
    }

    /// The physician who reads it.
    fn reader(&self) -> String {
        rpps(501 + 10 * self.number)
    }

    /// The physician who is to be permitted.
    fn newcomer(&self) -> String {
        rpps(502 + 10 * self.number)
    }

    fn may_read(&self, world: &World, who: &str) -> bool {
        !Question::read(self.patient.0, who, self.document).ask(world).permitted().is_empty()
    }

    /// Goes through the tasks, and holds what is on record afterwards against what was decided.
    fn run(&self, folder: &Path, world: &World) {
        let (patient, shown) = self.patient;
        let (reader, newcomer) = (self.reader(), self.newcomer());
        patient.deposits(world, &self.own_doctor(), &[(self.document, "REPORT", &[])]);
        let grant = ["consent", "grant", "--professional", &reader, "--action", "read", "--id"];
        patient.says(world, &[&grant[..], &[&format!("before-{}", self.number)]].concat()).ok();
        let label = format!("Dr Noé Martin-{}", self.number);
        let basis = json!({"kind": "consent", "ref": format!("before-{}", self.number)});
        let mut reading = patient.reading(&reader, &[self.document], &basis);
        reading["actor"] = with(reading["actor"].clone(), json!({"label": label}));
        world.record(&[reading]);
        assert!(self.may_read(world, &reader) && !self.may_read(world, &newcomer));

        let profile = std::fs::read_to_string(world.profile_file()).expect("dev wrote it");
        let profile: toml::Table = toml::from_str(&profile).expect("TOML");
        let base = profile["portal"].as_str().expect("dev says where the portal is");
        let until = &in_s(30 * 86_400)[..10];
        let given = json!({
            "base": base, "patient": shown, "reader": label, "document": self.document, "newcomer": newcomer, "until": until,
            "visit": self.visit,
        });
        let out = Command::new("node")
            .arg(folder.join("tasks.mjs"))
            .env("TASKS", given.to_string())
            .output()
            .expect("node is there");
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
        let done: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let index = |task: &str| {
            let found = done.iter().find(|one| one["task"] == task).unwrap_or_else(|| panic!("{task}: {said}"));
            found["index"].as_u64()
        };

        for (task, kind) in [
            ("find", "access.read"),
            ("block", "professional.blocked"),
            ("permit", "consent.directive"),
            ("hide", "item.masked"),
        ] {
            let line = patient.line(world, index(task).expect("a number"));
            assert_eq!(line["kind"], kind, "{task}: {line}");
        }
        assert!(done.iter().any(|one| one["task"] == "check") || self.visit["scripts"] == false);
        assert!(!self.may_read(world, &reader), "they are blocked");
        assert!(!self.may_read(world, &newcomer), "the document is hidden");
        let other = format!("{}-other", self.document);
        patient.deposits(world, &self.own_doctor(), &[(&other, "REPORT", &[])]);
        let permitted = Question::read(patient, &newcomer, &other).ask(world);
        assert_eq!(permitted.permitted(), [other.as_str()], "the newcomer reads the others");
        let listed: Run = world.sillage(&["consent", "list", "--patient", &patient.ins(), "--oid", OID]).ok();
        assert!(listed.stdout.contains(&newcomer), "{listed}");
    }
}

fn a_patient_does_the_five_tasks(house: &mut House) {
    let Some((folder, world)) = &house.there else { return };
    let shots = std::env::var_os("SILLAGE_SHOTS").map(PathBuf::from);
    Case { patient: CAMILLE, number: 1, document: "compte-rendu-1", visit: json!({"shots": shots}) }.run(folder, world);
}

fn the_same_by_keyboard_alone_on_a_small_screen(house: &mut House) {
    let Some((folder, world)) = &house.there else { return };
    let visit = json!({"keyboard": true, "width": 320, "height": 640});
    Case { patient: ALIX, number: 2, document: "compte-rendu-2", visit }.run(folder, world);
}

fn reading_and_deciding_work_without_javascript(house: &mut House) {
    let Some((folder, world)) = &house.there else { return };
    let visit = json!({"scripts": false, "keyboard": true});
    Case { patient: CAMILLE, number: 3, document: "compte-rendu-3", visit }.run(folder, world);
}
