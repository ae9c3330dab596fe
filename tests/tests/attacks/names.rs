//! With nothing but another spelling of one's own name.

use serde_json::{Value, json};
use sillage_proto::v1::SubmitRequest;
use sillage_tests::health::{Patient, Question, rpps};
use sillage_tests::lines::{OID, ndjson, now_ms};
use sillage_tests::wire::{self, pem_of, rpc};
use sillage_tests::world::World;

const ANNE: Patient = Patient(5_300);
const OLGA: Patient = Patient(5_301);

/// Spellings of one professional, all of which stand for the number.
fn spellings(number: &str) -> Vec<String> {
    [
        ("urn:oid:1.2.250.1.71.4.2.1", ""),
        ("urn:oid:1.2.250.1.71.4.2.1", "8"),
        ("URN:OID:1.2.250.1.71.4.2.1", ""),
        ("https://rpps.esante.gouv.fr", ""),
        ("https://rpps.esante.gouv.fr", "8"),
        ("http://RPPS.esante.gouv.fr/", ""),
    ]
    .iter()
    .map(|(system, before)| format!("{system}|{before}{number}"))
    .chain([number.to_owned(), format!("8{number}")])
    .collect()
}

/// What stands for nobody.
fn odd(number: &str) -> Vec<String> {
    vec![
        format!("urn:oid:1.2.250.1.71.4.2.01|{number}"),
        format!("urn:oid:1.2.250.1.71.4.2.1.|{number}"),
        format!("urn:oid:1.2.250.1.71.4.2.1|{number}\u{200b}"),
        format!("urn:oid:1.2.250.1.71.4.2.1\u{200b}|{number}"),
        format!("https://rpps.esante.gouv.fr.|{number}"),
    ]
}

/// A block and a revocation under one name hold under every other; what stands for nobody is refused.
pub fn another_spelling_of_a_name_opens_nothing(world: &mut World) {
    let (doctor, depositor) = (rpps(61), rpps(60));
    ANNE.deposits(world, &depositor, &[("n.lab", "LAB", &[])]);
    let grant = ["consent", "grant", "--professional", &doctor, "--action", "read", "--category", "LAB"];
    ANNE.says(world, &grant).ok();
    let reads = |world: &World, actor: &str| Question::read(ANNE, actor, "n.lab").ask(world).permitted().len() == 1;
    for actor in spellings(&doctor) {
        assert!(reads(world, &actor), "{actor}: permitted under one name, and so under all");
    }
    for actor in odd(&doctor) {
        let run = Question::read(ANNE, &actor, "n.lab").run(world, &world.profile_file(), &[]);
        assert_eq!(run.code, Some(4), "{actor:?}: {run}");
        assert_eq!(ANNE.says(world, &["block", "--professional", &actor]).code, Some(4), "{actor:?}");
    }
    for blocked in spellings(&doctor) {
        ANNE.says(world, &["block", "--professional", &blocked]).ok();
        for actor in spellings(&doctor) {
            assert!(!reads(world, &actor), "{actor}, blocked as {blocked}");
        }
        ANNE.says(world, &["unblock", "--professional", &doctor]).ok();
    }
    assert!(reads(world, &doctor), "none of the blocks is left");
    let other = spellings(&doctor).swap_remove(4);
    let authority = world.authority_file();
    world.sillage_as(&authority, &["actor", "revoke", "--actor", &other, "--reason", "struck off"]).ok();
    for actor in spellings(&doctor) {
        assert!(!reads(world, &actor), "{actor}, revoked as {other}");
    }
}

/// An access is found by the number, whatever its record said; and a service that doesn't spell as the ledger does is refused.
pub fn another_spelling_of_a_name_hides_no_access(world: &mut World) {
    let doctor = rpps(62);
    let line = |system: &str, id: &str| {
        json!({
            "kind": "access.read", "patient": {"ins": OLGA.ins(), "oid": OID}, "purpose": "TREAT",
            "actor": {"system": system, "id": id, "label": "Dr O", "organisation": "1750712184"},
            "items": [{"id": "o.lab", "category": "LAB"}], "outcome": "success",
            "occurred_at": sillage_rules::time::TimeMs(now_ms()).to_string(),
        })
    };
    let said: Vec<Value> = spellings(&doctor)
        .iter()
        .filter_map(|name| name.split_once('|').map(|(system, id)| line(system, id)))
        .collect();
    let count = said.len();
    world.record(&said);
    for asked in [doctor.clone(), format!("8{doctor}"), format!("https://rpps.esante.gouv.fr|{doctor}")] {
        let found = OLGA.asks(world, &["trace", "--actor", &asked, "--kind", "access"]).ok().json_lines().len();
        assert_eq!(found, count, "{asked}");
    }
    let found = OLGA.asks(world, &["trace", "--organisation", "750712184", "--kind", "access"]).ok();
    assert_eq!(found.json_lines().len(), count);
    for name in odd(&doctor) {
        let (system, id) = name.split_once('|').expect("a name");
        let input = ndjson(&[line(system, id)]);
        let run = world.sillage_fed(&["record", "--file", "-"], &input);
        assert_eq!(run.code, Some(4), "{name:?}: {run}");
    }
    raw(world, &doctor);
}

/// Below the command line, which spells for its callers.
fn raw(world: &World, doctor: &str) {
    let profile = world.profile();
    let signer = wire::signer(&profile);
    let actor = sillage_proto::v1::Actor {
        system: "https://rpps.esante.gouv.fr".into(),
        id: doctor.to_owned(),
        ..Default::default()
    };
    let link = world.link();
    let (open, _) = world.wait(link.tags().expect("tags").both(&OLGA.ins(), OID)).expect("the patient's tags");
    let kind = sillage_rules::kind::Kind::ACCESS_READ;
    let record = sillage_rules::record::new_message(kind, Some(&open.to_bytes()), now_ms());
    let record = sillage_proto::v1::Record { actor: Some(actor), ..record };
    let batch = wire::sign(&signer, "names", 1, vec![prost::Message::encode_to_vec(&record)]);
    let mut rpc = rpc(&profile, 1, Some(&pem_of(&profile)));
    let status = world.wait(rpc.submit(SubmitRequest { batch: Some(batch) })).expect_err("another spelling");
    assert_eq!(wire::info(&status).code, "INVALID_SPELLING", "{status}");
}
