//! What decides on a patient's data, and the register of broken glass: who may read them.

use sillage_ledger::Refusal;
use sillage_proto::v1::{ListBreakGlassRequest, ListBreakGlassResponse, RuleRecordsRequest, RuleRecordsResponse};
use sillage_rules::roles::Roles;
use tonic::Request;

use super::caller::with_role;
use super::reading::tag;
use crate::core::Core;
use crate::core::consulted::{Read, is_patient_itself, register_read};
use crate::core::refusals::not_entitled;
use crate::core::rule_records::RULE_RECORDS_MAX;
use crate::core::{glass, rule_records};

/// The roles that read what decides of any patient.
const OF_ANYONE: Roles = Roles::READER.with(Roles::CONSENT_DESK).with(Roles::AUTHOR);

/// The records that decide, for a reader, a consent desk, or the patient itself. On record, unless it is the patient.
pub(super) async fn rule_records(
    core: &Core,
    request: Request<RuleRecordsRequest>,
) -> Result<RuleRecordsResponse, Refusal> {
    let who = "readers, consent desks, and patients for themselves";
    let roles = OF_ANYONE | Roles::PATIENT;
    let caller = with_role(core, &request, roles, who).await?;
    let request = request.into_inner();
    let tag = tag(&request.tag)?;
    if !caller.roles.intersects(OF_ANYONE) && !is_patient_itself(&caller, &tag) {
        return Err(not_entitled(who));
    }
    let cost = if request.limit == 0 { RULE_RECORDS_MAX } else { request.limit.min(RULE_RECORDS_MAX) };
    core.take_opened(caller.author_id, cost.into())?;
    tracing::info!(target: "audit", caller = %caller.author_id, "what decides for a patient was read");
    core.up_to_date().await?;
    let (reader, opener) = (core.reader().clone(), core.opener());
    let page = core.read(move || rule_records::page(&reader, &opener, &tag, &request)).await?;
    core.read_of(&caller, &tag, Read::Rules).await?;
    Ok(page)
}

/// The register of broken glass, for auditors and readers. On record.
pub(super) async fn break_glasses(
    core: &Core,
    request: Request<ListBreakGlassRequest>,
) -> Result<ListBreakGlassResponse, Refusal> {
    let caller = with_role(core, &request, Roles::AUDITOR | Roles::READER, "auditors and readers").await?;
    let request = request.into_inner();
    core.take_opened(caller.author_id, glass::rows(request.limit)?.into())?;
    tracing::info!(target: "audit", caller = %caller.author_id, "the register of broken glass was read");
    core.up_to_date().await?;
    let (reader, opener) = (core.reader().clone(), core.opener());
    let page = core.read(move || glass::page(&reader, &opener, &request)).await?;
    core.put_on_record(register_read(&caller)?).await?;
    Ok(page)
}
