//! The names for which a party vouches: rows of one name each, so that a party with thousands of structures costs a batch no more than
//! one with a single one.

use sillage_proof::keys::AuthorId;
use sillage_rules::consent::{Event, Meta};
use sillage_rules::decide::ParsedRequest;
use sillage_rules::record::ParsedRecord;
use sillage_rules::roles::{Roles, signers};
use sillage_rules::vouching::{ANY, Claim, Vouched, Vouching, check_own_word, claims_of_record, claims_of_request};

use super::acts::{known_party, refused};
use super::check::Signer;
use super::feature::{CLAIMS, feature_level_reached};
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::rows::PartyRow;
use crate::schema::{Family, vouching_key};
use crate::store::Store;

impl PartyRow {
    fn count_mut(&mut self, what: Vouched) -> &mut u32 {
        match what {
            Vouched::Structure => &mut self.structures,
            Vouched::ActorSystem => &mut self.actor_systems,
            Vouched::Issuer => &mut self.issuers,
        }
    }
}

/// The party vouches for these from here on. `party` is written by the caller.
pub(super) fn take(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    author: &AuthorId,
    party: &mut PartyRow,
    added: &Vouching,
) -> Result<(), Stop> {
    if added.has_any() && !genesis.test_log {
        return Err(refused("only in a test log does a party vouch for everybody: name what it vouches for"));
    }
    for (what, name) in added.names() {
        let key = vouching_key(author, what, name);
        if overlay.has_vouching(&key)? {
            continue;
        }
        overlay.set_vouching(key, true);
        let count = party.count_mut(what);
        *count += 1;
        if *count > what.max() {
            let (max, text) = (what.max(), what.text());
            return Err(refused(format!("a party vouches for at most {max} names of the sort {text}")));
        }
    }
    Ok(())
}

/// A party vouches for others from here on.
pub(super) fn change(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    author: &AuthorId,
    (added, removed): (&Vouching, &Vouching),
) -> Result<(), Stop> {
    let mut party = known_party(overlay, author)?;
    for (what, name) in removed.names() {
        let key = vouching_key(author, what, name);
        if !overlay.has_vouching(&key)? {
            return Err(refused(format!("the party doesn't vouch for one {} that is to be removed", what.text())));
        }
        overlay.set_vouching(key, false);
        let count = party.count_mut(what);
        *count =
            count.checked_sub(1).ok_or_else(|| ReadError::Damaged("fewer names than a party vouches for".into()))?;
    }
    take(overlay, genesis, author, &mut party, added)?;
    overlay.put_party(*author, party);
    Ok(())
}

/// Tells whether the party vouches for this name.
pub(crate) fn vouches(overlay: &Overlay<'_>, author: &AuthorId, what: Vouched, name: &str) -> Result<bool, ReadError> {
    let has = |name: &str| overlay.has_vouching(&vouching_key(author, what, name));
    Ok(!name.is_empty() && has(name)? || has(ANY)?)
}

/// Tells whether the party vouches for all that is claimed.
pub(crate) fn check_claims(
    claims: &[Claim<'_>],
    mut vouches: impl FnMut(Vouched, &str) -> Result<bool, ReadError>,
) -> Result<Result<(), Refusal>, ReadError> {
    for claim in claims {
        if !vouches(claim.what, claim.name)? {
            let error = claim.refusal();
            return Ok(Err(Refusal::new(error.code, error.to_string())));
        }
    }
    Ok(Ok(()))
}

/// Tells whether a record that is opened says nothing of its actor that the party which signs can't vouch for.
pub(super) fn check_record(
    overlay: &Overlay<'_>,
    signer: &Signer,
    record: &ParsedRecord,
    (event, meta): (Option<&Event>, &Meta),
) -> Result<(), Stop> {
    let by_authority = signer.roles.contains(Roles::AUTHORITY) && signers(record.kind()).contains(Roles::AUTHORITY);
    // The device vouches for its patient alone, and that is checked already.
    let by_patient = meta.patient_key && meta.signer.name.is_patient();
    if !signer.roles.is_bound() || by_authority || by_patient {
        return Ok(());
    }
    let author = &signer.key.author_id;
    let own_word = event.map_or(Ok(()), |event| check_own_word(event, &meta.signer.name));
    if let Err(error) = own_word
        && !vouches(overlay, author, Vouched::Structure, ANY)?
    {
        return Err(error.into());
    }
    let claims = claims_of_record(record, event);
    Ok(check_claims(&claims, |what, name| vouches(overlay, author, what, name))??)
}

/// The same, of a request. `own_device`: the patient's, for the patient.
pub(super) fn check_request(
    overlay: &Overlay<'_>,
    signer: &Signer,
    request: &ParsedRequest,
    own_device: bool,
) -> Result<(), Stop> {
    if !signer.roles.is_bound() || own_device && feature_level_reached(overlay, CLAIMS)? {
        return Ok(());
    }
    let author = &signer.key.author_id;
    Ok(check_claims(&claims_of_request(request), |what, name| vouches(overlay, author, what, name))??)
}

/// Names that a party vouches for: of each kind, in order, at most `limit`.
pub(crate) fn names_of(store: &Store, author: &AuthorId, limit: usize) -> Result<Vouching, ReadError> {
    let mut out = Vouching::default();
    for what in Vouched::ALL {
        let prefix = vouching_key(author, what, "");
        for (key, _) in store.scan(Family::Consent, &prefix, None, limit)? {
            let name = std::str::from_utf8(key.get(prefix.len()..).unwrap_or_default());
            let name = name.map_err(|_| ReadError::Damaged("a name that a party vouches for".into()))?;
            out.of_mut(what).push(name.to_owned());
        }
    }
    Ok(out)
}
