//! Drives every fuzz target for a moment: arbitrary bytes, and mutations of well-formed seeds.

use serde_json::Value;
use sillage_proof::fuzz::drive;
use sillage_rules::fuzz::TARGETS;
use sillage_rules::kind::Kind;

/// Well-formed inputs: the test vectors, and identifiers.
fn seeds() -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/rules.json")).expect("JSON");
    let mut seeds = Vec::new();
    for record in vectors["records"].as_array().expect("records") {
        seeds.push(hex::decode(record["bytes"].as_str().expect("hex")).expect("hex"));
        seeds.push(record["line"].to_string().into_bytes());
    }
    for entry in vectors["entries"].as_array().expect("entries") {
        seeds.push(hex::decode(entry["bytes"].as_str().expect("hex")).expect("hex"));
    }
    let texts =
        ["279035121518989", "180122A12345678", "810100534436", "2A0000154", "cli", "2026-03-02T09:00:00.5+01:00"];
    let decisions: Value = serde_json::from_str(include_str!("../../docs/vectors/decision.json")).expect("JSON");
    let bytes = |value: &Value| hex::decode(value.as_str().expect("hex")).expect("hex");
    seeds.push(bytes(&decisions["authorize"]["message"]));
    seeds.extend(decisions["requests"].as_array().expect("requests").iter().map(|request| bytes(&request["bytes"])));
    for decision in decisions["decisions"].as_array().expect("decisions") {
        seeds.extend([bytes(&decision["payload"]), bytes(&decision["message"])]);
    }
    seeds.extend(events());
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

/// Kinds with their details.
fn events() -> Vec<Vec<u8>> {
    let dr = "urn:oid:1.2.250.1.71.4.2.1|10100000001";
    let details = [
        (Kind::CONSENT_DIRECTIVE, format!(r#"{{"id":"a","effect":"deny","grantee":"anyone","labels":["PSY"],"until":"2030-01-01T00:00:00Z","except":[{{"effect":"permit","grantee":{{"professional":"{dr}","organisation":"F1"}},"actions":["read"]}}]}}"#)),
        (Kind::CONSENT_DIRECTIVE, r#"{"id":"b","effect":"permit","grantee":{"app":"urn:sillage:app|p@2"},"actions":["read","print"],"categories":["LAB"],"items":["doc1"],"purposes":["PATRQT"],"from":"2026-01-01T00:00:00Z","supersedes":"a"}"#.to_owned()),
        (Kind::REPRESENTATION_REGISTERED, r#"{"representative":"urn:sillage:person|m","relation":"PARENT","powers":["read","consent"],"until":"2030-01-01T00:00:00Z"}"#.to_owned()),
        (Kind::CARETEAM_JOINED, format!(r#"{{"professional":"{dr}","until":"2030-01-01T00:00:00Z","origin":"team"}}"#)),
        (Kind::BREAKGLASS_OPENED, r#"{"id":"b","case":"INCAPACITY","reason":"coma","expires":"2030-01-01T00:00:00Z","position":{"lat":48.8,"lon":2.3,"accuracy_m":20,"source":"GPS","at":"2026-01-01T00:00:00Z"}}"#.to_owned()),
        (Kind::EMERGENCY_OPPOSITION, r#"{"cases":["SAMU","FIRE"]}"#.to_owned()),
        (Kind::FEED_OPPOSED, r#"{"source":"professionals","category":"LAB"}"#.to_owned()),
        (Kind::POLICY_PUBLISHED, r#"{"version":"1","emergency_professions":{"SAMU":["x"]},"legal_feeds":["urn:sillage:system|cnam"]}"#.to_owned()),
        (Kind::MATRIX_PUBLISHED, r#"{"version":"1","deny":[{"profession":"dentist","actions":["read"]}]}"#.to_owned()),
        (Kind::ITEM_MASKED, String::new()),
    ];
    let seed = |(kind, details): (Kind, String)| [&kind.code().to_be_bytes()[..], details.as_bytes()].concat();
    details.map(seed).to_vec()
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 80_000);
}
