//! How a session begins and ends. The party that logs people in makes the record of the opening ([`opened`]); whoever has the
//! session's key looks what it is asked to sign ([`check_opened`]) and signs it ([`sign_opened`]); the first one records it.

use sillage_proof::batch::Origin;
use sillage_proof::hash::Hash;
use sillage_proof::keys::{AuthorId, PublicKey};
use sillage_proto::v1;
use sillage_rules::doors::session::{SessionClosed, SessionDetails};
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;

use super::{ProvenTag, Subject};
use crate::consent::who::Acting;
use crate::error::{ClientError, failed};
use crate::will;

fn record(kind: Kind, tag: &ProvenTag, acting: &Acting, details: String, at_ms: u64) -> v1::Record {
    v1::Record {
        actor: Some(acting.actor.clone()),
        auth: acting.auth.clone(),
        details,
        ..new_message(kind, Some(tag.tag.as_bytes()), at_ms)
    }
}

/// Where the session of this subject stands: under the secret tag, or where a representative acts, under the open one.
fn place(subject: &Subject) -> &ProvenTag {
    subject.secret.as_ref().unwrap_or(&subject.open)
}

/// The record that opens a session which `portal` may use, without its will.
pub fn opened(subject: &Subject, portal: AuthorId, acting: &Acting, at_ms: u64) -> v1::Record {
    let open = subject.secret.is_some().then_some(&subject.open);
    let details = SessionDetails {
        portal,
        open_tag: open.map(|open| Hash::from_bytes(open.tag.to_bytes())),
        open_proof: open.map(|open| hex::encode(open.proof)),
    };
    let details = serde_json::to_string(&details).expect("plain data");
    record(Kind::SESSION_OPENED, place(subject), acting, details, at_ms)
}

/// Checks what the session's key is asked to sign: the opening of a session of this subject, which `portal` uses, by `acting`. Whoever
/// logs people in could else have a decision signed.
///
/// # Errors
/// [`ClientError::Check`].
pub fn check_opened(
    record: &v1::Record,
    subject: &Subject,
    portal: AuthorId,
    acting: &Acting,
) -> Result<(), ClientError> {
    match opened(subject, portal, acting, record.occurred_at_ms) == *record {
        true => Ok(()),
        false => Err(failed("the login asks for another signature than that of a session's opening")),
    }
}

/// The will of an opening.
pub fn sign_opened(origin: &Origin, record: &v1::Record, subject: &Subject, login: &will::Session) -> v1::Will {
    // Of a representative, the login proves the person; no tag is theirs.
    let proof = subject.secret.as_ref().map(|own| own.proof.to_vec()).unwrap_or_default();
    login.decide(origin, record, proof)
}

/// The record that ends a session.
pub(super) fn closed(subject: &Subject, acting: &Acting, session: &PublicKey, at_ms: u64) -> v1::Record {
    let details = SessionClosed { session: Hash::from_bytes(session.to_bytes()) };
    let details = serde_json::to_string(&details).expect("plain data");
    // It carries no login: that would be said, and not proven.
    v1::Record { auth: None, ..record(Kind::SESSION_CLOSED, place(subject), acting, details, at_ms) }
}
