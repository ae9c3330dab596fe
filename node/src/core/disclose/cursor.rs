//! The cursor of a trace: where the next page begins, in bytes that only a node of this log can make.
//!
//! ```text
//! u8 version = 1 ‖ u64 before ‖ mac[16]
//! mac = first 16 bytes of H("sillage/cursor/v1\0" ‖ key[32] ‖ H(tag) ‖ H(filters) ‖ u64 before)
//! ```
//!
//! The next page holds entries with an index below `before`: it stays what it is while entries arrive. The tag and the
//! filters are under the MAC, so a cursor is good for the question it answers and for no other. Every node derives the
//! same key, so a cursor of one node works on another. The hashed message has one length: nothing can be appended.

use parking_lot::RwLock;
use sillage_ledger::seal::{KekError, KekProvider, TagPrefix};
use sillage_ledger::{LedgerReader, ReadError};
use sillage_proof::hash::sha256;
use sillage_proto::v1::TraceRequest;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const KEY_LABEL: &[u8] = b"sillage/cursor-key/v1\0";

/// Makes and checks cursors.
pub struct Cursors {
    keys: RwLock<CursorKeys>,
}

/// The one before is good for cursors that are still in hand.
struct CursorKeys {
    epoch: u32,
    now: Zeroizing<[u8; 32]>,
    before: Option<Zeroizing<[u8; 32]>>,
}

/// The bytes are not a cursor that this log gave for this question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCursor;

/// The key of cursors can't be derived.
#[derive(Debug, thiserror::Error)]
pub enum CursorKeyError {
    /// The keyring lacks a key.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Cursors {
    /// From a secret that all nodes share.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { keys: RwLock::new(CursorKeys { epoch: 0, now: key, before: None }) }
    }

    /// From the key-encryption keys, which all nodes have: the key is what one of them makes of 32 zero bytes. Under
    /// this nonce it wraps nothing else, and the others are random.
    ///
    /// # Errors
    /// When the keyring lacks a key.
    pub fn from_keks(keks: &impl KekProvider, reader: &LedgerReader) -> Result<Self, CursorKeyError> {
        let (epoch, now) = derived(keks, reader)?;
        Ok(Self { keys: RwLock::new(CursorKeys { epoch, now, before: None }) })
    }

    /// Of a new member, whose ledger is still empty: what it says of epochs is of the log's first day, and the keys of
    /// then may be destroyed. Until [`Cursors::renew`] has a ledger to follow, a secret of this process does.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn unfollowed() -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..])?;
        Ok(Self::new(key))
    }

    /// Follows the epochs: every node turns to the next one when it has applied that, and destroys the old ones later.
    ///
    /// # Errors
    /// When the keyring lacks a key.
    pub fn renew(&self, keks: &impl KekProvider, reader: &LedgerReader) -> Result<(), CursorKeyError> {
        let current = reader.kek_epochs(no_patient())?.current;
        if self.keys.read().epoch == current {
            return Ok(());
        }
        let (epoch, now) = derived(keks, reader)?;
        let mut keys = self.keys.write();
        let before = std::mem::replace(&mut keys.now, now);
        (keys.epoch, keys.before) = (epoch, Some(before));
        Ok(())
    }

    /// The cursor with which `request` goes on below index `before`.
    pub fn make(&self, request: &TraceRequest, before: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + 8 + MAC_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&before.to_be_bytes());
        out.extend_from_slice(&mac(&self.keys.read().now, request, before));
        out
    }

    /// Where `request` goes on: `None` from the newest.
    ///
    /// # Errors
    /// When its cursor is not one that [`Cursors::make`] made for the same tag and filters.
    pub fn open(&self, request: &TraceRequest) -> Result<Option<u64>, InvalidCursor> {
        if request.cursor.is_empty() {
            return Ok(None);
        }
        let (version, rest) = request.cursor.split_first().ok_or(InvalidCursor)?;
        let (before, mac) = rest.split_first_chunk::<8>().ok_or(InvalidCursor)?;
        let before = u64::from_be_bytes(*before);
        let keys = self.keys.read();
        let good = std::iter::once(&keys.now).chain(&keys.before).any(|key| {
            let expected = self::mac(key, request, before);
            mac.len() == MAC_BYTES && mac.iter().zip(&expected).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
        });
        match *version == VERSION && good {
            true => Ok(Some(before)),
            false => Err(InvalidCursor),
        }
    }
}

fn no_patient() -> TagPrefix {
    TagPrefix::of(&[0; 32])
}

/// The present epoch, and what its key makes.
fn derived(keks: &impl KekProvider, reader: &LedgerReader) -> Result<(u32, Zeroizing<[u8; 32]>), CursorKeyError> {
    let epoch = reader.kek_epochs(no_patient())?.current;
    let wrapped = Zeroizing::new(keks.wrap((no_patient(), epoch), &[0; 12], KEY_LABEL, &[0; 32])?);
    Ok((epoch, Zeroizing::new(sha256(&[KEY_LABEL, wrapped.as_slice()]).to_bytes())))
}

fn mac(key: &Zeroizing<[u8; 32]>, request: &TraceRequest, before: u64) -> [u8; MAC_BYTES] {
    let tag = sha256(&[&request.tag]);
    let filter = filter_hash(request);
    let parts: [&[u8]; 5] =
        [b"sillage/cursor/v1\0", key.as_slice(), tag.as_ref(), filter.as_ref(), &before.to_be_bytes()];
    let hash = sha256(&parts).to_bytes();
    *hash.first_chunk().expect("a hash is longer than a MAC")
}

/// Everything of the question but the tag, the page's length and the cursor.
fn filter_hash(request: &TraceRequest) -> sillage_proof::Hash {
    let flags = [u8::from(request.only_break_glass), u8::from(request.only_unjustified)];
    sha256(&[
        &request.from_ms.to_be_bytes(),
        &request.to_ms.to_be_bytes(),
        &request.kind.to_be_bytes(),
        &flags,
        &(request.actor.len() as u64).to_be_bytes(),
        request.actor.as_bytes(),
        request.organisation.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors() -> Cursors {
        Cursors::new(Zeroizing::new([7; 32]))
    }

    fn request() -> TraceRequest {
        TraceRequest { tag: vec![9; 32], actor: "10100534436".to_owned(), kind: 0x0601, ..TraceRequest::default() }
    }

    #[test]
    fn a_cursor_works_on_every_node_and_for_any_page_length() {
        let mut asked = request();
        assert_eq!(cursors().open(&asked), Ok(None));
        asked.cursor = cursors().make(&asked, 41);
        asked.limit = 7;
        assert_eq!(cursors().open(&asked), Ok(Some(41)));
    }

    #[test]
    fn a_cursor_made_up_or_for_another_question_is_refused() {
        let good = cursors().make(&request(), 41);
        for at in 0..good.len() {
            let mut asked = request();
            asked.cursor = good.clone();
            asked.cursor[at] ^= 1;
            assert_eq!(cursors().open(&asked), Err(InvalidCursor), "byte {at}");
            asked.cursor = good[..at.max(1)].to_vec();
            assert_eq!(cursors().open(&asked), Err(InvalidCursor), "{at} bytes");
        }
        let changes: [fn(&mut TraceRequest); 5] = [
            |asked| asked.tag[0] ^= 1,
            |asked| asked.kind = 0,
            |asked| asked.only_unjustified = true,
            |asked| asked.from_ms = 1,
            |asked| asked.organisation = asked.actor.split_off(3),
        ];
        for change in changes {
            let mut asked = request();
            asked.cursor = good.clone();
            change(&mut asked);
            assert_eq!(cursors().open(&asked), Err(InvalidCursor));
        }
        let mut elsewhere = request();
        elsewhere.cursor = Cursors::new(Zeroizing::new([8; 32])).make(&elsewhere, 41);
        assert_eq!(cursors().open(&elsewhere), Err(InvalidCursor));
    }
}
