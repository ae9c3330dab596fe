//! A patient's consent, decisions about their documents and accesses to them, through the command line.

use std::path::PathBuf;

use serde_json::{Value, json};
use sillage_rules::ident::Rpps;
use sillage_rules::time::TimeMs;

use crate::lines::{OID, ins, now_ms, with};
use crate::world::{Run, World};

/// How somebody proved who they are: what a service vouches for.
pub const AUTH: [&str; 6] = ["--issuer", "urn:example:idp", "--method", "eid", "--eidas-level", "substantial"];

/// The system of health professionals.
const RPPS_SYSTEM: &str = "urn:oid:1.2.250.1.71.4.2.1";

/// The RPPS number of the `n`th invented professional: form and key are right.
///
/// # Panics
/// From the hundred millionth on.
pub fn rpps(n: u32) -> String {
    let with_key = (0..10).map(|key| format!("10{n:08}{key}"));
    with_key.into_iter().find(|rpps| Rpps::parse(rpps).is_ok_and(|rpps| rpps.key_fits())).expect("one key fits")
}

/// Now and so many seconds, as a record says it.
pub fn in_s(seconds: i64) -> String {
    TimeMs(now_ms().checked_add_signed(seconds * 1_000).expect("after 1970")).to_string()
}

/// A patient, and the log that knows them.
#[derive(Clone, Copy)]
pub struct Patient(pub u64);

impl Patient {
    /// The INS.
    pub fn ins(self) -> String {
        ins(self.0)
    }

    /// `sillage ARGS --patient INS --oid OID --json`, as the patient or on their behalf.
    pub fn says(self, world: &World, args: &[&str]) -> Run {
        self.says_through(world, &world.profile_file(), args)
    }

    /// The same with another profile.
    pub fn says_through(self, world: &World, profile: &std::path::Path, args: &[&str]) -> Run {
        let ins = self.ins();
        let whose = ["--patient", &ins, "--oid", OID, "--json"];
        world.sillage_as(profile, &[args, &whose, &AUTH].concat())
    }

    /// What a command that only looks says: `sillage ARGS --patient INS --oid OID --json`.
    pub fn asks(self, world: &World, args: &[&str]) -> Run {
        world.sillage(&[args, &["--patient", &self.ins(), "--oid", OID, "--json"]].concat())
    }

    /// Deposits documents, each with its category and labels, as `depositor`.
    pub fn deposits(self, world: &World, depositor: &str, documents: &[(&str, &str, &[&str])]) -> Vec<u64> {
        let line = |(id, category, labels): &(&str, &str, &[&str])| {
            json!({
                "kind": "access.write", "patient": {"ins": self.ins(), "oid": OID},
                "actor": {"system": RPPS_SYSTEM, "id": depositor, "role": "physician"},
                "items": [{"id": id, "category": category, "labels": labels,
                    "depositor": format!("{RPPS_SYSTEM}|{depositor}")}],
                "occurred_at": in_s(0), "purpose": "TREAT", "basis": {"kind": "legal", "ref": "L1111-15"},
                "outcome": "success"
            })
        };
        world.record(&documents.iter().map(line).collect::<Vec<_>>())
    }

    /// The line of a reading by a physician that cites `basis`.
    pub fn reading(self, actor: &str, items: &[&str], basis: &Value) -> Value {
        let items: Vec<Value> = items.iter().map(|id| json!({"id": id, "category": "REPORT"})).collect();
        json!({
            "kind": "access.read", "patient": {"ins": self.ins(), "oid": OID},
            "actor": {"system": RPPS_SYSTEM, "id": actor, "role": "physician"}, "items": items,
            "occurred_at": in_s(0), "purpose": "TREAT", "basis": basis, "outcome": "success"
        })
    }

    /// The same for an emergency.
    pub fn emergency_reading(self, actor: &str, items: &[&str], basis: &Value) -> Value {
        with(self.reading(actor, items, basis), json!({"purpose": "BTG"}))
    }

    /// The patient's trace, oldest first.
    pub fn trace(self, world: &World) -> Vec<Value> {
        let ins = self.ins();
        let args = ["trace", "--patient", &ins, "--oid", OID, "--limit", "500", "--json"];
        let mut lines = world.sillage(&args).ok().json_lines();
        lines.reverse();
        lines
    }

    /// The line of the trace at `index`.
    ///
    /// # Panics
    /// When there is none.
    pub fn line(self, world: &World, index: u64) -> Value {
        let lines = self.trace(world);
        lines.into_iter().find(|line| line["index"] == index).unwrap_or_else(|| panic!("no line {index} in the trace"))
    }
}

/// A question to the ledger: may a professional do this?
pub struct Question<'a> {
    /// The patient.
    pub patient: Patient,
    /// RPPS number, or `system|id`.
    pub actor: &'a str,
    /// Their profession; empty for a person.
    pub profession: &'a str,
    /// What they would do.
    pub action: &'a str,
    /// Why.
    pub purpose: &'a str,
    /// With which documents.
    pub items: &'a str,
}

impl<'a> Question<'a> {
    /// To read for care, as a physician.
    pub const fn read(patient: Patient, actor: &'a str, items: &'a str) -> Self {
        Self { patient, actor, profession: "physician", action: "read", purpose: "TREAT", items }
    }

    /// To read in an emergency.
    pub const fn emergency(patient: Patient, actor: &'a str, items: &'a str) -> Self {
        let profession = "emergency-physician";
        Self { patient, actor, profession, action: "read", purpose: "BTG", items }
    }

    /// Asks with a profile and more options.
    pub fn run(&self, world: &World, profile: &std::path::Path, more: &[&str]) -> Run {
        let ins = self.patient.ins();
        let mut args = vec!["authorize", "--patient", &ins, "--oid", OID, "--actor", self.actor, "--json"];
        args.extend(["--action", self.action, "--purpose", self.purpose, "--items", self.items]);
        if !self.profession.is_empty() {
            args.extend(["--actor-profession", self.profession]);
        }
        args.extend(AUTH);
        args.extend(more);
        world.sillage_as(profile, &args)
    }

    /// The answer.
    pub fn ask(&self, world: &World) -> Answer {
        Answer(self.run(world, &world.profile_file(), &[]).ok().json())
    }

    /// The answer, and its receipt as a file.
    pub fn ask_for_receipt(&self, world: &World, name: &str) -> (Answer, PathBuf) {
        let path = world.path(name);
        let out = path.display().to_string();
        (Answer(self.run(world, &world.profile_file(), &["--out", &out]).ok().json()), path)
    }

    /// The answer through one node alone (from 1).
    pub fn ask_node(&self, world: &World, node: usize) -> Answer {
        Answer(self.run(world, &through(world, node), &[]).ok().json())
    }
}

/// What the ledger said.
#[derive(Debug)]
pub struct Answer(pub Value);

impl Answer {
    fn strings(&self, field: &str) -> Vec<&str> {
        let list = self.0[field].as_array().unwrap_or_else(|| panic!("no {field} in {}", self.0));
        list.iter().map(|text| text.as_str().expect("a text")).collect()
    }

    /// Documents that may be used.
    pub fn permitted(&self) -> Vec<&str> {
        self.strings("permitted")
    }

    /// Documents that may be known of.
    pub fn told(&self) -> Vec<&str> {
        self.strings("told")
    }

    /// What is owed.
    pub fn obligations(&self) -> Vec<&str> {
        self.strings("obligations")
    }

    /// Where the decision is on record.
    pub fn index(&self) -> u64 {
        self.0["receipts"][0]["index"].as_u64().unwrap_or_else(|| panic!("no receipt in {}", self.0))
    }
}

/// A profile that knows one node alone (from 1).
pub fn through(world: &World, node: usize) -> PathBuf {
    let text = std::fs::read_to_string(world.profile_file()).expect("the profile");
    let endpoint = world.profile().endpoints[node - 1].clone();
    let lines = text.lines().map(|line| match line.starts_with("endpoints") {
        true => format!("endpoints = [\"{endpoint}\"]"),
        false => line.to_owned(),
    });
    let path = world.dir().join(format!("node-{node}.toml"));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).expect("the world's folder takes a file");
    path
}

/// The flags of a line.
pub fn flags(line: &Value) -> Vec<&str> {
    line["flags"].as_array().map(|flags| flags.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_professionals_are_different_and_well_formed() {
        let all: std::collections::BTreeSet<String> = (0..1_000).map(rpps).collect();
        assert_eq!(all.len(), 1_000);
    }
}
