//! Notes of the log store on the peers' disks.

use std::collections::BTreeMap;

use super::LogError;
use crate::identity::{DiskRun, PEER_NOTES};

/// The highest run seen of each peer, from the notes of the Raft log store.
///
/// # Errors
/// When one of these notes can't be read. Taken for none, a peer that was put back to an older state would be believed.
pub(crate) fn peers_in(notes: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<BTreeMap<u64, DiskRun>, LogError> {
    let of_peers = notes.iter().filter_map(|(key, value)| Some((key.strip_prefix(PEER_NOTES)?, value)));
    let decoded = of_peers.map(|(id, value)| {
        let unreadable = |of: &str| LogError::Damaged(format!("its note of the disk of {of} can't be read"));
        let id = u64::from_be_bytes(id.try_into().map_err(|_| unreadable("a peer"))?);
        let run = DiskRun::decode(value).ok_or_else(|| unreadable(&format!("node {id}")))?;
        Ok((id, run))
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::peer_note;

    #[test]
    fn the_note_of_a_peer_is_read_back_and_one_that_cannot_be_read_is_a_fault() {
        let one = DiskRun { disk: [7; 16], start: 3, run: u64::MAX };
        let mut notes = BTreeMap::from([(peer_note(3), one.encode().to_vec()), (b"other".to_vec(), vec![1])]);
        assert_eq!(peers_in(&notes).unwrap(), BTreeMap::from([(3, one)]));
        for (key, value) in [(peer_note(4), vec![1; 31]), (b"peer/x".to_vec(), one.encode().to_vec())] {
            notes.insert(key.clone(), value);
            let error = peers_in(&notes).unwrap_err().to_string();
            assert!(error.contains("sillage cluster member replace"), "{error}");
            notes.remove(&key);
        }
    }
}
