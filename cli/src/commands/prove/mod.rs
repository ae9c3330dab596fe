//! `prove`: what anyone can check offline, verified here before it is handed out.

mod keys;
mod policy_text;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;
use sillage_client::bundle::{Wanted, fetch, verify_for, words};
use sillage_client::checks::{VerifiedCheckpoint, checkpoint, checkpoint_over, failed, hashes, verified};
use sillage_client::error::ClientError;
use sillage_client::profile::{read, refuse_existing, write_new};
use sillage_client::session::Session;
use sillage_client::state::State;
use sillage_proof::hash::{LeafIndex, TreeSize, leaf_hash};
use sillage_proof::merkle::{ProofError, empty_root, verify_consistency, verify_inclusion};
use sillage_proof::policy::Policy;
use sillage_proof::tag::WhichTag;
use sillage_proof::tlog_proof::TlogProof;
use sillage_proto::v1;
use sillage_rules::bundle::{Bundle, Report};
use sillage_rules::codes::Code;
use sillage_words::Lang;

use crate::arguments::reading::ins;
use crate::lang::{langs, of_environment};
use crate::{Context, Ended, output, unknown};

#[derive(Debug, Subcommand)]
pub enum ProveCommand {
    /// Prove that an entry is in the log: a c2sp.org/tlog-proof@v1 file
    Inclusion {
        /// Place in the log, from 0
        index: u64,
        /// In the log of this size; without it, of the newest checkpoint
        #[arg(long, value_name = "N")]
        size: Option<u64>,
        /// Write here instead of to standard output
        #[arg(long, value_name = "F.tlog-proof")]
        out: Option<PathBuf>,
    },
    /// Prove that a patient's trace is complete: a .sillage-trace file (docs/formats.md §10)
    Patient(ProvePatientArgs),
    /// Prove that today's keys and nodes follow from those of an older policy, and write the policy that names them
    Keys {
        /// The policy that you trust (c2sp.org/tlog-policy)
        #[arg(long, value_name = "F")]
        policy: PathBuf,
        /// Write the new policy here; everything else in it stays
        #[arg(long, value_name = "F")]
        out: PathBuf,
    },
    /// Prove that the log of one size begins with the log of a smaller one
    Consistency {
        /// The smaller size
        old: u64,
        /// The larger size
        new: u64,
    },
}

#[derive(Debug, Args)]
pub struct ProvePatientArgs {
    /// INS of the patient, 15 characters; also as --patient
    #[arg(value_name = "INS", required_unless_present = "patient")]
    pub named: Option<String>,
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS", conflicts_with = "named")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// Write here; the file holds health data, only its owner may read it
    #[arg(long, value_name = "F.sillage-trace")]
    pub out: PathBuf,
    /// Only entries that came after this file
    #[arg(long, value_name = "F.sillage-trace", conflicts_with_all = ["from", "to"])]
    pub since: Option<PathBuf>,
    /// A page: from this entry on, counted from 0
    #[arg(long, value_name = "N")]
    pub from: Option<u64>,
    /// A page: up to this entry, exclusive
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Wait for a checkpoint that satisfies this policy; without it, the log's own and a majority of the nodes
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// The secret part of the trace, which representatives don't see
    #[arg(long)]
    pub secret: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

impl ProvePatientArgs {
    /// The INS, however it was given.
    pub fn ins(&self) -> &str {
        self.patient.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

pub async fn run(context: &Context, command: ProveCommand) -> Result<Ended, ClientError> {
    match command {
        ProveCommand::Inclusion { index, size, out } => inclusion(context, index, size, out.as_deref()).await,
        ProveCommand::Patient(args) => patient(context, &args).await,
        ProveCommand::Keys { policy, out } => keys::run(context, &policy, &out).await,
        ProveCommand::Consistency { old, new } => consistency(context, old, new).await,
    }
}

async fn inclusion(context: &Context, index: u64, size: Option<u64>, out: Option<&Path>) -> Result<Ended, ClientError> {
    out.map_or(Ok(()), refuse_existing)?;
    let session = context.session().await?;
    let (verified, answer) = match size {
        Some(size) => of_size(&session, index, size).await?,
        None => of_newest(&session, index).await?,
    };
    let entry = entry(&session, index).await?;
    let leaf = match &entry {
        Some(entry) => leaf_hash(entry),
        None => hashes(std::slice::from_ref(&answer.leaf_hash))?.into_iter().next().expect("one hash"),
    };
    let path = hashes(&answer.path)?;
    let (size, root) = (verified.checkpoint.size, verified.checkpoint.root);
    verify_inclusion(&leaf, LeafIndex(index), size, &path, &root).map_err(|error| {
        failed(&format!("entry {index} is not in the log of size {size} ({error}): keep it as evidence"))
    })?;
    // The entry goes along, so that the file is enough to verify it; where the caller may not read it, the leaf hash is shown.
    let with_entry = entry.is_some();
    let proof = TlogProof::carrying(&entry.unwrap_or_default(), LeafIndex(index), path, verified.note);
    let text = proof.to_string();
    match out {
        None => output::line(text.trim_end_matches('\n'))?,
        Some(file) => {
            write_new(file, text.as_bytes(), 0o644)?;
            output::line(
                &json!({"file": file.display().to_string(), "index": index, "size": size, "leaf_hash": leaf})
                    .to_string(),
            )?;
        }
    }
    if !with_entry {
        output::note(&format!("this caller may not read entry {index}: verify the proof with --leaf-hash {leaf}"));
    }
    Ok(Ended::Done)
}

/// Under the newest checkpoint: waits for one that covers the entry.
async fn of_newest(
    session: &Session,
    index: u64,
) -> Result<(VerifiedCheckpoint, v1::ProveInclusionResponse), ClientError> {
    // An entry that isn't in the log is refused at once, and not waited for.
    match prove_inclusion(session, index, 0).await {
        Err(ClientError::Rejected(rejection)) if rejection.code == Code::UnknownIndex => {
            if !entry_exists(session, index).await? {
                return Err(ClientError::Rejected(rejection));
            }
        }
        Ok(_) | Err(ClientError::Rejected(_)) => {}
        Err(error) => return Err(error),
    }
    let verified = checkpoint_over(session, index).await?;
    let answer = prove_inclusion(session, index, verified.checkpoint.size.get()).await?;
    Ok((verified, answer))
}

/// Under the checkpoint of an older size: the newest one must extend it.
async fn of_size(
    session: &Session,
    index: u64,
    size: u64,
) -> Result<(VerifiedCheckpoint, v1::ProveInclusionResponse), ClientError> {
    let answer = prove_inclusion(session, index, size).await?;
    if answer.checkpoint.is_empty() {
        let why = format!("no checkpoint was signed for size {size}: leave --size out to prove against the newest one");
        return Err(ClientError::rejected("SIZE_NOT_REACHED", why));
    }
    let verified = verified(session, &answer.checkpoint).await?;
    if verified.checkpoint.size.get() != size || answer.size != size {
        return Err(failed("the proof and its checkpoint are of other sizes than asked: ask another node"));
    }
    checkpoint(session).await?;
    State::load(session)?.holds(session, &verified).await?;
    Ok((verified, answer))
}

async fn prove_inclusion(session: &Session, index: u64, size: u64) -> Result<v1::ProveInclusionResponse, ClientError> {
    let request = v1::ProveInclusionRequest { index, size };
    session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await
}

async fn entry_exists(session: &Session, index: u64) -> Result<bool, ClientError> {
    match session.client.call(|mut rpc| async move { rpc.get_entry(v1::GetEntryRequest { index }).await }).await {
        Ok(_) => Ok(true),
        Err(ClientError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A patient's whole trace, a page of it, or what came since an older file: verified here before it is written.
async fn patient(context: &Context, args: &ProvePatientArgs) -> Result<Ended, ClientError> {
    let deadline = Instant::now() + context.timeouts.total;
    refuse_existing(&args.out)?;
    let ins = ins(&context.profile()?, args.ins(), args.oid.as_deref())?;
    let oid = ins.oid().as_str().to_owned();
    let session = context.session().await?;
    let policy = match &args.policy {
        Some(file) => Some(Policy::parse(&read(file)?).map_err(|error| ClientError::reading(file, error))?),
        None => None,
    };
    let policy = policy.as_ref();
    let older = |file| older(&session, file, policy, (ins.value(), &oid, args.secret));
    let since = args.since.as_deref().map(older).transpose()?;
    let wanted = Wanted {
        identity: v1::PatientIdentity { ins: ins.value().to_owned(), oid: oid.clone() },
        which_tag: if args.secret { WhichTag::Secret } else { WhichTag::Open },
        from: args.from.unwrap_or(0),
        to: args.to,
        since,
    };
    let (bundle, report) = fetch(&session, &wanted, policy, deadline).await?;
    let bytes = bundle.encode();
    // It holds health data: only its owner may read it.
    write_new(&args.out, &bytes, 0o600)?;
    let line = json!({
        "file": args.out.display().to_string(), "bytes": bytes.len(), "entries": report.n, "from": report.a,
        "to": report.b, "size": report.size, "index_commit": report.commit_index,
    });
    output::line(&line.to_string())?;
    unknown::warn_of(ins.value(), usize::try_from(report.n).unwrap_or(usize::MAX), args.force);
    words::lines(&report, wanted.since.is_some(), args.lang).iter().for_each(|line| output::note(line));
    Ok(Ended::Done)
}

/// The bundle that a delta is to continue.
fn older(
    session: &Session,
    file: &Path,
    policy: Option<&Policy>,
    (ins, oid, secret): (&str, &str, bool),
) -> Result<Report, ClientError> {
    let wrong = |error| failed(&format!("{}: {error}", file.display()));
    let bundle = Bundle::parse(&read(file)?).map_err(wrong)?;
    let report = verify_for(session, policy, &bundle).map_err(wrong)?;
    if (report.ins.as_str(), report.oid.as_str(), report.secret) != (ins, oid, secret) {
        return Err(ClientError::Usage(format!("{} is of another patient or trace", file.display())));
    }
    if report.b != report.n {
        let why =
            format!("{} is a page that ends before the trace does: name one that goes to the end", file.display());
        return Err(ClientError::Usage(why));
    }
    Ok(report)
}

/// The entry's bytes, where the caller may read them.
async fn entry(session: &Session, index: u64) -> Result<Option<Vec<u8>>, ClientError> {
    match session.client.call(|mut rpc| async move { rpc.get_entry(v1::GetEntryRequest { index }).await }).await {
        Ok(answer) if !answer.entry.is_empty() => Ok(Some(answer.entry)),
        Ok(_) | Err(ClientError::Rejected(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn consistency(context: &Context, old: u64, new: u64) -> Result<Ended, ClientError> {
    if old > new {
        return Err(ClientError::Usage(format!("{old} is larger than {new}: name the smaller size first")));
    }
    let session = context.session().await?;
    let request = v1::ProveConsistencyRequest { old_size: old, new_size: new };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await?;
    let path = hashes(&answer.path)?;
    let roots = hashes(&[answer.old_root, answer.new_root])?;
    let [old_root, new_root] = roots.as_slice() else {
        return Err(failed("the ledger gave no roots: ask another node"));
    };
    let verdict = match (old, new) {
        // From the empty tree the proof is empty, and says nothing: whoever verifies one asks for its root and no more.
        (0, 0) if path.is_empty() && [old_root, new_root] == [&empty_root(); 2] => Ok(()),
        (0, 1..) if path.is_empty() && *old_root == empty_root() => Ok(()),
        (0, _) => Err(ProofError::FromEmpty),
        _ => verify_consistency(TreeSize(old), TreeSize(new), &path, old_root, new_root),
    };
    verdict.map_err(|error| {
        failed(&format!("size {old} is not the beginning of size {new} ({error}): keep it as evidence"))
    })?;
    let proof = json!({"old_size": old, "new_size": new, "old_root": old_root, "new_root": new_root, "path": path});
    output::line(&proof.to_string())?;
    Ok(Ended::Done)
}
