//! Before a node destroys an old key it makes sure that nothing which isn't erased is lost with it.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::asking::patient;
use common::{Author, Deployment, key, now_ms};
use prost::Message as _;
use sillage_ledger::seal::{KekFile, Sealer, TagPrefix};
use sillage_ledger::{CommandOutcome, Ledger, LedgerReader, Options};
use sillage_node::core::disclose::devices::Devices;
use sillage_node::core::erasing::survivors;
use sillage_node::core::submitting::admission::Admission;
use sillage_proto::internal::v1::{Command, RetireKek, Rewrap};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;

fn sealer(reader: &LedgerReader, keyring: &Path) -> (Arc<KekFile>, Arc<Sealer>) {
    let keks = Arc::new(KekFile::open(keyring).expect("a keyring"));
    let sealer = Sealer::new(reader.clone(), keks.clone(), 100);
    (keks, Arc::new(sealer))
}

#[test]
fn an_old_key_stays_as_long_as_a_data_key_needs_it_here() {
    let deployment = Deployment::new(1);
    let genesis = std::fs::read(deployment.path("genesis.bin")).expect("a genesis");
    let (good, other) = (deployment.path("node-1/keys/keyring"), deployment.path("node-1/keys/other"));
    std::fs::copy(&good, &other).expect("a copy");
    let keks = Arc::new(KekFile::open(&good).expect("a keyring"));
    let mut ledger = Ledger::open(&deployment.path("ledger"), &genesis, keks.clone(), Options::default()).expect("new");
    let (reader, entries) = (ledger.reader(), ledger.entry_reader());
    let honest = Arc::new(Sealer::new(reader.clone(), keks.clone(), 100));
    let mut index = 0;
    let mut apply = |command: Command| {
        index += 1;
        ledger.apply(index, 1, now_ms(), &command.encode_to_vec()).expect("applied").remove(0)
    };

    // A record of a patient, and so a data key under epoch 1.
    let (tag, prefix) = (patient(7), TagPrefix::of(&patient(7)));
    let mut record = new_message(Kind::ACCESS_READ, Some(&tag), now_ms());
    record.actor = Some(common::asking::doctor(common::asking::DR_X));
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let devices = Devices::new(entries, Arc::clone(&honest));
    let admission = Admission::new(reader.clone(), Arc::clone(&honest), devices);
    let admitted = admission.admit(&author.batch(&record), (now_ms(), now_ms()), None).expect("admitted");
    let outcome = apply(Command { version: 1, batches: vec![admitted.batch], ..Command::default() });
    assert!(matches!(outcome, CommandOutcome::Done { .. }), "{outcome:?}");
    let retired = vec![(prefix, 1)];
    let judge = |sealer: &Sealer| {
        let verdict = survivors::judge(&reader, sealer, &retired).expect("readable");
        (verdict.safe, verdict.held_back)
    };
    let (safe, held) = judge(&honest);
    assert!(safe.is_empty() && held.len() == 1, "the data key is still wrapped under it");
    assert!(held[0].reason.contains("epoch 1"), "{}", held[0].reason);

    // Epoch 2: this keyring has it, the other one has another key in its place.
    keks.make(prefix, 2).expect("writable");
    let (name, wrapped) = reader.data_keys_of(prefix, None, 10).expect("readable").remove(0);
    let number = u32::from(prefix.get());
    let announced = Rewrap { keys: Vec::new(), prefix: number, epoch: 2 };
    apply(Command { version: 2, rewrap: Some(announced), ..Command::default() });
    let anew = honest.rewrap(&name, &wrapped, 2).expect("both keys are here");
    let rewrap = Rewrap { keys: vec![anew], prefix: number, epoch: 2 };
    assert_eq!(apply(Command { version: 2, rewrap: Some(rewrap), ..Command::default() }), CommandOutcome::KeysChanged);
    let retire_kek = Some(RetireKek { prefix: number, epoch: 1 });
    assert_eq!(apply(Command { version: 2, retire_kek, ..Command::default() }), CommandOutcome::KeysChanged);
    let (safe, held) = judge(&honest);
    assert_eq!((safe, held.len()), (retired.clone(), 0), "all that survives is under epoch 2");

    let (other_keks, mistaken) = sealer(&reader, &other);
    let (safe, held) = judge(&mistaken);
    assert!(safe.is_empty() && held.len() == 1, "it lacks the new key");
    other_keks.make(prefix, 2).expect("writable");
    let (safe, held) = judge(&mistaken);
    assert!(safe.is_empty(), "destroyed, the old key would take the patient's records along: {held:?}");
    assert_eq!(held[0].prefix, prefix);
    let elsewhere = survivors::judge(&reader, &mistaken, &[(TagPrefix::of(&patient(9)), 1)]).expect("readable");
    assert_eq!(elsewhere.held_back, [], "another prefix isn't held up by it");
}
