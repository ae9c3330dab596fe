//! `verify`: proofs and checkpoints, offline, against a policy that the caller chose.

use std::path::Path;

use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::note::SignedNote;
use sillage_proof::policy::{Policy, Satisfied};
use sillage_proof::tlog_proof::TlogProof;
use sillage_rules::entry::Entry;

use super::args::VerifyArgs;
use super::{Ended, output};
use crate::error::ClientError;
use crate::profile::read;

/// First line of a proof file.
const PROOF_HEAD: &[u8] = b"c2sp.org/tlog-proof@";

pub fn run(args: &VerifyArgs) -> Result<Ended, ClientError> {
    let policy = args.policy.as_deref().ok_or(ClientError::PolicyRequired)?;
    let policy = Policy::parse(&read(policy)?).map_err(|error| ClientError::reading(policy, error))?;
    let leaf = given_leaf(args)?;
    let mut ended = Ended::Done;
    for file in &args.files {
        let bytes = read(file)?;
        match verify(&bytes, leaf, &policy) {
            Ok(text) => output::line(&format!("{}: {text}", file.display()))?,
            Err(Failure::Usage(error)) => return Err(error),
            Err(Failure::Check(why)) => {
                output::note(&format!("{}: check failed: {why}", file.display()));
                ended = Ended::CheckFailed;
            }
        }
    }
    Ok(ended)
}

fn given_leaf(args: &VerifyArgs) -> Result<Option<Hash>, ClientError> {
    if let Some(text) = &args.leaf_hash {
        let hash = text.parse::<Hash>();
        return hash.map(Some).map_err(|error| ClientError::Usage(format!("--leaf-hash: {error}")));
    }
    args.entry.as_deref().map(|path: &Path| read(path).map(|entry| leaf_hash(&entry))).transpose()
}

#[derive(Debug)]
enum Failure {
    Usage(ClientError),
    Check(String),
}

fn verify(bytes: &[u8], leaf: Option<Hash>, policy: &Policy) -> Result<String, Failure> {
    if bytes.starts_with(PROOF_HEAD) {
        return verify_proof(bytes, leaf, policy);
    }
    let check = |why: String| Failure::Check(why);
    let note =
        SignedNote::parse(bytes).map_err(|error| check(format!("neither a proof nor a checkpoint ({error})")))?;
    let satisfied = policy.verify(&note).map_err(|error| check(error.to_string()))?;
    Ok(format!("ok, {}", described(&satisfied)))
}

fn verify_proof(bytes: &[u8], leaf: Option<Hash>, policy: &Policy) -> Result<String, Failure> {
    let proof = TlogProof::parse(bytes).map_err(|error| Failure::Check(error.to_string()))?;
    let carried = proof.extra.as_deref();
    let leaf = leaf.or_else(|| carried.map(leaf_hash)).ok_or_else(|| {
        let why = "the proof file does not carry its entry: name it with --entry FILE or --leaf-hash HEX";
        Failure::Usage(ClientError::Usage(why.to_owned()))
    })?;
    let satisfied = proof.verify(&leaf, policy).map_err(|error| Failure::Check(error.to_string()))?;
    let what = carried.filter(|entry| leaf_hash(entry) == leaf).and_then(|entry| Entry::decode(entry).ok());
    if what.as_ref().is_some_and(|entry| entry.index() != proof.index) {
        return Err(Failure::Check("the entry names another place in the log than the proof".to_owned()));
    }
    let kind = what.and_then(|entry| entry.kind()).map(|kind| format!(" ({})", kind.token())).unwrap_or_default();
    Ok(format!("ok, entry {}{kind} with leaf hash {leaf} is in the log; {}", proof.index, described(&satisfied)))
}

fn described(satisfied: &Satisfied) -> String {
    let checkpoint = &satisfied.checkpoint;
    let witnesses = satisfied.witnesses.len();
    format!("checkpoint of {} at size {}, {witnesses} witness(es)", checkpoint.origin, checkpoint.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::batch::Origin;
    use sillage_proof::checkpoint::Checkpoint;
    use sillage_proof::hash::{LeafIndex, TreeSize, node_hash};
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};

    fn log(seed: u8) -> SignerKey {
        SignerKey::new("test/log", KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
    }

    fn policy(seed: u8) -> Policy {
        Policy::parse(format!("log {}\nquorum none\n", log(seed).verifier()).as_bytes()).expect("a policy")
    }

    fn proof(extra: Option<Vec<u8>>) -> String {
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let origin = Origin::new("test/log").expect("a name");
        let checkpoint = Checkpoint { origin, size: TreeSize(2), root: node_hash(&a, &b) };
        let checkpoint = checkpoint.sign(&[&log(1)], 0).expect("signed");
        TlogProof { extra, index: LeafIndex(0), path: vec![b], checkpoint }.to_string()
    }

    #[test]
    fn a_proof_that_carries_its_entry_is_enough() {
        let text = verify(proof(Some(b"a".to_vec())).as_bytes(), None, &policy(1)).expect("good");
        assert!(text.contains("entry 0") && text.contains("size 2"), "{text}");
        let forged = verify(proof(Some(b"c".to_vec())).as_bytes(), None, &policy(1));
        assert!(matches!(forged, Err(Failure::Check(_))));
        let stranger = verify(proof(Some(b"a".to_vec())).as_bytes(), None, &policy(2));
        assert!(matches!(stranger, Err(Failure::Check(_))));
    }

    #[test]
    fn a_proof_without_entry_needs_one() {
        let bare = proof(None);
        assert!(matches!(verify(bare.as_bytes(), None, &policy(1)), Err(Failure::Usage(_))));
        assert!(verify(bare.as_bytes(), Some(leaf_hash(b"a")), &policy(1)).is_ok());
        assert!(verify(b"anything", None, &policy(1)).is_err());
    }

    #[test]
    fn nothing_is_verified_without_a_policy() {
        let args = VerifyArgs { files: vec!["x".into()], policy: None, entry: None, leaf_hash: None };
        let error = run(&args).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("POLICY_REQUIRED"));
    }
}
