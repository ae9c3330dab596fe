//! The calls, each with the roles that `ledger.proto` names.

use std::sync::Arc;

use sillage_ledger::{KeyState, Party, Refusal, StreamInfo};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1::ledger_server::Ledger;
use sillage_proto::v1::{self, *};
use sillage_rules::authority::RuleChange;
use sillage_rules::codes::Code;
use sillage_rules::node_set::{NodeSet, SetNode};
use sillage_rules::roles::Roles;
use sillage_rules::stream::StreamLabel;
use tonic::{Request, Response, Status};

use super::caller::{self, party, registration, with_role};
use super::{consent, doors, lookup, reading, voided};
use crate::core::Core;
use crate::core::disclose::Disclosed;
use crate::core::disclose::entries::Entries;
use crate::refusals::{from_read, not_entitled, refuse, to_status};

/// Streams listed in one answer.
const STREAMS_MAX: usize = 10_000;
/// Parties of a page where the caller doesn't say, and at most.
const PARTIES_DEFAULT: u32 = 100;
const PARTIES_MAX: u32 = 1_000;
/// Names of each kind that a party vouches for, as parties are listed: it may have thousands.
const VOUCHING_SHOWN: usize = 64;

pub(super) struct LedgerService {
    core: Arc<Core>,
}

type RpcResult<T> = Result<Response<T>, Status>;

impl LedgerService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    fn answer<T>(&self, result: Result<T, Refusal>) -> RpcResult<T> {
        result.map(Response::new).map_err(|refusal| self.refused(&refusal))
    }

    /// Gives what was read: it is on record.
    fn give<T>(&self, result: Result<Disclosed<T>, Refusal>) -> RpcResult<T> {
        result.map(Disclosed::into_response).map_err(|refusal| self.refused(&refusal))
    }

    /// The one place where refusals are counted and become statuses.
    fn refused(&self, refusal: &Refusal) -> Status {
        self.core.metrics().refused(refusal.code.as_str());
        to_status(refusal)
    }

    async fn handle_get_log(&self, request: Request<GetLogRequest>) -> Result<GetLogResponse, Refusal> {
        let caller = party(&self.core, &request).await?;
        let (rotations, more_rotations) = self.core.key_rotations(request.into_inner().rotations_from).await?;
        let reader = self.core.reader().clone();
        let nodes = self.core.read(move || reader.node_set().map_err(|error| from_read(&error))).await?;
        Ok(GetLogResponse {
            genesis: self.core.genesis().bytes.clone(),
            log_vkey: self.core.log_vkey()?,
            caller: Some(registration(&self.core, &caller)?),
            caller_author_id: caller.author_id.as_bytes().to_vec(),
            rotations,
            more_rotations,
            nodes: nodes.nodes.iter().map(|node| log_node(node, &nodes)).collect(),
            node_set_epoch: nodes.epoch,
            feature_level: self.core.reader().feature_level(),
        })
    }

    async fn handle_submit(&self, request: Request<SubmitRequest>) -> Result<SubmitResponse, Refusal> {
        let roles = Roles::SIGNING | Roles::AUTHORITY | Roles::PATIENT | Roles::PORTAL;
        let who = "services that sign records, the authority, and patients for what they decide";
        let caller = with_role(&self.core, &request, roles, who).await;
        let ended = caller::registered(&self.core, request.extensions().get::<crate::tls::Caller>());
        let missing = || Refusal::new(Code::MalformedRequest, "the request has no batch");
        let batch = request.into_inner().batch.ok_or_else(missing);
        match caller {
            Ok(caller) => self.core.submit_from(Some(caller.author_id), batch?).await,
            Err(refusal) if caller::is_ended(&refusal) => match (ended, batch) {
                (Ok(party), Ok(batch)) => self.core.receipt_again(&party, batch, refusal).await,
                _ => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        }
    }

    async fn handle_authorize(&self, request: Request<AuthorizeRequest>) -> Result<AuthorizeResponse, Refusal> {
        let caller = with_role(&self.core, &request, Roles::ASKING, "deciders").await?;
        self.core.authorize(&caller, request.into_inner()).await
    }

    async fn handle_stream_status(
        &self,
        request: Request<StreamStatusRequest>,
    ) -> Result<StreamStatusResponse, Refusal> {
        let roles = Roles::SIGNING | Roles::AUTHORITY | Roles::PATIENT | Roles::PORTAL;
        let caller = with_role(&self.core, &request, roles, "services that sign records").await?;
        self.core.up_to_date().await?;
        let label = request.into_inner().stream_label;
        let author = caller.author_id;
        let reader = self.core.reader().clone();
        let streams = self.core.read(move || {
            if label.is_empty() {
                let streams = reader.streams_of(&author, None, STREAMS_MAX);
                let streams = streams.map_err(|error| from_read(&error))?;
                return Ok(streams.into_iter().map(stream_state).collect());
            }
            let parsed = StreamLabel::parse(&label);
            let parsed = parsed.map_err(|_| refuse(Code::InvalidStreamLabel))?;
            let stream_id = parsed.stream_id(&author);
            let stream = reader.stream(&stream_id).map_err(|error| from_read(&error))?;
            // Nothing recorded yet is an answer too: number 1 is next.
            let nothing_yet = StreamState { label, stream_id: stream_id.as_bytes().to_vec(), ..StreamState::default() };
            Ok(vec![stream.map_or(nothing_yet, stream_state)])
        });
        Ok(StreamStatusResponse { streams: streams.await? })
    }

    async fn handle_resolve_tags(&self, request: Request<ResolveTagsRequest>) -> Result<ResolveTagsResponse, Refusal> {
        let roles = Roles::SIGNING | Roles::ASKING | Roles::TAG | Roles::READER | Roles::PATIENT;
        let who = "services that sign records or ask for decisions, tag services, readers and patients";
        let caller = with_role(&self.core, &request, roles, who).await?;
        lookup::resolve(&self.core, &caller, request.into_inner()).await
    }

    async fn handle_get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<GetCheckpointResponse, Refusal> {
        party(&self.core, &request).await?;
        let GetCheckpointRequest { size_min, cosigners } = request.into_inner();
        // What was acknowledged before the question is under the answer, where a checkpoint is made in time.
        self.core.up_to_date().await?;
        let reader = self.core.reader();
        if cosigners.is_empty() {
            // What the index commit covers already but nobody has signed yet, too.
            let all = reader.tree_size().get().max(size_min);
            if let Ok(found) = self.core.checkpoint(all, &cosigners).await {
                return Ok(GetCheckpointResponse { note: found.note.clone() });
            }
        }
        let found = self.core.checkpoint(size_min, &cosigners).await?;
        Ok(GetCheckpointResponse { note: found.note.clone() })
    }

    async fn handle_add_cosignature(
        &self,
        request: Request<AddCosignatureRequest>,
    ) -> Result<AddCosignatureResponse, Refusal> {
        let caller = with_role(&self.core, &request, Roles::AUDITOR, "auditors").await?;
        let kept = self.core.add_cosignature(&caller, &request.into_inner().note).await?;
        Ok(AddCosignatureResponse { note: kept.note.clone() })
    }

    async fn handle_prove_inclusion(
        &self,
        request: Request<ProveInclusionRequest>,
    ) -> Result<ProveInclusionResponse, Refusal> {
        party(&self.core, &request).await?;
        let ProveInclusionRequest { index, size } = request.into_inner();
        self.core.prove_inclusion(index, size).await
    }

    async fn handle_prove_consistency(
        &self,
        request: Request<ProveConsistencyRequest>,
    ) -> Result<ProveConsistencyResponse, Refusal> {
        party(&self.core, &request).await?;
        let ProveConsistencyRequest { old_size, new_size } = request.into_inner();
        self.core.prove_consistency(old_size, new_size).await
    }

    async fn handle_list_parties(&self, request: Request<ListPartiesRequest>) -> Result<ListPartiesResponse, Refusal> {
        let roles = Roles::OPERATOR | Roles::AUDITOR;
        with_role(&self.core, &request, roles, "operators and auditors").await?;
        self.core.up_to_date().await?;
        let ListPartiesRequest { after, limit } = request.into_inner();
        let after = match after.is_empty() {
            true => None,
            false => Some(
                AuthorId::from_slice(&after)
                    .map_err(|_| Refusal::new(Code::MalformedRequest, "`after` is an author id of 32 bytes"))?,
            ),
        };
        let limit = if limit == 0 { PARTIES_DEFAULT } else { limit.min(PARTIES_MAX) };
        let limit = usize::try_from(limit).expect("at most 1,000");
        let core = Arc::clone(&self.core);
        let parties = move || {
            let parties = core.reader().parties(after.as_ref(), limit);
            let parties = parties.map_err(|error| from_read(&error))?;
            parties.iter().map(|party| described(&core, party)).collect()
        };
        let rule = authority_rule(&self.core)?;
        Ok(ListPartiesResponse { parties: self.core.read(parties).await?, rule })
    }

    async fn handle_erasures(&self, request: Request<ErasuresRequest>) -> Result<ErasuresResponse, Refusal> {
        let roles = Roles::AUTHORITY | Roles::OPERATOR;
        let caller = with_role(&self.core, &request, roles, "the authority and operators").await?;
        let request = request.into_inner();
        let now = request.finish_now;
        tracing::info!(target: "audit", caller = %caller.author_id, now, "asked where erasures stand");
        self.core.erasures(request).await
    }

    async fn handle_members(&self, request: Request<MembersRequest>) -> Result<MembersResponse, Refusal> {
        operator(&self.core, &request)?;
        self.core.members().await
    }

    async fn handle_change_member(
        &self,
        request: Request<ChangeMemberRequest>,
    ) -> Result<ChangeMemberResponse, Refusal> {
        let roles = Roles::AUTHORITY | Roles::OPERATOR;
        let caller = with_role(&self.core, &request, roles, "the authority and operators").await?;
        let request = request.into_inner();
        let (step, node) = (request.step().as_str_name(), request.id);
        tracing::info!(target: "audit", caller = %caller.author_id, step, node, "asked to change the nodes of the group");
        // A task of its own: a caller that goes away must not stop between Raft's change and its answer.
        let core = Arc::clone(&self.core);
        let changed = tokio::spawn(async move { core.change_member(request).await });
        changed.await.unwrap_or_else(|_| Err(refuse(Code::Internal)))
    }

    async fn handle_move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<MoveLeaderResponse, Refusal> {
        let roles = Roles::AUTHORITY | Roles::OPERATOR;
        let caller = with_role(&self.core, &request, roles, "the authority and operators").await?;
        let node = request.into_inner().id;
        tracing::info!(target: "audit", caller = %caller.author_id, node, "asked to move the leader");
        Ok(MoveLeaderResponse { leader: self.core.move_leader(node).await? })
    }

    async fn handle_cluster_status(
        &self,
        request: Request<ClusterStatusRequest>,
    ) -> Result<ClusterStatusResponse, Refusal> {
        operator(&self.core, &request)?;
        let nodes = match request.into_inner().local_only {
            true => vec![self.core.local_status()],
            false => self.core.cluster_status().await,
        };
        Ok(ClusterStatusResponse { nodes, rule: authority_rule(&self.core)? })
    }
}

/// How many authorities sign what touches many, as this node has it; `None`: each alone.
fn authority_rule(core: &Core) -> Result<Option<AuthorityRule>, Refusal> {
    let rule = core.reader().authority_rule().map_err(|error| from_read(&error))?;
    Ok(rule.map(|rule| RuleChange::Rule(rule).to_message()))
}

/// The status is asked for when nothing else works: without a leader too, so it asks the group for nothing.
fn operator<T>(core: &Core, request: &Request<T>) -> Result<(), Refusal> {
    let caller = request.extensions().get::<crate::tls::Caller>();
    let spki = caller.ok_or_else(|| refuse(Code::NoCertificate))?.spki_sha256;
    let party = core.reader().party_by_tls_spki(&spki);
    let party = party.map_err(|error| from_read(&error))?;
    let known = party.filter(|party| !party.roles.is_empty());
    let known = known.ok_or_else(|| refuse(Code::UnknownCaller))?;
    match known.roles.contains(Roles::OPERATOR) {
        true => Ok(()),
        false => Err(not_entitled("operators")),
    }
}

fn log_node(node: &SetNode, set: &NodeSet) -> LogNode {
    LogNode {
        id: node.id,
        name: node.name.clone(),
        address: node.client_address.clone(),
        voter: set.voters.contains(&node.id),
    }
}

fn stream_state(stream: StreamInfo) -> StreamState {
    StreamState {
        label: stream.label,
        stream_id: stream.stream_id.as_bytes().to_vec(),
        last_seq: stream.last_seq,
        last_root: stream.last_root.as_bytes().to_vec(),
        last_first_index: stream.last_first_index.get(),
        last_time_ms: stream.last_time_ms.get(),
    }
}

fn described(core: &Core, party: &Party) -> Result<v1::Party, Refusal> {
    let mut key_active = Vec::with_capacity(party.keys.len());
    for id in &party.keys {
        let key = core.reader().key(id).map_err(|error| from_read(&error))?;
        key_active.push(key.is_some_and(|key| key.state == KeyState::Active));
    }
    let vouching = core.reader().vouching(&party.author_id, VOUCHING_SHOWN).map_err(|error| from_read(&error))?;
    let [structures, actor_systems, issuers] = party.vouches_for;
    Ok(v1::Party {
        author_id: party.author_id.as_bytes().to_vec(),
        name: party.name.clone(),
        roles: party.roles.bits(),
        key_ids: party.keys.iter().map(|id| id.as_bytes().to_vec()).collect(),
        key_active,
        quota_events_per_s: party.quota_events_per_s,
        vouching: vouching.to_message(),
        structures,
        actor_systems,
        issuers,
    })
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn get_log(&self, request: Request<GetLogRequest>) -> RpcResult<GetLogResponse> {
        self.answer(self.handle_get_log(request).await)
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> RpcResult<SubmitResponse> {
        self.answer(self.handle_submit(request).await)
    }

    async fn stream_status(&self, request: Request<StreamStatusRequest>) -> RpcResult<StreamStatusResponse> {
        self.answer(self.handle_stream_status(request).await)
    }

    async fn resolve_tags(&self, request: Request<ResolveTagsRequest>) -> RpcResult<ResolveTagsResponse> {
        self.answer(self.handle_resolve_tags(request).await)
    }

    async fn trace(&self, request: Request<TraceRequest>) -> RpcResult<TraceResponse> {
        self.give(reading::handle_trace(&self.core, request).await)
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> RpcResult<GetEntryResponse> {
        self.give(reading::handle_get_entry(&self.core, request).await)
    }

    async fn get_checkpoint(&self, request: Request<GetCheckpointRequest>) -> RpcResult<GetCheckpointResponse> {
        self.answer(self.handle_get_checkpoint(request).await)
    }

    async fn prove_inclusion(&self, request: Request<ProveInclusionRequest>) -> RpcResult<ProveInclusionResponse> {
        self.answer(self.handle_prove_inclusion(request).await)
    }

    async fn prove_consistency(
        &self,
        request: Request<ProveConsistencyRequest>,
    ) -> RpcResult<ProveConsistencyResponse> {
        self.answer(self.handle_prove_consistency(request).await)
    }

    async fn get_tile(&self, request: Request<GetTileRequest>) -> RpcResult<GetTileResponse> {
        self.answer(reading::handle_get_tile(&self.core, request).await)
    }

    type GetEntriesStream = Entries;

    async fn get_entries(&self, request: Request<GetEntriesRequest>) -> RpcResult<Self::GetEntriesStream> {
        self.answer(reading::handle_get_entries(&self.core, request).await)
    }

    async fn prove_patient(&self, request: Request<ProvePatientRequest>) -> RpcResult<ProvePatientResponse> {
        self.give(reading::handle_prove_patient(&self.core, request).await)
    }

    async fn patient_entries(&self, request: Request<PatientEntriesRequest>) -> RpcResult<PatientEntriesResponse> {
        self.give(reading::handle_patient_entries(&self.core, request).await)
    }

    async fn add_cosignature(&self, request: Request<AddCosignatureRequest>) -> RpcResult<AddCosignatureResponse> {
        self.answer(self.handle_add_cosignature(request).await)
    }

    async fn erasures(&self, request: Request<ErasuresRequest>) -> RpcResult<ErasuresResponse> {
        self.answer(self.handle_erasures(request).await)
    }

    async fn authorize(&self, request: Request<AuthorizeRequest>) -> RpcResult<AuthorizeResponse> {
        self.answer(self.handle_authorize(request).await)
    }

    async fn rule_records(&self, request: Request<RuleRecordsRequest>) -> RpcResult<RuleRecordsResponse> {
        self.give(consent::handle_rule_records(&self.core, request).await)
    }

    async fn list_break_glass(&self, request: Request<ListBreakGlassRequest>) -> RpcResult<ListBreakGlassResponse> {
        self.give(consent::handle_list_break_glass(&self.core, request).await)
    }

    async fn preview_voiding(&self, request: Request<PreviewVoidingRequest>) -> RpcResult<PreviewVoidingResponse> {
        self.give(voided::handle_preview_voiding(&self.core, request).await)
    }

    async fn review_voided(&self, request: Request<ReviewVoidedRequest>) -> RpcResult<ReviewVoidedResponse> {
        self.answer(voided::handle_review_voided(&self.core, request).await)
    }

    async fn list_parties(&self, request: Request<ListPartiesRequest>) -> RpcResult<ListPartiesResponse> {
        self.answer(self.handle_list_parties(request).await)
    }

    async fn list_sources(&self, request: Request<ListSourcesRequest>) -> RpcResult<ListSourcesResponse> {
        self.answer(doors::handle_list_sources(&self.core, request).await)
    }

    async fn list_contests(&self, request: Request<ListContestsRequest>) -> RpcResult<ListContestsResponse> {
        self.give(doors::handle_list_contests(&self.core, request).await)
    }

    async fn cluster_status(&self, request: Request<ClusterStatusRequest>) -> RpcResult<ClusterStatusResponse> {
        self.answer(self.handle_cluster_status(request).await)
    }

    async fn members(&self, request: Request<MembersRequest>) -> RpcResult<MembersResponse> {
        self.answer(self.handle_members(request).await)
    }

    async fn change_member(&self, request: Request<ChangeMemberRequest>) -> RpcResult<ChangeMemberResponse> {
        self.answer(self.handle_change_member(request).await)
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> RpcResult<MoveLeaderResponse> {
        self.answer(self.handle_move_leader(request).await)
    }
}
