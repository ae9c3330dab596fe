//! Voided records: who may ask what an act would void, and what is to be reviewed because of one.

use sillage_ledger::Refusal;
use sillage_proto::v1::{PreviewVoidingRequest, PreviewVoidingResponse, ReviewVoidedRequest, ReviewVoidedResponse};
use sillage_rules::roles::Roles;
use tonic::Request;

use super::caller::with_role;
use crate::core::disclose::Disclosed;
use crate::core::{Core, voided};

/// The cost of a page, of what a caller may have opened in a second.
const PAGE_COST: u64 = 100;

/// The records that an act would void, for the authority.
pub(super) async fn handle_preview_voiding(
    core: &Core,
    request: Request<PreviewVoidingRequest>,
) -> Result<Disclosed<PreviewVoidingResponse>, Refusal> {
    let caller = with_role(core, &request, Roles::AUTHORITY, "the authority").await?;
    core.disclose(&caller, request.into_inner()).await
}

/// Acts that voided records and decisions to review, for the authority and auditors.
pub(super) async fn handle_review_voided(
    core: &Core,
    request: Request<ReviewVoidedRequest>,
) -> Result<ReviewVoidedResponse, Refusal> {
    let caller = with_role(core, &request, Roles::AUTHORITY | Roles::AUDITOR, "the authority and auditors").await?;
    core.take_reading(&caller, false, PAGE_COST)?;
    tracing::info!(target: "audit", caller = %caller.author_id, "asked what was made while voided records counted");
    let request = request.into_inner();
    core.up_to_date().await?;
    let reader = core.reader().clone();
    core.read(move || voided::review(&reader, &request)).await
}
