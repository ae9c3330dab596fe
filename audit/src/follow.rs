//! A whole audit: fetch, replay, compare with the checkpoint, look up what was erased, store the state, cosign.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sillage_proof::note::{KeyKind, SignedNote, SignerKey, VerifierKey};
use sillage_proto::v1;
use sillage_rules::cosigner::auditor_name;
use sillage_rules::entry::Entry;

use super::divergence::Divergence;
use super::fetch::{self, Given};
use super::pipeline::Pipeline;
use super::replay::{Erased, Log, Replay};
use super::state;
use sillage_client::checks::failed;
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_client::trust::Trusted;
use sillage_rules::codes::Code;

/// State is stored this often, and never for more than a tenth of the time.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// An audit of one log, as far as it has come.
pub struct Audit<'s> {
    session: &'s Session,
    replay: Replay,
    state: Option<PathBuf>,
    patience: Duration,
}

/// How a round ended that reached the newest checkpoint.
#[derive(Debug)]
pub enum Round {
    /// Everything is as it must be.
    Clean(Box<Clean>),
    /// Something isn't; the checkpoint that was audited goes along as evidence.
    Diverged(Divergence, String),
}

/// A clean round.
#[derive(Debug)]
pub struct Clean {
    /// The checkpoint, with the signatures that were checked.
    pub checkpoint: Trusted,
    /// Entries that were replayed in this round.
    pub entries: u64,
    /// How long that took.
    pub took: Duration,
}

impl<'s> Audit<'s> {
    /// Begins, or goes on where `state` stopped. `patience`: how long a ledger may stay silent.
    ///
    /// # Errors
    /// When the state can't be used.
    pub fn open(session: &'s Session, state: Option<&Path>, patience: Duration) -> Result<Self, ClientError> {
        let bytes = session.caller.genesis.clone();
        let log = Log::new(&session.genesis, bytes)
            .map_err(|why| ClientError::Usage(format!("the profile's genesis cannot be used: {why}")))?;
        let stood = state.map(|path| state::load(path, &log)).transpose()?.flatten();
        let replay = stood.unwrap_or_else(|| Replay::new(log));
        Ok(Self { session, replay, state: state.map(Path::to_owned), patience })
    }

    /// How many entries were replayed, in earlier runs too.
    pub fn size(&self) -> u64 {
        self.replay.size()
    }

    /// Audits up to the newest checkpoint. `trusted`: a checkpoint that the log must continue. `progress` is told how many
    /// entries of how many were replayed.
    ///
    /// # Errors
    /// When the ledger can't be reached, refuses, or shows something that is no checkpoint.
    pub async fn round(&mut self, trusted: Option<&Given>, progress: impl Fn(u64, u64)) -> Result<Round, ClientError> {
        let began = Instant::now();
        let size_min = trusted.map_or(0, |given| given.checkpoint.size.get());
        let newest = match fetch::newest(self.session, size_min).await {
            Err(ClientError::Rejected(rejection)) if rejection.code == Code::SizeNotReached => {
                let expected = format!("a log of at least {size_min} entries, as your checkpoint has");
                let found = "no such checkpoint: entries were taken away, or this is another log".to_owned();
                let given = trusted.map(|given| given.text.clone()).unwrap_or_default();
                return Ok(Round::Diverged(Divergence { index: size_min.saturating_sub(1), expected, found }, given));
            }
            newest => newest?,
        };
        let before = self.replay.size();
        let result = match self.replay_to(&newest, trusted, progress).await? {
            Ok(()) => self.look_up_erased(&newest).await?,
            diverged => diverged,
        };
        if let Err(divergence) = result {
            return Ok(Round::Diverged(divergence, newest.text));
        }
        let trust = self.replay.trust().ok_or_else(|| failed("the log has no keys that could sign a checkpoint"))?;
        let checkpoint = trust.check(&newest.text)?;
        if let Some(given) = trusted {
            self.check_signed(given)?;
        }
        if let Some(path) = self.state.as_deref().filter(|_| self.replay.is_committed()) {
            state::save(path, &self.replay)?;
        }
        let entries = self.replay.size().saturating_sub(before);
        Ok(Round::Clean(Box::new(Clean { checkpoint, entries, took: began.elapsed() })))
    }

    /// A checkpoint that was trusted must have been signed by the log, at whatever time.
    fn check_signed(&self, given: &Given) -> Result<(), ClientError> {
        let wrong = |why: String| failed(&format!("the checkpoint of --from is not one of this log: {why}"));
        let note = SignedNote::parse(given.text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        note.verify(&self.replay.log_keys()).map(|_| ()).map_err(|error| wrong(error.to_string()))
    }

    /// Holds the checkpoint (and the trusted one) against what is or will be replayed, and replays.
    async fn replay_to(
        &mut self,
        newest: &Given,
        trusted: Option<&Given>,
        progress: impl Fn(u64, u64),
    ) -> Result<Result<(), Divergence>, ClientError> {
        let claims = [Some((newest, "the newest checkpoint")), trusted.map(|given| (given, "your checkpoint"))];
        for (given, by) in claims.into_iter().flatten() {
            let (size, root) = (given.checkpoint.size.get(), given.checkpoint.root);
            if size < self.replay.size() {
                // The replay has passed it: its root can't be recomputed, but it must be the beginning of ours.
                let (stood, stood_root) = (self.replay.size(), self.replay.root());
                if let Err(error) = fetch::consistent(self.session, (size, &root), (stood, &stood_root)).await {
                    let ClientError::Check(found) = error else { return Err(error) };
                    let expected = format!("root {root} at size {size}, as {by} says");
                    return Ok(Err(Divergence::new(size.saturating_sub(1), expected, found)));
                }
            } else if let Err(divergence) = self.replay.expect(size, root, by.to_owned()) {
                return Ok(Err(divergence));
            }
        }
        let target = newest.checkpoint.size.get();
        if target <= self.replay.size() {
            return Ok(Ok(()));
        }
        self.run(target, progress).await
    }

    async fn run(&mut self, target: u64, progress: impl Fn(u64, u64)) -> Result<Result<(), Divergence>, ClientError> {
        let first = self.replay.size();
        let saver = Saver::new(self.state.clone());
        let failed_to_save = Arc::clone(&saver.failed);
        // The replay moves to its thread; what stays here is of no use should that fail.
        let blank = Replay::new(self.replay.log().clone());
        let replay = std::mem::replace(&mut self.replay, blank);
        let pipeline = Pipeline::start(replay, saver.into_callback());
        let (feed, done) = (pipeline.feed.clone(), Arc::clone(&pipeline.progress));
        let fetched = fetch::entries(self.session, (first, target), self.patience, async |entries| {
            let wanted = feed.send(entries).await.is_ok();
            progress(done.load(std::sync::atomic::Ordering::Relaxed), target);
            wanted
        })
        .await;
        drop(feed);
        let (replay, result) = pipeline.finish().await;
        self.replay = replay;
        if let Some(error) = failed_to_save.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        if result.is_err() {
            return Ok(result);
        }
        fetched?;
        progress(self.replay.size(), target);
        Ok(self.replay.finish())
    }

    /// Each entry that an act erased must be a record of the patient that the act names.
    async fn look_up_erased(&mut self, newest: &Given) -> Result<Result<(), Divergence>, ClientError> {
        let (size, root) = (self.replay.size(), self.replay.root());
        if newest.checkpoint.size.get() < size {
            return Ok(Ok(()));
        }
        for Erased { act, tag, indices } in self.replay.take_erased() {
            for index in indices {
                let entry = match fetch::entry_in(self.session, index, size, &root).await {
                    Ok(entry) => entry,
                    Err(ClientError::Check(found)) => {
                        return Ok(Err(Divergence::new(index, "an entry that can be shown", found)));
                    }
                    Err(error) => return Err(error),
                };
                let of_patient = matches!(Entry::decode(&entry), Ok(Entry::Record(record)) if record.tag == tag);
                if !of_patient {
                    let expected =
                        format!("an erasure of records of the patient whose tag it carries, as entry {index}");
                    return Ok(Err(Divergence::new(act, expected, "an entry of someone else")));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Cosigns a checkpoint that was found clean, with the profile's author key, and hands it in.
    ///
    /// # Errors
    /// When the profile has no key, or the ledger refuses it.
    pub async fn cosign(&self, clean: &Clean, now_s: u64) -> Result<VerifierKey, ClientError> {
        let signer = self.session.signer(self.session.profile.author_signing_key()?).await?;
        let name = auditor_name(&self.session.origin, &signer.author_id);
        let unusable = |error: sillage_proof::note::NoteError| ClientError::Usage(format!("cannot cosign: {error}"));
        let key = SignerKey::new(&name, KeyKind::CosignatureV1, signer.key).map_err(unusable)?;
        let text = clean.checkpoint.note.text();
        let line = key.sign(text, now_s).map_err(unusable)?;
        let note = SignedNote::new(text.to_owned(), vec![line]).map_err(unusable)?;
        let request = v1::AddCosignatureRequest { note: note.to_string() };
        self.session
            .client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.add_cosignature(request).await }
            })
            .await?;
        Ok(key.verifier().clone())
    }
}

/// Stores the state from time to time, on the replay's thread.
struct Saver {
    path: Option<PathBuf>,
    due: Instant,
    failed: Arc<Mutex<Option<ClientError>>>,
}

impl Saver {
    fn new(path: Option<PathBuf>) -> Self {
        Self { path, due: Instant::now() + SAVE_EVERY, failed: Arc::default() }
    }

    fn into_callback(mut self) -> impl FnMut(&mut Replay) + Send + 'static {
        move |replay| {
            let Some(path) = self.path.as_deref().filter(|_| Instant::now() >= self.due) else {
                return;
            };
            let began = Instant::now();
            if let Err(error) = state::save(path, replay) {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            self.due = Instant::now() + SAVE_EVERY.max(began.elapsed() * 10);
        }
    }
}
