//! An Encounter of FHIR R4 says of a visit what a message of HL7 v2 says.
//!
//! | `status` | becomes |
//! | --- | --- |
//! | `arrived`, `triaged`, `in-progress`, `onleave` | its participants who are there now join |
//! | `finished`, `cancelled`, `entered-in-error` | they leave |
//! | `planned`, `unknown` | nothing |

use serde_json::Value;
use sillage_proof::hash::sha256;
use sillage_rules::ident::Ins;
use sillage_rules::ident::spelling::{ins_oid, organisation_of};
use sillage_rules::line::PatientLine;
use sillage_rules::time::TimeMs;

use super::hl7::Unread;
use super::mapping::Mapping;
use super::records::Visit;

/// The record lines of an Encounter; none where it says nothing of care teams.
///
/// # Errors
/// When it names no patient by an INS, no time, or participants of whom none can be named.
pub fn records(encounter: &Value, mapping: &Mapping, now_ms: u64) -> Result<Vec<Value>, Unread> {
    if encounter["resourceType"] != "Encounter" {
        return Err(Unread::new("resourceType", "expected an Encounter"));
    }
    let joins = match encounter["status"].as_str().unwrap_or_default() {
        "arrived" | "triaged" | "in-progress" | "onleave" => true,
        "finished" | "cancelled" | "entered-in-error" => false,
        "planned" | "unknown" => return Ok(Vec::new()),
        _ => return Err(Unread::new("Encounter.status", "a status that FHIR R4 doesn't have")),
    };
    let period = &encounter["period"];
    let (time, path) = match joins {
        true => (&period["start"], "Encounter.period.start"),
        false => (&period["end"], "Encounter.period.end"),
    };
    let at_ms = time.as_str().and_then(|time| time.parse::<TimeMs>().ok());
    let at_ms =
        at_ms.ok_or_else(|| Unread::new(path, "expected a time with its zone, as 2026-03-02T10:00:00+01:00"))?.0;
    let patient = patient(encounter)?;
    let members = members(encounter, mapping, joins)?;
    let organisation = identifiers(encounter, &encounter["serviceProvider"]);
    let organisation = organisation.iter().find_map(|(system, value)| organisation_of(system, value).ok());
    let origin =
        encounter["location"][0]["location"]["identifier"]["value"].as_str().and_then(|place| mapping.ward(place));
    let origin = origin.map_or("stay", |ward| ward.origin.as_str());
    let (joined, left) = match joins {
        true => (members.into_iter().map(|member| (member, origin.to_owned())).collect(), Vec::new()),
        false => (Vec::new(), members),
    };
    let organisation = organisation.unwrap_or_else(|| mapping.organisation.clone());
    let visit = Visit { patient, at_ms, joined, left, organisation, id: id_and_version(encounter) };
    visit.lines(mapping, now_ms).map_err(|error| Unread::new(path, error.reason))
}

/// Its id with its version, or with what it says where it names none: what a later version says again is no repetition of an earlier one.
/// Empty without an id.
fn id_and_version(encounter: &Value) -> String {
    let Some(id) = encounter["id"].as_str().filter(|id| !id.is_empty()) else { return String::new() };
    let said = [&encounter["meta"]["versionId"], &encounter["meta"]["lastUpdated"]].into_iter().find_map(Value::as_str);
    let version =
        said.map_or_else(|| hex::encode(&sha256(&[encounter.to_string().as_bytes()]).to_bytes()[..8]), str::to_owned);
    format!("{id}/_history/{version}")
}

/// The patient whom an Encounter says to be there now; none of any other status, and where none is named.
pub fn admitted(encounter: &Value) -> Option<PatientLine> {
    let is_there = matches!(encounter["status"].as_str(), Some("arrived" | "triaged" | "in-progress" | "onleave"));
    let (ins, oid) = patient(encounter).ok().filter(|_| is_there)?;
    Some(PatientLine { ins, oid })
}

/// (system, value) of what a reference means: its own identifier, and those of a contained resource.
fn identifiers(encounter: &Value, reference: &Value) -> Vec<(String, String)> {
    let contained = reference["reference"]
        .as_str()
        .and_then(|said| said.strip_prefix('#'))
        .and_then(|id| encounter["contained"].as_array()?.iter().find(|resource| resource["id"].as_str() == Some(id)));
    let of_contained = contained.and_then(|resource| resource["identifier"].as_array()).into_iter().flatten();
    let all = std::iter::once(&reference["identifier"]).chain(of_contained);
    all.filter_map(|one| Some((one["system"].as_str()?.to_owned(), one["value"].as_str()?.to_owned()))).collect()
}

fn patient(encounter: &Value) -> Result<(String, String), Unread> {
    let mut found: Option<(String, String)> = None;
    for (system, value) in identifiers(encounter, &encounter["subject"]) {
        let Some(oid) = ins_oid(&system) else { continue };
        let ins =
            Ins::parse(&value, oid.as_str()).map_err(|_| Unread::new("Encounter.subject", "an INS that isn't one"))?;
        let one = (ins.value().to_owned(), oid.as_str().to_owned());
        if found.as_ref().is_some_and(|other| *other != one) {
            return Err(Unread::new("Encounter.subject", "two different INS: which one is the patient's?"));
        }
        found = Some(one);
    }
    let why =
        "no INS: an identifier of the system urn:oid:1.2.250.1.213.1.4.8, in the reference or in a contained Patient";
    found.ok_or_else(|| Unread::new("Encounter.subject", why))
}

fn members(encounter: &Value, mapping: &Mapping, joins: bool) -> Result<Vec<String>, Unread> {
    let mut out: Vec<String> = Vec::new();
    let mut unnamed = None;
    for (i, participant) in encounter["participant"].as_array().into_iter().flatten().enumerate() {
        // A participant who is no longer there joins nothing. At the end of the stay all leave, whenever they went.
        if joins && participant["period"]["end"].is_string() {
            continue;
        }
        let all = identifiers(encounter, &participant["individual"]);
        let named =
            all.iter().find_map(|(system, value)| Some(format!("{}|{value}", mapping.professional_system(system)?)));
        match named {
            Some(member) if !out.contains(&member) => out.push(member),
            Some(_) => {}
            None => unnamed = unnamed.or(Some(format!("Encounter.participant[{i}].individual"))),
        }
    }
    match (out.is_empty(), unnamed) {
        (true, Some(path)) => Err(Unread::new(
            path,
            "no participant has an identifier of an authority that [professionals] of adt.toml names",
        )),
        _ => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MARCH: u64 = 1_772_442_000_000;

    fn encounter(status: &str) -> Value {
        json!({
            "resourceType": "Encounter", "id": "e1", "status": status,
            "contained": [{"resourceType": "Practitioner", "id": "p", "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10001234567"}]}],
            "class": {"code": "IMP"},
            "subject": {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "279035121518989"}},
            "participant": [{"individual": {"reference": "#p"}}, {"individual": {"display": "a trainee"}}],
            "period": {"start": "2026-03-02T10:00:00+01:00", "end": "2026-03-03T10:00:00+01:00"},
            "location": [{"location": {"identifier": {"value": "CARDIO"}}}]
        })
    }

    #[test]
    fn an_encounter_says_what_an_admission_and_a_discharge_say() {
        let got = records(&encounter("in-progress"), &Mapping::example(), MARCH).expect("records");
        assert_eq!(got.len(), 1);
        assert_eq!(got[0]["kind"], "careteam.joined");
        assert_eq!(got[0]["details"]["origin"], "cardiologie");
        assert_eq!(got[0]["details"]["professional"], "urn:oid:1.2.250.1.71.4.2.1|10001234567");
        let got = records(&encounter("finished"), &Mapping::example(), MARCH).expect("records");
        assert_eq!(
            (got[0]["kind"].as_str(), got[0]["occurred_at"].as_str()),
            (Some("careteam.left"), Some("2026-03-03T09:00:00Z"))
        );
        // Systems close the period of each participant, too.
        for status in ["finished", "cancelled", "entered-in-error"] {
            let mut closed = encounter(status);
            closed["participant"][0]["period"] = json!({"end": "2026-03-03T09:00:00+01:00"});
            let got = records(&closed, &Mapping::example(), MARCH).expect("records");
            assert_eq!(got.first().and_then(|line| line["kind"].as_str()), Some("careteam.left"), "{status}");
        }
        let id = |encounter: &Value| {
            records(encounter, &Mapping::example(), MARCH).expect("records")[0]["correlation"].clone()
        };
        let mut later = encounter("finished");
        later["period"]["start"] = json!("2026-03-02T11:00:00+01:00");
        assert_ne!(id(&encounter("finished")), id(&later), "it isn't a repetition");
        assert_eq!(records(&encounter("planned"), &Mapping::example(), MARCH), Ok(Vec::new()));
        for (pointer, path) in [
            ("/subject/identifier/system", "Encounter.subject"),
            ("/period/start", "Encounter.period.start"),
            ("/contained/0/identifier/0/system", "Encounter.participant[0].individual"),
            ("/status", "Encounter.status"),
        ] {
            let mut wrong = encounter("in-progress");
            *wrong.pointer_mut(pointer).expect("there") = "x".into();
            assert_eq!(records(&wrong, &Mapping::example(), MARCH).expect_err(path).path, path);
        }
    }
}
