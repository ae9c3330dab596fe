//! What decides on a patient's data, and the register of broken glass: who may read them.

use sillage_ledger::{Party, Refusal};
use sillage_proto::v1::{ListBreakGlassRequest, ListBreakGlassResponse, RuleRecordsRequest, RuleRecordsResponse};
use sillage_rules::roles::Roles;
use tonic::Request;

use super::caller::{party, with_role};
use super::reading::tag;
use crate::core::Core;
use crate::core::consulted::{Read, is_patient_itself};
use crate::core::refusals::not_entitled;
use crate::core::rule_records::RULE_RECORDS_MAX;
use crate::core::{glass, rule_records};

/// The roles that read what decides of any patient.
const OF_ANYONE: Roles = Roles::READER.with(Roles::CONSENT_DESK).with(Roles::AUTHOR);

/// Whether a party may open the records that decide on a patient. The one place where that is said.
fn may_open_rules(caller: &Party, tag: &[u8; 32]) -> bool {
    caller.roles.intersects(OF_ANYONE) || is_patient_itself(caller, tag)
}

/// The records that decide, for whoever may open them. On record, unless it is the patient.
pub(super) async fn rule_records(
    core: &Core,
    request: Request<RuleRecordsRequest>,
) -> Result<RuleRecordsResponse, Refusal> {
    let who = "readers, consent desks, and patients for themselves";
    let tag = tag(&request.get_ref().tag)?;
    let caller = core.with_own(party(core, &request).await?, &tag).await?;
    let caller = match may_open_rules(&caller, &tag) {
        true => caller,
        // The role may have been given a moment ago, through another node.
        false => {
            core.up_to_date().await?;
            core.with_own(party(core, &request).await?, &tag).await?
        }
    };
    if !may_open_rules(&caller, &tag) {
        return Err(not_entitled(who));
    }
    let request = request.into_inner();
    let taken = if request.limit == 0 { RULE_RECORDS_MAX } else { request.limit.min(RULE_RECORDS_MAX) }.into();
    core.take_reading(&caller, !is_patient_itself(&caller, &tag), taken)?;
    tracing::info!(target: "audit", caller = %caller.author_id, "what decides for a patient was read");
    core.up_to_date().await?;
    let (reader, opener) = (core.reader().clone(), core.opener());
    let (page, cost) = core.read(move || rule_records::page(&reader, &opener, &tag, &request)).await?;
    core.charge_rows(caller.author_id, cost, taken);
    core.read_of(&caller, &tag, Read::Rules).await?;
    Ok(page)
}

/// The register of broken glass, for auditors and readers. On record, also in the traces of the patients concerned.
pub(super) async fn break_glasses(
    core: &Core,
    request: Request<ListBreakGlassRequest>,
) -> Result<ListBreakGlassResponse, Refusal> {
    let caller = with_role(core, &request, Roles::AUDITOR | Roles::READER, "auditors and readers").await?;
    let request = request.into_inner();
    let taken = glass::rows(request.limit)?.into();
    // Why the glass was broken stands in traces, which auditors don't read.
    let with_reason = caller.roles.contains(Roles::READER);
    core.take_reading(&caller, true, taken)?;
    tracing::info!(target: "audit", caller = %caller.author_id, "the register of broken glass was read");
    core.up_to_date().await?;
    let (reader, opener) = (core.reader().clone(), core.opener());
    let (page, cost) = core.read(move || glass::page(&reader, &opener, &request, with_reason)).await?;
    core.charge_rows(caller.author_id, cost, taken);
    let patients = page.rows.iter().filter_map(|row| row.tag[..].try_into().ok()).collect();
    core.read_register(&caller, &patients).await?;
    Ok(page)
}
