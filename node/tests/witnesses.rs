//! Witnesses of every sort, over HTTP in this process: a good one is heard, and no other is in anyone's way.

mod common;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use common::{Author, Deployment, key, now_ms, record, until};
use parking_lot::Mutex;
use sillage_node::config::WitnessConfig;
use sillage_node::core::Core;
use sillage_node::core::condition::alarms::Alarm;
use sillage_node::http::Backend as _;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, SignedNote, SignerKey, VerifierKey};
use sillage_proof::{Hash, TreeSize, merkle};

/// The behaviour of a witness.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As the specification says.
    Good,
    /// Signs something else.
    Lies,
    /// Says a word of its own.
    Babbles,
    /// Sends without end.
    Floods,
    /// Takes the request and says nothing.
    Sleeps,
    /// Always this status.
    Refuses(u16),
}

struct Witness {
    manner: Manner,
    signer: SignerKey,
    log: VerifierKey,
    /// Size and root that it cosigned.
    known: Mutex<(u64, Hash)>,
    /// The checkpoint that it shows to monitors.
    shown: Mutex<Option<String>>,
    statuses: Mutex<Vec<u16>>,
}

impl Witness {
    fn answer(&self, body: &str) -> Option<(StatusCode, &'static str, String)> {
        let (old, rest) = body.strip_prefix("old ")?.split_once('\n')?;
        let (proof, note) = match rest.strip_prefix('\n') {
            Some(note) => ("", note),
            None => rest.split_once("\n\n")?,
        };
        let old: u64 = old.parse().ok()?;
        let proof: Option<Vec<Hash>> = proof.lines().map(hash).collect();
        let note = SignedNote::parse(note.as_bytes()).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        if note.verify([&self.log]).is_err() {
            return Some((StatusCode::FORBIDDEN, "text/plain", String::new()));
        }
        let mut known = self.known.lock();
        if old != known.0 {
            return Some((StatusCode::CONFLICT, "text/x.tlog.size", format!("{}\n", known.0)));
        }
        let consistent = old == 0
            || merkle::verify_consistency(TreeSize(old), checkpoint.size, &proof?, &known.1, &checkpoint.root).is_ok();
        if !consistent {
            return Some((StatusCode::UNPROCESSABLE_ENTITY, "text/plain", String::new()));
        }
        *known = (checkpoint.size.get(), checkpoint.root);
        let line = self.signer.sign(note.text(), now_ms() / 1_000).ok()?;
        Some((StatusCode::OK, "text/plain", line.to_string()))
    }
}

fn hash(line: &str) -> Option<Hash> {
    // A checkpoint's third line is a hash in base64: let its reader read it.
    Checkpoint::parse(&format!("x\n0\n{line}\n")).ok().map(|read| read.root)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let (status, kind, text) = match witness.manner {
        Manner::Good => witness.answer(&body).unwrap_or((StatusCode::BAD_REQUEST, "text/plain", String::new())),
        Manner::Lies => {
            let line = witness.signer.sign("another text\n", now_ms() / 1_000).expect("signed");
            (StatusCode::OK, "text/plain", line.to_string())
        }
        Manner::Babbles => (StatusCode::OK, "text/html", "<html>no\n".to_owned()),
        Manner::Floods => (StatusCode::OK, "text/plain", "\u{2014} x AAAA\n".repeat(1 << 16)),
        Manner::Sleeps => std::future::pending().await,
        Manner::Refuses(status) => (StatusCode::from_u16(status).expect("a status"), "text/plain", String::new()),
    };
    witness.statuses.lock().push(status.as_u16());
    (status, [("content-type", kind)], text).into_response()
}

async fn latest(State(witness): State<Arc<Witness>>) -> Response {
    match witness.shown.lock().clone() {
        Some(note) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Serves a witness, and says how a node reaches it.
async fn serve(number: u8, manner: Manner, log: &VerifierKey) -> (Arc<Witness>, WitnessConfig) {
    let name = format!("witness.example/w{number}");
    let signer = SignerKey::new(&name, KeyKind::CosignatureV1, SigningKey::from_seed(&[number; 32])).expect("a name");
    let witness = Arc::new(Witness {
        manner,
        signer,
        log: log.clone(),
        known: Mutex::default(),
        shown: Mutex::default(),
        statuses: Mutex::default(),
    });
    let config = reach(&witness).await;
    (witness, config)
}

fn router(witness: &Arc<Witness>) -> Router {
    Router::new()
        .route("/w/add-checkpoint", post(add_checkpoint))
        .route("/w/{origin}/checkpoint", get(latest))
        .with_state(Arc::clone(witness))
}

/// Serves this witness on a port of its own.
async fn reach(witness: &Arc<Witness>) -> WitnessConfig {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/w/", listener.local_addr().expect("bound"));
    let router = router(witness);
    tokio::spawn(async move { axum::serve(listener, router).await });
    WitnessConfig { url, vkey: witness.signer.verifier().to_string() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_witness_is_heard_whatever_the_others_do() {
    let mut deployment = Deployment::new(1);
    let log = VerifierKey::new(common::ORIGIN, KeyKind::Ed25519, deployment.log_key().public_key()).expect("a name");
    let (good, good_config) = serve(1, Manner::Good, &log).await;
    let mut configs = vec![good_config];
    let manners = [
        Manner::Lies,
        Manner::Babbles,
        Manner::Floods,
        Manner::Sleeps,
        Manner::Refuses(400),
        Manner::Refuses(403),
        Manner::Refuses(404),
        Manner::Refuses(422),
        Manner::Refuses(500),
    ];
    let mut others = Vec::new();
    for (number, manner) in (2..).zip(manners) {
        let (other, config) = serve(number, manner, &log).await;
        others.push(other);
        configs.push(config);
    }
    // One that isn't there: a port that was closed.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let vkey = configs[1].vkey.clone();
    configs.push(WitnessConfig { url: format!("http://{gone}"), vkey });

    let node = deployment.start_with(1, |config| config.witnesses = configs.clone()).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let name = [good.signer.verifier().name().to_owned()];
    for _ in 0..3 {
        let size_min = record(&node.core, &mut author).await;
        let seen = until("the good witness", async || node.core.checkpoint(size_min, &name).await.ok()).await;
        let note = SignedNote::parse(seen.note.as_bytes()).expect("a note");
        assert!(note.verify([good.signer.verifier()]).is_ok());
        let strange = others.iter().filter(|other| seen.is_cosigned_by(other.signer.verifier().name()));
        assert_eq!(strange.count(), 0, "only what verifies is shown");
    }
    until("each was asked", async || {
        let asked = |witness: &Arc<Witness>| witness.manner == Manner::Sleeps || !witness.statuses.lock().is_empty();
        others.iter().all(asked).then_some(())
    })
    .await;
    let counted = |line: &str| node.metrics.render().contains(line);
    for outcome in ["cosigned", "lied", "refused", "unreachable"] {
        let line = format!("sillage_witness_answers_total{{outcome=\"{outcome}\"}}");
        until(outcome, async || counted(&line).then_some(())).await;
    }
    let statuses = good.statuses.lock().clone();
    assert_eq!(statuses[0], 409, "it is asked what it knows before anything is submitted");
    assert!(statuses[1..].iter().all(|status| *status == 200), "{statuses:?}");
    // One says that the log doesn't continue what it cosigned.
    until("the alarm", async || node.core.alarms().is_raised(Alarm::WitnessRefuses).then_some(())).await;

    // Another process feeds it: this one begins with what it doesn't know, and is told the size.
    node.stop().await;
    let node = deployment.start_with(1, |config| config.witnesses = configs).await;
    let size_min = record(&node.core, &mut author).await;
    until("the good witness again", async || node.core.checkpoint(size_min, &name).await.ok()).await;
    assert!(good.statuses.lock().contains(&409));
    node.stop().await;
}

/// A checkpoint of the log that never was, as its key would sign it.
fn signed(deployment: &Deployment, size: u64) -> String {
    let key = SignerKey::new(common::ORIGIN, KeyKind::Ed25519, deployment.log_key()).expect("a name");
    let origin = common::ORIGIN.parse().expect("a name");
    let checkpoint = Checkpoint { origin, size: TreeSize(size), root: Hash::from([7; 32]) };
    checkpoint.sign(&[&key], 0).expect("signed").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_entries_takes_nothing_new_where_a_witness_proves_it() {
    let mut deployment = Deployment::new(1);
    let log = VerifierKey::new(common::ORIGIN, KeyKind::Ed25519, deployment.log_key().public_key()).expect("a name");
    let (witness, config) = serve(1, Manner::Good, &log).await;
    let name = [witness.signer.verifier().name().to_owned()];
    let node = deployment.start_with(1, |node| node.witnesses = vec![config.clone()]).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let size = record(&node.core, &mut author).await;
    until("the witness", async || node.core.checkpoint(size, &name).await.ok()).await;
    node.stop().await;
    // The witness went on with the real log; this is a copy of before.
    let cosigned = *witness.known.lock();
    *witness.known.lock() = (size + 50, Hash::from([7; 32]));
    *witness.shown.lock() = Some(signed(&deployment, size + 50));
    let before = witness.statuses.lock().len();
    let node = deployment.start_with(1, |node| node.witnesses = vec![config.clone()]).await;
    until("the alarm", async || node.core.alarms().is_raised(Alarm::WitnessAhead).then_some(())).await;
    let holds = node.core.reader().tree_size();
    let batch = author.batch(&common::access(&node.core));
    let refused = tokio::time::timeout(std::time::Duration::from_secs(20), node.core.submit(batch)).await;
    assert!(!matches!(refused, Ok(Ok(_))), "nothing new is taken");
    assert_eq!(node.core.reader().tree_size(), holds);
    assert!(witness.statuses.lock()[before..].iter().all(|status| *status == 409), "nothing was signed");
    node.stop().await;

    // A witness that only says so stops nobody. It is asked again, and once it says the truth, all is as before.
    *witness.shown.lock() = None;
    let node = deployment.start_with(1, |node| node.witnesses = vec![config.clone()]).await;
    until("the alarm", async || is_raised(&node.core, "WITNESS_UNPROVEN").then_some(())).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    drop(author.batch(&common::access(&node.core)));
    record(&node.core, &mut author).await;
    assert!(node.core.health().serves(), "{:?}", node.core.health());
    assert!(!node.core.alarms().is_raised(Alarm::WitnessAhead));
    *witness.known.lock() = cosigned;
    let size = record(&node.core, &mut author).await;
    until("the witness once more", async || node.core.checkpoint(size, &name).await.ok()).await;
    until("the end of the alarm", async || (!is_raised(&node.core, "WITNESS_UNPROVEN")).then_some(())).await;
    node.stop().await;
}

fn is_raised(core: &Core, word: &str) -> bool {
    core.alarms().raised().iter().any(|raised| raised.word == word)
}

/// A log of one node that was shown to a witness, and the witness as it is once the real log went on with 50 entries.
async fn an_older_copy() -> (Deployment, Arc<Witness>, Author) {
    let mut deployment = Deployment::new(1);
    let log = VerifierKey::new(common::ORIGIN, KeyKind::Ed25519, deployment.log_key().public_key()).expect("a name");
    let (witness, config) = serve(1, Manner::Good, &log).await;
    let name = [witness.signer.verifier().name().to_owned()];
    let node = deployment.start_with(1, |node| node.witnesses = vec![config]).await;
    let mut author = Author::new(key(&deployment.path("keys/profile.key")));
    let size = record(&node.core, &mut author).await;
    until("the witness", async || node.core.checkpoint(size, &name).await.ok()).await;
    node.stop().await;
    *witness.known.lock() = (size + 50, Hash::from([7; 32]));
    *witness.shown.lock() = Some(signed(&deployment, size + 50));
    (deployment, witness, author)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_is_just_restarting_is_waited_for() {
    let (mut deployment, witness, mut author) = an_older_copy().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let config = WitnessConfig { url: format!("http://{address}/w/"), vkey: witness.signer.verifier().to_string() };
    let node = deployment.start_with(1, |node| node.witnesses = vec![config]).await;
    let holds = node.core.reader().tree_size();
    let batch = author.batch(&common::access(&node.core));
    let core = Arc::clone(&node.core);
    let submitting = tokio::spawn(async move { core.submit(batch).await });
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let listener = tokio::net::TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(axum::serve(listener, router(&witness)).into_future());
    until("the alarm", async || node.core.alarms().is_raised(Alarm::WitnessAhead).then_some(())).await;
    let refused = tokio::time::timeout(std::time::Duration::from_secs(20), submitting).await;
    assert!(!matches!(refused, Ok(Ok(Ok(_)))), "nothing new is taken");
    assert_eq!(node.core.reader().tree_size(), holds);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_from_before_the_logs_key_was_replaced_is_stopped_by_what_its_node_cosigned() {
    let (mut deployment, witness, _) = an_older_copy().await;
    let (size, root) = *witness.known.lock();
    let origin = common::ORIGIN.parse().expect("a name");
    let checkpoint = Checkpoint { origin, size: TreeSize(size), root };
    let new_log = SignerKey::new(common::ORIGIN, KeyKind::Ed25519, SigningKey::from_seed(&[77; 32])).expect("a name");
    let name = format!("{}/node-1", common::ORIGIN);
    let node = SignerKey::new(&name, KeyKind::CosignatureV1, deployment.node_key(1)).expect("a name");
    let by_log = checkpoint.sign(&[&new_log], 0).expect("signed").to_string();
    let by_both = checkpoint.sign(&[&new_log, &node], now_ms() / 1_000).expect("signed").to_string();
    let config = reach(&witness).await;
    for (shown, word, not) in
        [(by_log, "WITNESS_UNPROVEN", "WITNESS_AHEAD"), (by_both, "WITNESS_AHEAD", "WITNESS_UNPROVEN")]
    {
        *witness.shown.lock() = Some(shown);
        let running = deployment.start_with(1, |node| node.witnesses = vec![config.clone()]).await;
        until(word, async || is_raised(&running.core, word).then_some(())).await;
        assert!(!is_raised(&running.core, not), "{not}");
        running.stop().await;
    }
}
