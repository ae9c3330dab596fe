//! Measurements, no tests: whether the time that `ResolveTags` takes tells one patient from another, and how long a batch takes
//! while another party reads as much as it can.
//!
//! ```text
//! SILLAGE_MEASURE=1 cargo test --workspace --test timing -- --nocapture
//! ```
//!
//! 200 calls for identities of each sort, in random order, each identity asked for once: on record, erased, and of whom nobody
//! has heard; by a party that is given the secret tag, and by one that isn't. The second half of each sort was asked for
//! before by another party. What is printed is the chance that of two calls, one of each sort, the one for the patient took
//! longer (area under the ROC curve; ties count half): 0.5 says that nothing is told. Measured without a network, so that
//! nothing hides a difference.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::asking::{DR_X, Registered, access_by, client, of_seed, party, patient, put, register};
use common::{Author, Deployment, Running, key, now_ms, until};
use sillage_proto::v1::{PatientIdentity, ResolveTagsRequest, TraceRequest};
use sillage_rules::act::Act;
use sillage_rules::record::erasure_message;
use sillage_rules::roles::Roles;

const CALLS: usize = 200;
const OID: &str = "1.2.250.1.213.1.4.10";
/// One standard deviation of the area where nothing is told: the square root of (2n+1)/(12n²) for n calls each way.
const NOISE: f64 = 0.029;

/// An invented identity: form and key are right.
fn identity(n: usize) -> PatientIdentity {
    let number = 1_800_175_000_000 + (1 + n as u64 / 999) * 1_000 + 1 + n as u64 % 999;
    PatientIdentity { ins: format!("{number}{:02}", 97 - number % 97), oid: OID.to_owned() }
}

fn sort(of: usize) -> Vec<PatientIdentity> {
    (0..CALLS).map(|n| identity(of * CALLS + n)).collect()
}

/// Asks for identities of all sorts in random order; gives the times of each sort.
async fn times(node: &Running, party: &Registered, sorts: &[Vec<PatientIdentity>]) -> Vec<Vec<Duration>> {
    let mut order: Vec<(usize, usize)> = (0..sorts.len()).flat_map(|sort| (0..CALLS).map(move |n| (sort, n))).collect();
    for at in (1..order.len()).rev() {
        let other = getrandom::u64().expect("randomness") % (at as u64 + 1);
        order.swap(at, usize::try_from(other).expect("small"));
    }
    let mut rpc = client(&node.core, party);
    let mut out = vec![Vec::new(); sorts.len()];
    for (sort, n) in order {
        let request = ResolveTagsRequest { identities: vec![sorts[sort][n].clone()] };
        let began = Instant::now();
        let answer = rpc.resolve_tags(request).await;
        out[sort].push(began.elapsed());
        assert_eq!(answer.expect("tags").into_inner().tags.len(), 1);
    }
    out
}

fn area(longer: &[Duration], shorter: &[Duration]) -> f64 {
    let pairs = longer.iter().flat_map(|a| shorter.iter().map(move |b| a.cmp(b)));
    let won: f64 = pairs.map(|order| (f64::from(order as i8) + 1.0) / 2.0).sum();
    won / (longer.len() * shorter.len()) as f64
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// A measurement says nothing beside other tests, and takes its time.
fn is_wanted() -> bool {
    let wanted = std::env::var_os("SILLAGE_MEASURE").is_some();
    if !wanted {
        println!("not measured: set SILLAGE_MEASURE=1");
    }
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_time_of_resolving_tells() {
    if !is_wanted() {
        return;
    }
    let mut deployment = Deployment::new(1);
    let node = deployment.start_with(1, |config| config.limits.resolve_per_s = 1_000_000).await;
    until("a leader", async || node.core.leader()).await;
    let mut authority = Author::new(key(&deployment.path("keys/authority.key")));
    let mut portal = Author::new(key(&deployment.path("keys/profile.key")));
    let sorts = [sort(1), sort(2), sort(3)];
    let open = |identity: &PatientIdentity| -> [u8; 32] {
        let tags = node.core.tags().resolve(std::slice::from_ref(identity)).expect("an identity");
        tags[0].tag[..].try_into().expect("32 bytes")
    };
    for (at, known) in sorts[..2].iter().enumerate() {
        for identity in known {
            let tag = open(identity);
            put(&node.core, &mut portal, &access_by(tag, DR_X)).await;
            if at == 1 {
                let act = Act::Erased { indices: Vec::new(), ground: "ORDER 17".into() };
                put(&node.core, &mut authority, &erasure_message(&act, &tag, now_ms())).await;
            }
        }
    }
    let other = register(&node.core, &mut authority, 60, Roles::TAG).await;
    for identities in &sorts {
        for identity in &identities[CALLS / 2..] {
            let request = ResolveTagsRequest { identities: vec![identity.clone()] };
            client(&node.core, &other).resolve_tags(request).await.expect("tags");
        }
    }
    for (seed, who, roles) in [(61, "with the secret tag (tag)", Roles::TAG), (62, "without (reader)", Roles::READER)] {
        let party = register(&node.core, &mut authority, seed, roles).await;
        let times = times(&node, &party, &sorts).await;
        let medians: Vec<_> = times.iter().map(|times| format!("{:?}", median(times))).collect();
        println!("{who}: medians on record, erased, unknown {}", medians.join(", "));
        for (name, a, b) in
            [("on record over unknown", 0, 2), ("erased over unknown", 1, 2), ("erased over on record", 1, 0)]
        {
            println!(
                "{who}: {name}: area {:.3} (nothing is told: 0.5, give or take {NOISE})",
                area(&times[a], &times[b])
            );
        }
    }
    node.stop().await;
}

/// Entries of the patient whose device reads.
const ENTRIES: usize = 1_000;
/// Traces that it asks for at once.
const READS: usize = 144;
const SUBMITS: usize = 60;

async fn submits(node: &Running, author: &mut Author, tag: [u8; 32]) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..SUBMITS {
        let batch = author.batch(&access_by(tag, DR_X));
        let began = Instant::now();
        node.core.submit(batch).await.expect("recorded");
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_batch_takes_while_another_party_reads_all_that_it_can() {
    if !is_wanted() {
        return;
    }
    let (own, other) = (patient(7), patient(8));
    let mut deployment = Deployment::new(1);
    deployment.found_with(&party(60, Roles::PATIENT, Some(own)));
    let node = deployment.start_with(1, |config| config.limits.opened_per_s = u32::MAX).await;
    until("a leader", async || node.core.leader()).await;
    let mut portal = Author::new(key(&deployment.path("keys/profile.key")));
    let device = of_seed(60);
    for _ in 0..ENTRIES {
        put(&node.core, &mut portal, &access_by(own, DR_X)).await;
    }
    let quiet = submits(&node, &mut portal, other).await;
    let nobody = TraceRequest { tag: own.to_vec(), actor: "nobody".to_owned(), ..TraceRequest::default() };
    let read = Arc::new(AtomicUsize::new(0));
    let readings: Vec<_> = (0..READS)
        .map(|_| {
            let (mut rpc, nobody, read) = (client(&node.core, &device), nobody.clone(), Arc::clone(&read));
            tokio::spawn(async move {
                while rpc.trace(nobody.clone()).await.is_ok() {
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let beside = submits(&node, &mut portal, other).await;
    readings.iter().for_each(tokio::task::JoinHandle::abort);
    let read = read.load(Ordering::Relaxed);
    for (name, times) in [("nobody reads", quiet), ("144 traces at once", beside)] {
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        println!("{name}: a batch takes {:?} (median), {:?} (95 %), {:?} at most", at(50), at(95), at(100));
    }
    println!("{read} traces of {ENTRIES} entries were looked through meanwhile");
    node.stop().await;
}
