//! The records that decide on a patient's data, and the register of broken glass: who may read them.

use sillage_ledger::{Party, Refusal};
use sillage_proto::v1::{ListBreakGlassRequest, ListBreakGlassResponse, RuleRecordsRequest, RuleRecordsResponse};
use sillage_rules::roles::Roles;
use tonic::Request;

use super::caller::{party, with_role};
use super::reading::in_session;
use crate::core::Core;
use crate::core::disclose::devices::is_patient_itself;
use crate::core::disclose::{Disclosed, tag_of};
use crate::refusals::not_entitled;

/// The roles that read what decides of any patient.
const OF_ANYONE: Roles = Roles::READER.with(Roles::CONSENT_DESK).with(Roles::AUTHOR);

/// Tells whether a party may open the records that decide on a patient. The one place where that is said.
fn may_open_rules(caller: &Party, tag: &[u8; 32]) -> bool {
    caller.roles.intersects(OF_ANYONE) || is_patient_itself(caller, tag)
}

/// The records that decide, for whoever may open them. On record, unless it is the patient.
pub(super) async fn handle_rule_records(
    core: &Core,
    request: Request<RuleRecordsRequest>,
) -> Result<Disclosed<RuleRecordsResponse>, Refusal> {
    let who = "readers, consent desks, patients for themselves, and portals under an open session";
    let tag = tag_of(&request.get_ref().tag)?;
    let caller = core.with_own(party(core, &request).await?, &tag).await?;
    let caller = match may_open_rules(&caller, &tag) {
        true => caller,
        // The role may have been given a moment ago, through another node.
        false => {
            core.up_to_date().await?;
            core.with_own(party(core, &request).await?, &tag).await?
        }
    };
    if !may_open_rules(&caller, &tag) && !in_session(core, &caller, &tag).await? {
        return Err(not_entitled(who));
    }
    core.disclose(&caller, request.into_inner()).await
}

/// The register of broken glass, for auditors and readers. On record, also in the traces of the patients concerned.
pub(super) async fn handle_list_break_glass(
    core: &Core,
    request: Request<ListBreakGlassRequest>,
) -> Result<Disclosed<ListBreakGlassResponse>, Refusal> {
    let caller = with_role(core, &request, Roles::AUDITOR | Roles::READER, "auditors and readers").await?;
    core.disclose(&caller, request.into_inner()).await
}
