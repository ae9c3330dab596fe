//! Patients' own devices: which party acts for which patient, without saying it to whoever reads the acts.
//!
//! The act that registers such a party holds a [`commitment`] to the patient's two tags. What opens it is the record
//! `device.registered` ([`DeviceRegistered`]), sealed under a tag of the patient, one for each tag: it opens the half of its own
//! tag, and gives the hash of the other half, so that whoever reads the one trace learns nothing of the other. A party acts
//! for a patient under the tags that have such a record, and under no others: there is no device that the patient can't see.

use serde::{Deserialize, Serialize};
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::AuthorId;

use crate::check;
use crate::error::RecordError;
use crate::limits::{PARTY_NAME_BYTES_MAX, SALT_BYTES};

/// Devices of one patient, in all time: those that were ended count.
pub const DEVICES_MAX: usize = 256;

/// Salt that hides one tag: random, a new one for each tag and device.
pub type DeviceSalt = [u8; SALT_BYTES];

/// One half of a commitment. Of a device that has but one of the two tags, the other half is 32 random bytes.
pub fn half(salt: &DeviceSalt, tag: &[u8; 32]) -> Hash {
    sha256(&[b"sillage/device/tag/v1\0", salt, tag])
}

/// The commitment to both halves. Which of them is of the open tag doesn't show: the smaller one comes first.
pub fn commitment(one: &Hash, other: &Hash) -> Hash {
    sha256(&[b"sillage/device/v1\0", one.min(other).as_bytes(), one.max(other).as_bytes()])
}

/// The details of `device.registered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRegistered {
    /// The party that acts for the patient.
    pub party: AuthorId,
    /// Its name, as it is registered.
    pub name: String,
    /// The name of the authority that registered it.
    pub authority: String,
    /// The salt of the half of this record's tag, in hexadecimal.
    pub salt: String,
    /// The other half.
    pub other: Hash,
}

impl DeviceRegistered {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        for (path, name) in [("name", &self.name), ("authority", &self.authority)] {
            check::required(path, name)?;
            check::line(path, name, PARTY_NAME_BYTES_MAX)?;
        }
        match self.salt() {
            Some(_) => Ok(()),
            None => Err(RecordError::malformed("salt", "not 16 bytes in small hexadecimal characters")),
        }
    }

    fn salt(&self) -> Option<DeviceSalt> {
        let salt = hex::decode(&self.salt).ok()?.try_into().ok()?;
        (hex::encode(salt) == self.salt).then_some(salt)
    }

    /// Tells whether this record, under `tag`, opens a half of the party's commitment.
    pub fn opens(&self, tag: &[u8; 32], committed: &Hash) -> bool {
        self.salt().is_some_and(|salt| commitment(&half(&salt, tag), &self.other) == *committed)
    }

    /// The mark that stands for this party in the `log.consulted` of its first reading under `tag`: whoever can't open this
    /// record can't tell which party it is, nor that another tag's reading is of the same one.
    pub fn reading_mark(&self, tag: &[u8; 32]) -> Hash {
        sha256(&[b"sillage/device/reading/v1\0", &self.salt().unwrap_or_default(), self.party.as_bytes(), tag])
    }
}

/// The mark in the details of a `log.consulted`: it stands for the first reading of a patient's own device.
pub fn mark_of_reading(details: &str) -> Option<Hash> {
    let details: serde_json::Value = serde_json::from_str(details).ok()?;
    details.get("device")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(salt: [u8; 16], other: Hash) -> DeviceRegistered {
        DeviceRegistered {
            party: AuthorId::from_bytes([7; 32]),
            name: "Téléphone".to_owned(),
            authority: "autorité".to_owned(),
            salt: hex::encode(salt),
            other,
        }
    }

    #[test]
    fn each_tags_record_opens_its_half_and_no_other_tag() {
        let (open, secret) = ([1; 32], [2; 32]);
        let halves = [half(&[3; 16], &open), half(&[4; 16], &secret)];
        let committed = commitment(&halves[0], &halves[1]);
        assert_eq!(committed, commitment(&halves[1], &halves[0]), "the order doesn't show which is which");
        assert!(line([3; 16], halves[1]).opens(&open, &committed));
        assert!(line([4; 16], halves[0]).opens(&secret, &committed));
        assert!(!line([3; 16], halves[1]).opens(&secret, &committed));
        assert!(!line([3; 16], halves[1]).opens(&[9; 32], &committed));
        assert!(!line([5; 16], halves[1]).opens(&open, &committed));
    }

    #[test]
    fn marks_of_one_device_are_alike_to_nobody() {
        let line = line([3; 16], Hash::from_bytes([0; 32]));
        assert_ne!(line.reading_mark(&[1; 32]), line.reading_mark(&[2; 32]));
        let other = DeviceRegistered { salt: hex::encode([4; 16]), ..line.clone() };
        assert_ne!(line.reading_mark(&[1; 32]), other.reading_mark(&[1; 32]));
    }

    #[test]
    fn a_salt_is_16_bytes_in_one_spelling() {
        for wrong in ["", "00", &"AB".repeat(16), &"zz".repeat(16), &"00".repeat(17)] {
            let line = DeviceRegistered { salt: wrong.to_owned(), ..line([0; 16], Hash::default()) };
            assert_eq!(line.check().expect_err(wrong).path, "salt");
        }
    }
}
