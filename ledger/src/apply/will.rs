//! Whose logins prove a will, and whether that of a record is proven.
//!
//! Every check rests on the log alone: the issuers from acts and the genesis, the time from the ledger, the patient's tag
//! by the VRF proof that the record brings along. So every node comes to the same verdict, those without the VRF key too.

use sillage_proof::hash::{Hash, LedgerTimeMs, sha256};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::Meta;
use sillage_rules::kind::Kind;
use sillage_rules::limits::ISSUERS_MAX;
use sillage_rules::record::ParsedRecord;
use sillage_rules::will::issuer::Issuer;
use sillage_rules::will::{self, Log, Will};

use super::Stop;
use super::acts::refused;
use super::check::Record;
use super::feature::{ROLES, feature_level_reached};
use super::overlay::Overlay;
use crate::error::{ReadError, Refusal};
use crate::genesis::GenesisInfo;

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

/// Whether the log takes no will on a service's word: an issuer is on record, withdrawn or not. A log that has none yet goes
/// on as before, so that nobody is kept from revoking a consent by an update.
pub(super) fn is_required(overlay: &Overlay<'_>) -> Result<bool, ReadError> {
    Ok(feature_level_reached(overlay, ROLES)? && overlay.issuers()? > 0)
}

/// Whether the record is opened for its will alone.
pub(super) fn opens(overlay: &Overlay<'_>, record: &Record<'_>) -> Result<bool, ReadError> {
    Ok(record.kind == Kind::CONTEST_OPENED && is_required(overlay)?)
}

/// How the will of a record is established, at `at`.
///
/// # Errors
/// What is wrong with the proof that it carries, or that not every node knows such proofs yet.
pub(crate) fn established(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    record: &ParsedRecord,
    at: LedgerTimeMs,
) -> Result<Will, Stop> {
    let message = record.message();
    if message.will.is_some() && !feature_level_reached(overlay, ROLES)? {
        let what = "not every node of this log knows the field `will` yet: update all of them, then send it again";
        return Err(Refusal::new(Code::MalformedRecord, what).into());
    }
    let issuer = match will::issuer_named(message)? {
        Some(url) => overlay.issuer(&issuer_name(&url))?,
        None => None,
    };
    let issuer = issuer.map(|row| parsed(&row)).transpose()?;
    let log = Log { origin: &genesis.origin, vrf_public_key: &genesis.vrf_public_key, test_log: genesis.test_log };
    Ok(will::of(record, issuer.as_ref(), &log, at)?)
}

/// Holds what a record says of who decided against its proof, where the log asks for one.
pub(super) fn establish(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    record: &ParsedRecord,
    meta: &mut Meta,
) -> Result<(), Stop> {
    let will = established(overlay, genesis, record, meta.time)?;
    if is_required(overlay)? {
        meta.authenticated = will.suffices();
    }
    Ok(())
}

fn parsed(row: &v1::IssuerPublished) -> Result<Issuer, ReadError> {
    Issuer::parse(row).map_err(|_| ReadError::Damaged("an issuer of logins".into()))
}
