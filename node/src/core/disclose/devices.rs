//! The patient of a device: read from the sealed records `device.registered` under a tag, opened when it is asked.
//!
//! No row and no act says it, so a party of the role patient has no tag of its own until a call names one:
//! [`Core::with_own`] fills it in where a record under that tag says that the party acts for its patient, and admission
//! does. Code that asks whether the patient itself calls ([`is_patient_itself`]) asks it afterwards.
//!
//! These records are opened to know who calls, and are given to nobody: so that opening is on no record.
//!
//! The first reading of such a device under each tag is on record, like that of a stranger: whoever registered a device behind
//! the patient's back can't read with it unseen. It names no party, as that would tell which two tags are one patient's.

use std::sync::Arc;

use sillage_ledger::seal::Sealer;
use sillage_ledger::{EntryReader, Party, Refusal};
use sillage_proof::hash::Hash;
use sillage_rules::codes::Code;
use sillage_rules::consent::Event;
use sillage_rules::device::DeviceRegistered;
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::Roles;

use super::open::Opener;
use crate::core::{Core, now_ms};
use crate::refusals::{from_read, refuse};

/// Tells whether it is the patient itself that reads: then nothing is put on record, but for the first reading of a device.
pub fn is_patient_itself(reader: &Party, tag: &[u8]) -> bool {
    let own = [reader.patient_tag, reader.patient_secret_tag];
    reader.roles.contains(Roles::PATIENT) && own.iter().flatten().any(|own| own[..] == *tag)
}

/// Tells whose device a party is, and nothing else of what it opens.
#[derive(Clone)]
pub struct Devices(Opener);

impl Devices {
    /// Reads with `entries`, and opens with the keys of `sealer`.
    pub fn new(entries: EntryReader, sealer: Arc<Sealer>) -> Self {
        Self(Opener::new(entries, sealer))
    }

    pub(super) fn of(opener: Opener) -> Self {
        Self(opener)
    }

    /// Tells whether a record under `tag` says that `party` acts for its patient.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn acts_for(&self, party: &Party, tag: &[u8; 32]) -> Result<bool, Refusal> {
        Ok(record_of(&self.0, party, tag)?.is_some())
    }
}

/// The record under `tag` that says that `party` acts for its patient.
fn record_of(opener: &Opener, party: &Party, tag: &[u8; 32]) -> Result<Option<DeviceRegistered>, Refusal> {
    if party.patient_commitment.is_none() || !party.roles.contains(Roles::PATIENT) {
        return Ok(None);
    }
    for index in opener.entries().device_records(tag).map_err(|error| from_read(&error))? {
        let opened = opener.open_index(index)?;
        if opened.erased.is_some() {
            continue;
        }
        let record = ParsedRecord::parse(&opened.bytes).map_err(|_| refuse(Code::Corrupt))?;
        if let Ok(Some(Event::DeviceRegistered(device))) = Event::of(&record)
            && device.party == party.author_id
        {
            return Ok(Some(*device));
        }
    }
    Ok(None)
}

impl Core {
    fn device(&self, party: &Party, tag: &[u8; 32]) -> Result<Option<DeviceRegistered>, Refusal> {
        record_of(&self.disclosing.access.opener, party, tag)
    }

    /// The party, with `tag` as its own where it is that patient's device. Other parties stay as they are.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn with_own(&self, party: Party, tag: &[u8]) -> Result<Party, Refusal> {
        let Ok(tag) = <[u8; 32]>::try_from(tag) else { return Ok(party) };
        if party.patient_commitment.is_none() {
            return Ok(party);
        }
        let mut device = self.device(&party, &tag)?;
        if device.is_none() {
            // It may have been recorded a moment ago, through another node.
            self.up_to_date().await?;
            device = self.device(&party, &tag)?;
        }
        Ok(match device {
            Some(_) => Party { patient_tag: Some(tag), ..party },
            None => party,
        })
    }

    /// Tells whether a portal reads `tag` under an open session of that patient: its opening is the line that tells of the reading.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn is_in_session(&self, reader: &Party, tag: &[u8]) -> Result<bool, Refusal> {
        let Ok(tag) = <[u8; 32]>::try_from(tag) else { return Ok(false) };
        if !reader.roles.contains(Roles::PORTAL) {
            return Ok(false);
        }
        let (ledger, portal) = (self.reader().clone(), reader.author_id);
        // It may open the records that decide on a representation.
        self.read(move || ledger.has_open_session(&portal, &tag, now_ms())).await
    }

    /// The mark of the first reading of a patient's own device under `tag`; none where that is on record already, or where no
    /// device of a sealed record reads.
    pub(super) fn first_reading(&self, reader: &Party, tag: &[u8; 32]) -> Result<Option<Hash>, Refusal> {
        let Some(device) = self.device(reader, tag)? else { return Ok(None) };
        let mark = device.reading_mark(tag);
        let known = self.reader().has_device_read(tag, &mark).map_err(|error| from_read(&error))?;
        Ok((!known).then_some(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::LeafIndex;
    use sillage_proof::keys::AuthorId;

    #[test]
    fn a_patient_is_itself_under_both_of_its_tags_as_long_as_it_has_the_role() {
        let itself = Party {
            author_id: AuthorId::from([7; 32]),
            name: "Claire".to_owned(),
            roles: Roles::PATIENT | Roles::READER,
            quota_events_per_s: 0,
            tls_spki_sha256: Vec::new(),
            keys: Vec::new(),
            patient_tag: Some([9; 32]),
            patient_secret_tag: Some([8; 32]),
            patient_commitment: None,
            registered_at: LeafIndex(0),
            vouches_for: [0; 3],
        };
        assert!(is_patient_itself(&itself, &[9; 32]) && is_patient_itself(&itself, &[8; 32]));
        assert!(!is_patient_itself(&itself, &[7; 32]), "she reads of someone else");
        let former = Party { roles: Roles::READER, ..itself };
        assert!(!is_patient_itself(&former, &[9; 32]));
    }
}
