use std::path::Path;
use std::time::Duration;

use super::*;
use crate::arrival::RefusedArrivals;
use crate::index::Index;
use crate::ledger::Ledger;
use crate::mapping::tests::{arrival, event};
use crate::quarantine::{Bounds as QuarantineBounds, Quarantine};
use crate::recorder::{Condition, Outcomes, Queue};
use crate::spool::Bounds;
use crate::spool::seal::Key;
use serde_json::json;
use sillage_client::profile::Profile;
use sillage_fhir::import::PatientMap;

fn key() -> Key {
    Key::from_bytes([3; 32])
}

/// Of a log that nobody serves.
fn profile(dir: &Path) -> Profile {
    Profile {
        dir: dir.to_owned(),
        origin: "test/log".to_owned(),
        endpoints: vec!["https://127.0.0.1:1".to_owned()],
        server_name: "sillage-node".to_owned(),
        ca: dir.join("ca.pem"),
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
        log_vkey: String::new(),
        vrf_public_key: [0; 32],
        genesis: dir.join("genesis.bin"),
        author_key: None,
        stream: "c".to_owned(),
        authority_key: None,
        authority_cert: None,
        cosign_keys: Vec::new(),
        ca_key: None,
        gateway: None,
        fhir: None,
        fhir_token: None,
        portal: None,
        auth: None,
        login: None,
        test_issuer: None,
    }
}

fn spool(dir: &Path, bytes_max: u64, after: u64) -> Spool {
    Spool::open(&dir.join("arrivals"), key(), Bounds::of(bytes_max), after).expect("opened")
}

fn begin(dir: &Path, bytes_max: u64) -> (Intake, Arc<Work>) {
    try_begin(dir, bytes_max).expect("begun")
}

fn try_begin(dir: &Path, bytes_max: u64) -> Result<(Intake, Arc<Work>), CatchUpError> {
    let index = Arc::new(Index::open(&dir.join("index.sqlite"), &key()).expect("opened"));
    let spool = spool(dir, bytes_max, index.last().expect("readable"));
    let quarantine = Quarantine::open(&dir.join("quarantine"), [5; 32], QuarantineBounds::default()).expect("opened");
    let work = Arc::new(Work {
        ledger: Arc::new(Ledger::new(profile(dir))),
        spool: spool.reader(),
        index,
        terms: Terms { patients: PatientMap::empty(false), test_log: true },
        queue: Queue::default(),
        outcomes: Outcomes::default(),
        quarantine: Arc::new(quarantine) as Arc<dyn RefusedArrivals>,
        condition: Condition::default(),
        stream: "c".to_owned(),
        streams: 1,
        last_before: SpoolNumber(spool.next().0 - 1),
    });
    let config: Config = toml::from_str("profile = \"p.toml\"\nstream = \"c\"\n").expect("a configuration");
    let intake = Intake::begin(Arc::clone(&work), spool, &config)?;
    Ok((intake, work))
}

async fn take(intake: &Intake, n: u64) -> Result<Taken, NotTaken> {
    let mut event = event();
    event["source"]["site"] = json!(format!("site {n}"));
    intake.take_within(arrival(event), Duration::ZERO).await
}

/// The thread that owns the spool ends soon after the last one who could ask it.
fn ended(dir: &Path) {
    for _ in 0..500 {
        if Spool::open(&dir.join("arrivals"), key(), Bounds::of(1 << 30), 0).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the spool is held");
}

const ROOM: u64 = 1 << 30;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_start_and_the_same_again_is_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, work) = begin(dir.path(), ROOM);
    for n in 1..=20 {
        let spooled = Taken::Spooled { number: SpoolNumber(n), repeated: false };
        assert_eq!(take(&intake, n).await, Ok(spooled.clone()));
        assert_eq!(intake.became_of(SpoolNumber(n)), Some(Ok(spooled)));
    }
    assert_eq!(intake.became_of(SpoolNumber(21)), None);
    let again = Taken::Spooled { number: SpoolNumber(7), repeated: true };
    assert_eq!(take(&intake, 7).await, Ok(again.clone()));
    drop((intake, work));
    ended(dir.path());
    let (intake, work) = begin(dir.path(), ROOM);
    assert_eq!(take(&intake, 7).await, Ok(again));
    assert_eq!(take(&intake, 21).await, Ok(Taken::Spooled { number: SpoolNumber(21), repeated: false }));
    assert_eq!(work.spool.waiting_count(), 21);
    assert_eq!(work.index.waiting().expect("readable").len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_spool_and_the_index_is_made_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, work) = begin(dir.path(), ROOM);
    take(&intake, 1).await.expect("taken");
    drop((intake, work));
    ended(dir.path());
    // Durable in the spool, and the process died before the index had it: nobody was answered.
    let mut event = event();
    event["source"]["site"] = json!("site 2");
    let second = arrival(event);
    let mapped = mapping::map(&second, &Terms { patients: PatientMap::empty(false), test_log: true }).expect("mapped");
    let mut between = spool(dir.path(), ROOM, 1);
    between.append(&[mapping::to_spool(&second, &mapped.original)]).expect("durable");
    drop(between);
    let (intake, work) = begin(dir.path(), ROOM);
    assert_eq!(work.index.waiting().expect("readable").len(), 2);
    // Its sender sends it again.
    assert_eq!(take(&intake, 2).await, Ok(Taken::Spooled { number: SpoolNumber(2), repeated: true }));
    assert_eq!(work.spool.waiting_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_arrival_that_cannot_be_read_keeps_the_connector_from_starting() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, work) = begin(dir.path(), ROOM);
    take(&intake, 1).await.expect("taken");
    drop((intake, work));
    ended(dir.path());
    // Durable in the spool, without a row in the index, and of a version that this program doesn't know.
    let mut between = spool(dir.path(), ROOM, 1);
    between.append(&[b"another version".to_vec()]).expect("durable");
    drop(between);
    for _ in 0..2 {
        let error = try_begin(dir.path(), ROOM).err().expect("it doesn't start").to_string();
        assert!(error.contains("arrival 2 of the spool") && error.contains(".seg"), "{error}");
    }
    let kept = spool(dir.path(), ROOM, 1);
    assert_eq!(kept.reader().read(SpoolNumber(2)).expect("readable").as_deref(), Some(b"another version".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_each_get_their_own_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, _work) = begin(dir.path(), ROOM);
    let asked: Vec<_> = (0..200)
        .map(|n| {
            let intake = intake.clone();
            tokio::spawn(async move { take(&intake, n % 100).await })
        })
        .collect();
    let (mut fresh, mut repeated) = (std::collections::BTreeSet::new(), 0);
    for one in asked {
        match one.await.expect("asked") {
            Ok(Taken::Spooled { number, repeated: false }) => assert!(fresh.insert(number)),
            Ok(Taken::Spooled { repeated: true, .. }) => repeated += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((fresh.len(), repeated), (100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_lies_in_quarantine_and_takes_no_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, work) = begin(dir.path(), ROOM);
    let mut nobody = event();
    nobody.as_object_mut().expect("an object").remove("agent");
    let refused = intake.take_within(arrival(nobody.clone()), Duration::ZERO).await;
    assert!(
        matches!(&refused, Err(NotTaken::Refused(refusal)) if refusal.path.starts_with("AuditEvent")),
        "{refused:?}"
    );
    assert_eq!(work.spool.waiting_count(), 0);
    let quarantine = Quarantine::open(&dir.path().join("quarantine"), [5; 32], QuarantineBounds::default());
    let listed = quarantine.expect("opened").list().expect("readable");
    assert_eq!((listed.len(), listed[0].source.as_str()), (1, "radiology"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_says_so_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().expect("a folder");
    let (intake, work) = begin(dir.path(), 16 << 10);
    let mut taken = 0;
    loop {
        match take(&intake, taken).await {
            Ok(_) => taken += 1,
            Err(NotTaken::SpoolFull) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(taken < 100, "16 KiB are full before");
    }
    assert!(taken > 3, "{taken}");
    assert_eq!(work.spool.waiting_count() as u64, taken);
    // The same as before needs no room.
    assert!(matches!(take(&intake, 0).await, Ok(Taken::Spooled { repeated: true, .. })));
    assert!(matches!(take(&intake, taken).await, Err(NotTaken::SpoolFull)), "and isn't known, as it wasn't kept");
}
