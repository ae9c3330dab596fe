//! Verification before belief: checkpoints, entries, inclusion.

use std::time::{Duration, Instant};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::keys::AuthorId;
use sillage_proof::merkle::verify_inclusion;
use sillage_proof::note::VerifierKey;
use sillage_proof::policy::{Policy, PolicyError};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::cosigner::GROUP_NODES;
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::facts::flags_hold;
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::node_set::majority;
use sillage_rules::record::ParsedRecord;

pub use crate::channel::hashes;
pub use crate::error::failed;
use crate::error::{ClientError, ErrorCode};
use crate::session::Session;
use crate::state::State;
pub use crate::trust::VerifiedCheckpoint;
use crate::trust::{Trust, Trusted};

/// A receipt promises that its entries are under a checkpoint within 10 s.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(12);
const CHECKPOINT_POLL: Duration = Duration::from_millis(250);
/// Most cosigners of a policy that are asked for by name.
const COSIGNERS_MAX: usize = 8;

/// Reads a checkpoint and checks that the log and a majority of its nodes signed it: a log key alone convinces nobody.
///
/// # Errors
/// [`ClientError::Check`].
pub fn verify_checkpoint(note: &str, trust: &Trust) -> Result<VerifiedCheckpoint, ClientError> {
    let Trusted { note, checkpoint, .. } = trust.check(note)?;
    Ok(VerifiedCheckpoint { note, checkpoint })
}

/// The same, under the keys in force for it as the ledger proves them.
///
/// # Errors
/// [`ClientError::Check`].
pub async fn verified(session: &Session, note: &str) -> Result<VerifiedCheckpoint, ClientError> {
    let Trusted { note, checkpoint, .. } = session.trusted(note).await?;
    Ok(VerifiedCheckpoint { note, checkpoint })
}

/// The policies that a profile stands for: the log's key, and a majority of its nodes. In a joint step there are two, and
/// both count: a policy names each node in one group alone.
pub fn policies_of(trust: &Trust) -> Vec<Policy> {
    let policy = |text: String| Policy::parse(text.as_bytes()).expect("a log with nodes has such a policy");
    policy_texts_of(trust).into_iter().map(policy).collect()
}

/// The same as text, for whoever verifies elsewhere.
pub fn policy_texts_of(trust: &Trust) -> Vec<String> {
    trust.groups().iter().map(|group| policy_text(&trust.log, group)).collect()
}

fn policy_text(log: &VerifierKey, nodes: &[&VerifierKey]) -> String {
    let mut text = format!("log {log}\n");
    let names: Vec<String> = (1..=nodes.len()).map(|at| format!("node-{at}")).collect();
    for (name, key) in names.iter().zip(nodes) {
        text += &format!("witness {name} {key}\n");
    }
    text + &format!("group {GROUP_NODES} {} {}\nquorum {GROUP_NODES}\n", majority(nodes.len()), names.join(" "))
}

/// Fetches the newest checkpoint, verifies it, and holds it against what was seen before.
///
/// # Errors
/// When the ledger can't be reached, a signature is missing or doesn't match, or the log went back.
pub async fn checkpoint(session: &Session) -> Result<VerifiedCheckpoint, ClientError> {
    checkpoint_for(session, 0, None, Instant::now() + CHECKPOINT_WAIT).await
}

/// As [`checkpoint`], over more than `index` entries: waits for one while the entry is young.
///
/// # Errors
/// As for [`checkpoint`]; [`ClientError::Check`] when none came in the time that receipts promise.
pub async fn checkpoint_over(session: &Session, index: u64) -> Result<VerifiedCheckpoint, ClientError> {
    checkpoint_for(session, index.saturating_add(1), None, Instant::now() + CHECKPOINT_WAIT).await
}

/// A checkpoint of at least `size_min` entries that satisfies the policy too, where there is one: waits for it.
///
/// # Errors
/// As for [`checkpoint`]; [`ClientError::Check`] when none came by the deadline.
pub async fn checkpoint_for(
    session: &Session,
    size_min: u64,
    policy: Option<&Policy>,
    deadline: Instant,
) -> Result<VerifiedCheckpoint, ClientError> {
    checkpoint_among(session, size_min, (policy, &cosigner_choices(policy)), deadline).await
}

/// Any checkpoint of at least `size_min` entries: one that the policy's witnesses and auditors have cosigned already rather than the
/// newest, which they have not seen yet and for which the ledger would have to wait.
///
/// # Errors
/// As for [`checkpoint_for`].
pub async fn checkpoint_covering(
    session: &Session,
    size_min: u64,
    policy: Option<&Policy>,
    deadline: Instant,
) -> Result<VerifiedCheckpoint, ClientError> {
    let mut choices = cosigner_choices(policy);
    choices.rotate_left(1);
    checkpoint_among(session, size_min, (None, &choices), deadline).await
}

/// The first that is found by one of the choices and satisfies the policy, where there is one.
async fn checkpoint_among(
    session: &Session,
    size_min: u64,
    (policy, choices): (Option<&Policy>, &[Vec<String>]),
    deadline: Instant,
) -> Result<VerifiedCheckpoint, ClientError> {
    let mut state = State::load(session)?;
    // A node that lags may know only an older one than this caller has seen: that is no going back.
    let size_min = size_min.max(state.size());
    loop {
        let mut why = format!("no checkpoint covers {size_min} entries yet");
        for cosigners in choices {
            let request = v1::GetCheckpointRequest { size_min, cosigners: cosigners.clone() };
            let call = session.client.call(|mut rpc| {
                let request = request.clone();
                async move { rpc.get_checkpoint(request).await }
            });
            let answer = match call.await {
                Err(ClientError::Rejected(rejection)) if is_young(&rejection.code) => continue,
                answer => answer?,
            };
            let found = verified(session, &answer.note).await?;
            match policy.map(|policy| policy.verify(&found.note)) {
                Some(Err(error)) => why = unsatisfied(session, &error),
                Some(Ok(_)) | None => {
                    state.advance(session, &found).await?;
                    return Ok(found);
                }
            }
        }
        if Instant::now() + CHECKPOINT_POLL > deadline {
            // What was seen before may be what no node has any more: then both checkpoints are evidence.
            let newest = session
                .client
                .call(|mut rpc| async move { rpc.get_checkpoint(v1::GetCheckpointRequest::default()).await });
            state.advance(session, &verified(session, &newest.await?.note).await?).await?;
            return Err(failed(&format!("{why}: ask again later, or with a longer --timeout")));
        }
        tokio::time::sleep(CHECKPOINT_POLL).await;
    }
}

/// Why a checkpoint doesn't satisfy a policy, and what may help.
fn unsatisfied(session: &Session, error: &PolicyError) -> String {
    let hint = match session.keys.rotations().is_empty() {
        true => "",
        false => {
            " (keys of this log were replaced: `sillage prove keys` proves them under the policy, and writes a new one)"
        }
    };
    format!("the checkpoint does not satisfy the policy: {error}{hint}")
}

/// The entry is in the log, the checkpoint over it isn't made yet.
fn is_young(code: &ErrorCode) -> bool {
    *code == Code::SizeNotReached
}

/// The cosigners to ask for: the newest checkpoint first; then the newest that every cosigner of the policy has
/// signed, and of each alone, for auditors sign later than nodes.
fn cosigner_choices(policy: Option<&Policy>) -> Vec<Vec<String>> {
    let nodes = policy.map(|policy| policy.group(GROUP_NODES)).unwrap_or_default();
    let others = policy.map(Policy::witnesses).unwrap_or_default().iter().filter(|witness| !nodes.contains(witness));
    let others: Vec<String> = others.map(|witness| witness.key.name().to_owned()).take(COSIGNERS_MAX).collect();
    let mut choices = vec![Vec::new()];
    if others.len() > 1 {
        choices.push(others.clone());
    }
    choices.extend(others.into_iter().map(|name| vec![name]));
    choices
}

/// A line of a trace whose parts fit each other: the entry commits to the record, and both name the same patient.
#[derive(Debug, Clone)]
pub struct CheckedLine {
    /// The entry, read strictly.
    pub entry: RecordEntry,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The record; none where the content was erased, or it is a decision.
    pub record: Option<ParsedRecord>,
    /// The decision, where the ledger made one.
    pub decision: Option<DecisionRecord>,
    /// Name of the service that signed it, as the node says.
    pub author: String,
    /// Its author id, as the node says; none where the ledger made the entry.
    pub author_id: Option<AuthorId>,
    /// The act that erased it, as the node says.
    pub erased: Option<v1::Erasure>,
    /// The act that voided it, as the node says: it counts for nothing.
    pub voided: Option<v1::Voiding>,
}

/// Reads a line of the trace of `tag`. Needs no key: what the ledger says must fit itself before it is shown.
/// `late_after_ms` is the genesis's.
///
/// # Errors
/// [`ClientError::Check`] naming the line.
pub fn check_line(line: v1::TraceLine, tag: &[u8; 32], late_after_ms: u64) -> Result<CheckedLine, ClientError> {
    let index = line.index;
    let wrong =
        |why: &str| failed(&format!("line {index} of the trace {why}: ask another node and keep it as evidence"));
    let entry = Entry::decode(&line.entry).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    let Entry::Record(entry) = entry else {
        return Err(wrong("is not a record"));
    };
    if entry.index.get() != index {
        return Err(wrong("has another place in the log than it says"));
    }
    if entry.tag != *tag {
        return Err(wrong("is another patient's"));
    }
    // An erasure is on record, and later.
    if line.erased.as_ref().is_some_and(|by| by.index <= index || !line.record.is_empty()) {
        return Err(wrong("is erased by something that came before it, or is there"));
    }
    let (mut record, mut decision) = (None, None);
    match (line.record.is_empty(), entry.kind == Kind::DECISION_MADE) {
        (true, _) => {}
        (false, false) => record = Some(opened(&line.salt, &line.record, &entry).map_err(wrong)?),
        (false, true) => decision = Some(opened_decision(&line.salt, &line.record, &entry).map_err(wrong)?),
    }
    if !flags_hold(&entry, record.as_ref(), late_after_ms) {
        return Err(wrong("is flagged otherwise than its record says"));
    }
    if line.voided.as_ref().is_some_and(|by| by.index <= index) {
        return Err(wrong("is voided by something that came before it"));
    }
    let author_id = match (&line.author_id[..], entry.flags.contains(Flags::LEDGER)) {
        ([], _) => None,
        (id, false) => Some(AuthorId::from_slice(id).map_err(|_| wrong("names its author by no author id"))?),
        (_, true) => return Err(wrong("names an author, and the ledger made it")),
    };
    let (erased, voided) = (line.erased, line.voided);
    Ok(CheckedLine { entry, bytes: line.entry, record, decision, author: line.author, author_id, erased, voided })
}

/// The decision that an entry commits to. It travels as its payload does: both salts, then both parts.
///
/// # Errors
/// Why it isn't that decision, to go on a sentence about the entry.
pub fn opened_decision(salts: &[u8], parts: &[u8], entry: &RecordEntry) -> Result<DecisionRecord, &'static str> {
    let payload = [salts, parts].concat();
    let decision = DecisionRecord::parse(&payload).map_err(|_| "holds a decision that contradicts itself")?;
    if decision.record_hash() != entry.record_hash {
        return Err("shows another decision than the one on record");
    }
    if !decision.is_under(&entry.tag) || decision.actor_part().decided_at_ms != entry.time.get() {
        return Err("says something else than its entry");
    }
    Ok(decision)
}

/// The record that an entry commits to; `salt` and `bytes` are as a node gave them.
///
/// # Errors
/// Why it isn't that record, to go on a sentence about the entry.
pub fn opened(salt: &[u8], bytes: &[u8], entry: &RecordEntry) -> Result<ParsedRecord, &'static str> {
    let salt: &[u8; SALT_BYTES] = salt.try_into().map_err(|_| "has no salt")?;
    let record = ParsedRecord::parse(bytes).map_err(|_| "holds a record that breaks the rules")?;
    if record.record_hash(salt) != entry.record_hash {
        return Err("shows another record than the one that was signed");
    }
    if record.kind() != entry.kind || record.entry_tag() != entry.tag {
        return Err("says something else than its entry");
    }
    Ok(record)
}

/// Verifies that an entry stands in the log under `checkpoint`.
///
/// # Errors
/// [`ClientError::Check`] when the proof doesn't lead to the checkpoint's root.
pub async fn check_inclusion(
    session: &Session,
    checkpoint: &Checkpoint,
    index: u64,
    entry: &[u8],
) -> Result<Vec<Hash>, ClientError> {
    let request = v1::ProveInclusionRequest { index, size: checkpoint.size.get() };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?;
    let path = hashes(&answer.path)?;
    let leaf = leaf_hash(entry);
    verify_inclusion(&leaf, LeafIndex(index), checkpoint.size, &path, &checkpoint.root).map_err(|error| {
        failed(&format!("entry {index} is not in the log of size {} ({error}): keep it as evidence", checkpoint.size))
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::trace_line_seed as line;
    use sillage_proof::hash::TreeSize;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};

    const TAG: [u8; 32] = [5; 32];
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_line_that_fits_itself_is_shown() {
        let checked = check_line(line(), &TAG, DAY_MS).expect("good");
        assert_eq!(checked.entry.index.get(), 41);
        assert!(checked.record.is_some());
        let erased = v1::TraceLine { record: Vec::new(), ..line() };
        assert!(check_line(erased, &TAG, DAY_MS).expect("erased").record.is_none());
    }

    #[test]
    fn a_line_that_contradicts_itself_fails_the_check() {
        let edits: [fn(&mut v1::TraceLine); 9] = [
            |l| l.author_id.truncate(5),
            |l| l.index = 42,
            |l| l.salt[0] ^= 1,
            |l| l.salt.clear(),
            |l| l.entry[30] ^= 1,
            |l| l.record.truncate(3),
            // The second byte of the flags is the fourth of the entry: justified, late, or by right of something.
            |l| l.entry[3] = 0,
            |l| l.entry[3] |= 2,
            |l| l.entry[3] |= 16,
        ];
        for edit in edits {
            let mut bad = line();
            edit(&mut bad);
            assert_eq!(check_line(bad, &TAG, DAY_MS).expect_err("refused").exit_code(), 1);
        }
        assert!(check_line(line(), &[6; 32], DAY_MS).is_err(), "another patient's");
    }

    fn signer(seed: u8, name: &str, kind: KeyKind) -> SignerKey {
        SignerKey::new(name, kind, SigningKey::from_seed(&[seed; 32])).expect("a key")
    }

    fn node(id: u8) -> SignerKey {
        signer(10 + id, &format!("test/log/node-{id}"), KeyKind::CosignatureV1)
    }

    fn trust() -> Trust {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public_key().to_bytes().to_vec();
        let nodes = [1, 2, 3].map(|id: u8| v1::NodeIdentity {
            id: id.into(),
            name: format!("node-{id}"),
            key: Some(v1::PublicKey { alg: 1, key: key(10 + id) }),
            tls_spki_sha256: vec![id; 32],
        });
        let genesis = v1::Genesis { log_public_key: key(1), nodes: nodes.to_vec(), ..v1::Genesis::default() };
        Trust::first(&"test/log".parse().expect("a name"), &genesis).expect("keys")
    }

    #[test]
    fn a_log_key_alone_convinces_nobody() {
        let origin = sillage_proof::batch::Origin::new("test/log").expect("a name");
        let checkpoint = Checkpoint { origin, size: TreeSize(3), root: Hash::default() };
        let log = signer(1, "test/log", KeyKind::Ed25519);
        let note = |keys: &[&SignerKey]| checkpoint.sign(keys, 7).expect("signed").to_string();
        let good = note(&[&log, &node(1), &node(3)]);
        assert_eq!(verify_checkpoint(&good, &trust()).expect("good").checkpoint, checkpoint);
        let forged = signer(2, "test/log", KeyKind::Ed25519);
        for bad in [
            note(&[&log]),
            note(&[&log, &node(2)]),
            note(&[&node(1), &node(2), &node(3)]),
            note(&[&forged, &node(1), &node(2)]),
            good.replace("\n3\n", "\n4\n"),
            String::new(),
        ] {
            assert_eq!(verify_checkpoint(&bad, &trust()).expect_err("refused").exit_code(), 1);
        }
    }

    #[test]
    fn a_profile_stands_for_a_policy_of_its_log_and_nodes() {
        let policies = policies_of(&trust());
        let [policy] = policies.as_slice() else { panic!("{policies:?}") };
        assert_eq!(policy.group(GROUP_NODES).len(), 3);
        assert_eq!(cosigner_choices(Some(policy)), [Vec::<String>::new()], "nodes sign at once");
        let auditor = signer(30, "test/log/auditor-1", KeyKind::CosignatureV1);
        let text = format!("witness a {}\nquorum a\n", auditor.verifier());
        let policy = Policy::parse(text.as_bytes()).expect("a policy");
        assert_eq!(cosigner_choices(Some(&policy)), [vec![], vec!["test/log/auditor-1".to_owned()]]);
    }
}
