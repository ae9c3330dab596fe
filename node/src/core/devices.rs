//! Whose device a party is: what the sealed records `device.registered` under a tag say, opened when it is asked.
//!
//! No row and no act says it, so a party of the role patient has no tag of its own until a call names one: [`Core::with_own`]
//! fills it in where a record under that tag says that the party acts for its patient, and admission does. Whatever asks whether
//! the patient itself calls ([`super::consulted::is_patient_itself`]) asks it afterwards.
//!
//! The first reading of such a device under each tag is on record, like that of a stranger: whoever registered a device behind
//! the patient's back can't read with it unseen. It names no party, as that would tell which two tags are one patient's.

use sillage_ledger::{LedgerReader, Party, Refusal};
use sillage_proof::hash::Hash;
use sillage_rules::codes::Code;
use sillage_rules::consent::Event;
use sillage_rules::device::DeviceRegistered;
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::Roles;

use super::Core;
use super::open::Opener;
use super::refusals::{from_read, refuse};

/// The record under `tag` that says that `party` acts for its patient.
pub(super) fn record_of(
    reader: &LedgerReader,
    opener: &Opener,
    party: &Party,
    tag: &[u8; 32],
) -> Result<Option<DeviceRegistered>, Refusal> {
    if party.patient_commitment.is_none() || !party.roles.contains(Roles::PATIENT) {
        return Ok(None);
    }
    for index in reader.device_records(tag).map_err(|error| from_read(&error))? {
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
        record_of(self.reader(), &self.opener(), party, tag)
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

    /// The mark of the first reading of a patient's own device under `tag`; none where that is on record already, or where no
    /// device of a sealed record reads.
    pub(super) fn first_reading(&self, reader: &Party, tag: &[u8; 32]) -> Result<Option<Hash>, Refusal> {
        let Some(device) = self.device(reader, tag)? else { return Ok(None) };
        let mark = device.reading_mark(tag);
        let known = self.reader().has_device_read(tag, &mark).map_err(|error| from_read(&error))?;
        Ok((!known).then_some(mark))
    }
}
