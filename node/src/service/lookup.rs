//! Identities to tags: who may learn which.

use sillage_ledger::{Party, Refusal};
use sillage_proto::v1::{ResolveTagsRequest, ResolveTagsResponse, ResolvedTag};
use sillage_rules::codes::Code;
use sillage_rules::roles::Roles;

use crate::core::Core;
use crate::refusals::{from_read, not_entitled, refuse};

/// Services that sign or ask, and tag services, learn both tags, readers the open one, a patient its own.
pub(super) async fn resolve(
    core: &Core,
    caller: &Party,
    request: ResolveTagsRequest,
) -> Result<ResolveTagsResponse, Refusal> {
    let count = request.identities.len();
    // Who looked up how many, never whom.
    tracing::info!(target: "audit", caller = %caller.author_id, count, "tags asked for");
    core.take_lookups(caller.author_id, count)?;
    let tags = core.tags();
    let resolved = core.read(move || tags.resolve(&request.identities)).await?;
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    core.metrics().tag_lookups.inc_by(count);
    let mut shown = Vec::with_capacity(resolved.len());
    for (tag, position) in resolved.into_iter().zip(0..) {
        // Looked up for whoever asks, so that each call does the same work.
        let erased = is_erased(core, &tag)?;
        let caller = core.with_own(caller.clone(), &tag.tag).await?;
        if erased && records_alone(&caller, &tag) {
            return Err(refuse(Code::PatientErased).at(position));
        }
        let tag = for_caller(&caller, tag);
        shown.push(tag.map_err(|refusal| refusal.at(position))?);
    }
    Ok(ResolveTagsResponse { tags: shown })
}

/// Tells whether the caller could record anew under a tag, and hasn't to know it otherwise. Readers, auditors and the patient
/// must be able to check an erasure, and the authority erases what was recorded since. A party that can't record, such
/// as a tag service, isn't told who was erased: to it an erased patient is like any other.
fn records_alone(caller: &Party, resolved: &ResolvedTag) -> bool {
    let itself = caller.patient_tag.is_some_and(|own| own[..] == resolved.tag[..]);
    let knows = caller.roles.intersects(Roles::READER | Roles::AUDITOR | Roles::AUTHORITY);
    caller.roles.intersects(Roles::SIGNING) && !itself && !knows
}

fn is_erased(core: &Core, resolved: &ResolvedTag) -> Result<bool, Refusal> {
    let mut erased = false;
    for tag in [&resolved.tag, &resolved.secret_tag] {
        let Ok(tag) = <[u8; 32]>::try_from(&tag[..]) else { continue };
        erased |= core.reader().patient_erasure(&tag).map_err(|error| from_read(&error))?.is_some();
    }
    Ok(erased)
}

fn for_caller(caller: &Party, resolved: ResolvedTag) -> Result<ResolvedTag, Refusal> {
    let own = caller.patient_tag.is_some_and(|own| own[..] == resolved.tag[..]);
    let own = own && caller.roles.contains(Roles::PATIENT);
    if own || caller.roles.intersects(Roles::SIGNING | Roles::ASKING | Roles::TAG) {
        return Ok(resolved);
    }
    if caller.roles.contains(Roles::READER) {
        return Ok(ResolvedTag { secret_tag: Vec::new(), secret_proof: Vec::new(), ..resolved });
    }
    Err(not_entitled("services that sign or ask, tag services and readers, or for a patient's own identity"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::LeafIndex;
    use sillage_proof::keys::AuthorId;

    fn caller(roles: Roles, patient_tag: Option<[u8; 32]>) -> Party {
        Party {
            author_id: AuthorId::from([1; 32]),
            name: "someone".to_owned(),
            roles,
            quota_events_per_s: 0,
            tls_spki_sha256: Vec::new(),
            keys: Vec::new(),
            patient_tag,
            patient_secret_tag: None,
            patient_commitment: None,
            registered_at: LeafIndex(0),
            vouches_for: [0; 3],
        }
    }

    fn resolved() -> ResolvedTag {
        ResolvedTag { tag: vec![7; 32], proof: vec![1; 80], secret_tag: vec![8; 32], secret_proof: vec![2; 80] }
    }

    #[test]
    fn an_erased_patient_is_resolved_for_all_but_those_who_only_record() {
        for roles in [Roles::AUTHOR, Roles::RECORDER | Roles::TAG, Roles::CONSENT_DESK | Roles::OPERATOR] {
            assert!(records_alone(&caller(roles, None), &resolved()));
        }
        for roles in [Roles::READER, Roles::AUTHOR | Roles::AUDITOR, Roles::TAG | Roles::AUTHORITY, Roles::TAG] {
            assert!(!records_alone(&caller(roles, None), &resolved()));
        }
        // Another patient's device is refused for what it is, and learns nothing.
        for own in [[7; 32], [9; 32]] {
            assert!(!records_alone(&caller(Roles::PATIENT, Some(own)), &resolved()));
        }
    }

    #[test]
    fn the_secret_tag_is_for_authors_tag_services_and_the_patient_itself() {
        for roles in [Roles::AUTHOR, Roles::RECORDER, Roles::TAG, Roles::TAG | Roles::READER] {
            assert_eq!(for_caller(&caller(roles, None), resolved()), Ok(resolved()));
        }
        let itself = caller(Roles::PATIENT, Some([7; 32]));
        assert_eq!(for_caller(&itself, resolved()), Ok(resolved()));
        let reader = for_caller(&caller(Roles::READER, None), resolved()).expect("the open one");
        assert_eq!(reader.tag, resolved().tag);
        assert!(reader.secret_tag.is_empty() && reader.secret_proof.is_empty());
        for stranger in [caller(Roles::PATIENT, Some([9; 32])), caller(Roles::OPERATOR, Some([7; 32]))] {
            let refused = for_caller(&stranger, resolved()).map_err(|refusal| refusal.code);
            assert_eq!(refused, Err(Code::NotEntitled));
        }
    }
}
