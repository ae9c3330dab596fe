//! The condition for destroying an old key-encryption key: nothing which isn't erased is lost with it.
//!
//! The log says that every data key of a prefix is wrapped under a newer epoch. Whether it can be unwrapped again only who
//! holds the keys can tell: a leader that lies, or a keyring that isn't the group's, would show when it is too late. So each
//! node unwraps all of them first. Where one can't be, the old key stays, and the node raises an alarm.

use sillage_ledger::seal::{Sealer, TagPrefix, layout};
use sillage_ledger::{LedgerReader, Refusal};

use crate::refusals::from_read;

/// Data keys read at once.
const KEYS_MAX: usize = 2_000;

/// An old key that isn't destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Of which prefix.
    pub prefix: TagPrefix,
    /// Why, in plain words.
    pub reason: String,
}

/// The keys that may be destroyed here, up to an epoch of each prefix, and what must not be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Nothing that survives needs these.
    pub safe: Vec<(TagPrefix, u32)>,
    /// Something does.
    pub held_back: Vec<HeldBack>,
}

/// Looks at what the log gave up, up to an epoch of each prefix.
///
/// # Errors
/// When the ledger can't be read.
pub fn judge(reader: &LedgerReader, sealer: &Sealer, retired: &[(TagPrefix, u32)]) -> Result<Verdict, Refusal> {
    let mut verdict = Verdict::default();
    for (prefix, epoch) in retired.iter().copied() {
        match first_lost(reader, sealer, prefix, epoch)? {
            None => verdict.safe.push((prefix, epoch)),
            Some(reason) => verdict.held_back.push(HeldBack { prefix, reason }),
        }
    }
    Ok(verdict)
}

/// Why the first data key of a prefix can't do without the keys up to `epoch`; `None` when all can.
fn first_lost(
    reader: &LedgerReader,
    sealer: &Sealer,
    prefix: TagPrefix,
    epoch: u32,
) -> Result<Option<String>, Refusal> {
    let mut after = None;
    loop {
        let keys = reader.data_keys_of(prefix, after.as_ref(), KEYS_MAX).map_err(|error| from_read(&error))?;
        let Some((last, _)) = keys.last() else {
            return Ok(None);
        };
        after = Some(*last);
        for (name, wrapped) in &keys {
            if layout::epoch_of(wrapped) <= Some(epoch) {
                return Ok(Some(format!("a data key is still wrapped under epoch {epoch} or an older one")));
            }
            if let Err(error) = sealer.check_wrapped(name, wrapped) {
                return Ok(Some(error.to_string()));
            }
        }
    }
}
