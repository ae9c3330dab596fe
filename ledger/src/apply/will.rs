//! Issuers whose logins prove a will, and the proof of a record's will.
//!
//! Every check rests on the log alone: the issuers from acts and the genesis, the time from the ledger, the patient's tag
//! by the VRF proof that the record brings along. So every node comes to the same verdict, those without the VRF key too.

use sillage_proof::hash::{Hash, LedgerTimeMs, sha256};
use sillage_proof::keys::KeyId;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::Meta;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::kind::Kind;
use sillage_rules::limits::ISSUERS_MAX;
use sillage_rules::record::ParsedRecord;
use sillage_rules::will::issuer::Issuer;
use sillage_rules::will::{self, Log, ProvenWill, Will};

use super::acts::refused;
use super::check::Record;
use super::feature::{CLAIMS, ROLES, feature_level_reached};
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::verified::Verified;

/// Under which an issuer is kept.
pub(crate) fn issuer_name(url: &str) -> Hash {
    sha256(&[b"sillage/issuer\0", url.as_bytes()])
}

/// Publishes an issuer, in the place of what was published of it before.
pub(super) fn publish(overlay: &mut Overlay<'_>, genesis: &GenesisInfo, issuer: &Issuer) -> Result<(), Stop> {
    if !feature_level_reached(overlay, ROLES)? {
        // As a node answers that doesn't know the kind: until every node does, all of them must answer the same.
        let unknown = Kind::ISSUER_PUBLISHED;
        let what =
            format!("not every node of this log knows the kind {unknown} yet: update all of them, then send it again");
        return Err(Refusal::new(Code::UnknownKind, what).into());
    }
    put(overlay, genesis, issuer)
}

/// Keeps an issuer; those of the genesis too.
pub(crate) fn put(overlay: &mut Overlay<'_>, genesis: &GenesisInfo, issuer: &Issuer) -> Result<(), Stop> {
    if issuer.test && !genesis.test_log {
        return Err(refused("an issuer for tests logs in whoever is named: only a test log takes it"));
    }
    let name = issuer_name(&issuer.url);
    if overlay.issuer(&name)?.is_none() && overlay.issuers()? >= ISSUERS_MAX {
        return Err(refused(format!("a log has at most {ISSUERS_MAX} issuers, withdrawn ones included")));
    }
    overlay.put_issuer(name, issuer.to_message());
    Ok(())
}

/// Tells whether the log takes no will on a service's word: an issuer is on record, withdrawn or not; or, from level 4 on, it is of
/// real persons. A log for tests that has no issuer goes on as before.
pub(super) fn is_required(overlay: &Overlay<'_>, genesis: &GenesisInfo) -> Result<bool, ReadError> {
    if !feature_level_reached(overlay, ROLES)? {
        return Ok(false);
    }
    Ok(overlay.issuers()? > 0 || !genesis.test_log && feature_level_reached(overlay, CLAIMS)?)
}

/// Tells whether the record is opened for its will alone.
pub(super) fn opens(overlay: &Overlay<'_>, genesis: &GenesisInfo, record: &Record<'_>) -> Result<bool, ReadError> {
    Ok(record.kind == Kind::CONTEST_OPENED && is_required(overlay, genesis)?)
}

/// Says what is missing where nobody can prove who they are yet: an issuer of logins.
pub(super) fn or_no_issuer(overlay: &Overlay<'_>, genesis: &GenesisInfo, stop: Stop) -> Stop {
    let missing = matches!(&stop, Stop::Refused(refusal) if refusal.code == Code::AuthenticationMissing);
    match missing && matches!((is_required(overlay, genesis), overlay.issuers()), (Ok(true), Ok(0))) {
        false => stop,
        true => {
            let what = "no issuer of logins is published in this log, so nothing proves who acts: the authority publishes one with sillage keys issuer";
            Refusal::new(Code::LoginIssuer, what).into()
        }
    }
}

/// How the will of a record is established, at `at`.
///
/// # Errors
/// With the fault of the proof that it carries, or because not every node knows such proofs yet.
pub(crate) fn established(
    overlay: &Overlay<'_>,
    (genesis, verified): (&GenesisInfo, &Verified),
    record: &ParsedRecord,
    at: LedgerTimeMs,
) -> Result<Will, Stop> {
    let message = record.message();
    if message.will.is_some() && !feature_level_reached(overlay, ROLES)? {
        let what = "not every node of this log knows the field `will` yet: update all of them, then send it again";
        return Err(Refusal::new(Code::MalformedRecord, what).into());
    }
    let issuer = issuer_of(overlay, message.will.as_ref())?;
    Ok(will::of(record, issuer.as_ref(), &log_of(genesis, verified), at)?)
}

/// Tells whether every node of the log knows all of a request's fields.
///
/// # Errors
/// As a program answers that doesn't know them.
pub(super) fn check_known(overlay: &Overlay<'_>, request: &ParsedRequest) -> Result<(), Stop> {
    match request.message().will.is_none() || feature_level_reached(overlay, CLAIMS)? {
        true => Ok(()),
        false => {
            let what = "not every node of this log knows the field `will` yet: update all of them, then send it again";
            Err(Refusal::new(Code::MalformedRequest, what).into())
        }
    }
}

/// By what it is proven that a request's actor asks it, at `at`: `None` where nothing is said to prove it. `key_id` is of the
/// key that signs the request.
///
/// # Errors
/// With the fault of the proof that it carries, or because not every node knows such proofs yet.
pub(crate) fn of_request(
    overlay: &Overlay<'_>,
    (genesis, verified): (&GenesisInfo, &Verified),
    (request, key_id): (&ParsedRequest, &KeyId),
    at: LedgerTimeMs,
) -> Result<Option<ProvenWill>, Stop> {
    check_known(overlay, request)?;
    let will = request.message().will.as_ref();
    let issuer = issuer_of(overlay, will)?;
    Ok(will::of_request(request, key_id, issuer.as_ref(), &log_of(genesis, verified), at)?)
}

/// Tells whether the log takes nobody's word on who asks: as for records, and every node knows how it is proven.
pub(super) fn is_required_of_requests(overlay: &Overlay<'_>, genesis: &GenesisInfo) -> Result<bool, ReadError> {
    Ok(feature_level_reached(overlay, CLAIMS)? && is_required(overlay, genesis)?)
}

fn issuer_of(overlay: &Overlay<'_>, will: Option<&v1::Will>) -> Result<Option<Issuer>, Stop> {
    let row = match will::issuer_of(will)? {
        Some(url) => overlay.issuer(&issuer_name(&url))?,
        None => None,
    };
    Ok(row.map(|row| parsed(&row)).transpose()?)
}

fn log_of<'a>(genesis: &'a GenesisInfo, verified: &'a Verified) -> Log<'a> {
    let GenesisInfo { origin, vrf_public_key, test_log, .. } = genesis;
    Log { origin, vrf_public_key, test_log: *test_log, known: Some(verified.tokens()) }
}

/// Holds what a record says of who decided against its proof, where the log asks for one.
pub(super) fn establish(
    overlay: &Overlay<'_>,
    log: (&GenesisInfo, &Verified),
    record: &ParsedRecord,
    meta: &mut Meta,
) -> Result<(), Stop> {
    let will = established(overlay, log, record, meta.time)?;
    if is_required(overlay, log.0)? {
        meta.authenticated = will.suffices();
    }
    Ok(())
}

fn parsed(row: &v1::IssuerPublished) -> Result<Issuer, ReadError> {
    Issuer::parse(row).map_err(|_| ReadError::Damaged("an issuer of logins".into()))
}
