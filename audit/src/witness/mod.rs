//! A witness of transparency logs (c2sp.org/tlog-witness): it cosigns a checkpoint only if that continues the one it
//! cosigned before. So no log whose checkpoints it signs can show two histories.
//!
//! It works with any log that makes C2SP checkpoints, and serves several. Start reading at [`Witness::add_checkpoint`];
//! [`request`] is what logs send, [`store`] what must survive, [`serve`] the HTTP around it.
//!
//! ```text
//! DIR/witness.toml          name and logs; to be edited while the witness is stopped
//! DIR/witness.key           the private key, mode 0600
//! DIR/logs/<SHA-256 of the origin, hex>   the last note that was cosigned, of each log
//! DIR/logs/….SIZE-ROOT.fork   a checkpoint with another root at the size that was cosigned, signed with the log's key
//! DIR/logs/….SIZE-ROOT.other  a checkpoint that the log's key signed and that came with a proof which leads elsewhere
//! DIR/logs/….SIZE-ROOT.kept   what had been cosigned when that came: the two are the evidence of two histories
//! DIR/lock                  held while a process serves
//! ```

mod config;
pub mod request;
pub mod serve;
pub mod store;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::TreeSize;
use sillage_proof::merkle::{empty_root, verify_consistency};
use sillage_proof::note::{NoteSignature, SignedNote, SignerKey, VerifierKey};

pub use config::{Config, LogConfig, LoggedPolicy};
use request::AddCheckpoint;
use store::{Latest, Store};

use sillage_client::error::ClientError;

/// The answer to a log. Each is one status code of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: the witness's signature line.
    Cosigned(String),
    /// 400: the request isn't one.
    Malformed(&'static str),
    /// 403: no trusted key has signed, or what the witness asks for beside it is missing.
    NotSigned(String),
    /// 404: the witness doesn't know the log.
    UnknownLog,
    /// 409: the last checkpoint that was cosigned has this size, or another root at this size.
    Conflict(TreeSize),
    /// 422: the proof doesn't show that the log continues what was cosigned.
    Inconsistent(&'static str),
    /// 500: what was to be cosigned couldn't be stored.
    Broken(String),
}

/// A log that is cosigned for, and what was cosigned last. One request at a time: what is checked is what is replaced.
struct WatchedLog {
    config: LogConfig,
    latest: Mutex<Option<Latest>>,
}

/// A witness: its key, its logs, what it has cosigned.
pub struct Witness {
    signer: SignerKey,
    logs: HashMap<String, WatchedLog>,
    store: Store,
}

impl Witness {
    /// Opens the witness in `dir`, for this process alone.
    ///
    /// # Errors
    /// When the folder isn't a witness's, another process serves it, or what it cosigned can't be read.
    pub fn open(dir: &Path) -> Result<Self, ClientError> {
        let config = Config::load(dir)?;
        let store = Store::open(dir)?;
        let mut logs = HashMap::new();
        for log in config.logs {
            let latest = Mutex::new(store.load(&log.origin)?);
            logs.insert(log.origin.clone(), WatchedLog { config: log, latest });
        }
        Ok(Self { signer: config.signer, logs, store })
    }

    /// The key that it cosigns with.
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Answers one `add-checkpoint` request. Blocks for one synced write. `now_s`: seconds since 1970.
    pub fn add_checkpoint(&self, body: &[u8], now_s: u64) -> Answer {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(why) => return Answer::Malformed(why),
        };
        let checkpoint = &request.checkpoint;
        let Some(log) = self.logs.get(checkpoint.origin.as_str()) else {
            return Answer::UnknownLog;
        };
        let signed_by_log = match log.config.check(&request.note) {
            Ok(lines) => lines,
            Err(why) => return Answer::NotSigned(why),
        };
        if request.old_size > checkpoint.size {
            return Answer::Malformed("the old size is larger than the checkpoint's");
        }
        let mut latest = log.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusal) = refusal(latest.as_ref(), &request) {
            if let Some(known) = latest.as_ref().filter(|known| is_another_history(known, checkpoint, &refusal)) {
                self.say_two_histories(known, &request);
            }
            return refusal;
        }
        self.cosign(&request, signed_by_log, &mut latest, now_s)
    }

    /// Keeps the two checkpoints that contradict each other, and says it aloud, once for each.
    fn say_two_histories(&self, known: &Latest, request: &AddCheckpoint) {
        let other = &request.checkpoint;
        match self.store.keep_evidence(known, (other, &request.note)) {
            Ok(true) => {}
            // Anybody can send it again and again.
            Ok(false) => {
                return tracing::debug!(origin = other.origin.as_str(), "the same contradiction, or one of too many");
            }
            Err(error) => tracing::error!(%error, "the evidence of two histories can't be kept"),
        }
        tracing::error!(
            origin = other.origin.as_str(),
            cosigned_size = known.checkpoint.size.get(),
            shown_size = other.size.get(),
            "TWO HISTORIES: this witness was shown a checkpoint that the log's key signed and that doesn't continue what it \
             cosigned; it is kept as evidence, and `sillage witness status` ends with 1"
        );
    }

    /// The metrics for monitoring: the size that was cosigned of each log, and whether two histories were shown.
    /// OpenMetrics.
    pub fn metrics(&self) -> String {
        let mut sizes = "# TYPE sillage_witness_size gauge\n".to_owned();
        let mut other = "# TYPE sillage_witness_two_histories gauge\n".to_owned();
        let mut origins: Vec<&String> = self.logs.keys().collect();
        origins.sort();
        for origin in origins {
            let log = &self.logs[origin];
            let latest = log.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let size = latest.as_ref().map_or(0, |latest| latest.checkpoint.size.get());
            let shown = u8::from(self.store.has_evidence(origin));
            let label: String = origin.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
            sizes.push_str(&format!("sillage_witness_size{{origin=\"{label}\"}} {size}\n"));
            other.push_str(&format!("sillage_witness_two_histories{{origin=\"{label}\"}} {shown}\n"));
        }
        format!("{sizes}{other}# EOF\n")
    }

    /// Signs, stores, and only then answers.
    fn cosign(
        &self,
        request: &AddCheckpoint,
        signed_by_log: Vec<NoteSignature>,
        latest: &mut Option<Latest>,
        now_s: u64,
    ) -> Answer {
        let broken = |why: String| Answer::Broken(why);
        let text = request.note.text();
        let line = match self.signer.sign(text, now_s) {
            Ok(line) => line,
            Err(error) => return broken(error.to_string()),
        };
        let mut lines = signed_by_log;
        lines.push(line.clone());
        let note = match SignedNote::new(text.to_owned(), lines) {
            Ok(note) => note,
            Err(error) => return broken(error.to_string()),
        };
        let next = Latest { checkpoint: request.checkpoint.clone(), note };
        if let Err(error) = self.store.save(&next) {
            return broken(error.to_string());
        }
        if let Err(error) = self.store.forget_unproven(&next.checkpoint) {
            tracing::error!(%error, "what contradicts nothing any more is still kept as evidence");
        }
        *latest = Some(next);
        Answer::Cosigned(line.to_string())
    }

    /// The last checkpoint that was cosigned, with the log's signatures and the witness's, of the log whose origin has
    /// this SHA-256 in lower-case hex.
    pub fn latest(&self, origin_hash: &str) -> Option<String> {
        let (_, log) = self.logs.iter().find(|(origin, _)| store::file_name(origin) == origin_hash)?;
        let latest = log.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().map(|latest| latest.note.to_string())
    }
}

/// Tells whether a refused checkpoint, which the log's key signed, isn't one of the history that was cosigned: it has
/// another root at the same size, or came with a proof that leads elsewhere. One that is merely older is no contradiction.
fn is_another_history(known: &Latest, new: &Checkpoint, refusal: &Answer) -> bool {
    let known = &known.checkpoint;
    match refusal {
        Answer::Conflict(_) => new.size == known.size && new.root != known.root,
        Answer::Inconsistent(_) => known.size.get() > 0,
        _ => false,
    }
}

/// Why the checkpoint can't follow what was cosigned last, if so.
fn refusal(latest: Option<&Latest>, request: &AddCheckpoint) -> Option<Answer> {
    let new: &Checkpoint = &request.checkpoint;
    let known_size = latest.map_or(TreeSize(0), |latest| latest.checkpoint.size);
    if request.old_size != known_size {
        return Some(Answer::Conflict(known_size));
    }
    if new.size.get() == 0 && new.root != empty_root() {
        return Some(Answer::Inconsistent("a log without entries has the root of the empty tree"));
    }
    let Some(known) = latest.filter(|latest| latest.checkpoint.size.get() > 0) else {
        let none = request.proof.is_empty();
        return (!none).then_some(Answer::Inconsistent("nothing was cosigned before: the proof has to be empty"));
    };
    if new.size == known_size && new.root != known.checkpoint.root {
        return Some(Answer::Conflict(known_size));
    }
    let proven = verify_consistency(known_size, new.size, &request.proof, &known.checkpoint.root, &new.root);
    proven.is_err().then_some(Answer::Inconsistent("the proof does not lead from the last cosigned root to this one"))
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
