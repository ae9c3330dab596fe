//! Where a page ended. A cursor is sealed: it holds what was asked for, so a patient's number among it, and no client may change
//! how far it sees.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

/// What a cursor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The parameters of the search.
    pub parameters: Vec<(String, String)>,
    /// The type that is searched.
    pub kind: String,
    /// The newest place that the first page could see: later ones belong to another search.
    pub pin: u64,
    /// The last place that was looked at: the next page goes on below it.
    pub after: u64,
    /// Resources of a page.
    pub count: usize,
}

/// Seals cursors, with a key that stays the same when the connector is started again.
pub struct Cursors {
    key: LessSafeKey,
}

/// Characters of a cursor.
const LEN_MAX: usize = 16 * 1_024;

impl Cursors {
    /// With this key.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of this cipher has 32 bytes");
        Self { key: LessSafeKey::new(key) }
    }

    /// Seals a cursor for one client.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, cursor: &Cursor, client: &str) -> Result<String, String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let mut text = serde_json::to_vec(cursor).map_err(|error| error.to_string())?;
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(client.as_bytes()),
            &mut text,
        );
        sealed.map_err(|_| "it can't be sealed".to_owned())?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
    }

    /// Opens a cursor that this client was given.
    pub fn open(&self, text: &str, client: &str) -> Option<Cursor> {
        if text.len() > LEN_MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce: [u8; NONCE_LEN] = bytes.get(..NONCE_LEN)?.try_into().ok()?;
        let sealed = &mut bytes[NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(client.as_bytes()), sealed).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_its_clients_own_and_cannot_be_changed() {
        let cursors = Cursors::new(&[7; 32]);
        let parameters = vec![("patient.identifier".to_owned(), "279035121518989".to_owned())];
        let cursor = Cursor { parameters, kind: "AuditEvent".to_owned(), pin: 90, after: 40, count: 20 };
        let text = cursors.seal(&cursor, "radiology").expect("random");
        assert!(!text.contains("279035121518989"));
        assert_eq!(cursors.open(&text, "radiology"), Some(cursor));
        assert_eq!(cursors.open(&text, "pharmacy"), None);
        let mut other = text.clone().into_bytes();
        other[20] = if other[20] == b'A' { b'B' } else { b'A' };
        assert_eq!(cursors.open(&String::from_utf8(other).expect("ascii"), "radiology"), None);
        for odd in ["", "A", "****", &"A".repeat(20_000)] {
            assert_eq!(cursors.open(odd, "radiology"), None);
        }
    }
}
