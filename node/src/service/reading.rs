//! Tiles for anyone, entries for auditors, and what a patient bundle needs.

use std::sync::Arc;

use sillage_ledger::{Party, Refusal};
use sillage_proof::tile::TileCoord;
use sillage_proto::v1::{
    GetEntriesRequest, GetEntryRequest, GetEntryResponse, GetTileRequest, GetTileResponse, PatientEntriesRequest,
    PatientEntriesResponse, ProvePatientRequest, ProvePatientResponse, TraceRequest, TraceResponse,
};
use sillage_rules::codes::Code;
use sillage_rules::roles::Roles;
use tonic::Request;

use super::caller::{by_spki, party, with_role};
use crate::core::Core;
use crate::core::disclose::devices::is_patient_itself;
use crate::core::disclose::entries::Entries;
use crate::core::disclose::entry::READERS_OF_ENTRIES;
use crate::core::disclose::{Disclosed, tag_of};
use crate::refusals::{not_entitled, refuse};
use crate::tls::Caller;

const TILE_WIDTH: u32 = sillage_proof::tile::TILE_WIDTH as u32;

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::MalformedRequest, what.to_owned())
}

/// A hash tile, as far as the newest checkpoint covers it.
pub(super) async fn handle_get_tile(core: &Core, request: Request<GetTileRequest>) -> Result<GetTileResponse, Refusal> {
    party(core, &request).await?;
    let coord = coord(request.get_ref())?;
    Ok(GetTileResponse { hashes: core.tile(coord).await? })
}

fn coord(request: &GetTileRequest) -> Result<TileCoord, Refusal> {
    let level = u8::try_from(request.level).ok().filter(|level| *level <= 63);
    let level = level.ok_or_else(|| malformed("a tile level is 0 to 63"))?;
    let width = match request.width {
        0 => TILE_WIDTH,
        width => width,
    };
    let width = u16::try_from(width).ok().filter(|width| u32::from(*width) <= TILE_WIDTH);
    let width = width.ok_or_else(|| malformed("a tile is 1 to 256 hashes wide"))?;
    Ok(TileCoord { level, index: request.index, width })
}

/// Entries, for an auditor; or for a gateway, itself an auditor, on behalf of one.
pub(super) async fn handle_get_entries(
    core: &Arc<Core>,
    request: Request<GetEntriesRequest>,
) -> Result<Entries, Refusal> {
    let who = "auditors";
    let caller = with_role(core, &request, Roles::AUDITOR, who).await?;
    let from = request.extensions().get::<Caller>().copied().ok_or_else(|| refuse(Code::NoCertificate))?;
    let GetEntriesRequest { first, count, on_behalf_spki } = request.into_inner();
    let on_behalf = match on_behalf_spki.is_empty() {
        true => None,
        false => Some(auditor_behind(core, &on_behalf_spki).await?),
    };
    core.take_reading(on_behalf.as_ref().map_or(&caller, |(_, auditor)| auditor), true, 0)?;
    // Who asks has the share, not the gateway that many ask through.
    let share = core.take_entry_stream(on_behalf.as_ref().map_or(from.spki_sha256, |(spki, _)| *spki))?;
    match &on_behalf {
        Some((_, auditor)) => core.entries(auditor, Some(&caller), first, count, share).await,
        None => core.entries(&caller, None, first, count, share).await,
    }
}

/// The party that asked a gateway, by its certificate.
async fn auditor_behind(core: &Core, spki: &[u8]) -> Result<([u8; 32], Party), Refusal> {
    let spki = <[u8; 32]>::try_from(spki).map_err(|_| malformed("`on_behalf_spki` is 32 bytes"))?;
    let party = by_spki(core, &spki).await.map_err(|refusal| match refusal.code {
        Code::UnknownCaller => not_entitled("auditors, and the certificate that asked the gateway is nobody's"),
        _ => refusal,
    })?;
    match party.roles.contains(Roles::AUDITOR) {
        true => Ok((spki, party)),
        false => Err(not_entitled("auditors")),
    }
}

/// A page of a patient's trace.
pub(super) async fn handle_trace(
    core: &Core,
    request: Request<TraceRequest>,
) -> Result<Disclosed<TraceResponse>, Refusal> {
    let caller = reader_of(core, &request, &request.get_ref().tag).await?;
    let page = core.disclose(&caller, request.into_inner()).await?;
    core.metrics().trace_reads.inc();
    Ok(page)
}

/// One entry.
pub(super) async fn handle_get_entry(
    core: &Core,
    request: Request<GetEntryRequest>,
) -> Result<Disclosed<GetEntryResponse>, Refusal> {
    let roles = Roles::AUDITOR | Roles::AUTHORITY | Roles::SIGNING;
    let caller = with_role(core, &request, roles, READERS_OF_ENTRIES).await?;
    core.disclose(&caller, request.into_inner()).await
}

/// A patient's place in the index.
pub(super) async fn handle_prove_patient(
    core: &Core,
    request: Request<ProvePatientRequest>,
) -> Result<Disclosed<ProvePatientResponse>, Refusal> {
    let tag = tag_of(&request.get_ref().tag)?;
    let caller = reader_of(core, &request, &tag).await?;
    core.disclose(&caller, request.into_inner()).await
}

/// Entries of a patient, with what leads to their authors.
pub(super) async fn handle_patient_entries(
    core: &Core,
    request: Request<PatientEntriesRequest>,
) -> Result<Disclosed<PatientEntriesResponse>, Refusal> {
    let tag = tag_of(&request.get_ref().tag)?;
    let caller = reader_of(core, &request, &tag).await?;
    let page = core.disclose(&caller, request.into_inner()).await?;
    core.metrics().trace_reads.inc();
    Ok(page)
}

/// The readers of a patient's trace: readers of any; a patient its own, under both tags; a portal that of a patient with an open
/// session. An auditor replays entries, for
/// which no payload need be opened.
async fn reader_of<T>(core: &Core, request: &Request<T>, tag: &[u8]) -> Result<Party, Refusal> {
    let who = "readers, patients for themselves, and portals under an open session";
    let caller = with_role(core, request, Roles::READER | Roles::PATIENT | Roles::PORTAL, who).await?;
    let caller = core.with_own(caller, tag).await?;
    let may = caller.roles.contains(Roles::READER) || is_patient_itself(&caller, tag);
    match may || in_session(core, &caller, tag).await? {
        true => Ok(caller),
        false => Err(not_entitled(who)),
    }
}

/// Tells whether a portal has an open session of a patient. It may have been opened a moment ago, through another node.
pub(super) async fn in_session(core: &Core, caller: &Party, tag: &[u8]) -> Result<bool, Refusal> {
    if !caller.roles.contains(Roles::PORTAL) {
        return Ok(false);
    }
    // One that was closed a moment ago, too.
    core.up_to_date().await?;
    core.is_in_session(caller, tag).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_request_names_one_tile_or_none() {
        let asked = |level, width| coord(&GetTileRequest { level, index: 5, width });
        assert_eq!(asked(1, 0), Ok(TileCoord::full(1, 5)));
        assert_eq!(asked(63, 17), Ok(TileCoord { level: 63, index: 5, width: 17 }));
        assert!(asked(64, 1).is_err() && asked(256, 1).is_err() && asked(0, 257).is_err());
    }
}
