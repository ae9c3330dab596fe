//! Patients' own devices, as the ledger keeps them: no row says which party is whose. The sealed record that says it is
//! `device.registered` under each tag, and a state is folded from those. Beside them there is where these records
//! stand, for readers who open them, and a mark for each device that has read a trace, which only who opens the record
//! can make.

use sillage_proof::hash::{Hash, LeafIndex};
use sillage_rules::codes::Code;
use sillage_rules::device::DeviceRegistered;
use sillage_rules::roles::Roles;

use super::check::Signer;
use crate::error::{Refusal, Stop};
use crate::overlay::Overlay;
use crate::schema::consent_prefix::{DEVICE, DEVICE_READ};
use crate::schema::{Family, TAG_LEN};

fn line_key(tag: &[u8; TAG_LEN], index: LeafIndex) -> Vec<u8> {
    [DEVICE, tag, &index.get().to_be_bytes()].concat()
}

pub(crate) fn read_key(tag: &[u8; TAG_LEN], mark: &Hash) -> Vec<u8> {
    [DEVICE_READ, tag, mark.as_bytes()].concat()
}

/// Tells whether a record under `tag` says of a party what its registration committed to.
pub(crate) fn check(
    overlay: &Overlay<'_>,
    signer: &Signer,
    tag: &[u8; TAG_LEN],
    device: &DeviceRegistered,
) -> Result<(), Stop> {
    let malformed = |path: &str, why: &str| Stop::from(Refusal::new(Code::MalformedRecord, format!("{path}: {why}")));
    let party = overlay.party(&device.party)?;
    let party = party.filter(|party| party.roles().contains(Roles::PATIENT));
    let committed = party.as_ref().and_then(|party| Hash::from_slice(&party.patient_commitment).ok());
    let (Some(party), Some(committed)) = (party, committed) else {
        let what =
            "no party of this id is registered with the role patient and a commitment: send the act first, or with it";
        return Err(Refusal::new(Code::UnknownReference, what).into());
    };
    if !device.opens(tag, &committed) {
        return Err(malformed(
            "details.salt",
            "it doesn't open what the party's registration commits to, under this tag",
        ));
    }
    if device.name != party.name {
        return Err(malformed("details.name", "the party is registered under another name"));
    }
    let authority = overlay.party(&signer.key.author_id)?;
    match authority.is_some_and(|authority| authority.name == device.authority) {
        true => Ok(()),
        false => Err(malformed("details.authority", "who signs is registered under another name")),
    }
}

impl Overlay<'_> {
    /// Notes that the record of entry `index` says that a device acts for the patient of this tag.
    pub(crate) fn put_device(&mut self, tag: &[u8; TAG_LEN], index: LeafIndex) {
        self.set_row(Family::Consent, line_key(tag, index), Some(Vec::new()));
    }

    /// Notes that the device with this mark has read, as the trace of this tag says.
    pub(crate) fn put_device_read(&mut self, tag: &[u8; TAG_LEN], mark: &Hash) {
        self.set_row(Family::Consent, read_key(tag, mark), Some(Vec::new()));
    }
}
