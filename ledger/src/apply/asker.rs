//! The asker of a decision, and how they are established: the actor's login, the patient's own key, or the word of the
//! party that signs.

use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::consent::name::PERSON_SYSTEM;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::vouching::{ANY, Vouched};
use sillage_rules::will::ProvenWill;

use super::check::Signer;
use super::{vouching, will};
use crate::error::{Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::verified::Verified;

/// How it is established who asks.
pub(super) struct AskerProof {
    /// By a login, as far as the log asks for one.
    pub authenticated: bool,
    /// See [`sillage_rules::decide::Request::word_of`].
    pub word_of: Option<AuthorId>,
    /// The part of it that goes on record.
    pub asker: Option<v1::DecisionAsker>,
}

impl AskerProof {
    /// Of a request that `key_id` signs, a key of the party `signer`, at `time`. `own_device`: the patient's, for the patient.
    ///
    /// # Errors
    /// With the fault of the proof that it carries; `AUTHENTICATION_MISSING` of a person who is nobody without a login.
    pub fn of(
        overlay: &Overlay<'_>,
        log: (&GenesisInfo, &Verified),
        (signer, key_id, own_device): (&Signer, &KeyId, bool),
        request: &ParsedRequest,
        time: LedgerTimeMs,
    ) -> Result<Self, Stop> {
        let proven = will::of_request(overlay, log, (request, key_id), time)?;
        if !will::is_required_of_requests(overlay, log.0)? {
            return Ok(Self { authenticated: request.is_authenticated(), word_of: None, asker: None });
        }
        let proven = proven.filter(ProvenWill::suffices);
        let authenticated = proven.is_some();
        if request.actor().name.system() == PERSON_SYSTEM && !authenticated {
            // The same whether they represent the patient, were permitted something, or neither.
            let missing = Refusal::new(Code::AuthenticationMissing, Code::AuthenticationMissing.way_out());
            return Err(will::or_no_issuer(overlay, log.0, missing.into()));
        }
        let party = signer.key.author_id;
        let on_word = !authenticated
            && !own_device
            && signer.roles.is_bound()
            && !vouching::vouches(overlay, &party, Vouched::Structure, ANY)?;
        let asker =
            v1::DecisionAsker { own_key: own_device, ..proven.map(|proven| proven.to_asker()).unwrap_or_default() };
        Ok(Self { authenticated, word_of: on_word.then_some(party), asker: Some(asker) })
    }
}
